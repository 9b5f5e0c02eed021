//! From what every source answered to one list: each thing once, whatever roads it came by.
//!
//! A pure function. Two copies are the same thing when `fhir::identity` gives them the same key (CONTRACT section 5, "One
//! reading"): counted once, every route listed. Copies with the same key and different content are both kept and flagged.
//! A copy that a source marks as a part, and which says nothing but what another says, is one more road to that one ([`part`]).
//! The order does not depend on the order of the answers: by time as asked, things without a time last, ties by [`Tie`].

mod part;
mod rule;
mod substance;

pub use rule::Rule;
pub use substance::Kin;

use bytes::Bytes;
use fhir::identity::Identity;
use fhir::resource::ResourceType;
use fhir::search::Sort;
use fhir::time::Range;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// One resource as one source gave it.
#[derive(Clone)]
pub struct Given {
    /// Where it was found.
    pub route: Route,
    /// The resource, byte for byte as the source sent it, but for what its reader is not given.
    pub body: Bytes,
    /// Its type.
    pub resource: ResourceType,
    /// What makes it one thing.
    pub identity: Identity,
    /// It carries a business identifier, so that its identity is more than its content.
    pub named: bool,
    /// When it happened; `None` sorts last.
    pub when: Option<Range>,
    /// The resource as its identity was read: with the patient by number.
    pub read: Bytes,
    /// It says that it is a part of a resource (`SUBSETTED`).
    pub part: bool,
    /// How it changed, where that was asked.
    pub change: Option<Change>,
    /// The source's own Patient that it is about, where it names the patient by reference alone.
    pub local: Option<String>,
    /// Of answers: the questionnaire, and its version, that they are answers to.
    pub questionnaire: Option<String>,
}

/// How a thing changed since the caller last looked; where its copies differ in that, the later one here counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Its source did not answer then: nobody knows since when it is there.
    FirstAnswer,
    /// It was not there then.
    New,
    /// It was there then and says something else now.
    Corrected,
    /// It was there then and its holder says that it should not have been.
    Withdrawn,
}

impl Change {
    /// The code in the answer.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::FirstAnswer => "first-answer",
            Change::New => "new",
            Change::Corrected => "corrected",
            Change::Withdrawn => "withdrawn",
        }
    }
}

/// A road by which a copy came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The organisation that answered.
    pub orgnr: String,
    /// The copy's address there.
    pub full_url: String,
    /// Its logical id there.
    pub id: String,
    /// Its version there; 0 where the source names none.
    pub version: u64,
    /// Which of the look-up's sources it was, counted as they are listed.
    pub source: usize,
}

/// Orders things of one time: a hash of what they are, so it is the same whoever gave them and whenever they are asked for.
pub type Tie = [u8; 16];

/// One thing in the merged answer.
#[derive(Clone)]
pub struct Merged {
    /// The copy that is shown: of equal copies, the one whose route sorts first, a whole one before a part.
    pub body: Bytes,
    /// Its type.
    pub resource: ResourceType,
    /// Every road it came by, sorted, those of parts last; the first is the shown copy's.
    pub routes: Vec<Route>,
    /// Another entry has the same identity and other content.
    pub disagrees: bool,
    /// When it begins, in microseconds; `None` sorts last.
    pub at: Option<i64>,
    /// Its place among things of the same time.
    pub tie: Tie,
    /// What it is: copies that disagree about one thing are alike in this.
    pub thing: Tie,
    /// How it changed since the caller last looked, where that was asked.
    pub change: Option<Change>,
    /// Of a line in a medication list: the lines of other organisations with the same substance.
    pub kin: Option<Kin>,
}

/// Merges copies by `rule`, in the order asked for.
pub fn merge(copies: Vec<Given>, rule: Rule, sort: Sort) -> Vec<Merged> {
    let joins = part::joins(&copies, rule);
    let others: BTreeMap<usize, Given> = joins
        .values()
        .map(|at| (*at, copies[*at].clone()))
        .collect();
    let read = |(at, copy): (usize, Given)| {
        let other = joins.get(&at).and_then(|other| others.get(other));
        let joined = other.is_some();
        let copy = match other.cloned() {
            Some(other) => Given {
                route: copy.route,
                change: copy.change,
                ..other
            },
            None => copy,
        };
        (rule.key(&copy), joined, copy)
    };
    let mut keyed: Vec<(Vec<u8>, bool, Given)> = copies.into_iter().enumerate().map(read).collect();
    keyed.sort_by(|(ka, ja, a), (kb, jb, b)| {
        let (a, b) = (
            (ka, &a.identity.digest, ja, a.part, &a.route),
            (kb, &b.identity.digest, jb, b.part, &b.route),
        );
        a.cmp(&b)
    });
    let mut merged: Vec<Merged> = Vec::with_capacity(keyed.len());
    let mut last: Option<(Vec<u8>, [u8; 32])> = None;
    for (key, _, copy) in keyed {
        let same = |held: &(Vec<u8>, [u8; 32])| held.0 == key;
        let alike = last.as_ref().is_some_and(same);
        let equal = alike
            && last
                .as_ref()
                .is_some_and(|held| held.1 == copy.identity.digest);
        if let (true, Some(shown)) = (equal, merged.last_mut()) {
            if !shown.routes.contains(&copy.route) {
                shown.routes.push(copy.route);
            }
            shown.change = shown.change.max(copy.change);
            continue;
        }
        if let (true, Some(other)) = (alike, merged.last_mut()) {
            other.disagrees = true;
        }
        merged.push(Merged {
            tie: tie(&key, &copy.identity.digest),
            thing: tie(&key, &[0; 32]),
            body: copy.body,
            resource: copy.resource,
            routes: vec![copy.route],
            disagrees: alike,
            at: copy.when.map(|when| when.lo),
            change: copy.change,
            kin: None,
        });
        last = Some((key, copy.identity.digest));
    }
    merged.sort_by(|a, b| in_time(a.at, b.at, sort).then_with(|| a.tie.cmp(&b.tie)));
    if rule == Rule::Medicine {
        substance::relate(&mut merged);
    }
    merged
}

/// Where a copy will stand among things of its time.
pub fn tie_of(copy: &Given, rule: Rule) -> Tie {
    tie(&rule.key(copy), &copy.identity.digest)
}

fn tie(key: &[u8], digest: &[u8; 32]) -> Tie {
    let whole = trust::encoding::sha256(&[key, digest].concat());
    let mut tie = Tie::default();
    tie.copy_from_slice(&whole[..16]);
    tie
}

/// Order by beginning; things without a time come last either way.
pub fn in_time(a: Option<i64>, b: Option<i64>, sort: Sort) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => match sort {
            Sort::DateDesc => b.cmp(&a),
            Sort::DateAsc => a.cmp(&b),
        },
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
