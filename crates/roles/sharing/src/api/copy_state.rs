//! `$copy-state`: how old the shared copy is. A feed says by POST up to when everything of its source is here (`as_of`), since
//! a day without a write may be a quiet day or a broken feed, or that it is alive (`alive`) and nothing of how far it has come; by GET the
//! organisation's own system reads how it stands.

use super::reconcile::own_system;
use crate::State;
use crate::copy;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::json::{Json, Limits};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::time::{Instant, parse_instant};
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};
use std::sync::Arc;
use trust::{Ask, Interaction};
use wire::contract::ORGANISATION_NUMBER_SYSTEM;
use wire::contract::sharing::{Alive, Silent};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// How far a source's clock may run ahead of ours, in microseconds.
const AHEAD: i64 = 60_000_000;
/// Longest statement: a hundred who are silent, with names.
const BYTES: usize = 128 * 1024;

/// `GET {base}/$copy-state`.
pub async fn read(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| tell(&state, visit).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Search, work)
        .await
}

async fn tell(state: &State, visit: &Visit<'_>) -> Result<Response, End> {
    let permit = own_system(state, visit)?;
    visit.write(visit.record().permitted(&permit)).await?;
    Ok(answer(state))
}

/// `POST {base}/$copy-state` with Parameters `as_of` (instant), by a feed about itself, or with those of [`Alive`].
pub async fn write(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| take(&state, visit, &parts, body).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Batch, work)
        .await
}

async fn take(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    // Whoever may send a batch feeds, and says how far it has come.
    let permit = visit.permit(&Ask::of(Interaction::Batch, ResourceType::BUNDLE))?;
    match said(parts, body, visit.now).await? {
        Said::AsOf(as_of) => {
            visit.asked(&format!("as_of={as_of}"));
            let change = visit.change(visit.record().permitted(&permit));
            copy::state_as_of(state, visit, change, as_of).await?;
        }
        Said::Alive(alive) => {
            visit.asked(&format!("alive, {} silent", alive.silent.len()));
            let change = visit.change(visit.record().permitted(&permit));
            copy::is_alive(state, visit, change, alive).await?;
        }
    }
    Ok(answer(state))
}

/// What a feed says of itself.
enum Said {
    /// Up to when everything of its source is here.
    AsOf(Instant),
    /// That it is alive.
    Alive(Alive),
}

async fn said(parts: &Parts, body: Body, now: Instant) -> Result<Said, Problem> {
    let resource = ["application/fhir+json", "application/json"];
    let input = if wire::body::media_type_is(&parts.headers, &resource) {
        let bytes = wire::body::fhir_json(&parts.headers, body, BYTES).await?;
        let json = Json::parse(bytes, Limits::RESOURCE)?;
        if Alive::is_said(json.root()) {
            let alive = Alive::read(json.root());
            let alive =
                alive.map_err(|error| Problem::invalid(IssueCode::Value, "alive", error.fault))?;
            if alive.silent.iter().any(|one| one.since > Some(ahead(now))) {
                let words = "nobody was last heard at a time to come";
                return Err(Problem::invalid(IssueCode::Value, "silent", words));
            }
            return Ok(Said::Alive(alive));
        }
        fhir::operation::flat(json.root()).map_err(Problem::invalid_all)?
    } else {
        wire::operation::read(&parts.headers, body).await?
    };
    as_of(&input, now)
        .map(Said::AsOf)
        .map_err(Problem::invalid_all)
}

fn ahead(now: Instant) -> Instant {
    Instant(now.0.saturating_add(AHEAD))
}

fn as_of(input: &[(String, String)], now: Instant) -> Result<Instant, Vec<Issue>> {
    let fault = |words: &str| vec![Issue::error(IssueCode::Value, "as_of", words)];
    let [(name, text)] = input else {
        return Err(fault("one parameter was expected: as_of, an instant"));
    };
    if name != "as_of" {
        return Err(fault("one parameter was expected: as_of, an instant"));
    }
    let at = parse_instant(text).map_err(|_| fault("an instant was expected, with its zone"))?;
    if at > ahead(now) {
        return Err(fault("nobody knows what is everything at a time to come"));
    }
    Ok(at)
}

fn answer(state: &State) -> Response {
    let now = (state.house.clock)();
    let copy = state.copy();
    let mut parameters = vec![json!({"name": "state", "valueCode": copy.state.as_str()})];
    aged(&mut parameters, copy.as_of, now);
    if let Some(seconds) = state.config.copy.max_lag_seconds {
        parameters.push(json!({"name": "max_lag_seconds", "valueInteger": seconds}));
    }
    for (feed, age) in copy.feeds {
        let kind = if feed.record_system {
            "record-system"
        } else {
            "delegate"
        };
        let mut parts = vec![
            json!({"name": "client", "valueString": feed.client}),
            json!({"name": "kind", "valueCode": kind}),
            json!({"name": "state", "valueCode": age.as_str()}),
        ];
        if let Some(number) = &feed.organisation {
            parts.push(json!({"name": "organisation", "valueIdentifier": {"system": ORGANISATION_NUMBER_SYSTEM, "value": number}}));
        }
        if let Some(at) = feed.last_write {
            parts.push(json!({"name": "last_write", "valueInstant": at.to_string()}));
        }
        if let Some(at) = feed.alive {
            parts.push(json!({"name": "alive", "valueInstant": at.to_string()}));
        }
        aged(&mut parts, feed.as_of(), now);
        parts.extend(feed.silent.iter().map(Silent::to_json));
        parameters.push(json!({"name": "feed", "part": parts}));
    }
    let answer = json!({"resourceType": "Parameters", "parameter": parameters});
    fhir_response(StatusCode::OK, answer.to_string().into_bytes())
}

fn aged(parameters: &mut Vec<Value>, as_of: Option<Instant>, now: Instant) {
    if let Some(at) = as_of {
        parameters.push(json!({"name": "as_of", "valueInstant": at.to_string()}));
        parameters.push(json!({"name": "lag_seconds", "valueInteger": copy::lag(at, now)}));
    }
}
