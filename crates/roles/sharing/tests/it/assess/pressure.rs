//! Limits of a blood pressure: each part by its own, the gravest counts, and what was not measured is not taken to be well.

use super::*;
use crate::alert::alerts;
use crate::work_list::list;

/// Systolic yellow from 160 and red from 180, diastolic yellow from 100.
async fn limited() -> Service {
    let service = assessing().await;
    let of = |part: &str, zone, low: &str| Criterion {
        kind: "blood-pressure".into(),
        part: Some(part.into()),
        zone,
        low: Some(decimal(low)),
        high: None,
        unit: "mm[Hg]".into(),
        repeated: None,
        baseline: None,
    };
    let plan = with(
        &plan(ragnhild(), "1", ("2026-11-01", None), "84"),
        |limits| {
            limits.criteria.extend([
                of("systolic", Zone::Yellow, "160"),
                of("systolic", Zone::Red, "180"),
                of("diastolic", Zone::Yellow, "100"),
            ]);
        },
    );
    service.created(&plan).await;
    service
}

fn zone_of(concept: &Value) -> &str {
    concept["valueCodeableConcept"]["coding"][0]["code"]
        .as_str()
        .unwrap()
}

#[tokio::test]
async fn a_plan_limits_each_part_of_a_blood_pressure_and_the_gravest_is_the_alert() {
    let service = limited().await;
    let at = |minute: u32| format!("2026-11-20T08:{minute:02}:00+01:00");
    for (key, minute, systolic, diastolic) in [
        ("bp-1", 30, 159, 99),
        ("bp-2", 31, 159, 100),
        ("bp-3", 32, 180, 99),
    ] {
        let body = pressure(key, &at(minute), systolic, Some(diastolic));
        service.created(&body).await;
    }
    let found = results(&service, ZONES).await;
    assert_eq!(zones(&found), ["green", "yellow", "red"]);
    let parts = found[2]["component"].as_array().unwrap();
    let named: Vec<_> = parts
        .iter()
        .map(|one| (one["code"]["text"].as_str().unwrap(), zone_of(one)))
        .collect();
    assert_eq!(named, [("Diastolisk", "green"), ("Systolisk", "red")]);
    let limit = &parts[1]["referenceRange"][1]["low"];
    assert_eq!(
        (&limit["value"], &limit["unit"]),
        (&json!(180), &json!("mmHg"))
    );
    assert!(found[2]["referenceRange"].is_null());
    let alerts = alerts(&service).await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["priority"], "stat");
}

#[tokio::test]
async fn a_part_that_was_not_measured_is_said_and_hides_nothing() {
    let service = limited().await;
    let at = |minute: u32| format!("2026-11-21T08:{minute:02}:00+01:00");
    let whole = pressure("bp-1", &at(30), 150, Some(104));
    let partial = pressure("bp-2", &at(40), 150, None);
    for body in [&whole, &partial] {
        service.created(body).await;
    }
    let found = results(&service, ZONES).await;
    assert_eq!(zone_of(&found[0]), "yellow");
    assert!(found[1]["valueCodeableConcept"].is_null(), "not green");
    let absent = |one: &Value| one["dataAbsentReason"]["coding"][0]["code"].clone();
    assert_eq!(absent(&found[1]), "unknown");
    assert_eq!(absent(&found[1]["component"][0]), "not-performed");
    assert_eq!(zone_of(&found[1]["component"][1]), "green");
    // It came with the yellow one, and did not hide it.
    assert_eq!(alerts(&service).await.len(), 1);
    let row = list(&service, &[]).await.rows.remove(0);
    assert_eq!((row.zone, row.unread), (Some(Zone::Yellow), true));
    // What there is of a reading calls somebody, and the rest of it is still not known.
    let red = pressure("bp-3", &at(50), 181, None);
    service.created(&red).await;
    assert_eq!(alerts(&service).await[0]["priority"], "stat");
    let row = list(&service, &[]).await.rows.remove(0);
    assert_eq!((row.zone, row.unread), (Some(Zone::Red), true));
    let well = pressure("bp-4", &at(55), 140, Some(80));
    service.created(&well).await;
    service.state.assess_waiting().await.unwrap();
    let row = list(&service, &[]).await.rows.remove(0);
    assert_eq!((row.zone, row.unread), (Some(Zone::Green), false));
}
