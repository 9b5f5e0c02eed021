//! Announcing: state by sequence number, a holder's own pointers only, members only.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::door::Held;
use trust::audit::Outcome;
use trust::{ClientUse, Interaction};
use wire::contract::locator::MAX_ENTRIES;

use crate::world::{FJELLVIK, KYSTREGIONEN, PROVEHEIM, World, entry, other_patient, patient};

const THEN: &str = "2027-01-15T08:00:00Z";

/// Registrations in order, each a list of state and sequence number; whether the holder is told of afterwards.
type Case = (&'static [&'static [(&'static str, u64)]], bool);

#[tokio::test]
async fn the_highest_sequence_counts_whatever_the_order() {
    let cases: &[Case] = &[
        (&[&[("present", 1)]], true),
        (&[&[("present", 1)], &[("absent", 2)]], false),
        (&[&[("absent", 2)], &[("present", 1)]], false),
        (&[&[("present", 3)], &[("absent", 2)]], true),
        (
            &[&[("present", 3)], &[("present", 3)], &[("absent", 1)]],
            true,
        ),
        (
            &[
                &[("present", 1)],
                &[("absent", 2)],
                &[("present", 3)],
                &[("absent", 2)],
            ],
            true,
        ),
        // Within one registration, in any order.
        (&[&[("present", 1), ("absent", 2)]], false),
        (&[&[("absent", 2), ("present", 1)]], false),
        (&[&[("absent", 2), ("present", 5), ("absent", 3)]], true),
        // The same number again never turns what is held.
        (&[&[("present", 4)], &[("absent", 4)]], true),
    ];
    for (registrations, held) in cases {
        let world = World::new().await;
        for entries in *registrations {
            let count = entries.len();
            let entries: Vec<Value> = entries
                .iter()
                .map(|(state, n)| entry(patient(), "IT17", state, *n))
                .collect();
            let body = json!({"holder": "fjellvik", "entries": entries, "high_water": 9});
            let reply = world.register(FJELLVIK, &body).await;
            assert_eq!(
                (reply.status, &reply.json["accepted"]),
                (StatusCode::OK, &json!(count))
            );
        }
        assert_eq!(
            world.told(patient(), &["IT17"]).await.len(),
            usize::from(*held),
            "{registrations:?}"
        );
    }
}

#[tokio::test]
async fn pointers_of_other_kinds_persons_and_holders_are_left_alone() {
    let world = World::new().await;
    let both = [
        entry(patient(), "IT17", "present", 1),
        entry(patient(), "IT08", "present", 2),
        entry(other_patient(), "IT17", "present", 3),
    ];
    world.announce(json!(both), 3).await;
    let body = json!({"holder": "proveheim", "entries": [entry(patient(), "IT17", "present", 1)], "high_water": 1});
    assert_eq!(
        world.register(PROVEHEIM, &body).await.status,
        StatusCode::OK
    );
    world
        .announce(json!([entry(patient(), "IT17", "absent", 4)]), 4)
        .await;
    assert_eq!(
        world.told(patient(), &["IT17", "IT08"]).await,
        [
            format!("proveheim [\"IT17\"] {THEN}"),
            format!("fjellvik [\"IT08\"] {THEN}")
        ]
    );
    assert_eq!(
        world.told(other_patient(), &["IT17", "IT08"]).await,
        [format!("fjellvik [\"IT17\"] {THEN}")]
    );
}

#[tokio::test]
async fn a_heartbeat_moves_as_of_unless_something_is_missing() {
    let world = World::new().await;
    world
        .announce(json!([entry(patient(), "IT17", "present", 1)]), 1)
        .await;
    let as_of = async || {
        world
            .told(patient(), &["IT17"])
            .await
            .remove(0)
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(as_of().await, THEN);
    world.clock.advance(60_000_000);
    assert_eq!(as_of().await, THEN);
    world.announce(json!([]), 1).await;
    assert_eq!(as_of().await, "2027-01-15T08:01:00Z");
    // The holder has given out number 2, which has not arrived.
    world.clock.advance(60_000_000);
    world.announce(json!([]), 2).await;
    assert_eq!(as_of().await, "2027-01-15T08:01:00Z");
    world
        .announce(json!([entry(patient(), "IT08", "present", 2)]), 2)
        .await;
    assert_eq!(as_of().await, "2027-01-15T08:02:00Z");
}

#[tokio::test]
async fn only_the_holders_own_service_may_announce_and_only_within_the_agreement() {
    let world = World::new().await;
    let body = |holder: &str| json!({"holder": holder, "entries": [entry(patient(), "IT17", "present", 1)], "high_water": 1});
    let refused = |reply: &testkit::clients::Reply| {
        (
            reply.status,
            reply.json["issue"][0]["details"]["coding"][0]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    // Somebody else's holder and one that nobody knows: the same words.
    let foreign = world.register(PROVEHEIM, &body("fjellvik")).await;
    assert_eq!(
        refused(&foreign),
        (StatusCode::FORBIDDEN, "not_own_holder".into())
    );
    assert_eq!(
        world.register(PROVEHEIM, &body("nobody")).await.visible(),
        foreign.visible()
    );
    let outside = world.register(KYSTREGIONEN, &body("kystregionen")).await;
    assert_eq!(
        refused(&outside),
        (StatusCode::FORBIDDEN, "not_a_member".into())
    );
    for use_ in [
        ClientUse::RecordSystem,
        ClientUse::Gateway,
        ClientUse::Hub,
        ClientUse::HomeSystem,
    ] {
        let claims = world.service_claims(use_, FJELLVIK);
        let reply = world.send(&claims, "/register", &body("fjellvik")).await;
        assert_eq!(
            refused(&reply),
            (StatusCode::FORBIDDEN, "access_denied".into()),
            "{use_:?}"
        );
    }
    let mut small = world.service_claims(ClientUse::Service, FJELLVIK);
    small.scope = "system/Pointer.r".into();
    let reply = world.send(&small, "/register", &body("fjellvik")).await;
    assert!(
        reply
            .header("www-authenticate")
            .contains("insufficient_scope")
    );
    let physician = world.physician_claims(PROVEHEIM, patient());
    assert_eq!(
        world
            .send(&physician, "/register", &body("proveheim"))
            .await
            .status,
        StatusCode::FORBIDDEN
    );
    assert!(world.told(patient(), &["IT17"]).await.is_empty());
    let refusals = world
        .trail()
        .await
        .into_iter()
        .filter(|e| matches!(e.record.outcome, Outcome::Refused { .. }));
    assert_eq!(refusals.count(), 9);
}

#[tokio::test]
async fn a_sub_units_client_announces_for_its_controller() {
    let world = World::new().await;
    let body = json!({"holder": "proveheim", "entries": [], "high_water": 0});
    assert_eq!(
        world.register("310001929", &body).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn what_is_not_a_registration_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let good = entry(patient(), "IT17", "present", 1);
    let mut named = good.clone();
    named["name"] = "Ragnhild".into();
    let mut kind = good.clone();
    kind["kind"] = "IT99".into();
    for body in [
        json!({"entries": [good], "high_water": 1}),
        json!({"holder": "fjellvik", "entries": [good]}),
        json!({"holder": "fjellvik", "entries": [named], "high_water": 1}),
        json!({"holder": "fjellvik", "entries": [good, kind], "high_water": 1}),
        json!({"holder": "fjellvik", "entries": [good], "high_water": -1}),
        json!({"holder": "fjellvik", "entries": vec![good.clone(); MAX_ENTRIES + 1], "high_water": 1}),
        json!([]),
    ] {
        let reply = world.register(FJELLVIK, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.json);
        assert!(!reply.json.to_string().contains(&patient().number));
    }
    assert!(world.told(patient(), &["IT17"]).await.is_empty());
    let most: Vec<Value> = (1..=MAX_ENTRIES as u64)
        .map(|n| entry(patient(), "IT17", "present", n))
        .collect();
    world.announce(json!(most), MAX_ENTRIES as u64).await;
    assert_eq!(world.told(patient(), &["IT17"]).await.len(), 1);
}

#[tokio::test]
async fn registrations_at_once_lose_nothing() {
    let world = World::new().await;
    let all = (1..=20).map(|n| {
        let state = if n % 2 == 0 { "present" } else { "absent" };
        world.announce(json!([entry(patient(), "IT17", state, n)]), n)
    });
    futures::future::join_all(all.rev()).await;
    assert_eq!(world.told(patient(), &["IT17"]).await.len(), 1);
}

#[tokio::test]
async fn a_proof_works_once_and_for_this_request_only() {
    let world = World::new().await;
    let held = Held::of(
        &world.issuer,
        &world.key,
        &world.service_claims(ClientUse::Service, FJELLVIK),
    )
    .unwrap();
    let body = json!({"holder": "fjellvik", "entries": [entry(patient(), "IT17", "present", 1)], "high_water": 1}).to_string();
    let knock = || {
        world
            .door
            .knock(Method::POST, "/register")
            .header("content-type", "application/json")
            .body(body.clone())
    };
    let proof = knock().proof(&held, world.clock.now());
    assert_eq!(
        knock().with(&held, &proof).send().await.status,
        StatusCode::OK
    );
    assert_eq!(
        knock().with(&held, &proof).send().await.status,
        StatusCode::UNAUTHORIZED
    );
    let elsewhere = world
        .door
        .knock(Method::POST, "/locate")
        .proof(&held, world.clock.now());
    let reply = knock().with(&held, &elsewhere).send().await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(
        reply
            .header("www-authenticate")
            .contains("invalid_dpop_proof")
    );
    let trail = world.trail().await;
    assert_eq!(trail.len(), 3);
    assert!(
        trail
            .iter()
            .all(|e| e.record.interaction == Interaction::Register)
    );
    assert_eq!(
        trail[0].record.asked,
        "POST /register holder=fjellvik entries=1 high_water=1"
    );
    assert!(
        trail[1..]
            .iter()
            .all(|e| matches!(e.record.outcome, Outcome::Unauthenticated { .. }))
    );
}

#[tokio::test]
async fn the_answer_says_up_to_where_everything_has_arrived() {
    let world = World::new().await;
    let told = async |high_water: u64, sequences: &[u64], catch_up: Value| -> Value {
        let entries: Vec<Value> = sequences
            .iter()
            .map(|n| entry(patient(), "IT17", "present", *n))
            .collect();
        let mut body = json!({"holder": "fjellvik", "entries": entries, "high_water": high_water});
        if !catch_up.is_null() {
            body["catch_up"] = catch_up;
        }
        let reply = world.register(FJELLVIK, &body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        reply.json["complete"].clone()
    };
    assert_eq!(told(2, &[1, 2], Value::Null).await, 2);
    // 3 is lost on the way, or 4 came before it.
    assert_eq!(told(4, &[4], Value::Null).await, 2);
    assert_eq!(told(4, &[], Value::Null).await, 2);
    assert_eq!(told(4, &[4], json!({"after": 3, "through": 4})).await, 2);
    assert_eq!(told(4, &[4], json!({"after": 2, "through": 4})).await, 4);
}
