//! Element rules: StructureDefinitions read into a tree, and written as the line format of `spec/definitions`.
//!
//! Standard: FHIR R4 (4.0.1), StructureDefinition and ElementDefinition.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Where FHIR's own definitions live.
const BASE: &str = "http://hl7.org/fhir/StructureDefinition/";

/// Value sets under this address are written without it.
pub const VALUE_SETS: &str = "http://hl7.org/fhir/ValueSet/";

/// A type that an element may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// `Reference`, `code`, `SimpleQuantity`.
    pub name: String,
    /// Resource types that it may refer to; empty: any.
    pub targets: Vec<String>,
}

/// One element with those below it.
#[derive(Debug)]
pub struct Element {
    /// A choice ends in `[x]`.
    pub name: String,
    min: u64,
    many: bool,
    pub uses: Vec<Use>,
    /// `component.code`: the content of another element of the same type.
    content: Option<String>,
    binding: Option<String>,
    modifier: bool,
    summary: bool,
    children: Vec<Element>,
}

/// One type with the elements that it adds to its base.
#[derive(Debug)]
struct Type {
    base: Option<String>,
    resource: bool,
    is_abstract: bool,
    elements: Vec<Element>,
}

/// All types of the standard but the primitives.
#[derive(Debug)]
pub struct Types {
    all: BTreeMap<String, Type>,
}

/// A place in a type: the elements there, and the type that content references are looked up in.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The outermost type.
    pub top: &'a str,
    elements: &'a [Element],
    base: Option<&'a str>,
}

impl Types {
    /// Reads the StructureDefinitions among published resources.
    ///
    /// # Errors
    /// One of them is not as StructureDefinitions are.
    pub fn read(bundles: &[&[Value]]) -> Result<Types, String> {
        let mut all = BTreeMap::new();
        for definition in bundles.iter().copied().flatten() {
            let id = text(definition, "id");
            let kind = text(definition, "kind");
            let profile = definition["derivation"] == "constraint" && id != "SimpleQuantity";
            let of_r4 = definition["fhirVersion"] == "4.0.1";
            if definition["resourceType"] != "StructureDefinition"
                || !["resource", "complex-type"].contains(&kind)
                || profile
            {
                continue;
            }
            if !of_r4 {
                return Err(format!("{id} is not of FHIR 4.0.1"));
            }
            let read = read_type(definition).map_err(|e| format!("{id}: {e}"))?;
            all.insert(id.to_owned(), read);
        }
        if all.len() < 150 {
            return Err(format!("only {} types were found", all.len()));
        }
        Ok(Types { all })
    }

    /// Names of the resource types that can be written, sorted.
    pub fn resource_names(&self) -> impl Iterator<Item = &str> {
        self.all
            .iter()
            .filter(|(_, t)| t.resource && !t.is_abstract)
            .map(|(name, _)| name.as_str())
    }

    /// The root of a type.
    pub fn root<'a>(&'a self, name: &str) -> Option<Place<'a>> {
        let (name, t) = self.all.get_key_value(name)?;
        Some(Place {
            top: name,
            elements: &t.elements,
            base: t.base.as_deref(),
        })
    }

    /// Whether the rules of what stands at this path (`Observation.component`) stand inside the type.
    pub fn has_children(&self, path: &str) -> bool {
        let mut steps = path.split('.');
        let mut place = steps.next().and_then(|name| self.root(name));
        let mut last = None;
        for step in steps {
            last = place.as_ref().and_then(|place| self.find(place, step));
            place = match (&place, last) {
                (Some(at), Some(element)) => self.below(at, element, ""),
                _ => None,
            };
        }
        last.is_some_and(|element| !element.children.is_empty())
    }

    /// The type that a type is derived from.
    pub fn base(&self, name: &str) -> Option<&str> {
        self.all.get(name)?.base.as_deref()
    }

    /// The element of this name at a place, in the type itself or its bases. A choice is found by its stem.
    pub fn find<'a>(&'a self, place: &Place<'a>, name: &str) -> Option<&'a Element> {
        let own = |e: &&Element| e.name == name || e.name.strip_suffix("[x]") == Some(name);
        match place.elements.iter().find(own) {
            Some(found) => Some(found),
            None => self.find(&self.root(place.base?)?, name),
        }
    }

    /// The place below an element: its own children, those of another element, or those of its type.
    pub fn below<'a>(
        &'a self,
        place: &Place<'a>,
        element: &'a Element,
        used: &str,
    ) -> Option<Place<'a>> {
        if let Some(content) = &element.content {
            let mut at = self.root(place.top)?;
            for step in content.split('.') {
                let found = self.find(&at, step)?;
                at = self.below(&at, found, "")?;
            }
            return Some(at);
        }
        if element.children.is_empty() {
            return self.root(used);
        }
        Some(Place {
            top: place.top,
            elements: &element.children,
            base: element
                .uses
                .first()
                .and_then(|u| self.all.get_key_value(&u.name))
                .map(|(name, _)| name.as_str()),
        })
    }

    /// The value sets of all required bindings.
    pub fn bindings(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for t in self.all.values() {
            each(&t.elements, &mut |e| found.extend(e.binding.clone()));
        }
        found
    }

    /// How many resource types there are, abstract ones left out.
    pub fn resources(&self) -> usize {
        self.resource_names().count()
    }

    /// How many other types there are.
    pub fn others(&self) -> usize {
        self.all.len() - self.resources()
    }

    /// How many elements there are, inherited ones counted once.
    pub fn elements(&self) -> usize {
        let mut count = 0;
        for t in self.all.values() {
            each(&t.elements, &mut |_| count += 1);
        }
        count
    }

    /// The table. Bindings are written where their value set is among those `expanded`.
    pub fn table(&self, expanded: &BTreeSet<&str>) -> String {
        let mut out = String::new();
        for (name, t) in &self.all {
            let kind = match (t.resource, t.is_abstract) {
                (true, false) => "resource",
                (true, true) => "abstract-resource",
                _ => "type",
            };
            let _ = write!(out, "\n{kind} {name}");
            if let Some(base) = &t.base {
                let _ = write!(out, " : {base}");
            }
            out.push('\n');
            lines(&t.elements, 0, expanded, &mut out);
        }
        out
    }
}

fn each<'a>(elements: &'a [Element], f: &mut impl FnMut(&'a Element)) {
    for element in elements {
        f(element);
        each(&element.children, f);
    }
}

fn lines(elements: &[Element], depth: usize, expanded: &BTreeSet<&str>, out: &mut String) {
    let indent = "  ".repeat(depth);
    for e in elements {
        let _ = write!(
            out,
            "{indent}{} {}..{} ",
            e.name,
            e.min,
            if e.many { "*" } else { "1" }
        );
        match (&e.content, e.children.is_empty()) {
            (Some(content), _) => {
                let _ = write!(out, "@{content}");
            }
            (None, true) => out.push_str(&uses(&e.uses)),
            // A plain Element inside a datatype has no modifier extensions.
            (None, false) if e.uses.iter().any(|u| u.name == "Element") => out.push_str("{{"),
            (None, false) => out.push('{'),
        }
        if let Some(set) = e.binding.as_deref().filter(|set| expanded.contains(set)) {
            let _ = write!(out, " = {}", set.strip_prefix(VALUE_SETS).unwrap_or(set));
        }
        match (e.modifier, e.summary) {
            (true, true) => out.push_str(" ; modifier summary"),
            (true, false) => out.push_str(" ; modifier"),
            (false, true) => out.push_str(" ; summary"),
            (false, false) => {}
        }
        out.push('\n');
        if !e.children.is_empty() {
            lines(&e.children, depth + 1, expanded, out);
            let _ = writeln!(out, "{indent}}}");
        }
    }
}

fn uses(uses: &[Use]) -> String {
    let one = |u: &Use| match u.targets.as_slice() {
        [] => u.name.clone(),
        targets => format!("{}({})", u.name, targets.join("|")),
    };
    uses.iter().map(one).collect::<Vec<_>>().join("|")
}

fn read_type(definition: &Value) -> Result<Type, String> {
    let elements = definition["snapshot"]["element"]
        .as_array()
        .ok_or("no snapshot")?;
    let name = text(definition, "type");
    // A profile (SimpleQuantity) restates every element; a type adds some to its base.
    let profile = definition["derivation"] == "constraint";
    let mut roots: Vec<Element> = Vec::new();
    let mut left_out: Option<&str> = None;
    for element in elements {
        let path = text(element, "path");
        let Some(rest) = path.strip_prefix(name).and_then(|p| p.strip_prefix('.')) else {
            continue;
        };
        let inherited = text(&element["base"], "path") != path;
        let forbidden = element["max"] == "0";
        if left_out.is_some_and(|out| path.starts_with(&format!("{out}."))) || forbidden {
            continue;
        }
        left_out = None;
        let depth = rest.matches('.').count();
        // Below a backbone element its base's own elements (id, extension) are restated as well.
        if inherited && !profile {
            left_out = (depth == 0).then_some(path);
            continue;
        }
        let read = read_element(element, rest).map_err(|e| format!("{path}: {e}"))?;
        let (steps, _) = rest.rsplit_once('.').unwrap_or(("", rest));
        let mut into = &mut roots;
        for step in steps.split('.').filter(|s| !s.is_empty()) {
            let parent = into.iter_mut().find(|e| e.name == step);
            into = &mut parent
                .ok_or_else(|| format!("{path} has no parent"))?
                .children;
        }
        into.push(read);
    }
    let base = definition["baseDefinition"]
        .as_str()
        .and_then(|b| b.strip_prefix(BASE));
    Ok(Type {
        // A profile stands beside the type that it narrows.
        base: if profile { Some("Element") } else { base }.map(str::to_owned),
        resource: text(definition, "kind") == "resource",
        is_abstract: definition["abstract"] == true,
        elements: if profile {
            roots.retain(|e| !["id", "extension"].contains(&e.name.as_str()));
            roots
        } else {
            roots
        },
    })
}

fn read_element(element: &Value, rest: &str) -> Result<Element, String> {
    let name = rest.rsplit('.').next().unwrap_or(rest).to_owned();
    let min = element["min"].as_u64().ok_or("no min")?;
    let many = match text(element, "max") {
        "1" => false,
        "*" => true,
        other => return Err(format!("max {other}")),
    };
    let content = element["contentReference"]
        .as_str()
        .map(|c| {
            c.strip_prefix('#')
                .and_then(|c| c.split_once('.'))
                .map(|(_, path)| path.to_owned())
                .ok_or_else(|| format!("content reference {c}"))
        })
        .transpose()?;
    let mut uses = Vec::new();
    for t in element["type"].as_array().into_iter().flatten() {
        uses.push(read_use(t, text(element, "path"))?);
    }
    if uses.is_empty() && content.is_none() {
        return Err("neither type nor content reference".to_owned());
    }
    let binding = &element["binding"];
    Ok(Element {
        name,
        min,
        many,
        uses,
        content,
        binding: (binding["strength"] == "required")
            .then(|| binding["valueSet"].as_str())
            .flatten()
            .map(|set| set.split('|').next().unwrap_or(set).to_owned()),
        modifier: element["isModifier"] == true,
        summary: element["isSummary"] == true,
        children: Vec::new(),
    })
}

fn read_use(t: &Value, path: &str) -> Result<Use, String> {
    let code = text(t, "code");
    let profile = t["profile"][0].as_str().and_then(|p| p.strip_prefix(BASE));
    let name = if path == "Resource.id" {
        // The definition says string; the text of the standard says id, and so do later versions.
        "id"
    } else if code.starts_with("http://hl7.org/fhirpath/") {
        let extensions = t["extension"].as_array().into_iter().flatten();
        extensions
            .filter_map(|e| e["valueUrl"].as_str())
            .next()
            .unwrap_or("string")
    } else if profile == Some("SimpleQuantity") {
        "SimpleQuantity"
    } else {
        code
    };
    let mut targets = Vec::new();
    for target in t["targetProfile"].as_array().into_iter().flatten() {
        let target = target.as_str().unwrap_or_default();
        let target = target
            .strip_prefix(BASE)
            .ok_or_else(|| format!("target {target}"))?;
        targets.push(target.to_owned());
    }
    if targets.iter().any(|t| t == "Resource") {
        targets.clear();
    }
    Ok(Use {
        name: name.to_owned(),
        targets,
    })
}

/// A text member; empty if there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
