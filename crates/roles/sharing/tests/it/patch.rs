//! JSON Patch: the result is checked as an update is, and what is not named keeps every digit. And what a writer wants back.

use crate::house::*;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use trust::Interaction;
use trust::audit::Outcome;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

async fn patch(
    service: &Service,
    who: &Held,
    path: &str,
    if_match: Option<&str>,
    operations: &str,
) -> Reply {
    let knock = service
        .door
        .knock(Method::PATCH, path)
        .header("content-type", "application/json-patch+json")
        .body(operations.to_owned());
    let knock = match if_match {
        Some(version) => knock.header("if-match", version),
        None => knock,
    };
    knock.by(who, service.clock.now()).send().await
}

const AMEND: &str = r#"[{"op":"test","path":"/valueQuantity/value","value":91.0},{"op":"replace","path":"/valueQuantity/value","value":92.10},{"op":"replace","path":"/status","value":"amended"},{"op":"add","path":"/note","value":[{"text":"x"}]}]"#;

#[tokio::test]
async fn what_is_named_changes_and_the_rest_keeps_every_digit() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let sent = reading(ragnhild(), "r-1", WHEN, "91")
        .to_string()
        .replace("\"value\":91,", "\"value\": 91.00 ,");
    let created = service
        .door
        .post("/Observation", sent)
        .by(&owner, NOW)
        .send()
        .await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.json);
    let id = created.json["id"].as_str().unwrap();
    let path = format!("/Observation/{id}");
    let before = String::from_utf8(created.body.to_vec()).unwrap();
    assert!(before.contains("\"value\": 91.00 ,"), "{before}");
    let untouched = r#"[{"op":"add","path":"/language","value":"nb"},{"op":"replace","path":"/status","value":"corrected"}]"#;
    let reply = patch(&service, &owner, &path, Some("W/\"1\""), untouched).await;
    assert_eq!(
        (reply.status, reply.header("etag")),
        (StatusCode::OK, "W/\"2\""),
        "{}",
        reply.json
    );
    let after = String::from_utf8(reply.body.to_vec()).unwrap();
    // Each change has a time of its own, though the clock stands still.
    let updated = |text: &str| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        json["meta"]["lastUpdated"].as_str().unwrap().to_owned()
    };
    assert!(updated(&before) != updated(&after));
    let rest = |text: &str| {
        text.replace(&updated(&after), &updated(&before))
            .replace("\"versionId\":\"2\"", "\"versionId\":\"1\"")
            .replace("\"status\":\"corrected\"", "\"status\":\"final\"")
            .replace(",\"language\":\"nb\"", "")
    };
    assert_eq!(rest(&after), before);
    let record = service.last_record().await;
    assert_eq!(
        (
            record.interaction,
            record.outcome,
            record.patient,
            record.disclosed[0].version
        ),
        (
            Interaction::Update,
            Outcome::Allowed,
            Some(identifier(ragnhild())),
            2
        )
    );
    let amended = patch(&service, &owner, &path, Some("W/\"2\""), AMEND).await;
    assert_eq!(amended.status, StatusCode::OK, "{}", amended.json);
    assert!(String::from_utf8_lossy(&amended.body).contains("\"value\": 92.10 ,"));
}

#[tokio::test]
async fn a_patch_that_does_not_fit_changes_nothing() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let path = format!("/Observation/{id}");
    let match1 = Some("W/\"1\"");
    for (if_match, operations, status, issue) in [
        (None, AMEND, 428, "required @ -"),
        (Some("W/\"2\""), AMEND, 412, "conflict @ -"),
        (Some("1"), AMEND, 400, "value @ If-Match"),
        (match1, "{}", 400, "structure @ Observation"),
        (match1, "[", 400, "structure @ -"),
        (
            match1,
            r#"[{"op":"remove"}]"#,
            400,
            "structure @ Observation",
        ),
        (
            match1,
            r#"[{"op":"unite","path":"/status"}]"#,
            400,
            "structure @ /status",
        ),
        (
            match1,
            r#"[{"op":"remove","path":"/note"}]"#,
            422,
            "processing @ /note",
        ),
        (
            match1,
            r#"[{"op":"test","path":"/status","value":"amended"}]"#,
            422,
            "processing @ /status",
        ),
        (
            match1,
            r#"[{"op":"remove","path":"/status"}]"#,
            422,
            "required @ Observation.status",
        ),
        (
            match1,
            r#"[{"op":"add","path":"/colour","value":"red"}]"#,
            422,
            "structure @ Observation.colour",
        ),
        (
            match1,
            r#"[{"op":"replace","path":"/id","value":"x"}]"#,
            400,
            "invalid @ Observation.id",
        ),
        (
            match1,
            r#"[{"op":"replace","path":"","value":7}]"#,
            422,
            "structure @ -",
        ),
    ] {
        let reply = patch(&service, &owner, &path, if_match, operations).await;
        assert_eq!(
            reply.status.as_u16(),
            status,
            "{operations}: {}",
            reply.json
        );
        let told = issues(&reply.json);
        assert!(
            told.iter().any(|one| one == issue) || issue == "structure @ -",
            "{operations}: {told:?}"
        );
        assert!(matches!(
            service.last_record().await.outcome,
            Outcome::Failed { .. }
        ));
    }
    let other_patient = format!(
        r#"[{{"op":"replace","path":"/subject/identifier/value","value":"{}"}}]"#,
        arne().number
    );
    let moved = patch(&service, &owner, &path, match1, &other_patient).await;
    assert!(moved.status.is_client_error(), "{}", moved.json);
    let plain = service
        .door
        .knock(Method::PATCH, &path)
        .header("content-type", "application/fhir+json")
        .header("if-match", "W/\"1\"")
        .body(AMEND)
        .by(&owner, NOW)
        .send()
        .await;
    assert_eq!(plain.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let reply = service.get(&owner, &path).await;
    assert_eq!(
        (reply.header("etag"), &reply.json["valueQuantity"]["value"]),
        ("W/\"1\"", &json!(91))
    );
}

#[tokio::test]
async fn nobody_patches_what_they_may_not_write_or_see() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let unknown = "/Observation/00000000-0000-4000-8000-000000000001";
    for who in [
        service.physician(ragnhild()),
        service.citizen(ragnhild()),
        service.hub(FJELLVIK),
    ] {
        let there = patch(
            &service,
            &who,
            &format!("/Observation/{id}"),
            Some("W/\"1\""),
            AMEND,
        )
        .await;
        let not = patch(&service, &who, unknown, Some("W/\"1\""), AMEND).await;
        assert_eq!(
            (there.status, there.visible()),
            (StatusCode::FORBIDDEN, not.visible())
        );
    }
    for path in [unknown.to_owned(), format!("/CarePlan/{id}")] {
        assert_eq!(
            patch(&service, &owner, &path, Some("W/\"1\""), AMEND)
                .await
                .status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn of_many_writers_with_one_version_one_wins() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let path = format!("/Observation/{id}");
    let operations: Vec<String> = (0..16)
        .map(|n| format!(r#"[{{"op":"replace","path":"/valueQuantity/value","value":{n}}},{{"op":"replace","path":"/status","value":"amended"}}]"#))
        .collect();
    let mut writers = tokio::task::JoinSet::new();
    for operations in operations {
        let knock = service.door.clone();
        let (owner, path) = (owner.clone(), path.clone());
        writers.spawn(async move {
            let reply = knock
                .knock(Method::PATCH, &path)
                .header("content-type", "application/json-patch+json")
                .header("if-match", "W/\"1\"")
                .body(operations)
                .by(&owner, NOW)
                .send()
                .await;
            (reply.status, reply.json["valueQuantity"]["value"].clone())
        });
    }
    let mut won: Vec<Value> = Vec::new();
    while let Some(done) = writers.join_next().await {
        match done.unwrap() {
            (StatusCode::OK, value) => won.push(value),
            (status, _) => assert_eq!(status, StatusCode::PRECONDITION_FAILED),
        }
    }
    let now = service.get(&owner, &path).await;
    assert_eq!(
        (won, now.header("etag")),
        (vec![now.json["valueQuantity"]["value"].clone()], "W/\"2\"")
    );
}

#[tokio::test]
async fn a_writer_gets_back_what_it_prefers() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    for (n, (prefer, expected)) in [
        ("return=representation", "Observation"),
        ("return=minimal", ""),
        ("return=OperationOutcome", "OperationOutcome"),
        ("respond-async, return=minimal", ""),
        ("return=everything", "Observation"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = reading(ragnhild(), &format!("r-{n}"), WHEN, "91");
        let created = service
            .door
            .post("/Observation", body.to_string())
            .header("prefer", prefer)
            .by(&owner, NOW)
            .send()
            .await;
        let location = created.header("location").to_owned();
        let path = location.strip_suffix("/_history/1").unwrap();
        let mut changed = body.clone();
        changed["id"] = path.rsplit('/').next().unwrap().into();
        changed["status"] = "amended".into();
        let updated = service
            .door
            .put(path, changed.to_string())
            .header("prefer", prefer)
            .header("if-match", "W/\"1\"")
            .by(&owner, NOW)
            .send()
            .await;
        let patched = service
            .door
            .knock(Method::PATCH, path)
            .header("content-type", "application/json-patch+json")
            .header("prefer", prefer)
            .header("if-match", "W/\"2\"")
            .body(r#"[{"op":"add","path":"/language","value":"nb"}]"#)
            .by(&owner, NOW)
            .send()
            .await;
        for (reply, status, etag) in [
            (&created, 201, "W/\"1\""),
            (&updated, 200, "W/\"2\""),
            (&patched, 200, "W/\"3\""),
        ] {
            let kind = reply.json["resourceType"].as_str().unwrap_or_default();
            assert_eq!(
                (reply.status.as_u16(), reply.header("etag"), kind),
                (status, etag, expected),
                "{prefer}"
            );
        }
        let gone = service
            .door
            .knock(Method::DELETE, path)
            .header("prefer", prefer)
            .by(&owner, NOW)
            .send()
            .await;
        let wants = prefer == "return=OperationOutcome";
        assert_eq!(
            gone.status,
            if wants {
                StatusCode::OK
            } else {
                StatusCode::NO_CONTENT
            }
        );
        assert_eq!(gone.json["resourceType"] == "OperationOutcome", wants);
    }
}

#[tokio::test]
async fn who_never_reads_here_learns_nothing_by_a_patch() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let hub = service.held(|jkt| {
        let mut claims = service.system_claims(
            trust::ClientUse::Service,
            NORDDRIFT,
            "system/Observation.cruds",
            jkt,
        );
        claims.delegation = Some(trust::caller::Delegation {
            id: "d-1".into(),
            version: 1,
            from: org(FJELLVIK),
        });
        claims
    });
    let path = format!("/Observation/{id}");
    assert_eq!(service.get(&hub, &path).await.status, StatusCode::FORBIDDEN);
    for operations in [
        "[]",
        r#"[{"op":"test","path":"/status","value":"final"}]"#,
        r#"[{"op":"test","path":"/status","value":"amended"}]"#,
    ] {
        let reply = patch(&service, &hub, &path, Some("W/\"1\""), operations).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
    }
}

#[tokio::test]
async fn a_patch_by_condition_changes_one_and_never_more() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let earlier = "2026-11-19T08:00:00+01:00";
    service
        .created(&reading(ragnhild(), "r-2", earlier, "92"))
        .await;
    let amend = r#"[{"op":"replace","path":"/status","value":"amended"}]"#;
    let one = "/Observation?identifier=urn:example:readings|r-1";
    let version = Some("W/\"1\"");
    for (path, if_match, status) in [
        (one, None, StatusCode::PRECONDITION_REQUIRED),
        (one, Some("W/\"2\""), StatusCode::PRECONDITION_FAILED),
        (
            "/Observation?code=59408-5",
            version,
            StatusCode::PRECONDITION_FAILED,
        ),
        (
            "/Observation?identifier=urn:x|none",
            version,
            StatusCode::NOT_FOUND,
        ),
        ("/Observation", version, StatusCode::BAD_REQUEST),
        ("/Observation?_count=1", version, StatusCode::BAD_REQUEST),
        ("/Observation?codes=x", version, StatusCode::BAD_REQUEST),
    ] {
        let reply = patch(&service, &owner, path, if_match, amend).await;
        assert_eq!(reply.status, status, "{path} {}", reply.json);
    }
    let number = format!("/Observation?identifier={}", number(ragnhild()));
    let reply = patch(&service, &owner, &number, version, amend).await;
    assert_eq!(issues(&reply.json), ["security @ identifier"]);
    for who in [service.physician(ragnhild()), service.hub(FJELLVIK)] {
        let reply = patch(&service, &who, one, version, amend).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
    }
    let reply = patch(&service, &owner, one, version, amend).await;
    assert_eq!(
        (reply.status, reply.header("etag")),
        (StatusCode::OK, "W/\"2\""),
        "{}",
        reply.json
    );
    assert_eq!(
        (&reply.json["id"], &reply.json["status"]),
        (&json!(id), &json!("amended"))
    );
    let record = service.last_record().await;
    assert_eq!(
        (record.interaction, record.outcome),
        (Interaction::Update, Outcome::Allowed)
    );
}
