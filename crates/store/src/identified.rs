//! Finding what has a business identifier, for conditional interactions: by the identities that make it unique, without
//! reading any body that is not given.

use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::index::Subject;
use fhir::resource::ResourceType;
use rusqlite::OptionalExtension;
use trust::{Permit, PermitScope};
use uuid::Uuid;

use crate::backend::sqlite::reader::Reader;
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::prepare::person_mac;
use crate::record::person_of;

/// The live resources that the permit opens and whose identity is type, subject and first identifier: `what` is type,
/// system and value.
pub(crate) fn identified(
    reader: &mut Reader,
    permit: &Permit,
    (resource_type, system, value): (ResourceType, &str, &str),
    about: Option<&Subject>,
) -> Result<Vec<Stored>, StoreError> {
    let permitted = match permit.patient() {
        PermitScope::OwnStore => None,
        PermitScope::Patient(person) => Some(Subject::Person(person.clone())),
    };
    let mut ids: Vec<LogicalId> = Vec::new();
    for subject in subjects(reader, permitted.as_ref().or(about))? {
        let key = fhir::identity::business_key(resource_type, subject.as_ref(), system, value);
        if let Some(id) = known_as(reader, resource_type, &key)?
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    }
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        match crate::query::read(reader, permit, resource_type, id) {
            Ok(Some(stored)) => found.push(stored),
            Ok(None) | Err(StoreError::Gone) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The resource that has the identity with this key, withdrawn or not.
pub(crate) fn known_as(
    reader: &Reader,
    resource_type: ResourceType,
    key: &[u8],
) -> Result<Option<LogicalId>, StoreError> {
    let mac = reader
        .keys
        .mac("delt identity", &[resource_type.as_str().as_bytes(), key]);
    Ok(reader
        .connection
        .prepare_cached("SELECT id FROM identity WHERE mac = ?")?
        .query_row([mac], |row| row.get::<_, [u8; 16]>(0))
        .optional()?
        .map(|id| LogicalId(Uuid::from_bytes(id))))
}

/// Each form in which a resource may name the subjects in question: by number and by local id. Without one: everybody's,
/// and nobody's.
pub(crate) fn subjects(
    reader: &Reader,
    one: Option<&Subject>,
) -> Result<Vec<Option<Subject>>, StoreError> {
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<([u8; 16], String, String)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    };
    let rows: Vec<([u8; 16], String, String)> = match one {
        None => reader
            .connection
            .prepare_cached("SELECT id, system, value FROM patient")?
            .query_map([], row)?
            .collect::<Result<_, _>>()?,
        Some(Subject::Person(person)) => reader
            .connection
            .prepare_cached("SELECT id, system, value FROM patient WHERE mac = ?")?
            .query_row([person_mac(&reader.keys, person)], row)
            .optional()?
            .into_iter()
            .collect(),
        Some(Subject::Local(id)) => reader
            .connection
            .prepare_cached("SELECT id, system, value FROM patient WHERE id = ?")?
            .query_row([id.uuid().as_bytes()], row)
            .optional()?
            .into_iter()
            .collect(),
    };
    let mut subjects = Vec::with_capacity(rows.len() * 2 + 1);
    if one.is_none() {
        subjects.push(None);
    }
    for (id, system, value) in rows {
        let person: PersonIdentifier = person_of(Some((system, value)))?;
        subjects.push(Some(Subject::Person(person)));
        subjects.push(Some(Subject::Local(LogicalId(Uuid::from_bytes(id)))));
    }
    Ok(subjects)
}
