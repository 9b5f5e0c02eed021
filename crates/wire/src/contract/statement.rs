//! What an organisation says of itself in the catalogue: one signed statement a resource and version. The words of the
//! catalogue that are not FHIR's; a consumer that holds a statement and the anchor's documents needs the catalogue no more.

use fhir::ids::{HerId, OrganisationNumber, ReshId};
use fhir::resource::InformationService;
use fhir::systems;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::catalogue::{AffiliationRole, HealthcareService, Organization, OrganizationAffiliation};
use super::{CANONICAL, INFORMATION_SERVICE_SYSTEM, SERVICE_ID_SYSTEM};

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
/// Extension on an Endpoint or HealthcareService: a profile that is promised there, as `valueCanonical`.
pub const PROFILE: &str = "https://delt.example/fhir/StructureDefinition/profile";
/// Extension on a HealthcareService: the terms of use, as `valueUrl`, https.
pub const TERMS: &str = "https://delt.example/fhir/StructureDefinition/terms";
/// Naming system of affiliations ([`affiliation`]).
pub const AFFILIATION_SYSTEM: &str = "https://delt.example/fhir/NamingSystem/affiliation";

/// The logical id of an entry: made from its type and its business identifier (organisation number, service id, key of an
/// affiliation), so that it is the same in every catalogue of the same facts (RFC 9562, version 5).
pub fn id_of(resource_type: &str, key: &str) -> String {
    let name = format!("{CANONICAL}/{resource_type}/{key}");
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}

/// An organisation as it stands in the catalogue: what the operator configures, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organisation {
    /// Organisation number of the main unit.
    pub orgnr: OrganisationNumber,
    /// Name.
    pub name: String,
    /// HER-id of its communication party, if it has one.
    pub her_id: Option<HerId>,
    /// What it is, as a code: `municipality`, `gp-office`, `hospital`, `supplier`, `collaboration`.
    pub kind: String,
    /// Its sub-units.
    pub sub_units: Vec<SubUnit>,
}

/// A sub-unit. One without an organisation number is found by its RESH id in a search, but has no entry of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubUnit {
    /// Organisation number.
    pub orgnr: Option<OrganisationNumber>,
    /// RESH id.
    pub resh: Option<ReshId>,
    /// Name.
    pub name: String,
}

impl Organisation {
    /// The main unit as a FHIR Organization, with organisation number, HER-id and kind.
    pub fn resource(&self) -> Value {
        let mut resource = Organization {
            id: id_of("Organization", self.orgnr.as_str()),
            orgnr: self.orgnr.to_string(),
            name: self.name.clone(),
            part_of: None,
            active: true,
        }
        .to_json();
        let system = format!("{CANONICAL}/CodeSystem/organisation-kind");
        resource["type"] = json!([{"coding": [{"system": system, "code": self.kind}]}]);
        if let Some(her_id) = &self.her_id {
            identify(&mut resource, systems::HERID, her_id.as_str());
        }
        resource
    }

    /// Each sub-unit that has an organisation number as a FHIR Organization that is part of the main unit, with its RESH id.
    pub fn units(&self) -> impl Iterator<Item = (OrganisationNumber, Value)> {
        self.sub_units.iter().filter_map(|unit| {
            let orgnr = unit.orgnr?;
            let mut resource = Organization {
                id: id_of("Organization", orgnr.as_str()),
                orgnr: orgnr.to_string(),
                name: unit.name.clone(),
                part_of: Some(self.orgnr.to_string()),
                active: true,
            }
            .to_json();
            if let Some(resh) = &unit.resh {
                identify(&mut resource, systems::RESH, resh.as_str());
            }
            Some((orgnr, resource))
        })
    }
}

/// Adds a business identifier.
fn identify(resource: &mut Value, system: &str, value: &str) {
    if let Some(list) = resource["identifier"].as_array_mut() {
        list.push(json!({"system": system, "value": value}));
    }
}

/// What an organisation offers, in people's words.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    /// Service id.
    pub service: &'a str,
    /// The responsible organisation.
    pub owner: OrganisationNumber,
    /// Name for people.
    pub name: &'a str,
    /// Telephone to the people behind it.
    pub telephone: Option<&'a str>,
    /// Where the terms of use stand, https.
    pub terms: Option<&'a str>,
    /// The information services that it offers.
    pub kinds: &'a [InformationService],
    /// Canonicals of the profiles that it promises.
    pub profiles: &'a [&'a str],
}

impl Offer<'_> {
    /// As a FHIR HealthcareService with its service id.
    pub fn resource(&self) -> Value {
        let mut resource = HealthcareService {
            id: id_of("HealthcareService", self.service),
            name: self.name.to_owned(),
            provided_by: self.owner.to_string(),
            endpoint: id_of("Endpoint", self.service),
            active: true,
        }
        .to_json();
        resource["identifier"] = json!([{"system": SERVICE_ID_SYSTEM, "value": self.service}]);
        if !self.kinds.is_empty() {
            let coded = |kind: &InformationService| json!({"coding": [{"system": INFORMATION_SERVICE_SYSTEM, "code": kind.to_string()}]});
            resource["type"] = self.kinds.iter().map(coded).collect();
        }
        if let Some(telephone) = self.telephone {
            resource["telecom"] = json!([{"system": "phone", "value": telephone}]);
        }
        let terms = self.terms.into_iter();
        let terms = terms.map(|url| json!({"url": TERMS, "valueUrl": url}));
        let extensions: Vec<Value> = terms.chain(promised(self.profiles)).collect();
        if !extensions.is_empty() {
            resource["extension"] = extensions.into();
        }
        resource
    }
}

/// Promised profiles as extensions.
pub fn promised(profiles: &[&str]) -> impl Iterator<Item = Value> {
    let extension = |canonical| json!({"url": PROFILE, "valueCanonical": canonical});
    profiles.iter().map(extension)
}

/// How an organisation takes part in another's service, as a FHIR OrganizationAffiliation with its key: a member of a shared
/// register (pasientjournalloven § 9) by `{service id}.{organisation number}`, who runs it for its owner by the same with
/// `.supplier` behind.
pub fn affiliation(
    service: &str,
    owner: OrganisationNumber,
    participating: OrganisationNumber,
    role: AffiliationRole,
) -> Value {
    let key = format!("{service}{}", key_end(participating.as_str(), role));
    let mut resource = OrganizationAffiliation {
        id: id_of("OrganizationAffiliation", &key),
        organization: owner.to_string(),
        participating: participating.to_string(),
        role,
        endpoint: id_of("Endpoint", service),
        active: true,
    }
    .to_json();
    resource["identifier"] = json!([{"system": AFFILIATION_SYSTEM, "value": key}]);
    resource
}

/// What follows the service id in an affiliation's key.
pub fn key_end(participating: &str, role: AffiliationRole) -> String {
    match role {
        AffiliationRole::Member => format!(".{participating}"),
        AffiliationRole::Supplier => format!(".{participating}.supplier"),
    }
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
