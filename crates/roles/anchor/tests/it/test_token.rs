//! The demo's test-token route: every field, every defect, every refusal.

use crate::region::{
    FJELLVIK, GATEWAY, ISSUER, LOCATOR, NOW, PATIENT, PROVEBAKKEN, PROVEHEIM, Region, husband,
    physician,
};
use fhir::ids::OrganisationNumber;
use fhir::resource::ResourceType;
use fhir::time::Instant;
use serde_json::{Value, json};
use std::sync::Arc;
use trust::{Ask, Decision, Facts, Interaction, Party, Permit, Refusal, decide, token};

/// What a sharing service does with a token: verify it, then ask the rules.
async fn at_service(
    region: &Region,
    jwt: &str,
    audience: &str,
    owner: &str,
) -> Result<Result<Permit, Refusal>, &'static str> {
    let now = Instant::from_seconds(NOW);
    let claims = token::verify(jwt, &region.keys().await, ISSUER, audience, now)
        .map_err(|error| error.code())?;
    let caller = claims.caller(jwt).map_err(|error| error.code())?;
    let facts = Facts {
        party: Party::Sharing,
        owner: OrganisationNumber::parse(owner).unwrap(),
        members: [].into(),
        audience: audience.into(),
        wishes: [].into(),
        known: Default::default(),
        register: Arc::default(),
        now,
    };
    let ask = Ask::of(Interaction::Search, ResourceType::OBSERVATION);
    Ok(match decide(&ask, &caller, &facts) {
        Decision::Permit(permit) => Ok(permit),
        Decision::Nothing(refusal) | Decision::Refuse(refusal) => Err(refusal),
    })
}

#[tokio::test]
async fn a_physicians_token_carries_the_whole_need() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let jwt = region
        .physicians_token(
            FJELLVIK,
            "user/*.rs",
            &[
                ("purpose", json!("ETREAT")),
                ("reason", json!("akutt")),
                ("department", json!("4001234")),
                ("healthcare_service", json!("S01")),
                ("purpose_details", json!("VURDHENV")),
                ("decision_ref", json!("beslutning-1")),
                ("expires_in", json!(60)),
            ],
        )
        .await;
    let claims = region.claims(&jwt, FJELLVIK).await;
    let mut shown = serde_json::to_value(&claims).unwrap();
    shown["cnf"]["jkt"] = json!("thumbprint");
    shown["sub"] = json!("subject");
    shown["helseid://claims/identity/pid_pseudonym"] = json!("pseudonym");
    insta::assert_json_snapshot!(shown);
    assert!(!claims.sub.contains(&physician()));
    let permit = at_service(&region, &jwt, FJELLVIK, "310001007")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(permit.services().len(), 2);
}

#[tokio::test]
async fn each_defect_is_refused_where_the_contract_says() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    for defect in [
        "expired",
        "not_yet_valid",
        "wrong_issuer",
        "wrong_audience",
        "wrong_signature",
        "wrong_typ",
        "no_cnf",
    ] {
        let jwt = region
            .physicians_token(FJELLVIK, "user/*.rs", &[("defect", json!(defect))])
            .await;
        assert_eq!(
            at_service(&region, &jwt, FJELLVIK, "310001007")
                .await
                .unwrap_err(),
            "invalid_token",
            "{defect}"
        );
    }
    for (defect, code) in [
        ("no_attest", "attestation_missing"),
        ("stale_attest", "attestation_has_expired"),
        ("other_practitioner", "attestation_practitioner"),
        ("no_patient", "patient_binding_missing"),
        ("no_purpose", "purpose_missing"),
        ("no_decision_ref", "decision_ref_missing"),
    ] {
        let jwt = region
            .physicians_token(FJELLVIK, "user/*.rs", &[("defect", json!(defect))])
            .await;
        let refusal = at_service(&region, &jwt, FJELLVIK, "310001007")
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(
            (refusal.code, refusal.category),
            (code, trust::Category::Forbidden),
            "{defect}"
        );
    }
}

#[tokio::test]
async fn without_an_agreement_the_provider_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let jwt = region.physicians_token(PROVEBAKKEN, "user/*.rs", &[]).await;
    let refusal = at_service(&region, &jwt, PROVEBAKKEN, "310001147")
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(refusal.code, "agreement_missing");
    // One's own organisation needs none.
    let own = region.physicians_token(PROVEHEIM, "user/*.rs", &[]).await;
    assert!(
        at_service(&region, &own, PROVEHEIM, "310001074")
            .await
            .unwrap()
            .is_ok()
    );
}

#[tokio::test]
async fn citizens_read_their_own_or_a_represented_persons() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let order = |fnr: &str, patient: &str| json!({"as": "citizen", "fnr": fnr, "patient": patient, "audience": FJELLVIK, "scope": "patient/*.rs", "jkt": region.user.thumbprint()});
    for fnr in [PATIENT.to_owned(), husband()] {
        let answer = region.test_token(&order(&fnr, PATIENT)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let jwt = answer.body["access_token"].as_str().unwrap();
        let told = region.claims(jwt, FJELLVIK).await.represented_by;
        assert!(told.is_empty(), "a holder is not told who acts for her");
        assert!(
            at_service(&region, jwt, FJELLVIK, "310001007")
                .await
                .unwrap()
                .is_ok()
        );
    }
    assert_eq!(
        region.test_token(&order(PATIENT, &husband())).await.error(),
        (400, "invalid_request")
    );
    let mut spoiled = order(PATIENT, PATIENT);
    spoiled["defect"] = json!("no_attest");
    assert_eq!(
        region.test_token(&spoiled).await.error(),
        (400, "invalid_request")
    );
    spoiled["defect"] = json!("no_patient");
    let jwt = region.test_token(&spoiled).await.body["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let refusal = at_service(&region, &jwt, FJELLVIK, "310001007")
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(refusal.code, "patient_binding_missing");
}

#[tokio::test]
async fn unknown_fields_and_values_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    for audience in [FJELLVIK, GATEWAY, LOCATOR] {
        assert_eq!(
            region
                .test_token(&region.order(audience, "user/*.rs"))
                .await
                .status,
            200
        );
    }
    let with = |name: &str, value: Value| {
        let mut order = region.order(FJELLVIK, "user/*.rs");
        match value {
            Value::Null => drop(order.as_object_mut().unwrap().remove(name)),
            value => order[name] = value,
        }
        order
    };
    for (name, value) in [
        ("as", json!("nurse")),
        ("as", Value::Null),
        ("fnr", json!("14835210261")),
        ("fnr", json!("x")),
        ("fnr", json!(14_835_210_260_u64)),
        // Right control digits and not marked synthetic; of somebody born in 2039, so that it is nobody.
        ("fnr", json!(crate::region::number("31123950"))),
        ("patient", Value::Null),
        ("patient", json!("")),
        ("hpr", json!("abc")),
        ("orgnr", Value::Null),
        ("orgnr", json!("310001075")),
        ("orgnr", json!("974760673")),
        ("purpose", json!("HMARKT")),
        ("reason", json!("")),
        ("point_of_care", json!("x")),
        ("department", json!("a\nb")),
        ("decision_ref", json!("x".repeat(257))),
        ("audience", json!("https://elsewhere.example")),
        ("audience", json!(format!("{FJELLVIK}/"))),
        ("scope", json!("")),
        ("scope", json!("openid")),
        ("jkt", Value::Null),
        ("jkt", json!("short")),
        ("expires_in", json!(0)),
        ("expires_in", json!(301)),
        ("expires_in", json!(-1)),
        ("expires_in", json!("60")),
        ("defect", json!("all")),
        ("extra", json!(1)),
    ] {
        let answer = region.test_token(&with(name, value.clone())).await;
        assert_eq!(
            answer.error(),
            (400, "invalid_request"),
            "{name} {value}: {}",
            answer.body
        );
        assert!(
            !answer.body.to_string().contains("1483521026"),
            "an answer names no number"
        );
    }
    let sound = region.order(FJELLVIK, "user/*.rs").to_string();
    let twice = sound.replacen('{', r#"{"as":"practitioner","#, 1);
    for text in [twice.as_str(), "", "[]", "{", &format!("{sound}{sound}")] {
        assert_eq!(
            region.test_token_text(text).await.error(),
            (400, "invalid_request"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn without_a_patient_there_is_a_token_for_the_list_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let order = |as_: &str, scope: &str| {
        json!({"as": as_, "fnr": physician(), "hpr": "999900017", "orgnr": "310001074", "audience": PROVEHEIM,
            "scope": scope, "jkt": region.user.thumbprint()})
    };
    for (as_, scope) in [
        ("practitioner", "user/*.rs"),
        ("practitioner", "user/Task.s user/*.rs"),
        ("practitioner", "user/Task.rs"),
        ("citizen", "user/Task.s"),
    ] {
        let mut order = order(as_, scope);
        if as_ == "citizen" {
            order["hpr"].take();
            order["orgnr"].take();
        }
        let answer = region.test_token(&order).await;
        assert_eq!(answer.status, 400, "{as_} {scope} {}", answer.body);
        assert_eq!(answer.body["error"], "invalid_request");
    }
    let answer = region
        .test_token(&order("practitioner", "user/Task.s"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let jwt = answer.body["access_token"].as_str().unwrap();
    let refusal = at_service(&region, jwt, PROVEHEIM, "310001074")
        .await
        .unwrap();
    assert_eq!(refusal.unwrap_err().code, "insufficient_scope");
    let now = Instant::from_seconds(NOW);
    let claims = token::verify(jwt, &region.keys().await, ISSUER, PROVEHEIM, now).unwrap();
    assert!(claims.patient.is_none());
    assert!(claims.attest.unwrap().patients.is_empty());
}
