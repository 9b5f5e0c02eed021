//! Subscriptions over HTTP: a GP office's record system hears of its patient at the municipality's service, reads what it says by
//! its own right, and misses nothing while it is away (STORY.md, day 3; threats-and-faults.md section 8).

mod away;
mod bounds;
mod right;
mod secrecy;
mod told;

use axum::extract::{Request, State};
use fhir::systems;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sharing::Subscriber;
use std::sync::{Arc, Mutex};
use testkit::clients::Reply;
use testkit::door::Held;
use testkit::people::Patient;
use trust::ClientUse;
use wire::contract::anchor::{AgreementDocument, AgreementKind, Participant};
use wire::contract::operate::Standing;

use crate::house::*;

const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition";
const SECRET: &str = "et-hemmelig-ord-hos-mottakeren";
const SCOPE: &str = "user/*.rs user/Subscription.crd";
const SECOND: i64 = 1_000_000;

/// A subscriber's endpoint: keeps what it takes, and answers what it is told to.
#[derive(Clone)]
struct Hook(Arc<Inner>);

struct Inner {
    address: String,
    answers: Mutex<StatusCode>,
    /// Keeps what it was told although it answers something else than 2xx.
    keeps: std::sync::atomic::AtomicBool,
    taken: Mutex<Vec<(HeaderMap, Vec<u8>)>>,
    /// Also what it answered with something else than 2xx.
    asked: std::sync::atomic::AtomicUsize,
}

impl Hook {
    async fn start() -> Hook {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hook = Hook(Arc::new(Inner {
            address: format!("http://{}", listener.local_addr().unwrap()),
            answers: Mutex::new(StatusCode::OK),
            keeps: Default::default(),
            taken: Mutex::default(),
            asked: Default::default(),
        }));
        let router = axum::Router::new()
            .route("/hook", axum::routing::post(Hook::take))
            .with_state(hook.clone());
        tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        hook
    }

    async fn take(State(hook): State<Hook>, request: Request) -> StatusCode {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        hook.0
            .asked
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let status = *hook.0.answers.lock().unwrap();
        if status.is_success() || hook.0.keeps.load(std::sync::atomic::Ordering::SeqCst) {
            let mut taken = hook.0.taken.lock().unwrap();
            taken.push((parts.headers, body.to_vec()));
        }
        status
    }

    fn answers(&self, status: StatusCode) {
        *self.0.answers.lock().unwrap() = status;
    }

    fn keeps(&self, whatever_it_answers: bool) {
        let keeps = &self.0.keeps;
        keeps.store(whatever_it_answers, std::sync::atomic::Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.0.asked.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn subscriber(&self, orgnr: &str) -> Subscriber {
        Subscriber {
            organisation: org(orgnr),
            endpoints: vec![format!("{}/hook", self.0.address).parse().unwrap()],
            most: 5,
        }
    }

    /// What it has taken since this was last asked: kind and events, as number and focus.
    fn heard(&self) -> Vec<(String, Vec<(u64, String)>)> {
        let taken = std::mem::take(&mut *self.0.taken.lock().unwrap());
        let all = taken
            .iter()
            .map(|(_, body)| serde_json::from_slice::<Value>(body).unwrap());
        all.map(|bundle| (parameter(&bundle, "type"), events(&bundle)))
            .collect()
    }

    /// Events' numbers alone.
    fn numbers(&self) -> Vec<u64> {
        let heard = self.heard().into_iter();
        heard
            .flat_map(|(_, events)| events)
            .map(|(number, _)| number)
            .collect()
    }
}

fn status_of(bundle: &Value) -> &Value {
    assert_eq!(bundle["resourceType"], "Bundle", "{bundle}");
    let status = &bundle["entry"][0]["resource"];
    assert_eq!(status["resourceType"], "Parameters", "{bundle}");
    status
}

/// A parameter of the status.
fn parameter(bundle: &Value, name: &str) -> String {
    let all = status_of(bundle)["parameter"].as_array().unwrap();
    let one = all.iter().find(|one| one["name"] == name);
    let one = one.unwrap_or_else(|| panic!("{name} in {bundle}"));
    let value = one
        .as_object()
        .unwrap()
        .iter()
        .find(|(name, _)| name.starts_with("value"));
    let value = value.unwrap().1;
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn events(bundle: &Value) -> Vec<(u64, String)> {
    let all = status_of(bundle)["parameter"].as_array().unwrap();
    let events = all.iter().filter(|one| one["name"] == "notification-event");
    let part = |event: &Value, name: &str, member: &str| -> Option<Value> {
        let parts = event["part"].as_array().unwrap();
        Some(parts.iter().find(|one| one["name"] == name)?[member].clone())
    };
    events
        .map(|event| {
            let number = part(event, "event-number", "valueString").unwrap();
            let focus = part(event, "focus", "valueReference");
            let focus = focus.map_or_else(String::new, |one| {
                let text = one["reference"].as_str().unwrap();
                text.rsplit_once("/fhir/").unwrap().1.to_owned()
            });
            (number.as_str().unwrap().parse().unwrap(), focus)
        })
        .collect()
}

/// A Subscription to new readings of a patient (`Patient/{id}`), told at an address that nobody listens at.
pub fn asked(patient: &str) -> String {
    wanted("http://127.0.0.1:9/hook", "new-reading", Some(patient)).to_string()
}

/// Who may be told there.
pub fn subscribers() -> Vec<Subscriber> {
    let of = |orgnr| Subscriber {
        organisation: org(orgnr),
        endpoints: vec!["http://127.0.0.1:9/hook".parse().unwrap()],
        most: 1_000,
    };
    vec![of(PROVEHEIM), of(FJELLVIK)]
}

fn wanted(endpoint: &str, topic: &str, patient: Option<&str>) -> Value {
    let mut body = json!({
        "resourceType": "Subscription",
        "meta": {"profile": [format!("{BACKPORT}/backport-subscription")]},
        "status": "requested",
        "reason": "Fastlegen følger med",
        "criteria": format!("https://delt.example/fhir/SubscriptionTopic/{topic}"),
        "channel": {
            "type": "rest-hook",
            "endpoint": endpoint,
            "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": format!("{BACKPORT}/backport-payload-content"), "valueCode": "id-only"}]},
        },
    });
    if let Some(patient) = patient {
        let filter = json!({"url": format!("{BACKPORT}/backport-filter-criteria"), "valueString": format!("patient={patient}")});
        body["_criteria"] = json!({"extension": [filter]});
    }
    body
}

/// Events by what their subscribers may know of them.
#[derive(Default)]
struct Listed {
    heard_of: usize,
    waiting: usize,
}

/// Fjellvik's service, and Prøvebakken's GP office that follows Ragnhild there.
struct Region {
    service: Service,
    hook: Hook,
    patient: String,
}

impl Region {
    async fn new() -> Region {
        Region::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut sharing::Config)) -> Region {
        let hook = Hook::start().await;
        let subscribers = vec![hook.subscriber(PROVEBAKKEN), hook.subscriber(FJELLVIK)];
        let service = Service::subscribed(subscribers, change).await;
        let region = Region {
            patient: String::new(),
            service,
            hook,
        };
        region.vouched(Standing::Active, Standing::Active);
        region.reads("first", "91").await;
        // What came before a subscription was made is no news; what came at the same moment may be.
        region.service.clock.advance(SECOND);
        let store = region.service.state.store();
        let id = store
            .patient_id(&identifier(ragnhild()))
            .await
            .unwrap()
            .unwrap();
        Region {
            patient: format!("Patient/{id}"),
            ..region
        }
    }

    /// What the anchor says of the GP office, and of its agreement with Fjellvik.
    fn vouched(&self, member: Standing, agreement: Standing) {
        let issuer = self.service.issuer.url().to_owned();
        let at = self.service.clock.now().seconds();
        let participant = Participant {
            iss: issuer.clone(),
            sub: PROVEBAKKEN.to_owned(),
            iat: at,
            name: PROVEBAKKEN.to_owned(),
            version: u64::try_from(at).unwrap(),
            state: member,
            units: Vec::new(),
            keys: Vec::new(),
            contacts: Vec::new(),
        };
        let agreement = AgreementDocument {
            iss: issuer,
            sub: "a-1".to_owned(),
            iat: at,
            version: u64::try_from(at).unwrap(),
            state: agreement,
            signed: true,
            kind: AgreementKind::DataSharing,
            parties: vec![PROVEBAKKEN.to_owned(), FJELLVIK.to_owned()],
            consumer: None,
            provider: None,
            processor: None,
            services: vec!["IT08".to_owned(), "IT17".to_owned()],
            from: "2026-01-01".to_owned(),
            until: None,
        };
        self.service
            .issuer
            .vouch(&[participant], &[agreement])
            .unwrap();
    }

    /// The GP, about a patient.
    fn gp_about(&self, about: &Patient, purpose: &str, scope: &str) -> Held {
        self.service.physician_but(about, |claims| {
            claims.scope = scope.into();
            claims.orgnr_parent = Some(org(PROVEBAKKEN));
            let attest = claims.attest.as_mut().unwrap();
            attest.practitioner.legal_entity.as_mut().unwrap().id = PROVEBAKKEN.into();
            let relation = &mut attest.care_relationship;
            relation.purpose_of_use.as_mut().unwrap().code = purpose.into();
            relation.reason = Some("unconscious".into());
        })
    }

    fn gp(&self) -> Held {
        self.gp_about(ragnhild(), "TREAT", SCOPE)
    }

    /// The GP office's record system by itself.
    fn system(&self) -> Held {
        let service = &self.service;
        service.system(
            ClientUse::RecordSystem,
            PROVEBAKKEN,
            "system/Subscription.rd",
        )
    }

    fn endpoint(&self) -> String {
        format!("{}/hook", self.hook.0.address)
    }

    async fn asks(&self, who: &Held, body: &Value) -> Reply {
        self.service.post(who, "/Subscription", body).await
    }

    /// The GP follows; gives the subscription's path.
    async fn follows(&self, topic: &str) -> String {
        let body = wanted(&self.endpoint(), topic, Some(&self.patient));
        self.followed(&self.gp(), &body).await
    }

    /// Follows what is read of the patient with a heartbeat each minute, and gives what was asked for; what the hook has heard by
    /// then is forgotten.
    async fn follows_with_heartbeats(&self) -> Value {
        let mut body = wanted(&self.endpoint(), "new-reading", Some(&self.patient));
        let heartbeat =
            json!({"url": format!("{BACKPORT}/backport-heartbeat-period"), "valueUnsignedInt": 60});
        body["channel"]["extension"] = json!([heartbeat]);
        self.followed(&self.gp(), &body).await;
        self.hook.heard();
        body
    }

    async fn followed(&self, who: &Held, body: &Value) -> String {
        let made = self.asks(who, body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
        assert_eq!(made.json["status"], "requested");
        let place = made.header("location").to_owned();
        let path = place.strip_prefix(&self.service.base).unwrap().to_owned();
        assert_eq!(
            path,
            format!("/Subscription/{}", made.json["id"].as_str().unwrap())
        );
        self.tells().await;
        path
    }

    /// What the lists of all subscriptions hold.
    async fn listed(&self) -> Listed {
        let store = self.service.state.store();
        let kept = store.ledger_scan("subscription", b"", None, 10_000);
        let told = |entry: &store::LedgerEntry| {
            let kept: Value = serde_json::from_slice(&entry.value).unwrap();
            (entry.key.clone(), kept["told"].as_u64().unwrap())
        };
        let told: std::collections::BTreeMap<_, _> = kept.await.unwrap().iter().map(told).collect();
        let mut pages = store.ledger_pages("listed", b"", 1_000);
        let mut all = Listed::default();
        while let Some(page) = pages.next().await.unwrap() {
            for entry in page {
                let (list, number) = entry.key.split_at(16);
                match u64::from_be_bytes(number.try_into().unwrap()) > told[list] {
                    true => all.waiting += 1,
                    false => all.heard_of += 1,
                }
            }
        }
        all
    }

    async fn tells(&self) {
        self.service.state.notify_waiting().await.unwrap();
    }

    /// A reading arrives; gives its id.
    async fn reads(&self, key: &str, value: &str) -> String {
        let body = reading(ragnhild(), key, "2026-11-21T08:00:00+01:00", value);
        self.service.created(&body).await
    }

    async fn get(&self, who: &Held, path: &str) -> Value {
        let reply = self.service.get(who, path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.json);
        reply.json
    }

    /// How it stands: status and count.
    async fn stands(&self, path: &str) -> (String, String) {
        let told = self.get(&self.system(), &format!("{path}/$status")).await;
        assert_eq!(told["type"], "searchset");
        assert_eq!(parameter(&told, "type"), "query-status");
        (
            parameter(&told, "status"),
            parameter(&told, "events-since-subscription-start"),
        )
    }

    async fn missed(&self, path: &str, query: &str) -> Vec<(u64, String)> {
        let told = self
            .get(&self.system(), &format!("{path}/$events{query}"))
            .await;
        assert_eq!(parameter(&told, "type"), "query-event");
        events(&told)
    }

    /// Time passes, and whoever waits is tried again.
    async fn passes(&self, seconds: i64) {
        self.service.clock.advance(seconds * SECOND);
        self.tells().await;
    }

    /// The service stops and starts again, with the GP office alone as subscriber.
    async fn restarted(self) -> Region {
        let Region {
            service,
            hook,
            patient,
        } = self;
        let folder = service.folder.path();
        let mut config = config(folder, &service.issuer, "fjellvik", FJELLVIK, &[]);
        config.client_file = Some(folder.join("client.json"));
        config.subscribers = vec![hook.subscriber(PROVEBAKKEN)];
        let service = service.reopened(config).await;
        Region {
            service,
            hook,
            patient,
        }
    }

    /// She closes something, and gives the wish's path.
    async fn closes(&self, provision: Value) -> String {
        let her = crate::wishes::patient(&self.service);
        let made = self
            .service
            .post(&her, "/Consent", &crate::wishes::consent(provision))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
        let place = made.header("location");
        place.strip_prefix(&self.service.base).unwrap().to_owned()
    }

    async fn opens(&self, wish: &str) {
        let her = crate::wishes::patient(&self.service);
        let ended = self.service.delete(&her, wish, None).await;
        assert_eq!(ended.status, StatusCode::NO_CONTENT, "{}", ended.json);
    }
}

fn organisation_closed(orgnr: &str) -> Value {
    json!({"actor": [{
        "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "PRCP"}]},
        "reference": {"identifier": {"system": systems::ORGNR, "value": orgnr}},
    }]})
}
