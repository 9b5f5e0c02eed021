//! The patient binding of a token (CONTRACT section 3): a search that names another patient finds nothing, a read of
//! another patient's resource is as a read of nothing, and both are on record as refused.

use crate::kit::lookup::{Screen, person};
use crate::kit::region;
use serde_json::Value;
use testkit::clients::Reply;
use wire::contract::demo::DemoPatient;

const TYPES: [&str; 4] = ["Observation", "CarePlan", "MedicationStatement", "Patient"];

/// Everyone holds data about her.
const HILDE: usize = 8;

/// A search for `other` with a token for somebody else.
async fn ask_for(screen: &Screen, other: &DemoPatient, resource_type: &str) -> Reply {
    let person = person(other);
    let name = if resource_type == "Patient" {
        "identifier"
    } else {
        "patient.identifier"
    };
    screen
        .search(resource_type, &[(name, person.as_str())])
        .await
}

/// An answer without what differs in any two answers.
fn without_request_id(reply: &Reply) -> (u16, Value) {
    let mut json = reply.json.clone();
    json.as_object_mut().unwrap().remove("id");
    (reply.status.as_u16(), json)
}

#[tokio::test]
async fn a_search_for_another_patient_finds_nothing_anywhere() {
    let region = region::shared().await;
    let (ours, other) = (
        region.story_patient().unwrap(),
        &region.ready.patients[HILDE],
    );
    assert_eq!(other.holders.len(), region.ready.services.len());
    let mut audiences: Vec<String> = region
        .ready
        .services
        .iter()
        .map(|service| service.fhir.clone())
        .collect();
    audiences.push(region.gateway());
    for audience in &audiences {
        let about_other = Screen::of(region, region.physician().unwrap(), other, audience).await;
        let asked = ask_for(&about_other, other, "Observation").await;
        assert!(
            !asked.matches().is_empty(),
            "{audience} holds nothing, so it shows nothing"
        );
        let screen = Screen::of(region, region.physician().unwrap(), ours, audience).await;
        for resource_type in TYPES {
            let reply = ask_for(&screen, other, resource_type).await;
            assert_eq!(
                (reply.status.as_u16(), reply.matches().len()),
                (200, 0),
                "{audience} {resource_type}: {}",
                reply.json
            );
            assert_eq!(reply.json["total"], 0, "{audience} {resource_type}");
        }
    }
}

#[tokio::test]
async fn another_patients_resource_is_as_if_it_were_not_there() {
    let region = region::shared().await;
    let (ours, other) = (
        region.story_patient().unwrap(),
        &region.ready.patients[HILDE],
    );
    for service in &region.ready.services {
        let theirs = Screen::of(region, region.physician().unwrap(), other, &service.fhir).await;
        let screen = Screen::of(region, region.physician().unwrap(), ours, &service.fhir).await;
        let found = ask_for(&theirs, other, "Observation").await;
        let id = found.matches()[0]["id"].as_str().unwrap().to_owned();
        let address = |id: &str| format!("{}/Observation/{id}", service.fhir);
        assert_eq!(
            theirs.get(&address(&id)).await.status,
            200,
            "{}",
            service.id
        );
        let hidden = screen.get(&address(&id)).await;
        let unknown = screen
            .get(&address(&uuid::Uuid::new_v4().to_string()))
            .await;
        assert_eq!(hidden.status, 404, "{}", service.id);
        assert_eq!(
            without_request_id(&hidden),
            without_request_id(&unknown),
            "{}: the answer gives it away",
            service.id
        );
        // Nor by the patient's own logical id.
        let patient = ask_for(&theirs, other, "Patient").await.matches()[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let reply = screen
            .search("Observation", &[("patient", &format!("Patient/{patient}"))])
            .await;
        assert_eq!(
            (reply.status.as_u16(), reply.matches().len()),
            (200, 0),
            "{}",
            service.id
        );
    }
}

#[tokio::test]
async fn a_search_without_a_patient_shows_the_tokens_patient_only() {
    let region = region::shared().await;
    let ours = region.story_patient().unwrap();
    let service = region.service("fjellvik").unwrap();
    let screen = Screen::of(region, region.physician().unwrap(), ours, &service.fhir).await;
    let reply = screen.search("Observation", &[("_count", "200")]).await;
    assert!(!reply.matches().is_empty());
    for found in reply.matches() {
        assert_eq!(
            found["subject"]["identifier"]["value"].as_str(),
            Some(ours.fnr.expose())
        );
    }
}

#[tokio::test]
async fn the_patient_who_was_asked_about_and_the_tokens_own_both_see_that_it_was_refused() {
    let region = region::shared().await;
    // Two patients whom no other story looks up at this service.
    let (ours, other) = (&region.ready.patients[4], &region.ready.patients[7]);
    let service = &region.service("kystregionen").unwrap().fhir;
    let screen = Screen::of(region, region.physician().unwrap(), ours, service).await;
    assert!(
        ask_for(&screen, other, "Observation")
            .await
            .matches()
            .is_empty()
    );
    for (patient, another) in [(ours, other), (other, ours)] {
        let citizen = Screen::citizen(region, patient, service).await;
        let trail = citizen.search("AuditEvent", &[]).await;
        assert_eq!(trail.status, 200, "{}", trail.json);
        let refused = |event: &&&Value| event["outcome"] == "4";
        let events = trail.matches();
        assert_eq!(events.iter().filter(refused).count(), 1, "{}", trail.json);
        assert!(!trail.json.to_string().contains(another.fnr.expose()));
    }
}
