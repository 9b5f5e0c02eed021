//! The conditions on a row, as SQL with bound values.
//!
//! Standard: FHIR R4 search 3.1.1.4.7 (dates as ranges).

use std::collections::{HashMap, HashSet};

use fhir::resource::ResourceType;
use fhir::search::{DateParam, Prefix, Query};
use fhir::time::Range;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};
use trust::Permit;

use super::period;
use super::series::Series;
use crate::errors::StoreError;
use crate::prepare::UNDATED;
use crate::publish::{Condition, View};

/// Parameters that every statement of a series has: patient, kind, lowest t, highest t, cursor t, cursor id, limit, as of.
pub(super) const FIXED: usize = 8;

/// The conditions on a row, as SQL with its values, and the bounds that dates put on `t`.
pub(super) struct Filter {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
    /// Bounds on the start of a resource's time that follow from the dates alone: not before, before.
    starts: (i64, i64),
    /// Lowest end (exclusive) of a resource's time; with a series' widest span this bounds the start too.
    ends_after: i64,
    /// What the policy asks of resources of a kind; a kind that is not here is published whole.
    pub(super) published: HashMap<i64, Condition>,
}

impl Filter {
    pub(super) fn of(
        connection: &Connection,
        permit: &Permit,
        query: &Query,
    ) -> Result<Filter, StoreError> {
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
    pub(super) fn publish(
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
    pub(super) fn bounds(&self, series: &Series) -> (i64, i64) {
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
