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
    tokio::spawn(serve(listener, router, None, std::future::pending()));
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
