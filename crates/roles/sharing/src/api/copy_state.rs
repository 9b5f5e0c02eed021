//! `$copy-state`: how old the shared copy is. A feed says by POST up to when everything of its source is here (`as_of`), since
//! a day without a write may be a quiet day or a broken feed; by GET the organisation's own system reads how it stands.

use super::reconcile::own_system;
use crate::State;
use crate::copy;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::time::{Instant, parse_instant};
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};
use std::sync::Arc;
use trust::{Ask, Interaction};
use wire::contract::ORGANISATION_NUMBER_SYSTEM;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// How far a source's clock may run ahead of ours, in microseconds.
const AHEAD: i64 = 60_000_000;

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

/// `POST {base}/$copy-state` with Parameters `as_of` (instant), by a feed about itself.
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
    let input = wire::operation::read(&parts.headers, body).await?;
    let as_of = as_of(&input, visit.now).map_err(Problem::invalid_all)?;
    visit.asked(&format!("as_of={as_of}"));
    let change = visit.change(visit.record().permitted(&permit));
    copy::state_as_of(state, visit, change, as_of).await?;
    Ok(answer(state))
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
    if at.0 > now.0.saturating_add(AHEAD) {
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
        aged(&mut parts, feed.as_of(), now);
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
