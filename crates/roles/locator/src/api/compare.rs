//! A holder compares its own pointers with the locator's, branch by branch (`wire::drift`). It learns of its own alone: the
//! tags are made by a key that only this holder is told, and the branches are those of its own leaves.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use trust::encoding::base64url;
use trust::{Ask, Interaction};
use wire::contract::locator::{Compared, Comparison};
use wire::drift::{self, Prefix};
use wire::outcome::{Problem, json_response};
use wire::request_id::RequestIds;
use wire::visit::End;

use super::{NOT_A_MEMBER, own_seat};
use crate::State;
use crate::leaves;
use crate::reception::Guest;

/// Largest body, in bytes.
const BODY: usize = 4 * 1024;

/// `POST {locator}/compare`: 200 and the branch.
pub async fn compare(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |guest: &mut Guest<'_>| answer(&state, guest, &parts, body).await;
    let reception = &state.reception;
    reception
        .serve(&parts, ids, Interaction::Register, work)
        .await
}

async fn answer(
    state: &State,
    guest: &mut Guest<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let permit = guest.permit(&Ask::of(Interaction::Register, ResourceType::BUNDLE))?;
    let asked: Comparison = wire::body::json(&parts.headers, body, BODY).await?;
    let seat = own_seat(state, guest, &asked.holder)?;
    let prefix = Prefix::parse(&asked.prefix).ok_or_else(|| {
        Problem::invalid(
            IssueCode::Value,
            "prefix",
            "expected up to 32 hexadecimal digits",
        )
    })?;
    guest.asked(&format!("holder={} prefix={}", seat.service, prefix.text()));
    if !state.is_member(seat.orgnr) {
        return Err(End::Refused(NOT_A_MEMBER));
    }
    let keys = state.reception.keys().pointers();
    let newest = keys.first().ok_or_else(|| Problem::bug("no pointer key"))?;
    let leaves = leaves::of(state, seat, newest.version, &prefix, guest.now()).await?;
    let compared = Compared {
        key: base64url(newest.tag_key(&seat.service).as_ref()).into(),
        version: newest.version,
        node: drift::node(&leaves, &prefix),
    };
    let record = guest.record().permitted(&permit);
    guest.commit(record, Vec::new()).await?;
    Ok(json_response(StatusCode::OK, &compared))
}
