//! A list that is green because nothing arrives says so (decision 0060): the hub dies at night. By a clock that the test puts; no reading is due
//! then, and the hub's sign of life is all there is.

use crate::kit::region;
use crate::kit::wait::until;
use crate::kit::work_list::list;
use testkit::region::Region;
use wire::client::Request;
use wire::contract::demo::{ClientUse, Fault};
use wire::contract::hub::{DELIVERIES, Deliveries, WRITE_SCOPE};
use wire::contract::work_list::WorkList;

const FJELLVIK: &str = "310001007";
const HUB: &str = "Knutepunktet";
const HOME: &str = "DHO Fjellvik";

async fn at(region: &Region, day: i32, time: &str) {
    let played = region.play(day, time).await;
    played.unwrap_or_else(|error| panic!("day {day} {time}: {error}"));
}

/// The list once these alone are silent.
async fn list_with(region: &Region, quiet: &[&str]) -> WorkList {
    until("who is silent on the list", async || {
        let list = list(region).await;
        let names = list.quiet.iter().map(|one| one.name.as_str());
        names.eq(quiet.iter().copied()).then_some(list)
    })
    .await
}

#[tokio::test]
async fn a_hub_that_dies_at_night_stands_on_the_nurses_list_until_it_lives_again() {
    let own = region::own(&["--from-day", "-10"]).await;
    let region = &own.region;
    at(region, -10, "09:00").await;
    list_with(region, &[]).await;
    // A night without a reading: the hub's sign of life is enough, hour by hour.
    for time in ["22:00", "23:00", "23:50"] {
        at(region, -10, time).await;
        list_with(region, &[]).await;
    }
    region.fault("hub", Fault::Dead, None).await.unwrap();
    let died = region.clock()();
    at(region, -9, "00:20").await;
    let list = list_with(region, &[HUB]).await;
    let [hub] = &list.quiet[..] else {
        panic!("{:?}", list.quiet)
    };
    assert!(!hub.home_system);
    let since = hub.since.expect("it was heard before");
    assert!(since.plus_seconds(300) >= died && since <= died, "{since}");
    // It is back, and has heard the home system meanwhile.
    region.fault("hub", Fault::None, None).await.unwrap();
    list_with(region, &[]).await;
    let party = region.party(ClientUse::HomeSystem, Some(FJELLVIK)).unwrap();
    let ask = Request::get(format!("{}{DELIVERIES}", region.ready.hub));
    let told = party.send(&region.hub(), WRITE_SCOPE, ask).await.unwrap();
    let told: Deliveries = serde_json::from_slice(&told.body).unwrap();
    let [home] = &told.senders[..] else {
        panic!("{:?}", told.senders)
    };
    assert_eq!((home.name.as_str(), home.quiet), (HOME, false));
    assert!(home.heard.is_some_and(|at| at < died));
    let data = region.data().to_owned();
    own.region.stop().await.unwrap();
    crate::kit::stores::all_trails_are_whole(&data).await;
}
