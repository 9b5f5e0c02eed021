//! The values that a resource has for a search parameter: its paths followed through the JSON.
//!
//! Standard: FHIR R4 (4.0.1), search. What is found are whole FHIR values (a CodeableConcept, a Period); turning them into
//! index rows is the next step's work. A value that only has extensions (`_birthDate`) is no value to search for.

use super::search::{Only, Path, SearchParameter};
use crate::ids::PersonSystem;
use crate::json::{Kind, Node};
use crate::resource::ResourceType;

/// One value of a parameter.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    /// Where it stands.
    pub node: Node<'a>,
    /// Its FHIR type.
    pub used: &'static str,
}

/// What a resource has for a parameter.
#[derive(Debug, Clone)]
pub enum Found<'a> {
    /// The values, in the order of the paths.
    Values(Vec<Value<'a>>),
    /// For each base of a composite: the values of each component.
    Composites(Vec<Vec<Vec<Value<'a>>>>),
    /// Whether anything stands at the paths of a `present` parameter.
    Present(bool),
}

/// What `resource` has for `parameter`, which is one of its type's.
#[must_use]
pub fn extract<'a>(resource: Node<'a>, parameter: &SearchParameter) -> Found<'a> {
    let values = follow_all(resource, resource, &parameter.paths);
    if parameter.present {
        return Found::Present(values.iter().any(|v| v.node.bool() != Some(false)));
    }
    if parameter.components.is_empty() {
        return Found::Values(values);
    }
    let parts = |base: &Value<'a>| {
        parameter
            .components
            .iter()
            .map(|c| follow_all(resource, base.node, &c.paths))
            .collect()
    };
    Found::Composites(values.iter().map(parts).collect())
}

fn follow_all<'a>(resource: Node<'a>, base: Node<'a>, paths: &[Path]) -> Vec<Value<'a>> {
    let mut found = Vec::new();
    for path in paths {
        let start = if path.from_resource { resource } else { base };
        follow(resource, start, path, 0, &mut found);
    }
    found
}

fn follow<'a>(
    resource: Node<'a>,
    node: Node<'a>,
    path: &Path,
    at: usize,
    found: &mut Vec<Value<'a>>,
) {
    let Some(step) = path.steps.get(at) else {
        found.push(Value {
            node,
            used: path.used,
        });
        return;
    };
    let Some(value) = node.get(step.member) else {
        return;
    };
    let counts = |index: usize, item: Node<'a>| match step.only {
        // In an array of primitives null keeps the place of a value that only has an extension.
        _ if item.kind() == Kind::Null => false,
        None => true,
        Some(Only::At(wanted)) => index == wanted,
        Some(Only::With(member, text)) => item.text(member).is_some_and(|t| t == text),
        Some(Only::RefersTo(target)) => refers_to(resource, item, target),
    };
    if value.kind() != Kind::Array {
        if counts(0, value) {
            follow(resource, value, path, at + 1, found);
        }
        return;
    }
    for (index, item) in value.items().enumerate() {
        if counts(index, item) {
            follow(resource, item, path, at + 1, found);
        }
    }
}

/// Whether a Reference is to a resource of this type, as far as it says so itself: by its literal reference, by the
/// contained resource that it names, or, where neither tells, by its `type`.
fn refers_to(resource: Node<'_>, reference: Node<'_>, target: &str) -> bool {
    let literal = reference.text("reference");
    // A Norwegian person's number means a Patient, also where nothing else says so.
    let numbered = || {
        let system = reference.get("identifier").and_then(|i| i.text("system"));
        target == "Patient" && system.is_some_and(|s| PersonSystem::parse(&s).is_some())
    };
    let said = || match reference.text("type") {
        Some(named) => named == target,
        None => numbered(),
    };
    let Some(text) = literal else {
        return said();
    };
    if let Some(id) = text.strip_prefix('#') {
        let mut contained = resource.get("contained").into_iter().flat_map(Node::items);
        let named = contained.find(|c| c.text("id").is_some_and(|own| own == id));
        return named.is_some_and(|c| c.text("resourceType").is_some_and(|t| t == target));
    }
    let path = text
        .split_once("/_history/")
        .map_or(&*text, |(path, _)| path);
    match path.rsplit('/').nth(1).and_then(ResourceType::parse) {
        Some(found) => found.as_str() == target,
        None => said(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::definitions::Definitions;
    use crate::json::{Json, Limits};

    /// What the parameter finds, as text: values by ` `, composites by `;` and `+`.
    fn found(json: &str, parameter: &str) -> String {
        let json = Json::parse(json.as_bytes().to_vec(), Limits::RESOURCE).unwrap();
        let resource = ResourceType::of(json.root()).unwrap();
        let parameter = Definitions::get()
            .search_parameter(resource, parameter)
            .unwrap();
        let values = |all: &[Value<'_>]| {
            let shown = |v: &Value<'_>| format!("{}:{}", v.node.raw(), v.used);
            all.iter().map(shown).collect::<Vec<_>>().join(" ")
        };
        match extract(json.root(), parameter) {
            Found::Values(all) => values(&all),
            Found::Present(present) => present.to_string(),
            Found::Composites(bases) => {
                let base = |parts: &Vec<Vec<Value<'_>>>| {
                    parts
                        .iter()
                        .map(|p| values(p))
                        .collect::<Vec<_>>()
                        .join("+")
                };
                bases.iter().map(base).collect::<Vec<_>>().join(";")
            }
        }
    }

    #[test]
    fn choices_unions_and_arrays() {
        let observation = r#"{"resourceType":"Observation","valueQuantity":{"value":1},"component":[
            {"code":{"text":"a"},"valueQuantity":{"value":2.0}},{"code":{"text":"b"},"valueString":"x"}]}"#;
        assert_eq!(
            found(observation, "combo-value-quantity"),
            r#"{"value":1}:Quantity {"value":2.0}:Quantity"#
        );
        assert_eq!(found(observation, "value-string"), "");
        assert_eq!(
            found(observation, "component-code-value-quantity"),
            r#"{"text":"a"}:CodeableConcept+{"value":2.0}:Quantity;{"text":"b"}:CodeableConcept+"#
        );
        assert_eq!(
            found(observation, "combo-code-value-quantity")
                .split(';')
                .count(),
            3
        );
    }

    #[test]
    fn what_is_narrowed() {
        let patient = r#"{"resourceType":"Patient","deceasedBoolean":false,"telecom":[
            {"system":"phone","value":"1"},{"system":"email","value":"2"},{"value":"3"}]}"#;
        assert_eq!(
            found(patient, "phone"),
            r#"{"system":"phone","value":"1"}:ContactPoint"#
        );
        assert_eq!(found(patient, "deceased"), "false");
        let dead = r#"{"resourceType":"Patient","deceasedDateTime":"2026"}"#;
        assert_eq!(found(dead, "deceased"), "true");
        assert_eq!(found(r#"{"resourceType":"Patient"}"#, "deceased"), "false");
        let bundle = r#"{"resourceType":"Bundle","entry":[{"resource":{"id":"a"}},{"resource":{"id":"b"}}]}"#;
        assert_eq!(found(bundle, "composition"), r#"{"id":"a"}:Resource"#);
        let primitives = r#"{"resourceType":"Patient","name":[{"given":[null,"B"],"_given":[{"id":"x"},null]}]}"#;
        assert_eq!(found(primitives, "given"), r#""B":string"#);
    }

    #[test]
    fn whom_a_reference_means() {
        for (subject, is_patient) in [
            (r#"{"reference":"Patient/1"}"#, true),
            (r#"{"reference":"Patient/1/_history/2"}"#, true),
            (r#"{"reference":"https://a.example/fhir/Patient/1"}"#, true),
            (r#"{"reference":"Group/1"}"#, false),
            (r#"{"reference":"Group/1","type":"Patient"}"#, false),
            (r##"{"reference":"#p"}"##, true),
            (r##"{"reference":"#g"}"##, false),
            (r##"{"reference":"#x"}"##, false),
            (r#"{"reference":"urn:uuid:1","type":"Patient"}"#, true),
            (r#"{"reference":"urn:uuid:1"}"#, false),
            (r#"{"type":"Patient","identifier":{"value":"1"}}"#, true),
            (r#"{"identifier":{"value":"1"}}"#, false),
            (
                r#"{"identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"1"}}"#,
                true,
            ),
            (
                r#"{"type":"Group","identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"1"}}"#,
                false,
            ),
        ] {
            let json = format!(
                r#"{{"resourceType":"Observation","subject":{subject},"contained":[
                {{"resourceType":"Patient","id":"p"}},{{"resourceType":"Group","id":"g"}}]}}"#
            );
            assert_eq!(!found(&json, "patient").is_empty(), is_patient, "{subject}");
            assert!(!found(&json, "subject").is_empty());
        }
    }
}
