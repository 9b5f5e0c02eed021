//! One entry of a transaction on its way: what it asks for, which resource it is about, and what that was found to be.

use crate::State;
use crate::api::bundle::asked::{self, Asked, Named, What, fault};
use crate::api::written::Return;
use crate::api::{patch, version_in};
use bytes::Bytes;
use fhir::bundle::Entry;
use fhir::ids::LogicalId;
use fhir::json::{Json, Node};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::Checked;
use http::{HeaderMap, StatusCode, header};
use store::{Put, PutOutcome, Stored};
use trust::Permit;
use wire::outcome::Problem;
use wire::visit::End;

/// One entry that was understood.
pub struct Step<'a> {
    pub entry: Entry<'a>,
    pub asked: Asked,
    /// The version in `ifMatch`.
    pub if_match: Option<u64>,
    /// The resource sent by POST or PUT.
    pub node: Option<Node<'a>>,
    /// The operations sent by PATCH.
    pub operations: Option<Json>,
    /// What it is about, once that is known; a read has none.
    pub target: Option<Target>,
}

/// Which resource a step is about.
pub enum Target {
    /// It gets this id, unless it is known already: then this is its id.
    New(LogicalId),
    /// There, in this version where `ifMatch` or a condition says which.
    There(LogicalId, Option<u64>),
    /// There, and `ifNoneExist` says to leave it alone.
    Left(Box<Stored>),
}

impl Target {
    /// The resource.
    pub fn id(&self) -> LogicalId {
        match self {
            Self::New(id) | Self::There(id, _) => *id,
            Self::Left(stored) => stored.id,
        }
    }

    /// Whether it is changed.
    pub fn changes(&self) -> bool {
        !matches!(self, Self::Left(_))
    }
}

/// A step as the store takes it.
pub struct Ready {
    /// Which step.
    pub step: usize,
    pub put: Put,
    /// Who it is about, as far as that is known before it is written.
    pub person: Option<fhir::ids::PersonIdentifier>,
    /// What was written, to be given back; none for a withdrawal.
    pub sent: Option<(Permit, Checked)>,
}

impl<'a> Step<'a> {
    /// Understands an entry.
    ///
    /// # Errors
    /// 422 with the member at fault.
    pub fn of(state: &State, entry: &Entry<'a>, headers: &HeaderMap) -> Result<Self, Problem> {
        let asked = asked::understand(state, entry, headers)?;
        let node = match &asked.what {
            What::Create | What::Update(_) => Some(entry.resource.ok_or_else(|| {
                fault(
                    entry,
                    IssueCode::Required,
                    "resource",
                    "the entry has no resource",
                )
            })?),
            _ => None,
        };
        let operations = match &asked.what {
            What::Patch(_) => Some(patch::in_binary(entry)?),
            _ => None,
        };
        let if_match = asked
            .headers
            .get(header::IF_MATCH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| version_in(text).ok());
        let target = match &asked.what {
            What::Update(Named::Id(id))
            | What::Patch(Named::Id(id))
            | What::Withdraw(Named::Id(id)) => Some(Target::There(*id, if_match)),
            _ => None,
        };
        Ok(Self {
            entry: *entry,
            asked,
            if_match,
            node,
            operations,
            target,
        })
    }

    /// Something wrong with this entry, outside its resource.
    pub fn fault(&self, code: IssueCode, member: &str, words: &str) -> Problem {
        fault(&self.entry, code, member, words)
    }

    /// A problem of a condition or reference, told by its place in the entry; with its own status where that says what a
    /// sender may do (412), else as 422.
    pub fn at(&self, problem: Problem, member: &str) -> Problem {
        let place = format!("{}.{member}", self.entry.expression());
        let moved = |issue: Issue| Issue {
            expression: vec![place.clone()],
            ..issue
        };
        if problem.status() == StatusCode::PRECONDITION_FAILED {
            return problem.each(moved);
        }
        let issues = problem.issues().iter().cloned().map(moved).collect();
        Problem::unprocessable(issues)
    }

    /// Names the entry in a problem.
    pub fn placed<T>(&self, result: Result<T, End>, member: &str) -> Result<T, End> {
        result.map_err(|end| match end {
            End::Problem(problem) => {
                End::Problem(problem.within(&format!("{}.{member}", self.entry.expression())))
            }
            other => other,
        })
    }
}

/// What an entry left alone by `ifNoneExist` is answered with.
pub fn left(stored: &Stored, prefer: Return) -> (PutOutcome, Option<Bytes>) {
    let put = PutOutcome {
        id: stored.id,
        version: stored.version,
        last_updated: stored.last_updated,
        resource_type: stored.resource_type,
        fate: store::Fate::Existing,
    };
    let body = (prefer == Return::Representation).then(|| stored.body.clone());
    (put, body)
}
