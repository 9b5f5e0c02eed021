//! Next links: together the pages give everything once, and each is for its own caller only.

use crate::account::account;
use crate::person::{Person, Reply};
use crate::sources::Behaviour;
use crate::world::{FJELLVIK, PROVEBAKKEN, PROVEHEIM, World, medicine, pulse};
use http::StatusCode;
use wire::contract::gateway::SUBSTANCE_EXTENSION;

/// Readings that overlap between two sources, many at the same time.
async fn full() -> (World, usize) {
    let world = World::new().await;
    let reading = |prefix: &str, n: u32| {
        let at = format!("2026-11-{:02}T08:00:00+01:00", 1 + n / 4);
        pulse(&format!("{prefix}{n}"), &at, 60 + n, &format!("r-{n}"))
    };
    world.hold("fjellvik", (0..40).map(|n| reading("f", n)).collect());
    world.hold("provebakken", (30..60).map(|n| reading("b", n)).collect());
    world.locate(&["fjellvik", "provebakken"]);
    (world, 60)
}

/// Follows next links to the end.
async fn walk(person: &Person<'_>, type_name: &str, form: &[(&str, &str)]) -> Vec<Reply> {
    let mut replies = vec![person.search(type_name, form).await];
    while let Some(next) = replies.last().unwrap().link("next").map(str::to_owned) {
        let reply = person.get(&next).await;
        assert_eq!(reply.status, StatusCode::OK);
        replies.push(reply);
        assert!(replies.len() < 100);
    }
    replies
}

/// What the entries are, over all pages.
fn things(replies: &[Reply]) -> Vec<String> {
    let entries = replies.iter().flat_map(Reply::matches);
    entries
        .map(|entry| {
            entry["resource"]["identifier"][0]["value"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn pages_together_give_everything_once_in_order() {
    let (world, count) = full().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    for (sort, page, size) in [
        ("-date", "7", usize::MAX),
        ("date", "7", usize::MAX),
        ("-date", "3", 5),
        ("date", "50", 9),
    ] {
        *world.source("fjellvik").page.lock().unwrap() = size;
        let form = [("_sort", sort), ("_count", page), ("date", "ge2026-01-01")];
        let replies = walk(&person, "Observation", &form).await;
        let things = things(&replies);
        let mut distinct = things.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(
            (things.len(), distinct.len()),
            (count, count),
            "{sort} {page}"
        );
        let times: Vec<&str> = replies
            .iter()
            .flat_map(Reply::matches)
            .map(|entry| entry["resource"]["effectiveDateTime"].as_str().unwrap())
            .collect();
        let mut ordered = times.clone();
        ordered.sort_unstable();
        if sort == "-date" {
            ordered.reverse();
        }
        assert_eq!(times, ordered);
        let limit: usize = page.parse().unwrap();
        for reply in &replies {
            assert!((1..=limit).contains(&reply.matches().len()));
            assert_eq!(reply.link("self"), replies[0].link("self"));
            assert!(
                account(reply)
                    .iter()
                    .all(|(_, state, ..)| ["complete", "empty"].contains(state))
            );
        }
        let by = |orgnr: &str| -> u64 {
            replies
                .iter()
                .flat_map(account)
                .filter(|(one, ..)| one == orgnr)
                .map(|(_, _, count, _)| count)
                .sum()
        };
        assert_eq!(
            (by(FJELLVIK), by(PROVEBAKKEN)),
            (40, 30),
            "counts over all pages are what each source holds"
        );
        let roads = |reply: &Reply| {
            reply
                .matches()
                .iter()
                .map(|e| e["extension"].as_array().unwrap().len())
                .sum::<usize>()
        };
        assert_eq!(replies.iter().map(roads).sum::<usize>(), 70);
    }
}

#[tokio::test]
async fn what_has_no_time_comes_on_the_last_pages_and_is_not_lost() {
    let world = World::new().await;
    for (service, prefix) in [("fjellvik", "f"), ("provebakken", "b")] {
        let dated = (1..6).map(|n| {
            medicine(
                &format!("{prefix}{n}"),
                &format!("{prefix}{n}"),
                Some("2026-01-01"),
            )
        });
        let undated =
            (6..10).map(|n| medicine(&format!("{prefix}{n}"), &format!("{prefix}{n}"), None));
        world.hold(service, undated.chain(dated).collect());
        *world.source(service).page.lock().unwrap() = 3;
    }
    world.locate(&["fjellvik", "provebakken"]);
    let person = Person::practitioner(&world, PROVEHEIM);
    for sort in ["-date", "date"] {
        let replies = walk(
            &person,
            "MedicationStatement",
            &[("_count", "4"), ("_sort", sort)],
        )
        .await;
        let ids: Vec<&str> = replies.iter().flat_map(Reply::ids).collect();
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!((ids.len(), distinct.len()), (18, 18), "{sort}: {ids:?}");
        let undated = |id: &&str| id.as_bytes()[1] >= b'6';
        assert!(
            ids[..10].iter().all(|id| !undated(id)) && ids[10..].iter().all(undated),
            "{sort}: {ids:?}"
        );
    }
}

#[tokio::test]
async fn lines_of_one_substance_are_told_of_each_other_whatever_page_they_stand_on() {
    let world = World::new().await;
    let line = |id: &str, start: Option<&str>, milligrams: u32| {
        let mut line = medicine(id, "Prednisolon", start);
        line["medicationCodeableConcept"]["coding"] =
            serde_json::json!([{"system": fhir::systems::ATC, "code": "H02AB06"}]);
        line["dosage"] = serde_json::json!([{"doseAndRate": [
            {"doseQuantity": {"value": milligrams, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}}
        ]}]);
        line
    };
    world.hold("fjellvik", vec![line("f1", Some("2026-11-01"), 30)]);
    world.hold("provebakken", vec![line("b1", Some("2026-01-01"), 40)]);
    world.hold("proveheim", vec![line("h1", None, 30)]);
    for service in ["fjellvik", "provebakken"] {
        let between = (2..8).map(|n| {
            let start = format!("2026-0{n}-01");
            medicine(&format!("{}{n}0", &service[..1]), service, Some(&start))
        });
        world.hold(service, between.collect());
        *world.source(service).page.lock().unwrap() = 2;
    }
    world.locate(&["fjellvik", "provebakken"]);
    let person = Person::practitioner(&world, PROVEHEIM);
    let flagged = |replies: &[Reply]| {
        let entries = replies.iter().flat_map(Reply::matches);
        let flagged = entries.filter(|entry| {
            let all = entry["extension"].as_array().unwrap().iter();
            let mut kin = all.filter(|one| one["url"] == SUBSTANCE_EXTENSION);
            kin.any(|one| one.to_string().contains("\"differs\""))
        });
        let mut ids: Vec<String> = flagged
            .map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    for count in ["1", "4", "50"] {
        let replies = walk(&person, "MedicationStatement", &[("_count", count)]).await;
        let all: usize = replies.iter().map(|reply| reply.matches().len()).sum();
        assert_eq!(all, 15, "{count}");
        assert_eq!(flagged(&replies), ["b1", "f1", "h1"], "{count}");
    }
    let form = [("_type", "MedicationStatement"), ("_count", "2")];
    let mut replies = vec![person.post("Patient/$everything", &form).await];
    while let Some(next) = replies.last().unwrap().link("next").map(str::to_owned) {
        replies.push(person.get(&next).await);
    }
    assert_eq!(flagged(&replies), ["b1", "f1", "h1"]);
}

#[tokio::test]
async fn a_link_is_for_its_own_caller_and_for_a_while() {
    let (world, _) = full().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    let reply = person
        .search(
            "Observation",
            &[("_count", "5"), ("organization", FJELLVIK)],
        )
        .await;
    let next = reply.link("next").unwrap();
    assert!(
        !reply.link("self").unwrap().contains("identifier"),
        "the patient's number stands in no link"
    );
    assert_eq!(person.get(next).await.status, StatusCode::OK);
    let mut bent = next.to_owned();
    let last = if bent.pop() == Some('A') { 'B' } else { 'A' };
    bent.push(last);
    assert_eq!(person.get(&bent).await.status, StatusCode::NOT_FOUND);
    for other in [
        Person::practitioner(&world, FJELLVIK),
        Person::citizen(&world),
    ] {
        assert_eq!(other.get(next).await.status, StatusCode::NOT_FOUND);
    }
    world.pass(15 * 60);
    let later = Person::practitioner(&world, PROVEHEIM);
    assert_eq!(later.get(next).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_source_that_was_late_on_one_page_is_there_on_the_next() {
    let (world, _) = full().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    world.set("provebakken", Behaviour::Status(503));
    let first = person.search("Observation", &[("_count", "5")]).await;
    assert_eq!(first.matches().len(), 5);
    world.set("provebakken", Behaviour::Healthy);
    let second = person.get(first.link("next").unwrap()).await;
    let states: Vec<&str> = account(&second)
        .iter()
        .map(|(_, state, ..)| *state)
        .collect();
    assert_eq!(states, ["empty", "complete", "complete"]);
    assert_eq!(second.matches().len(), 5);
}
