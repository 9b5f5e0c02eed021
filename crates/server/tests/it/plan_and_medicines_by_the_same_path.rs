//! The self-management plan and both medication lists come by the same look-up as the measurements: the plan's limits can be
//! computed with, and lists that differ stand side by side (issue 2, item 5).

use crate::kit::lookup::{Screen, receipt};
use crate::kit::region;
use fhir::json::{Json, Limits};
use fhir::measurement::Decimal;
use fhir::plan::{Measure, PlanLimits, Zone};
use jiff::civil::Time;
use serde_json::Value;
use testkit::calendar::{Calendar, moment};

const PREDNISOLONE: &str = "H02AB06";

#[tokio::test]
async fn the_plan_has_limits_that_a_program_can_use() {
    let region = region::shared().await;
    let patient = region.story_patient().unwrap();
    let reply = Screen::physician(region, patient)
        .await
        .search_for(patient, "CarePlan", &[])
        .await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    assert!(receipt(&reply).is_whole());
    let plans: Vec<PlanLimits> = reply.matches().into_iter().map(read).collect();
    let first = plans
        .iter()
        .find(|plan| plan.version.as_deref() == Some("1"))
        .expect("plan v1");
    let saturation = Measure::whole("oxygen-saturation", "%");
    let zone = |value: &str| first.zone_of(saturation, Decimal::parse(value).unwrap());
    // STORY.md's borders: 88/87, 85/84.
    assert_eq!(
        [zone("88"), zone("87"), zone("85"), zone("84")],
        [
            Some(Zone::Green),
            Some(Zone::Yellow),
            Some(Zone::Yellow),
            Some(Zone::Red)
        ]
    );
    assert!(!first.schedule.is_empty() && first.missing.is_some() && !first.standing.is_empty());
}

fn read(resource: &Value) -> PlanLimits {
    let json = Json::parse(resource.to_string().into_bytes(), Limits::RESOURCE).unwrap();
    PlanLimits::read(json.root()).expect("a plan with limits")
}

#[tokio::test]
async fn the_gps_and_the_hospitals_lists_stand_side_by_side() {
    let region = region::shared().await;
    let patient = region.story_patient().unwrap();
    let reply = Screen::physician(region, patient)
        .await
        .search_for(patient, "MedicationStatement", &[("_count", "200")])
        .await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    assert!(receipt(&reply).is_whole());
    let mut doses: Vec<(String, String)> = reply
        .matches()
        .into_iter()
        .filter_map(prednisolone)
        .collect();
    doses.sort();
    let mut expected = vec![("310001147".to_owned(), "30 mg".to_owned())];
    if the_hospital_has_begun(region.data()) {
        expected.insert(0, ("310001074".to_owned(), "40 mg".to_owned()));
    }
    assert_eq!(doses, expected, "shown, not merged");
    // The same medicine on both lists is two entries, one of each organisation.
    let tiotropium: Vec<&Value> = reply
        .matches()
        .into_iter()
        .filter(|one| one.to_string().contains("R03BB04"))
        .collect();
    assert_eq!(tiotropium.len(), 2);
}

/// Source and dose of an active course of prednisolone.
fn prednisolone(statement: &Value) -> Option<(String, String)> {
    let codings = statement["contained"][0]["code"]["coding"].as_array()?;
    let right = statement["status"] == "active"
        && codings.iter().any(|coding| coding["code"] == PREDNISOLONE);
    let dose = &statement["dosage"][0]["doseAndRate"][0]["doseQuantity"];
    right.then(|| {
        let source = statement["informationSource"]["identifier"]["value"]
            .as_str()
            .unwrap()
            .to_owned();
        (
            source,
            format!("{} {}", dose["value"], dose["unit"].as_str().unwrap()),
        )
    })
}

/// The hospital starts its course on day 3 at 13:00, which may not have come when the region first started.
fn the_hospital_has_begun(data: &std::path::Path) -> bool {
    let state: Value =
        serde_json::from_slice(&std::fs::read(data.join("demo.json")).unwrap()).unwrap();
    let calendar = Calendar::from_day0(state["day_zero"].as_str().unwrap().parse().unwrap());
    moment(&calendar.at(3, Time::constant(13, 0, 0, 0))).0 <= state["first_start"].as_i64().unwrap()
}
