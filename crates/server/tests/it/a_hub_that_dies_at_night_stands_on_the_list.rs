//! A list that is green because nothing arrives says so (decision 0060): the hub dies at night, or a home system stops sending. By a clock that the
//! test puts; no reading is due then, and the hub's sign of life is all there is.

use crate::kit::reading::Weight;
use crate::kit::region;
use crate::kit::wait::until;
use crate::kit::work_list::{SERVICE, list};
use fhir::time::{Instant, parse_instant};
use http::StatusCode;
use serde_json::Value;
use testkit::browser::Browser;
use testkit::home_system::HomeSystem;
use testkit::region::Region;
use wire::client::Request;
use wire::contract::demo::{ClientUse, Fault};
use wire::contract::hub::{DELIVERIES, Deliveries, SenderState, WRITE_SCOPE};
use wire::contract::sharing::COPY_STATE;
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

/// How the hub says that the home system stands.
async fn at_the_hub(region: &Region) -> SenderState {
    let party = region.party(ClientUse::HomeSystem, Some(FJELLVIK)).unwrap();
    let ask = Request::get(format!("{}{DELIVERIES}", region.ready.hub));
    let told = party.send(&region.hub(), WRITE_SCOPE, ask).await.unwrap();
    let told: Deliveries = serde_json::from_slice(&told.body).unwrap();
    let [home] = <[SenderState; 1]>::try_from(told.senders).unwrap();
    home
}

/// Whom the hub has not heard, as the municipality's record system reads it in the age of its copy: client ids and since when.
async fn in_the_copy(region: &Region) -> Vec<(String, Instant)> {
    let party = region.party(ClientUse::RecordSystem, Some(FJELLVIK));
    let (party, base) = (party.unwrap(), &region.service(SERVICE).unwrap().fhir);
    let ask = Request::get(format!("{base}{COPY_STATE}"));
    let told = party
        .send(base, "system/Observation.rs", ask)
        .await
        .unwrap();
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    let named = |all: &Value, name: &str| -> Vec<Value> {
        let all = all.as_array().unwrap().iter();
        all.filter(|one| one["name"] == name).cloned().collect()
    };
    let feeds = named(&told["parameter"], "feed").into_iter();
    let silent = feeds.flat_map(|feed| named(&feed["part"], "silent"));
    let read = |one: Value| {
        let [sender, since] = ["sender", "since"].map(|name| named(&one["part"], name).remove(0));
        let since = parse_instant(since["valueInstant"].as_str().unwrap());
        let sender = sender["valueString"].as_str().unwrap();
        (sender.to_owned(), since.unwrap())
    };
    silent.map(read).collect()
}

/// Waits until the hub's alarm and then the service's stand in the log so often: that a home system went quiet, and that it is heard again.
async fn alarms(region: &Region, quiet: usize, again: usize) {
    const WORDS: [&str; 2] = [
        "a home system has gone quiet",
        "a home system is heard again",
    ];
    until("the alarms in the log", async || {
        let log = std::fs::read_to_string(region.log()).unwrap();
        let told = |by: &str, words: &str| {
            let lines = log.lines().filter(|line| line.contains(by));
            lines.filter(|line| line.contains(words)).count()
        };
        let all = ["hub::silence", "sharing::copy"].map(|by| WORDS.map(|words| told(by, words)));
        (all == [[quiet, again]; 2]).then_some(())
    })
    .await;
}

/// What the nurse's page of the list warns of; nothing where the warning is hidden.
async fn warning(browser: &mut Browser, region: &Region) -> Option<String> {
    let page = browser.go(&format!("{}/list", region.ready.portal)).await;
    let page = page.unwrap();
    assert_eq!(page.status, StatusCode::OK, "{}", page.html);
    let (_, banner) = page.html.split_once("id=\"quiet\" role=\"alert\"").unwrap();
    let (banner, _) = banner.split_once("</div>").unwrap();
    (!banner.starts_with(" hidden")).then(|| banner.to_owned())
}

/// The nurse at the portal, with her list.
async fn nurse(region: &Region) -> Browser {
    let mut all = region.ready.practitioners.iter();
    let person = all.position(|one| one.orgnr == FJELLVIK).unwrap();
    let mut browser = Browser::new().unwrap();
    let start = browser.open(&region.ready.portal).await.unwrap();
    let person = person.to_string();
    let fields = [("form", start.field("form").unwrap()), ("person", &person)];
    let signed_in = browser.send(&start, "/session", &fields).await.unwrap();
    assert_eq!(signed_in.status, StatusCode::OK, "{}", signed_in.html);
    browser
}

#[tokio::test]
async fn a_home_system_that_stops_sending_stands_on_the_nurses_list_until_it_sends_again() {
    let own = region::own(&["--from-day", "14", "--log", "warn,hub=info,sharing=info"]).await;
    let region = &own.region;
    // The story's last reading comes at 08:31. What it may be silent is a day and a half.
    at(region, 14, "08:30").await;
    let before = region.clock()();
    at(region, 14, "08:32").await;
    let after = region.clock()();
    for (day, time) in [(14, "22:00"), (15, "09:00"), (15, "20:25")] {
        at(region, day, time).await;
        list_with(region, &[]).await;
        assert!(in_the_copy(region).await.is_empty() && !at_the_hub(region).await.quiet);
    }
    assert_eq!(warning(&mut nurse(region).await, region).await, None);
    alarms(region, 0, 0).await;

    at(region, 15, "20:40").await;
    let list = list_with(region, &[HOME]).await;
    let home = &list.quiet[0];
    let since = home.since.expect("it was heard before");
    assert!(
        home.home_system && before <= since && since <= after,
        "{since}"
    );
    let told = at_the_hub(region).await;
    assert_eq!((told.quiet, told.heard), (true, Some(since)));
    let sender = format!("hjemmesystem-{SERVICE}");
    assert_eq!(in_the_copy(region).await, [(sender, since)]);
    let banner = warning(&mut nurse(region).await, region).await.unwrap();
    assert!(banner.contains("Hjemmesystemet DHO Fjellvik har ikke sendt noe siden"));
    // Hours later it is still there, and was told once.
    at(region, 16, "07:00").await;
    list_with(region, &[HOME]).await;
    alarms(region, 1, 0).await;

    let weight = Weight {
        taken: region.clock()().plus_seconds(-60),
        ..Weight::of(region.ready.patients[0].fnr.expose())
    };
    let party = region.party(ClientUse::HomeSystem, Some(FJELLVIK)).unwrap();
    let home = HomeSystem::new(party, &region.ready.hub);
    assert_eq!(home.send_one(weight.json()).await.unwrap().status, 201);
    list_with(region, &[]).await;
    assert!(in_the_copy(region).await.is_empty() && !at_the_hub(region).await.quiet);
    assert_eq!(warning(&mut nurse(region).await, region).await, None);
    at(region, 16, "07:05").await;
    alarms(region, 1, 1).await;
    let data = region.data().to_owned();
    own.region.stop().await.unwrap();
    crate::kit::stores::all_trails_are_whole(&data).await;
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
    let home = at_the_hub(region).await;
    assert_eq!((home.name.as_str(), home.quiet), (HOME, false));
    assert!(home.heard.is_some_and(|at| at < died));
    let data = region.data().to_owned();
    own.region.stop().await.unwrap();
    crate::kit::stores::all_trails_are_whole(&data).await;
}
