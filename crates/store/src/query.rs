//! The one place where a search becomes SQL. The permit's patient, services and period are part of every statement
//! here; no caller can leave them out.
//!
//! A patient's readings of one kind are one contiguous range, newest first. A search finds the kinds that carry what is
//! asked, opens each range where the cursor stands, and merges: what it reads is what it gives, plus a page's ends. What
//! the tables cannot answer alone is asked of each resource (`sift`), of the resources it is joined with (`link`), or
//! sorted after all of them are known (`sort`).
//!
//! All pages of a search answer as of the commit that the first saw: what came since is left out, what was changed or
//! withdrawn since is given as it was (`history` has it). A purge wins: what it erased is nowhere.

mod ask;
mod cursor;
mod filter;
mod link;
mod named;
mod narrow;
mod one;
mod rows;
mod series;
mod sift;
mod sort;
mod together;
mod walk;

pub use cursor::{Cursor, Moment, Start};
pub(crate) use one::{read, read_at};
pub(crate) use series::{carries, sourced};
pub(crate) use walk::walk;
pub use walk::{Met, Walker};

use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::resource::ResourceType;
use fhir::search::{PatientParam, Query, Total};
use fhir::subset::Summary;
use fhir::time::{Instant, Range};
use rusqlite::OptionalExtension;
use trust::{Permit, PermitScope};
use uuid::Uuid;

use crate::backend::sqlite::reader::Reader;
use crate::commit::Stored;
use crate::errors::StoreError;
use crate::prepare::person_mac;
use crate::publish::View;
use cursor::Place;
use filter::Filter;
use link::Links;
use named::Named;
use narrow::Narrow;
use rows::{At, Sought};

/// Bytes of bodies on one page, but always one resource: readers of other organisations take answers of 10 MiB.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Longest search, in microseconds (threats-and-faults section 4).
const LONGEST: i64 = 2_000_000;

/// One page of a search.
#[derive(Debug)]
pub struct Page {
    /// The matches, in order.
    pub matches: Vec<Stored>,
    /// Where the next page starts; `None`: this was the last.
    pub next: Option<Cursor>,
    /// How many there are in all: where it was asked for, or where it is known without counting them (the whole answer is
    /// on this page). Later pages tell what the first counted.
    pub total: Option<u64>,
    /// The Patient that question or permit names, if it is known here.
    pub patient: Option<LogicalId>,
    /// The state of the store that the page is of.
    pub moment: Moment,
}

/// Who asks, as of when, and how much may still be looked at.
struct Asking<'a> {
    /// For the type that is searched, and for those it is joined with. A type without one is not seen.
    permits: Vec<(ResourceType, &'a Permit)>,
    /// As of when everything is answered.
    moment: Moment,
    /// Whether anything has been superseded since.
    superseded: bool,
    /// Resources that may still be looked at.
    left: usize,
    /// When the clock runs out.
    until: i64,
}

impl<'a> Asking<'a> {
    fn permit(&self, resource: ResourceType) -> Option<&'a Permit> {
        self.permits
            .iter()
            .find(|(of, _)| *of == resource)
            .map(|(_, permit)| *permit)
            .filter(|permit| permit.opens(resource.information_service()))
    }

    /// Counts a resource that is looked at.
    fn look(&mut self) -> Result<(), StoreError> {
        self.left = self.left.checked_sub(1).ok_or(StoreError::TooCostly)?;
        Ok(())
    }

    /// Whether there is time left.
    fn pace(&self, reader: &Reader) -> Result<(), StoreError> {
        if (reader.clock)().0 > self.until {
            return Err(StoreError::Timeout);
        }
        Ok(())
    }
}

/// Whose rows may be seen.
enum Whose {
    One(i64),
    Everyone,
}

/// What the tables say of question and permit together.
struct Scope {
    /// The patients that they have in common; `None`: nobody.
    whose: Option<Whose>,
    /// The Patient that one of them names.
    patient: Option<LogicalId>,
    /// The newest commit.
    newest: i64,
}

/// A patient's number and id, with the newest commit, so that a look-up needs no statement more.
const PATIENT: &str = "SELECT n, id, (SELECT updated FROM store WHERE one = 1) FROM patient";

fn scope(
    reader: &Reader,
    permit: &Permit,
    asked: Option<&PatientParam>,
) -> Result<Scope, StoreError> {
    let mut newest = None;
    let mut find = |column: &str, key: &[u8]| -> Result<Option<(i64, LogicalId)>, StoreError> {
        let row = reader
            .connection
            .prepare_cached(&format!("{PATIENT} WHERE {column} = ?"))?
            .query_row([key], |row| {
                newest = Some(row.get(2)?);
                Ok((row.get(0)?, LogicalId(Uuid::from_bytes(row.get(1)?))))
            })
            .optional()?;
        Ok(row)
    };
    let mac = |person: &PersonIdentifier| person_mac(&reader.keys, person);
    let asked = match asked {
        None => None,
        Some(PatientParam::Identifier(person)) => Some(find("mac", &mac(person))?),
        Some(PatientParam::Local(id)) => Some(find("id", id.uuid().as_bytes())?),
    };
    let permitted = match permit.patient() {
        PermitScope::OwnStore => None,
        PermitScope::Patient(person) => Some(find("mac", &mac(person))?),
        PermitScope::Nobody => Some(None),
    };
    let number = |found: Option<(i64, LogicalId)>| found.map(|(number, _)| number);
    let whose = match (permitted.map(number), asked.map(number)) {
        (None, None) => Some(Whose::Everyone),
        (Some(one), None) | (None, Some(one)) => one.map(Whose::One),
        (Some(one), Some(other)) => one.filter(|one| other == Some(*one)).map(Whose::One),
    };
    let newest = match newest {
        Some(newest) => newest,
        None => self::newest(reader)?,
    };
    Ok(Scope {
        whose,
        patient: asked.or(permitted).flatten().map(|(_, id)| id),
        newest,
    })
}

/// The time that a permit narrows a type to. A Patient has no time, so no period hides who it is about; of all other
/// types, what carries no time is not known to lie in the period, and is not given.
fn period(permit: &Permit, resource_type: ResourceType) -> Option<Range> {
    permit
        .period()
        .filter(|_| resource_type != ResourceType::PATIENT)
}

/// One page of a search of one type or several, each within its permit, all in one order. The queries differ in type alone.
/// `others` are the permits of types that they join ([`Query::others`]); each link sees what the permit of its type opens, and
/// without one nothing.
pub(crate) fn search(
    reader: &mut Reader,
    asks: &[(&Permit, &Query)],
    others: &[(ResourceType, Permit)],
    start: Start,
) -> Result<Page, StoreError> {
    let Some((_, first)) = asks.first() else {
        return Err(StoreError::Bug);
    };
    let now = (reader.clock)().0;
    let mut scopes = Vec::with_capacity(asks.len());
    for (permit, query) in asks {
        if permit.opens(query.resource.information_service()) {
            let scope = scope(reader, permit, query.patient.as_ref())?;
            scopes.push((*permit, *query, scope));
        }
    }
    let newest = match scopes.first() {
        Some((_, _, scope)) => scope.newest,
        None => newest(reader)?,
    };
    let (moment, after) = match start {
        Start::Now => (
            Moment {
                as_of: newest,
                asked: now,
            },
            None,
        ),
        Start::At(moment) => (moment, None),
        Start::After(cursor) => (cursor.moment, Some(cursor)),
    };
    let mut asking = Asking {
        permits: asks
            .iter()
            .map(|(permit, query)| (query.resource, *permit))
            .chain(others.iter().map(|(of, permit)| (*of, permit)))
            .collect(),
        moment,
        superseded: superseded(reader, moment, newest)?,
        left: reader.candidates,
        until: now.saturating_add(LONGEST),
    };
    let (counted, place) = match after {
        None => (None, None),
        Some(cursor) => (Some(cursor.total), Some(cursor.place)),
    };
    let mut parts = Vec::with_capacity(scopes.len());
    for (permit, query, scope) in &scopes {
        if let Some(whose) = &scope.whose {
            let mut query = (*query).clone();
            query.approximate(Instant(moment.asked));
            parts.push(found(
                reader,
                &mut asking,
                (permit, whose),
                query,
                place.clone(),
            )?);
        }
    }
    let found = together::merged(parts, first)?;
    let total = match (first.total, counted) {
        (Total::None, _) if first.summary != Summary::Count => None,
        (_, Some(counted)) => counted,
        (_, None) => found.total,
    };
    let last = found.matches.last().map(|(_, place)| place.clone());
    let next = last.filter(|_| found.more).map(|place| Cursor {
        moment,
        total,
        place,
    });
    Ok(Page {
        matches: found
            .matches
            .into_iter()
            .map(|(stored, _)| stored)
            .collect(),
        next,
        total,
        patient: scopes.iter().find_map(|(_, _, scope)| scope.patient),
        moment,
    })
}

/// The newest commit.
fn newest(reader: &Reader) -> Result<i64, StoreError> {
    Ok(reader
        .connection
        .prepare_cached("SELECT updated FROM store WHERE one = 1")?
        .query_row([], |row| row.get(0))?)
}

/// Whether anything at all has been superseded since a moment.
fn superseded(reader: &Reader, moment: Moment, newest: i64) -> Result<bool, StoreError> {
    Ok(moment.as_of < newest
        && reader
            .connection
            .prepare_cached("SELECT 1 FROM history WHERE until > ? LIMIT 1")?
            .exists([moment.as_of])?)
}

/// A page's matches with their places, whether there are more, and how many there are in all where that is known or asked for.
struct Found {
    matches: Vec<(Stored, Place)>,
    more: bool,
    total: Option<u64>,
}

impl Found {
    fn nothing(total: u64) -> Found {
        Found {
            matches: Vec::new(),
            more: false,
            total: Some(total),
        }
    }
}

fn found(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    (permit, whose): (&Permit, &Whose),
    query: Query,
    place: Option<Place>,
) -> Result<Found, StoreError> {
    let counts = matches!(query.total, Total::Accurate | Total::Estimate);
    let only_count = query.summary == Summary::Count;
    let first = place.is_none();
    let plain = query.filters.is_empty() && query.links.is_empty();
    let query = if plain {
        query
    } else {
        sift::completed(reader, permit, &query)?
    };
    let mut links = Links::of(reader, asking, &query)?;
    let Some(sought) = sought(reader, asking, (permit, whose), &query, links.narrow())? else {
        return Ok(Found::nothing(0));
    };
    if only_count {
        return Ok(Found::nothing(if plain {
            sought.count(&reader.connection, || asking.pace(reader))?
        } else {
            sift::count(reader, asking, &sought, &query, &mut links)?
        }));
    }
    let wanted = query.count.clamp(1, Query::MAX_COUNT) as usize;
    if !query.keys.is_empty() {
        return sort::page(reader, asking, &sought, (&query, &mut links), wanted, place);
    }
    let at = match place {
        None => None,
        Some(Place::Row { t, id }) => Some(At { t, id }),
        // Of another question.
        Some(Place::Sorted { .. }) => return Err(StoreError::NotFound),
    };
    let mut found = if plain {
        page(reader, &sought, query.resource, wanted, at)?
    } else {
        sift::page(reader, asking, &sought, (&query, &mut links), wanted, at)?
    };
    if first {
        found.total = match found.more {
            false => Some(found.matches.len() as u64),
            true if !counts => None,
            true if plain => Some(sought.count(&reader.connection, || asking.pace(reader))?),
            true => Some(sift::count(reader, asking, &sought, &query, &mut links)?),
        };
    }
    Ok(found)
}

/// What the tables have to be read for: within the permit, what is published, and where alone a match can be. `None`: nothing.
fn sought(
    reader: &Reader,
    asking: &Asking<'_>,
    (permit, whose): (&Permit, &Whose),
    query: &Query,
    joined: Option<&Narrow>,
) -> Result<Option<Sought>, StoreError> {
    let narrow = narrow::both(joined.cloned(), narrow::by_query(reader, query)?);
    let connection = &reader.connection;
    let mut filter = Filter::of(connection, permit, query)?;
    let view = (!permit.is_own() && !reader.publishing.is_everything())
        .then(|| View::at(&reader.publishing, asking.moment.asked));
    let as_of = asking.moment.as_of;
    let (mut series, mut named) = (Vec::new(), None);
    let within = match &narrow {
        Some(Narrow::Ids(ids)) => {
            let mut found = Named::of(connection, (as_of, asking.superseded), whose, query, ids)?;
            if let Some(view) = &view {
                found.publish(connection, view, query, &mut filter)?;
            }
            named = Some(found);
            None
        }
        Some(Narrow::Series(within)) => Some(within),
        None => None,
    };
    if named.is_none() {
        let past = asking.superseded.then_some(as_of);
        series = series::sought(connection, past, whose, query, within)?;
        if let Some(view) = &view {
            filter.publish(connection, view, query.resource, &mut series)?;
        }
    }
    if named.as_ref().map_or(series.is_empty(), Named::is_empty) {
        return Ok(None);
    }
    Ok(Some(Sought {
        series,
        named,
        filter,
        sort: query.sort,
        as_of,
    }))
}

/// A page of what the tables alone answer.
fn page(
    reader: &mut Reader,
    sought: &Sought,
    resource: ResourceType,
    wanted: usize,
    after: Option<At>,
) -> Result<Found, StoreError> {
    let rows = sought.rows(&reader.connection, after, wanted + 1)?;
    let mut more = rows.len() > wanted;
    let mut matches = Vec::with_capacity(wanted.min(rows.len()));
    let mut size = 0;
    for row in rows.iter().take(wanted) {
        let stored = row.stored(reader, resource)?;
        size += stored.body.len();
        if size > PAGE_BYTES && !matches.is_empty() {
            more = true;
            break;
        }
        matches.push((stored, row.place()));
    }
    Ok(Found {
        matches,
        more,
        total: None,
    })
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
