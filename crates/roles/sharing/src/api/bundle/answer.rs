//! The answer to one entry of a bundle (FHIR R4 http.html#transaction-response).

use crate::api::conditions::seconds;
use crate::api::written::{self, Return, Written};
use crate::disclose::Given;
use crate::feed;
use axum::body::to_bytes;
use axum::response::Response;
use bytes::Bytes;
use fhir::bundle::{BatchResponseWriter, Entry, EntryResponse};
use fhir::outcome::{Issue, OperationOutcome};
use fhir::time::Instant;
use http::{HeaderMap, StatusCode, header};
use store::{Fate, PutOutcome};
use wire::outcome::Problem;

/// What one entry is answered with.
pub struct Answer {
    /// As if the entry had been sent alone.
    pub status: StatusCode,
    location: Option<String>,
    etag: Option<String>,
    last_modified: Option<Instant>,
    resource: Option<Bytes>,
    outcome: Option<OperationOutcome>,
    /// Resources that a read gave.
    given: usize,
}

/// Most resources that the reads of one bundle give (threats-and-faults.md section 4).
const MOST: usize = 1_000;
/// Most bytes of them: readers of other organisations take answers of 10 MiB.
const MOST_BYTES: usize = 9 * 1024 * 1024;

/// What the reads of one bundle may still give.
pub struct Room {
    resources: usize,
    bytes: usize,
}

impl Room {
    /// Of an answer in which nothing is yet.
    pub fn whole() -> Self {
        Self {
            resources: MOST,
            bytes: MOST_BYTES,
        }
    }

    /// Whether nothing more may be read. The read that fills it is given whole: it is a page, which has limits of its own.
    pub fn is_full(&self) -> bool {
        self.resources == 0 || self.bytes == 0
    }

    /// Counts an answer in.
    pub fn take(&mut self, answer: &Answer) {
        let bytes = answer.resource.as_ref().map_or(0, Bytes::len);
        self.resources = self.resources.saturating_sub(answer.given);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// What the sender of a bundle wants back for each write; nothing, when nothing is said: it has what it sent.
pub fn preferred(headers: &HeaderMap) -> Return {
    Return::named(headers).unwrap_or(Return::Minimal)
}

impl Answer {
    fn bare(status: StatusCode) -> Self {
        Self {
            status,
            location: None,
            etag: None,
            last_modified: None,
            resource: None,
            outcome: None,
            given: 0,
        }
    }

    /// To a write that was done. `resource` is the version as it rests, where it is wanted.
    pub fn written(
        put: &PutOutcome,
        status: StatusCode,
        prefer: Return,
        resource: Option<Bytes>,
    ) -> Self {
        Self {
            location: (put.fate != Fate::Withdrawn).then(|| feed::location(put)),
            etag: Some(format!("W/\"{}\"", put.version)),
            last_modified: Some(put.last_updated),
            resource,
            outcome: (prefer == Return::Outcome).then(|| written::outcome(put)),
            ..Self::bare(status)
        }
    }

    /// To a write of `entry` that was carried out alone.
    pub fn alone(done: Written, prefer: Return, entry: &Entry<'_>) -> Self {
        let resource = (prefer == Return::Representation).then_some(done.body);
        Self::written(&done.put, done.status, prefer, resource).remarking(&done.remarks, entry)
    }

    /// With what was remarked of the resource that `entry` sent, told by its place in the bundle, whatever the sender wants
    /// back: it was taken, and is not all that it says or should be.
    pub fn remarking(mut self, remarks: &[Issue], entry: &Entry<'_>) -> Self {
        if remarks.is_empty() {
            return self;
        }
        let place = format!("{}.resource", entry.expression());
        let placed = remarks.iter().map(|issue| issue.clone().within(&place));
        let outcome = &mut self.outcome;
        let told = outcome.get_or_insert_with(|| OperationOutcome::new(Vec::new()));
        told.issues.extend(placed);
        self
    }

    /// To a withdrawal.
    pub fn withdrawn(prefer: Return) -> Self {
        Self {
            outcome: (prefer == Return::Outcome).then(|| written::told(written::WITHDRAWN)),
            ..Self::bare(StatusCode::NO_CONTENT)
        }
    }

    /// To an entry that was refused.
    pub fn refused(problem: &Problem) -> Self {
        Self {
            outcome: Some(OperationOutcome::new(problem.issues().to_vec())),
            ..Self::bare(problem.status())
        }
    }

    /// To a read: its body is the entry's resource.
    ///
    /// # Errors
    /// A bug of ours: the body of an answer in memory cannot be read.
    pub async fn given(response: Response) -> Result<Self, Problem> {
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX)
            .await
            .map_err(|_| Problem::bug("an answer in memory cannot be read"))?;
        let text = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        Ok(Self {
            etag: text(header::ETAG).map(str::to_owned),
            last_modified: text(header::LAST_MODIFIED)
                .and_then(seconds)
                .map(|seconds| Instant(seconds * 1_000_000)),
            given: parts.extensions.get::<Given>().map_or(0, |given| given.0),
            resource: (!bytes.is_empty()).then_some(bytes),
            ..Self::bare(parts.status)
        })
    }

    /// Writes it as the answer to `entry`.
    pub fn write(&self, writer: &mut BatchResponseWriter, entry: &Entry<'_>) {
        writer.entry(&EntryResponse {
            full_url: entry.full_url().as_deref(),
            status: &self.status.to_string(),
            location: self.location.as_deref(),
            etag: self.etag.as_deref(),
            last_modified: self.last_modified,
            resource: self.resource.as_deref(),
            outcome: self.outcome.as_ref(),
        });
    }
}
