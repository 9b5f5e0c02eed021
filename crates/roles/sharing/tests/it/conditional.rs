//! Conditional create, update and delete: one resource however many ask at once, and nothing done to more than one.

use crate::house::*;
use http::{Method, StatusCode};
use serde_json::Value;
use testkit::clients::Reply;
use testkit::door::Held;
use trust::audit::Outcome;

const WHEN: &str = "2026-11-20T08:00:00+01:00";
const R1: &str = "identifier=urn:example:readings|r-1";

async fn create(service: &Service, who: &Held, condition: &str, body: &Value) -> Reply {
    service
        .door
        .post("/Observation", body.to_string())
        .header("if-none-exist", condition)
        .by(who, service.clock.now())
        .send()
        .await
}

async fn count(service: &Service) -> usize {
    let owner = service.record_system(FJELLVIK);
    found(&service.search(&owner, "Observation", &[]).await).len()
}

#[tokio::test]
async fn what_is_there_is_given_back_and_not_changed() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let first = create(
        &service,
        &owner,
        R1,
        &reading(ragnhild(), "r-1", WHEN, "91"),
    )
    .await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.json);
    // Other content, and even a correction, under the same condition: nothing happens.
    let mut other = reading(ragnhild(), "r-1", WHEN, "19");
    other["status"] = "corrected".into();
    for condition in [
        R1,
        "code=59408-5",
        "?code=59408-5&date=2026-11-20",
        "Observation?code=59408-5",
    ] {
        let again = create(&service, &owner, condition, &other).await;
        assert_eq!(
            (again.status, again.header("etag")),
            (StatusCode::OK, "W/\"1\""),
            "{}",
            again.json
        );
        assert_eq!(
            (&again.json, again.header("location")),
            (&first.json, first.header("location"))
        );
        let record = service.last_record().await;
        assert_eq!(
            (record.outcome, record.disclosed.len()),
            (Outcome::Allowed, 1)
        );
    }
    // The same identifier of another patient is another thing.
    let his = create(&service, &owner, R1, &reading(arne(), "r-1", WHEN, "95")).await;
    assert_eq!(his.status, StatusCode::CREATED);
    let several = create(&service, &owner, "code=59408-5", &other).await;
    assert_eq!(
        (several.status, issues(&several.json)),
        (
            StatusCode::PRECONDITION_FAILED,
            vec!["multiple-matches @ -".to_owned()]
        )
    );
    assert_eq!(count(&service).await, 2);
}

#[tokio::test]
async fn any_number_of_equal_requests_at_once_make_one() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    for condition in [R1, "code=59408-5"] {
        let mut senders = tokio::task::JoinSet::new();
        for n in 0..12 {
            // Another value each: only the condition makes them one.
            let body = reading(ragnhild(), "r-1", WHEN, &format!("9{}", n % 10)).to_string();
            let (door, owner, condition) =
                (service.door.clone(), owner.clone(), condition.to_owned());
            senders.spawn(async move {
                let knock = door
                    .post("/Observation", body)
                    .header("if-none-exist", &condition);
                knock.by(&owner, NOW).send().await.status
            });
        }
        let answers = senders.join_all().await;
        let made = answers
            .iter()
            .filter(|s| **s == StatusCode::CREATED)
            .count();
        assert!(answers.iter().all(|s| s.is_success()), "{answers:?}");
        assert_eq!(
            (made, count(&service).await),
            (usize::from(condition == R1), 1)
        );
    }
}

#[tokio::test]
async fn a_condition_that_is_not_understood_or_not_allowed_does_nothing() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let number = number(ragnhild());
    for (condition, issue) in [
        ("", "required @ If-None-Exist"),
        ("_count=1", "required @ If-None-Exist"),
        (
            "_summary=count&identifier=urn:x|a",
            "not-supported @ If-None-Exist",
        ),
        ("_elements=id", "not-supported @ If-None-Exist"),
        ("identifier=", "value @ identifier"),
        ("identifier:below=x", "not-supported @ identifier:below"),
        (
            "subject:Patient.identifier=x",
            "security @ subject:Patient.identifier",
        ),
        ("codes=x", "not-supported @ codes"),
        ("code=", "value @ code"),
        (
            &format!("patient.identifier={number}"),
            "security @ patient.identifier",
        ),
        (&format!("identifier={number}"), "security @ identifier"),
        (
            &format!("identifier=urn:x|a-{}", ragnhild().number),
            "security @ identifier",
        ),
    ] {
        let reply = create(
            &service,
            &owner,
            condition,
            &reading(ragnhild(), "r-9", WHEN, "91"),
        )
        .await;
        assert_eq!(
            (reply.status, issues(&reply.json)),
            (StatusCode::BAD_REQUEST, vec![issue.to_owned()]),
            "{condition}"
        );
        let record = service.last_record().await;
        assert!(!format!("{record:?}").contains(&ragnhild().number));
    }
    for query in [
        "",
        "?_count=1",
        "?_summary=true",
        "?_summary=count&code=59408-5",
        "?_include=Observation:subject&code=59408-5",
        &format!("?patient.identifier={number}"),
        &format!("?identifier={number}"),
        "?codes=x",
    ] {
        let path = format!("/Observation{query}");
        let deleted = service.delete(&owner, &path, None).await;
        let put = service
            .put(&owner, &path, None, &reading(ragnhild(), "r-9", WHEN, "91"))
            .await;
        assert_eq!(
            (deleted.status, put.status),
            (StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST),
            "{query}"
        );
        assert!(
            !service
                .last_record()
                .await
                .asked
                .contains(&ragnhild().number)
        );
    }
    // Who may write but not search learns nothing by a condition.
    let hub = service.hub(FJELLVIK);
    for condition in [R1, "identifier=urn:example:readings|other"] {
        let reply = create(
            &service,
            &hub,
            condition,
            &reading(ragnhild(), "r-9", WHEN, "91"),
        )
        .await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
    }
    for who in [service.physician(ragnhild()), service.citizen(ragnhild())] {
        let path = format!("/Observation?{R1}");
        assert_eq!(
            service.delete(&who, &path, None).await.status,
            StatusCode::FORBIDDEN
        );
        assert_eq!(
            service
                .put(&who, &path, None, &reading(ragnhild(), "r-1", WHEN, "1"))
                .await
                .status,
            StatusCode::FORBIDDEN
        );
    }
    assert_eq!(
        (
            count(&service).await,
            service
                .get(&owner, &format!("/Observation/{id}"))
                .await
                .header("etag")
        ),
        (1, "W/\"1\"")
    );
}

#[tokio::test]
async fn an_update_by_condition_makes_corrects_or_refuses() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let path = format!("/Observation?{R1}");
    let body = reading(ragnhild(), "r-1", WHEN, "91");
    let made = service.put(&owner, &path, None, &body).await;
    assert_eq!(
        (made.status, made.header("etag")),
        (StatusCode::CREATED, "W/\"1\""),
        "{}",
        made.json
    );
    let again = service.put(&owner, &path, None, &body).await;
    assert_eq!(
        (again.status, again.header("etag")),
        (StatusCode::OK, "W/\"1\"")
    );
    let mut other = reading(ragnhild(), "r-1", WHEN, "92");
    let unseen = service.put(&owner, &path, None, &other).await;
    assert_eq!(
        unseen.status,
        StatusCode::PRECONDITION_REQUIRED,
        "nobody overwrites what they have not seen"
    );
    let stale = service.put(&owner, &path, Some("W/\"7\""), &other).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let seen = service.put(&owner, &path, Some("W/\"1\""), &other).await;
    assert_eq!(
        (seen.status, seen.header("etag")),
        (StatusCode::OK, "W/\"2\""),
        "{}",
        seen.json
    );
    assert_eq!(seen.json["id"], made.json["id"]);
    other["id"] = "00000000-0000-4000-8000-000000000001".into();
    for path in [&path, "/Observation?identifier=urn:example:readings|r-2"] {
        let named = service.put(&owner, path, Some("W/\"2\""), &other).await;
        assert_eq!(
            (named.status, issues(&named.json)),
            (
                StatusCode::BAD_REQUEST,
                vec!["invalid @ Observation.id".to_owned()]
            )
        );
    }
    service.created(&reading(arne(), "a-1", WHEN, "95")).await;
    let several = service
        .put(&owner, "/Observation?code=59408-5", None, &body)
        .await;
    assert_eq!(several.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(count(&service).await, 2);
}

#[tokio::test]
async fn a_delete_by_condition_takes_back_one_and_never_more() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    for (of, key) in [(ragnhild(), "r-1"), (ragnhild(), "r-2"), (arne(), "r-2")] {
        service.created(&reading(of, key, WHEN, "91")).await;
    }
    let delete = async |query: &str| {
        service
            .delete(&owner, &format!("/Observation?{query}"), None)
            .await
            .status
    };
    assert_eq!(
        delete("code=59408-5").await,
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(
        delete("identifier=urn:example:readings|r-2").await,
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(
        delete("identifier=urn:example:readings|r-3").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(count(&service).await, 3);
    assert_eq!(delete(R1).await, StatusCode::NO_CONTENT);
    assert_eq!(
        service.last_record().await.patient,
        Some(identifier(ragnhild()))
    );
    assert_eq!(delete(R1).await, StatusCode::NOT_FOUND);
    assert_eq!(count(&service).await, 2);
}

#[tokio::test]
async fn only_who_is_registered_so_updates_without_if_match() {
    let client = format!("{:?}-{FJELLVIK}", trust::ClientUse::RecordSystem);
    let lenient = Service::with("fjellvik", FJELLVIK, &[], |config| {
        config.if_match_optional = vec![client.clone()];
    })
    .await;
    let other = Service::with("fjellvik", FJELLVIK, &[], |config| {
        config.if_match_optional = vec!["somebody-else".into()];
    })
    .await;
    for (service, status) in [
        (lenient, StatusCode::OK),
        (other, StatusCode::PRECONDITION_REQUIRED),
    ] {
        let owner = service.record_system(FJELLVIK);
        let id = service
            .created(&reading(ragnhild(), "r-1", WHEN, "91"))
            .await;
        let mut body = reading(ragnhild(), "r-1", WHEN, "92");
        body["id"] = id.clone().into();
        let path = format!("/Observation/{id}");
        assert_eq!(service.put(&owner, &path, None, &body).await.status, status);
        let stale = service.put(&owner, &path, Some("W/\"9\""), &body).await;
        assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
        let patched = service
            .door
            .knock(Method::PATCH, &path)
            .header("content-type", "application/json-patch+json")
            .body(r#"[{"op":"replace","path":"/status","value":"amended"}]"#)
            .by(&owner, NOW)
            .send()
            .await;
        assert_eq!(patched.status, status);
        let body = reading(ragnhild(), "r-1", WHEN, "93");
        assert_eq!(
            service
                .put(&owner, &format!("/Observation?{R1}"), None, &body)
                .await
                .status,
            status
        );
    }
}

#[tokio::test]
async fn a_condition_is_any_search_chains_among_it() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let encounter = serde_json::json!({
        "resourceType": "Encounter", "status": "finished",
        "identifier": [{"system": "urn:example:encounters", "value": "e-1"}],
        "class": {"system": "urn:x", "code": "x"},
        "subject": {"identifier": {"system": fhir::systems::FNR, "value": ragnhild().number}},
        "period": {"start": WHEN},
    });
    let at = service.created(&encounter).await;
    let mut body = reading(ragnhild(), "r-1", WHEN, "91");
    body["encounter"] = serde_json::json!({ "reference": format!("Encounter/{at}") });
    let id = service.created(&body).await;
    service
        .created(&reading(
            ragnhild(),
            "r-2",
            "2026-11-19T08:00:00+01:00",
            "92",
        ))
        .await;
    let other = reading(ragnhild(), "r-9", WHEN, "19");
    for condition in [
        "encounter:Encounter.status=finished",
        "encounter:Encounter.status=finished&code=59408-5",
        "identifier=r-1",
        "identifier=urn:example:readings|r-1&code=59408-5",
        "identifier=urn:example:readings|r-0,urn:example:readings|r-1",
        "identifier=urn:example:readings|",
    ] {
        let reply = create(&service, &owner, condition, &other).await;
        let several = condition.ends_with('|');
        let expected = if several {
            StatusCode::PRECONDITION_FAILED
        } else {
            StatusCode::OK
        };
        assert_eq!(reply.status, expected, "{condition}: {}", reply.json);
        assert!(several || reply.json["id"] == id.as_str(), "{condition}");
    }
    // What an encounter is met at decides about the encounter.
    let path = "/Encounter?_has:Observation:encounter:status=final";
    let taken = service.delete(&owner, path, None).await;
    assert_eq!(taken.status, StatusCode::NO_CONTENT, "{}", taken.json);
    // And is not there any more for a chain.
    let path = "/Observation?encounter:Encounter.status=finished";
    let gone = service.delete(&owner, path, None).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(count(&service).await, 2);
}
