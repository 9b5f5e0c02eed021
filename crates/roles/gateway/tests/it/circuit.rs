//! Bad days of sources: rests, `Retry-After`, repeats, tokens that end on the way, and answers that are none
//! (threats-and-faults.md section 7).

use crate::account::{account, line};
use crate::person::{Person, Reply};
use crate::sources::Behaviour;
use crate::world::{FJELLVIK, PROVEBAKKEN, PROVEHEIM, Plan, World, pulse};
use gateway::Phase;
use http::StatusCode;
use std::time::Duration;
use testkit::liar::{Liar, Lie};

/// Own data at Prøveheim, and a second source that a test makes trouble at.
async fn world() -> World {
    let world = World::with(Plan {
        source_deadline: Duration::from_millis(1500),
        total_deadline: Duration::from_secs(4),
        ..Plan::default()
    })
    .await;
    let own = pulse("h1", "2026-11-03T08:00:00+01:00", 75, "r-3");
    let theirs = pulse("f1", "2026-11-02T08:00:00+01:00", 74, "r-2");
    world.hold("proveheim", vec![own]);
    world.hold("fjellvik", vec![theirs]);
    world
}

async fn look_up(world: &World) -> Reply {
    let reply = Person::practitioner(world, PROVEHEIM)
        .search("Observation", &[("organization", FJELLVIK)])
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(account(&reply)[0], line(PROVEHEIM, "complete", 1, ""));
    reply
}

/// State and reason of Fjellvik.
async fn fjellvik(world: &World) -> (&'static str, String) {
    let reply = look_up(world).await;
    let (_, state, _, reason) = account(&reply).swap_remove(1);
    (state, reason)
}

fn phase(world: &World, service: &str) -> Phase {
    let base = &world.source(service).base;
    let standing = world.state.circuits();
    standing
        .iter()
        .find(|one| one.provider == *base)
        .expect("it was asked")
        .phase
}

#[tokio::test]
async fn a_source_that_fails_again_and_again_is_rested_for_everybody_and_tried_by_one_question() {
    let world = world().await;
    world.set("fjellvik", Behaviour::Status(500));
    for _ in 0..5 {
        assert_eq!(phase_after(&world).await.0, "it answered 500");
    }
    assert_eq!(phase(&world, "fjellvik"), Phase::Open);
    assert_eq!(phase(&world, "proveheim"), Phase::Closed);
    let asked = world.source("fjellvik").asked().len();
    let (state, reason) = fjellvik(&world).await;
    assert_eq!(state, "failed");
    assert!(
        reason.starts_with("it failed again and again and is given a rest; it is asked again from 2027-01-15T08:00:0"),
        "{reason}"
    );
    assert_eq!(
        world.source("fjellvik").asked().len(),
        asked,
        "nobody asks it"
    );
    // The rest is over, and it is well again: the first question finds out.
    world.pass(7);
    world.set("fjellvik", Behaviour::Healthy);
    assert_eq!(phase(&world, "fjellvik"), Phase::HalfOpen);
    assert_eq!(fjellvik(&world).await.0, "complete");
    assert_eq!(phase(&world, "fjellvik"), Phase::Closed);
}

async fn phase_after(world: &World) -> (String, Phase) {
    let (_, reason) = fjellvik(world).await;
    (reason, phase(world, "fjellvik"))
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_rests_nobody() {
    let world = world().await;
    world.set("fjellvik", Behaviour::Status(403));
    for _ in 0..6 {
        assert_eq!(fjellvik(&world).await, ("refused", "it refused".to_owned()));
    }
    assert_eq!(phase(&world, "fjellvik"), Phase::Closed);
}

#[tokio::test]
async fn what_the_trust_anchor_did_is_no_fault_of_the_source() {
    let world = world().await;
    *world.anchor.refused.lock().unwrap() = vec![world.source("fjellvik").base.clone()];
    for _ in 0..6 {
        assert_eq!(fjellvik(&world).await.0, "refused");
    }
    assert_eq!(phase(&world, "fjellvik"), Phase::Closed);
}

#[tokio::test]
async fn retry_after_is_honoured_in_seconds_and_as_a_date() {
    for wait in ["30", "Fri, 15 Jan 2027 08:00:30 GMT"] {
        let world = world().await;
        world.set("fjellvik", Behaviour::Busy(429, wait));
        let busy = "it has too much to do and asked us to wait";
        assert_eq!(fjellvik(&world).await, ("failed", busy.to_owned()));
        let (state, reason) = fjellvik(&world).await;
        assert_eq!(state, "failed");
        assert!(
            reason.starts_with("it asked to be left alone until 2027-01-15T08:00:3"),
            "{reason}"
        );
        world.pass(29);
        fjellvik(&world).await;
        assert_eq!(world.source("fjellvik").asked().len(), 1, "{wait}");
        world.pass(5);
        world.set("fjellvik", Behaviour::Healthy);
        assert_eq!(fjellvik(&world).await.0, "complete");
    }
}

#[tokio::test]
async fn a_busy_door_is_tried_once_more_and_repeats_are_a_tenth_at_most() {
    let world = world().await;
    let before = 20;
    for _ in 0..before {
        assert_eq!(fjellvik(&world).await.0, "complete");
    }
    // Two repeats were earned by now: a door that is busy once costs nothing.
    for _ in 0..2 {
        world.set("fjellvik", Behaviour::Stumbling(503, 1));
        assert_eq!(fjellvik(&world).await.0, "complete");
    }
    world.set("fjellvik", Behaviour::Stumbling(503, 1));
    assert_eq!(
        fjellvik(&world).await,
        ("failed", "it answered 503".to_owned())
    );
    let standing = world.state.circuits();
    let theirs = &world.source("fjellvik").base;
    let theirs = standing.iter().find(|one| one.provider == *theirs).unwrap();
    assert_eq!((theirs.asked, theirs.repeated), (before + 3, 2));
    assert_eq!(world.source("fjellvik").asked().len() as u64, before + 5);
    // A wrong answer is not asked for again.
    for _ in 0..10 {
        world.set("fjellvik", Behaviour::Healthy);
        fjellvik(&world).await;
    }
    let asked = world.source("fjellvik").asked().len();
    world.set("fjellvik", Behaviour::Status(500));
    fjellvik(&world).await;
    assert_eq!(world.source("fjellvik").asked().len(), asked + 1);
}

#[tokio::test]
async fn a_token_that_ends_on_the_way_is_renewed_once_a_provider() {
    let world = world().await;
    world.hold(
        "fjellvik",
        vec![pulse("f2", "2026-11-01T08:00:00+01:00", 74, "r-1")],
    );
    world.set("fjellvik", Behaviour::Forgetful(1));
    assert_eq!(fjellvik(&world).await.0, "complete");
    let asked = world.source("fjellvik").asked();
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].claims.jti, asked[1].claims.jti, "a new token");
    assert_eq!(world.source("proveheim").asked().len(), 1);
    // The second time it says so it means it: page one took the one renewal, page two is refused.
    *world.source("fjellvik").page.lock().unwrap() = 1;
    world.set("fjellvik", Behaviour::Forgetful(2));
    assert_eq!(fjellvik(&world).await, ("refused", "it refused".to_owned()));
    assert_eq!(world.source("fjellvik").asked().len(), 4);
}

#[tokio::test]
async fn whatever_comes_instead_of_an_answer_is_named_and_bounded() {
    let world = world().await;
    let elsewhere = format!("{}/provebakken/fhir/Observation/_search", world.address);
    let outcome =
        r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception"}]}"#;
    for (lie, state, reason) in [
        (Lie::BlackHole, "late", "no answer in time"),
        (Lie::Drip, "late", "no answer in time"),
        (Lie::HangsUp, "failed", "the connection broke"),
        (Lie::NotHttp, "failed", "the connection broke"),
        (Lie::WrongLength, "failed", "the connection broke"),
        (Lie::Endless, "failed", "the peer's answer is too long"),
        (Lie::Deep, "failed", "its answer is not strict JSON"),
        (
            Lie::Says("{".into()),
            "failed",
            "its answer is not strict JSON",
        ),
        (
            Lie::Says(outcome.into()),
            "failed",
            "its answer is not a searchset",
        ),
        (Lie::Redirects(elsewhere), "failed", "it answered 307"),
        (Lie::Status(500, None), "failed", "it answered 500"),
    ] {
        // Each a provider of its own, so that none is rested for the one before; the address is asked for anew.
        let liar = Liar::start(lie.clone()).await.unwrap();
        world.move_to("fjellvik", &liar.address());
        world.pass(61);
        assert_eq!(
            fjellvik(&world).await,
            (state, reason.to_owned()),
            "{lie:?}"
        );
        assert_eq!(liar.asked(), 1, "{lie:?}: asked once");
    }
    assert!(
        world.source("provebakken").asked().is_empty(),
        "a redirect is not followed"
    );
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[("organization", PROVEBAKKEN)])
        .await;
    assert_eq!(account(&reply)[1], line(PROVEBAKKEN, "empty", 0, ""));
}
