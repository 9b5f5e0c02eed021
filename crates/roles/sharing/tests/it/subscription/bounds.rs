//! What waits, what is kept and how many there are is bounded, and no bound loses what a subscriber may still fetch
//! (threats-and-faults.md section 8).

use fhir::ids::LogicalId;
use http::StatusCode;
use std::collections::BTreeSet;
use store::{Change, Expect, LedgerWrite, OutboxEntry};

use super::*;
use crate::house::*;

const DAY: i64 = 86_400 * SECOND;

/// Many readings at once.
async fn burst(region: &Region, round: usize, count: usize) {
    let owner = region.service.record_system(FJELLVIK);
    let one = |n: usize| {
        let when = "2026-11-21T08:00:00+01:00";
        reading(ragnhild(), &format!("burst-{round}-{n}"), when, "90")
    };
    let all: Vec<_> = (0..count).map(one).collect();
    let taken = region
        .service
        .post(&owner, "/", &bundle("batch", &all))
        .await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.json);
}

async fn rows(region: &Region, ledger: &'static str) -> usize {
    let store = region.service.state.store();
    let mut pages = store.ledger_pages(ledger, b"", 1_000);
    let mut count = 0;
    while let Some(page) = pages.next().await.unwrap() {
        count += page.len();
    }
    count
}

/// Written beside the service, as an earlier run of it may have left it.
async fn left(region: &Region, ledger: &'static str, rows: Vec<(Vec<u8>, Vec<u8>)>) {
    let write = |(key, value)| LedgerWrite {
        ledger,
        key,
        value: Some(value),
        expect: Expect::Any,
    };
    let change = Change {
        ledger: rows.into_iter().map(write).collect(),
        ..Change::default()
    };
    region.service.state.store().commit(change).await.unwrap();
}

#[tokio::test]
async fn whoever_asks_how_it_stands_loses_nothing_that_was_not_taken() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.answers(StatusCode::SERVICE_UNAVAILABLE);
    region.reads("r-0", "90").await;
    region.tells().await;
    for round in 0..3 {
        burst(&region, round, 400).await;
        region.tells().await;
        assert_eq!(region.stands(&path).await.0, "active");
    }
    for _ in 0..3 {
        assert_eq!(region.stands(&path).await, ("active".into(), "1000".into()));
        region.missed(&path, "?eventsSinceNumber=1").await;
    }
    region.hook.answers(StatusCode::OK);
    region.hook.heard();
    region.passes(60).await;
    assert_eq!(region.hook.numbers(), (1..=1_201).collect::<Vec<u64>>());
    assert_eq!(region.stands(&path).await, ("active".into(), "1201".into()));
}

#[tokio::test]
async fn of_one_that_is_over_nothing_waits() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.answers(StatusCode::SERVICE_UNAVAILABLE);
    for n in 0..3 {
        region.reads(&format!("r-{n}"), "90").await;
        region.tells().await;
    }
    assert!(region.listed().await.waiting > 0);
    region.service.clock.advance(91 * DAY);
    region.vouched(Standing::Active, Standing::Active);
    region.tells().await;
    assert_eq!(region.stands(&path).await.0, "off");
    assert_eq!(region.listed().await.waiting, 0);
    region.reads("r-late", "90").await;
    region.tells().await;
    assert_eq!(region.listed().await.waiting, 0);
}

/// The hook takes nothing, and more waits for it than is kept.
async fn waits_beyond_measure(region: &Region) {
    region.hook.answers(StatusCode::SERVICE_UNAVAILABLE);
    for n in 0..2 {
        region.reads(&format!("r-{n}"), "90").await;
        region.tells().await;
    }
    let store = region.service.state.store();
    let listed = store.ledger_scan("listed", b"", None, 10);
    let newest = listed.await.unwrap().pop().unwrap();
    let key = |number: u64| {
        let mut key = newest.key.get(..16).unwrap().to_vec();
        key.extend(number.to_be_bytes());
        key
    };
    let many = (3..11_500).map(|number| (key(number), newest.value.clone()));
    left(region, "listed", many.collect()).await;
}

#[tokio::test]
async fn what_waits_beyond_all_measure_is_an_error_that_says_so_and_the_rest_goes_on_after_a_restart()
 {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    waits_beyond_measure(&region).await;
    let region = region.restarted().await;
    let last = region.reads("r-last", "90").await;
    region.tells().await;
    let (status, count) = region.stands(&path).await;
    assert_eq!(status, "error");
    let told = region.get(&region.system(), &path).await;
    assert!(told["error"].as_str().unwrap().contains("read anew"));
    assert!(region.listed().await.waiting < 500);
    assert!(region.listed().await.heard_of <= 1_000);
    let newest = region
        .missed(&path, &format!("?eventsSinceNumber={count}"))
        .await;
    let newest: Vec<_> = newest.into_iter().map(|(_, focus)| focus).collect();
    assert_eq!(newest, [format!("Observation/{last}")]);
    // It goes when its subscriber ends it, all of it.
    let ended = region.service.delete(&region.system(), &path, None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(rows(&region, "listed").await, 0);
}

#[tokio::test]
async fn however_many_there_were_a_restart_forgets_none() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    let store = region.service.state.store();
    let held = store.ledger_scan("subscription", b"", None, 10);
    let one = held.await.unwrap().remove(0);
    let other = |n: u32| {
        let mut value: Value = serde_json::from_slice(&one.value).unwrap();
        let id = format!("00000000-0000-0000-0000-{n:012x}");
        value["id"] = id.as_str().into();
        value["status"] = "off".into();
        let key = id.parse::<uuid::Uuid>().unwrap().as_bytes().to_vec();
        (key, serde_json::to_vec(&value).unwrap())
    };
    left(&region, "subscription", (1..=5_001).map(other).collect()).await;
    let region = region.restarted().await;
    region.hook.heard();
    region.reads("r-1", "90").await;
    region.tells().await;
    assert_eq!(region.hook.numbers(), [1]);
    assert_eq!(region.stands(&path).await.0, "active");
}

/// A store as a service of before events were numbered by their own commits left it.
#[tokio::test]
async fn what_an_earlier_service_left_is_owned_up_to_once_and_no_number_is_given_again() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    let other = region.follows("plan-change").await;
    for n in 1..=2 {
        region.reads(&format!("r-{n}"), "90").await;
    }
    region.tells().await;
    assert_eq!(region.stands(&path).await.1, "2");
    let id = uuid::Uuid::parse_str(path.rsplit_once('/').unwrap().1).unwrap();
    let row = |number: u64| {
        let key = [id.as_bytes().as_slice(), &number.to_be_bytes()].concat();
        (key, b"{}".to_vec())
    };
    left(&region, "subscription-event", vec![row(1), row(2)]).await;
    left(&region, "subscription-waiting", vec![row(1)]).await;
    let store = region.service.state.store();
    let listed = LogicalId(id);
    let forgotten = [1, 2].map(|number| store::forgotten(listed, number));
    let change = Change {
        ledger: forgotten.into(),
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    let region = region.restarted().await;
    region.hook.heard();
    let told = region.get(&region.system(), &path).await;
    assert_eq!(told["status"], "error");
    assert!(told["error"].as_str().unwrap().contains("read anew"));
    assert_eq!(
        region.stands(&other).await.0,
        "active",
        "nothing of it was there"
    );
    for ledger in ["subscription-event", "subscription-waiting"] {
        assert_eq!(rows(&region, ledger).await, 0, "{ledger}");
    }
    // Asked for again it goes on, by the next number.
    let now = region.get(&region.gp(), &path).await;
    let version = format!("W/\"{}\"", now["meta"]["versionId"].as_str().unwrap());
    let mut body = wanted(&region.endpoint(), "new-reading", Some(&region.patient));
    body["id"] = now["id"].clone();
    let again = region
        .service
        .put(&region.gp(), &path, Some(&version), &body)
        .await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.json);
    region.reads("r-3", "91").await;
    region.tells().await;
    assert_eq!(region.hook.numbers(), [3]);
    let region = region.restarted().await;
    assert_eq!(region.stands(&path).await, ("active".into(), "3".into()));
    // What nobody had noticed may have been anybody's event.
    let unnoticed = OutboxEntry {
        topic: store::FOLLOW,
        receivers: vec!["subscription".into()],
        partition: "follow".into(),
        key: "follow".into(),
        body: b"{}".as_slice().into(),
    };
    let change = Change {
        outbox: vec![unnoticed],
        ..Change::default()
    };
    let store = region.service.state.store();
    store.commit(change).await.unwrap();
    let region = region.restarted().await;
    for path in [&path, &other] {
        assert_eq!(region.stands(path).await.0, "error");
    }
    let store = region.service.state.store();
    let now = region.service.clock.now();
    let due = store.outbox_due("subscription", now, 1).await.unwrap();
    assert!(due.is_empty());
}

#[tokio::test]
async fn what_is_over_counts_until_it_is_ended() {
    let region = Region::new().await;
    let mut paths = BTreeSet::new();
    for _ in 0..5 {
        paths.insert(region.follows("new-reading").await);
    }
    region.service.clock.advance(91 * DAY);
    region.vouched(Standing::Active, Standing::Active);
    region.tells().await;
    let body = wanted(&region.endpoint(), "new-reading", Some(&region.patient));
    let more = region.asks(&region.gp(), &body).await;
    assert_eq!(issues(&more.json), ["too-costly @ -"]);
    let path = paths.pop_first().unwrap();
    assert_eq!(region.stands(&path).await.0, "off");
    let ended = region.service.delete(&region.system(), &path, None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    region.followed(&region.gp(), &body).await;
}

#[tokio::test]
async fn asked_for_at_once_they_are_counted_one_by_one() {
    let region = Region::new().await;
    let body = wanted(&region.endpoint(), "new-reading", Some(&region.patient));
    let ask = || {
        let (region, body, who) = (&region, &body, region.gp());
        async move { region.asks(&who, body).await.status }
    };
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let (e, f, g, h) = tokio::join!(ask(), ask(), ask(), ask());
    let made = [a, b, c, d, e, f, g, h];
    let made = made.iter().filter(|one| **one == StatusCode::CREATED);
    assert_eq!(made.count(), 5);
}

#[tokio::test]
async fn one_resource_that_does_not_read_holds_up_nothing_and_has_its_number() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.heard();
    let spoilt = region.reads("r-1", "90").await;
    let sound = region.reads("r-2", "91").await;
    region.hook.answers(StatusCode::SERVICE_UNAVAILABLE);
    region.tells().await;
    crate::work_list::spoil(&region.service, &spoilt);
    region.hook.answers(StatusCode::OK);
    region.passes(60).await;
    let told: Vec<_> = region
        .hook
        .heard()
        .into_iter()
        .flat_map(|(_, all)| all)
        .collect();
    assert_eq!(told, [(2, format!("Observation/{sound}"))]);
    assert_eq!(region.stands(&path).await, ("active".into(), "2".into()));
    assert_eq!(
        region.missed(&path, "?eventsUntilNumber=1").await,
        [(1, String::new())]
    );
    // The next one is told as if nothing had been.
    region.reads("r-3", "92").await;
    region.tells().await;
    assert_eq!(region.hook.numbers(), [3]);
}

#[tokio::test]
async fn where_her_wishes_do_not_read_what_waits_is_bounded_all_the_same() {
    let region = Region::new().await;
    region.follows("new-reading").await;
    waits_beyond_measure(&region).await;
    let whose = format!("{}|{}", systems::FNR, ragnhild().number);
    let store = region.service.state.store();
    let mut wish = store.keyed("wish", whose.as_bytes()).to_vec();
    wish.extend(b"spoilt");
    left(&region, "wish", vec![(wish, b"no wish".to_vec())]).await;
    let region = region.restarted().await;
    let asked = region.hook.asked();
    region.tells().await;
    region.passes(60).await;
    assert_eq!(region.hook.asked(), asked, "nothing is told");
    let store = region.service.state.store();
    let held = store
        .ledger_scan("subscription", b"", None, 10)
        .await
        .unwrap();
    let stands: Value = serde_json::from_slice(&held[0].value).unwrap();
    assert_eq!(stands["status"], "error");
    assert!(stands["why"].as_str().unwrap().contains("read anew"));
    assert!(region.listed().await.waiting < 10_000);
}

#[tokio::test]
async fn ended_between_the_write_and_its_telling_nothing_is_told_and_nothing_is_left() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    let other = region.follows("new-reading").await;
    region.hook.heard();
    region.reads("r-1", "90").await;
    let ended = region.service.delete(&region.system(), &path, None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    region.tells().await;
    assert_eq!(region.hook.numbers(), [1], "the other's alone");
    // And one that ends while it is told.
    region.reads("r-2", "91").await;
    let (ended, told) = tokio::join!(
        async { region.service.delete(&region.system(), &other, None).await },
        region.service.state.notify_waiting()
    );
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    // One that was being told when it ended is done with at the next look.
    let _ = told;
    region.passes(60).await;
    for ledger in ["subscription", "listed"] {
        assert_eq!(rows(&region, ledger).await, 0, "{ledger}");
    }
}
