//! Launch in context (SMART App Launch 2.2, "EHR launch"): what a record system deposits for an app before it opens the app,
//! and in whose name the app then acts.
//!
//! The record system vouches for one of its own people and states the need; the app adds nothing to it. An app of another
//! organisation is opened only under a delegation in force from the record system's organisation. What is deposited is found by a
//! handle that works once, for that app alone; who signs in must be the one whom the record system named.

use crate::config::{Client, Grant};
use crate::kept::{self, Ledger, Place};
use crate::login::Login;
use crate::{State, authenticate};
use fhir::ids::{OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::StoreError;
use trust::ClientUse;
use trust::attest::{CLAIM, Statement};
use wire::contract::launch::IN_CONTEXT;
use wire::form::Form;
use wire::oauth_error::{OAuthCode, OAuthError};

/// How soon the app must bring the handle, in seconds.
pub(crate) const LIFETIME_SECONDS: u32 = 60;

/// The record system that opened an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opener {
    /// Its client id.
    pub(crate) client_id: String,
    /// Its organisation: whose people use the app, and who consumes.
    pub(crate) orgnr: OrganisationNumber,
}

impl Opener {
    /// Does it still stand: the record system and its organisation not suspended, and the app theirs or delegated to?
    pub(crate) fn stands(&self, state: &State, app: &Client, now: Instant) -> bool {
        let registry = &state.registry;
        let known = registry.client(&self.client_id);
        let known = known.is_some_and(|client| {
            client.orgnr == self.orgnr && !authenticate::is_stopped(state, client, None)
        });
        known && opens(state, &self.orgnr, app, now)
    }
}

/// May this organisation's record system open the app? Not there, not registered for it and not delegated to look the same.
fn opens(state: &State, orgnr: &OrganisationNumber, app: &Client, now: Instant) -> bool {
    let registry = &state.registry;
    let main = |orgnr| registry.organisations.main_unit(orgnr);
    let ours = main(*orgnr) == main(app.orgnr);
    app.identity.iter().any(|one| one == IN_CONTEXT)
        && app.grants.contains(&Grant::AuthorizationCode)
        && (ours || registry.delegation_of(orgnr, &app.orgnr, now).is_some())
}

/// What was deposited.
#[derive(Serialize, Deserialize)]
pub(crate) struct Deposit {
    pub(crate) opener: Opener,
    /// Client id of the app that it is for.
    pub(crate) app: String,
    /// The need, with its practitioner and its one patient named.
    pub(crate) statement: Statement,
    /// Until when it must be brought, Unix seconds.
    pub(crate) until: i64,
}

impl Deposit {
    /// Reads the form of a client that proved itself. `until` is Unix seconds.
    pub(crate) fn read(
        state: &State,
        client: &Client,
        form: &Form,
        until: i64,
    ) -> Result<Deposit, OAuthError> {
        let now = (state.house.clock)();
        if client.use_ != ClientUse::RecordSystem {
            return Err(OAuthError::new(
                OAuthCode::UnauthorizedClient,
                "the client is no record system",
            ));
        }
        let app = form
            .get("app")
            .and_then(|id| state.registry.client(id))
            .filter(|app| opens(state, &client.orgnr, app, now))
            .ok_or_else(|| {
                OAuthError::new(
                    OAuthCode::InvalidTarget,
                    "app names no client that this organisation may open",
                )
            })?;
        let statement = statement(form.get("authorization_details"), now.seconds())?;
        if statement.patients.len() != 1 {
            return Err(details("the attest must name the patient"));
        }
        if practitioner(&statement).is_none() {
            return Err(details("the attest must name the practitioner by number"));
        }
        let stated = &statement.practitioner;
        let places = [&stated.legal_entity, &stated.point_of_care];
        crate::login::own_places(
            state,
            &client.orgnr,
            places.into_iter().flatten(),
            stated.department.as_ref(),
        )
        .map_err(|words| details(&words))?;
        Ok(Deposit {
            opener: Opener {
                client_id: client.client_id.clone(),
                orgnr: client.orgnr,
            },
            app: app.client_id.clone(),
            statement,
            until,
        })
    }
}

/// The one attest of `authorization_details`. `now` is Unix seconds.
fn statement(text: Option<&str>, now: i64) -> Result<Statement, OAuthError> {
    let text = text.ok_or_else(|| details("authorization_details is missing"))?;
    let Ok(Value::Array(list)) = trust::json::parse(text.as_bytes()) else {
        return Err(details("authorization_details is not a JSON list"));
    };
    Statement::of(&list, now)
        .map_err(|error| details(&error.to_string()))?
        .ok_or_else(|| details(&format!("authorization_details holds no {CLAIM}")))
}

fn details(words: &str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidAuthorizationDetails, words)
}

/// The practitioner that a statement names by number.
fn practitioner(statement: &Statement) -> Option<PersonIdentifier> {
    let stated = statement.practitioner.identifier.as_ref()?;
    PersonIdentifier::parse(&stated.system, &stated.id, PersonNumbers::Strict).ok()
}

/// Is this the person whom the statement names?
pub(crate) fn is_named(statement: &Statement, login: &Login) -> bool {
    practitioner(statement).is_some_and(|person| person == login.number)
}

/// A deposit that an app brought, and where it stands until it is used up.
pub(crate) struct Brought {
    pub(crate) deposit: Deposit,
    pub(crate) place: Place,
    pub(crate) version: u64,
}

/// What a handle opens for this app now. Unknown, used, too late, another app's and no longer allowed look the same; nobody uses up
/// another's.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn bring(
    state: &State,
    app: &Client,
    handle: &str,
) -> Result<Option<Brought>, StoreError> {
    let Some(place) = kept::place_of(Ledger::Launch, handle) else {
        return Ok(None);
    };
    let now = (state.house.clock)();
    let found = kept::get::<Deposit>(state, &place).await?;
    Ok(found
        .filter(|(deposit, _)| {
            deposit.app == app.client_id
                && now.seconds() <= deposit.until
                && deposit.opener.stands(state, app, now)
        })
        .map(|(deposit, version)| Brought {
            deposit,
            place,
            version,
        }))
}
