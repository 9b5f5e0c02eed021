//! `GET /participants` and `GET /agreements`: signed, versioned documents; a JSON list of compact JWS.

use crate::State;
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use std::sync::Arc;
use trust::keys::KeyError;
use wire::outcome::Problem;

/// Who takes part.
pub(crate) async fn participants(extract::State(state): extract::State<Arc<State>>) -> Response {
    match state.documents() {
        Ok(published) => wire::outcome::json_response(StatusCode::OK, &published.participants),
        Err(error) => unsigned(error),
    }
}

/// What is agreed.
pub(crate) async fn agreements(extract::State(state): extract::State<Arc<State>>) -> Response {
    match state.documents() {
        Ok(published) => wire::outcome::json_response(StatusCode::OK, &published.agreements),
        Err(error) => unsigned(error),
    }
}

fn unsigned(error: KeyError) -> Response {
    tracing::error!(%error, "signing the documents failed");
    Problem::unavailable(5, "the documents cannot be signed now; try again").into_response()
}
