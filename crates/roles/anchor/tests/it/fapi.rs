//! What the OpenID conformance suite's authorization-server plan for FAPI 2.0 asks and no other file here does; each test is
//! named after its modules (`fapi2-security-profile-final-…`). `docs/conformance-openid.md` lists them all.

use crate::journey::{PHYSICIAN, value};
use crate::region::{Ask, ISSUER, JOURNAL, NOW, Region};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use trust::encoding::from_base64url;
use trust::{assertion, dpop, jws};

/// The claims of an ID token, unverified: what stands in it is asked here.
fn id_token(tokens: &Value) -> Value {
    let jwt = tokens["id_token"].as_str().unwrap();
    serde_json::from_slice(&from_base64url(jwt.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

async fn tokens(region: &Region, ask: Ask) -> Value {
    let code = region.code_for(ask, PHYSICIAN).await;
    let answer = region.token(region.redeem(&code)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

/// `ensure-authorization-request-without-nonce-success`, `…-with-64-char-nonce-success`, `…-with-long-nonce`.
#[tokio::test]
async fn ensure_authorization_request_without_nonce_or_with_a_long_one() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let without = tokens(&region, region.push().without("nonce")).await;
    assert!(id_token(&without).get("nonce").is_none());
    for length in [1, 64, 384, 512] {
        let nonce = "n".repeat(length);
        let with = tokens(&region, region.push().set("nonce", &nonce)).await;
        assert_eq!(id_token(&with)["nonce"], nonce, "{length}");
    }
}

/// `ensure-authorization-request-without-state-success`, `…-with-long-state`.
#[tokio::test]
async fn ensure_authorization_request_without_state_or_with_a_long_one() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    for state in [None, Some("s".repeat(384)), Some("s".repeat(512))] {
        let ask = match &state {
            None => region.push().without("state"),
            Some(state) => region.push().set("state", state),
        };
        let page = region.page(&region.pushed(ask).await).await;
        let answer = region.choose(&page, PHYSICIAN).await;
        assert_eq!(value(&answer, "state"), state);
        assert_eq!(value(&answer, "iss").as_deref(), Some(ISSUER));
        assert!(value(&answer, "code").is_some());
    }
}

/// `ensure-other-scope-order-succeeds`.
#[tokio::test]
async fn ensure_other_scope_order_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let order = "user/*.rs openid offline_access";
    let tokens = tokens(&region, region.push().set("scope", order)).await;
    assert!(tokens["id_token"].is_string() && tokens["refresh_token"].is_string());
    let mut granted: Vec<&str> = tokens["scope"].as_str().unwrap().split(' ').collect();
    granted.sort_unstable();
    assert_eq!(granted, ["offline_access", "openid", "user/*.rs"]);
}

/// `par-attempt-invalid-http-method`.
#[tokio::test]
async fn par_attempt_invalid_http_method() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let request = Request::builder().method(method.clone()).uri("/par");
        let answer = region.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.headers["allow"].to_str().unwrap().contains("POST"));
    }
}

/// `ensure-dpopproof-with-iat-10seconds-before-succeeds`, `…-after-succeeds`, `check-dpop-proof-nbf-exp`: at the token endpoint
/// and at the endpoint for pushed requests.
#[tokio::test]
async fn ensure_dpopproof_with_iat_10_seconds_before_or_after_succeeds_and_nbf_and_exp_may_stand_in_it()
 {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    for path in ["/token", "/par"] {
        let url = format!("{ISSUER}{path}");
        let claims = |iat: i64| json!({"jti": region.jti(), "htm": "POST", "htu": url, "iat": iat});
        let mut more = claims(NOW);
        more["nbf"] = NOW.into();
        more["exp"] = (NOW + 300).into();
        for proof in [claims(NOW - 10), claims(NOW + 10), more] {
            let proof = jws::sign_embedded(dpop::TYP, &proof, &region.user).unwrap();
            let answer = match path {
                "/token" => {
                    let code = region.code_for(region.push(), PHYSICIAN).await;
                    let mut ask = region.redeem(&code);
                    ask.proofs = vec![proof];
                    region.token(ask).await
                }
                _ => {
                    let mut ask = region.push();
                    ask.proofs = vec![proof];
                    region.post(path, ask).await
                }
            };
            assert!(answer.status.is_success(), "{path}: {}", answer.text);
        }
    }
}

/// `ensure-invalid-client-assertions-fail` and the modules it brings together (`…-with-exp-is-5-minutes-in-past-fails`,
/// `…-with-wrong-aud-fails`, `…-with-no-sub-fails`; the endpoints' addresses and a list as audience): at both endpoints.
#[tokio::test]
async fn ensure_invalid_client_assertions_fail() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    for path in ["/token", "/par"] {
        let sound = || {
            json!({
                "iss": JOURNAL, "sub": JOURNAL, "aud": ISSUER, "jti": region.jti(),
                "iat": NOW, "nbf": NOW, "exp": NOW + 60,
            })
        };
        let mut cases: Vec<(&str, Value)> = Vec::new();
        for (name, value) in [
            ("exp", json!(NOW - 300)),
            ("exp", Value::Null),
            ("aud", json!("https://other.example")),
            ("aud", json!(format!("{ISSUER}/token"))),
            ("aud", json!(format!("{ISSUER}/par"))),
            ("aud", json!([ISSUER])),
            ("aud", json!([ISSUER, format!("{ISSUER}/token")])),
            ("iat", json!(NOW + 61)),
            ("nbf", json!(NOW + 61)),
            ("iss", json!("another")),
            ("jti", Value::Null),
        ] {
            let mut claims = sound();
            claims[name] = value;
            cases.push((name, claims));
        }
        let mut no_sub = sound();
        no_sub.as_object_mut().unwrap().remove("sub");
        cases.push(("sub", no_sub));
        let send = async |claims: &Value| {
            let jwt = jws::sign(assertion::TYP, claims, &region.hospital).unwrap();
            match path {
                "/token" => {
                    let code = region.code_for(region.push(), PHYSICIAN).await;
                    let ask = region.redeem(&code).set("client_assertion", &jwt);
                    region.token(ask).await
                }
                _ => {
                    let ask = region.push().set("client_assertion", &jwt);
                    region.post(path, ask).await
                }
            }
        };
        for (name, claims) in cases {
            let answer = send(&claims).await;
            assert_eq!(
                answer.error(),
                (401, "invalid_client"),
                "{path} {name}: {}",
                claims[name]
            );
        }
        // 8 seconds ahead is another clock, not another time.
        let mut ahead = sound();
        ahead["iat"] = (NOW + 8).into();
        ahead["nbf"] = (NOW + 8).into();
        assert!(send(&ahead).await.status.is_success(), "{path}");
    }
}
