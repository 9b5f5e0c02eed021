//! The one place where a search becomes SQL. The permit's patient, services and period are part of every statement
//! here; no caller can leave them out.
//!
//! A patient's readings of one kind are one contiguous range, newest first. A search finds the kinds that carry what is
//! asked, opens each range where the cursor stands, and merges: what it reads is what it gives, plus a page's ends.

mod sift;
mod walk;

pub(crate) use walk::walk;
pub use walk::{Met, Walker};

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::index::Coding;
use fhir::resource::ResourceType;
use fhir::search::{DateParam, PatientParam, Prefix, Query, Sort, TokenParam};
use fhir::time::{Instant, Range};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use trust::{Permit, PermitScope};
use uuid::Uuid;

use crate::backend::sqlite::reader::Reader;
use crate::body;
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::prepare::{CATEGORY, CODE, UNDATED, person_mac};
use crate::publish::{Condition, View};

/// Series merged at once, and the most that a search without a patient may merge at all. One patient has a handful; with
/// more than this, because somebody codes each reading in a way of its own, they are merged part by part.
const SERIES: usize = 5_000;
/// Rows taken from a series at a time.
const CHUNK: usize = 16;

/// Bytes of bodies on one page, but always one resource: readers of other organisations take answers of 10 MiB.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Where a page ended. Goes to the client sealed only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    t: i64,
    id: [u8; 16],
}

impl Cursor {
    /// 24 bytes.
    pub fn to_bytes(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.t.to_be_bytes());
        bytes[8..].copy_from_slice(&self.id);
        bytes
    }

    /// What `to_bytes` gave; `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Cursor> {
        let (t, id) = bytes.split_at_checked(8)?;
        Some(Cursor {
            t: i64::from_be_bytes(t.try_into().ok()?),
            id: id.try_into().ok()?,
        })
    }
}

/// One page of a search.
#[derive(Debug)]
pub struct Page {
    /// The matches, in order.
    pub matches: Vec<Stored>,
    /// Where the next page starts; `None`: this was the last.
    pub next: Option<Cursor>,
    /// How many there are in all, where that is known without counting them (the whole answer is on this page).
    pub total: Option<u64>,
}

impl Page {
    fn empty() -> Page {
        Page {
            matches: Vec::new(),
            next: None,
            total: Some(0),
        }
    }
}

/// Whose rows may be seen.
enum Whose {
    One(i64),
    Everyone,
}

/// The patients that permit and question have in common; `None`: nobody.
fn whose(
    reader: &Reader,
    permit: &Permit,
    asked: Option<&PatientParam>,
) -> Result<Option<Whose>, StoreError> {
    let asked = match asked {
        None => None,
        Some(PatientParam::Identifier(person)) => Some(number_of(reader, person)?),
        Some(PatientParam::Local(id)) => Some(
            reader
                .connection
                .prepare_cached("SELECT n FROM patient WHERE id = ?")?
                .query_row([id.uuid().as_bytes()], |row| row.get::<_, i64>(0))
                .optional()?,
        ),
    };
    let permitted = match permit.patient() {
        PermitScope::OwnStore => None,
        PermitScope::Patient(person) => Some(number_of(reader, person)?),
    };
    Ok(match (permitted, asked) {
        (None, None) => Some(Whose::Everyone),
        (Some(one), None) | (None, Some(one)) => one.map(Whose::One),
        (Some(one), Some(other)) => one.filter(|one| other == Some(*one)).map(Whose::One),
    })
}

fn number_of(reader: &Reader, person: &PersonIdentifier) -> Result<Option<i64>, StoreError> {
    Ok(reader
        .connection
        .prepare_cached("SELECT n FROM patient WHERE mac = ?")?
        .query_row([person_mac(&reader.keys, person)], |row| row.get(0))
        .optional()?)
}

/// One resource by id, if the permit opens it. Withdrawn is [`StoreError::Gone`], but only for who might have seen it.
pub(crate) fn read(
    reader: &mut Reader,
    permit: &Permit,
    resource_type: ResourceType,
    id: LogicalId,
) -> Result<Option<Stored>, StoreError> {
    if !permit.opens(resource_type.information_service()) {
        return Ok(None);
    }
    let Some(whose) = whose(reader, permit, None)? else {
        return Ok(None);
    };
    let found = reader
        .connection
        .prepare_cached(
            "SELECT i.patient, i.kind, i.t, i.gone FROM record_id i JOIN kind k ON k.n = i.kind WHERE i.id = ? AND k.type = ?",
        )?
        .query_row(params![id.uuid().as_bytes(), resource_type.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, bool>(3)?))
        })
        .optional()?;
    let Some((patient, kind, t, gone)) = found else {
        return Ok(None);
    };
    if matches!(whose, Whose::One(one) if one != patient) {
        return Ok(None);
    }
    let period = period(permit, resource_type);
    let view = View::of(&reader.publishing, &reader.clock, permit);
    if gone {
        // The span of what was withdrawn is not at hand, so a permit for some time only is not told; nor
        // is who sees only what is published.
        return if period.is_none() && view.is_none() {
            Err(StoreError::Gone)
        } else {
            Ok(None)
        };
    }
    let row = reader
        .connection
        .prepare_cached("SELECT version, updated, span, body FROM record WHERE patient = ? AND kind = ? AND t = ? AND id = ?")?
        .query_row(params![patient, kind, t, id.uuid().as_bytes()], |row| {
            Ok(Row { t, id: *id.uuid().as_bytes(), version: row.get(0)?, updated: row.get(1)?, span: row.get(2)?, body: row.get(3)? })
        })
        .optional()?
        .ok_or(StoreError::Damaged("a record is not where its id says"))?;
    if period.is_some_and(|period| !row.when().is_some_and(|when| when.overlaps(&period))) {
        return Ok(None);
    }
    if let Some(view) = view
        && !view.shows(
            &reader.connection,
            (patient, kind, t, *id.uuid().as_bytes()),
        )?
    {
        return Ok(None);
    }
    row.stored(reader, resource_type).map(Some)
}

/// The time that a permit narrows a type to. A Patient has no time, so no period hides who it is about; of all other
/// types, what carries no time is not known to lie in the period, and is not given.
fn period(permit: &Permit, resource_type: ResourceType) -> Option<Range> {
    permit
        .period()
        .filter(|_| resource_type != ResourceType::PATIENT)
}

/// One page of a search, within the permit.
pub(crate) fn search(
    reader: &mut Reader,
    permit: &Permit,
    query: &Query,
    after: Option<Cursor>,
) -> Result<Page, StoreError> {
    if !permit.opens(query.resource.information_service()) {
        return Ok(Page::empty());
    }
    let mut query = query.clone();
    query.approximate((reader.clock)());
    let query = &query;
    let Some(whose) = whose(reader, permit, query.patient.as_ref())? else {
        return Ok(Page::empty());
    };
    let mut filter = Filter::of(&reader.connection, permit, query)?;
    let wanted = query.count.clamp(1, Query::MAX_COUNT) as usize;
    let mut series = if query.ids.is_empty() {
        series(&reader.connection, &whose, query)?
    } else {
        let ids: HashSet<[u8; 16]> = query.ids.iter().map(|id| *id.uuid().as_bytes()).collect();
        let series = of_ids(&reader.connection, &whose, query, &ids)?;
        filter.ids(ids);
        series
    };
    if let Some(view) = View::of(&reader.publishing, &reader.clock, permit) {
        filter.publish(&reader.connection, &view, query.resource, &mut series)?;
    }
    let sought = Sought {
        series: &series,
        filter: &filter,
        sort: query.sort,
    };
    let (matches, next, more) = if query.filters.is_empty() {
        page(reader, &sought, query.resource, wanted, after)?
    } else {
        let query = sift::completed(reader, permit, query)?;
        sift::page(reader, &sought, &query, wanted, after)?
    };
    let total = (!more && after.is_none()).then_some(matches.len() as u64);
    Ok(Page {
        matches,
        next: next.filter(|_| more),
        total,
    })
}

/// What is read, and in which order.
struct Sought<'a> {
    series: &'a [Series],
    filter: &'a Filter,
    sort: Sort,
}

impl Sought<'_> {
    /// The first `limit` rows after a place.
    fn rows(
        &self,
        connection: &Connection,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows: Vec<Row> = Vec::new();
        for part in self.series.chunks(SERIES) {
            let first = rows.is_empty();
            rows.extend(merge(
                connection,
                part,
                self.filter,
                self.sort,
                after,
                limit,
            )?);
            if !first {
                rows.sort_unstable_by_key(|row| (rank(row.t, self.sort), row.id));
                rows.truncate(limit);
            }
        }
        Ok(rows)
    }
}

/// A page's matches, where the next page starts, and whether there is one.
type Taken = (Vec<Stored>, Option<Cursor>, bool);

/// A page of what the tables alone answer.
fn page(
    reader: &mut Reader,
    sought: &Sought<'_>,
    resource: ResourceType,
    wanted: usize,
    after: Option<Cursor>,
) -> Result<Taken, StoreError> {
    let rows = sought.rows(&reader.connection, after, wanted + 1)?;
    let mut more = rows.len() > wanted;
    let mut matches: Vec<Stored> = Vec::with_capacity(wanted.min(rows.len()));
    let (mut next, mut size) = (None, 0);
    for row in rows.into_iter().take(wanted) {
        let end = row.place();
        let stored = row.stored(reader, resource)?;
        size += stored.body.len();
        if size > PAGE_BYTES && !matches.is_empty() {
            more = true;
            break;
        }
        next = Some(end);
        matches.push(stored);
    }
    Ok((matches, next, more))
}

/// One patient's resources of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Series {
    patient: i64,
    kind: i64,
    widest: i64,
}

/// The series of the asked type whose kinds carry the asked codes and categories.
fn series(
    connection: &Connection,
    whose: &Whose,
    query: &Query,
) -> Result<Vec<Series>, StoreError> {
    let patient = match whose {
        Whose::One(patient) => Some(*patient),
        Whose::Everyone => None,
    };
    // One patient's are all looked at; of everyone's only so many.
    let (sql, most) = match patient {
        Some(_) => (
            "SELECT s.patient, s.kind, s.widest FROM series s JOIN kind k ON k.n = s.kind
             WHERE s.patient = ?1 AND k.type = ?2 ORDER BY s.patient, s.kind LIMIT ?3",
            -1,
        ),
        None => (
            "SELECT s.patient, s.kind, s.widest FROM series s JOIN kind k ON k.n = s.kind
             WHERE ?1 IS NULL AND k.type = ?2 ORDER BY s.patient, s.kind LIMIT ?3",
            (SERIES * 4) as i64,
        ),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let all = statement
        .query_map(params![patient, query.resource.as_str(), most], |row| {
            Ok(Series {
                patient: row.get(0)?,
                kind: row.get(1)?,
                widest: row.get(2)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut kinds: std::collections::HashMap<i64, bool> = std::collections::HashMap::new();
    let mut kept = Vec::new();
    for one in &all {
        let carries = match kinds.get(&one.kind) {
            Some(known) => *known,
            None => *kinds.entry(one.kind).or_insert(
                carries(connection, one.kind, CODE, &query.codes)?
                    && carries(connection, one.kind, CATEGORY, &query.categories)?,
            ),
        };
        if carries {
            kept.push(*one);
        }
    }
    if patient.is_none() && (all.len() >= SERIES * 4 || kept.len() > SERIES) {
        Err(StoreError::TooCostly)
    } else {
        Ok(kept)
    }
}

/// Whether a kind has a coding that one of the tokens means; no tokens ask for nothing.
pub(crate) fn carries(
    connection: &Connection,
    kind: i64,
    role: i64,
    tokens: &[TokenParam],
) -> Result<bool, StoreError> {
    if tokens.is_empty() {
        return Ok(true);
    }
    let mut statement = connection
        .prepare_cached("SELECT system, code FROM kind_coding WHERE kind = ? AND role = ?")?;
    let codings = statement
        .query_map([kind, role], |row| {
            let system: String = row.get(0)?;
            Ok(Coding {
                system: Some(system).filter(|system| !system.is_empty()),
                code: row.get(1)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(codings
        .iter()
        .any(|coding| tokens.iter().any(|token| token.matches(coding))))
}

/// The series in which the asked ids lie.
fn of_ids(
    connection: &Connection,
    whose: &Whose,
    query: &Query,
    ids: &HashSet<[u8; 16]>,
) -> Result<Vec<Series>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT i.patient, i.kind FROM record_id i JOIN kind k ON k.n = i.kind WHERE i.id = ? AND i.gone = 0 AND k.type = ?",
    )?;
    let mut found = Vec::new();
    for id in ids {
        let Some((patient, kind)) = statement
            .query_row(params![id, query.resource.as_str()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()?
        else {
            continue;
        };
        let one = Series {
            patient,
            kind,
            widest: i64::MAX,
        };
        if matches!(whose, Whose::One(one) if *one != patient) || found.contains(&one) {
            continue;
        }
        if carries(connection, kind, CODE, &query.codes)?
            && carries(connection, kind, CATEGORY, &query.categories)?
        {
            found.push(one);
        }
    }
    Ok(found)
}

/// The conditions on a row, as SQL with its values, and the bounds that dates put on `t`.
struct Filter {
    sql: String,
    values: Vec<Value>,
    /// Bounds on the start of a resource's time that follow from the dates alone: not before, before.
    starts: (i64, i64),
    /// Lowest end (exclusive) of a resource's time; with a series' widest span this bounds the start too.
    ends_after: i64,
    /// What the policy asks of resources of a kind; a kind that is not here is published whole.
    published: HashMap<i64, Condition>,
}

impl Filter {
    fn of(connection: &Connection, permit: &Permit, query: &Query) -> Result<Filter, StoreError> {
        let mut filter = Filter {
            sql: String::new(),
            values: Vec::new(),
            starts: (i64::MIN, i64::MAX),
            ends_after: i64::MIN,
            published: HashMap::new(),
        };
        if !query.status.is_empty() {
            let mut numbers = Vec::new();
            for status in &query.status {
                let number: Option<i64> = connection
                    .prepare_cached("SELECT n FROM word WHERE text = ?")?
                    .query_row([status], |row| row.get(0))
                    .optional()?;
                numbers.extend(number.map(Value::Integer));
            }
            filter.within("status", numbers);
        }
        for date in &query.dates {
            filter.date(date);
        }
        if let Some(period) = period(permit, query.resource) {
            filter.and(
                "span IS NOT NULL AND -t < {} AND -t + span > {}",
                &[period.hi, period.lo],
            );
            filter.starts.1 = filter.starts.1.min(period.hi);
            filter.ends_after = filter.ends_after.max(period.lo);
        }
        Ok(filter)
    }

    /// Narrows to what is published; a Patient is, while anything about that patient is.
    fn publish(
        &mut self,
        connection: &Connection,
        view: &View<'_>,
        resource: ResourceType,
        series: &mut Vec<Series>,
    ) -> Result<(), StoreError> {
        if resource == ResourceType::PATIENT {
            let mut shown = Vec::with_capacity(series.len());
            for one in series.iter() {
                if view.anything(connection, one.patient)? {
                    shown.push(*one);
                }
            }
            *series = shown;
            return Ok(());
        }
        let kinds: HashSet<i64> = series.iter().map(|one| one.kind).collect();
        for kind in kinds {
            if let Some(condition) = view.condition(connection, kind)? {
                self.published.insert(kind, condition);
            }
        }
        Ok(())
    }

    fn ids(&mut self, ids: HashSet<[u8; 16]>) {
        self.within(
            "id",
            ids.into_iter().map(|id| Value::Blob(id.to_vec())).collect(),
        );
    }

    /// `column IN (…)`. An empty list matches nothing.
    fn within(&mut self, column: &str, values: Vec<Value>) {
        self.sql.push_str(&format!(" AND {column} IN ("));
        for (i, value) in values.into_iter().enumerate() {
            self.sql.push_str(if i == 0 { "" } else { "," });
            self.place(value);
        }
        self.sql.push(')');
    }

    /// Adds a condition; each `{}` in it stands for the next value, always as a bound parameter.
    fn and(&mut self, condition: &str, values: &[i64]) {
        self.sql.push_str(" AND ");
        let mut values = values.iter();
        for (i, part) in condition.split("{}").enumerate() {
            if i > 0 {
                self.place(Value::Integer(values.next().copied().unwrap_or_default()));
            }
            self.sql.push_str(part);
        }
    }

    fn place(&mut self, value: Value) {
        self.values.push(value);
        self.sql
            .push_str(&format!("?{}", self.values.len() + FIXED));
    }

    /// FHIR R4 search 3.1.1.4.7, as `DateParam::matches` tells it, with `lo` = `-t` and `hi` = `-t + span`.
    fn date(&mut self, date: &DateParam) {
        let Range { lo, hi } = date.range;
        let (from, until) = &mut self.starts;
        match date.prefix {
            Prefix::Eq => (*from, *until) = ((*from).max(lo), (*until).min(hi)),
            Prefix::Lt | Prefix::Eb => *until = (*until).min(lo),
            Prefix::Le => *until = (*until).min(hi),
            Prefix::Sa => *from = (*from).max(hi),
            Prefix::Gt => self.ends_after = self.ends_after.max(hi),
            Prefix::Ge => self.ends_after = self.ends_after.max(lo),
            Prefix::Ap => {
                *until = (*until).min(hi);
                self.ends_after = self.ends_after.max(lo);
            }
            Prefix::Ne => {}
        }
        const EQUAL: &str = "(-t >= {} AND -t + span <= {})";
        let dated = "span IS NOT NULL AND ";
        match date.prefix {
            Prefix::Eq => self.and(&format!("{dated}{EQUAL}"), &[lo, hi]),
            Prefix::Ne => self.and(&format!("{dated}NOT {EQUAL}"), &[lo, hi]),
            Prefix::Gt => self.and(&format!("{dated}-t + span > {{}}"), &[hi]),
            Prefix::Lt => self.and(&format!("{dated}-t < {{}}"), &[lo]),
            Prefix::Ge => self.and(
                &format!("{dated}(-t + span > {{}} OR {EQUAL})"),
                &[hi, lo, hi],
            ),
            Prefix::Le => self.and(&format!("{dated}(-t < {{}} OR {EQUAL})"), &[lo, lo, hi]),
            Prefix::Sa => self.and(&format!("{dated}-t >= {{}}"), &[hi]),
            Prefix::Eb => self.and(&format!("{dated}-t + span <= {{}}"), &[lo]),
            Prefix::Ap => self.and(&format!("{dated}-t < {{}} AND -t + span > {{}}"), &[hi, lo]),
        }
    }

    /// Lowest and highest `t` of a series' rows that can match.
    fn bounds(&self, series: &Series) -> (i64, i64) {
        let (from, until) = self.starts;
        // hi > ends_after and hi - lo <= widest give lo > ends_after - widest.
        let from = from.max(self.ends_after.saturating_sub(series.widest));
        let undated_too = self.starts == (i64::MIN, i64::MAX) && self.ends_after == i64::MIN;
        let lowest = if until == i64::MAX {
            i64::MIN
        } else {
            (-until).saturating_add(1)
        };
        let highest = if undated_too {
            UNDATED
        } else {
            from.checked_neg().unwrap_or(UNDATED)
        };
        (lowest, highest)
    }
}

/// Parameters that every statement of a series has: patient, kind, lowest t, highest t, cursor t, cursor id, limit.
const FIXED: usize = 7;

struct Row {
    t: i64,
    id: [u8; 16],
    version: u64,
    updated: i64,
    span: Option<i64>,
    body: Vec<u8>,
}

impl Row {
    fn place(&self) -> Cursor {
        Cursor {
            t: self.t,
            id: self.id,
        }
    }

    fn when(&self) -> Option<Range> {
        self.span.map(|span| Range {
            lo: -self.t,
            hi: (-self.t).saturating_add(span),
        })
    }

    fn stored(
        self,
        reader: &mut Reader,
        resource_type: ResourceType,
    ) -> Result<Stored, StoreError> {
        let id = LogicalId(Uuid::from_bytes(self.id));
        let last_updated = Instant(self.updated);
        let cut = reader.unpack(&self.body)?;
        let body = body::join(
            &cut,
            &id.to_string(),
            &self.version.to_string(),
            &last_updated.to_string(),
        )
        .ok_or(StoreError::Damaged("a stored body does not open"))?;
        Ok(Stored {
            id,
            version: self.version,
            last_updated,
            resource_type,
            body: body.into(),
        })
    }
}

/// An open range of one series, read in chunks.
struct Open {
    series: Series,
    rows: VecDeque<Row>,
    ended: bool,
}

/// The first `limit` rows of all series together, in the order asked.
fn merge(
    connection: &Connection,
    series: &[Series],
    filter: &Filter,
    sort: Sort,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    let chunk = if series.len() == 1 {
        limit
    } else {
        CHUNK.min(limit)
    };
    let mut open = Vec::with_capacity(series.len());
    let mut heads = BinaryHeap::new();
    for one in series {
        let mut range = Open {
            series: *one,
            rows: VecDeque::new(),
            ended: false,
        };
        fill(connection, &mut range, filter, sort, after, chunk)?;
        if let Some(row) = range.rows.front() {
            heads.push(Reverse((rank(row.t, sort), row.id, open.len())));
            open.push(range);
        }
    }
    let mut out = Vec::new();
    while out.len() < limit {
        let Some(Reverse((_, _, at))) = heads.pop() else {
            break;
        };
        let range = &mut open[at];
        let Some(row) = range.rows.pop_front() else {
            break;
        };
        if range.rows.is_empty() && !range.ended && out.len() + 1 < limit {
            fill(
                connection,
                range,
                filter,
                sort,
                Some(Cursor {
                    t: row.t,
                    id: row.id,
                }),
                chunk,
            )?;
        }
        if let Some(next) = range.rows.front() {
            heads.push(Reverse((rank(next.t, sort), next.id, at)));
        }
        out.push(row);
    }
    Ok(out)
}

/// Smallest first: `t` grows towards the past.
fn rank(t: i64, sort: Sort) -> i64 {
    match sort {
        Sort::DateDesc => t,
        Sort::DateAsc => !t,
    }
}

fn fill(
    connection: &Connection,
    range: &mut Open,
    filter: &Filter,
    sort: Sort,
    after: Option<Cursor>,
    chunk: usize,
) -> Result<(), StoreError> {
    let (lowest, highest) = filter.bounds(&range.series);
    // The cursor as bounds on t and one comparison of (t, id): order is by start, then by id, both ways.
    let (beyond, order, lowest, highest) = match sort {
        Sort::DateDesc => (
            "t > ?5",
            "t, id",
            after.map_or(lowest, |cursor| lowest.max(cursor.t)),
            highest,
        ),
        Sort::DateAsc => (
            "t < ?5",
            "t DESC, id",
            lowest,
            after.map_or(highest, |cursor| highest.min(cursor.t)),
        ),
    };
    let mut values: Vec<Value> = vec![
        range.series.patient.into(),
        range.series.kind.into(),
        lowest.into(),
        highest.into(),
        after.map_or(0, |cursor| cursor.t).into(),
        after.map_or(Value::Null, |cursor| Value::Blob(cursor.id.to_vec())),
        (chunk as i64).into(),
    ];
    values.extend(filter.values.iter().cloned());
    let published = match filter.published.get(&range.series.kind) {
        Some(condition) => format!(" AND {}", condition.placed(&mut values)),
        None => String::new(),
    };
    let sql = format!(
        "SELECT t, id, version, updated, span, body FROM record
         WHERE patient = ?1 AND kind = ?2 AND t >= ?3 AND t <= ?4 AND (?6 IS NULL OR {beyond} OR (t = ?5 AND id > ?6)){}{published}
         ORDER BY {order} LIMIT ?7",
        filter.sql
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        range.rows.push_back(Row {
            t: row.get(0)?,
            id: row.get(1)?,
            version: row.get(2)?,
            updated: row.get(3)?,
            span: row.get(4)?,
            body: row.get(5)?,
        });
    }
    range.ended = range.rows.len() < chunk;
    Ok(())
}

/// The logical id of a person's Patient resource here.
pub(crate) fn patient_id(
    reader: &Reader,
    person: &PersonIdentifier,
) -> Result<Option<LogicalId>, StoreError> {
    Ok(reader
        .connection
        .prepare_cached("SELECT id FROM patient WHERE mac = ?")?
        .query_row([person_mac(&reader.keys, person)], |row| {
            row.get::<_, [u8; 16]>(0)
        })
        .optional()?
        .map(|id| LogicalId(Uuid::from_bytes(id))))
}
