//! A record system that keeps what is posted to it, and may be told to be down.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub struct Filed {
    pub documents: Mutex<Vec<Value>>,
    pub scopes: Mutex<Vec<String>>,
    /// So many answers say that it is not there.
    pub down: AtomicUsize,
    /// So many answers are this status, whatever comes.
    pub refuses: Mutex<Option<(u16, usize)>>,
}

impl Filed {
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/fhir", post(take))
            .with_state(self.clone())
    }
}

async fn take(State(filed): State<Arc<Filed>>, headers: HeaderMap, body: Body) -> Response {
    let less = |left: usize| left.checked_sub(1);
    let down = filed
        .down
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    if down.is_ok() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Some((status, left)) = filed.refuses.lock().unwrap().as_mut()
        && *left > 0
    {
        *left -= 1;
        return StatusCode::from_u16(*status).unwrap().into_response();
    }
    let token = headers["authorization"].to_str().unwrap();
    let claims = crate::anchor::claims_of(token.strip_prefix("DPoP ").unwrap());
    filed.scopes.lock().unwrap().push(claims.scope);
    let body = wire::body::fhir_json(&headers, body, 10 << 20)
        .await
        .unwrap();
    let document = serde_json::from_slice(&body).unwrap();
    filed.documents.lock().unwrap().push(document);
    StatusCode::OK.into_response()
}
