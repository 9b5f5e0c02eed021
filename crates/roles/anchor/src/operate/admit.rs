//! Who may operate the anchor: a client registered as operator, of the one organisation that the configuration names, with
//! a token of this anchor for its operation, bound to the key that proves this very request. The anchor's own keys are at
//! hand, so nothing is fetched; otherwise this is what the guard does at every other protected route.

use crate::State;
use crate::authenticate;
use fhir::time::Instant;
use http::header;
use http::request::Parts;
use store::{Change, StoreError};
use trust::audit::Outcome;
use trust::scope::{Access, Context};
use trust::{Caller, Category, ClientUse, Replay, dpop};
use wire::contract::operate::OPERATE;
use wire::outcome::{Challenge, Problem};
use wire::request_id::RequestIds;

/// A client that proved to be an operator.
pub(crate) struct Operator {
    pub(crate) caller: Caller,
    /// The proof's single use; none when the proof did not stand.
    pub(crate) replay: Option<Replay>,
    pub(crate) ids: RequestIds,
    pub(crate) now: Instant,
}

/// Verifies token and proof, then use, organisation, standing and scope. What is refused after the token stood is on record.
pub(crate) async fn admit(
    state: &State,
    parts: &Parts,
    ids: RequestIds,
    access: Access,
) -> Result<Operator, Problem> {
    let asked = format!("{} {}", parts.method, parts.uri.path());
    let now = (state.house.clock)();
    let one = |name| {
        let mut sent = parts.headers.get_all(name).iter();
        match (sent.next(), sent.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    };
    let token = one(header::AUTHORIZATION.as_str())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("dpop"))
        .map(|(_, token)| token);
    let (Some(token), Some(proof)) = (token, one("dpop")) else {
        let words = "an operator's DPoP-bound access token is needed";
        return Err(Problem::unauthenticated(Challenge::Plain, words));
    };
    let refused = |error: trust::token::TokenError| {
        tracing::info!(%error, "a token was refused at the anchor's operation");
        Problem::unauthenticated(Challenge::InvalidToken, error.to_string())
    };
    let audience = state.url(OPERATE);
    let keys = state.ring.public(now.seconds());
    let claims = trust::token::verify(token, &keys, &state.config.issuer, &audience, now);
    let caller = claims.and_then(|c| c.caller(token)).map_err(refused)?;
    let proved = dpop::verify(
        proof,
        parts.method.as_str(),
        &state.url(parts.uri.path()),
        Some(&dpop::ath(token)),
        Some(&caller.jkt),
        now,
    );
    let proof = match proved {
        Ok(proof) => proof,
        Err(error) => {
            let operator = Operator {
                replay: None,
                caller,
                ids,
                now,
            };
            let problem = Problem::unauthenticated(Challenge::InvalidProof, error.to_string());
            let outcome = Outcome::Unauthenticated {
                code: "invalid_dpop_proof".to_owned(),
            };
            return Err(operator.ended(state, &asked, outcome, problem).await);
        }
    };
    let operator = Operator {
        caller,
        replay: Some(proof.replay),
        ids,
        now,
    };
    let stands = state
        .registry
        .client(&operator.caller.client_id)
        .is_some_and(|client| {
            client.use_ == ClientUse::Operator && !authenticate::is_stopped(state, client, None)
        });
    if !stands || operator.caller.use_ != ClientUse::Operator {
        let problem = Problem::forbidden("only the anchor's own operator does this");
        return Err(operator.refused(state, &asked, "operator", problem).await);
    }
    let scopes = &operator.caller.scopes;
    if !scopes.covers(Context::System, "Change", access) {
        let problem = Problem::insufficient_scope();
        return Err(operator.refused(state, &asked, "scope", problem).await);
    }
    Ok(operator)
}

impl Operator {
    async fn refused(&self, state: &State, asked: &str, rule: &str, problem: Problem) -> Problem {
        let outcome = Outcome::Refused {
            rule: rule.to_owned(),
            code: "forbidden".to_owned(),
        };
        self.ended(state, asked, outcome, problem).await
    }

    /// Something is wrong with what was asked: on record, and the proof is used up.
    pub(crate) async fn failed(&self, state: &State, asked: &str, problem: Problem) -> Problem {
        let category = match problem.status().as_u16() {
            404 => Category::NotFound,
            409 => Category::Conflict,
            400..=499 => Category::Invalid,
            _ => Category::Unavailable,
        };
        self.ended(state, asked, Outcome::Failed { category }, problem)
            .await
    }

    async fn ended(
        &self,
        state: &State,
        asked: &str,
        outcome: Outcome,
        problem: Problem,
    ) -> Problem {
        let mut record = self.record(asked);
        record.outcome = outcome;
        let change = Change {
            audit: Some(record),
            replays: self.replay.into_iter().collect(),
            ..Change::default()
        };
        match state.store.commit(change).await {
            Ok(_) => problem,
            Err(error) => self.uncommitted(state, asked, error).await,
        }
    }

    /// The commit failed; a proof that was used before undid it and gets its own record.
    pub(crate) async fn uncommitted(
        &self,
        state: &State,
        asked: &str,
        error: StoreError,
    ) -> Problem {
        if error == StoreError::Replayed {
            let mut record = self.record(asked);
            record.outcome = Outcome::Unauthenticated {
                code: "invalid_dpop_proof".to_owned(),
            };
            let change = Change {
                audit: Some(record),
                ..Change::default()
            };
            if let Err(error) = state.store.commit(change).await {
                return error.into();
            }
        }
        error.into()
    }
}
