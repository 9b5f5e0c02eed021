//! One hub and those who send to it.

use fhir::ids::{OrganisationNumber, PersonNumbers};
use fhir::resource::InformationService;
use fhir::systems;
use fhir::time::Instant;
use http::StatusCode;
use hub::{Config, Receiver, State};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use store::{AuditEntry, AuditFilter};
use testkit::clients::Reply;
use testkit::door::{Door, Held, Knock};
use testkit::issuer::{Issuer, ProofKey, SystemClient};
use testkit::people::{Directory, Patient};
use testkit::surroundings::{FixedClock, ids};
use trust::ClientUse;
use trust::organisation::Register;
use trust::token::Claims;
use wire::client::{Http, Policy};
use wire::stop::{Pause, real_pause};
use wire::{House, Stop};

/// Organisations of STORY.md: two municipalities of their own, a GP office that the hub has no receivers for, a member of a
/// shared register, and the hub's operator.
pub const FJELLVIK: &str = "310001007";
pub const PROVEHEIM: &str = "310001074";
pub const PROVEBAKKEN: &str = "310001147";
pub const SORLIA: &str = "310001422";
pub const NORDDRIFT: &str = "310001287";
/// A sub-unit of Fjellvik, and a RESH id of Prøveheim's.
pub const FJELLVIK_UNIT: &str = "310001902";
pub const PROVEHEIM_RESH: &str = "4990001";

/// 2026-11-21T09:00:00Z.
pub const NOW: Instant = Instant(1_795_251_600_000_000);
pub const WHEN: &str = "2026-11-20T08:00:00+01:00";
pub const BASE: &str = "http://hub.test/hub";

pub fn org(number: &str) -> OrganisationNumber {
    OrganisationNumber::parse(number).unwrap()
}

pub fn patient(id: &str) -> &'static Patient {
    Directory::demo().patient(id).unwrap()
}

pub fn ragnhild() -> &'static Patient {
    patient("ragnhild")
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

/// An organisation's receivers by their addresses; the record system takes measurements.
pub fn receiver(orgnr: &str, record_system: Option<&str>, sharing: Option<&str>) -> Receiver {
    Receiver {
        orgnr: org(orgnr),
        record_system: record_system.map(|url| url.parse().unwrap()),
        record_system_kinds: vec![InformationService::MEASUREMENTS],
        record_system_rules: Vec::new(),
        sharing: sharing.map(|url| url.parse().unwrap()),
        expected_there: Vec::new(),
    }
}

/// How long an answer waits that is not to come at once.
const SLOW: Duration = Duration::from_millis(75);

/// Counts how often an answer waits, without waiting for it; all else waits in real time.
fn counting(slowed: Arc<AtomicU32>) -> Pause {
    let real = real_pause();
    Arc::new(move |wait| {
        if wait != SLOW {
            return real(wait);
        }
        slowed.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {})
    })
}

/// A standing hub.
pub struct Hub {
    pub folder: Arc<tempfile::TempDir>,
    pub clock: FixedClock,
    pub issuer: Issuer,
    pub config: Config,
    pub state: Arc<State>,
    pub door: Door,
    pub stop: Stop,
    /// Answers that waited.
    slowed: Arc<AtomicU32>,
}

impl Hub {
    /// With receivers that nobody listens at, for what happens before delivery.
    pub async fn new() -> Self {
        Self::bounded(hub::Bounds::default()).await
    }

    /// The same in a deployment that takes nothing of a device that nobody assigned.
    pub async fn requiring() -> Self {
        let mut hub = Self::new().await;
        hub.config.require_assignment = true;
        hub.restarted().await
    }

    /// The same, within other bounds.
    pub async fn bounded(bounds: hub::Bounds) -> Self {
        let receivers = vec![
            receiver(
                FJELLVIK,
                Some("http://127.0.0.1:9/epj"),
                Some("http://127.0.0.1:9/fjellvik/fhir"),
            ),
            receiver(
                PROVEHEIM,
                Some("http://127.0.0.1:9/epj2"),
                Some("http://127.0.0.1:9/proveheim/fhir"),
            ),
            receiver(SORLIA, None, Some("http://127.0.0.1:9/kystregionen/fhir")),
        ];
        Self::built(receivers, bounds).await
    }

    pub async fn with(receivers: Vec<Receiver>) -> Self {
        Self::built(receivers, hub::Bounds::default()).await
    }

    async fn built(receivers: Vec<Receiver>, bounds: hub::Bounds) -> Self {
        let clock = FixedClock::at(NOW);
        let issuer = Issuer::start_at(clock.clock()).await.unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let client = SystemClient {
            client_id: "delt-hub",
            use_: ClientUse::Service,
            orgnr: NORDDRIFT,
        };
        let client_file = folder.path().join("client.json");
        let file = issuer.client_file(client, BASE).unwrap();
        std::fs::write(&client_file, serde_json::to_vec(&file).unwrap()).unwrap();
        std::fs::set_permissions(&client_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = Config {
            base: BASE.parse().unwrap(),
            operator: org(NORDDRIFT),
            issuer: issuer.url().to_owned(),
            client_file,
            register: register(),
            zone: fhir::time::Zone::default(),
            person_numbers: PersonNumbers::Strict,
            synthetic_only: true,
            require_assignment: false,
            models: Vec::new(),
            replay_days: 30,
            bounds,
            expects: Vec::new(),
            receivers,
        };
        Self::open(folder, clock, issuer, config).await
    }

    async fn open(
        folder: Arc<tempfile::TempDir>,
        clock: FixedClock,
        issuer: Issuer,
        config: Config,
    ) -> Self {
        let (stop, slowed) = (Stop::new(), Arc::default());
        let house = House {
            clock: clock.clock(),
            pause: counting(Arc::clone(&slowed)),
            ids: ids(clock.now().0.unsigned_abs()),
            http: Http::new(Policy::loopback()).unwrap(),
            data: folder.path().to_owned(),
            stop: stop.clone(),
            other_issuer: None,
        };
        let state = hub::open(config.clone(), house).await.unwrap();
        let door = Door::new(hub::routes(state.clone()), BASE);
        Self {
            folder,
            clock,
            issuer,
            config,
            state,
            door,
            stop,
            slowed,
        }
    }

    /// Answers that waited since it was asked last.
    pub fn slowed(&self) -> u32 {
        self.slowed.swap(0, Ordering::SeqCst)
    }

    /// Closed, and opened again on the same folder a second later.
    pub async fn restarted(self) -> Self {
        let Hub {
            folder,
            clock,
            issuer,
            config,
            state,
            door,
            stop,
            slowed: _,
        } = self;
        drop((state, door, stop));
        clock.advance(1_000_000);
        Self::open(folder, clock, issuer, config).await
    }

    pub fn claims(&self, client_id: &str, use_: ClientUse, orgnr: &str, jkt: &str) -> Claims {
        let client = SystemClient {
            client_id,
            use_,
            orgnr,
        };
        self.issuer
            .system_claims(
                client,
                &format!("{BASE}/fhir"),
                &format!(
                    "{} system/DeviceUseStatement.u",
                    wire::contract::hub::DOCUMENT_SCOPE
                ),
                jkt,
                self.clock.now(),
            )
            .unwrap()
    }

    pub fn held(&self, claims: impl FnOnce(&str) -> Claims) -> Held {
        let key = ProofKey::generate().unwrap();
        let claims = claims(key.jkt());
        Held::of(&self.issuer, &key, &claims).unwrap()
    }

    /// The home system that is registered to send for an organisation.
    pub fn home(&self, orgnr: &str) -> Held {
        self.held(|jkt| self.claims(&format!("home-{orgnr}"), ClientUse::HomeSystem, orgnr, jkt))
    }

    /// The record system of an organisation.
    pub fn record_system(&self, orgnr: &str) -> Held {
        self.held(|jkt| self.claims(&format!("epj-{orgnr}"), ClientUse::RecordSystem, orgnr, jkt))
    }

    /// Posts plain JSON.
    pub async fn state(&self, who: &Held, path: &str, body: &Value) -> Reply {
        let knock = plain(&self.door, path, body);
        knock.by(who, self.clock.now()).send().await
    }

    pub async fn post(&self, who: &Held, path: &str, body: &Value) -> Reply {
        self.post_text(who, path, body.to_string()).await
    }

    pub async fn post_text(&self, who: &Held, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.door
            .post(path, body.into())
            .by(who, self.clock.now())
            .send()
            .await
    }

    pub async fn get(&self, who: &Held, path: &str) -> Reply {
        self.door.get(path).by(who, self.clock.now()).send().await
    }

    /// Sends one reading for Fjellvik; gives its key.
    pub async fn sent(&self, body: &Value) -> String {
        let reply = self
            .post(&self.home(FJELLVIK), "/fhir/Observation", body)
            .await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
        key_of(reply.header("location"))
    }

    /// What waits for a receiver: key and body, in order.
    pub async fn waiting(&self, receiver: &str) -> Vec<(String, String)> {
        let due = self
            .state
            .store()
            .outbox_due(receiver, self.clock.now(), 1000)
            .await
            .unwrap();
        due.into_iter()
            .map(|due| (due.key, String::from_utf8(due.body.to_vec()).unwrap()))
            .collect()
    }

    /// What was kept aside of a sender's: reason and business identifier, newest first.
    pub async fn aside(&self, who: &Held) -> Vec<(String, Option<String>)> {
        let reply = self.get(who, "/quarantine").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        let entries = reply.json["entries"].as_array().unwrap();
        entries
            .iter()
            .map(|e| {
                (
                    e["reason"].as_str().unwrap().to_owned(),
                    e["identifier"].as_str().map(str::to_owned),
                )
            })
            .collect()
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
}

/// The key in `Observation/{key}`.
pub fn key_of(location: &str) -> String {
    location
        .strip_prefix("Observation/")
        .unwrap_or_else(|| panic!("{location}"))
        .to_owned()
}

/// SpO2 of a patient, with an identifier of its own.
pub fn reading(of: &Patient, key: &str, value: u32) -> Value {
    json!({
        "resourceType": "Observation",
        "identifier": [{ "system": "urn:example:readings", "value": key }],
        "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "59408-5" }] },
        "subject": { "identifier": { "system": systems::FNR, "value": of.number } },
        "effectiveDateTime": WHEN,
        "valueQuantity": { "value": value, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%" },
    })
}

/// `POST` of plain JSON.
pub fn plain<'a>(door: &'a Door, path: &str, body: &Value) -> Knock<'a> {
    door.knock(http::Method::POST, path)
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// A device by its serial number.
pub fn device(serial: &str) -> Value {
    json!({ "system": "urn:example:devices", "value": serial })
}

/// The same, measured by a device at a time.
pub fn measured(of: &Patient, key: &str, serial: &str, when: &str) -> Value {
    let mut body = reading(of, key, 91);
    body["device"] = json!({ "identifier": device(serial) });
    body["effectiveDateTime"] = json!(when);
    body
}

/// A device measures a patient from a time on.
pub fn assignment(serial: &str, of: &Patient, from: &str) -> Value {
    let patient = json!({ "system": systems::FNR, "value": of.number });
    json!({ "device": device(serial), "patient": patient, "from": from })
}

/// A patient's answers to a questionnaire, with the score among them.
pub fn answers(of: &Patient, key: &str) -> Value {
    json!({
        "resourceType": "QuestionnaireResponse",
        "identifier": { "system": "urn:example:answers", "value": key },
        "status": "completed",
        "subject": { "identifier": { "system": systems::FNR, "value": of.number } },
        "authored": WHEN,
        "item": [
            { "linkId": "1", "text": "Hoste", "answer": [{ "valueInteger": 3 }] },
            { "linkId": "score", "text": "CAT", "answer": [{ "valueDecimal": 18.0 }] },
        ],
    })
}

/// The same with a responsible organisation among the performers.
pub fn performed(of: &Patient, key: &str, system: &str, value: &str) -> Value {
    let mut body = reading(of, key, 91);
    body["performer"] =
        json!([{ "type": "Organization", "identifier": { "system": system, "value": value } }]);
    body
}

/// The fullUrl of a bundle's entry.
pub fn full_url(n: usize) -> String {
    format!("urn:uuid:00000000-0000-4000-8000-{n:012}")
}

/// A Bundle around readings, with fullUrl, and for a batch with request.
pub fn bundle(kind: &str, resources: &[Value]) -> Value {
    let entry = |(n, resource): (usize, &Value)| {
        let mut entry = json!({ "fullUrl": full_url(n), "resource": resource });
        if kind == "batch" {
            entry["request"] = json!({ "method": "POST", "url": resource["resourceType"] });
        }
        entry
    };
    json!({ "resourceType": "Bundle", "type": kind, "entry": resources.iter().enumerate().map(entry).collect::<Vec<_>>() })
}

/// Statuses of a batch-response's entries, in order.
pub fn statuses(reply: &Reply) -> Vec<u16> {
    assert_eq!(
        (reply.status, &reply.json["type"]),
        (StatusCode::OK, &json!("batch-response")),
        "{}",
        reply.json
    );
    let entries = reply.json["entry"].as_array().unwrap();
    entries
        .iter()
        .map(|e| {
            e["response"]["status"].as_str().unwrap()[..3]
                .parse()
                .unwrap()
        })
        .collect()
}

/// Keys of a batch-response's acknowledged entries, in order.
pub fn keys(reply: &Reply) -> Vec<String> {
    let entries = reply.json["entry"].as_array().unwrap();
    entries
        .iter()
        .filter_map(|e| e["response"]["location"].as_str())
        .map(key_of)
        .collect()
}

/// An OperationOutcome's issues as `code @ expression`.
pub fn issues(outcome: &Value) -> Vec<String> {
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
    let issues = outcome["issue"].as_array().unwrap();
    issues
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
