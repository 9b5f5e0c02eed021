//! Ledgers: typed, keyed, versioned state of a role, in the same file and the same commit as everything else.

use fhir::time::Instant;
use rusqlite::{Connection, OptionalExtension, params};

use crate::commit::{Expect, LedgerWrite};
use crate::errors::StoreError;
use crate::store::Store;

/// One entry as it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value, as the role wrote it.
    pub value: Vec<u8>,
    /// 1, 2, … since the entry was made.
    pub version: u64,
    /// When this version was committed.
    pub updated: Instant,
}

impl std::fmt::Debug for LedgerEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "LedgerEntry(version {}, {} bytes)",
            self.version,
            self.value.len()
        )
    }
}

/// A ledger page by page: [`Store::ledger_pages`].
pub struct LedgerPages<'a> {
    pub(crate) store: &'a Store,
    pub(crate) ledger: &'static str,
    pub(crate) prefix: Vec<u8>,
    pub(crate) limit: usize,
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) over: bool,
}

impl LedgerPages<'_> {
    /// The next page, never an empty one; `None` after the last.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn next(&mut self) -> Result<Option<Vec<LedgerEntry>>, StoreError> {
        if self.over {
            return Ok(None);
        }
        let after = self.after.as_deref();
        let scan = self
            .store
            .ledger_scan(self.ledger, &self.prefix, after, self.limit);
        let page = scan.await?;
        self.over = page.len() < self.limit;
        self.after = page.last().map(|last| last.key.clone());
        Ok((!page.is_empty()).then_some(page))
    }
}

pub(crate) fn write(
    connection: &Connection,
    write: &LedgerWrite,
    now: i64,
) -> Result<(), StoreError> {
    let held: Option<u64> = connection
        .prepare_cached("SELECT version FROM ledger WHERE ledger = ? AND key = ?")?
        .query_row(params![write.ledger, write.key], |row| row.get(0))
        .optional()?;
    let fits = match write.expect {
        Expect::Any => true,
        Expect::Absent => held.is_none(),
        Expect::Version(version) => held == Some(version),
    };
    if !fits {
        return Err(StoreError::LedgerMismatch {
            ledger: write.ledger,
            current: held,
        });
    }
    match &write.value {
        Some(value) => connection
            .prepare_cached("INSERT OR REPLACE INTO ledger(ledger, key, version, updated, value) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![write.ledger, write.key, held.unwrap_or(0) + 1, now, value])?,
        None => connection
            .prepare_cached("DELETE FROM ledger WHERE ledger = ? AND key = ?")?
            .execute(params![write.ledger, write.key])?,
    };
    Ok(())
}

pub(crate) fn get(
    connection: &Connection,
    ledger: &str,
    key: &[u8],
) -> Result<Option<LedgerEntry>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT key, value, version, updated FROM ledger WHERE ledger = ? AND key = ?",
        )?
        .query_row(params![ledger, key], entry)
        .optional()?)
}

/// Entries whose keys start with `prefix` and come after `after`, in order of key.
pub(crate) fn scan(
    connection: &Connection,
    ledger: &str,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<LedgerEntry>, StoreError> {
    let end = past(prefix);
    let mut statement = connection.prepare_cached(
        "SELECT key, value, version, updated FROM ledger
         WHERE ledger = ?1 AND key >= ?2 AND (?3 IS NULL OR key > ?3) AND (?4 IS NULL OR key < ?4) ORDER BY key LIMIT ?5",
    )?;
    let start = after.map_or(prefix, |after| after.max(prefix));
    let rows = statement.query_map(params![ledger, start, after, end, limit as i64], entry)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The first key after all that start with `prefix`; `None` if there is no end.
fn past(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<LedgerEntry> {
    Ok(LedgerEntry {
        key: row.get(0)?,
        value: row.get(1)?,
        version: row.get(2)?,
        updated: Instant(row.get(3)?),
    })
}
