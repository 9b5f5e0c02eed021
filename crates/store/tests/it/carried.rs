//! What is made of an outbox entry is made once: in the change that ends the entry, or not at all, killed at any moment and by
//! however many workers: so a note is filed once (decision 0048).
//!
//! As in `purge_killed.rs`, the follower runs in a process of its own that is killed after ever more turns of an empty loop.

use std::path::Path;

use proptest::prelude::{ProptestConfig, any, proptest};
use store::{Change, Due, Expect, Followed, LedgerWrite, Options, OutboxEntry, Store, StoreError};

use crate::killed;
use crate::world::*;

const FOLDER: &str = "DELT_TEST_CARRIED_KILLED";
const FOLLOWER: &str = "events";
const EVENTS: &str = "event";
const COUNT: &str = "count";
const READINGS: usize = 120;
const ROUNDS: u64 = 10;

fn open(world: &World, folder: &Path) -> Store {
    let options = Options {
        follow: vec![FOLLOWER.to_owned()],
        ..Options::default()
    };
    Store::open_with(folder, OWNER, world.surroundings(), options).unwrap()
}

async fn due(store: &Store, world: &World, limit: usize) -> Vec<Due> {
    store
        .outbox_due(FOLLOWER, world.now(), limit)
        .await
        .unwrap()
}

async fn counted(store: &Store) -> (u64, Option<u64>) {
    let held = store.ledger_get(COUNT, b"").await.unwrap();
    let number = |held: &store::LedgerEntry| u64::from_be_bytes(held.value[..].try_into().unwrap());
    (
        held.as_ref().map_or(0, number),
        held.map(|held| held.version),
    )
}

/// One more number for each resource that these entries tell of, in the change that ends them.
async fn numbered(store: &Store, entries: &[Due]) -> Result<(), StoreError> {
    let (mut number, version) = counted(store).await;
    let mut ledger = Vec::new();
    for entry in entries {
        let followed: Followed = serde_json::from_slice(&entry.body).unwrap();
        for one in followed.written {
            number += 1;
            ledger.push(LedgerWrite {
                ledger: EVENTS,
                key: number.to_be_bytes().to_vec(),
                value: Some(one.id.to_string().into_bytes()),
                expect: Expect::Absent,
            });
        }
    }
    ledger.push(LedgerWrite {
        ledger: COUNT,
        key: Vec::new(),
        value: Some(number.to_be_bytes().to_vec()),
        expect: version.map_or(Expect::Absent, Expect::Version),
    });
    let change = Change {
        ledger,
        carried: entries.iter().map(|entry| entry.id).collect(),
        ..Change::default()
    };
    store.commit(change).await.map(|_| ())
}

async fn drain(store: &Store, world: &World, at_once: usize) {
    loop {
        let entries = due(store, world, at_once).await;
        if entries.is_empty() {
            return;
        }
        numbered(store, &entries).await.unwrap();
    }
}

/// The numbers 1, 2, … without a gap, each resource once.
async fn sound(store: &Store) -> usize {
    let events = store.ledger_scan(EVENTS, b"", None, 10_000).await.unwrap();
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event.key, (place as u64 + 1).to_be_bytes());
    }
    let mut ids: Vec<_> = events.iter().map(|event| event.value.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "something was numbered twice");
    assert_eq!(counted(store).await.0, events.len() as u64);
    events.len()
}

async fn readings(store: &Store, range: std::ops::Range<usize>) {
    for n in range {
        let id = format!("r{n}");
        let of = [GURI, HENRIK][n % 2];
        let pulse = Pulse {
            of,
            id: &id,
            ..Pulse::default()
        };
        store.commit(pulse.create()).await.unwrap();
    }
}

#[tokio::test]
async fn an_entry_is_carried_once_and_not_by_a_change_that_fails() {
    let world = World::new();
    let store = open(&world, world.path());
    readings(&store, 0..1).await;
    let entries = due(&store, &world, 10).await;
    // A change that fails carries nothing.
    let failing = Change {
        ledger: vec![LedgerWrite {
            ledger: COUNT,
            key: Vec::new(),
            value: Some(vec![0; 8]),
            expect: Expect::Version(7),
        }],
        carried: vec![entries[0].id],
        ..Change::default()
    };
    let failed = store.commit(failing).await;
    assert!(matches!(failed, Err(StoreError::LedgerMismatch { .. })));
    assert_eq!(due(&store, &world, 10).await.len(), 1);
    // Of two workers with the same entry, one makes something of it.
    numbered(&store, &entries).await.unwrap();
    assert_eq!(
        numbered(&store, &entries).await,
        Err(StoreError::NotPending)
    );
    assert_eq!(sound(&store).await, 1);
    assert!(due(&store, &world, 10).await.is_empty());
    // The courier's own report afterwards changes nothing.
    store.outbox_done(vec![entries[0].id]).await.unwrap();
    let entry = OutboxEntry {
        topic: "t",
        receivers: vec!["other".into()],
        partition: "p".into(),
        key: "k".into(),
        body: b"x".as_slice().into(),
    };
    let change = Change {
        outbox: vec![entry],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    let other = store.outbox_due("other", world.now(), 1).await.unwrap();
    store.outbox_dead(other[0].id, "no").await.unwrap();
    let change = Change {
        carried: vec![other[0].id],
        ..Change::default()
    };
    let dead = store.commit(change).await.map(|_| ());
    assert_eq!(dead, Err(StoreError::NotPending));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Writing and following in any turns, by workers that take the same entries, in batches of any size.
    #[test]
    fn in_whatever_turns_nothing_is_lost_or_numbered_twice(
        steps in proptest::collection::vec((0..4_usize, 1..5_usize, any::<bool>()), 1..12)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let store = open(&world, world.path());
            let mut written = 0;
            for (more, at_once, twice) in steps {
                readings(&store, written..written + more).await;
                written += more;
                let entries = due(&store, &world, at_once).await;
                if entries.is_empty() {
                    continue;
                }
                numbered(&store, &entries).await.unwrap();
                if twice {
                    assert_eq!(numbered(&store, &entries).await, Err(StoreError::NotPending));
                }
                sound(&store).await;
            }
            drain(&store, &world, 3).await;
            assert_eq!(sound(&store).await, written);
        });
    }
}

/// Follows in the folder that the environment names; alone, it has nothing to do.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let world = World::new();
    let store = open(&world, Path::new(&folder));
    killed::ready();
    drain(&store, &world, 3).await;
    killed::done();
}

/// As [`killed::after`].
fn follow_until(folder: &Path, turns: u64) -> u64 {
    killed::after("carried::child", FOLDER, folder, turns)
}

#[tokio::test]
async fn killed_at_any_moment_the_numbers_have_no_gap_and_nothing_is_missing() {
    let world = World::new();
    let store = open(&world, world.path());
    readings(&store, 0..READINGS).await;
    drop(store);
    let fresh = || {
        let folder = tempfile::tempdir().unwrap();
        killed::copy(world.path(), folder.path());
        folder
    };
    let whole = {
        let folder = fresh();
        follow_until(folder.path(), u64::MAX)
    };
    let mut partly = 0;
    for round in 0..=ROUNDS {
        let folder = fresh();
        follow_until(folder.path(), whole / ROUNDS * round);
        let store = open(&world, folder.path());
        let before = sound(&store).await;
        partly += usize::from(before > 0 && before < READINGS);
        drain(&store, &world, 7).await;
        assert_eq!(sound(&store).await, READINGS, "round {round}");
    }
    assert!(partly > 0, "none was killed on its way");
}
