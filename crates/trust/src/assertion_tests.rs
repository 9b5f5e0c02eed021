//! Client assertions: what is accepted, and each way in which one is not.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use super::*;
use crate::dpop;

const ISSUER: &str = "https://anchor.example";
const NOW: i64 = 1_800_000_000;

fn check(jwt: &str, key: &SigningKey) -> Result<Replay, AssertionError> {
    let keys = KeySet::of(vec![key.public().clone()]).unwrap();
    verify(jwt, "client", &keys, ISSUER, Instant::from_seconds(NOW))
}

#[test]
fn our_own_assertion_stands() {
    let key = SigningKey::generate().unwrap();
    let jwt = make("client", ISSUER, &key, NOW, "j-1").unwrap();
    assert_eq!(claimed_client(&jwt).as_deref(), Some("client"));
    let first = check(&jwt, &key).unwrap();
    assert_eq!(
        first.hash,
        check(&make("client", ISSUER, &key, NOW + 1, "j-1").unwrap(), &key)
            .unwrap()
            .hash
    );
    assert_ne!(
        first.hash,
        check(&make("client", ISSUER, &key, NOW, "j-2").unwrap(), &key)
            .unwrap()
            .hash
    );
    // It is remembered for longer than it could be accepted.
    assert_eq!(
        first.expires,
        Instant::from_seconds(NOW + LIFETIME_SECONDS + 2 * LEEWAY_SECONDS)
    );
}

#[test]
fn every_single_fault_is_refused() {
    let key = SigningKey::generate().unwrap();
    let with = |name: &str, value: Option<Value>| {
        let mut claims = json!({"iss": "client", "sub": "client", "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "j"});
        match value {
            Some(value) => claims[name] = value,
            None => drop(claims.as_object_mut().unwrap().remove(name)),
        }
        check(&jws::sign("JWT", &claims, &key).unwrap(), &key).map(|_| ())
    };
    assert_eq!(with("x", Some(json!(1))), Ok(()));
    for name in ["iss", "sub", "aud", "jti", "iat", "exp"] {
        assert_eq!(with(name, None), Err(AssertionError::Claim(name)));
        assert_eq!(
            with(name, Some(json!(true))),
            Err(AssertionError::Claim(name))
        );
    }
    assert_eq!(
        with("iss", Some(json!("other"))),
        Err(AssertionError::Claim("iss"))
    );
    assert_eq!(
        with("sub", Some(json!("other"))),
        Err(AssertionError::Claim("sub"))
    );
    assert_eq!(
        with("aud", Some(json!([ISSUER]))),
        Err(AssertionError::Claim("aud"))
    );
    assert_eq!(
        with("aud", Some(json!(format!("{ISSUER}/token")))),
        Err(AssertionError::Claim("aud"))
    );
    assert_eq!(
        with("exp", Some(json!((NOW + 60).to_string()))),
        Err(AssertionError::Claim("exp"))
    );
    assert_eq!(
        with("exp", Some(json!(NOW + 61))),
        Err(AssertionError::Time)
    );
    assert_eq!(with("exp", Some(json!(NOW - 9))), Ok(()));
    assert_eq!(
        with("exp", Some(json!(NOW - 10))),
        Err(AssertionError::Time)
    );
    assert_eq!(
        with("iat", Some(json!(NOW + 11))),
        Err(AssertionError::Time)
    );
    assert_eq!(
        with("nbf", Some(json!(NOW + 11))),
        Err(AssertionError::Time)
    );
    assert_eq!(
        with("nbf", Some(json!("now"))),
        Err(AssertionError::Claim("nbf"))
    );
    assert_eq!(with("jti", Some(json!("j".repeat(256)))), Ok(()));
    for jti in [String::new(), "j".repeat(257)] {
        let error = with("jti", Some(json!(jti))).unwrap_err();
        assert_eq!(error, AssertionError::Claim("jti"));
        assert_eq!(error.code(), "invalid_client");
    }
}

#[test]
fn other_kinds_of_token_are_no_assertions() {
    let key = SigningKey::generate().unwrap();
    let claims = json!({"iss": "client", "sub": "client", "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "j"});
    for typ in ["at+jwt", "dpop+jwt"] {
        let jwt = jws::sign(typ, &claims, &key).unwrap();
        assert_eq!(
            check(&jwt, &key),
            Err(AssertionError::Jws(JwsError::Type)),
            "{typ}"
        );
    }
    let proof = dpop::prove(&key, "POST", ISSUER, None, NOW, "j").unwrap();
    assert!(check(&proof, &key).is_err());
    let stranger = SigningKey::generate().unwrap();
    assert_eq!(
        check(&make("client", ISSUER, &stranger, NOW, "j").unwrap(), &key),
        Err(AssertionError::Jws(JwsError::UnknownKey))
    );
    assert_eq!(claimed_client("a.b"), None);
    assert_eq!(claimed_client(""), None);
}

#[test]
fn structured_content_travels_in_the_assertion() {
    let key = SigningKey::generate().unwrap();
    let keys = KeySet::of(vec![key.public().clone()]).unwrap();
    let now = Instant::from_seconds(NOW);
    let one = json!({"type": "nhn:tillitsrammeverk:parameters"});
    let jwt =
        make_with_details("client", ISSUER, &key, NOW, "j", std::slice::from_ref(&one)).unwrap();
    let (_, details) = verify_with_details(&jwt, "client", &keys, ISSUER, now).unwrap();
    assert_eq!(details, std::slice::from_ref(&one));
    let with = |details: Value| {
        let claims = json!({"iss": "client", "sub": "client", "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "j",
            "assertion_details": details});
        let jwt = jws::sign(TYP, &claims, &key).unwrap();
        verify_with_details(&jwt, "client", &keys, ISSUER, now).map(|(_, details)| details)
    };
    assert_eq!(with(one.clone()), Ok(vec![one]));
    assert_eq!(
        with(json!("text")),
        Err(AssertionError::Claim("assertion_details"))
    );
}
