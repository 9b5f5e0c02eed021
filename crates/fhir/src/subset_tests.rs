//! What is left of a resource, letter by letter, and what holds of every part of any resource.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::check;
use crate::json::{Json, Limits};
use proptest::prelude::*;

const TAG: &str =
    r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#;

const OBSERVATION: &str = r##"{"resourceType":"Observation","id":"o1","meta":{"versionId":"3","lastUpdated":"2026-11-20T08:00:00Z"},
"implicitRules":"urn:rules","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">93 %</div>"},
"contained":[{"resourceType":"Device","id":"d","deviceName":[{"name":"cuff","type":"other"}],"owner":{"reference":"#org"}},
{"resourceType":"Organization","id":"org","name":"x"},{"resourceType":"Location","id":"l","name":"y"}],
"extension":[{"url":"urn:e","valueDecimal":1.50}],"identifier":[{"extension":[{"url":"urn:e","valueString":"x"}],"system":"urn:i","value":"7"}],
"status":"final","category":[{"coding":[{"system":"urn:c","code":"a"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}],"text":"BP"},
"subject":{"identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}},"effectiveDateTime":"2026-11-20T08:00:00+01:00",
"performer":[{"extension":[{"url":"urn:absent","valueCode":"unknown"}]},{"reference":"#l"}],
"valueQuantity":{"value":93.00,"unit":"%","system":"http://unitsofmeasure.org","code":"%"},
"interpretation":[{"text":"low"}],"note":[{"text":"n"}],"device":{"reference":"#d"},
"component":[{"code":{"text":"s"},"valueQuantity":{"value":1.20e2},"interpretation":[{"text":"high"}]},{"code":{"text":"d"},"dataAbsentReason":{"text":"x"}}]}"##;

const PATIENT: &str = r#"{"resourceType":"Patient","meta":{"tag":[{"system":"urn:t","code":"own"}]},"identifier":[{"value":"1"}],
"name":[{"given":["A",null],"_given":[null,{"extension":[{"url":"urn:absent","valueCode":"masked"}]}]}],
"_birthDate":{"extension":[{"url":"urn:absent","valueCode":"unknown"}]},"deceasedBoolean":false,"maritalStatus":{"text":"x"},
"contact":[{"name":{"family":"B"}}],"link":[{"other":{"reference":"Patient/1"},"type":"seealso"}]}"#;

const MEDICATION: &str = r##"{"resourceType":"MedicationStatement","contained":[{"resourceType":"Medication","id":"m","code":{"text":"x"}}],
"status":"active","medicationReference":{"reference":"#m"},"subject":{"display":"x"},"dosage":[{"text":"1","doseAndRate":[{"doseQuantity":{"value":0.50}}]}]}"##;

const PLAN: &str = r#"{"resourceType":"CarePlan","status":"active","intent":"plan","subject":{"reference":"Patient/1"},"meta":{},
"activity":[{"detail":{"status":"completed","doNotPerform":true}}],"goal":[{"reference":"Goal/1"}],"period":{"start":"2026"}}"#;

const ALL: [&str; 4] = [OBSERVATION, PATIENT, MEDICATION, PLAN];

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes().to_vec(), Limits::RESOURCE).unwrap()
}

fn part(text: &str, subset: &Subset) -> String {
    let json = json(text);
    let kind = ResourceType::of(json.root()).unwrap();
    String::from_utf8(reduce(json.root(), kind, subset)).unwrap()
}

fn only(kind: &str, names: &str) -> Subset {
    Subset::Elements(elements(ResourceType::parse(kind).unwrap(), names).unwrap())
}

#[test]
fn a_summary_reaches_into_datatypes_and_keeps_what_it_refers_to() {
    assert_eq!(
        part(OBSERVATION, &Subset::Summary).replace('\n', ""),
        r##"{"resourceType":"Observation","id":"o1","meta":{"versionId":"3","lastUpdated":"2026-11-20T08:00:00Z","tag":[TAG]},"implicitRules":"urn:rules","contained":[{"resourceType":"Location","id":"l","name":"y"}],"identifier":[{"system":"urn:i","value":"7"}],"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}],"text":"BP"},"subject":{"identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}},"effectiveDateTime":"2026-11-20T08:00:00+01:00","performer":[{"extension":[{"url":"urn:absent","valueCode":"unknown"}]},{"reference":"#l"}],"valueQuantity":{"value":93.00,"unit":"%","system":"http://unitsofmeasure.org","code":"%"},"component":[{"code":{"text":"s"},"valueQuantity":{"value":1.20e2}},{"code":{"text":"d"}}]}"##
            .replace("TAG", TAG)
    );
    assert_eq!(
        part(PATIENT, &Subset::Summary).replace('\n', ""),
        r#"{"resourceType":"Patient","meta":{"tag":[{"system":"urn:t","code":"own"},TAG]},"identifier":[{"value":"1"}],"name":[{"given":["A",null],"_given":[null,{"extension":[{"url":"urn:absent","valueCode":"masked"}]}]}],"_birthDate":{"extension":[{"url":"urn:absent","valueCode":"unknown"}]},"deceasedBoolean":false,"link":[{"other":{"reference":"Patient/1"},"type":"seealso"}]}"#
            .replace("TAG", TAG)
    );
}

#[test]
fn the_narrative_alone_and_everything_else() {
    let text = part(OBSERVATION, &Subset::Text);
    let names = |text: &str| {
        let json = json(text);
        let all: Vec<String> = json.root().members().map(|(n, _)| n.into_owned()).collect();
        all.join(" ")
    };
    assert_eq!(
        names(&text),
        "resourceType id meta implicitRules text status code"
    );
    let data = part(OBSERVATION, &Subset::Data);
    assert_eq!(
        format!("{} ", names(&data)),
        names(OBSERVATION).replace(" text ", " ") + " "
    );
    assert!(data.contains("Organization") && data.contains("1.50"));
    // A medicine statement without its medicine says nothing.
    assert_eq!(
        names(&part(MEDICATION, &Subset::Text)),
        "resourceType contained status medicationReference subject meta"
    );
}

#[test]
fn elements_that_are_asked_for_and_those_that_must_be_there() {
    assert_eq!(
        part(PLAN, &only("CarePlan", "period")).replace('\n', ""),
        r#"{"resourceType":"CarePlan","status":"active","intent":"plan","subject":{"reference":"Patient/1"},"meta":{"tag":[TAG]},"period":{"start":"2026"}}"#
            .replace("TAG", TAG)
    );
    let device = part(OBSERVATION, &only("Observation", "Observation.device"));
    assert!(device.contains("\"Device\"") && device.contains("\"Organization\""));
    assert!(!device.contains("Location") && !device.contains("93.00"));
    for names in ["value", "value[x]", "valueQuantity"] {
        let part = part(OBSERVATION, &only("Observation", names));
        assert!(
            part.contains("93.00") && !part.contains("effective"),
            "{names}"
        );
    }
    assert!(part(PATIENT, &only("Patient", "birthDate")).contains("_birthDate"));
    let observation = ResourceType::OBSERVATION;
    for bad in [
        "",
        "foo",
        "code,",
        "code.text",
        "Patient.name",
        " code",
        "_code",
    ] {
        assert!(elements(observation, bad).is_err(), "{bad}");
    }
    assert_eq!(
        elements(observation, "status,Observation.status,value").unwrap(),
        ["status", "value[x]"]
    );
}

#[test]
fn what_summary_means() {
    for code in ["true", "false", "text", "data", "count"] {
        assert!(Summary::parse(code).is_some(), "{code}");
    }
    assert_eq!(Summary::parse("TRUE"), None);
    assert_eq!(Subset::of(Summary::False, &[]), None);
    assert_eq!(Subset::of(Summary::Count, &[]), None);
    assert_eq!(Subset::of(Summary::Data, &[]), Some(Subset::Data));
    assert_eq!(
        Subset::of(Summary::False, &["status"]),
        Some(Subset::Elements(vec!["status"]))
    );
}

/// A resource with some members that it need not have taken out, in some layout.
fn resources() -> impl Strategy<Value = String> {
    (0..ALL.len(), any::<u32>(), 0..3_usize).prop_map(|(at, out, layout)| {
        let whole = json(ALL[at]);
        let kind = ResourceType::of(whole.root()).unwrap();
        let table = Definitions::get().elements(kind.as_str()).unwrap();
        let (comma, colon) = [(",", ":"), (", ", ": "), (" ,\n  ", "\t:\n")][layout];
        let kept = |n: usize, name: &str| {
            let must = name == "resourceType"
                || name == "contained"
                || table.find(name).is_some_and(|(_, e, _)| e.required);
            must || out & (1 << (n % 32)) == 0
        };
        let members: Vec<String> = whole
            .root()
            .members()
            .enumerate()
            .filter(|(n, (name, _))| kept(*n, name))
            .map(|(_, (name, value))| format!("{}{colon}{}", json::quote(&name), value.raw()))
            .collect();
        format!("{{{}}}", members.join(comma))
    })
}

/// One of the subsets, or any few elements.
fn subsets() -> impl Strategy<Value = (usize, Vec<prop::sample::Index>)> {
    (
        0..6_usize,
        prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    )
}

/// Every text and number in a value.
fn leaves<'a>(node: Node<'a>, found: &mut Vec<&'a str>) {
    match node.kind() {
        json::Kind::Object => node.members().for_each(|(_, inner)| leaves(inner, found)),
        json::Kind::Array => node.items().for_each(|item| leaves(item, found)),
        _ => found.push(node.raw()),
    }
}

proptest! {
    #[test]
    fn every_part_is_fhir_and_holds_nothing_that_was_not_there(text in resources(), (which, some) in subsets()) {
        let whole = json(&text);
        let kind = ResourceType::of(whole.root()).unwrap();
        let table = Definitions::get().elements(kind.as_str()).unwrap();
        let subset = match which {
            0 => Subset::Summary,
            1 => Subset::Text,
            2 => Subset::Data,
            _ => Subset::Elements(some.iter().map(|at| at.get(&table.elements).name).collect()),
        };
        // implicitRules alone is refused by the tables: Delt takes none. What was wrong before may be so after.
        let before = check::by_tables(whole.root());
        let bytes = reduce(whole.root(), kind, &subset);
        let part = Json::parse(bytes.clone(), Limits::RESOURCE).unwrap();
        let told = |issue: &crate::outcome::Issue| (issue.expression.clone(), issue.diagnostics.clone());
        let known: Vec<_> = before.iter().map(told).collect();
        for issue in check::by_tables(part.root()) {
            prop_assert!(known.contains(&told(&issue)), "{subset:?}: {:?}", told(&issue));
        }
        let mut last = 0;
        for (name, value) in part.root().members().filter(|(name, _)| name != "meta") {
            let (at, own) = whole.root().members().enumerate().find(|(_, (n, _))| *n == name).map(|(at, (_, v))| (at, v)).unwrap();
            prop_assert!(at >= last, "the order changed");
            last = at;
            if subset == Subset::Summary || name == "contained" {
                let mut all = Vec::new();
                leaves(value, &mut all);
                prop_assert!(all.iter().all(|leaf| own.raw().contains(leaf)));
            } else {
                prop_assert_eq!(value.raw(), own.raw());
            }
        }
        for (name, _) in whole.root().members() {
            if let Some((_, element, _)) = table.find(&name) {
                let must = element.required || element.modifier || name == "id" || name == "meta";
                prop_assert!(!must || part.root().get(&name).is_some(), "{name} is gone");
            }
        }
        let tags = part.root().all(&["meta", "tag", "code"]);
        prop_assert_eq!(tags.iter().filter(|code| code.str().as_deref() == Some(SUBSETTED)).count(), 1);
        prop_assert_eq!(reduce(part.root(), kind, &subset), bytes);
    }
}
