//! Chains, `_has`, `_sort`, `_total` and `ap` against the oracle, and never by what the caller cannot see.

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::search::Query;
use proptest::prelude::{ProptestConfig, prop, proptest};
use store::{Change, Options, Put, Store, StoreError};
use trust::Permit;

use crate::oracle::{Held, Oracle};
use crate::world::{GURI, HENRIK, OWNER, World, any, checked, own, person, whole};

/// Types that take part.
const TYPES: [&str; 6] = [
    "Patient",
    "Observation",
    "Encounter",
    "Condition",
    "MedicationStatement",
    "Medication",
];

pub fn type_of(name: &str) -> ResourceType {
    ResourceType::parse(name).unwrap()
}

fn id(group: u8, n: usize) -> LogicalId {
    // Scattered, so that order by id is not order of making.
    let mut bytes = (n as u128 + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        .to_be_bytes();
    bytes[15] = group;
    LogicalId(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

fn subject(of: &str) -> String {
    format!(
        r#""subject":{{"identifier":{{"system":"{}","value":"{of}"}}}}"#,
        fhir::systems::FNR
    )
}

/// A resource as random numbers have it: `n` is its own number, `to` whom it points to, `a` and `b` its values.
#[derive(Debug, Clone, Copy)]
struct Made {
    kind: usize,
    henrik: bool,
    to: usize,
    a: usize,
    b: u32,
}

fn text(n: usize, made: Made) -> String {
    let of = if made.henrik { HENRIK } else { GURI };
    let day = 1 + made.b % 27;
    let status = ["planned", "finished", "arrived"][made.a % 3];
    match made.kind {
        0 => format!(
            r#"{{"resourceType":"Encounter","identifier":[{{"system":"urn:e","value":"{n}"}}],"status":"{status}","class":{{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"HH"}},{},{}"period":{{"start":"2026-02-{day:02}","end":"2026-02-{:02}"}}}}"#,
            subject(of),
            if made.a.is_multiple_of(2) {
                format!(
                    r#""partOf":{{"reference":"Encounter/{}"}},"#,
                    id(0, made.to)
                )
            } else {
                String::new()
            },
            28
        ),
        1 => format!(
            r#"{{"resourceType":"Condition","identifier":[{{"system":"urn:c","value":"{n}"}}],"code":{{"coding":[{{"system":"urn:icpc","code":"R9{}"}}]}},{},"encounter":{{"reference":"Encounter/{}"}}}}"#,
            made.a % 3,
            subject(of),
            id(0, made.to)
        ),
        2 => format!(
            r#"{{"resourceType":"Medication","identifier":[{{"system":"urn:m","value":"{n}"}}],"code":{{"coding":[{{"system":"urn:atc","code":"A{}"}}]}}}}"#,
            made.a % 3
        ),
        3 => format!(
            r#"{{"resourceType":"MedicationStatement","identifier":[{{"system":"urn:s","value":"{n}"}}],"status":"active",{},{}"medicationReference":{{"reference":"Medication/{}"}}}}"#,
            subject(of),
            if made.b.is_multiple_of(3) {
                String::new()
            } else {
                format!(r#""effectiveDateTime":"2026-02-{day:02}T08:00:00+01:00","#)
            },
            id(2, made.to)
        ),
        _ => {
            let when = format!(r#""effectiveDateTime":"2026-02-{day:02}T08:00:00+01:00","#);
            let value = if made.b.is_multiple_of(5) {
                r#""dataAbsentReason":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"unknown"}]}"#.to_owned()
            } else {
                format!(
                    r#""valueQuantity":{{"value":{},"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}"#,
                    50 + made.b
                )
            };
            format!(
                r#"{{"resourceType":"Observation","identifier":[{{"system":"urn:o","value":"{n}"}}],"status":"{}","code":{{"coding":[{{"system":"http://loinc.org","code":"{}"}}]}},{},"encounter":{{"reference":"Encounter/{}"}},{when}{value},"derivedFrom":[{{"reference":"Observation/{}"}}]}}"#,
                ["final", "preliminary", "amended"][made.a % 3],
                ["8893-0", "8889-8"][made.to % 2],
                subject(of),
                id(0, made.to),
                id(4, made.a)
            )
        }
    }
}

fn create(id: LogicalId, json: &str) -> Change {
    Change {
        puts: vec![Put::CreateAs {
            id,
            resource: checked(json),
            written_by: None,
            enrol: true,
        }],
        ..Change::default()
    }
}

/// The store with all of these, and the oracle that holds the same.
async fn filled(world: &World, made: &[Made]) -> (Store, Oracle) {
    let store = world.store();
    for (of, name, gender, born) in [
        (GURI, "Nordmann", "female", "1952-10-14"),
        (HENRIK, "Åsgård", "male", "1971-03-02"),
    ] {
        let json = format!(
            r#"{{"resourceType":"Patient","identifier":[{{"system":"{}","value":"{of}"}}],"name":[{{"family":"{name}","given":["Kari"]}}],"gender":"{gender}","birthDate":"{born}"}}"#,
            fhir::systems::FNR
        );
        store
            .commit(crate::world::create(checked(&json)))
            .await
            .unwrap();
    }
    let mut counts = [0; 5];
    for one in made {
        let kind = one.kind.min(4);
        let n = counts[kind];
        counts[kind] += 1;
        store
            .commit(create(id(kind as u8, n), &text(n, *one)))
            .await
            .unwrap();
    }
    let mut all = Vec::new();
    for kind in TYPES.map(type_of) {
        let mut after = None;
        loop {
            let page = store
                .search(&whole(), &Query::all(kind), after)
                .await
                .unwrap();
            for one in page.matches {
                all.push(Held {
                    kind,
                    id: one.id,
                    person: store.patient_of(one.id).await.unwrap(),
                    body: String::from_utf8(one.body.to_vec()).unwrap(),
                });
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    let mut people = Vec::new();
    for one in [GURI, HENRIK].map(person) {
        people.push((store.patient_id(&one).await.unwrap().unwrap(), one));
    }
    assert_eq!(all.len(), made.len() + 2);
    (store, Oracle { all, people })
}

pub fn others(permit: &Permit) -> Vec<(ResourceType, Permit)> {
    TYPES.map(|name| (type_of(name), permit.clone())).to_vec()
}

/// The ids of all pages, and the total of each.
async fn pages(
    store: &Store,
    permit: &Permit,
    query: &Query,
) -> Result<(Vec<LogicalId>, Vec<Option<u64>>), StoreError> {
    let (mut ids, mut totals, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = store
            .gather(permit, others(permit), query, after)
            .await?
            .page;
        ids.extend(page.matches.iter().map(|one| one.id));
        totals.push(page.total);
        let Some(next) = page.next else {
            return Ok((ids, totals));
        };
        after = Some(store::Cursor::from_bytes(&next.to_bytes()).unwrap());
    }
}

/// Questions on each type: what joins, what the index finds, and what does neither. The ids are those of [`id`].
const QUESTIONS: &[(&str, &str, &str)] = &[
    ("Observation", "identifier", "urn:o|3"),
    ("Observation", "identifier", "2"),
    ("Observation", "identifier", "urn:x|2,urn:o|1,5"),
    ("Observation", "identifier:not", "urn:o|1"),
    ("Observation", "encounter", "{0}"),
    ("Observation", "encounter", "Encounter/{1}"),
    ("Observation", "encounter:Encounter", "{0},{2}"),
    ("Observation", "encounter:Encounter.identifier", "urn:e|1"),
    ("Observation", "encounter:Encounter.identifier", "urn:e|1,2"),
    ("Observation", "subject:identifier", GURI),
    ("Observation", "derived-from:Observation.identifier", "1"),
    ("Encounter", "identifier", "|1"),
    ("Encounter", "identifier", "urn:e|0,urn:e|1"),
    ("Encounter", "part-of", "{1}"),
    ("Encounter", "_has:Observation:encounter:identifier", "3"),
    ("Condition", "encounter", "{1},{2}"),
    ("Condition", "encounter:Encounter.identifier", "urn:e|2"),
    ("Patient", "_has:Condition:subject:encounter", "{1}"),
    ("Observation", "encounter:Encounter.status", "finished"),
    ("Observation", "encounter:Encounter.status:not", "finished"),
    (
        "Observation",
        "encounter:Encounter.status",
        "finished,planned",
    ),
    ("Observation", "encounter:Encounter.date", "ge2026-02-10"),
    (
        "Observation",
        "encounter:Encounter.part-of.status",
        "arrived",
    ),
    (
        "Observation",
        "encounter:Encounter.subject:Patient.gender",
        "male",
    ),
    ("Observation", "subject:Patient.birthdate", "1952"),
    ("Observation", "subject:Patient.family", "asg"),
    ("Observation", "patient.name:contains", "mann"),
    ("Observation", "patient.identifier", HENRIK),
    ("Observation", "subject:Patient.identifier", GURI),
    ("Observation", "derived-from:Observation.code", "8893-0"),
    (
        "Observation",
        "derived-from:Observation.value-quantity",
        "ap60",
    ),
    (
        "Observation",
        "encounter:Encounter._has:Condition:encounter:code",
        "R91",
    ),
    (
        "Observation",
        "_has:Observation:derived-from:status",
        "final",
    ),
    ("Observation", "status", "final"),
    ("Observation", "value-quantity", "ap70"),
    ("Observation", "date", "ap2026-02-10"),
    ("Encounter", "_has:Observation:encounter:code", "8893-0"),
    (
        "Encounter",
        "_has:Observation:encounter:value-quantity",
        "gt60",
    ),
    ("Encounter", "_has:Condition:encounter:code:not", "R90"),
    ("Encounter", "_has:Encounter:part-of:status", "planned"),
    (
        "Encounter",
        "_has:Observation:encounter:_has:Observation:derived-from:status",
        "final",
    ),
    ("Encounter", "part-of.status", "finished"),
    ("Encounter", "patient.gender", "female"),
    ("Patient", "_has:Observation:subject:code", "8889-8"),
    (
        "Patient",
        "_has:Observation:patient:encounter:Encounter.status",
        "arrived",
    ),
    ("Patient", "_has:Condition:subject:code", "R92"),
    ("Patient", "gender", "male"),
    ("Condition", "encounter.date", "lt2026-02-10"),
    ("Condition", "subject.birthdate", "ap1950"),
    ("MedicationStatement", "medication.code", "A1"),
    (
        "Medication",
        "_has:MedicationStatement:medication:status",
        "active",
    ),
];

const ORDERS: &[(&str, &str)] = &[
    ("Observation", "date"),
    ("Observation", "-date"),
    ("Observation", "status,-value-quantity"),
    ("Observation", "value-quantity"),
    ("Observation", "-code,_id"),
    ("Encounter", "-date,status"),
    ("Encounter", "date"),
    ("Encounter", "-status"),
    ("MedicationStatement", "effective"),
    ("MedicationStatement", "-effective"),
    ("MedicationStatement", "status,-effective"),
    ("Patient", "birthdate"),
    ("Patient", "-family"),
    ("Patient", "gender,-birthdate"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn the_store_joins_orders_and_counts_as_the_oracle_does(
        made in prop::collection::vec((0_usize..8, prop::bool::ANY, 0_usize..6, 0_usize..9, 0_u32..40), 1..40),
        picks in prop::collection::vec((prop::sample::select(QUESTIONS), prop::sample::select(QUESTIONS), prop::sample::select(ORDERS), 1_usize..6), 24),
    ) {
        let made: Vec<Made> = made
            .into_iter()
            .map(|(kind, henrik, to, a, b)| Made { kind, henrik, to, a, b })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let (store, oracle) = filled(&world, &made).await;
            for (one, other, order, count) in picks {
                let count = count.to_string();
                let mut form = vec![(one.1, one.2), ("_count", count.as_str()), ("_total", "accurate")];
                if other.0 == one.0 && other.1 != one.1 {
                    form.push((other.1, other.2));
                }
                if order.0 == one.0 {
                    form.push(("_sort", order.1));
                }
                let of = |value: &str| {
                    (0..3).fold(value.to_owned(), |text, n| text.replace(&format!("{{{n}}}"), &id(0, n).to_string()))
                };
                let form: Vec<(&str, String)> = form.into_iter().map(|(name, value)| (name, of(value))).collect();
                let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
                // Two questions that each name a patient are refused together.
                let Some(query) = crate::world::try_any(type_of(one.0), &form) else {
                    assert!(form.iter().filter(|asked| asked.0 != "_sort").count() > 3, "{form:?}");
                    continue;
                };
                let mut asked = query.clone();
                asked.approximate(world.now());
                for (permit, who) in [(whole(), None), (own(GURI), Some(person(GURI))), (own(HENRIK), Some(person(HENRIK)))] {
                    let expected = oracle.answer(&asked, who.as_ref());
                    let (found, totals) = pages(&store, &permit, &query).await.unwrap();
                    assert_eq!(found, expected, "{form:?}");
                    assert!(totals.iter().all(|total| *total == Some(expected.len() as u64)), "{form:?} {totals:?}");
                    let count = [&form[..], &[("_summary", "count")]].concat();
                    if let Some(query) = crate::world::try_any(type_of(one.0), &count) {
                        let page = store.gather(&permit, others(&permit), &query, None).await.unwrap().page;
                        assert_eq!((page.matches.len(), page.total), (0, Some(expected.len() as u64)));
                    }
                }
            }
        });
    }
}

/// Questions that several types can be asked at once.
const SHARED: &[(&str, &str)] = &[
    ("_count", "200"),
    ("identifier", "1"),
    ("identifier", "0,urn:o|2,urn:e|1"),
    ("subject:identifier", GURI),
    ("subject:Patient.gender", "male"),
    ("encounter", "{1}"),
    ("_sort", "_id"),
    ("_sort", "-_id"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn several_types_are_one_list_as_the_oracle_has_it(
        made in prop::collection::vec((0_usize..8, prop::bool::ANY, 0_usize..6, 0_usize..9, 0_u32..40), 1..40),
        picks in prop::collection::vec((prop::sample::subsequence(vec!["Observation", "Encounter", "Condition", "MedicationStatement"], 1..=4), prop::sample::select(SHARED), prop::sample::select(SHARED), 1_u32..6), 16),
    ) {
        let made: Vec<Made> = made
            .into_iter()
            .map(|(kind, henrik, to, a, b)| Made { kind, henrik, to, a, b })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let (store, oracle) = filled(&world, &made).await;
            for (types, one, other, count) in picks {
                let encounter = id(0, 1).to_string();
                let mut form = vec![(one.0, one.1.replace("{1}", &encounter)), ("_total", "accurate".into())];
                if other.0 != one.0 {
                    form.push((other.0, other.1.replace("{1}", &encounter)));
                }
                let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let queries: Option<Vec<Query>> = types.iter().map(|kind| crate::world::try_any(type_of(kind), &form)).collect();
                // Not every type has every parameter.
                let Some(mut queries) = queries else { continue };
                for query in &mut queries {
                    query.count = count;
                }
                for (permit, who) in [(whole(), None), (own(GURI), Some(person(GURI)))] {
                    let expected = oracle.answer_types(&queries, who.as_ref());
                    let (mut found, mut start) = (Vec::new(), Some(store::Start::Now));
                    while let Some(from) = start {
                        let asks = queries.iter().map(|query| (permit.clone(), query.clone())).collect();
                        let page = store.search_types(asks, others(&permit), from).await.unwrap();
                        assert!(page.matches.len() <= count as usize);
                        assert_eq!(page.total, Some(expected.len() as u64));
                        found.extend(page.matches.iter().map(|one| one.id));
                        start = page.next.map(store::Start::After);
                    }
                    assert_eq!(found, expected, "{types:?} {form:?}");
                }
            }
        });
    }
}

#[tokio::test]
async fn what_the_caller_cannot_see_joins_nothing() {
    let world = World::new();
    let made = |kind, henrik| Made {
        kind,
        henrik,
        to: 0,
        a: 1,
        b: 1,
    };
    // Henrik's encounter, to which a reading of Guri's points; a Medication, which is about nobody.
    let all = [
        made(0, true),
        made(4, false),
        made(2, false),
        made(3, false),
    ];
    let (store, _) = filled(&world, &all).await;
    let count = async |permit: &Permit,
                       others: Vec<(ResourceType, Permit)>,
                       kind,
                       form: &[(&str, &str)]| {
        let query = any(type_of(kind), form);
        let page = store
            .gather(permit, others, &query, None)
            .await
            .unwrap()
            .page;
        assert_eq!(page.total, Some(page.matches.len() as u64));
        page.matches.len()
    };
    let chain = [("encounter:Encounter.status", "finished")];
    let has = [("_has:Observation:encounter:status", "preliminary")];
    let medicine = [("medication.code", "A1")];
    assert_eq!(
        count(&whole(), others(&whole()), "Observation", &chain).await,
        1
    );
    assert_eq!(
        count(&own(GURI), others(&own(GURI)), "Observation", &chain).await,
        0
    );
    assert_eq!(
        count(&whole(), others(&whole()), "Encounter", &has).await,
        1
    );
    assert_eq!(
        count(&own(HENRIK), others(&own(HENRIK)), "Encounter", &has).await,
        0
    );
    // As a plain read has it: what is about nobody is the organisation's own system's alone.
    assert_eq!(
        count(&whole(), others(&whole()), "MedicationStatement", &medicine).await,
        1
    );
    assert_eq!(
        count(
            &own(GURI),
            others(&own(GURI)),
            "MedicationStatement",
            &medicine
        )
        .await,
        0
    );
    // A type without a permit of its own is not seen, whoever asks.
    assert_eq!(count(&whole(), Vec::new(), "Observation", &chain).await, 0);
    assert_eq!(count(&whole(), Vec::new(), "Encounter", &has).await, 0);
}

#[tokio::test]
async fn what_takes_too_much_or_too_long_is_refused() {
    let world = World::new();
    let made = |kind, a| Made {
        kind,
        henrik: false,
        to: 0,
        a,
        b: 1,
    };
    let all: Vec<Made> = (0..9)
        .map(|n| made(if n == 0 { 0 } else { 4 }, n))
        .collect();
    drop(filled(&world, &all).await);
    let open = |surroundings| {
        let options = Options {
            candidates: 8,
            ..Options::default()
        };
        Store::open_with(world.path(), OWNER, surroundings, options).unwrap()
    };
    let ask = async |store: &Store, form: &[(&str, &str)]| {
        let query = any(ResourceType::OBSERVATION, form);
        let permit = whole();
        store
            .gather(&permit, others(&permit), &query, None)
            .await
            .map(|found| found.page)
    };
    let store = open(world.surroundings());
    assert_eq!(
        ask(&store, &[("_sort", "status")])
            .await
            .unwrap()
            .matches
            .len(),
        8
    );
    // The other end counts too, once.
    let chain = ask(&store, &[("encounter:Encounter.status", "planned")]).await;
    assert!(matches!(chain, Err(StoreError::TooCostly)), "{chain:?}");
    let narrow = [
        ("encounter:Encounter.status", "planned"),
        ("status", "final"),
    ];
    assert!(ask(&store, &narrow).await.unwrap().matches.len() < 8);
    drop(store);
    // A clock that runs a second at each look.
    let mut surroundings = world.surroundings();
    let micros = world.micros.clone();
    surroundings.clock = std::sync::Arc::new(move || {
        fhir::time::Instant(micros.fetch_add(1_000_001, std::sync::atomic::Ordering::SeqCst))
    });
    let store = open(surroundings);
    let slow = [
        ("encounter:Encounter.status", "planned"),
        ("subject:Patient.gender", "female"),
        ("status", "final"),
    ];
    let late = ask(&store, &slow).await;
    assert!(matches!(late, Err(StoreError::Timeout)), "{late:?}");
    assert!(ask(&store, &[]).await.is_ok());
}
