//! Subscription: made, shown, asked to be active again and ended by its subscriber; `$status` and `$events` (FHIR R4
//! subscription.html; `hl7.fhir.uv.subscriptions-backport.r4` 1.1.0). To all others there is none.

use super::{id_of, if_match};
use crate::State;
use crate::disclose;
use crate::subscription::{
    self, Asked, Content, Held, KEPT_EVENTS, Kept, Kind, MOST_WAITING, Settled, Shown, Status,
    disclosed,
};
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::bundle::{SearchMode, SearchsetWriter};
use fhir::check;
use fhir::ids::{LogicalId, OrganisationNumber};
use fhir::json::{Json, Limits};
use fhir::operation::unknown;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::time::Instant;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use store::{Change, Listed, StoreError};
use trust::{Ask, Category, ClientUse, Interaction, Permit, Person, Refusal, Standing};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Largest Subscription, in bytes.
const BYTES: usize = 64 * 1024;
/// Longest time that another organisation follows a patient by one statement of need, in seconds; then it is stated anew.
const LONGEST: i64 = 90 * 24 * 60 * 60;
/// Longest time that the organisation's own record system follows its own store, in seconds.
const OWN: i64 = 10 * 365 * 24 * 60 * 60;
/// Most events in one answer to `$events`.
const MOST_EVENTS: usize = 100;

/// How often what is asked of a subscription is tried, where the service itself has moved it on meanwhile.
const TURNS: usize = 8;

const NO_SUBSCRIBER: Refusal = Refusal {
    rule: "subscription",
    category: Category::Forbidden,
    code: "no_subscriber",
    message: "the organisation that asks has registered no endpoints with this service",
};

/// `POST {base}/Subscription`: 201 with the subscription as it stands; the handshake follows.
pub async fn create(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| made(&state, visit, &parts, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::Subscribe, work).await
}

/// `PUT {base}/Subscription/{id}` with `If-Match`: where to and until when, anew; it is handshaken again and goes on where it stopped.
pub async fn update(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| renewed(&state, visit, &id, &parts, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::Subscribe, work).await
}

/// `GET {base}/Subscription`: all that the caller looks after.
pub async fn list(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| listed(&state, visit, &parts).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::SubscriptionRead, work)
        .await
}

/// `GET {base}/Subscription/{id}`.
pub async fn read(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        let (permit, held) = mine(&state, visit, &id, Interaction::SubscriptionRead).await?;
        visit.write(visit.record().permitted(&permit)).await?;
        Ok(answer(&state, StatusCode::OK, &held.kept))
    };
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::SubscriptionRead, work)
        .await
}

/// `DELETE {base}/Subscription/{id}`: 204; nothing of it is kept.
pub async fn end(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        for _ in 0..TURNS {
            let (permit, held) = mine(&state, visit, &id, Interaction::Unsubscribe).await?;
            let mut change = visit.change(visit.record().permitted(&permit));
            let id = held.kept.id;
            let ended = State::ended_subscription(id, held.version);
            change.ledger.push(ended);
            if !stands(visit, change).await? {
                state.is_still(&held).await?;
                continue;
            }
            state.subscriptions.forget(id);
            // It has ended; what could not be cleared now goes at the next start.
            if let Err(error) = state.clear_subscription(id).await {
                tracing::error!(service = state.config.id, subscription = %id, %error, "what is left of a subscription was not cleared");
            }
            return Ok(fhir_response(StatusCode::NO_CONTENT, ""));
        }
        Err(moving())
    };
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::Unsubscribe, work)
        .await
}

/// `GET` or `POST {base}/Subscription/{id}/$status`: how it stands and how much has happened.
pub async fn status(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        told(&state, visit, &id, &parts, body, Kind::QueryStatus).await
    };
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::SubscriptionRead, work)
        .await
}

/// `GET` or `POST {base}/Subscription/{id}/$events`: what happened, by numbers.
pub async fn events(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        told(&state, visit, &id, &parts, body, Kind::QueryEvent).await
    };
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::SubscriptionRead, work)
        .await
}

/// Commits a change of a subscription; not where the service has moved it on since it was read.
async fn stands(visit: &Visit<'_>, change: Change) -> Result<bool, End> {
    match visit.attempt(change).await? {
        Ok(_) => Ok(true),
        Err(StoreError::LedgerMismatch { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// After so many turns.
fn moving() -> End {
    Problem::unavailable(1, "events are being told at this moment: ask again").into()
}

/// The permit and the subscription, where it is the caller's to look after: of the same organisation, about the token's patient if a
/// person asks; a record system looks after all of its organisation's.
async fn mine(
    state: &State,
    visit: &Visit<'_>,
    id: &str,
    interaction: Interaction,
) -> Result<(Permit, Held), End> {
    let permit = visit.permit(&Ask::of(interaction, ResourceType::SUBSCRIPTION))?;
    let held = state.subscriptions.get(id_of(id)?);
    match held {
        Some(held) if is_mine(state, visit, &held.kept).await? => Ok((permit, held)),
        _ => Err(Problem::not_found().into()),
    }
}

async fn is_mine(state: &State, visit: &Visit<'_>, kept: &Kept) -> Result<bool, End> {
    let caller = visit.caller();
    if organisation(state, visit) != Some(kept.standing.organisation) {
        return Ok(false);
    }
    match (&caller.person, kept.wanted.patient) {
        (Person::System, _) => Ok(caller.use_ == ClientUse::RecordSystem),
        (Person::Practitioner { .. }, Some(patient)) => {
            let about = visit.store().patient_of(patient).await?;
            Ok(about.is_some() && about == caller.patient)
        }
        _ => Ok(false),
    }
}

fn organisation(state: &State, visit: &Visit<'_>) -> Option<OrganisationNumber> {
    let organisation = visit.caller().organisation?;
    Some(state.config.register.main_unit(organisation))
}

/// What is asked for, within what this caller may ask.
async fn wanted(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<(Asked, Permit, Standing), End> {
    let permit = visit.permit(&Ask::of(Interaction::Subscribe, ResourceType::SUBSCRIPTION))?;
    let subscriber = organisation(state, visit).and_then(|one| state.subscriber(one));
    let Some(subscriber) = subscriber else {
        return Err(End::Refused(NO_SUBSCRIBER));
    };
    let bytes = wire::body::fhir_json(&parts.headers, body, BYTES).await?;
    let json = Json::parse(bytes, Limits::RESOURCE)?;
    let root = json.root();
    if root.text("resourceType").as_deref() != Some(ResourceType::SUBSCRIPTION.as_str()) {
        let words = "expected a Subscription";
        return Err(Problem::invalid(IssueCode::Invalid, "resourceType", words).into());
    }
    check::check(&json, root, &state.rules()).map_err(Problem::unprocessable)?;
    let asked = subscription::read(root, |url| state.endpoint(subscriber, url))
        .map_err(Problem::unprocessable)?;
    let wrong = |place: &str, words: &str| {
        let issue = Issue::error(IssueCode::Value, place, words);
        End::from(Problem::unprocessable(vec![issue]))
    };
    let system = matches!(visit.caller().person, Person::System);
    let about = match asked.wanted.patient {
        Some(patient) => visit.store().patient_of(patient).await?,
        None => None,
    };
    // One wording for another patient and for none.
    let fits = match (asked.wanted.patient, system) {
        (None, system) => system,
        (Some(_), true) => about.is_some(),
        (Some(_), false) => about.is_some() && about == visit.caller().patient,
    };
    if !fits {
        let words = "name the patient by a filter patient=Patient/{id}: a person's token opens its own patient, and the organisation's own record system alone may leave it out";
        return Err(wrong("Subscription.criteria.extension", words));
    }
    let topic = asked.wanted.topic.code();
    let whose = match asked.wanted.patient {
        Some(patient) => format!("Patient/{patient}"),
        None => "everybody".to_owned(),
    };
    visit.asked(&format!("{topic} of {whose}"));
    let longest = visit.now.plus_seconds(if system { OWN } else { LONGEST });
    let until = asked.end.unwrap_or(longest);
    if until <= visit.now || until > longest {
        let words = "it ends within 90 days (the organisation's own record system's within ten years); then the need is stated anew";
        return Err(wrong("Subscription.end", words));
    }
    let facts = state.desk.facts.at(visit.now);
    let standing = Standing::of(visit.caller(), &permit, &facts, until)
        .ok_or_else(|| Problem::bug("who may subscribe has an organisation"))?;
    Ok((asked, permit, standing))
}

/// Headers as they rest.
fn sealed(state: &State, headers: &[(String, String)]) -> Result<Option<String>, End> {
    if headers.is_empty() {
        return Ok(None);
    }
    let plain = serde_json::to_vec(headers)
        .map_err(|_| Problem::bug("headers cannot be written as JSON"))?;
    Ok(Some(state.desk.store.seal(&plain)?))
}

async fn made(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let (asked, permit, standing) = wanted(state, visit, parts, body).await?;
    let most = state
        .subscriber(standing.organisation)
        .map_or(0, |one| one.most);
    let Some(_making) = state.subscriptions.make(standing.organisation, most) else {
        let words = format!(
            "at most {most} subscriptions of one organisation, those that are over among them; end what no longer matters"
        );
        return Err(Problem::invalid(IssueCode::TooCostly, "", words).into());
    };
    let kept = Kept {
        id: LogicalId::from((state.house.ids)()),
        sealed: sealed(state, &asked.headers)?,
        wanted: asked.wanted,
        standing,
        status: Status::Requested,
        why: None,
        edition: 1,
        updated: visit.now,
        made: visit.now,
        told: 0,
        taken: 0,
    };
    let made = keep(state, visit, &permit, kept, None, StatusCode::CREATED).await?;
    made.ok_or_else(moving)
}

async fn renewed(
    state: &State,
    visit: &mut Visit<'_>,
    id: &str,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    mine(state, visit, id, Interaction::Subscribe).await?;
    let (asked, permit, standing) = wanted(state, visit, parts, body).await?;
    for _ in 0..TURNS {
        let wish = (asked.clone(), standing.clone());
        if let Some(response) = renewed_now(state, visit, id, parts, &permit, wish).await? {
            return Ok(response);
        }
    }
    Err(moving())
}

/// From how it stands now; none where it has moved on meanwhile.
async fn renewed_now(
    state: &State,
    visit: &Visit<'_>,
    id: &str,
    parts: &Parts,
    permit: &Permit,
    (asked, standing): (Asked, Standing),
) -> Result<Option<Response>, End> {
    let (_, held) = mine(state, visit, id, Interaction::Subscribe).await?;
    let before = &held.kept;
    match if_match(&parts.headers)? {
        None => return Err(Problem::precondition_required().into()),
        Some(edition) if edition != before.edition => {
            let words = format!("the current version is {}", before.edition);
            return Err(Problem::precondition_failed(words).into());
        }
        Some(_) => {}
    }
    if (asked.wanted.topic, asked.wanted.patient) != (before.wanted.topic, before.wanted.patient) {
        let words = "what is told of, and about whom, stays as it was: numbers count that alone. Make another subscription for something else";
        let issue = Issue::error(IssueCode::BusinessRule, "Subscription.criteria", words);
        return Err(Problem::unprocessable(vec![issue]).into());
    }
    let kept = Kept {
        sealed: sealed(state, &asked.headers)?,
        wanted: asked.wanted,
        standing,
        status: Status::Requested,
        why: None,
        edition: before.edition + 1,
        updated: visit.now,
        // What is kept no more is told no more; the numbers say so.
        taken: before.taken.max(before.told.saturating_sub(KEPT_EVENTS)),
        ..(**before).clone()
    };
    state.subscriptions.anew(kept.id);
    let version = Some(held.version);
    let response = keep(state, visit, permit, kept, version, StatusCode::OK).await?;
    if response.is_none() {
        state.is_still(&held).await?;
    }
    Ok(response)
}

/// Makes it durable with the record of the request, and has it handshaken; none where it has moved on since it was read.
async fn keep(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    kept: Kept,
    version: Option<u64>,
    status: StatusCode,
) -> Result<Option<Response>, End> {
    let about = match kept.wanted.patient {
        Some(patient) => visit.store().patient_of(patient).await?,
        None => None,
    };
    let mut change = visit.change(visit.record().permitted(permit).about(about));
    change.ledger.push(kept.write(version)?);
    // What is written from this commit on is an event, also before its maker hears of it.
    let followed = version
        .is_none()
        .then(|| state.subscriptions.follows(&kept));
    let stood = stands(visit, change).await;
    if followed.is_some() && !matches!(stood, Ok(true)) {
        drop(followed);
        state.clear_subscription(kept.id).await?;
        return stood.map(|_| None);
    }
    if !stood? {
        return Ok(None);
    }
    let response = answer(state, status, &kept);
    let held = Held {
        kept: Arc::new(kept),
        version: version.map_or(1, |before| before + 1),
    };
    state.subscriptions.keep(held, Some(visit.now.0));
    drop(followed);
    Ok(Some(response))
}

/// A subscription as it stands, its version and its place.
fn answer(state: &State, status: StatusCode, kept: &Kept) -> Response {
    let mut response = fhir_response(status, subscription::subscription(kept).to_string());
    disclose::tag(&mut response, kept.edition, kept.updated);
    let place = format!("{}/Subscription/{}", state.base, kept.id);
    if let Ok(place) = HeaderValue::from_str(&place)
        && status == StatusCode::CREATED
    {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

async fn listed(state: &State, visit: &mut Visit<'_>, parts: &Parts) -> Result<Response, End> {
    let form = super::search::of_url(parts)?;
    let permit = visit.permit(&Ask::of(
        Interaction::SubscriptionRead,
        ResourceType::SUBSCRIPTION,
    ))?;
    if let Some((name, _)) = form.first() {
        let words = "no search parameter is supported here: all of the caller's own are listed";
        return Err(Problem::invalid(IssueCode::NotSupported, name, words).into());
    }
    let organisation = organisation(state, visit);
    let own = state
        .subscriptions
        .those(|kept| Some(kept.standing.organisation) == organisation);
    let mut mine = Vec::new();
    for held in own {
        if is_mine(state, visit, &held.kept).await? {
            mine.push(held.kept);
        }
    }
    visit.write(visit.record().permitted(&permit)).await?;
    let link = format!("{}/Subscription", state.base);
    let mut answer = SearchsetWriter::new(Some(mine.len() as u64), &[("self", link.as_str())]);
    for kept in mine {
        let place = format!("{link}/{}", kept.id);
        let told = subscription::subscription(&kept).to_string();
        answer.entry(Some(place.as_str()), told.as_bytes(), SearchMode::Match);
    }
    Ok(fhir_response(StatusCode::OK, answer.finish()))
}

/// From which number to which, and how much of each.
struct Span {
    since: u64,
    until: Option<u64>,
    content: Option<Content>,
}

async fn span(visit: &mut Visit<'_>, parts: &Parts, body: Body, kind: Kind) -> Result<Span, End> {
    let mut input = super::search::of_url(parts)?;
    if parts.method != Method::GET {
        input.extend(wire::operation::read(&parts.headers, body).await?);
    }
    let known: &[(&str, bool)] = match kind {
        Kind::QueryEvent => &[
            ("eventsSinceNumber", false),
            ("eventsUntilNumber", false),
            ("content", false),
        ],
        _ => &[],
    };
    let strangers = unknown(&input, known);
    if !strangers.is_empty() {
        return Err(Problem::invalid_all(strangers).into());
    }
    for (name, value) in &input {
        visit.asked(&format!("{name}={value}"));
    }
    let text = |name: &str| {
        let mut all = input.iter().filter(|(one, _)| one == name);
        all.next().map(|(_, value)| value.as_str())
    };
    let number = |name: &str| match text(name) {
        None => Ok(None),
        Some(value) => value.parse::<u64>().map(Some).map_err(|_| {
            Problem::invalid(
                IssueCode::Value,
                name,
                "the number of an event was expected",
            )
        }),
    };
    let content = match text("content") {
        None => None,
        Some(code) => Some(Content::parse(code).ok_or_else(|| {
            let words = "empty and id-only are given; full-resource is not offered";
            Problem::invalid(IssueCode::NotSupported, "content", words)
        })?),
    };
    Ok(Span {
        since: number("eventsSinceNumber")?.unwrap_or(0),
        until: number("eventsUntilNumber")?,
        content,
    })
}

/// Answers `$status` and `$events`: the numbers of what waits are settled first, in the commit of the answer's record.
async fn told(
    state: &State,
    visit: &mut Visit<'_>,
    id: &str,
    parts: &Parts,
    body: Body,
    kind: Kind,
) -> Result<Response, End> {
    mine(state, visit, id, Interaction::SubscriptionRead).await?;
    let span = span(visit, parts, body, kind).await?;
    for _ in 0..TURNS {
        if let Some(response) = told_now(state, visit, id, &span, kind).await? {
            return Ok(response);
        }
    }
    Err(moving())
}

/// As it is now; none where it has moved on meanwhile.
async fn told_now(
    state: &State,
    visit: &Visit<'_>,
    id: &str,
    span: &Span,
    kind: Kind,
) -> Result<Option<Response>, End> {
    let (permit, held) = mine(state, visit, id, Interaction::SubscriptionRead).await?;
    let right = state.right(&held.kept).await?;
    let Settled {
        kept,
        mut moves,
        events: new,
        gone,
        left,
    } = state.settle(&held, &right, MOST_WAITING).await?;
    let mut shown: Vec<(Listed, Shown)> = Vec::new();
    if kind == Kind::QueryEvent {
        let oldest = kept.told.saturating_sub(KEPT_EVENTS) + 1;
        if (1..oldest).contains(&span.since) {
            let words = format!(
                "events before {oldest} are not kept any more: read what they were about anew"
            );
            return Err(Problem::invalid(IssueCode::TooCostly, "eventsSinceNumber", words).into());
        }
        let after = span.since.max(oldest).saturating_sub(1);
        let within =
            |one: &Shown| one.number > after && span.until.is_none_or(|until| one.number <= until);
        let old = state.settled(&held, &right, after, MOST_EVENTS).await?;
        let all = old.into_iter().chain(new);
        shown = all
            .filter(|(_, one)| within(one))
            .take(MOST_EVENTS)
            .collect();
        // A record is about one patient, so that she sees it in her trail: the next one's are asked for next.
        let patient = shown.first().map(|(event, _)| event.patient);
        let others = |(event, _): &(Listed, Shown)| Some(event.patient) != patient;
        let end = shown.iter().position(others).unwrap_or(shown.len());
        shown.truncate(end);
    }
    let content = span.content.unwrap_or(kept.wanted.content);
    let first = shown.first().map(|(event, _)| event.patient);
    let about = match kept.wanted.patient.or(first) {
        Some(patient) => visit.store().patient_of(patient).await?,
        None => None,
    };
    let shown: Vec<Shown> = shown.into_iter().map(|(_, shown)| shown).collect();
    let named = shown.iter().filter_map(|one| one.focus.as_ref());
    let given = named
        .filter(|_| content == Content::IdOnly)
        .map(disclosed)
        .collect();
    let record = visit.record().permitted(&permit).about(about);
    let mut change = visit.change(record.disclosing(given));
    if gone > 0 {
        moves.ledger.push(kept.write(Some(held.version))?);
        change.ledger.extend(moves.ledger);
        change.taken_back.extend(moves.back);
    } else if !state.is_still(&held).await? {
        // Somebody who asked at the same moment settled the numbers, and what is held here is from before that.
        return Ok(None);
    }
    if !stands(visit, change).await? {
        state.is_still(&held).await?;
        return Ok(None);
    }
    if gone > 0 {
        state.subscriptions.fewer(kept.id, gone, left);
        let held = Held {
            kept: Arc::new(kept.clone()),
            version: held.version + 1,
        };
        state.subscriptions.keep(held, None);
    }
    let made: (uuid::Uuid, Instant) = ((state.house.ids)(), visit.now);
    if kind == Kind::QueryEvent {
        let told = subscription::bundle(&state.base, &kept, kind, content, &shown, made);
        return Ok(Some(fhir_response(StatusCode::OK, told.to_string())));
    }
    let status = subscription::parameters(&state.base, &kept, kind, content, &[]);
    let link = format!("{}/Subscription/{}/$status", state.base, kept.id);
    let mut answer = SearchsetWriter::new(Some(1), &[("self", link.as_str())]);
    let place = format!("urn:uuid:{}", made.0);
    answer.entry(
        Some(&place),
        status.to_string().as_bytes(),
        SearchMode::Match,
    );
    Ok(Some(fhir_response(StatusCode::OK, answer.finish())))
}
