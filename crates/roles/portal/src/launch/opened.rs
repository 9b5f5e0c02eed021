//! What a launch opened: whose data, for whom, why, as the anchor attested it, and the tokens for it. The page shows these and looks up
//! with these; nothing of it comes from the browser.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use trust::attest::Attestation;
use trust::keys::SigningKey;
use wire::client::{Party, PeerError};
use wire::contract::Hidden;
use wire::contract::anchor::{REFRESH_TOKEN, TokenAnswer};

use crate::look_up::LookUpError;

/// A token is not used in its last seconds.
const MARGIN_SECONDS: i64 = 30;

/// One patient opened by one practitioner for one need.
pub struct Opened {
    /// Address of its page: a random word of the session's.
    pub view: String,
    /// The practitioner's name; empty where the anchor does not know it.
    pub name: String,
    /// Organisation number of the practitioner's legal entity.
    pub organisation: String,
    /// The patient's number.
    pub number: Hidden,
    /// The patient's name, where the record system gave it.
    pub patient: Option<String>,
    /// Code of the purpose, such as `TREAT`.
    pub purpose: String,
    /// Finer grounds in words, or their code.
    pub grounds: Option<String>,
    /// Reference of the decision that the look-up rests on.
    pub decision: String,
    /// The reason in somebody's own words.
    pub reason: Option<String>,
    /// Whether a record system opened it.
    pub by_record_system: bool,
    /// Organisation numbers chosen besides.
    pub organisations: Vec<String>,
    /// The key that its tokens are bound to. It never leaves the process.
    pub key: SigningKey,
    held: Mutex<Held>,
}

/// Tokens as they are held.
#[derive(Clone)]
pub struct Renewal {
    access: Hidden,
    refresh: Option<Hidden>,
    /// Until when the access token is used, Unix seconds.
    until: i64,
}

type Flight = Shared<BoxFuture<'static, Result<Renewal, LookUpError>>>;

enum Held {
    Kept(Renewal),
    /// One request to the anchor, however many pages wait: a refresh token works once.
    Coming(Flight),
    Ended,
}

impl Renewal {
    /// Of an answer that came at `now` (Unix seconds).
    pub fn of(answer: &TokenAnswer, now: i64) -> Renewal {
        Renewal {
            access: answer.access_token.clone(),
            refresh: answer.refresh_token.clone(),
            until: now + i64::from(answer.expires_in) - MARGIN_SECONDS,
        }
    }
}

impl Opened {
    /// Reads what the anchor granted. `None` when it is not about exactly one patient, for a purpose and a decision.
    pub fn of(
        view: String,
        attest: &Attestation,
        tokens: Renewal,
        key: SigningKey,
        by_record_system: bool,
        organisations: Vec<String>,
    ) -> Option<Opened> {
        let care = &attest.care_relationship;
        let words = |code: &trust::attest::Code| code.text.clone().unwrap_or(code.code.clone());
        let grounds = care.purpose_of_use_details.as_ref();
        Some(Opened {
            view,
            name: attest
                .practitioner
                .identifier
                .name
                .clone()
                .unwrap_or_default(),
            organisation: attest.practitioner.legal_entity.as_ref()?.id.clone(),
            number: attest.only_patient()?.value().expose().into(),
            patient: attest.patients.first()?.identifier.name.clone(),
            purpose: attest.purpose()?.code().to_owned(),
            grounds: grounds.or(care.healthcare_service.as_ref()).map(words),
            decision: care.decision_ref.as_ref()?.id.clone(),
            reason: care.reason.clone(),
            by_record_system,
            organisations,
            key,
            held: Mutex::new(Held::Kept(tokens)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token that is good for a look-up, renewed where it must be.
    ///
    /// # Errors
    /// [`LookUpError::Ended`] when the anchor gives no more, [`LookUpError::Anchor`] when it does not answer.
    pub async fn token(self: &Arc<Self>, party: &Party, now: i64) -> Result<Hidden, LookUpError> {
        let flight = {
            let mut held = self.lock();
            let old = match &*held {
                Held::Kept(tokens) if now < tokens.until => return Ok(tokens.access.clone()),
                Held::Kept(tokens) => Ok(tokens.clone()),
                Held::Coming(flight) => Err(flight.clone()),
                Held::Ended => return Err(LookUpError::Ended),
            };
            match old {
                Err(flight) => flight,
                Ok(old) => {
                    let flight = self.depart(party.clone(), old, now);
                    *held = Held::Coming(flight.clone());
                    flight
                }
            }
        };
        flight.await.map(|tokens| tokens.access)
    }

    /// Starts the one renewal that every waiting page shares. It runs on even if they all leave.
    fn depart(self: &Arc<Self>, party: Party, old: Renewal, now: i64) -> Flight {
        let opened = self.clone();
        let task = tokio::spawn(async move {
            let result = renew(&party, &old, &opened.key, now).await;
            *opened.lock() = match &result {
                Ok(tokens) => Held::Kept(tokens.clone()),
                // Nobody answered: the old ones may still stand.
                Err(LookUpError::Anchor) => Held::Kept(old),
                Err(_) => Held::Ended,
            };
            result
        });
        task.map(|joined| joined.unwrap_or(Err(LookUpError::Anchor)))
            .boxed()
            .shared()
    }

    /// The refresh token, for its end at the anchor; no page gets a token of this after it.
    pub fn end(&self) -> Option<Hidden> {
        match std::mem::replace(&mut *self.lock(), Held::Ended) {
            Held::Kept(tokens) => tokens.refresh,
            _ => None,
        }
    }
}

async fn renew(
    party: &Party,
    old: &Renewal,
    key: &SigningKey,
    now: i64,
) -> Result<Renewal, LookUpError> {
    let refresh = old.refresh.as_ref().ok_or(LookUpError::Ended)?;
    let form = [
        ("grant_type", REFRESH_TOKEN),
        ("refresh_token", refresh.expose()),
    ];
    let answer: Result<TokenAnswer, PeerError> = party
        .post_as_client(party.token_endpoint(), &form, key)
        .await;
    answer
        .map(|answer| Renewal::of(&answer, now))
        .map_err(|error| {
            tracing::info!(%error, "a launch could not be renewed");
            match error {
                PeerError::Token("temporarily_unavailable" | "server_error" | "other") => {
                    LookUpError::Anchor
                }
                PeerError::Token(_) => LookUpError::Ended,
                _ => LookUpError::Anchor,
            }
        })
}
