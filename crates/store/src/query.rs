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

mod cursor;
mod filter;
mod link;
mod rows;
mod series;
mod sift;
mod sort;
mod walk;

pub use cursor::Cursor;
pub(crate) use series::carries;
pub(crate) use walk::walk;
pub use walk::{Met, Walker};

use std::collections::HashSet;

use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::resource::ResourceType;
use fhir::search::{PatientParam, Query, Total};
use fhir::subset::Summary;
use fhir::time::{Instant, Range};
use rusqlite::{OptionalExtension, params};
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
use rows::{At, Row, Sought};

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
}

impl Page {
    fn empty(query: &Query) -> Page {
        Page {
            matches: Vec::new(),
            next: None,
            total: (query.total != Total::None || query.summary == Summary::Count).then_some(0),
            patient: None,
        }
    }
}

/// Who asks, as of when, and how much may still be looked at.
struct Asking<'a> {
    /// For the type that is searched, and for those it is joined with. A type without one is not seen.
    permits: Vec<(ResourceType, &'a Permit)>,
    /// The commit as of which everything is answered.
    as_of: i64,
    /// Whether anything has been superseded since.
    superseded: bool,
    /// When the first page was asked: the publishing policy shows what it showed then.
    asked: i64,
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
    };
    let number = |found: Option<(i64, LogicalId)>| found.map(|(number, _)| number);
    let whose = match (permitted.map(number), asked.map(number)) {
        (None, None) => Some(Whose::Everyone),
        (Some(one), None) | (None, Some(one)) => one.map(Whose::One),
        (Some(one), Some(other)) => one.filter(|one| other == Some(*one)).map(Whose::One),
    };
    let newest = match newest {
        Some(newest) => newest,
        None => reader
            .connection
            .prepare_cached("SELECT updated FROM store WHERE one = 1")?
            .query_row([], |row| row.get(0))?,
    };
    Ok(Scope {
        whose,
        patient: asked.or(permitted).flatten().map(|(_, id)| id),
        newest,
    })
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
    let Some(whose) = scope(reader, permit, None)?.whose else {
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
            Row::read((t, *id.uuid().as_bytes()), row)
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

/// One page of a search, within the permit. `others` are the permits of types that the query joins
/// ([`Query::others`]); each link sees what the permit of its type opens, and without one nothing.
pub(crate) fn search(
    reader: &mut Reader,
    permit: &Permit,
    others: &[(ResourceType, Permit)],
    query: &Query,
    after: Option<Cursor>,
) -> Result<Page, StoreError> {
    if !permit.opens(query.resource.information_service()) {
        return Ok(Page::empty(query));
    }
    let now = (reader.clock)().0;
    let scope = scope(reader, permit, query.patient.as_ref())?;
    let Some(whose) = scope.whose else {
        return Ok(Page {
            patient: scope.patient,
            ..Page::empty(query)
        });
    };
    let mut asking = Asking {
        permits: std::iter::once((query.resource, permit))
            .chain(others.iter().map(|(of, permit)| (*of, permit)))
            .collect(),
        as_of: after.as_ref().map_or(scope.newest, |after| after.as_of),
        superseded: false,
        asked: after.as_ref().map_or(now, |after| after.asked),
        left: reader.candidates,
        until: now.saturating_add(LONGEST),
    };
    asking.superseded = asking.as_of < scope.newest && superseded(reader, asking.as_of)?;
    let mut query = query.clone();
    query.approximate(Instant(asking.asked));
    let counted = after.as_ref().and_then(|after| after.total);
    let first = after.is_none();
    let place = after.map(|after| after.place);
    let found = found(reader, &mut asking, (permit, &whose), &query, place)?;
    let total = match query.total {
        Total::None if query.summary != Summary::Count => None,
        _ if !first => counted,
        _ => found.total,
    };
    let next = found.next.map(|place| Cursor {
        as_of: asking.as_of,
        asked: asking.asked,
        total,
        place,
    });
    Ok(Page {
        matches: found.matches,
        next,
        total,
        patient: scope.patient,
    })
}

/// Whether anything at all has been superseded since a commit.
fn superseded(reader: &Reader, as_of: i64) -> Result<bool, StoreError> {
    Ok(reader
        .connection
        .prepare_cached("SELECT 1 FROM history WHERE until > ? LIMIT 1")?
        .exists([as_of])?)
}

/// A page's matches, where the next page starts if there is one, and how many there are in all where that is known or
/// asked for.
struct Found {
    matches: Vec<Stored>,
    next: Option<Place>,
    total: Option<u64>,
}

fn found(
    reader: &mut Reader,
    asking: &mut Asking<'_>,
    (permit, whose): (&Permit, &Whose),
    query: &Query,
    place: Option<Place>,
) -> Result<Found, StoreError> {
    let counts = matches!(query.total, Total::Accurate | Total::Estimate);
    let only_count = query.summary == Summary::Count;
    let first = place.is_none();
    let mut links = Links::of(reader, asking, query)?;
    let sought = sought(reader, asking, (permit, whose), query, links.ids())?;
    let Some(sought) = sought else {
        return Ok(Found {
            matches: Vec::new(),
            next: None,
            total: Some(0),
        });
    };
    let plain = query.filters.is_empty() && query.links.is_empty();
    let completed;
    let query = if plain {
        query
    } else {
        completed = sift::completed(reader, permit, query)?;
        &completed
    };
    if only_count {
        let total = if plain {
            sought.count(&reader.connection, || asking.pace(reader))?
        } else {
            sift::count(reader, asking, &sought, query, &mut links)?
        };
        return Ok(Found {
            matches: Vec::new(),
            next: None,
            total: Some(total),
        });
    }
    let wanted = query.count.clamp(1, Query::MAX_COUNT) as usize;
    if !query.keys.is_empty() {
        return sort::page(reader, asking, &sought, (query, &mut links), wanted, place);
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
        sift::page(reader, asking, &sought, (query, &mut links), wanted, at)?
    };
    if first {
        found.total = match &found.next {
            None => Some(found.matches.len() as u64),
            Some(_) if !counts => None,
            Some(_) if plain => Some(sought.count(&reader.connection, || asking.pace(reader))?),
            Some(_) => Some(sift::count(reader, asking, &sought, query, &mut links)?),
        };
    }
    Ok(found)
}

/// What the tables have to be read for: within the permit, what is published, and the ids that are known to be the only
/// ones. `None`: nothing.
fn sought(
    reader: &Reader,
    asking: &Asking<'_>,
    (permit, whose): (&Permit, &Whose),
    query: &Query,
    joined: Option<HashSet<[u8; 16]>>,
) -> Result<Option<Sought>, StoreError> {
    let named: HashSet<[u8; 16]> = query.ids.iter().map(|id| *id.uuid().as_bytes()).collect();
    let ids = match (named.is_empty(), joined) {
        (true, joined) => joined,
        (false, None) => Some(named),
        (false, Some(joined)) => Some(named.intersection(&joined).copied().collect()),
    };
    let connection = &reader.connection;
    let mut filter = Filter::of(connection, permit, query)?;
    let past = asking.superseded.then_some(asking.as_of);
    let mut series = series::sought(connection, past, whose, query, ids.as_ref())?;
    if let Some(ids) = ids {
        if ids.is_empty() {
            return Ok(None);
        }
        filter.ids(ids);
    }
    if !permit.is_own() && !reader.publishing.is_everything() {
        let view = View::at(&reader.publishing, asking.asked);
        filter.publish(connection, &view, query.resource, &mut series)?;
    }
    Ok(Some(Sought {
        series,
        filter,
        sort: query.sort,
        as_of: asking.as_of,
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
    let mut matches: Vec<Stored> = Vec::with_capacity(wanted.min(rows.len()));
    let (mut next, mut size) = (None, 0);
    for row in rows.iter().take(wanted) {
        let stored = row.stored(reader, resource)?;
        size += stored.body.len();
        if size > PAGE_BYTES && !matches.is_empty() {
            more = true;
            break;
        }
        next = Some(row.place());
        matches.push(stored);
    }
    Ok(Found {
        matches,
        next: next.filter(|_| more),
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
