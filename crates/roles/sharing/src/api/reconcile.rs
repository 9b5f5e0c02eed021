//! `$reconcile`: a record system compares what it holds with the copy that is shared here, from whole patients down to the
//! one reading that differs (docs/guide/record-system.md). Nothing is changed: what differs is repaired by the feed.
//!
//! Parameters: `type` (code) and `code` (Coding, may be left out) name the kind, as for `$replace-series`. With them stands
//! one of three questions: `series` (patient, count, digest) for many patients, complete for the patients whose number ends
//! with `ending` if that is there; `patient` and `bucket` (month, count, digest) for one patient's series by months; or
//! `patient`, `month` (may be left out) and `entry` (digest, identifier) for its resources. A person's number stands in the
//! body alone.

use super::writable;
use crate::State;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::PersonIdentifier;
use fhir::index::Coding;
use fhir::json::{Json, Limits, Node};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::{TokenParam, TokenSystem};
use fhir::time::{Instant, Zone};
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use store::{ContentDigest, Holding, Patients, Tally};
use trust::audit::Disclosed;
use trust::{Ask, Category, Interaction, Permit, PermitScope, Refusal};
use wire::contract::sharing::{Agreement, UNDATED};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Most rows of one question.
const MOST: usize = 5_000;

const NOT_THE_SOURCE: Refusal = Refusal {
    rule: "role",
    category: Category::Forbidden,
    code: "access_denied",
    message: "only the organisation's own record system compares its copy",
};

/// `POST {base}/$reconcile`.
pub async fn reconcile(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| compare(&state, visit, &parts, body).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Search, work)
        .await
}

/// A kind, as `$replace-series` names it.
struct Kind {
    resource_type: ResourceType,
    codes: Vec<TokenParam>,
}

/// What the source says it holds.
enum Sent {
    /// Of many patients; all of those whose number ends so.
    Patients(Vec<(PersonIdentifier, Tally)>, Option<String>),
    /// Of one patient, by months: all of them.
    Months(PersonIdentifier, Vec<(String, Tally)>),
    /// Of one patient, of one month or of all: each resource.
    Entries(PersonIdentifier, Option<String>, Vec<Entry>),
}

/// One resource at the source.
struct Entry {
    digest: ContentDigest,
    identifier: Option<(String, String)>,
}

/// The answer as it grows.
#[derive(Default)]
struct Found {
    agree: u64,
    rows: Vec<Value>,
    given: Vec<Disclosed>,
}

async fn compare(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    own_system(state, visit)?;
    if !state.config.members.is_empty() {
        let words =
            "a shared register is its members' record itself: there is no source to compare with";
        return Err(Problem::not_supported("Parameters", words).into());
    }
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::BUNDLE.bytes).await?;
    let json = Json::parse(bytes, Limits::BUNDLE)?;
    let (kind, sent) = read(state, json.root()).map_err(Problem::invalid_all)?;
    visit.asked(&sent.in_short(&kind));
    let permit = visit.permit(&Ask::of(Interaction::Search, kind.resource_type))?;
    let about = match &sent {
        Sent::Patients(..) => None,
        Sent::Months(person, _) | Sent::Entries(person, ..) => Some(person.clone()),
    };
    let found = match sent {
        Sent::Patients(series, ending) => patients(state, &permit, kind, series, ending).await?,
        Sent::Months(person, sent) => months(state, &permit, kind, &person, sent).await?,
        Sent::Entries(person, month, entries) => {
            resources(state, &permit, kind, &person, month, entries).await?
        }
    };
    let record = visit.record().permitted(&permit).about(about);
    visit.write(record.disclosing(found.given)).await?;
    let mut parameters = vec![json!({"name": "agree", "valueUnsignedInt": found.agree})];
    parameters.extend(found.rows);
    let answer = json!({"resourceType": "Parameters", "parameter": parameters});
    Ok(fhir_response(
        StatusCode::OK,
        answer.to_string().into_bytes(),
    ))
}

/// The permit of the store's own system, for whichever type it may search first.
///
/// # Errors
/// The refusal.
pub(super) fn own_system(state: &State, visit: &Visit<'_>) -> Result<Permit, End> {
    let mut refused = None;
    for resource in state.config.types.iter() {
        match visit.permit(&Ask::of(Interaction::Search, resource)) {
            Ok(permit) if *permit.patient() == PermitScope::OwnStore => return Ok(permit),
            Ok(_) => return Err(End::Refused(NOT_THE_SOURCE)),
            Err(end) => {
                refused.get_or_insert(end);
            }
        }
    }
    Err(refused.unwrap_or(End::Refused(NOT_THE_SOURCE)))
}

async fn patients(
    state: &State,
    permit: &Permit,
    kind: Kind,
    sent: Vec<(PersonIdentifier, Tally)>,
    ending: Option<String>,
) -> Result<Found, End> {
    let asked = match ending {
        Some(digits) => Patients::Ending(digits),
        None => Patients::These(sent.iter().map(|(person, _)| person.clone()).collect()),
    };
    let held = state
        .desk
        .store
        .tallies(permit, kind.resource_type, kind.codes, asked)
        .await?;
    let mut held: HashMap<PersonIdentifier, Tally> = held.into_iter().collect();
    let mut found = Found::default();
    let mut rows = Vec::new();
    for (person, there) in sent {
        let here = held.remove(&person);
        match agreement(Some(there), here) {
            Some(state) => rows.push((person, state, here)),
            None => found.agree += 1,
        }
    }
    // In no order of theirs: the numbers' own.
    let mut extra: Vec<_> = held.into_iter().collect();
    extra.sort_by(|(a, _), (b, _)| a.cmp(b));
    rows.extend(
        extra
            .into_iter()
            .map(|(person, here)| (person, Agreement::Extra, Some(here))),
    );
    found.rows = rows
        .into_iter()
        .map(|(person, state, here)| {
            let patient = json!({"name": "patient", "valueIdentifier": {"system": person.system(), "value": person.value().expose()}});
            row("series", patient, state, here)
        })
        .collect();
    Ok(found)
}

async fn months(
    state: &State,
    permit: &Permit,
    kind: Kind,
    person: &PersonIdentifier,
    sent: Vec<(String, Tally)>,
) -> Result<Found, End> {
    let holdings = state
        .desk
        .store
        .holdings(permit, kind.resource_type, kind.codes, person)
        .await?;
    let mut held: BTreeMap<String, Vec<ContentDigest>> = BTreeMap::new();
    for one in holdings {
        held.entry(month_of(one.start, &state.config.zone))
            .or_default()
            .push(one.digest);
    }
    let mut found = Found::default();
    let mut add =
        |month: String, there: Option<Tally>, here: Option<Tally>| match agreement(there, here) {
            Some(state) => {
                let month = json!({"name": "month", "valueString": month});
                found.rows.push(row("bucket", month, state, here));
            }
            None => found.agree += 1,
        };
    for (month, there) in sent {
        let here = held.remove(&month).map(Tally::of);
        add(month, Some(there), here);
    }
    for (month, digests) in held {
        add(month, None, Some(Tally::of(digests)));
    }
    Ok(found)
}

async fn resources(
    state: &State,
    permit: &Permit,
    kind: Kind,
    person: &PersonIdentifier,
    month: Option<String>,
    entries: Vec<Entry>,
) -> Result<Found, End> {
    let store = &state.desk.store;
    let mut held = store
        .holdings(permit, kind.resource_type, kind.codes, person)
        .await?;
    if let Some(month) = month {
        held.retain(|one| month_of(one.start, &state.config.zone) == month);
    }
    if held.len() > MOST {
        let words = format!("more than {MOST} resources here; compare by months, and name one");
        return Err(Problem::invalid(IssueCode::TooCostly, "Parameters.parameter", words).into());
    }
    // The same content is the same, whatever it is called.
    let mut by_content: HashMap<ContentDigest, Vec<Holding>> = HashMap::new();
    for one in &held {
        by_content.entry(one.digest).or_default().push(*one);
    }
    let mut matched = HashSet::new();
    let mut found = Found::default();
    let mut others = Vec::new();
    for entry in entries {
        match by_content.get_mut(&entry.digest).and_then(Vec::pop) {
            Some(one) => {
                matched.insert(one.id);
                found.agree += 1;
            }
            None => others.push(entry),
        }
    }
    let identifiers = others.iter().filter_map(|one| one.identifier.clone());
    let known = store
        .named(
            permit,
            kind.resource_type,
            person,
            identifiers.collect::<Vec<_>>(),
        )
        .await?;
    let mut known = known.into_iter();
    let mut tell = |digest: ContentDigest, state: Agreement, at: Option<(String, u64)>| {
        let mut parts = vec![
            json!({"name": "digest", "valueString": hex(&digest)}),
            json!({"name": "state", "valueCode": state.as_str()}),
        ];
        if let Some((id, version)) = at {
            let reference = format!("{}/{id}", kind.resource_type);
            parts.push(json!({"name": "resource", "valueReference": {"reference": reference}}));
            parts.push(json!({"name": "version", "valueString": version.to_string()}));
            found.given.push(Disclosed {
                resource: kind.resource_type.as_str().to_owned(),
                id,
                version,
            });
        }
        found.rows.push(json!({"name": "entry", "part": parts}));
    };
    for entry in others {
        let named = entry.identifier.and_then(|_| known.next().flatten());
        let at = named.map(|one| (one.id.to_string(), one.version));
        let state = match named {
            None => Agreement::Missing,
            Some(one) if one.withdrawn => Agreement::Withdrawn,
            Some(one) => {
                matched.insert(one.id);
                Agreement::Differs
            }
        };
        tell(entry.digest, state, at);
    }
    for one in held.iter().filter(|one| !matched.contains(&one.id)) {
        let at = (one.id.to_string(), one.version);
        tell(one.digest, Agreement::Extra, Some(at));
    }
    Ok(found)
}

/// What is to be told of a set there and here; `None` where they agree.
fn agreement(there: Option<Tally>, here: Option<Tally>) -> Option<Agreement> {
    let there = there.filter(|tally| tally.count > 0);
    match (there, here) {
        (Some(there), Some(here)) => (there != here).then_some(Agreement::Differs),
        (Some(_), None) => Some(Agreement::Missing),
        (None, Some(_)) => Some(Agreement::Extra),
        (None, None) => None,
    }
}

fn row(name: &str, what: Value, state: Agreement, here: Option<Tally>) -> Value {
    let mut parts = vec![
        what,
        json!({"name": "state", "valueCode": state.as_str()}),
        json!({"name": "count", "valueUnsignedInt": here.map_or(0, |tally| tally.count)}),
    ];
    if let Some(here) = here {
        parts.push(json!({"name": "digest", "valueString": hex(&here.digest)}));
    }
    json!({"name": name, "part": parts})
}

/// The month in which a resource's time begins, by the calendar of the service's zone.
fn month_of(start: Option<Instant>, zone: &Zone) -> String {
    match start {
        // What began before anything that can be written has no beginning.
        Some(start) if start.0 > fhir::time::EARLIEST => {
            let (year, month, _) = zone.day_of(start);
            format!("{year:04}-{month:02}")
        }
        _ => UNDATED.to_owned(),
    }
}

impl Sent {
    /// For the audit record: what was asked, without anybody's number.
    fn in_short(&self, kind: &Kind) -> String {
        let (what, rows) = match self {
            Sent::Patients(rows, _) => ("series", rows.len()),
            Sent::Months(_, rows) => ("months", rows.len()),
            Sent::Entries(_, _, rows) => ("entries", rows.len()),
        };
        format!("{} {what} of {rows}", kind.resource_type)
    }
}

/// Reads the question; every fault says where.
fn read(state: &State, root: Node<'_>) -> Result<(Kind, Sent), Vec<Issue>> {
    let fault = |place: String, words: &str| vec![Issue::error(IssueCode::Invalid, place, words)];
    if root.text("resourceType").as_deref() != Some("Parameters") {
        return Err(fault(
            "resourceType".to_owned(),
            "a Parameters resource was expected",
        ));
    }
    let (mut resource_type, mut code, mut patient) = (None, None, None);
    let (mut ending, mut month) = (None, None);
    let (mut series, mut buckets, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for parameter in root.get("parameter").into_iter().flat_map(Node::items) {
        let parts = Parted(parameter);
        let name = parameter.text("name").unwrap_or_default();
        // `Some(false)`: understood, and not there before.
        let twice = match name.as_ref() {
            "type" => parameter
                .text("valueCode")
                .and_then(|name| writable(state, &name).ok())
                .filter(|found| *found != ResourceType::PATIENT)
                .map(|found| resource_type.replace(found).is_some()),
            "code" => parameter
                .get("valueCoding")
                .and_then(Coding::read)
                .map(|found| code.replace(found).is_some()),
            "patient" => person(state, parameter).map(|found| patient.replace(found).is_some()),
            "ending" => parameter
                .text("valueString")
                .filter(|text| {
                    (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
                })
                .map(|found| ending.replace(found.into_owned()).is_some()),
            "month" => parameter
                .text("valueString")
                .filter(|text| is_month(text))
                .map(|found| month.replace(found.into_owned()).is_some()),
            "series" => parts
                .only(&["patient", "count", "digest"])
                .and_then(|()| Some((person(state, parts.get("patient")?)?, parts.tally()?)))
                .map(|found| {
                    series.push(found);
                    false
                }),
            "bucket" => parts
                .only(&["month", "count", "digest"])
                .and_then(|()| Some((parts.text("month")?, parts.tally()?)))
                .filter(|(month, _)| is_month(month))
                .map(|found| {
                    buckets.push(found);
                    false
                }),
            "entry" => parts
                .only(&["digest", "identifier"])
                .and_then(|()| parts.entry())
                .map(|found| {
                    entries.push(found);
                    false
                }),
            _ => None,
        };
        if twice != Some(false) {
            let words = "expected: type (code) and code (Coding, may be left out); with ending (1 to 4 digits) and series (patient, count, digest), or patient (Identifier) and bucket (month, count, digest), or patient, month (yyyy-mm or undated) and entry (digest, identifier); digests in hexadecimal";
            return Err(fault(parameter.expression(), words));
        }
    }
    let place = || "Parameters.parameter".to_owned();
    if series.len().max(buckets.len()).max(entries.len()) > MOST {
        return Err(vec![Issue::error(
            IssueCode::TooCostly,
            place(),
            format!("at most {MOST} rows in one question"),
        )]);
    }
    let Some(resource_type) = resource_type else {
        return Err(fault(place(), "the type is needed"));
    };
    let several = "series, bucket and entry are three questions: ask one of them, the last two about one patient";
    let sent = match (patient, month) {
        (None, None) if buckets.is_empty() && entries.is_empty() => {
            let outside = |(person, _): &(PersonIdentifier, Tally)| {
                ending
                    .as_ref()
                    .is_some_and(|digits| !person.value().expose().ends_with(digits))
            };
            if series.iter().any(outside) {
                let words = "a patient's number does not end with these digits";
                return Err(fault(place(), words));
            }
            if series.is_empty() && ending.is_none() {
                return Err(fault(place(), "nothing was asked"));
            }
            each_once(series.iter().map(|(person, _)| person))?;
            Sent::Patients(series, ending)
        }
        (Some(person), None)
            if !buckets.is_empty()
                && series.is_empty()
                && entries.is_empty()
                && ending.is_none() =>
        {
            each_once(buckets.iter().map(|(month, _)| month))?;
            Sent::Months(person, buckets)
        }
        (Some(person), month) if buckets.is_empty() && series.is_empty() && ending.is_none() => {
            Sent::Entries(person, month, entries)
        }
        _ => return Err(fault(place(), several)),
    };
    let codes = code.map(|coding| TokenParam {
        system: coding.system.map_or(TokenSystem::Absent, TokenSystem::Is),
        code: Some(coding.code),
    });
    let kind = Kind {
        resource_type,
        codes: codes.into_iter().collect(),
    };
    Ok((kind, sent))
}

fn each_once<T: std::hash::Hash + Eq>(rows: impl Iterator<Item = T>) -> Result<(), Vec<Issue>> {
    let mut seen = HashSet::new();
    for one in rows {
        if !seen.insert(one) {
            let words = "one patient or month stands twice";
            return Err(vec![Issue::error(
                IssueCode::Invalid,
                "Parameters.parameter",
                words,
            )]);
        }
    }
    Ok(())
}

fn person(state: &State, parameter: Node<'_>) -> Option<PersonIdentifier> {
    let of = parameter.get("valueIdentifier")?;
    PersonIdentifier::read(of, state.config.person_numbers)
}

fn is_month(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    text == UNDATED
        || text.split_once('-').is_some_and(|(year, month)| {
            year.len() == 4
                && digits(year)
                && month.len() == 2
                && digits(month)
                && matches!(month.parse(), Ok(1..=12_u8))
        })
}

/// A parameter made of parts.
struct Parted<'a>(Node<'a>);

impl<'a> Parted<'a> {
    fn parts(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        self.0.get("part").into_iter().flat_map(Node::items)
    }

    /// That there are no others than these, and each once.
    fn only(&self, names: &[&str]) -> Option<()> {
        let mut seen = HashSet::new();
        self.parts()
            .all(|part| {
                let name = part.text("name").unwrap_or_default();
                names.contains(&name.as_ref()) && seen.insert(name.into_owned())
            })
            .then_some(())
    }

    fn get(&self, name: &str) -> Option<Node<'a>> {
        self.parts()
            .find(|part| part.text("name").as_deref() == Some(name))
    }

    fn text(&self, name: &str) -> Option<String> {
        Some(self.get(name)?.text("valueString")?.into_owned())
    }

    fn tally(&self) -> Option<Tally> {
        let count = self.get("count")?.get("valueUnsignedInt")?.number()?;
        Some(Tally {
            count: count.parse().ok()?,
            digest: unhex(&self.text("digest")?)?,
        })
    }

    fn entry(&self) -> Option<Entry> {
        let digest = unhex(&self.text("digest")?)?;
        let identifier = match self.get("identifier") {
            None => None,
            Some(part) => {
                let of = part.get("valueIdentifier")?;
                Some((
                    of.text("system")?.into_owned(),
                    of.text("value")?.into_owned(),
                ))
            }
        };
        Some(Entry { digest, identifier })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use fhir::time::parse_date;

    #[test]
    fn months_are_the_zones_own() {
        let zone = Zone::default();
        let of = |text: &str| month_of(Some(Instant(parse_date(text, &zone).unwrap().lo)), &zone);
        assert_eq!(of("2026-11-01"), "2026-11");
        assert_eq!(of("2026-10-31T23:30:00Z"), "2026-11");
        assert_eq!(of("2026-10-31T22:30:00Z"), "2026-10");
        assert_eq!(of("2026"), "2026-01");
        assert_eq!(month_of(None, &zone), UNDATED);
        assert!(is_month("2026-01") && is_month(UNDATED));
        for strange in [
            "2026-13",
            "2026-1",
            "26-01",
            "2026-+1",
            "2026",
            "",
            "2026-01-01",
        ] {
            assert!(!is_month(strange), "{strange}");
        }
    }

    #[test]
    fn digests_are_written_as_they_are_read() {
        assert_eq!(unhex::<2>(&hex(&[0, 0xaf])), Some([0, 0xaf]));
        assert_eq!(unhex::<2>("00AF"), Some([0, 0xaf]));
        for strange in ["", "00", "00a", "00afff", "+0af", "00ag"] {
            assert_eq!(unhex::<2>(strange), None, "{strange}");
        }
    }

    #[test]
    fn an_empty_set_there_is_none() {
        let (empty, full) = (Tally::of(vec![]), Tally::of(vec![[1; 16]]));
        assert_eq!(agreement(Some(empty), None), None);
        assert_eq!(agreement(Some(empty), Some(full)), Some(Agreement::Extra));
        assert_eq!(agreement(Some(full), None), Some(Agreement::Missing));
        assert_eq!(agreement(Some(full), Some(full)), None);
    }
}
