//! Days -21 to -17: the plan is made, the oximeter is lent out, and the hospital's scale already stands there.

use super::{FJELLVIK, MISSING, OPEN, PROVEHEIM, Story};
use crate::kit::lookup::{WEIGHT, source};
use crate::kit::wait::until;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::observation::DEVICE_SYSTEM;
use wire::client::Request;
use wire::contract::demo::{ClientUse, Purpose};
use wire::contract::hub::{ASSIGN_SCOPE, ASSIGNMENTS};

/// The oximeter that the municipality lends, and the scale that the hospital lent before.
const OXIMETER: &str = "SYNT-O2-0417";
const SCALE: &str = "SYNT-V1-0093";
/// The scale on the hospital's ward.
const WARD: &str = "SYNT-M9-0004";

/// Before the talk there is no plan; after it the municipality has it, and the hospital finds it there.
pub async fn day_minus_21_the_plan_is_made(story: &Story<'_>) {
    story.at(-21, "13:50").await;
    assert!(story.fjellvik.found("CarePlan", &[]).await.is_empty());
    story.at(-21, "14:10").await;
    let plan = until("the plan", async || {
        let all = story.fjellvik.found("CarePlan", &[]).await;
        assert!(all.len() < 2, "{all:?}");
        all.into_iter().next()
    })
    .await;
    let screen = story.screen(story.who(PROVEHEIM), Purpose::Treat).await;
    until("the plan at the hospital", async || {
        let (reply, _) = story.looks_up(&screen, "CarePlan", &[]).await;
        let found = reply.matches();
        found
            .iter()
            .any(|one| one["title"] == plan["title"])
            .then_some(())
    })
    .await;
}

/// The municipality's record system says at the hub whom its oximeter measures from tomorrow; the hub's list has it, and names nobody.
pub async fn day_minus_18_the_oximeter_is_hers(story: &Story<'_>) {
    story.at(-18, "12:00").await;
    let party = story.region.party(ClientUse::RecordSystem, Some(FJELLVIK));
    let (party, hub) = (party.unwrap(), story.region.hub());
    let url = format!("{}{ASSIGNMENTS}", story.region.ready.hub);
    let number = story.patient.fnr.expose();
    let lent = json!({
        "device": {"system": DEVICE_SYSTEM, "value": OXIMETER},
        "patient": {"system": fhir::systems::FNR, "value": number},
        "from": story.moment(-17, 0).to_string(),
    });
    let request = Request::post(url.clone(), "application/json", lent.to_string());
    let answer = party.send(&hub, ASSIGN_SCOPE, request).await.unwrap();
    assert_eq!(answer.status, 201);
    let listed = party.send(&hub, ASSIGN_SCOPE, Request::get(url)).await;
    let listed = listed.unwrap().body;
    let text = String::from_utf8(listed.to_vec()).unwrap();
    assert!(text.contains(OXIMETER) && !text.contains(number), "{text}");
}

/// Her first readings, by the oximeter that is hers and by the scale that already stood there: by whose it is shown, beside the hospital's own.
pub async fn day_minus_17_the_first_readings_by_two_organisations_devices(story: &Story<'_>) {
    story.at(-17, "09:00").await;
    let first = until("the first readings", async || {
        let all = story.since(-17, 0, false).await;
        (all.len() >= 4).then_some(all)
    })
    .await;
    let devices: BTreeSet<&str> = first.iter().filter_map(serial).collect();
    assert!(devices.contains(OXIMETER) && devices.contains(SCALE));
    let screen = story.screen(story.who(PROVEHEIM), Purpose::Treat).await;
    let form = [("code", WEIGHT), ("_count", "200")];
    let both = [FJELLVIK, PROVEHEIM];
    let (reply, account) = story
        .looks_up_whole(&screen, "Observation", &form, &both)
        .await;
    for orgnr in both {
        assert!(source(&account, orgnr).count > 0, "{orgnr}");
    }
    let of = |wanted: &str| {
        let all = reply.matches();
        let found = all.iter().find(|one| serial(one) == Some(wanted));
        found
            .and_then(|one| one["device"]["display"].as_str())
            .map(str::to_owned)
    };
    let scale = of(SCALE).expect("the scale at home");
    assert!(scale.contains("utlånt av Prøveheim"), "{scale}");
    assert!(of(WARD).is_some(), "the scale on the ward");
    assert!(story.alerts(MISSING, OPEN).await.is_empty());
}

/// The serial number of the device that measured.
fn serial(reading: &Value) -> Option<&str> {
    reading["device"]["identifier"]["value"].as_str()
}
