//! What is kept of a subscription, in three ledgers: how it stands, its numbered events, and what waits to be numbered.

use super::topic::Topic;
use crate::State;
use fhir::ids::LogicalId;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use store::{Change, Expect, LedgerEntry, LedgerWrite, StoreError};
use trust::Standing;
use uuid::Uuid;

/// Ledger of subscriptions, by id.
pub const LEDGER: &str = "subscription";
/// Ledger of events that have a number: id, number.
const EVENTS: &str = "subscription-event";
/// Ledger of what happened and has no number yet: id, place.
const WAITING: &str = "subscription-waiting";

/// Numbered events that are kept of each subscription, the newest.
pub const KEPT_EVENTS: u64 = 1_000;

/// Entries that are read or taken away at once.
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
    /// The highest number that was given to an event. Numbers are given when they are told.
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

/// Something that happened, as it waits and as it is kept. It names, and says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The Patient.
    pub patient: LogicalId,
    /// Type of what was written.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// What was written.
    pub id: LogicalId,
    /// Whether it was new.
    pub new: bool,
    /// The version that withdrew it, if it was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<u64>,
    /// When it was committed.
    pub at: Instant,
}

/// Which of the two ledgers of events.
#[derive(Debug, Clone, Copy)]
pub enum Shelf {
    /// What has no number yet, by its place.
    Waiting,
    /// What has one.
    Numbered,
}

impl Shelf {
    fn ledger(self) -> &'static str {
        match self {
            Shelf::Waiting => WAITING,
            Shelf::Numbered => EVENTS,
        }
    }

    /// The write of one event under a number; `None` takes it away.
    pub fn write(
        self,
        of: LogicalId,
        number: u64,
        event: Option<&Event>,
    ) -> Result<LedgerWrite, StoreError> {
        let value = event.map(serde_json::to_vec).transpose();
        Ok(LedgerWrite {
            ledger: self.ledger(),
            key: key(of, number),
            value: value.map_err(|_| StoreError::Bug)?,
            expect: match event {
                Some(_) => Expect::Absent,
                None => Expect::Any,
            },
        })
    }
}

fn key(of: LogicalId, number: u64) -> Vec<u8> {
    let mut key = of.uuid().as_bytes().to_vec();
    key.extend(number.to_be_bytes());
    key
}

/// Of which subscription an entry of a shelf is, and its number there.
fn place_of(entry: &LedgerEntry) -> Result<(LogicalId, u64), StoreError> {
    let wrong = StoreError::Damaged("an event has no place");
    let (id, number) = entry.key.split_first_chunk::<16>().ok_or(wrong.clone())?;
    let number = number.try_into().map_err(|_| wrong)?;
    Ok((LogicalId(Uuid::from_bytes(*id)), u64::from_be_bytes(number)))
}

impl State {
    /// At most `most` events of a subscription on a shelf after a number, with theirs, in order.
    pub(super) async fn shelf(
        &self,
        shelf: Shelf,
        of: LogicalId,
        after: u64,
        most: usize,
    ) -> Result<Vec<(u64, Event)>, StoreError> {
        let after = key(of, after);
        let id = of.uuid();
        let store = &self.desk.store;
        let held = store.ledger_scan(shelf.ledger(), id.as_bytes(), Some(&after), most);
        let wrong = || StoreError::Damaged("an event does not read again");
        held.await?
            .iter()
            .map(|entry| {
                let event = serde_json::from_slice(&entry.value).map_err(|_| wrong())?;
                Ok((place_of(entry)?.1, event))
            })
            .collect()
    }

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
        for shelf in [Shelf::Waiting, Shelf::Numbered] {
            while self.clear(shelf, id, PAGE).await? == PAGE {}
        }
        Ok(())
    }

    /// Takes away the first of a shelf, at most `most`; gives how many those were.
    pub(super) async fn clear(
        &self,
        shelf: Shelf,
        id: LogicalId,
        most: usize,
    ) -> Result<usize, StoreError> {
        let held = self.shelf(shelf, id, 0, most).await?;
        let ledger: Vec<LedgerWrite> = held
            .iter()
            .map(|(number, _)| shelf.write(id, *number, None))
            .collect::<Result<_, _>>()?;
        if !ledger.is_empty() {
            let change = Change {
                ledger,
                ..Change::default()
            };
            self.desk.store.commit(change).await?;
        }
        Ok(held.len())
    }

    /// Counts what waits since before the service stopped, and takes away what is left of subscriptions that are not there any more.
    pub(crate) async fn subscriptions_found(&self) -> Result<(), StoreError> {
        let store = &self.desk.store;
        let mut lost = BTreeSet::new();
        for shelf in [Shelf::Waiting, Shelf::Numbered] {
            let mut pages = store.ledger_pages(shelf.ledger(), b"", PAGE);
            while let Some(page) = pages.next().await? {
                for entry in page {
                    let (of, place) = place_of(&entry)?;
                    match shelf {
                        _ if self.subscriptions.get(of).is_none() => {
                            lost.insert(of);
                        }
                        Shelf::Waiting => self.subscriptions.found(of, place),
                        Shelf::Numbered => {}
                    }
                }
            }
        }
        for id in lost {
            self.clear_subscription(id).await?;
        }
        Ok(())
    }
}
