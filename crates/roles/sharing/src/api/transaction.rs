//! Transactions (FHIR R4 http.html#transaction): all of a Bundle's entries or none, as one change of the store.
//!
//! Whatever order they stand in, entries are carried out DELETE, POST, PUT. First it is found out which resource each
//! entry is about (ids of new ones are chosen then), so that references among entries (`urn:uuid:…`) and conditional
//! references (`Patient?identifier=…`) can be written as what they mean; every other byte stays as sent. Then all are
//! checked, and every fault is told at once.

use super::search::Form;
use super::written::{self, Return};
use super::{conditional, update, writable};
use crate::State;
use crate::feed::{self, Taken};
use axum::response::Response;
use fhir::bundle::{BatchResponseWriter, BundleType, Entry, EntryResponse};
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::index::Subject;
use fhir::json::{Json, Kind, Limits, Node, quote};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::Via;
use http::StatusCode;
use http::request::Parts;
use std::collections::{BTreeMap, BTreeSet};
use store::{Change, Put, PutOutcome};
use trust::{Ask, Interaction, Permit};
use wire::outcome::{Problem, fhir_response};
use wire::visit::{End, Visit};

/// What one entry asks for. The order is the order they are carried out in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Method {
    Delete,
    Post,
    Put,
}

/// One entry that was understood.
struct Step<'a> {
    entry: Entry<'a>,
    method: Method,
    resource_type: ResourceType,
    /// The id in its address.
    id: Option<LogicalId>,
    /// The condition in its address, or `ifNoneExist`.
    condition: Option<Form>,
    if_match: Option<u64>,
    /// The resource sent; none for DELETE.
    node: Option<Node<'a>>,
    /// What it is about, once that is known.
    target: Option<Target>,
}

/// Which resource a step is about.
enum Target {
    /// It gets this id, unless it is known already: then this is its id.
    New(LogicalId),
    /// There, in this version where a condition found it.
    There(LogicalId, Option<u64>),
    /// There, and `ifNoneExist` says to leave it alone.
    Left(PutOutcome),
}

impl Target {
    fn id(&self) -> LogicalId {
        match self {
            Self::New(id) | Self::There(id, _) => *id,
            Self::Left(put) => put.id,
        }
    }
}

/// References as they stand in the Bundle, and what they mean here.
type Names = BTreeMap<String, String>;

/// Carries out the transaction `json`, a Bundle, within `permit`.
pub(super) async fn carry_out(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    json: &Json,
    permit: &Permit,
) -> Result<Response, End> {
    let root = json.root();
    let sent = wire::bundle::sent(root)?;
    visit.asked(&format!("Bundle of {} entries", sent.len()));
    let visit: &Visit<'_> = visit;
    let mut faults = Vec::new();
    let mut steps: Vec<Step<'_>> = Vec::with_capacity(sent.len());
    for entry in &sent {
        match understand(state, entry) {
            Ok(step) => steps.push(step),
            Err(problem) => faults.push(problem),
        }
    }
    none(&mut faults)?;
    let _alone = conditional::alone(state).await;
    find(state, visit, json, &mut steps, &mut faults).await?;
    none(&mut faults)?;
    let names = name(state, visit, json, &mut steps, &mut faults).await?;
    let mut puts: Vec<(usize, Put, Option<PersonIdentifier>)> = Vec::new();
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|n| steps[*n].method);
    for n in order {
        match put(state, visit, json, &steps[n], &names).await {
            Ok(Some((put, person))) => puts.push((n, put, person)),
            Ok(None) => {}
            Err(End::Problem(problem)) => faults.push(problem),
            Err(refused) => return Err(refused),
        }
    }
    twice(&steps, &mut faults);
    none(&mut faults)?;

    // One record holds one patient: the others find theirs in their own trail, written before anything is changed.
    let mut people: Vec<PersonIdentifier> = Vec::new();
    for person in puts.iter().filter_map(|(_, _, person)| person.as_ref()) {
        if !people.contains(person) {
            people.push(person.clone());
        }
    }
    let others = people.iter().skip(1).map(|person| Change {
        audit: Some(visit.record().permitted(permit).about(Some(person.clone()))),
        ..Change::default()
    });
    for written in state.desk.store.commit_all(others.collect()).await {
        written?;
    }
    let record = visit
        .record()
        .permitted(permit)
        .about(people.into_iter().next());
    let mut change = visit.change(record);
    crate::copy::sign(state, visit, &mut change);
    change.audit_fill = true;
    let (places, puts): (Vec<usize>, Vec<Put>) =
        puts.into_iter().map(|(n, put, _)| (n, put)).unzip();
    change.puts = puts;
    let committed = visit.commit(change).await?;
    let done: BTreeMap<usize, PutOutcome> = places.into_iter().zip(committed.puts).collect();
    respond(parts, &steps, &done)
}

/// One entry of a batch that corrects or withdraws what its address names, on its own.
pub(super) async fn alone(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    entry: &Entry<'_>,
) -> Result<(Put, Option<PersonIdentifier>), End> {
    let mut step = understand(state, entry)?;
    let Some(id) = step.id else {
        let words = "a batch takes Type/id here; a condition is taken in a transaction or alone";
        return Err(fault(entry, IssueCode::NotSupported, "request.url", words).into());
    };
    step.target = Some(Target::There(id, step.if_match));
    match put(state, visit, json, &step, &Names::new()).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(Problem::bug("an entry of a batch asks for nothing").into()),
        // An entry that will never be taken is answered 422, so that its sender does not try again (CONTRACT section 6).
        Err(End::Problem(problem)) if problem.status() == StatusCode::BAD_REQUEST => {
            Err(Problem::unprocessable(problem.issues().to_vec()).into())
        }
        Err(end) => Err(end),
    }
}

/// All faults as one answer, if there is any.
fn none(faults: &mut Vec<Problem>) -> Result<(), Problem> {
    match Problem::together(std::mem::take(faults)) {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

fn fault(entry: &Entry<'_>, code: IssueCode, member: &str, words: &str) -> Problem {
    let place = format!("{}.{member}", entry.expression());
    Problem::unprocessable(vec![Issue::error(code, place, words)])
}

/// Reads an entry's request.
fn understand<'a>(state: &State, entry: &Entry<'a>) -> Result<Step<'a>, Problem> {
    let fault = |code, member: &str, words: &str| fault(entry, code, member, words);
    let request = entry.request.ok_or_else(|| {
        fault(
            IssueCode::Required,
            "request",
            "a transaction's entry says what it asks for",
        )
    })?;
    let method = match entry.method().as_deref() {
        Some("DELETE") => Method::Delete,
        Some("POST") => Method::Post,
        Some("PUT") => Method::Put,
        _ => {
            let words = "a transaction takes POST, PUT and DELETE here";
            return Err(fault(IssueCode::NotSupported, "request.method", words));
        }
    };
    let url = entry.url().unwrap_or_default();
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url.as_ref(), None),
    };
    let (type_name, id) = match path.split_once('/') {
        Some((type_name, id)) => (type_name, Some(id)),
        None => (path, None),
    };
    let strange = || {
        let words = "expected Type for POST, Type/id or Type?condition for PUT and DELETE, of a type that is written here";
        fault(IssueCode::Value, "request.url", words)
    };
    let resource_type = writable(state, type_name).map_err(|_| strange())?;
    let id = id.map(LogicalId::parse).transpose().map_err(|_| {
        fault(
            IssueCode::NotFound,
            "request.url",
            "there is no such resource",
        )
    })?;
    let named = (id.is_some(), query.is_some());
    if named != (false, false) && method == Method::Post
        || named != (true, false) && named != (false, true) && method != Method::Post
    {
        return Err(strange());
    }
    let condition = match (method, query, request.text("ifNoneExist")) {
        (Method::Post, _, Some(text)) => Some((text.into_owned(), "request.ifNoneExist")),
        (Method::Post, _, None) => None,
        (_, Some(query), _) => Some((query.to_owned(), "request.url")),
        (_, None, _) => None,
    };
    let condition = condition
        .map(|(text, member)| {
            conditional::parse(&text, member).map_err(|_| {
                fault(
                    IssueCode::Value,
                    member,
                    "a condition was expected, for example identifier=system|value",
                )
            })
        })
        .transpose()?;
    let if_match = request
        .text("ifMatch")
        .map(|text| super::version_in(&text))
        .transpose()
        .map_err(|_| {
            fault(
                IssueCode::Value,
                "request.ifMatch",
                "one version was expected, for example W/\"1\"",
            )
        })?;
    let node = match (method, entry.resource) {
        (Method::Delete, _) => None,
        (_, Some(node)) => Some(node),
        (_, None) => {
            return Err(fault(
                IssueCode::Required,
                "resource",
                "the entry has no resource",
            ));
        }
    };
    Ok(Step {
        entry: *entry,
        method,
        resource_type,
        id,
        condition,
        if_match,
        node,
        target: None,
    })
}

/// What a problem about a condition or reference is, told by its place.
fn at(problem: Problem, entry: &Entry<'_>, member: &str) -> Problem {
    let words: Vec<&str> = problem
        .issues()
        .iter()
        .map(|i| i.diagnostics.as_str())
        .collect();
    let code = problem
        .issues()
        .first()
        .map_or(IssueCode::Invalid, |issue| issue.code);
    let words = words.join("; ");
    let place = format!("{}.{member}", entry.expression());
    let issue = Issue::error(code, place, words);
    if problem.status() == StatusCode::PRECONDITION_FAILED {
        Problem::precondition_failed_with(vec![issue])
    } else {
        Problem::unprocessable(vec![issue])
    }
}

/// Finds what is named by id or condition.
async fn find(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    steps: &mut [Step<'_>],
    faults: &mut Vec<Problem>,
) -> Result<(), End> {
    for step in steps {
        if let Some(id) = step.id {
            step.target = Some(Target::There(id, step.if_match));
        }
        let Some(condition) = &step.condition else {
            continue;
        };
        let about = step.node.and_then(|node| subject(state, json, node));
        let what = step.resource_type;
        let met = conditional::one(state, visit, what, condition, about.as_ref(), Via::Post).await;
        match met {
            Ok(Some((stored, _))) if step.method == Method::Post => {
                step.target = Some(Target::Left(PutOutcome {
                    id: stored.id,
                    version: stored.version,
                    last_updated: stored.last_updated,
                    resource_type: stored.resource_type,
                    fate: store::Fate::Existing,
                }));
            }
            Ok(Some((stored, _))) => {
                let version = step.if_match.unwrap_or(stored.version);
                step.target = Some(Target::There(stored.id, Some(version)));
            }
            Ok(None) if step.method == Method::Delete => {
                let words = "nothing meets the condition";
                faults.push(fault(
                    &step.entry,
                    IssueCode::NotFound,
                    "request.url",
                    words,
                ));
            }
            Ok(None) => {}
            Err(End::Problem(problem)) => faults.push(at(problem, &step.entry, "request")),
            Err(refused) => return Err(refused),
        }
    }
    Ok(())
}

/// Whom a resource is about, as far as it can be read.
fn subject(state: &State, json: &Json, node: Node<'_>) -> Option<Subject> {
    let checked = fhir::check::check(json, node, &state.rules()).ok()?;
    checked.index().subject.clone()
}

/// Finds what every reference means, and gives each new resource its id, Patients first: by what they refer to it can be
/// told whether they are known already.
async fn name(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    steps: &mut [Step<'_>],
    faults: &mut Vec<Problem>,
) -> Result<Names, End> {
    let mut names = Names::new();
    let mut asked = BTreeSet::new();
    for step in steps.iter() {
        let Some(node) = step.node else { continue };
        for reference in references(node) {
            let text = reference.str().unwrap_or_default();
            let Some((type_name, _)) = text.split_once('?') else {
                continue;
            };
            if names.contains_key(text.as_ref()) || !asked.insert(text.clone().into_owned()) {
                continue;
            }
            let place = reference.expression_from(json.root());
            let place = place
                .strip_prefix(&format!("{}.", step.entry.expression()))
                .unwrap_or("resource")
                .to_owned();
            let met = match (
                super::type_of(state, type_name),
                conditional::parse(&text, ""),
            ) {
                (Ok(resource), Ok(form)) => {
                    conditional::one(state, visit, resource, &form, None, Via::Post).await
                }
                (Err(problem), _) | (_, Err(problem)) => Err(problem.into()),
            };
            match met {
                Ok(Some((stored, _))) => {
                    let means = format!("{}/{}", stored.resource_type, stored.id);
                    names.insert(text.into_owned(), means);
                }
                Ok(None) => {
                    // Told here; that the rest can be checked it stands for something meanwhile.
                    let nothing = format!("{type_name}/{}", LogicalId((state.house.ids)()));
                    names.insert(text.clone().into_owned(), nothing);
                    let words = "nothing meets this conditional reference";
                    faults.push(fault(&step.entry, IssueCode::NotFound, &place, words));
                }
                Err(End::Problem(problem)) => faults.push(at(problem, &step.entry, &place)),
                Err(refused) => return Err(refused),
            }
        }
    }
    let mut new: BTreeMap<Vec<u8>, LogicalId> = BTreeMap::new();
    for patients in [true, false] {
        for step in steps.iter_mut() {
            if (step.resource_type == ResourceType::PATIENT) != patients {
                continue;
            }
            if step.target.is_none()
                && let Some(node) = step.node
            {
                let json = rewritten(json, node, &names)?.0;
                let id = match fhir::check::check(&json, json.root(), &state.rules()) {
                    Ok(checked) => match state.desk.store.known_as(&checked).await? {
                        Some(known) => known,
                        // Twice in one bundle is one resource, which `twice` finds.
                        None => *new
                            .entry(checked.identity().key.clone())
                            .or_insert_with(|| LogicalId((state.house.ids)())),
                    },
                    Err(_) => LogicalId((state.house.ids)()),
                };
                step.target = Some(Target::New(id));
            }
        }
        for step in steps.iter() {
            if let (Some(full_url), Some(target)) = (step.entry.full_url(), &step.target) {
                let means = format!("{}/{}", step.resource_type, target.id());
                if names
                    .insert(full_url.clone().into_owned(), means.clone())
                    .is_some_and(|before| before != means)
                {
                    let words = "two entries have the same fullUrl";
                    faults.push(fault(&step.entry, IssueCode::Duplicate, "fullUrl", words));
                }
            }
        }
    }
    Ok(names)
}

/// Every `reference` in a resource, contained ones too.
fn references(node: Node<'_>) -> Vec<Node<'_>> {
    let mut found = Vec::new();
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        for (name, value) in node.members() {
            if name == "reference" && value.kind() == Kind::String {
                found.push(value);
            } else {
                waiting.push(value);
            }
        }
        waiting.extend(node.items());
    }
    found.sort_by_key(|node| node.span().start);
    found
}

/// The resource with each reference that has a name written as what it means, and whether one among the Bundle's entries
/// was left over.
fn rewritten<'a>(
    json: &'a Json,
    node: Node<'a>,
    names: &Names,
) -> Result<(Json, Option<Node<'a>>), Problem> {
    let bytes = json.slice(node);
    let start = node.span().start;
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let (mut from, mut lost) = (0, None);
    for reference in references(node) {
        let text = reference.str().unwrap_or_default();
        let span = reference.span();
        match names.get(text.as_ref()) {
            Some(means) => {
                out.extend_from_slice(&bytes[from..span.start - start]);
                out.extend_from_slice(quote(means).as_bytes());
                from = span.end - start;
            }
            None if text.starts_with("urn:uuid:") || text.starts_with("urn:oid:") => {
                lost = lost.or(Some(reference));
            }
            None => {}
        }
    }
    out.extend_from_slice(&bytes[from..]);
    Ok((Json::parse(out, Limits::RESOURCE)?, lost))
}

/// One step as a put, and whom it is about; `None` for one that leaves what is there alone.
async fn put(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    step: &Step<'_>,
    names: &Names,
) -> Result<Option<(Put, Option<PersonIdentifier>)>, End> {
    let what = step.resource_type;
    let target = step
        .target
        .as_ref()
        .ok_or_else(|| Problem::bug("an entry of a transaction has no target"))?;
    let Some(node) = step.node else {
        let permit = visit.permit(&Ask::of(Interaction::Withdraw, what))?;
        let Target::There(id, expect_version) = target else {
            return Err(Problem::bug("a withdrawal of nothing").into());
        };
        placed(
            feed::own_only(state, visit, &permit, what, *id).await,
            step,
            "request.url",
        )?;
        let about = state.desk.store.patient_of(*id).await?;
        let put = Put::Withdraw {
            id: *id,
            resource_type: what,
            expect_version: *expect_version,
        };
        return Ok(Some((put, about)));
    };
    let (body, lost) = rewritten(json, node, names)?;
    if let Some(lost) = lost {
        let place = lost.expression();
        let words = "no entry of the bundle has this fullUrl";
        return Err(
            Problem::unprocessable(vec![Issue::error(IssueCode::NotFound, place, words)]).into(),
        );
    }
    let interaction = match target {
        Target::There(..) => Interaction::Update,
        _ => Interaction::Create,
    };
    let taken = feed::take(
        state,
        visit,
        interaction,
        &body,
        body.root(),
        Some(json.root()),
    );
    let Taken {
        checked,
        permit,
        written_by,
    } = placed(taken, step, "resource")?;
    placed(
        feed::same_type(what, &checked).map_err(End::Problem),
        step,
        "resource",
    )?;
    let person = super::person_of(&checked);
    let put = match target {
        Target::Left(_) => return Ok(None),
        Target::New(id) => {
            if step.method == Method::Put && body.root().get("id").is_some() {
                let words = "nothing meets the condition, and a new resource gets its id here: leave it out";
                return Err(fault(&step.entry, IssueCode::Invalid, "resource.id", words).into());
            }
            Put::CreateAs {
                id: *id,
                resource: checked,
                written_by,
                enrol: state.config.enrol,
            }
        }
        Target::There(id, found) => {
            if step.id.is_some() || body.root().get("id").is_some() {
                let same = update::same_id(&body, what, *id).map_err(End::Problem);
                placed(same, step, "resource")?;
            }
            let named = update::expected_version(state, visit, step.if_match);
            let named = named.map_err(|_| {
                let words = "an update needs the version it was made from, for example W/\"1\"";
                fault(&step.entry, IssueCode::Required, "request.ifMatch", words)
            })?;
            let own = feed::own_only(state, visit, &permit, what, *id).await;
            placed(own, step, "request.url")?;
            Put::Update {
                id: *id,
                expect_version: named.or(*found),
                resource: checked,
                written_by,
            }
        }
    };
    Ok(Some((put, person)))
}

/// A problem with an entry, told by its place in the Bundle.
fn placed<T>(result: Result<T, End>, step: &Step<'_>, member: &str) -> Result<T, End> {
    result.map_err(|end| match end {
        End::Problem(problem) => {
            End::Problem(problem.within(&format!("{}.{member}", step.entry.expression())))
        }
        other => other,
    })
}

/// No resource may be changed by two entries: which came last would be left to chance.
fn twice(steps: &[Step<'_>], faults: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for step in steps {
        let Some(target) = &step.target else { continue };
        let changes = !matches!(target, Target::Left(_));
        if changes && !seen.insert(target.id().to_string()) {
            let words = "another entry of this transaction is about the same resource";
            faults.push(fault(&step.entry, IssueCode::Duplicate, "request", words));
        }
    }
}

fn respond(
    parts: &Parts,
    steps: &[Step<'_>],
    done: &BTreeMap<usize, PutOutcome>,
) -> Result<Response, End> {
    let mut writer = BatchResponseWriter::new(BundleType::TransactionResponse);
    for (n, step) in steps.iter().enumerate() {
        let put = match (done.get(&n), &step.target) {
            (Some(put), _) | (None, Some(Target::Left(put))) => put,
            _ => return Err(Problem::bug("an entry of a transaction has no outcome").into()),
        };
        let told = (Return::of(&parts.headers) == Return::Outcome).then(|| written::outcome(put));
        let location = feed::location(put);
        let gone = step.method == Method::Delete;
        writer.entry(&EntryResponse {
            full_url: step.entry.full_url().as_deref(),
            status: &written::status(put).to_string(),
            location: (!gone).then_some(location.as_str()),
            etag: Some(&format!("W/\"{}\"", put.version)),
            last_modified: Some(put.last_updated),
            outcome: told.as_ref(),
            ..EntryResponse::default()
        });
    }
    Ok(fhir_response(StatusCode::OK, writer.finish()))
}
