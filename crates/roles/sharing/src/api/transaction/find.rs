//! Which resource each entry is about, by its condition; and whether what is to be read is there.

use super::step::{Step, Target};
use crate::State;
use crate::api::bundle::asked::{Named, What};
use crate::api::{conditional, history, search, version};
use fhir::index::Subject;
use fhir::json::{Json, Node};
use fhir::outcome::IssueCode;
use fhir::search::Via;
use std::collections::BTreeSet;
use store::{Past, StoreError};
use trust::Ask;
use wire::outcome::Problem;
use wire::visit::{End, Visit};

/// Finds what is named by a condition.
pub async fn targets(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    steps: &mut [Step<'_>],
    faults: &mut Vec<Problem>,
) -> Result<(), End> {
    for step in steps {
        let (form, via, member) = match &step.asked.what {
            // A condition in a body may name a person; one in an address may not.
            What::Create => (
                step.asked.none_exist.as_ref(),
                Via::Post,
                "request.ifNoneExist",
            ),
            What::Update(Named::Condition)
            | What::Patch(Named::Condition)
            | What::Withdraw(Named::Condition) => (Some(&step.asked.form), Via::Get, "request.url"),
            _ => continue,
        };
        let Some(form) = form else { continue };
        let about = step.node.and_then(|node| subject(state, json, node));
        let resource = step.asked.resource;
        let met = conditional::one(state, visit, resource, form, about.as_ref(), via).await;
        match met {
            Ok(Some((stored, _))) if step.asked.what == What::Create => {
                step.target = Some(Target::Left(Box::new(stored)));
            }
            Ok(Some((stored, _))) => {
                let version = step.if_match.unwrap_or(stored.version);
                step.target = Some(Target::There(stored.id, Some(version)));
            }
            Ok(None) if matches!(step.asked.what, What::Create | What::Update(_)) => {
                if step.if_match.is_some() {
                    let problem = Problem::precondition_failed("nothing meets the condition");
                    faults.push(step.at(problem, "request.ifMatch"));
                }
            }
            Ok(None) => {
                let words = "nothing meets the condition";
                faults.push(step.fault(IssueCode::NotFound, member, words));
            }
            Err(End::Problem(problem)) => faults.push(step.at(problem, member)),
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

/// No resource may be changed by two entries: which came last would be left to chance.
pub fn twice(steps: &[Step<'_>], faults: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for step in steps {
        let Some(target) = &step.target else { continue };
        if target.changes() && !seen.insert(target.id().to_string()) {
            let words = "another entry of this transaction is about the same resource";
            faults.push(step.fault(IssueCode::Duplicate, "request", words));
        }
    }
}

/// All or nothing holds for what is to be read, too: before anything is written, that it is permitted, understood and there.
/// What this transaction itself writes is read as written, and what it withdraws cannot be read.
pub async fn readable(
    state: &State,
    visit: &Visit<'_>,
    steps: &[Step<'_>],
    faults: &mut Vec<Problem>,
) -> Result<(), End> {
    for step in steps.iter().filter(|step| step.asked.what.reads()) {
        let (what, resource) = (&step.asked.what, step.asked.resource);
        let permit = visit.permit(&Ask::of(what.interaction(), resource))?;
        let store = &state.desk.store;
        let of_this = |id| {
            steps.iter().find(|other| {
                let target = other.target.as_ref();
                target.is_some_and(|target| target.changes() && target.id() == id)
            })
        };
        let found = match what {
            What::Read(id) => match of_this(*id) {
                Some(other) => Ok(!matches!(other.asked.what, What::Withdraw(_))),
                None => there(store.read(&permit, resource, *id).await)?,
            },
            What::Version(id, number) => match version::version_of(number) {
                Ok(number) if of_this(*id).is_none() => {
                    there(store.read_version(&permit, resource, *id, number).await)?
                }
                Ok(_) => Ok(true),
                Err(problem) => Err(problem),
            },
            What::History(id) => match history::past(resource, *id, &step.asked.form) {
                Ok(past) if id.is_some() => {
                    let past = Past {
                        since: None,
                        count: 1,
                        ..past
                    };
                    Ok(!store
                        .history(&permit, past, None)
                        .await?
                        .versions
                        .is_empty())
                }
                Ok(_) => Ok(true),
                Err(problem) => Err(problem),
            },
            _ => search::understood(state, resource, &step.asked.form).map(|()| true),
        };
        match found {
            Ok(true) => {}
            Ok(false) => {
                let words = "there is no such resource";
                faults.push(step.fault(IssueCode::NotFound, "request.url", words));
            }
            Err(problem) => faults.push(step.at(problem, "request.url")),
        }
    }
    Ok(())
}

fn there<T>(found: Result<Option<T>, StoreError>) -> Result<Result<bool, Problem>, End> {
    match found {
        Ok(found) => Ok(Ok(found.is_some())),
        Err(StoreError::Gone) => Ok(Ok(false)),
        Err(error) => Err(error.into()),
    }
}
