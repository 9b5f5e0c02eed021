//! The start page: where to sign in, and in the demo the synthetic practitioners and citizens to choose among. And signing out.

use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, StatusCode, header};

use super::visit::{Stop, Visit};
use crate::launch;
use crate::page::{self, Choice, People};
use crate::session::{self, Seat};

/// `GET /`: the people to choose among; someone signed in goes on to the patients, or to her own log.
pub async fn show(visit: Visit) -> Response {
    if let Some((_, visitor)) = &visit.session {
        return Redirect::to(&first_page(&visitor.seat)).into_response();
    }
    let person = |(index, person): (usize, &wire::contract::demo::DemoPractitioner)| Choice {
        value: index.to_string(),
        name: person.name.expose().to_owned(),
        under: format!("{}, {}", person.role, visit.state.name_of(&person.orgnr)),
        chosen: false,
    };
    let people = visit
        .state
        .practitioners()
        .iter()
        .enumerate()
        .map(person)
        .collect();
    let citizen = |(index, person): (usize, &wire::contract::demo::DemoPatient)| Choice {
        value: format!("{CITIZEN}{index}"),
        name: person.name.expose().to_owned(),
        under: visit.t.of("people.citizen").to_owned(),
        chosen: false,
    };
    let citizens = visit.state.patients().iter().enumerate().map(citizen);
    let citizens = citizens.collect();
    page::answer(
        StatusCode::OK,
        &People {
            shell: visit.shell(),
            t: visit.t,
            people,
            citizens,
            alone: !visit.state.config.staff.is_empty(),
            own: visit.state.config.citizens,
        },
    )
}

/// Stands before a citizen's index in the form.
const CITIZEN: &str = "c";

/// Where a session begins.
pub fn first_page(seat: &Seat) -> String {
    match seat {
        Seat::Practitioner(_) => "/patients".to_owned(),
        Seat::Working(_) => "/list".to_owned(),
        Seat::Citizen(_) | Seat::SignedIn(_) => "/log".to_owned(),
        Seat::Launched(opened) => format!("/views/{}", opened.view),
    }
}

/// Who was chosen, if there is such a one.
fn chosen(visit: &Visit, text: &str) -> Option<Seat> {
    match text.strip_prefix(CITIZEN) {
        Some(index) => {
            let index: usize = index.parse().ok()?;
            visit.state.patients().get(index)?;
            Some(Seat::Citizen(index))
        }
        None => {
            let index: usize = text.parse().ok()?;
            visit.state.practitioners().get(index)?;
            Some(Seat::Practitioner(index))
        }
    }
}

/// `POST /session`: begins a session with a new secret.
pub async fn choose(visit: Visit, body: Body) -> Response {
    let begin = async {
        let form = visit.start_form(body).await?;
        let named = form.get("person").unwrap_or_default();
        let seat = chosen(&visit, named).ok_or(Stop::Form)?;
        visit.end_session();
        let first = first_page(&seat);
        let ids = visit.state.house.ids.clone();
        let patients = visit.state.patients().len();
        let secret = visit
            .state
            .sessions
            .begin(seat, patients, visit.state.now(), &*ids)
            .map_err(|error| {
                tracing::warn!(%error, "no session");
                Stop::Full
            })?;
        Ok(with_cookie(
            Redirect::to(&first).into_response(),
            &session::set_cookie(visit.state.https, Some(&secret)),
        ))
    };
    let result = begin.await;
    visit.ends(result)
}

/// `POST /session/end`: ends the session on the server and forgets the cookie; who signed in at the anchor for it is signed out there.
pub async fn leave(visit: Visit, body: Body) -> Response {
    let end = async {
        let (_, visitor) = visit.signed_in()?;
        visit.form(body).await?;
        visit.end_session();
        let sid = visitor.seat.sid();
        // A page that leads on, for a form of ours leads to our own pages only.
        let response = match sid.and_then(|sid| launch::sign_out(&visit.state, &sid)) {
            Some(on) => visit.leads_on(on),
            None => Redirect::to("/").into_response(),
        };
        let taken = session::set_cookie(visit.state.https, None);
        Ok(with_cookie(response, &taken))
    };
    let result = end.await;
    visit.ends(result)
}

/// Adds a `Set-Cookie`. Our cookies are ASCII, so the value always holds; if not, the browser simply gets none.
pub fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}
