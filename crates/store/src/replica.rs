//! Wishes that patients made elsewhere, kept here as a copy: each an entry among the patient's wishes ([`crate::wish`]), so that a
//! decision finds them where it finds the others, and beside it a line here, by which the copy can be compared with its source
//! and ended. The line names its patient sealed only.

use fhir::ids::PersonIdentifier;
use serde::{Deserialize, Serialize};
use trust::wish::{Closed, Source, Wish};
use uuid::Uuid;

use crate::commit::{Expect, LedgerWrite};
use crate::errors::StoreError;
use crate::store::Store;
use fhir::time::Instant;

/// Key: 16 bytes of the definition, then 16 of the patient.
const LEDGER: &str = "replica";
/// Lines read at a time.
const PART: usize = 1_000;

/// One line.
#[derive(Clone)]
pub struct Replica {
    /// Which definition at the source, as [`Store::definition_key`] has it.
    pub definition: [u8; 16],
    /// Whose it is.
    pub patient: PersonIdentifier,
    /// What it closes here.
    pub closed: Closed,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    patient: PersonIdentifier,
    closed: Closed,
}

impl Store {
    /// A definition at a source, as lines name it.
    pub fn definition_key(&self, definition: &str) -> [u8; 16] {
        self.keyed("definition", definition.as_bytes())
    }

    /// The whole copy, in order of definition.
    ///
    /// # Errors
    /// Input/output and damage; a line that does not read again is damage.
    pub async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        let damaged = || StoreError::Damaged("a replicated wish does not read again");
        let (mut found, mut parts) = (Vec::new(), self.ledger_pages(LEDGER, &[], PART));
        while let Some(part) = parts.next().await? {
            for entry in &part {
                let sealed = std::str::from_utf8(&entry.value).map_err(|_| damaged())?;
                let plain = self.unseal(sealed).ok_or_else(damaged)?;
                let line: Line = serde_json::from_slice(&plain).map_err(|_| damaged())?;
                let definition = entry.key.get(..16).and_then(|key| key.try_into().ok());
                found.push(Replica {
                    definition: definition.ok_or_else(damaged)?,
                    patient: line.patient,
                    closed: line.closed,
                });
            }
        }
        Ok(found)
    }

    /// The entries that keep one, made or changed.
    ///
    /// # Errors
    /// When the system gives no randomness to seal with.
    pub fn replica_made(
        &self,
        replica: &Replica,
        source: Source,
        since: Instant,
    ) -> Result<Vec<LedgerWrite>, StoreError> {
        let wish = Wish {
            id: id_of(replica),
            closed: replica.closed.clone(),
            since,
            until: None,
            source,
        };
        let line = Line {
            patient: replica.patient.clone(),
            closed: replica.closed.clone(),
        };
        let plain = serde_json::to_vec(&line).map_err(|_| StoreError::Bug)?;
        let mut kept = self.wish_made(&replica.patient, &wish)?;
        kept.expect = Expect::Any;
        Ok(vec![
            kept,
            LedgerWrite {
                ledger: LEDGER,
                key: self.line_key(replica),
                value: Some(self.seal(&plain)?.into_bytes()),
                expect: Expect::Any,
            },
        ])
    }

    /// The entries that end one.
    pub fn replica_ended(&self, replica: &Replica) -> Vec<LedgerWrite> {
        vec![
            self.wish_ended(&replica.patient, &id_of(replica)),
            LedgerWrite {
                ledger: LEDGER,
                key: self.line_key(replica),
                value: None,
                expect: Expect::Any,
            },
        ]
    }

    fn line_key(&self, replica: &Replica) -> Vec<u8> {
        [replica.definition, self.patients_wishes(&replica.patient)].concat()
    }
}

/// The wish's id: one definition is one wish of a patient.
fn id_of(replica: &Replica) -> String {
    Uuid::from_bytes(replica.definition).to_string()
}
