//! What went wrong, in FHIR's words: `OperationOutcome` and its issues.
//!
//! Standard: FHIR R4 OperationOutcome, code systems `issue-severity` and `issue-type`. Texts written here are
//! for the caller: they name elements and what was expected, never a person's number, name or reading.

use crate::json::{self, Node};

/// FHIR `issue-severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the reader's information; nothing failed.
    Information,
    /// Done, but something deserves attention.
    Warning,
    /// Not done.
    Error,
    /// Not done, and nothing after it was tried.
    Fatal,
}

/// Declares a closed FHIR code enum with its codes, so that name and code stand on one line.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The code as FHIR writes it.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The value of a FHIR code; `None` for a code that the standard does not have.
            #[must_use]
            pub fn parse(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use codes;

impl Severity {
    /// The code as FHIR writes it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Information => "information",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// The value of a FHIR code; `None` for a code that the standard does not have.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        match code {
            "information" => Some(Self::Information),
            "warning" => Some(Self::Warning),
            "error" => Some(Self::Error),
            "fatal" => Some(Self::Fatal),
            _ => None,
        }
    }
}

codes! {
    /// FHIR `issue-type`, whole.
    IssueCode {
        /// Content invalid against the specification or a profile.
        Invalid = "invalid",
        /// A structural issue: wrong JSON, wrong type.
        Structure = "structure",
        /// A required element is missing.
        Required = "required",
        /// An element or header value is invalid.
        Value = "value",
        /// A content validation rule failed.
        Invariant = "invariant",
        /// A security problem.
        Security = "security",
        /// The client needs to log in.
        Login = "login",
        /// The user or system was not able to be authenticated.
        Unknown = "unknown",
        /// The session or token has expired.
        Expired = "expired",
        /// The user does not have the rights.
        Forbidden = "forbidden",
        /// Information was left out for reasons of privacy or law.
        Suppressed = "suppressed",
        /// Processing issues.
        Processing = "processing",
        /// Not supported here.
        NotSupported = "not-supported",
        /// A duplicate record.
        Duplicate = "duplicate",
        /// Several matches where one was expected.
        MultipleMatches = "multiple-matches",
        /// The reference or content was not found.
        NotFound = "not-found",
        /// It was there and has been deleted.
        Deleted = "deleted",
        /// Content is too long.
        TooLong = "too-long",
        /// A code is unknown or not allowed.
        CodeInvalid = "code-invalid",
        /// An extension that cannot be ignored is not understood.
        Extension = "extension",
        /// The operation is too costly.
        TooCostly = "too-costly",
        /// A business rule refused it.
        BusinessRule = "business-rule",
        /// It conflicts with the present state.
        Conflict = "conflict",
        /// Transient: try again.
        Transient = "transient",
        /// A lock could not be had.
        LockError = "lock-error",
        /// Persistent store unavailable.
        NoStore = "no-store",
        /// An unexpected internal error.
        Exception = "exception",
        /// An internal time-out.
        Timeout = "timeout",
        /// Not all data sources could be asked or answered.
        Incomplete = "incomplete",
        /// Too many requests.
        Throttled = "throttled",
        /// For information only.
        Informational = "informational",
    }
}

/// `details` of an issue: a code in somebody's system and a text for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// System and code, when there is one.
    pub coding: Option<crate::index::Coding>,
    /// Text, when there is one.
    pub text: Option<String>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// What kind it is.
    pub code: IssueCode,
    /// FHIRPath of the element(s) or the name of the parameter at fault.
    pub expression: Vec<String>,
    /// What was found and what was expected, in words for the sender's developer.
    pub diagnostics: String,
    /// A finer code, when one exists.
    pub details: Option<Box<Details>>,
}

impl Issue {
    /// An `error` at `expression` (may be empty when no element is meant).
    pub fn error(
        code: IssueCode,
        expression: impl Into<String>,
        diagnostics: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, code, expression, diagnostics)
    }

    /// A `warning` at `expression`.
    pub fn warning(
        code: IssueCode,
        expression: impl Into<String>,
        diagnostics: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, code, expression, diagnostics)
    }

    /// An issue of any severity; an empty `expression` is left out.
    pub fn new(
        severity: Severity,
        code: IssueCode,
        expression: impl Into<String>,
        diagnostics: impl Into<String>,
    ) -> Self {
        let expression = expression.into();
        Self {
            severity,
            code,
            expression: if expression.is_empty() {
                Vec::new()
            } else {
                vec![expression]
            },
            diagnostics: diagnostics.into(),
            details: None,
        }
    }

    /// The same issue with `details`.
    #[must_use]
    pub fn with_details(
        mut self,
        coding: Option<crate::index::Coding>,
        text: Option<String>,
    ) -> Self {
        self.details = Some(Box::new(Details { coding, text }));
        self
    }

    /// The same issue with `prefix` before each expression's first segment replaced: a finding about
    /// `Observation.code` in a Bundle becomes one about `Bundle.entry[3].resource.code`.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        if self.expression.is_empty() {
            self.expression.push(prefix.to_owned());
        }
        for expression in &mut self.expression {
            if expression != prefix {
                *expression = match expression.split_once('.') {
                    Some((_, rest)) => format!("{prefix}.{rest}"),
                    None => prefix.to_owned(),
                };
            }
        }
        self
    }

    /// Writes the issue as a FHIR JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"severity\":");
        json::write_string(out, self.severity.code());
        out.extend_from_slice(b",\"code\":");
        json::write_string(out, self.code.code());
        if let Some(details) = &self.details {
            write_details(details, out);
        }
        if !self.diagnostics.is_empty() {
            out.extend_from_slice(b",\"diagnostics\":");
            json::write_string(out, &self.diagnostics);
        }
        if !self.expression.is_empty() {
            out.extend_from_slice(b",\"expression\":[");
            for (i, expression) in self.expression.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                json::write_string(out, expression);
            }
            out.push(b']');
        }
        out.push(b'}');
    }
}

fn write_details(details: &Details, out: &mut Vec<u8>) {
    if details.coding.is_none() && details.text.is_none() {
        return;
    }
    out.extend_from_slice(b",\"details\":{");
    if let Some(coding) = &details.coding {
        out.extend_from_slice(b"\"coding\":[");
        coding.write(out);
        out.push(b']');
    }
    if let Some(text) = &details.text {
        if details.coding.is_some() {
            out.push(b',');
        }
        out.extend_from_slice(b"\"text\":");
        json::write_string(out, text);
    }
    out.push(b'}');
}

/// A FHIR OperationOutcome. FHIR demands at least one issue; [`OperationOutcome::to_json`] of an empty one
/// says `informational`, "All OK".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperationOutcome {
    /// The findings, in the order in which they were made.
    pub issues: Vec<Issue>,
}

impl OperationOutcome {
    /// An outcome with these issues.
    #[must_use]
    pub fn new(issues: Vec<Issue>) -> Self {
        Self { issues }
    }

    /// Writes the resource as FHIR JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"resourceType\":\"OperationOutcome\",\"issue\":[");
        if self.issues.is_empty() {
            Issue::new(
                Severity::Information,
                IssueCode::Informational,
                "",
                "All OK",
            )
            .write(out);
        }
        for (i, issue) in self.issues.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            issue.write(out);
        }
        out.extend_from_slice(b"]}");
    }

    /// The resource as FHIR JSON bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write(&mut out);
        out
    }

    /// Reads an OperationOutcome that somebody else wrote. `None` if `node` is not one; an issue with an
    /// unknown severity or code is read as `error` / `processing` rather than lost.
    #[must_use]
    pub fn read(node: Node<'_>) -> Option<Self> {
        if node.text("resourceType")? != "OperationOutcome" {
            return None;
        }
        let issues = node.get("issue")?.items().map(read_issue).collect();
        Some(Self { issues })
    }
}

fn read_issue(node: Node<'_>) -> Issue {
    let text = |name: &str| node.text(name).map(|t| t.into_owned());
    let details = node.get("details").map(|details| {
        Box::new(Details {
            coding: details
                .get("coding")
                .and_then(|c| c.items().next())
                .and_then(crate::index::Coding::read),
            text: details.text("text").map(|t| t.into_owned()),
        })
    });
    Issue {
        severity: text("severity")
            .and_then(|s| Severity::parse(&s))
            .unwrap_or(Severity::Error),
        code: text("code")
            .and_then(|c| IssueCode::parse(&c))
            .unwrap_or(IssueCode::Processing),
        expression: node
            .get("expression")
            .into_iter()
            .flat_map(|e| e.items())
            .filter_map(|e| e.str().map(|s| s.into_owned()))
            .collect(),
        diagnostics: text("diagnostics").unwrap_or_default(),
        details,
    }
}

impl serde::Serialize for OperationOutcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value =
            serde_json::from_slice(&self.to_json()).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::index::Coding;
    use crate::json::{Json, Limits};

    #[test]
    fn written_and_read_back() {
        let outcome = OperationOutcome::new(vec![
            Issue::error(
                IssueCode::Required,
                "Observation.code",
                "code is missing; \"1..1\" expected\n",
            ),
            Issue::warning(IssueCode::CodeInvalid, "", "æøå").with_details(
                Some(Coding {
                    system: Some("urn:x".into()),
                    code: "late".into(),
                }),
                Some("kom for sent".into()),
            ),
        ]);
        let json = Json::parse(outcome.to_json(), Limits::RESOURCE).unwrap();
        assert_eq!(OperationOutcome::read(json.root()), Some(outcome));
    }

    #[test]
    fn an_expression_moves_into_its_bundle_entry() {
        let moved = Issue::error(IssueCode::Value, "Observation.code.coding[0]", "x")
            .within("Bundle.entry[3].resource");
        assert_eq!(
            moved.expression,
            ["Bundle.entry[3].resource.code.coding[0]"]
        );
        let root =
            Issue::error(IssueCode::Value, "Observation", "x").within("Bundle.entry[3].resource");
        assert_eq!(root.expression, ["Bundle.entry[3].resource"]);
        let none = Issue::error(IssueCode::Value, "", "x").within("Bundle.entry[0]");
        assert_eq!(none.expression, ["Bundle.entry[0]"]);
    }
}
