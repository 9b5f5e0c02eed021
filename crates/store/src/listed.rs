//! Lists of what was written: each version that belongs in a list is put there by its own commit, under the next number. 1, 2, …
//! without a gap: nothing stands in a list that was not written, and nothing that was written is missing, whoever is killed when.
//!
//! Which lists there are and what belongs in them is a role's word ([`Lists`]); up to which number somebody has heard of a list is
//! the role's to keep. A number that nobody has heard of yet can be taken back ([`TakenBack`]), and what comes after it moves up.
//!
//! An entry names resources, never what they say; the patient by the logical id, never by number.

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::time::Instant;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

use crate::backend::sqlite::writer::Writer;
use crate::body;
use crate::commit::{Committed, Expect, LedgerWrite};
use crate::dictionary;
use crate::errors::StoreError;
use crate::follow::{WrittenFate, WrittenOne};
use crate::ledger::LedgerEntry;
use crate::record::{Known, NOBODY};
use crate::store::Store;

/// The ledger in which all lists rest: the list's id, then the number, big-endian.
const LISTED: &str = "listed";
/// Entries that are read at once.
const PAGE: usize = 1_000;

/// Says what belongs in which list. Asked by the thread that writes, in the middle of a commit: from memory alone, and at once.
pub trait Lists: Send + Sync + std::fmt::Debug {
    /// Whether anything of this type about this patient may belong in a list: else its body is not looked for.
    fn wants(&self, patient: LogicalId, resource: ResourceType) -> bool;

    /// The lists in which a version belongs, each with the highest number that somebody may have heard of: whatever has become of what
    /// it names, no such number is given again. The version's JSON is without what the server owns; for a withdrawal it is what was
    /// withdrawn, `None` where that cannot be read any more.
    fn of(
        &self,
        patient: LogicalId,
        resource: ResourceType,
        body: Option<&[u8]>,
    ) -> Vec<(LogicalId, u64)>;

    /// These have grown, each by so much as it stands here; what they hold is durable now.
    fn grown(&self, lists: &[LogicalId], now: Instant);
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The logical id of the Patient.
    pub patient: LogicalId,
    /// What was written.
    pub written: WrittenOne,
    /// When it was committed.
    pub at: Instant,
}

/// Numbers of a list that are taken back: what they name is listed no more, and what comes after moves up, so that there is no gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBack {
    /// The list.
    pub list: LogicalId,
    /// The numbers. Nobody may have heard of them or of a later one.
    pub numbers: BTreeSet<u64>,
}

/// The write that forgets an entry and leaves all other numbers as they are: of an old one, or of a list that is not kept any more.
pub fn forgotten(list: LogicalId, number: u64) -> LedgerWrite {
    LedgerWrite {
        ledger: LISTED,
        key: key(list, number),
        value: None,
        expect: Expect::Any,
    }
}

fn key(list: LogicalId, number: u64) -> Vec<u8> {
    let mut key = list.uuid().as_bytes().to_vec();
    key.extend(number.to_be_bytes());
    key
}

fn place(key: &[u8]) -> Result<(LogicalId, u64), StoreError> {
    let wrong = StoreError::Damaged("an entry of a list has no place");
    let (list, number) = key.split_first_chunk::<16>().ok_or(wrong.clone())?;
    let number = number.try_into().map_err(|_| wrong)?;
    Ok((
        LogicalId(Uuid::from_bytes(*list)),
        u64::from_be_bytes(number),
    ))
}

fn entry(held: &LedgerEntry) -> Result<(u64, Listed), StoreError> {
    let listed = serde_json::from_slice(&held.value)
        .map_err(|_| StoreError::Damaged("an entry of a list does not read again"))?;
    Ok((place(&held.key)?.1, listed))
}

impl Store {
    /// At most `most` entries of a list after a number, with theirs, in order.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn listed(
        &self,
        list: LogicalId,
        after: u64,
        most: usize,
    ) -> Result<Vec<(u64, Listed)>, StoreError> {
        let after = key(list, after);
        let prefix = list.uuid();
        let held = self.ledger_scan(LISTED, prefix.as_bytes(), Some(&after), most);
        held.await?.iter().map(entry).collect()
    }

    /// Each list that holds something, with its numbers as `each` is told them: list, number.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn each_listed(
        &self,
        mut each: impl FnMut(LogicalId, u64),
    ) -> Result<(), StoreError> {
        let mut pages = self.ledger_pages(LISTED, b"", PAGE);
        while let Some(page) = pages.next().await? {
            for held in page {
                let (list, number) = place(&held.key)?;
                each(list, number);
            }
        }
        Ok(())
    }
}

impl Writer {
    /// Puts what a change wrote in the lists where it belongs.
    pub(crate) fn list(&mut self, committed: &Committed, now: i64) -> Result<(), StoreError> {
        let Some(lists) = self.set.lists.clone() else {
            return Ok(());
        };
        for put in &committed.puts {
            let Some(fate) = WrittenFate::of(put.fate) else {
                continue;
            };
            if put.resource_type == ResourceType::PATIENT {
                continue;
            }
            let known = self.known(put.id)?.filter(|one| one.patient != NOBODY);
            let Some(known) = known else { continue };
            let patient: [u8; 16] = self
                .connection
                .prepare_cached("SELECT id FROM patient WHERE n = ?")?
                .query_row([known.patient], |row| row.get(0))?;
            let patient = LogicalId(Uuid::from_bytes(patient));
            if !lists.wants(patient, put.resource_type) {
                continue;
            }
            let version = match fate {
                WrittenFate::Withdrawn => put.version.saturating_sub(1),
                WrittenFate::Created | WrittenFate::Updated => put.version,
            };
            let cut = match self.cut(&known, version) {
                // What is damaged can be withdrawn all the same.
                Err(StoreError::Damaged(_)) if fate == WrittenFate::Withdrawn => None,
                cut => Some(cut?),
            };
            let body = cut.as_deref().and_then(body::text);
            let listed = Listed {
                patient,
                written: WrittenOne {
                    resource_type: put.resource_type.to_string(),
                    id: put.id,
                    version: put.version,
                    fate,
                },
                at: Instant(now),
            };
            for (list, heard_of) in lists.of(patient, put.resource_type, body) {
                append(&self.connection, (list, heard_of), &listed, now)?;
                self.grown.push(list);
            }
        }
        Ok(())
    }

    /// A version's body as it rests cut.
    fn cut(&mut self, known: &Known, version: u64) -> Result<Vec<u8>, StoreError> {
        let id = known.id.uuid();
        let packed: Option<Vec<u8>> = if version == known.version && !known.gone {
            self.connection
                .prepare_cached(
                    "SELECT body FROM record WHERE patient = ? AND kind = ? AND t = ? AND id = ?",
                )?
                .query_row(
                    params![known.patient, known.kind, known.t, id.as_bytes()],
                    |row| row.get(0),
                )
                .optional()?
        } else {
            self.connection
                .prepare_cached(
                    "SELECT body FROM history WHERE id = ? AND version = ? AND gone = 0",
                )?
                .query_row(params![id.as_bytes(), version], |row| row.get(0))
                .optional()?
        };
        let packed = packed.ok_or(StoreError::Damaged("a version is not where it was put"))?;
        let connection = &self.connection;
        self.unpacker
            .unpack(&packed, |number| dictionary::bytes(connection, number))
    }
}

fn append(
    connection: &Connection,
    (list, heard_of): (LogicalId, u64),
    listed: &Listed,
    now: i64,
) -> Result<(), StoreError> {
    let newest: Option<Vec<u8>> = connection
        .prepare_cached(
            "SELECT key FROM ledger WHERE ledger = ? AND key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1",
        )?
        .query_row(params![LISTED, key(list, 0), key(list, u64::MAX)], |row| row.get(0))
        .optional()?;
    let newest = match newest {
        Some(newest) => place(&newest)?.1,
        None => 0,
    };
    let number = newest.max(heard_of) + 1;
    let value = serde_json::to_vec(listed).map_err(|_| StoreError::Bug)?;
    connection
        .prepare_cached(
            "INSERT INTO ledger(ledger, key, version, updated, value) VALUES (?, ?, 1, ?, ?)",
        )?
        .execute(params![LISTED, key(list, number), now, value])?;
    Ok(())
}

/// Takes numbers back; what was listed after this change was thought of moves up too.
pub(crate) fn take_back(connection: &Connection, back: &TakenBack) -> Result<(), StoreError> {
    let Some(first) = back.numbers.first() else {
        return Ok(());
    };
    let (low, high) = (key(back.list, *first), key(back.list, u64::MAX));
    let held: Vec<Vec<u8>> = connection
        .prepare_cached(
            "SELECT key FROM ledger WHERE ledger = ? AND key BETWEEN ? AND ? ORDER BY key",
        )?
        .query_map(params![LISTED, low, high], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut next = *first;
    for old in held {
        if back.numbers.contains(&place(&old)?.1) {
            connection
                .prepare_cached("DELETE FROM ledger WHERE ledger = ? AND key = ?")?
                .execute(params![LISTED, old])?;
            continue;
        }
        connection
            .prepare_cached("UPDATE ledger SET key = ?3 WHERE ledger = ?1 AND key = ?2")?
            .execute(params![LISTED, old, key(back.list, next)])?;
        next += 1;
    }
    Ok(())
}
