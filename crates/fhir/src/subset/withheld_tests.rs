//! What is left where elements are withheld: letter by letter, and that nothing shows where one has been.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::check;

const NOTES: &[Withheld] = &[
    Withheld::Datatype("Annotation"),
    Withheld::Element(ANY, "text"),
    Withheld::Element("Patient", "contact"),
    Withheld::Element("Patient", "birthDate"),
];

const META: &str = r#""meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]}"#;

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes().to_vec(), Limits::BUNDLE).unwrap()
}

fn less(text: &str) -> String {
    let json = json(text);
    let kind = ResourceType::of(json.root()).unwrap();
    String::from_utf8(without(json.root(), kind, NOTES)).unwrap()
}

/// What is sent, and what is left of it but for the mark, which stands last.
const CASES: &[(&str, &str)] = &[
    // The datatype wherever it stands, and the object that held nothing else.
    (
        r#"{"resourceType":"CarePlan","status":"active","note":[{"text":"n"}],"intent":"plan","subject":{"display":"x"},"activity":[{"id":"a","progress":[{"text":"p"}]},{"progress":[{"text":"p"}],"detail":{"status":"completed"}}]}"#,
        r#"{"resourceType":"CarePlan","status":"active","intent":"plan","subject":{"display":"x"},"activity":[{"detail":{"status":"completed"}}]"#,
    ),
    (
        r#"{"resourceType":"CarePlan","activity":[{"progress":[{"text":"p"}]}],"status":"active"}"#,
        r#"{"resourceType":"CarePlan","status":"active""#,
    ),
    // An extension goes with its value, and what is made of such extensions alone.
    (
        r#"{"resourceType":"Observation","extension":[{"url":"u","valueAnnotation":{"text":"n"}},{"url":"v","valueDecimal":1.50}],"status":"final","code":{"extension":[{"url":"o","extension":[{"url":"i","valueAnnotation":{"text":"n"}}]}],"text":"c"}}"#,
        r#"{"resourceType":"Observation","extension":[{"url":"v","valueDecimal":1.50}],"status":"final","code":{"text":"c"}"#,
    ),
    // Beside primitives; null keeps the place of what is left in a list.
    (
        r#"{"resourceType":"Patient","birthDate":"1950","_birthDate":{"extension":[{"url":"u","valueString":"x"}]},"name":[{"given":["A","B"],"_given":[{"extension":[{"url":"u","valueAnnotation":{"text":"n"}}]},{"extension":[{"url":"v","valueCode":"y"}]}],"family":"F","_family":{"extension":[{"url":"u","valueAnnotation":{"text":"n"}}]}}],"contact":[{"name":{"text":"x"}}]}"#,
        r#"{"resourceType":"Patient","name":[{"given":["A","B"],"_given":[null,{"extension":[{"url":"v","valueCode":"y"}]}],"family":"F"}]"#,
    ),
    // Contained resources lose what their own type loses, and go when nothing that stays refers to them.
    (
        r##"{"resourceType":"Observation","contained":[{"resourceType":"Practitioner","id":"p","name":[{"text":"P"}]},{"resourceType":"Patient","id":"s","text":{"status":"empty"},"contact":[{"name":{"text":"x"}}],"gender":"female"}],"status":"final","subject":{"reference":"#s"},"note":[{"authorReference":{"reference":"#p"},"text":"n"}]}"##,
        r##"{"resourceType":"Observation","contained":[{"resourceType":"Patient","id":"s","gender":"female"}],"status":"final","subject":{"reference":"#s"}"##,
    ),
    (
        r##"{"resourceType":"CarePlan","status":"active","contained":[{"resourceType":"Goal","id":"g","note":[{"text":"n"}],"subject":{"reference":"#"}}]}"##,
        r##"{"resourceType":"CarePlan","status":"active","contained":[{"resourceType":"Goal","id":"g","subject":{"reference":"#"}}]"##,
    ),
    // What stands where a text was expected is not looked into, and does not come.
    (
        r#"{"resourceType":"Observation","issued":{"note":[{"text":"n"}]},"language":["x",["y"]],"status":"final"}"#,
        r#"{"resourceType":"Observation","language":["x"],"status":"final""#,
    ),
    // A name in other letters is the same name.
    (
        r#"{"resourceType":"Observation","n\u006fte":[{"text":"n"}],"status":"final"}"#,
        r#"{"resourceType":"Observation","status":"final""#,
    ),
    // The narrative is a resource's own; a document's sections are what it says.
    (
        r#"{"resourceType":"Composition","text":{"status":"generated"},"section":[{"text":{"status":"generated","div":"<div/>"}}]}"#,
        r#"{"resourceType":"Composition","section":[{"text":{"status":"generated","div":"<div/>"}}]"#,
    ),
];

#[test]
fn what_is_left_letter_by_letter() {
    for (sent, left) in CASES {
        assert_eq!(less(sent), format!("{left},{META}}}"));
    }
}

#[test]
fn resources_inside_a_bundle_are_marked_each() {
    let bundle = format!(
        r#"{{"resourceType":"Bundle","type":"document","entry":[{{"fullUrl":"urn:uuid:1","resource":{}}}]}}"#,
        CASES[2].0
    );
    assert_eq!(
        less(&bundle),
        format!(
            r#"{{"resourceType":"Bundle","type":"document","entry":[{{"fullUrl":"urn:uuid:1","resource":{},{META}}}}}],{META}}}"#,
            CASES[2].1
        )
    );
}

#[test]
fn the_mark_joins_what_meta_says_and_stands_once() {
    let marked = less(
        r#"{"resourceType":"Observation","meta":{"versionId":"3","extension":[{"url":"u","valueAnnotation":{"text":"n"}}],"tag":[{"code":"x"}]},"status":"final"}"#,
    );
    let expected = META.replace(
        r#""meta":{"tag":["#,
        r#""meta":{"versionId":"3","tag":[{"code":"x"},"#,
    );
    assert_eq!(
        marked,
        format!(r#"{{"resourceType":"Observation",{expected},"status":"final"}}"#)
    );
    assert_eq!(less(&marked), marked);
    assert!(mark(json(&marked).root()).is_some());
    assert!(mark(json(CASES[0].0).root()).is_none());
}

#[test]
fn nothing_shows_where_something_has_been() {
    // The same resource in three layouts, with and without what is withheld.
    let with = r#"{ "resourceType" : "Observation" , "text":{"status":"generated"} ,"status":"final" ,
        "note":[ {"text":"n"} ], "code":{"text":"c"},"valueQuantity":{"value":37.10} }"#;
    let others = [
        r#"{ "resourceType" : "Observation" ,"status":"final" , "note":[], "code":{"text":"c"},"valueQuantity":{"value":37.10} }"#,
        r#"{ "resourceType" : "Observation" ,"status":"final" , "code":{"text":"c"},
        "valueQuantity":{"value":37.10}  }"#,
    ];
    for other in others {
        assert_eq!(less(with), less(other));
    }
}

#[test]
fn what_is_left_breaks_no_rule_that_was_kept() {
    let whole = json(
        r##"{"resourceType":"Observation","status":"final","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},
        "contained":[{"resourceType":"Practitioner","id":"p","name":[{"text":"P"}]}],"code":{"text":"c"},"valueQuantity":{"value":1,"unit":"x"},
        "note":[{"text":"n","authorReference":{"reference":"#p"},"extension":[{"url":"urn:x","valueAnnotation":{"text":"n"}}]}]}"##,
    );
    assert_eq!(check::by_tables(whole.root()), []);
    let left = without(whole.root(), ResourceType::OBSERVATION, NOTES);
    let left = Json::parse(left, Limits::RESOURCE).unwrap();
    assert_eq!(check::by_tables(left.root()), []);
}

#[test]
fn a_parameter_is_closed_when_a_path_leads_through_what_is_withheld() {
    let closed = |withheld: &[Withheld], kind: &str| -> Vec<&str> {
        let kind = ResourceType::parse(kind).unwrap();
        Definitions::get()
            .search_parameters(kind)
            .filter(|one| closes(withheld, kind, one))
            .map(|one| one.name)
            .collect()
    };
    assert_eq!(closed(&[], "Patient"), [""; 0]);
    assert_eq!(
        closed(&[Withheld::Element("Patient", "telecom")], "Patient"),
        ["email", "phone", "telecom"]
    );
    assert_eq!(
        closed(&[Withheld::Datatype("ContactPoint")], "Person"),
        ["email", "phone", "telecom"]
    );
    assert_eq!(
        closed(&[Withheld::Element(ANY, "identifier")], "Goal"),
        ["identifier"]
    );
    // The parts of a composite, of the base and of the resource.
    assert_eq!(
        closed(
            &[Withheld::Element("Observation", "component")],
            "Observation"
        ),
        [
            "combo-code",
            "combo-code-value-concept",
            "combo-code-value-quantity",
            "combo-data-absent-reason",
            "combo-value-concept",
            "combo-value-quantity",
            "component-code",
            "component-code-value-concept",
            "component-code-value-quantity",
            "component-data-absent-reason",
            "component-value-concept",
            "component-value-quantity"
        ]
    );
    let value = closed(
        &[Withheld::Element("Observation", "value[x]")],
        "Observation",
    );
    assert!(value.contains(&"code-value-quantity") && value.contains(&"value-date"));
    assert!(!value.contains(&"component-value-quantity"));
    assert_eq!(closed(NOTES, "Observation"), [""; 0]);
}

#[test]
fn a_part_is_within_a_whole_that_says_all_of_it() {
    for (sent, _) in CASES {
        let (part, whole) = (json(&less(sent)), json(sent));
        assert!(within(part.root(), whole.root()), "{sent}");
        assert!(!within(whole.root(), part.root()), "a whole is no part");
        assert!(within(part.root(), part.root()));
    }
    let whole = json(
        r#"{"resourceType":"Observation","id":"1","status":"final","code":{"coding":[{"code":"a"},{"code":"b"}]},"valueQuantity":{"value":1.0}}"#,
    );
    for (part, expected) in [
        (
            r#""status":"final","id":"2","text":{"status":"empty"}"#,
            true,
        ),
        (r#""code":{"coding":[{"code":"b"}]}"#, true),
        (r#""code":{"coding":[{"code":"b"},{"code":"a"}]}"#, false),
        (r#""valueQuantity":{"value":1.0}"#, true),
        (r#""valueQuantity":{"value":1.00}"#, false),
        (r#""status":"amended""#, false),
        (r#""status":["final"]"#, false),
        (r#""device":{"display":"x"}"#, false),
    ] {
        let part = json(&format!(
            r#"{{"resourceType":"Observation",{part},{META}}}"#
        ));
        assert_eq!(
            within(part.root(), whole.root()),
            expected,
            "{}",
            part.root().raw()
        );
    }
}
