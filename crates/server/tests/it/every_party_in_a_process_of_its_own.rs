//! The whole way with every party apart: anchor, catalogue, locator, hub, two sharing services and gateway as `delt serve`
//! processes with own ports and folders, and a record system as the story's own peer (issue 2, item 3).

use crate::kit::apart::{Apart, FJELLVIK, PROVEHEIM};
use crate::kit::lookup::{FNR, WEIGHT, find, receipt, source};
use crate::kit::process::Serving;
use crate::kit::reading::Weight;
use crate::kit::wait::until;
use std::collections::HashMap;
use testkit::clients::{Caller, Reply, now};
use testkit::feed::Feed;
use testkit::home_system::HomeSystem;
use testkit::issuer::Issuer;
use testkit::people::Directory;
use wire::Stop;
use wire::client::Request;
use wire::receipt::SourceState;

const PARTS: [(&str, &[&str]); 7] = [
    ("anchor", &["anchor"]),
    ("catalogue", &["catalogue"]),
    ("locator", &["locator"]),
    ("hub", &["hub"]),
    ("proveheim", &["sharing:proveheim"]),
    ("fjellvik", &["sharing:fjellvik"]),
    ("gateway", &["gateway"]),
];

#[tokio::test]
async fn a_reading_goes_from_process_to_process_and_a_stopped_one_is_accounted_for() {
    let region = Apart::new(&PARTS, "").await;
    let mut running: HashMap<&str, Serving> = HashMap::new();
    for (part, _) in PARTS {
        running.insert(part, region.start(part).await);
    }
    let stop = Stop::new();
    let epj = region.open_record_system(&stop).await;
    let patient = &Directory::demo().story_patient().number;

    // From home to the municipality's two receivers; from the hospital's record system to its own service.
    let weight = Weight::of(patient);
    let home = HomeSystem::new(region.party("home"), &region.base("hub"));
    assert_eq!(home.send_one(weight.json()).await.unwrap().status, 201);
    until("the record system has the reading", async || {
        (epj.received().readings == 1).then_some(())
    })
    .await;
    let own = Weight {
        value: "61.9",
        ..Weight::of(patient)
    };
    let feed = Feed::new(
        region.party("epj-proveheim"),
        "proveheim",
        &region.base("sharing:proveheim"),
    );
    feed.create("Observation", own.json()).await.unwrap();

    // The locator hears of both; the hospital's physician sees both.
    let screen = Physician::at(&region).await;
    let reply = until("both readings are shown", async || {
        let reply = screen.look_up(&region).await;
        (reply.status == 200
            && find(&reply, &weight.identifier).is_some()
            && find(&reply, &own.identifier).is_some())
        .then_some(reply)
    })
    .await;
    let found = find(&reply, &weight.identifier).unwrap();
    assert!(found.text.contains(r#""value":61.40"#) && found.routes == [FJELLVIK]);
    let account = receipt(&reply);
    assert!(account.is_whole(), "{:?}", account.sources);
    assert_eq!(
        source(&account, FJELLVIK).endpoint,
        Some(region.base("sharing:fjellvik"))
    );

    // The municipality's service stops: only its data is missing, and the receipt says so.
    assert!(running.remove("fjellvik").unwrap().stop().await.success());
    let reply = screen.look_up(&region).await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    assert!(find(&reply, &own.identifier).is_some() && find(&reply, &weight.identifier).is_none());
    let account = receipt(&reply);
    assert_eq!(
        (
            source(&account, FJELLVIK).state,
            source(&account, PROVEHEIM).state
        ),
        (SourceState::Failed, SourceState::Complete)
    );

    // What is sent meanwhile waits at the hub, and comes when the service is back.
    let later = Weight {
        value: "62.10",
        ..Weight::of(patient)
    };
    assert_eq!(home.send_one(later.json()).await.unwrap().status, 201);
    running.insert("fjellvik", region.start("fjellvik").await);
    let reply = until("the reading that waited is shown", async || {
        let reply = screen.look_up(&region).await;
        find(&reply, &later.identifier).is_some().then_some(reply)
    })
    .await;
    assert!(find(&reply, &weight.identifier).is_some() && receipt(&reply).is_whole());

    no_test_tokens(&region).await;
    stop.stop();
    for (part, serving) in running {
        assert!(
            !serving.said().contains("panic"),
            "{part}: {}",
            serving.said()
        );
        assert!(serving.stop().await.success(), "{part}");
    }
}

/// Outside the demo nobody gets a token for the asking.
async fn no_test_tokens(region: &Apart) {
    let url = format!(
        "{}{}",
        region.base("anchor"),
        wire::contract::demo::TEST_TOKEN
    );
    let reply = Caller::new()
        .unwrap()
        .send_bare(Request::post(url, "application/json", "{}"))
        .await
        .unwrap();
    assert_eq!(reply.status, 404);
}

/// The hospital's physician with a token for the gateway.
struct Physician {
    caller: Caller,
    token: String,
}

impl Physician {
    /// Sign-in comes with the trust issue, and test tokens do not exist here: the story, which owns the anchor's folder,
    /// signs the token with the anchor's own key, as the anchor would after a sign-in.
    async fn at(region: &Apart) -> Physician {
        let directory = Directory::demo();
        let caller = Caller::new().unwrap();
        let who = directory.practitioner("lung-physician").unwrap();
        let shape = Issuer::start().await.unwrap();
        let audience = region.audience("gateway");
        let mut claims = shape
            .practitioner_claims(
                who,
                PROVEHEIM,
                directory.story_patient(),
                &audience,
                caller.jkt(),
                now(),
            )
            .unwrap();
        claims.iss = region.base("anchor");
        let key =
            std::fs::read_to_string(region.data("anchor").join("anchor/signing-key.json")).unwrap();
        let key = trust::keys::SigningKey::from_jwk(key.trim()).unwrap();
        Physician {
            token: trust::token::issue(&claims, &key).unwrap(),
            caller,
        }
    }

    async fn look_up(&self, region: &Apart) -> Reply {
        let person = format!("{FNR}|{}", Directory::demo().story_patient().number);
        let form = [("patient.identifier", person.as_str()), ("code", WEIGHT)];
        self.caller
            .search(
                &self.token,
                &region.audience("gateway"),
                "Observation",
                &form,
            )
            .await
            .expect("an answer")
    }
}
