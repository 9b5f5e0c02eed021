//! Bundles as Pasientens måledata takes them (VkpObservation 0.5.x, profile `pmd-Bundle-Observation`): each entry sends one
//! Observation, by POST or by PUT with an address that says nothing, as the profile's own example does.

use fhir::bundle::Entry;
use fhir::json::Node;
use fhir::resource::ResourceType;

/// The profile that such a Bundle names in `meta.profile`.
const REQUEST: &str =
    "http://hl7.no/fhir/vkpobservation/StructureDefinition/pmd-Bundle-Observation";

/// The profile of the answer to it.
const RESPONSE: &str = "http://hl7.no/fhir/vkpobservation/StructureDefinition/pmd-Bundle-Response";

/// The profile that the answer to `bundle` follows, if the bundle follows PMD's: then each answer repeats a `fullUrl`.
pub(super) fn answered(bundle: Node<'_>, entries: &[Entry<'_>]) -> Option<&'static str> {
    let named = entries.iter().all(|entry| entry.full_url().is_some());
    (named && says_so(bundle)).then_some(RESPONSE)
}

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
