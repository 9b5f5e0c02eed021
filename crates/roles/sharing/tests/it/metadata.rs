//! The CapabilityStatement says exactly what is there: it is walked, and what it does not say is refused.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};

const WHEN: &str = "2026-11-20T08:00:00+01:00";

/// A value that a parameter of this name and type takes.
fn value(name: &str, kind: &str) -> String {
    match (name, kind) {
        ("patient", _) => "Patient/00000000-0000-4000-8000-000000000009".into(),
        ("patient.identifier" | "subject:identifier" | "identifier", _) => number(ragnhild()),
        ("_id", _) => "00000000-0000-4000-8000-000000000009".into(),
        ("_count", _) => "10".into(),
        ("_sort", _) => "date".into(),
        ("active" | "deceased" | "actual", _) => "true".into(),
        (_, "date") => "ge2026-01-01".into(),
        (_, "quantity" | "number") => "1".into(),
        (_, "composite") => "x$2026".into(),
        _ => "x".into(),
    }
}

fn body(resource_type: &str) -> Value {
    let subject =
        json!({ "identifier": { "system": fhir::systems::FNR, "value": ragnhild().number } });
    let text = json!({ "text": "x" });
    let mut body = match resource_type {
        "Observation" => reading(ragnhild(), "r-1", WHEN, "91"),
        "Patient" => json!({ "identifier": [subject["identifier"]] }),
        "CarePlan" => json!({ "status": "active", "intent": "plan", "subject": subject }),
        "MedicationStatement" => {
            json!({ "status": "active", "subject": subject, "medicationCodeableConcept": text })
        }
        "Medication" => json!({ "code": text }),
        "MedicationRequest" => {
            json!({ "status": "active", "intent": "order", "subject": subject, "medicationCodeableConcept": text })
        }
        "MedicationDispense" => {
            json!({ "status": "completed", "subject": subject, "medicationCodeableConcept": text })
        }
        "Immunization" => {
            json!({ "status": "completed", "vaccineCode": text, "patient": subject, "occurrenceDateTime": WHEN })
        }
        "Media" => {
            json!({ "status": "completed", "subject": subject, "content": { "contentType": "image/png" } })
        }
        "Device" => json!({ "patient": subject }),
        "Goal" => json!({ "lifecycleStatus": "active", "description": text, "subject": subject }),
        "Condition" => json!({ "subject": subject, "code": text }),
        "Composition" => {
            json!({ "status": "final", "type": text, "subject": subject, "date": WHEN, "author": [{ "display": "x" }], "title": "x" })
        }
        "DocumentReference" => {
            json!({ "status": "current", "subject": subject, "content": [{ "attachment": { "contentType": "text/plain" } }] })
        }
        "Binary" => json!({ "contentType": "text/plain", "data": "eA==" }),
        "Communication" | "Procedure" => json!({ "status": "completed", "subject": subject }),
        "Appointment" => {
            json!({ "status": "proposed", "participant": [{ "actor": subject, "status": "accepted" }] })
        }
        "RelatedPerson" => json!({ "patient": subject }),
        "Person" => json!({ "link": [{ "target": subject }] }),
        "QuestionnaireResponse" => json!({ "status": "completed", "subject": subject }),
        "DetectedIssue" => json!({ "status": "final", "patient": subject }),
        "Encounter" => {
            json!({ "status": "finished", "class": { "system": "urn:x", "code": "x" }, "subject": subject })
        }
        "EpisodeOfCare" => json!({ "status": "active", "patient": subject }),
        "DeviceUseStatement" => {
            json!({ "status": "active", "subject": subject, "device": { "display": "x" } })
        }
        "DeviceRequest" => {
            json!({ "intent": "order", "codeCodeableConcept": text, "subject": subject })
        }
        other => panic!("{other} is new in the statement: give it a body here"),
    };
    body["resourceType"] = resource_type.into();
    body
}

#[tokio::test]
async fn the_statement_is_open_to_all_and_stable() {
    let service = Service::fjellvik().await;
    let reply = service.door.get("/metadata").send().await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (StatusCode::OK, "application/fhir+json;charset=utf-8")
    );
    let shown = serde_json::to_string_pretty(&reply.json)
        .unwrap()
        .replace(service.issuer.url(), "http://issuer.test");
    insta::assert_snapshot!(shown);
}

/// Every include that a row claims is answered, and those of all other rows are refused.
async fn comes_along(
    service: &Service,
    who: &testkit::door::Held,
    resources: &[Value],
    row: &Value,
) {
    let name = row["type"].as_str().unwrap();
    for (member, parameter) in [
        ("searchInclude", "_include"),
        ("searchRevInclude", "_revinclude"),
    ] {
        let texts = |row: &Value| -> Vec<String> {
            let all = row[member].as_array();
            let all = all.into_iter().flatten();
            all.map(|one| one.as_str().unwrap().to_owned()).collect()
        };
        let claimed = texts(row);
        // Of what other types claim, a few that this one does not.
        let others = resources.iter().flat_map(&texts);
        let foreign = others
            .filter(|include| *include != "*" && !claimed.contains(include))
            .step_by(40);
        let unclaimed = ["Foo:subject", "Observation:code", "Patient:foo"].map(str::to_owned);
        for include in claimed.iter().cloned().chain(foreign).chain(unclaimed) {
            let mut form = vec![(parameter, include.as_str())];
            let patient = value("patient.identifier", "");
            if name == "AuditEvent" {
                form.push(("patient.identifier", &patient));
            }
            let reply = service.search(who, name, &form).await;
            let expected = if claimed.contains(&include) {
                StatusCode::OK
            } else {
                StatusCode::BAD_REQUEST
            };
            assert_eq!(
                reply.status, expected,
                "{name}?{parameter}={include}: {}",
                reply.json
            );
        }
    }
}

#[tokio::test]
async fn what_is_claimed_works_and_what_is_not_is_refused() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let statement = service.door.get("/metadata").send().await.json;
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    assert!(resources.len() >= 5);
    let parameters = |row: &Value| -> Vec<(String, String)> {
        let all = row["searchParam"].as_array().unwrap();
        let text = |p: &Value, member: &str| p[member].as_str().unwrap().to_owned();
        all.iter()
            .map(|p| (text(p, "name"), text(p, "type")))
            .collect()
    };
    let counted: usize = resources.iter().map(|row| parameters(row).len()).sum();
    assert!(resources.len() > 20 && counted > 200, "{counted}");
    // Of other types, a few that this one may not have.
    let foreign = [
        "based-on",
        "vaccine-code",
        "onset-date",
        "birthdate",
        "value-quantity",
        "effective",
        "url",
        "clinical-status",
        "_has:Observation:foo:code",
        "_text",
        "_content",
        "_filter",
        "near",
        "foo",
    ];
    for row in resources {
        let name = row["type"].as_str().unwrap();
        // The patient's alone: every claim about it is exercised in `wishes.rs`.
        if name == "Consent" {
            continue;
        }
        let interactions: Vec<&str> = row["interaction"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["code"].as_str().unwrap())
            .collect();
        let claimed = parameters(row);
        let unclaimed = foreign
            .iter()
            .filter(|name| !claimed.iter().any(|(claimed, _)| claimed == *name))
            .map(|name| ((*name).to_owned(), String::new()));
        let unclaimed: Vec<_> = unclaimed.collect();
        for (parameter, kind) in claimed.iter().chain(&unclaimed) {
            let mut form = vec![(parameter.as_str(), value(parameter, kind))];
            // The trail is read for one patient.
            if name == "AuditEvent" && !parameter.starts_with("patient") {
                form.push(("patient.identifier", value("patient.identifier", "")));
            }
            let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let reply = service.search(&owner, name, &form).await;
            let expected = if kind.is_empty() {
                StatusCode::BAD_REQUEST
            } else {
                StatusCode::OK
            };
            assert_eq!(reply.status, expected, "{name}?{parameter}: {}", reply.json);
            // By GET the same, but for what may carry a person's number.
            let carries = |(name, _): &(&str, &str)| fhir::search::may_carry_a_person(name);
            let query = form.iter().copied();
            let path = format!("/{name}?{}", wire::form::write(query));
            let expected = if form.iter().any(carries) {
                StatusCode::BAD_REQUEST
            } else {
                expected
            };
            let reply = service.get(&owner, &path).await;
            assert_eq!(reply.status, expected, "GET {path}: {}", reply.json);
        }
        comes_along(&service, &owner, resources, row).await;
        let has = |name: &str| claimed.iter().any(|(claimed, _)| claimed == name);
        if has("patient.identifier") {
            let form = [
                ("patient.identifier", value("identifier", "")),
                ("_count", "10".into()),
            ];
            let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let reply = service.search(&owner, name, &form).await;
            assert_eq!(reply.status, StatusCode::OK, "{name}");
        }
        if name == "AuditEvent" {
            assert_eq!(interactions, ["search-type"]);
            assert_eq!(
                service.get(&owner, "/AuditEvent/1").await.status,
                StatusCode::NOT_FOUND
            );
            continue;
        }
        assert_eq!(
            interactions,
            [
                "read",
                "vread",
                "update",
                "patch",
                "delete",
                "history-instance",
                "history-type",
                "create",
                "search-type"
            ]
        );
        let created = service.post(&owner, &format!("/{name}"), &body(name)).await;
        assert!(created.status.is_success(), "{name}: {}", created.json);
        let id = created.json["id"].as_str().unwrap();
        let path = format!("/{name}/{id}");
        assert_eq!(
            service.get(&owner, &path).await.status,
            StatusCode::OK,
            "{path}"
        );
        for past in [
            format!("{path}/_history"),
            format!("{path}/_history/1"),
            format!("/{name}/_history"),
        ] {
            let reply = service.get(&owner, &past).await;
            assert_eq!(reply.status, StatusCode::OK, "{past}");
        }
        let mut changed = body(name);
        changed["id"] = id.into();
        changed["language"] = "nb".into();
        let updated = service
            .put(&owner, &path, Some(created.header("etag")), &changed)
            .await;
        assert_eq!(updated.status, StatusCode::OK, "{name}: {}", updated.json);
        let patched = service
            .door
            .knock(http::Method::PATCH, &path)
            .header("content-type", "application/json-patch+json")
            .header("if-match", updated.header("etag"))
            .body(r#"[{"op":"replace","path":"/language","value":"nn"}]"#)
            .by(&owner, NOW)
            .send()
            .await;
        assert_eq!(patched.status, StatusCode::OK, "{name}: {}", patched.json);
        let updated = patched;
        assert_eq!(
            found(&service.search(&owner, name, &[("_id", id)]).await),
            [id]
        );
        assert_eq!(
            service
                .delete(&owner, &path, Some(updated.header("etag")))
                .await
                .status,
            StatusCode::NO_CONTENT,
            "{name}"
        );
    }
    let system: Vec<&str> = statement["rest"][0]["interaction"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["code"].as_str().unwrap())
        .collect();
    assert_eq!(system, ["batch", "transaction", "search-system"]);
    for unclaimed in ["Practitioner", "Organization", "Specimen", "Foo"] {
        assert_eq!(
            service.search(&owner, unclaimed, &[]).await.status,
            StatusCode::NOT_FOUND,
            "{unclaimed}"
        );
        assert_eq!(
            service
                .post(
                    &owner,
                    &format!("/{unclaimed}"),
                    &json!({ "resourceType": unclaimed })
                )
                .await
                .status,
            StatusCode::NOT_FOUND
        );
    }
}
