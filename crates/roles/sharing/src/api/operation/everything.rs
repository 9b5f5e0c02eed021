//! `Patient/{id}/$everything` (FHIR R4 patient-operation-everything.html): the patient and all that the permit opens.
//!
//! Types come in the order in which the service lists them, the Patient first; each type newest first, as a search gives it.
//! A type that the token does not cover is left out, as FHIR has it. All types and all pages are of one moment, that of the first
//! page. Pages go on by sealed links, for the same client and
//! patient only; the question is sealed in them.

use super::question::read_count;
use crate::State;
use crate::api::id_of;
use crate::disclose::disclose;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::definitions::Types;
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::operation::{self, Input};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::{DateParam, PatientParam, Prefix, Query, SUPPORTED};
use fhir::time::{Instant, Range, parse_instant, parse_search_date};
use http::request::Parts;
use std::sync::Arc;
use store::{Cursor, Moment, Start, Stored};
use trust::{Ask, Interaction, Permit};
use wire::outcome::Problem;
use wire::paging::Ticket;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// The one parameter of a page's address.
const PAGE: &str = "_page";

/// Most rows looked at for one page, when `_since` leaves most of them out.
const MOST_LOOKED_AT: usize = 5_000;
/// Most bytes of bodies on a page, but always one resource.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// `POST {base}/Patient/{id}/$everything`.
pub async fn by_post(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        let form = wire::operation::read(&parts.headers, body).await?;
        page(&state, visit, &id, form, None).await
    };
    serve(&state, &parts, ids, work).await
}

/// `GET {base}/Patient/{id}/$everything`, and its pages.
pub async fn by_get(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let work = async |visit: &mut Visit<'_>| {
        let form = wire::form::Form::parse(query.as_bytes()).map_err(Problem::from)?;
        match form.0.as_slice() {
            [(name, sealed)] if name == PAGE => next(&state, visit, &id, sealed).await,
            _ => page(&state, visit, &id, form.0, None).await,
        }
    };
    serve(&state, &parts, ids, work).await
}

/// Another patient's id is not there, like any that nobody has.
async fn serve(
    state: &State,
    parts: &Parts,
    ids: RequestIds,
    work: impl AsyncFnOnce(&mut Visit<'_>) -> Result<Response, End>,
) -> Result<Response, Problem> {
    let desk = &state.desk;
    desk.serve(parts, ids, Interaction::Search, work).await
}

async fn next(
    state: &State,
    visit: &mut Visit<'_>,
    id: &str,
    sealed: &str,
) -> Result<Response, End> {
    let ticket: Ticket<(String, Place)> =
        Ticket::open(state.desk.store.unseal(sealed), visit.caller(), visit.now)?;
    let (of, place) = ticket.cursor;
    if of != id {
        return Err(Problem::not_found().into());
    }
    page(state, visit, id, ticket.query, Some(place)).await
}

/// Where a page starts: the type, how far it came in it (a store's cursor; empty: at its beginning), and the moment of which all
/// pages are.
type Place = (String, Vec<u8>, (i64, i64));

async fn page(
    state: &State,
    visit: &mut Visit<'_>,
    id: &str,
    form: Input,
    place: Option<Place>,
) -> Result<Response, End> {
    let ask = Ask::of(Interaction::Search, ResourceType::PATIENT);
    // The need first: without it not even an id is looked at.
    visit.permit(&ask)?;
    let asked = Asked::read(state, &form).map_err(Problem::invalid_all)?;
    // On record as received once it is known that no person's number stands in it: it may have come in a URL.
    visit.asked(&wire::form::write(
        form.iter().map(|(n, v)| (n.as_str(), v.as_str())),
    ));
    let patient = id_of(id)?;
    let person = state.desk.store.patient_of(patient).await?;
    let Some(person) = person else {
        return Err(Problem::not_found().into());
    };
    let ask = |resource| Ask {
        interaction: Interaction::Search,
        resource,
        patient: Some(person.clone()),
    };
    let permit = visit.permit(&ask(ResourceType::PATIENT))?;
    // A reading's id is nobody's id, though it is about somebody.
    if state.desk.store.patient_id(&person).await? != Some(patient) {
        return Err(Problem::not_found().into());
    }
    let mut found: Vec<Stored> = Vec::new();
    let mut on = None;
    let (mut looked_at, mut size) = (0, 0);
    let start = place
        .as_ref()
        .and_then(|(name, ..)| asked.types.iter().position(|t| t.as_str() == name));
    let (start, mut after) = match (&place, start) {
        (None, _) => (0, None),
        (Some((_, bytes, _)), Some(start)) if bytes.is_empty() => (start, None),
        (Some((_, bytes, _)), Some(start)) => (
            start,
            Some(Cursor::from_bytes(bytes).ok_or_else(Problem::not_found)?),
        ),
        (Some(_), None) => return Err(Problem::not_found().into()),
    };
    // One state of the store for all types and all pages.
    let mut moment = place.map(|(_, _, numbers)| Moment::from_numbers(numbers));
    'types: for resource in asked.types.iter().skip(start) {
        // What this token does not cover is left out; the patient itself is decided on above.
        let Ok(permit) = visit.permit(&ask(*resource)) else {
            after = None;
            continue;
        };
        let mut from = after.take();
        loop {
            if found.len() >= asked.count || looked_at >= MOST_LOOKED_AT || size >= PAGE_BYTES {
                let bytes = from.map(|cursor: Cursor| cursor.to_bytes().to_vec());
                let Some(moment) = moment else { break 'types };
                let name = resource.as_str().to_owned();
                on = Some((name, bytes.unwrap_or_default(), moment.to_numbers()));
                break 'types;
            }
            let query = asked.query(*resource, patient, &person, asked.count - found.len());
            let start = match (from, moment) {
                (Some(cursor), _) => Start::After(cursor),
                (None, Some(moment)) => Start::At(moment),
                (None, None) => Start::Now,
            };
            let answer = state.desk.store.search(&permit, &query, start).await?;
            moment = Some(answer.moment);
            for stored in answer.matches {
                looked_at += 1;
                if asked.since.is_none_or(|since| stored.last_updated >= since) {
                    size += stored.body.len();
                    found.push(stored);
                }
            }
            from = answer.next;
            if from.is_none() {
                break;
            }
        }
    }
    answer(state, visit, id, form, &permit, found, on).await
}

async fn answer(
    state: &State,
    visit: &Visit<'_>,
    id: &str,
    form: Input,
    permit: &Permit,
    found: Vec<Stored>,
    on: Option<Place>,
) -> Result<Response, End> {
    let path = format!("Patient/{id}/$everything");
    let own = wire::paging::self_link(&state.base, &path, &form);
    let next = match on {
        Some(place) => {
            let ticket = Ticket::new(visit.caller(), form, (id.to_owned(), place), visit.now);
            let sealed = state.desk.store.seal(&ticket.to_bytes()?)?;
            Some(format!("{}/{path}?{PAGE}={sealed}", state.base))
        }
        None => None,
    };
    let disclosed = disclose(visit, permit, found).await?;
    let mut links = vec![("self", own.as_str())];
    links.extend(next.as_deref().map(|url| ("next", url)));
    // How many there are in all is not counted.
    Ok(disclosed.searchset(&state.base, None, &links))
}

/// What was understood.
struct Asked {
    types: Vec<ResourceType>,
    dates: Vec<DateParam>,
    since: Option<Instant>,
    count: usize,
}

impl Asked {
    fn read(state: &State, form: &Input) -> Result<Asked, Vec<Issue>> {
        let known = [
            ("start", false),
            ("end", false),
            ("_since", false),
            ("_type", true),
            ("_count", false),
        ];
        let mut issues = operation::unknown(form, &known);
        let one = |name: &str| {
            form.iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.as_str())
        };
        let all: Vec<ResourceType> = everything(&state.config.types).collect();
        let mut named = Vec::new();
        for (_, value) in form.iter().filter(|(name, _)| name == "_type") {
            for name in value.split(',') {
                match all.iter().find(|t| t.as_str() == name) {
                    Some(found) => named.push(*found),
                    None => {
                        let names: Vec<&str> = all.iter().map(|t| t.as_str()).collect();
                        let words = format!("types here: {}", names.join(", "));
                        issues.push(Issue::error(IssueCode::NotSupported, "_type", words));
                    }
                }
            }
        }
        let mut keep = |name: &str, words: String| {
            issues.push(Issue::error(IssueCode::Value, name, words));
        };
        let zone = &state.config.zone;
        let mut range = |name: &str| -> Option<Range> {
            match parse_search_date(one(name)?, zone) {
                Ok(range) => Some(range),
                Err(error) => {
                    keep(name, error.to_string());
                    None
                }
            }
        };
        // "On or after" and "on or before", as a search says it.
        let date = |prefix| move |range| DateParam { prefix, range };
        let dates = [
            range("start").map(date(Prefix::Ge)),
            range("end").map(date(Prefix::Le)),
        ];
        let since = one("_since").and_then(|text| {
            let read = parse_instant(text);
            if let Err(error) = &read {
                keep("_since", error.to_string());
            }
            read.ok()
        });
        let count = read_count(one("_count")).unwrap_or_else(|words| {
            keep("_count", words);
            0
        });
        if !issues.is_empty() {
            return Err(issues);
        }
        Ok(Asked {
            types: all
                .into_iter()
                .filter(|t| named.is_empty() || named.contains(t))
                .collect(),
            dates: dates.into_iter().flatten().collect(),
            since,
            count,
        })
    }

    /// The search of one type.
    fn query(
        &self,
        resource: ResourceType,
        patient: LogicalId,
        person: &PersonIdentifier,
        count: usize,
    ) -> Query {
        let mut query = Query::all(resource);
        query.count = u32::try_from(count).unwrap_or(Query::MAX_COUNT);
        if resource == ResourceType::PATIENT {
            // Dates are about care; who the patient is has none.
            query.ids = vec![patient];
        } else {
            query.patient = Some(PatientParam::Identifier(person.clone()));
            query.dates = self.dates.clone();
        }
        query
    }
}

/// The types of a patient's compartment here: the Patient first, then those that every party looks up, then all others that
/// are enabled. The trail of accesses is not among them; it has rules of its own.
fn everything(types: &Types) -> impl Iterator<Item = ResourceType> {
    let first = || SUPPORTED.iter().map(|row| row.resource);
    let others = types.iter().filter(move |t| first().all(|one| one != *t));
    std::iter::once(ResourceType::PATIENT).chain(
        first()
            .chain(others)
            .filter(|t| types.serves(*t) && *t != ResourceType::PATIENT),
    )
}
