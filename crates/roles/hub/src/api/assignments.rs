//! An organisation's record system says which of its devices measures whom, and until when; and reads back what it said
//! (`assignment`). Always for its own organisation, which must have a receiver here.

use super::page::Page;
use super::receive::pace;
use crate::quarantine::{hash_of, hex};
use crate::{State, assignment};
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::{InformationService, ResourceType};
use fhir::time::Instant;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use trust::{Ask, Interaction, Permit};
use wire::contract::hub::{
    ASSIGNMENTS, Assigned, AssignmentEnd, Assignments, Named, NewAssignment,
};
use wire::outcome::{Problem, json_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Largest body, in bytes.
const BODY: usize = 16 * 1024;
/// Longest system or value of a device, in bytes.
const LONGEST: usize = 255;
/// Assignments shown in one answer.
const SHOWN: usize = 1_000;

/// `POST {hub}/assignments`: 201, and 409 where the device measures somebody at some of that time already.
pub async fn assign(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| assigned(&state, visit, &parts, body).await;
    state.serve(&parts, ids, Interaction::Assign, work).await
}

/// `POST {hub}/assignments/end`: 200, and 404 where none of the organisation's runs then.
pub async fn end(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| ended(&state, visit, &parts, body).await;
    state.serve(&parts, ids, Interaction::Assign, work).await
}

/// `GET {hub}/assignments?count=N&after=…`: a page of the organisation's own, and where the next is.
pub async fn list(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| listed(&state, visit, &parts).await;
    state.serve(&parts, ids, Interaction::Assign, work).await
}

/// Who asks for which organisation, at the pace of all who send.
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
    let served = served.ok_or_else(|| Problem::forbidden(words))?;
    pace(state, visit, 1)?;
    Ok((permit, served))
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

/// A time as the audit trail has it.
fn time(at: Option<Instant>) -> String {
    at.map_or("open".to_owned(), |at| at.to_string())
}

async fn assigned(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let (permit, orgnr) = asker(state, visit)?;
    let new: NewAssignment = wire::body::json(&parts.headers, body, BODY).await?;
    device(&new.device)?;
    let name = hex(assignment::key(state, &new.device));
    visit.asked(&format!(
        "device {name} from {} until {}",
        new.from,
        time(new.until)
    ));
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
    visit.asked(&format!(
        "patient {}",
        hex(assignment::whose(state, &patient))
    ));
    let span = (new.from, new.until);
    let (write, counted) =
        assignment::assign(state, orgnr, new.device.clone(), &patient, span).await?;
    let mut change = visit.change(visit.record().permitted(&permit).about(Some(patient)));
    change.ledger.push(write);
    if let Err(end) = visit.commit(change).await {
        counted.undone(state).await;
        return Err(end);
    }
    counted.durable(state);
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
    device(&asked.device)?;
    let name = hex(assignment::key(state, &asked.device));
    visit.asked(&format!("device {name} until {}", asked.until));
    let ended = assignment::end(state, orgnr, &asked.device, asked.until).await?;
    visit.asked(&format!(
        "formerly until {} patient {}",
        time(ended.former),
        hex(ended.patient)
    ));
    let mut change = visit.change(visit.record().permitted(&permit));
    change.ledger.push(ended.write);
    visit.commit(change).await?;
    Ok(json_response(StatusCode::OK, &asked))
}

async fn listed(state: &State, visit: &mut Visit<'_>, parts: &Parts) -> Result<Response, End> {
    let (permit, orgnr) = asker(state, visit)?;
    let page = Page::of(parts, SHOWN, hash_of)?;
    if let Some(after) = page.after {
        visit.asked(&format!("after device {}", hex(after)));
    }
    let (assignments, more) = assignment::of(state, orgnr, page.after, page.count).await?;
    visit.write(visit.record().permitted(&permit)).await?;
    let base = state.config.base.as_str().trim_end_matches('/');
    let next = more.map(|last| page.next(&format!("{base}{ASSIGNMENTS}"), &hex(last)));
    Ok(json_response(
        StatusCode::OK,
        &Assignments { assignments, next },
    ))
}
