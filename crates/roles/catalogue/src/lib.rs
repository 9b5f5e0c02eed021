//! The API catalogue (API-katalog): which organisation offers which information at which address, as FHIR R4 resources in
//! the manner of IHE mCSD (Organization, HealthcareService, Endpoint, OrganizationAffiliation).
//!
//! What it serves is built from the region's configuration at start; each entry's version counts on when its content
//! changes. It must never hold anything about a patient: a token's patient is left out of its records (`record.rs` says how
//! far), and so is every search value that names nothing in the catalogue.
//!
//! A question's way: `api/search.rs` → `wire::visit` (verified caller) → `trust::decide` → `question.rs` → `record.rs`.

mod api;
mod build;
mod entry;
mod question;
mod record;
mod version;

use std::sync::Arc;

use axum::Router;
use fhir::ids::{OrganisationNumber, ReshId};
use fhir::resource::{InformationService, ResourceType};
use store::Store;
use trust::organisation::Register;
use trust::{Facts, Party};
use url::Url;
pub use wire::contract::demo::Concept;
use wire::protect::{Guard, GuardConfig};
use wire::route::{Access, RouteRow, Routes};
use wire::visit::Desk;
use wire::{House, Worker};

use entry::Entry;

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

/// An organisation that takes part.
#[derive(Clone, Debug)]
pub struct Organisation {
    /// Organisation number of the main unit.
    pub orgnr: OrganisationNumber,
    /// Name.
    pub name: String,
    /// What it is, as a code: `municipality`, `gp-office`, `hospital`, `supplier`, `collaboration`.
    pub kind: String,
    /// Its sub-units.
    pub sub_units: Vec<SubUnit>,
}

/// A sub-unit. One without an organisation number is found by its RESH id in a search, but has no entry of its own.
#[derive(Clone, Debug)]
pub struct SubUnit {
    /// Organisation number.
    pub orgnr: Option<OrganisationNumber>,
    /// RESH id.
    pub resh: Option<ReshId>,
    /// Name.
    pub name: String,
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
}

/// The opened catalogue.
pub struct State {
    base: String,
    issuer: String,
    house: House,
    desk: Desk,
    entries: Vec<Entry>,
}

impl State {
    /// Its store: versions of its entries, and the audit trail.
    pub fn store(&self) -> &Store {
        &self.desk.store
    }

    fn of_type(&self, resource_type: ResourceType) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.resource_type == resource_type)
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
];

/// Builds the entries, opens the store and counts the versions of what changed since the last start.
///
/// # Errors
/// [`OpenError`]: a configuration that contradicts itself, or a store that does not open.
pub async fn open(config: Config, house: House) -> Result<Arc<State>, OpenError> {
    let first = config.organisations.first().ok_or(OpenError::Empty)?.orgnr;
    let register = build::register(&config.organisations);
    let mut entries = build::entries(&config)?;
    let store = Store::open(&house.data, "catalogue", house.surroundings())?;
    version::stamp(&store, &mut entries).await?;
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
    Ok(Arc::new(State {
        base,
        issuer: config.issuer,
        house,
        desk,
        entries,
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
        .build(state, wire::request_id::Join::Behind, ids)
}

/// No background work yet: probing what is listed comes later.
pub fn workers(_: Arc<State>) -> Vec<Worker> {
    Vec::new()
}
