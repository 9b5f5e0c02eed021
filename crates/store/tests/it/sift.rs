//! Search by any parameter: the store against the plain evaluator, and never another patient's data.

use fhir::json::{Json, Limits};
use fhir::resource::ResourceType;
use fhir::search::matches;
use proptest::prelude::{ProptestConfig, prop, proptest};
use store::{Cursor, Options, Store, StoreError, Stored};
use trust::Permit;

use crate::world::{GURI, HENRIK, OWNER, Pulse, World, any, own, person, whole};

/// Conditions on Observations; some are answered by the tables, some by looking at each.
const CONDITIONS: &[(&str, &str)] = &[
    ("code", "8867-4"),
    ("code", "http://loinc.org|59408-5,http://loinc.org|29463-7"),
    ("code:not", "8867-4"),
    ("category", "vital-signs"),
    ("category:missing", "true"),
    ("status", "final"),
    ("status:not", "final"),
    ("date", "ge2026-02-10"),
    ("date", "lt2026-02-20"),
    ("date", "2026-02-03,2026-02-11,2026-02-27"),
    ("date:missing", "false"),
    ("value-quantity", "gt60"),
    ("value-quantity", "le72|http://unitsofmeasure.org|/min"),
    ("value-quantity", "lt50000|http://unitsofmeasure.org|g"),
    ("value-quantity", "ne71"),
    ("code-value-quantity", "8867-4$ge70"),
    ("combo-code-value-quantity", "http://loinc.org|29463-7$lt65"),
    ("identifier", "urn:home|3,urn:home|14"),
    ("identifier:missing", "false"),
    ("_lastUpdated", "ge2020"),
    ("_tag:missing", "true"),
    ("_tag", "x"),
    ("subject:missing", "true"),
    ("device:missing", "false"),
];

async fn all(store: &Store, permit: &Permit, parameters: &[(&str, &str)]) -> Vec<Stored> {
    let query = any(ResourceType::OBSERVATION, parameters);
    let (mut all, mut after) = (Vec::new(), None::<Cursor>);
    loop {
        let page = store.search(permit, &query, after).await.unwrap();
        all.extend(page.matches);
        let Some(next) = page.next else { return all };
        after = Some(next);
    }
}

fn pulse(
    n: usize,
    of: &str,
    (day, kind, value, status): (u32, usize, u32, usize),
) -> store::Change {
    Pulse {
        of,
        id: &n.to_string(),
        at: &format!("2026-02-{day:02}T08:00:00+01:00"),
        value: &value.to_string(),
        status: ["final", "preliminary", "amended"][status],
        loinc: ["8867-4", "59408-5", "29463-7"][kind],
    }
    .create()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_store_finds_what_the_evaluator_finds(
        readings in prop::collection::vec((1_u32..28, 0_usize..3, 50_u32..90, 0_usize..3), 1..40),
        questions in prop::collection::vec(prop::collection::vec(prop::sample::select(CONDITIONS), 1..4), 8),
        count in 1_usize..9,
        newest in prop::bool::ANY,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let store = world.store();
            let mut changes = Vec::new();
            for (n, reading) in readings.iter().enumerate() {
                changes.push(pulse(n, if n % 3 == 0 { HENRIK } else { GURI }, *reading));
            }
            assert!(store.commit_all(changes).await.iter().all(Result::is_ok));
            let sort = if newest { "-date" } else { "date" };
            let patient = ("patient.identifier", GURI);
            let hers = all(&store, &whole(), &[patient, ("_sort", sort)]).await;
            let count = count.to_string();
            for question in questions {
                let mut parameters = vec![patient, ("_sort", sort), ("_count", count.as_str())];
                parameters.extend(question);
                let query = any(ResourceType::OBSERVATION, &parameters);
                let expected: Vec<_> = hers
                    .iter()
                    .filter(|one| {
                        let json = Json::parse(one.body.clone(), Limits::RESOURCE).unwrap();
                        matches(json.root(), &query, None)
                    })
                    .map(|one| one.id)
                    .collect();
                // The patient's own permit shows the same, with or without the patient in the question.
                for (permit, parameters) in [
                    (whole(), &parameters[..]),
                    (own(GURI), &parameters[..]),
                    (own(GURI), &parameters[1..]),
                ] {
                    let found: Vec<_> = all(&store, &permit, parameters).await.iter().map(|one| one.id).collect();
                    assert_eq!(found, expected, "{parameters:?}");
                }
                assert!(all(&store, &own(HENRIK), &parameters).await.is_empty());
            }
        });
    }
}

#[tokio::test]
async fn what_would_look_at_too_much_is_refused_whole() {
    let world = World::new();
    let options = Options {
        candidates: 10,
        ..Options::default()
    };
    let store = Store::open_with(world.path(), OWNER, world.surroundings(), options).unwrap();
    for n in 0..11 {
        store
            .commit(pulse(n, GURI, (n as u32 + 1, 0, 60 + n as u32, 0)))
            .await
            .unwrap();
    }
    let search = async |parameters: &[(&str, &str)]| {
        let query = any(ResourceType::OBSERVATION, parameters);
        store.search(&own(GURI), &query, None).await
    };
    // Eleven to look at are one too many; what the tables answer, or narrow down, is not refused.
    let refused = search(&[("value-quantity", "gt100")]).await;
    assert!(matches!(refused, Err(StoreError::TooCostly)));
    assert_eq!(search(&[]).await.unwrap().matches.len(), 11);
    let narrowed = [("value-quantity", "gt65"), ("date", "ge2026-02-03")];
    assert_eq!(search(&narrowed).await.unwrap().matches.len(), 5);
    // A page that is full before the limit is given, and goes on where it ended.
    let first = search(&[("value-quantity", "gt1"), ("_count", "3")])
        .await
        .unwrap();
    assert_eq!((first.matches.len(), first.total), (3, None));
    assert!(first.next.is_some());
}

#[tokio::test]
async fn a_reference_by_number_is_found_by_id_and_nobody_elses_is_told() {
    let world = World::new();
    let store = world.store();
    store.commit(pulse(0, GURI, (1, 0, 60, 0))).await.unwrap();
    store.commit(pulse(1, HENRIK, (1, 0, 60, 0))).await.unwrap();
    let id = async |number: &str| {
        let id = store.patient_id(&person(number)).await.unwrap().unwrap();
        format!("Patient/{id}")
    };
    let (guri, henrik) = (id(GURI).await, id(HENRIK).await);
    let count = async |permit: &Permit, subject: &str| {
        all(&store, permit, &[("subject", subject)]).await.len()
    };
    assert_eq!(count(&whole(), &guri).await, 1);
    assert_eq!(count(&whole(), &henrik).await, 1);
    assert_eq!(count(&own(GURI), &guri).await, 1);
    assert_eq!(count(&own(GURI), &henrik).await, 0);
    assert_eq!(count(&own(HENRIK), &guri).await, 0);
}

/// More series than are merged at once, and without a patient: in order across the parts, each once.
#[tokio::test]
async fn a_search_across_thousands_of_series_is_in_order_and_whole() {
    const READINGS: usize = 5_300;
    let world = World::new();
    let store = world.store();
    let changes = (0..READINGS).map(|n| {
        let (day, minute) = (n % 28 + 1, n / 28);
        Pulse {
            id: &n.to_string(),
            loinc: &format!("x-{n}"),
            at: &format!(
                "2026-02-{day:02}T{:02}:{:02}:00+01:00",
                minute / 60,
                minute % 60
            ),
            ..Pulse::default()
        }
        .create()
    });
    for outcome in store.commit_all(changes.collect()).await {
        outcome.unwrap();
    }
    let query = any(ResourceType::OBSERVATION, &[("_count", "200")]);
    let (mut when, mut ids, mut after) = (Vec::new(), std::collections::HashSet::new(), None);
    for _ in 0..3 {
        let page = store.search(&whole(), &query, after).await.unwrap();
        assert_eq!(page.matches.len(), 200);
        for one in &page.matches {
            let json = Json::parse(one.body.clone(), Limits::RESOURCE).unwrap();
            when.push(json.root().text("effectiveDateTime").unwrap().into_owned());
            assert!(ids.insert(one.id));
        }
        after = page.next;
    }
    assert!(when.is_sorted_by(|one, next| one >= next), "{when:?}");
    let mut newest: Vec<_> = (0..READINGS)
        .map(|n| {
            format!(
                "2026-02-{:02}T{:02}:{:02}:00+01:00",
                n % 28 + 1,
                n / 28 / 60,
                n / 28 % 60
            )
        })
        .collect();
    newest.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(when, newest[..600]);
}
