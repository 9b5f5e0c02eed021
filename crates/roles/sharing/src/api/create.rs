//! Create (FHIR R4 http.html#create). The same reading sent again gets the first answer again (CONTRACT section 5).

use super::search::Form;
use super::written::{self, Return, Written};
use super::{conditional, writable};
use crate::State;
use crate::disclose::disclose;
use crate::feed::{self, Sent, Taken};
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use bytes::Bytes;
use fhir::json::{Json, Limits};
use fhir::resource::ResourceType;
use fhir::search::Via;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use store::{Fate, Put, PutOutcome, Stored};
use trust::{Ask, Interaction, Permit};
use wire::outcome::Problem;
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
    let work = async |visit: &mut Visit<'_>| take(&state, visit, &type_name, &parts, body).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Create, work)
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
    let condition = condition.as_ref().map(|form| (form, Via::Get));
    let sent_alone = Sent::alone(&json);
    let written = sent(
        state,
        visit,
        &parts.headers,
        expected,
        condition,
        &sent_alone,
    )
    .await?;
    Ok(written.response(state))
}

/// Creates what was sent, unless something meets the condition.
pub(super) async fn sent(
    state: &State,
    visit: &Visit<'_>,
    headers: &HeaderMap,
    expected: ResourceType,
    condition: Option<(&Form, Via)>,
    sent: &Sent<'_>,
) -> Result<Written, End> {
    let taken = sent.take(state, visit, Interaction::Create)?;
    feed::same_type(expected, &taken.checked)?;
    let _alone;
    if let Some((condition, via)) = condition {
        _alone = conditional::alone(state).await;
        let about = taken.checked.index().subject.as_ref();
        let met = conditional::one(state, visit, expected, condition, about, via).await?;
        if let Some((stored, permit)) = met {
            return there(visit, &permit, stored, headers).await;
        }
    }
    write(state, visit, taken, headers).await
}

/// What met the condition of a create: 200, and nothing is written.
async fn there(
    visit: &Visit<'_>,
    permit: &Permit,
    stored: Stored,
    headers: &HeaderMap,
) -> Result<Written, End> {
    let put = PutOutcome {
        id: stored.id,
        version: stored.version,
        last_updated: stored.last_updated,
        resource_type: stored.resource_type,
        fate: Fate::Existing,
    };
    let disclosed = disclose(visit, permit, vec![stored]).await?;
    let body = match Return::of(headers) {
        Return::Representation => disclosed.body().ok_or_else(Problem::not_found)?,
        Return::Minimal => Bytes::new(),
        Return::Outcome => written::outcome(&put).to_json().into(),
    };
    Ok(Written {
        put,
        status: StatusCode::OK,
        body,
        created: true,
        // Nothing of what was sent was written.
        remarks: Vec::new(),
    })
}

/// Writes what was taken as a new resource: 201, or 200 where it was there already.
pub(super) async fn write(
    state: &State,
    visit: &Visit<'_>,
    taken: Taken,
    headers: &HeaderMap,
) -> Result<Written, End> {
    let record = visit
        .record()
        .permitted(&taken.permit)
        .about(super::person_of(&taken.checked));
    let mut change = visit.change(record);
    let signed = crate::copy::sign(visit, &mut change);
    change.audit_fill = true;
    let sent = taken.checked.clone();
    change.puts.push(Put::Create {
        resource: taken.checked,
        written_by: taken.written_by,
        enrol: state.config.enrol,
    });
    let committed = visit.commit(change).await?;
    signed.stands(state);
    let put = committed
        .puts
        .first()
        .ok_or_else(|| Problem::bug("a create gave no outcome"))?;
    let mut written = written::answer(state, &taken.permit, headers, put, &sent).await?;
    written.created = true;
    // A correction that came as a create is a new version, and told as made.
    if put.fate != Fate::Existing {
        written.status = StatusCode::CREATED;
    }
    Ok(written)
}
