//! Receiving callers so that nobody's number or name rests in the locator, its audit trail included.
//!
//! `wire::visit` writes down whom a token is about and who asks. Here every record goes through [`Reception::discreet`]
//! first: patient and person become pseudonyms in `asked` (`patient=…`, `by=…`), an HPR number (a public register) stays,
//! free text goes. Who it was stands, with the same request id, in the gateway's own trail; whoever holds the key can find
//! a given person's records here.
//!
//! The guard, too, writes a record with the caller's name when the token stands and the proof does not. So the proof is
//! looked at here first, at the same moment and in the same way, and such a request goes no further.

use axum::response::Response;
use fhir::time::Instant;
use http::request::Parts;
use http::{HeaderMap, header};
use serde::Deserialize;
use store::{Change, Committed, LedgerWrite, Store, StoreError};
use trust::attest::Id;
use trust::audit::{Asker, Record};
use trust::dpop::{self, DpopError};
use trust::encoding::from_base64url;
use trust::{Ask, Caller, Category, Facts, Interaction, Permit};
use wire::House;
use wire::outcome::Problem;
use wire::protect::{Guard, GuardConfig};
use wire::request_id::RequestIds;
use wire::visit::{Desk, End, Visit, refused};

use crate::key::Keys;

tokio::task_local! {
    /// The moment of the request under way: what the guard sees as now.
    static MOMENT: Instant;
}

/// Where the locator's callers are received.
pub struct Reception {
    desk: Desk,
    base: String,
    keys: Keys,
    agreement: (String, u32),
}

/// A verified caller's request under way.
pub struct Guest<'a> {
    reception: &'a Reception,
    visit: Visit<'a>,
}

impl Reception {
    /// A reception over a store.
    pub fn new(
        config: GuardConfig,
        facts: Facts,
        store: Store,
        house: &House,
        keys: Keys,
        agreement: (String, u32),
    ) -> Self {
        let (clock, base) = (house.clock.clone(), config.base.clone());
        let real = clock.clone();
        let still = House {
            clock: std::sync::Arc::new(move || {
                MOMENT.try_with(|now| *now).unwrap_or_else(|_| real())
            }),
            ..house.clone()
        };
        let guard = Guard::new(config, store.clone(), &still);
        let desk = Desk {
            guard,
            facts,
            store,
            clock,
        };
        Self {
            desk,
            base,
            keys,
            agreement,
        }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.desk.store
    }

    /// What the locator knows about itself.
    pub fn facts(&self) -> &Facts {
        &self.desk.facts
    }

    /// The pseudonym keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Serves one request from the proven token to the record that ends it, as `wire::visit::Desk::serve` does elsewhere, with
    /// every record made discreet.
    ///
    /// # Errors
    /// 401, 503 when nothing can be verified or recorded, or the problem that the work ended with.
    pub async fn serve(
        &self,
        parts: &Parts,
        ids: RequestIds,
        interaction: Interaction,
        work: impl AsyncFnOnce(&mut Guest<'_>) -> Result<Response, End>,
    ) -> Result<Response, Problem> {
        let mut guest = self.receive(parts, ids, interaction).await?;
        let answered = work(&mut guest).await;
        guest.finish(answered).await
    }

    /// Receives a caller: verifies token and proof; a failure is audited.
    ///
    /// # Errors
    /// 401, or 503 when nothing can be verified or recorded.
    async fn receive(
        &self,
        parts: &Parts,
        ids: RequestIds,
        interaction: Interaction,
    ) -> Result<Guest<'_>, Problem> {
        let now = (self.desk.clock)();
        if let Some(error) = self.broken_proof(parts, now) {
            let asked = format!("{} {}", parts.method, parts.uri.path());
            let record = Record::new(now, ids.ours, interaction, &asked)
                .caller_request_id(ids.callers)
                .unauthenticated(error.code());
            self.written(record).await?;
            return Err(error.into());
        }
        let visit = MOMENT
            .scope(now, self.desk.receive(parts, ids, interaction))
            .await?;
        Ok(Guest {
            reception: self,
            visit,
        })
    }

    /// Why the proof does not fit the token and this request, if both are there; everything else is the guard's.
    fn broken_proof(&self, parts: &Parts, now: Instant) -> Option<DpopError> {
        let (scheme, token) = only(&parts.headers, header::AUTHORIZATION.as_str())?
            .trim()
            .split_once(' ')?;
        let token = token.trim_start();
        if !scheme.eq_ignore_ascii_case("DPoP") {
            return None;
        }
        let proof = only(&parts.headers, "dpop")?.trim();
        let jkt = bound_to(token)?;
        let path = parts.uri.path();
        let url = format!("{}{}", self.base, if path == "/" { "" } else { path });
        let ath = dpop::ath(token);
        let method = parts.method.as_str();
        dpop::verify(proof, method, &url, Some(&ath), Some(&jkt), now).err()
    }

    async fn written(&self, record: Record) -> Result<(), Problem> {
        let change = Change {
            audit: Some(record),
            ..Change::default()
        };
        let written = self.desk.store.commit(change).await;
        written.map(|_| ()).map_err(|error| {
            tracing::error!(%error, "the audit record of a refusal could not be written");
            Problem::unavailable(5, "not available now; try again")
        })
    }

    /// The record without anybody's number, name or free text.
    fn discreet(&self, mut record: Record) -> Record {
        if let Some(patient) = record.patient.take() {
            record.asked.push_str(" patient=");
            record.asked.push_str(&self.keys.trace(&patient));
        }
        if let Some(asker) = record.person.take() {
            record.asked.push_str(&self.by(&asker));
        }

        record.reason = None;
        if let Some(decision) = &mut record.decision_ref {
            decision.description = None;
        }
        let named = [
            &mut record.legal_entity,
            &mut record.point_of_care,
            &mut record.department,
        ];
        for id in named.into_iter().flatten() {
            *id = Id {
                name: None,
                ..id.clone()
            };
        }
        record.agreement = Some(self.agreement.clone());
        record
    }

    fn by(&self, asker: &Asker) -> String {
        let kind = if asker.practitioner {
            "practitioner"
        } else {
            "citizen"
        };
        let hpr = asker.hpr.iter().map(|hpr| format!(" hpr={hpr}"));
        let hpr: String = hpr.collect();
        format!(" by={kind}:{}{hpr}", self.keys.trace(&asker.identifier))
    }
}

/// The value of a header that stands exactly once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// The key a token says it is bound to, not yet believed: the guard verifies the token itself.
fn bound_to(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Bound {
        cnf: trust::token::Confirmation,
    }
    let payload = from_base64url(token.split('.').nth(1)?)?;
    let bound: Bound = serde_json::from_slice(&payload).ok()?;
    Some(bound.cnf.jkt)
}

impl Guest<'_> {
    /// Who asks.
    pub fn caller(&self) -> &Caller {
        self.visit.caller()
    }

    /// Now, once for the whole request.
    pub fn now(&self) -> Instant {
        self.visit.now
    }

    /// Adds what was asked; nothing about a person.
    pub fn asked(&mut self, more: &str) {
        self.visit.asked(more);
    }

    /// Asks the rules.
    ///
    /// # Errors
    /// The refusal, as the way out it asks for.
    pub fn permit(&self, ask: &Ask) -> Result<Permit, End> {
        self.visit.permit(ask)
    }

    /// The record of this request, still to be told how it went.
    pub fn record(&self) -> Record {
        self.reception.discreet(self.visit.record())
    }

    /// Commits a record and what it is about. A proof that was used before undoes it, and gets a record of its own.
    ///
    /// # Errors
    /// What the store said, as the way out it asks for.
    pub async fn commit(&self, record: Record, ledger: Vec<LedgerWrite>) -> Result<Committed, End> {
        let mut change = self.visit.change(record);
        change.ledger = ledger;
        match self.reception.store().commit(change).await {
            Ok(committed) => Ok(committed),
            Err(StoreError::Replayed) => {
                let record = self.record().unauthenticated("invalid_dpop_proof");
                self.reception.written(record).await?;
                Err(End::Audited(StoreError::Replayed.into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the answer, or ends a request that gives nothing: the record first, then the words.
    ///
    /// # Errors
    /// The problem.
    async fn finish(self, answered: Result<Response, End>) -> Result<Response, Problem> {
        let (record, problem) = match answered {
            Ok(response) => return Ok(response),
            Err(End::Audited(problem)) => return Err(problem),
            Err(End::Problem(problem)) => (self.record().failed(category(&problem)), problem),
            Err(End::Refused(refusal) | End::Nothing(refusal, _)) => {
                (self.record().refused(&refusal), refused(&refusal))
            }
        };
        match self.commit(record, Vec::new()).await {
            Ok(_) => Err(problem),
            Err(End::Problem(problem) | End::Audited(problem)) => Err(problem),
            Err(End::Refused(refusal) | End::Nothing(refusal, _)) => Err(refused(&refusal)),
        }
    }
}

fn category(problem: &Problem) -> Category {
    match problem.status().as_u16() {
        409 => Category::Conflict,
        429 => Category::Busy,
        500 => Category::Bug,
        503 | 507 => Category::Unavailable,
        _ => Category::Invalid,
    }
}
