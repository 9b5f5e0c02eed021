//! Look-ups that go well: merged once, every road listed, the receipt exact and signed, both sides on record.

use crate::account::{account, line};
use crate::person::Person;
use crate::purpose::secretary;
use crate::world::{
    FJELLVIK, KYSTREGIONEN, PROVEBAKKEN, PROVEHEIM, Plan, SORLIA, World, medicine, pulse,
};
use fhir::systems;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use trust::Interaction;
use trust::audit::Outcome;
use wire::contract::gateway::ROUTE_EXTENSION;
use wire::receipt;

async fn three() -> World {
    let world = World::new().await;
    world.hold(
        "fjellvik",
        vec![
            pulse("f1", "2026-11-01T08:00:00+01:00", 72, "r-1"),
            pulse("f2", "2026-11-02T08:00:00+01:00", 74, "r-2"),
        ],
    );
    world.hold(
        "provebakken",
        vec![pulse("b1", "2026-11-01T08:00:00+01:00", 72, "r-1")],
    );
    world.hold(
        "proveheim",
        vec![
            pulse("h2", "2026-11-02T08:00:00+01:00", 47, "r-2"),
            pulse("h3", "2026-11-03T08:00:00+01:00", 75, "r-3"),
        ],
    );
    world.locate(&["fjellvik", "provebakken"]);
    world
}

#[tokio::test]
async fn three_healthy_sources_give_one_list_and_a_receipt() {
    let world = three().await;
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    receipt::verify(reply.receipt(), &world.receipt_keys()).unwrap();
    let mut shown = reply.json.clone();
    for entry in shown["entry"].as_array_mut().unwrap() {
        if let Some(signature) = entry["resource"].pointer_mut("/extension/0/valueString") {
            *signature = json!("[signature]");
            entry["resource"]["id"] = json!("[id]");
        }
    }
    for link in shown["link"].as_array_mut().unwrap() {
        if link["relation"] == wire::contract::gateway::CHANGES_RELATION {
            link["url"] = json!("[sealed]");
        }
    }
    let text = shown.to_string().replace(&world.address, "http://test");
    insta::assert_json_snapshot!(serde_json::from_str::<Value>(&text).unwrap());
}

#[tokio::test]
async fn each_source_is_asked_once_with_its_own_token_and_the_same_request_id() {
    let world = three().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    let reply = person
        .search(
            "Observation",
            &[
                ("code", "http://loinc.org|8867-4"),
                ("organization", PROVEBAKKEN),
            ],
        )
        .await;
    assert_eq!(world.asked(), ["proveheim", "fjellvik", "provebakken"]);
    let ours = reply.headers["x-request-id"].to_str().unwrap();
    let mut tokens = BTreeSet::new();
    for source in &world.sources[..3] {
        let [asked] = &source.asked()[..] else {
            panic!("asked more than once")
        };
        assert_eq!(asked.request_id, ours);
        assert_eq!(asked.claims.scope, "user/Observation.rs");
        assert_eq!(asked.claims.act.as_ref().unwrap().client_id, "delt-gateway");
        assert_eq!(asked.claims.patient, person.claims.patient);
        assert!(tokens.insert(asked.claims.jti.clone()));
        assert_eq!(
            asked.get("patient.identifier"),
            [format!("{}|{}", systems::FNR, crate::world::PATIENT)]
        );
        assert_eq!(asked.get("code"), ["http://loinc.org|8867-4"]);
        assert_eq!(
            (asked.get("_count"), asked.get("_sort")),
            (vec!["60"], vec!["-date"])
        );
        assert!(
            asked.get("organization").is_empty(),
            "whom else the user chose is nobody's business"
        );
    }
    let located = world.directory.located_for.lock().unwrap().clone();
    assert_eq!(
        located,
        [(
            "user/Pointer.r".to_owned(),
            vec!["IT17".to_owned()],
            ours.to_owned()
        )]
    );
}

#[tokio::test]
async fn tokens_and_addresses_are_kept_for_the_next_look_up() {
    let world = three().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    // The same token twice: exchanged tokens are kept by its hash.
    let first = person.question("Observation", &[]);
    let (token, proof) = person.prove(&first);
    person.send_with(first, &(token.clone(), proof)).await;
    let second = person.question("Observation", &[]);
    let again = person.prove_with(&second, token);
    let reply = person.send_with(second, &again).await;
    assert_eq!(reply.status, StatusCode::OK);
    let asked = world.source("fjellvik").asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].claims.jti, asked[1].claims.jti);
    let catalogue = || {
        world
            .directory
            .catalogue_asked
            .load(std::sync::atomic::Ordering::SeqCst)
    };
    assert_eq!(catalogue(), 3, "one question an organisation");
    world.pass(61);
    Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    assert_eq!(catalogue(), 6, "a minute later they are asked for again");
}

#[tokio::test]
async fn the_look_up_is_on_record_in_the_consuming_organisations_store() {
    let world = three().await;
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    let (entries, receipts) = world.records(Some(PROVEHEIM)).await;
    let [entry] = &entries[..] else {
        panic!("one record")
    };
    let record = &entry.record;
    assert_eq!(
        record.request_id,
        reply.headers["x-request-id"].to_str().unwrap()
    );
    assert_eq!(
        (record.interaction, &record.outcome),
        (Interaction::Lookup, &Outcome::Allowed)
    );
    assert_eq!(record.organisation.unwrap().as_str(), PROVEHEIM);
    assert!(record.asked.contains("patient.identifier="));
    let disclosed: Vec<&str> = record.disclosed.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(disclosed, reply.ids());
    assert!(
        record
            .disclosed
            .iter()
            .all(|one| one.version == 2 && one.resource == "Observation")
    );
    let peers: Vec<_> = record
        .peers
        .iter()
        .map(|p| {
            (
                p.organisation.as_str(),
                p.service.as_str(),
                p.state.as_str(),
                p.count,
            )
        })
        .collect();
    assert_eq!(
        peers,
        [
            (PROVEHEIM, "proveheim", "complete", 2),
            (FJELLVIK, "fjellvik", "complete", 2),
            (PROVEBAKKEN, "provebakken", "complete", 1),
        ]
    );
    let [receipt] = &receipts[..] else {
        panic!("one receipt")
    };
    assert_eq!(
        receipt.key,
        uuid::Uuid::parse_str(&record.request_id)
            .unwrap()
            .as_bytes()
    );
    assert_eq!(
        &serde_json::from_slice::<Value>(&receipt.value).unwrap(),
        reply.receipt()
    );
    assert_eq!(world.state.store().owner(), "gateway");
    assert!(
        world.records(None).await.0.is_empty(),
        "the gateway's own store holds nothing of it"
    );
}

#[tokio::test]
async fn a_caller_outside_the_locators_agreement_reaches_own_and_chosen_organisations_only() {
    let world = three().await;
    world.hold(
        "kystregionen",
        vec![pulse("k1", "2026-11-04T08:00:00+01:00", 80, "r-4")],
    );
    let reply = Person::practitioner(&world, SORLIA)
        .search("Observation", &[("organization", FJELLVIK)])
        .await;
    assert_eq!(reply.ids()[0], "k1");
    let outside = "the caller's organisation is not bound by the locator's agreement";
    // Sørlia is a member of the shared register, which is therefore its own.
    assert_eq!(
        account(&reply),
        [
            line(FJELLVIK, "complete", 2, ""),
            line(KYSTREGIONEN, "complete", 1, ""),
            line("locator", "not-asked", 0, outside),
        ]
    );
    assert_eq!(world.asked(), ["fjellvik", "kystregionen"]);
    assert!(
        world.directory.located_for.lock().unwrap().is_empty(),
        "the locator hears nothing"
    );
}

#[tokio::test]
async fn without_a_locator_nobody_but_own_and_chosen_is_asked() {
    let world = World::with(Plan {
        locator: false,
        ..Plan::default()
    })
    .await;
    world.hold(
        "fjellvik",
        vec![pulse("f1", "2026-11-01T08:00:00+01:00", 72, "r-1")],
    );
    let person = Person::practitioner(&world, PROVEHEIM);
    let chosen = format!("{FJELLVIK}, {}|4001234", systems::RESH);
    let reply = person
        .search("Observation", &[("organization", &chosen)])
        .await;
    assert_eq!(
        account(&reply),
        [
            line(PROVEHEIM, "empty", 0, ""),
            line(FJELLVIK, "complete", 1, ""),
            line("locator", "not-asked", 0, "no locator is agreed on"),
        ]
    );
    assert_eq!(world.asked(), ["proveheim", "fjellvik"]);
}

#[tokio::test]
async fn medicines_of_two_organisations_stand_side_by_side() {
    let world = World::new().await;
    world.hold(
        "provebakken",
        vec![medicine("b1", "Spiriva 18 mikrog", None)],
    );
    world.hold(
        "proveheim",
        vec![
            medicine("h1", "Spiriva 18 mikrog", None),
            medicine("h2", "Prednisolon 5 mg", Some("2026-11-01")),
        ],
    );
    world.locate(&["provebakken"]);
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("MedicationStatement", &[])
        .await;
    assert_eq!(reply.ids()[0], "h2", "what has no time comes last");
    assert_eq!(
        reply.ids().into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from(["b1", "h1", "h2"])
    );
    assert_eq!(reply.json["total"], 3);
    for entry in reply.matches() {
        let routes = entry["extension"].as_array().unwrap();
        assert_eq!(
            (routes.len(), &routes[0]["url"]),
            (1, &json!(ROUTE_EXTENSION))
        );
    }
}

#[tokio::test]
async fn a_kind_that_a_chosen_organisation_does_not_offer_is_not_asked_for() {
    let world = World::new().await;
    for (endpoint, _) in world.directory.endpoints.lock().unwrap().iter_mut() {
        endpoint.payload_kinds = vec!["IT17".to_owned()];
    }
    let person = Person::practitioner(&world, PROVEHEIM);
    let reply = person
        .search("CarePlan", &[("organization", FJELLVIK)])
        .await;
    let words = "it does not offer this kind of information";
    assert_eq!(
        account(&reply),
        [
            line(PROVEHEIM, "not-asked", 0, words),
            line(FJELLVIK, "not-asked", 0, words)
        ]
    );
    assert!(world.asked().is_empty());
    let reply = person.search("Patient", &[]).await;
    assert_eq!(
        account(&reply),
        [line(PROVEHEIM, "empty", 0, "")],
        "who a patient is, every service knows"
    );
    assert!(world.source("proveheim").asked()[0].get("_sort").is_empty());
}

#[tokio::test]
async fn a_purpose_that_does_not_open_a_kind_asks_nobody_for_it() {
    let world = three().await;
    let mut person = Person::practitioner(&world, PROVEHEIM);
    person
        .claims
        .attest
        .as_mut()
        .unwrap()
        .care_relationship
        .purpose_of_use
        .as_mut()
        .unwrap()
        .code = "COC".into();
    let reply = person.search("MedicationStatement", &[]).await;
    assert_eq!(reply.status, StatusCode::OK);
    let words = "the purpose of the look-up does not open this kind of information";
    assert!(
        account(&reply)
            .iter()
            .all(|(_, state, _, reason)| *state == "refused" && reason == words)
    );
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn what_a_role_does_not_open_is_left_out_whatever_a_source_gives() {
    let world = World::new().await;
    let whole = |id: &str| {
        let mut reading = pulse(id, "2026-11-01T08:00:00+01:00", 72, "r-1");
        reading["note"] = json!([{"text": "hidden-from-some"}]);
        reading
    };
    // One source gives less itself, one does not.
    let mut part = pulse("b1", "2026-11-01T08:00:00+01:00", 72, "r-1");
    part["meta"]["tag"] =
        json!([{"system": systems::OBSERVATION_VALUE, "code": fhir::subset::SUBSETTED}]);
    world.hold("fjellvik", vec![whole("f1")]);
    world.hold("provebakken", vec![part]);
    world.locate(&["fjellvik", "provebakken"]);
    let marked = |reply: &crate::person::Reply| {
        let tags = reply.json["entry"][0]["resource"]["meta"]["tag"]
            .as_array()
            .cloned();
        tags.into_iter()
            .flatten()
            .any(|tag| tag["code"] == fhir::subset::SUBSETTED)
    };
    for (person, hidden) in [
        (secretary(&world), true),
        (Person::practitioner(&world, PROVEHEIM), false),
    ] {
        let reply = person.search("Observation", &[]).await;
        assert_eq!(reply.status, StatusCode::OK);
        // One reading by two roads, and no disagreement.
        assert_eq!(reply.ids(), ["f1"], "{}", reply.json);
        let text = reply.json.to_string();
        assert!(!text.contains("StructureDefinition/disagrees"), "{text}");
        assert_eq!(text.matches(ROUTE_EXTENSION).count(), 2, "{text}");
        assert_eq!(text.contains("hidden-from-some"), !hidden);
        assert_eq!(marked(&reply), hidden, "{text}");
        let (entries, _) = world.records(Some(PROVEHEIM)).await;
        assert_eq!(entries[0].record.reduced.is_empty(), !hidden);
    }
}
