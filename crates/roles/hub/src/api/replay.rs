//! What a sender does once the cause is mended: an entry kept aside is taken in as if it were sent now, and a dead letter
//! of its organisation is delivered again.

use super::deliveries::{SHOWN, address, asker, stands_of, theirs};
use super::page::Page;
use super::receive::{acknowledged, pace, status};
use crate::intake::Refused;
use crate::{State, document, intake, quarantine, versions};
use axum::extract::{self, Path, Request};
use axum::response::Response;
use bytes::Bytes;
use fhir::json::{Json, Limits};
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::{Change, DeliveryState as Stands};
use trust::{Ask, Interaction};
use wire::contract::hub::{DEAD_LETTERS, DeadLetter, DeadLetters};
use wire::outcome::{Problem, json_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Said of what would be delivered over a newer version of it.
const OVERTAKEN: &str = "a newer version of this was taken in since, and is delivered in its place; this one is not delivered over it";

/// `POST {hub}/quarantine/{id}/replay`.
pub async fn quarantined(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| taken(&state, visit, &id).await;
    state.serve(&parts, ids, Interaction::Create, work).await
}

/// `GET {hub}/dead-letters?count=N&after=…`: a page, and where the next is.
pub async fn dead_letters(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| dead(&state, visit, &parts).await;
    state
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
        .serve(&parts, ids, Interaction::Deliveries, work)
        .await
}

async fn taken(state: &State, visit: &Visit<'_>, id: &str) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Create, ResourceType::OBSERVATION))?;
    pace(state, visit, 1)?;
    let aside = quarantine::one(state, &visit.caller().client_id, id)
        .await?
        .ok_or_else(Problem::not_found)?;
    let json = Json::parse(Bytes::from(aside.body.clone()), Limits::BUNDLE)?;
    let (caller, root, tagged) = (visit.caller(), json.root(), aside.tagged.as_deref());
    let kind = root.text("resourceType");
    let (kind, taken) = match kind.as_deref() {
        Some("Bundle") => ("Bundle", document::take(state, caller, &json).await),
        _ => {
            let taken =
                intake::take(state, caller, &json, root, tagged, Some(aside.received)).await;
            let answers = kind.as_deref() == Some(ResourceType::QUESTIONNAIRE_RESPONSE.as_str());
            let kind = if answers {
                ResourceType::QUESTIONNAIRE_RESPONSE
            } else {
                ResourceType::OBSERVATION
            };
            (kind.as_str(), taken)
        }
    };
    let accepted = taken.map_err(told)?;
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

/// What is told of one that is not taken in now. One that a newer version has overtaken is not wrong: it is too late.
fn told(refused: Refused) -> Problem {
    match refused.quarantine {
        Some(intake::OUTDATED) => Problem::conflict(OVERTAKEN),
        _ => refused.problem,
    }
}

/// Where a page of dead letters begins: after this receiver's entry with this key.
fn place(text: &str) -> Option<(String, String)> {
    let (receiver, key) = text.rsplit_once('/')?;
    Some((receiver.to_owned(), key.to_owned()))
}

async fn dead(state: &State, visit: &Visit<'_>, parts: &Parts) -> Result<Response, End> {
    let permit = asker(state, visit)?;
    let page = Page::of(parts, SHOWN, place)?;
    let store = &state.desk.store;
    let (mut entries, mut total) = (Vec::new(), 0);
    let mut before = page.after.is_some();
    for destination in theirs(state, visit) {
        total += store.outbox_state(&destination.name).await?.dead;
        let begins = page.after.as_ref();
        let begins = begins.filter(|(receiver, _)| *receiver == destination.name);
        before &= begins.is_none();
        if before || entries.len() > page.count {
            continue;
        }
        let key = begins.map(|(_, key)| key.as_str());
        // One more than is shown tells whether there is more.
        let most = page.count.saturating_add(1) - entries.len();
        for letter in store
            .outbox_dead_letters(&destination.name, key, most)
            .await?
        {
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
    let more = entries.len() > page.count;
    entries.truncate(page.count);
    visit.write(visit.record().permitted(&permit)).await?;
    let list = address(state, DEAD_LETTERS);
    let last = entries.last().filter(|_| more);
    let next = last.map(|last| page.next(&list, &format!("{}/{}", last.receiver, last.key)));
    let letters = DeadLetters {
        entries,
        total,
        next,
    };
    Ok(json_response(StatusCode::OK, &letters))
}

async fn revived(state: &State, visit: &Visit<'_>, key: String) -> Result<Response, End> {
    let permit = asker(state, visit)?;
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
    if versions::later(store, &key).await?.is_some() {
        return Err(Problem::conflict(OVERTAKEN).into());
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
