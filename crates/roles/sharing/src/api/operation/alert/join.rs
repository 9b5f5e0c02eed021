//! `POST {base}/Task/{id}/$join`: who owns two alerts of one patient and topic makes them one, in one commit. `{id}` stays, as it was seen
//! (`If-Match`); `with` is the other as it was seen, which ends. Why two stay two is said in words, and then nothing is written.

use super::{no_alert, note_in, patient, person, reduced, stale, told};
use crate::State;
use crate::alert::{self, Apart, By, No, Step, Task, Two, Whose};
use crate::api::{id_of, if_match, writable};
use axum::body::Body;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::ids::LogicalId;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::request::Parts;
use std::sync::Arc;
use store::StoreError;
use trust::{Ask, Interaction, Permit, PermitScope};
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Parameter: the alert that ends, as it was seen.
pub(super) const WITH: &str = "with";

/// `$join`.
pub async fn join(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| joined(&state, visit, &id, &parts, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::AlertStep, work).await
}

async fn joined(
    state: &State,
    visit: &mut Visit<'_>,
    id: &str,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let resource = writable(state, ResourceType::TASK.as_str())?;
    let permit = visit.permit(&Ask::of(Interaction::AlertStep, resource))?;
    let id = id_of(id)?;
    let expected = if_match(&parts.headers)?.ok_or_else(Problem::precondition_required)?;
    let input = wire::operation::read(&parts.headers, body).await?;
    let (with, seen) = with_in(&input)?;
    let note = note_in(&input, Step::Gather)?.ok_or_else(|| told(No::NeedsNote))?;
    visit.asked(&format!("with Task/{with}/_history/{seen}"));
    let person = person(state, visit)?;
    let mut two = two(state, &permit, (id, expected), (with, seen)).await?;
    let PermitScope::Patient(about) = permit.patient() else {
        return Err(Problem::not_found().into());
    };
    let whose = Whose {
        patient: patient(state, &permit).await?,
        person: about,
        permit: &permit,
    };
    let wait = two.stays.wait(state.deadlines());
    let by = By {
        person: Some(&person),
        note: true,
        now: visit.now,
        wait: &wait,
    };
    let joined = state.join(&whose, &mut two, &by, &note).await?;
    let joined = joined.map_err(|apart| said(state, apart))?;
    let said = alert::Said {
        person: about,
        by: &person,
        text: &note,
        at: visit.now,
        issue: joined.issue.as_ref().map(|(id, issue)| (*id, issue)),
    };
    let mut change = visit.change(visit.record().permitted(&permit));
    change
        .outbox
        .extend(alert::filed(state, &two.stays, &said)?);
    change.puts = joined.raised.puts;
    change.ledger.extend(joined.raised.ledger);
    change.audit_fill = true;
    change.every_fault = true;
    match visit.attempt(change).await? {
        Ok(_) => {}
        Err(StoreError::Puts(_)) => {
            // Somebody came between: that one says so.
            self::two(state, &permit, (id, expected), (with, seen)).await?;
            return Err(Problem::conflict(BETWEEN).into());
        }
        Err(error) => return Err(error.into()),
    }
    state.raised(joined.raised.queue);
    let stored = state.desk.store.read(&permit, resource, id).await?;
    reduced(&permit, stored.ok_or_else(Problem::not_found)?)
}

/// Said where neither Task has moved on, and what they rest on has.
const BETWEEN: &str = "what the alerts rest on has changed meanwhile: nothing was joined";

/// Both, each in the version that it was seen in.
async fn two(
    state: &State,
    permit: &Permit,
    (id, expected): (LogicalId, u64),
    (with, seen): (LogicalId, u64),
) -> Result<Two, End> {
    let stored = state
        .desk
        .store
        .read(permit, ResourceType::TASK, id)
        .await?;
    let stays = Task::read(&stored.ok_or_else(Problem::not_found)?).ok_or_else(no_alert)?;
    // Another patient's looks as if it were not there.
    let other = state.there(permit, ResourceType::TASK, with).await?;
    let ends = other.as_ref().and_then(Task::read);
    let ends = ends.filter(|ends| ends.id != stays.id).ok_or_else(|| {
        let words = "expected another alert of this patient at this service";
        Problem::invalid(IssueCode::BusinessRule, WITH, words)
    })?;
    if stays.version != expected {
        return Err(stale(&stays).into());
    }
    if ends.version != seen {
        return Err(stale(&ends).within(WITH).into());
    }
    Ok(Two { stays, ends })
}

/// The other alert and the version of it that she saw.
fn with_in(input: &[(String, String)]) -> Result<(LogicalId, u64), Problem> {
    let all = input.iter().filter(|(name, _)| name == WITH);
    let all: Vec<_> = all.map(|(_, text)| text.as_str()).collect();
    let read = |text: &str| {
        let (id, version) = text.strip_prefix("Task/")?.split_once("/_history/")?;
        Some((LogicalId::parse(id).ok()?, version.parse().ok()?))
    };
    let found = match all[..] {
        [text] => read(text),
        _ => None,
    };
    found.ok_or_else(|| {
        let words =
            "expected once: the alert that ends as it was seen, Task/{id}/_history/{version}";
        Problem::invalid(IssueCode::Value, WITH, words)
    })
}

/// Why they stay two.
fn said(state: &State, apart: Apart) -> Problem {
    let place = |id: LogicalId| format!("{}/Task/{id}", state.base);
    match apart {
        Apart::Stays(no) => told(no),
        Apart::Ends(no) => told(no).within(WITH),
        Apart::Topic => {
            let words =
                "the two are about different things: readings, and readings that did not come";
            Problem::conflict(words).within(WITH)
        }
        Apart::Unheard(id) => Problem::conflict(format!(
            "who offered {} has not heard yet that it was accepted: join it when they have",
            place(id)
        )),
        Apart::Third(id) => Problem::conflict(format!(
            "what is found for the patient joins {} now: own it, and join the two with it one by one",
            place(id)
        )),
        Apart::Full => {
            let words = "there is no room for the note, or for all that the two rest on: nothing was joined";
            Problem::invalid(IssueCode::TooLong, WITH, words)
        }
    }
}
