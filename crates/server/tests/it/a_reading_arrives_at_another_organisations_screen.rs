//! The main story: a reading goes from a kitchen table to a screen at another organisation, and both sides can tell.

use crate::kit::lookup::{Screen, WEIGHT, find, receipt, request_id, source};
use crate::kit::reading::{Weight, member_order};
use crate::kit::wait::until;
use crate::kit::{region, stores};
use testkit::region::Region;
use trust::audit::Outcome;
use trust::keys::KeySet;
use wire::client::{Party, Request};
use wire::contract::demo::{ClientFile, ClientUse};
use wire::contract::hub::{Delivery, Progress, WRITE_SCOPE};
use wire::receipt::SourceState;

#[tokio::test]
async fn a_reading_arrives_with_decimals_order_route_receipt_and_audit_on_both_sides() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let patient = region.story_patient().unwrap().clone();
    let home = region.party(ClientUse::HomeSystem, None).unwrap();
    let municipality = home.organisation().to_owned();
    let weight = Weight::of(patient.fnr.expose());

    // Sent from home, acknowledged, and delivered to both of the municipality's receivers.
    let sent = home
        .send(
            &region.hub(),
            WRITE_SCOPE,
            Request::post_fhir(format!("{}/Observation", region.hub()), weight.json()),
        )
        .await
        .unwrap();
    assert_eq!(sent.status, 201);
    let key = sent.headers["location"]
        .to_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let delivery = delivered(region, &home, &key).await;
    assert_eq!(
        delivery.receivers.len(),
        2,
        "record system and sharing service: {delivery:?}"
    );

    // Looked up by the hospital's physician.
    let screen = Screen::physician(region, &patient).await;
    let reply = screen
        .search_for(&patient, "Observation", &[("code", WEIGHT)])
        .await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    let found = find(&reply, &weight.identifier).expect("the reading");
    assert!(
        found.text.contains(r#""value":61.40"#),
        "the last zero is gone"
    );
    let kept: Vec<String> = member_order(&found.text)
        .into_iter()
        .filter(|name| name != "id" && name != "meta")
        .collect();
    assert_eq!(kept, member_order(&weight.json()));
    assert_eq!(found.routes, [municipality.as_str()]);

    // Every source is accounted for, and the gateway signs for it.
    let account = receipt(&reply);
    assert!(account.is_whole(), "{:?}", account.sources);
    let theirs = source(&account, &municipality);
    assert_eq!(
        (theirs.state, theirs.endpoint.as_deref()),
        (
            SourceState::Complete,
            Some(region.service("fjellvik").unwrap().fhir.as_str())
        )
    );
    assert!(
        theirs.count > 0 && theirs.milliseconds.is_some() && theirs.as_of.is_some(),
        "{theirs:?}"
    );
    wire::receipt::verify(reply.outcomes()[0], &gateway_keys(region))
        .expect("the gateway's signature");

    // On record at both sides under one request id, with what was disclosed.
    let id = request_id(&reply);
    let shown: serde_json::Value = serde_json::from_str(&found.text).unwrap();
    let physician = region.physician().unwrap().clone();
    let data = region.data().to_owned();
    let (status, _) = own.region.stop().await.unwrap();
    assert!(status.success());
    for (folder, owner) in [
        ("sharing/fjellvik", "fjellvik"),
        (
            &format!("gateway/{}", physician.orgnr),
            physician.orgnr.as_str(),
        ),
    ] {
        let records = stores::records(&data, folder, owner, &id).await;
        let [record] = &records[..] else {
            panic!("{folder}: {} records", records.len())
        };
        assert_eq!(record.outcome, Outcome::Allowed, "{folder}");
        let disclosed = record
            .disclosed
            .iter()
            .find(|one| shown["id"] == one.id.as_str())
            .expect("what was disclosed");
        assert_eq!(
            (
                disclosed.resource.as_str(),
                disclosed.version.to_string().as_str()
            ),
            ("Observation", shown["meta"]["versionId"].as_str().unwrap())
        );
        assert_eq!(
            record
                .patient
                .as_ref()
                .map(|p| p.value().expose().to_owned())
                .as_deref(),
            Some(patient.fnr.expose())
        );
        let who = record.person.as_ref().expect("a person");
        assert_eq!(who.identifier.value().expose(), physician.fnr.expose());
        assert!(
            record.purpose.is_some() && record.decision_ref.is_some(),
            "{folder}: no documented need"
        );
    }
    stores::all_trails_are_whole(&data).await;
}

/// Waits until each receiver has the entry.
async fn delivered(region: &Region, home: &Party, key: &str) -> Delivery {
    until("every receiver has the reading", async || {
        let request = Request::get(format!("{}/deliveries/{key}", region.ready.hub));
        let delivery: Delivery = home
            .send(&region.hub(), WRITE_SCOPE, request)
            .await
            .unwrap()
            .json()
            .unwrap();
        delivery
            .receivers
            .iter()
            .all(|receiver| receiver.state == Progress::Delivered)
            .then_some(delivery)
    })
    .await
}

/// The gateway's registered public key.
fn gateway_keys(region: &Region) -> KeySet {
    let client = region
        .ready
        .clients
        .iter()
        .find(|c| c.use_ == ClientUse::Gateway)
        .unwrap();
    let file: ClientFile = serde_json::from_slice(&std::fs::read(&client.file).unwrap()).unwrap();
    let key = trust::keys::SigningKey::from_jwk(&file.jwk.0.to_string()).unwrap();
    KeySet::of(vec![key.public().clone()]).unwrap()
}
