//! How old the copy is: told by each write, by what a feed says, on each answer and once to the log.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use sharing::Promise;
use testkit::clients::Reply;
use trust::ClientUse;
use wire::contract::sharing::{Alive, COPY_AS_OF_HEADER, COPY_STATE_HEADER, CopyAge, Silent};

const WHEN: &str = "2026-11-20T08:00:00+01:00";
/// As `NOW`, ten minutes before, and ten minutes and a second before.
const NOW_TEXT: &str = "2026-11-21T09:00:00Z";
const BEFORE: &str = "2026-11-21T08:50:00Z";
const TOO_OLD: &str = "2026-11-21T08:49:59Z";

async fn ten_minutes() -> Service {
    Service::with("fjellvik", FJELLVIK, &[], |config| {
        config.copy = Promise {
            max_lag_seconds: Some(600),
            expects: Vec::new(),
            feeds: Vec::new(),
        };
    })
    .await
}

async fn say(service: &Service, who: &testkit::door::Held, as_of: &str) -> Reply {
    let body = json!({"resourceType": "Parameters", "parameter": [{"name": "as_of", "valueInstant": as_of}]});
    service.post(who, "/$copy-state", &body).await
}

fn value<'a>(parameters: &'a Value, name: &str) -> Option<&'a Value> {
    let all = parameters.as_array().unwrap();
    let one = all.iter().find(|one| one["name"] == name)?;
    one.as_object()
        .unwrap()
        .iter()
        .find(|(key, _)| key.starts_with("value"))
        .map(|(_, v)| v)
}

/// State, as-of and lag.
fn told(reply: &Reply) -> (Value, Value, Value) {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let of = |name| {
        value(&reply.json["parameter"], name)
            .cloned()
            .unwrap_or_default()
    };
    (of("state"), of("as_of"), of("lag_seconds"))
}

fn headers(reply: &Reply) -> (Option<&str>, Option<&str>) {
    let of = |name| reply.headers.get(name).map(|value| value.to_str().unwrap());
    (of(COPY_AS_OF_HEADER), of(COPY_STATE_HEADER))
}

#[tokio::test]
async fn what_a_feed_says_is_on_every_answer_and_survives_a_restart() {
    let service = ten_minutes().await;
    let owner = service.record_system(FJELLVIK);
    let physician = service.physician(ragnhild());
    let look = async |service: &Service| service.search(&physician, "Observation", &[]).await;
    assert_eq!(
        headers(&look(&service).await),
        (None, Some("late")),
        "nobody was ever heard"
    );
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let reply = look(&service).await;
    assert_eq!(headers(&reply), (Some(NOW_TEXT), Some("ok")));
    assert_eq!(
        told(&say(&service, &owner, BEFORE).await),
        (json!("ok"), json!(BEFORE), json!(600))
    );
    assert_eq!(headers(&look(&service).await), (Some(BEFORE), Some("ok")));
    // A statement counts before a write; a source that found a loss says so.
    service
        .created(&reading(ragnhild(), "r-2", "2026-11-20T09:00:00Z", "91"))
        .await;
    assert_eq!(
        told(&say(&service, &owner, TOO_OLD).await),
        (json!("late"), json!(TOO_OLD), json!(601))
    );
    assert_eq!(
        headers(&look(&service).await),
        (Some(TOO_OLD), Some("late"))
    );
    // What is not there may be not there yet.
    let absent = "/Observation/6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11";
    let absent = service.get(&physician, absent).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    assert_eq!(headers(&absent), (Some(TOO_OLD), Some("late")));

    let promised = |config: &mut sharing::Config| config.copy.max_lag_seconds = Some(600);
    let service = again(service, promised).await;
    let reply = service.get(&owner, "/$copy-state").await;
    assert_eq!(told(&reply), (json!("late"), json!(TOO_OLD), json!(601)));
    let feeds = reply.json["parameter"].as_array().unwrap().iter();
    let [feed] = &feeds
        .filter(|one| one["name"] == "feed")
        .collect::<Vec<_>>()[..]
    else {
        panic!("{}", reply.json)
    };
    let of = |name| value(&feed["part"], name).cloned().unwrap_or_default();
    assert_eq!(of("client"), format!("RecordSystem-{FJELLVIK}"));
    assert_eq!(
        (of("kind"), of("state")),
        (json!("record-system"), json!("late"))
    );
    assert_eq!(
        (of("last_write"), of("as_of")),
        (json!(NOW_TEXT), json!(TOO_OLD))
    );
}

#[tokio::test]
async fn every_kind_of_write_is_a_sign_of_life() {
    let service = ten_minutes().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let place = format!("/Observation/{id}");
    let last = async || told(&service.get(&owner, "/$copy-state").await).1;
    let mut expected = NOW;
    assert_eq!(last().await, expected.to_string());
    let mut corrected = reading(ragnhild(), "r-1", WHEN, "92");
    corrected["id"] = id.clone().into();
    let batch = bundle("batch", &[reading(ragnhild(), "r-2", WHEN, "93")]);
    let series = crate::replace::series(arne(), &[]);
    for step in 0..4 {
        service.clock.advance(1_000_000);
        let reply = match step {
            0 => service.put(&owner, &place, Some("\"1\""), &corrected).await,
            1 => service.post(&owner, "/", &batch).await,
            2 => service.post(&owner, "/$replace-series", &series).await,
            _ => service.delete(&owner, &place, None).await,
        };
        assert!(reply.status.is_success(), "{step}: {}", reply.json);
        expected = expected.plus_seconds(1);
        assert_eq!(last().await, expected.to_string(), "{step}");
    }
    // Neither reading nor being refused is one.
    service.clock.advance(1_000_000);
    service.get(&owner, &place).await;
    service
        .put(&owner, "/Observation/none", None, &corrected)
        .await;
    assert_eq!(last().await, expected.to_string());
}

#[tokio::test]
async fn the_alarm_tells_each_turn_once() {
    let service = ten_minutes().await;
    let turned = || service.state.copy_turned().map(|copy| copy.state);
    assert_eq!(turned(), Some(CopyAge::Late));
    assert_eq!(turned(), None);
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    assert_eq!((turned(), turned()), (Some(CopyAge::Ok), None));
    service.clock.advance(600_000_000);
    assert_eq!(turned(), None);
    service.clock.advance(1_000_000);
    assert_eq!((turned(), turned()), (Some(CopyAge::Late), None));
}

#[tokio::test]
async fn the_hub_counts_once_it_makes_statements_and_who_feeds_nothing_says_nothing() {
    let service = ten_minutes().await;
    let owner = service.record_system(FJELLVIK);
    let hub = service.hub(FJELLVIK);
    let reply = service
        .post(
            &hub,
            "/Observation",
            &reading(ragnhild(), "r-1", WHEN, "91"),
        )
        .await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    assert_eq!(
        told(&service.get(&owner, "/$copy-state").await).0,
        "late",
        "its silence tells nothing"
    );
    assert_eq!(
        told(&say(&service, &hub, BEFORE).await),
        (json!("ok"), json!(BEFORE), json!(600))
    );
    for who in [
        service.record_system(PROVEHEIM),
        service.hub(PROVEHEIM),
        service.physician(ragnhild()),
        service.citizen(ragnhild()),
        service.system(ClientUse::RecordSystem, FJELLVIK, "system/*.rs"),
    ] {
        assert_eq!(
            say(&service, &who, BEFORE).await.status,
            StatusCode::FORBIDDEN
        );
    }
    for (who, status) in [
        (
            service.system(ClientUse::RecordSystem, FJELLVIK, "system/CarePlan.rs"),
            StatusCode::OK,
        ),
        (hub, StatusCode::FORBIDDEN),
        (service.physician(ragnhild()), StatusCode::FORBIDDEN),
    ] {
        assert_eq!(service.get(&who, "/$copy-state").await.status, status);
    }
    for bad in ["2026-11-21", "2026-11-21T09:01:01Z", "soon"] {
        let reply = say(&service, &owner, bad).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{bad}");
        assert_eq!(issues(&reply.json), ["value @ as_of"], "{bad}");
    }
}

#[tokio::test]
async fn without_a_promise_the_age_is_told_and_nothing_judged() {
    let service = Service::fjellvik().await;
    let metadata = service.door.get("/metadata").send().await;
    assert_eq!(headers(&metadata), (None, None));
    let owner = service.record_system(FJELLVIK);
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let reply = service.get(&owner, "/$copy-state").await;
    assert_eq!(told(&reply).0, "unjudged");
    assert_eq!(headers(&reply), (Some(NOW_TEXT), None));
    assert_eq!(service.state.copy_turned(), None);
}

#[tokio::test]
async fn a_write_that_is_not_taken_makes_the_copy_no_newer() {
    let service = ten_minutes().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    service.clock.advance(601_000_000);
    let owner = service.record_system(FJELLVIK);
    let path = format!("/Observation/{id}");
    let mut stale = reading(ragnhild(), "r-1", WHEN, "92");
    stale["id"] = id.as_str().into();
    let update = service.put(&owner, &path, Some("W/\"9\""), &stale).await;
    assert_eq!(update.status, StatusCode::PRECONDITION_FAILED);
    let withdrawal = service.delete(&owner, &path, Some("W/\"9\"")).await;
    assert_eq!(withdrawal.status, StatusCode::PRECONDITION_FAILED);
    let conflict = service
        .post(
            &owner,
            "/Observation",
            &reading(ragnhild(), "r-1", WHEN, "93"),
        )
        .await;
    assert_eq!(conflict.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut transaction = bundle("transaction", &[reading(ragnhild(), "r-1", WHEN, "94")]);
    transaction["entry"][0]["request"] = json!({"method": "POST", "url": "Observation"});
    let refused = service.post(&owner, "/", &transaction).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let look = service.get(&owner, &path).await;
    assert_eq!(headers(&look), (Some(NOW_TEXT), Some("late")));
    // One that is taken does.
    let update = service.put(&owner, &path, Some("W/\"1\""), &stale).await;
    assert_eq!(update.status, StatusCode::OK, "{}", update.json);
    let look = service.get(&owner, &path).await;
    assert_eq!(headers(&look), (Some("2026-11-21T09:10:01Z"), Some("ok")));
}

#[tokio::test]
async fn a_feed_that_goes_quiet_is_told_once_and_so_is_that_it_speaks_again() {
    let record_system = format!("{:?}-{FJELLVIK}", ClientUse::RecordSystem);
    let expected = sharing::Expected {
        client: record_system.clone(),
        name: "Journalsystemet".into(),
        quiet_seconds: 600,
    };
    let service = Service::with("fjellvik", FJELLVIK, &[], |config| {
        config.copy.expects = vec![expected];
    })
    .await;
    let turned = || -> Vec<(String, bool)> {
        let all = service.state.silences_turned().into_iter();
        all.map(|one| (one.client, one.quiet)).collect()
    };
    // Never heard is quiet from the start, told once.
    assert_eq!(turned(), [(record_system.clone(), true)]);
    assert_eq!(turned(), []);
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    assert_eq!(turned(), [(record_system.clone(), false)]);
    service.clock.advance(600 * 1_000_000);
    assert_eq!(turned(), []);
    service.clock.advance(1_000_000);
    assert_eq!(turned(), [(record_system.clone(), true)]);
    assert_eq!(service.state.silences()[0].heard, Some(NOW));
    // That there is nothing new is a sign of life too.
    let owner = service.record_system(FJELLVIK);
    let now = service.clock.now().to_string();
    assert_eq!(say(&service, &owner, &now).await.status, StatusCode::OK);
    assert_eq!(turned(), [(record_system, false)]);
}

/// That a feed is alive, and whom it has not heard.
async fn alive(service: &Service, who: &testkit::door::Held, silent: &[Silent]) -> Reply {
    let said = Alive {
        silent: silent.to_vec(),
    };
    service.post(who, "/$copy-state", &said.to_json()).await
}

/// Fjellvik's own, stopped and started, with this in its configuration.
async fn again(service: Service, change: impl FnOnce(&mut sharing::Config)) -> Service {
    let (folder, issuer) = (service.folder.path(), &service.issuer);
    let mut config = config(folder, issuer, "fjellvik", FJELLVIK, &[]);
    change(&mut config);
    service.reopened(config).await
}

/// The hub is expected within a quarter of an hour, and its copy within ten minutes of what it states.
pub fn expects_the_hub(config: &mut sharing::Config) {
    config.copy = Promise {
        max_lag_seconds: Some(600),
        expects: vec![sharing::Expected {
            client: format!("{:?}-{NORDDRIFT}", ClientUse::Service),
            name: "Knutepunktet".into(),
            quiet_seconds: 900,
        }],
        feeds: Vec::new(),
    };
}

/// A home system that the hub has not heard since then.
pub fn home(since: Option<fhir::time::Instant>) -> Silent {
    Silent {
        sender: "home-fjellvik".into(),
        name: "Hjemmesystemet".into(),
        since,
    }
}

#[tokio::test]
async fn a_night_without_readings_is_no_silence_while_the_hub_says_that_it_lives() {
    let service = Service::with("fjellvik", FJELLVIK, &[], expects_the_hub).await;
    let quiet = || service.state.silences()[0].quiet;
    assert!(quiet(), "never heard");
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    for _ in 0..40 {
        service.clock.advance(900 * 1_000_000);
        let hub = service.hub(FJELLVIK);
        assert_eq!(alive(&service, &hub, &[]).await.status, StatusCode::OK);
        assert!(!quiet());
    }
    // It says nothing of how far the copy has come: the record system alone counts, and it is silent.
    let owner = service.record_system(FJELLVIK);
    let reply = service.get(&owner, "/$copy-state").await;
    let (state, as_of, _) = told(&reply);
    assert_eq!((state, as_of), (json!("late"), json!(NOW_TEXT)));
    service.clock.advance(901 * 1_000_000);
    assert!(quiet(), "dead at night");
    let before = service.state.silences();
    let service = again(service, expects_the_hub).await;
    assert_eq!(service.state.silences(), before, "known after a restart");
    assert!(before[0].heard.is_some());
}

#[tokio::test]
async fn a_home_system_that_the_hub_does_not_hear_is_told_of_once_and_so_is_its_return() {
    let service = Service::with("fjellvik", FJELLVIK, &[], expects_the_hub).await;
    let hub = service.hub(FJELLVIK);
    let turned = |service: &Service| -> Vec<(String, bool)> {
        let all = service.state.silences_turned().into_iter();
        all.map(|one| (one.name, one.quiet)).collect()
    };
    let the_hub = |quiet| ("Knutepunktet".to_owned(), quiet);
    let the_home = |quiet| ("Hjemmesystemet".to_owned(), quiet);
    assert_eq!(turned(&service), [the_hub(true)]);
    alive(&service, &hub, &[home(Some(NOW))]).await;
    assert_eq!(turned(&service), [the_home(true), the_hub(false)]);
    // The organisation's own system reads it beside the age of its copy.
    let own = service.record_system(FJELLVIK);
    let named = async |service: &Service| {
        let told = service.get(&own, "/$copy-state").await;
        let all = told.json["parameter"].as_array().unwrap().clone();
        let feeds = all.into_iter().filter(|one| one["name"] == "feed");
        let parts = feeds.flat_map(|one| one["part"].as_array().unwrap().clone());
        let silent = parts.filter(|one| one["name"] == "silent");
        silent.collect::<Vec<_>>()
    };
    assert_eq!(named(&service).await, [home(Some(NOW)).to_json()]);
    service.clock.advance(300 * 1_000_000);
    alive(&service, &hub, &[home(Some(NOW))]).await;
    assert_eq!(turned(&service), []);
    let service = again(service, expects_the_hub).await;
    assert_eq!(turned(&service), [the_home(true)]);
    alive(&service, &hub, &[]).await;
    assert_eq!(turned(&service), [the_home(false)]);
    assert_eq!(named(&service).await, [Value::Null; 0]);
    assert_eq!(turned(&service), []);
    assert_eq!(service.state.silences().len(), 1);
}

#[tokio::test]
async fn a_sign_of_life_is_a_feeds_own_and_one_that_is_strange_is_refused_and_changes_nothing() {
    let service = Service::with("fjellvik", FJELLVIK, &[], expects_the_hub).await;
    for who in [
        service.hub(PROVEHEIM),
        service.record_system(PROVEHEIM),
        service.physician(ragnhild()),
        service.citizen(ragnhild()),
    ] {
        let reply = alive(&service, &who, &[]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
    }
    let hub = service.hub(FJELLVIK);
    let later = Some(NOW.plus_seconds(61));
    let ahead = alive(&service, &hub, &[home(later)]).await;
    assert_eq!(issues(&ahead.json), ["value @ silent"]);
    for strange in [
        json!({"name": "alive", "valueBoolean": false}),
        json!({"name": "alive", "valueString": "true"}),
    ] {
        let body = json!({"resourceType": "Parameters", "parameter": [strange]});
        let reply = service.post(&hub, "/$copy-state", &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.json);
    }
    let both = json!({"resourceType": "Parameters", "parameter": [
        {"name": "alive", "valueBoolean": true}, {"name": "as_of", "valueInstant": NOW_TEXT},
    ]});
    let reply = service.post(&hub, "/$copy-state", &both).await;
    assert_eq!(issues(&reply.json), ["value @ alive"]);
    assert_eq!(service.state.silences()[0].heard, None);
}
