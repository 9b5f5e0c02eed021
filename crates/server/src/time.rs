//! Time as a process has it: the wall clock's; in the demo, where a story is to be seen whole, that clock put to another moment,
//! from which it goes on at its own pace. Whoever waits by it wakes when it is put on past the end of the wait.

use anyhow::bail;
use fhir::time::Instant;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use wire::stop::{Pause, real_pause};

/// A clock and the waiting that goes with it. Clones are the same clock.
#[derive(Clone, Default)]
pub struct Time(Option<Arc<Put>>);

/// How far from the wall clock.
struct Put {
    micros: AtomicI64,
    moved: watch::Sender<()>,
}

impl Time {
    /// The wall clock, put to `at`.
    pub fn from(at: Instant) -> Self {
        Self(Some(Arc::new(Put {
            micros: AtomicI64::new(at.0.saturating_sub(wall())),
            moved: watch::Sender::default(),
        })))
    }

    /// Now.
    pub fn now(&self) -> Instant {
        let put = self.0.as_ref();
        let off = put.map_or(0, |put| put.micros.load(Ordering::SeqCst));
        Instant(wall().saturating_add(off))
    }

    /// As stores and roles take it.
    pub fn clock(&self) -> store::Clock {
        let time = self.clone();
        Arc::new(move || time.now())
    }

    /// The same, off by as many microseconds as `skew` holds (the demo's fault switch `skewed`).
    pub fn skewed(&self, skew: Arc<AtomicI64>) -> store::Clock {
        let time = self.clone();
        Arc::new(move || Instant(time.now().0.saturating_add(skew.load(Ordering::Relaxed))))
    }

    /// Waiting by it.
    pub fn pause(&self) -> Pause {
        let Some(put) = self.0.clone() else {
            return real_pause();
        };
        let (time, real) = (self.clone(), real_pause());
        Arc::new(move |wait| {
            let (time, real, mut moved) = (time.clone(), real.clone(), put.moved.subscribe());
            let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
            let end = time.now().0.saturating_add(micros);
            Box::pin(async move {
                loop {
                    let left = end.saturating_sub(time.now().0);
                    let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else {
                        return;
                    };
                    tokio::select! {
                        () = real(Duration::from_micros(left)) => return,
                        // Never an error: the clock that is held here holds the sender.
                        _ = moved.changed() => {}
                    }
                }
            })
        })
    }

    /// Puts it on to `at`, unless that is past.
    ///
    /// # Errors
    /// Of the wall clock, which nobody puts.
    pub fn put(&self, at: Instant) -> anyhow::Result<()> {
        let Some(put) = &self.0 else {
            bail!(
                "this region has the wall clock; a demo that is started with --from-day has one that is put"
            );
        };
        let by = at.0.saturating_sub(self.now().0).max(0);
        put.micros.fetch_add(by, Ordering::SeqCst);
        put.moved.send_replace(());
        Ok(())
    }
}

/// Microseconds since 1970 by the wall clock.
fn wall() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn it_is_put_forward_and_never_back() {
        let time = Time::from(Instant(DAY));
        assert!(time.now() >= Instant(DAY));
        assert!(time.now() < Instant(2 * DAY), "it goes at the wall's pace");
        time.put(Instant(10 * DAY)).unwrap();
        assert!(time.clock()() >= Instant(10 * DAY));
        assert!(time.put(Instant(9 * DAY)).is_ok() && time.now() >= Instant(10 * DAY));
        let skewed = time.skewed(Arc::new(AtomicI64::new(-DAY)));
        assert!(skewed() < Instant(10 * DAY));
        assert!(Time::default().put(Instant(i64::MAX)).is_err());
    }

    #[tokio::test]
    async fn whoever_waits_wakes_when_the_end_is_passed_and_not_before() {
        let time = Time::from(Instant(DAY));
        let mut waiting = Box::pin(time.pause()(Duration::from_secs(3 * 3600)));
        assert!(futures::poll!(&mut waiting).is_pending());
        time.put(Instant(DAY + DAY / 12)).unwrap();
        assert!(futures::poll!(&mut waiting).is_pending(), "two hours on");
        time.put(Instant(DAY + DAY / 6)).unwrap();
        waiting.await;
    }
}
