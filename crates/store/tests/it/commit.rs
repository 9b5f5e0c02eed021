//! Creates, resends, corrections, withdrawals, replay, faults: CONTRACT section 5.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fhir::json::{Json, Limits};
use fhir::resource::ResourceType;
use fhir::time::Instant;
use store::{Change, Conflict, Fate, Put, Store, StoreError};
use trust::Replay;

use crate::world::*;

const OBSERVATION: ResourceType = ResourceType::OBSERVATION;

#[tokio::test]
async fn what_was_sent_comes_back_byte_for_byte_apart_from_what_the_server_owns() {
    let world = World::new();
    let store = world.store();
    let sent = Pulse {
        value: "72.50",
        ..Pulse::default()
    }
    .json();
    let made = store.commit(create(checked(&sent))).await.unwrap();
    assert_eq!(
        (
            made.puts[0].fate,
            made.puts[0].version,
            made.puts[0].last_updated
        ),
        (Fate::Created, 1, world.now())
    );
    assert!(made.receipt.is_none());
    let id = made.puts[0].id;
    let held = store
        .read(&own(GURI), OBSERVATION, id)
        .await
        .unwrap()
        .unwrap();
    let text = std::str::from_utf8(&held.body).unwrap();
    let owned =
        format!(r#","id":"{id}","meta":{{"versionId":"1","lastUpdated":"2026-03-01T12:00:00Z"}}"#);
    assert_eq!(text.replace(&owned, ""), sent);
    assert!(text.contains(r#""value":72.50,"#));
    // A client's own id and meta give way where they stand.
    let odd = sent.replace(
        r#""status""#,
        r#""meta":{"lastUpdated":"1999-01-01T00:00:00Z","profile":["http://p.example"],"versionId":"77"},"id":"mine","status""#,
    ).replace("r1", "r2");
    let id = store.commit(create(checked(&odd))).await.unwrap().puts[0].id;
    let held = store
        .read(&own(GURI), OBSERVATION, id)
        .await
        .unwrap()
        .unwrap();
    let json = Json::parse(held.body.clone(), Limits::RESOURCE).unwrap();
    assert_eq!(json.root().text("id").unwrap(), id.to_string());
    assert_eq!(
        json.root()
            .path(&["meta", "versionId"])
            .unwrap()
            .str()
            .unwrap(),
        "1"
    );
    assert_eq!(
        json.root()
            .path(&["meta", "lastUpdated"])
            .unwrap()
            .str()
            .unwrap(),
        "2026-03-01T12:00:00.000001Z"
    );
    assert!(
        std::str::from_utf8(&held.body)
            .unwrap()
            .contains(r#""profile":["http://p.example"]"#)
    );
}

#[tokio::test]
async fn a_resend_gets_the_first_answer_and_other_content_a_conflict() {
    let world = World::new();
    let store = world.store();
    let first = store.commit(Pulse::default().create()).await.unwrap().puts[0];
    world.pass(3600);
    let again = store.commit(Pulse::default().create()).await.unwrap().puts[0];
    assert_eq!(
        (again.id, again.version, again.last_updated, again.fate),
        (first.id, 1, first.last_updated, Fate::Existing)
    );
    let other = store
        .commit(
            Pulse {
                value: "73.0",
                ..Pulse::default()
            }
            .create(),
        )
        .await;
    assert_eq!(
        other.unwrap_err(),
        StoreError::Conflict(Conflict::Content { existing: first.id })
    );
    // Other digits are other content: 72.0 is not 72.00.
    assert!(
        store
            .commit(
                Pulse {
                    value: "72.00",
                    ..Pulse::default()
                }
                .create()
            )
            .await
            .is_err()
    );
    assert_eq!(
        store
            .search(&own(GURI), &observations(&[]), None)
            .await
            .unwrap()
            .total,
        Some(1)
    );
}

#[tokio::test]
async fn a_correction_is_version_two_and_a_late_resend_of_the_first_undoes_nothing() {
    let world = World::new();
    let store = world.store();
    let first = store.commit(Pulse::default().create()).await.unwrap().puts[0];
    world.pass(60);
    let corrected = Pulse {
        value: "82.0",
        status: "corrected",
        at: "2026-02-28T09:00:00+01:00",
        ..Pulse::default()
    };
    let second = store.commit(corrected.create()).await.unwrap().puts[0];
    assert_eq!(
        (second.id, second.version, second.fate),
        (first.id, 2, Fate::Updated)
    );
    assert!(second.last_updated > first.last_updated);
    for (change, version) in [(Pulse::default().create(), 1), (corrected.create(), 2)] {
        let again = store.commit(change).await.unwrap().puts[0];
        assert_eq!(
            (again.id, again.version, again.fate),
            (first.id, version, Fate::Existing)
        );
    }
    let page = store
        .search(&own(GURI), &observations(&[]), None)
        .await
        .unwrap();
    assert_eq!(page.matches.len(), 1);
    assert!(
        std::str::from_utf8(&page.matches[0].body)
            .unwrap()
            .contains("82.0")
    );
    assert!(
        std::str::from_utf8(&page.matches[0].body)
            .unwrap()
            .contains(r#""versionId":"2""#)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_equal_creates_make_one() {
    let world = World::new();
    let store = world.store();
    let tasks: Vec<_> = (0..40)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(Pulse::default().create()).await.unwrap() })
        })
        .collect();
    let mut created = 0;
    let mut ids = std::collections::HashSet::new();
    for task in tasks {
        let committed = task.await.unwrap();
        created += usize::from(committed.puts[0].fate == Fate::Created);
        ids.insert(committed.puts[0].id);
    }
    assert_eq!((created, ids.len()), (1, 1));
}

#[tokio::test]
async fn updates_need_the_version_they_name_and_stay_with_their_patient() {
    let world = World::new();
    let store = world.store();
    let first = store.commit(Pulse::default().create()).await.unwrap().puts[0];
    store
        .commit(
            Pulse {
                of: HENRIK,
                ..Pulse::default()
            }
            .create(),
        )
        .await
        .unwrap();
    let update = |pulse: Pulse<'_>, expect_version| Change {
        puts: vec![Put::Update {
            id: first.id,
            expect_version,
            resource: checked(&pulse.json()),
            written_by: None,
        }],
        ..Change::default()
    };
    let next = || Pulse {
        value: "90",
        ..Pulse::default()
    };
    assert_eq!(
        store.commit(update(next(), Some(2))).await.unwrap_err(),
        StoreError::VersionMismatch { current: 1 }
    );
    assert_eq!(
        store.commit(update(next(), Some(1))).await.unwrap().puts[0].version,
        2
    );
    assert_eq!(
        store.commit(update(next(), Some(1))).await.unwrap_err(),
        StoreError::VersionMismatch { current: 2 }
    );
    assert_eq!(
        store.commit(update(next(), None)).await.unwrap().puts[0].fate,
        Fate::Existing
    );
    let moved = store
        .commit(update(
            Pulse {
                of: HENRIK,
                value: "91",
                ..Pulse::default()
            },
            None,
        ))
        .await;
    assert_eq!(moved.unwrap_err(), StoreError::Conflict(Conflict::Patient));
    // A reading that an update made another's twin is refused.
    let twin = store
        .commit(
            Pulse {
                id: "r2",
                ..Pulse::default()
            }
            .create(),
        )
        .await
        .unwrap()
        .puts[0];
    let taken = store
        .commit(update(
            Pulse {
                id: "r2",
                value: "92",
                ..Pulse::default()
            },
            None,
        ))
        .await;
    assert_eq!(
        taken.unwrap_err(),
        StoreError::Conflict(Conflict::Identity { existing: twin.id })
    );
    let nobody = Put::Update {
        id: fhir::ids::LogicalId(uuid::Uuid::from_u128(9)),
        expect_version: None,
        resource: checked(&next().json()),
        written_by: None,
    };
    let missing = store
        .commit(Change {
            puts: vec![nobody],
            ..Change::default()
        })
        .await;
    assert_eq!(missing.unwrap_err(), StoreError::NotFound);
}

#[tokio::test]
async fn withdrawn_is_out_of_sight_but_not_forgotten() {
    let world = World::new();
    let store = world.store();
    let first = store.commit(Pulse::default().create()).await.unwrap().puts[0];
    let withdraw = |expect_version| Change {
        puts: vec![Put::Withdraw {
            id: first.id,
            resource_type: OBSERVATION,
            expect_version,
        }],
        ..Change::default()
    };
    assert_eq!(
        store.commit(withdraw(Some(7))).await.unwrap_err(),
        StoreError::VersionMismatch { current: 1 }
    );
    let other_type = Put::Withdraw {
        id: first.id,
        resource_type: ResourceType::CARE_PLAN,
        expect_version: None,
    };
    let wrong = store
        .commit(Change {
            puts: vec![other_type],
            ..Change::default()
        })
        .await;
    assert_eq!(wrong.unwrap_err(), StoreError::NotFound);
    let gone = store.commit(withdraw(Some(1))).await.unwrap();
    assert_eq!(
        (gone.puts[0].fate, gone.puts[0].version),
        (Fate::Withdrawn, 2)
    );
    assert_eq!(
        store
            .read(&own(GURI), OBSERVATION, first.id)
            .await
            .unwrap_err(),
        StoreError::Gone
    );
    assert!(
        store
            .read(&own(HENRIK), OBSERVATION, first.id)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .search(&own(GURI), &observations(&[]), None)
            .await
            .unwrap()
            .matches
            .is_empty()
    );
    let by_id = observations(&[("_id", &first.id.to_string())]);
    assert!(
        store
            .search(&own(GURI), &by_id, None)
            .await
            .unwrap()
            .matches
            .is_empty()
    );
    assert_eq!(
        store.commit(withdraw(None)).await.unwrap_err(),
        StoreError::Gone
    );
    // A resend does not bring it back.
    let again = store.commit(Pulse::default().create()).await.unwrap().puts[0];
    assert_eq!(
        (again.id, again.version, again.fate),
        (first.id, 1, Fate::Existing)
    );
    let other = store
        .commit(
            Pulse {
                value: "1",
                status: "corrected",
                ..Pulse::default()
            }
            .create(),
        )
        .await;
    assert_eq!(
        other.unwrap_err(),
        StoreError::Conflict(Conflict::Withdrawn { existing: first.id })
    );
    assert!(
        store
            .search(&own(GURI), &observations(&[]), None)
            .await
            .unwrap()
            .matches
            .is_empty()
    );
}

#[tokio::test]
async fn all_of_a_change_or_nothing() {
    let world = World::new();
    let store = world.store();
    let mut change = Pulse::default().create();
    change.puts.extend(
        Pulse {
            id: "r2",
            ..Pulse::default()
        }
        .create()
        .puts,
    );
    change.puts.extend(
        Pulse {
            id: "r2",
            value: "5",
            ..Pulse::default()
        }
        .create()
        .puts,
    );
    change.ledger.push(store::LedgerWrite {
        ledger: "test",
        key: b"k".to_vec(),
        value: Some(b"v".to_vec()),
        expect: store::Expect::Any,
    });
    change.audit = Some(record("a", Some(GURI), world.now()));
    assert!(matches!(
        store.commit(change).await,
        Err(StoreError::Conflict(Conflict::Content { .. }))
    ));
    assert_eq!(
        store
            .search(&whole(), &observations(&[]), None)
            .await
            .unwrap()
            .total,
        Some(0)
    );
    assert_eq!(store.patient_id(&person(GURI)).await.unwrap(), None);
    assert!(store.ledger_get("test", b"k").await.unwrap().is_none());
    assert_eq!(store.audit_head().await.unwrap().sequence, 0);
    // What was rolled back left nothing behind in memory either.
    let list = vec![
        Pulse::default().create(),
        Pulse {
            value: "5",
            ..Pulse::default()
        }
        .create(),
        Pulse {
            id: "r2",
            ..Pulse::default()
        }
        .create(),
    ];
    let results = store.commit_all(list).await;
    assert_eq!(
        results.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(
        store
            .search(&whole(), &observations(&[]), None)
            .await
            .unwrap()
            .total,
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_proof_works_once_also_in_parallel_and_after_reopening() {
    let world = World::new();
    let replay = Replay {
        hash: [7; 32],
        expires: Instant(world.now().0 + 60_000_000),
    };
    let change = move |n: usize| {
        let id = format!("r{n}");
        let mut change = Pulse {
            id: &id,
            ..Pulse::default()
        }
        .create();
        change.replays.push(replay);
        change
    };
    {
        let store = world.store();
        let tasks: Vec<_> = (0..30)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move { store.commit(change(n)).await.map(drop) })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => won += 1,
                Err(error) => assert_eq!(error, StoreError::Replayed),
            }
        }
        assert_eq!(won, 1);
        assert_eq!(
            store
                .search(&own(GURI), &observations(&[]), None)
                .await
                .unwrap()
                .total,
            Some(1)
        );
    }
    let store = world.store();
    assert_eq!(
        store.commit(change(99)).await.unwrap_err(),
        StoreError::Replayed
    );
    // Long after its end the memory of it may go: its age alone refuses it then.
    world.pass(3600);
    store.commit(Change::default()).await.unwrap();
    let kept: i64 = rusqlite::Connection::open(world.path().join("store.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM replay", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 0);
    assert_eq!(
        store.commit(change(100)).await.unwrap_err(),
        StoreError::Replayed
    );
}

#[tokio::test]
async fn last_updated_goes_on_even_across_reopening_with_a_clock_that_went_back() {
    let world = World::new();
    let first = {
        let store = world.store();
        store.commit(Pulse::default().create()).await.unwrap().puts[0]
    };
    world.pass(-3600);
    let store = world.store();
    let second = store
        .commit(
            Pulse {
                id: "r2",
                ..Pulse::default()
            }
            .create(),
        )
        .await
        .unwrap()
        .puts[0];
    assert_eq!(second.last_updated.0, first.last_updated.0 + 1);
}

#[tokio::test]
async fn a_bug_in_one_change_ends_that_change_only() {
    let world = World::new();
    let mut surroundings = world.surroundings();
    let (ids, broken) = (surroundings.ids.clone(), Arc::new(AtomicBool::new(false)));
    let switch = broken.clone();
    surroundings.ids = Arc::new(move || {
        assert!(!switch.load(Ordering::SeqCst), "a bug, on purpose");
        ids()
    });
    let store = Store::open(world.path(), OWNER, surroundings).unwrap();
    store.commit(Pulse::default().create()).await.unwrap();
    broken.store(true, Ordering::SeqCst);
    let changes = vec![
        Pulse {
            id: "r2",
            ..Pulse::default()
        }
        .create(),
        Pulse::default().create(),
    ];
    let results = store.commit_all(changes).await;
    assert_eq!(results[0].as_ref().unwrap_err(), &StoreError::Bug);
    assert_eq!(results[1].as_ref().unwrap().puts[0].fate, Fate::Existing);
    broken.store(false, Ordering::SeqCst);
    assert!(
        store
            .commit(
                Pulse {
                    id: "r2",
                    ..Pulse::default()
                }
                .create()
            )
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_full_queue_says_so_at_once_and_what_was_taken_is_done() {
    let world = World::new();
    let mut surroundings = world.surroundings();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let (gate, clock) = (std::sync::Mutex::new(gate), surroundings.clock.clone());
    let closed = Arc::new(AtomicBool::new(true));
    let waits = closed.clone();
    surroundings.clock = Arc::new(move || {
        if waits.load(Ordering::SeqCst) {
            let _ = gate.lock().unwrap().recv();
        }
        clock()
    });
    let store = Store::open(world.path(), OWNER, surroundings).unwrap();
    let mut taken = Box::pin(store.commit_all((0..9_000).map(|_| Change::default()).collect()));
    assert!(poll_once(taken.as_mut()).is_none());
    let small = Box::pin(store.commit(Change::default())).await;
    assert_eq!(small.unwrap_err(), StoreError::Busy);
    closed.store(false, Ordering::SeqCst);
    open.send(()).unwrap();
    assert!(taken.await.iter().all(Result::is_ok));
    assert!(store.commit(Change::default()).await.is_ok());
}

/// Polls once.
fn poll_once<F: std::future::Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_proof_that_is_forgotten_is_too_old_to_be_taken() {
    let world = World::new();
    let store = world.store();
    let replay = Replay {
        hash: [7; 32],
        expires: world.now().plus_seconds(70),
    };
    let used = || Change {
        replays: vec![replay],
        ..Change::default()
    };
    store.commit(used()).await.unwrap();
    // A request that was admitted in time and whose body came slowly commits after the memory's end.
    for _ in 0..3 {
        world.pass(61);
        store.commit(Pulse::default().create()).await.unwrap();
        assert_eq!(
            store.commit(used()).await.unwrap_err(),
            StoreError::Replayed
        );
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_for_a_while_makes_no_proof_forgotten() {
    let world = World::new();
    let replay = Replay {
        hash: [8; 32],
        expires: world.now().plus_seconds(70),
    };
    let used = || Change {
        replays: vec![replay],
        ..Change::default()
    };
    {
        let store = world.store();
        world.pass(3600);
        store.commit(Pulse::default().create()).await.unwrap();
        world.pass(-3600);
        store.commit(used()).await.unwrap();
    }
    let store = world.store();
    store
        .commit(
            Pulse {
                id: "r2",
                ..Pulse::default()
            }
            .create(),
        )
        .await
        .unwrap();
    assert_eq!(
        store.commit(used()).await.unwrap_err(),
        StoreError::Replayed
    );
}
