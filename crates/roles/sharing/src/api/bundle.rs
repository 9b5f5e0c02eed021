//! Bundles posted to the base (CONTRACT section 6): `collection` and `batch`, each entry alone and answered in order. A
//! batch may correct (PUT) and withdraw (DELETE) by id as well. Transactions are in `transaction`.
//!
//! The bundle's own record and proof are durable first; then the entries, each its own change in one group commit.

use crate::State;
use crate::feed::{self, Taken};
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::bundle::{BatchResponseWriter, BundleType, Entry, EntryResponse};
use fhir::ids::PersonIdentifier;
use fhir::json::{Json, Limits, Node};
use fhir::outcome::{Issue, IssueCode, OperationOutcome};
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::{Change, Committed, Fate, Put};
use trust::audit::Record;
use trust::{Ask, Category, Interaction, Permit};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit, refused};

/// `POST {base}`.
pub async fn bundle(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut visit = state.desk.receive(&parts, ids, Interaction::Batch).await?;
    match take(&state, &mut visit, &parts, body).await {
        Ok(response) => Ok(response),
        Err(end) => visit.end(end, || Err(Problem::not_found())).await,
    }
}

async fn take(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Batch, ResourceType::BUNDLE))?;
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::BUNDLE.bytes).await?;
    let json = Json::parse(bytes, Limits::BUNDLE)?;
    let root = json.root();
    match BundleType::of(root).map_err(|issue| Problem::invalid_all(vec![issue]))? {
        BundleType::Collection | BundleType::Batch => {}
        BundleType::Transaction => {
            return super::transaction::carry_out(state, visit, parts, &json, &permit).await;
        }
        other => {
            return Err(Problem::not_supported(
                "Bundle.type",
                format!(
                    "a {} is not taken here; send collection or batch",
                    other.code()
                ),
            )
            .into());
        }
    }
    let sent: Vec<Entry<'_>> = wire::bundle::sent(root)?;
    visit.asked(&format!("Bundle of {} entries", sent.len()));
    let mut received = visit.change(visit.record().permitted(&permit));
    crate::copy::sign(state, visit, &mut received);
    visit.commit(received).await?;

    // From here the bundle is answered entry by entry, whatever their fate.
    let mut ready: Vec<Result<PersonOf, Problem>> = Vec::with_capacity(sent.len());
    let mut changes: Vec<Change> = Vec::with_capacity(sent.len());
    let mut refusals: Vec<Record> = Vec::new();
    for entry in &sent {
        match prepare(state, visit, &json, entry, root, &permit).await {
            Ok((change, person)) => {
                ready.push(Ok(person));
                changes.push(change);
            }
            Err((problem, record)) => {
                refusals.push(*record);
                ready.push(Err(problem));
            }
        }
    }
    let mut committed = state.desk.store.commit_all(changes).await.into_iter();
    let mut answers: Vec<Result<Committed, Problem>> = Vec::with_capacity(sent.len());
    for (entry, ready) in sent.iter().zip(ready) {
        answers.push(match ready {
            Err(problem) => Err(problem),
            Ok(person) => match committed.next() {
                Some(Ok(done)) => Ok(done),
                Some(Err(error)) => {
                    let record = visit.record_of(interaction(root, entry), &entry.expression());
                    refusals.push(record.about(person).failed(error.category()));
                    Err(placed(error.into(), entry))
                }
                None => Err(Problem::bug("an entry was not committed")),
            },
        });
    }
    // No entry is answered whose record is not durable.
    let records = refusals
        .into_iter()
        .map(|record| Change {
            audit: Some(record),
            ..Change::default()
        })
        .collect();
    for written in state.desk.store.commit_all(records).await {
        written?;
    }
    let mut writer = BatchResponseWriter::default();
    for (entry, answer) in sent.iter().zip(answers) {
        respond(&mut writer, root, entry, answer);
    }
    Ok(fhir_response(StatusCode::OK, writer.finish()))
}

/// Whom an entry is about, where it names a person.
type PersonOf = Option<PersonIdentifier>;

/// One entry as a change of its own, or why not, with the record of the refusal.
async fn prepare(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    entry: &Entry<'_>,
    bundle: Node<'_>,
    batch: &Permit,
) -> Result<(Change, PersonOf), (Problem, Box<Record>)> {
    let record = || visit.record_of(interaction(bundle, entry), &entry.expression());
    if interaction(bundle, entry) != Interaction::Create {
        return match super::transaction::alone(state, visit, json, entry).await {
            Ok((put, person)) => {
                let mut change = Change {
                    audit: Some(record().permitted(batch).about(person.clone())),
                    audit_fill: true,
                    ..Change::default()
                };
                change.puts.push(put);
                Ok((change, person))
            }
            Err(End::Problem(problem) | End::Audited(problem)) => {
                Err((problem, Box::new(record().failed(Category::Invalid))))
            }
            Err(End::Refused(refusal) | End::Nothing(refusal)) => Err((
                placed(refused(&refusal), entry),
                Box::new(record().refused(&refusal)),
            )),
        };
    }
    let result = match asked_for(entry, bundle) {
        Ok((node, resource)) => {
            feed::take(state, visit, Interaction::Create, json, node, Some(bundle))
                .and_then(|taken| match resource {
                    Some(expected) if expected != taken.checked.resource_type() => {
                        Err(entry_fault(
                            entry,
                            IssueCode::Invalid,
                            "request.url",
                            "the address names another type than the resource's",
                        )
                        .into())
                    }
                    _ => Ok(taken),
                })
                .map_err(|end| match end {
                    End::Problem(problem) => End::Problem(placed(problem, entry)),
                    other => other,
                })
        }
        Err(problem) => Err(End::Problem(problem)),
    };
    match result {
        Ok(Taken {
            checked,
            permit,
            written_by,
        }) => {
            let person = super::person_of(&checked);
            let audit = record().permitted(&permit).about(person.clone());
            let mut change = Change {
                audit: Some(audit),
                audit_fill: true,
                ..Change::default()
            };
            change.puts.push(Put::Create {
                resource: checked,
                written_by,
                enrol: state.config.enrol,
            });
            Ok((change, person))
        }
        Err(End::Problem(problem) | End::Audited(problem)) => {
            Err((problem, Box::new(record().failed(Category::Invalid))))
        }
        Err(End::Refused(refusal) | End::Nothing(refusal)) => Err((
            placed(refused(&refusal), entry),
            Box::new(record().refused(&refusal)),
        )),
    }
}

/// What an entry of `bundle` asks for; Pasientens måledata's are all new, whatever their method.
fn interaction(bundle: Node<'_>, entry: &Entry<'_>) -> Interaction {
    if super::pmd::sends(bundle, entry) {
        return Interaction::Create;
    }
    match entry.method().as_deref() {
        Some("PUT") => Interaction::Update,
        Some("DELETE") => Interaction::Withdraw,
        _ => Interaction::Create,
    }
}

/// The resource of an entry and the type that its `request`, if there is one, asks to create.
fn asked_for<'a>(
    entry: &Entry<'a>,
    bundle: Node<'_>,
) -> Result<(Node<'a>, Option<ResourceType>), Problem> {
    let fault = |code, member, words| entry_fault(entry, code, member, words);
    let node = entry
        .resource
        .ok_or_else(|| fault(IssueCode::Required, "resource", "the entry has no resource"))?;
    let Some(request) = entry.request else {
        return Ok((node, None));
    };
    if super::pmd::sends(bundle, entry) {
        return Ok((node, Some(ResourceType::OBSERVATION)));
    }
    if entry.method().is_none_or(|method| method != "POST") {
        return Err(fault(
            IssueCode::NotSupported,
            "request.method",
            "POST, PUT and DELETE are taken in a batch here",
        ));
    }
    for condition in ["ifNoneExist", "ifMatch", "ifNoneMatch", "ifModifiedSince"] {
        if request.get(condition).is_some() {
            return Err(fault(
                IssueCode::NotSupported,
                "request",
                "conditional interactions are not offered; a resource sent again is known by its identifier",
            ));
        }
    }
    let url = entry.url().ok_or_else(|| {
        fault(
            IssueCode::Required,
            "request.url",
            "the type to create was expected, for example Observation",
        )
    })?;
    match ResourceType::parse(&url) {
        Some(expected) => Ok((node, Some(expected))),
        None => Err(fault(
            IssueCode::Value,
            "request.url",
            "the type to create was expected, for example Observation",
        )),
    }
}

/// What is wrong with an entry outside its resource.
fn entry_fault(entry: &Entry<'_>, code: IssueCode, member: &str, words: &str) -> Problem {
    Problem::unprocessable(vec![Issue::error(
        code,
        format!("{}.{member}", entry.expression()),
        words,
    )])
}

/// A problem with an entry's resource, told by its place in the bundle.
fn placed(problem: Problem, entry: &Entry<'_>) -> Problem {
    let place = format!("{}.resource", entry.expression());
    // What stands in the bundle already stays where it is.
    if problem.issues().iter().any(|issue| {
        issue
            .expression
            .iter()
            .any(|e| e.starts_with(&entry.expression()))
    }) {
        problem
    } else {
        problem.within(&place)
    }
}

fn respond(
    writer: &mut BatchResponseWriter,
    bundle: Node<'_>,
    entry: &Entry<'_>,
    outcome: Result<Committed, Problem>,
) {
    let full_url = entry.full_url();
    match outcome {
        Ok(committed) => {
            let Some(put) = committed.puts.first() else {
                return;
            };
            let status = match (interaction(bundle, entry), put.fate) {
                (Interaction::Create, Fate::Existing) => StatusCode::OK,
                (Interaction::Create, _) => StatusCode::CREATED,
                _ => super::written::status(put),
            };
            let location = (put.fate != Fate::Withdrawn).then(|| feed::location(put));
            writer.entry(&EntryResponse {
                full_url: full_url.as_deref(),
                status: &status.to_string(),
                location: location.as_deref(),
                etag: Some(&format!("W/\"{}\"", put.version)),
                last_modified: Some(put.last_updated),
                ..EntryResponse::default()
            });
        }
        Err(problem) => {
            let outcome = OperationOutcome::new(problem.issues().to_vec());
            writer.entry(&EntryResponse {
                full_url: full_url.as_deref(),
                status: &problem.status().to_string(),
                outcome: Some(&outcome),
                ..EntryResponse::default()
            });
        }
    }
}
