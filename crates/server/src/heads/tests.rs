//! What is kept of a trail, what the witness is told of it, and when (threats-and-faults section 11).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::believed::own;
use super::world::{OWNER, START, World};
use super::*;
use trust::keys::KeySet;

type Numbers = (Vec<u64>, Vec<u64>);

/// The same records kept and witnessed.
fn both(numbers: &[u64]) -> Numbers {
    (numbers.to_vec(), numbers.to_vec())
}

#[tokio::test]
async fn a_head_is_kept_and_witnessed_once_and_again_when_the_trail_has_grown() {
    let world = World::new().await;
    let keeper = world.keeper();
    keeper.finish().await;
    assert_eq!(world.kept(), both(&[]), "an empty trail has no head");
    let head = world.written(1).await;
    keeper.finish().await;
    assert_eq!(world.kept(), both(&[1]));
    let said = world.witness.told.borrow()[0].clone();
    let iat = said.iat;
    assert!((START.seconds()..START.seconds() + 600).contains(&iat));
    let expected = HeadStatement {
        iss: Some(OWNER.into()),
        aud: world.config.issuer(),
        iat,
        owner: OWNER.into(),
        sequence: 1,
        hash: base64url(&head.hash),
    };
    assert_eq!(said, expected);
    keeper.finish().await;
    assert_eq!(world.witness.told(), [1], "nothing is new");
    let head = world.written(2).await;
    keeper.finish().await;
    assert_eq!(world.witness.told(), [1, 3]);
    // After a start the file tells what is kept and witnessed.
    world.keeper().finish().await;
    assert_eq!(world.witness.told(), [1, 3]);
    assert_eq!(world.kept(), both(&[1, 3]));
    let kept = read(&world.config.heads_folder(), OWNER).unwrap();
    let registered = KeySet::of(vec![world.key.public().clone()]).unwrap();
    let proof = own(&kept, OWNER, Some(OWNER), &registered, None);
    assert_eq!(proof.heads.last(), Some(&head));
    assert!(proof.faults.is_empty(), "{:?}", proof.faults);
}

#[tokio::test]
async fn what_the_witness_missed_is_told_at_the_next_turn_and_kept_once() {
    let world = World::new().await;
    let keeper = world.keeper();
    world.written(1).await;
    let silent = [(503, ""), (200, "no list")];
    for (n, (status, body)) in silent.into_iter().enumerate() {
        world.witness.says(status, body);
        keeper.finish().await;
        assert_eq!(world.witness.told(), vec![1; n + 1]);
        assert_eq!(world.kept(), (vec![1], vec![]), "{status}");
    }
    // After a start, too: the file says that nobody witnessed it.
    world.keeper().finish().await;
    assert_eq!(world.witness.told(), [1, 1, 1]);
    world.witness.recovers();
    for _ in 0..2 {
        keeper.finish().await;
        assert_eq!(world.witness.told(), [1, 1, 1, 1]);
        assert_eq!(world.kept(), both(&[1]));
    }
}

#[tokio::test]
async fn a_contradiction_is_told_from_a_witness_that_is_not_there() {
    let world = World::new().await;
    let head = world.written(1).await;
    let keeper = world.keeper();
    let tell = async |keeper: &Keeper| {
        let signed = keeper.signed(OWNER, head).unwrap();
        keeper.tell(OWNER, signed).await.unwrap()
    };
    assert_eq!(tell(&keeper).await, Told::Witnessed);
    for (status, told) in [
        (409, Told::Contradicted),
        (401, Told::Missed),
        (503, Told::Missed),
        (204, Told::Missed),
    ] {
        world.witness.says(status, "");
        assert_eq!(tell(&keeper).await, told, "{status}");
    }
    let mut elsewhere = World::new().await;
    elsewhere.config.anchor.base = "http://127.0.0.1:1".parse().unwrap();
    assert_eq!(tell(&elsewhere.keeper()).await, Told::Missed);
}

#[tokio::test]
async fn a_trail_that_became_shorter_is_kept_as_it_is_now() {
    let mut world = World::new().await;
    world.written(2).await;
    world.keeper().finish().await;
    world.begin_anew();
    let keeper = world.keeper();
    for _ in 0..2 {
        keeper.finish().await;
        assert_eq!(world.kept().0, [2, 0], "cut to nothing");
    }
    world.written(1).await;
    keeper.finish().await;
    assert_eq!(world.kept().0, [2, 0, 1]);
}

#[test]
fn a_trail_is_shorter_where_more_was_kept_of_it() {
    for (kept, now, beyond) in [(2, 1, true), (2, 2, false), (2, 3, false), (0, 0, false)] {
        let last = Last {
            sequence: kept,
            ..Last::default()
        };
        let head = AuditHead {
            sequence: now,
            hash: [7; 32],
        };
        assert_eq!(last.is_beyond(&head), beyond, "{kept} {now}");
    }
}

#[tokio::test]
async fn another_trail_of_the_same_length_is_kept_too() {
    let mut world = World::new().await;
    world.written(1).await;
    world.keeper().finish().await;
    world.begin_anew();
    world.written(1).await;
    world.keeper().finish().await;
    assert_eq!(world.kept().0, [1, 1]);
}

#[tokio::test]
async fn where_the_anchor_is_no_witness_it_is_told_nothing() {
    let mut world = World::new().await;
    world.config.audit = Some(config::Audit {
        witness: false,
        ..config::Audit::default()
    });
    let keeper = world.keeper();
    world.written(1).await;
    for _ in 0..2 {
        keeper.finish().await;
        assert_eq!(world.kept(), (vec![1], vec![]));
    }
    assert!(world.witness.told().is_empty());
}

#[tokio::test]
async fn a_service_that_is_no_client_signs_with_a_key_of_its_own_and_tells_nobody() {
    let world = World::of("catalogue").await;
    let head = world.written(3).await;
    let keeper = world.keeper();
    for _ in 0..2 {
        keeper.finish().await;
        assert_eq!(world.kept(), (vec![3], vec![]));
    }
    assert!(world.witness.told().is_empty());
    let folder = world.config.heads_folder();
    let kept = read(&folder, "catalogue").unwrap();
    let proof = own(
        &kept,
        "catalogue",
        None,
        &key::public(&folder).unwrap(),
        None,
    );
    assert_eq!(proof.heads, [head]);
    assert!(proof.faults.is_empty(), "{:?}", proof.faults);
}

#[tokio::test]
async fn the_worker_keeps_a_head_at_each_interval_until_it_is_stopped() {
    let world = World::new().await;
    let keeper = world.keeper();
    let mut told = world.witness.told.subscribe();
    world.written(1).await;
    let stop = Stop::new();
    let working = tokio::spawn(keeper.worker(stop.clone()).run);
    for more in 1..4 {
        told.wait_for(|told| told.len() == more).await.unwrap();
        // When its turn is over, the worker waits by the clock: on this one thread nothing comes between.
        drop(keeper.0.turn.lock().await);
        world.written(1).await;
        world.time.put(world.time.now().plus_seconds(300)).unwrap();
    }
    told.wait_for(|told| told.len() == 4).await.unwrap();
    stop.stop();
    working.await.unwrap();
    assert_eq!(world.witness.told(), [1, 2, 3, 4]);
}
