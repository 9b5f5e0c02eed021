//! How far a look-up came, so that its pages together give every entry once.
//!
//! A `next` link holds no source's cursor (ten of them make no usable URL) but a [`Place`]: the last entry shown, as its
//! time and its [`Tie`]. For the next page every source is asked again for what begins at that time or after it in the
//! order asked for (`date=lt…` or `sa…`, exact to the microsecond), and what was shown already is left out.
//!
//! A source that has more than it gave is known only up to its last entry, and of entries at that very time perhaps not
//! all. So a page shows what lies strictly before the nearest such horizon: whole groups of one time, in an order that no
//! source decides. A page may therefore be a little shorter than `_count` (FHIR R4 search 3.1.1.5.6 allows it).
//!
//! Entries without a time come last. A date never finds them, so after the last dated page there is, unless the question
//! itself names a date, a page of those alone, for which sources are read to their end.
//!
//! What copies say of each other stands on the page that shows them. Medication lists are read whole for every page, so that no line
//! loses what the others' lines say. Of readings a page knows what it asked for: two copies of one reading that name
//! different times disagree, and are told so only where one page holds both.
//!
//! A source that was late on one page and answers on the next begins there: what it missed was named in that page's receipt.

use crate::merge::{Given, Merged, Rule, Tie, tie_of};
use fhir::search::Sort;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};

/// Most bytes of resources on one page, so that readers who take a bundle of 10 MiB can take it.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Where the pages before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Nothing was shown yet.
    Start,
    /// Shown up to this entry.
    Dated {
        /// Its beginning, in microseconds.
        at: i64,
        /// Its place among entries of that time.
        tie: Tie,
    },
    /// Everything with a time was shown, and of the rest what comes up to this one.
    Undated {
        /// `None`: none of the rest yet.
        after: Option<Tie>,
    },
}

impl Place {
    /// Whether an entry is still to be shown.
    pub fn is_ahead(&self, at: Option<i64>, tie: &Tie, sort: Sort) -> bool {
        match (self, at) {
            (Place::Start, _) => true,
            (
                Place::Dated {
                    at: shown,
                    tie: last,
                },
                Some(at),
            ) => before(sort, *shown, at) || (at == *shown && tie > last),
            (Place::Dated { .. }, None) | (Place::Undated { .. }, Some(_)) => false,
            (Place::Undated { after }, None) => after.as_ref().is_none_or(|last| tie > last),
        }
    }

    /// The `date` parameter that leaves out what begins before this place; none where no date can say it.
    pub fn narrowing(&self, sort: Sort) -> Option<String> {
        let Place::Dated { at, .. } = self else {
            return None;
        };
        Some(match sort {
            Sort::DateDesc => format!("lt{}", exact(at.saturating_add(1))),
            Sort::DateAsc => format!("sa{}", exact(at.saturating_sub(1))),
        })
    }

    /// Whether this much of a source's answer, in the source's order, is enough to show at least one entry from.
    pub fn is_enough(&self, given: &[Given], rule: Rule, sort: Sort) -> bool {
        let Some(horizon) = horizon(given) else {
            return false;
        };
        given.iter().any(|copy| {
            let at = copy.when.map(|when| when.lo);
            // A part stands where its whole does, which may be before it.
            let tie = if copy.part {
                Tie::default()
            } else {
                tie_of(copy, rule)
            };
            at.is_some_and(|at| before(sort, at, horizon)) && self.is_ahead(at, &tie, sort)
        })
    }
}

/// Whether `a` comes before `b` in this order.
fn before(sort: Sort, a: i64, b: i64) -> bool {
    match sort {
        Sort::DateDesc => a > b,
        Sort::DateAsc => a < b,
    }
}

/// A moment with all six digits: fewer would mean a wider range.
pub fn exact(micros: i64) -> String {
    let whole = Instant::from_seconds(Instant(micros).seconds()).to_string();
    format!(
        "{}.{:06}Z",
        whole.trim_end_matches('Z'),
        micros.rem_euclid(1_000_000)
    )
}

/// The time of the last dated entry: beyond it a source that has more is not known.
pub fn horizon(given: &[Given]) -> Option<i64> {
    given
        .iter()
        .rev()
        .find_map(|copy| copy.when.map(|when| when.lo))
}

/// Whether the dated entries stand in the order asked for.
pub fn is_ordered(given: &[Given], sort: Sort) -> bool {
    let mut last = None;
    given
        .iter()
        .filter_map(|copy| copy.when.map(|when| when.lo))
        .all(|at| !last.replace(at).is_some_and(|last| before(sort, at, last)))
}

/// One page.
pub struct Cut {
    /// Its entries, in order.
    pub shown: Vec<Merged>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Place>,
}

/// What a page must know besides the entries.
#[derive(Clone, Copy)]
pub struct Paper<'a> {
    /// Where the pages before ended.
    pub place: Place,
    /// Order.
    pub sort: Sort,
    /// Most entries on a page.
    pub count: usize,
    /// Horizons of the sources that have more than they gave.
    pub horizons: &'a [i64],
    /// Whether the question names a date, which entries without one never match.
    pub dated_only: bool,
}

/// Cuts a page from merged entries.
pub fn cut(merged: Vec<Merged>, paper: &Paper<'_>) -> Cut {
    let Paper {
        place,
        sort,
        count,
        horizons,
        dated_only,
    } = *paper;
    let ahead = merged
        .into_iter()
        .filter(|entry| place.is_ahead(entry.at, &entry.tie, sort));
    let (dated, mut undated): (Vec<Merged>, Vec<Merged>) =
        ahead.partition(|entry| entry.at.is_some());
    if let Place::Undated { after } = place {
        let fits = fitting(&undated, count, 0);
        let more = undated.len() > fits;
        undated.truncate(fits);
        let last = undated.last().map(|entry| entry.tie).or(after);
        return Cut {
            shown: undated,
            next: more.then_some(Place::Undated { after: last }),
        };
    }
    let known = |entry: &Merged| {
        let inside = |horizon: &i64| entry.at.is_some_and(|at| before(sort, at, *horizon));
        horizons.iter().all(inside)
    };
    let mut shown: Vec<Merged> = dated.into_iter().take_while(known).collect();
    let fits = fitting(&shown, count, 0);
    let all_dated = horizons.is_empty() && shown.len() == fits;
    shown.truncate(fits);
    if !all_dated {
        let last = shown.last().and_then(|entry| Some((entry.at?, entry.tie)));
        return Cut {
            next: last.map(|(at, tie)| Place::Dated { at, tie }),
            shown,
        };
    }
    if place != Place::Start {
        // This page asked by date, so the rest was not seen.
        let next = (!dated_only).then_some(Place::Undated { after: None });
        return Cut { shown, next };
    }
    let used = shown.iter().map(|entry| entry.body.len()).sum();
    let fits = fitting(&undated, count - shown.len(), used);
    let more = undated.len() > fits;
    undated.truncate(fits);
    let last = undated.last().map(|entry| entry.tie);
    shown.append(&mut undated);
    Cut {
        shown,
        next: more.then_some(Place::Undated { after: last }),
    }
}

/// How many of these a page still takes: at most `count`, and as many bytes as it may have, but always one on an empty page.
fn fitting(entries: &[Merged], count: usize, used: usize) -> usize {
    let mut used = used;
    let fits = |entry: &&Merged| {
        let empty = used == 0;
        used += entry.body.len();
        empty || used <= PAGE_BYTES
    };
    entries.iter().take(count).take_while(fits).count()
}

#[cfg(test)]
mod tests;
