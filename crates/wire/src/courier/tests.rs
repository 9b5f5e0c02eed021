//! The courier against a real store and a receiver that does as it is told; time passes only when the courier waits.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use store::{Change, OutboxEntry, Surroundings};
use tokio::sync::Notify;
use uuid::Uuid;

use super::*;

const RECEIVER: &str = "fjellvik-epj";

struct Rig {
    _folder: tempfile::TempDir,
    store: Store,
    clock: Clock,
    now: Arc<AtomicI64>,
    stop: Stop,
    waits: Arc<Mutex<Vec<Duration>>>,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        let read = now.clone();
        let clock: Clock = Arc::new(move || Instant(read.load(Ordering::SeqCst)));
        let surroundings = Surroundings {
            clock: clock.clone(),
            ids: Arc::new(Uuid::new_v4),
        };
        let store = Store::open(&folder.path().join("hub"), "hub", surroundings).unwrap();
        Self {
            _folder: folder,
            store,
            clock,
            now,
            stop: Stop::new(),
            waits: Arc::default(),
        }
    }

    async fn post(&self, partition: &str, key: &str) {
        let entry = OutboxEntry {
            topic: "observation",
            receivers: vec![RECEIVER.to_owned()],
            partition: partition.to_owned(),
            key: key.to_owned(),
            body: key.to_owned().into(),
        };
        self.store
            .commit(Change {
                outbox: vec![entry],
                ..Change::default()
            })
            .await
            .unwrap();
    }

    /// Waiting moves the clock; when there is nothing left to wait for, the courier is stopped.
    fn passing_time(&self) -> Pause {
        let (now, stop, waits) = (self.now.clone(), self.stop.clone(), self.waits.clone());
        Arc::new(move |wait| {
            waits.lock().unwrap().push(wait);
            now.fetch_add(i64::try_from(wait.as_micros()).unwrap(), Ordering::SeqCst);
            if wait == LOOK_ANYWAY {
                stop.stop();
            }
            Box::pin(async {})
        })
    }

    fn courier<D: Deliver>(&self, deliver: D, pause: Pause) -> Courier<D> {
        Courier {
            store: self.store.clone(),
            receiver: RECEIVER.to_owned(),
            deliver,
            clock: self.clock.clone(),
            ids: Arc::new(Uuid::new_v4),
            stop: self.stop.clone(),
            pause,
        }
    }
}

/// Plays a script of fates, one list a batch; afterwards everything is done.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Vec<Fate>>>>,
    seen: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Vec<Fate>>) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            seen: Arc::default(),
        }
    }

    fn seen(&self) -> Vec<Vec<String>> {
        self.seen.lock().unwrap().clone()
    }
}

impl Deliver for Scripted {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        self.seen
            .lock()
            .unwrap()
            .push(batch.iter().map(|due| due.key.clone()).collect());
        self.script
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| vec![Fate::Done; batch.len()])
    }
}

fn retry() -> Fate {
    Fate::Retry("the peer answered 503".to_owned())
}

/// Away until a moment; then it takes everything.
struct Away {
    until: Instant,
    now: Arc<AtomicI64>,
    took: Arc<Mutex<Vec<(String, Instant)>>>,
}

impl Deliver for Away {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        let now = Instant(self.now.load(Ordering::SeqCst));
        let take = |due: &Due| {
            if now < self.until {
                return retry();
            }
            self.took.lock().unwrap().push((due.key.clone(), now));
            Fate::Done
        };
        batch.iter().map(take).collect()
    }

    fn longest_wait(&self) -> Duration {
        Duration::from_secs(30)
    }
}

#[tokio::test]
async fn a_receiver_that_was_away_for_a_day_is_told_within_the_deliverys_own_wait() {
    const DAY: i64 = 86_400_000_000;
    let rig = Rig::new();
    for (partition, key) in [("a", "a1"), ("a", "a2"), ("b", "b1")] {
        rig.post(partition, key).await;
    }
    let took = Arc::default();
    let until = Instant((rig.clock)().0 + DAY);
    let away = Away {
        until,
        now: rig.now.clone(),
        took: Arc::clone(&took),
    };
    rig.courier(away, rig.passing_time()).run().await;
    let took = took.lock().unwrap();
    assert_eq!(took.len(), 3);
    for (key, at) in took.iter() {
        let after = at.0 - until.0;
        assert!(
            (0..=60_000_000).contains(&after),
            "{key} {after} µs after it was back"
        );
    }
    let order: Vec<&str> = took
        .iter()
        .map(|(key, _)| key.as_str())
        .filter(|key| key.starts_with('a'))
        .collect();
    assert_eq!(order, ["a1", "a2"]);
}

#[tokio::test]
async fn a_failed_entry_holds_back_its_own_partition_only() {
    let rig = Rig::new();
    for (partition, key) in [("a", "a1"), ("a", "a2"), ("b", "b1")] {
        rig.post(partition, key).await;
    }
    let receiver = Scripted::new([vec![retry(), retry(), Fate::Done]]);
    rig.courier(receiver.clone(), rig.passing_time())
        .run()
        .await;
    assert_eq!(receiver.seen(), [vec!["a1", "a2", "b1"], vec!["a1", "a2"]]);
    let state = rig.store.outbox_state(RECEIVER).await.unwrap();
    assert_eq!((state.pending, state.dead), (0, 0));
}

#[tokio::test]
async fn a_dead_receiver_is_left_alone_longer_and_longer_and_nothing_is_lost() {
    let rig = Rig::new();
    rig.post("a", "a1").await;
    let receiver = Scripted::new(std::iter::repeat_n(vec![retry()], 5));
    rig.courier(receiver.clone(), rig.passing_time())
        .run()
        .await;
    assert_eq!(receiver.seen().len(), 6, "five failures and the delivery");
    let total: Duration = rig
        .waits
        .lock()
        .unwrap()
        .iter()
        .filter(|wait| **wait < LOOK_ANYWAY)
        .sum();
    // 1 + 2 + 4 + 8 + 16 s, each between half and whole, and each rest may overlap the entry's own wait.
    assert!(
        total >= Duration::from_secs(15) && total <= Duration::from_secs(62),
        "{total:?}"
    );
    assert_eq!(rig.store.outbox_state(RECEIVER).await.unwrap().pending, 0);
}

#[tokio::test]
async fn a_refused_entry_becomes_a_dead_letter_with_its_reason_and_blocks_nobody() {
    let rig = Rig::new();
    rig.post("a", "a1").await;
    rig.post("a", "a2").await;
    let receiver = Scripted::new([vec![
        Fate::of_status(422, "unknown code"),
        Fate::of_status(201, ""),
    ]]);
    rig.courier(receiver, rig.passing_time()).run().await;
    let state = rig.store.outbox_state(RECEIVER).await.unwrap();
    assert_eq!((state.pending, state.dead), (0, 1));
    let letters = rig
        .store
        .outbox_dead_letters(RECEIVER, None, 10)
        .await
        .unwrap();
    assert_eq!(
        (letters[0].key.as_str(), letters[0].reason.as_deref()),
        ("a1", Some("unknown code"))
    );
}

#[tokio::test]
async fn an_entry_whose_fate_was_not_told_is_tried_again() {
    let rig = Rig::new();
    rig.post("a", "a1").await;
    rig.post("b", "b1").await;
    let receiver = Scripted::new([vec![Fate::Done]]);
    rig.courier(receiver.clone(), rig.passing_time())
        .run()
        .await;
    assert_eq!(receiver.seen(), [vec!["a1", "b1"], vec!["b1"]]);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let rig = Rig::new();
    rig.post("a", "a1").await;
    let asked = Duration::from_secs(40);
    let receiver = Scripted::new([vec![Fate::RetryAfter(asked, "busy".to_owned())]]);
    let before = (rig.clock)().0;
    rig.courier(receiver.clone(), rig.passing_time())
        .run()
        .await;
    assert_eq!(receiver.seen().len(), 2);
    let passed = (rig.clock)().0 - before - i64::try_from(LOOK_ANYWAY.as_micros()).unwrap();
    assert!(
        passed >= i64::try_from(asked.as_micros()).unwrap(),
        "{passed}"
    );
}

#[tokio::test]
async fn batches_are_bounded_and_follow_each_other_at_once() {
    let rig = Rig::new();
    let entries: Vec<Change> = (0..BATCH + 1)
        .map(|n| OutboxEntry {
            topic: "observation",
            receivers: vec![RECEIVER.to_owned()],
            partition: n.to_string(),
            key: n.to_string(),
            body: "{}".into(),
        })
        .map(|entry| Change {
            outbox: vec![entry],
            ..Change::default()
        })
        .collect();
    assert!(
        rig.store
            .commit_all(entries)
            .await
            .iter()
            .all(Result::is_ok)
    );
    let receiver = Scripted::default();
    rig.courier(receiver.clone(), rig.passing_time())
        .run()
        .await;
    assert_eq!(
        receiver.seen().iter().map(Vec::len).collect::<Vec<_>>(),
        [BATCH, 1]
    );
    assert_eq!(*rig.waits.lock().unwrap(), [LOOK_ANYWAY]);
}

/// Tells when a batch came and holds it until it may go on.
#[derive(Clone, Default)]
struct Held {
    came: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Deliver for Held {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        self.came.notify_one();
        self.go_on.notified().await;
        vec![Fate::Done; batch.len()]
    }
}

#[tokio::test]
async fn a_new_entry_wakes_the_courier_and_a_stop_lets_the_batch_under_way_end() {
    let rig = Rig::new();
    let held = Held::default();
    let forever: Pause = Arc::new(|_| Box::pin(std::future::pending()));
    let running = tokio::spawn(rig.courier(held.clone(), forever).run());
    rig.post("a", "a1").await;
    held.came.notified().await;
    rig.stop.stop();
    held.go_on.notify_one();
    running.await.unwrap();
    assert_eq!(rig.store.outbox_state(RECEIVER).await.unwrap().pending, 0);
}

#[test]
fn waits_double_from_a_second_to_fifteen_minutes() {
    let seconds: Vec<u64> = (0..12).map(|tries| backoff(tries).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    assert_eq!(backoff(u32::MAX), LONGEST);
}
