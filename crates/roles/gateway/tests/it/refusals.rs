//! What is refused, before anybody else hears of the patient, and leaves its record.

use crate::person::{Person, Reply};
use crate::world::{OTHER_PATIENT, PATIENT, PROVEHEIM, World, pulse};
use fhir::systems;
use http::StatusCode;
use trust::audit::Outcome;
use wire::client::Request;

fn expressions(reply: &Reply) -> Vec<&str> {
    let issues = reply.json["issue"].as_array().unwrap();
    issues
        .iter()
        .filter_map(|issue| issue["expression"][0].as_str())
        .collect()
}

#[tokio::test]
async fn bad_questions_are_refused_with_every_finding_and_reach_nobody() {
    let world = World::new().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    for (type_name, form, status, expected) in [
        (
            "Observation",
            &[
                ("colour", "red"),
                ("date", "yesterday"),
                ("organization", "310001007,123456789,999999999"),
            ][..],
            400,
            &["organization", "organization", "colour", "date"][..],
        ),
        (
            "Observation",
            &[("organization", "")],
            400,
            &["organization"],
        ),
        (
            "Observation",
            &[("patient", "Patient/6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11")],
            400,
            &["patient"],
        ),
        ("Observation", &[("_count", "201")], 400, &["_count"]),
        ("Condition", &[], 404, &[]),
        ("Nonsense", &[], 404, &[]),
    ] {
        let reply = person.send(person.question(type_name, form)).await;
        assert_eq!(reply.status.as_u16(), status, "{form:?}");
        assert_eq!(expressions(&reply), expected, "{form:?}");
    }
    assert!(world.asked().is_empty());
    assert!(world.directory.located_for.lock().unwrap().is_empty());
    let (entries, _) = world.records(Some(PROVEHEIM)).await;
    assert_eq!(entries.len(), 6);
    assert!(
        entries
            .iter()
            .all(|entry| matches!(entry.record.outcome, Outcome::Failed { .. }))
    );
}

#[tokio::test]
async fn search_by_get_points_to_post() {
    let world = World::new().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    let reply = person
        .get(&format!(
            "{}/Observation?patient.identifier={PATIENT}",
            world.fhir()
        ))
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(
        reply.json["issue"][0]["diagnostics"]
            .as_str()
            .unwrap()
            .contains("POST")
    );
    let (entries, _) = world.records(Some(PROVEHEIM)).await;
    assert!(
        !entries[0].record.asked.contains(PATIENT),
        "a query string is not kept"
    );
}

#[tokio::test]
async fn another_patient_than_the_tokens_is_nothing_and_on_record() {
    let world = World::new().await;
    world.hold(
        "proveheim",
        vec![pulse("h1", "2026-11-03T08:00:00+01:00", 75, "r-3")],
    );
    let person = Person::practitioner(&world, PROVEHEIM);
    let other = format!("{}|{OTHER_PATIENT}", systems::FNR);
    let reply = person
        .send(person.question("Observation", &[("patient.identifier", &other)]))
        .await;
    assert_eq!(
        (reply.status, &reply.json["total"]),
        (StatusCode::OK, &serde_json::json!(0))
    );
    assert!(reply.matches().is_empty());
    assert!(world.asked().is_empty());
    let (entries, _) = world.records(Some(PROVEHEIM)).await;
    let refused = |code: &str| Outcome::Refused {
        rule: "patient".into(),
        code: code.into(),
    };
    // Whom it was attempted about finds it too.
    assert_eq!(entries[0].record.outcome, refused("others_access"));
    let about = |at: usize| {
        let patient = entries[at].record.patient.as_ref();
        patient.unwrap().value().expose().to_owned()
    };
    assert_eq!(about(0), OTHER_PATIENT);
    assert_eq!(entries[1].record.outcome, refused("other_patient"));
    assert_eq!(about(1), PATIENT);
}

#[tokio::test]
async fn without_attest_scope_or_right_there_is_no_look_up() {
    let world = World::new().await;
    let mut without_attest = Person::practitioner(&world, PROVEHEIM);
    without_attest.claims.attest = None;
    let mut without_scope = Person::practitioner(&world, PROVEHEIM);
    without_scope.claims.scope = "user/CarePlan.rs".into();
    for (person, type_name) in [
        (without_attest, "Observation"),
        (without_scope, "Observation"),
        (Person::practitioner(&world, PROVEHEIM), "AuditEvent"),
    ] {
        let reply = person.search(type_name, &[]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
    }
    let mut expired = Person::practitioner(&world, PROVEHEIM);
    expired.claims.exp = world.now().seconds() - 60;
    expired.claims.iat -= 300;
    expired.claims.nbf -= 300;
    assert_eq!(
        expired.search("Observation", &[]).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert!(world.asked().is_empty());
    assert_eq!(world.records(Some(PROVEHEIM)).await.0.len(), 3);
    assert_eq!(
        world.records(None).await.0.len(),
        1,
        "who never proved to be anybody is on record at the gateway itself"
    );
}

#[tokio::test]
async fn a_proof_counts_once_also_after_a_refusal() {
    let world = World::new().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    for first in [&[("colour", "red")][..], &[]] {
        let credentials = person.prove(&person.question("Observation", &[]));
        person
            .send_with(person.question("Observation", first), &credentials)
            .await;
        let again = person
            .send_with(person.question("Observation", &[]), &credentials)
            .await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn what_is_there_is_said_and_nothing_else_is() {
    let world = World::new().await;
    let send = |request: Request| {
        let http = world.house.http.clone();
        async move { http.send(&request).await.unwrap() }
    };
    let answer = send(Request::get(format!("{}/metadata", world.fhir()))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let statement: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let types: Vec<&str> = statement["rest"][0]["resource"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "Observation",
            "CarePlan",
            "MedicationStatement",
            "QuestionnaireResponse",
            "DetectedIssue",
            "Patient",
            "AuditEvent",
            "Consent"
        ]
    );
    for (request, status) in [
        (Request::get(format!("{}/Observation", world.fhir())), 401),
        (
            Request::post_form(format!("{}/Observation/_search", world.fhir()), []),
            401,
        ),
        (Request::get(format!("{}/_page/x", world.fhir())), 401),
        (
            Request::post_fhir(format!("{}/Observation", world.fhir()), "{}"),
            405,
        ),
        (
            Request::get(format!("{}/nothing/here/at-all", world.fhir())),
            404,
        ),
    ] {
        let url = request.url.clone();
        assert_eq!(send(request).await.status.as_u16(), status, "{url}");
    }
}
