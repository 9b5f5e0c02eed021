//! The trust anchor (tillitsanker): participants, their agreements and delegations, keys, and tokens with documented
//! professional need (tjenstlig behov).
//!
//! Profile: FAPI 2.0 Security Profile in the shape HelseID uses, `private_key_jwt` and DPoP only; grants client
//! credentials, authorization code with PAR and PKCE, refresh, and, for gateways, token exchange (RFC 8693). It never sees
//! clinical data, and it issues no token that opens patients' data to another organisation without an agreement in force.
//!
//! A token request's way: `api/token.rs` → `authenticate` (assertion, proof) → the grant's file in `api/` (what may be
//! issued) → `issue.rs` (audit record, replay memory and what is used up durable, then signed). A sign-in's way:
//! `api/par.rs` → `request` (read strictly) → `kept` (sealed, single-use) → `api/authorize.rs` → `api/sign_in.rs` →
//! `api/authorization_code.rs` → `user_token`; in operation by way of an identity provider (`upstream`). A launch from a record
//! system comes before it: `api/launch.rs` → `launch`.

mod api;
mod authenticate;
pub mod config;
mod documents;
mod hpr;
mod issue;
mod kept;
mod launch;
mod login;
mod operate;
mod register;
mod registry;
mod request;
mod sign_in;
mod signing_key;
mod upstream;
mod user_token;
mod witness;

pub use config::Config;
pub use registry::RegistryError;
pub use signing_key::SigningKeyError;
pub use upstream::ProviderError;

use axum::Router;
use axum::extract::FromRef;
use registry::Registry;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use store::Store;
use trust::keys::{KeyError, KeySet, SigningKey};
use wire::contract::anchor::{
    AGREEMENTS, AUTHORIZE, DISCOVERY, END_SESSION, JWKS, PAR, PARTICIPANTS, REVOKE, SIGN_IN,
    SIGN_IN_AT, SIGN_IN_BACK, SIGN_IN_STYLE, SIGN_OUT, SIGNED_OUT, TOKEN,
};
use wire::contract::launch::{ACT_FOR, LAUNCH, NAME_PATIENT};
use wire::contract::operate::{
    CHANGE_SCOPE, CHANGES, END, READ_SCOPE, REMOVE_KEY, RESUME, ROTATE_KEY, SUSPEND,
};
use wire::contract::register::{REGISTER, REGISTERED};
use wire::contract::witness::{HEADS, HEADS_LIST};
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
    /// The client file for the register of health personnel.
    #[error("the client file for the register of health personnel: {0}")]
    Hpr(#[from] wire::client::PartyError),
    /// Its identity providers.
    #[error(transparent)]
    Providers(#[from] ProviderError),
    /// What was registered by orders does not fit the configuration, or the law.
    #[error("what was registered by orders: {}", .0.join("; "))]
    Register(Vec<String>),
    /// Signing failed.
    #[error("signing the documents: {0}")]
    Sign(#[from] KeyError),
    /// The issuer is no URL.
    #[error("the issuer is not an absolute URL")]
    Issuer,
}

/// An opened anchor, with the register as it stood when a request began: an order that changes the register makes a new one
/// of these, which the requests after it get. What is not the register is shared by all of them.
pub struct State {
    /// The configuration as it was given.
    base: Arc<Config>,
    /// What was registered by orders since.
    book: register::Book,
    /// Both as one.
    config: Config,
    registry: Registry,
    shared: Shared,
}

/// What every [`State`] of one anchor has in common.
#[derive(Clone)]
pub struct Shared {
    house: Arc<House>,
    store: Store,
    /// The register of health personnel, if there is one to ask.
    hpr: Option<Arc<hpr::Register>>,
    ring: Arc<operate::Ring>,
    /// Verifies nobody: stands in for the keys of a client that does not exist.
    decoy: KeySet,
    providers: Arc<upstream::Providers>,
    documents: Arc<documents::Documents>,
    sessions: Arc<sign_in::session::Sessions>,
    /// The issuer's origin, and its path, in front of our addresses on pages.
    origin: String,
    path: String,
    https: bool,
    /// Where the newest stands, once there are routes.
    live: Arc<OnceLock<Weak<Newest>>>,
}

impl std::ops::Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// The newest [`State`].
struct Newest(RwLock<Arc<State>>);

impl Newest {
    fn get(&self) -> Arc<State> {
        let held = self.0.read();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What routes are given: each request takes the newest [`State`] once and keeps it.
#[derive(Clone)]
struct Live(Arc<Newest>);

impl FromRef<Live> for Arc<State> {
    fn from_ref(live: &Live) -> Arc<State> {
        live.0.get()
    }
}

impl State {
    /// The newest there is, which may be this.
    fn latest(self: &Arc<Self>) -> Arc<State> {
        let live = self.live.get().and_then(Weak::upgrade);
        live.map_or_else(|| self.clone(), |live| live.get())
    }

    /// The same anchor with another register.
    fn with(&self, config: Config, registry: Registry, book: register::Book) -> State {
        State {
            base: self.base.clone(),
            book,
            config,
            registry,
            shared: self.shared.clone(),
        }
    }

    /// From now on requests get `next`.
    fn publish(&self, next: State) {
        if let Some(live) = self.live.get().and_then(Weak::upgrade) {
            *live.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        }
    }

    /// The anchor's store: audit trail and replay memory.
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.issuer)
    }

    /// The key that signs now.
    fn key(&self) -> SigningKey {
        self.ring.signer((self.house.clock)().seconds())
    }

    /// The keys that are published now.
    fn keys(&self) -> KeySet {
        self.ring.public((self.house.clock)().seconds())
    }

    /// The signed documents as things stand.
    fn documents(&self) -> Result<Arc<documents::Published>, KeyError> {
        let now = (self.house.clock)().seconds();
        let standings = self.registry.book.standings();
        let edition = self.book.edition();
        self.documents
            .current(&self.config, edition, &standings, now, &self.key())
    }

    /// Can people sign in here?
    fn signs_in(&self) -> bool {
        self.config.demo.is_some() || !self.providers.is_empty()
    }

    /// Is this grant there at all?
    fn offers(&self, grant: config::Grant) -> bool {
        use config::Grant::{AuthorizationCode, RefreshToken};
        self.signs_in() || !matches!(grant, AuthorizationCode | RefreshToken)
    }

    /// Forgets pushed requests, codes, grants, sessions and keys that are past their time. Gives how many entries of the store
    /// that were.
    ///
    /// # Errors
    /// Input/output.
    pub async fn sweep(&self) -> Result<usize, store::StoreError> {
        let now = (self.house.clock)();
        self.sessions.sweep(now.seconds());
        self.ring.sweep(now.seconds());
        kept::sweep(self, now).await
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
        path: PAR,
        access: Access::SignIn,
    },
    RouteRow {
        method: "POST",
        path: LAUNCH,
        access: Access::SignIn,
    },
    RouteRow {
        method: "GET",
        path: AUTHORIZE,
        access: Access::Arrival,
    },
    RouteRow {
        method: "POST",
        path: REVOKE,
        access: Access::SignIn,
    },
    RouteRow {
        method: "GET",
        path: SIGN_IN,
        access: Access::Arrival,
    },
    RouteRow {
        method: "POST",
        path: SIGN_IN,
        access: Access::Arrival,
    },
    RouteRow {
        method: "GET",
        path: SIGN_IN_AT,
        access: Access::Arrival,
    },
    RouteRow {
        method: "GET",
        path: SIGN_IN_BACK,
        access: Access::Arrival,
    },
    RouteRow {
        method: "POST",
        path: NAME_PATIENT,
        access: Access::SignIn,
    },
    RouteRow {
        method: "POST",
        path: ACT_FOR,
        access: Access::SignIn,
    },
    RouteRow {
        method: "POST",
        path: SIGN_OUT,
        access: Access::SignIn,
    },
    RouteRow {
        method: "GET",
        path: END_SESSION,
        access: Access::SignIn,
    },
    RouteRow {
        method: "POST",
        path: END_SESSION,
        access: Access::SignIn,
    },
    RouteRow {
        method: "GET",
        path: SIGNED_OUT,
        access: Access::SignIn,
    },
    RouteRow {
        method: "GET",
        path: SIGN_IN_STYLE,
        access: Access::SignIn,
    },
    RouteRow {
        method: "POST",
        path: SUSPEND,
        access: Access::Token {
            scope: CHANGE_SCOPE,
        },
    },
    RouteRow {
        method: "POST",
        path: RESUME,
        access: Access::Token {
            scope: CHANGE_SCOPE,
        },
    },
    RouteRow {
        method: "POST",
        path: END,
        access: Access::Token {
            scope: CHANGE_SCOPE,
        },
    },
    RouteRow {
        method: "POST",
        path: ROTATE_KEY,
        access: Access::Token {
            scope: CHANGE_SCOPE,
        },
    },
    RouteRow {
        method: "POST",
        path: REMOVE_KEY,
        access: Access::Token {
            scope: CHANGE_SCOPE,
        },
    },
    RouteRow {
        method: "GET",
        path: CHANGES,
        access: Access::Token { scope: READ_SCOPE },
    },
    RouteRow {
        method: "POST",
        path: REGISTER,
        access: Access::Token {
            scope: CHANGE_SCOPE,
        },
    },
    RouteRow {
        method: "GET",
        path: REGISTERED,
        access: Access::Token { scope: READ_SCOPE },
    },
    RouteRow {
        method: "POST",
        path: HEADS,
        access: Access::Signed,
    },
    RouteRow {
        method: "POST",
        path: HEADS_LIST,
        access: Access::Signed,
    },
    RouteRow {
        method: "POST",
        path: TEST_TOKEN,
        access: Access::Demo,
    },
];

/// Opens the store, reads or makes the signing key, checks the register and signs its documents.
pub async fn open(config: Config, house: House) -> Result<Arc<State>, OpenError> {
    let issuer = url::Url::parse(&config.issuer).map_err(|_| OpenError::Issuer)?;
    let store = Store::open(&house.data, "anchor", house.surroundings())?;
    let (list, changes) = operate::Book::open(&store).await?;
    let list = Arc::new(list);
    let mut book = register::Book::default();
    changes.iter().for_each(|change| book.apply(change));
    register::unseal(&store, &mut book).await?;
    let base = Arc::new(config);
    let config = register::merged(&base, &book, &list.standings()).map_err(OpenError::Register)?;
    let registry = Registry::new(&config, list)?;
    let now = (house.clock)().seconds();
    let ring = operate::Ring::open(&house.data, &changes, now, config.demo.is_some())?;
    let hpr = config
        .hpr
        .as_ref()
        .map(|source| hpr::Register::open(source, &house, &config.zone))
        .transpose()?;
    let decoy = KeySet::of(vec![SigningKey::generate()?.public().clone()])?;
    let providers = upstream::Providers::open(&config, &house)?;
    let shared = Shared {
        house: Arc::new(house),
        store,
        hpr: hpr.map(Arc::new),
        ring: Arc::new(ring),
        decoy,
        providers: Arc::new(providers),
        documents: Arc::default(),
        sessions: Arc::default(),
        origin: issuer.origin().ascii_serialization(),
        path: issuer.path().trim_end_matches('/').to_owned(),
        https: issuer.scheme() == "https",
        live: Arc::default(),
    };
    let state = State {
        base,
        book,
        config,
        registry,
        shared,
    };
    state.documents()?;
    Ok(Arc::new(state))
}

/// Every route of the table with its handler; test tokens in demo mode only.
pub fn routes(state: Arc<State>) -> Router {
    let ids = state.house.ids.clone();
    let known = state.live.get().and_then(Weak::upgrade);
    let live = known.unwrap_or_else(|| {
        let live = Arc::new(Newest(RwLock::new(state.clone())));
        // Routes are made once for an anchor.
        let _ = state.live.set(Arc::downgrade(&live));
        live
    });
    let mut routes = Routes::of(ROUTES)
        .on("GET", DISCOVERY, api::discovery::discovery)
        .on("GET", JWKS, api::discovery::jwks)
        .on("POST", TOKEN, api::token::token)
        .on("GET", PARTICIPANTS, api::documents::participants)
        .on("GET", AGREEMENTS, api::documents::agreements)
        .on("GET", OPENAPI, api::discovery::openapi)
        .on("POST", SUSPEND, api::operate::suspend)
        .on("POST", RESUME, api::operate::resume)
        .on("POST", END, api::operate::end)
        .on("POST", ROTATE_KEY, api::operate::rotate_key)
        .on("POST", REMOVE_KEY, api::operate::remove_key)
        .on("GET", CHANGES, api::operate::changes)
        .on("POST", REGISTER, api::operate::register)
        .on("GET", REGISTERED, api::operate::registered)
        .on("POST", HEADS, api::witness::head)
        .on("POST", HEADS_LIST, api::witness::list);
    if state.signs_in() {
        routes = routes
            .on("POST", PAR, api::par::par)
            .on("POST", LAUNCH, api::launch::launch)
            .on("GET", AUTHORIZE, api::authorize::authorize)
            .on("POST", REVOKE, api::revoke::revoke)
            .on("GET", SIGN_IN, api::sign_in::show)
            .on("POST", SIGN_IN, api::sign_in::choose)
            .on("GET", SIGN_IN_AT, api::upstream::go)
            .on("GET", SIGN_IN_BACK, api::upstream::back)
            .on("POST", NAME_PATIENT, api::name_patient::name_patient)
            .on("POST", ACT_FOR, api::act_for::act_for)
            .on("POST", SIGN_OUT, api::sign_out::sign_out)
            .on("GET", END_SESSION, api::sign_out::end_session)
            .on("POST", END_SESSION, api::sign_out::by_form)
            .on("GET", SIGNED_OUT, api::sign_out::back)
            .on("GET", SIGN_IN_STYLE, api::sign_in::style);
    }
    if state.config.demo.is_some() {
        routes = routes.on("POST", TEST_TOKEN, api::test_token::test_token);
    }
    routes.build(Live(live), Join::Behind, ids)
}

/// Forgets what is past its time, once a minute.
pub fn workers(state: Arc<State>) -> Vec<Worker> {
    let pause = state.house.pause.clone();
    vec![Worker::new("anchor sweep", async move {
        let stop = state.house.stop.clone();
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                () = pause(std::time::Duration::from_secs(60)) => {
                    if let Err(error) = state.sweep().await {
                        tracing::warn!(%error, "what is past its time could not be forgotten");
                    }
                }
            }
        }
    })]
}
