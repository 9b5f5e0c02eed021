//! Who is expected to be heard: home systems that send at least so often (`Config::expects`, decision 0060). A silence that is longer is an
//! alarm of its own, once, and so is its end.
//!
//! A sender is heard when something of it is acknowledged, new or known. One that is refused, or all of whose entries are kept aside,
//! brings nobody anything: it is as silent to those who wait for its readings as one that does not come.

use crate::State;
use crate::tally::locked;
use fhir::ids::OrganisationNumber;
use fhir::time::Instant;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use store::{Change, Expect, LedgerWrite, Store, StoreError};
use wire::visit::Visit;

/// Ledger of senders that are expected, by client id.
const LEDGER: &str = "heard";
/// Most entries read at start.
const MOST: usize = 10_000;
/// How old what is durable may be, in microseconds: after a fall a silence looks at most so much longer than it was, and no more than one
/// flush of a sender's is spent in that time.
const KEPT: i64 = 60_000_000;

/// A sender that is expected to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its client id.
    pub sender: String,
    /// What people call it.
    pub name: String,
    /// The organisation that it sends for.
    pub organisation: OrganisationNumber,
    /// How long it may be silent, in seconds.
    pub quiet_seconds: i64,
}

/// How a sender that is expected stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// It.
    pub expected: Expected,
    /// When something of it was last acknowledged; none: never.
    pub heard: Option<Instant>,
    /// Whether that, or where it was never heard the moment since which it is expected, is too long ago.
    pub quiet: bool,
}

/// What is known of a sender.
#[derive(Clone, Copy)]
struct Known {
    /// Since when it has been expected.
    since: Instant,
    heard: Option<Instant>,
    /// The same, as far as it is durable.
    kept: Option<Instant>,
}

impl Known {
    fn read(bytes: &[u8], now: Instant) -> Option<Known> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        // A clock that was ahead makes nobody heard at a time to come.
        let heard = value["heard"].as_i64().map(|at| Instant(at).min(now));
        Some(Known {
            since: Instant(value["since"].as_i64()?).min(now),
            heard,
            kept: heard,
        })
    }

    fn written(&self, sender: &[u8]) -> LedgerWrite {
        let value = json!({"since": self.since.0, "heard": self.heard.map(|at| at.0)});
        LedgerWrite {
            ledger: LEDGER,
            key: sender.to_vec(),
            value: Some(value.to_string().into_bytes()),
            expect: Expect::Any,
        }
    }
}

/// When those were heard who are expected.
pub struct Heard {
    known: Mutex<BTreeMap<String, Known>>,
    /// Who was last told to be quiet.
    told: Mutex<BTreeSet<String>>,
}

impl Heard {
    /// Reads the ledger. Who is expected from now on is kept with this moment, who is expected no longer is forgotten.
    ///
    /// # Errors
    /// The store's, and damage.
    pub async fn open(
        store: &Store,
        expects: &[Expected],
        now: Instant,
    ) -> Result<Heard, StoreError> {
        let mut known = BTreeMap::new();
        let mut ledger = Vec::new();
        for entry in store.ledger_scan(LEDGER, b"", None, MOST).await? {
            let mut expected = expects.iter();
            let Some(one) = expected.find(|one| one.sender.as_bytes() == entry.key) else {
                ledger.push(LedgerWrite {
                    ledger: LEDGER,
                    key: entry.key,
                    value: None,
                    expect: Expect::Any,
                });
                continue;
            };
            let read = Known::read(&entry.value, now);
            let read = read.ok_or(StoreError::Damaged(
                "a sender's entry has an unexpected form",
            ))?;
            known.insert(one.sender.clone(), read);
        }
        for one in expects {
            known.entry(one.sender.clone()).or_insert_with(|| {
                let new = Known {
                    since: now,
                    heard: None,
                    kept: None,
                };
                ledger.push(new.written(one.sender.as_bytes()));
                new
            });
        }
        if !ledger.is_empty() {
            let change = Change {
                ledger,
                ..Change::default()
            };
            store.commit(change).await?;
        }
        Ok(Heard {
            known: Mutex::new(known),
            told: Mutex::default(),
        })
    }

    /// Notes that a sender is heard at `now`; gives what is to be kept of it, if that is old.
    fn note(&self, sender: &str, now: Instant) -> Option<LedgerWrite> {
        let mut known = locked(&self.known);
        let one = known.get_mut(sender)?;
        one.heard = Some(now);
        let fresh = |kept: Instant| (0..KEPT).contains(&now.0.saturating_sub(kept.0));
        if one.kept.is_some_and(fresh) {
            return None;
        }
        one.kept = Some(now);
        Some(one.written(sender.as_bytes()))
    }
}

/// Notes that something of the caller was acknowledged. What it sent is durable whether this is or not.
pub async fn heard(state: &State, visit: &Visit<'_>) {
    let Some(write) = state.heard.note(&visit.caller().client_id, visit.now) else {
        return;
    };
    let change = Change {
        ledger: vec![write],
        ..Change::default()
    };
    if let Err(error) = state.desk.store.commit(change).await {
        tracing::warn!(%error, "when a sender was heard could not be kept");
    }
}

impl State {
    /// How those stand that are expected to be heard: for operators, and for who waits for their readings.
    pub fn silences(&self) -> Vec<Silence> {
        let now = (self.house.clock)();
        let known = locked(&self.heard.known);
        let expects = self.config.expects.iter();
        let silence = |one: &Expected| {
            let known = known.get(&one.sender)?;
            let since = known.heard.unwrap_or(known.since);
            let seconds = now.0.saturating_sub(since.0) / 1_000_000;
            Some(Silence {
                expected: one.clone(),
                heard: known.heard,
                quiet: seconds > one.quiet_seconds,
            })
        };
        expects.filter_map(silence).collect()
    }

    /// Those that have gone quiet, or are heard again, since this was last asked: what the alarm tells once.
    pub fn silences_turned(&self) -> Vec<Silence> {
        let mut turned = self.silences();
        let mut told = locked(&self.heard.told);
        turned.retain(|one| match one.quiet {
            true => told.insert(one.expected.sender.clone()),
            false => told.remove(&one.expected.sender),
        });
        turned
    }
}

/// The alarm: one line in the log each time that a sender goes quiet, and each time that one is heard again.
pub fn tell(state: &State) {
    for one in state.silences_turned() {
        let (sender, orgnr) = (
            one.expected.sender.as_str(),
            one.expected.organisation.as_str(),
        );
        let heard = one.heard.map(|at| at.to_string()).unwrap_or_default();
        if one.quiet {
            tracing::error!(sender, orgnr, heard, "a home system has gone quiet");
        } else {
            tracing::warn!(sender, orgnr, heard, "a home system is heard again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_is_kept_once_a_minute_however_much_comes() {
        let since = Instant(0);
        let known = Known {
            since,
            heard: None,
            kept: None,
        };
        let heard = Heard {
            known: Mutex::new([("home".to_owned(), known)].into()),
            told: Mutex::default(),
        };
        let kept = |from: i64, to: i64| {
            let seconds = (from..to).map(|second| Instant(second * 1_000_000));
            seconds.filter_map(|at| heard.note("home", at)).count()
        };
        assert_eq!(kept(0, 600), 10);
        // A clock that is set back stalls nothing.
        assert_eq!(kept(300, 420), 2);
        assert!(heard.note("stranger", since).is_none());
    }
}
