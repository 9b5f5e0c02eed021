//! What FHIR R4 is, as data: element rules, value sets, search parameters and compartments of every type.
//!
//! Standard: FHIR R4 (4.0.1), from the published definitions by `cargo xtask prepare`; the tables' format is told in
//! `spec/definitions/README.md`. They are embedded, parsed once at first use, and live as long as the process.

pub mod compartments;
pub mod elements;
pub mod extract;
pub mod invariants;
pub mod search;
#[cfg(test)]
mod tests;
pub mod values;

use crate::resource::{InformationService, ResourceType};
use compartments::{Compartment, Compartments};
use elements::{Table, Tables};
use invariants::Invariants;
use search::{Parameters, SearchParameter};
use std::sync::{Arc, LazyLock};
use values::{ValueSet, ValueSets};

const ELEMENTS: &str = include_str!(concat!(env!("OUT_DIR"), "/elements.txt"));
const VALUES: &str = include_str!(concat!(env!("OUT_DIR"), "/values.txt"));
const SEARCH: &str = include_str!(concat!(env!("OUT_DIR"), "/search.txt"));
const COMPARTMENTS: &str = include_str!(concat!(env!("OUT_DIR"), "/compartments.txt"));
const INVARIANTS: &str = include_str!(concat!(env!("OUT_DIR"), "/invariants.txt"));
const ENABLED: &str = include_str!("../../../spec/enabled-types.txt");

static VALUE_SETS: LazyLock<ValueSets> = LazyLock::new(|| proved("values", values::read(VALUES)));
static RULES: LazyLock<Invariants> =
    LazyLock::new(|| proved("invariants", invariants::read(INVARIANTS)));
static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let (sets, rules): (&'static ValueSets, &'static Invariants) = (&VALUE_SETS, &RULES);
    proved("elements", elements::read(ELEMENTS, sets, rules))
});
static PARAMETERS: LazyLock<Parameters> = LazyLock::new(|| proved("search", search::read(SEARCH)));
static ALL_COMPARTMENTS: LazyLock<Compartments> =
    LazyLock::new(|| proved("compartments", compartments::read(COMPARTMENTS)));
static KNOWN_TYPES: LazyLock<Vec<Known>> =
    LazyLock::new(|| proved("enabled-types", known(ENABLED)));

/// What is embedded is read by a test, so it is there and well-formed.
fn proved<T>(name: &str, read: Result<T, String>) -> T {
    read.unwrap_or_else(|e| panic!("the table {name}, which a test reads, does not parse: {e}"))
}

/// A type whose resources can be about a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The type.
    pub resource: ResourceType,
    /// The information service that it belongs to.
    pub service: InformationService,
    /// Whether a deployment answers for it unless its configuration says otherwise.
    on: bool,
}

/// The types that a deployment answers for, in the order in which it lists them. `Default`: those of
/// `spec/enabled-types.txt` that are not off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types(Arc<[ResourceType]>);

/// Why a list of types is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownType {
    /// R4 has no such type.
    #[error("`{0}` is not a resource type of FHIR R4, nor `default`")]
    Name(String),
    /// Nobody writes the trail of accesses.
    #[error("AuditEvent is always there and is written by nobody: leave it out")]
    Trail,
}

impl Types {
    /// The types of these names; `default` stands for the default ones. What is named twice is there once.
    ///
    /// # Errors
    /// The first name that cannot be enabled.
    pub fn named(names: &[impl AsRef<str>]) -> Result<Self, UnknownType> {
        let mut all: Vec<ResourceType> = Vec::new();
        for name in names.iter().map(AsRef::as_ref) {
            let more = match (name, ResourceType::parse(name)) {
                ("default", _) => Definitions::get()
                    .enabled()
                    .map(|one| one.resource)
                    .collect(),
                (_, Some(ResourceType::AUDIT_EVENT)) => return Err(UnknownType::Trail),
                (_, Some(resource)) => vec![resource],
                (_, None) => return Err(UnknownType::Name(name.to_owned())),
            };
            for one in more {
                if !all.contains(&one) {
                    all.push(one);
                }
            }
        }
        Ok(Self(all.into()))
    }

    /// These, and one more.
    #[must_use]
    pub fn with(&self, resource: ResourceType) -> Self {
        let mut all: Vec<_> = self.iter().collect();
        if !self.serves(resource) {
            all.push(resource);
        }
        Self(all.into())
    }

    /// Whether the deployment answers for this type.
    #[must_use]
    pub fn serves(&self, resource: ResourceType) -> bool {
        self.0.contains(&resource)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = ResourceType> + '_ {
        self.0.iter().copied()
    }
}

impl Default for Types {
    fn default() -> Self {
        Self(
            Definitions::get()
                .enabled()
                .map(|one| one.resource)
                .collect(),
        )
    }
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
    pub fn enabled(self) -> impl Iterator<Item = &'static Known> {
        KNOWN_TYPES.iter().filter(|one| one.on)
    }

    /// The information service of a type whose resources can be about a patient, on or off.
    pub(crate) fn service_of(self, resource: ResourceType) -> Option<InformationService> {
        let mut known = KNOWN_TYPES.iter();
        known
            .find(|one| one.resource == resource)
            .map(|one| one.service)
    }
}

/// Lines `IT17 Observation`, `off IT19 ServiceRequest`; `#` opens a comment.
fn known(text: &str) -> Result<Vec<Known>, String> {
    lines(text)
        .map(|line| {
            let (on, rest) = line
                .strip_prefix("off ")
                .map_or((true, line), |rest| (false, rest));
            let (service, resource) = rest.split_once(' ').ok_or(line)?;
            Ok(Known {
                resource: ResourceType::parse(resource.trim()).ok_or(line)?,
                service: InformationService::parse(service).ok_or(line)?,
                on,
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
