//! Parameters that the store's clustered table answers: each becomes a field of the [`Query`].

use super::parse::{Reader, Refusal, alternatives, invalid};
use super::table::{Feeds, Parameter};
use super::value::{DateParam, Prefix, TokenParam, TokenSystem, split, unescape};
use super::{Grammar, PatientParam, Query, Sort};
use crate::ids::{LogicalId, PersonIdentifier};
use crate::outcome::IssueCode;

impl Reader<'_> {
    pub(super) fn read(
        &self,
        parameter: &Parameter,
        value: &str,
        seen: &[&str],
        query: &mut Query,
    ) -> Result<(), Refusal> {
        let feeds = parameter.feeds;
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
        let date = DateParam::parse(value, self.zone).map_err(invalid)?;
        if date.prefix == Prefix::Ap && self.grammar == Grammar::Shared {
            let text = "the prefix ap is not supported here; give a range with ge and le";
            return Err(invalid(text));
        }
        Ok(date)
    }
}

fn local(value: &str) -> Result<PatientParam, Refusal> {
    let id = value.strip_prefix("Patient/").unwrap_or(value);
    LogicalId::parse(id)
        .map(PatientParam::Local)
        .map_err(|_| invalid("expected Patient/{id} or {id}, one patient, the id a lower-case UUID; for a person's number use patient.identifier"))
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

pub(super) fn count(value: &str) -> Result<u32, Refusal> {
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
