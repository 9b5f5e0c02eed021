//! A citizen's one place for who may look at what is held about her: asked of every sharing service that the locator names or she
//! chose (`organization`), each with a token of its own. The answer is Parameters (FHIR R4 parameters.html): a `holder` for each
//! that told, and the signed `receipt`, which says who did not.

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
use serde_json::{Value, json};
use std::sync::Arc;
use trust::{Ask, Interaction};
use wire::form::Form;
use wire::may_look::Told;
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
    let holders = told.map(|told| json!({"name": "holder", "resource": told.to_json()}));
    let receipt: Value =
        serde_json::from_str(&account.body).map_err(|_| Problem::bug("a receipt is not JSON"))?;
    let last = json!({"name": "receipt", "resource": receipt});
    let parameters: Vec<Value> = holders.chain([last]).collect();
    let answer = json!({"resourceType": "Parameters", "parameter": parameters});
    Ok(fhir_response(StatusCode::OK, answer.to_string()))
}
