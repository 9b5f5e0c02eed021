//! Waiting for something that can be seen.

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before a story gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(30);

/// Looks again and again until `look` sees something; panics with `what` when it never does.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look).await
}

/// The same with another patience.
pub async fn until_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let since = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(since.elapsed() < patience, "waited in vain until {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
