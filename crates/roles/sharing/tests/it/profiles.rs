//! Profiles bind as the deployment says: refused, warned of or not looked at; by claim, or of every resource of a type.

use crate::house::*;
use fhir::check::profile::{Demands, Mode};
use http::StatusCode;
use serde_json::{Value, json};

const GENERAL: &str = "http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation";
const WHEN: &str = "2026-11-20T08:00:00+01:00";

/// A reading whose performer goes by a system that the general profile does not take; with the profile claimed, or without.
fn by_her_id(claims: bool) -> Value {
    let mut body = reading(ragnhild(), "p-1", WHEN, "91");
    body["performer"] =
        json!([{"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.2", "value": "1"}}]);
    if claims {
        body["meta"] = json!({"profile": [GENERAL]});
    }
    body
}

async fn with(every: Option<&str>, mode: Mode) -> Service {
    let mut demands = Demands::default();
    demands.add(GENERAL, every, mode).unwrap();
    Service::with("fjellvik", FJELLVIK, &[], |config| {
        config.profiles = demands
    })
    .await
}

const PLACE: &str = "Observation.performer[0].identifier.system";

fn severities(issues: &Value) -> Vec<(&str, &str)> {
    let all = issues["issue"].as_array().unwrap().iter();
    all.map(|one| {
        let place = one["expression"][0].as_str().unwrap_or_default();
        (one["severity"].as_str().unwrap(), place)
    })
    .collect()
}

#[tokio::test]
async fn a_profile_that_is_claimed_must_be_met() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let refused = service.post(&owner, "/Observation", &by_her_id(true)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(severities(&refused.json), [("error", PLACE)]);
    let taken = service
        .post(&owner, "/Observation", &by_her_id(false))
        .await;
    assert_eq!(taken.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_warning_lets_the_write_through_and_is_told_to_who_asks() {
    let service = with(None, Mode::Warn).await;
    let owner = service.record_system(FJELLVIK);
    let looked = service
        .post(&owner, "/Observation/$validate", &by_her_id(true))
        .await;
    assert_eq!(severities(&looked.json), [("warning", PLACE)]);
    let told = service
        .door
        .post("/Observation", by_her_id(true).to_string())
        .header("prefer", "return=OperationOutcome")
        .by(&owner, service.clock.now())
        .send()
        .await;
    assert_eq!(told.status, StatusCode::CREATED);
    let expected = [("information", ""), ("warning", PLACE)];
    assert_eq!(severities(&told.json), expected);
}

#[tokio::test]
async fn a_profile_that_is_off_is_not_looked_at() {
    let service = with(None, Mode::Off).await;
    let owner = service.record_system(FJELLVIK);
    let looked = service
        .post(&owner, "/Observation/$validate", &by_her_id(true))
        .await;
    assert_eq!(severities(&looked.json), [("information", "")]);
}

#[tokio::test]
async fn a_profile_demanded_of_every_resource_binds_who_does_not_claim_it() {
    let service = with(Some("Observation"), Mode::Refuse).await;
    let owner = service.record_system(FJELLVIK);
    let refused = service
        .post(&owner, "/Observation", &by_her_id(false))
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(severities(&refused.json), [("error", PLACE)]);
    service
        .created(&reading(ragnhild(), "p-2", WHEN, "92"))
        .await;
}

#[tokio::test]
async fn a_profile_that_nobody_knows_is_told_and_refuses_nothing() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut body = by_her_id(false);
    body["meta"] = json!({"profile": ["https://other.example/StructureDefinition/x"]});
    let looked = service.post(&owner, "/Observation/$validate", &body).await;
    let expected = [("information", "Observation.meta.profile[0]")];
    assert_eq!(severities(&looked.json), expected);
    service.created(&body).await;
}

#[tokio::test]
async fn validate_looks_by_a_profile_that_is_named_in_the_question() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let ask = |profile: &str| {
        json!({"resourceType": "Parameters", "parameter": [
            {"name": "resource", "resource": by_her_id(false)},
            {"name": "profile", "valueUri": profile},
        ]})
    };
    let looked = service
        .post(&owner, "/Observation/$validate", &ask(GENERAL))
        .await;
    assert_eq!(severities(&looked.json), [("error", PLACE)]);
    let unknown = service
        .post(
            &owner,
            "/Observation/$validate",
            &ask("https://other.example/x"),
        )
        .await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}

/// What the answer to each entry tells, as severity and place.
fn told(answer: &Value) -> Vec<Vec<(&str, &str)>> {
    let entries = answer["entry"].as_array().unwrap().iter();
    entries
        .map(|entry| match &entry["response"]["outcome"] {
            Value::Null => Vec::new(),
            outcome => severities(outcome),
        })
        .collect()
}

#[tokio::test]
async fn a_warning_is_told_by_its_place_in_every_kind_of_bundle() {
    for kind in ["batch", "collection", "transaction"] {
        let service = with(None, Mode::Warn).await;
        let owner = service.record_system(FJELLVIK);
        let mut other = by_her_id(true);
        other["identifier"][0]["value"] = "p-2".into();
        let mut sent = bundle(
            kind,
            &[reading(ragnhild(), "r-1", WHEN, "91"), by_her_id(true)],
        );
        if kind != "collection" {
            let request = |method: &str, url: &str| json!({"method": method, "url": url});
            for entry in sent["entry"].as_array_mut().unwrap() {
                entry["request"] = request("POST", "Observation");
            }
            // One by a condition, which is carried out alone.
            let url = "Observation?identifier=urn:example:readings|p-2";
            sent["entry"]
                .as_array_mut()
                .unwrap()
                .push(json!({"resource": other, "request": request("PUT", url)}));
        }
        let place = |n: usize| format!("Bundle.entry[{n}].resource.performer[0].identifier.system");
        let (first, second) = (place(1), place(2));
        let reply = service.post(&owner, "/", &sent).await;
        assert_eq!(reply.status, StatusCode::OK, "{kind}: {}", reply.json);
        let mut expected = vec![vec![], vec![("warning", first.as_str())]];
        if kind != "collection" {
            expected.push(vec![("warning", second.as_str())]);
        }
        assert_eq!(told(&reply.json), expected, "{kind}: {}", reply.json);
        // Beside what happened, where that is wanted. What is there already needs `If-Match`, by a condition too.
        sent["entry"].as_array_mut().unwrap().truncate(2);
        let again = service
            .door
            .post("/", sent.to_string())
            .header("prefer", "return=OperationOutcome")
            .by(&owner, service.clock.now())
            .send()
            .await;
        let all = told(&again.json);
        assert_eq!(all[0], [("information", "")], "{kind}: {}", again.json);
        assert_eq!(
            all[1],
            [("information", ""), ("warning", first.as_str())],
            "{kind}"
        );
    }
}
