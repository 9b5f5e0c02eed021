//! The story's day 3 against the running region: a red reading, a nurse who owns the alert and hands it over, a clinic that
//! accepts while the municipality's service has fallen, and both sides' own Task (issue 6, item 4; threats-and-faults 12).

use crate::kit::side::{Side, state};
use crate::kit::{reading, region, wait};
use http::StatusCode;
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
    let red = reading::red(patient);
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
