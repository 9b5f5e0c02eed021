//! Taking in what a holder announces (CONTRACT section 8): state, not events. Per holder and pointer the highest sequence
//! number counts; what is older is ignored, so that repeats and disorder on the way do no harm.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use store::{Expect, LedgerWrite, StoreError};
use wire::contract::locator::Registration;

use crate::State;
use crate::key::{PointerKey, Pseudonym, Tag};
use crate::pointer::{self, HOLDERS, Heard, LEAVES, POINTERS, Pointer, Seat};
use fhir::ids::PersonIdentifier;
use fhir::resource::InformationService;
use fhir::time::Instant;

/// A pointer's place: under the newest key, with what it is compared by.
pub struct Place {
    service: String,
    version: u32,
    person: Pseudonym,
    tag: Tag,
    kind: InformationService,
}

impl Place {
    /// Where a holder's pointer stands.
    pub fn of(
        key: &PointerKey,
        seat: &Seat,
        patient: &PersonIdentifier,
        kind: InformationService,
    ) -> Self {
        let tags = wire::drift::TagKey::new(*key.tag_key(&seat.service));
        Self {
            service: seat.service.clone(),
            version: key.version,
            person: key.pointer(patient),
            tag: tags.tag(patient),
            kind,
        }
    }

    /// Its key in the ledger of pointers.
    pub fn pointer_key(&self) -> Vec<u8> {
        pointer::key(&self.person, &self.service, self.kind)
    }

    fn leaf_key(&self) -> Vec<u8> {
        pointer::leaf_key(&self.service, self.version, &self.tag, self.kind)
    }

    /// What it takes to set the pointer, or to make it go.
    ///
    /// # Errors
    /// [`StoreError::Bug`] for a pointer without a form.
    pub fn writes(&self, pointer: Option<&Pointer>) -> Result<[LedgerWrite; 2], StoreError> {
        Ok([
            LedgerWrite {
                ledger: POINTERS,
                key: self.pointer_key(),
                value: pointer.map(Pointer::to_bytes).transpose()?,
                expect: Expect::Any,
            },
            LedgerWrite {
                ledger: LEAVES,
                key: self.leaf_key(),
                value: pointer.map(|pointer| pointer::leaf_value(&self.person, pointer)),
                expect: Expect::Any,
            },
        ])
    }

    /// What is held there, and whether it can be compared.
    pub async fn held(&self, state: &State) -> Result<Option<(Pointer, bool)>, StoreError> {
        let store = state.store();
        let Some(held) = store.ledger_get(POINTERS, &self.pointer_key()).await? else {
            return Ok(None);
        };
        let pointer = Pointer::from_bytes(&held.value)?;
        let leaf = store.ledger_get(LEAVES, &self.leaf_key()).await?;
        let fits =
            leaf.is_some_and(|leaf| leaf.value == pointer::leaf_value(&self.person, &pointer));
        Ok(Some((pointer, fits)))
    }
}

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
    let keys = state.reception.keys().pointers();
    let newest = keys.first().ok_or(StoreError::Bug)?;
    let mut latest: BTreeMap<Vec<u8>, (Place, Pointer)> = BTreeMap::new();
    for entry in &registration.entries {
        let place = Place::of(newest, seat, &entry.patient, entry.kind);
        let announced = Pointer::announced(entry, now);
        match latest.entry(place.pointer_key()) {
            Entry::Vacant(vacant) => drop(vacant.insert((place, announced))),
            Entry::Occupied(mut held) if announced.sequence > held.get().1.sequence => {
                held.get_mut().1 = announced;
            }
            Entry::Occupied(_) => {}
        }
    }
    let mut ledger = Vec::with_capacity(latest.len() * 2 + 1);
    for (place, announced) in latest.values() {
        match place.held(state).await? {
            Some((held, true)) if held.sequence >= announced.sequence => {}
            // What came before pointers were compared gets its leaf when it is told again.
            Some((held, false)) if held.sequence >= announced.sequence => {
                ledger.extend(place.writes(Some(&held))?);
            }
            _ => ledger.extend(place.writes(Some(announced))?),
        }
    }
    let heard = Heard::after(seat.heard(), now, registration);
    ledger.push(heard_write(seat, &heard)?);
    Ok((ledger, heard))
}

/// What it takes to remember how far a holder is heard.
///
/// # Errors
/// [`StoreError::Bug`] without a JSON form.
pub fn heard_write(seat: &Seat, heard: &Heard) -> Result<LedgerWrite, StoreError> {
    Ok(LedgerWrite {
        ledger: HOLDERS,
        key: seat.service.as_bytes().to_vec(),
        value: Some(serde_json::to_vec(heard).map_err(|_| StoreError::Bug)?),
        expect: Expect::Any,
    })
}
