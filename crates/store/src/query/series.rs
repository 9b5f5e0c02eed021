//! Which contiguous ranges of the table a search has to open: one patient's resources of one kind each.

use std::collections::{HashMap, HashSet};

use fhir::index::Coding;
use fhir::resource::ResourceType;
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
pub(super) const LOOKED_AT: usize = 200_000;

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

impl Series {
    /// One that is there now.
    pub(super) fn one(patient: i64, kind: i64) -> Series {
        Series {
            patient,
            kind,
            widest: i64::MAX,
            past: false,
        }
    }
}

/// Which kinds carry what a query asks for, each looked up once.
#[derive(Default)]
pub(super) struct Carrying(HashMap<i64, bool>);

impl Carrying {
    pub(super) fn meets(
        &mut self,
        connection: &Connection,
        kind: i64,
        query: &Query,
    ) -> Result<bool, StoreError> {
        if let Some(known) = self.0.get(&kind) {
            return Ok(*known);
        }
        let meets = carries(connection, kind, CODE, &query.codes)?
            && carries(connection, kind, CATEGORY, &query.categories)?;
        self.0.insert(kind, meets);
        Ok(meets)
    }
}

/// The series of the asked type, within `whose` (and `within`, if it is known that there are no others), that can hold what the
/// query asks for; `past_of`: also those of which something that counted as of that commit has been superseded since.
pub(super) fn sought(
    connection: &Connection,
    past_of: Option<i64>,
    whose: &Whose,
    query: &Query,
    within: Option<&HashSet<(i64, i64)>>,
) -> Result<Vec<Series>, StoreError> {
    let patient = match whose {
        Whose::One(patient) => Some(*patient),
        Whose::Everyone => None,
    };
    let mut all = match within {
        Some(within) => of_these(connection, patient, query, within)?,
        None => of_type(connection, patient, query)?,
    };
    let crowded = within.is_none() && patient.is_none() && all.len() >= LOOKED_AT;
    if let Some(as_of) = past_of {
        past(connection, as_of, patient, query, &mut all)?;
        if let Some(within) = within {
            all.retain(|one| within.contains(&(one.patient, one.kind)));
        }
    }
    let mut carrying = Carrying::default();
    let mut kept = Vec::new();
    for one in all {
        if carrying.meets(connection, one.kind, query)? {
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

/// Those of `within` that are there and of the type.
fn of_these(
    connection: &Connection,
    patient: Option<i64>,
    query: &Query,
    within: &HashSet<(i64, i64)>,
) -> Result<Vec<Series>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT s.widest FROM series s JOIN kind k ON k.n = s.kind WHERE s.patient = ? AND s.kind = ? AND k.type = ?",
    )?;
    let mut found = Vec::new();
    for (of, kind) in within {
        if patient.is_some_and(|one| one != *of) {
            continue;
        }
        let widest = statement
            .query_row(params![of, kind, query.resource.as_str()], |row| row.get(0))
            .optional()?;
        found.extend(widest.map(|widest| Series {
            widest,
            ..Series::one(*of, *kind)
        }));
    }
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

/// The kinds of a type that a patient has series of and that a source may have sent: not what the service made itself of other
/// readings ([`fhir::systems::ASSESSMENT`]), which no source holds.
pub(crate) fn sourced(
    connection: &Connection,
    patient: i64,
    resource_type: ResourceType,
) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT s.kind FROM series s JOIN kind k ON k.n = s.kind WHERE s.patient = ?1 AND k.type = ?2
         AND NOT EXISTS (SELECT 1 FROM kind_coding c WHERE c.kind = s.kind AND c.role = ?3 AND c.system = ?4)",
    )?;
    let kinds = statement.query_map(
        params![
            patient,
            resource_type.as_str(),
            CODE,
            fhir::systems::ASSESSMENT
        ],
        |row| row.get(0),
    )?;
    Ok(kinds.collect::<Result<_, _>>()?)
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
