//! What was not acknowledged but is kept aside, with the reason its sender can read, until it is replayed or its days are
//! over. A sender has so much room and no more; what finds none is refused in words and not kept.
//!
//! Key = the sender's client id, a zero byte, and a hash of the entry, so that a resend is not kept twice and a sender reads
//! only its own. Ledger `quarantine` holds the description as JSON, ledger `quarantine-body` the bytes as sent: a list of
//! what is kept does not load it.

use crate::State;
use crate::intake::Refused;
use crate::tally::Tally;
use fhir::json::Node;
use fhir::outcome::{Issue, IssueCode};
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use store::{Change, Expect, LedgerEntry, LedgerWrite, Store, StoreError};
use wire::contract::hub::{Quarantine, QuarantineEntry};
use wire::outcome::Problem;
use wire::visit::Visit;

const LEDGER: &str = "quarantine";
const BODIES: &str = "quarantine-body";
/// Entries shown in one answer.
const SHOWN: usize = 500;
/// Descriptions looked at for one answer, or in one step of counting or forgetting: they lie by hash, not by time.
const LOOKED_AT: usize = 10_000;
/// Bytes of the hash at the end of a key.
const HASH: usize = 16;

/// A description as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    entry: QuarantineEntry,
    /// The organisation number that the entry's Bundle named, which a replay needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tagged: Option<String>,
    /// Bytes of the body.
    #[serde(default)]
    bytes: usize,
}

/// One entry to be tried again.
pub struct Aside {
    key: Vec<u8>,
    version: u64,
    bytes: usize,
    /// As it was sent.
    pub body: Vec<u8>,
    /// The organisation number that its Bundle named.
    pub tagged: Option<String>,
}

fn prefix(client: &str) -> Vec<u8> {
    [client.as_bytes(), b"\0"].concat()
}

/// The sender's part of a key.
fn sender_of(key: &[u8]) -> &[u8] {
    key.get(..key.len().saturating_sub(HASH))
        .unwrap_or_default()
}

fn write(ledger: &'static str, key: &[u8], value: Option<Vec<u8>>) -> LedgerWrite {
    LedgerWrite {
        ledger,
        key: key.to_vec(),
        value,
        expect: Expect::Any,
    }
}

/// Counts what a store keeps for each sender.
pub async fn counted(store: &Store) -> Result<Tally, StoreError> {
    let tally = Tally::default();
    let mut pages = store.ledger_pages(LEDGER, b"", LOOKED_AT);
    while let Some(page) = pages.next().await? {
        for entry in &page {
            tally.add(sender_of(&entry.key), bytes_of(entry));
        }
    }
    Ok(tally)
}

fn bytes_of(entry: &LedgerEntry) -> usize {
    serde_json::from_slice::<Kept>(&entry.value).map_or(0, |kept| kept.bytes)
}

/// What keeps an entry aside, to be written with the request's record; nothing when it is not one to keep. Where the
/// sender's room is used up, `refused` says so instead.
pub async fn keep(
    state: &State,
    visit: &Visit<'_>,
    refused: &mut Refused,
    node: Node<'_>,
    tagged: Option<&str>,
) -> Result<Vec<LedgerWrite>, StoreError> {
    let Some(reason) = refused.quarantine else {
        return Ok(Vec::new());
    };
    let body = node.raw().as_bytes();
    let store = &state.desk.store;
    let hash: [u8; HASH] = store.keyed(LEDGER, body);
    let sender = prefix(&visit.caller().client_id);
    let key = [&sender[..], &hash].concat();
    let known = store.ledger_get(LEDGER, &key).await?.is_some();
    let (held, bounds) = (state.aside.held(&sender), &state.config.bounds);
    let full = held.entries >= bounds.quarantine_entries
        || held.bytes.saturating_add(body.len()) > bounds.quarantine_bytes;
    if full && !known {
        let words = "this sender's quarantine is full: the entry was not kept aside; keep it, mend the cause, replay what is there";
        let mut issues = refused.problem.issues().to_vec();
        issues.push(Issue::error(IssueCode::Throttled, "", words));
        refused.problem = Problem::unprocessable(issues);
        refused.quarantine = None;
        return Ok(Vec::new());
    }
    let identifier = node.all(&["identifier"]).into_iter().next();
    let identifier = identifier.and_then(|first| {
        Some(format!(
            "{}|{}",
            first.text("system").unwrap_or_default(),
            first.text("value")?
        ))
    });
    let kept = Kept {
        entry: QuarantineEntry {
            id: hex(hash),
            received: visit.now,
            reason: reason.to_owned(),
            identifier,
            request_id: Some(visit.ids().ours.to_string()),
            outcome: serde_json::from_slice(&refused.problem.to_json()).unwrap_or_default(),
        },
        tagged: tagged.map(str::to_owned),
        bytes: body.len(),
    };
    let description = serde_json::to_vec(&kept).map_err(|_| StoreError::Bug)?;
    if !known {
        // Counted before it is written, so that one bundle cannot pass the cap; the hourly round counts anew.
        state.aside.add(&sender, body.len());
    }
    Ok(vec![
        write(LEDGER, &key, Some(description)),
        write(BODIES, &key, Some(body.to_vec())),
    ])
}

/// A sender's own entries, newest first.
pub async fn of(state: &State, client: &str) -> Result<Quarantine, StoreError> {
    let kept = state
        .desk
        .store
        .ledger_scan(LEDGER, &prefix(client), None, LOOKED_AT)
        .await?;
    let mut entries: Vec<QuarantineEntry> = kept
        .iter()
        .filter_map(|entry| serde_json::from_slice(&entry.value).ok())
        .collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.received));
    entries.truncate(SHOWN);
    Ok(Quarantine { entries })
}

/// A sender's entry by its id.
pub async fn one(state: &State, client: &str, id: &str) -> Result<Option<Aside>, StoreError> {
    let Some(hash) = hash_of(id) else {
        return Ok(None);
    };
    let key = [prefix(client), hash.to_vec()].concat();
    let store = &state.desk.store;
    let (Some(description), Some(body)) = (
        store.ledger_get(LEDGER, &key).await?,
        store.ledger_get(BODIES, &key).await?,
    ) else {
        return Ok(None);
    };
    let kept: Kept = serde_json::from_slice(&description.value)
        .map_err(|_| StoreError::Damaged("a quarantined entry's description"))?;
    Ok(Some(Aside {
        key,
        version: description.version,
        bytes: kept.bytes,
        body: body.value,
        tagged: kept.tagged,
    }))
}

/// A hash as people and addresses have it.
pub fn hex(hash: [u8; HASH]) -> String {
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

/// The hash that is written so.
pub fn hash_of(id: &str) -> Option<[u8; HASH]> {
    if id.len() != 2 * HASH || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    u128::from_str_radix(id, 16).ok().map(u128::to_be_bytes)
}

impl Aside {
    /// What takes it out of quarantine, for the commit that takes it in. It must be there still, so that two replays at
    /// once are one.
    pub fn taken_out(&self) -> Vec<LedgerWrite> {
        let description = LedgerWrite {
            expect: Expect::Version(self.version),
            ..write(LEDGER, &self.key, None)
        };
        vec![description, write(BODIES, &self.key, None)]
    }

    /// Its room is free, once that is durable.
    pub fn freed(&self, state: &State) {
        state.aside.subtract(sender_of(&self.key), self.bytes);
    }
}

/// Forgets what was put aside before `oldest` and not since; looks at everything once.
pub async fn forget(state: &State, oldest: Instant) -> Result<(), StoreError> {
    let store = &state.desk.store;
    let mut pages = store.ledger_pages(LEDGER, b"", LOOKED_AT);
    while let Some(page) = pages.next().await? {
        for entry in page.iter().filter(|entry| entry.updated < oldest) {
            let description = LedgerWrite {
                expect: Expect::Version(entry.version),
                ..write(LEDGER, &entry.key, None)
            };
            let change = Change {
                ledger: vec![description, write(BODIES, &entry.key, None)],
                ..Change::default()
            };
            match store.commit(change).await {
                // Or sent again or replayed meanwhile.
                Ok(_) | Err(StoreError::LedgerMismatch { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    state.aside.set(counted(store).await?);
    Ok(())
}
