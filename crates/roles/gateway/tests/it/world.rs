//! A region in miniature: anchor, catalogue, locator and sources on one listener, and the gateway itself.

use crate::anchor::Anchor;
use crate::directory::{Directory, Health};
use crate::filed::Filed;
use crate::sources::{Behaviour, Source};
use axum::Router;
use fhir::ids::{OrganisationNumber, PersonNumbers};
use fhir::time::{Instant, Zone};
use gateway::{Config, LocatorConfig, State};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{AuditEntry, AuditFilter, LedgerEntry, Store};
use trust::ClientUse;
use trust::keys::{KeySet, SigningKey};
use trust::organisation::Register;
use wire::client::{Http, Policy};
use wire::contract::demo::{ClientFile, PrivateJwk};
use wire::{House, Stop};

pub const PROVEHEIM: &str = "310001074";
pub const FJELLVIK: &str = "310001007";
pub const PROVEBAKKEN: &str = "310001147";
pub const KYSTREGIONEN: &str = "310001708";
pub const SORLIA: &str = "310001422";
pub const PATIENT: &str = "14835210260";
pub const OTHER_PATIENT: &str = "13717404089";
const NOW: i64 = 1_800_000_000_000_000;

pub struct World {
    pub _folder: tempfile::TempDir,
    pub address: String,
    pub anchor: Arc<Anchor>,
    pub directory: Arc<Directory>,
    pub sources: Vec<Arc<Source>>,
    /// Prøveheim's record system.
    pub filed: Arc<Filed>,
    /// Prøvebakken's, which the gateway's client is registered for too.
    pub filed_by_delegation: Arc<Filed>,
    pub state: Arc<State>,
    pub house: House,
    now: Arc<AtomicI64>,
}

/// What a test may choose.
pub struct Plan {
    pub locator: bool,
    pub members: Vec<&'static str>,
    pub source_deadline: Duration,
    pub total_deadline: Duration,
    /// A folder that a gateway left behind.
    pub data: Option<PathBuf>,
    /// How everybody calls everybody.
    pub http: Http,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            locator: true,
            members: vec![PROVEHEIM, FJELLVIK, PROVEBAKKEN],
            source_deadline: Duration::from_secs(60),
            total_deadline: Duration::from_secs(120),
            data: None,
            http: Http::new(Policy::loopback()).unwrap(),
        }
    }
}

pub fn org(number: &str) -> OrganisationNumber {
    OrganisationNumber::parse(number).unwrap()
}

fn register() -> Register {
    let mut register = Register::default();
    for (number, name) in [
        (PROVEHEIM, "Prøveheim"),
        (FJELLVIK, "Fjellvik"),
        (PROVEBAKKEN, "Prøvebakken"),
        (KYSTREGIONEN, "Kystregionen"),
        (SORLIA, "Sørlia"),
    ] {
        register.add(org(number), name);
    }
    register.add_resh("4001234", &org(PROVEHEIM), "Lungeavdelingen");
    register
}

impl World {
    pub async fn new() -> World {
        World::with(Plan::default()).await
    }

    /// Sources: proveheim, fjellvik, provebakken, and the shared register kystregionen with its member Sørlia.
    pub async fn with(plan: Plan) -> World {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(NOW));
        let read = now.clone();
        let clock: store::Clock = Arc::new(move || Instant(read.load(Ordering::SeqCst)));
        let house = House {
            clock: clock.clone(),
            pause: wire::stop::real_pause(),
            ids: Arc::new(uuid::Uuid::new_v4),
            http: plan.http,
            data: plan.data.unwrap_or_else(|| folder.path().join("gateway")),
            stop: Stop::new(),
            other_issuer: None,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let anchor = Arc::new(Anchor {
            issuer: format!("{address}/anchor"),
            gateway: format!("{address}/gateway/fhir"),
            clock,
            key: SigningKey::generate().unwrap(),
            client: SigningKey::generate().unwrap(),
            down: Default::default(),
            documents_asked: Default::default(),
            refused: Mutex::default(),
        });
        let directory = Arc::new(Directory {
            catalogue: Mutex::new(Health::Up),
            locator: Mutex::new(Health::Up),
            endpoints: Mutex::default(),
            located: Mutex::default(),
            catalogue_asked: Default::default(),
            located_for: Mutex::default(),
        });
        let mut router = Router::new()
            .nest("/anchor", anchor.router())
            .merge(directory.router());
        let filed = Arc::new(Filed::default());
        router = router.nest("/epj", filed.router());
        let filed_by_delegation = Arc::new(Filed::default());
        router = router.nest("/epj-provebakken", filed_by_delegation.router());
        let mut sources = Vec::new();
        for (service, orgnr, members) in [
            ("proveheim", PROVEHEIM, &[][..]),
            ("fjellvik", FJELLVIK, &[]),
            ("provebakken", PROVEBAKKEN, &[]),
            ("kystregionen", KYSTREGIONEN, &[SORLIA]),
        ] {
            let source = Arc::new(Source {
                service: service.to_owned(),
                orgnr: orgnr.to_owned(),
                base: format!("{address}/{service}/fhir"),
                behaviour: Mutex::new(Behaviour::Healthy),
                holds: Mutex::default(),
                page: Mutex::new(usize::MAX),
                asked: Mutex::default(),
                says: Mutex::default(),
                past: Mutex::default(),
            });
            directory.list(&source, members);
            router = router.nest(&format!("/{service}"), source.router());
            sources.push(source);
        }
        let config = Config {
            base: format!("{address}/gateway").parse().unwrap(),
            issuer: anchor.issuer.clone(),
            client_file: client_file(&folder, &anchor, &address),
            catalogue: format!("{address}/catalogue").parse().unwrap(),
            locator: plan.locator.then(|| LocatorConfig {
                base: format!("{address}/locator").parse().unwrap(),
                members: plan.members.iter().map(|number| org(number)).collect(),
            }),
            register: register(),
            zone: Zone::default(),
            person_numbers: PersonNumbers::Strict,
            sign_in: true,
            record_systems: vec![
                (org(PROVEHEIM), format!("{address}/epj/fhir")),
                (org(PROVEBAKKEN), format!("{address}/epj-provebakken/fhir")),
                // Nobody registered the gateway's client for it.
                (org(FJELLVIK), format!("{address}/epj-fjellvik/fhir")),
            ],
            catalogue_grace: Duration::from_secs(24 * 3600),
            source_deadline: plan.source_deadline,
            total_deadline: plan.total_deadline,
        };
        let state = gateway::open(config, house.clone()).await.unwrap();
        router = router.nest("/gateway", gateway::routes(state.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        World {
            _folder: folder,
            address,
            anchor,
            directory,
            sources,
            filed,
            filed_by_delegation,
            state,
            house,
            now,
        }
    }

    pub fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    pub fn now(&self) -> Instant {
        (self.house.clock)()
    }

    pub fn fhir(&self) -> String {
        format!("{}/gateway/fhir", self.address)
    }

    pub fn source(&self, service: &str) -> &Source {
        self.sources
            .iter()
            .find(|source| source.service == service)
            .unwrap()
    }

    pub fn set(&self, service: &str, behaviour: Behaviour) {
        *self.source(service).behaviour.lock().unwrap() = behaviour;
    }

    pub fn hold(&self, service: &str, resources: Vec<Value>) {
        self.source(service).holds.lock().unwrap().extend(resources);
    }

    /// The locator names these services.
    pub fn locate(&self, services: &[&str]) {
        let as_of = self.now().plus_seconds(-30);
        let holders = services.iter().map(|service| {
            (
                (*service).to_owned(),
                org(&self.source(service).orgnr),
                as_of,
            )
        });
        *self.directory.located.lock().unwrap() = holders.collect();
    }

    /// Nothing listens any more where the catalogue says that this service is.
    pub async fn kill(&self, service: &str) {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        self.move_to(service, &format!("http://{free}"));
    }

    /// The catalogue says that this service is there.
    pub fn move_to(&self, service: &str, address: &str) {
        for (endpoint, _) in self.directory.endpoints.lock().unwrap().iter_mut() {
            if endpoint.service == service {
                endpoint.address = format!("{address}/fhir");
            }
        }
    }

    /// The sources that were asked anything, by service.
    pub fn asked(&self) -> Vec<&str> {
        let asked = self
            .sources
            .iter()
            .filter(|source| !source.asked().is_empty());
        asked.map(|source| source.service.as_str()).collect()
    }

    /// The public half of the key that signs receipts.
    pub fn receipt_keys(&self) -> KeySet {
        KeySet::of(vec![self.anchor.client.public().clone()]).unwrap()
    }

    /// An organisation's audit trail and receipts at the gateway, newest first, read from a copy of its store.
    pub async fn records(&self, organisation: Option<&str>) -> (Vec<AuditEntry>, Vec<LedgerEntry>) {
        let data = self.house.data.join(organisation.unwrap_or_default());
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(&data).unwrap().map(|one| one.unwrap()) {
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
            }
        }
        let owner = organisation.unwrap_or("gateway");
        let store = Store::open(copy.path(), owner, self.house.surroundings()).unwrap();
        let filter = AuditFilter {
            limit: 1000,
            ..AuditFilter::default()
        };
        let entries = store.audit_search(filter).await.unwrap();
        let receipts = store.ledger_scan("receipt", b"", None, 1000).await.unwrap();
        assert!(store.verify_audit(None).await.unwrap().is_sound());
        (entries, receipts)
    }
}

fn client_file(folder: &tempfile::TempDir, anchor: &Anchor, address: &str) -> PathBuf {
    let systems = ["epj", "epj-provebakken"].map(|one| format!("{address}/{one}/fhir"));
    let file = ClientFile {
        client_id: "delt-gateway".to_owned(),
        orgnr: PROVEHEIM.to_owned(),
        use_: ClientUse::Gateway,
        issuer: anchor.issuer.clone(),
        token_endpoint: format!("{}/token", anchor.issuer),
        jwk: PrivateJwk(serde_json::from_str(&anchor.client.to_private_jwk()).unwrap()),
        scopes: Vec::new(),
        audiences: systems.to_vec(),
    };
    let path = folder.path().join("client.json");
    std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn subject(number: &str) -> Value {
    json!({"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": number}})
}

/// A pulse reading with a business identifier.
pub fn pulse(id: &str, at: &str, value: u32, identifier: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "meta": {"versionId": "2", "lastUpdated": "2026-11-03T10:00:00Z"},
        "identifier": [{"system": "urn:delt:test", "value": identifier}], "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}, "subject": subject(PATIENT),
        "effectiveDateTime": at, "valueQuantity": {"value": value, "unit": "/min"},
    })
}

/// The same about somebody else.
pub fn anothers(id: &str, at: &str) -> Value {
    let mut reading = pulse(id, at, 66, id);
    reading["subject"] = subject(OTHER_PATIENT);
    reading
}

/// A line of a medication list, with or without a start.
pub fn medicine(id: &str, text: &str, start: Option<&str>) -> Value {
    let mut line = json!({
        "resourceType": "MedicationStatement", "id": id, "status": "active",
        "medicationCodeableConcept": {"text": text}, "subject": subject(PATIENT),
    });
    if let Some(start) = start {
        line["effectivePeriod"] = json!({"start": start});
    }
    line
}
