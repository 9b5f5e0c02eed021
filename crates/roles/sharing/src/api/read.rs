//! Read (FHIR R4 http.html#read): one resource by its id, if the permit opens it; else it is not there.
//! A caller that holds its newest version gets 304 (`If-None-Match`, `If-Modified-Since`).

use super::{conditions, id_of, search, type_of};
use crate::State;
use crate::part::Part;
use axum::extract::{self, Path, Request};
use axum::response::Response;
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
    let nothing = || Err(Problem::not_found());
    let work = async |visit: &mut Visit<'_>| found(&state, visit, &type_name, &id, &parts).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::Read, nothing, work)
        .await
}

async fn found(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    id: &str,
    parts: &Parts,
) -> Result<Response, End> {
    let resource_type = type_of(state, type_name)?;
    let id = id_of(id)?;
    let conditions = conditions::read(&parts.headers)?;
    let part = Part::of_read(state, resource_type, search::of_url(parts)?)?;
    let permit = visit.permit(&Ask::of(Interaction::Read, resource_type))?;
    let Some(stored) = state.desk.store.read(&permit, resource_type, id).await? else {
        return Err(Problem::not_found().into());
    };
    conditions.answer(visit, &permit, stored, &part).await
}
