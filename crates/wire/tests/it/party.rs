//! Client files, tokens kept and shared, exchange, and the one repeat after a 401.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;

use http::StatusCode;
use wire::client::{Party, PartyError, PeerError, Request};
use wire::oauth_error::OAuthCode;

use crate::region::Region;

const SCOPE: &str = "system/Observation.c";

#[tokio::test]
async fn many_callers_at_once_make_one_token_request_and_every_request_its_own_proof() {
    let region = Region::new().await;
    let party = region.party("kit");
    let (audience, url) = (region.audience(), region.url());
    let all = (0..20).map(|_| party.send(&audience, SCOPE, Request::post_fhir(&url, "{}")));
    for answer in futures::future::join_all(all).await {
        assert_eq!(answer.unwrap().status, StatusCode::CREATED);
    }
    assert_eq!(region.anchor.tokens.load(Ordering::SeqCst), 1);
    assert_eq!(region.outcomes().await.len(), 20);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_kept_apart_by_audience_and_scope() {
    let region = Region::new().await;
    let party = region.party("kit");
    let count = || region.anchor.tokens.load(Ordering::SeqCst);
    let first = party.token(&region.audience(), SCOPE).await.unwrap();
    region.pass(269);
    assert_eq!(party.token(&region.audience(), SCOPE).await.unwrap(), first);
    region.pass(2);
    assert_ne!(party.token(&region.audience(), SCOPE).await.unwrap(), first);
    assert_eq!(count(), 2);
    party.token("https://other.example", SCOPE).await.unwrap();
    party
        .token(&region.audience(), "system/CarePlan.c")
        .await
        .unwrap();
    assert_eq!(count(), 4);
}

#[tokio::test]
async fn after_a_401_one_new_token_is_tried() {
    let region = Region::new().await;
    let party = region.party("kit");
    let send = || post(&party, &region);
    assert_eq!(send().await.status, StatusCode::CREATED);
    // The anchor's key is replaced; a minute later the role no longer knows the old one.
    region.anchor.rotate();
    region.pass(61);
    let answer = send().await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(region.anchor.tokens.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn exchanged_tokens_are_kept_by_subject_and_provider() {
    let region = Region::new().await;
    let party = region.party("gateway");
    let count = || region.anchor.tokens.load(Ordering::SeqCst);
    let one = party
        .exchange("user-1-token", &region.audience(), SCOPE)
        .await
        .unwrap();
    assert_eq!(
        party
            .exchange("user-1-token", &region.audience(), SCOPE)
            .await
            .unwrap(),
        one
    );
    assert_eq!(count(), 1);
    assert_ne!(
        party
            .exchange("user-2-token", &region.audience(), SCOPE)
            .await
            .unwrap(),
        one
    );
    party
        .exchange("user-1-token", "https://other.example", SCOPE)
        .await
        .unwrap();
    assert_eq!(count(), 3);
    let request = Request::post_fhir(region.url(), "{}");
    assert_eq!(
        party.send_as(&one, request).await.unwrap().status,
        StatusCode::CREATED
    );
    assert!(!format!("{one:?}").contains("ey"), "a token is never shown");
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_and_not_kept() {
    let region = Region::new().await;
    let party = region.party("kit");
    *region.anchor.refuse.lock().unwrap() = Some(OAuthCode::InvalidScope);
    assert_eq!(
        party.token(&region.audience(), SCOPE).await,
        Err(PeerError::Token("invalid_scope"))
    );
    *region.anchor.refuse.lock().unwrap() = None;
    assert!(party.token(&region.audience(), SCOPE).await.is_ok());
}

#[tokio::test]
async fn a_client_file_that_others_may_read_or_that_is_not_the_contracts_is_refused() {
    let region = Region::new().await;
    let path = region.client_file("kit");
    let house = &region.house;
    let open = || {
        Party::from_file(
            &path,
            house.http.clone(),
            house.clock.clone(),
            house.ids.clone(),
        )
        .map(|_| ())
    };
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(open(), Err(PartyError::NotPrivate), "{mode:o}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(open(), Ok(()));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("{", "{\"secret\":1,", 1)).unwrap();
    assert!(matches!(open(), Err(PartyError::Malformed { line: 1, .. })));
    std::fs::write(&path, text.replace("\"P-256\"", "\"P-384\"")).unwrap();
    assert!(matches!(open(), Err(PartyError::Key(_))));
}

/// The one request of these tests.
async fn post(party: &Party, region: &Region) -> wire::client::Answer {
    party
        .send(
            &region.audience(),
            SCOPE,
            Request::post_fhir(region.url(), "{}"),
        )
        .await
        .unwrap()
}

#[tokio::test]
async fn a_bug_in_one_token_request_does_not_stand_in_the_way_of_the_next() {
    let region = Region::new().await;
    let first = std::sync::atomic::AtomicBool::new(true);
    let ids: store::Ids = std::sync::Arc::new(move || {
        if first.swap(false, Ordering::SeqCst) {
            panic!("a bug, once");
        }
        uuid::Uuid::new_v4()
    });
    let house = &region.house;
    let party = Party::from_file(
        &region.client_file("home"),
        house.http.clone(),
        house.clock.clone(),
        ids,
    )
    .unwrap();
    let scope = "system/Observation.c";
    assert!(party.token(&region.audience(), scope).await.is_err());
    assert!(party.token(&region.audience(), scope).await.is_ok());
}

#[tokio::test]
async fn with_the_anchors_nonce_it_asks_again_and_remembers_it() {
    let region = Region::new().await;
    let party = region.party("kit");
    let nonce = |text: &str| *region.anchor.nonce.lock().unwrap() = Some(text.to_owned());
    nonce("first");
    party.token(&region.audience(), SCOPE).await.unwrap();
    // The next one is asked for with it at once, and a new nonce is learnt as the first was.
    party.token("https://other.example", SCOPE).await.unwrap();
    nonce("second");
    party.token("https://third.example", SCOPE).await.unwrap();
    assert_eq!(region.anchor.tokens.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_sample_key_speaks_to_an_anchor_on_this_machine_alone() {
    let region = Region::new().await;
    let own = trust::keys::SigningKey::generate().unwrap();
    let demo = own.named("demo-kit").unwrap();
    let text = std::fs::read_to_string(region.client_file("kit")).unwrap();
    let read = |key: &trust::keys::SigningKey, issuer: &str| {
        let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
        file["issuer"] = issuer.into();
        file["jwk"] = serde_json::from_str(&key.to_private_jwk()).unwrap();
        let file = serde_json::from_value(file).unwrap();
        let house = &region.house;
        Party::new(
            file,
            house.http.clone(),
            house.clock.clone(),
            house.ids.clone(),
        )
        .map(|_| ())
    };
    for here in [
        "http://127.0.0.1:7070/anchor",
        "http://[::1]:1/a",
        "http://localhost:7070/anchor",
    ] {
        assert_eq!(read(&demo, here), Ok(()), "{here}");
    }
    for away in [
        "https://delt.example/anchor",
        "http://localhost.example/anchor",
        "https://10.0.0.1/anchor",
        "127.0.0.1",
    ] {
        assert_eq!(read(&demo, away), Err(PartyError::Sample), "{away}");
        assert_eq!(read(&own, away), Ok(()), "{away}");
    }
}
