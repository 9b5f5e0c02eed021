//! The tokens of one sign-in, renewed while somebody looks and ended when she leaves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use trust::keys::SigningKey;
use wire::client::{Party, PeerError};
use wire::contract::Hidden;
use wire::contract::anchor::{REFRESH_TOKEN, REVOKE, TokenAnswer};

use crate::look_up::LookUpError;

/// A token is not used in its last seconds.
const MARGIN_SECONDS: i64 = 30;

/// Tokens, and the key that they are bound to.
pub struct Tokens {
    /// It never leaves the process.
    pub key: SigningKey,
    held: Mutex<Held>,
}

/// Tokens as they are held.
#[derive(Clone)]
struct Renewal {
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
    fn of(answer: &TokenAnswer, now: i64) -> Renewal {
        Renewal {
            access: answer.access_token.clone(),
            refresh: answer.refresh_token.clone(),
            until: now + i64::from(answer.expires_in) - MARGIN_SECONDS,
        }
    }
}

impl Tokens {
    /// Of an answer that came at `now` (Unix seconds).
    pub fn of(answer: &TokenAnswer, key: SigningKey, now: i64) -> Arc<Tokens> {
        Arc::new(Tokens {
            key,
            held: Mutex::new(Held::Kept(Renewal::of(answer, now))),
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
        let own = self.clone();
        let task = tokio::spawn(async move {
            let result = renew(&party, &old, &own.key, now).await;
            let over = {
                let mut held = own.lock();
                let over = matches!(*held, Held::Ended);
                if !over {
                    *held = match &result {
                        Ok(tokens) => Held::Kept(tokens.clone()),
                        // Nobody answered: the old ones may still stand.
                        Err(LookUpError::Anchor) => Held::Kept(old),
                        Err(_) => Held::Ended,
                    };
                }
                over
            };
            // She left meanwhile: what came goes back, and no page gets it.
            match result {
                Ok(Renewal { refresh, .. }) if over => {
                    if let Some(refresh) = refresh {
                        revoke(&party, &refresh, &own.key).await;
                    }
                    Err(LookUpError::Ended)
                }
                result => result,
            }
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

/// Ends a refresh token at the anchor (RFC 7009). Without an answer it ends there by its own time.
pub async fn revoke(party: &Party, refresh: &Hidden, key: &SigningKey) {
    let endpoint = format!("{}{REVOKE}", party.issuer());
    let form = [("token", refresh.expose())];
    if let Err(error) = party.send_as_client(&endpoint, &form, key).await {
        tracing::info!(%error, "a launch could not be ended at the anchor");
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
