//! The search grammar: form parameters in, a [`Query`] or issues that name the parameter out.
//!
//! Standard: FHIR R4 search (section 3.1.1); CONTRACT section 1 (a person's number by POST only). Which
//! parameters a type has is a table ([`SUPPORTED`]) that the CapabilityStatement reads too. What is unknown or
//! malformed is refused, never ignored: ignoring would widen the answer.

mod condition;
mod control;
mod fields;
mod filter;
mod handle;
mod link;
mod matching;
mod number;
mod order;
mod parse;
mod pointer;
mod reads;
mod served;
mod table;
mod text;
mod value;

use crate::definitions::Types;
use crate::definitions::search::SearchParameter;
use crate::ids::{LogicalId, PersonIdentifier, PersonNumbers};
use crate::outcome::Issue;
use crate::resource::ResourceType;
use crate::subset::Summary;
use crate::time::{Instant, Zone};

pub use control::steers;
pub use filter::{Condition, Filter, Target, Test, Text, Uri, Whom};
pub use handle::{Grip, Handle, Wanted, handles, wanted, wanted_by};
pub use matching::{filters_match, matches};
pub use number::{NumberParam, Unit};
pub use order::{SortValue, compare, sort_values};
pub use parse::{holds_a_person, may_carry_a_person};
pub use pointer::{Pointer, pointers};
pub use served::{Served, references, served};
pub use table::{Feeds, Parameter, ParameterType, SUPPORTED, Supported, supported};
pub use value::{DateParam, Prefix, TokenParam, TokenSystem};

/// How the parameters came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// In the URL.
    Get,
    /// In a form body.
    Post,
}

/// Whose data is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatientParam {
    /// By logical id in the store asked.
    Local(LogicalId),
    /// By national number.
    Identifier(PersonIdentifier),
}

/// Which parameters are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar<'a> {
    /// Those that every party understands alike: the rows of [`SUPPORTED`]. The query then has no filters, links or controls.
    Shared,
    /// Any search parameter of the type, with modifiers, chains and controls; chains and includes go to these types, which
    /// the deployment serves. Whether it serves the type that is searched is the caller's to know.
    Whole(&'a Types),
}

/// Order of the clustered table. Ties are broken by id; what has no time comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// Newest first.
    #[default]
    DateDesc,
    /// Oldest first.
    DateAsc,
}

/// One parameter to sort by (`_sort`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    /// What is compared.
    pub parameter: &'static SearchParameter,
    /// Greatest first.
    pub descending: bool,
}

/// Whether the number of matches is told (`_total`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Total {
    /// Nobody asked: only where it is known without counting.
    #[default]
    Unasked,
    /// Not at all.
    None,
    /// At least about.
    Estimate,
    /// Exactly.
    Accurate,
}

/// What comes with the matches (`_include`, `_revinclude`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Include {
    /// The type that the reference stands in.
    pub source: ResourceType,
    /// The reference; `None` (`*`, never in reverse): all of them.
    pub parameter: Option<&'static SearchParameter>,
    /// Only where it points to this type.
    pub target: Option<ResourceType>,
    /// From the target to the source: `_revinclude`.
    pub reverse: bool,
    /// Also from what was included.
    pub iterate: bool,
}

/// A condition on another resource: a chain, or `_has` in reverse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The reference that joins the two: of the type searched; in reverse, of the type at the other end.
    pub reference: &'static SearchParameter,
    /// `_has`: the other end points here.
    pub reverse: bool,
    /// What one resource at the other end must match. Order, size and controls mean nothing in it.
    pub query: Query,
}

/// A search that was understood whole. Lists of alternatives are OR, the fields together (and each of `dates`)
/// are AND; an empty list asks for nothing in particular.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The type searched.
    pub resource: ResourceType,
    /// Whose data.
    pub patient: Option<PatientParam>,
    /// Any of these codes.
    pub codes: Vec<TokenParam>,
    /// Any of these status codes.
    pub status: Vec<String>,
    /// Any of these categories.
    pub categories: Vec<TokenParam>,
    /// All of these dates.
    pub dates: Vec<DateParam>,
    /// Any of these ids.
    pub ids: Vec<LogicalId>,
    /// Matches on a page, 1 to 200.
    pub count: u32,
    /// Order, if there are no `keys`.
    pub sort: Sort,
    /// Order by other things than time, the first key first; what has no value comes last, ties go by id.
    pub keys: Vec<SortKey>,
    /// What else must hold; empty for a search that the clustered table answers whole.
    pub filters: Vec<Filter>,
    /// What must hold of other resources.
    pub links: Vec<Link>,
    /// Whether matches are counted.
    pub total: Total,
    /// What of each match is given.
    pub summary: Summary,
    /// The elements that are given of each match (and those that must be); empty: all. The names are those of [`crate::subset::elements`].
    pub elements: Vec<&'static str>,
    /// What comes with the matches.
    pub includes: Vec<Include>,
    /// The zone in which dates without a time count.
    pub zone: Zone,
}

impl Query {
    /// Matches on a page if nobody says otherwise.
    pub const DEFAULT_COUNT: u32 = 50;
    /// Most matches on a page.
    pub const MAX_COUNT: u32 = 200;
    /// Most parameters in one search.
    pub const MAX_PARAMETERS: usize = 20;
    /// Most alternatives in one comma list.
    pub const MAX_ALTERNATIVES: usize = 50;
    /// Most links one after the other.
    pub const MAX_LINKS: usize = 2;
    /// Most parameters to sort by.
    pub const MAX_SORT_KEYS: usize = 5;

    /// A search of `resource` that asks for nothing in particular.
    #[must_use]
    pub fn all(resource: ResourceType) -> Self {
        Self {
            resource,
            patient: None,
            codes: Vec::new(),
            status: Vec::new(),
            categories: Vec::new(),
            dates: Vec::new(),
            ids: Vec::new(),
            count: Self::DEFAULT_COUNT,
            sort: Sort::DateDesc,
            keys: Vec::new(),
            filters: Vec::new(),
            links: Vec::new(),
            total: Total::Unasked,
            summary: Summary::False,
            elements: Vec::new(),
            includes: Vec::new(),
            zone: Zone::default(),
        }
    }

    /// The types besides its own that take part in what is found: those at the other end of links. Each once.
    #[must_use]
    pub fn others(&self) -> Vec<ResourceType> {
        let mut found = Vec::new();
        self.ends(&mut found);
        found.retain(|one| *one != self.resource);
        found
    }

    fn ends(&self, found: &mut Vec<ResourceType>) {
        for link in &self.links {
            if !found.contains(&link.query.resource) {
                found.push(link.query.resource);
            }
            link.query.ends(found);
        }
    }

    /// Gives every `ap` before a date its width: a tenth of the time between `now` and the date, on both sides. To be done
    /// once, before the search; without it such a date is compared as it is.
    pub fn approximate(&mut self, now: Instant) {
        let filtered = self.filters.iter_mut().flat_map(Filter::dates);
        for date in self.dates.iter_mut().chain(filtered) {
            date.approximate(now);
        }
        for link in &mut self.links {
            link.query.approximate(now);
        }
    }
}

/// Reads the parameters of a search.
///
/// # Errors
/// One issue for each parameter that is unknown, empty, malformed, repeated without meaning, or carries a
/// person's number in a URL; all of them at once. No issue repeats a value.
pub fn parse(
    resource: ResourceType,
    parameters: &[(String, String)],
    via: Via,
    zone: &Zone,
    numbers: PersonNumbers,
    grammar: Grammar<'_>,
) -> Result<Query, Vec<Issue>> {
    let reader = parse::Reader {
        via,
        zone,
        numbers,
        grammar,
    };
    parse::parse(resource, parameters, &reader)
}

#[cfg(test)]
mod condition_tests;
#[cfg(test)]
mod tests;
