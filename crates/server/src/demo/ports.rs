//! Which port the demo listens on (CONTRACT section 2): 7070 unless named; any free one if nobody named it and it is taken
//! at the first start; kept afterwards, and then a taken port is an error that says so.

use anyhow::anyhow;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use wire::contract::demo::DEFAULT_PORT;

/// Binds the demo's listener. `named` is `--port`, `kept` what an earlier start used.
pub async fn bind(named: Option<u16>, kept: Option<u16>) -> anyhow::Result<TcpListener> {
    match (named, kept) {
        (Some(0), _) => on(0).await.map_err(|e| anyhow!("no free port: {e}")),
        (Some(port), _) | (None, Some(port)) => on(port).await.map_err(|e| {
            anyhow!("port {port} is taken ({e}); stop what uses it, or choose another with --port")
        }),
        (None, None) => match on(DEFAULT_PORT).await {
            Ok(listener) => Ok(listener),
            Err(_) => on(0).await.map_err(|e| anyhow!("no free port: {e}")),
        },
    }
}

async fn on(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kept_port_that_is_taken_is_an_error_that_names_it() {
        let taken = on(0).await.expect("a free port");
        let port = taken.local_addr().expect("an address").port();
        for (named, kept) in [(Some(port), None), (None, Some(port))] {
            let words = bind(named, kept).await.expect_err("taken").to_string();
            assert!(
                words.contains(&port.to_string()) && words.contains("--port"),
                "{words}"
            );
        }
        bind(Some(0), Some(port)).await.expect("0 always means any");
    }
}
