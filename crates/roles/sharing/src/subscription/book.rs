//! The subscriptions of a service in memory, as the ledger has them, and when each is to be looked at. Locks are held for a look-up
//! alone.

use super::heard::Heard;
use super::kept::{Kept, LEDGER, Status};
use super::pace::Pace;
use crate::State;
use fhir::ids::{LogicalId, OrganisationNumber};
use fhir::time::Instant;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Store, StoreError};
use tokio::sync::Notify;

/// Most of one organisation that are being told at once: a slow subscriber's hold up nobody else's.
const AT_ONCE: usize = 4;
/// Events that may wait while the status is `error`; then their numbers stand though nobody is told.
pub const MOST_WAITING: usize = 500;
/// Events that may wait in any other status; then the status is `error`.
pub const FAR_BEHIND: usize = 10_000;
/// Most subscriptions of a service.
pub const MOST: usize = 5_000;
/// Entries of the ledger that are read at once.
const PAGE: usize = 1_000;

impl Status {
    /// How much may wait.
    fn most_waiting(self) -> usize {
        match self {
            Status::Error => MOST_WAITING,
            Status::Requested | Status::Active => FAR_BEHIND,
            Status::Off => 1,
        }
    }
}

/// A subscription as the ledger has it: with the entry's version.
#[derive(Clone)]
pub struct Held {
    /// What is kept.
    pub kept: Arc<Kept>,
    /// The entry's version.
    pub version: u64,
}

struct Line {
    held: Held,
    /// When to look at it, UTC microseconds; none: not by time.
    due: Option<i64>,
    /// The time when that was set: a clock that shows less has been set back, and what is due by it is due now.
    set: i64,
    /// Being looked at.
    busy: bool,
    /// Something came up meanwhile.
    again: bool,
    /// Tries that failed, one after the other.
    failures: u32,
    /// How much waits, about.
    waiting: usize,
    /// When its endpoint last took something.
    spoke: Instant,
}

/// All of them.
#[derive(Default)]
pub struct Book {
    lines: Mutex<BTreeMap<LogicalId, Line>>,
    /// Whose are being made at this moment: they count already.
    making: Mutex<Vec<OrganisationNumber>>,
    changed: Notify,
    /// What each is about.
    pub heard: Heard,
    /// How often each is told about one patient.
    pub pace: Pace,
}

/// One that is being made: it counts while this is held.
pub struct Making<'a> {
    book: &'a Book,
    of: OrganisationNumber,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let mut making = self.book.making();
        if let Some(at) = making.iter().position(|one| *one == self.of) {
            making.swap_remove(at);
        }
    }
}

/// One that is being made, and has a list already.
pub struct Follows<'a> {
    book: &'a Book,
    id: LogicalId,
}

impl Drop for Follows<'_> {
    fn drop(&mut self) {
        if self.book.get(self.id).is_none() {
            self.book.heard.leave(self.id);
        }
    }
}

impl Book {
    /// Reads the ledger, the whole of it, before anything is written.
    ///
    /// # Errors
    /// The store's, and damage.
    pub async fn fill(&self, store: &Store) -> Result<(), StoreError> {
        let mut pages = store.ledger_pages(LEDGER, b"", PAGE);
        while let Some(page) = pages.next().await? {
            for entry in page {
                let kept = match Kept::read(&entry) {
                    Ok(kept) => Arc::new(kept),
                    Err(error) => {
                        // One subscriber hears nothing; the others and the service itself do not wait for that.
                        let id = uuid::Uuid::from_slice(&entry.key).unwrap_or_default();
                        tracing::error!(%error, subscription = %id, "somebody who subscribes is told nothing");
                        continue;
                    }
                };
                let version = entry.version;
                self.keep(Held { kept, version }, Some(0));
            }
        }
        Ok(())
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<LogicalId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn making(&self) -> MutexGuard<'_, Vec<OrganisationNumber>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what the ledger has now, and when to look at it (none: as before).
    pub fn keep(&self, held: Held, due: Option<i64>) {
        let id = held.kept.id;
        self.heard.follow(&held.kept);
        {
            let mut lines = self.lines();
            let spoke = held.kept.updated;
            let line = lines.entry(id).or_insert_with(|| Line {
                held: held.clone(),
                due: None,
                set: 0,
                busy: false,
                again: false,
                failures: 0,
                waiting: 0,
                spoke,
            });
            if held.version >= line.held.version {
                line.held = held;
            }
            if let Some(at) = due {
                line.due = due;
                line.set = at;
                line.again = true;
            }
        }
        self.changed.notify_one();
    }

    /// One that is being made: what it is about is put in its list from now on, and no longer than this is held if nothing comes of it.
    pub fn follows(&self, kept: &Kept) -> Follows<'_> {
        self.heard.follow(kept);
        Follows {
            book: self,
            id: kept.id,
        }
    }

    /// It rests as this, which is newer than what is held. Nothing is held of one that is not there any more.
    pub fn newer(&self, held: Held) {
        if let Some(line) = self.lines().get_mut(&held.kept.id)
            && held.version > line.held.version
        {
            line.held = held;
        }
    }

    /// It is not there any more.
    pub fn forget(&self, id: LogicalId) {
        self.heard.leave(id);
        self.lines().remove(&id);
        self.pace.anew(id);
    }

    /// One of them.
    pub fn get(&self, id: LogicalId) -> Option<Held> {
        self.lines().get(&id).map(|line| line.held.clone())
    }

    /// All that hold for these.
    pub fn those(&self, holds: impl Fn(&Kept) -> bool) -> Vec<Held> {
        let lines = self.lines();
        let all = lines.values().map(|line| &line.held);
        all.filter(|held| holds(&held.kept)).cloned().collect()
    }

    /// A place for one more of an organisation that has fewer than `most`; those that are over have theirs until they are ended.
    pub fn make(&self, of: OrganisationNumber, most: usize) -> Option<Making<'_>> {
        let mut making = self.making();
        let (all, own) = {
            let lines = self.lines();
            let whose = lines
                .values()
                .map(|line| line.held.kept.standing.organisation);
            let own = whose.chain(making.iter().copied()).filter(|one| *one == of);
            (lines.len() + making.len(), own.count())
        };
        if own >= most || all >= MOST {
            return None;
        }
        making.push(of);
        Some(Making { book: self, of })
    }

    /// Its list holds this number, as it was found at start; not where there is none such any more.
    pub fn found(&self, id: LogicalId, number: u64) -> bool {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&id) else {
            return false;
        };
        line.waiting += usize::from(number > line.held.kept.told);
        true
    }

    /// One more waits: look at it now.
    pub fn more(&self, id: LogicalId, now: Instant) {
        if let Some(line) = self.lines().get_mut(&id) {
            line.waiting += 1;
            line.again = true;
            // Who waits after a failure waits on, but for that what waits is not to grow.
            let full = line.waiting >= line.held.kept.status.most_waiting();
            if line.failures == 0 || full {
                (line.due, line.set) = (Some(now.0), now.0);
            }
        }
        self.changed.notify_one();
    }

    /// The highest number that somebody may have heard of.
    pub fn told(&self, id: LogicalId) -> u64 {
        let lines = self.lines();
        lines.get(&id).map_or(0, |line| line.held.kept.told)
    }

    /// About how much waits.
    pub fn waiting(&self, id: LogicalId) -> usize {
        self.lines().get(&id).map_or(0, |line| line.waiting)
    }

    /// Whether as much waits as may, or more.
    pub fn is_full(&self, held: &Held) -> bool {
        self.waiting(held.kept.id) >= held.kept.status.most_waiting()
    }

    /// So many wait no more, and whether others still may.
    pub fn fewer(&self, id: LogicalId, count: usize, left: bool) {
        if let Some(line) = self.lines().get_mut(&id) {
            line.waiting = match left {
                true => line.waiting.saturating_sub(count),
                false => 0,
            };
        }
    }

    /// One more failure; how many that is.
    pub fn failed(&self, id: LogicalId) -> u32 {
        self.lines().get_mut(&id).map_or(0, |line| {
            line.failures = line.failures.saturating_add(1);
            line.failures
        })
    }

    /// The endpoint has taken something.
    pub fn spoke(&self, id: LogicalId, now: Instant) {
        if let Some(line) = self.lines().get_mut(&id) {
            line.failures = 0;
            line.spoke = now;
        }
    }

    /// Failures are counted from now on.
    pub fn anew(&self, id: LogicalId) {
        if let Some(line) = self.lines().get_mut(&id) {
            line.failures = 0;
        }
    }

    /// When its endpoint last took something.
    pub fn last_spoke(&self, id: LogicalId) -> Option<Instant> {
        self.lines().get(&id).map(|line| line.spoke)
    }

    /// What is due at `now` and nobody looks at, the longest overdue first, at most `most`: it is being looked at from then on.
    pub fn take_due(&self, now: Instant, most: usize) -> Vec<LogicalId> {
        let mut lines = self.lines();
        let mut busy: BTreeMap<OrganisationNumber, usize> = BTreeMap::new();
        for line in lines.values().filter(|line| line.busy) {
            *busy
                .entry(line.held.kept.standing.organisation)
                .or_default() += 1;
        }
        let ready = |line: &Line| {
            !line.busy && line.due.is_some_and(|due| due <= now.0 || now.0 < line.set)
        };
        let mut due: Vec<_> = lines
            .iter()
            .filter(|(_, line)| ready(line))
            .map(|(id, line)| (line.due, *id, line.held.kept.standing.organisation))
            .collect();
        due.sort_unstable();
        let mut taken = Vec::new();
        for (_, id, organisation) in due {
            let count = busy.entry(organisation).or_default();
            if taken.len() >= most {
                break;
            }
            if *count < AT_ONCE
                && let Some(line) = lines.get_mut(&id)
            {
                *count += 1;
                line.busy = true;
                line.again = false;
                line.spoke = line.spoke.min(now);
                taken.push(id);
            }
        }
        taken
    }

    /// It was looked at, and is to be looked at again then.
    pub fn looked_at(&self, id: LogicalId, due: Option<i64>, now: Instant) {
        if let Some(line) = self.lines().get_mut(&id) {
            line.busy = false;
            line.set = now.0;
            line.due = match (line.again && line.failures == 0, due) {
                (true, _) => Some(now.0),
                (false, due) => due,
            };
        }
        self.changed.notify_one();
    }

    /// When the next is due that nobody looks at.
    pub fn next(&self) -> Option<i64> {
        let lines = self.lines();
        let free = lines.values().filter(|line| !line.busy);
        free.filter_map(|line| line.due).min()
    }

    /// Resolves when something changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl State {
    /// Subscriptions whose endpoint did not answer; none where nobody subscribes. For operators.
    pub fn subscriptions_in_error(&self) -> Option<usize> {
        let in_error = |kept: &Kept| kept.status == Status::Error;
        let offered = !self.config.subscribers.is_empty();
        offered.then(|| self.subscriptions.those(in_error).len())
    }
}
