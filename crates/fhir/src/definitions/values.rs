//! Value sets of required bindings, expanded to codes.
//!
//! Standard: FHIR R4 (4.0.1), ValueSet. Sets whose code systems are not published with FHIR (media types, currencies,
//! UCUM) are not carried; `cargo xtask prepare` lists them.

use std::collections::{HashMap, HashSet};

/// Where FHIR's own value sets live; the table leaves this out.
const BASE: &str = "http://hl7.org/fhir/ValueSet/";

/// The codes of one code system in a value set.
#[derive(Debug)]
pub struct Codes {
    /// The code system's address.
    pub system: &'static str,
    /// Its codes, in the standard's order.
    pub codes: Box<[&'static str]>,
}

/// One value set.
#[derive(Debug)]
pub struct ValueSet {
    /// Its address, FHIR's own without what they all begin with.
    name: &'static str,
    /// Code systems and codes.
    pub codes: Box<[Codes]>,
    /// For large sets: all codes, whatever their system.
    index: Option<HashSet<&'static str>>,
}

/// Sets with more codes than this have an index.
const SMALL: usize = 16;

impl ValueSet {
    /// The canonical address.
    #[must_use]
    pub fn address(&self) -> String {
        if self.name.contains("://") {
            self.name.to_owned()
        } else {
            format!("{BASE}{}", self.name)
        }
    }

    /// Whether this code of this system is in the set.
    #[must_use]
    pub fn contains(&self, system: &str, code: &str) -> bool {
        let mut of_system = self.codes.iter().filter(|c| c.system == system);
        of_system.any(|c| c.codes.contains(&code))
    }

    /// Whether this code is in the set: for elements of type `code`, which imply the system.
    #[must_use]
    pub fn contains_code(&self, code: &str) -> bool {
        match &self.index {
            Some(index) => index.contains(code),
            None => self.all().any(|known| known == code),
        }
    }

    /// Every code of the set.
    pub fn all(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.codes.iter().flat_map(|c| c.codes.iter().copied())
    }
}

/// All value sets.
#[derive(Debug)]
pub struct ValueSets(HashMap<&'static str, ValueSet>);

impl ValueSets {
    /// By canonical address, `|version` ignored, or by what the table calls it.
    #[must_use]
    pub fn named(&self, canonical: &str) -> Option<&ValueSet> {
        let address = canonical.split('|').next().unwrap_or(canonical);
        self.0.get(address.strip_prefix(BASE).unwrap_or(address))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Reads the table.
///
/// # Errors
/// The line that cannot be read.
pub fn read(text: &'static str) -> Result<ValueSets, String> {
    let mut sets: HashMap<&'static str, ValueSet> = HashMap::new();
    let mut open: Option<(&'static str, Vec<Codes>)> = None;
    let mut close = |open: Option<(&'static str, Vec<Codes>)>| {
        if let Some((name, codes)) = open {
            let count: usize = codes.iter().map(|c| c.codes.len()).sum();
            let all = || codes.iter().flat_map(|c| c.codes.iter().copied()).collect();
            let index = (count > SMALL).then(all);
            let set = ValueSet {
                name,
                codes: codes.into_boxed_slice(),
                index,
            };
            sets.insert(name, set);
        }
    };
    for line in super::lines(text) {
        if let Some(name) = line.strip_prefix("set ") {
            close(open.replace((name, Vec::new())));
            continue;
        }
        let bad = || format!("cannot read the line `{line}`");
        let (system, codes) = line.split_once(" = ").ok_or_else(bad)?;
        let (_, into) = open.as_mut().ok_or_else(bad)?;
        into.push(Codes {
            system,
            codes: codes.split('|').collect(),
        });
    }
    close(open);
    Ok(ValueSets(sets))
}
