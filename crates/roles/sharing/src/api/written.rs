//! The answer to a write, as the caller prefers it (FHIR R4 http.html#ops, `Prefer: return=`): the resource, nothing, or
//! an OperationOutcome that says what happened.

use crate::State;
use crate::disclose::{reduce, tag};
use crate::feed;
use axum::response::Response;
use bytes::Bytes;
use fhir::index::Coding;
use fhir::json::ServerMeta;
use fhir::outcome::{Issue, IssueCode, OperationOutcome, Severity};
use fhir::resource::Checked;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use store::{Fate, PutOutcome, Stored};
use trust::Permit;
use wire::outcome::fhir_response;
use wire::visit::End;

/// What a caller wants back from a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// `return=representation`, and when nothing is said.
    Representation,
    /// `return=minimal`.
    Minimal,
    /// `return=OperationOutcome`.
    Outcome,
}

impl Return {
    /// The first preference that is one of the three; others are ignored, as RFC 7240 section 2 has it.
    pub fn of(headers: &HeaderMap) -> Return {
        Self::named(headers).unwrap_or(Return::Representation)
    }

    /// As [`Return::of`]; `None` where nothing is said.
    pub fn named(headers: &HeaderMap) -> Option<Return> {
        headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split([',', ';']))
            .find_map(|one| match one.trim() {
                "return=representation" => Some(Return::Representation),
                "return=minimal" => Some(Return::Minimal),
                "return=OperationOutcome" => Some(Return::Outcome),
                _ => None,
            })
    }
}

/// What a delete is here.
pub const WITHDRAWN: &str = "the shared copy is withdrawn; the record that it came from is not touched, and nothing is erased";

/// What happened, as an OperationOutcome.
pub fn outcome(put: &PutOutcome) -> OperationOutcome {
    let words = match put.fate {
        Fate::Created => "created",
        Fate::Updated => "a new version was made",
        Fate::Existing => "it was there already; nothing was changed",
        Fate::Withdrawn => WITHDRAWN,
    };
    told(words)
}

/// An OperationOutcome for information.
pub fn told(words: &str) -> OperationOutcome {
    OperationOutcome::new(vec![Issue::new(
        Severity::Information,
        IssueCode::Informational,
        "",
        words,
    )])
}

/// The status of a write's fate.
pub fn status(put: &PutOutcome) -> StatusCode {
    match put.fate {
        Fate::Created => StatusCode::CREATED,
        Fate::Withdrawn => StatusCode::NO_CONTENT,
        Fate::Updated | Fate::Existing => StatusCode::OK,
    }
}

/// A write that was done, and what its sender is told.
pub struct Written {
    /// What became of it.
    pub put: PutOutcome,
    /// The status.
    pub status: StatusCode,
    /// What the sender wants back.
    pub body: Bytes,
    /// Whether it came as a create: then `Location` names the version.
    pub created: bool,
    /// What was remarked of what was sent; it was taken all the same.
    pub remarks: Vec<Issue>,
}

impl Written {
    /// As the answer to a request of its own.
    pub fn response(self, state: &State) -> Response {
        let mut response = fhir_response(self.status, self.body);
        tag(&mut response, self.put.version, self.put.last_updated);
        if self.created {
            let location = format!("{}/{}", state.base, feed::location(&self.put));
            if let Ok(value) = HeaderValue::try_from(location) {
                response.headers_mut().insert(header::LOCATION, value);
            }
        }
        response
    }
}

/// The answer to a create or an update of `sent`.
///
/// # Errors
/// When the store cannot be read.
pub async fn answer(
    state: &State,
    permit: &Permit,
    headers: &HeaderMap,
    put: &PutOutcome,
    sent: &Checked,
) -> Result<Written, End> {
    let body = match Return::of(headers) {
        Return::Minimal => Bytes::new(),
        Return::Outcome => {
            let mut told = outcome(put);
            told.issues.extend_from_slice(sent.remarks());
            told.to_json().into()
        }
        Return::Representation => as_stored(state, permit, put, sent).await?,
    };
    Ok(Written {
        put: *put,
        status: status(put),
        body,
        created: false,
        remarks: sent.remarks().to_vec(),
    })
}

/// The version that was written, as it rests. Where another has come since, or it was withdrawn: what was sent, which has
/// the same content.
pub async fn as_stored(
    state: &State,
    permit: &Permit,
    put: &PutOutcome,
    sent: &Checked,
) -> Result<Bytes, End> {
    let mut stored: Option<Stored> = match state
        .desk
        .store
        .read(permit, put.resource_type, put.id)
        .await
    {
        Err(store::StoreError::Gone) => None,
        other => other?,
    };
    reduce(permit, &mut stored)?;
    let meta = || ServerMeta {
        version: put.version,
        last_updated: put.last_updated,
        tags: Vec::<Coding>::new(),
        security: Vec::new(),
    };
    Ok(match stored {
        Some(stored) if stored.version == put.version => stored.body,
        _ => sent.with_server_fields(&put.id.to_string(), &meta()).into(),
    })
}
