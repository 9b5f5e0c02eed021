//! Brings documents to their organisations' record systems: an outbox in the consuming organisation's own store, one courier a
//! receiver, until it is taken or refused for good. Delivered, the body is gone from here.

use crate::State;
use fhir::ids::OrganisationNumber;
use std::sync::Arc;
use store::Due;
use wire::Worker;
use wire::client::Request;
use wire::contract::record_system::DOCUMENT_SCOPE;
use wire::courier::{self, Deliver, Fate};

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
        let mut fates = Vec::with_capacity(batch.len());
        let mut held = Vec::new();
        for due in batch {
            // A document that waits holds back the later ones of its patient.
            if held.contains(&due.partition) {
                fates.push(Fate::Retry(
                    "an earlier document of the same patient waits".into(),
                ));
                continue;
            }
            let fate = self.bring(due).await;
            if matches!(fate, Fate::Retry(_) | Fate::RetryAfter(..)) {
                held.push(due.partition);
            }
            fates.push(fate);
        }
        fates
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
                let reason = format!("the record system answered {status}");
                match answer.retry_after((self.state.house.clock)()) {
                    Some(pause) if status >= 400 => Fate::RetryAfter(pause, reason),
                    _ => Fate::of_status(status, reason),
                }
            }
            Err(error) => Fate::of_peer_error(&error),
        }
    }
}
