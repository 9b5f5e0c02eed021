//! The hub's sign of life: it says to the sharing services that wait for it (`Receiver::expected_there`) that it is alive, also when there is
//! nothing to deliver, and which of the organisation's home systems it has not heard (decision 0060).
//!
//! It is said every five minutes, at once when somebody goes quiet or is heard again, and never by a hub that cannot make anything
//! durable: such a one would acknowledge nothing.

use crate::silence::Silence;
use crate::{Receiver, State, silence};
use fhir::ids::OrganisationNumber;
use fhir::time::Instant;
use futures::future::join_all;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Change, Expect, LedgerWrite, StoreError};
use wire::Worker;
use wire::client::Request;
use wire::contract::sharing::{Alive, COPY_STATE, DELIVER_SCOPE, Silent};

/// Ledger of the last sign, under the key `said`.
const LEDGER: &str = "alive";
/// How often it is looked whether there is something to say.
const LOOK: Duration = Duration::from_secs(15);
/// How long one sign lasts, in microseconds.
const LASTS: i64 = 300_000_000;
/// When one that was not taken is said again, in microseconds.
const AGAIN: i64 = 60_000_000;

/// A sharing service that waits for signs of life.
pub struct Waiting {
    /// Its whole FHIR base.
    fhir: String,
    /// The organisations whose readings it gets.
    organisations: Vec<OrganisationNumber>,
    said: Mutex<Said>,
}

/// What was last said to a service.
#[derive(Default)]
struct Said {
    /// What it took, and when.
    taken: Option<(Instant, Alive)>,
    /// When it last took nothing.
    failed: Option<Instant>,
}

impl Said {
    /// Whether this is to be said now.
    fn is_due(&self, alive: &Alive, now: Instant) -> bool {
        // A clock that was set back stalls nothing.
        let within = |at: Instant, micros: i64| (0..micros).contains(&now.0.saturating_sub(at.0));
        if self.failed.is_some_and(|at| within(at, AGAIN)) {
            return false;
        }
        let same = |(at, said): &(Instant, Alive)| within(*at, LASTS) && said == alive;
        !self.taken.as_ref().is_some_and(same)
    }
}

/// Who waits for signs of the client `hub`, each once, with every organisation that it receives for.
pub fn waiting(receivers: &[Receiver], hub: &str) -> Vec<Waiting> {
    let mut all: Vec<Waiting> = Vec::new();
    let waits = |one: &&Receiver| one.expected_there.iter().any(|client| client == hub);
    for receiver in receivers.iter().filter(waits) {
        let Some(fhir) = &receiver.sharing else {
            continue;
        };
        let fhir = fhir.as_str().trim_end_matches('/');
        match all.iter_mut().find(|one| one.fhir == fhir) {
            Some(one) => one.organisations.push(receiver.orgnr),
            None => all.push(Waiting {
                fhir: fhir.to_owned(),
                organisations: vec![receiver.orgnr],
                said: Mutex::default(),
            }),
        }
    }
    all
}

/// Tells operators and services; `None` where nobody is expected and nobody waits.
pub fn worker(state: Arc<State>) -> Option<Worker> {
    if state.config.expects.is_empty() && state.waiting.is_empty() {
        return None;
    }
    Some(Worker::new("alive", async move {
        let pause = state.house.pause.clone();
        loop {
            tokio::select! {
                () = state.house.stop.stopped() => return,
                said = round(&state) => if let Err(error) = said {
                    tracing::error!(%error, "the hub cannot make anything durable, and says to nobody that it is alive");
                }
            }
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(LOOK) => {}
            }
        }
    }))
}

/// Says what there is to say to everybody who waits for it, at once: one who does not answer delays no other.
///
/// # Errors
/// The store's: then nothing is said.
pub async fn round(state: &State) -> Result<(), StoreError> {
    silence::tell(state);
    let now = (state.house.clock)();
    let silences = state.silences();
    let due: Vec<_> = state
        .waiting
        .iter()
        .map(|one| (one, one.says(&silences)))
        .filter(|(one, alive)| crate::tally::locked(&one.said).is_due(alive, now))
        .collect();
    if due.is_empty() {
        return Ok(());
    }
    let said = LedgerWrite {
        ledger: LEDGER,
        key: b"said".to_vec(),
        value: Some(now.0.to_string().into_bytes()),
        expect: Expect::Any,
    };
    let change = Change {
        ledger: vec![said],
        ..Change::default()
    };
    state.desk.store.commit(change).await?;
    join_all(
        due.into_iter()
            .map(|(one, alive)| one.say(state, alive, now)),
    )
    .await;
    Ok(())
}

impl Waiting {
    /// What is to be said of its organisations' senders. Beyond what a sign holds the rest goes unnamed, and the log has them all.
    fn says(&self, silences: &[Silence]) -> Alive {
        let quiet = silences
            .iter()
            .filter(|one| one.quiet && self.organisations.contains(&one.expected.organisation));
        let silent = quiet.map(|one| Silent {
            sender: one.expected.sender.clone(),
            name: one.expected.name.clone(),
            since: one.heard,
        });
        Alive {
            silent: silent.take(Alive::MOST).collect(),
        }
    }

    async fn say(&self, state: &State, alive: Alive, now: Instant) {
        let url = format!("{}{COPY_STATE}", self.fhir);
        let request =
            Request::post_fhir(url, alive.to_json().to_string()).request_id((state.house.ids)());
        let answer = state.party.send(&self.fhir, DELIVER_SCOPE, request).await;
        let why = match answer {
            Ok(answer) if answer.status.is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status)),
            Err(error) => Some(error.to_string()),
        };
        let mut said = crate::tally::locked(&self.said);
        match why {
            None => {
                *said = Said {
                    taken: Some((now, alive)),
                    failed: None,
                }
            }
            Some(why) => {
                let service = self.fhir.as_str();
                tracing::warn!(service, why, "a sign of life was not taken");
                said.failed = Some(now);
            }
        }
    }
}
