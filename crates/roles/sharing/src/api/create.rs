//! Create (FHIR R4 http.html#create). The same reading sent again gets the first answer again (CONTRACT section 5).

use super::writable;
use crate::State;
use crate::disclose::tag;
use crate::feed;
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use bytes::Bytes;
use fhir::index::Coding;
use fhir::json::{Json, Limits, ServerMeta};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use store::{Fate, Put, PutOutcome, Stored};
use trust::{Ask, Interaction, Permit};
use wire::outcome::{Problem, fhir_response};
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
    let status = if put.fate == Fate::Existing {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let body = if minimal(parts) {
        Bytes::new()
    } else {
        as_stored(state, &taken.permit, put, &sent).await?
    };
    let mut response = fhir_response(status, body);
    tag(&mut response, put.version, put.last_updated);
    if let Ok(value) = HeaderValue::try_from(format!("{}/{}", state.base, feed::location(put))) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

/// The version that was written, as it rests. Where another has come since, or it was withdrawn: what was sent, which has
/// the same content.
pub(super) async fn as_stored(
    state: &State,
    permit: &Permit,
    put: &PutOutcome,
    sent: &fhir::resource::Checked,
) -> Result<Bytes, End> {
    let stored: Option<Stored> = match state
        .desk
        .store
        .read(permit, put.resource_type, put.id)
        .await
    {
        Err(store::StoreError::Gone) => None,
        other => other?,
    };
    let meta = || ServerMeta {
        version: put.version,
        last_updated: put.last_updated,
        tags: Vec::<Coding>::new(),
        security: Vec::new(),
    };
    Ok(match stored {
        Some(stored) if stored.version == put.version => stored.body,
        _ => sent.with_server_fields(&put.id.to_string(), &meta()).into(),
    })
}

/// `Prefer: return=minimal`.
pub(super) fn minimal(parts: &Parts) -> bool {
    parts
        .headers
        .get_all("prefer")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .any(|v| v.split([',', ';']).any(|p| p.trim() == "return=minimal"))
}
