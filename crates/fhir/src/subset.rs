//! Part of a resource: `_summary` and `_elements`, and what is left where elements are withheld ([`without`]), as bytes of the
//! resource itself.
//!
//! Standard: FHIR R4 search 3.1.1.5.8 and 3.1.1.5.9 (`_summary`, `_elements`), `ElementDefinition.isSummary`. What stays keeps
//! its bytes, its order and its decimals; only a tag in `meta` is new, so that nobody takes the part for the whole. Besides
//! what is asked for, mandatory elements stay, and those that can change the meaning of the rest (`modifierExtension`,
//! `Patient.deceased[x]`): the standard lets a server give more than was asked, and a meaning must not get lost. A contained
//! resource stays, whole, when something that stays refers to it.

use crate::definitions::Definitions;
use crate::definitions::elements::{Element, Kind, Table};
use crate::json::{self, Node};
use crate::resource::ResourceType;
use crate::systems;
use std::borrow::Cow;

mod withheld;

pub use withheld::{ANY, Withheld, closes, within, without};

/// The code in `meta.tag` of a resource that is not whole ([`systems::OBSERVATION_VALUE`]).
pub const SUBSETTED: &str = "SUBSETTED";

/// What `_summary` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Summary {
    /// `false`: resources as they are.
    #[default]
    False,
    /// `true`: the elements that the standard marks as summary, in datatypes too.
    True,
    /// `text`: the narrative and what is mandatory.
    Text,
    /// `data`: all but the narrative.
    Data,
    /// `count`: how many there are, and no resource.
    Count,
}

impl Summary {
    const ALL: [(&'static str, Self); 5] = [
        ("false", Self::False),
        ("true", Self::True),
        ("text", Self::Text),
        ("data", Self::Data),
        ("count", Self::Count),
    ];

    /// The value of `_summary`; `None` for any other.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let row = Self::ALL.into_iter().find(|(name, _)| *name == code);
        row.map(|(_, summary)| summary)
    }
}

/// Which part of a resource is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subset {
    /// The elements that the standard marks as summary, in datatypes too.
    Summary,
    /// The narrative and what is mandatory.
    Text,
    /// All but the narrative.
    Data,
    /// These elements of the type, by the names of [`elements`].
    Elements(Vec<&'static str>),
}

impl Subset {
    /// The part that `_summary` and `_elements` ask for; `None`: all of it (or, for a count, nothing).
    #[must_use]
    pub fn of(summary: Summary, elements: &[&'static str]) -> Option<Self> {
        match summary {
            Summary::True => Some(Self::Summary),
            Summary::Text => Some(Self::Text),
            Summary::Data => Some(Self::Data),
            Summary::False | Summary::Count if elements.is_empty() => None,
            Summary::False | Summary::Count => Some(Self::Elements(elements.to_vec())),
        }
    }
}

/// Reads `_elements`: names of a type's own elements with commas between, with or without the type before them
/// (`code,Observation.status`). A choice is called `value`, `value[x]` or by any of its JSON names.
///
/// # Errors
/// Words that repeat no value.
pub fn elements(resource: ResourceType, value: &str) -> Result<Vec<&'static str>, String> {
    let Some(table) = Definitions::get().elements(resource.as_str()) else {
        return Err("this type has no elements".to_owned());
    };
    let mut found = Vec::new();
    for part in value.split(',') {
        let name = match part.split_once('.') {
            Some((named, rest)) if named == resource.as_str() => rest,
            _ => part,
        };
        let choice = |element: &&&Element| element.name.strip_suffix("[x]") == Some(name);
        let element = match table.find(name) {
            Some((_, element, _)) => element.name,
            None => match table.elements.iter().find(|e| e.name == name || choice(e)) {
                Some(element) => element.name,
                None => {
                    return Err(format!(
                        "expected names of elements that a {resource} itself has, with commas between"
                    ));
                }
            },
        };
        if !found.contains(&element) {
            found.push(element);
        }
    }
    Ok(found)
}

/// The part of `resource`, which is checked FHIR of this type. Members that R4 does not know are not in it.
#[must_use]
pub fn reduce(resource: Node<'_>, kind: ResourceType, subset: &Subset) -> Vec<u8> {
    let mut out = Vec::with_capacity(resource.raw().len() + 160);
    let Some(table) = Definitions::get().elements(kind.as_str()) else {
        return resource.raw().as_bytes().to_vec();
    };
    let contained = resource.get("contained");
    let mut writer = Writer {
        out: &mut out,
        // All of them stay where everything but the narrative does.
        named: contained
            .filter(|_| *subset != Subset::Data)
            .map(|_| Vec::new()),
        nested: *subset == Subset::Summary,
    };
    let (mut tagged, mut gap) = (false, None);
    writer.out.push(b'{');
    for member in Members::of(resource) {
        match member.name.as_ref() {
            "resourceType" => writer.member(&member),
            "meta" => {
                writer.separate();
                writer.put(member.name_and_colon());
                tag(writer.out, member.value);
                tagged = true;
            }
            "contained" if writer.named.is_some() => gap = Some(writer.out.len()),
            name => {
                if let Some((element, kind)) = element_of(table, name)
                    && stays(element, subset)
                {
                    writer.value(&member, kind);
                }
            }
        }
    }
    if !tagged {
        write_meta(writer.out);
    }
    let named = writer.named.take().unwrap_or_default();
    if let (Some(gap), Some(contained)) = (gap, contained) {
        hold(
            &mut out,
            gap,
            contained.items().map(Inner::whole).collect(),
            named,
        );
    }
    out.push(b'}');
    out
}

/// Whether a top-level element stays.
fn stays(element: &Element, subset: &Subset) -> bool {
    let name = element.name;
    let wanted = match subset {
        Subset::Summary => element.summary,
        Subset::Text => name == "text",
        Subset::Data => name != "text",
        Subset::Elements(names) => names.contains(&name),
    };
    wanted || element.required || element.modifier || name == "id"
}

/// The element that a member is, or, for `_birthDate`, that it says more about. A member that says more has no inside.
fn element_of(table: &Table, name: &str) -> Option<(&'static Element, Option<Kind>)> {
    match name.strip_prefix('_') {
        Some(name) => table.find(name).map(|(_, element, _)| (element, None)),
        None => {
            let (_, element, used) = table.find(name)?;
            // What an extension holds is its own matter.
            let inside = (used.name != "Extension").then_some(used.kind);
            Some((element, inside))
        }
    }
}

/// One member with the bytes before its value.
struct Member<'a> {
    name: Cow<'a, str>,
    value: Node<'a>,
    /// From after the member before it up to the value.
    before: &'a str,
}

impl<'a> Member<'a> {
    fn name_and_colon(&self) -> &'a str {
        self.before.trim_start_matches([',', ' ', '\n', '\r', '\t'])
    }
}

/// The members of an object, each with the bytes before its value.
struct Members<'a> {
    object: Node<'a>,
    all: json::Members<'a>,
    /// End of the member before, from the object's start.
    end: usize,
}

impl<'a> Members<'a> {
    fn of(object: Node<'a>) -> Self {
        Self {
            object,
            all: object.members(),
            end: 1,
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let (name, value) = self.all.next()?;
        let (start, span) = (self.object.span().start, value.span());
        let before = self.object.raw().get(self.end..span.start - start);
        self.end = span.end - start;
        Some(Member {
            name,
            value,
            before: before.unwrap_or_default(),
        })
    }
}

struct Writer<'o, 'a> {
    out: &'o mut Vec<u8>,
    /// Ids of contained resources that something written refers to; `None`: nobody asks.
    named: Option<Vec<Cow<'a, str>>>,
    /// Whether datatypes are reduced too.
    nested: bool,
}

impl<'a> Writer<'_, 'a> {
    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn separate(&mut self) {
        separate(self.out);
    }

    /// A member as it is.
    fn member(&mut self, member: &Member<'a>) {
        self.separate();
        self.put(member.name_and_colon());
        self.whole(member.value);
    }

    /// A value as it is.
    fn whole(&mut self, value: Node<'a>) {
        self.put(value.raw());
        if let Some(named) = &mut self.named {
            names(value, named);
        }
    }

    /// A member whose element stays; what is inside it may be reduced.
    fn value(&mut self, member: &Member<'a>, kind: Option<Kind>) {
        let Some(Kind::Complex(place)) = kind.filter(|_| self.nested) else {
            return self.member(member);
        };
        let table = Definitions::get().at(place);
        self.separate();
        self.put(member.name_and_colon());
        if member.value.kind() != json::Kind::Array {
            return self.object(member.value, table);
        }
        self.out.push(b'[');
        for (at, item) in member.value.items().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.object(item, table);
        }
        self.out.push(b']');
    }

    /// The summary of a datatype or backbone element; one without any summary element stays as it is, since nothing in
    /// FHIR is empty.
    fn object(&mut self, object: Node<'a>, table: &Table) {
        if object.kind() != json::Kind::Object {
            return self.whole(object);
        }
        let start = self.out.len();
        self.out.push(b'{');
        for member in Members::of(object) {
            if let Some((element, kind)) = element_of(table, &member.name)
                && (element.summary || element.required || element.modifier)
            {
                self.value(&member, kind);
            }
        }
        if self.out.len() == start + 1 {
            self.out.truncate(start);
            return self.whole(object);
        }
        self.out.push(b'}');
    }
}

/// The ids of contained resources that a value refers to: every text that starts with `#`.
fn names<'a>(value: Node<'a>, found: &mut Vec<Cow<'a, str>>) {
    match value.kind() {
        json::Kind::String => {
            if let Some(id) = value.raw().get(1..).and_then(|rest| rest.strip_prefix('#'))
                && !id.is_empty()
                && let Some(text) = value.str()
            {
                found.push(text);
            }
        }
        json::Kind::Array => value.items().for_each(|item| names(item, found)),
        json::Kind::Object => value.members().for_each(|(_, inner)| names(inner, found)),
        _ => {}
    }
}

/// A contained resource that may stay.
struct Inner<'a> {
    id: Option<Cow<'a, str>>,
    text: Cow<'a, str>,
    /// Ids of contained resources that it refers to.
    names: Vec<Cow<'a, str>>,
    /// Whether it stays though nothing refers to it.
    stays: bool,
}

impl<'a> Inner<'a> {
    /// One as it is.
    fn whole(one: Node<'a>) -> Self {
        let mut found = Vec::new();
        names(one, &mut found);
        Self {
            id: one.text("id"),
            text: one.raw().into(),
            names: found,
            stays: false,
        }
    }
}

/// Puts the contained resources that are named, by what is written or by each other, where `contained` stood.
fn hold<'a>(out: &mut Vec<u8>, gap: usize, mut all: Vec<Inner<'a>>, mut named: Vec<Cow<'a, str>>) {
    let staying = all.iter().filter(|one| one.stays);
    named.extend(staying.flat_map(|one| one.names.iter().cloned()));
    let mut from = 0;
    while from < named.len() {
        let id = named[from].get(1..).unwrap_or_default().to_owned();
        from += 1;
        for one in &mut all {
            if !one.stays && one.id.as_ref().is_some_and(|own| *own == *id) {
                one.stays = true;
                named.append(&mut one.names);
            }
        }
    }
    let kept: Vec<&str> = all
        .iter()
        .filter(|one| one.stays)
        .map(|one| one.text.as_ref())
        .collect();
    if kept.is_empty() {
        return;
    }
    let list = kept.join(",");
    let member = if out.get(..gap) == Some(b"{") {
        // It stood first: the comma comes after it, if anything does.
        let comma = if out.len() > gap { "," } else { "" };
        format!("\"contained\":[{list}]{comma}")
    } else {
        format!(",\"contained\":[{list}]")
    };
    out.splice(gap..gap, member.into_bytes());
}

/// Writes `meta` with the tag.
fn tag(out: &mut Vec<u8>, meta: Node<'_>) {
    let tags = meta.get("tag");
    let raw = meta.raw();
    if meta.kind() != json::Kind::Object || tags.is_some_and(|tags| tags.items().any(is_tag)) {
        return out.extend_from_slice(raw.as_bytes());
    }
    let (at, open, close, first) = match tags {
        Some(tags) => {
            let end = tags.span().end - meta.span().start;
            (end - 1, "", "", tags.items().next().is_none())
        }
        None => (
            raw.len() - 1,
            "\"tag\":[",
            "]",
            meta.members().next().is_none(),
        ),
    };
    let (start, end) = raw.split_at(at);
    out.extend_from_slice(start.trim_end().as_bytes());
    if !first {
        out.push(b',');
    }
    out.extend_from_slice(open.as_bytes());
    write_tag(out);
    out.extend_from_slice(close.as_bytes());
    out.extend_from_slice(end.as_bytes());
}

/// Writes a `meta` of the tag alone, after other members or none.
fn write_meta(out: &mut Vec<u8>) {
    separate(out);
    out.extend_from_slice(b"\"meta\":{\"tag\":[");
    write_tag(out);
    out.extend_from_slice(b"]}");
}

/// A comma, unless a member is the first.
fn separate(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

/// The tag by which a resource says that it is a part of one; `None`: it says no such thing.
#[must_use]
pub fn mark(resource: Node<'_>) -> Option<Node<'_>> {
    resource
        .all(&["meta", "tag"])
        .into_iter()
        .find(|tag| is_tag(*tag))
}

/// Whether a coding is the mark of a part.
fn is_tag(coding: Node<'_>) -> bool {
    coding.text("system").as_deref() == Some(systems::OBSERVATION_VALUE)
        && coding.text("code").as_deref() == Some(SUBSETTED)
}

fn write_tag(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"system\":");
    json::write_string(out, systems::OBSERVATION_VALUE);
    out.extend_from_slice(b",\"code\":");
    json::write_string(out, SUBSETTED);
    out.push(b'}');
}

#[cfg(test)]
#[path = "subset_tests.rs"]
mod tests;
