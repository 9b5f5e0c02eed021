//! kill -9 while the history goes in, and again when all is there: what was acknowledged is there, and nothing twice. What
//! must be there is told by the scenario's own events, not by an earlier answer.

use crate::kit::lookup::{Screen, identifier};
use crate::kit::process::free_port;
use crate::kit::wait::until;
use crate::kit::{DELT, stores};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use testkit::calendar::Calendar;
use testkit::event::Action;
use testkit::observation;
use testkit::people::Directory;
use testkit::region::{Region, Start};

#[tokio::test]
async fn after_kill_9_during_and_after_the_history_everything_is_there_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("region");
    kill_in_the_middle_of_the_history(&data).await;

    let start = Start::new(DELT, &data).port(free_port());
    let mut region = start.start().await.expect("ready after the power cut");
    let expected = told(&data);
    assert!(
        expected.len() > 500,
        "the story's patient has {} readings",
        expected.len()
    );
    for cut in 0..2 {
        let screen = Screen::physician(&region, region.story_patient().unwrap()).await;
        let found = screen
            .all(region.story_patient().unwrap(), "Observation", &[])
            .await;
        let mut shown: Vec<&str> = found.iter().map(identifier).collect();
        shown.sort_unstable();
        assert_eq!(shown.len(), expected.len(), "after {} power cuts", cut + 1);
        assert!(
            shown
                .iter()
                .copied()
                .eq(expected.iter().map(String::as_str)),
            "after {} power cuts other readings",
            cut + 1
        );
        region = kill_and_restart(region).await;
    }
    let (status, _) = region.stop().await.unwrap();
    assert!(status.success());
    stores::all_trails_are_whole(&data).await;
}

async fn kill_and_restart(region: Region) -> Region {
    region
        .kill_and_restart()
        .await
        .expect("ready after a power cut")
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
