//! A document of an issuer as we hold it: fetched from one configured address, renewed in time, the last good one kept for a
//! while when the issuer is down; garbage never replaces it; fetches are bounded whoever asks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fhir::time::Instant;
use store::Clock;

use super::{Http, Request};

/// How long what was fetched is used, and how often it is asked for, in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Rest {
    /// Younger than this: used as it is.
    pub(crate) fresh: i64,
    /// Older than this: renewed before use, if the issuer answers. Between the two it is renewed behind the request.
    pub(crate) old: i64,
    /// The last good one is used no longer than this.
    pub(crate) last_good: i64,
    /// Between fetches, whatever the reason, once there is one.
    pub(crate) between: i64,
    /// Between fetches while there is none at all, so that parts may start in any order.
    pub(crate) between_when_empty: i64,
}

const DEADLINE: Duration = Duration::from_secs(2);
const BYTES: usize = 256 * 1024;

/// Reads a document as it was fetched, or says in words for the log why not.
pub(crate) type Read<T> = Arc<dyn Fn(&[u8]) -> Result<T, String> + Send + Sync>;

/// The held document. Clones share it.
pub(crate) struct Held<T> {
    inner: Arc<Inner<T>>,
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

struct Inner<T> {
    url: String,
    read: Read<T>,
    rest: Rest,
    http: Http,
    clock: Clock,
    state: Mutex<State<T>>,
    /// Held while a fetch is under way: the others wait for its end or use what there is.
    fetching: tokio::sync::Mutex<()>,
}

struct State<T> {
    kept: Option<(Arc<T>, Instant)>,
    attempted: Option<Instant>,
}

impl<T: Send + Sync + 'static> Held<T> {
    pub(crate) fn of(url: String, rest: Rest, read: Read<T>, http: Http, clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner {
                url,
                read,
                rest,
                http,
                clock,
                state: Mutex::new(State {
                    kept: None,
                    attempted: None,
                }),
                fetching: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The document to use now; `None` when there is none that may still be used.
    pub(crate) async fn current(&self) -> Option<Arc<T>> {
        match self.age() {
            Some(age) if age < self.inner.rest.fresh => {}
            Some(age) if age < self.inner.rest.old => {
                let behind = self.clone();
                tokio::spawn(async move { behind.renew().await });
            }
            _ => self.renew().await,
        }
        self.held()
    }

    /// Lays what was fetched at `at`, before this process began, beside what is held: the newer counts. It is read as if it had
    /// come now; what cannot be read changes nothing.
    pub(crate) fn remember(&self, text: &[u8], at: Instant) {
        let Ok(read) = (self.inner.read)(text) else {
            return;
        };
        let mut state = self.state();
        if state.kept.as_ref().is_none_or(|(_, held)| *held < at) {
            state.kept = Some((Arc::new(read), at));
        }
    }

    /// After something that the document should know and does not (a `kid`): the document after a fetch, if one was allowed
    /// and brought anything.
    pub(crate) async fn after_unknown_key(&self) -> Option<Arc<T>> {
        self.renew().await;
        self.held()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn age(&self) -> Option<i64> {
        let now = (self.inner.clock)();
        let mut state = self.state();
        let (_, loaded) = state.kept.as_mut()?;
        if *loaded > now {
            // The clock was set back. How old the document is nobody knows: it is renewed before use, and counts from here.
            *loaded = Instant(now.0 - self.inner.rest.old);
        }
        Some(now.0.saturating_sub(loaded.0))
    }

    fn held(&self) -> Option<Arc<T>> {
        let now = (self.inner.clock)();
        let state = self.state();
        let (kept, loaded) = state.kept.as_ref()?;
        if now.0.saturating_sub(loaded.0) < self.inner.rest.last_good {
            Some(kept.clone())
        } else {
            None
        }
    }

    /// Whether a fetch is allowed now; if so, counts it as made.
    fn may_fetch(&self) -> bool {
        let now = (self.inner.clock)();
        let mut state = self.state();
        let between = if state.kept.is_some() {
            self.inner.rest.between
        } else {
            self.inner.rest.between_when_empty
        };
        let allowed = state.attempted.is_none_or(|last| {
            let since = now.0.saturating_sub(last.0);
            since >= between || since < 0
        });
        if allowed {
            state.attempted = Some(now);
        }
        allowed
    }

    async fn renew(&self) {
        let _one_at_a_time = self.inner.fetching.lock().await;
        if !self.may_fetch() {
            return;
        }
        match self.fetch().await {
            Ok(fetched) => {
                let now = (self.inner.clock)();
                self.state().kept = Some((Arc::new(fetched), now));
            }
            Err(reason) => {
                tracing::warn!(%reason, url = %self.inner.url, "an issuer's document could not be renewed; the last good one is kept")
            }
        }
    }

    async fn fetch(&self) -> Result<T, String> {
        let request = Request::get(&self.inner.url)
            .deadline(DEADLINE)
            .answer_bytes(BYTES);
        let answer = self
            .inner
            .http
            .send(&request)
            .await
            .map_err(|error| error.to_string())?;
        if !answer.status.is_success() {
            return Err(format!("status {}", answer.status.as_u16()));
        }
        (self.inner.read)(&answer.body)
    }
}
