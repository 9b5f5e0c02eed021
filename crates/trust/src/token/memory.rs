//! Access tokens that were verified, kept until they end, so that the next request under one costs the check of its proof
//! alone. Found by the token's SHA-256; the token itself is not kept.
//!
//! What is remembered is what verification found: the caller, when the token is good, and which key of the issuer said so.
//! It is used only while that key stands under that name in the set that would verify the token now, so that a key which is
//! removed closes what it opened with the same set that no longer holds it. Nothing but a token that verified comes in, and
//! the size is bounded: a stranger can neither fill it nor push anybody out.

use super::foreign::{self, Foreign};
use super::{By, TokenError, in_time, verified};
use crate::caller::Caller;
use crate::dpop::Binding;
use crate::keys::KeySet;
use fhir::time::Instant;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts that are locked apart from each other.
const SHARDS: usize = 16;
/// Most tokens in one part.
const MOST: usize = 64;

/// A token that was verified.
pub struct Standing {
    /// Whom it tells of.
    pub caller: Arc<Caller>,
    /// What its proofs are held against.
    pub binding: Binding,
    by: By,
    /// From when and until when it is good, Unix seconds.
    not_before: i64,
    expires: i64,
    /// What was found with it changes here, if that comes first.
    changes: Option<Instant>,
}

impl Standing {
    fn new(
        jwt: &str,
        (claims, by): (super::Claims, By),
        changes: Option<Instant>,
    ) -> Result<Standing, TokenError> {
        let caller = claims.caller(jwt)?;
        Ok(Standing {
            binding: Binding::new(&caller.token_hash, &caller.jkt),
            caller: Arc::new(caller),
            by,
            not_before: claims.nbf.max(claims.iat),
            expires: claims.exp,
            changes,
        })
    }

    /// Verifies a token of our own issuer, as [`super::verify`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(
        jwt: &str,
        keys: &KeySet,
        issuer: &str,
        audience: &str,
        now: Instant,
    ) -> Result<Standing, TokenError> {
        Standing::new(jwt, verified(jwt, keys, issuer, audience, now)?, None)
    }

    /// Verifies another issuer's token, as [`foreign::verify`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_foreign(
        jwt: &str,
        keys: &KeySet,
        issuer: &Foreign,
        audience: &str,
        now: Instant,
    ) -> Result<Standing, TokenError> {
        let found = foreign::verified(jwt, keys, issuer, audience, now)?;
        let changes = foreign::unchanged_until(issuer, &found.0, now);
        Standing::new(jwt, found, changes)
    }

    /// Would it verify now, with these keys?
    fn stands(&self, keys: &KeySet, now: Instant) -> bool {
        keys.find(self.by.kid.as_deref()) == Some(&self.by.key)
            && in_time(self.not_before, self.expires, now).is_ok()
            && self.changes.is_none_or(|change| now < change)
    }
}

type Shard = HashMap<[u8; 32], Arc<Standing>>;

/// The verified tokens of one issuer at one audience.
#[derive(Default)]
pub struct Memory([Mutex<Shard>; SHARDS]);

impl Memory {
    fn shard(&self, token_hash: &[u8; 32]) -> MutexGuard<'_, Shard> {
        // A map is whole after every statement here, so a panic in one request need not end the others.
        let shard = &self.0[usize::from(token_hash[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Was this token verified here, whether it still stands or not?
    pub fn knows(&self, token_hash: &[u8; 32]) -> bool {
        self.shard(token_hash).contains_key(token_hash)
    }

    /// A verified token, if it would verify now with these keys; one that would not is forgotten.
    pub fn find(
        &self,
        token_hash: &[u8; 32],
        keys: &KeySet,
        now: Instant,
    ) -> Option<Arc<Standing>> {
        let mut shard = self.shard(token_hash);
        let found = shard.get(token_hash)?;
        if found.stands(keys, now) {
            return Some(found.clone());
        }
        shard.remove(token_hash);
        None
    }

    /// Keeps a verified token. Where there is no room, the one that ends first makes it.
    pub fn keep(&self, standing: Arc<Standing>, now: Instant) {
        let hash = standing.caller.token_hash;
        let mut shard = self.shard(&hash);
        if shard.len() >= MOST {
            shard.retain(|_, one| in_time(one.not_before, one.expires, now).is_ok());
        }
        if shard.len() >= MOST
            && let Some(first) = shard
                .iter()
                .min_by_key(|(_, one)| one.expires)
                .map(|(hash, _)| *hash)
        {
            shard.remove(&first);
        }
        shard.insert(hash, standing);
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
