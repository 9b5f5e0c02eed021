//! Tells workers of the same house what changed about whom: one outbox entry for each patient of a group of changes, in the
//! commit of the changes themselves. Who follows misses nothing and hears of a patient's changes in their order.
//!
//! It names resources, never what they say; the patient by the logical id, never by number.

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use uuid::Uuid;

use crate::backend::sqlite::writer::Writer;
use crate::commit::{Committed, Fate, OutboxEntry};
use crate::errors::StoreError;
use crate::outbox;
use crate::prepare::UNDATED;
use crate::record::NOBODY;

/// The topic of outbox entries that tell what changed; the body is a [`Followed`] as JSON.
pub const FOLLOW: &str = "follow";

/// What changed about one patient in one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Followed {
    /// The logical id of the Patient.
    pub patient: LogicalId,
    /// In the order in which they were written.
    pub written: Vec<WrittenOne>,
    /// What was erased for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<ErasedOne>,
}

/// One resource that was erased: nothing is told of it but when it was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasedOne {
    /// Its type.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// When its time began, UTC microseconds; `None` for one without a time.
    pub at: Option<i64>,
}

/// One resource that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenOne {
    /// Its type.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Its logical id.
    pub id: LogicalId,
    /// The version that was made.
    pub version: u64,
    /// What happened.
    pub fate: WrittenFate,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WrittenFate {
    /// A new resource.
    Created,
    /// A new version.
    Updated,
    /// Withdrawn.
    Withdrawn,
}

impl WrittenFate {
    /// Of a put; none where nothing was written.
    pub(crate) fn of(fate: Fate) -> Option<WrittenFate> {
        match fate {
            Fate::Created => Some(WrittenFate::Created),
            Fate::Updated => Some(WrittenFate::Updated),
            Fate::Withdrawn => Some(WrittenFate::Withdrawn),
            Fate::Existing => None,
        }
    }
}

/// What a group of changes has written so far, by the patient's number.
#[derive(Default)]
pub(crate) struct Following {
    noted: Vec<(i64, Noted)>,
}

#[derive(Clone)]
enum Noted {
    Written(WrittenOne),
    Erased(ErasedOne),
}

impl Following {
    /// How much is noted: to go back to.
    pub(crate) fn mark(&self) -> usize {
        self.noted.len()
    }

    /// What was noted since then did not happen.
    pub(crate) fn back_to(&mut self, mark: usize) {
        self.noted.truncate(mark);
    }
}

impl Writer {
    /// Notes what a change wrote, if anybody follows.
    pub(crate) fn follow(&mut self, committed: &Committed) -> Result<(), StoreError> {
        if self.set.follow.is_empty() {
            return Ok(());
        }
        for put in &committed.puts {
            let Some(fate) = WrittenFate::of(put.fate) else {
                continue;
            };
            if put.resource_type == ResourceType::PATIENT {
                continue;
            }
            let patient: Option<i64> = self
                .connection
                .prepare_cached("SELECT patient FROM record_id WHERE id = ?")?
                .query_row([put.id.uuid().as_bytes()], |row| row.get(0))
                .optional()?;
            let Some(patient) = patient.filter(|patient| *patient != NOBODY) else {
                continue;
            };
            let one = WrittenOne {
                resource_type: put.resource_type.to_string(),
                id: put.id,
                version: put.version,
                fate,
            };
            self.following.noted.push((patient, Noted::Written(one)));
        }
        Ok(())
    }

    /// Notes that one of a patient's resources was erased, if anybody follows: what was made of it does not hold any more.
    pub(crate) fn follow_erased(&mut self, patient: i64, resource_type: ResourceType, t: i64) {
        if self.set.follow.is_empty() || patient == NOBODY {
            return;
        }
        let one = ErasedOne {
            resource_type: resource_type.to_string(),
            at: (t != UNDATED).then_some(-t),
        };
        self.following.noted.push((patient, Noted::Erased(one)));
    }

    /// Posts what the group wrote. Whether there was anything.
    pub(crate) fn post_followed(&mut self, now: i64) -> Result<bool, StoreError> {
        let mut noted = std::mem::take(&mut self.following.noted);
        let any = !noted.is_empty();
        // Stable: each patient's stay in their order.
        noted.sort_by_key(|(patient, _)| *patient);
        for group in noted.chunk_by(|one, next| one.0 == next.0) {
            let Some((number, _)) = group.first() else {
                continue;
            };
            let id: Option<[u8; 16]> = self
                .connection
                .prepare_cached("SELECT id FROM patient WHERE n = ?")?
                .query_row(params![number], |row| row.get(0))
                .optional()?;
            // Erased by a later change of the same group.
            let Some(id) = id else { continue };
            let patient = LogicalId(Uuid::from_bytes(id));
            let (mut written, mut erased) = (Vec::new(), Vec::new());
            for (_, one) in group {
                match one {
                    Noted::Written(one) => written.push(one.clone()),
                    Noted::Erased(one) => erased.push(one.clone()),
                }
            }
            if self.unscrubbed {
                self.retain_known(&mut written)?;
            }
            let followed = Followed {
                patient,
                written,
                erased,
            };
            let entry = OutboxEntry {
                topic: FOLLOW,
                receivers: self.set.follow.clone(),
                partition: format!("follow/{patient}"),
                key: format!("follow/{patient}/{now}"),
                body: serde_json::to_vec(&followed)
                    .map_err(|_| StoreError::Bug)?
                    .into(),
            };
            outbox::post(
                &self.connection,
                &self.set.keys,
                &mut self.packer,
                &entry,
                now,
            )?;
        }
        Ok(any)
    }

    /// Leaves out what a purge of the same group erased.
    fn retain_known(&self, written: &mut Vec<WrittenOne>) -> Result<(), StoreError> {
        let mut known = Vec::with_capacity(written.len());
        for one in written.drain(..) {
            if self.known(one.id)?.is_some() {
                known.push(one);
            }
        }
        *written = known;
        Ok(())
    }
}

/// What a [`Followed`] still tells without what was erased; `None` where that is nothing.
pub(crate) fn without(body: &[u8], erased: &HashSet<LogicalId>) -> Option<Vec<u8>> {
    let mut followed: Followed = serde_json::from_slice(body).ok()?;
    if erased.contains(&followed.patient) {
        return None;
    }
    followed.written.retain(|one| !erased.contains(&one.id));
    if followed.written.is_empty() && followed.erased.is_empty() {
        return None;
    }
    serde_json::to_vec(&followed).ok()
}
