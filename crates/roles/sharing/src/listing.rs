//! The service's own entry in the catalogue: what it offers and where, stated by itself from what it serves, signed with its
//! registered key, said again before it lapses (decision 0044). A service that does not state itself stands as the region's
//! operator configured it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fhir::ids::OrganisationNumber;
use fhir::resource::InformationService;
use http::StatusCode;
use serde_json::Value;
use store::{Published, Publishing};
use url::Url;
use wire::Worker;
use wire::client::{Party, Request};
use wire::contract::catalogue::{
    AffiliationRole, Endpoint, EndpointStatus, FHIR, Organization, OrganizationAffiliation,
};
use wire::contract::demo::Concept;
use wire::contract::statement::{
    MAX_STATEMENTS, Offer, Organisation, PUBLISH, PUBLISH_SCOPE, STATEMENT_TYP, Said, Statement,
    Statements, affiliation, carried, id_of, promised,
};
use wire::members::Members;

use crate::State;

/// How long a statement holds, in seconds; it is said again at half of it.
const LIFE: i64 = 48 * 3600;
/// How often it is looked whether the catalogue has it still, in seconds.
const CHECK: i64 = 600;
/// How often it is looked whether it is time.
const LOOK: Duration = Duration::from_secs(60);
/// Between attempts at first, doubled each time up to [`LONGEST_RETRY`]: parts start in any order.
const RETRY: Duration = Duration::from_secs(1);
/// Between attempts at most.
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// Attempts that may fail before it is told: while parts start, they do.
const PATIENCE: u32 = 6;

/// What the catalogue is told besides what the service knows of itself.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The catalogue's base.
    pub catalogue: Url,
    /// How the service is realised.
    pub concept: Concept,
    /// The supplier that runs it, if one does.
    pub supplier: Option<OrganisationNumber>,
    /// Telephone to the people behind it.
    pub telephone: Option<String>,
    /// Where the terms of use stand, https.
    pub terms: Option<Url>,
    /// The responsible organisation, as the operator wrote it down.
    pub organisation: Organisation,
    /// The information services it is meant to offer; those that it does not serve or publish are left out.
    pub kinds: Vec<InformationService>,
}

/// What was last stated and taken in.
#[derive(Default)]
pub(crate) struct Listed(Mutex<Option<Last>>);

#[derive(Clone)]
struct Last {
    /// What the service would say of itself.
    wanted: Vec<Value>,
    /// What of it was said.
    said: Vec<Value>,
    /// When it was last seen that the catalogue has it, in Unix seconds.
    checked: i64,
    version: u64,
    exp: i64,
}

/// States the entry at start and keeps it from lapsing; none where there is no catalogue that this service may speak to.
pub fn workers(state: Arc<State>) -> Option<Worker> {
    let base = state.config.listing.as_ref().map(base)?;
    let party = state.party.as_ref()?;
    if !party.may_ask(&format!("{base}{FHIR}")) {
        tracing::info!(
            service = state.config.id,
            "this service's client is not registered for the catalogue; its entry there is the operator's"
        );
        return None;
    }
    Some(Worker::new("listing", async move {
        let pause = state.house.pause.clone();
        let (mut failed, mut wait) = (0, RETRY);
        loop {
            let next = match state.list().await {
                Ok(()) => {
                    (failed, wait) = (0, RETRY);
                    LOOK
                }
                Err(reason) => {
                    failed += 1;
                    if failed % PATIENCE == 0 {
                        tracing::warn!(
                            service = state.config.id,
                            reason,
                            "the catalogue did not take this service's entry"
                        );
                    }
                    let next = wait;
                    wait = (wait * 2).min(LONGEST_RETRY);
                    next
                }
            };
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(next) => {}
            }
        }
    }))
}

impl State {
    /// States the service's entries to the catalogue, if what they say is new or half of their time is gone.
    ///
    /// # Errors
    /// Why they were not taken in, in words for the log.
    pub async fn list(&self) -> Result<(), String> {
        let (Some(listing), Some(party)) = (&self.config.listing, &self.party) else {
            return Ok(());
        };
        let now = self.now().seconds();
        let wanted = self.entries(listing);
        let last = self.listed.lock().clone();
        let last = last.filter(|last| last.wanted == wanted && last.exp - now > LIFE / 2);
        if let Some(last) = last.as_ref().filter(|last| last.said == wanted) {
            if now - last.checked < CHECK {
                return Ok(());
            }
            // A catalogue that lost its memory, or got an older one back, is told again; readers would not follow it back.
            let own = wanted
                .iter()
                .filter(|one| one["resourceType"] == "Endpoint");
            let own: Vec<Value> = own.cloned().collect();
            if self.newest(listing, party, &own).await? >= last.version {
                if let Some(last) = self.listed.lock().as_mut() {
                    last.checked = now;
                }
                return Ok(());
            }
        }
        let members = self.members.current().await;
        let members = members.ok_or("the anchor's documents are not at hand")?;
        let borne_out = |one: &&Value| self.is_borne_out(one, &members);
        let said: Vec<Value> = wanted.iter().filter(borne_out).cloned().collect();
        if last.is_some_and(|last| last.said == said && last.said != wanted) {
            return Ok(());
        }
        // The owner's own count runs with time, so that it needs no memory.
        let before = self.listed.lock().as_ref().map_or(0, |last| last.version);
        let version = u64::try_from(now).unwrap_or_default().max(before + 1);
        let exp = now + LIFE;
        let version = match self.tell(listing, party, &said, version, exp).await? {
            StatusCode::OK => version,
            // Something newer is held: this clock was ahead once, or another of the owner's processes spoke.
            StatusCode::CONFLICT => {
                let version = self.newest(listing, party, &said).await?.max(version) + 1;
                match self.tell(listing, party, &said, version, exp).await? {
                    StatusCode::OK => version,
                    other => return Err(format!("the catalogue answered {other}")),
                }
            }
            other => return Err(format!("the catalogue answered {other}")),
        };
        let left_out = wanted.len() - said.len();
        if left_out > 0 {
            tracing::warn!(
                service = self.config.id,
                left_out,
                "units, members or a supplier that the anchor's documents do not bear out are not listed"
            );
        }
        *self.listed.lock() = Some(Last {
            wanted,
            said,
            checked: now,
            version,
            exp,
        });
        tracing::debug!(service = self.config.id, version, "listed in the catalogue");
        Ok(())
    }

    /// What the service says of itself, as FHIR resources: whose it is, what it offers, where, and with whom.
    fn entries(&self, listing: &Listing) -> Vec<Value> {
        let config = &self.config;
        let organisation = &listing.organisation;
        let units = organisation.units().map(|(_, unit)| unit);
        let whose = std::iter::once(organisation.resource()).chain(units);
        let kinds = self.kinds(listing);
        let profiles: Vec<&str> = profiles().collect();
        let mut endpoint = Endpoint {
            id: id_of("Endpoint", &config.id),
            service: config.id.clone(),
            status: EndpointStatus::Active,
            name: config.name.clone(),
            address: self.base.clone(),
            managing: config.owner.to_string(),
            managing_name: config.register.name(&config.owner).map(str::to_owned),
            payload_kinds: kinds.iter().map(ToString::to_string).collect(),
            concept: Some(listing.concept.as_str().to_owned()),
            supplier: listing.supplier.map(|orgnr| orgnr.to_string()),
        }
        .to_json();
        if let Some(members) = endpoint.as_object_mut() {
            let list = members
                .entry("extension")
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Some(list) = list.as_array_mut() {
                list.extend(promised(&profiles));
            }
        }
        let offer = Offer {
            service: &config.id,
            owner: config.owner,
            name: &config.name,
            telephone: listing.telephone.as_deref(),
            terms: listing.terms.as_ref().map(Url::as_str),
            kinds: &kinds,
            profiles: &profiles,
        };
        let members = config.members.iter();
        let members = members.map(|member| (*member, AffiliationRole::Member));
        let supplier = listing.supplier.into_iter();
        let with = members.chain(supplier.map(|one| (one, AffiliationRole::Supplier)));
        let with = with.map(|(who, role)| affiliation(&config.id, config.owner, who, role));
        let what = [offer.resource(), endpoint];
        whose.chain(what).chain(with).collect()
    }

    /// Whether the anchor's documents say so too, where it is not the owner's word alone: the catalogue would refuse the whole.
    fn is_borne_out(&self, resource: &Value, members: &Members) -> bool {
        let (owner, now) = (self.config.owner.to_string(), self.now());
        if let Ok(unit) = Organization::from_json(resource) {
            let own = members.participant(&owner);
            return unit.part_of.is_none()
                || own.is_some_and(|own| own.units.contains(&unit.orgnr));
        }
        match OrganizationAffiliation::from_json(resource) {
            Ok(one) if one.role == AffiliationRole::Member => {
                members.share_a_register(&owner, &one.participating, now)
            }
            Ok(one) => members.processes_for(&one.participating, &owner, now),
            Err(_) => true,
        }
    }

    /// The information services that are meant to be offered, served, and published to others.
    fn kinds(&self, listing: &Listing) -> Vec<InformationService> {
        let served = |kind: InformationService| {
            let mut types = self.config.types.iter();
            types.any(|one| one.information_service() == Some(kind))
        };
        let all = listing.kinds.iter().copied();
        all.filter(|kind| served(*kind) && publishes(&self.config.publish, *kind))
            .collect()
    }

    async fn tell(
        &self,
        listing: &Listing,
        party: &Party,
        resources: &[Value],
        version: u64,
        exp: i64,
    ) -> Result<StatusCode, String> {
        let base = base(listing);
        let mut last = StatusCode::OK;
        for part in resources.chunks(MAX_STATEMENTS) {
            let sign = |resource: &Value| {
                let statement = self.statement(party, resource, version, exp);
                let claims = serde_json::to_value(statement).map_err(|error| error.to_string())?;
                let signed = party.sign(STATEMENT_TYP, &claims);
                signed.map_err(|error| error.to_string())
            };
            let statements = Statements {
                statements: part.iter().map(sign).collect::<Result<_, _>>()?,
            };
            let request = Request::post_json(format!("{base}{PUBLISH}"), &statements)
                .map_err(|error| error.to_string())?;
            let audience = format!("{base}{FHIR}");
            let answer = party.send(&audience, PUBLISH_SCOPE, request).await;
            last = answer.map_err(|error| error.to_string())?.status;
            if last != StatusCode::OK {
                return Ok(last);
            }
        }
        Ok(last)
    }

    fn statement(&self, party: &Party, resource: &Value, version: u64, exp: i64) -> Statement {
        let signer = OrganisationNumber::parse(party.organisation()).ok();
        let signer = signer.map(|one| self.config.register.main_unit(one));
        Statement {
            iss: signer.map_or_else(String::new, |one| one.to_string()),
            owner: self.config.owner.to_string(),
            sub: reference(resource),
            version,
            iat: exp - LIFE,
            exp,
            said: Said::Listed,
            resource: Some(resource.clone()),
        }
    }

    /// The newest count that the catalogue holds of these entries.
    async fn newest(
        &self,
        listing: &Listing,
        party: &Party,
        resources: &[Value],
    ) -> Result<u64, String> {
        let audience = format!("{}{FHIR}", base(listing));
        let mut newest = 0;
        for resource in resources {
            let request = Request::get(format!("{audience}/{}", reference(resource)));
            let answer = party.send(&audience, READ_BACK, request).await;
            let answer = answer.map_err(|error| error.to_string())?;
            let held: Option<Value> = answer.json().ok();
            newest = newest.max(held.as_ref().and_then(version_in).unwrap_or_default());
        }
        Ok(newest)
    }
}

/// Scope for reading the own entries back.
const READ_BACK: &str = PUBLISH_SCOPE;

impl Listed {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn base(listing: &Listing) -> String {
    listing.catalogue.as_str().trim_end_matches('/').to_owned()
}

fn reference(resource: &Value) -> String {
    let text = |name: &str| {
        resource
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!("{}/{}", text("resourceType"), text("id"))
}

/// The count in the statement that an entry carries. It is not verified: all it does is to be counted on from.
fn version_in(entry: &Value) -> Option<u64> {
    let payload = carried(entry)?.split('.').nth(1)?;
    let payload = trust::encoding::from_base64url(payload)?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    claims.get("version")?.as_u64()
}

/// The profiles that resources may claim here and are then checked by.
fn profiles() -> impl Iterator<Item = &'static str> {
    let all = fhir::check::profile::all().iter();
    all.filter_map(|profile| profile.canonicals.first().map(String::as_str))
}

/// Does a policy publish anything of this kind?
fn publishes(policy: &Publishing, kind: InformationService) -> bool {
    let covers = |one: &Published| match one {
        Published::Service(service) => *service == kind,
        Published::Type(resource) => resource.information_service() == Some(kind),
        Published::Measurement(_) => kind == InformationService::MEASUREMENTS,
    };
    policy.is_everything()
        || policy
            .shares
            .iter()
            .any(|share| share.kinds.is_empty() || share.kinds.iter().any(covers))
}
