//! `$validate` says everything that a write would be refused for, and keeps nothing.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use trust::Interaction;
use trust::audit::Outcome;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

fn parameters(resource: &Value, more: &[Value]) -> Value {
    let mut list = vec![json!({"name": "resource", "resource": resource})];
    list.extend_from_slice(more);
    json!({"resourceType": "Parameters", "parameter": list})
}

#[tokio::test]
async fn a_sound_resource_is_found_sound_and_nothing_is_kept() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let body = reading(ragnhild(), "r-1", WHEN, "91");
    let mode = json!({"name": "mode", "valueCode": "create"});
    let profile = json!({"name": "profile", "valueUri": "http://hl7.org/fhir/StructureDefinition/Observation"});
    for asked in [
        body.clone(),
        parameters(&body, &[]),
        parameters(&body, &[mode, profile]),
    ] {
        let reply = service.post(&owner, "/Observation/$validate", &asked).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        assert_eq!(issues(&reply.json), ["informational @ -"]);
        assert_eq!(reply.json["issue"][0]["severity"], "information");
        let record = service.last_record().await;
        assert_eq!(
            (record.interaction, record.outcome, record.disclosed.len()),
            (Interaction::Validate, Outcome::Allowed, 0)
        );
    }
    assert!(found(&service.search(&owner, "Observation", &[]).await).is_empty());
    assert!(found(&service.search(&owner, "Patient", &[]).await).is_empty());
}

#[tokio::test]
async fn every_finding_is_given_at_once_and_is_what_a_write_is_refused_for() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut body = reading(ragnhild(), "r-1", WHEN, "191");
    body["status"] = "ready".into();
    body["valueQuantity"]["code"] = "kg".into();
    body["smell"] = "none".into();
    body.as_object_mut().unwrap().remove("category");
    let reply = service.post(&owner, "/Observation/$validate", &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let mut found = issues(&reply.json);
    let mut refused = issues(&service.post(&owner, "/Observation", &body).await.json);
    found.sort();
    refused.sort();
    assert_eq!(found, refused);
    insta::assert_json_snapshot!(found);
    // A number that is not marked synthetic is a finding too.
    let mut real = reading(ragnhild(), "r-1", WHEN, "91");
    real["subject"]["identifier"]["value"] = "13116900216".into();
    let reply = service.post(&owner, "/Observation/$validate", &real).await;
    assert_eq!(
        issues(&reply.json),
        issues(&service.post(&owner, "/Observation", &real).await.json)
    );
    assert!(!reply.json.to_string().contains("13116900216"));
}

#[tokio::test]
async fn an_update_carries_its_id() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = "00000000-0000-4000-8000-000000000009";
    let other = "00000000-0000-4000-8000-000000000008";
    let path = format!("/Observation/{id}/$validate");
    let mut body = reading(ragnhild(), "r-1", WHEN, "91");
    let update = json!({"name": "mode", "valueCode": "update"});
    let reply = service
        .post(
            &owner,
            "/Observation/$validate",
            &parameters(&body, std::slice::from_ref(&update)),
        )
        .await;
    assert_eq!(issues(&reply.json), ["required @ Observation.id"]);
    let reply = service.post(&owner, &path, &body).await;
    assert_eq!(issues(&reply.json), ["required @ Observation.id"]);
    body["id"] = other.into();
    let reply = service.post(&owner, &path, &body).await;
    assert_eq!(issues(&reply.json), ["value @ Observation.id"]);
    body["id"] = id.into();
    for (path, asked) in [
        (path.as_str(), body.clone()),
        ("/Observation/$validate", parameters(&body, &[update])),
    ] {
        let reply = service.post(&owner, path, &asked).await;
        assert_eq!(issues(&reply.json), ["informational @ -"]);
    }
}

#[tokio::test]
async fn what_was_not_understood_is_refused() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let body = reading(ragnhild(), "r-1", WHEN, "91");
    for (more, expected) in [
        (
            json!({"name": "mode", "valueCode": "delete"}),
            "not-supported @ Parameters.parameter[1]",
        ),
        (
            json!({"name": "mode", "valueString": "create"}),
            "structure @ Parameters.parameter[1].valueString",
        ),
        (
            json!({"name": "profile", "valueUri": "https://other.example/StructureDefinition/x"}),
            "not-supported @ Parameters.parameter[1]",
        ),
        (
            json!({"name": "usageContext", "valueCode": "x"}),
            "not-supported @ Parameters.parameter[1]",
        ),
        (
            json!({"name": "resource", "resource": body}),
            "value @ Parameters.parameter[1]",
        ),
    ] {
        let reply = service
            .post(
                &owner,
                "/Observation/$validate",
                &parameters(&body, std::slice::from_ref(&more)),
            )
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{more}");
        assert!(
            issues(&reply.json).contains(&expected.to_owned()),
            "{more}: {:?}",
            issues(&reply.json)
        );
    }
    let none = json!({"resourceType": "Parameters"});
    let reply = service.post(&owner, "/Observation/$validate", &none).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let reply = service.post(&owner, "/CarePlan/$validate", &body).await;
    assert_eq!(issues(&reply.json), ["invalid @ resourceType"]);
    for (path, status) in [
        ("/Specimen/$validate", StatusCode::NOT_FOUND),
        ("/AuditEvent/$validate", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        assert_eq!(
            service.post(&owner, path, &body).await.status,
            status,
            "{path}"
        );
    }
    // Another method finds no operation, and no resource of that name.
    let reply = service.get(&owner, "/Observation/$validate").await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    let reply = service
        .door
        .post("/Observation/$validate", "{\"a\":1,\"a\":2}")
        .by(&owner, NOW)
        .send()
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}
