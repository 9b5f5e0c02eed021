//! What was not acknowledged but is kept aside, with the reason its sender can read, until it is replayed or its days are
//! over. A sender has so much room and no more; what finds none is refused in words and not kept.
//!
//! Key = the sender's client id, a zero byte, and a hash of the entry, so that a resend is not kept twice and a sender reads
//! only its own. Ledger `quarantine` holds the description as JSON, ledger `quarantine-body` the bytes as sent: a list of
//! what is kept does not load it.

use crate::State;
use crate::intake::{self, Refused};
use crate::tally::Tally;
use fhir::ids::PersonIdentifier;
use fhir::json::Node;
use fhir::outcome::{Issue, IssueCode};
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use store::{Change, Expect, LedgerEntry, LedgerWrite, Store, StoreError};
use trust::audit::Record;
use trust::{Category, ClientUse};
use wire::contract::hub::QuarantineEntry;
use wire::outcome::Problem;
use wire::visit::Visit;

const LEDGER: &str = "quarantine";
const BODIES: &str = "quarantine-body";
/// Descriptions looked at in one step: they lie by hash, not by time.
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
    /// When it came.
    pub received: Instant,
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

/// What keeps an entry aside, and what is on record of it; both become durable together.
pub struct Keeping {
    /// What is written.
    pub writes: Vec<LedgerWrite>,
    id: String,
    reason: &'static str,
    patient: Option<PersonIdentifier>,
}

impl Keeping {
    /// The record of it: whose it is, and why it is not taken in.
    pub fn on(&self, mut record: Record) -> Record {
        record.asked = format!(
            "{} kept aside as {}: {}",
            record.asked, self.id, self.reason
        );
        let category = match self.reason {
            "conflict" | intake::OUTDATED => Category::Conflict,
            _ => Category::Invalid,
        };
        record.about(self.patient.clone()).failed(category)
    }
}

/// Whose an entry is, as far as can be read of one that is not taken in: a document's is its Composition's.
fn whose(state: &State, node: Node<'_>) -> Option<PersonIdentifier> {
    let document = fhir::bundle::entries(node).next();
    let one = document.and_then(|entry| entry.resource).unwrap_or(node);
    let read = |member: &str| {
        let identifier = one.path(&[member, "identifier"])?;
        let (system, value) = (identifier.text("system")?, identifier.text("value")?);
        PersonIdentifier::parse(&system, &value, state.config.person_numbers).ok()
    };
    read("subject").or_else(|| read("patient"))
}

/// What keeps an entry aside; nothing when it is not one to keep: where the sender's room is used up, which `refused` then says, where
/// the patient may be alive and everybody is synthetic, and for a sharing service, which has what it files and looks into no quarantine.
pub async fn keep(
    state: &State,
    visit: &Visit<'_>,
    refused: &mut Refused,
    node: Node<'_>,
    tagged: Option<&str>,
) -> Result<Option<Keeping>, StoreError> {
    let Some(reason) = refused.quarantine else {
        return Ok(None);
    };
    let patient = whose(state, node);
    let real = |person: &PersonIdentifier| state.config.synthetic_only && !person.is_synthetic();
    if visit.caller().use_ == ClientUse::Service || patient.as_ref().is_some_and(real) {
        refused.quarantine = None;
        return Ok(None);
    }
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
        return Ok(None);
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
    Ok(Some(Keeping {
        writes: vec![
            write(LEDGER, &key, Some(description)),
            write(BODIES, &key, Some(body.to_vec())),
        ],
        id: kept.entry.id,
        reason,
        patient,
    }))
}

/// Where a page of a sender's entries begins: after the one that was received then, with this id.
pub type Place = (Instant, String);

/// A place as addresses have it.
pub fn written((received, id): &Place) -> String {
    format!("{}.{id}", received.0)
}

/// The place that is written so.
pub fn place(text: &str) -> Option<Place> {
    let (received, id) = text.split_once('.')?;
    let id = hash_of(id).map(hex)?;
    Some((Instant(received.parse().ok()?), id))
}

/// A sender's own entries, newest first, from a place on and so many at most; how many there are in all, and after which there are more.
///
/// # Errors
/// Of the store.
pub async fn of(
    state: &State,
    client: &str,
    after: Option<&Place>,
    most: usize,
) -> Result<(Vec<QuarantineEntry>, usize, Option<Place>), StoreError> {
    let prefix = prefix(client);
    let mut pages = state.desk.store.ledger_pages(LEDGER, &prefix, LOOKED_AT);
    let mut all: Vec<QuarantineEntry> = Vec::new();
    while let Some(page) = pages.next().await? {
        let read = |entry: &LedgerEntry| serde_json::from_slice(&entry.value).ok();
        all.extend(page.iter().filter_map(read));
    }
    let total = all.len();
    let of = |entry: &QuarantineEntry| (entry.received, entry.id.clone());
    all.retain(|entry| after.is_none_or(|after| of(entry) < *after));
    all.sort_by_cached_key(|entry| std::cmp::Reverse(of(entry)));
    let more = all.len() > most;
    all.truncate(most);
    let last = all.last().map(of).filter(|_| more);
    Ok((all, total, last))
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
        received: kept.entry.received,
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
