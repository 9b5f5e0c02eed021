//! From the outbox to two receivers: what they get, and what one of them cannot do to the other.

use crate::house::*;
use crate::receiver::{Answer, Receiver};
use http::StatusCode;
use serde_json::{Value, json};

const SHARING: &str = "310001007/sharing";
const RECORD_SYSTEM: &str = "310001007/record-system";

async fn with(record_system: &Receiver, sharing: &Receiver) -> Hub {
    Hub::with(vec![receiver(
        FJELLVIK,
        Some(record_system.base()),
        Some(&sharing.url),
    )])
    .await
}

/// Lets the couriers run until `done`, then stops them and waits until they have ended.
pub async fn deliver(hub: &Hub, done: impl Future<Output = ()>) {
    let work: Vec<_> = hub::workers(hub.state.clone())
        .into_iter()
        .map(|worker| tokio::spawn(worker.run))
        .collect();
    done.await;
    hub.stop.stop();
    for worker in work {
        worker.await.unwrap();
    }
}

/// Waits until an entry has been tried, by looking: no time passes here.
async fn tried(hub: &Hub, key: &str, receiver: &str) {
    loop {
        let all = hub.state.store().outbox_by_key(key).await.unwrap();
        if all.iter().any(|d| d.receiver == receiver && d.attempts > 0) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// State and reason of one entry at each receiver.
async fn stands(hub: &Hub, key: &str) -> Vec<(String, String, Option<String>)> {
    let reply = hub
        .get(&hub.home(FJELLVIK), &format!("/deliveries/{key}"))
        .await;
    assert_eq!(
        (reply.status, &reply.json["key"]),
        (StatusCode::OK, &json!(key)),
        "{}",
        reply.json
    );
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let mut all: Vec<_> = reply.json["receivers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            (
                text(&r["receiver"]),
                text(&r["state"]),
                r["reason"].as_str().map(str::to_owned),
            )
        })
        .collect();
    all.sort();
    all
}

fn delivered(receiver: &str) -> (String, String, Option<String>) {
    (receiver.to_owned(), "delivered".to_owned(), None)
}

#[tokio::test]
async fn both_receivers_get_a_batch_for_one_organisation_with_the_senders_own_bytes() {
    let (record_system, sharing) = (Receiver::listen(&[]).await, Receiver::listen(&[]).await);
    let hub = with(&record_system, &sharing).await;
    let text = reading(ragnhild(), "r-1", 91)
        .to_string()
        .replace(":91,", ": 91.0 ,");
    let reply = hub
        .post_text(&hub.home(FJELLVIK), "/fhir/Observation", text.clone())
        .await;
    let key = key_of(reply.header("location"));
    deliver(&hub, async {
        record_system.heard().await;
        sharing.heard().await;
    })
    .await;
    for receiver in [&record_system, &sharing] {
        let got = receiver.got().remove(0);
        assert_eq!(got.bundle["type"], "batch");
        assert_eq!(
            got.bundle["meta"]["tag"],
            json!([{ "system": fhir::systems::ORGNR, "code": FJELLVIK }])
        );
        let entry = &got.bundle["entry"][0];
        assert_eq!(entry["fullUrl"], format!("urn:uuid:{key}"));
        assert_eq!(
            entry["request"],
            json!({ "method": "POST", "url": "Observation" })
        );
        assert!(got.text.contains(&text), "byte for byte");
        assert_eq!(
            got.headers["content-type"],
            "application/fhir+json;charset=utf-8"
        );
        assert!(
            got.headers["authorization"]
                .to_str()
                .unwrap()
                .starts_with("DPoP ")
                && got.headers.contains_key("dpop")
        );
    }
    assert_eq!(
        stands(&hub, &key).await,
        [delivered(RECORD_SYSTEM), delivered(SHARING)]
    );
    let all = hub.get(&hub.home(FJELLVIK), "/deliveries").await;
    insta::assert_json_snapshot!(all.json);
    // What is delivered is not sent again, and its clinical body is gone from the hub; a resend is still known.
    assert_eq!(hub.waiting(SHARING).await, []);
    let hub = hub.restarted().await;
    let again = hub
        .post_text(&hub.home(FJELLVIK), "/fhir/Observation", text)
        .await;
    assert_eq!(
        (again.status, key_of(again.header("location"))),
        (StatusCode::OK, key)
    );
}

#[tokio::test]
async fn a_dead_receiver_delays_no_other_and_gets_everything_when_it_is_back() {
    let record_system = Receiver::listen(&[]).await;
    // A port that nobody listens at.
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/fhir", dead.local_addr().unwrap());
    drop(dead);
    let hub = Hub::with(vec![receiver(
        FJELLVIK,
        Some(record_system.base()),
        Some(&address),
    )])
    .await;
    let mut keys = Vec::new();
    for n in 0..3 {
        keys.push(
            hub.sent(&reading(ragnhild(), &format!("r-{n}"), 90 + n))
                .await,
        );
    }
    deliver(&hub, async {
        record_system.heard().await;
        tried(&hub, &keys[0], SHARING).await;
    })
    .await;
    assert_eq!(record_system.names(), ["r-0", "r-1", "r-2"]);
    for key in &keys {
        let stands = stands(&hub, key).await;
        assert_eq!(stands[0], delivered(RECORD_SYSTEM));
        assert_eq!(
            (stands[1].0.as_str(), stands[1].1.as_str()),
            (SHARING, "pending")
        );
    }
    assert!(
        stands(&hub, &keys[0]).await[1].2.is_some(),
        "the reason is there to read"
    );
    let all = hub.get(&hub.home(FJELLVIK), "/deliveries").await;
    let sharing = all.json["receivers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["receiver"] == SHARING)
        .unwrap()
        .clone();
    assert_eq!(
        (&sharing["pending"], &sharing["dead"], &sharing["oldest"]),
        (&json!(3), &json!(0), &json!("2026-11-21T09:00:00Z"))
    );

    // An hour later it listens again, somewhere else; a new start finds all that waits, in order.
    let back = Receiver::listen(&[]).await;
    hub.clock.advance(3600 * 1_000_000);
    let mut hub = hub;
    hub.config.receivers = vec![receiver(
        FJELLVIK,
        Some(record_system.base()),
        Some(&back.url),
    )];
    let hub = hub.restarted().await;
    deliver(&hub, back.heard()).await;
    assert_eq!(back.names(), ["r-0", "r-1", "r-2"]);
    assert_eq!(
        record_system.names().len(),
        3,
        "nothing twice where it went the first time"
    );
    for key in &keys {
        assert_eq!(
            stands(&hub, key).await,
            [delivered(RECORD_SYSTEM), delivered(SHARING)]
        );
    }
}

#[tokio::test]
async fn what_is_refused_for_good_is_a_dead_letter_with_its_reason_and_stops_nothing() {
    let (record_system, sharing) = (
        Receiver::listen(&[]).await,
        Receiver::listen(&[Answer::One(1, 422)]).await,
    );
    let hub = with(&record_system, &sharing).await;
    let mut keys = Vec::new();
    for n in 0..3 {
        keys.push(
            hub.sent(&reading(ragnhild(), &format!("r-{n}"), 90 + n))
                .await,
        );
    }
    deliver(&hub, async {
        record_system.heard().await;
        sharing.heard().await;
    })
    .await;
    assert_eq!(
        stands(&hub, &keys[0]).await,
        [delivered(RECORD_SYSTEM), delivered(SHARING)]
    );
    assert_eq!(
        stands(&hub, &keys[2]).await,
        [delivered(RECORD_SYSTEM), delivered(SHARING)]
    );
    let refused = stands(&hub, &keys[1]).await;
    assert_eq!(refused[0], delivered(RECORD_SYSTEM));
    let reason = refused[1].2.clone().unwrap();
    assert_eq!(
        (refused[1].1.as_str(), reason.as_str()),
        (
            "dead",
            "the receiver answered 422: business-rule at Observation.subject"
        )
    );
    let all = hub.get(&hub.home(FJELLVIK), "/deliveries").await;
    let counts: Vec<(u64, u64)> = all.json["receivers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["pending"].as_u64().unwrap(), r["dead"].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, [(0, 0), (0, 1)]);
}

#[tokio::test]
async fn no_acknowledgement_is_read_into_an_answer_that_is_none() {
    for answer in [
        Answer::Whole(503),
        Answer::Whole(401),
        Answer::Whole(404),
        Answer::Rubbish,
        Answer::Each(500),
        Answer::Each(409),
    ] {
        // A 401 is answered once more with a new token.
        let answers: &[Answer] = if matches!(answer, Answer::Whole(401)) {
            &[answer, answer]
        } else {
            &[answer]
        };
        let (record_system, sharing) =
            (Receiver::listen(&[]).await, Receiver::listen(answers).await);
        let hub = with(&record_system, &sharing).await;
        let key = hub.sent(&reading(ragnhild(), "r-1", 91)).await;
        deliver(&hub, async {
            record_system.heard().await;
            tried(&hub, &key, SHARING).await;
        })
        .await;
        let stands = stands(&hub, &key).await;
        assert_eq!(
            (stands[0].1.as_str(), stands[1].1.as_str()),
            ("delivered", "pending")
        );
        assert!(
            !stands[1].2.as_ref().unwrap().contains("free words"),
            "only what cannot hold a person's name"
        );
        let hub = hub.restarted().await;
        hub.clock.advance(3600 * 1_000_000);
        deliver(&hub, async {
            while hub
                .state
                .store()
                .outbox_state(SHARING)
                .await
                .unwrap()
                .pending
                > 0
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let bundles = sharing.got();
        let last = bundles.last().unwrap();
        assert_eq!(
            last.bundle["entry"][0]["fullUrl"],
            format!("urn:uuid:{key}"),
            "the same key at every try"
        );
    }
}

#[tokio::test]
async fn long_readings_go_in_bundles_that_a_receiver_takes() {
    let (record_system, sharing) = (Receiver::listen(&[]).await, Receiver::listen(&[]).await);
    let hub = with(&record_system, &sharing).await;
    for n in 0..10 {
        let mut body = reading(ragnhild(), &format!("r-{n}"), 91);
        body["note"] = json!([{ "text": "x".repeat(1_900_000) }]);
        hub.sent(&body).await;
    }
    deliver(&hub, async {
        while hub
            .state
            .store()
            .outbox_state(SHARING)
            .await
            .unwrap()
            .pending
            > 0
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let got = sharing.got();
    assert!(
        got.len() >= 2 && got.iter().all(|g| g.text.len() < 10 << 20),
        "{:?}",
        got.iter().map(|g| g.text.len()).collect::<Vec<_>>()
    );
    assert_eq!(
        sharing.names(),
        (0..10).map(|n| format!("r-{n}")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_member_of_a_shared_register_has_the_register_alone_and_is_named() {
    let register = Receiver::listen(&[]).await;
    let hub = Hub::with(vec![
        receiver(SORLIA, None, Some(&register.url)),
        receiver("310001562", None, Some(&register.url)),
    ])
    .await;
    for (orgnr, name) in [(SORLIA, "s-1"), ("310001562", "a-1")] {
        let reply = hub
            .post(
                &hub.home(orgnr),
                "/fhir/Observation",
                &reading(ragnhild(), name, 91),
            )
            .await;
        assert_eq!(reply.status, StatusCode::CREATED);
    }
    deliver(&hub, async {
        register.heard().await;
        while register.got().len() < 2 {
            register.heard().await;
        }
    })
    .await;
    let mut got: Vec<(String, String)> = register
        .got()
        .iter()
        .map(|g| {
            (
                g.bundle["meta"]["tag"][0]["code"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
                g.bundle["entry"][0]["resource"]["identifier"][0]["value"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            )
        })
        .collect();
    got.sort();
    assert_eq!(
        got,
        [
            (SORLIA.to_owned(), "s-1".to_owned()),
            ("310001562".to_owned(), "a-1".to_owned())
        ],
        "one organisation a bundle"
    );
}

#[tokio::test]
async fn a_sender_sees_the_deliveries_of_its_own_organisation_alone() {
    let hub = Hub::new().await;
    let key = hub.sent(&reading(ragnhild(), "r-1", 91)).await;
    let mine: Vec<String> = names(&hub, FJELLVIK).await;
    assert_eq!(mine, [RECORD_SYSTEM, SHARING]);
    assert_eq!(names(&hub, FJELLVIK_UNIT).await, mine);
    assert_eq!(names(&hub, SORLIA).await, ["310001422/sharing"]);
    assert_eq!(names(&hub, PROVEBAKKEN).await, Vec::<String>::new());
    let unknown = hub
        .get(
            &hub.home(SORLIA),
            "/deliveries/00000000-0000-4000-8000-000000000001",
        )
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    for other in [SORLIA, PROVEBAKKEN] {
        assert_eq!(
            hub.get(&hub.home(other), &format!("/deliveries/{key}"))
                .await
                .visible(),
            unknown.visible()
        );
    }
    assert_eq!(
        hub.get(&hub.home(FJELLVIK), &format!("/deliveries/{key}"))
            .await
            .status,
        StatusCode::OK
    );
}

async fn names(hub: &Hub, orgnr: &str) -> Vec<String> {
    let reply = hub.get(&hub.home(orgnr), "/deliveries").await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.json["receivers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["receiver"].as_str().unwrap().to_owned())
        .collect()
}

/// How a receiver stands, as its organisation's home system sees it.
async fn waits(hub: &Hub, orgnr: &str) -> (u64, Value) {
    let all = hub.get(&hub.home(orgnr), "/deliveries").await;
    let receivers = all.json["receivers"].as_array().unwrap();
    let one = receivers.iter().find(|r| r["kind"] == "sharing").unwrap();
    (one["pending"].as_u64().unwrap(), one["oldest"].clone())
}

#[tokio::test]
async fn a_receiver_that_is_down_for_a_day_with_a_large_backlog_delays_no_other_organisations() {
    const MANY: usize = 90;
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}/fhir", dead.local_addr().unwrap());
    drop(dead);
    let other = Receiver::listen(&[]).await;
    let of = |ours: &str| {
        vec![
            receiver(FJELLVIK, None, Some(ours)),
            receiver(PROVEHEIM, None, Some(&other.url)),
        ]
    };
    let mut hub = Hub::with(of(&nowhere)).await;
    // More than one bundle of 8 MiB holds.
    let large = |n: usize| {
        let mut body = reading(ragnhild(), &format!("r-{n}"), 90);
        body["note"] = json!([{"text": "x".repeat(100 << 10)}]);
        body
    };
    for half in [0..MANY / 2, MANY / 2..MANY] {
        let sent: Vec<_> = half.map(large).collect();
        let reply = hub
            .post(&hub.home(FJELLVIK), "/fhir", &bundle("batch", &sent))
            .await;
        assert!(statuses(&reply).iter().all(|one| *one == 201));
    }
    for hour in 0..3 {
        let theirs = reading(patient("arne"), &format!("o-{hour}"), 91);
        let reply = hub
            .post(&hub.home(PROVEHEIM), "/fhir/Observation", &theirs)
            .await;
        assert_eq!(reply.status, StatusCode::CREATED);
        deliver(&hub, async {
            while other.names().len() <= hour {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(waits(&hub, PROVEHEIM).await.0, 0, "the other's goes on");
        let (pending, oldest) = waits(&hub, FJELLVIK).await;
        assert_eq!(
            (pending, oldest),
            (MANY as u64, json!("2026-11-21T09:00:00Z")),
            "all of it is seen, and since when"
        );
        hub.clock.advance(12 * 3_600 * 1_000_000);
        hub = hub.restarted().await;
    }
    let back = Receiver::listen(&[]).await;
    hub.config.receivers = of(&back.url);
    let hub = hub.restarted().await;
    deliver(&hub, async {
        while back.names().len() < MANY {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let expected: Vec<_> = (0..MANY).map(|n| format!("r-{n}")).collect();
    assert_eq!(back.names(), expected, "each once, in order");
    assert!(back.got().iter().all(|one| one.text.len() < 10 << 20));
    assert_eq!(waits(&hub, FJELLVIK).await, (0, Value::Null));
}
