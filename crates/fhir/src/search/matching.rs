//! Whether a resource is what a query asks for: slow, plain, and by the published paths alone.
//!
//! Standard: FHIR R4 search 3.1.1.4. Stores use [`filters_match`] on what their tables have narrowed down; [`matches`] answers
//! the whole query and is what a store's answers are compared with.

use super::filter::{Condition, Target, Test, Text, Uri, Whom};
use super::value::{TokenParam, TokenSystem};
use super::{PatientParam, Query, text};
use crate::definitions::Definitions;
use crate::definitions::extract::{Found, Value, extract};
use crate::definitions::search::{Kind, Path};
use crate::definitions::values::ValueSet;
use crate::ids::{PersonIdentifier, PersonNumbers};
use crate::index::{self, Coding, Index, Subject};
use crate::json::{self, Node};
use crate::resource::ResourceType;
use crate::time::Zone;

/// Whether `resource` is what `query` asks for, paging, order and links to other resources apart. `person` is whom the resource is about where it
/// names a Patient by local id.
#[must_use]
pub fn matches(resource: Node<'_>, query: &Query, person: Option<&PersonIdentifier>) -> bool {
    if ResourceType::of(resource).ok() != Some(query.resource) {
        return false;
    }
    let Ok(index) = index::of(
        resource,
        query.resource,
        &query.zone,
        PersonNumbers::Lenient,
    ) else {
        return false;
    };
    let any = |tokens: &[TokenParam], codings: &[Coding]| {
        tokens.is_empty()
            || codings
                .iter()
                .any(|coding| tokens.iter().any(|token| token.matches(coding)))
    };
    let dated = |date: &super::DateParam| index.when.is_some_and(|when| date.matches(&when));
    let id = resource.text("id").unwrap_or_default();
    about(&index, query.patient.as_ref(), person)
        && any(&query.codes, &index.codings)
        && any(&query.categories, &index.categories)
        && query.dates.iter().all(dated)
        && (query.status.is_empty() || index.status.is_some_and(|s| query.status.contains(&s)))
        && (query.ids.is_empty() || query.ids.iter().any(|one| one.to_string() == id))
        && filters_match(resource, query)
}

fn about(index: &Index, asked: Option<&PatientParam>, person: Option<&PersonIdentifier>) -> bool {
    match (asked, &index.subject) {
        (None, _) => true,
        (Some(PatientParam::Identifier(asked)), Some(Subject::Person(subject))) => asked == subject,
        (Some(PatientParam::Identifier(asked)), Some(Subject::Local(_))) => person == Some(asked),
        (Some(PatientParam::Local(asked)), Some(Subject::Local(subject))) => asked == subject,
        _ => false,
    }
}

/// Whether all of a query's filters hold; of links it tells nothing. What cannot be read (a date that is none) is no value.
#[must_use]
pub fn filters_match(resource: Node<'_>, query: &Query) -> bool {
    query.filters.iter().all(|filter| {
        let parameter = Definitions::get().search_parameter(query.resource, filter.name);
        let Some(parameter) = parameter else {
            return false;
        };
        let matcher = Matcher {
            kind: query.resource,
            zone: &query.zone,
            paths: &parameter.paths,
        };
        let found = extract(resource, parameter);
        match &filter.condition {
            Condition::Missing(missing) => empty(&found) == *missing,
            Condition::Any(tests) => tests.iter().any(|test| matcher.found(&found, test)),
            Condition::None(tests) => !tests.iter().any(|test| matcher.found(&found, test)),
        }
    })
}

fn empty(found: &Found<'_>) -> bool {
    match found {
        Found::Values(values) => values.is_empty(),
        Found::Composites(bases) => !bases
            .iter()
            .any(|parts| parts.iter().all(|part| !part.is_empty())),
        Found::Present(_) => false,
    }
}

struct Matcher<'a> {
    kind: ResourceType,
    zone: &'a Zone,
    paths: &'a [Path],
}

impl Matcher<'_> {
    fn found(&self, found: &Found<'_>, test: &Test) -> bool {
        match (found, test) {
            (Found::Values(values), test) => values.iter().any(|value| self.one(value, test)),
            (Found::Composites(bases), Test::Composite(tests)) => bases.iter().any(|parts| {
                parts.len() == tests.len()
                    && parts
                        .iter()
                        .zip(tests)
                        .all(|(values, test)| values.iter().any(|value| self.one(value, test)))
            }),
            (Found::Present(present), Test::Token(token)) => token.matches(&Coding {
                system: None,
                code: present.to_string(),
            }),
            _ => false,
        }
    }

    fn one(&self, value: &Value<'_>, test: &Test) -> bool {
        let node = value.node;
        match test {
            Test::Token(token) => self.token(value, token),
            Test::TokenText(start) => words(value)
                .iter()
                .any(|word| text::fold(word).starts_with(start)),
            Test::OfType(kind, wanted) => {
                node.text("value").is_some_and(|v| *v == **wanted)
                    && codings(node.get("type"))
                        .iter()
                        .any(|coding| kind.matches(coding))
            }
            Test::In(set) => {
                let held = Definitions::get().value_set(set);
                let within = |coding: &Coding| match (&coding.system, held) {
                    (Some(system), Some(set)) => set.contains(system, &coding.code),
                    (None, Some(set)) => value.used == "code" && set.contains_code(&coding.code),
                    (_, None) => false,
                };
                tokens(value).iter().any(within)
            }
            Test::Text(how, wanted) => strings(value).iter().any(|held| match how {
                Text::Exact => held == wanted,
                Text::Starts => text::fold(held).starts_with(wanted),
                Text::Contains => text::fold(held).contains(wanted),
            }),
            Test::Date(date) => {
                index::time_of(node, self.zone).is_some_and(|when| date.matches(&when))
            }
            Test::Number(number) => number.matches(node),
            Test::Reference(target) => Self::reference(value, target),
            Test::Identifier(token, whom) => {
                let named = node.get("identifier").is_some_and(|identifier| {
                    identifier_coding(identifier).is_some_and(|coding| token.matches(&coding))
                        || whom.person.is_some() && person_of(identifier) == whom.person
                });
                named
                    || whom.local.is_some()
                        && node
                            .text("reference")
                            .and_then(|text| index::local_patient(&text))
                            == whom.local
            }
            Test::Uri(how, wanted) => {
                let text = node.str().or_else(|| node.text("reference"));
                text.is_some_and(|held| match how {
                    Uri::Exact => *held == **wanted,
                    Uri::Below => under(&held, wanted),
                    Uri::Above => under(wanted, &held),
                })
            }
            Test::Composite(_) => false,
        }
    }

    fn token(&self, value: &Value<'_>, token: &TokenParam) -> bool {
        if value.used == "code"
            && let (TokenSystem::Is(system), Some(code)) = (&token.system, &token.code)
        {
            let is = value.node.str().is_some_and(|held| *held == **code);
            return is
                && self.paths.iter().any(|path| {
                    bound(self.kind, path).is_some_and(|set| set.contains(system, code))
                });
        }
        tokens(value).iter().any(|coding| token.matches(coding))
    }

    fn reference(value: &Value<'_>, target: &Target) -> bool {
        let node = value.node;
        let Some(text) = node.text("reference").or_else(|| node.str()) else {
            return logical(node, &target.whom);
        };
        let plain = text
            .split_once("/_history/")
            .map_or(&*text, |(plain, _)| plain);
        if target.whole {
            // A canonical without a version means all of them.
            let unversioned = text.split_once('|').map_or(&*text, |(address, _)| address);
            return *text == *target.id || plain == target.id || unversioned == target.id;
        }
        let literal = match plain.split_once('/') {
            Some((kind, id)) => {
                !id.contains('/')
                    && id == target.id
                    && target.resource.as_deref().is_none_or(|asked| asked == kind)
            }
            None => false,
        };
        literal || logical(node, &target.whom)
    }
}

/// Whether a reference by number names this patient.
fn logical(reference: Node<'_>, whom: &Whom) -> bool {
    whom.person.is_some() && reference.get("identifier").and_then(person_of) == whom.person
}

pub(super) fn person_of(identifier: Node<'_>) -> Option<PersonIdentifier> {
    PersonIdentifier::read(identifier, PersonNumbers::Lenient)
}

/// Whether `address` is `over`, or a path under it.
fn under(address: &str, over: &str) -> bool {
    address
        .strip_prefix(over)
        .is_some_and(|rest| rest.is_empty() || over.ends_with('/') || rest.starts_with('/'))
}

fn codings(concept: Option<Node<'_>>) -> Vec<Coding> {
    concept
        .map(|concept| concept.all(&["coding"]))
        .unwrap_or_default()
        .into_iter()
        .filter_map(Coding::read)
        .collect()
}

pub(super) fn identifier_coding(identifier: Node<'_>) -> Option<Coding> {
    Some(Coding {
        system: identifier.text("system").map(|system| system.into_owned()),
        code: identifier.text("value")?.into_owned(),
    })
}

/// The codes of a value, with their systems.
pub(super) fn tokens(value: &Value<'_>) -> Vec<Coding> {
    let node = value.node;
    let bare = |code: String| vec![Coding { system: None, code }];
    match node.kind() {
        json::Kind::String => bare(node.str().unwrap_or_default().into_owned()),
        json::Kind::Bool => bare(node.bool().unwrap_or_default().to_string()),
        json::Kind::Object => match value.used {
            "Identifier" => identifier_coding(node).into_iter().collect(),
            "ContactPoint" => node
                .text("value")
                .map(|value| Coding {
                    system: node.text("use").map(|system| system.into_owned()),
                    code: value.into_owned(),
                })
                .into_iter()
                .collect(),
            "CodeableConcept" => codings(Some(node)),
            _ => Coding::read(node).into_iter().collect(),
        },
        _ => Vec::new(),
    }
}

/// The words beside a code.
fn words(value: &Value<'_>) -> Vec<String> {
    let node = value.node;
    let mut found: Vec<_> = node
        .all(&["coding", "display"])
        .into_iter()
        .filter_map(|display| display.str())
        .collect();
    found.extend(node.text("text"));
    found.extend(node.text("display"));
    found.extend(node.get("type").and_then(|kind| kind.text("text")));
    found.into_iter().map(|text| text.into_owned()).collect()
}

/// The texts of a value: a string, or the parts of a name or an address.
pub(super) fn strings(value: &Value<'_>) -> Vec<String> {
    const PARTS: [&str; 12] = [
        "text",
        "family",
        "given",
        "prefix",
        "suffix",
        "line",
        "city",
        "district",
        "state",
        "postalCode",
        "country",
        "display",
    ];
    let node = value.node;
    if let Some(text) = node.str() {
        return vec![text.into_owned()];
    }
    let mut found = Vec::new();
    for part in PARTS {
        for text in node.all(&[part]) {
            found.extend(text.str().map(|text| text.into_owned()));
        }
    }
    found
}

/// The value set that the code at the end of a path must come from: its systems are the code's own.
pub(super) fn bound(resource: ResourceType, path: &Path) -> Option<&'static ValueSet> {
    let mut name = resource.as_str().to_owned();
    let mut set = None;
    for step in &path.steps {
        let (_, element, used) = Definitions::get().elements(&name)?.find(step.member)?;
        set = element.binding;
        name = match used.name {
            "BackboneElement" | "Element" => format!("{name}.{}", element.name),
            complex => complex.to_owned(),
        };
    }
    set
}

/// Whether values of this type are texts or numbers, which have no system.
pub(super) fn bare(kind: Kind, path: &Path) -> bool {
    kind == Kind::Token && matches!(path.used, "boolean" | "string" | "id" | "uri")
}
