//! Versions by number and in order: corrections, withdrawals, pages, and nobody else's past.

use crate::world::*;
use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::search::PatientParam;
use store::{HistoryCursor, Past, Put, PutOutcome, Store, StoreError, Version};
use trust::Permit;

const OBSERVATION: ResourceType = ResourceType::OBSERVATION;

fn past(id: Option<LogicalId>) -> Past {
    Past {
        resource_type: OBSERVATION,
        id,
        since: None,
        count: 50,
    }
}

/// A reading that is corrected once, a minute later.
async fn corrected(world: &World, store: &Store, key: &str, of: &str) -> PutOutcome {
    let first = Pulse {
        id: key,
        of,
        ..Pulse::default()
    };
    store.commit(first.create()).await.unwrap();
    world.pass(60);
    let second = Pulse {
        value: "82.0",
        status: "corrected",
        at: "2026-02-28T09:00:00+01:00",
        ..first
    };
    store.commit(second.create()).await.unwrap().puts[0]
}

async fn withdraw(world: &World, store: &Store, id: LogicalId) -> PutOutcome {
    world.pass(60);
    let change = store::Change {
        puts: vec![Put::Withdraw {
            id,
            resource_type: OBSERVATION,
            expect_version: None,
        }],
        ..store::Change::default()
    };
    store.commit(change).await.unwrap().puts[0]
}

fn shown(versions: &[Version]) -> Vec<(u64, bool)> {
    versions
        .iter()
        .map(|v| (v.version, v.stored.is_some()))
        .collect()
}

async fn told(store: &Store, permit: &Permit, past: Past) -> Vec<(u64, bool)> {
    shown(&store.history(permit, past, None).await.unwrap().versions)
}

#[tokio::test]
async fn each_version_is_read_with_the_bytes_it_had() {
    let world = World::new();
    let store = world.store();
    let id = corrected(&world, &store, "r1", GURI).await.id;
    for (version, value) in [(1, "72.0"), (2, "82.0")] {
        let held = store
            .read_version(&own(GURI), OBSERVATION, id, version)
            .await
            .unwrap()
            .unwrap();
        let text = std::str::from_utf8(&held.body).unwrap();
        assert_eq!(held.version, version);
        assert!(text.contains(&format!("\"value\":{value},")), "{text}");
        assert!(
            text.contains(&format!("\"versionId\":\"{version}\"")),
            "{text}"
        );
    }
    for (resource, version) in [
        (OBSERVATION, 0),
        (OBSERVATION, 3),
        (ResourceType::CARE_PLAN, 1),
    ] {
        assert!(
            store
                .read_version(&own(GURI), resource, id, version)
                .await
                .unwrap()
                .is_none()
        );
    }
    assert!(
        store
            .read_version(&own(HENRIK), OBSERVATION, id, 1)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn what_was_withdrawn_is_gone_in_every_version_but_for_its_owner() {
    let world = World::new();
    let store = world.store();
    let id = corrected(&world, &store, "r1", GURI).await.id;
    let gone = withdraw(&world, &store, id).await;
    assert_eq!(gone.version, 3);
    for version in 1..=3 {
        let read = store
            .read_version(&own(GURI), OBSERVATION, id, version)
            .await;
        assert_eq!(read.unwrap_err(), StoreError::Gone);
        assert!(
            store
                .read_version(&own(HENRIK), OBSERVATION, id, version)
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            store
                .read_version(&coordinator(), OBSERVATION, id, version)
                .await
                .unwrap()
                .is_none()
        );
    }
    assert!(
        store
            .read_version(&whole(), OBSERVATION, id, 2)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        store
            .read_version(&whole(), OBSERVATION, id, 3)
            .await
            .unwrap_err(),
        StoreError::Gone
    );
    assert!(
        store
            .read_version(&whole(), OBSERVATION, id, 4)
            .await
            .unwrap()
            .is_none()
    );

    assert_eq!(
        told(&store, &whole(), past(Some(id))).await,
        [(3, false), (2, true), (1, true)]
    );
    assert_eq!(told(&store, &own(GURI), past(Some(id))).await, [(3, false)]);
    assert_eq!(told(&store, &own(HENRIK), past(Some(id))).await, []);
    assert_eq!(told(&store, &coordinator(), past(Some(id))).await, []);
}

#[tokio::test]
async fn a_permit_for_some_time_opens_current_versions_of_that_time_only() {
    let world = World::new();
    let store = world.store();
    let id = corrected(&world, &store, "r1", GURI).await.id;
    let old = Pulse {
        id: "old",
        at: "2020-01-01T08:00:00+01:00",
        ..Pulse::default()
    };
    let old = store.commit(old.create()).await.unwrap().puts[0].id;
    let read = async |id, version| {
        store
            .read_version(&coordinator(), OBSERVATION, id, version)
            .await
            .unwrap()
    };
    assert!(read(id, 2).await.is_some());
    assert!(read(id, 1).await.is_none());
    assert!(read(old, 1).await.is_none());
    assert_eq!(told(&store, &coordinator(), past(None)).await, [(2, true)]);
}

#[tokio::test]
async fn a_types_history_is_paged_newest_first_and_stands_still() {
    let world = World::new();
    let store = world.store();
    for key in ["a", "b", "c"] {
        corrected(&world, &store, key, GURI).await;
    }
    corrected(&world, &store, "h", HENRIK).await;
    let gone = corrected(&world, &store, "d", GURI).await;
    withdraw(&world, &store, gone.id).await;
    for (permit, all) in [(whole(), 11), (own(GURI), 7)] {
        let whole = store.history(&permit, past(None), None).await.unwrap();
        assert_eq!(
            (whole.versions.len(), whole.total, whole.next),
            (all, Some(all as u64), None)
        );
        let order: Vec<_> = whole.versions.iter().map(|v| v.last_updated).collect();
        assert!(order.is_sorted_by(|a, b| a >= b));
        let mut after: Option<HistoryCursor> = None;
        let mut paged = Vec::new();
        loop {
            let page = store
                .history(
                    &permit,
                    Past {
                        count: 2,
                        ..past(None)
                    },
                    after,
                )
                .await
                .unwrap();
            assert_eq!(page.total, None);
            paged.extend(page.versions.iter().map(|v| (v.id, v.version)));
            let Some(next) = page.next else { break };
            after = HistoryCursor::from_bytes(&next.to_bytes());
            assert_eq!(after, Some(next));
            // What comes meanwhile is newer than every page to come.
            world.pass(1);
            let late = Pulse {
                of: HENRIK,
                id: &format!("late-{all}-{}", paged.len()),
                ..Pulse::default()
            };
            store.commit(late.create()).await.unwrap();
        }
        let once: Vec<_> = whole.versions.iter().map(|v| (v.id, v.version)).collect();
        assert_eq!(paged, once);
        let newest = whole.versions[0].last_updated;
        let since = Past {
            since: Some(newest),
            ..past(None)
        };
        assert!(
            store
                .history(&own(GURI), since, None)
                .await
                .unwrap()
                .versions
                .iter()
                .all(|v| v.last_updated >= newest)
        );
    }
}

#[tokio::test]
async fn a_business_identifier_finds_its_live_resources_within_the_permit() {
    let world = World::new();
    let store = world.store();
    let hers = corrected(&world, &store, "r1", GURI).await.id;
    let his = corrected(&world, &store, "r1", HENRIK).await.id;
    let find = async |permit: &Permit, value: &str, about: Option<&str>| {
        let token = format!("urn:home|{value}");
        let mut query = any(OBSERVATION, &[("identifier", token.as_str())]);
        query.patient = about.map(|number| PatientParam::Identifier(person(number)));
        let found = store.search(permit, &query, None).await.unwrap().matches;
        let mut ids: Vec<LogicalId> = found.iter().map(|stored| stored.id).collect();
        ids.sort_by_key(|id| *id != hers);
        ids
    };
    assert_eq!(find(&whole(), "r1", None).await, [hers, his]);
    assert_eq!(find(&whole(), "r1", Some(GURI)).await, [hers]);
    assert_eq!(find(&own(HENRIK), "r1", None).await, [his]);
    assert_eq!(find(&own(HENRIK), "r1", Some(GURI)).await, []);
    assert_eq!(find(&whole(), "r2", None).await, []);
    withdraw(&world, &store, hers).await;
    assert_eq!(find(&whole(), "r1", None).await, [his]);
}
