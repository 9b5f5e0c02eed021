//! `GET /launch`: a record system opens the portal for a patient (SMART App Launch 2.2); `GET /callback`: the browser comes back from
//! the anchor, with a patient or as a citizen. Each begins a session of its own; the one that the browser had from an earlier launch ends, so that a page
//! shows one patient and no other.

use std::sync::Arc;

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Redirect, Response};
use wire::form::Form;

use super::people::{first_page, with_cookie};
use super::visit::{Stop, Visit};
use crate::launch::{self, Back, Begun, Fault, Launch, Opened, Row};
use crate::session::{self, Seat};

/// The parameters of an address, each once.
fn parameters(query: Option<&str>, fault: Fault) -> Result<Form, Stop> {
    Form::parse(query.unwrap_or_default().as_bytes())
        .and_then(Form::once)
        .map_err(|_| Stop::Launch(fault))
}

/// `GET /launch?iss=…&launch=…`.
pub async fn open(visit: Visit, RawQuery(query): RawQuery) -> Response {
    let opened = async {
        // Neither in somebody's frame nor as somebody's image.
        if visit.is_embedded() {
            return Err(Stop::Launch(Fault::Stranger));
        }
        let form = parameters(query.as_deref(), Fault::Stranger)?;
        let (Some(iss), Some(handle)) = (form.get("iss"), form.get("launch")) else {
            return Err(Stop::Launch(Fault::Stranger));
        };
        let launch = Launch::ByRecordSystem { iss, handle };
        to_the_anchor(&visit, launch, |to| Redirect::to(&to).into_response()).await
    };
    let result = opened.await;
    visit.ends(result)
}

/// Sends the browser to the anchor by an answer made of the address, with a cookie by which it is known when it comes back.
pub async fn to_the_anchor(
    visit: &Visit,
    launch: Launch<'_>,
    answer: impl FnOnce(String) -> Response,
) -> Result<Response, Stop> {
    let state = &visit.state;
    let fresh = visit
        .browser
        .is_none()
        .then(|| session::random(&*state.house.ids));
    let browser = visit.browser.as_deref().or(fresh.as_deref());
    let to = launch::begin(state, launch, browser.unwrap_or_default())
        .await
        .map_err(Stop::Launch)?;
    let response = answer(to);
    Ok(match fresh {
        Some(fresh) => with_cookie(response, &launch::set_cookie(state.https, &fresh)),
        None => response,
    })
}

/// A patient of a list, in the session whose list it is: that goes on, unless it ended meanwhile.
fn row_opened(visit: &Visit, row: &Row, opened: Arc<Opened>) -> Result<Response, Stop> {
    let state = &visit.state;
    let tokens = opened.tokens.clone();
    let Some(over) = state.sessions.open_row(&row.session, opened, state.now()) else {
        launch::end(state, &tokens);
        return Err(Stop::Launch(Fault::Lost));
    };
    over.iter().for_each(|old| launch::end(state, old));
    Ok(visit.leads_on(row.on.clone()))
}

/// `GET /callback?code=…&state=…&iss=…`. The answer is a page that leads on by itself: only a step from our own page brings the
/// session's cookie along, which no other site's link may.
pub async fn back(visit: Visit, RawQuery(query): RawQuery) -> Response {
    let opened = async {
        let form = parameters(query.as_deref(), Fault::Lost)?;
        let text = |name: &str| form.get(name).unwrap_or_default();
        let back = Back {
            state: text("state"),
            iss: text("iss"),
            code: form.get("code").filter(|_| form.get("error").is_none()),
        };
        let state = &visit.state;
        let browser = visit.browser.as_deref().ok_or(Stop::Launch(Fault::Lost))?;
        let begun = launch::complete(state, &back, browser)
            .await
            .map_err(Stop::Launch)?;
        let seat = match begun {
            Begun::Patient(opened) => Seat::Launched(Arc::new(opened)),
            Begun::Citizen(citizen) => Seat::SignedIn(Arc::new(citizen)),
            Begun::List(working) => Seat::Working(Arc::new(working)),
            Begun::Row(row, opened) => return row_opened(&visit, &row, Arc::new(opened)),
        };
        let on = first_page(&seat);
        visit.end_session();
        let tokens = seat.tokens().cloned();
        let begun = state
            .sessions
            .begin_back(seat, browser, state.now(), &*state.house.ids);
        let (secret, ended) = begun.map_err(|_| {
            tokens.iter().for_each(|tokens| launch::end(state, tokens));
            Stop::Full
        })?;
        for old in ended {
            launch::end(state, &old);
        }
        let cookie = session::set_cookie(state.https, Some(&secret));
        Ok(with_cookie(visit.leads_on(on), &cookie))
    };
    let result = opened.await;
    visit.ends(result)
}
