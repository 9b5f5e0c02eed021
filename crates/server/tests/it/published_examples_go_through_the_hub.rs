//! Every published file of VkpObservation and no-domain vital signs goes through the hub of a test environment
//! (`person_numbers = "lenient"`, for several examples carry invalid numbers): no 5xx, and each refusal says why.

use crate::kit::apart::{Apart, FJELLVIK};
use crate::kit::wait::until;
use serde_json::Value;
use std::path::{Path, PathBuf};
use testkit::home_system::HomeSystem;
use wire::client::{Answer, Party, Request};
use wire::contract::hub::{Deliveries, ReceiverKind, WRITE_SCOPE};

const FOLDERS: [&str; 2] = ["VkpObservation", "no-domain-vitalsigns"];

#[tokio::test]
async fn every_published_example_goes_through_the_hub_and_each_refusal_is_explained() {
    let files = published();
    if files.is_empty() {
        println!("no published examples beside this repository; nothing was sent");
        return;
    }
    let region = Apart::new(
        &[("all", &["anchor", "hub", "sharing"])],
        "person_numbers = \"lenient\"",
    )
    .await;
    let serving = region.start("all").await;
    let home = HomeSystem::new(region.party("home"), &region.base("hub"));
    let (mut taken, mut definitions) = (0, 0);
    for file in &files {
        let body = std::fs::read(file).unwrap();
        let json: Value = serde_json::from_slice(&body).unwrap();
        let answer = match json["resourceType"].as_str() {
            Some("Bundle") => home.send_bundle(body).await,
            _ => home.send_one(body).await,
        };
        let instance = json["resourceType"] == "Bundle" || json["resourceType"] == "Observation";
        let name = file.file_name().unwrap().to_string_lossy();
        for (status, words) in fates(&answer.unwrap()) {
            assert!((200..500).contains(&status), "{name}: {status}");
            assert!(
                status < 300 || !words.is_empty(),
                "{name}: {status} without a word"
            );
            assert!(instance || status == 422, "{name}, no reading: {status}");
            if instance {
                println!("{name:50} {status} {words}");
            }
            taken += usize::from(status < 300);
        }
        definitions += usize::from(!instance);
    }
    println!(
        "{taken} readings taken in; {definitions} files that define something were refused as no readings"
    );
    assert!(taken > 0, "not one published reading was taken in");
    everything_taken_is_delivered(
        &region.party("home"),
        &region.base("hub"),
        &region.audience("hub"),
    )
    .await;
    assert!(!serving.said().contains("panic"), "{}", serving.said());
    assert!(serving.stop().await.success());
}

/// What the hub took in, the sharing service takes in too.
async fn everything_taken_is_delivered(home: &Party, hub: &str, audience: &str) {
    let sharing = until("the sharing service has everything", async || {
        let answer = home
            .send(
                audience,
                WRITE_SCOPE,
                Request::get(format!("{hub}/deliveries")),
            )
            .await
            .unwrap();
        let receivers = answer.json::<Deliveries>().unwrap().receivers;
        receivers
            .into_iter()
            .find(|r| r.kind == ReceiverKind::Sharing && r.pending == 0)
    })
    .await;
    assert_eq!((sharing.orgnr.as_str(), sharing.dead), (FJELLVIK, 0));
}

/// Status and words of a single answer, or of each entry of a batch-response.
fn fates(answer: &Answer) -> Vec<(u16, String)> {
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let words = |outcome: &Value| {
        let issues = outcome["issue"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let word = |issue: &Value| {
            Some(format!(
                "{}: {}",
                issue["expression"][0].as_str().unwrap_or("?"),
                issue["diagnostics"].as_str()?
            ))
        };
        issues
            .iter()
            .filter_map(word)
            .collect::<Vec<_>>()
            .join(" | ")
    };
    if json["type"] != "batch-response" {
        return vec![(answer.status.as_u16(), words(&json))];
    }
    let entry = |entry: &Value| {
        let status = entry["response"]["status"]
            .as_str()
            .and_then(|s| s.get(..3)?.parse().ok());
        (
            status.expect("a status"),
            words(&entry["response"]["outcome"]),
        )
    };
    json["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(entry)
        .collect()
}

/// The JSON files of the two folders, if they lie beside the repository.
fn published() -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/examples");
    let inside = |folder: &str| {
        std::fs::read_dir(beside.join(folder))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
    };
    let mut found: Vec<PathBuf> = FOLDERS
        .into_iter()
        .flat_map(inside)
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    found.sort();
    found
}
