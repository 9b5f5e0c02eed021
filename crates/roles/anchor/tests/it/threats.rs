//! Attacks on the token endpoint that need more than one request at once (threats-and-faults section 2; docs/threats.md).

use crate::region::{Ask, HUB, Region};

impl Region {
    fn home_asks(&self) -> Ask {
        self.ask(
            "hjemmesystem-fjellvik",
            &self.home,
            HUB,
            "system/Observation.c",
        )
    }
}

#[tokio::test]
async fn one_assertion_twenty_times_at_once_gives_one_token() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let sound = region.home_asks();
    let mut members = sound.form.iter();
    let (_, assertion) = members
        .find(|(name, _)| *name == "client_assertion")
        .unwrap();
    // Each with a fresh proof, so that nothing but the assertion comes twice.
    let asks = (0..20).map(|_| region.home_asks().set("client_assertion", assertion));
    let all = futures::future::join_all(asks.map(|ask| region.token(ask))).await;
    let good = all.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 1);
    for answer in all.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.error(), (401, "invalid_client"));
    }
}

#[tokio::test]
async fn one_proof_twenty_times_at_once_gives_one_token() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let proofs = region.home_asks().proofs;
    let asks = (0..20).map(|_| {
        let mut ask = region.home_asks();
        ask.proofs.clone_from(&proofs);
        ask
    });
    let all = futures::future::join_all(asks.map(|ask| region.token(ask))).await;
    let good = all.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 1);
    for answer in all.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.error(), (400, "invalid_dpop_proof"));
    }
}
