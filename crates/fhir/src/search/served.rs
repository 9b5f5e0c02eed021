//! What is searched, and by what: the one list that the parser and the CapabilityStatement read.
//!
//! Standard: FHIR R4 search 3.1.1; CapabilityStatement.rest.resource (`searchParam`, `searchInclude`, `searchRevInclude`).

use super::table::{self, Feeds, Parameter};
use crate::definitions::search::{Kind, SearchParameter};
use crate::definitions::{Definitions, Types};
use crate::resource::ResourceType;

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
pub(super) fn known(resource: ResourceType) -> impl Iterator<Item = &'static SearchParameter> {
    Definitions::get()
        .search_parameters(resource)
        .filter(|one| one.kind != Kind::Special)
}

pub(super) const fn documentation(kind: Kind) -> &'static str {
    match kind {
        Kind::Token => "code, system|code, |code or system|; :not :text :in :of-type :missing",
        Kind::String => {
            "the start of the text, without case and accents; :contains :exact :missing"
        }
        Kind::Date => "with eq ne gt lt ge le sa eb ap; :missing",
        Kind::Reference => "id, Type/id or an address; :[type] :identifier :missing",
        Kind::Quantity => {
            "number, number|system|code or number||code with eq ne gt lt ge le sa eb ap; UCUM units are compared by size; :missing"
        }
        Kind::Number => "with eq ne gt lt ge le sa eb ap; :missing",
        Kind::Uri => "the whole address; :below :above :missing",
        Kind::Composite => "the parts in order, with $ between; :missing",
        Kind::Special => "",
    }
}

/// The parameters that the clustered table answers for a type.
pub(super) fn hot(resource: ResourceType) -> impl Iterator<Item = &'static Parameter> {
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

/// The references of a type that can be followed where `types` are served: each parameter with those types that it may point
/// to.
#[must_use]
pub fn references(
    resource: ResourceType,
    types: &Types,
) -> Vec<(&'static SearchParameter, Vec<ResourceType>)> {
    known(resource)
        .filter(|one| one.kind == Kind::Reference)
        .map(|one| (one, targets(one, types)))
        .filter(|(_, targets)| !targets.is_empty())
        .collect()
}

/// The served types that a reference may point to.
pub(super) fn targets(parameter: &SearchParameter, types: &Types) -> Vec<ResourceType> {
    types
        .iter()
        .filter(|one| allowed(parameter, one.as_str()))
        .collect()
}

/// Whether a reference may point to this type.
pub(super) fn allowed(parameter: &SearchParameter, target: &str) -> bool {
    parameter.targets.is_empty() || parameter.targets.contains(&target)
}
