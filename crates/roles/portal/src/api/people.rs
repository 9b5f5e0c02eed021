//! Sign-in of the first form: in the demo, choose one of the synthetic practitioners. And signing out.

use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, StatusCode, header};

use super::visit::{Stop, Visit};
use crate::page::{self, Choice, People};
use crate::session;

/// `GET /`: the people to choose among; someone signed in goes on to the patients.
pub async fn show(visit: Visit) -> Response {
    if visit.session.is_some() {
        return Redirect::to("/patients").into_response();
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
    page::answer(
        StatusCode::OK,
        &People {
            shell: visit.shell(),
            t: visit.t,
            people,
        },
    )
}

/// `POST /session`: begins a session with a new secret.
pub async fn choose(visit: Visit, body: Body) -> Response {
    let begin = async {
        let form = visit.form(body).await?;
        let index: usize = form
            .get("person")
            .and_then(|text| text.parse().ok())
            .ok_or(Stop::Form)?;
        if index >= visit.state.practitioners().len() {
            return Err(Stop::Form);
        }
        if let Some((old, _)) = &visit.session {
            visit.state.sessions.end(old);
        }
        let ids = visit.state.house.ids.clone();
        let patients = visit.state.patients().len();
        let secret = visit
            .state
            .sessions
            .begin(index, patients, visit.state.now(), &*ids)
            .map_err(|error| {
                tracing::warn!(%error, "no session");
                Stop::Full
            })?;
        Ok(with_cookie(
            Redirect::to("/patients").into_response(),
            &session::set_cookie(visit.state.https, Some(&secret)),
        ))
    };
    let result = begin.await;
    visit.ends(result)
}

/// `POST /session/end`: ends the session on the server and forgets the cookie.
pub async fn leave(visit: Visit, body: Body) -> Response {
    let end = async {
        let (secret, _) = visit.signed_in()?;
        visit.form(body).await?;
        visit.state.sessions.end(secret);
        Ok(with_cookie(
            Redirect::to("/").into_response(),
            &session::set_cookie(visit.state.https, None),
        ))
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
