//! Delivers a store's outbox to one receiver: at least once, in the order of each partition, with patience
//! (threats-and-faults.md section 9). A courier serves one receiver, so a dead receiver delays nobody else.
//!
//! Entries go out in batches, in order. An entry that is to be tried again waits 1 s at first and at most 15 minutes
//! (or less, where the delivery says so), and with it everything later of its partition. While a whole batch fails, the receiver is left alone for a while that
//! grows to half a minute, so that its return is noticed soon.

use std::collections::HashSet;
use std::time::Duration;

use fhir::time::Instant;
use futures::FutureExt;
use store::{Clock, Due, Ids, Store, StoreError};

use crate::Stop;
use crate::client::PeerError;
use crate::stop::Pause;

/// Most entries in one batch.
pub const BATCH: usize = 100;
/// First wait before an entry is tried again.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait of an entry.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Longest rest of a receiver between whole batches that fail.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// How often to look although nothing was announced.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);

/// Tries after which what a receiver never takes is a dead letter: an hour or so by our patience.
pub const TRIES: u32 = 16;

/// What became of one entry of a batch. Reasons hold nothing about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver acknowledged it.
    Done,
    /// To be tried again.
    Retry(String),
    /// To be tried again, not before this long (`Retry-After`).
    RetryAfter(Duration, String),
    /// Refused for good: a dead letter.
    Dead(String),
}

impl Fate {
    /// The fate of an entry whose receiver gave no usable answer.
    pub fn of_peer_error(error: &PeerError) -> Self {
        Self::Retry(error.to_string())
    }

    /// The fate of an entry by the status the receiver gave it: 2xx is done, 422 is dead (blueprint, "Contracts between
    /// roles"), anything else is tried again.
    pub fn of_status(status: u16, reason: impl Into<String>) -> Self {
        match status {
            200..=299 => Self::Done,
            422 => Self::Dead(reason.into()),
            _ => Self::Retry(reason.into()),
        }
    }

    /// The end of an entry that was tried `attempts` times before and is answered one of `statuses` once more: a receiver may have been
    /// set up wrongly, and have an hour or so to be mended; at the [`TRIES`]th try it is dead, and holds back no more what comes later
    /// of its partition.
    pub fn given_up(status: u16, attempts: u32, statuses: &[u16], reason: &str) -> Option<Self> {
        let over = statuses.contains(&status) && attempts.saturating_add(1) >= TRIES;
        over.then(|| Self::Dead(format!("{reason}, {TRIES} times")))
    }

    /// Whether it waits.
    pub fn is_retry(&self) -> bool {
        matches!(self, Self::Retry(_) | Self::RetryAfter(..))
    }
}

/// How a batch reaches a receiver.
pub trait Deliver: Send + Sync {
    /// Tries a batch, in order; gives one fate an entry, in the same order. Entries of one partition stand in the order
    /// in which they must arrive. Repeats carry the same key and must be harmless at the receiver.
    fn deliver(&self, batch: &[Due]) -> impl Future<Output = Vec<Fate>> + Send;

    /// Longest wait before an entry is tried again, however often it was: how soon a receiver that was away is told when it is back.
    fn longest_wait(&self) -> Duration {
        LONGEST
    }
}

/// Tries the entries of a batch one after the other; one that waits holds back the later ones of its partition, whose reason is `waits`.
pub async fn in_turn<'a, F: Future<Output = Fate>>(
    batch: &'a [Due],
    waits: &str,
    mut bring: impl FnMut(&'a Due) -> F,
) -> Vec<Fate> {
    let mut fates = Vec::with_capacity(batch.len());
    let mut held = HashSet::new();
    for due in batch {
        if held.contains(&due.partition) {
            fates.push(Fate::Retry(waits.to_owned()));
            continue;
        }
        let fate = bring(due).await;
        if fate.is_retry() {
            held.insert(due.partition);
        }
        fates.push(fate);
    }
    fates
}

/// A courier for one receiver.
pub struct Courier<D> {
    /// Where the entries wait.
    pub store: Store,
    /// The receiver's name in the outbox.
    pub receiver: String,
    /// How it is reached.
    pub deliver: D,
    /// The clock.
    pub clock: Clock,
    /// Randomness for jitter.
    pub ids: Ids,
    /// When to end.
    pub stop: Stop,
    /// How to wait: [`crate::stop::real_pause`] outside tests.
    pub pause: Pause,
}

/// Delivers until the stop signal, with the house's clock, randomness, waiting and stop.
pub async fn run<D: Deliver>(store: Store, receiver: String, deliver: D, house: &crate::House) {
    let courier = Courier {
        store,
        receiver,
        deliver,
        clock: house.clock.clone(),
        ids: house.ids.clone(),
        stop: house.stop.clone(),
        pause: house.pause.clone(),
    };
    courier.run().await;
}

/// One batch of what is due now, without waiting: what is to be tried again is due again at once. Says how many entries were taken.
///
/// # Errors
/// Of the store.
pub async fn once(
    store: &Store,
    receiver: &str,
    deliver: &impl Deliver,
    now: Instant,
) -> Result<usize, StoreError> {
    let due = store.outbox_due(receiver, now, BATCH).await?;
    let mut done = Vec::new();
    for (due, fate) in due.iter().zip(deliver.deliver(&due).await) {
        match fate {
            Fate::Done => done.push(due.id),
            Fate::Dead(reason) => store.outbox_dead(due.id, &reason).await?,
            Fate::Retry(reason) | Fate::RetryAfter(_, reason) => {
                store.outbox_retry(due.id, now, &reason).await?;
            }
        }
    }
    let count = done.len();
    store.outbox_done(done).await?;
    Ok(count)
}

/// What one round came to.
enum Round {
    /// Nothing was due.
    Idle,
    /// Something went or died.
    Progress,
    /// Everything is to be tried again.
    AllFailed,
}

impl<D: Deliver> Courier<D> {
    /// Delivers until the stop signal; ends after the batch under way.
    pub async fn run(self) {
        let mut changed = self.store.outbox_signal();
        let mut failures: u32 = 0;
        while !self.stop.is_stopped() {
            // Seen before the look, so that what is committed during it wakes us at once.
            changed.mark_unchanged();
            let rest = match self.round().await {
                Ok(Round::Progress) => {
                    failures = 0;
                    continue;
                }
                Ok(Round::Idle) => {
                    failures = 0;
                    let wait = self.until_next().await;
                    tokio::select! {
                        () = self.stop.stopped() => break,
                        announced = changed.changed() => if announced.is_err() { break },
                        () = (self.pause)(wait) => {}
                    }
                    continue;
                }
                Ok(Round::AllFailed) => {
                    failures = failures.saturating_add(1);
                    self.jittered(backoff(failures - 1).min(LONGEST_REST))
                }
                Err(error) => {
                    tracing::error!(receiver = %self.receiver, %error, "the outbox cannot be read or written");
                    failures = failures.saturating_add(1);
                    self.jittered(backoff(failures - 1).min(LONGEST_REST))
                }
            };
            tokio::select! {
                () = self.stop.stopped() => break,
                () = (self.pause)(rest) => {}
            }
        }
    }

    async fn round(&self) -> Result<Round, StoreError> {
        let batch = self
            .store
            .outbox_due(&self.receiver, (self.clock)(), BATCH)
            .await?;
        if batch.is_empty() {
            return Ok(Round::Idle);
        }
        let fates = self.deliver.deliver(&batch).await;
        if fates.len() != batch.len() {
            tracing::error!(receiver = %self.receiver, "a delivery told the fate of another number of entries: a bug");
        }
        let missing =
            std::iter::repeat(Fate::Retry("the delivery told nothing about it".to_owned()));
        let told: Vec<(&Due, Fate)> = batch.iter().zip(fates.into_iter().chain(missing)).collect();
        let all_failed = told.iter().all(|(_, fate)| fate.is_retry());
        self.report(told).await?;
        Ok(if all_failed {
            Round::AllFailed
        } else {
            Round::Progress
        })
    }

    async fn report(&self, told: Vec<(&Due, Fate)>) -> Result<(), StoreError> {
        let done: Vec<_> = told
            .iter()
            .filter(|(_, fate)| *fate == Fate::Done)
            .map(|(due, _)| due.id)
            .collect();
        if !done.is_empty() {
            self.store.outbox_done(done).await?;
        }
        // The first of a partition that is to be tried again holds back the later ones by itself.
        let mut held: HashSet<i64> = HashSet::new();
        let mut reports = Vec::new();
        for (due, fate) in told {
            let (at_least, reason) = match fate {
                Fate::Done => continue,
                Fate::Dead(reason) => {
                    tracing::warn!(receiver = %self.receiver, key = %due.key, %reason, "a dead letter");
                    reports.push(self.failed(due, None, reason).boxed());
                    continue;
                }
                Fate::Retry(reason) => (Duration::ZERO, reason),
                Fate::RetryAfter(wait, reason) => (wait, reason),
            };
            if held.insert(due.partition) {
                let wait = self
                    .jittered(backoff(due.attempts))
                    .min(self.deliver.longest_wait())
                    .max(at_least)
                    .min(LONGEST);
                reports.push(
                    self.failed(due, Some(later((self.clock)(), wait)), reason)
                        .boxed(),
                );
            }
        }
        // Together, so that the store takes them in one group.
        futures::future::try_join_all(reports).await.map(|_| ())
    }

    /// Reports one failed try: again from `next`, or never.
    async fn failed(
        &self,
        due: &Due,
        next: Option<Instant>,
        reason: String,
    ) -> Result<(), StoreError> {
        match next {
            Some(next) => self.store.outbox_retry(due.id, next, &reason).await,
            None => self.store.outbox_dead(due.id, &reason).await,
        }
    }

    /// How long nothing will be due, as far as the store can tell.
    async fn until_next(&self) -> Duration {
        let Ok(state) = self.store.outbox_state(&self.receiver).await else {
            return LONGEST_REST;
        };
        let Some(next) = state.next else {
            return LOOK_ANYWAY;
        };
        let micros = next.0.saturating_sub((self.clock)().0);
        // What is past and still not due waits behind an earlier one of its partition.
        let wait = u64::try_from(micros).map_or(FIRST, Duration::from_micros);
        wait.clamp(Duration::from_millis(1), LOOK_ANYWAY)
    }

    /// Between half and the whole of a wait, so that receivers' couriers do not march in step.
    fn jittered(&self, wait: Duration) -> Duration {
        let random = u32::try_from((self.ids)().as_u128() & 0xffff).unwrap_or(0);
        wait / 2 + (wait / 2).saturating_mul(random) / 0xffff
    }
}

/// The wait after so many tries: 1 s, 2 s, 4 s … 15 minutes.
pub fn backoff(tries: u32) -> Duration {
    FIRST
        .saturating_mul(1_u32.checked_shl(tries.min(16)).unwrap_or(u32::MAX))
        .min(LONGEST)
}

fn later(now: Instant, wait: Duration) -> Instant {
    Instant(
        now.0
            .saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)),
    )
}

#[cfg(test)]
mod tests;
