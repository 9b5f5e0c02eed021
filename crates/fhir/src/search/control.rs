//! Parameters that steer the answer and narrow nothing: order, size, totals, what of each resource, and what comes with it.
//!
//! Standard: FHIR R4 search 3.1.1.5 (`_sort`, `_count`, `_include`, `_revinclude`, `_total`, `_summary`, `_elements`).

use super::fields::count;
use super::parse::{Refusal, alternatives, invalid};
use super::served::{allowed, known, references};
use super::table::{self, Feeds};
use super::{Include, Query, Sort, SortKey, Total};
use crate::definitions::Types;
use crate::definitions::search::{Kind, SearchParameter};
use crate::outcome::{Issue, IssueCode};
use crate::resource::ResourceType;
use crate::subset::{Summary, elements};

/// A control parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Count,
    Sort,
    Total,
    Summary,
    Elements,
    Include,
    RevInclude,
}

/// Whether a parameter steers the answer and narrows nothing (`_count`, `_include:iterate`).
#[must_use]
pub fn steers(name: &str) -> bool {
    Control::of(name).is_some()
}

impl Control {
    const ALL: [(&'static str, Self); 7] = [
        ("_count", Self::Count),
        ("_sort", Self::Sort),
        ("_total", Self::Total),
        ("_summary", Self::Summary),
        ("_elements", Self::Elements),
        ("_include", Self::Include),
        ("_revinclude", Self::RevInclude),
    ];

    /// What a refusal says is supported.
    pub(super) const NAMES: [&'static str; 7] = [
        "_count",
        "_sort",
        "_total",
        "_summary",
        "_elements",
        "_include",
        "_revinclude",
    ];

    /// The control that a name is, with modifier or not.
    pub(super) fn of(name: &str) -> Option<Self> {
        let base = name.split(':').next().unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|(own, _)| *own == base)
            .map(|(_, control)| control)
    }

    /// Reads the value into the query.
    pub(super) fn read(
        self,
        query: &mut Query,
        types: &Types,
        (name, value): (&str, &str),
        seen: &[&str],
    ) -> Result<(), Refusal> {
        let included = matches!(self, Self::Include | Self::RevInclude);
        let iterate = match name.split_once(':') {
            None => false,
            Some((_, "iterate")) if included => true,
            Some(_) => return Err(unsupported("this modifier is not supported")),
        };
        if !included && seen.contains(&name) {
            return Err(invalid("the parameter is there twice"));
        }
        match self {
            Self::Count if value == "0" => query.summary = Summary::Count,
            Self::Count => query.count = count(value)?,
            Self::Sort => sort(query, value)?,
            Self::Total => query.total = total(value)?,
            Self::Summary => {
                query.summary = Summary::parse(value)
                    .ok_or_else(|| invalid("expected true, text, data, count or false"))?
            }
            Self::Elements => query.elements = elements(query.resource, value).map_err(invalid)?,
            Self::Include | Self::RevInclude => {
                let reverse = self == Self::RevInclude;
                for part in alternatives(value)? {
                    let one = include((query.resource, types), part, reverse, iterate)?;
                    if !query.includes.contains(&one) {
                        query.includes.push(one);
                    }
                }
            }
        }
        Ok(())
    }
}

fn unsupported(text: &str) -> Refusal {
    (IssueCode::NotSupported, text.to_owned())
}

/// What cannot be asked together.
pub(super) fn contradictions(query: &Query) -> Option<Issue> {
    let shortened = !matches!(query.summary, Summary::False | Summary::Count);
    let (name, text) = if shortened && !query.elements.is_empty() {
        ("_elements", "_summary and _elements exclude each other")
    } else if query.summary == Summary::Text && !query.includes.is_empty() {
        (
            "_summary",
            "_summary=text has no includes (FHIR R4 search 3.1.1.5.7)",
        )
    } else {
        return None;
    };
    Some(Issue::error(IssueCode::Value, name, text))
}

fn total(value: &str) -> Result<Total, Refusal> {
    match value {
        "none" => Ok(Total::None),
        "estimate" => Ok(Total::Estimate),
        "accurate" => Ok(Total::Accurate),
        _ => Err(invalid("expected none, estimate or accurate")),
    }
}

/// The order of the clustered table, where that is what `_sort` asks.
fn clustered(resource: ResourceType, value: &str) -> Option<Sort> {
    let (name, sort) = match value.strip_prefix('-') {
        Some(name) => (name, Sort::DateDesc),
        None => (value, Sort::DateAsc),
    };
    let row = table::supported(resource)?;
    row.parameters
        .iter()
        .any(|one| one.feeds == Feeds::Date && one.name == name)
        .then_some(sort)
}

fn sort(query: &mut Query, value: &str) -> Result<(), Refusal> {
    if let Some(sort) = clustered(query.resource, value) {
        query.sort = sort;
        return Ok(());
    }
    let parts = alternatives(value)?;
    if parts.len() > Query::MAX_SORT_KEYS {
        let text = format!("more than {} parameters to sort by", Query::MAX_SORT_KEYS);
        return Err((IssueCode::TooCostly, text));
    }
    for part in parts {
        let (name, descending) = match part.strip_prefix('-') {
            Some(name) => (name, true),
            None => (part, false),
        };
        let Some(parameter) = sortable(query.resource).find(|one| one.name == name) else {
            let names: Vec<_> = sortable(query.resource).map(|one| one.name).collect();
            return Err((
                IssueCode::NotSupported,
                format!(
                    "expected search parameters with - before them or not; supported: {}",
                    names.join(", ")
                ),
            ));
        };
        if query.keys.iter().any(|key| key.parameter == parameter) {
            return Err(invalid("a parameter to sort by is there twice"));
        }
        query.keys.push(SortKey {
            parameter,
            descending,
        });
    }
    Ok(())
}

/// The parameters that a type can be sorted by: all that have one value to compare.
fn sortable(resource: ResourceType) -> impl Iterator<Item = &'static SearchParameter> {
    known(resource).filter(|one| one.kind != Kind::Composite)
}

/// `Type:parameter[:Target]`, `Type:*`, or `*` for all of the type that is searched.
fn include(
    (searched, types): (ResourceType, &Types),
    value: &str,
    reverse: bool,
    iterate: bool,
) -> Result<Include, Refusal> {
    let form = || invalid("expected Type:parameter or Type:parameter:Target");
    let all = |source| Include {
        source,
        parameter: None,
        target: None,
        reverse,
        iterate,
    };
    if value == "*" && !reverse {
        return Ok(all(searched));
    }
    let mut parts = value.split(':');
    let (Some(source), Some(name)) = (parts.next(), parts.next()) else {
        return Err(form());
    };
    let (target, more) = (parts.next(), parts.next());
    if more.is_some() {
        return Err(form());
    }
    let source = ResourceType::parse(source)
        .filter(|one| types.serves(*one))
        .ok_or_else(|| unsupported("this type is not searched here"))?;
    // Unless it goes on from what was included, an include starts at what was found.
    if !reverse && !iterate && source != searched {
        return Err(invalid(format!(
            "an include starts at what is searched: expected {searched}:parameter; with :iterate it may start elsewhere"
        )));
    }
    if name == "*" && target.is_none() && !reverse {
        return Ok(all(source));
    }
    let list = references(source, types);
    let Some((parameter, targets)) = list.iter().find(|(one, _)| one.name == name) else {
        let names: Vec<_> = list.iter().map(|(one, _)| one.name).collect();
        return Err((
            IssueCode::NotSupported,
            format!(
                "this is no reference of {source} that can be followed here; supported: {}",
                names.join(", ")
            ),
        ));
    };
    let target = match target {
        None => None,
        Some(name) => Some(
            ResourceType::parse(name)
                .filter(|one| targets.contains(one))
                .ok_or_else(|| invalid("the reference does not point to this type here"))?,
        ),
    };
    if reverse && !iterate {
        let points =
            allowed(parameter, searched.as_str()) && target.is_none_or(|target| target == searched);
        if !points {
            return Err(invalid(format!(
                "the reference does not point to {searched}"
            )));
        }
    }
    Ok(Include {
        source,
        parameter: Some(parameter),
        target,
        reverse,
        iterate,
    })
}
