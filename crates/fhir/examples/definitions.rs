//! For the oracle in `interop/oracle`: made-up resources, and what [`fhir::definitions::extract`] finds in resources.
//!
//! `definitions samples` prints resources, one a line: of each type some in which every element is filled, each time with
//! another type of each choice, another code, another kind of reference.
//! `definitions extract` reads resources, one a line, and prints one line for each with what each search parameter finds:
//! `{"resourceType":"Patient","found":{"name":{"values":[…]},"deceased":{"present":true},"…":{"composites":[[[…],[…]]]}}}`.

use fhir::definitions::Definitions;
use fhir::definitions::elements::{Element, Table, Use};
use fhir::definitions::extract::{Found, Value as FoundValue, extract};
use fhir::json::{Json, Limits};
use fhir::resource::ResourceType;
use serde_json::{Map, Value, json};
use std::io::{self, BufRead, Write};

/// So many resources of each type: more than the types of the widest choice that is searched.
const VARIANTS: usize = 16;

/// Elements below this depth are filled only if they must be there.
const DEPTH: usize = 5;

/// What would make samples endless.
const LEFT_OUT: [&str; 3] = ["extension", "modifierExtension", "contained"];

fn main() -> Result<(), String> {
    let mut out = io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").map_err(|e| e.to_string());
    match std::env::args().nth(1).as_deref() {
        Some("samples") => {
            for resource in Definitions::get()
                .resource_types()
                .filter_map(ResourceType::parse)
            {
                for variant in 0..VARIANTS {
                    say(sample(resource, variant)?.to_string())?;
                }
            }
            Ok(())
        }
        Some("extract") => {
            for line in io::stdin().lock().lines() {
                let line = line.map_err(|e| e.to_string())?;
                say(extracted(&line)?)?;
            }
            Ok(())
        }
        _ => Err("definitions samples | definitions extract".to_owned()),
    }
}

/// What each parameter of the resource's type finds in it, as one line of JSON.
fn extracted(line: &str) -> Result<String, String> {
    let json = Json::parse(line.to_owned(), Limits::BUNDLE).map_err(|e| e.message)?;
    let resource = ResourceType::of(json.root()).map_err(|issue| issue.diagnostics)?;
    // Raw JSON is passed on as it stands: no number loses a digit on the way.
    let values = |all: &[FoundValue<'_>]| -> String {
        let raw: Vec<&str> = all.iter().map(|v| v.node.raw()).collect();
        format!("[{}]", raw.join(","))
    };
    let mut found = Vec::new();
    for parameter in Definitions::get().search_parameters(resource) {
        let shown = match extract(json.root(), parameter) {
            Found::Values(all) => format!("{{\"values\":{}}}", values(&all)),
            Found::Present(present) => format!("{{\"present\":{present}}}"),
            Found::Composites(bases) => {
                let base = |parts: &Vec<Vec<FoundValue<'_>>>| {
                    let parts: Vec<String> = parts.iter().map(|p| values(p)).collect();
                    format!("[{}]", parts.join(","))
                };
                let bases: Vec<String> = bases.iter().map(base).collect();
                format!("{{\"composites\":[{}]}}", bases.join(","))
            }
        };
        found.push(format!("{}:{shown}", fhir::json::quote(parameter.name)));
    }
    Ok(format!(
        "{{\"resourceType\":\"{resource}\",\"found\":{{{}}}}}",
        found.join(",")
    ))
}

/// A resource in which every element is filled. It breaks invariants (a value and the reason for its absence); what is
/// searched for does not ask.
fn sample(resource: ResourceType, variant: usize) -> Result<Value, String> {
    let table = Definitions::get()
        .elements(resource.as_str())
        .ok_or("a type without elements")?;
    let mut maker = Maker { variant, count: 0 };
    let mut made = Map::new();
    made.insert("resourceType".to_owned(), json!(resource.as_str()));
    maker.fill(table, 0, &mut made)?;
    made.insert(
        "contained".to_owned(),
        json!([{"resourceType": "Patient", "id": "p"}, {"resourceType": "Group", "id": "g"}]),
    );
    Ok(Value::Object(made))
}

struct Maker {
    variant: usize,
    /// Counts what was made, so that no two texts are the same.
    count: usize,
}

impl Maker {
    fn fill(
        &mut self,
        table: &Table,
        depth: usize,
        into: &mut Map<String, Value>,
    ) -> Result<(), String> {
        for element in table.elements.iter().copied() {
            let wanted = element.required || depth < DEPTH;
            if !wanted || LEFT_OUT.contains(&element.name) {
                continue;
            }
            let used = &element.uses[self.variant % element.uses.len()];
            let name = table
                .members()
                .find(|m| {
                    table
                        .find(m)
                        .is_some_and(|(_, e, u)| std::ptr::eq(e, element) && std::ptr::eq(u, used))
                })
                .ok_or("an element without a name")?;
            let times = if element.many && depth < 3 { 2 } else { 1 };
            let mut made = Vec::new();
            for _ in 0..times {
                made.extend(self.value(table, element, used, depth)?);
            }
            if made.is_empty() {
                continue;
            }
            let value = if element.many {
                Value::Array(made)
            } else {
                made.remove(0)
            };
            into.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn value(
        &mut self,
        table: &Table,
        element: &Element,
        used: &Use,
        depth: usize,
    ) -> Result<Option<Value>, String> {
        self.count += 1;
        let n = self.count + self.variant;
        if used.name == "Resource" {
            return Ok(None);
        }
        if used.name == "Reference" {
            return Ok(Some(reference(used, n)));
        }
        let backbone = format!("{}.{}", table.name, element.name);
        let inside = match used.name {
            "BackboneElement" => Definitions::get().elements(&backbone),
            name => Definitions::get().elements(name),
        };
        if let Some(inside) = inside {
            let mut made = Map::new();
            self.fill(inside, depth + 1, &mut made)?;
            return Ok((!made.is_empty()).then_some(Value::Object(made)));
        }
        if used.name == "BackboneElement" {
            // The content of another element, as in QuestionnaireResponse.item.item: not searched.
            return Ok(None);
        }
        let code = element.binding.map(|set| {
            let codes: Vec<&str> = set.all().collect();
            codes[n % codes.len()]
        });
        Ok(Some(match (code, used.name) {
            (Some(code), _) => json!(code),
            (None, "boolean") => json!(n.is_multiple_of(2)),
            (None, "integer" | "positiveInt" | "unsignedInt") => json!(n),
            (None, "decimal") => json!(n as f64 + 0.5),
            (None, "date") => json!(format!("2026-01-{:02}", n % 28 + 1)),
            (None, "dateTime" | "instant") => {
                json!(format!(
                    "2026-01-{:02}T08:{:02}:00+01:00",
                    n % 28 + 1,
                    n % 60
                ))
            }
            (None, "time") => json!(format!("08:{:02}:00", n % 60)),
            (None, "uri" | "url" | "canonical") => json!(format!("https://a.example/{n}")),
            (None, _) => json!(format!("t{n}")),
        }))
    }
}

/// A reference in one of the forms that FHIR has, to one of the types that the element allows.
fn reference(used: &Use, n: usize) -> Value {
    const ANY: [&str; 4] = ["Patient", "Observation", "Practitioner", "Location"];
    let all: &[&str] = if used.targets.is_empty() {
        &ANY
    } else {
        &used.targets
    };
    let target = all[n % all.len()];
    match n % 7 {
        0 => json!({"reference": format!("https://a.example/fhir/{target}/{n}")}),
        1 => json!({"reference": format!("{target}/{n}/_history/2")}),
        2 => json!({"reference": if n.is_multiple_of(2) { "#p" } else { "#g" }}),
        3 => json!({"type": target, "identifier": {"system": "urn:x", "value": format!("i{n}")}}),
        _ => json!({"reference": format!("{target}/{n}"), "display": format!("d{n}")}),
    }
}
