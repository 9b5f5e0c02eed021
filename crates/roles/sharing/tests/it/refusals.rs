//! Who is refused, with which words, and that every refusal is on record (CONTRACT section 3).

use crate::house::*;
use http::StatusCode;
use testkit::clients::Reply;
use testkit::door::Held;
use testkit::issuer::{Issuer, ProofKey};
use trust::ClientUse;
use trust::audit::{Outcome, Record};
use trust::token::Claims;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

async fn filled() -> Service {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    service
}

/// Searches, checks that exactly one record was written, and gives both.
async fn look(service: &Service, who: &Held) -> (Reply, Record) {
    let before = service.audit().await.len();
    let reply = service
        .search(
            who,
            "Observation",
            &[("patient.identifier", &number(ragnhild()))],
        )
        .await;
    let records = service.audit().await;
    assert_eq!(records.len(), before + 1);
    let record = records.into_iter().next().unwrap().record;
    assert_eq!(record.request_id, reply.header("x-request-id"));
    (reply, record)
}

/// Refused as `refused by rule: code`, audited the same, and without a word about what is there.
async fn refused(service: &Service, who: &Held, rule: &str, code: &str) {
    let (reply, record) = look(service, who).await;
    assert_eq!(
        reply.status,
        StatusCode::FORBIDDEN,
        "{rule} {code}: {}",
        reply.json
    );
    assert_eq!(issues(&reply.json), ["forbidden @ -"]);
    if code != "insufficient_scope" {
        let details = &reply.json["issue"][0]["details"];
        assert_eq!(
            (
                details["coding"][0]["code"].as_str(),
                details["text"].as_str()
            ),
            (Some(code), Some(rule))
        );
    }
    assert_eq!(
        record.outcome,
        Outcome::Refused {
            rule: rule.into(),
            code: code.into()
        }
    );
    assert!(record.disclosed.is_empty());
    assert!(
        record.asked.starts_with("POST /Observation/_search"),
        "{}",
        record.asked
    );
}

#[tokio::test]
async fn each_defect_of_the_attest_is_refused_in_its_own_words() {
    let service = filled().await;
    let but = |change: &dyn Fn(&mut Claims)| service.physician_but(ragnhild(), change);
    let no_attest = but(&|claims| claims.attest = None);
    refused(&service, &no_attest, "attestation", "attestation_missing").await;
    let stale = but(&|claims| claims.attest.as_mut().unwrap().toa -= 61 * 60);
    refused(&service, &stale, "attestation", "attestation_has_expired").await;
    let early = but(&|claims| claims.attest.as_mut().unwrap().toa += 60);
    refused(&service, &early, "attestation", "attestation_not_yet_valid").await;
    let other_practitioner = but(&|claims| {
        claims.attest.as_mut().unwrap().practitioner.identifier.id = arne().number.clone()
    });
    refused(
        &service,
        &other_practitioner,
        "identity",
        "attestation_practitioner",
    )
    .await;
    let low = but(&|claims| claims.security_level = Some("3".into()));
    refused(&service, &low, "identity", "assurance_too_low").await;
    let no_patient = but(&|claims| {
        claims.patient = None;
        claims.attest.as_mut().unwrap().patients.clear();
    });
    refused(&service, &no_patient, "patient", "patient_binding_missing").await;
    let patient_unattested = but(&|claims| claims.attest.as_mut().unwrap().patients.clear());
    refused(
        &service,
        &patient_unattested,
        "patient",
        "patient_binding_missing",
    )
    .await;
    let no_purpose = but(&|claims| {
        claims
            .attest
            .as_mut()
            .unwrap()
            .care_relationship
            .purpose_of_use = None
    });
    let (reply, record) = look(&service, &no_purpose).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(matches!(record.outcome, Outcome::Refused { rule, .. } if rule == "purpose"));
    let no_decision = but(&|claims| {
        claims
            .attest
            .as_mut()
            .unwrap()
            .care_relationship
            .decision_ref = None
    });
    let (reply, record) = look(&service, &no_decision).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(matches!(record.outcome, Outcome::Refused { rule, .. } if rule == "decision_ref"));
}

#[tokio::test]
async fn without_agreement_scope_or_right_nothing_is_shown() {
    let service = filled().await;
    let but = |change: &dyn Fn(&mut Claims)| service.physician_but(ragnhild(), change);
    refused(
        &service,
        &but(&|claims| claims.agreement = None),
        "agreement",
        "agreement_missing",
    )
    .await;
    // The municipality's own people need none.
    let own = service.held(|jkt| {
        service
            .issuer
            .practitioner_claims(physician(), FJELLVIK, ragnhild(), &service.base, jkt, NOW)
            .unwrap()
    });
    assert_eq!(found(&look(&service, &own).await.0).len(), 1);
    refused(
        &service,
        &but(&|claims| claims.scope = "user/CarePlan.rs".into()),
        "scope",
        "insufficient_scope",
    )
    .await;
    let (reply, _) = look(
        &service,
        &but(&|claims| claims.scope = "user/CarePlan.rs".into()),
    )
    .await;
    assert!(
        reply
            .header("www-authenticate")
            .contains("insufficient_scope")
    );
    refused(
        &service,
        &service.record_system(PROVEHEIM),
        "role",
        "access_denied",
    )
    .await;
    refused(&service, &service.hub(FJELLVIK), "role", "access_denied").await;
    refused(
        &service,
        &service.system(ClientUse::Gateway, PROVEHEIM, "system/*.rs"),
        "role",
        "access_denied",
    )
    .await;
    let mut citizen_of_other = service
        .issuer
        .citizen_claims(ragnhild(), &service.base, "", NOW);
    citizen_of_other.pid = Some(arne().number.clone());
    let not_own = service.held(|jkt| {
        citizen_of_other.cnf = Some(trust::token::Confirmation { jkt: jkt.into() });
        citizen_of_other.clone()
    });
    refused(&service, &not_own, "patient", "not_own_data").await;
    let represents = service.held(|jkt| {
        citizen_of_other.cnf = Some(trust::token::Confirmation { jkt: jkt.into() });
        citizen_of_other.represents = Some(trust::Representation {
            id: "r-1".into(),
            services: vec![fhir::resource::InformationService::MEASUREMENTS],
            log: false,
            notes: false,
        });
        citizen_of_other.clone()
    });
    assert_eq!(found(&look(&service, &represents).await.0).len(), 1);
}

/// 401 with the challenge, one record, no caller believed in unless the token stood.
async fn unauthenticated(service: &Service, who: &Held, code: &str) {
    let (reply, record) = look(service, who).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", reply.json);
    assert!(
        reply
            .header("www-authenticate")
            .starts_with(&format!("DPoP error=\"{code}\"")),
        "{}",
        reply.header("www-authenticate")
    );
    assert_eq!(reply.json["resourceType"], "OperationOutcome");
    assert_eq!(
        record.outcome,
        Outcome::Unauthenticated { code: code.into() }
    );
    assert!(
        record.disclosed.is_empty() && !String::from_utf8_lossy(&reply.body).contains(&who.jwt)
    );
}

#[tokio::test]
async fn each_defect_of_the_token_is_a_401_on_record() {
    let service = filled().await;
    let but = |change: &dyn Fn(&mut Claims)| service.physician_but(ragnhild(), change);
    for (name, change) in [
        (
            "expired",
            (|c: &mut Claims| (c.iat, c.nbf, c.exp) = (c.iat - 600, c.nbf - 600, c.exp - 600))
                as fn(&mut Claims),
        ),
        ("not yet valid", |c| {
            (c.iat, c.nbf, c.exp) = (c.iat + 300, c.nbf + 300, c.exp + 300)
        }),
        ("wrong issuer", |c| c.iss = "https://wrong.example".into()),
        ("wrong audience", |c| c.aud = "https://wrong.example".into()),
        ("a longer audience", |c| c.aud.push('x')),
        ("no cnf", |c| c.cnf = None),
    ] {
        println!("{name}");
        unauthenticated(&service, &but(&change), "invalid_token").await;
    }
    let key = ProofKey::generate().unwrap();
    let claims = service.physician_claims(ragnhild(), key.jkt());
    let typ = Held::from_jwt(&key, service.issuer.sign_as("JWT", &claims).unwrap());
    unauthenticated(&service, &typ, "invalid_token").await;
    // Signed by a key that the issuer does not have, and with a signature that is not its own.
    let other = Issuer::start_at(service.clock.clock()).await.unwrap();
    unauthenticated(
        &service,
        &Held::from_jwt(&key, other.sign(&claims).unwrap()),
        "invalid_token",
    )
    .await;
    let good = service.issuer.sign(&claims).unwrap();
    let mut another = claims.clone();
    another.jti = "other".into();
    let another = service.issuer.sign(&another).unwrap();
    let (body, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = another.rsplit_once('.').unwrap();
    unauthenticated(
        &service,
        &Held::from_jwt(&key, format!("{body}.{signature}")),
        "invalid_token",
    )
    .await;
    unauthenticated(
        &service,
        &Held::from_jwt(&key, "not.a.token".into()),
        "invalid_token",
    )
    .await;
    // Bound to another key than the proof's.
    let stolen = Held::from_jwt(&ProofKey::generate().unwrap(), good);
    let (reply, record) = look(&service, &stolen).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        record.outcome,
        Outcome::Unauthenticated {
            code: "invalid_dpop_proof".into()
        }
    );
}

#[tokio::test]
async fn a_proof_serves_one_request_once() {
    let service = filled().await;
    let who = service.physician(ragnhild());
    let form = [("code", SPO2)];
    let knock = || service.door.search("Observation", &form);
    let proof = knock().proof(&who, NOW);
    let first = knock().with(&who, &proof).send().await;
    assert_eq!(found(&first).len(), 1);
    let before = service.audit().await.len();
    let replayed = knock().with(&who, &proof).send().await;
    assert_eq!(
        replayed.status,
        StatusCode::UNAUTHORIZED,
        "{}",
        replayed.json
    );
    assert!(
        replayed
            .header("www-authenticate")
            .starts_with("DPoP error=\"invalid_dpop_proof\"")
    );
    let records = service.audit().await;
    assert_eq!(records.len(), before + 1);
    assert_eq!(
        records[0].record.outcome,
        Outcome::Unauthenticated {
            code: "invalid_dpop_proof".into()
        }
    );
    assert_eq!(records[0].record.client.as_deref(), Some("delt-test"));
    assert!(records[0].record.disclosed.is_empty());

    // For another path or method, too old, twice in one request, or with a token sent as Bearer: refused.
    let elsewhere = service.door.get("/Observation/x").proof(&who, NOW);
    let old = knock().proof(&who, NOW.plus_seconds(-120));
    for reply in [
        knock().with(&who, &elsewhere).send().await,
        knock().with(&who, &old).send().await,
        knock().by(&who, NOW).header("dpop", &old).send().await,
        knock()
            .header("authorization", &format!("Bearer {}", who.jwt))
            .send()
            .await,
        knock()
            .header("authorization", &format!("DPoP {}", who.jwt))
            .send()
            .await,
    ] {
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", reply.json);
    }
    let none = knock().send().await;
    assert_eq!(
        (
            none.status,
            none.header("www-authenticate").starts_with("DPoP")
        ),
        (StatusCode::UNAUTHORIZED, true)
    );
    assert!(!none.header("www-authenticate").contains("error"));
}

#[tokio::test]
async fn a_replayed_write_writes_nothing_also_after_a_restart() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let body = |key: &str| reading(ragnhild(), key, WHEN, "91").to_string();
    let proof = service
        .door
        .post("/Observation", body("r-1"))
        .proof(&owner, NOW);
    assert_eq!(
        service
            .door
            .post("/Observation", body("r-1"))
            .with(&owner, &proof)
            .send()
            .await
            .status,
        StatusCode::CREATED
    );
    let (folder, clock, issuer) = (
        service.folder.clone(),
        service.clock.clone(),
        service.issuer.clone(),
    );
    let config = config(folder.path(), &issuer, "fjellvik", FJELLVIK, &[]);
    drop(service);
    let again = Service::open(folder, clock, issuer, config).await;
    let replayed = again
        .door
        .post("/Observation", body("r-2"))
        .with(&owner, &proof)
        .send()
        .await;
    assert_eq!(replayed.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        found(&again.search(&owner, "Observation", &[]).await).len(),
        1
    );
}
