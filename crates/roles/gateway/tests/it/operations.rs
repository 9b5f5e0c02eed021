//! Operations over the region: `$lastn`, `$stats`, `$everything` and a read by full address, each merged and accounted for.

use crate::account::{account, line};
use crate::person::{Person, Reply};
use crate::sources::Behaviour;
use crate::world::{
    FJELLVIK, KYSTREGIONEN, PROVEBAKKEN, PROVEHEIM, Plan, World, anothers, medicine,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use wire::receipt;

/// A pulse with a unit that can be counted in.
fn pulse(id: &str, at: &str, value: u32, identifier: &str) -> Value {
    let mut reading = crate::world::pulse(id, at, value, identifier);
    reading["valueQuantity"]["system"] = json!("http://unitsofmeasure.org");
    reading["valueQuantity"]["code"] = json!("/min");
    reading
}

/// Pulse readings at three holders: r-1 at two of them, r-2 with a digit turned at one, r-3 and r-4 at one each.
async fn world() -> World {
    region(Plan::default()).await
}

/// The same, where waiting is cut as planned.
async fn region(plan: Plan) -> World {
    let world = World::with(plan).await;
    world.hold(
        "fjellvik",
        vec![
            pulse("f1", "2026-11-01T08:00:00+01:00", 70, "r-1"),
            pulse("f2", "2026-11-02T08:00:00+01:00", 74, "r-2"),
            pulse("f4", "2026-11-04T08:00:00+01:00", 90, "r-4"),
        ],
    );
    world.hold(
        "provebakken",
        vec![
            pulse("b1", "2026-11-01T08:00:00+01:00", 70, "r-1"),
            pulse("b2", "2026-11-02T08:00:00+01:00", 47, "r-2"),
        ],
    );
    world.hold(
        "proveheim",
        vec![pulse("h3", "2026-11-03T08:00:00+01:00", 80, "r-3")],
    );
    world.locate(&["fjellvik", "provebakken"]);
    world
}

fn weight(id: &str, at: &str) -> Value {
    let mut reading = pulse(id, at, 61, id);
    reading["code"]["coding"][0]["code"] = json!("29463-7");
    reading["valueQuantity"] =
        json!({"value": 61, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"});
    reading
}

#[tokio::test]
async fn lastn_is_the_newest_of_what_all_have_each_once() {
    let world = world().await;
    world.hold("proveheim", vec![weight("h5", "2026-10-01T08:00:00Z")]);
    let person = Person::practitioner(&world, PROVEHEIM);
    let reply = person.post("Observation/$lastn", &[]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let mut ids = reply.ids();
    ids.sort_unstable();
    assert_eq!(ids, ["f4", "h5"], "one of each kind");
    assert_eq!(reply.json["total"], 2);
    let reply = person.post("Observation/$lastn", &[("max", "5")]).await;
    assert_eq!(
        reply.ids().len(),
        6,
        "r-1 once, both of r-2, r-3, r-4 and the weight"
    );
    receipt::verify(reply.receipt(), &world.receipt_keys()).unwrap();
    assert_eq!(
        account(&reply),
        [
            line(PROVEHEIM, "complete", 2, ""),
            line(FJELLVIK, "complete", 3, ""),
            line(PROVEBAKKEN, "complete", 2, ""),
        ]
    );
    let asked = world.source("fjellvik").asked();
    assert_eq!(asked[1].get("max"), ["5"]);
    assert_eq!(asked[1].claims.scope, "user/Observation.rs");
    for bad in [
        ("max", "0"),
        ("max", "101"),
        ("_count", "5"),
        ("_sort", "date"),
    ] {
        let reply = person.post("Observation/$lastn", &[bad]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{bad:?}");
    }
}

#[tokio::test]
async fn lastn_counts_copies_that_disagree_as_one_and_shows_them_all() {
    let world = world().await;
    world.hold(
        "provebakken",
        vec![pulse("b4", "2026-11-04T08:00:00+01:00", 47, "r-4")],
    );
    let person = Person::practitioner(&world, PROVEHEIM);
    for (max, expected) in [
        ("1", vec!["b4", "f4"]),
        ("2", vec!["b4", "f4", "h3"]),
        ("3", vec!["b2", "b4", "f2", "f4", "h3"]),
    ] {
        let reply = person.post("Observation/$lastn", &[("max", max)]).await;
        let mut ids = reply.ids();
        ids.sort_unstable();
        assert_eq!(ids, expected, "{max}");
    }
}

#[tokio::test]
async fn a_source_that_has_more_than_it_gave_of_the_newest_is_no_whole_one() {
    let world = world().await;
    world.set("fjellvik", Behaviour::More);
    let person = Person::practitioner(&world, PROVEHEIM);
    let reply = person.post("Observation/$lastn", &[("max", "5")]).await;
    assert_eq!(
        account(&reply)[1],
        line(FJELLVIK, "partial", 3, "it has more than one answer holds")
    );
    assert!(reply.json.get("total").is_none());
}

/// A parameter of a Parameters resource.
fn parameter<'a>(reply: &'a Reply, name: &str) -> &'a Value {
    let all = reply.json["parameter"].as_array().unwrap();
    let found = all.iter().find(|one| one["name"] == name);
    &found.unwrap_or_else(|| panic!("no {name} in {}", reply.json))["resource"]
}

#[tokio::test]
async fn stats_count_a_reading_that_two_hold_once_and_none_that_they_dispute() {
    let world = world().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    let form = [
        ("code", "http://loinc.org|8867-4"),
        ("statistic", "count,average,minimum,maximum"),
        ("start", "2026-10-01"),
        ("end", "2026-12-01"),
    ];
    let reply = person.post("Observation/$stats", &form).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let statistics = parameter(&reply, "statistics")["component"]
        .as_array()
        .unwrap();
    assert_eq!(statistics[0]["valueInteger"], 3, "70, 80 and 90");
    let value = |at: usize| statistics[at]["valueQuantity"]["value"].as_f64().unwrap();
    assert_eq!((value(1), value(2), value(3)), (80.0, 70.0, 90.0));
    let said = parameter(&reply, "outcome").to_string();
    assert!(
        said.contains("2 copies of readings that disagree with another copy are left out"),
        "{said}"
    );
    let signed = parameter(&reply, "receipt");
    receipt::verify(signed, &world.receipt_keys()).unwrap();
    let told = receipt::Receipt::read(signed).unwrap();
    assert_eq!(told.sources.len(), 3);
    let (entries, receipts) = world.records(Some(PROVEHEIM)).await;
    assert_eq!(entries[0].record.counted[0].count, 3);
    assert_eq!(receipts.len(), 1);
    let curve = [
        ("code", "8867-4"),
        ("bucket", "day"),
        ("include", "true"),
        ("limit", "1"),
    ];
    let reply = person.post("Observation/$stats", &curve).await;
    assert_eq!(parameter(&reply, "source")["id"], "f4");
}

#[tokio::test]
async fn stats_say_which_source_is_missing_and_nobody_is_no_zero() {
    let world = world().await;
    world.set("fjellvik", Behaviour::Status(500));
    let person = Person::practitioner(&world, PROVEHEIM);
    let form = [("code", "8867-4"), ("statistic", "count")];
    let reply = person.post("Observation/$stats", &form).await;
    let told = receipt::Receipt::read(parameter(&reply, "receipt")).unwrap();
    assert_eq!(told.sources[1].state.as_str(), "failed");
    world.set("proveheim", Behaviour::Status(500));
    world.set("provebakken", Behaviour::Status(500));
    let reply = person.post("Observation/$stats", &form).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn everything_comes_type_by_type_page_by_page_and_once() {
    let world = world().await;
    world.hold("fjellvik", vec![medicine("f9", "Ventoline", None)]);
    world.set("provebakken", Behaviour::Status(403));
    let person = Person::practitioner(&world, PROVEHEIM);
    let mut reply = person
        .post(
            "Patient/$everything",
            &[("_count", "2"), ("organization", KYSTREGIONEN)],
        )
        .await;
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        receipt::verify(reply.receipt(), &world.receipt_keys()).unwrap();
        let states: Vec<&str> = account(&reply).iter().map(|one| one.1).collect();
        assert_eq!(states.len(), 4);
        // The last page is of kinds that no agreement opens.
        let asked = states.iter().any(|state| *state != "not-asked");
        assert!(!asked || states.contains(&"refused"), "{states:?}");
        let ids = reply.ids();
        assert!(ids.len() <= 2);
        found.extend(ids.into_iter().map(str::to_owned));
        pages += 1;
        let Some(next) = reply.link("next").map(str::to_owned) else {
            break;
        };
        reply = person.get(&next).await;
    }
    assert_eq!(found, ["f4", "h3", "f2", "f1", "f9"]);
    assert!(pages >= 3);
    let reply = person
        .post("Patient/$everything", &[("_type", "MedicationStatement")])
        .await;
    assert_eq!(reply.ids(), ["f9"]);
    for bad in [
        ("_type", "AuditEvent"),
        ("_count", "0"),
        ("_since", "2026-01-01T00:00:00Z"),
    ] {
        let reply = person.post("Patient/$everything", &[bad]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{bad:?}");
    }
}

/// Everything of these types, page by page.
async fn everything(person: &Person<'_>, types: &str) -> Vec<Reply> {
    let mut reply = person
        .post("Patient/$everything", &[("_type", types)])
        .await;
    let mut pages = Vec::new();
    loop {
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        let next = reply.link("next").map(str::to_owned);
        pages.push(reply);
        match next {
            Some(next) => reply = person.get(&next).await,
            None => return pages,
        }
        assert!(pages.len() < 20);
    }
}

fn ids(pages: &[Reply]) -> Vec<&str> {
    pages.iter().flat_map(Reply::ids).collect()
}

const SIX: &str =
    "Patient,Observation,CarePlan,MedicationStatement,QuestionnaireResponse,DetectedIssue";

#[tokio::test]
async fn a_silent_source_is_waited_for_once_on_a_page_of_everything_and_costs_nobody_else() {
    let world = region(Plan {
        source_deadline: Duration::from_millis(1500),
        total_deadline: Duration::from_secs(4),
        ..Plan::default()
    })
    .await;
    world.hold("proveheim", vec![medicine("h9", "Ventoline", None)]);
    world.set("fjellvik", Behaviour::Silent);
    let pages = everything(&Person::practitioner(&world, PROVEHEIM), SIX).await;
    assert_eq!(ids(&pages), ["h3", "b2", "b1", "h9"]);
    assert_eq!(world.source("fjellvik").asked().len(), pages.len());
    let told = account(&pages[0]);
    assert_eq!(told[0], line(PROVEHEIM, "complete", 2, ""));
    assert_eq!((told[1].1, told[1].2), ("late", 0));
    assert_eq!(told[2], line(PROVEBAKKEN, "complete", 2, ""));
}

#[tokio::test]
async fn a_source_that_breaks_on_one_type_gives_the_others_and_is_said_to_give_a_part() {
    let world = World::new().await;
    world.hold(
        "proveheim",
        vec![
            pulse("h3", "2026-11-03T08:00:00+01:00", 80, "r-3"),
            medicine("h9", "Ventoline", None),
        ],
    );
    world.set("proveheim", Behaviour::Breaking("CarePlan"));
    let pages = everything(&Person::practitioner(&world, PROVEHEIM), SIX).await;
    assert_eq!(ids(&pages), ["h3", "h9"]);
    assert_eq!(pages.len(), 1);
    assert_eq!(
        account(&pages[0])[0],
        line(PROVEHEIM, "partial", 2, "it answered 500: CarePlan")
    );
    // Nobody answered anything: that is no page.
    world.set("proveheim", Behaviour::Status(500));
    let reply = Person::practitioner(&world, PROVEHEIM)
        .post("Patient/$everything", &[("_type", SIX)])
        .await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        account(&reply)[0].1,
        "failed",
        "of all types the same: {:?}",
        account(&reply)
    );
}

#[tokio::test]
async fn a_slow_and_healthy_source_gives_everything_on_as_many_pages_as_it_takes() {
    let world = region(Plan {
        source_deadline: Duration::from_millis(2500),
        total_deadline: Duration::from_secs(3),
        ..Plan::default()
    })
    .await;
    world.hold("fjellvik", vec![medicine("f9", "Ventoline", None)]);
    // Six types take longer than a page may.
    world.set("fjellvik", Behaviour::Slow(Duration::from_millis(600)));
    let pages = everything(&Person::practitioner(&world, PROVEHEIM), SIX).await;
    let mut found = ids(&pages);
    found.sort_unstable();
    assert_eq!(found, ["b2", "f1", "f2", "f4", "f9", "h3"]);
    for page in &pages {
        for (_, state, ..) in account(page) {
            assert!(
                ["complete", "empty", "not-asked"].contains(&state),
                "{state}"
            );
        }
    }
}

#[tokio::test]
async fn a_full_address_is_read_at_its_own_holder_and_nowhere_else() {
    let world = world().await;
    let id = "6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11";
    world.hold(
        "fjellvik",
        vec![pulse(id, "2026-11-05T08:00:00Z", 71, "r-9")],
    );
    let base = world.source("fjellvik").base.clone();
    let url = format!("{base}/Observation/{id}");
    let person = Person::practitioner(&world, PROVEHEIM);
    let read = async |url: &str, of: &str| {
        let form = [("url", url), ("organization", of)];
        person.post("$read", &form).await
    };
    let reply = read(&url, FJELLVIK).await;
    assert_eq!(
        (reply.status, reply.ids()),
        (StatusCode::OK, vec![id]),
        "{}",
        reply.json
    );
    assert_eq!(account(&reply), [line(FJELLVIK, "complete", 1, "")]);
    assert_eq!(world.asked(), ["fjellvik"], "nobody else hears of it");
    // Not under a base of that organisation: as if nobody had it, and nobody is called.
    let elsewhere = world.source("provebakken").base.clone();
    for (url, of) in [
        (url.clone(), PROVEBAKKEN),
        (format!("{elsewhere}/Observation/{id}"), FJELLVIK),
        (
            format!("{base}/../../provebakken/fhir/Observation/{id}"),
            FJELLVIK,
        ),
        (
            format!("http://169.254.169.254/latest/fhir/Observation/{id}"),
            FJELLVIK,
        ),
    ] {
        assert_eq!(read(&url, of).await.status, StatusCode::NOT_FOUND, "{url}");
    }
    for (url, of) in [
        (format!("{base}/Observation/x y"), FJELLVIK),
        (format!("{base}/AuditEvent/{id}"), FJELLVIK),
        (format!("{base}/Observation/{id}?_format=xml"), FJELLVIK),
        (url.clone(), ""),
        (url.clone(), "310001007,310001147"),
    ] {
        assert_eq!(
            read(&url, of).await.status,
            StatusCode::BAD_REQUEST,
            "{url}"
        );
    }
    assert!(world.source("provebakken").asked().is_empty());
    // It is not there any more; it is somebody else's.
    let other = "7a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11";
    let reply = read(&format!("{base}/Observation/{other}"), FJELLVIK).await;
    assert_eq!(account(&reply), [line(FJELLVIK, "empty", 0, "")]);
    world.hold("fjellvik", vec![anothers(other, "2026-11-05T08:00:00Z")]);
    let reply = read(&format!("{base}/Observation/{other}"), FJELLVIK).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        account(&reply),
        [line(
            FJELLVIK,
            "failed",
            0,
            "left out: 1 about another patient"
        )]
    );
}
