//! Patch (FHIR R4 http.html#patch) by JSON Patch (RFC 6902): a new version made from a known one by naming what changes.
//! Needs `If-Match`; the result is checked as an update is. What the patch does not name keeps every digit.

use super::bundle::asked::fault;
use super::search::{self, Form};
use super::written::Written;
use super::{conditional, id_of, if_match, update, writable};
use crate::State;
use crate::feed::{self, Sent};
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fhir::bundle::Entry;
use fhir::ids::LogicalId;
use fhir::json::{Json, Limits, Node, PatchFault};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::Via;
use http::HeaderMap;
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
    let work =
        async |visit: &mut Visit<'_>| change(&state, visit, (&type_name, &id), &parts, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::Update, work).await
}

/// `PATCH {base}/{type}?…`: patches the one resource that meets the condition; 404 where none does (FHIR R4 http.html#patch).
pub async fn by_condition(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work =
        async |visit: &mut Visit<'_>| change_one(&state, visit, &type_name, &parts, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::Update, work).await
}

async fn change_one(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let resource = writable(state, type_name)?;
    visit.permit(&Ask::of(Interaction::Update, resource))?;
    let condition = search::of_url(parts)?;
    conditional::require(&condition, "")?;
    update::expected_version(state, visit, if_match(&parts.headers)?)?;
    let operations = operations(parts, body).await?;
    let _alone = conditional::alone(state).await;
    let id = one_of(state, visit, resource, &condition).await?;
    let what = (resource, id);
    let written = sent(state, visit, &parts.headers, what, &operations, None).await?;
    Ok(written.response(state))
}

async fn operations(parts: &Parts, body: Body) -> Result<Json, Problem> {
    let bytes =
        wire::body::typed(&parts.headers, body, Limits::RESOURCE.bytes, &[MEDIA_TYPE]).await?;
    Ok(Json::parse(bytes, Limits::RESOURCE)?)
}

async fn change(
    state: &State,
    visit: &Visit<'_>,
    (type_name, id): (&str, &str),
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let resource = writable(state, type_name)?;
    visit.permit(&Ask::of(Interaction::Update, resource))?;
    let id = id_of(id)?;
    update::expected_version(state, visit, if_match(&parts.headers)?)?;
    let operations = operations(parts, body).await?;
    let what = (resource, id);
    let written = sent(state, visit, &parts.headers, what, &operations, None).await?;
    Ok(written.response(state))
}

/// Makes the new version that `operations` make of the current one.
pub(super) async fn sent(
    state: &State,
    visit: &Visit<'_>,
    headers: &HeaderMap,
    (resource, id): (ResourceType, LogicalId),
    operations: &Json,
    bundle: Option<Node<'_>>,
) -> Result<Written, End> {
    let version = update::expected_version(state, visit, if_match(headers)?)?;
    let (after, version) = applied(state, visit, (resource, id), version, operations).await?;
    let sent = Sent {
        json: &after,
        node: after.root(),
        bundle,
    };
    let taken = sent.take(state, visit, Interaction::Update)?;
    feed::same_type(resource, &taken.checked)?;
    update::same_id(after.root(), resource, id)?;
    let what = (resource, id);
    update::correct(state, visit, headers, what, Some(version), taken).await
}

/// What `operations` make of the current version, which must be `version` if that is given; and which version that is.
pub(super) async fn applied(
    state: &State,
    visit: &Visit<'_>,
    (resource, id): (ResourceType, LogicalId),
    version: Option<u64>,
    operations: &Json,
) -> Result<(Json, u64), End> {
    let permit = visit.permit(&Ask::of(Interaction::Update, resource))?;
    never_reads(visit, resource)?;
    feed::changeable(state, visit, &permit, resource, id).await?;
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
        fhir::json::patch(&before, operations, room).map_err(|fault| problem(resource, fault))?;
    Ok((after, version))
}

/// A patch asks (`test`) and gives back what nobody sent: who has no business reading here (a delegate) does not patch.
fn never_reads(visit: &Visit<'_>, resource: ResourceType) -> Result<(), End> {
    match visit.permit(&Ask::of(Interaction::Read, resource)) {
        Err(End::Refused(refusal)) if refusal.rule == "role" => Err(End::Refused(refusal)),
        _ => Ok(()),
    }
}

/// The one resource that meets the condition of a patch.
pub(super) async fn one_of(
    state: &State,
    visit: &Visit<'_>,
    resource: ResourceType,
    condition: &Form,
) -> Result<LogicalId, End> {
    visit.permit(&Ask::of(Interaction::Update, resource))?;
    let met = conditional::one(state, visit, resource, condition, None, Via::Get).await?;
    let (stored, _) = met.ok_or_else(Problem::not_found)?;
    Ok(stored.id)
}

/// The patch of a bundle's entry: a Binary of the patch's media type (FHIR R4 http.html#patch, "PATCH in transactions").
pub(super) fn in_binary(entry: &Entry<'_>) -> Result<Json, Problem> {
    let fault = |code, member: &str, words: &str| fault(entry, code, member, words);
    let binary = entry
        .resource
        .filter(|node| node.text("resourceType").as_deref() == Some("Binary"))
        .ok_or_else(|| {
            let words = "a patch was expected, as a Binary resource with contentType and data";
            fault(IssueCode::Required, "resource", words)
        })?;
    if binary.text("contentType").as_deref() != Some(MEDIA_TYPE) {
        let words = format!("the patch format {MEDIA_TYPE} was expected");
        return Err(fault(
            IssueCode::NotSupported,
            "resource.contentType",
            &words,
        ));
    }
    let strange = || {
        let words = "a JSON Patch in base64 was expected";
        fault(IssueCode::Value, "resource.data", words)
    };
    let data = binary.text("data").ok_or_else(strange)?;
    let bytes = STANDARD
        .decode(data.split_ascii_whitespace().collect::<String>())
        .map_err(|_| strange())?;
    Json::parse(bytes, Limits::RESOURCE).map_err(|_| strange())
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
