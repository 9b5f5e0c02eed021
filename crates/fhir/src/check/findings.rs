//! Findings of one check: where, what, and whether the reading could be kept aside for a person to look at.
//!
//! Words never repeat a person's number, a name or a reading; of what was sent, only codes, units and element
//! names are shown.

use crate::index::Coding;
use crate::json::Node;
use crate::outcome::{Issue, IssueCode, Severity};

/// The most findings that one check reports.
pub const MOST: usize = 100;

/// Code system of [`Doubt`], in `OperationOutcome.issue.details`.
pub const FINDING: &str = "https://delt.example/fhir/CodeSystem/finding";

/// Why a well-formed reading is nevertheless not accepted. Such a finding alone quarantines, it does not
/// refuse: `spec/threats-and-faults` section 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// No code names a measurement kind that Delt knows.
    UnknownCode,
    /// Two codes name different kinds.
    ContradictoryCodes,
    /// The unit is not one in which the kind is measured.
    WrongUnit,
    /// Outside what is technically plausible.
    ImplausibleValue,
    /// In the future, or before measurements were made.
    ImplausibleTime,
}

impl Doubt {
    /// Every doubt.
    pub const ALL: [Self; 5] = [
        Self::UnknownCode,
        Self::ContradictoryCodes,
        Self::WrongUnit,
        Self::ImplausibleValue,
        Self::ImplausibleTime,
    ];

    /// Its code in [`FINDING`].
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownCode => "unknown-code",
            Self::ContradictoryCodes => "contradictory-codes",
            Self::WrongUnit => "wrong-unit",
            Self::ImplausibleValue => "implausible-value",
            Self::ImplausibleTime => "implausible-time",
        }
    }
}

/// What becomes of a resource that was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Not FHIR as Delt takes it: the sender must change it (4xx, nothing kept).
    Refuse,
    /// A well-formed reading in doubt: keep it aside and say so (422).
    Quarantine,
}

/// What becomes of a resource with these findings: quarantine if there is at least one error and every error is
/// a [`Doubt`], else refusal.
#[must_use]
pub fn fate(issues: &[Issue]) -> Fate {
    let is_doubt = |issue: &Issue| {
        let coding = issue.details.as_ref().and_then(|d| d.coding.as_ref());
        coding.is_some_and(|c| {
            c.system.as_deref() == Some(FINDING)
                && Doubt::ALL.iter().any(|doubt| doubt.code() == c.code)
        })
    };
    let mut errors = issues
        .iter()
        .filter(|one| one.severity >= Severity::Error)
        .peekable();
    if errors.peek().is_some() && errors.all(is_doubt) {
        Fate::Quarantine
    } else {
        Fate::Refuse
    }
}

/// Collects findings about one resource.
pub(super) struct Findings<'a> {
    base: Node<'a>,
    issues: Vec<Issue>,
    /// What refuses nothing.
    remarks: Vec<Issue>,
}

impl<'a> Findings<'a> {
    pub(super) fn of(base: Node<'a>) -> Self {
        Self {
            base,
            issues: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Whether no more findings are taken; the walk may stop.
    pub(super) fn full(&self) -> bool {
        self.issues.len() > MOST
    }

    pub(super) fn is_empty(&self) -> bool {
        self.issues.is_empty()
    }

    /// A finding at a value.
    pub(super) fn at(&mut self, node: Node<'a>, code: IssueCode, words: impl Into<String>) {
        if self.room() {
            self.push(Issue::error(code, self.place(node), words));
        }
    }

    /// A finding at a member that `node` has not, or at one that goes by another name there (`value[x]`).
    pub(super) fn below(
        &mut self,
        node: Node<'a>,
        member: &str,
        code: IssueCode,
        words: impl Into<String>,
    ) {
        if self.room() {
            self.push(Issue::error(
                code,
                format!("{}.{member}", self.place(node)),
                words,
            ));
        }
    }

    /// A finding that alone would only quarantine.
    pub(super) fn doubt(
        &mut self,
        node: Node<'a>,
        doubt: Doubt,
        code: IssueCode,
        words: impl Into<String>,
    ) {
        if self.room() {
            let coding = Some(Coding::new(FINDING, doubt.code()));
            self.push(Issue::error(code, self.place(node), words).with_details(coding, None));
        }
    }

    /// A finding at a value that has none yet.
    pub(super) fn once_at(&mut self, node: Node<'a>, code: IssueCode, words: impl Into<String>) {
        let place = self.place(node);
        self.once(place, code, words);
    }

    /// As [`Findings::below`], at a place that has none yet.
    pub(super) fn once_below(
        &mut self,
        node: Node<'a>,
        member: &str,
        code: IssueCode,
        words: impl Into<String>,
    ) {
        let place = format!("{}.{member}", self.place(node));
        self.once(place, code, words);
    }

    fn once(&mut self, place: String, code: IssueCode, words: impl Into<String>) {
        let known = self
            .issues
            .iter()
            .any(|one| one.expression == [place.as_str()]);
        if !known && self.room() {
            self.push(Issue::error(code, place, words));
        }
    }

    /// A remark at a value: it refuses nothing.
    pub(super) fn remark(
        &mut self,
        node: Node<'a>,
        severity: Severity,
        code: IssueCode,
        words: impl Into<String>,
    ) {
        let place = self.place(node);
        self.note(Issue::new(severity, code, place, words));
    }

    /// A remark at a member that `node` has not.
    pub(super) fn remark_below(
        &mut self,
        node: Node<'a>,
        member: &str,
        severity: Severity,
        code: IssueCode,
        words: impl Into<String>,
    ) {
        let place = format!("{}.{member}", self.place(node));
        self.note(Issue::new(severity, code, place, words));
    }

    /// Remarks something that refuses nothing.
    pub(super) fn note(&mut self, issue: Issue) {
        if self.remarks.len() < MOST && !self.remarks.contains(&issue) {
            self.remarks.push(issue);
        }
    }

    /// What refuses nothing.
    pub(super) fn into_remarks(self) -> Vec<Issue> {
        self.remarks
    }

    /// All findings, and those of `more` about other places; remarks last.
    pub(super) fn with(mut self, more: Vec<Issue>) -> Vec<Issue> {
        for issue in more {
            if self.room()
                && !self
                    .issues
                    .iter()
                    .any(|known| known.expression == issue.expression)
            {
                self.push(issue);
            }
        }
        self.issues.append(&mut self.remarks);
        self.issues
    }

    fn room(&mut self) -> bool {
        if self.issues.len() == MOST {
            let words = format!("more than {MOST} findings; the rest is left out");
            self.push(Issue::error(IssueCode::TooCostly, String::new(), words));
        }
        self.issues.len() < MOST
    }

    fn push(&mut self, issue: Issue) {
        self.issues.push(issue);
    }

    /// Where a value is. Member names that could carry something about a person (strange characters, or more
    /// digits than `valueBase64Binary` has) are cut off with what follows them: FHIR has no such names.
    fn place(&self, node: Node<'a>) -> String {
        let expression = node.expression_from(self.base);
        // `$` stands for a base that does not say what it is.
        let steps = expression
            .strip_prefix("$.")
            .unwrap_or(&expression)
            .split('.');
        let kept: Vec<_> = steps.take_while(|step| is_harmless(step)).collect();
        kept.join(".")
    }
}

fn is_harmless(step: &str) -> bool {
    let name = step.split_once('[').map_or(step, |(name, _)| name);
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain && name.len() <= 40 && name.bytes().filter(u8::is_ascii_digit).count() <= 2
}
