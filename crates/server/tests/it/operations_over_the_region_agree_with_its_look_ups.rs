//! `$lastn`, `$stats`, `$everything` and a read by address over the region say what the region's look-ups say.

use crate::kit::lookup::{Screen, person};
use crate::kit::region;
use serde_json::Value;
use testkit::clients::{Reply, now};
use testkit::region::Region;
use wire::client::Request;

/// Oxygen saturation.
const SPO2: &str = "http://loinc.org|2708-6";

async fn post(region: &Region, screen: &Screen, path: &str, form: &[(&str, &str)]) -> Reply {
    let url = format!("{}/{path}", region.gateway());
    let reply = screen
        .send(Request::post_form(url, form.iter().copied()))
        .await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.json);
    reply
}

#[tokio::test]
async fn the_newest_and_the_numbers_are_those_of_the_list() {
    let region = region::shared().await;
    let patient = region.story_patient().unwrap();
    let screen = Screen::physician(region, patient).await;
    let person = person(patient);
    // Of yesterday and before, so that what other stories send meanwhile makes no difference.
    let end = now().plus_seconds(-24 * 3600).to_string();
    let before = format!("lt{end}");
    let form = [("code", SPO2), ("date", before.as_str())];
    let listed = screen.all(patient, "Observation", &form).await;
    assert!(listed.len() > 10, "{}", listed.len());
    let whose = ("patient.identifier", person.as_str());
    let newest = [whose, ("code", SPO2), ("date", before.as_str())];
    let newest = post(region, &screen, "Observation/$lastn", &newest).await;
    assert_eq!(newest.matches(), [&listed[0]]);

    let counted = [
        whose,
        ("code", SPO2),
        ("statistic", "count"),
        ("end", end.as_str()),
    ];
    let counted = post(region, &screen, "Observation/$stats", &counted).await;
    let valid = |one: &&Value| one["status"] != "entered-in-error";
    let listed = listed.iter().filter(valid).count();
    let said = &counted.json["parameter"][0]["resource"]["component"][0]["valueInteger"];
    assert_eq!(said.as_u64(), Some(listed as u64), "{}", counted.json);
}

#[tokio::test]
async fn everything_is_in_the_order_of_its_types() {
    const KINDS: [&str; 3] = ["Patient", "CarePlan", "MedicationStatement"];
    let region = region::shared().await;
    let patient = region.story_patient().unwrap();
    let screen = Screen::physician(region, patient).await;
    let form = [("_count", "200"), ("_type", &KINDS.join(","))];
    let everything = post(region, &screen, "Patient/$everything", &form).await;
    let at = |one: &&Value| KINDS.iter().position(|kind| one["resourceType"] == *kind);
    let found = everything.matches();
    let found: Vec<usize> = found.iter().map(|one| at(one).unwrap()).collect();
    assert!(found.is_sorted(), "{found:?}");
    assert!(
        (0..KINDS.len()).all(|kind| found.contains(&kind)),
        "{found:?}"
    );
}

#[tokio::test]
async fn what_a_look_up_showed_is_read_again_by_its_address() {
    let region = region::shared().await;
    let patient = region.story_patient().unwrap();
    let screen = Screen::physician(region, patient).await;
    let form = [("code", SPO2), ("_count", "1")];
    let shown = screen.search_for(patient, "Observation", &form).await;
    let entry = &shown.json["entry"][0];
    let url = entry["fullUrl"].as_str().unwrap();
    let holder = &entry["extension"][0]["extension"][0]["valueIdentifier"]["value"];
    let form = [("url", url), ("organization", holder.as_str().unwrap())];
    let read = post(region, &screen, "$read", &form).await;
    assert_eq!(read.matches(), [&entry["resource"]], "{}", read.json);
}
