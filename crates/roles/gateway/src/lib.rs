//! The gateway: the consumer's side of a look-up across organisations.
//!
//! It finds whom to ask (`locate`), asks everyone at once with the user's own token for each (`ask`), looks at what came
//! (`examine`), makes one list of it (`merge`), and says of every source what became of it (`account`, the completeness
//! receipt). It records each look-up in the consuming organisation's own store before it answers.
//! It must never keep clinical data, never ask anybody whom neither the locator nor the user named, and never let a silent
//! source look like an empty one.
//!
//! A look-up's way: `api/lookup.rs` → `question` → `locate` → `ask` (over a `line` each) → `examine` → `merge` → `place` (one
//! page) → `account`.

mod account;
mod answer;
mod api;
mod ask;
mod bad_days;
mod changes;
mod circuit;
mod deadline;
mod desks;
mod directory;
mod document;
mod examine;
mod filing;
mod line;
mod locate;
mod merge;
mod place;
mod question;
mod wishes;

pub use circuit::{Phase, Standing};

use axum::Router;
use fhir::ids::{OrganisationNumber, PersonNumbers};
use fhir::time::Zone;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use trust::organisation::Register;
use url::Url;
use wire::client::Party;
use wire::contract::gateway::{EXPLAIN, FHIR, MAY_LOOK};
use wire::members::MemberBook;
use wire::protect::GuardConfig;
use wire::route::{Access, RouteRow, Routes};
use wire::{House, Worker};

use crate::circuit::Circuits;
use crate::desks::Desks;
use crate::directory::Directory;

/// What the gateway needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its base URL; `/fhir` is appended, and that is the audience of its tokens.
    pub base: Url,
    /// Issuer of tokens.
    pub issuer: String,
    /// The client file with which it asks others and signs receipts.
    pub client_file: PathBuf,
    /// The catalogue's base.
    pub catalogue: Url,
    /// The locator, where one is agreed on.
    pub locator: Option<LocatorConfig>,
    /// Organisations and their sub-units.
    pub register: Register,
    /// Zone in which a date without time counts.
    pub zone: Zone,
    /// How strictly person numbers are checked.
    pub person_numbers: PersonNumbers,
    /// Whether people sign in at the issuer; with it apps are launched.
    pub sign_in: bool,
    /// Record systems of consuming organisations, by the FHIR base to which documents are posted. It files at those that its
    /// client file names as audiences.
    pub record_systems: Vec<(OrganisationNumber, String)>,
    /// How long the last good copy of the catalogue serves while it is silent.
    pub catalogue_grace: Duration,
    /// How long one source may take, pages and token included (3 s).
    pub source_deadline: Duration,
    /// How long locating and asking may take together (5 s).
    pub total_deadline: Duration,
}

/// The locator that the gateway asks.
#[derive(Clone, Debug)]
pub struct LocatorConfig {
    /// Its base, also the audience of its tokens.
    pub base: Url,
    /// Organisations bound by its agreement; only for them is it asked.
    pub members: Vec<OrganisationNumber>,
}

/// Why the gateway cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// One of its stores.
    #[error("the store: {0}")]
    Store(#[from] store::StoreError),
    /// Its client file.
    #[error("the client file: {0}")]
    Client(#[from] wire::client::PartyError),
    /// Its client is registered for something that is no organisation.
    #[error("the client file's organisation: {0}")]
    Organisation(#[from] fhir::ids::IdError),
}

/// An opened gateway.
pub struct State {
    config: Config,
    /// By controller.
    record_systems: HashMap<OrganisationNumber, String>,
    circuits: Circuits,
    /// `{gateway}/fhir`.
    fhir: String,
    /// The organisation that runs it.
    owner: OrganisationNumber,
    house: House,
    desks: Desks,
    party: Party,
    directory: Arc<Directory>,
    members: MemberBook,
    /// Where a copy of what catalogue and anchor said outlives the process.
    shelf: bad_days::Shelf,
    locator: Option<Locator>,
}

/// The locator, its base without a slash at the end.
struct Locator {
    base: String,
    members: Vec<OrganisationNumber>,
}

impl State {
    /// Every audit trail of this gateway: its own, and one for each organisation that looked up.
    pub fn trails(&self) -> Vec<Store> {
        let trails = self.desks.trails();
        trails.into_iter().map(|(_, store)| store).collect()
    }

    /// The gateway's own store. Those of consuming organisations lie in folders below it, named by organisation number.
    pub fn store(&self) -> &Store {
        &self.desks.own().store
    }

    /// How each provider's circuit stands now, for operators; nothing in it is about any patient.
    pub fn circuits(&self) -> Vec<Standing> {
        self.circuits.standing((self.house.clock)())
    }

    /// The controller of an organisation, itself where nobody registered it.
    fn controller(&self, organisation: OrganisationNumber) -> OrganisationNumber {
        self.config.register.main_unit(organisation)
    }
}

/// The gateway's routes, relative to its base.
pub const ROUTES: &[RouteRow] = &[
    RouteRow {
        method: "GET",
        path: "/fhir/metadata",
        access: Access::Public,
    },
    RouteRow {
        method: "GET",
        path: "/fhir/.well-known/smart-configuration",
        access: Access::Public,
    },
    RouteRow {
        method: "POST",
        path: "/fhir/{type}/_search",
        access: Access::Token {
            scope: "user/*.rs or patient/*.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/fhir/AuditEvent/_search",
        access: Access::Token {
            scope: "patient/AuditEvent.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/fhir/Consent",
        access: Access::Token {
            scope: "patient/Consent.c",
        },
    },
    RouteRow {
        method: "POST",
        path: "/fhir/Consent/_search",
        access: Access::Token {
            scope: "patient/Consent.s",
        },
    },
    RouteRow {
        method: "DELETE",
        path: "/fhir/Consent/{id}",
        access: Access::Token {
            scope: "patient/Consent.ds",
        },
    },
    RouteRow {
        method: "POST",
        path: MAY_LOOK,
        access: Access::Token {
            scope: "patient/AuditEvent.s",
        },
    },
    RouteRow {
        method: "POST",
        path: EXPLAIN,
        access: Access::Token {
            scope: "patient/AuditEvent.s",
        },
    },
    RouteRow {
        method: "GET",
        path: "/fhir/_page/{sealed}",
        access: Access::Token {
            scope: "user/*.rs or patient/*.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/fhir/Observation/$lastn",
        access: Access::Token {
            scope: "user/Observation.rs or patient/Observation.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/fhir/Observation/$stats",
        access: Access::Token {
            scope: "user/Observation.rs or patient/Observation.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/fhir/Patient/$everything",
        access: Access::Token {
            scope: "user/*.rs or patient/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/fhir/_everything/{sealed}",
        access: Access::Token {
            scope: "user/*.rs or patient/*.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/fhir/$read",
        access: Access::Token {
            scope: "user/*.rs or patient/*.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/fhir/$file",
        access: Access::Token { scope: "user/*.rs" },
    },
    RouteRow {
        method: "GET",
        path: "/fhir/_changes/{sealed}",
        access: Access::Token {
            scope: "user/*.rs or patient/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/fhir/OperationOutcome/{id}",
        access: Access::Token {
            scope: "user/OperationOutcome.r or patient/OperationOutcome.r",
        },
    },
    RouteRow {
        method: "GET",
        path: "/jwks",
        access: Access::Public,
    },
    RouteRow {
        method: "GET",
        path: "/fhir/{type}",
        access: Access::Token {
            scope: "none: search by GET is not offered",
        },
    },
];

/// Opens the gateway's stores and its ways to anchor, catalogue and locator.
///
/// # Errors
/// [`OpenError`].
pub async fn open(config: Config, house: House) -> Result<Arc<State>, OpenError> {
    let base = config.base.as_str().trim_end_matches('/').to_owned();
    let fhir = format!("{base}{FHIR}");
    let party = Party::from_file(
        &config.client_file,
        house.http.clone(),
        house.clock.clone(),
        house.ids.clone(),
    )?;
    let owner = OrganisationNumber::parse(party.organisation())?;
    let guard = GuardConfig {
        issuer: config.issuer.clone(),
        jwks_url: format!("{}{}", config.issuer, wire::contract::anchor::JWKS),
        audience: fhir.clone(),
        base,
    };
    let shelf = bad_days::Shelf::new(
        &house.data,
        &party,
        &config.issuer,
        config.catalogue.as_str(),
    );
    let copy = shelf.read((house.clock)());
    let keys = copy.anchor.as_ref();
    let keys = keys.map(|documents| (documents.keys.clone(), documents.at));
    let register = Arc::new(config.register.clone());
    let desks = Desks::open(guard, owner, register, keys, &house)?;
    let members = MemberBook::new(&config.issuer, house.http.clone(), house.clock.clone());
    bad_days::remember(&copy, &members);
    let directory = Arc::new(Directory::new(
        &config.catalogue,
        config.catalogue_grace,
        party.clone(),
        members.clone(),
        copy.told,
        house.clock.clone(),
    ));
    let locator = config.locator.as_ref().map(|locator| Locator {
        base: locator.base.as_str().trim_end_matches('/').to_owned(),
        members: locator.members.clone(),
    });
    // It files where its client is registered to: for the organisation that runs it, and for those that delegate it.
    let record_systems = config.record_systems.iter().cloned();
    let record_systems = record_systems
        .filter(|(_, fhir)| party.may_ask(fhir))
        .collect();
    Ok(Arc::new(State {
        config,
        record_systems,
        circuits: Circuits::default(),
        fhir,
        owner,
        house,
        desks,
        party,
        directory,
        members,
        shelf,
        locator,
    }))
}

/// Every route of the table with its handler.
pub fn routes(state: Arc<State>) -> Router {
    let ids = state.house.ids.clone();
    Routes::of(ROUTES)
        .on("GET", "/fhir/metadata", api::metadata::metadata)
        .on(
            "GET",
            "/fhir/.well-known/smart-configuration",
            api::smart::configuration,
        )
        .on("POST", "/fhir/{type}/_search", api::lookup::search)
        .on("POST", "/fhir/AuditEvent/_search", api::audit::search)
        .on("POST", "/fhir/Consent", api::consent::make)
        .on("POST", "/fhir/Consent/_search", api::consent::list)
        .on("DELETE", "/fhir/Consent/{id}", api::consent::end)
        .on("POST", MAY_LOOK, api::may_look::everywhere)
        .on("POST", EXPLAIN, api::explain::everywhere)
        .on("GET", "/fhir/_page/{sealed}", api::page::page)
        .on("POST", "/fhir/Observation/$lastn", api::lastn::lastn)
        .on("POST", "/fhir/Observation/$stats", api::stats::stats)
        .on(
            "POST",
            "/fhir/Patient/$everything",
            api::everything::everything,
        )
        .on("GET", "/fhir/_everything/{sealed}", api::everything::next)
        .on("POST", "/fhir/$read", api::read::read)
        .on("POST", "/fhir/$file", api::file::file)
        .on("GET", "/fhir/_changes/{sealed}", api::changes::changes)
        .on("GET", "/fhir/OperationOutcome/{id}", api::receipt::read)
        .on("GET", "/jwks", api::receipt::keys)
        .on("GET", "/fhir/{type}", api::lookup::by_get)
        .build(state, wire::request_id::Join::Front, ids)
}

/// Couriers that bring filed documents to record systems, and the copy for bad days.
pub fn workers(state: Arc<State>) -> Vec<Worker> {
    let mut workers = filing::workers(&state);
    workers.push(bad_days::worker(state));
    workers
}
