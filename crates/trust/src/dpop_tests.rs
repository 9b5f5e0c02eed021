//! DPoP proofs: the broken ones that HelseID's own sample checks for, and more.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use super::*;
use crate::encoding::base64url;

const URL: &str = "https://fjellvik.example/fhir/Observation/_search";
const NOW: i64 = 1_800_000_000;

fn check_as(proof: &str, ath: Option<&str>, jkt: Option<&str>) -> Result<Proof, DpopError> {
    verify(proof, "POST", URL, ath, jkt, Instant::from_seconds(NOW))
}

fn claims() -> Value {
    json!({"jti": "j-1", "htm": "POST", "htu": URL, "iat": NOW, "ath": ath("token")})
}

fn signed(header: &Value, claims: &str, key: &SigningKey) -> String {
    let signed = format!(
        "{}.{}",
        base64url(header.to_string().as_bytes()),
        base64url(claims.as_bytes())
    );
    format!(
        "{signed}.{}",
        base64url(&key.sign(signed.as_bytes()).unwrap())
    )
}

#[test]
fn our_own_proof_stands_and_is_remembered_by_key_and_jti() {
    let key = SigningKey::generate().unwrap();
    let token = ath("token");
    let proof = prove(
        &key,
        "POST",
        &format!("{URL}?a=b#c"),
        Some(&token),
        NOW,
        "j-1",
    )
    .unwrap();
    let first = check_as(&proof, Some(&token), Some(key.thumbprint())).unwrap();
    assert_eq!(first.jkt, key.thumbprint());
    // 60 s of acceptance, 10 s of leeway, 60 s for a request under way.
    assert_eq!(first.replay.expires, Instant::from_seconds(NOW + 130));
    // Same key and jti in another proof: the same memory. Another jti or key: another.
    let again = prove(&key, "POST", URL, Some(&token), NOW + 1, "j-1").unwrap();
    assert_eq!(
        check_as(&again, Some(&token), None).unwrap().replay.hash,
        first.replay.hash
    );
    let other = prove(&key, "POST", URL, Some(&token), NOW, "j-2").unwrap();
    assert_ne!(
        check_as(&other, Some(&token), None).unwrap().replay.hash,
        first.replay.hash
    );
    let stranger = SigningKey::generate().unwrap();
    let same_jti = prove(&stranger, "POST", URL, Some(&token), NOW, "j-1").unwrap();
    assert_ne!(
        check_as(&same_jti, Some(&token), None).unwrap().replay.hash,
        first.replay.hash
    );
    assert_eq!(
        check_as(&same_jti, Some(&token), Some(key.thumbprint())),
        Err(DpopError::Key)
    );
}

#[test]
fn broken_claims() {
    let key = SigningKey::generate().unwrap();
    let with = |name: &str, value: Option<Value>| {
        let mut claims = claims();
        match value {
            Some(value) => claims[name] = value,
            None => drop(claims.as_object_mut().unwrap().remove(name)),
        }
        let proof = jws::sign_embedded(TYP, &claims, &key).unwrap();
        check_as(&proof, Some(&ath("token")), None).map(|_| ())
    };
    assert_eq!(with("extra", Some(json!(1))), Ok(()));
    assert_eq!(with("htm", Some(json!("GET"))), Err(DpopError::Method));
    assert_eq!(with("htm", Some(json!("post"))), Err(DpopError::Method));
    assert_eq!(with("htm", None), Err(DpopError::Claim("htm")));
    assert_eq!(with("htu", None), Err(DpopError::Claim("htu")));
    assert_eq!(
        with("htu", Some(json!("not a url"))),
        Err(DpopError::Claim("htu"))
    );
    for other in [
        "https://other.example/fhir/Observation/_search",
        "http://fjellvik.example/fhir/Observation/_search",
        "https://fjellvik.example/fhir/Observation",
        "https://fjellvik.example:8443/fhir/Observation/_search",
        "https://fjellvik.example/fhir/Observation/_search/",
    ] {
        assert_eq!(
            with("htu", Some(json!(other))),
            Err(DpopError::Url),
            "{other}"
        );
    }
    for same in [
        "HTTPS://FJELLVIK.example:443/fhir/Observation/_search",
        "https://fjellvik.example/fhir/Observation/_search?x=y#z",
    ] {
        assert_eq!(with("htu", Some(json!(same))), Ok(()), "{same}");
    }
    assert_eq!(with("ath", Some(json!(ath("other")))), Err(DpopError::Ath));
    assert_eq!(with("ath", None), Err(DpopError::Ath));
    for (iat, expected) in [
        (-60, Ok(())),
        (-61, Err(DpopError::Time)),
        (10, Ok(())),
        (11, Err(DpopError::Time)),
    ] {
        assert_eq!(with("iat", Some(json!(NOW + iat))), expected, "{iat}");
    }
    assert_eq!(with("iat", Some(json!(i64::MIN))), Err(DpopError::Time));
    assert_eq!(with("iat", Some(json!(i64::MAX))), Err(DpopError::Time));
    assert_eq!(
        with("iat", Some(json!("1800000000"))),
        Err(DpopError::Claim("iat"))
    );
    assert_eq!(with("iat", None), Err(DpopError::Claim("iat")));
    assert_eq!(with("jti", None), Err(DpopError::Claim("jti")));
    assert_eq!(with("jti", Some(json!(""))), Err(DpopError::Claim("jti")));
    assert!(with("jti", Some(json!("x".repeat(256)))).is_ok());
    assert_eq!(
        with("jti", Some(json!("x".repeat(257)))),
        Err(DpopError::Claim("jti"))
    );
}

#[test]
fn broken_headers_and_signatures() {
    let key = SigningKey::generate().unwrap();
    let bare = key.public().bare_jwk().clone();
    let text = claims().to_string();
    let with = |header: Value| {
        check_as(&signed(&header, &text, &key), Some(&ath("token")), None).map(|_| ())
    };
    let jws = |error: JwsError| Err(DpopError::Jws(error));
    assert_eq!(
        with(json!({"alg": "ES256", "typ": TYP, "jwk": bare})),
        Ok(())
    );
    assert_eq!(
        with(json!({"alg": "ES256", "typ": "JWT", "jwk": bare})),
        jws(JwsError::Type)
    );
    assert_eq!(
        with(json!({"alg": "ES256", "typ": "at+jwt", "jwk": bare})),
        jws(JwsError::Type)
    );
    assert_eq!(
        with(json!({"alg": "ES256", "jwk": bare})),
        jws(JwsError::Type)
    );
    assert_eq!(
        with(json!({"alg": "none", "typ": TYP, "jwk": bare})),
        jws(JwsError::Algorithm)
    );
    assert_eq!(
        with(json!({"alg": "HS256", "typ": TYP, "jwk": bare})),
        jws(JwsError::Algorithm)
    );
    assert_eq!(
        with(json!({"alg": "PS256", "typ": TYP, "jwk": bare})),
        jws(JwsError::Algorithm)
    );
    assert_eq!(
        with(json!({"alg": "ES256", "typ": TYP})),
        jws(JwsError::Key)
    );
    assert_eq!(
        with(json!({"alg": "ES256", "typ": TYP, "kid": key.kid()})),
        jws(JwsError::Key)
    );
    assert_eq!(
        with(json!({"alg": "ES256", "typ": TYP, "jwk": bare, "crit": ["x"]})),
        jws(JwsError::Header("crit"))
    );
    assert_eq!(
        with(json!({"alg": "ES256", "typ": TYP, "jwk": bare, "jku": "https://evil.example"})),
        jws(JwsError::Header("jku"))
    );
    let private: Value = serde_json::from_str(&key.to_private_jwk()).unwrap();
    assert_eq!(
        with(json!({"alg": "ES256", "typ": TYP, "jwk": private})),
        jws(JwsError::Key)
    );
    assert_eq!(
        with(json!({"alg": "ES256", "typ": TYP, "jwk": {"kty": "oct", "k": "AAAA"}})),
        jws(JwsError::Key)
    );
    // Somebody else's public key over our signature.
    let stranger = SigningKey::generate().unwrap();
    assert_eq!(
        with(json!({"alg": "ES256", "typ": TYP, "jwk": stranger.public().bare_jwk()})),
        jws(JwsError::Signature)
    );
    // A member twice, in claims and in the header.
    let header = json!({"alg": "ES256", "typ": TYP, "jwk": bare});
    let twice = text.replacen('{', r#"{"htm":"POST","#, 1);
    assert_eq!(
        check_as(&signed(&header, &twice, &key), None, None).map(|_| ()),
        jws(JwsError::Payload)
    );
    assert_eq!(
        check_as(&signed(&header, "[]", &key), None, None).map(|_| ()),
        jws(JwsError::Payload)
    );
    // An access token, two proofs in one header, and garbage.
    let good = signed(&header, &text, &key);
    assert!(check_as(&format!("{good},{good}"), None, None).is_err());
    assert!(check_as(&format!("{good}, {good}"), None, None).is_err());
    assert!(check_as(&good[..good.len() - 2], None, None).is_err());
    assert!(check_as("", None, None).is_err());
}

#[test]
fn htu_forms() {
    assert_eq!(
        normalise("HTTP://Example.COM:80").as_deref(),
        Some("http://example.com/")
    );
    assert_eq!(
        normalise("http://127.0.0.1:7070/anchor/token?x").as_deref(),
        Some("http://127.0.0.1:7070/anchor/token")
    );
    assert_eq!(normalise("https://user@example.com/"), None);
    assert_eq!(normalise("ftp://example.com/"), None);
    assert_eq!(normalise("/relative"), None);
}

#[test]
fn with_the_servers_nonce_the_clients_clock_does_not_count() {
    let key = SigningKey::generate().unwrap();
    let until = |nonce: &str| (nonce == "ours").then_some(NOW + 300);
    let check = |claims: Value| {
        let compact = jws::sign_embedded(TYP, &claims, &key).unwrap();
        verify_with_nonce(&compact, "POST", URL, &until)
    };
    let with = |nonce: Value, iat: i64| {
        let mut claims = claims();
        claims["iat"] = iat.into();
        claims["nonce"] = nonce;
        check(claims)
    };
    // Remembered for as long as the nonce stands, with leeway and the time a request may be under way.
    assert_eq!(
        with("ours".into(), NOW - 9_000).unwrap().replay.expires,
        Instant::from_seconds(NOW + 370)
    );
    assert_eq!(with("theirs".into(), NOW), Err(DpopError::Nonce));
    assert_eq!(with(7.into(), NOW), Err(DpopError::Nonce));
    assert_eq!(check(claims()), Err(DpopError::Nonce));
    assert_eq!(DpopError::Nonce.code(), "use_dpop_nonce");
    let mut late = claims();
    late["nonce"] = "ours".into();
    late["htm"] = "GET".into();
    assert_eq!(check(late), Err(DpopError::Method));
}

#[test]
fn a_header_that_was_seen_before_forgives_nothing() {
    let key = SigningKey::generate().unwrap();
    let stranger = SigningKey::generate().unwrap();
    let hash = crate::encoding::sha256(b"token");
    let binding = Binding::new(&hash, key.thumbprint());
    let token = ath("token");
    let now = Instant::from_seconds(NOW);
    let check = |proof: &str, method: &str| verify_bound(proof, method, URL, &binding, now);
    let by = |key: &SigningKey, url: &str, ath: &str, iat: i64, jti: &str| {
        prove(key, "POST", url, Some(ath), iat, jti).unwrap()
    };
    // Another's proof is refused for its key, and leaves no header behind.
    let theirs = by(&stranger, URL, &token, NOW, "j-0");
    assert_eq!(check(&theirs, "POST"), Err(DpopError::Key));
    assert!(binding.header.get().is_none());
    let first = by(&key, URL, &token, NOW, "j-1");
    assert_eq!(
        check(&first, "POST"),
        check_as(&first, Some(&token), Some(key.thumbprint()))
    );
    let kept = binding.header.get().map(|(text, _)| &**text);
    assert_eq!(kept, first.split('.').next());
    // From now on the header is known, and everything else is looked at as before.
    let elsewhere = by(&key, "https://other.example/", &token, NOW, "j-2");
    for (proof, method, expected) in [
        (&first, "GET", DpopError::Method),
        (&elsewhere, "POST", DpopError::Url),
        (
            &by(&key, URL, &ath("other"), NOW, "j-3"),
            "POST",
            DpopError::Ath,
        ),
        (
            &by(&key, URL, &token, NOW - 61, "j-4"),
            "POST",
            DpopError::Time,
        ),
        (
            &by(&key, URL, &token, NOW, ""),
            "POST",
            DpopError::Claim("jti"),
        ),
        (&theirs, "POST", DpopError::Key),
    ] {
        assert_eq!(check(proof, method), Err(expected));
    }
    // The known header over another's payload and signature.
    let (header, _) = first.split_once('.').unwrap();
    let (_, rest) = theirs.split_once('.').unwrap();
    assert_eq!(
        check(&format!("{header}.{rest}"), "POST"),
        Err(DpopError::Jws(JwsError::Signature))
    );
    assert!(check(&by(&key, URL, &token, NOW, "j-5"), "POST").is_ok());
}
