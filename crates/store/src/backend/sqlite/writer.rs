//! The one writing thread: takes all waiting changes, writes each under a savepoint, commits once, then answers.
//!
//! Nobody is answered before the flush has returned. A commit that fails is reported to all of its group; an
//! input/output error stops the store for good (until it is opened anew), since a later flush proves nothing about
//! an earlier one. A full disk only refuses.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fhir::ids::LogicalId;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, watch};

use super::message::{Done, Message};

use crate::body::{Packer, Unpacker};
use crate::commit::{Committed, OutboxEntry};
use crate::dictionary::{self, Trainer};
use crate::errors::StoreError;
use crate::follow::Following;
use crate::handle::Remembered;
use crate::joint::Joint;
use crate::keys::Keys;
use crate::listed::{self, Lists};
use crate::outbox::{self, Report};
use crate::prepare::Ready;
use crate::publish::Publishing;
use crate::{Clock, Ids, audit, ledger, together};

/// Changes in one group at most: bounds how long the first of them waits.
const GROUP: usize = 512;
/// Between two rounds of forgetting, in µs.
const FORGET_EVERY: i64 = 60_000_000;
/// The same while the last round did not come to the end.
const FORGET_AGAIN: i64 = 1_000_000;
/// Parcels looked at in one round.
const FORGET: i64 = 2_000;
/// Entries kept in each small cache.
const CACHED: usize = 4_096;

/// A dictionary's number and bytes.
type Dictionary = (i64, Arc<[u8]>);

/// What is counted across commits; goes back when a change or a group does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Newest lastUpdated, µs.
    pub(crate) updated: i64,
    /// Turns of presence.
    pub(crate) sequence: u64,
    /// Audit records.
    pub(crate) audited: u64,
    /// Hash of the last of them.
    pub(crate) head: [u8; 32],
}

/// What the writer is opened with.
pub(crate) struct Setting {
    pub(crate) keys: Arc<Keys>,
    pub(crate) owner: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) announce: Option<String>,
    pub(crate) follow: Vec<String>,
    pub(crate) lists: Option<Arc<dyn Lists>>,
    pub(crate) publishing: Arc<Publishing>,
    pub(crate) keep_delivered: i64,
    pub(crate) stopped: Arc<AtomicBool>,
    pub(crate) signal: watch::Sender<u64>,
    pub(crate) trainer: Trainer,
}

/// The writer's state. Record keeping itself is in `record.rs`.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) set: Setting,
    pub(crate) counters: Counters,
    /// What the group at hand has written.
    pub(crate) following: Following,
    /// Lists that the group at hand has put something in, once for each.
    pub(crate) grown: Vec<LogicalId>,
    pub(crate) packer: Packer,
    pub(crate) unpacker: Unpacker,
    /// Kind numbers by key, and word numbers; forgotten whenever something is rolled back.
    pub(crate) kinds: HashMap<[u8; 16], i64>,
    pub(crate) words: HashMap<String, i64>,
    pub(crate) remembered: Remembered,
    pub(crate) dictionaries: HashMap<i64, Option<Dictionary>>,
    /// Bodies per kind packed without a dictionary since opening.
    pub(crate) untrained: HashMap<i64, usize>,
    /// When the last round of forgetting was.
    forgot: i64,
    /// Something was erased, and the files may still hold it until they are rewritten.
    pub(crate) unscrubbed: bool,
    /// Where the next round of forgetting parcels begins.
    forget_from: i64,
    #[cfg(test)]
    pub(crate) fail_commit: bool,
}

impl Writer {
    pub(crate) fn new(connection: Connection, set: Setting) -> Result<Writer, StoreError> {
        let (updated, sequence, audited) = connection.query_row(
            "SELECT updated, sequence, audited FROM store WHERE one = 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, u64>(2)?)),
        )?;
        let last = connection
            .query_row(
                "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1",
                [],
                |row| Ok((row.get::<_, u64>(0)?, row.get::<_, [u8; 32]>(1)?)),
            )
            .optional()?;
        let (last, head) = last.unwrap_or((0, audit::GENESIS));
        if last != audited {
            // Not refused: the trail goes on, the gap stays for `verify_audit` to show.
            tracing::error!(
                "the audit trail has another length than the store counted: run the audit check"
            );
        }
        let unscrubbed = crate::purge::is_unscrubbed(&connection)?;
        Ok(Writer {
            unscrubbed,
            connection,
            set,
            counters: Counters {
                updated,
                sequence,
                audited: audited.max(last),
                head,
            },
            following: Following::default(),
            grown: Vec::new(),
            packer: Packer::default(),
            unpacker: Unpacker::default(),
            kinds: HashMap::new(),
            words: HashMap::new(),
            remembered: Remembered::default(),
            dictionaries: HashMap::new(),
            untrained: HashMap::new(),
            forgot: i64::MIN,
            forget_from: 0,
            #[cfg(test)]
            fail_commit: false,
        })
    }

    /// Serves until every sender is gone; what waits then is still written.
    pub(crate) fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        if self.unscrubbed {
            // The power went between an erasure and the rewriting of the files: that comes first.
            self.group(Vec::new());
        }
        while let Some(first) = inbox.blocking_recv() {
            let mut size = first.size();
            let mut group = vec![first];
            while size < GROUP {
                let Ok(next) = inbox.try_recv() else { break };
                size += next.size();
                group.push(next);
            }
            self.group(group);
        }
        self.set.trainer.finish();
        self.group(Vec::new());
    }

    /// Writes one group and answers it.
    pub(crate) fn group(&mut self, messages: Vec<Message>) {
        let before = self.counters;
        let mut done = Vec::with_capacity(messages.len());
        let mut posted = false;
        let written = if self.set.stopped.load(Ordering::Acquire) {
            done.extend(messages.into_iter().map(Done::nothing));
            Err(StoreError::Stopped)
        } else {
            self.write(messages, &mut done, &mut posted)
        };
        if let Err(error) = &written {
            self.roll_back(before);
            if matches!(error, StoreError::Io | StoreError::Damaged(_))
                && !self.set.stopped.swap(true, Ordering::AcqRel)
            {
                tracing::error!(%error, "the store has stopped writing");
            }
        } else {
            if posted {
                self.set
                    .signal
                    .send_modify(|count| *count = count.wrapping_add(1));
            }
            self.tell_lists();
        }
        // Whoever ordered an erasure hears of it when the bytes are gone, or that is tried again with the next change.
        if self.unscrubbed && !self.set.stopped.load(Ordering::Acquire) {
            self.scrub();
        }
        for one in done {
            one.answer(written.as_ref().err());
        }
    }

    fn write(
        &mut self,
        messages: Vec<Message>,
        done: &mut Vec<Done>,
        posted: &mut bool,
    ) -> Result<(), StoreError> {
        let before = self.counters;
        // Each group that changes records has a time of its own, so that a time names a state of the store.
        let now = (self.set.clock)()
            .0
            .max(self.counters.updated.saturating_add(1));
        let mut failed = self.execute("BEGIN IMMEDIATE").err();
        for message in messages {
            if failed.is_some() {
                done.push(Done::nothing(message));
                continue;
            }
            match message {
                Message::Commit {
                    changes,
                    answer,
                    room,
                } => {
                    let mut results = Vec::with_capacity(changes.len());
                    let mut joint = Joint::default();
                    for (n, change) in changes.into_iter().enumerate() {
                        let result = match failed {
                            Some(_) => Err(StoreError::Io),
                            None => self
                                .guarded(|writer| {
                                    writer.apply(change, now, posted, (&mut joint, n))
                                })
                                .unwrap_or_else(|fatal| {
                                    failed = Some(fatal.clone());
                                    Err(fatal)
                                }),
                        };
                        results.push(result);
                    }
                    if failed.is_none() {
                        failed = self.audit_joint(joint, now, &mut results).err();
                    }
                    done.push(Done::Commit(results, answer, room));
                }
                Message::Report {
                    report,
                    answer,
                    room,
                } => {
                    *posted |= matches!(report, Report::Revive(_));
                    let reported =
                        self.guarded(|writer| outbox::report(&writer.connection, &report, now));
                    done.push(Done::Report(
                        reported.unwrap_or_else(|fatal| {
                            failed = Some(fatal.clone());
                            Err(fatal)
                        }),
                        answer,
                        room,
                    ));
                }
                Message::Settle {
                    from,
                    limit,
                    answer,
                    room,
                } => {
                    let settled =
                        self.guarded(|writer| writer.settle_some(from, limit, now, posted));
                    done.push(Done::Settle(
                        settled.unwrap_or_else(|fatal| {
                            failed = Some(fatal.clone());
                            Err(fatal)
                        }),
                        answer,
                        room,
                    ));
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        *posted |= self.post_followed(now)?;
        self.keep_trained(now)?;
        self.forget()?;
        if self.counters != before {
            self.connection
                .prepare_cached(
                    "UPDATE store SET updated = ?, sequence = ?, audited = ? WHERE one = 1",
                )?
                .execute(params![
                    self.counters.updated,
                    self.counters.sequence,
                    self.counters.audited
                ])?;
        }
        #[cfg(test)]
        if self.fail_commit {
            return Err(StoreError::Io);
        }
        self.execute("COMMIT")
    }

    /// Runs one change under a savepoint. Outer error: the transaction itself is gone, and the group with it.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError>,
    ) -> Result<Result<T, StoreError>, StoreError> {
        let (before, mark) = (self.counters, self.following.mark());
        let grown = self.grown.len();
        self.execute("SAVEPOINT one")?;
        let result = catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or(Err(StoreError::Bug));
        if let Err(error) = &result {
            if self.connection.is_autocommit()
                || matches!(
                    error,
                    StoreError::Io | StoreError::Full | StoreError::Damaged(_)
                )
            {
                return Err(error.clone());
            }
            self.execute("ROLLBACK TO one")?;
            self.following.back_to(mark);
            self.grown.truncate(grown);
            self.undone(before);
        }
        self.execute("RELEASE one")?;
        Ok(result)
    }

    fn apply(
        &mut self,
        change: Ready,
        now: i64,
        posted: &mut bool,
        (joint, member): (&mut Joint, usize),
    ) -> Result<Committed, StoreError> {
        let Ready {
            puts,
            replace,
            mut rest,
        } = change;
        // By the clock itself, as the guards read it: `now` may run ahead of a clock that was set back.
        let clock = (self.set.clock)();
        for replay in &rest.replays {
            // What may have been forgotten is not taken: a request can be admitted in time and commit much later.
            if replay.expires < clock {
                return Err(StoreError::Replayed);
            }
            let new = self
                .connection
                .prepare_cached("INSERT OR IGNORE INTO replay(hash, expires) VALUES (?, ?)")?
                .execute(params![replay.hash, replay.expires.0])?;
            if new == 0 {
                return Err(StoreError::Replayed);
            }
        }
        let mut committed = Committed {
            puts: Vec::with_capacity(puts.len()),
            enrolled: Vec::new(),
            presence: Vec::new(),
            purged: None,
            receipt: None,
        };
        self.put_all(puts, rest.every_fault, now, &mut committed)?;
        together::versions(&rest.versions, &committed)?;
        if let Some(series) = &replace {
            self.replace(series, now, &mut committed)?;
        }
        self.follow(&committed)?;
        self.list(&committed, now)?;
        if let Some(purge) = &rest.purge {
            let purged = self.purge(purge, now, &mut committed)?;
            committed.purged = Some(purged);
            if let Some(erasure) = rest
                .audit
                .as_mut()
                .and_then(|record| record.erasure.as_mut())
            {
                erasure.resources = purged.resources;
                erasure.versions = purged.versions;
                erasure.patients = purged.patients;
                erasure.parcels = purged.parcels;
            }
        }
        for write in &rest.ledger {
            ledger::write(&self.connection, write, now)?;
        }
        for back in &rest.taken_back {
            listed::take_back(&self.connection, back)?;
        }
        for patient in &rest.retold {
            self.retell(patient, &mut committed)?;
        }
        for delivery in &rest.carried {
            outbox::carry(&self.connection, *delivery, now)?;
        }
        if let Some(receiver) = self.set.announce.clone() {
            rest.outbox.extend(
                committed
                    .presence
                    .iter()
                    .map(|turn| announcement(turn, &receiver)),
            );
        }
        for entry in &rest.outbox {
            *posted |= !entry.receivers.is_empty();
            outbox::post(
                &self.connection,
                &self.set.keys,
                &mut self.packer,
                entry,
                now,
            )?;
        }
        self.recorded(rest, now, &mut committed, (joint, member))?;
        Ok(committed)
    }

    /// Settles the presence of some patients and posts what turned.
    fn settle_some(
        &mut self,
        from: i64,
        limit: usize,
        now: i64,
        posted: &mut bool,
    ) -> Result<i64, StoreError> {
        let mut committed = Committed {
            puts: Vec::new(),
            enrolled: Vec::new(),
            presence: Vec::new(),
            purged: None,
            receipt: None,
        };
        let next = self.settle(from, limit, &mut committed)?;
        if let Some(receiver) = self.set.announce.clone() {
            for turn in &committed.presence {
                *posted = true;
                outbox::post(
                    &self.connection,
                    &self.set.keys,
                    &mut self.packer,
                    &announcement(turn, &receiver),
                    now,
                )?;
            }
        }
        Ok(next)
    }

    /// Packs a body of a kind with that kind's newest dictionary; asks for one to be trained when it is time.
    pub(crate) fn pack(&mut self, kind: i64, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        if !self.dictionaries.contains_key(&kind) {
            bounded(&mut self.dictionaries, 64);
            let newest = dictionary::newest(&self.connection, kind)?
                .map(|(number, bytes)| (number, bytes.into()));
            self.dictionaries.insert(kind, newest);
        }
        if let Some(Some((number, bytes))) = self.dictionaries.get(&kind) {
            return self.packer.pack(plain, Some((*number, bytes)));
        }
        bounded(&mut self.untrained, CACHED);
        let count = self.untrained.entry(kind).or_default();
        if dictionary::worth_a_look(*count) && !self.set.trainer.consider(kind) {
            return self.packer.pack(plain, None);
        }
        *count += 1;
        self.packer.pack(plain, None)
    }

    fn keep_trained(&mut self, now: i64) -> Result<(), StoreError> {
        for trained in self.set.trainer.take() {
            dictionary::keep(&self.connection, &trained, now)?;
            self.dictionaries.remove(&trained.kind);
        }
        Ok(())
    }

    /// Forgets used proofs and delivered parcels, once a minute by the clock itself; while there is more to look at than
    /// one round does, once a second, so that forgetting keeps up with what arrives.
    fn forget(&mut self) -> Result<(), StoreError> {
        let clock = (self.set.clock)().0;
        let since = clock.saturating_sub(self.forgot);
        let wait = if self.forget_from == 0 {
            FORGET_EVERY
        } else {
            FORGET_AGAIN
        };
        if (0..wait).contains(&since) {
            return Ok(());
        }
        self.forgot = clock;
        self.connection
            .prepare_cached("DELETE FROM replay WHERE expires < ?")?
            .execute([clock])?;
        let before = clock.saturating_sub(self.set.keep_delivered);
        self.forget_from = outbox::forget(&self.connection, before, self.forget_from, FORGET)?;
        Ok(())
    }

    pub(crate) fn execute(&self, sql: &'static str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Says which lists have grown, now that it is durable.
    fn tell_lists(&mut self) {
        let grown = std::mem::take(&mut self.grown);
        if let Some(lists) = self.set.lists.as_ref().filter(|_| !grown.is_empty()) {
            lists.grown(&grown, (self.set.clock)());
        }
    }

    fn roll_back(&mut self, before: Counters) {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.following = Following::default();
        self.grown.clear();
        self.undone(before);
    }

    /// What was remembered of rolled-back rows must go too.
    pub(crate) fn undone(&mut self, before: Counters) {
        self.counters = before;
        self.kinds.clear();
        self.words.clear();
        self.remembered.forget();
        self.dictionaries.clear();
        self.unpacker = Unpacker::default();
    }
}

/// Empties a cache that has grown to its limit.
pub(crate) fn bounded<K, V>(cache: &mut HashMap<K, V>, limit: usize) {
    if cache.len() >= limit {
        cache.clear();
    }
}

impl Writer {
    /// Keeps a small cache small.
    pub(crate) fn trim(&mut self) {
        bounded(&mut self.kinds, CACHED);
        bounded(&mut self.words, CACHED);
    }
}

/// The outbox entry by which a turn of presence is told (CONTRACT section 8).
fn announcement(turn: &crate::commit::Presence, receiver: &str) -> OutboxEntry {
    let body = serde_json::json!({
        "patient": turn.patient,
        "kind": turn.service,
        "state": if turn.present { "present" } else { "absent" },
        "sequence": turn.sequence,
    });
    OutboxEntry {
        topic: crate::ANNOUNCE,
        receivers: vec![receiver.to_owned()],
        // One line for all: whoever has heard of a turn has heard of every turn before it.
        partition: "presence".to_owned(),
        key: format!("presence/{}", turn.sequence),
        body: body.to_string().into_bytes().into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::commit::{Change, Expect, LedgerWrite};
    use tokio::sync::{Semaphore, oneshot};

    fn writer(folder: &std::path::Path) -> (Writer, std::fs::File) {
        let opened = super::super::open::open(folder, "310001007").unwrap();
        let set = Setting {
            keys: Arc::new(opened.keys),
            owner: "310001007".into(),
            clock: Arc::new(|| fhir::time::Instant(1)),
            ids: Arc::new(uuid::Uuid::new_v4),
            announce: None,
            follow: Vec::new(),
            lists: None,
            publishing: Arc::default(),
            keep_delivered: 0,
            stopped: Arc::default(),
            signal: watch::channel(0).0,
            trainer: Trainer::start(opened.path),
        };
        (Writer::new(opened.writer, set).unwrap(), opened.lock)
    }

    type Answers = oneshot::Receiver<Vec<Result<Committed, StoreError>>>;

    fn change(key: &str) -> (Message, Answers) {
        let write = LedgerWrite {
            ledger: "t",
            key: key.into(),
            value: Some(vec![]),
            expect: Expect::Absent,
        };
        let (answer, answered) = oneshot::channel();
        let change = Change {
            ledger: vec![write],
            ..Change::default()
        };
        let changes = vec![Ready {
            puts: vec![],
            replace: None,
            rest: change,
        }];
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        (
            Message::Commit {
                changes,
                answer,
                room,
            },
            answered,
        )
    }

    fn entries(writer: &Writer) -> i64 {
        writer
            .connection
            .query_row("SELECT count(*) FROM ledger", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn a_failed_flush_is_told_to_all_of_the_group_and_ends_writing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, _lock) = writer(folder.path());
        writer.fail_commit = true;
        let (first, mut one) = change("a");
        let (second, mut two) = change("b");
        writer.group(vec![first, second]);
        for answered in [&mut one, &mut two] {
            assert!(matches!(
                answered.try_recv().unwrap()[..],
                [Err(StoreError::Io)]
            ));
        }
        assert!(writer.set.stopped.load(Ordering::Acquire));
        // The disk says that all is well again: that proves nothing, and nothing is written.
        writer.fail_commit = false;
        let (third, mut three) = change("c");
        writer.group(vec![third]);
        assert!(matches!(
            three.try_recv().unwrap()[..],
            [Err(StoreError::Stopped)]
        ));
        assert_eq!(entries(&writer), 0);
    }

    #[test]
    fn one_refused_change_leaves_the_others_of_its_group_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, _lock) = writer(folder.path());
        let (messages, mut answers): (Vec<_>, Vec<_>) =
            ["a", "a", "b"].map(change).into_iter().unzip();
        writer.group(messages);
        let kept: Vec<_> = answers
            .iter_mut()
            .map(|answered| answered.try_recv().unwrap()[0].is_ok())
            .collect();
        assert_eq!(kept, [true, false, true]);
        assert_eq!(entries(&writer), 2);
    }
}
