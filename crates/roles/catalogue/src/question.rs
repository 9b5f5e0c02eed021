//! The catalogue's search grammar (FHIR R4 search, tokens: 3.1.1.4.10, escaping: 3.1.1.5.4). What is unknown or malformed
//! is refused, never ignored. Several parameters are AND, commas are OR.

use fhir::ids::OrganisationNumber;
use fhir::operation::shown;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::{Query, TokenParam, TokenSystem};
use fhir::systems;
use fhir::time::Instant;
use trust::organisation::Register;
use wire::contract::catalogue::{
    BY_IDENTIFIER, BY_ORGANISATION, BY_PARTICIPATING, BY_PAYLOAD, BY_PRIMARY,
};

use crate::entry::Entry;
use crate::shelf::Shelf;

/// What a parameter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Identifiers,
    Organisations,
    Payloads,
    /// Who answers for an affiliation.
    Primary,
    /// Who takes part by one.
    Participating,
}

/// A search parameter and the types it stands on. The CapabilityStatement reads the same table.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Types that have it.
    pub types: &'static [ResourceType],
    /// What it finds, for people.
    pub documentation: &'static str,
    looks: Looks,
}

/// Every parameter (`wire::contract::catalogue`).
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: BY_IDENTIFIER,
        types: &[
            ResourceType::ORGANIZATION,
            ResourceType::HEALTHCARE_SERVICE,
            ResourceType::ENDPOINT,
            ResourceType::ORGANIZATION_AFFILIATION,
        ],
        documentation: "Business identifier: organisation number or RESH id of an Organization, service id of an Endpoint or HealthcareService.",
        looks: Looks::Identifiers,
    },
    Parameter {
        name: BY_ORGANISATION,
        types: &[ResourceType::HEALTHCARE_SERVICE, ResourceType::ENDPOINT],
        documentation: "Organisation number or RESH id, of the main unit or a sub-unit: what the organisation is in charge of, and the shared registers it is a member of.",
        looks: Looks::Organisations,
    },
    Parameter {
        name: BY_PRIMARY,
        types: &[ResourceType::ORGANIZATION_AFFILIATION],
        documentation: "Organisation number or RESH id of the organisation whose register or service it is.",
        looks: Looks::Primary,
    },
    Parameter {
        name: BY_PARTICIPATING,
        types: &[ResourceType::ORGANIZATION_AFFILIATION],
        documentation: "Organisation number or RESH id of the member, or of the supplier that runs it.",
        looks: Looks::Participating,
    },
    Parameter {
        name: BY_PAYLOAD,
        types: &[ResourceType::ENDPOINT],
        documentation: "Information service offered, for example IT17.",
        looks: Looks::Payloads,
    },
];

/// The parameters of a type.
pub fn parameters(resource_type: ResourceType) -> impl Iterator<Item = &'static Parameter> {
    PARAMETERS
        .iter()
        .filter(move |parameter| parameter.types.contains(&resource_type))
}

/// A search that was understood whole.
#[derive(Debug)]
pub struct Question {
    resource_type: ResourceType,
    terms: Vec<(&'static Parameter, Vec<TokenParam>)>,
}

impl Question {
    /// Reads the parameters of a search.
    ///
    /// # Errors
    /// One issue per parameter that is unknown, empty or malformed. No issue repeats a value.
    pub fn parse(
        resource_type: ResourceType,
        pairs: &[(String, String)],
    ) -> Result<Self, Vec<Issue>> {
        if pairs.len() > Query::MAX_PARAMETERS {
            let words = format!("more than {} parameters", Query::MAX_PARAMETERS);
            return Err(vec![Issue::error(IssueCode::TooCostly, "", words)]);
        }
        let mut issues = Vec::new();
        let mut terms = Vec::new();
        for (name, value) in pairs {
            match term(resource_type, name, value) {
                Ok(term) => terms.push(term),
                Err((code, words)) => issues.push(Issue::error(code, shown(name), words)),
            }
        }
        if issues.is_empty() {
            Ok(Self {
                resource_type,
                terms,
            })
        } else {
            Err(issues)
        }
    }

    /// Whether an entry is meant, at `now`.
    pub fn finds(&self, entry: &Entry, shelf: &Shelf, register: &Register, now: Instant) -> bool {
        let concerns = |orgnr: OrganisationNumber| {
            let endpoint = entry.endpoint.as_deref();
            entry.kept.owner == orgnr
                || endpoint.is_some_and(|endpoint| shelf.takes_part(orgnr, endpoint, now))
        };
        entry.resource_type == self.resource_type
            && self.terms.iter().all(|(parameter, any)| {
                any.iter().any(|token| match parameter.looks {
                    Looks::Identifiers => entry.identifiers.iter().any(|one| token.matches(one)),
                    Looks::Payloads => entry.payloads.iter().any(|one| token.matches(one)),
                    Looks::Organisations => controller(token, register).is_some_and(concerns),
                    Looks::Primary => controller(token, register) == Some(entry.kept.owner),
                    Looks::Participating => controller(token, register).is_some_and(|orgnr| {
                        entry.participating.is_some_and(|(one, _)| one == orgnr)
                    }),
                })
            })
    }

    /// The question for the audit trail and the `self` link. A value that names nothing in the catalogue is written as
    /// `?`: a caller may have put anything there, a person's number too.
    pub fn told(&self, shelf: &Shelf, register: &Register) -> String {
        let entries = shelf.entries();
        let known = |parameter: &Parameter, token: &TokenParam| match parameter.looks {
            Looks::Identifiers => entries
                .iter()
                .any(|entry| entry.identifiers.iter().any(|one| token.matches(one))),
            Looks::Payloads => entries
                .iter()
                .any(|entry| entry.payloads.iter().any(|one| token.matches(one))),
            _ => controller(token, register).is_some_and(|orgnr| {
                register.controller(&orgnr).is_some()
                    || entries.iter().any(|entry| entry.kept.owner == orgnr)
            }),
        };
        let terms = self.terms.iter().map(|(parameter, any)| {
            let values: Vec<String> = any
                .iter()
                .map(|token| {
                    if known(parameter, token) {
                        written(token)
                    } else {
                        "?".to_owned()
                    }
                })
                .collect();
            (parameter.name, values.join(","))
        });
        let terms: Vec<(&str, String)> = terms.collect();
        wire::form::write(terms.iter().map(|(name, value)| (*name, value.as_str())))
    }
}

/// The organisation that a token names, by itself or by a sub-unit. One that the configuration does not know may have stated
/// entries of its own.
fn controller(token: &TokenParam, register: &Register) -> Option<OrganisationNumber> {
    let value = token.code.as_deref()?;
    let itself = |system: &str| {
        let number = OrganisationNumber::parse(value).ok();
        number.filter(|_| system == systems::ORGNR)
    };
    match &token.system {
        TokenSystem::Is(system) => register
            .controller_of(system, value)
            .or_else(|| itself(systems::canonical(system))),
        TokenSystem::Any => register
            .controller_of(systems::ORGNR, value)
            .or_else(|| register.controller_of(systems::RESH, value))
            .or_else(|| itself(systems::ORGNR)),
        TokenSystem::Absent => None,
    }
}

fn written(token: &TokenParam) -> String {
    let code = token.code.as_deref().unwrap_or_default();
    match &token.system {
        TokenSystem::Is(system) => format!("{system}|{code}"),
        TokenSystem::Absent => format!("|{code}"),
        TokenSystem::Any => code.to_owned(),
    }
}

type Refusal = (IssueCode, String);

fn term(
    resource_type: ResourceType,
    name: &str,
    value: &str,
) -> Result<(&'static Parameter, Vec<TokenParam>), Refusal> {
    let Some(parameter) = parameters(resource_type).find(|one| one.name == name) else {
        let names: Vec<&str> = parameters(resource_type).map(|one| one.name).collect();
        let words = format!(
            "this search parameter is not supported; supported: {}",
            names.join(", ")
        );
        return Err((IssueCode::NotSupported, words));
    };
    let alternatives = split(value, ',');
    if alternatives.len() > Query::MAX_ALTERNATIVES {
        let words = format!("more than {} alternatives", Query::MAX_ALTERNATIVES);
        return Err((IssueCode::TooCostly, words));
    }
    let tokens = alternatives.iter().map(|one| token(one));
    match tokens.collect::<Option<Vec<_>>>() {
        Some(tokens) => Ok((parameter, tokens)),
        None => Err((
            IssueCode::Value,
            "expected value, system|value, |value or system|; an empty value never means all"
                .to_owned(),
        )),
    }
}

fn token(text: &str) -> Option<TokenParam> {
    let parts = split(text, '|');
    let some = |text: &str| (!text.is_empty()).then(|| unescaped(text));
    let (system, code) = match parts.as_slice() {
        [code] => (TokenSystem::Any, Some(some(code)?)),
        ["", code] => (TokenSystem::Absent, Some(some(code)?)),
        [system, code] => {
            let system = unescaped(system);
            (
                TokenSystem::Is(systems::canonical(&system).to_owned()),
                some(code),
            )
        }
        _ => return None,
    };
    Some(TokenParam { system, code })
}

/// Parts between unescaped separators, still escaped.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == separator {
            parts.push(&text[start..at]);
            start = at + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        out.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use fhir::index::Coding;

    fn entry() -> Entry {
        let kept = crate::entry::Kept {
            owner: OrganisationNumber::parse("310001007").unwrap(),
            resource: serde_json::json!({
                "id": "e", "identifier": [{"system": "urn:s", "value": "a,b|c"}],
            }),
            withdrawn: false,
            stated: None,
        };
        let mut entry = Entry::of(ResourceType::ENDPOINT, kept).unwrap();
        entry.payloads = vec![Coding::new("urn:it", "IT17"), Coding::new("urn:it", "IT03")];
        entry
    }

    fn asked(pairs: &[(&str, &str)]) -> Result<bool, Vec<Issue>> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let question = Question::parse(ResourceType::ENDPOINT, &pairs)?;
        let (shelf, register) = (Shelf::default(), Register::default());
        Ok(question.finds(&entry(), &shelf, &register, Instant(0)))
    }

    #[test]
    fn tokens_are_read_with_their_escapes() {
        for (value, found) in [
            (r"urn:s|a\,b\|c", true),
            (r"a\,b\|c", true),
            (r"|a\,b\|c", false),
            ("urn:s|", true),
            ("urn:t|", false),
            (r"x,urn:s|a\,b\|c", true),
            ("A", false),
        ] {
            assert_eq!(asked(&[("identifier", value)]).unwrap(), found, "{value}");
        }
    }

    #[test]
    fn parameters_are_and_commas_are_or() {
        let kind = |value| ("payload-type", value);
        assert!(asked(&[kind("IT17"), kind("IT03")]).unwrap());
        assert!(asked(&[kind("IT08,IT03")]).unwrap());
        assert!(!asked(&[kind("IT17"), kind("IT08")]).unwrap());
        assert!(asked(&[]).unwrap());
    }

    #[test]
    fn what_is_not_understood_is_refused_without_its_value() {
        for (name, value) in [
            ("name", "x"),
            ("identifier:not", "x"),
            ("14835210260", "x"),
            ("identifier", ""),
            ("identifier", "a,,b"),
            ("identifier", "|"),
            ("identifier", "a|b|c"),
            ("payload-type", "14835210260|1|2"),
        ] {
            let issues = asked(&[(name, value)]).unwrap_err();
            assert_eq!(issues.len(), 1, "{name}={value}");
            assert!(!format!("{issues:?}").contains("14835210260"));
        }
        let many = "a,".repeat(51);
        assert!(asked(&[("identifier", many.trim_end_matches(','))]).is_err());
        assert!(asked(&[("payload-type", "IT17"); 21]).is_err());
    }
}
