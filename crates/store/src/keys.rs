//! The store's own random keys: one for keyed hashes (patients, identities), one for sealing.
//!
//! File `keys` beside the database, mode 0600: eight bytes of magic, 32 bytes HMAC key, 32 bytes AEAD key.
//! A copied database without this file tells nobody whose rows are whose.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::{aead, hmac, rand};
use zeroize::Zeroizing;

use crate::errors::StoreError;
use crate::whole;

const MAGIC: &[u8; 8] = b"DELTKEY1";
const LENGTH: usize = 8 + 32 + 32;

/// A keyed hash, cut to 16 bytes: HMAC-SHA-256 (RFC 2104) under the store's own key.
pub(crate) type Mac = [u8; 16];

/// The store's keys in memory. Never printed, never leaves the store.
pub(crate) struct Keys {
    mac: hmac::Key,
    pub(crate) seal: aead::LessSafeKey,
}

impl Keys {
    /// Reads the key file, or makes it if `fresh` (there is no database yet).
    ///
    /// Refuses a file that anyone but its owner may read, and never replaces one.
    pub(crate) fn open(path: &Path, fresh: bool) -> Result<Keys, StoreError> {
        if fresh
            && !path
                .try_exists()
                .map_err(|_| StoreError::Keys("cannot be looked up"))?
        {
            make(path)?;
        }
        let mut file =
            fs::File::open(path).map_err(|_| StoreError::Keys("missing or unreadable"))?;
        let about = file
            .metadata()
            .map_err(|_| StoreError::Keys("cannot be looked up"))?;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(StoreError::Keys(
                "readable by others than its owner (mode must be 0600)",
            ));
        }
        let mut bytes = Zeroizing::new([0_u8; LENGTH]);
        if about.len() != LENGTH as u64
            || file.read_exact(bytes.as_mut()).is_err()
            || !bytes.starts_with(MAGIC)
        {
            return Err(StoreError::Keys("not a key file of this format"));
        }
        let seal = aead::UnboundKey::new(&aead::AES_256_GCM, &bytes[40..])
            .map_err(|_| StoreError::Keys("not a key file of this format"))?;
        Ok(Keys {
            mac: hmac::Key::new(hmac::HMAC_SHA256, &bytes[8..40]),
            seal: aead::LessSafeKey::new(seal),
        })
    }

    /// Keyed hash of `parts` for one `purpose`; parts are length-prefixed so that no two lists collide.
    pub(crate) fn mac(&self, purpose: &'static str, parts: &[&[u8]]) -> Mac {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(purpose.as_bytes());
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut short = [0_u8; 16];
        short.copy_from_slice(&context.sign().as_ref()[..16]);
        short
    }
}

fn make(path: &Path) -> Result<(), StoreError> {
    let mut bytes = Zeroizing::new([0_u8; LENGTH]);
    bytes[..8].copy_from_slice(MAGIC);
    rand::fill(&mut bytes[8..]).map_err(|_| StoreError::Keys("no randomness"))?;
    whole::write_private(path, bytes.as_ref()).map_err(|_| StoreError::Keys("cannot be written"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn keys_are_private_kept_and_different_per_store() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, second) = (one.path().join("keys"), two.path().join("keys"));
        let a = Keys::open(&first, true).unwrap().mac("p", &[b"x"]);
        assert_eq!(
            fs::metadata(&first).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(a, Keys::open(&first, true).unwrap().mac("p", &[b"x"]));
        assert_ne!(a, Keys::open(&second, true).unwrap().mac("p", &[b"x"]));
    }

    #[test]
    fn a_readable_missing_or_short_key_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        assert!(matches!(Keys::open(&path, false), Err(StoreError::Keys(_))));
        Keys::open(&path, true).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Keys::open(&path, true), Err(StoreError::Keys(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"DELTKEY1short").unwrap();
        assert!(matches!(Keys::open(&path, true), Err(StoreError::Keys(_))));
    }

    #[test]
    fn a_draft_left_by_a_crash_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let draft = folder.path().join("keys.new");
        fs::write(&draft, b"DELT").unwrap();
        Keys::open(&path, true).unwrap();
        assert!(!draft.exists());
    }

    #[test]
    fn parts_do_not_run_together() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(&folder.path().join("keys"), true).unwrap();
        assert_ne!(keys.mac("p", &[b"ab", b"c"]), keys.mac("p", &[b"a", b"bc"]));
        assert_ne!(keys.mac("p", &[b"ab"]), keys.mac("q", &[b"ab"]));
    }
}
