//! A resource without the elements that its reader may not see, and which searches would tell of them.
//!
//! Source: threats-and-faults.md section 4 ("data is minimised by purpose and role", "no answer may depend on data the caller
//! cannot see"). What is left out leaves no trace: an object of nothing else goes with it, a contained resource that nothing
//! else refers to does too, and every resource is marked, whether it had such an element or not. A resource inside another
//! (contained, or an entry's) loses what its own type loses.

use super::{Inner, Member, Members, hold, mark, names, separate, tag, write_meta};
use crate::definitions::Definitions;
use crate::definitions::elements::{Element, Kind, Table, Use};
use crate::definitions::search::{Path, SearchParameter};
use crate::json::{self, Json, Limits, Node};
use crate::resource::ResourceType;
use std::borrow::Cow;

/// Stands for every resource type.
pub const ANY: &str = "*";

/// What of resources is left out. It must not be anything that must be there, nor a modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// Everything of this datatype, in whatever it stands, extensions too.
    Datatype(&'static str),
    /// One element: the type or backbone element (`Patient`, `CarePlan.activity`; `*`: every resource), and its name there.
    Element(&'static str, &'static str),
}

impl Withheld {
    fn is(self, table: &Table, element: &Element, used: &Use) -> bool {
        match self {
            Self::Datatype(name) => used.name == name,
            Self::Element(of, name) => {
                element.name == name && (of == table.name || of == ANY && table.resource)
            }
        }
    }
}

/// `resource`, which is checked FHIR of this type, without what is withheld, marked as a part. Members that R4 does not know
/// are not in it. What stays keeps its order and its decimals; the space between members goes, so that nothing shows where
/// one has been.
#[must_use]
pub fn without(resource: Node<'_>, kind: ResourceType, withheld: &[Withheld]) -> Vec<u8> {
    part(resource, kind, withheld, true).out
}

/// One resource on its way out.
struct Writer<'w, 'a> {
    out: Vec<u8>,
    withheld: &'w [Withheld],
    /// Ids of contained resources that something written refers to.
    named: Vec<Cow<'a, str>>,
}

fn part<'w, 'a>(
    resource: Node<'a>,
    kind: ResourceType,
    withheld: &'w [Withheld],
    marked: bool,
) -> Writer<'w, 'a> {
    let mut writer = Writer {
        out: Vec::with_capacity(resource.raw().len() + 160),
        withheld,
        named: Vec::new(),
    };
    writer.out.push(b'{');
    let Some(table) = Definitions::get().elements(kind.as_str()) else {
        writer.out.push(b'}');
        return writer;
    };
    let (mut tagged, mut gap) = (!marked, None);
    for member in Members::of(resource) {
        match member.name.as_ref() {
            "resourceType" => {
                separate(&mut writer.out);
                writer.put(member.name_and_colon());
                writer.put(member.value.raw());
            }
            "contained" => gap = Some((writer.out.len(), member.value)),
            "meta" if marked => {
                tagged = true;
                writer.meta(&member);
            }
            _ => {
                writer.member(table, &member);
            }
        }
    }
    if !tagged {
        write_meta(&mut writer.out);
    }
    if let Some((gap, contained)) = gap {
        let inner = contained.items().filter_map(|one| inner(one, withheld));
        let named = std::mem::take(&mut writer.named);
        hold(&mut writer.out, gap, inner.collect(), named);
    }
    writer.out.push(b'}');
    writer
}

/// A contained resource; `None` for one of a type that is none.
fn inner<'a>(one: Node<'a>, withheld: &[Withheld]) -> Option<Inner<'a>> {
    let kind = ResourceType::of(one).ok()?;
    let done = part(one, kind, withheld, false);
    let text = String::from_utf8(done.out).ok()?;
    Some(Inner {
        id: one.text("id"),
        // It refers to what contains it.
        stays: text.contains("\"#\""),
        text: text.into(),
        names: done.named,
    })
}

impl<'a> Writer<'_, 'a> {
    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Where what is written ends, to come back to.
    fn here(&self) -> (usize, usize) {
        (self.out.len(), self.named.len())
    }

    /// Takes back what was written since.
    fn back(&mut self, (out, named): (usize, usize)) {
        self.out.truncate(out);
        self.named.truncate(named);
    }

    /// `meta` with the mark.
    fn meta(&mut self, member: &Member<'a>) {
        let start = self.here();
        let written = Definitions::get()
            .elements("Meta")
            .is_some_and(|table| self.object(member.value, table));
        let meta = self.out.split_off(start.0);
        self.back(start);
        let meta = written.then(|| Json::parse(meta, Limits::BUNDLE).ok());
        match meta.flatten() {
            Some(meta) => {
                separate(&mut self.out);
                self.put(member.name_and_colon());
                tag(&mut self.out, meta.root());
            }
            None => write_meta(&mut self.out),
        }
    }

    /// A member, if anything of it stays.
    fn member(&mut self, table: &Table, member: &Member<'a>) -> bool {
        let beside = member.name.strip_prefix('_');
        let Some((_, element, used)) = table.find(beside.unwrap_or(&member.name)) else {
            return false;
        };
        if self.withheld.iter().any(|one| one.is(table, element, used)) {
            return false;
        }
        let start = self.here();
        separate(&mut self.out);
        self.put(member.name_and_colon());
        let written = match beside {
            Some(_) => self.beside(member.value),
            None => self.value(member.value, used.kind),
        };
        if !written {
            self.back(start);
        }
        written
    }

    /// A value or all values of an element.
    fn value(&mut self, value: Node<'a>, kind: Kind) -> bool {
        if value.kind() != json::Kind::Array {
            return self.one(value, kind);
        }
        self.out.push(b'[');
        let mut any = false;
        for item in value.items() {
            let start = self.here();
            if any {
                self.out.push(b',');
            }
            if self.one(item, kind) {
                any = true;
            } else {
                self.back(start);
            }
        }
        self.out.push(b']');
        any
    }

    fn one(&mut self, value: Node<'a>, kind: Kind) -> bool {
        match kind {
            // What is no primitive (of a source that checks less) has no place here.
            Kind::Primitive(_)
                if matches!(value.kind(), json::Kind::Object | json::Kind::Array) =>
            {
                false
            }
            Kind::Primitive(_) => {
                self.put(value.raw());
                names(value, &mut self.named);
                true
            }
            Kind::Complex(place) => self.object(value, Definitions::get().at(place)),
            Kind::Resource => {
                let Ok(kind) = ResourceType::of(value) else {
                    return false;
                };
                let whole = part(value, kind, self.withheld, true);
                self.out.extend_from_slice(&whole.out);
                true
            }
        }
    }

    /// What stands beside a primitive (`_birthDate`); in a list, null keeps the place.
    fn beside(&mut self, value: Node<'a>) -> bool {
        let Some(table) = Definitions::get().elements("Element") else {
            return false;
        };
        if value.kind() != json::Kind::Array {
            return self.object(value, table);
        }
        self.out.push(b'[');
        let mut any = false;
        for (at, item) in value.items().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            if self.object(item, table) {
                any = true;
            } else {
                self.put("null");
            }
        }
        self.out.push(b']');
        any
    }

    /// An object, if anything of it stays. An extension is one thing with its value.
    fn object(&mut self, object: Node<'a>, table: &Table) -> bool {
        if object.kind() != json::Kind::Object {
            return false;
        }
        let extension = table.name == "Extension";
        let start = self.here();
        self.out.push(b'{');
        let mut says = false;
        for member in Members::of(object) {
            let written = self.member(table, &member);
            // An extension that says nothing, or whose value is withheld, is none.
            says |= written && member.name != "id" && !(extension && member.name == "url");
        }
        if says {
            self.out.push(b'}');
        } else {
            self.back(start);
        }
        says
    }
}

/// Whether what a search parameter of `resource` finds depends on something that is withheld: one of its paths leads through
/// it. A path that the tables do not follow is taken to.
#[must_use]
pub fn closes(withheld: &[Withheld], resource: ResourceType, parameter: &SearchParameter) -> bool {
    if withheld.is_empty() {
        return false;
    }
    let Some(table) = Definitions::get().elements(resource.as_str()) else {
        return true;
    };
    parameter.paths.iter().any(|path| {
        let Some(base) = end(withheld, table, path) else {
            return true;
        };
        let parts = parameter.components.iter().flat_map(|one| &one.paths);
        parts.into_iter().any(|path| {
            let start = if path.from_resource {
                Some(table)
            } else {
                base
            };
            start.is_none_or(|start| end(withheld, start, path).is_none())
        })
    })
}

/// The table in which a path ends (inner `None`: in a primitive or a resource); outer `None`: it leads through what is
/// withheld, or nowhere.
fn end(
    withheld: &[Withheld],
    start: &'static Table,
    path: &Path,
) -> Option<Option<&'static Table>> {
    let mut at = Some(start);
    for step in &path.steps {
        let table = at?;
        let (_, element, used) = table.find(step.member)?;
        if withheld.iter().any(|one| one.is(table, element, used)) {
            return None;
        }
        at = match used.kind {
            Kind::Complex(place) => Some(Definitions::get().at(place)),
            Kind::Primitive(_) | Kind::Resource => None,
        };
    }
    Some(at)
}

/// Whether `part`, which says that it is one, says nothing but what `whole` says: then both are one thing, and the second says
/// more of it. `id`, `meta` and the narrative of each are its server's own.
#[must_use]
pub fn within(part: Node<'_>, whole: Node<'_>) -> bool {
    mark(part).is_some()
        && part
            .members()
            .filter(|(name, _)| !["id", "meta", "text"].contains(&name.as_ref()))
            .all(|(name, value)| whole.get(&name).is_some_and(|other| says(value, other)))
}

fn says(part: Node<'_>, whole: Node<'_>) -> bool {
    use json::Kind::{Array, Null, Object, String};
    match (part.kind(), whole.kind()) {
        // It keeps the place of something withheld beside a primitive of a list.
        (Null, _) => true,
        (Object, Object) => part
            .members()
            .all(|(name, value)| whole.get(&name).is_some_and(|other| says(value, other))),
        (Array, Array) => {
            let mut others = whole.items();
            part.items()
                .all(|item| others.by_ref().any(|other| says(item, other)))
        }
        (String, String) => part.str() == whole.str(),
        (ours, theirs) => ours == theirs && part.raw() == whole.raw(),
    }
}

#[cfg(test)]
#[path = "withheld_tests.rs"]
mod tests;
