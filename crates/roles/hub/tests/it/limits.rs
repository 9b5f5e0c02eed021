//! Limits per device and per sender: 429 with `Retry-After`, and nobody else is touched (threats-and-faults.md section 9).

use crate::house::*;
use http::StatusCode;
use hub::{Bounds, Rate};
use std::collections::HashSet;
use testkit::clients::Reply;
use testkit::door::Held;
use testkit::issuer::ProofKey;
use trust::Category;
use trust::audit::Outcome;

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

/// One a second, of a device or of a sender.
const SLOWLY: Rate = Rate {
    per_minute: 60,
    at_once: 1,
};
const SECOND: i64 = 1_000_000;

fn slow_devices() -> Bounds {
    Bounds {
        device: SLOWLY,
        ..Bounds::default()
    }
}

fn slow_senders() -> Bounds {
    Bounds {
        sender: SLOWLY,
        ..Bounds::default()
    }
}

impl Hub {
    /// Ragnhild's oximeter sends its `n`th.
    async fn floods(&self, home: &Held, n: u32) -> Reply {
        let body = measured(ragnhild(), &format!("flood-{n}"), "A", WHEN);
        self.post(home, "/fhir/Observation", &body).await
    }

    /// How long the trail is.
    async fn trail(&self) -> u64 {
        self.state.store().audit_head().await.unwrap().sequence
    }

    /// Says how many were turned away in minutes that are over.
    async fn says(&self) {
        let now = Some(self.clock.now());
        self.state.says_turned_away(now).await.unwrap();
    }
}

fn is_turned_away(reply: &Reply) -> bool {
    let is = reply.status == StatusCode::TOO_MANY_REQUESTS;
    assert_eq!(is, reply.header("retry-after") == "1", "{}", reply.json);
    is
}

#[tokio::test]
async fn a_device_that_goes_on_is_counted_and_slowed_while_the_trail_says_how_often_it_came() {
    let hub = Hub::bounded(slow_devices()).await;
    let home = hub.home(FJELLVIK);
    assert_eq!(hub.floods(&home, 0).await.status, StatusCode::CREATED);
    let begins = hub.trail().await;
    let many = (1..=40).map(|n| hub.floods(&home, n));
    let many = futures::future::join_all(many).await;
    assert!(many.iter().all(is_turned_away));
    assert_eq!(hub.trail().await, begins + 1, "the first is on record");
    assert_eq!(hub.slowed(), 39, "and is answered at once");
    // So is a bundle of which nothing is taken.
    let two = [1, 2].map(|n| measured(ragnhild(), &format!("flood-{n}"), "A", WHEN));
    let reply = hub.post(&home, "/fhir", &bundle("batch", &two)).await;
    assert_eq!(statuses(&reply), [429, 429]);
    assert_eq!((hub.trail().await, hub.slowed()), (begins + 1, 1));
    // The vendor's other devices go on meanwhile, at once and on record each.
    let other = bundle("batch", &[measured(patient("arne"), "other", "B", WHEN)]);
    assert_eq!(statuses(&hub.post(&home, "/fhir", &other).await), [201]);
    assert_eq!((hub.trail().await, hub.slowed()), (begins + 2, 0));
    // As soon as it was told, the device is taken again, and is turned away within the same minute.
    hub.clock.advance(SECOND);
    assert_eq!(hub.floods(&home, 1).await.status, StatusCode::CREATED);
    assert!(is_turned_away(&hub.floods(&home, 2).await));
    assert_eq!((hub.trail().await, hub.slowed()), (begins + 3, 1));

    hub.clock.advance(58 * SECOND);
    hub.says().await;
    assert_eq!(hub.trail().await, begins + 3, "the minute is not over");
    hub.clock.advance(SECOND);
    hub.says().await;
    hub.says().await;
    let trail = hub.audit().await;
    assert_eq!(trail[0].sequence, begins + 4);
    let (said, first) = (&trail[0].record, &trail[3].record);
    let busy = Outcome::Failed {
        category: Category::Busy,
    };
    assert_eq!((&said.outcome, &first.outcome), (&busy, &busy));
    assert_eq!(said.request_id, first.request_id);
    assert_eq!(said.client.as_deref(), Some("home-310001007"));
    assert_eq!(
        said.asked,
        "POST /fhir/Observation; within a minute of it 41 more of this client were answered 429, 0 of them before their proofs were looked at"
    );
    // The next minute begins with one on record.
    hub.floods(&home, 3).await;
    assert!(is_turned_away(&hub.floods(&home, 4).await));
    assert!(is_turned_away(&hub.floods(&home, 5).await));
    assert_eq!((hub.trail().await, hub.slowed()), (begins + 6, 1));
}

#[tokio::test]
async fn a_proof_is_used_up_by_a_request_that_is_only_counted() {
    let hub = Hub::bounded(slow_devices()).await;
    let home = hub.home(FJELLVIK);
    let body = measured(ragnhild(), "flood-0", "A", WHEN).to_string();
    let knock = || hub.door.post("/fhir/Observation", body.clone());
    let proof = || knock().proof(&home, hub.clock.now());
    let send = async |proof: &str| knock().with(&home, proof).send().await.status;
    let first = proof();
    assert_eq!(send(&first).await, StatusCode::CREATED);
    // A proof that was used before opens no minute.
    assert_eq!(send(&first).await, StatusCode::UNAUTHORIZED);
    let begins = hub.trail().await;
    assert!(is_turned_away(&hub.floods(&home, 1).await));
    assert_eq!((hub.trail().await, hub.slowed()), (begins + 1, 0));
    let counted = proof();
    let ask = async || send(&counted).await;
    assert_eq!(ask().await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(hub.trail().await, begins + 1);
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED);
    hub.clock.advance(SECOND);
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn who_has_used_up_its_pace_is_turned_away_unread_and_nothing_unproven_brings_that_about() {
    let hub = Hub::bounded(slow_senders()).await;
    let home = hub.home(FJELLVIK);
    let named = |n: u32| reading(ragnhild(), &format!("r-{n}"), 90);
    let sent = async |n: u32| hub.post(&home, "/fhir/Observation", &named(n)).await;
    // Somebody has seen the token, and has no key of it.
    let thief = Held::from_jwt(&ProofKey::generate().unwrap(), home.jwt.clone());
    let stolen = async || hub.post(&thief, "/fhir/Observation", &named(0)).await;

    // Another vendor's minute is open.
    let (other, body) = (hub.home(PROVEHEIM), reading(patient("arne"), "o-1", 91));
    let others = async || hub.post(&other, "/fhir/Observation", &body).await;
    assert_eq!(others().await.status, StatusCode::CREATED);
    assert!(is_turned_away(&others().await));
    assert_eq!(sent(1).await.status, StatusCode::CREATED);
    for _ in 0..3 {
        // The sender's pace is used up: the thief is told nothing of it, and opens no minute.
        assert_eq!(stolen().await.status, StatusCode::UNAUTHORIZED);
    }
    hub.clock.advance(SECOND);
    assert_eq!(sent(2).await.status, StatusCode::CREATED);
    assert!(is_turned_away(&sent(3).await), "proven, and on record");
    let begins = hub.trail().await;
    for _ in 0..20 {
        assert!(is_turned_away(&stolen().await));
    }
    // Nothing of it is read: not how long it is, not what it is.
    let unread = hub.door.knock(http::Method::POST, "/fhir").body("{");
    let unread = unread.header("content-length", "99999999999");
    assert!(is_turned_away(&unread.with(&home, "no proof").send().await));
    for (path, asked) in [("/deliveries", &home), ("/quarantine", &thief)] {
        assert!(is_turned_away(&hub.get(asked, path).await), "{path}");
    }
    assert_eq!((hub.trail().await, hub.slowed()), (begins, 23));
    // The other vendor has rested and is not touched; and a token of the same client that is new here is looked at as ever.
    assert_eq!(others().await.status, StatusCode::OK, "known");
    let (new, newer) = (hub.home(FJELLVIK), hub.home(FJELLVIK));
    let garbled = hub.door.get("/deliveries").with(&new, "no proof");
    assert_eq!(garbled.send().await.status, StatusCode::UNAUTHORIZED);
    assert!(is_turned_away(&hub.get(&newer, "/deliveries").await));
    assert_eq!((hub.trail().await, hub.slowed()), (begins + 2, 1));
    // None of this has put off when it is taken again.
    hub.clock.advance(SECOND);
    assert_eq!(stolen().await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(sent(3).await.status, StatusCode::CREATED);
    assert!(is_turned_away(&stolen().await));

    hub.clock.advance(60 * SECOND);
    hub.says().await;
    let trail = hub.audit().await;
    assert!(
        trail[0].record.asked.ends_with(
            "25 more of this client were answered 429, 24 of them before their proofs were looked at"
        ),
        "{}",
        trail[0].record.asked
    );
    // After the minute everything is proven again before it is told anything.
    assert_eq!(sent(4).await.status, StatusCode::CREATED);
    assert_eq!(stolen().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_hub_that_stops_says_how_many_it_turned_away_and_then_counts_no_more() {
    let hub = Hub::bounded(slow_devices()).await;
    let home = hub.home(FJELLVIK);
    for n in 0..5 {
        hub.floods(&home, n).await;
    }
    let begins = hub.trail().await;
    let mut workers = hub::workers(hub.state.clone());
    workers.retain(|worker| worker.name == "turned away");
    let worker = workers.pop().unwrap();
    hub.stop.stop();
    worker.run.await;
    let said = &hub.audit().await[0].record.asked;
    assert!(said.contains("3 more of this client"), "{said}");
    for n in 5..8 {
        assert!(is_turned_away(&hub.floods(&home, n).await));
    }
    let trail = hub.audit().await;
    assert_eq!(trail[0].sequence, begins + 4);
    let ids: HashSet<_> = trail[..3]
        .iter()
        .map(|one| &one.record.request_id)
        .collect();
    assert_eq!(ids.len(), 3);
}
