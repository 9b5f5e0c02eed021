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
    /// The business identifier (system, value) that the key is made of, if it is.
    pub business: Option<(String, String)>,
}

/// Shows the digest's beginning only.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.digest;
        write!(
            f,
            "Identity({a:02x}{b:02x}{c:02x}{d:02x}, correction: {})",
            self.correction
        )
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
    let mut key = whose(resource_type, index.subject.as_ref());
    let business = business(resource, resource_type);
    match &business {
        _ if resource_type == ResourceType::PATIENT && index.subject.is_some() => {}
        Some((system, value)) => identified(&mut key, system, value),
        None => measured(resource, index, &digest, &mut key),
    }
    Identity {
        key: key.0,
        digest,
        correction: is_correction(index),
        business,
    }
}

/// The business identifier (system, value) by which a resource is the same as another: the first that has both. A Patient is
/// its person's number.
#[must_use]
pub fn business(resource: Node<'_>, resource_type: ResourceType) -> Option<(String, String)> {
    business_identifier(resource)
        .filter(|_| resource_type != ResourceType::PATIENT)
        .map(|(system, value)| (system.into_owned(), value.into_owned()))
}

/// The key of a resource of this type about `subject` that has this business identifier, and it first.
#[must_use]
pub fn business_key(
    resource_type: ResourceType,
    subject: Option<&Subject>,
    system: &str,
    value: &str,
) -> Vec<u8> {
    let mut key = whose(resource_type, subject);
    identified(&mut key, system, value);
    key.0
}

/// The beginning of each key: type and subject.
fn whose(resource_type: ResourceType, subject: Option<&Subject>) -> Key {
    let mut key = Key(Vec::with_capacity(160));
    key.field("type", resource_type.as_str().as_bytes());
    match subject {
        Some(Subject::Person(person)) => {
            key.field("person", person.system().as_bytes());
            key.field("number", person.value().expose().as_bytes());
        }
        Some(Subject::Local(id)) => key.field("local", id.uuid().as_bytes()),
        None => key.field("nobody", b""),
    }
    key
}

fn identified(key: &mut Key, system: &str, value: &str) {
    key.field("system", system.as_bytes());
    key.field("value", value.as_bytes());
}

/// Whether a resource comes as a correction of an earlier one.
fn is_correction(index: &Index) -> bool {
    matches!(
        index.status.as_deref(),
        Some("corrected" | "amended" | "entered-in-error")
    )
}

/// The first identifier that has both system and value.
fn business_identifier<'a>(resource: Node<'a>) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
    resource
        .all(&["identifier"])
        .into_iter()
        .find_map(|identifier| {
            let system = identifier
                .text("system")
                .filter(|system| !system.is_empty())?;
            let value = identifier.text("value").filter(|value| !value.is_empty())?;
            Some((system, value))
        })
}

/// Device, time, code and value; a resource that carries no value is the same only with the same content.
fn measured(resource: Node<'_>, index: &Index, digest: &[u8; 32], key: &mut Key) {
    key.field(
        "device",
        index.device.as_deref().unwrap_or_default().as_bytes(),
    );
    if let Some(when) = index.when {
        key.field("lo", &when.lo.to_be_bytes());
        key.field("hi", &when.hi.to_be_bytes());
    }
    let mut codings: Vec<_> = index.codings.iter().collect();
    codings.sort();
    for coding in codings {
        key.field(
            "in",
            coding.system.as_deref().unwrap_or_default().as_bytes(),
        );
        key.field("code", coding.code.as_bytes());
    }
    let mut parts: Vec<_> = resource
        .members()
        .filter(|(name, _)| is_value(name))
        .collect();
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
    VALUE_PARTS.contains(&name)
        || name
            .strip_prefix("value")
            .is_some_and(|x| x.starts_with(|c: char| c.is_ascii_uppercase()))
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
            let mut members: Vec<_> = node
                .members()
                .filter(|(name, _)| !without.contains(&name.as_ref()))
                .collect();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::ids::PersonNumbers;
    use crate::index;
    use crate::json::{Json, Limits};
    use crate::time::Zone;
    use proptest::prelude::*;

    fn identity(body: &str) -> Identity {
        let json = Json::parse(body.as_bytes().to_vec(), Limits::RESOURCE).unwrap();
        let resource_type = ResourceType::of(json.root()).unwrap();
        let index = index::of(
            json.root(),
            resource_type,
            &Zone::default(),
            PersonNumbers::Strict,
        )
        .unwrap();
        of(json.root(), resource_type, &index)
    }

    /// Members of a reading, by name, so that tests can change one.
    const READING: &[(&str, &str)] = &[
        ("resourceType", r#""Observation""#),
        ("status", r#""final""#),
        (
            "subject",
            r#"{"identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}}"#,
        ),
        ("device", r#"{"identifier":{"system":"urn:d","value":"7"}}"#),
        ("effectiveDateTime", r#""2026-03-01T08:00:00+01:00""#),
        (
            "code",
            r#"{"coding":[{"system":"http://loinc.org","code":"8310-5"}],"text":"å"}"#,
        ),
        (
            "valueQuantity",
            r#"{"value":37.0,"system":"http://unitsofmeasure.org","code":"Cel"}"#,
        ),
    ];
    const IDENTIFIER: (&str, &str) = (
        "identifier",
        r#"[{"value":"no system"},{"system":"urn:s","value":"1"}]"#,
    );

    fn reading(changes: &[(&str, &str)]) -> Identity {
        let mut members: Vec<(&str, &str)> = READING.to_vec();
        for change in changes {
            members.retain(|(name, _)| *name != change.0);
            members.push(*change);
        }
        let text: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        identity(&format!("{{{}}}", text.join(",")))
    }

    #[test]
    fn what_a_server_or_renderer_owns_is_not_content() {
        let plain = reading(&[]);
        let dressed = reading(&[
            ("id", "\"x\""),
            ("meta", r#"{"versionId":"3"}"#),
            ("text", r#"{"div":"<div/>"}"#),
        ]);
        assert_eq!(plain, dressed);
        // Inside other objects the same names are content.
        assert_ne!(
            plain.digest,
            reading(&[(
                "code",
                r#"{"coding":[{"system":"http://loinc.org","code":"8310-5"}],"text":"b"}"#
            )])
            .digest
        );
    }

    #[test]
    fn escapes_do_not_count() {
        let escaped = reading(&[(
            "code",
            r#"{"text":"\u00e5","coding":[{"code":"8310-5","system":"http:\/\/loinc.org"}]}"#,
        )]);
        assert_eq!(reading(&[]), escaped);
    }

    #[test]
    fn each_part_of_a_reading_makes_another_one() {
        let plain = reading(&[]);
        for change in [
            (
                "subject",
                r#"{"identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"13717404089"}}"#,
            ),
            (
                "subject",
                r#"{"reference":"Patient/0f8fad5b-d9cb-469f-a165-70867728950e"}"#,
            ),
            ("device", r#"{"identifier":{"system":"urn:d","value":"8"}}"#),
            ("effectiveDateTime", r#""2026-03-01T08:00:01+01:00""#),
            ("effectiveDateTime", r#""2026-03-01T08:00:00.0+01:00""#),
            (
                "code",
                r#"{"coding":[{"system":"http://loinc.org","code":"8867-4"}]}"#,
            ),
            (
                "valueQuantity",
                r#"{"value":37.00,"system":"http://unitsofmeasure.org","code":"Cel"}"#,
            ),
            (
                "valueQuantity",
                r#"{"value":37.1,"system":"http://unitsofmeasure.org","code":"Cel"}"#,
            ),
            ("component", r#"[{"code":{"text":"x"},"valueInteger":1}]"#),
            IDENTIFIER,
        ] {
            let other = reading(&[change]);
            assert_ne!(plain.key, other.key, "{change:?}");
            assert_ne!(plain.digest, other.digest, "{change:?}");
        }
    }

    #[test]
    fn the_same_moment_in_another_zone_is_the_same_reading_with_other_text() {
        let other = reading(&[("effectiveDateTime", r#""2026-03-01T07:00:00Z""#)]);
        assert_eq!(reading(&[]).key, other.key);
        assert_ne!(reading(&[]).digest, other.digest);
    }

    #[test]
    fn a_business_identifier_with_the_patient_is_enough() {
        let first = reading(&[IDENTIFIER]);
        let changed = reading(&[
            IDENTIFIER,
            ("valueQuantity", r#"{"value":38.0}"#),
            ("status", r#""corrected""#),
        ]);
        assert_eq!(first.key, changed.key);
        assert_ne!(first.digest, changed.digest);
        assert!(!first.correction && changed.correction);
        let other_patient = reading(&[
            IDENTIFIER,
            (
                "subject",
                r#"{"identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"13717404089"}}"#,
            ),
        ]);
        assert_ne!(first.key, other_patient.key);
    }

    #[test]
    fn corrections_by_status() {
        for (status, correction) in [
            ("final", false),
            ("preliminary", false),
            ("corrected", true),
            ("amended", true),
            ("entered-in-error", true),
        ] {
            assert_eq!(
                reading(&[("status", &format!("\"{status}\""))]).correction,
                correction,
                "{status}"
            );
        }
    }

    #[test]
    fn without_a_value_only_the_same_content_is_the_same() {
        let plan = |title: &str| {
            identity(&format!(
                r#"{{"resourceType":"CarePlan","title":"{title}"}}"#
            ))
        };
        assert_eq!(plan("a").key, plan("a").key);
        assert_ne!(plan("a").key, plan("b").key);
    }

    #[test]
    fn a_patient_is_its_number() {
        let patient = |extra: &str| {
            identity(&format!(
                r#"{{"resourceType":"Patient","identifier":[{extra}{{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}}]}}"#
            ))
        };
        assert_eq!(
            patient("").key,
            patient(r#"{"system":"HNR","value":"1"},"#).key
        );
    }

    #[test]
    fn nothing_shows_in_debug() {
        assert!(!format!("{:?}", reading(&[])).contains("1483"));
    }

    proptest! {
        #[test]
        fn member_order_and_whitespace_do_not_count(
            members in Just(READING.to_vec()).prop_shuffle(),
            space in "[ \n\r\t]{0,3}",
        ) {
            let text: Vec<_> = members.iter()
                .map(|(name, value)| format!("{space}\"{name}\"{space}:{}", value.replace(',', &format!("{space},{space}"))))
                .collect();
            prop_assert_eq!(reading(&[]), identity(&format!("{{{}{space}}}", text.join(","))));
        }

        #[test]
        fn a_changed_digit_text_is_another_reading(a in "(0|[1-9][0-9]{0,2})(\\.[0-9]{1,4})?", b in "(0|[1-9][0-9]{0,2})(\\.[0-9]{1,4})?") {
            let with = |n: &str| reading(&[("valueQuantity", &format!("{{\"value\":{n}}}"))]);
            prop_assert_eq!(with(&a) == with(&b), a == b);
            prop_assert_eq!(with(&a).key == with(&b).key, a == b);
            prop_assert_eq!(with(&a).digest == with(&b).digest, a == b);
        }
    }
}
