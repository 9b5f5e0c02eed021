//! Bundles: each entry alone, answered in order.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use trust::Interaction;
use trust::audit::Outcome;

const WHEN: &str = "2026-11-20T08:00:00+01:00";
const EXTENSION: &str = fhir::systems::PMD_ENTRY_ID;

/// A whole AuditEvent: nobody writes the trail, by a bundle either.
fn event() -> Value {
    json!({
        "resourceType": "AuditEvent", "recorded": "2026-11-20T08:00:00Z",
        "type": { "system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110110" },
        "agent": [{ "requestor": true }], "source": { "observer": { "display": "x" } },
    })
}

fn statuses(reply: &testkit::clients::Reply) -> Vec<&str> {
    assert_eq!(
        (reply.status, &reply.json["type"]),
        (StatusCode::OK, &json!("batch-response")),
        "{}",
        reply.json
    );
    reply.json["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["response"]["status"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn one_bad_entry_costs_only_itself() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    for kind in ["batch", "collection"] {
        let mut bad = reading(ragnhild(), &format!("{kind}-2"), WHEN, "92");
        bad["valueQuantity"]["value"] = "92".into();
        let sent = bundle(
            kind,
            &[
                reading(ragnhild(), &format!("{kind}-1"), WHEN, "91"),
                bad,
                reading(arne(), &format!("{kind}-3"), WHEN, "93"),
            ],
        );
        let before = service.audit().await.len();
        let reply = service.post(&owner, "/", &sent).await;
        assert_eq!(
            statuses(&reply),
            ["201 Created", "422 Unprocessable Entity", "201 Created"]
        );
        for (answer, entry) in reply.json["entry"]
            .as_array()
            .unwrap()
            .iter()
            .zip(sent["entry"].as_array().unwrap())
        {
            assert_eq!(answer["fullUrl"], entry["fullUrl"]);
            assert_eq!(
                answer["response"]["extension"],
                json!([{ "url": EXTENSION, "valueUri": entry["fullUrl"] }])
            );
        }
        let answers = reply.json["entry"].as_array().unwrap();
        assert_eq!(
            issues(&answers[1]["response"]["outcome"]),
            ["structure @ Bundle.entry[1].resource.valueQuantity.value"]
        );
        let location = answers[0]["response"]["location"].as_str().unwrap();
        assert_eq!(
            service
                .get(
                    &owner,
                    &format!("/{}", location.strip_suffix("/_history/1").unwrap())
                )
                .await
                .status,
            StatusCode::OK
        );
        assert_eq!(answers[0]["response"]["etag"], "W/\"1\"");
        // The bundle's record and one for each entry, the refused one too (and the read above).
        let records = service.audit().await;
        let of_entries: Vec<_> = records[1..records.len() - before]
            .iter()
            .filter(|e| e.record.interaction == Interaction::Create)
            .collect();
        assert_eq!(of_entries.len(), 3);
        assert_eq!(
            of_entries
                .iter()
                .filter(|e| matches!(e.record.outcome, Outcome::Failed { .. }))
                .count(),
            1
        );
        assert!(
            of_entries
                .iter()
                .all(|e| e.record.request_id == reply.header("x-request-id"))
        );
        let again = service.post(&owner, "/", &sent).await;
        assert_eq!(
            statuses(&again),
            ["200 OK", "422 Unprocessable Entity", "200 OK"]
        );
        assert_eq!(again.json["entry"][0]["response"]["location"], location);
    }
    assert_eq!(
        found(&service.search(&owner, "Observation", &[]).await).len(),
        4
    );
}

#[tokio::test]
async fn entries_without_full_url_or_resource_and_with_strange_requests_get_their_answer() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let request = |method: &str, url: &str| json!({ "method": method, "url": url });
    let body = |n: u32| reading(ragnhild(), &format!("r-{n}"), WHEN, "91");
    let conditional = json!({ "method": "POST", "url": "Observation", "ifMatch": "W/\"1\"" });
    let entries = [
        (json!({ "resource": body(0) }), "201 Created", ""),
        (
            json!({ "resource": body(1), "request": request("POST", "Observation") }),
            "201 Created",
            "",
        ),
        (
            json!({ "fullUrl": "urn:x" }),
            "422 Unprocessable Entity",
            "required @ Bundle.entry[2].resource",
        ),
        (
            json!(7),
            "422 Unprocessable Entity",
            "required @ Bundle.entry[3].resource",
        ),
        (
            json!({ "resource": body(4), "request": request("PUT", "Observation/1") }),
            "422 Unprocessable Entity",
            "not-found @ Bundle.entry[4].request.url",
        ),
        (
            json!({ "request": request("HEAD", "Observation") }),
            "422 Unprocessable Entity",
            "not-supported @ Bundle.entry[5].request.method",
        ),
        (
            json!({ "resource": body(6), "request": request("POST", "CarePlan") }),
            "422 Unprocessable Entity",
            "invalid @ Bundle.entry[6].request.url",
        ),
        (
            json!({ "resource": body(7), "request": conditional }),
            "422 Unprocessable Entity",
            "not-supported @ Bundle.entry[7].request.ifMatch",
        ),
        (
            json!({ "resource": { "resourceType": "Foo" } }),
            "422 Unprocessable Entity",
            "Bundle.entry[8].resource",
        ),
        (
            json!({ "resource": {} }),
            "422 Unprocessable Entity",
            "Bundle.entry[9].resource.resourceType",
        ),
        (
            json!({ "resource": { "resourceType": "Organization", "name": "x" } }),
            "422 Unprocessable Entity",
            "not-supported @ Bundle.entry[10].resource",
        ),
        (
            json!({ "resource": event() }),
            "422 Unprocessable Entity",
            "not-supported @ Bundle.entry[11].resource",
        ),
    ];
    let sent = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries.iter().map(|e| e.0.clone()).collect::<Vec<_>>() });
    let reply = service.post(&owner, "/", &sent).await;
    let answers = statuses(&reply);
    assert_eq!(answers.len(), entries.len());
    for (n, (_, status, issue)) in entries.iter().enumerate() {
        assert_eq!(answers[n], *status, "{n}: {}", reply.json["entry"][n]);
        let answer = &reply.json["entry"][n];
        if !issue.is_empty() {
            assert!(
                issues(&answer["response"]["outcome"])[0].ends_with(issue),
                "{n}: {answer}"
            );
        }
        assert_eq!(
            answer.get("fullUrl").and_then(Value::as_str),
            (n == 2).then_some("urn:x")
        );
    }
    assert_eq!(
        found(&service.search(&owner, "Observation", &[]).await).len(),
        2
    );
    // Both readings are one patient's: one record tells of them.
    let whose = number(ragnhild());
    let form = [("patient.identifier", whose.as_str())];
    let events = service.search(&owner, "AuditEvent", &form).await;
    assert_eq!(found(&events).len(), 1);
}

#[tokio::test]
async fn the_same_reading_twice_in_one_bundle_is_one() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let body = reading(ragnhild(), "r-1", WHEN, "91");
    let other = reading(ragnhild(), "r-1", WHEN, "19");
    let reply = service
        .post(&owner, "/", &bundle("batch", &[body.clone(), body, other]))
        .await;
    assert_eq!(
        statuses(&reply),
        ["201 Created", "200 OK", "422 Unprocessable Entity"]
    );
    assert_eq!(
        reply.json["entry"][0]["response"]["location"],
        reply.json["entry"][1]["response"]["location"]
    );
    assert_eq!(
        reply.json["entry"][2]["response"]["outcome"]["issue"][0]["expression"][0],
        "Bundle.entry[2].resource"
    );
    let conflict = service
        .audit()
        .await
        .into_iter()
        .find(|e| e.record.asked == "Bundle.entry[2]")
        .unwrap();
    assert_eq!(conflict.record.patient, Some(identifier(ragnhild())));
}

#[tokio::test]
async fn other_bundles_are_refused_in_words() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let one = |kind: &str| bundle(kind, &[reading(ragnhild(), "r-1", WHEN, "91")]);
    let crowd: Vec<Value> = (0..501)
        .map(|_| json!({ "resourceType": "Observation" }))
        .collect();
    for (body, status, issue) in [
        (one("document"), 400, "not-supported @ Bundle.type"),
        (one("searchset"), 400, "not-supported @ Bundle.type"),
        (one("bunch"), 400, "code-invalid @ Bundle.type"),
        (
            json!({ "resourceType": "Bundle" }),
            400,
            "required @ Bundle.type",
        ),
        (
            json!({ "resourceType": "Observation" }),
            400,
            "structure @ resourceType",
        ),
        (json!({}), 400, "structure @ resourceType"),
        (
            json!({ "resourceType": "Bundle", "type": "batch" }),
            400,
            "required @ Bundle.entry",
        ),
        (
            json!({ "resourceType": "Bundle", "type": "batch", "entry": [] }),
            400,
            "required @ Bundle.entry",
        ),
        (
            json!({ "resourceType": "Bundle", "type": "batch", "entry": { "resource": {} } }),
            400,
            "structure @ Bundle.entry",
        ),
        (bundle("batch", &crowd), 400, "too-long @ Bundle.entry"),
    ] {
        let reply = service.post(&owner, "/", &body).await;
        assert_eq!(reply.status.as_u16(), status, "{issue}: {}", reply.json);
        assert_eq!(issues(&reply.json), [issue]);
        assert!(
            !reply.json["issue"][0]["diagnostics"]
                .as_str()
                .unwrap()
                .is_empty()
        );
        assert!(matches!(
            service.last_record().await.outcome,
            Outcome::Failed { .. }
        ));
    }
    let large = service
        .door
        .post("/", vec![b' '; (10 << 20) + 1])
        .by(&owner, NOW)
        .send()
        .await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(found(&service.search(&owner, "Observation", &[]).await).is_empty());
}

#[tokio::test]
async fn whatever_is_taken_alone_is_taken_in_a_bundle_and_nothing_larger() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut long = reading(ragnhild(), "long", WHEN, "91");
    long["note"] = json!([{ "text": "x".repeat(2 << 20) }]);
    let mut deep = reading(ragnhild(), "deep", WHEN, "91");
    // Each extension in an extension is two levels: object and list.
    let mut extension = json!({ "url": "urn:example:x", "valueString": "x" });
    for _ in 0..30 {
        extension = json!({ "url": "urn:example:x", "extension": [extension] });
    }
    deep["extension"] = json!([extension]);
    let alone = service.post(&owner, "/Observation", &deep).await;
    let reply = service
        .post(&owner, "/", &bundle("batch", &[long, deep]))
        .await;
    assert_eq!(alone.status, StatusCode::CREATED, "{}", alone.json);
    assert_eq!(statuses(&reply), ["413 Payload Too Large", "200 OK"]);
    let searched = service
        .search(&service.physician(ragnhild()), "Observation", &[])
        .await;
    assert!(
        fhir::json::Json::parse(searched.body, fhir::json::Limits::BUNDLE).is_ok(),
        "a gateway can read what is given out"
    );
}

#[tokio::test]
async fn a_bundle_that_says_it_is_anothers_is_taken_in_no_part() {
    let service = Service::fjellvik().await;
    let hub = service.hub(FJELLVIK);
    for (named, status) in [
        (FJELLVIK, "201 Created"),
        ("310001902", "200 OK"),
        (PROVEHEIM, "422 Unprocessable Entity"),
        ("12", "422 Unprocessable Entity"),
    ] {
        let mut sent = bundle("batch", &[reading(ragnhild(), "r-1", WHEN, "91")]);
        sent["meta"] = json!({ "tag": [{ "system": fhir::systems::ORGNR, "code": named }] });
        assert_eq!(
            statuses(&service.post(&hub, "/", &sent).await),
            [status],
            "{named}"
        );
    }
}

#[tokio::test]
async fn a_batch_corrects_and_withdraws_each_entry_alone() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let a = service.created(&reading(ragnhild(), "a", WHEN, "91")).await;
    let b = service.created(&reading(arne(), "b", WHEN, "95")).await;
    let put = |if_match: Option<&str>, value: &str| {
        let mut body = reading(ragnhild(), "a", WHEN, value);
        body["id"] = a.clone().into();
        let mut entry = json!({ "resource": body, "request": { "method": "PUT", "url": format!("Observation/{a}") } });
        if let Some(version) = if_match {
            entry["request"]["ifMatch"] = version.into();
        }
        entry
    };
    let delete = json!({ "request": { "method": "DELETE", "url": format!("Observation/{b}") } });
    let sent = json!({ "resourceType": "Bundle", "type": "batch", "entry": [
        put(Some("W/\"1\""), "92"), put(Some("W/\"1\""), "93"), put(None, "94"), delete, delete,
        { "request": { "method": "DELETE", "url": "Observation?code=8867-4" } },
        { "resource": reading(ragnhild(), "c", WHEN, "96"), "request": { "method": "POST", "url": "Observation" } },
    ] });
    let reply = service.post(&owner, "/", &sent).await;
    let told: Vec<&str> = statuses(&reply).iter().map(|status| &status[..3]).collect();
    assert_eq!(
        told,
        ["200", "412", "428", "204", "204", "404", "201"],
        "{}",
        reply.json
    );
    assert_eq!(reply.json["entry"][0]["response"]["etag"], "W/\"2\"");
    let refused = &reply.json["entry"][2]["response"]["outcome"];
    assert_eq!(
        issues(refused),
        ["required @ Bundle.entry[2].request.ifMatch"]
    );
    let records = service.audit().await;
    for (interaction, count) in [(Interaction::Update, 3), (Interaction::Withdraw, 3)] {
        let of_it = records
            .iter()
            .filter(|e| e.record.interaction == interaction);
        assert_eq!(of_it.count(), count);
    }
    assert!(
        records
            .iter()
            .any(|e| e.record.interaction == Interaction::Withdraw
                && e.record.outcome == Outcome::Allowed
                && e.record.patient == Some(identifier(arne())))
    );
    // Each entry is asked on its own: the hub may create, and neither correct nor withdraw.
    let hub = service.post(&service.hub(FJELLVIK), "/", &sent).await;
    let told: Vec<&str> = statuses(&hub).iter().map(|status| &status[..3]).collect();
    assert_eq!(told, ["403", "403", "403", "403", "403", "403", "200"]);
}
