//! Value sets of required bindings, expanded to codes where the package carries the code systems.
//!
//! Standard: FHIR R4 (4.0.1), ValueSet.compose. Filters are not understood; a set that has one is listed as not expanded.

use super::model::{VALUE_SETS, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Code system to codes, in the order of the standard.
type Codes = Vec<(String, Vec<String>)>;

/// What could be expanded and what could not.
#[derive(Debug)]
pub struct Values {
    /// Canonical address to codes.
    pub sets: BTreeMap<String, Codes>,
    /// Canonical address to the reason.
    pub unexpanded: BTreeMap<String, String>,
}

/// Expands the `wanted` value sets.
pub fn expand(wanted: &BTreeSet<String>, bundles: &[&[Value]]) -> Values {
    let mut library = Library {
        sets: BTreeMap::new(),
        systems: BTreeMap::new(),
    };
    for resource in bundles.iter().copied().flatten() {
        let into = match text(resource, "resourceType") {
            "ValueSet" => &mut library.sets,
            "CodeSystem" => &mut library.systems,
            _ => continue,
        };
        into.entry(text(resource, "url")).or_insert(resource);
    }
    let mut values = Values {
        sets: BTreeMap::new(),
        unexpanded: BTreeMap::new(),
    };
    for url in wanted {
        match library.set(url, 0) {
            Ok(codes) => drop(values.sets.insert(url.clone(), codes)),
            Err(why) => drop(values.unexpanded.insert(url.clone(), why)),
        }
    }
    values
}

struct Library<'a> {
    sets: BTreeMap<&'a str, &'a Value>,
    systems: BTreeMap<&'a str, &'a Value>,
}

impl Library<'_> {
    fn set(&self, url: &str, depth: usize) -> Result<Codes, String> {
        let url = url.split('|').next().unwrap_or(url);
        let set = self
            .sets
            .get(url)
            .ok_or_else(|| format!("the package has no {url}"))?;
        let compose = &set["compose"];
        if depth > 4 || !compose["exclude"].is_null() {
            return Err("it leaves codes out, or holds itself".to_owned());
        }
        let mut codes: Codes = Vec::new();
        for include in compose["include"].as_array().ok_or("it includes nothing")? {
            for (system, more) in self.include(include, depth)? {
                match codes.iter_mut().find(|(s, _)| *s == system) {
                    Some((_, known)) => {
                        for code in more {
                            if !known.contains(&code) {
                                known.push(code);
                            }
                        }
                    }
                    None => codes.push((system, more)),
                }
            }
        }
        let odd = |c: &String| c.is_empty() || c.contains('|') || c.contains('\n');
        match codes.iter().flat_map(|(_, all)| all).find(|c| odd(c)) {
            Some(code) => Err(format!("the table cannot hold the code {code}")),
            None if codes.is_empty() => Err("it has no code".to_owned()),
            None => Ok(codes),
        }
    }

    fn include(&self, include: &Value, depth: usize) -> Result<Codes, String> {
        if !include["filter"].is_null() {
            return Err("it is filtered".to_owned());
        }
        let Some(system) = include["system"].as_str() else {
            let mut codes = Codes::new();
            let sets = include["valueSet"].as_array();
            match sets.map(Vec::as_slice) {
                Some([one]) => codes.extend(self.set(one.as_str().unwrap_or_default(), depth + 1)?),
                _ => return Err("it combines other value sets".to_owned()),
            }
            return Ok(codes);
        };
        if !include["valueSet"].is_null() {
            return Err("it combines other value sets".to_owned());
        }
        let mut codes = Vec::new();
        if let Some(concepts) = include["concept"].as_array() {
            codes.extend(concepts.iter().map(|c| text(c, "code").to_owned()));
        } else {
            let known = self
                .systems
                .get(system)
                .filter(|s| s["content"] == "complete")
                .ok_or_else(|| format!("the package does not carry {system}"))?;
            concepts(&known["concept"], &mut codes);
        }
        Ok(vec![(system.to_owned(), codes)])
    }
}

fn concepts(list: &Value, codes: &mut Vec<String>) {
    for concept in list.as_array().into_iter().flatten() {
        codes.push(text(concept, "code").to_owned());
        concepts(&concept["concept"], codes);
    }
}

impl Values {
    /// The table.
    pub fn table(&self) -> String {
        let mut out = String::new();
        for (url, codes) in &self.sets {
            let _ = writeln!(out, "\nset {}", url.strip_prefix(VALUE_SETS).unwrap_or(url));
            for (system, codes) in codes {
                let _ = writeln!(out, "{system} = {}", codes.join("|"));
            }
        }
        out
    }
}
