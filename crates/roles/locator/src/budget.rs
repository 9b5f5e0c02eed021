//! How many patients one client and one person may ask about (threats-and-faults section 5): beyond it 429 and an alarm.
//! Counted in memory, by pseudonym, in windows of time; asking about the same patient again costs nothing.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use fhir::time::Instant;

/// Askers kept in mind before those whose window has passed are forgotten.
const KEPT: usize = 4_096;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Distinct patients of one client (the gateway) in a window.
    pub client: usize,
    /// Distinct patients of one person in a window.
    pub person: usize,
    /// Length of a window in seconds.
    pub seconds: u32,
}

impl Default for Budget {
    /// An hour: 20,000 patients through one gateway, 1,000 by one person.
    fn default() -> Self {
        Self {
            client: 20_000,
            person: 1_000,
            seconds: 3_600,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A client.
    Client,
    /// A person.
    Person,
}

/// A budget that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose.
    pub asker: Asker,
    /// Seconds until it begins anew.
    pub retry_after: u32,
}

/// What has been spent in the windows that are open.
pub struct Spent {
    budget: Budget,
    exceeded: AtomicU64,
    windows: Mutex<HashMap<String, Window>>,
}

struct Window {
    began: Instant,
    patients: HashSet<String>,
}

impl Spent {
    /// Nothing yet.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            exceeded: AtomicU64::new(0),
            windows: Mutex::default(),
        }
    }

    /// How often a budget was used up since the start: the figure behind the alarm.
    pub fn exceeded(&self) -> u64 {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// Counts one patient for a client and a person (by pseudonym).
    ///
    /// # Errors
    /// [`Exceeded`] when the patient is new to one of them and its budget is used up.
    pub fn spend(
        &self,
        client: &str,
        person: &str,
        patient: String,
        now: Instant,
    ) -> Result<(), Exceeded> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() > KEPT {
            windows.retain(|_, window| self.is_open(window, now));
        }
        let askers = [
            (
                Asker::Client,
                format!("client {client}"),
                self.budget.client,
            ),
            (
                Asker::Person,
                format!("person {person}"),
                self.budget.person,
            ),
        ];
        for (asker, name, limit) in &askers {
            let window = windows
                .entry(name.clone())
                .or_insert_with(|| Window::new(now));
            if !self.is_open(window, now) {
                *window = Window::new(now);
            }
            if window.patients.len() >= *limit && !window.patients.contains(&patient) {
                self.exceeded.fetch_add(1, Ordering::Relaxed);
                let end = window.began.plus_seconds(self.budget.seconds.into());
                let left = end.seconds().saturating_sub(now.seconds()).max(1);
                let retry_after = u32::try_from(left).unwrap_or(self.budget.seconds);
                let asker = *asker;
                return Err(Exceeded { asker, retry_after });
            }
        }
        // What is refused is spent by nobody: one who goes on asking must not use up what the others share.
        for (_, name, _) in askers {
            if let Some(window) = windows.get_mut(&name) {
                window.patients.insert(patient.clone());
            }
        }
        Ok(())
    }

    /// A clock that jumped back leaves the window open.
    fn is_open(&self, window: &Window, now: Instant) -> bool {
        now < window.began.plus_seconds(self.budget.seconds.into())
    }
}

impl Window {
    fn new(began: Instant) -> Self {
        Self {
            began,
            patients: HashSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_patients_count_and_a_new_window_begins_anew() {
        let spent = Spent::new(Budget {
            client: 3,
            person: 2,
            seconds: 60,
        });
        let at = Instant::from_seconds;
        let ask = |person: &str, patient: u8, second| {
            spent.spend("gateway", person, patient.to_string(), at(second))
        };
        assert_eq!(ask("a", 1, 0), Ok(()));
        assert_eq!(ask("a", 2, 10), Ok(()));
        assert_eq!(ask("a", 1, 20), Ok(()), "the same patient again");
        let used = |asker, retry_after| Err(Exceeded { asker, retry_after });
        // However often one person asks for more, what is refused costs the client nothing.
        for patient in 3..100 {
            assert_eq!(ask("a", patient, 20), used(Asker::Person, 40));
        }
        assert_eq!(ask("b", 3, 20), Ok(()));
        assert_eq!(ask("b", 4, 59), used(Asker::Client, 1));
        assert_eq!(ask("b", 2, 59), Ok(()));
        assert_eq!(ask("a", 4, 60), Ok(()));
    }
}
