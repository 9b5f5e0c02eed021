//! A deployment names the types it serves: by a line of configuration one more is written, read, searched and told of; one
//! that is not named is not there.

use crate::house::*;
use fhir::definitions::Types;
use http::StatusCode;
use serde_json::{Value, json};

fn request() -> Value {
    json!({
        "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "identifier": [{"system": "https://epj.example/requests", "value": "sr-1"}],
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "428361000124107"}]},
        "subject": {"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": ragnhild().number}},
        "authoredOn": "2026-11-20T08:00:00+01:00",
    })
}

async fn with(types: &[&str]) -> Service {
    let types = Types::named(types).unwrap();
    Service::with("fjellvik", FJELLVIK, &[], |config| config.types = types).await
}

#[tokio::test]
async fn a_type_enabled_by_a_line_is_created_read_and_searched() {
    let service = with(&["default", "ServiceRequest"]).await;
    let owner = service.record_system(FJELLVIK);
    let id = service.created(&request()).await;
    let path = format!("/ServiceRequest/{id}");
    let read = service.get(&owner, &path).await;
    assert_eq!(read.json["code"], request()["code"]);
    for form in [
        &[("code", "http://snomed.info/sct|428361000124107")][..],
        &[("intent", "order"), ("authored", "ge2026-11-20")],
        &[("patient.identifier", number(ragnhild()).as_str())],
    ] {
        let all = service.search(&owner, "ServiceRequest", form).await;
        assert_eq!(
            found(&all),
            std::slice::from_ref(&id),
            "{form:?}: {}",
            all.json
        );
    }
    let none = service
        .search(&owner, "ServiceRequest", &[("intent", "plan")])
        .await;
    assert!(found(&none).is_empty());
    // What its table and its invariants say is checked as for any other.
    let mut broken = request();
    broken["intent"] = "wish".into();
    let refused = service.post(&owner, "/ServiceRequest", &broken).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        refused.json["issue"][0]["expression"],
        json!(["ServiceRequest.intent"])
    );
    // An agreement about its information service opens it, as it opens any other type.
    let physician = service.physician(ragnhild());
    let seen = service.search(&physician, "ServiceRequest", &[]).await;
    assert_eq!(found(&seen), [id]);

    let statement = service.get(&owner, "/metadata").await.json;
    let named = |statement: &Value| {
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        resources.iter().any(|one| one["type"] == "ServiceRequest")
    };
    assert!(named(&statement));
    let smart = service
        .get(&owner, "/.well-known/smart-configuration")
        .await
        .json;
    let scopes = smart["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("system/ServiceRequest.cruds")));
}

#[tokio::test]
async fn a_type_that_is_not_named_is_not_there() {
    let service = with(&["Observation", "Patient"]).await;
    let owner = service.record_system(FJELLVIK);
    let reply = service.post(&owner, "/ServiceRequest", &request()).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    for other in ["CarePlan", "ServiceRequest"] {
        let reply = service.search(&owner, other, &[]).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{other}");
    }
    let statement = service.get(&owner, "/metadata").await.json;
    let named: Vec<_> = statement["rest"][0]["resource"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["Observation", "Patient", "AuditEvent", "Consent"]);
}
