//! Token exchange (RFC 8693) as CONTRACT section 4 bounds it, for gateways only: a user's token for the gateway becomes
//! one for one provider or the locator, with the same person, patient, purpose and time of attestation, the gateway in `act` and its
//! key in `cnf`, no wider scope and no later end.

use super::token::{Grant, Refusal, asked, invalid};
use crate::authenticate::{self, Authenticated};
use crate::config::{Audience, AudienceKind};
use crate::{State, issue, kept, user_token};
use fhir::time::Instant;
use trust::audit::Record;
use trust::scope::{Access, Context, Scope, Scopes};
use trust::token::{Actor, Claims, Kind, LIFETIME_SECONDS};
use trust::{Caller, ClientUse, Facts, Party, Person};
use wire::contract::anchor::{ACCESS_TOKEN_TYPE, TokenAnswer};
use wire::form::Form;
use wire::oauth_error::{OAuthCode, OAuthError};

/// The scope by which a locator is asked.
const LOCATE: &str = "user/Pointer.r";

pub(crate) async fn grant(
    state: &State,
    who: &Authenticated<'_>,
    form: &Form,
    record: Record,
) -> Result<Grant, Refusal> {
    let now = (state.house.clock)();
    let mut record = record;
    let granted = match exchange(state, who, form, now, &mut record) {
        Ok(claims) => standing(state, claims).await,
        Err(error) => Err(error),
    };
    match granted {
        Ok(claims) => Ok(Grant {
            claims,
            record,
            answer: TokenAnswer {
                issued_token_type: Some(ACCESS_TOKEN_TYPE.to_owned()),
                ..TokenAnswer::default()
            },
            ledger: Vec::new(),
            behind: None,
        }),
        Err(error) => Err(Refusal::new(error, record)),
    }
}

fn exchange(
    state: &State,
    who: &Authenticated<'_>,
    form: &Form,
    now: Instant,
    record: &mut Record,
) -> Result<Claims, OAuthError> {
    let own = match (who.client.use_, &who.client.own_audience) {
        (ClientUse::Gateway, Some(own)) => own,
        _ => {
            return Err(OAuthError::new(
                OAuthCode::UnauthorizedClient,
                "the client is no gateway",
            ));
        }
    };
    let access_token = |name: &str, needed: bool| match form.get(name) {
        Some(ACCESS_TOKEN_TYPE) => Ok(()),
        None if !needed => Ok(()),
        _ => Err(invalid(&format!("{name} must be {ACCESS_TOKEN_TYPE}"))),
    };
    access_token("subject_token_type", true)?;
    access_token("requested_token_type", false)?;
    if form.get("actor_token").is_some() {
        return Err(invalid(
            "the gateway itself is the actor; actor_token is not taken",
        ));
    }
    let (subject, caller) = subject(state, own, form, now)?;
    let client = record.client.clone();
    *record = record.clone().by(&caller);
    record.gateway = client;
    stands(state, &subject)?;
    need(state, who, &caller, own, now)?;
    let asked = asked(state, who, form)?;
    // Whom a look-up is about is for a provider to know, and for the locator; no other party, and no gateway, is asked with it.
    if !matches!(
        asked.audience.kind,
        AudienceKind::Service | AudienceKind::Locator
    ) {
        return Err(OAuthError::new(
            OAuthCode::InvalidTarget,
            "a user's token is exchanged for a sharing service or the locator alone",
        ));
    }
    let scopes = narrow(&asked.scopes, &caller, asked.audience);
    if scopes.is_empty() {
        return Err(OAuthError::new(
            OAuthCode::InvalidScope,
            "the subject token does not have this scope",
        ));
    }
    let agreement = user_token::agreement(state, &subject, asked.audience, now)?;
    record.agreement = agreement.as_ref().map(|one| (one.id.clone(), one.version));
    let seconds = LIFETIME_SECONDS.min(subject.exp - now.seconds());
    if seconds <= 0 {
        return Err(invalid("the subject token has expired"));
    }
    let fresh = issue::claims(
        state,
        now,
        who.client,
        &asked.audience.url,
        &who.jkt,
        seconds,
    );
    Ok(Claims {
        iss: fresh.iss,
        aud: fresh.aud,
        client_id: fresh.client_id.clone(),
        use_: fresh.use_,
        act: Some(Actor {
            client_id: fresh.client_id,
        }),
        iat: fresh.iat,
        nbf: fresh.nbf,
        exp: fresh.exp,
        jti: fresh.jti,
        cnf: fresh.cnf,
        scope: scopes.to_string(),
        agreement,
        delegation: None,
        // The app's word for the patient is the gateway's to understand.
        patient_id: None,
        // Who acts for her is no holder's to know.
        represented_by: Vec::new(),
        // Person, organisation, attest and patient stay what they were; the time of attestation is never renewed.
        ..subject
    })
}

/// A token whose grant was revoked is exchanged for nothing.
async fn standing(state: &State, claims: Claims) -> Result<Claims, OAuthError> {
    let Some(grant) = claims.grant.as_deref().and_then(kept::grant_named) else {
        return Ok(claims);
    };
    match kept::get::<super::refresh_token::Granted>(state, &grant).await {
        Ok(Some(_)) => Ok(claims),
        Ok(None) => Err(invalid("the subject token was revoked")),
        Err(error) => Err(issue::unavailable(&error)),
    }
}

/// A token that came of a client or an organisation that is suspended by now is exchanged for nothing.
fn stands(state: &State, subject: &Claims) -> Result<(), OAuthError> {
    let client = state.registry.client(&subject.client_id);
    let stopped = client.is_some_and(|client| authenticate::is_stopped(state, client, None))
        || subject
            .orgnr_parent
            .is_some_and(|orgnr| state.registry.is_suspended(&orgnr));
    match stopped {
        true => Err(invalid("the subject token was revoked")),
        false => Ok(()),
    }
}

/// The user's token: ours, for this gateway, of a person, and not itself exchanged.
fn subject(
    state: &State,
    own: &str,
    form: &Form,
    now: Instant,
) -> Result<(Claims, Caller), OAuthError> {
    let jwt = form
        .get("subject_token")
        .ok_or_else(|| invalid("subject_token is missing"))?;
    let refused = |error: trust::token::TokenError| {
        invalid(&format!("the subject token is refused: {error}"))
    };
    let claims = trust::token::verify(jwt, &state.keys(), &state.config.issuer, own, now)
        .map_err(refused)?;
    let caller = claims.caller(jwt).map_err(refused)?;
    if claims.kind == Kind::System || claims.act.is_some() {
        return Err(invalid("the subject token is not a user's own"));
    }
    Ok((claims, caller))
}

/// A token that opens patients' data is issued with a complete and fresh need, or not at all.
fn need(
    state: &State,
    who: &Authenticated<'_>,
    caller: &Caller,
    own: &str,
    now: Instant,
) -> Result<(), OAuthError> {
    let facts = Facts {
        party: Party::Gateway,
        owner: who.client.orgnr,
        members: [].into(),
        audience: own.into(),
        wishes: [].into(),
        known: Default::default(),
        register: state.registry.organisations.clone(),
        now,
    };
    trust::need(caller, &facts).map_err(|refusal| {
        let words = format!("{}: {}", refusal.code, refusal.message);
        OAuthError::new(OAuthCode::InvalidAuthorizationDetails, words)
    })
}

/// No wider than the subject token. Asking a locator *where* is part of looking up: a subject that may search may ask it.
/// A citizen's `patient/` scopes are `user/` scopes too: the token is bound to the one patient either way.
fn narrow(asked: &Scopes, caller: &Caller, audience: &Audience) -> Scopes {
    let mut subject: Vec<Scope> = caller.scopes.iter().cloned().collect();
    if matches!(caller.person, Person::Citizen { .. }) {
        let own = caller
            .scopes
            .iter()
            .filter(|scope| scope.context() == Context::Patient);
        subject.extend(own.map(|scope| scope.in_context(Context::User)));
    }
    let subject = Scopes::from(subject);
    let searches = subject.iter().any(|scope| {
        matches!(scope.context(), Context::User | Context::Patient)
            && (scope.gives(Access::Search) || scope.gives(Access::Read))
    });
    if audience.kind == AudienceKind::Locator && searches {
        let locate: Vec<Scope> = Scope::parse(LOCATE).into_iter().collect();
        return asked.narrow(&Scopes::from(locate));
    }
    asked.narrow(&subject)
}
