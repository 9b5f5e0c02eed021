//! One entry of the catalogue: what its owner said of itself or the region's operator wrote down, and what a search finds
//! it by, read from the resource itself.

use fhir::ids::OrganisationNumber;
use fhir::index::Coding;
use fhir::resource::ResourceType;
use fhir::systems;
use fhir::time::{Instant, Zone, parse_date};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::contract::INFORMATION_SERVICE_SYSTEM;
use wire::contract::catalogue::{AffiliationRole, OrganizationAffiliation};
use wire::contract::statement::Standing;

use crate::probe::{Owner, Seen};

/// What rests of an entry, in each version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Whose it is.
    pub owner: OrganisationNumber,
    /// The resource without `meta`. What is withdrawn keeps what it was, to be known by.
    pub resource: Value,
    /// Whether it was taken back.
    #[serde(default)]
    pub withdrawn: bool,
    /// The statement it rests on; none: the region's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<Stated>,
}

/// A statement that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// The compact JWS.
    pub jws: String,
    /// The owner's own count.
    pub version: u64,
    /// Unix seconds from which it counts no more.
    pub exp: i64,
    /// Whether it says what the version before it said, and only holds for longer.
    #[serde(default)]
    pub renewal: bool,
}

/// An entry in one version, with its search values.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its type, one of the contract's four.
    pub resource_type: ResourceType,
    /// Its logical id: made from the number or service id, the same for ever.
    pub id: String,
    /// Its version; counts on with each statement, and when the configuration's content changes.
    pub version: u64,
    /// When this version was committed.
    pub updated: Instant,
    /// Its number among all versions of all entries.
    pub number: u64,
    /// What rests.
    pub kept: Kept,
    /// Business identifiers: system and value.
    pub identifiers: Vec<Coding>,
    /// Information services that an Endpoint offers.
    pub payloads: Vec<Coding>,
    /// The Endpoint that a HealthcareService or OrganizationAffiliation refers to; of an Endpoint itself, its own id.
    pub endpoint: Option<String>,
    /// Who takes part by an OrganizationAffiliation, and as what.
    pub participating: Option<(OrganisationNumber, AffiliationRole)>,
}

impl Entry {
    /// An entry that is not in any version yet. `None` for a resource without an id.
    pub fn of(resource_type: ResourceType, kept: Kept) -> Option<Self> {
        let resource = &kept.resource;
        let id = resource.get("id")?.as_str()?.to_owned();
        let endpoint = if resource_type == ResourceType::ENDPOINT {
            Some(id.clone())
        } else {
            referenced(resource)
        };
        Some(Self {
            resource_type,
            version: 0,
            updated: Instant(0),
            number: 0,
            identifiers: identifiers(resource),
            payloads: payloads(resource),
            endpoint,
            participating: OrganizationAffiliation::from_json(resource)
                .ok()
                .and_then(|one| {
                    let number = OrganisationNumber::parse(&one.participating).ok()?;
                    Some((number, one.role))
                }),
            id,
            kept,
        })
    }

    /// As others refer to it.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.resource_type, self.id)
    }

    /// Where it comes from, and whether it counts at `now` (Unix seconds).
    pub fn standing(&self, now: Instant) -> Standing {
        match &self.kept.stated {
            None => Standing::Configured,
            Some(stated) if now.seconds() >= stated.exp => Standing::Lapsed,
            Some(_) => Standing::Stated,
        }
    }

    /// Whether it may be used in a look-up now: not withdrawn, not lapsed, within its period.
    pub fn counts(&self, now: Instant) -> bool {
        !self.kept.withdrawn
            && self.standing(now) != Standing::Lapsed
            && within(self.kept.resource.get("period"), now)
    }

    /// The resource as it is given out. What does not count says so in the words of its type, so that a consumer that knows
    /// nothing of extensions leaves it alone. `seen` is what the catalogue saw at the address.
    pub fn shown(&self, now: Instant, seen: Option<&Seen>) -> Value {
        let mut resource = self.kept.resource.clone();
        let Some(members) = resource.as_object_mut() else {
            return resource;
        };
        members.insert(
            "meta".to_owned(),
            json!({"versionId": self.version.to_string(), "lastUpdated": self.updated}),
        );
        let taken_over = seen.is_some_and(|seen| seen.owner == Owner::Other);
        if taken_over && self.counts(now) {
            members.insert("status".to_owned(), "error".into());
        }
        if !self.counts(now) {
            if self.resource_type == ResourceType::ENDPOINT {
                members.insert("status".to_owned(), "off".into());
            } else {
                members.insert("active".to_owned(), false.into());
            }
        }
        let extensions = members
            .entry("extension")
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Some(extensions) = extensions.as_array_mut() {
            use wire::contract::statement::{STANDING, STATEMENT};
            let code = self.standing(now).code();
            extensions.push(json!({"url": STANDING, "valueCode": code}));
            if let Some(stated) = &self.kept.stated {
                extensions.push(json!({"url": STATEMENT, "valueString": stated.jws}));
            }
            extensions.extend(seen.map(Seen::to_json));
        }
        resource
    }
}

/// Is `now` within a FHIR Period? What cannot be read is not: it was refused when it came.
fn within(period: Option<&Value>, now: Instant) -> bool {
    let Some(period) = period else {
        return true;
    };
    let border = |name: &str| match period.get(name) {
        None => Ok(None),
        Some(text) => {
            let text = text.as_str().unwrap_or_default();
            parse_date(text, &Zone::default()).map(Some)
        }
    };
    match (border("start"), border("end")) {
        (Ok(start), Ok(end)) => {
            start.is_none_or(|start| start.lo <= now.0) && end.is_none_or(|end| now.0 < end.hi)
        }
        _ => false,
    }
}

/// The first Endpoint that it refers to.
pub fn referenced(resource: &Value) -> Option<String> {
    let reference = resource.pointer("/endpoint/0/reference")?.as_str()?;
    reference.strip_prefix("Endpoint/").map(str::to_owned)
}

/// Business identifiers: canonical system and value.
pub fn identifiers(resource: &Value) -> Vec<Coding> {
    let list = resource.get("identifier").and_then(Value::as_array);
    let read = |one: &Value| {
        let system = systems::canonical(one.get("system")?.as_str()?).to_owned();
        Some(Coding::new(system, one.get("value")?.as_str()?))
    };
    list.into_iter().flatten().filter_map(read).collect()
}

fn payloads(resource: &Value) -> Vec<Coding> {
    let list = resource.get("payloadType").and_then(Value::as_array);
    let codings = list.into_iter().flatten();
    let codings = codings.filter_map(|concept| concept.get("coding")?.as_array());
    let read = |one: &Value| {
        let code = one.get("code")?.as_str()?;
        (one.get("system")?.as_str()? == INFORMATION_SERVICE_SYSTEM)
            .then(|| Coding::new(INFORMATION_SERVICE_SYSTEM, code))
    };
    codings.flatten().filter_map(read).collect()
}
