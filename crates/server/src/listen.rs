//! HTTP/1.1 on one listener: strict framing, header limits, and a stop that lets requests under way finish.

use axum::Router;
use axum::response::IntoResponse;
use http::StatusCode;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use wire::client::Network;
use wire::doorstep::Doorstep;
use wire::pace::Rate;

use crate::config::Listen;
use crate::faults::{Dropped, Faults};
use crate::unread::Rest;

/// How long a stop waits for requests under way.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a client may take to send its header.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Connections open at the same time; more wait in the system's queue until one ends.
const CONNECTIONS: usize = 4_096;
/// The largest header block.
const HEADER_BYTES: usize = 32 * 1024;

/// Serves `router` on `listener` until `stop` resolves; then accepts nothing more and drains. Where there is a `doorstep`, each
/// request is marked with where it comes from.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    doorstep: Option<Arc<Doorstep>>,
    faults: Option<Faults>,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::pin!(stop);
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = &mut stop => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Out of descriptors or a peer gone before we looked: shed this one, go on.
                    tracing::warn!(error = %e, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let faults = faults.clone();
        let knock = doorstep.as_ref().map(|door| door.knock(peer.ip()));
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let router = router.clone();
            let faults = faults.clone();
            if let Some(knock) = &knock {
                request.extensions_mut().insert(knock.clone());
            }
            async move {
                if header_bytes(&request) > HEADER_BYTES {
                    return Ok(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response());
                }
                let (request, rest) = Rest::of(request);
                let response = match faults {
                    Some(faults) => faults.pass(request, router).await?,
                    None => router
                        .oneshot(request)
                        .await
                        .unwrap_or_else(|never| match never {}),
                };
                rest.read_away().await;
                Ok::<_, Dropped>(response)
            }
        });
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            let _place = place;
            if let Err(e) = connection.await {
                tracing::debug!(error = %e, "a connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests were still under way when the drain time was over");
    }
}

/// How often each address may come to launch and sign in, as the configuration says.
pub fn doorstep(listen: &Listen, clock: store::Clock) -> Arc<Doorstep> {
    let per_minute = listen.sign_ins_per_minute.get();
    let rate = Rate {
        per_minute,
        at_once: per_minute,
    };
    let proxies = listen.trusted_proxies.iter();
    Doorstep::new(
        rate,
        clock,
        proxies.filter_map(|one| Network::parse(one)).collect(),
    )
}

/// How long a header block is. hyper bounds its buffer, which takes somewhat more than that in one go.
fn header_bytes(request: &Request<Incoming>) -> usize {
    let asked = request.uri().path_and_query();
    let line = request.method().as_str().len() + asked.map_or(0, |asked| asked.as_str().len());
    let fields = request.headers().iter();
    // `: ` and the line's end with each.
    line + fields
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum::<usize>()
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
