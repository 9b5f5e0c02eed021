//! Access tokens: JWT profile of RFC 9068 (`at+jwt`), bound to a DPoP key by `cnf.jkt` (RFC 7800, RFC 9449 section 6),
//! one audience, with HelseID's claim names and our own under `https://delt.example/claims/`.

pub mod foreign;
pub mod memory;

use crate::LEEWAY_SECONDS;
use crate::attest::{self, Attestation};
use crate::caller::{
    Agreement, Caller, ClientUse, Delegation, Person, Representation, RepresentedBy,
};
use crate::category::Category;
use crate::encoding::{is_sha256_base64url, sha256};
use crate::jws::{self, Embedded, JwsError};
use crate::keys::{KeyError, KeySet, PublicKey, SigningKey};
use crate::scope::Scopes;
use fhir::ids::{HprNumber, OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// `typ` of an access token.
pub const TYP: &str = "at+jwt";

/// Longest life of a token that our anchor issues, in seconds (default and limit: 5 minutes).
pub const LIFETIME_SECONDS: i64 = 300;

/// The key confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Thumbprint of the DPoP key.
    pub jkt: String,
}

/// The party that acts for the subject (RFC 8693 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The gateway's client id.
    pub client_id: String,
}

/// What kind of subject a token has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Health personnel with an attest.
    Practitioner,
    /// A patient or a representative.
    Citizen,
    /// A client on its own.
    System,
}

/// The claims of an access token. Times are Unix seconds. Debug shows the token's id only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// The one audience.
    #[serde(deserialize_with = "one_audience")]
    pub aud: String,
    /// Subject: an opaque user id, or the client id.
    pub sub: String,
    /// Client the token was issued to.
    pub client_id: String,
    /// Issued at.
    pub iat: i64,
    /// Not before.
    pub nbf: i64,
    /// Expires.
    pub exp: i64,
    /// Token id.
    pub jti: String,
    /// Scopes, divided by spaces.
    #[serde(default)]
    pub scope: String,
    /// Key confirmation. A token without it is refused; optional here so that a test issuer can leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// The gateway that acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
    /// The person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The person's national identity number.
    #[serde(
        rename = "helseid://claims/identity/pid",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub pid: Option<String>,
    /// The issuer's pseudonym for the person.
    #[serde(
        rename = "helseid://claims/identity/pid_pseudonym",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub pseudonym: Option<String>,
    /// Level of the login, `"1"` to `"4"`.
    #[serde(
        rename = "helseid://claims/identity/security_level",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub security_level: Option<String>,
    /// HPR number.
    #[serde(
        rename = "helseid://claims/hpr/hpr_number",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub hpr_number: Option<String>,
    /// Organisation number of the consuming organisation (main unit).
    #[serde(
        rename = "helseid://claims/client/claims/orgnr_parent",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub orgnr_parent: Option<OrganisationNumber>,
    /// The attest.
    #[serde(
        rename = "nhn:tillitsrammeverk:parameters",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub attest: Option<Attestation>,
    /// The attest where an issuer leaves it in `authorization_details` (RFC 9396); ours never writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details: Vec<Value>,
    /// The patient the token is bound to.
    #[serde(
        rename = "https://delt.example/claims/patient",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub patient: Option<PersonIdentifier>,
    /// The id by which an app that was launched knows the patient; nobody's number.
    #[serde(
        rename = "https://delt.example/claims/patient_id",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub patient_id: Option<String>,
    /// The agreement between consumer and provider.
    #[serde(
        rename = "https://delt.example/claims/agreement",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub agreement: Option<Agreement>,
    /// The delegation from the owner.
    #[serde(
        rename = "https://delt.example/claims/delegation",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub delegation: Option<Delegation>,
    /// The client's registered use.
    #[serde(rename = "https://delt.example/claims/use")]
    pub use_: ClientUse,
    /// Kind of subject.
    #[serde(rename = "https://delt.example/claims/kind")]
    pub kind: Kind,
    /// The authorization grant behind the token, by which the issuer knows whether it was revoked.
    #[serde(
        rename = "https://delt.example/claims/grant",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub grant: Option<String>,
    /// The representation by which a citizen acts for the patient.
    #[serde(
        rename = "https://delt.example/claims/represents",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub represents: Option<Representation>,
    /// Who acts for the citizen who signed in.
    #[serde(
        rename = "https://delt.example/claims/represented_by",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub represented_by: Vec<RepresentedBy>,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claims({})", self.jti)
    }
}

/// A string, or a list of exactly one (RFC 7519 section 4.1.3); several audiences are refused.
fn one_audience<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        List([String; 1]),
    }
    match Audience::deserialize(reader)? {
        Audience::One(one) | Audience::List([one]) => Ok(one),
    }
}

/// Why an access token was not accepted. Holds no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Signature, header or form.
    #[error("the access token is not acceptable: {0}")]
    Jws(#[from] JwsError),
    /// A claim is missing, of the wrong type, or contradicts another.
    #[error("the access token's claims are incomplete or malformed")]
    Claims,
    /// Another issuer than the configured one.
    #[error("the access token has another issuer")]
    Issuer,
    /// Another audience than this service.
    #[error("the access token is for another audience")]
    Audience,
    /// Past `exp`.
    #[error("the access token has expired")]
    Expired,
    /// Before `nbf` or `iat`.
    #[error("the access token is not valid yet")]
    NotYetValid,
    /// No key confirmation.
    #[error("the access token is not bound to a key")]
    Unbound,
}

impl TokenError {
    /// Always unauthenticated.
    pub fn category(self) -> Category {
        Category::Unauthenticated
    }

    /// The OAuth error code (RFC 6750 section 3.1, RFC 9449 section 7.1).
    pub fn code(self) -> &'static str {
        "invalid_token"
    }

    /// Was the key unknown, so that a fresh key set might help?
    pub fn unknown_key(self) -> bool {
        self == TokenError::Jws(JwsError::UnknownKey)
    }
}

/// Signs claims as an access token.
pub fn issue(claims: &Claims, key: &SigningKey) -> Result<String, KeyError> {
    issue_as(TYP, claims, key)
}

/// Signs claims under another `typ`; for a test issuer that must be able to make defective tokens.
pub fn issue_as(typ: &str, claims: &Claims, key: &SigningKey) -> Result<String, KeyError> {
    // Claims are plain strings, numbers and lists; they always have a JSON form.
    let value = serde_json::to_value(claims).map_err(|_| KeyError::Malformed)?;
    jws::sign(typ, &value, key)
}

/// Verifies an access token: form, algorithm and key from the configured set alone, `typ`, issuer exact, audience
/// exact, times with a leeway of 10 s, key confirmation.
pub fn verify(
    jwt: &str,
    keys: &KeySet,
    issuer: &str,
    audience: &str,
    now: Instant,
) -> Result<Claims, TokenError> {
    verified(jwt, keys, issuer, audience, now).map(|(claims, _)| claims)
}

/// As [`verify`], and the key that verified it.
fn verified(
    jwt: &str,
    keys: &KeySet,
    issuer: &str,
    audience: &str,
    now: Instant,
) -> Result<(Claims, By), TokenError> {
    let compact = jws::parse(jwt, Embedded::Refused)?;
    compact.require_typ(TYP)?;
    let (members, by) = signed(&compact, keys)?;
    let claims: Claims =
        serde_json::from_value(Value::Object(members)).map_err(|_| TokenError::Claims)?;
    if claims.iss != issuer {
        return Err(TokenError::Issuer);
    }
    if claims.aud != audience {
        return Err(TokenError::Audience);
    }
    timely(&claims, now)?;
    Ok((claims, by))
}

/// Which key verified a token: its name in the token's header, and the key that this name had.
struct By {
    kid: Option<String>,
    key: PublicKey,
}

/// The members of a token whose signature a key of the set made.
fn signed(compact: &jws::Compact<'_>, keys: &KeySet) -> Result<(Map<String, Value>, By), JwsError> {
    let kid = compact.header.kid.clone();
    let key = keys.find(kid.as_deref()).ok_or(JwsError::UnknownKey)?;
    let members = jws::claims(compact.verify(key)?)?;
    let key = key.clone();
    Ok((members, By { kid, key }))
}

/// Is it now that the token is good, and is it bound to a key?
fn timely(claims: &Claims, now: Instant) -> Result<(), TokenError> {
    in_time(claims.nbf.max(claims.iat), claims.exp, now)?;
    match &claims.cnf {
        Some(cnf) if is_sha256_base64url(&cnf.jkt) => Ok(()),
        _ => Err(TokenError::Unbound),
    }
}

/// Is it between two moments (Unix seconds), give or take the leeway?
fn in_time(not_before: i64, expires: i64, now: Instant) -> Result<(), TokenError> {
    let now = now.seconds();
    if expires <= now.saturating_sub(LEEWAY_SECONDS) {
        return Err(TokenError::Expired);
    }
    if not_before > now.saturating_add(LEEWAY_SECONDS) {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

impl Claims {
    /// The caller these claims describe. `jwt` is the token as received, kept as its hash only.
    pub fn caller(&self, jwt: &str) -> Result<Caller, TokenError> {
        let attestation = self.attestation()?;
        let organisation = self.orgnr_parent;
        let person = match self.kind {
            Kind::System if self.pid.is_none() && organisation.is_some() => Person::System,
            Kind::System => return Err(TokenError::Claims),
            Kind::Practitioner => Person::Practitioner {
                identifier: self.person()?,
                name: self.name.clone(),
                hpr: self
                    .hpr_number
                    .as_deref()
                    .map(HprNumber::parse)
                    .transpose()
                    .map_err(|_| TokenError::Claims)?,
                pseudonym: self.pseudonym.clone(),
                security_level: self.level()?,
                attestation: attestation.clone().map(Box::new),
            },
            Kind::Citizen => Person::Citizen {
                identifier: self.person()?,
                name: self.name.clone(),
                security_level: self.level()?,
                represents: self.represents.clone(),
            },
        };
        let patient = self
            .patient
            .clone()
            .or_else(|| attestation.as_ref().and_then(Attestation::only_patient));
        Ok(Caller {
            client_id: self.client_id.clone(),
            use_: self.use_,
            organisation,
            scopes: Scopes::parse(&self.scope).map_err(|_| TokenError::Claims)?,
            person,
            patient,
            patient_id: self.patient_id.clone(),
            represented_by: self.represented_by.clone(),
            gateway: self.act.as_ref().map(|act| act.client_id.clone()),
            agreement: self.agreement.clone(),
            delegation: self.delegation.clone(),
            audience: self.aud.clone(),
            token_id: self.jti.clone(),
            jkt: self
                .cnf
                .as_ref()
                .map(|cnf| cnf.jkt.clone())
                .ok_or(TokenError::Unbound)?,
            token_hash: sha256(jwt.as_bytes()),
            issued: Instant::from_seconds(self.iat),
            expires: Instant::from_seconds(self.exp),
        })
    }

    fn person(&self) -> Result<PersonIdentifier, TokenError> {
        let pid = self.pid.as_deref().ok_or(TokenError::Claims)?;
        PersonIdentifier::guess(pid, PersonNumbers::Lenient).map_err(|_| TokenError::Claims)
    }

    /// `security_level`; a token that does not say has level 0, which opens nothing.
    fn level(&self) -> Result<u8, TokenError> {
        match self.security_level.as_deref() {
            None => Ok(0),
            Some("1") => Ok(1),
            Some("2") => Ok(2),
            Some("3") => Ok(3),
            Some("4") => Ok(4),
            Some(_) => Err(TokenError::Claims),
        }
    }

    /// The attest from its claim, or from `authorization_details`; from both places is refused (HID-DOUBLE-STRUCTURE).
    pub fn attestation(&self) -> Result<Option<Attestation>, TokenError> {
        let mut found = self.attest.clone();
        for detail in self
            .authorization_details
            .iter()
            .filter(|detail| detail["type"] == attest::CLAIM)
        {
            let attest = serde_json::from_value(detail.clone()).map_err(|_| TokenError::Claims)?;
            if found.replace(attest).is_some() {
                return Err(TokenError::Claims);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
