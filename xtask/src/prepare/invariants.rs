//! Invariants: the constraints of published StructureDefinitions as one line each.
//!
//! Standard: FHIR R4 (4.0.1), ElementDefinition.constraint. What an element restates of its type is left out: it stands
//! with the type.

use super::model::{Types, text};
use serde_json::Value;
use std::collections::BTreeSet;

/// The table, and how many rules are in it.
///
/// # Errors
/// A constraint has no expression, or words that the table cannot hold.
pub fn table(definitions: &[&[Value]], types: &Types) -> Result<(String, usize), String> {
    let mut lines = BTreeSet::new();
    for definition in definitions.iter().copied().flatten() {
        let id = text(definition, "id");
        if definition["resourceType"] != "StructureDefinition" || types.root(id).is_none() {
            continue;
        }
        let elements = definition["differential"]["element"].as_array();
        for element in elements.ok_or_else(|| format!("{id} has no differential"))? {
            // A profile that stands as a type (SimpleQuantity) writes its base's name.
            let path = text(element, "path");
            let below = path.split_once('.').map_or("", |(_, below)| below);
            let path = match below {
                "" => id.to_owned(),
                below => format!("{id}.{below}"),
            };
            for rule in element["constraint"].as_array().into_iter().flatten() {
                if rule["severity"] != "error" {
                    continue;
                }
                let (key, human) = (text(rule, "key"), text(rule, "human"));
                let expression = text(rule, "expression");
                if key.is_empty() || human.is_empty() || expression.is_empty() {
                    return Err(format!("{path}: the constraint {key} is not whole"));
                }
                let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                if human.contains(" | ") {
                    return Err(format!("{path}: the words of {key} hold a |"));
                }
                let place = place(types, &path);
                lines.insert(format!(
                    "{place} | {key} | {} | {}\n",
                    words(human),
                    words(expression)
                ));
            }
        }
    }
    Ok((lines.iter().map(String::as_str).collect(), lines.len()))
}

/// The object that a rule is looked at in: the type or backbone element itself, or the object that holds the element.
fn place(types: &Types, path: &str) -> String {
    let Some((above, member)) = path.rsplit_once('.') else {
        return path.to_owned();
    };
    if types.has_children(path) {
        path.to_owned()
    } else {
        format!("{above}/{member}")
    }
}
