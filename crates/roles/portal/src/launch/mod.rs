//! Launch: a record system opens the portal with a patient in context (SMART App Launch 2.2, "EHR launch"); somebody signs in here and
//! names the patient at the anchor ("standalone launch"), or gets the list of the organisation's own (decision 0053); or a citizen signs
//! in about herself. What the portal remembers between sending a browser to the anchor and its coming back, and what it has then.
//!
//! The browser carries a handle, a state and a code, each good once; who, whom and why come from the anchor by the portal's own
//! authenticated call, together with the tokens, and stay here.

mod citizen;
mod opened;
mod tokens;
mod way;
mod working;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use trust::keys::SigningKey;

pub use citizen::SignedIn;
pub use opened::Opened;
pub use tokens::{Aim, Tokens};
pub use way::{Back, Begun, Launch, begin, complete, end, sign_out};
pub use working::{Row, Working};

/// How long somebody may be away at the anchor, in seconds: its page stands for ten minutes.
const AWAY_SECONDS: i64 = 15 * 60;
/// Most that may be away at once; beyond it nobody new is sent.
const MOST_AWAY: usize = 2_000;
/// Most of one browser; the oldest is forgotten first.
const MOST_OF_ONE: usize = 20;

/// Why a launch does not end in a page about a patient. Names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The address is not whole, or names another server than ours.
    Stranger,
    /// The anchor does not know the handle, or it was used or came too late.
    Gone,
    /// What came back belongs to no launch of this browser.
    Lost,
    /// The anchor refused: another person signed in, or broke off.
    Refused,
    /// Who signed in is not registered as one of the organisation's own.
    NotStaff,
    /// A citizen signed in on somebody else's behalf.
    ForAnother,
    /// The anchor did not answer as it should.
    Anchor,
    /// Too many are on their way.
    Full,
}

/// A browser's way to the anchor and back.
pub struct Away {
    /// Hash of the browser's cookie.
    browser: [u8; 32],
    /// PKCE.
    verifier: String,
    /// The key that its tokens will be bound to.
    key: SigningKey,
    /// What the ID token must bring back.
    nonce: String,
    /// What for.
    errand: Errand,
    since: i64,
}

/// What somebody is away for.
enum Errand {
    /// A patient whom a record system opens.
    ByRecordSystem,
    /// A patient to be named at the anchor, with the organisation numbers chosen from the catalogue.
    Alone(Vec<String>),
    /// Her own pages.
    Citizen,
    /// The list of the organisation's own patients, at this service.
    List(String),
    /// A patient of such a list.
    Row(Box<Row>),
}

/// All who are on their way, by the hash of their state.
#[derive(Default)]
pub struct Launches(Mutex<HashMap<[u8; 32], Away>>);

fn hash(secret: &str) -> [u8; 32] {
    hmac_sha256::Hash::hash(secret.as_bytes())
}

impl Launches {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Away>> {
        // The map is whole after every statement here, so a panic in one request need not end the others.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers one.
    fn remember(&self, state: &str, away: Away) -> Result<(), Fault> {
        let mut all = self.lock();
        let now = away.since;
        if all.len() >= MOST_AWAY {
            all.retain(|_, one| now - one.since <= AWAY_SECONDS);
        }
        let of_one = all
            .iter()
            .filter(|(_, one)| one.browser == away.browser)
            .map(|(key, one)| (one.since, *key));
        let of_one: Vec<_> = of_one.collect();
        if of_one.len() >= MOST_OF_ONE
            && let Some((_, oldest)) = of_one.iter().min()
        {
            all.remove(oldest);
        }
        if all.len() >= MOST_AWAY {
            return Err(Fault::Full);
        }
        all.insert(hash(state), away);
        Ok(())
    }

    /// The one with this state, once, at the browser that it began in.
    fn take(&self, state: &str, browser: &str, now: i64) -> Option<Away> {
        let mut all = self.lock();
        let key = hash(state);
        let away = all.get(&key)?;
        // Another browser neither gets nor ends it.
        if away.browser != hash(browser) {
            return None;
        }
        all.remove(&key)
            .filter(|one| now - one.since <= AWAY_SECONDS)
    }

    /// Forgets those who did not come back.
    pub fn sweep(&self, now: i64) {
        self.lock().retain(|_, one| now - one.since <= AWAY_SECONDS);
    }
}

/// The browser's cookie of a launch. `Lax`, for it must come back from the anchor's site; the session's own is stricter.
pub fn cookie_name(https: bool) -> &'static str {
    if https {
        "__Host-delt-launch"
    } else {
        "delt-demo-launch"
    }
}

/// `Set-Cookie` for a browser that has none.
pub fn set_cookie(https: bool, secret: &str) -> String {
    let secure = if https { "; Secure" } else { "" };
    format!(
        "{}={secret}; Path=/; HttpOnly; SameSite=Lax{secure}",
        cookie_name(https)
    )
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that fails is a test that panics"
    )]
    use super::*;

    fn away(browser: &str, since: i64) -> Away {
        Away {
            browser: hash(browser),
            verifier: String::new(),
            key: SigningKey::generate().unwrap(),
            nonce: String::new(),
            errand: Errand::ByRecordSystem,
            since,
        }
    }

    #[test]
    fn who_comes_back_is_known_once_in_the_same_browser_and_in_time() {
        let launches = Launches::default();
        launches.remember("s", away("a", 0)).unwrap();
        assert!(launches.take("s", "b", 0).is_none());
        assert!(launches.take("x", "a", 0).is_none());
        assert!(launches.take("s", "a", AWAY_SECONDS).is_some());
        assert!(launches.take("s", "a", 0).is_none());
        launches.remember("s", away("a", 0)).unwrap();
        assert!(launches.take("s", "a", AWAY_SECONDS + 1).is_none());
        launches.remember("s", away("a", 0)).unwrap();
        launches.sweep(AWAY_SECONDS + 1);
        assert!(launches.lock().is_empty());
    }

    #[test]
    fn one_browser_cannot_crowd_the_others_out() {
        let launches = Launches::default();
        for n in 0..=i64::try_from(MOST_OF_ONE).unwrap() {
            launches.remember(&n.to_string(), away("a", n)).unwrap();
        }
        assert_eq!(launches.lock().len(), MOST_OF_ONE);
        assert!(launches.take("0", "a", 30).is_none());
        assert!(launches.take("1", "a", 30).is_some());
    }
}
