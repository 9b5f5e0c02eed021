//! For the tests of kept heads: a service with a trail, the configuration that names it, and an anchor as witness that takes what
//! it is told, unless it is told what to say instead.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::{Keeper, Wanted};
use crate::config::{self, Config};
use crate::time::Time;
use crate::{client_key, roles, surroundings};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fhir::time::Instant;
use http::StatusCode;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use store::{AuditHead, Change, Store, Surroundings};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use trust::encoding::base64url;
use trust::jws::{self, Embedded};
use trust::keys::{KeySet, SigningKey};
use wire::contract::anchor::JWKS;
use wire::contract::demo::ClientFile;
use wire::contract::witness::{
    HEAD_TYP, HEADS, HEADS_LIST, HEADS_QUESTION_TYP, HeadStatement, HeadsQuestion, PAGE,
    WITNESSED_TYP, WitnessedHead, WitnessedHeads,
};

/// The service, and the client that it speaks as.
pub const OWNER: &str = "fjellvik";
/// When the tests begin.
pub const START: Instant = Instant(1_800_000_000_000_000);

/// The service's house and the anchor beside it.
pub struct World {
    pub folder: TempDir,
    pub config: Config,
    /// The client's key, as it is registered.
    pub key: SigningKey,
    pub witness: Arc<Witness>,
    pub time: Time,
    store: Option<Store>,
}

impl World {
    /// With an empty trail.
    pub async fn new() -> World {
        Self::of(OWNER).await
    }

    /// With an empty trail of another owner: a common service, say.
    pub async fn of(owner: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let (base, witness) = Witness::open(&key).await;
        let mut config: Config =
            toml::from_str(include_str!("../../../../config.default.toml")).unwrap();
        config.data = folder.path().join("data");
        config.anchor.base = base.parse().unwrap();
        config.network.allow = vec!["127.0.0.0/8".into()];
        let file = folder.path().join("client.json");
        let speaks = ClientFile {
            client_id: OWNER.into(),
            orgnr: "310001007".into(),
            use_: trust::ClientUse::Service,
            issuer: base.clone(),
            token_endpoint: format!("{base}/token"),
            jwk: client_key::private(&key).unwrap(),
            scopes: Vec::new(),
            audiences: Vec::new(),
        };
        client_key::write_private(&file, &speaks).unwrap();
        let mut services = config.service.iter_mut();
        services.find(|one| one.id == OWNER).unwrap().client_file = Some(file);
        let stranger = SigningKey::generate().unwrap();
        config.client = vec![client("proveheim", &stranger), client(OWNER, &key)];
        let store = store_at(folder.path().join("store"), owner);
        World {
            folder,
            config,
            key,
            witness,
            time: Time::from(START),
            store: Some(store),
        }
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub fn store_folder(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Lets go of the store, so that it can be opened elsewhere.
    pub fn close(&mut self) {
        self.store = None;
    }

    /// Puts the store aside and begins an empty one in its place.
    pub fn begin_anew(&mut self) {
        let owner = self.store().owner().to_owned();
        self.close();
        let aside = self.folder.path().join("aside");
        std::fs::rename(self.store_folder(), aside).unwrap();
        self.store = Some(store_at(self.store_folder(), &owner));
    }

    /// So many records more.
    pub async fn written(&self, records: usize) -> AuditHead {
        for _ in 0..records {
            let interaction = trust::Interaction::Search;
            let id = uuid::Uuid::new_v4();
            let change = Change {
                audit: Some(trust::audit::Record::new(
                    START,
                    id,
                    interaction,
                    "GET /Observation",
                )),
                ..Change::default()
            };
            self.store().commit(change).await.unwrap();
        }
        self.store().audit_head().await.unwrap()
    }

    /// Who keeps the heads of the trail, as after a start of the process.
    pub fn keeper(&self) -> Keeper {
        let store = self.store().clone();
        let file = self.config.client_file_of(store.owner());
        let http = roles::outgoing(&self.config).unwrap();
        let trails = Arc::new(move || vec![store.clone()]);
        Keeper::new(&self.config, trails, file, http, self.time.clone()).unwrap()
    }

    /// The record numbers of the kept heads, and those of the witness's words for them.
    pub fn kept(&self) -> (Vec<u64>, Vec<u64>) {
        let kept = super::read(&self.config.heads_folder(), self.store().owner()).unwrap();
        let heads = kept.heads().map(|one| one.sequence).collect();
        (heads, kept.witnessed().map(|one| one.sequence).collect())
    }

    /// Another line among the kept heads.
    pub fn keep_line(&self, line: &str) {
        super::kept::append(&self.config.heads_folder(), OWNER, line).unwrap();
    }

    /// What is asked for where nothing else is said.
    pub fn wanted<'a>(&'a self, owner: &'a str) -> Wanted<'a> {
        Wanted {
            config: &self.config,
            owner,
            kept: None,
            keys: None,
            offline: false,
        }
    }
}

fn store_at(folder: PathBuf, owner: &str) -> Store {
    let surroundings = Surroundings {
        clock: surroundings::clock(),
        ids: surroundings::ids(),
    };
    Store::open(&folder, owner, surroundings).unwrap()
}

fn client(id: &str, key: &SigningKey) -> config::Client {
    config::Client {
        client_id: id.into(),
        orgnr: "310001007".into(),
        use_: "service".into(),
        jwk: key.public_jwk().to_string(),
        scopes: Vec::new(),
        audiences: Vec::new(),
        grants: Vec::new(),
        redirect_uris: Vec::new(),
        post_logout_redirect_uris: Vec::new(),
    }
}

/// An anchor that is a witness and nothing else.
pub struct Witness {
    base: String,
    key: SigningKey,
    /// Whose statements it takes.
    client: KeySet,
    /// Everything it was told, taken or not.
    pub told: watch::Sender<Vec<HeadStatement>>,
    /// What it knows, in the order in which it lists it.
    pub known: Mutex<Vec<WitnessedHead>>,
    /// What it says, whatever comes.
    pub says: Mutex<Option<(u16, String)>>,
    /// After which record it was asked for more, each time.
    pub asked: Mutex<Vec<u64>>,
}

impl Witness {
    async fn open(client: &SigningKey) -> (String, Arc<Witness>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let witness = Arc::new(Witness {
            base: base.clone(),
            key: SigningKey::generate().unwrap(),
            client: KeySet::of(vec![client.public().clone()]).unwrap(),
            told: watch::Sender::default(),
            known: Mutex::default(),
            says: Mutex::default(),
            asked: Mutex::default(),
        });
        let router = Router::new()
            .route(HEADS, post(take))
            .route(HEADS_LIST, post(list))
            .route(JWKS, get(keys))
            .with_state(witness.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (base, witness)
    }

    pub fn says(&self, status: u16, body: impl Into<String>) {
        *self.says.lock().unwrap() = Some((status, body.into()));
    }

    /// As an anchor should again.
    pub fn recovers(&self) {
        *self.says.lock().unwrap() = None;
    }

    /// The record numbers it was told of.
    pub fn told(&self) -> Vec<u64> {
        self.told.borrow().iter().map(|one| one.sequence).collect()
    }

    /// Its word for a head of the service's trail.
    pub fn word(&self, sequence: u64) -> WitnessedHead {
        WitnessedHead {
            iss: self.base.clone(),
            sub: OWNER.into(),
            iat: START.seconds(),
            owner: OWNER.into(),
            sequence,
            hash: base64url(&[7; 32]),
        }
    }

    /// The same, signed.
    pub fn signed(&self, typ: &str, word: &WitnessedHead) -> String {
        jws::sign(typ, &serde_json::to_value(word).unwrap(), &self.key).unwrap()
    }

    fn verified<T: serde::de::DeserializeOwned>(&self, text: &str, typ: &str) -> T {
        let compact = jws::parse(text, Embedded::Refused).unwrap();
        compact.require_typ(typ).unwrap();
        serde_json::from_slice(compact.verify_with(&self.client).unwrap()).unwrap()
    }

    fn said(&self) -> Option<Response> {
        let said = self.says.lock().unwrap().clone();
        said.map(|(status, body)| (StatusCode::from_u16(status).unwrap(), body).into_response())
    }
}

/// As JSON with room behind it, for an answer may be longer than it needs to be.
fn answer(heads: Vec<String>) -> Response {
    let text = serde_json::to_string(&WitnessedHeads(heads)).unwrap();
    format!("{text}{}", " ".repeat(4_000)).into_response()
}

async fn take(State(witness): State<Arc<Witness>>, body: String) -> Response {
    let said: HeadStatement = witness.verified(&body, HEAD_TYP);
    let word = WitnessedHead {
        owner: said.owner.clone(),
        hash: said.hash.clone(),
        ..witness.word(said.sequence)
    };
    witness.told.send_modify(|told| told.push(said));
    if let Some(said) = witness.said() {
        return said;
    }
    let signed = witness.signed(WITNESSED_TYP, &word);
    witness.known.lock().unwrap().push(word);
    answer(vec![signed])
}

async fn list(State(witness): State<Arc<Witness>>, body: String) -> Response {
    let question: HeadsQuestion = witness.verified(&body, HEADS_QUESTION_TYP);
    assert_eq!(question.aud, witness.base);
    if let Some(said) = witness.said() {
        return said;
    }
    let mut asked = witness.asked.lock().unwrap();
    // Whoever asks the same again would do so for ever.
    if asked.contains(&question.after) {
        return StatusCode::LOOP_DETECTED.into_response();
    }
    asked.push(question.after);
    let known = witness.known.lock().unwrap();
    let after = known.iter().filter(|one| one.sequence > question.after);
    let page = after
        .take(PAGE)
        .map(|one| witness.signed(WITNESSED_TYP, one));
    answer(page.collect())
}

async fn keys(State(witness): State<Arc<Witness>>) -> Response {
    let set = KeySet::of(vec![witness.key.public().clone()]).unwrap();
    set.to_jwks().to_string().into_response()
}
