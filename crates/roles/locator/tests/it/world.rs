//! A locator of three members behind its door: services that announce, people who ask.

use std::path::Path;
use std::sync::Arc;

use fhir::ids::{OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::time::Instant;
use http::StatusCode;
use locator::{Budget, Config, Holder, State};
use serde_json::{Value, json};
use store::{AuditEntry, AuditFilter};
use testkit::clients::Reply;
use testkit::door::{Door, Held};
use testkit::issuer::{Issuer, ProofKey, SystemClient};
use testkit::people::{Directory, Patient, Practitioner};
use testkit::surroundings::{FixedClock, ids};
use trust::ClientUse;
use trust::organisation::Register;
use trust::token::{Actor, Claims};
use url::Url;
use wire::client::{Http, Policy};
use wire::contract::locator::{LOCATE_SCOPE, REGISTER_SCOPE};
use wire::{House, Stop};

pub const BASE: &str = "http://127.0.0.1:9/locator";
pub const FJELLVIK: &str = "310001007";
pub const PROVEHEIM: &str = "310001074";
pub const PROVEBAKKEN: &str = "310001147";
/// Outside the agreement, with a service of its own.
pub const KYSTREGIONEN: &str = "310001708";

pub struct World {
    pub issuer: Issuer,
    pub key: ProofKey,
    pub clock: FixedClock,
    pub state: Arc<State>,
    pub door: Door,
    pub folder: tempfile::TempDir,
}

pub fn org(number: &str) -> OrganisationNumber {
    OrganisationNumber::parse(number).unwrap()
}

pub fn config(issuer: &str) -> Config {
    let mut register = Register::default();
    for (number, name) in [
        (FJELLVIK, "Fjellvik"),
        (PROVEHEIM, "Prøveheim"),
        (PROVEBAKKEN, "Prøvebakken"),
        (KYSTREGIONEN, "Kystregionen"),
    ] {
        register.add(org(number), name);
    }
    register.add_unit(org("310001929"), &org(PROVEHEIM), "Lungepoliklinikken");
    let holder = |service: &str, orgnr| Holder {
        service: service.into(),
        orgnr: org(orgnr),
        known_to: None,
    };
    Config {
        base: Url::parse(BASE).unwrap(),
        issuer: issuer.into(),
        agreement: ("LOK-2026-1".into(), 1),
        members: [FJELLVIK, PROVEHEIM, PROVEBAKKEN].map(org).into(),
        holders: vec![
            holder("proveheim", PROVEHEIM),
            holder("fjellvik", FJELLVIK),
            holder("provebakken", PROVEBAKKEN),
            holder("kystregionen", KYSTREGIONEN),
        ],
        register,
        budget: Budget::default(),
        key_days: 365,
    }
}

pub fn house(folder: &Path, clock: &FixedClock) -> House {
    House {
        clock: clock.clock(),
        pause: wire::stop::real_pause(),
        ids: ids(1),
        http: Http::new(Policy::loopback()).unwrap(),
        data: folder.join("locator"),
        stop: Stop::new(),
        other_issuer: None,
    }
}

pub fn patient() -> &'static Patient {
    Directory::demo().story_patient()
}

pub fn other_patient() -> &'static Patient {
    &Directory::demo().patients[1]
}

pub fn physician() -> &'static Practitioner {
    &Directory::demo().practitioners[0]
}

/// One announced entry.
pub fn entry(patient: &Patient, kind: &str, state: &str, sequence: u64) -> Value {
    let person = PersonIdentifier::guess(&patient.number, PersonNumbers::Lenient).unwrap();
    json!({"patient": person, "kind": kind, "state": state, "sequence": sequence})
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let clock = FixedClock::at(Instant::from_seconds(1_800_000_000));
        let issuer = Issuer::start_at(clock.clock()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(issuer.url());
        change(&mut config);
        let state = locator::open(config, house(folder.path(), &clock)).await;
        let state = state.unwrap();
        Self {
            door: Door::new(locator::routes(state.clone()), BASE),
            key: ProofKey::generate().unwrap(),
            issuer,
            clock,
            state,
            folder,
        }
    }

    /// Closes the store and opens it again on the same folder.
    pub async fn reopen(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self {
            issuer,
            key,
            clock,
            state,
            door,
            folder,
        } = self;
        drop((state, door));
        let mut config = config(issuer.url());
        change(&mut config);
        let state = locator::open(config, house(folder.path(), &clock)).await;
        let state = state.unwrap();
        let door = Door::new(locator::routes(state.clone()), BASE);
        Self {
            issuer,
            key,
            clock,
            state,
            door,
            folder,
        }
    }

    pub fn service_claims(&self, use_: ClientUse, orgnr: &str) -> Claims {
        let client = SystemClient {
            client_id: "deling",
            use_,
            orgnr,
        };
        let now = self.clock.now();
        self.issuer
            .system_claims(client, BASE, REGISTER_SCOPE, self.key.jkt(), now)
            .unwrap()
    }

    /// A physician's token as a gateway exchanged it.
    pub fn physician_claims(&self, orgnr: &str, about: &Patient) -> Claims {
        let now = self.clock.now();
        let claims =
            self.issuer
                .practitioner_claims(physician(), orgnr, about, BASE, self.key.jkt(), now);
        Claims {
            scope: LOCATE_SCOPE.into(),
            act: Some(Actor {
                client_id: "gateway".into(),
            }),
            ..claims.unwrap()
        }
    }

    pub fn citizen_claims(&self, about: &Patient) -> Claims {
        let now = self.clock.now();
        let claims = self.issuer.citizen_claims(about, BASE, self.key.jkt(), now);
        Claims {
            scope: "patient/Pointer.r".into(),
            ..claims
        }
    }

    pub async fn send(&self, claims: &Claims, path: &str, body: &Value) -> Reply {
        let held = Held::of(&self.issuer, &self.key, claims).unwrap();
        let knock = self.door.knock(http::Method::POST, path);
        let knock = knock
            .header("content-type", "application/json")
            .body(body.to_string());
        knock.by(&held, self.clock.now()).send().await
    }

    /// A service of this organisation announces.
    pub async fn register(&self, orgnr: &str, body: &Value) -> Reply {
        let claims = self.service_claims(ClientUse::Service, orgnr);
        self.send(&claims, "/register", body).await
    }

    /// Fjellvik announces, and it is taken in.
    pub async fn announce(&self, entries: Value, high_water: u64) {
        let body = json!({"holder": "fjellvik", "entries": entries, "high_water": high_water});
        let reply = self.register(FJELLVIK, &body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    }

    /// Prøveheim's physician asks.
    pub async fn locate(&self, about: &Patient, kinds: &[&str]) -> Reply {
        let claims = self.physician_claims(PROVEHEIM, about);
        self.send(&claims, "/locate", &json!({"kinds": kinds}))
            .await
    }

    /// Service, kinds and as-of of the holders that the physician is told of.
    pub async fn told(&self, about: &Patient, kinds: &[&str]) -> Vec<String> {
        let reply = self.locate(about, kinds).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        let holders = reply.json["holders"].as_array().unwrap().clone();
        holders
            .iter()
            .map(|h| {
                format!(
                    "{} {} {}",
                    h["service"].as_str().unwrap(),
                    h["kinds"],
                    h["as_of"].as_str().unwrap()
                )
            })
            .collect()
    }

    /// The audit trail, oldest first.
    pub async fn trail(&self) -> Vec<AuditEntry> {
        let filter = AuditFilter {
            limit: 1_000,
            ..AuditFilter::default()
        };
        let mut entries = self.state.store().audit_search(filter).await.unwrap();
        entries.reverse();
        entries
    }
}
