//! The outbox: what is to be sent lies in the same commit as what caused it, and stays until its receivers have it.
//!
//! One parcel (the body, once) has one delivery per receiver. Per receiver and partition, deliveries go out in the
//! order in which they were committed: an entry is not due while an earlier one of the same partition waits for its
//! next try. A dead letter blocks nobody; it stays, with its reason, until it is revived. Delivered entries keep
//! their key and time (not the body) so that a sender can ask what became of them.

use bytes::Bytes;
use fhir::time::Instant;
use rusqlite::{Connection, OptionalExtension, params};

use crate::body::Packer;
use crate::commit::OutboxEntry;
use crate::errors::StoreError;
use crate::keys::Keys;

const PENDING: i64 = 0;
const DEAD: i64 = 1;
const DELIVERED: i64 = 2;

/// Longest reason that is kept, in bytes.
const REASON: usize = 500;

/// Bytes of bodies given out as due at once, but always one body: with what goes round them, a bundle of them is well
/// within what a receiver takes (10 MiB).
const DUE_BYTES: usize = 4 * 1024 * 1024;

/// One parcel on its way to one receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryId {
    receiver: i64,
    parcel: i64,
}

/// A delivery that may be tried now.
#[derive(Clone)]
pub struct Due {
    /// To report back with.
    pub id: DeliveryId,
    /// What it is.
    pub topic: String,
    /// The caller's key.
    pub key: String,
    /// Equal for entries of one partition, else different; says nothing more.
    pub partition: i64,
    /// Tries so far.
    pub attempts: u32,
    /// When it was committed.
    pub made: Instant,
    /// What is to be sent.
    pub body: Bytes,
}

impl std::fmt::Debug for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Due({:?}, {}, attempts {})",
            self.id, self.topic, self.attempts
        )
    }
}

/// How one receiver stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiverState {
    /// Deliveries not made yet (dead letters not counted).
    pub pending: u64,
    /// When the oldest of them was committed.
    pub oldest: Option<Instant>,
    /// When the next waiting one may be tried; `None` when nothing is pending. May be in the past.
    pub next: Option<Instant>,
    /// Deliveries given up.
    pub dead: u64,
}

/// What became of one parcel at one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To revive with.
    pub id: DeliveryId,
    /// The receiver.
    pub receiver: String,
    /// What it is.
    pub topic: String,
    /// The caller's key.
    pub key: String,
    /// How it stands.
    pub state: DeliveryState,
    /// Tries so far.
    pub attempts: u32,
    /// When it was committed.
    pub made: Instant,
    /// When it got this state (for pending: when it was committed or last tried).
    pub since: Instant,
    /// Why the last try failed, or why it was given up.
    pub reason: Option<String>,
}

/// States of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Not made yet.
    Pending,
    /// Given up; see the reason.
    Dead,
    /// The receiver has it.
    Delivered,
}

/// What a courier reports; goes through the writer like everything else.
pub(crate) enum Report {
    Done(Vec<DeliveryId>),
    Retry(DeliveryId, i64, String),
    Dead(DeliveryId, String),
    Revive(DeliveryId),
}

/// Writes an entry's parcel and its deliveries.
pub(crate) fn post(
    connection: &Connection,
    keys: &Keys,
    packer: &mut Packer,
    entry: &OutboxEntry,
    now: i64,
) -> Result<(), StoreError> {
    if entry.receivers.is_empty() {
        return Ok(());
    }
    connection
        .prepare_cached("INSERT INTO parcel(topic, key, made, body) VALUES (?, ?, ?, ?)")?
        .execute(params![
            entry.topic,
            entry.key,
            now,
            packer.pack(&entry.body, None)?
        ])?;
    let parcel = connection.last_insert_rowid();
    let mac = keys.mac("delt partition", &[entry.partition.as_bytes()]);
    let part = i64::from_be_bytes([
        mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], mac[6], mac[7],
    ]);
    for name in &entry.receivers {
        let receiver = receiver(connection, name)?;
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO delivery(receiver, state, parcel, part, attempts, next, at) VALUES (?, 0, ?, ?, 0, 0, ?)",
            )?
            .execute(params![receiver, parcel, part, now])?;
    }
    Ok(())
}

fn receiver(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    if let Some(number) = known(connection, name)? {
        return Ok(number);
    }
    connection
        .prepare_cached("INSERT INTO receiver(name) VALUES (?)")?
        .execute([name])?;
    Ok(connection.last_insert_rowid())
}

fn known(connection: &Connection, name: &str) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT n FROM receiver WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?)
}

/// Carries out a courier's report. A report about a delivery that is not pending any more changes nothing.
pub(crate) fn report(connection: &Connection, report: &Report, now: i64) -> Result<(), StoreError> {
    match report {
        Report::Done(ids) => ids
            .iter()
            .try_for_each(|id| done(connection, *id, now).map(|_| ())),
        Report::Retry(id, next, reason) => {
            connection
                .prepare_cached(
                    "UPDATE delivery SET attempts = attempts + 1, next = max(?3, 1), at = ?4, reason = ?5
                     WHERE receiver = ?1 AND state = 0 AND parcel = ?2",
                )?
                .execute(params![id.receiver, id.parcel, next, now, short(reason)])?;
            Ok(())
        }
        Report::Dead(id, reason) => {
            connection
                .prepare_cached(
                    "UPDATE delivery SET state = 1, attempts = attempts + 1, next = 0, at = ?3, reason = ?4
                     WHERE receiver = ?1 AND state = 0 AND parcel = ?2",
                )?
                .execute(params![id.receiver, id.parcel, now, short(reason)])?;
            Ok(())
        }
        Report::Revive(id) => {
            connection
                .prepare_cached(
                    "UPDATE delivery SET state = 0, next = 0, at = ?3 WHERE receiver = ?1 AND state = 1 AND parcel = ?2",
                )?
                .execute(params![id.receiver, id.parcel, now])?;
            Ok(())
        }
    }
}

/// Ends a delivery that must be waiting still.
pub(crate) fn carry(connection: &Connection, id: DeliveryId, now: i64) -> Result<(), StoreError> {
    match done(connection, id, now)? {
        true => Ok(()),
        false => Err(StoreError::NotPending),
    }
}

/// Ends a delivery; whether it was waiting.
fn done(connection: &Connection, id: DeliveryId, now: i64) -> Result<bool, StoreError> {
    let ended = connection
        .prepare_cached(
            "UPDATE delivery SET state = 2, attempts = attempts + 1, next = 0, at = ?3, reason = NULL
             WHERE receiver = ?1 AND state = 0 AND parcel = ?2",
        )?
        .execute(params![id.receiver, id.parcel, now])?;
    connection
        .prepare_cached(
            "UPDATE parcel SET body = NULL WHERE n = ?1 AND body IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM delivery WHERE parcel = ?1 AND state <> 2)",
        )?
        .execute([id.parcel])?;
    Ok(ended > 0)
}

/// Removes a parcel and its deliveries, sent or not.
pub(crate) fn erase(connection: &Connection, parcel: i64) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM delivery WHERE parcel = ?",
        "DELETE FROM parcel WHERE n = ?",
    ] {
        connection.prepare_cached(sql)?.execute([parcel])?;
    }
    Ok(())
}

/// Forgets parcels that everybody has had since before `before`. Looks at `limit` parcels after number `from`, and
/// gives the number to go on from next time: dead letters stay, and hold up nothing behind them.
pub(crate) fn forget(
    connection: &Connection,
    before: i64,
    from: i64,
    limit: i64,
) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT n, made, body IS NULL AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.parcel = parcel.n AND d.at >= ?1)
         FROM parcel WHERE n > ?2 ORDER BY n LIMIT ?3",
    )?;
    let seen = statement
        .query_map(params![before, from, limit], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, bool>(2)?,
            ))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut next = 0;
    for (parcel, made, over) in seen {
        if made >= before {
            // All later ones are younger still: begin anew.
            return Ok(0);
        }
        if over {
            connection
                .prepare_cached("DELETE FROM delivery WHERE parcel = ?")?
                .execute([parcel])?;
            connection
                .prepare_cached("DELETE FROM parcel WHERE n = ?")?
                .execute([parcel])?;
        }
        next = parcel;
    }
    Ok(next)
}

fn short(reason: &str) -> &str {
    let mut end = reason.len().min(REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

/// Longest wait that anybody asks for, and some more, in microseconds. A try that is put off further was put off by a clock that was
/// ahead and has been set back.
const LONGEST_WAIT: i64 = 20 * 60 * 1_000_000;

/// Due deliveries of a receiver, oldest first, as many as fit `limit` and [`DUE_BYTES`]. Entries of one partition stand in order; if one of them fails, the
/// courier leaves the later ones of that partition alone.
pub(crate) fn due(
    connection: &Connection,
    mut unpack: impl FnMut(&[u8]) -> Result<Vec<u8>, StoreError>,
    name: &str,
    now: i64,
    limit: usize,
) -> Result<Vec<Due>, StoreError> {
    let Some(receiver) = known(connection, name)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(
        "SELECT d.parcel, d.part, d.attempts, p.topic, p.key, p.made, p.body
         FROM delivery d JOIN parcel p ON p.n = d.parcel
         WHERE d.receiver = ?1 AND d.state = 0 AND (d.next <= ?2 OR d.next > ?4) AND NOT EXISTS (
           SELECT 1 FROM delivery e INDEXED BY delivery_wait
           WHERE e.receiver = ?1 AND e.part = d.part AND e.parcel < d.parcel AND e.state = 0 AND e.next > 0
             AND e.next > ?2 AND e.next <= ?4)
         ORDER BY d.parcel LIMIT ?3",
    )?;
    let beyond = now.saturating_add(LONGEST_WAIT);
    let mut rows = statement.query(params![receiver, now, limit as i64, beyond])?;
    let mut due: Vec<Due> = Vec::new();
    let mut size = 0;
    while let Some(row) = rows.next()? {
        let body: Option<Vec<u8>> = row.get(6)?;
        let body = unpack(&body.ok_or(StoreError::Damaged("a pending parcel has no body"))?)?;
        size += body.len();
        if size > DUE_BYTES && !due.is_empty() {
            break;
        }
        due.push(Due {
            id: DeliveryId {
                receiver,
                parcel: row.get(0)?,
            },
            partition: row.get(1)?,
            attempts: row.get(2)?,
            topic: row.get(3)?,
            key: row.get(4)?,
            made: Instant(row.get(5)?),
            body: body.into(),
        });
    }
    Ok(due)
}

/// How a receiver stands; all zero for one that was never sent to.
pub(crate) fn state(connection: &Connection, name: &str) -> Result<ReceiverState, StoreError> {
    let Some(receiver) = known(connection, name)? else {
        return Ok(ReceiverState::default());
    };
    let count = |state: i64| -> Result<u64, StoreError> {
        Ok(connection
            .prepare_cached("SELECT count(*) FROM delivery WHERE receiver = ? AND state = ?")?
            .query_row([receiver, state], |row| row.get(0))?)
    };
    let (oldest, next) = connection
        .prepare_cached(
            "SELECT (SELECT p.made FROM delivery d JOIN parcel p ON p.n = d.parcel
                     WHERE d.receiver = ?1 AND d.state = 0 ORDER BY d.parcel LIMIT 1),
                    (SELECT min(next) FROM delivery WHERE receiver = ?1 AND state = 0)",
        )?
        .query_row([receiver], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
        })?;
    Ok(ReceiverState {
        pending: count(PENDING)?,
        oldest: oldest.map(Instant),
        next: next.map(Instant),
        dead: count(DEAD)?,
    })
}

/// Every receiver that was ever sent to, in order of name.
pub(crate) fn receivers(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name FROM receiver ORDER BY name")?;
    Ok(statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}

const COLUMNS: &str = "SELECT d.receiver, d.parcel, r.name, p.topic, p.key, d.state, d.attempts, p.made, d.at, d.reason
    FROM parcel p JOIN delivery d ON d.parcel = p.n JOIN receiver r ON r.n = d.receiver";

/// What became of the parcels with this key, in order of commit and receiver.
pub(crate) fn by_key(connection: &Connection, key: &str) -> Result<Vec<Delivery>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "{COLUMNS} WHERE p.key = ? ORDER BY p.n, r.name LIMIT 1000"
    ))?;
    Ok(statement
        .query_map([key], delivery)?
        .collect::<Result<_, _>>()?)
}

/// The dead letters of a receiver, oldest first, after the parcel with this key.
pub(crate) fn dead_letters(
    connection: &Connection,
    name: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "{COLUMNS} WHERE r.name = ?1 AND d.state = 1 AND d.receiver = (SELECT n FROM receiver WHERE name = ?1)
         AND p.n > coalesce((SELECT max(n) FROM parcel WHERE key = ?3), 0) ORDER BY p.n LIMIT ?2"
    ))?;
    Ok(statement
        .query_map(params![name, limit as i64, after], delivery)?
        .collect::<Result<_, _>>()?)
}

fn delivery(row: &rusqlite::Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: DeliveryId {
            receiver: row.get(0)?,
            parcel: row.get(1)?,
        },
        receiver: row.get(2)?,
        topic: row.get(3)?,
        key: row.get(4)?,
        state: match row.get::<_, i64>(5)? {
            DEAD => DeliveryState::Dead,
            DELIVERED => DeliveryState::Delivered,
            _ => DeliveryState::Pending,
        },
        attempts: row.get(6)?,
        made: Instant(row.get(7)?),
        since: Instant(row.get(8)?),
        reason: row.get(9)?,
    })
}
