//! The outbox: order per partition, retry, dead letters, one body for many, states.

use fhir::time::Instant;
use store::{Change, DeliveryState, Due, OutboxEntry, Store};

use crate::world::World;

fn entry(key: &str, partition: &str, receivers: &[&str]) -> OutboxEntry {
    OutboxEntry {
        topic: "observation",
        receivers: receivers.iter().map(|name| (*name).to_owned()).collect(),
        partition: partition.to_owned(),
        key: key.to_owned(),
        body: format!("body of {key}").into_bytes().into(),
    }
}

async fn post(store: &Store, entries: Vec<OutboxEntry>) {
    store
        .commit(Change {
            outbox: entries,
            ..Change::default()
        })
        .await
        .unwrap();
}

async fn due(store: &Store, receiver: &str, now: Instant) -> Vec<Due> {
    store.outbox_due(receiver, now, 100).await.unwrap()
}

fn keys(due: &[Due]) -> Vec<&str> {
    due.iter().map(|one| one.key.as_str()).collect()
}

fn later(now: Instant, seconds: i64) -> Instant {
    now.plus_seconds(seconds)
}

#[tokio::test]
async fn order_holds_within_a_partition_and_nobody_else_waits() {
    let world = World::new();
    let store = world.store();
    let mut signal = store.outbox_signal();
    signal.mark_unchanged();
    post(
        &store,
        vec![
            entry("a1", "a", &["epj"]),
            entry("b1", "b", &["epj"]),
            entry("a2", "a", &["epj"]),
            entry("b2", "b", &["epj"]),
        ],
    )
    .await;
    assert!(signal.has_changed().unwrap());
    let now = world.now();
    let all = due(&store, "epj", now).await;
    assert_eq!(keys(&all), ["a1", "b1", "a2", "b2"]);
    assert_eq!(&all[0].body[..], b"body of a1");
    assert!(all[0].partition == all[2].partition && all[0].partition != all[1].partition);
    store
        .outbox_retry(all[0].id, later(now, 30), "no answer")
        .await
        .unwrap();
    assert_eq!(keys(&due(&store, "epj", now).await), ["b1", "b2"]);
    assert_eq!(
        keys(&due(&store, "epj", later(now, 29)).await),
        ["b1", "b2"]
    );
    let back = due(&store, "epj", later(now, 30)).await;
    assert_eq!(
        (keys(&back), back[0].attempts),
        (vec!["a1", "b1", "a2", "b2"], 1)
    );
    // Put off by a clock that was a day ahead and is right again: now, and it holds nobody back.
    let ahead = later(now, 24 * 3600);
    store
        .outbox_retry(all[0].id, ahead, "no answer")
        .await
        .unwrap();
    assert_eq!(
        keys(&due(&store, "epj", now).await),
        ["a1", "b1", "a2", "b2"]
    );
    // A dead letter blocks nobody.
    store
        .outbox_retry(all[0].id, later(now, 300), "no answer")
        .await
        .unwrap();
    store.outbox_dead(all[0].id, "refused: 422").await.unwrap();
    assert_eq!(keys(&due(&store, "epj", now).await), ["b1", "a2", "b2"]);
    store.outbox_done(vec![all[1].id, all[2].id]).await.unwrap();
    assert_eq!(keys(&due(&store, "epj", now).await), ["b2"]);
    store.outbox_revive(all[0].id).await.unwrap();
    assert_eq!(keys(&due(&store, "epj", now).await), ["a1", "b2"]);
    assert_eq!(store.outbox_due("epj", now, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_body_for_several_receivers_until_all_have_it() {
    let world = World::new();
    let store = world.store();
    post(
        &store,
        vec![
            entry("k", "p", &["epj", "sharing"]),
            entry("none", "p", &[]),
        ],
    )
    .await;
    let bodies = |path: &std::path::Path| -> (i64, i64) {
        rusqlite::Connection::open(path.join("store.db"))
            .unwrap()
            .query_row("SELECT count(*), count(body) FROM parcel", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap()
    };
    assert_eq!(bodies(world.path()), (1, 1));
    let now = world.now();
    let epj = due(&store, "epj", now).await[0].id;
    store.outbox_done(vec![epj]).await.unwrap();
    assert_eq!(bodies(world.path()), (1, 1));
    assert!(due(&store, "epj", now).await.is_empty());
    let states = |all: Vec<store::Delivery>| {
        all.into_iter()
            .map(|one| (one.receiver, one.state))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(store.outbox_by_key("k").await.unwrap()),
        [
            ("epj".to_owned(), DeliveryState::Delivered),
            ("sharing".to_owned(), DeliveryState::Pending)
        ]
    );
    let sharing = due(&store, "sharing", now).await[0].id;
    store.outbox_done(vec![sharing]).await.unwrap();
    assert_eq!(
        bodies(world.path()),
        (1, 0),
        "the clinical body is gone once everybody has it"
    );
    assert_eq!(store.outbox_by_key("k").await.unwrap().len(), 2);
    // Reporting twice, or late, changes nothing.
    store
        .outbox_retry(sharing, later(now, 5), "late")
        .await
        .unwrap();
    store.outbox_dead(epj, "late").await.unwrap();
    assert!(
        states(store.outbox_by_key("k").await.unwrap())
            .iter()
            .all(|one| one.1 == DeliveryState::Delivered)
    );
    // After thirty days the key is forgotten too.
    world.pass(31 * 24 * 3600);
    store.commit(Change::default()).await.unwrap();
    assert!(store.outbox_by_key("k").await.unwrap().is_empty());
    assert_eq!(bodies(world.path()), (0, 0));
}

#[tokio::test]
async fn states_tell_how_a_receiver_stands() {
    let world = World::new();
    let store = world.store();
    assert_eq!(
        store.outbox_state("epj").await.unwrap(),
        store::ReceiverState::default()
    );
    let first = world.now();
    post(&store, vec![entry("1", "a", &["epj"])]).await;
    world.pass(10);
    post(
        &store,
        vec![
            entry("2", "b", &["epj"]),
            entry("3", "c", &["epj"]),
            entry("4", "d", &["epj", "sharing"]),
        ],
    )
    .await;
    let all = due(&store, "epj", world.now()).await;
    store
        .outbox_dead(all[1].id, &"lang grunn å ".repeat(100))
        .await
        .unwrap();
    store.outbox_done(vec![all[2].id]).await.unwrap();
    let state = store.outbox_state("epj").await.unwrap();
    assert_eq!(
        (state.pending, state.oldest, state.dead),
        (2, Some(first), 1)
    );
    let dead = store.outbox_dead_letters("epj", None, 10).await.unwrap();
    assert_eq!(
        (dead[0].key.as_str(), dead[0].state, dead[0].attempts),
        ("2", DeliveryState::Dead, 1)
    );
    assert!(dead[0].reason.as_ref().unwrap().len() <= 500);
    assert_eq!(store.outbox_receivers().await.unwrap(), ["epj", "sharing"]);
    // All of it is still so after a restart.
    drop(store);
    let store = world.store();
    assert_eq!(store.outbox_state("epj").await.unwrap(), state);
    assert_eq!(keys(&due(&store, "epj", world.now()).await), ["1", "4"]);
}

#[tokio::test]
async fn a_dead_letter_is_kept_and_holds_up_no_forgetting() {
    let world = World::new();
    let store = world.store();
    post(
        &store,
        vec![
            entry("dead", "a", &["epj"]),
            entry("one", "b", &["epj"]),
            entry("two", "c", &["epj"]),
        ],
    )
    .await;
    let all = due(&store, "epj", world.now()).await;
    store.outbox_dead(all[0].id, "refused").await.unwrap();
    store.outbox_done(vec![all[1].id, all[2].id]).await.unwrap();
    world.pass(31 * 24 * 3600);
    store.commit(Change::default()).await.unwrap();
    assert_eq!(store.outbox_by_key("dead").await.unwrap().len(), 1);
    for key in ["one", "two"] {
        assert!(store.outbox_by_key(key).await.unwrap().is_empty(), "{key}");
    }
    store.outbox_revive(all[0].id).await.unwrap();
    assert_eq!(
        &due(&store, "epj", world.now()).await[0].body[..],
        b"body of dead"
    );
}

#[tokio::test]
async fn a_change_that_fails_sends_nothing() {
    let world = World::new();
    let store = world.store();
    let replay = trust::Replay {
        hash: [1; 32],
        expires: later(world.now(), 60),
    };
    let change = || Change {
        outbox: vec![entry("k", "p", &["epj"])],
        replays: vec![replay],
        ..Change::default()
    };
    let results = store.commit_all(vec![change(), change()]).await;
    assert!(results[0].is_ok() && results[1].is_err());
    assert_eq!(due(&store, "epj", world.now()).await.len(), 1);
}

#[tokio::test]
async fn what_is_due_is_given_in_parts_that_fit_one_bundle() {
    let world = World::new();
    let store = world.store();
    let large: Vec<_> = (0..6)
        .map(|n| OutboxEntry {
            body: vec![b'x'; 2 << 20].into(),
            ..entry(&format!("k{n}"), "a", &["epj"])
        })
        .collect();
    post(&store, large).await;
    let (mut seen, mut rounds) = (Vec::new(), 0);
    loop {
        let part = due(&store, "epj", world.now()).await;
        if part.is_empty() {
            break;
        }
        // A receiver takes 10 MiB; a batch that is larger would be refused whole, again and again.
        assert!(part.iter().map(|one| one.body.len()).sum::<usize>() < 8 << 20);
        seen.extend(part.iter().map(|one| one.key.clone()));
        rounds += 1;
        store
            .outbox_done(part.iter().map(|one| one.id).collect())
            .await
            .unwrap();
    }
    assert_eq!(seen, ["k0", "k1", "k2", "k3", "k4", "k5"]);
    assert!(rounds > 1);
}

#[tokio::test]
async fn forgetting_keeps_up_with_what_is_delivered() {
    let world = World::new();
    let options = store::Options {
        keep_delivered_seconds: 0,
        ..store::Options::default()
    };
    let store = Store::open_with(world.path(), "310001007", world.surroundings(), options).unwrap();
    let many: Vec<_> = (0..5_000)
        .map(|n| entry(&format!("k{n}"), &format!("p{n}"), &["epj"]))
        .collect();
    post(&store, many).await;
    let all = store.outbox_due("epj", world.now(), 10_000).await.unwrap();
    assert_eq!(all.len(), 5_000);
    store
        .outbox_done(all.iter().map(|one| one.id).collect())
        .await
        .unwrap();
    // Ten quiet seconds after the round is due: thousands a minute arrive, so thousands must go.
    world.pass(61);
    for n in 0..10 {
        world.pass(1);
        post(&store, vec![entry(&format!("later{n}"), "later", &["epj"])]).await;
    }
    assert!(store.outbox_by_key("k0").await.unwrap().is_empty());
    assert!(store.outbox_by_key("k4999").await.unwrap().is_empty());
}
