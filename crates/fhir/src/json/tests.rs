//! Tests of the strict parser, the tape and the splice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::index::Coding;
use crate::time::Instant;
use proptest::prelude::*;
use serde_json::Value;

fn parse(text: &str) -> Result<Json, Fault> {
    Json::parse(text.as_bytes().to_vec(), Limits::RESOURCE)
}

fn ok(text: &str) -> Json {
    parse(text).unwrap()
}

/// The tape's tree as serde_json would have built it.
fn rebuilt(node: Node<'_>) -> Value {
    match node.kind() {
        Kind::Object => Value::Object(
            node.members()
                .map(|(n, v)| (n.into_owned(), rebuilt(v)))
                .collect(),
        ),
        Kind::Array => Value::Array(node.items().map(rebuilt).collect()),
        Kind::String => Value::String(node.str().unwrap().into_owned()),
        Kind::Number => serde_json::from_str(node.raw()).unwrap(),
        Kind::Bool => Value::Bool(node.bool().unwrap()),
        Kind::Null => Value::Null,
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no such number", |f| f.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Every number text that JSON allows, up to a sane length.
const NUMBER: &str = "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";

proptest! {
    #[test]
    fn reads_what_serde_json_writes(value in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let json = parse(&text).unwrap();
        prop_assert_eq!(json.root().raw(), &text);
        let slice = json.slice(json.root());
        prop_assert_eq!(slice.as_ref(), text.as_bytes());
        // Read back by serde_json too: its fast float reading may be one unit off what it wrote.
        prop_assert_eq!(rebuilt(json.root()), serde_json::from_str::<Value>(&text).unwrap());
    }

    #[test]
    fn agrees_with_serde_json_on_what_is_json(text in "[\\[\\]{}:,\"\\\\ u0-9a-fteln.+-]{0,24}") {
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        match parse(&text) {
            Ok(_) => prop_assert!(theirs, "{}", text),
            // serde_json skips over duplicates and surrogates where it ignores values.
            Err(fault) => prop_assert!(!theirs || fault.message.contains("twice") || fault.message.contains("surrogate"), "{} {}", text, fault),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Json::parse(bytes, Limits::RESOURCE);
    }

    #[test]
    fn cut_and_flipped_bodies_never_panic_and_name_a_place(at in 0_usize..200, byte in any::<u8>()) {
        let text = r#"{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"valueQuantity":{"value":72.0,"unit":"/min"},"component":[{"a":[[1,2],{"b":null}]}]}"#;
        let mut bytes = text.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Err(fault) = Json::parse(bytes, Limits::RESOURCE) {
            prop_assert!(fault.at <= text.len());
        }
        let fault = Json::parse(text.as_bytes()[..at].to_vec(), Limits::RESOURCE).unwrap_err();
prop_assert!(fault.at <= at);
    }

    #[test]
    fn numbers_keep_their_digits(number in NUMBER) {
        let text = format!("{{\"value\":{number}}}");
        let json = parse(&text).unwrap();
        prop_assert_eq!(json.root().get("value").unwrap().number(), Some(number.as_str()));
        let out = with_server_fields(json.root(), "1", &ServerMeta::default());
        let out = String::from_utf8(out).unwrap();
        let kept = format!("\"value\":{number}}}");
        prop_assert!(out.ends_with(&kept));
    }

    #[test]
    fn strings_are_written_so_that_they_read_back(text in any::<String>()) {
        let json = parse(&quote(&text)).unwrap();
        prop_assert_eq!(json.root().str().unwrap(), text);
    }

    #[test]
    fn a_duplicate_is_found_among_few_and_many(count in 2_usize..60, first in 0_usize..60, second in 0_usize..60, escaped in any::<bool>()) {
        let (first, second) = (first % count, second % count);
        prop_assume!(first != second);
        let members: Vec<_> = (0..count).map(|i| {
            let twin = i == first || i == second;
            // The same name, once with an escape.
            let name = if twin { if escaped && i == second { "\\u0074win".to_owned() } else { "twin".to_owned() } } else { format!("m{i}") };
            format!("\"{name}\":{i}")
        }).collect();
        let fault = parse(&format!("{{\"a\":[{{{}}}]}}", members.join(","))).unwrap_err();
        prop_assert!(fault.message.contains("'twin' is there twice"));
        let single = members.iter().enumerate().filter(|(i, _)| *i != second).map(|(_, m)| m.clone()).collect::<Vec<_>>();
        let text = format!("{{{}}}", single.join(","));
        prop_assert!(parse(&text).is_ok());
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{'a':1}",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "Infinity",
        "tru",
        "nul",
        "truex",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "\"\n\"",
        "1 2",
        "{} {}",
        "[1}",
        "{\"a\":1]",
        "/* */1",
        "\u{feff}1",
        "1\u{a0}",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800x\"",
        "\"\\uDBFF\\u0041\"",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    assert!(Json::parse(b"\"\xff\"".to_vec(), Limits::RESOURCE).is_err());
    assert!(Json::parse(b"\"\xed\xa0\x80\"".to_vec(), Limits::RESOURCE).is_err());
    assert!(Json::parse(b"\"\xc0\xaf\"".to_vec(), Limits::RESOURCE).is_err());
}

#[test]
fn escapes_are_resolved_and_raw_keeps_them() {
    let json = ok(r#""\u00e5\ud83d\ude00\n\/\"\\\b\f\r\t""#);
    assert_eq!(json.root().str().unwrap(), "å😀\n/\"\\\u{8}\u{c}\r\t");
    assert!(json.root().raw().contains("\\u00e5"));
    assert!(matches!(
        ok(r#""plain""#).root().str(),
        Some(Cow::Borrowed("plain"))
    ));
}

#[test]
fn limits_hold_on_both_sides_of_the_border() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(parse(&deep(64)).is_ok());
    let fault = parse(&deep(65)).unwrap_err();
    assert_eq!(fault.code, crate::outcome::IssueCode::TooCostly);
    let limits = Limits {
        bytes: 10,
        depth: 1,
    };
    assert!(Json::parse("\"12345678\"".as_bytes().to_vec(), limits).is_ok());
    let fault = Json::parse("\"123456789\"".as_bytes().to_vec(), limits).unwrap_err();
    assert_eq!(fault.code, crate::outcome::IssueCode::TooLong);
    assert!(parse(&"1".repeat(64)).is_ok());
    assert!(parse(&"1".repeat(65)).is_err());
}

#[test]
fn a_fault_names_the_element() {
    for (text, expression) in [
        (
            r#"{"resourceType":"Observation","code":{"coding":[{"code":"a"},{"code":"b","code":"c"}]}}"#,
            "Observation.code.coding[1].code",
        ),
        (
            r#"{"resourceType":"Observation","status":x}"#,
            "Observation.status",
        ),
        (
            r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation","code":{,}}}]}"#,
            "Bundle.entry[0].resource.code",
        ),
        (
            r#"{"resourceType":"Bundle","entry":[{},{"fullUrl":"\ud800"}]}"#,
            "Bundle.entry[1].fullUrl",
        ),
        (r#"{"a":1,"a":2}"#, "$.a"),
        (r#"[1,2"#, "$[1]"),
        ("", ""),
    ] {
        assert_eq!(parse(text).unwrap_err().expression, expression, "{text}");
    }
}

#[test]
fn the_tape_is_walked_by_name_path_and_item() {
    let json = ok(
        r#"{"resourceType":"Observation","a":{"b":[{"c":"x"},{"c":"y"},{"d":1}]},"n":-1.50e2,"t":true}"#,
    );
    let root = json.root();
    assert_eq!(root.path(&["a", "b"]).unwrap().items().count(), 3);
    assert_eq!(
        root.all(&["a", "b", "c"])
            .iter()
            .map(|n| n.str().unwrap().into_owned())
            .collect::<Vec<_>>(),
        ["x", "y"]
    );
    assert_eq!(root.get("n").unwrap().number(), Some("-1.50e2"));
    assert_eq!(root.get("t").unwrap().bool(), Some(true));
    assert_eq!(root.get("n").unwrap().str(), None);
    assert_eq!(root.get("t").unwrap().number(), None);
    assert!(root.get("missing").is_none());
    assert!(root.get("n").unwrap().get("x").is_none());
    assert_eq!(
        root.get("n").unwrap().items().count() + root.get("t").unwrap().members().count(),
        0
    );
    let inner = root.all(&["a", "b"])[2].get("d").unwrap();
    assert_eq!(inner.expression(), "Observation.a.b[2].d");
    assert_eq!(root.expression(), "Observation");
    assert_eq!(inner.expression_from(root.get("a").unwrap()), "$.b[2].d");
    assert_eq!(json.slice(inner).as_ref(), b"1");
}

#[test]
fn nothing_of_the_content_shows_in_debug() {
    let json = ok(r#"{"name":"Ragnhild"}"#);
    assert!(!format!("{json:?} {:?}", json.root()).contains("Ragnhild"));
}

fn meta() -> ServerMeta {
    ServerMeta {
        version: 2,
        last_updated: Instant(1_000_000),
        tags: vec![Coding::new("urn:t", "310001007")],
        security: Vec::new(),
    }
}

const OWN: &str = r#""versionId":"2","lastUpdated":"1970-01-01T00:00:01Z""#;
const TAG: &str = r#"{"system":"urn:t","code":"310001007"}"#;

#[test]
fn server_fields_are_spliced_and_all_else_stays() {
    for (before, after) in [
        (
            r#"{ "resourceType" : "Observation" , "valueQuantity":{"value":37.00} }"#.to_owned(),
            format!(r#"{{ "resourceType" : "Observation","id":"ID","meta":{{{OWN},"tag":[{TAG}]}} , "valueQuantity":{{"value":37.00}} }}"#),
        ),
        (
            r#"{"id":"theirs","meta":{"versionId":"9","profile":["p"],"lastUpdated":"x"},"resourceType":"Observation"}"#.to_owned(),
            format!(r#"{{"id":"ID","meta":{{{OWN},"tag":[{TAG}],"profile":["p"]}},"resourceType":"Observation"}}"#),
        ),
        (
            r#"{"resourceType":"Observation","id":"a","meta":{"tag":[{"code":"c"} ] , "source":"s", "_versionId":{}}}"#.to_owned(),
            format!(r#"{{"resourceType":"Observation","id":"ID","meta":{{{OWN},"tag":[{{"code":"c"}} ,{TAG}] , "source":"s"}}}}"#),
        ),
        (
            r#"{"resourceType":"Observation","meta":{},"x":1}"#.to_owned(),
            format!(r#"{{"resourceType":"Observation","id":"ID","meta":{{{OWN},"tag":[{TAG}]}},"x":1}}"#),
        ),
        (
            r#"{"resourceType":"Observation","meta":{"tag":[]}}"#.to_owned(),
            format!(r#"{{"resourceType":"Observation","id":"ID","meta":{{{OWN},"tag":[{TAG}]}}}}"#),
        ),
        (
            r#"{"resourceType":"Observation","meta":{ "lastUpdated":"x" , "versionId":"1" }}"#.to_owned(),
            format!(r#"{{"resourceType":"Observation","id":"ID","meta":{{{OWN},"tag":[{TAG}] }}}}"#),
        ),
        (
            r#"{"resourceType":"Observation","meta":[1]}"#.to_owned(),
            format!(r#"{{"resourceType":"Observation","id":"ID","meta":{{{OWN},"tag":[{TAG}]}}}}"#),
        ),
        (r#"{}"#.to_owned(), format!(r#"{{"id":"ID","meta":{{{OWN},"tag":[{TAG}]}}}}"#)),
        (r#"{"a":1}"#.to_owned(), format!(r#"{{"id":"ID","meta":{{{OWN},"tag":[{TAG}]}},"a":1}}"#)),
    ] {
        let json = ok(&before);
        let out = String::from_utf8(with_server_fields(json.root(), "ID", &meta())).unwrap();
        assert_eq!(out, after);
        // Doing it again changes nothing but adds the tag; without tags it changes nothing.
        let json = ok(&out);
        let plain = ServerMeta { tags: Vec::new(), ..meta() };
        assert_eq!(String::from_utf8(with_server_fields(json.root(), "ID", &plain)).unwrap(), out);
    }
}

#[test]
fn server_fields_in_an_entry_of_a_bundle() {
    let json = ok(
        r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation","value":1.0}}]}"#,
    );
    let resource = json.root().all(&["entry", "resource"])[0];
    let seams = Seams::of(resource);
    let out = seams.apply(
        &json.slice(resource),
        "ID",
        &ServerMeta {
            version: 1,
            ..ServerMeta::default()
        },
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"resourceType":"Observation","id":"ID","meta":{"versionId":"1","lastUpdated":"1970-01-01T00:00:00Z"},"value":1.0}"#
    );
}

proptest! {
    #[test]
    fn spliced_output_is_sound_json_with_one_id_and_meta(members in prop::sample::subsequence(vec![
        r#""versionId":"7""#, r#""lastUpdated" : "x""#, r#""profile":["p"]"#, r#""tag":[{"code":"a"}]"#, r#""_lastUpdated":{}"#,
        r#""security":[]"#, r#""source":"s""#, r#""extension":[{"url":"u"}]"#], 0..8).prop_shuffle(), with_id in any::<bool>(), space in "[ \n]{0,2}") {
        let id = if with_id { "\"id\":\"x\"," } else { "" };
        let text = format!("{{\"resourceType\":\"Observation\",{id}\"meta\":{{{space}{}{space}}},\"n\":1.10}}", members.join(&format!("{space},{space}")));
        let before = parse(&text).unwrap();
        let out = with_server_fields(before.root(), "ID", &meta());
        let after = Json::parse(out, Limits::RESOURCE).unwrap();
        let root = after.root();
        prop_assert_eq!(root.text("id").unwrap(), "ID");
        prop_assert_eq!(root.path(&["meta", "versionId"]).unwrap().str().unwrap(), "2");
        prop_assert_eq!(root.get("n").unwrap().raw(), "1.10");
        let tags = root.all(&["meta", "tag"]);
        prop_assert_eq!(tags.last().unwrap().raw(), TAG);
        for name in ["profile", "source", "extension", "security"] {
            let raw = |json: &Json| json.root().path(&["meta", name]).map(|n| n.raw().to_owned());
            prop_assert_eq!(raw(&before), raw(&after));
        }
    }
}
