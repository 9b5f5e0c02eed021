//! When two resources are one and the same: one pure function for hub, store and gateway.
//!
//! Source: CONTRACT section 5, "One reading": the business identifier (system, value) with the patient; without
//! one, patient + device + effective + code + value, components included. The content digest ignores what a
//! server or a renderer owns: `id`, `meta`, the narrative, member order and whitespace. Decimals count as text:
//! 37.0 and 37.00 are different content.

use crate::index::{Index, Subject};
use crate::json::{Kind, Node};
use crate::resource::ResourceType;
use aws_lc_rs::digest::{Context, SHA256};
use std::borrow::Cow;
use std::fmt;

/// What makes a resource the same as another, and whether its content is.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Canonical bytes, equal for the same thing. Hold a person's number: go through a keyed hash before they
    /// rest anywhere, and never into a log.
    pub key: Vec<u8>,
    /// SHA-256 of the content.
    pub digest: [u8; 32],
    /// Whether it comes as a correction: status `corrected`, `amended` or `entered-in-error`.
    pub correction: bool,
}

/// Shows the digest's beginning only.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.digest;
        write!(f, "Identity({a:02x}{b:02x}{c:02x}{d:02x}, correction: {})", self.correction)
    }
}

/// Members of the resource that are not content.
const NOT_CONTENT: &[&str] = &["id", "meta", "text"];
/// What a measured value may stand in, besides `value[x]`.
const VALUE_PARTS: &[&str] = &["component", "dataAbsentReason"];

/// The identity of `resource`, whose index is `index`.
#[must_use]
pub fn of(resource: Node<'_>, resource_type: ResourceType, index: &Index) -> Identity {
    let digest = content(resource);
    let mut key = Key(Vec::with_capacity(160));
    key.field("type", resource_type.as_str().as_bytes());
    match &index.subject {
        Some(Subject::Person(person)) => {
            key.field("person", person.system().as_bytes());
            key.field("number", person.value().expose().as_bytes());
        }
        Some(Subject::Local(id)) => key.field("local", id.uuid().as_bytes()),
        None => key.field("nobody", b""),
    }
    if resource_type != ResourceType::PATIENT || index.subject.is_none() {
        match business_identifier(resource) {
            Some((system, value)) => {
                key.field("system", system.as_bytes());
                key.field("value", value.as_bytes());
            }
            None => measured(resource, index, &digest, &mut key),
        }
    }
    Identity { key: key.0, digest, correction: is_correction(index) }
}

/// Whether a resource comes as a correction of an earlier one.
fn is_correction(index: &Index) -> bool {
    matches!(index.status.as_deref(), Some("corrected" | "amended" | "entered-in-error"))
}

/// The first identifier that has both system and value.
fn business_identifier<'a>(resource: Node<'a>) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
    resource.all(&["identifier"]).into_iter().find_map(|identifier| {
        let system = identifier.text("system").filter(|system| !system.is_empty())?;
        let value = identifier.text("value").filter(|value| !value.is_empty())?;
        Some((system, value))
    })
}

/// Device, time, code and value; a resource that carries no value is the same only with the same content.
fn measured(resource: Node<'_>, index: &Index, digest: &[u8; 32], key: &mut Key) {
    key.field("device", index.device.as_deref().unwrap_or_default().as_bytes());
    if let Some(when) = index.when {
        key.field("lo", &when.lo.to_be_bytes());
        key.field("hi", &when.hi.to_be_bytes());
    }
    let mut codings: Vec<_> = index.codings.iter().collect();
    codings.sort();
    for coding in codings {
        key.field("in", coding.system.as_deref().unwrap_or_default().as_bytes());
        key.field("code", coding.code.as_bytes());
    }
    let mut parts: Vec<_> = resource.members().filter(|(name, _)| is_value(name)).collect();
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, value) in &parts {
        key.field("part", name.as_bytes());
        canonical(*value, &[], &mut |bytes| key.0.extend_from_slice(bytes));
    }
    if parts.is_empty() {
        key.field("content", digest);
    }
}

fn is_value(name: &str) -> bool {
    VALUE_PARTS.contains(&name) || name.strip_prefix("value").is_some_and(|x| x.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// Tagged, length-prefixed fields: no two different sequences give the same bytes.
struct Key(Vec<u8>);

impl Key {
    fn field(&mut self, tag: &str, bytes: &[u8]) {
        prefixed(tag.as_bytes(), &mut |b| self.0.extend_from_slice(b));
        prefixed(bytes, &mut |b| self.0.extend_from_slice(b));
    }
}

fn prefixed(bytes: &[u8], write: &mut impl FnMut(&[u8])) {
    write(&(bytes.len() as u64).to_be_bytes());
    write(bytes);
}

/// SHA-256 of a resource's content, as [`Identity::digest`].
#[must_use]
pub fn content(resource: Node<'_>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    canonical(resource, NOT_CONTENT, &mut |bytes| context.update(bytes));
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Writes the value's tokens in one form: members sorted by name, strings without escapes, numbers as text.
/// `without` names members of this object (not of those inside) that are left out.
fn canonical(node: Node<'_>, without: &[&str], write: &mut impl FnMut(&[u8])) {
    match node.kind() {
        Kind::Object => {
            let mut members: Vec<_> =
                node.members().filter(|(name, _)| !without.contains(&name.as_ref())).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            write(b"{");
            for (name, value) in members {
                prefixed(name.as_bytes(), write);
                canonical(value, &[], write);
            }
            write(b"}");
        }
        Kind::Array => {
            write(b"[");
            for item in node.items() {
                canonical(item, &[], write);
            }
            write(b"]");
        }
        Kind::String => {
            write(b"s");
            prefixed(node.str().unwrap_or_default().as_bytes(), write);
        }
        Kind::Number => {
            write(b"n");
            prefixed(node.raw().as_bytes(), write);
        }
        Kind::Bool | Kind::Null => write(&node.raw().as_bytes()[..1]),
    }
}
