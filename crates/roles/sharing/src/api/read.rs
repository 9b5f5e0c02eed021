//! Read (FHIR R4 http.html#read): one resource by its id, if the permit opens it; else it is not there.
//! A caller that holds its newest version gets 304 (`If-None-Match`, `If-Modified-Since`).

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

/// `GET {base}/{type}/{id}`.
pub async fn read(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id)): Path<(String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| asked(&state, visit, &type_name, &id, &parts).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::Read, work).await
}

async fn asked(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    id: &str,
    parts: &Parts,
) -> Result<Response, End> {
    let what = (type_of(state, type_name)?, id_of(id)?);
    found(state, visit, &parts.headers, what, search::of_url(parts)?).await
}

/// The resource; `headers` may say which version the caller holds.
pub(super) async fn found(
    state: &State,
    visit: &Visit<'_>,
    headers: &HeaderMap,
    (resource_type, id): (ResourceType, LogicalId),
    form: search::Form,
) -> Result<Response, End> {
    let conditions = conditions::read(headers)?;
    let part = Part::of_read(state, resource_type, form)?;
    let permit = visit.permit(&Ask::of(Interaction::Read, resource_type))?;
    let Some(stored) = state.desk.store.read(&permit, resource_type, id).await? else {
        return Err(Problem::not_found().into());
    };
    conditions.answer(visit, &permit, stored, &part).await
}
