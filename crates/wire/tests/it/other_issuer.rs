//! A guard that takes the tokens of an issuer besides the anchor: one that writes them as HelseID does.

use std::collections::HashMap;

use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};
use trust::keys::{KeySet, SigningKey};
use trust::scope::Scopes;
use trust::token::foreign::{Foreign, Names};
use trust::{ClientUse, dpop, jws};
use wire::client::Request;
use wire::protect::OtherIssuer;

use crate::region::{Region, listen, serve};

const HELSEID: &str = "https://helseid-sts.test.nhn.no";

/// The region, and the other issuer's key.
async fn region() -> (Region, SigningKey) {
    let key = SigningKey::generate().unwrap();
    let keys = KeySet::of(vec![key.public().clone()]).unwrap().to_jwks();
    let (listener, address) = listen().await;
    let jwks = get(move || async move { Json(keys) });
    serve(listener, Router::new().route("/jwks", jwks));
    let region = Region::with_other_issuer(|audience| {
        let foreign = Foreign {
            issuer: HELSEID.into(),
            audience: "nhn:delt-hub".into(),
            scopes: vec![(
                "nhn:delt-hub/write".into(),
                Scopes::parse("system/Observation.c").unwrap(),
            )],
            clients: vec![("a-guid".into(), ClientUse::HomeSystem)],
            names: Names::default(),
            agreements: vec![],
            believe_stated_authorisations: false,
        };
        Some(OtherIssuer {
            jwks_url: format!("{address}/jwks"),
            services: HashMap::from([(audience.to_owned(), foreign)]),
        })
    });
    (region.await, key)
}

/// A system's token in HelseID's words.
fn claims(region: &Region, proof_key: &SigningKey) -> Value {
    let now = (region.house.clock)().seconds();
    json!({
        "iss": HELSEID, "aud": "nhn:delt-hub", "client_id": "a-guid", "jti": uuid::Uuid::new_v4(),
        "iat": now, "nbf": now, "exp": now + 600, "scope": ["nhn:delt-hub/write"],
        "cnf": {"jkt": proof_key.thumbprint()},
        "helseid://claims/client/claims/orgnr_parent": "310001007",
    })
}

async fn sent(region: &Region, proof_key: &SigningKey, token: &str) -> StatusCode {
    let now = (region.house.clock)().seconds();
    let jti = uuid::Uuid::new_v4().to_string();
    let ath = dpop::ath(token);
    let proof = dpop::prove(proof_key, "POST", &region.url(), Some(&ath), now, &jti).unwrap();
    let request = Request::post_fhir(region.url(), "{}")
        .header(
            header::AUTHORIZATION,
            format!("DPoP {token}").try_into().unwrap(),
        )
        .header(HeaderName::from_static("dpop"), proof.try_into().unwrap());
    region.house.http.send(&request).await.unwrap().status
}

#[tokio::test]
async fn its_tokens_open_the_services_that_name_it_and_each_key_verifies_its_own_issuer() {
    let (region, helseid) = region().await;
    let key = SigningKey::generate().unwrap();
    for typ in ["at+jwt", "JWT"] {
        let token = jws::sign(typ, &claims(&region, &key), &helseid).unwrap();
        assert_eq!(sent(&region, &key, &token).await, 201, "{typ}");
    }
    // The anchor's tokens count as before.
    let ours = region.anchor.claims(&region.audience(), key.thumbprint());
    assert_eq!(sent(&region, &key, &region.anchor.sign(&ours)).await, 201);
    // Neither speaks for the other.
    let anchors_key = region.anchor.key.lock().unwrap().clone();
    let forged = jws::sign("at+jwt", &claims(&region, &key), &anchors_key).unwrap();
    assert_eq!(sent(&region, &key, &forged).await, 401);
    let forged = trust::token::issue(&ours, &helseid).unwrap();
    assert_eq!(sent(&region, &key, &forged).await, 401);
    // Bound to another key, for another service, of an issuer nobody named.
    let stranger = SigningKey::generate().unwrap();
    let token = jws::sign("at+jwt", &claims(&region, &key), &helseid).unwrap();
    assert_eq!(sent(&region, &stranger, &token).await, 401);
    for (name, value) in [
        ("aud", "nhn:delt-fjellvik"),
        ("iss", "https://helseid-sts.nhn.no"),
    ] {
        let mut other = claims(&region, &key);
        other[name] = value.into();
        let token = jws::sign("at+jwt", &other, &helseid).unwrap();
        assert_eq!(sent(&region, &key, &token).await, 401, "{name}");
    }
}

#[tokio::test]
async fn without_the_configuration_its_tokens_are_a_strangers() {
    let region = Region::new().await;
    let (key, helseid) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let token = jws::sign("at+jwt", &claims(&region, &key), &helseid).unwrap();
    assert_eq!(sent(&region, &key, &token).await, 401);
}
