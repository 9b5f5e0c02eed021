//! What a change leaves in the audit trail, in its own commit: its record, completed by what was written, and the further ones
//! beside it. An error here is the change's, so that nothing stands without its record.

use trust::audit::{Disclosed, Record};

use crate::backend::sqlite::writer::Writer;
use crate::commit::{Change, Committed, PutOutcome, Receipt};
use crate::errors::StoreError;
use crate::joint::Joint;
use crate::{audit, dictionary, patient};

impl Writer {
    /// Chains the records of the change at `member` of a list, or leaves the first to be chained with others'.
    pub(crate) fn recorded(
        &mut self,
        change: Change,
        now: i64,
        committed: &mut Committed,
        (joint, member): (&mut Joint, usize),
    ) -> Result<(), StoreError> {
        if let Some(mut record) = change.audit {
            if change.audit_fill {
                fill(
                    &mut record,
                    committed.enrolled.iter().chain(&committed.puts),
                );
                if record.patient.is_none()
                    && let Some(first) = committed.puts.first()
                {
                    record.patient = patient::person_by_id(&self.connection, first.id)?;
                }
            }
            match change.audit_entry {
                Some(entry) => joint.add(record, entry, member)?,
                None => committed.receipt = Some(self.audit(&record, now)?),
            }
        }
        for record in &change.also {
            self.audit(record, now)?;
        }
        Ok(())
    }

    /// Chains one record.
    pub(crate) fn audit(&mut self, record: &Record, now: i64) -> Result<Receipt, StoreError> {
        let link = audit::link(
            &self.set.owner,
            self.counters.audited + 1,
            now,
            self.counters.head,
            record,
        )?;
        let packed = self.pack(dictionary::AUDIT, &link.body)?;
        audit::append(&self.connection, &self.set.keys, &link, record, &packed)?;
        self.counters.audited = link.sequence;
        self.counters.head = link.hash;
        self.counters.updated = now;
        Ok(Receipt {
            sequence: link.sequence,
            hash: link.hash,
        })
    }
}

/// Adds what was written to what the record says was disclosed.
fn fill<'a>(record: &mut Record, puts: impl Iterator<Item = &'a PutOutcome>) {
    record.disclosed.extend(puts.map(|put| Disclosed {
        resource: put.resource_type.as_str().to_owned(),
        id: put.id.to_string(),
        version: put.version,
    }));
}
