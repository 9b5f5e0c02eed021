//! Those who are turned away with 429 and come all the same (threats-and-faults.md sections 9 and 11; decision 0065). The first time is on
//! record like every request. For a minute from then on the client's further ones are counted and answered a little later than they
//! could be, and one more record tells how many there were.
//!
//! Who has used up its own pace is turned away by the token alone then: no body is read and no proof is looked at, and for the same
//! reason nothing that such a request says is believed. Only what is proven opens a minute, and only what is proven counts in a pace.

use crate::State;
use crate::tally::locked;
use axum::response::Response;
use fhir::time::Instant;
use http::StatusCode;
use http::request::Parts;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Change, StoreError};
use tokio::sync::Semaphore;
use trust::audit::Record;
use trust::{Category, Interaction};
use wire::Worker;
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::stop::Pause;
use wire::visit::{End, Visit};

/// How long a client's refusals are counted after the one on record, in microseconds.
const MINUTE: i64 = 60_000_000;
/// Clients whose refusals are counted at a time; each one's of more is on record.
const KEPT: usize = 10_000;
/// How long an answer waits: a client that goes on when it has its answer is paced by it, and has it within 100 ms (section 13).
const SLOW: Duration = Duration::from_millis(75);
/// Answers that wait at a time; more are given at once.
const WAITING: usize = 1_024;
/// How often it is looked whether a minute is over.
const LOOK: Duration = Duration::from_secs(10);

/// Who is counted now, and what is still to be said of it.
pub struct TurnedAway {
    open: Mutex<HashMap<String, Minute>>,
    /// Whether anybody is, so that all others' requests need not ask.
    any: AtomicBool,
    /// Whether all has been said and the process ends: what comes now is on record, each of it. Changes under `open` alone.
    ended: AtomicBool,
    over: Mutex<Vec<Minute>>,
    places: Semaphore,
    pause: Pause,
}

/// A client's minute.
struct Minute {
    /// On record as it was turned away first.
    first: Record,
    /// Turned away since; and those of them whose proofs were not looked at.
    more: u64,
    unproven: u64,
}

/// What is to be done about one who is turned away.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// It goes on record.
    First,
    /// It is counted.
    Again,
}

impl Minute {
    /// One that came before the first may be turned away after it. A clock that was set back by more than that ends it.
    fn holds(&self, now: Instant) -> bool {
        (-MINUTE..MINUTE).contains(&now.0.saturating_sub(self.first.when.0))
    }

    /// The record of all but the first.
    fn told(&self, now: Instant) -> Record {
        let Minute {
            first,
            more,
            unproven,
        } = self;
        Record {
            when: now,
            asked: format!(
                "{}; within a minute of it {more} more of this client were answered 429, {unproven} of them before their proofs were looked at",
                first.asked
            ),
            ..first.clone()
        }
    }
}

impl TurnedAway {
    /// Nobody; answers wait by this.
    pub fn nobody(pause: Pause) -> TurnedAway {
        TurnedAway {
            open: Mutex::default(),
            any: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            over: Mutex::default(),
            places: Semaphore::new(WAITING),
            pause,
        }
    }

    /// Counts one that is proven, whose record would be this.
    fn proven(&self, client: &str, record: &Record) -> Turn {
        let mut open = locked(&self.open);
        if let Some(minute) = open.get_mut(client)
            && minute.holds(record.when)
        {
            minute.more = minute.more.saturating_add(1);
            return Turn::Again;
        }
        let before = open.remove(client);
        self.is_over(before);
        if open.len() < KEPT && !self.ended.load(Ordering::Relaxed) {
            let minute = Minute {
                first: record.clone(),
                more: 0,
                unproven: 0,
            };
            open.insert(client.to_owned(), minute);
            self.any.store(true, Ordering::Relaxed);
        }
        Turn::First
    }

    /// Counts one that has proven nothing; `false` where the client's are not counted now.
    fn unproven(&self, client: &str, now: Instant) -> bool {
        let mut open = locked(&self.open);
        let minute = open.get_mut(client).filter(|minute| minute.holds(now));
        let Some(minute) = minute else {
            return false;
        };
        minute.more = minute.more.saturating_add(1);
        minute.unproven = minute.unproven.saturating_add(1);
        true
    }

    /// Takes back that one was counted: it came to another end.
    fn one_less(&self, client: &str) {
        if let Some(minute) = locked(&self.open).get_mut(client) {
            minute.more = minute.more.saturating_sub(1);
        }
    }

    /// Ends a client's minute.
    fn end(&self, client: &str) {
        let before = locked(&self.open).remove(client);
        self.is_over(before);
    }

    fn is_over(&self, minute: Option<Minute>) {
        let told = minute.filter(|minute| minute.more > 0);
        locked(&self.over).extend(told);
    }

    /// Takes out what is to be said: of minutes that are over at `now`; without one of all, and no more are counted.
    fn due(&self, now: Option<Instant>) -> Vec<Minute> {
        let mut open = locked(&self.open);
        let ends = |minute: &Minute| now.is_none_or(|now| !minute.holds(now));
        for (_, minute) in open.extract_if(|_, minute| ends(minute)) {
            self.is_over(Some(minute));
        }
        self.any.store(!open.is_empty(), Ordering::Relaxed);
        self.ended.store(now.is_none(), Ordering::Relaxed);
        std::mem::take(&mut *locked(&self.over))
    }

    /// Lets who was told to come later wait a little for hearing it again.
    async fn slowly(&self) {
        if let Ok(_place) = self.places.try_acquire() {
            (self.pause)(SLOW).await;
        }
    }
}

impl State {
    /// As [`wire::visit::Desk::serve`], for a caller who may come too often.
    ///
    /// # Errors
    /// As there; 429 with `Retry-After`.
    pub(crate) async fn serve(
        &self,
        parts: &Parts,
        ids: RequestIds,
        interaction: Interaction,
        work: impl AsyncFnOnce(&mut Visit<'_>) -> Result<Response, End>,
    ) -> Result<Response, Problem> {
        self.who_has_used_up_its_pace(parts).await?;
        let work = async |visit: &mut Visit<'_>| match work(visit).await {
            Err(End::Problem(problem)) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
                self.turn_away(visit).await?;
                Err(End::Audited(problem))
            }
            done => done,
        };
        self.desk.serve(parts, ids, interaction, work).await
    }

    /// Turns away by its token alone who was turned away before in this minute, and has no more to use of its pace now.
    async fn who_has_used_up_its_pace(&self, parts: &Parts) -> Result<(), Problem> {
        if !self.turned_away.any.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(caller) = self.desk.guard.presented(parts).await else {
            return Ok(());
        };
        let (client, now) = (&caller.client_id, (self.house.clock)());
        match self.senders.ready(self.sender(client), now) {
            Err(seconds) if self.turned_away.unproven(client, now) => {
                self.turned_away.slowly().await;
                Err(Problem::throttled(seconds))
            }
            _ => Ok(()),
        }
    }

    /// Puts a proven request that is answered 429 on record, or counts it. Its proof is used up either way.
    ///
    /// # Errors
    /// Of the commit.
    pub(crate) async fn turn_away(&self, visit: &Visit<'_>) -> Result<(), End> {
        let client = &visit.caller().client_id;
        let record = visit.record().failed(Category::Busy);
        let change = visit.change(record.clone());
        match self.turned_away.proven(client, &record) {
            Turn::First => {
                if let Err(end) = visit.commit(change).await {
                    // What is not on record, or was no proof any more, opens no minute.
                    self.turned_away.end(client);
                    return Err(end);
                }
            }
            Turn::Again => {
                let proof = Change {
                    audit: None,
                    ..change
                };
                if let Err(end) = visit.commit(proof).await {
                    self.turned_away.one_less(client);
                    return Err(end);
                }
                self.turned_away.slowly().await;
            }
        }
        Ok(())
    }

    /// Puts on record how many were turned away in each minute that is over at `now`; without one, in all, and whoever is turned away from then
    /// on is on record by itself.
    ///
    /// # Errors
    /// The store's: then it is said the next time.
    pub async fn says_turned_away(&self, now: Option<Instant>) -> Result<(), StoreError> {
        let mut due = self.turned_away.due(now).into_iter();
        while let Some(minute) = due.next() {
            let told = minute.told((self.house.clock)());
            let change = Change {
                audit: Some(told),
                ..Change::default()
            };
            if let Err(error) = self.desk.store.commit(change).await {
                let mut over = locked(&self.turned_away.over);
                over.push(minute);
                over.extend(due);
                return Err(error);
            }
            let (client, more) = (minute.first.client, minute.more);
            tracing::warn!(
                client,
                more,
                "a client went on though it was told to come later"
            );
        }
        Ok(())
    }
}

/// The one who says how many were turned away, at the end too.
pub fn worker(state: Arc<State>) -> Worker {
    Worker::new("turned away", async move {
        let pause = state.house.pause.clone();
        let mut stopped = false;
        while !stopped {
            tokio::select! {
                () = state.house.stop.stopped() => stopped = true,
                () = pause(LOOK) => {}
            }
            let now = (!stopped).then(|| (state.house.clock)());
            if let Err(error) = state.says_turned_away(now).await {
                tracing::error!(%error, "how many were turned away could not be put on record");
            }
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use std::sync::atomic::AtomicUsize;

    const START: i64 = 1_795_251_600_000_000;

    fn record(at: i64) -> Record {
        let when = Instant(START + at);
        Record::new(when, "id", Interaction::Create, "POST /fhir/Observation")
    }

    fn nobody() -> TurnedAway {
        TurnedAway::nobody(wire::stop::real_pause())
    }

    #[test]
    fn each_client_has_its_minute_and_nothing_unproven_opens_one_or_makes_it_longer() {
        let away = nobody();
        let now = |at: i64| Instant(START + at);
        assert!(!away.unproven("a", now(0)));
        assert!(!away.any.load(Ordering::Relaxed));
        assert_eq!(away.proven("a", &record(0)), Turn::First);
        assert!(!away.unproven("b", now(0)));
        assert!(away.unproven("a", now(MINUTE - 1)));
        assert_eq!(away.proven("b", &record(1)), Turn::First);
        assert_eq!(away.proven("a", &record(MINUTE - 1)), Turn::Again);
        assert_eq!(away.proven("a", &record(-1)), Turn::Again, "it came before");
        assert!(!away.unproven("a", now(MINUTE)));
        // What was counted before is said, also where the next minute came first.
        assert_eq!(away.proven("a", &record(MINUTE)), Turn::First);
        assert_eq!(away.proven("a", &record(-1)), Turn::First, "set back");
        let due = away.due(Some(now(1)));
        assert_eq!(due.len(), 1, "nothing is said of who came once");
        assert_eq!((due[0].more, due[0].unproven), (3, 1));
        assert!(away.unproven("a", now(1)) && away.unproven("b", now(1)));
        assert_eq!(away.due(Some(now(MINUTE + 1))).len(), 2);
        assert!(!away.any.load(Ordering::Relaxed));
    }

    #[test]
    fn those_for_whom_there_is_no_room_are_on_record_each() {
        let away = nobody();
        for n in 0..KEPT {
            assert_eq!(away.proven(&n.to_string(), &record(0)), Turn::First);
        }
        for _ in 0..2 {
            assert_eq!(away.proven("late", &record(0)), Turn::First);
        }
        assert_eq!(away.proven("7", &record(0)), Turn::Again);
        assert_eq!(away.due(Some(Instant(START + MINUTE))).len(), 1);
        assert_eq!(away.proven("late", &record(MINUTE)), Turn::First);
        assert_eq!(away.proven("late", &record(MINUTE)), Turn::Again);
    }

    #[tokio::test]
    async fn so_many_wait_at_a_time_and_the_rest_are_answered_at_once() {
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = begun.clone();
        let for_ever: Pause = Arc::new(move |wait| {
            assert!(wait < Duration::from_millis(100), "section 13");
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        });
        let away = Arc::new(TurnedAway::nobody(for_ever));
        let slowly = || {
            let away = away.clone();
            tokio::spawn(async move { away.slowly().await })
        };
        let waiting: Vec<_> = (0..WAITING).map(|_| slowly()).collect();
        slowly().await.unwrap();
        assert_eq!(begun.load(Ordering::Relaxed), WAITING);
        // Who gives up waiting leaves a place.
        waiting[0].abort();
        while away.places.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        drop(slowly());
        while begun.load(Ordering::Relaxed) == WAITING {
            tokio::task::yield_now().await;
        }
    }
}
