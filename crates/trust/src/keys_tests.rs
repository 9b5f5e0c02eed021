//! Keys: what is read, what is refused, and that a thumbprint is the published one.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use super::*;

#[test]
fn a_key_survives_its_own_file_form() {
    let key = SigningKey::generate().unwrap();
    let again = SigningKey::from_jwk(&key.to_private_jwk()).unwrap();
    assert_eq!(key.thumbprint(), again.thumbprint());
    assert_eq!(key.kid(), again.kid());
    let signature = again.sign(b"message").unwrap();
    assert_eq!(signature.len(), 64);
    assert!(key.public().verifies(b"message", &signature));
    assert!(!key.public().verifies(b"messagE", &signature));
    assert!(!format!("{key:?}").contains(base64url(&key.0.secret).as_str()));
}

#[test]
fn thumbprint_of_rfc_7638_section_3_1() {
    let jwk = json!({"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"});
    assert_eq!(
        jwk_thumbprint(&jwk).unwrap(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    // As a key for use it is refused: it says RS256, and RSA keys are used with PS256 only.
    assert_eq!(PublicKey::from_jwk_value(&jwk), Err(KeyError::Unsupported));
}

#[test]
fn refuses_what_is_not_a_sound_public_key() {
    let good = SigningKey::generate().unwrap().public_jwk();
    assert!(PublicKey::from_jwk_value(&good).is_ok());
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        PublicKey::from_jwk_value(&jwk)
    };
    assert_eq!(with("d", json!("AAAA")), Err(KeyError::Private));
    assert_eq!(with("k", json!("AAAA")), Err(KeyError::Private));
    assert_eq!(with("alg", json!("PS256")), Err(KeyError::Unsupported));
    assert_eq!(with("alg", json!("none")), Err(KeyError::Unsupported));
    assert_eq!(with("use", json!("enc")), Err(KeyError::Unsupported));
    assert_eq!(with("key_ops", json!(["sign"])), Err(KeyError::Unsupported));
    assert_eq!(with("kty", json!("oct")), Err(KeyError::Unsupported));
    assert_eq!(with("crv", json!("P-384")), Err(KeyError::Unsupported));
    assert_eq!(with("kid", json!(7)), Err(KeyError::Member("kid")));
    assert_eq!(with("x", json!("****")), Err(KeyError::Member("x")));
    // A point off the curve, and one of the wrong length.
    assert_eq!(with("x", json!(base64url(&[7u8; 32]))), Err(KeyError::Weak));
    assert_eq!(with("x", json!(base64url(&[7u8; 31]))), Err(KeyError::Weak));
    let rsa = |bytes: usize, e: &[u8]| {
        let mut n = vec![0xffu8; bytes];
        n[0] = 0xc0;
        PublicKey::from_jwk_value(&json!({"kty":"RSA","n":base64url(&n),"e":base64url(e)}))
    };
    assert_eq!(rsa(128, &[1, 0, 1]), Err(KeyError::Weak));
    assert_eq!(rsa(255, &[1, 0, 1]), Err(KeyError::Weak));
    assert_eq!(rsa(256, &[1]), Err(KeyError::Weak));
    assert_eq!(rsa(256, &[2]), Err(KeyError::Weak));
    assert!(rsa(256, &[1, 0, 1]).is_ok());
    assert_eq!(
        PublicKey::from_jwk(r#"{"kty":"EC","kty":"EC"}"#),
        Err(KeyError::Malformed)
    );
}

#[test]
fn a_private_key_whose_halves_differ_is_refused() {
    let (one, other) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let mut jwk: Value = serde_json::from_str(&one.to_private_jwk()).unwrap();
    jwk["d"] = json!(base64url(&other.0.secret));
    assert_eq!(
        SigningKey::from_jwk(&jwk.to_string()).unwrap_err(),
        KeyError::Weak
    );
}

#[test]
fn sets_are_found_by_kid_alone() {
    let (one, other) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let set = KeySet::from_value(&json!({"keys":[one.public_jwk(), other.public_jwk()]})).unwrap();
    assert_eq!(
        set.find(Some(other.kid())).unwrap().thumbprint(),
        other.thumbprint()
    );
    assert!(set.find(None).is_none());
    assert!(set.find(Some("../../etc/passwd")).is_none());
    let twice = json!({"keys":[one.public_jwk(), one.public_jwk()]});
    assert_eq!(
        KeySet::from_value(&twice).unwrap_err(),
        KeyError::DuplicateKid
    );
    assert_eq!(KeySet::parse(b"{}").unwrap_err(), KeyError::Member("keys"));
    let single = KeySet::of(vec![one.public().clone()]).unwrap();
    assert!(single.find(None).is_some());
}
