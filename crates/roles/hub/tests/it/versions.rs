//! Versions of one reading: a repeat of any of them gets its first answer, and an older one never replaces a newer one, whichever way
//! it comes (threats-and-faults.md section 9).

use crate::deliver::deliver;
use crate::house::*;
use crate::receiver::{Answer, Receiver};
use http::StatusCode;
use serde_json::{Value, json};

const SHARING: &str = "310001007/sharing";
const PATH: &str = "/fhir/Observation";

/// A version of reading `r-1`, issued then.
fn version(value: u32, status: &str, issued: Option<&str>) -> Value {
    let mut body = reading(ragnhild(), "r-1", value);
    body["status"] = json!(status);
    if let Some(issued) = issued {
        body["issued"] = json!(issued);
    }
    body
}

const FIRST: Option<&str> = Some("2026-11-20T09:00:00Z");
const LATER: Option<&str> = Some("2026-11-20T10:00:00Z");

async fn send(hub: &Hub, body: &Value) -> (u16, String) {
    let reply = hub.post(&hub.home(FJELLVIK), PATH, body).await;
    let key = reply.headers.get("location");
    let key = key.map(|one| key_of(one.to_str().unwrap()));
    (reply.status.as_u16(), key.unwrap_or_default())
}

async fn waiting(hub: &Hub) -> Vec<String> {
    let waiting = hub.waiting(SHARING).await;
    waiting.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn a_repeat_of_an_earlier_version_gets_its_first_answer_and_is_not_delivered_again() {
    let hub = Hub::new().await;
    let versions = [
        version(91, "final", None),
        version(92, "corrected", None),
        version(93, "amended", None),
    ];
    let mut keys = Vec::new();
    for one in &versions {
        let (status, key) = send(&hub, one).await;
        assert_eq!(status, 201);
        keys.push(key);
    }
    let hub = hub.restarted().await;
    for _ in 0..2 {
        for (one, key) in versions.iter().zip(&keys) {
            assert_eq!(send(&hub, one).await, (200, key.clone()));
        }
    }
    assert_eq!(
        waiting(&hub).await,
        keys,
        "each once, in the order they came"
    );
    assert!(hub.aside(&hub.home(FJELLVIK)).await.is_empty());
    // In a bundle too.
    let all = bundle("batch", &versions);
    let reply = hub.post(&hub.home(FJELLVIK), "/fhir", &all).await;
    assert_eq!(statuses(&reply), [200, 200, 200]);
    let mut told = super::house::keys(&reply);
    told.sort();
    keys.sort();
    assert_eq!(told, keys);
}

#[tokio::test]
async fn an_older_correction_does_not_replace_a_newer_one_and_is_kept_aside_with_its_reason() {
    let hub = Hub::new().await;
    let (_, original) = send(&hub, &version(91, "final", None)).await;
    let (_, newer) = send(&hub, &version(93, "corrected", LATER)).await;
    // The backlog brings the first correction after the second.
    let late = version(92, "corrected", FIRST);
    for _ in 0..2 {
        let reply = hub.post(&hub.home(FJELLVIK), PATH, &late).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
        let code = &reply.json["issue"][0]["details"]["coding"][0]["code"];
        assert_eq!(code, "outdated", "{}", reply.json);
    }
    assert_eq!(waiting(&hub).await, [original, newer.clone()]);
    let home = hub.home(FJELLVIK);
    assert_eq!(
        hub.aside(&home).await[0].0,
        "outdated",
        "and nothing is lost"
    );
    // At a word it is not taken either: it is too late.
    let list = hub.get(&home, "/quarantine").await;
    let id = list.json["entries"][0]["id"].as_str().unwrap();
    let replay = format!("/quarantine/{id}/replay");
    let reply = hub.post_text(&home, &replay, "").await;
    assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.json);
    // A newer one goes, and so does what takes it back, whatever its time.
    let (status, newest) = send(
        &hub,
        &version(94, "corrected", Some("2026-11-20T11:00:00Z")),
    )
    .await;
    assert_eq!(status, 201);
    let (status, _) = send(&hub, &version(94, "entered-in-error", FIRST)).await;
    assert_eq!(status, 201);
    assert_eq!(waiting(&hub).await[2], newest);
    assert_eq!(waiting(&hub).await.len(), 4);
}

#[tokio::test]
async fn a_version_from_a_clock_that_is_ahead_keeps_no_later_correction_out() {
    let hub = Hub::new().await;
    let ahead = version(91, "corrected", Some("2030-01-01T00:00:00Z"));
    assert_eq!(send(&hub, &ahead).await.0, 201);
    let (status, key) = send(&hub, &version(92, "corrected", LATER)).await;
    assert_eq!((status, waiting(&hub).await.last()), (201, Some(&key)));
}

#[tokio::test]
async fn a_dead_letter_that_a_newer_version_has_overtaken_is_not_delivered_over_it() {
    let sharing = Receiver::listen(&[Answer::Each(422)]).await;
    let hub = Hub::with(vec![receiver(FJELLVIK, None, Some(&sharing.url))]).await;
    let (_, first) = send(&hub, &version(91, "final", None)).await;
    deliver(&hub, sharing.heard()).await;
    let hub = hub.restarted().await;
    let replay = async |key: &str| {
        let path = format!("/deliveries/{key}/replay");
        hub.post_text(&hub.home(FJELLVIK), &path, "").await
    };
    let (status, second) = send(&hub, &version(92, "corrected", None)).await;
    assert_eq!(status, 201);
    let reply = replay(&first).await;
    assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.json);
    assert_eq!(waiting(&hub).await, std::slice::from_ref(&second));
    let reply = replay(&second).await;
    assert_eq!(reply.json["receivers"][0]["state"], "pending");
}

#[tokio::test]
async fn what_lay_aside_while_a_newer_version_came_is_not_taken_in_over_it() {
    let mut hub = Hub::new().await;
    // Nothing is delivered for Prøvebakken yet.
    let late = version(91, "corrected", None);
    let reply = hub.post(&hub.home(PROVEBAKKEN), PATH, &late).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let nowhere = Some("http://127.0.0.1:9/provebakken/fhir");
    hub.config
        .receivers
        .push(receiver(PROVEBAKKEN, None, nowhere));
    let hub = hub.restarted().await;
    let home = hub.home(PROVEBAKKEN);
    let newer = version(92, "corrected", None);
    let reply = hub.post(&home, PATH, &newer).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    let list = hub.get(&home, "/quarantine").await;
    let id = list.json["entries"][0]["id"].as_str().unwrap();
    let replay = format!("/quarantine/{id}/replay");
    let reply = hub.post_text(&home, &replay, "").await;
    assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.json);
    let waiting = hub.waiting(&format!("{PROVEBAKKEN}/sharing")).await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(hub.aside(&home).await.len(), 1, "it stays there");
}
