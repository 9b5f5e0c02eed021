//! Compartments: by which search parameters a resource belongs to a patient, a practitioner, a device.
//!
//! Standard: FHIR R4 (4.0.1), CompartmentDefinition.

use super::model::text;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The table of all compartments among published resources.
///
/// # Errors
/// A compartment names a search parameter that its type does not have.
pub fn table(
    published: &[Value],
    known: &BTreeMap<&str, BTreeSet<&str>>,
) -> Result<String, String> {
    let mut all = BTreeMap::new();
    for definition in published {
        if definition["resourceType"] != "CompartmentDefinition" {
            continue;
        }
        let name = text(definition, "code");
        let mut lines = String::new();
        for resource in definition["resource"].as_array().into_iter().flatten() {
            let code = text(resource, "code");
            let params = resource["param"].as_array().into_iter().flatten();
            let params: Vec<&str> = params.filter_map(Value::as_str).collect();
            if params.is_empty() {
                continue;
            }
            // `{def}`: the resource that the compartment is named after.
            for param in params.iter().filter(|p| **p != "{def}") {
                if !known.get(code).is_some_and(|names| names.contains(param)) {
                    return Err(format!(
                        "compartment {name}: {code} has no search parameter {param}"
                    ));
                }
            }
            let _ = writeln!(lines, "{code} {}", params.join(" "));
        }
        all.insert(name, lines);
    }
    if !all.contains_key("Patient") {
        return Err("there is no compartment Patient".to_owned());
    }
    Ok(all
        .iter()
        .map(|(name, lines)| format!("\ncompartment {name}\n{lines}"))
        .collect())
}
