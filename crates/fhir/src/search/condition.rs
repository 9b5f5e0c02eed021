//! One parameter of any published definition and what it asks: from a value to a [`Condition`], every refusal with a reason and
//! none with a value.
//!
//! Standard: FHIR R4 search 3.1.1.4 (types of parameters, modifiers).

use super::filter::{Condition, Filter, Target, Test, Text, Uri, Whom};
use super::matching::{bare, bound};
use super::number::NumberParam;
use super::parse::{Reader, Refusal, alternatives, invalid};
use super::served::{allowed, documentation};
use super::text::fold;
use super::value::{DateParam, TokenParam, TokenSystem, split, unescape};
use super::{PatientParam, Query};
use crate::definitions::Definitions;
use crate::definitions::search::{Kind, SearchParameter};
use crate::ids::{LogicalId, PersonIdentifier, PersonNumbers, PersonSystem};
use crate::outcome::IssueCode;
use crate::resource::ResourceType;

/// What a parameter asks, with a modifier or without.
pub(super) fn condition(
    reader: &Reader<'_>,
    resource: ResourceType,
    parameter: &SearchParameter,
    modifier: Option<&str>,
    value: &str,
) -> Result<Condition, Refusal> {
    if modifier == Some("missing") {
        return match value {
            "true" => Ok(Condition::Missing(true)),
            "false" => Ok(Condition::Missing(false)),
            _ => Err(invalid("expected true or false")),
        };
    }
    let tests = alternatives(value)?
        .into_iter()
        .map(|part| test(reader, resource, parameter, modifier, part))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(match modifier {
        Some("not") => Condition::None(tests),
        _ => Condition::Any(tests),
    })
}

fn test(
    reader: &Reader<'_>,
    resource: ResourceType,
    parameter: &SearchParameter,
    modifier: Option<&str>,
    part: &str,
) -> Result<Test, Refusal> {
    let unknown = || {
        let words = format!(
            "this modifier is not supported; supported: {}",
            documentation(parameter.kind)
        );
        Err((IssueCode::NotSupported, words))
    };
    match (parameter.kind, modifier) {
        (Kind::Token, None | Some("not")) => token(resource, parameter, part),
        (Kind::Token, Some("text")) => Ok(Test::TokenText(folded(part)?)),
        (Kind::Token, Some("of-type"))
            if parameter.paths.iter().any(|path| path.used == "Identifier") =>
        {
            match split(part, '|').as_slice() {
                [system, code, value] if !code.is_empty() && !value.is_empty() => {
                    let system = if system.is_empty() {
                        TokenSystem::Any
                    } else {
                        TokenSystem::Is(unescape(system))
                    };
                    let code = Some(unescape(code));
                    Ok(Test::OfType(TokenParam { system, code }, unescape(value)))
                }
                _ => Err(invalid("expected system|code|value")),
            }
        }
        (Kind::Token, Some("in")) => Definitions::get()
            .value_set(&unescape(part))
            .map(|set| Test::In(set.address()))
            .ok_or_else(|| {
                let words = "this value set is not carried here";
                (IssueCode::NotSupported, words.to_owned())
            }),
        (Kind::String, None) => Ok(Test::Text(Text::Starts, folded(part)?)),
        (Kind::String, Some("contains")) => Ok(Test::Text(Text::Contains, folded(part)?)),
        (Kind::String, Some("exact")) => Ok(Test::Text(Text::Exact, unescape(part))),
        (Kind::Date, None) => DateParam::parse(part, reader.zone)
            .map(Test::Date)
            .map_err(invalid),
        (Kind::Number, None) => NumberParam::parse(part, false)
            .map(Test::Number)
            .map_err(invalid),
        (Kind::Quantity, None) => NumberParam::parse(part, true)
            .map(Test::Number)
            .map_err(invalid),
        (Kind::Reference, Some("identifier")) => {
            let token = read_token(part)?;
            let whom = Whom {
                local: None,
                person: person(&token, reader.numbers)?,
            };
            Ok(Test::Identifier(token, whom))
        }
        (Kind::Reference, modifier) => {
            let of = match modifier {
                None => None,
                Some(name) => {
                    let target = ResourceType::parse(name).map(ResourceType::as_str);
                    match target.filter(|name| allowed(parameter, name)) {
                        Some(name) => Some(name),
                        None => return unknown(),
                    }
                }
            };
            reference(parameter, of, &unescape(part)).map(Test::Reference)
        }
        (Kind::Uri, None) => Ok(Test::Uri(Uri::Exact, unescape(part))),
        (Kind::Uri, Some("below")) => Ok(Test::Uri(Uri::Below, unescape(part))),
        (Kind::Uri, Some("above")) => Ok(Test::Uri(Uri::Above, unescape(part))),
        (Kind::Composite, None) => composite(reader, resource, parameter, part),
        _ => unknown(),
    }
}

fn composite(
    reader: &Reader<'_>,
    resource: ResourceType,
    parameter: &SearchParameter,
    part: &str,
) -> Result<Test, Refusal> {
    let values = split(part, '$');
    let form = || {
        let names: Vec<_> = parameter.components.iter().map(|one| one.name).collect();
        invalid(format!("expected {} with $ between", names.join("$")))
    };
    if values.len() != parameter.components.len() || values.iter().any(|value| value.is_empty()) {
        return Err(form());
    }
    let mut tests = Vec::with_capacity(values.len());
    for (component, value) in parameter.components.iter().zip(values) {
        tests.push(match component.kind {
            Kind::Token => Test::Token(read_token(value)?),
            Kind::String => Test::Text(Text::Starts, folded(value)?),
            Kind::Date => Test::Date(DateParam::parse(value, reader.zone).map_err(invalid)?),
            Kind::Number => Test::Number(NumberParam::parse(value, false).map_err(invalid)?),
            Kind::Quantity => Test::Number(NumberParam::parse(value, true).map_err(invalid)?),
            Kind::Uri => Test::Uri(Uri::Exact, unescape(value)),
            Kind::Reference => {
                let own = Definitions::get().search_parameter(resource, component.name);
                Test::Reference(reference(own.unwrap_or(parameter), None, &unescape(value))?)
            }
            Kind::Composite | Kind::Special => return Err(form()),
        });
    }
    Ok(Test::Composite(tests))
}

fn read_token(part: &str) -> Result<TokenParam, Refusal> {
    TokenParam::parse(part).ok_or_else(|| invalid("expected code, system|code, |code or system|"))
}

fn token(resource: ResourceType, parameter: &SearchParameter, part: &str) -> Result<Test, Refusal> {
    let token = read_token(part)?;
    let named = matches!(token.system, TokenSystem::Is(_));
    let paths = &parameter.paths;
    if parameter.present || !paths.is_empty() && paths.iter().all(|path| path.used == "boolean") {
        if named || !matches!(token.code.as_deref(), Some("true" | "false")) {
            return Err(invalid("expected true or false"));
        }
    } else if named {
        let codes = |path| matches!(bound(resource, path), Some(set) if set.codes.iter().any(|own| TokenSystem::Is(own.system.to_owned()) == token.system));
        let held = paths.iter().any(|path| match path.used {
            "code" => token.code.is_some() && codes(path),
            _ => !bare(parameter.kind, path),
        });
        if !held && !paths.is_empty() {
            return Err(invalid(
                "these values have no such system; expected a code alone",
            ));
        }
    }
    Ok(Test::Token(token))
}

fn folded(part: &str) -> Result<String, Refusal> {
    let text = fold(&unescape(part));
    if text.is_empty() {
        return Err(invalid("the text is blank"));
    }
    Ok(text)
}

/// The person whom a token names, if it is of a series of people's numbers.
fn person(token: &TokenParam, numbers: PersonNumbers) -> Result<Option<PersonIdentifier>, Refusal> {
    let (TokenSystem::Is(system), Some(value)) = (&token.system, &token.code) else {
        return Ok(None);
    };
    if PersonSystem::parse(system).is_none() {
        return Ok(None);
    }
    PersonIdentifier::parse(system, value, numbers)
        .map(Some)
        .map_err(|error| invalid(error.to_string()))
}

fn reference(
    parameter: &SearchParameter,
    of: Option<&str>,
    value: &str,
) -> Result<Target, Refusal> {
    let form =
        || invalid("expected an id, Type/id with a type that may stand here, or a whole address");
    if value.contains(':') {
        return Ok(Target {
            resource: None,
            id: value.to_owned(),
            whole: true,
            whom: Whom::default(),
        });
    }
    let (named, id) = match value.split_once('/') {
        Some((named, id)) => (Some(named), id),
        None => (None, value),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if id.is_empty() || id.len() > 64 || !id.chars().all(plain) {
        return Err(form());
    }
    if let Some(named) = named
        && (ResourceType::parse(named).is_none()
            || !allowed(parameter, named)
            || of.is_some_and(|of| of != named))
    {
        return Err(form());
    }
    let resource = named.or(of);
    let patient = ResourceType::PATIENT.as_str();
    let local = (resource.unwrap_or(patient) == patient && allowed(parameter, patient))
        .then(|| LogicalId::parse(id).ok())
        .flatten();
    Ok(Target {
        resource: resource.map(str::to_owned),
        id: id.to_owned(),
        whole: false,
        whom: Whom {
            local,
            person: None,
        },
    })
}

impl Query {
    /// Completes the patients that references name: for each that `find` knows, both id and number, so that a reference is
    /// found in either form. `find` must not tell of anybody whom the caller may not see.
    ///
    /// # Errors
    /// What `find` gives.
    pub fn people<E>(
        &mut self,
        mut find: impl FnMut(&PatientParam) -> Result<Option<(LogicalId, PersonIdentifier)>, E>,
    ) -> Result<(), E> {
        for whom in self.filters.iter_mut().flat_map(Filter::people) {
            let asked = match (&whom.local, &whom.person) {
                (Some(id), None) => PatientParam::Local(*id),
                (None, Some(person)) => PatientParam::Identifier(person.clone()),
                _ => continue,
            };
            if let Some((id, person)) = find(&asked)? {
                *whom = Whom {
                    local: Some(id),
                    person: Some(person),
                };
            }
        }
        Ok(())
    }
}
