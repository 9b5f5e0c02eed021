//! Oxygen that a saturation itself names (no-domain VitalSigns): a part of NEWS2, and no air that the plan's limits are for.

use super::*;
use crate::alert::alerts;
use crate::work_list::list;

const NO_DOMAIN: &str =
    "http://hl7.no/fhir/no-domain/vitalsigns/StructureDefinition/NoDomainVitalSigns";

/// A saturation with these parts of no-domain's `inspiredOxygen`.
fn breathing(key: &str, when: &str, value: &str, parts: &[(&str, Value)]) -> Value {
    let mut body = reading(ragnhild(), key, when, value);
    let part = |(name, value): &(&str, Value)| {
        let mut part = value.clone();
        part["url"] = json!(format!("{NO_DOMAIN}{name}Extension"));
        part
    };
    let parts: Vec<_> = parts.iter().map(part).collect();
    body["extension"] = json!([{
        "url": format!("{NO_DOMAIN}InspiredOxygenExtension"), "extension": parts,
    }]);
    body
}

fn flow(ml_a_minute: u32) -> (&'static str, Value) {
    let quantity = json!({ "value": ml_a_minute, "unit": "ml/min" });
    ("Flow", json!({ "valueQuantity": quantity }))
}

fn on_air() -> (&'static str, Value) {
    ("OnAir", json!({ "valueBoolean": true }))
}

/// Points of air or oxygen, or why there are none; and the notes.
fn air(score: &Value) -> (Option<u64>, String) {
    let is_air = |one: &&Value| one["code"].to_string().contains("1104331000000105");
    let mut parts = score["component"].as_array().unwrap().iter();
    let part = parts.find(is_air).unwrap();
    (
        part["valueQuantity"]["value"].as_u64(),
        score["note"].to_string(),
    )
}

#[tokio::test]
async fn what_a_saturation_says_of_oxygen_counts_and_what_contradicts_itself_is_missing() {
    let service = assessing().await;
    service
        .created(&plan(ragnhild(), "1", ("2026-11-01", None), "84"))
        .await;
    let at = |day: u32| format!("2026-11-{day}T08:30:00+01:00");
    for body in [
        breathing("air", &at(17), "92", &[on_air()]),
        // As the published example has it: six litres a minute, on air.
        breathing("both", &at(18), "92", &[flow(6100), on_air()]),
        breathing("oxygen", &at(20), "92", &[flow(2000)]),
    ] {
        service.created(&body).await;
    }
    let scores = results(&service, NEWS2).await;
    assert_eq!(scores.len(), 3);
    assert_eq!(air(&scores[0]).0, Some(0));
    let (points, notes) = air(&scores[1]);
    assert!(
        points.is_none() && notes.contains("sier imot seg selv"),
        "{notes}"
    );
    assert_eq!(air(&scores[2]).0, Some(2));

    // By the plan she breathes air, and its limits are for that.
    let found = results(&service, ZONES).await;
    let zone = |one: &Value| one["valueCodeableConcept"]["coding"][0]["code"].clone();
    assert_eq!(
        found.iter().map(zone).collect::<Vec<_>>(),
        [json!("green"), json!(null), json!(null)]
    );
    let why: Vec<_> = found[1..]
        .iter()
        .map(|one| &one["component"][0]["dataAbsentReason"]["coding"][0]["code"])
        .collect();
    assert_eq!(why, ["unknown", "not-applicable"]);
    let row = list(&service, &[]).await.rows.remove(0);
    assert!(row.unread, "nobody has said that she is well");
    assert!(alerts(&service).await.is_empty());
}
