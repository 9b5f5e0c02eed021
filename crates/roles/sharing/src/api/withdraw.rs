//! Withdraw (FHIR R4 http.html#delete): the record system takes a resource back from sharing. Its versions and the audit
//! trail stay; a withdrawn copy is not deletion from the record.

use super::search::{self, Form};
use super::written::{self, Return};
use super::{conditional, id_of, if_match, writable};
use crate::State;
use crate::feed;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::search::Via;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use store::Put;
use trust::{Ask, Interaction, Permit};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// `DELETE {base}/{type}/{id}`: 204, also when it was withdrawn before.
pub async fn withdraw(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id)): Path<(String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| by_id(&state, visit, &type_name, &id, &parts).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Withdraw, work)
        .await
}

/// `DELETE {base}/{type}?…`: withdraws the one resource that meets the condition; 404 where none does.
pub async fn by_condition(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| what_meets(&state, visit, &type_name, &parts).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Withdraw, work)
        .await
}

async fn what_meets(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    parts: &Parts,
) -> Result<Response, End> {
    let resource_type = writable(state, type_name)?;
    let condition = search::of_url(parts)?;
    take_back_one(state, visit, &parts.headers, (resource_type, &condition)).await?;
    Ok(taken_back(parts))
}

async fn by_id(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    id: &str,
    parts: &Parts,
) -> Result<Response, End> {
    let resource_type = writable(state, type_name)?;
    visit.permit(&Ask::of(Interaction::Withdraw, resource_type))?;
    let what = (resource_type, id_of(id)?);
    take_back(state, visit, &parts.headers, what).await?;
    Ok(taken_back(parts))
}

/// Withdraws the one resource that meets the condition.
pub(super) async fn take_back_one(
    state: &State,
    visit: &Visit<'_>,
    headers: &HeaderMap,
    (resource_type, condition): (ResourceType, &Form),
) -> Result<(), End> {
    let permit = visit.permit(&Ask::of(Interaction::Withdraw, resource_type))?;
    conditional::require(condition, "")?;
    let version = if_match(headers)?;
    let _alone = conditional::alone(state).await;
    let met = conditional::one(state, visit, resource_type, condition, None, Via::Get).await?;
    let (stored, _) = met.ok_or_else(Problem::not_found)?;
    let version = Some(version.unwrap_or(stored.version));
    retire(state, visit, &permit, resource_type, stored.id, version).await
}

/// Withdraws a resource. One that was withdrawn before is as good as withdrawn now: its sender did not hear the first
/// answer.
pub(super) async fn take_back(
    state: &State,
    visit: &Visit<'_>,
    headers: &HeaderMap,
    (resource_type, id): (ResourceType, LogicalId),
) -> Result<(), End> {
    let permit = visit.permit(&Ask::of(Interaction::Withdraw, resource_type))?;
    let expect_version = if_match(headers)?;
    match retire(state, visit, &permit, resource_type, id, expect_version).await {
        Err(End::Problem(problem)) if problem.status() == StatusCode::GONE => {
            visit.write(visit.record().permitted(&permit)).await?;
            Ok(())
        }
        other => other,
    }
}

/// 204, or 200 with an OperationOutcome where the caller prefers that.
pub(super) fn taken_back(parts: &Parts) -> Response {
    match Return::named(&parts.headers) {
        Some(Return::Outcome) => {
            fhir_response(StatusCode::OK, written::told(written::WITHDRAWN).to_json())
        }
        _ => fhir_response(StatusCode::NO_CONTENT, ""),
    }
}

async fn retire(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    resource_type: ResourceType,
    id: LogicalId,
    expect_version: Option<u64>,
) -> Result<(), End> {
    feed::changeable(state, visit, permit, resource_type, id).await?;
    // The store adds whose it was to the record.
    let mut change = visit.change(visit.record().permitted(permit));
    let signed = crate::copy::sign(visit, &mut change);
    change.audit_fill = true;
    change.puts.push(Put::Withdraw {
        id,
        resource_type,
        expect_version,
    });
    visit.commit(change).await?;
    signed.stands(state);
    Ok(())
}
