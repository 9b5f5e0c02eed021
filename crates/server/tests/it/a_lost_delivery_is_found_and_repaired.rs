//! A record system loses one delivery on its way to its sharing service and does not know. Comparing copy and record finds
//! the one reading, the ordinary feed repairs it, and what others see is whole again (issue 3, item 6).

use crate::kit::lookup::{Screen, identifier};
use crate::kit::region;
use bytes::Bytes;
use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::resource::ResourceType;
use fhir::time::Zone;
use serde_json::{Value, json};
use testkit::feed::Feed;
use testkit::feed::reconcile::{Difference, Series};
use wire::contract::demo::{ClientUse, DemoPatient};
use wire::contract::sharing::Agreement;

/// A patient of whom nobody else here measures the height.
const PATIENT: usize = 8;
const PROVEHEIM: &str = "310001074";
const FJELLVIK: &str = "310001007";
const LOINC: &str = "http://loinc.org";
const HEIGHT: &str = "8302-2";

fn height(patient: &DemoPatient, number: usize, when: &str, status: &str, value: &str) -> Bytes {
    let quantity: serde_json::Number = value.parse().unwrap();
    let body: Value = json!({
        "resourceType": "Observation",
        "identifier": [{"system": "urn:example:epj:height", "value": format!("h-{number}")}],
        "status": status,
        "category": [{"coding": [{"system": fhir::systems::OBSERVATION_CATEGORY, "code": "vital-signs"}]}],
        "code": {"coding": [{"system": LOINC, "code": HEIGHT}]},
        "subject": {"identifier": {"system": fhir::systems::FNR, "value": patient.fnr.expose()}},
        "effectiveDateTime": when,
        "valueQuantity": {"value": quantity, "unit": "cm", "system": "http://unitsofmeasure.org", "code": "cm"},
    });
    body.to_string().into()
}

#[tokio::test]
async fn a_lost_delivery_is_found_and_repaired() {
    let region = region::shared().await;
    let patient = &region.ready.patients[PATIENT];
    let service = region.service("proveheim").unwrap();
    let feed = Feed::new(
        region
            .party(ClientUse::RecordSystem, Some(PROVEHEIM))
            .unwrap(),
        "proveheim",
        &service.fhir,
    );
    // What the record holds: the third lies in March by Norwegian time.
    let held: Vec<Bytes> = [
        "2026-02-01T08:00:00+01:00",
        "2026-02-28T08:00:00+01:00",
        "2026-02-28T23:30:00Z",
        "2026-03-02",
        "2026-04-01T08:00:00+02:00",
    ]
    .iter()
    .enumerate()
    .map(|(n, when)| height(patient, n, when, "final", "171.50"))
    .collect();
    let series = Series {
        patient: PersonIdentifier::guess(patient.fnr.expose(), PersonNumbers::Strict).unwrap(),
        resource_type: ResourceType::OBSERVATION,
        code: (LOINC.to_owned(), HEIGHT.to_owned()),
        held,
    };
    const LOST: usize = 2;
    let mut places = Vec::new();
    for (n, body) in series.held.iter().enumerate().filter(|(n, _)| *n != LOST) {
        places.push((n, feed.create("Observation", body.clone()).await.unwrap()));
    }

    let zone = Zone::default();
    let found = feed.reconcile(&series, &zone).await.unwrap();
    let missing = Difference {
        state: Agreement::Missing,
        held: Some(LOST),
        place: None,
    };
    assert_eq!(found, [missing]);
    assert_eq!(seen(region, patient).await.len(), series.held.len() - 1);
    feed.repair(&series, &found).await.unwrap();
    assert_eq!(feed.reconcile(&series, &zone).await.unwrap(), []);
    assert_eq!(
        seen(region, patient).await,
        ["h-0", "h-1", "h-2", "h-3", "h-4"]
    );

    // A correction that never came, and one that the record does not have: both are found at once and put right.
    let (last, place) = places.pop().unwrap();
    let mut series = series;
    series.held[last] = height(
        patient,
        last,
        "2026-04-01T08:00:00+02:00",
        "corrected",
        "171.5",
    );
    let strange = height(patient, 99, "2026-04-03T08:00:00+02:00", "final", "17");
    let strange = feed.create("Observation", strange).await.unwrap();
    let found = feed.reconcile(&series, &zone).await.unwrap();
    let expected = [
        (Agreement::Differs, Some(last), Some(place)),
        (Agreement::Extra, None, Some(strange)),
    ];
    let found_as = found.iter().map(|d| (d.state, d.held, d.place.clone()));
    assert_eq!(found_as.collect::<Vec<_>>(), expected);
    feed.repair(&series, &found).await.unwrap();
    assert_eq!(feed.reconcile(&series, &zone).await.unwrap(), []);

    // The demo promises no age; what the record system says of it is taken down and shown.
    let now = testkit::clients::now();
    assert_eq!(feed.say_as_of(now).await.unwrap(), "unjudged");
}

/// The identifiers that the municipality's nurse sees, in order.
async fn seen(region: &testkit::region::Region, patient: &DemoPatient) -> Vec<String> {
    let nurse = region
        .ready
        .practitioners
        .iter()
        .find(|p| p.orgnr == FJELLVIK)
        .expect("a nurse at Fjellvik");
    let screen = Screen::of(region, nurse, patient, &region.gateway()).await;
    let code = format!("{LOINC}|{HEIGHT}");
    let form = [("code", code.as_str()), ("organization", PROVEHEIM)];
    let all = screen.all(patient, "Observation", &form).await;
    let mut keys: Vec<String> = all.iter().map(|one| identifier(one).to_owned()).collect();
    keys.sort();
    keys
}
