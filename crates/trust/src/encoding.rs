//! Base64url without padding (RFC 7515 section 2), read strictly, SHA-256 in that form, and FHIR's base64Binary.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Writes bytes as base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding; `None` for any other character, padding, or stray trailing bits.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Writes bytes as base64 with padding (RFC 4648 section 4), which FHIR's base64Binary is.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads base64 with padding; `None` for anything else.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// SHA-256 of bytes, as base64url: the form of `ath`, `jkt` and JWK thumbprints (43 characters).
pub fn sha256_base64url(bytes: &[u8]) -> String {
    base64url(&sha256(bytes))
}

/// Is this text the base64url form of a SHA-256 value (43 characters that decode to 32 bytes)?
pub fn is_sha256_base64url(text: &str) -> bool {
    text.len() == 43 && from_base64url(text).is_some_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;

    #[test]
    fn reads_only_the_canonical_form() {
        assert_eq!(from_base64url("AQID").unwrap(), vec![1, 2, 3]);
        for bad in ["AQI=", "AQ+/", "A", "AQJ", "AQ ID"] {
            assert!(from_base64url(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn fhirs_form_has_its_padding_and_the_other_letters() {
        for (bytes, text) in [(&[1, 2, 3][..], "AQID"), (&[0xfb, 0xff], "+/8="), (&[], "")] {
            assert_eq!(base64(bytes), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes));
        }
        for bad in ["+/8", "-_8=", "+/9=", "AQ ID"] {
            assert!(from_base64(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn thumbprint_form() {
        assert!(is_sha256_base64url(&sha256_base64url(b"x")));
        assert!(!is_sha256_base64url("short"));
        assert!(!is_sha256_base64url(&"!".repeat(43)));
    }
}
