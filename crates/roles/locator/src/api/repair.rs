//! A holder repairs what a comparison found: what it knows nothing of, or knows otherwise, goes, whatever number it bore, and
//! what it has takes its place; what has turned since the comparison stands. Its own pointers alone.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use trust::{Ask, Interaction};
use wire::contract::locator::{MAX_ENTRIES, Repair, Repaired};
use wire::outcome::{Problem, json_response};
use wire::request_id::RequestIds;
use wire::visit::End;

use super::{NOT_A_MEMBER, bounded, own_seat};
use crate::State;
use crate::leaves;
use crate::reception::Guest;

/// Largest body, in bytes, as of a registration.
const BODY: usize = 8 * 1024 * 1024;

/// `POST {locator}/repair`: 200 and how many pointers changed.
pub async fn repair(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |guest: &mut Guest<'_>| take(&state, guest, &parts, body).await;
    let reception = &state.reception;
    reception
        .serve(&parts, ids, Interaction::Register, work)
        .await
}

async fn take(
    state: &State,
    guest: &mut Guest<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let permit = guest.permit(&Ask::of(Interaction::Register, ResourceType::BUNDLE))?;
    let repair: Repair = wire::body::json(&parts.headers, body, BODY).await?;
    let seat = own_seat(state, guest, &repair.holder)?;
    let (entries, strays) = (repair.entries.len(), repair.strays.len());
    guest.asked(&format!(
        "holder={} entries={entries} strays={strays}",
        seat.service
    ));
    if !state.is_member(seat.orgnr) {
        return Err(End::Refused(NOT_A_MEMBER));
    }
    bounded(&repair.entries)?;
    if entries > MAX_ENTRIES || strays > MAX_ENTRIES {
        let words = format!("more than {MAX_ENTRIES} entries or strays");
        return Err(Problem::invalid(IssueCode::TooLong, "entries", words).into());
    }
    let _turn = seat.turn.lock().await;
    let (ledger, changed) = leaves::repair(state, seat, &repair, guest.now()).await?;
    let record = guest.record().permitted(&permit);
    guest.commit(record, ledger).await?;
    Ok(json_response(StatusCode::OK, &Repaired { changed }))
}
