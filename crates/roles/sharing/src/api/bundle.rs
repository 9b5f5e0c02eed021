//! Bundles posted to the base (CONTRACT section 6): `collection` and `batch`, each entry alone and answered in order.
//!
//! The bundle's own record and proof are durable first; then the entries, each its own change in one group commit.

use crate::State;
use crate::feed;
use wire::visit::{End, Visit, refused};
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::bundle::{BatchResponseWriter, BundleType, Entry, EntryResponse, entries};
use fhir::ids::OrganisationNumber;
use fhir::json::{Json, Limits};
use fhir::outcome::{IssueCode, OperationOutcome};
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::{Change, Committed, Fate, Put, StoreError};
use trust::{Ask, Interaction};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;

/// Most entries in a bundle (threats-and-faults.md section 4).
const MAX_ENTRIES: usize = 500;

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

async fn take(state: &State, visit: &mut Visit<'_>, parts: &Parts, body: Body) -> Result<Response, End> {
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::BUNDLE.bytes).await?;
    let json = Json::parse(bytes, Limits::BUNDLE)?;
    let root = json.root();
    match BundleType::of(root).map_err(|issue| Problem::invalid_all(vec![issue]))? {
        BundleType::Collection | BundleType::Batch => {}
        BundleType::Transaction => {
            return Err(Problem::not_supported("Bundle.type", "transaction is not offered here yet; send a batch, whose entries are each taken alone").into());
        }
        other => {
            return Err(Problem::not_supported("Bundle.type", format!("a {} is not taken here; send collection or batch", other.code())).into());
        }
    }
    let sent: Vec<Entry<'_>> = entries(root).collect();
    if sent.len() > MAX_ENTRIES {
        return Err(Problem::invalid(IssueCode::TooLong, "Bundle.entry", format!("more than {MAX_ENTRIES} entries")).into());
    }
    visit.asked(&format!("Bundle of {} entries", sent.len()));
    let permit = visit.permit(&Ask::of(Interaction::Batch, ResourceType::BUNDLE))?;
    visit.write(visit.record().permitted(&permit)).await?;

    // From here the bundle is answered entry by entry, whatever their fate.
    let written_by = writer(state, visit, root);
    let mut ready: Vec<Result<usize, Problem>> = Vec::with_capacity(sent.len());
    let mut changes: Vec<Change> = Vec::with_capacity(sent.len());
    let mut refusals = Vec::new();
    for entry in &sent {
        match prepare(state, visit, &json, entry, written_by) {
            Ok(change) => {
                ready.push(Ok(changes.len()));
                changes.push(change);
            }
            Err((problem, record)) => {
                refusals.push(Change { audit: Some(record), ..Change::default() });
                ready.push(Err(problem));
            }
        }
    }
    let put = changes.len();
    changes.append(&mut refusals);
    let mut committed: Vec<Option<Result<Committed, StoreError>>> = state.desk.store.commit_all(changes).await.into_iter().map(Some).collect();
    committed.truncate(put);
    let mut writer = BatchResponseWriter::default();
    for (entry, ready) in sent.iter().zip(ready) {
        let outcome = match ready {
            Ok(at) => match committed.get_mut(at).and_then(Option::take) {
                Some(Ok(done)) => Ok(done),
                Some(Err(error)) => Err(failed(state, visit, error).await?),
                None => Err(Problem::bug("an entry was not committed")),
            },
            Err(problem) => Err(problem),
        };
        respond(&mut writer, entry, outcome);
    }
    Ok(fhir_response(StatusCode::OK, writer.finish()))
}

/// One entry as a change of its own, or why not, with the record of the refusal.
fn prepare(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    entry: &Entry<'_>,
    written_by: Option<OrganisationNumber>,
) -> Result<Change, (Problem, trust::audit::Record)> {
    let asked = format!("Bundle.entry[{}]", entry.index);
    let record = || visit.record_of(Interaction::Create, &asked);
    let result = (|| {
        let place = entry.expression();
        let node = entry.resource.ok_or_else(|| Problem::unprocessable(vec![fhir::outcome::Issue::error(IssueCode::Required, &place, "the entry has no resource")]))?;
        if entry.method().is_some_and(|method| method != "POST") {
            return Err(End::Problem(Problem::unprocessable(vec![fhir::outcome::Issue::error(
                IssueCode::NotSupported,
                format!("{place}.request.method"),
                "only POST is taken in a batch here yet",
            )])));
        }
        feed::take(state, visit, Interaction::Create, json, node)
    })();
    match result {
        Ok((checked, permit)) => {
            let audit = record().permitted(&permit).about(super::person_of(&checked));
            let mut change = Change { audit: Some(audit), audit_fill: true, ..Change::default() };
            change.puts.push(Put::Create { resource: checked, written_by, enrol: state.config.enrol });
            Ok(change)
        }
        Err(End::Problem(problem) | End::Audited(problem)) => Err((problem, record().failed(trust::Category::Invalid))),
        Err(End::Refused(refusal) | End::Nothing(refusal)) => Err((refused(&refusal), record().refused(&refusal))),
    }
}

/// An entry that the store would not take leaves its record too.
async fn failed(state: &State, visit: &Visit<'_>, error: StoreError) -> Result<Problem, Problem> {
    let record = visit.record_of(Interaction::Create, "Bundle.entry").failed(error.category());
    state.desk.store.commit(Change { audit: Some(record), ..Change::default() }).await?;
    Ok(error.into())
}

/// Which member wrote a shared register's entries: the one the bundle names (the hub's tag), else the caller's own.
fn writer(state: &State, visit: &Visit<'_>, bundle: fhir::json::Node<'_>) -> Option<OrganisationNumber> {
    if state.config.members.is_empty() {
        return None;
    }
    let named = bundle.path(&["meta", "tag"]).and_then(|tags| {
        tags.items().find_map(|tag| {
            let ours = tag.text("system").is_some_and(|system| system == fhir::systems::ORGNR);
            ours.then(|| OrganisationNumber::parse(&tag.text("code")?).ok()).flatten()
        })
    });
    let named = named.map(|n| state.config.register.controller(&n).unwrap_or(n)).filter(|n| state.config.members.contains(n));
    named.or_else(|| feed::written_by(state, visit))
}

fn respond(writer: &mut BatchResponseWriter, entry: &Entry<'_>, outcome: Result<Committed, Problem>) {
    let full_url = entry.full_url();
    match outcome {
        Ok(committed) => {
            let Some(put) = committed.puts.first() else { return };
            let status = if put.fate == Fate::Existing { "200 OK" } else { "201 Created" };
            writer.entry(&EntryResponse {
                full_url: full_url.as_deref(),
                status,
                location: Some(&feed::location(put)),
                etag: Some(&format!("W/\"{}\"", put.version)),
                last_modified: Some(put.last_updated),
                outcome: None,
            });
        }
        Err(problem) => {
            let problem = problem.within(&format!("{}.resource", entry.expression()));
            let outcome = OperationOutcome::new(problem.issues().to_vec());
            writer.entry(&EntryResponse { full_url: full_url.as_deref(), status: &problem.status().to_string(), outcome: Some(&outcome), ..EntryResponse::default() });
        }
    }
}
