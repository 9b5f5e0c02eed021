//! What FHIR R4 is, as data: element rules, value sets, search parameters and compartments of every type.
//!
//! Standard: FHIR R4 (4.0.1), from the published definitions by `cargo xtask prepare`; the tables' format is told in
//! `spec/definitions/README.md`. They are embedded, parsed once at first use, and live as long as the process.

pub mod compartments;
pub mod elements;
pub mod extract;
pub mod search;
#[cfg(test)]
mod tests;
pub mod values;

use crate::resource::{InformationService, ResourceType};
use compartments::{Compartment, Compartments};
use elements::{Table, Tables};
use search::{Parameters, SearchParameter};
use std::sync::LazyLock;
use values::{ValueSet, ValueSets};

const ELEMENTS: &str = include_str!(concat!(env!("OUT_DIR"), "/elements.txt"));
const VALUES: &str = include_str!(concat!(env!("OUT_DIR"), "/values.txt"));
const SEARCH: &str = include_str!(concat!(env!("OUT_DIR"), "/search.txt"));
const COMPARTMENTS: &str = include_str!(concat!(env!("OUT_DIR"), "/compartments.txt"));
const ENABLED: &str = include_str!("../../../spec/enabled-types.txt");

static VALUE_SETS: LazyLock<ValueSets> = LazyLock::new(|| proved("values", values::read(VALUES)));
static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let sets: &'static ValueSets = &VALUE_SETS;
    proved("elements", elements::read(ELEMENTS, sets))
});
static PARAMETERS: LazyLock<Parameters> = LazyLock::new(|| proved("search", search::read(SEARCH)));
static ALL_COMPARTMENTS: LazyLock<Compartments> =
    LazyLock::new(|| proved("compartments", compartments::read(COMPARTMENTS)));
static ENABLED_TYPES: LazyLock<Vec<Enabled>> =
    LazyLock::new(|| proved("enabled-types", enabled(ENABLED)));

/// What is embedded is read by a test, so it is there and well-formed.
fn proved<T>(name: &str, read: Result<T, String>) -> T {
    read.unwrap_or_else(|e| panic!("the table {name}, which a test reads, does not parse: {e}"))
}

/// A type that a deployment answers for unless its configuration says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enabled {
    /// The type.
    pub resource: ResourceType,
    /// The information service that it belongs to.
    pub service: InformationService,
}

/// The door to all tables.
#[derive(Debug, Clone, Copy)]
pub struct Definitions(());

impl Definitions {
    /// The definitions of FHIR R4.
    #[must_use]
    pub const fn get() -> Self {
        Self(())
    }

    /// The elements of a type (`Observation`, `Quantity`) or backbone element (`Observation.component`), inherited ones
    /// included; `None` for primitives and for what R4 does not have.
    #[must_use]
    pub fn elements(self, name: &str) -> Option<&'static Table> {
        TABLES.named(name)
    }

    /// The table that a [`elements::Kind::Complex`] names.
    pub(crate) fn at(self, place: elements::Place) -> &'static Table {
        TABLES.at(place)
    }

    /// The names of all resource types of R4, sorted; abstract ones left out.
    pub fn resource_types(self) -> impl Iterator<Item = &'static str> {
        TABLES.resource_types()
    }

    /// The search parameters of a type, by name: its own, then those that every resource has.
    pub fn search_parameters(
        self,
        resource: ResourceType,
    ) -> impl Iterator<Item = &'static SearchParameter> {
        PARAMETERS.of(resource.as_str())
    }

    /// One search parameter of a type.
    #[must_use]
    pub fn search_parameter(
        self,
        resource: ResourceType,
        name: &str,
    ) -> Option<&'static SearchParameter> {
        PARAMETERS.one(resource.as_str(), name)
    }

    /// A compartment: `Patient`, `Practitioner`, `RelatedPerson`, `Device`, `Encounter`.
    #[must_use]
    pub fn compartment(self, name: &str) -> Option<&'static Compartment> {
        ALL_COMPARTMENTS.named(name)
    }

    /// A value set of a required binding, by its canonical address, with or without `|version`; `None` if we do not carry
    /// it.
    #[must_use]
    pub fn value_set(self, canonical: &str) -> Option<&'static ValueSet> {
        VALUE_SETS.named(canonical)
    }

    /// The types that are on unless a deployment says otherwise: those of the information services
    /// (`spec/enabled-types.txt`).
    #[must_use]
    pub fn enabled(self) -> &'static [Enabled] {
        &ENABLED_TYPES
    }
}

/// Lines `IT17 Observation`; `#` opens a comment.
fn enabled(text: &str) -> Result<Vec<Enabled>, String> {
    lines(text)
        .map(|line| {
            let (service, resource) = line.split_once(' ').ok_or(line)?;
            Ok(Enabled {
                resource: ResourceType::parse(resource.trim()).ok_or(line)?,
                service: InformationService::parse(service).ok_or(line)?,
            })
        })
        .collect::<Result<_, &str>>()
        .map_err(|line| format!("cannot read the line `{line}`"))
}

/// The lines that say something.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}
