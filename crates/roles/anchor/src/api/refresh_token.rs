//! The grant of a refresh token (RFC 6749 section 6): bound to client and DPoP key, used once, in its place comes a new
//! one. A second use of any of them ends the grant. It lives as long as a working day, counted from the sign-in.
//!
//! The attest comes by flow 1 (with the pushed request, in every token until it is 60 minutes old) or by flow 2 (in the
//! client assertion, in this token only), never by both.

use super::token::{Grant, Refusal, invalid, invalid_grant};
use crate::authenticate::Authenticated;
use crate::config;
use crate::kept::{self, Place};
use crate::launch::Opener;
use crate::login::Login;
use crate::request::Wanted;
use crate::user_token::{self, Holder};
use crate::{State, hpr, issue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Expect, LedgerWrite};
use trust::attest::{CLAIM, Statement};
use trust::audit::Record;
use trust::encoding::sha256_base64url;
use trust::scope::Scopes;
use trust::token::Claims;
use wire::contract::anchor::{Details, TokenAnswer};
use wire::form::Form;
use wire::oauth_error::{OAuthCode, OAuthError};

/// How long after the sign-in tokens can be renewed, in seconds.
const LIFETIME_SECONDS: i64 = 8 * 3600;

/// A grant of a person's sign-in to a client, as it is kept. Its end is the end of all that came of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Granted {
    pub(crate) client_id: String,
    /// The key that its tokens are bound to.
    pub(crate) jkt: String,
    pub(crate) wanted: Wanted,
    /// The attest by flow 1.
    pub(crate) statement: Option<Statement>,
    /// The record system that opened the client, if one did.
    #[serde(default)]
    pub(crate) opener: Option<Opener>,
    pub(crate) login: Login,
    /// Hash of the refresh token that stands; `None`: there is none.
    pub(crate) current: Option<String>,
    /// Until when, Unix seconds.
    pub(crate) until: i64,
}

/// Until when a sign-in can be renewed.
pub(crate) fn until(login: &Login) -> i64 {
    login.at.saturating_add(LIFETIME_SECONDS)
}

pub(crate) async fn grant(
    state: &State,
    who: &Authenticated<'_>,
    form: &Form,
    mut record: Record,
) -> Result<Grant, Refusal> {
    let token = form.get("refresh_token").unwrap_or_default();
    let found = match kept::grant_of(token) {
        None => None,
        Some(place) => kept::get::<Granted>(state, &place)
            .await
            .map_err(|error| Refusal::new(issue::unavailable(&error), record.clone()))?
            .map(|(granted, version)| (place, granted, version)),
    };
    let Some((place, granted, version)) =
        found.filter(|(_, granted, _)| granted.client_id == who.client.client_id)
    else {
        return Err(Refusal::new(invalid_grant(), record));
    };
    if granted.current != Some(sha256_base64url(token.as_bytes())) {
        // Used before: whoever has it, one of the two is not the client.
        let ends = vec![kept::end(&place, Expect::Any)];
        return Err(Refusal::new(invalid_grant(), record).using_up(ends));
    }
    if granted.jkt != who.jkt || granted.until < (state.house.clock)().seconds() {
        return Err(Refusal::new(invalid_grant(), record));
    }
    let holder = Holder {
        client: who.client,
        opener: granted.opener.as_ref(),
        login: &granted.login,
        jkt: &who.jkt,
        grant: kept::grant_name(&place),
    };
    let made = self::token(state, who, form, &holder, &granted, &mut record)
        .await
        .map_err(|error| Refusal::new(error, record.clone()));
    let (claims, answer) = made?;
    let (answer, write) = renew(
        state,
        who,
        &place,
        granted,
        answer,
        Expect::Version(version),
    )
    .map_err(|error| Refusal::new(error, record.clone()))?;
    Ok(Grant {
        claims,
        record,
        answer,
        ledger: vec![write],
        behind: Some(place),
    })
}

/// One token of a grant: the attest from one of the two flows, scopes no wider than granted.
pub(crate) async fn token(
    state: &State,
    who: &Authenticated<'_>,
    form: &Form,
    holder: &Holder<'_>,
    granted: &Granted,
    record: &mut Record,
) -> Result<(Claims, TokenAnswer), OAuthError> {
    let now = (state.house.clock)().seconds();
    if granted.statement.is_some() && !who.details.is_empty() {
        return Err(OAuthError::new(
            OAuthCode::AccessDenied,
            "HID-DOUBLE-STRUCTURE: the attest came both with the authorization request and in the client assertion",
        ));
    }
    let stated = Statement::of(&who.details, now).map_err(|error| {
        OAuthError::new(OAuthCode::InvalidAuthorizationDetails, error.to_string())
    })?;
    let statement = stated.or_else(|| granted.statement.clone());
    record.person = Some(holder.login.asker());
    let login = hpr::confirmed(state, holder.login, statement.as_ref()).await?;
    let holder = &Holder {
        login: &login,
        client: holder.client,
        opener: holder.opener,
        jkt: holder.jkt,
        grant: holder.grant.clone(),
    };
    if form.get("audience").is_some() {
        return Err(invalid("the audience is named by resource"));
    }
    let all = granted.wanted.scopes();
    let scopes = match form.get("scope") {
        None => all.clone(),
        Some(text) => narrower(&granted.wanted, &all, text)?,
    };
    let claims = user_token::claims(
        state,
        holder,
        &granted.wanted,
        &scopes,
        form.get("resource"),
        statement,
        record,
    )?;
    let answer = TokenAnswer {
        need_patient_banner: claims.patient_id.as_ref().map(|_| true),
        patient: claims.patient_id.clone(),
        scope: Some(granted.wanted.text(&claims.scope)),
        // Flow 1: what was granted stands in the answer too (RFC 9396 section 7).
        authorization_details: claims
            .attest
            .as_ref()
            .zip(granted.statement.as_ref())
            .and_then(|(attest, stated)| {
                let mut detail = serde_json::to_value(attest).ok()?;
                detail["type"] = Value::from(CLAIM);
                detail["patients"] = serde_json::to_value(&stated.patients).ok()?;
                Some(Details(vec![detail]))
            }),
        ..TokenAnswer::default()
    };
    Ok((claims, answer))
}

/// The SMART scopes of a narrower request; identity scopes may be repeated, if they were granted.
fn narrower(wanted: &Wanted, all: &Scopes, text: &str) -> Result<Scopes, OAuthError> {
    let smart: Vec<&str> = text
        .split(' ')
        .filter(|one| !one.is_empty() && !wanted.has(one))
        .collect();
    Scopes::parse(&smart.join(" "))
        .ok()
        .filter(|scopes| scopes.within(all))
        .ok_or_else(|| OAuthError::new(OAuthCode::InvalidScope, "the scope was not granted"))
}

/// The grant after this token, with its next refresh token where the client asked for one and may have it.
pub(crate) fn renew(
    state: &State,
    who: &Authenticated<'_>,
    place: &Place,
    mut granted: Granted,
    mut answer: TokenAnswer,
    expect: Expect,
) -> Result<(TokenAnswer, LedgerWrite), OAuthError> {
    if granted.wanted.has("offline_access")
        && who.client.grants.contains(&config::Grant::RefreshToken)
    {
        let token = kept::refresh_token(state, place);
        let left = granted.until - (state.house.clock)().seconds();
        granted.current = Some(sha256_base64url(token.as_bytes()));
        answer.rt_expires_in = u32::try_from(left).ok();
        answer.refresh_token = Some(token.into());
    }
    let write = kept::put(state, place, &granted, expect)
        .map_err(|_| OAuthError::new(OAuthCode::TemporarilyUnavailable, "try again in a moment"))?;
    Ok((answer, write))
}
