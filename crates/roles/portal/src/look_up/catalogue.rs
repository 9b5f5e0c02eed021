//! What the catalogue lists: the organisations that it offers, for the list from which a clinician chooses by hand, and every
//! entry whole, for those who build and operate. Nothing about a patient is in the question or in the answer.

use serde_json::Value;
use wire::client::Request;
use wire::contract::catalogue::{
    self, Endpoint, EndpointStatus, FHIR, HealthcareService, OrganizationAffiliation, READ_SCOPE,
};
use wire::contract::statement::{PROBE, STANDING, TERMS, carried};

use crate::State;

/// One organisation that has a sharing service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Organisation number of the responsible organisation.
    pub number: String,
    /// Its name.
    pub name: String,
}

/// Why the list could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The portal has no client of its own at the anchor.
    #[error("no client for the catalogue is configured")]
    NoClient,
    /// The catalogue, or the anchor before it, gave no usable answer.
    #[error(transparent)]
    Peer(#[from] wire::client::PeerError),
    /// The catalogue's resources are not as the contract says.
    #[error(transparent)]
    Shape(#[from] wire::contract::ContractError),
}

/// Asks the catalogue for active endpoints and gives their organisations, by name.
///
/// # Errors
/// [`CatalogueError`]; the page then offers no list and says so.
pub async fn offered(state: &State) -> Result<Vec<Offered>, CatalogueError> {
    let mut offered: Vec<Offered> = Vec::new();
    for resource in &resources(state, "Endpoint").await? {
        let endpoint = Endpoint::from_json(resource)?;
        if endpoint.status != EndpointStatus::Active
            || offered.iter().any(|own| own.number == endpoint.managing)
        {
            continue;
        }
        let name = endpoint
            .managing_name
            .unwrap_or_else(|| state.name_of(&endpoint.managing).to_owned());
        offered.push(Offered {
            number: endpoint.managing,
            name,
        });
    }
    offered.sort_by_key(|own| own.name.to_lowercase());
    Ok(offered)
}

/// Where the organisation's own sharing service is, as its entry says. One that is signed and does not hold is none.
///
/// # Errors
/// [`CatalogueError`].
pub async fn service_of(state: &State, number: &str) -> Result<Option<String>, CatalogueError> {
    for shown in &resources(state, "Endpoint").await? {
        let (resource, word) = believed(state, shown).await;
        let Ok(endpoint) = Endpoint::from_json(&resource) else {
            continue;
        };
        let counts = word != Word::Unverified && endpoint.status == EndpointStatus::Active;
        if counts && endpoint.managing == number {
            return Ok(Some(endpoint.address));
        }
    }
    Ok(None)
}

/// Every resource of a type, as the catalogue gives it out.
async fn resources(state: &State, kind: &str) -> Result<Vec<Value>, CatalogueError> {
    let party = state.party.as_ref().ok_or(CatalogueError::NoClient)?;
    let base = format!("{}{FHIR}", state.config.catalogue);
    let request = Request::get(format!("{base}/{kind}"));
    let answer = party.send(&base, READ_SCOPE, request).await?;
    let bundle: Value = answer.json()?;
    Ok(catalogue::matches(&bundle)?.into_iter().cloned().collect())
}

/// Whose word an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Its owner signed it, and that holds.
    Owners,
    /// Nobody signed it: who operates the catalogue put it there.
    Operators,
    /// It carries a signature that does not hold, or that nobody can verify now. Nobody uses it.
    Unverified,
}

/// What the catalogue saw at an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When, as FHIR instant.
    pub at: String,
    /// Whether anything answered.
    pub reachable: bool,
    /// Whether that was a CapabilityStatement.
    pub capability: bool,
    /// `same`, `other` or `unsaid`: whose it said it is.
    pub owner: String,
    /// Its FHIR version.
    pub version: Option<String>,
    /// Promised profiles that it does not claim.
    pub missing: u64,
    /// Declared kinds of data that it does not serve.
    pub unserved: u64,
    /// Whole days until the certificate ends.
    pub certificate_days: Option<i64>,
}

/// A member of a shared register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Organisation number.
    pub number: String,
    /// Whether the membership counts now.
    pub counts: bool,
}

/// One service with all that is listed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The entry: the owner's words where they hold, else the catalogue's copy.
    pub endpoint: Endpoint,
    /// Whose word that is.
    pub word: Word,
    /// Whether its owner has not said it again in time.
    pub lapsed: bool,
    /// What was seen at the address; `None`: nobody has looked yet.
    pub seen: Option<Seen>,
    /// The follow-up service's telephone.
    pub telephone: Option<String>,
    /// The terms of use; https alone.
    pub terms: Option<String>,
    /// Who takes part.
    pub members: Vec<Member>,
}

/// Everything that is listed, and how many entries could not be read.
#[derive(Clone, Debug, Default)]
pub struct Everything {
    /// Services, in the catalogue's order.
    pub listed: Vec<Listed>,
    /// Entries that are not as the contract says.
    pub unreadable: usize,
}

/// Asks the catalogue for all that it lists, and judges each signed entry by its owner's signature.
///
/// # Errors
/// [`CatalogueError`]; the page then says that the catalogue does not answer.
pub async fn everything(state: &State) -> Result<Everything, CatalogueError> {
    let (endpoints, services, affiliations) = futures::try_join!(
        resources(state, "Endpoint"),
        resources(state, "HealthcareService"),
        resources(state, "OrganizationAffiliation"),
    )?;
    let mut found = Everything::default();
    for shown in &endpoints {
        let (resource, word) = believed(state, shown).await;
        match Endpoint::from_json(&resource) {
            Ok(endpoint) => found.listed.push(Listed {
                lapsed: extension(shown, STANDING).is_some_and(|one| one["valueCode"] == "lapsed"),
                seen: extension(shown, PROBE).map(seen),
                telephone: None,
                terms: None,
                members: Vec::new(),
                endpoint,
                word,
            }),
            Err(_) => found.unreadable += 1,
        }
    }
    for shown in &services {
        let (resource, word) = believed(state, shown).await;
        let Ok(service) = HealthcareService::from_json(&resource) else {
            found.unreadable += 1;
            continue;
        };
        let counts = service.active && word != Word::Unverified;
        // Nobody's words stand beside another's address.
        let of = |one: &&mut Listed| {
            one.endpoint.id == service.endpoint && one.endpoint.managing == service.provided_by
        };
        if let Some(listed) = found.listed.iter_mut().find(of).filter(|_| counts) {
            let telecom = resource["telecom"].as_array().into_iter().flatten();
            let mut phones = telecom.filter(|one| one["system"] == "phone");
            let phone = phones.next().and_then(|one| one["value"].as_str());
            listed.telephone = phone.map(str::to_owned);
            let terms = extension(&resource, TERMS).and_then(|one| one["valueUrl"].as_str());
            listed.terms = terms.filter(|url| is_https(url)).map(str::to_owned);
        }
    }
    for shown in &affiliations {
        let (resource, word) = believed(state, shown).await;
        let Ok(one) = OrganizationAffiliation::from_json(&resource) else {
            found.unreadable += 1;
            continue;
        };
        // Who runs a service for others is no member of it.
        if one.role != catalogue::AffiliationRole::Member {
            continue;
        }
        let of = |listed: &&mut Listed| {
            listed.endpoint.id == one.endpoint && listed.endpoint.managing == one.organization
        };
        if let Some(listed) = found.listed.iter_mut().find(of) {
            listed.members.push(Member {
                counts: one.active && word != Word::Unverified,
                number: one.participating,
            });
        }
    }
    Ok(found)
}

/// An entry in its owner's words, and whose words those are.
async fn believed(state: &State, shown: &Value) -> (Value, Word) {
    let (Some(_), Some(reader)) = (carried(shown), &state.reader) else {
        return (shown.clone(), Word::Operators);
    };
    match reader.believe(shown).await {
        Ok(signed) => (signed, Word::Owners),
        Err(error) => {
            tracing::info!(%error, "an entry of the catalogue is not believed");
            (shown.clone(), Word::Unverified)
        }
    }
}

fn extension<'a>(resource: &'a Value, url: &str) -> Option<&'a Value> {
    let mut all = resource.get("extension")?.as_array()?.iter();
    all.find(|one| one["url"] == url)
}

fn seen(probe: &Value) -> Seen {
    let part = |name: &str, value: &str| extension(probe, name).map(|one| one[value].clone());
    let text =
        |name: &str, value: &str| part(name, value).and_then(|one| one.as_str().map(str::to_owned));
    let is = |name: &str| part(name, "valueBoolean").is_some_and(|one| one == true);
    let many = |name: &str| {
        let one = part(name, "valueUnsignedInt").and_then(|one| one.as_u64());
        one.unwrap_or_default()
    };
    Seen {
        at: text("at", "valueInstant").unwrap_or_default(),
        reachable: is("reachable"),
        capability: is("capability"),
        owner: text("owner", "valueCode").unwrap_or_default(),
        version: text("fhirVersion", "valueString"),
        missing: many("missingProfiles"),
        unserved: many("missingKinds"),
        certificate_days: part("certificateDays", "valueInteger").and_then(|one| one.as_i64()),
    }
}

fn is_https(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.scheme() == "https")
}
