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
async fn with_locator(locator: &str) -> Service {
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
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/register", post(register))).await
    });
    let service = with_locator(&base).await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let work: Vec<_> = sharing::workers(service.state.clone())
        .into_iter()
        .map(|worker| tokio::spawn(worker.run))
        .collect();
    told.notified().await;
    service.stop.stop();
    for worker in work {
        worker.await.unwrap();
    }
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
