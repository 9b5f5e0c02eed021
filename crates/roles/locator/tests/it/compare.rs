//! Comparing: drift of every kind is found with few questions and repaired, and a holder learns of its own pointers alone.

use http::StatusCode;
use serde_json::{Value, json};
use store::{Change, Expect, LedgerWrite};
use testkit::people::{Directory, Patient};
use trust::ClientUse;
use wire::contract::locator::{Compared, Presence};
use wire::drift::{self, Leaf, Prefix, TagKey};

use crate::world::{FJELLVIK, KYSTREGIONEN, PROVEHEIM, World, entry, other_patient, patient};

async fn compare(world: &World, orgnr: &str, holder: &str, prefix: &str) -> Compared {
    let claims = world.service_claims(ClientUse::Service, orgnr);
    let body = json!({"holder": holder, "prefix": prefix});
    let reply = world.send(&claims, "/compare", &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    serde_json::from_value(reply.json).unwrap()
}

async fn repair(world: &World, entries: Value, strays: &[Leaf]) -> u64 {
    let claims = world.service_claims(ClientUse::Service, FJELLVIK);
    let body = json!({"holder": "fjellvik", "entries": entries, "strays": strays});
    let reply = world.send(&claims, "/repair", &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    reply.json["changed"].as_u64().unwrap()
}

/// Fjellvik's own leaves, as its service makes them from what it has.
fn own(compared: &Compared, has: &[(&Patient, &str, Presence, u64)]) -> Vec<Leaf> {
    let key = TagKey::parse(compared.key.expose()).unwrap();
    let mut leaves: Vec<Leaf> = has
        .iter()
        .map(|(patient, kind, state, sequence)| {
            let entry = entry(patient, kind, "present", 0);
            Leaf {
                tag: key.tag(&serde_json::from_value(entry["patient"].clone()).unwrap()),
                kind: kind.parse().unwrap(),
                state: *state,
                sequence: *sequence,
            }
        })
        .collect();
    leaves.sort();
    leaves
}

/// Removes or writes rows behind the locator's back, as a fault of the disk or an old backup would.
async fn meddle(
    world: &World,
    ledger: &'static str,
    change: impl Fn(usize, Vec<u8>) -> Option<Vec<u8>>,
) {
    let rows = world
        .state
        .store()
        .ledger_scan(ledger, &[], None, 100)
        .await
        .unwrap();
    let writes = rows.into_iter().enumerate().map(|(at, row)| LedgerWrite {
        ledger,
        key: row.key,
        value: change(at, row.value),
        expect: Expect::Any,
    });
    let change = Change {
        ledger: writes.collect(),
        ..Change::default()
    };
    world.state.store().commit(change).await.unwrap();
}

async fn three(world: &World) {
    let all = [
        entry(patient(), "IT17", "present", 1),
        entry(patient(), "IT08", "absent", 2),
        entry(other_patient(), "IT17", "present", 3),
    ];
    world.announce(json!(all), 3).await;
}

fn had() -> [(&'static Patient, &'static str, Presence, u64); 3] {
    [
        (patient(), "IT17", Presence::Present, 1),
        (patient(), "IT08", Presence::Absent, 2),
        (other_patient(), "IT17", Presence::Present, 3),
    ]
}

#[tokio::test]
async fn at_rest_both_build_the_same_tree() {
    let world = World::new().await;
    three(&world).await;
    let compared = compare(&world, FJELLVIK, "fjellvik", "").await;
    let own = own(&compared, &had());
    assert_eq!(compared.node, drift::node(&own, &Prefix::default()));
    // A branch alone.
    let digit = format!("{:x}", own[0].tag[0] >> 4);
    let prefix = Prefix::parse(&digit).unwrap();
    let part = compare(&world, FJELLVIK, "fjellvik", &digit).await;
    assert_eq!(part.node, drift::node(drift::on(&own, &prefix), &prefix));
    // Nothing of it is a person's number, and another holder's key makes other tags.
    let other = compare(&world, PROVEHEIM, "proveheim", "").await;
    assert_ne!(other.key, compared.key);
    assert_eq!(other.node.whole.count, 0);
}

#[tokio::test]
async fn what_went_missing_what_is_too_much_and_what_is_wrong_is_found_and_repaired() {
    let world = World::new().await;
    three(&world).await;
    let key = compare(&world, FJELLVIK, "fjellvik", "").await;
    let ours = own(&key, &had());
    let differs = async || {
        let theirs = compare(&world, FJELLVIK, "fjellvik", "").await.node.leaves;
        let missing = ours.iter().filter(|leaf| !theirs.contains(leaf)).count();
        let strays: Vec<Leaf> = theirs
            .iter()
            .filter(|leaf| !ours.contains(leaf))
            .cloned()
            .collect();
        (missing, strays)
    };
    let everything = json!([
        entry(patient(), "IT17", "present", 1),
        entry(patient(), "IT08", "absent", 2),
        entry(other_patient(), "IT17", "present", 3),
    ]);
    assert_eq!(differs().await, (0, vec![]));
    // A pointer is gone although its leaf is there: it is found all the same.
    meddle(&world, "pointer", |at, value| (at != 0).then_some(value)).await;
    assert_eq!(differs().await.0, 1);
    assert_eq!(repair(&world, everything.clone(), &[]).await, 1);
    assert_eq!(differs().await, (0, vec![]));
    // Every leaf is gone.
    meddle(&world, "leaf", |_, _| None).await;
    assert_eq!(differs().await.0, 3);
    assert_eq!(repair(&world, everything.clone(), &[]).await, 3);
    // A pointer that the holder knows nothing of, with a number far ahead: an old backup of the holder was put back.
    world
        .announce(json!([entry(patient(), "IT03", "present", 900)]), 900)
        .await;
    world
        .announce(json!([entry(patient(), "IT17", "absent", 901)]), 901)
        .await;
    assert_eq!(world.told(patient(), &["IT03"]).await.len(), 1);
    assert!(world.told(patient(), &["IT17"]).await.is_empty());
    let (missing, strays) = differs().await;
    assert_eq!((missing, strays.len()), (1, 2));
    assert_eq!(repair(&world, everything.clone(), &strays).await, 3);
    assert_eq!(differs().await, (0, vec![]));
    assert!(world.told(patient(), &["IT03"]).await.is_empty());
    assert_eq!(world.told(patient(), &["IT17"]).await.len(), 1);
    // Repaired once more it changes nothing.
    assert_eq!(repair(&world, everything, &strays).await, 0);
}

#[tokio::test]
async fn what_turned_after_the_comparison_is_not_repaired_away() {
    let world = World::new().await;
    three(&world).await;
    meddle(&world, "pointer", |_, _| None).await;
    meddle(&world, "leaf", |_, _| None).await;
    // Compared, and a repair is on its way; meanwhile the patient is erased, and that is announced.
    let erased = entry(patient(), "IT17", "absent", 4);
    world.announce(json!([erased]), 4).await;
    let late = json!([
        entry(patient(), "IT17", "present", 1),
        entry(other_patient(), "IT17", "present", 3),
    ]);
    assert_eq!(repair(&world, late, &[]).await, 1);
    assert!(world.told(patient(), &["IT17"]).await.is_empty());
    assert_eq!(world.told(other_patient(), &["IT17"]).await.len(), 1);
}

#[tokio::test]
async fn a_large_holder_is_walked_in_bounded_messages() {
    let world = World::new().await;
    let people = Directory::demo().patients.iter();
    let kinds = [
        "IT01", "IT03", "IT07", "IT08", "IT09", "IT10", "IT11", "IT12", "IT17", "IT19", "IT23",
    ];
    let mut sequence = 0;
    let mut has = Vec::new();
    for patient in people {
        for kind in kinds {
            sequence += 1;
            has.push((patient, kind, Presence::Present, sequence));
        }
    }
    for part in has.chunks(400) {
        let entries: Vec<Value> = part
            .iter()
            .map(|(p, kind, _, n)| entry(p, kind, "present", *n))
            .collect();
        world.announce(json!(entries), sequence).await;
    }
    let whole = compare(&world, FJELLVIK, "fjellvik", "").await;
    assert_eq!(whole.node.whole.count, has.len() as u64);
    let own = own(&whole, &has);
    assert_eq!(whole.node, drift::node(&own, &Prefix::default()));
    assert!(whole.node.leaves.len() <= drift::MOST_LEAVES);
}

#[tokio::test]
async fn nobody_compares_or_repairs_anothers_pointers() {
    let world = World::new().await;
    three(&world).await;
    let strays = compare(&world, FJELLVIK, "fjellvik", "").await.node.leaves;
    for (path, body) in [
        ("/compare", json!({"holder": "fjellvik", "prefix": ""})),
        ("/repair", json!({"holder": "fjellvik", "strays": strays})),
        ("/compare", json!({"holder": "nobody", "prefix": ""})),
    ] {
        for (orgnr, use_) in [
            (PROVEHEIM, ClientUse::Service),
            (KYSTREGIONEN, ClientUse::Service),
            (FJELLVIK, ClientUse::RecordSystem),
            (FJELLVIK, ClientUse::Gateway),
        ] {
            let claims = world.service_claims(use_, orgnr);
            let reply = world.send(&claims, path, &body).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path} {orgnr}");
        }
    }
    // Strays of one holder under another's name are nobody's.
    let body = json!({"holder": "proveheim", "strays": strays});
    let claims = world.service_claims(ClientUse::Service, PROVEHEIM);
    let reply = world.send(&claims, "/repair", &body).await;
    assert_eq!(
        (reply.status, &reply.json["changed"]),
        (StatusCode::OK, &json!(0))
    );
    assert_eq!(world.told(patient(), &["IT17"]).await.len(), 1);
    // Outside the agreement there is nothing to compare.
    let claims = world.service_claims(ClientUse::Service, KYSTREGIONEN);
    let body = json!({"holder": "kystregionen", "prefix": ""});
    assert_eq!(
        world.send(&claims, "/compare", &body).await.status,
        StatusCode::FORBIDDEN
    );
    let own = world.service_claims(ClientUse::Service, FJELLVIK);
    for body in [
        json!({"holder": "fjellvik", "prefix": "x"}),
        json!({"holder": "fjellvik", "prefix": "0".repeat(33)}),
        json!({"holder": "fjellvik", "more": 1}),
        json!({}),
    ] {
        let status = world.send(&own, "/compare", &body).await.status;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
    let many: Vec<Value> = (0..501)
        .map(|n| entry(patient(), "IT17", "present", n))
        .collect();
    let body = json!({"holder": "fjellvik", "entries": many});
    assert_eq!(
        world.send(&own, "/repair", &body).await.status,
        StatusCode::BAD_REQUEST
    );
}
