//! What people say of an alert is filed in the organisation's record system through the hub: once, though the hub is down and the service
//! falls between.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use testkit::issuer::{Issuer, SystemClient};
use testkit::surroundings::FixedClock;
use trust::ClientUse;

use crate::alert::{kari, raised, step};
use crate::house::*;

/// A hub that is away until it is told otherwise.
#[derive(Clone, Default)]
struct Hub {
    up: Arc<Mutex<bool>>,
    /// What it answers instead, when it is not away.
    refuses: Arc<Mutex<Option<StatusCode>>>,
    got: Arc<Mutex<Vec<(String, Value)>>>,
    /// How the record system stands to what was taken, if it does not have it.
    stands: Arc<Mutex<Option<&'static str>>>,
}

/// By which the hub knows a delivery.
const DELIVERY: &str = "00000000-0000-4000-8000-00000000d001";

async fn take(
    State(hub): State<Hub>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    if !*hub.up.lock().unwrap() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Some(status) = *hub.refuses.lock().unwrap() {
        return status.into_response();
    }
    if method == Method::GET {
        assert_eq!(uri.path(), format!("/hub/deliveries/{DELIVERY}"));
        let state = hub.stands.lock().unwrap().unwrap_or("delivered");
        let one = serde_json::json!({"receiver": "310001007/record-system", "kind": "record-system", "state": state});
        let told = serde_json::json!({"key": DELIVERY, "receivers": [one]});
        return axum::Json(told).into_response();
    }
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let document = serde_json::from_str(&body).unwrap();
    hub.got.lock().unwrap().push((key, document));
    let location = [("location", format!("Bundle/{DELIVERY}"))];
    (StatusCode::CREATED, location).into_response()
}

/// Fjellvik's service with a hub; opened again in the same folder it is the same service.
async fn filing(hub: &Hub) -> (Service, sharing::Config) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/hub", listener.local_addr().unwrap());
    let router = Router::new().fallback(take).with_state(hub.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let clock = FixedClock::at(NOW);
    let issuer = Issuer::start_at(clock.clock()).await.unwrap();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let client = SystemClient {
        client_id: "deling-fjellvik",
        use_: ClientUse::Service,
        orgnr: FJELLVIK,
    };
    let file = issuer.client_file(client, &format!("{base}/fhir")).unwrap();
    let path = folder.path().join("client.json");
    std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = config(folder.path(), &issuer, "fjellvik", FJELLVIK, &[]);
    config.client_file = Some(path);
    config.files_notes = Some(base.parse().unwrap());
    crate::assess::assesses(&mut config);
    let service = Service::open(folder, clock, issuer, config.clone()).await;
    (service, config)
}

#[tokio::test]
async fn a_closing_note_is_filed_once_though_the_hub_is_down_and_the_service_falls() {
    let hub = Hub::default();
    let (service, config) = filing(&hub).await;
    let id = raised(&service).await;
    let task = serde_json::json!({"id": id});
    let kari = kari();
    step(&service, &kari, (&task, 1), "own", None).await;
    // What is not taken is not filed: a step that is refused, and one from a version that is old.
    let late = step(&service, &kari, (&task, 1), "resolve", Some("For sent")).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    let words = "Ringte: SpO2 < 88 & våken.\nPlanens trinn er tatt";
    let closed = step(&service, &kari, (&task, 2), "resolve", Some(words)).await;
    assert_eq!(closed.status, StatusCode::OK, "{}", closed.json);
    assert_eq!(
        service.state.file_waiting().await.unwrap(),
        0,
        "the hub is down"
    );

    let service = service.reopened(config).await;
    *hub.up.lock().unwrap() = true;
    *hub.stands.lock().unwrap() = Some("pending");
    assert_eq!(service.state.file_waiting().await.unwrap(), 1);
    // It is sent once; whether the record system has it is asked until it has.
    for _ in 0..3 {
        assert_eq!(service.state.file_waiting().await.unwrap(), 0);
    }
    *hub.stands.lock().unwrap() = None;
    assert_eq!(service.state.file_waiting().await.unwrap(), 1);
    assert_eq!(service.state.file_waiting().await.unwrap(), 0);
    let waits = service.state.store().outbox_state("hub").await.unwrap();
    assert_eq!((waits.pending, waits.dead), (0, 0));
    let got = hub.got.lock().unwrap().clone();
    let [(key, document)] = &got[..] else {
        panic!("one note: {got:?}")
    };
    assert_eq!(key, &format!("note/{id}/3"));
    assert_eq!(document["type"], "document");
    // A hub that checks takes it.
    for entry in document["entry"].as_array().unwrap() {
        let text = entry["resource"].to_string();
        let json = fhir::json::Json::parse(text, fhir::json::Limits::RESOURCE).unwrap();
        let rules = fhir::check::Rules {
            person_numbers: fhir::ids::PersonNumbers::Strict,
            zone: fhir::time::Zone::default(),
            now: Some(NOW),
            unknown_codes: fhir::check::UnknownCodes::Refuse,
            profiles: fhir::check::profile::Demands::default(),
        };
        assert!(
            fhir::check::check(&json, json.root(), &rules).is_ok(),
            "{entry}"
        );
    }
    assert_eq!(document["identifier"]["value"], format!("{id}/3"));
    let composition = &document["entry"][0]["resource"];
    assert_eq!(
        composition["author"][0]["display"],
        "Kari Prøve, Fjellvik kommune"
    );
    assert_eq!(
        composition["subject"]["identifier"]["value"],
        ragnhild().number
    );
    assert_eq!(composition["custodian"]["identifier"]["value"], FJELLVIK);
    let text = composition["section"][0]["text"]["div"].as_str().unwrap();
    assert!(
        text.contains("<p>Ringte: SpO2 &lt; 88 &amp; våken.</p><p>Planens trinn"),
        "{text}"
    );
    let issue = &document["entry"][1];
    assert_eq!(issue["resource"]["resourceType"], "DetectedIssue");
    assert_eq!(
        composition["section"][0]["entry"][0]["reference"],
        issue["fullUrl"]
    );
    assert!(
        issue["resource"]["implicated"][0]
            .get("reference")
            .is_none()
    );
}

#[tokio::test]
async fn what_is_erased_before_it_is_filed_is_filed_nowhere() {
    let hub = Hub::default();
    let (service, _) = filing(&hub).await;
    let id = raised(&service).await;
    let task = serde_json::json!({"id": id});
    let noted = step(&service, &kari(), (&task, 1), "note", Some("Ringte")).await;
    assert_eq!(noted.status, StatusCode::OK, "{}", noted.json);
    let owner = service.record_system(FJELLVIK);
    let number = number(ragnhild());
    let form = [
        ("ground", "deletion-decision"),
        ("order", "o"),
        ("decision", "d"),
        ("scope", "patient"),
        ("patient", number.as_str()),
    ];
    let knock = service.door.knock(http::Method::POST, "/$purge");
    let reply = knock
        .header("content-type", "application/x-www-form-urlencoded")
        .body(wire::form::write(form.iter().copied()))
        .by(&owner, service.clock.now())
        .send()
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    *hub.up.lock().unwrap() = true;
    service.state.file_waiting().await.unwrap();
    assert!(hub.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_note_that_the_hub_never_takes_is_given_up_and_the_alert_says_so() {
    for status in [400, 401, 403, 404] {
        let hub = Hub::default();
        let (service, _) = filing(&hub).await;
        let id = raised(&service).await;
        let task = serde_json::json!({"id": id});
        let kari = kari();
        step(&service, &kari, (&task, 1), "own", None).await;
        let closed = step(&service, &kari, (&task, 2), "resolve", Some("Ringte henne")).await;
        assert_eq!(closed.status, StatusCode::OK, "{}", closed.json);
        *hub.up.lock().unwrap() = true;
        *hub.refuses.lock().unwrap() = StatusCode::from_u16(status).ok();
        let notes = async || {
            let task = crate::alert::alerts(&service).await.remove(0);
            let notes = task["note"].as_array().unwrap().clone();
            notes
                .into_iter()
                .map(|one| one["text"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        for _ in 1..wire::courier::TRIES {
            service.state.file_waiting().await.unwrap();
        }
        assert_eq!(
            notes().await,
            ["Ringte henne"],
            "{status}: it is tried for a while"
        );
        service.state.file_waiting().await.unwrap();
        let told = notes().await;
        assert!(
            told[1].contains("ikke ført i journalen") && told[1].contains("«Ringte henne»"),
            "{told:?}"
        );
        // Once, and what comes later is not held back by it.
        service.state.file_waiting().await.unwrap();
        assert_eq!(notes().await.len(), 2);
        *hub.refuses.lock().unwrap() = None;
        let noted = step(&service, &kari, (&task, 4), "note", Some("Senere")).await;
        assert_eq!(noted.status, StatusCode::OK, "{}", noted.json);
        assert_eq!(service.state.file_waiting().await.unwrap(), 1);
        assert_eq!(hub.got.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_note_that_the_record_system_refuses_is_said_on_the_alert_once() {
    let hub = Hub::default();
    *hub.up.lock().unwrap() = true;
    let (service, _) = filing(&hub).await;
    let id = raised(&service).await;
    let task = serde_json::json!({"id": id});
    let noted = step(&service, &kari(), (&task, 1), "note", Some("Ringte henne")).await;
    assert_eq!(noted.status, StatusCode::OK, "{}", noted.json);
    let notes = async || {
        let task = crate::alert::alerts(&service).await.remove(0);
        let notes = task["note"].as_array().unwrap().clone();
        let text = |one: &Value| one["text"].as_str().unwrap().to_owned();
        notes.iter().map(text).collect::<Vec<_>>()
    };
    *hub.stands.lock().unwrap() = Some("pending");
    assert_eq!(service.state.file_waiting().await.unwrap(), 1);
    service.state.file_waiting().await.unwrap();
    assert_eq!(notes().await, ["Ringte henne"], "it is on its way");
    // What is said later is not held back by it.
    service.clock.advance(1_000_000);
    let later = step(&service, &kari(), (&task, 2), "note", Some("Senere")).await;
    assert_eq!(later.status, StatusCode::OK, "{}", later.json);
    service.state.file_waiting().await.unwrap();
    assert_eq!(hub.got.lock().unwrap().len(), 2);
    *hub.stands.lock().unwrap() = Some("dead");
    service.state.file_waiting().await.unwrap();
    service.state.file_waiting().await.unwrap();
    let told = notes().await;
    assert_eq!(told.len(), 4, "each once: {told:?}");
    for (said, of) in told[2..].iter().zip(["«Ringte henne»", "«Senere»"]) {
        assert!(
            said.contains("ikke ført i journalen") && said.contains(of),
            "{told:?}"
        );
    }
}
