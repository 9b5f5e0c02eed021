//! What must be accepted once only, in the form the store remembers: a hash and when it may be forgotten.

use crate::encoding::sha256;
use fhir::time::Instant;

/// Something single-use (a DPoP proof, a client assertion). The store refuses a second commit of the same hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// SHA-256 over kind, key or client, and `jti`; nothing of it can be read back.
    pub hash: [u8; 32],
    /// After this moment the thing would be refused for its age anyway; the store forgets it, and takes it no more.
    pub expires: Instant,
}

impl Replay {
    /// Makes the memory of one use. `parts` are length-prefixed before hashing, so no two lists collide.
    pub fn of(kind: &str, parts: &[&str], expires_seconds: i64) -> Replay {
        let mut text = Vec::new();
        for part in std::iter::once(&kind).chain(parts) {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        Replay {
            hash: sha256(&text),
            expires: Instant::from_seconds(expires_seconds),
        }
    }
}
