//! A gateway that starts while the catalogue is down knows what it knew, and says since when; while the anchor is down it still
//! knows its callers (issue 5, "Bad days"). That an altered copy is refused is told in `crates/wire/src/last_copy.rs`.

use crate::kit::apart::{Apart, FJELLVIK, PROVEHEIM};
use crate::kit::lookup::{WEIGHT, find, receipt, source};
use crate::kit::reading::Weight;
use crate::kit::wait::until;
use testkit::clients::Reply;
use testkit::feed::Feed;
use testkit::people::Directory;
use wire::receipt::SourceState;

const PARTS: [(&str, &[&str]); 4] = [
    ("anchor", &["anchor"]),
    ("catalogue", &["catalogue"]),
    ("services", &["sharing"]),
    ("gateway", &["gateway"]),
];
const BOTH: [&str; 2] = [PROVEHEIM, FJELLVIK];

/// What became of the two sources, and why.
fn told(reply: &Reply) -> [(SourceState, String); 2] {
    let receipt = receipt(reply);
    BOTH.map(|one| {
        let line = source(&receipt, one);
        (line.state, line.reason.clone().unwrap_or_default())
    })
}

#[tokio::test]
async fn what_was_told_before_a_restart_serves() {
    let region = Apart::new(&PARTS, "").await;
    let anchor = region.start("anchor").await;
    let catalogue = region.start("catalogue").await;
    let services = region.start("services").await;
    let gateway = region.start("gateway").await;
    let reading = Weight::of(&Directory::demo().story_patient().number);
    let hospital = region.base("sharing:proveheim");
    let feed = Feed::new(region.party("epj-proveheim"), "proveheim", &hospital);
    feed.create("Observation", reading.json()).await.unwrap();
    let physician = region.physician().await;
    let look_up = async || {
        let code = [("code", WEIGHT)];
        physician.search_at(&BOTH, "Observation", &code).await
    };
    // The municipality is asked and has nothing of the kind.
    let words = String::new;
    let whole = [
        (SourceState::Complete, words()),
        (SourceState::Empty, words()),
    ];
    let first = until("both services are listed and answer", async || {
        let reply = look_up().await;
        (told(&reply) == whole).then_some(reply)
    })
    .await;
    assert!(receipt(&first).notices.is_empty());

    // The catalogue goes, and then the gateway starts.
    assert!(gateway.stop().await.success());
    assert!(catalogue.stop().await.success());
    let gateway = region.start("gateway").await;
    let reply = look_up().await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    assert_eq!(told(&reply), whole);
    assert!(find(&reply, &reading.identifier).is_some());
    let notices = receipt(&reply).notices;
    let says = |words: &str| notices.iter().any(|one| one.contains(words));
    assert!(
        says("the catalogue gives no usable answer since"),
        "{notices:?}"
    );
    assert!(says("the oldest copy in use is of"), "{notices:?}");

    // The anchor too: nobody gets a token for anybody, but the gateway knows its callers and gives back what it signed.
    assert!(gateway.stop().await.success());
    assert!(anchor.stop().await.success());
    let gateway = region.start("gateway").await;
    let reply = look_up().await;
    assert_eq!(reply.status, 502, "{}", reply.json);
    assert!(told(&reply).iter().all(|one| one.0 == SourceState::Failed));
    let id = receipt(&first).id.unwrap();
    let again = physician.receipt(&id).await;
    assert_eq!(again.status, 200, "{}", again.json);

    // What is kept is about no patient.
    assert!(gateway.stop().await.success());
    let file = region.data("gateway").join("gateway/last-copy");
    let copy = std::fs::read_to_string(&file).unwrap();
    assert!(copy.contains(&region.base("sharing:fjellvik")));
    let patient = &Directory::demo().story_patient().number;
    assert!(!copy.contains(patient.as_str()));
    assert!(!services.said().contains("panic"), "{}", services.said());
    assert!(services.stop().await.success());
}
