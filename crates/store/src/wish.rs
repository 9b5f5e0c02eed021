//! What patients have closed at this organisation: blocks and reservation, each a ledger entry under the patient's keyed
//! hash, so that a decision finds a patient's wishes by one range and the ledger names nobody.

use std::sync::Arc;

use fhir::ids::PersonIdentifier;
use trust::wish::Wish;

use crate::commit::{Expect, LedgerWrite};
use crate::errors::StoreError;
use crate::store::Store;

const LEDGER: &str = "wish";

/// Most wishes of one patient that hold at once; more are refused when they are made.
pub const MOST_WISHES: usize = 100;

/// More than ever rest: some made at the same moment beside the most that hold, and ended ones until the next is made. None is
/// left out of a decision.
const ALL: usize = 100 * MOST_WISHES;

impl Store {
    /// What this patient has closed here, in the order of their ids, ended wishes among them.
    ///
    /// # Errors
    /// Input/output and damage; an entry that does not read again is damage, for leaving it out would open what it closes.
    pub async fn wishes(&self, patient: &PersonIdentifier) -> Result<Arc<[Wish]>, StoreError> {
        let prefix = self.patients_wishes(patient);
        let entries = self.ledger_scan(LEDGER, &prefix, None, ALL).await?;
        entries
            .iter()
            .map(|entry| {
                serde_json::from_slice(&entry.value)
                    .map_err(|_| StoreError::Damaged("a patient's wish does not read again"))
            })
            .collect()
    }

    /// The entry that keeps a new wish, for the commit that records who made it.
    ///
    /// # Errors
    /// Never in practice: a wish always has a JSON form.
    pub fn wish_made(
        &self,
        patient: &PersonIdentifier,
        wish: &Wish,
    ) -> Result<LedgerWrite, StoreError> {
        let value = serde_json::to_vec(wish).map_err(|_| StoreError::Bug)?;
        Ok(LedgerWrite {
            ledger: LEDGER,
            key: self.wish_key(patient, &wish.id),
            value: Some(value),
            expect: Expect::Absent,
        })
    }

    /// The entry that takes a wish back.
    pub fn wish_ended(&self, patient: &PersonIdentifier, id: &str) -> LedgerWrite {
        LedgerWrite {
            ledger: LEDGER,
            key: self.wish_key(patient, id),
            value: None,
            expect: Expect::Any,
        }
    }

    pub(crate) fn patients_wishes(&self, patient: &PersonIdentifier) -> [u8; 16] {
        let named = format!("{}|{}", patient.system(), patient.value().expose());
        self.keyed("wish", named.as_bytes())
    }

    fn wish_key(&self, patient: &PersonIdentifier, id: &str) -> Vec<u8> {
        let mut key = self.patients_wishes(patient).to_vec();
        key.extend_from_slice(id.as_bytes());
        key
    }
}
