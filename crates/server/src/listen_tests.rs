//! What a listener takes of a header, and how long it waits for one (threats-and-faults section 3).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the listener says to these bytes before it closes the connection.
async fn said(address: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A connection that is refused midway is an answer, too.
    let _ = stream.write_all(sent.as_bytes()).await;
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_header_block_that_is_too_long_is_refused_and_one_that_does_not_come_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(|| async { "here" });
    tokio::spawn(serve(listener, router, None, None, std::future::pending()));
    let with = |bytes: usize| {
        let filler = "a".repeat(bytes);
        format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {filler}\r\n\r\n")
    };
    let fits = said(address, &with(HEADER_BYTES - 1024)).await;
    assert!(fits.starts_with("HTTP/1.1 200"), "{fits}");
    for bytes in [HEADER_BYTES, 4 * HEADER_BYTES] {
        let long = said(address, &with(bytes)).await;
        assert!(
            long.is_empty() || long.starts_with("HTTP/1.1 431"),
            "{bytes}: {long}"
        );
    }
    // From here on time passes where nothing else happens.
    for sent in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        tokio::time::pause();
        let began = tokio::time::Instant::now();
        let nothing = said(address, sent).await;
        let waited = began.elapsed();
        assert!(
            nothing.is_empty() || nothing.starts_with("HTTP/1.1 408"),
            "{nothing}"
        );
        let late = HEADER_TIME + Duration::from_secs(1);
        assert!(waited <= late, "{sent:?}: {waited:?}");
        assert!(
            waited >= HEADER_TIME - Duration::from_secs(1),
            "{sent:?}: {waited:?}"
        );
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_browser_that_comes_too_often_is_turned_away_and_told_when_to_come_again() {
    use wire::route::{Access, RouteRow, Routes};
    const ROWS: &[RouteRow] = &[
        RouteRow {
            method: "GET",
            path: "/launch",
            access: Access::Arrival,
        },
        RouteRow {
            method: "GET",
            path: "/open",
            access: Access::Public,
        },
    ];
    let ids: store::Ids = Arc::new(uuid::Uuid::new_v4);
    let router = Routes::of(ROWS)
        .on("GET", "/launch", || async { "here" })
        .on("GET", "/open", || async { "open" })
        .build((), wire::request_id::Join::Front, ids);
    let listen = |proxies: &[&str]| Listen {
        address: ([127, 0, 0, 1], 0).into(),
        trusted_proxies: proxies.iter().map(|one| (*one).to_owned()).collect(),
        sign_ins_per_minute: 2.try_into().unwrap(),
    };
    let still: store::Clock = Arc::new(|| fhir::time::Instant(1));
    let start = async |proxies: &[&str]| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = doorstep(&listen(proxies), still.clone());
        let serving = serve(
            listener,
            router.clone(),
            Some(door),
            None,
            std::future::pending(),
        );
        tokio::spawn(serving);
        address
    };
    let ask = async |address, path: &str, from: &str| {
        let sent = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: {from}\r\n\r\n"
        );
        said(address, &sent).await
    };

    // Nobody's word about where she comes from counts here.
    let address = start(&[]).await;
    for from in ["198.51.100.1", "198.51.100.2"] {
        let answer = ask(address, "/launch", from).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let answer = ask(address, "/launch", "198.51.100.3").await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 30\r\n"), "{answer}");
    assert!(answer.contains("Vent 30 sekunder"), "{answer}");
    let answer = ask(address, "/open", "198.51.100.3").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // That of the proxy in front does: who takes everything she may take keeps nobody else out.
    let address = start(&["127.0.0.0/8"]).await;
    for expected in ["200", "200", "429"] {
        let answer = ask(address, "/launch", "198.51.100.1").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected}")),
            "{answer}"
        );
    }
    let answer = ask(address, "/launch", "198.51.100.2").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
