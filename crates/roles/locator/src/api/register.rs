//! A holder announces (CONTRACT section 8): its own pointers only, and nobody else's. Without entries it is a heartbeat. The
//! answer says up to which number everything has arrived, so that a locator that lost its memory is told again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use trust::{Ask, Interaction};
use wire::contract::locator::{Accepted, MAX_ENTRIES, Registration};
use wire::outcome::{Problem, json_response};
use wire::request_id::RequestIds;
use wire::visit::End;

use super::{NOT_A_MEMBER, bounded, own_seat};
use crate::State;
use crate::reception::Guest;
use crate::register;

/// Largest body, in bytes: [`MAX_ENTRIES`] entries are about 80 kB, and what patients have closed a little more; with all that they may
/// close, 7 MB.
const BODY: usize = 8 * 1024 * 1024;

/// `POST {locator}/register`: 200 and how many entries were taken in.
pub async fn register(
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
    let registration: Registration = wire::body::json(&parts.headers, body, BODY).await?;
    let seat = own_seat(state, guest, &registration.holder)?;
    let count = registration.entries.len();
    let told = format!(
        "holder={} entries={count} high_water={}",
        seat.service, registration.high_water
    );
    guest.asked(&told);
    if !state.is_member(seat.orgnr) {
        return Err(End::Refused(NOT_A_MEMBER));
    }
    bounded(&registration.entries)?;
    if count > MAX_ENTRIES {
        let words = format!("more than {MAX_ENTRIES} entries");
        return Err(Problem::invalid(IssueCode::TooLong, "entries", words).into());
    }

    let _turn = seat.turn.lock().await;
    let (ledger, heard) = register::changes(state, seat, &registration, guest.now()).await?;
    let record = guest.record().permitted(&permit);
    guest.commit(record, ledger).await?;
    seat.note(heard);
    let accepted = Accepted {
        accepted: count as u64,
        complete: Some(heard.told()),
    };
    Ok(json_response(StatusCode::OK, &accepted))
}
