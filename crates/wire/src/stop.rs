//! The stop signal that every worker and listener hears, and waiting that ends when it comes
//! (threats-and-faults.md section 12: drain within 10 s, lose nothing).

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;

/// Clones share one signal. Once given it stays given.
#[derive(Clone, Debug)]
pub struct Stop {
    signal: Arc<watch::Sender<bool>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A signal not yet given.
    pub fn new() -> Self {
        Self {
            signal: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Gives the signal to everyone who holds a clone.
    pub fn stop(&self) {
        self.signal.send_replace(true);
    }

    /// Whether it has been given.
    pub fn is_stopped(&self) -> bool {
        *self.signal.borrow()
    }

    /// Resolves when it is given; at once if it was.
    pub async fn stopped(&self) {
        let mut signal = self.signal.subscribe();
        // Fails only when the sender is gone, and we hold it.
        let _ = signal.wait_for(|stopped| *stopped).await;
    }
}

/// How a worker waits: real time in production, whatever a test likes in a test.
pub type Pause = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// Waiting in real time.
pub fn real_pause() -> Pause {
    Arc::new(|duration| {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where a worker waits in real time"
        )]
        let pause = tokio::time::sleep(duration);
        Box::pin(pause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_the_signal_before_and_after() {
        let stop = Stop::new();
        let other = stop.clone();
        let waiting = tokio::spawn(async move { other.stopped().await });
        assert!(!stop.is_stopped());
        stop.stop();
        assert!(waiting.await.is_ok());
        stop.clone().stopped().await;
        assert!(stop.is_stopped());
    }
}
