//! Look-ups that go wrong in part: one source costs its data, never the answer, and the receipt says which.

use crate::account::{account, line};
use crate::directory::Health;
use crate::person::Person;
use crate::sources::Behaviour;
use crate::world::{FJELLVIK, KYSTREGIONEN, PROVEBAKKEN, PROVEHEIM, Plan, World, anothers, pulse};
use http::StatusCode;
use std::time::Duration;
use trust::Category;
use trust::audit::Outcome;
use wire::receipt::Receipt;

const ALL: &[(&str, &str)] = &[("organization", "310001007,310001147,310001708")];

/// Four sources, of which the caller's own answers.
async fn world(plan: Plan) -> World {
    let world = World::with(plan).await;
    world.hold(
        "proveheim",
        vec![pulse("h1", "2026-11-03T08:00:00+01:00", 75, "r-3")],
    );
    world
}

/// Long enough for a healthy answer on a busy machine; the silent ones cost this much.
fn short() -> Plan {
    Plan {
        source_deadline: Duration::from_millis(1500),
        total_deadline: Duration::from_secs(4),
        ..Plan::default()
    }
}

#[tokio::test]
async fn dead_refusing_and_lying_sources_cost_only_their_own() {
    let world = world(Plan::default()).await;
    world.kill("fjellvik").await;
    world.set("provebakken", Behaviour::Status(403));
    world.set(
        "kystregionen",
        Behaviour::Says("{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"entry\":[".into()),
    );
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", ALL)
        .await;
    assert_eq!((reply.status, reply.ids()), (StatusCode::OK, vec!["h1"]));
    assert_eq!(
        account(&reply),
        [
            line(PROVEHEIM, "complete", 1, ""),
            line(FJELLVIK, "failed", 0, "no connection to the peer"),
            line(PROVEBAKKEN, "refused", 0, "it refused"),
            line(KYSTREGIONEN, "failed", 0, "its answer is not strict JSON"),
        ]
    );
    assert!(
        reply.json.get("total").is_none(),
        "nobody knows how many there are"
    );
}

#[tokio::test]
async fn other_lies_are_found_out_too() {
    let world = world(Plan::default()).await;
    world.set(
        "fjellvik",
        Behaviour::Says("{\"resourceType\":\"OperationOutcome\",\"issue\":[]}".into()),
    );
    world.set("provebakken", Behaviour::Status(302));
    world.hold(
        "kystregionen",
        vec![
            anothers("k1", "2026-11-01T08:00:00+01:00"),
            pulse("k2", "2026-11-02T08:00:00+01:00", 70, "r-2"),
            pulse("not an id", "2026-11-02T08:00:00+01:00", 70, "r-9"),
        ],
    );
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", ALL)
        .await;
    assert_eq!(
        reply.ids(),
        ["h1", "k2"],
        "what is about the patient is kept"
    );
    assert!(!reply.json.to_string().contains(crate::world::OTHER_PATIENT));
    assert_eq!(
        account(&reply)[1..],
        [
            line(FJELLVIK, "failed", 0, "its answer is not a searchset"),
            line(PROVEBAKKEN, "failed", 0, "it answered 302"),
            line(
                KYSTREGIONEN,
                "partial",
                1,
                "left out: 1 about another patient, 1 not what was asked for"
            ),
        ]
    );
}

/// A reading that names its patient by the source's own Patient alone.
fn by_reference(id: &str, at: &str, patient: &str) -> serde_json::Value {
    let mut reading = pulse(id, at, 70, id);
    reading["subject"] = serde_json::json!({"reference": format!("Patient/{patient}")});
    reading
}

#[tokio::test]
async fn a_source_that_names_several_patients_by_references_of_its_own_is_not_believed() {
    let (hers, anothers) = (
        "6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11",
        "7a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11",
    );
    let world = world(Plan::default()).await;
    world.hold(
        "fjellvik",
        vec![
            by_reference("f1", "2026-11-01T08:00:00Z", hers),
            by_reference("f2", "2026-11-02T08:00:00Z", hers),
        ],
    );
    let person = Person::practitioner(&world, PROVEHEIM);
    let theirs = [("organization", FJELLVIK)];
    let reply = person.search("Observation", &theirs).await;
    let link = reply.link(wire::contract::gateway::CHANGES_RELATION);
    let link = link.unwrap().to_owned();
    assert_eq!(reply.ids(), ["h1", "f2", "f1"]);
    assert_eq!(account(&reply)[1], line(FJELLVIK, "complete", 2, ""));
    // One that is somebody else's slipped in: who is who nobody can tell from here.
    let strange = by_reference("f3", "2026-11-03T09:00:00Z", anothers);
    world.hold("fjellvik", vec![strange.clone()]);
    let reply = person.search("Observation", &theirs).await;
    assert_eq!(reply.ids(), ["h1"]);
    let words = "left out: 3 by references to different patients";
    assert_eq!(account(&reply)[1], line(FJELLVIK, "partial", 0, words));
    *world.source("fjellvik").past.lock().unwrap() = vec![
        Ok(strange),
        Ok(by_reference("f2", "2026-11-02T08:00:00Z", hers)),
    ];
    let reply = person.get(&link).await;
    let words = "left out: 2 by references to different patients";
    assert_eq!(account(&reply)[1], line(FJELLVIK, "partial", 0, words));
    // Where the source gave her Patient too, what refers to it is hers.
    let patient = serde_json::json!({
        "resourceType": "Patient", "id": hers,
        "identifier": [{"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": crate::world::PATIENT}],
    });
    world.hold("fjellvik", vec![patient]);
    let all = [("_type", "Patient,Observation"), ("organization", FJELLVIK)];
    let reply = person.post("Patient/$everything", &all).await;
    assert_eq!(reply.ids(), [hers, "h1", "f2", "f1"]);
    let words = "left out: 1 about another patient";
    assert_eq!(account(&reply)[1], line(FJELLVIK, "partial", 3, words));
}

#[tokio::test]
async fn a_silent_source_is_late_and_the_others_are_there() {
    let world = world(short()).await;
    world.set("fjellvik", Behaviour::Silent);
    world.hold(
        "provebakken",
        vec![pulse("b1", "2026-11-01T08:00:00+01:00", 72, "r-1")],
    );
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", ALL)
        .await;
    assert_eq!(reply.ids(), ["h1", "b1"]);
    assert_eq!(
        account(&reply)[1..],
        [
            line(FJELLVIK, "late", 0, "no answer in time"),
            line(PROVEBAKKEN, "complete", 1, ""),
            line(KYSTREGIONEN, "empty", 0, ""),
        ]
    );
}

#[tokio::test]
async fn a_source_that_falls_silent_on_the_way_gives_what_it_gave() {
    let world = world(short()).await;
    world.set("fjellvik", Behaviour::FallingSilent);
    *world.source("fjellvik").page.lock().unwrap() = 1;
    world.hold(
        "fjellvik",
        vec![
            pulse("f1", "2026-11-01T08:00:00+01:00", 72, "r-1"),
            pulse("f2", "2026-11-02T08:00:00+01:00", 73, "r-2"),
        ],
    );
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[("organization", FJELLVIK)])
        .await;
    assert_eq!(reply.ids(), ["h1", "f2"]);
    assert_eq!(
        account(&reply)[1],
        line(FJELLVIK, "partial", 1, "only its first pages came")
    );
}

#[tokio::test]
async fn links_to_elsewhere_and_wrong_order_are_not_followed() {
    let world = world(Plan::default()).await;
    let elsewhere = format!("{}/proveheim/fhir/_page/x", world.address);
    world.set("fjellvik", Behaviour::Linking(elsewhere));
    world.set("provebakken", Behaviour::Backwards);
    for (service, page) in [("fjellvik", 1), ("provebakken", 2)] {
        *world.source(service).page.lock().unwrap() = page;
        let reading = |n: u32| {
            pulse(
                &format!("{service}-{n}"),
                &format!("2026-11-0{n}T08:00:00Z"),
                70,
                &format!("{service}-{n}"),
            )
        };
        world.hold(service, (1..4).map(reading).collect());
    }
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", ALL)
        .await;
    assert_eq!(
        account(&reply)[1..3],
        [
            line(FJELLVIK, "partial", 1, "its link to more leads elsewhere"),
            line(
                PROVEBAKKEN,
                "partial",
                2,
                "it did not answer in the order asked for, so the rest could not be read"
            ),
        ]
    );
    assert_eq!(world.source("proveheim").asked().len(), 1);
}

#[tokio::test]
async fn a_token_that_the_anchor_refuses_is_a_refusal() {
    let world = world(Plan::default()).await;
    *world.anchor.refused.lock().unwrap() = vec![world.source("fjellvik").base.clone()];
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[("organization", FJELLVIK)])
        .await;
    assert_eq!(
        account(&reply)[1],
        line(
            FJELLVIK,
            "refused",
            0,
            "the trust anchor refused a token: invalid_target"
        )
    );
    assert_eq!(world.asked(), ["proveheim"]);
}

#[tokio::test]
async fn when_nobody_answers_it_is_502_or_504_with_the_receipt() {
    let world = World::with(short()).await;
    world.set("proveheim", Behaviour::Silent);
    let person = Person::practitioner(&world, PROVEHEIM);
    let reply = person.search("Observation", &[]).await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(
        account(&reply),
        [line(PROVEHEIM, "late", 0, "no answer in time")]
    );
    world.set("proveheim", Behaviour::Status(500));
    let reply = person.search("Observation", &[]).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        account(&reply),
        [line(PROVEHEIM, "failed", 0, "it answered 500")]
    );
    wire::receipt::verify(reply.receipt(), &world.receipt_keys()).unwrap();
    let (entries, receipts) = world.records(Some(PROVEHEIM)).await;
    assert_eq!(
        entries[0].record.outcome,
        Outcome::Failed {
            category: Category::Unavailable
        }
    );
    assert_eq!(entries[0].record.peers[0].state, "failed");
    assert_eq!((entries.len(), receipts.len()), (2, 2));
    // Everybody who was asked said no: that is an answer, and no list that looks empty.
    world.set("proveheim", Behaviour::Status(403));
    let reply = person.search("Observation", &[]).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        account(&reply),
        [line(PROVEHEIM, "refused", 0, "it refused")]
    );
    assert!(reply.json.get("total").is_none());
}

#[tokio::test]
async fn a_locator_that_is_down_or_silent_is_said_and_the_rest_goes_on() {
    let world = world(short()).await;
    world.locate(&["fjellvik"]);
    let person = Person::practitioner(&world, PROVEHEIM);
    for (health, state, reason) in [
        (Health::Down, "failed", "the locator answered 500"),
        (
            Health::Garbled,
            "failed",
            "unusable answer: the answer is not what the contract says",
        ),
        (Health::Silent, "late", "no answer in time"),
    ] {
        *world.directory.locator.lock().unwrap() = health;
        let reply = person
            .search("Observation", &[("organization", PROVEBAKKEN)])
            .await;
        assert_eq!(reply.ids(), ["h1"]);
        assert_eq!(
            account(&reply),
            [
                line(PROVEHEIM, "complete", 1, ""),
                line(PROVEBAKKEN, "empty", 0, ""),
                line("locator", state, 0, reason),
            ]
        );
        let note = reply.receipt()["issue"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .to_string();
        assert!(note.contains("/locator\""), "it says where the locator is");
        world.pass(1);
    }
    assert!(
        world.source("fjellvik").asked().is_empty(),
        "nobody is asked on a guess"
    );
}

#[tokio::test]
async fn the_last_good_copy_of_the_catalogue_serves_while_it_is_down() {
    let world = world(Plan::default()).await;
    Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    *world.directory.catalogue.lock().unwrap() = Health::Down;
    world.pass(3600);
    let person = Person::practitioner(&world, PROVEHEIM);
    let reply = person
        .search("Observation", &[("organization", FJELLVIK)])
        .await;
    assert_eq!(
        account(&reply),
        [
            line(PROVEHEIM, "complete", 1, ""),
            line(FJELLVIK, "failed", 0, "the catalogue gave no usable answer"),
        ]
    );
    let notices = wire::receipt::Receipt::read(reply.receipt())
        .unwrap()
        .notices;
    assert_eq!(
        notices,
        [
            "the catalogue gives no usable answer since 2027-01-15T09:00:00Z: addresses are those last known; the oldest copy in use is of 2027-01-15T08:00:00Z"
        ]
    );
    // Garbage is no answer: it takes the place of nothing.
    *world.directory.catalogue.lock().unwrap() = Health::Garbled;
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    assert_eq!(account(&reply), [line(PROVEHEIM, "complete", 1, "")]);
    world.pass(24 * 3600);
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    *world.directory.catalogue.lock().unwrap() = Health::Up;
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    let told = wire::receipt::Receipt::read(reply.receipt()).unwrap();
    assert!(told.is_whole() && told.notices.is_empty());
}

#[tokio::test]
async fn a_catalogue_that_lets_everybody_wait_is_asked_behind_and_its_copy_serves_at_once() {
    let world = world(short()).await;
    let ask = async || {
        let person = Person::practitioner(&world, PROVEHEIM);
        let reply = person.search("Observation", ALL).await;
        assert_eq!(account(&reply)[0], line(PROVEHEIM, "complete", 1, ""));
        assert_eq!(account(&reply)[1], line(FJELLVIK, "empty", 0, ""));
        reply
    };
    let asked = || {
        let asked = &world.directory.catalogue_asked;
        asked.load(std::sync::atomic::Ordering::SeqCst)
    };
    ask().await;
    world.pass(61);
    *world.directory.catalogue.lock().unwrap() = Health::Silent;
    // Somebody must wait to find out.
    ask().await;
    let before = asked();
    let reply = ask().await;
    ask().await;
    assert!(asked() <= before + 1, "one question at a time");
    let told = Receipt::read(reply.receipt()).unwrap();
    assert!(told.notices[0].starts_with("the catalogue gives no usable answer since"));
    // It is back: the next look-up finds out behind, and those after it know.
    *world.directory.catalogue.lock().unwrap() = Health::Up;
    let mut looked = 0;
    while !Receipt::read(ask().await.receipt())
        .unwrap()
        .notices
        .is_empty()
    {
        looked += 1;
        assert!(looked < 1_000, "it is never asked again");
    }
    assert!(asked() > before);
}

#[tokio::test]
async fn a_locator_that_fails_again_and_again_is_rested_and_a_used_up_budget_rests_it_for_nobody() {
    let world = world(short()).await;
    world.locate(&["fjellvik"]);
    let health = |health| *world.directory.locator.lock().unwrap() = health;
    let look_up = async || {
        let person = Person::practitioner(&world, PROVEHEIM);
        let reply = person.search("Observation", &[]).await;
        assert_eq!(account(&reply)[0], line(PROVEHEIM, "complete", 1, ""));
        let (_, state, _, reason) = account(&reply).swap_remove(1);
        (state, reason)
    };
    let whole = ("empty", String::new());
    health(Health::Budget);
    for _ in 0..6 {
        let words = "the locator answered 429".to_owned();
        assert_eq!(look_up().await, ("failed", words));
    }
    health(Health::Up);
    assert_eq!(look_up().await, whole);
    health(Health::Down);
    for _ in 0..5 {
        let words = "the locator answered 500".to_owned();
        assert_eq!(look_up().await, ("failed", words));
    }
    let rested = "it failed again and again and is given a rest";
    health(Health::Up);
    let (state, reason) = look_up().await;
    assert!(state == "failed" && reason.starts_with(rested), "{reason}");
    // One look-up tries it and waits in vain; the next does not.
    world.pass(7);
    health(Health::Silent);
    assert_eq!(look_up().await.0, "late");
    assert!(look_up().await.1.starts_with(rested));
    world.pass(13);
    health(Health::Up);
    assert_eq!(look_up().await, whole);
}

#[tokio::test]
async fn why_the_locator_refused_is_told_by_its_code_and_by_nothing_else_that_it_writes() {
    let world = world(short()).await;
    for (code, words) in [
        ("not_a_member", "the locator refused: not_a_member"),
        ("<b>Ragnhild</b>", "the locator refused"),
        ("", "the locator refused"),
    ] {
        *world.directory.locator.lock().unwrap() = Health::Refuses(code);
        let person = Person::practitioner(&world, PROVEHEIM);
        let reply = person.search("Observation", &[]).await;
        let told = account(&reply);
        assert_eq!(told[0], line(PROVEHEIM, "complete", 1, ""));
        assert_eq!((told[1].1, told[1].3.as_str()), ("refused", words));
    }
}

#[tokio::test]
async fn with_the_anchor_down_what_was_exchanged_serves_and_the_rest_is_said() {
    let world = world(Plan::default()).await;
    let person = Person::practitioner(&world, PROVEHEIM);
    let first = person.question("Observation", &[]);
    let (token, proof) = person.prove(&first);
    let reply = person.send_with(first, &(token.clone(), proof)).await;
    assert!(Receipt::read(reply.receipt()).unwrap().notices.is_empty());
    // The look-up asks behind for who takes part.
    let documents = &world.anchor.documents_asked;
    for _ in 0..100 {
        if documents.load(std::sync::atomic::Ordering::SeqCst) >= 2 {
            break;
        }
        person.search("Observation", &[]).await;
    }
    world
        .anchor
        .down
        .store(true, std::sync::atomic::Ordering::SeqCst);
    // The same token: its exchange is kept, and the key set is held.
    let again = person.question("Observation", &[("organization", FJELLVIK)]);
    let credentials = person.prove_with(&again, token);
    let reply = person.send_with(again, &credentials).await;
    let no_token = "the trust anchor gave no token";
    assert_eq!(
        account(&reply),
        [
            line(PROVEHEIM, "complete", 1, ""),
            line(FJELLVIK, "failed", 0, no_token),
        ]
    );
    assert!(Receipt::read(reply.receipt()).unwrap().notices.is_empty());
    // A minute later the receipt says what the tokens that serve do not: keys and agreements are an old copy.
    world.pass(60);
    let mut notices = Vec::new();
    for _ in 0..100 {
        let again = person.question("Observation", &[]);
        let credentials = person.prove_with(&again, world.anchor.sign(&person.claims));
        let reply = person.send_with(again, &credentials).await;
        notices = Receipt::read(reply.receipt()).unwrap().notices;
        if !notices.is_empty() {
            break;
        }
    }
    assert_eq!(
        notices,
        [
            "the trust anchor gives no usable answer: keys, members and agreements are those of 2027-01-15T08:00:00Z"
        ]
    );
    // A new token is verified by the held keys, and cannot be exchanged.
    let reply = person.search("Observation", &[]).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        account(&reply),
        [
            line(PROVEHEIM, "failed", 0, no_token),
            line("locator", "failed", 0, no_token),
        ]
    );
}

#[tokio::test]
async fn a_holder_that_the_catalogue_does_not_know_is_named_and_not_asked() {
    let world = world(Plan::default()).await;
    world.locate(&["fjellvik", "provebakken"]);
    {
        let mut endpoints = world.directory.endpoints.lock().unwrap();
        endpoints.retain(|(endpoint, _)| endpoint.service != "fjellvik");
        for (endpoint, _) in endpoints
            .iter_mut()
            .filter(|(endpoint, _)| endpoint.service == "provebakken")
        {
            endpoint.status = wire::contract::catalogue::EndpointStatus::Suspended;
        }
    }
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    assert_eq!(
        account(&reply)[1..],
        [
            line(
                FJELLVIK,
                "not-asked",
                0,
                "the catalogue has no address of it"
            ),
            line(PROVEBAKKEN, "not-asked", 0, "the catalogue says: suspended"),
        ]
    );
    assert_eq!(world.asked(), ["proveheim"]);
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_a_record_all_the_same() {
    let world = world(short()).await;
    world.set("proveheim", Behaviour::Silent);
    let person = Person::practitioner(&world, PROVEHEIM);
    {
        let mut first = std::pin::pin!(person.search("Observation", &[]));
        // Polled until the source has the question, then dropped: the caller hangs up.
        while world.asked().is_empty() {
            futures::future::select(first.as_mut(), std::pin::pin!(tokio::task::yield_now())).await;
        }
    }
    person.search("Observation", &[]).await;
    let (entries, receipts) = world.records(Some(PROVEHEIM)).await;
    assert_eq!((entries.len(), receipts.len()), (2, 2));
}
