//! The welfare technology hub (velferdsteknologisk knutepunkt): takes measurements from home systems, checks them, knows a
//! resend, finds the responsible organisation and delivers to its record system and its sharing service.
//!
//! It must never lose an acknowledged reading, never interpret one, and hold no clinical data longer than delivery needs.
//!
//! A reading's way: `api/receive.rs` → `intake` (checked, addressed, known or new) → the hub's outbox → `deliver`. Where rules say so
//! (`amount`), it waits in between until its day is over (`held`, `day`, `note`).

mod address;
mod alive;
mod amount;
mod api;
mod assignment;
mod bounds;
mod day;
mod deliver;
mod document;
mod forget;
mod held;
mod idempotency;
mod intake;
mod note;
mod quarantine;
mod silence;
mod tally;
#[cfg(test)]
mod tests;
mod turned_away;
mod versions;

pub use amount::{Amount, Form, Rule};
pub use bounds::Bounds;
pub use silence::{Expected, Silence};
pub use wire::pace::Rate;

use axum::Router;
use fhir::ids::{OrganisationNumber, PersonNumbers};
use fhir::resource::InformationService;
use fhir::time::Zone;
use std::path::PathBuf;
use std::sync::Arc;
use store::Store;
use trust::organisation::Register;
use trust::{Facts, Party};
use url::Url;
use wire::contract::hub::ReceiverKind;
use wire::protect::{Guard, GuardConfig};
use wire::route::{Access, RouteRow, Routes};
use wire::visit::Desk;
use wire::{House, Worker};

/// What the hub needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Base URL; `/fhir` is appended.
    pub base: Url,
    /// The organisation that runs the hub (a data processor).
    pub operator: OrganisationNumber,
    /// Issuer of tokens.
    pub issuer: String,
    /// The hub's own client file, with which it delivers.
    pub client_file: PathBuf,
    /// Organisations and their sub-units.
    pub register: Register,
    /// Zone in which a date without time counts.
    pub zone: Zone,
    /// How strictly person numbers are checked.
    pub person_numbers: PersonNumbers,
    /// Demo: readings under numbers not marked synthetic are refused and not kept.
    pub synthetic_only: bool,
    /// Whether a reading is taken only of a device that is assigned at its time.
    pub require_assignment: bool,
    /// Device identifiers (`system|value`) that name a model, of which many have one: no assignment of them is taken or holds.
    pub models: Vec<String>,
    /// Days that delivery state is kept after delivery.
    pub replay_days: u32,
    /// What is kept for a sender.
    pub bounds: Bounds,
    /// Home systems that are expected to send.
    pub expects: Vec<Expected>,
    /// Responsible organisations and where their readings go.
    pub receivers: Vec<Receiver>,
}

/// A responsible organisation's two receivers.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// The organisation.
    pub orgnr: OrganisationNumber,
    /// Its record system's base; `/fhir` is appended.
    pub record_system: Option<Url>,
    /// What its record system takes.
    pub record_system_kinds: Vec<InformationService>,
    /// How much of the readings its record system gets and in what form; where it has a sharing service, which gets everything.
    pub record_system_rules: Vec<Rule>,
    /// Its sharing service's whole FHIR base; for a member of a shared register, the register's.
    pub sharing: Option<Url>,
    /// Client ids that the sharing service expects to hear; where the hub's is among them, it is told that the hub is alive.
    pub expected_there: Vec<String>,
}

/// Why the hub cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its store.
    #[error("the store: {0}")]
    Store(#[from] store::StoreError),
    /// Its client file.
    #[error("the client file: {0}")]
    Client(#[from] wire::client::PartyError),
}

/// One place that readings are delivered to.
struct Destination {
    /// Name in the outbox: `310001007/sharing`.
    name: String,
    kind: ReceiverKind,
    orgnr: OrganisationNumber,
    /// Whole FHIR base, also the audience.
    fhir: String,
    kinds: Vec<InformationService>,
    rules: Vec<Rule>,
}

/// The opened hub.
pub struct State {
    config: Config,
    house: House,
    desk: Desk,
    party: wire::client::Party,
    destinations: Vec<Destination>,
    answers: idempotency::Answers,
    /// What is kept aside for each sender.
    aside: tally::Tally,
    /// Which devices are assigned.
    assigned: assignment::Known,
    /// How many readings each receiver was not to get.
    left_out: tally::Tally,
    /// How many readings wait for each receiver until their day is over.
    held: tally::Tally,
    /// When senders were heard that are expected.
    heard: silence::Heard,
    /// Services that wait for signs of life.
    waiting: Vec<alive::Waiting>,
    /// What each sender sends.
    senders: wire::pace::Pace,
    /// What each patient's each device sends.
    devices: wire::pace::Pace,
    /// Who was told to come later.
    turned_away: turned_away::TurnedAway,
}

impl State {
    /// Looks once who is silent and says what is to be said to whoever waits for a sign of life.
    ///
    /// # Errors
    /// The store's: then nothing is said.
    pub async fn says_alive(&self) -> Result<(), store::StoreError> {
        alive::round(self).await
    }

    /// The hub's own store.
    pub fn store(&self) -> &Store {
        &self.desk.store
    }

    /// By what a sender is counted.
    fn sender(&self, client: &str) -> wire::pace::Key {
        self.desk.store.keyed("sender", client.as_bytes())
    }

    /// Where an organisation's readings of a kind go.
    fn destinations_of(
        &self,
        orgnr: OrganisationNumber,
        kind: InformationService,
    ) -> impl Iterator<Item = &Destination> {
        self.destinations
            .iter()
            .filter(move |d| d.orgnr == orgnr && d.kinds.contains(&kind))
    }
}

const SEND: Access = Access::Token {
    scope: "system/Observation.c",
};
const ASSIGN: Access = Access::Token {
    scope: wire::contract::hub::ASSIGN_SCOPE,
};

/// The hub's routes, relative to its base.
pub const ROUTES: &[RouteRow] = &[
    RouteRow {
        method: "GET",
        path: "/fhir/metadata",
        access: Access::Public,
    },
    RouteRow {
        method: "GET",
        path: "/openapi.json",
        access: Access::Public,
    },
    RouteRow {
        method: "POST",
        path: "/fhir",
        access: SEND,
    },
    RouteRow {
        method: "POST",
        path: "/fhir/Observation",
        access: SEND,
    },
    RouteRow {
        method: "POST",
        path: "/fhir/QuestionnaireResponse",
        access: Access::Token {
            scope: wire::contract::hub::ANSWER_SCOPE,
        },
    },
    RouteRow {
        method: "GET",
        path: "/assignments",
        access: ASSIGN,
    },
    RouteRow {
        method: "POST",
        path: "/assignments",
        access: ASSIGN,
    },
    RouteRow {
        method: "POST",
        path: "/assignments/end",
        access: ASSIGN,
    },
    RouteRow {
        method: "GET",
        path: "/deliveries",
        access: SEND,
    },
    RouteRow {
        method: "GET",
        path: "/deliveries/{key}",
        access: SEND,
    },
    RouteRow {
        method: "GET",
        path: "/quarantine",
        access: SEND,
    },
    RouteRow {
        method: "POST",
        path: "/quarantine/{id}/replay",
        access: SEND,
    },
    RouteRow {
        method: "GET",
        path: "/dead-letters",
        access: SEND,
    },
    RouteRow {
        method: "POST",
        path: "/deliveries/{key}/replay",
        access: SEND,
    },
];

/// Opens the hub's store and its ways to the receivers.
pub async fn open(config: Config, house: House) -> Result<Arc<State>, OpenError> {
    let options = store::Options {
        keep_delivered_seconds: i64::from(config.replay_days) * 24 * 3600,
        ..store::Options::default()
    };
    let store = Store::open_with(&house.data, "hub", house.surroundings(), options)?;
    let base = config.base.as_str().trim_end_matches('/').to_owned();
    let audience = format!("{base}{}", wire::contract::hub::FHIR);
    let guard = Guard::new(
        GuardConfig {
            issuer: config.issuer.clone(),
            jwks_url: format!("{}{}", config.issuer, wire::contract::anchor::JWKS),
            audience: audience.clone(),
            base,
        },
        store.clone(),
        &house,
    );
    let facts = Facts {
        party: Party::Hub,
        owner: config.operator,
        members: Vec::new().into(),
        audience: audience.into(),
        wishes: [].into(),
        known: Default::default(),
        register: Arc::new(config.register.clone()),
        now: (house.clock)(),
    };
    let party = wire::client::Party::from_file(
        &config.client_file,
        house.http.clone(),
        house.clock.clone(),
        house.ids.clone(),
    )?;
    let answers = idempotency::Answers::counted(&store).await?;
    let aside = quarantine::counted(&store).await?;
    let left_out = amount::counted(&store).await?;
    let held = held::counted(&store).await?;
    let assigned = assignment::Known::counted(&store).await?;
    let heard = silence::Heard::open(&store, &config.expects, (house.clock)()).await?;
    let waiting = alive::waiting(&config.receivers, party.client_id());
    let senders = wire::pace::Pace::new(config.bounds.sender);
    let devices = wire::pace::Pace::new(config.bounds.device);
    let turned_away = turned_away::TurnedAway::nobody(house.pause.clone());
    let destinations = config.receivers.iter().flat_map(destinations).collect();
    let desk = Desk {
        guard,
        facts,
        store,
        clock: house.clock.clone(),
    };
    Ok(Arc::new(State {
        config,
        house,
        desk,
        party,
        destinations,
        answers,
        aside,
        assigned,
        left_out,
        held,
        heard,
        waiting,
        senders,
        devices,
        turned_away,
    }))
}

fn destinations(receiver: &Receiver) -> Vec<Destination> {
    let trimmed = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
    let record_system = receiver.record_system.as_ref().map(|base| Destination {
        name: format!("{}/record-system", receiver.orgnr.as_str()),
        kind: ReceiverKind::RecordSystem,
        orgnr: receiver.orgnr,
        fhir: format!("{}{}", trimmed(base), wire::contract::record_system::FHIR),
        kinds: receiver.record_system_kinds.clone(),
        // What nobody else has is not left out.
        rules: match receiver.sharing {
            Some(_) => receiver.record_system_rules.clone(),
            None => Vec::new(),
        },
    });
    let sharing = receiver.sharing.as_ref().map(|fhir| Destination {
        name: format!("{}/sharing", receiver.orgnr.as_str()),
        kind: ReceiverKind::Sharing,
        orgnr: receiver.orgnr,
        fhir: trimmed(fhir),
        kinds: InformationService::ALL.to_vec(),
        rules: Vec::new(),
    });
    record_system.into_iter().chain(sharing).collect()
}

/// Every route of the table with its handler.
pub fn routes(state: Arc<State>) -> Router {
    let ids = state.house.ids.clone();
    Routes::of(ROUTES)
        .on("GET", "/fhir/metadata", api::metadata::metadata)
        .on("GET", "/openapi.json", api::metadata::openapi)
        .on("POST", "/fhir", api::receive::bundle)
        .on("POST", "/fhir/Observation", api::receive::observation)
        .on(
            "POST",
            "/fhir/QuestionnaireResponse",
            api::receive::questionnaire_response,
        )
        .on("GET", "/assignments", api::assignments::list)
        .on("POST", "/assignments", api::assignments::assign)
        .on("POST", "/assignments/end", api::assignments::end)
        .on("GET", "/deliveries", api::deliveries::all)
        .on("GET", "/deliveries/{key}", api::deliveries::one)
        .on("GET", "/quarantine", api::deliveries::quarantine)
        .on("POST", "/quarantine/{id}/replay", api::replay::quarantined)
        .on("GET", "/dead-letters", api::replay::dead_letters)
        .on("POST", "/deliveries/{key}/replay", api::replay::delivery)
        .build(state, wire::request_id::Join::Front, ids)
        .layer(axum::middleware::from_fn(wire::body::negotiated))
}

/// One courier a receiver, so that a dead one delays no other, one who looks at days that are over, one who forgets, one who puts on record how
/// many were turned away, and where somebody is expected to be heard one who tells of silences and that the hub is alive.
pub fn workers(state: Arc<State>) -> Vec<Worker> {
    let mut workers = deliver::workers(&state);
    workers.push(day::worker(state.clone()));
    workers.push(forget::worker(state.clone()));
    workers.push(turned_away::worker(state.clone()));
    workers.extend(alive::worker(state));
    workers
}
