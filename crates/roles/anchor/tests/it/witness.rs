//! The anchor as witness of audit trails: what it takes, what it keeps over a restart, and whom it tells.

use crate::region::*;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use trust::Interaction;
use trust::audit::Outcome;
use trust::encoding::sha256_base64url;
use trust::jws;
use trust::keys::SigningKey;

const HUB_CLIENT: &str = "delt-hub";
const HEAD: &str = "delt-audit-head+jwt";
const QUESTION: &str = "delt-audit-heads+jwt";

fn head(region: &Region, sequence: u64, hash: &str) -> Value {
    json!({
        "iss": HUB_CLIENT, "aud": ISSUER, "iat": region.now(), "owner": "hub",
        "sequence": sequence, "hash": sha256_base64url(hash.as_bytes()),
    })
}

async fn send(region: &Region, path: &str, typ: &str, claims: &Value, key: &SigningKey) -> Answer {
    let text = jws::sign(typ, claims, key).unwrap();
    let request = Request::post(path).header("content-type", "application/jose");
    region.send(request.body(Body::from(text)).unwrap()).await
}

async fn told(region: &Region, sequence: u64, hash: &str) -> Answer {
    let claims = head(region, sequence, hash);
    send(region, "/audit-heads", HEAD, &claims, &region.hub).await
}

async fn known(region: &Region) -> Vec<(u64, String)> {
    let claims = json!({
        "iss": HUB_CLIENT, "aud": ISSUER, "iat": region.now(), "owner": "hub", "after": 0,
    });
    let answer = send(region, "/audit-heads/list", QUESTION, &claims, &region.hub).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let keys = region.keys().await;
    let one = |text: &Value| {
        let compact = jws::parse(text.as_str().unwrap(), jws::Embedded::Refused).unwrap();
        compact.require_typ("delt-witnessed-head+jwt").unwrap();
        let said = jws::claims(compact.verify_with(&keys).unwrap()).unwrap();
        assert_eq!(
            (&said["sub"], &said["owner"]),
            (&json!(HUB_CLIENT), &json!("hub"))
        );
        let hash = said["hash"].as_str().unwrap().to_owned();
        (said["sequence"].as_u64().unwrap(), hash)
    };
    answer.body.as_array().unwrap().iter().map(one).collect()
}

fn pass(region: &Region, seconds: i64) {
    region.clock.fetch_add(seconds, Ordering::SeqCst);
}

#[tokio::test]
async fn heads_are_kept_in_order_and_a_trail_that_shrank_or_changed_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    assert_eq!(known(&region).await, []);
    for (sequence, hash) in [(3, "a"), (7, "b")] {
        let answer = told(&region, sequence, hash).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        // Said again, it is answered again and kept once.
        assert_eq!(told(&region, sequence, hash).await.status, 200);
        pass(&region, 10);
    }
    let expected = [(3, sha256_base64url(b"a")), (7, sha256_base64url(b"b"))];
    assert_eq!(known(&region).await, expected);
    // Shorter, another at the same place, and an old one again: each is a trail that was cut or rewritten.
    for (sequence, hash) in [(6, "c"), (7, "c"), (3, "a")] {
        let answer = told(&region, sequence, hash).await;
        assert_eq!(answer.status, 409, "{sequence} {hash}: {}", answer.body);
    }
    assert_eq!(known(&region).await, expected);
    let records = region.audited().await;
    let witnessed = records
        .iter()
        .filter(|one| one.interaction == Interaction::Witness);
    let refused = witnessed.filter(|one| matches!(one.outcome, Outcome::Failed { .. }));
    assert_eq!(refused.count(), 3);
}

#[tokio::test]
async fn only_the_client_itself_is_believed_and_all_others_hear_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let stranger = SigningKey::generate().unwrap();
    let good = head(&region, 1, "a");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let mut words: Vec<String> = Vec::new();
    for (what, typ, claims, key) in [
        ("another's key", HEAD, good.clone(), &stranger),
        (
            "another client's name",
            HEAD,
            with("iss", json!("epj-proveheim")),
            &region.hub,
        ),
        (
            "nobody's name",
            HEAD,
            with("iss", json!("finnes-ikke")),
            &region.hub,
        ),
        (
            "another anchor",
            HEAD,
            with("aud", json!("https://other.example")),
            &region.hub,
        ),
        (
            "too old",
            HEAD,
            with("iat", json!(region.now() - 71)),
            &region.hub,
        ),
        (
            "of the future",
            HEAD,
            with("iat", json!(region.now() + 11)),
            &region.hub,
        ),
        ("another type", "at+jwt", good.clone(), &region.hub),
        ("no hash", HEAD, with("hash", json!("short")), &region.hub),
        (
            "nothing to witness",
            HEAD,
            with("sequence", json!(0)),
            &region.hub,
        ),
        (
            "a name that is none",
            HEAD,
            with("owner", json!("../hub")),
            &region.hub,
        ),
        (
            "a long name",
            HEAD,
            with("owner", json!("h".repeat(65))),
            &region.hub,
        ),
        (
            "another member",
            HEAD,
            with("patient", json!("1")),
            &region.hub,
        ),
    ] {
        let answer = send(&region, "/audit-heads", typ, &claims, key).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        words.push(answer.body.to_string());
    }
    words.dedup();
    assert_eq!(words.len(), 1, "{words:?}");
    for iat in [region.now() - 70, region.now() + 10] {
        let mut claims = head(&region, 1, "a");
        claims["iat"] = json!(iat);
        let answer = send(&region, "/audit-heads", HEAD, &claims, &region.hub).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let plain = Request::post("/audit-heads").header("content-type", "application/json");
    let answer = region.send(plain.body(Body::from("{}")).unwrap()).await;
    assert_eq!(answer.status, 415);
}
