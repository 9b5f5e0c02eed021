//! Whoever was refused, or given less than everything, hears why; nobody hears of anybody else's, nor what a block hides.

use crate::house::*;
use crate::wishes::{actor, closed, looks, patient};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use trust::audit::Outcome;
use trust::wish::PSEUDONYM;

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
            assert_eq!(texts.len(), 3, "{reason}");
            let withheld = list(&reason, "withheld").iter().map(code).collect();
            (code(&list(&reason, "rule")[0]), withheld)
        })
        .collect()
}

/// The parts of this name of the one decision that was told.
fn told(reply: &Reply, name: &str) -> Vec<Value> {
    let parts = reply.json["parameter"][0]["part"].as_array().unwrap();
    let named = parts.iter().filter(|one| one["name"] == name);
    named.cloned().collect()
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
        let rules = told(&reply, "rules");
        let last = rules[0]["valueString"].as_str().unwrap().rsplit(' ').next();
        let version = last.unwrap().strip_prefix("block/").unwrap();
        assert!(
            version.parse::<u32>().is_ok_and(|version| version > 0),
            "{rules:?}"
        );
    }
    // What else it rested on is the controller's alone to know: which wishes there are above all.
    let record = service.records_of(&request).await.remove(0);
    let [wish] = record.inputs.wishes.as_slice() else {
        panic!("{:?}", record.inputs);
    };
    for (asker, controller) in [
        (&who, false),
        (&patient(&service), false),
        (&service.record_system(FJELLVIK), true),
    ] {
        let reply = why(&service, asker, &request).await;
        let inputs: Vec<(String, String)> = told(&reply, "input")
            .iter()
            .map(|one| {
                let text =
                    |at: usize, name: &str| one["part"][at][name].as_str().unwrap().to_owned();
                (text(0, "valueCode"), text(1, "valueString"))
            })
            .collect();
        assert_eq!(reply.json.to_string().contains(wish.as_str()), controller);
        if controller {
            let kinds: Vec<&str> = inputs.iter().map(|(kind, _)| kind.as_str()).collect();
            assert_eq!(kinds, ["scope", "security-level", "agreement", "wishes"]);
            assert_eq!(
                (inputs[0].1.as_str(), inputs[1].1.as_str()),
                ("user/*.rs", "4")
            );
            assert!(inputs[2].1.contains("IT17"), "{inputs:?}");
            assert_eq!(inputs[3].1, *wish);
        } else {
            assert_eq!(inputs, []);
        }
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

/// Ragnhild's husband, who acts for her: plans, and the log.
fn husband(service: &Service) -> Held {
    service.held(|jkt| {
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
    })
}

#[tokio::test]
async fn who_acts_for_a_patient_reads_in_her_log_that_it_was_refused_and_not_why() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    closed(&service, actor(PSEUDONYM, "the-neighbour")).await;
    let who = looks(&service, "TREAT", None);
    let refused = service.get(&who, &format!("/Observation/{id}")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let request = refused.header("x-request-id").to_owned();
    let record = service.records_of(&request).await.remove(0);
    let blocked = Outcome::Refused {
        rule: "block".into(),
        code: "practitioner_blocked".into(),
    };
    assert_eq!(record.outcome, blocked);
    for (reader, words, id) in [
        (
            patient(&service),
            trust::explain::of("practitioner_blocked").nb,
            true,
        ),
        (husband(&service), "refused", false),
    ] {
        let log = service.search(&reader, "AuditEvent", &[]).await;
        let events = log.json["entry"].as_array().unwrap();
        let mut refusals = events
            .iter()
            .map(|event| &event["resource"])
            .filter(|event| event["outcome"] == "4");
        let event = refusals.next().unwrap();
        assert_eq!(event["outcomeDesc"], words);
        assert_eq!(event.to_string().contains(&request), id);
        assert!(refusals.next().is_none());
    }
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
    let husband = husband(&service);
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
