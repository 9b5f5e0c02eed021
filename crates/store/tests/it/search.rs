//! Search: order, paging, codes, dates, and never another patient's data.

use fhir::resource::{InformationService, ResourceType};
use store::{Cursor, Store, Stored};
use trust::Permit;

use crate::world::*;

async fn fill(store: &Store) {
    let mut changes = Vec::new();
    for of in [GURI, HENRIK] {
        for (kind, loinc) in ["8867-4", "59408-5", "29463-7"].iter().enumerate() {
            for day in 1..=28 {
                let (id, at) = (
                    format!("{kind}-{day}"),
                    format!("2026-02-{day:02}T08:0{}:00+01:00", kind % 2),
                );
                changes.push(
                    Pulse {
                        of,
                        id: &id,
                        at: &at,
                        loinc,
                        ..Pulse::default()
                    }
                    .create(),
                );
            }
        }
    }
    // Far from the order in which they are asked for.
    changes.sort_by_key(|change| match &change.puts[0] {
        store::Put::Create { resource, .. } => resource.identity().digest,
        _ => [0; 32],
    });
    assert!(store.commit_all(changes).await.iter().all(Result::is_ok));
}

async fn pages(
    store: &Store,
    permit: &Permit,
    parameters: &[(&str, &str)],
    count: &str,
) -> Vec<Stored> {
    let query = observations(&[parameters, &[("_count", count)]].concat());
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let first = after.is_none();
        let page = store.search(permit, &query, after).await.unwrap();
        let whole = first && page.next.is_none();
        assert_eq!(page.total, whole.then_some(page.matches.len() as u64));
        all.extend(page.matches);
        let Some(next) = page.next else { return all };
        after = Some(Cursor::from_bytes(&next.to_bytes()).unwrap());
        assert_eq!(after, Some(next));
    }
}

fn times(found: &[Stored]) -> Vec<String> {
    found
        .iter()
        .map(|one| {
            let text = std::str::from_utf8(&one.body).unwrap();
            let at = text.find("effectiveDateTime").unwrap() + 20;
            text[at..at + 16].to_owned()
        })
        .collect()
}

#[tokio::test]
async fn newest_first_ties_by_id_the_same_whatever_the_page_size() {
    let world = World::new();
    let store = world.store();
    fill(&store).await;
    let whole = pages(&store, &own(GURI), &[], "200").await;
    assert_eq!(whole.len(), 84);
    let mut sorted = times(&whole);
    sorted.sort_by(|a, b| b.cmp(a));
    assert_eq!(times(&whole), sorted);
    for pair in whole.windows(2) {
        let (a, b) = (times(&pair[..1]), times(&pair[1..]));
        assert!(a != b || pair[0].id < pair[1].id, "ties go by id");
    }
    let ids = |found: &[Stored]| found.iter().map(|one| one.id).collect::<Vec<_>>();
    for count in ["1", "2", "7", "17", "50"] {
        assert_eq!(
            ids(&pages(&store, &own(GURI), &[], count).await),
            ids(&whole),
            "{count}"
        );
    }
    let oldest = pages(&store, &own(GURI), &[("_sort", "date")], "200").await;
    let mut sorted = times(&oldest);
    sorted.sort();
    assert_eq!(times(&oldest), sorted);
    for pair in oldest.windows(2) {
        assert!(times(&pair[..1]) != times(&pair[1..]) || pair[0].id < pair[1].id);
    }
    for count in ["1", "5", "30"] {
        assert_eq!(
            ids(&pages(&store, &own(GURI), &[("_sort", "date")], count).await),
            ids(&oldest),
            "{count}"
        );
    }
}

#[tokio::test]
async fn paging_stands_still_while_others_write() {
    let world = World::new();
    let store = world.store();
    fill(&store).await;
    let query = observations(&[("_count", "30")]);
    let first = store.search(&own(GURI), &query, None).await.unwrap();
    store
        .commit(
            Pulse {
                id: "new",
                at: "2026-02-28T23:00:00+01:00",
                ..Pulse::default()
            }
            .create(),
        )
        .await
        .unwrap();
    let second = store.search(&own(GURI), &query, first.next).await.unwrap();
    let third = store.search(&own(GURI), &query, second.next).await.unwrap();
    let mut ids: Vec<_> = [first.matches, second.matches, third.matches]
        .concat()
        .iter()
        .map(|one| one.id)
        .collect();
    assert_eq!((ids.len(), third.next), (84, None));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 84);
}

#[tokio::test]
async fn codes_by_system_alone_or_together() {
    let world = World::new();
    let store = world.store();
    fill(&store).await;
    for (code, expected) in [
        ("8867-4", 28),
        ("http://loinc.org|8867-4", 28),
        ("http://loinc.org|8867-4,59408-5", 56),
        ("http://loinc.org|", 84),
        ("http://snomed.info/sct|8867-4", 0),
        ("|8867-4", 0),
        ("8867-5", 0),
    ] {
        assert_eq!(
            pages(&store, &own(GURI), &[("code", code)], "200")
                .await
                .len(),
            expected,
            "{code}"
        );
    }
    assert_eq!(
        pages(&store, &own(GURI), &[("category", "vital-signs")], "200")
            .await
            .len(),
        84
    );
    assert_eq!(
        pages(&store, &own(GURI), &[("category", "laboratory")], "200")
            .await
            .len(),
        0
    );
    assert_eq!(
        pages(&store, &own(GURI), &[("status", "final,amended")], "200")
            .await
            .len(),
        84
    );
    assert_eq!(
        pages(&store, &own(GURI), &[("status", "amended")], "200")
            .await
            .len(),
        0
    );
}

/// Stands for the whole of February.
const MONTH: &str = "february";

#[tokio::test]
async fn dates_as_fhir_compares_ranges() {
    let world = World::new();
    let store = world.store();
    // A whole day, a minute, an instant, all on 10 February; and a day before and after.
    for (id, at) in [
        ("before", "2026-02-09T12:00:00+01:00"),
        ("day", "2026-02-10"),
        ("instant", "2026-02-10T12:00:00+01:00"),
        ("late", "2026-02-10T23:59:59+01:00"),
        ("after", "2026-02-11T00:00:00+01:00"),
        ("month", MONTH),
    ] {
        let json = Pulse {
            id,
            at,
            ..Pulse::default()
        }
        .json()
        .replace(
            &format!(r#""effectiveDateTime":"{MONTH}""#),
            r#""effectivePeriod":{"start":"2026-02-01","end":"2026-02-28"}"#,
        );
        store.commit(create(checked(&json))).await.unwrap();
    }
    let all = ["before", "day", "instant", "late", "after", "month"];
    for (parameters, expected) in [
        (&["2026-02-10"][..], &["day", "instant", "late"][..]),
        (&["ne2026-02-10"], &["before", "after", "month"]),
        (&["gt2026-02-10"], &["after", "month"]),
        (&["lt2026-02-10"], &["before", "month"]),
        (
            &["ge2026-02-10"],
            &["day", "instant", "late", "after", "month"],
        ),
        (
            &["le2026-02-10"],
            &["before", "day", "instant", "late", "month"],
        ),
        (&["sa2026-02-10"], &["after"]),
        (&["eb2026-02-10"], &["before"]),
        (&["2026-02"], &all),
        (&["2026"], &all),
        (&["2025"], &[]),
        (
            &["ge2026-02-10", "lt2026-02-11"],
            &["day", "instant", "late", "month"],
        ),
        (&["gt2026-03"], &[]),
        (&["eb2026-02"], &[]),
    ] {
        let parameters: Vec<_> = parameters.iter().map(|value| ("date", *value)).collect();
        for sort in ["date", "-date"] {
            let found = pages(
                &store,
                &own(GURI),
                &[&parameters[..], &[("_sort", sort)]].concat(),
                "2",
            )
            .await;
            let mut found: Vec<_> = found
                .iter()
                .map(|one| {
                    let text = std::str::from_utf8(&one.body).unwrap();
                    *all.iter()
                        .find(|name| text.contains(&format!("\"value\":\"{name}\"")))
                        .unwrap()
                })
                .collect();
            let mut expected = expected.to_vec();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{parameters:?} {sort}");
        }
    }
}

/// The grammar's own reading of a date, on a few hundred periods and comparisons, beside what the SQL finds.
#[tokio::test]
async fn every_prefix_finds_what_the_grammar_means() {
    let world = World::new();
    let store = world.store();
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut changes = Vec::new();
    for n in 0..200 {
        let (id, start) = (n.to_string(), 1 + random(28));
        let end = start + random(29 - start);
        let effective = match n % 3 {
            0 => format!(r#""effectiveDateTime":"2026-02-{start:02}""#),
            1 => format!(
                r#""effectivePeriod":{{"start":"2026-02-{start:02}","end":"2026-02-{end:02}"}}"#
            ),
            _ => format!(
                r#""effectiveDateTime":"2026-02-{start:02}T{:02}:00:00+01:00""#,
                random(24)
            ),
        };
        let json = Pulse {
            id: &id,
            at: "here",
            ..Pulse::default()
        }
        .json();
        changes.push(checked(
            &json.replace(r#""effectiveDateTime":"here""#, &effective),
        ));
    }
    let ranges: Vec<_> = changes
        .iter()
        .map(|one| one.index().when.unwrap())
        .collect();
    let puts = store
        .commit_all(changes.into_iter().map(create).collect())
        .await;
    let ids: Vec<_> = puts
        .iter()
        .map(|one| one.as_ref().unwrap().puts[0].id)
        .collect();
    for _ in 0..60 {
        let day = 1 + random(28);
        for prefix in ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"] {
            let date = match random(3) {
                0 => format!("{prefix}2026-02"),
                1 => format!("{prefix}2026-02-{day:02}"),
                _ => format!("{prefix}2026-02-{day:02}T12:00:00+01:00"),
            };
            let other = format!("le2026-02-{:02}", 1 + random(28));
            let parameters = [("date", date.as_str()), ("date", other.as_str())];
            let query = observations(&parameters);
            let mut expected: Vec<_> = ids
                .iter()
                .zip(&ranges)
                .filter(|(_, when)| query.dates.iter().all(|date| date.matches(when)))
                .map(|(id, _)| *id)
                .collect();
            let mut found: Vec<_> = pages(&store, &own(GURI), &parameters, "37")
                .await
                .iter()
                .map(|one| one.id)
                .collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{parameters:?}");
        }
    }
}

#[tokio::test]
async fn another_patients_data_never_appears() {
    let world = World::new();
    let store = world.store();
    fill(&store).await;
    let hers = pages(&store, &own(GURI), &[], "200").await;
    let his = pages(&store, &own(HENRIK), &[], "200").await;
    let his_id = his[0].id.to_string();
    let his_patient = store.patient_id(&person(HENRIK)).await.unwrap().unwrap();
    for parameters in [
        &[("patient.identifier", HENRIK)][..],
        &[("patient", &format!("Patient/{his_patient}"))],
        &[("patient", "Patient/00000000-0000-4000-8000-00000000000a")],
        &[("_id", &his_id)],
    ] {
        assert!(
            pages(&store, &own(GURI), parameters, "200")
                .await
                .is_empty(),
            "{parameters:?}"
        );
    }
    assert!(
        store
            .read(&own(GURI), ResourceType::OBSERVATION, his[0].id)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .read(&own(GURI), ResourceType::PATIENT, his_patient)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .read(&own(GURI), ResourceType::CARE_PLAN, hers[0].id)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        pages(
            &store,
            &own(GURI),
            &[("_id", &format!("{his_id},{}", hers[3].id))],
            "200"
        )
        .await
        .len(),
        1
    );
    assert!(
        hers.iter()
            .all(|one| !std::str::from_utf8(&one.body).unwrap().contains(HENRIK))
    );
    // Somebody this store has never heard of.
    assert!(
        pages(&store, &own("13888410278"), &[], "200")
            .await
            .is_empty()
    );
    // The organisation's own record system sees all, or the one it names.
    assert_eq!(pages(&store, &whole(), &[], "50").await.len(), 168);
    assert_eq!(
        pages(&store, &whole(), &[("patient.identifier", HENRIK)], "50")
            .await
            .len(),
        84
    );
    assert_eq!(
        pages(&store, &whole(), &[("_id", &his_id)], "50")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn a_permit_narrows_to_its_services_and_period() {
    let world = World::new();
    let store = world.store();
    for (id, at) in [
        ("old", "2024-01-01T08:00:00+01:00"),
        ("new", "2026-01-01T08:00:00+01:00"),
    ] {
        store
            .commit(
                Pulse {
                    id,
                    at,
                    ..Pulse::default()
                }
                .create(),
            )
            .await
            .unwrap();
    }
    let medicine = checked(&format!(
        r#"{{"resourceType":"MedicationStatement","status":"active","medicationCodeableConcept":{{"coding":[{{"system":"http://www.whocc.no/atc","code":"R03AC02"}}]}},"subject":{{"identifier":{{"system":"{}","value":"{GURI}"}}}},"effectiveDateTime":"2026-01-01"}}"#,
        fhir::systems::FNR
    ));
    let medicine = store.commit(create(medicine)).await.unwrap().puts[0].id;
    let coordination = crate::world::coordinator();
    assert!(
        !coordination
            .services()
            .contains(&InformationService::MEDICATION)
            && coordination.period().is_some()
    );
    let found = pages(&store, &coordination, &[], "50").await;
    assert_eq!(found.len(), 1);
    assert!(
        std::str::from_utf8(&found[0].body)
            .unwrap()
            .contains("\"new\"")
    );
    let old = pages(&store, &own(GURI), &[("date", "2024")], "50").await;
    assert!(
        store
            .read(&coordination, ResourceType::OBSERVATION, old[0].id)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .read(&coordination, ResourceType::OBSERVATION, found[0].id)
            .await
            .unwrap()
            .is_some()
    );
    let statements = query(ResourceType::MEDICATION_STATEMENT, &[]);
    assert!(
        store
            .search(&coordination, &statements, None)
            .await
            .unwrap()
            .matches
            .is_empty()
    );
    assert!(
        store
            .read(&coordination, ResourceType::MEDICATION_STATEMENT, medicine)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        store
            .search(&own(GURI), &statements, None)
            .await
            .unwrap()
            .matches
            .len(),
        1
    );
    // A Patient has no time, so no period hides it.
    let patients = query(ResourceType::PATIENT, &[]);
    assert_eq!(
        store
            .search(&coordination, &patients, None)
            .await
            .unwrap()
            .matches
            .len(),
        1
    );
    let patient = store.patient_id(&person(GURI)).await.unwrap().unwrap();
    assert!(
        store
            .read(&coordination, ResourceType::PATIENT, patient)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_page_of_large_resources_is_no_larger_than_a_reader_takes() {
    let world = World::new();
    let store = world.store();
    let text = "x".repeat(1_900_000);
    for n in 0..8 {
        let at = format!("2026-02-2{n}T08:00:00+01:00");
        let pulse = Pulse {
            id: &at,
            at: &at,
            ..Pulse::default()
        };
        let json = pulse
            .json()
            .replacen("{", &format!(r#"{{"note":[{{"text":"{text}"}}],"#), 1);
        let json = json.replacen(
            &format!(r#""note":[{{"text":"{text}"}}],"resourceType":"Observation","#),
            &format!(r#""resourceType":"Observation","note":[{{"text":"{text}"}}],"#),
            1,
        );
        store.commit(create(checked(&json))).await.unwrap();
    }
    let query = observations(&[("_count", "50")]);
    let (mut after, mut seen) = (None, std::collections::HashSet::new());
    loop {
        let first = after.is_none();
        let page = store.search(&own(GURI), &query, after).await.unwrap();
        let bytes: usize = page.matches.iter().map(|one| one.body.len()).sum();
        assert!(bytes < 9 << 20, "{bytes} bytes in one page");
        assert!(!first || page.next.is_none() || page.total.is_none());
        seen.extend(page.matches.iter().map(|one| one.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 8);
}

#[tokio::test]
async fn whoever_codes_each_reading_in_its_own_way_hides_nothing_of_the_patient() {
    let world = World::new();
    let store = world.store();
    const KINDS: usize = 5_100;
    let changes = (0..KINDS)
        .map(|n| {
            let day = format!("2026-02-{:02}T08:00:00+01:00", 1 + n % 28);
            let json = format!(
                r#"{{"resourceType":"Observation","identifier":[{{"system":"u","value":"{n}"}}],"status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}},{{"system":"urn:own","code":"c{n}"}}]}},"subject":{{"identifier":{{"system":"{}","value":"{GURI}"}}}},"effectiveDateTime":"{day}","valueQuantity":{{"value":72,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}}}"#,
                fhir::systems::FNR
            );
            create(checked(&json))
        })
        .collect();
    for committed in store.commit_all(changes).await {
        committed.unwrap();
    }
    let query = observations(&[("code", "http://loinc.org|8867-4"), ("_count", "200")]);
    let (mut after, mut seen, mut last) = (None, std::collections::HashSet::new(), i64::MAX);
    for _ in 0..2 {
        let page = store.search(&own(GURI), &query, after).await.unwrap();
        for one in &page.matches {
            let text = std::str::from_utf8(&one.body).unwrap();
            let at = text.find("2026-02-").unwrap() + 8;
            let day: i64 = text[at..at + 2].parse().unwrap();
            assert!(
                day <= last,
                "newest first, also across the parts of a merge"
            );
            last = day;
            assert!(seen.insert(one.id));
        }
        after = page.next;
    }
    // 182 readings on each of the last days.
    assert_eq!((seen.len(), last), (400, 26));
}
