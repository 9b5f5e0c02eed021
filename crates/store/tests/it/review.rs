//! Broken glass waits for the controller from the commit that records it until it is closed, once.

use store::{Change, Finding, Review, Store, StoreError, review_opened};
use trust::Category;
use trust::audit::Record;

use crate::world::*;

/// What broke the glass, on record.
fn broken(world: &World, request: &str) -> Record {
    let mut record = record(request, Some(GURI), world.now());
    record.broken = vec!["block".to_owned()];
    record.organisation = Some(org("310001074"));
    record
}

fn finding(world: &World) -> Finding {
    Finding {
        when: world.now(),
        outcome: "justified".to_owned(),
        by: "the controller".to_owned(),
        note: None,
    }
}

async fn commit(store: &Store, ledger: Vec<store::LedgerWrite>) -> Result<(), StoreError> {
    let change = Change {
        ledger,
        ..Change::default()
    };
    store.commit(change).await.map(|_| ())
}

#[test]
fn only_broken_glass_that_gave_something_is_to_be_looked_at() {
    let world = World::new();
    assert!(review_opened(&broken(&world, "r")).is_some());
    let failed = broken(&world, "r").failed(Category::Invalid);
    assert!(review_opened(&failed).is_none(), "nothing was given");
    let whole = record("r", Some(GURI), world.now());
    assert!(review_opened(&whole).is_none(), "nothing was broken");
}

#[tokio::test]
async fn a_review_waits_until_it_is_closed_with_what_was_found() {
    let world = World::new();
    let store = world.store();
    for request in ["r-1", "r-2"] {
        let opened = review_opened(&broken(&world, request));
        commit(&store, opened.into_iter().collect()).await.unwrap();
    }
    let waits = |request: &str| Review {
        request: request.to_owned(),
        when: world.now(),
        organisation: Some(org("310001074")),
        rules: vec!["block".to_owned()],
        found: None,
    };
    let waiting = store.reviews(false, 10).await.unwrap();
    assert_eq!(waiting, [waits("r-1"), waits("r-2")]);
    assert_eq!(store.reviews(false, 1).await.unwrap().len(), 1);
    assert!(store.reviews(true, 10).await.unwrap().is_empty());
    let nobody = store.review_closed("r-3", finding(&world)).await.unwrap();
    assert!(nobody.is_none());
    let closed = store.review_closed("r-1", finding(&world)).await.unwrap();
    commit(&store, closed.unwrap()).await.unwrap();
    let found = Review {
        found: Some(finding(&world)),
        ..waits("r-1")
    };
    assert_eq!(store.reviews(true, 10).await.unwrap(), [found]);
    assert_eq!(store.reviews(false, 10).await.unwrap(), [waits("r-2")]);
    let again = store.review_closed("r-1", finding(&world)).await.unwrap();
    assert!(again.is_none());
}

#[tokio::test]
async fn what_was_broken_again_meanwhile_is_not_closed_unseen() {
    let world = World::new();
    let store = world.store();
    let open = async || {
        let opened = review_opened(&broken(&world, "r"));
        commit(&store, opened.into_iter().collect()).await.unwrap();
    };
    open().await;
    let closed = store.review_closed("r", finding(&world)).await.unwrap();
    open().await;
    let refused = commit(&store, closed.unwrap()).await.unwrap_err();
    assert!(matches!(refused, StoreError::LedgerMismatch { .. }));
    assert_eq!(store.reviews(false, 10).await.unwrap().len(), 1);
}
