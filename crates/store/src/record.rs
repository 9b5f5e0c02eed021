//! Records: versioned FHIR of one organisation, as the writer keeps them (CONTRACT section 5).
//!
//! A record lies where its search will look: patient, kind, time. `record_id` finds it by id, `identity` by what makes
//! it the same reading. Old versions move to `history`; nothing clinical is overwritten or removed.

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::time::Instant;
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use crate::backend::sqlite::writer::Writer;
use crate::commit::{Committed, Fate, PutOutcome};
use crate::errors::{Conflict, StoreError};
use crate::prepare::{Digest, Kind, ReadyPut, Resource};

/// The patient number of what is about nobody.
pub(crate) const NOBODY: i64 = 0;

/// Where a resource is, and what its newest version is.
pub(crate) struct Known {
    pub(crate) id: LogicalId,
    pub(crate) patient: i64,
    pub(crate) kind: i64,
    pub(crate) t: i64,
    pub(crate) version: u64,
    pub(crate) gone: bool,
    pub(crate) digest: Digest,
}

impl Writer {
    /// Carries out one put.
    pub(crate) fn put(
        &mut self,
        put: ReadyPut,
        now: i64,
        committed: &mut Committed,
    ) -> Result<PutOutcome, StoreError> {
        self.trim();
        let outcome = self.carry_out(put, now, committed)?;
        // With a policy, a turn of presence depends on more than the first and the last resource.
        if !self.set.publishing.is_everything() && outcome.fate != Fate::Existing {
            let patient: Option<i64> = self
                .connection
                .prepare_cached("SELECT patient FROM record_id WHERE id = ?")?
                .query_row([outcome.id.uuid().as_bytes()], |row| row.get(0))
                .optional()?;
            if let Some(patient) = patient {
                self.turn(patient, outcome.resource_type, false, committed)?;
            }
        }
        Ok(outcome)
    }

    fn carry_out(
        &mut self,
        put: ReadyPut,
        now: i64,
        committed: &mut Committed,
    ) -> Result<PutOutcome, StoreError> {
        match put {
            ReadyPut::Create { id, resource, .. }
                if resource.resource_type == ResourceType::PATIENT =>
            {
                self.put_patient(id, &resource, now, committed)
            }
            ReadyPut::Create {
                id,
                resource,
                enrol,
            } => self.create(id, &resource, enrol, now, committed),
            ReadyPut::Update {
                id,
                expect_version,
                resource,
            } => self.update(id, expect_version, &resource, now, committed),
            ReadyPut::Withdraw {
                id,
                resource_type,
                expect_version,
            } => self.withdraw(id, resource_type, expect_version, now, committed),
        }
    }

    pub(crate) fn create(
        &mut self,
        chosen: Option<LogicalId>,
        resource: &Resource,
        enrol: bool,
        now: i64,
        committed: &mut Committed,
    ) -> Result<PutOutcome, StoreError> {
        let patient = self.patient(resource.subject.as_ref(), enrol, now, committed)?;
        if let Some(id) = self.identified(resource)? {
            meant(chosen, id)?;
            return self.again(id, patient, resource, now, committed);
        }
        let id = self.new_id(chosen)?;
        self.identify(resource, id)?;
        let known = self.insert(id, patient, resource, 1, now, committed)?;
        self.connection
            .prepare_cached("INSERT INTO record_id(id, patient, kind, t, version, gone, digest) VALUES (?, ?, ?, ?, 1, 0, ?)")?
            .execute(params![id.uuid().as_bytes(), patient, known, resource.t, resource.digest])?;
        Ok(outcome(id, 1, now, resource.resource_type, Fate::Created))
    }

    /// A create of something that is here already.
    fn again(
        &mut self,
        id: LogicalId,
        patient: i64,
        resource: &Resource,
        now: i64,
        committed: &mut Committed,
    ) -> Result<PutOutcome, StoreError> {
        let known = self
            .known(id)?
            .ok_or(StoreError::Damaged("an identity points to nothing"))?;
        if let Some((version, updated)) = self.same(&known, &resource.digest)? {
            return Ok(outcome(
                id,
                version,
                updated,
                resource.resource_type,
                Fate::Existing,
            ));
        }
        if known.gone {
            return Err(Conflict::Withdrawn { existing: id }.into());
        }
        if !resource.correction || known.patient != patient {
            return Err(Conflict::Content { existing: id }.into());
        }
        self.next_version(&known, resource, now, committed)
    }

    fn update(
        &mut self,
        id: LogicalId,
        expect_version: Option<u64>,
        resource: &Resource,
        now: i64,
        committed: &mut Committed,
    ) -> Result<PutOutcome, StoreError> {
        let known = self.expected(id, resource.resource_type, expect_version)?;
        let patient = self.patient(resource.subject.as_ref(), false, now, committed)?;
        if patient != known.patient {
            return Err(Conflict::Patient.into());
        }
        if known.digest == resource.digest {
            let updated = self.updated(&known)?;
            return Ok(outcome(
                id,
                known.version,
                updated,
                resource.resource_type,
                Fate::Existing,
            ));
        }
        if resource.resource_type != ResourceType::PATIENT {
            match self.identified(resource)? {
                Some(other) if other != id => {
                    return Err(Conflict::Identity { existing: other }.into());
                }
                Some(_) => {}
                None => self.identify(resource, id)?,
            }
        }
        self.next_version(&known, resource, now, committed)
    }

    pub(crate) fn withdraw(
        &mut self,
        id: LogicalId,
        resource_type: ResourceType,
        expect_version: Option<u64>,
        now: i64,
        committed: &mut Committed,
    ) -> Result<PutOutcome, StoreError> {
        let known = self.expected(id, resource_type, expect_version)?;
        let version = known.version + 1;
        self.retire(&known, now)?;
        self.connection
            .prepare_cached(
                "INSERT INTO history(id, version, updated, gone, patient, kind, t, status, digest, body)
                 VALUES (?, ?, ?, 1, ?, ?, ?, 0, ?, x'')",
            )?
            .execute(params![id.uuid().as_bytes(), version, now, known.patient, known.kind, known.t, known.digest])?;
        self.connection
            .prepare_cached("UPDATE record_id SET version = ?, gone = 1 WHERE id = ?")?
            .execute(params![version, id.uuid().as_bytes()])?;
        self.counters.updated = now;
        self.ended(known.patient, known.kind, resource_type, committed)?;
        Ok(outcome(id, version, now, resource_type, Fate::Withdrawn))
    }

    /// A new resource's id: the chosen one, which nothing may have yet.
    pub(crate) fn new_id(&self, chosen: Option<LogicalId>) -> Result<LogicalId, StoreError> {
        match chosen {
            None => Ok(LogicalId((self.set.ids)())),
            Some(id) if self.known(id)?.is_none() => Ok(id),
            Some(_) => Err(StoreError::Invalid("a chosen id is in use")),
        }
    }

    pub(crate) fn identified(&self, resource: &Resource) -> Result<Option<LogicalId>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT id FROM identity WHERE mac = ?")?
            .query_row([resource.identity], |row| row.get::<_, [u8; 16]>(0))
            .optional()?
            .map(|id| LogicalId(Uuid::from_bytes(id))))
    }

    pub(crate) fn identify(&self, resource: &Resource, id: LogicalId) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO identity(mac, id) VALUES (?, ?)")?
            .execute(params![resource.identity, id.uuid().as_bytes()])?;
        Ok(())
    }

    pub(crate) fn known(&self, id: LogicalId) -> Result<Option<Known>, StoreError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT patient, kind, t, version, gone, digest FROM record_id WHERE id = ?",
            )?
            .query_row([id.uuid().as_bytes()], |row| {
                Ok(Known {
                    id,
                    patient: row.get(0)?,
                    kind: row.get(1)?,
                    t: row.get(2)?,
                    version: row.get(3)?,
                    gone: row.get(4)?,
                    digest: row.get(5)?,
                })
            })
            .optional()?)
    }

    /// The resource that an update or a withdrawal names, if it is of this type, there, and at this version.
    fn expected(
        &self,
        id: LogicalId,
        resource_type: ResourceType,
        version: Option<u64>,
    ) -> Result<Known, StoreError> {
        let known = self.known(id)?.ok_or(StoreError::NotFound)?;
        if self.type_of(known.kind)? != resource_type {
            return Err(StoreError::NotFound);
        }
        if known.gone {
            return Err(StoreError::Gone);
        }
        match version {
            Some(version) if version != known.version => Err(StoreError::VersionMismatch {
                current: known.version,
            }),
            _ => Ok(known),
        }
    }

    pub(crate) fn updated(&self, known: &Known) -> Result<i64, StoreError> {
        self.connection
            .prepare_cached(
                "SELECT updated FROM record WHERE patient = ? AND kind = ? AND t = ? AND id = ?",
            )?
            .query_row(
                params![
                    known.patient,
                    known.kind,
                    known.t,
                    known.id.uuid().as_bytes()
                ],
                |row| row.get(0),
            )
            .optional()?
            .ok_or(StoreError::Damaged("a record is not where its id says"))
    }

    /// The version of a resource that has this content, newest first, with its time.
    fn same(&self, known: &Known, digest: &Digest) -> Result<Option<(u64, i64)>, StoreError> {
        if !known.gone && known.digest == *digest {
            return Ok(Some((known.version, self.updated(known)?)));
        }
        Ok(self
            .connection
            .prepare_cached(
                "SELECT version, updated FROM history WHERE id = ? AND digest = ? AND gone = 0 ORDER BY version DESC LIMIT 1",
            )?
            .query_row(params![known.id.uuid().as_bytes(), digest], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?)
    }

    /// Moves the current version out of `record` into `history`. Leaves the series to the caller.
    fn retire(&self, known: &Known, now: i64) -> Result<(), StoreError> {
        let id = known.id.uuid();
        let at = params![
            known.patient,
            known.kind,
            known.t,
            id.as_bytes(),
            known.digest,
            now
        ];
        let moved = self
            .connection
            .prepare_cached(
                "INSERT INTO history(id, version, updated, gone, until, patient, kind, t, span, status, digest, body)
                 SELECT id, version, updated, 0, ?6, patient, kind, t, span, status, ?5, body FROM record WHERE patient = ?1 AND kind = ?2 AND t = ?3 AND id = ?4",
            )?
            .execute(at)?;
        let removed = self
            .connection
            .prepare_cached(
                "DELETE FROM record WHERE patient = ?1 AND kind = ?2 AND t = ?3 AND id = ?4",
            )?
            .execute(params![known.patient, known.kind, known.t, id.as_bytes()])?;
        if (moved, removed) == (1, 1) {
            Ok(())
        } else {
            Err(StoreError::Damaged("a record is not where its id says"))
        }
    }

    /// Writes `resource` as the version after `known`, wherever its new codings and time put it.
    pub(crate) fn next_version(
        &mut self,
        known: &Known,
        resource: &Resource,
        now: i64,
        committed: &mut Committed,
    ) -> Result<PutOutcome, StoreError> {
        self.same_writer(known, resource)?;
        let version = known.version + 1;
        if !known.gone {
            self.retire(known, now)?;
        }
        let kind = self.insert(known.id, known.patient, resource, version, now, committed)?;
        self.connection
            .prepare_cached("UPDATE record_id SET kind = ?, t = ?, version = ?, gone = 0, digest = ? WHERE id = ?")?
            .execute(params![kind, resource.t, version, resource.digest, known.id.uuid().as_bytes()])?;
        if kind != known.kind && !known.gone {
            self.ended(known.patient, known.kind, resource.resource_type, committed)?;
        }
        Ok(outcome(
            known.id,
            version,
            now,
            resource.resource_type,
            Fate::Updated,
        ))
    }

    /// Writes the clustered row, and begins its series where it is the first. Gives the kind's number.
    pub(crate) fn insert(
        &mut self,
        id: LogicalId,
        patient: i64,
        resource: &Resource,
        version: u64,
        now: i64,
        committed: &mut Committed,
    ) -> Result<i64, StoreError> {
        let kind = self.kind(&resource.kind)?;
        let status = match &resource.status {
            Some(status) => self.word(status)?,
            None => 0,
        };
        let body = self.pack(kind, &resource.body)?;
        self.connection
            .prepare_cached(
                "INSERT INTO record(patient, kind, t, id, span, version, updated, status, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![patient, kind, resource.t, id.uuid().as_bytes(), resource.span, version, now, status, body])?;
        self.hold(id.uuid().as_bytes(), (patient, kind), &resource.handles)?;
        self.counters.updated = now;
        let widest: Option<i64> = self
            .connection
            .prepare_cached("SELECT widest FROM series WHERE patient = ? AND kind = ?")?
            .query_row([patient, kind], |row| row.get(0))
            .optional()?;
        let span = resource.span.unwrap_or(0);
        if widest.is_none_or(|widest| widest < span) {
            self.connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO series(patient, kind, widest) VALUES (?, ?, ?)",
                )?
                .execute([patient, kind, span])?;
        }
        if widest.is_none() {
            self.turn(patient, resource.resource_type, true, committed)?;
        }
        Ok(kind)
    }

    fn kind(&mut self, kind: &Kind) -> Result<i64, StoreError> {
        if let Some(number) = self.kinds.get(&kind.key) {
            return Ok(*number);
        }
        let held: Option<i64> = self
            .connection
            .prepare_cached("SELECT n FROM kind WHERE key = ?")?
            .query_row([kind.key], |row| row.get(0))
            .optional()?;
        let number = match held {
            Some(number) => number,
            None => {
                self.connection
                    .prepare_cached("INSERT INTO kind(key, type) VALUES (?, ?)")?
                    .execute(params![kind.key, kind.resource_type.as_str()])?;
                let number = self.connection.last_insert_rowid();
                for (role, system, code) in &kind.codings {
                    self.connection
                        .prepare_cached(
                            "INSERT INTO kind_coding(kind, role, system, code) VALUES (?, ?, ?, ?)",
                        )?
                        .execute(params![number, role, system, code])?;
                }
                number
            }
        };
        self.kinds.insert(kind.key, number);
        Ok(number)
    }

    pub(crate) fn type_of(&self, kind: i64) -> Result<ResourceType, StoreError> {
        let name: Option<String> = self
            .connection
            .prepare_cached("SELECT type FROM kind WHERE n = ?")?
            .query_row([kind], |row| row.get(0))
            .optional()?;
        name.and_then(|name| ResourceType::parse(&name))
            .ok_or(StoreError::Damaged("a kind has no known type"))
    }

    fn word(&mut self, text: &str) -> Result<i64, StoreError> {
        if let Some(number) = self.words.get(text) {
            return Ok(*number);
        }
        let held: Option<i64> = self
            .connection
            .prepare_cached("SELECT n FROM word WHERE text = ?")?
            .query_row([text], |row| row.get(0))
            .optional()?;
        let number = match held {
            Some(number) => number,
            None => {
                self.connection
                    .prepare_cached("INSERT INTO word(text) VALUES (?)")?
                    .execute([text])?;
                self.connection.last_insert_rowid()
            }
        };
        self.words.insert(text.to_owned(), number);
        Ok(number)
    }
}

/// Others of the change refer to the id that was chosen: it must be the one that the resource has.
pub(crate) fn meant(chosen: Option<LogicalId>, existing: LogicalId) -> Result<(), StoreError> {
    match chosen {
        Some(id) if id != existing => Err(Conflict::Identity { existing }.into()),
        _ => Ok(()),
    }
}

pub(crate) fn outcome(
    id: LogicalId,
    version: u64,
    updated: i64,
    resource_type: ResourceType,
    fate: Fate,
) -> PutOutcome {
    PutOutcome {
        id,
        version,
        last_updated: Instant(updated),
        resource_type,
        fate,
    }
}
