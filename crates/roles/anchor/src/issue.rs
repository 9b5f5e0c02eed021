//! The last step of a token request: its audit record and the single uses it spent become durable, and only then is the
//! token signed and given out.

use crate::State;
use crate::authenticate::Authenticated;
use crate::config::Client;
use fhir::time::Instant;
use store::{Change, StoreError};
use trust::audit::{Outcome, Record};
use trust::token::{Claims, Confirmation, Kind};
use trust::{Interaction, Replay};
use wire::oauth_error::{OAuthCode, OAuthError};
use wire::request_id::RequestIds;

/// Claims that every token has, for a client on its own; the routes add to them.
pub(crate) fn claims(
    state: &State,
    now: Instant,
    client: &Client,
    audience: &str,
    jkt: &str,
    seconds: i64,
) -> Claims {
    let now = now.seconds();
    Claims {
        iss: state.config.issuer.clone(),
        aud: audience.to_owned(),
        sub: client.client_id.clone(),
        client_id: client.client_id.clone(),
        iat: now,
        nbf: now,
        exp: now + seconds,
        jti: (state.house.ids)().to_string(),
        scope: String::new(),
        cnf: Some(Confirmation {
            jkt: jkt.to_owned(),
        }),
        act: None,
        name: None,
        pid: None,
        security_level: None,
        hpr_number: None,
        orgnr_parent: Some(
            state
                .registry
                .controller(&client.orgnr)
                .unwrap_or(client.orgnr),
        ),
        attest: None,
        authorization_details: Vec::new(),
        grant: None,
        patient: None,
        agreement: None,
        delegation: None,
        use_: client.use_,
        kind: Kind::System,
        represents: false,
    }
}

/// The record of a token request; `asked` is made by us and names no person.
pub(crate) fn record(state: &State, ids: &RequestIds, client: &Client, asked: &str) -> Record {
    let mut record = Record::new((state.house.clock)(), ids.ours, Interaction::Token, asked);
    record.caller_request_id = ids.callers.clone();
    record.client = Some(client.client_id.clone());
    record.client_use = Some(client.use_);
    record.organisation = Some(client.orgnr);
    record
}

/// Makes the record and the two single uses durable. A second use is refused in the words of what was used twice.
pub(crate) async fn spend(
    state: &State,
    who: &Authenticated<'_>,
    record: Record,
) -> Result<(), OAuthError> {
    let change = Change {
        audit: Some(record.clone()),
        replays: vec![who.assertion, who.proof],
        ..Change::default()
    };
    match state.store.commit(change).await {
        Ok(_) => Ok(()),
        Err(StoreError::Replayed) => Err(used_twice(state, who, record).await),
        Err(error) => Err(unavailable(&error)),
    }
}

/// One of the two was used before; the assertion alone tells which. If it was fresh, it is used up now.
async fn used_twice(state: &State, who: &Authenticated<'_>, mut record: Record) -> OAuthError {
    record.outcome = Outcome::Unauthenticated {
        code: OAuthCode::InvalidDpopProof.as_str().to_owned(),
    };
    match spend_assertion(state, who.assertion, record).await {
        Ok(()) => OAuthError::new(
            OAuthCode::InvalidDpopProof,
            "the DPoP proof was used before",
        ),
        Err(error) => error,
    }
}

/// Uses up an assertion whose request is refused for another reason.
pub(crate) async fn spend_assertion(
    state: &State,
    assertion: Replay,
    record: Record,
) -> Result<(), OAuthError> {
    let change = Change {
        audit: Some(record),
        replays: vec![assertion],
        ..Change::default()
    };
    match state.store.commit(change).await {
        Ok(_) => Ok(()),
        Err(StoreError::Replayed) => Err(OAuthError::new(
            OAuthCode::InvalidClient,
            "the client could not be authenticated",
        )),
        Err(error) => Err(unavailable(&error)),
    }
}

/// Without the record on disk no token is given.
pub(crate) fn unavailable(error: &StoreError) -> OAuthError {
    tracing::error!(%error, "a token request could not be recorded");
    OAuthError::new(OAuthCode::TemporarilyUnavailable, "try again in a moment")
}

/// A token is signed by our own key; that fails only when the system gives no randomness.
pub(crate) fn sign(state: &State, claims: &Claims) -> Result<String, OAuthError> {
    trust::token::issue(claims, &state.key).map_err(|error| {
        tracing::error!(%error, "signing failed");
        OAuthError::new(OAuthCode::TemporarilyUnavailable, "try again in a moment")
    })
}
