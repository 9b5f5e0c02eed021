//! What a source gave, looked at before it counts: strict JSON, a searchset, the type asked for, the patient asked for.
//! What is not is left out and reported, never passed on (threats-and-faults.md section 7). What the reader's role and purpose do
//! not open is left out of each resource too, whether the source did so or not.

use crate::merge::{Given, Route};
use bytes::Bytes;
use fhir::bundle::{self, BundleType, SearchMode};
use fhir::identity::{self, Identity};
use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::index::{self, Index, Subject};
use fhir::json::{self, Json, Limits, Node};
use fhir::resource::ResourceType;
use fhir::subset::{self, Withheld};
use fhir::time::{Instant, Range, Zone, parse_instant};
use std::collections::{BTreeMap, BTreeSet};

/// Most entries taken on one page of one source.
const MOST_ENTRIES: usize = 1_000;

/// What was asked, and of whom.
pub struct Expected<'a> {
    /// The type.
    pub resource: ResourceType,
    /// The patient.
    pub patient: &'a PersonIdentifier,
    /// The source's FHIR base.
    pub base: &'a str,
    /// The source's organisation number.
    pub orgnr: &'a str,
    /// Which of the look-up's sources it is.
    pub source: usize,
    /// Zone in which a date without time counts.
    pub zone: &'a Zone,
    /// How strictly person numbers are read.
    pub numbers: PersonNumbers,
    /// Elements that the reader is not given.
    pub withheld: &'a [Withheld],
}

/// What was left out of a source's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// About another patient.
    pub others: u64,
    /// Not what was asked for: another type, no id, or no patient named.
    pub strange: u64,
    /// With a person's number or date that cannot be read.
    pub unreadable: u64,
    /// About one of several patients whom the source names by references of its own, so that nobody knows which is the one asked about.
    pub unclear: u64,
}

impl Dropped {
    /// In words; none when nothing was left out.
    pub fn words(&self) -> Option<String> {
        let parts = [
            (self.others, "about another patient"),
            (self.strange, "not what was asked for"),
            (self.unreadable, "not readable"),
            (self.unclear, "by references to different patients"),
        ];
        let said: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!said.is_empty()).then(|| format!("left out: {}", said.join(", ")))
    }

    fn count(&mut self, fault: &Fault) {
        match fault {
            Fault::Other => self.others += 1,
            Fault::Strange => self.strange += 1,
            Fault::Unreadable => self.unreadable += 1,
        }
    }

    /// Adds what another page left out.
    pub fn add(&mut self, more: Dropped) {
        self.others += more.others;
        self.strange += more.strange;
        self.unreadable += more.unreadable;
        self.unclear += more.unclear;
    }
}

/// One page of a source.
pub struct Page {
    /// What counts, in the source's order.
    pub given: Vec<Given>,
    /// What does not.
    pub dropped: Dropped,
    /// Newest `lastUpdated` among what counts.
    pub newest: Option<Instant>,
    /// The source's link to more, not looked at yet.
    pub next: Option<String>,
}

/// The Patients that a source gave as the one who is asked about, by their ids there, for each source that gave any.
pub type Hers = BTreeMap<usize, BTreeSet<String>>;

/// A source that names the patient by a reference of its own must mean one and the same with all that it gives: the one that it gave
/// as hers, where it gave her. What is about others is left out; where nobody knows which of several is hers, all of it.
pub fn of_one_patient(
    given: &mut Vec<Given>,
    dropped: &mut Dropped,
    hers: Option<&BTreeSet<String>>,
) {
    let named: BTreeSet<String> = given.iter().filter_map(|one| one.local.clone()).collect();
    let before = given.len();
    let left_out = match hers {
        Some(hers) => {
            let is_hers = |id: &String| hers.contains(id);
            given.retain(|one| one.local.as_ref().is_none_or(is_hers));
            &mut dropped.others
        }
        None if named.len() > 1 => {
            given.retain(|one| one.local.is_none());
            &mut dropped.unclear
        }
        None => return,
    };
    *left_out += (before - given.len()) as u64;
}

/// Why one resource does not count.
enum Fault {
    Other,
    Strange,
    Unreadable,
}

/// Looks at one page.
///
/// # Errors
/// Words for the receipt when the answer as a whole cannot be used.
pub fn page(body: Bytes, expected: &Expected<'_>) -> Result<Page, &'static str> {
    let json = Json::parse(body, Limits::BUNDLE).map_err(|_| "its answer is not strict JSON")?;
    if BundleType::of(json.root()) != Ok(BundleType::Searchset) {
        return Err("its answer is not a searchset");
    }
    let mut page = Page {
        given: Vec::new(),
        dropped: Dropped::default(),
        newest: None,
        next: bundle::link(json.root(), "next").map(|link| link.into_owned()),
    };
    for entry in bundle::entries(json.root()) {
        if entry.index == MOST_ENTRIES {
            return Err("its answer has too many entries");
        }
        let mode = entry.search_mode();
        if matches!(mode, Some(SearchMode::Outcome | SearchMode::Include)) {
            continue;
        }
        let examined = match entry.resource {
            Some(resource) => examine(&json, resource, expected),
            None => Err(Fault::Strange),
        };
        match examined {
            Ok((given, updated)) => {
                page.newest = page.newest.max(updated);
                page.given.push(given);
            }
            Err(fault) => page.dropped.count(&fault),
        }
    }
    Ok(page)
}

/// Looks at one resource that was read by its address.
///
/// # Errors
/// Words for the receipt: it is not what was asked for, or about somebody else.
pub fn single(body: Bytes, expected: &Expected<'_>) -> Result<Given, &'static str> {
    let json = Json::parse(body, Limits::RESOURCE).map_err(|_| "its answer is not strict JSON")?;
    match examine(&json, json.root(), expected) {
        Ok((given, _)) => Ok(given),
        Err(Fault::Other) => Err("left out: 1 about another patient"),
        Err(Fault::Strange) => Err("its answer is not what was asked for"),
        Err(Fault::Unreadable) => Err("left out: 1 not readable"),
    }
}

/// A version that a source tells of in a history.
pub struct Past {
    /// The resource's logical id there.
    pub id: String,
    /// What became of it.
    pub what: What,
}

/// What a history's entry says.
pub enum What {
    /// Made, or changed for the first time since: the version, and whether it is the first there is.
    Stands(Box<Given>, bool),
    /// Taken back.
    Withdrawn,
    /// Not to be passed on.
    Dropped,
}

/// One page of a history (FHIR R4 http.html#history), newest first.
pub struct PastPage {
    /// Its entries.
    pub past: Vec<Past>,
    /// What does not count.
    pub dropped: Dropped,
    /// The link to more.
    pub next: Option<String>,
}

/// Looks at one page of a type's history.
///
/// # Errors
/// As [`page`].
pub fn history(body: Bytes, expected: &Expected<'_>) -> Result<PastPage, &'static str> {
    let json = Json::parse(body, Limits::BUNDLE).map_err(|_| "its answer is not strict JSON")?;
    if BundleType::of(json.root()) != Ok(BundleType::History) {
        return Err("its answer is not a history");
    }
    let mut page = PastPage {
        past: Vec::new(),
        dropped: Dropped::default(),
        next: bundle::link(json.root(), "next").map(|link| link.into_owned()),
    };
    for entry in bundle::entries(json.root()) {
        if entry.index == MOST_ENTRIES {
            return Err("its answer has too many entries");
        }
        let url = entry.url().unwrap_or_default();
        let mut parts = url.split('/');
        let named = parts.next() == Some(expected.resource.as_str());
        let id = parts
            .next()
            .filter(|id| named && is_id(id))
            .map(str::to_owned);
        let gone = entry.method().as_deref() == Some("DELETE");
        let what = match (&id, entry.resource) {
            (Some(_), _) if gone => What::Withdrawn,
            (_, Some(resource)) => match examine(&json, resource, expected) {
                Ok((given, _)) => {
                    let first = given.route.version == 1;
                    What::Stands(Box::new(given), first)
                }
                Err(fault) => {
                    page.dropped.count(&fault);
                    What::Dropped
                }
            },
            _ => {
                page.dropped.strange += 1;
                What::Dropped
            }
        };
        let id = match &what {
            What::Stands(given, _) => Some(given.route.id.clone()),
            _ => id,
        };
        if let Some(id) = id {
            page.past.push(Past { id, what });
        }
    }
    Ok(page)
}

fn examine(
    json: &Json,
    resource: Node<'_>,
    expected: &Expected<'_>,
) -> Result<(Given, Option<Instant>), Fault> {
    if ResourceType::of(resource).ok() != Some(expected.resource)
        || resource.raw().len() > Limits::RESOURCE.bytes
    {
        return Err(Fault::Strange);
    }
    let reduced;
    let (json, resource) = if expected.withheld.is_empty() {
        (json, resource)
    } else {
        let less = subset::without(resource, expected.resource, expected.withheld);
        reduced = Json::parse(less, Limits::BUNDLE).map_err(|_| Fault::Unreadable)?;
        (&reduced, reduced.root())
    };
    let id = resource
        .text("id")
        .filter(|id| is_id(id))
        .ok_or(Fault::Strange)?
        .into_owned();
    let mut index = index::of(resource, expected.resource, expected.zone, expected.numbers)
        .map_err(|_| Fault::Unreadable)?;
    let mut local = None;
    if expected.resource == ResourceType::AUDIT_EVENT {
        contained_patient(resource, expected)?;
        index.when = Some(recorded(resource)?);
    } else {
        match &index.subject {
            Some(Subject::Person(person)) if person == expected.patient => {}
            Some(Subject::Person(_)) => return Err(Fault::Other),
            // The source resolves its own references, and answers a token that is bound to the one patient: all that it gives so must
            // be about one ([`of_one_patient`]).
            Some(Subject::Local(id)) => local = Some(id.to_string()),
            None => {
                let own = its_own_patient(resource, expected.base).ok_or(Fault::Strange)?;
                local = Some(own);
            }
        }
    }
    let meta = |name: &str| resource.path(&["meta", name]).and_then(Node::str);
    let when = index.when;
    let (identity, read) = identity_of(json, resource, index, expected)?;
    let given = Given {
        route: Route {
            orgnr: expected.orgnr.to_owned(),
            full_url: format!("{}/{}/{id}", expected.base, expected.resource),
            id,
            version: meta("versionId")
                .and_then(|version| version.parse().ok())
                .unwrap_or(0),
            source: expected.source,
        },
        body: json.slice(resource),
        resource: expected.resource,
        named: is_named(resource),
        local,
        when,
        change: None,
        questionnaire: resource.text("questionnaire").map(|of| of.into_owned()),
        identity,
        read,
        part: subset::mark(resource).is_some(),
    };
    Ok((
        given,
        meta("lastUpdated").and_then(|text| parse_instant(&text).ok()),
    ))
}

/// What makes it one thing. The same reading must be the same thing whether a source names the patient by number or by a
/// reference of its own, so a reference is read as the number that it stands for; with the resource so read.
fn identity_of(
    json: &Json,
    resource: Node<'_>,
    mut index: Index,
    expected: &Expected<'_>,
) -> Result<(Identity, Bytes), Fault> {
    let by_reference = expected.resource != ResourceType::AUDIT_EVENT
        && !matches!(index.subject, Some(Subject::Person(_)));
    let subject = resource.get("subject").filter(|_| by_reference);
    let Some(subject) = subject else {
        let identity = identity::of(resource, expected.resource, &index);
        return Ok((identity, json.slice(resource)));
    };
    index.subject = Some(Subject::Person(expected.patient.clone()));
    let (whole, part) = (resource.span(), subject.span());
    let (before, after) = (part.start - whole.start, part.end - whole.start);
    let raw = resource.raw().as_bytes();
    let mut read = raw[..before].to_vec();
    read.extend_from_slice(b"{\"identifier\":{\"system\":");
    json::write_string(&mut read, expected.patient.system());
    read.extend_from_slice(b",\"value\":");
    json::write_string(&mut read, expected.patient.value().expose());
    read.extend_from_slice(b"}}");
    read.extend_from_slice(&raw[after..]);
    let read = Json::parse(read, Limits::BUNDLE).map_err(|_| Fault::Unreadable)?;
    let identity = identity::of(read.root(), expected.resource, &index);
    Ok((identity, read.bytes().clone()))
}

/// Whether it has a business identifier with system and value.
fn is_named(resource: Node<'_>) -> bool {
    let has = |identifier: Node<'_>, part: &str| {
        identifier.text(part).is_some_and(|text| !text.is_empty())
    };
    resource
        .all(&["identifier"])
        .into_iter()
        .any(|one| has(one, "system") && has(one, "value"))
}

/// A FHIR id (R4 datatypes.html#id).
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

/// The id of the Patient at the source itself that the subject refers to by its full address.
fn its_own_patient(resource: Node<'_>, base: &str) -> Option<String> {
    let reference = resource
        .path(&["subject", "reference"])
        .and_then(Node::str)?;
    let rest = reference.strip_prefix(base)?.strip_prefix("/Patient/")?;
    let id = rest.split('/').next().filter(|id| is_id(id))?;
    Some(id.to_owned())
}

/// An AuditEvent names its patient as a contained resource.
fn contained_patient(event: Node<'_>, expected: &Expected<'_>) -> Result<(), Fault> {
    let mut named = false;
    for contained in event.all(&["contained"]) {
        if contained.text("resourceType").as_deref() != Some("Patient") {
            continue;
        }
        let found = index::of(
            contained,
            ResourceType::PATIENT,
            expected.zone,
            expected.numbers,
        );
        match found.map_err(|_| Fault::Unreadable)?.subject {
            Some(Subject::Person(person)) if person == *expected.patient => named = true,
            Some(_) => return Err(Fault::Other),
            None => {}
        }
    }
    if named { Ok(()) } else { Err(Fault::Strange) }
}

fn recorded(event: Node<'_>) -> Result<Range, Fault> {
    let text = event.text("recorded").ok_or(Fault::Strange)?;
    let at = parse_instant(&text).map_err(|_| Fault::Unreadable)?;
    Ok(Range {
        lo: at.0,
        hi: at.0 + 1,
    })
}
