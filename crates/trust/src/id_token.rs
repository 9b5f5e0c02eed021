//! ID tokens of an OpenID provider at which somebody signed in (OpenID Connect Core 1.0 section 3.1.3.7, as FAPI 2.0
//! Security Profile section 5.3.3 and RFC 8725 bound it).
//!
//! Stricter than Core where a choice is ours: one audience, the client; no token that is older than the sign-in it answers;
//! `auth_time` always, for it is always asked for; `typ`, where there is one, `JWT`, so that no access token and no logout
//! token is taken for one.

use crate::LEEWAY_SECONDS;
use crate::category::Category;
use crate::jws::{self, Embedded, JwsError};
use crate::keys::{Algorithm, KeySet};
use fhir::time::Instant;
use serde_json::{Map, Value};
use std::fmt;

/// What a sign-in expects of the token that answers it. Times are Unix seconds.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The provider, exactly as in its discovery document.
    pub issuer: &'a str,
    /// We at the provider.
    pub client_id: &'a str,
    /// The algorithms that were agreed with the provider.
    pub algorithms: &'a [Algorithm],
    /// The nonce of the request.
    pub nonce: &'a str,
    /// When the sign-in began here.
    pub began: i64,
    /// How long ago the person may have proved who it is, in seconds.
    pub max_age: i64,
    /// The person must prove it anew: not before the sign-in began.
    pub anew: bool,
}

/// An ID token that stands. Debug shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct IdToken {
    /// When the person proved who it is, Unix seconds.
    pub auth_time: i64,
    /// All claims.
    pub claims: Map<String, Value>,
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdToken(auth_time {})", self.auth_time)
    }
}

/// Why an ID token was not accepted. Holds no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// Form, header, algorithm, key or signature.
    #[error("the ID token is not acceptable: {0}")]
    Jws(#[from] JwsError),
    /// A claim is missing, of the wrong type, or not what the request asked.
    #[error("the ID token's claim {0} is missing or wrong")]
    Claim(&'static str),
    /// Expired, from the future, or older than the sign-in.
    #[error("the ID token's times are outside what is accepted")]
    Time,
    /// The person proved who it is too long ago.
    #[error("the sign-in behind the ID token is too old")]
    TooOld,
}

impl IdTokenError {
    /// Always unauthenticated.
    pub fn category(self) -> Category {
        Category::Unauthenticated
    }

    /// Was the key unknown, so that a fresh key set might help?
    pub fn unknown_key(self) -> bool {
        self == IdTokenError::Jws(JwsError::UnknownKey)
    }
}

/// Verifies an ID token that came straight from the provider's token endpoint.
pub fn verify(
    jwt: &str,
    keys: &KeySet,
    expected: Expected<'_>,
    now: Instant,
) -> Result<IdToken, IdTokenError> {
    let compact = jws::parse(jwt, Embedded::Refused)?;
    if compact.header.typ.is_some() {
        compact.require_typ("JWT")?;
    }
    if !expected.algorithms.contains(&compact.header.alg) {
        return Err(JwsError::Algorithm.into());
    }
    let claims = jws::claims(compact.verify_with(keys)?)?;
    let is = |name: &'static str, value: &str| {
        let given = claims.get(name).and_then(Value::as_str);
        given
            .filter(|given| *given == value)
            .map(drop)
            .ok_or(IdTokenError::Claim(name))
    };
    let time = |name: &'static str| {
        let given = claims.get(name).and_then(Value::as_i64);
        given.ok_or(IdTokenError::Claim(name))
    };
    is("iss", expected.issuer)?;
    let ours = match claims.get("aud") {
        Some(Value::Array(list)) => list.len() == 1 && list[0] == expected.client_id,
        one => one.and_then(Value::as_str) == Some(expected.client_id),
    };
    if !ours {
        return Err(IdTokenError::Claim("aud"));
    }
    if claims.contains_key("azp") {
        is("azp", expected.client_id)?;
    }
    is("nonce", expected.nonce)?;
    let subject = claims.get("sub").and_then(Value::as_str);
    if subject.is_none_or(|sub| sub.is_empty() || sub.len() > 255) {
        return Err(IdTokenError::Claim("sub"));
    }
    let (iat, exp) = (time("iat")?, time("exp")?);
    let nbf = match claims.contains_key("nbf") {
        true => time("nbf")?,
        false => iat,
    };
    let now = now.seconds();
    let (past, soon) = (now - LEEWAY_SECONDS, now + LEEWAY_SECONDS);
    let began = expected.began - LEEWAY_SECONDS;
    if exp <= past || iat > soon || nbf > soon || iat < began {
        return Err(IdTokenError::Time);
    }
    let auth_time = time("auth_time")?;
    if auth_time > soon {
        return Err(IdTokenError::Time);
    }
    let oldest = past.saturating_sub(expected.max_age);
    if auth_time < oldest || expected.anew && auth_time < began {
        return Err(IdTokenError::TooOld);
    }
    Ok(IdToken { auth_time, claims })
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
