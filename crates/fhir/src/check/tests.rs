//! What the check refuses and quarantines, as tables; and what the published examples make of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::json::Limits;
use crate::outcome::Severity;
use serde_json::{Value, json};

pub(super) fn run(value: &Value, rules: &Rules) -> Result<Checked, Vec<Issue>> {
    let json = Json::parse(value.to_string(), Limits::RESOURCE).unwrap();
    check(&json, json.root(), rules)
}

pub(super) fn pulse() -> Value {
    json!({
        "resourceType": "Observation",
        "meta": {"profile": ["http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation-Heartrate"]},
        "identifier": [{"system": "https://home.example/readings", "value": "1"}],
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}, {"system": "http://snomed.info/sct", "code": "364075005"}]},
        "subject": {"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": "14835210260"}},
        "effectiveDateTime": "2026-03-02T08:28:00+01:00",
        "performer": [{"type": "Organization", "identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.101", "value": "310001007"}}],
        "valueQuantity": {"value": 86, "unit": "slag/min", "system": "http://unitsofmeasure.org", "code": "/min"}
    })
}

pub(super) fn pressure() -> Value {
    let part = |code: &str, value: u32| {
        json!({"code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "valueQuantity": {"value": value, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}})
    };
    let mut value = pulse();
    set(
        &mut value,
        "/meta/profile/0",
        json!(
            "http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation-Bloodpressure"
        ),
    );
    set(
        &mut value,
        "/code",
        json!({"coding": [{"system": "http://loinc.org", "code": "85354-9"}]}),
    );
    remove(&mut value, "/valueQuantity");
    set(
        &mut value,
        "/component",
        json!([part("8480-6", 134), part("8462-4", 78)]),
    );
    value
}

/// Those that refuse.
pub(super) fn errors(issues: &[Issue]) -> Vec<&Issue> {
    let refuses = |issue: &&Issue| issue.severity == Severity::Error;
    issues.iter().filter(refuses).collect()
}

/// Sets the member or item at a JSON pointer; `-` as the last step appends.
pub(super) fn set(value: &mut Value, pointer: &str, new: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match value.pointer_mut(parent).unwrap() {
        Value::Object(object) => {
            object.insert(last.to_owned(), new);
        }
        Value::Array(array) if last == "-" => array.push(new),
        Value::Array(array) => array[last.parse::<usize>().unwrap()] = new,
        _ => panic!("{pointer} leads nowhere"),
    }
}

pub(super) fn remove(value: &mut Value, pointer: &str) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    value
        .pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(last)
        .unwrap();
}

use Fate::{Quarantine as Q, Refuse as R};

/// Pointer, new JSON (`-`: taken away), expression and code of the one finding, fate.
type Case = (&'static str, &'static str, &'static str, &'static str, Fate);

#[rustfmt::skip]
const BROKEN_PULSE: &[Case] = &[
    // Elements and their form.
    ("/colour", "1", "Observation.colour", "structure", R),
    ("/14835210260", "1", "Observation", "structure", R),
    ("/value", "{\"value\":1}", "Observation.value", "structure", R),
    ("/_subject", "{\"id\":\"x\"}", "Observation._subject", "structure", R),
    ("/valueQuantity/amount", "1", "Observation.valueQuantity.amount", "structure", R),
    ("/fhir_comments", "[\"x\"]", "Observation.fhir_comments", "structure", R),
    ("/status", "-", "Observation.status", "required", R),
    ("/status", "\"done\"", "Observation.status", "code-invalid", R),
    ("/status", "5", "Observation.status", "structure", R),
    ("/status", "[\"final\"]", "Observation.status", "structure", R),
    ("/status", "null", "Observation.status", "structure", R),
    ("/status", "\"\"", "Observation.status", "value", R),
    ("/status", "\" final\"", "Observation.status", "value", R),
    ("/code", "-", "Observation.code", "required", R),
    ("/code", "{}", "Observation.code", "structure", R),
    ("/code", "[]", "Observation.code", "structure", R),
    ("/code", "\"8867-4\"", "Observation.code", "structure", R),
    ("/code/coding", "{}", "Observation.code.coding", "structure", R),
    ("/code", "{\"coding\":[{\"display\":\"Puls\"}]}", "Observation.code", "required", R),
    ("/code/coding/0/code", "8867", "Observation.code.coding[0].code", "structure", R),
    ("/category", "{\"text\":\"x\"}", "Observation.category", "structure", R),
    ("/category", "[]", "Observation.category", "structure", R),
    ("/category/0/coding/0/code", "\"vitals\"", "Observation.category[0].coding[0].code", "code-invalid", R),
    ("/category/0", "{\"text\":\"Målinger\"}", "Observation.category", "required", R),
    ("/id", "\"a_b\"", "Observation.id", "value", R),
    ("/language", "7", "Observation.language", "structure", R),
    ("/meta/lastUpdated", "\"2026-03-02\"", "Observation.meta.lastUpdated", "value", R),
    ("/meta/profile", "\"http://x\"", "Observation.meta.profile", "structure", R),
    ("/implicitRules", "\"http://x\"", "Observation.implicitRules", "not-supported", R),
    ("/modifierExtension", "[{\"url\":\"http://x\",\"valueBoolean\":true}]", "Observation.modifierExtension[0]", "extension", R),
    ("/extension", "[{\"url\":\"http://x\"}]", "Observation.extension[0]", "invariant", R),
    ("/extension", "[{\"valueBoolean\":true}]", "Observation.extension[0].url", "required", R),
    ("/extension", "[{\"url\":\"http://x\",\"valueBoolean\":true,\"valueCode\":\"x\"}]", "Observation.extension[0].value[x]", "structure", R),
    ("/extension", "[{\"url\":\"http://x\",\"valueThing\":1}]", "Observation.extension[0].valueThing", "structure", R),
    ("/extension", "[{\"url\":\"http://x\",\"valueBase64Binary\":\"?\"}]", "Observation.extension[0].valueBase64Binary", "value", R),
    ("/text", "{\"status\":\"generated\",\"div\":\"<div><script>x</script></div>\"}", "Observation.text.div", "value", R),
    ("/note", "[{\"time\":\"2026-03-02\"}]", "Observation.note[0].text", "required", R),
    ("/issued", "\"2026-03-02T08:28:00\"", "Observation.issued", "value", R),
    ("/identifier/0/use", "\"mine\"", "Observation.identifier[0].use", "code-invalid", R),
    ("/identifier/0/system", "\"two words\"", "Observation.identifier[0].system", "value", R),
    ("/identifier/0/period", "{\"start\":\"2026-03-02\",\"end\":\"2026-03-01\"}", "Observation.identifier[0].period.end", "invariant", R),
    ("/referenceRange", "[{\"type\":{\"text\":\"x\"}}]", "Observation.referenceRange[0]", "invariant", R),
    ("/referenceRange", "[{\"low\":{\"value\":9},\"high\":{\"value\":5,\"comparator\":\"<\"}}]", "Observation.referenceRange[0].high.comparator", "structure", R),
    ("/valueString", "\"86\"", "Observation.value[x]", "structure", R),
    ("/dataAbsentReason", "{\"text\":\"x\"}", "Observation", "invariant", R),
    ("/contained", "[{\"resourceType\":\"Device\"}]", "Observation.contained[0].id", "required", R),
    ("/contained", "[{\"resourceType\":\"Machine\",\"id\":\"a\"}]", "Observation.contained[0].resourceType", "structure", R),
    ("/contained", "[{\"resourceType\":\"Device\",\"id\":\"a\",\"status\":\"on\"}]", "Observation.contained[0].status", "code-invalid", R),
    ("/contained", "[{\"resourceType\":\"Location\",\"id\":\"a\",\"name\":\"\"}]", "Observation.contained[0].name", "value", R),
    ("/contained", "[{\"resourceType\":\"Location\",\"id\":\"a\",\"contained\":[{\"resourceType\":\"Device\",\"id\":\"b\"}]}]", "Observation.contained[0].contained", "invariant", R),
    // References.
    ("/device", "{\"reference\":\"#a\"}", "Observation.device.reference", "invariant", R),
    ("/device", "{\"reference\":\"Patient/1\"}", "Observation.device.reference", "value", R),
    ("/device", "{\"reference\":\"device\"}", "Observation.device.reference", "value", R),
    ("/encounter", "{\"reference\":\"https://x.example/fhir/Device/1\"}", "Observation.encounter.reference", "value", R),
    ("/performer/0/type", "\"Device\"", "Observation.performer[0].type", "value", R),
    ("/subject", "-", "Observation.subject", "required", R),
    ("/subject", "{\"display\":\"Kari\"}", "Observation.subject", "value", R),
    ("/subject", "{\"reference\":\"Patient/1\"}", "Observation.subject", "value", R),
    ("/subject", "{\"reference\":\"Group/1\"}", "Observation.subject", "value", R),
    ("/subject/identifier/system", "\"urn:oid:2.16.578.1.12.4.1.4.4\"", "Observation.subject", "value", R),
    ("/subject/identifier/value", "\"14835210261\"", "Observation.subject.identifier.value", "value", R),
    ("/subject/identifier/value", "\"1000807\"", "Observation.subject.identifier.value", "value", R),
    ("/subject/identifier/value", "14835210260", "Observation.subject.identifier.value", "structure", R),
    // Time.
    ("/effectiveDateTime", "-", "Observation.effective[x]", "required", R),
    ("/effectiveDateTime", "\"2026-03\"", "Observation.effectiveDateTime", "invariant", R),
    ("/effectiveDateTime", "\"2026-02-30\"", "Observation.effectiveDateTime", "value", R),
    ("/effectiveDateTime", "\"2026-03-02T08:28:00\"", "Observation.effectiveDateTime", "value", R),
    ("/effectiveDateTime", "\"1899-12-30\"", "Observation.effectiveDateTime", "value", Q),
    ("/effectiveDateTime", "\"2026-03-10T12:00:01Z\"", "Observation.effectiveDateTime", "value", Q),
    ("/effectiveInstant", "\"2026-03-02T08:28:00Z\"", "Observation.effective[x]", "structure", R),
    // Code, unit, value.
    ("/code/coding", "[{\"system\":\"http://loinc.org\",\"code\":\"29563-7\"}]", "Observation.code", "code-invalid", Q),
    ("/code", "{\"text\":\"Puls\"}", "Observation.code", "code-invalid", Q),
    ("/code/coding/1/code", "\"27113001\"", "Observation.code", "code-invalid", Q),
    ("/valueQuantity", "-", "Observation.value[x]", "required", R),
    ("/valueQuantity/value", "-", "Observation.valueQuantity.value", "required", R),
    ("/valueQuantity/value", "\"86\"", "Observation.valueQuantity.value", "structure", R),
    ("/valueQuantity/unit", "-", "Observation.valueQuantity.unit", "required", R),
    ("/valueQuantity/code", "-", "Observation.valueQuantity.code", "required", R),
    ("/valueQuantity/code", "\"mm[Hg]\"", "Observation.valueQuantity.code", "code-invalid", Q),
    ("/valueQuantity/system", "\"http://x\"", "Observation.valueQuantity.system", "value", Q),
    ("/valueQuantity/value", "401", "Observation.valueQuantity.value", "value", Q),
    ("/valueQuantity/value", "-1", "Observation.valueQuantity.value", "value", Q),
    ("/valueQuantity/value", "1e40", "Observation.valueQuantity.value", "value", R),
];

#[rustfmt::skip]
const BROKEN_PRESSURE: &[Case] = &[
    ("/component", "-", "Observation.component", "required", R),
    ("/valueQuantity", "{\"value\":134,\"unit\":\"mmHg\",\"system\":\"http://unitsofmeasure.org\",\"code\":\"mm[Hg]\"}", "Observation.valueQuantity", "structure", R),
    ("/component/0/code", "-", "Observation.component[0].code", "required", R),
    ("/component/0/valueQuantity", "-", "Observation.component[0].value[x]", "required", R),
    ("/component/0/valueQuantity/code", "\"kPa\"", "Observation.component[0].valueQuantity.code", "code-invalid", Q),
    ("/component/1/valueQuantity/value", "301", "Observation.component[1].valueQuantity.value", "value", Q),
    ("/component/1/code/coding/0/code", "\"8480-6\"", "Observation.component[1]", "structure", R),
    ("/component/0/status", "\"final\"", "Observation.component[0].status", "structure", R),
    ("/bodySite", "{\"coding\":[{\"system\":\"http://snomed.info/sct\",\"code\":\"1\"}]}", "Observation.bodySite", "code-invalid", R),
    ("/method", "{\"text\":\"oscillometrisk\"}", "Observation.method", "code-invalid", R),
];

pub(super) fn rules() -> Rules {
    let now = crate::time::parse_instant("2026-03-09T12:00:00Z").unwrap();
    Rules {
        now: Some(now),
        ..Rules::default()
    }
}

#[test]
fn every_break_gives_a_finding_at_its_element() {
    for (base, cases) in [(pulse(), BROKEN_PULSE), (pressure(), BROKEN_PRESSURE)] {
        assert!(
            run(&base, &rules()).is_ok(),
            "{:?}",
            run(&base, &rules()).err()
        );
        for (pointer, new, expression, code, expected) in cases {
            let mut value = base.clone();
            match *new {
                "-" => remove(&mut value, pointer),
                new => set(&mut value, pointer, serde_json::from_str(new).unwrap()),
            }
            let issues = run(&value, &rules()).expect_err(pointer);
            let places: Vec<_> = errors(&issues)
                .into_iter()
                .flat_map(|i| i.expression.iter().map(String::as_str))
                .collect();
            let first = issues.iter().find(|i| i.expression == [*expression]);
            let found = first.unwrap_or_else(|| panic!("{pointer} = {new}: {issues:#?}"));
            assert_eq!(found.code.code(), *code, "{pointer} = {new}: {issues:#?}");
            assert_eq!(fate(&issues), *expected, "{pointer} = {new}: {issues:#?}");
            assert!(
                places.len() <= 3,
                "{pointer} = {new} is one mistake: {issues:#?}"
            );
            assert!(
                !format!("{issues:?}").contains("1483521"),
                "{pointer}: a person's number shows"
            );
        }
    }
}

#[test]
fn what_vkp_and_pmd_send_is_taken() {
    let with = |pointer: &str, new: Value| {
        let mut value = pulse();
        set(&mut value, pointer, new);
        value
    };
    let mut period = pulse();
    remove(&mut period, "/effectiveDateTime");
    set(
        &mut period,
        "/effectivePeriod",
        json!({"start": "2026-03-02T08:28:00+01:00"}),
    );
    let mut absent = pulse();
    remove(&mut absent, "/valueQuantity");
    set(
        &mut absent,
        "/dataAbsentReason",
        json!({"text": "ikke målt"}),
    );
    let mut no_author = pressure();
    remove(&mut no_author, "/performer");
    for (name, value) in [
        (
            "registered, as PMD sends",
            with("/status", json!("registered")),
        ),
        (
            "a day, no time",
            with("/effectiveDateTime", json!("2026-03-02")),
        ),
        (
            "just within 24 hours ahead",
            with("/effectiveDateTime", json!("2026-03-10T11:59:59Z")),
        ),
        (
            "a comparator, which only a SimpleQuantity has not",
            with("/valueQuantity/comparator", json!("<")),
        ),
        ("a border value", with("/valueQuantity/value", json!(400))),
        (
            "an alternate name of the number's system",
            with(
                "/subject/identifier/system",
                json!("http://hl7.no/fhir/NamingSystem/FNR"),
            ),
        ),
        (
            "a Patient here",
            with(
                "/subject",
                json!({"reference": "Patient/0f8fad5b-d9cb-469f-a165-70867728950e"}),
            ),
        ),
        (
            "a performer without a system",
            with("/performer/0/identifier", json!({"value": "310001007"})),
        ),
        (
            "extension of a primitive",
            with(
                "/_status",
                json!({"extension": [{"url": "http://x", "valueString": "y"}]}),
            ),
        ),
        (
            "a reference by UUID",
            with(
                "/device",
                json!({"reference": "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e"}),
            ),
        ),
        ("a contained device", {
            let mut value = with(
                "/contained",
                json!([{"resourceType": "Device", "id": "d", "serialNumber": "1"}]),
            );
            set(&mut value, "/device", json!({"reference": "#d"}));
            value
        }),
        ("a period", period),
        ("a reason instead of a value", absent),
        ("a blood pressure without performer", no_author),
        ("another component", {
            let mut value = pressure();
            set(
                &mut value,
                "/component/-",
                json!({"code": {"text": "annet"}, "valueString": "x"}),
            );
            value
        }),
    ] {
        assert!(
            run(&value, &rules()).is_ok(),
            "{name}: {:?}",
            run(&value, &rules()).err()
        );
    }
}

#[test]
fn all_findings_come_at_once_and_one_refusal_outweighs_a_doubt() {
    let mut value = pulse();
    set(&mut value, "/status", json!("done"));
    set(&mut value, "/valueQuantity/value", json!(500));
    set(
        &mut value,
        "/subject/identifier/value",
        json!("14835210261"),
    );
    set(&mut value, "/colour", json!("red"));
    let issues = run(&value, &rules()).unwrap_err();
    let refused = errors(&issues).into_iter();
    let mut places: Vec<_> = refused.flat_map(|i| i.expression.clone()).collect();
    places.sort();
    let expected = [
        "Observation.colour",
        "Observation.status",
        "Observation.subject.identifier.value",
        "Observation.valueQuantity.value",
    ];
    assert_eq!(places, expected);
    assert_eq!(fate(&issues), Fate::Refuse);
    assert!(
        issues.iter().all(|i| !i.diagnostics.contains("500")),
        "a reading shows"
    );
    assert_eq!(fate(&[]), Fate::Refuse);
}

#[test]
fn ten_thousand_mistakes_give_a_bounded_answer() {
    let mut value = pulse();
    let many: Vec<Value> = (0..10_000)
        .map(|_| json!({"system": 1, "code": ""}))
        .collect();
    set(&mut value, "/code/coding", json!(many));
    let issues = run(&value, &rules()).unwrap_err();
    let issues = errors(&issues);
    assert!(issues.len() <= findings::MOST + 1);
    assert_eq!(issues.last().unwrap().code, IssueCode::TooCostly);
}

#[test]
fn a_hundred_contained_resources_and_no_more() {
    for (count, taken) in [(100, true), (101, false)] {
        let device = |n: usize| json!({"resourceType": "Device", "id": format!("d{n}")});
        let mut value = pulse();
        let many: Vec<Value> = (0..count).map(device).collect();
        set(&mut value, "/contained", json!(many));
        // Each is referred to.
        let link = |n: usize| json!({"url": "http://x", "valueReference": {"reference": format!("#d{n}")}});
        set(&mut value, "/extension", (0..count).map(link).collect());
        assert_eq!(run(&value, &rules()).is_ok(), taken, "{count}");
    }
}

#[test]
fn settings() {
    let mut unknown = pulse();
    remove(&mut unknown, "/meta");
    set(
        &mut unknown,
        "/code",
        json!({"coding": [{"system": "http://loinc.org", "code": "1988-5"}]}),
    );
    assert_eq!(
        fate(&run(&unknown, &rules()).unwrap_err()),
        Fate::Quarantine
    );
    let accept = Rules {
        unknown_codes: UnknownCodes::Accept,
        ..rules()
    };
    assert!(run(&unknown, &accept).is_ok());
    let mut wrong = pulse();
    set(
        &mut wrong,
        "/subject/identifier/value",
        json!("14835210261"),
    );
    let lenient = Rules {
        person_numbers: PersonNumbers::Lenient,
        ..rules()
    };
    assert!(run(&wrong, &lenient).is_ok());
    let mut later = pulse();
    set(&mut later, "/effectiveDateTime", json!("2100-01-01"));
    assert!(
        run(&later, &Rules::default()).is_ok(),
        "without a clock the future is not looked at"
    );
}

#[test]
fn other_types_by_their_tables() {
    let subject =
        json!({"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": "14835210260"}});
    let medicine = json!({"resourceType": "MedicationStatement", "status": "active", "subject": subject,
        "contained": [{"resourceType": "Medication", "id": "m", "code": {"coding": [{"system": "http://www.whocc.no/atc", "code": "H02AB06"}]}}],
        "medicationReference": {"reference": "#m"}, "dosage": [{"text": "30 mg", "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
            "doseAndRate": [{"doseQuantity": {"value": 30, "unit": "mg"}}]}]});
    let patient = json!({"resourceType": "Patient", "identifier": [subject["identifier"]], "name": [{"given": ["Ragnhild", null], "_given": [null, {"id": "x"}]}]});
    let note = json!({"resourceType": "Communication", "status": "completed", "subject": subject, "payload": [{"contentString": "x"}]});
    for good in [&medicine, &patient, &note] {
        assert!(
            run(good, &rules()).is_ok(),
            "{:?}",
            run(good, &rules()).err()
        );
    }
    for (base, pointer, new, place) in [
        (
            &medicine,
            "/medicationReference/reference",
            json!("#n"),
            "MedicationStatement.medicationReference.reference",
        ),
        (
            &medicine,
            "/medicationCodeableConcept",
            json!({"text": "x"}),
            "MedicationStatement.medication[x]",
        ),
        (
            &medicine,
            "/dosage/0/timing/repeat/periodUnit",
            json!("day"),
            "MedicationStatement.dosage[0].timing.repeat.periodUnit",
        ),
        (
            &medicine,
            "/subject",
            json!({"display": "x"}),
            "MedicationStatement.subject",
        ),
        (
            &patient,
            "/identifier",
            json!([{"value": "1"}]),
            "Patient.identifier",
        ),
        (
            &patient,
            "/name/0/given",
            json!(["Ragnhild", null, null]),
            "Patient.name[0]._given",
        ),
        (&patient, "/gender", json!("k"), "Patient.gender"),
        (&note, "/payload", json!([]), "Communication.payload"),
        (&note, "/payload/0", json!({}), "Communication.payload[0]"),
        (&note, "/id", json!(5), "Communication.id"),
        (&note, "/resourceType", json!("Note"), "resourceType"),
    ] {
        let mut value = base.clone();
        set(&mut value, pointer, new.clone());
        let issues = run(&value, &rules()).unwrap_err();
        assert!(
            issues.iter().any(|i| i.expression == [place]),
            "{pointer}: {issues:#?}"
        );
        assert_eq!(fate(&issues), Fate::Refuse);
    }
    assert!(run(&json!([1]), &rules()).is_err() && run(&json!({"x": 1}), &rules()).is_err());
}

/// Every published example goes through the check, with checksums off as `spec/measurements` advises. Prints
/// what becomes of each (`cargo test -p fhir published -- --nocapture`).
#[test]
fn published_examples_are_explained() {
    let root =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/examples");
    if !root.is_dir() {
        println!("{} is not there: nothing checked", root.display());
        return;
    }
    let rules = Rules {
        person_numbers: PersonNumbers::Lenient,
        ..rules()
    };
    let mut seen = 0;
    for folder in ["VkpObservation", "no-domain-vitalsigns"] {
        let mut paths: Vec<_> = std::fs::read_dir(root.join(folder))
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        paths.sort();
        for path in paths
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "json"))
        {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let json = Json::parse(std::fs::read(path).unwrap(), Limits::BUNDLE).unwrap();
            let root = json.root();
            let kind = root.text("resourceType").unwrap().into_owned();
            let resources: Vec<_> = match kind.as_str() {
                "Observation" => vec![root],
                "Bundle" => root.all(&["entry", "resource"]),
                _ => Vec::new(),
            };
            for resource in resources {
                seen += 1;
                match check(&json, resource, &rules) {
                    Ok(checked) => println!(
                        "{folder}/{name}: accepted, {:?}",
                        checked.index().codings.len()
                    ),
                    Err(issues) => {
                        assert!(
                            issues
                                .iter()
                                .all(|i| !i.expression.is_empty() && !i.diagnostics.is_empty())
                        );
                        println!("{folder}/{name}: {:?}", fate(&issues));
                        for issue in &issues {
                            println!(
                                "    {} {}: {}",
                                issue.code.code(),
                                issue.expression.join(", "),
                                issue.diagnostics
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(seen >= 20, "{seen} examples found");
}

/// The published examples name people by made-up values; with a real test number in their place each must pass.
#[test]
fn published_examples_pass_but_for_their_person() {
    let root =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/examples");
    if !root.is_dir() {
        return;
    }
    for folder in ["VkpObservation", "no-domain-vitalsigns"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.starts_with("Observation-") {
                continue;
            }
            let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            set(
                &mut value,
                "/subject",
                json!({"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": "14835210260"}}),
            );
            let result = run(&value, &rules());
            assert!(result.is_ok(), "{folder}/{name}: {:#?}", result.err());
        }
    }
}

/// Each resource type has rules; a concept with a required binding is coded from its value set.
#[test]
fn types_that_only_the_published_definitions_know() {
    let subject =
        json!({"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": "14835210260"}});
    let condition = |status: Value| json!({"resourceType": "Condition", "subject": subject, "clinicalStatus": status});
    let system = "http://terminology.hl7.org/CodeSystem/condition-clinical";
    let good =
        json!({"coding": [{"system": "urn:x", "code": "y"}, {"system": system, "code": "active"}]});
    assert!(run(&condition(good), &Rules::default()).is_ok());
    let none = json!({"text": "active"});
    let other = json!({"coding": [{"system": "urn:x", "code": "active"}]});
    let misspelt = json!({"coding": [{"system": system, "code": "actve"}]});
    let appointment = |status: &str| {
        json!({"resourceType": "Appointment", "status": status, "start": "2026-03-02T08:00:00Z", "end": "2026-03-02T09:00:00Z",
            "participant": [{"status": "accepted", "actor": {"reference": "Practitioner/1"}}]})
    };
    assert!(run(&appointment("booked"), &Rules::default()).is_ok());
    // A Patient that nobody could look up is refused; another actor may stand there, and one by number is found.
    let mut astray = appointment("booked");
    set(
        &mut astray,
        "/participant/0/actor/reference",
        json!("Patient/1"),
    );
    let mut known = appointment("booked");
    set(&mut known, "/participant/0/actor", subject.clone());
    assert!(run(&known, &Rules::default()).is_ok());
    let unknown = json!({"resourceType": "Encounter", "status": "finished", "class": {"code": "x"}, "subject": {"reference": "Patient/1"}});
    let mut lonely = appointment("booked");
    remove(&mut lonely, "/participant");
    let mut wrong = appointment("booked");
    set(
        &mut wrong,
        "/participant/0/actor/reference",
        json!("Medication/1"),
    );
    for (resource, expression, code) in [
        (condition(none), "Condition.clinicalStatus", "code-invalid"),
        (condition(other), "Condition.clinicalStatus", "code-invalid"),
        (
            condition(misspelt),
            "Condition.clinicalStatus",
            "code-invalid",
        ),
        (appointment("bookd"), "Appointment.status", "code-invalid"),
        (astray, "Appointment.participant", "value"),
        (unknown, "Encounter.subject", "value"),
        (lonely, "Appointment.participant", "required"),
        (wrong, "Appointment.participant[0].actor.reference", "value"),
        (
            json!({"resourceType": "DetectedIssue", "status": "final", "colour": 1}),
            "DetectedIssue.colour",
            "structure",
        ),
    ] {
        let issues = run(&resource, &Rules::default()).unwrap_err();
        let found: Vec<_> = issues
            .iter()
            .map(|i| (i.expression.join(" "), i.code.code()))
            .collect();
        assert_eq!(found, [(expression.to_owned(), code)], "{issues:?}");
    }
}

#[test]
fn answers_were_given_when_they_can_have_been() {
    let rules = Rules {
        now: Some("2026-11-21T09:00:00Z".parse().unwrap()),
        ..Rules::default()
    };
    for (authored, taken) in [
        ("2026-11-21T08:00:00+01:00", true),
        ("2026-11-22T09:00:00Z", true),
        ("2026-11-22T09:00:01Z", false),
        ("2027-11-21", false),
        ("1900-01-01T00:00:00Z", true),
        ("1899-12-31T23:59:59Z", false),
        ("2026", true),
    ] {
        let text = format!(
            r#"{{"resourceType":"QuestionnaireResponse","status":"completed","authored":"{authored}"}}"#
        );
        let json = Json::parse(text, Limits::RESOURCE).unwrap();
        let found = check(&json, json.root(), &rules);
        assert_eq!(found.is_ok(), taken, "{authored}");
        if let Err(issues) = found {
            assert_eq!(fate(&issues), Fate::Quarantine, "{authored}");
        }
    }
}
