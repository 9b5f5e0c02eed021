//! Read (FHIR R4 http.html#read): one entry by its id.

use std::sync::Arc;

use axum::extract::{self, Path, Request};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use trust::Interaction;
use trust::scope::Access;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

use super::{permit, type_of};
use crate::State;
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

async fn found(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    id: &str,
) -> Result<Response, End> {
    let resource_type = type_of(type_name)?;
    let permit = permit(visit, resource_type, Access::Read)?;
    let entry = state
        .of_type(resource_type)
        .find(|entry| entry.id == id)
        .ok_or_else(Problem::not_found)?;
    record::given(visit, &permit, &[entry]).await?;
    let mut response = fhir_response(StatusCode::OK, entry.resource.to_string());
    if let Ok(tag) = HeaderValue::try_from(format!("W/\"{}\"", entry.version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}
