//! Who takes part, by the anchor's signed documents: whose keys are whose, and which supplier may speak for whom. With
//! them a catalogue entry is verified without asking the catalogue whether it is true.
//!
//! Fetched from the configured issuer only and renewed within a minute while the issuer answers; the last good copy serves
//! for 24 h when it does not (threats-and-faults.md section 12). What does not verify never replaces what did, and a
//! document with an older version than one already seen is not taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fhir::resource::InformationService;
use fhir::time::{Instant, Zone};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::Clock;
use trust::jws::{self, Embedded};
use trust::keys::{KeySet, PublicKey};

use crate::client::{Http, PeerError, Request};
use crate::contract::alert::{LONGEST_AGE, MESSAGE_TYP, Message};
use crate::contract::anchor::{
    AGREEMENT_TYP, AGREEMENTS, AgreementDocument, AgreementKind, EVERY_MEMBER, JWKS,
    PARTICIPANT_TYP, PARTICIPANTS, Participant, SignedDocuments,
};
use crate::contract::operate::Standing;
use crate::contract::statement::{LONGEST_LIFE, STATEMENT_TYP, Said, Statement};

const SECOND: i64 = 1_000_000;
/// A copy younger than this is used as it is.
const FRESH: i64 = 40 * SECOND;
/// A copy older than this is renewed before use, if the anchor answers: a suspension is heard of within a minute.
const OLD: i64 = 55 * SECOND;
/// The last good copy is used no longer than this.
const LAST_GOOD: i64 = 24 * 3600 * SECOND;
/// Between fetches, whatever the reason.
const BETWEEN: i64 = 10 * SECOND;
const DEADLINE: Duration = Duration::from_secs(2);
const BYTES: usize = 8 * 1024 * 1024;
/// Clocks may differ by so many seconds (threats-and-faults.md section 2).
const SKEW: i64 = 10;

/// Why a statement is not believed. Holds no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not a compact JWS of this kind, or its claims are not what the contract says.
    #[error("not a statement: {0}")]
    Malformed(&'static str),
    /// Its signer is neither the owner nor its supplier, is unknown, suspended, or the key is not theirs.
    #[error(
        "it is not signed by a key of the owner, or of a supplier that processes for the owner"
    )]
    Signer,
    /// It is from the future, or promises to hold for longer than a week.
    #[error("its times are not acceptable: iat now or before, exp at most a week later")]
    Times,
    /// It has not been said again in time.
    #[error("it has lapsed")]
    Lapsed,
}

/// A statement whose signature, signer and times are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Believed {
    /// What it says.
    pub statement: Statement,
    /// Thumbprint of the key that signed it.
    pub thumbprint: String,
}

impl Believed {
    /// Whether it has not been said again in time.
    pub(crate) fn has_lapsed(&self, now: Instant) -> bool {
        now.seconds() >= self.statement.exp
    }
}

/// The members as the documents tell.
#[derive(Clone, Default)]
pub struct Members {
    participants: HashMap<String, (Participant, Vec<PublicKey>)>,
    agreements: HashMap<String, AgreementDocument>,
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Members({})", self.participants.len())
    }
}

impl Members {
    /// The participant that an organisation number names, its own or a unit's, if its access stands.
    pub fn participant(&self, orgnr: &str) -> Option<&Participant> {
        let (own, _) = self.participants.get(orgnr).or_else(|| {
            let mut all = self.participants.values();
            all.find(|(one, _)| one.units.iter().any(|unit| unit == orgnr))
        })?;
        (own.state == Standing::Active).then_some(own)
    }

    /// Are both bound by an agreement on a shared register (pasientjournalloven § 9) that is in force at `now`?
    pub fn share_a_register(&self, one: &str, other: &str, now: Instant) -> bool {
        let today = today(now);
        self.agreements.values().any(|agreement| {
            let bound = |orgnr: &str| agreement.parties.iter().any(|party| party == orgnr);
            agreement.kind == AgreementKind::SharedRegister
                && in_force(agreement, &today)
                && bound(one)
                && bound(other)
        })
    }

    /// Does `supplier` process for `owner` by an agreement (databehandleravtale) that is in force at `now`?
    pub fn processes_for(&self, supplier: &str, owner: &str, now: Instant) -> bool {
        let mut all = self.processing_for(owner, now).into_iter();
        all.any(|one| one.processor.as_deref() == Some(supplier))
    }

    /// Everybody whose access stands, in the order of their numbers, each with the agreement by which their people read what
    /// `provider` is responsible for at `now`, if there is one: the one that the anchor puts into their tokens. One that names the
    /// reader comes before one for all members, the newest version before older ones, the last by id of those alike.
    pub fn readers(
        &self,
        provider: &str,
        now: Instant,
    ) -> Vec<(&Participant, Option<&AgreementDocument>)> {
        let today = today(now);
        let stands = self.participant(provider).is_some();
        let all = self.agreements.values().filter(|one| {
            stands
                && one.kind == AgreementKind::DataSharing
                && one.provider.as_deref() == Some(provider)
                && in_force(one, &today)
        });
        let every = |one: &AgreementDocument| one.consumer.as_deref() == Some(EVERY_MEMBER);
        // Whose each is: a unit's is its controller's.
        let given: Vec<(Option<&str>, &AgreementDocument)> = all
            .map(|one| {
                let reader = one
                    .consumer
                    .as_deref()
                    .and_then(|who| self.participant(who));
                (reader.map(|who| who.sub.as_str()), one)
            })
            .collect();
        let by = |reader: &Participant| {
            let fitting = given
                .iter()
                .filter(|(whose, one)| every(one) || *whose == Some(reader.sub.as_str()));
            let best = fitting.max_by_key(|(_, one)| (!every(one), one.version, &one.sub));
            best.map(|(_, one)| *one)
        };
        let all = self.participants.values().map(|(one, _)| one);
        let mut readers: Vec<_> = all
            .filter(|one| one.state == Standing::Active)
            .map(|one| (one, by(one)))
            .collect();
        readers.sort_by(|one, other| one.0.sub.cmp(&other.0.sub));
        readers
    }

    /// The agreements (databehandleravtaler) in force at `now` by which others process for `owner`, in the order of their ids.
    pub fn processing_for(&self, owner: &str, now: Instant) -> Vec<&AgreementDocument> {
        let today = today(now);
        let all = self.agreements.values();
        let mut found: Vec<_> = all
            .filter(|one| one.processes_for(owner) && in_force(one, &today))
            .collect();
        found.sort_by(|one, other| one.sub.cmp(&other.sub));
        found
    }

    /// The kinds of information that an agreement on access to each other's data (pasientjournalloven § 19) opens at `now`; `None`
    /// where no agreement of this id is in force.
    pub fn opens(&self, agreement: &str, now: Instant) -> Option<Vec<InformationService>> {
        let found = self
            .agreements
            .get(agreement)
            .filter(|one| one.kind == AgreementKind::DataSharing && in_force(one, &today(now)))?;
        let kinds = found.services.iter();
        Some(kinds.filter_map(|one| one.parse().ok()).collect())
    }

    /// May `signer` speak for `owner` at `now`?
    fn speaks_for(&self, signer: &str, owner: &str, now: Instant) -> bool {
        signer == owner || self.processes_for(signer, owner, now)
    }

    /// Verifies a statement at `now`: kind, claims, signer, signature, times. That it has lapsed is told apart, for a
    /// catalogue shows what has.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn verify(&self, jws: &str, now: Instant) -> Result<Believed, StatementError> {
        let believed = self.verify_once(jws, now)?;
        if believed.has_lapsed(now) {
            return Err(StatementError::Lapsed);
        }
        Ok(believed)
    }

    /// As [`Members::verify`], also of what was true once and has not been said again.
    pub(crate) fn verify_once(&self, text: &str, now: Instant) -> Result<Believed, StatementError> {
        let malformed = |_| StatementError::Malformed("a compact JWS of the right typ");
        let compact = jws::parse(text, Embedded::Refused).map_err(malformed)?;
        compact.require_typ(STATEMENT_TYP).map_err(malformed)?;
        let kid = compact.header.kid.clone();
        // Whose key is to be tried stands in what is not yet believed; only a key of that organisation makes it believed.
        let claimed = claims::<Statement>(unverified(text).as_deref().unwrap_or_default())?;
        let signer = self.participant(&claimed.iss);
        let signer = signer.filter(|one| one.sub == claimed.iss);
        let keys = signer.and_then(|one| self.participants.get(&one.sub));
        let named = keys.into_iter().flat_map(|(_, keys)| keys);
        let (key, payload) = named
            .filter(|key| key.kid() == kid.as_deref())
            .find_map(|key| Some((key, compact.verify(key).ok()?)))
            .ok_or(StatementError::Signer)?;
        let statement = claims::<Statement>(payload)?;
        let owner = self.participant(&statement.owner);
        if owner.is_none_or(|owner| owner.sub != statement.owner)
            || !self.speaks_for(&statement.iss, &statement.owner, now)
        {
            return Err(StatementError::Signer);
        }
        let life = statement.exp.saturating_sub(statement.iat);
        if statement.iat > now.seconds().saturating_add(SKEW) || !(1..=LONGEST_LIFE).contains(&life)
        {
            return Err(StatementError::Times);
        }
        if statement.resource.is_some() == (statement.said == Said::Withdrawn) {
            return Err(StatementError::Malformed(
                "a resource in what is listed, none in a withdrawal",
            ));
        }
        Ok(Believed {
            statement,
            thumbprint: key.thumbprint().to_owned(),
        })
    }

    /// Verifies a message between services at `now`: kind, claims, signature by a key of the organisation itself, age.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn verify_message(&self, text: &str, now: Instant) -> Result<Message, StatementError> {
        let malformed = |_| StatementError::Malformed("a compact JWS of the right typ");
        let compact = jws::parse(text, Embedded::Refused).map_err(malformed)?;
        compact.require_typ(MESSAGE_TYP).map_err(malformed)?;
        let kid = compact.header.kid.clone();
        let claimed = claims::<Message>(unverified(text).as_deref().unwrap_or_default())?;
        let signer = self.participant(&claimed.iss);
        let signer = signer.filter(|one| one.sub == claimed.iss);
        let keys = signer.and_then(|one| self.participants.get(&one.sub));
        let payload = keys
            .into_iter()
            .flat_map(|(_, keys)| keys)
            .filter(|key| key.kid() == kid.as_deref())
            .find_map(|key| compact.verify(key).ok())
            .ok_or(StatementError::Signer)?;
        let message = claims::<Message>(payload)?;
        let age = now.seconds().saturating_sub(message.iat);
        if !(-SKEW..=LONGEST_AGE).contains(&age) {
            return Err(StatementError::Times);
        }
        Ok(message)
    }

    /// Whose service signed these bytes, which stand elsewhere, by a key of its participant document; `None`: no member's whose access
    /// stands.
    pub fn signed_detached(&self, text: &str, typ: &str, payload: &[u8]) -> Option<&Participant> {
        let active = self
            .participants
            .values()
            .filter(|(one, _)| one.state == Standing::Active);
        active
            .filter_map(|(one, keys)| Some((one, KeySet::of(keys.clone()).ok()?)))
            .find(|(_, keys)| jws::verify_detached(text, typ, payload, keys).is_ok())
            .map(|(one, _)| one)
    }

    /// Reads the two lists. What does not verify is left out; of two versions the newer counts.
    fn read(
        participants: &SignedDocuments,
        agreements: &SignedDocuments,
        keys: &KeySet,
        issuer: &str,
    ) -> Self {
        let mut found = Self::default();
        for text in &participants.0 {
            let Some(one) = document::<Participant>(text, PARTICIPANT_TYP, keys) else {
                continue;
            };
            let own = one
                .keys
                .iter()
                .filter_map(|key| PublicKey::from_jwk_value(key).ok());
            let own = own.collect();
            let held = found.participants.get(&one.sub);
            if one.iss == issuer && held.is_none_or(|(held, _)| held.version < one.version) {
                found.participants.insert(one.sub.clone(), (one, own));
            }
        }
        for text in &agreements.0 {
            let Some(one) = document::<AgreementDocument>(text, AGREEMENT_TYP, keys) else {
                continue;
            };
            let held = found.agreements.get(&one.sub);
            if one.iss == issuer && held.is_none_or(|held| held.version < one.version) {
                found.agreements.insert(one.sub.clone(), one);
            }
        }
        found
    }

    /// What is known now, with the newer of each document: a list that lost something is believed, an older version is not.
    /// Beside it whether anything was older.
    fn after(self, held: &Self) -> (Self, bool) {
        let (mut newer, mut held_back) = (self, false);
        for (sub, one) in &mut newer.participants {
            if let Some(old) = held
                .participants
                .get(sub)
                .filter(|old| old.0.version > one.0.version)
            {
                tracing::warn!(
                    "the anchor published an older participant document; the newer is kept"
                );
                *one = old.clone();
                held_back = true;
            }
        }
        for (sub, one) in &mut newer.agreements {
            if let Some(old) = held
                .agreements
                .get(sub)
                .filter(|old| old.version > one.version)
            {
                tracing::warn!("the anchor published an older agreement; the newer is kept");
                *one = old.clone();
                held_back = true;
            }
        }
        (newer, held_back)
    }
}

impl AgreementDocument {
    fn processes_for(&self, owner: &str) -> bool {
        self.kind == AgreementKind::DataProcessing
            && self.parties.iter().any(|party| party == owner)
    }
}

fn in_force(one: &AgreementDocument, today: &str) -> bool {
    one.signed
        && one.state == Standing::Active
        && one.from.as_str() <= today
        && one.until.as_deref().is_none_or(|until| today <= until)
}

/// The day it is in Norway, where agreements count.
fn today(now: Instant) -> String {
    let (year, month, day) = Zone::default().day_of(now);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The payload of a compact JWS, not yet believed.
fn unverified(text: &str) -> Option<Vec<u8>> {
    trust::encoding::from_base64url(text.split('.').nth(1)?)
}

/// Claims, read strictly.
fn claims<T: DeserializeOwned>(payload: &[u8]) -> Result<T, StatementError> {
    let malformed = StatementError::Malformed("the claims of the contract");
    let claims = jws::claims(payload).map_err(|_| malformed)?;
    serde_json::from_value(claims.into()).map_err(|_| malformed)
}

/// One of the anchor's own documents, if it verifies.
fn document<T: DeserializeOwned>(text: &str, typ: &str, keys: &KeySet) -> Option<T> {
    let read = || {
        let compact = jws::parse(text, Embedded::Refused).ok()?;
        compact.require_typ(typ).ok()?;
        let claims = jws::claims(compact.verify_with(keys).ok()?).ok()?;
        serde_json::from_value(claims.into()).ok()
    };
    let found = read();
    if found.is_none() {
        tracing::warn!(
            typ,
            "a document of the anchor does not verify; it is left out"
        );
    }
    found
}

/// The anchor's documents as they were fetched: what [`Members`] are read from, and can be read from again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Documents {
    /// The issuer's key set, as text.
    pub keys: String,
    /// The participants, signed.
    pub participants: SignedDocuments,
    /// The agreements, signed.
    pub agreements: SignedDocuments,
    /// When they were fetched.
    pub at: Instant,
}

impl Documents {
    /// The members that `issuer` vouches for in them, as far as they verify.
    ///
    /// # Errors
    /// [`PeerError::Unusable`] when no key, or no participant, can be read.
    pub fn read(&self, issuer: &str) -> Result<Members, PeerError> {
        let keys = KeySet::parse(self.keys.as_bytes())
            .ok()
            .filter(|keys| !keys.keys().is_empty())
            .ok_or(PeerError::Unusable("the anchor's key set cannot be read"))?;
        let members = Members::read(&self.participants, &self.agreements, &keys, issuer);
        if members.participants.is_empty() {
            return Err(PeerError::Unusable("no participant document verifies"));
        }
        Ok(members)
    }
}

/// The members as we hold them. Clones share one copy.
#[derive(Clone)]
pub struct MemberBook {
    inner: Arc<Inner>,
}

struct Inner {
    issuer: String,
    http: Http,
    clock: Clock,
    held: Mutex<Held>,
    /// Held while a fetch is under way: the others wait for its end.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    members: Option<(Arc<Members>, Instant)>,
    /// What they were read from, last.
    documents: Option<Documents>,
    attempted: Option<Instant>,
    /// Whether the last attempt gave nothing that could be used.
    failed: bool,
}

impl MemberBook {
    /// The members that `issuer` vouches for.
    pub fn new(issuer: &str, http: Http, clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner {
                issuer: issuer.to_owned(),
                http,
                clock,
                held: Mutex::default(),
                fetching: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The members now; `None` when nothing good is held and the issuer gives nothing.
    pub async fn current(&self) -> Option<Arc<Members>> {
        match self.age() {
            Some(age) if age < FRESH => {}
            Some(age) if age < OLD => {
                let behind = self.clone();
                tokio::spawn(async move { behind.renew().await });
            }
            _ => self.renew().await,
        }
        self.last_good()
    }

    /// As [`MemberBook::current`], after a statement that did not verify: a key or an agreement may be new.
    pub async fn renewed(&self) -> Option<Arc<Members>> {
        self.renew().await;
        self.last_good()
    }

    /// The documents that were fetched last, for a copy that outlives the process; `None` before any was good.
    pub fn documents(&self) -> Option<Documents> {
        self.held().documents.clone()
    }

    /// Lays what was fetched before this process began in the place of nothing: it serves while the anchor is silent, and no longer
    /// than a day from when it was fetched.
    ///
    /// # Errors
    /// Why it does not verify.
    pub fn remember(&self, documents: Documents) -> Result<(), PeerError> {
        let members = documents.read(&self.inner.issuer)?;
        let mut held = self.held();
        if held.members.is_none() {
            held.members = Some((Arc::new(members), documents.at));
            held.documents = Some(documents);
        }
        Ok(())
    }

    /// When the copy in use was fetched, where it is an old one because the issuer gives nothing newer. Asks behind when it is time to,
    /// so that somebody who only looks keeps nobody waiting.
    pub fn old(&self) -> Option<Instant> {
        let age = self.age();
        let held = self.held();
        let old = age.is_some_and(|age| age >= OLD) && held.failed;
        let at = held.members.as_ref().map(|(_, at)| *at);
        drop(held);
        if age.is_none_or(|age| age >= FRESH) {
            let behind = self.clone();
            tokio::spawn(async move { behind.renew().await });
        }
        at.filter(|_| old)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.inner
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn age(&self) -> Option<i64> {
        let now = (self.inner.clock)();
        let held = self.held();
        // A clock that jumped back makes the copy look new, never negative.
        held.members
            .as_ref()
            .map(|(_, at)| now.0.saturating_sub(at.0).max(0))
    }

    fn last_good(&self) -> Option<Arc<Members>> {
        self.age().filter(|age| *age < LAST_GOOD)?;
        self.held()
            .members
            .as_ref()
            .map(|(members, _)| members.clone())
    }

    async fn renew(&self) {
        let _one_at_a_time = self.inner.fetching.lock().await;
        let now = (self.inner.clock)();
        {
            let mut held = self.held();
            let since = held.attempted.map(|last| now.0.saturating_sub(last.0));
            let between = if held.members.is_some() {
                BETWEEN
            } else {
                SECOND
            };
            if since.is_some_and(|since| (0..between).contains(&since)) {
                return;
            }
            held.attempted = Some(now);
        }
        match self.fetch(now).await {
            Ok((members, documents)) => {
                let mut held = self.held();
                let (members, held_back) = match &held.members {
                    Some((old, _)) => members.after(old),
                    None => (members, false),
                };
                held.members = Some((Arc::new(members), now));
                held.failed = false;
                // What is older than what is known is not what another start should begin with.
                if !held_back {
                    held.documents = Some(documents);
                }
            }
            Err(error) => {
                self.held().failed = true;
                tracing::warn!(%error, "the anchor's documents could not be read; the last good ones are kept");
            }
        }
    }

    async fn fetch(&self, now: Instant) -> Result<(Members, Documents), PeerError> {
        let get = |path: &str| {
            Request::get(format!("{}{path}", self.inner.issuer))
                .deadline(DEADLINE)
                .answer_bytes(BYTES)
        };
        let (keys, participants, agreements) = (get(JWKS), get(PARTICIPANTS), get(AGREEMENTS));
        let http = &self.inner.http;
        let (keys, participants, agreements) = tokio::try_join!(
            http.send(&keys),
            http.send(&participants),
            http.send(&agreements)
        )?;
        let documents = Documents {
            keys: String::from_utf8(keys.body.to_vec())
                .map_err(|_| PeerError::Unusable("the anchor's key set cannot be read"))?,
            participants: participants.json()?,
            agreements: agreements.json()?,
            at: now,
        };
        Ok((documents.read(&self.inner.issuer)?, documents))
    }
}
