//! What the locator offers, for programs (OpenAPI 3.1.0), from the table that its router is built of.

use std::sync::Arc;

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use wire::outcome::json_response;

use crate::{ROUTES, State};

const SUMMARIES: &[(&str, &str)] = &[
    (
        "POST /register",
        "A sharing service announces its own state per patient and kind; without entries, a heartbeat",
    ),
    (
        "POST /compare",
        "A sharing service compares its own pointers with the locator's, a branch of a tree of digests at a time",
    ),
    (
        "POST /repair",
        "A sharing service puts right what the comparison found",
    ),
    (
        "POST /locate",
        "Which members' services hold which kinds of data about the token's patient",
    ),
    ("GET /openapi.json", "This description"),
];

/// `GET {locator}/openapi.json`.
pub async fn openapi(extract::State(state): extract::State<Arc<State>>) -> Response {
    let title = "Patient information locator (pasientinformasjonslokalisator)";
    let document = wire::openapi::document(title, &state.base, ROUTES, SUMMARIES);
    json_response(StatusCode::OK, &document)
}
