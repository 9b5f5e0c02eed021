//! From parameters to a query, every refusal with a reason and none with a value.

use super::table::{self, Feeds, Parameter};
use super::value::{DateParam, TokenParam, TokenSystem, split, unescape};
use super::{PatientParam, Query, Sort, Via};
use crate::ids::{LogicalId, PersonIdentifier, PersonNumbers};
use crate::outcome::{Issue, IssueCode};
use crate::resource::ResourceType;
use crate::time::Zone;

/// What the values are read with.
pub(super) struct Reader<'a> {
    pub(super) via: Via,
    pub(super) zone: &'a Zone,
    pub(super) numbers: PersonNumbers,
}

/// A refusal: issue type and words.
pub(super) type Refusal = (IssueCode, String);

pub(super) fn invalid(text: impl Into<String>) -> Refusal {
    (IssueCode::Value, text.into())
}

pub(super) fn parse(
    resource: ResourceType,
    parameters: &[(String, String)],
    via: Via,
    zone: &Zone,
    numbers: PersonNumbers,
) -> Result<Query, Vec<Issue>> {
    let Some(row) = table::supported(resource) else {
        let types: Vec<_> = table::SUPPORTED
            .iter()
            .map(|row| row.resource.as_str())
            .collect();
        let text = format!(
            "{resource} cannot be searched here; supported: {}",
            types.join(", ")
        );
        return Err(vec![Issue::error(IssueCode::NotSupported, "", text)]);
    };
    if parameters.len() > Query::MAX_PARAMETERS {
        let text = format!("more than {} parameters", Query::MAX_PARAMETERS);
        return Err(vec![Issue::error(IssueCode::TooCostly, "", text)]);
    }
    let reader = Reader { via, zone, numbers };
    let mut query = Query::all(resource);
    query.zone = zone.clone();
    let mut issues = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in parameters {
        let outcome = match row
            .parameters
            .iter()
            .find(|parameter| parameter.name == name)
        {
            None => Err(unknown(name, row.parameters)),
            Some(parameter) => reader.read(parameter, value, &seen, &mut query),
        };
        seen.push(name);
        if let Err((code, text)) = outcome {
            issues.push(Issue::error(code, shown(name), text));
        }
    }
    if issues.is_empty() {
        Ok(query)
    } else {
        Err(issues)
    }
}

/// A parameter's name fit for an error: a client may have put anything there, also a person's number.
pub(super) fn shown(name: &str) -> String {
    let fit = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | '.' | ':');
    name.chars()
        .take(64)
        .map(|c| if fit(c) { c } else { '?' })
        .collect()
}

fn unknown(name: &str, parameters: &[Parameter]) -> Refusal {
    let names: Vec<_> = parameters.iter().map(|parameter| parameter.name).collect();
    let base = name.split([':', '.']).next().unwrap_or_default();
    let what = if base != name && names.contains(&base) {
        "this modifier or chain is not supported"
    } else {
        "this search parameter is not supported"
    };
    (
        IssueCode::NotSupported,
        format!("{what}; supported: {}", names.join(", ")),
    )
}

impl Reader<'_> {
    pub(super) fn read(
        &self,
        parameter: &Parameter,
        value: &str,
        seen: &[&str],
        query: &mut Query,
    ) -> Result<(), Refusal> {
        let feeds = parameter.feeds;
        if feeds == Feeds::Person && self.via == Via::Get {
            let text = "a person's number is not accepted in a URL: send this search by POST to _search, in the form body";
            return Err((IssueCode::Security, text.to_owned()));
        }
        if value.is_empty() {
            return Err(invalid(
                "the value is empty; an empty value never means all",
            ));
        }
        if feeds != Feeds::Date && seen.contains(&parameter.name) {
            return Err(invalid(
                "the parameter is there twice; give alternatives in one comma list",
            ));
        }
        match feeds {
            Feeds::Patient | Feeds::Person => {
                if query.patient.is_some() {
                    return Err(invalid(
                        "the patient is named twice; one patient per search",
                    ));
                }
                query.patient = Some(if feeds == Feeds::Person {
                    self.person(value)?
                } else {
                    local(value)?
                });
            }
            Feeds::Code => query.codes = tokens(value)?,
            Feeds::Category => query.categories = tokens(value)?,
            Feeds::Date => query.dates.push(self.date(value)?),
            Feeds::Status(system) => query.status = statuses(value, system)?,
            Feeds::Id => query.ids = ids(value)?,
            Feeds::Count => query.count = count(value)?,
            Feeds::Sort => query.sort = sort(value)?,
        }
        Ok(())
    }

    fn person(&self, value: &str) -> Result<PatientParam, Refusal> {
        if split(value, ',').len() > 1 {
            return Err(invalid("one patient per search"));
        }
        let parts = split(value, '|');
        let person = match parts.as_slice() {
            [bare] => PersonIdentifier::guess(bare, self.numbers),
            ["", _] => return Err(invalid("expected system|value or a bare value, not |value")),
            [system, number] => PersonIdentifier::parse(&unescape(system), number, self.numbers),
            _ => return Err(invalid("expected system|value or a bare value")),
        };
        person
            .map(PatientParam::Identifier)
            .map_err(|error| invalid(error.to_string()))
    }

    fn date(&self, value: &str) -> Result<DateParam, Refusal> {
        if value.contains(',') {
            return Err((
                IssueCode::NotSupported,
                "alternatives are not supported for dates; repeat the parameter for and".to_owned(),
            ));
        }
        DateParam::parse(value, self.zone).map_err(invalid)
    }
}

fn local(value: &str) -> Result<PatientParam, Refusal> {
    let id = value.strip_prefix("Patient/").unwrap_or(value);
    LogicalId::parse(id)
        .map(PatientParam::Local)
        .map_err(|_| invalid("expected Patient/{id} or {id}, one patient, the id a lower-case UUID; for a person's number use patient.identifier"))
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

fn tokens(value: &str) -> Result<Vec<TokenParam>, Refusal> {
    let read = |part| {
        TokenParam::parse(part)
            .ok_or_else(|| invalid("expected code, system|code, |code or system|"))
    };
    alternatives(value)?.into_iter().map(read).collect()
}

fn statuses(value: &str, system: &str) -> Result<Vec<String>, Refusal> {
    let read = |token: TokenParam| match (token.system, token.code) {
        (TokenSystem::Any, Some(code)) => Ok(code),
        (TokenSystem::Is(named), Some(code)) if named == system => Ok(code),
        _ => Err(invalid(format!(
            "expected a status code, alone or as {system}|code"
        ))),
    };
    tokens(value)?.into_iter().map(read).collect()
}

fn ids(value: &str) -> Result<Vec<LogicalId>, Refusal> {
    let read =
        |part: &str| LogicalId::parse(part).map_err(|_| invalid("expected lower-case UUIDs"));
    alternatives(value)?.into_iter().map(read).collect()
}

fn count(value: &str) -> Result<u32, Refusal> {
    let number = value
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| value.parse::<u32>().ok())
        .flatten();
    number
        .filter(|n| (1..=Query::MAX_COUNT).contains(n))
        .ok_or_else(|| {
            invalid(format!(
                "expected a whole number from 1 to {}",
                Query::MAX_COUNT
            ))
        })
}

fn sort(value: &str) -> Result<Sort, Refusal> {
    match value {
        "-date" => Ok(Sort::DateDesc),
        "date" => Ok(Sort::DateAsc),
        _ => Err((IssueCode::NotSupported, "expected date or -date".to_owned())),
    }
}
