//! Broken glass waits for the controller's look: queued with the access, listed with who and why, closed with what was found.

use crate::house::*;
use crate::wishes::{closed, looks};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use trust::audit::Outcome;
use trust::{ClientUse, Interaction};

const WHEN: &str = "2026-11-20T08:00:00+01:00";

fn owner(service: &Service) -> Held {
    service.system(ClientUse::RecordSystem, FJELLVIK, "system/*.cruds")
}

/// The reviews of a list, each as (name, value) pairs.
fn listed(reply: &Reply) -> Vec<Vec<(String, Value)>> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let all = reply.json["parameter"].as_array().cloned();
    let parts = |review: &Value| {
        assert_eq!(review["name"], "review");
        let parts = review["part"].as_array().unwrap().iter();
        parts
            .map(|part| {
                let value = part.as_object().unwrap().iter();
                let mut value = value.filter(|(name, _)| name.starts_with("value"));
                let name = part["name"].as_str().unwrap().to_owned();
                (name, value.next().unwrap().1.clone())
            })
            .collect()
    };
    all.unwrap_or_default().iter().map(parts).collect()
}

fn of<'a>(review: &'a [(String, Value)], name: &str) -> &'a Value {
    let found = review.iter().find(|(own, _)| own == name);
    &found.unwrap_or_else(|| panic!("no {name} in {review:?}")).1
}

async fn close(service: &Service, fields: &[(&str, &str)]) -> Reply {
    let parameter = |(name, value): &(&str, &str)| json!({"name": name, "valueString": value});
    let parameters: Vec<Value> = fields.iter().map(parameter).collect();
    let body = json!({"resourceType": "Parameters", "parameter": parameters});
    service.post(&owner(service), "/$reviews", &body).await
}

#[tokio::test]
async fn broken_glass_waits_for_the_controllers_look_across_a_restart() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let path = format!("/Observation/{id}");
    // Where nothing is closed, nothing is broken.
    let open = looks(&service, "BTG", Some("unconscious"));
    assert_eq!(service.get(&open, &path).await.status, StatusCode::OK);
    closed(&service, json!({})).await;
    let shut = looks(&service, "TREAT", None);
    assert_eq!(
        service.get(&shut, &path).await.status,
        StatusCode::FORBIDDEN
    );
    let waiting = async |service: &Service| {
        let reply = service.get(&owner(service), "/$reviews").await;
        listed(&reply)
    };
    assert!(waiting(&service).await.is_empty());
    let broke = looks(&service, "BTG", Some("unconscious"));
    let reply = service.get(&broke, &path).await;
    assert_eq!(reply.status, StatusCode::OK);
    let request = reply.header("x-request-id").to_owned();

    // A restart forgets nothing.
    let config = config(
        service.folder.path(),
        &service.issuer,
        "fjellvik",
        FJELLVIK,
        &[],
    );
    let service = service.reopened(config).await;
    let [review] = &waiting(&service).await[..] else {
        panic!("one review was expected")
    };
    assert_eq!(of(review, "request"), &json!(request));
    assert_eq!(of(review, "rule"), "block");
    assert_eq!(of(review, "reason"), "unconscious");
    assert_eq!(of(review, "disclosed"), 1);
    assert_eq!(of(review, "patient")["value"], ragnhild().number.as_str());
    assert_eq!(of(review, "organisation")["value"], PROVEHEIM);
    assert!(of(review, "practitioner").is_string());

    // What is not a finding closes nothing.
    let request = request.as_str();
    let by = ("by", "Personvernombudet");
    for (fields, status) in [
        (&[("request", request), by][..], 400),
        (&[("request", request), ("outcome", "fine"), by], 400),
        (&[("request", request), ("outcome", "justified")], 400),
        (
            &[("request", request), ("outcome", "justified"), ("by", " ")],
            400,
        ),
        (
            &[
                ("request", request),
                ("outcome", "justified"),
                by,
                ("x", "y"),
            ],
            400,
        ),
        (&[("request", "another"), ("outcome", "justified"), by], 404),
    ] {
        let reply = close(&service, fields).await;
        assert_eq!(reply.status.as_u16(), status, "{fields:?}: {}", reply.json);
    }
    assert_eq!(waiting(&service).await.len(), 1);
    let finding = [
        ("request", request),
        ("outcome", "unjustified"),
        by,
        ("note", "Ingen fare"),
    ];
    let reply = close(&service, &finding).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let record = service.last_record().await;
    assert_eq!(
        (record.interaction, &record.outcome),
        (Interaction::ReviewClosed, &Outcome::Allowed)
    );
    assert!(record.patient.is_some() && record.asked.contains("outcome=unjustified"));
    assert!(waiting(&service).await.is_empty());
    let done = service
        .get(&owner(&service), "/$reviews?state=closed")
        .await;
    let [review] = &listed(&done)[..] else {
        panic!("{}", done.json)
    };
    assert_eq!(of(review, "outcome"), "unjustified");
    assert_eq!(of(review, "by"), "Personvernombudet");
    assert_eq!(of(review, "note"), "Ingen fare");
    let twice = close(&service, &finding).await;
    assert_eq!(twice.status, StatusCode::NOT_FOUND);
    let strange = service.get(&owner(&service), "/$reviews?who=me").await;
    assert_eq!(strange.status, StatusCode::BAD_REQUEST);
}
