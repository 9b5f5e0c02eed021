//! A source that is dead, slow, refusing, lying or has a wrong clock costs its own data and nobody else's, and the receipt
//! says what became of it (DESIGN section 7).

use crate::kit::lookup::{Found, Screen, found, receipt, source, states};
use crate::kit::region;
use testkit::clients::Reply;
use testkit::region::Region;
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use wire::contract::demo::Fault;
use wire::receipt::SourceState;

/// The source with the trouble.
const SERVICE: &str = "fjellvik";
const FJELLVIK: &str = "310001007";

/// The stories of this file share a region of their own and take turns.
async fn region() -> MutexGuard<'static, &'static Region> {
    static REGION: OnceCell<Mutex<&'static Region>> = OnceCell::const_new();
    REGION
        .get_or_init(async || Mutex::new(region::kept(region::own(&[]).await)))
        .await
        .lock()
        .await
}

/// The physician's look-up for the story's patient.
async fn look_up(region: &Region) -> Reply {
    let patient = region.story_patient().unwrap();
    let screen = Screen::physician(region, patient).await;
    let reply = screen
        .search_for(
            patient,
            "Observation",
            &[("_count", "200"), ("_sort", "-date")],
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    reply
}

/// Looks up while `fault` is on; gives what became of the troubled source. Everyone else must be whole, and everything
/// they gave before must be there.
async fn with_fault(fault: Fault) -> (SourceState, Reply) {
    let region = region().await;
    let healthy = look_up(*region).await;
    assert!(receipt(&healthy).is_whole());
    region.fault(SERVICE, fault, None).await.unwrap();
    let reply = look_up(*region).await;
    region.fault(SERVICE, Fault::None, None).await.unwrap();

    let account = receipt(&reply);
    let (theirs, others): (Vec<_>, Vec<_>) = states(&account)
        .into_iter()
        .partition(|(organisation, _)| *organisation == FJELLVIK);
    assert!(
        others.len() >= 2 && others.iter().all(|(_, state)| state.is_whole()),
        "{fault:?}: {others:?}"
    );
    let [(_, state)] = theirs[..] else {
        panic!("{fault:?}: {theirs:?}")
    };
    let shown: Vec<Found> = found(&reply);
    for one in found(&healthy) {
        let elsewhere = one.routes.iter().any(|road| road != FJELLVIK);
        let there = shown.iter().any(|other| other.identifier == one.identifier);
        assert!(
            there || !elsewhere,
            "{fault:?}: {} is lost, and it came from {:?}",
            one.identifier,
            one.routes
        );
    }
    assert!(!shown.is_empty());
    assert!(
        shown
            .iter()
            .all(|one| !one.routes.iter().any(|road| road == FJELLVIK)),
        "{fault:?}: shown all the same"
    );
    assert!(
        source(&account, FJELLVIK).reason.is_some(),
        "{fault:?}: no reason given"
    );
    (state, reply)
}

#[tokio::test]
async fn a_dead_source_has_failed() {
    assert_eq!(with_fault(Fault::Dead).await.0, SourceState::Failed);
}

#[tokio::test]
async fn a_slow_source_is_late() {
    assert_eq!(with_fault(Fault::Slow).await.0, SourceState::Late);
}

#[tokio::test]
async fn a_refusing_source_has_refused() {
    assert_eq!(with_fault(Fault::Refusing).await.0, SourceState::Refused);
}

#[tokio::test]
async fn a_lying_source_is_not_believed() {
    // It lies in three ways by turns: a broken body, another patient's reading, an OperationOutcome as success.
    for _ in 0..3 {
        let (state, reply) = with_fault(Fault::Lying).await;
        assert!(
            matches!(state, SourceState::Failed | SourceState::Partial),
            "{state:?}"
        );
        let other = "01810012345";
        assert!(
            !String::from_utf8_lossy(&reply.body).contains(other),
            "another patient's reading is shown"
        );
    }
}

#[tokio::test]
async fn a_source_with_a_wrong_clock_is_not_silently_missing() {
    let (state, _) = with_fault(Fault::Skewed).await;
    assert_ne!(state, SourceState::Empty);
}

#[tokio::test]
async fn when_every_trouble_is_over_the_answer_is_whole_again() {
    let region = region().await;
    region.fault(SERVICE, Fault::Dead, None).await.unwrap();
    assert!(!receipt(&look_up(*region).await).is_whole());
    region.fault(SERVICE, Fault::None, None).await.unwrap();
    assert!(receipt(&look_up(*region).await).is_whole());
}

/// STORY.md, day 3: the hospital's physician chooses Fjordregionen by hand; it is late, everybody else is there.
#[tokio::test]
async fn day_3_one_late_source_chosen_by_hand_costs_only_its_own_data() {
    const FJORDREGIONEN: &str = "310001775";
    let region = region().await;
    let patient = region.story_patient().unwrap();
    let screen = Screen::physician(*region, patient).await;
    region
        .fault("fjordregionen", Fault::Slow, None)
        .await
        .unwrap();
    let since = std::time::Instant::now();
    let form = [("organization", FJORDREGIONEN), ("_count", "200")];
    let reply = screen.search_for(patient, "Observation", &form).await;
    let took = since.elapsed();
    region
        .fault("fjordregionen", Fault::None, None)
        .await
        .unwrap();
    assert_eq!(reply.status, 200, "{}", reply.json);
    // Promised are 5 s; a machine that is busy with other things gets as much again.
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
    let account = receipt(&reply);
    let late = source(&account, FJORDREGIONEN);
    assert_eq!((late.state, late.count), (SourceState::Late, 0));
    assert_eq!(late.reason.as_deref(), Some("no answer in time"));
    for there in [FJELLVIK, "310001074", "310001147"] {
        let there = source(&account, there);
        assert!(there.state.is_whole(), "{there:?}");
    }
    assert!(source(&account, FJELLVIK).as_of.is_some());
    assert!(!reply.matches().is_empty());
}
