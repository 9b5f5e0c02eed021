//! Who follows hears of each patient's changes once, in order, in the commit of the changes, and of nothing that did not happen.

use fhir::time::Instant;
use store::{Change, FOLLOW, Followed, Options, Purge, Put, Store, WrittenFate};

use crate::world::*;

fn following(world: &World) -> Store {
    let options = Options {
        follow: vec!["assess".to_owned()],
        ..Options::default()
    };
    Store::open_with(world.path(), OWNER, world.surroundings(), options).unwrap()
}

async fn heard(store: &Store, now: Instant) -> Vec<Followed> {
    let due = store.outbox_due("assess", now, 100).await.unwrap();
    assert!(due.iter().all(|one| one.topic == FOLLOW));
    due.iter()
        .map(|one| serde_json::from_slice(&one.body).unwrap())
        .collect()
}

fn fates(followed: &Followed) -> Vec<(u64, WrittenFate)> {
    let written = followed.written.iter();
    written.map(|one| (one.version, one.fate)).collect()
}

#[tokio::test]
async fn one_group_is_one_entry_a_patient_and_nothing_that_failed_is_in_it() {
    let world = World::new();
    let store = following(&world);
    let of = |of: &'static str, id: &'static str, value: &'static str| Pulse {
        of,
        id,
        value,
        ..Pulse::default()
    };
    let changes = vec![
        of(GURI, "a", "70").create(),
        of(HENRIK, "b", "71").create(),
        // The same reading with other content is refused, and the same again is nothing new.
        of(GURI, "a", "99").create(),
        of(GURI, "a", "70").create(),
        of(GURI, "c", "72").create(),
    ];
    let results = store.commit_all(changes).await;
    assert_eq!(results.iter().filter(|one| one.is_err()).count(), 1);
    let heard = heard(&store, world.now()).await;
    let mut counts: Vec<_> = heard.iter().map(|one| one.written.len()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2]);
    let guri = store.patient_id(&person(GURI)).await.unwrap().unwrap();
    let hers = heard.iter().find(|one| one.patient == guri).unwrap();
    let ids: Vec<_> = hers.written.iter().map(|one| one.id).collect();
    let made = |n: usize| results[n].as_ref().unwrap().puts[0].id;
    assert_eq!(ids, [made(0), made(4)]);
    assert!(
        hers.written
            .iter()
            .all(|one| one.resource_type == "Observation")
    );
    // No number of a person is in what is told.
    let due = store.outbox_due("assess", world.now(), 100).await.unwrap();
    for one in due {
        let text = String::from_utf8(one.body.to_vec()).unwrap();
        assert!(!text.contains(GURI) && !text.contains(HENRIK));
    }
}

#[tokio::test]
async fn corrections_and_withdrawals_are_told_in_their_order() {
    let world = World::new();
    let store = following(&world);
    let made = store.commit(Pulse::default().create()).await.unwrap();
    let corrected = Pulse {
        value: "73",
        status: "corrected",
        ..Pulse::default()
    };
    store.commit(corrected.create()).await.unwrap();
    let withdraw = Change {
        puts: vec![Put::Withdraw {
            id: made.puts[0].id,
            resource_type: fhir::resource::ResourceType::OBSERVATION,
            expect_version: None,
        }],
        ..Change::default()
    };
    store.commit(withdraw).await.unwrap();
    let heard: Vec<_> = heard(&store, world.now())
        .await
        .iter()
        .flat_map(fates)
        .collect();
    assert_eq!(
        heard,
        [
            (1, WrittenFate::Created),
            (2, WrittenFate::Updated),
            (3, WrittenFate::Withdrawn)
        ]
    );
}

#[tokio::test]
async fn what_is_erased_in_the_same_group_is_not_told() {
    let world = World::new();
    let store = following(&world);
    let erase = Change {
        purge: Some(Purge::Patient(person(GURI))),
        ..Change::default()
    };
    let results = store
        .commit_all(vec![Pulse::default().create(), erase])
        .await;
    assert!(results.iter().all(Result::is_ok));
    assert!(heard(&store, world.now()).await.is_empty());
}

#[tokio::test]
async fn an_erasure_is_told_by_its_time_alone_and_hides_no_other_change() {
    let world = World::new();
    let store = following(&world);
    let two = vec![
        Pulse::default().create(),
        Pulse {
            id: "other",
            ..Pulse::default()
        }
        .create(),
    ];
    let results = store.commit_all(two).await;
    let made = |n: usize| results[n].as_ref().unwrap().puts[0].id;
    let erase = Change {
        purge: Some(Purge::Resource {
            resource_type: fhir::resource::ResourceType::OBSERVATION,
            id: made(0),
        }),
        ..Change::default()
    };
    store.commit(erase).await.unwrap();
    let heard = heard(&store, world.now()).await;
    let written: Vec<_> = heard.iter().flat_map(|one| &one.written).collect();
    assert_eq!(
        written.iter().map(|one| one.id).collect::<Vec<_>>(),
        [made(1)]
    );
    let erased: Vec<_> = heard.iter().flat_map(|one| &one.erased).collect();
    assert_eq!(erased.len(), 1);
    assert!(erased[0].resource_type == "Observation" && erased[0].at.is_some());
    let told = serde_json::to_string(&heard).unwrap();
    assert!(!told.contains(&made(0).to_string()), "{told}");
}
