//! JSON Web Signature, compact form (RFC 7515), read strictly.
//!
//! A header may carry `alg`, `typ`, `kid` and informative members; `crit`, `b64`, `zip`, `enc` and every member that
//! brings or points to a key (`jku`, `x5u`, `x5c`, and `jwk` where no proof is expected) are refused, never followed.

use crate::category::Category;
use crate::encoding::{base64url, from_base64url};
use crate::json;
use crate::keys::{Algorithm, KeyError, KeySet, PublicKey, SigningKey};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The longest compact JWS that is read, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// Why a compact JWS was not accepted. Holds no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not three base64url parts, too long, or the header is not strict JSON.
    #[error("not a compact JWS")]
    Malformed,
    /// A header member that is not allowed.
    #[error("the header carries {0}, which is not allowed")]
    Header(&'static str),
    /// `alg` is missing or not one of ES256, PS256, EdDSA.
    #[error("the algorithm is not accepted")]
    Algorithm,
    /// `typ` is not the expected one.
    #[error("the typ is not the expected one")]
    Type,
    /// The embedded key is missing or not acceptable.
    #[error("the key in the header is missing or not acceptable")]
    Key,
    /// No registered key has this `kid`.
    #[error("no known key of that kid")]
    UnknownKey,
    /// The signature does not belong to the content and key.
    #[error("the signature does not verify")]
    Signature,
    /// The payload is not a strict JSON object.
    #[error("the payload is not a JSON object")]
    Payload,
}

impl JwsError {
    /// Always unauthenticated: a signature is how a party proves itself.
    pub fn category(self) -> Category {
        Category::Unauthenticated
    }
}

/// Whether the header must hold the verifying key (a DPoP proof) or may not (everything else).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedded {
    /// `jwk` in the header is refused.
    Refused,
    /// `jwk` in the header is required, public, and of an accepted kind.
    Required,
}

/// The part of a header that is looked at.
#[derive(Debug, Clone)]
pub struct Header {
    /// The algorithm the message claims; the key has the last word.
    pub alg: Algorithm,
    /// `typ` as it stands.
    pub typ: Option<String>,
    /// `kid`, an opaque string.
    pub kid: Option<String>,
    /// The key that a proof brings with it.
    pub jwk: Option<PublicKey>,
}

/// A compact JWS taken apart; nothing is believed before [`Compact::verify`].
pub struct Compact<'a> {
    /// What the header says.
    pub header: Cow<'a, Header>,
    /// The header as it was sent.
    raw_header: &'a str,
    payload: Vec<u8>,
    signed: &'a str,
    signature: Vec<u8>,
}

const REFUSED: [&str; 7] = ["crit", "b64", "zip", "enc", "jku", "x5u", "x5c"];

fn header_of(text: &str, embedded: Embedded) -> Result<Header, JwsError> {
    let bytes = from_base64url(text).ok_or(JwsError::Malformed)?;
    let members = json::object(&bytes).map_err(|_| JwsError::Malformed)?;
    if let Some(name) = REFUSED.iter().find(|name| members.contains_key(**name)) {
        return Err(JwsError::Header(name));
    }
    let text_member = |name: &str| match members.get(name) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(JwsError::Malformed),
    };
    let alg = text_member("alg")?
        .as_deref()
        .and_then(Algorithm::parse)
        .ok_or(JwsError::Algorithm)?;
    let jwk = match (members.get("jwk"), embedded) {
        (Some(_), Embedded::Refused) => return Err(JwsError::Header("jwk")),
        (None, Embedded::Refused) => None,
        (Some(jwk), Embedded::Required) => {
            Some(PublicKey::from_jwk_value(jwk).map_err(|_| JwsError::Key)?)
        }
        (None, Embedded::Required) => return Err(JwsError::Key),
    };
    Ok(Header {
        alg,
        typ: text_member("typ")?,
        kid: text_member("kid")?,
        jwk,
    })
}

/// Takes a compact JWS apart.
pub fn parse(text: &str, embedded: Embedded) -> Result<Compact<'_>, JwsError> {
    parse_known(text, embedded, None)
}

/// As [`parse`], by somebody who has read a header with these very bytes, for the same `embedded`, before.
pub(crate) fn parse_known<'a>(
    text: &'a str,
    embedded: Embedded,
    known: Option<(&str, &'a Header)>,
) -> Result<Compact<'a>, JwsError> {
    if text.len() > LONGEST {
        return Err(JwsError::Malformed);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(JwsError::Malformed)?;
    let (raw_header, payload) = signed.split_once('.').ok_or(JwsError::Malformed)?;
    let header = match known {
        Some((read, header)) if read == raw_header => Cow::Borrowed(header),
        _ => Cow::Owned(header_of(raw_header, embedded)?),
    };
    let payload = from_base64url(payload).ok_or(JwsError::Malformed)?;
    let signature = from_base64url(signature).ok_or(JwsError::Malformed)?;
    Ok(Compact {
        header,
        raw_header,
        payload,
        signed,
        signature,
    })
}

impl Compact<'_> {
    /// The header's own bytes, as base64url.
    pub(crate) fn raw_header(&self) -> &str {
        self.raw_header
    }

    /// Checks `typ`: compared without regard to case and to the `application/` prefix (RFC 7515 section 4.1.9).
    pub fn require_typ(&self, expected: &str) -> Result<(), JwsError> {
        let typ = self.header.typ.as_deref().ok_or(JwsError::Type)?;
        let bare = match typ.get(..12) {
            Some(prefix) if prefix.eq_ignore_ascii_case("application/") => &typ[12..],
            _ => typ,
        };
        if bare.eq_ignore_ascii_case(expected) {
            Ok(())
        } else {
            Err(JwsError::Type)
        }
    }

    /// A text member of the payload, of which nothing is verified yet: use it to find the registered keys, nothing else.
    pub fn claimed(&self, name: &str) -> Option<String> {
        let members = json::object(&self.payload).ok()?;
        members.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// Verifies with one key, whose algorithm must be the header's. Gives the payload.
    pub fn verify(&self, key: &PublicKey) -> Result<&[u8], JwsError> {
        if key.algorithm() != self.header.alg {
            return Err(JwsError::Algorithm);
        }
        if key.verifies(self.signed.as_bytes(), &self.signature) {
            Ok(&self.payload)
        } else {
            Err(JwsError::Signature)
        }
    }

    /// Verifies with the key of the set that the header names.
    pub fn verify_with(&self, keys: &KeySet) -> Result<&[u8], JwsError> {
        self.verify(
            keys.find(self.header.kid.as_deref())
                .ok_or(JwsError::UnknownKey)?,
        )
    }

    /// Verifies with the key that the header itself brings (DPoP).
    pub fn verify_embedded(&self) -> Result<&[u8], JwsError> {
        self.verify(self.header.jwk.as_ref().ok_or(JwsError::Key)?)
    }
}

/// Verified payload bytes as a strict JSON object.
pub fn claims(payload: &[u8]) -> Result<Map<String, Value>, JwsError> {
    json::object(payload).map_err(|_| JwsError::Payload)
}

fn assemble(
    header: &Value,
    payload: &[u8],
    key: &SigningKey,
) -> Result<(String, usize, usize), KeyError> {
    let header = base64url(header.to_string().as_bytes());
    let start = header.len() + 1;
    let mut text = header;
    text.push('.');
    text.push_str(&base64url(payload));
    let end = text.len();
    let signature = base64url(&key.sign(text.as_bytes())?);
    text.push('.');
    text.push_str(&signature);
    Ok((text, start, end))
}

/// Signs a JSON payload with our key; header `alg`, `typ` and `kid`.
pub fn sign(typ: &str, claims: &Value, key: &SigningKey) -> Result<String, KeyError> {
    let header = json!({"alg": "ES256", "typ": typ, "kid": key.kid()});
    assemble(&header, claims.to_string().as_bytes(), key).map(|signed| signed.0)
}

/// Signs a JSON payload with the key itself in the header instead of a `kid` (DPoP proofs).
pub fn sign_embedded(typ: &str, claims: &Value, key: &SigningKey) -> Result<String, KeyError> {
    let header = json!({"alg": "ES256", "typ": typ, "jwk": key.public().bare_jwk()});
    assemble(&header, claims.to_string().as_bytes(), key).map(|signed| signed.0)
}

/// Signs bytes that travel elsewhere (RFC 7515 appendix F): `header..signature`.
pub fn sign_detached(typ: &str, payload: &[u8], key: &SigningKey) -> Result<String, KeyError> {
    let header = json!({"alg": "ES256", "typ": typ, "kid": key.kid()});
    let (mut text, start, end) = assemble(&header, payload, key)?;
    text.replace_range(start..end, "");
    Ok(text)
}

/// Verifies a detached signature over `payload`.
pub fn verify_detached(
    text: &str,
    typ: &str,
    payload: &[u8],
    keys: &KeySet,
) -> Result<(), JwsError> {
    if text.len() > LONGEST {
        return Err(JwsError::Malformed);
    }
    let (header, signature) = text.split_once("..").ok_or(JwsError::Malformed)?;
    let signed = format!("{header}.{}", base64url(payload));
    let compact = Compact {
        header: Cow::Owned(header_of(header, Embedded::Refused)?),
        raw_header: header,
        payload: Vec::new(),
        signed: &signed,
        signature: from_base64url(signature).ok_or(JwsError::Malformed)?,
    };
    compact.require_typ(typ)?;
    compact.verify_with(keys).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;
    use crate::encoding::sha256;

    fn with_header(header: &str, key: &SigningKey) -> String {
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(b"{}"));
        format!(
            "{signed}.{}",
            base64url(&key.sign(signed.as_bytes()).unwrap())
        )
    }

    fn refusal(header: &str, key: &SigningKey) -> JwsError {
        let set = KeySet::of(vec![key.public().clone()]).unwrap();
        let text = with_header(header, key);
        match parse(&text, Embedded::Refused) {
            Err(error) => error,
            Ok(compact) => compact.verify_with(&set).map(|_| ()).unwrap_err(),
        }
    }

    #[test]
    fn signed_is_verified_and_changed_is_not() {
        let key = SigningKey::generate().unwrap();
        let set = KeySet::of(vec![key.public().clone()]).unwrap();
        let text = sign("at+jwt", &json!({"a": 1}), &key).unwrap();
        let compact = parse(&text, Embedded::Refused).unwrap();
        compact.require_typ("at+jwt").unwrap();
        compact.require_typ("AT+JWT").unwrap();
        assert_eq!(compact.require_typ("jwt"), Err(JwsError::Type));
        assert_eq!(claims(compact.verify_with(&set).unwrap()).unwrap()["a"], 1);
        let changed = text.replacen(&base64url(br#"{"a":1}"#), &base64url(br#"{"a":2}"#), 1);
        let compact = parse(&changed, Embedded::Refused).unwrap();
        assert_eq!(compact.verify_with(&set), Err(JwsError::Signature));
        let other = KeySet::of(vec![SigningKey::generate().unwrap().public().clone()]).unwrap();
        assert_eq!(
            parse(&text, Embedded::Refused).unwrap().verify_with(&other),
            Err(JwsError::UnknownKey)
        );
    }

    #[test]
    fn hostile_headers() {
        let key = SigningKey::generate().unwrap();
        let kid = key.kid();
        let jwk = key.public_jwk();
        for (header, expected) in [
            (
                format!(r#"{{"alg":"none","kid":"{kid}"}}"#),
                JwsError::Algorithm,
            ),
            (
                format!(r#"{{"alg":"NONE","kid":"{kid}"}}"#),
                JwsError::Algorithm,
            ),
            (
                format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#),
                JwsError::Algorithm,
            ),
            (
                format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#),
                JwsError::Algorithm,
            ),
            (format!(r#"{{"kid":"{kid}"}}"#), JwsError::Algorithm),
            // An accepted algorithm that is not this key's.
            (
                format!(r#"{{"alg":"PS256","kid":"{kid}"}}"#),
                JwsError::Algorithm,
            ),
            (
                format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#),
                JwsError::Algorithm,
            ),
            (
                r#"{"alg":"ES256","kid":"other"}"#.into(),
                JwsError::UnknownKey,
            ),
            (r#"{"alg":"ES256","kid":7}"#.into(), JwsError::Malformed),
            (
                format!(r#"{{"alg":"ES256","kid":"{kid}","crit":["x"],"x":1}}"#),
                JwsError::Header("crit"),
            ),
            (
                format!(r#"{{"alg":"ES256","kid":"{kid}","jku":"https://evil.example"}}"#),
                JwsError::Header("jku"),
            ),
            (
                format!(r#"{{"alg":"ES256","kid":"{kid}","x5u":"https://evil.example"}}"#),
                JwsError::Header("x5u"),
            ),
            (
                format!(r#"{{"alg":"ES256","kid":"{kid}","x5c":[]}}"#),
                JwsError::Header("x5c"),
            ),
            (
                format!(r#"{{"alg":"ES256","kid":"{kid}","b64":false}}"#),
                JwsError::Header("b64"),
            ),
            (
                format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#),
                JwsError::Header("jwk"),
            ),
            (
                format!(r#"{{"alg":"none","alg":"ES256","kid":"{kid}"}}"#),
                JwsError::Malformed,
            ),
            ("[]".into(), JwsError::Malformed),
        ] {
            assert_eq!(refusal(&header, &key), expected, "{header}");
        }
        for text in [
            "",
            ".",
            "..",
            "a.b",
            "a.b.c.d",
            "e30.e30.AA==",
            &"a".repeat(LONGEST + 1),
        ] {
            assert!(parse(text, Embedded::Refused).is_err());
        }
    }

    #[test]
    fn a_signature_of_hmac_with_the_public_key_is_nothing() {
        // The classic confusion: HMAC keyed by the public key's bytes. No HMAC exists here, whatever `alg` says.
        let key = SigningKey::generate().unwrap();
        let set = KeySet::of(vec![key.public().clone()]).unwrap();
        let signed = format!(
            "{}.{}",
            base64url(format!(r#"{{"alg":"ES256","kid":"{}"}}"#, key.kid()).as_bytes()),
            base64url(b"{}")
        );
        let text = format!("{signed}.{}", base64url(&sha256(signed.as_bytes())));
        assert_eq!(
            parse(&text, Embedded::Refused).unwrap().verify_with(&set),
            Err(JwsError::Signature)
        );
    }

    #[test]
    fn a_signature_of_zeros_is_nothing() {
        // r = s = 0 satisfies the equation of ECDSA for every key where nobody asks whether they may be zero.
        let key = SigningKey::generate().unwrap();
        let set = KeySet::of(vec![key.public().clone()]).unwrap();
        let text = sign("at+jwt", &json!({"a": 1}), &key).unwrap();
        let (signed, _) = text.rsplit_once('.').unwrap();
        for signature in [vec![0; 64], vec![0xff; 64], Vec::new()] {
            let text = format!("{signed}.{}", base64url(&signature));
            let compact = parse(&text, Embedded::Refused).unwrap();
            assert_eq!(compact.verify_with(&set), Err(JwsError::Signature));
        }
    }

    #[test]
    fn a_header_of_the_same_bytes_is_not_read_again_and_another_is() {
        let key = SigningKey::generate().unwrap();
        let first = sign("at+jwt", &json!({"a": 1}), &key).unwrap();
        let compact = parse(&first, Embedded::Refused).unwrap();
        let known = Some((compact.raw_header(), &*compact.header));
        for (typ, same) in [("at+jwt", true), ("JWT", false)] {
            let next = sign(typ, &json!({"a": 2}), &key).unwrap();
            let next = parse_known(&next, Embedded::Refused, known).unwrap();
            assert_eq!(matches!(next.header, Cow::Borrowed(_)), same, "{typ}");
            assert_eq!(next.header.typ.as_deref(), Some(typ));
        }
    }

    #[test]
    fn what_a_payload_claims_may_be_looked_at_before_its_signature() {
        let key = SigningKey::generate().unwrap();
        let text = sign("x", &json!({"iss": "client", "n": 1}), &key).unwrap();
        let compact = parse(&text, Embedded::Refused).unwrap();
        assert_eq!(compact.claimed("iss").as_deref(), Some("client"));
        assert_eq!(compact.claimed("n"), None);
        assert_eq!(compact.claimed("sub"), None);
    }

    #[test]
    fn ps256_and_eddsa_verify_and_are_not_taken_for_each_other() {
        use aws_lc_rs::rand::SystemRandom;
        use aws_lc_rs::rsa::KeySize;
        use aws_lc_rs::signature::{
            Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
        };
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        // RSAPublicKey of 2048 bits in DER: nine bytes before the modulus.
        let n = base64url(&rsa.public_key().as_ref()[9..265]);
        let rsa_jwk = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "PS256"});
        let rsa_key = PublicKey::from_jwk_value(&rsa_jwk).unwrap();
        let ed = Ed25519KeyPair::generate().unwrap();
        let ed_jwk =
            json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(ed.public_key().as_ref())});
        let ed_key = PublicKey::from_jwk_value(&ed_jwk).unwrap();
        let text = |alg: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
            let header = base64url(json!({"alg": alg}).to_string().as_bytes());
            let signed = format!("{header}.{}", base64url(b"{}"));
            format!("{signed}.{}", base64url(&sign(signed.as_bytes())))
        };
        let pss = |message: &[u8]| {
            let mut out = vec![0; rsa.public_modulus_len()];
            rsa.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut out)
                .unwrap();
            out
        };
        let pkcs1 = |message: &[u8]| {
            let mut out = vec![0; rsa.public_modulus_len()];
            rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out)
                .unwrap();
            out
        };
        let eddsa = |message: &[u8]| ed.sign(message).as_ref().to_vec();
        let check = |text: &str, key: &PublicKey| {
            parse(text, Embedded::Refused).and_then(|compact| compact.verify(key).map(|_| ()))
        };
        assert_eq!(check(&text("PS256", &pss), &rsa_key), Ok(()));
        assert_eq!(check(&text("EdDSA", &eddsa), &ed_key), Ok(()));
        assert_eq!(
            check(&text("PS256", &pkcs1), &rsa_key),
            Err(JwsError::Signature)
        );
        assert_eq!(
            check(&text("RS256", &pkcs1), &rsa_key),
            Err(JwsError::Algorithm)
        );
        // A foreign issuer's set may hold a key for RS256, and for nothing else; what it does not know is left out.
        let wide = json!({"keys": [
            {"kty": "RSA", "n": rsa_jwk["n"], "e": "AQAB", "alg": "RS256", "use": "sig", "kid": "r", "x5t": "x"},
            {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "e"},
        ]});
        assert!(KeySet::from_value(&wide).is_err());
        let foreign = KeySet::parse_foreign(wide.to_string().as_bytes()).unwrap();
        let [only] = foreign.keys() else {
            panic!("one key is known");
        };
        assert_eq!(check(&text("RS256", &pkcs1), only), Ok(()));
        assert_eq!(check(&text("PS256", &pss), only), Err(JwsError::Algorithm));
        let private = r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#;
        assert!(KeySet::parse_foreign(private.as_bytes()).is_err());
        assert_eq!(
            check(&text("EdDSA", &eddsa), &rsa_key),
            Err(JwsError::Algorithm)
        );
        assert_eq!(
            check(&text("PS256", &pss), &ed_key),
            Err(JwsError::Algorithm)
        );
    }

    #[test]
    fn the_longest_is_read_and_one_byte_more_is_not() {
        let key = SigningKey::generate().unwrap();
        let set = KeySet::of(vec![key.public().clone()]).unwrap();
        let header = base64url(br#"{"alg":"ES256","typ":"xyz"}"#);
        let payload = "A".repeat(LONGEST - header.len() - ".AA.".len());
        let whole = format!("{header}.{payload}.AA");
        assert_eq!(whole.len(), LONGEST);
        assert!(parse(&whole, Embedded::Refused).is_ok());
        let more = format!("{whole}A");
        assert!(parse(&more, Embedded::Refused).is_err());
        let detached = |more: usize| {
            let signature = "A".repeat(LONGEST + more - header.len() - "..".len());
            verify_detached(&format!("{header}..{signature}"), "xyz", b"", &set).unwrap_err()
        };
        assert_ne!(detached(0), JwsError::Malformed);
        assert_eq!(detached(1), JwsError::Malformed);
    }

    #[test]
    fn detached_covers_exactly_the_bytes() {
        let key = SigningKey::generate().unwrap();
        let set = KeySet::of(vec![key.public().clone()]).unwrap();
        let text = sign_detached("receipt+jws", b"payload", &key).unwrap();
        assert_eq!(text.matches('.').count(), 2);
        verify_detached(&text, "receipt+jws", b"payload", &set).unwrap();
        assert_eq!(
            verify_detached(&text, "receipt+jws", b"payloae", &set),
            Err(JwsError::Signature)
        );
        assert_eq!(
            verify_detached(&text, "at+jwt", b"payload", &set),
            Err(JwsError::Type)
        );
    }
}
