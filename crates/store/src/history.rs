//! Versions that were: one by its number (vread), or all of a resource or a type, newest first (history).
//!
//! As in `query`, the permit's patient, services and period are part of every statement. A resource that was withdrawn
//! shows its withdrawal, and its earlier versions only to the store's own system. An earlier version's time is not at
//! hand, so a permit for some time only opens current versions.

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::time::Instant;
use rusqlite::{OptionalExtension, params};
use trust::{Interaction, Permit, PermitScope};
use uuid::Uuid;

use crate::backend::sqlite::reader::Reader;
use crate::body;
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::publish::View;

/// Most versions on one page.
const MOST: u32 = 200;
/// Bytes of bodies on one page, but always one version.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Which versions are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Of this type.
    pub resource_type: ResourceType,
    /// Of this one resource; `None`: of all that the permit opens.
    pub id: Option<LogicalId>,
    /// Committed then or later.
    pub since: Option<Instant>,
    /// Versions on a page, 1 to 200.
    pub count: u32,
}

/// One version, current or not.
#[derive(Clone)]
pub struct Version {
    /// The resource.
    pub id: LogicalId,
    /// Its number.
    pub version: u64,
    /// When it was committed.
    pub last_updated: Instant,
    /// The resource as it was; `None`: this version is its withdrawal.
    pub stored: Option<Stored>,
}

impl std::fmt::Debug for Version {
    /// Without the body.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gone = if self.stored.is_none() {
            ", withdrawn"
        } else {
            ""
        };
        write!(f, "Version({} version {}{gone})", self.id, self.version)
    }
}

/// Where a page of history ended. Goes to the client sealed only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryCursor {
    updated: i64,
    id: [u8; 16],
    version: u64,
}

impl HistoryCursor {
    /// 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.updated.to_be_bytes());
        bytes[8..24].copy_from_slice(&self.id);
        bytes[24..].copy_from_slice(&self.version.to_be_bytes());
        bytes
    }

    /// What `to_bytes` gave; `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<HistoryCursor> {
        let (updated, rest) = bytes.split_at_checked(8)?;
        let (id, version) = rest.split_at_checked(16)?;
        Some(HistoryCursor {
            updated: i64::from_be_bytes(updated.try_into().ok()?),
            id: id.try_into().ok()?,
            version: u64::from_be_bytes(version.try_into().ok()?),
        })
    }
}

/// One page of history, newest first.
#[derive(Debug)]
pub struct HistoryPage {
    /// The versions.
    pub versions: Vec<Version>,
    /// Where the next page starts; `None`: this was the last.
    pub next: Option<HistoryCursor>,
    /// How many there are in all, where the whole answer is on this page.
    pub total: Option<u64>,
}

/// What a permit lets be seen of the past.
struct Sight {
    /// The patient's number; `None`: everyone's, the store's own system asks.
    patient: Option<i64>,
    /// The time that a current version must overlap: lo, hi.
    period: Option<(i64, i64)>,
    /// Whether earlier versions of what was withdrawn are shown.
    own: bool,
}

impl Sight {
    /// `None`: nothing.
    fn of(
        reader: &Reader,
        permit: &Permit,
        resource_type: ResourceType,
    ) -> Result<Option<Sight>, StoreError> {
        if !permit.opens(resource_type.information_service()) {
            return Ok(None);
        }
        // A Patient has no time, so no period hides who it is about.
        let period = permit
            .period()
            .filter(|_| resource_type != ResourceType::PATIENT)
            .map(|period| (period.lo, period.hi));
        let patient = match permit.patient() {
            PermitScope::OwnStore => None,
            PermitScope::Patient(person) => match reader.number_of(person)? {
                Some(number) => Some(number),
                None => return Ok(None),
            },
            PermitScope::Nobody => return Ok(None),
        };
        let own = patient.is_none() || permit.interaction() == Interaction::Assess;
        Ok(Some(Sight {
            patient,
            period,
            own,
        }))
    }
}

/// One version by its number. `None` alike for what is not there and what the permit does not open.
pub(crate) fn read(
    reader: &mut Reader,
    permit: &Permit,
    resource_type: ResourceType,
    id: LogicalId,
    version: u64,
) -> Result<Option<Stored>, StoreError> {
    let Some(sight) = Sight::of(reader, permit, resource_type)? else {
        return Ok(None);
    };
    let known: Option<(i64, u64, bool)> = reader
        .connection
        .prepare_cached("SELECT i.patient, i.version, i.gone FROM record_id i JOIN kind k ON k.n = i.kind WHERE i.id = ? AND k.type = ?")?
        .query_row(params![id.uuid().as_bytes(), resource_type.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((patient, current, gone)) = known else {
        return Ok(None);
    };
    if sight.patient.is_some_and(|one| one != patient) || version == 0 || version > current {
        return Ok(None);
    }
    if version == current && !gone {
        return crate::query::read(reader, permit, resource_type, id);
    }
    if sight.period.is_some() || View::of(&reader.publishing, &reader.clock, permit).is_some() {
        return Ok(None);
    }
    if gone && !sight.own {
        return Err(StoreError::Gone);
    }
    match at(reader, resource_type, id, version)?.stored {
        Some(stored) => Ok(Some(stored)),
        None => Err(StoreError::Gone),
    }
}

/// The versions of the rows that hold them: current ones.
const CURRENT: &str = "SELECT r.id AS id, r.version AS version, r.updated AS updated";
/// One order for both halves, cursor and page: newest first.
const PAGE: &str =
    "WHERE (?4 IS NULL OR updated >= ?4) AND (?5 IS NULL OR (updated, id, version) < (?5, ?6, ?7))
 ORDER BY updated DESC, id DESC, version DESC LIMIT ?8";
/// What was current once, and withdrawals: of withdrawn resources the earlier versions only to the own system.
const EARLIER: &str = "SELECT h.id, h.version, h.updated FROM history h JOIN record_id i ON i.id = h.id JOIN kind k ON k.n = i.kind
 WHERE ?9 IS NULL AND k.type = ?1 AND (?2 IS NULL OR (i.patient = ?2 AND (i.gone = 0 OR h.gone = 1)))";

/// One page of history.
pub(crate) fn history(
    reader: &mut Reader,
    permit: &Permit,
    past: &Past,
    after: Option<HistoryCursor>,
) -> Result<HistoryPage, StoreError> {
    let nothing = HistoryPage {
        versions: Vec::new(),
        next: None,
        total: Some(0),
    };
    let Some(sight) = Sight::of(reader, permit, past.resource_type)? else {
        return Ok(nothing);
    };
    let wanted = past.count.clamp(1, MOST) as usize;
    const PERIOD: &str =
        "(?9 IS NULL OR (r.span IS NOT NULL AND -r.t < ?10 AND -r.t + r.span > ?9))";
    let sql = match past.id {
        // ?3 is the id: both halves start at it.
        Some(_) => format!(
            "SELECT id, version, updated FROM ({CURRENT} FROM record_id i JOIN kind k ON k.n = i.kind
               JOIN record r ON r.patient = i.patient AND r.kind = i.kind AND r.t = i.t AND r.id = i.id
               WHERE i.id = ?3 AND i.gone = 0 AND k.type = ?1 AND (?2 IS NULL OR i.patient = ?2) AND {PERIOD}
             UNION ALL {EARLIER} AND h.id = ?3) {PAGE}"
        ),
        None => format!(
            "SELECT id, version, updated FROM ({CURRENT} FROM series s JOIN kind k ON k.n = s.kind
               JOIN record r ON r.patient = s.patient AND r.kind = s.kind
               WHERE ?3 IS NULL AND k.type = ?1 AND (?2 IS NULL OR s.patient = ?2) AND {PERIOD}
             UNION ALL {EARLIER}) {PAGE}"
        ),
    };
    let view = View::of(&reader.publishing, &reader.clock, permit);
    let mut keys: Vec<(LogicalId, u64, i64)> = Vec::new();
    let mut from = after;
    loop {
        let found: Vec<(LogicalId, u64, i64)> = {
            let mut statement = reader.connection.prepare_cached(&sql)?;
            let rows = statement.query_map(
                params![
                    past.resource_type.as_str(),
                    sight.patient,
                    past.id.map(|id| *id.uuid().as_bytes()),
                    past.since.map(|since| since.0),
                    from.map(|from| from.updated),
                    from.map(|from| from.id),
                    from.map(|from| from.version),
                    wanted as i64 + 1,
                    sight.period.map(|period| period.0),
                    sight.period.map(|period| period.1),
                ],
                |row| {
                    let id = LogicalId(Uuid::from_bytes(row.get(0)?));
                    Ok((id, row.get(1)?, row.get(2)?))
                },
            )?;
            rows.collect::<Result<_, _>>()?
        };
        from = found
            .last()
            .filter(|_| found.len() > wanted)
            .map(|(id, version, updated)| HistoryCursor {
                updated: *updated,
                id: *id.uuid().as_bytes(),
                version: *version,
            });
        for key in found {
            if match &view {
                Some(view) => published(reader, view, key.0, key.1)?,
                None => true,
            } {
                keys.push(key);
            }
        }
        // What is not published leaves no gap on a page, so that a page tells nothing of it.
        if keys.len() > wanted || from.is_none() {
            break;
        }
    }
    let mut more = keys.len() > wanted;
    keys.truncate(wanted);
    let (mut versions, mut next, mut size) = (Vec::with_capacity(keys.len()), None, 0);
    for (id, version, updated) in keys {
        let one = at(reader, past.resource_type, id, version)?;
        size += one.stored.as_ref().map_or(0, |stored| stored.body.len());
        if size > PAGE_BYTES && !versions.is_empty() {
            more = true;
            break;
        }
        next = Some(HistoryCursor {
            updated,
            id: *id.uuid().as_bytes(),
            version,
        });
        versions.push(one);
    }
    let total = (!more && after.is_none()).then_some(versions.len() as u64);
    Ok(HistoryPage {
        versions,
        next: next.filter(|_| more),
        total,
    })
}

/// Whether a version is current and published: an earlier one's time and status are not at hand.
fn published(
    reader: &Reader,
    view: &View<'_>,
    id: LogicalId,
    version: u64,
) -> Result<bool, StoreError> {
    let place = reader
        .connection
        .prepare_cached(
            "SELECT patient, kind, t FROM record_id WHERE id = ? AND version = ? AND gone = 0",
        )?
        .query_row(params![id.uuid().as_bytes(), version], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    match place {
        Some((patient, kind, t)) => view.shows(
            &reader.connection,
            (patient, kind, t, *id.uuid().as_bytes()),
        ),
        None => Ok(false),
    }
}

/// A version that is known to be there and to be open to who asks.
fn at(
    reader: &mut Reader,
    resource_type: ResourceType,
    id: LogicalId,
    version: u64,
) -> Result<Version, StoreError> {
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, bool, Vec<u8>)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    };
    let earlier = reader
        .connection
        .prepare_cached("SELECT updated, gone, body FROM history WHERE id = ? AND version = ?")?
        .query_row(params![id.uuid().as_bytes(), version], row)
        .optional()?;
    let found = match earlier {
        Some(earlier) => Some(earlier),
        None => reader
            .connection
            .prepare_cached(
                "SELECT r.updated, 0, r.body FROM record_id i
                 JOIN record r ON r.patient = i.patient AND r.kind = i.kind AND r.t = i.t AND r.id = i.id
                 WHERE i.id = ? AND r.version = ?",
            )?
            .query_row(params![id.uuid().as_bytes(), version], row)
            .optional()?,
    };
    let (updated, gone, packed) = found.ok_or(StoreError::Damaged(
        "a version is not where its resource says",
    ))?;
    let last_updated = Instant(updated);
    let stored = if gone {
        None
    } else {
        let cut = reader.unpack(&packed)?;
        let body = body::join(
            &cut,
            &id.to_string(),
            &version.to_string(),
            &last_updated.to_string(),
        )
        .ok_or(StoreError::Damaged("a stored body does not open"))?;
        Some(Stored {
            id,
            version,
            last_updated,
            resource_type,
            body: body.into(),
        })
    };
    Ok(Version {
        id,
        version,
        last_updated,
        stored,
    })
}
