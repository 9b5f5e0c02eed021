//! What an organisation says of itself in the catalogue: one signed statement a resource and version. The words of the
//! catalogue that are not FHIR's; a consumer that holds a statement and the anchor's documents needs the catalogue no more.

use fhir::ids::OrganisationNumber;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::catalogue::{HealthcareService, OrganizationAffiliation};
use super::{CANONICAL, SERVICE_ID_SYSTEM};

/// Takes [`Statements`]; gives [`Taken`]. All of them or none.
pub const PUBLISH: &str = "/fhir/$publish";
/// Scope with which a service states its own entries and reads them back.
pub const PUBLISH_SCOPE: &str = "system/Endpoint.ru";
/// JOSE `typ` of a statement.
pub const STATEMENT_TYP: &str = "delt-catalogue+jwt";
/// Most statements in one request.
pub const MAX_STATEMENTS: usize = 100;
/// Longest life of a statement, in seconds: a week.
pub const LONGEST_LIFE: i64 = 7 * 24 * 3600;

/// Extension on an entry: the statement that it rests on, a compact JWS as `valueString`.
pub const STATEMENT: &str = "https://delt.example/fhir/StructureDefinition/statement";
/// Extension on an entry: where it comes from and whether it counts, a [`Standing`] as `valueCode`.
pub const STANDING: &str = "https://delt.example/fhir/StructureDefinition/standing";
/// Extension on an Endpoint: what the catalogue saw when it looked.
pub const PROBE: &str = "https://delt.example/fhir/StructureDefinition/probe";
/// Extension on an Endpoint: a profile that is promised there, as `valueCanonical`.
pub const PROFILE: &str = "https://delt.example/fhir/StructureDefinition/profile";
/// Extension on a HealthcareService: the terms of use, as `valueUrl`, https.
pub const TERMS: &str = "https://delt.example/fhir/StructureDefinition/terms";
/// Naming system of affiliations: `{service id}.{organisation number of the member}`.
pub const AFFILIATION_SYSTEM: &str = "https://delt.example/fhir/NamingSystem/affiliation";

/// The logical id of an entry: made from its type and its business identifier (organisation number, service id, key of an
/// affiliation), so that it is the same in every catalogue of the same facts (RFC 9562, version 5).
pub fn id_of(resource_type: &str, key: &str) -> String {
    let name = format!("{CANONICAL}/{resource_type}/{key}");
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}

/// What an organisation offers, in people's words, as a FHIR HealthcareService with its service id and the telephone to the
/// people behind it.
pub fn offered(
    service: &str,
    owner: OrganisationNumber,
    name: &str,
    telephone: Option<&str>,
) -> Value {
    let mut resource = HealthcareService {
        id: id_of("HealthcareService", service),
        name: name.to_owned(),
        provided_by: owner.to_string(),
        endpoint: id_of("Endpoint", service),
        active: true,
    }
    .to_json();
    resource["identifier"] = json!([{"system": SERVICE_ID_SYSTEM, "value": service}]);
    if let Some(telephone) = telephone {
        resource["telecom"] = json!([{"system": "phone", "value": telephone}]);
    }
    resource
}

/// Membership of an organisation in a shared register, as a FHIR OrganizationAffiliation with its key.
pub fn affiliation(service: &str, owner: OrganisationNumber, member: OrganisationNumber) -> Value {
    let key = format!("{service}.{member}");
    let mut resource = OrganizationAffiliation {
        id: id_of("OrganizationAffiliation", &key),
        organization: owner.to_string(),
        participating: member.to_string(),
        endpoint: id_of("Endpoint", service),
        active: true,
    }
    .to_json();
    resource["identifier"] = json!([{"system": AFFILIATION_SYSTEM, "value": key}]);
    resource
}

/// Whether an organisation still says what it said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// This is so.
    #[default]
    Listed,
    /// This is no more.
    Withdrawn,
}

/// Claims of a statement (`typ` [`STATEMENT_TYP`]), signed with a key that the anchor publishes for the owner, or for a
/// supplier with whom the owner has a data processing agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Organisation number of who signs.
    pub iss: String,
    /// Organisation number of whose entry it is.
    pub owner: String,
    /// What it is about: `Endpoint/{id}`.
    pub sub: String,
    /// The owner's own count; an older version is never accepted as newer.
    pub version: u64,
    /// Unix seconds of signing.
    pub iat: i64,
    /// Unix seconds from which it counts no more unless it is said again; at most [`LONGEST_LIFE`] after `iat`.
    pub exp: i64,
    /// Whether it is still so.
    #[serde(default)]
    pub said: Said,
    /// The entry as a FHIR resource, without `meta`. Absent from a withdrawal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Value>,
}

/// `POST {catalogue}/fhir/$publish`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statements {
    /// Compact JWS, at most [`MAX_STATEMENTS`], each about another resource.
    pub statements: Vec<String>,
}

/// One entry that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `Endpoint/{id}`.
    pub resource: String,
    /// Its version in the catalogue.
    pub version: u64,
}

/// The answer: every statement's entry, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The entries.
    pub taken: Vec<Entry>,
}

/// Where an entry comes from, and whether it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Its owner said so, and still does.
    Stated,
    /// The region's operator wrote it down; nobody signed it.
    Configured,
    /// Its owner said so and has not said it again in time.
    Lapsed,
}

impl Standing {
    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Stated => "stated",
            Self::Configured => "configured",
            Self::Lapsed => "lapsed",
        }
    }
}

/// The statement that an entry carries.
pub fn carried(resource: &Value) -> Option<&str> {
    let extensions = resource.get("extension")?.as_array()?;
    let found = extensions.iter().find(|one| one["url"] == STATEMENT)?;
    found.get("valueString")?.as_str()
}
