//! Links of a resource: what in it may point to another entry of the same Bundle, and how they are rewritten.
//!
//! Standard: FHIR R4 http.html#trules: references, elements of type uri, url, oid and uuid, and `<a href>` and
//! `<img src>` in narratives. Elements of type canonical are none.

use crate::definitions::Definitions;
use crate::definitions::elements::{Kind as Type, Table};
use crate::json::{Json, Kind, Node, quote};
use std::borrow::Cow;
use std::ops::Range;

/// Says of a Reference that a transaction makes it point to the version that it writes.
const AS_VERSION: &str = "http://hl7.org/fhir/StructureDefinition/resolve-as-version-specific";

/// What a link stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `Reference.reference`.
    Reference {
        /// Whether it asks for the version that the transaction writes (extension `resolve-as-version-specific`).
        as_version: bool,
    },
    /// An element of type uri, url, oid or uuid.
    Address,
    /// `href` or `src` in a narrative.
    Narrative,
}

/// One link.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    /// The string that it is, or is in.
    pub node: Node<'a>,
    /// What it stands in.
    pub role: Role,
    /// What it says.
    pub text: Cow<'a, str>,
    /// Where in the narrative, in bytes of the text as read.
    within: Range<usize>,
}

/// Every link of a resource, contained ones too, in the order they stand in. What has no rules in R4 has no links.
#[must_use]
pub fn links(resource: Node<'_>) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    whole(resource, &mut found);
    found.sort_by_key(|link| (link.node.span().start, link.within.start));
    found
}

/// The bytes of `resource`, a part of `json`, with each link that `means` something else written as that. Everything else
/// keeps every byte.
pub fn relink<'a>(
    json: &'a Json,
    resource: Node<'a>,
    mut means: impl FnMut(&Link<'a>) -> Option<String>,
) -> Vec<u8> {
    let bytes = json.slice(resource);
    let start = resource.span().start;
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let mut from = 0;
    let links = links(resource);
    for of_one in links.chunk_by(|a, b| a.node.span() == b.node.span()) {
        let mut text = of_one[0].node.str().unwrap_or_default().into_owned();
        let mut changed = false;
        // From the end, so that what stands before keeps its place.
        for link in of_one.iter().rev() {
            if let Some(means) = means(link) {
                let means = match link.role {
                    Role::Narrative => escaped(&means),
                    _ => means,
                };
                text.replace_range(link.within.clone(), &means);
                changed = true;
            }
        }
        if changed {
            let span = of_one[0].node.span();
            out.extend_from_slice(&bytes[from..span.start - start]);
            out.extend_from_slice(quote(&text).as_bytes());
            from = span.end - start;
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out
}

fn whole<'a>(resource: Node<'a>, found: &mut Vec<Link<'a>>) {
    let table = resource
        .text("resourceType")
        .and_then(|name| Definitions::get().elements(&name));
    if let Some(table) = table {
        object(resource, table, found);
    }
}

fn object<'a>(node: Node<'a>, table: &'static Table, found: &mut Vec<Link<'a>>) {
    for (name, value) in node.members() {
        // The extensions of a primitive stand in a member of their own.
        let (stem, sibling) = name
            .strip_prefix('_')
            .map_or((name.as_ref(), false), |stem| (stem, true));
        let Some((_, _, used)) = table.find(stem) else {
            continue;
        };
        let values = if value.kind() == Kind::Array {
            value.items().collect()
        } else {
            vec![value]
        };
        for value in values {
            match used.kind {
                _ if sibling => {
                    if let Some(element) = Definitions::get().elements("Element") {
                        object(value, element, found);
                    }
                }
                Type::Resource => whole(value, found),
                Type::Complex(place) => object(value, Definitions::get().at(place), found),
                Type::Primitive(_) => {
                    let role = match used.name {
                        "uri" | "url" | "oid" | "uuid" => Role::Address,
                        "xhtml" => {
                            narrative(value, found);
                            continue;
                        }
                        _ if table.name == "Reference" && stem == "reference" => Role::Reference {
                            as_version: as_version(node),
                        },
                        _ => continue,
                    };
                    if let Some(text) = value.str() {
                        let within = 0..text.len();
                        found.push(Link {
                            node: value,
                            role,
                            text,
                            within,
                        });
                    }
                }
            }
        }
    }
}

fn as_version(reference: Node<'_>) -> bool {
    reference.all(&["extension"]).into_iter().any(|extension| {
        extension.text("url").is_some_and(|url| url == AS_VERSION)
            && extension.get("valueBoolean").and_then(Node::bool) == Some(true)
    })
}

/// Adds what the `a` and `img` of a narrative point to. Linear in the text; what is not well-formed has no links.
fn narrative<'a>(node: Node<'a>, found: &mut Vec<Link<'a>>) {
    let Some(text) = node.str() else { return };
    let mut at = 0;
    while let Some(open) = text[at..].find('<') {
        at += open + 1;
        let name_end = text[at..]
            .find(|c: char| !c.is_ascii_alphanumeric())
            .map_or(text.len(), |n| at + n);
        let wanted = match &text[at..name_end] {
            "a" => Some("href"),
            "img" => Some("src"),
            _ => None,
        };
        at = name_end;
        // Attributes up to the end of the tag: name = "value".
        loop {
            let rest = &text[at..];
            let skipped = rest.len()
                - rest
                    .trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/')
                    .len();
            at += skipped;
            let name_end = text[at..]
                .find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '<' | '/'))
                .map_or(text.len(), |n| at + n);
            let name = &text[at..name_end];
            let after = text[name_end..].trim_start();
            let Some(value) = after.strip_prefix('=').filter(|_| !name.is_empty()) else {
                break;
            };
            let value = value.trim_start();
            let Some(mark) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
                break;
            };
            let begin = text.len() - value.len() + 1;
            let Some(length) = text[begin..].find(mark) else {
                break;
            };
            let within = begin..begin + length;
            at = within.end + 1;
            if wanted == Some(name) {
                found.push(Link {
                    node,
                    role: Role::Narrative,
                    text: Cow::Owned(text[within.clone()].replace("&amp;", "&")),
                    within,
                });
            }
        }
    }
}

/// An attribute's value.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::json::Limits;

    fn told(text: &str) -> Vec<(Role, String)> {
        let json = Json::parse(text.to_owned(), Limits::RESOURCE).unwrap();
        links(json.root())
            .into_iter()
            .map(|link| (link.role, link.text.into_owned()))
            .collect()
    }

    #[test]
    fn references_addresses_and_narratives_are_links_and_canonicals_are_none() {
        let text = r#"{"resourceType":"Observation","meta":{"source":"urn:uuid:1","profile":["urn:uuid:2"]},
            "text":{"status":"generated","div":"<div><a class='x' href=\"urn:uuid:3\">a</a><img alt=\"href=\" src='urn:uuid:4'/><b href='urn:uuid:5'/></div>"},
            "contained":[{"resourceType":"Device","id":"d","url":"urn:uuid:6","owner":{"reference":"urn:uuid:7"}}],
            "extension":[{"url":"urn:x","valueUri":"urn:uuid:8"},{"url":"urn:x","valueString":"urn:uuid:9"}],
            "_status":{"extension":[{"url":"urn:x","valueUuid":"urn:uuid:10"}]},
            "subject":{"reference":"urn:uuid:11","display":"urn:uuid:12"},
            "derivedFrom":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/resolve-as-version-specific","valueBoolean":true}],"reference":"urn:uuid:13"}],
            "reference":"urn:uuid:14"}"#;
        let plain = Role::Reference { as_version: false };
        let number = |role: Role, n: u32| (role, format!("urn:uuid:{n}"));
        let found: Vec<_> = told(text)
            .into_iter()
            .filter(|(_, text)| text.starts_with("urn:uuid"))
            .collect();
        assert_eq!(
            found,
            [
                number(Role::Address, 1),
                number(Role::Narrative, 3),
                number(Role::Narrative, 4),
                number(Role::Address, 6),
                number(plain, 7),
                number(Role::Address, 8),
                number(Role::Address, 10),
                number(plain, 11),
                number(Role::Reference { as_version: true }, 13),
            ]
        );
    }

    #[test]
    fn only_what_means_something_else_is_written_anew() {
        let text = r#" {"resourceType":"Observation" , "text":{"div":"<div><a href=\"A&amp;B\">\u00e5</a> <a href='C'>A</a></div>"},"valueQuantity":{"value": 1.50 },
            "subject":{"reference":"A"}} "#;
        let json = Json::parse(text.to_owned(), Limits::RESOURCE).unwrap();
        let out = relink(&json, json.root(), |link| match link.text.as_ref() {
            "A&B" => Some("Patient?a=1&b=2".to_owned()),
            "A" => Some("Patient/1".to_owned()),
            _ => None,
        });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"resourceType":"Observation" , "text":{"div":"<div><a href=\"Patient?a=1&amp;b=2\">å</a> <a href='C'>A</a></div>"},"valueQuantity":{"value": 1.50 },
            "subject":{"reference":"Patient/1"}}"#
        );
        let same = relink(&json, json.root(), |_| None);
        assert_eq!(same, json.slice(json.root()));
    }

    #[test]
    fn a_broken_narrative_has_no_links_and_does_no_harm() {
        for div in [
            "<a href",
            "<a href=",
            "<a href='x",
            "<",
            "<a <a href=x>",
            "<å href='x'",
            "<a å='",
            "<img src=x/>",
        ] {
            let text = format!(
                r#"{{"resourceType":"Patient","text":{{"div":{}}}}}"#,
                quote(div)
            );
            assert_eq!(told(&text), [], "{div}");
        }
    }
}
