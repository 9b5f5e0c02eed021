//! How often a subscriber is told about one patient, so that an endpoint that answers each notification with a write does not go round
//! with the service for ever (threats-and-faults.md section 8).
//!
//! Sixty notifications at once and one each ten seconds are told as they come; events that come closer wait and are told together. Where
//! that is not enough, the waits grow, 10 s, 20 s … eleven minutes, and then it is taken for a loop: the status is `error`, which says
//! so. Nothing is lost: what waits is counted, and `$events` gives it. An hour without a wait, and everything is as at first.

use fhir::ids::LogicalId;
use fhir::time::Instant;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// One notification, and the first wait, in microseconds.
const EACH: i64 = 10_000_000;
/// Notifications at once.
const AT_ONCE: i64 = 60;
/// Waits after each other, each twice as long as the one before, after which it is a loop.
const WAITS: u32 = 7;
/// After so long without a wait they begin anew, in microseconds.
const REST: i64 = 3_600_000_000;
/// Patients counted at most, of all subscriptions; beyond them those of one subscription share a count.
const KEPT: usize = 50_000;

/// What is to be done with a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Told now; it is counted.
    Now,
    /// Told then, UTC microseconds, with whatever has come until then.
    At(i64),
    /// Not told any more.
    Loops,
}

#[derive(Clone, Copy, Default)]
struct Count {
    /// Until when what was told is spread at the even pace, UTC microseconds.
    spread: i64,
    /// Not before then.
    next: i64,
    /// Waits so far.
    waits: u32,
}

/// Of each subscription and patient.
#[derive(Default)]
pub struct Pace(Mutex<HashMap<(LogicalId, LogicalId), Count>>);

impl Pace {
    /// Whether a subscription's endpoint is told about a patient now.
    pub fn turn(&self, of: LogicalId, about: LogicalId, now: Instant) -> Turn {
        let now = now.0;
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (of, about);
        if counts.len() >= KEPT && !counts.contains_key(&key) {
            counts.retain(|_, one| one.spread > now || now < one.next.saturating_add(REST));
            if counts.len() >= KEPT {
                key = (of, of);
            }
        }
        let one = counts.entry(key).or_default();
        // Times beyond what can come of this were noted by a clock that has been set back since: nobody waits for those.
        let full = now.saturating_add(AT_ONCE * EACH);
        if one.spread > full || one.next > now.saturating_add(EACH << WAITS) {
            (one.spread, one.next) = (now, now);
        }
        if now < one.next {
            return Turn::At(one.next);
        }
        if now.saturating_sub(one.next) >= REST {
            one.waits = 0;
        }
        let until = one.spread.max(now).saturating_add(EACH);
        if until <= full {
            one.spread = until;
            return Turn::Now;
        }
        if one.waits >= WAITS {
            return Turn::Loops;
        }
        one.next = now.saturating_add(EACH << one.waits);
        one.waits += 1;
        Turn::At(one.next)
    }

    /// A subscription's counts begin anew.
    pub fn anew(&self, of: LogicalId) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|(one, _), _| *one != of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const SUBSCRIPTION: LogicalId = LogicalId(Uuid::from_u128(1));
    const HER: LogicalId = LogicalId(Uuid::from_u128(2));
    const HIM: LogicalId = LogicalId(Uuid::from_u128(3));

    /// Told again and again as soon as may be, from a time on: how often, and when it was taken for a loop.
    fn told(pace: &Pace, mut now: i64) -> (usize, i64) {
        let mut count = 0;
        loop {
            match pace.turn(SUBSCRIPTION, HER, Instant(now)) {
                Turn::Now => count += 1,
                Turn::At(next) => now = next,
                Turn::Loops => return (count, now),
            }
        }
    }

    #[test]
    fn a_loop_ends_and_who_begins_anew_has_everything_again() {
        let pace = Pace::default();
        let (count, at) = told(&pace, 0);
        assert!((100..200).contains(&count), "{count}");
        assert!(at < 30 * 60_000_000, "{at}");
        assert_eq!(pace.turn(SUBSCRIPTION, HIM, Instant(at)), Turn::Now);
        pace.anew(SUBSCRIPTION);
        assert_eq!(told(&pace, at).0, count);
    }

    #[test]
    fn a_busy_day_is_no_loop() {
        let pace = Pace::default();
        let second = 1_000_000;
        // Each ten seconds, a day long; then a backlog, and the even pace again an hour later.
        for n in 0..8_640 {
            let now = Instant(n * 10 * second);
            assert_eq!(pace.turn(SUBSCRIPTION, HER, now), Turn::Now, "{n}");
        }
        let mut now = 86_400 * second;
        for _ in 0..70 {
            if let Turn::At(next) = pace.turn(SUBSCRIPTION, HER, Instant(now)) {
                now = next;
            }
        }
        now += 2 * REST;
        assert_eq!(pace.turn(SUBSCRIPTION, HER, Instant(now)), Turn::Now);
        // A clock that is set back by a day holds nobody up.
        let back = Instant(now - 86_400 * second);
        assert_eq!(pace.turn(SUBSCRIPTION, HER, back), Turn::Now);
    }
}
