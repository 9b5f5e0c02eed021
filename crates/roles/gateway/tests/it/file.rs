//! `$file`: what was relied on becomes a document in the caller's own record system, or nothing does.

use crate::filed::Filed;
use crate::person::{PHYSICIAN, Person, Reply};
use crate::sources::Behaviour;
use crate::world::{
    FJELLVIK, OTHER_PATIENT as OTHER_PHYSICIAN, PROVEBAKKEN, PROVEHEIM, World, pulse,
};
use http::StatusCode;
use serde_json::Value;
use std::sync::atomic::Ordering;
use trust::audit::Outcome;

const F: &str = "6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11";
const H: &str = "7a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11";
/// The file of an organisation's store.
const STORE: &str = "store.db";
const WORDS: &str = "Rød sone <88 %>; økt prednisolon.";

/// Two readings at two holders, looked up by the hospital; the receipt's id and the addresses.
async fn looked(world: &World) -> (String, [String; 2]) {
    looked_by(world, PROVEHEIM).await
}

/// The same by an organisation of the agreement.
async fn looked_by(world: &World, orgnr: &str) -> (String, [String; 2]) {
    world.hold(
        "fjellvik",
        vec![pulse(F, "2026-11-02T08:00:00Z", 74, "r-2")],
    );
    world.hold(
        "proveheim",
        vec![pulse(H, "2026-11-03T08:00:00Z", 80, "r-3")],
    );
    world.locate(&["fjellvik", "proveheim"]);
    let reply = Person::practitioner(world, orgnr)
        .search("Observation", &[])
        .await;
    let id = reply.receipt()["id"].as_str().unwrap().to_owned();
    let url = |service: &str, id: &str| format!("{}/Observation/{id}", world.source(service).base);
    (id, [url("fjellvik", F), url("proveheim", H)])
}

async fn file(world: &World, receipt: &str, readings: &[String]) -> Reply {
    file_by(world, PROVEHEIM, receipt, readings).await
}

async fn file_by(world: &World, orgnr: &str, receipt: &str, readings: &[String]) -> Reply {
    let mut form = vec![("receipt", receipt), ("assessment", WORDS)];
    form.extend(readings.iter().map(|url| ("reading", url.as_str())));
    Person::practitioner(world, orgnr)
        .post("$file", &form)
        .await
}

/// Lets the couriers work until a document is there.
pub async fn delivered(world: &World) -> Value {
    delivered_to(world, &world.filed).await
}

/// The same at one record system.
async fn delivered_to(world: &World, filed: &Filed) -> Value {
    let workers = gateway::workers(world.state.clone());
    assert_eq!(
        workers.len(),
        3,
        "one for each that it may file at, and the copy for bad days"
    );
    let running: Vec<_> = workers
        .into_iter()
        .map(|one| tokio::spawn(one.run))
        .collect();
    let first = || filed.documents.lock().unwrap().first().cloned();
    while first().is_none() {
        tokio::task::yield_now().await;
        // The record system's patience is counted by the world's clock.
        world.pass(1);
    }
    running.iter().for_each(|one| one.abort());
    first().unwrap()
}

#[tokio::test]
async fn chosen_readings_assessment_and_receipt_become_one_document() {
    let world = World::new().await;
    let (receipt, readings) = looked(&world).await;
    let reply = file(&world, &receipt, &readings).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.json);
    let document = delivered(&world).await;
    assert_eq!(document["type"], "document");
    let id = reply.json["parameter"][0]["valueUri"].as_str().unwrap();
    assert_eq!(document["identifier"]["value"], id);
    let entries = document["entry"].as_array().unwrap();
    let kinds: Vec<&str> = entries
        .iter()
        .map(|one| one["resource"]["resourceType"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "Composition",
            "Observation",
            "Observation",
            "OperationOutcome"
        ]
    );
    let composition = &entries[0]["resource"];
    let sections = composition["section"].as_array().unwrap();
    let div = sections[0]["text"]["div"].as_str().unwrap();
    assert!(
        div.contains("Rød sone &lt;88 %&gt;; økt prednisolon."),
        "{div}"
    );
    assert_eq!(sections[1]["entry"][0]["reference"], readings[0].as_str());
    assert_eq!(entries[1]["fullUrl"], readings[0].as_str());
    assert_eq!(sections[2]["entry"][0]["reference"], entries[3]["fullUrl"]);
    assert_eq!(composition["custodian"]["identifier"]["value"], PROVEHEIM);
    assert_eq!(composition["author"][0]["identifier"]["value"], "9144900");
    wire::receipt::verify(&entries[3]["resource"], &world.receipt_keys()).unwrap();
    assert_eq!(*world.filed.scopes.lock().unwrap(), ["system/Bundle.c"]);
    // On record: what was read again, and nothing of what was thought.
    let (records, _) = world.records(Some(PROVEHEIM)).await;
    let record = &records[0].record;
    assert_eq!(
        (&record.outcome, record.disclosed.len()),
        (&Outcome::Allowed, 2)
    );
    assert!(!format!("{record:?}").contains("prednisolon"));
}

#[tokio::test]
async fn a_record_system_that_is_down_gets_it_later_and_once() {
    let world = World::new().await;
    let (receipt, readings) = looked(&world).await;
    world.filed.down.store(2, Ordering::SeqCst);
    let reply = file(&world, &receipt, &readings).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    delivered(&world).await;
    assert_eq!(world.filed.documents.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_again_files_nothing() {
    let world = World::new().await;
    let (receipt, readings) = looked(&world).await;
    world.set("fjellvik", Behaviour::Status(500));
    let reply = file(&world, &receipt, &readings).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert!(reply.receipt().to_string().contains("it answered 500"));
    world.set("fjellvik", Behaviour::Healthy);
    let stranger = format!("{}/Observation/{F}", world.source("provebakken").base);
    let unknown = "8a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11";
    for (receipt, readings) in [
        (receipt.as_str(), vec![stranger]),
        (unknown, readings.to_vec()),
        (
            receipt.as_str(),
            vec![readings[0].clone(), readings[0].clone()],
        ),
        ("x", readings.to_vec()),
        (
            receipt.as_str(),
            vec!["http://169.254.169.254/latest".to_owned()],
        ),
    ] {
        let reply = file(&world, receipt, &readings).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{receipt} {readings:?}"
        );
    }
    // Fjellvik's own people have no record system here, and no receipt of the hospital's.
    let form = [
        ("receipt", receipt.as_str()),
        ("reading", readings[0].as_str()),
    ];
    let reply = Person::practitioner(&world, FJELLVIK)
        .post("$file", &form)
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let outbox = world.state.store().outbox_receivers().await.unwrap();
    assert!(outbox.is_empty());
}

#[tokio::test]
async fn what_an_organisation_files_by_delegation_comes_to_its_own_record_system() {
    let world = World::new().await;
    let (receipt, readings) = looked_by(&world, PROVEBAKKEN).await;
    let reply = file_by(&world, PROVEBAKKEN, &receipt, &readings).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.json);
    let document = delivered_to(&world, &world.filed_by_delegation).await;
    let composition = &document["entry"][0]["resource"];
    assert_eq!(composition["custodian"]["identifier"]["value"], PROVEBAKKEN);
    assert!(world.filed.documents.lock().unwrap().is_empty());
}

#[tokio::test]
async fn where_the_anchor_forbids_it_nothing_is_promised_and_where_it_is_silent_it_waits() {
    let world = World::new().await;
    let (receipt, readings) = looked(&world).await;
    let system = format!("{}/epj/fhir", world.address);
    world.anchor.refused.lock().unwrap().push(system);
    let reply = file(&world, &receipt, &readings).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
    let (records, _) = world.records(Some(PROVEHEIM)).await;
    assert!(records[0].record.disclosed.is_empty());
    world.anchor.refused.lock().unwrap().clear();
    // What was exchanged for the sources still serves; the token for the record system is to be had later.
    let person = Person::practitioner(&world, PROVEHEIM);
    let token = world.anchor.sign(&person.claims);
    let send = async |request: wire::client::Request| {
        let credentials = person.prove_with(&request, token.clone());
        person.send_with(request, &credentials).await
    };
    let looked = send(person.question("Observation", &[])).await;
    assert_eq!(looked.ids().len(), 2, "{}", looked.json);
    world.anchor.down.store(true, Ordering::SeqCst);
    let mut form = vec![("receipt", receipt.as_str()), ("assessment", WORDS)];
    form.extend(readings.iter().map(|url| ("reading", url.as_str())));
    let url = format!("{}/$file", world.fhir());
    let reply = send(wire::client::Request::post_form(url, form)).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.json);
    world.anchor.down.store(false, Ordering::SeqCst);
    let document = delivered(&world).await;
    let id = reply.json["parameter"][0]["valueUri"].as_str().unwrap();
    assert_eq!(document["identifier"]["value"], id);
}

/// So many readings of 1.9 MiB at the hospital; their addresses.
fn long(world: &World, many: usize) -> Vec<String> {
    let readings = (0..many).map(|at| {
        let id = format!("9a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c{at:04}");
        let mut reading = pulse(&id, "2026-11-04T08:00:00Z", 71, &id);
        reading["note"] = serde_json::json!([{"text": "x".repeat(1_900 << 10)}]);
        reading
    });
    let readings: Vec<Value> = readings.collect();
    let base = &world.source("proveheim").base;
    let url = |one: &Value| format!("{base}/Observation/{}", one["id"].as_str().unwrap());
    let urls = readings.iter().map(url).collect();
    world.hold("proveheim", readings);
    urls
}

#[tokio::test]
async fn what_no_record_system_takes_is_refused_before_it_is_promised() {
    let world = World::new().await;
    let (receipt, _) = looked(&world).await;
    let readings = long(&world, 20);
    let asked = || world.source("proveheim").asked().len();
    let before = asked();
    let reply = file(&world, &receipt, &readings).await;
    assert_eq!(
        reply.status,
        StatusCode::PAYLOAD_TOO_LARGE,
        "{}",
        reply.json
    );
    assert_eq!(reply.json["issue"][0]["code"], "too-long");
    // Six are too long together: what stands behind them is not fetched to the end.
    assert!(asked() - before < readings.len());
    let (records, _) = world.records(Some(PROVEHEIM)).await;
    assert!(records[0].record.disclosed.is_empty());
    // Five with the words and the receipt are not, and arrive.
    let reply = file(&world, &receipt, &readings[..5]).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.json);
    let document = delivered(&world).await;
    let id = reply.json["parameter"][0]["valueUri"].as_str().unwrap();
    assert_eq!(document["identifier"]["value"], id);
}

#[tokio::test]
async fn the_same_asked_for_twice_is_one_document() {
    let world = World::new().await;
    let (receipt, readings) = looked(&world).await;
    let both = tokio::join!(
        file(&world, &receipt, &readings),
        file(&world, &receipt, &readings)
    );
    // The holders need not be there when an answer was lost on the way.
    world.set("fjellvik", Behaviour::Status(500));
    let later = file(&world, &receipt, &readings).await;
    for reply in [&both.0, &both.1, &later] {
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.json);
        assert_eq!(reply.json, both.0.json);
    }
    world.set("fjellvik", Behaviour::Healthy);
    // Somebody else's, other readings and other words are documents of their own.
    let fewer = file(&world, &receipt, &readings[..1]).await;
    let form = [
        ("receipt", receipt.as_str()),
        ("assessment", "Annet."),
        ("reading", readings[0].as_str()),
    ];
    let person = Person::practitioner(&world, PROVEHEIM);
    let other = person.post("$file", &form).await;
    let mut colleague = Person::practitioner(&world, PROVEHEIM);
    let claims = serde_json::to_string(&colleague.claims).unwrap();
    let claims = claims.replace(PHYSICIAN, OTHER_PHYSICIAN);
    colleague.claims = serde_json::from_str(&claims).unwrap();
    let colleagues = colleague.post("$file", &form).await;
    let mut ids = Vec::new();
    for reply in [&both.0, &fewer, &other, &colleagues] {
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.json);
        ids.push(reply.json["parameter"][0]["valueUri"].clone());
    }
    let running: Vec<_> = gateway::workers(world.state.clone())
        .into_iter()
        .map(|one| tokio::spawn(one.run))
        .collect();
    // In the order of their patient, so that the last one in means that all are.
    let filed = || world.filed.documents.lock().unwrap().clone();
    while filed().last().map(|one| &one["identifier"]["value"]) != ids.last() {
        tokio::task::yield_now().await;
    }
    running.iter().for_each(|one| one.abort());
    let filed: Vec<Value> = filed()
        .iter()
        .map(|one| one["identifier"]["value"].clone())
        .collect();
    assert_eq!(filed, ids);
    // Each request is on record, with what it gave out.
    let (records, _) = world.records(Some(PROVEHEIM)).await;
    let gave: Vec<usize> = records
        .iter()
        .map(|one| one.record.disclosed.len())
        .collect();
    assert_eq!(gave[..4], [1, 1, 1, 0], "the newest first");
    // Of the two at the same time, the one that filed nothing gave nothing; before both there was the look-up alone.
    assert_eq!((gave[4..6].iter().sum::<usize>(), gave.len()), (2, 7));
    assert!(gave[4..6].contains(&0));
    let outcome = |one: &store::AuditEntry| one.record.outcome == Outcome::Allowed;
    assert!(records.iter().all(outcome));
}

#[tokio::test]
async fn a_dead_letter_that_is_asked_for_again_is_brought_again() {
    let world = World::new().await;
    let (receipt, readings) = looked(&world).await;
    *world.filed.refuses.lock().unwrap() = Some((422, 1));
    let first = file(&world, &receipt, &readings).await;
    let running: Vec<_> = gateway::workers(world.state.clone())
        .into_iter()
        .map(|one| tokio::spawn(one.run))
        .collect();
    // Refused for good the first time, it comes only because it is asked for again.
    while world.filed.documents.lock().unwrap().is_empty() {
        let again = file(&world, &receipt, &readings).await;
        assert_eq!((again.status, &again.json), (first.status, &first.json));
    }
    running.iter().for_each(|one| one.abort());
    let filed = world.filed.documents.lock().unwrap().clone();
    assert_eq!(filed.len(), 1);
    let id = &first.json["parameter"][0]["valueUri"];
    assert_eq!(filed[0]["identifier"]["value"], *id);
}

#[tokio::test]
async fn what_cannot_be_brought_again_now_is_said_and_on_record_once() {
    let world = World::new().await;
    let (receipt, readings) = looked(&world).await;
    *world.filed.refuses.lock().unwrap() = Some((422, 1));
    let first = file(&world, &receipt, &readings).await;
    let disk = rusqlite::Connection::open(world.house.data.join(PROVEHEIM).join(STORE)).unwrap();
    let dead = || -> u64 {
        let count = "SELECT count(*) FROM delivery WHERE state = 1";
        disk.query_row(count, [], |row| row.get(0)).unwrap()
    };
    let running: Vec<_> = gateway::workers(world.state.clone())
        .into_iter()
        .map(|one| tokio::spawn(one.run))
        .collect();
    while dead() == 0 {
        tokio::task::yield_now().await;
    }
    running.iter().for_each(|one| one.abort());
    // A disk that takes the record and not the delivery.
    let broken =
        "CREATE TRIGGER broken BEFORE UPDATE ON delivery BEGIN SELECT RAISE(ABORT, 'broken'); END";
    disk.execute_batch(broken).unwrap();
    let (before, _) = world.records(Some(PROVEHEIM)).await;
    let again = file(&world, &receipt, &readings).await;
    assert!(again.status.is_server_error(), "{}", again.json);
    let (after, _) = world.records(Some(PROVEHEIM)).await;
    assert_eq!(after.len(), before.len() + 1, "one request, one record");
    assert_eq!(dead(), 1, "nothing is lost");
    // With the disk well again it is asked for once more, and comes.
    disk.execute_batch("DROP TRIGGER broken").unwrap();
    let again = file(&world, &receipt, &readings).await;
    assert_eq!((again.status, &again.json), (first.status, &first.json));
    assert_eq!(
        delivered(&world).await["identifier"]["value"],
        first.json["parameter"][0]["valueUri"]
    );
}
