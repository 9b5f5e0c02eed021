//! What the index of handles says of a search before the first resource is looked at: the only resources, or the only series,
//! in which a match can be.
//!
//! The index tells of every version that ever was, and two things may share a key, so it never leaves a match out and the
//! resources themselves have the last word.

use std::collections::HashSet;

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::search::{Grip, Query, Wanted, wanted, wanted_by};
use rusqlite::{Connection, OptionalExtension, params};

use super::series::LOOKED_AT;
use crate::backend::sqlite::reader::Reader;
use crate::errors::StoreError;
use crate::handle::{self, Key};
use crate::patient::person_of;

/// Most references that are followed one by one; of more, the series in which they stand are searched.
const EACH: usize = 2_000;

/// Where alone a match can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Narrow {
    /// One of these resources.
    Ids(HashSet<[u8; 16]>),
    /// In one of these series: patient and kind.
    Series(HashSet<(i64, i64)>),
}

impl Narrow {
    /// What both say.
    fn and(self, other: Narrow) -> Narrow {
        match (self, other) {
            (Narrow::Ids(a), Narrow::Ids(b)) => Narrow::Ids(a.intersection(&b).copied().collect()),
            (Narrow::Series(a), Narrow::Series(b)) => {
                Narrow::Series(a.intersection(&b).copied().collect())
            }
            (ids @ Narrow::Ids(_), _) | (_, ids @ Narrow::Ids(_)) => ids,
        }
    }
}

/// What both say, as far as either says anything.
pub(super) fn both(one: Option<Narrow>, other: Option<Narrow>) -> Option<Narrow> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.and(other)),
        (one, other) => one.or(other),
    }
}

/// What a query's own ids and filters say; its references' patients are known in both forms.
pub(super) fn by_query(reader: &Reader, query: &Query) -> Result<Option<Narrow>, StoreError> {
    let named = (!query.ids.is_empty())
        .then(|| Narrow::Ids(query.ids.iter().map(|id| *id.uuid().as_bytes()).collect()));
    let mut narrow = named;
    for filter in &query.filters {
        if let Some(wanted) = wanted(query.resource, filter) {
            narrow = both(narrow, by_wanted(reader, query.resource, &wanted)?);
        }
    }
    Ok(narrow)
}

/// Where what points to any of these resources can be; `of` is their type.
pub(super) fn by_targets(
    reader: &Reader,
    source: ResourceType,
    (of, targets): (ResourceType, &HashSet<LogicalId>),
) -> Result<Option<Narrow>, StoreError> {
    let mut all = Vec::with_capacity(targets.len());
    for target in targets {
        let person = match of {
            ResourceType::PATIENT => reader
                .connection
                .prepare_cached("SELECT system, value FROM patient WHERE id = ?")?
                .query_row([target.uuid().as_bytes()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?
                .map(|row| person_of(Some(row)))
                .transpose()?,
            _ => None,
        };
        all.extend(wanted_by(*target, person.as_ref()));
    }
    by_wanted(reader, source, &all)
}

/// Where what has one of these handles can be; `None` where that is too much to say.
fn by_wanted(
    reader: &Reader,
    resource: ResourceType,
    all: &[Wanted],
) -> Result<Option<Narrow>, StoreError> {
    let ranges: Vec<(Grip, Key, Key)> = all
        .iter()
        .map(|one| {
            let (low, high) = handle::range(&reader.keys, resource, one);
            (one.grip, low, high)
        })
        .collect();
    // An identifier has no series: where it is shared by more than may be looked at, the index does not help.
    let own = all.iter().all(|one| one.grip == Grip::Own);
    let most = if own { reader.candidates } else { EACH };
    if let Some(ids) = ids(&reader.connection, &ranges, most)? {
        return Ok(Some(Narrow::Ids(ids)));
    }
    if own {
        return Ok(None);
    }
    Ok(series(&reader.connection, &ranges)?.map(Narrow::Series))
}

/// The resources, if each is told by itself and there are no more than `most`.
fn ids(
    connection: &Connection,
    ranges: &[(Grip, Key, Key)],
    most: usize,
) -> Result<Option<HashSet<[u8; 16]>>, StoreError> {
    let mut found = HashSet::new();
    for (grip, low, high) in ranges {
        if *grip == Grip::Own {
            let mut top = [u8::MAX; 16];
            top[..8].copy_from_slice(high);
            let mut statement = connection
                .prepare_cached("SELECT id FROM identity WHERE mac >= ? AND mac <= ? LIMIT ?")?;
            let mut rows = statement.query(params![low, top, most as i64 + 1])?;
            while let Some(row) = rows.next()? {
                found.insert(row.get(0)?);
            }
        }
        let mut statement = connection
            .prepare_cached("SELECT id FROM handle WHERE key >= ? AND key <= ? LIMIT ?")?;
        let mut rows = statement.query(params![low, high, most as i64 + 1])?;
        while let Some(row) = rows.next()? {
            let id: Vec<u8> = row.get(0)?;
            match id.try_into() {
                Ok(id) => found.insert(id),
                // The whole series.
                Err(_) => return Ok(None),
            };
        }
        if found.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// The series, each met once however many of its resources have a row.
fn series(
    connection: &Connection,
    ranges: &[(Grip, Key, Key)],
) -> Result<Option<HashSet<(i64, i64)>>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT key, patient, kind FROM handle WHERE (key, patient, kind) > (?1, ?2, ?3) AND key <= ?4
         ORDER BY key, patient, kind LIMIT 1",
    )?;
    let mut found = HashSet::new();
    for (_, low, high) in ranges {
        let mut at: (Key, i64, i64) = (*low, i64::MIN, i64::MIN);
        let mut next = |at: (Key, i64, i64)| {
            statement
                .query_row(params![at.0, at.1, at.2, high], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()
        };
        while let Some(met) = next(at)? {
            found.insert((met.1, met.2));
            if found.len() > LOOKED_AT {
                return Ok(None);
            }
            at = met;
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_word_counts() {
        let ids = |all: &[u8]| Narrow::Ids(all.iter().map(|one| [*one; 16]).collect());
        let series = |all: &[i64]| Narrow::Series(all.iter().map(|one| (*one, 1)).collect());
        assert_eq!(ids(&[1, 2]).and(ids(&[2, 3])), ids(&[2]));
        assert_eq!(series(&[1, 2]).and(series(&[2, 3])), series(&[2]));
        assert_eq!(series(&[1]).and(ids(&[2])), ids(&[2]));
        assert_eq!(ids(&[2]).and(series(&[1])), ids(&[2]));
        assert_eq!(both(None, Some(ids(&[1]))), Some(ids(&[1])));
        assert_eq!(both(None, None), None);
    }
}
