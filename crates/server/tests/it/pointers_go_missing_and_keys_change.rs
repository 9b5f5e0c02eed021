//! Pointers go missing in the locator's file: the holders find that out, tell them again, and the figure of drift goes back to
//! nothing. And the pointer key changes under look-ups, none of which misses anybody (issue 5, item 2).

use crate::kit::apart::{Apart, Client, FJELLVIK, More};
use crate::kit::lookup::{WEIGHT, receipt};
use crate::kit::physician::Physician;
use crate::kit::process::{Serving, free_port};
use crate::kit::reading::Weight;
use crate::kit::wait::until;
use fhir::time::Instant;
use serde_json::json;
use std::sync::Arc;
use store::{Change, Expect, LedgerWrite, Store, Surroundings};
use testkit::clients::{Caller, now};
use testkit::feed::Feed;
use testkit::people::Directory;
use wire::client::Request;
use wire::receipt::SourceState;

const PARTS: [(&str, &[&str]); 5] = [
    ("anchor", &["anchor"]),
    ("catalogue", &["catalogue"]),
    ("locator", &["locator"]),
    ("services", &["sharing"]),
    ("gateway", &["gateway"]),
];
/// The municipality's record system.
const FEED: Client = (
    "epj-fjellvik",
    FJELLVIK,
    "record-system",
    &["system/*.cruds"],
    &["sharing:fjellvik"],
);

/// The region with a reading at the municipality, and the hospital's physician, who chooses nobody.
struct Story {
    region: Apart,
    running: Vec<Serving>,
    locator: Serving,
    metrics: u16,
    physician: Physician,
}

impl Story {
    async fn new() -> Story {
        let more = More {
            facts: |_| String::new(),
            clients: &[FEED],
        };
        let region = Apart::with(&PARTS, "", "", more).await;
        let metrics = free_port();
        let config = region.config("services");
        let text = std::fs::read_to_string(&config).unwrap();
        let told = format!("[metrics]\naddress = \"127.0.0.1:{metrics}\"\n\n[listen]");
        std::fs::write(&config, text.replacen("[listen]", &told, 1)).unwrap();
        let mut running = Vec::new();
        for part in ["anchor", "catalogue", "services", "gateway"] {
            running.push(region.start(part).await);
        }
        let locator = region.start("locator").await;
        let reading = Weight::of(&Directory::demo().story_patient().number);
        let base = region.base("sharing:fjellvik");
        let feed = Feed::new(region.party("epj-fjellvik"), "fjellvik", &base);
        feed.create("Observation", reading.json()).await.unwrap();
        let physician = region.physician().await;
        let story = Story {
            region,
            running,
            locator,
            metrics,
            physician,
        };
        until("the locator has heard of the reading", async || {
            story.finds_her().await.then_some(())
        })
        .await;
        story
    }

    /// Does a look-up that chooses nobody reach the municipality, and is the locator's answer whole?
    async fn finds_her(&self) -> bool {
        let code = [("code", WEIGHT)];
        let reply = self.physician.search_at(&[], "Observation", &code).await;
        assert_eq!(reply.status, 200, "{}", reply.json);
        let told = receipt(&reply);
        let there = |one: &wire::receipt::SourceReport| {
            one.organisation == FJELLVIK && one.state == SourceState::Complete && one.count == 1
        };
        told.sources.iter().any(there)
    }

    /// The locator stops, somebody has its file in hand, and it starts again.
    async fn meanwhile(mut self, change: impl AsyncFnOnce(&Store)) -> Story {
        assert!(self.locator.stop().await.success());
        let surroundings = Surroundings {
            clock: Arc::new(now),
            ids: Arc::new(uuid::Uuid::new_v4),
        };
        let folder = self.region.data("locator").join("locator");
        let store = Store::open(&folder, "locator", surroundings).unwrap();
        change(&store).await;
        drop(store);
        self.locator = self.region.start("locator").await;
        self
    }

    /// The figure of drift of the municipality's service, as its operator sees it.
    async fn drift(&self) -> Option<u64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics);
        let told = Caller::new().unwrap().send_bare(Request::get(url)).await;
        let told = String::from_utf8(told.ok()?.body.to_vec()).unwrap();
        let name = "delt_locator_drift{service=\"fjellvik\"} ";
        let figure = told.lines().find_map(|line| line.strip_prefix(name))?;
        Some(figure.parse::<f64>().unwrap() as u64)
    }

    async fn end(self) {
        for serving in self.running.into_iter().chain([self.locator]) {
            assert!(!serving.said().contains("panic"), "{}", serving.said());
            assert!(serving.stop().await.success());
        }
    }
}

/// Removes or changes every row of a ledger.
async fn rewrite(store: &Store, ledger: &'static str, value: impl Fn(Vec<u8>) -> Option<Vec<u8>>) {
    let rows = store.ledger_scan(ledger, &[], None, 100).await.unwrap();
    assert!(!rows.is_empty(), "{ledger}");
    let writes = rows.into_iter().map(|row| LedgerWrite {
        ledger,
        key: row.key,
        value: value(row.value),
        expect: Expect::Any,
    });
    let change = Change {
        ledger: writes.collect(),
        ..Change::default()
    };
    store.commit(change).await.unwrap();
}

#[tokio::test]
async fn what_the_locator_lost_is_found_told_again_and_the_drift_is_nothing() {
    let story = Story::new().await;
    // Before the first comparison. How far the holders were heard stays, so that no heartbeat finds out.
    let story = story
        .meanwhile(async |store| rewrite(store, "pointer", |_| None).await)
        .await;
    assert!(!story.finds_her().await, "her pointer is gone");
    until("the drift is seen", async || {
        (story.drift().await == Some(1)).then_some(())
    })
    .await;
    assert!(story.finds_her().await, "repaired as it was found");
    until("the drift is nothing", async || {
        (story.drift().await == Some(0)).then_some(())
    })
    .await;
    let said = story.running[2].said();
    assert!(said.contains("the locator had drifted from what is held here; repaired"));
    story.end().await;
}

#[tokio::test]
async fn the_pointer_key_changes_and_every_look_up_meanwhile_finds_her() {
    let story = Story::new().await;
    let folder = story.region.data("locator").join("locator");
    let (old, new) = (folder.join("pointer-key"), folder.join("pointer-key-2"));
    assert!(old.exists() && !new.exists());
    // The key was made more than a year ago.
    let made = Instant::from_seconds(now().seconds() - 400 * 24 * 3_600);
    let made = move |_| Some(json!({ "made": made }).to_string().into_bytes());
    let story = story
        .meanwhile(async |store| rewrite(store, "key", made).await)
        .await;
    let (mut asked, mut beside) = (0, 0);
    // The holders hear of it by their next heartbeat, and the locator looks whether they have moved: each takes its time.
    let since = std::time::Instant::now();
    while old.exists() {
        assert!(story.finds_her().await, "look-up {asked}");
        asked += 1;
        beside += usize::from(old.exists() && new.exists());
        assert!(since.elapsed() < 3 * crate::kit::wait::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(new.exists(), "one key took the other's place");
    assert!(
        beside > 5,
        "{beside} look-ups of {asked} while both keys stood"
    );
    for _ in 0..5 {
        assert!(story.finds_her().await, "under the new key alone");
    }
    story.end().await;
}
