//! The files of the anchor's signing keys: the first is made at first start, others when a key is changed, each in a file
//! that only its owner may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use trust::keys::{KeyError, SigningKey};
use wire::contract::demo::KEY_MARK;

/// Name of the file in the anchor's folder.
const FILE: &str = "signing-key.json";
/// A key file is never longer than this.
const LONGEST: u64 = 16 * 1024;

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file cannot be read or written.
    #[error("the signing key's file: {0}")]
    Io(#[from] io::Error),
    /// Others than the owner may read it.
    #[error("the signing key's file may be read by others than its owner; make its mode 0600")]
    Exposed,
    /// It does not hold a P-256 key.
    #[error("the signing key's file does not hold a private P-256 JWK: {0}")]
    Key(#[from] KeyError),
    /// The list of changes names a key whose file is gone.
    #[error(
        "the file of the key that signs is gone; restore the anchor's folder from its copy, signing-key*.json included"
    )]
    Missing,
    /// It was made for the demo.
    #[error("the signing key was made by the demo; start with a folder of its own")]
    Demo,
}

/// Reads the first key, or makes it durably at first start; the demo's keys say so in their `kid`.
pub(crate) fn load(folder: &Path, demo: bool) -> Result<SigningKey, SigningKeyError> {
    match first(folder)? {
        Some(key) => Ok(key),
        None => make(folder, demo, |_| FILE.to_owned()),
    }
}

/// The first key, if it is still there.
pub(crate) fn first(folder: &Path) -> Result<Option<SigningKey>, SigningKeyError> {
    present(&folder.join(FILE))
}

/// A key that was made by [`another`], if it is still there.
pub(crate) fn named(folder: &Path, kid: &str) -> Result<Option<SigningKey>, SigningKeyError> {
    present(&folder.join(file_of(kid)))
}

/// Makes one more key durably.
pub(crate) fn another(folder: &Path, demo: bool) -> Result<SigningKey, SigningKeyError> {
    make(folder, demo, |key| file_of(key.kid()))
}

/// Deletes the file of a key, the first one's too.
pub(crate) fn forget(folder: &Path, kid: &str) -> Result<(), SigningKeyError> {
    let mut path = folder.join(file_of(kid));
    if first(folder)?.is_some_and(|first| first.kid() == kid) {
        path = folder.join(FILE);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(File::open(folder)?.sync_all()?),
    }
}

/// `kid` is one of our own: a thumbprint in base64url.
fn file_of(kid: &str) -> String {
    format!("signing-key.{kid}.json")
}

fn present(path: &Path) -> Result<Option<SigningKey>, SigningKeyError> {
    match File::open(path) {
        Ok(file) => read(file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read(file: File) -> Result<SigningKey, SigningKeyError> {
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(SigningKeyError::Exposed);
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(SigningKey::from_jwk(text.trim())?)
}

/// Written beside and renamed, so that a crash leaves either no key or a whole one.
fn make(
    folder: &Path,
    demo: bool,
    name: impl FnOnce(&SigningKey) -> String,
) -> Result<SigningKey, SigningKeyError> {
    let mut key = SigningKey::generate()?;
    if demo {
        key = key.named(&format!("{KEY_MARK}{}", key.kid()))?;
    }
    let draft = folder.join(format!("{FILE}.new"));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(key.to_private_jwk().as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, folder.join(name(&key)))?;
    File::open(folder)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;

    #[test]
    fn made_once_kept_and_refused_when_exposed() {
        let folder = tempfile::tempdir().unwrap();
        let first = load(folder.path(), false).unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            load(folder.path(), false).unwrap().thumbprint(),
            first.thumbprint()
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            load(folder.path(), false),
            Err(SigningKeyError::Exposed)
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{}").unwrap();
        assert!(matches!(
            load(folder.path(), false),
            Err(SigningKeyError::Key(_))
        ));
    }
}
