//! Assessment on the owner's side: what the patient's own plan says of a reading (zones), the early warning score (NEWS2), and
//! totals that others submit held against their parts. Decision support: every result shows its rule, its inputs and the plan's
//! version, and hides no reading.
//!
//! Such functions may be a medical device (MDR, Regulation (EU) 2017/745 art. 2): it is off unless the deployment says who is
//! the manufacturer and what for ([`Device`]), and in the demo each result says that it is not CE-marked. The home system's own
//! assessment is other resources, kept as they came.
//!
//! A reading's way: the store tells in the reading's own commit what changed ([`store::FOLLOW`]) → `run.rs` → `case.rs` (what is
//! there) → `judge.rs` (what it means, pure) → `result.rs` (as resources) → one commit. The same readings give the same results
//! in whatever order they arrive, and what does not hold any more is corrected.

mod air;
pub(crate) mod case;
mod judge;
mod news2;
mod reading;
mod result;
mod run;
mod submitted;
mod uncovered;
mod unexpected;

pub use case::{plans, readings};
pub use judge::{Plan, in_force, is_limited, is_part, is_unreadable};
pub use reading::Reading;
#[cfg(test)]
pub use reading::Value;
pub use result::{Held, NAMES, zone_name};
pub use run::{RECEIVER, workers};

use crate::alert::Deadlines;

use fhir::ids::OrganisationNumber;

/// Rules of assessment, and who answers for them.
#[derive(Debug, Clone)]
pub struct Assessment {
    /// The medical device's statement.
    pub device: Device,
    /// How old a part of NEWS2 may be when the newest is measured, in minutes.
    pub news2_window_minutes: u32,
    /// How long alerts wait for somebody.
    pub deadlines: Deadlines,
    /// For whom an alert is when its first deadline has passed, its second, …: roles as the organisation calls them. The last stays.
    pub escalate_to: Vec<String>,
}

/// What a manufacturer says of a medical device (MDR annex I, 23.2).
#[derive(Debug, Clone)]
pub enum Device {
    /// A device that somebody answers for.
    Declared {
        /// The manufacturer.
        manufacturer: String,
        /// What it is meant for.
        intended_purpose: String,
        /// Unique device identification.
        udi: String,
    },
    /// The demo: nobody answers for it, and every result says so.
    Demonstration,
}

impl Device {
    /// As it stands in every result.
    pub fn statement(&self) -> String {
        match self {
            Device::Declared {
                manufacturer, udi, ..
            } => format!("Delt vurdering, {manufacturer}, UDI {udi}"),
            Device::Demonstration => {
                "Delt vurdering, demonstrasjon. Ikke CE-merket, ikke til bruk for pasienter".into()
            }
        }
    }
}

/// The organisation that assesses.
pub struct Owner {
    /// Its number.
    pub orgnr: OrganisationNumber,
    /// Its name.
    pub name: String,
}
