//! What every merge rule keeps, whatever sources give: the order of sources and copies does not matter, twice is once, nothing
//! vanishes without a word and nothing is made up, copies disagree where and only where they are flagged, the order is stable.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::tests::{given, roads, told};
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Types with rules of their own.
const TYPES: [&str; 5] = [
    "Observation",
    "CarePlan",
    "MedicationStatement",
    "QuestionnaireResponse",
    "Patient",
];
const ORGANISATIONS: [&str; 4] = ["310001007", "310001074", "310001147", "310001708"];

/// What a copy is made from: which thing, which content, which time, whether it is a part, whether it is named.
type Seed = (u8, u8, u8, bool, bool);

fn sources() -> impl Strategy<Value = Vec<Vec<Seed>>> {
    let seed = (0_u8..4, 0_u8..3, 0_u8..4, any::<bool>(), any::<bool>());
    prop::collection::vec(prop::collection::vec(seed, 0..6), 1..=ORGANISATIONS.len())
}

/// The resource as its source sends it; content 0 says less than content 1, and content 2 says otherwise.
fn resource(kind: &str, id: &str, (thing, content, time, part, named): Seed) -> Value {
    let mut one = json!({"resourceType": kind, "id": id, "meta": {"versionId": "1"}});
    if part {
        one["meta"]["tag"] = json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}]);
    }
    let number = json!({"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": "14835210260"});
    let identifier = json!({"system": "urn:delt:test", "value": format!("t-{thing}")});
    let at = (time > 0).then(|| format!("2026-11-0{time}T08:00:00+01:00"));
    let dose = if content == 2 { 40 } else { 30 };
    match kind {
        "Patient" => {
            one["identifier"] = json!([number]);
            one["gender"] = json!(if content == 2 { "female" } else { "unknown" });
            return one;
        }
        "Observation" => {
            one["status"] = json!("final");
            one["code"] = json!({"coding": [{"system": "http://loinc.org", "code": format!("8867-{thing}")}]});
            one["effectiveDateTime"] = json!(at);
            one["valueQuantity"] = json!({"value": dose, "unit": "/min"});
        }
        "CarePlan" => {
            one["status"] = json!("active");
            one["intent"] = json!("plan");
            one["title"] = json!(format!("{thing} {dose}"));
            one["period"] = json!(at.map(|at| json!({"start": at})));
        }
        "MedicationStatement" => {
            let atc = format!("H02AB0{thing}");
            one["status"] = json!("active");
            one["medicationCodeableConcept"] =
                json!({"coding": [{"system": fhir::systems::ATC, "code": atc}]});
            one["dosage"] =
                json!([{"doseAndRate": [{"doseQuantity": {"value": dose, "code": "mg"}}]}]);
            one["effectivePeriod"] = json!(at.map(|at| json!({"start": at})));
        }
        _ => {
            one["status"] = json!("completed");
            one["questionnaire"] = json!(format!(
                "https://delt.example/Questionnaire/cat|{}",
                thing % 2
            ));
            one["authored"] = json!(at);
            one["item"] = json!([{"linkId": "1", "answer": [{"valueInteger": dose}]}]);
        }
    }
    if content == 1 {
        one["language"] = json!("nb");
    }
    one["subject"] = json!({"identifier": number});
    one.as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    if named {
        one["identifier"] = match kind {
            "QuestionnaireResponse" => identifier,
            _ => json!([identifier]),
        };
    }
    one
}

/// The copies, read as answers are.
fn copies(kind: &str, sources: &[Vec<Seed>]) -> Vec<Vec<Given>> {
    let read = |(number, seeds): (usize, &Vec<Seed>)| {
        let one = |(at, seed): (usize, &Seed)| json!({"resource": resource(kind, &format!("r{at}"), *seed), "search": {"mode": "match"}});
        let entries: Vec<Value> = seeds.iter().enumerate().map(one).collect();
        let bundle = json!({"resourceType": "Bundle", "type": "searchset", "entry": entries});
        let kind = ResourceType::parse(kind).unwrap();
        given(
            kind,
            ORGANISATIONS[number],
            number,
            bundle.to_string().into(),
        )
    };
    sources.iter().enumerate().map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_does_not_matter_and_twice_is_once(
        sources in sources(),
        turn in any::<prop::sample::Index>(),
        more in any::<prop::sample::Index>(),
    ) {
        for kind in TYPES {
            let rule = Rule::of(ResourceType::parse(kind).unwrap());
            let mut all = copies(kind, &sources).concat();
            let merged = told(&merge(all.clone(), rule, Sort::DateDesc));
            if all.is_empty() {
                prop_assert_eq!(&merged, &json!([]));
                continue;
            }
            let again = all[more.index(all.len())].clone();
            let middle = turn.index(all.len());
            all.rotate_left(middle);
            prop_assert_eq!(&told(&merge(all.clone(), rule, Sort::DateDesc)), &merged, "{}", kind);
            all.reverse();
            all.push(again);
            prop_assert_eq!(&told(&merge(all, rule, Sort::DateDesc)), &merged, "{}", kind);
        }
    }

    #[test]
    fn nothing_vanishes_nothing_is_made_up_and_disagreement_is_flagged(sources in sources(), silent in 0_usize..5) {
        for kind in TYPES {
            let rule = Rule::of(ResourceType::parse(kind).unwrap());
            let mut sources = copies(kind, &sources);
            // One may give nothing; the others' are all there.
            if silent < sources.len() {
                sources[silent].clear();
            }
            let all = sources.concat();
            let merged = merge(all.clone(), rule, Sort::DateDesc);
            let mut found: Vec<&str> = merged.iter().flat_map(roads).collect();
            found.sort_unstable();
            let mut had: Vec<&str> = all.iter().map(|copy| copy.route.full_url.as_str()).collect();
            had.sort_unstable();
            prop_assert_eq!(found, had, "{}", kind);
            // Every copy is where something is shown that says all that it says.
            let of = |route: &Route| all.iter().find(|copy| copy.route == *route).unwrap();
            let mut of_a_key: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
            for entry in &merged {
                let shown = of(&entry.routes[0]);
                prop_assert_eq!(&shown.body, &entry.body);
                *of_a_key.entry(rule.key(shown)).or_default() += 1;
                for copy in entry.routes.iter().map(of) {
                    prop_assert!(copy.part || copy.identity.digest == shown.identity.digest, "{}", kind);
                }
            }
            for entry in &merged {
                let several = of_a_key[&rule.key(of(&entry.routes[0]))] > 1;
                prop_assert_eq!(entry.disagrees, several, "{}", kind);
            }
            let turned = merge(all.clone(), rule, Sort::DateAsc);
            for (sort, list) in [(Sort::DateDesc, &merged), (Sort::DateAsc, &turned)] {
                let ordered = list.is_sorted_by(|a, b| in_time(a.at, b.at, sort).then_with(|| a.tie.cmp(&b.tie)).is_le());
                prop_assert!(ordered, "{}", kind);
            }
        }
    }
}
