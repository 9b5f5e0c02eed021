//! JSON Patch (RFC 6902) on the bytes themselves: what the patch does not name keeps every digit, escape and blank, and
//! members keep their order.
//!
//! All six operations, all or none. Paths are JSON Pointers (RFC 6901). `test` compares as the RFC says: numbers by value,
//! strings by their characters, objects whatever their order.

use super::{Json, Kind, Limits, Node, write_string};
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;

/// Most operations in one patch.
pub const MOST_OPERATIONS: usize = 100;

/// Why a patch was not carried out. Holds no value of patch or document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatchFault {
    /// Whether the patch itself is malformed; else it does not fit this document.
    pub malformed: bool,
    /// Which operation, from 0; `None`: the patch as a whole.
    pub operation: Option<usize>,
    /// The path it names, fit for an error: names of letters and places in lists.
    pub path: String,
    /// What is wrong, in words.
    pub message: String,
}

/// Applies `patch`, a list of operations, to `document`.
///
/// # Errors
/// [`PatchFault`] for the first operation that is malformed or does not fit, or a result that exceeds `limits`.
pub fn patch(document: &Json, patch: &Json, limits: Limits) -> Result<Json, PatchFault> {
    let whole = |message: &str| PatchFault {
        malformed: true,
        operation: None,
        path: String::new(),
        message: message.to_owned(),
    };
    if patch.root().kind() != Kind::Array {
        return Err(whole("a patch is a list of operations"));
    }
    let sent: Vec<Node<'_>> = patch.root().items().collect();
    if sent.len() > MOST_OPERATIONS {
        return Err(whole("a patch takes at most 100 operations"));
    }
    // A malformed patch is refused whole, before anything is tried.
    let operations: Vec<Operation<'_>> = sent
        .iter()
        .enumerate()
        .map(|(n, node)| Operation::read(*node).map_err(|wrong| wrong.at(n, *node, true)))
        .collect::<Result<_, _>>()?;
    let mut document = document.clone();
    for (n, operation) in operations.iter().enumerate() {
        let wrong = |wrong: Wrong| wrong.at(n, sent[n], false);
        if let Some(bytes) = operation.carry_out(&document).map_err(wrong)? {
            document = Json::parse(bytes, limits)
                .map_err(|_| Wrong("the result is too long or too deep").at(n, sent[n], false))?;
        }
    }
    Ok(document)
}

/// What is wrong, in words.
struct Wrong(&'static str);

impl Wrong {
    fn at(self, operation: usize, node: Node<'_>, malformed: bool) -> PatchFault {
        PatchFault {
            malformed,
            operation: Some(operation),
            path: shown(&node.text("path").unwrap_or_default()),
            message: self.0.to_owned(),
        }
    }
}

/// A path fit for an error: whatever is no plain name and no place in a list may be a person's number.
fn shown(path: &str) -> String {
    let plain = |part: &str| {
        part == "-"
            || part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit())
            || part.len() <= 64 && part.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
    };
    path.split('/')
        .take(16)
        .map(|part| if plain(part) { part } else { "?" })
        .collect::<Vec<_>>()
        .join("/")
}

/// A JSON Pointer's parts, unescaped.
struct Pointer<'a>(Vec<Cow<'a, str>>);

impl<'a> Pointer<'a> {
    fn read(node: Option<Node<'a>>) -> Result<Self, Wrong> {
        let text = node.and_then(Node::str).ok_or(Wrong(
            "a path was expected, for example /valueQuantity/value",
        ))?;
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let rest = text
            .strip_prefix('/')
            .ok_or(Wrong("a path starts with /"))?;
        rest.split('/')
            .map(|part| {
                let broken = part
                    .split('~')
                    .skip(1)
                    .any(|after| !after.starts_with(['0', '1']));
                if broken {
                    return Err(Wrong("in a path ~ is followed by 0 or 1"));
                }
                Ok(Cow::Owned(part.replace("~1", "/").replace("~0", "~")))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The value it points to.
    fn find<'d>(&self, document: &'d Json) -> Result<Node<'d>, Wrong> {
        walk(&self.0, document)
    }

    /// What holds the value, and the last part of the path; `None` for the whole document.
    fn holder<'d>(&self, document: &'d Json) -> Result<Option<(Node<'d>, &str)>, Wrong> {
        match self.0.split_last() {
            None => Ok(None),
            Some((last, before)) => Ok(Some((walk(before, document)?, last.as_ref()))),
        }
    }
}

const MISSING: Wrong = Wrong("there is nothing at this path");

fn walk<'d>(parts: &[Cow<'_, str>], document: &'d Json) -> Result<Node<'d>, Wrong> {
    parts
        .iter()
        .try_fold(document.root(), |node, part| match node.kind() {
            Kind::Object => node.get(part),
            Kind::Array => place(part).and_then(|n| node.items().nth(n)),
            _ => None,
        })
        .ok_or(MISSING)
}

/// A place in a list: digits without leading zero.
fn place(part: &str) -> Option<usize> {
    let plain = !part.is_empty()
        && part.bytes().all(|b| b.is_ascii_digit())
        && (part == "0" || !part.starts_with('0'));
    plain.then(|| part.parse().ok()).flatten()
}

enum Operation<'a> {
    Add(Pointer<'a>, Node<'a>),
    Remove(Pointer<'a>),
    Replace(Pointer<'a>, Node<'a>),
    Move(Pointer<'a>, Pointer<'a>),
    Copy(Pointer<'a>, Pointer<'a>),
    Test(Pointer<'a>, Node<'a>),
}

impl<'a> Operation<'a> {
    fn read(node: Node<'a>) -> Result<Self, Wrong> {
        let op = node
            .text("op")
            .ok_or(Wrong("an operation has op and path"))?;
        let path = Pointer::read(node.get("path"))?;
        let value = || {
            node.get("value")
                .ok_or(Wrong("this operation needs a value"))
        };
        let from = || Pointer::read(node.get("from"));
        Ok(match op.as_ref() {
            "add" => Self::Add(path, value()?),
            "remove" => Self::Remove(path),
            "replace" => Self::Replace(path, value()?),
            "move" => {
                let from = from()?;
                if from.0.len() < path.0.len() && path.0.starts_with(&from.0) {
                    return Err(Wrong("a value cannot move into itself"));
                }
                Self::Move(from, path)
            }
            "copy" => Self::Copy(from()?, path),
            "test" => Self::Test(path, value()?),
            _ => return Err(Wrong("op is one of add, remove, replace, move, copy, test")),
        })
    }

    /// The document after it; `None`: as it was.
    fn carry_out(&self, document: &Json) -> Result<Option<Vec<u8>>, Wrong> {
        match self {
            Self::Add(path, value) => add(document.bytes(), document, path, value.raw()).map(Some),
            Self::Remove(path) => remove(document, path).map(Some),
            Self::Replace(path, value) => {
                let at = path.find(document)?.span();
                Ok(Some(splice(document.bytes(), at, &[value.raw()])))
            }
            Self::Move(from, path) => {
                let value = document.slice(from.find(document)?);
                let without = Bytes::from(remove(document, from)?);
                let without = Json::parse(without, WIDE)
                    .map_err(|_| Wrong("the whole resource cannot be moved"))?;
                let value = std::str::from_utf8(&value).unwrap_or_default();
                add(without.bytes(), &without, path, value).map(Some)
            }
            Self::Copy(from, path) => {
                let value = from.find(document)?.raw();
                add(document.bytes(), document, path, value).map(Some)
            }
            Self::Test(path, value) => {
                if equal(path.find(document)?, *value) {
                    Ok(None)
                } else {
                    Err(Wrong("the value at this path is another"))
                }
            }
        }
    }
}

/// What was read already is not measured again in between.
const WIDE: Limits = Limits {
    bytes: u32::MAX as usize,
    depth: 1024,
};

fn splice(bytes: &[u8], at: Range<usize>, parts: &[&str]) -> Vec<u8> {
    let more: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(bytes.len() + more);
    out.extend_from_slice(&bytes[..at.start]);
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(&bytes[at.end..]);
    out
}

/// The places of what an object or array holds: whole members, or items.
fn held(holder: Node<'_>) -> Vec<Range<usize>> {
    if holder.kind() == Kind::Array {
        return holder.items().map(Node::span).collect();
    }
    holder
        .members()
        .map(|(_, value)| {
            // A member's name stands on the tape before its value.
            let name = Node {
                json: value.json,
                at: value.at - 1,
            };
            name.span().start..value.span().end
        })
        .collect()
}

fn add(bytes: &[u8], document: &Json, path: &Pointer<'_>, value: &str) -> Result<Vec<u8>, Wrong> {
    let Some((holder, last)) = path.holder(document)? else {
        return Ok(value.as_bytes().to_vec());
    };
    let places = held(holder);
    let (at, name) = match holder.kind() {
        Kind::Object => {
            if let Some(there) = holder.get(last) {
                return Ok(splice(bytes, there.span(), &[value]));
            }
            let mut name = Vec::new();
            write_string(&mut name, last);
            name.push(b':');
            let name = String::from_utf8(name).unwrap_or_default();
            (places.len(), name)
        }
        Kind::Array => {
            let at = match last {
                "-" => places.len(),
                _ => place(last)
                    .filter(|n| *n <= places.len())
                    .ok_or(Wrong("there is no such place in the list"))?,
            };
            (at, String::new())
        }
        _ => {
            return Err(Wrong(
                "what should hold the value is neither object nor list",
            ));
        }
    };
    Ok(match (places.get(at), places.last()) {
        (Some(before), _) => splice(bytes, before.start..before.start, &[&name, value, ","]),
        (None, Some(last)) => splice(bytes, last.end..last.end, &[",", &name, value]),
        (None, None) => {
            let start = holder.span().start + 1;
            splice(bytes, start..start, &[&name, value])
        }
    })
}

fn remove(document: &Json, path: &Pointer<'_>) -> Result<Vec<u8>, Wrong> {
    let target = path.find(document)?;
    let Some((holder, _)) = path.holder(document)? else {
        return Err(Wrong("the whole resource cannot be removed"));
    };
    let places = held(holder);
    let n = places
        .iter()
        .position(|place| place.end == target.span().end)
        .ok_or(MISSING)?;
    // With one comma: the one before it, or else the one after.
    let cut = match (
        n.checked_sub(1).and_then(|n| places.get(n)),
        places.get(n + 1),
    ) {
        (Some(before), _) => before.end..places[n].end,
        (None, Some(after)) => places[n].start..after.start,
        (None, None) => places[n].clone(),
    };
    Ok(splice(document.bytes(), cut, &[]))
}

fn equal(a: Node<'_>, b: Node<'_>) -> bool {
    match (a.kind(), b.kind()) {
        (Kind::Object, Kind::Object) => {
            a.members().count() == b.members().count()
                && a.members()
                    .all(|(name, value)| b.get(&name).is_some_and(|other| equal(value, other)))
        }
        (Kind::Array, Kind::Array) => {
            a.items().count() == b.items().count()
                && a.items().zip(b.items()).all(|(a, b)| equal(a, b))
        }
        (Kind::String, Kind::String) => a.str() == b.str(),
        (Kind::Number, Kind::Number) => number(a.raw()) == number(b.raw()),
        (a_kind, b_kind) => a_kind == b_kind && a.raw() == b.raw(),
    }
}

/// A number as sign, digits without zeros at either end, and the power of ten of the last; zero has no sign.
fn number(text: &str) -> (bool, String, i128) {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // An exponent of more digits than this fits in no honest number; it saturates.
    let exponent: i128 = exponent.parse().unwrap_or(i128::MAX / 2);
    let digits = format!("{whole}{fraction}");
    let short = digits.trim_start_matches('0').trim_end_matches('0');
    if short.is_empty() {
        return (false, String::new(), 0);
    }
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let power = exponent - fraction.len() as i128 + zeros as i128;
    (negative, short.to_owned(), power)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes().to_vec(), Limits::RESOURCE).unwrap()
    }

    fn patched(document: &str, operations: &str) -> Result<String, PatchFault> {
        patch(&json(document), &json(operations), Limits::RESOURCE)
            .map(|json| String::from_utf8(json.bytes().to_vec()).unwrap())
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 6902 appendix A, by its numbers.
        for (number, document, operations, expected) in [
            (
                "A.1",
                r#"{"foo": "bar"}"#,
                r#"[{"op":"add","path":"/baz","value":"qux"}]"#,
                r#"{"foo": "bar","baz":"qux"}"#,
            ),
            (
                "A.2",
                r#"{"foo": [ "bar", "baz" ] }"#,
                r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
                r#"{"foo": [ "bar", "qux","baz" ] }"#,
            ),
            (
                "A.3",
                r#"{"baz": "qux", "foo": "bar"}"#,
                r#"[{"op":"remove","path":"/baz"}]"#,
                r#"{"foo": "bar"}"#,
            ),
            (
                "A.4",
                r#"{"foo":["bar","qux","baz"]}"#,
                r#"[{"op":"remove","path":"/foo/1"}]"#,
                r#"{"foo":["bar","baz"]}"#,
            ),
            (
                "A.5",
                r#"{"baz":"qux","foo":"bar"}"#,
                r#"[{"op":"replace","path":"/baz","value":"boo"}]"#,
                r#"{"baz":"boo","foo":"bar"}"#,
            ),
            (
                "A.6",
                r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
                r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
                r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
            ),
            (
                "A.7",
                r#"{"foo":["all","grass","cows","eat"]}"#,
                r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
                r#"{"foo":["all","cows","eat","grass"]}"#,
            ),
            (
                "A.8",
                r#"{"baz":"qux","foo":["a",2,"c"]}"#,
                r#"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
                r#"{"baz":"qux","foo":["a",2,"c"]}"#,
            ),
            (
                "A.10",
                r#"{"foo":"bar"}"#,
                r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
                r#"{"foo":"bar","child":{"grandchild":{}}}"#,
            ),
            (
                "A.11",
                r#"{"foo":"bar"}"#,
                r#"[{"op":"add","path":"/baz","value":"qux","xyz":123}]"#,
                r#"{"foo":"bar","baz":"qux"}"#,
            ),
            (
                "A.14",
                r#"{"/":9,"~1":10}"#,
                r#"[{"op":"test","path":"/~01","value":10}]"#,
                r#"{"/":9,"~1":10}"#,
            ),
            (
                "A.16",
                r#"{"foo":["bar"]}"#,
                r#"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
                r#"{"foo":["bar",["abc","def"]]}"#,
            ),
        ] {
            assert_eq!(patched(document, operations).unwrap(), expected, "{number}");
        }
        assert!(
            patched(
                r#"{"baz":"qux"}"#,
                r#"[{"op":"test","path":"/baz","value":"bar"}]"#
            )
            .is_err()
        );
        assert!(
            patched(
                r#"{"foo":"bar"}"#,
                r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#
            )
            .is_err()
        );
        assert!(
            patched(
                r#"{"/":9,"~1":10}"#,
                r#"[{"op":"test","path":"/~01","value":"10"}]"#
            )
            .is_err()
        );
    }

    #[test]
    fn what_is_not_named_keeps_every_digit_and_blank() {
        let document =
            r#"{ "value" : 72.00 , "text":"\u00e5", "empty":{}, "list":[ ], "unit":"x" }"#;
        let operations = r#"[{"op":"replace","path":"/unit","value":1.50},{"op":"add","path":"/empty/a","value":1e2},{"op":"add","path":"/list/0","value":0.10},{"op":"copy","from":"/value","path":"/again"},{"op":"remove","path":"/text"}]"#;
        assert_eq!(
            patched(document, operations).unwrap(),
            r#"{ "value" : 72.00, "empty":{"a":1e2}, "list":[0.10 ], "unit":1.50,"again":72.00 }"#
        );
    }

    #[test]
    fn a_patch_that_does_not_fit_tells_where_and_no_value() {
        let document = r#"{"a":[1],"b":"x"}"#;
        for (operations, malformed, path) in [
            (r#"{}"#, true, ""),
            (r#"[7]"#, true, ""),
            (r#"[{"op":"add","path":"/c"}]"#, true, "/c"),
            (r#"[{"op":"merge","path":"/c","value":1}]"#, true, "/c"),
            (r#"[{"op":"remove","path":"c"}]"#, true, "c"),
            (r#"[{"op":"remove","path":"/c~2"}]"#, true, "/?"),
            (r#"[{"op":"remove"}]"#, true, ""),
            (r#"[{"op":"move","from":"/a","path":"/a/0"}]"#, true, "/a/0"),
            (r#"[{"op":"copy","path":"/a"}]"#, true, "/a"),
            (r#"[{"op":"remove","path":"/c"}]"#, false, "/c"),
            (r#"[{"op":"remove","path":"/a/-"}]"#, false, "/a/-"),
            (r#"[{"op":"remove","path":"/a/00"}]"#, false, "/a/00"),
            (r#"[{"op":"replace","path":"/c","value":1}]"#, false, "/c"),
            (r#"[{"op":"add","path":"/a/2","value":1}]"#, false, "/a/2"),
            (r#"[{"op":"add","path":"/b/c","value":1}]"#, false, "/b/c"),
            (r#"[{"op":"remove","path":""}]"#, false, ""),
            (r#"[{"op":"test","path":"/a/0","value":2}]"#, false, "/a/0"),
            (
                r#"[{"op":"test","path":"/14835210260","value":2}]"#,
                false,
                "/?",
            ),
        ] {
            let fault = patched(document, operations).unwrap_err();
            assert_eq!(
                (fault.malformed, fault.path.as_str()),
                (malformed, path),
                "{operations}"
            );
            assert!(!fault.message.contains("14835210260"));
        }
        let late = r#"[{"op":"remove","path":"/b"},{"op":"remove","path":"/b"}]"#;
        assert_eq!(patched(document, late).unwrap_err().operation, Some(1));
        let many = format!(
            "[{}]",
            vec![r#"{"op":"test","path":"","value":1}"#; 101].join(",")
        );
        assert!(patched(document, &many).unwrap_err().malformed);
        let whole = r#"[{"op":"add","path":"","value":{"c":1}}]"#;
        assert_eq!(patched(document, whole).unwrap(), r#"{"c":1}"#);
    }

    #[test]
    fn numbers_are_equal_by_value() {
        for (a, b, same) in [
            ("72.0", "72.00", true),
            ("720e-1", "72", true),
            ("0.0", "-0", true),
            ("1E2", "100", true),
            ("0.001", "1e-3", true),
            ("72", "-72", false),
            ("72", "7.2", false),
            (
                "1e99999999999999999999999999999999999999999999999999",
                "1",
                false,
            ),
        ] {
            assert_eq!(number(a) == number(b), same, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn adding_and_removing_is_as_if_nothing_had_been(n in 0_usize..5, place in 0_usize..6) {
            let items: Vec<String> = (0..n).map(|n| format!("{n}.0")).collect();
            let document = format!(r#"{{"a":[{}],"b":{{}}}}"#, items.join(", "));
            let operations = format!(r#"[{{"op":"add","path":"/a/{place}","value":[]}},{{"op":"add","path":"/b/x","value":1}},{{"op":"remove","path":"/a/{place}"}},{{"op":"remove","path":"/b/x"}}]"#);
            match patched(&document, &operations) {
                Ok(result) => prop_assert!(equal(json(&result).root(), json(&document).root())),
                Err(_) => prop_assert!(place > n),
            }
        }

        #[test]
        fn no_patch_makes_it_panic(path in "(/[a-c0-9~-]{0,3}){0,3}", op in "add|remove|replace|move|copy|test") {
            let operations = format!(r#"[{{"op":"{op}","path":"{path}","from":"/a","value":1}}]"#);
            let _ = patched(r#"{"a":[{"b":1},2],"c":{}}"#, &operations);
        }
    }
}
