//! Search parameters of every type, their expressions reduced to paths of JSON members.
//!
//! Standard: FHIR R4 (4.0.1), SearchParameter. `cargo xtask prepare` lists those that have no paths (`_text`, `_content`,
//! `_query`: the standard gives them no expression).

use std::collections::BTreeMap;

/// FHIR's search parameter types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `number`
    Number,
    /// `date`
    Date,
    /// `string`
    String,
    /// `token`
    Token,
    /// `reference`
    Reference,
    /// `composite`
    Composite,
    /// `quantity`
    Quantity,
    /// `uri`
    Uri,
    /// `special`: a rule of its own (`Location.near`)
    Special,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Number,
        Self::Date,
        Self::String,
        Self::Token,
        Self::Reference,
        Self::Composite,
        Self::Quantity,
        Self::Uri,
        Self::Special,
    ];

    /// The code in `SearchParameter.type`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Date => "date",
            Self::String => "string",
            Self::Token => "token",
            Self::Reference => "reference",
            Self::Composite => "composite",
            Self::Quantity => "quantity",
            Self::Uri => "uri",
            Self::Special => "special",
        }
    }

    fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Which values of a member count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// The one at this place, from 0.
    At(usize),
    /// Objects whose member (first) is this text (second): `telecom[system=phone]`.
    With(&'static str, &'static str),
    /// References to this resource type.
    RefersTo(&'static str),
}

/// One JSON member to follow; all values of an array are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The member's name.
    pub member: &'static str,
    /// Which of its values count; `None`: all.
    pub only: Option<Only>,
}

/// Where a parameter finds its values.
#[derive(Debug, PartialEq, Eq)]
pub struct Path {
    /// In a composite's component: from the resource, not from the composite's base.
    pub from_resource: bool,
    /// The members to follow; none: the start itself.
    pub steps: Box<[Step]>,
    /// The FHIR type of what is found.
    pub used: &'static str,
}

/// One part of a composite.
#[derive(Debug, PartialEq, Eq)]
pub struct Component {
    /// The parameter that it is.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// From each value of the composite's own paths.
    pub paths: Box<[Path]>,
}

/// One search parameter of one type.
#[derive(Debug, PartialEq, Eq)]
pub struct SearchParameter {
    /// The name in a query.
    pub name: &'static str,
    /// The type whose definition it stands in: the resource type, `DomainResource` or `Resource`.
    pub base: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Resource types that a reference may point to; empty: any.
    pub targets: Box<[&'static str]>,
    /// The value is `true` where anything but `false` stands at the paths, else `false` (`Patient.deceased`).
    pub present: bool,
    /// Where the values are.
    pub paths: Box<[Path]>,
    /// The parts of a composite; the `paths` are then their common base.
    pub components: Box<[Component]>,
    id: Option<&'static str>,
}

impl SearchParameter {
    /// The canonical address of the published SearchParameter.
    #[must_use]
    pub fn definition(&self) -> String {
        let start = "http://hl7.org/fhir/SearchParameter/";
        match self.id {
            Some(id) => format!("{start}{id}"),
            None => format!("{start}{}-{}", self.base, self.name),
        }
    }
}

/// All search parameters.
#[derive(Debug)]
pub struct Parameters(BTreeMap<&'static str, Vec<SearchParameter>>);

/// What every resource has besides its own.
const COMMON: [&str; 2] = ["DomainResource", "Resource"];

impl Parameters {
    /// A type's own parameters, by name, then those of every resource.
    pub fn of(&self, resource: &str) -> impl Iterator<Item = &SearchParameter> {
        let mut all = vec![resource];
        all.extend(COMMON);
        all.into_iter()
            .filter_map(|name| self.0.get(name))
            .flatten()
    }

    /// One parameter of a type.
    #[must_use]
    pub fn one(&self, resource: &str, name: &str) -> Option<&SearchParameter> {
        [resource, COMMON[0], COMMON[1]].iter().find_map(|base| {
            let all = self.0.get(*base)?;
            let at = all.binary_search_by(|p| p.name.cmp(name)).ok()?;
            all.get(at)
        })
    }
}

/// Reads the table.
///
/// # Errors
/// The line that cannot be read.
pub fn read(text: &'static str) -> Result<Parameters, String> {
    let mut all: BTreeMap<&'static str, Vec<SearchParameter>> = BTreeMap::new();
    let mut base = None;
    let mut composite: Option<(SearchParameter, Vec<Component>)> = None;
    for line in super::lines(text) {
        let bad = || format!("cannot read the line `{line}`");
        if let Some((open, components)) = &mut composite {
            if line != "}" {
                components.push(component(line).ok_or_else(bad)?);
                continue;
            }
            open.components = std::mem::take(components).into();
            if let (Some((done, _)), Some(base)) = (composite.take(), base) {
                all.entry(base).or_default().push(done);
            }
            continue;
        }
        // No parameter has a type after its name that reads like a resource type.
        if let Some(name) = line.strip_prefix("type ").filter(|n| !n.contains(' ')) {
            base = Some(name);
            continue;
        }
        let base = base.ok_or_else(bad)?;
        match line.strip_suffix(" {") {
            Some(line) => composite = Some((parameter(line, base).ok_or_else(bad)?, Vec::new())),
            None => all
                .entry(base)
                .or_default()
                .push(parameter(line, base).ok_or_else(bad)?),
        }
    }
    if composite.is_some() {
        return Err("a } is missing at the end".to_owned());
    }
    for (name, parameters) in &all {
        if !parameters.is_sorted_by(|a, b| a.name < b.name) {
            return Err(format!("the parameters of {name} are not sorted"));
        }
    }
    Ok(Parameters(all))
}

/// `subject reference(Group|Patient) @clinical-subject subject:Reference`
fn parameter(line: &'static str, base: &'static str) -> Option<SearchParameter> {
    let (name, rest) = line.split_once(' ')?;
    let (kind, rest) = rest.split_once(' ')?;
    let (kind, targets) = match kind.split_once('(') {
        None => (kind, Vec::new()),
        Some((kind, list)) => (kind, list.strip_suffix(')')?.split('|').collect()),
    };
    let (id, rest) = match rest.strip_prefix('@') {
        None => (None, rest),
        Some(rest) => rest.split_once(' ').map(|(id, rest)| (Some(id), rest))?,
    };
    let (present, rest) = rest
        .strip_prefix("present ")
        .map_or((false, rest), |rest| (true, rest));
    Some(SearchParameter {
        name,
        base,
        kind: Kind::parse(kind)?,
        targets: targets.into(),
        present,
        paths: paths(rest)?,
        components: Box::default(),
        id,
    })
}

/// `code token code:CodeableConcept`
fn component(line: &'static str) -> Option<Component> {
    let (name, rest) = line.split_once(' ')?;
    let (kind, rest) = rest.split_once(' ')?;
    Some(Component {
        name,
        kind: Kind::parse(kind)?,
        paths: paths(rest)?,
    })
}

fn paths(text: &'static str) -> Option<Box<[Path]>> {
    text.split(" | ").map(path).collect()
}

/// `telecom[system=phone]:ContactPoint`
fn path(text: &'static str) -> Option<Path> {
    let (from_resource, text) = text
        .strip_prefix('^')
        .map_or((false, text), |text| (true, text));
    let (text, used) = text.rsplit_once(':')?;
    let mut steps = Vec::new();
    let mut rest = if text == "." { "" } else { text };
    while !rest.is_empty() {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (member, after) = rest.split_at(end);
        rest = after;
        let mut only = None;
        if let Some(inside) = rest.strip_prefix('[') {
            let (inside, after) = inside.split_once(']')?;
            rest = after;
            only = Some(match (inside.split_once('='), inside.parse()) {
                (Some((member, value)), _) => Only::With(member, value),
                (None, Ok(at)) => Only::At(at),
                (None, Err(_)) => Only::RefersTo(inside),
            });
        }
        rest = match rest.strip_prefix('.') {
            Some(more) if !more.is_empty() => more,
            None if rest.is_empty() => rest,
            _ => return None,
        };
        if member.is_empty() {
            return None;
        }
        steps.push(Step { member, only });
    }
    Some(Path {
        from_resource,
        steps: steps.into(),
        used,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn reads_every_form_of_a_path() {
        let step = |member, only| Step { member, only };
        for (text, from_resource, steps, used) in [
            (".:Observation", false, vec![], "Observation"),
            (
                "^a.b:Coding",
                true,
                vec![step("a", None), step("b", None)],
                "Coding",
            ),
            (
                "a[0].b[Patient]:Reference",
                false,
                vec![
                    step("a", Some(Only::At(0))),
                    step("b", Some(Only::RefersTo("Patient"))),
                ],
                "Reference",
            ),
            (
                "extension[url=http://x.y/z].valueCode:code",
                false,
                vec![
                    step("extension", Some(Only::With("url", "http://x.y/z"))),
                    step("valueCode", None),
                ],
                "code",
            ),
        ] {
            let read = path(text).unwrap();
            assert_eq!(
                (read.from_resource, &*read.steps, read.used),
                (from_resource, steps.as_slice(), used),
                "{text}"
            );
        }
        for bad in ["a", "a.:X", ".a:X", "a[b:X", "a]b.:X"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_broken_table_says_where() {
        for (text, word) in [
            ("code token code:Coding", "cannot read"),
            ("type X\ncode nothing code:Coding", "cannot read"),
            ("type X\ncode token code", "cannot read"),
            ("type X\nb token b:Coding\na token a:Coding", "not sorted"),
            ("type X\nb composite .:X {\na token a:Coding", "missing"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
