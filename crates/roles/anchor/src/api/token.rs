//! `POST /token` (RFC 6749 section 3.2): strict form, client assertion, DPoP proof, then the grant.

use super::{client_credentials, token_exchange};
use crate::authenticate::{Authenticated, authenticate};
use crate::config::Audience;
use crate::{State, issue};
use axum::body::Body;
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use trust::audit::{Outcome, Record};
use trust::scope::Scopes;
use trust::token::Claims;
use wire::contract::anchor::{CLIENT_CREDENTIALS, TOKEN_EXCHANGE, TokenAnswer};
use wire::form::{self, Form};
use wire::oauth_error::{OAuthCode, OAuthError};
use wire::request_id::RequestIds;

/// What a grant decided to issue.
pub(crate) struct Grant {
    pub(crate) claims: Claims,
    pub(crate) record: Record,
    pub(crate) issued_token_type: Option<&'static str>,
}

/// A grant's refusal: what the client is told, and the record of it.
pub(crate) type Refusal = (OAuthError, Box<Record>);

/// What both grants ask for.
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
    match answer(&state, &ids, &headers, body).await {
        Ok(answer) => wire::outcome::json_response(StatusCode::OK, &answer),
        Err(error) => error.into_response(),
    }
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
    if grant_type != CLIENT_CREDENTIALS && grant_type != TOKEN_EXCHANGE {
        return Err(OAuthError::new(
            OAuthCode::UnsupportedGrantType,
            "the grant is not offered",
        ));
    }
    let who = match authenticate(state, headers, &form) {
        Ok(who) => who,
        Err((error, None)) => return Err(error),
        Err((error, Some((client, assertion)))) => {
            let mut record = issue::record(state, ids, client, grant_type);
            record.outcome = Outcome::Unauthenticated {
                code: error.code.as_str().to_owned(),
            };
            issue::spend_assertion(state, assertion, record).await?;
            return Err(error);
        }
    };
    let record = issue::record(state, ids, who.client, &asked_words(grant_type, &form));
    let granted = if grant_type == TOKEN_EXCHANGE {
        token_exchange::grant(state, &who, &form, record)
    } else {
        client_credentials::grant(state, &who, &form, record)
    };
    finish(state, &who, granted).await
}

async fn finish(
    state: &State,
    who: &Authenticated<'_>,
    granted: Result<Grant, Refusal>,
) -> Result<TokenAnswer, OAuthError> {
    let grant = match granted {
        Ok(grant) => grant,
        Err((error, mut record)) => {
            record.outcome = Outcome::Refused {
                rule: "token".to_owned(),
                code: error.code.as_str().to_owned(),
            };
            issue::spend(state, who, *record).await?;
            return Err(error);
        }
    };
    let token = issue::sign(state, &grant.claims)?;
    issue::spend(state, who, grant.record).await?;
    Ok(TokenAnswer {
        access_token: token.into(),
        token_type: "DPoP".to_owned(),
        expires_in: u32::try_from(grant.claims.exp - grant.claims.iat).unwrap_or_default(),
        scope: Some(grant.claims.scope),
        issued_token_type: grant.issued_token_type.map(str::to_owned),
        ..TokenAnswer::default()
    })
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
