//! Pages in an order that the tables do not have: all matches are found first, within the limits, then sorted.
//!
//! Standard: FHIR R4 search 3.1.1.5.1. Sort keys are those of the matches themselves, so the order tells nothing of what the
//! caller cannot see.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use fhir::search::{Query, SortValue, compare, sort_values};

use super::cursor::Place;
use super::link::Links;
use super::rows::{Row, Sought};
use super::sift::through;
use super::{Asking, Found, PAGE_BYTES};
use crate::backend::sqlite::reader::Reader;
use crate::commit::Stored;
use crate::errors::StoreError;

struct Keyed {
    values: Vec<Option<SortValue>>,
    row: Row,
}

/// A page after a place.
pub(super) fn page(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    sought: &Sought,
    (query, links): (&Query, &mut Links<'_>),
    wanted: usize,
    after: Option<Place>,
) -> Result<Found, StoreError> {
    let after = match after {
        None => None,
        Some(Place::Sorted { values, id }) if values.len() == query.keys.len() => {
            Some((values, id))
        }
        // Of another question.
        Some(_) => return Err(StoreError::NotFound),
    };
    // Never more of them at hand than two pages: bodies are large.
    let (mut all, mut total): (Vec<Keyed>, u64) = (Vec::new(), 0);
    let most = wanted + 1;
    through(reader, asking, sought, (query, links), None, |_, found| {
        total += 1;
        let values = sort_values(found.root, query);
        let comes = after.as_ref().is_none_or(|(place, id)| {
            order(query, (&values, found.row.id), (place, *id)) == Ordering::Greater
        });
        if comes {
            all.push(Keyed {
                values,
                row: found.row.clone(),
            });
        }
        if all.len() >= 2 * most {
            first(query, &mut all, most);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    first(query, &mut all, most);
    let mut more = all.len() > wanted;
    let mut matches: Vec<(Stored, Place)> = Vec::new();
    let mut size = 0;
    for one in all.into_iter().take(wanted) {
        let stored = one.row.stored(reader, query.resource)?;
        size += stored.body.len();
        if size > PAGE_BYTES && !matches.is_empty() {
            more = true;
            break;
        }
        let place = Place::Sorted {
            values: one.values,
            id: one.row.id,
        };
        matches.push((stored, place));
    }
    Ok(Found {
        matches,
        more,
        total: Some(total),
    })
}

/// Those that come first, in order.
fn first(query: &Query, all: &mut Vec<Keyed>, most: usize) {
    all.sort_unstable_by(|a, b| order(query, (&a.values, a.row.id), (&b.values, b.row.id)));
    all.truncate(most);
}

type Key<'a> = (&'a [Option<SortValue>], [u8; 16]);

fn order(query: &Query, a: Key<'_>, b: Key<'_>) -> Ordering {
    compare(&query.keys, a.0, b.0).then_with(|| a.1.cmp(&b.1))
}
