//! What is kept of a subscription: how it stands, in a ledger, and its events, in a list that the store numbers in the commit of what
//! happened ([`store::Lists`]). Up to `told` somebody may have heard of the numbers; those after it wait, and can be taken back.

use super::topic::Topic;
use crate::State;
use fhir::ids::LogicalId;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use store::{Change, Expect, LedgerEntry, LedgerWrite, StoreError, forgotten};
use trust::Standing;

/// Ledger of subscriptions, by id.
pub const LEDGER: &str = "subscription";

/// Events that are kept of each subscription of those that may have been heard of, the newest.
pub const KEPT_EVENTS: u64 = 1_000;

/// Entries that are taken away at once.
const PAGE: usize = 1_000;

/// How much is told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// That something happened.
    Empty,
    /// What it is about, by its address.
    IdOnly,
}

impl Content {
    /// The code of `backport-content-value-set`.
    pub fn code(self) -> &'static str {
        match self {
            Content::Empty => "empty",
            Content::IdOnly => "id-only",
        }
    }

    /// The content of a code.
    pub fn parse(code: &str) -> Option<Content> {
        [Content::Empty, Content::IdOnly]
            .into_iter()
            .find(|one| one.code() == code)
    }
}

/// How a subscription stands (`Subscription.status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The endpoint has not taken the handshake yet.
    Requested,
    /// Its subscriber is told.
    Active,
    /// The endpoint did not answer: nothing is sent until the subscriber asks for it again.
    Error,
    /// Over: its time has passed, or the patient is not here any more.
    Off,
}

impl Status {
    /// Its code.
    pub fn code(self) -> &'static str {
        match self {
            Status::Requested => "requested",
            Status::Active => "active",
            Status::Error => "error",
            Status::Off => "off",
        }
    }
}

/// What the subscriber asked for: all of it that is shown again, but for the headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// What to be told of.
    pub topic: Topic,
    /// About whom (the Patient's logical id); none: everybody in the organisation's own store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<LogicalId>,
    /// Of this type alone, where the topic has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_type: Option<String>,
    /// Why, in the subscriber's words.
    pub reason: String,
    /// Where to.
    pub endpoint: String,
    /// How much.
    pub content: Content,
    /// Seconds of silence after which it is told that all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u32>,
    /// Seconds that the endpoint may take.
    pub timeout: u32,
    /// Most events in one notification.
    pub most: u32,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its id.
    pub id: LogicalId,
    /// What was asked for.
    pub wanted: Wanted,
    /// Headers to send along, sealed: they are secrets of the subscriber's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// By what right.
    pub standing: Standing,
    /// How it stands.
    pub status: Status,
    /// Why it stands as it does, where that needs words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Version, as the subscriber sees it: counts what it asked and each change of status.
    pub edition: u64,
    /// When that version was made.
    pub updated: Instant,
    /// When it was made: what was written before is no event.
    pub made: Instant,
    /// The highest number that somebody may have heard of. Those after it wait.
    pub told: u64,
    /// The highest that the endpoint has taken.
    pub taken: u64,
}

impl Kept {
    /// The write that keeps it; `version` is the entry's that it takes the place of.
    pub fn write(&self, version: Option<u64>) -> Result<LedgerWrite, StoreError> {
        Ok(LedgerWrite {
            ledger: LEDGER,
            key: self.id.uuid().as_bytes().to_vec(),
            value: Some(serde_json::to_vec(self).map_err(|_| StoreError::Bug)?),
            expect: version.map_or(Expect::Absent, Expect::Version),
        })
    }

    /// As it rests.
    pub fn read(entry: &LedgerEntry) -> Result<Kept, StoreError> {
        serde_json::from_slice(&entry.value)
            .map_err(|_| StoreError::Damaged("a subscription does not read again"))
    }

    /// How many more events may have a number before the oldest that the endpoint has not taken would be kept no more.
    pub fn room(&self) -> usize {
        let untaken = self.told.saturating_sub(self.taken);
        usize::try_from(KEPT_EVENTS.saturating_sub(untaken)).unwrap_or(0)
    }

    /// It stands otherwise from now on.
    pub fn turn(&mut self, status: Status, why: Option<String>, now: Instant) {
        if self.status != status || self.why != why {
            self.status = status;
            self.why = why;
            self.edition += 1;
            self.updated = now;
        }
    }
}

impl State {
    /// The write that ends a subscription. It is committed, the book forgets it, and then its shelves are cleared: what was put there
    /// meanwhile too.
    pub(crate) fn ended_subscription(id: LogicalId, version: u64) -> LedgerWrite {
        LedgerWrite {
            ledger: LEDGER,
            key: id.uuid().as_bytes().to_vec(),
            value: None,
            expect: Expect::Version(version),
        }
    }

    /// Clears what is left of a subscription that has ended, as far as it is left.
    ///
    /// # Errors
    /// Of the store: what is left then goes at the next start.
    pub(crate) async fn clear_subscription(&self, id: LogicalId) -> Result<(), StoreError> {
        // What was being written when it ended is in its list by the time that this is done, and nothing after it is.
        self.desk.store.commit(Change::default()).await?;
        loop {
            let listed = self.desk.store.listed(id, 0, PAGE).await?;
            if listed.is_empty() {
                return Ok(());
            }
            let change = Change {
                ledger: listed
                    .iter()
                    .map(|(number, _)| forgotten(id, *number))
                    .collect(),
                ..Change::default()
            };
            self.desk.store.commit(change).await?;
        }
    }

    /// Counts what waits since before the service stopped, and takes away what is left of subscriptions that are not there any more.
    pub(crate) async fn subscriptions_found(&self) -> Result<(), StoreError> {
        let mut lost = BTreeSet::new();
        let found = |id, number| {
            if !self.subscriptions.found(id, number) {
                lost.insert(id);
            }
        };
        self.desk.store.each_listed(found).await?;
        for id in lost {
            self.clear_subscription(id).await?;
        }
        Ok(())
    }
}
