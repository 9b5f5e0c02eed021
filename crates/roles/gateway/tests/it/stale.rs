//! A source whose copy is too old, or whom the locator has not heard out, is in the receipt as `stale`: its data are shown,
//! and nobody takes them for all there is.

use crate::account::{account, line};
use crate::person::{Person, Reply};
use crate::world::{FJELLVIK, PROVEHEIM, World, pulse};
use http::StatusCode;
use wire::contract::gateway::CHANGES_RELATION;
use wire::contract::sharing::{COPY_AS_OF_HEADER, COPY_STATE_HEADER};
use wire::receipt::Receipt;

const OLD: &str = "its copy is older than it promises";
const UNHEARD: &str = "the locator has not heard it out lately; it may have announced more";

async fn one() -> World {
    let world = World::new().await;
    let reading = pulse("f1", "2026-11-01T08:00:00+01:00", 72, "r-1");
    world.hold("fjellvik", vec![reading]);
    world.locate(&["fjellvik"]);
    world
}

async fn look(world: &World) -> Reply {
    let reply = Person::practitioner(world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    reply
}

fn as_of(reply: &Reply, orgnr: &str) -> Option<String> {
    let receipt = Receipt::read(reply.receipt()).unwrap();
    let mut sources = receipt.sources.into_iter();
    sources.find(|one| one.organisation == orgnr).unwrap().as_of
}

#[tokio::test]
async fn a_copy_that_is_too_old_is_shown_and_said_to_be() {
    let world = one().await;
    let hour_ago = world.now().plus_seconds(-3600).to_string();
    let say = |state: &str| {
        *world.source("fjellvik").says.lock().unwrap() = vec![
            (COPY_AS_OF_HEADER, hour_ago.clone()),
            (COPY_STATE_HEADER, state.to_owned()),
        ];
    };
    say("ok");
    let reply = look(&world).await;
    assert_eq!(account(&reply)[1], line(FJELLVIK, "complete", 1, ""));
    assert_eq!(as_of(&reply, FJELLVIK), Some(hour_ago.clone()));
    assert_eq!(reply.json["total"], 1);

    say("late");
    let reply = look(&world).await;
    assert_eq!(account(&reply)[1], line(FJELLVIK, "stale", 1, OLD));
    assert_eq!(as_of(&reply, FJELLVIK), Some(hour_ago.clone()));
    assert_eq!(reply.json["total"], serde_json::Value::Null, "nobody knows");

    // An empty answer of an old copy is not "nothing there".
    world.source("fjellvik").holds.lock().unwrap().clear();
    assert_eq!(
        account(&look(&world).await)[1],
        line(FJELLVIK, "stale", 0, OLD)
    );
}

#[tokio::test]
async fn nothing_has_changed_is_no_word_of_a_copy_that_is_too_old() {
    let world = one().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    let looked = person.search("Observation", &[]).await;
    let link = looked.link(CHANGES_RELATION).unwrap().to_owned();
    let hour_ago = world.now().plus_seconds(-3600).to_string();
    let say = |state: &str| {
        *world.source("fjellvik").says.lock().unwrap() = vec![
            (COPY_AS_OF_HEADER, hour_ago.clone()),
            (COPY_STATE_HEADER, state.to_owned()),
        ];
    };
    say("ok");
    let reply = person.get(&link).await;
    assert_eq!(account(&reply)[1], line(FJELLVIK, "empty", 0, ""));
    assert_eq!(reply.json["total"], 0);
    say("late");
    let reply = person.get(&link).await;
    assert_eq!(account(&reply)[1], line(FJELLVIK, "stale", 0, OLD));
    assert_eq!(as_of(&reply, FJELLVIK), Some(hour_ago.clone()));
    assert_eq!(reply.json["total"], serde_json::Value::Null, "nobody knows");
}

#[tokio::test]
async fn what_is_read_by_its_address_or_filed_says_how_old_its_copy_is() {
    let world = World::new().await;
    let (there, not_there) = (
        "6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11",
        "7a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11",
    );
    let reading = pulse(there, "2026-11-01T08:00:00+01:00", 72, "r-1");
    world.hold("fjellvik", vec![reading]);
    world.locate(&["fjellvik"]);
    let person = Person::practitioner(&world, PROVEHEIM);
    let looked = person.search("Observation", &[]).await;
    let receipt = looked.receipt()["id"].as_str().unwrap().to_owned();
    *world.source("fjellvik").says.lock().unwrap() = vec![(COPY_STATE_HEADER, "late".to_owned())];
    let base = world.source("fjellvik").base.clone();
    for (id, count) in [(there, 1), (not_there, 0)] {
        let url = format!("{base}/Observation/{id}");
        let form = [("url", url.as_str()), ("organization", FJELLVIK)];
        let reply = person.post("$read", &form).await;
        assert_eq!(account(&reply), [line(FJELLVIK, "stale", count, OLD)]);
        assert_eq!(reply.json["total"], serde_json::Value::Null);
    }
    let url = format!("{base}/Observation/{there}");
    let form = [("receipt", receipt.as_str()), ("reading", url.as_str())];
    let reply = person.post("$file", &form).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.json);
    let (entries, _) = world.records(Some(PROVEHEIM)).await;
    assert_eq!(entries[0].record.peers[0].state, "stale");
}

#[tokio::test]
async fn what_is_not_understood_or_lies_in_the_future_promises_nothing() {
    let world = one().await;
    let says = |header, value: String| {
        *world.source("fjellvik").says.lock().unwrap() = vec![(header, value)];
    };
    let silent = as_of(&look(&world).await, FJELLVIK);
    for (header, value) in [
        (COPY_AS_OF_HEADER, "yesterday"),
        (COPY_STATE_HEADER, "never better"),
        (COPY_STATE_HEADER, "unjudged"),
    ] {
        says(header, value.to_owned());
        let reply = look(&world).await;
        assert_eq!(
            account(&reply)[1],
            line(FJELLVIK, "complete", 1, ""),
            "{value}"
        );
        assert_eq!(as_of(&reply, FJELLVIK), silent, "{value}");
    }
    says(
        COPY_AS_OF_HEADER,
        world.now().plus_seconds(3600).to_string(),
    );
    let reply = look(&world).await;
    assert_eq!(as_of(&reply, FJELLVIK), Some(world.now().to_string()));
}

#[tokio::test]
async fn a_holder_that_the_locator_has_not_heard_out_is_stale_from_the_border_on() {
    let world = one().await;
    // The world's locator heard it 30 s ago.
    world.pass(270);
    assert_eq!(
        account(&look(&world).await)[1],
        line(FJELLVIK, "complete", 1, "")
    );
    world.pass(1);
    assert_eq!(
        account(&look(&world).await)[1],
        line(FJELLVIK, "stale", 1, UNHEARD)
    );
    // Whoever the locator was not asked for is not judged by it.
    let own = &account(&look(&world).await)[0];
    assert_eq!((own.0.as_str(), own.1), (PROVEHEIM, "empty"));
}
