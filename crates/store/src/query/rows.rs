//! Rows in order: the open ranges of all series, merged; what was superseded since the first page is read from `history`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use fhir::search::Sort;
use fhir::time::{Instant, Range};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use uuid::Uuid;

use super::cursor::Place;
use super::filter::Filter;
use super::named::Named;
use super::series::{SERIES, Series};
use crate::backend::sqlite::reader::Reader;
use crate::body;
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::prepare::UNDATED;

/// Rows taken from a series at a time.
const CHUNK: usize = 16;

/// What is read, in which order, and as of which commit.
pub(super) struct Sought {
    pub(super) series: Vec<Series>,
    /// Where it is known which resources alone can be meant; then there are no series.
    pub(super) named: Option<Named>,
    pub(super) filter: Filter,
    pub(super) sort: Sort,
    pub(super) as_of: i64,
}

impl Sought {
    /// The first `limit` rows after a place.
    pub(super) fn rows(
        &self,
        connection: &Connection,
        after: Option<At>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        if let Some(named) = &self.named {
            return named.rows(connection, &self.filter, after, limit);
        }
        let mut rows: Vec<Row> = Vec::new();
        for part in self.series.chunks(SERIES) {
            let first = rows.is_empty();
            rows.extend(self.merge(connection, part, after, limit)?);
            if !first {
                rows.sort_unstable_by_key(|row| (rank(row.t, self.sort), row.id));
                rows.truncate(limit);
            }
        }
        Ok(rows)
    }

    /// How many rows there are. `pace` says for each series whether to go on.
    pub(super) fn count(
        &self,
        connection: &Connection,
        mut pace: impl FnMut() -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        if let Some(named) = &self.named {
            return named.count(connection, &self.filter);
        }
        let mut count = 0;
        for one in &self.series {
            pace()?;
            let (lowest, highest) = self.filter.bounds(one);
            let mut values = self.fixed(one, (lowest, highest), None, 0);
            let (from, conditions) = self.from(one, &mut values);
            let sql = format!("SELECT count(*) FROM {from} WHERE t >= ?3 AND t <= ?4{conditions}");
            count += connection
                .prepare_cached(&sql)?
                .query_row(params_from_iter(values), |row| row.get::<_, u64>(0))?;
        }
        Ok(count)
    }

    /// The first `limit` rows of some series together, in the order asked.
    fn merge(
        &self,
        connection: &Connection,
        series: &[Series],
        after: Option<At>,
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
            self.fill(connection, &mut range, after, chunk)?;
            if let Some(row) = range.rows.front() {
                heads.push(Reverse((rank(row.t, self.sort), row.id, open.len())));
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
                self.fill(connection, range, Some(row.at()), chunk)?;
            }
            if let Some(next) = range.rows.front() {
                heads.push(Reverse((rank(next.t, self.sort), next.id, at)));
            }
            out.push(row);
        }
        Ok(out)
    }

    /// The next rows of a range. What has no time comes last in either order.
    fn fill(
        &self,
        connection: &Connection,
        range: &mut Open,
        after: Option<At>,
        chunk: usize,
    ) -> Result<(), StoreError> {
        let (lowest, highest) = self.filter.bounds(&range.series);
        if self.sort == Sort::DateDesc {
            let lowest = after.map_or(lowest, |at| lowest.max(at.t));
            let order = ("t > ?5", "t, id");
            self.read(connection, range, (lowest, highest), after, order, chunk)?;
        } else {
            let undated = after.filter(|at| at.t == UNDATED);
            if undated.is_none() {
                let dated = highest.min(UNDATED - 1);
                let dated = after.map_or(dated, |at| dated.min(at.t));
                let order = ("t < ?5", "t DESC, id");
                self.read(connection, range, (lowest, dated), after, order, chunk)?;
            }
            let left = chunk - range.rows.len();
            if left > 0 && highest == UNDATED {
                let order = ("0", "id");
                self.read(connection, range, (UNDATED, UNDATED), undated, order, left)?;
            }
        }
        range.ended = range.rows.len() < chunk;
        Ok(())
    }

    fn read(
        &self,
        connection: &Connection,
        range: &mut Open,
        bounds: (i64, i64),
        after: Option<At>,
        (beyond, order): (&str, &str),
        limit: usize,
    ) -> Result<(), StoreError> {
        let mut values = self.fixed(&range.series, bounds, after, limit);
        let (from, conditions) = self.from(&range.series, &mut values);
        // The cursor as bounds on t and one comparison of (t, id): order is by start, then by id, both ways.
        let sql = format!(
            "SELECT t, id, version, updated, span, body FROM {from}
             WHERE t >= ?3 AND t <= ?4 AND (?6 IS NULL OR {beyond} OR (t = ?5 AND id > ?6)){conditions}
             ORDER BY {order} LIMIT ?7"
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
        Ok(())
    }

    /// The values that every statement of a series has.
    fn fixed(
        &self,
        series: &Series,
        (lowest, highest): (i64, i64),
        after: Option<At>,
        limit: usize,
    ) -> Vec<Value> {
        let mut values = vec![
            series.patient.into(),
            series.kind.into(),
            lowest.into(),
            highest.into(),
            after.map_or(0, |at| at.t).into(),
            after.map_or(Value::Null, |at| Value::Blob(at.id.to_vec())),
            (limit as i64).into(),
            self.as_of.into(),
        ];
        values.extend(self.filter.values.iter().cloned());
        values
    }

    /// Where a series' rows are, and what they must be like.
    fn from(&self, series: &Series, values: &mut Vec<Value>) -> (String, String) {
        const NOW: &str = "patient = ?1 AND kind = ?2 AND updated <= ?8";
        const COLUMNS: &str = "t, id, version, updated, span, status, body";
        let published = match self.filter.published.get(&series.kind) {
            Some(condition) => format!(" AND {}", condition.placed(values)),
            None => String::new(),
        };
        let own = &self.filter.sql;
        if series.past {
            let from = format!(
                "(SELECT {COLUMNS} FROM record WHERE {NOW} UNION ALL
                  SELECT {COLUMNS} FROM history WHERE until > ?8 AND gone = 0 AND {NOW})"
            );
            (from, format!("{own}{published}"))
        } else {
            ("record".to_owned(), format!(" AND {NOW}{own}{published}"))
        }
    }
}

/// A place in the order of the clustered table.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) t: i64,
    pub(super) id: [u8; 16],
}

/// One row, its body still packed.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) t: i64,
    pub(super) id: [u8; 16],
    version: u64,
    updated: i64,
    span: Option<i64>,
    body: Vec<u8>,
}

impl Row {
    pub(super) fn at(&self) -> At {
        At {
            t: self.t,
            id: self.id,
        }
    }

    pub(super) fn place(&self) -> Place {
        Place::Row {
            t: self.t,
            id: self.id,
        }
    }

    pub(super) fn when(&self) -> Option<Range> {
        self.span.map(|span| Range {
            lo: -self.t,
            hi: (-self.t).saturating_add(span),
        })
    }

    /// The row with its place known, as a statement on one place gives it: version, updated, span, body.
    pub(super) fn read((t, id): (i64, [u8; 16]), row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        Ok(Row {
            t,
            id,
            version: row.get(0)?,
            updated: row.get(1)?,
            span: row.get(2)?,
            body: row.get(3)?,
        })
    }

    pub(super) fn stored(
        &self,
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

/// Smallest first: `t` grows towards the past; what has no time comes last.
pub(super) fn rank(t: i64, sort: Sort) -> i64 {
    match sort {
        Sort::DateDesc => t,
        Sort::DateAsc if t == UNDATED => t,
        Sort::DateAsc => !t,
    }
}
