//! Nonces of the server's in DPoP proofs (RFC 9449 section 8), where the configuration asks for them.

use crate::journey::PHYSICIAN;
use crate::region::{Answer, Ask, HUB, ISSUER, Keys, Region};
use serde_json::json;
use std::sync::atomic::Ordering;
use trust::jws;
use trust::keys::SigningKey;

async fn open(folder: &std::path::Path) -> Region {
    Region::open_as(folder, Keys::new(), |config| config.dpop_nonce = true).await
}

fn nonce(answer: &Answer) -> String {
    answer.headers["dpop-nonce"].to_str().unwrap().to_owned()
}

impl Region {
    fn ask_hub(&self) -> Ask {
        self.ask(
            "hjemmesystem-fjellvik",
            &self.home,
            HUB,
            "system/Observation.c",
        )
    }

    fn proof_with(&self, key: &SigningKey, path: &str, nonce: &str, iat: i64) -> String {
        let claims = json!({"jti": self.jti(), "htm": "POST", "htu": format!("{ISSUER}{path}"), "iat": iat, "nonce": nonce});
        jws::sign_embedded("dpop+jwt", &claims, key).unwrap()
    }
}

#[tokio::test]
async fn a_client_is_told_the_nonce_and_asks_again() {
    let folder = tempfile::tempdir().unwrap();
    let region = open(folder.path()).await;
    let first = region.token(region.ask_hub()).await;
    assert_eq!(first.error(), (400, "use_dpop_nonce"));
    let given = nonce(&first);
    let with = |nonce: &str, iat: i64| {
        let mut ask = region.ask_hub();
        ask.proofs = vec![region.proof_with(&region.home, "/token", nonce, iat)];
        ask
    };
    // The client's clock does not count then, and every answer brings the next one.
    for iat in [region.now(), region.now() - 86_400, region.now() + 86_400] {
        let answer = region.token(with(&given, iat)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_ne!(nonce(&answer), given);
    }
    // One proof counts once all the same.
    let proof = region.proof_with(&region.home, "/token", &given, region.now());
    for expected in [(200, ""), (400, "invalid_dpop_proof")] {
        let mut ask = region.ask_hub();
        ask.proofs = vec![proof.clone()];
        assert_eq!(region.token(ask).await.error(), expected);
    }
    for strange in [
        "",
        "x",
        &given[1..],
        &region.state.store().seal(b"dpop-nonce").unwrap(),
    ] {
        let answer = region.token(with(strange, region.now())).await;
        assert_eq!(answer.error(), (400, "use_dpop_nonce"), "{strange}");
    }
    region.clock.fetch_add(301, Ordering::SeqCst);
    let late = region.token(with(&given, region.now())).await;
    assert_eq!(late.error(), (400, "use_dpop_nonce"));
    let fresh = nonce(&late);
    assert_eq!(region.token(with(&fresh, region.now())).await.status, 200);
}

#[tokio::test]
async fn a_code_is_not_used_up_by_a_proof_without_a_nonce() {
    let folder = tempfile::tempdir().unwrap();
    let region = open(folder.path()).await;
    // A pushed request need not carry a proof; one that does needs the nonce too.
    let mut push = region.push();
    push.proofs = vec![region.proof_for(&region.user, "/par")];
    let answer = region.post("/par", push).await;
    assert_eq!(answer.error(), (400, "use_dpop_nonce"));
    let mut push = region.push();
    push.proofs = vec![region.proof_with(&region.user, "/par", &nonce(&answer), region.now())];
    let code = region.code_for(push, PHYSICIAN).await;
    let answer = region.token(region.redeem(&code)).await;
    assert_eq!(answer.error(), (400, "use_dpop_nonce"));
    let mut ask = region.redeem(&code);
    ask.proofs = vec![region.proof_with(&region.user, "/token", &nonce(&answer), region.now())];
    assert_eq!(region.token(ask).await.status, 200);
}

#[tokio::test]
async fn where_none_is_asked_for_none_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let answer = region.token(region.ask_hub()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers.get("dpop-nonce").is_none());
}
