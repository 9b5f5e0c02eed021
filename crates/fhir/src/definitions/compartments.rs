//! Compartments: by which search parameters a resource belongs to a patient, a practitioner or a device.
//!
//! Standard: FHIR R4 (4.0.1), CompartmentDefinition.

use std::collections::BTreeMap;

/// One compartment.
#[derive(Debug, Default)]
pub struct Compartment(BTreeMap<&'static str, Box<[&'static str]>>);

impl Compartment {
    /// The search parameters of `resource` that refer to the compartment's owner; empty: resources of this type are in no
    /// such compartment. `{def}` stands for the resource that is itself the owner.
    #[must_use]
    pub fn parameters(&self, resource: &str) -> &[&'static str] {
        self.0.get(resource).map_or(&[], |all| all)
    }

    /// The types that can be in it, sorted.
    pub fn types(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }
}

/// All compartments.
#[derive(Debug)]
pub struct Compartments(BTreeMap<&'static str, Compartment>);

impl Compartments {
    /// By the owner's type.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Compartment> {
        self.0.get(name)
    }
}

/// Reads the table.
///
/// # Errors
/// The line that cannot be read.
pub fn read(text: &'static str) -> Result<Compartments, String> {
    let mut all: BTreeMap<&'static str, Compartment> = BTreeMap::new();
    let mut open = None;
    for line in super::lines(text) {
        if let Some(name) = line.strip_prefix("compartment ") {
            open = Some(all.entry(name).or_default());
            continue;
        }
        let bad = || format!("cannot read the line `{line}`");
        let mut words = line.split(' ');
        let resource = words.next().ok_or_else(bad)?;
        let into = open.as_mut().ok_or_else(bad)?;
        into.0.insert(resource, words.collect());
    }
    Ok(Compartments(all))
}
