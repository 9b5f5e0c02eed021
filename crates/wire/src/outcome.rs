//! The error edge: the one place where a category becomes a status, an OperationOutcome and the headers that go with it
//! (FHIR R4 http.html; RFC 9110; RFC 9449 section 7.1; threats-and-faults.md sections 1 and 3).
//!
//! A problem has two voices: issues for the caller, a line for the log. Neither holds a name, a person's number, a
//! reading, SQL, a path or a token.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fhir::outcome::{Issue, IssueCode, OperationOutcome};
use http::{HeaderValue, StatusCode, header};
use store::{Conflict, StoreError};
use trust::Category;

use crate::contract::FHIR_JSON;

/// Signature algorithms named in a challenge.
const ALGORITHMS: &str = "ES256 PS256 EdDSA";

/// What `WWW-Authenticate` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// No credentials were sent.
    Plain,
    /// The token is not good here.
    InvalidToken,
    /// The proof is not good for this request.
    InvalidProof,
    /// The token is good but its scope is too small (403).
    InsufficientScope,
}

impl Challenge {
    fn header(self) -> HeaderValue {
        let error = match self {
            Self::Plain => return HeaderValue::from_static("DPoP algs=\"ES256 PS256 EdDSA\""),
            Self::InvalidToken => "invalid_token",
            Self::InvalidProof => "invalid_dpop_proof",
            Self::InsufficientScope => "insufficient_scope",
        };
        HeaderValue::try_from(format!("DPoP error=\"{error}\", algs=\"{ALGORITHMS}\""))
            .unwrap_or(HeaderValue::from_static("DPoP"))
    }
}

/// A refusal or failure on its way to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    issues: Vec<Issue>,
    challenge: Option<Challenge>,
    retry_after: Option<u32>,
    allow: Option<HeaderValue>,
}

/// The status of a category where nothing more is known.
fn status_of(category: Category) -> StatusCode {
    match category {
        Category::Invalid => StatusCode::BAD_REQUEST,
        Category::Unauthenticated => StatusCode::UNAUTHORIZED,
        Category::Forbidden => StatusCode::FORBIDDEN,
        Category::NotFound => StatusCode::NOT_FOUND,
        Category::Conflict => StatusCode::CONFLICT,
        Category::Gone => StatusCode::GONE,
        Category::Busy | Category::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Category::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The FHIR issue type of a category where nothing more is known.
fn code_of(category: Category) -> IssueCode {
    match category {
        Category::Invalid => IssueCode::Invalid,
        Category::Unauthenticated => IssueCode::Login,
        Category::Forbidden => IssueCode::Forbidden,
        Category::NotFound => IssueCode::NotFound,
        Category::Conflict => IssueCode::Conflict,
        Category::Gone => IssueCode::Deleted,
        Category::Busy => IssueCode::Throttled,
        Category::Unavailable => IssueCode::Transient,
        Category::Bug => IssueCode::Exception,
    }
}

impl Problem {
    fn with(status: StatusCode, code: IssueCode, diagnostics: impl Into<String>) -> Self {
        Self::of(status, vec![Issue::error(code, "", diagnostics)])
    }

    fn of(status: StatusCode, issues: Vec<Issue>) -> Self {
        Self {
            status,
            issues,
            challenge: None,
            retry_after: None,
            allow: None,
        }
    }

    /// A problem of a category, in words for the caller.
    pub fn category(category: Category, diagnostics: impl Into<String>) -> Self {
        let mut problem = Self::with(status_of(category), code_of(category), diagnostics);
        match category {
            Category::Unauthenticated => problem.challenge = Some(Challenge::InvalidToken),
            Category::Busy => problem.retry_after = Some(1),
            Category::Unavailable => problem.retry_after = Some(5),
            _ => {}
        }
        problem
    }

    /// 400: malformed, unknown or impossible. `expression` is a FHIRPath or the parameter's name.
    pub fn invalid(
        code: IssueCode,
        expression: impl Into<String>,
        diagnostics: impl Into<String>,
    ) -> Self {
        Self::invalid_all(vec![Issue::error(code, expression, diagnostics)])
    }

    /// 400 with every finding.
    pub fn invalid_all(issues: Vec<Issue>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, issues)
    }

    /// 422: well formed, but against the rules, with every finding.
    pub fn unprocessable(issues: Vec<Issue>) -> Self {
        Self::of(StatusCode::UNPROCESSABLE_ENTITY, issues)
    }

    /// 401 with the challenge that fits.
    pub fn unauthenticated(challenge: Challenge, diagnostics: impl Into<String>) -> Self {
        let code = if challenge == Challenge::Plain {
            IssueCode::Login
        } else {
            IssueCode::Unknown
        };
        let mut problem = Self::with(StatusCode::UNAUTHORIZED, code, diagnostics);
        problem.challenge = Some(challenge);
        problem
    }

    /// 403: known, but not allowed; the words name the rule, never what is hidden.
    pub fn forbidden(diagnostics: impl Into<String>) -> Self {
        Self::with(StatusCode::FORBIDDEN, IssueCode::Forbidden, diagnostics)
    }

    /// 403 with every issue that the refusing rule gave.
    pub fn forbidden_with(issues: Vec<Issue>) -> Self {
        Self::of(StatusCode::FORBIDDEN, issues)
    }

    /// 403 `insufficient_scope`.
    pub fn insufficient_scope() -> Self {
        let mut problem = Self::forbidden("the token's scope does not cover this request");
        problem.challenge = Some(Challenge::InsufficientScope);
        problem
    }

    /// 404, the same words for what is hidden, foreign and not there.
    pub fn not_found() -> Self {
        Self::with(StatusCode::NOT_FOUND, IssueCode::NotFound, "not found")
    }

    /// 410: was there and has been withdrawn.
    pub fn gone() -> Self {
        Self::with(StatusCode::GONE, IssueCode::Deleted, "withdrawn")
    }

    /// 409.
    pub fn conflict(diagnostics: impl Into<String>) -> Self {
        Self::with(StatusCode::CONFLICT, IssueCode::Conflict, diagnostics)
    }

    /// 412: `If-Match` names another version than the current one.
    pub fn precondition_failed(diagnostics: impl Into<String>) -> Self {
        Self::with(
            StatusCode::PRECONDITION_FAILED,
            IssueCode::Conflict,
            diagnostics,
        )
    }

    /// 412 with every finding.
    pub fn precondition_failed_with(issues: Vec<Issue>) -> Self {
        Self::of(StatusCode::PRECONDITION_FAILED, issues)
    }

    /// Several problems with one request as one: with their status if they agree, else 422. `None` for none.
    pub fn together(problems: Vec<Problem>) -> Option<Problem> {
        problems.into_iter().reduce(|mut all, one| {
            if all.status != one.status {
                all.status = StatusCode::UNPROCESSABLE_ENTITY;
            }
            all.issues.extend(one.issues);
            all
        })
    }

    /// 412: a condition that must name one resource is met by several.
    pub fn multiple_matches() -> Self {
        Self::with(
            StatusCode::PRECONDITION_FAILED,
            IssueCode::MultipleMatches,
            "several resources meet the condition; it must name one",
        )
    }

    /// 428: `If-Match` is missing.
    pub fn precondition_required() -> Self {
        Self::with(
            StatusCode::PRECONDITION_REQUIRED,
            IssueCode::Required,
            "an update needs If-Match with the version it was made from, for example W/\"1\"",
        )
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        Self::with(
            StatusCode::PAYLOAD_TOO_LARGE,
            IssueCode::TooLong,
            format!("the body is longer than {limit} bytes"),
        )
    }

    /// 413 for what would come of the request, said in words.
    pub fn result_too_large(diagnostics: impl Into<String>) -> Self {
        Self::with(
            StatusCode::PAYLOAD_TOO_LARGE,
            IssueCode::TooLong,
            diagnostics,
        )
    }

    /// 415.
    pub fn unsupported_media_type(expected: &str) -> Self {
        Self::with(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            IssueCode::NotSupported,
            format!("expected {expected}"),
        )
    }

    /// 406.
    pub fn not_acceptable() -> Self {
        Self::with(
            StatusCode::NOT_ACCEPTABLE,
            IssueCode::NotSupported,
            "only application/fhir+json is offered",
        )
    }

    /// 405; `allow` lists the methods offered.
    pub fn method(allow: &'static str) -> Self {
        let mut problem = Self::with(
            StatusCode::METHOD_NOT_ALLOWED,
            IssueCode::NotSupported,
            "method not allowed here",
        );
        problem.allow = Some(HeaderValue::from_static(allow));
        problem
    }

    /// 400 for something of the standard that is not offered here, said in words.
    pub fn not_supported(expression: impl Into<String>, diagnostics: impl Into<String>) -> Self {
        Self::invalid(IssueCode::NotSupported, expression, diagnostics)
    }

    /// 408: the body did not arrive in time.
    pub fn slow_body() -> Self {
        Self::with(
            StatusCode::REQUEST_TIMEOUT,
            IssueCode::Timeout,
            "the body did not arrive in time",
        )
    }

    /// 429 with `Retry-After` in seconds: this caller has used up its share.
    pub fn throttled(retry_after: u32) -> Self {
        let mut problem = Self::with(
            StatusCode::TOO_MANY_REQUESTS,
            IssueCode::Throttled,
            "too many requests",
        );
        problem.retry_after = Some(retry_after);
        problem
    }

    /// 503 with `Retry-After` in seconds: a part that is needed cannot be reached, or audit cannot be written.
    pub fn unavailable(retry_after: u32, diagnostics: impl Into<String>) -> Self {
        let mut problem = Self::with(
            StatusCode::SERVICE_UNAVAILABLE,
            IssueCode::Transient,
            diagnostics,
        );
        problem.retry_after = Some(retry_after);
        problem
    }

    /// 502: every source failed.
    pub fn bad_gateway(issues: Vec<Issue>) -> Self {
        Self::of(StatusCode::BAD_GATEWAY, issues)
    }

    /// 504: every source was late.
    pub fn gateway_timeout(issues: Vec<Issue>) -> Self {
        Self::of(StatusCode::GATEWAY_TIMEOUT, issues)
    }

    /// 500: a bug of ours. `log` is for the log alone; the caller learns nothing from it.
    pub fn bug(log: &'static str) -> Self {
        tracing::error!(log, "a request failed by a bug");
        Self::with(
            StatusCode::INTERNAL_SERVER_ERROR,
            IssueCode::Exception,
            "internal error",
        )
    }

    /// The status, as a batch entry's `response.status` or a log field needs it.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is said to the caller.
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }

    /// The OperationOutcome's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        OperationOutcome::new(self.issues.clone()).to_json()
    }

    /// The same problem with each issue as `change` makes it.
    #[must_use]
    pub fn each(mut self, change: impl FnMut(Issue) -> Issue) -> Self {
        self.issues = self.issues.into_iter().map(change).collect();
        self
    }

    /// The same problem with each `expression` moved into an entry of a Bundle (`Bundle.entry[3].resource`).
    #[must_use]
    pub fn within(self, prefix: &str) -> Self {
        self.each(|issue| issue.within(prefix))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = fhir_response(self.status, self.to_json());
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge.header());
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

/// A FHIR JSON answer that nobody may keep.
pub fn fhir_response(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = (status, body.into()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// A plain JSON answer of a contract type that nobody may keep.
pub fn json_response(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(value) else {
        return Problem::bug("a contract type cannot be written as JSON").into_response();
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

impl From<Vec<Issue>> for Problem {
    /// Findings about what was sent: 422. A question that cannot be read is [`Problem::invalid_all`] instead.
    fn from(issues: Vec<Issue>) -> Self {
        Self::unprocessable(issues)
    }
}

impl From<fhir::json::Fault> for Problem {
    /// JSON that cannot be read: 400; too long or too deep: 413.
    fn from(fault: fhir::json::Fault) -> Self {
        let issue = Issue::from(fault);
        match issue.code {
            IssueCode::TooLong => Self::of(StatusCode::PAYLOAD_TOO_LARGE, vec![issue]),
            _ => Self::invalid_all(vec![issue]),
        }
    }
}

/// Coding system of the words that rules refuse with, such as `attestation_has_expired`.
pub const REFUSAL_SYSTEM: &str = "https://delt.example/fhir/CodeSystem/refusal";

impl From<trust::Refusal> for Problem {
    /// A rule's refusal: its sentence, and its word for programs in `details`.
    fn from(refusal: trust::Refusal) -> Self {
        if refusal.category == Category::Bug {
            return Self::bug(refusal.rule);
        }
        let mut problem = Self::category(refusal.category, refusal.message);
        let coding = fhir::index::Coding::new(REFUSAL_SYSTEM, refusal.code);
        let rule = Some(refusal.rule.to_owned());
        problem.issues = problem
            .issues
            .into_iter()
            .map(|one| one.with_details(Some(coding.clone()), rule.clone()))
            .collect();
        if refusal.code == "insufficient_scope" {
            problem.challenge = Some(Challenge::InsufficientScope);
        }
        problem
    }
}

impl From<trust::token::TokenError> for Problem {
    fn from(error: trust::token::TokenError) -> Self {
        Self::unauthenticated(Challenge::InvalidToken, error.to_string())
    }
}

impl From<trust::dpop::DpopError> for Problem {
    fn from(error: trust::dpop::DpopError) -> Self {
        Self::unauthenticated(Challenge::InvalidProof, error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Replayed => {
                Self::unauthenticated(Challenge::InvalidProof, "the proof was used before")
            }
            StoreError::Conflict(conflict) => from_conflict(conflict),
            StoreError::UnknownPatient => Self::unprocessable(vec![Issue::error(
                IssueCode::BusinessRule,
                "",
                "the subject is not a patient of this organisation",
            )]),
            StoreError::VersionMismatch { current } => {
                Self::precondition_failed(format!("the current version is {current}"))
            }
            StoreError::LedgerMismatch { .. } => {
                Self::conflict("somebody else changed it meanwhile")
            }
            StoreError::NotFound => Self::not_found(),
            StoreError::Gone => Self::gone(),
            StoreError::Timeout => {
                let mut problem = Self::with(
                    StatusCode::SERVICE_UNAVAILABLE,
                    IssueCode::Timeout,
                    "the question takes too long: narrow it",
                );
                problem.retry_after = Some(5);
                problem
            }
            StoreError::TooCostly => {
                let mut problem = Self::with(
                    StatusCode::SERVICE_UNAVAILABLE,
                    IssueCode::TooCostly,
                    "the question is too costly",
                );
                problem.retry_after = Some(5);
                problem
            }
            other => match other.category() {
                Category::Bug => Self::bug("store"),
                category => {
                    tracing::warn!(%error, "the store could not do it");
                    Self::category(category, words_for(category))
                }
            },
        }
    }
}

fn from_conflict(conflict: &Conflict) -> Problem {
    let words = conflict.to_string();
    match conflict {
        // CONTRACT section 5: same identity, other content: 422.
        Conflict::Content { .. } | Conflict::Withdrawn { .. } => {
            Problem::unprocessable(vec![Issue::error(IssueCode::Duplicate, "", words)])
        }
        Conflict::Patient => {
            Problem::unprocessable(vec![Issue::error(IssueCode::BusinessRule, "", words)])
        }
        Conflict::Writer { .. } => Problem::forbidden(words),
        _ => Problem::conflict(words),
    }
}

fn words_for(category: Category) -> &'static str {
    match category {
        Category::Busy => "too much at once; try again",
        Category::Unavailable => "not available now; try again",
        _ => "not possible",
    }
}

/// For routes nobody knows: 404 as an OperationOutcome.
pub async fn unknown_route() -> Problem {
    Problem::not_found()
}

/// For methods that a known route does not offer: 405; axum adds `Allow`.
pub async fn unknown_method() -> Problem {
    Problem::with(
        StatusCode::METHOD_NOT_ALLOWED,
        IssueCode::NotSupported,
        "method not allowed here",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use std::fmt::Write;

    async fn shown(problem: Problem) -> String {
        let response = problem.into_response();
        let mut text = format!("{}\n", response.status());
        for (name, value) in response.headers() {
            writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        writeln!(text, "{}", String::from_utf8(body.to_vec()).unwrap()).unwrap();
        text
    }

    #[tokio::test]
    async fn every_category_has_its_answer() {
        let refusal = |category, code| trust::Refusal {
            rule: "attest",
            category,
            code,
            message: "the attest is too old",
        };
        let problems = [
            Problem::invalid(IssueCode::Value, "date", "not a date"),
            vec![Issue::error(
                IssueCode::CodeInvalid,
                "Observation.code",
                "unknown code",
            )]
            .into(),
            Problem::unauthenticated(Challenge::Plain, "a DPoP-bound access token is needed"),
            Problem::unauthenticated(Challenge::InvalidToken, "the access token has expired"),
            Problem::unauthenticated(Challenge::InvalidProof, "the DPoP proof is for another URL"),
            Problem::insufficient_scope(),
            refusal(Category::Forbidden, "attestation_has_expired").into(),
            refusal(Category::Forbidden, "insufficient_scope").into(),
            Problem::not_found(),
            Problem::gone(),
            Problem::conflict("somebody else changed it meanwhile"),
            StoreError::VersionMismatch { current: 3 }.into(),
            Problem::precondition_required(),
            Problem::too_large(2_097_152),
            Problem::result_too_large("the document would be too long"),
            Problem::unsupported_media_type("application/fhir+json"),
            Problem::method("POST"),
            Problem::slow_body(),
            Problem::throttled(30),
            StoreError::Busy.into(),
            StoreError::Full.into(),
            StoreError::Replayed.into(),
            StoreError::UnknownPatient.into(),
            StoreError::Bug.into(),
            StoreError::Damaged("a secret of the file").into(),
        ];
        let mut all = String::new();
        for problem in problems {
            all.push_str(&shown(problem).await);
            all.push('\n');
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn a_fault_in_json_is_400_and_too_deep_or_long_is_413() {
        let parse =
            |text: &'static str, limits| fhir::json::Json::parse(text, limits).err().unwrap();
        let limits = fhir::json::Limits {
            bytes: 10,
            depth: 2,
        };
        assert_eq!(
            Problem::from(parse("{\"a\":", limits)).status(),
            StatusCode::BAD_REQUEST
        );
        assert_eq!(
            Problem::from(parse("[1,2,3,4,5,6]", limits)).status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }
}
