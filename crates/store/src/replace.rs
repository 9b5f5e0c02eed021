//! A whole series in the place of what is there: afterwards the store holds what the source holds, no more and no less.
//!
//! One change, so nobody ever sees half of it. What the source has with the same content is left alone, other content is a
//! new version (the source may have corrected without saying so), and what the source has not is withdrawn.

use std::collections::HashSet;

use fhir::ids::LogicalId;
use uuid::Uuid;

use crate::backend::sqlite::writer::Writer;
use crate::commit::{Committed, Fate};
use crate::errors::{Conflict, StoreError};
use crate::prepare::{CODE, ReadyReplace};
use crate::query;
use crate::record;

impl Writer {
    /// Puts the series in place; adds the outcomes to `committed.puts`.
    pub(crate) fn replace(
        &mut self,
        series: &ReadyReplace,
        now: i64,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        let patient = self.patient(Some(&series.patient), series.enrol, now, committed)?;
        let mut kept = HashSet::new();
        for resource in &series.resources {
            if self.patient(resource.subject.as_ref(), false, now, committed)? != patient {
                return Err(Conflict::Patient.into());
            }
            let outcome = match self.identified(resource)? {
                None => self.create(None, resource, false, now, committed)?,
                Some(id) => {
                    let known = self
                        .known(id)?
                        .ok_or(StoreError::Damaged("an identity points to nothing"))?;
                    if known.patient != patient {
                        return Err(Conflict::Content { existing: id }.into());
                    }
                    if !known.gone && known.digest == resource.digest {
                        let updated = self.updated(&known)?;
                        record::outcome(
                            id,
                            known.version,
                            updated,
                            resource.resource_type,
                            Fate::Existing,
                        )
                    } else {
                        self.next_version(&known, resource, now, committed)?
                    }
                }
            };
            // Two of the series that are one reading: the source contradicts itself.
            if !kept.insert(outcome.id) {
                return Err(Conflict::Identity {
                    existing: outcome.id,
                }
                .into());
            }
            committed.puts.push(outcome);
        }
        for id in self.series_of(patient, series)? {
            if !kept.contains(&id) {
                let outcome = self.withdraw(id, series.resource_type, None, now, committed)?;
                committed.puts.push(outcome);
            }
        }
        if !self.set.publishing.is_everything() {
            self.turn(patient, series.resource_type, false, committed)?;
        }
        Ok(())
    }

    /// What is here of the series now.
    fn series_of(&self, patient: i64, series: &ReadyReplace) -> Result<Vec<LogicalId>, StoreError> {
        let kinds = query::sourced(&self.connection, patient, series.resource_type)?;
        let mut ids = Vec::new();
        for kind in kinds {
            if !query::carries(&self.connection, kind, CODE, &series.codes)? {
                continue;
            }
            let mut statement = self
                .connection
                .prepare_cached("SELECT id FROM record WHERE patient = ? AND kind = ?")?;
            let found = statement.query_map([patient, kind], |row| row.get::<_, [u8; 16]>(0))?;
            for id in found {
                ids.push(LogicalId(Uuid::from_bytes(id?)));
            }
        }
        Ok(ids)
    }
}
