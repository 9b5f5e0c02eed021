//! A new pointer key: nobody is lost from sight on the way, and afterwards nothing of the old key is left.

use http::StatusCode;
use locator::{KeyError, KeyStanding, OpenError};
use serde_json::{Value, json};

use crate::world::{FJELLVIK, PROVEHEIM, World, config, entry, house, other_patient, patient};

const DAY: i64 = 24 * 3_600_000_000;

/// A heartbeat: up to which number the holder need not tell again.
async fn heartbeat(world: &World, holder: &str, orgnr: &str, high_water: u64) -> u64 {
    let body = json!({"holder": holder, "high_water": high_water});
    let reply = world.register(orgnr, &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    reply.json["complete"].as_u64().unwrap()
}

async fn again(world: &World, holder: &str, orgnr: &str, entries: Value, through: u64) -> u64 {
    let body = json!({
        "holder": holder, "entries": entries, "high_water": through,
        "catch_up": {"after": 0, "through": through},
    });
    let reply = world.register(orgnr, &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    reply.json["complete"].as_u64().unwrap()
}

async fn rows(world: &World, ledger: &'static str) -> usize {
    world
        .state
        .store()
        .ledger_scan(ledger, &[], None, 1_000)
        .await
        .unwrap()
        .len()
}

fn key(world: &World, name: &str) -> bool {
    world.folder.path().join("locator").join(name).exists()
}

async fn two_holders(world: &World) {
    let fjellviks = json!([
        entry(patient(), "IT17", "present", 1),
        entry(other_patient(), "IT17", "present", 2),
    ]);
    world.announce(fjellviks, 2).await;
    let body = json!({"holder": "proveheim", "entries": [entry(patient(), "IT08", "present", 1)], "high_water": 1});
    assert_eq!(
        world.register(PROVEHEIM, &body).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn holders_move_one_by_one_and_everybody_is_found_all_the_way() {
    let world = World::new().await;
    two_holders(&world).await;
    let found = async || {
        let told = world.told(patient(), &["IT17", "IT08"]).await;
        let services: Vec<String> = told
            .iter()
            .map(|one| one.split(' ').next().unwrap().to_owned())
            .collect();
        (services, world.told(other_patient(), &["IT17"]).await.len())
    };
    let whole = (vec!["proveheim".to_owned(), "fjellvik".to_owned()], 1);
    assert_eq!(world.state.tend_keys().await.unwrap(), KeyStanding::Rest);
    world.clock.advance(365 * DAY);
    assert_eq!(heartbeat(&world, "fjellvik", FJELLVIK, 2).await, 2);
    // The key is a year old.
    assert_eq!(
        world.state.tend_keys().await.unwrap(),
        KeyStanding::Moving(2)
    );
    assert!(key(&world, "pointer-key") && key(&world, "pointer-key-2"));
    assert_eq!(found().await, whole);
    // The next heartbeat is told that nothing has arrived; as-of stands nowhere still.
    assert_eq!(heartbeat(&world, "fjellvik", FJELLVIK, 2).await, 0);
    let fjellviks = json!([
        entry(patient(), "IT17", "present", 1),
        entry(other_patient(), "IT17", "present", 2),
    ]);
    assert_eq!(again(&world, "fjellvik", FJELLVIK, fjellviks, 2).await, 2);
    assert_eq!(found().await, whole);
    assert_eq!(
        world.state.tend_keys().await.unwrap(),
        KeyStanding::Moving(1)
    );
    // What turns meanwhile turns under the new key, and the old pointer does not bring it back.
    world
        .announce(json!([entry(other_patient(), "IT17", "absent", 3)]), 3)
        .await;
    assert_eq!(found().await, (whole.0.clone(), 0));
    // A restart in between changes nothing.
    let world = world.reopen(|_| {}).await;
    assert_eq!(heartbeat(&world, "proveheim", PROVEHEIM, 1).await, 0);
    let proveheims = json!([entry(patient(), "IT08", "present", 1)]);
    assert_eq!(
        again(&world, "proveheim", PROVEHEIM, proveheims, 1).await,
        1
    );
    assert_eq!(rows(&world, "pointer").await, 6);
    assert_eq!(world.state.tend_keys().await.unwrap(), KeyStanding::Rest);
    // Nothing of the old key is left, and everybody is found.
    assert!(!key(&world, "pointer-key") && key(&world, "pointer-key-2"));
    assert_eq!(
        (rows(&world, "pointer").await, rows(&world, "leaf").await),
        (3, 3)
    );
    assert_eq!(world.told(patient(), &["IT17", "IT08"]).await.len(), 2);
    let world = world.reopen(|_| {}).await;
    assert_eq!(world.told(patient(), &["IT17", "IT08"]).await.len(), 2);
    assert_eq!(heartbeat(&world, "fjellvik", FJELLVIK, 3).await, 3);
}

#[tokio::test]
async fn a_holder_that_never_comes_is_left_behind_and_tells_everything_when_it_does() {
    let world = World::new().await;
    two_holders(&world).await;
    world.state.rotate_key().await.unwrap();
    let proveheims = json!([entry(patient(), "IT08", "present", 1)]);
    again(&world, "proveheim", PROVEHEIM, proveheims, 1).await;
    world.clock.advance(30 * DAY - 1_000_000);
    assert_eq!(
        world.state.tend_keys().await.unwrap(),
        KeyStanding::Moving(1)
    );
    world.clock.advance(1_000_000);
    assert_eq!(world.state.tend_keys().await.unwrap(), KeyStanding::Rest);
    assert!(!key(&world, "pointer-key"));
    assert_eq!(world.told(patient(), &["IT17"]).await.len(), 0);
    assert_eq!(heartbeat(&world, "fjellvik", FJELLVIK, 2).await, 0);
}

#[tokio::test]
async fn a_crash_between_the_key_and_its_note_is_made_good_and_a_lost_key_is_not_replaced() {
    let world = World::new().await;
    two_holders(&world).await;
    // The file was made, the commit was not.
    let folder = world.folder.path().join("locator");
    std::fs::copy(folder.join("pointer-key"), folder.join("pointer-key-2")).unwrap();
    let world = world.reopen(|_| {}).await;
    assert_eq!(heartbeat(&world, "fjellvik", FJELLVIK, 2).await, 0);
    assert_eq!(
        world.state.tend_keys().await.unwrap(),
        KeyStanding::Moving(2)
    );
    // One of two keys is gone: who is under it could not be found.
    let folder = world.folder.path().to_owned();
    let (issuer, clock) = (world.issuer.clone(), world.clock.clone());
    let World {
        state,
        door,
        folder: kept,
        ..
    } = world;
    drop((state, door));
    std::fs::remove_file(folder.join("locator/pointer-key")).unwrap();
    let opened = locator::open(config(issuer.url()), house(kept.path(), &clock)).await;
    assert!(matches!(opened.err(), Some(OpenError::Key(KeyError::Lost))));
}
