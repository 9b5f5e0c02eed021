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
    for kid in [json!(7), json!(""), json!("k".repeat(257))] {
        assert_eq!(with("kid", kid), Err(KeyError::Member("kid")));
    }
    let longest = "k".repeat(256);
    let named = with("kid", json!(longest)).unwrap();
    assert_eq!(named.kid(), Some(longest.as_str()));
    // A key of the same form for another use: X25519 agrees on secrets, and signs nothing.
    let agrees = json!({"kty": "OKP", "crv": "X25519", "x": base64url(&[7; 32])});
    assert_eq!(
        PublicKey::from_jwk_value(&agrees),
        Err(KeyError::Unsupported)
    );
    assert_eq!(with("x", json!("****")), Err(KeyError::Member("x")));
    // A point off the curve, and one of the wrong length.
    assert_eq!(with("x", json!(base64url(&[7u8; 32]))), Err(KeyError::Weak));
    assert_eq!(with("x", json!(base64url(&[7u8; 31]))), Err(KeyError::Weak));
    assert_eq!(
        PublicKey::from_jwk(r#"{"kty":"EC","kty":"EC"}"#),
        Err(KeyError::Malformed)
    );
}

#[test]
fn an_rsa_key_has_a_long_modulus_and_a_small_odd_exponent() {
    // So many bits, all of them ones.
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff_u8; bits.div_ceil(8)];
        bytes[0] >>= bytes.len() * 8 - bits;
        bytes
    };
    let read = |n: &[u8], e: &[u8]| {
        let jwk = json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)});
        PublicKey::from_jwk_value(&jwk).map(drop)
    };
    for (bits, expected) in [
        (1024, Err(KeyError::Weak)),
        (2047, Err(KeyError::Weak)),
        (2048, Ok(())),
        (8192, Ok(())),
        (8193, Err(KeyError::Weak)),
    ] {
        assert_eq!(read(&modulus(bits), &[1, 0, 1]), expected, "{bits} bits");
    }
    let padded = [&[0][..], &modulus(2048)].concat();
    assert_eq!(read(&padded, &[1, 0, 1]), Err(KeyError::Weak));
    for (e, expected) in [
        (&[3][..], Ok(())),
        (&[0x10, 0, 0, 1], Ok(())),
        (&[1, 0, 0, 0, 1], Err(KeyError::Weak)),
        (&[1], Err(KeyError::Weak)),
        (&[2], Err(KeyError::Weak)),
        (&[0, 1, 0, 1], Err(KeyError::Weak)),
        (&[], Err(KeyError::Weak)),
    ] {
        assert_eq!(read(&modulus(2048), e), expected, "{e:?}");
    }
}

#[test]
fn the_same_modulus_under_another_algorithm_is_another_key() {
    let jwk = |alg: &str| {
        let n = base64url(&[0xff; 256]);
        json!({"keys": [{"kty": "RSA", "n": n, "e": "AQAB", "alg": alg}]}).to_string()
    };
    let only = |alg: &str| {
        let set = KeySet::parse_foreign(jwk(alg).as_bytes()).unwrap();
        set.find(None).unwrap().clone()
    };
    assert_eq!(only("PS256").thumbprint(), only("RS256").thumbprint());
    assert_eq!(only("PS256"), only("PS256"));
    assert_ne!(only("PS256"), only("RS256"));
}

#[test]
fn a_private_key_is_of_one_kind_for_one_use_in_one_form() {
    let key = SigningKey::generate().unwrap();
    let whole: Value = serde_json::from_str(&key.to_private_jwk()).unwrap();
    let with = |changes: &[(&str, Value)]| {
        let mut jwk = whole.clone();
        for (name, value) in changes {
            jwk[*name] = value.clone();
        }
        SigningKey::from_jwk(&jwk.to_string()).map(|key| key.thumbprint().to_owned())
    };
    assert_eq!(with(&[]).as_deref(), Ok(key.thumbprint()));
    for (name, other) in [
        ("kty", "OKP"),
        ("crv", "P-384"),
        ("alg", "ES384"),
        ("use", "enc"),
    ] {
        assert_eq!(
            with(&[(name, json!(other))]),
            Err(KeyError::Unsupported),
            "{name}"
        );
    }
    // The same numbers, written with another length or divided elsewhere, would give one key two forms.
    let point = key.0.pair.public_key().as_ref();
    let padded = [&[0][..], &key.0.secret].concat();
    let moved = [
        ("x", json!(base64url(&point[1..32]))),
        ("y", json!(base64url(&point[32..]))),
    ];
    assert_eq!(
        with(&[("d", json!(base64url(&padded)))]),
        Err(KeyError::Weak)
    );
    assert_eq!(with(&moved), Err(KeyError::Weak));
}

#[test]
fn only_the_lack_of_randomness_is_ours() {
    assert_eq!(KeyError::Random.category(), Category::Unavailable);
    assert_eq!(KeyError::Weak.category(), Category::Invalid);
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
    // As it is published, it is read again.
    assert_eq!(
        KeySet::from_value(&set.to_jwks()).unwrap().keys(),
        set.keys()
    );
}

#[test]
fn a_set_holds_so_many_keys_and_no_name_twice() {
    let keys = |count: usize| -> Vec<PublicKey> {
        let new = |_| SigningKey::generate().unwrap().public().clone();
        (0..count).map(new).collect()
    };
    assert_eq!(KeySet::of(keys(MOST_KEYS)).unwrap().keys().len(), MOST_KEYS);
    assert_eq!(
        KeySet::of(keys(MOST_KEYS + 1)).unwrap_err(),
        KeyError::TooMany
    );
    // Keys without a name are never asked for by one.
    let mut nameless = keys(2);
    nameless.iter_mut().for_each(|key| key.kid = None);
    assert!(KeySet::of(nameless).unwrap().find(None).is_none());
}
