//! What became of what was sent: delivery state per receiver, per entry, and what was kept aside. A sender sees the
//! organisation it is registered to send for, and its own quarantine.

use super::page::Page;
use super::receive::pace;
use crate::held::{self, Kept};
use crate::{Destination, State, amount, document, quarantine};
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::ids::OrganisationNumber;
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::DeliveryState as Stands;
use trust::{Ask, ClientUse, Interaction, Permit};
use wire::contract::hub::{
    Deliveries, Delivery, DeliveryState, Progress, QUARANTINE, Quarantine, ReceiverState,
    SenderState,
};
use wire::outcome::{Problem, json_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Entries shown in one answer.
pub(super) const SHOWN: usize = 500;

/// `GET {hub}/deliveries`.
pub async fn all(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| receivers(&state, visit).await;
    state
        .serve(&parts, ids, Interaction::Deliveries, work)
        .await
}

/// `GET {hub}/deliveries/{key}`.
pub async fn one(
    extract::State(state): extract::State<Arc<State>>,
    Path(key): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| entry(&state, visit, key).await;
    state
        .serve(&parts, ids, Interaction::Deliveries, work)
        .await
}

/// `GET {hub}/quarantine?count=N&after=…`: a page, newest first, and where the next is.
pub async fn quarantine(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| kept_aside(&state, visit, &parts).await;
    state
        .serve(&parts, ids, Interaction::Deliveries, work)
        .await
}

/// Whether a home system may ask what became of what was sent, at the pace of all who send.
pub(super) fn asker(state: &State, visit: &Visit<'_>) -> Result<Permit, End> {
    let permit = visit.permit(&Ask::of(Interaction::Deliveries, ResourceType::OBSERVATION))?;
    if visit.caller().use_ == ClientUse::Service {
        let words = "a sharing service asks after each document that it filed, and nothing else";
        return Err(Problem::forbidden(words).into());
    }
    pace(state, visit, 1)?;
    Ok(permit)
}

async fn receivers(state: &State, visit: &Visit<'_>) -> Result<Response, End> {
    let permit = asker(state, visit)?;
    let mut receivers = Vec::new();
    for destination in theirs(state, visit) {
        let stands = state.desk.store.outbox_state(&destination.name).await?;
        receivers.push(ReceiverState {
            receiver: destination.name.clone(),
            orgnr: destination.orgnr.as_str().to_owned(),
            kind: destination.kind,
            pending: stands.pending,
            oldest: stands.oldest,
            dead: stands.dead,
            held: state.held.held(destination.name.as_bytes()).entries as u64,
            left_out: state.left_out.held(destination.name.as_bytes()).entries as u64,
        });
    }
    let organisation = sends_for(state, visit);
    let silences = state.silences().into_iter();
    let senders = silences
        .filter(|one| Some(one.expected.organisation) == organisation)
        .map(|one| SenderState {
            sender: one.expected.sender,
            name: one.expected.name,
            quiet_minutes: u64::try_from(one.expected.quiet_seconds / 60).unwrap_or_default(),
            heard: one.heard,
            quiet: one.quiet,
        });
    let stands = Deliveries {
        receivers,
        senders: senders.collect(),
    };
    visit.write(visit.record().permitted(&permit)).await?;
    Ok(json_response(StatusCode::OK, &stands))
}

async fn entry(state: &State, visit: &Visit<'_>, key: String) -> Result<Response, End> {
    let permit = match visit.caller().use_ {
        // What it files is about alerts; it needs no scope for readings.
        ClientUse::Service => {
            let filed = Ask::of(Interaction::Deliveries, ResourceType::DETECTED_ISSUE);
            let permit = visit.permit(&filed)?;
            pace(state, visit, 1)?;
            permit
        }
        _ => asker(state, visit)?,
    };
    let delivery = stands_of(state, visit, key).await?;
    visit.write(visit.record().permitted(&permit)).await?;
    Ok(json_response(StatusCode::OK, &delivery))
}

/// How far an entry came with each of the caller's receivers; 404 for one that went to none of them.
pub(super) async fn stands_of(
    state: &State,
    visit: &Visit<'_>,
    key: String,
) -> Result<Delivery, Problem> {
    let mut receivers = Vec::new();
    let store = &state.desk.store;
    let mut sent = store.outbox_by_key(&key).await?;
    let (mut waits, mut noted) = (None, None);
    match held::of(store, &key).await? {
        Some((Kept::Waits { receiver, .. }, _)) => waits = Some(receiver),
        Some((Kept::Noted { note }, _)) => noted = Some(note),
        None => {}
    }
    if let Some(note) = &noted {
        sent.extend(store.outbox_by_key(note).await?);
    }
    // What a sharing service files are documents, for its organisation's record system.
    let service = visit.caller().use_ == ClientUse::Service;
    for delivery in sent {
        if service && delivery.topic != document::TOPIC {
            continue;
        }
        let Some(destination) = theirs(state, visit).find(|d| d.name == delivery.receiver) else {
            continue;
        };
        receivers.push(DeliveryState {
            receiver: delivery.receiver,
            kind: destination.kind,
            state: match delivery.state {
                Stands::Pending => Progress::Pending,
                Stands::Delivered => Progress::Delivered,
                Stands::Dead => Progress::Dead,
            },
            attempts: delivery.attempts,
            reason: match delivery.reason {
                None if noted.as_deref() == Some(delivery.key.as_str()) => {
                    Some(format!("as a line of the note {}", delivery.key))
                }
                reason => reason,
            },
        });
    }
    if let Some(name) = waits
        && let Some(destination) = theirs(state, visit).find(|d| d.name == name)
    {
        receivers.push(DeliveryState {
            receiver: name,
            kind: destination.kind,
            state: Progress::Held,
            attempts: 0,
            reason: Some("by the organisation's rules its day decides, when that is over".into()),
        });
    }
    for name in amount::of(&state.desk.store, &key).await? {
        let Some(destination) = theirs(state, visit).find(|d| d.name == name) else {
            continue;
        };
        receivers.push(DeliveryState {
            receiver: name,
            kind: destination.kind,
            state: Progress::LeftOut,
            attempts: 0,
            reason: Some("the organisation's rules leave it out for this receiver".into()),
        });
    }
    if receivers.is_empty() {
        return Err(Problem::not_found());
    }
    Ok(Delivery { key, receivers })
}

async fn kept_aside(state: &State, visit: &Visit<'_>, parts: &Parts) -> Result<Response, End> {
    let permit = asker(state, visit)?;
    let page = Page::of(parts, SHOWN, quarantine::place)?;
    let client = &visit.caller().client_id;
    let (entries, total, more) =
        quarantine::of(state, client, page.after.as_ref(), page.count).await?;
    visit.write(visit.record().permitted(&permit)).await?;
    let list = address(state, QUARANTINE);
    let kept = Quarantine {
        entries,
        total: total as u64,
        next: more.map(|last| page.next(&list, &quarantine::written(&last))),
    };
    Ok(json_response(StatusCode::OK, &kept))
}

/// Where a list is asked for.
pub(super) fn address(state: &State, path: &str) -> String {
    let base = state.config.base.as_str().trim_end_matches('/');
    format!("{base}{path}")
}

/// The organisation that the caller sends for.
fn sends_for(state: &State, visit: &Visit<'_>) -> Option<OrganisationNumber> {
    let organisation = visit.caller().organisation;
    organisation.and_then(|one| state.config.register.controller(&one))
}

/// The receivers of that organisation.
pub(super) fn theirs<'a>(
    state: &'a State,
    visit: &Visit<'_>,
) -> impl Iterator<Item = &'a Destination> + use<'a> {
    let organisation = sends_for(state, visit);
    state
        .destinations
        .iter()
        .filter(move |d| Some(d.orgnr) == organisation)
}
