//! Resources that are known by id before they are read: each is found where it lies, without a look at its series.

use std::collections::HashSet;

use fhir::search::{Query, Sort};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::Whose;
use super::filter::Filter;
use super::rows::{At, Row, rank};
use super::series::{Carrying, Series};
use crate::errors::StoreError;
use crate::publish::View;

/// Where one version of a resource lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    patient: i64,
    kind: i64,
    t: i64,
    id: [u8; 16],
    /// In `history`: it was superseded since the search's commit.
    past: bool,
}

/// The resources of a search that can only be among `ids`, in the order asked.
pub(super) struct Named {
    places: Vec<Place>,
    sort: Sort,
    as_of: i64,
}

impl Named {
    /// Finds where they lie, within `whose`; `superseded`: also what has been superseded since `as_of`.
    pub(super) fn of(
        connection: &Connection,
        (as_of, superseded): (i64, bool),
        whose: &Whose,
        query: &Query,
        ids: &HashSet<[u8; 16]>,
    ) -> Result<Named, StoreError> {
        let mut places = Vec::with_capacity(ids.len());
        let mut carrying = Carrying::default();
        let name = query.resource.as_str();
        let mut keep = |found: Option<Place>| -> Result<(), StoreError> {
            if let Some(place) = found {
                let theirs = !matches!(whose, Whose::One(one) if *one != place.patient);
                if theirs && carrying.meets(connection, place.kind, query)? {
                    places.push(place);
                }
            }
            Ok(())
        };
        let mut now = connection.prepare_cached(
            "SELECT i.patient, i.kind, i.t FROM record_id i JOIN kind k ON k.n = i.kind
             WHERE i.id = ? AND i.gone = 0 AND k.type = ?",
        )?;
        let mut then = connection.prepare_cached(
            "SELECT h.patient, h.kind, h.t FROM history h JOIN kind k ON k.n = h.kind
             WHERE h.id = ?1 AND k.type = ?2 AND h.until > ?3 AND h.updated <= ?3 AND h.gone = 0",
        )?;
        for id in ids {
            let place = |past| {
                move |row: &rusqlite::Row<'_>| {
                    Ok(Place {
                        patient: row.get(0)?,
                        kind: row.get(1)?,
                        t: row.get(2)?,
                        id: *id,
                        past,
                    })
                }
            };
            keep(now.query_row(params![id, name], place(false)).optional()?)?;
            if superseded {
                let row = then.query_row(params![id, name, as_of], place(true));
                keep(row.optional()?)?;
            }
        }
        let sort = query.sort;
        places.sort_unstable_by_key(|place| (rank(place.t, sort), place.id));
        Ok(Named {
            places,
            sort,
            as_of,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Narrows to what is published, as [`Filter::publish`] does.
    pub(super) fn publish(
        &mut self,
        connection: &Connection,
        view: &View<'_>,
        query: &Query,
        filter: &mut Filter,
    ) -> Result<(), StoreError> {
        let of = |place: &Place| Series::one(place.patient, place.kind);
        let mut series: Vec<Series> = self.places.iter().map(of).collect();
        filter.publish(connection, view, query.resource, &mut series)?;
        let left: HashSet<i64> = series.iter().map(|one| one.patient).collect();
        self.places.retain(|place| left.contains(&place.patient));
        Ok(())
    }

    /// The first `limit` rows after a place.
    pub(super) fn rows(
        &self,
        connection: &Connection,
        filter: &Filter,
        after: Option<At>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let key = |t, id| (rank(t, self.sort), id);
        let start = after.map_or(0, |at| {
            self.places
                .partition_point(|place| key(place.t, place.id) <= key(at.t, at.id))
        });
        let mut rows = Vec::new();
        for place in self.places.get(start..).unwrap_or_default() {
            if rows.len() == limit {
                break;
            }
            rows.extend(self.row(connection, filter, place)?);
        }
        Ok(rows)
    }

    /// How many rows there are.
    pub(super) fn count(
        &self,
        connection: &Connection,
        filter: &Filter,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        for place in &self.places {
            count += u64::from(self.row(connection, filter, place)?.is_some());
        }
        Ok(count)
    }

    /// The row at a place, if it counts as of the search's commit and the conditions hold.
    fn row(
        &self,
        connection: &Connection,
        filter: &Filter,
        place: &Place,
    ) -> Result<Option<Row>, StoreError> {
        // The numbers of the parameters are those of a series' statements (`rows`).
        let mut values: Vec<Value> = vec![
            place.patient.into(),
            place.kind.into(),
            place.t.into(),
            Value::Null,
            Value::Null,
            Value::Blob(place.id.to_vec()),
            Value::Null,
            self.as_of.into(),
        ];
        values.extend(filter.values.iter().cloned());
        let published = match filter.published.get(&place.kind) {
            Some(condition) => format!(" AND {}", condition.placed(&mut values)),
            None => String::new(),
        };
        let from = if place.past {
            "history WHERE id = ?6 AND until > ?8 AND gone = 0"
        } else {
            "record WHERE id = ?6"
        };
        let sql = format!(
            "SELECT version, updated, span, body FROM {from} AND patient = ?1 AND kind = ?2 AND t = ?3 AND updated <= ?8{}{published}",
            filter.sql
        );
        Ok(connection
            .prepare_cached(&sql)?
            .query_row(params_from_iter(values), |row| {
                Row::read((place.t, place.id), row)
            })
            .optional()?)
    }
}
