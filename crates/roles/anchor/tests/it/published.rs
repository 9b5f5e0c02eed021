//! What the anchor publishes.

use crate::region::{ISSUER, Keys, Region};
use trust::jws::{self, Embedded};

#[tokio::test]
async fn discovery_names_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let answer = region.get("/.well-known/openid-configuration").await;
    assert_eq!(answer.status, 200);
    insta::assert_json_snapshot!(answer.body);
}

#[tokio::test]
async fn keys_are_public_and_stay_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let first = {
        let region = Region::open_as(folder.path(), keys.clone(), |_| {}).await;
        region.get("/jwks").await
    };
    assert_eq!(first.headers["content-type"], "application/jwk-set+json");
    assert!(!first.body.to_string().contains("\"d\""));
    let again = Region::open_as(folder.path(), keys, |_| {}).await;
    assert_eq!(again.get("/jwks").await.body, first.body);
}

#[tokio::test]
async fn documents_are_signed_and_versioned() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let keys = region.keys().await;
    for (path, typ) in [
        ("/participants", "delt-participant+jwt"),
        ("/agreements", "delt-agreement+jwt"),
    ] {
        let answer = region.get(path).await;
        let documents = answer.body.as_array().unwrap().clone();
        assert!(!documents.is_empty());
        for document in documents {
            let compact = jws::parse(document.as_str().unwrap(), Embedded::Refused).unwrap();
            compact.require_typ(typ).unwrap();
            let claims = jws::claims(compact.verify_with(&keys).unwrap()).unwrap();
            assert_eq!(claims["iss"], ISSUER);
            assert!(claims["version"].as_u64().unwrap() >= 1);
        }
    }
    let first = region.get("/agreements").await.body[0]
        .as_str()
        .unwrap()
        .to_owned();
    let compact = jws::parse(&first, Embedded::Refused).unwrap();
    insta::assert_json_snapshot!(jws::claims(compact.verify_with(&keys).unwrap()).unwrap());
}

#[tokio::test]
async fn outside_demo_mode_there_is_no_test_token_route() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open_as(folder.path(), Keys::new(), |config| config.demo = None).await;
    let answer = region
        .test_token(&region.order(crate::region::FJELLVIK, "user/*.rs"))
        .await;
    assert_eq!(answer.status, 404);
    let described = region.get("/openapi.json").await.body;
    assert!(
        described["paths"].get("/token").is_some()
            && described["paths"].get("/test-token").is_none()
    );
}
