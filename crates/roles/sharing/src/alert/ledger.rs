//! What is to be looked at when: an entry for each open alert and for each patient whose plan expects readings, in the store's own commits, and the same times in memory, so
//! that nobody goes through all patients to find the few that are due.

use super::task::Topic;
use crate::State;
use fhir::ids::LogicalId;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use store::{Expect, LedgerWrite, StoreError};
use tokio::sync::Notify;
use uuid::Uuid;

/// The ledger's name. Key: the Patient's logical id, then what it is.
const LEDGER: &str = "alert";
/// Entries read at once at start.
const AT_ONCE: usize = 1_000;

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// The open alert of a topic.
    Alert(Topic),
    /// That a plan of hers holds or will, and when what it expects is looked at next.
    Expected,
    /// An alert that another organisation offered, or that was offered to one.
    Offered(Uuid),
}

/// Whose and what: the key of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The Patient.
    pub patient: LogicalId,
    /// What.
    pub what: What,
}

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The Task of an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<LogicalId>,
    /// When it is to be looked at; `None`: not by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<i64>,
}

const OFFERED: u8 = b'o';
const BYTES: [(What, u8); 3] = [
    (What::Expected, b'e'),
    (What::Alert(Topic::Readings), b'r'),
    (What::Alert(Topic::Missing), b'm'),
];

impl Key {
    fn bytes(self) -> Vec<u8> {
        let mut key = self.patient.uuid().as_bytes().to_vec();
        if let What::Offered(offer) = self.what {
            key.push(OFFERED);
            key.extend(offer.as_bytes());
        }
        let row = BYTES.iter().find(|row| row.0 == self.what);
        key.extend(row.map(|row| row.1));
        key
    }

    fn read(bytes: &[u8]) -> Option<Key> {
        let (patient, what) = bytes.split_at_checked(16)?;
        let what = match what {
            [OFFERED, offer @ ..] => What::Offered(Uuid::from_slice(offer).ok()?),
            [what] => BYTES.iter().find(|row| row.1 == *what)?.0,
            _ => return None,
        };
        Some(Key {
            patient: Uuid::from_slice(patient).ok()?.into(),
            what,
        })
    }

    /// The write that makes this the entry; `None` removes it.
    pub fn write(self, entry: Option<&Entry>, expect: Expect) -> Result<LedgerWrite, StoreError> {
        let value = entry.map(serde_json::to_vec).transpose();
        Ok(LedgerWrite {
            ledger: LEDGER,
            key: self.bytes(),
            value: value.map_err(|_| StoreError::Bug)?,
            expect,
        })
    }
}

/// The times of all entries, in memory.
#[derive(Default)]
pub struct Queue {
    times: Mutex<Times>,
    changed: Notify,
}

#[derive(Default)]
struct Times {
    by_time: BTreeSet<(i64, Key)>,
    by_key: BTreeMap<Key, i64>,
}

impl Queue {
    /// Sets when this is to be looked at.
    pub fn set(&self, key: Key, due: Option<i64>) {
        {
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(before) = times.by_key.remove(&key) {
                times.by_time.remove(&(before, key));
            }
            if let Some(due) = due {
                times.by_key.insert(key, due);
                times.by_time.insert((due, key));
            }
        }
        self.changed.notify_one();
    }

    /// What is due at `now`, the longest overdue first, at most `most`.
    pub fn due(&self, now: Instant, most: usize) -> Vec<Key> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let due = times.by_time.iter().take_while(|(at, _)| *at <= now.0);
        due.take(most).map(|(_, key)| *key).collect()
    }

    /// When the next is due.
    pub fn next(&self) -> Option<i64> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.by_time.first().map(|(at, _)| *at)
    }

    /// Resolves when a time was set.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl State {
    /// An entry and its version. One that is damaged is due at once, and says no more.
    pub(crate) async fn alert_entry(&self, key: Key) -> Result<Option<(Entry, u64)>, StoreError> {
        let held = self.desk.store.ledger_get(LEDGER, &key.bytes()).await?;
        let service = &self.config.id;
        Ok(held.map(|held| (entry(service, key, &held).unwrap_or(DAMAGED), held.version)))
    }

    /// Patients who may be under follow-up, each with the Tasks of her alerts: whose plan holds or held, or who has an alert that is open.
    /// `None`: they are more than `most`.
    pub(crate) async fn followed(
        &self,
        most: usize,
    ) -> Result<Option<Vec<(LogicalId, Tasks)>>, StoreError> {
        let service = &self.config.id;
        let mut found: BTreeMap<LogicalId, Tasks> = BTreeMap::new();
        let mut pages = self.desk.store.ledger_pages(LEDGER, b"", AT_ONCE);
        while let Some(held) = pages.next().await? {
            for (key, entry) in read(service, &held) {
                let tasks = found.entry(key.patient).or_default();
                tasks.damaged |= entry.is_none();
                tasks.ids.extend(entry.and_then(|entry| entry.task));
            }
            if found.len() > most {
                return Ok(None);
            }
        }
        Ok(Some(found.into_iter().collect()))
    }

    /// Fills the queue from the ledger.
    pub(super) async fn alerts_remembered(&self) -> Result<(), StoreError> {
        let mut pages = self.desk.store.ledger_pages(LEDGER, b"", AT_ONCE);
        while let Some(held) = pages.next().await? {
            for (key, entry) in read(&self.config.id, &held) {
                self.alerts.set(key, entry.unwrap_or(DAMAGED).due);
            }
        }
        Ok(())
    }
}

/// What is made of an entry that is damaged: it is looked at at once, and written anew.
const DAMAGED: Entry = Entry {
    task: None,
    due: Some(0),
};

/// The Tasks of a patient's alerts.
#[derive(Default)]
pub struct Tasks {
    /// Their ids.
    pub ids: Vec<LogicalId>,
    /// Whether an entry of hers is damaged, so that there may be more.
    pub damaged: bool,
}

/// Each entry with its key; `None` for one that is damaged, which is hers alone and keeps nobody else's alerts from being watched. One whose
/// key is damaged is nobody's.
fn read<'a>(
    service: &'a str,
    held: &'a [store::LedgerEntry],
) -> impl Iterator<Item = (Key, Option<Entry>)> + 'a {
    held.iter().filter_map(move |one| {
        let key = Key::read(&one.key);
        if key.is_none() {
            tracing::error!(service, "an entry about alerts is of nobody");
        }
        key.map(|key| (key, entry(service, key, one)))
    })
}

fn entry(service: &str, key: Key, held: &store::LedgerEntry) -> Option<Entry> {
    let entry = serde_json::from_slice(&held.value).ok();
    if entry.is_none() {
        tracing::error!(service, patient = %key.patient, "an entry about alerts does not read again");
    }
    entry
}
