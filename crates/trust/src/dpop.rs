//! DPoP proofs (RFC 9449): made for our own requests, checked for others'.
//!
//! The checks are those of threats-and-faults section 3, and no others: `typ`, asymmetric algorithm, public key only,
//! signature, `htm`, `htu` (normalised, without query and fragment), `ath`, `iat` from 60 s back to 10 s ahead, `jti`
//! once. That there is exactly one `DPoP` header is seen by whoever holds the headers; that a `jti` comes once is the
//! store's to remember, by [`Replay`].

mod said;

use crate::LEEWAY_SECONDS;
use crate::category::Category;
use crate::encoding::{base64url, sha256_base64url};
use crate::jws::{self, Embedded, Header, JwsError};
use crate::keys::{KeyError, SigningKey};
use crate::replay::Replay;
use fhir::time::Instant;
use said::{Member, Said};
use serde_json::{Value, json};
use std::sync::OnceLock;
use url::Url;

/// `typ` of a proof.
pub const TYP: &str = "dpop+jwt";

/// Oldest proof that is accepted, in seconds.
pub const OLDEST_SECONDS: i64 = 60;

/// How long after its check a request may still commit, in seconds: a slow body (30 s) and the work itself.
const UNDER_WAY_SECONDS: i64 = 60;

/// Why a proof was not accepted. Holds no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    /// Header, key or signature.
    #[error("the DPoP proof is not acceptable: {0}")]
    Jws(#[from] JwsError),
    /// A claim is missing or of the wrong type.
    #[error("the DPoP proof's claim {0} is missing or malformed")]
    Claim(&'static str),
    /// Made for another method.
    #[error("the DPoP proof is for another method")]
    Method,
    /// Made for another URL.
    #[error("the DPoP proof is for another URL")]
    Url,
    /// Made for another access token, or none.
    #[error("the DPoP proof is not for this access token")]
    Ath,
    /// Too old, or from the future.
    #[error("the DPoP proof's iat is outside the accepted time")]
    Time,
    /// Made with another key than the token is bound to.
    #[error("the DPoP proof is made with another key than expected")]
    Key,
    /// Without a nonce of the server's, or with one that no longer stands.
    #[error("the DPoP proof needs the server's nonce")]
    Nonce,
}

impl DpopError {
    /// Always unauthenticated.
    pub fn category(self) -> Category {
        Category::Unauthenticated
    }

    /// The OAuth error code (RFC 9449 section 5 and 7.1).
    pub fn code(self) -> &'static str {
        match self {
            DpopError::Nonce => "use_dpop_nonce",
            _ => "invalid_dpop_proof",
        }
    }
}

/// A proof that stands: the key's thumbprint, and what to remember so that it is not used twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// RFC 7638 thumbprint of the key in the proof.
    pub jkt: String,
    /// To be committed with the request.
    pub replay: Replay,
}

/// `ath` of an access token: base64url SHA-256 of its ASCII.
pub fn ath(access_token: &str) -> String {
    sha256_base64url(access_token.as_bytes())
}

/// A proof for one request. `url` may have query and fragment (they are left out); `ath` comes from [`ath`]; `iat` is
/// Unix seconds; `jti` must never be used again.
pub fn prove(
    key: &SigningKey,
    method: &str,
    url: &str,
    ath: Option<&str>,
    iat: i64,
    jti: &str,
) -> Result<String, KeyError> {
    prove_with_nonce(key, method, url, ath, iat, jti, None)
}

/// As [`prove`], with the nonce that the server gave (RFC 9449 section 8).
pub fn prove_with_nonce(
    key: &SigningKey,
    method: &str,
    url: &str,
    ath: Option<&str>,
    iat: i64,
    jti: &str,
    nonce: Option<&str>,
) -> Result<String, KeyError> {
    let htu = normalise(url).ok_or(KeyError::Malformed)?;
    let mut claims = json!({"jti": jti, "htm": method, "htu": htu, "iat": iat});
    if let Some(nonce) = nonce {
        claims["nonce"] = Value::String(nonce.to_owned());
    }
    if let Some(ath) = ath {
        claims["ath"] = Value::String(ath.to_owned());
    }
    jws::sign_embedded(TYP, &claims, key)
}

/// What ties proofs to one access token, and what need not be read again: a client's proofs under one key begin with the
/// same bytes each time, so the header of the first that was accepted serves for the others. Every proof is verified.
pub struct Binding {
    ath: String,
    jkt: String,
    header: OnceLock<(Box<str>, Header)>,
}

impl Binding {
    /// `token_hash` is the SHA-256 of the access token, `jkt` the thumbprint of the key it is bound to.
    pub fn new(token_hash: &[u8; 32], jkt: &str) -> Binding {
        Binding {
            ath: base64url(token_hash),
            jkt: jkt.to_owned(),
            header: OnceLock::new(),
        }
    }
}

/// What a proof is held against.
struct Expected<'a> {
    method: &'a str,
    url: &'a str,
    ath: Option<&'a str>,
    jkt: Option<&'a str>,
    /// Where the header of an accepted proof is kept.
    header: Option<&'a OnceLock<(Box<str>, Header)>>,
}

/// Checks a proof against the request it came with. `method` and `url` are the request's own (`url` from our
/// configured origin and the path as received); `ath` is required at resource servers and absent at the token
/// endpoint; `expected_jkt` is the key the token is bound to.
pub fn verify(
    proof: &str,
    method: &str,
    url: &str,
    ath: Option<&str>,
    expected_jkt: Option<&str>,
    now: Instant,
) -> Result<Proof, DpopError> {
    let expected = Expected {
        method,
        url,
        ath,
        jkt: expected_jkt,
        header: None,
    };
    check(proof, &expected, &|said| young(said, now))
}

/// As [`verify`], for a token that many requests come with.
pub fn verify_bound(
    proof: &str,
    method: &str,
    url: &str,
    binding: &Binding,
    now: Instant,
) -> Result<Proof, DpopError> {
    let expected = Expected {
        method,
        url,
        ath: Some(&binding.ath),
        jkt: Some(&binding.jkt),
        header: Some(&binding.header),
    };
    check(proof, &expected, &|said| young(said, now))
}

/// Is the proof of now? Says until when it is.
fn young(said: &Said<'_>, now: Instant) -> Result<i64, DpopError> {
    let (now, iat) = (now.seconds(), issued(said)?);
    if iat < now.saturating_sub(OLDEST_SECONDS) || iat > now.saturating_add(LEEWAY_SECONDS) {
        Err(DpopError::Time)
    } else {
        Ok(iat.saturating_add(OLDEST_SECONDS))
    }
}

/// As [`verify`] at a token endpoint that gives nonces (RFC 9449 section 8): the proof must carry one that `until` takes,
/// which answers until when (Unix seconds) it stands. The nonce tells the proof's age; the client's clock does not.
pub fn verify_with_nonce(
    proof: &str,
    method: &str,
    url: &str,
    until: &dyn Fn(&str) -> Option<i64>,
) -> Result<Proof, DpopError> {
    let expected = Expected {
        method,
        url,
        ath: None,
        jkt: None,
        header: None,
    };
    check(proof, &expected, &|said| {
        issued(said)?;
        let nonce = said.nonce.as_ref().and_then(Member::text);
        nonce.and_then(until).ok_or(DpopError::Nonce)
    })
}

/// Looks at `iat` and the nonce; says until when (Unix seconds) the proof could be sent again.
type Fresh<'a> = &'a dyn Fn(&Said<'_>) -> Result<i64, DpopError>;

/// All checks.
fn check(proof: &str, expected: &Expected<'_>, fresh: Fresh<'_>) -> Result<Proof, DpopError> {
    let known = expected.header.and_then(OnceLock::get);
    let known = known.map(|(text, header)| (&**text, header));
    let compact = jws::parse_known(proof, Embedded::Required, known)?;
    compact.require_typ(TYP)?;
    let said = Said::read(compact.verify_embedded()?).map_err(|_| JwsError::Payload)?;
    let jkt = compact
        .header
        .jwk
        .as_ref()
        .ok_or(JwsError::Key)?
        .thumbprint();
    if text(&said.htm, "htm")? != expected.method {
        return Err(DpopError::Method);
    }
    let htu = text(&said.htu, "htu")?;
    // What is the same text is the same URL.
    if htu != expected.url {
        let htu = normalise(htu).ok_or(DpopError::Claim("htu"))?;
        if Some(htu) != normalise(expected.url) {
            return Err(DpopError::Url);
        }
    }
    if expected.ath.is_some() && said.ath.as_ref().and_then(Member::text) != expected.ath {
        return Err(DpopError::Ath);
    }
    let until = fresh(&said)?;
    if expected.jkt.is_some_and(|expected| expected != jkt) {
        return Err(DpopError::Key);
    }
    let jti = text(&said.jti, "jti")?;
    if jti.is_empty() || jti.len() > 256 {
        return Err(DpopError::Claim("jti"));
    }
    // Remembered longer than it could be accepted: clocks of two workers may differ, and a request that was admitted in
    // the last second commits when its body has come. The store takes no proof that it may have forgotten.
    let replay = Replay::of(
        "dpop",
        &[jkt, jti],
        until.saturating_add(LEEWAY_SECONDS + UNDER_WAY_SECONDS),
    );
    let proof = Proof {
        jkt: jkt.to_owned(),
        replay,
    };
    if let Some(keep) = expected.header {
        keep.get_or_init(|| (compact.raw_header().into(), compact.header.into_owned()));
    }
    Ok(proof)
}

fn text<'a>(member: &'a Option<Member<'_>>, name: &'static str) -> Result<&'a str, DpopError> {
    member
        .as_ref()
        .and_then(Member::text)
        .ok_or(DpopError::Claim(name))
}

fn issued(said: &Said<'_>) -> Result<i64, DpopError> {
    let iat = said.iat.as_ref().and_then(Member::integer);
    iat.ok_or(DpopError::Claim("iat"))
}

/// A URL in the form that `htu` is compared in: scheme and host in lower case, default port left out, empty path `/`,
/// no query, no fragment. `None` for what is not an http(s) URL or carries user information.
pub fn normalise(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    if !matches!(url.scheme(), "http" | "https")
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

#[cfg(test)]
#[path = "dpop_tests.rs"]
mod tests;
