//! `POST /revoke` (RFC 7009): a client gives up a refresh token, or an access token of a person's sign-in. Either ends the
//! grant: nothing more comes of it, by renewal or by exchange. Access tokens already out are verified by their receivers
//! alone and end by themselves within 5 minutes.

use super::refresh_token::Granted;
use super::token::invalid;
use crate::authenticate::{self, Known};
use crate::kept::{self, Place};
use crate::{State, issue};
use axum::body::Body;
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use store::Expect;
use trust::jws::{self, Embedded};
use wire::form;
use wire::oauth_error::{OAuthCode, OAuthError};
use wire::request_id::RequestIds;

/// The revocation endpoint.
pub(crate) async fn revoke(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match answer(&state, &ids, &headers, body).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => error.into_response(),
    }
}

async fn answer(
    state: &State,
    ids: &RequestIds,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), OAuthError> {
    let form = form::read(headers, body).await?.once()?;
    let Known {
        client, assertion, ..
    } = match authenticate::client(state, headers, &form) {
        Ok(known) => known,
        Err(refused) => {
            return Err(authenticate::on_record(state, ids, refused, "revoke").await);
        }
    };
    let mut record = issue::record(state, ids, client, "revoke");
    let found = match form.get("token") {
        Some(token) if !token.is_empty() => grant_behind(state, &client.client_id, token).await,
        _ => Err(invalid("token is missing")),
    };
    let (ends, refusal) = match found {
        Ok(grant) => (grant, None),
        Err(error) => {
            record.outcome = issue::refused("revoke", error.code);
            (None, Some(error))
        }
    };
    let ledger = ends.iter().map(|one| kept::end(one, Expect::Any)).collect();
    issue::spend_once(state, vec![assertion], record, ledger).await?;
    refusal.map_or(Ok(()), Err)
}

/// The grant that a token of this client belongs to. A token that is unknown, another client's, or past its end is as good
/// as revoked (section 2.2).
async fn grant_behind(
    state: &State,
    client_id: &str,
    token: &str,
) -> Result<Option<Place>, OAuthError> {
    let (place, ours) = match kept::grant_of(token) {
        Some(place) => (Some(place), true),
        None => of_access_token(state, client_id, token)?,
    };
    let Some(place) = place.filter(|_| ours) else {
        return Ok(None);
    };
    let granted = kept::get::<Granted>(state, &place)
        .await
        .map_err(|error| issue::unavailable(&error))?;
    Ok(granted
        .filter(|(granted, _)| granted.client_id == client_id)
        .map(|_| place))
}

fn of_access_token(
    state: &State,
    client_id: &str,
    token: &str,
) -> Result<(Option<Place>, bool), OAuthError> {
    let claims = jws::parse(token, Embedded::Refused)
        .ok()
        .and_then(|compact| {
            compact.require_typ(trust::token::TYP).ok()?;
            jws::claims(compact.verify_with(&state.keys()).ok()?).ok()
        });
    let Some(claims) = claims else {
        return Ok((None, false));
    };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let ours = text("client_id") == Some(client_id);
    match text("https://delt.example/claims/grant") {
        Some(name) => Ok((kept::grant_named(name), ours)),
        None if ours => Err(OAuthError::new(
            OAuthCode::UnsupportedTokenType,
            "no grant stands behind this token; it ends by itself within 5 minutes",
        )),
        None => Ok((None, false)),
    }
}
