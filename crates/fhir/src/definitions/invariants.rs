//! Invariants: what must hold between the elements of an object, in FHIRPath.
//!
//! Standard: FHIR R4 (4.0.1), ElementDefinition.constraint of severity error, of every type. A rule is looked at by its
//! published expression, or by code of ours that names the place better ([`BY_HAND`]), or it stands in [`NOT_LOOKED_AT`]
//! with the reason. There is no fourth way: a table with another rule does not load.

use crate::check::fhirpath::Path;
use std::collections::HashMap;

/// One rule of a type or backbone element.
#[derive(Debug)]
pub struct Invariant {
    /// The standard's key: `obs-6`.
    pub key: &'static str,
    /// The standard's words.
    pub words: &'static str,
    /// The member whose values it is about; `None`: the object itself.
    pub(crate) member: Option<&'static str>,
    pub(crate) path: Path,
}

/// Rules that `check::walk`, `check::invariants` and `check::primitive` look at themselves.
pub const BY_HAND: &[&str] = &[
    "ele-1", "ext-1", "dom-2", "dom-3", "ref-1", "txt-1", "txt-2", "qty-3", "per-1", "rng-2",
    "cpt-2", "att-1", "gol-1",
];

/// Rules that nobody looks at, and why.
pub const NOT_LOOKED_AT: &[(&str, &str)] = &[
    (
        "ctm-1",
        "asks of what type the resource is that a reference resolves to; references are not followed on a write",
    ),
    (
        "eld-16",
        "a form of names inside StructureDefinitions, which are read by tools; regular expressions are not evaluated",
    ),
    ("eld-19", "as eld-16"),
    ("sdf-19", "as eld-16"),
    (
        "sdf-8",
        "compares the paths of a StructureDefinition's elements as text; definitions are made by tools that check it",
    ),
    ("sdf-8a", "as sdf-8"),
    ("sdf-9", "as sdf-8"),
];

/// All rules, by the name of the type or backbone element.
#[derive(Debug, Default)]
pub struct Invariants(HashMap<&'static str, Vec<Invariant>>);

impl Invariants {
    /// The rules that a type or backbone element adds to its base's.
    #[must_use]
    pub fn of(&self, name: &str) -> &[Invariant] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Reads the table.
///
/// # Errors
/// The words name the line, or the rule whose expression is not understood.
pub fn read(text: &'static str) -> Result<Invariants, String> {
    let mut found = Invariants::default();
    for line in super::lines(text) {
        let bad = || format!("cannot read the line `{line}`");
        let mut parts = line.split(" | ");
        let (place, key, words, expression) = (
            parts.next().ok_or_else(bad)?,
            parts.next().ok_or_else(bad)?,
            parts.next().ok_or_else(bad)?,
            line.splitn(4, " | ").nth(3).ok_or_else(bad)?,
        );
        let named = NOT_LOOKED_AT.iter().any(|(known, _)| *known == key);
        if BY_HAND.contains(&key) || named {
            continue;
        }
        let (object, member) = match place.split_once('/') {
            Some((object, member)) => (object, Some(member)),
            None => (place, None),
        };
        let path = Path::parse(expression).map_err(|e| format!("{key} at {place}: {e}"))?;
        found.0.entry(object).or_default().push(Invariant {
            key,
            words,
            member,
            path,
        });
    }
    Ok(found)
}
