//! An authorization request as it was pushed (RFC 9126), read strictly: `code` only, PKCE S256 only (RFC 7636), a
//! registered redirect URI exactly, SMART and identity scopes within the registration, audiences by `resource` (RFC 8707),
//! at most one attest in `authorization_details` (RFC 9396; flow 1 of the trust framework).

use crate::State;
use crate::config::Client;
use crate::launch::{self, Deposit, Opener};
use crate::login::Login;
use fhir::ids::OrganisationNumber;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trust::attest::Statement;
use trust::encoding::is_sha256_base64url;
use trust::scope::{Context, Scope, Scopes};
use trust::token::Kind;
use wire::contract::launch::{CHOOSE_PATIENT, IN_CONTEXT};
use wire::contract::work_list::WORK_LIST_SCOPE;
use wire::form::Form;
use wire::oauth_error::{OAuthCode, OAuthError};

/// `state` and `nonce` are never longer than this.
const LONGEST: usize = 512;
/// Most audiences of one request.
const AUDIENCES: usize = 32;

/// What was granted, or is asked: audiences and scopes.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Audiences, one of which a token may have.
    pub(crate) resources: Vec<String>,
    /// SMART scopes, as text.
    pub(crate) smart: String,
    /// Identity scopes.
    pub(crate) identity: Vec<String>,
}

impl Wanted {
    pub(crate) fn has(&self, identity: &str) -> bool {
        self.identity.iter().any(|one| one == identity)
    }

    pub(crate) fn scopes(&self) -> Scopes {
        Scopes::parse(&self.smart).unwrap_or_default()
    }

    /// Whether it is for the list of an organisation's own patients and nothing else (decision 0053): the one thing that health
    /// personnel ask for without naming a patient.
    pub(crate) fn is_for_list(&self) -> bool {
        let of_a_patient = self.has(IN_CONTEXT) || self.has(CHOOSE_PATIENT);
        self.smart == WORK_LIST_SCOPE && !of_a_patient
    }

    /// Both kinds of scope, as a token answer lists them.
    pub(crate) fn text(&self, smart: &str) -> String {
        let identity = self.identity.iter().map(String::as_str);
        let all: Vec<&str> = identity
            .chain(smart.split(' '))
            .filter(|one| !one.is_empty())
            .collect();
        all.join(" ")
    }
}

/// A pushed request.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Pushed {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) nonce: Option<String>,
    /// PKCE, S256.
    pub(crate) challenge: String,
    /// The DPoP key that the code is bound to, if the client named one.
    pub(crate) jkt: Option<String>,
    pub(crate) wanted: Wanted,
    /// The attest, by flow 1.
    pub(crate) statement: Option<Statement>,
    /// The record system that opened the client, if one did.
    #[serde(default)]
    pub(crate) opener: Option<Opener>,
    /// Ask who it is even if somebody is signed in.
    pub(crate) login: bool,
    /// Ask nobody: answer from the session, or not.
    pub(crate) silent: bool,
    /// Oldest sign-in that will do, in seconds.
    pub(crate) max_age: Option<i64>,
    /// Until when the browser must come with it, Unix seconds.
    pub(crate) until: i64,
}

fn refused(code: OAuthCode, words: &str) -> OAuthError {
    OAuthError::new(code, words)
}

fn invalid(words: &str) -> OAuthError {
    refused(OAuthCode::InvalidRequest, words)
}

impl Pushed {
    /// Reads the form of a client that proved itself. `proof` is the key of a DPoP proof that came along; `now` and
    /// `until` are Unix seconds.
    pub(crate) fn read(
        state: &State,
        client: &Client,
        form: Form,
        proof: Option<String>,
        now: i64,
        until: i64,
    ) -> Result<Pushed, OAuthError> {
        let (form, resources) = targets(form)?;
        for name in ["request", "request_uri", "claims", "registration"] {
            if form.get(name).is_some() {
                return Err(invalid(&format!("{name} is not taken here")));
            }
        }
        match form.get("response_type") {
            Some("code") => {}
            Some(_) => {
                return Err(refused(
                    OAuthCode::UnsupportedResponseType,
                    "response_type is not code",
                ));
            }
            None => return Err(invalid("response_type is missing")),
        }
        if form
            .get("response_mode")
            .is_some_and(|mode| mode != "query")
        {
            return Err(invalid("response_mode is not query"));
        }
        let redirect_uri = form.get("redirect_uri").unwrap_or_default();
        if !client.redirect_uris.iter().any(|one| one == redirect_uri) {
            return Err(invalid("redirect_uri is not registered"));
        }
        if form.get("code_challenge_method") != Some("S256") {
            return Err(invalid("code_challenge_method is not S256"));
        }
        let challenge = form.get("code_challenge").unwrap_or_default();
        if !is_sha256_base64url(challenge) {
            return Err(invalid("code_challenge is not a SHA-256 value"));
        }
        let short = |name: &'static str| match form.get(name) {
            Some(text) if text.is_empty() || text.len() > LONGEST => {
                Err(invalid(&format!("{name} is empty or too long")))
            }
            found => Ok(found.map(str::to_owned)),
        };
        let (login, silent) = match form.get("prompt") {
            None => (false, false),
            Some("login" | "select_account") => (true, false),
            Some("none") => (false, true),
            Some(_) => return Err(invalid("prompt is not one that is offered")),
        };
        let max_age = form.get("max_age").map(|text| {
            let number: Option<u32> = text.parse().ok();
            number
                .map(i64::from)
                .ok_or_else(|| invalid("max_age is not a number of seconds"))
        });
        let wanted = wanted(
            state,
            client,
            resources,
            form.get("scope").unwrap_or_default(),
        )?;
        let statement = statement(form.get("authorization_details"), now)?;
        if statement.is_some()
            && !wanted
                .scopes()
                .iter()
                .any(|one| one.context() == Context::User)
        {
            return Err(refused(
                OAuthCode::InvalidAuthorizationDetails,
                "an attest comes with user/ scopes",
            ));
        }
        Ok(Pushed {
            client_id: client.client_id.clone(),
            redirect_uri: redirect_uri.to_owned(),
            state: short("state")?,
            nonce: short("nonce")?,
            challenge: challenge.to_owned(),
            jkt: key(form.get("dpop_jkt"), proof)?,
            wanted,
            statement,
            opener: None,
            login,
            silent,
            max_age: max_age.transpose()?,
            until,
        })
    }

    /// Takes the need from what a record system deposited, and nothing to it from the client; without a launch, none is taken.
    pub(crate) fn in_context(&mut self, launch: Option<&Deposit>) -> Result<(), OAuthError> {
        let Some(launch) = launch else {
            if self.wanted.has(IN_CONTEXT) {
                return Err(invalid("scope launch comes with the parameter launch"));
            }
            if self.wanted.has(CHOOSE_PATIENT)
                && self.statement.is_none()
                && !self.is_for(Kind::Citizen)
            {
                return Err(refused(
                    OAuthCode::InvalidAuthorizationDetails,
                    "scope launch/patient comes with an attest, in which the patient may be left open",
                ));
            }
            return Ok(());
        };
        if !self.wanted.has(IN_CONTEXT) {
            return Err(invalid("the parameter launch comes with scope launch"));
        }
        if self.statement.is_some() {
            return Err(refused(
                OAuthCode::InvalidAuthorizationDetails,
                "the attest came with the launch; the app adds nothing to it",
            ));
        }
        if !self.is_for(Kind::Practitioner) {
            return Err(refused(
                OAuthCode::InvalidScope,
                "a launch from a record system comes with user/ scopes",
            ));
        }
        self.statement = Some(launch.statement.clone());
        self.opener = Some(launch.opener.clone());
        Ok(())
    }

    /// The organisation in whose name it is made: the record system's that opened the client, else the client's own.
    pub(crate) fn organisation(&self, client: &Client) -> OrganisationNumber {
        self.opener.as_ref().map_or(client.orgnr, |one| one.orgnr)
    }

    /// Whether health personnel must still name the patient of its attest.
    pub(crate) fn leaves_patient_open(&self) -> bool {
        let open = self.statement.as_ref();
        self.wanted.has(CHOOSE_PATIENT) && open.is_some_and(|one| one.patients.is_empty())
    }

    /// Whether this person can answer it: of the kind it is for, and after a launch the one whom the record system named.
    pub(crate) fn is_answered_by(&self, login: &Login) -> bool {
        let named = match (&self.opener, &self.statement) {
            (Some(_), Some(statement)) => launch::is_named(statement, login),
            (Some(_), None) => false,
            (None, _) => true,
        };
        named && self.is_for(login.kind)
    }

    /// Whether this person can be the one it is for: `user/` scopes are health personnel's, `patient/` scopes citizens'.
    pub(crate) fn is_for(&self, kind: Kind) -> bool {
        let needed = match kind {
            Kind::Practitioner => Context::User,
            Kind::Citizen => Context::Patient,
            Kind::System => Context::System,
        };
        self.wanted
            .scopes()
            .iter()
            .all(|one| one.context() == needed)
    }
}

/// The audiences that a form asks for, and what else is in it: `resource` as often as there are, or SMART's one `aud`, which
/// must be one of them where both stand.
fn targets(mut form: Form) -> Result<(Form, Vec<String>), OAuthError> {
    let mut resources = form.take("resource");
    let form = form.once()?;
    match form.get("aud") {
        Some(aud) if resources.is_empty() => resources.push(aud.to_owned()),
        Some(aud) if !resources.iter().any(|one| one == aud) => {
            return Err(refused(
                OAuthCode::InvalidTarget,
                "aud is not one of the resources",
            ));
        }
        _ => {}
    }
    Ok((form, resources))
}

/// The key that `dpop_jkt` and a proof name; they must agree (RFC 9449 section 10.1).
fn key(named: Option<&str>, proof: Option<String>) -> Result<Option<String>, OAuthError> {
    match (named, proof) {
        (Some(named), _) if !is_sha256_base64url(named) => {
            Err(invalid("dpop_jkt is not the SHA-256 thumbprint of a key"))
        }
        (Some(named), Some(proof)) if named != proof => Err(refused(
            OAuthCode::InvalidDpopProof,
            "dpop_jkt and the proof name different keys",
        )),
        (named, proof) => Ok(proof.or_else(|| named.map(str::to_owned))),
    }
}

fn statement(details: Option<&str>, now: i64) -> Result<Option<Statement>, OAuthError> {
    let Some(text) = details else {
        return Ok(None);
    };
    let wrong = |words: &str| refused(OAuthCode::InvalidAuthorizationDetails, words);
    match trust::json::parse(text.as_bytes()) {
        Ok(Value::Array(details)) if !details.is_empty() => {
            Statement::of(&details, now).map_err(|error| wrong(&error.to_string()))
        }
        _ => Err(wrong("authorization_details is not a JSON list of objects")),
    }
}

/// Audiences and scopes within the registration.
fn wanted(
    state: &State,
    client: &Client,
    resources: Vec<String>,
    scope: &str,
) -> Result<Wanted, OAuthError> {
    let scopes_refused = |words: &str| refused(OAuthCode::InvalidScope, words);
    let (mut smart, mut identity): (Vec<Scope>, Vec<String>) = (Vec::new(), Vec::new());
    for one in scope.split(' ').filter(|one| !one.is_empty()) {
        if client.identity.iter().any(|known| known == one) {
            if !identity.iter().any(|had| had == one) {
                identity.push(one.to_owned());
            }
        } else {
            // An identity scope outside the registration has no SMART form either.
            let scope = Scope::parse(one)
                .map_err(|_| scopes_refused("the client is not registered for this scope"))?;
            smart.push(scope);
        }
    }
    if smart.is_empty() && identity.is_empty() {
        return Err(scopes_refused("scope is missing"));
    }
    let smart = Scopes::parse(&Scopes::from(smart).to_string())
        .map_err(|error| scopes_refused(&error.to_string()))?;
    if !smart.within(&client.scopes) {
        return Err(scopes_refused(
            "the client is not registered for this scope",
        ));
    }
    let one_context = |context| smart.iter().all(|one| one.context() == context);
    if !one_context(Context::User) && !one_context(Context::Patient) {
        return Err(scopes_refused(
            "scopes of a person are all user/ or all patient/",
        ));
    }
    let target = |words: &str| refused(OAuthCode::InvalidTarget, words);
    if resources.len() > AUDIENCES {
        return Err(target("too many audiences"));
    }
    let open =
        |url: &String| client.audiences.contains(url) && state.registry.audience(url).is_some();
    if !resources.iter().all(open) {
        return Err(target("the client is not registered for this audience"));
    }
    if smart.is_empty() != resources.is_empty() {
        return Err(target("resource and SMART scopes come together"));
    }
    let mut unique: Vec<String> = Vec::new();
    for one in resources {
        if unique.contains(&one) {
            return Err(invalid("a resource stands twice"));
        }
        unique.push(one);
    }
    Ok(Wanted {
        resources: unique,
        smart: smart.to_string(),
        identity,
    })
}
