//! `POST /token` (RFC 6749 section 3.2): strict form, client assertion, DPoP proof, then the grant.

use super::{authorization_code, client_credentials, refresh_token, token_exchange};
use crate::State;
use crate::authenticate::{Authenticated, authenticate, nonce_header, on_record};
use crate::config::{self, Audience};
use crate::issue::{self, Unspent};
use crate::kept::{self, Place};
use axum::body::Body;
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use store::{Expect, LedgerWrite};
use trust::audit::Record;
use trust::scope::Scopes;
use trust::token::Claims;
use wire::contract::anchor::TokenAnswer;
use wire::form::{self, Form};
use wire::oauth_error::{OAuthCode, OAuthError};
use wire::request_id::RequestIds;

/// What a grant decided to issue.
pub(crate) struct Grant {
    pub(crate) claims: Claims,
    pub(crate) record: Record,
    /// What the answer holds besides the token.
    pub(crate) answer: TokenAnswer,
    /// What is used up or renewed with it.
    pub(crate) ledger: Vec<LedgerWrite>,
    /// The grant behind it, which ends when the code or refresh token turns out to be used already.
    pub(crate) behind: Option<Place>,
}

/// A grant's refusal: what the client is told, the record of it, and what is used up all the same.
pub(crate) struct Refusal {
    error: OAuthError,
    record: Box<Record>,
    ledger: Vec<LedgerWrite>,
}

impl Refusal {
    pub(crate) fn new(error: OAuthError, record: Record) -> Refusal {
        Refusal {
            error,
            record: Box::new(record),
            ledger: Vec::new(),
        }
    }

    /// Is it our own trouble, which asking again may mend?
    pub(crate) fn is_passing(&self) -> bool {
        self.error.code == OAuthCode::TemporarilyUnavailable
    }

    pub(crate) fn using_up(mut self, ledger: Vec<LedgerWrite>) -> Refusal {
        self.ledger = ledger;
        self
    }
}

/// What both grants of a client's own ask for.
pub(crate) struct Asked<'a> {
    pub(crate) audience: &'a Audience,
    pub(crate) scopes: Scopes,
}

/// The token endpoint.
pub(crate) async fn token(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut response = match answer(&state, &ids, &headers, body).await {
        Ok(answer) => wire::outcome::json_response(StatusCode::OK, &answer),
        Err(error) => error.into_response(),
    };
    response.headers_mut().extend(nonce_header(&state));
    response
}

async fn answer(
    state: &State,
    ids: &RequestIds,
    headers: &HeaderMap,
    body: Body,
) -> Result<TokenAnswer, OAuthError> {
    let form = form::read(headers, body).await?.once()?;
    let grant_type = form
        .get("grant_type")
        .ok_or_else(|| invalid("grant_type is missing"))?;
    let grant = config::Grant::parse(grant_type)
        .filter(|grant| state.offers(*grant))
        .ok_or_else(|| {
            OAuthError::new(OAuthCode::UnsupportedGrantType, "the grant is not offered")
        })?;
    let who = match authenticate(state, headers, &form) {
        Ok(who) => who,
        Err(refused) => return Err(on_record(state, ids, refused, grant_type).await),
    };
    let record = issue::record(state, ids, who.client, &asked_words(grant_type, &form));
    let granted = match grant {
        _ if !who.client.grants.contains(&grant) => Err(Refusal::new(
            OAuthError::new(
                OAuthCode::UnauthorizedClient,
                "the client is not registered for this grant",
            ),
            record,
        )),
        _ if form.get("authorization_details").is_some() => Err(Refusal::new(
            OAuthError::new(
                OAuthCode::InvalidAuthorizationDetails,
                "details come with the pushed request, or in the client assertion",
            ),
            record,
        )),
        config::Grant::ClientCredentials => without_details(&who, record)
            .and_then(|r| client_credentials::grant(state, &who, &form, r)),
        config::Grant::TokenExchange => match without_details(&who, record) {
            Ok(record) => token_exchange::grant(state, &who, &form, record).await,
            Err(refusal) => Err(refusal),
        },
        config::Grant::AuthorizationCode => {
            authorization_code::grant(state, &who, &form, record).await
        }
        config::Grant::RefreshToken => refresh_token::grant(state, &who, &form, record).await,
    };
    finish(state, &who, granted).await
}

/// A grant that no person's sign-in stands behind takes no attest.
fn without_details(who: &Authenticated<'_>, record: Record) -> Result<Record, Refusal> {
    if who.details.is_empty() {
        return Ok(record);
    }
    let error = OAuthError::new(
        OAuthCode::InvalidAuthorizationDetails,
        "assertion_details come with a code or a refresh token",
    );
    Err(Refusal::new(error, record))
}

async fn finish(
    state: &State,
    who: &Authenticated<'_>,
    granted: Result<Grant, Refusal>,
) -> Result<TokenAnswer, OAuthError> {
    let grant = match granted {
        Ok(grant) => grant,
        Err(refusal) => return Err(refuse(state, who, refusal).await),
    };
    let token = issue::sign(state, &grant.claims)?;
    match issue::spend(state, who, grant.record.clone(), grant.ledger).await {
        Ok(()) => {}
        Err(Unspent::Error(error)) => return Err(error),
        Err(Unspent::Taken) => {
            let ledger = grant.behind.iter().map(|one| kept::end(one, Expect::Any));
            let refusal = Refusal::new(invalid_grant(), grant.record).using_up(ledger.collect());
            return Err(refuse(state, who, refusal).await);
        }
    }
    Ok(TokenAnswer {
        access_token: token.into(),
        token_type: "DPoP".to_owned(),
        expires_in: u32::try_from(grant.claims.exp - grant.claims.iat).unwrap_or_default(),
        scope: grant.answer.scope.or(Some(grant.claims.scope)),
        ..grant.answer
    })
}

async fn refuse(state: &State, who: &Authenticated<'_>, refusal: Refusal) -> OAuthError {
    let Refusal {
        error,
        mut record,
        ledger,
    } = refusal;
    record.outcome = issue::refused("token", error.code);
    let spent = match issue::spend(state, who, (*record).clone(), ledger).await {
        // What was to be used up is used up already.
        Err(Unspent::Taken) => issue::spend(state, who, *record, Vec::new()).await,
        spent => spent,
    };
    match spent {
        Err(Unspent::Error(error)) => error,
        Ok(()) | Err(Unspent::Taken) => error,
    }
}

/// What was asked, for the audit trail: grant, audience and scope as sent; nothing else of the form.
fn asked_words(grant_type: &str, form: &Form) -> String {
    let audience = form
        .get("resource")
        .or_else(|| form.get("audience"))
        .unwrap_or_default();
    format!(
        "grant_type={grant_type}&resource={audience}&scope={}",
        form.get("scope").unwrap_or_default()
    )
}

/// The one audience and the scopes that a form asks for, within what the client is registered for.
pub(crate) fn asked<'a>(
    state: &'a State,
    who: &Authenticated<'_>,
    form: &Form,
) -> Result<Asked<'a>, OAuthError> {
    let url = match (form.get("resource"), form.get("audience")) {
        (Some(url), None) | (None, Some(url)) => url,
        (Some(one), Some(other)) if one == other => one,
        (Some(_), Some(_)) => {
            return Err(invalid("resource and audience name different audiences"));
        }
        (None, None) => {
            return Err(OAuthError::new(
                OAuthCode::InvalidTarget,
                "resource is missing",
            ));
        }
    };
    // Not there and not allowed look the same.
    let registered = who.client.audiences.iter().any(|one| one == url);
    let audience = state.registry.audience(url).filter(|_| registered);
    let audience = audience.ok_or_else(|| {
        OAuthError::new(
            OAuthCode::InvalidTarget,
            "the client is not registered for this audience",
        )
    })?;
    let scopes = form.get("scope").unwrap_or_default();
    let scopes = Scopes::parse(scopes)
        .map_err(|error| OAuthError::new(OAuthCode::InvalidScope, error.to_string()))?;
    if scopes.is_empty() {
        return Err(OAuthError::new(OAuthCode::InvalidScope, "scope is missing"));
    }
    if !scopes.within(&who.client.scopes) {
        return Err(OAuthError::new(
            OAuthCode::InvalidScope,
            "the client is not registered for this scope",
        ));
    }
    Ok(Asked { audience, scopes })
}

pub(crate) fn invalid(words: &str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidRequest, words)
}

/// One answer for every code and refresh token that does not stand, whatever the reason.
pub(crate) fn invalid_grant() -> OAuthError {
    OAuthError::new(
        OAuthCode::InvalidGrant,
        "the code or refresh token does not stand",
    )
}
