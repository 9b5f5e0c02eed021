//! One verified caller's one request at one party, from the proven token to the audit record that ends it.
//!
//! Every way out of a protected handler leads through here, so that each access, allowed or refused, leaves exactly one
//! record (threats-and-faults.md sections 1 and 11), and the proof that was used is remembered in the same commit. Who is told to come
//! later and does not wait may be counted instead, by a party that puts on record how often (decision 0065).

use axum::response::Response;
use fhir::ids::PersonIdentifier;
use fhir::time::Instant;
use http::request::Parts;
use std::sync::Arc;
use store::{Change, Clock, Committed, Conflict, Receipt, Store, StoreError};
use trust::audit::Record;
use trust::wish::Wish;
use trust::{Ask, Caller, Category, Decision, Facts, Interaction, Party, Permit, Person, Refusal};

use crate::outcome::Problem;
use crate::protect::{Guard, Verified};
use crate::request_id::RequestIds;

/// Where callers are received: the guard at the door, the party's own facts, and the store that keeps its audit trail.
pub struct Desk {
    /// Verifies tokens and proofs.
    pub guard: Guard,
    /// What the party knows about itself.
    pub facts: Facts,
    /// Its store.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
}

/// A verified caller's request under way.
pub struct Visit<'a> {
    desk: &'a Desk,
    /// Now, once for the whole request.
    pub now: Instant,
    ids: RequestIds,
    verified: Arc<Verified>,
    /// Whether this is a part of a visit that has committed the proof already.
    part: bool,
    interaction: Interaction,
    asked: String,
    /// What the patient has closed here, as it stood when the request came.
    wishes: Arc<[Wish]>,
}

/// In a shared register one member changes nothing that another wrote (threats-and-faults.md section 4).
pub const OTHER_MEMBER: Refusal = Refusal {
    rule: "member",
    category: Category::Forbidden,
    code: "other_member",
    message: "another member of the register wrote this; only that member changes it",
};

/// A way out of a handler that gives nothing.
pub enum End {
    /// Something is wrong with what was asked or sent, or with us.
    Problem(Problem),
    /// A rule refused.
    Refused(Refusal),
    /// As [`End::Problem`], and its record is written already.
    Audited(Problem),
    /// A rule wants the answer to look as if nothing were there; with whom it was attempted about, where that is known.
    Nothing(Refusal, Option<PersonIdentifier>),
}

impl<P: Into<Problem>> From<P> for End {
    fn from(problem: P) -> End {
        End::Problem(problem.into())
    }
}

impl Desk {
    /// Serves one request from the proven token to the record that ends it: receives the caller, does the `work`, and ends
    /// every way out that gives nothing; [`End::Nothing`] is 404. What every protected handler is, unless it moves to another desk on its
    /// way.
    ///
    /// # Errors
    /// As [`Desk::receive`] and [`Visit::end`].
    pub async fn serve(
        &self,
        parts: &Parts,
        ids: RequestIds,
        interaction: Interaction,
        work: impl AsyncFnOnce(&mut Visit<'_>) -> Result<Response, End>,
    ) -> Result<Response, Problem> {
        let nothing = || Err(Problem::not_found());
        self.serve_or(parts, ids, interaction, nothing, work).await
    }

    /// As [`Desk::serve`], where `nothing` makes the answer for [`End::Nothing`]: an empty list, say.
    ///
    /// # Errors
    /// As [`Desk::serve`].
    pub async fn serve_or(
        &self,
        parts: &Parts,
        ids: RequestIds,
        interaction: Interaction,
        nothing: impl FnOnce() -> Result<Response, Problem>,
        work: impl AsyncFnOnce(&mut Visit<'_>) -> Result<Response, End>,
    ) -> Result<Response, Problem> {
        let mut visit = self.receive(parts, ids, interaction).await?;
        match work(&mut visit).await {
            Ok(response) => Ok(response),
            Err(end) => visit.end(end, nothing).await,
        }
    }

    /// Receives a caller: verifies token and proof; a failure is audited by the guard.
    ///
    /// # Errors
    /// 401, or 503 when nothing can be verified or recorded.
    pub async fn receive(
        &self,
        parts: &Parts,
        ids: RequestIds,
        interaction: Interaction,
    ) -> Result<Visit<'_>, Problem> {
        let asked = format!("{} {}", parts.method, parts.uri.path());
        let verified = self.guard.admit(parts, &ids, interaction, &asked).await?;
        let visit = Visit {
            desk: self,
            verified: Arc::new(verified),
            part: false,
            now: (self.clock)(),
            ids,
            interaction,
            asked,
            wishes: [].into(),
        };
        match self.wishes(visit.caller()).await {
            Ok(wishes) => Ok(Visit { wishes, ..visit }),
            // Not knowing what the patient has closed, nothing is opened.
            Err(error) => {
                let problem = Problem::from(error);
                let record = visit.record().failed(category_of(&problem));
                visit.close(record).await?;
                Err(problem)
            }
        }
    }

    /// What the patient whom the caller asks about has closed here; asked for where the rules ask: at a sharing service, of
    /// health personnel.
    async fn wishes(&self, caller: &Caller) -> Result<Arc<[Wish]>, StoreError> {
        match (&caller.person, &caller.patient) {
            (Person::Practitioner { .. }, Some(patient)) if self.facts.party == Party::Sharing => {
                self.store.wishes(patient).await
            }
            _ => Ok([].into()),
        }
    }
}

impl Visit<'_> {
    /// The same visit, recorded from here on in another desk's store: for a party that keeps a store for each organisation
    /// it serves and knows which one only when the caller is known. Nothing may have been committed before.
    #[must_use]
    pub fn at<'b>(self, desk: &'b Desk) -> Visit<'b> {
        let Visit {
            desk: _,
            now,
            ids,
            verified,
            part,
            interaction,
            asked,
            wishes,
        } = self;
        Visit {
            desk,
            now,
            ids,
            verified,
            part,
            interaction,
            asked,
            wishes,
        }
    }

    /// One part of this visit (an entry of a bundle) as a visit of its own: the same caller and request id, and records of
    /// its own. The proof counts for the whole request, so this visit must have committed before its parts do.
    #[must_use]
    pub fn part(&self, interaction: Interaction, asked: String) -> Self {
        Visit {
            desk: self.desk,
            now: self.now,
            ids: self.ids.clone(),
            verified: self.verified.clone(),
            part: true,
            interaction,
            asked,
            wishes: self.wishes.clone(),
        }
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.verified.caller
    }

    /// The store that this visit is recorded in.
    pub fn store(&self) -> &Store {
        &self.desk.store
    }

    /// The request's ids.
    pub fn ids(&self) -> &RequestIds {
        &self.ids
    }

    /// The caller's token, for a gateway's exchange. Never logged.
    pub fn token(&self) -> &str {
        &self.verified.token
    }

    /// Adds what was asked, as received (form body, or what a bundle holds in short).
    pub fn asked(&mut self, more: &str) {
        self.asked.push(' ');
        self.asked.push_str(more);
    }

    fn facts(&self) -> Facts {
        self.desk.facts.at(self.now).with(self.wishes.clone())
    }

    /// Asks the rules.
    ///
    /// # Errors
    /// The refusal, as the way out it asks for.
    pub fn permit(&self, ask: &Ask) -> Result<Permit, End> {
        match trust::decide(ask, self.caller(), &self.facts()) {
            Decision::Permit(permit) => Ok(permit),
            Decision::Nothing(refusal) => Err(End::Nothing(refusal, ask.patient.clone())),
            Decision::Refuse(refusal) => Err(End::Refused(refusal)),
        }
    }

    /// Whether the caller may be shown a list of patients at all; each of them is asked about with [`Visit::permit_about`].
    ///
    /// # Errors
    /// The refusal.
    pub fn may_list(&self) -> Result<(), End> {
        trust::may_list(self.caller(), &self.facts()).map_err(End::Refused)
    }

    /// Asks the rules about one patient of a list, with what she has closed here, and gives what they were asked with, for her record. A
    /// refusal is for the list to leave her out, without a trace.
    ///
    /// # Errors
    /// Of the store: not knowing what she has closed, nothing is opened.
    pub async fn permit_about(
        &self,
        ask: &Ask,
        patient: &PersonIdentifier,
    ) -> Result<(Result<Permit, Refusal>, Facts), StoreError> {
        let ask = Ask {
            patient: Some(patient.clone()),
            ..ask.clone()
        };
        let facts = self.facts().with(self.desk.store.wishes(patient).await?);
        let permit = trust::decide(&ask, self.caller(), &facts).permit();
        Ok((permit, facts))
    }

    /// The audit record of this request, still to be told how it went.
    pub fn record(&self) -> Record {
        self.record_of(self.interaction, &self.asked)
    }

    /// The record of one part of it (an entry of a batch).
    pub fn record_of(&self, interaction: Interaction, asked: &str) -> Record {
        Record::new(self.now, self.ids.ours, interaction, asked)
            .caller_request_id(self.ids.callers.clone())
            .by(self.caller())
            .with_facts(&self.facts())
    }

    /// A change that carries this request's record and the proof it used.
    pub fn change(&self, record: Record) -> Change {
        Change {
            // Broken glass waits for the controller's look from the moment that it is on record.
            ledger: store::review_opened(&record).into_iter().collect(),
            audit: Some(record),
            replays: if self.part {
                Vec::new()
            } else {
                vec![self.verified.replay]
            },
            ..Change::default()
        }
    }

    /// Commits a change of this request. A proof that was used before undoes it, and gets a record of its own.
    ///
    /// # Errors
    /// What the store said, as the way out it asks for.
    pub async fn commit(&self, change: Change) -> Result<Committed, End> {
        match self.desk.store.commit(change).await {
            Ok(committed) => Ok(committed),
            Err(error) => Err(self.ended(error).await),
        }
    }

    /// As [`Visit::commit`] for a change of several puts: what is wrong with them ([`StoreError::Puts`],
    /// [`StoreError::Versions`]), or that a ledger has moved on meanwhile ([`StoreError::LedgerMismatch`]), is for the caller to tell.
    ///
    /// # Errors
    /// As [`Visit::commit`], all else.
    pub async fn attempt(&self, change: Change) -> Result<Result<Committed, StoreError>, End> {
        match self.desk.store.commit(change).await {
            Ok(committed) => Ok(Ok(committed)),
            Err(
                error @ (StoreError::Puts(_)
                | StoreError::Versions(_)
                | StoreError::LedgerMismatch { .. }),
            ) => Ok(Err(error)),
            Err(error) => Err(self.ended(error).await),
        }
    }

    async fn ended(&self, error: StoreError) -> End {
        match error {
            StoreError::Replayed => End::Audited(
                self.desk
                    .guard
                    .commit_failed(
                        error,
                        &self.verified,
                        &self.ids,
                        self.interaction,
                        &self.asked,
                    )
                    .await,
            ),
            StoreError::Conflict(Conflict::Writer { .. }) => End::Refused(OTHER_MEMBER),
            error => error.into(),
        }
    }

    /// Writes the record of an answer; the receipt is what answering takes.
    ///
    /// # Errors
    /// As [`Visit::commit`]: without a durable record there is no answer.
    pub async fn write(&self, record: Record) -> Result<Receipt, End> {
        let committed = self.commit(self.change(record)).await?;
        committed
            .receipt
            .ok_or_else(|| Problem::bug("a commit with an audit record gave no receipt").into())
    }

    /// Ends a request that gives nothing: the record first, then the words. `nothing` makes the answer for
    /// [`End::Nothing`].
    ///
    /// # Errors
    /// The problem, unless `nothing` gives an answer.
    pub async fn end(
        self,
        end: End,
        nothing: impl FnOnce() -> Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        match end {
            End::Problem(problem) => {
                self.close(self.record().failed(category_of(&problem)))
                    .await?;
                Err(problem)
            }
            End::Audited(problem) => Err(problem),
            End::Refused(refusal) => {
                self.close(self.record().refused(&refusal)).await?;
                Err(refused(&refusal))
            }
            End::Nothing(refusal, about) => {
                let record = self.record().refused(&refusal);
                // Whom it was attempted about finds it too, in the same commit.
                let also = about.map(|about| record.attempted(about));
                self.close_with(record, also.into_iter().collect()).await?;
                nothing()
            }
        }
    }
}

impl Visit<'_> {
    /// Writes the last record of a request that gives nothing; if that cannot be done, that is the answer.
    async fn close(&self, record: Record) -> Result<(), Problem> {
        self.close_with(record, Vec::new()).await
    }

    async fn close_with(&self, record: Record, also: Vec<Record>) -> Result<(), Problem> {
        let change = Change {
            also,
            ..self.change(record)
        };
        match self.commit(change).await {
            Ok(_) => Ok(()),
            Err(End::Problem(problem) | End::Audited(problem)) => Err(problem),
            Err(End::Refused(refusal) | End::Nothing(refusal, _)) => Err(refused(&refusal)),
        }
    }
}

/// A refusal in the caller's words.
pub fn refused(refusal: &Refusal) -> Problem {
    (*refusal).into()
}

fn category_of(problem: &Problem) -> Category {
    match problem.status().as_u16() {
        401 => Category::Unauthenticated,
        403 => Category::Forbidden,
        404 => Category::NotFound,
        409 | 412 | 428 => Category::Conflict,
        410 => Category::Gone,
        429 => Category::Busy,
        500 => Category::Bug,
        502..=504 => Category::Unavailable,
        _ => Category::Invalid,
    }
}
