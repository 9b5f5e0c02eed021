//! Brings documents to their organisations' record systems: an outbox in the consuming organisation's own store, one courier a
//! receiver, until it is taken or refused for good. Delivered, the body is gone from here.

use crate::State;
use fhir::ids::OrganisationNumber;
use std::sync::Arc;
use std::time::Duration;
use store::Due;
use wire::Worker;
use wire::client::Request;
use wire::contract::record_system::DOCUMENT_SCOPE;
use wire::courier::{self, Deliver, Fate};

/// What is wrong with the document or with the place, and may be mended there for a while.
const GIVEN_UP: [u16; 4] = [400, 404, 405, 413];

/// What the outbox calls a document.
pub const TOPIC: &str = "document";

/// An organisation's record system as the outbox knows it.
pub fn receiver(organisation: OrganisationNumber) -> String {
    format!("{organisation}/record-system")
}

/// One courier for each organisation with a record system.
pub fn workers(state: &Arc<State>) -> Vec<Worker> {
    let systems = state.record_systems.iter();
    systems
        .map(|(organisation, fhir)| {
            let (state, organisation, fhir) = (state.clone(), *organisation, fhir.clone());
            Worker::new("file", async move {
                let Ok(Some(desk)) = state.desks.of(Some(organisation)).await else {
                    tracing::error!(%organisation, "its store cannot be opened: documents to its record system wait");
                    return;
                };
                let house = state.house.clone();
                let filing = Filing { state, fhir };
                courier::run(desk.store.clone(), receiver(organisation), filing, &house).await;
            })
        })
        .collect()
}

struct Filing {
    state: Arc<State>,
    /// The record system's FHIR base, which is also the audience.
    fhir: String,
}

impl Deliver for Filing {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        let waits = "an earlier document of the same patient waits";
        courier::in_turn(batch, waits, |due| self.bring(due)).await
    }
}

impl Filing {
    async fn bring(&self, due: &Due) -> Fate {
        let request = Request::post_fhir(self.fhir.clone(), due.body.clone()).request_id((self
            .state
            .house
            .ids)(
        ));
        let party = &self.state.party;
        match party.send(&self.fhir, DOCUMENT_SCOPE, request).await {
            Ok(answer) => {
                let status = answer.status.as_u16();
                let pause = answer.retry_after((self.state.house.clock)());
                fate(due.attempts, status, pause)
            }
            Err(error) => Fate::of_peer_error(&error),
        }
    }
}

/// A document's fate by the status that the record system gave it.
fn fate(attempts: u32, status: u16, pause: Option<Duration>) -> Fate {
    let reason = format!("the record system answered {status}");
    if let Some(given_up) = Fate::given_up(status, attempts, &GIVEN_UP, &reason) {
        return given_up;
    }
    match pause {
        Some(pause) if status >= 400 => Fate::RetryAfter(pause, reason),
        _ => Fate::of_status(status, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::courier::TRIES;

    #[test]
    fn what_is_never_taken_is_given_up_after_sixteen_tries() {
        let pause = Some(Duration::from_secs(9));
        for status in [400, 404, 405, 413] {
            for attempts in 0..TRIES - 1 {
                let told = fate(attempts, status, None);
                assert!(matches!(told, Fate::Retry(_)), "{status} {attempts}");
            }
            for attempts in [TRIES - 1, TRIES, u32::MAX] {
                for pause in [None, pause] {
                    let told = fate(attempts, status, pause);
                    assert!(matches!(told, Fate::Dead(_)), "{status} {attempts}");
                }
            }
        }
        // A record system that is not there, busy, or does not know us yet is waited for.
        for status in [302, 401, 403, 408, 429, 500, 503] {
            assert!(
                matches!(fate(u32::MAX, status, None), Fate::Retry(_)),
                "{status}"
            );
        }
        assert!(matches!(fate(0, 503, pause), Fate::RetryAfter(..)));
        assert!(matches!(fate(0, 422, None), Fate::Dead(_)));
        assert_eq!(fate(TRIES, 200, pause), Fate::Done);
    }
}
