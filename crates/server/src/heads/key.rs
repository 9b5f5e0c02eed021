//! The key of common services that are no client: made at first start in a file that only its owner may read; its public
//! part lies beside the heads, where a verifier finds it.

use anyhow::{Context, ensure};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
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
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(heads.join(PUBLIC))?;
        file.write_all(format!("{}\n", key.public_jwk()).as_bytes())?;
        file.sync_all()?;
    }
    Ok(key)
}

fn make(data: &Path, path: &PathBuf) -> anyhow::Result<SigningKey> {
    std::fs::create_dir_all(data)?;
    let key = SigningKey::generate()?;
    let draft = data.join(format!("{FILE}.new"));
    let _ = std::fs::remove_file(&draft);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(key.to_private_jwk().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    Ok(key)
}

/// The public keys beside the heads.
pub fn public(heads: &Path) -> anyhow::Result<KeySet> {
    let text = match std::fs::read_to_string(heads.join(PUBLIC)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let list: Vec<&str> = text.lines().collect();
    let set = format!("{{\"keys\":[{}]}}", list.join(","));
    Ok(KeySet::parse(set.as_bytes())?)
}
