//! Update (FHIR R4 http.html#update): a new version made from a known one. Needs `If-Match` (threats-and-faults.md section 4).

use super::{id_of, if_match, writable, written};
use crate::State;
use crate::feed::{self, Taken};
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::ids::LogicalId;
use fhir::json::{Json, Limits};
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::HeaderMap;
use http::request::Parts;
use std::sync::Arc;
use store::Put;
use trust::{Ask, Interaction};
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// `PUT {base}/{type}/{id}`: 200 with the new version. An id that this service did not give is not created (404).
pub async fn update(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id)): Path<(String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let visit = state.desk.receive(&parts, ids, Interaction::Update).await?;
    match take(&state, &visit, (&type_name, &id), &parts, body).await {
        Ok(response) => Ok(response),
        Err(end) => visit.end(end, || Err(Problem::not_found())).await,
    }
}

async fn take(
    state: &State,
    visit: &Visit<'_>,
    (type_name, id): (&str, &str),
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let expected = writable(type_name)?;
    visit.permit(&Ask::of(Interaction::Update, expected))?;
    let id = id_of(id)?;
    let expect_version =
        Some(if_match(&parts.headers)?.ok_or_else(Problem::precondition_required)?);
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::RESOURCE.bytes).await?;
    let json = Json::parse(bytes, Limits::RESOURCE)?;
    let taken = feed::take(state, visit, Interaction::Update, &json, json.root(), None)?;
    correct(
        state,
        visit,
        &parts.headers,
        (expected, id),
        expect_version,
        &json,
        taken,
    )
    .await
}

/// Writes `taken`, which `json` is, as the version after `expect_version`.
pub(super) async fn correct(
    state: &State,
    visit: &Visit<'_>,
    headers: &HeaderMap,
    (expected, id): (ResourceType, LogicalId),
    expect_version: Option<u64>,
    json: &Json,
    taken: Taken,
) -> Result<Response, End> {
    let Taken {
        checked,
        permit,
        written_by,
    } = taken;
    feed::same_type(expected, &checked)?;
    if json
        .root()
        .text("id")
        .is_none_or(|inside| inside != id.to_string())
    {
        return Err(Problem::invalid(
            IssueCode::Invalid,
            format!("{expected}.id"),
            "the body's id must be the address's",
        )
        .into());
    }
    feed::own_only(state, visit, &permit, expected, id).await?;
    let record = visit
        .record()
        .permitted(&permit)
        .about(super::person_of(&checked));
    let mut change = visit.change(record);
    change.audit_fill = true;
    let sent = checked.clone();
    change.puts.push(Put::Update {
        id,
        expect_version,
        resource: checked,
        written_by,
    });
    let committed = visit.commit(change).await?;
    let put = committed
        .puts
        .first()
        .ok_or_else(|| Problem::bug("an update gave no outcome"))?;
    written::answer(state, &permit, headers, put, &sent).await
}
