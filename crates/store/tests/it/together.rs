//! Several puts as one change: every fault told, all or nothing, versions that others refer to; and whose a resource is.

use crate::world::*;
use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use store::{Change, Conflict, Fate, Put, Store, StoreError};

const OBSERVATION: ResourceType = ResourceType::OBSERVATION;
const SORLIA: &str = "310001422";
const ASDAL: &str = "310001562";

fn make(pulse: &Pulse<'_>, writer: Option<&str>) -> Put {
    Put::Create {
        resource: checked(&pulse.json()),
        written_by: writer.map(org),
        enrol: true,
    }
}

fn all(puts: Vec<Put>, every_fault: bool) -> Change {
    Change {
        puts,
        every_fault,
        ..Change::default()
    }
}

async fn count(store: &Store) -> usize {
    let found = store.search(&whole(), &observations(&[]), None).await;
    found.unwrap().matches.len()
}

#[tokio::test]
async fn every_fault_of_a_change_is_told_by_its_place_and_nothing_is_written() {
    let world = World::new();
    let store = world.store();
    let first = store.commit(Pulse::default().create()).await.unwrap().puts[0];
    let nobody = LogicalId(uuid::Uuid::from_u128(9));
    let withdraw = |id, expect_version| Put::Withdraw {
        id,
        resource_type: OBSERVATION,
        expect_version,
    };
    let puts = || {
        vec![
            // A patient and a kind that nobody has yet, undone with the change.
            make(
                &Pulse {
                    of: HENRIK,
                    id: "new",
                    loinc: "59408-5",
                    ..Pulse::default()
                },
                None,
            ),
            make(
                &Pulse {
                    value: "99",
                    ..Pulse::default()
                },
                None,
            ),
            withdraw(first.id, Some(7)),
            withdraw(nobody, None),
        ]
    };
    let refused = store.commit(all(puts(), true)).await.unwrap_err();
    assert_eq!(
        refused,
        StoreError::Puts(vec![
            (
                1,
                StoreError::Conflict(Conflict::Content { existing: first.id })
            ),
            (2, StoreError::VersionMismatch { current: 1 }),
            (3, StoreError::NotFound),
        ])
    );
    assert_eq!(refused.category(), store::Category::Conflict);
    assert_eq!(count(&store).await, 1);
    // Without, the first ends it.
    let refused = store.commit(all(puts(), false)).await.unwrap_err();
    assert_eq!(
        refused,
        StoreError::Conflict(Conflict::Content { existing: first.id })
    );
    // What the failing change had remembered does not reach the next.
    let good = make(
        &Pulse {
            of: HENRIK,
            id: "new",
            loinc: "59408-5",
            ..Pulse::default()
        },
        None,
    );
    let done = store.commit(all(vec![good], true)).await.unwrap();
    assert_eq!((done.puts[0].fate, done.enrolled.len()), (Fate::Created, 1));
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_version_that_others_refer_to_is_kept_or_told() {
    let world = World::new();
    let store = world.store();
    store.commit(Pulse::default().create()).await.unwrap();
    let corrected = Pulse {
        value: "73",
        status: "corrected",
        ..Pulse::default()
    };
    let change = |version| Change {
        versions: vec![(0, version)],
        ..all(vec![make(&corrected, None)], true)
    };
    assert_eq!(
        store.commit(change(1)).await.unwrap_err(),
        StoreError::Versions(vec![(0, 2)])
    );
    assert_eq!(store.commit(change(2)).await.unwrap().puts[0].version, 2);
    // Sent again it is the version that it made.
    assert_eq!(
        store.commit(change(2)).await.unwrap().puts[0].fate,
        Fate::Existing
    );
}

#[tokio::test]
async fn only_who_wrote_a_resource_of_a_shared_register_writes_its_next_version() {
    let world = World::new();
    let store = world.store();
    let first = store
        .commit(all(vec![make(&Pulse::default(), Some(SORLIA))], false))
        .await
        .unwrap()
        .puts[0];
    let corrected = |value| Pulse {
        value,
        status: "corrected",
        ..Pulse::default()
    };
    let update = |value, writer: &str| Put::Update {
        id: first.id,
        expect_version: None,
        resource: checked(&corrected(value).json()),
        written_by: Some(org(writer)),
    };
    for put in [
        make(&corrected("73"), Some(ASDAL)),
        update("73", ASDAL),
        Put::CreateAs {
            id: first.id,
            resource: checked(&corrected("73").json()),
            written_by: Some(org(ASDAL)),
            enrol: true,
        },
    ] {
        let refused = store.commit(all(vec![put], false)).await.unwrap_err();
        assert_eq!(
            refused,
            StoreError::Conflict(Conflict::Writer { existing: first.id })
        );
        assert_eq!(refused.category(), store::Category::Forbidden);
    }
    for (version, put) in [
        (2, make(&corrected("74"), Some(SORLIA))),
        (3, update("75", SORLIA)),
    ] {
        let done = store.commit(all(vec![put], false)).await.unwrap();
        assert_eq!(done.puts[0].version, version);
    }
    // The same content from another changes nothing, and is no correction.
    let again = store
        .commit(all(vec![make(&corrected("75"), Some(ASDAL))], false))
        .await
        .unwrap();
    assert_eq!(again.puts[0].fate, Fate::Existing);
}

#[tokio::test]
async fn a_patient_is_whose_who_first_said_something_of_her() {
    let world = World::new();
    let store = world.store();
    // Made for a reading's subject: nobody's yet.
    store
        .commit(all(vec![make(&Pulse::default(), Some(SORLIA))], false))
        .await
        .unwrap();
    let patient = |name: &str, writer: &str| {
        let json = format!(
            r#"{{"resourceType":"Patient","identifier":[{{"system":"{}","value":"{GURI}"}}],"name":[{{"text":"{name}"}}]}}"#,
            fhir::systems::FNR
        );
        all(
            vec![Put::Create {
                resource: checked(&json),
                written_by: Some(org(writer)),
                enrol: true,
            }],
            false,
        )
    };
    let one = store.commit(patient("A", ASDAL)).await.unwrap().puts[0];
    assert_eq!((one.version, one.fate), (2, Fate::Updated));
    assert_eq!(
        store.commit(patient("B", SORLIA)).await.unwrap_err(),
        StoreError::Conflict(Conflict::Writer { existing: one.id })
    );
    assert_eq!(
        store.commit(patient("B", ASDAL)).await.unwrap().puts[0].version,
        3
    );
}
