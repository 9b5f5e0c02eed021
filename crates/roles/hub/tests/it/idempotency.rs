//! `Idempotency-Key` on posts (threats-and-faults.md section 9).

use crate::house::*;
use http::StatusCode;
use serde_json::Value;
use testkit::clients::Reply;
use testkit::door::Held;

const SHARING: &str = "310001007/sharing";

async fn post(hub: &Hub, who: &Held, path: &str, key: &str, body: &Value) -> Reply {
    hub.door
        .post(path, body.to_string())
        .header("idempotency-key", key)
        .by(who, hub.clock.now())
        .send()
        .await
}

/// What a caller can tell two answers apart by, but for the request's own id.
fn seen(reply: &Reply) -> (StatusCode, String, Vec<u8>) {
    (
        reply.status,
        reply.header("location").to_owned(),
        reply.body.to_vec(),
    )
}

#[tokio::test]
async fn the_same_key_and_body_get_the_first_answer_again_also_after_a_restart() {
    let hub = Hub::new().await;
    let one = reading(ragnhild(), "r-1", 91);
    let mut bad = reading(ragnhild(), "r-2", 92);
    bad.as_object_mut().unwrap().remove("valueQuantity");
    let many = bundle("batch", &[reading(ragnhild(), "r-3", 93), bad.clone()]);
    let cases = [
        ("one", "/fhir/Observation", one, StatusCode::CREATED),
        (
            "bad",
            "/fhir/Observation",
            bad,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        ("many", "/fhir", many, StatusCode::OK),
    ];
    let mut first = Vec::new();
    for (key, path, body, status) in &cases {
        let reply = post(&hub, &hub.home(FJELLVIK), path, key, body).await;
        assert_eq!(reply.status, *status, "{}", reply.json);
        first.push(seen(&reply));
        let again = post(&hub, &hub.home(FJELLVIK), path, key, body).await;
        // Without the key a resend of a reading is told apart: 200, not 201.
        assert_eq!(seen(&again), first[first.len() - 1], "{key}");
    }
    let hub = hub.restarted().await;
    for ((key, path, body, _), first) in cases.iter().zip(&first) {
        let before = hub.audit().await.len();
        let again = post(&hub, &hub.home(FJELLVIK), path, key, body).await;
        assert_eq!(seen(&again), *first, "{key}");
        assert_eq!(hub.audit().await.len(), before + 1, "one record: {key}");
    }
    assert_eq!(hub.waiting(SHARING).await.len(), 2);
}

#[tokio::test]
async fn another_body_or_address_under_the_same_key_is_refused_and_nothing_of_it_is_taken() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let one = reading(ragnhild(), "r-1", 91);
    post(&hub, &home, "/fhir/Observation", "k", &one).await;
    let others = [
        ("/fhir/Observation", reading(ragnhild(), "r-2", 91)),
        ("/fhir", bundle("batch", &[reading(ragnhild(), "r-3", 91)])),
        ("/fhir", one.clone()),
    ];
    for (path, body) in &others {
        let reply = post(&hub, &home, path, "k", body).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(issues(&reply.json), ["duplicate @ Idempotency-Key"]);
    }
    assert_eq!(hub.waiting(SHARING).await.len(), 1);
    // A key is the sender's own: another one's request is not that one.
    let theirs = post(
        &hub,
        &hub.home(PROVEHEIM),
        "/fhir/Observation",
        "k",
        &reading(patient("arne"), "r-9", 92),
    )
    .await;
    assert_eq!(theirs.status, StatusCode::CREATED, "{}", theirs.json);
}

#[tokio::test]
async fn while_a_request_runs_its_key_is_taken_and_one_of_many_at_once_is_done() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let body = reading(ragnhild(), "r-1", 91);
    let tries = (0..8).map(|_| post(&hub, &home, "/fhir/Observation", "k", &body));
    let replies = futures::future::join_all(tries).await;
    let created: Vec<_> = replies
        .iter()
        .filter(|r| r.status == StatusCode::CREATED)
        .map(|r| r.header("location").to_owned())
        .collect();
    assert!(!created.is_empty());
    assert!(created.iter().all(|location| *location == created[0]));
    for reply in replies.iter().filter(|r| r.status != StatusCode::CREATED) {
        assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.json);
    }
    assert!(created.len() < 8, "the requests did not overlap");
    assert_eq!(hub.waiting(SHARING).await.len(), 1);
    // The key of an ended request is not taken any more.
    let after = post(&hub, &home, "/fhir/Observation", "k", &body).await;
    assert_eq!(after.header("location"), created[0]);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_one_that_is_over_begins_anew() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let body = reading(ragnhild(), "r-1", 91);
    for key in ["", "two words", "blå", &"x".repeat(256)] {
        let reply = post(&hub, &home, "/fhir/Observation", key, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{key:?}");
        assert_eq!(issues(&reply.json), ["value @ Idempotency-Key"]);
    }
    assert!(hub.waiting(SHARING).await.is_empty());
    let sound = "x".repeat(255);
    post(&hub, &home, "/fhir/Observation", &sound, &body).await;
    hub.clock.advance(24 * 3_600_000_000);
    let edge = post(
        &hub,
        &hub.home(FJELLVIK),
        "/fhir/Observation",
        &sound,
        &body,
    )
    .await;
    assert_eq!(edge.status, StatusCode::CREATED, "still the first answer");
    // Commits of a clock that stands still are microseconds apart.
    hub.clock.advance(1_000);
    let over = post(
        &hub,
        &hub.home(FJELLVIK),
        "/fhir/Observation",
        &sound,
        &body,
    )
    .await;
    assert_eq!(over.status, StatusCode::OK, "the reading itself is known");
}

#[tokio::test]
async fn a_sender_whose_room_is_used_up_is_told_so_and_others_are_not_touched() {
    let bounds = hub::Bounds {
        idempotency_bytes: 1,
        ..hub::Bounds::default()
    };
    let hub = Hub::bounded(bounds).await;
    let home = hub.home(FJELLVIK);
    let send = async |who: &Held, key: &str| {
        let body = reading(ragnhild(), key, 91);
        post(&hub, who, "/fhir/Observation", key, &body).await
    };
    assert_eq!(send(&home, "a").await.status, StatusCode::CREATED);
    let full = send(&home, "b").await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS, "{}", full.json);
    assert_eq!(full.header("retry-after"), "600");
    assert_eq!(issues(&full.json), ["throttled @ Idempotency-Key"]);
    // What was promised is kept, and without a key everything goes on.
    assert_eq!(send(&home, "a").await.status, StatusCode::CREATED);
    hub.sent(&reading(ragnhild(), "c", 91)).await;
    let other = send(&hub.home(PROVEHEIM), "b").await;
    assert_eq!(other.status, StatusCode::CREATED, "{}", other.json);
    // The count survives a restart.
    let hub = hub.restarted().await;
    let body = reading(ragnhild(), "d", 91);
    let full = post(&hub, &hub.home(FJELLVIK), "/fhir/Observation", "d", &body).await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn what_found_no_room_aside_is_not_kept_as_the_answer_to_its_key() {
    let bounds = |entries| hub::Bounds {
        quarantine_entries: entries,
        ..hub::Bounds::default()
    };
    let mut hub = Hub::bounded(bounds(0)).await;
    let strange = performed(ragnhild(), "a", fhir::systems::ORGNR, SORLIA);
    let sent = [
        ("/fhir/Observation", strange.clone()),
        ("/fhir", bundle("batch", &[strange])),
    ];
    for (path, body) in &sent {
        let full = post(&hub, &hub.home(FJELLVIK), path, path, body).await;
        assert!(full.json.to_string().contains("throttled"), "{}", full.json);
    }
    // There is room again: the same post under the same key finds it.
    hub.config.bounds = bounds(10);
    let hub = hub.restarted().await;
    for (path, body) in &sent {
        let kept = post(&hub, &hub.home(FJELLVIK), path, path, body).await;
        assert!(
            !kept.json.to_string().contains("throttled"),
            "{}",
            kept.json
        );
    }
    assert_eq!(hub.aside(&hub.home(FJELLVIK)).await.len(), 1);
}
