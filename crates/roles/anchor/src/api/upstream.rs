//! `GET /sign-in/{provider}`: from the sign-in page to an identity provider; `GET /sign-in/{provider}/callback`: its answer
//! (OpenID Connect Core 1.0 section 3.1.2.5). What travels as `state` is sealed, belongs to one browser, one pushed request and
//! one provider, and is used once; each provider has its own redirect URI and, where it sends one, its own `iss`
//! (RFC 9207), so that no answer of one passes for another's.

use super::authorize::{self, Halt, Standing};
use super::{act_for, sign_in};
use crate::State;
use crate::sign_in::ticket::{Ticket, parameters, seal, unseal};
use crate::sign_in::{PAGE_SECONDS, browser, session};
use crate::upstream::{Provider, person};
use axum::extract::{self, Path, RawQuery};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::{Change, StoreError};
use trust::encoding::{base64url, sha256_base64url};
use trust::{LEEWAY_SECONDS, Replay};
use wire::client::{RelyingError, SignIn};
use wire::contract::anchor::SIGN_IN_BACK;
use wire::form::Form;
use wire::oauth_error::OAuthCode;
use wire::request_id::RequestIds;

/// How long after its last use an answer is remembered, in seconds: the request itself may take a while.
const REMEMBERED_SECONDS: i64 = 120;
/// Longest code that is taken to a provider.
const CODE: usize = 4096;

/// A sign-in that is under way at a provider; travels, sealed, as `state`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Underway {
    /// The secret of the pushed request.
    pushed: String,
    /// Hash of the browser's cookie.
    browser: String,
    /// The provider's id.
    provider: String,
    nonce: String,
    /// PKCE.
    verifier: String,
    /// Unix seconds.
    began: i64,
}

impl Underway {
    fn until(&self) -> i64 {
        self.began + PAGE_SECONDS
    }

    /// What is asked of the provider, the same at both ends of the way.
    fn sign_in<'a>(
        &'a self,
        provider: &'a Provider,
        standing: &Standing<'_>,
        redirect_uri: &'a str,
        state: &'a str,
    ) -> SignIn<'a> {
        let request = &standing.request;
        let oldest = request.max_age.unwrap_or(session::LIFE_SECONDS);
        SignIn {
            redirect_uri,
            scope: &provider.config.scope,
            acr_values: provider.config.acr_values.as_deref(),
            state,
            nonce: &self.nonce,
            verifier: &self.verifier,
            began: self.began,
            max_age: oldest.min(session::LIFE_SECONDS),
            anew: request.login,
        }
    }
}

/// Where a provider's answers come.
fn redirect_uri(state: &State, provider: &Provider) -> String {
    state.url(&SIGN_IN_BACK.replace("{provider}", &provider.config.id))
}

/// Sends the browser to a provider, or shows the sign-in page again if that is down.
pub(crate) async fn begin(
    state: &State,
    standing: &Standing<'_>,
    provider: &Provider,
    ticket: &Ticket,
) -> Result<Response, Halt> {
    let underway = Underway {
        pushed: ticket.request.clone(),
        browser: ticket.browser.clone(),
        provider: provider.config.id.clone(),
        nonce: browser::new_secret(state),
        verifier: base64url(&crate::kept::random(state)),
        began: (state.house.clock)().seconds(),
    };
    let sealed = seal(state, &underway)?;
    let uri = redirect_uri(state, provider);
    let ask = underway.sign_in(provider, standing, &uri, &sealed);
    match provider.party.begin(ask).await {
        Ok(url) => authorize::see_other(state, &url),
        Err(error) => down(state, standing, provider, ticket, &error),
    }
}

/// The sign-in page, with a word about the provider that does not answer.
fn down(
    state: &State,
    standing: &Standing<'_>,
    provider: &Provider,
    ticket: &Ticket,
    error: &RelyingError,
) -> Result<Response, Halt> {
    tracing::warn!(%error, provider = %provider.config.id, "an identity provider cannot be used now");
    let notice = format!(
        "{} svarer ikke som ventet nå. Prøv igjen om litt, eller avbryt og gå tilbake til systemet du kom fra.",
        provider.config.name
    );
    authorize::choose(
        state,
        standing,
        ticket,
        StatusCode::SERVICE_UNAVAILABLE,
        Some(notice),
    )
}

/// The choice of a provider on the sign-in page.
pub(crate) async fn go(
    extract::State(state): extract::State<Arc<State>>,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let gone = async {
        let form = parameters(query.as_deref())?;
        let (ticket, _) = Ticket::in_form(&state, &headers, &form)?;
        let standing = authorize::standing(&state, &ticket.request).await?;
        let ways = state.providers.for_request(&standing.request);
        let chosen = ways.into_iter().find(|one| one.config.id == provider);
        begin(&state, &standing, chosen.ok_or(Halt::Malformed)?, &ticket).await
    };
    match gone.await {
        Ok(response) => response,
        Err(halt) => halt.answer(&state),
    }
}

/// The provider's answer.
pub(crate) async fn back(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let answered = async {
        let form = parameters(query.as_deref())?;
        let provider = state.providers.named(&provider).ok_or(Halt::Malformed)?;
        answer(&state, &ids, provider, &form, &headers).await
    };
    match answered.await {
        Ok(response) => response,
        Err(halt) => halt.answer(&state),
    }
}

async fn answer(
    state: &State,
    ids: &RequestIds,
    provider: &Provider,
    form: &Form,
    headers: &HeaderMap,
) -> Result<Response, Halt> {
    let sealed = form.get("state").ok_or(Halt::Malformed)?;
    let underway: Underway = unseal(state, sealed)?;
    let cookie = browser::secret(state, headers).ok_or(Halt::Stranger)?;
    if underway.provider != provider.config.id
        || underway.browser != sha256_base64url(cookie.as_bytes())
    {
        return Err(Halt::Stranger);
    }
    let now = (state.house.clock)().seconds();
    if now > underway.until() {
        return Err(Halt::Gone);
    }
    let code = match (form.get("code"), form.get("error")) {
        (Some(code), None) if (1..=CODE).contains(&code.len()) => Ok(code),
        (None, Some(error)) => Err(error),
        _ => return Err(Halt::Malformed),
    };
    let standing = authorize::standing(state, &underway.pushed).await?;
    let ticket = Ticket {
        request: underway.pushed.clone(),
        browser: underway.browser.clone(),
        until: underway.until(),
        login: None,
    };
    match provider.party.answers_as(form.get("iss")).await {
        Ok(true) => {}
        Ok(false) => return Err(Halt::Stranger),
        Err(error) => return down(state, &standing, provider, &ticket, &error),
    }
    once(state, &underway).await?;
    let code = match code {
        Ok(code) => code,
        Err(error) => return refused_there(state, ids, standing, provider, error).await,
    };
    let uri = redirect_uri(state, provider);
    let ask = underway.sign_in(provider, &standing, &uri, sealed);
    let token = match provider.party.redeem(code, ask).await {
        Ok(token) => token,
        Err(error) if error.is_passing() => {
            return down(state, &standing, provider, &ticket, &error);
        }
        Err(error) => {
            tracing::warn!(%error, provider = %provider.config.id, "an identity provider's answer was not accepted");
            let (code, words) = match &error {
                RelyingError::IdToken(error) => (OAuthCode::AccessDenied, error.to_string()),
                _ => (
                    OAuthCode::ServerError,
                    "the identity provider's answer cannot be used".to_owned(),
                ),
            };
            return authorize::refuse(state, ids, standing, None, code, &words).await;
        }
    };
    let sid = (state.house.ids)().simple().to_string();
    match person::login(&provider.config, &token, sid, now) {
        Ok(login) if standing.request.is_for(login.kind) => {
            match act_for::asked(state, &standing, &login, cookie)? {
                Some(page) => Ok(page),
                None => sign_in::signed_in(state, ids, standing, login, cookie).await,
            }
        }
        Ok(_) => Err(Halt::Malformed),
        Err(words) => {
            authorize::refuse(state, ids, standing, None, OAuthCode::AccessDenied, words).await
        }
    }
}

/// An answer works once, however many bring it, before anything is done with it.
async fn once(state: &State, underway: &Underway) -> Result<(), Halt> {
    let until = underway.until() + LEEWAY_SECONDS + REMEMBERED_SECONDS;
    let nonce = underway.nonce.as_str();
    let change = Change {
        replays: vec![Replay::of("identity-provider-answer", &[nonce], until)],
        ..Change::default()
    };
    match state.store.commit(change).await {
        Ok(_) => Ok(()),
        Err(StoreError::Replayed) => Err(Halt::Gone),
        Err(error) => Err(error.into()),
    }
}

/// What the provider refused goes back to the client: in its own word where the person broke off, else as our error.
async fn refused_there(
    state: &State,
    ids: &RequestIds,
    standing: Standing<'_>,
    provider: &Provider,
    error: &str,
) -> Result<Response, Halt> {
    let (code, words) = match OAuthCode::parse(error) {
        Some(OAuthCode::AccessDenied) => (
            OAuthCode::AccessDenied,
            "the user broke off, or was refused, at the identity provider",
        ),
        Some(OAuthCode::TemporarilyUnavailable) => (
            OAuthCode::TemporarilyUnavailable,
            "the identity provider is not available now",
        ),
        _ => (OAuthCode::ServerError, "the identity provider refused"),
    };
    let said = OAuthCode::parse(error).map_or("other", OAuthCode::as_str);
    tracing::warn!(error = said, provider = %provider.config.id, "an identity provider answered with an error");
    authorize::refuse(state, ids, standing, None, code, words).await
}
