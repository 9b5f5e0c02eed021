//! Which device measures whom, for which organisation, from when to when (CONTRACT section 5, "Owner of a reading", rule 1). The
//! organisation's record system states it (`api/assignments.rs`); a reading is judged by the time at which it was made, so that a
//! backlog across a change comes out right whenever it arrives.
//!
//! Ledger `assignment`: under a keyed hash of the device its spans, which never overlap. The patient is a keyed hash: the hub
//! compares, and knows nobody again. A span is forgotten when no reading can come that was made in it (`bounds`).

use crate::State;
use crate::intake::{Refused, partition};
use crate::tally::locked;
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::outcome::{Issue, IssueCode};
use fhir::time::{Instant, Range};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use store::{Change, Expect, LedgerEntry, LedgerWrite, Store, StoreError};
use wire::contract::hub::{Assigned, Named};
use wire::outcome::Problem;

const LEDGER: &str = "assignment";
/// Spans of one device at most, of each organisation.
const SPANS: usize = 500;
/// Devices looked at in one step of counting or forgetting.
const PAGE: usize = 1_000;

/// Keyed hash of a device, or of a patient.
pub type Mac = [u8; 16];

/// What the ledger holds of one device.
#[derive(Serialize, Deserialize)]
struct Kept {
    device: Named,
    spans: Vec<Span>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Span {
    orgnr: OrganisationNumber,
    patient: Mac,
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

impl Kept {
    fn of(entry: &LedgerEntry) -> Result<Kept, StoreError> {
        let kept = serde_json::from_slice(&entry.value);
        kept.map_err(|_| StoreError::Damaged("the assignments of a device"))
    }

    fn organisations(&self) -> BTreeSet<OrganisationNumber> {
        self.spans.iter().map(|span| span.orgnr).collect()
    }

    fn is_of(&self, orgnr: OrganisationNumber) -> bool {
        self.spans.iter().any(|span| span.orgnr == orgnr)
    }
}

/// Which devices are known here and whose: for each organisation's share, and its list. Where there is none, no reading costs a look.
#[derive(Default)]
pub struct Known {
    /// Whether there is any; from then on until the hub is opened anew.
    any: AtomicBool,
    of: Mutex<HashMap<OrganisationNumber, BTreeSet<Mac>>>,
    /// How often each organisation's claim held another's reading aside, since the hub was opened.
    against: Mutex<BTreeMap<OrganisationNumber, u64>>,
}

impl Known {
    /// Counts in a store that is being opened.
    pub async fn counted(store: &Store) -> Result<Known, StoreError> {
        let known = Known::default();
        let mut pages = store.ledger_pages(LEDGER, b"", PAGE);
        while let Some(page) = pages.next().await? {
            for entry in &page {
                for orgnr in Kept::of(entry)?.organisations() {
                    known.add(orgnr, device_of(entry)?);
                }
            }
        }
        Ok(known)
    }

    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn add(&self, orgnr: OrganisationNumber, device: Mac) -> bool {
        self.any.store(true, Ordering::Release);
        locked(&self.of).entry(orgnr).or_default().insert(device)
    }

    /// One more of an organisation's, unless it has so many; whether it is its first assignment of this device.
    fn take(&self, orgnr: OrganisationNumber, device: Mac, most: usize) -> Option<bool> {
        let mut of = locked(&self.of);
        let devices = of.entry(orgnr).or_default();
        if devices.len() >= most && !devices.contains(&device) {
            return None;
        }
        // Before it is durable, so that no reading is judged without it afterwards.
        self.any.store(true, Ordering::Release);
        Some(devices.insert(device))
    }

    fn remove(&self, orgnr: OrganisationNumber, device: &Mac) {
        if let Some(devices) = locked(&self.of).get_mut(&orgnr) {
            devices.remove(device);
        }
    }

    /// An organisation's devices after this one, in their order, so many at most.
    pub fn after(&self, orgnr: OrganisationNumber, after: Option<Mac>, most: usize) -> Vec<Mac> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let of = locked(&self.of);
        let devices = of.get(&orgnr).into_iter();
        let devices = devices.flat_map(|all| all.range((from, Bound::Unbounded)));
        devices.take(most).copied().collect()
    }
}

impl State {
    /// How often each organisation's assignments held another organisation's readings aside, since the hub was opened. One that grows
    /// by many patients is of a model rather than of a device: the operator names it in `models`.
    pub fn held_for_others(&self) -> Vec<(OrganisationNumber, u64)> {
        let against = locked(&self.assigned.against);
        against.iter().map(|(of, count)| (*of, *count)).collect()
    }

    /// Whether an identifier names a model, of which many have one: nobody's device.
    fn is_model(&self, device: &str) -> bool {
        self.config.models.iter().any(|model| model == device)
    }
}

/// A device counted for an organisation while its assignment is being written.
pub struct Counted {
    orgnr: OrganisationNumber,
    device: Mac,
    first: bool,
}

impl Counted {
    /// The assignment is durable.
    pub fn durable(&self, state: &State) {
        // Once more: another's failure may have taken it back.
        state.assigned.add(self.orgnr, self.device);
    }

    /// The assignment was not written: the count is taken back, unless another of the organisation's is there.
    pub async fn undone(&self, state: &State) {
        let there = read(state, &self.device).await;
        let there = there.map(|kept| kept.is_some_and(|(kept, _)| kept.is_of(self.orgnr)));
        if self.first && there.is_ok_and(|there| !there) {
            state.assigned.remove(self.orgnr, &self.device);
        }
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
        Some(device) if state.assigned.any() && !state.is_model(device) => {
            read(state, &keyed(state, device)).await
        }
        _ => Ok(None),
    };
    let kept = kept.map_err(|error| Refused::plain(error.into()))?;
    let at = when.map_or((state.house.clock)(), |when| Instant(when.lo));
    let running = kept.and_then(|(kept, _)| kept.spans.into_iter().find(|span| span.covers(at)));
    match running {
        Some(span) if span.orgnr == owner && span.patient == whose(state, patient) => Ok(()),
        Some(span) => {
            if span.orgnr != owner {
                *locked(&state.assigned.against)
                    .entry(span.orgnr)
                    .or_default() += 1;
                tracing::warn!(claimed_by = %span.orgnr, of = %owner, "a reading is held aside by another organisation's assignment of its device; if the device's identifier names a model, name it in `models`");
            }
            aside(
                "assigned-otherwise",
                "the device is not assigned to this patient by this organisation at the time of the measurement",
            )
        }
        None if state.config.require_assignment => aside(
            "unassigned",
            "no assignment binds the device at the time of the measurement, and this deployment requires one",
        ),
        None => Ok(()),
    }
}

/// The ledger's key of a device.
pub fn key(state: &State, device: &Named) -> Mac {
    keyed(state, &named(device))
}

/// As readings name it.
fn named(device: &Named) -> String {
    format!("{}|{}", device.system, device.value)
}

fn keyed(state: &State, device: &str) -> Mac {
    state.desk.store.keyed("assigned device", device.as_bytes())
}

fn device_of(entry: &LedgerEntry) -> Result<Mac, StoreError> {
    let key = entry.key.as_slice().try_into();
    key.map_err(|_| StoreError::Damaged("the key of a device's assignments"))
}

/// As whom a patient is kept.
pub fn whose(state: &State, patient: &PersonIdentifier) -> Mac {
    let text = partition(patient);
    state.desk.store.keyed("assigned patient", text.as_bytes())
}

async fn read(state: &State, device: &Mac) -> Result<Option<(Kept, u64)>, StoreError> {
    let entry = state.desk.store.ledger_get(LEDGER, device).await?;
    let read = |entry: LedgerEntry| Ok((Kept::of(&entry)?, entry.version));
    entry.map(read).transpose()
}

fn write(device: Mac, kept: &Kept, version: Option<u64>) -> Result<LedgerWrite, Problem> {
    let value = serde_json::to_vec(kept);
    Ok(LedgerWrite {
        ledger: LEDGER,
        key: device.to_vec(),
        value: Some(value.map_err(|_| Problem::bug("an assignment cannot be written"))?),
        expect: version.map_or(Expect::Absent, Expect::Version),
    })
}

/// What makes a new assignment of `orgnr`'s durable, and its count, to be told how that went.
///
/// # Errors
/// 409 where the device is assigned at any of that time, by whomever; 422 where its identifier names a model, or where the organisation
/// has its number of devices, or of assignments of this one.
pub async fn assign(
    state: &State,
    orgnr: OrganisationNumber,
    device: Named,
    patient: &PersonIdentifier,
    (from, until): (Instant, Option<Instant>),
) -> Result<(LedgerWrite, Counted), Problem> {
    let refused = |code, words: &str| {
        let issue = Issue::error(code, "device", words);
        Err(Problem::unprocessable(vec![issue]))
    };
    if state.is_model(&named(&device)) {
        let words =
            "this identifier names a model, by this hub's operator: give the device one of its own";
        return refused(IssueCode::BusinessRule, words);
    }
    let key = key(state, &device);
    let (mut kept, version) = match read(state, &key).await? {
        Some((kept, version)) => (kept, Some(version)),
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
    let own = kept.spans.iter().filter(|other| other.orgnr == orgnr);
    if own.count() >= SPANS {
        let words = format!("a device has at most {SPANS} assignments");
        return refused(IssueCode::TooLong, &words);
    }
    kept.spans.push(span);
    kept.spans.sort_by_key(|span| span.from);
    let write = write(key, &kept, version)?;
    let most = state.config.bounds.assigned_devices;
    let Some(first) = state.assigned.take(orgnr, key, most) else {
        let words = format!("this hub keeps {most} devices of an organisation, and no more");
        return refused(IssueCode::Throttled, &words);
    };
    let device = key;
    let counted = Counted {
        orgnr,
        device,
        first,
    };
    Ok((write, counted))
}

/// An assignment that is ended.
pub struct Ended {
    /// What makes it durable.
    pub write: LedgerWrite,
    /// Whose it was.
    pub patient: Mac,
    /// Until when it ran before.
    pub former: Option<Instant>,
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
) -> Result<Ended, Problem> {
    let key = key(state, device);
    let known = read(state, &key).await?;
    let (mut kept, version) = known.ok_or_else(Problem::not_found)?;
    let own = |span: &&mut Span| span.orgnr == orgnr && span.from < until && until <= span.ends();
    let running = kept.spans.iter_mut().find(own);
    let running = running.ok_or_else(Problem::not_found)?;
    let former = running.until.replace(until);
    let patient = running.patient;
    Ok(Ended {
        write: write(key, &kept, Some(version))?,
        patient,
        former,
    })
}

/// The assignments of an organisation, device by device after this one, about `most` of them (never half a device's), and the
/// device after which there are more.
pub async fn of(
    state: &State,
    orgnr: OrganisationNumber,
    after: Option<Mac>,
    most: usize,
) -> Result<(Vec<Assigned>, Option<Mac>), StoreError> {
    let devices = state.assigned.after(orgnr, after, most.saturating_add(1));
    let (mut all, mut last) = (Vec::new(), None);
    for device in devices {
        if all.len() >= most {
            return Ok((all, last));
        }
        last = Some(device);
        let Some((kept, _)) = read(state, &device).await? else {
            continue;
        };
        let own = kept.spans.iter().filter(|span| span.orgnr == orgnr);
        all.extend(own.map(|span| Assigned {
            device: kept.device.clone(),
            from: span.from,
            until: span.until,
        }));
    }
    // Where some were forgotten meanwhile, the page is short but not the last.
    let more = last.filter(|last| !state.assigned.after(orgnr, Some(*last), 1).is_empty());
    Ok((all, more))
}

/// Forgets the assignments that ended before `oldest`, and the devices that have no other; looks at everything once.
pub async fn forget(state: &State, oldest: Instant) -> Result<(), StoreError> {
    let store = &state.desk.store;
    let mut pages = store.ledger_pages(LEDGER, b"", PAGE);
    while let Some(page) = pages.next().await? {
        for entry in page {
            let (device, mut kept) = (device_of(&entry)?, Kept::of(&entry)?);
            let (had, before) = (kept.spans.len(), kept.organisations());
            kept.spans.retain(|span| span.ends() >= oldest);
            if kept.spans.len() == had {
                continue;
            }
            let value = (!kept.spans.is_empty()).then(|| serde_json::to_vec(&kept));
            let write = LedgerWrite {
                ledger: LEDGER,
                key: entry.key,
                value: value.transpose().map_err(|_| StoreError::Bug)?,
                expect: Expect::Version(entry.version),
            };
            // Before it is durable, so that whoever assigns it anew afterwards counts it last.
            let gone = before.into_iter().filter(|orgnr| !kept.is_of(*orgnr));
            let gone: Vec<_> = gone.collect();
            for orgnr in &gone {
                state.assigned.remove(*orgnr, &device);
            }
            let change = Change {
                ledger: vec![write],
                ..Change::default()
            };
            if let Err(error) = store.commit(change).await {
                for orgnr in gone {
                    state.assigned.add(orgnr, device);
                }
                // Assigned or ended meanwhile: looked at again in the next round.
                if !matches!(error, StoreError::LedgerMismatch { .. }) {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}
