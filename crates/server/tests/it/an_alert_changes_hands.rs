//! The story's day 3 against the running region: a red reading, a nurse who owns the alert and hands it over, a clinic that
//! accepts while the municipality's service has fallen, and both sides' own Task (issue 6, item 4; threats-and-faults 12).

use crate::kit::side::{Side, state};
use crate::kit::{reading, region, wait};
use http::StatusCode;
use serde_json::Value;
use testkit::feed::Feed;
use wire::contract::demo::{ClientUse, Fault};

const PROVEHEIM: &str = "310001074";
const FJELLVIK: &str = "310001007";

#[tokio::test]
async fn day_3_a_red_alert_is_handed_over_and_stands_though_the_senders_service_falls() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let patient = &region.ready.patients[0];
    let side = |id: &str| Side::own(region, patient, id);
    let (fjellvik, proveheim) = (side("fjellvik"), side("proveheim"));
    let client = region
        .party(ClientUse::RecordSystem, Some(FJELLVIK))
        .unwrap();
    let feed = Feed::new(client, "fjellvik", &fjellvik.base);
    let red = reading::red(patient, "red");
    feed.create("Observation", red).await.unwrap();
    // What is found meanwhile joins it: then the step is taken from the newer version.
    let raised = fjellvik.takes("raised", "own", &[]).await;
    let note = "Respirasjon 24, våken, på luft";
    let to = [("to", PROVEHEIM), ("note", note)];
    fjellvik.takes("owned", "hand-over", &to).await;
    let offered = wait::until("the offer", async || proveheim.alert(&["offered"]).await).await;
    assert_eq!(offered["requester"]["display"], "Fjellvik kommune");

    region.fault("fjellvik", Fault::Dead, None).await.unwrap();
    let accepted = proveheim.step(&offered, "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    assert_eq!(state(&accepted.json), "owned");
    region.fault("fjellvik", Fault::None, None).await.unwrap();
    let handed = wait::until("the answer", async || {
        fjellvik.alert(&["handed-over"]).await
    })
    .await;
    assert_eq!(handed["id"], raised["id"]);
    let stands = proveheim.alert(&["owned"]).await.unwrap();
    assert_eq!(stands["id"], offered["id"]);
}

/// The clinic gives it back when the municipality has another of its own meanwhile: both stand, each with what raised it, until the nurse
/// who owns both makes them one.
#[tokio::test]
async fn what_comes_back_and_what_was_raised_meanwhile_are_joined_by_who_owns_both() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let patient = &region.ready.patients[0];
    let side = |id: &str| Side::own(region, patient, id);
    let (fjellvik, proveheim) = (side("fjellvik"), side("proveheim"));
    let client = region
        .party(ClientUse::RecordSystem, Some(FJELLVIK))
        .unwrap();
    let feed = Feed::new(client, "fjellvik", &fjellvik.base);
    let reds = async |key: &str| {
        let red = reading::red(patient, key);
        feed.create("Observation", red).await.unwrap();
    };
    reds("first").await;
    fjellvik.takes("raised", "own", &[]).await;
    let over = |orgnr| [("to", orgnr), ("note", "Trenger dere")];
    fjellvik.takes("owned", "hand-over", &over(PROVEHEIM)).await;
    let there = proveheim.takes("offered", "accept", &[]).await;
    let gone = async || fjellvik.alert(&["handed-over"]).await;
    wait::until("the clinic's answer", gone).await;
    proveheim
        .takes_of(&there, "hand-over", &over(FJELLVIK))
        .await;
    let back = async || fjellvik.alert(&["offered"]).await;
    let back = wait::until("what comes back", back).await;
    reds("meanwhile").await;
    let meanwhile = fjellvik.takes("raised", "own", &[]).await;
    assert_ne!(meanwhile["id"], back["id"]);
    fjellvik.takes_of(&back, "accept", &[]).await;

    // As soon as the clinic has heard that it is the municipality's again.
    let newest = async |of: &Value| {
        let all = fjellvik.found("Task", &[("_count", "200")]).await;
        all.into_iter().find(|one| one["id"] == of["id"]).unwrap()
    };
    let place = |of: &Value| format!("Task/{}", of["id"].as_str().unwrap());
    let joined = wait::until("the join", async || {
        let (stays, ends) = (newest(&meanwhile).await, newest(&back).await);
        let version = ends["meta"]["versionId"].as_str().unwrap();
        let with = format!("{}/_history/{version}", place(&ends));
        let form = [("with", &*with), ("note", "Samme sak")];
        let reply = fjellvik.step(&stays, "join", &form).await;
        let waits = [StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED];
        assert!(
            reply.status == StatusCode::OK || waits.contains(&reply.status),
            "{}",
            reply.json
        );
        (reply.status == StatusCode::OK).then_some(reply.json)
    })
    .await;
    assert_eq!((state(&joined), &joined["id"]), ("owned", &meanwhile["id"]));
    let ended = newest(&back).await;
    assert_eq!(state(&ended), "joined");
    assert_eq!(ended["partOf"][0]["reference"], place(&joined));
    // What raised either is in the one that stays, and one end ends both.
    let rests_on = async |of: &Value| {
        let issue = of["focus"]["reference"].as_str().unwrap();
        let issues = fjellvik.found("DetectedIssue", &[("_count", "200")]).await;
        let is = |one: &&Value| issue.ends_with(one["id"].as_str().unwrap());
        let implicated = issues.iter().find(is).unwrap()["implicated"].as_array();
        let named = implicated.unwrap().iter();
        named
            .map(|one| one["reference"].to_string())
            .collect::<Vec<_>>()
    };
    let all = rests_on(&joined).await;
    for named in rests_on(&ended).await {
        assert!(all.contains(&named), "{named} is not in {all:?}");
    }
    let closed = fjellvik
        .takes_of(&joined, "resolve", &[("note", "Bedre")])
        .await;
    assert_eq!(state(&closed), "resolved");
    assert_eq!(fjellvik.alert(&["owned", "raised", "offered"]).await, None);
}
