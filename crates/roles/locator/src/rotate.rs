//! A new pointer key in the place of an old one, without a moment in which nobody is found: the new key is made, every holder
//! is asked to tell everything again (its answer to the next heartbeat says that nothing has arrived), both keys answer
//! meanwhile, and when all have moved the old key's pointers and then its file are destroyed.
//!
//! Each step is durable before the next and can be taken again after a crash.

use std::sync::Arc;
use std::time::Duration;

use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use store::{Change, Expect, LedgerWrite, StoreError};
use wire::Worker;

use crate::key::KeyError;
use crate::pointer::{self, Heard, LEAVES, POINTERS, leaves_of};
use crate::register::heard_write;
use crate::{OpenError, State};

/// Ledger of pointer keys: key the version, big-endian.
const KEYS: &str = "key";
/// How often it is looked whether a key is old, or its pointers have moved.
const LOOK: Duration = Duration::from_secs(10);
/// A holder that has not moved after so many days is left behind: its pointers would be stale by far.
const LEFT_BEHIND_DAYS: i64 = 30;
const DAY: i64 = 24 * 3600;
/// Entries looked at, or removed, in one go.
const PART: usize = 500;

/// What is remembered of a key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Made {
    made: Instant,
}

/// How a change of keys stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// One key, nothing moves.
    Rest,
    /// So many holders have not moved yet.
    Moving(usize),
}

/// Notes at start which keys there are, and goes on with a change of keys that a crash cut short.
pub async fn resume(state: &State) -> Result<(), OpenError> {
    let listed = state.store().ledger_scan(KEYS, &[], None, 100).await?;
    let keys = state.reception.keys().pointers();
    let known = |version: u32| listed.iter().any(|row| row.key == version.to_be_bytes());
    // A key that pointers were made with, and whose file is gone, is never replaced.
    if listed
        .iter()
        .any(|row| keys.iter().all(|key| row.key != key.version.to_be_bytes()))
    {
        return Err(KeyError::Lost.into());
    }
    // New here, or made before a crash, or older than this list: whoever was heard tells everything again.
    match keys.first() {
        Some(newest) if !known(newest.version) => Ok(note(state, newest.version).await?),
        _ => Ok(()),
    }
}

/// Makes a key known, and has every holder tell everything again. One commit.
async fn note(state: &State, version: u32) -> Result<(), StoreError> {
    let now = (state.house.clock)();
    let mut ledger = vec![LedgerWrite {
        ledger: KEYS,
        key: version.to_be_bytes().to_vec(),
        value: Some(serde_json::to_vec(&Made { made: now }).map_err(|_| StoreError::Bug)?),
        expect: Expect::Any,
    }];
    let mut turned = Vec::new();
    for seat in state.roll.seats() {
        let turn = seat.turn.lock().await;
        let Some(heard) = seat.heard() else { continue };
        let heard = Heard {
            renewed: (heard.complete > 0).then_some(0),
            ..heard
        };
        ledger.push(heard_write(seat, &heard)?);
        turned.push((seat, heard, turn));
    }
    let change = Change {
        ledger,
        ..Change::default()
    };
    state.store().commit(change).await?;
    for (seat, heard, _turn) in turned {
        seat.note(heard);
    }
    Ok(())
}

/// Looks after the keys.
pub fn worker(state: Arc<State>) -> Worker {
    Worker::new("pointer-key", async move {
        let pause = state.house.pause.clone();
        loop {
            if let Err(error) = state.tend_keys().await {
                tracing::error!(%error, "the pointer keys could not be tended");
            }
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(LOOK) => {}
            }
        }
    })
}

impl State {
    /// Begins a change of keys, unless one is under way.
    ///
    /// # Errors
    /// The disk, or what the store said.
    pub async fn rotate_key(&self) -> Result<(), OpenError> {
        if self.reception.keys().pointers().len() > 1 {
            return Ok(());
        }
        let version = self.reception.keys().add()?;
        note(self, version).await?;
        tracing::info!(version, "a new pointer key; holders tell everything again");
        Ok(())
    }

    /// Begins a change of keys when the newest is old, and ends one when every holder has moved.
    ///
    /// # Errors
    /// The disk, or what the store said.
    pub async fn tend_keys(&self) -> Result<Standing, OpenError> {
        let keys = self.reception.keys();
        let now = (self.house.clock)();
        let row = self
            .store()
            .ledger_get(KEYS, &keys.newest().to_be_bytes())
            .await?;
        let made: Option<Made> = row.and_then(|row| serde_json::from_slice(&row.value).ok());
        let mut age = made.map_or(0, |made| now.seconds().saturating_sub(made.made.seconds()));
        if keys.pointers().len() == 1 {
            if age < i64::from(self.key_days).saturating_mul(DAY) {
                return Ok(Standing::Rest);
            }
            self.rotate_key().await?;
            age = 0;
        }
        let seats = self.roll.seats().iter();
        let lagging =
            seats.filter(|seat| seat.heard().is_some_and(|heard| heard.renewed.is_some()));
        let lagging = lagging.count();
        if lagging > 0 && age < LEFT_BEHIND_DAYS * DAY {
            return Ok(Standing::Moving(lagging));
        }
        self.end_move().await?;
        Ok(Standing::Rest)
    }

    /// Destroys what was made with old keys, and then the keys.
    async fn end_move(&self) -> Result<(), OpenError> {
        // What a holder that was left behind comes with later is told again from the start.
        for seat in self.roll.seats() {
            let _turn = seat.turn.lock().await;
            if let Some(heard) = seat.heard().filter(|heard| heard.renewed.is_some()) {
                let heard = Heard {
                    renewed: None,
                    complete: 0,
                    ..heard
                };
                self.forget(vec![heard_write(seat, &heard)?]).await?;
                seat.note(heard);
            }
        }
        let keys = self.reception.keys();
        let newest = keys.newest();
        let old: Vec<u32> = keys
            .pointers()
            .iter()
            .skip(1)
            .map(|key| key.version)
            .collect();
        for seat in self.roll.seats() {
            for version in &old {
                self.forget_pointers(&seat.service, *version).await?;
            }
        }
        // First it is no longer a key that must be there, then it is destroyed; after a crash between, it is destroyed anew.
        for version in &old {
            self.forget_under(KEYS, &version.to_be_bytes()).await?;
        }
        keys.destroy_old()?;
        tracing::info!(
            newest,
            "every holder has moved; the old pointer key is destroyed"
        );
        Ok(())
    }

    /// Removes one holder's leaves under an old key, and the pointers that they stand beside.
    async fn forget_pointers(&self, service: &str, version: u32) -> Result<(), StoreError> {
        let range = leaves_of(service, version);
        loop {
            let rows = self.store().ledger_scan(LEAVES, &range, None, PART).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut gone = Vec::with_capacity(rows.len() * 2);
            for row in rows {
                let (leaf, person) = pointer::leaf(&row.key, &row.value)?;
                gone.push(removal(POINTERS, pointer::key(&person, service, leaf.kind)));
                gone.push(removal(LEAVES, row.key));
            }
            self.forget(gone).await?;
        }
    }

    async fn forget_under(&self, ledger: &'static str, prefix: &[u8]) -> Result<(), StoreError> {
        loop {
            let rows = self.store().ledger_scan(ledger, prefix, None, PART).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let gone = rows.into_iter().map(|row| removal(ledger, row.key));
            self.forget(gone.collect()).await?;
        }
    }

    async fn forget(&self, ledger: Vec<LedgerWrite>) -> Result<(), StoreError> {
        if ledger.is_empty() {
            return Ok(());
        }
        let change = Change {
            ledger,
            ..Change::default()
        };
        self.store().commit(change).await.map(|_| ())
    }
}

fn removal(ledger: &'static str, key: Vec<u8>) -> LedgerWrite {
    LedgerWrite {
        ledger,
        key,
        value: None,
        expect: Expect::Any,
    }
}
