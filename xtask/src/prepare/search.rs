//! Search parameters: published SearchParameters, their expressions reduced, as the line format of `spec/definitions`.
//!
//! Standard: FHIR R4 (4.0.1), SearchParameter and the search parameter registry.

use super::expression::{self, Expression};
use super::model::{Types, text};
use super::reduce::{Context, Spot};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const BASE: &str = "http://hl7.org/fhir/SearchParameter/";

/// More targets than this are all that FHIR has.
const ANY: usize = 140;

/// One parameter of one type.
#[derive(Debug)]
struct Parameter {
    id: String,
    kind: String,
    targets: Vec<String>,
    present: bool,
    paths: Vec<String>,
    components: Vec<Component>,
}

/// One part of a composite.
#[derive(Debug)]
struct Component {
    name: String,
    kind: String,
    paths: Vec<String>,
}

/// All parameters.
#[derive(Debug)]
pub struct Search {
    /// How many SearchParameters were read.
    pub published: usize,
    types: BTreeMap<String, BTreeMap<String, Parameter>>,
    /// Those that have no paths, and why.
    pub unreduced: Vec<(String, String)>,
}

/// Reads the SearchParameters among published resources.
///
/// # Errors
/// One of them is not as SearchParameters are, or names a type that there is not.
pub fn read(published: &[Value], types: &Types) -> Result<Search, String> {
    let by_url: BTreeMap<&str, &Value> = published.iter().map(|p| (text(p, "url"), p)).collect();
    let mut search = Search {
        published: published.len(),
        types: BTreeMap::new(),
        unreduced: Vec::new(),
    };
    for parameter in published {
        let (id, code) = (text(parameter, "id"), text(parameter, "code"));
        if text(parameter, "version") != "4.0.1" || !text(parameter, "url").starts_with(BASE) {
            return Err(format!("search parameter {id} is not of FHIR 4.0.1"));
        }
        for base in parameter["base"].as_array().into_iter().flatten() {
            let base = base.as_str().unwrap_or_default();
            if types.root(base).is_none() {
                return Err(format!("search parameter {id}: no type {base}"));
            }
            match one(parameter, base, types, &by_url) {
                Ok(read) => {
                    let all = search.types.entry(base.to_owned()).or_default();
                    if all.insert(code.to_owned(), read).is_some() {
                        return Err(format!("{base} has two search parameters {code}"));
                    }
                }
                Err(why) => search.unreduced.push((format!("{base} {code}"), why)),
            }
        }
    }
    search.unreduced.sort();
    Ok(search)
}

fn one(
    parameter: &Value,
    resource: &str,
    types: &Types,
    by_url: &BTreeMap<&str, &Value>,
) -> Result<Parameter, String> {
    let expression = parameter["expression"]
        .as_str()
        .ok_or("the standard gives no expression")?;
    let mut expression = expression::parse(expression)?;
    let present = matches!(expression, Expression::Present(_));
    if let Expression::Present(inner) = expression {
        expression = *inner;
    }
    let context = Context {
        types,
        resource,
        here: Spot::root(types, resource).ok_or("no such type")?,
    };
    let spots = context.reduce(&expression)?;
    if spots.is_empty() {
        return Err("the expression does not speak of this type".to_owned());
    }
    let mut components = Vec::new();
    for part in parameter["component"].as_array().into_iter().flatten() {
        components.push(component(part, resource, types, &spots, by_url)?);
    }
    let kind = text(parameter, "type");
    if (kind == "composite") != (components.len() > 1) {
        return Err("a composite has two components or more, and nothing else has any".to_owned());
    }
    let mut targets: Vec<String> = Vec::new();
    for target in parameter["target"].as_array().into_iter().flatten() {
        targets.extend(target.as_str().map(str::to_owned));
    }
    if targets.len() > ANY {
        targets.clear();
    }
    Ok(Parameter {
        id: text(parameter, "id").to_owned(),
        kind: kind.to_owned(),
        targets,
        present,
        paths: spots.iter().map(ToString::to_string).collect(),
        components,
    })
}

fn component(
    part: &Value,
    resource: &str,
    types: &Types,
    bases: &[Spot<'_>],
    by_url: &BTreeMap<&str, &Value>,
) -> Result<Component, String> {
    let url = text(part, "definition");
    let definition = by_url
        .get(url)
        .ok_or_else(|| format!("component {url} is not there"))?;
    let expression = expression::parse(text(part, "expression"))?;
    let mut paths: Vec<String> = Vec::new();
    for base in bases {
        let context = Context {
            types,
            resource,
            here: base.start(),
        };
        for spot in context.reduce(&expression)? {
            let path = spot.to_string();
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    Ok(Component {
        name: text(definition, "code").to_owned(),
        kind: text(definition, "type").to_owned(),
        paths,
    })
}

impl Search {
    /// The names of each type's parameters.
    pub fn known(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        self.types
            .iter()
            .map(|(t, all)| (t.as_str(), all.keys().map(String::as_str).collect()))
            .collect()
    }

    /// How many parameters there are, counted for each type.
    pub fn parameters(&self) -> usize {
        self.types.values().map(BTreeMap::len).sum()
    }

    /// How many paths they have.
    pub fn paths(&self) -> usize {
        let parameters = self.types.values().flat_map(BTreeMap::values);
        parameters
            .map(|p| p.paths.len() + p.components.iter().map(|c| c.paths.len()).sum::<usize>())
            .sum()
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut out = String::new();
        for (name, parameters) in &self.types {
            let _ = writeln!(out, "\ntype {name}");
            for (code, p) in parameters {
                let _ = write!(out, "{code} {}", p.kind);
                if !p.targets.is_empty() {
                    let _ = write!(out, "({})", p.targets.join("|"));
                }
                if p.id != format!("{name}-{code}") {
                    let _ = write!(out, " @{}", p.id);
                }
                if p.present {
                    out.push_str(" present");
                }
                let _ = write!(out, " {}", p.paths.join(" | "));
                if p.components.is_empty() {
                    out.push('\n');
                    continue;
                }
                out.push_str(" {\n");
                for c in &p.components {
                    let _ = writeln!(out, "  {} {} {}", c.name, c.kind, c.paths.join(" | "));
                }
                out.push_str("}\n");
            }
        }
        out
    }
}
