//! What a grant of a person's sign-in gives: one access token for one audience, complete or not at all, and who signed in
//! for the client. A token that opens patients' data carries the need-to-know statement; without one the answer says who
//! signed in and opens nothing. A statement that names no patient opens the list of the organisation's own, where that alone was
//! granted (decision 0053).

use crate::config::Client;
use crate::launch::Opener;
use crate::login::{self, Login};
use crate::request::Wanted;
use crate::{State, issue};
use fhir::ids::OrganisationNumber;
use fhir::time::Instant;
use trust::attest::{Attestation, Statement};
use trust::audit::Record;
use trust::scope::Scopes;
use trust::token::{Claims, Kind, LIFETIME_SECONDS};
use trust::{Agreement, Facts, Party};
use wire::contract::launch::{CHOOSE_PATIENT, IN_CONTEXT};
use wire::oauth_error::{OAuthCode, OAuthError};

use crate::config::{Audience, AudienceKind};

/// Whose token, through whom, bound to which key.
pub(crate) struct Holder<'a> {
    pub(crate) client: &'a Client,
    /// The record system that opened the client, if one did: it is asked in its organisation's name.
    pub(crate) opener: Option<&'a Opener>,
    pub(crate) login: &'a Login,
    pub(crate) jkt: &'a str,
    /// Name of the grant behind it.
    pub(crate) grant: String,
}

/// Makes the claims of a token for `resource` (one of those granted; needed only where several were) with `scopes` of
/// those granted, and completes the record.
pub(crate) fn claims(
    state: &State,
    holder: &Holder<'_>,
    wanted: &Wanted,
    scopes: &Scopes,
    resource: Option<&str>,
    statement: Option<Statement>,
    record: &mut Record,
) -> Result<Claims, OAuthError> {
    let Holder { client, login, .. } = holder;
    record.person = Some(login.asker());
    let now = (state.house.clock)();
    let opener = holder.opener;
    if opener.is_some_and(|opener| !opener.stands(state, client, now)) {
        return Err(OAuthError::new(
            OAuthCode::AccessDenied,
            "the record system that opened the app may not do so any longer",
        ));
    }
    let organisation = opener.map_or(client.orgnr, |opener| opener.orgnr);
    let url = match (resource, wanted.resources.as_slice()) {
        (Some(url), granted) if granted.iter().any(|one| one == url) => Some(url),
        (None, [only]) => Some(only.as_str()),
        (None, []) => None,
        (None, _) => {
            return Err(target("resource must name one of the granted audiences"));
        }
        (Some(_), _) => return Err(target("the audience was not granted")),
    };
    let attested = login.kind != Kind::Practitioner || statement.is_some();
    let opens = url.filter(|_| attested && !scopes.is_empty());
    if opens.is_none() && !scopes.is_empty() && !wanted.has("offline_access") {
        return Err(details(
            "attestation_missing: health personnel need an attest of professional need",
        ));
    }
    let audience = opens.and_then(|url| state.registry.audience(url));
    let mut claims = issue::claims(
        state,
        now,
        client,
        audience.map_or(&state.config.issuer, |audience| &audience.url),
        holder.jkt,
        LIFETIME_SECONDS,
    );
    claims.sub = login.subject(state);
    claims.grant = Some(holder.grant.clone());
    claims.kind = login.kind;
    claims.name.clone_from(&login.name);
    claims.pid = Some(login.number.value().expose().to_owned());
    claims.security_level = Some(crate::login::HIGH.to_owned());
    match login.kind {
        Kind::Practitioner => {
            claims.orgnr_parent = Some(state.registry.organisations.main_unit(organisation));
            claims.hpr_number.clone_from(&login.hpr);
            claims.pseudonym = Some(issue::pseudonym(state, &login.number));
        }
        _ => {
            claims.orgnr_parent = None;
            claims.patient.clone_from(&login.patient);
            claims.represents = login.representation(state);
        }
    }
    let Some(audience) = audience else {
        return Ok(claims);
    };
    if login.kind == Kind::Citizen && audience.kind == AudienceKind::Gateway {
        claims.represented_by = login.represented_by(state);
    }
    let launched = wanted.has(IN_CONTEXT) || wanted.has(CHOOSE_PATIENT);
    claims.scope = scopes.to_string();
    if let Some(statement) = statement {
        let mut attest = login
            .attest(state, &organisation, statement)
            .map_err(|words| details(&words))?;
        // What the patient is called is for the client's page alone; no source needs it to find them.
        for one in &mut attest.patients {
            one.identifier.name = None;
        }
        claims.patient = attest.only_patient();
        claims.attest = Some(attest);
        claims.agreement = agreement(state, &claims, audience, now)?;
    }
    let patient = claims.patient.as_ref().filter(|_| launched);
    claims.patient_id = patient.map(|one| login::patient_id(state, one));
    let list = listed(state, organisation, wanted, &claims, audience)?;
    complete(state, organisation, &claims, list, now, record)?;
    Ok(claims)
}

/// The service whose list of patients a token is to open: where health personnel were granted that alone, and name no patient. It is a
/// sharing service for which their own organisation answers, or there is no token.
fn listed<'a>(
    state: &State,
    organisation: OrganisationNumber,
    wanted: &Wanted,
    claims: &Claims,
    audience: &'a Audience,
) -> Result<Option<&'a Audience>, OAuthError> {
    let names_nobody = |attest: &Attestation| attest.patients.is_empty();
    if !wanted.is_for_list() || !claims.attest.as_ref().is_some_and(names_nobody) {
        return Ok(None);
    }
    let own = state.registry.organisations.main_unit(organisation);
    let theirs = audience.kind == AudienceKind::Service && audience.owner == Some(own);
    match theirs && wanted.resources.len() == 1 {
        true => Ok(Some(audience)),
        false => Err(target(
            "a list of patients is asked of the organisation's own sharing service, and of that alone",
        )),
    }
}

/// The rules that every provider asks of the need, asked here first; of a list, all that its service asks (`list`).
fn complete(
    state: &State,
    organisation: OrganisationNumber,
    claims: &Claims,
    list: Option<&Audience>,
    now: Instant,
    record: &mut Record,
) -> Result<(), OAuthError> {
    let caller = claims.caller("").map_err(|error| {
        tracing::error!(%error, "claims of our own make no caller");
        OAuthError::new(OAuthCode::ServerError, "the token could not be made")
    })?;
    // The token's hash is not known yet; which token it was is told by the record that follows its use.
    *record = record.clone().by(&caller);
    record.token_hash = None;
    let facts = Facts {
        party: list.map_or(Party::Gateway, |_| Party::Sharing),
        owner: state.registry.organisations.main_unit(organisation),
        members: list.map_or(&[][..], |one| &one.members).into(),
        audience: claims.aud.as_str().into(),
        wishes: [].into(),
        known: Default::default(),
        register: state.registry.organisations.clone(),
        now,
    };
    let answer = match list {
        None => trust::need(&caller, &facts),
        Some(_) => trust::may_list(&caller, &facts),
    };
    answer.map_err(|refusal| details(&format!("{}: {}", refusal.code, refusal.message)))
}

/// A practitioner reads another organisation's data by an agreement in force, or gets no token for it.
pub(crate) fn agreement(
    state: &State,
    claims: &Claims,
    audience: &Audience,
    now: Instant,
) -> Result<Option<Agreement>, OAuthError> {
    if claims.kind != Kind::Practitioner || !audience.holds_patients() {
        return Ok(None);
    }
    let consumer = claims.orgnr_parent.ok_or_else(|| {
        OAuthError::new(
            OAuthCode::InvalidRequest,
            "the subject token names no organisation",
        )
    })?;
    if state.registry.is_own(&consumer, audience) {
        return Ok(None);
    }
    state
        .registry
        .agreement(&consumer, audience, now)
        .map(Some)
        .ok_or_else(|| target("no agreement with the audience's organisation is in force"))
}

fn target(words: &str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidTarget, words)
}

fn details(words: &str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidAuthorizationDetails, words)
}
