//! Create (FHIR R4 http.html#create). The same reading sent again gets the first answer again (CONTRACT section 5).

use super::{writable, written};
use crate::State;
use crate::feed;
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::json::{Json, Limits};
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::{Fate, Put};
use trust::{Ask, Interaction};
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// `POST {base}/{type}`: 201 with the stored resource, or 200 where it was there already.
pub async fn create(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let visit = state.desk.receive(&parts, ids, Interaction::Create).await?;
    match take(&state, &visit, &type_name, &parts, body).await {
        Ok(response) => Ok(response),
        Err(end) => visit.end(end, || Err(Problem::not_found())).await,
    }
}

async fn take(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let expected = writable(type_name)?;
    visit.permit(&Ask::of(Interaction::Create, expected))?;
    if parts.headers.contains_key("if-none-exist") {
        let words = "conditional create is not offered; a reading sent again is known by its identifier and gets the first answer again";
        return Err(Problem::not_supported("If-None-Exist", words).into());
    }
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::RESOURCE.bytes).await?;
    let json = Json::parse(bytes, Limits::RESOURCE)?;
    let taken = feed::take(state, visit, Interaction::Create, &json, json.root(), None)?;
    feed::same_type(expected, &taken.checked)?;
    let record = visit
        .record()
        .permitted(&taken.permit)
        .about(super::person_of(&taken.checked));
    let mut change = visit.change(record);
    change.audit_fill = true;
    let sent = taken.checked.clone();
    change.puts.push(Put::Create {
        resource: taken.checked,
        written_by: taken.written_by,
        enrol: state.config.enrol,
    });
    let committed = visit.commit(change).await?;
    let put = committed
        .puts
        .first()
        .ok_or_else(|| Problem::bug("a create gave no outcome"))?;
    let mut response = written::answer(state, &taken.permit, &parts.headers, put, &sent).await?;
    // A correction that came as a create is a new version, and told as made.
    if put.fate != Fate::Existing {
        *response.status_mut() = StatusCode::CREATED;
    }
    written::locate(state, &mut response, put);
    Ok(response)
}
