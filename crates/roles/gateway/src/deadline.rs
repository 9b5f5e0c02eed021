//! Deadlines that hold whatever is waited for: one for the whole look-up, and shorter ones inside it for each source.

use futures::FutureExt;
use futures::future::{BoxFuture, Either, Shared, select};
use std::pin::pin;
use std::time::Duration;

/// A moment by which waiting ends. Clones mean the same moment.
#[derive(Clone)]
pub struct Deadline(Shared<BoxFuture<'static, ()>>);

impl Deadline {
    /// So long from now.
    pub fn after(time: Duration) -> Deadline {
        Deadline::ending(tokio::time::timeout(time, std::future::pending::<()>()).map(drop))
    }

    /// So long from now, or this one if it comes first.
    pub fn or_after(&self, time: Duration) -> Deadline {
        Deadline::ending(tokio::time::timeout(time, self.0.clone()).map(drop))
    }

    /// Ends when it has passed.
    pub fn passed(&self) -> impl Future<Output = ()> + use<> {
        self.0.clone()
    }

    /// Whether it has passed.
    pub fn has_passed(&self) -> bool {
        self.0.clone().now_or_never().is_some()
    }

    fn ending(end: impl Future<Output = ()> + Send + 'static) -> Deadline {
        Deadline(end.boxed().shared())
    }

    /// Waits for `work` until the deadline; `None` when that came first. The work is dropped then.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match select(pin!(work), self.0.clone()).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    #[tokio::test]
    async fn what_never_ends_is_cut_and_what_ends_is_kept() {
        let whole = Deadline::after(Duration::from_secs(3600));
        assert_eq!(whole.within(async { 1 }).await, Some(1));
        let short = whole.or_after(Duration::from_millis(1));
        assert_eq!(short.within(std::future::pending::<()>()).await, None);
        let passed = Deadline::after(Duration::ZERO);
        let inner = passed.or_after(Duration::from_secs(3600));
        assert_eq!(inner.within(std::future::pending::<()>()).await, None);
    }
}
