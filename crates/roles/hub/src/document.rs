//! Documents from home systems (Bundle of type `document`, FHIR R4 documents.html; VKP's guide for digital home follow-up): an alert, a
//! reading or an answer that is missing, an answer, a note. A Composition first, then the DetectedIssue, Observation and
//! QuestionnaireResponse that it is about. One unit: taken in whole or not at all, known by the Bundle's identifier, kept and
//! delivered whole. What colour or text the home system gave is the home system's assessment, and stays as sent.
//!
//! A record system gets the document as it was sent. A sharing service gets its resources in one transaction, so that each can be
//! searched for; those that have no identifier get the document's with their place in it, so that a second delivery is known.

use crate::State;
use crate::intake::{self, Accepted, Refused, Taken, Unit};
use crate::versions::Said;
use crate::{address, assignment, deliver};
use bytes::Bytes;
use fhir::bundle::{Entry, Role, links};
use fhir::identity;
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::index::Subject;
use fhir::json::{Json, Limits, Node, quote};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::{Checked, InformationService, ResourceType};
use fhir::systems;
use std::collections::{BTreeSet, HashSet};
use trust::scope::{Access, Context};
use trust::{Caller, ClientUse};
use wire::contract::hub::ReceiverKind;
use wire::outcome::Problem;

/// Outbox topic of documents.
pub const TOPIC: &str = "document";
/// Most entries of one document.
const ENTRIES: usize = 100;
/// What a receiver's form of a document has around each resource, in bytes.
const AROUND: usize = 1_024;
/// What a document may hold. People, organisations and devices are named by identifier, where they stand.
const TYPES: [&str; 4] = [
    "Composition",
    "DetectedIssue",
    "Observation",
    "QuestionnaireResponse",
];

/// Checks a document and says what must become durable for it. `json` is the Bundle.
pub async fn take(state: &State, caller: &Caller, json: &Json) -> Result<Accepted, Refused> {
    let root = json.root();
    let sent = wire::bundle::sent(root).map_err(Refused::plain)?;
    may(caller, &sent)?;
    let mut faults = Vec::new();
    let (system, value) = named(root, &sent, &mut faults);
    let mut of_all: Option<PersonIdentifier> = None;
    let mut remarks = Vec::new();
    let (mut measured, mut performers) = (Vec::new(), Vec::new());
    for entry in &sent {
        let place = format!("{}.resource", entry.expression());
        let checked = match one(state, json, entry) {
            Ok(checked) => checked,
            Err(issues) => {
                faults.extend(issues.into_iter().map(|issue| issue.within(&place)));
                continue;
            }
        };
        let about = match &checked.index().subject {
            Some(Subject::Person(person)) => person.clone(),
            _ => {
                let words = "the hub finds the patient by identifier; each resource of a document names the patient so";
                faults.push(Issue::error(IssueCode::Required, place, words));
                continue;
            }
        };
        match &of_all {
            None => of_all = Some(about),
            Some(first) if *first == about => {}
            Some(_) => {
                let words = "a document is about one patient; this is about another than what stands before it";
                faults.push(Issue::error(IssueCode::BusinessRule, place.clone(), words));
            }
        }
        remarks.extend(
            checked
                .remarks()
                .iter()
                .map(|one| one.clone().within(&place)),
        );
        let index = checked.index();
        if checked.resource_type() == ResourceType::OBSERVATION {
            measured.push((index.device.clone(), index.when, format!("{place}.device")));
            let named = index.organisations.iter().cloned();
            performers.extend(named.map(|one| (format!("{place}.performer"), one)));
        }
    }
    faults.extend(unresolved(&sent));
    if root.raw().len() + sent.len() * AROUND > Limits::BUNDLE.bytes {
        let words = "the document is longer than its receivers take";
        faults.push(Issue::error(IssueCode::TooLong, "Bundle", words));
    }
    let (Some(patient), true) = (of_all, faults.is_empty()) else {
        return Err(Refused::plain(Problem::unprocessable(faults)));
    };
    intake::synthetic(state, &patient, "Bundle.entry[0].resource")?;
    for (device, ..) in &measured {
        intake::pace(state, caller, &patient, device.as_deref())?;
    }
    let owner = owner(state, caller, root, sent[0].resource, performers)?;
    let only = filed(state, caller, owner)?;
    let subject = Subject::Person(patient.clone());
    let key = identity::business_key(ResourceType::BUNDLE, Some(&subject), &system, &value);
    let unit = Unit {
        identity: &key,
        digest: identity::content(root),
        correction: false,
        said: Said::default(),
        came: None,
        remarks,
        kind: InformationService::DOCUMENTS,
        measured: None,
        only,
        topic: TOPIC,
        body: json.slice(root),
        known_otherwise: Issue::error(
            IssueCode::Duplicate,
            "Bundle.identifier",
            "this document was taken in before with other content; a new version of it has an identifier of its own",
        ),
    };
    let accepted = intake::remember(state, unit, patient, owner).await?;
    // What is known was judged when it came.
    if accepted.fate == Taken::Before {
        return Ok(accepted);
    }
    for (device, when, place) in measured {
        let (device, of) = (device.as_deref(), &accepted.patient);
        assignment::bind(state, owner, device, when, of, &place).await?;
    }
    Ok(accepted)
}

/// Whether the sender may bring each kind of resource that the document holds. What a sharing service says of an alert is no reading
/// and no answer: those it has from here.
fn may(caller: &Caller, sent: &[Entry<'_>]) -> Result<(), Refused> {
    let kinds = sent.iter().filter_map(|entry| entry.resource);
    let kinds = kinds.filter_map(|one| ResourceType::of(one).ok());
    let known = kinds.filter(|kind| TYPES.contains(&kind.as_str()));
    for kind in known.collect::<BTreeSet<_>>() {
        if caller.use_ == ClientUse::Service && intake::topic(kind).is_some() {
            let words = "a sharing service files what is said of an alert, and sends no readings and no answers";
            return Err(Refused::plain(Problem::forbidden(words)));
        }
        let scopes = &caller.scopes;
        if !scopes.covers(Context::System, kind.as_str(), Access::Create) {
            return Err(Refused::plain(Problem::insufficient_scope()));
        }
    }
    Ok(())
}

/// What a sharing service sends came from its own store: it is for its organisation's record system alone, and there must be one that
/// takes documents.
fn filed(
    state: &State,
    caller: &Caller,
    owner: OrganisationNumber,
) -> Result<Option<ReceiverKind>, Refused> {
    if caller.use_ != ClientUse::Service {
        return Ok(None);
    }
    let kind = ReceiverKind::RecordSystem;
    let mut taking = state.destinations_of(owner, InformationService::DOCUMENTS);
    if taking.any(|one| one.kind == kind) {
        return Ok(Some(kind));
    }
    let why = address::Unaddressed::NoRegistration.to_string();
    let issue = Issue::error(
        IssueCode::BusinessRule,
        "Bundle.entry[0].resource.custodian",
        why,
    );
    Err(Refused::quarantined("organisation", issue))
}

/// The document's identifier, and what is wrong with what stands round its entries (FHIR R4 bdl-9, bdl-10, bdl-11).
fn named(root: Node<'_>, sent: &[Entry<'_>], faults: &mut Vec<Issue>) -> (String, String) {
    let mut fault =
        |code, place: String, words: &str| faults.push(Issue::error(code, place, words));
    let text = |name| root.path(&["identifier", name]).and_then(|one| one.str());
    let (system, value) = (text("system"), text("value"));
    let missing =
        |part: &Option<std::borrow::Cow<'_, str>>| part.as_ref().is_none_or(|text| text.is_empty());
    if missing(&system) || missing(&value) {
        let words = "a document has an identifier with system and value, the same at every sending";
        fault(IssueCode::Required, "Bundle.identifier".into(), words);
    }
    if root.get("timestamp").is_none() {
        let words = "a document says when it was put together";
        fault(IssueCode::Required, "Bundle.timestamp".into(), words);
    }
    if sent.len() > ENTRIES {
        let words = "a document of more than 100 entries is not taken here";
        fault(IssueCode::TooLong, "Bundle.entry".into(), words);
    }
    let first = sent.first().and_then(|entry| entry.resource);
    if first.and_then(|one| one.text("resourceType")).as_deref() != Some("Composition") {
        let words = "a document's first entry is its Composition";
        fault(
            IssueCode::Structure,
            "Bundle.entry[0].resource".into(),
            words,
        );
    }
    let mut had = HashSet::new();
    for (n, entry) in sent.iter().enumerate() {
        let place = |member: &str| format!("{}.{member}", entry.expression());
        match entry.full_url() {
            Some(url) if had.insert(url.clone()) => {}
            Some(_) => fault(
                IssueCode::Duplicate,
                place("fullUrl"),
                "two entries have this fullUrl",
            ),
            None => {
                let words = "an entry of a document has a fullUrl, by which the others refer to it";
                fault(IssueCode::Required, place("fullUrl"), words);
            }
        }
        let Some(resource) = entry.resource else {
            fault(
                IssueCode::Required,
                place("resource"),
                "the entry has no resource",
            );
            continue;
        };
        let found = resource.text("resourceType").unwrap_or_default();
        if !TYPES.contains(&found.as_ref()) {
            let words = "a document holds Composition, DetectedIssue, Observation and QuestionnaireResponse; name others by identifier where they are referred to";
            fault(IssueCode::NotSupported, place("resource"), words);
        }
        if n > 0 && found == "Composition" {
            let words = "a document has one Composition";
            fault(IssueCode::Structure, place("resource"), words);
        }
        let named = identity::business(resource, ResourceType::OBSERVATION);
        if resource.get("identifier").is_some() && named.is_none() {
            let words = "an identifier has system and value";
            fault(IssueCode::Required, place("resource.identifier"), words);
        }
    }
    let text = |part: Option<std::borrow::Cow<'_, str>>| part.unwrap_or_default().into_owned();
    (text(system), text(value))
}

/// One resource of the document by the rules for its type; those that may not be in it have their fault already.
fn one(state: &State, json: &Json, entry: &Entry<'_>) -> Result<Checked, Vec<Issue>> {
    let node = entry.resource.ok_or_else(Vec::new)?;
    let found = ResourceType::of(node).map_err(|issue| vec![issue])?;
    if !TYPES.contains(&found.as_str()) {
        return Err(Vec::new());
    }
    if node.raw().len() > Limits::RESOURCE.bytes {
        let words = "a resource longer than its receivers take";
        return Err(vec![Issue::error(IssueCode::TooLong, "", words)]);
    }
    fhir::check::check(json, node, &intake::rules(state))
}

/// References that lead nowhere: into the document, which must then hold what they mean.
fn unresolved(sent: &[Entry<'_>]) -> Vec<Issue> {
    let there: HashSet<_> = sent.iter().filter_map(Entry::full_url).collect();
    let mut faults = Vec::new();
    for entry in sent {
        let Some(resource) = entry.resource else {
            continue;
        };
        for link in links(resource) {
            let reference = matches!(link.role, Role::Reference { .. });
            if reference && !link.text.starts_with('#') && !there.contains(&link.text) {
                let place = link.node.expression();
                let words = "the document does not hold what this refers to; refer to an entry's fullUrl, or name it by identifier";
                faults.push(Issue::error(IssueCode::NotFound, place, words));
            }
        }
    }
    faults
}

/// Whose document: its custodian's, who performed its readings, who its tag names. Each that is there must be the organisation that the
/// sender is registered for, as of a reading alone; what contradicts it is kept aside with its place.
fn owner(
    state: &State,
    caller: &Caller,
    root: Node<'_>,
    composition: Option<Node<'_>>,
    performers: Vec<(String, (String, String))>,
) -> Result<OrganisationNumber, Refused> {
    let text = |name| {
        let one = composition?.path(&["custodian", "identifier", name])?;
        one.str().map(std::borrow::Cow::into_owned)
    };
    let at = "Bundle.entry[0].resource.custodian";
    let custodian = text("system").zip(text("value"));
    let custodian = custodian.map(|one| (at.to_owned(), one));
    let tagged = address::tagged(root).map(|number| (systems::ORGNR.to_owned(), number));
    let tagged = tagged.map(|one| ("Bundle.meta.tag".to_owned(), one));
    let named = custodian.into_iter().chain(performers).chain(tagged);
    let named = named.map(|(place, one)| (place, Some(one)));
    let mut owner = None;
    for (place, one) in named.chain([(at.to_owned(), None)]) {
        let kind = InformationService::DOCUMENTS;
        let found = address::owner(state, caller.organisation, one, kind).map_err(|why| {
            let issue = Issue::error(IssueCode::BusinessRule, place, why.to_string());
            Refused::quarantined("organisation", issue)
        })?;
        owner = Some(found);
    }
    owner.ok_or_else(|| Refused::plain(Problem::bug("a document has no owner")))
}

/// A document's resources as one transaction for the sharing service of `owner`. `None` for what was never taken in.
pub fn transaction(body: &Bytes, owner: &OrganisationNumber) -> Option<Vec<u8>> {
    let json = Json::parse(body.clone(), Limits::BUNDLE).ok()?;
    let root = json.root();
    let text = |name| root.path(&["identifier", name]).and_then(|one| one.str());
    let (system, value) = (text("system")?, text("value")?);
    let mut out = Vec::with_capacity(body.len() + 1024);
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put(&deliver::opening("transaction", owner));
    for (n, entry) in fhir::bundle::entries(root).enumerate() {
        let resource = entry.resource?;
        let kind = resource.text("resourceType")?;
        put(if n > 0 {
            ",{\"fullUrl\":"
        } else {
            "{\"fullUrl\":"
        });
        put(&quote(&entry.full_url()?));
        put(",\"resource\":{");
        if resource.get("identifier").is_none() {
            let list = matches!(kind.as_ref(), "DetectedIssue" | "Observation");
            put("\"identifier\":");
            put(if list {
                "[{\"system\":"
            } else {
                "{\"system\":"
            });
            put(&quote(&system));
            put(",\"value\":");
            put(&quote(&format!("{value}#{n}")));
            put(if list { "}]," } else { "}," });
        }
        put(resource.raw().strip_prefix('{')?);
        put(",\"request\":{\"method\":\"POST\",\"url\":");
        put(&quote(&kind));
        put("}}");
    }
    put("]}");
    Some(out)
}
