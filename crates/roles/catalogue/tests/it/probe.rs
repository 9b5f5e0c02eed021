//! What the catalogue sees at the addresses it lists: shown, never hidden, and no reason to dial where it may not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use url::Url;
use wire::contract::statement::PROBE;

use crate::world::{FJELLVIK, PROVEHEIM, World, config, house};

/// A peer that says it is an organisation's service, and counts how often it is asked.
async fn peer(orgnr: &'static str) -> (Url, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let answer = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let system = "urn:oid:2.16.578.1.12.4.1.4.101";
        std::future::ready(axum::Json(json!({
            "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
            "implementation": {"custodian": {"identifier": {"system": system, "value": orgnr}}},
        })))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/fhir", listener.local_addr().unwrap());
    let router = Router::new().route("/fhir/metadata", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Url::parse(&url).unwrap(), asked)
}

/// What an Endpoint's probe says, and its status.
async fn seen(world: &World, service: &str) -> (Value, String) {
    let reply = world
        .get(&format!("/fhir/Endpoint?identifier={service}"))
        .await;
    let entry = &reply.json["entry"][0]["resource"];
    let all = entry["extension"].as_array().unwrap();
    let probe = all.iter().find(|one| one["url"] == PROBE).cloned();
    let mut said = json!({});
    for one in probe
        .iter()
        .flat_map(|probe| probe["extension"].as_array().unwrap())
    {
        let value = one
            .as_object()
            .unwrap()
            .iter()
            .find(|(name, _)| name.starts_with("value"));
        said[one["url"].as_str().unwrap()] = value.unwrap().1.clone();
    }
    (said, entry["status"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_answers_is_shown_and_a_takeover_is_flagged() {
    let world = World::new().await;
    let (issuer, clock) = (world.issuer.clone(), world.clock.clone());
    let kept = world.close();
    let mut config = config(issuer.url());
    let (own, asked) = peer(PROVEHEIM).await;
    let (taken, _) = peer(PROVEHEIM).await;
    config.services[0].fhir = own;
    config.services[1].fhir = taken;
    // An address that this catalogue's network does not allow is listed by its operator and never dialled.
    config.services[2].fhir = Url::parse("http://10.0.0.1/fhir").unwrap();
    let state = catalogue::open(config, house(kept.path(), &clock))
        .await
        .unwrap();
    let world = World::around(issuer, clock, state, kept);
    assert_eq!(
        seen(&world, "proveheim").await,
        (json!({}), "active".to_owned())
    );

    world.state.probe().await;
    let (proveheim, status) = seen(&world, "proveheim").await;
    assert_eq!(
        (
            proveheim["reachable"].clone(),
            proveheim["owner"].clone(),
            status.as_str()
        ),
        (json!(true), json!("same"), "active")
    );
    assert_eq!(proveheim["fhirVersion"], "4.0.1");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Prøveheim answers where Fjellvik is said to be.
    let (fjellvik, status) = seen(&world, "fjellvik").await;
    assert_eq!(
        (fjellvik["owner"].clone(), status.as_str()),
        (json!("other"), "error"),
        "{FJELLVIK}"
    );
    let (kyst, status) = seen(&world, "kystregionen").await;
    assert_eq!(
        (kyst["reachable"].clone(), status.as_str()),
        (json!(false), "active")
    );
    assert_eq!(
        kyst["fault"],
        "the address is not allowed: network not allowed"
    );
}
