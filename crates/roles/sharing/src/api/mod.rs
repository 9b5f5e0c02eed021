//! The service's interactions, one file each.

pub mod audit;
pub mod bundle;
mod conditional;
mod conditions;
pub mod copy_state;
pub mod create;
pub mod history;
pub mod metadata;
pub mod operation;
pub mod patch;
mod pmd;
pub mod read;
pub mod reconcile;
pub mod review;
pub mod search;
pub mod smart;
pub mod subscription;
mod transaction;
pub mod update;
pub mod version;
pub mod wishes;
pub mod withdraw;
mod written;

use crate::State;
use fhir::ids::LogicalId;
use fhir::resource::ResourceType;
use wire::outcome::Problem;

/// The resource type of a path; a type this service does not know is not there.
fn type_of(state: &State, name: &str) -> Result<ResourceType, Problem> {
    ResourceType::parse(name)
        .filter(|t| *t == ResourceType::AUDIT_EVENT || state.serves(*t))
        .ok_or_else(Problem::not_found)
}

/// A type that clients may write.
fn writable(state: &State, name: &str) -> Result<ResourceType, Problem> {
    let found = type_of(state, name)?;
    if !state.serves(found) {
        // Nobody writes the trail: no method is allowed here (RFC 9110 section 10.2.1 lets `Allow` be empty).
        return Err(Problem::method(""));
    }
    Ok(found)
}

/// The logical id of a path; anything else names nothing.
fn id_of(text: &str) -> Result<LogicalId, Problem> {
    LogicalId::parse(text).map_err(|_| Problem::not_found())
}

/// The version in `If-Match`: `W/"3"` or `"3"`.
fn if_match(headers: &http::HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(http::header::IF_MATCH) else {
        return Ok(None);
    };
    version_in(value.to_str().unwrap_or_default()).map(Some)
}

/// The version in an entity tag.
fn version_in(text: &str) -> Result<u64, Problem> {
    let inner = text
        .strip_prefix("W/")
        .unwrap_or(text)
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.and_then(|inner| inner.parse().ok()).ok_or_else(|| {
        Problem::invalid(
            fhir::outcome::IssueCode::Value,
            "If-Match",
            "If-Match takes one version, for example W/\"1\"",
        )
    })
}

/// The person a resource is about, where it names one by number.
fn person_of(checked: &fhir::resource::Checked) -> Option<fhir::ids::PersonIdentifier> {
    match &checked.index().subject {
        Some(fhir::index::Subject::Person(person)) => Some(person.clone()),
        _ => None,
    }
}
