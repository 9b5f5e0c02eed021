//! One audit record for the parts of one interaction: changes that are committed together and whose records say the same
//! but for what they wrote share a record (spec: one AuditEvent for each patient, one record for each interaction).
//!
//! The record stands in the commit of the changes it tells of. It is two hundred bytes that a bundle of a hundred readings
//! would else pay a hundred times.

use std::collections::HashMap;
use std::fmt::Write as _;

use trust::audit::Record;

use crate::backend::sqlite::writer::Writer;
use crate::commit::{Committed, Receipt};
use crate::errors::StoreError;

/// The records of one list of changes that wait for each other.
#[derive(Default)]
pub(crate) struct Joint {
    /// By all that a record says but for what was asked and disclosed.
    places: HashMap<Vec<u8>, usize>,
    shared: Vec<Shared>,
}

struct Shared {
    record: Record,
    /// Entries of the bundle, in order.
    entries: Vec<u32>,
    /// Places in the list of changes.
    members: Vec<usize>,
}

impl Joint {
    /// Takes in the record of the change at `member` of the list, which is entry number `entry`.
    pub(crate) fn add(
        &mut self,
        mut record: Record,
        entry: u32,
        member: usize,
    ) -> Result<(), StoreError> {
        let disclosed = std::mem::take(&mut record.disclosed);
        let key = serde_json::to_vec(&record).map_err(|_| StoreError::Bug)?;
        let place = *self.places.entry(key).or_insert_with(|| {
            self.shared.push(Shared {
                record,
                entries: Vec::new(),
                members: Vec::new(),
            });
            self.shared.len() - 1
        });
        let shared = self.shared.get_mut(place).ok_or(StoreError::Bug)?;
        shared.record.disclosed.extend(disclosed);
        shared.entries.push(entry);
        shared.members.push(member);
        Ok(())
    }
}

impl Writer {
    /// Chains the shared records and gives their receipts to all that they tell of. An error here is one of the whole group:
    /// nothing may stand without its record.
    pub(crate) fn audit_joint(
        &mut self,
        joint: Joint,
        now: i64,
        results: &mut [Result<Committed, StoreError>],
    ) -> Result<(), StoreError> {
        for mut shared in joint.shared {
            shared.record.asked.push_str(&numbers(&shared.entries));
            let receipt = self.audit(&shared.record, now)?;
            for member in shared.members {
                if let Some(Ok(committed)) = results.get_mut(member) {
                    committed.receipt = Some(Receipt {
                        sequence: receipt.sequence,
                        hash: receipt.hash,
                    });
                }
            }
        }
        Ok(())
    }
}

/// `[0-57,60]`.
fn numbers(entries: &[u32]) -> String {
    let mut text = String::from("[");
    for run in entries.chunk_by(|one, next| one + 1 == *next) {
        if text.len() > 1 {
            text.push(',');
        }
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            let _ = match run.len() {
                1 => write!(text, "{first}"),
                _ => write!(text, "{first}-{last}"),
            };
        }
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_follow_each_other_are_told_as_a_run() {
        for (entries, told) in [
            (&[3][..], "[3]"),
            (&[0, 1, 2], "[0-2]"),
            (&[0, 2, 3, 9], "[0,2-3,9]"),
        ] {
            assert_eq!(numbers(entries), told);
        }
    }
}
