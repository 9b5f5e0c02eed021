//! Client credentials (RFC 6749 section 4.4): a system asks for itself. No token of this grant reads a patient by itself;
//! it opens a system's own store, or another's by a registered delegation.

use super::token::{Grant, Refusal, asked};
use crate::authenticate::Authenticated;
use crate::config::{self, Audience, AudienceKind};
use crate::{State, issue};
use fhir::time::Instant;
use trust::audit::Record;
use trust::scope::Context;
use trust::token::LIFETIME_SECONDS;
use trust::{ClientUse, Delegation};
use wire::contract::anchor::TokenAnswer;
use wire::form::Form;
use wire::oauth_error::{OAuthCode, OAuthError};

pub(crate) fn grant(
    state: &State,
    who: &Authenticated<'_>,
    form: &Form,
    record: Record,
) -> Result<Grant, Refusal> {
    let refused = |error| Refusal::new(error, record.clone());
    let asked = asked(state, who, form).map_err(refused)?;
    if asked
        .scopes
        .iter()
        .any(|scope| scope.context() != Context::System)
    {
        let error = OAuthError::new(
            OAuthCode::InvalidScope,
            "a client on its own has system scopes only",
        );
        return Err(refused(error));
    }
    let now = (state.house.clock)();
    let delegation = delegation(state, who, asked.audience, now).map_err(refused)?;
    let mut claims = issue::claims(
        state,
        now,
        who.client,
        &asked.audience.url,
        &who.jkt,
        LIFETIME_SECONDS,
    );
    claims.scope = asked.scopes.to_string();
    claims.delegation = delegation;
    Ok(Grant {
        claims,
        record,
        answer: TokenAnswer::default(),
        ledger: Vec::new(),
        behind: None,
    })
}

/// By what right a client speaks to a party that holds an organisation's patients' data: its own organisation's record
/// system needs none; the hub and services need a delegation; nobody else has one.
fn delegation(
    state: &State,
    who: &Authenticated<'_>,
    audience: &Audience,
    now: Instant,
) -> Result<Option<Delegation>, OAuthError> {
    let refused = || {
        OAuthError::new(
            OAuthCode::InvalidTarget,
            "no delegation from the audience's organisation is in force",
        )
    };
    // Registered for those who sign in through the client: a gateway is asked for somebody, never by a system for itself.
    let for_people = who
        .client
        .grants
        .contains(&config::Grant::AuthorizationCode);
    if for_people && audience.kind == AudienceKind::Gateway {
        return Err(refused());
    }
    let operates = who.client.use_ == ClientUse::Operator;
    if operates != (audience.kind == AudienceKind::Operation) {
        return Err(refused());
    }
    if !audience.holds_patients() {
        return Ok(None);
    }
    match who.client.use_ {
        ClientUse::RecordSystem if state.registry.is_own(&who.client.orgnr, audience) => Ok(None),
        ClientUse::Hub | ClientUse::Service => state
            .registry
            .delegation(&who.client.orgnr, audience, now)
            .map(Some)
            .ok_or_else(refused),
        _ => Err(refused()),
    }
}
