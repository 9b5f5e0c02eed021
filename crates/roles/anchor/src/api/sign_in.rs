//! `POST /sign-in`: the choice of a synthetic person, in demo mode; `GET /sign-in`: who is signed in at this browser;
//! and the pages' styles.

use super::authorize::{self, Halt, Standing};
use crate::State;
use crate::login::Login;
use crate::sign_in::ticket::{Ticket, seal};
use crate::sign_in::{browser, page};
use axum::body::Body;
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::sync::Arc;
use wire::form::{self, Form};
use wire::oauth_error::OAuthCode;
use wire::request_id::RequestIds;

/// The choice of a person.
pub(crate) async fn choose(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match chosen(&state, &ids, &headers, body).await {
        Ok(response) => response,
        Err(halt) => halt.answer(&state),
    }
}

async fn chosen(
    state: &State,
    ids: &RequestIds,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Halt> {
    let form = form(state, headers, body).await?;
    let (ticket, cookie) = Ticket::in_form(state, headers, &form)?;
    if ticket.login.is_some() {
        return Err(Halt::Malformed);
    }
    let standing = authorize::standing(state, &ticket.request).await?;
    if form.get("person") == Some("none") {
        let words = "the user broke off";
        return authorize::refuse(state, ids, standing, None, OAuthCode::AccessDenied, words).await;
    }
    let login =
        person(state, &standing, form.get("person").unwrap_or_default()).ok_or(Halt::Malformed)?;
    signed_in(state, ids, standing, login, cookie).await
}

/// Answers the request of somebody who signed in just now, and begins the browser's session.
pub(crate) async fn signed_in(
    state: &State,
    ids: &RequestIds,
    standing: Standing<'_>,
    login: Login,
    cookie: &str,
) -> Result<Response, Halt> {
    // A new session under a new secret, whoever sat here before.
    let secret = browser::new_secret(state);
    let mut response = authorize::complete(state, ids, standing, login.clone(), &secret).await?;
    state.sessions.end(cookie);
    state
        .sessions
        .begin(&secret, login, (state.house.clock)().seconds());
    browser::set_secret(state, &mut response, Some(&secret));
    Ok(response)
}

/// A form that nothing says came from another site.
pub(super) async fn form(state: &State, headers: &HeaderMap, body: Body) -> Result<Form, Halt> {
    if !browser::from_our_pages(state, headers) {
        return Err(Halt::Foreign);
    }
    form::read(headers, body)
        .await
        .and_then(Form::once)
        .map_err(|_| Halt::Malformed)
}

/// The person that a choice names (`3`, or `3.0` for the first of the representations), if the request is for such a one.
fn person(state: &State, standing: &Standing<'_>, choice: &str) -> Option<Login> {
    let demo = state.config.demo.as_ref()?;
    let (index, at) = match choice.split_once('.') {
        Some((index, at)) => (index, Some(at)),
        None => (choice, None),
    };
    let person = demo.people.get(index.parse::<usize>().ok()?)?;
    let represented = match at {
        None => None,
        Some(at) => {
            let one = demo.represents.get(at.parse::<usize>().ok()?)?;
            (one.citizen == person.number).then_some(())?;
            Some(&one.patient)
        }
    };
    let login = Login::of(state, person, represented);
    standing.request.is_for(login.kind).then_some(login)
}

/// Who is signed in.
pub(crate) async fn show(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
) -> Response {
    let now = (state.house.clock)().seconds();
    let cookie = browser::secret(&state, &headers);
    let login = cookie.and_then(|secret| state.sessions.visitor(secret, now));
    let ticket = Ticket::of(&state, "", cookie.unwrap_or_default(), None);
    let ticket = match seal(&state, &ticket) {
        Ok(ticket) => ticket,
        Err(halt) => return halt.answer(&state),
    };
    let page = page::SignedIn {
        path: &state.path,
        demo: state.config.demo.is_some(),
        name: login.as_ref().map(page::name),
        role: login.as_ref().map_or("", page::role),
        ticket,
        after: None,
    };
    page::answer(&state, StatusCode::OK, &page, None)
}

/// The styles of the pages; empty where the program was built without its bundle.
pub(crate) async fn style(extract::State(state): extract::State<Arc<State>>) -> Response {
    let bytes = state.config.stylesheet.clone().unwrap_or_default();
    let mut response = bytes.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/css; charset=utf-8"),
    );
    browser::seal(&state, &mut response, None);
    response
}
