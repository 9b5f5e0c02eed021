//! `POST /par` (RFC 9126): an authorization request from a client that proved itself, kept for the browser that will come
//! with its `request_uri`, within 60 s and for one response.

use crate::authenticate::{self, Known};
use crate::config::Grant;
use crate::kept::{self, Ledger};
use crate::request::Pushed;
use crate::{State, issue, launch, sign_in};
use axum::body::Body;
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use store::Expect;
use wire::contract::anchor::{PAR, PushedAnswer, REQUEST_URI};
use wire::form;
use wire::oauth_error::{OAuthCode, OAuthError};
use wire::request_id::RequestIds;

/// How soon the browser must come, in seconds.
const LIFETIME_SECONDS: u32 = 60;

/// The endpoint for pushed requests.
pub(crate) async fn par(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut response = match answer(&state, &ids, &headers, body).await {
        Ok(answer) => wire::outcome::json_response(StatusCode::CREATED, &answer),
        Err(error) => error.into_response(),
    };
    response
        .headers_mut()
        .extend(authenticate::nonce_header(&state));
    response
}

async fn answer(
    state: &State,
    ids: &RequestIds,
    headers: &HeaderMap,
    body: Body,
) -> Result<PushedAnswer, OAuthError> {
    let form = form::read(headers, body).await?;
    // Everything but `resource` stands once; that is looked at before anything is believed.
    let mut single = form.clone();
    single.take("resource");
    let single = single.once()?;
    let Known {
        client,
        assertion,
        details,
    } = match authenticate::client(state, headers, &single) {
        Ok(known) => known,
        Err(refused) => {
            return Err(authenticate::on_record(state, ids, refused, "par").await);
        }
    };
    let mut replays = vec![assertion];
    let now = (state.house.clock)().seconds();
    let launched = single.get("launch").is_some();
    let brought = match single.get("launch") {
        Some(handle) => launch::bring(state, client, handle).await,
        None => Ok(None),
    };
    let read = || {
        if !client.grants.contains(&Grant::AuthorizationCode) {
            return Err(OAuthError::new(
                OAuthCode::UnauthorizedClient,
                "the client is not registered for this grant",
            ));
        }
        if !details.is_empty() {
            return Err(OAuthError::new(
                OAuthCode::InvalidAuthorizationDetails,
                "a pushed request carries authorization_details, not assertion_details",
            ));
        }
        let proof = match headers.contains_key("dpop") {
            true => Some(authenticate::proof(state, headers, PAR)?),
            false => None,
        };
        let jkt = proof.as_ref().map(|proof| proof.jkt.clone());
        let until = now + i64::from(LIFETIME_SECONDS);
        let brought = brought.map_err(|error| issue::unavailable(&error))?;
        let launch = match (&brought, launched) {
            (None, true) => {
                return Err(OAuthError::new(OAuthCode::InvalidRequest, issue::USED));
            }
            (brought, _) => brought.as_ref().map(|one| &one.deposit),
        };
        let mut pushed = Pushed::read(state, client, form, jkt, now, until)?;
        pushed.in_context(launch)?;
        // Kept for as long as the person may sit at the sign-in page.
        let (secret, place) = kept::secret(state, Ledger::Pushed, until + sign_in::PAGE_SECONDS);
        let write = kept::put(state, &place, &pushed, Expect::Absent)
            .map_err(|_| OAuthError::new(OAuthCode::InvalidRequest, "the request is too long"))?;
        // The handle works once.
        let used = brought.map(|one| kept::end(&one.place, Expect::Version(one.version)));
        let writes = std::iter::once(write).chain(used).collect();
        Ok((pushed, proof, secret, writes))
    };
    let mut record = issue::record(state, ids, client, "par");
    match read() {
        Ok((pushed, proof, secret, writes)) => {
            record = issue::record(state, ids, client, &words(&pushed));
            replays.extend(proof.map(|proof| proof.replay));
            issue::spend_once(state, replays, record, writes).await?;
            Ok(PushedAnswer {
                request_uri: format!("{REQUEST_URI}{secret}").into(),
                expires_in: LIFETIME_SECONDS,
            })
        }
        Err(error) => {
            record.outcome = issue::refused("par", error.code);
            issue::spend_once(state, replays, record, Vec::new()).await?;
            Err(error)
        }
    }
}

/// What was asked, for the audit trail.
fn words(pushed: &Pushed) -> String {
    let asked = format!(
        "par&resource={}&scope={}",
        pushed.wanted.resources.join(" "),
        pushed.wanted.text(&pushed.wanted.smart)
    );
    match &pushed.opener {
        Some(opener) => format!("{asked}&launched-by={}", opener.client_id),
        None => asked,
    }
}
