//! Access tokens: what verifies, and each way in which one does not.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use super::*;
use crate::{assertion, dpop};
use serde_json::json;

pub(super) const ISSUER: &str = "https://anchor.example";
pub(super) const AUDIENCE: &str = "https://fjellvik.example/fhir";
pub(super) const NOW: i64 = 1_800_000_000;

pub(super) fn claims(key: &SigningKey) -> Claims {
    serde_json::from_value(json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "client_id": "delt-test",
        "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 100, "jti": "t-1", "scope": "user/Observation.rs",
        "cnf": {"jkt": key.thumbprint()},
        "helseid://claims/identity/pid": "13888410278",
        "helseid://claims/identity/security_level": "4",
        "helseid://claims/client/claims/orgnr_parent": "310001074",
        "https://delt.example/claims/patient": {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": "14835210260"},
        "https://delt.example/claims/use": "gateway",
        "https://delt.example/claims/kind": "practitioner",
    }))
    .unwrap()
}

pub(super) fn set(key: &SigningKey) -> KeySet {
    KeySet::of(vec![key.public().clone()]).unwrap()
}

fn check(jwt: &str, key: &SigningKey) -> Result<Claims, TokenError> {
    verify(jwt, &set(key), ISSUER, AUDIENCE, Instant::from_seconds(NOW))
}

#[test]
fn a_sound_token_becomes_a_caller() {
    let key = SigningKey::generate().unwrap();
    let jwt = issue(&claims(&key), &key).unwrap();
    let verified = check(&jwt, &key).unwrap();
    assert_eq!(verified, claims(&key));
    let caller = verified.caller(&jwt).unwrap();
    assert_eq!(caller.jkt, key.thumbprint());
    assert_eq!(caller.use_, ClientUse::Gateway);
    assert_eq!(caller.token_hash, sha256(jwt.as_bytes()));
    assert!(matches!(
        &caller.person,
        Person::Practitioner {
            security_level: 4,
            attestation: None,
            ..
        }
    ));
    let shown = format!("{caller:?} {verified:?}");
    assert!(
        !shown.contains("13888410278") && !shown.contains("14835210260"),
        "{shown}"
    );
}

#[test]
fn every_single_fault_is_refused() {
    let key = SigningKey::generate().unwrap();
    let spoil = |change: &dyn Fn(&mut Claims)| {
        let mut spoiled = claims(&key);
        change(&mut spoiled);
        check(&issue(&spoiled, &key).unwrap(), &key).map(|_| ())
    };
    assert_eq!(spoil(&|_| {}), Ok(()));
    assert_eq!(spoil(&|c| c.iss.push('/')), Err(TokenError::Issuer));
    assert_eq!(
        spoil(&|c| c.aud = "https://fjellvik.example/fhi".into()),
        Err(TokenError::Audience)
    );
    assert_eq!(
        spoil(&|c| c.aud = "https://fjellvik.example/fhir/".into()),
        Err(TokenError::Audience)
    );
    // Both neighbours of the leeway of ten seconds.
    assert_eq!(spoil(&|c| c.exp = NOW - 9), Ok(()));
    assert_eq!(spoil(&|c| c.exp = NOW - 10), Err(TokenError::Expired));
    assert_eq!(spoil(&|c| c.nbf = NOW + 10), Ok(()));
    assert_eq!(spoil(&|c| c.nbf = NOW + 11), Err(TokenError::NotYetValid));
    assert_eq!(spoil(&|c| c.iat = NOW + 10), Ok(()));
    assert_eq!(spoil(&|c| c.iat = NOW + 11), Err(TokenError::NotYetValid));
    assert_eq!(spoil(&|c| c.exp = i64::MIN), Err(TokenError::Expired));
    assert_eq!(spoil(&|c| c.cnf = None), Err(TokenError::Unbound));
    assert_eq!(
        spoil(&|c| c.cnf = Some(Confirmation { jkt: "x".into() })),
        Err(TokenError::Unbound)
    );
    for typ in ["JWT", "dpop+jwt", "id_token", "at+jwtx", ""] {
        let jwt = issue_as(typ, &claims(&key), &key).unwrap();
        assert_eq!(
            check(&jwt, &key),
            Err(TokenError::Jws(JwsError::Type)),
            "{typ}"
        );
    }
    assert!(
        check(
            &issue_as("application/at+jwt", &claims(&key), &key).unwrap(),
            &key
        )
        .is_ok()
    );
    let other = SigningKey::generate().unwrap();
    let error = check(&issue(&claims(&key), &other).unwrap(), &key).unwrap_err();
    assert!(error.unknown_key());
    assert!(!TokenError::Expired.unknown_key() && !TokenError::Jws(JwsError::Type).unknown_key());
    assert_eq!(
        (error.category(), error.code()),
        (Category::Unauthenticated, "invalid_token")
    );
}

#[test]
fn claims_of_the_wrong_type_are_refused() {
    let key = SigningKey::generate().unwrap();
    let whole = serde_json::to_value(claims(&key)).unwrap();
    let with = |name: &str, value: Option<Value>| {
        let mut changed = whole.clone();
        let members = changed.as_object_mut().unwrap();
        match value {
            Some(value) => members.insert(name.into(), value),
            None => members.remove(name),
        };
        check(&jws::sign(TYP, &changed, &key).unwrap(), &key).map(|_| ())
    };
    for name in ["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "client_id"] {
        assert_eq!(with(name, None), Err(TokenError::Claims), "{name} missing");
    }
    for name in ["exp", "nbf", "iat"] {
        assert_eq!(
            with(name, Some(json!("1800000100"))),
            Err(TokenError::Claims),
            "{name} text"
        );
        assert_eq!(
            with(name, Some(json!(1_800_000_100.5))),
            Err(TokenError::Claims),
            "{name} fraction"
        );
    }
    assert_eq!(with("aud", Some(json!([AUDIENCE]))), Ok(()));
    assert_eq!(
        with("aud", Some(json!([AUDIENCE, "https://other.example"]))),
        Err(TokenError::Claims)
    );
    assert_eq!(with("aud", Some(json!([]))), Err(TokenError::Claims));
    assert_eq!(
        with("https://delt.example/claims/kind", Some(json!("root"))),
        Err(TokenError::Claims)
    );
}

#[test]
fn proofs_and_assertions_are_no_access_tokens() {
    let key = SigningKey::generate().unwrap();
    let proof = dpop::prove(&key, "GET", AUDIENCE, None, NOW, "j").unwrap();
    assert_eq!(
        check(&proof, &key),
        Err(TokenError::Jws(JwsError::Header("jwk")))
    );
    let assertion = assertion::make("client", ISSUER, &key, NOW, "j").unwrap();
    assert_eq!(
        check(&assertion, &key),
        Err(TokenError::Jws(JwsError::Type))
    );
}

#[test]
fn a_person_or_organisation_that_is_missing_makes_no_caller() {
    let key = SigningKey::generate().unwrap();
    let caller = |change: &dyn Fn(&mut Claims)| {
        let mut changed = claims(&key);
        change(&mut changed);
        changed.caller("jwt").map(|_| ())
    };
    assert_eq!(caller(&|c| c.pid = None), Err(TokenError::Claims));
    assert_eq!(
        caller(&|c| c.pid = Some("123".into())),
        Err(TokenError::Claims)
    );
    assert_eq!(caller(&|c| c.kind = Kind::System), Err(TokenError::Claims));
    assert_eq!(caller(&|c| (c.kind, c.pid) = (Kind::System, None)), Ok(()));
    assert_eq!(
        caller(&|c| (c.kind, c.pid, c.orgnr_parent) = (Kind::System, None, None)),
        Err(TokenError::Claims)
    );
    assert_eq!(
        caller(&|c| c.scope = "everything".into()),
        Err(TokenError::Claims)
    );
    assert_eq!(
        caller(&|c| c.security_level = Some("high".into())),
        Err(TokenError::Claims)
    );
}

#[test]
fn the_attest_is_read_from_one_place_only() {
    let key = SigningKey::generate().unwrap();
    let attest = json!({"type": attest::CLAIM, "toa": NOW, "care_relationship": {},
        "practitioner": {"identifier": {"id": "13888410278", "system": "urn:oid:2.16.578.1.12.4.1.4.1"}},
        "patients": [{"identifier": {"id": "14835210260", "system": "urn:oid:2.16.578.1.12.4.1.4.1"}}]});
    let mut one = claims(&key);
    one.patient = None;
    one.authorization_details = vec![json!({"type": "helseid_authorization"}), attest.clone()];
    let caller = one.caller("jwt").unwrap();
    assert_eq!(caller.person.attestation().unwrap().toa, NOW);
    // Without a claim of ours the attest's one patient is the binding.
    assert_eq!(caller.patient.unwrap().value().expose(), "14835210260");
    one.attest = Some(serde_json::from_value(attest).unwrap());
    assert_eq!(one.caller("jwt").map(|_| ()), Err(TokenError::Claims));
}
