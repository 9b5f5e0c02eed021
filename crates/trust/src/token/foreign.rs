//! Access tokens of an issuer that is not our anchor: HelseID, by configuration alone (validation of access tokens by an
//! API, NHN's rules 1 to 7; claim names of HelseID). What such a token says is put into our own [`Claims`], and from there
//! on nothing differs: the same checks, the same rules.
//!
//! Stricter than the foreign rules where threats-and-faults says so: one audience, `cnf.jkt`, `at+jwt` (or `JWT`, which
//! HelseID writes too). Nothing of ours is believed from there: agreements, representations, delegations and the use of a
//! client come from the service's own configuration, for a foreign issuer cannot vouch for them.
//!
//! Of the attest such an issuer fills in who signed in and the HPR number and copies the rest as the client wrote it. So the
//! number counts where the login has one too, and the authorisation where the deployment says that it believes that issuer's
//! clients ([`Foreign::believe_stated_authorisations`]); otherwise it is left out, and whoever has a number is given what every registered
//! person's work takes.

use super::{By, Claims, Kind, TYP, TokenError, signed, timely};
use crate::attest::{self, Attestation};
use crate::caller::{Agreement, ClientUse};
use crate::encoding::from_base64url;
use crate::json;
use crate::jws::{self, Embedded};
use crate::keys::KeySet;
use crate::scope::{Scope, Scopes};
use fhir::ids::OrganisationNumber;
use fhir::time::{Instant, Range};
use serde_json::{Map, Value};

/// What a service knows of a foreign issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The issuer, exactly as in tokens.
    pub issuer: String,
    /// This service as the issuer names it, for example `nhn:delt-fjellvik`.
    pub audience: String,
    /// What the issuer's scopes mean here. A scope that is not listed gives nothing.
    pub scopes: Vec<(String, Scopes)>,
    /// What clients that come for themselves are for, by client id. One that is not listed is refused.
    pub clients: Vec<(String, ClientUse)>,
    /// The issuer's names of claims.
    pub names: Names,
    /// Agreements by which others look up here: who, when, what.
    pub agreements: Vec<(OrganisationNumber, Range, Agreement)>,
    /// Whether the authorisation that its clients state in an attest is believed, though no register was asked.
    pub believe_stated_authorisations: bool,
}

/// A foreign issuer's names of the claims that we look at. The default is HelseID's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// National identity number of the person.
    pub pid: String,
    /// The person's pseudonym.
    pub pid_pseudonym: String,
    /// Level of the login, `"1"` to `"4"`.
    pub security_level: String,
    /// HPR number.
    pub hpr_number: String,
    /// The client's organisation, main unit.
    pub orgnr_parent: String,
    /// The attest, where it does not stand in `authorization_details`.
    pub attest: String,
}

impl Default for Names {
    fn default() -> Names {
        Names {
            pid: PID.to_owned(),
            pid_pseudonym: PID_PSEUDONYM.to_owned(),
            security_level: SECURITY_LEVEL.to_owned(),
            hpr_number: HPR_NUMBER.to_owned(),
            orgnr_parent: ORGNR_PARENT.to_owned(),
            attest: attest::CLAIM.to_owned(),
        }
    }
}

const PID: &str = "helseid://claims/identity/pid";
const PID_PSEUDONYM: &str = "helseid://claims/identity/pid_pseudonym";
const SECURITY_LEVEL: &str = "helseid://claims/identity/security_level";
const HPR_NUMBER: &str = "helseid://claims/hpr/hpr_number";
const ORGNR_PARENT: &str = "helseid://claims/client/claims/orgnr_parent";
const USE: &str = "https://delt.example/claims/use";
const KIND: &str = "https://delt.example/claims/kind";

/// Whose token it claims to be. Nothing is verified yet: use it to choose among configured issuers, nothing else.
pub fn claimed_issuer(jwt: &str) -> Option<String> {
    let payload = jwt
        .split('.')
        .nth(1)
        .filter(|_| jwt.len() <= jws::LONGEST)?;
    let claims = json::object(&from_base64url(payload)?).ok()?;
    claims.get("iss").and_then(Value::as_str).map(str::to_owned)
}

/// Verifies a foreign issuer's access token for the service whose audience among us is `audience`.
pub fn verify(
    jwt: &str,
    keys: &KeySet,
    foreign: &Foreign,
    audience: &str,
    now: Instant,
) -> Result<Claims, TokenError> {
    verified(jwt, keys, foreign, audience, now).map(|(claims, _)| claims)
}

/// As [`verify`], and the key that verified it.
pub(super) fn verified(
    jwt: &str,
    keys: &KeySet,
    foreign: &Foreign,
    audience: &str,
    now: Instant,
) -> Result<(Claims, By), TokenError> {
    let compact = jws::parse(jwt, Embedded::Refused)?;
    compact
        .require_typ(TYP)
        .or_else(|_| compact.require_typ("JWT"))?;
    let (members, by) = signed(&compact, keys)?;
    if members.get("iss").and_then(Value::as_str) != Some(&foreign.issuer) {
        return Err(TokenError::Issuer);
    }
    let only = match members.get("aud") {
        Some(Value::Array(list)) => match list.as_slice() {
            [only] => only.as_str(),
            _ => None,
        },
        one => one.and_then(Value::as_str),
    };
    if only != Some(&foreign.audience) {
        return Err(TokenError::Audience);
    }
    let ours = translate(&members, foreign, audience)?;
    let mut claims: Claims =
        serde_json::from_value(Value::Object(ours)).map_err(|_| TokenError::Claims)?;
    timely(&claims, now)?;
    claims.attest = claims.attestation()?;
    claims.authorization_details.clear();
    if let Some(attest) = &mut claims.attest {
        keep_what_counts(
            attest,
            claims.hpr_number.is_some(),
            foreign.believe_stated_authorisations,
        );
    }
    claims.agreement = claims.orgnr_parent.and_then(|consumer| {
        let fits = of(foreign, consumer).filter(|(range, _)| range.lo <= now.0 && now.0 < range.hi);
        fits.map(|(_, agreement)| agreement)
            .max_by_key(|agreement| agreement.version)
            .cloned()
    });
    Ok((claims, by))
}

/// Leaves out of an attest what is its client's own word alone: an HPR number that the login has not, and the authorisation
/// unless it is believed. A number that differs from the login's stays, for the rules to refuse.
fn keep_what_counts(attest: &mut Attestation, registered: bool, believed: bool) {
    let practitioner = &mut attest.practitioner;
    practitioner.hpr_nr = practitioner.hpr_nr.take().filter(|_| registered);
    practitioner.authorization = practitioner.authorization.take().filter(|_| believed);
}

/// The agreements of one consumer, with when they hold.
fn of(
    foreign: &Foreign,
    consumer: OrganisationNumber,
) -> impl Iterator<Item = (&Range, &Agreement)> {
    let all = foreign.agreements.iter();
    all.filter(move |(who, ..)| *who == consumer)
        .map(|(_, range, agreement)| (range, agreement))
}

/// Until when what was found for this consumer's token stays so: the next border of one of its agreements.
pub(super) fn unchanged_until(foreign: &Foreign, claims: &Claims, now: Instant) -> Option<Instant> {
    let borders = of(foreign, claims.orgnr_parent?).flat_map(|(range, _)| [range.lo, range.hi]);
    borders.filter(|border| *border > now.0).min().map(Instant)
}

/// The members that we look at, under our names; everything else stays behind.
fn translate(
    theirs: &Map<String, Value>,
    foreign: &Foreign,
    audience: &str,
) -> Result<Map<String, Value>, TokenError> {
    let names = &foreign.names;
    let mut ours = Map::new();
    for (name, own) in [
        ("iss", "iss"),
        ("client_id", "client_id"),
        ("sub", "sub"),
        ("iat", "iat"),
        ("nbf", "nbf"),
        ("exp", "exp"),
        ("jti", "jti"),
        ("cnf", "cnf"),
        ("name", "name"),
        ("authorization_details", "authorization_details"),
        (&names.pid, PID),
        (&names.pid_pseudonym, PID_PSEUDONYM),
        (&names.security_level, SECURITY_LEVEL),
        (&names.hpr_number, HPR_NUMBER),
        (&names.orgnr_parent, ORGNR_PARENT),
        (&names.attest, attest::CLAIM),
    ] {
        if let Some(value) = theirs.get(name) {
            ours.insert(own.to_owned(), value.clone());
        }
    }
    let text = |name: &str| theirs.get(name).and_then(Value::as_str);
    let client = text("client_id").ok_or(TokenError::Claims)?;
    let person = theirs.contains_key(&names.pid);
    let use_ = match foreign.clients.iter().find(|(known, _)| known == client) {
        Some((_, use_)) => *use_,
        // For a person the rules ask who it is and why, not what the client is for.
        None if person => ClientUse::RecordSystem,
        None => return Err(TokenError::Claims),
    };
    let kind = if person {
        Kind::Practitioner
    } else {
        Kind::System
    };
    // RFC 9068 section 2.2: a client on its own is its own subject; HelseID leaves it out.
    ours.entry("sub").or_insert_with(|| client.into());
    if let Some(iat) = theirs.get("iat") {
        ours.entry("nbf").or_insert_with(|| iat.clone());
    }
    let said = |value: Result<Value, serde_json::Error>| value.map_err(|_| TokenError::Claims);
    ours.insert(USE.to_owned(), said(serde_json::to_value(use_))?);
    ours.insert(KIND.to_owned(), said(serde_json::to_value(kind))?);
    ours.insert("aud".to_owned(), audience.into());
    ours.insert("scope".to_owned(), scopes(theirs, foreign)?.into());
    Ok(ours)
}

/// What the issuer's scopes, one text or a list, mean here.
fn scopes(theirs: &Map<String, Value>, foreign: &Foreign) -> Result<String, TokenError> {
    let given: Vec<&str> = match theirs.get("scope") {
        None => Vec::new(),
        Some(Value::String(text)) => text.split(' ').collect(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|one| one.as_str().ok_or(TokenError::Claims))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(TokenError::Claims),
    };
    let known = foreign
        .scopes
        .iter()
        .filter(|(name, _)| given.contains(&name.as_str()));
    let mut meant: Vec<Scope> = known
        .flat_map(|(_, scopes)| scopes.iter().cloned())
        .collect();
    meant.sort();
    meant.dedup();
    Ok(Scopes::from(meant).to_string())
}

#[cfg(test)]
#[path = "foreign_tests.rs"]
mod tests;
