//! Tells the locator which kinds of data this organisation holds about whom (CONTRACT section 8).
//!
//! What to tell is written by the data's own commit into the outbox; here it is only carried, in order and until it is
//! taken. A heartbeat with the highest sequence number lets others see that nothing is missing.

use crate::State;
use std::sync::Arc;
use std::time::Duration;
use store::Due;
use wire::Worker;
use wire::client::Request;
use wire::contract::locator::{
    Accepted, Announcement, OUTBOX_RECEIVER, REGISTER, REGISTER_SCOPE, Registration,
};
use wire::courier::{self, Deliver, Fate};

/// How often the locator hears that this service is alive, when there is nothing else to tell.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// The courier to the locator and its heartbeat; none where no locator is agreed on.
pub fn workers(state: Arc<State>) -> Vec<Worker> {
    if state.locator.is_none() {
        return Vec::new();
    }
    let announcing = state.clone();
    vec![
        Worker::new("announce", async move {
            let house = announcing.house.clone();
            courier::run(
                announcing.desk.store.clone(),
                OUTBOX_RECEIVER.to_owned(),
                Announcing(announcing),
                &house,
            )
            .await;
        }),
        Worker::new("heartbeat", heartbeat(state)),
    ]
}

struct Announcing(Arc<State>);

impl Deliver for Announcing {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        let mut entries = Vec::with_capacity(batch.len());
        let mut fates = Vec::with_capacity(batch.len());
        for due in batch {
            match serde_json::from_slice::<Announcement>(&due.body) {
                Ok(entry) => {
                    entries.push(entry);
                    fates.push(Fate::Done);
                }
                Err(_) => fates.push(Fate::Dead("not an announcement".into())),
            }
        }
        if let Err(reason) = tell(&self.0, entries).await {
            return fates
                .into_iter()
                .map(|fate| {
                    if matches!(fate, Fate::Done) {
                        Fate::Retry(reason.clone())
                    } else {
                        fate
                    }
                })
                .collect();
        }
        fates
    }
}

/// Sends one registration; the words of a failure hold nothing about a person.
async fn tell(state: &State, entries: Vec<Announcement>) -> Result<(), String> {
    let Some((base, party)) = &state.locator else {
        return Ok(());
    };
    let high_water = state
        .desk
        .store
        .presence_high_water()
        .await
        .map_err(|e| e.to_string())?;
    let registration = Registration {
        holder: state.config.id.clone(),
        entries,
        high_water,
    };
    let request = Request::post_json(format!("{base}{REGISTER}"), &registration)
        .map_err(|e| e.to_string())?;
    let answer = party
        .send(base, REGISTER_SCOPE, request)
        .await
        .map_err(|e| e.to_string())?;
    if !answer.status.is_success() {
        return Err(format!("the locator answered {}", answer.status));
    }
    answer
        .json::<Accepted>()
        .map(|_| ())
        .map_err(|e| e.to_string())
}

async fn heartbeat(state: Arc<State>) {
    let pause = wire::stop::real_pause();
    loop {
        tokio::select! {
            () = state.house.stop.stopped() => return,
            () = pause(HEARTBEAT) => {}
        }
        if let Err(reason) = tell(&state, Vec::new()).await {
            tracing::warn!(
                service = state.config.id,
                reason,
                "the locator did not take a heartbeat"
            );
        }
    }
}
