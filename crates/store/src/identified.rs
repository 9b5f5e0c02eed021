//! Finding a resource by what makes it one and the same as another.

use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::index::Subject;
use rusqlite::OptionalExtension;
use uuid::Uuid;

use crate::backend::sqlite::reader::Reader;
use crate::errors::StoreError;
use crate::keys::Mac;
use crate::patient::person_of;
use crate::prepare::person_mac;

/// The resource that has this identity, withdrawn or not.
pub(crate) fn known_as(reader: &Reader, mac: Mac) -> Result<Option<LogicalId>, StoreError> {
    Ok(reader
        .connection
        .prepare_cached("SELECT id FROM identity WHERE mac = ?")?
        .query_row([mac], |row| row.get::<_, [u8; 16]>(0))
        .optional()?
        .map(|id| LogicalId(Uuid::from_bytes(id))))
}

/// Each form in which a resource may name a person: by number and, if the person is known here, by local id.
pub(crate) fn subjects(
    reader: &Reader,
    person: &PersonIdentifier,
) -> Result<Vec<Option<Subject>>, StoreError> {
    let row = reader
        .connection
        .prepare_cached("SELECT id, system, value FROM patient WHERE mac = ?")?
        .query_row([person_mac(&reader.keys, person)], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((id, system, value)) = row else {
        return Ok(Vec::new());
    };
    Ok(vec![
        Some(Subject::Person(person_of(Some((system, value)))?)),
        Some(Subject::Local(LogicalId(Uuid::from_bytes(id)))),
    ])
}
