//! Who asks: client assertion and DPoP proof, each accepted once.
//!
//! A client that does not exist is refused with the same words, and by the same steps, as one whose assertion is wrong.

use crate::config::Client;
use crate::{State, issue};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;
use trust::jws::{self, Embedded};
use trust::keys::PublicKey;
use trust::{Replay, assertion, dpop};
use wire::contract::anchor::{CLIENT_ASSERTION_TYPE, TOKEN};
use wire::contract::operate::{Kind, Standing};
use wire::form::Form;
use wire::oauth_error::{OAuthCode, OAuthError};
use wire::request_id::RequestIds;

/// How long a nonce of ours stands, in seconds.
const NONCE_SECONDS: i64 = 300;
/// What a sealed nonce holds besides its time.
const NONCE: &[u8] = b"dpop-nonce";

/// A client whose assertion stands.
pub(crate) struct Known<'a> {
    pub(crate) client: &'a Client,
    /// The assertion's single use.
    pub(crate) assertion: Replay,
    /// The assertion's `assertion_details`.
    pub(crate) details: Vec<Value>,
}

/// A client that proved itself at the token endpoint.
pub(crate) struct Authenticated<'a> {
    pub(crate) client: &'a Client,
    /// Thumbprint of the key that tokens are bound to.
    pub(crate) jkt: String,
    /// The assertion's single use.
    pub(crate) assertion: Replay,
    /// The proof's single use.
    pub(crate) proof: Replay,
    /// The assertion's `assertion_details`.
    pub(crate) details: Vec<Value>,
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

/// Checks the assertion, then the proof, as the token endpoint needs both.
pub(crate) fn authenticate<'a>(
    state: &'a State,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Authenticated<'a>, Refused<'a>> {
    let Known {
        client,
        assertion,
        details,
    } = client(state, headers, form)?;
    let proof = proof(state, headers, TOKEN).map_err(|error| (error, Some((client, assertion))))?;
    Ok(Authenticated {
        client,
        jkt: proof.jkt,
        assertion,
        proof: proof.replay,
        details,
    })
}

/// A refusal on its way out: what its client did until then is on record, and its assertion used up.
pub(crate) async fn on_record(
    state: &State,
    ids: &RequestIds,
    (error, proved): Refused<'_>,
    asked: &str,
) -> OAuthError {
    let Some((client, assertion)) = proved else {
        return error;
    };
    let mut record = issue::record(state, ids, client, asked);
    record.outcome = issue::unauthenticated(error.code);
    match issue::spend_once(state, vec![assertion], record, Vec::new()).await {
        Ok(()) => error,
        Err(error) => error,
    }
}

/// Is the client, its organisation, or the key (by its `kid`, or the only one) suspended?
pub(crate) fn is_stopped(state: &State, client: &Client, key: Option<&PublicKey>) -> bool {
    let standings = state.registry.book.standings();
    let key = key.map(|key| {
        let entry = standings.of(Kind::ClientKey, &client.client_id, Some(key.thumbprint()));
        entry.state == Standing::Active
    });
    key == Some(false)
        || !standings.counts(Kind::Client, &client.client_id)
        || state.registry.is_suspended(&client.orgnr)
}

/// Checks the assertion alone. A suspended client is refused in the words for one that does not exist.
pub(crate) fn client<'a>(
    state: &'a State,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Known<'a>, Refused<'a>> {
    let (found, assertion, details) =
        asserted(state, headers, form).map_err(|error| (error, None))?;
    let Some(client) = found else {
        return Err((invalid_client(), None));
    };
    let jwt = form.get("client_assertion").unwrap_or_default();
    let kid = jws::parse(jwt, Embedded::Refused)
        .ok()
        .and_then(|one| one.header.into_owned().kid);
    if is_stopped(state, client, client.keys.find(kid.as_deref())) {
        tracing::warn!(client = client.client_id, "a suspended client asked");
        return Err((invalid_client(), Some((client, assertion))));
    }
    Ok(Known {
        client,
        assertion,
        details,
    })
}

/// The client that an assertion names, if there is one, and the assertion's single use and details.
type Asserted<'a> = (Option<&'a Client>, Replay, Vec<Value>);

/// Verifies an assertion, by the same steps whether its client exists or not.
fn asserted<'a>(
    state: &'a State,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Asserted<'a>, OAuthError> {
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
    let verified = assertion::verify_with_details(jwt, &claimed, keys, &state.config.issuer, now);
    let (assertion, details) = verified.map_err(|error| {
        // Which client it claimed to be is not logged: an unproved name is anybody's text.
        tracing::info!(%error, "a client assertion was refused");
        invalid_client()
    })?;
    Ok((found, assertion, details))
}

/// Checks the proof of a request to one of our endpoints, with a nonce of ours where the configuration asks for one.
pub(crate) fn proof(
    state: &State,
    headers: &HeaderMap,
    endpoint: &str,
) -> Result<dpop::Proof, OAuthError> {
    let refused = |words: String| OAuthError::new(OAuthCode::InvalidDpopProof, words);
    let mut sent = headers.get_all("dpop").iter();
    let (Some(proof), None) = (sent.next(), sent.next()) else {
        return Err(refused("exactly one DPoP header is required".to_owned()));
    };
    let proof = proof
        .to_str()
        .map_err(|_| refused("the DPoP proof is not text".to_owned()))?;
    let (url, now) = (state.url(endpoint), (state.house.clock)());
    let verified = if state.config.dpop_nonce {
        dpop::verify_with_nonce(proof, "POST", &url, &|nonce| nonce_until(state, nonce))
    } else {
        dpop::verify(proof, "POST", &url, None, None, now)
    };
    verified.map_err(|error| match error {
        dpop::DpopError::Nonce => OAuthError::new(OAuthCode::UseDpopNonce, error.to_string()),
        error => refused(error.to_string()),
    })
}

/// The header with a fresh nonce, where the configuration asks for nonces. It is sealed time: nothing is kept for it.
pub(crate) fn nonce_header(state: &State) -> Option<(HeaderName, HeaderValue)> {
    if !state.config.dpop_nonce {
        return None;
    }
    let now = (state.house.clock)().seconds();
    let nonce = state
        .store
        .seal(&[NONCE, &now.to_be_bytes()].concat())
        .ok()?;
    let value = HeaderValue::from_str(&nonce).ok()?;
    Some((HeaderName::from_static("dpop-nonce"), value))
}

/// Until when a nonce stands, if it is ours and still does.
fn nonce_until(state: &State, nonce: &str) -> Option<i64> {
    let plain = state.store.unseal(nonce)?;
    let made = plain.strip_prefix(NONCE)?;
    let made = i64::from_be_bytes(made.try_into().ok()?);
    let now = (state.house.clock)().seconds();
    let until = made.checked_add(NONCE_SECONDS)?;
    (made <= now && now <= until).then_some(until)
}
