//! A citizen's one place for who may look at what is held about her: asked of every sharing service that the locator names or she
//! chose (`organization`), each with a token of its own. The answer is Parameters (FHIR R4 parameters.html): a `holder` for each
//! that told, a `representative` for each who acts for her (the anchor knows, and says so in her token for the gateway), and the
//! signed `receipt`, which says who did not tell.

use super::consent::{accounted, chosen_by, holders};
use super::{opened, received};
use crate::State;
use crate::account;
use crate::deadline::Deadline;
use crate::wishes::{Round, receipt};
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use trust::{Ask, Interaction, RepresentedBy};
use wire::form::Form;
use wire::may_look::{Everywhere, Representative, Told};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// `POST {gateway}/fhir/$may-look`.
pub async fn everywhere(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let what = Interaction::MayLook;
    received(state, parts, ids, what, move |state, visit, parts| {
        Box::pin(answer(state, visit, parts, body))
    })
    .await
}

async fn answer(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::MayLook, ResourceType::AUDIT_EVENT))?;
    let patient = opened::patient_of(&permit)?;
    let form = wire::operation::read(&parts.headers, body).await?;
    let chosen = chosen_by(state, visit, Form(form))?;
    let deadline = Deadline::after(state.config.total_deadline);
    let sources = holders(state, visit, &chosen, &deadline).await;
    let round = Round {
        state,
        visit,
        patient,
        deadline: &deadline,
    };
    let heard = round.may_look(&sources).await;
    // Who holds nothing about her has nothing that anybody may look at.
    let count = |told: &Told| match told.held.is_empty() {
        true => 0,
        false => told.readers.len(),
    };
    let receipt = receipt(&sources, &heard, count);
    let status = account::failure(&receipt).unwrap_or(StatusCode::OK);
    let account = accounted(state, visit, &permit, &sources, (receipt, status)).await?;
    if !account.status.is_success() {
        return Ok(fhir_response(account.status, account.body));
    }
    let told = heard.iter().filter_map(|one| one.told());
    // The token that she asks with says who acts for her; who acts for her hears of no others.
    let acting = visit.caller().represented_by.iter();
    let answer = Everywhere {
        holders: told.cloned().collect(),
        representatives: acting.map(representative).collect(),
        receipt: serde_json::from_str(&account.body)
            .map_err(|_| Problem::bug("a receipt is not JSON"))?,
    };
    let answer = answer.to_json();
    Ok(fhir_response(StatusCode::OK, answer.to_string()))
}

fn representative(acting: &RepresentedBy) -> Representative {
    Representative {
        name: acting.name.clone(),
        services: acting.by.services.clone(),
        log: acting.by.log,
        notes: acting.by.notes,
    }
}
