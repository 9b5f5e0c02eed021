//! Each way in which an ID token is not the answer to our sign-in. Names in brackets are modules of the OpenID
//! conformance suite (`fapi2-security-profile-final-client-test-…`).

#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use super::*;
use crate::encoding::base64url;
use crate::keys::SigningKey;
use serde_json::json;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://helseid-sts.test.nhn.no";

fn expected() -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        client_id: "delt-anchor",
        algorithms: &[Algorithm::Es256, Algorithm::Ps256],
        nonce: "n-1",
        began: NOW - 60,
        max_age: 3600,
        anew: false,
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "delt-anchor", "sub": "s", "nonce": "n-1",
        "iat": NOW - 5, "exp": NOW + 300, "auth_time": NOW - 30,
    })
}

fn answer(claims: &Value, expected: Expected<'_>) -> Result<IdToken, IdTokenError> {
    let key = SigningKey::generate().unwrap();
    let keys = KeySet::of(vec![key.public().clone()]).unwrap();
    let jwt = jws::sign("JWT", claims, &key).unwrap();
    verify(&jwt, &keys, expected, Instant::from_seconds(NOW))
}

#[test]
fn the_answer_to_our_question_stands() {
    let token = answer(&claims(), expected()).unwrap();
    assert_eq!(token.auth_time, NOW - 30);
    assert_eq!(token.claims["sub"], "s");
    assert_eq!(format!("{token:?}"), "IdToken(auth_time 1799999970)");
    let mut listed = claims();
    listed["aud"] = json!(["delt-anchor"]);
    listed["azp"] = "delt-anchor".into();
    listed["nbf"] = (NOW - 5).into();
    listed["sub"] = "s".repeat(255).into();
    assert!(answer(&listed, expected()).is_ok());
}

#[test]
fn each_claim_must_be_what_was_asked_for() {
    use IdTokenError::{Claim, Time, TooOld};
    for (name, value, error) in [
        // [invalid-iss, invalid-missing-iss]
        ("iss", json!("https://evil.example"), Claim("iss")),
        (
            "iss",
            json!("https://helseid-sts.test.nhn.no/"),
            Claim("iss"),
        ),
        ("iss", Value::Null, Claim("iss")),
        // [invalid-aud, invalid-missing-aud]
        ("aud", json!("another"), Claim("aud")),
        ("aud", json!(["delt-anchor", "another"]), Claim("aud")),
        ("aud", json!([]), Claim("aud")),
        ("aud", Value::Null, Claim("aud")),
        ("azp", json!("another"), Claim("azp")),
        ("azp", Value::Null, Claim("azp")),
        // [invalid-nonce, invalid-missing-nonce]
        ("nonce", json!("n-2"), Claim("nonce")),
        ("nonce", Value::Null, Claim("nonce")),
        ("sub", json!(""), Claim("sub")),
        ("sub", json!("s".repeat(256)), Claim("sub")),
        ("sub", json!(7), Claim("sub")),
        // [invalid-expired-exp, invalid-missing-exp]
        ("exp", json!(NOW - 10), Time),
        ("exp", json!("soon"), Claim("exp")),
        ("exp", json!(1.5), Claim("exp")),
        ("iat", json!(NOW + 11), Time),
        ("iat", json!(NOW - 71), Time),
        ("iat", Value::Null, Claim("iat")),
        ("nbf", json!(NOW + 11), Time),
        ("nbf", json!("now"), Claim("nbf")),
        ("auth_time", json!(NOW + 11), Time),
        ("auth_time", json!(NOW - 3611), TooOld),
        ("auth_time", Value::Null, Claim("auth_time")),
    ] {
        let mut wrong = claims();
        wrong[name] = value.clone();
        assert_eq!(
            answer(&wrong, expected()).unwrap_err(),
            error,
            "{name} {value}"
        );
    }
    for name in ["iss", "aud", "sub", "nonce", "iat", "exp", "auth_time"] {
        let mut lacking = claims();
        lacking.as_object_mut().unwrap().remove(name);
        assert_eq!(
            answer(&lacking, expected()).unwrap_err(),
            Claim(name),
            "{name}"
        );
    }
}

#[test]
fn the_borders_of_time_are_ten_seconds_wide() {
    for (name, value) in [
        ("exp", NOW - 9),
        ("iat", NOW + 10),
        ("iat", NOW - 70),
        ("auth_time", NOW - 3610),
        ("auth_time", NOW + 10),
    ] {
        let mut near = claims();
        near[name] = value.into();
        assert!(answer(&near, expected()).is_ok(), "{name}");
    }
}

#[test]
fn who_must_sign_in_anew_did_so_after_we_asked() {
    let anew = Expected {
        anew: true,
        ..expected()
    };
    let mut at = claims();
    at["auth_time"] = (NOW - 70).into();
    assert!(answer(&at, anew).is_ok());
    at["auth_time"] = (NOW - 71).into();
    assert_eq!(answer(&at, anew).unwrap_err(), IdTokenError::TooOld);
    assert!(answer(&at, expected()).is_ok());
}

#[test]
fn another_kind_of_token_or_algorithm_is_none() {
    let key = SigningKey::generate().unwrap();
    let keys = KeySet::of(vec![key.public().clone()]).unwrap();
    let verify = |jwt: &str, expected| verify(jwt, &keys, expected, Instant::from_seconds(NOW));
    for typ in ["at+jwt", "logout+jwt", "dpop+jwt", ""] {
        let jwt = jws::sign(typ, &claims(), &key).unwrap();
        assert_eq!(
            verify(&jwt, expected()),
            Err(IdTokenError::Jws(JwsError::Type)),
            "{typ}"
        );
    }
    // [invalid-alternate-alg]: an algorithm that we know and did not agree on with this provider.
    let jwt = jws::sign("JWT", &claims(), &key).unwrap();
    let others = Expected {
        algorithms: &[Algorithm::Ps256, Algorithm::Rs256],
        ..expected()
    };
    assert_eq!(
        verify(&jwt, others),
        Err(IdTokenError::Jws(JwsError::Algorithm))
    );
    // [invalid-null-alg]
    let payload = jwt.split('.').nth(1).unwrap();
    let none = format!("{}.{payload}.", base64url(br#"{"alg":"none"}"#));
    assert_eq!(
        verify(&none, expected()),
        Err(IdTokenError::Jws(JwsError::Algorithm))
    );
    // [invalid-signature], and a key that the provider does not publish.
    let other = SigningKey::generate().unwrap().named(key.kid()).unwrap();
    let forged = jws::sign("JWT", &claims(), &other).unwrap();
    assert_eq!(
        verify(&forged, expected()),
        Err(IdTokenError::Jws(JwsError::Signature))
    );
    let stranger = SigningKey::generate().unwrap();
    let error = verify(&jws::sign("JWT", &claims(), &stranger).unwrap(), expected()).unwrap_err();
    assert!(error.unknown_key());
    assert!(!IdTokenError::Time.unknown_key());
    assert_eq!(error.category(), Category::Unauthenticated);
}
