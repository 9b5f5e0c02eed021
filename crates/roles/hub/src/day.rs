//! What becomes of the readings that wait (`held.rs`) when their day is over: the newest of each kind, or all of them, go to their receiver
//! as they were sent, or as one note; the rest is left out and counted. Decision and outbox entry are one commit.
//!
//! What comes after that of the same day is looked at by itself: it goes if it is newer than what went, or as a further note that
//! says to which it belongs. Ledger `day-went` remembers that, as long as the hub remembers readings.

use crate::amount::{self, Counts};
use crate::held::{self, DAYS, DUE, Day, HELD, PAGE, Turn, Whose};
use crate::{State, document, intake, note};
use fhir::json::{Json, Limits};
use fhir::time::Instant;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Expect, LedgerEntry, LedgerWrite, OutboxEntry, StoreError};
use wire::Worker;

/// By a day and a kind of measurement: when the newest was measured that went. By a day and [`NOTE`]: the name of the first note.
const WENT: &str = "day-went";
/// In the place of a kind.
const NOTE: &[u8] = b"\0note";
/// Between two looks.
const EVERY: Duration = Duration::from_secs(60);
/// Entries decided in one commit, and lines of one note.
const AT_ONCE: usize = 500;

/// The one who looks at days that are over. What cannot be done is done at a later look.
pub fn worker(state: Arc<State>) -> Worker {
    Worker::new("days", async move {
        let pause = state.house.pause.clone();
        while !state.house.stop.is_stopped() {
            if let Err(error) = state.close_days().await {
                tracing::error!(%error, "days that are over could not be looked for");
            }
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(EVERY) => {}
            }
        }
    })
}

impl State {
    /// Looks now at the days whose moment has come. The worker does the same by itself.
    ///
    /// # Errors
    /// Input/output and damage of the list of days; one day's own trouble is logged and holds up no other.
    pub async fn close_days(&self) -> Result<(), StoreError> {
        let now = (self.house.clock)();
        let mut pages = self.desk.store.ledger_pages(DUE, b"", PAGE);
        while let Some(page) = pages.next().await? {
            for entry in &page {
                let Some((moment, day)) = entry.key.split_first_chunk::<8>() else {
                    continue;
                };
                if i64::from_be_bytes(*moment) > now.0 {
                    return Ok(());
                }
                let Some((_, day)) = day.split_last_chunk::<16>() else {
                    continue;
                };
                match close(self, entry, *day).await {
                    // Corrected or added to meanwhile: looked at anew.
                    Ok(()) | Err(StoreError::LedgerMismatch { .. }) => {}
                    Err(error) => tracing::error!(%error, "a day that is over waits"),
                }
            }
        }
        Ok(())
    }
}

/// One that waits, with its key.
struct One {
    key: String,
    turn: Turn,
}

/// Decides what becomes of all that waits of a day.
async fn close(state: &State, due: &LedgerEntry, day: Day) -> Result<(), StoreError> {
    let store = &state.desk.store;
    let whose: Whose = held::read(&due.value)?;
    let mut all = Vec::new();
    let mut pages = store.ledger_pages(DAYS, &day, PAGE);
    while let Some(page) = pages.next().await? {
        for entry in page {
            let key = entry.key.get(day.len()..).unwrap_or_default();
            all.push(One {
                key: String::from_utf8_lossy(key).into_owned(),
                turn: held::read(&entry.value)?,
            });
        }
    }
    all.sort_by(|a, b| {
        let order = |one: &One| (one.turn.at, one.turn.taken);
        order(a).cmp(&order(b)).then_with(|| a.key.cmp(&b.key))
    });
    // In this order the last of a kind is the newest.
    let mut newest: HashMap<&str, &One> = HashMap::new();
    for one in &all {
        if let Some(kind) = &one.turn.newest_of {
            newest.insert(kind, one);
        }
    }
    let mut goes: HashMap<&str, &str> = HashMap::new();
    for (kind, one) in newest {
        let before = store.ledger_get(WENT, &went(&day, kind.as_bytes())).await?;
        let before =
            before.and_then(|entry| Some(i64::from_be_bytes(entry.value.try_into().ok()?)));
        if before.is_none_or(|before| before < one.turn.at) {
            goes.insert(kind, &one.key);
        }
    }
    let goes = |one: &One| match &one.turn.newest_of {
        Some(kind) => goes.get(kind.as_str()) == Some(&one.key.as_str()),
        None => true,
    };
    let mut rest = all.as_slice();
    loop {
        let (now, later) = rest.split_at(rest.len().min(AT_ONCE));
        rest = later;
        let (mut change, counts) = decided(state, &whose, day, now, &goes).await?;
        if rest.is_empty() {
            change.ledger.push(LedgerWrite {
                ledger: DUE,
                key: due.key.clone(),
                value: None,
                expect: Expect::Version(due.version),
            });
        }
        store.commit(change).await?;
        counts.count(state);
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// What is written for some of a day's, and counted.
async fn decided(
    state: &State,
    whose: &Whose,
    day: Day,
    some: &[One],
    goes: &impl Fn(&One) -> bool,
) -> Result<(Change, Counts), StoreError> {
    let store = &state.desk.store;
    let partition = format!("{}|{}", whose.system, whose.value);
    let receivers = || vec![whose.receiver.clone()];
    let outgoing = |topic, key, body| OutboxEntry {
        topic,
        receivers: receivers(),
        partition: partition.clone(),
        key,
        body,
    };
    let (mut change, mut counts) = (Change::default(), Counts::default());
    let mut lines = Vec::new();
    for one in some {
        let (key, first) = (one.key.as_bytes(), Expect::Version(1));
        counts.released.push(whose.receiver.clone());
        if !goes(one) {
            change.ledger.extend(held::released(key, &day, None, first));
            let left_out = amount::left_out(&one.key, &receivers());
            change.ledger.extend(left_out.map_err(|_| StoreError::Bug)?);
            counts.left_out.push(whose.receiver.clone());
            continue;
        }
        if let Some(kind) = &one.turn.newest_of {
            let at = one.turn.at.to_be_bytes().to_vec();
            change.ledger.push(remembered(&day, kind.as_bytes(), at));
        }
        let body = store.ledger_get(held::BODIES, key).await?;
        let body = body.ok_or(StoreError::LedgerMismatch {
            ledger: held::BODIES,
            current: None,
        })?;
        if one.turn.note {
            let json = Json::parse(body.value, Limits::RESOURCE);
            let json = json.map_err(|_| StoreError::Damaged("a reading that waits"))?;
            lines.push((one, json));
        } else {
            change.ledger.extend(held::released(key, &day, None, first));
            let entry = outgoing(intake::TOPIC, one.key.clone(), body.value.into());
            change.outbox.push(entry);
        }
    }
    if !lines.is_empty() {
        let name = (state.house.ids)().to_string();
        let before = store.ledger_get(WENT, &went(&day, NOTE)).await?;
        let before = before.map(|entry| String::from_utf8_lossy(&entry.value).into_owned());
        let readings = lines
            .iter()
            .map(|(one, json)| (Instant(one.turn.at), json.root()));
        let document = note::document(state, whose, &name, before.as_deref(), readings);
        let document = serde_json::to_vec(&document).map_err(|_| StoreError::Bug)?;
        let entry = outgoing(document::TOPIC, name.clone(), document.into());
        change.outbox.push(entry);
        for (one, _) in &lines {
            let becomes = held::noted(&name)?;
            let key = one.key.as_bytes();
            let released = held::released(key, &day, becomes, Expect::Version(1));
            change.ledger.extend(released);
        }
        if before.is_none() {
            change
                .ledger
                .push(remembered(&day, NOTE, name.into_bytes()));
        }
    }
    Ok((change, counts))
}

fn went(day: &Day, what: &[u8]) -> Vec<u8> {
    [day, what].concat()
}

fn remembered(day: &Day, what: &[u8], value: Vec<u8>) -> LedgerWrite {
    LedgerWrite {
        ledger: WENT,
        key: went(day, what),
        value: Some(value),
        expect: Expect::Any,
    }
}

/// Forgets which entries went in which note with the deliveries of both, and what went of a day that nothing went of since
/// `oldest`; counts anew what waits.
///
/// # Errors
/// Of the store.
pub async fn forget(state: &State, oldest: Instant) -> Result<(), StoreError> {
    let store = &state.desk.store;
    let gone = |ledger, entry: LedgerEntry| Change {
        ledger: vec![LedgerWrite {
            ledger,
            key: entry.key,
            value: None,
            expect: Expect::Version(entry.version),
        }],
        ..Change::default()
    };
    let mut over = Vec::new();
    let mut pages = store.ledger_pages(HELD, b"", PAGE);
    while let Some(page) = pages.next().await? {
        for entry in page {
            let held::Kept::Noted { note } = held::read(&entry.value)? else {
                continue;
            };
            let key = String::from_utf8_lossy(&entry.key).into_owned();
            if store.outbox_by_key(&note).await?.is_empty()
                && store.outbox_by_key(&key).await?.is_empty()
            {
                over.push(gone(HELD, entry));
            }
        }
    }
    let mut pages = store.ledger_pages(WENT, b"", PAGE);
    while let Some(page) = pages.next().await? {
        let old = page.into_iter().filter(|entry| entry.updated < oldest);
        over.extend(old.map(|entry| gone(WENT, entry)));
    }
    for done in store.commit_all(over).await {
        match done {
            // Something went of it meanwhile.
            Ok(_) | Err(StoreError::LedgerMismatch { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    state.held.set(held::counted(store).await?);
    Ok(())
}
