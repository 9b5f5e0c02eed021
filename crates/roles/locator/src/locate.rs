//! Who holds what about one person: one range of the ledger (two while a key is changed), whoever it is. A person that nobody announced, one whose
//! pointers are all absent, one whose kinds or holders the caller may not hear of, and one who closed them to the caller give the same answer by the same steps.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use fhir::ids::PersonIdentifier;
use fhir::resource::InformationService;
use fhir::time::Instant;
use store::StoreError;
use trust::Caller;
use wire::contract::locator::{Holder, LocateAnswer, Presence};

use crate::State;
use crate::pointer::{POINTERS, Pointer, parts};

/// Most pointers looked at for one person; every service of a region with all kinds is far below.
const MOST: usize = 10_000;

/// What was found.
pub struct Found {
    /// The answer.
    pub answer: LocateAnswer,
    /// The newest turn of each holder that is told, in the answer's order.
    pub sequences: Vec<u64>,
}

/// The members' services that hold any of `kinds` and that `caller` may hear of at `now`, in the agreement's order.
///
/// # Errors
/// What the store said.
pub async fn holders(
    state: &State,
    caller: &Caller,
    patient: &PersonIdentifier,
    kinds: &[InformationService],
    now: Instant,
) -> Result<Found, StoreError> {
    let keys = state.reception.keys().pointers();
    let mut newest: BTreeMap<(String, InformationService), Pointer> = BTreeMap::new();
    for key in keys.iter() {
        let person = key.pointer(patient);
        let store = state.store();
        let entries = store.ledger_scan(POINTERS, &person, None, MOST).await?;
        for entry in &entries {
            let (service, kind) = parts(&entry.key)?;
            let pointer = Pointer::from_bytes(&entry.value)?;
            match newest.entry((service.to_owned(), kind)) {
                Entry::Vacant(vacant) => drop(vacant.insert(pointer)),
                // While pointers move to a new key one may stand under both; the later turn counts.
                Entry::Occupied(mut held) if pointer.sequence > held.get().sequence => {
                    held.insert(pointer);
                }
                Entry::Occupied(_) => {}
            }
        }
    }
    let mut present: Vec<(&str, InformationService, u64)> = Vec::new();
    for ((service, kind), pointer) in &newest {
        let Some(seat) = state.roll.seat(service) else {
            continue;
        };
        // What is closed to the caller is as if it were not there.
        let open = state.is_open(seat, &pointer.closed, now, (caller, patient));
        if pointer.state == Presence::Present && kinds.contains(kind) && open {
            present.push((service, *kind, pointer.sequence));
        }
    }
    let mut found = Found {
        answer: LocateAnswer {
            holders: Vec::new(),
            members: state.members.clone(),
        },
        sequences: Vec::new(),
    };
    for seat in state.roll.seats() {
        let own = || {
            present
                .iter()
                .filter(|(service, ..)| *service == seat.service)
        };
        let (Some(heard), Some(newest)) = (seat.heard(), own().map(|(.., n)| *n).max()) else {
            continue;
        };
        // An organisation that left the agreement is no longer told of; one whose name tells too much, to few.
        if !state.is_member(seat.orgnr) || !state.is_told(seat, caller, patient) {
            continue;
        }
        found.answer.holders.push(Holder {
            service: seat.service.clone(),
            orgnr: seat.orgnr,
            kinds: own().map(|(_, kind, _)| *kind).collect(),
            as_of: heard.as_of,
        });
        found.sequences.push(newest);
    }
    Ok(found)
}
