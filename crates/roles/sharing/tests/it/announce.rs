//! What the locator is told: state, once, in order, and never a value.

use crate::house::*;
use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use testkit::issuer::SystemClient;
use testkit::surroundings::FixedClock;
use trust::ClientUse;
use wire::contract::locator::{Announcement, OUTBOX_RECEIVER, Presence};

const WHEN: &str = "2026-11-20T08:00:00+01:00";

/// Fjellvik's service with a locator at an address.
pub async fn with_locator(locator: &str) -> Service {
    let clock = FixedClock::at(NOW);
    let issuer = testkit::issuer::Issuer::start_at(clock.clock())
        .await
        .unwrap();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let client = SystemClient {
        client_id: "deling-fjellvik",
        use_: ClientUse::Service,
        orgnr: FJELLVIK,
    };
    let file = folder.path().join("client.json");
    std::fs::write(
        &file,
        serde_json::to_vec(&issuer.client_file(client, locator).unwrap()).unwrap(),
    )
    .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = config(folder.path(), &issuer, "fjellvik", FJELLVIK, &[]);
    config.locator = Some(locator.parse().unwrap());
    config.client_file = Some(file);
    Service::open(folder, clock, issuer, config).await
}

/// Fjellvik's service with a locator that answers registrations by `register`.
async fn told_to<H: axum::handler::Handler<T, ()>, T: 'static>(register: H) -> Service {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/register", post(register));
    tokio::spawn(async move { axum::serve(listener, router).await });
    with_locator(&base).await
}

/// Lets the service's workers run until `done`, then stops them and waits until they have ended.
async fn working(service: &Service, done: impl Future) {
    let work: Vec<_> = sharing::workers(service.state.clone())
        .into_iter()
        .map(|worker| tokio::spawn(worker.run))
        .collect();
    done.await;
    service.stop.stop();
    for worker in work {
        worker.await.unwrap();
    }
}

async fn waiting(service: &Service) -> Vec<(String, Presence, u64)> {
    let due = service
        .state
        .store()
        .outbox_due(OUTBOX_RECEIVER, service.clock.now(), 100)
        .await
        .unwrap();
    let read = |body: &[u8]| serde_json::from_slice::<Announcement>(body).unwrap();
    due.iter()
        .map(|due| read(&due.body))
        .map(|one| {
            assert_eq!(one.patient, identifier(ragnhild()));
            (one.kind.to_string(), one.state, one.sequence)
        })
        .collect()
}

/// The last turn of a patient that waits to be told.
async fn waiting_of(
    service: &Service,
    patient: fhir::ids::PersonIdentifier,
) -> (String, Presence, u64) {
    let store = service.state.store();
    let due = store.outbox_due(OUTBOX_RECEIVER, service.clock.now(), 100);
    let due = due.await.unwrap();
    let read = due
        .iter()
        .map(|due| serde_json::from_slice::<Announcement>(&due.body).unwrap());
    let one = read.filter(|one| one.patient == patient).last().unwrap();
    (one.kind.to_string(), one.state, one.sequence)
}

#[tokio::test]
async fn only_the_first_and_the_last_of_a_kind_are_announced() {
    let service = with_locator("http://locator.test").await;
    let owner = service.record_system(FJELLVIK);
    let first = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let second = service
        .created(&reading(
            ragnhild(),
            "r-2",
            "2026-11-20T09:00:00+01:00",
            "92",
        ))
        .await;
    let present = ("IT17".to_owned(), Presence::Present, 1);
    assert_eq!(waiting(&service).await, std::slice::from_ref(&present));
    service
        .delete(&owner, &format!("/Observation/{first}"), None)
        .await;
    assert_eq!(waiting(&service).await, std::slice::from_ref(&present));
    service
        .delete(&owner, &format!("/Observation/{second}"), None)
        .await;
    assert_eq!(
        waiting(&service).await,
        [present, ("IT17".to_owned(), Presence::Absent, 2)]
    );
}

#[tokio::test]
async fn a_service_without_a_locator_keeps_no_announcements() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    assert_eq!(waiting(&service).await, []);
    assert!(sharing::workers(service.state.clone()).is_empty());
}

#[tokio::test]
async fn the_locator_is_told_who_and_what_kind_and_nothing_else() {
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let ear = heard.clone();
    let told = Arc::new(tokio::sync::Notify::new());
    let tell = told.clone();
    let register = move |body: String| {
        let sent: Value = serde_json::from_str(&body).unwrap();
        let accepted = sent["entries"].as_array().unwrap().len();
        ear.lock().unwrap().push(sent);
        tell.notify_one();
        std::future::ready(axum::Json(json!({ "accepted": accepted })))
    };
    let service = told_to(register).await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    working(&service, told.notified()).await;
    let expected = json!({
        "holder": "fjellvik", "high_water": 1,
        "entries": [{ "patient": { "system": fhir::systems::FNR, "value": ragnhild().number }, "kind": "IT17", "state": "present", "sequence": 1 }],
    });
    assert_eq!(*heard.lock().unwrap(), [expected]);
    assert_eq!(
        waiting(&service).await,
        [],
        "what was taken is not told again"
    );
}

/// An erased patient's pointer is taken back by the erasure's own commit: the next delivery tells it, and nothing waits for a heartbeat.
#[tokio::test]
async fn an_erasure_is_told_at_once() {
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let ear = heard.clone();
    let told = Arc::new(tokio::sync::Notify::new());
    let tell = told.clone();
    let register = move |body: String| {
        let sent: Value = serde_json::from_str(&body).unwrap();
        let accepted = sent["entries"].as_array().unwrap().clone();
        let count = accepted.len();
        ear.lock().unwrap().extend(accepted);
        tell.notify_one();
        std::future::ready(axum::Json(json!({ "accepted": count })))
    };
    let service = told_to(register).await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let whom = json!({"system": fhir::systems::FNR, "value": ragnhild().number});
    let order = json!({"resourceType": "Parameters", "parameter": [
        {"name": "ground", "valueCode": "deletion-decision"},
        {"name": "order", "valueString": "2026/117-3"},
        {"name": "decision", "valueString": "vedtak 9"},
        {"name": "scope", "valueCode": "patient"},
        {"name": "patient", "valueIdentifier": whom},
    ]});
    let owner = service.record_system(FJELLVIK);
    let reply = service.post(&owner, "/$purge", &order).await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    let absent = |one: &Value| one["state"] == "absent" && one["patient"] == whom;
    working(&service, async {
        while !heard.lock().unwrap().iter().any(absent) {
            told.notified().await;
        }
    })
    .await;
    let heard = heard.lock().unwrap();
    assert_eq!(heard.last().unwrap()["sequence"], 2, "{heard:?}");
}

/// However long the locator was away, it is told again within 60 s of its return: the longest wait and the courier's rest of half a minute.
#[tokio::test]
async fn a_locator_that_is_back_after_hours_is_told_within_a_minute() {
    let asked = Arc::new(tokio::sync::Notify::new());
    let ask = asked.clone();
    let register = move |_: String| {
        ask.notify_one();
        std::future::ready(axum::http::StatusCode::SERVICE_UNAVAILABLE)
    };
    let service = told_to(register).await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let (store, now) = (service.state.store(), service.clock.now());
    let due = store.outbox_due(OUTBOX_RECEIVER, now, 1).await.unwrap();
    for _ in 0..20 {
        store.outbox_retry(due[0].id, now, "away").await.unwrap();
    }
    working(&service, asked.notified()).await;
    let next = store
        .outbox_state(OUTBOX_RECEIVER)
        .await
        .unwrap()
        .next
        .unwrap();
    let wait = next.0 - service.clock.now().0;
    assert!((1_000_000..=30_000_000).contains(&wait), "{wait} µs");
}

/// A locator that keeps what it is told, and says up to where it has everything.
#[derive(Default)]
struct Memory {
    told: Vec<Value>,
    complete: u64,
}

impl Memory {
    fn entries(&self) -> Vec<Value> {
        let told = self.told.iter();
        let entries = told.map(|one| one["entries"].as_array().unwrap().clone());
        entries.flatten().collect()
    }
}

#[tokio::test]
async fn a_locator_that_lost_its_memory_is_told_again_as_things_stand_now() {
    let memory: Arc<Mutex<Memory>> = Arc::default();
    let kept = memory.clone();
    let register = move |body: String| {
        let sent: Value = serde_json::from_str(&body).unwrap();
        let mut memory = kept.lock().unwrap();
        if let Some(through) = sent["catch_up"]["through"].as_u64() {
            assert_eq!(sent["catch_up"]["after"], memory.complete);
            memory.complete = through;
        }
        let accepted = sent["entries"].as_array().unwrap().len();
        let complete = memory.complete;
        memory.told.push(sent);
        std::future::ready(axum::Json(
            json!({ "accepted": accepted, "complete": complete }),
        ))
    };
    let service = told_to(register).await;
    let owner = service.record_system(FJELLVIK);
    let gone = service.created(&reading(arne(), "r-1", WHEN, "91")).await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    service
        .delete(&owner, &format!("/Observation/{gone}"), None)
        .await;
    service.state.heartbeat().await.unwrap();
    let told = std::mem::take(&mut memory.lock().unwrap().told);
    assert_eq!(told.len(), 2, "a heartbeat, and what the locator lacked");
    assert_eq!(
        (&told[0]["entries"], &told[0]["high_water"]),
        (&json!([]), &json!(3))
    );
    assert_eq!(told[1]["catch_up"], json!({"after": 0, "through": 3}));
    let turns: Vec<(&Value, &Value)> = told[1]["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["state"], &entry["sequence"]))
        .collect();
    // Arne's first turn is superseded by the last and not told again.
    assert_eq!(
        turns,
        [
            (&json!("present"), &json!(2)),
            (&json!("absent"), &json!(3))
        ]
    );
    // Whole again: nothing but the beat.
    service.state.heartbeat().await.unwrap();
    assert_eq!(memory.lock().unwrap().told.len(), 1);
    // A part is lost: from there.
    memory.lock().unwrap().complete = 2;
    service.state.heartbeat().await.unwrap();
    let memory = memory.lock().unwrap();
    assert_eq!(
        memory.told[2]["catch_up"],
        json!({"after": 2, "through": 3})
    );
    assert_eq!(memory.told[2]["entries"].as_array().unwrap().len(), 1);
}

/// Numbers and closings of the turns that the locator was told last.
fn last_told(memory: &Mutex<Memory>) -> Vec<(u64, Value)> {
    let memory = memory.lock().unwrap();
    let entries = memory.told.last().unwrap()["entries"].as_array().unwrap();
    let turn = |entry: &Value| {
        assert_eq!(entry["state"], "present");
        let closed = entry.get("closed").cloned().unwrap_or_default();
        (entry["sequence"].as_u64().unwrap(), closed)
    };
    entries.iter().map(turn).collect()
}

#[tokio::test]
async fn a_block_and_its_end_are_told_to_the_locator_by_their_own_commits() {
    let memory: Arc<Mutex<Memory>> = Arc::default();
    let kept = memory.clone();
    let register = move |body: String| {
        let sent: Value = serde_json::from_str(&body).unwrap();
        let mut memory = kept.lock().unwrap();
        if let Some(through) = sent["catch_up"]["through"].as_u64() {
            memory.complete = through;
        }
        let complete = memory.complete;
        memory.told.push(sent);
        std::future::ready(axum::Json(json!({ "accepted": 0, "complete": complete })))
    };
    let service = told_to(register).await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    service.created(&reading(arne(), "r-1", WHEN, "91")).await;
    assert_eq!(service.state.store().presence_high_water().await, Ok(2));
    let her = crate::wishes::patient(&service);
    let organisation = crate::wishes::actor("urn:oid:2.16.578.1.12.4.1.4.101", PROVEHEIM);
    let plans = json!({"class": [{
        "system": "https://delt.example/fhir/CodeSystem/information-service", "code": "IT08",
    }]});
    let person = crate::wishes::actor(trust::wish::PSEUDONYM, "the-neighbour");
    let until = json!({"period": {"end": "2026-12-01T00:00:00Z"}});
    // Each of them makes a turn of hers alone, and the outbox holds it from that commit on.
    for (provision, closed) in [
        (json!({}), json!([{}])),
        (organisation, json!([{"to": PROVEHEIM}])),
        // To the end of that second.
        (until, json!([{"until": "2026-12-01T00:00:01Z"}])),
        // Of plans, of which nothing is here: a turn, and nothing closed.
        (plans, Value::Null),
    ] {
        let before = service.state.store().presence_high_water().await.unwrap();
        let id = crate::wishes::closed(&service, provision).await;
        let (_, _, sequence) = waiting_of(&service, identifier(ragnhild())).await;
        assert_eq!(sequence, before + 1, "{closed}");
        memory.lock().unwrap().complete = before;
        service.state.heartbeat().await.unwrap();
        assert_eq!(last_told(&memory), [(before + 1, closed.clone())]);
        let ended = service.delete(&her, &format!("/Consent/{id}"), None).await;
        assert_eq!(ended.status, http::StatusCode::NO_CONTENT);
        service.state.heartbeat().await.unwrap();
        assert_eq!(last_told(&memory), [(before + 2, Value::Null)], "{closed}");
    }
    // A named practitioner is no matter of the locator's.
    let before = service.state.store().presence_high_water().await.unwrap();
    let id = crate::wishes::closed(&service, person).await;
    service.delete(&her, &format!("/Consent/{id}"), None).await;
    assert_eq!(
        service.state.store().presence_high_water().await,
        Ok(before)
    );
    // The courier brings the same: what waited is told as it is closed by then.
    crate::wishes::closed(&service, json!({})).await;
    memory.lock().unwrap().told.clear();
    let told = async {
        loop {
            let heard = memory.lock().unwrap().entries();
            let mut hers = heard.iter().filter(|one| one["sequence"] == before + 1);
            if let Some(one) = hers.next_back() {
                return one["closed"].clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let mut closed = Value::Null;
    working(&service, async { closed = told.await }).await;
    assert_eq!(closed, json!([{}]));
}

#[tokio::test]
async fn a_locator_that_never_comes_further_is_not_asked_for_ever() {
    let register = || std::future::ready(axum::Json(json!({ "accepted": 1, "complete": 0 })));
    let service = told_to(register).await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    assert_eq!(
        service.state.heartbeat().await,
        Err("the locator did not come further".to_owned())
    );
}
