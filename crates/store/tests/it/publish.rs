//! What others see of a store under a publishing policy, at both neighbours of each border, and what is announced of it.

use fhir::ids::LogicalId;
use fhir::resource::{InformationService, ResourceType};
use store::{Options, Past, Published, Publishing, Put, Share, Store};
use trust::Permit;

use crate::world::*;

const OBSERVATION: ResourceType = ResourceType::OBSERVATION;
const DAY: i64 = 86_400_000_000;

fn under(world: &World, shares: Vec<Share>) -> Store {
    let options = Options {
        announce: Some("locator".to_owned()),
        publishing: Publishing { shares },
        ..Options::default()
    };
    Store::open_with(world.path(), OWNER, world.surroundings(), options).unwrap()
}

async fn take(store: &Store, pulse: Pulse<'_>) -> LogicalId {
    store.commit(pulse.create()).await.unwrap().puts[0].id
}

async fn found(store: &Store, permit: &Permit) -> Vec<LogicalId> {
    let query = observations(&[]);
    let page = store.search(permit, &query, None).await.unwrap();
    // A total tells no more than the matches do.
    assert_eq!(page.total, Some(page.matches.len() as u64));
    page.matches.iter().map(|one| one.id).collect()
}

/// Read alone, as a version and in its history: the same is there as in the search.
async fn same_everywhere(store: &Store, permit: &Permit, ids: &[LogicalId]) {
    let found = found(store, permit).await;
    let past = Past {
        resource_type: OBSERVATION,
        id: None,
        since: None,
        count: 1,
    };
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = store.history(permit, past, after).await.unwrap();
        listed.extend(page.versions.iter().map(|one| one.id));
        after = page.next;
        if after.is_none() {
            break;
        }
        assert!(
            !page.versions.is_empty(),
            "a page tells of what is not published"
        );
    }
    for id in ids {
        let shown = found.contains(id);
        let read = store.read(permit, OBSERVATION, *id).await.unwrap();
        let version = store
            .read_version(permit, OBSERVATION, *id, 1)
            .await
            .unwrap();
        assert_eq!(
            (read.is_some(), version.is_some(), listed.contains(id)),
            (shown, shown, shown)
        );
        let asked = observations(&[("_id", &id.to_string())]);
        let asked = store.search(permit, &asked, None).await.unwrap();
        assert_eq!(asked.matches.len(), usize::from(shown));
    }
}

#[tokio::test]
async fn the_period_ends_between_two_neighbours() {
    let world = World::new();
    let back = Share {
        back: Some(DAY),
        ..Share::default()
    };
    let store = under(&world, vec![back]);
    // Now is 2026-03-01T12:00:00Z. A time to the second is a second long: its end must lie after now - 1 day.
    let inside = take(
        &store,
        Pulse {
            id: "in",
            at: "2026-02-28T12:00:00Z",
            ..Pulse::default()
        },
    )
    .await;
    let outside = take(
        &store,
        Pulse {
            id: "out",
            at: "2026-02-28T11:59:59Z",
            ..Pulse::default()
        },
    )
    .await;
    assert_eq!(found(&store, &own(GURI)).await, [inside]);
    assert_eq!(found(&store, &whole()).await, [inside, outside]);
    same_everywhere(&store, &own(GURI), &[inside, outside]).await;
    same_everywhere(&store, &whole(), &[inside, outside]).await;
    // Somebody who works there is no other.
    assert_eq!(found(&store, &coordinator()).await, [inside, outside]);
    world.pass(1);
    assert_eq!(found(&store, &own(GURI)).await, []);
    assert_eq!(found(&store, &whole()).await, [inside, outside]);
    // Nothing about her is published now: neither is that she is a patient here.
    let patient = store.patient_id(&person(GURI)).await.unwrap().unwrap();
    let she = query(ResourceType::PATIENT, &[]);
    assert!(
        store
            .read(&own(GURI), ResourceType::PATIENT, patient)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .search(&own(GURI), &she, None)
            .await
            .unwrap()
            .matches
            .is_empty()
    );
    assert!(
        store
            .read(&whole(), ResourceType::PATIENT, patient)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn kinds_and_status_are_published_as_the_shares_say() {
    let world = World::new();
    let store = under(
        &world,
        vec![
            Share {
                kinds: vec![Published::parse("oxygen-saturation").unwrap()],
                ..Share::default()
            },
            Share {
                kinds: vec![Published::parse("IT17").unwrap()],
                status: vec!["final".to_owned()],
                ..Share::default()
            },
        ],
    );
    let pulse = take(
        &store,
        Pulse {
            id: "p",
            ..Pulse::default()
        },
    )
    .await;
    let early = take(
        &store,
        Pulse {
            id: "e",
            status: "preliminary",
            ..Pulse::default()
        },
    )
    .await;
    let spo2 = take(
        &store,
        Pulse {
            id: "s",
            loinc: "59408-5",
            status: "preliminary",
            value: "97",
            ..Pulse::default()
        },
    )
    .await;
    let mut shown = found(&store, &own(GURI)).await;
    shown.sort();
    let mut expected = vec![pulse, spo2];
    expected.sort();
    assert_eq!(shown, expected);
    same_everywhere(&store, &own(GURI), &[pulse, early, spo2]).await;
    assert_eq!(found(&store, &whole()).await.len(), 3);
    // A withdrawn one was never there for others, published or not.
    let withdraw = |id| store::Change {
        puts: vec![Put::Withdraw {
            id,
            resource_type: OBSERVATION,
            expect_version: None,
        }],
        ..store::Change::default()
    };
    store.commit(withdraw(early)).await.unwrap();
    assert!(
        store
            .read(&own(GURI), OBSERVATION, early)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        store.read(&whole(), OBSERVATION, early).await.unwrap_err(),
        store::StoreError::Gone
    );
}

#[tokio::test]
async fn presence_follows_the_policy_and_the_time() {
    let world = World::new();
    let share = |status: &str| Share {
        back: Some(DAY),
        status: vec![status.to_owned()],
        ..Share::default()
    };
    let store = under(&world, vec![share("final")]);
    let told = async |store: &Store| -> Vec<(InformationService, bool)> {
        let turns = store.presence_since(0, 100).await.unwrap();
        turns.iter().map(|one| (one.service, one.present)).collect()
    };
    let it17 = InformationService::MEASUREMENTS;
    let old = "2026-02-27T08:00:00Z";
    take(
        &store,
        Pulse {
            id: "old",
            at: old,
            ..Pulse::default()
        },
    )
    .await;
    take(
        &store,
        Pulse {
            id: "early",
            at: "2026-03-01T08:00:00Z",
            status: "preliminary",
            ..Pulse::default()
        },
    )
    .await;
    assert_eq!(told(&store).await, []);
    take(
        &store,
        Pulse {
            id: "new",
            at: "2026-03-01T08:00:00Z",
            ..Pulse::default()
        },
    )
    .await;
    assert_eq!(told(&store).await, [(it17, true)]);
    // Corrected: out by its status; and back by another version.
    let corrected = Pulse {
        id: "new",
        at: "2026-03-01T08:00:00Z",
        status: "corrected",
        value: "73.0",
        ..Pulse::default()
    };
    take(&store, corrected).await;
    assert_eq!(told(&store).await, [(it17, false)]);
    take(
        &store,
        Pulse {
            id: "newer",
            at: "2026-03-01T09:00:00Z",
            ..Pulse::default()
        },
    )
    .await;
    assert_eq!(told(&store).await, [(it17, true)]);
    // Time alone.
    world.pass(24 * 3600);
    assert_eq!(store.settle_presence(0, 1).await.unwrap(), 1);
    assert_eq!(store.settle_presence(1, 1).await.unwrap(), 0);
    assert_eq!(told(&store).await, [(it17, false)]);
    let due = store.outbox_due("locator", world.now(), 100).await.unwrap();
    assert_eq!(due.len(), 4);
    drop(store);
    // Another policy: what it publishes is told at the next look.
    let store = under(
        &world,
        vec![
            share("final"),
            Share {
                status: vec!["preliminary".to_owned()],
                ..Share::default()
            },
        ],
    );
    assert_eq!(store.settle_presence(0, 10).await.unwrap(), 0);
    assert_eq!(told(&store).await, [(it17, true)]);
}

#[tokio::test]
async fn the_kinds_about_a_person_are_told_as_held_and_as_published_now() {
    let world = World::new();
    let plans = Share {
        kinds: vec![Published::parse("IT08").unwrap()],
        ..Share::default()
    };
    let recent = Share {
        kinds: vec![Published::parse("IT17").unwrap()],
        back: Some(DAY),
        ..Share::default()
    };
    let pulse = Pulse {
        at: "2026-03-01T08:00:00Z",
        ..Pulse::default()
    };
    let all = world.store();
    let person = person(pulse.of);
    assert_eq!(all.kinds(&person).await.unwrap(), store::Kinds::default());
    take(&all, pulse).await;
    let both: Vec<InformationService> = ["IT12", "IT17"].map(|one| one.parse().unwrap()).into();
    let told = all.kinds(&person).await.unwrap();
    assert_eq!((&told.held, &told.published), (&both, &both));
    drop(all);
    // Under a policy: while the time lasts, and who the patient is as long as anything about her is.
    let store = under(&world, vec![recent]);
    assert_eq!(store.kinds(&person).await.unwrap().published, both);
    world.pass(24 * 3600);
    let told = store.kinds(&person).await.unwrap();
    assert_eq!((&told.held, told.published.len()), (&both, 0));
    drop(store);
    let store = under(&world, vec![plans]);
    let told = store.kinds(&person).await.unwrap();
    assert_eq!((told.held, told.published), (both, Vec::new()));
}
