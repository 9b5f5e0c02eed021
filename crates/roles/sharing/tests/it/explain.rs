//! Whoever was refused, or given less than everything, hears why; nobody hears of anybody else's, nor what a block hides.

use crate::house::*;
use crate::wishes::{closed, looks, patient};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

async fn why(service: &Service, who: &Held, request: &str) -> Reply {
    let body = json!({"resourceType": "Parameters", "parameter": [{"name": "request", "valueString": request}]});
    service.post(who, "/$explain-access", &body).await
}

/// The rules that were told as reasons, and the kinds withheld.
fn reasons(reply: &Reply) -> Vec<(String, Vec<String>)> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let list = |value: &Value, name: &str| -> Vec<Value> {
        let items = value["part"].as_array().cloned().unwrap_or_default();
        items
            .into_iter()
            .filter(|one| one["name"] == name)
            .collect()
    };
    let code = |value: &Value| value["valueCode"].as_str().unwrap().to_owned();
    reply.json["parameter"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|decision| list(decision, "reason"))
        .map(|reason| {
            let texts = list(&reason, "text");
            assert_eq!(texts.len(), 2, "{reason}");
            let withheld = list(&reason, "withheld").iter().map(code).collect();
            (code(&list(&reason, "rule")[0]), withheld)
        })
        .collect()
}

#[tokio::test]
async fn the_refused_hear_why_and_so_does_the_patient() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    closed(&service, json!({})).await;
    let who = looks(&service, "TREAT", None);
    let refused = service.get(&who, &format!("/Observation/{id}")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let request = refused.header("x-request-id").to_owned();
    for asker in [&who, &patient(&service), &service.record_system(FJELLVIK)] {
        let reply = why(&service, asker, &request).await;
        assert_eq!(reasons(&reply), [("block".to_owned(), vec![])]);
    }
    // Neither another organisation's personnel nor another citizen hears of it.
    let elsewhere = service.physician_but(ragnhild(), |claims| {
        claims.orgnr_parent = Some(org(PROVEBAKKEN));
        let entity = &mut claims.attest.as_mut().unwrap().practitioner.legal_entity;
        entity.as_mut().unwrap().id = PROVEBAKKEN.into();
    });
    for asker in [
        &elsewhere,
        &service.citizen(arne()),
        &service.physician(arne()),
    ] {
        assert_eq!(
            why(&service, asker, &request).await.status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn what_a_block_of_a_kind_hides_is_told_to_the_patient_alone() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let kinds = json!({"class": [{"system": "https://delt.example/fhir/CodeSystem/information-service", "code": "IT17"}]});
    closed(&service, kinds).await;
    let who = looks(&service, "TREAT", None);
    let about = number(ragnhild());
    let found = service
        .search(&who, "Observation", &[("patient.identifier", &about)])
        .await;
    let request = found.header("x-request-id").to_owned();
    assert_eq!(reasons(&why(&service, &who, &request).await), []);
    assert_eq!(
        reasons(&why(&service, &patient(&service), &request).await),
        [("block".to_owned(), vec!["IT17".to_owned()])]
    );
}

#[tokio::test]
async fn what_is_not_a_request_of_ours_is_refused_or_unknown() {
    let service = Service::fjellvik().await;
    let who = service.record_system(FJELLVIK);
    let unknown = why(&service, &who, "00000000-0000-4000-8000-000000000000").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let nonsense = why(&service, &who, "yesterday").await;
    assert_eq!(nonsense.status, StatusCode::BAD_REQUEST);
    assert_eq!(issues(&nonsense.json), ["value @ request"]);
}

#[tokio::test]
async fn who_acts_for_a_patient_hears_of_their_own_requests_alone() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let kinds = json!({"class": [{"system": "https://delt.example/fhir/CodeSystem/information-service", "code": "IT17"}]});
    closed(&service, kinds).await;
    let about = number(ragnhild());
    let looked = service
        .search(
            &looks(&service, "TREAT", None),
            "Observation",
            &[("patient.identifier", &about)],
        )
        .await;
    let husband = service.held(|jkt| {
        let mut claims =
            service
                .issuer
                .citizen_claims(arne(), &service.base, jkt, service.clock.now());
        claims.patient = Some(identifier(ragnhild()));
        claims.represents = Some(trust::Representation {
            id: "r-1".into(),
            services: vec![fhir::resource::InformationService::PLANS],
            log: true,
            notes: false,
        });
        claims
    });
    // Whom she has shut out, and from what, is hers alone to know.
    let of_others = why(&service, &husband, looked.header("x-request-id")).await;
    assert_eq!(of_others.status, StatusCode::NOT_FOUND);
    let own = service.search(&husband, "Observation", &[]).await;
    assert_eq!(found(&own), Vec::<String>::new());
    let why_not = why(&service, &husband, own.header("x-request-id")).await;
    let rules: Vec<String> = reasons(&why_not)
        .into_iter()
        .map(|(rule, _)| rule)
        .collect();
    assert_eq!(rules, ["representation", "representation"]);
}
