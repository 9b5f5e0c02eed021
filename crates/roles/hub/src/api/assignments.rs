//! An organisation's record system says which of its devices measures whom, and until when; and reads back what it said
//! (`assignment`). Always for its own organisation, which must have a receiver here.

use crate::{State, assignment};
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::{InformationService, ResourceType};
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use trust::{Ask, Interaction, Permit};
use wire::contract::hub::{Assigned, AssignmentEnd, Assignments, Named, NewAssignment};
use wire::outcome::{Problem, json_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Largest body, in bytes.
const BODY: usize = 16 * 1024;
/// Longest system or value of a device, in bytes.
const LONGEST: usize = 255;

/// `POST {hub}/assignments`: 201, and 409 where the device measures somebody at some of that time already.
pub async fn assign(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| assigned(&state, visit, &parts, body).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Assign, work)
        .await
}

/// `POST {hub}/assignments/end`: 200, and 404 where none of the organisation's runs then.
pub async fn end(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| ended(&state, visit, &parts, body).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Assign, work)
        .await
}

/// `GET {hub}/assignments`.
pub async fn list(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| listed(&state, visit).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Assign, work)
        .await
}

/// Who asks for which organisation.
fn asker(state: &State, visit: &Visit<'_>) -> Result<(Permit, OrganisationNumber), End> {
    let permit = visit.permit(&Ask::of(
        Interaction::Assign,
        ResourceType::DEVICE_USE_STATEMENT,
    ))?;
    let own = visit.caller().organisation;
    let own = own.and_then(|orgnr| state.config.register.controller(&orgnr));
    let measured = InformationService::MEASUREMENTS;
    let served = own.filter(|orgnr| state.destinations_of(*orgnr, measured).next().is_some());
    let words = "this hub delivers nothing to the caller's organisation";
    Ok((permit, served.ok_or_else(|| Problem::forbidden(words))?))
}

fn device(device: &Named) -> Result<(), Problem> {
    let sound = |text: &str| {
        !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
    };
    if sound(&device.system) && sound(&device.value) {
        return Ok(());
    }
    let words = "a device has system and value of 1 to 255 bytes without control characters";
    Err(Problem::unprocessable(vec![Issue::error(
        IssueCode::Value,
        "device",
        words,
    )]))
}

async fn assigned(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let (permit, orgnr) = asker(state, visit)?;
    let new: NewAssignment = wire::body::json(&parts.headers, body, BODY).await?;
    visit.asked("assignment of a device");
    device(&new.device)?;
    let fault =
        |code, place, words: &str| Problem::unprocessable(vec![Issue::error(code, place, words)]);
    let numbers = state.config.person_numbers;
    let patient = PersonIdentifier::parse(&new.patient.system, &new.patient.value, numbers);
    let patient = patient.map_err(|_| {
        fault(
            IssueCode::Value,
            "patient",
            "a national identity number with its system was expected",
        )
    })?;
    if state.config.synthetic_only && !patient.is_synthetic() {
        let words = "this is a demo: only numbers marked synthetic are taken in";
        return Err(fault(IssueCode::BusinessRule, "patient", words).into());
    }
    if new.until.is_some_and(|until| until <= new.from) {
        return Err(fault(
            IssueCode::Value,
            "until",
            "the end lies after the beginning",
        )
        .into());
    }
    let span = (new.from, new.until);
    let write = assignment::assign(state, orgnr, new.device.clone(), &patient, span).await?;
    let mut change = visit.change(visit.record().permitted(&permit).about(Some(patient)));
    change.ledger.push(write);
    visit.commit(change).await?;
    let told = Assigned {
        device: new.device,
        from: new.from,
        until: new.until,
    };
    Ok(json_response(StatusCode::CREATED, &told))
}

async fn ended(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let (permit, orgnr) = asker(state, visit)?;
    let asked: AssignmentEnd = wire::body::json(&parts.headers, body, BODY).await?;
    visit.asked("end of a device's assignment");
    device(&asked.device)?;
    let write = assignment::end(state, orgnr, &asked.device, asked.until).await?;
    let mut change = visit.change(visit.record().permitted(&permit));
    change.ledger.push(write);
    visit.commit(change).await?;
    Ok(json_response(StatusCode::OK, &asked))
}

async fn listed(state: &State, visit: &Visit<'_>) -> Result<Response, End> {
    let (permit, orgnr) = asker(state, visit)?;
    let assignments = assignment::of(state, orgnr).await?;
    visit.write(visit.record().permitted(&permit)).await?;
    Ok(json_response(StatusCode::OK, &Assignments { assignments }))
}
