//! Any search parameter of the published definitions: from a form to a query, every refusal with a reason and none with a value.
//!
//! Standard: FHIR R4 search 3.1.1. What the store's clustered table answers (patient, code, date, …) becomes a field of the
//! [`Query`] as in [`super::parse`]; everything else becomes a [`Filter`]. What a type has is told by [`served`], which the
//! CapabilityStatement reads too.

use super::filter::{Condition, Filter, Target, Test, Text, Uri, Whom};
use super::matching::{bare, bound};
use super::number::NumberParam;
use super::parse::{Reader, Refusal, alternatives, invalid, shown};
use super::table::{self, Feeds, Parameter};
use super::text::fold;
use super::value::{DateParam, TokenParam, TokenSystem, split, unescape};
use super::{PatientParam, Query, Via};
use crate::definitions::Definitions;
use crate::definitions::search::{Kind, SearchParameter};
use crate::ids::{LogicalId, PersonIdentifier, PersonNumbers, PersonSystem};
use crate::outcome::{Issue, IssueCode};
use crate::resource::ResourceType;
use crate::time::Zone;

/// A parameter that is served, for a CapabilityStatement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Name as the client writes it.
    pub name: &'static str,
    /// The FHIR type's code.
    pub kind: &'static str,
    /// The published SearchParameter; `None` for a chain that is served as a whole.
    pub definition: Option<String>,
    /// What it takes, in words.
    pub documentation: &'static str,
}

/// What a type's search takes, by name, parameters that only steer the answer (`_count`) left out.
#[must_use]
pub fn served(resource: ResourceType) -> Vec<Served> {
    let mut all: Vec<Served> = hot(resource)
        .filter_map(|parameter| {
            let base = parameter.name.split([':', '.']).next().unwrap_or_default();
            Some(Served {
                name: parameter.name,
                kind: parameter.kind.code()?,
                definition: (base == parameter.name)
                    .then(|| Definitions::get().search_parameter(resource, base))
                    .flatten()
                    .map(SearchParameter::definition),
                documentation: parameter.documentation,
            })
        })
        .collect();
    for parameter in known(resource) {
        if !all.iter().any(|one| one.name == parameter.name) {
            all.push(Served {
                name: parameter.name,
                kind: parameter.kind.code(),
                definition: Some(parameter.definition()),
                documentation: documentation(parameter.kind),
            });
        }
    }
    all
}

/// The published parameters that are answered: all that have a path and are of a kind with a rule here.
fn known(resource: ResourceType) -> impl Iterator<Item = &'static SearchParameter> {
    Definitions::get()
        .search_parameters(resource)
        .filter(|one| one.kind != Kind::Special)
}

const fn documentation(kind: Kind) -> &'static str {
    match kind {
        Kind::Token => "code, system|code, |code or system|; :not :text :in :of-type :missing",
        Kind::String => {
            "the start of the text, without case and accents; :contains :exact :missing"
        }
        Kind::Date => "with eq ne gt lt ge le sa eb; :missing",
        Kind::Reference => "id, Type/id or an address; :[type] :identifier :missing",
        Kind::Quantity => {
            "number, number|system|code or number||code with eq ne gt lt ge le sa eb; UCUM units are compared by size; :missing"
        }
        Kind::Number => "with eq ne gt lt ge le sa eb; :missing",
        Kind::Uri => "the whole address; :below :above :missing",
        Kind::Composite => "the parts in order, with $ between; :missing",
        Kind::Special => "",
    }
}

/// The parameters that the clustered table answers for a type.
fn hot(resource: ResourceType) -> impl Iterator<Item = &'static Parameter> {
    let own = table::supported(resource);
    let has = move |name| {
        Definitions::get()
            .search_parameter(resource, name)
            .is_some()
    };
    let shared = move |parameter: &&'static Parameter| {
        own.is_none()
            && match parameter.feeds {
                Feeds::Patient => has("patient"),
                Feeds::Person if parameter.name.starts_with("subject") => has("subject"),
                Feeds::Person => has("patient"),
                _ => true,
            }
    };
    own.map_or(&[][..], |row| row.parameters)
        .iter()
        .chain(table::SHARED.iter().filter(shared))
}

pub(super) fn parse(
    resource: ResourceType,
    parameters: &[(String, String)],
    via: Via,
    zone: &Zone,
    numbers: PersonNumbers,
) -> Result<Query, Vec<Issue>> {
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
        let outcome = if value.is_empty() {
            Err(invalid(
                "the value is empty; an empty value never means all",
            ))
        } else if via == Via::Get && (may_carry_a_person(name) || holds_a_person(value)) {
            let text = "a person's number is not accepted in a URL: send this search by POST to _search, in the form body";
            Err((IssueCode::Security, text.to_owned()))
        } else {
            one(&reader, &mut query, name, value, &seen)
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

/// Whether a parameter's value may be a person's number: identifiers, also by chain and modifier.
#[must_use]
pub fn may_carry_a_person(name: &str) -> bool {
    name.split(['.', ':']).any(|part| part == "identifier") || name.ends_with("identifier")
}

/// Whether a person's number stands in a value, whatever the parameter.
fn holds_a_person(value: &str) -> bool {
    value
        .split(|c: char| !c.is_ascii_digit())
        .any(|run| run.len() == 11 && PersonIdentifier::guess(run, PersonNumbers::Strict).is_ok())
}

fn one(
    reader: &Reader<'_>,
    query: &mut Query,
    name: &str,
    value: &str,
    seen: &[&str],
) -> Result<(), Refusal> {
    if let Some(parameter) = hot(query.resource).find(|one| one.name == name)
        && clustered(parameter, value, seen)
    {
        return reader.read(parameter, value, seen, query);
    }
    let (base, modifier) = match name.split_once(':') {
        Some((base, modifier)) => (base, Some(modifier)),
        None => (name, None),
    };
    let Some(parameter) = known(query.resource).find(|one| one.name == base) else {
        return Err(unknown(query.resource, name));
    };
    let condition = condition(reader, query.resource, parameter, modifier, value)?;
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
        Feeds::Patient | Feeds::Person | Feeds::Count | Feeds::Sort => true,
        Feeds::Code | Feeds::Category | Feeds::Status(_) | Feeds::Id => {
            !seen.contains(&parameter.name)
        }
    }
}

fn unknown(resource: ResourceType, name: &str) -> Refusal {
    let base = name.split([':', '.']).next().unwrap_or_default();
    let what = if base != name && known(resource).any(|one| one.name == base) {
        "this modifier or chain is not supported"
    } else {
        "this search parameter is not supported"
    };
    let mut names: Vec<_> = served(resource).into_iter().map(|one| one.name).collect();
    names.extend(
        hot(resource)
            .filter(|one| one.kind.code().is_none())
            .map(|one| one.name),
    );
    let text = format!("{what}; supported: {}", names.join(", "));
    (IssueCode::NotSupported, text)
}

fn condition(
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

fn allowed(parameter: &SearchParameter, target: &str) -> bool {
    parameter.targets.is_empty() || parameter.targets.contains(&target)
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
