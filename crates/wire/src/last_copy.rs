//! What others said last, kept on disk for a bad day: written whole and signed by who keeps it, read at the next start and
//! believed only if every byte is as it was written (threats-and-faults.md section 12: garbage never replaces what is good and
//! never opens anything).
//!
//! A file of one line with a detached JWS (RFC 7515 appendix F) and, from the second line on, JSON. It is no secret and no
//! record: without it everything is asked anew.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Party;

/// JOSE `typ` of the signature.
const TYP: &str = "delt-last-copy+jws";
/// Largest file read, in bytes; some thousands of organisations are below.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Why a copy was not written, or is not believed. Holds no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyFault {
    /// The disk.
    #[error("the file cannot be read or written: {0}")]
    Io(ErrorKind),
    /// Not signed by who reads it, or changed since.
    #[error("it was altered, or another wrote it")]
    Altered,
    /// Signed, and not of a form that this program reads; an older or newer one wrote it.
    #[error("it has a form that this program does not read")]
    Form,
    /// It cannot be signed or written as JSON.
    #[error("it cannot be signed")]
    Unsigned,
}

impl From<std::io::Error> for CopyFault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// One file and who keeps it.
#[derive(Clone)]
pub struct LastCopy {
    path: PathBuf,
    party: Party,
}

impl LastCopy {
    /// The copy at `path`, signed and believed by the key of `party`.
    pub fn new(path: PathBuf, party: Party) -> Self {
        Self { path, party }
    }

    /// Writes it whole, in the place of the one before: after a crash one of the two is there. Blocks for file access.
    ///
    /// # Errors
    /// [`CopyFault`].
    pub fn write(&self, content: &impl Serialize) -> Result<(), CopyFault> {
        let content = serde_json::to_vec(content).map_err(|_| CopyFault::Unsigned)?;
        let signature = self.party.sign_detached(TYP, &content);
        let signature = signature.map_err(|_| CopyFault::Unsigned)?;
        let whole = [signature.as_bytes(), b"\n", &content].concat();
        Ok(store::whole::write_private(&self.path, &whole)?)
    }

    /// Reads it; `None` when there is none. Blocks for file access.
    ///
    /// # Errors
    /// [`CopyFault`]; nothing of it may be used then.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, CopyFault> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file.take(LONGEST).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (signature, content) = bytes.split_at(end.ok_or(CopyFault::Altered)?);
        let signature = std::str::from_utf8(signature).map_err(|_| CopyFault::Altered)?;
        let content = &content[1..];
        if !self.party.has_signed_detached(signature, TYP, content) {
            return Err(CopyFault::Altered);
        }
        serde_json::from_slice(content).map_err(|_| CopyFault::Form)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use crate::client::{Http, Policy};
    use crate::contract::demo::{ClientFile, PrivateJwk};
    use std::fs;
    use std::sync::Arc;
    use trust::keys::SigningKey;

    fn party() -> Party {
        let jwk = SigningKey::generate().unwrap().to_private_jwk();
        let file = ClientFile {
            client_id: "gateway".into(),
            orgnr: "310001074".into(),
            use_: trust::ClientUse::Gateway,
            issuer: "https://a.example".into(),
            token_endpoint: "https://a.example/token".into(),
            jwk: PrivateJwk(serde_json::from_str(&jwk).unwrap()),
            scopes: Vec::new(),
            audiences: Vec::new(),
        };
        let http = Http::new(Policy::loopback()).unwrap();
        let clock: store::Clock = Arc::new(fhir::time::Instant::default);
        Party::new(file, http, clock, Arc::new(uuid::Uuid::nil)).unwrap()
    }

    #[test]
    fn it_is_believed_as_it_was_written_and_not_with_a_byte_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        let copy = LastCopy::new(path.clone(), party());
        assert_eq!(copy.read::<Vec<String>>(), Ok(None));
        let said = vec!["https://a.example/fhir".to_owned()];
        copy.write(&vec!["older"]).unwrap();
        copy.write(&said).unwrap();
        assert_eq!(copy.read(), Ok(Some(said)));
        assert_eq!(copy.read::<u8>(), Err(CopyFault::Form));
        let other = LastCopy::new(path.clone(), party());
        assert_eq!(other.read::<Vec<String>>(), Err(CopyFault::Altered));

        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            fs::write(&path, &bent).unwrap();
            let read = copy.read::<Vec<String>>();
            assert_eq!(read, Err(CopyFault::Altered), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            let read = copy.read::<Vec<String>>();
            assert_eq!(read, Err(CopyFault::Altered), "cut at {at}");
        }
        fs::write(&path, [&whole[..], b" "].concat()).unwrap();
        assert_eq!(copy.read::<Vec<String>>(), Err(CopyFault::Altered));
    }
}
