//! The key of common services that are no client: made at first start in a file that only its owner may read; its public
//! part lies beside the heads, where a verifier finds it.

use super::kept;
use anyhow::{Context, ensure};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use trust::keys::{KeySet, SigningKey};

/// The private key's file in the data folder.
const FILE: &str = "head-key.json";
/// The public keys' file beside the heads: every one that ever signed here, as a JWK a line.
const PUBLIC: &str = "head-keys.jsonl";
/// A key file is never longer than this.
const LONGEST: u64 = 16 * 1024;

/// Reads the key, or makes it at first start, and lays its public part beside the heads.
pub fn load(data: &Path, heads: &Path) -> anyhow::Result<SigningKey> {
    let path = data.join(FILE);
    let key = match std::fs::File::open(&path) {
        Ok(file) => {
            let mode = file.metadata()?.permissions().mode();
            ensure!(
                mode & 0o077 == 0,
                "{} may be read by others; make its mode 0600",
                path.display()
            );
            let mut text = String::new();
            file.take(LONGEST).read_to_string(&mut text)?;
            SigningKey::from_jwk(text.trim()).with_context(|| path.display().to_string())?
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(data, &path)?,
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let known = public(heads)?;
    if !known
        .keys()
        .iter()
        .any(|one| one.thumbprint() == key.thumbprint())
    {
        let line = key.public_jwk().to_string();
        kept::append_to(heads, &heads.join(PUBLIC), &line)?;
    }
    Ok(key)
}

fn make(data: &Path, path: &Path) -> anyhow::Result<SigningKey> {
    std::fs::create_dir_all(data)?;
    let key = SigningKey::generate()?;
    store::whole::write_private(path, key.to_private_jwk().as_bytes())?;
    Ok(key)
}

/// The public keys beside the heads; a line that a crash cut short is none, and the start after it writes it again.
pub fn public(heads: &Path) -> anyhow::Result<KeySet> {
    let text = kept::whole_lines(&heads.join(PUBLIC))?;
    let list: Vec<&str> = text.lines().collect();
    let set = format!("{{\"keys\":[{}]}}", list.join(","));
    Ok(KeySet::parse(set.as_bytes())?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use tempfile::TempDir;

    fn folders() -> (TempDir, TempDir) {
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
    }

    #[test]
    fn a_key_is_made_once_and_every_one_that_ever_signed_stays_known() {
        let (data, heads) = folders();
        assert!(public(heads.path()).unwrap().keys().is_empty());
        let first = load(data.path(), heads.path()).unwrap();
        let again = load(data.path(), heads.path()).unwrap();
        assert_eq!(again.public(), first.public());
        assert_eq!(
            public(heads.path()).unwrap().keys(),
            [first.public().clone()]
        );
        std::fs::remove_file(data.path().join(FILE)).unwrap();
        let second = load(data.path(), heads.path()).unwrap();
        assert_ne!(second.public(), first.public());
        let known = public(heads.path()).unwrap();
        assert_eq!(
            known.keys(),
            [first.public().clone(), second.public().clone()]
        );
    }

    #[test]
    fn a_key_is_for_its_owner_alone_to_read() {
        let (data, heads) = folders();
        load(data.path(), heads.path()).unwrap();
        let file = data.path().join(FILE);
        let mode = |mode: u32| std::fs::Permissions::from_mode(mode);
        let made = std::fs::metadata(&file).unwrap().permissions();
        assert_eq!(made.mode() & 0o777, 0o600);
        for (open, fits) in [
            (0o640, false),
            (0o604, false),
            (0o620, false),
            (0o400, true),
        ] {
            std::fs::set_permissions(&file, mode(open)).unwrap();
            assert_eq!(load(data.path(), heads.path()).is_ok(), fits, "{open:o}");
        }
    }

    #[test]
    fn a_key_file_is_read_with_the_room_around_it() {
        let (data, heads) = folders();
        let key = load(data.path(), heads.path()).unwrap();
        let file = data.path().join(FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{}{text}\n", " ".repeat(2_000))).unwrap();
        let read = load(data.path(), heads.path()).unwrap();
        assert_eq!(read.public(), key.public());
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_is_not_replaced() {
        let (data, heads) = folders();
        let file = data.path().join(FILE);
        std::os::unix::fs::symlink(&file, &file).unwrap();
        assert!(load(data.path(), heads.path()).is_err());
        assert!(std::fs::symlink_metadata(&file).unwrap().is_symlink());
        std::fs::create_dir(heads.path().join(PUBLIC)).unwrap();
        assert!(public(heads.path()).is_err());
    }

    #[test]
    fn a_crash_while_the_public_key_was_written_keeps_nobody_from_starting() {
        let (data, heads) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let start = || {
            load(data.path(), heads.path())
                .unwrap()
                .thumbprint()
                .to_owned()
        };
        let key = start();
        let file = heads.path().join(PUBLIC);
        let whole = std::fs::read_to_string(&file).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&file, &whole[..cut]).unwrap();
            assert_eq!(start(), key);
            assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
        }
        // Another key's line, whole, stands; what was cut behind it goes.
        let other = format!("{}\n", SigningKey::generate().unwrap().public_jwk());
        std::fs::write(&file, format!("{other}{}", &whole[..20])).unwrap();
        assert_eq!(start(), key);
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            format!("{other}{whole}")
        );
        assert_eq!(public(heads.path()).unwrap().keys().len(), 2);
    }
}
