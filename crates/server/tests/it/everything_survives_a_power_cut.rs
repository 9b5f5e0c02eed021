//! kill -9 while the history goes in, and again when all is there: what was acknowledged is there, and nothing twice. What
//! must be there is told by the scenario's own events, not by an earlier answer.

use crate::kit::lookup::{Screen, identifier};
use crate::kit::process::free_port;
use crate::kit::reading::Weight;
use crate::kit::wait::until;
use crate::kit::{DELT, stores};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use testkit::calendar::Calendar;
use testkit::event::Action;
use testkit::home_system::HomeSystem;
use testkit::observation;
use testkit::people::Directory;
use testkit::region::{Region, Start};
use wire::contract::demo::ClientUse;

/// System of the names of what a service made itself of readings.
const ASSESSED: &str = "https://delt.example/fhir/assessment";

#[tokio::test]
async fn after_kill_9_during_and_after_the_history_everything_is_there_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("region");
    kill_in_the_middle_of_the_history(&data).await;

    let start = Start::new(DELT, &data).port(free_port());
    let region = start.start().await.expect("ready after the power cut");
    let mut expected = told(&data);
    assert!(
        expected.len() > 500,
        "the story's patient has {} readings",
        expected.len()
    );
    assert_eq!(
        shown(&region).await,
        expected.iter().cloned().collect::<Vec<_>>()
    );

    // The next cut comes the moment after the hub's word that it has a reading; the history is not told again after it.
    let weight = Weight::of(region.story_patient().unwrap().fnr.expose());
    let home = HomeSystem::new(
        region.party(ClientUse::HomeSystem, None).unwrap(),
        &region.ready.hub,
    );
    assert_eq!(home.send_one(weight.json()).await.unwrap().status, 201);
    let region = region
        .kill_and_restart()
        .await
        .expect("ready after a power cut");
    expected.insert(weight.identifier);
    assert_eq!(
        shown(&region).await,
        expected.into_iter().collect::<Vec<_>>()
    );

    let (status, _) = region.stop().await.unwrap();
    assert!(status.success());
    stores::all_trails_are_whole(&data).await;
}

/// Business identifiers of all the readings that a look-up shows, as often as it shows them. What the services themselves made
/// of the readings is not told by the scenario: each of those once is enough.
async fn shown(region: &Region) -> Vec<String> {
    let patient = region.story_patient().unwrap();
    let all = Screen::physician(region, patient)
        .await
        .all(patient, "Observation", &[])
        .await;
    let made = |one: &&serde_json::Value| one["identifier"][0]["system"] == ASSESSED;
    let (results, readings): (Vec<_>, Vec<_>) = all.iter().partition(made);
    let names: BTreeSet<_> = results.iter().map(|one| identifier(one)).collect();
    assert_eq!(names.len(), results.len(), "a result is there twice");
    let mut shown: Vec<String> = readings
        .iter()
        .map(|one| identifier(one).to_owned())
        .collect();
    shown.sort_unstable();
    shown
}

/// Starts a region and kills it while the hub holds some of the history, before it is ready.
async fn kill_in_the_middle_of_the_history(data: &Path) {
    std::fs::create_dir(data).unwrap();
    let mut child = tokio::process::Command::new(DELT)
        .args(["demo", "--json", "--port", "0", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let size = |file: &str| {
        std::fs::metadata(data.join("stores/sharing/fjellvik").join(file)).map_or(0, |m| m.len())
    };
    until(
        "the municipality's store holds some of the history",
        async || (size("store.db") + size("store.db-wal") > 300_000).then_some(()),
    )
    .await;
    child.kill().await.unwrap();
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(data.join("demo.json")).unwrap()).unwrap();
    assert_eq!(
        state["history_delivered"], false,
        "killed too late to show anything"
    );
}

/// Business identifiers of every reading that the scenario gives the story's patient, by the region's own calendar.
fn told(data: &Path) -> BTreeSet<String> {
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(data.join("demo.json")).unwrap()).unwrap();
    let calendar = Calendar::from_day0(state["day_zero"].as_str().unwrap().parse().unwrap());
    let until = fhir::time::Instant(state["first_start"].as_i64().unwrap());
    let events = testkit::story::region(Directory::demo(), &calendar, until).unwrap();
    let number = Directory::demo().story_patient().number.as_bytes();
    let mut expected = BTreeSet::new();
    for event in events.iter().filter(|e| {
        e.resource_type == "Observation" && e.body.windows(number.len()).any(|w| w == number)
    }) {
        let name = observation::identifier(&event.key).1;
        match event.action {
            Action::Withdraw => expected.remove(&name),
            Action::Create | Action::Correct => expected.insert(name),
        };
    }
    expected
}
