//! Fakes for what the programs take as arguments: a clock that stands where a test puts it, and ids that come in a
//! known order.

use crate::dice::Dice;
use fhir::time::Instant;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A clock that moves only when told.
#[derive(Clone, Debug)]
pub struct FixedClock(Arc<AtomicI64>);

impl FixedClock {
    /// Stands at `now`.
    pub fn at(now: Instant) -> Self {
        Self(Arc::new(AtomicI64::new(now.0)))
    }

    /// Where it stands.
    pub fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::SeqCst))
    }

    /// Puts it to `now`, forwards or back.
    pub fn set(&self, now: Instant) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves it on by microseconds.
    pub fn advance(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    /// As the stores and roles take it.
    pub fn clock(&self) -> store::Clock {
        let shared = Arc::clone(&self.0);
        Arc::new(move || Instant(shared.load(Ordering::SeqCst)))
    }
}

/// Ids in a known order: the same seed gives the same version 4 UUIDs.
pub fn ids(seed: u64) -> store::Ids {
    let next = AtomicU64::new(0);
    Arc::new(move || {
        let n = next.fetch_add(1, Ordering::SeqCst);
        let mut dice = Dice::new(seed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut bytes = [0_u8; 16];
        bytes[..8].copy_from_slice(&dice.next().to_be_bytes());
        bytes[8..].copy_from_slice(&dice.next().to_be_bytes());
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_clock_moves_only_when_told() {
        let fixed = FixedClock::at(Instant(10));
        let clock = fixed.clock();
        assert_eq!((clock)(), Instant(10));
        fixed.advance(5);
        assert_eq!((clock)(), Instant(15));
        fixed.set(Instant(1));
        assert_eq!(fixed.now(), (clock)());
    }

    #[test]
    fn the_same_seed_gives_the_same_ids_and_no_id_twice() {
        let (a, b) = (ids(7), ids(7));
        let first: Vec<Uuid> = (0..100).map(|_| a()).collect();
        assert_eq!(first, (0..100).map(|_| b()).collect::<Vec<_>>());
        let set: std::collections::HashSet<_> = first.iter().collect();
        assert_eq!(set.len(), 100);
        assert!(first.iter().all(|id| id.get_version_num() == 4));
        assert_ne!(ids(8)(), first[0]);
    }
}
