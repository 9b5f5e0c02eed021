//! Which contiguous ranges of the table a search has to open: one patient's resources of one kind each.

use std::collections::{HashMap, HashSet};

use fhir::index::Coding;
use fhir::search::{Query, TokenParam};
use rusqlite::{Connection, OptionalExtension, params};

use super::Whose;
use crate::errors::StoreError;
use crate::prepare::{CATEGORY, CODE};

/// Series merged at once; more are merged part by part. One patient has a handful, a municipality some for each patient.
pub(super) const SERIES: usize = 5_000;
/// Most series that a search without a patient merges for a page: beyond it a page would take too long.
const MERGED: usize = 25_000;
/// Most series that a search without a patient chooses among.
const LOOKED_AT: usize = 200_000;

/// One patient's resources of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Series {
    pub(super) patient: i64,
    pub(super) kind: i64,
    /// No resource of it has a longer span.
    pub(super) widest: i64,
    /// Whether something of it that counts has been superseded since, and is read from `history`.
    pub(super) past: bool,
}

/// The series of the asked type, within `whose`, that can hold what the query (and `ids`, if that is known) asks for; `past_of`: also those of which something
/// that counted as of that commit has been superseded since.
pub(super) fn sought(
    connection: &Connection,
    past_of: Option<i64>,
    whose: &Whose,
    query: &Query,
    ids: Option<&HashSet<[u8; 16]>>,
) -> Result<Vec<Series>, StoreError> {
    let patient = match whose {
        Whose::One(patient) => Some(*patient),
        Whose::Everyone => None,
    };
    let mut all = match ids {
        Some(ids) => of_ids(connection, patient, query, ids)?,
        None => of_type(connection, patient, query)?,
    };
    let crowded = ids.is_none() && patient.is_none() && all.len() >= LOOKED_AT;
    if let Some(as_of) = past_of {
        past(connection, as_of, patient, query, &mut all)?;
    }
    let mut kinds: HashMap<i64, bool> = HashMap::new();
    let mut kept = Vec::new();
    for one in all {
        let carries = match kinds.get(&one.kind) {
            Some(known) => *known,
            None => *kinds.entry(one.kind).or_insert(
                carries(connection, one.kind, CODE, &query.codes)?
                    && carries(connection, one.kind, CATEGORY, &query.categories)?,
            ),
        };
        if carries {
            kept.push(one);
        }
    }
    if patient.is_none() && (crowded || kept.len() > MERGED) {
        Err(StoreError::TooCostly)
    } else {
        Ok(kept)
    }
}

fn of_type(
    connection: &Connection,
    patient: Option<i64>,
    query: &Query,
) -> Result<Vec<Series>, StoreError> {
    // One patient's are all looked at; of everyone's only so many.
    let (sql, most) = match patient {
        Some(_) => (
            "SELECT s.patient, s.kind, s.widest FROM series s JOIN kind k ON k.n = s.kind
             WHERE s.patient = ?1 AND k.type = ?2 ORDER BY s.patient, s.kind LIMIT ?3",
            -1,
        ),
        None => (
            "SELECT s.patient, s.kind, s.widest FROM series s JOIN kind k ON k.n = s.kind
             WHERE ?1 IS NULL AND k.type = ?2 ORDER BY s.patient, s.kind LIMIT ?3",
            LOOKED_AT as i64,
        ),
    };
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement
        .query_map(params![patient, query.resource.as_str(), most], |row| {
            Ok(Series {
                patient: row.get(0)?,
                kind: row.get(1)?,
                widest: row.get(2)?,
                past: false,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?)
}

/// The series in which the asked ids lie.
fn of_ids(
    connection: &Connection,
    patient: Option<i64>,
    query: &Query,
    ids: &HashSet<[u8; 16]>,
) -> Result<Vec<Series>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT i.patient, i.kind FROM record_id i JOIN kind k ON k.n = i.kind WHERE i.id = ? AND i.gone = 0 AND k.type = ?",
    )?;
    let mut found = HashSet::new();
    for id in ids {
        let place: Option<(i64, i64)> = statement
            .query_row(params![id, query.resource.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        found.extend(place.filter(|(of, _)| patient.is_none_or(|one| one == *of)));
    }
    let mut found: Vec<Series> = found
        .into_iter()
        .map(|(patient, kind)| Series {
            patient,
            kind,
            widest: i64::MAX,
            past: false,
        })
        .collect();
    found.sort_unstable_by_key(|one| (one.patient, one.kind));
    Ok(found)
}

/// Adds and marks the series of which something was superseded since.
fn past(
    connection: &Connection,
    as_of: i64,
    patient: Option<i64>,
    query: &Query,
    all: &mut Vec<Series>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT h.patient, h.kind FROM history h JOIN kind k ON k.n = h.kind
         WHERE h.until > ?1 AND h.updated <= ?1 AND h.gone = 0 AND k.type = ?2 AND (?3 IS NULL OR h.patient = ?3)",
    )?;
    let found: Vec<(i64, i64)> = statement
        .query_map(params![as_of, query.resource.as_str(), patient], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    for (patient, kind) in found {
        // What was superseded may have been longer than anything that is there now.
        let one = Series {
            patient,
            kind,
            widest: i64::MAX,
            past: true,
        };
        match all
            .iter_mut()
            .find(|held| (held.patient, held.kind) == (patient, kind))
        {
            Some(held) => *held = one,
            None => all.push(one),
        }
    }
    Ok(())
}

/// Whether a kind has a coding that one of the tokens means; no tokens ask for nothing.
pub(crate) fn carries(
    connection: &Connection,
    kind: i64,
    role: i64,
    tokens: &[TokenParam],
) -> Result<bool, StoreError> {
    if tokens.is_empty() {
        return Ok(true);
    }
    let mut statement = connection
        .prepare_cached("SELECT system, code FROM kind_coding WHERE kind = ? AND role = ?")?;
    let codings = statement
        .query_map([kind, role], |row| {
            let system: String = row.get(0)?;
            Ok(Coding {
                system: Some(system).filter(|system| !system.is_empty()),
                code: row.get(1)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(codings
        .iter()
        .any(|coding| tokens.iter().any(|token| token.matches(coding))))
}
