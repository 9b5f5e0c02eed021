//! A person's assessment (vurdering), signed by its author: what she signs, how her service vouches for it, and what both are worth to
//! whoever reads it, wherever the copy came from.
//!
//! | Who | Signs | With | Stands in |
//! |---|---|---|---|
//! | the author | [`Claims`]: the step, and the digest of her words | the key that her token is bound to (RFC 9449): it lives as long as her sign-in, and her token is the anchor's word for whose it is | `note.extension` [`SIGNATURE`], so that it goes where her words go |
//! | her service, in the step's own commit | the whole resource: everything but what servers add on the way (`id`, `meta`) and the seal itself | its organisation's registered key | `extension` [`SEAL`] |
//!
//! Both are FHIR `Signature`s (R4 datatypes.html#Signature) with a JWS in `data`. The seal ties the author's key to the author: her
//! service held it against her token. Words that are left out of a copy cannot be guessed from either: the author's claims have an id
//! that is chance, and go with the words.

use crate::members::Members;
use crate::receipt::{canonical, remove_extension};
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trust::encoding::{base64, from_base64, sha256_base64url};
use trust::jws::{self, Embedded, JwsError};
use trust::keys::{KeyError, SigningKey};

/// Where the author's signature stands, in the note.
pub const SIGNATURE: &str = "https://delt.example/fhir/StructureDefinition/author-signature";
/// Where her service's seal stands, in the resource.
pub const SEAL: &str = "https://delt.example/fhir/StructureDefinition/seal";
/// JOSE `typ` of the author's signature.
const SIGNATURE_TYP: &str = "delt-said+jwt";
/// JOSE `typ` of the seal.
const SEAL_TYP: &str = "delt-assessment+jws";
/// Kinds of signatures (FHIR R4 valueset-signature-type).
const KINDS: &str = "urn:iso-astm:E1762-95:2013";
/// Of the author, of what she wrote.
const AUTHORS: (&str, &str) = ("1.2.840.10065.1.12.1.1", "Author's Signature");
/// Of who verified that she signed it.
const VERIFIED: (&str, &str) = ("1.2.840.10065.1.12.1.5", "Verification Signature");
/// Media type of a JWS.
const FORMAT: &str = "application/jose";
/// How far the author's clock may be off, in seconds.
const SKEW: i64 = 300;
/// Marks what was not given whole (HL7 v3 ObservationValue).
const SHORTENED: &str = "SUBSETTED";

/// What an author signs: compact JWS, `typ` `delt-said+jwt`, with the public key in its header (`jwk`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// What she speaks of: `Task/{id}`.
    pub task: String,
    /// The version that she saw.
    pub version: u64,
    /// SHA-256 of her words in UTF-8, base64url.
    pub words: String,
    /// Unix seconds of signing.
    pub iat: i64,
    /// Chance, of 16 characters or more.
    pub jti: String,
}

impl Claims {
    /// Of these words about a version of a Task.
    pub fn of(task: &str, version: u64, words: &str, now: Instant, jti: String) -> Self {
        Self {
            task: format!("Task/{task}"),
            version,
            words: sha256_base64url(words.as_bytes()),
            iat: now.seconds(),
            jti,
        }
    }

    /// Signs them with the key that the author's token is bound to.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(&self, key: &SigningKey) -> Result<String, KeyError> {
        let claims = serde_json::to_value(self).map_err(|_| KeyError::Malformed)?;
        jws::sign_embedded(SIGNATURE_TYP, &claims, key)
    }

    /// Reads what was signed by the key that came along; whose that is says the thumbprint.
    ///
    /// # Errors
    /// What is wrong with the JWS.
    fn read(text: &str) -> Result<(Self, String), JwsError> {
        let compact = jws::parse(text, Embedded::Required)?;
        compact.require_typ(SIGNATURE_TYP)?;
        let payload = compact.verify_embedded()?;
        let claims = jws::claims(payload)?;
        let claims = serde_json::from_value(claims.into()).map_err(|_| JwsError::Payload)?;
        let key = compact.header.jwk.as_ref().ok_or(JwsError::Key)?;
        Ok((claims, key.thumbprint().to_owned()))
    }
}

/// Whether `text` is an author's signature of these words about this version, now, with the key that her token is bound to (`jkt`).
pub fn is_hers(
    text: &str,
    jkt: &str,
    (task, version): (&str, u64),
    words: &str,
    now: Instant,
) -> bool {
    Claims::read(text).is_ok_and(|(claims, key)| {
        let expected = Claims::of(task, version, words, now, claims.jti.clone());
        let off = claims.iat.saturating_sub(expected.iat).saturating_abs();
        let same = Claims {
            iat: claims.iat,
            ..expected
        };
        key == jkt && off <= SKEW && claims.jti.len() >= 16 && claims == same
    })
}

/// The author's signature as an extension of her note. `when` is RFC 3339.
pub fn signature(text: &str, when: &str, author: &Value) -> Value {
    extension(SIGNATURE, AUTHORS, text, when, author)
}

/// Seals a resource whose words are settled, and whose first `performer` is the author and second her organisation. `seal` signs
/// bytes that stand elsewhere under a `typ`.
///
/// # Errors
/// When signing fails.
pub fn seal(
    resource: &mut Value,
    when: &str,
    seal: impl FnOnce(&str, &[u8]) -> Result<String, KeyError>,
) -> Result<(), KeyError> {
    let text = seal(SEAL_TYP, &sealed_bytes(resource))?;
    let organisation = resource["performer"].get(1).cloned().unwrap_or_default();
    let sealed = extension(SEAL, VERIFIED, &text, when, &organisation);
    match resource["extension"].as_array_mut() {
        Some(all) => all.push(sealed),
        None => resource["extension"] = json!([sealed]),
    }
    Ok(())
}

/// What an author's signature is worth to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// She signed these words, and her organisation, or a supplier that keeps its data, vouches for that and for the rest.
    Stands,
    /// The copy was shortened for this reader, so that it cannot be verified.
    Shortened,
    /// It does not verify: changed since, signed by another, or with a key that is not published any more.
    Fails,
    /// There is none.
    Missing,
}

/// What the signature of an assessment is worth, as it was received.
pub fn worth(resource: &Value, members: &Members, now: Instant) -> Worth {
    let labels = resource["meta"]["security"].as_array();
    if labels.is_some_and(|all| all.iter().any(|one| one["code"] == SHORTENED)) {
        return Worth::Shortened;
    }
    let note = &resource["note"][0];
    match (jws_in(resource, SEAL), jws_in(note, SIGNATURE)) {
        (None, None) => Worth::Missing,
        (Some(sealed), Some(signed))
            if vouched(resource, &sealed, members, now) && said(note, &signed) =>
        {
            Worth::Stands
        }
        _ => Worth::Fails,
    }
}

/// Whether the organisation that is named, or who keeps its data, sealed it.
fn vouched(resource: &Value, text: &str, members: &Members, now: Instant) -> bool {
    let named = resource["performer"].as_array().and_then(|all| {
        let is = |one: &&Value| one["type"] == "Organization";
        all.iter().find(is)?["identifier"]["value"].as_str()
    });
    let signer = members.signed_detached(text, SEAL_TYP, &sealed_bytes(resource));
    signer.zip(named).is_some_and(|(signer, named)| {
        signer.sub == named || members.processes_for(&signer.sub, named, now)
    })
}

/// Whether these are the words that were signed.
fn said(note: &Value, text: &str) -> bool {
    Claims::read(text).is_ok_and(|(claims, _)| {
        let words = note["text"].as_str().unwrap_or_default();
        claims.words == sha256_base64url(words.as_bytes())
    })
}

fn extension(url: &str, kind: (&str, &str), text: &str, when: &str, who: &Value) -> Value {
    json!({"url": url, "valueSignature": {
        "type": [{"system": KINDS, "code": kind.0, "display": kind.1}],
        "when": when,
        "who": who,
        "targetFormat": "application/fhir+json",
        "sigFormat": FORMAT,
        "data": base64(text.as_bytes()),
    }})
}

fn jws_in(element: &Value, url: &str) -> Option<String> {
    let mut all = element["extension"].as_array()?.iter();
    let one = all.find(|one| one["url"] == url)?;
    let data = one["valueSignature"]["data"].as_str()?;
    String::from_utf8(from_base64(data)?).ok()
}

fn sealed_bytes(resource: &Value) -> Vec<u8> {
    let mut sealed = resource.clone();
    if let Some(members) = sealed.as_object_mut() {
        members.remove("id");
        members.remove("meta");
    }
    remove_extension(&mut sealed, SEAL);
    canonical(&sealed)
}
