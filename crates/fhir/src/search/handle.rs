//! What a resource is taken hold of by, besides patient, code and time: its identifiers, and what it refers to.
//!
//! Standard: FHIR R4 search 3.1.1.4.10 (token), 3.1.1.4.12 (reference). A store keeps a resource's [`Handle`]s as an index; a
//! condition asks for [`Wanted`] ones. What has none of the handles that a condition wants does not meet the condition; what
//! has one may still not, so [`super::filters_match`] has the last word.

use super::filter::{Condition, Filter, Target, Test};
use super::matching::person_of;
use super::value::{TokenParam, TokenSystem};
use crate::definitions::Definitions;
use crate::definitions::extract::{Found, extract};
use crate::definitions::search::{Kind, SearchParameter};
use crate::ids::{LogicalId, PersonIdentifier};
use crate::json::Node;
use crate::resource::ResourceType;
use std::collections::HashSet;

/// What kind of thing a handle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grip {
    /// An identifier of the resource's own.
    Own,
    /// A reference by identifier.
    Named,
    /// A reference by address: the id in `Type/id`, or a whole address without its version.
    Literal,
}

/// One thing that a resource is taken hold of by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Handle {
    /// What it is.
    pub grip: Grip,
    /// The identifier's system; `None` for none, and for addresses.
    pub system: Option<String>,
    /// The identifier's value, or the address.
    pub value: String,
}

/// What a condition asks for: any of several such.
#[derive(Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is.
    pub grip: Grip,
    /// The identifier's system; [`TokenSystem::Absent`] for addresses.
    pub system: TokenSystem,
    /// The identifier's value, or the address.
    pub value: String,
}

/// Nothing of what it holds: that may be a person's number.
impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({:?})", self.grip)
    }
}

/// As [`Handle`].
impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wanted({:?})", self.grip)
    }
}

/// All handles of a resource, each once.
#[must_use]
pub fn handles(resource: Node<'_>, resource_type: ResourceType) -> HashSet<Handle> {
    let mut found = HashSet::new();
    for parameter in Definitions::get().search_parameters(resource_type) {
        let own = is_identifier(parameter);
        if !own && parameter.kind != Kind::Reference {
            continue;
        }
        let Found::Values(values) = extract(resource, parameter) else {
            continue;
        };
        for value in values {
            if own {
                found.extend(identifier(value.node, Grip::Own));
                continue;
            }
            if let Some(named) = value.node.get("identifier") {
                found.extend(identifier(named, Grip::Named));
                // The series of people's numbers are written in more than one way.
                found.extend(person_of(named).map(|person| of_person(&person)));
            }
            let text = value.node.text("reference").or_else(|| value.node.str());
            if let Some(text) = text {
                found.extend(addresses(&text));
            }
        }
    }
    found
}

fn is_identifier(parameter: &SearchParameter) -> bool {
    parameter.kind == Kind::Token
        && !parameter.present
        && !parameter.paths.is_empty()
        && parameter.paths.iter().all(|path| path.used == "Identifier")
}

fn identifier(node: Node<'_>, grip: Grip) -> Option<Handle> {
    Some(Handle {
        grip,
        system: node.text("system").map(|system| system.into_owned()),
        value: node.text("value")?.into_owned(),
    })
}

fn of_person(person: &PersonIdentifier) -> Handle {
    Handle {
        grip: Grip::Named,
        system: Some(person.system().to_owned()),
        value: person.value().expose().to_owned(),
    }
}

fn literal(value: &str) -> Handle {
    Handle {
        grip: Grip::Literal,
        system: None,
        value: value.to_owned(),
    }
}

/// An address without a version of either kind.
fn unversioned(text: &str) -> &str {
    let plain = text.split_once("/_history/").map_or(text, |(it, _)| it);
    plain.split_once('|').map_or(plain, |(it, _)| it)
}

/// What a reference is found by: a contained resource by nothing.
fn addresses(text: &str) -> Vec<Handle> {
    let mut found = Vec::new();
    let plain = text.split_once("/_history/").map_or(text, |(it, _)| it);
    if let Some((_, id)) = plain.split_once('/')
        && !id.contains('/')
    {
        found.push(literal(id));
        if let Ok(own) = LogicalId::parse(id) {
            found.push(literal(&own.to_string()));
        }
    }
    if text.contains(':') {
        found.push(literal(unversioned(text)));
    }
    found
}

/// The handles of which what meets a filter has at least one; `None` where handles do not tell.
#[must_use]
pub fn wanted(resource_type: ResourceType, filter: &Filter) -> Option<Vec<Wanted>> {
    let Condition::Any(tests) = &filter.condition else {
        return None;
    };
    let parameter = Definitions::get().search_parameter(resource_type, filter.name)?;
    let mut all = Vec::with_capacity(tests.len());
    for test in tests {
        match (parameter.kind, test) {
            (Kind::Token, Test::Token(token)) if is_identifier(parameter) => {
                all.push(of_token(Grip::Own, token)?);
            }
            (Kind::Token, Test::OfType(_, value)) if is_identifier(parameter) => all.push(Wanted {
                grip: Grip::Own,
                system: TokenSystem::Any,
                value: value.clone(),
            }),
            (Kind::Reference, Test::Reference(target)) => {
                let Target {
                    id, whole, whom, ..
                } = target;
                let address = if *whole { unversioned(id) } else { id };
                all.push(literal(address).into());
                all.extend(whom.person.as_ref().map(|one| of_person(one).into()));
            }
            (Kind::Reference, Test::Identifier(token, whom)) => {
                all.push(of_token(Grip::Named, token)?);
                all.extend(whom.person.as_ref().map(|one| of_person(one).into()));
                all.extend(whom.local.map(|id| literal(&id.to_string()).into()));
            }
            _ => return None,
        }
    }
    Some(all)
}

/// The handles of which what points to a resource has at least one; `person` is who it is if it is a Patient.
#[must_use]
pub fn wanted_by(target: LogicalId, person: Option<&PersonIdentifier>) -> Vec<Wanted> {
    let named = person.map(|one| of_person(one).into());
    std::iter::once(literal(&target.to_string()).into())
        .chain(named)
        .collect()
}

impl From<Handle> for Wanted {
    fn from(handle: Handle) -> Wanted {
        Wanted {
            grip: handle.grip,
            system: handle.system.map_or(TokenSystem::Absent, TokenSystem::Is),
            value: handle.value,
        }
    }
}

fn of_token(grip: Grip, token: &TokenParam) -> Option<Wanted> {
    Some(Wanted {
        grip,
        system: token.system.clone(),
        value: token.code.clone()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use crate::definitions::Types;
    use crate::ids::PersonNumbers;
    use crate::json::{Json, Limits};
    use crate::search::{Grammar, Via, filters_match, parse};
    use crate::time::Zone;

    const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn observation() -> Json {
        let text = format!(
            r##"{{"resourceType":"Observation","identifier":[{{"system":"urn:a","value":"1"}},{{"value":"2","type":{{"coding":[{{"system":"urn:t","code":"X"}}]}}}}],
            "subject":{{"identifier":{{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}}}},
            "encounter":{{"reference":"Encounter/{ID}/_history/2"}},"device":{{"identifier":{{"system":"urn:d","value":"7"}}}},
            "focus":[{{"reference":"https://elsewhere.example/fhir/Device/x"}},{{"reference":"urn:uuid:{ID}"}}],
            "performer":[{{"reference":"#p"}},{{"reference":"Organization/not-a-uuid"}}],
            "derivedFrom":[{{"reference":"Observation/{}"}}]}}"##,
            ID.to_uppercase()
        );
        Json::parse(text.into_bytes(), Limits::RESOURCE).unwrap()
    }

    /// Each question, and whether handles tell of it.
    #[test]
    fn what_meets_a_condition_has_a_handle_that_it_wants() {
        let json = observation();
        let held: Vec<Wanted> = handles(json.root(), ResourceType::OBSERVATION)
            .into_iter()
            .map(Wanted::from)
            .collect();
        let met = |wanted: &Wanted| {
            held.iter().any(|one| {
                let system = wanted.system == TokenSystem::Any || one.system == wanted.system;
                one.grip == wanted.grip && one.value == wanted.value && system
            })
        };
        let address = "https://elsewhere.example/fhir/Device/x";
        let encounter = format!("Encounter/{ID}");
        let upper = format!("Observation/{}", ID.to_uppercase());
        let urn = format!("urn:uuid:{ID}");
        let versioned = format!("{address}|1");
        for (name, value, told, matches) in [
            ("identifier", "urn:a|1", true, true),
            ("identifier", "1", true, true),
            ("identifier", "|2", true, true),
            ("identifier", "2", true, true),
            ("identifier", "urn:b|1", true, false),
            ("identifier", "urn:a|", false, true),
            ("identifier", "urn:b|9,urn:a|1", true, true),
            ("identifier:not", "urn:b|9", false, true),
            ("identifier:missing", "false", false, true),
            ("identifier:of-type", "urn:t|X|2", true, true),
            ("encounter", ID, true, true),
            ("encounter", &encounter, true, true),
            ("encounter", "Encounter/other", true, false),
            ("derived-from", &upper, true, true),
            ("focus", address, true, true),
            ("focus", &versioned, true, false),
            ("focus", &urn, true, true),
            ("performer", "not-a-uuid", true, true),
            ("performer", "Organization/not-a-uuid", true, true),
            ("device:identifier", "urn:d|7", true, true),
            ("device:identifier", "7", true, true),
            ("device:identifier", "urn:d|", false, true),
            ("status", "final", false, false),
        ] {
            let form = [(name.to_owned(), value.to_owned())];
            let types = Types::default();
            let query = parse(
                ResourceType::OBSERVATION,
                &form,
                Via::Post,
                &Zone::default(),
                PersonNumbers::Strict,
                Grammar::Whole(&types),
            );
            let query = query.unwrap_or_else(|issues| panic!("{name} {value} {issues:?}"));
            let Some(filter) = query.filters.first() else {
                assert!(!told, "{name}");
                continue;
            };
            let asked = wanted(ResourceType::OBSERVATION, filter);
            assert_eq!(asked.is_some(), told, "{name}={value}");
            let holds = filters_match(json.root(), &query);
            assert_eq!(holds, matches, "{name}={value}");
            if let Some(asked) = asked {
                assert!(!holds || asked.iter().any(met), "{name}={value}");
            }
        }
    }

    #[test]
    fn what_points_to_a_patient_by_number_is_found_by_the_patient() {
        let person = PersonIdentifier::guess("14835210260", PersonNumbers::Strict).unwrap();
        let id = LogicalId::parse(ID).unwrap();
        let asked = wanted_by(id, Some(&person));
        let held = handles(observation().root(), ResourceType::OBSERVATION);
        assert!(
            held.into_iter()
                .map(Wanted::from)
                .any(|one| asked.contains(&one))
        );
        assert!(!format!("{asked:?}").contains("148"));
    }
}
