//! How a store is opened, apart from its owner.

use std::sync::Arc;

use crate::listed::Lists;
use crate::publish::Publishing;

/// How a store is opened, apart from its owner.
#[derive(Debug, Clone)]
pub struct Options {
    /// Receiver of outbox entries that tell of each turn of presence (the locator's courier); `None`: nobody is told.
    pub announce: Option<String>,
    /// Receivers of outbox entries that tell what each commit wrote about whom ([`FOLLOW`](crate::FOLLOW)); empty: nobody follows.
    pub follow: Vec<String>,
    /// Says in which lists each commit numbers what it writes; `None`: there are no lists.
    pub lists: Option<Arc<dyn Lists>>,
    /// Reading threads.
    pub readers: usize,
    /// Resources that one page of a search may look at where the tables cannot answer it alone; beyond it the search is
    /// refused with [`TooCostly`](crate::StoreError::TooCostly).
    pub candidates: usize,
    /// How long a delivered entry's key and time can be asked for, in seconds.
    pub keep_delivered_seconds: i64,
    /// Largest size of the database in bytes; beyond it changes are refused with [`Full`](crate::StoreError::Full).
    pub max_bytes: Option<u64>,
    /// What others than the organisation itself see, and what is announced.
    pub publishing: Publishing,
}

impl Default for Options {
    /// No announcements, nobody follows, no lists, two readers, 20 000 candidates, thirty days, as large as the disk allows, everything published.
    fn default() -> Self {
        Options {
            announce: None,
            follow: Vec::new(),
            lists: None,
            readers: 2,
            candidates: 20_000,
            keep_delivered_seconds: 30 * 24 * 3600,
            max_bytes: None,
            publishing: Publishing::default(),
        }
    }
}
