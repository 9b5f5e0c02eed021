//! A batch or collection: each entry alone, in the order of http.html#trules, answered in the order sent.
//!
//! The bundle's own record and proof are durable first. New resources without a condition, which is what feeds send, go
//! together in one group commit, each a change of its own; every other entry is carried out as if it had come alone.

use super::alone;
use super::answer::{Answer, Room, preferred};
use super::asked::{self, Asked, fault};
use crate::State;
use crate::api::pmd;
use crate::api::written::{self, Return};
use crate::feed::{self, Taken};
use axum::response::Response;
use fhir::bundle::{BatchResponseWriter, BundleType, Entry};
use fhir::ids::PersonIdentifier;
use fhir::json::{Json, Node};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::{Checked, ResourceType};
use http::StatusCode;
use http::request::Parts;
use store::{Change, Committed, Conflict, Fate, Put, StoreError};
use trust::audit::Record;
use trust::{Category, Interaction, Permit};
use wire::outcome::{Problem, fhir_response};
use wire::visit::{End, OTHER_MEMBER, Visit, refused};

/// What is to be done with an entry.
enum Way {
    /// A new resource, together with the others.
    Together,
    /// As if it had come alone.
    Alone(Box<Asked>),
    /// Its request is not understood.
    Refused(Problem),
}

/// Carries out a batch; `permit` is the bundle's own, unless it only reads.
pub(super) async fn carry_out(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    json: &Json,
    permit: Option<&Permit>,
) -> Result<Response, End> {
    let root = json.root();
    let sent = wire::bundle::sent(root)?;
    visit.asked(&format!("Bundle of {} entries", sent.len()));
    let visit: &Visit<'_> = visit;
    let mut record = visit.record();
    if let Some(permit) = permit {
        record = record.permitted(permit);
    }
    let mut received = visit.change(record);
    let signed = permit.map(|_| crate::copy::sign(visit, &mut received));
    visit.commit(received).await?;
    signed.iter().for_each(|signed| signed.stands(state));

    // From here the bundle is answered entry by entry, whatever their fate.
    let ways: Vec<Way> = sent
        .iter()
        .map(|entry| way(state, root, entry, parts))
        .collect();
    let mut answers: Vec<Option<Answer>> = sent.iter().map(|_| None).collect();
    let mut order: Vec<usize> = (0..sent.len()).collect();
    order.sort_by_key(|n| match &ways[*n] {
        Way::Alone(asked) => asked.what.turn(),
        _ => 1,
    });
    let together: Vec<usize> = order
        .iter()
        .copied()
        .filter(|n| matches!(ways[*n], Way::Together))
        .collect();
    let mut refusals: Vec<(usize, Record)> = Vec::new();
    let mut made = false;
    let mut room = Room::whole();
    for n in order {
        let entry = &sent[n];
        match &ways[n] {
            Way::Together if made => {}
            Way::Together => {
                made = true;
                let entries: Vec<&Entry<'_>> = together.iter().map(|n| &sent[*n]).collect();
                let done = create(state, visit, parts, json, &entries, &mut refusals).await?;
                for (n, answer) in together.iter().zip(done) {
                    answers[*n] = Some(answer);
                }
            }
            Way::Alone(asked) => {
                let done = alone::carry_out(state, visit, json, (entry, asked), &mut room).await;
                answers[n] = Some(done.unwrap_or_else(|problem| Answer::refused(&problem)));
            }
            Way::Refused(problem) => {
                let interaction = match entry.method().as_deref() {
                    Some("PUT" | "PATCH") => Interaction::Update,
                    Some("DELETE") => Interaction::Withdraw,
                    Some("GET") => Interaction::Read,
                    _ => Interaction::Create,
                };
                let record = visit.record_of(interaction, ENTRY);
                refusals.push((n, record.failed(Category::Invalid)));
                answers[n] = Some(Answer::refused(problem));
            }
        }
    }
    // No entry is answered whose record is not durable.
    let records = refusals
        .into_iter()
        .map(|(entry, record)| Change {
            audit: Some(record),
            audit_entry: number(entry),
            ..Change::default()
        })
        .collect();
    for written in state.desk.store.commit_all(records).await {
        written?;
    }
    let mut writer =
        BatchResponseWriter::profiled(BundleType::BatchResponse, pmd::answered(root, &sent));
    for (entry, answer) in sent.iter().zip(answers) {
        let answer = answer.ok_or_else(|| Problem::bug("an entry of a batch has no answer"))?;
        answer.write(&mut writer, entry);
    }
    Ok(fhir_response(StatusCode::OK, writer.finish()))
}

/// What the record of an entry says was asked; the store adds which entries it tells of, for entries about one patient share a
/// record.
const ENTRY: &str = "Bundle.entry";

fn number(entry: usize) -> Option<u32> {
    u32::try_from(entry).ok()
}

/// How an entry is to be carried out. One without a request, and one of Pasientens måledata, is a new resource.
fn way(state: &State, bundle: Node<'_>, entry: &Entry<'_>, parts: &Parts) -> Way {
    if entry.request.is_none() || pmd::sends(bundle, entry) {
        return Way::Together;
    }
    match asked::understand(state, entry, &parts.headers) {
        Ok(asked) if asked.what == asked::What::Create && asked.none_exist.is_none() => {
            Way::Together
        }
        Ok(asked) => Way::Alone(Box::new(asked)),
        Err(problem) => Way::Refused(problem),
    }
}

/// An entry that is being made, and what its answer needs.
struct Made {
    person: Option<PersonIdentifier>,
    permit: Permit,
    /// What was sent, where it is wanted back.
    sent: Option<Checked>,
    /// What was remarked of it.
    remarks: Vec<Issue>,
}

/// Makes new resources, each a change of its own in one group commit.
async fn create(
    state: &State,
    visit: &Visit<'_>,
    parts: &Parts,
    json: &Json,
    entries: &[&Entry<'_>],
    refusals: &mut Vec<(usize, Record)>,
) -> Result<Vec<Answer>, End> {
    let prefer = preferred(&parts.headers);
    let mut ready: Vec<Result<Made, Problem>> = Vec::with_capacity(entries.len());
    let mut changes: Vec<Change> = Vec::with_capacity(entries.len());
    for entry in entries {
        let record = || visit.record_of(Interaction::Create, ENTRY);
        match taken(state, visit, json, entry) {
            Ok(taken) => {
                let (mut change, made) = change(state, record(), taken, prefer);
                change.audit_entry = number(entry.index);
                ready.push(Ok(made));
                changes.push(change);
            }
            Err(End::Problem(problem) | End::Audited(problem)) => {
                refusals.push((entry.index, record().failed(Category::Invalid)));
                ready.push(Err(placed(problem, entry)));
            }
            Err(End::Refused(refusal)) => {
                refusals.push((entry.index, record().refused(&refusal)));
                ready.push(Err(placed(refused(&refusal), entry)));
            }
            Err(End::Nothing(refusal, about)) => {
                let record = record().refused(&refusal);
                let other = about.map(|about| record.attempted(about));
                let records = [Some(record), other].into_iter().flatten();
                refusals.extend(records.map(|record| (entry.index, record)));
                ready.push(Err(placed(refused(&refusal), entry)));
            }
        }
    }
    let mut committed = state.desk.store.commit_all(changes).await.into_iter();
    let mut answers = Vec::with_capacity(entries.len());
    for (entry, ready) in entries.iter().zip(ready) {
        let made = match ready {
            Ok(made) => made,
            Err(problem) => {
                answers.push(Answer::refused(&problem));
                continue;
            }
        };
        answers.push(match committed.next() {
            Some(Ok(done)) => answer(state, &made, &done, prefer)
                .await?
                .remarking(&made.remarks, entry),
            Some(Err(error)) => {
                let record = visit.record_of(Interaction::Create, ENTRY);
                let record = record.about(made.person);
                let (record, problem) = match error {
                    StoreError::Conflict(Conflict::Writer { .. }) => {
                        (record.refused(&OTHER_MEMBER), refused(&OTHER_MEMBER))
                    }
                    error => (record.failed(error.category()), error.into()),
                };
                refusals.push((entry.index, record));
                Answer::refused(&placed(problem, entry))
            }
            None => return Err(Problem::bug("an entry was not committed").into()),
        });
    }
    Ok(answers)
}

/// An entry's resource, checked and permitted.
fn taken(state: &State, visit: &Visit<'_>, json: &Json, entry: &Entry<'_>) -> Result<Taken, End> {
    let node = entry.resource.ok_or_else(|| {
        fault(
            entry,
            IssueCode::Required,
            "resource",
            "the entry has no resource",
        )
    })?;
    let bundle = json.root();
    let taken = feed::take(state, visit, Interaction::Create, json, node, Some(bundle))?;
    let expected = if pmd::sends(bundle, entry) {
        Some(ResourceType::OBSERVATION)
    } else {
        entry.url().and_then(|url| ResourceType::parse(&url))
    };
    if expected.is_some_and(|expected| expected != taken.checked.resource_type()) {
        let words = "the address names another type than the resource's";
        return Err(fault(entry, IssueCode::Invalid, "request.url", words).into());
    }
    Ok(taken)
}

fn change(state: &State, record: Record, taken: Taken, prefer: Return) -> (Change, Made) {
    let person = crate::api::person_of(&taken.checked);
    let mut change = Change {
        audit: Some(record.permitted(&taken.permit).about(person.clone())),
        audit_fill: true,
        ..Change::default()
    };
    let sent = (prefer == Return::Representation).then(|| taken.checked.clone());
    let remarks = taken.checked.remarks().to_vec();
    change.puts.push(Put::Create {
        resource: taken.checked,
        written_by: taken.written_by,
        enrol: state.config.enrol,
    });
    let permit = taken.permit;
    (
        change,
        Made {
            person,
            permit,
            sent,
            remarks,
        },
    )
}

async fn answer(
    state: &State,
    made: &Made,
    done: &Committed,
    prefer: Return,
) -> Result<Answer, End> {
    let put = done
        .puts
        .first()
        .ok_or_else(|| Problem::bug("a create gave no outcome"))?;
    let status = match put.fate {
        Fate::Existing => StatusCode::OK,
        _ => StatusCode::CREATED,
    };
    let resource = match &made.sent {
        Some(sent) => Some(written::as_stored(state, &made.permit, put, sent).await?),
        None => None,
    };
    Ok(Answer::written(put, status, prefer, resource))
}

/// A problem with an entry's resource, told by its place in the bundle.
fn placed(problem: Problem, entry: &Entry<'_>) -> Problem {
    let (of_entry, resource) = (
        entry.expression(),
        format!("{}.resource", entry.expression()),
    );
    // What stands in the bundle already stays where it is.
    problem.each(|issue| match issue.expression.first() {
        Some(place) if place.starts_with(&of_entry) => issue,
        _ => issue.within(&resource),
    })
}
