//! Tells subscribers: the handshake first, then what happened, each attempt under the right of that moment and on record before it is
//! sent; silence by heartbeats; after failures the status says so, and nothing is sent until the subscriber asks for it again.
//!
//! The list of events is the queue: what the endpoint has not taken is sent again, with the same numbers. A delivery writes no
//! resource, so none leads to another.

use super::book::{FAR_BEHIND, Held, MOST_WAITING};
use super::kept::{Content, Kept, Status};
use super::notification::{Focus, Kind, Shown, bundle};
use super::number::Moves;
use super::pace::Turn;
use super::right::Right;
use crate::State;
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::time::Instant;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Listed, StoreError, TakenBack};
use tokio::task::JoinSet;
use trust::audit::{Asker, Disclosed, Record};
use trust::{Interaction, Permit};
use uuid::Uuid;
use wire::Worker;
use wire::client::Request;
use wire::contract::sharing::{NOTIFICATION_SIGNATURE_HEADER, NOTIFICATION_TYP};
use wire::courier::backoff;

/// Subscriptions told at once.
const AT_ONCE: usize = 16;
/// Failures in a row after which the status is `error`: two minutes or so.
pub const TRIES: u32 = 7;
/// Longest wait, so that a clock that was set is noticed.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);
/// Shortest wait while others are being told.
const SHORTEST: Duration = Duration::from_millis(50);
/// Wait of what cannot be known now, in seconds.
const LATER: i64 = 60;
/// How long one that is over is still shown, in seconds.
const SHOWN: i64 = 30 * 24 * 60 * 60;
/// Why it is in error when more happened than could be told.
const BEHIND: &str = "more happened than could be told: read anew what matters";
/// Why it is in error when telling does not end.
const LOOPS: &str = "each notification is followed by a further event about the same patient, too often for too long: what is told must not be answered by a write; fetch what was missed and ask again";
/// Longest answer of an endpoint: nothing of it is read.
const ANSWER_BYTES: usize = 64 * 1024;

/// Who tells; nobody where nobody subscribes.
pub fn workers(state: &Arc<State>) -> Vec<Worker> {
    if state.config.subscribers.is_empty() {
        return Vec::new();
    }
    vec![Worker::new(
        "subscription",
        state.clone().tell_subscribers(),
    )]
}

impl State {
    async fn tell_subscribers(self: Arc<Self>) {
        let pause = wire::stop::real_pause();
        let mut running = JoinSet::new();
        while !self.house.stop.is_stopped() {
            let now = (self.house.clock)();
            for id in self.subscriptions.take_due(now, AT_ONCE - running.len()) {
                let state = self.clone();
                running.spawn(async move { state.attend(id).await });
            }
            let next = self.subscriptions.next();
            let wait = next.map_or(LOOK_ANYWAY, |at| {
                Duration::from_micros(u64::try_from(at.saturating_sub(now.0)).unwrap_or(0))
            });
            let least = match running.is_empty() {
                true => Duration::from_millis(1),
                false => SHORTEST,
            };
            tokio::select! {
                () = self.house.stop.stopped() => return,
                Some(_) = running.join_next(), if !running.is_empty() => {}
                () = self.subscriptions.changed() => {}
                () = pause(wait.clamp(least, LOOK_ANYWAY)) => {}
            }
        }
    }

    /// Tells whatever waits now, one after the other, and says how many subscriptions were looked at. The worker does the
    /// same by itself.
    ///
    /// # Errors
    /// Of the store.
    pub async fn notify_waiting(self: &Arc<Self>) -> Result<usize, StoreError> {
        let mut count = 0;
        loop {
            let due = self.subscriptions.take_due((self.house.clock)(), AT_ONCE);
            if due.is_empty() {
                return Ok(count);
            }
            count += due.len();
            for id in due {
                self.attend(id).await;
            }
        }
    }

    async fn attend(&self, id: LogicalId) {
        let now = (self.house.clock)();
        let due = match self.look_after(id).await {
            Ok(due) => due,
            // Its subscriber has changed it meanwhile: as it is now.
            Err(StoreError::LedgerMismatch { .. }) => Some(now.0.saturating_add(1_000_000)),
            Err(error) => {
                tracing::error!(service = self.config.id, subscription = %id, %error, "a subscription could not be looked after");
                Some(now.plus_seconds(LATER).0)
            }
        };
        self.subscriptions.looked_at(id, due, now);
    }

    /// Does what is to be done for one now; gives when to look again.
    async fn look_after(&self, id: LogicalId) -> Result<Option<i64>, StoreError> {
        let Some(held) = self.subscriptions.get(id) else {
            return Ok(None);
        };
        let now = (self.house.clock)();
        let right = match self.right(&held.kept).await {
            Ok(right) => right,
            // What waits is bounded all the same.
            Err(error) => {
                tracing::error!(service = self.config.id, subscription = %id, %error, "what may be told to a subscriber cannot be known");
                Right::Unknown
            }
        };
        match (&right, held.kept.status) {
            (Right::Over(why), _) => self.over(held, why, now).await,
            (Right::Unknown, Status::Error) => {
                self.drops(held, now).await?;
                Ok(Some(now.plus_seconds(LATER).0))
            }
            (Right::Unknown | Right::Open { .. }, Status::Requested | Status::Active)
                if self.subscriptions.is_full(&held) =>
            {
                let held = self.counted_if_it_can(held, &right).await?;
                if self.subscriptions.is_full(&held) {
                    self.in_error(held, BEHIND.to_owned(), now).await?;
                }
                Ok(Some(now.0))
            }
            (Right::Unknown, _) => Ok(Some(now.plus_seconds(LATER).0)),
            (_, Status::Error | Status::Off) => {
                let until = held.kept.standing.until.0;
                if self.subscriptions.is_full(&held) {
                    let held = self.counted_if_it_can(held, &right).await?;
                    self.drops(held, now).await?;
                }
                Ok(Some(until))
            }
            (Right::Silent, Status::Requested) => {
                self.counted(held, &right).await?;
                Ok(Some(now.plus_seconds(LATER).0))
            }
            (_, Status::Requested) => self.shakes_hands(held, now).await,
            (_, Status::Active) => self.events(held, &right, now).await,
        }
    }

    /// Settles all that waits, as far as it may be; the rest of it waits no more where nothing may be told.
    async fn counted(&self, mut held: Held, right: &Right) -> Result<Held, StoreError> {
        loop {
            let settled = self.settle(&held, right, MOST_WAITING).await?;
            let (gone, left) = (settled.gone, settled.left);
            if gone > 0 {
                held = self
                    .commit(settled.kept, &held, settled.moves, None)
                    .await?;
                self.subscriptions.fewer(held.kept.id, gone, left);
            }
            if gone < MOST_WAITING {
                return Ok(held);
            }
        }
    }

    /// As [`State::counted`]; what cannot be counted now is left as it is, so that its bound is held to.
    async fn counted_if_it_can(&self, held: Held, right: &Right) -> Result<Held, StoreError> {
        match self.counted(held.clone(), right).await {
            Err(error @ StoreError::LedgerMismatch { .. }) => Err(error),
            Err(error) => {
                tracing::error!(service = self.config.id, subscription = %held.kept.id, %error, "what waits for a subscriber cannot be counted");
                Ok(self.subscriptions.get(held.kept.id).unwrap_or(held))
            }
            counted => counted,
        }
    }

    /// While it cannot be known what may be told, the oldest of too much waits no more; the status says so.
    async fn drops(&self, held: Held, now: Instant) -> Result<(), StoreError> {
        let id = held.kept.id;
        if self.subscriptions.waiting(id) < FAR_BEHIND {
            return Ok(());
        }
        let mut held = self.in_error(held, BEHIND.to_owned(), now).await?;
        while self.subscriptions.waiting(id) >= FAR_BEHIND {
            held = self.drop_oldest(held).await?;
        }
        Ok(())
    }

    /// The oldest of what waits gives its numbers back, [`MOST_WAITING`] at most.
    async fn drop_oldest(&self, held: Held) -> Result<Held, StoreError> {
        let id = held.kept.id;
        let waiting = (self.desk.store)
            .listed(id, held.kept.told, MOST_WAITING)
            .await?;
        let gone = waiting.len();
        let back = TakenBack {
            list: id,
            numbers: waiting.into_iter().map(|(number, _)| number).collect(),
        };
        let moves = Moves {
            back: Some(back),
            ..Moves::default()
        };
        let held = self
            .commit((*held.kept).clone(), &held, moves, None)
            .await?;
        self.subscriptions.fewer(id, gone, gone == MOST_WAITING);
        Ok(held)
    }

    async fn over(
        &self,
        mut held: Held,
        why: &str,
        now: Instant,
    ) -> Result<Option<i64>, StoreError> {
        let id = held.kept.id;
        if held.kept.status != Status::Off {
            let mut kept = (*held.kept).clone();
            kept.turn(Status::Off, Some(why.to_owned()), now);
            held = self.commit(kept, &held, Moves::default(), None).await?;
        }
        while self.subscriptions.is_full(&held) {
            held = self.drop_oldest(held).await?;
        }
        let end = held.kept.updated.plus_seconds(SHOWN);
        if now < end {
            return Ok(Some(end.0));
        }
        let change = Change {
            ledger: vec![State::ended_subscription(id, held.version)],
            ..Change::default()
        };
        self.desk.store.commit(change).await?;
        self.subscriptions.forget(id);
        self.clear_subscription(id).await?;
        Ok(None)
    }

    async fn shakes_hands(&self, held: Held, now: Instant) -> Result<Option<i64>, StoreError> {
        let sent = self
            .send(&held.kept, Kind::Handshake, &[], self.request_id())
            .await;
        if let Err(why) = sent {
            return self.failed(held, why, now).await;
        }
        let mut kept = (*held.kept).clone();
        kept.turn(Status::Active, None, now);
        self.commit(kept, &held, Moves::default(), None).await?;
        self.subscriptions.spoke(held.kept.id, now);
        Ok(Some(now.0))
    }

    async fn events(
        &self,
        held: Held,
        right: &Right,
        now: Instant,
    ) -> Result<Option<i64>, StoreError> {
        let id = held.kept.id;
        let most = held.kept.wanted.most as usize;
        let Right::Open { permit, person } = right else {
            let held = self.counted(held, right).await?;
            // What was tried before it was closed is tried again when it is open, though nothing else happens then.
            let (until, untaken) = (held.kept.standing.until, held.kept.told > held.kept.taken);
            let later = now.plus_seconds(LATER).min(until);
            let due = match right {
                Right::Closed => self.silence(held, now).await?,
                // Nobody says when it is over: its heartbeats come back with it.
                _ => Some(later.0),
            };
            return Ok(due.map(|due| if untaken { due.min(later.0) } else { due }));
        };
        let mut list = self.settled(&held, right, held.kept.taken, most).await?;
        let mut settled = self
            .settle(&held, right, most.saturating_sub(list.len()))
            .await?;
        list.append(&mut settled.events);
        let (gone, left) = (settled.gone, settled.left);
        // What has been closed, withdrawn or erased since it got its number is not told: `$events` gives the number alone.
        let passed = list.last().map(|(_, shown)| shown.number);
        list.retain(|(_, shown)| shown.focus.is_some());
        // A record is about one patient, so that she sees it in her trail.
        let patient = list.first().map(|(event, _)| event.patient);
        let others = |(event, _): &(Listed, Shown)| Some(event.patient) != patient;
        let end = list.iter().position(others);
        list.truncate(end.unwrap_or(list.len()));
        let (Some(first), Some(last)) = (list.first(), list.last()) else {
            if gone > 0 || passed.is_some() {
                let mut kept = settled.kept;
                kept.taken = passed.unwrap_or(kept.taken);
                self.commit(kept, &held, settled.moves, None).await?;
                self.subscriptions.fewer(id, gone, left);
                if passed.is_some() {
                    // What was not taken is not tried any more: what comes next need not wait for that.
                    self.subscriptions.anew(id);
                }
                return Ok(Some(now.0));
            }
            return self.silence(held, now).await;
        };
        if let Some(patient) = patient {
            match self.subscriptions.pace.turn(id, patient, now) {
                Turn::Now => {}
                Turn::At(next) => return Ok(Some(next)),
                Turn::Loops => {
                    let until = held.kept.standing.until.0;
                    self.subscriptions.pace.anew(id);
                    self.in_error(held, LOOPS.to_owned(), now).await?;
                    return Ok(Some(until));
                }
            }
        }
        let taken = passed.filter(|_| end.is_none()).unwrap_or(last.1.number);
        let (from, to) = (first.1.number, last.1.number);
        let about = match (person, patient) {
            (Some(person), _) => Some(person.clone()),
            (None, Some(patient)) => self.desk.store.patient_of(patient).await?,
            (None, None) => None,
        };
        let request = self.request_id();
        let shown: Vec<Shown> = list.into_iter().map(|(_, shown)| shown).collect();
        let asked = format!("Subscription/{id} {} {from}-{to}", Kind::Event.code());
        let record = self.record(&held.kept, permit, about, (request, now), &asked);
        let record = record.disclosing(
            shown
                .iter()
                .filter_map(|one| one.focus.as_ref())
                .filter(|_| held.kept.wanted.content == Content::IdOnly)
                .map(disclosed)
                .collect(),
        );
        let held = self
            .commit(settled.kept, &held, settled.moves, Some(record))
            .await?;
        self.subscriptions.fewer(id, gone, left);
        if let Err(why) = self.send(&held.kept, Kind::Event, &shown, request).await {
            return self.failed(held, why, now).await;
        }
        let mut kept = (*held.kept).clone();
        kept.taken = taken;
        self.commit(kept, &held, Moves::default(), None).await?;
        self.subscriptions.spoke(id, now);
        // There may be more; if not, the next look says so.
        Ok(Some(now.0))
    }

    /// Nothing is to be told but, after so long, that all is well.
    async fn silence(&self, held: Held, now: Instant) -> Result<Option<i64>, StoreError> {
        let (id, until) = (held.kept.id, held.kept.standing.until.0);
        let Some(period) = held.kept.wanted.heartbeat else {
            return Ok(Some(until));
        };
        let spoke = self.subscriptions.last_spoke(id).unwrap_or(now);
        let due = spoke.plus_seconds(i64::from(period));
        if now < due {
            return Ok(Some(due.0.min(until)));
        }
        let sent = self
            .send(&held.kept, Kind::Heartbeat, &[], self.request_id())
            .await;
        if let Err(why) = sent {
            return self.failed(held, why, now).await;
        }
        self.subscriptions.spoke(id, now);
        Ok(Some(now.plus_seconds(i64::from(period)).0.min(until)))
    }

    /// One more try failed.
    async fn failed(
        &self,
        held: Held,
        why: String,
        now: Instant,
    ) -> Result<Option<i64>, StoreError> {
        let id = held.kept.id;
        let failures = self.subscriptions.failed(id);
        tracing::warn!(service = self.config.id, subscription = %id, failures, why, "a subscriber was not told");
        if failures < TRIES {
            let wait = backoff(failures.saturating_sub(1));
            let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
            return Ok(Some(now.plus_micros(micros).0));
        }
        let until = held.kept.standing.until.0;
        self.in_error(held, why, now).await?;
        Ok(Some(until))
    }

    async fn in_error(&self, held: Held, why: String, now: Instant) -> Result<Held, StoreError> {
        tracing::error!(service = self.config.id, subscription = %held.kept.id, "a subscription is in error: nothing is sent until its subscriber asks for it again");
        let mut kept = (*held.kept).clone();
        kept.turn(Status::Error, Some(why), now);
        self.commit(kept, &held, Moves::default(), None).await
    }

    /// Commits what a subscription has become, and keeps it in the book.
    pub(super) async fn commit(
        &self,
        kept: Kept,
        before: &Held,
        moves: Moves,
        audit: Option<Record>,
    ) -> Result<Held, StoreError> {
        let mut ledger = moves.ledger;
        ledger.push(kept.write(Some(before.version))?);
        let change = Change {
            ledger,
            taken_back: moves.back.into_iter().collect(),
            audit,
            ..Change::default()
        };
        self.desk.store.commit(change).await?;
        let held = Held {
            kept: Arc::new(kept),
            version: before.version + 1,
        };
        self.subscriptions.keep(held.clone(), None);
        Ok(held)
    }

    fn request_id(&self) -> Uuid {
        (self.house.ids)()
    }

    fn record(
        &self,
        kept: &Kept,
        permit: &Permit,
        about: Option<PersonIdentifier>,
        (request, now): (Uuid, Instant),
        asked: &str,
    ) -> Record {
        let standing = &kept.standing;
        let mut record = Record::new(now, request, Interaction::Notify, asked)
            .permitted(permit)
            .about(about);
        record.client = Some(standing.client.clone());
        record.client_use = Some(standing.client_use);
        record.organisation = Some(standing.organisation);
        record.agreement = standing
            .agreement
            .as_ref()
            .map(|one| (one.id.clone(), one.version));
        record.person = standing.follower.as_ref().map(|one| Asker {
            practitioner: true,
            identifier: one.identifier.clone(),
            name: one.name.clone(),
            hpr: one.hpr.clone(),
            authorization: None,
            pseudonym: one.pseudonym.clone(),
            represents: false,
        });
        record
    }

    /// Sends one notification, signed by the organisation's service. Why it was not taken, in words that hold neither address nor
    /// secret.
    async fn send(
        &self,
        kept: &Kept,
        kind: Kind,
        events: &[Shown],
        request: Uuid,
    ) -> Result<(), String> {
        let now = (self.house.clock)();
        let told = bundle(
            &self.base,
            kept,
            kind,
            kept.wanted.content,
            events,
            (request, now),
        );
        let body = told.to_string().into_bytes();
        let party = self.party.as_ref().ok_or("no client to sign with")?;
        let signature = party
            .sign_detached(NOTIFICATION_TYP, &body)
            .map_err(|_| "it cannot be signed")?;
        let mut outgoing = Request::post_fhir(kept.wanted.endpoint.clone(), body)
            .deadline(Duration::from_secs(u64::from(kept.wanted.timeout)))
            .answer_bytes(ANSWER_BYTES)
            .request_id(request);
        for (name, value) in self.headers(kept)? {
            outgoing = outgoing.header(name, value);
        }
        let signature = HeaderValue::try_from(signature).map_err(|_| "it cannot be signed")?;
        let name = HeaderName::from_static(NOTIFICATION_SIGNATURE_HEADER);
        let outgoing = outgoing.header(name, signature);
        let answer = self.house.http.send(&outgoing).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(format!("the endpoint answered {}", answer.status.as_u16())),
        }
    }

    fn headers(&self, kept: &Kept) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let Some(sealed) = &kept.sealed else {
            return Ok(Vec::new());
        };
        let opened = self.desk.store.unseal(sealed);
        let lines: Option<Vec<(String, String)>> =
            opened.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let header = |(name, value): (String, String)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        };
        let headers = lines.and_then(|all| all.into_iter().map(header).collect());
        headers.ok_or_else(|| "its headers cannot be opened".to_owned())
    }
}

/// What is given out of an event, as the trail lists it.
pub fn disclosed(focus: &Focus) -> Disclosed {
    Disclosed {
        resource: focus.resource_type.clone(),
        id: focus.id.to_string(),
        version: focus.version,
    }
}
