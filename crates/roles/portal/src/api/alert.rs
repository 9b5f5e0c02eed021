//! One patient's alerts at the organisation's own service, with a form for each step. What the service refuses is told in plain words
//! over the alert as it is now; nothing is taken twice.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde_json::Value;

use super::row;
use super::visit::{Stop, Visit, at_own_service};
use crate::State;
use crate::alert;
use crate::calendar::person_number;
use crate::look_up::own::{OfPatient, Own, Step, Taken, Wanted};
use crate::page::{self, Alerts, Choice};
use crate::session::View;

/// Longest note, in characters, as the service takes it.
const NOTE: usize = 4_000;

/// The patient of an address, where she was chosen by somebody who works here.
fn chosen(visit: &Visit, id: &str) -> Result<View, Stop> {
    let (secret, _) = visit.personnel()?;
    let view = visit.state.sessions.view(secret, id);
    view.ok_or(Stop::NotFound)
}

/// Her alerts by the tokens of whoever works here.
async fn alerts(visit: &Visit, view: &View) -> Result<Vec<Value>, Stop> {
    let (_, by) = visit.personnel()?;
    let own = Own::of(&visit.state, by).await.map_err(at_own_service)?;
    let patient = own.patient(view).await.map_err(at_own_service)?;
    tasks(&patient).await
}

/// `GET /views/{id}/alerts`.
pub async fn show(visit: Visit, Path(id): Path<String>) -> Response {
    let result = async {
        let view = chosen(&visit, &id)?;
        if row::is_to_be_opened(&visit, &view) {
            return row::open(&visit, &id, format!("/views/{id}/alerts")).await;
        }
        let tasks = match alerts(&visit, &view).await {
            Err(Stop::Over) if row::is_to_be_opened_anew(&visit, &view) => {
                return row::open(&visit, &id, format!("/views/{id}/alerts")).await;
            }
            tasks => tasks?,
        };
        let page = page(&visit, &id, &view, &tasks, None);
        Ok(page::answer(StatusCode::OK, &page))
    };
    let result = result.await;
    visit.ends(result)
}

async fn tasks(patient: &OfPatient<'_>) -> Result<Vec<Value>, Stop> {
    patient.alerts().await.map_err(at_own_service)
}

/// `POST /views/{id}/alerts`: takes a step.
pub async fn step(visit: Visit, Path(id): Path<String>, body: Body) -> Response {
    let result = async {
        let view = chosen(&visit, &id)?;
        let form = visit.form(body).await?;
        let text = |name: &str| form.get(name).unwrap_or_default();
        let known = |text: &str| {
            !text.is_empty()
                && text.len() <= 64
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let step = Step::parse(text("step")).ok_or(Stop::Form)?;
        let version = text("version").parse().map_err(|_| Stop::Form)?;
        let note = text("note").trim();
        if !known(text("task")) || note.chars().count() > NOTE {
            return Err(Stop::Form);
        }
        let to = (step == Step::HandOver).then(|| text("to"));
        let with = (step == Step::Join).then(|| text("with"));
        let wanted = Wanted {
            task: text("task"),
            version,
            step,
            note: Some(note).filter(|note| !note.is_empty()),
            shared: text("shared") == "true",
            to,
            with,
        };
        let state: Arc<State> = visit.state.clone();
        let (_, by) = visit.personnel()?;
        let own = Own::of(&state, by).await.map_err(at_own_service)?;
        let patient = own.patient(&view).await.map_err(at_own_service)?;
        let taken = patient.step(&wanted).await.map_err(at_own_service)?;
        let t = &visit.t;
        let tasks = match taken {
            Taken::Done => return Ok(Redirect::to(&format!("/views/{id}/alerts")).into_response()),
            Taken::Changed | Taken::Incomplete => tasks(&patient).await?,
        };
        let now = tasks.iter().find(|task| task["id"] == wanted.task);
        let (status, said) = match (taken, now) {
            (Taken::Incomplete, _) if step == Step::Join && wanted.note.is_some() => (
                StatusCode::UNPROCESSABLE_ENTITY,
                t.of("alert.not_joined").to_owned(),
            ),
            (Taken::Incomplete, _) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                t.of("alert.takes_note").to_owned(),
            ),
            (_, Some(task)) if alert::is_closed(task) => {
                (StatusCode::CONFLICT, t.of("alert.is_closed").to_owned())
            }
            (_, Some(_)) if step == Step::Join => {
                (StatusCode::CONFLICT, t.of("alert.not_joined").to_owned())
            }
            (_, Some(task)) => {
                let said = match alert::owner(task) {
                    Some(owner) => t.fill("alert.has_taken", &[("name", owner)]),
                    None => t.of("alert.changed").to_owned(),
                };
                (StatusCode::CONFLICT, said)
            }
            (_, None) => (StatusCode::CONFLICT, t.of("alert.changed").to_owned()),
        };
        let fault = Fault {
            said,
            task: wanted.task.to_owned(),
            note: note.to_owned(),
        };
        let page = page(&visit, &id, &view, &tasks, Some(fault));
        Ok(page::answer(status, &page))
    };
    let result = result.await;
    visit.ends(result)
}

/// Why a step was not taken, and what was written, which is not lost.
pub struct Fault {
    /// In words.
    pub said: String,
    /// The alert.
    pub task: String,
    /// The note.
    pub note: String,
}

fn page(visit: &Visit, id: &str, view: &View, tasks: &[Value], fault: Option<Fault>) -> Alerts {
    let (state, t) = (&visit.state, visit.t);
    let own = visit
        .personnel()
        .map(|(_, by)| by.organisation().to_owned());
    let own = own.unwrap_or_default();
    let organisations = state.config.organisations.iter();
    let organisations = organisations.filter(|one| one.part_of.is_none() && one.orgnr != own);
    let name = view.name().cloned();
    Alerts {
        shell: visit.shell(),
        t,
        id: id.to_owned(),
        name: name.unwrap_or_else(|| t.of("launch.no_name").to_owned()),
        number: person_number(view.number().expose()),
        alerts: tasks
            .iter()
            .filter_map(|task| alert::page(task, tasks, state, &t))
            .collect(),
        organisations: organisations
            .map(|one| Choice {
                value: one.orgnr.clone(),
                name: one.name.clone(),
                under: String::new(),
                chosen: false,
            })
            .collect(),
        fault,
    }
}
