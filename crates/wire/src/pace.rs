//! How often somebody may come: so many times a minute, and some at once after a rest (the generic cell rate algorithm, one number
//! for each key). A flooder meets its own limit; nobody else's count is touched.

use fhir::time::Instant;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts kept at most. Who comes when all are in use shares one with the others who do.
const KEPT: usize = 100_000;
/// µs in a minute.
const MINUTE: i64 = 60_000_000;

/// By what somebody is counted: a keyed hash or an address, never a number of a person.
pub type Key = [u8; 16];

/// So many a minute, and so many at once after a rest; beyond it 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// A minute; 0 counts as 1.
    pub per_minute: u32,
    /// At once; 0 counts as 1.
    pub at_once: u32,
}

/// One limit, counted for each key apart.
pub struct Pace {
    /// µs that one costs.
    each: i64,
    /// µs that may be used up at once.
    burst: i64,
    /// Until when what each key has used is spread at the even pace.
    spread: Mutex<HashMap<Key, i64>>,
}

/// A panic elsewhere has not made what is counted wrong.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pace {
    /// One that holds to `rate`.
    pub fn new(rate: Rate) -> Pace {
        let each = (MINUTE / i64::from(rate.per_minute.max(1))).max(1);
        Pace {
            each,
            burst: each.saturating_mul(i64::from(rate.at_once.max(1))),
            spread: Mutex::default(),
        }
    }

    /// Whether one of a key would be taken now, without counting it: for refusing a flooder before its body is read.
    ///
    /// # Errors
    /// In how many seconds to come again.
    pub fn ready(&self, key: Key, now: Instant) -> Result<(), u32> {
        self.count(key, 1, now, false)
    }

    /// Counts so many of a key. More at once than the limit ever allows count as that many, so that a sound bundle is not refused for
    /// ever.
    ///
    /// # Errors
    /// In how many seconds to come again.
    pub fn take(&self, key: Key, many: usize, now: Instant) -> Result<(), u32> {
        self.count(key, many, now, true)
    }

    fn count(&self, key: Key, many: usize, now: Instant, keep: bool) -> Result<(), u32> {
        let many = i64::try_from(many).unwrap_or(i64::MAX);
        let cost = self.each.saturating_mul(many).min(self.burst);
        let mut spread = locked(&self.spread);
        if spread.len() >= KEPT && !spread.contains_key(&key) {
            spread.retain(|_, until| *until > now.0);
        }
        let key = if spread.len() >= KEPT && !spread.contains_key(&key) {
            Key::default()
        } else {
            key
        };
        // A clock that was set back must not lock anybody out for longer than the limit itself would.
        let from = spread.get(&key).copied().unwrap_or(now.0);
        let from = from.clamp(now.0, now.0.saturating_add(self.burst));
        let until = from.saturating_add(cost);
        let over = until.saturating_sub(now.0).saturating_sub(self.burst);
        if over > 0 {
            let seconds = over.saturating_add(999_999) / 1_000_000;
            spread.insert(key, from);
            return Err(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
        if keep {
            spread.insert(key, until);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_minute: u32, at_once: u32) -> Pace {
        Pace::new(Rate {
            per_minute,
            at_once,
        })
    }

    const START: i64 = 1_000_000_000;
    const A: Key = [1; 16];
    const B: Key = [2; 16];

    #[test]
    fn a_backlog_goes_at_once_then_the_even_pace_holds_for_each_key_alone() {
        let pace = pace(60, 10);
        let at = |seconds: i64| Instant(START + seconds * 1_000_000);
        assert_eq!(pace.take(A, 10, at(0)), Ok(()));
        assert_eq!(pace.take(A, 1, at(0)), Err(1));
        assert_eq!(pace.take(A, 3, at(0)), Err(3));
        assert_eq!(pace.ready(A, at(0)), Err(1));
        assert_eq!(pace.ready(B, at(0)), Ok(()), "asking counts nothing");
        assert_eq!(pace.take(B, 10, at(0)), Ok(()), "another is not touched");
        assert_eq!(pace.take(A, 1, at(1)), Ok(()));
        assert_eq!(pace.take(A, 1, at(1)), Err(1), "one a second");
        assert_eq!(pace.take(A, 10, at(11)), Ok(()), "rested");
    }

    #[test]
    fn more_than_a_burst_counts_as_a_burst_and_a_clock_set_back_locks_nobody_out() {
        let pace = pace(60, 10);
        assert_eq!(pace.take(A, usize::MAX, Instant(START)), Ok(()));
        assert_eq!(pace.take(A, 1, Instant(START)), Err(1));
        // Two hours back: the burst is used up, and no more than that.
        let back = START - 7_200_000_000;
        assert_eq!(pace.take(A, 1, Instant(back)), Err(1));
        assert_eq!(pace.take(A, 10, Instant(back + 10_000_000)), Ok(()));
    }

    #[test]
    fn counts_are_bounded_and_those_who_rested_make_room() {
        let pace = pace(60, 1);
        for n in 0..KEPT {
            let key = (n as u128 + 1).to_be_bytes();
            assert_eq!(pace.take(key, 1, Instant(START)), Ok(()));
        }
        let (late, later) = ([0xfe; 16], [0xff; 16]);
        assert_eq!(pace.take(late, 1, Instant(START)), Ok(()));
        assert_eq!(
            pace.take(later, 1, Instant(START)),
            Err(1),
            "they share one"
        );
        assert!(locked(&pace.spread).len() <= KEPT + 1);
        assert_eq!(pace.take(later, 1, Instant(START + 1_000_000)), Ok(()));
        assert_eq!(locked(&pace.spread).len(), 1);
    }
}
