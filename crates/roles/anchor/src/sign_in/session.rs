//! Sessions at the anchor: who signed in at which browser. They live in memory and end with the process; the browser holds
//! one random value, and only its hash is kept here.

use crate::login::Login;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use trust::encoding::sha256;

/// A session ends after this long without a request, in seconds.
const IDLE_SECONDS: i64 = 20 * 60;
/// A session ends this long after the sign-in, in seconds.
pub(crate) const LIFE_SECONDS: i64 = 8 * 3600;
/// Most sessions at once; beyond it people sign in for one request at a time.
const MOST: usize = 10_000;

struct Session {
    login: Login,
    seen: i64,
}

/// All sessions of this process.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

impl Session {
    fn lives(&self, now: i64) -> bool {
        now - self.seen <= IDLE_SECONDS && now - self.login.at <= LIFE_SECONDS
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        // The map is whole after every statement here, so a panic in one request need not end the others.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session under a new secret.
    pub(crate) fn begin(&self, secret: &str, login: Login, now: i64) {
        let mut all = self.lock();
        if all.len() >= MOST {
            all.retain(|_, session| session.lives(now));
        }
        if all.len() < MOST {
            let session = Session { login, seen: now };
            all.insert(sha256(secret.as_bytes()), session);
        }
    }

    /// Who signed in at the browser with this secret, if the session lives; marks it as used.
    pub(crate) fn visitor(&self, secret: &str, now: i64) -> Option<Login> {
        let mut all = self.lock();
        let key = sha256(secret.as_bytes());
        let session = all.get_mut(&key)?;
        if !session.lives(now) {
            all.remove(&key);
            return None;
        }
        session.seen = session.seen.max(now);
        Some(session.login.clone())
    }

    /// Ends a session.
    pub(crate) fn end(&self, secret: &str) {
        self.lock().remove(&sha256(secret.as_bytes()));
    }

    /// Forgets sessions that ended by time.
    pub(crate) fn sweep(&self, now: i64) {
        self.lock().retain(|_, session| session.lives(now));
    }
}
