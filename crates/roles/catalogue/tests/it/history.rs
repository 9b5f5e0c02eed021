//! `_history`: what a copy elsewhere is fed by, in pages that stay what they are.

use http::StatusCode;
use serde_json::Value;
use wire::contract::statement::{Said, Statement, carried};

use crate::statements::Region;

fn told(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    entries
        .iter()
        .map(|one| {
            let url = one["request"]["url"].as_str().unwrap();
            let kind = url.split('/').next().unwrap();
            format!(
                "{} {kind} {}",
                one["request"]["method"].as_str().unwrap(),
                one["response"]["etag"].as_str().unwrap()
            )
        })
        .collect()
}

fn link(bundle: &Value, relation: &str) -> Option<String> {
    let links = bundle["link"].as_array().unwrap();
    let one = links.iter().find(|one| one["relation"] == relation)?;
    Some(one["url"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_copy_asks_since_and_hears_of_every_change_once() {
    let region = Region::new().await;
    let world = &region.world;
    let all = world.get("/fhir/_history").await;
    assert_eq!(
        (all.status, &all.json["total"]),
        (StatusCode::OK, &16.into())
    );
    assert_eq!(told(&all.json).len(), 16);
    let since = all.json["meta"]["lastUpdated"].as_str().unwrap().to_owned();
    let address = "http://127.0.0.1:9/ny/fhir";
    world.clock.advance(1_000_000);
    region
        .state(&region.says(&region.endpoint(address), 1))
        .await;
    world.clock.advance(1_000_000);
    let gone = Statement {
        said: Said::Withdrawn,
        resource: None,
        ..region.says(&region.endpoint(address), 2)
    };
    region.state(&gone).await;
    // At or after: what stood at that moment is told again.
    let news = world.get(&format!("/fhir/_history?_since={since}")).await;
    assert_eq!(
        told(&news.json)[..2],
        ["DELETE Endpoint W/\"3\"", "PUT Endpoint W/\"2\""]
    );
    let last = news.json["meta"]["lastUpdated"].as_str().unwrap();
    let news = world.get(&format!("/fhir/_history?_since={last}")).await;
    assert_eq!(told(&news.json), ["DELETE Endpoint W/\"3\""]);
    // A withdrawal can be verified as well.
    let entry = &news.json["entry"][0];
    assert!(entry.get("resource").is_none());
    let jws = carried(entry).unwrap();
    let claims = trust::jws::parse(jws, trust::jws::Embedded::Refused).unwrap();
    claims.verify(region.fjellvik.public()).unwrap();
    // By type and by entry.
    let endpoints = world
        .get(&format!("/fhir/Endpoint/_history?_since={last}"))
        .await;
    assert_eq!(told(&endpoints.json), ["DELETE Endpoint W/\"3\""]);
    let none = world
        .get(&format!("/fhir/Organization/_history?_since={last}"))
        .await;
    assert_eq!(
        (told(&none.json).len(), &none.json["total"]),
        (0, &0.into())
    );
    let one = world.get(&format!("/fhir/{}/_history", gone.sub)).await;
    assert_eq!(
        told(&one.json),
        [
            "DELETE Endpoint W/\"3\"",
            "PUT Endpoint W/\"2\"",
            "POST Endpoint W/\"1\""
        ]
    );
}

#[tokio::test]
async fn pages_stay_what_they_are_while_entries_change() {
    let region = Region::new().await;
    let world = &region.world;
    let whole = told(&world.get("/fhir/_history").await.json);
    let mut walked = Vec::new();
    let mut path = "/fhir/_history?_count=4".to_owned();
    let mut version = 1;
    loop {
        let page = world.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        walked.extend(told(&page.json));
        // Something changes between any two pages.
        let address = format!("http://127.0.0.1:9/{version}/fhir");
        region
            .state(&region.says(&region.endpoint(&address), version))
            .await;
        version += 1;
        match link(&page.json, "next") {
            Some(next) => path = next.strip_prefix(crate::world::BASE).unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(walked, whole);
}

#[tokio::test]
async fn a_renewal_takes_the_place_of_the_renewal_before_it() {
    let region = Region::new().await;
    let endpoint = region.endpoint("http://127.0.0.1:9/ny/fhir");
    for version in 1..=5 {
        region.world.clock.advance(600_000_000);
        let reply = region.state(&region.says(&endpoint, version)).await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    let sub = region.says(&endpoint, 1).sub;
    let all = region.world.get(&format!("/fhir/{sub}/_history")).await;
    // The configured one, the first that says something else, and the newest renewal.
    let kept = [
        "PUT Endpoint W/\"6\"",
        "PUT Endpoint W/\"2\"",
        "POST Endpoint W/\"1\"",
    ];
    assert_eq!(told(&all.json), kept);
    let path = format!("/fhir/{sub}/_history/4");
    assert_eq!(region.world.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(region.fjellviks().await["meta"]["versionId"], "6");
}

#[tokio::test]
async fn what_is_no_question_for_a_history_is_refused() {
    let region = Region::new().await;
    for query in [
        "_since=yesterday",
        "_count=0",
        "_count=-1",
        "_count=x",
        "_below=x",
        "_at=2026",
        "name=14835210260",
        "_count=1&_count=2",
    ] {
        let reply = region.world.get(&format!("/fhir/_history?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(!reply.json.to_string().contains("14835210260"));
    }
    for path in ["/fhir/Patient/_history", "/fhir/Endpoint/nobody/_history"] {
        assert_eq!(
            region.world.get(path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let mut small = region.world.claims();
    small.scope = "system/Endpoint.rs".into();
    let by = async |path| {
        region
            .world
            .send_as(&small, http::Method::GET, path, "")
            .await
            .status
    };
    assert_eq!(by("/fhir/Endpoint/_history").await, StatusCode::OK);
    assert_eq!(by("/fhir/_history").await, StatusCode::FORBIDDEN);
}
