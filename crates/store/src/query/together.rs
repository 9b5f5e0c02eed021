//! One page of several types: what each has found, in one order.

use std::cmp::Ordering;

use fhir::search::{Query, compare};

use super::cursor::Place;
use super::rows::rank;
use super::{Found, PAGE_BYTES};
use crate::errors::StoreError;

/// The first of what the types have found. Each has found as many as a page takes, or all it has; the queries order alike.
pub(super) fn merged(mut parts: Vec<Found>, query: &Query) -> Result<Found, StoreError> {
    if parts.len() == 1 {
        return parts.pop().ok_or(StoreError::Bug);
    }
    let total = parts.iter().map(|part| part.total).sum();
    let mut more = parts.iter().any(|part| part.more);
    let mut all: Vec<_> = parts.into_iter().flat_map(|part| part.matches).collect();
    all.sort_by(|a, b| order(query, &a.1, &b.1));
    let wanted = query.count.clamp(1, Query::MAX_COUNT) as usize;
    more |= all.len() > wanted;
    all.truncate(wanted);
    let mut size = 0;
    let fits = |(n, (stored, _)): &(usize, &(crate::commit::Stored, Place))| {
        size += stored.body.len();
        *n == 0 || size <= PAGE_BYTES
    };
    let kept = all.iter().enumerate().take_while(fits).count();
    more |= kept < all.len();
    all.truncate(kept);
    Ok(Found {
        matches: all,
        more,
        total,
    })
}

fn order(query: &Query, a: &Place, b: &Place) -> Ordering {
    match (a, b) {
        (Place::Row { t: a, id: one }, Place::Row { t: b, id: other }) => {
            (rank(*a, query.sort), one).cmp(&(rank(*b, query.sort), other))
        }
        (
            Place::Sorted { values: a, id: one },
            Place::Sorted {
                values: b,
                id: other,
            },
        ) => compare(&query.keys, a, b).then_with(|| one.cmp(other)),
        // The queries order alike, so this is not met.
        (Place::Row { .. }, _) => Ordering::Less,
        (_, Place::Row { .. }) => Ordering::Greater,
    }
}
