//! Transactions (FHIR R4 http.html#transaction): all of a Bundle's entries or none, as one change of the store.
//!
//! Whatever order they stand in, entries are carried out DELETE, POST, PUT and PATCH, GET. First it is found out which
//! resource each entry is about (`find`; ids of new ones are chosen then), so that links among entries and conditional
//! references can be written as what they mean (`names`); every other byte stays as sent. Then all are checked (`put`), and
//! every fault is told at once, those that only the store can find too. Reads come last, each with a record of its own.

mod find;
mod names;
mod put;
mod step;

use super::bundle::alone;
use super::bundle::answer::{Answer, Room, preferred};
use super::conditional;
use super::written::{self, Return};
use crate::State;
use crate::disclose::listed;
use axum::response::Response;
use fhir::bundle::{BatchResponseWriter, BundleType};
use fhir::ids::PersonIdentifier;
use fhir::json::Json;
use fhir::outcome::Issue;
use fhir::resource::Checked;
use http::StatusCode;
use http::request::Parts;
use names::Names;
use std::collections::{BTreeMap, BTreeSet};
use step::{Ready, Step, Target};
use store::{Change, Conflict, PutOutcome, StoreError};
use trust::Permit;
use wire::outcome::{Problem, fhir_response};
use wire::visit::{End, Visit};

/// How often a transaction is tried: another writer may make a resource between our look and our commit.
const ATTEMPTS: usize = 4;

/// Carries out the transaction `json`, a Bundle; `permit` is the bundle's own, unless it only reads.
pub(super) async fn carry_out(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    json: &Json,
    permit: Option<&Permit>,
) -> Result<Response, End> {
    let sent = wire::bundle::sent(json.root())?;
    visit.asked(&format!("Bundle of {} entries", sent.len()));
    let visit: &Visit<'_> = visit;
    let mut faults = Vec::new();
    let mut steps: Vec<Step<'_>> = Vec::with_capacity(sent.len());
    for entry in &sent {
        match Step::of(state, entry, &parts.headers) {
            Ok(step) => steps.push(step),
            Err(problem) => faults.push(problem),
        }
    }
    none(&mut faults)?;
    let prefer = preferred(&parts.headers);
    let done = {
        let _alone = conditional::alone(state).await;
        write(state, visit, json, (&mut steps, prefer), permit).await?
    };
    let mut answers: Vec<Option<Answer>> = done;
    let mut room = Room::whole();
    for (n, step) in steps.iter().enumerate() {
        if step.asked.what.reads() {
            let given =
                alone::carry_out(state, visit, json, (&step.entry, &step.asked), &mut room).await;
            answers[n] = Some(given.unwrap_or_else(|problem| Answer::refused(&problem)));
        }
    }
    let mut writer = BatchResponseWriter::new(BundleType::TransactionResponse);
    for (step, answer) in steps.iter().zip(answers) {
        let answer =
            answer.ok_or_else(|| Problem::bug("an entry of a transaction has no outcome"))?;
        answer.write(&mut writer, &step.entry);
    }
    Ok(fhir_response(StatusCode::OK, writer.finish()))
}

/// Writes what the steps ask for, all or nothing; gives the answers of those that write.
async fn write(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    (steps, prefer): (&mut [Step<'_>], Return),
    permit: Option<&Permit>,
) -> Result<Vec<Option<Answer>>, End> {
    let mut faults = Vec::new();
    find::targets(state, visit, json, steps, &mut faults).await?;
    none(&mut faults)?;
    let mut known = BTreeMap::new();
    let mut told = false;
    for _ in 0..ATTEMPTS {
        let mut names = Names::of(state, visit, json, steps, &mut faults).await?;
        names.versions.append(&mut known.clone());
        let (ready, named) = ready(state, visit, json, steps, &names, &mut faults).await?;
        find::twice(steps, &mut faults);
        find::readable(state, visit, steps, &mut faults).await?;
        none(&mut faults)?;
        if !told {
            tell_others(state, visit, &ready, permit).await?;
            told = true;
        }
        let places: Vec<usize> = ready.iter().map(|one| one.step).collect();
        let (mut change, sent) = change(visit, steps, ready, permit, prefer);
        let signed = permit.map(|_| crate::copy::sign(visit, &mut change));
        change.versions = places
            .iter()
            .enumerate()
            .filter(|(_, step)| named.contains(step))
            .map(|(put, step)| (put, names.versions.get(step).copied().unwrap_or(1)))
            .collect();
        match visit.attempt(change).await? {
            Ok(committed) => {
                signed.iter().for_each(|signed| signed.stands(state));
                return answers(state, steps, &places, &committed.puts, sent, prefer).await;
            }
            // Others refer to a version: now it is known which.
            Err(StoreError::Versions(others)) => {
                for (put, version) in others {
                    known.insert(places[put], version);
                }
            }
            Err(StoreError::Puts(refused)) => {
                let mut again = true;
                for (put, error) in refused {
                    let step = &mut steps[places[put]];
                    let new = matches!(step.target, Some(Target::New(_)));
                    match error {
                        // Made meanwhile by somebody else: it has that id.
                        StoreError::Conflict(Conflict::Identity { .. }) if new => {
                            step.target = None
                        }
                        error => {
                            again = false;
                            faults.push(refusal(step, error));
                        }
                    }
                }
                if !again {
                    none(&mut faults)?;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::conflict("somebody else changes the same resources; send it again").into())
}

/// Every step that changes something as the store takes it, in their order, and the steps whose versions are named.
async fn ready(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    steps: &[Step<'_>],
    names: &Names,
    faults: &mut Vec<Problem>,
) -> Result<(Vec<Ready>, BTreeSet<usize>), End> {
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|n| steps[*n].asked.what.turn());
    let (mut ready, mut named) = (Vec::new(), BTreeSet::new());
    for n in order {
        match put::put(state, visit, json, (n, &steps[n]), names).await {
            Ok(Some((one, of_it))) => {
                ready.push(one);
                named.extend(of_it);
            }
            Ok(None) => {}
            Err(End::Problem(problem)) => faults.push(problem),
            Err(refused) => return Err(refused),
        }
    }
    Ok((ready, named))
}

/// All faults as one answer, if there is any.
fn none(faults: &mut Vec<Problem>) -> Result<(), Problem> {
    match Problem::together(std::mem::take(faults)) {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

/// What the store found wrong with a step, told by its place.
fn refusal(step: &Step<'_>, error: StoreError) -> Problem {
    let member = match &error {
        StoreError::VersionMismatch { .. } if step.if_match.is_some() => "request.ifMatch",
        StoreError::VersionMismatch { .. } | StoreError::NotFound | StoreError::Gone => {
            "request.url"
        }
        _ => "resource",
    };
    let place = format!("{}.{member}", step.entry.expression());
    Problem::from(error).each(|issue| Issue {
        expression: vec![place.clone()],
        ..issue
    })
}

/// Whom the puts are about, each once.
fn people(ready: &[Ready]) -> Vec<PersonIdentifier> {
    let mut people: Vec<PersonIdentifier> = Vec::new();
    for person in ready.iter().filter_map(|one| one.person.as_ref()) {
        if !people.contains(person) {
            people.push(person.clone());
        }
    }
    people
}

/// One record holds one patient: the others find theirs in their own trail, written before anything is changed.
async fn tell_others(
    state: &State,
    visit: &Visit<'_>,
    ready: &[Ready],
    permit: Option<&Permit>,
) -> Result<(), End> {
    let others = people(ready).into_iter().skip(1).map(|person| {
        let mut record = visit.record();
        if let Some(permit) = permit {
            record = record.permitted(permit);
        }
        Change {
            audit: Some(record.about(Some(person))),
            ..Change::default()
        }
    });
    for written in state.desk.store.commit_all(others.collect()).await {
        written?;
    }
    Ok(())
}

/// What was sent by each put, where it is wanted back, and what was remarked of it.
type Sent = Vec<(Option<(Permit, Checked)>, Vec<Issue>)>;

/// The one change of a transaction.
fn change(
    visit: &Visit<'_>,
    steps: &[Step<'_>],
    ready: Vec<Ready>,
    permit: Option<&Permit>,
    prefer: Return,
) -> (Change, Sent) {
    let mut record = visit.record();
    if let Some(permit) = permit {
        record = record.permitted(permit);
    }
    let person = people(&ready).into_iter().next();
    if person.is_some() {
        record = record.about(person);
    }
    // What is left alone and given back is disclosed.
    if prefer == Return::Representation {
        let left = steps.iter().filter_map(|step| match &step.target {
            Some(Target::Left(stored)) => Some(stored.as_ref().clone()),
            _ => None,
        });
        record = record.disclosing(listed(&left.collect::<Vec<_>>()));
    }
    let mut change = visit.change(record);
    change.audit_fill = true;
    change.every_fault = true;
    let wanted = prefer == Return::Representation;
    let (puts, sent) = ready
        .into_iter()
        .map(|one| {
            let remarks = one.sent.as_ref().map(|(_, sent)| sent.remarks().to_vec());
            let sent = one.sent.filter(|_| wanted);
            (one.put, (sent, remarks.unwrap_or_default()))
        })
        .unzip();
    change.puts = puts;
    (change, sent)
}

/// The answers to the steps that wrote, or left alone what is there.
async fn answers(
    state: &State,
    steps: &[Step<'_>],
    places: &[usize],
    puts: &[PutOutcome],
    sent: Sent,
    prefer: Return,
) -> Result<Vec<Option<Answer>>, End> {
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(steps.len());
    for step in steps {
        answers.push(match &step.target {
            Some(Target::Left(stored)) => {
                let (put, body) = step::left(stored, prefer);
                Some(Answer::written(&put, StatusCode::OK, prefer, body))
            }
            _ => None,
        });
    }
    for ((place, put), (sent, remarks)) in places.iter().zip(puts).zip(sent) {
        let resource = match sent {
            Some((permit, checked)) => {
                Some(written::as_stored(state, &permit, put, &checked).await?)
            }
            None => None,
        };
        let status = written::status(put);
        let answer = Answer::written(put, status, prefer, resource);
        answers[*place] = Some(answer.remarking(&remarks, &steps[*place].entry));
    }
    Ok(answers)
}
