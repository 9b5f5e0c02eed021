//! The guard in front of every protected route (threats-and-faults.md section 3; RFC 9449 section 7; RFC 9068): one
//! `Authorization: DPoP`, one proof, a token of the configured issuer for exactly this audience, a proof for exactly this
//! request. A refusal of something that carried a token leaves an audit record, as long as neither strangers nor those who have seen
//! a token come in floods; a request without credentials is only counted.

pub(crate) mod keyset;
mod strangers;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;
use http::{HeaderMap, header};
use store::{Change, Store, StoreError};
use trust::audit::Record;
use trust::encoding::sha256;
use trust::keys::KeySet;
use trust::token::TokenError;
use trust::token::foreign::{self, Foreign};
use trust::token::memory::{Memory, Standing};
use trust::{Caller, Interaction, Replay, dpop};

use crate::House;
use crate::outcome::{Challenge, Problem};
use crate::request_id::RequestIds;
use keyset::HeldKeys;
use strangers::Strangers;

/// What a guard must know. All of it is configuration; nothing is taken from the request's `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardConfig {
    /// The issuer, exactly as in tokens.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_url: String,
    /// The one audience of tokens for these routes (CONTRACT section 1), for example `{hub}/fhir`.
    pub audience: String,
    /// The role's base URL, to which the paths of its router are relative, for example `{hub}`. Proofs are compared with
    /// this and the path.
    pub base: String,
}

/// An issuer besides the anchor whose tokens some of our services take (HelseID), by configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherIssuer {
    /// Where its keys are.
    pub jwks_url: String,
    /// What each of our services knows of it, by the audience that the service has among us.
    pub services: HashMap<String, Foreign>,
}

/// Guards one audience of one role. Clones share the key set.
#[derive(Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

struct Inner {
    config: GuardConfig,
    store: Store,
    clock: store::Clock,
    anchor: Issuer,
    /// The other issuer, if this audience takes its tokens.
    other: Option<(Foreign, Issuer)>,
    without_credentials: AtomicU64,
    /// Without a token that stands.
    strangers: Mutex<Strangers>,
    /// With one, and without a proof that counts: anybody who has seen it, or a request of its owner's.
    unproven: Mutex<Strangers>,
}

/// What is held of one issuer: its keys, and its tokens that were verified here and have not ended.
struct Issuer {
    keys: HeldKeys,
    known: Memory,
}

/// A caller that proved who it is.
pub struct Verified {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// To be committed with the interaction's audit record: a proof counts once.
    pub replay: Replay,
    /// The token as received, for a gateway's exchange. Never logged.
    pub token: String,
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verified({})", self.caller.client_id)
    }
}

/// Why a request was not admitted, before it is told and audited.
struct Refused {
    challenge: Challenge,
    code: &'static str,
    words: String,
    /// Known when the token stood and the proof did not.
    caller: Option<Arc<Caller>>,
}

impl Refused {
    fn token(words: impl Into<String>) -> Self {
        Self {
            challenge: Challenge::InvalidToken,
            code: "invalid_token",
            words: words.into(),
            caller: None,
        }
    }

    fn proof(words: impl Into<String>) -> Self {
        Self {
            challenge: Challenge::InvalidProof,
            code: "invalid_dpop_proof",
            words: words.into(),
            caller: None,
        }
    }
}

/// What the headers carried.
enum Credentials<'a> {
    None,
    Token { token: &'a str, proof: &'a str },
    Wrong(Refused),
}

impl Guard {
    /// A guard that writes its audit records to `store` and fetches keys with the house's client.
    pub fn new(config: GuardConfig, store: Store, house: &House) -> Self {
        let issuer = |url: &str, read| Issuer {
            keys: HeldKeys::new(
                url.to_owned(),
                read,
                house.http.clone(),
                house.clock.clone(),
            ),
            known: Memory::default(),
        };
        let anchor = issuer(&config.jwks_url, KeySet::parse);
        let other = house.other_issuer.as_ref().and_then(|other| {
            let foreign = other.services.get(&config.audience)?.clone();
            Some((foreign, issuer(&other.jwks_url, KeySet::parse_foreign)))
        });
        let inner = Inner {
            config,
            store,
            clock: house.clock.clone(),
            anchor,
            other,
            without_credentials: AtomicU64::new(0),
            strangers: Mutex::new(Strangers::none()),
            unproven: Mutex::new(Strangers::none()),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Remembers the anchor's key set as it was fetched at `at`, before this process began: it serves while the anchor is silent,
    /// no longer than one that was fetched here.
    pub fn remember_keys(&self, jwks: &[u8], at: fhir::time::Instant) {
        self.inner.anchor.keys.remember(jwks, at);
    }

    /// The audience it guards.
    pub fn audience(&self) -> &str {
        &self.inner.config.audience
    }

    /// Requests without credentials so far.
    pub fn without_credentials(&self) -> u64 {
        self.inner.without_credentials.load(Ordering::Relaxed)
    }

    /// Verifies a request's credentials. `interaction` and `asked` go into the audit record of a refusal, which is
    /// durable when this returns.
    ///
    /// # Errors
    /// 401 with the challenge that fits, or 503 when there are no keys to verify with or the audit record of a refusal
    /// cannot be written.
    pub async fn admit(
        &self,
        parts: &Parts,
        ids: &RequestIds,
        interaction: Interaction,
        asked: &str,
    ) -> Result<Verified, Problem> {
        let refused = match credentials(&parts.headers) {
            Credentials::None => {
                let counted = &self.inner.without_credentials;
                let before = counted.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(before, "a request without credentials");
                return Err(Problem::unauthenticated(
                    Challenge::Plain,
                    "a DPoP-bound access token is needed",
                ));
            }
            Credentials::Wrong(refused) => refused,
            Credentials::Token { .. } if names_token(parts.uri.query()) => {
                Refused::token("a token in the URL is not accepted")
            }
            Credentials::Token { token, proof } => match self.verify(parts, token, proof).await? {
                Ok(verified) => return Ok(verified),
                Err(refused) => refused,
            },
        };
        let record = self.record(ids, interaction, asked);
        let record = match &refused.caller {
            Some(caller) => self.room_for_the_unproven().then(|| record.by(caller)),
            None => self.room_for_a_stranger().then_some(record),
        };
        if let Some(record) = record {
            self.audited(record.unauthenticated(refused.code)).await?;
        }
        Err(Problem::unauthenticated(refused.challenge, refused.words))
    }

    /// Whose a request's token is, where it was verified here before and stands. Nothing is proven by it, since anybody may have seen a token: it
    /// is for turning away whoever is to be turned away, and for nothing else.
    pub async fn presented(&self, parts: &Parts) -> Option<Arc<Caller>> {
        let Credentials::Token { token, .. } = credentials(&parts.headers) else {
            return None;
        };
        let (hash, now) = (sha256(token.as_bytes()), (self.inner.clock)());
        let other = self.inner.other.iter().map(|(_, issuer)| issuer);
        let mut issuers = std::iter::once(&self.inner.anchor).chain(other);
        let issuer = issuers.find(|issuer| issuer.known.knows(&hash))?;
        let keys = issuer.keys.current().await?;
        let known = issuer.known.find(&hash, &keys, now);
        known.map(|standing| standing.caller.clone())
    }

    /// Whether one more refused stranger goes on record in this minute.
    fn room_for_a_stranger(&self) -> bool {
        let words = "refusals of strangers were counted, not recorded";
        self.room(&self.inner.strangers, words)
    }

    /// The same of one more who has a token and no proof that counts.
    fn room_for_the_unproven(&self) -> bool {
        let words = "refusals of proofs beside tokens that stand were counted, not recorded";
        self.room(&self.inner.unproven, words)
    }

    fn room(&self, of: &Mutex<Strangers>, words: &'static str) -> bool {
        let mut refused = of.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = refused.count((self.inner.clock)());
        if let Some(left_out) = counted.left_out {
            tracing::warn!(left_out, "{words}");
        }
        counted.has_room
    }

    /// What to answer when the commit of an admitted interaction failed. A replayed proof, which undid the whole commit,
    /// gets its own audit record here, as long as such do not come in floods.
    pub async fn commit_failed(
        &self,
        error: StoreError,
        verified: &Verified,
        ids: &RequestIds,
        interaction: Interaction,
        asked: &str,
    ) -> Problem {
        if error == StoreError::Replayed && self.room_for_the_unproven() {
            let record = self
                .record(ids, interaction, asked)
                .by(&verified.caller)
                .unauthenticated("invalid_dpop_proof");
            if let Err(problem) = self.audited(record).await {
                return problem;
            }
        }
        error.into()
    }

    fn record(&self, ids: &RequestIds, interaction: Interaction, asked: &str) -> Record {
        Record::new((self.inner.clock)(), ids.ours, interaction, asked)
            .caller_request_id(ids.callers.clone())
    }

    async fn audited(&self, record: Record) -> Result<(), Problem> {
        let change = Change {
            audit: Some(record),
            ..Change::default()
        };
        self.inner
            .store
            .commit(change)
            .await
            .map(|_| ())
            .map_err(|error| {
                tracing::error!(%error, "the audit record of a refusal could not be written");
                Problem::unavailable(5, "not available now; try again")
            })
    }

    /// The inner result is the caller's fault, the outer one ours.
    async fn verify(
        &self,
        parts: &Parts,
        jwt: &str,
        proof: &str,
    ) -> Result<Result<Verified, Refused>, Problem> {
        let (inner, hash) = (&self.inner, sha256(jwt.as_bytes()));
        // Whose it says it is chooses among the configured issuers; each verifies with its own keys alone.
        let other = inner.other.as_ref().filter(|(foreign, issuer)| {
            !inner.anchor.known.knows(&hash)
                && (issuer.known.knows(&hash)
                    || foreign::claimed_issuer(jwt).as_deref() == Some(&foreign.issuer))
        });
        let issuer = other.map_or(&inner.anchor, |(_, issuer)| issuer);
        let Some(keys) = issuer.keys.current().await else {
            tracing::error!("there is no key set to verify tokens with");
            return Err(Problem::unavailable(
                2,
                "tokens cannot be verified now; try again",
            ));
        };
        let (audience, now) = (&inner.config.audience, (inner.clock)());
        let standing = match issuer.known.find(&hash, &keys, now) {
            Some(known) => known,
            None => {
                let check = |keys: &KeySet| match other {
                    Some((foreign, _)) => Standing::of_foreign(jwt, keys, foreign, audience, now),
                    None => Standing::of(jwt, keys, &inner.config.issuer, audience, now),
                };
                let mut found = check(&keys);
                if found.as_ref().is_err_and(|error| error.unknown_key())
                    && let Some(renewed) = issuer.keys.after_unknown_key().await
                    && !Arc::ptr_eq(&renewed, &keys)
                {
                    found = check(&renewed);
                }
                match found {
                    Err(error) => return Ok(Err(refused_token(error))),
                    Ok(standing) => {
                        let standing = Arc::new(standing);
                        issuer.known.keep(standing.clone(), now);
                        standing
                    }
                }
            }
        };
        let caller = standing.caller.clone();
        Ok(match self.verify_proof(parts, proof, &standing) {
            Ok(replay) => Ok(Verified {
                caller,
                replay,
                token: jwt.to_owned(),
            }),
            Err(refused) => Err(Refused {
                caller: Some(caller),
                ..refused
            }),
        })
    }

    fn verify_proof(
        &self,
        parts: &Parts,
        proof: &str,
        standing: &Standing,
    ) -> Result<Replay, Refused> {
        let url = absolute(&self.inner.config.base, parts.uri.path());
        let (method, now) = (parts.method.as_str(), (self.inner.clock)());
        dpop::verify_bound(proof, method, &url, &standing.binding, now)
            .map(|proof| proof.replay)
            .map_err(|error| Refused::proof(error.to_string()))
    }
}

fn refused_token(error: TokenError) -> Refused {
    Refused::token(error.to_string())
}

/// The URL a client must have named in its proof: the configured base and the path within the role.
fn absolute(base: &str, path: &str) -> String {
    if path == "/" {
        base.to_owned()
    } else {
        format!("{base}{path}")
    }
}

/// Whether a query names a token (RFC 6750 section 2.3, never accepted).
fn names_token(query: Option<&str>) -> bool {
    query.is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some("access_token"))
    })
}

fn credentials(headers: &HeaderMap) -> Credentials<'_> {
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    let Some(authorization) = authorizations.next() else {
        return Credentials::None;
    };
    if authorizations.next().is_some() {
        return Credentials::Wrong(Refused::token("more than one Authorization header"));
    }
    let Some((scheme, token)) = authorization
        .to_str()
        .ok()
        .and_then(|text| text.trim().split_once(' '))
    else {
        return Credentials::None;
    };
    let token = token.trim_start();
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Credentials::Wrong(Refused::token(
            "a token bound by DPoP is not accepted as Bearer",
        ));
    }
    if !scheme.eq_ignore_ascii_case("DPoP") {
        return Credentials::None;
    }
    let mut proofs = headers.get_all("dpop").iter();
    match (proofs.next().map(|proof| proof.to_str()), proofs.next()) {
        (Some(Ok(proof)), None) => Credentials::Token {
            token,
            proof: proof.trim(),
        },
        (None, _) => Credentials::Wrong(Refused::proof("the DPoP header is missing")),
        (_, Some(_)) => Credentials::Wrong(Refused::proof("more than one DPoP header")),
        (Some(Err(_)), None) => Credentials::Wrong(Refused::proof("the DPoP header is not text")),
    }
}
