//! A quick look into JSON text that was read strictly before: members and items are found by skipping, nothing is
//! remembered, nothing is checked again. For walks over many stored resources that want a few values of each.
//!
//! Standard: RFC 8259. Text that [`super::Json`] did not accept gives some answer or none, never a panic.

use std::borrow::Cow;

/// One value, from its first byte to its last.
#[derive(Clone, Copy)]
pub struct Glance<'a>(&'a [u8]);

impl<'a> Glance<'a> {
    /// The outermost value of a text.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Self {
        let mut rest = text;
        Self(value(&mut rest).unwrap_or_default())
    }

    /// An object's members in order, as name and value; none of anything else.
    pub fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Glance<'a>)> {
        let mut rest = self.inside(b'{');
        std::iter::from_fn(move || {
            let name = string(value(&mut rest)?)?;
            expected(&mut rest, b':')?;
            let held = value(&mut rest)?;
            // The last has no comma after it.
            let _ = expected(&mut rest, b',');
            Some((name, Self(held)))
        })
    }

    /// An array's values in order; none of anything else.
    pub fn items(self) -> impl Iterator<Item = Glance<'a>> {
        let mut rest = self.inside(b'[');
        std::iter::from_fn(move || {
            let held = value(&mut rest)?;
            let _ = expected(&mut rest, b',');
            Some(Self(held))
        })
    }

    /// An object's member by its name.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Glance<'a>> {
        let found = self.members().find(|(one, _)| one == name);
        found.map(|(_, value)| value)
    }

    /// A string without its quotes and escapes.
    #[must_use]
    pub fn str(self) -> Option<Cow<'a, str>> {
        string(self.0)
    }

    /// A number as it is written.
    #[must_use]
    pub fn number(self) -> Option<&'a str> {
        let first = self.0.first()?;
        if *first == b'-' || first.is_ascii_digit() {
            std::str::from_utf8(self.0).ok()
        } else {
            None
        }
    }

    /// True or false.
    #[must_use]
    pub fn bool(self) -> Option<bool> {
        match self.0 {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    /// What is between the brackets; nothing where the first byte is another.
    fn inside(self, open: u8) -> &'a [u8] {
        match self.0.split_first() {
            Some((first, rest)) if *first == open => rest,
            _ => &[],
        }
    }
}

/// Text between quotes.
fn string(quoted: &[u8]) -> Option<Cow<'_, str>> {
    let inside = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inside.contains(&b'\\') {
        return serde_json::from_slice(quoted).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inside).ok().map(Cow::Borrowed)
}

/// Takes the next value off the front; `None` at the end of what it is in.
fn value<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    *rest = rest.trim_ascii_start();
    let length = match rest.first()? {
        b'"' => quoted(rest),
        b'{' | b'[' => nested(rest),
        b'}' | b']' | b',' | b':' => return None,
        _ => {
            let ends = |b: &u8| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace();
            rest.iter().position(ends).unwrap_or(rest.len())
        }
    };
    let (value, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(value)
}

fn expected(rest: &mut &[u8], byte: u8) -> Option<()> {
    let after = rest.trim_ascii_start().strip_prefix(&[byte])?;
    *rest = after;
    Some(())
}

/// How long the string is that starts here, quotes included.
fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// How long the object or array is that starts here, brackets included.
fn nested(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += quoted(&text[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use crate::json::{Json, Kind, Limits, Node};
    use proptest::prelude::*;

    /// Both readers see the same, everywhere.
    fn same(node: Node<'_>, glance: Glance<'_>) {
        match node.kind() {
            Kind::Object => {
                let there: Vec<_> = node.members().collect();
                let here: Vec<_> = glance.members().collect();
                assert_eq!(there.len(), here.len());
                for ((name, value), (own, seen)) in there.into_iter().zip(here) {
                    assert_eq!(name, own);
                    same(value, seen);
                    same(value, glance.get(&name).unwrap());
                }
            }
            Kind::Array => {
                let there: Vec<_> = node.items().collect();
                let here: Vec<_> = glance.items().collect();
                assert_eq!(there.len(), here.len());
                there.into_iter().zip(here).for_each(|(a, b)| same(a, b));
            }
            _ => {}
        }
        assert_eq!(node.str(), glance.str());
        assert_eq!(node.number(), glance.number());
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i32>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
            "[\\\\\"{}\\[\\],: ]{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map("[a\\\\\"é}]{0,3}", inner, 0..5)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn sees_what_the_strict_reader_sees(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let json = Json::parse(text.clone(), Limits::RESOURCE).unwrap();
            same(json.root(), Glance::of(&text));
        }

        #[test]
        fn broken_text_is_no_panic(bytes in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\ a1"[..]), 0..40)) {
            fn through(glance: Glance<'_>, depth: usize) {
                let _ = (glance.str(), glance.number());
                if depth < 8 {
                    glance.members().for_each(|(_, value)| through(value, depth + 1));
                    glance.items().for_each(|value| through(value, depth + 1));
                }
            }
            through(Glance::of(&bytes), 0);
        }
    }

    #[test]
    fn escapes_in_names_and_digits_in_numbers_are_kept_apart_and_whole() {
        let text = br#" {"\u0076alue" : 1.50 ,"unit":"\u2103","a":[ {"b":"}"} , -2e3,true ] } "#;
        let glance = Glance::of(text);
        assert_eq!(glance.get("value").unwrap().number(), Some("1.50"));
        assert_eq!(glance.get("unit").unwrap().str().unwrap(), "\u{2103}");
        let items: Vec<_> = glance.get("a").unwrap().items().collect();
        assert_eq!(items[0].get("b").unwrap().str().unwrap(), "}");
        assert_eq!((items[1].number(), items[2].number()), (Some("-2e3"), None));
        assert!(glance.get("c").is_none() && items[1].get("x").is_none());
    }
}
