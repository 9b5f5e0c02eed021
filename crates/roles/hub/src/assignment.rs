//! Which device measures whom, for which organisation, from when to when (CONTRACT section 5, "Owner of a reading", rule 1). The
//! organisation's record system states it (`api/assignments.rs`); a reading is judged by the time at which it was made, so that a
//! backlog across a change comes out right whenever it arrives.
//!
//! Ledger `assignment`: under a keyed hash of the device its spans, which never overlap. The patient is a keyed hash: the hub
//! compares, and knows nobody again.

use crate::State;
use crate::intake::{Refused, partition};
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::outcome::{Issue, IssueCode};
use fhir::time::{Instant, Range};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use store::{Expect, LedgerWrite, Store, StoreError};
use wire::contract::hub::{Assigned, Named};
use wire::outcome::Problem;

const LEDGER: &str = "assignment";
/// Spans of one device at most.
const SPANS: usize = 500;
/// Devices known at most.
const DEVICES: usize = 1_000_000;
/// Devices looked at in one step of a list.
const PAGE: usize = 1_000;
/// Assignments shown in one answer.
const SHOWN: usize = 10_000;

/// What the ledger holds of one device.
#[derive(Serialize, Deserialize)]
struct Kept {
    device: Named,
    spans: Vec<Span>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Span {
    orgnr: OrganisationNumber,
    patient: [u8; 16],
    from: Instant,
    until: Option<Instant>,
}

impl Span {
    fn ends(&self) -> Instant {
        self.until.unwrap_or(Instant(i64::MAX))
    }

    fn covers(&self, at: Instant) -> bool {
        self.from <= at && at < self.ends()
    }
}

/// How many devices are known here: where there is none, no reading costs a look.
#[derive(Default)]
pub struct Known(AtomicUsize);

impl Known {
    /// Counts in a store that is being opened.
    pub async fn counted(store: &Store) -> Result<Known, StoreError> {
        let mut devices = 0;
        let mut pages = store.ledger_pages(LEDGER, b"", PAGE);
        while let Some(page) = pages.next().await? {
            devices += page.len();
        }
        Ok(Known(AtomicUsize::new(devices)))
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// One more is, or will be at once.
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= DEVICES
    }
}

/// Holds what this device measured at `when` against its assignment, for `owner`. `place` is where the device stands.
///
/// # Errors
/// Kept aside: the device is assigned otherwise then, or not at all although the deployment requires it. A device that another
/// organisation lends is told by the same words as one that `owner` lends to somebody else, whoever the patient is: nobody
/// finds out by a serial number who is followed up where.
pub async fn bind(
    state: &State,
    owner: OrganisationNumber,
    device: Option<&str>,
    when: Option<Range>,
    patient: &PersonIdentifier,
    place: &str,
) -> Result<(), Refused> {
    let aside = |reason, words: &str| {
        let issue = Issue::error(IssueCode::BusinessRule, place, words);
        Err(Refused::quarantined(reason, issue))
    };
    let kept = match device {
        Some(device) if state.assigned.any() => read(state, device).await,
        _ => Ok(None),
    };
    let kept = kept.map_err(|error| Refused::plain(error.into()))?;
    let at = when.map_or((state.house.clock)(), |when| Instant(when.lo));
    let running = kept.and_then(|(kept, _)| kept.spans.into_iter().find(|span| span.covers(at)));
    match running {
        Some(span) if span.orgnr == owner && span.patient == whose(state, patient) => Ok(()),
        Some(_) => aside(
            "assigned-otherwise",
            "the device is not assigned to this patient by this organisation at the time of the measurement",
        ),
        None if state.config.require_assignment => aside(
            "unassigned",
            "no assignment binds the device at the time of the measurement, and this deployment requires one",
        ),
        None => Ok(()),
    }
}

fn name(device: &Named) -> String {
    format!("{}|{}", device.system, device.value)
}

fn key(state: &State, device: &str) -> [u8; 16] {
    state.desk.store.keyed("assigned device", device.as_bytes())
}

fn whose(state: &State, patient: &PersonIdentifier) -> [u8; 16] {
    let text = partition(patient);
    state.desk.store.keyed("assigned patient", text.as_bytes())
}

async fn read(state: &State, device: &str) -> Result<Option<(Kept, u64)>, StoreError> {
    let entry = state
        .desk
        .store
        .ledger_get(LEDGER, &key(state, device))
        .await?;
    let read = |entry: store::LedgerEntry| {
        let kept = serde_json::from_slice(&entry.value);
        let kept = kept.map_err(|_| StoreError::Damaged("the assignments of a device"))?;
        Ok((kept, entry.version))
    };
    entry.map(read).transpose()
}

fn write(state: &State, kept: &Kept, version: Option<u64>) -> Result<LedgerWrite, Problem> {
    let value = serde_json::to_vec(kept);
    Ok(LedgerWrite {
        ledger: LEDGER,
        key: key(state, &name(&kept.device)).to_vec(),
        value: Some(value.map_err(|_| Problem::bug("an assignment cannot be written"))?),
        expect: version.map_or(Expect::Absent, Expect::Version),
    })
}

/// What makes a new assignment of `orgnr`'s durable.
///
/// # Errors
/// 409 where the device is assigned at any of that time; 422 where the device has had its number of them.
pub async fn assign(
    state: &State,
    orgnr: OrganisationNumber,
    device: Named,
    patient: &PersonIdentifier,
    (from, until): (Instant, Option<Instant>),
) -> Result<LedgerWrite, Problem> {
    let known = read(state, &name(&device)).await?;
    let (mut kept, version) = match known {
        Some((kept, version)) => (kept, Some(version)),
        None if state.assigned.is_full() => {
            let words = format!("this hub knows {DEVICES} devices, and no more");
            let issue = Issue::error(IssueCode::Throttled, "device", words);
            return Err(Problem::unprocessable(vec![issue]));
        }
        None => {
            let spans = Vec::new();
            (Kept { device, spans }, None)
        }
    };
    let span = Span {
        orgnr,
        patient: whose(state, patient),
        from,
        until,
    };
    let over = |other: &Span| other.from < span.ends() && span.from < other.ends();
    if kept.spans.iter().any(over) {
        return Err(Problem::conflict("the device is lent out in that time"));
    }
    if kept.spans.len() >= SPANS {
        let words = format!("a device has at most {SPANS} assignments");
        return Err(Problem::unprocessable(vec![Issue::error(
            IssueCode::TooLong,
            "device",
            words,
        )]));
    }
    // Before it is durable, so that no reading is judged without it afterwards.
    if version.is_none() {
        state.assigned.add();
    }
    kept.spans.push(span);
    kept.spans.sort_by_key(|span| span.from);
    write(state, &kept, version)
}

/// What ends the assignment of `orgnr`'s that runs at `until` or has no end.
///
/// # Errors
/// 404 where there is none.
pub async fn end(
    state: &State,
    orgnr: OrganisationNumber,
    device: &Named,
    until: Instant,
) -> Result<LedgerWrite, Problem> {
    let known = read(state, &name(device)).await?;
    let (mut kept, version) = known.ok_or_else(Problem::not_found)?;
    let own = |span: &&mut Span| span.orgnr == orgnr && span.from < until && until <= span.ends();
    let running = kept.spans.iter_mut().find(own);
    running.ok_or_else(Problem::not_found)?.until = Some(until);
    write(state, &kept, Some(version))
}

/// The assignments of an organisation.
pub async fn of(state: &State, orgnr: OrganisationNumber) -> Result<Vec<Assigned>, StoreError> {
    let mut all = Vec::new();
    let mut pages = state.desk.store.ledger_pages(LEDGER, b"", PAGE);
    while let Some(page) = pages.next().await? {
        for entry in page {
            let kept: Kept = serde_json::from_slice(&entry.value)
                .map_err(|_| StoreError::Damaged("the assignments of a device"))?;
            let own = kept.spans.iter().filter(|span| span.orgnr == orgnr);
            all.extend(own.map(|span| Assigned {
                device: kept.device.clone(),
                from: span.from,
                until: span.until,
            }));
            if all.len() >= SHOWN {
                all.truncate(SHOWN);
                return Ok(all);
            }
        }
    }
    Ok(all)
}
