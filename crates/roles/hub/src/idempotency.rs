//! `Idempotency-Key` on posts (threats-and-faults.md section 9; the header of draft-ietf-httpapi-idempotency-key-header): the
//! same key and body get the first answer again, another body 422, a request that is still running 409. Decision 0049.
//!
//! A key is a sender's own. Ledger `idempotency` keeps, under a keyed hash of sender and key, a keyed hash of the request and
//! the answer, which holds outcomes and ids and nothing clinical. An answer is durable before it is given; a request that was cut off
//! before that runs again, which the identity of its readings makes harmless. What is running is known in memory alone: the
//! store has one process.

use crate::State;
use crate::tally::{Tally, locked};
use fhir::outcome::{Issue, IssueCode};
use fhir::time::Instant;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;
use store::{Change, Expect, LedgerEntry, LedgerWrite, Store, StoreError};
use wire::contract::hub::IDEMPOTENCY_KEY;
use wire::outcome::{Problem, fhir_response};
use wire::visit::{End, Visit};

/// Ledger of answers.
pub const LEDGER: &str = "idempotency";
/// Longest key, in characters.
const LONGEST: usize = 255;
/// Answers looked at in one step of counting or forgetting.
const PAGE: usize = 200;
/// When a sender whose room is used up may try again, in seconds.
const AGAIN: u32 = 600;

type Mac = [u8; 16];

/// An answer as it is given, the first time and again.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its `Location`.
    pub location: Option<String>,
    /// Its body: FHIR JSON or nothing.
    pub body: Vec<u8>,
}

impl Answer {
    /// As a response.
    pub fn response(self) -> axum::response::Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = fhir_response(status, self.body);
        let location = self.location.and_then(|l| HeaderValue::try_from(l).ok());
        if let Some(location) = location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// What the ledger holds of one request.
#[derive(Serialize, Deserialize)]
struct Kept {
    request: Mac,
    status: u16,
    location: Option<String>,
    body: String,
}

/// What runs, and how much is kept for whom.
#[derive(Default)]
pub struct Answers {
    /// Requests under way: their ledger keys and what was sent.
    running: Mutex<HashMap<Vec<u8>, Mac>>,
    /// What is kept for each sender.
    kept: Tally,
}

/// The sender's part of a ledger key.
fn sender_of(key: &[u8]) -> &[u8] {
    key.get(..size_of::<Mac>()).unwrap_or_default()
}

fn size(entry: &LedgerEntry) -> usize {
    entry.key.len() + entry.value.len()
}

impl Answers {
    /// Counts what a store keeps.
    pub async fn counted(store: &Store) -> Result<Answers, StoreError> {
        let answers = Answers::default();
        let mut pages = store.ledger_pages(LEDGER, b"", PAGE);
        while let Some(page) = pages.next().await? {
            for entry in &page {
                answers.kept.add(sender_of(&entry.key), size(entry));
            }
        }
        Ok(answers)
    }
}

/// How a request begins.
pub enum Begun<'a> {
    /// It was answered before: this is the answer.
    Before(Answer),
    /// It is to be done now.
    Now(Running<'a>),
}

/// A request under way. Dropped without an answer, its key is free again.
pub struct Running<'a> {
    state: &'a State,
    /// Its ledger key and the hash of what was sent; `None` when the request has no key.
    keyed: Option<(Vec<u8>, Mac)>,
}

/// Looks at a request's key, before anything is done for it.
pub async fn begin<'a>(
    state: &'a State,
    visit: &Visit<'_>,
    parts: &Parts,
    body: &[u8],
) -> Result<Begun<'a>, End> {
    let Some(text) = key_of(parts)? else {
        return Ok(Begun::Now(Running { state, keyed: None }));
    };
    let store = &state.desk.store;
    let sender = store.keyed("idempotency sender", visit.caller().client_id.as_bytes());
    let name = [&sender[..], text.as_bytes()].concat();
    let key = [sender, store.keyed("idempotency key", &name)].concat();
    let path = parts.uri.path().as_bytes();
    let request = store.keyed("idempotency request", &[path, b"\0", body].concat());
    // From here on nobody else runs under this key.
    let running = run(state, key.clone(), request)?;
    if let Some(entry) = store.ledger_get(LEDGER, &key).await? {
        if entry.updated >= oldest(state, visit.now) {
            let kept: Kept = serde_json::from_slice(&entry.value)
                .map_err(|_| Problem::bug("a kept answer cannot be read"))?;
            return if kept.request == request {
                Ok(Begun::Before(Answer {
                    status: kept.status,
                    location: kept.location,
                    body: kept.body.into_bytes(),
                }))
            } else {
                Err(other_body().into())
            };
        }
        remove(state, &entry).await?;
    }
    if state.answers.kept.held(&sender).bytes >= state.config.bounds.idempotency_bytes {
        let words = "the answers kept for this sender's Idempotency-Keys fill their room; send without one, or later";
        let issue = Issue::error(IssueCode::Throttled, "Idempotency-Key", words);
        return Err(Problem::throttled(AGAIN).each(|_| issue.clone()).into());
    }
    Ok(Begun::Now(running))
}

/// Takes the key, unless somebody took it this moment.
fn run(state: &State, key: Vec<u8>, request: Mac) -> Result<Running<'_>, Problem> {
    match locked(&state.answers.running).entry(key) {
        Entry::Occupied(taken) => Err(if *taken.get() == request {
            Problem::conflict("a request with this Idempotency-Key is still running")
        } else {
            other_body()
        }),
        Entry::Vacant(free) => {
            let keyed = Some((free.key().clone(), request));
            free.insert(request);
            Ok(Running { state, keyed })
        }
    }
}

fn other_body() -> Problem {
    Problem::unprocessable(vec![Issue::error(
        IssueCode::Duplicate,
        "Idempotency-Key",
        "this Idempotency-Key was used with another body or address; a new request needs a new key",
    )])
}

/// The request's key, if it has one.
fn key_of(parts: &Parts) -> Result<Option<&str>, Problem> {
    let mut sent = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = sent.next() else {
        return Ok(None);
    };
    let text = first.to_str().unwrap_or_default();
    let sound = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if sound && sent.next().is_none() {
        return Ok(Some(text));
    }
    Err(Problem::invalid(
        IssueCode::Value,
        "Idempotency-Key",
        "one Idempotency-Key of 1 to 255 visible ASCII characters without spaces",
    ))
}

impl Running<'_> {
    /// Makes the answer durable, so that it is given again.
    pub async fn answered(self, answer: Answer) -> Result<Answer, StoreError> {
        let Some((key, request)) = self.keyed.clone() else {
            return Ok(answer);
        };
        let kept = Kept {
            request,
            status: answer.status,
            location: answer.location.clone(),
            body: String::from_utf8(answer.body.clone()).map_err(|_| StoreError::Bug)?,
        };
        let value = serde_json::to_vec(&kept).map_err(|_| StoreError::Bug)?;
        let size = key.len() + value.len();
        let change = Change {
            ledger: vec![LedgerWrite {
                ledger: LEDGER,
                key: key.clone(),
                value: Some(value),
                expect: Expect::Absent,
            }],
            ..Change::default()
        };
        self.state.desk.store.commit(change).await?;
        self.state.answers.kept.add(sender_of(&key), size);
        Ok(answer)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some((key, _)) = &self.keyed {
            locked(&self.state.answers.running).remove(key);
        }
    }
}

/// What was answered before this is over.
fn oldest(state: &State, now: Instant) -> Instant {
    let hours = i64::from(state.config.bounds.idempotency_hours);
    Instant(now.0.saturating_sub(hours.saturating_mul(3_600_000_000)))
}

async fn remove(state: &State, entry: &LedgerEntry) -> Result<(), StoreError> {
    let change = Change {
        ledger: vec![LedgerWrite {
            ledger: LEDGER,
            key: entry.key.clone(),
            value: None,
            expect: Expect::Version(entry.version),
        }],
        ..Change::default()
    };
    match state.desk.store.commit(change).await {
        Ok(_) => state
            .answers
            .kept
            .subtract(sender_of(&entry.key), size(entry)),
        // Somebody else forgot it.
        Err(StoreError::LedgerMismatch { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Forgets what is over; looks at every answer once.
pub async fn forget(state: &State, now: Instant) -> Result<(), StoreError> {
    let oldest = oldest(state, now);
    let mut pages = state.desk.store.ledger_pages(LEDGER, b"", PAGE);
    while let Some(page) = pages.next().await? {
        for entry in page.iter().filter(|entry| entry.updated < oldest) {
            remove(state, entry).await?;
        }
    }
    Ok(())
}
