//! `POST /audit-heads` and `POST /audit-heads/list`: statements about one's own audit trail, signed by the client that makes
//! them.

use crate::{State, witness};
use axum::extract::{self, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use std::sync::Arc;
use wire::contract::witness::{JOSE, WitnessedHeads};
use wire::outcome::Problem;
use wire::request_id::RequestIds;

type Shared = extract::State<Arc<State>>;

/// The end of a trail, to be kept.
pub(crate) async fn head(
    extract::State(state): Shared,
    ids: RequestIds,
    request: Request,
) -> Response {
    let text = match statement(request).await {
        Ok(text) => text,
        Err(problem) => return problem.into_response(),
    };
    respond(witness::take(&state, &ids, &text).await)
}

/// What is kept of a trail.
pub(crate) async fn list(
    extract::State(state): Shared,
    ids: RequestIds,
    request: Request,
) -> Response {
    let text = match statement(request).await {
        Ok(text) => text,
        Err(problem) => return problem.into_response(),
    };
    respond(witness::list(&state, &ids, &text).await)
}

async fn statement(request: Request) -> Result<String, Problem> {
    let (parts, body) = request.into_parts();
    let body = wire::body::typed(&parts.headers, body, trust::jws::LONGEST, &[JOSE]).await?;
    // What is not text is no statement: it is refused where statements are.
    Ok(String::from_utf8(body.to_vec()).unwrap_or_default())
}

fn respond(answer: Result<WitnessedHeads, Problem>) -> Response {
    match answer {
        Ok(heads) => wire::outcome::json_response(StatusCode::OK, &heads),
        Err(problem) => problem.into_response(),
    }
}
