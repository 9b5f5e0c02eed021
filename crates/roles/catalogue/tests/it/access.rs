//! Who may read, and what is written down about it.

use catalogue::ROUTES;
use fhir::ids::{PersonIdentifier, PersonNumbers};
use http::{Method, StatusCode};
use testkit::door::Held;
use trust::audit::Outcome;
use trust::token::Kind;
use trust::{Category, Interaction};
use wire::route::Access;

use crate::world::{BASE, World};

const PATIENT: &str = "14835210260";

#[tokio::test]
async fn metadata_is_public_and_all_else_needs_a_token_for_the_catalogue() {
    let world = World::new().await;
    for row in ROUTES {
        let path = row.path.replace("{type}", "Endpoint");
        let path = path.replace("{id}", "x").replace("{vid}", "1");
        let method = Method::from_bytes(row.method.as_bytes()).unwrap();
        let reply = world.knock(method.clone(), &path, "").send().await;
        if row.access == Access::Public {
            assert_eq!(reply.status, StatusCode::OK, "{path}");
            continue;
        }
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(
            reply.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("DPoP")
        );
        let mut elsewhere = world.claims();
        elsewhere.aud = BASE.into();
        let reply = world.send_as(&elsewhere, method, &path, "").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let unaudited = world
        .trail()
        .await
        .iter()
        .filter(|e| !matches!(e.record.outcome, Outcome::Unauthenticated { .. }))
        .count();
    assert_eq!(unaudited, 0);
}

#[tokio::test]
async fn the_scope_must_give_the_right_on_the_type() {
    let world = World::new().await;
    for (scope, path, status) in [
        ("system/Endpoint.rs", "/fhir/Endpoint", StatusCode::OK),
        ("user/*.rs", "/fhir/Endpoint", StatusCode::OK),
        ("system/Endpoint.r", "/fhir/Endpoint", StatusCode::FORBIDDEN),
        ("system/Endpoint.s", "/fhir/Endpoint", StatusCode::OK),
        (
            "system/Organization.rs",
            "/fhir/Endpoint",
            StatusCode::FORBIDDEN,
        ),
        ("", "/fhir/Endpoint", StatusCode::FORBIDDEN),
    ] {
        let mut claims = world.claims();
        claims.scope = scope.into();
        let reply = world.send_as(&claims, Method::GET, path, "").await;
        assert_eq!(reply.status, status, "{scope}");
        if status == StatusCode::FORBIDDEN {
            assert!(
                reply.headers["www-authenticate"]
                    .to_str()
                    .unwrap()
                    .contains("insufficient_scope")
            );
        }
    }
}

#[tokio::test]
async fn every_interaction_leaves_one_record_that_says_what_was_given() {
    let world = World::new().await;
    world
        .get("/fhir/Endpoint?organization.identifier=310001422&payload-type=IT17")
        .await;
    world.get("/fhir/Endpoint?identifier=14835210260").await;
    world.get("/fhir/Endpoint?name=x").await;
    world.get("/fhir/Endpoint/nobody").await;
    let mut small = world.claims();
    small.scope = "system/Organization.r".into();
    world
        .send_as(&small, Method::GET, "/fhir/Endpoint", "")
        .await;
    let trail = world.trail().await;
    let outcomes: Vec<&Outcome> = trail.iter().map(|e| &e.record.outcome).collect();
    let failed = |category| Outcome::Failed { category };
    let refused = Outcome::Refused {
        rule: "scope".into(),
        code: "insufficient_scope".into(),
    };
    assert_eq!(
        outcomes,
        [
            &Outcome::Allowed,
            &Outcome::Allowed,
            &failed(Category::Invalid),
            &failed(Category::NotFound),
            &refused
        ]
    );
    assert!(
        trail
            .iter()
            .all(|e| e.record.interaction == Interaction::Directory)
    );
    let first = &trail[0].record;
    assert_eq!(
        first.asked,
        "GET /fhir/Endpoint organization.identifier=310001422&payload-type=IT17"
    );
    assert_eq!(first.disclosed.len(), 1);
    assert_eq!(
        (
            first.disclosed[0].resource.as_str(),
            first.disclosed[0].version
        ),
        ("Endpoint", 1)
    );
    // What names nothing here is not written down.
    assert_eq!(trail[1].record.asked, "GET /fhir/Endpoint identifier=%3F");
    assert!(
        world
            .state
            .store()
            .verify_audit(None)
            .await
            .unwrap()
            .is_sound()
    );
}

#[tokio::test]
async fn a_tokens_patient_stays_out_of_the_trail() {
    let world = World::new().await;
    let patient = PersonIdentifier::guess(PATIENT, PersonNumbers::Strict).unwrap();
    for path in [
        "/fhir/Endpoint",
        "/fhir/Endpoint?name=x",
        "/fhir/Endpoint/nobody",
    ] {
        let mut claims = world.claims();
        claims.kind = Kind::Citizen;
        claims.pid = Some(PATIENT.into());
        claims.name = Some("Ragnhild Testmo".into());
        claims.patient = Some(patient.clone());
        claims.scope = "patient/*.rs".into();
        world.send_as(&claims, Method::GET, path, "").await;
    }
    let trail = world.trail().await;
    assert_eq!(trail.len(), 3);
    assert_eq!(trail[0].record.outcome, Outcome::Allowed);
    for entry in trail {
        let record = serde_json::to_string(&entry.record).unwrap();
        assert!(
            !record.contains(PATIENT) && !record.contains("Ragnhild"),
            "{record}"
        );
    }
}

#[tokio::test]
async fn a_proof_works_once() {
    let world = World::new().await;
    let held = Held::of(&world.issuer, &world.key, &world.claims()).unwrap();
    let knock = || world.door.get("/fhir/Endpoint");
    let proof = knock().proof(&held, world.clock.now());
    let send = || knock().with(&held, &proof).send();
    assert_eq!(send().await.status, StatusCode::OK);
    assert_eq!(send().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn metadata_lists_what_is_searched() {
    let world = World::new().await;
    let reply = world.door.get("/fhir/metadata").send().await;
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&reply.json["rest"][0]["resource"]).unwrap()
    );
}
