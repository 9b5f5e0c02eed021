//! What the hub no longer needs is forgotten, once an hour by the clock itself.

use crate::{State, idempotency};
use std::sync::Arc;
use std::time::Duration;
use store::StoreError;
use wire::Worker;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(3600);

/// The one who forgets. A round that fails is made again an hour later: what it leaves only lies longer.
pub fn worker(state: Arc<State>) -> Worker {
    Worker::new("forget", async move {
        let pause = wire::stop::real_pause();
        loop {
            if let Err(error) = round(&state).await {
                tracing::error!(%error, "what is over could not be forgotten");
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
    idempotency::forget_all(state, now).await
}
