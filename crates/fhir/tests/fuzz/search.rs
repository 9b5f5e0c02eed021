//! The search grammar: what is not understood is refused, what is understood narrows, and no refusal repeats a value.
//!
//! An input is a type, a question mark, and `name=value` pairs with `&` between.

use crate::spell::{RANDOM, spell};
use fhir::ids::PersonNumbers;
use fhir::json::{Json, Limits};
use fhir::outcome::{Issue, OperationOutcome};
use fhir::resource::ResourceType;
use fhir::search::{Grammar, Query, Via, matches, may_carry_a_person};
use fhir::time::Zone;
use std::sync::LazyLock;

/// A text that stands in no message of ours.
const MARK: &str = "Zzyzx";
/// A synthetic person's number.
const PERSON: &str = "14835210260";

const WORDS: &[&str] = &[
    "Observation?",
    "Patient?",
    "CarePlan?",
    "Condition?",
    "code=",
    "date=",
    "patient=",
    "status=",
    "category=",
    "value-quantity=",
    "subject:identifier=",
    "patient.identifier=",
    "_id=",
    "_lastUpdated=",
    "_tag=",
    "_profile=",
    "_count=",
    "_sort=",
    "name=",
    "identifier=",
    "component-code-value-quantity=",
    "code-value-quantity=",
    "subject=",
    "performer=",
    "encounter=",
    "_source=",
    "birthdate=",
    "&",
    "=",
    ",",
    "|",
    "$",
    "\\",
    ":missing=",
    "true",
    "false",
    ":not=",
    ":exact=",
    ":contains=",
    ":text=",
    ":in=",
    ":of-type=",
    ":identifier=",
    ":Patient=",
    "eq",
    "ne",
    "gt",
    "lt",
    "ge",
    "le",
    "sa",
    "eb",
    "ap",
    "2026-03-02",
    "5.4",
    "100",
    "http://loinc.org",
    "8867-4",
    "http://unitsofmeasure.org",
    "/min",
    "Patient/0f8fad5b-d9cb-469f-a165-70867728950e",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "14835210260",
    "urn:oid:2.16.578.1.12.4.1.4.1",
    "final",
    "vital-signs",
    "Zzyzx",
    "-date",
    "æ",
    "T08:28:00+01:00",
    "Kari",
    "_text=",
    "value-concept=",
    "combo-code=",
    "device=",
    "_has:",
    "._id=",
    "_include=",
    "_revinclude=",
    "_total=",
    "_summary=",
    "_elements=",
    "Observation:subject",
    "Observation:patient:",
    "iterate",
    ".name=",
    "subject:Patient.",
    "accurate",
    "*",
];

/// Resources to be found, or not.
static RESOURCES: LazyLock<Vec<Json>> = LazyLock::new(|| {
    let observation = |id: &str, value: &str| {
        format!(
            r#"{{"resourceType":"Observation","id":"{id}","meta":{{"tag":[{{"system":"urn:x","code":"a"}}]}},"status":"final",
            "category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],
            "code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}],"text":"Puls"}},
            "subject":{{"identifier":{{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}}}},
            "effectiveDateTime":"2026-03-02T08:28:00+01:00",{value}}}"#
        )
    };
    [
        observation(
            "0f8fad5b-d9cb-469f-a165-70867728950e",
            r#""valueQuantity":{"value":86,"unit":"slag/min","system":"http://unitsofmeasure.org","code":"/min"}"#,
        ),
        observation(
            "7f0c2f7e-6f43-4d0e-9a51-0d2b6b1c8a11",
            r#""component":[{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},
               "valueQuantity":{"value":134,"system":"http://unitsofmeasure.org","code":"mm[Hg]"}}]"#,
        ),
        r#"{"resourceType":"Patient","id":"0f8fad5b-d9cb-469f-a165-70867728950e","identifier":[{"system":
            "urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}],"name":[{"family":"Test","given":["Kari"]}],
            "birthDate":"1952-03-14","gender":"female","active":true}"#
            .to_owned(),
        r#"{"resourceType":"CarePlan","id":"0f8fad5b-d9cb-469f-a165-70867728950e","status":"active","intent":"plan",
            "subject":{"reference":"Patient/0f8fad5b-d9cb-469f-a165-70867728950e"},"period":{"start":"2026-01"}}"#
            .to_owned(),
    ]
    .into_iter()
    .map(|text| Json::parse(text, Limits::RESOURCE).unwrap())
    .collect()
});

type Pairs = Vec<(String, String)>;

#[test]
fn query() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let text = spell(input, WORDS);
            let Some((name, form)) = text.split_once('?') else {
                return;
            };
            let Some(resource) = ResourceType::parse(name) else {
                return;
            };
            let pairs: Pairs = form
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            check(resource, &pairs, Grammar::Shared);
            check(
                resource,
                &pairs,
                Grammar::Whole(&fhir::definitions::Types::default()),
            );
        });
}

fn check(resource: ResourceType, pairs: &Pairs, grammar: Grammar<'_>) {
    let zone = Zone::default();
    let read = |pairs: &[(String, String)], via| {
        fhir::search::parse(resource, pairs, via, &zone, PersonNumbers::Strict, grammar)
    };
    let posted = read(pairs, Via::Post);
    match read(pairs, Via::Get) {
        Ok(query) => {
            assert!(
                posted.as_ref() == Ok(&query),
                "by GET nothing else is understood than by POST"
            );
            // In a longer run of digits it is another number.
            let runs = pairs.iter().flat_map(|(_, value)| digit_runs(value, 11));
            assert!(
                runs.into_iter().all(|run| run != PERSON),
                "a person's number was taken in a URL"
            );
        }
        Err(issues) => silent(&issues, pairs),
    }
    let query = match posted {
        Ok(query) => query,
        Err(issues) => return silent(&issues, pairs),
    };
    let elsewhere =
        |(name, value): &(String, String)| value.contains(PERSON) && !may_carry_a_person(name);
    assert!(
        pairs.iter().any(elsewhere) || !format!("{query:?}").contains(PERSON),
        "a person's number in a Debug print"
    );
    assert!(
        pairs.iter().all(|(_, value)| !value.is_empty()),
        "an empty value was taken"
    );
    for skipped in 0..pairs.len() {
        let mut fewer = pairs.clone();
        let (name, _) = fewer.remove(skipped);
        let Ok(wider) = read(&fewer, Via::Post) else {
            continue;
        };
        // A control may ask for what is given anyway.
        let steers = [
            "_count",
            "_sort",
            "_total",
            "_summary",
            "_elements",
            "_include",
            "_revinclude",
        ];
        let steers = steers.contains(&name.split(':').next().unwrap_or_default());
        assert!(steers || query != wider, "{name} was ignored");
        for resource in RESOURCES.iter() {
            let found = |query: &Query| matches(resource.root(), query, None);
            assert!(!found(&query) || found(&wider), "{name} widened the answer");
        }
    }
}

/// Every refusal says why, and repeats nothing of a value.
fn silent(issues: &[Issue], pairs: &Pairs) {
    assert!(!issues.is_empty());
    let told = OperationOutcome::new(issues.to_vec()).to_json();
    let told = String::from_utf8(told).unwrap();
    for (name, value) in pairs {
        for run in digit_runs(value, 5).chain(digit_runs(name, 5)) {
            assert!(!told.contains(run), "a refusal repeats {run}: {told}");
        }
        let named = pairs.iter().any(|(name, _)| name.contains(MARK));
        assert!(
            named || !value.contains(MARK) || !told.contains(MARK),
            "a refusal repeats a value: {told}"
        );
    }
}

/// Runs of at least `least` digits.
fn digit_runs(text: &str, least: usize) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(move |run| run.len() >= least)
}
