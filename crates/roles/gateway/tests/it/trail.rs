//! The patient reads who looked her up: from the sharing services and from the gateway's own stores, newest first.

use crate::account::{account, line};
use crate::person::Person;
use crate::world::{FJELLVIK, OTHER_PATIENT, PATIENT, PROVEHEIM, Plan, World, pulse};
use fhir::systems;
use http::StatusCode;
use serde_json::{Value, json};

fn event(id: &str, recorded: &str, number: &str) -> Value {
    json!({
        "resourceType": "AuditEvent", "id": id, "recorded": recorded,
        "contained": [{"resourceType": "Patient", "id": "patient", "identifier": [{"system": systems::FNR, "value": number}]}],
        "type": {"code": "110110"}, "agent": [{"requestor": true}], "source": {"observer": {"display": "x"}},
    })
}

#[tokio::test]
async fn a_citizen_reads_the_trail_of_every_party() {
    let world = World::new().await;
    world.hold(
        "fjellvik",
        vec![
            pulse("f1", "2026-11-01T08:00:00+01:00", 72, "r-1"),
            event("1", "2026-11-01T08:00:00Z", PATIENT),
            event("2", "2030-01-01T08:00:00Z", PATIENT),
            event("3", "2026-11-01T08:00:00Z", OTHER_PATIENT),
        ],
    );
    world.locate(&["fjellvik"]);
    let looked = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    assert_eq!(looked.ids(), ["f1"]);
    world.pass(10);

    let reply = Person::citizen(&world).search("AuditEvent", &[]).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        account(&reply),
        [
            line(FJELLVIK, "partial", 2, "left out: 1 about another patient"),
            line(PROVEHEIM, "complete", 1, ""),
        ]
    );
    let recorded: Vec<&str> = reply
        .matches()
        .iter()
        .map(|entry| entry["resource"]["recorded"].as_str().unwrap())
        .collect();
    assert_eq!(
        recorded,
        [
            "2030-01-01T08:00:00Z",
            "2027-01-15T08:00:00Z",
            "2026-11-01T08:00:00Z"
        ]
    );
    let own = &reply.matches()[1]["resource"];
    assert!(own.to_string().contains("Lege Syntetisk") && !own.to_string().contains("13888410278"));
    assert_eq!(
        world
            .directory
            .located_for
            .lock()
            .unwrap()
            .last()
            .unwrap()
            .0,
        "user/Pointer.r"
    );
    let asked = world.source("fjellvik").asked();
    assert_eq!(asked.last().unwrap().claims.scope, "user/AuditEvent.rs");

    // Reading it is itself on record, at the gateway's own store, and shows the next time.
    assert_eq!(world.records(None).await.0.len(), 1);
    let again = Person::citizen(&world).search("AuditEvent", &[]).await;
    assert_eq!(account(&again)[1], line(PROVEHEIM, "complete", 2, ""));
    let one = Person::citizen(&world)
        .search("AuditEvent", &[("_count", "1"), ("date", "lt2029")])
        .await;
    assert_eq!(one.matches().len(), 1);
    assert_eq!(
        one.matches()[0]["resource"]["recorded"],
        "2027-01-15T08:00:10Z"
    );
}

#[tokio::test]
async fn stores_that_were_there_before_are_part_of_the_trail_after_a_restart() {
    let world = World::new().await;
    Person::practitioner(&world, FJELLVIK)
        .search("Observation", &[])
        .await;
    let data = &world.house.data;
    assert!(data.join(FJELLVIK).join("store.db").is_file() && !data.join(PROVEHEIM).exists());
    let left = tempfile::tempdir().unwrap();
    std::fs::create_dir(left.path().join(FJELLVIK)).unwrap();
    for part in ["", FJELLVIK] {
        for file in std::fs::read_dir(data.join(part))
            .unwrap()
            .map(|one| one.unwrap())
        {
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), left.path().join(part).join(file.file_name())).unwrap();
            }
        }
    }
    let again = World::with(Plan {
        data: Some(left.path().to_owned()),
        ..Plan::default()
    })
    .await;
    let reply = Person::citizen(&again).search("AuditEvent", &[]).await;
    assert_eq!(account(&reply), [line(PROVEHEIM, "complete", 1, "")]);
}

#[tokio::test]
async fn the_trail_is_given_newest_first_only() {
    let world = World::new().await;
    let reply = Person::citizen(&world)
        .search("AuditEvent", &[("_sort", "date")])
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_old_record_is_found_by_date_behind_many_newer_ones() {
    let world = World::new().await;
    Person::practitioner(&world, FJELLVIK)
        .search("Observation", &[])
        .await;
    let first = world.now().to_string();
    world.pass(10);
    let person = Person::practitioner(&world, FJELLVIK);
    for _ in 0..4 {
        person.search("Observation", &[]).await;
    }
    let newest = Person::citizen(&world)
        .search("AuditEvent", &[("_count", "2")])
        .await;
    assert_eq!(
        (newest.matches().len(), newest.json.get("total")),
        (2, None)
    );
    let until = format!("le{first}");
    let reply = Person::citizen(&world)
        .search("AuditEvent", &[("_count", "2"), ("date", &until)])
        .await;
    assert_eq!(reply.matches().len(), 1);
    assert_eq!(reply.matches()[0]["resource"]["recorded"], first.as_str());
    assert_eq!(reply.json["total"], 1);
}
