//! A home system (DHO-system): posts readings to the hub with its client file, in bundles, and minds every answer
//! (CONTRACT sections 2 and 6).

use crate::bundle::{self, BundleKind, CHUNK, EntryAnswer};
use crate::event::{Event, Route};
use crate::observation;
use http::{HeaderName, HeaderValue};
use std::time::Duration;
use wire::client::{Answer, Party, PeerError, Request};
use wire::contract::hub;

/// How often a whole request is tried when the receiver is busy or away.
const TRIES: u32 = 8;
/// The first pause between two tries; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// A bundle may take long to become durable on a slow disk.
const DEADLINE: Duration = Duration::from_secs(60);

/// Why a sending broke off. What was acknowledged before is there; sending again from the start changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No usable answer came.
    #[error("the receiver cannot be reached: {0}")]
    Peer(#[from] PeerError),
    /// The whole request was refused.
    #[error("the receiver refused the whole request: {status} {outcome}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The OperationOutcome's diagnostics, which name no person.
        outcome: String,
    },
    /// Nobody at hand sends by this way.
    #[error("nobody sends by {0:?}")]
    NoWay(Route),
    /// The answer is no batch-response with an answer for each entry.
    #[error("the receiver's answer does not account for each entry")]
    Unaccounted,
}

/// How a sending went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Entries taken in, now or earlier.
    pub accepted: usize,
    /// Entries refused or quarantined: the event's key and the answer.
    pub refused: Vec<(String, EntryAnswer)>,
    /// Creates refused because a later version of the same resource is there already (a feed told again).
    pub superseded: usize,
}

impl Report {
    /// Adds another report to this one.
    pub fn add(&mut self, other: Report) {
        self.accepted += other.accepted;
        self.refused.extend(other.refused);
        self.superseded += other.superseded;
    }
}

/// A home system of one organisation.
#[derive(Clone, Debug)]
pub struct HomeSystem {
    party: Party,
    base: String,
    kind: BundleKind,
}

impl HomeSystem {
    /// `hub` is the hub's base, to which `/fhir` is appended.
    pub fn new(party: Party, hub: &str) -> Self {
        Self {
            party,
            base: format!("{hub}{}", hub::FHIR),
            kind: BundleKind::Batch,
        }
    }

    /// Sends bundles of another kind.
    #[must_use]
    pub fn sending(mut self, kind: BundleKind) -> Self {
        self.kind = kind;
        self
    }

    /// The way that it sends.
    pub fn route(&self) -> Route {
        Route::Hub {
            sender: self.party.organisation().to_owned(),
        }
    }

    /// Sends, in order, the events whose route is the hub and whose sender is this home system's organisation; others are
    /// passed over. `progress` hears how many of them have been answered, and of how many.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(
        &self,
        events: &[Event],
        mut progress: impl FnMut(usize, usize) + Send,
    ) -> Result<Report, SendError> {
        let route = self.route();
        let events: Vec<&Event> = events.iter().filter(|e| e.route == route).collect();
        let mut report = Report::default();
        for (n, chunk) in events.chunks(CHUNK).enumerate() {
            let answers = self.post(chunk).await?;
            for (event, answer) in chunk.iter().zip(answers) {
                if answer.is_accepted() {
                    report.accepted += 1;
                } else {
                    report.refused.push((event.key.clone(), answer));
                }
            }
            progress((n * CHUNK + chunk.len()).min(events.len()), events.len());
        }
        Ok(report)
    }

    /// Posts one Observation as it is to `Observation`; the answer may have any status.
    ///
    /// # Errors
    /// [`SendError::Peer`].
    pub async fn send_one(&self, body: impl Into<bytes::Bytes>) -> Result<Answer, SendError> {
        let url = format!("{}/Observation", self.base);
        Ok(self
            .party
            .send(&self.base, hub::WRITE_SCOPE, Request::post_fhir(url, body))
            .await?)
    }

    /// Posts any body to the hub's FHIR base; the answer may have any status.
    ///
    /// # Errors
    /// [`SendError::Peer`].
    pub async fn send_bundle(&self, body: impl Into<bytes::Bytes>) -> Result<Answer, SendError> {
        let request = Request::post_fhir(&self.base, body).deadline(DEADLINE);
        Ok(self
            .party
            .send(&self.base, hub::DOCUMENT_SCOPE, request)
            .await?)
    }

    /// Posts a bundle of `count` entries, readings and answers to questionnaires, under an `Idempotency-Key`, if one is given, and reads an answer for each; tries again while
    /// the hub is busy or away, and waits as long as it says.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_kept(
        &self,
        bundle: bytes::Bytes,
        count: usize,
        key: Option<uuid::Uuid>,
    ) -> Result<Vec<EntryAnswer>, SendError> {
        let mut request = Request::post_fhir(&self.base, bundle).deadline(DEADLINE);
        if let Some(key) = key {
            let name = HeaderName::from_static(hub::IDEMPOTENCY_KEY);
            let value = HeaderValue::try_from(key.to_string());
            request = request.header(name, value.map_err(|_| SendError::Unaccounted)?);
        }
        let answer = patiently(&self.party, &self.base, hub::HOME_SCOPES, &request).await?;
        answers(&answer, count)
    }

    async fn post(&self, events: &[&Event]) -> Result<Vec<EntryAnswer>, SendError> {
        post_bundle(
            &self.party,
            &self.base,
            hub::WRITE_SCOPE,
            self.kind,
            "Observation",
            events,
        )
        .await
    }
}

/// Posts one bundle of events of one type to a base and reads an answer for each; tries again while the receiver is busy
/// or away.
pub(crate) async fn post_bundle(
    party: &Party,
    base: &str,
    scope: &str,
    kind: BundleKind,
    resource_type: &str,
    events: &[&Event],
) -> Result<Vec<EntryAnswer>, SendError> {
    let entry = |event: &&Event| (observation::identifier(&event.key).1, event.body.clone());
    let entries: Vec<(String, bytes::Bytes)> = events.iter().map(entry).collect();
    let borrowed = entries.iter().map(|(url, body)| (url.clone(), &body[..]));
    let body = bytes::Bytes::from(bundle::write(kind, resource_type, borrowed));
    let request = Request::post_fhir(base, body).deadline(DEADLINE);
    let answer = patiently(party, base, scope, &request).await?;
    answers(&answer, events.len())
}

/// An answer for each of a bundle's entries.
fn answers(answer: &Answer, count: usize) -> Result<Vec<EntryAnswer>, SendError> {
    if !answer.status.is_success() {
        return Err(refused(answer));
    }
    bundle::read_answers(&answer.body, count).ok_or(SendError::Unaccounted)
}

/// Sends a request, again and again while the peer is busy or away, but not for ever.
pub(crate) async fn patiently(
    party: &Party,
    audience: &str,
    scope: &str,
    request: &Request,
) -> Result<Answer, SendError> {
    let pause = wire::stop::real_pause();
    let mut wait = PAUSE;
    for _ in 1..TRIES {
        match party.send(audience, scope, request.clone()).await {
            Ok(answer) if matches!(answer.status.as_u16(), 429 | 502..=504) => {
                pause(
                    answer
                        .retry_after(crate::clients::now())
                        .unwrap_or(wait)
                        .max(wait),
                )
                .await;
            }
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_passing() => pause(wait).await,
            Err(error) => return Err(error.into()),
        }
        wait *= 2;
    }
    Ok(party.send(audience, scope, request.clone()).await?)
}

/// The refusal of a whole request.
pub(crate) fn refused(answer: &Answer) -> SendError {
    let outcome: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let issues = outcome["issue"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let words: Vec<&str> = issues
        .iter()
        .filter_map(|i| i["diagnostics"].as_str())
        .collect();
    SendError::Refused {
        status: answer.status.as_u16(),
        outcome: words.join("; "),
    }
}

#[cfg(test)]
mod tests;
