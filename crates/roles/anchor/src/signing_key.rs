//! The anchor's signing key: made at first start, kept in a file that only its owner may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use trust::keys::{KeyError, SigningKey};

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
}

/// Reads the key, or makes it durably at first start.
pub(crate) fn load(folder: &Path) -> Result<SigningKey, SigningKeyError> {
    let path = folder.join(FILE);
    match File::open(&path) {
        Ok(file) => read(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(folder, &path),
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
fn make(folder: &Path, path: &Path) -> Result<SigningKey, SigningKeyError> {
    let key = SigningKey::generate()?;
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
    fs::rename(&draft, path)?;
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
        let first = load(folder.path()).unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            load(folder.path()).unwrap().thumbprint(),
            first.thumbprint()
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load(folder.path()), Err(SigningKeyError::Exposed)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{}").unwrap();
        assert!(matches!(load(folder.path()), Err(SigningKeyError::Key(_))));
    }
}
