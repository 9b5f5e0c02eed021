//! Searches that the tables cannot answer alone: they narrow down, within the permit, and `fhir::search` tells what matches.
//!
//! Standard: FHIR R4 search 3.1.1.4. Nothing is cut short: what would look at too much, or for too long, is refused.

use std::ops::ControlFlow;

use fhir::ids::LogicalId;
use fhir::json::{Json, Node};
use fhir::search::{PatientParam, Query};
use rusqlite::OptionalExtension;
use trust::{Permit, PermitScope};
use uuid::Uuid;

use super::cursor::Place;
use super::link::Links;
use super::rows::{At, Row, Sought};
use super::{Asking, Found, PAGE_BYTES};
use crate::backend::sqlite::reader::Reader;
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::prepare::{LIMITS, person_mac};

/// Rows taken at a time.
const SIFTED: usize = 256;

/// One resource that matches.
pub(super) struct Match<'a> {
    pub(super) row: &'a Row,
    pub(super) stored: Stored,
    pub(super) root: Node<'a>,
}

/// Goes through what is sought, in order, from a place on: each resource is asked whether it matches, and `take` is given
/// those that do, until it has enough.
pub(super) fn through(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    sought: &Sought,
    (query, links): (&Query, &mut Links<'_>),
    mut after: Option<At>,
    mut take: impl FnMut(&Reader, Match<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    loop {
        asking.pace(reader)?;
        let rows = sought.rows(&reader.connection, after, SIFTED)?;
        let last = rows.len() < SIFTED;
        for row in &rows {
            asking.look()?;
            after = Some(row.at());
            let stored = row.stored(reader, query.resource)?;
            let json = Json::parse(stored.body.clone(), LIMITS)
                .map_err(|_| StoreError::Damaged("a stored resource does not read again"))?;
            let root = json.root();
            if !fhir::search::filters_match(root, query)
                || !links.hold(reader, asking, root, stored.id)?
            {
                continue;
            }
            if take(reader, Match { row, stored, root })?.is_break() {
                return Ok(());
            }
        }
        if last {
            return Ok(());
        }
    }
}

/// A page. More than the store's `candidates` for one page is refused: an answer is never cut short in silence.
pub(super) fn page(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    sought: &Sought,
    (query, links): (&Query, &mut Links<'_>),
    wanted: usize,
    after: Option<At>,
) -> Result<Found, StoreError> {
    let mut matches: Vec<(Stored, Place)> = Vec::new();
    let (mut size, mut more) = (0, false);
    through(reader, asking, sought, (query, links), after, |_, found| {
        size += found.stored.body.len();
        if matches.len() == wanted || size > PAGE_BYTES && !matches.is_empty() {
            more = true;
            return Ok(ControlFlow::Break(()));
        }
        matches.push((found.stored, found.row.place()));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Found {
        matches,
        more,
        total: None,
    })
}

/// How many there are.
pub(super) fn count(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    sought: &Sought,
    query: &Query,
    links: &mut Links<'_>,
) -> Result<u64, StoreError> {
    // A count is a question of its own beside the page.
    asking.left = reader.candidates;
    let mut count = 0;
    through(reader, asking, sought, (query, links), None, |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
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
        let person = crate::patient::person_of(Some((system, value)))?;
        let open = match permit.patient() {
            PermitScope::OwnStore => true,
            PermitScope::Patient(own) => *own == person,
            PermitScope::Nobody => false,
        };
        Ok::<_, StoreError>(open.then(|| (LogicalId(Uuid::from_bytes(id)), person)))
    })?;
    Ok(query)
}

fn person_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<([u8; 16], String, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}
