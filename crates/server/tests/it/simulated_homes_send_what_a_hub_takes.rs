//! `delt simulate`: the same bytes for the same seed, and homes that send to a real hub by their own client: everything arrives at the
//! record system once, however often it is sent, and what is not taken is the wrong clock that was asked for.

use crate::kit::apart::{Apart, FJELLVIK};
use crate::kit::process::{Said, delt};
use crate::kit::wait::until;
use serde_json::Value;
use std::collections::BTreeSet;
use testkit::record_system::RecordSystem;
use testkit::simulate::trouble::Troubles;
use testkit::simulate::{Homes, Sender};
use wire::Stop;

const PARTS: [(&str, &[&str]); 3] = [
    ("anchor", &["anchor"]),
    ("hub", &["hub"]),
    ("sharing", &["sharing:fjellvik"]),
];

/// Business identifiers of what a run sends.
fn model(seed: u64, people: usize, first: &str, last: &str, troubles: &str) -> BTreeSet<String> {
    let (first, last) = (first.parse().unwrap(), last.parse().unwrap());
    let troubles = Troubles::parse(troubles).unwrap();
    let homes = Homes::new(seed, people, None, Sender::of(FJELLVIK), troubles).unwrap();
    let mut names = BTreeSet::new();
    let mut day = first;
    while day <= last {
        let sent = homes.sent_on(day).unwrap();
        let readings = sent.iter().flat_map(|one| &one.readings);
        names.extend(readings.map(|one| testkit::observation::identifier(&one.key).1));
        day = day.tomorrow().unwrap();
    }
    names
}

fn received(record: &RecordSystem) -> BTreeSet<String> {
    let all = record.received().identifiers;
    let names: BTreeSet<String> = all
        .iter()
        .map(|one| one.rsplit('|').next().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), all.len(), "a reading is there twice");
    names
}

#[tokio::test]
async fn homes_send_by_their_own_client_and_everything_arrives_once() {
    let region = Apart::new(&PARTS, "").await;
    let stop = Stop::new();
    let record = region.open_record_system(&stop).await;
    let mut running = Vec::new();
    for (part, _) in PARTS {
        running.push(region.start(part).await);
    }
    let (hub, file) = (region.base("hub"), region.client_file("home"));
    let simulate = async |seed: &str, trouble: &str, until: &[&str]| -> Said {
        let to = ["--hub", &hub, "--client", file.to_str().unwrap()];
        let who = ["--people", "6", "--days", "21"];
        let how = ["--seed", seed, "--trouble", trouble];
        delt(&[&["simulate"], &to[..], &who, &how, until].concat()).await
    };
    const ROUGH: &str = "gaps,offline=60,doubled=30,minutes=30,hours=30";
    let expected = model(5, 6, "2026-10-11", "2026-10-31", ROUGH);
    assert!(expected.len() > 150, "{}", expected.len());
    for _ in 0..2 {
        let said = simulate("5", ROUGH, &["--until", "2026-10-31"]).await;
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(0), ""),
            "{}",
            said.err
        );
        assert!(said.err.contains("0 refused otherwise"), "{}", said.err);
        until("the record system has everything", async || {
            (received(&record).len() >= expected.len()).then_some(())
        })
        .await;
        assert_eq!(received(&record), expected);
    }

    // Clocks a year ahead are kept aside with their reason; what is a year behind is old and taken.
    let said = simulate("6", "year=100", &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let refused: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(!refused.is_empty());
    for line in &refused {
        assert_eq!(
            (&line["status"], &line["clock"]),
            (&Value::from(422), &Value::from("Year(1)"))
        );
    }
    let words = format!("{} not taken for the wrong clock", refused.len());
    assert!(said.err.contains(&words), "{}", said.err);
    for process in running {
        assert!(process.stop().await.success());
    }
    stop.stop();
}

#[tokio::test]
async fn the_same_seed_writes_the_same_files_and_wrong_words_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = async |name: &str, seed: &str| {
        let out = folder.path().join(name);
        let arguments = [
            "simulate",
            "--people",
            "4",
            "--days",
            "9",
            "--until",
            "2026-10-31",
            "--seed",
            seed,
            "--out",
        ];
        let said = delt(&[&arguments[..], &[out.to_str().unwrap()]].concat()).await;
        (said, out)
    };
    let mut told = Vec::new();
    for (name, seed) in [("a", "3"), ("b", "3"), ("c", "4")] {
        let (said, out) = write(name, seed).await;
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(0), ""),
            "{}",
            said.err
        );
        let mut files: Vec<_> = std::fs::read_dir(&out)
            .unwrap()
            .map(|one| one.unwrap().path())
            .collect();
        files.sort();
        assert!(
            files.len() >= 8 && files[0].ends_with("2026-10-23.ndjson"),
            "{files:?}"
        );
        told.push(
            files
                .iter()
                .map(|file| std::fs::read_to_string(file).unwrap())
                .collect::<String>(),
        );
    }
    assert!(told[0] == told[1] && told[0] != told[2]);
    for line in told[0].lines() {
        let bundle: Value = serde_json::from_str(line).unwrap();
        assert_eq!(bundle["type"], "batch");
    }
    // What is there is not written over; and what makes no sense is said.
    assert_eq!(write("a", "3").await.0.code, Some(1));
    let out = delt(&[
        "simulate",
        "--people",
        "2",
        "--days",
        "2",
        "--until",
        "2026-10-31",
        "--out",
        "-",
    ])
    .await;
    assert_eq!(out.code, Some(0), "{}", out.err);
    assert!(out.out.lines().count() >= 2);
    for (wrong, words) in [
        (&["--out", "-", "--trouble", "rain"][..], "no such trouble"),
        (&["--out", "-", "--condition", "gout"], "heart-failure"),
        (
            &["--out", "-", "--orgnr", "310001008"],
            "no organisation number",
        ),
        (&["--out", "-", "--speed", "0"], "0.001"),
        (&["--hub", "http://127.0.0.1:9/hub"], "--client"),
        (&[], "--out"),
    ] {
        let said = delt(&[&["simulate"], wrong].concat()).await;
        assert!(
            said.code != Some(0) && said.err.contains(words),
            "{wrong:?}: {}",
            said.err
        );
    }
}
