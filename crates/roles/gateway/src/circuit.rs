//! Rest for providers that fail: one circuit a provider, never one a patient (threats-and-faults.md section 7).
//!
//! After [`FAILURES`] failures in a row a provider is rested, each time twice as long, with jitter, up to [`LONGEST`]; when the
//! rest is over, one question tries it, and the others wait for what became of it. `Retry-After` is a rest that the provider
//! asked for. Refusals are answers, and what the trust anchor or we did is no provider's fault. Repeats are paid for:
//! ten questions earn one. No IO, no clock: time and dice are arguments.

use fhir::time::Instant;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Failures in a row before the first rest.
pub const FAILURES: u32 = 5;
/// The first rest, in microseconds; each after it is twice as long.
const FIRST: i64 = 5_000_000;
/// The longest rest of our own making.
pub const LONGEST: i64 = 60_000_000;
/// How long the one question that tries a provider may be out.
const TRIAL: i64 = 10_000_000;
/// Questions that earn one repeat: repeats add at most a tenth to a provider's load.
const EARN: u32 = 10;
/// Repeats that may be saved up, in questions.
const SAVED: u32 = 10 * EARN;
/// Providers remembered at most; with more, those without trouble are forgotten.
const KEPT: usize = 10_000;

/// Every provider's circuit, by its FHIR base.
#[derive(Default)]
pub struct Circuits(Mutex<HashMap<String, Circuit>>);

#[derive(Clone, Default)]
struct Circuit {
    failures: u32,
    rests: u32,
    rest: Option<Rest>,
    trial: Option<Instant>,
    credit: u32,
    asked: u64,
    repeated: u64,
    failed: u64,
}

#[derive(Clone, Copy)]
struct Rest {
    since: Instant,
    until: Instant,
    asked_for: bool,
}

/// Why a provider is not asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// When it may be asked again.
    pub until: Instant,
    /// It asked for the rest itself (`Retry-After`).
    pub asked_for: bool,
}

/// Where a circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Asked as usual.
    Closed,
    /// One question tries it.
    HalfOpen,
    /// It rests.
    Open,
}

/// One provider's circuit, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its FHIR base.
    pub provider: String,
    /// Where it stands.
    pub phase: Phase,
    /// Questions sent to it, repeats not counted.
    pub asked: u64,
    /// Questions sent once more.
    pub repeated: u64,
    /// Questions that failed.
    pub failed: u64,
}

impl Circuits {
    /// Whether a provider may be asked now. Whoever is let in after a rest is the one question that tries it.
    ///
    /// # Errors
    /// Until when it rests.
    pub fn admit(&self, provider: &str, now: Instant) -> Result<(), Resting> {
        let mut all = self.lock();
        let Some(circuit) = all.get_mut(provider) else {
            return Ok(());
        };
        let Some(rest) = circuit.rest else {
            return Ok(());
        };
        // A clock that jumped back makes no rest longer.
        if now < rest.until && now >= rest.since {
            return Err(Resting {
                until: rest.until,
                asked_for: rest.asked_for,
            });
        }
        let out = |since: Instant| now >= since && now.0 - since.0 < TRIAL;
        if let Some(since) = circuit.trial.filter(|since| out(*since)) {
            return Err(Resting {
                until: Instant(since.0 + TRIAL),
                asked_for: false,
            });
        }
        circuit.trial = Some(now);
        Ok(())
    }

    /// A question goes out; it earns a tenth of a repeat.
    pub fn asks(&self, provider: &str) {
        let mut all = self.lock();
        if all.len() >= KEPT && !all.contains_key(provider) {
            all.retain(|_, circuit| circuit.failures > 0 || circuit.rest.is_some());
        }
        let circuit = all.entry(provider.to_owned()).or_default();
        circuit.asked += 1;
        circuit.credit = (circuit.credit + 1).min(SAVED);
    }

    /// Takes a repeat, if one was earned and the provider does not rest.
    pub fn may_repeat(&self, provider: &str) -> bool {
        let mut all = self.lock();
        let Some(circuit) = all.get_mut(provider) else {
            return false;
        };
        let earned = circuit.credit >= EARN && circuit.rest.is_none();
        if earned {
            circuit.credit -= EARN;
            circuit.repeated += 1;
        }
        earned
    }

    /// It answered, be it with a refusal: all is well again.
    pub fn answered(&self, provider: &str) {
        if let Some(circuit) = self.lock().get_mut(provider) {
            (circuit.failures, circuit.rests) = (0, 0);
            (circuit.rest, circuit.trial) = (None, None);
        }
    }

    /// It failed. `dice` is any random number.
    pub fn failed(&self, provider: &str, now: Instant, dice: u64) {
        let mut all = self.lock();
        let circuit = all.entry(provider.to_owned()).or_default();
        circuit.failed += 1;
        circuit.failures = circuit.failures.saturating_add(1);
        // Whoever was asked before the rest began makes it no longer.
        let resting = circuit.rest.is_some() && circuit.trial.is_none();
        let tried = circuit.trial.is_some();
        if !resting && (tried || circuit.failures >= FAILURES) {
            let length = (FIRST << circuit.rests.min(10)).min(LONGEST);
            circuit.rests = circuit.rests.saturating_add(1);
            circuit.rest(now, jittered(length, dice), false);
        }
    }

    /// It asked to be left alone for so many microseconds.
    pub fn asked_to_wait(&self, provider: &str, now: Instant, wait: i64, dice: u64) {
        let mut all = self.lock();
        let circuit = all.entry(provider.to_owned()).or_default();
        circuit.failed += 1;
        // Never sooner than it asked for.
        let more = i64::try_from(dice % 1024).unwrap_or_default() * (wait / 10) / 1024;
        circuit.rest(now, wait.saturating_add(more), true);
    }

    /// Every circuit as it stands, by provider.
    pub fn standing(&self, now: Instant) -> Vec<Standing> {
        let mut all: Vec<Standing> = self
            .lock()
            .iter()
            .map(|(provider, circuit)| Standing {
                provider: provider.clone(),
                phase: circuit.phase(now),
                asked: circuit.asked,
                repeated: circuit.repeated,
                failed: circuit.failed,
            })
            .collect();
        all.sort_by(|a, b| a.provider.cmp(&b.provider));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Circuit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Circuit {
    fn rest(&mut self, now: Instant, length: i64, asked_for: bool) {
        self.trial = None;
        self.rest = Some(Rest {
            since: now,
            until: Instant(now.0.saturating_add(length)),
            asked_for,
        });
    }

    fn phase(&self, now: Instant) -> Phase {
        match self.rest {
            None => Phase::Closed,
            Some(rest) if now < rest.until && now >= rest.since => Phase::Open,
            Some(_) => Phase::HalfOpen,
        }
    }
}

/// Between four and six fifths of a length, so that gateways do not come back all at once.
fn jittered(length: i64, dice: u64) -> i64 {
    let share = i64::try_from(dice % 1024).unwrap_or_default();
    length * 4 / 5 + length * 2 / 5 * share / 1024
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    const P: &str = "https://p.example/fhir";

    fn at(millis: i64) -> Instant {
        Instant(1_800_000_000_000_000 + millis * 1000)
    }

    fn fail(circuits: &Circuits, times: u32, now: Instant) {
        for _ in 0..times {
            circuits.asks(P);
            circuits.failed(P, now, 512);
        }
    }

    #[test]
    fn a_rest_begins_after_failures_in_a_row_and_one_question_ends_it() {
        let circuits = Circuits::default();
        fail(&circuits, FAILURES - 1, at(0));
        assert_eq!(circuits.admit(P, at(0)), Ok(()));
        circuits.answered(P);
        fail(&circuits, FAILURES - 1, at(0));
        assert_eq!(circuits.admit(P, at(0)), Ok(()), "not in a row");
        fail(&circuits, 1, at(0));
        let resting = circuits.admit(P, at(0)).unwrap_err();
        assert_eq!(
            (resting.until, resting.asked_for),
            (at(5_000), false),
            "the middle of the jitter"
        );
        assert_eq!(circuits.standing(at(0))[0].phase, Phase::Open);
        assert!(circuits.admit(P, at(4_999)).is_err());
        // Half open: one is let in, the others wait.
        assert_eq!(circuits.standing(at(5_000))[0].phase, Phase::HalfOpen);
        assert_eq!(circuits.admit(P, at(5_000)), Ok(()));
        assert!(circuits.admit(P, at(5_001)).is_err());
        circuits.answered(P);
        assert_eq!(circuits.admit(P, at(5_002)), Ok(()));
        assert_eq!(circuits.standing(at(5_002))[0].phase, Phase::Closed);
    }

    #[test]
    fn each_rest_is_twice_as_long_up_to_the_longest_and_a_lost_trial_frees_its_place() {
        let circuits = Circuits::default();
        fail(&circuits, FAILURES, at(0));
        let mut now = at(0);
        for expected in [5, 10, 20, 40, 60, 60] {
            let until = circuits.admit(P, now).unwrap_err().until;
            assert_eq!(until.0 - now.0, expected * 1_000_000);
            now = until;
            assert_eq!(circuits.admit(P, now), Ok(()));
            // The question that tried it never told: after a while another may.
            assert!(circuits.admit(P, Instant(now.0 + TRIAL - 1)).is_err());
            now = Instant(now.0 + TRIAL);
            assert_eq!(circuits.admit(P, now), Ok(()));
            circuits.failed(P, now, 512);
        }
        // Others that were out when the rest began make it no longer.
        let until = circuits.admit(P, now).unwrap_err().until;
        circuits.failed(P, Instant(now.0 + 1), 512);
        assert_eq!(circuits.admit(P, now).unwrap_err().until, until);
        // A clock that jumped back ends a rest.
        assert_eq!(circuits.admit(P, at(-1)), Ok(()));
    }

    #[test]
    fn jitter_spreads_and_never_shortens_what_was_asked_for() {
        for dice in [0, 1, 511, 512, 1023, u64::MAX] {
            let one = jittered(FIRST, dice);
            assert!((4_000_000..6_000_000).contains(&one), "{one}");
            let circuits = Circuits::default();
            circuits.asked_to_wait(P, at(0), 30_000_000, dice);
            let resting = circuits.admit(P, at(0)).unwrap_err();
            assert!(resting.asked_for);
            assert!((at(30_000)..at(33_001)).contains(&resting.until));
        }
        assert_ne!(jittered(FIRST, 1), jittered(FIRST, 900));
    }

    #[test]
    fn repeats_are_a_tenth_of_the_questions_and_none_while_it_rests() {
        let circuits = Circuits::default();
        let mut repeated = 0;
        for _ in 0..1_000 {
            circuits.asks(P);
            repeated += u32::from(circuits.may_repeat(P));
        }
        assert_eq!(repeated, 100);
        for _ in 0..1_000 {
            circuits.asks(P);
        }
        let burst = (0..1_000).filter(|_| circuits.may_repeat(P)).count();
        assert_eq!(burst, 10, "few are saved up");
        for _ in 0..20 {
            circuits.asks(P);
        }
        circuits.asked_to_wait(P, at(0), 1_000, 0);
        assert!(!circuits.may_repeat(P));
        assert!(!circuits.may_repeat("https://nobody.example"));
        assert_eq!(circuits.standing(at(0))[0].repeated, 110);
    }
}
