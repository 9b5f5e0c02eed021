//! The API catalogue (API-katalog): which organisation offers which information at which address, as FHIR R4 resources in
//! the manner of IHE mCSD (Organization, HealthcareService, Endpoint, OrganizationAffiliation).
//!
//! An entry is its owner's: stated by a signed document, changed and withdrawn by another, lapsed when it is not said again
//! (`accept.rs`, decision 0044). For organisations that state nothing the region's configuration stands in (`seed.rs`). Every
//! version is kept (`shelf.rs`). It must never hold anything about a patient: a token's patient is left out of its records
//! (`record.rs` says how far), and so is every search value that names nothing in the catalogue.
//!
//! A question's way: `api/search.rs` → `wire::visit` (verified caller) → `trust::decide` → `question.rs` → `record.rs`.
//! A statement's: `api/publish.rs` → `wire::members` (whose signature) → `accept.rs` → `shelf.rs`.

mod accept;
mod api;
mod entry;
mod probe;
mod question;
mod record;
mod seed;
mod shelf;

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use fhir::ids::OrganisationNumber;
use fhir::resource::InformationService;
pub use probe::{Owner as Custodian, Seen};
use store::Store;
use trust::audit::Record;
use trust::organisation::Register;
use trust::{Facts, Interaction, Party};
use url::Url;
pub use wire::contract::demo::Concept;
pub use wire::contract::statement::{Organisation, SubUnit};
use wire::protect::{Guard, GuardConfig};
use wire::route::{Access, RouteRow, Routes};
use wire::visit::Desk;
use wire::{House, Worker};

use shelf::Shelf;
use wire::members::MemberBook;

/// What the catalogue needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Base URL, to which `/fhir` is appended; with it the audience of its tokens.
    pub base: Url,
    /// Issuer of tokens.
    pub issuer: String,
    /// Organisations that take part, suppliers and collaborations among them.
    pub organisations: Vec<Organisation>,
    /// Sharing services.
    pub services: Vec<Service>,
}

/// A sharing service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Service id, for example `fjellvik`.
    pub id: String,
    /// The responsible organisation.
    pub orgnr: OrganisationNumber,
    /// Name of the service.
    pub name: String,
    /// How it is realised.
    pub concept: Concept,
    /// The supplier that runs it, if one does.
    pub supplier: Option<OrganisationNumber>,
    /// Members of a shared register; empty otherwise.
    pub members: Vec<OrganisationNumber>,
    /// Its whole FHIR base URL.
    pub fhir: Url,
    /// The information services it offers.
    pub services: Vec<InformationService>,
    /// Telephone to the people behind it.
    pub telephone: Option<String>,
    /// Where the terms of use stand, https.
    pub terms: Option<Url>,
}

/// Why the catalogue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its store.
    #[error("the store: {0}")]
    Store(#[from] store::StoreError),
    /// No organisation at all.
    #[error("no organisation is configured")]
    Empty,
    /// A service, member or supplier that is not among the organisations.
    #[error("service {service}: organisation {orgnr} is not among the organisations")]
    Unknown {
        /// The service.
        service: String,
        /// The organisation that is missing.
        orgnr: OrganisationNumber,
    },
    /// Two entries for one thing.
    #[error("{0} is there twice")]
    Twice(String),
    /// A text with control characters, or none at all.
    #[error("{0}: a text is empty or holds control characters")]
    Text(String),
    /// An address that no party could dial.
    #[error("service {0}: the address must be http(s) without user info, query and fragment")]
    Address(String),
    /// A link that nobody could follow safely.
    #[error("service {0}: the terms of use must stand at an https URL without user info")]
    Terms(String),
}

/// The opened catalogue.
pub struct State {
    base: String,
    issuer: String,
    house: House,
    desk: Desk,
    shelf: RwLock<Arc<Shelf>>,
    /// Held while a statement is taken in: they come one after the other.
    turn: tokio::sync::Mutex<()>,
    members: MemberBook,
    /// What was seen at the addresses.
    sight: probe::Sight,
}

impl State {
    /// Its store: versions of its entries, and the audit trail.
    pub fn store(&self) -> &Store {
        &self.desk.store
    }

    /// What was last seen at each listed address, by service id.
    pub fn seen(&self) -> Vec<(String, Seen)> {
        let shelf = self.shelf();
        let listed = shelf.of_type(fhir::resource::ResourceType::ENDPOINT);
        let seen = listed.filter_map(|entry| {
            let service = entry.identifiers.first()?.code.clone();
            Some((service, self.sight.of(entry)?))
        });
        seen.collect()
    }

    /// The entries as they stand.
    fn shelf(&self) -> Arc<Shelf> {
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        shelf.clone()
    }

    /// An entry as it is given out at `now`.
    fn shown(&self, entry: &entry::Entry, now: fhir::time::Instant) -> serde_json::Value {
        entry.shown(now, self.sight.of(entry).as_ref())
    }

    /// Lays what was just committed at hand.
    fn lay(&self, shelf: Shelf) {
        *self.shelf.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shelf);
    }

    fn register(&self) -> &Register {
        &self.desk.facts.register
    }
}

const READ: Access = Access::Token {
    scope: "system/{type}.rs, for example system/Endpoint.rs",
};

/// The catalogue's routes, relative to its base.
pub const ROUTES: &[RouteRow] = &[
    RouteRow {
        method: "GET",
        path: "/fhir/metadata",
        access: Access::Public,
    },
    RouteRow {
        method: "GET",
        path: wire::contract::catalogue::TYPE,
        access: READ,
    },
    RouteRow {
        method: "POST",
        path: wire::contract::catalogue::SEARCH,
        access: READ,
    },
    RouteRow {
        method: "GET",
        path: wire::contract::catalogue::INSTANCE,
        access: READ,
    },
    RouteRow {
        method: "GET",
        path: api::history::SYSTEM,
        access: Access::Token {
            scope: "system/*.r, or the right on each type",
        },
    },
    RouteRow {
        method: "GET",
        path: api::history::TYPE,
        access: READ,
    },
    RouteRow {
        method: "GET",
        path: api::history::INSTANCE,
        access: READ,
    },
    RouteRow {
        method: "GET",
        path: api::history::VERSION,
        access: READ,
    },
    RouteRow {
        method: "POST",
        path: wire::contract::statement::PUBLISH,
        access: Access::Token {
            scope: wire::contract::statement::PUBLISH_SCOPE,
        },
    },
];

/// Opens the store and lays the configuration's entries beside what organisations have stated of themselves: what changed
/// since the last start becomes a new version, what is no longer configured is withdrawn.
///
/// # Errors
/// [`OpenError`]: a configuration that contradicts itself, or a store that does not open.
pub async fn open(config: Config, house: House) -> Result<Arc<State>, OpenError> {
    let first = config.organisations.first().ok_or(OpenError::Empty)?.orgnr;
    let register = seed::register(&config.organisations);
    let configured = seed::entries(&config)?;
    let store = Store::open(&house.data, "catalogue", house.surroundings())?;
    let shelf = Shelf::open(&store).await?;
    let shelf = shelf::settle(&store, &shelf, shelf.unnumbered(), None).await?;
    let asked = "the operator's configuration";
    let record = Record::new((house.clock)(), (house.ids)(), Interaction::Publish, asked);
    let changes = seed::changes(&configured, &shelf);
    let mut shelf = shelf::settle(&store, &shelf, changes, Some(record)).await?;
    shelf.in_order_of(&configured);
    let base = config.base.as_str().trim_end_matches('/').to_owned();
    let audience = format!("{base}{}", wire::contract::catalogue::FHIR);
    let guard = Guard::new(
        GuardConfig {
            issuer: config.issuer.clone(),
            jwks_url: format!("{}{}", config.issuer, wire::contract::anchor::JWKS),
            audience: audience.clone(),
            base: base.clone(),
        },
        store.clone(),
        &house,
    );
    let facts = Facts {
        party: Party::Catalogue,
        // Nobody's patients are here, so no rule asks whose the catalogue is.
        owner: first,
        members: [].into(),
        audience: audience.into(),
        wishes: [].into(),
        known: Default::default(),
        register: Arc::new(register),
        now: (house.clock)(),
    };
    let desk = Desk {
        guard,
        facts,
        store,
        clock: house.clock.clone(),
    };
    let members = MemberBook::new(&config.issuer, house.http.clone(), house.clock.clone());
    Ok(Arc::new(State {
        base,
        issuer: config.issuer,
        house,
        desk,
        shelf: RwLock::new(Arc::new(shelf)),
        turn: tokio::sync::Mutex::default(),
        members,
        sight: probe::Sight::default(),
    }))
}

/// Every route of the table with its handler.
pub fn routes(state: Arc<State>) -> Router {
    let ids = state.house.ids.clone();
    Routes::of(ROUTES)
        .on("GET", "/fhir/metadata", api::metadata::metadata)
        .on(
            "GET",
            wire::contract::catalogue::TYPE,
            api::search::by_query,
        )
        .on(
            "POST",
            wire::contract::catalogue::SEARCH,
            api::search::by_form,
        )
        .on("GET", wire::contract::catalogue::INSTANCE, api::read::read)
        .on("GET", api::history::SYSTEM, api::history::of_all)
        .on("GET", api::history::TYPE, api::history::of_type)
        .on("GET", api::history::INSTANCE, api::history::of_one)
        .on("GET", api::history::VERSION, api::read::version)
        .on(
            "POST",
            wire::contract::statement::PUBLISH,
            api::publish::publish,
        )
        .build(state, wire::request_id::Join::Behind, ids)
}

/// Background work: looking at what is listed.
pub fn workers(state: Arc<State>) -> Vec<Worker> {
    vec![probe::worker(state)]
}
