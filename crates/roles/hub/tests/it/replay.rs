//! What is kept aside or was refused for good, how long, and how it is tried again once the cause is mended
//! (threats-and-faults.md section 9).

use crate::deliver::deliver;
use crate::house::*;
use crate::receiver::{Answer, Receiver};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;

const NOBODY: &str = "http://127.0.0.1:9/provebakken/fhir";

async fn ids(hub: &Hub, who: &Held) -> Vec<String> {
    let reply = hub.get(who, "/quarantine").await;
    let entries = reply.json["entries"].as_array().unwrap();
    entries
        .iter()
        .map(|e| e["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn replay(hub: &Hub, who: &Held, id: &str) -> Reply {
    hub.post_text(who, &format!("/quarantine/{id}/replay"), "")
        .await
}

#[tokio::test]
async fn an_entry_kept_aside_is_taken_in_once_when_the_cause_is_mended() {
    let hub = Hub::new().await;
    // The hub delivers nothing for this sender's organisation yet.
    let one = reading(ragnhild(), "r-1", 91);
    let sent = hub
        .post(&hub.home(PROVEBAKKEN), "/fhir/Observation", &one)
        .await;
    assert_eq!(sent.status, StatusCode::UNPROCESSABLE_ENTITY);
    // This one names another organisation in its Bundle's tag, which nothing here mends.
    let mut tagged = bundle("batch", &[reading(ragnhild(), "r-2", 92)]);
    tagged["meta"] = json!({ "tag": [{ "system": fhir::systems::ORGNR, "code": FJELLVIK }] });
    let sent = hub.post(&hub.home(PROVEBAKKEN), "/fhir", &tagged).await;
    assert_eq!(statuses(&sent), [422]);
    let kept = ids(&hub, &hub.home(PROVEBAKKEN)).await;
    assert_eq!(kept.len(), 2);
    for id in &kept {
        let early = replay(&hub, &hub.home(PROVEBAKKEN), id).await;
        assert_eq!(early.status, StatusCode::UNPROCESSABLE_ENTITY);
        let stranger = replay(&hub, &hub.home(FJELLVIK), id).await;
        assert_eq!(stranger.status, StatusCode::NOT_FOUND, "each its own");
    }
    let mut hub = hub;
    hub.config
        .receivers
        .push(receiver(PROVEBAKKEN, None, Some(NOBODY)));
    let hub = hub.restarted().await;
    let home = hub.home(PROVEBAKKEN);
    let mut answers = Vec::new();
    for id in &kept {
        let before = hub.audit().await.len();
        let reply = replay(&hub, &home, id).await;
        assert_eq!(hub.audit().await.len(), before + 1, "one record");
        answers.push(reply);
    }
    answers.sort_by_key(|reply| reply.status);
    assert_eq!(answers[0].status, StatusCode::CREATED);
    assert_eq!(answers[1].status, StatusCode::UNPROCESSABLE_ENTITY);
    let waiting = hub.waiting(&format!("{PROVEBAKKEN}/sharing")).await;
    let key = key_of(answers[0].header("location"));
    assert_eq!(waiting, [(key.clone(), one.to_string())], "as it was sent");
    assert_eq!(hub.aside(&home).await.len(), 1);
    for id in &kept {
        assert_ne!(replay(&hub, &home, id).await.status, StatusCode::CREATED);
    }
    // It is the same reading as one that is sent now.
    let again = hub.post(&home, "/fhir/Observation", &one).await;
    assert_eq!(
        (again.status, key_of(again.header("location"))),
        (StatusCode::OK, key)
    );
    for strange in ["", "0", &"z".repeat(32), &"+".repeat(32)] {
        let reply = replay(&hub, &home, strange).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{strange}");
    }
}

#[tokio::test]
async fn a_sender_s_quarantine_has_an_end_and_says_so_and_is_the_sender_s_own() {
    let bounds = hub::Bounds {
        quarantine_entries: 2,
        ..hub::Bounds::default()
    };
    let mut hub = Hub::bounded(bounds).await;
    let send = async |hub: &Hub, who: &Held, key: &str| {
        let sorlia = performed(ragnhild(), key, fhir::systems::ORGNR, SORLIA);
        let reply = hub.post(who, "/fhir/Observation", &sorlia).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
        issues(&reply.json).len()
    };
    for round in 0..2 {
        let (home, other) = (hub.home(FJELLVIK), hub.home(PROVEHEIM));
        assert_eq!(send(&hub, &home, "a").await, 1);
        assert_eq!(send(&hub, &home, "b").await, 1);
        assert_eq!(send(&hub, &home, "c").await, 2, "not kept, and told so");
        assert_eq!(send(&hub, &home, "a").await, 1, "what is there stays");
        assert_eq!(hub.aside(&home).await.len(), 2);
        assert_eq!(send(&hub, &other, &format!("d{round}")).await, 1);
        hub = hub.restarted().await;
    }
    assert_eq!(hub.aside(&hub.home(PROVEHEIM)).await.len(), 2);
}

#[tokio::test]
async fn a_dead_letter_is_listed_with_its_reason_and_delivered_again_at_a_word() {
    let sharing = Receiver::listen(&[Answer::Each(422)]).await;
    let hub = Hub::with(vec![
        receiver(FJELLVIK, None, Some(&sharing.url)),
        receiver(PROVEHEIM, None, Some(NOBODY)),
    ])
    .await;
    let key = hub.sent(&reading(ragnhild(), "r-1", 91)).await;
    deliver(&hub, sharing.heard()).await;
    let home = hub.home(FJELLVIK);
    let listed = hub.get(&home, "/dead-letters").await;
    let entries = listed.json["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{}", listed.json);
    let expected = ["key", "receiver", "reason"].map(|member| entries[0][member].clone());
    let reason = "the receiver answered 422: business-rule at Observation.subject";
    assert_eq!(
        expected,
        [&*key, "310001007/sharing", reason].map(Value::from)
    );
    let path = format!("/deliveries/{key}/replay");
    let other = hub.home(PROVEHEIM);
    assert_eq!(
        hub.get(&other, "/dead-letters").await.json["entries"],
        json!([])
    );
    let stranger = hub.post_text(&other, &path, "").await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND);
    for _ in 0..2 {
        // Twice is once.
        let reply = hub.post_text(&home, &path, "").await;
        assert_eq!(reply.json["receivers"][0]["state"], "pending");
    }
    let hub = hub.restarted().await;
    deliver(&hub, sharing.heard()).await;
    let stands = hub
        .get(&hub.home(FJELLVIK), &format!("/deliveries/{key}"))
        .await;
    assert_eq!(stands.json["receivers"][0]["state"], "delivered");
    assert_eq!(sharing.names(), ["r-1", "r-1"]);
}

/// Every entry of a list by this member, page by page of at most two; and how large the pages are.
async fn paged(hub: &Hub, who: &Held, list: &str, member: &str) -> (Vec<String>, Vec<usize>) {
    let (mut path, mut all, mut sizes) = (format!("{list}?count=2"), Vec::new(), Vec::new());
    loop {
        let reply = hub.get(who, &path).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        assert_eq!(reply.json["total"], 5);
        let page = reply.json["entries"].as_array().unwrap();
        sizes.push(page.len());
        all.extend(
            page.iter()
                .map(|one| one[member].as_str().unwrap().to_owned()),
        );
        let Some(next) = reply.json["next"].as_str() else {
            return (all, sizes);
        };
        path = next.strip_prefix(BASE).unwrap().to_owned();
    }
}

#[tokio::test]
async fn what_lies_aside_and_dead_letters_come_in_pages_and_none_is_left_out() {
    let refuses = [Answer::Each(422), Answer::Whole(422)];
    let (record_system, sharing) = (
        Receiver::listen(&refuses).await,
        Receiver::listen(&refuses).await,
    );
    let one = receiver(FJELLVIK, Some(record_system.base()), Some(&sharing.url));
    let hub = Hub::with(vec![one]).await;
    // Five aside: two at the same moment, three later.
    let strange = |n: u32| performed(ragnhild(), &format!("s-{n}"), fhir::systems::ORGNR, SORLIA);
    let mut put: Vec<String> = Vec::new();
    for some in [&[1, 2][..], &[3], &[4], &[5]] {
        let sent: Vec<_> = some.iter().map(|n| strange(*n)).collect();
        hub.post(&hub.home(FJELLVIK), "/fhir", &bundle("batch", &sent))
            .await;
        put.extend(some.iter().map(|n| format!("urn:example:readings|s-{n}")));
        hub.clock.advance(1_000_000);
    }
    let (all, sizes) = paged(&hub, &hub.home(FJELLVIK), "/quarantine", "identifier").await;
    assert_eq!(sizes, [2, 2, 1]);
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(sorted, put);
    assert_eq!(all[..3], [&*put[4], &*put[3], &*put[2]], "newest first");
    // Five dead letters at two receivers: two readings at both, and a document at one.
    for n in 0..2 {
        hub.sent(&reading(ragnhild(), &format!("r-{n}"), 91)).await;
    }
    let document = crate::document::alert(ragnhild(), "d-1");
    let reply = hub.post(&hub.home(FJELLVIK), "/fhir", &document).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    deliver(&hub, async {
        let dead = async |name: &str| hub.state.store().outbox_state(name).await.unwrap().dead;
        while dead("310001007/sharing").await < 3 || dead("310001007/record-system").await < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let hub = hub.restarted().await;
    let (keys, sizes) = paged(&hub, &hub.home(FJELLVIK), "/dead-letters", "key").await;
    assert_eq!(sizes, [2, 2, 1]);
    let count = |key: &String| keys.iter().filter(|one| *one == key).count();
    assert_eq!(keys.iter().map(count).collect::<Vec<_>>(), [2, 2, 2, 2, 1]);
    let home = hub.home(FJELLVIK);
    for wrong in ["count=0", "after=x", "of=1", "count=1&count=1"] {
        for list in ["/quarantine", "/dead-letters"] {
            let reply = hub.get(&home, &format!("{list}?{wrong}")).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{list} {wrong}");
        }
    }
}
