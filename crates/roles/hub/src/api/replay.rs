//! What a sender does once the cause is mended: an entry kept aside is taken in as if it were sent now, and a dead letter
//! of its organisation is delivered again.

use super::deliveries::{stands_of, theirs};
use super::receive::{acknowledged, status};
use crate::{State, document, intake, quarantine};
use axum::extract::{self, Path, Request};
use axum::response::Response;
use bytes::Bytes;
use fhir::json::{Json, Limits};
use fhir::resource::ResourceType;
use http::StatusCode;
use std::sync::Arc;
use store::{Change, DeliveryState as Stands};
use trust::{Ask, Interaction};
use wire::contract::hub::{DeadLetter, DeadLetters};
use wire::outcome::{Problem, json_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Dead letters of one receiver shown in one answer.
const SHOWN: usize = 500;

/// `POST {hub}/quarantine/{id}/replay`.
pub async fn quarantined(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| taken(&state, visit, &id).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Create, work)
        .await
}

/// `GET {hub}/dead-letters`.
pub async fn dead_letters(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| dead(&state, visit).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Deliveries, work)
        .await
}

/// `POST {hub}/deliveries/{key}/replay`.
pub async fn delivery(
    extract::State(state): extract::State<Arc<State>>,
    Path(key): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| revived(&state, visit, key).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Deliveries, work)
        .await
}

async fn taken(state: &State, visit: &Visit<'_>, id: &str) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Create, ResourceType::OBSERVATION))?;
    let aside = quarantine::one(state, &visit.caller().client_id, id)
        .await?
        .ok_or_else(Problem::not_found)?;
    let json = Json::parse(Bytes::from(aside.body.clone()), Limits::BUNDLE)?;
    let (caller, root, tagged) = (visit.caller(), json.root(), aside.tagged.as_deref());
    let kind = root.text("resourceType");
    let (kind, taken) = match kind.as_deref() {
        Some("Bundle") => ("Bundle", document::take(state, caller, &json).await),
        _ => {
            let taken = intake::take(state, caller, &json, root, tagged).await;
            let answers = kind.as_deref() == Some(ResourceType::QUESTIONNAIRE_RESPONSE.as_str());
            let kind = if answers {
                ResourceType::QUESTIONNAIRE_RESPONSE
            } else {
                ResourceType::OBSERVATION
            };
            (kind.as_str(), taken)
        }
    };
    let accepted = taken.map_err(|refused| refused.problem)?;
    let record = visit.record().permitted(&permit);
    let proof = visit.change(record.about(Some(accepted.patient)));
    let mut ledger = accepted.change.ledger;
    ledger.extend(aside.taken_out());
    ledger.extend(proof.ledger);
    let change = Change {
        ledger,
        outbox: accepted.change.outbox,
        ..proof
    };
    visit.commit(change).await?;
    aside.freed(state);
    accepted.counts.count(state);
    Ok(acknowledged(kind, &accepted.key, status(accepted.fate)).response())
}

async fn dead(state: &State, visit: &Visit<'_>) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Deliveries, ResourceType::OBSERVATION))?;
    let mut entries = Vec::new();
    for destination in theirs(state, visit) {
        let store = &state.desk.store;
        for letter in store.outbox_dead_letters(&destination.name, SHOWN).await? {
            entries.push(DeadLetter {
                key: letter.key,
                receiver: letter.receiver,
                kind: destination.kind,
                attempts: letter.attempts,
                since: letter.since,
                reason: letter.reason,
            });
        }
    }
    visit.write(visit.record().permitted(&permit)).await?;
    Ok(json_response(StatusCode::OK, &DeadLetters { entries }))
}

async fn revived(state: &State, visit: &Visit<'_>, key: String) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Deliveries, ResourceType::OBSERVATION))?;
    let store = &state.desk.store;
    let all = store.outbox_by_key(&key).await?;
    let dead: Vec<_> = all
        .iter()
        .filter(|delivery| delivery.state == Stands::Dead)
        .filter(|delivery| theirs(state, visit).any(|d| d.name == delivery.receiver))
        .map(|delivery| delivery.id)
        .collect();
    if dead.is_empty() {
        // One that is on its way, or there, needs none: the answer tells.
        let delivery = stands_of(state, visit, key).await?;
        visit.write(visit.record().permitted(&permit)).await?;
        return Ok(json_response(StatusCode::OK, &delivery));
    }
    visit.write(visit.record().permitted(&permit)).await?;
    for id in dead {
        let revived = store.outbox_revive(id).await;
        revived.map_err(|error| End::Audited(error.into()))?;
    }
    let delivery = stands_of(state, visit, key).await;
    // The record is written: whatever ends it now has none of its own.
    let delivery = delivery.map_err(End::Audited)?;
    Ok(json_response(StatusCode::OK, &delivery))
}
