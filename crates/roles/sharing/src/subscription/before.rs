//! What a store holds of subscriptions from before December 2026, when a worker that followed the store put events in line and numbered
//! them as they were told. They cannot be numbered as they would have been: whoever had something there hears it by the status, once,
//! and it is taken away. Numbers go on where they were.

use super::kept::{Kept, Status};
use super::number::Moves;
use crate::State;
use fhir::ids::LogicalId;
use std::collections::BTreeSet;
use store::{Change, Expect, LedgerWrite, StoreError};
use uuid::Uuid;

/// The ledgers that held events: id, then a number.
const LEDGERS: [&str; 2] = ["subscription-event", "subscription-waiting"];
/// The receiver of what the store told of each commit.
const FOLLOWER: &str = "subscription";
/// Entries that are taken away at once.
const PAGE: usize = 1_000;
/// Why it is in error.
const WHY: &str = "what happened before the service was renewed is not kept any more, and not all of it may have been told: read anew what matters";

impl State {
    /// Says so to whom it concerns, and takes it away. Stopped in the middle it is done again.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn subscriptions_of_before(&self) -> Result<(), StoreError> {
        let store = &self.desk.store;
        let now = (self.house.clock)();
        let mut concerned = BTreeSet::new();
        for ledger in LEDGERS {
            let mut pages = store.ledger_pages(ledger, b"", PAGE);
            while let Some(page) = pages.next().await? {
                let ids = page.iter().filter_map(|one| one.key.first_chunk::<16>());
                concerned.extend(ids.map(|id| LogicalId(Uuid::from_bytes(*id))));
            }
        }
        // Of what nobody had noticed nobody knows whose event it was.
        let unnoticed = !store.outbox_due(FOLLOWER, now, 1).await?.is_empty();
        let concerns = |kept: &Kept| unnoticed || concerned.contains(&kept.id);
        for held in self.subscriptions.those(concerns) {
            if held.kept.status != Status::Off && held.kept.why.as_deref() != Some(WHY) {
                let mut kept = (*held.kept).clone();
                kept.turn(Status::Error, Some(WHY.to_owned()), now);
                self.commit(kept, &held, Moves::default(), None).await?;
            }
        }
        for ledger in LEDGERS {
            loop {
                let page = store.ledger_scan(ledger, b"", None, PAGE).await?;
                if page.is_empty() {
                    break;
                }
                let gone = |entry: store::LedgerEntry| LedgerWrite {
                    ledger,
                    key: entry.key,
                    value: None,
                    expect: Expect::Any,
                };
                let change = Change {
                    ledger: page.into_iter().map(gone).collect(),
                    ..Change::default()
                };
                store.commit(change).await?;
            }
        }
        loop {
            let due = store.outbox_due(FOLLOWER, now, PAGE).await?;
            if due.is_empty() {
                return Ok(());
            }
            store
                .outbox_done(due.iter().map(|one| one.id).collect())
                .await?;
        }
    }
}
