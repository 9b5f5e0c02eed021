//! Vread (FHIR R4 http.html#vread): one version of a resource. A withdrawn one is gone (410) to whoever might have seen it;
//! its earlier versions stay open to the organisation's own record system alone.

use super::{conditions, id_of, search, type_of};
use crate::State;
use crate::part::Part;

use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use http::HeaderMap;
use http::request::Parts;
use std::sync::Arc;
use trust::{Ask, Interaction};
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// `GET {base}/{type}/{id}/_history/{vid}`.
pub async fn vread(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id, version)): Path<(String, String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        asked(&state, visit, (&type_name, &id, &version), &parts).await
    };
    state.desk.serve(&parts, ids, Interaction::Read, work).await
}

async fn asked(
    state: &State,
    visit: &Visit<'_>,
    (type_name, id, version): (&str, &str, &str),
    parts: &Parts,
) -> Result<Response, End> {
    let what = (type_of(state, type_name)?, id_of(id)?, version);
    found(state, visit, &parts.headers, what, search::of_url(parts)?).await
}

/// The version; `headers` may say which one the caller holds.
pub(super) async fn found(
    state: &State,
    visit: &Visit<'_>,
    headers: &HeaderMap,
    (resource_type, id, version): (ResourceType, LogicalId, &str),
    form: search::Form,
) -> Result<Response, End> {
    let version = version_of(version)?;
    let conditions = conditions::read(headers)?;
    let part = Part::of_read(state, resource_type, form)?;
    let permit = visit.permit(&Ask::of(Interaction::Read, resource_type))?;
    let stored = state
        .desk
        .store
        .read_version(&permit, resource_type, id, version)
        .await?
        .ok_or_else(Problem::not_found)?;
    conditions.answer(visit, &permit, stored, &part).await
}

/// The version of a path, as we write it: `1`, `2`, …; anything else names nothing.
pub(super) fn version_of(text: &str) -> Result<u64, Problem> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(Problem::not_found)
}
