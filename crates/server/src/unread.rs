//! What a handler leaves unread of a request's body is read away before its answer leaves (RFC 9112 section 9.6).
//!
//! A connection that is closed while bytes are still arriving is reset, and a sender in the middle of a body that is too
//! large, or that came without a token, would see a broken connection instead of the refusal.

use hyper::Request;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::EXPECT;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// At most so many bytes are read away; who sends more than this learns it the hard way.
const MOST: usize = 32 * 1024 * 1024;
/// For at most so long.
const TIME: Duration = Duration::from_secs(5);

/// Where an unread rest comes back to.
#[derive(Clone, Default)]
pub struct Rest(Arc<Mutex<Option<Incoming>>>);

impl Rest {
    /// Takes a request's body into care: what is left of it when the handler drops it comes back here.
    pub fn of(request: Request<Incoming>) -> (Request<axum::body::Body>, Rest) {
        let rest = Rest::default();
        // Who waits to be told to go on has sent nothing, and is told nothing.
        let waits = request.headers().contains_key(EXPECT);
        let back = (!waits).then(|| rest.clone());
        let lent = |body| Lent {
            body: Some(body),
            back,
        };
        (request.map(|body| axum::body::Body::new(lent(body))), rest)
    }

    /// Reads the rest away.
    pub async fn read_away(self) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = left else { return };
        let reading = async {
            let mut most = MOST;
            while let Some(Ok(frame)) =
                std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                most = most.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if most == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(TIME, reading).await;
    }
}

/// A body on loan to a handler.
struct Lent {
    body: Option<Incoming>,
    back: Option<Rest>,
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(left), Some(Rest(back))) = (left, self.back.take()) {
            *back.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
        }
    }
}
