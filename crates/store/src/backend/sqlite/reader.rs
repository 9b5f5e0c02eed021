//! A few reading threads, each with its own connection and its own statements kept prepared.
//!
//! Questions wait in one bounded queue; a full queue is [`StoreError::Busy`]. Each question sees one snapshot.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use fhir::ids::PersonIdentifier;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use crate::Clock;
use crate::body::Unpacker;
use crate::errors::StoreError;
use crate::keys::Keys;
use crate::prepare::person_mac;
use crate::publish::Publishing;

/// Questions that may wait.
const WAITING: usize = 1024;

/// What a question works with.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    pub(crate) unpacker: Unpacker,
    pub(crate) keys: Arc<Keys>,
    pub(crate) owner: Arc<str>,
    pub(crate) publishing: Arc<Publishing>,
    pub(crate) clock: Clock,
    /// Resources that one page of a search may look at.
    pub(crate) candidates: usize,
}

impl Reader {
    /// The number that a person's rows go by here; `None` for whom the store does not know.
    pub(crate) fn number_of(&self, person: &PersonIdentifier) -> Result<Option<i64>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT n FROM patient WHERE mac = ?")?
            .query_row([person_mac(&self.keys, person)], |row| row.get(0))
            .optional()?)
    }

    /// Unpacks a stored body with the dictionaries of this store.
    pub(crate) fn unpack(&mut self, packed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let Self {
            connection,
            unpacker,
            ..
        } = self;
        unpacker.unpack(packed, |number| {
            crate::dictionary::bytes(connection, number)
        })
    }
}

type Question = Box<dyn FnOnce(&mut Reader) + Send>;

#[derive(Default)]
struct Queue {
    waiting: Mutex<(VecDeque<Question>, bool)>,
    bell: Condvar,
}

/// The reading threads.
pub(crate) struct Readers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<Reader>>,
}

impl Readers {
    /// Starts `count` threads on the store at `path`, whose searches may look at so many `candidates`.
    pub(crate) fn start(
        path: &Path,
        keys: &Arc<Keys>,
        owner: &Arc<str>,
        (publishing, clock): (&Arc<Publishing>, &Clock),
        (count, candidates): (usize, usize),
    ) -> Result<Readers, StoreError> {
        let mut readers = Readers {
            queue: Arc::default(),
            threads: Vec::new(),
        };
        for _ in 0..count.max(1) {
            let mut reader = Reader {
                connection: super::open::reader(path)?,
                unpacker: Unpacker::default(),
                keys: keys.clone(),
                owner: owner.clone(),
                publishing: publishing.clone(),
                clock: clock.clone(),
                candidates,
            };
            let queue = readers.queue.clone();
            let thread = std::thread::Builder::new()
                .name("store-read".to_owned())
                .spawn(move || {
                    while let Some(question) = queue.next() {
                        // A bug in one question ends that question: its asker sees the answer channel close.
                        let _ = catch_unwind(AssertUnwindSafe(|| question(&mut reader)));
                        if !reader.connection.is_autocommit() {
                            let _ = reader.connection.execute_batch("ROLLBACK");
                        }
                    }
                    reader
                })
                .map_err(|_| StoreError::Busy)?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Asks a question of one snapshot and waits for the answer.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Box::new(move |reader| {
            if answer.is_closed() {
                return;
            }
            let result = snapshot(reader, question);
            let _ = answer.send(result);
        }))?;
        answered.await.unwrap_or(Err(StoreError::Bug))
    }
}

fn snapshot<T>(
    reader: &mut Reader,
    question: impl FnOnce(&mut Reader) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    reader.connection.prepare_cached("BEGIN")?.execute([])?;
    let result = question(reader);
    reader.connection.prepare_cached("COMMIT")?.execute([])?;
    result
}

impl Queue {
    fn push(&self, question: Question) -> Result<(), StoreError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.0.len() >= WAITING {
            return Err(StoreError::Busy);
        }
        waiting.0.push_back(question);
        drop(waiting);
        self.bell.notify_one();
        Ok(())
    }

    /// The next question; `None` once the store closes and nothing waits.
    fn next(&self) -> Option<Question> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(question) = waiting.0.pop_front() {
                return Some(question);
            }
            if waiting.1 {
                return None;
            }
            waiting = self
                .bell
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1 = true;
        self.queue.bell.notify_all();
        // Closed one after another: two that close at the same moment each see the other, and neither empties the write-ahead
        // log, which then keeps what was erased until the next opening.
        let ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        drop(ended);
    }
}
