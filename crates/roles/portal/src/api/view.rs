//! One patient's page. Each time it is asked for, everything is looked up anew; nothing is kept between two requests.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use wire::contract::demo::Purpose;

use super::visit::{Stop, Visit};
use crate::calendar::{bare_date, person_number};
use crate::page::{self, Patient};
use crate::{clinician, look_up};

/// `GET /views/{id}`.
pub async fn show(visit: Visit, Path(id): Path<String>) -> Response {
    let shown = async {
        let state = &visit.state;
        let (secret, visitor, person) = visit.clinician()?;
        let view = state.sessions.view(secret, &id).ok_or(Stop::NotFound)?;
        let patient = state.patients().get(view.patient).ok_or(Stop::NotFound)?;
        let found = look_up::look_up(state, person, patient, &visitor.key, &view)
            .await
            .map_err(Stop::LookUp)?;
        // All questions refused or unanswered: there is no page to show, and the reason is worth a page of its own.
        if found.receipts.is_empty()
            && let Some((_, error)) = found.failed.first()
        {
            return Err(Stop::LookUp(error.clone()));
        }
        let t = visit.t;
        let page = Patient {
            shell: visit.shell(),
            t,
            name: found
                .person
                .name
                .clone()
                .unwrap_or_else(|| patient.name.expose().to_owned()),
            number: person_number(patient.fnr.expose()),
            born: found.person.birth_date.as_deref().map(bare_date),
            purpose: match view.purpose {
                Purpose::Etreat => t.of("purpose.etreat"),
                _ => t.of("purpose.treat"),
            },
            page: clinician::page(&found, state.sources(&person.orgnr), &state.calendar, &t),
        };
        Ok(page::answer(StatusCode::OK, &page))
    };
    let result = shown.await;
    visit.ends(result)
}
