//! The harness against a small program that says a ready line and waits, as the real one does.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use std::os::unix::fs::PermissionsExt;

/// A program that writes `lines` to standard output, notes each start in its data folder and waits for SIGTERM. The
/// waiting `tail` ends when the program does, however it ends.
fn program(folder: &Path, lines: &[&str]) -> PathBuf {
    let path = folder.join("delt");
    // One command, so that all lines are there when the first is.
    let say: String = lines.iter().map(|line| format!(" '{line}'")).collect();
    // The trap stands before the ready line, or a quick SIGTERM would find none.
    let script = format!(
        "#!/bin/sh\ntrap 'exit 0' TERM\necho \"$@\" >>\"$6/starts\"\nprintf '%s\\n'{say}\ntail --pid=$$ -f /dev/null >/dev/null &\nwait\n"
    );
    // Copied by another process: a file that this one has open for writing while another test starts a program could
    // not be executed (ETXTBSY).
    let text = folder.join("delt.sh");
    std::fs::write(&text, script).unwrap();
    let copied = std::process::Command::new("cp")
        .args([&text, &path])
        .status()
        .unwrap();
    assert!(copied.success());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

const READY_LINE: &str = r#"{"ready":true,"portal":"p","issuer":"i","catalogue":"c","locator":"l","hub":"h","gateway":"g","services":[{"id":"fjellvik","orgnr":"310001007","name":"Fjellvik kommune","concept":"supplier","supplier":"310001287","fhir":"f"}],"clients":[],"control":"x","patients":[{"fnr":"14835210260","name":"Ragnhild Testmo","holders":["310001007"]}],"practitioners":[]}"#;

#[tokio::test]
async fn it_starts_kills_starts_again_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let binary = program(folder.path(), &[READY_LINE]);
    let region = Start::new(binary, folder.path().join("data"))
        .with(&["--people", "3"])
        .start()
        .await
        .unwrap();
    assert_eq!(region.story_patient().unwrap().fnr.expose(), "14835210260");
    assert_eq!(
        (region.gateway().as_str(), region.hub().as_str()),
        ("g/fhir", "h/fhir")
    );
    assert!(
        region.service("fjellvik").is_ok()
            && region.service("nowhere").is_err()
            && region.physician().is_err()
    );
    let first = region.pid();
    let again = region.kill_and_restart().await.unwrap();
    assert_ne!(again.pid(), first);
    let (status, start) = again.stop().await.unwrap();
    assert!(status.success());
    let starts = std::fs::read_to_string(start.data.join("starts")).unwrap();
    assert_eq!(starts.lines().count(), 2);
    assert!(
        starts
            .lines()
            .all(|s| s.starts_with("demo --json --port 0 --data ") && s.ends_with(" --people 3"))
    );
}

#[tokio::test]
async fn more_than_the_ready_line_and_another_line_are_faults() {
    let folder = tempfile::tempdir().unwrap();
    let binary = program(folder.path(), &[READY_LINE, "and more"]);
    let region = Start::new(binary, folder.path().join("data"))
        .start()
        .await
        .unwrap();
    assert!(matches!(region.stop().await, Err(RegionError::Line(_))));
    let binary = program(folder.path(), &["hello"]);
    let said = Start::new(binary, folder.path().join("data")).start().await;
    assert!(matches!(said, Err(RegionError::Line(_))));
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_said_with_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let started = Start::new("/bin/false", folder.path().join("data"))
        .start()
        .await;
    assert!(matches!(started, Err(RegionError::Ended { log }) if log.ends_with("data.log")));
    assert!(matches!(
        Start::new("/nowhere/delt", folder.path().join("d"))
            .start()
            .await,
        Err(RegionError::Io(_))
    ));
}
