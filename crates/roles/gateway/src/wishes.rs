//! A citizen's wishes (Consent) at every holder at once: made, listed or taken back, each holder with a token of its own and
//! a deadline, and what became of each of them. The gateway keeps none of it: a wish is known by what it means, so that the
//! same wish at several holders is one, and doing it again repairs what did not reach everybody. Who may look, and why something
//! was refused, is asked of every holder in the same way ([`Round::may_look`], [`Round::explain`]).

use crate::State;
use crate::deadline::Deadline;
use crate::locate::{Source, fault};
use bytes::Bytes;
use fhir::ids::{LogicalId, PersonIdentifier};
use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;
use wire::client::{Answer, Request};
use wire::contract::sharing::{EXPLAIN, MAY_LOOK, MAY_LOOK_BYTES};
use wire::explained::{self, Decision};
use wire::may_look::Told;
use wire::receipt::{Receipt, SourceReport, SourceState, canonical};
use wire::visit::Visit;

/// Largest answer taken from one holder.
const ANSWER_BYTES: usize = 1024 * 1024;

/// What is to be done at every holder.
#[derive(Clone, Copy)]
pub enum Errand<'a> {
    /// Make this wish.
    Make(&'a Bytes),
    /// Tell the wishes that hold.
    List,
    /// Take back the wishes of this meaning.
    End(Uuid),
}

/// One wish as one holder keeps it.
pub struct Held {
    /// What it means, the same at every holder.
    pub meaning: Uuid,
    /// Organisation number of the holder.
    pub organisation: String,
    /// Its place at the holder.
    pub url: String,
    /// The Consent.
    pub consent: Value,
}

/// What one holder did, or why it did not.
pub struct Heard<T = Vec<Held>> {
    told: Result<T, Fault>,
    milliseconds: Option<u64>,
}

impl<T> Heard<T> {
    /// What the gateway itself tells.
    pub fn ours(told: Result<T, Fault>) -> Heard<T> {
        Heard {
            told,
            milliseconds: None,
        }
    }

    /// What it told, if it did.
    pub fn told(&self) -> Option<&T> {
        self.told.as_ref().ok()
    }
}

impl Heard {
    /// The wishes that it told, made or took back.
    pub fn into_held(self) -> Vec<Held> {
        self.told.unwrap_or_default()
    }
}

/// Why one told nothing: its state, and in words.
pub type Fault = (SourceState, String);

/// One citizen's round of the holders.
pub struct Round<'a> {
    /// The gateway.
    pub state: &'a State,
    /// In whose name.
    pub visit: &'a Visit<'a>,
    /// Whose wishes.
    pub patient: &'a PersonIdentifier,
    /// By when all must have answered.
    pub deadline: &'a Deadline,
}

impl Round<'_> {
    /// Runs the errand at every source that may be asked; in the order of `sources`.
    pub async fn all(&self, sources: &[Source], errand: Errand<'_>) -> Vec<Heard> {
        let one = |source| self.one(source, move |base| self.run(errand, source, base));
        join_all(sources.iter().map(one)).await
    }

    /// Asks every source that may be asked who may look at what it holds about the patient; in the order of `sources`.
    pub async fn may_look(&self, sources: &[Source]) -> Vec<Heard<Told>> {
        let one = |source| self.one(source, move |base| self.who_may_look(source, base));
        join_all(sources.iter().map(one)).await
    }

    /// Asks every source that may be asked what it decided of a request of this id; in the order of `sources`.
    pub async fn explain(
        &self,
        sources: &[Source],
        request: &LogicalId,
    ) -> Vec<Heard<Vec<Decision>>> {
        let one = |source| self.one(source, move |base| self.why(base, request));
        join_all(sources.iter().map(one)).await
    }

    async fn why(&self, base: &str, request: &LogicalId) -> Result<Vec<Decision>, Fault> {
        let id = request.to_string();
        let form = [("request", id.as_str())];
        let request = Request::post_form(format!("{base}{EXPLAIN}"), form);
        let answer = self.send(base, "user/AuditEvent.s", request).await?;
        // Where no such request is known, nothing was decided.
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        explained::read(&json(answer, &[StatusCode::OK])?).ok_or_else(unusable)
    }

    async fn one<'s, T, F: Future<Output = Result<T, Fault>>>(
        &self,
        source: &'s Source,
        run: impl FnOnce(&'s str) -> F,
    ) -> Heard<T> {
        let base = match (&source.unasked, &source.base) {
            (None, Some(base)) => base,
            (unasked, _) => {
                let unknown = || (SourceState::NotAsked, "no address is known".to_owned());
                return Heard {
                    told: Err(unasked.clone().unwrap_or_else(unknown)),
                    milliseconds: None,
                };
            }
        };
        let clock = &self.state.house.clock;
        let began = clock();
        let deadline = self.deadline.or_after(self.state.config.source_deadline);
        let late = || (SourceState::Late, "no answer in time".to_owned());
        let told = deadline.within(run(base)).await;
        let micros = clock().0.saturating_sub(began.0).max(0);
        Heard {
            told: told.unwrap_or_else(|| Err(late())),
            milliseconds: u64::try_from(micros / 1000).ok(),
        }
    }

    async fn who_may_look(&self, source: &Source, base: &str) -> Result<Told, Fault> {
        let request = Request::post_form(format!("{base}{MAY_LOOK}"), []);
        let scope = "user/AuditEvent.s";
        let answer = self.send_for(base, scope, request, MAY_LOOK_BYTES).await?;
        let told = Told::read(&json(answer, &[StatusCode::OK])?);
        // A holder speaks of what it is itself responsible for.
        let own = |told: &Told| told.holder.organisation.as_str() == source.organisation;
        told.filter(own).ok_or_else(unusable)
    }

    async fn run(
        &self,
        errand: Errand<'_>,
        source: &Source,
        base: &str,
    ) -> Result<Vec<Held>, Fault> {
        match errand {
            Errand::Make(body) => {
                let request = Request::post_fhir(format!("{base}/Consent"), body.clone());
                let answer = self.send(base, "user/Consent.c", request).await?;
                let told = json(answer, &[StatusCode::CREATED, StatusCode::OK])?;
                let held = self.held(source, base, told).ok_or_else(unusable)?;
                Ok(vec![held])
            }
            Errand::List => self.listed(source, base).await,
            Errand::End(meaning) => {
                let mut held = self.listed(source, base).await?;
                held.retain(|one| one.meaning == meaning);
                for one in &held {
                    let request = Request::new(Method::DELETE, one.url.clone());
                    let answer = self.send(base, "user/Consent.d", request).await?;
                    let gone = [
                        StatusCode::OK,
                        StatusCode::NO_CONTENT,
                        StatusCode::NOT_FOUND,
                    ];
                    accepted(&answer, &gone)?;
                }
                Ok(held)
            }
        }
    }

    async fn listed(&self, source: &Source, base: &str) -> Result<Vec<Held>, Fault> {
        let request = Request::post_form(format!("{base}/Consent/_search"), []);
        let answer = self.send(base, "user/Consent.s", request).await?;
        let bundle = json(answer, &[StatusCode::OK])?;
        let more = bundle["link"]
            .as_array()
            .is_some_and(|links| links.iter().any(|link| link["relation"] == "next"));
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        let matches = entries
            .into_iter()
            .filter(|entry| entry["search"]["mode"] == "match")
            .map(|mut entry| self.held(source, base, entry["resource"].take()));
        // Half a list would say that a door is shut which is open, or the other way.
        let held: Option<Vec<Held>> = matches.collect();
        held.filter(|_| !more).ok_or_else(unusable)
    }

    async fn send(&self, base: &str, scope: &str, request: Request) -> Result<Answer, Fault> {
        self.send_for(base, scope, request, ANSWER_BYTES).await
    }

    /// Sends for an answer of so many bytes at most.
    async fn send_for(
        &self,
        base: &str,
        scope: &str,
        request: Request,
        most: usize,
    ) -> Result<Answer, Fault> {
        let bounded = request
            .request_id(self.visit.ids().ours)
            .deadline(self.state.config.source_deadline)
            .answer_bytes(most);
        let party = &self.state.party;
        let sent = party.send_for(self.visit.token(), base, scope, bounded);
        sent.await.map_err(|error| fault(&error))
    }

    /// A Consent of this patient as a holder tells it; `None` for anything else.
    fn held(&self, source: &Source, base: &str, consent: Value) -> Option<Held> {
        let id = LogicalId::parse(consent["id"].as_str()?).ok()?;
        let numbers = self.state.config.person_numbers;
        if consent["resourceType"] != "Consent" || patient(&consent, numbers)? != *self.patient {
            return None;
        }
        let number = format!(
            "{}|{}",
            self.patient.system(),
            self.patient.value().expose()
        );
        // One that is kept from elsewhere is not the one that she made here, though it says the same.
        let made_at = consent["meta"]["source"].as_str().unwrap_or_default();
        let said = canonical(&consent["provision"]);
        let meant = [number.as_bytes(), &said, made_at.as_bytes()].concat();
        Some(Held {
            // Under the gateway's own key: an id in an address tells nobody what it closes, or whose it is.
            meaning: Uuid::from_bytes(self.state.store().keyed("wish", &meant)),
            organisation: source.organisation.clone(),
            url: format!("{base}/Consent/{id}"),
            consent,
        })
    }
}

/// The patient that a Consent names by number.
pub fn patient(consent: &Value, numbers: fhir::ids::PersonNumbers) -> Option<PersonIdentifier> {
    let identifier = &consent["patient"]["identifier"];
    let text = |name: &str| identifier[name].as_str();
    PersonIdentifier::of(text("system"), text("value"), numbers)
}

fn unusable() -> Fault {
    let words = "its answer cannot be used".to_owned();
    (SourceState::Failed, words)
}

fn accepted(answer: &Answer, good: &[StatusCode]) -> Result<(), Fault> {
    match answer.status {
        status if good.contains(&status) => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err((SourceState::Refused, "it refused".to_owned()))
        }
        StatusCode::CONFLICT => {
            let words = "it was made elsewhere, and is taken back there".to_owned();
            Err((SourceState::Refused, words))
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            let words = "it does not take a wish like this".to_owned();
            Err((SourceState::Refused, words))
        }
        status => Err((
            SourceState::Failed,
            format!("it answered {}", status.as_u16()),
        )),
    }
}

fn json(answer: Answer, good: &[StatusCode]) -> Result<Value, Fault> {
    accepted(&answer, good)?;
    answer.json().map_err(|_| unusable())
}

/// The receipt: `complete` did it, `empty` had nothing to do, the others did not. `count` says how much one told.
pub fn receipt<T>(sources: &[Source], heard: &[Heard<T>], count: impl Fn(&T) -> usize) -> Receipt {
    let report = |(source, heard): (&Source, &Heard<T>)| {
        let count = heard.told().map_or(0, &count);
        let (state, reason) = match &heard.told {
            Ok(_) if count == 0 => (SourceState::Empty, None),
            Ok(_) => (SourceState::Complete, None),
            Err((state, reason)) => (*state, Some(reason.clone())),
        };
        SourceReport {
            organisation: source.organisation.clone(),
            name: source.name.clone(),
            endpoint: source.base.clone(),
            state,
            count: count as u64,
            milliseconds: heard.milliseconds,
            as_of: None,
            reason,
        }
    };
    Receipt::new(sources.iter().zip(heard).map(report).collect())
}
