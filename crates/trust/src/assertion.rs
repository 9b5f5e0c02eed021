//! Client authentication by signed assertion: `private_key_jwt` (RFC 7521, RFC 7523, OpenID Connect Core section 9),
//! as FAPI 2.0 and HelseID bound it: audience is the issuer as one string, life at most 60 s, `jti` once.

use crate::LEEWAY_SECONDS;
use crate::category::Category;
use crate::encoding::from_base64url;
use crate::json;
use crate::jws::{self, Embedded, JwsError};
use crate::keys::{KeyError, KeySet, SigningKey};
use crate::replay::Replay;
use fhir::time::Instant;
use serde_json::{Value, json};

/// The only `client_assertion_type`.
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// `typ` that we write; `JWT` and none at all are read too, as HelseID's clients send them.
pub const TYP: &str = "client-authentication+jwt";

/// Longest life, in seconds.
pub const LIFETIME_SECONDS: i64 = 60;

/// Why an assertion was not accepted. Holds no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// Form, key or signature.
    #[error("the client assertion is not acceptable: {0}")]
    Jws(#[from] JwsError),
    /// A claim is missing, of the wrong type, or wrong.
    #[error("the client assertion's claim {0} is missing or wrong")]
    Claim(&'static str),
    /// Expired, from the future, or living too long.
    #[error("the client assertion's times are outside what is accepted")]
    Time,
}

impl AssertionError {
    /// Always unauthenticated.
    pub fn category(self) -> Category {
        Category::Unauthenticated
    }

    /// The OAuth error code (RFC 6749 section 5.2).
    pub fn code(self) -> &'static str {
        "invalid_client"
    }
}

/// An assertion for one request to the token endpoint. `now` is Unix seconds.
pub fn make(
    client_id: &str,
    issuer: &str,
    key: &SigningKey,
    now: i64,
    jti: &str,
) -> Result<String, KeyError> {
    make_with_details(client_id, issuer, key, now, jti, &[])
}

/// As [`make`], with `assertion_details` for the token endpoint.
pub fn make_with_details(
    client_id: &str,
    issuer: &str,
    key: &SigningKey,
    now: i64,
    jti: &str,
    details: &[Value],
) -> Result<String, KeyError> {
    let mut claims = json!({
        "iss": client_id, "sub": client_id, "aud": issuer,
        "iat": now, "nbf": now, "exp": now + LIFETIME_SECONDS, "jti": jti,
    });
    if !details.is_empty() {
        claims["assertion_details"] = Value::Array(details.to_vec());
    }
    jws::sign(TYP, &claims, key)
}

/// Whom an assertion claims to be from. Nothing is verified yet: use it to find the registered keys, nothing else.
pub fn claimed_client(jwt: &str) -> Option<String> {
    let payload = jwt
        .split('.')
        .nth(1)
        .filter(|_| jwt.len() <= jws::LONGEST)?;
    let claims = json::object(&from_base64url(payload)?).ok()?;
    claims.get("sub").and_then(Value::as_str).map(str::to_owned)
}

/// Verifies an assertion of `client_id` with its registered keys; gives what to remember so that it is not used twice.
pub fn verify(
    jwt: &str,
    client_id: &str,
    keys: &KeySet,
    issuer: &str,
    now: Instant,
) -> Result<Replay, AssertionError> {
    verify_with_details(jwt, client_id, keys, issuer, now).map(|(replay, _)| replay)
}

/// As [`verify`]; gives the assertion's `assertion_details` too (HelseID's way of sending structured content to the token
/// endpoint): a list of objects, or one object, as they stand; empty when there is none.
pub fn verify_with_details(
    jwt: &str,
    client_id: &str,
    keys: &KeySet,
    issuer: &str,
    now: Instant,
) -> Result<(Replay, Vec<Value>), AssertionError> {
    let compact = jws::parse(jwt, Embedded::Refused)?;
    if compact.header.typ.is_some() {
        compact
            .require_typ(TYP)
            .or_else(|_| compact.require_typ("jwt"))?;
    }
    let claims = jws::claims(compact.verify_with(keys)?)?;
    let text = |name: &'static str| {
        claims
            .get(name)
            .and_then(Value::as_str)
            .ok_or(AssertionError::Claim(name))
    };
    let time = |name: &'static str| {
        claims
            .get(name)
            .and_then(Value::as_i64)
            .ok_or(AssertionError::Claim(name))
    };
    if text("iss")? != client_id {
        return Err(AssertionError::Claim("iss"));
    }
    if text("sub")? != client_id {
        return Err(AssertionError::Claim("sub"));
    }
    // A list is refused, and so is the token endpoint's address: the issuer, as a string.
    if text("aud")? != issuer {
        return Err(AssertionError::Claim("aud"));
    }
    let jti = text("jti")?;
    if jti.is_empty() || jti.len() > 256 {
        return Err(AssertionError::Claim("jti"));
    }
    let (iat, exp) = (time("iat")?, time("exp")?);
    let nbf = if claims.contains_key("nbf") {
        time("nbf")?
    } else {
        iat
    };
    let now = now.seconds();
    let soon = now.saturating_add(LEEWAY_SECONDS);
    let living = exp > now.saturating_sub(LEEWAY_SECONDS) && iat <= soon && nbf <= soon;
    let short =
        exp <= soon.saturating_add(LIFETIME_SECONDS) && exp.saturating_sub(iat) <= LIFETIME_SECONDS;
    if !living || !short {
        return Err(AssertionError::Time);
    }
    let details = match claims.get("assertion_details") {
        None => Vec::new(),
        Some(Value::Array(list)) => list.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        Some(_) => return Err(AssertionError::Claim("assertion_details")),
    };
    let replay = Replay::of(
        "client-assertion",
        &[client_id, jti],
        exp.saturating_add(2 * LEEWAY_SECONDS),
    );
    Ok((replay, details))
}

#[cfg(test)]
#[path = "assertion_tests.rs"]
mod tests;
