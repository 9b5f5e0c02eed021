//! Where one organisation's data rests: versions, search rows, outbox, ledgers, replay memory, audit trail, all in one
//! file and one commit (DESIGN section 6).
//!
//! A [`Store`] is *opened* for one owner; no later call names it. Reading takes a [`trust::Permit`]; a commit that holds
//! an audit record gives a [`Receipt`], which whoever answers must show. What a commit returned is durable.
//!
//! Engine: SQLite (WAL, `synchronous = FULL`), one writing thread with group commit, a few reading threads. Time and ids
//! come in as [`Surroundings`]. No HTTP in here, no SQL anywhere else.

mod audit;
mod backend;
mod body;
mod commit;
mod dictionary;
mod errors;
mod follow;
mod handle;
mod history;
mod identified;
mod include;
mod joint;
mod keys;
mod ledger;
mod listed;
mod options;
mod outbox;
mod patient;
mod prepare;
mod presence;
mod publish;
mod purge;
mod query;
mod reconcile;
mod record;
mod recorded;
mod replace;
mod replica;
mod review;
mod seal;
mod series;
mod snapshot;
mod store;
mod together;
pub mod whole;
mod wish;
mod writers;

use std::sync::Arc;

pub use audit::{AuditEntry, AuditFault, AuditFaultKind, AuditFilter, AuditHead, AuditReport};
pub use commit::{
    Change, Committed, Expect, Fate, LedgerWrite, OutboxEntry, Presence, Purge, Purged, Put,
    PutOutcome, Receipt, Replace, Stored,
};
pub use errors::{Conflict, StoreError};
pub use follow::{ErasedOne, FOLLOW, Followed, WrittenFate, WrittenOne};
pub use history::{HistoryCursor, HistoryPage, Past, Version};
pub use include::{Excess, Gathered};
pub use ledger::{LedgerEntry, LedgerPages};
pub use listed::{Listed, Lists, TakenBack, forgotten};
pub use options::Options;
pub use outbox::{Delivery, DeliveryId, DeliveryState, Due, ReceiverState};
pub use presence::Kinds;
pub use publish::{Published, Publishing, Share};
pub use query::{Cursor, Met, Moment, Page, Start, Walker};
pub use reconcile::{ContentDigest, Holding, Named, Patients, Tally};
pub use replica::Replica;
pub use review::{Finding, Review, opened as review_opened};
pub use snapshot::{SNAPSHOT_FILES, snapshot};
pub use store::Store;
pub use trust::Category;
pub use wish::MOST_WISHES;

/// What time it is. Injected, so that tests do not sleep and a simulation can be seeded.
pub type Clock = Arc<dyn Fn() -> fhir::time::Instant + Send + Sync>;

/// Makes random UUIDs (version 4). Injected, as the clock is.
pub type Ids = Arc<dyn Fn() -> uuid::Uuid + Send + Sync>;

/// What a store takes from the world.
#[derive(Clone)]
pub struct Surroundings {
    /// The clock.
    pub clock: Clock,
    /// New logical ids.
    pub ids: Ids,
}

/// The topic of outbox entries that tell the locator of a turn of presence.
///
/// Body: `{"patient":{"system":"urn:oid:…","value":"…"},"kind":"IT17","state":"present"|"absent","sequence":N}`
/// (`wire::contract::locator`, one entry of a registration).
pub const ANNOUNCE: &str = "announce";
