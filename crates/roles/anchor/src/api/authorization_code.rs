//! The grant of a code (RFC 6749 section 4.1.3): once, within 60 s, for the client it was given to, with the same redirect
//! URI, the PKCE verifier and the DPoP key. A second use ends everything that came of the first. Whatever its own client
//! does wrong uses the code up, so that nobody can try twice.

use super::refresh_token::{self, Granted};
use super::token::{Grant, Refusal, invalid_grant};
use crate::authenticate::Authenticated;
use crate::kept::{self, Ledger, Place};
use crate::login::Login;
use crate::request::Pushed;
use crate::user_token::Holder;
use crate::{State, issue};
use serde::{Deserialize, Serialize};
use store::Expect;
use trust::audit::Record;
use trust::encoding::sha256_base64url;
use wire::form::Form;

/// How long a code stands, in seconds.
pub(crate) const LIFETIME_SECONDS: i64 = 60;
/// How long a second use is noticed, in seconds.
pub(crate) const KEPT_SECONDS: i64 = 3600;

/// A code, as it is kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Code {
    pub(crate) request: Pushed,
    pub(crate) login: Login,
    /// Until when it stands, Unix seconds.
    pub(crate) until: i64,
    /// Name of the grant that its use makes.
    pub(crate) grant: String,
    /// Was it used?
    pub(crate) used: bool,
}

pub(crate) async fn grant(
    state: &State,
    who: &Authenticated<'_>,
    form: &Form,
    record: Record,
) -> Result<Grant, Refusal> {
    let code = form.get("code").unwrap_or_default();
    let found = match kept::place_of(Ledger::Code, code) {
        None => None,
        Some(place) => kept::get::<Code>(state, &place)
            .await
            .map_err(|error| Refusal::new(issue::unavailable(&error), record.clone()))?
            .map(|(code, version)| (place, code, version)),
    };
    // Another client's code, and none at all, look the same; and nobody uses up another's.
    let Some((place, mut code, version)) =
        found.filter(|(_, code, _)| code.request.client_id == who.client.client_id)
    else {
        return Err(Refusal::new(invalid_grant(), record));
    };
    let behind = kept::grant_named(&code.grant);
    if code.used {
        let ends = behind.iter().map(|one| kept::end(one, Expect::Any));
        return Err(Refusal::new(invalid_grant(), record).using_up(ends.collect()));
    }
    code.used = true;
    let used_up = kept::put(state, &place, &code, Expect::Version(version))
        .map_err(|_| Refusal::new(invalid_grant(), record.clone()))?;
    let made = match behind.filter(|_| stands(state, who, form, &code)) {
        Some(behind) => issue(state, who, form, &code, behind, record).await,
        None => Err(Refusal::new(invalid_grant(), record)),
    };
    match made {
        Ok(mut grant) => {
            grant.ledger.push(used_up);
            Ok(grant)
        }
        // What is no fault of the client's leaves it its code.
        Err(refusal) if refusal.is_passing() => Err(refusal),
        Err(refusal) => Err(refusal.using_up(vec![used_up])),
    }
}

fn stands(state: &State, who: &Authenticated<'_>, form: &Form, code: &Code) -> bool {
    let request = &code.request;
    let verifier = form.get("code_verifier").unwrap_or_default();
    let well_formed = (43..=128).contains(&verifier.len())
        && verifier
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    (state.house.clock)().seconds() <= code.until
        && form.get("redirect_uri") == Some(&request.redirect_uri)
        && well_formed
        && sha256_base64url(verifier.as_bytes()) == request.challenge
        && request.jkt.as_ref().is_none_or(|jkt| *jkt == who.jkt)
}

async fn issue(
    state: &State,
    who: &Authenticated<'_>,
    form: &Form,
    code: &Code,
    behind: Place,
    mut record: Record,
) -> Result<Grant, Refusal> {
    let (request, login) = (&code.request, &code.login);
    let holder = Holder {
        client: who.client,
        opener: request.opener.as_ref(),
        login,
        jkt: &who.jkt,
        grant: code.grant.clone(),
    };
    let granted = Granted {
        client_id: who.client.client_id.clone(),
        jkt: who.jkt.clone(),
        wanted: request.wanted.clone(),
        statement: request.statement.clone(),
        opener: request.opener.clone(),
        login: login.clone(),
        current: None,
        until: refresh_token::until(login),
    };
    let made = refresh_token::token(state, who, form, &holder, &granted, &mut record).await;
    let made = made.and_then(|(claims, mut answer)| {
        if request.wanted.has("openid") {
            let nonce = request.nonce.as_deref();
            let claims = login.id_token(state, who.client, nonce, &request.wanted.identity);
            answer.id_token = Some(issue::sign_id_token(state, &claims)?.into());
        }
        Ok((claims, answer))
    });
    let (claims, answer) = made.map_err(|error| Refusal::new(error, record.clone()))?;
    let (answer, write) =
        refresh_token::renew(state, who, &behind, granted, answer, Expect::Absent)
            .map_err(|error| Refusal::new(error, record.clone()))?;
    Ok(Grant {
        claims,
        record,
        answer,
        ledger: vec![write],
        behind: Some(behind),
    })
}
