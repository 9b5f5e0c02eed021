//! What a source compares with: counts and digests that change with each content and with nothing else.

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::search::{TokenParam, TokenSystem};
use store::{Patients, Put, StoreError, Tally};

use crate::world::*;

const OBSERVATION: ResourceType = ResourceType::OBSERVATION;

fn reading(id: &'static str, of: &'static str, value: &'static str) -> Pulse<'static> {
    Pulse {
        id,
        of,
        value,
        ..Pulse::default()
    }
}

async fn tallies(store: &store::Store, patients: Patients) -> Vec<(String, Tally)> {
    let found = store
        .tallies(&whole(), OBSERVATION, Vec::new(), patients)
        .await
        .unwrap();
    let pair = |(person, tally): (fhir::ids::PersonIdentifier, Tally)| {
        (person.value().expose().to_owned(), tally)
    };
    found.into_iter().map(pair).collect()
}

fn these(numbers: &[&str]) -> Patients {
    Patients::These(numbers.iter().map(|n| person(n)).collect())
}

#[tokio::test]
async fn a_tally_is_of_the_contents_alone_and_what_is_withdrawn_does_not_count() {
    let world = World::new();
    let store = world.store();
    let other = World::new();
    let elsewhere = other.store();
    let contents = [reading("1", GURI, "72"), reading("2", GURI, "73")];
    for one in &contents {
        store.commit(one.create()).await.unwrap();
    }
    for one in contents.iter().rev() {
        elsewhere.commit(one.create()).await.unwrap();
    }
    let digests = contents.iter().map(|one| {
        let digest = checked(&one.json()).identity().digest;
        digest[..16].try_into().unwrap()
    });
    let expected = Tally::of(digests.collect());
    let here = tallies(&store, these(&[GURI, HENRIK])).await;
    assert_eq!(here, [(GURI.to_owned(), expected)]);
    assert_eq!(
        here,
        tallies(&elsewhere, these(&[GURI])).await,
        "another order, other ids"
    );

    // One entered in error counts as what it now says, and then it is withdrawn.
    let wrong = Pulse {
        status: "entered-in-error",
        ..reading("2", GURI, "73")
    };
    let put = store.commit(wrong.create()).await.unwrap().puts[0];
    let marked = tallies(&store, these(&[GURI])).await;
    assert_eq!(marked[0].1.count, 2);
    assert_ne!(marked[0].1.digest, expected.digest);
    let withdraw = store::Change {
        puts: vec![Put::Withdraw {
            id: put.id,
            resource_type: OBSERVATION,
            expect_version: None,
        }],
        ..store::Change::default()
    };
    store.commit(withdraw).await.unwrap();
    let left = tallies(&store, these(&[GURI])).await;
    let first = checked(&contents[0].json()).identity().digest;
    assert_eq!(left[0].1, Tally::of(vec![first[..16].try_into().unwrap()]));
}

#[tokio::test]
async fn patients_are_taken_by_the_end_of_their_number_and_series_by_their_code() {
    let world = World::new();
    let store = world.store();
    store
        .commit(reading("1", GURI, "72").create())
        .await
        .unwrap();
    let weight = Pulse {
        loinc: "29463-7",
        ..reading("2", HENRIK, "80")
    };
    store.commit(weight.create()).await.unwrap();
    let names = async |ending: &str| -> Vec<String> {
        let found = tallies(&store, Patients::Ending(ending.to_owned())).await;
        found.into_iter().map(|(number, _)| number).collect()
    };
    assert_eq!(names(&GURI[9..]).await, [GURI]);
    assert_eq!(names(&HENRIK[10..]).await, [HENRIK]);
    assert!(names("77").await.is_empty());
    let code = |code: &str| {
        vec![TokenParam {
            system: TokenSystem::Any,
            code: Some(code.to_owned()),
        }]
    };
    for (asked, count) in [("29463-7", 1), ("8867-4", 0)] {
        let found = store
            .tallies(&whole(), OBSERVATION, code(asked), these(&[HENRIK]))
            .await
            .unwrap();
        assert_eq!(found.len(), count, "{asked}");
        let held = store
            .holdings(&whole(), OBSERVATION, code(asked), &person(HENRIK))
            .await
            .unwrap();
        assert_eq!(held.len(), count, "{asked}");
    }
}

#[tokio::test]
async fn what_has_an_identifier_is_found_withdrawn_or_not_and_nobody_else_compares() {
    let world = World::new();
    let store = world.store();
    let one = reading("1", GURI, "72");
    let put = store.commit(one.create()).await.unwrap().puts[0];
    let resource = checked(&one.json());
    let json = fhir::json::Json::parse(one.json(), fhir::json::Limits::RESOURCE).unwrap();
    let identifier = json.root().all(&["identifier"])[0];
    let named = (
        identifier.text("system").unwrap().into_owned(),
        identifier.text("value").unwrap().into_owned(),
    );
    let asked = vec![
        named.clone(),
        ("urn:example".to_owned(), "nobody".to_owned()),
    ];
    let found = store
        .named(&whole(), OBSERVATION, &person(GURI), asked.clone())
        .await
        .unwrap();
    let held = found[0].unwrap();
    assert_eq!((held.id, held.version, held.withdrawn), (put.id, 1, false));
    assert_eq!(held.digest, resource.identity().digest[..16]);
    assert_eq!(found[1], None);
    // The same identifier at another patient is another thing.
    let others = store
        .named(&whole(), OBSERVATION, &person(HENRIK), asked.clone())
        .await
        .unwrap();
    assert_eq!(others, [None, None]);

    let holdings = store
        .holdings(&whole(), OBSERVATION, Vec::new(), &person(GURI))
        .await
        .unwrap();
    let ids: Vec<LogicalId> = holdings.iter().map(|one| one.id).collect();
    assert_eq!(ids, [put.id]);
    assert!(holdings[0].start.is_some());

    let withdraw = store::Change {
        puts: vec![Put::Withdraw {
            id: put.id,
            resource_type: OBSERVATION,
            expect_version: None,
        }],
        ..store::Change::default()
    };
    store.commit(withdraw).await.unwrap();
    let found = store
        .named(&whole(), OBSERVATION, &person(GURI), asked.clone())
        .await
        .unwrap();
    assert!(found[0].unwrap().withdrawn);

    // A person's permit compares nothing, not even her own.
    let own = own(GURI);
    let nothing: Result<_, StoreError> = store
        .tallies(&own, OBSERVATION, Vec::new(), these(&[GURI]))
        .await;
    assert!(nothing.unwrap().is_empty());
    let nothing = store
        .holdings(&own, OBSERVATION, Vec::new(), &person(GURI))
        .await
        .unwrap();
    assert!(nothing.is_empty());
    let nothing = store
        .named(&own, OBSERVATION, &person(GURI), asked)
        .await
        .unwrap();
    assert_eq!(nothing, [None, None]);
}
