//! The audit trail: append-only, each record chained to the one before by SHA-256 (threats-and-faults section 11).
//!
//! `hash = SHA-256("delt audit 1\0" | owner | sequence | time | previous hash | body)`, variable parts length-prefixed.
//! A changed, removed, inserted or reordered record breaks the chain at a place that [`verify`] names. A cut at the end
//! leaves a sound shorter chain: the store's own count shows a plain cut, and a head kept elsewhere shows any.

use aws_lc_rs::digest::{Context, SHA256};
use fhir::ids::PersonIdentifier;
use fhir::time::Instant;
use rusqlite::{Connection, params};
use trust::audit::Record;

use crate::backend::sqlite::reader::Reader;
use crate::errors::StoreError;
use crate::keys::Keys;
use crate::prepare::person_mac;

/// What the first record's `prev` is.
pub(crate) const GENESIS: [u8; 32] = [0; 32];
/// Faults listed in one report; a broken trail does not need more to be looked at.
const FAULTS: usize = 100;
/// Records given in one answer at most.
const MOST: usize = 1_000;

/// The end of the trail at some moment. Kept elsewhere, it shows a later cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuditHead {
    /// Records so far; 0 for an empty trail.
    pub sequence: u64,
    /// Hash of the last of them.
    pub hash: [u8; 32],
}

/// What was found in the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// Records looked at.
    pub records: u64,
    /// The end of the trail as it is now.
    pub head: AuditHead,
    /// The last kept head that the trail still agrees with: up to there nothing can have been rewritten.
    pub agreed: Option<u64>,
    /// What is wrong, in order of place; empty for a sound trail. At most 100 are listed.
    pub faults: Vec<AuditFault>,
}

impl AuditReport {
    /// Is the trail whole?
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// One place where the trail is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditFault {
    /// The record (its sequence number) at or before which it happened.
    pub sequence: u64,
    /// What.
    pub what: AuditFaultKind,
}

/// Kinds of fault in the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditFaultKind {
    /// The record's content, time or hash was changed, or it was taken off the list of its patient or request.
    Changed,
    /// The record does not follow the one before it: something was changed, put in or moved.
    Unlinked,
    /// Records before this one are missing.
    Missing,
    /// Records after this one are missing.
    Cut,
    /// The trail is another than the one whose head was kept.
    OtherThanKept,
    /// The list of a patient or a request leads to a record that is not about it, or that is gone: somewhere up to this one.
    Misplaced,
}

/// Which records are wanted.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// About this patient.
    pub patient: Option<PersonIdentifier>,
    /// Of this request.
    pub request_id: Option<String>,
    /// Not before.
    pub from: Option<Instant>,
    /// Before.
    pub until: Option<Instant>,
    /// Only records before this sequence number: the next page.
    pub before: Option<u64>,
    /// At most so many; 1,000 is the most.
    pub limit: usize,
}

/// A record in its place.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Its place, from 1.
    pub sequence: u64,
    /// When it was committed.
    pub recorded: Instant,
    /// Its link.
    pub hash: [u8; 32],
    /// What was recorded.
    pub record: Record,
}

/// A record about to be appended.
pub(crate) struct Link {
    pub(crate) sequence: u64,
    pub(crate) made: i64,
    pub(crate) prev: [u8; 32],
    pub(crate) hash: [u8; 32],
    pub(crate) body: Vec<u8>,
}

pub(crate) fn link(
    owner: &str,
    sequence: u64,
    made: i64,
    prev: [u8; 32],
    record: &Record,
) -> Result<Link, StoreError> {
    let body = serde_json::to_vec(record).map_err(|_| StoreError::Bug)?;
    let hash = chained(owner, sequence, made, &prev, &body);
    Ok(Link {
        sequence,
        made,
        prev,
        hash,
        body,
    })
}

fn chained(owner: &str, sequence: u64, made: i64, prev: &[u8; 32], body: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(b"delt audit 1\0");
    context.update(&(owner.len() as u64).to_be_bytes());
    context.update(owner.as_bytes());
    context.update(&sequence.to_be_bytes());
    context.update(&made.to_be_bytes());
    context.update(prev);
    context.update(&(body.len() as u64).to_be_bytes());
    context.update(body);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn request_mac(keys: &Keys, request: &str) -> [u8; 16] {
    keys.mac("delt request", &[request.as_bytes()])
}

pub(crate) fn append(
    connection: &Connection,
    keys: &Keys,
    link: &Link,
    record: &Record,
    packed: &[u8],
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO audit(seq, made, prev, hash, body) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![
            link.sequence,
            link.made,
            link.prev,
            link.hash,
            packed
        ])?;
    connection
        .prepare_cached("INSERT INTO audit_request(request, seq) VALUES (?, ?)")?
        .execute(params![
            request_mac(keys, &record.request_id),
            link.sequence
        ])?;
    if let Some(patient) = &record.patient {
        connection
            .prepare_cached("INSERT INTO audit_patient(mac, seq) VALUES (?, ?)")?
            .execute(params![person_mac(keys, patient), link.sequence])?;
    }
    Ok(())
}

/// Records that the filter means, newest first.
pub(crate) fn search(
    reader: &mut Reader,
    filter: &AuditFilter,
) -> Result<Vec<AuditEntry>, StoreError> {
    let patient = filter
        .patient
        .as_ref()
        .map(|person| person_mac(&reader.keys, person));
    let request = filter
        .request_id
        .as_ref()
        .map(|id| request_mac(&reader.keys, id));
    // Each walks one index backwards from where the page starts; `place` is the sequence number in that index.
    let (place, from) = match (patient.is_some(), request.is_some()) {
        (false, false) => ("a.seq", "audit a WHERE ?5 IS NULL AND ?6 IS NULL"),
        (true, false) => (
            "p.seq",
            "audit_patient p CROSS JOIN audit a ON a.seq = p.seq WHERE p.mac = ?5 AND ?6 IS NULL",
        ),
        (false, true) => (
            "r.seq",
            "audit_request r CROSS JOIN audit a ON a.seq = r.seq WHERE ?5 IS NULL AND r.request = ?6",
        ),
        (true, true) => (
            "r.seq",
            "audit_request r CROSS JOIN audit_patient p ON p.mac = ?5 AND p.seq = r.seq
             CROSS JOIN audit a ON a.seq = r.seq WHERE r.request = ?6",
        ),
    };
    let sql = format!(
        "SELECT a.seq, a.made, a.hash, a.body FROM {from}
         AND {place} < ?1 AND a.made >= ?2 AND a.made < ?3 ORDER BY {place} DESC LIMIT ?4"
    );
    let rows = {
        let mut statement = reader.connection.prepare_cached(&sql)?;
        let before = filter
            .before
            .and_then(|before| i64::try_from(before).ok())
            .unwrap_or(i64::MAX);
        let from = filter.from.map_or(i64::MIN, |from| from.0);
        let until = filter.until.map_or(i64::MAX, |until| until.0);
        statement
            .query_map(
                params![
                    before,
                    from,
                    until,
                    filter.limit.min(MOST) as i64,
                    patient,
                    request
                ],
                |row| {
                    Ok((
                        row.get::<_, u64>(0)?,
                        row.get::<_, i64>(1)?,
                        row.get::<_, [u8; 32]>(2)?,
                        row.get::<_, Vec<u8>>(3)?,
                    ))
                },
            )?
            .collect::<Result<Vec<_>, _>>()?
    };
    rows.into_iter()
        .map(|(sequence, made, hash, packed)| {
            let body = reader.unpack(&packed)?;
            let record = serde_json::from_slice(&body)
                .map_err(|_| StoreError::Damaged("an audit record does not read"))?;
            Ok(AuditEntry {
                sequence,
                recorded: Instant(made),
                hash,
                record,
            })
        })
        .collect()
}

/// The end of the trail.
pub(crate) fn head(connection: &Connection) -> Result<AuditHead, StoreError> {
    use rusqlite::OptionalExtension;
    Ok(connection
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| {
            Ok(AuditHead {
                sequence: row.get(0)?,
                hash: row.get(1)?,
            })
        })
        .optional()?
        .unwrap_or(AuditHead {
            sequence: 0,
            hash: GENESIS,
        }))
}

/// On how many lists a sound record is: its request's, and its patient's if it is about one. `None` if one of them does not lead
/// to it, for no access may be hidden from them.
fn listed(
    connection: &Connection,
    keys: &Keys,
    sequence: u64,
    body: &[u8],
) -> Result<Option<u64>, StoreError> {
    let Ok(record) = serde_json::from_slice::<Record>(body) else {
        return Ok(None);
    };
    let requested = connection
        .prepare_cached("SELECT 1 FROM audit_request WHERE request = ? AND seq = ?")?
        .exists(params![request_mac(keys, &record.request_id), sequence])?;
    let about = match &record.patient {
        None => true,
        Some(patient) => connection
            .prepare_cached("SELECT 1 FROM audit_patient WHERE mac = ? AND seq = ?")?
            .exists(params![person_mac(keys, patient), sequence])?,
    };
    let lists = 1 + u64::from(record.patient.is_some());
    Ok((requested && about).then_some(lists))
}

/// Walks the whole trail. `kept` are heads noted earlier, best outside this machine, in any order.
pub(crate) fn verify(
    reader: &mut Reader,
    mut kept: Vec<AuditHead>,
) -> Result<AuditReport, StoreError> {
    kept.sort_by_key(|head| head.sequence);
    kept.dedup();
    let Reader {
        connection,
        unpacker,
        owner,
        keys,
        ..
    } = reader;
    let mut faults = Vec::new();
    let mut fault = |sequence, what| {
        if faults.len() < FAULTS {
            faults.push(AuditFault { sequence, what });
        }
    };
    let mut end = AuditHead {
        sequence: 0,
        hash: GENESIS,
    };
    let mut records = 0;
    let mut lists_due = 0;
    let mut waiting = kept.into_iter().filter(|head| head.sequence > 0).peekable();
    let mut agreed = None;
    let mut statement =
        connection.prepare("SELECT seq, made, prev, hash, body FROM audit ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // Before the first place nothing was ever written.
        let Ok(sequence) = u64::try_from(row.get::<_, i64>(0)?) else {
            fault(0, AuditFaultKind::Unlinked);
            continue;
        };
        let made: i64 = row.get(1)?;
        // Of another length: nothing that was written has this value, so the record shows as changed.
        let link = |column| -> Result<[u8; 32], StoreError> {
            let held = row.get_ref(column)?.as_blob().unwrap_or_default();
            Ok(held.try_into().unwrap_or([0xff; 32]))
        };
        let (prev, hash) = (link(2)?, link(3)?);
        let packed = row.get_ref(4)?.as_blob().unwrap_or_default();
        if sequence != end.sequence + 1 {
            fault(sequence, AuditFaultKind::Missing);
        } else if prev != end.hash {
            fault(sequence, AuditFaultKind::Unlinked);
        }
        let body = unpacker.unpack(packed, |number| {
            crate::dictionary::bytes(connection, number)
        });
        let lists = match body {
            Ok(body) if chained(owner, sequence, made, &prev, &body) == hash => {
                listed(connection, keys, sequence, &body)?
            }
            _ => None,
        };
        match lists {
            Some(count) => lists_due += count,
            None => fault(sequence, AuditFaultKind::Changed),
        }
        while let Some(kept) = waiting.next_if(|kept| kept.sequence <= sequence) {
            match (kept.sequence == sequence, kept.hash == hash) {
                (true, true) => agreed = Some(sequence),
                (true, false) => fault(sequence, AuditFaultKind::OtherThanKept),
                // Its record is gone: that gap was noted above.
                (false, _) => {}
            }
        }
        end = AuditHead { sequence, hash };
        records += 1;
    }
    drop(rows);
    drop(statement);
    let counted: u64 =
        connection.query_row("SELECT audited FROM store WHERE one = 1", [], |row| {
            row.get(0)
        })?;
    if counted > end.sequence || waiting.peek().is_some() {
        fault(end.sequence, AuditFaultKind::Cut);
    }
    let lists: u64 = connection.query_row(
        "SELECT (SELECT count(*) FROM audit_patient) + (SELECT count(*) FROM audit_request)",
        [],
        |row| row.get(0),
    )?;
    // Every record of a sound trail is on its lists; what else is there was put in.
    if faults.is_empty() && lists > lists_due {
        faults.push(AuditFault {
            sequence: end.sequence,
            what: AuditFaultKind::Misplaced,
        });
    }
    Ok(AuditReport {
        records,
        head: end,
        agreed,
        faults,
    })
}
