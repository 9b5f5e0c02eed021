//! One entry of the catalogue: the resource as it is given out, and what a search finds it by.

use fhir::ids::OrganisationNumber;
use fhir::index::Coding;
use fhir::resource::ResourceType;
use serde_json::{Value, json};

/// A resource with its search values.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its type, one of the contract's four.
    pub resource_type: ResourceType,
    /// Its logical id: the same at every start, for it is made from the number or service id.
    pub id: String,
    /// Its version; counts on when the content changes.
    pub version: u64,
    /// The resource; `meta` is set when the version is known.
    pub resource: Value,
    /// Business identifiers: system and value.
    pub identifiers: Vec<Coding>,
    /// Organisations by which `organization.identifier` finds it: the one in charge, and members.
    pub organisations: Vec<OrganisationNumber>,
    /// Information services that an Endpoint offers.
    pub payloads: Vec<Coding>,
}

impl Entry {
    /// An entry of version 1, from a resource that has its id. `None` for a resource without one.
    pub fn of(
        resource_type: ResourceType,
        resource: Value,
        identifiers: Vec<Coding>,
    ) -> Option<Self> {
        Some(Self {
            resource_type,
            id: resource.get("id")?.as_str()?.to_owned(),
            version: 1,
            resource,
            identifiers,
            organisations: Vec::new(),
            payloads: Vec::new(),
        })
    }

    /// Sets a member of the resource.
    pub fn set(&mut self, member: &str, value: Value) {
        if let Some(members) = self.resource.as_object_mut() {
            members.insert(member.to_owned(), value);
        }
    }

    /// The business identifiers, as the resource's own element.
    pub fn write_identifiers(&mut self) {
        let list: Vec<Value> = self
            .identifiers
            .iter()
            .map(|one| json!({"system": one.system, "value": one.code}))
            .collect();
        self.set("identifier", Value::from(list));
    }
}
