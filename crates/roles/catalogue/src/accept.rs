//! Whether a statement is taken in: what it says is its owner's to say, in the catalogue's shape, and newer than what is
//! held (threats-and-faults section 6). Signature, signer and times were verified before (`wire::members`).

use std::collections::HashSet;

use fhir::ids::OrganisationNumber;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::{InformationService, ResourceType};
use fhir::systems;
use fhir::time::{Instant, Zone, parse_date};
use serde_json::Value;
use trust::{Category, Refusal};
use url::Url;
use wire::client::Policy;
use wire::contract::INFORMATION_SERVICE_SYSTEM;
use wire::contract::catalogue::{
    AffiliationRole, Endpoint, HealthcareService, Organization, OrganizationAffiliation, TYPES,
};
use wire::contract::statement::{AFFILIATION_SYSTEM, PROFILE, Said, TERMS, id_of, key_end};
use wire::inert::unfit;
use wire::members::{Believed, Members};
use wire::outcome::Problem;
use wire::visit::End;

use crate::entry::{Kept, Stated, referenced};
use crate::shelf::Shelf;

/// Longest text in an entry, in characters.
const LONGEST_TEXT: usize = 1_000;
/// Most entries of one owner.
const MOST_OF_ONE: usize = 1_000;
/// Members that an entry may have besides those of its type.
const COMMON: &[&str] = &[
    "resourceType",
    "id",
    "identifier",
    "name",
    "telecom",
    "extension",
];
/// Extensions that an owner may use.
const EXTENSIONS: [&str; 4] = [
    "https://delt.example/fhir/StructureDefinition/concept",
    "https://delt.example/fhir/StructureDefinition/supplier",
    PROFILE,
    TERMS,
];

/// What kinds of information are expected.
const KINDS: &str = "expected information services, IT01 to IT23, one at least";
/// Why not: the entry is another's.
const NOT_OWNER: Refusal = Refusal {
    rule: "catalogue-owner",
    category: Category::Forbidden,
    code: "not_owner",
    message: "only its owner, or the owner's supplier, changes an entry",
};

/// What is at hand when a statement is judged.
pub struct Bench<'a> {
    /// Who takes part.
    pub members: &'a Members,
    /// What is held.
    pub shelf: &'a Shelf,
    /// Which addresses may be listed.
    pub policy: &'a Policy,
    /// Now.
    pub now: Instant,
    /// The organisation whose client brought it.
    pub bringer: OrganisationNumber,
}

/// What a statement changes; `None` when it was taken in before.
///
/// # Errors
/// A refusal, or a problem that names the element.
pub fn judge(
    jws: &str,
    believed: &Believed,
    at: &Bench<'_>,
) -> Result<(ResourceType, String, Option<Kept>), End> {
    let statement = &believed.statement;
    let owner = OrganisationNumber::parse(&statement.owner).map_err(|_| End::Refused(NOT_OWNER))?;
    if statement.iss != at.bringer.to_string() {
        return Err(End::Refused(NOT_OWNER));
    }
    let wrong =
        |place: &str, words: &str| End::from(Problem::invalid(IssueCode::Value, place, words));
    let (name, id) = statement.sub.split_once('/').unwrap_or_default();
    let resource_type = ResourceType::parse(name).filter(|_| TYPES.contains(&name));
    let resource_type = resource_type.ok_or_else(|| {
        wrong(
            "sub",
            "expected Type/id of a type that the catalogue serves",
        )
    })?;
    let held = at.shelf.get(resource_type, id);
    if held.is_some_and(|held| held.kept.owner != owner) {
        return Err(End::Refused(NOT_OWNER));
    }
    if let Some(stated) = held.and_then(|held| held.kept.stated.as_ref()) {
        if stated.jws == jws {
            return Ok((resource_type, id.to_owned(), None));
        }
        if statement.version <= stated.version {
            let words =
                "this version, or a newer one, is held already; an older one never takes its place";
            return Err(Problem::conflict(words).into());
        }
    }
    let resource = match (statement.said, &statement.resource) {
        (Said::Listed, Some(resource)) => {
            shape(resource, resource_type, id).map_err(|(place, words)| wrong(&place, &words))?;
            owned(resource, resource_type, id, owner, at)?;
            resource.clone()
        }
        // What is withdrawn stays known by what it was.
        _ => match held {
            Some(held) => held.kept.resource.clone(),
            None => return Err(Problem::not_found().into()),
        },
    };
    let of_owner = at
        .shelf
        .entries()
        .iter()
        .filter(|one| one.kept.owner == owner);
    if held.is_none() && of_owner.count() >= MOST_OF_ONE {
        let words = format!("more than {MOST_OF_ONE} entries of one organisation");
        return Err(Problem::invalid(IssueCode::TooCostly, "statements", words).into());
    }
    let withdrawn = statement.said == Said::Withdrawn;
    let same = |held: &Kept| {
        held.stated.is_some() && held.resource == resource && held.withdrawn == withdrawn
    };
    let renewal = held.is_some_and(|held| same(&held.kept));
    let kept = Kept {
        owner,
        resource,
        withdrawn,
        stated: Some(Stated {
            jws: jws.to_owned(),
            version: statement.version,
            exp: statement.exp,
            renewal,
        }),
    };
    Ok((resource_type, id.to_owned(), Some(kept)))
}

type Fault = (String, String);

fn fault<T>(place: impl Into<String>, words: impl Into<String>) -> Result<T, Fault> {
    Err((place.into(), words.into()))
}

/// The catalogue's shape: known members, text that is text, links that are https.
fn shape(resource: &Value, resource_type: ResourceType, id: &str) -> Result<(), Fault> {
    let own: &[&str] = match resource_type {
        ResourceType::ORGANIZATION => &["active", "type", "alias", "address", "partOf"],
        ResourceType::HEALTHCARE_SERVICE => &[
            "active",
            "providedBy",
            "category",
            "type",
            "specialty",
            "comment",
            "endpoint",
        ],
        ResourceType::ENDPOINT => &[
            "status",
            "connectionType",
            "managingOrganization",
            "contact",
            "period",
            "payloadType",
            "payloadMimeType",
            "address",
        ],
        _ => &[
            "active",
            "period",
            "organization",
            "participatingOrganization",
            "code",
            "endpoint",
        ],
    };
    let Some(members) = resource.as_object() else {
        return fault("resource", "expected a FHIR resource");
    };
    for name in members.keys() {
        if !COMMON.contains(&name.as_str()) && !own.contains(&name.as_str()) {
            let known = [COMMON, own].concat().join(", ");
            return fault(
                "resource",
                format!("a member that the catalogue does not take; it takes {known}"),
            );
        }
    }
    if members.get("resourceType").and_then(Value::as_str) != Some(resource_type.as_str())
        || members.get("id").and_then(Value::as_str) != Some(id)
    {
        return fault("resource.id", "type and id must be those of sub");
    }
    for one in members
        .get("extension")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let url = one.get("url").and_then(Value::as_str);
        if !url.is_some_and(|url| EXTENSIONS.contains(&url)) {
            return fault(
                "resource.extension",
                format!("an owner may use {}", EXTENSIONS.join(", ")),
            );
        }
    }
    if let Some(place) = ambiguous(resource) {
        return fault(
            place,
            "an organisation by its identifier alone, one identifier of a system, one endpoint, one code",
        );
    }
    inert(resource, resource_type.as_str())
}

/// What can be read in two ways, and would be by somebody: a second identifier of one system, a second endpoint or code, an
/// organisation by a literal reference beside its number.
fn ambiguous(resource: &Value) -> Option<String> {
    let list = |name: &str| resource.get(name).and_then(Value::as_array);
    let mut seen = HashSet::new();
    let twice = list("identifier").into_iter().flatten().any(|one| {
        let system = one.get("system").and_then(Value::as_str);
        !seen.insert(systems::canonical(system.unwrap_or_default()).to_owned())
    });
    if twice {
        return Some("resource.identifier".to_owned());
    }
    let codes = resource.get("participatingOrganization").and(list("code"));
    let codings = |code: &Value| {
        code.get("coding")
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    let several = list("endpoint").is_some_and(|all| all.len() > 1)
        || codes.is_some_and(|all| all.len() > 1 || all.iter().any(|one| codings(one) > 1));
    if several {
        return Some("resource".to_owned());
    }
    let organisations = [
        "partOf",
        "providedBy",
        "managingOrganization",
        "organization",
        "participatingOrganization",
    ];
    let plain = |name: &&&str| {
        let members = resource.get(**name).and_then(Value::as_object);
        members.is_none_or(|all| {
            all.keys()
                .all(|one| one == "identifier" || one == "display")
        })
    };
    let found = organisations.iter().find(|name| !plain(name));
    found.map(|name| format!("resource.{name}"))
}

/// Every text is text and nothing else, and whatever is a link is an https one.
fn inert(value: &Value, place: &str) -> Result<(), Fault> {
    match value {
        Value::String(text) if text.chars().count() > LONGEST_TEXT => {
            fault(place, format!("longer than {LONGEST_TEXT} characters"))
        }
        Value::String(text) if text.trim().is_empty() || text.chars().any(unfit) => {
            fault(place, "empty, or holds control or direction characters")
        }
        Value::Array(list) => list.iter().try_for_each(|one| inert(one, place)),
        Value::Object(members) => members.iter().try_for_each(|(name, one)| {
            let place = format!("{place}.{name}");
            let link = matches!(name.as_str(), "valueUrl" | "valueUri")
                || name == "value" && members.get("system").is_some_and(|s| s == "url");
            if link && !one.as_str().is_some_and(|text| is_link(text, &["https"])) {
                return fault(place, "a link must be an https URL without user info");
            }
            // A profile's canonical is a name, and never made clickable.
            let named = name != "valueCanonical"
                || one
                    .as_str()
                    .is_some_and(|text| is_link(text, &["https", "http"]));
            if !named {
                return fault(place, "a canonical must be an http(s) URL");
            }
            inert(one, &place)
        }),
        _ => Ok(()),
    }
}

/// Whether a text is an absolute URL of one of these schemes, without user info.
pub fn is_link(text: &str, schemes: &[&str]) -> bool {
    Url::parse(text).is_ok_and(|url| {
        schemes.contains(&url.scheme()) && url.username().is_empty() && url.password().is_none()
    })
}

/// What the entry says must be the owner's to say.
fn owned(
    resource: &Value,
    resource_type: ResourceType,
    id: &str,
    owner: OrganisationNumber,
    at: &Bench<'_>,
) -> Result<(), End> {
    let wrong =
        |place: &str, words: &str| End::from(Problem::invalid(IssueCode::Value, place, words));
    let shape = |error: wire::contract::ContractError| wrong("resource", error.fault);
    let own = owner.to_string();
    let (key, says) = match resource_type {
        ResourceType::ORGANIZATION => {
            let one = Organization::from_json(resource).map_err(shape)?;
            let unit = one.part_of.as_deref() == Some(own.as_str())
                && at
                    .members
                    .participant(&own)
                    .is_some_and(|owner| owner.units.contains(&one.orgnr));
            let main = one.part_of.is_none() && one.orgnr == own;
            (one.orgnr, main || unit)
        }
        ResourceType::HEALTHCARE_SERVICE => {
            let one = HealthcareService::from_json(resource).map_err(shape)?;
            let service = service_id(resource)
                .ok_or_else(|| wrong("resource.identifier", "expected a service id"))?;
            if !kinds(resource, "type").all(|kind| kind.is_some()) {
                return Err(wrong("resource.type", KINDS));
            }
            if one.endpoint != id_of("Endpoint", &service) {
                return Err(wrong(
                    "resource.endpoint",
                    "expected the Endpoint of the same service",
                ));
            }
            (service, one.provided_by == own)
        }
        ResourceType::ENDPOINT => {
            let one = Endpoint::from_json(resource).map_err(shape)?;
            address(resource, &one, at).map_err(|(place, words)| wrong(&place, &words))?;
            elsewhere(&one.address, id, at)?;
            (one.service, one.managing == own)
        }
        _ => {
            let one = OrganizationAffiliation::from_json(resource).map_err(shape)?;
            let key = identifier(resource, AFFILIATION_SYSTEM).ok_or_else(|| {
                wrong("resource.identifier", "expected the key of the affiliation")
            })?;
            let end = key_end(&one.participating, one.role);
            let service = key.strip_suffix(&end).ok_or_else(|| {
                wrong(
                    "resource.identifier",
                    "expected {service id}.{organisation number}, of a supplier with .supplier behind",
                )
            })?;
            if referenced(resource).as_deref() != Some(id_of("Endpoint", service).as_str()) {
                return Err(wrong(
                    "resource.endpoint",
                    "expected the Endpoint of the same service",
                ));
            }
            // Whose data is reached through whom, and who runs what for whom, is never one party's word alone.
            let (members, other) = (at.members, &one.participating);
            let agreed = match one.role {
                AffiliationRole::Member => members.share_a_register(&own, other, at.now),
                AffiliationRole::Supplier => members.processes_for(other, &own, at.now),
            };
            (key, one.organization == own && agreed)
        }
    };
    // What is reached by an Endpoint is offered by who answers for it.
    let endpoint = referenced(resource);
    let endpoint = endpoint.and_then(|endpoint| at.shelf.get(ResourceType::ENDPOINT, &endpoint));
    let says = says && endpoint.is_none_or(|endpoint| endpoint.kept.owner == owner);
    if !says {
        return Err(End::Refused(NOT_OWNER));
    }
    unclaimed(resource_type, id, resource, at)?;
    if id != id_of(resource_type.as_str(), &key) {
        return Err(wrong(
            "sub",
            "the id is not the one of this business identifier",
        ));
    }
    Ok(())
}

fn identifier(resource: &Value, system: &str) -> Option<String> {
    let list = resource.get("identifier")?.as_array()?;
    let found = list.iter().find(|one| one["system"] == system)?;
    found.get("value")?.as_str().map(str::to_owned)
}

fn service_id(resource: &Value) -> Option<String> {
    identifier(resource, wire::contract::SERVICE_ID_SYSTEM)
}

/// The information services that a list of concepts names; `None` for a code that is none.
fn kinds<'a>(
    resource: &'a Value,
    member: &str,
) -> impl Iterator<Item = Option<InformationService>> + 'a {
    let concepts = resource.get(member).and_then(Value::as_array);
    let codings = concepts.into_iter().flatten().flat_map(|one| {
        let codings = one.get("coding").and_then(Value::as_array);
        codings.into_iter().flatten()
    });
    let ours = codings.filter(|one| one["system"] == INFORMATION_SERVICE_SYSTEM);
    ours.map(|one| InformationService::parse(one["code"].as_str()?))
}

/// The address as it will be dialled, the kinds of information that there are, a period that can be read.
fn address(resource: &Value, one: &Endpoint, at: &Bench<'_>) -> Result<(), Fault> {
    let place = "resource.address";
    let Ok(url) = Url::parse(&one.address) else {
        return fault(place, "not a URL");
    };
    if let Err(why) = at.policy.judge(&url) {
        return fault(place, why.words());
    }
    // Written as it is dialled: no other notation of an address, no dots to be walked, nothing after the path.
    if url.query().is_some()
        || url.fragment().is_some()
        || url.as_str().trim_end_matches('/') != one.address
    {
        return fault(
            place,
            "expected the normal form, without query, fragment and a slash at the end",
        );
    }
    if kinds(resource, "payloadType").next().is_none()
        || !kinds(resource, "payloadType").all(|kind| kind.is_some())
    {
        return fault("resource.payloadType", KINDS);
    }
    if resource
        .pointer("/connectionType/code")
        .and_then(Value::as_str)
        != Some("hl7-fhir-rest")
    {
        return fault("resource.connectionType", "expected hl7-fhir-rest");
    }
    for border in ["start", "end"] {
        let text = resource.pointer(&format!("/period/{border}"));
        let fit = text.is_none_or(|text| {
            text.as_str()
                .is_some_and(|text| parse_date(text, &Zone::default()).is_ok())
        });
        if !fit {
            return fault("resource.period", "expected FHIR dates");
        }
    }
    Ok(())
}

/// A business identifier names one entry: a search for somebody's number, HER-id, RESH id or service id finds nobody else.
fn unclaimed(
    resource_type: ResourceType,
    id: &str,
    resource: &Value,
    at: &Bench<'_>,
) -> Result<(), End> {
    let own = crate::entry::identifiers(resource);
    let others = at
        .shelf
        .of_type(resource_type)
        .filter(|other| other.id != id);
    let taken = others
        .flat_map(|other| &other.identifiers)
        .any(|one| own.contains(one));
    if taken {
        let words = "another entry has one of these identifiers; who has it withdraws it first";
        return Err(Problem::conflict(words).into());
    }
    Ok(())
}

/// An address that is listed for another organisation cannot be listed for this one too, as long as that entry counts: what has
/// lapsed keeps nobody out.
fn elsewhere(address: &str, id: &str, at: &Bench<'_>) -> Result<(), End> {
    let others = at.shelf.of_type(ResourceType::ENDPOINT);
    let taken = others
        .filter(|other| other.id != id && other.counts(at.now))
        .any(|other| other.kept.resource["address"] == address);
    if taken {
        let words = "another entry has this address; who had it withdraws it first";
        return Err(Problem::conflict(words).into());
    }
    Ok(())
}

/// Too many or doubled statements in one request.
///
/// # Errors
/// The problem.
pub fn countable(count: usize, most: usize) -> Result<(), Problem> {
    if count == 0 || count > most {
        let words = format!("expected 1 to {most} statements");
        return Err(Problem::invalid_all(vec![Issue::error(
            IssueCode::TooLong,
            "statements",
            words,
        )]));
    }
    Ok(())
}
