//! A hospital does not send through the hub: its record system feeds its own sharing service, corrects and withdraws, and
//! what other organisations see follows (issue 2, item 4).

use crate::kit::lookup::{Screen, WEIGHT, identifier};
use crate::kit::reading::Weight;
use crate::kit::region;
use serde_json::{Value, json};
use testkit::feed::{Feed, Place};
use testkit::region::Region;
use wire::contract::demo::{ClientUse, DemoPatient};

/// A patient of Prøveheim whom no other story here adds to.
const IVAR: usize = 9;
const PROVEHEIM: &str = "310001074";
const FJELLVIK: &str = "310001007";

/// Value and version of a reading as the municipality's nurse sees it.
async fn shown(region: &Region, patient: &DemoPatient, weight: &Weight) -> Option<(Value, Value)> {
    let nurse = region
        .ready
        .practitioners
        .iter()
        .find(|p| p.orgnr == FJELLVIK)
        .expect("a nurse at Fjellvik");
    let screen = Screen::of(region, nurse, patient, &region.gateway()).await;
    let all = screen
        .all(
            patient,
            "Observation",
            &[("code", WEIGHT), ("organization", PROVEHEIM)],
        )
        .await;
    let mut ours = all
        .iter()
        .filter(|one| identifier(one) == weight.identifier);
    let found = ours.next().map(|one| {
        (
            one["valueQuantity"]["value"].clone(),
            one["meta"]["versionId"].clone(),
        )
    });
    assert!(ours.next().is_none(), "one reading is shown twice");
    found
}

#[tokio::test]
async fn what_a_record_system_creates_corrects_and_withdraws_others_see() {
    let region = region::shared().await;
    let patient = &region.ready.patients[IVAR];
    assert!(patient.holders.contains(&PROVEHEIM.to_owned()));
    let service = region.service("proveheim").unwrap();
    let feed = Feed::new(
        region
            .party(ClientUse::RecordSystem, Some(PROVEHEIM))
            .unwrap(),
        "proveheim",
        &service.fhir,
    );
    let weight = Weight {
        value: "80.10",
        ..Weight::of(patient.fnr.expose())
    };

    let place = feed.create("Observation", weight.json()).await.unwrap();
    assert_eq!(
        shown(region, patient, &weight).await,
        Some((json!(80.10), json!("1")))
    );

    let corrected = Weight {
        value: "81.20",
        status: "corrected",
        ..weight.clone()
    };
    let answer = feed
        .correct("Observation", &place, corrected.json().as_bytes())
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(
        shown(region, patient, &weight).await,
        Some((json!(81.20), json!("2")))
    );

    // A correction of what is no longer current is not written over it.
    let stale = feed
        .correct("Observation", &place, corrected.json().as_bytes())
        .await
        .unwrap();
    assert_eq!(stale.status, 412);
    let current = Place {
        version: "2".to_owned(),
        ..place.clone()
    };
    assert!(
        feed.withdraw("Observation", &current)
            .await
            .unwrap()
            .status
            .is_success()
    );
    assert_eq!(shown(region, patient, &weight).await, None);
    assert_eq!(
        feed.read("Observation", &place.id).await.unwrap().status,
        410
    );
}
