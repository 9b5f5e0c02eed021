//! The search grammar: form parameters in, a [`Query`] or issues that name the parameter out.
//!
//! Standard: FHIR R4 search (section 3.1.1); CONTRACT section 1 (a person's number by POST only). Which
//! parameters a type has is a table ([`SUPPORTED`]) that the CapabilityStatement reads too. What is unknown or
//! malformed is refused, never ignored: ignoring would widen the answer.

mod filter;
mod general;
mod matching;
mod number;
mod parse;
mod table;
mod text;
mod value;

use crate::ids::{LogicalId, PersonIdentifier, PersonNumbers};
use crate::outcome::Issue;
use crate::resource::ResourceType;
use crate::time::Zone;

pub use filter::{Condition, Filter, Target, Test, Text, Uri, Whom};
pub use general::{Served, may_carry_a_person, served};
pub use matching::{filters_match, matches};
pub use number::{NumberParam, Unit};
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

/// Order of the answer. Ties are broken by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// Newest first.
    #[default]
    DateDesc,
    /// Oldest first.
    DateAsc,
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
    /// Order.
    pub sort: Sort,
    /// What else must hold ([`parse_any`] alone makes these); empty for a search that the clustered table answers whole.
    pub filters: Vec<Filter>,
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
            filters: Vec::new(),
            zone: Zone::default(),
        }
    }
}

/// Reads the parameters of a search that every party understands alike: those of [`SUPPORTED`], and no filters.
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
) -> Result<Query, Vec<Issue>> {
    parse::parse(resource, parameters, via, zone, numbers)
}

/// Reads the parameters of a search that may name any search parameter of the type, with modifiers. Whether
/// the type is served is the caller's to know.
///
/// # Errors
/// As [`parse`].
pub fn parse_any(
    resource: ResourceType,
    parameters: &[(String, String)],
    via: Via,
    zone: &Zone,
    numbers: PersonNumbers,
) -> Result<Query, Vec<Issue>> {
    general::parse(resource, parameters, via, zone, numbers)
}

#[cfg(test)]
mod general_tests;
#[cfg(test)]
mod tests;
