//! Searches by identifier and by reference find what they mean without a look at the rest, whoever's it is.

use fhir::ids::{LogicalId, PersonIdentifier, PersonNumbers};
use fhir::resource::ResourceType;
use fhir::search::Query;
use store::{Change, Options, Purge, Put, Store, StoreError, Stored};

use crate::join::{others, type_of};
use crate::world::*;

const PATIENTS: usize = 30;
const EACH: usize = 12;

/// So many numbers of nobody: the months are those of synthetic people.
fn numbers() -> Vec<String> {
    (0..)
        .map(|n| format!("018150{n:05}"))
        .filter(|number| PersonIdentifier::guess(number, PersonNumbers::Strict).is_ok())
        .take(PATIENTS)
        .collect()
}

fn id(group: u8, n: usize) -> LogicalId {
    let mut bytes = (n as u128 + 7)
        .wrapping_mul(0xd134_2543_de82_ef95_94d0_49bb_1331_11eb)
        .to_be_bytes();
    bytes[15] = group;
    LogicalId(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

async fn put(store: &Store, id: LogicalId, json: &str) {
    let change = Change {
        puts: vec![Put::CreateAs {
            id,
            resource: checked(json),
            written_by: None,
            enrol: true,
        }],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
}

/// Thirty patients with a device, an encounter and twelve readings each, some of them in the encounter.
async fn filled(world: &World) -> Store {
    let options = Options {
        candidates: EACH,
        ..Options::default()
    };
    let store = Store::open_with(world.path(), OWNER, world.surroundings(), options).unwrap();
    for (n, number) in numbers().iter().enumerate() {
        let subject = format!(
            r#""subject":{{"identifier":{{"system":"{}","value":"{}"}}}}"#,
            fhir::systems::FNR,
            number
        );
        put(
            &store,
            id(0, n),
            &format!(
                r#"{{"resourceType":"Encounter","identifier":[{{"system":"urn:e","value":"e{n}"}}],"status":"planned","class":{{"code":"HH"}},{subject},"serviceProvider":{{"identifier":{{"system":"urn:org","value":"{}"}}}}}}"#,
                n / 10
            ),
        )
        .await;
        put(
            &store,
            id(1, n),
            &format!(
                r#"{{"resourceType":"Device","identifier":[{{"system":"urn:d","value":"{n}"}},{{"system":"urn:udi","value":"u{n}"}}]}}"#
            ),
        )
        .await;
        for i in 0..EACH {
            let encounter = if i == 3 {
                format!(r#","encounter":{{"reference":"Encounter/{}"}}"#, id(0, n))
            } else {
                String::new()
            };
            let device = if i.is_multiple_of(2) {
                format!(r#"{{"reference":"Device/{}"}}"#, id(1, n))
            } else {
                format!(r#"{{"identifier":{{"system":"urn:serial","value":"s{n}"}}}}"#)
            };
            put(
                &store,
                id(2, n * EACH + i),
                &format!(
                    r#"{{"resourceType":"Observation","identifier":[{{"system":"urn:o","value":"{i}"}},{{"value":"second-{n}-{i}"}}],"status":"final","code":{{"coding":[{{"system":"urn:local","code":"steps"}}]}},{subject},"effectiveDateTime":"2026-02-{:02}T08:00:00+01:00","valueInteger":{i},"device":{device}{encounter}}}"#,
                    1 + i
                ),
            )
            .await;
        }
    }
    store
}

async fn ask(store: &Store, kind: &str, form: &[(&str, &str)]) -> Result<Vec<Stored>, StoreError> {
    let mut query: Query = any(type_of(kind), form);
    query.count = 200;
    let permit = whole();
    let found = store.gather(&permit, others(&permit), &query, None).await?;
    Ok(found.page.matches)
}

#[tokio::test]
async fn a_search_by_identifier_or_reference_looks_at_what_it_finds() {
    let world = World::new();
    let store = filled(&world).await;
    let encounter = format!("Encounter/{}", id(0, 7));
    let device = format!("Device/{}", id(1, 7));
    let patient = store
        .patient_id(&person(&numbers()[7]))
        .await
        .unwrap()
        .unwrap();
    let patient = format!("Patient/{patient}");
    let bare = id(0, 7).to_string();
    // No search here may look at more than twelve resources of almost five hundred.
    for (kind, form, expected) in [
        ("Encounter", &[("identifier", "urn:e|e7")][..], 1),
        ("Encounter", &[("identifier", "e7")], 1),
        ("Encounter", &[("identifier", "|e7")], 0),
        ("Encounter", &[("identifier", "urn:x|e7")], 0),
        ("Encounter", &[("identifier", "e7,urn:e|e9")], 2),
        ("Device", &[("identifier", "urn:udi|u7")], 1),
        ("Device", &[("identifier", "urn:d|7")], 1),
        ("Observation", &[("identifier", "|second-7-3")], 1),
        ("Observation", &[("identifier", "second-7-3")], 1),
        ("Observation", &[("encounter", encounter.as_str())], 1),
        ("Observation", &[("encounter", bare.as_str())], 1),
        (
            "Observation",
            &[("encounter:Encounter.identifier", "urn:e|e7")],
            1,
        ),
        ("Observation", &[("device", device.as_str())], EACH / 2),
        (
            "Observation",
            &[("device:identifier", "urn:serial|s7")],
            EACH / 2,
        ),
        ("Observation", &[("device:identifier", "s7")], EACH / 2),
        ("Observation", &[("subject", patient.as_str())], EACH),
        (
            "Encounter",
            &[("service-provider:identifier", "urn:org|2")],
            10,
        ),
        ("Encounter", &[("subject", patient.as_str())], 1),
        (
            "Encounter",
            &[("_has:Observation:encounter:identifier", "second-7-3")],
            1,
        ),
        (
            "Encounter",
            &[
                ("identifier", "e7"),
                ("_has:Observation:encounter:status", "final"),
            ],
            1,
        ),
        (
            "Device",
            &[
                ("identifier", "urn:d|7"),
                ("_has:Observation:device:code", "steps"),
            ],
            1,
        ),
        (
            "Device",
            &[("_has:Observation:device:encounter", encounter.as_str())],
            0,
        ),
        ("Patient", &[("_has:Encounter:subject:identifier", "e7")], 1),
    ] {
        let found = ask(&store, kind, form).await;
        let found = found.unwrap_or_else(|error| panic!("{kind} {form:?}: {error}"));
        assert_eq!(found.len(), expected, "{kind} {form:?}");
    }
    // What no index answers is refused as before.
    let refused = ask(&store, "Observation", &[("identifier", "urn:o|")]).await;
    assert!(matches!(refused, Err(StoreError::TooCostly)));
    // And an identifier that more have than may be looked at.
    let refused = ask(&store, "Observation", &[("identifier", "urn:o|3")]).await;
    assert!(matches!(refused, Err(StoreError::TooCostly)));
}

#[tokio::test]
async fn many_that_refer_to_one_are_found_in_their_series() {
    let world = World::new();
    let store = world.store();
    let target = id(9, 1);
    for n in 0..2_100 {
        let json = format!(
            r#"{{"resourceType":"Observation","identifier":[{{"system":"urn:o","value":"{n}"}}],"status":"final","code":{{"coding":[{{"system":"urn:local","code":"steps"}}]}},"subject":{{"identifier":{{"system":"{}","value":"{}"}}}},"effectiveDateTime":"2026-02-01","valueInteger":1,"device":{{"reference":"Device/{target}"}}}}"#,
            fhir::systems::FNR,
            [GURI, HENRIK][n % 2]
        );
        put(&store, id(2, n), &json).await;
    }
    let device = format!("Device/{target}");
    let query = any(
        ResourceType::OBSERVATION,
        &[("device", device.as_str()), ("_total", "accurate")],
    );
    let page = store.search(&whole(), &query, None).await.unwrap();
    assert_eq!((page.matches.len(), page.total), (50, Some(2_100)));
    let page = store.search(&own(GURI), &query, None).await.unwrap();
    assert_eq!(page.total, Some(1_050));
}

/// Key, patient, kind and id.
pub type Row = (Vec<u8>, i64, i64, Vec<u8>);

/// All rows of the index.
pub fn rows(world: &World) -> Vec<Row> {
    let connection = rusqlite::Connection::open(world.path().join("store.db")).unwrap();
    let mut statement = connection
        .prepare("SELECT key, patient, kind, id FROM handle ORDER BY key, patient, kind, id")
        .unwrap();
    let rows = statement
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn no_row_survives_what_it_told_of() {
    let world = World::new();
    let store = world.store();
    let reading = |n: usize, device: &str| {
        let device = format!(
            r#""device":{{"identifier":{{"system":"urn:d","value":"{device}"}}}},"derivedFrom":[{{"reference":"Observation/{}"}}],"status""#,
            id(3, n)
        );
        let id = n.to_string();
        Pulse {
            id: &id,
            ..Pulse::default()
        }
        .json()
        .replacen("\"status\"", &device, 1)
    };
    put(&store, id(2, 1), &reading(1, "kept")).await;
    let before = rows(&world);
    assert!(before.len() > 2);
    put(&store, id(2, 2), &reading(2, "erased")).await;
    assert!(rows(&world).len() > before.len());
    // A correction and a withdrawal leave the rows: an older page may ask for what was.
    let withdraw = Put::Withdraw {
        id: id(2, 2),
        resource_type: ResourceType::OBSERVATION,
        expect_version: None,
    };
    let change = Change {
        puts: vec![withdraw],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    assert!(rows(&world).len() > before.len());
    let purge = |purge| Change {
        purge: Some(purge),
        ..Change::default()
    };
    let one = Purge::Resource {
        resource_type: ResourceType::OBSERVATION,
        id: id(2, 2),
    };
    store.commit(purge(one)).await.unwrap();
    assert_eq!(rows(&world), before);
    // And is written again after it, although it was written before.
    put(&store, id(2, 4), &reading(4, "erased")).await;
    let found = ask(
        &store,
        "Observation",
        &[("device:identifier", "urn:d|erased")],
    )
    .await;
    assert_eq!(found.unwrap().len(), 1);
    store
        .commit(purge(Purge::Patient(person(GURI))))
        .await
        .unwrap();
    assert_eq!(rows(&world), []);
}
