//! JSON and the check of a resource: compared with serde_json, and every finding must say where.

use crate::spell::RANDOM;
use fhir::check::{Rules, UnknownCodes, check};
use fhir::ids::LogicalId;
use fhir::json::{Json, Kind, Limits, Node, ServerMeta};
use fhir::outcome::{IssueCode, OperationOutcome};
use fhir::resource::ResourceType;
use fhir::time::Instant;
use serde_json::Value;

/// The language of a resource. One word is no UTF-8.
const WORDS: &[&[u8]] = &[
    br#""resourceType":"Observation""#,
    br#""resourceType":"Patient""#,
    br#""resourceType":"CarePlan""#,
    br#""resourceType":"QuestionnaireResponse""#,
    br#""status":"final""#,
    br#""code":{"coding":["#,
    br#"{"system":"http://loinc.org","code":"8867-4"}"#,
    br#""valueQuantity":{"value":86,"#,
    br#""unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}"#,
    br#""subject":"#,
    br#""identifier":"#,
    br#"{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}"#,
    br#""effectiveDateTime":"#,
    br#""2026-03-02T08:28:00+01:00""#,
    br#""meta":{"#,
    br#""profile":["#,
    br#""extension":[{"url":"x","valueString":"y"}]"#,
    br#""contained":[{"resourceType":"Goal","id":"a"}]"#,
    br#""_status":{"id":"a"}"#,
    br#""text":{"status":"generated","div":"<div>"#,
    br#""reference":"Patient/1""#,
    br#""reference":"#,
    br##""#a""##,
    br#""component":[{"#,
    br#""dataAbsentReason":"#,
    br#""effectivePeriod":{"start":"#,
    br#""birthDate":"1952-03-14""#,
    br#""name":[{"family":"#,
    br#""14835210260""#,
    br#""14835210260":"#,
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"null",
    b"true",
    b"1e400",
    b"-0.50",
    b"\\u00e6",
    b"\\ud83d\\ude00",
    b"\\ud800",
    "æ".as_bytes(),
    b"\xff",
    b"\xef\xbb\xbf",
    br#""item":[{"linkId":"1","answer":[{"valueDecimal":1.50}]}]"#,
    br#""value":"#,
    br#""url":"http://x""#,
    br#""hasMember":["#,
    br#""id":"0f8fad5b-d9cb-469f-a165-70867728950e""#,
];

fn spell(input: &[u8]) -> Vec<u8> {
    input
        .iter()
        .flat_map(|byte| {
            if byte.is_ascii() {
                vec![*byte]
            } else {
                WORDS[usize::from(byte - 128) % WORDS.len()].to_vec()
            }
        })
        .collect()
}

#[test]
fn resource() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let bytes = spell(input);
            let theirs = serde_json::from_slice::<Value>(&bytes);
            match Json::parse(bytes.clone(), Limits::RESOURCE) {
                Err(fault) => {
                    let ours_alone = ["twice", "nested deeper", "longer than 64"];
                    assert!(
                        theirs.is_err() || ours_alone.iter().any(|why| fault.message.contains(why)),
                        "refused what is JSON: {}",
                        fault.message
                    );
                    assert!(fault.at <= bytes.len());
                    tells_nothing(&fault.to_string());
                    tells_nothing(&fault.expression);
                }
                Ok(json) => {
                    assert_eq!(json.bytes(), &bytes, "the bytes stay what they were");
                    match theirs {
                        Ok(theirs) => same(json.root(), &theirs),
                        // A double holds less than a decimal's text.
                        Err(error) => assert!(error.to_string().contains("number out of range")),
                    }
                    places(&json, json.root(), 0);
                    rules(&json);
                }
            }
        });
}

/// The same values in the same order.
fn same(ours: Node<'_>, theirs: &Value) {
    match theirs {
        Value::Null => assert_eq!(ours.kind(), Kind::Null),
        Value::Bool(value) => assert_eq!(ours.bool(), Some(*value)),
        Value::Number(value) => {
            let digits: f64 = ours.number().unwrap().parse().unwrap();
            // serde_json rounds in its last place.
            let theirs = value.as_f64().unwrap();
            assert!((digits - theirs).abs() <= theirs.abs() * 1e-12);
        }
        Value::String(text) => assert_eq!(ours.str().as_deref(), Some(text.as_str())),
        Value::Array(items) => {
            assert_eq!(ours.items().count(), items.len());
            ours.items().zip(items).for_each(|(a, b)| same(a, b));
        }
        Value::Object(members) => {
            assert_eq!(ours.members().count(), members.len());
            for ((name, value), (their_name, their_value)) in ours.members().zip(members) {
                assert_eq!(name, their_name.as_str());
                assert_eq!(ours.get(&name), Some(value));
                same(value, their_value);
            }
        }
    }
}

/// Every value can be read alone, and can say where it is.
fn places(json: &Json, node: Node<'_>, depth: usize) {
    assert!(!node.expression().is_empty());
    let alone = Json::parse(json.slice(node), Limits::RESOURCE).unwrap();
    assert_eq!(alone.root().raw(), node.raw());
    // Quadratic in the size; the upper levels tell enough.
    if depth < 3 {
        for inner in node
            .items()
            .chain(node.members().map(|(_, value)| value))
            .take(8)
        {
            places(json, inner, depth + 1);
        }
    }
}

fn rules(json: &Json) {
    let rules = Rules {
        unknown_codes: UnknownCodes::Accept,
        now: Some(Instant::from_seconds(1_780_000_000)),
        ..Rules::default()
    };
    let checked = match check(json, json.root(), &rules) {
        Ok(checked) => checked,
        Err(issues) => {
            assert!(!issues.is_empty());
            // Where there is no resource, there is no element to name.
            let a_resource = ResourceType::of(json.root()).is_ok();
            for issue in issues.iter().filter(|one| one.code != IssueCode::TooCostly) {
                let named = issue.expression.iter().any(|at| !at.is_empty());
                assert!(named || !a_resource, "{}", issue.diagnostics);
            }
            let told = OperationOutcome::new(issues).to_json();
            Json::parse(told.clone(), Limits::BUNDLE).unwrap();
            return tells_nothing(&String::from_utf8(told).unwrap());
        }
    };
    assert_eq!(checked.body().as_ref(), json.root().raw().as_bytes());
    tells_nothing(&format!("{checked:?}"));
    let id = LogicalId::parse("7f0c2f7e-6f43-4d0e-9a51-0d2b6b1c8a11")
        .unwrap()
        .to_string();
    let meta = ServerMeta {
        version: 7,
        last_updated: Instant::from_seconds(1_780_000_000),
        ..ServerMeta::default()
    };
    let stored = Json::parse(checked.with_server_fields(&id, &meta), Limits::BUNDLE).unwrap();
    assert_eq!(stored.root().text("id").unwrap(), id);
    let stamped = stored.root().get("meta").unwrap();
    assert_eq!(stamped.text("versionId").unwrap(), "7");
    for (name, value) in json
        .root()
        .members()
        .filter(|(name, _)| name != "id" && name != "meta")
    {
        assert_eq!(
            stored.root().get(&name).unwrap().raw(),
            value.raw(),
            "only id and meta are the server's"
        );
    }
    check(&stored, stored.root(), &rules).expect("what is stored passes the same rules");
}

/// A number that names a person stands in no error.
fn tells_nothing(words: &str) {
    assert!(
        !words.contains("14835210260"),
        "a person's number in an error: {words}"
    );
}
