//! A protected service under attack by somebody who writes tokens and proofs by hand (threats-and-faults section 3; the list of
//! promises and their tests is docs/threats.md).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use trust::dpop;
use trust::encoding::{base64url, from_base64url, sha256};
use trust::keys::SigningKey;
use wire::client::{Answer, Request};

use crate::region::{Region, listen, serve};

/// A key in the hands of somebody who signs whatever they like with it.
struct Hand {
    pair: EcdsaKeyPair,
    /// The public members.
    jwk: Value,
    private: Value,
}

impl Hand {
    fn of(key: &SigningKey) -> Hand {
        let private: Value = serde_json::from_str(&key.to_private_jwk()).unwrap();
        let bytes = |name: &str| from_base64url(private[name].as_str().unwrap()).unwrap();
        let point = [vec![4], bytes("x"), bytes("y")].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &bytes("d"),
            &point,
        );
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": private["x"], "y": private["y"]});
        Hand {
            pair: pair.unwrap(),
            jwk,
            private,
        }
    }

    fn sign(&self, header: &str, payload: &str) -> String {
        let signed = format!(
            "{}.{}",
            base64url(header.as_bytes()),
            base64url(payload.as_bytes())
        );
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", base64url(signature.unwrap().as_ref()))
    }
}

/// A client with a sound token, and the anchor's key in the wrong hands.
struct Attack {
    region: Region,
    key: SigningKey,
    anchor: Hand,
}

impl Attack {
    async fn new() -> Attack {
        let region = Region::new().await;
        let anchor = Hand::of(&region.anchor.key.lock().unwrap());
        Attack {
            region,
            key: SigningKey::generate().unwrap(),
            anchor,
        }
    }

    fn now(&self) -> i64 {
        (self.region.house.clock)().seconds()
    }

    fn claims(&self) -> Value {
        let claims = self
            .region
            .anchor
            .claims(&self.region.audience(), self.key.thumbprint());
        serde_json::to_value(claims).unwrap()
    }

    /// The header that the anchor writes.
    fn header(&self) -> Value {
        let kid = self.region.anchor.key.lock().unwrap().kid().to_owned();
        json!({"alg": "ES256", "typ": "at+jwt", "kid": kid})
    }

    fn token(&self) -> String {
        let (header, claims) = (self.header().to_string(), self.claims().to_string());
        self.anchor.sign(&header, &claims)
    }

    fn proof(&self, token: &str) -> String {
        let jti = uuid::Uuid::new_v4().to_string();
        let (url, ath) = (self.region.url(), dpop::ath(token));
        dpop::prove(&self.key, "POST", &url, Some(&ath), self.now(), &jti).unwrap()
    }

    fn request(&self, token: &str, proof: &str) -> Request {
        Request::post_fhir(self.region.url(), "{}")
            .header(
                header::AUTHORIZATION,
                format!("DPoP {token}").try_into().unwrap(),
            )
            .header(HeaderName::from_static("dpop"), proof.try_into().unwrap())
    }

    async fn send(&self, request: &Request) -> Answer {
        self.region.house.http.send(request).await.unwrap()
    }

    async fn with_token(&self, token: &str) -> Answer {
        self.send(&self.request(token, &self.proof(token))).await
    }

    async fn refuses_token(&self, what: &str, token: &str) {
        refused(what, &self.with_token(token).await, "invalid_token");
    }
}

fn refused(what: &str, answer: &Answer, error: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
    let challenge = answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
    let expected = format!("DPoP error=\"{error}\"");
    assert!(challenge.starts_with(&expected), "{what}: {challenge}");
    let outcome = b"{\"resourceType\":\"OperationOutcome\"";
    assert!(answer.body.starts_with(outcome), "{what}");
}

#[tokio::test]
async fn helseids_twelve_broken_proofs_are_each_refused_by_name() {
    let attack = Attack::new().await;
    let token = attack.token();
    let hand = Hand::of(&attack.key);
    let header = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": hand.jwk});
    let claims = json!({
        "jti": "j", "htm": "POST", "htu": attack.region.url(), "iat": attack.now(), "ath": dpop::ath(&token),
    });
    let with = |base: &Value, name: &str, value: Value| {
        let mut changed = base.clone();
        match value {
            Value::Null => drop(changed.as_object_mut().unwrap().remove(name)),
            value => changed[name] = value,
        }
        changed.to_string()
    };
    let claim = |name, value| hand.sign(&header.to_string(), &with(&claims, name, value));
    let head = |name, value| hand.sign(&with(&header, name, value), &claims.to_string());
    let mut unsigned = claim("jti", json!("unsigned"));
    unsigned.truncate(unsigned.rfind('.').unwrap() + 1);
    unsigned.push_str(&base64url(&[7; 64]));
    let mut private = hand.jwk.clone();
    private["d"] = hand.private["d"].clone();
    for (name, proof) in [
        ("DontSetHtuClaimValue", claim("htu", Value::Null)),
        ("DontSetHtmClaimValue", claim("htm", Value::Null)),
        (
            "SetIatValueInThePast",
            claim("iat", json!(attack.now() - 61)),
        ),
        (
            "SetIatValueInTheFuture",
            claim("iat", json!(attack.now() + 11)),
        ),
        ("DontSetAthClaimValue", claim("ath", Value::Null)),
        ("DontSetAlgHeader", head("alg", Value::Null)),
        ("DontSetJwkHeader", head("jwk", Value::Null)),
        ("DontSetJtiClaim", claim("jti", Value::Null)),
        (
            "SetAlgHeaderToASymmetricAlgorithm",
            head("alg", json!("HS256")),
        ),
        ("SetPrivateKeyInJwkHeader", head("jwk", private)),
        ("SetInvalidTypHeaderValue", head("typ", json!("JWT"))),
        ("SetAnInvalidSignature", unsigned),
    ] {
        let answer = attack.send(&attack.request(&token, &proof)).await;
        refused(name, &answer, "invalid_dpop_proof");
    }
    // Its command line has one more, of the token, and one of use: the token names another key; the proof comes twice.
    let mut other = attack.claims();
    other["cnf"]["jkt"] = json!(SigningKey::generate().unwrap().thumbprint());
    let other = attack
        .anchor
        .sign(&attack.header().to_string(), &other.to_string());
    let answer = attack.with_token(&other).await;
    refused("SetAnInvalidJktValueInToken", &answer, "invalid_dpop_proof");
    let sound = attack.request(&token, &claim("jti", json!("sound")));
    assert_eq!(attack.send(&sound).await.status, StatusCode::CREATED);
    refused(
        "called twice",
        &attack.send(&sound).await,
        "invalid_dpop_proof",
    );
}

#[tokio::test]
async fn one_proof_twenty_times_at_once_counts_once() {
    let attack = Attack::new().await;
    let token = attack.token();
    let request = attack.request(&token, &attack.proof(&token));
    let all = futures::future::join_all((0..20).map(|_| attack.send(&request))).await;
    let created = |answer: &&Answer| answer.status == StatusCode::CREATED;
    assert_eq!(all.iter().filter(created).count(), 1);
    for answer in all.iter().filter(|answer| !created(answer)) {
        refused("a repeat", answer, "invalid_dpop_proof");
    }
}

#[tokio::test]
async fn the_algorithm_is_the_keys_whatever_the_token_says() {
    let attack = Attack::new().await;
    let claims = attack.claims().to_string();
    let (kid, jwk) = (
        attack.header()["kid"].clone(),
        attack.anchor.jwk.to_string(),
    );
    for alg in [
        "none", "None", "HS256", "HS512", "RS256", "PS256", "ES384", "EdDSA", "",
    ] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": kid}).to_string();
        attack
            .refuses_token(alg, &attack.anchor.sign(&header, &claims))
            .await;
        // Without a signature, and with one that only who knows the public key could make by HMAC.
        let signed = format!(
            "{}.{}",
            base64url(header.as_bytes()),
            base64url(claims.as_bytes())
        );
        attack.refuses_token(alg, &format!("{signed}.")).await;
        let mac = sha256(&[jwk.as_bytes(), signed.as_bytes()].concat());
        attack
            .refuses_token(alg, &format!("{signed}.{}", base64url(&mac)))
            .await;
    }
    let bare = attack.token();
    attack
        .refuses_token("no signature part", bare.rsplit_once('.').unwrap().0)
        .await;
    assert_eq!(attack.with_token(&bare).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_kid_is_a_name_and_nothing_that_a_token_points_to_is_fetched() {
    let attack = Attack::new().await;
    // Somewhere an attacker's key waits to be fetched.
    let (listener, elsewhere) = listen().await;
    let dialled = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = dialled.clone();
    let waits = axum::Router::new().fallback(move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::ready("{\"keys\":[]}")
    });
    serve(listener, waits);
    let claims = attack.claims().to_string();
    let theirs = Hand::of(&SigningKey::generate().unwrap());
    let kid = attack.header()["kid"].clone();
    assert_eq!(
        attack.with_token(&attack.token()).await.status,
        StatusCode::CREATED
    );
    let fetched = attack.region.anchor.key_fetches.load(Ordering::SeqCst);
    for name in [
        json!("../../../dev/null"),
        json!("' OR '1'='1"),
        json!(format!("{elsewhere}/jwks")),
        json!("x".repeat(8 * 1024)),
        json!("\u{0}"),
        json!(""),
        json!(7),
        json!([kid]),
        json!({"kid": kid}),
        Value::Null,
        json!(kid.as_str().unwrap().to_lowercase() + " "),
    ] {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": name}).to_string();
        attack
            .refuses_token(&header, &theirs.sign(&header, &claims))
            .await;
    }
    for (name, value) in [
        ("jku", json!(format!("{elsewhere}/jwks"))),
        ("x5u", json!(format!("{elsewhere}/chain"))),
        ("x5c", json!(["MIIB"])),
        ("jwk", theirs.jwk.clone()),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
    ] {
        for hand in [&theirs, &attack.anchor] {
            let mut header = attack.header();
            header[name] = value.clone();
            let token = hand.sign(&header.to_string(), &claims);
            attack.refuses_token(name, &token).await;
        }
    }
    assert_eq!(dialled.load(Ordering::SeqCst), 0);
    assert_eq!(
        attack.region.anchor.key_fetches.load(Ordering::SeqCst),
        fetched
    );
}

#[tokio::test]
async fn a_member_given_twice_is_refused_although_the_anchor_signed_it() {
    let attack = Attack::new().await;
    let (header, claims) = (attack.header().to_string(), attack.claims().to_string());
    let audience = attack.region.audience();
    for (what, header, claims) in [
        (
            "alg",
            header.replacen('{', "{\"alg\":\"none\",", 1),
            claims.clone(),
        ),
        (
            "typ",
            header.replacen('{', "{\"typ\":\"JWT\",", 1),
            claims.clone(),
        ),
        (
            "kid",
            header.replacen('{', "{\"kid\":\"x\",", 1),
            claims.clone(),
        ),
        (
            "aud",
            header.clone(),
            claims.replacen('{', &format!("{{\"aud\":\"{audience}\","), 1),
        ),
        (
            "scope",
            header.clone(),
            claims.replacen('{', "{\"scope\":\"system/*.cruds\",", 1),
        ),
        (
            "exp, escaped",
            header.clone(),
            claims.replacen('{', "{\"\\u0065xp\":9999999999,", 1),
        ),
        (
            "cnf.jkt",
            header.clone(),
            claims.replacen("\"cnf\":{", "\"cnf\":{\"jkt\":\"x\",", 1),
        ),
    ] {
        let token = attack.anchor.sign(&header, &claims);
        attack.refuses_token(what, &token).await;
    }
    // In a proof, too.
    let token = attack.token();
    let hand = Hand::of(&attack.key);
    let head = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": hand.jwk}).to_string();
    let said = json!({
        "jti": "j", "htm": "POST", "htu": attack.region.url(), "iat": attack.now(), "ath": dpop::ath(&token),
    })
    .to_string();
    for twice in ["{\"htm\":\"GET\",", "{\"jti\":\"k\",", "{\"x\":1,\"x\":1,"] {
        let proof = hand.sign(&head, &said.replacen('{', twice, 1));
        let answer = attack.send(&attack.request(&token, &proof)).await;
        refused(twice, &answer, "invalid_dpop_proof");
    }
}

#[tokio::test]
async fn claims_of_another_type_and_tokens_of_another_kind_are_refused() {
    let attack = Attack::new().await;
    let header = attack.header().to_string();
    for (name, value) in [
        ("exp", json!((attack.now() + 100).to_string())),
        ("exp", json!(attack.now() as f64 + 100.5)),
        ("exp", Value::Null),
        ("nbf", json!("now")),
        ("nbf", Value::Null),
        ("iat", json!([attack.now()])),
        ("iat", Value::Null),
        (
            "aud",
            json!([attack.region.audience(), "https://other.example"]),
        ),
        ("aud", json!({"is": attack.region.audience()})),
        ("scope", json!(["system/Observation.c"])),
        ("cnf", json!(attack.key.thumbprint())),
        ("cnf", json!({"jkt": [attack.key.thumbprint()]})),
        ("cnf", json!({"x5t#S256": attack.key.thumbprint()})),
        ("sub", json!(7)),
        ("client_id", Value::Null),
        ("https://delt.example/claims/kind", json!("administrator")),
    ] {
        let mut claims = attack.claims();
        match value.clone() {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        let token = attack.anchor.sign(&header, &claims.to_string());
        attack
            .refuses_token(&format!("{name}: {value}"), &token)
            .await;
    }
    let claims = attack.claims().to_string();
    for typ in [
        json!("JWT"),
        json!("dpop+jwt"),
        json!("receipt+jws"),
        json!(["at+jwt"]),
        Value::Null,
    ] {
        let mut other = attack.header();
        other["typ"] = typ.clone();
        let token = attack.anchor.sign(&other.to_string(), &claims);
        attack.refuses_token(&format!("typ {typ}"), &token).await;
    }
    let proof = attack.proof("x");
    attack.refuses_token("a proof as a token", &proof).await;
    for payload in ["[]", "\"text\"", "7", "null", "", "{"] {
        let token = attack.anchor.sign(&header, payload);
        attack.refuses_token(payload, &token).await;
    }
}

#[tokio::test]
async fn another_audience_on_the_same_host_is_another_audience() {
    let attack = Attack::new().await;
    let own = attack.region.audience();
    let host = attack.region.hub.trim_end_matches("/hub").to_owned();
    for other in [
        host.clone(),
        attack.region.hub.clone(),
        format!("{own}/"),
        format!("{own}?x"),
        format!("{own}/Observation"),
        format!("{host}/other/fhir"),
        format!("{host}/hub/../hub/fhir"),
        own.replace("http", "https"),
        own.replace("http", "HTTP"),
        own.replace("/hub", "/Hub"),
        own.replace("127.0.0.1", "localhost"),
        String::new(),
    ] {
        let mut claims = attack.claims();
        claims["aud"] = json!(other);
        let token = attack
            .anchor
            .sign(&attack.header().to_string(), &claims.to_string());
        attack.refuses_token(&other, &token).await;
    }
}

#[tokio::test]
async fn headers_that_say_who_was_asked_count_for_nothing() {
    let attack = Attack::new().await;
    let forwarded = [
        ("host", "elsewhere.example"),
        (
            "forwarded",
            "host=elsewhere.example;proto=https;for=10.0.0.1",
        ),
        ("x-forwarded-host", "elsewhere.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/elsewhere"),
        ("x-original-url", "/elsewhere"),
        ("x-http-method-override", "DELETE"),
    ];
    let with = |mut request: Request| {
        for (name, value) in forwarded {
            let value = HeaderValue::from_static(value);
            request = request.header(HeaderName::from_static(name), value);
        }
        request
    };
    // A proof for the address that the headers name is none for ours.
    let token = attack.token();
    let ath = dpop::ath(&token);
    for url in [
        "https://elsewhere.example/hub/fhir/Observation",
        "https://elsewhere.example/elsewhere/hub/fhir/Observation",
        "http://elsewhere.example/hub/fhir/Observation",
    ] {
        let proof = dpop::prove(&attack.key, "POST", url, Some(&ath), attack.now(), url).unwrap();
        let answer = attack.send(&with(attack.request(&token, &proof))).await;
        refused(url, &answer, "invalid_dpop_proof");
    }
    let sound = with(attack.request(&token, &attack.proof(&token)));
    assert_eq!(attack.send(&sound).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_token_in_the_body_or_a_cookie_is_no_credential() {
    let attack = Attack::new().await;
    let token = attack.token();
    let proof = attack.proof(&token);
    let form = Request::post_form(attack.region.url(), [("access_token", token.as_str())]);
    let cookie = format!("access_token={token}; DPoP={token}");
    let cookie = Request::post_fhir(attack.region.url(), "{}")
        .header(header::COOKIE, cookie.try_into().unwrap());
    for request in [form, cookie] {
        let request = request.header(
            HeaderName::from_static("dpop"),
            proof.as_str().try_into().unwrap(),
        );
        let answer = attack.send(&request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let challenge = answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
        assert!(!challenge.contains("error"), "{challenge}");
    }
}
