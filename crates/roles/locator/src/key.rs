//! Pseudonyms: a keyed pseudorandom function of a person's number (HMAC-SHA-256, RFC 2104; CONTRACT section 8).
//!
//! The key stands in a file of its own, `pointer-key`, mode 0600, made at first start: eight bytes of magic and 32 random
//! bytes. A copied store without this file tells nobody whose pointers are whose; a number cannot be tried out either.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::{hmac, rand};
use fhir::ids::PersonIdentifier;
use trust::encoding::base64url;
use zeroize::Zeroizing;

/// Name of the key file in the locator's folder.
const FILE: &str = "pointer-key";
/// The store's file: if it is there, the key must be, too.
const STORE: &str = "store.db";
const MAGIC: &[u8; 8] = b"DELTPTR1";
const LENGTH: usize = 8 + 32;

/// A person in the pointer ledger.
pub type Pseudonym = [u8; 32];

/// Why the key file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There are pointers, but the key they were made with is gone.
    #[error("it is missing, and the pointers that are there were made with it")]
    Lost,
    /// Anyone but its owner may read it.
    #[error("it is readable by others than its owner (mode must be 0600)")]
    NotPrivate,
    /// Not a key file of this format.
    #[error("it is not a key file of this format")]
    Malformed,
    /// The disk, or no randomness.
    #[error("it cannot be read or written")]
    Io,
}

impl From<std::io::Error> for KeyError {
    fn from(_: std::io::Error) -> Self {
        Self::Io
    }
}

/// The key in memory. Never printed.
pub struct Key(hmac::Key);

impl Key {
    /// Reads the key file of a folder; makes both if there is no store yet.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(FILE);
        if !path.try_exists()? {
            if folder.join(STORE).try_exists()? {
                return Err(KeyError::Lost);
            }
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
            make(folder, &path)?;
        }
        let mut file = fs::File::open(&path)?;
        let about = file.metadata()?;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(KeyError::NotPrivate);
        }
        let mut bytes = Zeroizing::new([0_u8; LENGTH]);
        if about.len() != LENGTH as u64 {
            return Err(KeyError::Malformed);
        }
        file.read_exact(bytes.as_mut())?;
        if !bytes.starts_with(MAGIC) {
            return Err(KeyError::Malformed);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes[8..])))
    }

    /// The person's pseudonym among the pointers.
    pub fn pointer(&self, person: &PersonIdentifier) -> Pseudonym {
        self.pseudonym("delt locator pointer 1", person)
    }

    /// The person's pseudonym in the audit trail, as text; another than among the pointers, so that the one list cannot be
    /// laid over the other without the key.
    pub fn trace(&self, person: &PersonIdentifier) -> String {
        base64url(&self.pseudonym("delt locator audit 1", person))
    }

    fn pseudonym(&self, purpose: &str, person: &PersonIdentifier) -> Pseudonym {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [purpose, person.system(), person.value().expose()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

fn make(folder: &Path, path: &Path) -> Result<(), KeyError> {
    let mut bytes = Zeroizing::new([0_u8; LENGTH]);
    bytes[..8].copy_from_slice(MAGIC);
    rand::fill(&mut bytes[8..]).map_err(|_| KeyError::Io)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes.as_ref())?;
    file.sync_all()?;
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use fhir::ids::PersonNumbers;

    fn person(system: &str, number: &str) -> PersonIdentifier {
        PersonIdentifier::parse(system, number, PersonNumbers::Lenient).unwrap()
    }

    const NUMBER: &str = "14835210260";

    #[test]
    fn the_key_is_made_once_private_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("locator");
        let patient = person("", NUMBER);
        let first = Key::open(&data).unwrap().pointer(&patient);
        let path = data.join(FILE);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(Key::open(&data).unwrap().pointer(&patient), first);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(
            Key::open(elsewhere.path()).unwrap().pointer(&patient),
            first
        );
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_broken_or_lost_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        Key::open(folder.path()).unwrap();
        for mode in [0o640, 0o604, 0o644, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                Key::open(folder.path()).err(),
                Some(KeyError::NotPrivate),
                "{mode:o}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for broken in [&b"DELTPTR1short"[..], &[0; LENGTH]] {
            fs::write(&path, broken).unwrap();
            assert_eq!(Key::open(folder.path()).err(), Some(KeyError::Malformed));
        }
        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join(STORE), b"").unwrap();
        assert_eq!(Key::open(folder.path()).err(), Some(KeyError::Lost));
    }

    #[test]
    fn system_number_and_purpose_each_make_another_pseudonym() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::open(folder.path()).unwrap();
        let fnr = person("urn:oid:2.16.578.1.12.4.1.4.1", NUMBER);
        let same = person("http://hl7.no/fhir/NamingSystem/FNR", NUMBER);
        let fhn = person("urn:oid:2.16.578.1.12.4.1.4.3", NUMBER);
        assert_eq!(
            key.pointer(&fnr),
            key.pointer(&same),
            "two names of one system"
        );
        assert_ne!(key.pointer(&fnr), key.pointer(&fhn));
        assert_ne!(base64url(&key.pointer(&fnr)), key.trace(&fnr));
        assert_ne!(key.pointer(&fnr), key.pointer(&person("", "13888410278")));
    }
}
