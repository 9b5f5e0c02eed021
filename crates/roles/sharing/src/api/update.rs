//! Update (FHIR R4 http.html#update): a new version made from a known one. Needs `If-Match`
//! unless the client is registered otherwise (threats-and-faults.md section 4).

use super::search::{self, Form};
use super::written::{self, Written};
use super::{conditional, create, id_of, if_match, writable};
use crate::State;
use crate::feed::{self, Sent, Taken};
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::ids::LogicalId;
use fhir::json::{Json, Limits, Node};
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use fhir::search::Via;
use http::HeaderMap;
use http::request::Parts;
use std::sync::Arc;
use store::Put;
use trust::{Ask, Interaction};
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// `PUT {base}/{type}/{id}`: 200 with the new version. An id that this service did not give is not created (404).
pub async fn update(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id)): Path<(String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work =
        async |visit: &mut Visit<'_>| take(&state, visit, (&type_name, &id), &parts, body).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Update, work)
        .await
}

async fn take(
    state: &State,
    visit: &Visit<'_>,
    (type_name, id): (&str, &str),
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let expected = writable(state, type_name)?;
    visit.permit(&Ask::of(Interaction::Update, expected))?;
    let id = id_of(id)?;
    expected_version(state, visit, if_match(&parts.headers)?)?;
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::RESOURCE.bytes).await?;
    let json = Json::parse(bytes, Limits::RESOURCE)?;
    let what = (expected, id);
    let written = sent(state, visit, &parts.headers, what, &Sent::alone(&json)).await?;
    Ok(written.response(state))
}

/// Makes what was sent the new version of a resource.
pub(super) async fn sent(
    state: &State,
    visit: &Visit<'_>,
    headers: &HeaderMap,
    (expected, id): (ResourceType, LogicalId),
    sent: &Sent<'_>,
) -> Result<Written, End> {
    visit.permit(&Ask::of(Interaction::Update, expected))?;
    let expect_version = expected_version(state, visit, if_match(headers)?)?;
    let taken = sent.take(state, visit, Interaction::Update)?;
    feed::same_type(expected, &taken.checked)?;
    same_id(sent.node, expected, id)?;
    correct(state, visit, headers, (expected, id), expect_version, taken).await
}

/// The body's id must be the address's.
pub(super) fn same_id(
    body: Node<'_>,
    expected: ResourceType,
    id: LogicalId,
) -> Result<(), Problem> {
    let inside = body.text("id");
    if inside.is_some_and(|inside| inside == id.to_string()) {
        return Ok(());
    }
    Err(Problem::invalid(
        IssueCode::Invalid,
        format!("{expected}.id"),
        "the body's id must be the address's",
    ))
}

/// `PUT {base}/{type}?…`: a new version of the one resource that meets the condition, or a new resource where none does.
/// Other content than is there needs `If-Match`, as any update does.
pub async fn by_condition(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        take_by_condition(&state, visit, &type_name, &parts, body).await
    };
    state
        .desk
        .serve(&parts, ids, Interaction::Update, work)
        .await
}

async fn take_by_condition(
    state: &State,
    visit: &Visit<'_>,
    type_name: &str,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let expected = writable(state, type_name)?;
    visit.permit(&Ask::of(Interaction::Update, expected))?;
    let condition = search::of_url(parts)?;
    conditional::require(&condition, "")?;
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::RESOURCE.bytes).await?;
    let json = Json::parse(bytes, Limits::RESOURCE)?;
    let what = (expected, &condition);
    let written =
        sent_by_condition(state, visit, &parts.headers, what, &Sent::alone(&json)).await?;
    Ok(written.response(state))
}

/// Makes what was sent the new version of what meets the condition, or a new resource.
pub(super) async fn sent_by_condition(
    state: &State,
    visit: &Visit<'_>,
    headers: &HeaderMap,
    (expected, condition): (ResourceType, &Form),
    sent: &Sent<'_>,
) -> Result<Written, End> {
    let version = if_match(headers)?;
    let taken = sent.take(state, visit, Interaction::Update)?;
    feed::same_type(expected, &taken.checked)?;
    let _alone = conditional::alone(state).await;
    let about = taken.checked.index().subject.as_ref();
    let met = conditional::one(state, visit, expected, condition, about, Via::Get).await?;
    let Some((stored, _)) = met else {
        if sent.node.get("id").is_some() {
            let words =
                "nothing meets the condition, and a new resource gets its id here: leave it out";
            return Err(
                Problem::invalid(IssueCode::Invalid, format!("{expected}.id"), words).into(),
            );
        }
        if version.is_some() {
            return Err(Problem::precondition_failed("nothing meets the condition").into());
        }
        let taken = sent.take(state, visit, Interaction::Create)?;
        return create::write(state, visit, taken, headers).await;
    };
    if sent.node.get("id").is_some() {
        same_id(sent.node, expected, stored.id)?;
    }
    let room = Limits {
        bytes: usize::MAX,
        ..Limits::BUNDLE
    };
    let held = fhir::identity::content(Json::parse(stored.body, room)?.root());
    let version = match version {
        None if held == taken.checked.identity().digest => stored.version,
        version => expected_version(state, visit, version)?.unwrap_or(stored.version),
    };
    let what = (expected, stored.id);
    correct(state, visit, headers, what, Some(version), taken).await
}

/// The version that a change was made from. Only a client that is registered so may leave it out; then it is the current.
pub(super) fn expected_version(
    state: &State,
    visit: &Visit<'_>,
    if_match: Option<u64>,
) -> Result<Option<u64>, Problem> {
    let lenient = || {
        let clients = &state.config.if_match_optional;
        clients.contains(&visit.caller().client_id)
    };
    if if_match.is_some() || lenient() {
        return Ok(if_match);
    }
    Err(Problem::precondition_required())
}

/// Writes `taken` as the version after `expect_version`.
pub(super) async fn correct(
    state: &State,
    visit: &Visit<'_>,
    headers: &HeaderMap,
    (expected, id): (ResourceType, LogicalId),
    expect_version: Option<u64>,
    taken: Taken,
) -> Result<Written, End> {
    let Taken {
        checked,
        permit,
        written_by,
    } = taken;
    feed::same_type(expected, &checked)?;
    feed::changeable(state, visit, &permit, expected, id).await?;
    let record = visit
        .record()
        .permitted(&permit)
        .about(super::person_of(&checked));
    let mut change = visit.change(record);
    let signed = crate::copy::sign(visit, &mut change);
    change.audit_fill = true;
    let sent = checked.clone();
    change.puts.push(Put::Update {
        id,
        expect_version,
        resource: checked,
        written_by,
    });
    let committed = visit.commit(change).await?;
    signed.stands(state);
    let put = committed
        .puts
        .first()
        .ok_or_else(|| Problem::bug("an update gave no outcome"))?;
    written::answer(state, &permit, headers, put, &sent).await
}
