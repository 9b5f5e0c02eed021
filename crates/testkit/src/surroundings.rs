//! Fakes for what the programs take as arguments: a clock that stands where a test puts it, and ids that come in a
//! known order.

use crate::dice::Dice;
use fhir::time::Instant;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A clock that moves only when told.
#[derive(Clone, Debug)]
pub struct FixedClock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    now: AtomicI64,
    /// How many looks from now it jumps, and by how much.
    jump: Mutex<Option<(usize, i64)>>,
}

impl Hands {
    fn look(&self) -> Instant {
        let mut jump = self.jump.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *jump {
            Some((0, micros)) => {
                self.now.fetch_add(*micros, Ordering::SeqCst);
                *jump = None;
            }
            Some((looks, _)) => *looks -= 1,
            None => {}
        }
        Instant(self.now.load(Ordering::SeqCst))
    }
}

impl FixedClock {
    /// Stands at `now`.
    pub fn at(now: Instant) -> Self {
        Self(Arc::new(Hands {
            now: AtomicI64::new(now.0),
            jump: Mutex::new(None),
        }))
    }

    /// Where it stands.
    pub fn now(&self) -> Instant {
        Instant(self.0.now.load(Ordering::SeqCst))
    }

    /// Puts it to `now`, forwards or back.
    pub fn set(&self, now: Instant) {
        self.0.now.store(now.0, Ordering::SeqCst);
    }

    /// Moves it on by microseconds.
    pub fn advance(&self, micros: i64) {
        self.0.now.fetch_add(micros, Ordering::SeqCst);
    }

    /// Lets it stand for so many looks of stores and roles, and move on by microseconds before the next: something takes time just there.
    pub fn jump_after(&self, looks: usize, micros: i64) {
        *self.jump() = Some((looks, micros));
    }

    /// Whether a jump is still to come; there is none from now on.
    pub fn jumps_no_more(&self) -> bool {
        self.jump().take().is_some()
    }

    fn jump(&self) -> std::sync::MutexGuard<'_, Option<(usize, i64)>> {
        self.0.jump.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As the stores and roles take it.
    pub fn clock(&self) -> store::Clock {
        let shared = Arc::clone(&self.0);
        Arc::new(move || shared.look())
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
    fn it_jumps_once_before_the_look_that_was_said() {
        let fixed = FixedClock::at(Instant(0));
        let clock = fixed.clock();
        fixed.jump_after(2, 5);
        let looks: Vec<_> = (0..4).map(|_| (clock)().0).collect();
        assert_eq!(looks, [0, 0, 5, 5]);
        assert!(!fixed.jumps_no_more());
        fixed.jump_after(9, 5);
        assert!(fixed.jumps_no_more() && (clock)().0 == 5);
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
