//! A walk over one patient's series: every resource that a question means, once, in one snapshot, without making a page of
//! them. For what counts many and gives out few, such as `$stats`.
//!
//! The permit's patient, services and period and the publishing policy narrow it as they narrow a search, by the same
//! conditions. A walk that would meet too many is refused, never cut short.

use fhir::ids::LogicalId;
use fhir::index::Coding;
use fhir::json::Glance;
use fhir::search::Query;
use fhir::time::Instant;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::collections::HashMap;
use trust::Permit;
use uuid::Uuid;

use super::filter::Filter;
use super::scope;
use super::series::{self, Series};
use crate::backend::sqlite::reader::Reader;
use crate::body;
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::prepare::{CODE, LONGEST_SPAN, UNDATED};
use crate::publish::View;

/// Longest walk, in microseconds: a reading thread is not kept from others for longer (threats-and-faults section 4).
const LONGEST: i64 = 2_000_000;
/// Resources between two looks at the clock.
const STRIDE: usize = 256;

/// Who walks. It runs on a reading thread: it must not wait for anything.
pub trait Walker: Send + 'static {
    /// Whether to go through a series whose resources carry exactly these codes.
    fn enters(&mut self, codes: &[Coding]) -> bool;

    /// One resource of it. Each series comes newest first, ties by id.
    ///
    /// # Errors
    /// What the walk ends with.
    fn meets(&mut self, met: &Met<'_>) -> Result<(), StoreError>;
}

/// One resource on the way.
pub struct Met<'a> {
    /// Its logical id.
    pub id: LogicalId,
    /// When its time starts; `None` for one without a time, or whose time has no start.
    pub start: Option<Instant>,
    /// Its status; empty for none.
    pub status: &'a str,
    version: u64,
    updated: Instant,
    query: &'a Query,
    cut: &'a [u8],
}

impl<'a> Met<'a> {
    /// Its version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When that version was committed.
    pub fn updated(&self) -> Instant {
        self.updated
    }

    /// Its JSON; `id`, `meta.versionId` and `meta.lastUpdated` are empty texts in it.
    ///
    /// # Errors
    /// Damage.
    pub fn body(&self) -> Result<Glance<'a>, StoreError> {
        body::text(self.cut)
            .map(Glance::of)
            .ok_or(StoreError::Damaged("a stored body does not open"))
    }

    /// The whole of it, to be given out.
    ///
    /// # Errors
    /// Damage.
    pub fn stored(&self) -> Result<Stored, StoreError> {
        let resource_type = self.query.resource;
        Stored::of(self.cut, resource_type, self.id, self.version, self.updated)
    }
}

/// Takes each walker through what its question means, all in the reader's one snapshot, meeting at most `most` resources
/// in all. A question of one patient and of what the tables alone answer; its count and order are not looked at.
pub(crate) fn walk<W: Walker>(
    reader: &mut Reader,
    permit: &Permit,
    steps: Vec<(Query, W)>,
    most: usize,
) -> Result<Vec<W>, StoreError> {
    let until = (reader.clock)().0.saturating_add(LONGEST);
    let mut met = 0;
    let mut done = Vec::with_capacity(steps.len());
    for (query, mut walker) in steps {
        if query.patient.is_none()
            || !query.filters.is_empty()
            || !query.links.is_empty()
            || !query.ids.is_empty()
        {
            return Err(StoreError::Bug);
        }
        one(reader, permit, &query, &mut walker, &mut |clock| {
            met += 1;
            let late = met % STRIDE == 0 && clock().0 > until;
            if met > most || late {
                Err(StoreError::TooCostly)
            } else {
                Ok(())
            }
        })?;
        done.push(walker);
    }
    Ok(done)
}

/// Says whether the walk may go on.
type Pace<'a> = &'a mut dyn FnMut(&crate::Clock) -> Result<(), StoreError>;

fn one<W: Walker>(
    reader: &mut Reader,
    permit: &Permit,
    query: &Query,
    walker: &mut W,
    pace: Pace<'_>,
) -> Result<(), StoreError> {
    if !permit.opens(query.resource.information_service()) {
        return Ok(());
    }
    let Some(whose) = scope(reader, permit, query.patient.as_ref())?.whose else {
        return Ok(());
    };
    let mut filter = Filter::of(&reader.connection, permit, query)?;
    let mut series = series::sought(&reader.connection, None, &whose, query, None)?;
    if let Some(view) = View::of(&reader.publishing, &reader.clock, permit) {
        filter.publish(&reader.connection, &view, query.resource, &mut series)?;
    }
    let words = words(&reader.connection)?;
    for one in &series {
        if walker.enters(&codes(&reader.connection, one.kind)?) {
            through(reader, query, (one, &filter), &words, walker, pace)?;
        }
    }
    Ok(())
}

fn through<W: Walker>(
    reader: &mut Reader,
    query: &Query,
    (series, filter): (&Series, &Filter),
    words: &HashMap<i64, String>,
    walker: &mut W,
    pace: Pace<'_>,
) -> Result<(), StoreError> {
    let Reader {
        connection,
        unpacker,
        clock,
        ..
    } = reader;
    let (lowest, highest) = filter.bounds(series);
    let mut values: Vec<Value> = vec![
        series.patient.into(),
        series.kind.into(),
        lowest.into(),
        highest.into(),
        Value::Null,
        Value::Null,
        // Without a limit.
        (-1_i64).into(),
        // As of now.
        i64::MAX.into(),
    ];
    values.extend(filter.values.iter().cloned());
    let published = match filter.published.get(&series.kind) {
        Some(condition) => format!(" AND {}", condition.placed(&mut values)),
        None => String::new(),
    };
    let sql = format!(
        "SELECT t, id, version, updated, span, status, body FROM record
         WHERE patient = ?1 AND kind = ?2 AND t >= ?3 AND t <= ?4 AND updated <= ?8{}{published} ORDER BY t, id LIMIT ?7",
        filter.sql
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        pace(clock)?;
        let (t, span): (i64, Option<i64>) = (row.get(0)?, row.get(4)?);
        let packed = row.get_ref(6)?.as_blob().map_err(|_| StoreError::Bug)?;
        let cut = unpacker.unpack(packed, |number| {
            crate::dictionary::bytes(connection, number)
        })?;
        let status = words.get(&row.get(5)?).map_or("", String::as_str);
        let open = t == LONGEST_SPAN;
        walker.meets(&Met {
            id: LogicalId(Uuid::from_bytes(row.get(1)?)),
            start: (t != UNDATED && span.is_some() && !open).then_some(Instant(-t)),
            status,
            version: row.get(2)?,
            updated: Instant(row.get(3)?),
            query,
            cut: &cut,
        })?;
    }
    Ok(())
}

/// Status words by number. There are a few dozen at most: FHIR's own.
fn words(connection: &Connection) -> Result<HashMap<i64, String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT n, text FROM word")?;
    let words = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(words.collect::<Result<_, _>>()?)
}

/// The codes of a kind.
fn codes(connection: &Connection, kind: i64) -> Result<Vec<Coding>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT system, code FROM kind_coding WHERE kind = ? AND role = ?")?;
    let codes = statement.query_map([kind, CODE], |row| {
        let system: String = row.get(0)?;
        Ok(Coding {
            system: Some(system).filter(|system| !system.is_empty()),
            code: row.get(1)?,
        })
    })?;
    Ok(codes.collect::<Result<_, _>>()?)
}
