//! Searches that the tables cannot answer alone: they narrow down, within the permit, and `fhir::search` tells what matches.
//!
//! Standard: FHIR R4 search 3.1.1.4. Nothing is cut short: what would look at too much is refused.

use fhir::ids::LogicalId;
use fhir::json::Json;
use fhir::search::{PatientParam, Query};
use rusqlite::OptionalExtension;
use trust::{Permit, PermitScope};
use uuid::Uuid;

use super::{Cursor, PAGE_BYTES, Sought, Taken};
use crate::backend::sqlite::reader::Reader;
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::prepare::{LIMITS, person_mac};

/// Rows taken at a time for a page of a query with filters.
const SIFTED: usize = 256;

/// A page of a query with filters: what the tables have narrowed down is read in order, within the permit, and each resource
/// is asked whether it matches. More than the store's `candidates` for one page is refused: an answer is never cut short in silence.
pub(super) fn page(
    reader: &mut Reader,
    sought: &Sought<'_>,
    query: &Query,
    wanted: usize,
    mut after: Option<Cursor>,
) -> Result<Taken, StoreError> {
    let mut matches: Vec<Stored> = Vec::new();
    let (mut next, mut size, mut looked) = (None, 0, 0);
    loop {
        let rows = sought.rows(&reader.connection, after, SIFTED)?;
        let last = rows.len() < SIFTED;
        for row in rows {
            if looked == reader.candidates {
                return Err(StoreError::TooCostly);
            }
            looked += 1;
            let end = row.place();
            after = Some(end);
            let stored = row.stored(reader, query.resource)?;
            let json = Json::parse(stored.body.clone(), LIMITS)
                .map_err(|_| StoreError::Damaged("a stored resource does not read again"))?;
            if !fhir::search::filters_match(json.root(), query) {
                continue;
            }
            size += stored.body.len();
            if matches.len() == wanted || size > PAGE_BYTES && !matches.is_empty() {
                return Ok((matches, next, true));
            }
            next = Some(end);
            matches.push(stored);
        }
        if last {
            return Ok((matches, next, false));
        }
    }
}

/// The query with its references' patients in both forms, id and number: of the permit's own patient, or of anybody for
/// whom the whole store is open.
pub(super) fn completed(
    reader: &Reader,
    permit: &Permit,
    query: &Query,
) -> Result<Query, StoreError> {
    let mut query = query.clone();
    query.people(|asked| {
        let row = match asked {
            PatientParam::Local(id) => reader
                .connection
                .prepare_cached("SELECT id, system, value FROM patient WHERE id = ?")?
                .query_row([id.uuid().as_bytes()], person_row)
                .optional()?,
            PatientParam::Identifier(person) => reader
                .connection
                .prepare_cached("SELECT id, system, value FROM patient WHERE mac = ?")?
                .query_row([person_mac(&reader.keys, person)], person_row)
                .optional()?,
        };
        let Some((id, system, value)) = row else {
            return Ok(None);
        };
        let person = crate::record::person_of(Some((system, value)))?;
        let open = match permit.patient() {
            PermitScope::OwnStore => true,
            PermitScope::Patient(own) => *own == person,
        };
        Ok::<_, StoreError>(open.then(|| (LogicalId(Uuid::from_bytes(id)), person)))
    })?;
    Ok(query)
}

fn person_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<([u8; 16], String, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}
