//! How much of a ledger is kept for each sender, so that a cap can be held without counting the ledger anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is kept for one sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Entries.
    pub entries: usize,
    /// Bytes of them.
    pub bytes: usize,
}

/// Each sender's part of a ledger.
#[derive(Default)]
pub struct Tally(Mutex<HashMap<Vec<u8>, Held>>);

impl Tally {
    /// One more entry of a sender's.
    pub fn add(&self, sender: &[u8], bytes: usize) {
        let mut tally = locked(&self.0);
        let held = tally.entry(sender.to_vec()).or_default();
        held.entries = held.entries.saturating_add(1);
        held.bytes = held.bytes.saturating_add(bytes);
    }

    /// One entry of a sender's less.
    pub fn subtract(&self, sender: &[u8], bytes: usize) {
        let mut tally = locked(&self.0);
        if let Some(held) = tally.get_mut(sender) {
            held.entries = held.entries.saturating_sub(1);
            held.bytes = held.bytes.saturating_sub(bytes);
            if held.entries == 0 {
                tally.remove(sender);
            }
        }
    }

    /// Takes over what another counted: what a commit that failed left in the count goes.
    pub fn set(&self, counted: Tally) {
        let counted = counted
            .0
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        *locked(&self.0) = counted;
    }

    /// What is kept for a sender.
    pub fn held(&self, sender: &[u8]) -> Held {
        locked(&self.0).get(sender).copied().unwrap_or_default()
    }
}

/// A lock held for memory alone; nothing under it can panic half way through a change.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
