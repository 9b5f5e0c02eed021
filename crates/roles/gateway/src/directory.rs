//! The catalogue as the gateway holds it: which addresses an organisation's data is reached by. Kept in memory for a
//! minute, for it says nothing about any patient; the last good copy serves when the catalogue is silent.

use crate::deadline::Deadline;
use fhir::ids::OrganisationNumber;
use fhir::time::Instant;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Clock;
use url::Url;
use uuid::Uuid;
use wire::client::{Party, PeerError, Request};
use wire::contract::catalogue::{self, BY_ORGANISATION, Endpoint, READ_SCOPE};
use wire::entries::Reader;
use wire::members::MemberBook;

/// How long a copy is used without asking again, in microseconds.
const FRESH: i64 = 60 * 1_000_000;
/// Organisations kept at most; with more, the old go first, then all.
const KEPT: usize = 5_000;
/// Largest answer taken.
const ANSWER_BYTES: usize = 1024 * 1024;
/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// The catalogue, asked and remembered.
pub struct Directory {
    base: String,
    /// How long the last good copy serves while the catalogue is silent, in microseconds.
    grace: i64,
    party: Party,
    clock: Clock,
    /// Believes what an entry's owner signed, and not the catalogue.
    reader: Reader,
    kept: Mutex<HashMap<OrganisationNumber, Kept>>,
    /// Since when the catalogue gives no usable answer; none: it does.
    silent_since: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Kept {
    endpoints: Arc<[Endpoint]>,
    at: Instant,
}

impl Directory {
    /// The catalogue at `base` (`{catalogue}`), asked with the gateway's own client; `members` are whose word counts.
    pub fn new(
        base: &Url,
        grace: Duration,
        party: Party,
        members: MemberBook,
        clock: Clock,
    ) -> Directory {
        let base = format!("{}{}", base.as_str().trim_end_matches('/'), catalogue::FHIR);
        Directory {
            base,
            grace: i64::try_from(grace.as_micros()).unwrap_or(i64::MAX),
            party,
            reader: Reader::new(members, clock.clone()),
            clock,
            kept: Mutex::default(),
            silent_since: Mutex::default(),
        }
    }

    /// The endpoints that an organisation manages or takes part in.
    ///
    /// # Errors
    /// When the catalogue gives no usable answer and no copy is left.
    pub async fn endpoints(
        &self,
        organisation: OrganisationNumber,
        request: Uuid,
        deadline: &Deadline,
    ) -> Result<Arc<[Endpoint]>, PeerError> {
        let held = self.held(organisation);
        if let Some(held) = held.as_ref().filter(|held| self.age(held) < FRESH) {
            return Ok(held.endpoints.clone());
        }
        let answered = deadline
            .or_after(DEADLINE)
            .within(self.ask(organisation, request))
            .await;
        match answered.unwrap_or(Err(PeerError::Late)) {
            Ok(endpoints) => {
                *self.silence() = None;
                self.keep(organisation, &endpoints);
                Ok(endpoints)
            }
            Err(error) => {
                let now = (self.clock)();
                self.silence().get_or_insert(now);
                tracing::warn!(%error, "the catalogue gave no usable answer");
                held.filter(|held| self.age(held) < self.grace)
                    .map(|held| held.endpoints)
                    .ok_or(error)
            }
        }
    }

    /// What a receipt should say besides its sources: that addresses come from a copy, and since when.
    pub fn notices(&self) -> Vec<String> {
        let silent = *self.silence();
        let oldest = || self.lock().values().map(|kept| kept.at).min();
        silent
            .map(|since| {
                let copy = oldest().map_or_else(String::new, |at| {
                    format!("; the oldest copy in use is of {}", Instant::from_seconds(at.seconds()))
                });
                let since = Instant::from_seconds(since.seconds());
                format!("the catalogue gives no usable answer since {since}: addresses are those last known{copy}")
            })
            .into_iter()
            .collect()
    }

    async fn ask(
        &self,
        organisation: OrganisationNumber,
        request: Uuid,
    ) -> Result<Arc<[Endpoint]>, PeerError> {
        let token = catalogue::organisation_token(organisation.as_str());
        let request = Request::post_form(
            format!("{}/Endpoint/_search", self.base),
            [(BY_ORGANISATION, token.as_str())],
        )
        .request_id(request)
        .deadline(DEADLINE)
        .answer_bytes(ANSWER_BYTES);
        let answer = self.party.send(&self.base, READ_SCOPE, request).await?;
        let bundle: serde_json::Value = answer.json()?;
        let found =
            catalogue::matches(&bundle).map_err(|_| PeerError::Unusable("not a searchset"))?;
        let mut endpoints = Vec::with_capacity(found.len());
        for entry in found {
            // One broken or forged entry hides itself, not its neighbours.
            match self.reader.believe(entry).await {
                Ok(entry) => match Endpoint::from_json(&entry) {
                    Ok(endpoint) => endpoints.push(endpoint),
                    Err(error) => {
                        tracing::warn!(%error, "an entry of the catalogue cannot be used");
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "an entry of the catalogue is not believed");
                }
            }
        }
        Ok(endpoints.into())
    }

    fn keep(&self, organisation: OrganisationNumber, endpoints: &Arc<[Endpoint]>) {
        let at = (self.clock)();
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.retain(|_, one| age(at, one) < FRESH);
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(
            organisation,
            Kept {
                endpoints: endpoints.clone(),
                at,
            },
        );
    }

    fn held(&self, organisation: OrganisationNumber) -> Option<Kept> {
        self.lock().get(&organisation).cloned()
    }

    fn age(&self, held: &Kept) -> i64 {
        age((self.clock)(), held)
    }

    fn silence(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OrganisationNumber, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that jumped back makes a copy look new, never negative.
fn age(now: Instant, held: &Kept) -> i64 {
    now.0.saturating_sub(held.at.0).max(0)
}
