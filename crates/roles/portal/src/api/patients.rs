//! The list of patients, and opening one for a purpose. The form sends session-local names; a person's number is in no
//! address and in no form.

use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use wire::contract::demo::Purpose;
use wire::form::Form;

use super::visit::{Stop, Visit};
use crate::calendar::person_number;
use crate::look_up::catalogue;
use crate::page::{self, Choice, Patients};
use crate::session::{Chosen, View};

/// Longest reason that a clinician may write.
const REASON: usize = 500;

/// `GET /patients`.
pub async fn show(visit: Visit) -> Response {
    let result = list(&visit, None).await;
    visit.ends(result)
}

async fn list(visit: &Visit, fault: Option<&'static str>) -> Result<Response, Stop> {
    let (_, visitor, _) = visit.clinician()?;
    let named = visit
        .state
        .patients()
        .iter()
        .zip(&visitor.patients)
        .enumerate();
    let patients = named
        .map(|(index, (patient, id))| Choice {
            value: id.clone(),
            name: patient.name.expose().to_owned(),
            under: person_number(patient.fnr.expose()),
            chosen: index == 0,
        })
        .collect();
    let organisations = organisations(visit).await;
    let page = Patients {
        shell: visit.shell(),
        t: visit.t,
        patients,
        catalogue: organisations.is_some(),
        organisations: organisations.unwrap_or_default(),
        fault,
    };
    Ok(page::answer(
        if fault.is_some() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::OK
        },
        &page,
    ))
}

/// The organisations that may be asked besides, if the catalogue answers.
pub async fn organisations(visit: &Visit) -> Option<Vec<Choice>> {
    let choice = |own: &catalogue::Offered| Choice {
        value: own.number.clone(),
        name: own.name.clone(),
        under: visit.t.fill("patients.orgnr", &[("number", &own.number)]),
        chosen: false,
    };
    match catalogue::offered(&visit.state).await {
        Ok(offered) => Some(offered.iter().map(choice).collect()),
        Err(error) => {
            tracing::warn!(%error, "no list from the catalogue");
            None
        }
    }
}

/// What a form says of the need.
pub struct Stated {
    /// What for.
    pub purpose: Purpose,
    /// The clinician's own words for why.
    pub reason: Option<String>,
    /// Organisation numbers chosen from the catalogue.
    pub organisations: Vec<String>,
}

/// Reads a need; `None` when the reason is too long.
///
/// # Errors
/// [`Stop::Form`] for what our pages do not send.
pub fn stated(form: &mut Form) -> Result<Option<Stated>, Stop> {
    let organisations = form.take("organization");
    let known = |number: &String| number.len() == 9 && number.bytes().all(|b| b.is_ascii_digit());
    if !organisations.iter().all(known) {
        return Err(Stop::Form);
    }
    let purpose = match form.get("purpose") {
        None | Some("TREAT") => Purpose::Treat,
        Some("ETREAT") => Purpose::Etreat,
        Some(_) => return Err(Stop::Form),
    };
    let reason = form.get("reason").map(str::trim);
    let reason = reason.filter(|reason| !reason.is_empty());
    if reason.is_some_and(|reason| reason.chars().count() > REASON) {
        return Ok(None);
    }
    Ok(Some(Stated {
        purpose,
        reason: reason.map(str::to_owned),
        organisations,
    }))
}

/// `POST /views`: opens a patient and goes to the page about them.
pub async fn open(visit: Visit, body: Body) -> Response {
    let opened = async {
        let (secret, visitor, _) = visit.clinician()?;
        let mut form = visit.form(body).await?;
        let stated = stated(&mut form)?;
        let Some(patient) = form.get("patient") else {
            return list(&visit, Some(visit.t.of("patients.fault_patient"))).await;
        };
        let patient = visitor
            .patients
            .iter()
            .position(|id| id == patient)
            .and_then(|index| visit.state.patients().get(index))
            .ok_or(Stop::NotFound)?;
        let Some(stated) = stated else {
            return list(&visit, Some(visit.t.of("patients.fault_reason"))).await;
        };
        let ids = &visit.state.house.ids;
        let view = View::Chosen(Chosen {
            number: patient.fnr.clone(),
            name: Some(patient.name.expose().to_owned()),
            purpose: stated.purpose,
            reason: stated.reason,
            organisations: stated.organisations,
            decision: ids().to_string(),
        });
        let id = visit
            .state
            .sessions
            .open_view(secret, view, &**ids)
            .ok_or(Stop::SignedOut)?;
        Ok(Redirect::to(&format!("/views/{id}")).into_response())
    };
    let result = opened.await;
    visit.ends(result)
}
