//! `delt demo --import` and the port that is kept (CONTRACT section 2): every entry of every file has its line, nothing is
//! invented, importing again changes nothing, and a kept port that is taken stops the start.

use crate::kit::DELT;
use crate::kit::lookup::{Screen, WEIGHT, identifier};
use crate::kit::process::{delt, free_port};
use crate::kit::reading::{Weight, collection};
use crate::kit::wait::until;
use std::collections::BTreeMap;
use std::path::Path;
use testkit::region::{Region, Start};
use wire::contract::demo::ImportReportLine;

/// A patient of the shared register Kystregionen alone.
const DAGNY: usize = 4;
const DAGNYS_NUMBER: &str = "30893910014";
const KYSTREGIONEN: &str = "310001708";
const SORLIA: &str = "310001422";

fn written(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn report(region: &Region) -> Vec<ImportReportLine> {
    let text = std::fs::read_to_string(region.data().join("import-report.ndjson")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of the report"))
        .collect()
}

/// Status by file and entry.
fn statuses(report: &[ImportReportLine]) -> BTreeMap<(String, u64), u16> {
    report
        .iter()
        .map(|line| ((line.file.clone(), line.entry), line.status))
        .collect()
}

async fn weights(region: &Region) -> Vec<String> {
    let patient = &region.ready.patients[DAGNY];
    assert_eq!(patient.fnr.expose(), DAGNYS_NUMBER);
    let gateway = region.gateway();
    let screen = Screen::of(region, region.physician().unwrap(), patient, &gateway).await;
    let form = [("code", WEIGHT), ("organization", KYSTREGIONEN)];
    let mut found: Vec<String> = screen
        .all(patient, "Observation", &form)
        .await
        .iter()
        .map(|one| identifier(one).to_owned())
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn every_entry_has_its_line_and_importing_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    let good: Vec<Weight> = (0..4).map(|_| Weight::of(DAGNYS_NUMBER)).collect();
    let nobodys = good[0].json().replace(r#""subject":"#, r#""focus":"#);
    let misspelt = Weight::of("30893910015");
    written(&files, "one.json", &good[0].json());
    written(
        &files,
        "lines.ndjson",
        &format!("{}\n\n{nobodys}\n", good[1].json()),
    );
    written(
        &files,
        "deeper/bundle.json",
        &collection(&[good[2].json(), misspelt.json(), good[3].json()]),
    );
    written(&files, "broken.json", r#"{"resourceType":"Observation""#);
    written(&files, "notes.txt", "not to be sent");

    // The imported readings name no organisation: they belong to the one that is named.
    let port = free_port();
    let import = [
        "--import",
        files.to_str().unwrap(),
        "--import-owner",
        SORLIA,
    ];
    let region = Start::new(DELT, folder.path().join("region"))
        .port(port)
        .with(&import)
        .start()
        .await
        .unwrap();
    let first = report(&region);
    let expected = [
        (("broken.json", 0), 400),
        (("deeper/bundle.json", 0), 201),
        (("deeper/bundle.json", 1), 422),
        (("deeper/bundle.json", 2), 201),
        (("lines.ndjson", 0), 201),
        (("lines.ndjson", 1), 422),
        (("one.json", 0), 201),
    ];
    assert_eq!(
        statuses(&first),
        expected
            .map(|((file, entry), status)| ((file.to_owned(), entry), status))
            .into()
    );
    for line in &first {
        let explained = line
            .outcome
            .as_ref()
            .is_some_and(|o| o["issue"][0]["diagnostics"].is_string());
        assert_eq!(explained, line.status >= 300, "{line:?}");
        assert_eq!(
            line.identifier.is_some(),
            line.file != "broken.json",
            "{line:?}"
        );
    }
    let line = first.iter().find(|line| line.file == "one.json").unwrap();
    assert_eq!(
        line.identifier,
        Some(format!("urn:ietf:rfc:3986|{}", good[0].identifier))
    );
    let words = std::fs::read_to_string(region.data().join("import-report.ndjson")).unwrap();
    assert!(
        !words.contains("30893910015"),
        "the report repeats a person's number"
    );

    let before = weights(&region).await;
    assert!(
        good.iter()
            .all(|weight| before.contains(&weight.identifier))
    );
    let (_, start) = region.stop().await.unwrap();
    let again = start.start().await.unwrap();
    let taken = |status: u16| if status == 201 { 200 } else { status };
    let once_more: BTreeMap<_, _> = statuses(&first)
        .into_iter()
        .map(|(entry, status)| (entry, taken(status)))
        .collect();
    assert_eq!(statuses(&report(&again)), once_more);
    assert_eq!(weights(&again).await, before);
    again.stop().await.unwrap();

    a_kept_port(&folder.path().join("region"), port).await;
}

/// The port of the first start is used again; when it is taken, the program says so and stops.
async fn a_kept_port(data: &Path, port: u16) {
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(data.join("demo.json")).unwrap()).unwrap();
    assert_eq!(state["port"], port);
    let bind = async || std::net::TcpListener::bind(("127.0.0.1", port)).ok();
    let taken = until("the port is free again", bind).await;
    let said = delt(&["demo", "--json", "--data", data.to_str().unwrap()]).await;
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(1), ""),
        "{}",
        said.err
    );
    assert!(
        said.err.contains(&port.to_string()) && said.err.contains("--port"),
        "{}",
        said.err
    );
    // 0 always means any.
    let region = Start::new(DELT, data).port(0).start().await.unwrap();
    assert!(
        !region.ready.portal.ends_with(&format!(":{port}")),
        "{}",
        region.ready.portal
    );
    drop(taken);
    region.stop().await.unwrap();
}

#[tokio::test]
async fn an_import_that_cannot_begin_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    for (owner, path, word) in [
        ("310001422", nowhere.to_str().unwrap(), "nowhere"),
        ("999999999", folder.path().to_str().unwrap(), "999999999"),
    ] {
        let said = delt(&[
            "demo",
            "--json",
            "--port",
            "0",
            "--import",
            path,
            "--import-owner",
            owner,
        ])
        .await;
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(1), ""),
            "{}",
            said.err
        );
        assert!(said.err.contains(word), "{}", said.err);
    }
}
