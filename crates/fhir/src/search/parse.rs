//! From parameters to a query, every refusal with a reason and none with a value.
//!
//! One reader for both grammars ([`Grammar`]): what every party understands alike, and any parameter of the published
//! definitions with chains and controls.

use super::condition::condition;
use super::control::{self, Control};
use super::link;
use super::served::{hot, known, served};
use super::table::{self, Feeds, Parameter};
use super::value::split;
use super::{Filter, Grammar, Query, Via};
use crate::definitions::Types;
use crate::ids::{PersonIdentifier, PersonNumbers, PersonSystem};
use crate::outcome::{Issue, IssueCode};
use crate::resource::ResourceType;
use crate::time::Zone;

/// What the values are read with.
pub(super) struct Reader<'a> {
    pub(super) via: Via,
    pub(super) zone: &'a Zone,
    pub(super) numbers: PersonNumbers,
    /// Which parameters are understood.
    pub(super) grammar: Grammar<'a>,
}

/// A refusal: issue type and words.
pub(super) type Refusal = (IssueCode, String);

pub(super) fn invalid(text: impl Into<String>) -> Refusal {
    (IssueCode::Value, text.into())
}

pub(super) fn parse(
    resource: ResourceType,
    parameters: &[(String, String)],
    reader: &Reader<'_>,
) -> Result<Query, Vec<Issue>> {
    let grammar = reader.grammar;
    if grammar == Grammar::Shared && table::supported(resource).is_none() {
        let text = unsearchable(resource);
        return Err(vec![Issue::error(IssueCode::NotSupported, "", text)]);
    }
    if parameters.len() > Query::MAX_PARAMETERS {
        let text = format!("more than {} parameters", Query::MAX_PARAMETERS);
        return Err(vec![Issue::error(IssueCode::TooCostly, "", text)]);
    }
    let mut query = Query::all(resource);
    query.zone = reader.zone.clone();
    let mut issues = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in parameters {
        let outcome = admissible(reader, name, value).and_then(|()| match grammar {
            Grammar::Shared => shared(reader, &mut query, name, value, &seen),
            Grammar::Whole(types) => whole(reader, types, &mut query, name, value, &seen),
        });
        seen.push(name);
        if let Err((code, text)) = outcome {
            issues.push(Issue::error(code, shown(name), text));
        }
    }
    if issues.is_empty() {
        issues.extend(control::contradictions(&query));
    }
    if issues.is_empty() {
        Ok(query)
    } else {
        Err(issues)
    }
}

fn unsearchable(resource: ResourceType) -> String {
    let types: Vec<_> = table::SUPPORTED
        .iter()
        .map(|row| row.resource.as_str())
        .collect();
    format!(
        "{resource} cannot be searched here; supported: {}",
        types.join(", ")
    )
}

/// What holds of every parameter: it has a value, and a person's number does not stand in a URL.
fn admissible(reader: &Reader<'_>, name: &str, value: &str) -> Result<(), Refusal> {
    if reader.via == Via::Get && (may_carry_a_person(name) || holds_a_person(value)) {
        let text = "a person's number is not accepted in a URL: send this search by POST to _search, in the form body";
        return Err((IssueCode::Security, text.to_owned()));
    }
    if value.is_empty() {
        return Err(invalid(
            "the value is empty; an empty value never means all",
        ));
    }
    Ok(())
}

/// Whether a parameter's value may be a person's number: identifiers, also by chain and modifier.
#[must_use]
pub fn may_carry_a_person(name: &str) -> bool {
    name.split(['.', ':']).any(|part| part == "identifier") || name.ends_with("identifier")
}

/// Whether a person's number stands in a value, whatever the parameter.
#[must_use]
pub fn holds_a_person(value: &str) -> bool {
    value
        .split(|c: char| !c.is_ascii_digit())
        .any(|run| run.len() == 11 && PersonIdentifier::guess(run, PersonNumbers::Strict).is_ok())
}

fn shared(
    reader: &Reader<'_>,
    query: &mut Query,
    name: &str,
    value: &str,
    seen: &[&str],
) -> Result<(), Refusal> {
    let parameters = table::supported(query.resource).map_or(&[][..], |row| row.parameters);
    match parameters.iter().find(|one| one.name == name) {
        Some(parameter) => reader.read(parameter, value, seen, query),
        None => {
            let names: Vec<_> = parameters.iter().map(|one| one.name).collect();
            Err(unknown(name, &names))
        }
    }
}

fn whole(
    reader: &Reader<'_>,
    types: &Types,
    query: &mut Query,
    name: &str,
    value: &str,
    seen: &[&str],
) -> Result<(), Refusal> {
    match Control::of(name) {
        Some(control) => control.read(query, types, (name, value), seen),
        None => condition_on(reader, types, query, (name, value), seen, 0),
    }
}

/// A parameter that narrows what is found; `depth` counts the links that led here.
pub(super) fn condition_on(
    reader: &Reader<'_>,
    types: &Types,
    query: &mut Query,
    (name, value): (&str, &str),
    seen: &[&str],
    depth: usize,
) -> Result<(), Refusal> {
    let resource = query.resource;
    if let Some(parameter) = hot(resource).find(|one| one.name == name)
        && clustered(parameter, value, seen)
    {
        return reader.read(parameter, value, seen, query);
    }
    if let Some(rest) = name.strip_prefix("_has:") {
        return link::having(reader, types, query, (rest, value), depth);
    }
    if let Some((reference, rest)) = name.split_once('.') {
        return link::chain(reader, types, query, (reference, rest, value), depth);
    }
    let (base, modifier) = match name.split_once(':') {
        Some((base, modifier)) => (base, Some(modifier)),
        None => (name, None),
    };
    let Some(parameter) = known(resource).find(|one| one.name == base) else {
        return Err(unlisted(resource, name));
    };
    let condition = condition(reader, resource, parameter, modifier, value)?;
    query.filters.push(Filter {
        name: parameter.name,
        condition,
    });
    Ok(())
}

/// Whether the clustered table answers this value; what it does not (a repeat, alternatives of dates, an identifier that is no
/// person's) is a filter.
fn clustered(parameter: &Parameter, value: &str, seen: &[&str]) -> bool {
    match parameter.feeds {
        Feeds::Date => split(value, ',').len() == 1,
        Feeds::Person if parameter.name == "identifier" => match split(value, '|').as_slice() {
            [system, _] => system.is_empty() || PersonSystem::parse(system).is_some(),
            _ => true,
        },
        Feeds::Patient | Feeds::Person => true,
        Feeds::Count | Feeds::Sort => false,
        Feeds::Code | Feeds::Category | Feeds::Status(_) | Feeds::Id => {
            !seen.contains(&parameter.name)
        }
    }
}

/// The refusal of a parameter that a type does not have.
pub(super) fn unlisted(resource: ResourceType, name: &str) -> Refusal {
    let mut names: Vec<_> = served(resource).into_iter().map(|one| one.name).collect();
    names.push("_has");
    names.extend(Control::NAMES);
    unknown(name, &names)
}

fn unknown(name: &str, supported: &[&str]) -> Refusal {
    let base = name.split([':', '.']).next().unwrap_or_default();
    let what = if base != name && supported.contains(&base) {
        "this modifier or chain is not supported"
    } else {
        "this search parameter is not supported"
    };
    (
        IssueCode::NotSupported,
        format!("{what}; supported: {}", supported.join(", ")),
    )
}

/// A parameter's name fit for an error: a client may have put anything there, also a person's number.
pub(super) fn shown(name: &str) -> String {
    let fit = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | '.' | ':');
    name.chars()
        .take(64)
        .map(|c| if fit(c) { c } else { '?' })
        .collect()
}

pub(super) fn alternatives(value: &str) -> Result<Vec<&str>, Refusal> {
    let parts = split(value, ',');
    if parts.len() > Query::MAX_ALTERNATIVES {
        return Err((
            IssueCode::TooCostly,
            format!("more than {} alternatives", Query::MAX_ALTERNATIVES),
        ));
    }
    if parts.iter().any(|part| part.is_empty()) {
        return Err(invalid("an alternative is empty"));
    }
    Ok(parts)
}
