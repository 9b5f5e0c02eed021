//! FHIR JSON as it was sent: one strict pass to a flat tape of places, the bytes themselves untouched.
//!
//! Standard: RFC 8259 with RFC 7493's (I-JSON) refusal of duplicate members and lone surrogates, and FHIR R4
//! JSON. Nothing is rebuilt: a value is a slice of what came, so decimals keep their digits, members their
//! order and strings their escapes (CONTRACT section 5, "decimals are text"). What must change JSON does it by
//! splicing ([`with_server_fields`], [`patch`]).

mod glance;
mod parse;
mod patch;
mod splice;

use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use glance::Glance;
pub use patch::{MOST_OPERATIONS, PatchFault, patch};
pub use splice::{Seams, ServerMeta, with_server_fields};

/// How much one body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest body in bytes.
    pub bytes: usize,
    /// Deepest nesting of objects and arrays.
    pub depth: usize,
}

impl Limits {
    /// One resource: 2 MiB, 64 levels.
    pub const RESOURCE: Self = Self {
        bytes: 2 << 20,
        depth: 64,
    };
    /// A Bundle: 10 MiB, and room for a resource of 64 levels in `entry[n].resource`, so that whatever is taken alone
    /// can be passed on and searched.
    pub const BUNDLE: Self = Self {
        bytes: 10 << 20,
        depth: 64 + 3,
    };
}

/// The kinds of JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number; its text is what counts.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// Why a body is not acceptable JSON. Holds no content of the body except member names that FHIR could have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at byte {at})")]
pub struct Fault {
    /// FHIR issue type: `structure`, `too-long`, `too-costly`.
    pub code: crate::outcome::IssueCode,
    /// FHIRPath of the innermost element known; empty at the very top.
    pub expression: String,
    /// Byte offset in the body.
    pub at: usize,
    /// What is wrong, in words.
    pub message: String,
}

impl From<Fault> for crate::outcome::Issue {
    fn from(fault: Fault) -> Self {
        let diagnostics = fault.to_string();
        Self::error(fault.code, fault.expression, diagnostics)
    }
}

/// One value's place: its bytes `start..end`, and the tape index after it and all it holds. The kind is told by
/// the first byte. An object's members lie on the tape as name, value, name, value.
#[derive(Debug, Clone, Copy)]
struct Slot {
    start: u32,
    end: u32,
    next: u32,
}

/// A strictly read JSON body: the bytes and the places of all values in them.
#[derive(Clone)]
pub struct Json {
    bytes: Bytes,
    /// The same as text, proved UTF-8 once: every name and string is read from here.
    text: Arc<str>,
    tape: Vec<Slot>,
}

impl Json {
    /// Reads a whole body in one pass.
    ///
    /// # Errors
    /// [`Fault`] for bytes that are not UTF-8 or not JSON, for duplicate members, lone surrogates, raw control
    /// characters, numbers longer than 64 characters, and what exceeds `limits`.
    pub fn parse(bytes: impl Into<Bytes>, limits: Limits) -> Result<Self, Fault> {
        parse::parse(bytes.into(), limits)
    }

    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        Node { json: self, at: 0 }
    }

    /// The body as it came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes of one value, without copying; they share the body's memory.
    #[must_use]
    pub fn slice(&self, node: Node<'_>) -> Bytes {
        self.bytes.slice(node.span())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Json({} bytes, {} values)",
            self.bytes.len(),
            self.tape.len()
        )
    }
}

/// One value in a [`Json`]. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    json: &'a Json,
    at: u32,
}

impl<'a> Node<'a> {
    fn slot(self) -> Slot {
        self.json.tape[self.at as usize]
    }

    /// What kind of value it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.json.bytes[self.slot().start as usize] {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The value's text, exactly as sent.
    #[must_use]
    pub fn raw(self) -> &'a str {
        // Values begin and end at ASCII bytes.
        self.json.text.get(self.span()).unwrap_or_default()
    }

    /// The place of the value in the body, in bytes.
    #[must_use]
    pub fn span(self) -> Range<usize> {
        let slot = self.slot();
        slot.start as usize..slot.end as usize
    }

    /// The member of this name; `None` if there is none or this is no object.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Node<'a>> {
        self.members()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
    }

    /// The value at the end of a path of member names.
    #[must_use]
    pub fn path(self, names: &[&str]) -> Option<Node<'a>> {
        names.iter().try_fold(self, |node, name| node.get(name))
    }

    /// All values at the end of a path of member names, going into every item of arrays on the way:
    /// `["code", "coding"]` gives each coding.
    #[must_use]
    pub fn all(self, names: &[&str]) -> Vec<Node<'a>> {
        let spread = |node: Node<'a>| -> Vec<Node<'a>> {
            if node.kind() == Kind::Array {
                node.items().collect()
            } else {
                vec![node]
            }
        };
        names.iter().fold(spread(self), |nodes, name| {
            nodes
                .into_iter()
                .filter_map(|node| node.get(name))
                .flat_map(spread)
                .collect()
        })
    }

    /// The items of an array; none for any other value.
    #[must_use]
    pub fn items(self) -> Items<'a> {
        let slot = self.slot();
        let end = if self.kind() == Kind::Array {
            slot.next
        } else {
            self.at + 1
        };
        Items {
            json: self.json,
            at: self.at + 1,
            end,
        }
    }

    /// The members of an object in the order sent, names without escapes; none for any other value.
    #[must_use]
    pub fn members(self) -> Members<'a> {
        let slot = self.slot();
        let end = if self.kind() == Kind::Object {
            slot.next
        } else {
            self.at + 1
        };
        Members {
            json: self.json,
            at: self.at + 1,
            end,
        }
    }

    /// The text of a string, without escapes; `None` for any other value.
    #[must_use]
    pub fn str(self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::String).then(|| unescape(self.raw()))
    }

    /// The text of the string member of this name.
    #[must_use]
    pub fn text(self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)?.str()
    }

    /// The value of a boolean.
    #[must_use]
    pub fn bool(self) -> Option<bool> {
        match self.raw() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The text of a number, every digit as sent.
    #[must_use]
    pub fn number(self) -> Option<&'a str> {
        (self.kind() == Kind::Number).then(|| self.raw())
    }

    /// Where the value is, as FHIRPath from the body's root: `Bundle.entry[3].resource.code`. The root is called
    /// by its resource type, or `$` if it has none that R4 knows. Walks the body: for errors, not for each value.
    #[must_use]
    pub fn expression(self) -> String {
        self.expression_from(self.json.root())
    }

    /// Where the value is, as FHIRPath from the resource `base`, which must hold it.
    #[must_use]
    pub fn expression_from(self, base: Node<'a>) -> String {
        let mut path = root_name(base.text("resourceType")).to_owned();
        let mut here = base;
        while here.at != self.at {
            let holds = |node: &Node<'a>| node.at <= self.at && self.at < node.slot().next;
            if let Some((name, value)) = here.members().find(|(_, value)| holds(value)) {
                path.push('.');
                path.push_str(presentable(&name));
                here = value;
            } else if let Some((i, item)) = here.items().enumerate().find(|(_, item)| holds(item)) {
                path.push_str(&format!("[{i}]"));
                here = item;
            } else {
                break;
            }
        }
        path
    }
}

/// Shows kind and place only: a Node may hold a reading.
impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:?} at {:?})", self.kind(), self.span())
    }
}

impl PartialEq for Node<'_> {
    /// The same place in the same body.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.json, other.json) && self.at == other.at
    }
}

/// Items of an array, see [`Node::items`].
#[derive(Clone)]
pub struct Items<'a> {
    json: &'a Json,
    at: u32,
    end: u32,
}

impl<'a> Iterator for Items<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        if self.at >= self.end {
            return None;
        }
        let node = Node {
            json: self.json,
            at: self.at,
        };
        self.at = node.slot().next;
        Some(node)
    }
}

/// Members of an object, see [`Node::members`].
#[derive(Clone)]
pub struct Members<'a> {
    json: &'a Json,
    at: u32,
    end: u32,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let name = Node {
            json: self.json,
            at: self.at,
        };
        let value = Node {
            json: self.json,
            at: self.at + 1,
        };
        self.at = value.slot().next;
        Some((unescape(name.raw()), value))
    }
}

/// The text between the quotes, escapes resolved. Only for strings that the parser has accepted.
fn unescape(quoted: &str) -> Cow<'_, str> {
    let inner = quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let unit = hex4(&mut chars);
                let point = if (0xD800..0xDC00).contains(&unit) {
                    // A high surrogate: the parser has seen `\u` and its low half.
                    chars.next();
                    chars.next();
                    0x10000
                        + ((unit - 0xD800) << 10)
                        + (hex4(&mut chars).wrapping_sub(0xDC00) & 0x3FF)
                } else {
                    unit
                };
                out.push(char::from_u32(point).unwrap_or('\u{FFFD}'));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Cow::Owned(out)
}

fn hex4(chars: &mut std::str::Chars<'_>) -> u32 {
    (0..4).fold(0, |n, _| {
        n * 16 + chars.next().and_then(|c| c.to_digit(16)).unwrap_or(0)
    })
}

/// What a path begins with: the resource type, if it is one of R4's, else `$`.
fn root_name(resource_type: Option<Cow<'_, str>>) -> &'static str {
    resource_type
        .and_then(|name| crate::resource::ResourceType::parse(&name))
        .map_or("$", crate::resource::ResourceType::as_str)
}

/// A member name fit for an error. FHIR's names are of letters, and of digits no more than `valueBase64Binary` has; any
/// other name may be a person's, or a person's number, and is shown as `?`.
fn presentable(name: &str) -> &str {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    if plain && digits <= 2 && name.len() <= 40 {
        name
    } else {
        "?"
    }
}

/// Writes `text` as a JSON string, quotes included.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut from = 0;
    for (i, byte) in text.bytes().enumerate() {
        let escaped: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1F => {
                out.extend_from_slice(&text.as_bytes()[from..i]);
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                from = i + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[from..i]);
        out.extend_from_slice(escaped);
        from = i + 1;
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
    out.push(b'"');
}

/// `text` as a JSON string, quotes included.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests;
