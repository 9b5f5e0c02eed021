//! Taking in what a holder announces (CONTRACT section 8): state, not events. Per holder and pointer the highest sequence
//! number counts; what is older is ignored, so that repeats and disorder on the way do no harm.

use std::collections::BTreeMap;

use store::{Expect, LedgerWrite, StoreError};
use wire::contract::locator::Registration;

use crate::State;
use crate::pointer::{self, HOLDERS, Heard, POINTERS, Pointer, Seat};
use fhir::time::Instant;

/// What a registration changes: pointers that are newer than what is held, and how far the holder is heard. To be committed
/// while the holder's turn is held.
///
/// # Errors
/// What the store said.
pub async fn changes(
    state: &State,
    seat: &Seat,
    registration: &Registration,
    now: Instant,
) -> Result<(Vec<LedgerWrite>, Heard), StoreError> {
    let mut newest: BTreeMap<Vec<u8>, Pointer> = BTreeMap::new();
    for entry in &registration.entries {
        let person = state.reception.key().pointer(&entry.patient);
        let announced = Pointer {
            state: entry.state,
            sequence: entry.sequence,
            when: now,
        };
        let held = newest
            .entry(pointer::key(&person, &seat.service, entry.kind))
            .or_insert(announced);
        if announced.sequence > held.sequence {
            *held = announced;
        }
    }
    let mut ledger = Vec::with_capacity(newest.len() + 1);
    for (key, announced) in newest {
        let held = state.store().ledger_get(POINTERS, &key).await?;
        let expect = match &held {
            None => Expect::Absent,
            Some(entry) if Pointer::from_bytes(&entry.value)?.sequence >= announced.sequence => {
                continue;
            }
            Some(entry) => Expect::Version(entry.version),
        };
        ledger.push(LedgerWrite {
            ledger: POINTERS,
            key,
            value: Some(announced.to_bytes()),
            expect,
        });
    }
    let heard = Heard::after(seat.heard(), now, registration);
    ledger.push(LedgerWrite {
        ledger: HOLDERS,
        key: seat.service.as_bytes().to_vec(),
        value: Some(serde_json::to_vec(&heard).map_err(|_| StoreError::Bug)?),
        expect: Expect::Any,
    });
    Ok((ledger, heard))
}
