//! What the references of a resource point to, as far as the store that holds it can follow them.
//!
//! Standard: FHIR R4 references 2.3.0. A literal `Type/id` (with a version or not) and a Patient named by number are followed;
//! contained resources, addresses elsewhere and other logical references are not.

use super::matching::person_of;
use crate::definitions::extract::{Found, extract};
use crate::definitions::search::SearchParameter;
use crate::ids::{LogicalId, PersonIdentifier};
use crate::json::Node;
use crate::resource::ResourceType;

/// One reference that can be followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pointer {
    /// A resource of the same store.
    Local(ResourceType, LogicalId),
    /// A Patient by number.
    Person(PersonIdentifier),
}

/// What `resource` points to by one of its type's reference parameters, in order, each once.
#[must_use]
pub fn pointers(resource: Node<'_>, parameter: &SearchParameter) -> Vec<Pointer> {
    let Found::Values(values) = extract(resource, parameter) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for value in values {
        let text = value.node.text("reference").or_else(|| value.node.str());
        let literal = text.as_deref().and_then(local);
        let named = value.node.get("identifier").and_then(person_of);
        for one in literal.into_iter().chain(named.map(Pointer::Person)) {
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    found
}

fn local(text: &str) -> Option<Pointer> {
    let plain = text.split_once("/_history/").map_or(text, |(it, _)| it);
    let (kind, id) = plain.split_once('/')?;
    Some(Pointer::Local(
        ResourceType::parse(kind)?,
        LogicalId::parse(id).ok()?,
    ))
}
