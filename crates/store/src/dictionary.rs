//! Dictionaries: trained per kind beside the writer once enough bodies exist, kept and versioned in the store.
//!
//! The writer says "look at this kind"; this thread samples stored bodies, trains, and hands the result back to be
//! stored with the next group. Kind 0 is the audit trail.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension, params};

use crate::body::{self, Unpacker};
use crate::errors::StoreError;

/// Bodies of a kind that must exist before a dictionary is trained.
pub(crate) const ENOUGH: usize = 500;
/// Bodies since opening before the first look.
const EARLY: usize = 50;
/// Bodies that are sampled at most, and their bytes in all.
const SAMPLES: usize = 1_000;
const SAMPLED_BYTES: usize = 4 * 1024 * 1024;

/// Looks that may wait; each takes about a tenth of a second.
const WAITING: usize = 8;

/// The kind number under which the audit trail's dictionary is kept.
pub(crate) const AUDIT: i64 = 0;

/// Whether a kind is worth a look when so many of its bodies were packed without a dictionary since opening: once early
/// (bodies from before may suffice), then each time as many again have come. Not at the first: a look walks the series,
/// and whoever sends each reading with codings of its own would keep the thread busy for ever.
pub(crate) fn worth_a_look(count: usize) -> bool {
    count == EARLY || (count > 0 && count.is_multiple_of(ENOUGH + 50))
}

/// A dictionary ready to be stored.
pub(crate) struct Trained {
    /// Which purges the samples may have been taken before.
    epoch: u64,
    pub(crate) kind: i64,
    pub(crate) bytes: Vec<u8>,
}

/// The training thread.
pub(crate) struct Trainer {
    inbox: Option<mpsc::SyncSender<(u64, i64)>>,
    /// Purges so far: what was sampled before one is not kept.
    epoch: u64,
    results: mpsc::Receiver<Trained>,
    thread: Option<JoinHandle<()>>,
}

impl Trainer {
    /// Starts the thread on the store at `path`.
    pub(crate) fn start(path: PathBuf) -> Trainer {
        let (inbox, kinds) = mpsc::sync_channel::<(u64, i64)>(WAITING);
        let (deliver, results) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store-train".to_owned())
            .spawn(move || {
                while let Ok((epoch, kind)) = kinds.recv() {
                    let trained = std::panic::catch_unwind(|| consider(&path, kind));
                    if let Ok(Ok(Some(bytes))) = trained {
                        let _ = deliver.send(Trained { epoch, kind, bytes });
                    }
                }
            })
            .ok();
        Trainer {
            inbox: Some(inbox),
            epoch: 0,
            results,
            thread,
        }
    }

    /// Asks for a look at a kind. `false` when the queue is full; the next write may ask again.
    pub(crate) fn consider(&self, kind: i64) -> bool {
        self.inbox
            .as_ref()
            .is_some_and(|inbox| inbox.try_send((self.epoch, kind)).is_ok())
    }

    /// What has been trained since the last time.
    pub(crate) fn take(&self) -> Vec<Trained> {
        self.results
            .try_iter()
            .filter(|trained| trained.epoch == self.epoch)
            .collect()
    }

    /// Something was erased: what was or is being sampled before is not kept.
    pub(crate) fn forget(&mut self) {
        self.epoch += 1;
    }

    /// Lets the thread finish the few looks that wait.
    pub(crate) fn finish(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        self.finish();
    }
}

fn consider(path: &std::path::Path, kind: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let connection = crate::backend::sqlite::open::reader(path)?;
    if newest(&connection, kind)?.is_some() {
        return Ok(None);
    }
    let samples = sample(&connection, kind)?;
    Ok(if samples.len() < ENOUGH {
        None
    } else {
        body::train(&samples)
    })
}

pub(crate) fn sample(connection: &Connection, kind: i64) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut unpacker = Unpacker::default();
    let (mut samples, mut size) = (Vec::new(), 0);
    let mut statement = if kind == AUDIT {
        connection.prepare("SELECT body FROM audit WHERE ?1 = 0 ORDER BY seq DESC LIMIT ?2")?
    } else {
        connection.prepare(
            "SELECT r.body FROM series s JOIN record r ON r.patient = s.patient AND r.kind = s.kind
             WHERE s.kind = ?1 LIMIT ?2",
        )?
    };
    let mut rows = statement.query(params![kind, SAMPLES])?;
    while let Some(row) = rows.next()? {
        let plain = unpacker.unpack(
            row.get_ref(0)?.as_blob().map_err(|_| StoreError::Bug)?,
            |number| bytes(connection, number),
        )?;
        size += plain.len();
        if size > SAMPLED_BYTES {
            break;
        }
        samples.push(plain);
    }
    Ok(samples)
}

/// The dictionary that new bodies of a kind are packed with.
pub(crate) fn newest(
    connection: &Connection,
    kind: i64,
) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT n, bytes FROM dictionary WHERE kind = ? ORDER BY n DESC LIMIT 1")?
        .query_row([kind], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// A dictionary by its number.
pub(crate) fn bytes(connection: &Connection, number: i64) -> Result<Vec<u8>, StoreError> {
    connection
        .prepare_cached("SELECT bytes FROM dictionary WHERE n = ?")?
        .query_row([number], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::Damaged(
            "a body names a dictionary that is not there",
        ))
}

/// Keeps a dictionary, unless another look at the same kind was quicker.
pub(crate) fn keep(connection: &Connection, trained: &Trained, now: i64) -> Result<(), StoreError> {
    if newest(connection, trained.kind)?.is_none() {
        connection.execute(
            "INSERT INTO dictionary(kind, made, bytes) VALUES (?, ?, ?)",
            params![trained.kind, now, trained.bytes],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_seen_once_is_not_worth_a_look() {
        let looks: Vec<usize> = (0..2_000).filter(|count| worth_a_look(*count)).collect();
        assert_eq!(looks, [EARLY, 550, 1_100, 1_650]);
    }
}
