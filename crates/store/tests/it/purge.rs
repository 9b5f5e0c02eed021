//! Erasure: what a controller ordered erased is nowhere in the store's files; what it did not, and the trail, are whole.

use fhir::ids::LogicalId;
use fhir::resource::{InformationService, ResourceType};
use store::{
    Change, Fate, Options, OutboxEntry, Past, Publishing, Purge, Purged, Put, Share, Store,
    StoreError,
};
use trust::audit::Erasure;

use crate::world::*;

const OBSERVATION: ResourceType = ResourceType::OBSERVATION;

pub fn order(world: &World, purge: Purge) -> Change {
    let mut audit = record("erase", None, world.now());
    audit.erasure = Some(Erasure {
        ground: "deletion-decision".to_owned(),
        order: "order 7".to_owned(),
        decision: "decision 9".to_owned(),
        scope: "test".to_owned(),
        ..Erasure::default()
    });
    Change {
        purge: Some(purge),
        audit: Some(audit),
        ..Change::default()
    }
}

async fn erase(world: &World, store: &Store, purge: Purge) -> Purged {
    let done = store.commit(order(world, purge)).await.unwrap();
    let purged = done.purged.unwrap();
    // What is on record is what was done, and the trail is sound.
    let trail = store
        .audit_search(store::AuditFilter {
            limit: 1,
            ..Default::default()
        })
        .await
        .unwrap();
    let erasure = trail[0].record.erasure.clone().unwrap();
    assert_eq!(
        (
            erasure.resources,
            erasure.versions,
            erasure.patients,
            erasure.parcels
        ),
        (
            purged.resources,
            purged.versions,
            purged.patients,
            purged.parcels
        )
    );
    assert_eq!(erasure.order, "order 7");
    assert!(store.verify_audit(None).await.unwrap().is_sound());
    purged
}

async fn take(store: &Store, pulse: Pulse<'_>) -> LogicalId {
    store.commit(pulse.create()).await.unwrap().puts[0].id
}

/// Whether any file of the store holds these bytes.
fn lies(world: &World, bytes: &[u8]) -> bool {
    std::fs::read_dir(world.path()).unwrap().any(|file| {
        let held = std::fs::read(file.unwrap().path()).unwrap();
        held.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// All that the tables hold of a resource: its packed bodies, and its id.
fn traces(world: &World, id: LogicalId) -> Vec<Vec<u8>> {
    let connection = rusqlite::Connection::open(world.path().join("store.db")).unwrap();
    let mut statement = connection
        .prepare("SELECT body FROM record WHERE id = ?1 UNION ALL SELECT body FROM history WHERE id = ?1 AND gone = 0")
        .unwrap();
    let mut traces: Vec<Vec<u8>> = statement
        .query_map([id.uuid().as_bytes()], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    traces.push(id.uuid().as_bytes().to_vec());
    traces
}

#[tokio::test]
async fn an_erased_resource_is_nowhere_and_its_neighbours_are_whole() {
    let world = World::new();
    let store = world.announcing();
    let kept = take(
        &store,
        Pulse {
            id: "kept",
            ..Pulse::default()
        },
    )
    .await;
    let id = take(
        &store,
        Pulse {
            id: "gone",
            at: "2026-02-28T09:00:00+01:00",
            ..Pulse::default()
        },
    )
    .await;
    let corrected = Pulse {
        id: "gone",
        at: "2026-02-28T09:00:00+01:00",
        status: "corrected",
        value: "73.0",
        ..Pulse::default()
    };
    assert_eq!(take(&store, corrected).await, id);
    let parcel = |key: &str, body: String| Change {
        outbox: vec![OutboxEntry {
            topic: "notification",
            receivers: vec!["subscriber".to_owned()],
            partition: key.to_owned(),
            key: key.to_owned(),
            body: body.into_bytes().into(),
        }],
        ..Change::default()
    };
    store
        .commit(parcel("a", format!("Observation/{id} has come")))
        .await
        .unwrap();
    store
        .commit(parcel("b", format!("Observation/{kept} has come")))
        .await
        .unwrap();
    let traces = traces(&world, id);
    assert_eq!(traces.len(), 3);
    assert!(
        traces.iter().all(|trace| lies(&world, trace)),
        "the search finds what is there"
    );
    let purged = erase(
        &world,
        &store,
        Purge::Resource {
            resource_type: OBSERVATION,
            id,
        },
    )
    .await;
    assert_eq!(
        purged,
        Purged {
            resources: 1,
            versions: 2,
            patients: 0,
            parcels: 1
        }
    );
    assert!(
        !traces.iter().any(|trace| lies(&world, trace)),
        "something is left in a file"
    );
    assert_eq!(
        store
            .read(&whole(), OBSERVATION, id)
            .await
            .unwrap()
            .map(|one| one.id),
        None
    );
    assert!(
        store
            .read_version(&whole(), OBSERVATION, id, 1)
            .await
            .unwrap()
            .is_none()
    );
    let past = Past {
        resource_type: OBSERVATION,
        id: None,
        since: None,
        count: 50,
    };
    let past = store.history(&whole(), past, None).await.unwrap();
    assert_eq!(
        past.versions.iter().map(|one| one.id).collect::<Vec<_>>(),
        [kept]
    );
    let due = store
        .outbox_due("subscriber", world.now(), 10)
        .await
        .unwrap();
    assert_eq!(
        due.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(),
        ["b"]
    );
    // Its identity is forgotten: the same reading would be a new one.
    let again = store
        .commit(
            Pulse {
                id: "gone",
                at: "2026-02-28T09:00:00+01:00",
                ..Pulse::default()
            }
            .create(),
        )
        .await
        .unwrap();
    assert_eq!(again.puts[0].fate, Fate::Created);
    assert_ne!(again.puts[0].id, id);
    assert_eq!(
        store
            .commit(order(
                &world,
                Purge::Resource {
                    resource_type: OBSERVATION,
                    id
                }
            ))
            .await
            .unwrap_err(),
        StoreError::NotFound
    );
}

#[tokio::test]
async fn the_last_resource_of_a_kind_takes_the_pointer_with_it() {
    for policy in [
        Publishing::default(),
        Publishing {
            shares: vec![Share {
                status: vec!["final".to_owned()],
                ..Share::default()
            }],
        },
    ] {
        let world = World::new();
        let options = Options {
            announce: Some("locator".to_owned()),
            publishing: policy,
            ..Options::default()
        };
        let store = Store::open_with(world.path(), OWNER, world.surroundings(), options).unwrap();
        let first = take(
            &store,
            Pulse {
                id: "1",
                ..Pulse::default()
            },
        )
        .await;
        let second = take(
            &store,
            Pulse {
                id: "2",
                ..Pulse::default()
            },
        )
        .await;
        let present = async || {
            store
                .presence_since(0, 10)
                .await
                .unwrap()
                .pop()
                .unwrap()
                .present
        };
        erase(
            &world,
            &store,
            Purge::Resource {
                resource_type: OBSERVATION,
                id: first,
            },
        )
        .await;
        assert!(present().await);
        // Withdrawn first: erasing it then turns nothing, but is done all the same.
        let withdraw = Change {
            puts: vec![Put::Withdraw {
                id: second,
                resource_type: OBSERVATION,
                expect_version: None,
            }],
            ..Change::default()
        };
        store.commit(withdraw).await.unwrap();
        assert!(!present().await);
        let purged = erase(
            &world,
            &store,
            Purge::Resource {
                resource_type: OBSERVATION,
                id: second,
            },
        )
        .await;
        assert_eq!((purged.resources, purged.versions), (1, 2));
        let told = store.outbox_due("locator", world.now(), 10).await.unwrap();
        assert_eq!(told.len(), 2);
    }
}

#[tokio::test]
async fn an_erased_patient_leaves_an_absence_at_the_locator_and_nothing_else() {
    let world = World::new();
    let store = world.announcing();
    let mut hers = Vec::new();
    for n in 0..3 {
        let id = format!("g{n}");
        hers.push(
            take(
                &store,
                Pulse {
                    id: &id,
                    ..Pulse::default()
                },
            )
            .await,
        );
    }
    let his = take(
        &store,
        Pulse {
            of: HENRIK,
            id: "h",
            ..Pulse::default()
        },
    )
    .await;
    let traces: Vec<_> = hers.iter().flat_map(|id| traces(&world, *id)).collect();
    let sent = |store: Store, world_now| async move {
        store.outbox_due("locator", world_now, 10).await.unwrap()
    };
    let done: Vec<_> = sent(store.clone(), world.now())
        .await
        .iter()
        .map(|one| one.id)
        .collect();
    store.outbox_done(done).await.unwrap();
    let purged = erase(&world, &store, Purge::Patient(person(GURI))).await;
    assert_eq!(
        purged,
        Purged {
            resources: 4,
            versions: 4,
            patients: 1,
            parcels: 0
        }
    );
    assert!(!traces.iter().any(|trace| lies(&world, trace)));
    assert_eq!(store.patient_id(&person(GURI)).await.unwrap(), None);
    assert!(
        store
            .search(&whole(), &observations(&[]), None)
            .await
            .unwrap()
            .matches
            .iter()
            .all(|one| one.id == his)
    );
    let due = sent(store.clone(), world.now()).await;
    let body: serde_json::Value = serde_json::from_slice(&due[0].body).unwrap();
    assert_eq!(
        (due.len(), &body["state"], &body["patient"]["value"]),
        (1, &"absent".into(), &GURI.into())
    );
    // Once the locator has heard, nothing in the files names her.
    assert!(lies(&world, HENRIK.as_bytes()));
    store.outbox_done(vec![due[0].id]).await.unwrap();
    drop(store);
    assert!(!lies(&world, GURI.as_bytes()));
    // She may come again, as a new patient whose presence is news.
    let store = world.announcing();
    take(&store, Pulse::default()).await;
    let turns = store.presence_since(0, 10).await.unwrap();
    let last = turns.last().unwrap();
    assert_eq!(
        (last.service, last.present, last.sequence),
        (InformationService::MEASUREMENTS, true, 4)
    );
}

#[tokio::test]
async fn a_dictionary_forgets_the_erased_and_the_others_still_open() {
    let world = World::new();
    let mut his = Vec::new();
    let mut store = world.store();
    let minute = |n: usize| {
        format!(
            "2026-02-{:02}T{:02}:{:02}:00+01:00",
            1 + n / 120,
            8 + n % 120 / 60,
            n % 60
        )
    };
    for of in [HENRIK, GURI] {
        let changes = (0..600)
            .map(|n| {
                Pulse {
                    of,
                    id: &format!("sender-of-{of}-{n}"),
                    at: &minute(n),
                    ..Pulse::default()
                }
                .create()
            })
            .collect();
        let done = store.commit_all(changes).await;
        if of == HENRIK {
            his = done
                .into_iter()
                .map(|one| one.unwrap().puts[0].id)
                .collect();
        }
    }
    // Closing waits for the training; more come after it, packed with the dictionary.
    drop(store);
    store = world.store();
    for (of, id) in [(GURI, "late"), (HENRIK, "later")] {
        take(
            &store,
            Pulse {
                of,
                id,
                at: "2026-02-27T08:00:00+01:00",
                ..Pulse::default()
            },
        )
        .await;
    }
    let dictionaries = |clause: &str| -> Vec<Vec<u8>> {
        let connection = rusqlite::Connection::open(world.path().join("store.db")).unwrap();
        let mut statement = connection
            .prepare(&format!("SELECT bytes FROM dictionary WHERE {clause}"))
            .unwrap();
        statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let name = |bytes: &[u8]| {
        bytes
            .windows(HENRIK.len())
            .any(|window| window == HENRIK.as_bytes())
    };
    assert!(
        dictionaries("kind > 0").iter().any(|bytes| name(bytes)),
        "the dictionary holds pieces of his"
    );
    let purged = erase(&world, &store, Purge::Patient(person(HENRIK))).await;
    assert_eq!(purged.resources, 602);
    assert!(!dictionaries("1").iter().any(|bytes| name(bytes)));
    assert_eq!(
        dictionaries("kind > 0").len(),
        1,
        "trained anew on what is left"
    );
    assert!(!lies(&world, HENRIK.as_bytes()));
    assert!(!lies(&world, his[0].uuid().as_bytes()));
    let mut found = 0;
    let mut after = None;
    loop {
        let page = store
            .search(&own(GURI), &observations(&[("_count", "200")]), after)
            .await
            .unwrap();
        found += page
            .matches
            .iter()
            .filter(|one| std::str::from_utf8(&one.body).unwrap().contains(GURI))
            .count();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, 601);
}

#[tokio::test]
async fn a_whole_store_is_emptied_and_its_trail_stays() {
    let world = World::new();
    let store = world.announcing();
    let mut seen = Vec::new();
    for (of, id) in [(GURI, "1"), (HENRIK, "2")] {
        let id = take(
            &store,
            Pulse {
                of,
                id,
                ..Pulse::default()
            },
        )
        .await;
        seen.extend(traces(&world, id));
    }
    let noted = Change {
        audit: Some(record("before", Some(GURI), world.now())),
        ..Change::default()
    };
    store.commit(noted).await.unwrap();
    let purged = erase(&world, &store, Purge::Store).await;
    assert_eq!(
        purged,
        Purged {
            resources: 4,
            versions: 4,
            patients: 2,
            parcels: 0
        }
    );
    assert!(!seen.iter().any(|trace| lies(&world, trace)));
    assert!(
        store
            .search(&whole(), &observations(&[]), None)
            .await
            .unwrap()
            .matches
            .is_empty()
    );
    let connection = rusqlite::Connection::open(world.path().join("store.db")).unwrap();
    for table in [
        "record",
        "record_id",
        "history",
        "identity",
        "series",
        "presence",
        "patient",
        "kind",
        "kind_coding",
        "word",
    ] {
        let rows: i64 = connection
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    drop(connection);
    // Both absences are on their way; the trail still tells of her.
    assert_eq!(
        store
            .outbox_due("locator", world.now(), 10)
            .await
            .unwrap()
            .len(),
        4
    );
    let filter = store::AuditFilter {
        patient: Some(person(GURI)),
        limit: 10,
        ..Default::default()
    };
    assert_eq!(store.audit_search(filter).await.unwrap().len(), 1);
    drop(store);
    let store = world.store();
    assert!(store.verify_audit(None).await.unwrap().is_sound());
    take(&store, Pulse::default()).await;
}
