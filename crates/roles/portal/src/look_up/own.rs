//! Questions to the organisation's own sharing service, where its patients are followed up: the list of them, one patient's alerts, and
//! steps of an alert. The service is found in the catalogue; a token is for that service alone.

use std::sync::Arc;
use std::time::Duration;

use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::systems;
use http::StatusCode;
use http::header::{HeaderValue, IF_MATCH};
use serde_json::Value;
use trust::keys::SigningKey;
use wire::client::{Party, Request};
use wire::contract::Hidden;
use wire::contract::demo::DemoPractitioner;
use wire::contract::work_list::{COUNT, KNOWN, OFFSET, WORK_LIST, WorkList};
use wire::signed;

use super::{Asker, LookUpError, catalogue, token};
use crate::State;
use crate::launch::{Aim, Working};
use crate::session::View;

/// Rows of a page of the list.
pub const ROWS: usize = 50;
/// How long the list may take: the service reads for as long as a nurse waits, and says what it did not reach.
const LIST_DEADLINE: Duration = Duration::from_secs(15);
/// What an alert is about, as its Task is coded.
const TOPICS: [&str; 2] = ["alert-readings", "alert-missing"];
/// `Task.status` of alerts that are open.
const OPEN: &str = "requested,accepted,in-progress";
/// `Task.status` of alerts that are closed.
const CLOSED: &str = "completed,rejected";
/// Closed alerts of a patient that a page shows, the newest.
const CLOSED_SHOWN: &str = "10";
/// Open alerts of one answer.
const PAGE: &str = "200";
/// Answers followed at most.
const MOST_PAGES: usize = 5;

/// Somebody who works at the organisation, and whose tokens she asks by.
pub enum Personnel<'a> {
    /// Chosen in the demo, with the session's key: test tokens.
    Chosen(&'a DemoPractitioner, &'a SigningKey),
    /// Signed in at the anchor: her own.
    SignedIn(&'a Arc<Working>),
}

impl Personnel<'_> {
    /// Number of the organisation.
    pub fn organisation(&self) -> &str {
        match self {
            Personnel::Chosen(person, _) => &person.orgnr,
            Personnel::SignedIn(working) => &working.organisation,
        }
    }
}

/// The way to one organisation's own service, as somebody who works there.
pub struct Own<'a> {
    state: &'a State,
    by: Personnel<'a>,
    base: String,
}

/// Where an organisation's own service is.
///
/// # Errors
/// [`LookUpError::NoService`] where the catalogue lists none, [`LookUpError::Silent`] when it does not answer.
pub async fn service(state: &State, organisation: &str) -> Result<String, LookUpError> {
    let found = catalogue::service_of(state, organisation).await;
    let found = found.map_err(|error| {
        tracing::warn!(%error, "no address from the catalogue");
        LookUpError::Silent
    })?;
    found.ok_or(LookUpError::NoService)
}

fn party(state: &State) -> Result<&Party, LookUpError> {
    state.party.as_ref().ok_or(LookUpError::NoSignIn)
}

/// A step of an alert, as the form says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take it.
    Own,
    /// It has been looked into.
    Acknowledge,
    /// A note.
    Note,
    /// Close it.
    Resolve,
    /// Let it stand for another of hers too, which ends.
    Join,
    /// Offer it to another organisation.
    HandOver,
    /// Take what another offers.
    Accept,
    /// Do not.
    Decline,
}

/// Step and its word, in forms and in the service's address.
const STEPS: [(Step, &str); 8] = [
    (Step::Own, "own"),
    (Step::Acknowledge, "acknowledge"),
    (Step::Note, "note"),
    (Step::Resolve, "resolve"),
    (Step::Join, "join"),
    (Step::HandOver, "hand-over"),
    (Step::Accept, "accept"),
    (Step::Decline, "decline"),
];

impl Step {
    /// The step of a word.
    pub fn parse(word: &str) -> Option<Step> {
        STEPS.iter().find(|row| row.1 == word).map(|row| row.0)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        STEPS
            .iter()
            .find(|row| row.0 == self)
            .map_or("", |row| row.1)
    }
}

/// A step to be taken.
pub struct Wanted<'a> {
    /// The Task.
    pub task: &'a str,
    /// The version that it was seen in.
    pub version: u64,
    /// Which step.
    pub step: Step,
    /// What she says.
    pub note: Option<&'a str>,
    /// Whether others may look up what she says.
    pub shared: bool,
    /// To which organisation, for a hand-over.
    pub to: Option<&'a str>,
    /// With which other, as it was seen, for joining: `Task/{id}/_history/{version}`.
    pub with: Option<&'a str>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is taken.
    Done,
    /// Somebody came before: another version, or another owner.
    Changed,
    /// It takes a note, or one that is not too long, or an organisation that alerts are handed over to, or room for what is joined.
    Incomplete,
}

impl<'a> Own<'a> {
    /// The service of the organisation that somebody works for: found in the catalogue, or the one that she signed in for.
    ///
    /// # Errors
    /// As [`service`].
    pub async fn of(state: &'a State, by: Personnel<'a>) -> Result<Own<'a>, LookUpError> {
        let base = match &by {
            Personnel::Chosen(person, _) => service(state, &person.orgnr).await?,
            Personnel::SignedIn(working) => working.service.clone(),
        };
        Ok(Own { state, by, base })
    }

    /// The list from a row on. `known` are tags of what the page has: the list's and then those of its rows, joined by commas. The same
    /// list comes without rows, and a changed one with those that changed.
    ///
    /// # Errors
    /// [`LookUpError`].
    pub async fn list(&self, offset: usize, known: Option<&str>) -> Result<WorkList, LookUpError> {
        let state = self.state;
        let (key, token) = match &self.by {
            Personnel::Chosen(person, key) => {
                let answer = token::for_list(state, person, key, &self.base).await?;
                (*key, answer.access_token)
            }
            Personnel::SignedIn(working) => {
                let tokens = &working.tokens;
                let token = tokens.token(party(state)?, state.now()).await?;
                (&tokens.key, token)
            }
        };
        let asker = Asker { state, key, token };
        let (count, offset) = (ROWS.to_string(), offset.to_string());
        let mut form = vec![(COUNT, count.as_str()), (OFFSET, offset.as_str())];
        form.extend(known.map(|tag| (KNOWN, tag)));
        let request = Request::post_form(format!("{}{WORK_LIST}", self.base), form);
        let request = request.deadline(LIST_DEADLINE);
        let json: Value = given(asker.send(request).await?)?;
        let list = WorkList::from_json(&json).map_err(|error| {
            tracing::warn!(%error, "the list is not as the contract says");
            LookUpError::Unusable("the list")
        })?;
        // Nobody is to be missing: a row is given, or is one that the page has.
        let has = |tag: &String| {
            let mut known = known.into_iter().flat_map(|tags| tags.split(','));
            list.rows.iter().any(|row| row.tag == *tag) || known.any(|one| one == tag)
        };
        match list.order.iter().all(has) {
            true => Ok(list),
            false => Err(LookUpError::Unusable("a row of the list is missing")),
        }
    }

    /// The way to one patient's alerts there.
    ///
    /// # Errors
    /// [`LookUpError`] when there is no token.
    pub async fn patient(&self, view: &'a View) -> Result<OfPatient<'a>, LookUpError> {
        let state = self.state;
        let (key, token) = match (&self.by, view) {
            (Personnel::Chosen(person, key), View::Chosen(view)) => {
                let answer = token::for_steps(state, person, key, view, &self.base).await?;
                (*key, answer.access_token)
            }
            (Personnel::SignedIn(_), View::Launched(opened)) => {
                let aim = Aim {
                    resource: Some(self.base.clone()),
                    scope: Some(token::STEPS),
                };
                let tokens = &opened.tokens;
                let token = tokens.token_for(party(state)?, &aim, state.now()).await?;
                (&tokens.key, token)
            }
            _ => return Err(LookUpError::NoSignIn),
        };
        Ok(OfPatient {
            asker: Asker { state, key, token },
            base: self.base.clone(),
            number: view.number(),
        })
    }
}

/// What the service gave to a question.
fn given<T: serde::de::DeserializeOwned>(answer: wire::client::Answer) -> Result<T, LookUpError> {
    match answer.status {
        StatusCode::OK => answer.json().map_err(|_| LookUpError::Unusable("not JSON")),
        StatusCode::NOT_FOUND => Err(LookUpError::NoService),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(LookUpError::NotAllowed),
        _ => Err(LookUpError::Unusable("unexpected status")),
    }
}

/// One patient at the organisation's own service.
pub struct OfPatient<'a> {
    asker: Asker<'a>,
    base: String,
    number: &'a Hidden,
}

/// One answer to a search.
struct Found(Value);

impl Found {
    fn alerts(&self) -> Vec<Value> {
        let entries = self.0["entry"].as_array().into_iter().flatten();
        entries
            .filter(|entry| entry["search"]["mode"] == "match")
            .map(|entry| entry["resource"].clone())
            .collect()
    }

    fn next(&self) -> Option<String> {
        let links = self.0["link"].as_array()?;
        let next = links.iter().find(|link| link["relation"] == "next")?;
        next["url"].as_str().map(str::to_owned)
    }
}

impl OfPatient<'_> {
    /// Her alerts as they rest: every one that is open, then the newest of those that are closed, each the newest first.
    ///
    /// # Errors
    /// [`LookUpError`], also where more are open than can be followed: none of them is left out.
    pub async fn alerts(&self) -> Result<Vec<Value>, LookUpError> {
        let open = [("status", OPEN), ("_count", PAGE)];
        let mut page = self.found(&open).await?;
        let mut alerts = page.alerts();
        let mut pages = 1;
        while let Some(next) = page.next() {
            if pages == MOST_PAGES {
                return Err(LookUpError::Unusable("too many open alerts"));
            }
            if !next.starts_with(&format!("{}/", self.base)) {
                return Err(LookUpError::Unusable("a next link leads elsewhere"));
            }
            page = self.asked(Request::get(next)).await?;
            alerts.extend(page.alerts());
            pages += 1;
        }
        let closed = [("status", CLOSED), ("_count", CLOSED_SHOWN)];
        let closed = self.found(&closed).await?.alerts();
        // What was closed between the two questions is closed.
        alerts.retain(|open| closed.iter().all(|one| one["id"] != open["id"]));
        alerts.extend(closed);
        Ok(alerts)
    }

    /// The first page of her alerts that are asked for, the newest first.
    async fn found(&self, narrowed: &[(&str, &str)]) -> Result<Found, LookUpError> {
        let number = self.number.expose();
        let person = PersonIdentifier::guess(number, PersonNumbers::Lenient)
            .map_err(|_| LookUpError::Unusable("the patient's number"))?;
        let named = format!("{}|{number}", person.system());
        let ours = TOPICS.map(|topic| format!("{}|{topic}", systems::ASSESSMENT));
        let ours = ours.join(",");
        let mut form = vec![
            ("patient.identifier", named.as_str()),
            ("code", ours.as_str()),
            ("_sort", "-authored-on"),
        ];
        form.extend(narrowed);
        let request = Request::post_form(format!("{}/Task/_search", self.base), form);
        self.asked(request).await
    }

    async fn asked(&self, request: Request) -> Result<Found, LookUpError> {
        given(self.asker.send(request).await?).map(Found)
    }

    /// What she says of a Task, signed with the key of her session.
    fn signed(&self, wanted: &Wanted<'_>, note: &str) -> Result<String, LookUpError> {
        let house = &self.asker.state.house;
        let (now, jti) = ((house.clock)(), (house.ids)().to_string());
        let claims = signed::Claims::of(wanted.task, wanted.version, note.trim(), now, jti);
        let signed = claims.sign(self.asker.key);
        signed.map_err(|_| LookUpError::Unusable("what is said cannot be signed"))
    }

    /// Takes a step.
    ///
    /// # Errors
    /// [`LookUpError`] where it is not known what became of it, or it is not hers to take.
    pub async fn step(&self, wanted: &Wanted<'_>) -> Result<Taken, LookUpError> {
        let Wanted { task, version, .. } = wanted;
        let url = format!("{}/Task/{task}/${}", self.base, wanted.step.word());
        let mut form = Vec::new();
        form.extend(wanted.note.map(|note| ("note", note)));
        form.extend(wanted.to.map(|to| ("to", to)));
        form.extend(wanted.with.map(|with| ("with", with)));
        let shares = matches!(wanted.step, Step::Acknowledge | Step::Note | Step::Resolve);
        let note = wanted.note.filter(|_| wanted.shared && shares);
        let signature = note.map(|note| self.signed(wanted, note)).transpose()?;
        if let Some(signature) = &signature {
            form.extend([("shared", "true"), ("signature", signature)]);
        }
        let seen = HeaderValue::try_from(format!("W/\"{version}\""))
            .map_err(|_| LookUpError::Unusable("the version"))?;
        let request = Request::post_form(url, form).header(IF_MATCH, seen);
        let answer = self.asker.send(request).await?;
        match answer.status.as_u16() {
            200 => Ok(Taken::Done),
            404 | 409 | 412 => Ok(Taken::Changed),
            400 | 422 => Ok(Taken::Incomplete),
            401 | 403 => Err(LookUpError::NotAllowed),
            _ => Err(LookUpError::Unusable("unexpected status")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_word() {
        for (step, word) in STEPS {
            assert_eq!(Step::parse(word), Some(step));
            assert_eq!(step.word(), word);
        }
        assert_eq!(Step::parse("tell"), None);
    }
}
