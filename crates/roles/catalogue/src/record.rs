//! The last step of every request: one audit record, with nothing about a patient in it, and then the answer.
//!
//! `wire::visit` records whom a token's patient is and who the citizen is; here that must not rest. Who looked (a
//! practitioner's name and number, the client, the organisation) stays. One record is not written here: the guard's own, of
//! a good token with a proof that fails, which names the token's patient if it has one. Gateways and portals read the
//! catalogue with tokens of their own, which have none.

use axum::response::Response;
use trust::audit::{Disclosed, Record};
use trust::{Category, Permit};
use wire::outcome::Problem;
use wire::visit::{End, Visit, refused};

use crate::entry::Entry;

/// Writes what was given out, durably; only then is there an answer.
///
/// # Errors
/// Without a durable record there is no answer.
pub async fn given(visit: &Visit<'_>, permit: &Permit, entries: &[&Entry]) -> Result<(), End> {
    let disclosed = entries.iter().map(|entry| Disclosed {
        resource: entry.resource_type.as_str().to_owned(),
        id: entry.id.clone(),
        version: entry.version,
    });
    let record = visit
        .record()
        .permitted(permit)
        .disclosing(disclosed.collect());
    visit.write(without_patient(record)).await.map(|_| ())
}

/// Gives the answer, or ends a request that gives nothing: the record first, then the words.
///
/// # Errors
/// The problem.
pub async fn finish(
    visit: Visit<'_>,
    answered: Result<Response, End>,
) -> Result<Response, Problem> {
    let (record, problem) = match answered {
        Ok(response) => return Ok(response),
        Err(End::Audited(problem)) => return Err(problem),
        Err(End::Problem(problem)) => (visit.record().failed(category(&problem)), problem),
        Err(End::Refused(refusal) | End::Nothing(refusal, _)) => {
            (visit.record().refused(&refusal), refused(&refusal))
        }
    };
    match visit.write(without_patient(record)).await {
        Ok(_) => Err(problem),
        Err(End::Problem(problem) | End::Audited(problem)) => Err(problem),
        Err(End::Refused(refusal) | End::Nothing(refusal, _)) => Err(refused(&refusal)),
    }
}

/// The record without anybody's patient.
pub fn without_patient(mut record: Record) -> Record {
    record.patient = None;
    record.person = record.person.filter(|person| person.practitioner);
    record
}

fn category(problem: &Problem) -> Category {
    match problem.status().as_u16() {
        404 => Category::NotFound,
        409 => Category::Conflict,
        410 => Category::Gone,
        503 => Category::Unavailable,
        500 => Category::Bug,
        _ => Category::Invalid,
    }
}
