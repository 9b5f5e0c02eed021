//! Read and vread (FHIR R4 http.html#read): one entry by its id, or one of its versions.

use std::sync::Arc;

use axum::extract::{self, Path, Request};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use trust::Interaction;
use trust::scope::Access;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

use super::{permit, type_of};
use crate::State;
use crate::entry::Entry;
use crate::record;

/// `GET {base}/fhir/{type}/{id}`.
pub async fn read(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id)): Path<(String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let visit = state
        .desk
        .receive(&parts, ids, Interaction::Directory)
        .await?;
    let answered = found(&state, &visit, &type_name, &id).await;
    record::finish(visit, answered).await
}

/// `GET {base}/fhir/{type}/{id}/_history/{vid}`: one version (FHIR R4 http.html#vread).
pub async fn version(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id, vid)): Path<(String, String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let visit = state
        .desk
        .receive(&parts, ids, Interaction::Directory)
        .await?;
    let answered = found_version(&state, &visit, &type_name, &id, &vid).await;
    record::finish(visit, answered).await
}

async fn found(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    id: &str,
) -> Result<Response, End> {
    let resource_type = type_of(type_name)?;
    let permit = permit(visit, resource_type, Access::Read)?;
    let shelf = state.shelf();
    let entry = shelf
        .get(resource_type, id)
        .ok_or_else(Problem::not_found)?;
    if entry.kept.withdrawn {
        return Err(Problem::gone().into());
    }
    record::given(visit, &permit, &[entry]).await?;
    Ok(answer(entry, state.shown(entry, visit.now)))
}

async fn found_version(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    id: &str,
    vid: &str,
) -> Result<Response, End> {
    let resource_type = type_of(type_name)?;
    let permit = permit(visit, resource_type, Access::Read)?;
    let shelf = state.shelf();
    let past = shelf.past().iter().find(|past| {
        past.resource_type == resource_type && past.id == id && past.version.to_string() == vid
    });
    let past = past.ok_or_else(Problem::not_found)?;
    let entry = past.read(visit.store()).await?;
    let entry = entry.ok_or_else(Problem::not_found)?;
    if entry.kept.withdrawn {
        return Err(Problem::gone().into());
    }
    record::given(visit, &permit, &[&entry]).await?;
    Ok(answer(&entry, entry.shown(visit.now, None)))
}

fn answer(entry: &Entry, resource: Value) -> Response {
    let mut response = fhir_response(StatusCode::OK, resource.to_string());
    if let Ok(tag) = HeaderValue::try_from(format!("W/\"{}\"", entry.version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
