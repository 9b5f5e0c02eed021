//! JSON Patch on the bytes, against a naive one on values (RFC 6902), and what the patch does not name stays as it was.
//!
//! An input is the document, a line end, and the patch.

use crate::spell::{RANDOM, spell};
use fhir::json::{Json, Kind, Limits, Node, patch};
use serde_json::Value;

const WORDS: &[&str] = &[
    r#"{"op":"add","path":"#,
    r#"{"op":"remove","path":"#,
    r#"{"op":"replace","path":"#,
    r#"{"op":"move","from":"#,
    r#"{"op":"copy","from":"#,
    r#"{"op":"test","path":"#,
    r#","path":"#,
    r#","value":"#,
    "},",
    "}",
    "[",
    "]",
    "{",
    ":",
    ",",
    "\n",
    r#""/a""#,
    r#""/b""#,
    r#""/a/0""#,
    r#""/a/-""#,
    r#""/b/c""#,
    r#""/a/1""#,
    r#""/~0~1""#,
    r#""""#,
    r#""/a/b/c""#,
    r#""a""#,
    "5.40",
    "1e1",
    "null",
    "[1, 2 ,3]",
    r#"{"c" : 5.40, "d":[]}"#,
    r#""\u00e6""#,
    r#""æ""#,
    r#""/æ""#,
    "{}",
    "[]",
    " ",
];

#[test]
fn operations() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let text = spell(input, WORDS);
            let Some((document, changes)) = text.split_once('\n') else {
                return;
            };
            let read = |text: &str| Json::parse(text.to_owned(), Limits::RESOURCE);
            let (Ok(document), Ok(changes)) = (read(document), read(changes)) else {
                return;
            };
            let result = patch(&document, &changes, Limits::RESOURCE);
            if let Ok(result) = &result {
                Json::parse(result.bytes().clone(), Limits::RESOURCE).unwrap();
            }
            let mut operations = changes.root().items();
            if let (Some(only), None, Ok(result)) = (operations.next(), operations.next(), &result)
            {
                untouched(&document, only, result);
            }
            compare(&document, &changes, result.ok().as_ref());
        });
}

/// A double tells these numbers apart; for longer ones the naive patch is no judge.
fn plain_numbers(json: &Json) -> bool {
    let text = json.root().raw();
    !text
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+')))
        .any(|word| word.len() > 15)
        && serde_json::from_str::<Value>(text).is_ok()
}

fn compare(document: &Json, changes: &Json, result: Option<&Json>) {
    if !plain_numbers(document) || !plain_numbers(changes) {
        return;
    }
    let value = |json: &Json| doubles(serde_json::from_str(json.root().raw()).unwrap());
    let naive = carry_out(value(document), &value(changes));
    match (naive, result) {
        (Some(naive), Some(result)) => assert_eq!(naive, value(result)),
        (None, None) => {}
        (Some(_), None) => assert!(
            changes.root().items().count() > fhir::json::MOST_OPERATIONS,
            "refused what RFC 6902 allows"
        ),
        (None, Some(_)) => panic!("did what RFC 6902 refuses"),
    }
}

/// Numbers by value: 1 and 1.0 are one.
fn doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64().unwrap() + 0.0),
        Value::Array(items) => items.into_iter().map(doubles).collect(),
        Value::Object(members) => members.into_iter().map(|(k, v)| (k, doubles(v))).collect(),
        other => other,
    }
}

/// RFC 6902 in a few lines on `serde_json::Value`; `None`: refused.
fn carry_out(mut document: Value, changes: &Value) -> Option<Value> {
    let operations = changes.as_array()?;
    let text = |operation: &Value, name: &str| Some(operation.get(name)?.as_str()?.to_owned());
    // A malformed operation refuses the whole patch, also after one that fits; so the form of all comes first.
    for operation in operations {
        let op = text(operation, "op")?;
        pointer(&text(operation, "path")?)?;
        match op.as_str() {
            "add" | "replace" | "test" => drop(operation.get("value")?),
            "move" | "copy" => drop(pointer(&text(operation, "from")?)?),
            "remove" => {}
            _ => return None,
        }
    }
    for operation in operations {
        let path = text(operation, "path")?;
        match text(operation, "op")?.as_str() {
            "add" => add(&mut document, &path, operation["value"].clone())?,
            "remove" => drop(remove(&mut document, &path)?),
            "replace" => *find(&mut document, &path)? = operation["value"].clone(),
            "copy" => {
                let value = find(&mut document, &text(operation, "from")?)?.clone();
                add(&mut document, &path, value)?;
            }
            "move" => {
                let from = text(operation, "from")?;
                if path.starts_with(&format!("{from}/")) {
                    return None;
                }
                let value = remove(&mut document, &from)?;
                add(&mut document, &path, value)?;
            }
            _ => {
                if *find(&mut document, &path)? != operation["value"] {
                    return None;
                }
            }
        }
    }
    Some(document)
}

fn pointer(path: &str) -> Option<Vec<String>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    path.strip_prefix('/')?
        .split('/')
        .map(|part| {
            let sound = part
                .split('~')
                .skip(1)
                .all(|rest| rest.starts_with(['0', '1']));
            sound.then(|| part.replace("~1", "/").replace("~0", "~"))
        })
        .collect()
}

fn place(part: &str) -> Option<usize> {
    (part == "0" || !part.starts_with(['0', '+'])).then(|| part.parse().ok())?
}

fn step<'a>(value: &'a mut Value, part: &str) -> Option<&'a mut Value> {
    match value {
        Value::Object(members) => members.get_mut(part),
        Value::Array(items) => items.get_mut(place(part)?),
        _ => None,
    }
}

fn find<'a>(document: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    pointer(path)?
        .iter()
        .try_fold(document, |value, part| step(value, part))
}

fn holder<'a>(document: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let mut parts = pointer(path)?;
    let last = parts.pop()?;
    let value = parts
        .iter()
        .try_fold(document, |value, part| step(value, part))?;
    Some((value, last))
}

fn add(document: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *document = value;
        return Some(());
    }
    match holder(document, path)? {
        (Value::Object(members), last) => drop(members.insert(last, value)),
        (Value::Array(items), last) if last == "-" => items.push(value),
        (Value::Array(items), last) => {
            let at = place(&last).filter(|at| *at <= items.len())?;
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(document: &mut Value, path: &str) -> Option<Value> {
    match holder(document, path)? {
        (Value::Object(members), last) => members.shift_remove(&last),
        (Value::Array(items), last) => {
            let at = place(&last).filter(|at| *at < items.len())?;
            Some(items.remove(at))
        }
        _ => None,
    }
}

/// What one operation at a member or item leaves alone: all bytes outside what holds it, and all that it holds besides.
fn untouched(document: &Json, operation: Node<'_>, result: &Json) {
    let (op, path) = (
        operation.text("op").unwrap(),
        operation.text("path").unwrap(),
    );
    let before = document.bytes();
    if op == "test" {
        assert_eq!(result.bytes(), before);
    }
    let parts = pointer(&path).unwrap();
    let (Some((last, outer)), true) = (
        parts.split_last(),
        matches!(&*op, "add" | "remove" | "replace" | "copy"),
    ) else {
        return;
    };
    let holder = |json: &Json| {
        let walk = |node: Node<'_>, part: &String| match node.kind() {
            Kind::Array => node.items().nth(place(part)?).map(|n| n.span()),
            _ => node.get(part).map(|n| n.span()),
        };
        // Places, so that the answer outlives the walk.
        let mut span = json.root().span();
        for part in outer {
            let part_of = Json::parse(json.bytes().slice(span.clone()), Limits::RESOURCE).ok()?;
            let inner = walk(part_of.root(), part)?;
            span = span.start + inner.start..span.start + inner.end;
        }
        Some(span)
    };
    let (old, new) = (holder(document).unwrap(), holder(result).unwrap());
    let after = result.bytes();
    assert_eq!(
        before[..old.start],
        after[..new.start],
        "what stands before stays"
    );
    assert_eq!(
        before[old.end..],
        after[new.end..],
        "what stands after stays"
    );
    let inside = |json: &Json, span: std::ops::Range<usize>| {
        Json::parse(json.bytes().slice(span), Limits::RESOURCE).unwrap()
    };
    let (old, new) = (inside(document, old), inside(result, new));
    if old.root().kind() == Kind::Object {
        for (name, value) in old
            .root()
            .members()
            .filter(|(name, _)| name != last.as_str())
        {
            assert_eq!(
                new.root().get(&name).unwrap().raw(),
                value.raw(),
                "its neighbours stay"
            );
        }
    }
}
