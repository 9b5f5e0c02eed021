//! A citizen who signed in: who she is, as the anchor's ID token says it (OpenID Connect Core 1.0 section 3.1.3.7), and her tokens.

use std::sync::Arc;

use fhir::ids::{PersonIdentifier, PersonNumbers};
use serde_json::Value;
use trust::id_token::{self, Expected, IdToken};
use trust::keys::{Algorithm, KeySet};
use wire::client::{Party, Request};
use wire::contract::Hidden;
use wire::contract::anchor::JWKS;

use super::{Fault, Tokens};
use crate::State;
use crate::session::LIFE_SECONDS;

/// A citizen about herself.
pub struct SignedIn {
    /// Her name, where the identity provider gave it; ID-porten gives none.
    pub name: Option<String>,
    /// Her number.
    pub number: Hidden,
    /// Her tokens.
    pub tokens: Arc<Tokens>,
    /// Id of the sign-in at the anchor, to be ended with the session.
    pub sid: Option<String>,
}

impl SignedIn {
    /// Reads the ID token.
    ///
    /// # Errors
    /// [`Fault::ForAnother`] for whoever signed in on somebody's behalf: these pages are one's own, and say so above them.
    pub fn of(token: &IdToken, tokens: Arc<Tokens>) -> Result<SignedIn, Fault> {
        let text = |name: &str| token.claims.get(name).and_then(Value::as_str);
        if token.claims.contains_key("represents") {
            return Err(Fault::ForAnother);
        }
        let number = text("helseid://claims/identity/pid").ok_or(Fault::Anchor)?;
        PersonIdentifier::guess(number, PersonNumbers::Lenient).map_err(|_| Fault::Anchor)?;
        Ok(SignedIn {
            name: text("name").map(str::to_owned),
            number: number.into(),
            sid: sid(token),
            tokens,
        })
    }
}

/// The sign-in that an ID token is of.
pub fn sid(token: &IdToken) -> Option<String> {
    token.claims.get("sid")?.as_str().map(str::to_owned)
}

/// Verifies an ID token with the issuer's keys as they are now.
///
/// # Errors
/// [`Fault::Anchor`]: the keys are not to be had, or the token does not answer this sign-in.
pub async fn verify(
    state: &State,
    party: &Party,
    jwt: &str,
    nonce: &str,
    began: i64,
) -> Result<IdToken, Fault> {
    let keys = Request::get(format!("{}{JWKS}", party.issuer()));
    let keys = state.house.http.send(&keys).await.map_err(|error| {
        tracing::warn!(%error, "the anchor gave no keys");
        Fault::Anchor
    })?;
    let keys = KeySet::parse(&keys.body).map_err(|_| Fault::Anchor)?;
    let expected = Expected {
        issuer: party.issuer(),
        client_id: party.client_id(),
        algorithms: &Algorithm::ALL,
        nonce,
        began,
        max_age: LIFE_SECONDS,
        anew: false,
    };
    id_token::verify(jwt, &keys, expected, (state.house.clock)()).map_err(|error| {
        tracing::warn!(%error, "the anchor's ID token was not accepted");
        Fault::Anchor
    })
}
