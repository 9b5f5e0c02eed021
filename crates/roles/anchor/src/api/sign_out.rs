//! Signing out. `GET /end-session`: a client sends the browser here (OpenID Connect RP-Initiated Logout 1.0); `POST /end-session`: the
//! same by a form; `POST /sign-out`: the button of our own page; `GET /signed-out`: the browser comes back from a sign-out at the
//! identity provider.
//!
//! A client that knows the sign-in's `sid` (as `logout_hint`, or in an `id_token_hint` of ours) ends it at once; whoever does not is
//! no proof that the person wants it, so the person is asked; so it is with a hint that does not verify (any more). Only a registered `post_logout_redirect_uri` is redirected to.
//! What a client holds of the sign-in (refresh tokens) the client itself gives up at `/revoke`.

use super::authorize::{Halt, see_other};
use super::sign_in::form;
use crate::State;
use crate::config::Client;
use crate::login::Login;
use crate::sign_in::ticket::{Ticket, parameters, seal, unseal};
use crate::sign_in::{PAGE_SECONDS, browser, page};
use axum::body::Body;
use axum::extract::{self, RawQuery};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use trust::jws::{self, Embedded};
use url::Url;
use wire::contract::anchor::{END_SESSION, SIGNED_OUT};
use wire::form::Form;

/// `state` is never longer than this.
const LONGEST: usize = 512;

/// Where the browser goes when the sign-out is over; travels sealed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    /// A registered address.
    uri: String,
    /// What the client gets back.
    state: Option<String>,
    /// Unix seconds.
    until: i64,
}

impl After {
    fn url(&self) -> Result<String, Halt> {
        let mut url = Url::parse(&self.uri).map_err(|_| Halt::Malformed)?;
        if let Some(state) = &self.state {
            url.query_pairs_mut().append_pair("state", state);
        }
        Ok(url.into())
    }
}

/// What a client asked.
struct Asked<'a> {
    client: Option<&'a Client>,
    /// The sign-in that the client knows of.
    sid: Option<String>,
    after: Option<After>,
}

/// A client sends the browser.
pub(crate) async fn end_session(
    extract::State(state): extract::State<Arc<State>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let ended = async {
        let form = parameters(query.as_deref())?;
        let asked = read(&state, &form)?;
        let now = (state.house.clock)().seconds();
        let cookie = browser::secret(&state, &headers);
        let session =
            cookie.and_then(|secret| Some((secret, state.sessions.visitor(secret, now)?)));
        let Some((cookie, login)) = session else {
            return over(&state, asked.after.as_ref());
        };
        if asked.sid.as_ref() != Some(&login.sid) {
            return ask(&state, &asked, cookie, &login);
        }
        state.sessions.end(cookie);
        let mut response = match at_provider(&state, &login, asked.after.as_ref()).await {
            Some((_, to)) => see_other(&state, &to)?,
            None => over(&state, asked.after.as_ref())?,
        };
        browser::set_secret(&state, &mut response, None);
        Ok(response)
    };
    ended.await.unwrap_or_else(|halt: Halt| halt.answer(&state))
}

/// The same by a form. A form from the client's site brings no cookie of ours, so it goes on by an address; what that holds of a hint
/// is the id of the sign-in alone.
pub(crate) async fn by_form(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let sent = async {
        let form = wire::form::read(&headers, body)
            .await
            .and_then(Form::once)
            .map_err(|_| Halt::Malformed)?;
        let asked = read(&state, &form)?;
        let client = asked.client.map(|one| one.client_id.as_str());
        let after = asked.after.as_ref();
        let pairs = [
            ("client_id", client),
            ("logout_hint", asked.sid.as_deref()),
            (
                "post_logout_redirect_uri",
                after.map(|one| one.uri.as_str()),
            ),
            ("state", after.and_then(|one| one.state.as_deref())),
        ];
        let there = pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let query = wire::form::write(there);
        see_other(&state, &format!("{}{END_SESSION}?{query}", state.path))
    };
    sent.await.unwrap_or_else(|halt: Halt| halt.answer(&state))
}

/// The button of our own page.
pub(crate) async fn sign_out(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let ended = async {
        let form = form(&state, &headers, body).await?;
        let (_, cookie) = Ticket::in_form(&state, &headers, &form)?;
        let after = match form.get("after") {
            Some(sealed) if !sealed.is_empty() => Some(after(&state, sealed)?),
            _ => None,
        };
        let now = (state.house.clock)().seconds();
        let login = state.sessions.visitor(cookie, now);
        state.sessions.end(cookie);
        let provider = match &login {
            Some(login) => at_provider(&state, login, after.as_ref()).await,
            None => None,
        };
        // A page with a link, for a form of ours leads to our own pages only.
        let (label, on) = match (provider, &after) {
            (Some((name, to)), _) => (format!("Logg ut hos {name} også"), Some(to)),
            (None, Some(after)) => ("Gå videre".to_owned(), Some(after.url()?)),
            (None, None) => (String::new(), None),
        };
        let mut response = signed_out(&state, label, on);
        browser::set_secret(&state, &mut response, None);
        Ok(response)
    };
    ended.await.unwrap_or_else(|halt: Halt| halt.answer(&state))
}

/// Back from the identity provider.
pub(crate) async fn back(
    extract::State(state): extract::State<Arc<State>>,
    RawQuery(query): RawQuery,
) -> Response {
    let back = || {
        let form = parameters(query.as_deref())?;
        match form.get("state").filter(|sealed| !sealed.is_empty()) {
            Some(sealed) => over(&state, Some(&after(&state, sealed)?)),
            None => over(&state, None),
        }
    };
    back().unwrap_or_else(|halt: Halt| halt.answer(&state))
}

/// Reads what a client asks: one we know, an address of its own, a hint that is ours. A hint that cannot be verified, forged or of a
/// key that is no longer ours, says nothing: neither who asks nor which sign-in, and it stands in nobody's way.
fn read<'a>(state: &'a State, form: &Form) -> Result<Asked<'a>, Halt> {
    let jwt = form.get("id_token_hint");
    let hint = jwt.and_then(|jwt| hint(state, jwt));
    let named = form.get("client_id");
    if let (Some(named), Some((audience, _))) = (named, &hint)
        && named != audience
    {
        return Err(Halt::Malformed);
    }
    let id = named.or(hint.as_ref().map(|(audience, _)| audience.as_str()));
    let client = match id {
        Some(id) => Some(state.registry.client(id).ok_or(Halt::Malformed)?),
        None => None,
    };
    let sent = form.get("state").map(str::to_owned);
    if sent.as_ref().is_some_and(|text| text.len() > LONGEST) {
        return Err(Halt::Malformed);
    }
    // Whose address it is, only the hint could have told.
    let unknown = client.is_none() && jwt.is_some();
    let after = match form.get("post_logout_redirect_uri") {
        None => None,
        Some(_) if unknown => None,
        Some(uri) => {
            let own = client.is_some_and(|client| {
                client
                    .post_logout_redirect_uris
                    .iter()
                    .any(|one| one == uri)
            });
            if !own {
                return Err(Halt::Malformed);
            }
            Some(After {
                uri: uri.to_owned(),
                state: sent,
                until: (state.house.clock)().seconds() + PAGE_SECONDS,
            })
        }
    };
    let sid = hint.map(|(_, sid)| sid);
    Ok(Asked {
        client,
        sid: sid.or_else(|| form.get("logout_hint").map(str::to_owned)),
        after,
    })
}

/// Audience and sign-in of an ID token of ours, however old it is (RP-Initiated Logout 1.0 section 2).
fn hint(state: &State, jwt: &str) -> Option<(String, String)> {
    let compact = jws::parse(jwt, Embedded::Refused).ok()?;
    compact.require_typ("JWT").ok()?;
    let claims = jws::claims(compact.verify_with(&state.keys()).ok()?).ok()?;
    let text = |name: &str| claims.get(name)?.as_str();
    if text("iss") != Some(&state.config.issuer) {
        return None;
    }
    Some((text("aud")?.to_owned(), text("sid")?.to_owned()))
}

/// The page that asks.
fn ask(state: &State, asked: &Asked<'_>, cookie: &str, login: &Login) -> Result<Response, Halt> {
    let ticket = Ticket::of(state, "", cookie, None);
    let after = asked.after.as_ref();
    let page = page::SignedIn {
        path: &state.path,
        demo: state.config.demo.is_some(),
        name: Some(page::name(login)),
        role: page::role(login),
        ticket: seal(state, &ticket)?,
        after: after.map(|after| seal(state, after)).transpose()?,
    };
    Ok(page::answer(state, StatusCode::OK, &page, None))
}

/// The identity provider's name and where to sign out there, if this sign-in was made at one that is to be told. One that cannot be
/// reached stands in nobody's way: the session here is over.
async fn at_provider(
    state: &State,
    login: &Login,
    after: Option<&After>,
) -> Option<(String, String)> {
    let provider = state.providers.named(login.provider.as_deref()?)?;
    if !provider.config.sign_out {
        return None;
    }
    let sealed = match after {
        Some(after) => seal(state, after).ok()?,
        None => String::new(),
    };
    match provider
        .party
        .sign_out(&state.url(SIGNED_OUT), &sealed)
        .await
    {
        Ok(to) => Some((provider.config.name.clone(), to?)),
        Err(error) => {
            tracing::warn!(%error, provider = %provider.config.id, "nobody can be signed out at the identity provider now");
            None
        }
    }
}

/// The end: to the client, or a page of ours.
fn over(state: &State, after: Option<&After>) -> Result<Response, Halt> {
    match after {
        Some(after) => see_other(state, &after.url()?),
        None => Ok(signed_out(state, String::new(), None)),
    }
}

fn signed_out(state: &State, label: String, on: Option<String>) -> Response {
    let page = page::SignedOut {
        path: &state.path,
        demo: state.config.demo.is_some(),
        label,
        on,
    };
    page::answer(state, StatusCode::OK, &page, None)
}

/// Where it goes on, while it is fresh.
fn after(state: &State, sealed: &str) -> Result<After, Halt> {
    let after: After = unseal(state, sealed)?;
    match (state.house.clock)().seconds() > after.until {
        true => Err(Halt::Gone),
        false => Ok(after),
    }
}
