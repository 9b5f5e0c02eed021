//! Element rules: which members a FHIR type has, how often, of which types, bound to which codes.
//!
//! Standard: FHIR R4 (4.0.1), ElementDefinition. A type inherits the elements of its base; a choice has one JSON name for
//! each of its types.

use super::invariants::{Invariant, Invariants};
use super::values::{ValueSet, ValueSets};
use crate::check::primitive::Primitive;
use std::collections::HashMap;

/// The place of a [`Table`] in [`Tables`].
pub(crate) type Place = u32;

/// What a JSON member of a table must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A primitive.
    Primitive(Primitive),
    /// An object with its own table.
    Complex(Place),
    /// A whole resource.
    Resource,
}

/// One of the types that an element may have.
#[derive(Debug)]
pub struct Use {
    /// The FHIR type's name, `BackboneElement` where the rules stand inside the type.
    pub name: &'static str,
    /// Resource types that a Reference or canonical may point to; empty: any.
    pub targets: Box<[&'static str]>,
    pub(crate) kind: Kind,
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
    /// Whether it can change the meaning of what it stands in.
    pub modifier: bool,
    /// Whether it is part of a summary (`_summary=true`).
    pub summary: bool,
    /// The only codes allowed; `None`: any, or a set that we do not carry.
    pub binding: Option<&'static ValueSet>,
    /// Its types; more than one for a choice.
    pub uses: Box<[Use]>,
}

/// A JSON member name and what it stands for.
#[derive(Debug)]
struct Key {
    name: &'static str,
    element: u16,
    used: u16,
}

/// One type or backbone element.
#[derive(Debug)]
pub struct Table {
    /// `Observation`, `Observation.component`.
    pub name: &'static str,
    /// The type whose elements it has too.
    pub base: Option<&'static str>,
    /// Whether it is a resource.
    pub resource: bool,
    /// Its elements, then those of its bases.
    pub elements: Box<[&'static Element]>,
    /// What must hold between them, its bases' rules too.
    pub invariants: Box<[&'static Invariant]>,
    is_abstract: bool,
    /// JSON names, sorted.
    keys: Box<[Key]>,
}

impl Table {
    /// The element that a JSON member name (`valueQuantity`) stands for, its place in `elements`, and the type that the
    /// name says.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(usize, &'static Element, &'static Use)> {
        let at = self.keys.binary_search_by(|key| key.name.cmp(name)).ok()?;
        let key = &self.keys[at];
        let element = self.elements[usize::from(key.element)];
        Some((
            usize::from(key.element),
            element,
            &element.uses[usize::from(key.used)],
        ))
    }

    /// The JSON member names, sorted.
    pub fn members(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.keys.iter().map(|key| key.name)
    }
}

/// All tables.
#[derive(Debug)]
pub struct Tables {
    all: Vec<Table>,
    by_name: HashMap<&'static str, Place>,
}

impl Tables {
    /// The table of this type, if there is one.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Table> {
        self.by_name.get(name).map(|at| self.at(*at))
    }

    /// The table at a place that a [`Kind`] gave.
    pub(crate) fn at(&self, place: Place) -> &Table {
        &self.all[place as usize]
    }

    /// Every table.
    pub fn all(&self) -> &[Table] {
        &self.all
    }

    /// Resource types that are not abstract, sorted.
    pub fn resource_types(&self) -> impl Iterator<Item = &'static str> + '_ {
        let real = |t: &&Table| t.resource && !t.is_abstract && !t.name.contains('.');
        self.all.iter().filter(real).map(|t| t.name)
    }
}

/// An element's line, its type names not looked up yet.
struct Line {
    name: &'static str,
    required: bool,
    many: bool,
    modifier: bool,
    summary: bool,
    binding: Option<&'static str>,
    uses: Vec<(&'static str, Vec<&'static str>)>,
}

/// A type or backbone element whose type names are not looked up yet.
struct Draft {
    name: &'static str,
    base: Option<&'static str>,
    resource: bool,
    is_abstract: bool,
    lines: Vec<Line>,
}

/// Reads the table. Elements and names are kept for the life of the process.
///
/// # Errors
/// The words name the type and the line.
pub fn read(
    text: &'static str,
    sets: &'static ValueSets,
    rules: &'static Invariants,
) -> Result<Tables, String> {
    let drafts = drafts(text)?;
    let mut by_name = HashMap::with_capacity(drafts.len());
    for (at, draft) in drafts.iter().enumerate() {
        let place = Place::try_from(at).map_err(|e| e.to_string())?;
        if by_name.insert(draft.name, place).is_some() {
            return Err(format!("{} is there twice", draft.name));
        }
    }
    let mut own: Vec<&'static [Element]> = Vec::with_capacity(drafts.len());
    for draft in &drafts {
        let elements = draft
            .lines
            .iter()
            .map(|line| {
                element(line, draft, &by_name, sets)
                    .map_err(|e| format!("{}.{}: {e}", draft.name, line.name))
            })
            .collect::<Result<Vec<_>, _>>()?;
        own.push(Vec::leak(elements));
    }
    let all = drafts
        .iter()
        .enumerate()
        .map(|(at, draft)| table(at, draft, &drafts, &own, &by_name, rules))
        .collect::<Result<_, _>>()?;
    Ok(Tables { all, by_name })
}

fn drafts(text: &'static str) -> Result<Vec<Draft>, String> {
    let mut done = Vec::new();
    let mut open: Vec<Draft> = Vec::new();
    for line in super::lines(text) {
        if let Some(draft) = header(line) {
            match (open.pop(), open.is_empty()) {
                (Some(last), true) => done.push(last),
                (None, _) => {}
                _ => return Err(format!("a }} is missing before `{line}`")),
            }
            open.push(draft);
            continue;
        }
        let bad = || format!("cannot read the line `{line}`");
        if line == "}" {
            let last = open.pop().filter(|_| !open.is_empty());
            done.push(last.ok_or_else(|| "a } too many".to_owned())?);
            continue;
        }
        let outer = open.last_mut().ok_or_else(bad)?;
        let mut read = element_line(line).ok_or_else(bad)?;
        let base = match read.uses.first() {
            Some(("{", _)) => Some("BackboneElement"),
            Some(("{{", _)) => Some("Element"),
            _ => None,
        };
        let name = format!("{}.{}", outer.name, read.name);
        if base.is_some() {
            read.uses.clear();
        }
        outer.lines.push(read);
        if base.is_some() {
            open.push(Draft {
                name: name.leak(),
                base,
                resource: false,
                is_abstract: false,
                lines: Vec::new(),
            });
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(last), true) => done.push(last),
        (None, _) => return Err("there is no type".to_owned()),
        _ => return Err("a } is missing at the end".to_owned()),
    }
    Ok(done)
}

/// `resource Observation : DomainResource`
fn header(line: &'static str) -> Option<Draft> {
    let (kind, rest) = line.split_once(' ')?;
    let (resource, is_abstract) = match kind {
        "resource" => (true, false),
        "abstract-resource" => (true, true),
        "type" => (false, false),
        _ => return None,
    };
    let (name, base) = rest
        .split_once(" : ")
        .map_or((rest, None), |(name, base)| (name, Some(base)));
    // An element may be called `type` or `resource`; its line goes on with a cardinality.
    (!name.contains(' ')).then_some(Draft {
        name,
        base,
        resource,
        is_abstract,
        lines: Vec::new(),
    })
}

/// `status 1..1 code = observation-status ; modifier summary`
fn element_line(line: &'static str) -> Option<Line> {
    let (line, flags) = line.split_once(" ; ").unwrap_or((line, ""));
    let (line, binding) = line
        .split_once(" = ")
        .map_or((line, None), |(line, set)| (line, Some(set)));
    let mut words = line.split(' ');
    let (name, cardinality, types) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some()
        || flags
            .split(' ')
            .any(|f| !["", "modifier", "summary"].contains(&f))
    {
        return None;
    }
    let (required, many) = match cardinality {
        "0..1" => (false, false),
        "1..1" => (true, false),
        "0..*" => (false, true),
        "1..*" => (true, true),
        _ => return None,
    };
    Some(Line {
        name,
        required,
        many,
        modifier: flags.contains("modifier"),
        summary: flags.contains("summary"),
        binding,
        uses: uses(types)?,
    })
}

/// `Quantity|Reference(Patient|Group)`: a `|` inside parentheses parts targets, not types.
fn uses(mut rest: &'static str) -> Option<Vec<(&'static str, Vec<&'static str>)>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(['|', '(']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let mut targets = Vec::new();
        if let Some(inside) = rest.strip_prefix('(') {
            let (list, after) = inside.split_once(')')?;
            targets = list.split('|').collect();
            rest = after;
        }
        rest = match rest.strip_prefix('|') {
            Some(more) if !more.is_empty() => more,
            None if rest.is_empty() => rest,
            _ => return None,
        };
        found.push((name, targets));
    }
    Some(found)
}

fn element(
    line: &Line,
    draft: &Draft,
    by_name: &HashMap<&'static str, Place>,
    sets: &'static ValueSets,
) -> Result<Element, String> {
    let complex = |name: &str| match by_name.get(name) {
        Some(place) => Ok(Kind::Complex(*place)),
        None => Err(format!("no type {name}")),
    };
    let mut found = Vec::new();
    if line.uses.is_empty() {
        found.push(Use {
            name: "BackboneElement",
            targets: Box::default(),
            kind: complex(&format!("{}.{}", draft.name, line.name))?,
        });
    }
    for (name, targets) in &line.uses {
        let (name, kind) = if let Some(same) = name.strip_prefix('@') {
            let top = draft.name.split('.').next().unwrap_or_default();
            ("BackboneElement", complex(&format!("{top}.{same}"))?)
        } else if let Some(primitive) = Primitive::named(name) {
            (*name, Kind::Primitive(primitive))
        } else if by_name.contains_key(name) && ["Resource", "OperationOutcome"].contains(name) {
            (*name, Kind::Resource)
        } else {
            (*name, complex(name)?)
        };
        found.push(Use {
            name,
            targets: targets.as_slice().into(),
            kind,
        });
    }
    let binding = match line.binding {
        None => None,
        Some(set) => Some(
            sets.named(set)
                .ok_or_else(|| format!("no value set {set}"))?,
        ),
    };
    Ok(Element {
        name: line.name,
        required: line.required,
        many: line.many,
        modifier: line.modifier,
        summary: line.summary,
        binding,
        uses: found.into(),
    })
}

fn table(
    at: usize,
    draft: &Draft,
    drafts: &[Draft],
    own: &[&'static [Element]],
    by_name: &HashMap<&'static str, Place>,
    rules: &'static Invariants,
) -> Result<Table, String> {
    let mut elements: Vec<&'static Element> = Vec::new();
    let mut invariants: Vec<&'static Invariant> = Vec::new();
    let mut next = Some(at);
    let mut depth = 0;
    while let Some(at) = next {
        elements.extend(own[at]);
        invariants.extend(rules.of(drafts[at].name));
        next = match drafts[at].base {
            None => None,
            Some(base) => match by_name.get(base) {
                Some(place) if depth < 8 => Some(*place as usize),
                Some(_) => return Err(format!("{} is its own base", draft.name)),
                None => return Err(format!("{}: no type {base}", draft.name)),
            },
        };
        depth += 1;
    }
    let mut keys = Vec::new();
    for (at, element) in elements.iter().enumerate() {
        for (used, one) in element.uses.iter().enumerate() {
            let name: &'static str = match element.name.strip_suffix("[x]") {
                None => element.name,
                Some(stem) => json_name(stem, one.name).leak(),
            };
            keys.push(Key {
                name,
                element: u16::try_from(at).map_err(|e| e.to_string())?,
                used: u16::try_from(used).map_err(|e| e.to_string())?,
            });
        }
    }
    keys.sort_by_key(|key| key.name);
    if let Some(pair) = keys.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(format!("{}.{} is there twice", draft.name, pair[0].name));
    }
    Ok(Table {
        name: draft.name,
        base: draft.base,
        resource: draft.resource,
        is_abstract: draft.is_abstract,
        elements: elements.into(),
        invariants: invariants.into(),
        keys: keys.into(),
    })
}

/// `value` and `Quantity` give `valueQuantity`; a SimpleQuantity is called Quantity there.
fn json_name(stem: &str, used: &str) -> String {
    let shown = if used == "SimpleQuantity" {
        "Quantity"
    } else {
        used
    };
    let mut letters = shown.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    stem.chars().chain(first).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::definitions::{Definitions, ELEMENTS, RULES, VALUE_SETS};
    use crate::resource::ResourceType;

    fn whole() -> Tables {
        read(ELEMENTS, &VALUE_SETS, &RULES).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn every_type_parses_and_every_name_in_it_exists() {
        let tables = whole();
        for table in tables.all() {
            for element in &table.elements {
                let choice = element.name.ends_with("[x]");
                assert_eq!(
                    element.uses.len() > 1,
                    choice,
                    "{}.{}",
                    table.name,
                    element.name
                );
                for target in element.uses.iter().flat_map(|u| &u.targets) {
                    assert!(
                        ResourceType::parse(target).is_some(),
                        "{}.{}: {target}",
                        table.name,
                        element.name
                    );
                }
            }
        }
        assert!(
            tables
                .resource_types()
                .all(|t| ResourceType::parse(t).is_some())
        );
        assert_eq!(tables.resource_types().count(), 146);
    }

    #[test]
    fn json_names_of_choices_and_content_references() {
        let of = |name| Definitions::get().elements(name).unwrap();
        let place = |name: &str| Kind::Complex(*whole().by_name.get(name).unwrap());
        let observation = of("Observation");
        assert!(observation.resource);
        let (_, value, used) = observation.find("valueQuantity").unwrap();
        assert_eq!((value.name, used.kind), ("value[x]", place("Quantity")));
        assert!(value.summary && !value.modifier);
        assert!(observation.find("value").is_none() && observation.find("valueAddress").is_none());
        let (_, status, _) = observation.find("status").unwrap();
        assert!(status.modifier && status.required && !status.many);
        let set = status.binding.unwrap();
        assert_eq!(
            set.address(),
            "http://hl7.org/fhir/ValueSet/observation-status"
        );
        assert!(set.contains_code("final") && !set.contains_code("active"));
        assert!(set.contains("http://hl7.org/fhir/observation-status", "final"));
        assert!(!set.contains("http://hl7.org/fhir/request-status", "final"));
        let component = of("Observation.component");
        assert!(!component.resource && component.find("modifierExtension").is_some());
        let (_, _, used) = component.find("referenceRange").unwrap();
        assert_eq!(used.kind, place("Observation.referenceRange"));
        let dose = of("Dosage.doseAndRate");
        assert!(dose.find("doseQuantity").is_some() && dose.find("doseSimpleQuantity").is_none());
        assert!(dose.find("modifierExtension").is_none());
        let (_, url, _) = of("Extension").find("url").unwrap();
        assert!(url.required && !url.many);
        let (_, _, subject) = of("CarePlan").find("subject").unwrap();
        assert_eq!(*subject.targets, ["Patient", "Group"]);
        // The standard narrows Quantity here: no comparator.
        assert!(of("Quantity").find("comparator").is_some());
        assert!(of("SimpleQuantity").find("comparator").is_none());
        assert!(of("Age").find("comparator").is_some());
        let (_, _, id) = of("Observation").find("id").unwrap();
        assert_eq!(id.name, "id");
        // What Medplum adds to Meta in later versions of the package is not FHIR.
        assert_eq!(
            of("Meta").members().collect::<Vec<_>>(),
            [
                "extension",
                "id",
                "lastUpdated",
                "profile",
                "security",
                "source",
                "tag",
                "versionId"
            ]
        );
    }

    #[test]
    fn a_broken_table_says_where() {
        let broken = |text| read(text, &VALUE_SETS, &RULES).unwrap_err();
        for (text, word) in [
            ("", "no type"),
            ("a 0..1 string", "cannot read"),
            ("type X\na 0..2 string", "cannot read"),
            ("type X\na 0..1 string|", "cannot read"),
            ("type X\na 0..1 string ; loud", "cannot read"),
            ("type X\na 0..1 Nothing", "no type Nothing"),
            ("type X\na 0..1 code = nothing", "no value set nothing"),
            ("type X : Z", "no type Z"),
            ("type X : X", "own base"),
            ("type X\na 0..1 string\na 0..1 string", "twice"),
            ("type X\ntype X", "twice"),
            ("type X\n}", "too many"),
            ("type X\na 0..1 {", "missing"),
        ] {
            assert!(broken(text).contains(word), "{text}: {}", broken(text));
        }
    }
}
