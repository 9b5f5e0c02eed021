//! What kept heads and the witness prove, and what of them is not to be believed.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use crate::heads::world::{OWNER, World};
use trust::keys::SigningKey;
use wire::contract::witness::HEAD_TYP;

/// Two heads, kept and witnessed.
async fn world() -> World {
    let world = World::new().await;
    let keeper = world.keeper();
    for _ in 0..2 {
        world.written(1).await;
        keeper.finish().await;
    }
    world
}

fn numbers(proof: &Proof) -> Vec<u64> {
    proof.heads.iter().map(|one| one.sequence).collect()
}

/// The words of why nothing is proved.
async fn failed(wanted: &Wanted<'_>) -> String {
    match prove(wanted).await {
        Ok(proof) => panic!("proved {:?}", proof.heads),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn what_was_kept_and_what_was_witnessed_are_both_proof() {
    let world = world().await;
    let proof = prove(&world.wanted(OWNER)).await.unwrap();
    assert_eq!(numbers(&proof), [1, 2, 1, 2]);
    assert_eq!(proof.heads[3], world.store().audit_head().await.unwrap());
    assert_eq!((proof.faults, proof.witnessed), (vec![], Some(2)));
    assert_eq!(world.witness.asked.lock().unwrap().len(), 1);
    // Elsewhere nothing is kept: the witness speaks alone.
    let elsewhere = tempfile::tempdir().unwrap();
    world.witness.asked.lock().unwrap().clear();
    let wanted = Wanted {
        kept: Some(elsewhere.path().to_owned()),
        ..world.wanted(OWNER)
    };
    let proof = prove(&wanted).await.unwrap();
    assert_eq!((numbers(&proof), proof.witnessed), (vec![1, 2], Some(2)));
}

#[tokio::test]
async fn offline_the_kept_heads_are_proof_alone() {
    let world = world().await;
    world.witness.says(503, "");
    let wanted = Wanted {
        offline: true,
        ..world.wanted(OWNER)
    };
    let proof = prove(&wanted).await.unwrap();
    assert_eq!(numbers(&proof), [1, 2]);
    assert_eq!((proof.faults, proof.witnessed), (vec![], None));
    let words = failed(&world.wanted(OWNER)).await;
    assert!(words.contains("--offline"), "{words}");
    assert!(words.contains("503"), "{words}");
}

#[tokio::test]
async fn a_witness_that_forgot_what_it_said_was_rolled_back() {
    let world = world().await;
    world.witness.known.lock().unwrap().pop();
    let rolled_back =
        "the anchor once witnessed record 2 and knows it no more: the witness was rolled back";
    let proof = prove(&world.wanted(OWNER)).await.unwrap();
    assert_eq!(proof.faults, [rolled_back]);
    assert_eq!((numbers(&proof), proof.witnessed), (vec![1, 2, 1], Some(1)));
    // Another hash at the same place is not what it said.
    let other = world.witness.word(2);
    world.witness.known.lock().unwrap().push(other);
    world.witness.asked.lock().unwrap().clear();
    let proof = prove(&world.wanted(OWNER)).await.unwrap();
    assert_eq!(proof.faults, [rolled_back]);
}

#[tokio::test]
async fn the_witness_is_asked_until_it_has_told_everything() {
    let world = World::new().await;
    let last = PAGE as u64 + 1;
    for (many, asked) in [(last - 2, 1), (last - 1, 2), (last, 2)] {
        let words = (1..=many).map(|sequence| world.witness.word(sequence));
        *world.witness.known.lock().unwrap() = words.collect();
        world.witness.asked.lock().unwrap().clear();
        let proof = prove(&world.wanted(OWNER)).await.unwrap();
        assert_eq!(proof.witnessed, usize::try_from(many).ok());
        assert_eq!(numbers(&proof).last(), Some(&many));
        assert_eq!(world.witness.asked.lock().unwrap().len(), asked, "{many}");
    }
}

#[tokio::test]
async fn a_list_that_is_not_the_witnesss_own_of_this_trail_in_order_is_not_believed() {
    let world = World::new().await;
    let witness = &world.witness;
    let word = |sequence| witness.signed(WITNESSED_TYP, &witness.word(sequence));
    let other = |change: &dyn Fn(&mut WitnessedHead)| {
        let mut said = witness.word(1);
        change(&mut said);
        witness.signed(WITNESSED_TYP, &said)
    };
    let stranger = SigningKey::generate().unwrap();
    let forged = serde_json::to_value(witness.word(1)).unwrap();
    let forged = jws::sign(WITNESSED_TYP, &forged, &stranger).unwrap();
    let disordered = "not of this trail, or not in order";
    for (list, words) in [
        (vec![other(&|said| said.owner = "hub".into())], disordered),
        (vec![other(&|said| said.sub = "hub".into())], disordered),
        (vec![word(2), word(1)], disordered),
        (vec![word(2), word(2)], disordered),
        (vec![witness.signed(HEAD_TYP, &witness.word(1))], ""),
        (vec![word(1), forged], ""),
        (vec!["no word".to_owned()], ""),
    ] {
        witness.says(200, serde_json::to_string(&list).unwrap());
        let said = failed(&world.wanted(OWNER)).await;
        assert!(said.contains(words), "{said}");
    }
    witness.says(200, "no list");
    failed(&world.wanted(OWNER)).await;
    // The same words in order are.
    let list = vec![word(1), word(2)];
    witness.says(200, serde_json::to_string(&list).unwrap());
    let proof = prove(&world.wanted(OWNER)).await.unwrap();
    assert_eq!(numbers(&proof), [1, 2]);
}

#[tokio::test]
async fn the_registered_key_counts_and_one_of_before_where_it_is_given() {
    let mut world = world().await;
    let before = std::mem::replace(&mut world.key, SigningKey::generate().unwrap());
    world.config.client[1].jwk = world.key.public_jwk().to_string();
    let mut wanted = world.wanted(OWNER);
    wanted.offline = true;
    let proof = prove(&wanted).await.unwrap();
    assert_eq!((numbers(&proof), proof.faults.len()), (vec![], 2));
    let file = world.folder.path().join("keys.json");
    wanted.keys = Some(file.clone());
    assert!(failed(&wanted).await.contains("keys.json"));
    std::fs::write(&file, "no keys").unwrap();
    assert!(failed(&wanted).await.contains("keys.json"));
    let set = KeySet::of(vec![before.public().clone()]).unwrap();
    std::fs::write(&file, set.to_jwks().to_string()).unwrap();
    let proof = prove(&wanted).await.unwrap();
    assert_eq!((numbers(&proof), proof.faults), (vec![1, 2], vec![]));
    world.config.client.truncate(1);
    let mut wanted = world.wanted(OWNER);
    wanted.offline = true;
    assert!(failed(&wanted).await.contains("is not registered"));
}

#[tokio::test]
async fn a_service_that_is_no_client_is_believed_by_its_own_key_and_has_no_witness() {
    let world = World::of("catalogue").await;
    let head = world.written(1).await;
    world.keeper().finish().await;
    world.witness.says(503, "");
    let proof = prove(&world.wanted("catalogue")).await.unwrap();
    assert_eq!(proof.heads, [head]);
    assert_eq!((proof.faults, proof.witnessed), (vec![], None));
}
