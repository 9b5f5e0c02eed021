//! What has changed since a caller last looked: new, corrected, withdrawn and first answers told apart, by a link that is the
//! caller's own.

use crate::account::{account, line};
use crate::person::{Person, Reply};
use crate::sources::Behaviour;
use crate::world::{FJELLVIK, KYSTREGIONEN, PROVEBAKKEN, PROVEHEIM, World, anothers, pulse};
use http::StatusCode;
use wire::contract::gateway::{CHANGE_EXTENSION, CHANGES_RELATION};

const ALL: &[(&str, &str)] = &[
    ("organization", "310001007,310001147,310001708"),
    ("code", "http://loinc.org|8867-4"),
];

/// Id (or address) and change of everything told, in order.
fn told(reply: &Reply) -> Vec<(String, String)> {
    let entries = reply.json["entry"].as_array().unwrap().iter();
    let read = entries.filter_map(|entry| {
        let extensions = entry["extension"].as_array()?;
        let change = extensions
            .iter()
            .find(|one| one["url"] == CHANGE_EXTENSION)?;
        let id = entry["resource"]["id"]
            .as_str()
            .or(entry["fullUrl"].as_str());
        Some((id?.to_owned(), change["valueCode"].as_str()?.to_owned()))
    });
    read.collect()
}

fn version(mut reading: serde_json::Value, version: &str) -> serde_json::Value {
    reading["meta"]["versionId"] = version.into();
    reading
}

/// Fjellvik answered at eight by its own clock; Prøvebakken is down.
async fn looked(world: &World) -> String {
    world.hold(
        "fjellvik",
        vec![pulse("f1", "2026-11-01T08:00:00Z", 70, "r-1")],
    );
    world
        .source("fjellvik")
        .says
        .lock()
        .unwrap()
        .push(("date", "Fri, 15 Jan 2027 08:00:00 GMT".into()));
    world.set("provebakken", Behaviour::Status(500));
    let reply = Person::practitioner(world, PROVEHEIM)
        .search("Observation", ALL)
        .await;
    assert_eq!(reply.ids(), ["f1"]);
    assert!(told(&reply).is_empty(), "a first look tells no changes");
    reply
        .link(CHANGES_RELATION)
        .expect("a link to changes")
        .to_owned()
}

#[tokio::test]
async fn new_corrected_withdrawn_and_first_answers_are_told_apart() {
    let world = World::new().await;
    let link = looked(&world).await;
    world.pass(14 * 24 * 3600);
    let mut other_code = pulse("f8", "2027-01-20T08:00:00Z", 61, "r-8");
    other_code["code"]["coding"][0]["code"] = "29463-7".into();
    let mut mistaken = version(pulse("f5", "2026-12-01T08:00:00Z", 700, "r-5"), "3");
    mistaken["status"] = "entered-in-error".into();
    *world.source("fjellvik").past.lock().unwrap() = vec![
        Ok(version(pulse("f1", "2026-11-01T08:00:00Z", 71, "r-1"), "2")),
        Err("f0".to_owned()),
        Ok(version(pulse("f2", "2027-01-20T08:00:00Z", 75, "r-2"), "2")),
        Ok(version(pulse("f2", "2027-01-20T08:00:00Z", 74, "r-2"), "1")),
        Ok(mistaken),
        Ok(version(other_code, "1")),
        Ok(version(anothers("f9", "2027-01-20T08:00:00Z"), "1")),
    ];
    world.set("provebakken", Behaviour::Healthy);
    world.hold(
        "provebakken",
        vec![pulse("b7", "2026-10-01T08:00:00Z", 66, "r-7")],
    );
    let person = Person::practitioner(&world, PROVEHEIM);
    let reply = person.get(&link).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let pair = |id: &str, change: &str| (id.to_owned(), change.to_owned());
    let gone = format!("{}/Observation/f0", world.source("fjellvik").base);
    assert_eq!(
        told(&reply),
        [
            pair("f2", "new"),
            pair("f5", "withdrawn"),
            pair("f1", "corrected"),
            pair("b7", "first-answer"),
            pair(&gone, "withdrawn"),
        ]
    );
    assert_eq!(
        account(&reply),
        [
            line(PROVEHEIM, "empty", 0, ""),
            line(FJELLVIK, "partial", 3, "left out: 1 about another patient"),
            line(PROVEBAKKEN, "complete", 1, ""),
            line(KYSTREGIONEN, "empty", 0, ""),
        ]
    );
    // Asked for from the second at which it answered, by its own clock.
    let asked = world.source("fjellvik").asked();
    assert_eq!(
        asked.last().unwrap().get("_since"),
        ["2027-01-15T08:00:00.000000Z"]
    );
    let next = reply
        .link(CHANGES_RELATION)
        .expect("a link for the next time")
        .to_owned();
    world.source("fjellvik").past.lock().unwrap().clear();
    let reply = person.get(&next).await;
    assert!(told(&reply).is_empty(), "{:?}", told(&reply));
}

#[tokio::test]
async fn what_no_longer_has_the_status_or_time_that_was_asked_for_is_told_as_taken_back() {
    let world = World::new().await;
    world.hold(
        "fjellvik",
        vec![pulse("f1", "2026-11-01T08:00:00Z", 70, "r-1")],
    );
    let form = [
        ("organization", FJELLVIK),
        ("code", "http://loinc.org|8867-4"),
        ("status", "final"),
        ("date", "ge2026-11-01"),
    ];
    let person = Person::practitioner(&world, PROVEHEIM);
    let reply = person.search("Observation", &form).await;
    let link = reply.link(CHANGES_RELATION).unwrap().to_owned();
    let changed = |id: &str, version_id: &str, what: &dyn Fn(&mut serde_json::Value)| {
        let mut reading = version(pulse(id, "2026-11-01T08:00:00Z", 70, id), version_id);
        what(&mut reading);
        Ok(reading)
    };
    let mistaken = |one: &mut serde_json::Value| one["status"] = "entered-in-error".into();
    let earlier = |one: &mut serde_json::Value| {
        one["effectiveDateTime"] = "2026-10-01T08:00:00Z".into();
    };
    let weight = |one: &mut serde_json::Value| one["code"]["coding"][0]["code"] = "29463-7".into();
    *world.source("fjellvik").past.lock().unwrap() = vec![
        changed("f1", "2", &mistaken),
        changed("f2", "3", &earlier),
        // It was a pulse until just now.
        changed("f3", "2", &weight),
        changed("f3", "1", &|_| {}),
        // Never what was asked for: made so, or of another kind all along.
        changed("f4", "1", &mistaken),
        changed("f5", "2", &weight),
        changed("f6", "2", &|_| {}),
    ];
    let reply = person.get(&link).await;
    let gone = |id: &str| {
        let url = format!("{}/Observation/{id}", world.source("fjellvik").base);
        (url, "withdrawn".to_owned())
    };
    assert_eq!(
        told(&reply),
        [
            ("f6".to_owned(), "corrected".to_owned()),
            gone("f1"),
            gone("f2"),
            gone("f3"),
        ]
    );
    assert_eq!(account(&reply)[1], line(FJELLVIK, "complete", 1, ""));
}

#[tokio::test]
async fn a_link_to_changes_is_the_callers_own_and_lasts_a_quarter_of_a_year() {
    let world = World::new().await;
    let link = looked(&world).await;
    for stranger in [
        Person::practitioner(&world, FJELLVIK),
        Person::citizen(&world),
        Person::practitioner(&world, PROVEHEIM).about(crate::world::OTHER_PATIENT),
    ] {
        assert_eq!(stranger.get(&link).await.status, StatusCode::NOT_FOUND);
    }
    world.pass(89 * 24 * 3600);
    let reply = Person::practitioner(&world, PROVEHEIM).get(&link).await;
    assert_eq!(reply.status, StatusCode::OK);
    world.pass(2 * 24 * 3600);
    let reply = Person::practitioner(&world, PROVEHEIM).get(&link).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_source_that_cannot_tell_its_past_is_said_to_have_failed() {
    let world = World::new().await;
    let link = looked(&world).await;
    let searchset = r#"{"resourceType":"Bundle","type":"searchset"}"#;
    world.set("fjellvik", Behaviour::Says(searchset.into()));
    let reply = Person::practitioner(&world, PROVEHEIM).get(&link).await;
    assert_eq!(
        account(&reply)[1],
        line(FJELLVIK, "failed", 0, "its answer is not a history")
    );
    assert!(reply.json.get("total").is_none());
}
