//! Enrolment, presence and who wrote: what the store knows of a patient beyond single readings.

use fhir::resource::{InformationService, ResourceType};
use store::{Change, Fate, Put, StoreError};
use trust::{Ask, ClientUse, Interaction, PermitScope, Person, decide};

use crate::world::*;

const OBSERVATION: ResourceType = ResourceType::OBSERVATION;

#[tokio::test]
async fn an_unknown_patient_is_enrolled_or_refused() {
    let world = World::new();
    let store = world.store();
    let put = |enrol| Change {
        puts: vec![Put::Create {
            resource: checked(&Pulse::default().json()),
            written_by: None,
            enrol,
        }],
        ..Change::default()
    };
    assert_eq!(
        store.commit(put(false)).await.unwrap_err(),
        StoreError::UnknownPatient
    );
    assert_eq!(store.patient_id(&person(GURI)).await.unwrap(), None);
    let made = store.commit(put(true)).await.unwrap();
    assert_eq!(made.enrolled.len(), 1);
    let patient = store.patient_id(&person(GURI)).await.unwrap().unwrap();
    assert_eq!(made.enrolled[0].id, patient);
    assert_eq!(store.patient_of(patient).await.unwrap(), Some(person(GURI)));
    assert_eq!(
        store.patient_of(made.puts[0].id).await.unwrap(),
        Some(person(GURI))
    );
    let held = store
        .read(&own(GURI), ResourceType::PATIENT, patient)
        .await
        .unwrap()
        .unwrap();
    let text = std::str::from_utf8(&held.body).unwrap();
    assert!(text.contains(GURI) && !text.contains("name"), "{text}");
    // The record system's Patient is the same patient's next version, found by the identifier.
    let full = checked(&format!(
        r#"{{"resourceType":"Patient","identifier":[{{"system":"{}","value":"{GURI}"}}],"name":[{{"family":"Syntetisk"}}]}}"#,
        fhir::systems::FNR
    ));
    let put = store.commit(create(full.clone())).await.unwrap().puts[0];
    assert_eq!((put.id, put.version, put.fate), (patient, 2, Fate::Updated));
    assert_eq!(
        store.commit(create(full)).await.unwrap().puts[0].fate,
        Fate::Existing
    );
    assert_eq!(
        store
            .commit(
                Pulse {
                    id: "r2",
                    ..Pulse::default()
                }
                .create()
            )
            .await
            .unwrap()
            .enrolled
            .len(),
        0
    );
    // By reference to the local Patient.
    let local = Pulse {
        id: "r3",
        ..Pulse::default()
    }
    .json()
    .replace(
        &format!(
            r#"{{"identifier":{{"system":"{}","value":"{GURI}"}}}}"#,
            fhir::systems::FNR
        ),
        &format!(r#"{{"reference":"Patient/{patient}"}}"#),
    );
    let by_reference = store.commit(create(checked(&local))).await.unwrap().puts[0].id;
    assert_eq!(
        store.patient_of(by_reference).await.unwrap(),
        Some(person(GURI))
    );
    let stranger = local
        .replace(&patient.to_string(), "00000000-0000-4000-8000-00000000000a")
        .replace("r3", "r4");
    assert_eq!(
        store.commit(create(checked(&stranger))).await.unwrap_err(),
        StoreError::UnknownPatient
    );
}

#[tokio::test]
async fn presence_is_told_on_the_first_and_after_the_last_and_never_between() {
    let world = World::new();
    let store = world.announcing();
    let first = store.commit(Pulse::default().create()).await.unwrap();
    assert_eq!(first.presence.len(), 1);
    let turn = &first.presence[0];
    assert_eq!(
        (&turn.patient, turn.service, turn.present, turn.sequence),
        (&person(GURI), InformationService::MEASUREMENTS, true, 1)
    );
    // Another kind of the same service is no news; another patient is.
    let second = store
        .commit(
            Pulse {
                id: "r2",
                loinc: "59408-5",
                ..Pulse::default()
            }
            .create(),
        )
        .await
        .unwrap();
    assert!(second.presence.is_empty());
    let other = store
        .commit(
            Pulse {
                of: HENRIK,
                ..Pulse::default()
            }
            .create(),
        )
        .await
        .unwrap();
    assert_eq!(
        (other.presence[0].present, other.presence[0].sequence),
        (true, 2)
    );
    let withdraw = |id| Change {
        puts: vec![Put::Withdraw {
            id,
            resource_type: OBSERVATION,
            expect_version: None,
        }],
        ..Change::default()
    };
    assert!(
        store
            .commit(withdraw(first.puts[0].id))
            .await
            .unwrap()
            .presence
            .is_empty()
    );
    let last = store.commit(withdraw(second.puts[0].id)).await.unwrap();
    assert_eq!(
        (last.presence[0].present, last.presence[0].sequence),
        (false, 3)
    );
    let back = store
        .commit(
            Pulse {
                id: "r9",
                ..Pulse::default()
            }
            .create(),
        )
        .await
        .unwrap();
    assert_eq!(
        (back.presence[0].present, back.presence[0].sequence),
        (true, 4)
    );
    assert_eq!(store.presence_high_water().await.unwrap(), 4);
    let now: Vec<_> = store
        .presence_since(0, 10)
        .await
        .unwrap()
        .iter()
        .map(|turn| (turn.present, turn.sequence))
        .collect();
    assert_eq!(now, [(true, 2), (true, 4)]);
    let due = store.outbox_due("locator", world.now(), 10).await.unwrap();
    let bodies: Vec<_> = due
        .iter()
        .map(|one| String::from_utf8(one.body.to_vec()).unwrap())
        .collect();
    assert_eq!(due.len(), 4);
    assert!(due.iter().all(|one| one.topic == store::ANNOUNCE));
    assert_eq!(
        bodies[0],
        format!(
            r#"{{"patient":{{"system":"{}","value":"{GURI}"}},"kind":"IT17","state":"present","sequence":1}}"#,
            fhir::systems::FNR
        )
    );
    assert!(bodies[2].contains(r#""state":"absent","sequence":3"#));
}

#[tokio::test]
async fn a_correction_to_another_code_moves_the_series_without_a_turn() {
    let world = World::new();
    let store = world.store();
    store.commit(Pulse::default().create()).await.unwrap();
    let moved = Pulse {
        loinc: "59408-5",
        status: "corrected",
        ..Pulse::default()
    };
    assert!(
        store
            .commit(moved.create())
            .await
            .unwrap()
            .presence
            .is_empty()
    );
    let search = async |code: &str| {
        store
            .search(&own(GURI), &observations(&[("code", code)]), None)
            .await
            .unwrap()
            .matches
            .len()
    };
    assert_eq!((search("8867-4").await, search("59408-5").await), (0, 1));
}

#[tokio::test]
async fn a_shared_register_shows_who_wrote() {
    let world = World::new();
    let store = world.store();
    let json = Pulse::default().json();
    let put = |json: &str| Change {
        puts: vec![Put::Create {
            resource: checked(json),
            written_by: Some(org("310001422")),
            enrol: true,
        }],
        ..Change::default()
    };
    let id = store.commit(put(&json)).await.unwrap().puts[0].id;
    let tag = format!(
        r#"{{"system":"{}","code":"310001422"}}"#,
        fhir::systems::ORGNR
    );
    let body = store
        .read(&own(GURI), OBSERVATION, id)
        .await
        .unwrap()
        .unwrap()
        .body;
    let text = std::str::from_utf8(&body).unwrap();
    assert_eq!(text.matches(&tag).count(), 1, "{text}");
    // Sent back as read and corrected, it is still there once.
    let back = text
        .replace("72.0", "73.0")
        .replace("\"final\"", "\"corrected\"");
    assert_eq!(store.commit(put(&back)).await.unwrap().puts[0].version, 2);
    let body = store
        .read(&own(GURI), OBSERVATION, id)
        .await
        .unwrap()
        .unwrap()
        .body;
    assert_eq!(std::str::from_utf8(&body).unwrap().matches(&tag).count(), 1);
}

#[tokio::test]
async fn turns_of_presence_are_told_in_order_so_that_the_highest_leaves_no_gap() {
    let world = World::new();
    let store = world.announcing();
    for of in [GURI, HENRIK] {
        let pulse = Pulse {
            of,
            id: of,
            ..Pulse::default()
        };
        store.commit(pulse.create()).await.unwrap();
    }
    let now = world.now();
    let due = store.outbox_due("locator", now, 10).await.unwrap();
    assert_eq!(due.len(), 2);
    // The first waits for its next try. Told of the second alone, the locator would take 2 for all there is up to 2.
    store
        .outbox_retry(due[0].id, now.plus_seconds(30), "no answer")
        .await
        .unwrap();
    assert!(
        store
            .outbox_due("locator", now.plus_seconds(29), 10)
            .await
            .unwrap()
            .is_empty()
    );
    let again = store
        .outbox_due("locator", now.plus_seconds(30), 10)
        .await
        .unwrap();
    let keys: Vec<_> = again.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["presence/1", "presence/2"]);
}

#[tokio::test]
async fn a_permit_that_is_about_nobody_opens_nothing() {
    let world = World::new();
    let store = world.store();
    let pulse = Pulse::default();
    let id = store.commit(pulse.create()).await.unwrap().puts[0].id;
    let service = caller(Person::System, ClientUse::Service, "system/*.cruds");
    let ask = Ask::of(Interaction::AlertTold, ResourceType::TASK);
    let told = decide(&ask, &service, &facts()).permit().unwrap();
    assert_eq!(told.patient(), &PermitScope::Nobody);
    let observation = ResourceType::OBSERVATION;
    assert!(store.read(&told, observation, id).await.unwrap().is_none());
    let version = store.read_version(&told, observation, id, 1).await.unwrap();
    assert!(version.is_none());
    let query = observations(&[]);
    let found = store.search(&told, &query, None).await.unwrap();
    assert!(found.matches.is_empty() && found.total == Some(0));
    let of = person(pulse.of);
    let codings = store.codings(&told, observation, &of).await.unwrap();
    assert!(codings.is_empty());
}
