//! Opening, closing, dying: the right file for the right owner, and all that was acknowledged.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use store::{Options, Store, StoreError};

use crate::world::*;

/// What a killed process leaves behind: the files as they are while the store is open.
fn snapshot(world: &World) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["store.db", "store.db-wal", "keys"] {
        let from = world.path().join(name);
        if from.exists() {
            fs::copy(&from, copy.path().join(name)).unwrap();
        }
    }
    copy
}

#[tokio::test]
async fn a_store_opens_for_its_owner_only_and_once_at_a_time() {
    let (one, two) = (World::new(), World::new());
    let store = one.store();
    store.commit(Pulse::default().create()).await.unwrap();
    assert_eq!(store.owner(), OWNER);
    assert_eq!(
        Store::open(one.path(), OWNER, one.surroundings()).unwrap_err(),
        StoreError::InUse
    );
    let clone = store.clone();
    drop(store);
    assert_eq!(
        Store::open(one.path(), OWNER, one.surroundings()).unwrap_err(),
        StoreError::InUse
    );
    drop(clone);
    assert_eq!(
        Store::open(one.path(), "310001147", one.surroundings()).unwrap_err(),
        StoreError::OtherOwner
    );
    // Another store's keys beside this database, and this database in another store's folder.
    drop(Store::open(two.path(), OWNER, two.surroundings()).unwrap());
    fs::copy(one.path().join("store.db"), two.path().join("store.db")).unwrap();
    let mixed = Store::open(two.path(), OWNER, two.surroundings()).unwrap_err();
    assert!(matches!(mixed, StoreError::Keys(_)), "{mixed:?}");
    assert_eq!(
        one.store()
            .search(&own(GURI), &observations(&[]), None)
            .await
            .unwrap()
            .total,
        Some(1)
    );
}

#[tokio::test]
async fn files_are_private_and_a_readable_or_missing_key_file_is_refused() {
    let world = World::new();
    {
        let store = world.store();
        store.commit(Pulse::default().create()).await.unwrap();
        for name in ["store.db", "store.db-wal", "keys", "lock"] {
            let mode = fs::metadata(world.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
    let keys = world.path().join("keys");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        Store::open(world.path(), OWNER, world.surroundings()),
        Err(StoreError::Keys(_))
    ));
    fs::remove_file(&keys).unwrap();
    assert!(matches!(
        Store::open(world.path(), OWNER, world.surroundings()),
        Err(StoreError::Keys(_))
    ));
    assert!(!keys.exists(), "no new keys are made for an old database");
}

#[tokio::test]
async fn a_newer_format_and_a_strange_file_are_refused_untouched() {
    let world = World::new();
    drop(world.store());
    let path = world.path().join("store.db");
    let bend = |sql: &str| {
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(sql)
            .unwrap()
    };
    bend("PRAGMA user_version = 3");
    let newer = Store::open(world.path(), OWNER, world.surroundings()).unwrap_err();
    assert_eq!(newer, StoreError::NewerFormat { found: 3, known: 2 });
    bend("PRAGMA user_version = 2; PRAGMA application_id = 7");
    assert!(matches!(
        Store::open(world.path(), OWNER, world.surroundings()),
        Err(StoreError::Damaged(_))
    ));
    fs::write(&path, vec![b'x'; 20_000]).unwrap();
    assert!(matches!(
        Store::open(world.path(), OWNER, world.surroundings()),
        Err(StoreError::Damaged(_))
    ));
    assert_eq!(fs::read(&path).unwrap(), vec![b'x'; 20_000]);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill_whole_and_once() {
    let world = World::new();
    let store = world.announcing();
    for n in 0..50 {
        let id = format!("r{n}");
        let mut change = Pulse {
            id: &id,
            ..Pulse::default()
        }
        .create();
        change.audit = Some(record(&id, Some(GURI), world.now()));
        change.audit_fill = true;
        store.commit(change).await.unwrap();
        if n % 10 != 9 {
            continue;
        }
        let copy = snapshot(&world);
        let other = Store::open(copy.path(), OWNER, world.surroundings()).unwrap();
        let page = other
            .search(&own(GURI), &observations(&[("_count", "200")]), None)
            .await
            .unwrap();
        assert_eq!(page.matches.len(), n + 1);
        let report = other.verify_audit(None).await.unwrap();
        assert!(
            report.is_sound() && report.records == n as u64 + 1,
            "{report:?}"
        );
        assert_eq!(
            other
                .outbox_due("locator", world.now(), 10)
                .await
                .unwrap()
                .len(),
            1
        );
        // A resend after the restart is known.
        let again = other
            .commit(
                Pulse {
                    id: &id,
                    ..Pulse::default()
                }
                .create(),
            )
            .await
            .unwrap()
            .puts[0];
        assert_eq!(again.fate, store::Fate::Existing);
    }
}

#[tokio::test]
async fn a_full_store_refuses_keeps_what_it_has_and_goes_on_when_there_is_room() {
    let world = World::new();
    let long = "x".repeat(1_500_000);
    let big = |n: usize| {
        // Random-looking text does not compress away.
        let mut seed = n as u64 + 1;
        let text: String = long
            .chars()
            .map(|_| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                char::from(b'a' + (seed >> 59) as u8 % 26)
            })
            .collect();
        let id = format!("r{n}");
        create(checked(
            &Pulse {
                id: &id,
                ..Pulse::default()
            }
            .json()
            .replace(
                r#""status""#,
                &format!(r#""note":[{{"text":"{text}"}}],"status""#),
            ),
        ))
    };
    {
        let small = Options {
            max_bytes: Some(3_000_000),
            ..Options::default()
        };
        let store = Store::open_with(world.path(), OWNER, world.surroundings(), small).unwrap();
        let mut results = Vec::new();
        for n in 0..6 {
            results.push(store.commit(big(n)).await.map(drop));
        }
        assert_eq!(results.first(), Some(&Ok(())));
        assert_eq!(results.last(), Some(&Err(StoreError::Full)));
        assert!(!store.has_stopped());
        let kept = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(
            store
                .search(&own(GURI), &observations(&[]), None)
                .await
                .unwrap()
                .matches
                .len(),
            kept
        );
        store
            .commit(
                Pulse {
                    id: "small",
                    ..Pulse::default()
                }
                .create(),
            )
            .await
            .unwrap();
    }
    assert!(world.store().commit(big(5)).await.is_ok());
}

#[tokio::test]
async fn dictionaries_are_trained_kept_and_used() {
    let world = World::new();
    let size = |path: &std::path::Path, sql: &str| -> i64 {
        rusqlite::Connection::open(path.join("store.db"))
            .unwrap()
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
    };
    {
        let store = world.store();
        for round in 0..4 {
            let changes = (0..250)
                .map(|n| {
                    let (id, value) = (
                        format!("r{round}-{n}"),
                        format!("{}.{}", 50 + n % 60, n % 10),
                    );
                    let mut change = Pulse {
                        id: &id,
                        value: &value,
                        ..Pulse::default()
                    }
                    .create();
                    change.audit = Some(record(&id, Some(GURI), world.now()));
                    change
                })
                .collect();
            assert!(store.commit_all(changes).await.iter().all(Result::is_ok));
        }
    }
    // Closing waits for the trainer and keeps what it made.
    let store = world.store();
    for n in 0..5 {
        let id = format!("t{n}");
        store
            .commit(
                Pulse {
                    id: &id,
                    ..Pulse::default()
                }
                .create(),
            )
            .await
            .unwrap();
    }
    let mut after = None;
    let mut seen = 0;
    loop {
        let page = store
            .search(&own(GURI), &observations(&[("_count", "200")]), after)
            .await
            .unwrap();
        seen += page.matches.len();
        for one in &page.matches {
            assert!(
                one.body
                    .starts_with(br#"{"resourceType":"Observation","id":""#)
            );
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 1_005);
    assert!(store.verify_audit(None).await.unwrap().is_sound());
    drop(store);
    assert!(
        size(
            world.path(),
            "SELECT count(*) FROM dictionary WHERE kind > 0"
        ) >= 1
    );
    let packed = size(world.path(), "SELECT min(length(body)) FROM record");
    assert!(packed < 120, "{packed} bytes");
}

#[tokio::test]
async fn a_file_cut_short_under_an_open_store_is_an_error_and_not_the_end_of_the_process() {
    let world = World::new();
    {
        let store = world.store();
        for n in 0..60 {
            let id = format!("r{n}");
            let value = format!("{n}.5");
            let pulse = Pulse {
                id: &id,
                value: &value,
                ..Pulse::default()
            };
            store.commit(pulse.create()).await.unwrap();
        }
    }
    let store = world.store();
    store.outbox_state("nobody").await.unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .open(world.path().join("store.db"))
        .unwrap()
        .set_len(8192)
        .unwrap();
    // Other organisations' stores live in the same process: a bus error would end them all.
    assert!(
        store
            .search(&own(GURI), &observations(&[]), None)
            .await
            .is_err()
    );
}
