//! Pseudonyms: a keyed pseudorandom function of a person's number (HMAC-SHA-256, RFC 2104; CONTRACT section 8).
//!
//! Each key stands in a file of its own, mode 0600: eight bytes of magic and 32 random bytes. A copied store without these
//! files tells nobody whose pointers are whose; a number cannot be tried out either. Pointer keys come in versions: while
//! holders tell everything again under a new one, the old one still answers; then its file is destroyed (`rotate.rs`). The
//! audit trail has a key of its own, which stays as long as the trail does.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::{hmac, rand};
use fhir::ids::PersonIdentifier;
use trust::encoding::base64url;
use zeroize::Zeroizing;

/// Name of the first pointer key's file; later ones are `pointer-key-2`, `pointer-key-3`, …
const FILE: &str = "pointer-key";
/// Name of the file with the key of the audit trail's pseudonyms.
const TRACE: &str = "trace-key";
/// The store's file: if it is there, a key must be, too.
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

/// The length of a tag, in bytes.
pub const TAG: usize = 16;

/// A person as a holder and the locator both know it when they compare what they have, and nobody else does.
pub type Tag = [u8; TAG];

/// A pointer key in memory, with its version. Never printed.
pub struct PointerKey {
    /// 1, 2, …
    pub version: u32,
    key: hmac::Key,
}

/// The keys in memory.
pub struct Keys {
    folder: PathBuf,
    trace: hmac::Key,
    /// The newest first; one, or two while holders move to the newer.
    pointers: RwLock<Arc<[PointerKey]>>,
}

impl Keys {
    /// Reads the key files of a folder; makes the first of each if there is no store yet.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let old = folder.join(STORE).try_exists()?;
        let mut versions = versions(folder)?;
        if versions.is_empty() {
            if old {
                return Err(KeyError::Lost);
            }
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
            make(folder, &file_of(folder, 1))?;
            versions.push(1);
        }
        let trace = folder.join(TRACE);
        if !trace.try_exists()? {
            if old {
                tracing::warn!(
                    "the audit trail's pseudonyms begin anew: there was no key of their own"
                );
            }
            make(folder, &trace)?;
        }
        versions.sort_unstable_by(|one, other| other.cmp(one));
        let pointers = versions.into_iter().map(|version| {
            let key = read(&file_of(folder, version))?;
            Ok(PointerKey { version, key })
        });
        Ok(Self {
            folder: folder.to_owned(),
            trace: read(&trace)?,
            pointers: RwLock::new(pointers.collect::<Result<_, KeyError>>()?),
        })
    }

    /// The pointer keys, the newest first; never none.
    pub fn pointers(&self) -> Arc<[PointerKey]> {
        let held = self.pointers.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    /// Version of the newest.
    pub fn newest(&self) -> u32 {
        self.pointers().first().map_or(0, |key| key.version)
    }

    /// Makes the next version; what was there stays beside it.
    pub fn add(&self) -> Result<u32, KeyError> {
        let version = self.newest() + 1;
        let path = file_of(&self.folder, version);
        if !path.try_exists()? {
            make(&self.folder, &path)?;
        }
        self.read_again()?;
        Ok(version)
    }

    /// Destroys every version but the newest: the files are written over and removed.
    pub fn destroy_old(&self) -> Result<(), KeyError> {
        for key in self.pointers().iter().skip(1) {
            let path = file_of(&self.folder, key.version);
            let mut file = OpenOptions::new().write(true).open(&path)?;
            file.write_all(&[0; LENGTH])?;
            file.sync_all()?;
            fs::remove_file(&path)?;
        }
        fs::File::open(&self.folder)?.sync_all()?;
        self.read_again()
    }

    fn read_again(&self) -> Result<(), KeyError> {
        let fresh = Self::open(&self.folder)?;
        let fresh = fresh.pointers();
        *self
            .pointers
            .write()
            .unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The person's pseudonym in the audit trail, as text; another than among the pointers, so that the one list cannot be
    /// laid over the other without the key.
    pub fn trace(&self, person: &PersonIdentifier) -> String {
        base64url(&pseudonym(&self.trace, "delt locator audit 1", person))
    }
}

impl PointerKey {
    /// The person's pseudonym among the pointers.
    pub fn pointer(&self, person: &PersonIdentifier) -> Pseudonym {
        pseudonym(&self.key, "delt locator pointer 1", person)
    }

    /// The key by which one holder makes the tags of its own patients. It tells nothing of this key or another holder's.
    pub fn tag_key(&self, service: &str) -> Zeroizing<[u8; 32]> {
        let mut context = hmac::Context::with_key(&self.key);
        for part in ["delt locator compare 1", service] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut out = Zeroizing::new([0; 32]);
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

fn pseudonym(key: &hmac::Key, purpose: &str, person: &PersonIdentifier) -> Pseudonym {
    let mut context = hmac::Context::with_key(key);
    for part in [purpose, person.system(), person.value().expose()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

fn file_of(folder: &Path, version: u32) -> PathBuf {
    match version {
        1 => folder.join(FILE),
        _ => folder.join(format!("{FILE}-{version}")),
    }
}

/// The versions whose files are there.
fn versions(folder: &Path) -> Result<Vec<u32>, KeyError> {
    let mut found = Vec::new();
    let Ok(listed) = fs::read_dir(folder) else {
        return Ok(found);
    };
    for one in listed {
        let name = one?.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(FILE));
        found.extend(match rest {
            Some("") => Some(1),
            Some(rest) => rest
                .strip_prefix('-')
                .and_then(|n| n.parse().ok())
                .filter(|n| *n > 1),
            None => None,
        });
    }
    Ok(found)
}

fn read(path: &Path) -> Result<hmac::Key, KeyError> {
    let mut file = fs::File::open(path)?;
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
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes[8..]))
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
        let first = Keys::open(&data).unwrap().pointers()[0].pointer(&patient);
        let path = data.join(FILE);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            Keys::open(&data).unwrap().pointers()[0].pointer(&patient),
            first
        );
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(
            Keys::open(elsewhere.path()).unwrap().pointers()[0].pointer(&patient),
            first
        );
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_broken_or_lost_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        Keys::open(folder.path()).unwrap();
        for mode in [0o640, 0o604, 0o644, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                Keys::open(folder.path()).err(),
                Some(KeyError::NotPrivate),
                "{mode:o}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for broken in [&b"DELTPTR1short"[..], &[0; LENGTH]] {
            fs::write(&path, broken).unwrap();
            assert_eq!(Keys::open(folder.path()).err(), Some(KeyError::Malformed));
        }
        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join(STORE), b"").unwrap();
        assert_eq!(Keys::open(folder.path()).err(), Some(KeyError::Lost));
    }

    #[test]
    fn system_number_and_purpose_each_make_another_pseudonym() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        let pointers = keys.pointers();
        let key = &pointers[0];
        let fnr = person("urn:oid:2.16.578.1.12.4.1.4.1", NUMBER);
        let same = person("http://hl7.no/fhir/NamingSystem/FNR", NUMBER);
        let fhn = person("urn:oid:2.16.578.1.12.4.1.4.3", NUMBER);
        assert_eq!(
            key.pointer(&fnr),
            key.pointer(&same),
            "two names of one system"
        );
        assert_ne!(key.pointer(&fnr), key.pointer(&fhn));
        assert_ne!(base64url(&key.pointer(&fnr)), keys.trace(&fnr));
        assert_ne!(key.tag_key("fjellvik"), key.tag_key("proveheim"));
        assert_ne!(key.pointer(&fnr), key.pointer(&person("", "13888410278")));
    }

    #[test]
    fn a_new_version_stands_beside_the_old_one_until_that_is_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        let (patient, first) = (person("", NUMBER), keys.pointers());
        assert_eq!(keys.add(), Ok(2));
        let both = keys.pointers();
        let versions: Vec<u32> = both.iter().map(|key| key.version).collect();
        assert_eq!(versions, [2, 1]);
        assert_eq!(both[1].pointer(&patient), first[0].pointer(&patient));
        assert_ne!(both[0].pointer(&patient), first[0].pointer(&patient));
        let trace = keys.trace(&patient);
        keys.destroy_old().unwrap();
        assert!(!folder.path().join(FILE).exists());
        let again = Keys::open(folder.path()).unwrap();
        assert_eq!((again.newest(), again.pointers().len()), (2, 1));
        assert_eq!(again.trace(&patient), trace, "the trail's pseudonyms stay");
        assert_eq!(
            again.pointers()[0].pointer(&patient),
            both[0].pointer(&patient)
        );
    }
}
