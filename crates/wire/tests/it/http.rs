//! The bare client against peers that redirect, never end, or lie where they must not be reached.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use wire::client::{Http, Network, PeerError, Policy, Request};

use crate::region::{listen, serve};

async fn peer() -> String {
    let endless = || async {
        let chunks =
            stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024])));
        Body::from_stream(chunks).into_response()
    };
    let silent = || async { std::future::pending::<()>().await };
    let half = || async {
        Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()).into_response()
    };
    let router = Router::new()
        .route("/elsewhere", get(|| async { Redirect::temporary("/here") }))
        .route("/here", get(|| async { "here" }))
        .route("/endless", get(endless))
        .route("/long", get(|| async { "x".repeat(2048) }))
        .route("/half", get(half))
        .route("/silent", get(silent));
    let (listener, address) = listen().await;
    serve(listener, router);
    address
}

fn client() -> Http {
    Http::new(Policy::loopback()).unwrap()
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let answer = client()
        .send(&Request::get(format!("{}/elsewhere", peer().await)))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn the_cap_on_an_answer_holds_announced_or_endless() {
    let peer = peer().await;
    for path in ["endless", "long"] {
        let request = Request::get(format!("{peer}/{path}")).answer_bytes(2000);
        assert_eq!(
            client().send(&request).await.unwrap_err(),
            PeerError::TooLong,
            "{path}"
        );
    }
    let whole = client()
        .send(&Request::get(format!("{peer}/long")).answer_bytes(2048))
        .await
        .unwrap();
    assert_eq!(whole.body.len(), 2048);
}

#[tokio::test]
async fn the_deadline_covers_header_and_body() {
    let peer = peer().await;
    for path in ["silent", "half"] {
        let request = Request::get(format!("{peer}/{path}")).deadline(Duration::from_millis(50));
        assert_eq!(
            client().send(&request).await.unwrap_err(),
            PeerError::Late,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_told_as_such() {
    let (listener, address) = listen().await;
    drop(listener);
    assert_eq!(
        client().send(&Request::get(address)).await.unwrap_err(),
        PeerError::Connect
    );
}

#[tokio::test]
async fn addresses_outside_the_policy_are_never_dialled() {
    let peer = peer().await;
    let port = peer.rsplit(':').next().unwrap();
    let strict = Http::new(Policy::default()).unwrap();
    for url in [
        peer.clone(),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        "http://2130706433/".to_owned(),
        "http://169.254.169.254/latest".to_owned(),
    ] {
        assert!(
            matches!(
                strict.send(&Request::get(&url)).await,
                Err(PeerError::Address(_))
            ),
            "{url}"
        );
    }
    // A name is checked when it is dialled: it leads to loopback, which only an allowed network opens. Without any such
    // network plain http leads nowhere, and is not even resolved.
    let named = Request::get(format!("http://localhost:{port}/here"));
    assert!(matches!(
        strict.send(&named).await,
        Err(PeerError::Address(_))
    ));
    assert_eq!(client().send(&named).await.unwrap().body, "here");
    let elsewhere = Http::new(Policy {
        allow: vec![Network::parse("10.0.0.0/8").unwrap()],
    })
    .unwrap();
    assert_eq!(
        elsewhere.send(&named).await.unwrap_err(),
        PeerError::Connect
    );
    for url in [
        "ftp://127.0.0.1/",
        "http://user@127.0.0.1/",
        "not a url",
        "file:///etc/passwd",
    ] {
        assert!(
            matches!(
                client().send(&Request::get(url)).await,
                Err(PeerError::Address(_))
            ),
            "{url}"
        );
    }
}

/// A name that leads somewhere else each time it is asked for, and how often it was.
fn changing(leads: &'static [&'static [&'static str]]) -> (wire::client::Names, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let names: wire::client::Names = Arc::new(move |_| {
        let turn = counted.fetch_add(1, Ordering::SeqCst);
        let found = leads[turn.min(leads.len() - 1)].iter();
        let found: Vec<IpAddr> = found.map(|address| address.parse().unwrap()).collect();
        Box::pin(std::future::ready(Ok(found)))
    });
    (names, asked)
}

#[tokio::test]
async fn a_name_is_judged_by_where_it_leads_at_each_dial() {
    // First where it may, then to the machine's own metadata, then home again: DNS rebinding.
    let (names, asked) = changing(&[
        &["127.0.0.1"],
        &["169.254.169.254"],
        &["10.0.0.1", "::ffff:10.0.0.1", "fe80::1"],
        &["10.0.0.1", "127.0.0.1"],
    ]);
    let client = Http::with_names(Policy::loopback(), names).unwrap();
    let router = Router::new().route(
        "/here",
        get(|| async { ([("connection", "close")], "here") }),
    );
    let (listener, address) = listen().await;
    serve(listener, router);
    let port = address.rsplit(':').next().unwrap().to_owned();
    let call = async || {
        let request = Request::get(format!("http://peer.example:{port}/here"));
        client.send(&request).await.map(|answer| answer.body)
    };
    assert_eq!(call().await.unwrap(), "here");
    assert_eq!(call().await.unwrap_err(), PeerError::Connect);
    assert_eq!(call().await.unwrap_err(), PeerError::Connect);
    // Of several addresses only the permitted ones are dialled.
    assert_eq!(call().await.unwrap(), "here");
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}
