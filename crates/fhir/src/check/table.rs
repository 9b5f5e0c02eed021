//! What FHIR R4 types may hold, read once from `spec/types/*.txt` (format: the README there).
//!
//! Standard: FHIR R4 (4.0.1). A type that is named in a table and has none itself is a mistake in `spec/`,
//! found by the test here.

use super::primitive::Primitive;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Embeds the tables.
macro_rules! types {
    ($($name:literal),+ $(,)?) => {
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../spec/types/", $name, ".txt")))),+];
    };
}
types!(
    "Address",
    "Age",
    "Annotation",
    "Attachment",
    "BackboneElement",
    "Bundle",
    "CarePlan",
    "CodeableConcept",
    "Coding",
    "ContactDetail",
    "ContactPoint",
    "Contributor",
    "Count",
    "DataRequirement",
    "Device",
    "Distance",
    "DomainResource",
    "Dosage",
    "Duration",
    "Element",
    "Expression",
    "Extension",
    "Goal",
    "HumanName",
    "Identifier",
    "Medication",
    "MedicationStatement",
    "Meta",
    "Money",
    "Narrative",
    "Observation",
    "ParameterDefinition",
    "Patient",
    "Period",
    "Quantity",
    "Range",
    "Ratio",
    "Reference",
    "RelatedArtifact",
    "Resource",
    "SampledData",
    "Signature",
    "SimpleQuantity",
    "Timing",
    "TriggerDefinition",
    "UsageContext",
);

/// The place of a [`Table`] in [`Tables`].
pub type Place = usize;

/// What a JSON member of a table must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A primitive.
    Primitive(Primitive),
    /// An object with its own table.
    Complex(Place),
    /// A whole resource.
    Resource,
}

/// An element of a type.
#[derive(Debug)]
pub struct Element {
    /// Its name; a choice ends in `[x]`.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it repeats, and is therefore an array in JSON.
    pub many: bool,
    /// The only codes allowed; empty: any.
    pub codes: Vec<&'static str>,
    /// Resource types that a reference may point to; empty: any.
    pub targets: Vec<&'static str>,
}

/// A JSON member name and what it stands for.
#[derive(Debug)]
struct Key {
    name: String,
    element: usize,
    kind: Type,
}

/// One type or backbone element.
#[derive(Debug)]
pub struct Table {
    /// `Observation`, `Observation.component`.
    pub name: String,
    /// Its elements with those of its base types.
    pub elements: Vec<Element>,
    /// Whether it is a resource.
    pub resource: bool,
    /// JSON names, sorted.
    keys: Vec<Key>,
}

impl Table {
    /// The element that a JSON member name stands for, its place in `elements`, and the type of the value.
    pub fn find(&self, name: &str) -> Option<(usize, &Element, Type)> {
        let at = self
            .keys
            .binary_search_by(|key| key.name.as_str().cmp(name))
            .ok()?;
        let key = &self.keys[at];
        Some((key.element, &self.elements[key.element], key.kind))
    }
}

/// All tables.
#[derive(Debug)]
pub struct Tables {
    all: Vec<Table>,
    by_name: HashMap<String, Place>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    read(FILES).unwrap_or_else(|e| panic!("spec/types, which a test reads, does not parse: {e}"))
});

/// The tables of `spec/types`.
pub fn tables() -> &'static Tables {
    &TABLES
}

impl Tables {
    /// The table of this type, if we have one.
    pub fn named(&self, name: &str) -> Option<&Table> {
        self.by_name.get(name).map(|at| &self.all[*at])
    }

    /// The table at a place that a [`Type`] gave.
    pub fn at(&self, place: Place) -> &Table {
        &self.all[place]
    }
}

/// A line of a table, split.
struct Line {
    element: Element,
    types: Vec<&'static str>,
}

/// A type or backbone element whose type names are not looked up yet.
struct Draft {
    name: String,
    base: Option<String>,
    lines: Vec<Line>,
}

fn read(files: &[(&'static str, &'static str)]) -> Result<Tables, String> {
    let mut drafts = Vec::new();
    for (name, text) in files {
        read_file(name, text, &mut drafts).map_err(|e| format!("{name}.txt: {e}"))?;
    }
    let by_name: HashMap<String, Place> = drafts
        .iter()
        .enumerate()
        .map(|(at, d)| (d.name.clone(), at))
        .collect();
    if by_name.len() != drafts.len() {
        return Err("two types have one name".to_owned());
    }
    let all = drafts
        .iter()
        .map(|draft| build(draft, &drafts, &by_name))
        .collect::<Result<_, _>>()?;
    Ok(Tables { all, by_name })
}

fn read_file(file: &str, text: &'static str, drafts: &mut Vec<Draft>) -> Result<(), String> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    let header = lines
        .next()
        .and_then(|l| l.strip_prefix("type "))
        .ok_or("the first line must be `type NAME`")?;
    let (name, base) = header
        .split_once(" : ")
        .map_or((header, None), |(n, b)| (n, Some(b.to_owned())));
    if name != file {
        return Err(format!("the file holds the type {name}"));
    }
    let mut open = vec![Draft {
        name: name.to_owned(),
        base,
        lines: Vec::new(),
    }];
    for line in lines {
        if line == "}" {
            let done = open
                .pop()
                .filter(|_| !open.is_empty())
                .ok_or("a } too many")?;
            drafts.push(done);
            continue;
        }
        let mut read = read_line(line).ok_or_else(|| format!("cannot read the line `{line}`"))?;
        let inner = format!(
            "{}.{}",
            open.last().map_or("", |d| d.name.as_str()),
            read.element.name
        );
        let opens = read.types.first().and_then(|t| match *t {
            "{" => Some("BackboneElement"),
            "{{" => Some("Element"),
            _ => None,
        });
        if opens.is_some() {
            read.types.clear();
        }
        if let Some(draft) = open.last_mut() {
            draft.lines.push(read);
        }
        if let Some(base) = opens {
            open.push(Draft {
                name: inner,
                base: Some(base.to_owned()),
                lines: Vec::new(),
            });
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(done), true) => drafts.push(done),
        _ => return Err("a } is missing".to_owned()),
    }
    Ok(())
}

fn read_line(line: &'static str) -> Option<Line> {
    let (name, rest) = line.split_once(' ')?;
    let (cardinality, rest) = rest.trim_start().split_once(' ')?;
    let (required, many) = match cardinality {
        "0..1" => (false, false),
        "1..1" => (true, false),
        "0..*" => (false, true),
        "1..*" => (true, true),
        _ => return None,
    };
    let (types, codes) = rest
        .split_once(" = ")
        .map_or((rest, Vec::new()), |(t, c)| (t, c.split('|').collect()));
    // A `|` inside the parentheses of a reference parts targets, not types.
    let mut targets = Vec::new();
    let mut names = Vec::new();
    let mut rest = types.trim();
    while !rest.is_empty() {
        let end = rest.find(['|', '(']).unwrap_or(rest.len());
        names.push(&rest[..end]);
        rest = &rest[end..];
        if let Some(inside) = rest.strip_prefix('(') {
            let (list, after) = inside.split_once(')')?;
            targets = list.split('|').collect();
            rest = after;
        }
        rest = rest.strip_prefix('|').unwrap_or(rest);
    }
    Some(Line {
        element: Element {
            name,
            required,
            many,
            codes,
            targets,
        },
        types: names,
    })
}

fn build(
    draft: &Draft,
    drafts: &[Draft],
    by_name: &HashMap<String, Place>,
) -> Result<Table, String> {
    let mut table = Table {
        name: draft.name.clone(),
        elements: Vec::new(),
        resource: false,
        keys: Vec::new(),
    };
    let mut next = Some(draft);
    while let Some(part) = next {
        table.resource |= part.name == "Resource";
        for line in &part.lines {
            let at = table.elements.len();
            let e = &line.element;
            table.elements.push(Element {
                codes: e.codes.clone(),
                targets: e.targets.clone(),
                ..*e
            });
            add_keys(&mut table.keys, part, line, at, by_name)
                .map_err(|e| format!("{}.{}: {e}", part.name, line.element.name))?;
        }
        next = match &part.base {
            None => None,
            Some(base) => Some(
                by_name
                    .get(base)
                    .map(|at| &drafts[*at])
                    .ok_or_else(|| format!("no type {base}"))?,
            ),
        };
    }
    table.keys.sort_by(|a, b| a.name.cmp(&b.name));
    match table
        .keys
        .windows(2)
        .find(|pair| pair[0].name == pair[1].name)
    {
        Some(pair) => Err(format!("{}.{} is there twice", table.name, pair[0].name)),
        None => Ok(table),
    }
}

fn add_keys(
    keys: &mut Vec<Key>,
    part: &Draft,
    line: &Line,
    element: usize,
    by_name: &HashMap<String, Place>,
) -> Result<(), String> {
    let place = |name: &str| {
        by_name
            .get(name)
            .copied()
            .ok_or_else(|| format!("no type {name}"))
    };
    let own = line.element.name;
    if line.types.is_empty() {
        let kind = Type::Complex(place(&format!("{}.{own}", part.name))?);
        keys.push(Key {
            name: own.to_owned(),
            element,
            kind,
        });
        return Ok(());
    }
    for name in &line.types {
        let kind = if let Some(same) = name.strip_prefix('@') {
            let top = part.name.split('.').next().unwrap_or_default();
            Type::Complex(place(&format!("{top}.{same}"))?)
        } else if let Some(primitive) = Primitive::named(name) {
            Type::Primitive(primitive)
        } else if *name == "Resource" {
            Type::Resource
        } else {
            Type::Complex(place(name)?)
        };
        let key = match own.strip_suffix("[x]") {
            None => own.to_owned(),
            Some(stem) => {
                // In JSON a SimpleQuantity is called Quantity.
                let shown = if *name == "SimpleQuantity" {
                    "Quantity"
                } else {
                    name
                };
                let (first, rest) = shown.split_at(1);
                format!("{stem}{}{rest}", first.to_uppercase())
            }
        };
        keys.push(Key {
            name: key,
            element,
            kind,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::resource::ResourceType;

    #[test]
    fn every_file_parses_and_every_type_it_names_exists() {
        let tables = read(FILES).unwrap_or_else(|e| panic!("{e}"));
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/types");
        let mut on_disk: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .filter_map(|e| {
                e.unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".txt")
                    .map(str::to_owned)
            })
            .collect();
        let mut named: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        on_disk.sort();
        named.sort();
        assert_eq!(on_disk, named, "every file of spec/types/ is embedded");
        for table in &tables.all {
            for element in &table.elements {
                let choice = element.name.ends_with("[x]");
                let keys = table
                    .keys
                    .iter()
                    .filter(|k| table.elements[k.element].name == element.name)
                    .count();
                assert_eq!(keys > 1, choice, "{}.{}", table.name, element.name);
                for target in &element.targets {
                    assert!(
                        ResourceType::parse(target).is_some(),
                        "{}.{}: {target}",
                        table.name,
                        element.name
                    );
                }
            }
        }
    }

    #[test]
    fn json_names_of_choices_and_content_references() {
        let tables = tables();
        let observation = tables.named("Observation").unwrap();
        assert!(observation.resource);
        let (_, value, kind) = observation.find("valueQuantity").unwrap();
        assert_eq!(
            (value.name, kind),
            ("value[x]", Type::Complex(tables.by_name["Quantity"]))
        );
        assert!(observation.find("value").is_none() && observation.find("valueAddress").is_none());
        let component = tables.named("Observation.component").unwrap();
        assert!(!component.resource && component.find("modifierExtension").is_some());
        let (_, _, kind) = component.find("referenceRange").unwrap();
        assert_eq!(
            kind,
            Type::Complex(tables.by_name["Observation.referenceRange"])
        );
        let dose = tables.named("Dosage.doseAndRate").unwrap();
        assert!(dose.find("doseQuantity").is_some() && dose.find("doseSimpleQuantity").is_none());
        assert!(dose.find("modifierExtension").is_none());
        let (_, url, _) = tables.named("Extension").unwrap().find("url").unwrap();
        assert!(url.required && !url.many);
        let (_, subject, _) = tables.named("CarePlan").unwrap().find("subject").unwrap();
        assert_eq!(subject.targets, ["Patient", "Group"]);
    }

    #[test]
    fn a_broken_table_says_where() {
        let broken = |text| read(&[("X", text)]).unwrap_err();
        for (text, word) in [
            ("type Y\n", "holds the type Y"),
            ("nothing", "first line"),
            ("type X\na 0..2 string", "cannot read"),
            ("type X\na 0..1 Nothing", "no type Nothing"),
            ("type X : Z", "no type Z"),
            ("type X\na 0..1 string\na 0..1 string", "twice"),
            ("type X\n}", "too many"),
        ] {
            assert!(broken(text).contains(word), "{text}: {}", broken(text));
        }
    }
}
