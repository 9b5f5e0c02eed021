//! Who is expected and is not heard, told once each way; and the hub that says of itself that it lives.

use crate::house::*;
use crate::receiver::{Answer, Receiver};
use fhir::time::Instant;
use http::StatusCode;
use serde_json::{Value, json};

const HOME: &str = "home-310001007";
const OTHER: &str = "home-310001074";
const MINUTE: i64 = 60_000_000;

/// The home system of an organisation, expected within half an hour.
fn expected(sender: &str, orgnr: &str) -> hub::Expected {
    hub::Expected {
        sender: sender.into(),
        name: format!("Hjemmesystemet {orgnr}"),
        organisation: org(orgnr),
        quiet_seconds: 1800,
    }
}

async fn expecting(receivers: Vec<hub::Receiver>) -> Hub {
    let mut hub = Hub::with(receivers).await;
    hub.config.expects = vec![expected(HOME, FJELLVIK), expected(OTHER, PROVEHEIM)];
    hub.restarted().await
}

fn nobody_listens() -> Vec<hub::Receiver> {
    let fjellvik = Some("http://127.0.0.1:9/fjellvik/fhir");
    let proveheim = Some("http://127.0.0.1:9/proveheim/fhir");
    vec![
        receiver(FJELLVIK, None, fjellvik),
        receiver(PROVEHEIM, None, proveheim),
    ]
}

/// Who has turned since this was last asked.
fn turned(hub: &Hub) -> Vec<(String, bool)> {
    let all = hub.state.silences_turned().into_iter();
    all.map(|one| (one.expected.sender, one.quiet)).collect()
}

fn of(sender: &str, quiet: bool) -> (String, bool) {
    (sender.to_owned(), quiet)
}

fn heard(hub: &Hub) -> Option<Instant> {
    hub.state.silences()[0].heard
}

#[tokio::test]
async fn a_home_system_that_goes_quiet_is_told_of_once_and_so_is_its_return() {
    let hub = expecting(nobody_listens()).await;
    assert_eq!(turned(&hub), []);
    hub.sent(&reading(ragnhild(), "r-1", 91)).await;
    hub.clock.advance(30 * MINUTE);
    assert_eq!(turned(&hub), [], "the border is the time itself");
    hub.clock.advance(MINUTE / 60);
    assert_eq!(turned(&hub), [of(HOME, true), of(OTHER, true)]);
    assert_eq!(turned(&hub), []);
    hub.sent(&reading(ragnhild(), "r-2", 91)).await;
    assert_eq!(turned(&hub), [of(HOME, false)]);
    assert_eq!(turned(&hub), []);
}

#[tokio::test]
async fn when_who_was_heard_survives_a_restart_and_who_never_was_is_expected_from_the_beginning() {
    let hub = expecting(nobody_listens()).await;
    hub.clock.advance(20 * MINUTE);
    hub.sent(&reading(ragnhild(), "r-1", 91)).await;
    let before = heard(&hub);
    assert!(before.is_some());
    let hub = hub.restarted().await;
    assert_eq!(heard(&hub), before);
    hub.clock.advance(11 * MINUTE);
    let hub = hub.restarted().await;
    assert_eq!(
        turned(&hub),
        [of(OTHER, true)],
        "restarts do not put it off"
    );
    hub.clock.advance(20 * MINUTE);
    assert_eq!(turned(&hub), [of(HOME, true)]);
    // Who is expected no longer is forgotten, and begins anew.
    let mut hub = hub;
    let expects = std::mem::take(&mut hub.config.expects);
    let mut hub = hub.restarted().await;
    assert_eq!(turned(&hub), []);
    hub.config.expects = expects;
    let hub = hub.restarted().await;
    assert_eq!((heard(&hub), turned(&hub)), (None, vec![]));
}

#[tokio::test]
async fn a_known_reading_is_heard_and_one_that_is_refused_or_kept_aside_is_not() {
    let hub = expecting(nobody_listens()).await;
    let home = hub.home(FJELLVIK);
    let mut elsewhere = reading(ragnhild(), "r-1", 91);
    elsewhere["performer"] =
        json!([{ "identifier": { "system": fhir::systems::ORGNR, "value": PROVEHEIM } }]);
    let mut strange = reading(ragnhild(), "r-2", 91);
    strange["status"] = json!("perhaps");
    for body in [&elsewhere, &strange] {
        let reply = hub.post(&home, "/fhir/Observation", body).await;
        assert!(reply.status.is_client_error(), "{}", reply.json);
    }
    hub.get(&home, "/deliveries").await;
    assert_eq!(heard(&hub), None);
    let body = reading(ragnhild(), "r-3", 91);
    hub.sent(&body).await;
    assert_eq!(heard(&hub), Some(hub.clock.now()));
    hub.clock.advance(MINUTE);
    let again = hub.post(&home, "/fhir/Observation", &body).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(heard(&hub), Some(hub.clock.now()));
    // One sound entry of a bundle is enough.
    hub.clock.advance(MINUTE);
    let entry = |resource: &Value| json!({ "resource": resource });
    let all = [entry(&strange), entry(&reading(ragnhild(), "r-4", 92))];
    let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": all });
    let reply = hub.post(&home, "/fhir", &bundle).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    assert_eq!(heard(&hub), Some(hub.clock.now()));
}

#[tokio::test]
async fn an_organisation_is_told_of_its_own_senders_alone() {
    let hub = expecting(nobody_listens()).await;
    hub.sent(&reading(ragnhild(), "r-1", 91)).await;
    let at = hub.clock.now().to_string();
    hub.clock.advance(31 * MINUTE);
    let senders = async |orgnr| {
        let reply = hub.get(&hub.home(orgnr), "/deliveries").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        reply.json["senders"].clone()
    };
    let sender = |sender: &str, orgnr: &str| json!({ "sender": sender, "name": format!("Hjemmesystemet {orgnr}"), "quiet_minutes": 30, "quiet": true });
    let mut own = sender(HOME, FJELLVIK);
    own["heard"] = json!(at);
    assert_eq!(senders(FJELLVIK).await, json!([own]));
    assert_eq!(senders(PROVEHEIM).await, json!([sender(OTHER, PROVEHEIM)]));
    assert_eq!(senders(SORLIA).await, Value::Null);
}

/// What a service was told, as Parameters.
fn told(service: &Receiver) -> Vec<Value> {
    let all = service.got().into_iter();
    all.map(|got| got.bundle["parameter"].clone()).collect()
}

#[tokio::test]
async fn the_hub_says_that_it_lives_to_who_waits_for_it_and_whom_it_does_not_hear_at_once() {
    let [fjellvik, proveheim, deaf] = [&[][..], &[], &[Answer::Whole(503)]];
    let fjellvik = Receiver::listen(fjellvik).await;
    let proveheim = Receiver::listen(proveheim).await;
    let deaf = Receiver::listen(deaf).await;
    let waits = |orgnr, service: &Receiver| hub::Receiver {
        expected_there: vec!["epj".into(), "delt-hub".into()],
        ..receiver(orgnr, None, Some(&service.url))
    };
    let hub = expecting(vec![
        waits(FJELLVIK, &fjellvik),
        receiver(PROVEHEIM, None, Some(&proveheim.url)),
        waits(SORLIA, &deaf),
    ])
    .await;
    let alive = json!({ "name": "alive", "valueBoolean": true });
    let round = async || hub.state.says_alive().await.unwrap();
    round().await;
    assert_eq!(told(&fjellvik), [json!([alive])]);
    // It could make durable that it says so.
    let kept = hub
        .state
        .store()
        .ledger_get("alive", b"said")
        .await
        .unwrap();
    let kept = String::from_utf8(kept.unwrap().value).unwrap();
    assert_eq!(kept, hub.clock.now().0.to_string());
    assert_eq!(
        fjellvik.got()[0].headers["content-type"],
        "application/fhir+json;charset=utf-8"
    );
    // Not again before its time; who did not take it is asked again after a minute.
    hub.clock.advance(59 * MINUTE / 60);
    round().await;
    assert_eq!((told(&fjellvik).len(), told(&deaf).len()), (1, 1));
    hub.clock.advance(MINUTE / 60);
    round().await;
    assert_eq!((told(&fjellvik).len(), told(&deaf).len()), (1, 2));
    hub.clock.advance(4 * MINUTE);
    round().await;
    assert_eq!((told(&fjellvik).len(), told(&deaf).len()), (2, 2));
    // Of the organisation's own alone, as soon as it is known and as soon as it is over.
    hub.clock.advance(26 * MINUTE);
    round().await;
    let name = format!("Hjemmesystemet {FJELLVIK}");
    let silent = json!({ "name": "silent", "part": [
        { "name": "sender", "valueString": HOME }, { "name": "name", "valueString": name },
    ] });
    assert_eq!(told(&fjellvik).last(), Some(&json!([alive, silent])));
    assert_eq!(told(&deaf).last(), Some(&json!([alive])));
    let before = told(&fjellvik).len();
    hub.sent(&reading(ragnhild(), "r-1", 91)).await;
    round().await;
    assert_eq!(told(&fjellvik).len(), before + 1);
    assert_eq!(told(&fjellvik).last(), Some(&json!([alive])));
    assert_eq!(told(&proveheim), Vec::<Value>::new(), "nobody waits there");
}
