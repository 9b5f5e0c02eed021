//! One anchor and one protected role on loopback, and a registered client.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use fhir::time::Instant;
use http::StatusCode;
use store::{AuditFilter, Change, Store, Surroundings};
use trust::audit::{Outcome, Record};
use trust::keys::{KeySet, SigningKey};
use trust::{ClientUse, Interaction};
use uuid::Uuid;
use wire::client::{Http, Party, Policy};
use wire::contract::demo::{ClientFile, PrivateJwk};
use wire::outcome::{Problem, fhir_response};
use wire::protect::{Guard, GuardConfig, OtherIssuer};
use wire::request_id::{Join, RequestIds};
use wire::route::{Access, RouteRow, Routes};
use wire::{House, Stop};

use crate::anchor::Anchor;

const TOKEN: Access = Access::Token {
    scope: "system/Observation.c",
};
const ROUTES: &[RouteRow] = &[
    RouteRow {
        method: "POST",
        path: "/fhir/Observation",
        access: TOKEN,
    },
    RouteRow {
        method: "POST",
        path: "/",
        access: TOKEN,
    },
];

#[derive(Clone)]
struct Role {
    guard: Guard,
    store: Store,
    clock: store::Clock,
}

pub struct Region {
    pub folder: tempfile::TempDir,
    pub anchor: Arc<Anchor>,
    pub hub: String,
    pub store: Store,
    pub guard: Guard,
    pub house: House,
    now: Arc<AtomicI64>,
}

/// Listens on a free port of loopback.
pub async fn listen() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

pub fn serve(listener: tokio::net::TcpListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}

impl Region {
    pub async fn new() -> Self {
        Self::with_other_issuer(|_| None).await
    }

    /// A region whose hub takes the tokens of another issuer too, which `other` makes of the hub's audience.
    pub async fn with_other_issuer(other: impl FnOnce(&str) -> Option<OtherIssuer>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(1_800_000_000_000_000));
        let read = now.clone();
        let clock: store::Clock = Arc::new(move || Instant(read.load(Ordering::SeqCst)));
        let (listener, address) = listen().await;
        let (issuer, hub) = (format!("{address}/anchor"), format!("{address}/hub"));
        let house = House {
            clock: clock.clone(),
            pause: wire::stop::real_pause(),
            ids: Arc::new(Uuid::new_v4),
            http: Http::new(Policy::loopback()).unwrap(),
            data: folder.path().to_owned(),
            stop: Stop::new(),
            other_issuer: other(&format!("{hub}/fhir")).map(Arc::new),
        };
        let anchor = Anchor::new(issuer.clone(), clock.clone());
        let surroundings = Surroundings {
            clock: clock.clone(),
            ids: house.ids.clone(),
        };
        let store = Store::open(&folder.path().join("hub"), "hub", surroundings).unwrap();
        let config = GuardConfig {
            jwks_url: format!("{issuer}/jwks"),
            issuer,
            audience: format!("{hub}/fhir"),
            base: hub.clone(),
        };
        let guard = Guard::new(config, store.clone(), &house);
        let role = Role {
            guard: guard.clone(),
            store: store.clone(),
            clock,
        };
        let routes = Routes::of(ROUTES)
            .on("POST", "/fhir/Observation", receive)
            .on("POST", "/", receive)
            .build(role, Join::Behind, house.ids.clone());
        serve(
            listener,
            Router::new()
                .nest("/anchor", anchor.router())
                .nest("/hub", routes),
        );
        Self {
            folder,
            anchor,
            hub,
            store,
            guard,
            house,
            now,
        }
    }

    pub fn audience(&self) -> String {
        format!("{}/fhir", self.hub)
    }

    pub fn url(&self) -> String {
        format!("{}/fhir/Observation", self.hub)
    }

    pub fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    /// Registers a client and writes its file.
    pub fn client_file(&self, client_id: &str) -> PathBuf {
        let key = SigningKey::generate().unwrap();
        let keys = KeySet::of(vec![key.public().clone()]).unwrap();
        self.anchor
            .clients
            .lock()
            .unwrap()
            .push((client_id.to_owned(), keys));
        let file = ClientFile {
            client_id: client_id.to_owned(),
            orgnr: "310001007".to_owned(),
            use_: ClientUse::HomeSystem,
            issuer: self.anchor.issuer.clone(),
            token_endpoint: format!("{}/token", self.anchor.issuer),
            jwk: PrivateJwk(serde_json::from_str(&key.to_private_jwk()).unwrap()),
            scopes: vec!["system/Observation.c".to_owned()],
            audiences: vec![self.audience()],
        };
        let path = self.folder.path().join(format!("{client_id}.json"));
        std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn party(&self, client_id: &str) -> Party {
        let house = &self.house;
        let path = self.client_file(client_id);
        Party::from_file(
            &path,
            house.http.clone(),
            house.clock.clone(),
            house.ids.clone(),
        )
        .unwrap()
    }

    /// Outcomes in the audit trail, newest first.
    pub async fn outcomes(&self) -> Vec<Outcome> {
        let filter = AuditFilter {
            limit: 1000,
            ..AuditFilter::default()
        };
        let entries = self.store.audit_search(filter).await.unwrap();
        entries
            .into_iter()
            .map(|entry| entry.record.outcome)
            .collect()
    }
}

async fn receive(
    State(role): State<Role>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let asked = format!("POST {}", parts.uri.path());
    let verified = role
        .guard
        .admit(&parts, &ids, Interaction::Create, &asked)
        .await?;
    let record =
        Record::new((role.clock)(), ids.ours, Interaction::Create, &asked).by(&verified.caller);
    let change = Change {
        audit: Some(record),
        replays: vec![verified.replay],
        ..Change::default()
    };
    if let Err(error) = role.store.commit(change).await {
        return Err(role
            .guard
            .commit_failed(error, &verified, &ids, Interaction::Create, &asked)
            .await);
    }
    Ok(fhir_response(StatusCode::CREATED, "{}"))
}
