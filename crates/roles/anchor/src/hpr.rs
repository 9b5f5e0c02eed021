//! What the register of health personnel (HPR) says of whoever asks for a token that opens patients' data: are they
//! authorised, as what, and is that in force today (helsepersonelloven §§ 42 and 42 a; threats-and-faults section 2).
//!
//! Asked when a token is issued, not when somebody signs in, so that an authorisation that was withdrawn or suspended gives no
//! more tokens however long the sign-in lives. What it said is used for a short while and no longer: a register that does not
//! answer opens nothing, in words that say so. Without `[anchor.hpr]` the authorisation is what the sign-in says, and where it says
//! none, what the client states of it; `delt check` lets that start only where the deployment says that it believes it.

mod read;

use crate::State;
use crate::config::Hpr;
use crate::login::Login;
use fhir::ids::HprNumber;
use fhir::systems;
use fhir::time::{Instant, Zone};
use read::Entry;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use trust::attest::Statement;
use trust::token::Kind;
use wire::House;
use wire::client::{Http, Party, PartyError, PeerError, Request};
use wire::contract::hpr::{IDENTIFIER, SEARCH};
use wire::oauth_error::{OAuthCode, OAuthError};

/// How long the register may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// Longest answer read, in bytes: one person.
const ANSWER_BYTES: usize = 64 * 1024;
/// Most answers kept; with more, those that are too old go first, then all.
const MOST: usize = 10_000;

/// The register, as we ask it.
pub(crate) struct Register {
    source: Hpr,
    http: Http,
    /// Whom we ask as; `None`: the register takes who reaches it (a closed network).
    party: Option<Party>,
    zone: Zone,
    held: Mutex<HashMap<HprNumber, Held>>,
}

/// What the register said, and when: an entry, or that it knows nobody of that number.
#[derive(Clone)]
struct Held(Instant, Option<Arc<Entry>>);

impl Register {
    /// Reads the client file, if one is configured.
    ///
    /// # Errors
    /// [`PartyError`].
    pub(crate) fn open(source: &Hpr, house: &House, zone: &Zone) -> Result<Register, PartyError> {
        let party = |file| {
            let House {
                http, clock, ids, ..
            } = house;
            Party::from_file(file, http.clone(), clock.clone(), ids.clone())
        };
        Ok(Register {
            source: source.clone(),
            http: house.http.clone(),
            party: source.client_file.as_deref().map(party).transpose()?,
            zone: zone.clone(),
            held: Mutex::default(),
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<HprNumber, Held>> {
        // The map is whole after every statement here.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn young(&self, held: &Held, now: Instant) -> bool {
        // A clock that was set back makes no answer young again.
        (0..self.source.keep_seconds).contains(&(now.seconds() - held.0.seconds()))
    }

    /// The register's entry of a number, asked for now or a short while ago.
    async fn entry(
        &self,
        number: &HprNumber,
        now: Instant,
    ) -> Result<Option<Arc<Entry>>, PeerError> {
        let known = self.held().get(number).cloned();
        if let Some(known) = known.filter(|held| self.young(held, now)) {
            return Ok(known.1);
        }
        let found = self.ask(number).await?.map(Arc::new);
        let mut held = self.held();
        if held.len() >= MOST {
            held.retain(|_, one| self.young(one, now));
        }
        if held.len() >= MOST {
            held.clear();
        }
        held.insert(number.clone(), Held(now, found.clone()));
        Ok(found)
    }

    async fn ask(&self, number: &HprNumber) -> Result<Option<Entry>, PeerError> {
        let named = format!("{}|{}", systems::HPR, number.as_str());
        let url = format!("{}{SEARCH}", self.source.url);
        let request = Request::post_form(url, [(IDENTIFIER, named.as_str())])
            .deadline(DEADLINE)
            .answer_bytes(ANSWER_BYTES);
        let answer = match &self.party {
            Some(party) => {
                let Hpr {
                    audience, scope, ..
                } = &self.source;
                party.send(audience, scope, request).await?
            }
            None => self.http.send(&request).await?,
        };
        if !answer.status.is_success() {
            return Err(PeerError::Status(answer.status.as_u16()));
        }
        read::entry(&answer.body, number, &self.zone).map_err(PeerError::Unusable)
    }
}

/// Who signed in, with the authorisation that is in force today: the one the statement names, else the sign-in's, else the
/// first that the register has. Somebody without an HPR number is not in the register, and comes back as they are, if no
/// authorisation is stated of them.
///
/// # Errors
/// When the register knows none that is in force, or cannot be asked. Says in words which.
pub(crate) async fn confirmed<'a>(
    state: &State,
    login: &'a Login,
    statement: Option<&Statement>,
) -> Result<Cow<'a, Login>, OAuthError> {
    let (Some(register), Some(statement), Kind::Practitioner) = (&state.hpr, statement, login.kind)
    else {
        return Ok(Cow::Borrowed(login));
    };
    let Some(hpr) = &login.hpr else {
        // Nobody can confirm it, so the client's word does not stand for it.
        return match &statement.practitioner.authorization {
            Some(_) => Err(refused(
                "hpr_missing: an authorisation was stated of somebody who signed in without an HPR number",
            )),
            None => Ok(Cow::Borrowed(login)),
        };
    };
    let number = HprNumber::parse(hpr)
        .map_err(|_| refused("hpr_unknown: the sign-in's HPR number is none"))?;
    let now = (state.house.clock)();
    let entry = match register.entry(&number, now).await {
        Ok(Some(entry)) => entry,
        Ok(None) => {
            return Err(refused(
                "hpr_unknown: the register of health personnel knows nobody with the sign-in's HPR number",
            ));
        }
        Err(error) => {
            tracing::error!(%error, "the register of health personnel did not answer; nothing is opened");
            return Err(OAuthError::new(
                OAuthCode::TemporarilyUnavailable,
                "authorisation_unconfirmed: the register of health personnel does not answer; try again in a moment",
            ));
        }
    };
    if !entry.is(&login.number) {
        return Err(refused(
            "hpr_differs: the sign-in's HPR number is another person's in the register of health personnel",
        ));
    }
    let stated = statement.practitioner.authorization.as_ref();
    let own = login.authorization.as_ref().map(|(code, _)| code.as_str());
    let in_force = entry.in_force(now);
    let named = |code: &str| in_force.iter().find(|one| one.code == code);
    let chosen = match (stated, own) {
        (Some(stated), _) => named(&stated.code),
        (None, Some(own)) => named(own),
        (None, None) => in_force.first(),
    };
    let Some(chosen) = chosen else {
        return Err(refused(
            "authorisation_not_in_force: the register of health personnel has no such authorisation in force for who signed in",
        ));
    };
    let mut confirmed = login.clone();
    confirmed.authorization = Some((chosen.code.clone(), chosen.text.clone()));
    Ok(Cow::Owned(confirmed))
}

fn refused(words: &str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidAuthorizationDetails, words)
}
