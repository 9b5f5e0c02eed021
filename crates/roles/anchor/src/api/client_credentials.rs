//! Client credentials (RFC 6749 section 4.4): a system asks for itself. No token of this grant reads a patient by itself;
//! it opens a system's own store, or another's by a registered delegation.

use super::token::{Asked, Grant, Refusal, asked};
use crate::authenticate::Authenticated;
use crate::config::{self, AudienceKind};
use crate::{State, issue};
use fhir::resource::InformationService;
use fhir::time::Instant;
use trust::audit::Record;
use trust::scope::{Context, Scopes};
use trust::token::LIFETIME_SECONDS;
use trust::{ClientUse, Delegation};
use wire::contract::alert::TELL_SCOPE;
use wire::contract::anchor::TokenAnswer;
use wire::contract::record_system::DOCUMENT_SCOPE;
use wire::contract::sharing::FOLLOW_SCOPE;
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
    let delegation = delegation(state, who, &asked, now).map_err(refused)?;
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
/// system needs none, and one of another under an agreement looks after what its organisation subscribes to; the hub and services need a delegation, but a service that tells another of an alert an agreement; a gateway brings documents to its own organisation's record
/// system, and by delegation to others', and has no other business with either; nobody else has a right.
fn delegation(
    state: &State,
    who: &Authenticated<'_>,
    asked: &Asked<'_>,
    now: Instant,
) -> Result<Option<Delegation>, OAuthError> {
    let audience = asked.audience;
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
    let own = || state.registry.is_own(&who.client.orgnr, audience);
    let delegated = || {
        let found = state.registry.delegation(&who.client.orgnr, audience, now);
        found.map(Some).ok_or_else(refused)
    };
    let files = audience.kind == AudienceKind::RecordSystem
        && asked
            .scopes
            .iter()
            .all(|one| one.to_string() == DOCUMENT_SCOPE);
    // Hands alerts over: under an agreement about measurements, as its personnel read there.
    let hands_over = || {
        let only = asked.scopes.iter().all(|one| one.to_string() == TELL_SCOPE);
        let agreed = state.registry.agreement(&who.client.orgnr, audience, now);
        only && agreed.is_some_and(|one| one.services.contains(&InformationService::MEASUREMENTS))
    };
    // Looks after its organisation's subscriptions there, under an agreement; they were founded by its personnel's tokens.
    let follows = || {
        let limit = Scopes::parse(FOLLOW_SCOPE);
        let only = limit.is_ok_and(|limit| asked.scopes.within(&limit));
        only && state
            .registry
            .agreement(&who.client.orgnr, audience, now)
            .is_some()
    };
    match who.client.use_ {
        ClientUse::RecordSystem if own() => Ok(None),
        ClientUse::RecordSystem if follows() => Ok(None),
        ClientUse::Service if hands_over() => Ok(None),
        ClientUse::Hub | ClientUse::Service => delegated(),
        ClientUse::Gateway if files && own() => Ok(None),
        ClientUse::Gateway if files => delegated(),
        _ => Err(refused()),
    }
}
