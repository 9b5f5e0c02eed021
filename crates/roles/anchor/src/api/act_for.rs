//! `POST /sign-in/for`: a citizen who signed in says for whom: for herself, or for somebody she may act for today by what is registered
//! (fullmakt, parents). Whom she may act for is read anew when she has chosen; no number stands in the form.

use super::authorize::{self, Halt};
use super::sign_in::{self, form};
use crate::State;
use crate::login::Login;
use crate::sign_in::page::{self, ActFor, Choice};
use crate::sign_in::ticket::{Ticket, seal};
use axum::body::Body;
use axum::extract;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use trust::token::Kind;
use wire::oauth_error::OAuthCode;
use wire::request_id::RequestIds;

/// What the form sends for own data, for none of it, and in front of a representation's id.
const OWN: &str = "own";
const STOP: &str = "none";
const BY: &str = "by:";

/// The choice.
pub(crate) async fn act_for(
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
    let mut login = ticket.login.ok_or(Halt::Malformed)?;
    let standing = authorize::standing(state, &ticket.request).await?;
    if login.kind != Kind::Citizen || !standing.request.is_for(login.kind) {
        return Err(Halt::Malformed);
    }
    match form.get("for").unwrap_or_default() {
        OWN => {}
        STOP => {
            let words = "the user broke off";
            let code = OAuthCode::AccessDenied;
            return authorize::refuse(state, ids, standing, Some(login), code, words).await;
        }
        chosen => {
            let id = chosen.strip_prefix(BY).ok_or(Halt::Malformed)?;
            let acting = state.acts_for(&login.number);
            let one = acting.into_iter().find(|one| one.by.by.id == id);
            login.patient = Some(one.ok_or(Halt::Malformed)?.patient);
        }
    }
    sign_in::signed_in(state, ids, standing, login, cookie).await
}

/// The page that asks, where there is anybody to act for.
pub(crate) fn asked(
    state: &State,
    standing: &authorize::Standing<'_>,
    login: &Login,
    browser: &str,
) -> Result<Option<Response>, Halt> {
    let acting = match login.kind {
        Kind::Citizen if !standing.request.silent => state.acts_for(&login.number),
        _ => Vec::new(),
    };
    if acting.is_empty() {
        return Ok(None);
    }
    let choice = |value: &str, name: &str, under: &str| Choice {
        value: value.to_owned(),
        name: name.to_owned(),
        under: under.to_owned(),
    };
    let own = choice(OWN, page::name(login), "På egne vegne");
    let others = acting.iter().map(|one| {
        let name = one
            .patient_name
            .as_deref()
            .unwrap_or("Navnet er ikke kjent");
        choice(&format!("{BY}{}", one.by.by.id), name, "På vegne av")
    });
    let organisation = standing.request.organisation(standing.client);
    let ticket = Ticket::of(state, &standing.secret, browser, Some(login.clone()));
    let page = ActFor {
        path: &state.path,
        demo: state.config.demo.is_some(),
        organisation: state
            .registry
            .organisations
            .name(&organisation)
            .unwrap_or(&standing.client.client_id),
        ticket: seal(state, &ticket)?,
        choices: [own].into_iter().chain(others).collect(),
    };
    let origin = authorize::origin(&standing.request)?;
    Ok(Some(page::answer(
        state,
        StatusCode::OK,
        &page,
        Some(&origin),
    )))
}
