//! Assessment over HTTP: the story's days as a record system's feed gives them, and what a physician then finds.

mod oxygen;
mod pressure;

use fhir::json::{Json, Limits};
use fhir::measurement::Decimal;
use fhir::plan::{
    Criterion, Pause, PlanLimits, Repeated, Scale, Scheduled, Standing, Zone, plan_to_json,
};
use http::StatusCode;
use serde_json::{Value, json};
use sharing::{Assessment, Device};
use testkit::people::Patient;

use crate::house::*;

const ZONES: &str = "https://delt.example/fhir/CodeSystem/assessment|zone";
const NEWS2: &str = "http://snomed.info/sct|1104051000000101";

pub async fn assessing() -> Service {
    Service::with("fjellvik", FJELLVIK, &[], assesses).await
}

/// Sets rules of assessment.
pub fn assesses(config: &mut sharing::Config) {
    config.assessment = Some(Assessment {
        device: Device::Demonstration,
        news2_window_minutes: 60,
        deadlines: sharing::Deadlines::default(),
        escalate_to: Vec::new(),
    });
}

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

/// A plan of the story: red from `red` down and yellow up to 87, twice within 20 minutes.
pub fn plan(of: &Patient, version: &str, holds: (&str, Option<&str>), red: &str) -> Value {
    let yellow = (decimal(red)).plus(Decimal::ONE).unwrap();
    let band = |zone, low: Option<Decimal>, high: Option<Decimal>| Criterion {
        kind: "oxygen-saturation".into(),
        part: None,
        zone,
        low,
        high,
        unit: "%".into(),
        repeated: (zone == Zone::Yellow).then_some(Repeated {
            count: 2,
            within_minutes: 20,
        }),
        baseline: None,
    };
    let limits = PlanLimits {
        title: "Egenbehandlingsplan (syntetisk)".into(),
        version: Some(version.into()),
        status: "active".into(),
        identifier: Some(("urn:example:plans".into(), version.into())),
        start: Some(holds.0.into()),
        end: holds.1.map(str::to_owned),
        patient: Some(identifier(of)),
        criteria: vec![
            band(Zone::Green, Some(decimal("88")), None),
            band(Zone::Yellow, Some(yellow), Some(decimal("87"))),
            band(Zone::Red, None, Some(decimal(red))),
        ],
        schedule: vec![Scheduled {
            kind: "oxygen-saturation".into(),
            days: vec![],
            times: vec!["08:30:00".into()],
            from: None,
            through: None,
        }],
        standing: vec![Standing {
            kind: "oxygen-flow".into(),
            value: Decimal::ZERO,
            unit: "L/min".into(),
            text: Some("Puster romluft".into()),
        }],
        news2: Some(Scale::Two),
        ..PlanLimits::default()
    };
    serde_json::from_slice(&plan_to_json(&limits)).unwrap()
}

/// A plan that says something more.
fn with(plan: &Value, change: impl FnOnce(&mut PlanLimits)) -> Value {
    let json = Json::parse(plan.to_string().into_bytes(), Limits::RESOURCE).unwrap();
    let mut limits = PlanLimits::read(json.root()).unwrap();
    change(&mut limits);
    serde_json::from_slice(&plan_to_json(&limits)).unwrap()
}

/// A plan that is yellow from a value of another kind up, too.
pub fn with_yellow_from(plan: &Value, kind: &str, low: &str, unit: &str) -> Value {
    let yellow = Criterion {
        kind: kind.into(),
        part: None,
        zone: Zone::Yellow,
        low: Some(decimal(low)),
        high: None,
        unit: unit.into(),
        repeated: None,
        baseline: None,
    };
    with(plan, |limits| limits.criteria.push(yellow))
}

/// Another kind than saturation at some time.
pub fn other(key: &str, when: &str, loinc: &str, unit: &str, value: &str) -> Value {
    let mut body = reading(ragnhild(), key, when, value);
    body["code"] = json!({ "coding": [{ "system": "http://loinc.org", "code": loinc }] });
    body["valueQuantity"]["unit"] = json!(unit);
    body["valueQuantity"]["code"] = json!(unit);
    body
}

/// A blood pressure; of a diastolic part that was not measured it says so.
fn pressure(key: &str, when: &str, systolic: u32, diastolic: Option<u32>) -> Value {
    let mut body = other(key, when, "85354-9", "/min", "1");
    body.as_object_mut().unwrap().remove("valueQuantity");
    let part = |code: &str, value: Option<u32>| {
        let code = json!({ "coding": [{ "system": "http://loinc.org", "code": code }] });
        match value {
            None => json!({
                "code": code,
                "dataAbsentReason": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "error" }] },
            }),
            Some(value) => json!({
                "code": code,
                "valueQuantity": { "value": value, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]" },
            }),
        }
    };
    body["component"] = json!([part("8480-6", Some(systolic)), part("8462-4", diastolic)]);
    body
}

fn alert(key: &str, when: &str) -> Value {
    let mut body = other(key, when, "8867-4", "/min", "1");
    body["category"][0]["coding"][0]["code"] = json!("survey");
    body["code"] =
        json!({ "coding": [{ "system": "http://snomed.info/sct", "code": "1104441000000107" }] });
    body.as_object_mut().unwrap().remove("valueQuantity");
    body["valueCodeableConcept"] = json!({ "text": "A" });
    body
}

/// Results of a code, oldest first.
async fn results(service: &Service, code: &str) -> Vec<Value> {
    service.state.assess_waiting().await.unwrap();
    let form = [("code", code), ("_sort", "date"), ("_count", "100")];
    let owner = service.record_system(FJELLVIK);
    let number = number(ragnhild());
    let mut form = form.to_vec();
    form.push(("patient.identifier", number.as_str()));
    let reply = service.search(&owner, "Observation", &form).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    reply.matches().into_iter().cloned().collect()
}

fn zones(results: &[Value]) -> Vec<&str> {
    results
        .iter()
        .filter_map(|one| one["valueCodeableConcept"]["coding"][0]["code"].as_str())
        .collect()
}

/// Without what the store adds.
fn said(result: &Value) -> Value {
    let mut said = result.clone();
    let members = said.as_object_mut().unwrap();
    members.remove("id");
    members.remove("meta");
    said
}

/// Ragnhild has a plan: yellow from 85, red from 84. Gives its id.
pub async fn planned(service: &Service) -> String {
    let plan = plan(ragnhild(), "1", ("2026-11-01", None), "84");
    service.created(&plan).await
}

#[tokio::test]
async fn yellow_twice_then_red_each_with_its_limits_and_the_plans_version() {
    let service = assessing().await;
    let plan_id = planned(&service).await;
    for (key, when, value) in [
        ("a", "2026-11-19T08:28:00+01:00", "87"),
        ("b", "2026-11-19T08:45:00+01:00", "87"),
        ("c", "2026-11-21T08:26:00+01:00", "84"),
    ] {
        service
            .created(&reading(ragnhild(), key, when, value))
            .await;
    }
    let found = results(&service, ZONES).await;
    assert_eq!(zones(&found), ["green", "yellow", "red"]);
    let first = &found[0];
    assert_eq!(
        first["component"][0]["valueCodeableConcept"]["coding"][0]["code"], "yellow",
        "one more would be yellow: {first}"
    );
    let second = &found[1];
    assert_eq!(second["derivedFrom"].as_array().unwrap().len(), 2);
    let by = format!("CarePlan/{plan_id}/_history/1");
    assert_eq!(second["extension"][0]["valueReference"]["reference"], by);
    assert_eq!(second["extension"][1]["valueString"], "1");
    assert_eq!(second["referenceRange"].as_array().unwrap().len(), 3);
    assert_eq!(second["referenceRange"][2]["high"]["value"], 84);
    assert!(
        second["device"]["display"]
            .as_str()
            .unwrap()
            .contains("Ikke CE-merket")
    );
    // The results are on record, and by nobody.
    let record = service
        .audit()
        .await
        .into_iter()
        .map(|entry| entry.record)
        .find(|record| record.interaction == trust::Interaction::Assess)
        .unwrap();
    assert!(record.person.is_none() && record.client.is_none());
    assert_eq!(record.patient, Some(identifier(ragnhild())));
    // Nothing new: assessing what was written comes to an end, and writes nothing twice.
    assert_eq!(service.state.assess_waiting().await.unwrap(), 0);
    let versions: Vec<_> = found.iter().map(|one| &one["meta"]["versionId"]).collect();
    assert_eq!(versions, ["1", "1", "1"]);
}

#[tokio::test]
async fn a_partial_score_says_what_is_missing_and_the_whole_one_shows_both_scales() {
    let service = assessing().await;
    planned(&service).await;
    let early = "2026-11-21T08:26:00+01:00";
    let late = "2026-11-21T09:00:00+01:00";
    for body in [
        reading(ragnhild(), "s", early, "84"),
        other("p", early, "8867-4", "/min", "118"),
        pressure("bp", early, 138, Some(82)),
        other("t", early, "8310-5", "Cel", "37.8"),
    ] {
        service.created(&body).await;
    }
    let found = results(&service, NEWS2).await;
    assert_eq!(found.len(), 1);
    let partial = &found[0];
    assert!(partial.get("valueQuantity").is_none());
    assert_eq!(
        partial["dataAbsentReason"]["text"],
        "Ufullstendig: 4 poeng så langt"
    );
    let missing: Vec<_> = partial["component"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one.get("dataAbsentReason").is_some())
        .map(|one| one["code"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(missing, ["Respirasjonsfrekvens", "Bevissthet"]);
    assert!(
        partial["note"][0]["text"]
            .as_str()
            .unwrap()
            .contains("faste opplysning")
    );
    for body in [
        other("r", late, "9279-1", "/min", "24"),
        alert("c", late),
        other("o", late, "3151-8", "L/min", "0"),
    ] {
        service.created(&body).await;
    }
    let found = results(&service, NEWS2).await;
    let whole = found.last().unwrap();
    assert_eq!(whole["valueQuantity"]["value"], 6);
    assert_eq!(whole["interpretation"][0]["coding"][0]["code"], "medium");
    assert_eq!(
        whole["note"][0]["text"],
        "Oksygenmetning er regnet etter skala 2: 6. Skala 1 ville gitt 7."
    );
    assert_eq!(whole["derivedFrom"].as_array().unwrap().len(), 7);
}

/// Nothing is expected in a pause, and what comes is judged all the same.
#[tokio::test]
async fn a_red_in_a_pause_is_red_and_says_that_the_plan_pauses() {
    let service = assessing().await;
    let plan = plan(ragnhild(), "1", ("2026-11-01", None), "84");
    let plan = with(&plan, |limits| {
        limits.pauses.push(Pause {
            from: Some("2026-11-20".into()),
            until: Some("2026-11-20".into()),
            text: "Reise".into(),
        });
        limits.standing.push(Standing {
            kind: "oxygen-saturation".into(),
            value: decimal("90"),
            unit: "%".into(),
            text: Some("Mål for oksygenmetning".into()),
        });
    });
    service.created(&plan).await;
    for (key, when) in [
        ("in", "2026-11-20T08:30:00+01:00"),
        ("after", "2026-11-21T08:30:00+01:00"),
    ] {
        service.created(&reading(ragnhild(), key, when, "80")).await;
    }
    let found = results(&service, ZONES).await;
    assert_eq!(zones(&found), ["red", "red"]);
    let paused = &found[0]["component"][0];
    assert_eq!(paused["code"]["coding"][0]["code"], "paused");
    assert_eq!(paused["valueString"], "Reise");
    assert!(found[1].get("component").is_none(), "{}", found[1]);
    // The saturation that she is treated towards stands beside the score.
    let scores = results(&service, NEWS2).await;
    let notes = scores[0]["note"].to_string();
    assert!(
        notes.contains("Planens mål for oksygenmetning er 90 %."),
        "{notes}"
    );
}

/// What the plan did not ask for is told quietly, once, and is judged as anything else.
#[tokio::test]
async fn a_reading_that_was_not_asked_for_is_told_and_raises_nothing() {
    let service = assessing().await;
    planned(&service).await;
    let unexpected = "https://delt.example/fhir/CodeSystem/assessment|unexpected";
    let glucose = other("g", "2026-11-21T08:00:00+01:00", "15074-8", "mmol/L", "6.1");
    for body in [
        glucose,
        reading(ragnhild(), "asked", "2026-11-21T08:30:00+01:00", "91"),
    ] {
        service.created(&body).await;
    }
    let late = results(&service, unexpected).await;
    let why = |one: &Value| one["valueCodeableConcept"]["coding"][0]["code"].clone();
    assert_eq!(
        late.iter().map(why).collect::<Vec<_>>(),
        ["unexpected-kind"]
    );
    // One of that morning comes late: then the one that was there was one more.
    let early = reading(ragnhild(), "early", "2026-11-21T07:30:00+01:00", "90");
    service.created(&early).await;
    let found = results(&service, unexpected).await;
    assert_eq!(
        found.iter().map(why).collect::<Vec<_>>(),
        ["unexpected-kind", "unexpected-extra"]
    );
    assert_eq!(zones(&results(&service, ZONES).await), ["green", "green"]);
}

/// A flow of oxygen that comes late speaks against the plan's air, for what was measured after it too.
#[tokio::test]
async fn oxygen_that_was_measured_is_not_overruled_by_the_plans_air() {
    let service = assessing().await;
    planned(&service).await;
    let later = "2026-11-21T09:30:00+01:00";
    service
        .created(&reading(ragnhild(), "s", later, "94"))
        .await;
    let air = |found: &[Value]| {
        let part = found.last().unwrap()["component"][2].clone();
        assert_eq!(part["code"]["text"], "Luft eller oksygen", "{part}");
        part
    };
    let found = results(&service, NEWS2).await;
    assert_eq!(air(&found)["valueQuantity"]["value"], 0);
    let early = "2026-11-21T08:00:00+01:00";
    let flow = other("o", early, "3151-8", "L/min", "2");
    let flow_id = service.created(&flow).await;
    let found = results(&service, NEWS2).await;
    let last = found.last().unwrap();
    assert!(air(&found).get("dataAbsentReason").is_some(), "{last}");
    assert_eq!(last["status"], "amended");
    let note = last["note"][0]["text"].as_str().unwrap();
    assert!(note.contains("ikke regnet med"), "{note}");
    let inputs = last["derivedFrom"].to_string();
    assert!(inputs.contains(&flow_id), "{inputs}");
    // It was a mistake: then the plan's word holds again.
    let owner = service.record_system(FJELLVIK);
    let path = format!("/Observation/{flow_id}");
    let reply = service.delete(&owner, &path, Some("W/\"1\"")).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.json);
    let found = results(&service, NEWS2).await;
    assert_eq!(air(&found)["valueQuantity"]["value"], 0);
}

#[tokio::test]
async fn a_correction_amends_and_a_withdrawal_takes_back_what_was_made_of_it() {
    let service = assessing().await;
    let owner = service.record_system(FJELLVIK);
    planned(&service).await;
    let when = "2026-11-20T08:30:00+01:00";
    let id = service.created(&reading(ragnhild(), "a", when, "48")).await;
    let found = results(&service, ZONES).await;
    assert_eq!(zones(&found), ["red"]);
    let mut right = reading(ragnhild(), "a", when, "90");
    right["status"] = json!("corrected");
    let reply = service
        .put(&owner, &format!("/Observation/{id}"), Some("W/\"1\""), &{
            right["id"] = json!(id);
            right
        })
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let found = results(&service, ZONES).await;
    assert_eq!(zones(&found), ["green"]);
    assert_eq!(
        (&found[0]["status"], &found[0]["meta"]["versionId"]),
        (&json!("amended"), &json!("2"))
    );
    let reply = service
        .delete(&owner, &format!("/Observation/{id}"), Some("W/\"2\""))
        .await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.json);
    let found = results(&service, ZONES).await;
    assert_eq!(found[0]["status"], "entered-in-error");
}

#[tokio::test]
async fn a_backlog_in_any_order_comes_to_the_same_and_history_keeps_its_limits() {
    let (straight, shuffled) = (assessing().await, assessing().await);
    let first = plan(
        ragnhild(),
        "1",
        ("2026-11-01", Some("2026-11-20T12:59:59+01:00")),
        "84",
    );
    let second = plan(ragnhild(), "2", ("2026-11-20T13:00:00+01:00", None), "85");
    let readings: Vec<_> = [
        ("a", "2026-11-19T08:28:00+01:00", "87"),
        ("b", "2026-11-19T08:45:00+01:00", "87"),
        ("c", "2026-11-20T08:30:00+01:00", "85"),
        ("d", "2026-11-20T20:30:00+01:00", "85"),
        ("e", "2026-11-21T08:30:00+01:00", "88"),
    ]
    .map(|(key, when, value)| reading(ragnhild(), key, when, value))
    .into();
    straight.created(&first).await;
    straight.created(&second).await;
    for one in &readings {
        straight.created(one).await;
        straight.state.assess_waiting().await.unwrap();
    }
    // The readings first, the newest of them first, each assessed as it comes; then the plans, the newest first.
    for one in readings.iter().rev() {
        shuffled.created(one).await;
        shuffled.state.assess_waiting().await.unwrap();
    }
    for one in [&second, &first] {
        shuffled.created(one).await;
        shuffled.state.assess_waiting().await.unwrap();
    }
    let (one, other) = (
        results(&straight, ZONES).await,
        results(&shuffled, ZONES).await,
    );
    // On day 20 at 08:30 the first plan held: 85 is not red by it, and stays so.
    assert_eq!(zones(&one), ["green", "yellow", "green", "red", "green"]);
    assert_eq!(zones(&one), zones(&other));
    // Ids and versions differ; limits and times do not.
    for (one, other) in one.iter().zip(&other) {
        let (one, other) = (said(one), said(other));
        assert_eq!(one["referenceRange"], other["referenceRange"]);
        assert_eq!(one["effectiveDateTime"], other["effectiveDateTime"]);
    }
}

#[tokio::test]
async fn a_submitted_total_is_held_against_its_parts_and_nothing_is_off_by_default() {
    let service = assessing().await;
    let score = |key: &str, total: u32| {
        let part = |code: &str, points: u32| {
            json!({
                "code": { "coding": [{ "system": "http://snomed.info/sct", "code": code }] },
                "valueQuantity": { "value": points },
            })
        };
        let codes = [
            ("1104301000000104", 2),
            ("1104321000000108", 2),
            ("1104331000000105", 0),
            ("1104341000000101", 0),
            ("1104351000000103", 2),
            ("1104361000000100", 0),
            ("1104371000000107", 0),
        ];
        json!({
            "resourceType": "Observation",
            "identifier": [{ "system": "urn:example:readings", "value": key }],
            "status": "final",
            "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "survey" }] }],
            "code": { "coding": [{ "system": "http://snomed.info/sct", "code": "1104051000000101" }] },
            "subject": { "identifier": { "system": fhir::systems::FNR, "value": ragnhild().number } },
            "effectiveDateTime": "2026-11-21T08:00:00+01:00",
            "valueQuantity": { "value": total },
            "component": codes.map(|(code, points)| part(code, points)),
        })
    };
    service.created(&score("right", 6)).await;
    service.created(&score("wrong", 9)).await;
    let code = "https://delt.example/fhir/CodeSystem/assessment|submitted-news2";
    let mut said: Vec<_> = results(&service, code)
        .await
        .iter()
        .map(|one| {
            (
                one["valueBoolean"].as_bool().unwrap(),
                one["note"][0]["text"].clone(),
            )
        })
        .collect();
    said.sort_by_key(|one| one.0);
    assert_eq!(
        said,
        [
            (false, json!("Totalen er 9, men delene gir til sammen 6.")),
            (true, Value::Null)
        ]
    );
    // A service that does not say who answers for it assesses nothing.
    let silent = Service::fjellvik().await;
    silent
        .created(&plan(ragnhild(), "1", ("2026-11-01", None), "84"))
        .await;
    silent
        .created(&reading(ragnhild(), "a", "2026-11-20T08:30:00+01:00", "48"))
        .await;
    assert!(results(&silent, ZONES).await.is_empty());
}

#[tokio::test]
async fn a_result_is_nobodys_to_change_or_to_take_back() {
    let service = assessing().await;
    let owner = service.record_system(FJELLVIK);
    planned(&service).await;
    let when = "2026-11-20T08:30:00+01:00";
    service.created(&reading(ragnhild(), "a", when, "48")).await;
    let found = results(&service, ZONES).await;
    let path = format!("/Observation/{}", found[0]["id"].as_str().unwrap());
    let mut forged = reading(ragnhild(), "forged", when, "97");
    forged["id"] = found[0]["id"].clone();
    let change = |method: &str, resource: Option<&Value>| {
        let mut entry =
            json!({ "request": { "method": method, "url": &path[1..], "ifMatch": "W/\"1\"" } });
        if let Some(resource) = resource {
            entry["resource"] = resource.clone();
        }
        entry
    };
    let transaction =
        |entry: Value| json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry] });
    let code = "?code=https://delt.example/fhir/CodeSystem/assessment%7Czone";
    for reply in [
        service.put(&owner, &path, Some("W/\"1\""), &forged).await,
        service.delete(&owner, &path, Some("W/\"1\"")).await,
        service
            .delete(&owner, &format!("/Observation{code}"), None)
            .await,
        service
            .post(&owner, "/", &transaction(change("PUT", Some(&forged))))
            .await,
        service
            .post(&owner, "/", &transaction(change("DELETE", None)))
            .await,
    ] {
        assert_eq!(
            reply.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            reply.json
        );
    }
    assert_eq!(results(&service, ZONES).await, found);
}

/// A CAT that came to this, all eight answers with it.
fn cat(key: &str, when: &str, total: u32) -> Value {
    let part = |n: u32| {
        let points = total / 8 + u32::from(n <= total % 8);
        json!({"linkId": n.to_string(), "answer": [{"valueInteger": points}]})
    };
    let mut items: Vec<Value> = (1..=8).map(part).collect();
    items.push(json!({"linkId": "score", "answer": [{"valueInteger": total}]}));
    json!({
        "resourceType": "QuestionnaireResponse",
        "identifier": {"system": "urn:example:answers", "value": key},
        "questionnaire": "https://delt.example/fhir/Questionnaire/cat|1",
        "status": "completed",
        "subject": {"identifier": {"system": fhir::systems::FNR, "value": ragnhild().number}},
        "authored": when,
        "item": items,
    })
}

#[tokio::test]
async fn the_score_of_answers_is_judged_by_the_plan_and_corrected_with_them() {
    let service = assessing().await;
    let band = |zone, low: Option<&str>, high: Option<&str>, over: Option<&str>| Criterion {
        kind: "cat-score".into(),
        part: None,
        zone,
        low: low.map(decimal),
        high: high.map(decimal),
        unit: "{score}".into(),
        repeated: None,
        baseline: over.map(|delta| fhir::plan::Baseline {
            value: decimal("18"),
            delta: Some(decimal(delta)),
        }),
    };
    // Baseline 18 and + 5.
    let limits = PlanLimits {
        title: "Egenbehandlingsplan (syntetisk)".into(),
        version: Some("1".into()),
        status: "active".into(),
        identifier: Some(("urn:example:plans".into(), "cat".into())),
        start: Some("2026-11-01".into()),
        patient: Some(identifier(ragnhild())),
        criteria: vec![
            band(Zone::Green, None, Some("22"), None),
            band(Zone::Yellow, Some("23"), None, Some("5")),
        ],
        schedule: vec![Scheduled {
            kind: "cat-score".into(),
            days: vec![],
            times: vec!["08:30:00".into()],
            from: None,
            through: None,
        }],
        ..PlanLimits::default()
    };
    let plan: Value = serde_json::from_slice(&plan_to_json(&limits)).unwrap();
    service.created(&plan).await;
    let mut wrong = cat("q-4", "2026-11-20T08:31:00+01:00", 30);
    wrong["item"][0]["answer"][0]["valueInteger"] = json!(1);
    let mut begun = cat("q-5", "2026-11-20T08:32:00+01:00", 30);
    begun["status"] = json!("in-progress");
    for body in [
        cat("q-1", "2026-11-17T08:30:00+01:00", 18),
        cat("q-2", "2026-11-18T08:30:00+01:00", 22),
        wrong,
        begun,
    ] {
        service.created(&body).await;
    }
    let id = service
        .created(&cat("q-3", "2026-11-19T08:30:00+01:00", 23))
        .await;
    let found = results(&service, ZONES).await;
    // A score that is not the sum of its parts is judged as little as what is not finished.
    assert_eq!(zones(&found), ["green", "green", "yellow"]);
    let input = format!("QuestionnaireResponse/{id}/_history/1");
    assert_eq!(found[2]["derivedFrom"], json!([{"reference": input}]));
    assert!(found[2]["component"].is_null(), "the plan asks for it");
    // Corrected, it is judged by what it says now; taken back, not at all.
    let owner = service.record_system(FJELLVIK);
    let mut corrected = cat("q-3", "2026-11-19T08:30:00+01:00", 21);
    corrected["status"] = json!("amended");
    corrected["id"] = json!(id);
    let path = format!("/QuestionnaireResponse/{id}");
    let reply = service
        .put(&owner, &path, Some("W/\"1\""), &corrected)
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let found = results(&service, ZONES).await;
    assert_eq!(zones(&found), ["green", "green", "green"]);
    corrected["status"] = json!("entered-in-error");
    let reply = service
        .put(&owner, &path, Some("W/\"2\""), &corrected)
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    assert_eq!(
        results(&service, ZONES).await[2]["status"],
        "entered-in-error"
    );
}

#[tokio::test]
async fn resources_as_long_as_they_may_be_keep_nothing_from_being_judged() {
    let service = assessing().await;
    let long = |mut body: Value| {
        let room = (2 << 20) - body.to_string().len() - 200;
        let note = |length: usize| json!({ "text": "x".repeat(length) });
        body["note"] = json!([note(room / 3), note(room / 3), note(room / 3)]);
        let short = (2 << 20) - body.to_string().len();
        body["note"][0] = note(room / 3 + short);
        assert_eq!(body.to_string().len(), 2 << 20);
        body
    };
    service
        .created(&long(plan(ragnhild(), "1", ("2026-11-01", None), "84")))
        .await;
    let when = "2026-11-20T08:30:00+01:00";
    service
        .created(&long(reading(ragnhild(), "a", when, "48")))
        .await;
    assert_eq!(zones(&results(&service, ZONES).await), ["red"]);
}

#[tokio::test]
async fn what_was_taken_back_holds_again_when_its_plan_does() {
    let service = assessing().await;
    let owner = service.record_system(FJELLVIK);
    planned(&service).await;
    let when = "2026-11-20T08:30:00+01:00";
    service.created(&reading(ragnhild(), "a", when, "48")).await;
    assert_eq!(results(&service, ZONES).await[0]["status"], "final");
    // A later plan that says nothing of saturation, entered by mistake and withdrawn.
    let mut other = plan(ragnhild(), "2", ("2026-11-10", None), "84");
    other.as_object_mut().unwrap().remove("goal");
    other.as_object_mut().unwrap().remove("contained");
    other.as_object_mut().unwrap().remove("supportingInfo");
    let id = service.created(&other).await;
    assert_eq!(
        results(&service, ZONES).await[0]["status"],
        "entered-in-error"
    );
    let reply = service
        .delete(&owner, &format!("/CarePlan/{id}"), Some("W/\"1\""))
        .await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.json);
    let found = results(&service, ZONES).await;
    assert_eq!(
        (zones(&found), &found[0]["status"]),
        (vec!["red"], &json!("amended"))
    );
}

#[tokio::test]
async fn a_plan_whose_limits_cannot_be_read_does_not_leave_the_earlier_ones_in_force() {
    let service = assessing().await;
    planned(&service).await;
    let mut broken = plan(ragnhild(), "2", ("2026-11-10", None), "84");
    let target = &mut broken["contained"][0]["target"][0];
    target["detailRange"]["low"]["code"] = json!("/min");
    service.created(&broken).await;
    for (key, when) in [
        ("a", "2026-11-05T08:30:00+01:00"),
        ("b", "2026-11-20T08:30:00+01:00"),
    ] {
        service.created(&reading(ragnhild(), key, when, "89")).await;
    }
    let found = results(&service, ZONES).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["effectiveDateTime"], "2026-11-05T07:30:00Z");
}

#[tokio::test]
async fn what_was_made_of_an_erased_reading_is_erased_and_the_rest_is_judged_anew() {
    let service = assessing().await;
    let owner = service.record_system(FJELLVIK);
    planned(&service).await;
    let mut made = Vec::new();
    for (key, when) in [
        ("a", "2026-11-19T08:28:00+01:00"),
        ("b", "2026-11-19T08:45:00+01:00"),
    ] {
        made.push(service.created(&reading(ragnhild(), key, when, "87")).await);
    }
    let found = results(&service, ZONES).await;
    assert_eq!(zones(&found), ["green", "yellow"]);
    let erased = format!("Observation/{}", made[0]);
    let order = json!({"resourceType": "Parameters", "parameter": [
        {"name": "ground", "valueCode": "deletion-decision"},
        {"name": "order", "valueString": "o-1"},
        {"name": "decision", "valueString": "d-1"},
        {"name": "scope", "valueCode": "resource"},
        {"name": "resource", "valueReference": {"reference": erased}},
    ]});
    let reply = service.post(&owner, "/$purge", &order).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    // The second is the first such reading now.
    let left = results(&service, ZONES).await;
    assert_eq!(zones(&left), ["green"]);
    assert!(!left[0].to_string().contains(&made[0]), "{}", left[0]);
    assert!(left[0]["derivedFrom"].to_string().contains(&made[1]));
    for one in &found {
        let path = format!("/Observation/{}", one["id"].as_str().unwrap());
        let reply = service.get(&owner, &path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.json);
    }
}
