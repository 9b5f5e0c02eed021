//! The data-sharing service (datadelingstjeneste) of one organisation: FHIR R4 over its own store.
//!
//! It takes the feed from the organisation's record system and from the hub, announces to the locator which kinds of data
//! it holds about whom, answers look-ups by role and need, minimises, and audits before it answers.
//! It must never join the data of two controllers, and never answer without an audit record on disk.
//!
//! A look-up's way: `api/search.rs` → `wire::visit` (verified caller) → `trust::decide` (permit) → `store` → `disclose`.

mod alert;
mod announce;
mod api;
mod assess;
mod compare;
mod config;
mod consent;
mod copy;
mod disclose;
mod feed;
mod listing;
mod part;
mod publish;
pub mod pvk;
mod routes;
mod subscription;
mod work_list;

pub use alert::Deadlines;
pub use assess::{Assessment, Device};
pub use compare::Found;
pub use config::{Config, OpenError, Partner};
pub use copy::{Copy, Expected, Feed, Promise, Silence, lag};
pub use listing::Listing;
pub use routes::{ROUTES, routes};
pub use subscription::Subscriber;

use fhir::check::Rules;
use fhir::resource::ResourceType;
use std::sync::Arc;
use store::Store;
use trust::{Facts, Party};
use wire::members::MemberBook;
use wire::protect::{Guard, GuardConfig};
use wire::visit::Desk;
use wire::{House, Worker};

/// An opened sharing service.
pub struct State {
    config: Config,
    base: String,
    house: House,
    desk: Desk,
    locator: Option<(String, wire::client::Party)>,
    /// As whom it speaks to the common services.
    party: Option<wire::client::Party>,
    /// Who takes part, by the anchor's documents: what the service says of itself must agree, and alerts are handed over among them.
    members: MemberBook,
    /// What it last stated in the catalogue.
    listed: listing::Listed,
    /// How far the locator had drifted.
    drift: compare::Drift,
    /// How far each feed has come.
    copy: copy::Book,
    /// Who is told of what.
    subscriptions: Arc<subscription::Book>,
    /// When open alerts are to be looked at.
    alerts: alert::Queue,
    /// Citizens' settings made elsewhere.
    replication: Option<pvk::Replication>,
    /// Held while a condition is searched and acted on, so that no other comes between.
    conditions: tokio::sync::Mutex<()>,
}

impl State {
    /// This organisation's store.
    pub fn store(&self) -> &Store {
        &self.desk.store
    }

    /// Whether resources of this type are written, read and searched here; nobody writes the trail.
    fn serves(&self, resource: ResourceType) -> bool {
        self.config.types.serves(resource)
    }

    /// How long alerts wait.
    fn deadlines(&self) -> Deadlines {
        let assessment = self.config.assessment.as_ref();
        assessment.map(|one| one.deadlines).unwrap_or_default()
    }

    /// For whom an alert is after so many deadlines have passed.
    fn escalated_to(&self, level: u32) -> Option<&str> {
        let roles = &self.config.assessment.as_ref()?.escalate_to;
        let passed = usize::try_from(level).ok()?.checked_sub(1)?;
        roles.get(passed).or(roles.last()).map(String::as_str)
    }

    /// Who answers for the assessment.
    fn device(&self) -> Device {
        let assessment = self.config.assessment.as_ref();
        assessment.map_or(Device::Demonstration, |one| one.device.clone())
    }

    /// The rules that a resource is checked by now.
    fn rules(&self) -> Rules {
        Rules {
            person_numbers: self.config.person_numbers,
            zone: self.config.zone.clone(),
            now: Some((self.house.clock)()),
            unknown_codes: fhir::check::UnknownCodes::Accept,
            profiles: self.config.profiles.clone(),
        }
    }
}

/// Opens the service's store and its ways to anchor and locator.
pub async fn open(mut config: Config, house: House) -> Result<Arc<State>, OpenError> {
    if config.assessment.is_some() {
        // What is assessed raises alerts, and they are Tasks.
        config.types = config.types.with(ResourceType::TASK);
    }
    let announces = config.locator.is_some();
    let subscriptions = Arc::new(subscription::Book::default());
    let options = store::Options {
        announce: announces.then(|| wire::contract::locator::OUTBOX_RECEIVER.to_owned()),
        publishing: config.publish.clone(),
        follow: followers(&config),
        lists: (!config.subscribers.is_empty())
            .then(|| subscriptions.clone() as Arc<dyn store::Lists>),
        ..store::Options::default()
    };
    let owner = config.store_of.as_ref().unwrap_or(&config.id);
    let store = Store::open_with(&house.data, owner, house.surroundings(), options)?;
    let base = config.base.as_str().trim_end_matches('/').to_owned();
    let guard = Guard::new(
        GuardConfig {
            issuer: config.issuer.clone(),
            jwks_url: format!("{}{}", config.issuer, wire::contract::anchor::JWKS),
            audience: base.clone(),
            base: base.clone(),
        },
        store.clone(),
        &house,
    );
    let is_subscribed = !config.subscribers.is_empty();
    // Its people's assessments of alerts are sealed by it.
    let speaks = config.locator.is_some()
        || config.listing.is_some()
        || config.assessment.is_some()
        || is_subscribed;
    let party = config.client_file.as_ref().filter(|_| speaks).map(|file| {
        let (http, clock) = (house.http.clone(), house.clock.clone());
        wire::client::Party::from_file(file, http, clock, house.ids.clone())
    });
    let party = party.transpose()?;
    if is_subscribed && party.is_none() {
        return Err(OpenError::NoSigner);
    }
    let locator = match (&config.locator, &party) {
        (Some(url), Some(party)) => {
            let base = url.as_str().trim_end_matches('/').to_owned();
            Some((base, party.clone()))
        }
        (Some(_), None) => return Err(OpenError::NoClient),
        (None, _) => None,
    };
    let replication = match &config.pvk {
        Some(source) => Some(pvk::Replication::open(source, &house, &store).await?),
        None => None,
    };
    let known = replication.as_ref().map(pvk::Replication::known);
    let facts = Facts {
        party: Party::Sharing,
        owner: config.owner,
        members: config.members.clone().into(),
        audience: base.as_str().into(),
        wishes: [].into(),
        known: known.unwrap_or_default(),
        register: Arc::new(config.register.clone()),
        now: (house.clock)(),
    };
    let desk = Desk {
        guard,
        facts,
        store,
        clock: house.clock.clone(),
    };
    let copy = copy::Book::open(&desk.store).await?;
    subscriptions.fill(&desk.store).await?;
    let members = MemberBook::new(&config.issuer, house.http.clone(), house.clock.clone());
    let state = Arc::new(State {
        config,
        base,
        house,
        desk,
        locator,
        party,
        listed: listing::Listed::default(),
        drift: compare::Drift::default(),
        copy,
        subscriptions,
        alerts: alert::Queue::default(),
        members,
        replication,
        conditions: tokio::sync::Mutex::new(()),
    });
    state.subscriptions_found().await?;
    state.subscriptions_of_before().await?;
    Ok(state)
}

/// Who in this house hears of each change.
fn followers(config: &Config) -> Vec<String> {
    let assess = config
        .assessment
        .as_ref()
        .map(|_| assess::RECEIVER.to_owned());
    assess.into_iter().collect()
}

/// Background work: telling subscribers, watching alerts' deadlines, announcing to the locator what is published and comparing with it, the entry in the catalogue, replicating
/// citizens' settings, the alarms of copies that are too old, assessment.
pub fn workers(state: Arc<State>) -> Vec<Worker> {
    let mut workers = announce::workers(state.clone());
    workers.extend(publish::workers(state.clone()));
    workers.extend(listing::workers(state.clone()));
    workers.extend(compare::workers(state.clone()));
    workers.extend(pvk::workers(state.clone()));
    workers.extend(copy::workers(state.clone()));
    workers.extend(assess::workers(state.clone()));
    workers.extend(subscription::workers(&state));
    workers.extend(alert::workers(state));
    workers
}
