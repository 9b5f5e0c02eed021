//! Create (FHIR R4 http.html#create). The same reading sent again gets the first answer again (CONTRACT section 5).

use super::written::{self, Return};
use super::{conditional, writable};
use crate::State;
use crate::disclose::{disclose, tag};
use crate::feed::{self, Taken};
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::json::{Json, Limits};
use fhir::search::Via;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
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
    let nothing = || Err(Problem::not_found());
    let work = async |visit: &mut Visit<'_>| take(&state, visit, &type_name, &parts, body).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Create, nothing, work)
        .await
}

async fn take(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let expected = writable(state, type_name)?;
    visit.permit(&Ask::of(Interaction::Create, expected))?;
    let condition = conditional::if_none_exist(&parts.headers)?;
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::RESOURCE.bytes).await?;
    let json = Json::parse(bytes, Limits::RESOURCE)?;
    let taken = feed::take(state, visit, Interaction::Create, &json, json.root(), None)?;
    feed::same_type(expected, &taken.checked)?;
    let _alone;
    if let Some(condition) = condition {
        _alone = conditional::alone(state).await;
        let about = taken.checked.index().subject.as_ref();
        let met = conditional::one(state, visit, expected, &condition, about, Via::Get).await?;
        if let Some((stored, permit)) = met {
            return there(state, visit, &permit, stored, &parts.headers).await;
        }
    }
    write(state, visit, taken, &parts.headers).await
}

/// What met the condition of a create: 200, and nothing is written.
async fn there(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    stored: Stored,
    headers: &HeaderMap,
) -> Result<Response, End> {
    let put = PutOutcome {
        id: stored.id,
        version: stored.version,
        last_updated: stored.last_updated,
        resource_type: stored.resource_type,
        fate: Fate::Existing,
    };
    let disclosed = disclose(visit, permit, vec![stored]).await?;
    let mut response = match Return::of(headers) {
        Return::Representation => disclosed.resource().ok_or_else(Problem::not_found)?,
        Return::Minimal => fhir_response(StatusCode::OK, ""),
        Return::Outcome => fhir_response(StatusCode::OK, written::outcome(&put).to_json()),
    };
    tag(&mut response, put.version, put.last_updated);
    written::locate(state, &mut response, &put);
    Ok(response)
}

/// Writes what was taken as a new resource: 201, or 200 where it was there already.
pub(super) async fn write(
    state: &State,
    visit: &Visit<'_>,
    taken: Taken,
    headers: &HeaderMap,
) -> Result<Response, End> {
    let record = visit
        .record()
        .permitted(&taken.permit)
        .about(super::person_of(&taken.checked));
    let mut change = visit.change(record);
    crate::copy::sign(state, visit, &mut change);
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
    let mut response = written::answer(state, &taken.permit, headers, put, &sent).await?;
    // A correction that came as a create is a new version, and told as made.
    if put.fate != Fate::Existing {
        *response.status_mut() = StatusCode::CREATED;
    }
    written::locate(state, &mut response, put);
    Ok(response)
}
