//! An erasure killed at any moment is either not begun, or done; repeated, it comes to the end, and nothing is left.
//!
//! The erasure runs in a process of its own (this test binary again, told by the environment), which is killed after ever more
//! turns of an empty loop. Where it was by then is not known, and need not be: whatever is found must be one of the two.

use std::path::Path;

use store::{AuditFilter, Options, Purge, Store, StoreError};

use crate::killed::{self, copy};
use crate::purge::order;
use crate::world::*;

/// Names the folder whose store the child erases in.
const FOLDER: &str = "DELT_TEST_PURGE_KILLED";
/// Readings of each of the two patients: enough for a dictionary.
const READINGS: usize = 300;
const ROUNDS: u64 = 12;

fn open(world: &World, folder: &Path) -> Store {
    let options = Options {
        announce: Some("locator".to_owned()),
        ..Options::default()
    };
    Store::open_with(folder, OWNER, world.surroundings(), options).unwrap()
}

/// Erases Henrik in the folder that the environment names, and says where it is; alone, it has nothing to do.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let world = World::new();
    let store = open(&world, Path::new(&folder));
    killed::ready();
    let erased = store
        .commit(order(&world, Purge::Patient(person(HENRIK))))
        .await;
    assert_eq!(erased.unwrap().purged.unwrap().patients, 1);
    killed::done();
}

/// As [`killed::after`].
fn erase_until(folder: &Path, turns: u64) -> u64 {
    killed::after("purge_killed::child", FOLDER, folder, turns)
}

/// How many of the traces lie in any file of the folder.
fn lying(folder: &Path, traces: &[Vec<u8>]) -> usize {
    let files: Vec<Vec<u8>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    let lies = |trace: &&Vec<u8>| {
        let mut held = files.iter();
        held.any(|file| {
            file.windows(trace.len())
                .any(|window| window == trace.as_slice())
        })
    };
    traces.iter().filter(lies).count()
}

/// A few of what the tables hold about a patient: packed bodies and ids.
fn traces(folder: &Path, number: &str) -> Vec<Vec<u8>> {
    let connection = rusqlite::Connection::open(folder.join("store.db")).unwrap();
    let mut statement = connection
        .prepare(
            "SELECT r.body FROM record r JOIN patient p ON p.n = r.patient WHERE p.value = ?1
             UNION ALL SELECT r.id FROM record r JOIN patient p ON p.n = r.patient WHERE p.value = ?1",
        )
        .unwrap();
    let all = statement
        .query_map([number], |row| row.get::<_, Vec<u8>>(0))
        .unwrap();
    all.map(Result::unwrap).step_by(97).collect()
}

async fn erasures(store: &Store) -> usize {
    assert!(store.verify_audit(None).await.unwrap().is_sound());
    let all = AuditFilter {
        limit: 100,
        ..AuditFilter::default()
    };
    let trail = store.audit_search(all).await.unwrap();
    trail
        .iter()
        .filter(|entry| entry.record.erasure.is_some())
        .count()
}

#[tokio::test]
async fn a_killed_erasure_is_not_begun_or_done_and_repeated_leaves_nothing() {
    let world = World::new();
    let store = open(&world, world.path());
    let mut changes = Vec::new();
    for n in 0..READINGS * 2 {
        let (id, of) = (format!("r{n}"), [GURI, HENRIK][n % 2]);
        let at = format!("2026-02-{:02}T{:02}:{:02}:00Z", 1 + n / 40, n % 24, n % 60);
        let value = format!("{}.{}", 50 + n % 37, n % 10);
        let pulse = Pulse {
            of,
            id: &id,
            at: &at,
            value: &value,
            ..Pulse::default()
        };
        changes.push(pulse.create());
    }
    for taken in store.commit_all(changes).await {
        taken.unwrap();
    }
    drop(store);
    let (gone, kept) = (traces(world.path(), HENRIK), traces(world.path(), GURI));
    assert!(gone.len() > 5 && lying(world.path(), &gone) == gone.len());
    let fresh = || {
        let folder = tempfile::tempdir().unwrap();
        copy(world.path(), folder.path());
        folder
    };
    let whole = {
        let folder = fresh();
        erase_until(folder.path(), u64::MAX)
    };
    let mut found = [0; 2];
    for round in 0..=ROUNDS {
        let folder = fresh();
        let folder = folder.path();
        let last = round == ROUNDS;
        erase_until(
            folder,
            if last {
                u64::MAX
            } else {
                whole / ROUNDS * round
            },
        );
        let store = open(&world, folder);
        let begun = store.patient_id(&person(HENRIK)).await.unwrap().is_none();
        found[usize::from(begun)] += 1;
        assert_eq!(erasures(&store).await, usize::from(begun), "round {round}");
        let again = store
            .commit(order(&world, Purge::Patient(person(HENRIK))))
            .await;
        match again {
            Ok(done) if !begun => assert_eq!(done.purged.unwrap().resources as usize, READINGS + 1),
            Err(StoreError::NotFound) if begun => {}
            other => panic!("round {round}: {begun} {other:?}"),
        }
        assert_eq!(erasures(&store).await, 1);
        assert_eq!(lying(folder, &gone), 0, "round {round}: something is left");
        // The locator hears once that nothing is here any more; the neighbour is whole.
        let due = store.outbox_due("locator", world.now(), 100).await.unwrap();
        let absent = |due: &&store::Due| {
            let text = String::from_utf8_lossy(&due.body).into_owned();
            text.contains(HENRIK) && text.contains("absent")
        };
        assert_eq!(due.iter().filter(absent).count(), 1, "round {round}");
        drop(store);
        assert_eq!(lying(folder, &gone), 0);
        assert_eq!(traces(folder, GURI).len(), kept.len());
        let store = open(&world, folder);
        let query = observations(&[("_count", "200")]);
        let page = store.search(&own(GURI), &query, None).await.unwrap();
        assert_eq!(page.matches.len(), 200);
    }
    assert!(
        found[0] > 0 && found[1] > 0,
        "the first had not begun, the last was done"
    );
}
