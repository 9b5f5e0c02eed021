//! The issuer's key set as we hold it (threats-and-faults.md sections 2, 3 and 12): fetched from the configured address
//! only, renewed so that a removed key stops working within 60 s, the last good one kept for 24 h when the anchor is
//! down; garbage never replaces it; an unknown `kid` leads to at most one fetch per 30 s in all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fhir::time::Instant;
use store::Clock;
use trust::keys::{KeyError, KeySet};

use crate::client::{Http, Request};

const SECOND: i64 = 1_000_000;
/// A set younger than this is used as it is.
const FRESH: i64 = 40 * SECOND;
/// A set older than this is renewed before use, if the anchor answers.
const OLD: i64 = 55 * SECOND;
/// The last good set is used no longer than this.
const LAST_GOOD: i64 = 24 * 3600 * SECOND;
/// Between fetches, whatever the reason, once there is a set.
const BETWEEN: i64 = 30 * SECOND;
/// Between fetches while there is none at all, so that parts may start in any order.
const BETWEEN_WHEN_EMPTY: i64 = SECOND;
const DEADLINE: Duration = Duration::from_secs(2);
const BYTES: usize = 256 * 1024;

/// The held set of one issuer. Clones share it.
#[derive(Clone)]
pub(super) struct HeldKeys {
    inner: Arc<Inner>,
}

/// Reads a set as it was fetched.
type Read = fn(&[u8]) -> Result<KeySet, KeyError>;

struct Inner {
    url: String,
    read: Read,
    http: Http,
    clock: Clock,
    state: Mutex<State>,
    /// Held while a fetch is under way: the others wait for its end or use what there is.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    attempted: Option<Instant>,
}

impl HeldKeys {
    pub(super) fn new(url: String, read: Read, http: Http, clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner {
                url,
                read,
                http,
                clock,
                state: Mutex::default(),
                fetching: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The set to verify with now; `None` when there is none that may still be used.
    pub(super) async fn current(&self) -> Option<Arc<KeySet>> {
        match self.age() {
            Some(age) if age < FRESH => {}
            Some(age) if age < OLD => {
                let behind = self.clone();
                tokio::spawn(async move { behind.renew().await });
            }
            _ => self.renew().await,
        }
        self.held()
    }

    /// After an unknown `kid`: the set after a fetch, if one was allowed and brought anything.
    pub(super) async fn after_unknown_key(&self) -> Option<Arc<KeySet>> {
        self.renew().await;
        self.held()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn age(&self) -> Option<i64> {
        let now = (self.inner.clock)();
        // A clock that jumped back makes the set look new, never negative.
        self.state()
            .keys
            .as_ref()
            .map(|(_, loaded)| now.0.saturating_sub(loaded.0).max(0))
    }

    fn held(&self) -> Option<Arc<KeySet>> {
        let now = (self.inner.clock)();
        let state = self.state();
        let (keys, loaded) = state.keys.as_ref()?;
        if now.0.saturating_sub(loaded.0) < LAST_GOOD {
            Some(keys.clone())
        } else {
            None
        }
    }

    /// Whether a fetch is allowed now; if so, counts it as made.
    fn may_fetch(&self) -> bool {
        let now = (self.inner.clock)();
        let mut state = self.state();
        let between = if state.keys.is_some() {
            BETWEEN
        } else {
            BETWEEN_WHEN_EMPTY
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
            Ok(keys) => {
                let now = (self.inner.clock)();
                self.state().keys = Some((Arc::new(keys), now));
            }
            Err(reason) => {
                tracing::warn!(%reason, "the issuer's key set could not be renewed; the last good one is kept")
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
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
        let keys = (self.inner.read)(&answer.body).map_err(|error| error.to_string())?;
        if keys.keys().is_empty() {
            Err("an empty key set".to_owned())
        } else {
            Ok(keys)
        }
    }
}
