//! Alerts that somebody owns: what the assessment finds becomes an alert of the organisation with an owner, a deadline and an
//! end that a person gives it.
//!
//! An alert is two resources: a DetectedIssue (VKP's alert codes: what was found, by which results and readings, each with its
//! version) and a Task (where it stands, who has it, by when, what people say of it). Each step is a new version of the Task
//! and a record of the trail. One open alert for a patient and topic: what is found while it is open joins it. Nothing is
//! closed by itself. Follows HL7 FHIR R4 Task and DetectedIssue, `docs/decisions/0048`.
//!
//! An alert's way: `assess/run.rs` judges → `finding.rs` (is it new, and is it now?) → `raise.rs` (in the commit of the results)
//! → people's steps over `api/operation/alert.rs` → `machine.rs` (may it be done, pure) → `task.rs` (as resources).
//! `hand_over.rs` says what words between two organisations make of an alert, whose it is when the other has accepted; `telling.rs` carries them. `join.rs` makes one of two that an owner has of one topic. `filing.rs` files what people say in the organisation's record system, `assessment.rs` lets others look it up. `watch.rs` wakes when a deadline passes, and when a reading that a plan expects may be missing (`missing.rs`, pure).

mod assessment;
mod filing;
mod finding;
mod hand_over;
mod join;
mod ledger;
mod machine;
mod missing;
mod raise;
mod task;
mod telling;
mod watch;

pub use assessment::shared;
pub use filing::{Said, outgoing as filed};
pub use finding::{Candidate, FRESH, current, fresh, gravity};
pub use hand_over::{Handed, Heard};
pub use join::{Apart, Two};
pub use ledger::{Entry, Key, Queue, Tasks};
pub use machine::{By, No, Owner, State as Standing, Step};
pub use missing::{asked, pause_at};
pub use raise::{Raised, Whose, came, expected};
pub use task::{ALERTS, Task};
pub use telling::outgoing;

use task::Topic;

/// Background work: what is due by time, and what other organisations are to be told.
pub fn workers(state: Arc<crate::State>) -> Vec<wire::Worker> {
    let mut workers = telling::couriers(&state);
    workers.extend(filing::courier(&state));
    workers.extend(watch::workers(state));
    workers
}

use fhir::plan::Zone;
use std::sync::Arc;

const MINUTE: i64 = 60_000_000;

/// How long an alert waits for the next step of a person, in minutes. To be confirmed by a clinician.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// A red one.
    pub red_minutes: u32,
    /// A yellow one.
    pub yellow_minutes: u32,
    /// One of missing readings.
    pub missing_minutes: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            red_minutes: 15,
            yellow_minutes: 120,
            missing_minutes: 240,
        }
    }
}

impl Deadlines {
    /// The wait of an alert, in microseconds.
    fn wait(&self, topic: Topic, zone: Zone) -> i64 {
        let minutes = match (topic, zone) {
            (Topic::Missing, _) => self.missing_minutes,
            (Topic::Readings, Zone::Red) => self.red_minutes,
            (Topic::Readings, _) => self.yellow_minutes,
        };
        i64::from(minutes) * MINUTE
    }
}
