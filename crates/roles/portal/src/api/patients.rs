//! The list of patients, and opening one for a purpose. The form sends session-local names; a person's number is in no
//! address and in no form.

use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use wire::contract::demo::Purpose;

use super::visit::{Stop, Visit};
use crate::calendar::person_number;
use crate::look_up::catalogue;
use crate::page::{self, Choice, Patients};
use crate::session::View;

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
    let offered = catalogue::offered(&visit.state).await;
    let organisations = offered.as_ref().map(|offered| {
        let choice = |own: &catalogue::Offered| Choice {
            value: own.number.clone(),
            name: own.name.clone(),
            under: visit.t.fill("patients.orgnr", &[("number", &own.number)]),
            chosen: false,
        };
        offered.iter().map(choice).collect()
    });
    if let Err(error) = &offered {
        tracing::warn!(%error, "no list from the catalogue");
    }
    let page = Patients {
        shell: visit.shell(),
        t: visit.t,
        patients,
        catalogue: organisations.is_ok(),
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

/// `POST /views`: opens a patient and goes to the page about them.
pub async fn open(visit: Visit, body: Body) -> Response {
    let opened = async {
        let (secret, visitor, _) = visit.clinician()?;
        let mut form = visit.form(body).await?;
        let organisations = form.take("organization");
        let known =
            |number: &String| number.len() == 9 && number.bytes().all(|b| b.is_ascii_digit());
        if !organisations.iter().all(known) {
            return Err(Stop::Form);
        }
        let Some(patient) = form.get("patient") else {
            return list(&visit, Some(visit.t.of("patients.fault_patient"))).await;
        };
        let patient = visitor
            .patients
            .iter()
            .position(|id| id == patient)
            .ok_or(Stop::NotFound)?;
        let purpose = match form.get("purpose") {
            None | Some("TREAT") => Purpose::Treat,
            Some("ETREAT") => Purpose::Etreat,
            Some(_) => return Err(Stop::Form),
        };
        let reason = form
            .get("reason")
            .map(str::trim)
            .filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| reason.chars().count() > REASON) {
            return list(&visit, Some(visit.t.of("patients.fault_reason"))).await;
        }
        let ids = &visit.state.house.ids;
        let view = View {
            patient,
            purpose,
            reason: reason.map(str::to_owned),
            organisations,
            decision: ids().to_string(),
        };
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
