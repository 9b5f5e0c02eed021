//! Where one patient's data is (CONTRACT section 8): asked by a gateway in a user's name, about the token's own patient.
//! One patient a call, no listing. A practitioner's organisation must be a member; a citizen belongs to none and asks about
//! herself or whom she represents.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::IssueCode;
use fhir::resource::{InformationService, ResourceType};
use http::StatusCode;
use http::request::Parts;
use trust::audit::Disclosed;
use trust::{Ask, Interaction, Permit, PermitScope, Person};
use wire::contract::locator::LocateRequest;
use wire::outcome::{Problem, json_response};
use wire::request_id::RequestIds;
use wire::visit::End;

use super::NOT_A_MEMBER;
use crate::State;
use crate::locate::{self, Found};
use crate::reception::Guest;

/// Largest body, in bytes.
const BODY: usize = 4 * 1024;

/// `POST {locator}/locate`: 200, with the holders that the caller may know of and the agreement's members.
pub async fn locate(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |guest: &mut Guest<'_>| answer(&state, guest, &parts, body).await;
    let reception = &state.reception;
    reception
        .serve(&parts, ids, Interaction::Locate, work)
        .await
}

async fn answer(
    state: &State,
    guest: &mut Guest<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let permit = guest.permit(&Ask::of(Interaction::Locate, ResourceType::BUNDLE))?;
    bound(state, guest)?;
    let request: LocateRequest = wire::body::json(&parts.headers, body, BODY).await?;
    let kinds = asked_for(guest, request, &permit)?;
    let PermitScope::Patient(patient) = permit.patient() else {
        return Err(Problem::bug("a permit to locate names no patient").into());
    };
    spend(state, guest, patient)?;
    let found = locate::holders(state, guest.caller(), patient, &kinds, guest.now()).await?;
    let record = guest
        .record()
        .permitted(&permit)
        .disclosing(disclosed(&found));
    guest.commit(record, Vec::new()).await?;
    Ok(json_response(StatusCode::OK, &found.answer))
}

/// Is the caller one of those whom the agreement lets ask?
fn bound(state: &State, guest: &Guest<'_>) -> Result<(), End> {
    let caller = guest.caller();
    let bound = match &caller.person {
        Person::Citizen { .. } => true,
        _ => caller
            .organisation
            .is_some_and(|organisation| state.is_member(organisation)),
    };
    if bound {
        Ok(())
    } else {
        Err(End::Refused(NOT_A_MEMBER))
    }
}

/// The kinds that were asked for and that the purpose opens.
fn asked_for(
    guest: &mut Guest<'_>,
    request: LocateRequest,
    permit: &Permit,
) -> Result<Vec<InformationService>, End> {
    if request.kinds.is_empty() {
        let words = "at least one kind; an empty list never means all";
        return Err(Problem::invalid(IssueCode::Required, "kinds", words).into());
    }
    if request.kinds.len() > InformationService::ALL.len() {
        let words = "more kinds than there are";
        return Err(Problem::invalid(IssueCode::TooLong, "kinds", words).into());
    }
    let names: Vec<String> = request.kinds.iter().map(ToString::to_string).collect();
    guest.asked(&format!("kinds={}", names.join(",")));
    let opened = request.kinds.into_iter();
    Ok(opened.filter(|kind| permit.opens(Some(*kind))).collect())
}

/// Counts the patient, whoever it is, before anything is looked up.
fn spend(
    state: &State,
    guest: &Guest<'_>,
    patient: &fhir::ids::PersonIdentifier,
) -> Result<(), End> {
    let caller = guest.caller();
    let client = caller.gateway.as_deref().unwrap_or(&caller.client_id);
    let keys = state.reception.keys();
    let trace = |person| keys.trace(person);
    let person = caller.person.identifier().map(trace);
    let spent = state.spent.spend(
        client,
        &person.unwrap_or_default(),
        trace(patient),
        guest.now(),
    );
    spent.map_err(|exceeded| {
        tracing::warn!(client, budget = ?exceeded.asker, "a budget of distinct patients is used up");
        Problem::throttled(exceeded.retry_after).into()
    })
}

fn disclosed(found: &Found) -> Vec<Disclosed> {
    let holders = found.answer.holders.iter().zip(&found.sequences);
    holders
        .map(|(holder, sequence)| Disclosed {
            resource: "Pointer".to_owned(),
            id: holder.service.clone(),
            version: *sequence,
        })
        .collect()
}
