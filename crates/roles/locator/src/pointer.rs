//! What rests in the locator's ledgers: pointers, what holders compare them by, and when each holder was last heard.
//!
//! Pointer: key = pseudonym (32 bytes) | service id | number of the information service (1 byte); value = format (1) |
//! present (1) | sequence (8) | when (8), and, where the patient has closed something of it, what (JSON; format 2). An absent pointer stays, so that an older "present" that comes late is known as
//! older.
//!
//! Leaf: key = service id | 0 | version of the pointer key (4) | tag (16) | number of the information service (1); value =
//! pseudonym (32) | present (1) | sequence (8). One holder's leaves are one range in the order of their tags.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fhir::ids::OrganisationNumber;
use fhir::resource::InformationService;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};
use wire::contract::locator::{Announcement, Closing, Presence, Registration};
use wire::drift::Leaf;

use crate::Holder;
use crate::key::{Pseudonym, TAG, Tag};

/// Ledger of pointers.
pub const POINTERS: &str = "pointer";
/// Ledger of leaves.
pub const LEAVES: &str = "leaf";
/// Ledger of holders.
pub const HOLDERS: &str = "holder";
/// One that nothing is closed of.
const OPEN: u8 = 1;
/// One that something is closed of.
const CLOSED: u8 = 2;

/// State of one kind of data about one person at one holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// Whether there is data.
    pub state: Presence,
    /// The holder's number of this turn.
    pub sequence: u64,
    /// When the locator took it in.
    pub when: Instant,
    /// What the patient has closed of it.
    pub closed: Vec<Closing>,
}

impl Pointer {
    /// What was announced, taken in at `when`.
    pub fn announced(entry: &Announcement, when: Instant) -> Self {
        Self {
            state: entry.state,
            sequence: entry.sequence,
            when,
            closed: entry.closed.clone(),
        }
    }

    /// As it rests.
    ///
    /// # Errors
    /// [`StoreError::Bug`] without a JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let format = if self.closed.is_empty() { OPEN } else { CLOSED };
        let mut bytes = vec![format, u8::from(self.state == Presence::Present)];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.when.0.to_be_bytes());
        if format == CLOSED {
            bytes.extend(serde_json::to_vec(&self.closed).map_err(|_| StoreError::Bug)?);
        }
        Ok(bytes)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = StoreError::Damaged("a pointer has an unexpected form");
        let [format @ (OPEN | CLOSED), present @ (0 | 1), rest @ ..] = bytes else {
            return Err(damaged);
        };
        let read = || {
            let (sequence, rest) = rest.split_first_chunk()?;
            let (when, rest) = rest.split_first_chunk()?;
            let closed: Vec<Closing> = match *format {
                OPEN if rest.is_empty() => Vec::new(),
                OPEN => return None,
                _ => serde_json::from_slice(rest).ok()?,
            };
            Some((*sequence, *when, closed))
        };
        let Some((sequence, when, closed)) = read() else {
            return Err(damaged);
        };
        Ok(Self {
            state: if *present == 1 {
                Presence::Present
            } else {
                Presence::Absent
            },
            sequence: u64::from_be_bytes(sequence),
            when: Instant(i64::from_be_bytes(when)),
            closed,
        })
    }
}

/// Key of a pointer; the pseudonym alone is the prefix of all of a person's.
pub fn key(person: &Pseudonym, service: &str, kind: InformationService) -> Vec<u8> {
    let mut key = person.to_vec();
    key.extend_from_slice(service.as_bytes());
    key.push(kind.number());
    key
}

/// Service id and kind of a pointer's key.
///
/// # Errors
/// [`StoreError::Damaged`] for a key that this file did not make.
pub fn parts(key: &[u8]) -> Result<(&str, InformationService), StoreError> {
    let read = || {
        let (kind, rest) = key.get(size_of::<Pseudonym>()..)?.split_last()?;
        let kind = InformationService::ALL
            .into_iter()
            .find(|one| one.number() == *kind)?;
        Some((std::str::from_utf8(rest).ok()?, kind))
    };
    read().ok_or(StoreError::Damaged(
        "a pointer's key has an unexpected form",
    ))
}

/// Key of a leaf.
pub fn leaf_key(service: &str, version: u32, tag: &Tag, kind: InformationService) -> Vec<u8> {
    let mut key = leaves_of(service, version);
    key.extend_from_slice(tag);
    key.push(kind.number());
    key
}

/// What the keys of one holder's leaves under one version begin with.
pub fn leaves_of(service: &str, version: u32) -> Vec<u8> {
    let mut key = service.as_bytes().to_vec();
    key.push(0);
    key.extend(version.to_be_bytes());
    key
}

/// Value of a leaf.
pub fn leaf_value(person: &Pseudonym, pointer: &Pointer) -> Vec<u8> {
    let mut value = person.to_vec();
    value.push(u8::from(pointer.state == Presence::Present));
    value.extend(pointer.sequence.to_be_bytes());
    value
}

/// A leaf from the end of its key and its value, with the pseudonym it stands for.
///
/// # Errors
/// [`StoreError::Damaged`] for one that this file did not make.
pub fn leaf(key: &[u8], value: &[u8]) -> Result<(Leaf, Pseudonym), StoreError> {
    let read = || {
        let (kind, rest) = key.split_last()?;
        let tag = rest.last_chunk::<TAG>()?;
        let kind = InformationService::ALL
            .into_iter()
            .find(|one| one.number() == *kind)?;
        let (person, rest) = value.split_first_chunk::<32>()?;
        let (present, sequence) = rest.split_first()?;
        let state = match present {
            0 => Presence::Absent,
            1 => Presence::Present,
            _ => return None,
        };
        let sequence = u64::from_be_bytes(sequence.try_into().ok()?);
        let leaf = Leaf {
            tag: *tag,
            kind,
            state,
            sequence,
        };
        Some((leaf, *person))
    };
    read().ok_or(StoreError::Damaged("a leaf has an unexpected form"))
}

/// How far the locator has heard a holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Last registration or heartbeat.
    pub last: Instant,
    /// The highest number that the holder has given out.
    pub high_water: u64,
    /// Up to which number everything has arrived. A locator that lost its memory begins at 0, and is told again.
    #[serde(default)]
    pub complete: u64,
    /// Up to when the pointers are known to be what the holder announced.
    pub as_of: Instant,
    /// While pointers move to a new key: up to which number they have been told again. Absent when all have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<u64>,
}

impl Heard {
    /// After a registration at `now`. While something the holder announced has not arrived, `as_of` stands where it was;
    /// time never runs back.
    pub fn after(held: Option<Self>, now: Instant, registration: &Registration) -> Self {
        let old = held.unwrap_or_default();
        let last = now.max(old.last);
        let complete = reached(old.complete, registration);
        let high_water = registration.high_water.max(old.high_water).max(complete);
        let as_of = match held {
            Some(old) if complete < high_water => old.as_of,
            _ => last,
        };
        let renewed = old.renewed.map(|renewed| reached(renewed, registration));
        Self {
            last,
            high_water,
            complete,
            as_of,
            renewed: renewed.filter(|renewed| *renewed < complete),
        }
    }

    /// Up to which number the holder need not tell anything again.
    pub fn told(&self) -> u64 {
        self.renewed
            .map_or(self.complete, |renewed| renewed.min(self.complete))
    }
}

/// Up to which number everything has arrived: turns one after the other without a gap, or a whole stretch told again.
fn reached(complete: u64, registration: &Registration) -> u64 {
    match registration.catch_up {
        Some(told) if told.after <= complete => complete.max(told.through),
        Some(_) => complete,
        None => {
            let mut numbers: Vec<u64> = registration.entries.iter().map(|e| e.sequence).collect();
            numbers.sort_unstable();
            numbers.into_iter().fold(complete, |complete, number| {
                if number == complete.saturating_add(1) {
                    number
                } else {
                    complete
                }
            })
        }
    }
}

/// The holders of the agreement, in the configuration's order, with what was last heard of each.
pub struct Roll {
    seats: Vec<Seat>,
    by_service: HashMap<String, usize>,
}

/// One holder.
pub struct Seat {
    /// Service id.
    pub service: String,
    /// The responsible organisation.
    pub orgnr: OrganisationNumber,
    /// Who hears that somebody is known there; `None`: every member.
    pub known_to: Option<Vec<OrganisationNumber>>,
    /// Held while a registration of this holder is taken in: its registrations come one after the other.
    pub turn: tokio::sync::Mutex<()>,
    heard: Mutex<Option<Heard>>,
}

impl Seat {
    /// How far it has been heard.
    pub fn heard(&self) -> Option<Heard> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was just made durable.
    pub fn note(&self, heard: Heard) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
    }
}

impl Roll {
    /// The holders with what the store remembers of them.
    pub async fn open(holders: &[Holder], store: &Store) -> Result<Self, crate::OpenError> {
        let mut seats = Vec::with_capacity(holders.len());
        let mut by_service = HashMap::new();
        for holder in holders {
            let twice = by_service.insert(holder.service.clone(), seats.len());
            if twice.is_some() {
                return Err(crate::OpenError::Twice(holder.service.clone()));
            }
            let entry = store.ledger_get(HOLDERS, holder.service.as_bytes()).await?;
            let heard = entry
                .map(|entry| serde_json::from_slice(&entry.value))
                .transpose()
                .map_err(|_| StoreError::Damaged("a holder's entry has an unexpected form"))?;
            seats.push(Seat {
                service: holder.service.clone(),
                orgnr: holder.orgnr,
                known_to: holder.known_to.clone(),
                turn: tokio::sync::Mutex::default(),
                heard: Mutex::new(heard),
            });
        }
        Ok(Self { seats, by_service })
    }

    /// The holder with this service id.
    pub fn seat(&self, service: &str) -> Option<&Seat> {
        self.seats.get(*self.by_service.get(service)?)
    }

    /// All of them.
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use fhir::ids::{PersonIdentifier, PersonNumbers};
    use wire::contract::locator::CatchUp;

    #[test]
    fn what_is_written_reads_back_and_nothing_else_does() {
        let closing = Closing {
            to: None,
            until: Some(Instant(1_000_000)),
        };
        for (state, sequence, closed) in [
            (Presence::Present, 0, vec![]),
            (Presence::Absent, u64::MAX, vec![]),
            (Presence::Present, 7, vec![closing]),
        ] {
            let pointer = Pointer {
                state,
                sequence,
                when: Instant(-5),
                closed,
            };
            let bytes = pointer.to_bytes().unwrap();
            assert_eq!(Pointer::from_bytes(&bytes).unwrap(), pointer);
            assert!(Pointer::from_bytes(&bytes[1..]).is_err());
            assert!(Pointer::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        }
        let pointer = Pointer {
            state: Presence::Present,
            sequence: 7,
            when: Instant(1),
            closed: Vec::new(),
        };
        let one = leaf_key("fjellvik", 2, &[3; TAG], InformationService::PLANS);
        assert!(
            one.starts_with(&leaves_of("fjellvik", 2)) && !one.starts_with(&leaves_of("fjell", 2))
        );
        let (read, person) = leaf(&one, &leaf_value(&[9; 32], &pointer)).unwrap();
        assert_eq!((read.tag, read.sequence, person), ([3; TAG], 7, [9; 32]));
        assert!(leaf(&one, &[0; 40]).is_err() && leaf(&[1, 2], &[0; 41]).is_err());
        let kind = InformationService::MEASUREMENTS;
        let key = key(&[7; 32], "fjellvik", kind);
        assert_eq!(parts(&key).unwrap(), ("fjellvik", kind));
        assert!(parts(&[7; 32]).is_err());
        assert!(parts(&[&[7; 32][..], b"fjellvik", &[99]].concat()).is_err());
    }

    fn said(high_water: u64, sequences: &[u64]) -> Registration {
        let entries = sequences.iter().map(|sequence| Announcement {
            patient: PersonIdentifier::guess("14835210260", PersonNumbers::Strict).unwrap(),
            kind: InformationService::MEASUREMENTS,
            state: Presence::Present,
            sequence: *sequence,
            closed: Vec::new(),
        });
        Registration {
            holder: "fjellvik".to_owned(),
            entries: entries.collect(),
            high_water,
            catch_up: None,
        }
    }

    fn again(after: u64, through: u64) -> Registration {
        Registration {
            catch_up: Some(CatchUp { after, through }),
            ..said(through, &[through])
        }
    }

    #[test]
    fn as_of_stands_still_while_something_is_missing() {
        let at = Instant;
        let first = Heard::after(None, at(10), &said(5, &[2, 1, 3, 5, 4]));
        assert_eq!(
            (first.as_of, first.high_water, first.complete),
            (at(10), 5, 5)
        );
        // The holder has given out 7; only 6 has arrived.
        let missing = Heard::after(Some(first), at(20), &said(7, &[6]));
        assert_eq!((missing.as_of, missing.last), (at(10), at(20)));
        assert_eq!(
            Heard::after(Some(missing), at(30), &said(7, &[])).as_of,
            at(10)
        );
        assert_eq!(
            Heard::after(Some(missing), at(30), &said(7, &[7])).as_of,
            at(30)
        );
        // A restored, older holder does not make the locator forget; nor does a clock that jumps back.
        let older = Heard::after(Some(first), at(5), &said(2, &[2]));
        assert_eq!(
            (older.high_water, older.complete, older.as_of),
            (5, 5, at(10))
        );
        assert_eq!(
            Heard::after(None, at(10), &said(9, &[3])).as_of,
            at(10),
            "nothing earlier is known"
        );
    }

    #[test]
    fn a_gap_stays_a_gap_until_it_is_told_again_from_before_it() {
        // The memory is lost; the newest turn comes first.
        let lost = Heard::after(None, Instant(10), &said(9, &[9]));
        assert_eq!((lost.complete, lost.high_water), (0, 9));
        let heard = Some(lost);
        assert_eq!(
            Heard::after(heard, Instant(20), &again(4, 9)).complete,
            0,
            "a hole before it"
        );
        let part = Heard::after(heard, Instant(20), &again(0, 6));
        assert_eq!((part.complete, part.as_of), (6, Instant(10)));
        let whole = Heard::after(Some(part), Instant(30), &again(6, 9));
        assert_eq!((whole.complete, whole.as_of), (9, Instant(30)));
        assert_eq!(
            Heard::after(Some(whole), Instant(40), &again(0, 3)).complete,
            9
        );
        // While pointers move to a new key, the holder is asked for everything again; what comes meanwhile does not end that.
        let moving = Heard {
            renewed: Some(0),
            ..whole
        };
        assert_eq!((moving.told(), moving.complete), (0, 9));
        let meanwhile = Heard::after(Some(moving), Instant(50), &said(10, &[10]));
        assert_eq!((meanwhile.told(), meanwhile.as_of), (0, Instant(50)));
        let half = Heard::after(Some(meanwhile), Instant(60), &again(0, 6));
        assert_eq!((half.told(), half.complete), (6, 10));
        let moved = Heard::after(Some(half), Instant(70), &again(6, 10));
        assert_eq!((moved.told(), moved.renewed), (10, None));
        // A number that is as high as can be ends nothing.
        assert_eq!(reached(u64::MAX, &said(u64::MAX, &[0, u64::MAX])), u64::MAX);
    }
}
