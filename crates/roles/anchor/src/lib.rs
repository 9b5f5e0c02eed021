//! The trust anchor (tillitsanker): participants, their agreements and delegations, keys, and tokens with documented
//! professional need (tjenstlig behov).
//!
//! Profile: FAPI 2.0 Security Profile in the shape HelseID uses, `private_key_jwt` and DPoP only; grants client
//! credentials (RFC 6749) and, for gateways, token exchange (RFC 8693). It never sees clinical data, and it issues no
//! token that opens patients' data to another organisation without an agreement in force.
//!
//! A token request's way: `api/token.rs` → `authenticate` (assertion, proof) → `api/client_credentials.rs` or
//! `api/token_exchange.rs` (what may be issued) → `issue.rs` (audit record and replay memory durable, then signed).

mod api;
mod authenticate;
pub mod config;
mod documents;
mod issue;
mod registry;
mod signing_key;

pub use config::Config;
pub use registry::RegistryError;
pub use signing_key::SigningKeyError;

use axum::Router;
use registry::Registry;
use std::sync::Arc;
use store::Store;
use trust::keys::{KeyError, KeySet, SigningKey};
use wire::contract::anchor::{AGREEMENTS, DISCOVERY, JWKS, PARTICIPANTS, SignedDocuments, TOKEN};
use wire::contract::{OPENAPI, demo::TEST_TOKEN};
use wire::request_id::Join;
use wire::route::{Access, RouteRow, Routes};
use wire::{House, Worker};

/// Why the anchor cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its store.
    #[error("the store: {0}")]
    Store(#[from] store::StoreError),
    /// Its signing key.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// The configured register.
    #[error("the register: {0}")]
    Registry(#[from] RegistryError),
    /// Signing failed.
    #[error("signing the documents: {0}")]
    Sign(#[from] KeyError),
}

/// An opened anchor.
pub struct State {
    config: Config,
    registry: Registry,
    house: House,
    store: Store,
    key: SigningKey,
    keys: KeySet,
    /// Verifies nobody: stands in for the keys of a client that does not exist.
    decoy: KeySet,
    participants: SignedDocuments,
    agreements: SignedDocuments,
}

impl State {
    /// The anchor's store: audit trail and replay memory.
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.issuer)
    }
}

/// The anchor's routes, relative to the issuer.
pub const ROUTES: &[RouteRow] = &[
    RouteRow {
        method: "GET",
        path: DISCOVERY,
        access: Access::Public,
    },
    RouteRow {
        method: "GET",
        path: JWKS,
        access: Access::Public,
    },
    RouteRow {
        method: "POST",
        path: TOKEN,
        access: Access::Public,
    },
    RouteRow {
        method: "GET",
        path: PARTICIPANTS,
        access: Access::Public,
    },
    RouteRow {
        method: "GET",
        path: AGREEMENTS,
        access: Access::Public,
    },
    RouteRow {
        method: "GET",
        path: OPENAPI,
        access: Access::Public,
    },
    RouteRow {
        method: "POST",
        path: TEST_TOKEN,
        access: Access::Demo,
    },
];

/// Opens the store, reads or makes the signing key, checks the register and signs its documents.
pub async fn open(config: Config, house: House) -> Result<Arc<State>, OpenError> {
    let registry = Registry::new(&config)?;
    let store = Store::open(&house.data, "anchor", house.surroundings())?;
    let key = signing_key::load(&house.data)?;
    let keys = KeySet::of(vec![key.public().clone()])?;
    let decoy = KeySet::of(vec![SigningKey::generate()?.public().clone()])?;
    let now = (house.clock)().seconds();
    let participants = documents::participants(&config, now, &key)?;
    let agreements = documents::agreements(&config, now, &key)?;
    Ok(Arc::new(State {
        config,
        registry,
        house,
        store,
        key,
        keys,
        decoy,
        participants,
        agreements,
    }))
}

/// Every route of the table with its handler; test tokens in demo mode only.
pub fn routes(state: Arc<State>) -> Router {
    let ids = state.house.ids.clone();
    let mut routes = Routes::of(ROUTES)
        .on("GET", DISCOVERY, api::discovery::discovery)
        .on("GET", JWKS, api::discovery::jwks)
        .on("POST", TOKEN, api::token::token)
        .on("GET", PARTICIPANTS, api::documents::participants)
        .on("GET", AGREEMENTS, api::documents::agreements)
        .on("GET", OPENAPI, api::discovery::openapi);
    if state.config.demo.is_some() {
        routes = routes.on("POST", TEST_TOKEN, api::test_token::test_token);
    }
    routes.build(state, Join::Behind, ids)
}

/// The anchor has no background work yet.
pub fn workers(_: Arc<State>) -> Vec<Worker> {
    Vec::new()
}
