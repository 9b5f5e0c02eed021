//! The feed against a small double of a sharing service that keeps versions and conditions.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use crate::calendar::Calendar;
use crate::clients::now;
use crate::issuer::{Issuer, SystemClient};
use crate::people::Directory;
use crate::story::Scenario;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use http::HeaderMap;
use serde_json::json;
use std::sync::{Arc, Mutex};
use trust::ClientUse;
use wire::client::{Http, Policy};

/// Resources by identifier value: body, version, withdrawn.
type Shelf = Arc<Mutex<HashMap<String, (Value, u64, bool)>>>;

fn identifier(resource: &Value) -> String {
    resource["identifier"][0]["value"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The identifier's UUID serves as the logical id.
fn logical(identifier: &str) -> &str {
    identifier.strip_prefix("urn:uuid:").unwrap()
}

async fn batch(State(shelf): State<Shelf>, body: String) -> Response {
    let bundle: Value = serde_json::from_str(&body).unwrap();
    let mut shelf = shelf.lock().unwrap();
    let entries: Vec<Value> = bundle["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let resource = &entry["resource"];
            let name = identifier(resource);
            let (status, version) = match shelf.get(&name) {
                None => {
                    shelf.insert(name.clone(), (resource.clone(), 1, false));
                    ("201", 1)
                }
                Some((known, version, false)) if known == resource => ("200", *version),
                Some(_) => return json!({ "response": { "status": "422" } }),
            };
            let location = format!("{}/{}/_history/{version}", resource["resourceType"].as_str().unwrap(), logical(&name));
            json!({ "response": { "status": status, "location": location, "etag": format!("W/\"{version}\"") } })
        })
        .collect();
    axum::Json(json!({ "resourceType": "Bundle", "type": "batch-response", "entry": entries }))
        .into_response()
}

/// Takes the change if the condition names the current version; gives the new version.
fn changed(shelf: &Shelf, id: &str, headers: &HeaderMap, body: Option<Value>) -> Response {
    let mut shelf = shelf.lock().unwrap();
    let Some((known, version, withdrawn)) = shelf.get_mut(&format!("urn:uuid:{id}")) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if headers[header::IF_MATCH] != format!("W/\"{version}\"") || *withdrawn {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    *version += 1;
    match body {
        Some(body) => {
            assert_eq!(body["id"], id);
            *known = body;
        }
        None => *withdrawn = true,
    }
    ([(header::ETAG, format!("W/\"{version}\""))], "").into_response()
}

async fn update(
    State(shelf): State<Shelf>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: String,
) -> Response {
    changed(
        &shelf,
        &id,
        &headers,
        Some(serde_json::from_str(&body).unwrap()),
    )
}

async fn remove(
    State(shelf): State<Shelf>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    changed(&shelf, &id, &headers, None)
}

async fn feed_of(service: &str) -> (Feed, Shelf) {
    let issuer = Issuer::start().await.unwrap();
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let base = format!("http://{}/fhir", listener.local_addr().unwrap());
    let shelf = Shelf::default();
    let router = Router::new()
        .route("/fhir", post(batch))
        .route("/fhir/{kind}/{id}", put(update).delete(remove))
        .with_state(shelf.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let orgnr = Directory::demo().orgnr(service);
    let client = SystemClient {
        client_id: "epj",
        use_: ClientUse::RecordSystem,
        orgnr,
    };
    let file = issuer.client_file(client, &base).unwrap();
    let party = Party::new(
        file,
        Http::new(Policy::loopback()).unwrap(),
        Arc::new(now),
        Arc::new(uuid::Uuid::new_v4),
    );
    (Feed::new(party.unwrap(), service, &base), shelf)
}

fn story() -> Vec<Event> {
    let calendar = Calendar::from_day0("2026-11-17".parse().unwrap());
    Scenario::kols()
        .unwrap()
        .events(Directory::demo(), &calendar, fhir::time::Instant(i64::MAX))
        .unwrap()
}

#[tokio::test]
async fn the_gps_feed_creates_corrects_and_withdraws_and_twice_is_once() {
    let (feed, shelf) = feed_of("provebakken").await;
    let events = story();
    let mine: Vec<&Event> = events
        .iter()
        .filter(|e| e.service == "provebakken")
        .collect();
    let first = feed.play(&events, |_, _| {}).await.unwrap();
    assert_eq!(
        (first.accepted, first.superseded, first.refused.len()),
        (mine.len(), 0, 0)
    );
    let after: HashMap<_, _> = shelf.lock().unwrap().clone();
    let weight = crate::observation::identifier("kols/gp-slips/-595/13:20/weight").1;
    assert_eq!(
        (
            &after[&weight].0["valueQuantity"]["value"],
            after[&weight].1
        ),
        (&json!(63.9), 2)
    );
    let withdrawn = crate::observation::identifier("kols/gp-slips/-447/10:05/bp").1;
    assert!(after[&withdrawn].2);
    let second = feed.play(&events, |_, _| {}).await.unwrap();
    assert_eq!(second.refused, []);
    assert_eq!(
        second.superseded, 4,
        "the two slips and their two changes are there already"
    );
    assert_eq!(*shelf.lock().unwrap(), after);
}

#[tokio::test]
async fn everything_goes_by_every_way_at_once_and_an_event_without_a_way_is_said() {
    let (gp, _) = feed_of("provebakken").await;
    let (hospital, _) = feed_of("proveheim").await;
    let (municipality, _) = feed_of("fjellvik").await;
    let feeds = [gp, hospital, municipality];
    let error = crate::deliver::deliver(&story(), &[], &feeds, |_, _| {})
        .await
        .unwrap_err();
    assert!(
        matches!(error, SendError::NoWay(Route::Hub { .. })),
        "{error}"
    );
    let fed: Vec<Event> = story()
        .into_iter()
        .filter(|e| matches!(e.route, Route::Feed { .. }))
        .collect();
    let mut heard = Vec::new();
    let report = crate::deliver::deliver(&fed, &[], &feeds, |done, of| heard.push((done, of)))
        .await
        .unwrap();
    assert_eq!((report.accepted, report.refused.len()), (fed.len(), 0));
    assert_eq!(heard.last(), Some(&(fed.len(), fed.len())));
}

#[tokio::test]
async fn the_municipalitys_plan_ends_when_the_next_begins() {
    let (feed, shelf) = feed_of("fjellvik").await;
    let report = feed.play(&story(), |_, _| {}).await.unwrap();
    assert_eq!((report.accepted, report.refused.len()), (3, 0));
    let shelf = shelf.lock().unwrap();
    let plan =
        |id: &str| &shelf[&crate::observation::identifier(&crate::care_plan::key("kols", id)).1];
    assert_eq!(
        (plan("v1").0["status"].as_str(), plan("v1").1),
        (Some("completed"), 2)
    );
    assert_eq!(
        plan("v1").0["period"]["end"],
        plan("v2").0["period"]["start"]
    );
    assert_eq!(
        (plan("v2").0["status"].as_str(), plan("v2").1),
        (Some("active"), 1)
    );
}

#[test]
fn the_id_goes_in_and_nothing_else_changes() {
    let body = br#"{"resourceType":"Observation","status":"final","valueQuantity":{"value":61.4}}"#;
    let text = String::from_utf8(with_id(body, "abc").unwrap()).unwrap();
    assert_eq!(
        text,
        r#"{"resourceType":"Observation","id":"abc","status":"final","valueQuantity":{"value":61.4}}"#
    );
    assert!(with_id(b"[]", "abc").is_none());
}
