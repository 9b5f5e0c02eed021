//! Readings that wait until their calendar day is over, by rules of the receiver's organisation (`amount`): the newest of a day, or the
//! day as a note. They wait in the hub's own store from the commit in which they are acknowledged until the one that puts in the outbox
//! what becomes of them (`day.rs`), so that none is lost or sent twice, whoever is killed when.
//!
//! Four ledgers. `held`, by an entry's key: for whom it waits, or which note it went in. `held-body`: the bytes as sent. `held-day`, by a keyed
//! hash of receiver, patient and day, and then the entry's key: what decides its turn. `held-due`, by the moment, the day and that hash: when
//! the day is looked at, earlier days first. A correction takes the place of what still waits by removing it at its version: either the correction or the day gets there.

use crate::State;
use crate::amount::{Measured, Wait};
use crate::tally::Tally;
use fhir::ids::PersonIdentifier;
use fhir::time::{Instant, Zone, parse_date};
use serde::{Deserialize, Serialize};
use store::{Expect, LedgerWrite, Store, StoreError};

/// By an entry's key.
pub const HELD: &str = "held";
/// By an entry's key.
pub const BODIES: &str = "held-body";
/// By a day and an entry's key.
pub const DAYS: &str = "held-day";
/// By a moment, the date and a day.
pub const DUE: &str = "held-due";
/// Entries looked at in one step.
pub const PAGE: usize = 1_000;
/// After a day's end, and after the coming of what comes later: a home system sends its backlog in pieces. In microseconds.
const SETTLE: i64 = 3_600_000_000;
/// Moments at which days are looked at are so far apart, in microseconds: late pieces share one.
const STEP: i64 = 900_000_000;

/// A keyed hash of receiver, patient and day.
pub type Day = [u8; 16];

/// What is known of an entry that did not go as it was sent.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// It waits.
    Waits {
        /// The receiver's name.
        receiver: String,
        /// Its day.
        day: Day,
    },
    /// It went as a line of this note.
    Noted {
        /// The note's key in the outbox.
        note: String,
    },
}

/// What decides an entry's turn when its day is over.
#[derive(Clone, Serialize, Deserialize)]
pub struct Turn {
    /// When it was measured, UTC microseconds.
    pub at: i64,
    /// When it was taken in, UTC microseconds.
    pub taken: i64,
    /// The kind of measurement of which only the newest goes.
    pub newest_of: Option<String>,
    /// Whether it goes as a line of the day's note.
    pub note: bool,
}

/// What is known of a day that is looked at.
#[derive(Serialize, Deserialize)]
pub struct Whose {
    /// The receiver's name.
    pub receiver: String,
    /// The calendar day, `yyyy-mm-dd`.
    pub day: String,
    /// System of the patient's number.
    pub system: String,
    /// The patient's number.
    pub value: String,
}

fn write(ledger: &'static str, key: &[u8], value: Option<Vec<u8>>, expect: Expect) -> LedgerWrite {
    LedgerWrite {
        ledger,
        key: key.to_vec(),
        value,
        expect,
    }
}

fn json(value: &impl Serialize) -> Result<Option<Vec<u8>>, StoreError> {
    serde_json::to_vec(value)
        .map(Some)
        .map_err(|_| StoreError::Bug)
}

/// What keeps an entry until its day is over.
///
/// # Errors
/// A bug, if it cannot be written.
pub fn hold(
    state: &State,
    (key, body): (&str, &[u8]),
    receiver: &str,
    patient: &PersonIdentifier,
    (measured, wait): (&Measured, Wait),
) -> Result<Vec<LedgerWrite>, StoreError> {
    let now = (state.house.clock)();
    let day = day_of(&state.config.zone, measured.at);
    let parts = [
        receiver,
        patient.system(),
        patient.value().expose(),
        day.as_str(),
    ];
    let hash: Day = state
        .desk
        .store
        .keyed("held day", parts.join("\0").as_bytes());
    let due = due(&state.config.zone, &day, now).to_be_bytes();
    let moment = [&due[..], day.as_bytes(), &hash].concat();
    let turn = Turn {
        at: measured.at.0,
        taken: now.0,
        newest_of: measured
            .kind
            .filter(|_| wait.newest)
            .map(|kind| kind.id.clone()),
        note: wait.note,
    };
    let kept = Kept::Waits {
        receiver: receiver.to_owned(),
        day: hash,
    };
    let whose = Whose {
        receiver: receiver.to_owned(),
        day,
        system: patient.system().to_owned(),
        value: patient.value().expose().to_owned(),
    };
    let key = key.as_bytes();
    Ok(vec![
        write(HELD, key, json(&kept)?, Expect::Absent),
        write(BODIES, key, Some(body.to_vec()), Expect::Absent),
        write(
            DAYS,
            &[&hash[..], key].concat(),
            json(&turn)?,
            Expect::Absent,
        ),
        // Whoever else of the day waits for the same moment has written the same.
        write(DUE, &moment, json(&whose)?, Expect::Any),
    ])
}

/// The calendar day of a moment.
fn day_of(zone: &Zone, at: Instant) -> String {
    let (year, month, day) = zone.day_of(at);
    format!("{year:04}-{month:02}-{day:02}")
}

/// When what comes now of a day is looked at.
fn due(zone: &Zone, day: &str, now: Instant) -> i64 {
    let end = parse_date(day, zone).map_or(now.0, |range| range.hi);
    let settled = end.max(now.0).saturating_add(SETTLE);
    let over = settled.rem_euclid(STEP);
    settled.saturating_add(if over == 0 { 0 } else { STEP - over })
}

/// What is known of an entry that did not go as it was sent, with the version of that.
///
/// # Errors
/// Input/output and damage.
pub async fn of(store: &Store, key: &str) -> Result<Option<(Kept, u64)>, StoreError> {
    let entry = store.ledger_get(HELD, key.as_bytes()).await?;
    entry
        .map(|entry| Ok((read(&entry.value)?, entry.version)))
        .transpose()
}

/// Reads what one of these ledgers holds.
///
/// # Errors
/// Damage.
pub fn read<T: for<'a> Deserialize<'a>>(value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|_| StoreError::Damaged("a reading that waits"))
}

/// An entry that waits still.
pub struct Waiting {
    /// The receiver's name.
    pub receiver: String,
    day: Day,
    version: u64,
}

/// The entry of this key, if it waits.
///
/// # Errors
/// Input/output and damage.
pub async fn waiting(store: &Store, key: &str) -> Result<Option<Waiting>, StoreError> {
    Ok(match of(store, key).await? {
        Some((Kept::Waits { receiver, day }, version)) => Some(Waiting {
            receiver,
            day,
            version,
        }),
        _ => None,
    })
}

impl Waiting {
    /// What takes it out, if it waits still when that is written.
    pub fn released(&self, key: &str) -> Vec<LedgerWrite> {
        let held = Expect::Version(self.version);
        released(key.as_bytes(), &self.day, None, held)
    }
}

/// What ends an entry's waiting; it is known as `becomes` from then on.
pub fn released(
    key: &[u8],
    day: &[u8],
    becomes: Option<Vec<u8>>,
    held: Expect,
) -> Vec<LedgerWrite> {
    vec![
        write(HELD, key, becomes, held),
        write(BODIES, key, None, Expect::Any),
        write(DAYS, &[day, key].concat(), None, Expect::Any),
    ]
}

/// What `note` is known as for an entry that went in it.
///
/// # Errors
/// A bug, if it cannot be written.
pub fn noted(note: &str) -> Result<Option<Vec<u8>>, StoreError> {
    json(&Kept::Noted {
        note: note.to_owned(),
    })
}

/// Counts what waits, by receiver.
///
/// # Errors
/// Input/output and damage.
pub async fn counted(store: &Store) -> Result<Tally, StoreError> {
    let tally = Tally::default();
    let mut pages = store.ledger_pages(HELD, b"", PAGE);
    while let Some(page) = pages.next().await? {
        for entry in &page {
            if let Kept::Waits { receiver, .. } = read(&entry.value)? {
                tally.add(receiver.as_bytes(), 0);
            }
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use fhir::time::parse_instant;

    #[test]
    fn a_day_is_the_zones_and_is_looked_at_an_hour_after_it_or_after_what_came_late() {
        let zone = Zone::default();
        for (measured, came, day, looked_at) in [
            (
                "2026-11-20T23:59:59+01:00",
                "2026-11-20T23:59:59+01:00",
                "2026-11-20",
                "2026-11-21T01:00:00+01:00",
            ),
            (
                "2026-11-21T00:00:00+01:00",
                "2026-11-21T00:00:01+01:00",
                "2026-11-21",
                "2026-11-22T01:00:00+01:00",
            ),
            // Late, by whole quarters.
            (
                "2026-11-20T08:00:00+01:00",
                "2026-11-21T00:00:01+01:00",
                "2026-11-20",
                "2026-11-21T01:15:00+01:00",
            ),
            (
                "2026-11-20T08:00:00+01:00",
                "2026-11-23T09:00:00+01:00",
                "2026-11-20",
                "2026-11-23T10:00:00+01:00",
            ),
            // Days of 23 and of 25 hours.
            (
                "2026-03-29T00:30:00+01:00",
                "2026-03-29T00:31:00+01:00",
                "2026-03-29",
                "2026-03-30T01:00:00+02:00",
            ),
            (
                "2026-10-25T00:30:00+02:00",
                "2026-10-25T00:31:00+02:00",
                "2026-10-25",
                "2026-10-26T01:00:00+01:00",
            ),
            (
                "2026-10-25T22:30:00Z",
                "2026-10-25T22:31:00Z",
                "2026-10-25",
                "2026-10-26T01:00:00+01:00",
            ),
            (
                "2026-10-25T23:00:00Z",
                "2026-10-25T23:01:00Z",
                "2026-10-26",
                "2026-10-27T01:00:00+01:00",
            ),
        ] {
            let found = day_of(&zone, parse_instant(measured).unwrap());
            assert_eq!(found, day, "{measured}");
            let at = due(&zone, &found, parse_instant(came).unwrap());
            assert_eq!(
                Instant(at),
                parse_instant(looked_at).unwrap(),
                "{measured} {came}"
            );
        }
    }
}
