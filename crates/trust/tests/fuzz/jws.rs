//! The compact form, before anything is verified.

use crate::spell::{RANDOM, spell};
use crate::{KEY, KEYS};
use fhir::time::Instant;
use trust::encoding::{base64url, from_base64url};
use trust::jws::{Embedded, parse, verify_detached};
use trust::{assertion, dpop, json, keys, scope, token};

const WORDS: &[&str] = &[
    ".",
    "..",
    "eyJhbGciOiJFUzI1NiJ9",
    "eyJhbGciOiJub25lIn0",
    "e30",
    "AA",
    "AQ",
    "==",
    "{",
    "}",
    ",",
    ":",
    r#""alg":"ES256""#,
    r#""alg":"PS256""#,
    r#""alg":"EdDSA""#,
    r#""alg":"none""#,
    r#""alg":"HS256""#,
    r#""typ":"at+jwt""#,
    r#""typ":"application/DPOP+jwt""#,
    r#""kid":"a""#,
    r#""jwk":"#,
    r#"{"kty":"EC","crv":"P-256","x":"#,
    r#""y":"#,
    r#""kty":"RSA","n":"#,
    r#""e":"AQAB""#,
    r#""kty":"OKP","crv":"Ed25519""#,
    r#""d":"AA""#,
    r#""crit":["b64"]"#,
    r#""b64":false"#,
    r#""jku":"https://a.example""#,
    r#""x5c":[]"#,
    r#""zip":"DEF""#,
    "null",
    "1",
    "\"",
    r#""MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4""#,
    r#""4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM""#,
    "æ",
];

/// No text that anybody writes without the key is believed, and one signature has one spelling.
#[test]
fn raw() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let text = spell(input, WORDS);
            let now = Instant::from_seconds(1_800_000_000);
            for embedded in [Embedded::Refused, Embedded::Required] {
                let Ok(compact) = parse(&text, embedded) else {
                    continue;
                };
                assert!(text.len() <= trust::jws::LONGEST);
                let parts: Vec<&str> = text.split('.').collect();
                assert_eq!(parts.len(), 3);
                for part in parts {
                    let bytes = from_base64url(part).unwrap();
                    assert_eq!(base64url(&bytes), part, "one value, one spelling");
                }
                assert_eq!(compact.header.jwk.is_some(), embedded == Embedded::Required);
                assert!(compact.verify_with(&KEYS).is_err());
                let _ = (compact.verify_embedded(), compact.require_typ("at+jwt"));
            }
            assert!(token::verify(&text, &KEYS, "i", "a", now).is_err());
            assert!(assertion::verify(&text, "c", &KEYS, "i", now).is_err());
            assert!(verify_detached(&text, "receipt+jwt", b"{}", &KEYS).is_err());
            let _ = dpop::verify(&text, "GET", "https://a.example/x", None, None, now);
            let _ = assertion::claimed_client(&text);
        });
}

/// Headers, keys and scopes as JSON and text: what is accepted is what the rules allow.
#[test]
fn header() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let text = spell(input, WORDS);
            let compact = format!("{}.e30.AA", base64url(text.as_bytes()));
            for embedded in [Embedded::Refused, Embedded::Required] {
                let Ok(compact) = parse(&compact, embedded) else {
                    continue;
                };
                let members =
                    json::object(text.as_bytes()).expect("a header that was taken is strict JSON");
                for pointer in ["crit", "b64", "zip", "enc", "jku", "x5u", "x5c"] {
                    assert!(!members.contains_key(pointer), "{pointer} was let pass");
                }
                assert_eq!(members["alg"], compact.header.alg.name());
                assert!(compact.verify(KEY.public()).is_err());
            }
            if let Ok(key) = keys::PublicKey::from_jwk(&text) {
                assert!(!text.contains("\"d\""), "a private member was let pass");
                let again = keys::PublicKey::from_jwk_value(&key.to_jwk()).unwrap();
                assert_eq!(again.thumbprint(), key.thumbprint(), "written and read");
            }
            let _ = keys::KeySet::parse(text.as_bytes());
            assert!(
                dpop::normalise(&text).is_none_or(|url| dpop::normalise(&url) == Some(url)),
                "normal once is normal"
            );
            if let Ok(one) = scope::Scope::parse(&text) {
                assert_eq!(
                    scope::Scope::parse(&one.to_string()).as_ref(),
                    Ok(&one),
                    "written and read"
                );
            }
        });
}
