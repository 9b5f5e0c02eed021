//! Days 3 and 4 at Fjellvik's own gateway: its nurse looks up and files there; it falls with the record system, and is there again as it was.

use super::{FJELLVIK, PROVEBAKKEN, PROVEHEIM, SERVERS, Story};
use crate::kit::lookup::{Screen, receipt, request_id};
use crate::kit::stores::{OWN_GATEWAY, records};
use crate::kit::wait::until;
use crate::the_gp_looks_up_files_and_later_reads_what_changed::{documents, files, verified};
use std::path::Path;
use testkit::clients::Reply;
use wire::client::PeerError;
use wire::contract::demo::Fault;

const HOLDERS: [&str; 3] = [FJELLVIK, PROVEHEIM, PROVEBAKKEN];

/// Her look-up before the fall.
pub struct Looked {
    reply: Reply,
    /// The receipt's id.
    receipt: String,
    /// The request's id.
    pub request: String,
}

/// Where Fjellvik's people look up.
fn gateway(story: &Story<'_>) -> String {
    format!("{}/gateway-fjellvik/fhir", story.region.ready.portal)
}

/// Its nurse there.
async fn nurse(story: &Story<'_>) -> Screen {
    let who = story.who(FJELLVIK);
    Screen::of(story.region, who, story.patient, &gateway(story)).await
}

/// A look-up that is whole, with its receipt's id and its own.
async fn looks_up(story: &Story<'_>, nurse: &Screen) -> Looked {
    let form = [("_count", "50")];
    let (reply, account) = story
        .looks_up_whole(nurse, "Observation", &form, &HOLDERS)
        .await;
    Looked {
        receipt: account.id.unwrap(),
        request: request_id(&reply),
        reply,
    }
}

/// She has her answer and its receipt, signed by the municipality's own gateway and not by the hospital's.
pub async fn day_3_the_nurse_looks_up_at_her_own(story: &Story<'_>) -> Looked {
    story.at(3, "09:20").await;
    let nurse = nurse(story).await;
    let looked = looks_up(story, &nurse).await;
    let url = format!("{}/OperationOutcome/{}", nurse.base, looked.receipt);
    let kept = nurse.get(&url).await;
    assert_eq!(kept.status, 200, "{}", kept.json);
    verified(&nurse.base, &kept.json).await;
    // The hospital's gateway has no part in it: neither her token nor her receipt is anything there.
    let elsewhere = url.replace(&nurse.base, &story.region.gateway());
    assert_eq!(nurse.get(&elsewhere).await.status, 401);
    let at_the_hospitals = story
        .screen(story.who(FJELLVIK), wire::contract::demo::Purpose::Treat)
        .await;
    assert_eq!(at_the_hospitals.get(&elsewhere).await.status, 404);
    looked
}

/// The record system falls, and she files what she relied on; then the gateway falls, and her request ends with an error. Gives the
/// document's identifier.
pub async fn day_3_the_municipalitys_servers_fall(story: &Story<'_>, looked: &Looked) -> String {
    story.at(3, "09:22").await;
    let [record_system, gateway] = SERVERS;
    let falls = async |server| story.region.fault(server, Fault::Dead, None).await.unwrap();
    falls(record_system).await;
    let nurse = nurse(story).await;
    let words = "Overlatt til Prøveheim 09:18.";
    let document = files(&nurse, (&looked.reply, 2), words).await;
    falls(gateway).await;
    let asked = nurse.asks(story.patient, "Observation").await;
    assert!(matches!(asked, Err(PeerError::Broken)), "{asked:?}");
    assert!(documents(story.region, "fjellvik", &document).is_empty());
    document
}

/// What was filed has come, once; her receipt of day 3 is there, and she looks up again. Gives that request's id.
pub async fn day_4_it_is_there_as_it_was(
    story: &Story<'_>,
    looked: &Looked,
    filed: &str,
) -> String {
    let came = until("what she filed is in the record", async || {
        let came = documents(story.region, "fjellvik", filed);
        (!came.is_empty()).then_some(came)
    });
    assert_eq!(came.await.len(), 1);
    let nurse = nurse(story).await;
    let url = format!("{}/OperationOutcome/{}", nurse.base, looked.receipt);
    let kept = nurse.get(&url).await;
    assert_eq!(kept.status, 200, "{}", kept.json);
    assert_eq!(kept.json["id"], receipt(&looked.reply).id.unwrap());
    looks_up(story, &nurse).await.request
}

/// Both her look-ups are on the one trail that the municipality has there.
pub async fn its_trail_is_one(data: &Path, requests: [&String; 2]) {
    let folder = format!("{OWN_GATEWAY}/{FJELLVIK}");
    for request in requests {
        let found = records(data, &folder, FJELLVIK, request).await;
        assert_eq!(found.len(), 1, "{request}");
    }
}
