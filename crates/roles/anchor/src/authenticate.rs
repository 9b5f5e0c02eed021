//! Who asks for a token: client assertion and DPoP proof, each accepted once.
//!
//! A client that does not exist is refused with the same words, and by the same steps, as one whose assertion is wrong.

use crate::State;
use crate::config::Client;
use http::{HeaderMap, header};
use trust::{Replay, assertion, dpop};
use wire::contract::anchor::{CLIENT_ASSERTION_TYPE, TOKEN};
use wire::form::Form;
use wire::oauth_error::{OAuthCode, OAuthError};

/// A client that proved itself.
pub(crate) struct Authenticated<'a> {
    pub(crate) client: &'a Client,
    /// Thumbprint of the key that tokens are bound to.
    pub(crate) jkt: String,
    /// The assertion's single use.
    pub(crate) assertion: Replay,
    /// The proof's single use.
    pub(crate) proof: Replay,
}

fn invalid_client() -> OAuthError {
    OAuthError::new(
        OAuthCode::InvalidClient,
        "the client could not be authenticated",
    )
}

fn invalid_request(words: &str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidRequest, words)
}

/// A refusal, with the assertion that was good until then: it is used up all the same.
pub(crate) type Refused<'a> = (OAuthError, Option<(&'a Client, Replay)>);

/// Checks the assertion, then the proof.
pub(crate) fn authenticate<'a>(
    state: &'a State,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Authenticated<'a>, Refused<'a>> {
    let (client, assertion) = client(state, headers, form).map_err(|error| (error, None))?;
    let proof = proof(state, headers).map_err(|error| (error, Some((client, assertion))))?;
    Ok(Authenticated {
        client,
        jkt: proof.jkt,
        assertion,
        proof: proof.replay,
    })
}

fn client<'a>(
    state: &'a State,
    headers: &HeaderMap,
    form: &Form,
) -> Result<(&'a Client, Replay), OAuthError> {
    if headers.contains_key(header::AUTHORIZATION) || form.get("client_secret").is_some() {
        return Err(invalid_request(
            "clients authenticate by private_key_jwt alone",
        ));
    }
    match form.get("client_assertion_type") {
        Some(CLIENT_ASSERTION_TYPE) => {}
        Some(_) => return Err(invalid_request("client_assertion_type is not jwt-bearer")),
        None => return Err(invalid_client()),
    }
    let jwt = form.get("client_assertion").ok_or_else(invalid_client)?;
    let claimed = assertion::claimed_client(jwt).ok_or_else(invalid_client)?;
    if form.get("client_id").is_some_and(|named| named != claimed) {
        return Err(invalid_request(
            "client_id and the assertion name different clients",
        ));
    }
    let found = state.registry.client(&claimed);
    let keys = found.map_or(&state.decoy, |client| &client.keys);
    let now = (state.house.clock)();
    let replay =
        assertion::verify(jwt, &claimed, keys, &state.config.issuer, now).map_err(|error| {
            // Which client it claimed to be is not logged: an unproved name is anybody's text.
            tracing::info!(%error, "a client assertion was refused");
            invalid_client()
        })?;
    Ok((found.ok_or_else(invalid_client)?, replay))
}

fn proof(state: &State, headers: &HeaderMap) -> Result<dpop::Proof, OAuthError> {
    let refused = |words: String| OAuthError::new(OAuthCode::InvalidDpopProof, words);
    let mut sent = headers.get_all("dpop").iter();
    let (Some(proof), None) = (sent.next(), sent.next()) else {
        return Err(refused("exactly one DPoP header is required".to_owned()));
    };
    let proof = proof
        .to_str()
        .map_err(|_| refused("the DPoP proof is not text".to_owned()))?;
    let now = (state.house.clock)();
    dpop::verify(proof, "POST", &state.url(TOKEN), None, None, now)
        .map_err(|error| refused(error.to_string()))
}
