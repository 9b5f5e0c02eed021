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

/// What one token of a sign-in is for; by default for what the sign-in was for, where that is one audience.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aim {
    /// The audience, of those that were granted.
    pub resource: Option<String>,
    /// The scope, within what was granted.
    pub scope: Option<&'static str>,
}

impl Aim {
    /// What a token request says of it: names and values of parameters.
    pub fn form(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let resource = self.resource.as_deref().map(|url| ("resource", url));
        resource
            .into_iter()
            .chain(self.scope.map(|scope| ("scope", scope)))
    }
}

/// Tokens, and the key that they are bound to.
pub struct Tokens {
    /// It never leaves the process.
    pub key: SigningKey,
    /// What the first token was for.
    aim: Aim,
    /// When it was given, Unix seconds.
    since: i64,
    held: Mutex<Held>,
}

/// Tokens as they are held.
#[derive(Clone)]
struct Renewal {
    /// The newest of each aim.
    access: Vec<Access>,
    refresh: Option<Hidden>,
}

/// An access token.
#[derive(Clone)]
struct Access {
    aim: Aim,
    token: Hidden,
    /// Until when it is used, Unix seconds.
    until: i64,
}

/// What a renewal was for, and what is held after it.
type Flight = Shared<BoxFuture<'static, Result<(Aim, Renewal), LookUpError>>>;

enum Held {
    Kept(Renewal),
    /// One request to the anchor, however many pages wait: a refresh token works once.
    Coming(Flight),
    Ended,
}

impl Renewal {
    /// What an answer gave for an aim, besides those that are held for others.
    fn of(answer: &TokenAnswer, aim: &Aim, now: i64, mut access: Vec<Access>) -> Renewal {
        access.retain(|one| one.aim != *aim);
        access.push(Access {
            aim: aim.clone(),
            token: answer.access_token.clone(),
            until: now + i64::from(answer.expires_in) - MARGIN_SECONDS,
        });
        Renewal {
            access,
            refresh: answer.refresh_token.clone(),
        }
    }

    fn of_aim(&self, aim: &Aim) -> Option<&Access> {
        self.access.iter().find(|one| one.aim == *aim)
    }
}

impl Tokens {
    /// Of an answer for `aim` that came at `now` (Unix seconds).
    pub fn of(answer: &TokenAnswer, key: SigningKey, aim: Aim, now: i64) -> Arc<Tokens> {
        let first = Renewal::of(answer, &aim, now, Vec::new());
        Arc::new(Tokens {
            key,
            aim,
            since: now,
            held: Mutex::new(Held::Kept(first)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long ago they were first given, in seconds.
    pub fn age(&self, now: i64) -> i64 {
        now - self.since
    }

    /// A token for what the first was for, renewed where it must be.
    ///
    /// # Errors
    /// [`LookUpError::Ended`] when the anchor gives no more, [`LookUpError::Anchor`] when it does not answer.
    pub async fn token(self: &Arc<Self>, party: &Party, now: i64) -> Result<Hidden, LookUpError> {
        self.token_for(party, &self.aim, now).await
    }

    /// A token for another audience or scope of the same sign-in.
    ///
    /// # Errors
    /// As [`Tokens::token`].
    pub async fn token_for(
        self: &Arc<Self>,
        party: &Party,
        aim: &Aim,
        now: i64,
    ) -> Result<Hidden, LookUpError> {
        loop {
            let flight = {
                let mut held = self.lock();
                let old = match &*held {
                    Held::Kept(tokens) => match tokens.of_aim(aim) {
                        Some(access) if now < access.until => return Ok(access.token.clone()),
                        _ => Ok(tokens.clone()),
                    },
                    Held::Coming(flight) => Err(flight.clone()),
                    Held::Ended => return Err(LookUpError::Ended),
                };
                match old {
                    Err(flight) => flight,
                    Ok(old) => {
                        let flight = self.depart(party.clone(), old, aim.clone(), now);
                        *held = Held::Coming(flight.clone());
                        flight
                    }
                }
            };
            let (for_aim, tokens) = flight.await?;
            // What another page waited for may be for another audience: then it is asked anew.
            if let Some(access) = tokens.of_aim(aim)
                && (for_aim == *aim || now < access.until)
            {
                return Ok(access.token.clone());
            }
        }
    }

    /// Starts the one renewal that every waiting page shares. It runs on even if they all leave.
    fn depart(self: &Arc<Self>, party: Party, old: Renewal, aim: Aim, now: i64) -> Flight {
        let own = self.clone();
        let task = tokio::spawn(async move {
            let result = renew(&party, &old, &aim, &own.key, now).await;
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
                result => result.map(|tokens| (aim, tokens)),
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
    aim: &Aim,
    key: &SigningKey,
    now: i64,
) -> Result<Renewal, LookUpError> {
    let refresh = old.refresh.as_ref().ok_or(LookUpError::Ended)?;
    let mut form = vec![
        ("grant_type", REFRESH_TOKEN),
        ("refresh_token", refresh.expose()),
    ];
    form.extend(aim.form());
    let answer: Result<TokenAnswer, PeerError> = party
        .post_as_client(party.token_endpoint(), &form, key)
        .await;
    answer
        .map(|answer| Renewal::of(&answer, aim, now, old.access.clone()))
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
