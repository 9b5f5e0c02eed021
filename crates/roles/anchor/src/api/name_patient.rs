//! `POST /sign-in/patient`: health personnel names the patient whom an app was opened for (SMART App Launch 2.2, `launch/patient`). The
//! number comes in a form, goes into the attest and stands in no address. Whether anybody has data about that person is not said
//! here, and not known.

use super::authorize::{self, Halt};
use super::sign_in::form;
use crate::State;
use crate::sign_in::ticket::Ticket;
use axum::body::Body;
use axum::extract;
use axum::response::Response;
use fhir::ids::{PersonIdentifier, PersonNumbers};
use http::HeaderMap;
use std::sync::Arc;
use trust::attest::{AttestedPatient, Id};
use wire::oauth_error::OAuthCode;
use wire::request_id::RequestIds;

/// The patient, named.
pub(crate) async fn name_patient(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match named(&state, &ids, &headers, body).await {
        Ok(response) => response,
        Err(halt) => halt.answer(&state),
    }
}

async fn named(
    state: &State,
    ids: &RequestIds,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Halt> {
    let form = form(state, headers, body).await?;
    let (ticket, cookie) = Ticket::in_form(state, headers, &form)?;
    let login = ticket.login.ok_or(Halt::Malformed)?;
    let mut standing = authorize::standing(state, &ticket.request).await?;
    if form.get("stop").is_some() {
        let words = "the user broke off";
        let code = OAuthCode::AccessDenied;
        return authorize::refuse(state, ids, standing, Some(login), code, words).await;
    }
    let Some(patient) = person(state, form.get("number").unwrap_or_default()) else {
        return authorize::name_patient(state, &standing, login, cookie, true);
    };
    if !standing.request.leaves_patient_open() {
        return Err(Halt::Gone);
    }
    if let Some(statement) = &mut standing.request.statement {
        statement.patients = vec![AttestedPatient {
            identifier: Id {
                id: patient.value().expose().to_owned(),
                name: None,
                system: patient.system().to_owned(),
                authority: None,
            },
            point_of_care: None,
            department: None,
        }];
    }
    authorize::complete(state, ids, standing, login, cookie).await
}

/// A number as people write it, with or without a space; in the demo, only one that is nobody's.
fn person(state: &State, text: &str) -> Option<PersonIdentifier> {
    let digits: String = text.chars().filter(|one| !one.is_whitespace()).collect();
    let person = PersonIdentifier::guess(&digits, PersonNumbers::Strict).ok()?;
    (state.config.demo.is_none() || person.is_synthetic()).then_some(person)
}
