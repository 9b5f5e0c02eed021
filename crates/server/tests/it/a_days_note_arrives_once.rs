//! A day's blood sugars go to the municipality's record system as one note, when the day is over (decision 0054): not before, once, and
//! whole, though the program is killed with the readings in hand and again with the note on its way. By a clock that the test puts.

use crate::kit::region;
use crate::kit::wait::until;
use serde_json::{Value, json};
use testkit::home_system::HomeSystem;
use testkit::record_system::{DOCUMENTS, FILE};
use testkit::region::Region;
use wire::contract::demo::{ClientUse, Fault};

const FJELLVIK: &str = "310001007";
const RECORD_SYSTEM: &str = "epj-fjellvik";

async fn at(region: &Region, day: i32, time: &str) {
    let played = region.play(day, time).await;
    played.unwrap_or_else(|error| panic!("day {day} {time}: {error}"));
}

/// A blood sugar measured now.
fn measured(region: &Region, key: &str, value: &str) -> String {
    let number = region.story_patient().unwrap().fnr.expose();
    let resource = json!({
        "resourceType": "Observation",
        "identifier": [{"system": "urn:example:blood-sugar", "value": key}],
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "15074-8"}]},
        "subject": {"identifier": {"system": fhir::systems::FNR, "value": number}},
        "effectiveDateTime": region.clock()().to_string(),
        "valueQuantity": {"value": 0, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
    });
    resource
        .to_string()
        .replace("\"value\":0", &format!("\"value\":{value}"))
}

async fn sends(region: &Region, key: &str, value: &str) {
    let party = region.party(ClientUse::HomeSystem, Some(FJELLVIK));
    let home = HomeSystem::new(party.unwrap(), &region.ready.hub);
    let answer = home.send_one(measured(region, key, value)).await.unwrap();
    assert_eq!(answer.status, 201);
}

/// What the record system has in one of its files that speaks of a blood sugar.
fn in_record(region: &Region, file: &str) -> Vec<String> {
    let folder = region.data().join("stores/record-systems/fjellvik");
    let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    let ours = |line: &&str| line.contains("6,20 mmol/L") || line.contains("urn:example:blood");
    text.lines().filter(ours).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_days_note_arrives_once_when_the_day_is_over_across_kills() {
    let own = region::own(&["--from-day", "0"]).await;
    let (region, folder) = (own.region, own.folder);
    for (time, key, value) in [("07:30", "b-1", "6.20"), ("12:10", "b-2", "9.4")] {
        at(&region, 0, time).await;
        sends(&region, key, value).await;
    }
    let region = region.kill_and_restart().await.expect("ready again");
    at(&region, 0, "21:40").await;
    sends(&region, "b-3", "7.1").await;
    // The day is over, and what comes late of it may still come: nothing has gone.
    at(&region, 1, "00:50").await;
    let gone = |region: &Region| [DOCUMENTS, FILE].map(|file| in_record(region, file).len());
    assert_eq!(gone(&region), [0, 0]);
    // The record system is away when the note is made, and the program is killed with it on its way.
    let dead = region.fault(RECORD_SYSTEM, Fault::Dead, None);
    dead.await.unwrap();
    at(&region, 1, "01:20").await;
    assert_eq!(gone(&region), [0, 0]);
    let region = region.kill_and_restart().await.expect("ready again");
    at(&region, 1, "02:00").await;
    until("the note in the record", async || {
        (gone(&region) != [0, 0]).then_some(())
    })
    .await;
    at(&region, 2, "02:00").await;
    let notes = in_record(&region, DOCUMENTS);
    let [note] = &notes[..] else {
        panic!("one note: {notes:?}")
    };
    let note: Value = serde_json::from_str(note).unwrap();
    let text = note.to_string();
    let all = [
        "07:30 ",
        "6,20 mmol/L",
        "12:10 ",
        "9,4 mmol/L",
        "21:40 ",
        "7,1 mmol/L",
    ];
    let mut from = 0;
    for words in all {
        let place = text[from..].find(words);
        from += place.unwrap_or_else(|| panic!("{words}: {text}"));
    }
    assert!(
        in_record(&region, FILE).is_empty(),
        "not one by one besides"
    );
    let data = region.data().to_owned();
    region.stop().await.unwrap();
    crate::kit::stores::all_trails_are_whole(&data).await;
    drop(folder);
}
