//! Sealed text for paging links and the like: AES-256-GCM (NIST SP 800-38D) under the store's own key, with the
//! store's owner as associated data, in base64url without padding (RFC 4648 section 5).

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::errors::StoreError;
use crate::keys::Keys;

/// Longest text that is looked at, in characters. A link is a few hundred.
const LONGEST: usize = 16 * 1024;

/// Seals `plain` for `owner`. The random nonce makes each text new.
pub(crate) fn seal(keys: &Keys, owner: &str, plain: &[u8]) -> Result<String, StoreError> {
    let mut nonce = [0_u8; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| StoreError::Bug)?;
    let mut bytes = plain.to_vec();
    keys.seal
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(owner), &mut bytes)
        .map_err(|_| StoreError::Bug)?;
    let mut whole = nonce.to_vec();
    whole.append(&mut bytes);
    Ok(URL_SAFE_NO_PAD.encode(whole))
}

/// Opens what `seal` made for the same store and owner; `None` for anything else.
pub(crate) fn unseal(keys: &Keys, owner: &str, text: &str) -> Option<Vec<u8>> {
    if text.len() > LONGEST {
        return None;
    }
    let mut whole = URL_SAFE_NO_PAD.decode(text).ok()?;
    let nonce = Nonce::try_assume_unique_for_key(whole.get(..NONCE_LEN)?).ok()?;
    let plain = keys
        .seal
        .open_in_place(nonce, aad(owner), &mut whole[NONCE_LEN..])
        .ok()?;
    Some(plain.to_vec())
}

fn aad(owner: &str) -> Aad<Vec<u8>> {
    Aad::from([b"delt seal 1\0", owner.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn opens_only_whole_only_here_only_for_this_owner() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(&folder.path().join("a"), true).unwrap();
        let other = Keys::open(&folder.path().join("b"), true).unwrap();
        let text = seal(&keys, "310001007", b"page two").unwrap();
        assert_eq!(unseal(&keys, "310001007", &text).unwrap(), b"page two");
        assert_ne!(text, seal(&keys, "310001007", b"page two").unwrap());
        assert!(unseal(&keys, "310001147", &text).is_none());
        assert!(unseal(&other, "310001007", &text).is_none());
        for at in 0..text.len() {
            let mut bent = text.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            assert!(
                unseal(&keys, "310001007", std::str::from_utf8(&bent).unwrap()).is_none(),
                "byte {at}"
            );
        }
        assert!(unseal(&keys, "310001007", "").is_none());
        assert!(unseal(&keys, "310001007", "AAAA").is_none());
    }
}
