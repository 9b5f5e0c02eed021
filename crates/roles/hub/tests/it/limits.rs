//! Limits per device and per sender: 429 with `Retry-After`, and nobody else is touched (threats-and-faults.md section 9).

use crate::house::*;
use http::StatusCode;
use hub::{Bounds, Rate};

const SHARING: &str = "310001007/sharing";

#[tokio::test]
async fn a_device_that_floods_is_slowed_alone() {
    let bounds = Bounds {
        device: Rate {
            per_minute: 60,
            at_once: 2,
        },
        ..Bounds::default()
    };
    let hub = Hub::bounded(bounds).await;
    let home = hub.home(FJELLVIK);
    let device = |mut body: serde_json::Value, name: &str| {
        body["device"] = serde_json::json!({ "display": name });
        body
    };
    // The third of one patient's one device; the same model at another patient's, and another device, are others.
    let sent = bundle(
        "batch",
        &[
            device(reading(ragnhild(), "r-1", 91), "oximeter"),
            device(reading(ragnhild(), "r-2", 92), "oximeter"),
            device(reading(ragnhild(), "r-3", 93), "oximeter"),
            device(reading(patient("arne"), "r-4", 94), "oximeter"),
            device(reading(ragnhild(), "r-5", 95), "another"),
        ],
    );
    let reply = hub.post(&home, "/fhir", &sent).await;
    assert_eq!(statuses(&reply), [201, 201, 429, 201, 201]);
    assert!(hub.aside(&home).await.is_empty(), "it is sent again later");
    let third = device(reading(ragnhild(), "r-3", 93), "oximeter");
    let reply = hub.post(&home, "/fhir/Observation", &third).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), "1");
    hub.clock.advance(1_000_000);
    let reply = hub.post(&home, "/fhir/Observation", &third).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    assert_eq!(hub.waiting(SHARING).await.len(), 5);
}

#[tokio::test]
async fn a_sender_that_floods_is_slowed_alone_and_nothing_of_it_is_taken() {
    let bounds = Bounds {
        sender: Rate {
            per_minute: 60,
            at_once: 3,
        },
        ..Bounds::default()
    };
    let hub = Hub::bounded(bounds).await;
    let home = hub.home(FJELLVIK);
    let named = |n: u32| reading(ragnhild(), &format!("r-{n}"), 90 + n);
    let two = bundle("batch", &[named(1), named(2)]);
    assert_eq!(statuses(&hub.post(&home, "/fhir", &two).await), [201, 201]);
    let more = bundle("batch", &[named(3), named(4)]);
    let reply = hub.post(&home, "/fhir", &more).await;
    assert_eq!(
        reply.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        reply.json
    );
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(issues(&reply.json), ["throttled @ -"]);
    assert_eq!(hub.waiting(SHARING).await.len(), 2);
    // Another is not touched, and what is within the limit goes on.
    let other = reading(patient("arne"), "o-1", 91);
    let reply = hub
        .post(&hub.home(PROVEHEIM), "/fhir/Observation", &other)
        .await;
    assert_eq!(reply.status, StatusCode::CREATED);
    hub.sent(&named(3)).await;
    // A bundle larger than the limit ever allows is taken by a sender that has rested.
    hub.clock.advance(3_000_000);
    let many: Vec<_> = (4..9).map(named).collect();
    let reply = hub.post(&home, "/fhir", &bundle("batch", &many)).await;
    assert_eq!(statuses(&reply), [201; 5]);
}

#[tokio::test]
async fn who_asks_and_who_replays_has_the_pace_of_a_sender_too() {
    let bounds = Bounds {
        sender: Rate {
            per_minute: 60,
            at_once: 1,
        },
        ..Bounds::default()
    };
    let hub = Hub::bounded(bounds).await;
    let home = hub.home(FJELLVIK);
    let key = hub.sent(&reading(ragnhild(), "r-1", 91)).await;
    let aside = "0".repeat(32);
    for (method, path) in [
        ("GET", "/deliveries".to_owned()),
        ("GET", format!("/deliveries/{key}")),
        ("GET", "/quarantine".to_owned()),
        ("GET", "/dead-letters".to_owned()),
        ("POST", format!("/deliveries/{key}/replay")),
        ("POST", format!("/quarantine/{aside}/replay")),
    ] {
        let ask = async || match method {
            "GET" => hub.get(&home, &path).await,
            _ => hub.post_text(&home, &path, "").await,
        };
        assert_eq!(ask().await.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        hub.clock.advance(1_000_000);
        let rested = ask().await.status;
        assert_ne!(rested, StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
}
