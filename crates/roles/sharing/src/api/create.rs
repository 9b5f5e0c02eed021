//! Create (FHIR R4 http.html#create). The same reading sent again gets the first answer again (CONTRACT section 5).

use super::writable;
use crate::State;
use crate::disclose::tag;
use crate::feed;
use wire::visit::{End, Visit};
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::json::{Json, Limits, ServerMeta};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use store::{Fate, Put};
use trust::Interaction;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;

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

async fn take(state: &State, visit: &Visit<'_>, type_name: &str, parts: &Parts, body: Body) -> Result<Response, End> {
    let expected = writable(type_name)?;
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::RESOURCE.bytes).await?;
    let json = Json::parse(bytes, Limits::RESOURCE)?;
    let (checked, permit) = feed::take(state, visit, Interaction::Create, &json, json.root())?;
    feed::same_type(expected, &checked)?;
    let record = visit.record().permitted(&permit).about(super::person_of(&checked));
    let mut change = visit.change(record);
    change.audit_fill = true;
    let sent = checked.clone();
    let written_by = feed::written_by(state, visit);
    change.puts.push(Put::Create { resource: checked, written_by, enrol: state.config.enrol });
    let committed = visit.commit(change).await?;
    let put = committed.puts.first().ok_or_else(|| Problem::bug("a create gave no outcome"))?;
    let status = if put.fate == Fate::Existing { StatusCode::OK } else { StatusCode::CREATED };
    let body = if minimal(parts) { Vec::new() } else { sent.with_server_fields(&put.id.to_string(), &meta(put, written_by)) };
    let mut response = fhir_response(status, body);
    tag(&mut response, put.version, put.last_updated);
    if let Ok(value) = HeaderValue::try_from(format!("{}/{}", state.base, feed::location(put))) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

/// What the server owns of a version's `meta`.
pub(super) fn meta(put: &store::PutOutcome, written_by: Option<fhir::ids::OrganisationNumber>) -> ServerMeta {
    ServerMeta { version: put.version, last_updated: put.last_updated, tags: written_by.iter().map(|member| fhir::index::Coding::new(fhir::systems::ORGNR, member.as_str())).collect(), security: Vec::new() }
}

/// `Prefer: return=minimal`.
pub(super) fn minimal(parts: &Parts) -> bool {
    parts.headers.get_all("prefer").iter().filter_map(|v| v.to_str().ok()).any(|v| v.split([',', ';']).any(|p| p.trim() == "return=minimal"))
}
