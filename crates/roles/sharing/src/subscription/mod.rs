//! Subscriptions (FHIR R4 subscription.html, with HL7's backport of R5's topics): who wants to be told is told that something
//! happened, and reads what it says by a right of its own.
//!
//! A written resource's way: its own commit gives it the next number of each subscription that it may be an event of (`heard.rs`) →
//! `number.rs` (may it be told now? if not, its number goes to the next) → `tell.rs` (on record, then sent). `topic.rs`, `asked.rs` and
//! `notification.rs` are pure; `kept.rs` is what rests, `book.rs` the same in memory; `right.rs` is asked each time, `turn.rs` whether a
//! zone is another than before, and `pace.rs` ends what goes round. `before.rs` is for stores of before December 2026.

mod asked;
mod before;
mod book;
mod heard;
mod kept;
mod notification;
mod number;
mod pace;
mod right;
mod tell;
mod topic;
mod turn;

pub use asked::{Asked, read};
pub use book::{Book, Held, MOST_WAITING};
pub use kept::{Content, KEPT_EVENTS, Kept, Status};
pub use notification::{Kind, Shown, bundle, canonical, parameters, subscription};
pub use number::Settled;
pub use tell::{disclosed, workers};
pub use topic::Topic;

use fhir::ids::OrganisationNumber;
use url::Url;

/// An organisation that may subscribe here.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// The organisation.
    pub organisation: OrganisationNumber,
    /// Where it may be told: an endpoint has one of these origins, and lies at or below its path.
    pub endpoints: Vec<Url>,
    /// How many subscriptions it may have at once.
    pub most: usize,
}
