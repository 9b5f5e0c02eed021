//! Stores of earlier formats still open, and are then what a store of today's format would have become.
//!
//! `samples/format-1.sql` is what the last program of format 1 made of [`fill`], table by table; `samples/format-1.keys` are the
//! keys of that store in hexadecimal digits. People and keys are made for the sample alone.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use fhir::resource::ResourceType;
use fhir::systems::FNR;
use rusqlite::Connection;
use store::{Change, Fate, Put, Store, StoreError};

use crate::handle::{Row, rows};
use crate::world::*;

const OBSERVATION: ResourceType = ResourceType::OBSERVATION;

/// The story that the samples hold: two patients with readings, one corrected under another identifier, one corrected, one
/// withdrawn, one known by what it measured, and a medicine with a statement that refers to it.
async fn fill(store: &Store) {
    let mut ids = Vec::new();
    for (n, of) in [GURI, HENRIK].iter().enumerate() {
        let patient = format!(
            r#"{{"resourceType":"Patient","identifier":[{{"system":"{FNR}","value":"{of}"}},{{"system":"urn:hnr","value":"h{n}"}}],"name":[{{"family":"Syntetisk"}}]}}"#
        );
        store.commit(create(checked(&patient))).await.unwrap();
        for i in 0..4 {
            let done = store.commit(day(of, i).create()).await.unwrap();
            ids.push(done.puts[0].id);
        }
    }
    store.commit(create(checked(&measured()))).await.unwrap();
    let corrected = Pulse {
        id: "r0b",
        at: "2026-02-10T08:00:00+01:00",
        value: "73",
        status: "amended",
        ..Pulse::default()
    };
    let update = Put::Update {
        id: ids[0],
        expect_version: None,
        resource: checked(&corrected.json()),
        written_by: None,
    };
    let of = |put| Change {
        puts: vec![put],
        ..Change::default()
    };
    store.commit(of(update)).await.unwrap();
    let corrected = Pulse {
        id: "r1",
        at: "2026-02-11T08:00:00+01:00",
        value: "74",
        status: "corrected",
        ..Pulse::default()
    };
    store.commit(corrected.create()).await.unwrap();
    let withdraw = Put::Withdraw {
        id: ids[3],
        resource_type: OBSERVATION,
        expect_version: None,
    };
    store.commit(of(withdraw)).await.unwrap();
    let medication = r#"{"resourceType":"Medication","identifier":[{"system":"urn:m","value":"1"},{"value":"bare"}],"code":{"coding":[{"system":"urn:atc","code":"A1"}]}}"#;
    let done = store.commit(create(checked(medication))).await.unwrap();
    let statement = format!(
        r#"{{"resourceType":"MedicationStatement","status":"active","subject":{{"identifier":{{"system":"{FNR}","value":"{GURI}"}}}},"effectiveDateTime":"2026-02-01","medicationReference":{{"reference":"Medication/{}"}}}}"#,
        done.puts[0].id
    );
    store.commit(create(checked(&statement))).await.unwrap();
}

fn day(of: &str, n: usize) -> Pulse<'_> {
    Pulse {
        of,
        id: ["r0", "r1", "r2", "r3"][n],
        at: [
            "2026-02-10T08:00:00+01:00",
            "2026-02-11T08:00:00+01:00",
            "2026-02-12T08:00:00+01:00",
            "2026-02-13T08:00:00+01:00",
        ][n],
        ..Pulse::default()
    }
}

/// Without a business identifier.
fn measured() -> String {
    let pulse = Pulse {
        at: "2026-02-20T08:00:00+01:00",
        ..Pulse::default()
    };
    pulse.json().replace(
        r#""identifier":[{"system":"urn:home","value":"r1"}],"#,
        r#""device":{"identifier":{"system":"urn:d","value":"7"}},"#,
    )
}

fn keys(folder: &Path) {
    use std::io::Write as _;
    let digits = include_str!("samples/format-1.keys").trim();
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap())
        .collect();
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join("keys"))
        .unwrap();
    file.write_all(&bytes).unwrap();
}

/// A folder with the store of format 1 in it.
fn sample() -> World {
    let world = World::new();
    keys(world.path());
    let connection = connect(&world);
    connection
        .execute_batch(include_str!("samples/format-1.sql"))
        .unwrap();
    world
}

fn connect(world: &World) -> Connection {
    Connection::open(world.path().join("store.db")).unwrap()
}

fn format(world: &World) -> i64 {
    connect(world)
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

/// Hash and id of each identity, and the rows of the other index.
type Index = (Vec<(Vec<u8>, Vec<u8>)>, Vec<Row>);

fn index(world: &World) -> Index {
    let connection = connect(world);
    let mut statement = connection
        .prepare("SELECT mac, id FROM identity ORDER BY mac")
        .unwrap();
    let identities = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    (identities.map(Result::unwrap).collect(), rows(world))
}

#[tokio::test]
async fn a_store_of_format_1_becomes_what_one_of_format_2_would_be() {
    let old = sample();
    assert_eq!(format(&old), 1);
    drop(old.store());
    assert_eq!(format(&old), 2);
    let new = World::new();
    keys(new.path());
    let store = new.store();
    fill(&store).await;
    drop(store);
    let (expected, found) = (index(&new), index(&old));
    assert_eq!((expected.0.len(), expected.1.len()), (12, 10));
    assert_eq!(found, expected);
    // A second time there is nothing to do.
    drop(old.store());
    assert_eq!(index(&old), expected);
}

#[tokio::test]
async fn a_store_of_format_1_answers_and_knows_again_what_it_had() {
    let world = sample();
    let store = world.store();
    let count = async |kind: &str, form: &[(&str, &str)]| {
        let query = any(ResourceType::parse(kind).unwrap(), form);
        let page = store.search(&whole(), &query, None).await.unwrap();
        page.matches.len()
    };
    assert_eq!(count("Observation", &[]).await, 8);
    assert_eq!(count("Observation", &[("identifier", "r2")]).await, 2);
    assert_eq!(
        count("Observation", &[("identifier", "urn:home|r0b")]).await,
        1
    );
    assert_eq!(
        count("Observation", &[("identifier", "urn:home|r3")]).await,
        1
    );
    assert_eq!(
        count("Observation", &[("device:identifier", "urn:d|7")]).await,
        1
    );
    assert_eq!(count("Medication", &[("identifier", "|bare")]).await, 1);
    assert_eq!(count("Patient", &[("identifier", "urn:hnr|h1")]).await, 1);
    let medications = any(ResourceType::parse("Medication").unwrap(), &[]);
    let medications = store.search(&whole(), &medications, None).await.unwrap();
    let named = format!("Medication/{}", medications.matches[0].id);
    assert_eq!(
        count("MedicationStatement", &[("medication", &named)]).await,
        1
    );
    // What was there is there: first versions too, under both identifiers.
    for change in [
        day(GURI, 0).create(),
        day(GURI, 1).create(),
        day(HENRIK, 3).create(),
        create(checked(&measured())),
    ] {
        let done = store.commit(change).await.unwrap();
        assert_eq!(done.puts[0].fate, Fate::Existing);
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_brought_up_to_date_stays_as_it_was() {
    let world = sample();
    connect(&world)
        .execute_batch("UPDATE record SET body = x'ff' WHERE id = (SELECT max(id) FROM record)")
        .unwrap();
    let error = Store::open(world.path(), OWNER, world.surroundings()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    assert_eq!(format(&world), 1);
    let tables: i64 = connect(&world)
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('handle', 'identity_id')",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(tables, 0);
    // Nor is somebody else's store touched.
    let world = sample();
    let error = Store::open(world.path(), "310001147", world.surroundings()).unwrap_err();
    assert_eq!((error, format(&world)), (StoreError::OtherOwner, 1));
}
