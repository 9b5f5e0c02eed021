//! What the patient closes, what is secret, and to whom there is nothing (threats-and-faults.md section 8).

use fhir::systems;
use http::StatusCode;
use serde_json::json;
use trust::{ClientUse, Interaction};

use super::*;
use crate::house::*;

#[tokio::test]
async fn what_she_closes_is_neither_told_nor_counted() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    let open = region.reads("r-1", "90").await;
    region.tells().await;
    assert_eq!(region.hook.numbers(), [1]);
    for provision in [organisation_closed(PROVEBAKKEN), json!({})] {
        let wish = region.closes(provision).await;
        region.reads(&format!("r-hid-{}", wish), "84").await;
        region.reads(&format!("r-hidden-{wish}"), "83").await;
        region.tells().await;
        assert_eq!(region.hook.heard(), []);
        // To the subscriber it is as if nothing had happened; what was told before is named no more.
        assert_eq!(region.stands(&path).await, ("active".into(), "1".into()));
        assert_eq!(region.missed(&path, "").await, [(1, String::new())]);
        let record = region
            .service
            .last_record_of(Interaction::SubscriptionRead)
            .await;
        assert!(record.disclosed.is_empty());
        region.opens(&wish).await;
        region.tells().await;
        assert_eq!(region.hook.heard(), []);
    }
    // Open again, the numbers go on without a gap that would tell.
    let next = region.reads("r-2", "88").await;
    region.tells().await;
    let told = region.hook.heard();
    assert_eq!(
        told,
        [(
            "event-notification".to_owned(),
            vec![(2, format!("Observation/{next}"))]
        )]
    );
    assert_eq!(
        region.missed(&path, "").await[0],
        (1, format!("Observation/{open}"))
    );
}

#[tokio::test]
async fn what_waits_when_she_closes_it_is_told_to_nobody_afterwards() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.answers(StatusCode::BAD_GATEWAY);
    // Until it is in error.
    region.reads("r-1", "90").await;
    region.tells().await;
    for _ in 0..8 {
        region.passes(60).await;
    }
    // Two more come while it is, before anybody has asked for their numbers; then she closes.
    region.reads("r-2", "84").await;
    region.tells().await;
    let wish = region.closes(json!({})).await;
    assert_eq!(region.stands(&path).await, ("error".into(), "1".into()));
    region.opens(&wish).await;
    assert_eq!(region.stands(&path).await, ("error".into(), "1".into()));
    assert_eq!(region.missed(&path, "").await.len(), 1);
    // What is withdrawn is named no more, and counts as it did.
    let last = region.reads("r-3", "85").await;
    region.tells().await;
    assert_eq!(
        region.missed(&path, "").await[1],
        (2, format!("Observation/{last}"))
    );
    let owner = region.service.record_system(FJELLVIK);
    let gone = region
        .service
        .delete(&owner, &format!("/Observation/{last}"), Some("\"1\""))
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.json);
    assert_eq!(region.missed(&path, "").await[1], (2, String::new()));
}

#[tokio::test]
async fn secrets_are_never_shown_again() {
    let region = Region::new().await;
    let mut body = wanted(&region.endpoint(), "new-reading", Some(&region.patient));
    body["channel"]["header"] = json!([format!("X-Api-Key: {SECRET}")]);
    let made = region.asks(&region.gp(), &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
    let path = format!("/Subscription/{}", made.json["id"].as_str().unwrap());
    region.tells().await;
    let read = region.get(&region.gp(), &path).await;
    let list = region.get(&region.system(), "/Subscription").await;
    assert_eq!(list["total"], 1);
    let status = region
        .get(&region.system(), &format!("{path}/$status"))
        .await;
    for told in [&made.json, &read, &list, &status] {
        assert!(!told.to_string().contains(SECRET) && told["channel"].get("header").is_none());
    }
    // Refused, it is not repeated either.
    let mut bad = body.clone();
    bad["channel"]["header"] = json!([format!("X-Api-Key: {SECRET}\r\nHost: x")]);
    let refused = region.asks(&region.gp(), &bad).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        !refused.json.to_string().contains(SECRET),
        "{}",
        refused.json
    );
    for entry in region.service.audit().await {
        let text = serde_json::to_string(&entry.record).unwrap();
        assert!(!text.contains(SECRET), "{text}");
    }
    // Nor does it lie in any file of the service as it is.
    for file in std::fs::read_dir(region.service.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let found = bytes
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes());
        assert!(!found);
    }
}

#[tokio::test]
async fn to_all_others_there_is_none() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    let elsewhere =
        region
            .service
            .system(ClientUse::RecordSystem, PROVEHEIM, "system/Subscription.rd");
    let physician = region
        .service
        .physician_but(ragnhild(), |claims| claims.scope = SCOPE.into());
    let colleague_about_another = region.gp_about(arne(), "TREAT", SCOPE);
    let owner = region.service.record_system(FJELLVIK);
    let nothing = "/Subscription/00000000-0000-4000-8000-000000000000";
    for who in [&elsewhere, &physician, &colleague_about_another, &owner] {
        for path in [
            path.clone(),
            format!("{path}/$status"),
            format!("{path}/$events"),
        ] {
            let there = region.service.get(who, &path).await;
            let nowhere = region.service.get(who, nothing).await;
            assert_eq!(
                (there.status, &there.json),
                (nowhere.status, &nowhere.json),
                "{path}"
            );
            assert_eq!(there.status, StatusCode::NOT_FOUND);
        }
        assert_eq!(
            region.service.delete(who, &path, None).await.status,
            StatusCode::NOT_FOUND
        );
        assert_eq!(region.get(who, "/Subscription").await["total"], 0);
    }
    // What it is not, it is not by another road either.
    for other in [format!("{path}/_history"), "/Subscription/_history".into()] {
        assert_eq!(
            region.service.get(&region.gp(), &other).await.status,
            StatusCode::NOT_FOUND,
            "{other}"
        );
    }
    let patched = region.service.door.knock(http::Method::PATCH, &path);
    let patched = patched
        .by(&region.gp(), region.service.clock.now())
        .send()
        .await;
    assert_eq!(patched.status, StatusCode::METHOD_NOT_ALLOWED);
    // Its own organisation ends it, and nothing of it is left.
    assert_eq!(
        region
            .service
            .delete(&region.system(), &path, None)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    region.reads("r-1", "84").await;
    region.hook.heard();
    region.tells().await;
    assert_eq!(region.hook.heard(), []);
    assert_eq!(
        region.service.get(&region.gp(), &path).await.status,
        StatusCode::NOT_FOUND
    );
    let store = region.service.state.store();
    for ledger in ["subscription", "listed"] {
        assert_eq!(
            store.ledger_scan(ledger, b"", None, 10).await.unwrap(),
            [],
            "{ledger}"
        );
    }
}

#[tokio::test]
async fn of_a_patient_who_is_erased_nothing_more_is_told() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.reads("r-1", "90").await;
    region.tells().await;
    let parameters = json!({"resourceType": "Parameters", "parameter": [
        {"name": "ground", "valueCode": "deletion-decision"},
        {"name": "order", "valueString": "o-1"},
        {"name": "decision", "valueString": "d-1"},
        {"name": "scope", "valueCode": "patient"},
        {"name": "patient", "valueIdentifier": {"system": systems::FNR, "value": ragnhild().number}},
    ]});
    let owner = region.service.record_system(FJELLVIK);
    let purged = region.service.post(&owner, "/$purge", &parameters).await;
    assert_eq!(purged.status, StatusCode::OK, "{}", purged.json);
    region.hook.heard();
    region.passes(61).await;
    // Nothing is left to look after, whatever was known before.
    assert_eq!(region.hook.heard(), []);
    let told = region.get(&region.system(), &path).await;
    assert_eq!(told["status"], "active", "until it is next looked at");
    let events = region.missed(&path, "").await;
    assert_eq!(events, [(1, String::new())]);
}

/// Readings of every kind, whoever asks.
fn readings_closed() -> Value {
    let services = "https://delt.example/fhir/CodeSystem/information-service";
    json!({"class": [{"system": services, "code": "IT17"}]})
}

#[tokio::test]
async fn of_a_kind_that_she_closes_nothing_is_told_that_had_its_number_before() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.heard();
    region.hook.answers(StatusCode::BAD_GATEWAY);
    region.reads("r-1", "90").await;
    region.tells().await;
    let wish = region.closes(readings_closed()).await;
    region.hook.answers(StatusCode::OK);
    region.passes(60).await;
    assert_eq!(region.hook.heard(), []);
    let told = region
        .get(&region.system(), &format!("{path}/$events"))
        .await;
    assert_eq!(events(&told), [(1, String::new())]);
    assert!(!told.to_string().contains("valueInstant"), "{told}");
    // Open again, the next is told, and the one before can be asked for.
    region.opens(&wish).await;
    let next = region.reads("r-2", "88").await;
    region.passes(60).await;
    let expected = vec![(2, format!("Observation/{next}"))];
    assert_eq!(
        region.hook.heard(),
        [("event-notification".to_owned(), expected)]
    );
    assert_ne!(region.missed(&path, "").await[0], (1, String::new()));
}

/// What may happen, one after the other.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Reading,
    Closes,
    ClosesTheKind,
    Opens,
    Tells,
    Away,
    Back,
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(10))]

    /// In whatever turns readings come, she closes everything or the kind and opens, and the subscriber is away and back: numbers have
    /// no gap but where something had its number when its kind was closed, nothing is told while it is closed, and nothing twice under
    /// two numbers; `$events` has them all.
    #[test]
    fn in_whatever_turns_numbers_have_no_gap_and_tell_of_nothing_closed(
        turns in proptest::collection::vec(
            proptest::sample::select(vec![Turn::Reading, Turn::Closes, Turn::ClosesTheKind, Turn::Opens, Turn::Tells, Turn::Away, Turn::Back]),
            1..16,
        )
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let region = Region::new().await;
            let path = region.follows("new-reading").await;
            region.hook.heard();
            let by_kind = turns.iter().any(|turn| matches!(turn, Turn::ClosesTheKind));
            let (mut wish, mut count, mut told) = (None, 0, Vec::<(u64, String)>::new());
            for turn in turns.into_iter().chain([Turn::Opens, Turn::Back].into_iter().chain([Turn::Tells; 5])) {
                match turn {
                    Turn::Reading => {
                        count += 1;
                        region.reads(&format!("p-{count}"), "90").await;
                    }
                    Turn::Closes if wish.is_none() => {
                        wish = Some(region.closes(organisation_closed(PROVEBAKKEN)).await);
                    }
                    Turn::Opens => {
                        if let Some(wish) = wish.take() {
                            region.opens(&wish).await;
                        }
                    }
                    Turn::ClosesTheKind if wish.is_none() => {
                        wish = Some(region.closes(readings_closed()).await);
                        let shown = region.get(&region.system(), &format!("{path}/$events")).await;
                        assert!(!shown.to_string().contains("valueInstant"), "{shown}");
                    }
                    Turn::Closes | Turn::ClosesTheKind => {}
                    Turn::Tells => {
                        // Long enough for who failed to be tried again, and too short for seven failures to come of it.
                        region.passes(20).await;
                        let heard: Vec<_> = region.hook.heard().into_iter().flat_map(|(_, events)| events).collect();
                        assert!(wish.is_none() || heard.is_empty(), "{heard:?}");
                        told.extend(heard);
                    }
                    Turn::Away => region.hook.answers(StatusCode::BAD_GATEWAY),
                    Turn::Back => region.hook.answers(StatusCode::OK),
                }
            }
            let (status, counted) = region.stands(&path).await;
            let numbers: Vec<u64> = told.iter().map(|(number, _)| *number).collect();
            let mut named: Vec<_> = told.iter().map(|(_, focus)| focus).collect();
            named.sort();
            named.dedup();
            assert_eq!(named.len(), told.len(), "{told:?}");
            assert!(named.len() <= count && named.iter().all(|focus| !focus.is_empty()));
            assert!(numbers.is_sorted());
            let all: Vec<u64> = region.missed(&path, "").await.iter().map(|(number, _)| *number).collect();
            assert_eq!(all, (1..=counted.parse::<u64>().unwrap()).collect::<Vec<_>>());
            if !by_kind {
                assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
                assert!(status != "active" || counted == numbers.len().to_string());
            }
        });
    }
}
