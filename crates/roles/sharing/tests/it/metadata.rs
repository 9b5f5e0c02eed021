//! The CapabilityStatement says exactly what is there: it is walked, and what it does not say is refused.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};

const WHEN: &str = "2026-11-20T08:00:00+01:00";

/// A value that a parameter of this name takes.
fn value(name: &str) -> String {
    match name {
        "patient" => "Patient/00000000-0000-4000-8000-000000000009".into(),
        "patient.identifier" | "subject:identifier" | "identifier" => number(ragnhild()),
        "date" | "effective" => "ge2026-01-01".into(),
        "status" => "active".into(),
        "_id" => "00000000-0000-4000-8000-000000000009".into(),
        "_count" => "10".into(),
        "_sort" => "date".into(),
        _ => "x".into(),
    }
}

fn body(resource_type: &str) -> Value {
    let subject =
        json!({ "identifier": { "system": fhir::systems::FNR, "value": ragnhild().number } });
    match resource_type {
        "Observation" => reading(ragnhild(), "r-1", WHEN, "91"),
        "Patient" => json!({ "resourceType": "Patient", "identifier": [subject["identifier"]] }),
        "CarePlan" => {
            json!({ "resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": subject })
        }
        "MedicationStatement" => {
            json!({ "resourceType": "MedicationStatement", "status": "active", "subject": subject, "medicationCodeableConcept": { "text": "x" } })
        }
        other => panic!("{other} is new in the statement: give it a body here"),
    }
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

#[tokio::test]
async fn what_is_claimed_works_and_what_is_not_is_refused() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let statement = service.door.get("/metadata").send().await.json;
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    assert!(resources.len() >= 5);
    let every: Vec<&str> = resources
        .iter()
        .flat_map(|r| r["searchParam"].as_array().unwrap())
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    for row in resources {
        let name = row["type"].as_str().unwrap();
        let interactions: Vec<&str> = row["interaction"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["code"].as_str().unwrap())
            .collect();
        let claimed: Vec<&str> = row["searchParam"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["name"].as_str().unwrap())
            .collect();
        for parameter in every.iter().chain(&[
            "_include",
            "_lastUpdated",
            "_summary",
            "_elements",
            "_total",
        ]) {
            let mut form = vec![(*parameter, value(parameter))];
            // The trail is read for one patient.
            if name == "AuditEvent" && !parameter.starts_with("patient") {
                form.push(("patient.identifier", value("patient.identifier")));
            }
            let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let reply = service.search(&owner, name, &form).await;
            let expected = if claimed.contains(parameter) {
                StatusCode::OK
            } else {
                StatusCode::BAD_REQUEST
            };
            assert_eq!(reply.status, expected, "{name}?{parameter}: {}", reply.json);
        }
        let by_identifier = if name == "Patient" {
            "identifier"
        } else {
            "patient.identifier"
        };
        let form = [
            (by_identifier, value("identifier")),
            ("_count", "10".into()),
        ];
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_eq!(
            service.search(&owner, name, &form).await.status,
            StatusCode::OK,
            "{name}"
        );
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
    assert_eq!(system, ["batch", "transaction"]);
    for unclaimed in ["Practitioner", "Organization", "Device", "Foo"] {
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
