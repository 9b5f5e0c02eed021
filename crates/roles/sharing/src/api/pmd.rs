//! Bundles as Pasientens måledata takes them (VkpObservation 0.5.x, profile `pmd-Bundle-Observation`): each entry sends one
//! Observation, by POST or by PUT with an address that says nothing, as the profile's own example does.

use fhir::bundle::Entry;
use fhir::json::Node;
use fhir::resource::ResourceType;

/// The profile that such a Bundle names in `meta.profile`.
const REQUEST: &str =
    "http://hl7.no/fhir/vkpobservation/StructureDefinition/pmd-Bundle-Observation";

/// Whether the Bundle says that it is one of these.
fn says_so(bundle: Node<'_>) -> bool {
    bundle
        .all(&["meta", "profile"])
        .into_iter()
        .filter_map(Node::str)
        .any(|profile| profile.split('|').next() == Some(REQUEST))
}

/// Whether the entry sends a reading in the profile's way. A PUT to an instance (`Observation/ID`) is FHIR's update and not
/// meant.
pub(super) fn sends(bundle: Node<'_>, entry: &Entry<'_>) -> bool {
    let method = entry.method();
    let of_a_type = |url: &str| {
        url.split('/')
            .any(|part| ResourceType::parse(part).is_some())
    };
    method.is_some_and(|method| {
        method == "PUT"
            && !entry
                .url()
                .is_some_and(|url| url.contains('/') && of_a_type(&url))
    }) && says_so(bundle)
}
