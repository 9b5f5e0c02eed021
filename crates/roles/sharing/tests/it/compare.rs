//! Comparing with a locator: what differs is found, counted and repaired; nothing is concluded while something moves.

use crate::announce::with_locator;
use crate::house::*;
use axum::extract::State as Shared;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use sharing::Found;
use std::sync::{Arc, Mutex};
use store::DeliveryId;
use trust::encoding::base64url;
use wire::contract::locator::{Compared, Comparison, OUTBOX_RECEIVER, Presence, Repair};
use wire::drift::{self, Leaf, Prefix, TagKey};

const KEY: [u8; 32] = [7; 32];
const WHEN: &str = "2026-11-20T08:00:00+01:00";

/// A locator that holds one holder's leaves and keeps count of what it is asked.
#[derive(Clone, Default)]
struct Locator(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    leaves: Vec<Leaf>,
    asked: usize,
    repaired: Vec<(usize, usize)>,
    /// What it answers instead of branches.
    lies: Option<Value>,
}

impl Locator {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/compare", post(compare))
            .route("/repair", post(repair))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        base
    }

    fn with<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }
}

async fn compare(Shared(locator): Shared<Locator>, Json(asked): Json<Comparison>) -> Json<Value> {
    locator.with(|held| {
        held.asked += 1;
        if let Some(lie) = &held.lies {
            return Json(lie.clone());
        }
        let prefix = Prefix::parse(&asked.prefix).unwrap();
        held.leaves.sort();
        let compared = Compared {
            key: base64url(&KEY).into(),
            version: 1,
            node: drift::node(drift::on(&held.leaves, &prefix), &prefix),
        };
        Json(serde_json::to_value(compared).unwrap())
    })
}

async fn repair(Shared(locator): Shared<Locator>, Json(repair): Json<Repair>) -> Json<Value> {
    locator.with(|held| {
        held.repaired
            .push((repair.entries.len(), repair.strays.len()));
        held.leaves.retain(|leaf| !repair.strays.contains(leaf));
        for entry in repair.entries {
            let leaf = Leaf {
                tag: TagKey::new(KEY).tag(&entry.patient),
                kind: entry.kind,
                state: entry.state,
                sequence: entry.sequence,
            };
            held.leaves
                .retain(|one| (one.tag, one.kind) != (leaf.tag, leaf.kind));
            held.leaves.push(leaf);
        }
        Json(json!({ "changed": 1 }))
    })
}

/// Takes what waits for the locator out of the outbox, as if it had been told.
async fn told(service: &Service) {
    let store = service.state.store();
    let due = store
        .outbox_due(OUTBOX_RECEIVER, service.clock.now(), 100)
        .await
        .unwrap();
    let ids: Vec<DeliveryId> = due.iter().map(|one| one.id).collect();
    store.outbox_done(ids).await.unwrap();
}

async fn one_reading(service: &Service, id: &str) {
    service.created(&reading(ragnhild(), id, WHEN, "91")).await;
}

#[tokio::test]
async fn drift_is_counted_and_repaired_and_is_nothing_at_rest() {
    let locator = Locator::default();
    let service = with_locator(&locator.start().await).await;
    assert_eq!(service.state.drift(), None);
    one_reading(&service, "r-1").await;
    // What waits to be told is not drift.
    assert_eq!(service.state.compare_pointers().await, Ok(Found::Moving));
    told(&service).await;
    // It was told and is not there: the locator lost it.
    assert_eq!(
        service.state.compare_pointers().await,
        Ok(Found::Differed(1))
    );
    assert_eq!(service.state.drift(), Some(1));
    assert_eq!(
        service.state.compare_pointers().await,
        Ok(Found::Differed(0))
    );
    assert_eq!(service.state.drift(), Some(0));
    assert_eq!(locator.with(|held| held.repaired.clone()), [(1, 0)]);
    // Another turn, and pointers of people that nobody here knows.
    locator.with(|held| held.leaves[0].sequence = 900);
    for person in 0..3 {
        let stray = Leaf {
            tag: [person; 16],
            kind: fhir::resource::InformationService::PLANS,
            state: if person == 0 {
                Presence::Absent
            } else {
                Presence::Present
            },
            sequence: u64::from(person),
        };
        locator.with(|held| held.leaves.push(stray));
    }
    // What is absent there and unknown here is swept, and says nothing wrong.
    assert_eq!(
        service.state.compare_pointers().await,
        Ok(Found::Differed(3))
    );
    assert_eq!(
        service.state.compare_pointers().await,
        Ok(Found::Differed(0))
    );
    assert_eq!(locator.with(|held| held.leaves.len()), 1);
}

#[tokio::test]
async fn many_strays_are_found_branch_by_branch_and_taken_away_in_parts() {
    let locator = Locator::default();
    let service = with_locator(&locator.start().await).await;
    let strays = (0..1_200_u32).map(|n| Leaf {
        tag: trust::encoding::sha256(&n.to_be_bytes())[..16]
            .try_into()
            .unwrap(),
        kind: fhir::resource::InformationService::PLANS,
        state: Presence::Present,
        sequence: u64::from(n),
    });
    locator.with(|held| held.leaves.extend(strays));
    assert_eq!(
        service.state.compare_pointers().await,
        Ok(Found::Differed(1_200))
    );
    assert_eq!(
        locator.with(|held| held.repaired.clone()),
        [(0, 500), (0, 500), (0, 200)]
    );
    // The whole and its sixteen branches.
    assert_eq!(locator.with(|held| held.asked), 17);
    assert_eq!(
        service.state.compare_pointers().await,
        Ok(Found::Differed(0))
    );
}

#[tokio::test]
async fn a_locator_that_lies_ends_the_comparison_and_changes_nothing() {
    let locator = Locator::default();
    let service = with_locator(&locator.start().await).await;
    let branch = |digest: &str| json!({"count": 1_000_000, "digest": digest});
    let endless: Vec<Value> = (0..16).map(|_| branch("x")).collect();
    for lie in [
        json!({}),
        json!({"key": "short", "version": 1, "node": {"whole": branch("x")}}),
        json!({"key": base64url(&KEY), "version": 1, "node": {"whole": branch("x"), "branches": endless}}),
    ] {
        locator.with(|held| held.lies = Some(lie));
        assert!(service.state.compare_pointers().await.is_err());
        assert_eq!(service.state.drift(), None);
    }
    assert!(locator.with(|held| held.asked) < 5_000);
    assert!(locator.with(|held| held.repaired.is_empty()));
}
