//! The catalogue as the gateway holds it: which addresses an organisation's data is reached by. Kept in memory for a
//! minute, for it says nothing about any patient; the last good copy serves when the catalogue is silent, after a restart
//! too (`bad_days.rs`). While it lets whoever asks wait in vain, the copy serves at once, and one question at a time is asked behind.
//! An older version of an entry than one told before is not believed, after a restart either.

use crate::deadline::Deadline;
use fhir::ids::OrganisationNumber;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Clock;
use tokio::sync::Notify;
use url::Url;
use uuid::Uuid;
use wire::client::{Party, PeerError, Request};
use wire::contract::catalogue::{self, BY_ORGANISATION, Endpoint, READ_SCOPE};
use wire::contract::statement::{LONGEST_LIFE, carried};
use wire::entries::{Reader, reference};
use wire::members::MemberBook;

/// How long a copy is used without asking again, in microseconds.
const FRESH: i64 = 60 * 1_000_000;
/// A copy on disk that says the same is written anew after so long, so that it does not grow old meanwhile, in microseconds.
const NOTED: i64 = 600 * 1_000_000;
/// How long what was told is kept on disk at least, in microseconds: as long as a statement may live, so that no older one is believed
/// in its place. It serves no longer than the grace.
const REMEMBERED: i64 = LONGEST_LIFE * 1_000_000;
/// Organisations kept at most; with more, the old go first, then all.
const KEPT: usize = 5_000;
/// Largest answer taken.
const ANSWER_BYTES: usize = 1024 * 1024;
/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// What was last told about an organisation's entries, as it was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The organisation.
    pub organisation: OrganisationNumber,
    /// When.
    pub at: Instant,
    /// The entries with their owners' statements.
    pub entries: Vec<Value>,
}

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
    /// What was told before this start, by organisation; used only while the catalogue is silent, and believed anew then.
    before: HashMap<OrganisationNumber, Told>,
    /// Given when what is kept says something else than the copy on disk.
    changed: Notify,
    /// That the catalogue gives no usable answer; none: it does.
    silence: Mutex<Option<Silence>>,
    /// Held by the one question that is asked behind.
    behind: Arc<tokio::sync::Mutex<()>>,
}

/// That the catalogue gives no usable answer.
#[derive(Clone, Copy)]
struct Silence {
    since: Instant,
    /// The last question was waited for in vain, which costs whoever waits.
    late: bool,
}

#[derive(Clone)]
struct Kept {
    endpoints: Arc<[Endpoint]>,
    /// What they were read from.
    entries: Arc<[Value]>,
    at: Instant,
    /// When the copy on disk was last asked for because of it.
    noted: Instant,
}

impl Directory {
    /// The catalogue at `base` (`{catalogue}`), asked with the gateway's own client; `members` are whose word counts, `before` is what
    /// it told before this start.
    pub fn new(
        base: &Url,
        grace: Duration,
        party: Party,
        members: MemberBook,
        before: Vec<Told>,
        clock: Clock,
    ) -> Directory {
        let base = format!("{}{}", base.as_str().trim_end_matches('/'), catalogue::FHIR);
        let reader = Reader::new(members, clock.clone());
        let reader = reader.having_read(before.iter().flat_map(|one| &one.entries));
        Directory {
            base,
            grace: i64::try_from(grace.as_micros()).unwrap_or(i64::MAX),
            party,
            reader,
            clock,
            kept: Mutex::default(),
            before: before
                .into_iter()
                .map(|one| (one.organisation, one))
                .collect(),
            changed: Notify::new(),
            silence: Mutex::default(),
            behind: Arc::default(),
        }
    }

    /// The endpoints that an organisation manages or takes part in.
    ///
    /// # Errors
    /// When the catalogue gives no usable answer and no copy is left.
    pub async fn endpoints(
        self: &Arc<Self>,
        organisation: OrganisationNumber,
        request: Uuid,
        deadline: &Deadline,
    ) -> Result<Arc<[Endpoint]>, PeerError> {
        let held = self.held(organisation);
        if let Some(held) = held.filter(|held| self.age(held) < FRESH) {
            return Ok(held.endpoints);
        }
        if self.silence().is_some_and(|silence| silence.late)
            && let Some(copy) = self.copy(organisation, deadline).await
        {
            self.ask_behind(organisation, request);
            return Ok(copy);
        }
        match self.renewed(organisation, request, deadline).await {
            Ok(endpoints) => Ok(endpoints),
            Err(error) => self.copy(organisation, deadline).await.ok_or(error),
        }
    }

    /// The last good copy within grace, from before this start too.
    async fn copy(
        &self,
        organisation: OrganisationNumber,
        deadline: &Deadline,
    ) -> Option<Arc<[Endpoint]>> {
        let held = match self.held(organisation) {
            Some(held) => Some(held),
            None => deadline
                .within(self.told_before(organisation))
                .await
                .flatten(),
        };
        held.filter(|held| self.age(held) < self.grace)
            .map(|held| held.endpoints)
    }

    /// Asks the catalogue, and keeps what it told.
    async fn renewed(
        &self,
        organisation: OrganisationNumber,
        request: Uuid,
        deadline: &Deadline,
    ) -> Result<Arc<[Endpoint]>, PeerError> {
        let answered = deadline
            .or_after(DEADLINE)
            .within(self.ask(organisation, request))
            .await;
        match answered.unwrap_or(Err(PeerError::Late)) {
            Ok((endpoints, entries)) => {
                *self.silence() = None;
                self.keep(organisation, &endpoints, entries, (self.clock)());
                Ok(endpoints)
            }
            Err(error) => {
                let late = matches!(error, PeerError::Late);
                // That somebody else took our time is no silence of the catalogue's.
                if !(late && deadline.has_passed()) {
                    let now = (self.clock)();
                    let mut silence = self.silence();
                    let since = silence.map_or(now, |silence| silence.since);
                    *silence = Some(Silence { since, late });
                }
                tracing::warn!(%error, "the catalogue gave no usable answer");
                Err(error)
            }
        }
    }

    /// Asks without anybody waiting for it; one at a time.
    fn ask_behind(self: &Arc<Self>, organisation: OrganisationNumber, request: Uuid) {
        if let Ok(alone) = self.behind.clone().try_lock_owned() {
            let directory = self.clone();
            tokio::spawn(async move {
                let deadline = Deadline::after(DEADLINE.saturating_mul(2));
                let asked = directory.renewed(organisation, request, &deadline).await;
                // What became of it is noted; nobody waits for it.
                drop((asked, alone));
            });
        }
    }

    /// What was told before this start, believed as if it were told now.
    async fn told_before(&self, organisation: OrganisationNumber) -> Option<Kept> {
        let told = self.before.get(&organisation)?;
        if age((self.clock)(), told.at) >= self.grace {
            return None;
        }
        let (endpoints, _) = self.believed(organisation, told.entries.iter()).await;
        let endpoints: Arc<[Endpoint]> = endpoints.into();
        // Somebody is listed, and nobody can be believed: that is no answer.
        if endpoints.is_empty() && !told.entries.is_empty() {
            return None;
        }
        self.keep(
            organisation,
            &endpoints,
            told.entries.clone().into(),
            told.at,
        );
        self.held(organisation)
    }

    /// What is to stand in the copy on disk: what was told here, and what was told before and not since.
    pub fn told(&self) -> Vec<Told> {
        let kept = self.lock();
        let now = kept.iter().map(|(organisation, one)| Told {
            organisation: *organisation,
            at: one.at,
            entries: one.entries.to_vec(),
        });
        let before = self.before.values();
        let before = before.filter(|one| !kept.contains_key(&one.organisation));
        let remembered = self.grace.max(REMEMBERED);
        let young = |one: &Told| age((self.clock)(), one.at) < remembered;
        let mut told: Vec<Told> = now.chain(before.cloned()).filter(young).collect();
        told.sort_by_key(|one| one.organisation);
        told
    }

    /// Waits until the copy on disk should be written anew.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What a receipt should say besides its sources: that addresses come from a copy, and since when.
    pub fn notices(&self) -> Vec<String> {
        let silent = *self.silence();
        let oldest = || self.lock().values().map(|kept| kept.at).min();
        silent
            .map(|Silence { since, .. }| {
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
    ) -> Result<(Arc<[Endpoint]>, Arc<[Value]>), PeerError> {
        let token = catalogue::organisation_token(organisation.as_str());
        let request = Request::post_form(
            format!("{}/Endpoint/_search", self.base),
            [(BY_ORGANISATION, token.as_str())],
        )
        .request_id(request)
        .deadline(DEADLINE)
        .answer_bytes(ANSWER_BYTES);
        let answer = self.party.send(&self.base, READ_SCOPE, request).await?;
        let bundle: Value = answer.json()?;
        let found =
            catalogue::matches(&bundle).map_err(|_| PeerError::Unusable("not a searchset"))?;
        let (endpoints, refused) = self.believed(organisation, found.iter().copied()).await;
        // What is not believed takes the place of nothing that was: else the next start would know less than this one.
        let held = self.held(organisation).map(|held| held.entries);
        let before = self.before.get(&organisation).map(|one| &one.entries[..]);
        let known = held.as_deref().or(before).unwrap_or_default();
        let kept = |entry: &Value| {
            let about = reference(entry);
            let earlier = known.iter().find(|one| reference(one) == about);
            let earlier = earlier.filter(|_| refused.contains(&about));
            earlier.unwrap_or(entry).clone()
        };
        let entries: Arc<[Value]> = found.into_iter().map(kept).collect();
        Ok((endpoints.into(), entries))
    }

    /// The Endpoints that can be believed to lead to an organisation's data, and the entries that are not believed. One broken or forged
    /// entry hides itself, not its neighbours.
    async fn believed(
        &self,
        organisation: OrganisationNumber,
        entries: impl Iterator<Item = &Value>,
    ) -> (Vec<Endpoint>, BTreeSet<String>) {
        let mut endpoints = Vec::new();
        let mut refused = BTreeSet::new();
        for entry in entries {
            match self.reader.believe(entry).await {
                Ok(believed) => match Endpoint::from_json(&believed) {
                    // Nobody's patient is asked about elsewhere because a catalogue says so: of what is signed, the anchor's
                    // documents must say that it is this organisation's, or a register's that it is a member of.
                    Ok(endpoint)
                        if carried(entry).is_some()
                            && !self
                                .reader
                                .reaches(organisation.as_str(), &endpoint.managing)
                                .await =>
                    {
                        tracing::warn!(
                            endpoint = endpoint.id,
                            "an entry of the catalogue is not this organisation's to be reached by"
                        );
                    }
                    Ok(endpoint) => endpoints.push(endpoint),
                    Err(error) => {
                        tracing::warn!(%error, "an entry of the catalogue cannot be used");
                    }
                },
                Err(error) => {
                    refused.insert(reference(entry));
                    tracing::warn!(%error, "an entry of the catalogue is not believed");
                }
            }
        }
        (endpoints, refused)
    }

    fn keep(
        &self,
        organisation: OrganisationNumber,
        endpoints: &Arc<[Endpoint]>,
        entries: Arc<[Value]>,
        at: Instant,
    ) {
        let now = (self.clock)();
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.retain(|_, one| age(now, one.at) < FRESH);
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        let held = kept.get(&organisation);
        let noted = held.filter(|held| held.entries == entries && age(now, held.noted) < NOTED);
        let noted = noted.map(|held| held.noted);
        kept.insert(
            organisation,
            Kept {
                endpoints: endpoints.clone(),
                entries,
                at,
                noted: noted.unwrap_or(now),
            },
        );
        if noted.is_none() {
            self.changed.notify_one();
        }
    }

    fn held(&self, organisation: OrganisationNumber) -> Option<Kept> {
        self.lock().get(&organisation).cloned()
    }

    fn age(&self, held: &Kept) -> i64 {
        age((self.clock)(), held.at)
    }

    fn silence(&self) -> MutexGuard<'_, Option<Silence>> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OrganisationNumber, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that jumped back makes a copy look new, never negative.
fn age(now: Instant, at: Instant) -> i64 {
    now.0.saturating_sub(at.0).max(0)
}

#[cfg(test)]
mod tests;
