//! What the hub no longer needs is forgotten, once an hour by the clock itself: known readings some days after their
//! clinical body is gone (CONTRACT section 5), answers under an `Idempotency-Key`, what nobody replayed from quarantine, and
//! assignments that no reading can be held against any more.

use crate::{State, amount, assignment, day, idempotency, intake, quarantine, versions};
use fhir::time::Instant;
use std::sync::Arc;
use std::time::Duration;
use store::StoreError;
use wire::Worker;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(3600);
/// µs in a day.
const DAY: i64 = 86_400_000_000;

/// The one who forgets. A round that fails is made again an hour later: what it leaves only lies longer.
pub fn worker(state: Arc<State>) -> Worker {
    Worker::new("forget", async move {
        let pause = state.house.pause.clone();
        loop {
            tokio::select! {
                () = state.house.stop.stopped() => return,
                done = round(&state) => if let Err(error) = done {
                    tracing::error!(%error, "what is over could not be forgotten");
                }
            }
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(EVERY) => {}
            }
        }
    })
}

/// One round: looks at everything once.
pub async fn round(state: &State) -> Result<(), StoreError> {
    let now = (state.house.clock)();
    let before = |days: u32| Instant(now.0.saturating_sub(i64::from(days).saturating_mul(DAY)));
    idempotency::forget(state, now).await?;
    quarantine::forget(state, before(state.config.bounds.quarantine_days)).await?;
    amount::forget(state).await?;
    versions::forget(&state.desk.store).await?;
    // A reading may come that late, and lie aside that long.
    let bounds = &state.config.bounds;
    let late = bounds.backlog_days.saturating_add(bounds.quarantine_days);
    assignment::forget(state, before(late)).await?;
    let known = before(state.config.replay_days);
    day::forget(state, known).await?;
    intake::forget(state, known).await
}
