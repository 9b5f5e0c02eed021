//! `GET /participants` and `GET /agreements`: signed, versioned documents; a JSON list of compact JWS.

use crate::State;
use axum::extract;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Who takes part.
pub(crate) async fn participants(extract::State(state): extract::State<Arc<State>>) -> Response {
    wire::outcome::json_response(StatusCode::OK, &state.participants)
}

/// What is agreed.
pub(crate) async fn agreements(extract::State(state): extract::State<Arc<State>>) -> Response {
    wire::outcome::json_response(StatusCode::OK, &state.agreements)
}
