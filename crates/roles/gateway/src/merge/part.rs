//! Parts: copies that a source gave less of, marked so (`SUBSETTED`). A part that says nothing but what another copy says is that
//! copy by one more road, and no disagreement; one that says otherwise stands beside it like any other.

use super::{Given, Rule};
use fhir::json::{Json, Limits};
use fhir::subset::within;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// For each part that says nothing but what another copy says, that other: a whole one if any is. By their places among
/// `copies`; which one it is does not depend on these.
pub(super) fn joins(copies: &[Given], rule: Rule) -> BTreeMap<usize, usize> {
    let mut joins = BTreeMap::new();
    if !copies.iter().any(|copy| copy.part) {
        return joins;
    }
    let mut groups: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (at, copy) in copies.iter().enumerate() {
        groups.entry(rule.meeting(copy)).or_default().push(at);
    }
    for mut group in groups.into_values() {
        // Whole copies first, then larger parts.
        group.sort_by_key(|at| {
            let copy = &copies[*at];
            let size = Reverse(copy.read.len());
            (copy.part, size, &copy.identity.digest, &copy.route)
        });
        for at in group.iter().filter(|at| copies[**at].part) {
            let more = |other: &&usize| says_more(&copies[**other], &copies[*at]);
            joins.extend(group.iter().find(more).map(|other| (*at, *other)));
        }
    }
    joins
}

fn says_more(other: &Given, part: &Given) -> bool {
    let read = |copy: &Given| Json::parse(copy.read.clone(), Limits::BUNDLE).ok();
    other.identity.digest != part.identity.digest
        && match (read(part), read(other)) {
            (Some(part), Some(other)) => within(part.root(), other.root()),
            _ => false,
        }
}
