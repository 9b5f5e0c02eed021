//! Patch (FHIR R4 http.html#patch) by JSON Patch (RFC 6902): a new version made from a known one by naming what changes.
//! Needs `If-Match`; the result is checked as an update is. What the patch does not name keeps every digit.

use super::{id_of, if_match, update, writable};
use crate::State;
use crate::feed;
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::json::{Json, Limits, PatchFault};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use http::request::Parts;
use std::sync::Arc;
use trust::{Ask, Interaction};
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// The one patch format taken.
pub const MEDIA_TYPE: &str = "application/json-patch+json";

/// `PATCH {base}/{type}/{id}`: 200 with the new version.
pub async fn patch(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id)): Path<(String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let visit = state.desk.receive(&parts, ids, Interaction::Update).await?;
    match change(&state, &visit, (&type_name, &id), &parts, body).await {
        Ok(response) => Ok(response),
        Err(end) => visit.end(end, || Err(Problem::not_found())).await,
    }
}

async fn change(
    state: &State,
    visit: &Visit<'_>,
    (type_name, id): (&str, &str),
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let resource = writable(state, type_name)?;
    let permit = visit.permit(&Ask::of(Interaction::Update, resource))?;
    let id = id_of(id)?;
    let version = update::expected_version(state, visit, if_match(&parts.headers)?)?;
    let bytes =
        wire::body::typed(&parts.headers, body, Limits::RESOURCE.bytes, &[MEDIA_TYPE]).await?;
    let sent = Json::parse(bytes, Limits::RESOURCE)?;
    let stored = state
        .desk
        .store
        .read(&permit, resource, id)
        .await?
        .ok_or_else(Problem::not_found)?;
    // Without `If-Match`: made from the version that is current now.
    let version = version.unwrap_or(stored.version);
    if stored.version != version {
        return Err(store::StoreError::VersionMismatch {
            current: stored.version,
        }
        .into());
    }
    // What rests here was taken within the limits, before the server added its own.
    let room = Limits {
        bytes: Limits::RESOURCE.bytes + 64 * 1024,
        ..Limits::RESOURCE
    };
    let before = Json::parse(stored.body, room)?;
    let after =
        fhir::json::patch(&before, &sent, room).map_err(|fault| problem(resource, fault))?;
    let taken = feed::take(
        state,
        visit,
        Interaction::Update,
        &after,
        after.root(),
        None,
    )?;
    feed::same_type(resource, &taken.checked)?;
    update::same_id(&after, resource, id)?;
    let what = (resource, id);
    update::correct(state, visit, &parts.headers, what, Some(version), taken).await
}

/// 400 for a patch that is malformed, 422 for one that does not fit; the path is the place.
fn problem(resource: ResourceType, fault: PatchFault) -> Problem {
    let place = match (fault.operation, fault.path.is_empty()) {
        (Some(_), false) => fault.path,
        _ => resource.as_str().to_owned(),
    };
    let words = match fault.operation {
        Some(n) => format!("operation {}: {}", n + 1, fault.message),
        None => fault.message,
    };
    if fault.malformed {
        Problem::invalid(IssueCode::Structure, place, words)
    } else {
        Problem::unprocessable(vec![Issue::error(IssueCode::Processing, place, words)])
    }
}
