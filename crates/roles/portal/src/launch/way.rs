//! The way to the anchor and back: its addresses from the gateway's `.well-known/smart-configuration`, a pushed request (RFC 9126) with
//! PKCE, the browser sent away, the code exchanged. Only the configured gateway is asked for addresses, and only the portal's own
//! issuer is spoken to.

use std::sync::Arc;

use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::systems;
use serde::Deserialize;
use serde_json::json;
use trust::attest::{Attestation, CLAIM};
use trust::encoding::sha256_base64url;
use trust::keys::SigningKey;
use wire::client::{Party, PeerError, Request};
use wire::contract::Hidden;
use wire::contract::anchor::{AUTHORIZATION_CODE, END_SESSION, PushedAnswer, TokenAnswer};
use wire::contract::demo::Purpose;
use wire::contract::gateway::FHIR;
use wire::contract::launch::{AFTER_SIGN_OUT, CALLBACK, IN_CONTEXT, SMART_CONFIGURATION};

use super::citizen::{self, SignedIn};
use super::{Aim, Away, Errand, Fault, Opened, Row, Tokens, Working, hash, tokens};
use crate::State;
use crate::session::random;

/// What the portal asks for when a record system opens a patient: to look up, and to go on doing so while the page is open.
const IN_CONTEXT_SCOPE: &str = "launch offline_access user/*.rs";
/// The same for a patient who is named at the anchor; and which sign-in it was, to end it with the session.
const ALONE_SCOPE: &str = "launch/patient openid offline_access user/*.rs";
/// The list of the organisation's own patients, which names none of them.
const LIST_SCOPE: &str = "openid offline_access user/Task.s";
/// A patient of that list: to look up, and at the own service to take steps of her alerts.
const ROW_SCOPE: &str = "openid offline_access user/*.rs user/Task.u";
/// Of it, what the gateway is asked with.
const LOOK_UP: &str = "user/*.rs";
/// A citizen's own: who she is, her log and her wishes.
const CITIZEN_SCOPE: &str =
    "openid profile helseid://scopes/identity/pid offline_access patient/*.rs patient/Consent.cds";
/// Grounds of a look-up that somebody begins here, and their code system.
const GROUNDS: &str = "BEHANDLER";
const DECISION_TEMPLATE: &str = "https://terminology.dips.com/decisiontemplate";
/// A handle is never longer than this.
const LONGEST_HANDLE: usize = 512;

/// What of the gateway's SMART configuration is used.
#[derive(Deserialize)]
struct Smart {
    issuer: String,
    authorization_endpoint: String,
    pushed_authorization_request_endpoint: String,
}

/// Our own FHIR server's name: the one `iss` that opens anything here.
fn server(state: &State) -> String {
    format!("{}{FHIR}", state.config.gateway)
}

fn party(state: &State) -> Result<&Party, Fault> {
    state.party.as_ref().ok_or(Fault::Anchor)
}

fn callback(state: &State) -> String {
    format!("{}{CALLBACK}", state.config.base)
}

/// The anchor's addresses. A document that names another issuer than the one we are registered at is not used.
async fn discover(state: &State, party: &Party) -> Result<Smart, Fault> {
    let url = format!("{}{SMART_CONFIGURATION}", server(state));
    let answer = state.house.http.send(&Request::get(url)).await;
    let smart: Smart = answer
        .and_then(|answer| answer.json())
        .map_err(|error| silent(&error))?;
    let own = format!("{}/", party.issuer());
    let ours = smart.issuer == party.issuer()
        && smart.authorization_endpoint.starts_with(&own)
        && smart
            .pushed_authorization_request_endpoint
            .starts_with(&own);
    match ours {
        true => Ok(smart),
        false => {
            tracing::error!("the gateway's SMART configuration names another issuer");
            Err(Fault::Anchor)
        }
    }
}

fn silent(error: &PeerError) -> Fault {
    tracing::warn!(%error, "no way to the anchor");
    Fault::Anchor
}

/// How the portal is opened.
pub enum Launch<'a> {
    /// By a record system, with what it brought in the address.
    ByRecordSystem {
        /// Whose FHIR server it means.
        iss: &'a str,
        /// The handle.
        handle: &'a str,
    },
    /// On its own: the user says why, and names the patient at the anchor.
    Alone {
        /// What for.
        purpose: Purpose,
        /// The reason in the user's own words.
        reason: Option<&'a str>,
        /// Organisation numbers chosen from the catalogue.
        organisations: Vec<String>,
    },
    /// By a citizen, about herself.
    Citizen,
    /// For the list of the organisation's own patients, at this service.
    List(String),
    /// For a patient of such a list.
    Row(Box<Row>),
}

/// What a pushed request says of a launch.
struct Asks {
    scope: &'static str,
    /// Audiences: `aud` (SMART) or `resource` (RFC 8707), and which.
    audiences: Vec<(&'static str, String)>,
    /// One parameter more, and its value.
    more: Option<(&'static str, String)>,
}

/// Why somebody is to be asked about, as it is stated to the anchor.
struct Need<'a> {
    purpose: Purpose,
    reason: Option<&'a str>,
    decision: String,
    patient: Option<&'a Hidden>,
}

impl Need<'_> {
    /// As `authorization_details` (RFC 9396; flow 1 of the trust framework).
    fn details(&self, party: &Party) -> Result<String, Fault> {
        let place = json!({"id": party.organisation(), "system": systems::ORGNR});
        let mut care = json!({
            "purpose_of_use": {"code": self.purpose.as_str(), "system": systems::PURPOSE_OF_USE},
            "purpose_of_use_details": {"code": GROUNDS, "system": DECISION_TEMPLATE},
            "decision_ref": {"id": self.decision, "user_selected": true},
        });
        if let Some(reason) = self.reason {
            care["reason"] = json!(reason);
        }
        let patient = |number: &Hidden| {
            let person = PersonIdentifier::guess(number.expose(), PersonNumbers::Lenient);
            let person = person.map_err(|_| Fault::Lost)?;
            Ok(json!({"identifier": {"id": number.expose(), "system": person.system()}}))
        };
        let patients = self.patient.map(patient).transpose()?;
        let attest = json!({
            "type": CLAIM,
            "practitioner": {"legal_entity": place, "point_of_care": place},
            "care_relationship": care,
            "patients": Vec::from_iter(patients),
        });
        Ok(json!([attest]).to_string())
    }
}

impl Launch<'_> {
    /// What it asks for.
    fn asks(&self, state: &State, party: &Party) -> Result<Asks, Fault> {
        let (server, decision) = (server(state), || (state.house.ids)().to_string());
        let at_our_server = |scope, more| Asks {
            scope,
            audiences: vec![("aud", server.clone())],
            more,
        };
        let need = |need: Need<'_>| Ok(Some(("authorization_details", need.details(party)?)));
        Ok(match self {
            Launch::Citizen => at_our_server(CITIZEN_SCOPE, None),
            Launch::ByRecordSystem { handle, .. } => {
                at_our_server(IN_CONTEXT_SCOPE, Some((IN_CONTEXT, (*handle).to_owned())))
            }
            Launch::Alone {
                purpose, reason, ..
            } => {
                let stated = need(Need {
                    purpose: *purpose,
                    reason: *reason,
                    decision: decision(),
                    patient: None,
                })?;
                at_our_server(ALONE_SCOPE, stated)
            }
            Launch::List(service) => Asks {
                scope: LIST_SCOPE,
                audiences: vec![("resource", service.clone())],
                more: need(Need {
                    purpose: Purpose::Treat,
                    reason: None,
                    decision: decision(),
                    patient: None,
                })?,
            },
            Launch::Row(row) => Asks {
                scope: ROW_SCOPE,
                audiences: [server, row.working.service.clone()]
                    .map(|one| ("resource", one))
                    .to_vec(),
                more: need(Need {
                    purpose: row.patient.purpose,
                    reason: None,
                    decision: row.patient.decision.clone(),
                    patient: Some(&row.patient.number),
                })?,
            },
        })
    }
}

/// A launch: where the browser goes. `browser` is the value of its cookie.
///
/// # Errors
/// [`Fault`].
pub async fn begin(state: &State, launch: Launch<'_>, browser: &str) -> Result<String, Fault> {
    if let Launch::ByRecordSystem { iss, handle } = &launch
        && (*iss != server(state) || handle.is_empty() || handle.len() > LONGEST_HANDLE)
    {
        return Err(Fault::Stranger);
    }
    let party = party(state)?;
    let asks = launch.asks(state, party)?;
    let smart = discover(state, party).await?;
    let fresh = || random(&*state.house.ids);
    let (verifier, word, nonce) = (fresh(), fresh(), fresh());
    let key = SigningKey::generate().map_err(|_| Fault::Anchor)?;
    let callback = callback(state);
    let challenge = sha256_base64url(verifier.as_bytes());
    let mut form = vec![
        ("response_type", "code"),
        ("redirect_uri", callback.as_str()),
        ("scope", asks.scope),
        ("state", word.as_str()),
        ("nonce", nonce.as_str()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let more = asks.audiences.iter().chain(&asks.more);
    form.extend(more.map(|(name, value)| (*name, value.as_str())));
    let endpoint = &smart.pushed_authorization_request_endpoint;
    let pushed: PushedAnswer = party
        .post_as_client(endpoint, &form, &key)
        .await
        .map_err(|error| refused(&error))?;
    let errand = match launch {
        Launch::ByRecordSystem { .. } => Errand::ByRecordSystem,
        Launch::Alone { organisations, .. } => Errand::Alone(organisations),
        Launch::Citizen => Errand::Citizen,
        Launch::List(service) => Errand::List(service),
        Launch::Row(row) => Errand::Row(row),
    };
    let away = Away {
        browser: hash(browser),
        verifier,
        key,
        nonce,
        errand,
        since: state.now(),
    };
    state.launches.remember(&word, away)?;
    let query = wire::form::write([
        ("client_id", party.client_id()),
        ("request_uri", pushed.request_uri.expose()),
    ]);
    Ok(format!("{}?{query}", smart.authorization_endpoint))
}

/// What the anchor's refusal means to the one at the browser.
fn refused(error: &PeerError) -> Fault {
    tracing::info!(%error, "the anchor took no launch");
    match error {
        PeerError::Token("invalid_request" | "invalid_grant") => Fault::Gone,
        PeerError::Token("temporarily_unavailable" | "server_error" | "other") => Fault::Anchor,
        PeerError::Token(_) => Fault::Refused,
        _ => Fault::Anchor,
    }
}

/// What came back in the browser's address.
pub struct Back<'a> {
    /// `state`.
    pub state: &'a str,
    /// `iss` (RFC 9207).
    pub iss: &'a str,
    /// `code`, or none: an error.
    pub code: Option<&'a str>,
}

/// What a browser that came back begins.
pub enum Begun {
    /// A patient's page.
    Patient(Opened),
    /// A citizen's own pages.
    Citizen(SignedIn),
    /// The list of the organisation's own patients.
    List(Working),
    /// A patient of a list, in the session whose list it is.
    Row(Box<Row>, Opened),
}

/// The browser came back: what it opened.
///
/// # Errors
/// [`Fault`].
pub async fn complete(state: &State, back: &Back<'_>, browser: &str) -> Result<Begun, Fault> {
    let now = state.now();
    let away = state.launches.take(back.state, browser, now);
    let away = away.ok_or(Fault::Lost)?;
    let party = party(state)?;
    if back.iss != party.issuer() {
        return Err(Fault::Lost);
    }
    let code = back.code.ok_or(Fault::Refused)?;
    let aim = match &away.errand {
        // Of two audiences, the one that is asked first.
        Errand::Row(_) => Aim {
            resource: Some(server(state)),
            scope: Some(LOOK_UP),
        },
        _ => Aim::default(),
    };
    let callback = callback(state);
    let mut form = vec![
        ("grant_type", AUTHORIZATION_CODE),
        ("code", code),
        ("redirect_uri", &callback),
        ("code_verifier", &away.verifier),
    ];
    form.extend(aim.form());
    let answer: TokenAnswer = party
        .post_as_client(party.token_endpoint(), &form, &away.key)
        .await
        .map_err(|error| refused(&error))?;
    if !answer.token_type.eq_ignore_ascii_case("DPoP") {
        return Err(Fault::Anchor);
    }
    let tokens = Tokens::of(&answer, away.key.clone(), aim.clone(), now);
    let begun = begun(state, party, &answer, &tokens, away).await;
    if begun.is_err() {
        end(state, &tokens);
    }
    begun
}

/// What the tokens open.
async fn begun(
    state: &State,
    party: &Party,
    answer: &TokenAnswer,
    tokens: &Arc<Tokens>,
    away: Away,
) -> Result<Begun, Fault> {
    // A record system's own sign-in is the record system's to end.
    let signed_in = match (&away.errand, &answer.id_token) {
        (Errand::ByRecordSystem, _) => None,
        (_, None) => return Err(Fault::Anchor),
        (_, Some(jwt)) => {
            Some(citizen::verify(state, party, jwt.expose(), &away.nonce, away.since).await?)
        }
    };
    if matches!(away.errand, Errand::Citizen) {
        let token = signed_in.ok_or(Fault::Anchor)?;
        return SignedIn::of(&token, tokens.clone()).map(Begun::Citizen);
    }
    let attest = attest(answer).ok_or(Fault::Anchor)?;
    // Whom no record system vouches for.
    let token = match (&away.errand, &signed_in) {
        (Errand::ByRecordSystem, _) => None,
        _ if !is_staff(state, &attest) => return Err(Fault::NotStaff),
        (_, token) => token.as_ref(),
    };
    let open = |view, organisations| {
        let sid = token.and_then(citizen::sid);
        let tokens = tokens.clone();
        let by_record_system = token.is_none();
        let opened = Opened::of(view, &attest, tokens, sid, by_record_system, organisations);
        opened.ok_or(Fault::Anchor)
    };
    let fresh = || (state.house.ids)().simple().to_string();
    match (away.errand, token) {
        (Errand::ByRecordSystem, None) => open(fresh(), Vec::new()).map(Begun::Patient),
        (Errand::Alone(chosen), Some(_)) => open(fresh(), chosen).map(Begun::Patient),
        (Errand::List(service), Some(token)) => {
            let working = Working::of(&attest, token, service, tokens.clone());
            working.map(Begun::List).ok_or(Fault::Anchor)
        }
        (Errand::Row(row), Some(token)) => {
            let opened = open(row.id.clone(), Vec::new())?;
            // Somebody else may have signed in at the anchor meanwhile.
            if !row.is(&opened, token) {
                return Err(Fault::Refused);
            }
            let opened = row.opened(opened);
            Ok(Begun::Row(row, opened))
        }
        _ => Err(Fault::Anchor),
    }
}

/// A record system vouches for its own people. Where nobody does, only those whom the portal's organisation registered may sign in: the
/// anchor says who somebody is, not where she works.
fn is_staff(state: &State, attest: &Attestation) -> bool {
    let hpr = attest.practitioner.hpr_nr.as_ref();
    hpr.is_some_and(|hpr| state.config.staff.contains(&hpr.id))
}

/// Ends tokens at the anchor (RFC 7009); nobody waits for it. Without an answer they end there by their own time.
pub fn end(state: &State, tokens: &Tokens) {
    let (Some(party), Some(refresh)) = (state.party.clone(), tokens.end()) else {
        return;
    };
    let key = tokens.key.clone();
    tokio::spawn(async move { tokens::revoke(&party, &refresh, &key).await });
}

/// Where the browser goes to end its sign-in at the anchor too (OpenID Connect RP-Initiated Logout 1.0). The hint is the sign-in's id:
/// an ID token would bring a person's number into an address.
pub fn sign_out(state: &State, sid: &str) -> Option<String> {
    let party = state.party.as_ref()?;
    let after = format!("{}{AFTER_SIGN_OUT}", state.config.base);
    let query = wire::form::write([
        ("client_id", party.client_id()),
        ("logout_hint", sid),
        ("post_logout_redirect_uri", after.as_str()),
    ]);
    Some(format!("{}{END_SESSION}?{query}", party.issuer()))
}

/// The one attest that was granted.
fn attest(answer: &TokenAnswer) -> Option<Attestation> {
    match answer.authorization_details.as_ref()?.0.as_slice() {
        [only] if only["type"] == CLAIM => serde_json::from_value(only.clone()).ok(),
        _ => None,
    }
}
