//! `$everything` gives the patient and all that the permit opens, in pages, and nothing of anybody else.

use super::call;
use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::HashSet;
use testkit::clients::Reply;
use testkit::door::Held;
use testkit::people::Patient;
use trust::audit::Outcome;

fn day(n: u32) -> String {
    format!("2026-11-{n:02}T08:00:00+01:00")
}

fn about(of: &Patient, mut body: Value) -> Value {
    body["subject"] = json!({"identifier": {"system": fhir::systems::FNR, "value": of.number}});
    body
}

/// Seven readings, a plan and a medicine of one patient; a reading of another.
async fn filled() -> Service {
    let service = Service::fjellvik().await;
    for n in 1..=7 {
        service
            .created(&reading(ragnhild(), &format!("r-{n}"), &day(n), "91"))
            .await;
    }
    let plan = json!({"resourceType": "CarePlan", "status": "active", "intent": "plan", "period": {"start": "2026-11-03"}});
    service.created(&about(ragnhild(), plan)).await;
    let medicine = json!({"resourceType": "MedicationStatement", "status": "active", "medicationCodeableConcept": {"text": "x"}, "effectiveDateTime": "2026-10-01"});
    service.created(&about(ragnhild(), medicine)).await;
    service
        .created(&reading(arne(), "a-1", &day(1), "97"))
        .await;
    service
}

async fn path(service: &Service, of: &Patient) -> String {
    let id = service
        .state
        .store()
        .patient_id(&identifier(of))
        .await
        .unwrap()
        .unwrap();
    format!("/Patient/{id}/$everything")
}

fn types(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let kind = |m: &&Value| m["resourceType"].as_str().unwrap().to_owned();
    reply.matches().iter().map(kind).collect()
}

/// Follows the pages to the end.
async fn pages(service: &Service, who: &Held, path: &str, form: &[(&str, &str)]) -> Vec<Reply> {
    let mut pages = vec![call(service, who, path, form).await];
    while let Some(next) = pages.last().and_then(Reply::next).map(str::to_owned) {
        assert!(
            next.starts_with(&format!("{}{path}?_page=", service.base)),
            "{next}"
        );
        pages.push(service.get(who, &next).await);
        assert!(pages.len() < 30, "the pages do not end");
    }
    pages
}

#[tokio::test]
async fn the_patient_first_then_all_there_is_once_and_in_pages() {
    let service = filled().await;
    let (who, path) = (
        service.physician(ragnhild()),
        path(&service, ragnhild()).await,
    );
    let whole = call(&service, &who, &path, &[]).await;
    let mut expected = vec!["Patient"];
    expected.extend(["Observation"; 7]);
    expected.extend(["CarePlan", "MedicationStatement"]);
    assert_eq!(types(&whole), expected);
    assert!(whole.next().is_none());
    let own = whole.link("self").unwrap();
    assert!(
        own.ends_with(&path) && !own.contains(&ragnhild().number),
        "{own}"
    );
    assert_eq!(types(&service.get(&who, &path).await), expected);
    let all = found(&whole);
    for count in ["1", "2", "3", "8", "9", "10", "11"] {
        let pages = pages(&service, &who, &path, &[("_count", count)]).await;
        let ids: Vec<String> = pages.iter().flat_map(found).collect();
        assert_eq!(ids, all, "{count}");
        let size: usize = count.parse().unwrap();
        assert!(pages.iter().all(|page| page.matches().len() <= size));
    }
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 10);
}

#[tokio::test]
async fn dates_types_and_time_of_change_narrow() {
    let service = filled().await;
    let (who, path) = (
        service.physician(ragnhild()),
        path(&service, ragnhild()).await,
    );
    let given = async |form: &[(&str, &str)]| types(&call(&service, &who, &path, form).await);
    // The patient has no date of care; the medicine was in October.
    let mut november = vec!["Patient"];
    november.extend(["Observation"; 5]);
    november.push("CarePlan");
    assert_eq!(given(&[("start", "2026-11-03")]).await, november);
    assert_eq!(
        given(&[
            ("start", "2026-11-02"),
            ("end", "2026-11-02"),
            ("_type", "Observation")
        ])
        .await,
        ["Observation"]
    );
    assert_eq!(
        given(&[("_type", "MedicationStatement,CarePlan")]).await,
        ["CarePlan", "MedicationStatement"]
    );
    service.clock.advance(60 * 1_000_000);
    let since = service.clock.now().to_string();
    assert!(given(&[("_since", &since)]).await.is_empty());
    service
        .created(&reading(ragnhild(), "r-8", &day(8), "92"))
        .await;
    assert_eq!(given(&[("_since", &since)]).await, ["Observation"]);
    let one = pages(
        &service,
        &who,
        &path,
        &[("_since", &since), ("_count", "1")],
    )
    .await;
    assert_eq!(one.iter().flat_map(found).count(), 1);
    let parameters = json!({"resourceType": "Parameters", "parameter": [
        {"name": "start", "valueDate": "2026-11-03"}, {"name": "_type", "valueCode": "CarePlan"}, {"name": "_count", "valueInteger": 5}]});
    assert_eq!(
        types(&service.post(&who, &path, &parameters).await),
        ["CarePlan"]
    );
}

#[tokio::test]
async fn another_patient_is_not_there_and_a_link_serves_only_whom_it_was_given() {
    let service = filled().await;
    let (who, own) = (
        service.physician(ragnhild()),
        path(&service, ragnhild()).await,
    );
    let nobody = "/Patient/00000000-0000-4000-8000-000000000009/$everything";
    let nothing = call(&service, &who, nobody, &[]).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    let other = path(&service, arne()).await;
    assert_eq!(
        call(&service, &who, &other, &[]).await.visible(),
        nothing.visible()
    );
    assert!(matches!(
        service.last_record().await.outcome,
        Outcome::Refused { .. }
    ));
    // The id of a reading is no patient's.
    let reading = found(&service.search(&who, "Observation", &[]).await).remove(0);
    let as_patient = format!("/Patient/{reading}/$everything");
    assert_eq!(
        call(&service, &who, &as_patient, &[]).await.visible(),
        nothing.visible()
    );
    // The owner's own system reads either.
    let owner = service.record_system(FJELLVIK);
    assert_eq!(
        types(&call(&service, &owner, &other, &[]).await),
        ["Patient", "Observation"]
    );
    let first = call(&service, &who, &own, &[("_count", "2")]).await;
    let next = first.next().unwrap().to_owned();
    let moved = next.replace(
        own.split('/').nth(2).unwrap(),
        other.split('/').nth(2).unwrap(),
    );
    for (who, url) in [
        (service.physician(arne()), &next),
        (service.citizen(ragnhild()), &next),
        (service.record_system(FJELLVIK), &next),
        (service.physician(ragnhild()), &moved),
        (service.record_system(FJELLVIK), &moved),
    ] {
        assert_eq!(service.get(&who, url).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(
        found(&service.get(&service.physician(ragnhild()), &next).await).len(),
        2
    );
    let record = service.last_record().await;
    assert_eq!(
        (record.disclosed.len(), record.outcome),
        (2, Outcome::Allowed)
    );
    assert!(record.asked.contains("_count=2"), "{}", record.asked);
}

#[tokio::test]
async fn what_the_permit_does_not_open_is_not_in_it() {
    let service = filled().await;
    let path = path(&service, ragnhild()).await;
    let plans = service.physician_but(ragnhild(), |claims| {
        let service = fhir::resource::ResourceType::CARE_PLAN.information_service();
        claims.agreement.as_mut().unwrap().services = service.into_iter().collect();
    });
    assert_eq!(
        types(&call(&service, &plans, &path, &[]).await),
        ["CarePlan"]
    );
    let scope = service.physician_but(ragnhild(), |claims| {
        claims.scope = "user/Patient.rs user/CarePlan.rs".into()
    });
    assert_eq!(
        types(&call(&service, &scope, &path, &[]).await),
        ["Patient", "CarePlan"]
    );
    let none = service.physician_but(ragnhild(), |claims| {
        claims.scope = "user/CarePlan.rs".into()
    });
    assert_eq!(
        call(&service, &none, &path, &[]).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        call(&service, &service.hub(FJELLVIK), &path, &[])
            .await
            .status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn what_is_not_understood_is_refused_by_name() {
    let service = filled().await;
    let (who, path) = (
        service.physician(ragnhild()),
        path(&service, ragnhild()).await,
    );
    for (form, expected) in [
        (("_type", "Specimen"), "not-supported @ _type"),
        (("_type", "AuditEvent"), "not-supported @ _type"),
        (("_type", ""), "value @ _type"),
        (("_count", "0"), "value @ _count"),
        (("_count", "201"), "value @ _count"),
        (("_since", "2026-11-01"), "value @ _since"),
        (("start", "soon"), "value @ start"),
        (("_page", "AAAA"), "not-supported @ _page"),
        (("_include", "x"), "not-supported @ _include"),
    ] {
        let reply = call(&service, &who, &path, &[form]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{form:?}");
        assert!(
            issues(&reply.json).contains(&expected.to_owned()),
            "{form:?}: {}",
            reply.json
        );
    }
    // A number in a URL is refused, and reaches no record.
    let url = format!("{path}?patient.identifier={}", ragnhild().number);
    assert_eq!(
        service.get(&who, &url).await.status,
        StatusCode::BAD_REQUEST
    );
    assert!(
        !service
            .last_record()
            .await
            .asked
            .contains(&ragnhild().number)
    );
    let forged = format!("{path}?_page=AAAA");
    assert_eq!(
        service.get(&who, &forged).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn all_types_and_pages_are_of_one_moment() {
    let service = filled().await;
    let (who, path) = (
        service.physician(ragnhild()),
        path(&service, ragnhild()).await,
    );
    let before = found(&call(&service, &who, &path, &[("_count", "200")]).await);
    let mut reply = call(&service, &who, &path, &[("_count", "2")]).await;
    let mut all = found(&reply);
    let mut n = 0;
    while let Some(next) = reply.next().map(str::to_owned) {
        // Of the type that is being read, and of one that has not been reached.
        n += 1;
        let late = format!("late-{n}");
        service
            .created(&reading(ragnhild(), &late, &day(10 + n), "90"))
            .await;
        let medicine = json!({"resourceType": "MedicationStatement", "status": "active", "medicationCodeableConcept": {"text": late}, "effectiveDateTime": "2026-10-01"});
        service.created(&about(ragnhild(), medicine)).await;
        reply = service.get(&who, &next).await;
        all.extend(found(&reply));
    }
    assert!(n > 2);
    assert_eq!(all, before);
}
