//! One sharing service and those who call it.

use fhir::ids::{OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::resource::InformationService;
use fhir::systems;
use fhir::time::Instant;
use http::StatusCode;
use serde_json::{Value, json};
use sharing::{Config, State, Subscriber};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use store::{AuditEntry, AuditFilter};
use testkit::clients::Reply;
use testkit::door::{Door, Held};
use testkit::issuer::{Issuer, ProofKey, SystemClient};
use testkit::people::{Directory, Patient, Practitioner};
use testkit::surroundings::{FixedClock, ids};
use trust::caller::{Agreement, Delegation};
use trust::organisation::Register;
use trust::token::Claims;
use trust::{ClientUse, audit};
use wire::client::{Http, Policy};
use wire::{House, Stop};

/// The municipality whose service it is, and others (STORY.md).
pub const FJELLVIK: &str = "310001007";
pub const PROVEHEIM: &str = "310001074";
pub const PROVEBAKKEN: &str = "310001147";
pub const NORDDRIFT: &str = "310001287";
pub const KYSTREGIONEN: &str = "310001708";
pub const SORLIA: &str = "310001422";
pub const ASDAL: &str = "310001562";

/// 2026-11-21T09:00:00Z.
pub const NOW: Instant = Instant(1_795_251_600_000_000);
/// SpO2 by its LOINC code.
pub const SPO2: &str = "http://loinc.org|59408-5";

pub fn org(number: &str) -> OrganisationNumber {
    OrganisationNumber::parse(number).unwrap()
}

pub fn patient(id: &str) -> &'static Patient {
    Directory::demo().patient(id).unwrap()
}

pub fn ragnhild() -> &'static Patient {
    patient("ragnhild")
}

pub fn arne() -> &'static Patient {
    patient("arne")
}

pub fn number(of: &Patient) -> String {
    format!("{}|{}", systems::FNR, of.number)
}

pub fn identifier(of: &Patient) -> PersonIdentifier {
    PersonIdentifier::guess(&of.number, PersonNumbers::Strict).unwrap()
}

pub fn physician() -> &'static Practitioner {
    &Directory::demo().practitioners[0]
}

/// The demo's organisations.
pub fn register() -> Register {
    let mut register = Register::default();
    for one in &Directory::demo().organisations {
        let controller = org(&one.orgnr);
        register.add(controller, &one.name);
        for unit in &one.units {
            register.add_unit(org(&unit.orgnr), &controller, &unit.name);
            if let Some(resh) = &unit.resh {
                register.add_resh(resh, &controller, &unit.name);
            }
        }
    }
    register
}

/// A standing service.
pub struct Service {
    pub folder: Arc<tempfile::TempDir>,
    pub clock: FixedClock,
    pub issuer: Issuer,
    pub state: Arc<State>,
    pub door: Door,
    pub base: String,
    pub stop: Stop,
}

pub fn config(folder: &Path, issuer: &Issuer, id: &str, owner: &str, members: &[&str]) -> Config {
    let _ = folder;
    Config {
        store_of: None,
        id: id.to_owned(),
        base: format!("http://{id}.test/fhir").parse().unwrap(),
        owner: org(owner),
        name: register().name(&org(owner)).unwrap().to_owned(),
        members: members.iter().map(|m| org(m)).collect(),
        issuer: issuer.url().to_owned(),
        locator: None,
        listing: None,
        client_file: None,
        enrol: true,
        synthetic_only: true,
        sign_in: false,
        if_match_optional: Vec::new(),
        register: register(),
        zone: fhir::time::Zone::default(),
        person_numbers: PersonNumbers::Strict,
        publish: store::Publishing::default(),
        copy: sharing::Promise::default(),
        assessment: None,
        hand_over: Vec::new(),
        subscribers: Vec::new(),
        files_notes: None,
        pvk: None,
        types: fhir::definitions::Types::default(),
        profiles: fhir::check::profile::Demands::default(),
    }
}

impl Service {
    /// Fjellvik's own.
    pub async fn fjellvik() -> Self {
        Self::with("fjellvik", FJELLVIK, &[], |_| {}).await
    }

    /// A register that Sørlia and Åsdal share.
    pub async fn kystregionen() -> Self {
        Self::with("kystregionen", KYSTREGIONEN, &[SORLIA, ASDAL], |_| {}).await
    }

    pub async fn with(
        id: &str,
        owner: &str,
        members: &[&str],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let clock = FixedClock::at(NOW);
        let issuer = Issuer::start_at(clock.clock()).await.unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut config = config(folder.path(), &issuer, id, owner, members);
        change(&mut config);
        Self::open(folder, clock, issuer, config).await
    }

    pub async fn open(
        folder: Arc<tempfile::TempDir>,
        clock: FixedClock,
        issuer: Issuer,
        config: Config,
    ) -> Self {
        let base = config.base.as_str().trim_end_matches('/').to_owned();
        let stop = Stop::new();
        // A service that was here before gives no id again.
        let marked = folder.path().join("opened");
        let seed = 7 + u64::from(marked.exists());
        std::fs::write(marked, "").unwrap();
        let house = House {
            clock: clock.clock(),
            pause: wire::stop::real_pause(),
            ids: ids(seed),
            http: Http::new(Policy::loopback()).unwrap(),
            data: folder.path().to_owned(),
            stop: stop.clone(),
            other_issuer: None,
        };
        let state = sharing::open(config, house).await.unwrap();
        let door = Door::new(sharing::routes(state.clone()), &base);
        Self {
            folder,
            clock,
            issuer,
            state,
            door,
            base,
            stop,
        }
    }

    /// Stops and starts again on what rests, under this configuration.
    pub async fn reopened(self, config: Config) -> Self {
        let Self {
            folder,
            clock,
            issuer,
            state,
            door,
            ..
        } = self;
        drop((state, door));
        Self::open(folder, clock, issuer, config).await
    }

    /// Fjellvik's own, whose subscribers may be told at these addresses; it signs by a key that the anchor vouches for.
    pub async fn subscribed(
        subscribers: Vec<Subscriber>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let clock = FixedClock::at(NOW);
        let issuer = Issuer::start_at(clock.clock()).await.unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut config = config(folder.path(), &issuer, "fjellvik", FJELLVIK, &[]);
        let client = SystemClient {
            client_id: "deling-fjellvik",
            use_: ClientUse::Service,
            orgnr: FJELLVIK,
        };
        let file = issuer.client_file(client, "http://nobody.test").unwrap();
        let path = folder.path().join("client.json");
        std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        config.client_file = Some(path);
        config.subscribers = subscribers;
        change(&mut config);
        Self::open(folder, clock, issuer, config).await
    }

    pub fn held(&self, change: impl FnOnce(&str) -> Claims) -> Held {
        let key = ProofKey::generate().unwrap();
        let claims = change(key.jkt());
        Held::of(&self.issuer, &key, &claims).unwrap()
    }

    pub fn system_claims(&self, use_: ClientUse, orgnr: &str, scope: &str, jkt: &str) -> Claims {
        let client_id = format!("{use_:?}-{orgnr}");
        let client = SystemClient {
            client_id: &client_id,
            use_,
            orgnr,
        };
        self.issuer
            .system_claims(client, &self.base, scope, jkt, self.clock.now())
            .unwrap()
    }

    /// A client acting for itself.
    pub fn system(&self, use_: ClientUse, orgnr: &str, scope: &str) -> Held {
        self.held(|jkt| self.system_claims(use_, orgnr, scope, jkt))
    }

    /// The record system of an organisation.
    pub fn record_system(&self, orgnr: &str) -> Held {
        self.system(ClientUse::RecordSystem, orgnr, "system/*.cruds")
    }

    /// The hub, which writes by delegation from `from`.
    pub fn hub(&self, from: &str) -> Held {
        self.held(|jkt| {
            let mut claims =
                self.system_claims(ClientUse::Service, NORDDRIFT, "system/Observation.c", jkt);
            claims.delegation = Some(Delegation {
                id: "d-1".into(),
                version: 1,
                from: org(from),
            });
            claims
        })
    }

    /// Claims of the hospital's physician about a patient, under an agreement about measurements, plans and medicines.
    pub fn physician_claims(&self, about: &Patient, jkt: &str) -> Claims {
        let mut claims = self
            .issuer
            .practitioner_claims(
                physician(),
                PROVEHEIM,
                about,
                &self.base,
                jkt,
                self.clock.now(),
            )
            .unwrap();
        let services = InformationService::ALL.to_vec();
        claims.agreement = Some(Agreement {
            id: "a-1".into(),
            version: 1,
            services,
        });
        claims
    }

    pub fn physician(&self, about: &Patient) -> Held {
        self.held(|jkt| self.physician_claims(about, jkt))
    }

    /// The physician with something different about the claims.
    pub fn physician_but(&self, about: &Patient, change: impl FnOnce(&mut Claims)) -> Held {
        self.held(|jkt| {
            let mut claims = self.physician_claims(about, jkt);
            change(&mut claims);
            claims
        })
    }

    pub fn citizen(&self, who: &Patient) -> Held {
        self.held(|jkt| {
            self.issuer
                .citizen_claims(who, &self.base, jkt, self.clock.now())
        })
    }

    pub async fn get(&self, who: &Held, path: &str) -> Reply {
        self.door.get(path).by(who, self.clock.now()).send().await
    }

    pub async fn search(&self, who: &Held, resource_type: &str, form: &[(&str, &str)]) -> Reply {
        self.door
            .search(resource_type, form)
            .by(who, self.clock.now())
            .send()
            .await
    }

    pub async fn post(&self, who: &Held, path: &str, body: &Value) -> Reply {
        self.door
            .post(path, body.to_string())
            .by(who, self.clock.now())
            .send()
            .await
    }

    pub async fn put(&self, who: &Held, path: &str, if_match: Option<&str>, body: &Value) -> Reply {
        let knock = self.door.put(path, body.to_string());
        let knock = match if_match {
            Some(version) => knock.header("if-match", version),
            None => knock,
        };
        knock.by(who, self.clock.now()).send().await
    }

    pub async fn delete(&self, who: &Held, path: &str, if_match: Option<&str>) -> Reply {
        let knock = self.door.knock(http::Method::DELETE, path);
        let knock = match if_match {
            Some(version) => knock.header("if-match", version),
            None => knock,
        };
        knock.by(who, self.clock.now()).send().await
    }

    /// Creates as the owner's record system and gives the logical id.
    pub async fn created(&self, body: &Value) -> String {
        let owner = self.record_system(self.owner());
        let reply = self
            .post(
                &owner,
                &format!("/{}", body["resourceType"].as_str().unwrap()),
                body,
            )
            .await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
        reply.json["id"].as_str().unwrap().to_owned()
    }

    fn owner(&self) -> &'static str {
        if self.base.contains("kystregionen") {
            KYSTREGIONEN
        } else {
            FJELLVIK
        }
    }

    /// The audit trail, newest first; it is sound.
    pub async fn audit(&self) -> Vec<AuditEntry> {
        let store = self.state.store();
        assert!(store.verify_audit(None).await.unwrap().is_sound());
        store
            .audit_search(AuditFilter {
                limit: 1000,
                ..AuditFilter::default()
            })
            .await
            .unwrap()
    }

    /// The newest record of an interaction.
    pub async fn last_record_of(&self, interaction: trust::Interaction) -> audit::Record {
        let records = self.audit().await.into_iter().map(|entry| entry.record);
        let mut own = records.filter(|record| record.interaction == interaction);
        own.next().unwrap()
    }

    /// The records of one request, in their order.
    pub async fn records_of(&self, request: &str) -> Vec<audit::Record> {
        let records = self.audit().await.into_iter().map(|entry| entry.record);
        let mut own: Vec<_> = records
            .filter(|record| record.request_id == request)
            .collect();
        own.reverse();
        own
    }

    /// The newest record.
    pub async fn last_record(&self) -> audit::Record {
        self.audit().await.into_iter().next().unwrap().record
    }
}

/// A reading at some time, with an identifier of its own.
pub fn reading(of: &Patient, key: &str, when: &str, value: &str) -> Value {
    json!({
        "resourceType": "Observation",
        "identifier": [{ "system": "urn:example:readings", "value": key }],
        "status": "final",
        "category": [{ "coding": [{ "system": systems::OBSERVATION_CATEGORY, "code": "vital-signs" }] }],
        "code": { "coding": [
            { "system": "http://loinc.org", "code": "59408-5" },
            { "system": "http://snomed.info/sct", "code": "431314004" },
        ] },
        "subject": { "identifier": { "system": systems::FNR, "value": of.number } },
        "effectiveDateTime": when,
        "valueQuantity": {
            "value": value.parse::<serde_json::Number>().unwrap(),
            "unit": "%", "system": "http://unitsofmeasure.org", "code": "%",
        },
    })
}

/// The same with other codes, unit and value.
pub fn pulse(of: &Patient, key: &str, when: &str) -> Value {
    let mut body = reading(of, key, when, "72");
    body["code"] = json!({ "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] });
    body["valueQuantity"] = json!({ "value": 72, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min" });
    body
}

/// A Bundle around entries.
pub fn bundle(kind: &str, resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources.iter().enumerate().map(|(n, r)| json!({ "fullUrl": format!("urn:uuid:00000000-0000-4000-8000-{n:012}"), "resource": r })).collect();
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries })
}

/// Logical ids of a searchset's matches, in order.
pub fn found(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    reply
        .matches()
        .iter()
        .map(|m| m["id"].as_str().unwrap().to_owned())
        .collect()
}

/// An OperationOutcome's issues as `code @ expression`.
pub fn issues(outcome: &Value) -> Vec<String> {
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
    outcome["issue"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| {
            format!(
                "{} @ {}",
                i["code"].as_str().unwrap(),
                i["expression"][0].as_str().unwrap_or("-")
            )
        })
        .collect()
}
