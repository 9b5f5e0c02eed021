//! One holder's leaves: what it compares its pointers with, and how they are repaired.
//!
//! A leaf is written in its pointer's own commit. That a leaf still has its pointer is checked as it is read: for small
//! holders at each comparison, for large ones a sixteenth at a time, another one each hour. One without is left out, so
//! that the holder finds it missing and tells it again.

use std::collections::HashSet;

use fhir::time::Instant;
use store::{LedgerEntry, StoreError};
use wire::contract::locator::Repair;
use wire::drift::{Leaf, Prefix};

use crate::State;
use crate::pointer::{self, LEAVES, POINTERS, Pointer, Seat};
use crate::register::Place;

/// Leaves read from the ledger at once.
const PAGE: usize = 5_000;
/// Up to so many leaves all are checked against their pointers.
const CHECKED: usize = 20_000;

/// The leaves of one branch, sorted.
///
/// # Errors
/// What the store said.
pub async fn of(
    state: &State,
    seat: &Seat,
    version: u32,
    prefix: &Prefix,
    now: Instant,
) -> Result<Vec<Leaf>, StoreError> {
    let mut range = pointer::leaves_of(&seat.service, version);
    range.extend(prefix.bytes());
    let mut rows: Vec<LedgerEntry> = Vec::new();
    let mut pages = state.store().ledger_pages(LEAVES, &range, PAGE);
    while let Some(page) = pages.next().await? {
        rows.extend(page);
    }
    let hour = now.seconds().div_euclid(3_600).rem_euclid(16);
    let all = rows.len() <= CHECKED;
    let mut leaves = Vec::with_capacity(rows.len());
    for row in &rows {
        let (leaf, person) = pointer::leaf(&row.key, &row.value)?;
        if !prefix.covers(&leaf) {
            continue;
        }
        if all || i64::from(leaf.tag[0] >> 4) == hour {
            let key = pointer::key(&person, &seat.service, leaf.kind);
            let held = state.store().ledger_get(POINTERS, &key).await?;
            let held = held
                .map(|held| Pointer::from_bytes(&held.value))
                .transpose()?;
            if held.is_none_or(|held| held.state != leaf.state || held.sequence != leaf.sequence) {
                continue;
            }
        }
        leaves.push(leaf);
    }
    leaves.sort();
    Ok(leaves)
}

/// What a repair changes, and how many pointers. To be committed while the holder's turn is held.
///
/// # Errors
/// What the store said.
pub async fn repair(
    state: &State,
    seat: &Seat,
    repair: &Repair,
    now: Instant,
) -> Result<(Vec<store::LedgerWrite>, u64), StoreError> {
    let keys = state.reception.keys().pointers();
    let newest = keys.first().ok_or(StoreError::Bug)?;
    let (mut ledger, mut changed) = (Vec::new(), 0);
    let mut gone = HashSet::new();
    // First what goes, then what takes its place.
    for stray in &repair.strays {
        let key = pointer::leaf_key(&seat.service, newest.version, &stray.tag, stray.kind);
        let Some(row) = state.store().ledger_get(LEAVES, &key).await? else {
            continue;
        };
        let (leaf, person) = pointer::leaf(&row.key, &row.value)?;
        // What has turned since it was compared is no stray any more.
        if leaf != *stray {
            continue;
        }
        let own = pointer::key(&person, &seat.service, leaf.kind);
        gone.insert(own.clone());
        for (ledger_name, key) in [(LEAVES, key), (POINTERS, own)] {
            ledger.push(store::LedgerWrite {
                ledger: ledger_name,
                key,
                value: None,
                expect: store::Expect::Any,
            });
        }
        changed += 1;
    }
    for entry in &repair.entries {
        let place = Place::of(newest, seat, &entry.patient, entry.kind);
        let pointer = Pointer::announced(entry, now);
        let held = place.held(state).await?;
        let held = held.filter(|_| !gone.contains(&place.pointer_key()));
        // What has turned since it was compared (somebody was erased meanwhile) is newer than the repair. Where the locator was
        // ahead of the holder, what it had is a stray, and goes first.
        let stands = held.is_some_and(|(held, leaf)| leaf && held.sequence >= pointer.sequence);
        if !stands {
            ledger.extend(place.writes(Some(&pointer))?);
            changed += 1;
        }
    }
    Ok((ledger, changed))
}
