//! Who a store knows: a row for each person, made with the Patient resource or with the first resource about an unknown one.

use fhir::ids::{LogicalId, PersonIdentifier, PersonNumbers};
use fhir::resource::ResourceType;
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use crate::backend::sqlite::writer::Writer;
use crate::commit::{Committed, Fate, PutOutcome};
use crate::errors::StoreError;
use crate::prepare::{self, Resource, Who};
use crate::record::{NOBODY, meant, outcome};

impl Writer {
    /// A Patient is found by its identifier: known becomes a new version, unknown a new patient.
    pub(crate) fn put_patient(
        &mut self,
        chosen: Option<LogicalId>,
        resource: &Resource,
        now: i64,
        committed: &mut Committed,
    ) -> Result<PutOutcome, StoreError> {
        let Some(Who::Person(person, mac)) = &resource.subject else {
            return Err(StoreError::UnknownPatient);
        };
        let held = self
            .connection
            .prepare_cached("SELECT id FROM patient WHERE mac = ?")?
            .query_row([mac], |row| row.get::<_, [u8; 16]>(0))
            .optional()?;
        let Some(id) = held.map(|id| LogicalId(Uuid::from_bytes(id))) else {
            return self
                .new_patient(chosen, (person, mac), resource, now, committed)
                .map(|(_, outcome)| outcome);
        };
        meant(chosen, id)?;
        let known = self
            .known(id)?
            .ok_or(StoreError::Damaged("a patient has no record"))?;
        if known.digest == resource.digest && !known.gone {
            return Ok(outcome(
                id,
                known.version,
                self.updated(&known)?,
                ResourceType::PATIENT,
                Fate::Existing,
            ));
        }
        self.next_version(&known, resource, now, committed)
    }

    fn new_patient(
        &mut self,
        chosen: Option<LogicalId>,
        (person, mac): (&PersonIdentifier, &[u8; 16]),
        resource: &Resource,
        now: i64,
        committed: &mut Committed,
    ) -> Result<(i64, PutOutcome), StoreError> {
        let id = self.new_id(chosen)?;
        self.connection
            .prepare_cached("INSERT INTO patient(mac, id, system, value) VALUES (?, ?, ?, ?)")?
            .execute(params![
                mac,
                id.uuid().as_bytes(),
                person.system(),
                person.value().expose()
            ])?;
        let patient = self.connection.last_insert_rowid();
        let kind = self.insert(id, patient, resource, 1, now, committed)?;
        self.connection
            .prepare_cached("INSERT INTO record_id(id, patient, kind, t, version, gone, digest) VALUES (?, ?, ?, ?, 1, 0, ?)")?
            .execute(params![id.uuid().as_bytes(), patient, kind, resource.t, resource.digest])?;
        Ok((
            patient,
            outcome(id, 1, now, ResourceType::PATIENT, Fate::Created),
        ))
    }

    /// The number of a subject; makes a patient of an unknown person if asked to.
    pub(crate) fn patient(
        &mut self,
        subject: Option<&Who>,
        enrol: bool,
        now: i64,
        committed: &mut Committed,
    ) -> Result<i64, StoreError> {
        let (found, person) = match subject {
            None => return Ok(NOBODY),
            Some(Who::Local(id)) => (
                self.connection
                    .prepare_cached("SELECT n FROM patient WHERE id = ?")?
                    .query_row([id.uuid().as_bytes()], |row| row.get(0))
                    .optional()?,
                None,
            ),
            Some(Who::Person(person, mac)) => (
                self.connection
                    .prepare_cached("SELECT n FROM patient WHERE mac = ?")?
                    .query_row([mac], |row| row.get(0))
                    .optional()?,
                Some((person, mac)),
            ),
        };
        match (found, person) {
            (Some(number), _) => Ok(number),
            (None, Some((person, mac))) if enrol => {
                let resource = prepare::bare_patient(&self.set.keys, person, *mac)?;
                let (number, outcome) =
                    self.new_patient(None, (person, mac), &resource, now, committed)?;
                committed.enrolled.push(outcome);
                Ok(number)
            }
            _ => Err(StoreError::UnknownPatient),
        }
    }
}

/// A person from the two columns of `patient`.
pub(crate) fn person_of(row: Option<(String, String)>) -> Result<PersonIdentifier, StoreError> {
    row.and_then(|(system, value)| {
        PersonIdentifier::parse(&system, &value, PersonNumbers::Lenient).ok()
    })
    .ok_or(StoreError::Damaged("a patient has no readable identifier"))
}

/// The person behind a Patient's logical id, or whom any resource with this id is (or was) about.
pub(crate) fn person_by_id(
    connection: &rusqlite::Connection,
    id: LogicalId,
) -> Result<Option<PersonIdentifier>, StoreError> {
    let row = connection
        .prepare_cached("SELECT p.system, p.value FROM record_id i JOIN patient p ON p.n = i.patient WHERE i.id = ?")?
        .query_row([id.uuid().as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    row.map(|row| person_of(Some(row))).transpose()
}
