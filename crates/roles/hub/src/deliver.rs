//! From the outbox to a receiver: one batch Bundle for one organisation, answered entry by entry.
//!
//! A document goes alone: to a record system as it was sent, to a sharing service as one transaction (`document`).
//!
//! The readings go out byte for byte as they were sent. The Bundle's tag names the responsible organisation; each entry's
//! fullUrl is its key at the hub, the same at every try.

use crate::{Destination, State, document, intake};
use bytes::Bytes;
use fhir::bundle::entries;
use fhir::ids::OrganisationNumber;
use fhir::json::{Json, Limits, quote};
use fhir::systems;
use http::StatusCode;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use store::Due;
use wire::Worker;
use wire::client::{Answer, PeerError, Request};
use wire::contract::hub::ReceiverKind;
use wire::contract::record_system;
use wire::contract::sharing::{self, ANSWERS_SCOPE, DELIVER_SCOPE};
use wire::courier::{self, Deliver, Fate};

/// One courier a destination.
pub fn workers(state: &Arc<State>) -> Vec<Worker> {
    (0..state.destinations.len())
        .map(|at| {
            let state = state.clone();
            Worker::new("deliver", async move {
                let (store, house) = (state.desk.store.clone(), state.house.clone());
                let Some(receiver) = state.destinations.get(at).map(|d| d.name.clone()) else {
                    return;
                };
                courier::run(store, receiver, Delivering { state, at }, &house).await;
            })
        })
        .collect()
}

pub(crate) struct Delivering {
    pub(crate) state: Arc<State>,
    pub(crate) at: usize,
}

/// Answers to an entry alone that are not waited for for ever. Until it is given up it holds up its own patient's alone.
const GIVEN_UP: [u16; 2] = [400, 413];
/// Bytes of one bundle at most: a receiver takes 10 MiB (threats-and-faults.md section 4).
const BUNDLE_BYTES: usize = 8 << 20;
/// What stands round an entry's resource in a bundle.
const AROUND: usize = 160;

impl Deliver for Delivering {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        let Some(destination) = self.state.destinations.get(self.at) else {
            return Vec::new();
        };
        // An entry that waits holds back the later ones of its patient, in this bundle and the next.
        let mut fates =
            vec![Fate::Retry("an earlier entry of the same patient waits".into()); batch.len()];
        let mut held: HashSet<i64> = HashSet::new();
        for range in bundles(batch) {
            let ready: Vec<usize> = range
                .filter(|at| !held.contains(&batch[*at].partition))
                .collect();
            if ready.is_empty() {
                continue;
            }
            let told = match self.send(destination, batch, &ready).await {
                Sent::Told(told) => ready.into_iter().zip(told).collect(),
                Sent::Unreadable(status) if ready.len() == 1 => {
                    vec![(
                        ready[0],
                        fate(&batch[ready[0]], status.as_u16(), answered(status)),
                    )]
                }
                Sent::Unreadable(_) => self.one_by_one(destination, batch, &ready).await,
            };
            for (at, fate) in told {
                if fate.is_retry() {
                    held.insert(batch[at].partition);
                }
                fates[at] = fate;
            }
        }
        fates
    }
}

/// Cuts a batch where the next entry would make a bundle too long or is of another kind. Each has at least one entry.
fn bundles(batch: &[Due]) -> Vec<Range<usize>> {
    let mut cut = Vec::new();
    let (mut from, mut size) = (0, 0);
    for (at, due) in batch.iter().enumerate() {
        let more = due.body.len() + AROUND;
        let alone = at > from && (is_document(due) || due.topic != batch[at - 1].topic);
        if alone || at > from && size + more > BUNDLE_BYTES {
            cut.push(from..at);
            (from, size) = (at, 0);
        }
        size += more;
    }
    cut.push(from..batch.len());
    cut
}

/// The type of a bundle's entries, and the scope that delivers them.
fn kind_of(topic: &str) -> (&'static str, &'static str) {
    match topic {
        intake::ANSWERS => ("QuestionnaireResponse", ANSWERS_SCOPE),
        _ => ("Observation", DELIVER_SCOPE),
    }
}

fn is_document(due: &Due) -> bool {
    due.topic == document::TOPIC
}

/// What came of one bundle.
enum Sent {
    /// A fate for each entry.
    Told(Vec<Fate>),
    /// The receiver cannot take the bundle as it is: something in it is too long, too deep or not for it.
    Unreadable(StatusCode),
}

fn answered(status: StatusCode) -> String {
    format!("the receiver answered {status}")
}

impl Delivering {
    /// Sends those entries of the batch in one bundle.
    async fn send(&self, destination: &Destination, batch: &[Due], ready: &[usize]) -> Sent {
        let sent: Vec<&Due> = ready.iter().map(|at| &batch[*at]).collect();
        if let [one] = sent.as_slice()
            && is_document(one)
        {
            return self.send_document(destination, one).await;
        }
        let request = Request::post_fhir(destination.fhir.clone(), bundle(destination, &sent))
            .request_id((self.state.house.ids)());
        let party = &self.state.party;
        let (_, scope) = kind_of(sent.first().map_or("", |due| due.topic.as_str()));
        let answer = party.send(&destination.fhir, scope, request).await;
        match answer {
            Ok(answer) if answer.status.is_success() => Sent::Told(fates(answer.body, &sent)),
            answer => self.other(answer, sent.len()),
        }
    }

    /// Sends a document.
    async fn send_document(&self, destination: &Destination, due: &Due) -> Sent {
        let (scope, body) = match destination.kind {
            ReceiverKind::RecordSystem => (record_system::DOCUMENT_SCOPE, Some(due.body.to_vec())),
            ReceiverKind::Sharing => (
                sharing::DOCUMENT_SCOPE,
                document::transaction(&due.body, &destination.orgnr),
            ),
        };
        let Some(body) = body else {
            return Sent::Told(vec![Fate::Dead("the document does not read again".into())]);
        };
        let request =
            Request::post_fhir(destination.fhir.clone(), body).request_id((self.state.house.ids)());
        let answer = self
            .state
            .party
            .send(&destination.fhir, scope, request)
            .await;
        match answer {
            Ok(answer) if answer.status.is_success() => Sent::Told(vec![Fate::Done]),
            answer => self.other(answer, 1),
        }
    }

    /// What an answer means that takes nothing in, for each of `count` entries.
    fn other(&self, answer: Result<Answer, PeerError>, count: usize) -> Sent {
        let fate = match answer {
            Ok(answer) if matches!(answer.status.as_u16(), 400 | 413 | 422) => {
                return Sent::Unreadable(answer.status);
            }
            Ok(answer) => {
                let reason = answered(answer.status);
                match answer.retry_after((self.state.house.clock)()) {
                    Some(pause) => Fate::RetryAfter(pause, reason),
                    None => Fate::Retry(reason),
                }
            }
            Err(error) => Fate::of_peer_error(&error),
        };
        Sent::Told(vec![fate; count])
    }

    /// Each entry in a bundle of its own, so that the one that cannot be taken holds up no other patient's.
    async fn one_by_one(
        &self,
        destination: &Destination,
        batch: &[Due],
        ready: &[usize],
    ) -> Vec<(usize, Fate)> {
        let mut fates = Vec::with_capacity(ready.len());
        let mut held = HashSet::new();
        for at in ready {
            let partition = batch[*at].partition;
            if held.contains(&partition) {
                continue;
            }
            let fate = match self.send(destination, batch, &[*at]).await {
                Sent::Told(told) => told
                    .into_iter()
                    .next()
                    .unwrap_or_else(|| Fate::Retry("the delivery told nothing about it".into())),
                Sent::Unreadable(status) => fate(&batch[*at], status.as_u16(), answered(status)),
            };
            if fate.is_retry() {
                held.insert(partition);
            }
            fates.push((*at, fate));
        }
        fates
    }
}

/// A Bundle for one responsible organisation, as far as its first entry.
pub(crate) fn opening(kind: &str, owner: &OrganisationNumber) -> String {
    format!(
        "{{\"resourceType\":\"Bundle\",\"meta\":{{\"tag\":[{{\"system\":{},\"code\":{}}}]}},\"type\":{},\"entry\":[",
        quote(systems::ORGNR),
        quote(owner.as_str()),
        quote(kind)
    )
}

fn bundle(destination: &Destination, batch: &[&Due]) -> Vec<u8> {
    let size: usize = batch.iter().map(|due| due.body.len() + AROUND).sum();
    let mut out = Vec::with_capacity(size + 256);
    out.extend_from_slice(opening("batch", &destination.orgnr).as_bytes());
    for (i, due) in batch.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"fullUrl\":");
        out.extend_from_slice(quote(&format!("urn:uuid:{}", due.key)).as_bytes());
        out.extend_from_slice(b",\"resource\":");
        out.extend_from_slice(&due.body);
        let (kind, _) = kind_of(&due.topic);
        out.extend_from_slice(b",\"request\":{\"method\":\"POST\",\"url\":");
        out.extend_from_slice(quote(kind).as_bytes());
        out.extend_from_slice(b"}}");
    }
    out.extend_from_slice(b"]}");
    out
}

/// Reads a batch-response: one fate an entry, in order. An answer that cannot be read is no acknowledgement.
fn fates(body: Bytes, sent: &[&Due]) -> Vec<Fate> {
    let unreadable =
        || vec![Fate::Retry("the receiver's answer could not be read".into()); sent.len()];
    let Ok(json) = Json::parse(body, Limits::BUNDLE) else {
        return unreadable();
    };
    let told: Vec<_> = entries(json.root()).collect();
    if told.len() != sent.len() {
        return unreadable();
    }
    let each = told.iter().zip(sent);
    each.map(|(entry, due)| match entry.response_status() {
        Some(status) => fate(
            due,
            status,
            format!("the receiver answered {status}{}", first_words(entry)),
        ),
        None => Fate::Retry("the receiver's answer names no status".into()),
    })
    .collect()
}

/// An entry's fate by the status that the receiver gave it alone.
fn fate(due: &Due, status: u16, reason: String) -> Fate {
    Fate::given_up(status, due.attempts, &GIVEN_UP, &reason)
        .unwrap_or_else(|| Fate::of_status(status, reason))
}

/// What the receiver found first: issue code and place, which hold nothing about a person.
fn first_words(entry: &fhir::bundle::Entry<'_>) -> String {
    let Some(outcome) = entry.response_outcome() else {
        return String::new();
    };
    let Some(issue) = outcome.issues.first() else {
        return String::new();
    };
    format!(": {} at {}", issue.code.code(), issue.expression.join(", "))
}
