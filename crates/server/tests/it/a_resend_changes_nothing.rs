//! The same reading again is the first answer again; other content under the same name is held back, and a correction is a
//! new version (CONTRACT section 5, "One reading").

use crate::kit::lookup::{Screen, WEIGHT, identifier};
use crate::kit::reading::{Weight, collection};
use crate::kit::region;
use crate::kit::wait::until;
use serde_json::Value;
use testkit::bundle::{BundleKind, read_answers};
use testkit::home_system::HomeSystem;
use testkit::region::Region;
use wire::contract::demo::{ClientUse, DemoPatient};

/// A patient of Fjellvik whom no other story here adds to.
const ARNE: usize = 1;
/// Another.
const EVEN: usize = 5;

fn home(region: &Region) -> HomeSystem {
    HomeSystem::new(
        region.party(ClientUse::HomeSystem, None).unwrap(),
        &region.ready.hub,
    )
}

async fn weights(region: &Region, patient: &DemoPatient) -> Vec<Value> {
    Screen::physician(region, patient)
        .await
        .all(patient, "Observation", &[("code", WEIGHT)])
        .await
}

/// Waits until a look-up shows a reading with this value.
async fn shown(region: &Region, patient: &DemoPatient, weight: &Weight) -> Vec<Value> {
    let value = serde_json::from_str::<Value>(weight.value).unwrap();
    until("the reading is shown", async || {
        let found = weights(region, patient).await;
        let ours = found.iter().any(|one| {
            identifier(one) == weight.identifier && one["valueQuantity"]["value"] == value
        });
        ours.then_some(found)
    })
    .await
}

#[tokio::test]
async fn a_reading_sent_again_is_answered_as_at_first_and_counted_once() {
    let region = region::shared().await;
    let patient = &region.ready.patients[ARNE];
    let home = home(region);
    let weight = Weight::of(patient.fnr.expose());
    let first = home.send_one(weight.json()).await.unwrap();
    assert_eq!(first.status, 201);
    let before = shown(region, patient, &weight).await;

    let again = home.send_one(weight.json()).await.unwrap();
    assert_eq!(
        (again.status.as_u16(), &again.headers["location"]),
        (200, &first.headers["location"])
    );
    // Alone and in a bundle, twice in the same bundle, beside a new one: still the same reading.
    let new = Weight {
        value: "62.0",
        ..Weight::of(patient.fnr.expose())
    };
    let bundle = collection(&[weight.json(), new.json(), weight.json(), new.json()]);
    for statuses in [[200, 201, 200, 200], [200, 200, 200, 200]] {
        let answer = home.send_bundle(bundle.clone()).await.unwrap();
        let answers = read_answers(&answer.body, 4).expect("an answer for each entry");
        assert_eq!(
            answers.iter().map(|a| a.status).collect::<Vec<_>>(),
            statuses
        );
        assert_eq!(answers[0].id, answers[2].id);
        assert_eq!(answers[1].id, answers[3].id);
    }
    let after = shown(region, patient, &new).await;
    assert_eq!(after.len(), before.len() + 1);
}

#[tokio::test]
async fn other_content_is_held_back_and_a_correction_is_a_new_version() {
    let region = region::shared().await;
    let patient = &region.ready.patients[EVEN];
    let home = home(region).sending(BundleKind::Collection);
    let first = Weight::of(patient.fnr.expose());
    assert_eq!(home.send_one(first.json()).await.unwrap().status, 201);
    let before = shown(region, patient, &first).await;

    let other = Weight {
        value: "61.5",
        ..first.clone()
    };
    let held = home.send_one(other.json()).await.unwrap();
    assert_eq!(held.status, 422);
    let outcome: Value = serde_json::from_slice(&held.body).unwrap();
    assert!(
        outcome["issue"][0]["diagnostics"]
            .as_str()
            .unwrap()
            .contains("correct"),
        "{outcome}"
    );

    let corrected = Weight {
        status: "corrected",
        ..other
    };
    assert_eq!(home.send_one(corrected.json()).await.unwrap().status, 201);
    let after = shown(region, patient, &corrected).await;
    assert_eq!(after.len(), before.len());
    let ours: Vec<&Value> = after
        .iter()
        .filter(|one| identifier(one) == first.identifier)
        .collect();
    assert_eq!(
        (
            ours.len(),
            &ours[0]["meta"]["versionId"],
            &ours[0]["status"]
        ),
        (1, &"2".into(), &"corrected".into())
    );
}
