//! The last step of a token request: its audit record and the single uses it spent become durable, and only then is the
//! token signed and given out.

use crate::State;
use crate::authenticate::Authenticated;
use crate::config::Client;
use fhir::time::Instant;
use serde_json::Value;
use store::{Change, LedgerWrite, StoreError};
use trust::audit::{Outcome, Record};
use trust::keys::KeyError;
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
        orgnr_parent: Some(state.registry.organisations.main_unit(client.orgnr)),
        attest: None,
        authorization_details: Vec::new(),
        grant: None,
        patient: None,
        patient_id: None,
        agreement: None,
        delegation: None,
        use_: client.use_,
        kind: Kind::System,
        represents: None,
        represented_by: Vec::new(),
        pseudonym: None,
    }
}

/// The person's pseudonym: the same in every token of this issuer, and nobody's number (HelseID's `pid_pseudonym`).
pub(crate) fn pseudonym(state: &State, person: &fhir::ids::PersonIdentifier) -> String {
    let number = person.value().expose();
    trust::encoding::base64url(&state.store.keyed("pseudonym", number.as_bytes()))
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

/// Why a token request did not become durable.
pub(crate) enum Unspent {
    /// What the client is told.
    Error(OAuthError),
    /// A code or refresh token was used by somebody else in the meantime. Nothing was written.
    Taken,
}

/// Makes the record, the two single uses and what else the request changes durable. A second use is refused in the words of
/// what was used twice.
pub(crate) async fn spend(
    state: &State,
    who: &Authenticated<'_>,
    record: Record,
    ledger: Vec<LedgerWrite>,
) -> Result<(), Unspent> {
    let change = Change {
        audit: Some(record.clone()),
        replays: vec![who.assertion, who.proof],
        ledger,
        ..Change::default()
    };
    match state.store.commit(change).await {
        Ok(_) => Ok(()),
        Err(StoreError::LedgerMismatch { .. }) => Err(Unspent::Taken),
        Err(StoreError::Replayed) => Err(Unspent::Error(used_twice(state, who, record).await)),
        Err(error) => Err(Unspent::Error(unavailable(&error))),
    }
}

/// One of the two was used before; the assertion alone tells which. If it was fresh, it is used up now.
async fn used_twice(state: &State, who: &Authenticated<'_>, mut record: Record) -> OAuthError {
    record.outcome = unauthenticated(OAuthCode::InvalidDpopProof);
    match spend_once(state, vec![who.assertion], record, Vec::new()).await {
        Ok(()) => OAuthError::new(
            OAuthCode::InvalidDpopProof,
            "the DPoP proof was used before",
        ),
        Err(error) => error,
    }
}

/// The outcome of a request whose sender did not prove itself.
pub(crate) fn unauthenticated(code: OAuthCode) -> Outcome {
    Outcome::Unauthenticated {
        code: code.as_str().to_owned(),
    }
}

/// The outcome of a request that was refused, by the endpoint that refused it.
pub(crate) fn refused(endpoint: &str, code: OAuthCode) -> Outcome {
    Outcome::Refused {
        rule: endpoint.to_owned(),
        code: code.as_str().to_owned(),
    }
}

/// What a client is told whose request rests on something that stands no longer.
pub(crate) const USED: &str = "the launch is unknown, too late, used already, or not for this app";

/// Makes a record and single uses durable, of which the first is the assertion: a second use of any is told as
/// `invalid_client`.
pub(crate) async fn spend_once(
    state: &State,
    replays: Vec<Replay>,
    record: Record,
    ledger: Vec<LedgerWrite>,
) -> Result<(), OAuthError> {
    let mut refused = record.clone();
    let change = Change {
        audit: Some(record),
        replays: replays.clone(),
        ledger,
        ..Change::default()
    };
    match state.store.commit(change).await {
        Ok(_) => Ok(()),
        Err(StoreError::Replayed) => Err(OAuthError::new(
            OAuthCode::InvalidClient,
            "the client could not be authenticated",
        )),
        Err(StoreError::LedgerMismatch { .. }) => {
            // What it rested on was used up by somebody else in the meantime; the refusal is on record all the same.
            let error = OAuthError::new(OAuthCode::InvalidRequest, USED);
            refused.outcome = self::refused("ledger", error.code);
            Box::pin(spend_once(state, replays, refused, Vec::new())).await?;
            Err(error)
        }
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
    trust::token::issue(claims, &state.key()).map_err(|error| unsigned(&error))
}

/// An ID token of these claims; its `typ` keeps it from being taken for an access token.
pub(crate) fn sign_id_token(state: &State, claims: &Value) -> Result<String, OAuthError> {
    trust::jws::sign("JWT", claims, &state.key()).map_err(|error| unsigned(&error))
}

fn unsigned(error: &KeyError) -> OAuthError {
    tracing::error!(%error, "signing failed");
    OAuthError::new(OAuthCode::TemporarilyUnavailable, "try again in a moment")
}
