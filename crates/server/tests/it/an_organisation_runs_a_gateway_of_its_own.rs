//! Two gateways in one region, each a `delt serve` process of its own: the hospital's, and the municipality's by a file in which that is
//! the `[gateway]`. Neither answers to the other's users, and each goes on without the other.

use crate::kit::apart::{Apart, Client, FJELLVIK, More, PROVEHEIM};
use crate::kit::lookup::{WEIGHT, find, receipt, source};
use crate::kit::physician::Physician;
use crate::kit::reading::Weight;
use crate::kit::wait::until;
use testkit::clients::Reply;
use testkit::feed::Feed;
use testkit::people::Directory;
use wire::receipt::SourceState;

const COMMON: &str = "common";
const HOSPITALS: &str = "gateway";
const OWN: &str = "gateway-fjellvik";
const CLIENT: Client = (
    OWN,
    FJELLVIK,
    "gateway",
    &[
        "user/*.rs",
        "user/Pointer.r",
        "system/Organization.rs",
        "system/HealthcareService.rs",
        "system/Endpoint.rs",
        "system/OrganizationAffiliation.rs",
    ],
    &[
        "sharing:proveheim",
        "sharing:fjellvik",
        "catalogue",
        "locator",
    ],
);

fn base(region: &Apart) -> String {
    format!("http://127.0.0.1:{}/gateway", region.port_of(OWN))
}

/// What everybody but its own file says of it, and the agreement by which its people look up.
fn facts(region: &Apart) -> String {
    format!(
        "{}[[agreement]]\nid = \"AVT-2\"\nversion = 1\nconsumer = \"{FJELLVIK}\"\nprovider = \"{PROVEHEIM}\"\nservices = [\"IT17\"]\nfrom = \"2026-01-01\"\n",
        other(region)
    )
}

fn other(region: &Apart) -> String {
    let base = base(region);
    format!("[[other_gateway]]\norgnr = \"{FJELLVIK}\"\nbase = \"{base}\"\n\n")
}

/// Its own file: the same facts, and the gateway is this one.
fn write_own(region: &Apart) {
    let file = region.config(OWN);
    let text = std::fs::read_to_string(&file).unwrap();
    let theirs = region.base("gateway");
    let changed = text
        .replace(&other(region), "")
        .replace(
            &format!("base = \"{theirs}\""),
            &format!("base = \"{}\"", base(region)),
        )
        .replace("keys/gateway.json", &format!("keys/{OWN}.json"));
    assert_ne!(text, changed);
    std::fs::write(file, changed).unwrap();
}

/// Somebody of an organisation, at a gateway.
async fn somebody(region: &Apart, orgnr: &str, gateway: &str) -> Physician {
    let key = region.data(COMMON).join("anchor/signing-key.json");
    let audience = format!("{gateway}/fhir");
    Physician::signed(&key, &region.base("anchor"), orgnr, audience).await
}

async fn looks_up(who: &Physician) -> Reply {
    who.search_at(&[], "Observation", &[("code", WEIGHT)]).await
}

#[tokio::test]
async fn a_municipality_looks_up_at_its_own_gateway_and_the_hospital_at_its_own() {
    let more = More {
        facts,
        clients: &[CLIENT],
    };
    let parts = [
        (COMMON, &["anchor", "catalogue", "locator", "sharing"][..]),
        (HOSPITALS, &["gateway"][..]),
        (OWN, &["gateway"][..]),
    ];
    let region = Apart::with(&parts, "", "", more).await;
    write_own(&region);
    let common = region.start(COMMON).await;
    let theirs = region.start(HOSPITALS).await;
    let own = region.start(OWN).await;
    let weight = Weight::of(&Directory::demo().story_patient().number);
    let service = region.base("sharing:proveheim");
    let feed = Feed::new(region.party("epj-proveheim"), "proveheim", &service);
    feed.create("Observation", weight.json()).await.unwrap();

    let nurse = somebody(&region, FJELLVIK, &base(&region)).await;
    let physician = somebody(&region, PROVEHEIM, &region.base("gateway")).await;
    for who in [&nurse, &physician] {
        let reply = until("the reading is shown", async || {
            let reply = looks_up(who).await;
            find(&reply, &weight.identifier).is_some().then_some(reply)
        });
        let account = receipt(&reply.await);
        assert_eq!(source(&account, PROVEHEIM).state, SourceState::Complete);
    }
    // The hospital's stops: the municipality's people do not notice.
    assert!(theirs.stop().await.success());
    assert!(find(&looks_up(&nurse).await, &weight.identifier).is_some());
    // The municipality's stops, and is there again with the receipts that it had given.
    let given = receipt(&looks_up(&nurse).await).id.unwrap();
    let theirs = region.start(HOSPITALS).await;
    assert!(own.stop().await.success());
    assert!(find(&looks_up(&physician).await, &weight.identifier).is_some());
    let own = region.start(OWN).await;
    assert_eq!(nurse.receipt(&given).await.status, 200);
    assert!(find(&looks_up(&nurse).await, &weight.identifier).is_some());
    for serving in [own, theirs, common] {
        assert!(serving.stop().await.success());
    }
}
