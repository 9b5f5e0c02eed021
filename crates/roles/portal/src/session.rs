//! Sessions: who sits at the browser, with which key, looking at which patients. All of it stays on the server; the
//! browser holds one random value in a cookie, and only its hash is kept here. Rules: threats-and-faults section 10.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use trust::keys::SigningKey;
use uuid::Uuid;
use wire::contract::Hidden;
use wire::contract::demo::Purpose;

use crate::launch::{Opened, SignedIn, Tokens, Working};
use crate::text::Language;

/// A session ends after this long without a request, in seconds.
pub const IDLE_SECONDS: i64 = 20 * 60;
/// A session ends this long after it began, whatever happens in it, in seconds.
pub const LIFE_SECONDS: i64 = 8 * 3600;
/// Most sessions at once; beyond it nobody new is let in until some end.
const MOST_SESSIONS: usize = 2_000;
/// Most patient pages a session remembers; the oldest is forgotten first.
const MOST_VIEWS: usize = 40;
/// Most patients of a list that a session remembers; the oldest is forgotten first.
const MOST_ROWS: usize = 2_000;
/// How long a sign-in form may lie open, in seconds.
const FORM_SECONDS: i64 = 2 * 3600;

/// Who sits there.
#[derive(Clone)]
pub enum Seat {
    /// Health personnel: index of the practitioner in the configuration.
    Practitioner(usize),
    /// A citizen about herself, chosen in the demo: index of the patient in the configuration.
    Citizen(usize),
    /// A citizen about herself, who signed in.
    SignedIn(Arc<SignedIn>),
    /// Health personnel with the one patient that a launch opened.
    Launched(Arc<Opened>),
    /// Health personnel with the list of the organisation's own patients.
    Working(Arc<Working>),
}

impl Seat {
    /// The tokens that the anchor gave for it, to be ended with the session.
    pub fn tokens(&self) -> Option<&Arc<Tokens>> {
        match self {
            Seat::Launched(opened) => Some(&opened.tokens),
            Seat::SignedIn(citizen) => Some(&citizen.tokens),
            Seat::Working(working) => Some(&working.tokens),
            Seat::Practitioner(_) | Seat::Citizen(_) => None,
        }
    }

    /// The sign-in at the anchor that ends with the session.
    pub fn sid(&self) -> Option<String> {
        match self {
            Seat::Launched(opened) => opened.sid.clone(),
            Seat::SignedIn(citizen) => citizen.sid.clone(),
            Seat::Working(working) => working.sid(),
            Seat::Practitioner(_) | Seat::Citizen(_) => None,
        }
    }
}

/// One person at one browser.
pub struct Session {
    /// Who.
    pub seat: Seat,
    /// The key that this session's tokens are bound to. It never leaves the process.
    pub key: SigningKey,
    /// Value that every form of this session carries.
    pub csrf: String,
    /// Session-local names of the patients, in the order of the configuration: what the forms send instead of numbers.
    pub patients: Vec<String>,
    /// Patient pages opened in this session, oldest first.
    views: Vec<(String, View)>,
    /// Patients whom the list of the organisation's own showed, oldest first: each has one address in this session.
    rows: Vec<(String, Chosen)>,
    /// Hash of the browser's launch cookie, for a session that a launch began.
    browser: Option<[u8; 32]>,
    began: i64,
    seen: i64,
}

/// One patient opened for one purpose: what the address `/view/{id}` stands for. Banner, need and token of the page come from the
/// same view, whatever else the browser has open.
#[derive(Clone)]
pub enum View {
    /// Chosen from the list.
    Chosen(Chosen),
    /// Opened by a launch.
    Launched(Arc<Opened>),
}

/// A patient chosen from the list.
#[derive(Clone)]
pub struct Chosen {
    /// The patient's number.
    pub number: Hidden,
    /// The name to show where no source has one.
    pub name: Option<String>,
    /// Purpose of use.
    pub purpose: Purpose,
    /// The clinician's own words for why.
    pub reason: Option<String>,
    /// Organisation numbers chosen from the catalogue, besides what the locator gives.
    pub organisations: Vec<String>,
    /// The decision that the look-up rests on: one per opening of a patient.
    pub decision: String,
}

/// What a handler needs of a session, taken out under the lock.
#[derive(Clone)]
pub struct Visitor {
    /// Who.
    pub seat: Seat,
    /// The session's key.
    pub key: SigningKey,
    /// Value that every form of this session carries.
    pub csrf: String,
    /// Session-local names of the patients.
    pub patients: Vec<String>,
}

/// A session as others may remember it: opens nothing to whoever holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// Of the session with this secret.
    pub fn of(secret: &str) -> Key {
        Key(hash(secret))
    }
}

/// All sessions of this process, and the key of the sign-in form.
pub struct Sessions {
    form_key: [u8; 32],
    all: Mutex<HashMap<[u8; 32], Session>>,
}

/// A new session's secret, shown once.
pub struct Secret(String);

impl Secret {
    /// For the cookie alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Why no session was made.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Too many at once.
    #[error("too many sessions")]
    Full,
    /// No key could be made.
    #[error("no key for the session: {0}")]
    Key(#[from] trust::keys::KeyError),
}

fn hash(secret: &str) -> [u8; 32] {
    hmac_sha256::Hash::hash(secret.as_bytes())
}

/// 244 random bits as text, from the process's source of ids.
pub fn random(ids: &dyn Fn() -> Uuid) -> String {
    format!("{}{}", ids().simple(), ids().simple())
}

/// Compares without telling by time how much was right.
fn same(a: &str, b: &str) -> bool {
    // Hashed first, so that the length does not matter either.
    hash(a)
        .iter()
        .zip(hash(b))
        .fold(0, |differ, (x, y)| differ | (x ^ y))
        == 0
}

impl Sessions {
    /// No sessions yet; forms are bound to a new key.
    pub fn new(ids: &dyn Fn() -> Uuid) -> Sessions {
        Sessions {
            form_key: hash(&random(ids)),
            all: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        // A panic in one request must not end the others: the map is whole after every statement here.
        self.all
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The value of the sign-in form, which has no session to lean on yet.
    pub fn form_value(&self, now: i64) -> String {
        let mac = hmac_sha256::HMAC::mac(now.to_be_bytes(), self.form_key);
        format!(
            "{now}.{}",
            mac.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        )
    }

    /// Whether a sign-in form's value is ours and not too old.
    pub fn form_holds(&self, value: &str, now: i64) -> bool {
        let Some(made) = value
            .split('.')
            .next()
            .and_then(|text| text.parse::<i64>().ok())
        else {
            return false;
        };
        (0..=FORM_SECONDS).contains(&now.saturating_sub(made))
            && same(value, &self.form_value(made))
    }

    /// Begins a session for a person with a new secret; a session the browser had before is ended by the caller.
    pub fn begin(
        &self,
        seat: Seat,
        patients: usize,
        now: i64,
        ids: &dyn Fn() -> Uuid,
    ) -> Result<Secret, SessionError> {
        let session = Session {
            seat,
            key: SigningKey::generate()?,
            csrf: random(ids),
            patients: (0..patients).map(|_| ids().simple().to_string()).collect(),
            views: Vec::new(),
            rows: Vec::new(),
            browser: None,
            began: now,
            seen: now,
        };
        self.keep(session, now, ids)
    }

    /// Begins the session of somebody who comes back from the anchor; a patient that was opened is its one page. `browser` is the value
    /// of the launch cookie: what this browser had from earlier ones ends, and their tokens are given back.
    pub fn begin_back(
        &self,
        seat: Seat,
        browser: &str,
        now: i64,
        ids: &dyn Fn() -> Uuid,
    ) -> Result<(Secret, Vec<Arc<Tokens>>), SessionError> {
        let browser = Some(hash(browser));
        self.room(now)?;
        let mut ended = Vec::new();
        self.lock().retain(|_, session| {
            let same = session.browser == browser;
            if same {
                ended.extend(session.tokens());
            }
            !same
        });
        let session = Session {
            key: match seat.tokens() {
                Some(tokens) => tokens.key.clone(),
                None => SigningKey::generate()?,
            },
            csrf: random(ids),
            patients: Vec::new(),
            views: match &seat {
                Seat::Launched(opened) => {
                    vec![(opened.view.clone(), View::Launched(opened.clone()))]
                }
                _ => Vec::new(),
            },
            seat,
            rows: Vec::new(),
            browser,
            began: now,
            seen: now,
        };
        Ok((self.keep(session, now, ids)?, ended))
    }

    /// Whether one more may begin; those that ended by time make room.
    fn room(&self, now: i64) -> Result<(), SessionError> {
        let mut all = self.lock();
        if all.len() >= MOST_SESSIONS {
            all.retain(|_, session| session.alive(now));
        }
        match all.len() >= MOST_SESSIONS {
            true => Err(SessionError::Full),
            false => Ok(()),
        }
    }

    /// Keeps a session under a new secret.
    fn keep(
        &self,
        session: Session,
        now: i64,
        ids: &dyn Fn() -> Uuid,
    ) -> Result<Secret, SessionError> {
        self.room(now)?;
        let secret = random(ids);
        self.lock().insert(hash(&secret), session);
        Ok(Secret(secret))
    }

    /// The session of a cookie, if it lives; marks it as used, unless what asks is a page that asks by itself (`used`).
    pub fn visitor(&self, secret: &str, now: i64, used: bool) -> Option<Visitor> {
        let mut all = self.lock();
        let key = hash(secret);
        let session = all.get_mut(&key)?;
        if !session.alive(now) {
            all.remove(&key);
            return None;
        }
        if used {
            session.seen = session.seen.max(now);
        }
        Some(Visitor {
            seat: session.seat.clone(),
            key: session.key.clone(),
            csrf: session.csrf.clone(),
            patients: session.patients.clone(),
        })
    }

    /// Ends a session on the server; gives the tokens that end with it.
    pub fn end(&self, secret: &str) -> Vec<Arc<Tokens>> {
        let ended = self.lock().remove(&hash(secret));
        ended.map(|session| session.tokens()).unwrap_or_default()
    }

    /// Remembers a patient page and gives its session-local id.
    pub fn open_view(&self, secret: &str, view: View, ids: &dyn Fn() -> Uuid) -> Option<String> {
        let mut all = self.lock();
        let session = all.get_mut(&hash(secret))?;
        if session.views.len() >= MOST_VIEWS {
            session.views.remove(0);
        }
        let id = ids().simple().to_string();
        session.views.push((id.clone(), view));
        Some(id)
    }

    /// Gives each patient of a list her session-local address: the one that she has, or a new one.
    pub fn list(
        &self,
        secret: &str,
        patients: impl Iterator<Item = (Hidden, Option<String>)>,
        ids: &dyn Fn() -> Uuid,
    ) -> Option<Vec<String>> {
        let mut all = self.lock();
        let session = all.get_mut(&hash(secret))?;
        let mut addresses = Vec::new();
        for (number, name) in patients {
            let held = session.rows.iter().find(|(_, one)| one.number == number);
            if let Some((id, _)) = held {
                addresses.push(id.clone());
                continue;
            }
            if session.rows.len() >= MOST_ROWS {
                session.rows.remove(0);
            }
            let id = ids().simple().to_string();
            let row = Chosen {
                number,
                name,
                purpose: Purpose::Treat,
                reason: None,
                organisations: Vec::new(),
                decision: ids().to_string(),
            };
            session.rows.push((id.clone(), row));
            addresses.push(id);
        }
        Some(addresses)
    }

    /// The patient of a list with this address, in this session alone.
    pub fn row(&self, secret: &str, id: &str) -> Option<Chosen> {
        let all = self.lock();
        let session = all.get(&hash(secret))?;
        let row = session.rows.iter().find(|(own, _)| own == id);
        row.map(|(_, row)| row.clone())
    }

    /// A patient of a list was opened at the anchor: her address stands for that from now on. Gives the tokens that end for it; `None`:
    /// the session has ended, or has no such row.
    pub fn open_row(&self, key: &Key, opened: Arc<Opened>, now: i64) -> Option<Vec<Arc<Tokens>>> {
        let mut all = self.lock();
        let session = all.get_mut(&key.0).filter(|one| one.alive(now))?;
        if !session.rows.iter().any(|(id, _)| *id == opened.view) {
            return None;
        }
        session.seen = session.seen.max(now);
        let (mut over, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut session.views)
            .into_iter()
            .partition(|(id, _)| *id == opened.view);
        session.views = kept;
        if session.views.len() >= MOST_VIEWS {
            over.push(session.views.remove(0));
        }
        session
            .views
            .push((opened.view.clone(), View::Launched(opened)));
        Some(over.iter().filter_map(|(_, view)| view.tokens()).collect())
    }

    /// The patient page with this id, in this session alone.
    pub fn view(&self, secret: &str, id: &str) -> Option<View> {
        let all = self.lock();
        let session = all.get(&hash(secret))?;
        session
            .views
            .iter()
            .find(|(own, _)| own == id)
            .map(|(_, view)| view.clone())
            .or_else(|| {
                let row = session.rows.iter().find(|(own, _)| own == id);
                row.map(|(_, row)| View::Chosen(row.clone()))
            })
    }

    /// Forgets sessions that have ended by time.
    pub fn sweep(&self, now: i64) {
        self.lock().retain(|_, session| session.alive(now));
    }
}

impl View {
    /// The patient's number.
    pub fn number(&self) -> &Hidden {
        match self {
            View::Chosen(chosen) => &chosen.number,
            View::Launched(opened) => &opened.number,
        }
    }

    /// The patient's name, where it is known here.
    pub fn name(&self) -> Option<&String> {
        match self {
            View::Chosen(chosen) => chosen.name.as_ref(),
            View::Launched(opened) => opened.patient.as_ref(),
        }
    }

    /// The tokens that a launch gave for it.
    fn tokens(&self) -> Option<Arc<Tokens>> {
        match self {
            View::Launched(opened) => Some(opened.tokens.clone()),
            View::Chosen(_) => None,
        }
    }
}

impl Session {
    /// Every token that was given for it, to be ended with it.
    fn tokens(&self) -> Vec<Arc<Tokens>> {
        let views = self.views.iter().filter_map(|(_, view)| view.tokens());
        self.seat
            .tokens()
            .cloned()
            .into_iter()
            .chain(views)
            .collect()
    }

    fn alive(&self, now: i64) -> bool {
        now - self.seen <= IDLE_SECONDS && now - self.began <= LIFE_SECONDS
    }
}

impl Visitor {
    /// Whether a form carries this session's value.
    pub fn form_holds(&self, value: &str) -> bool {
        same(value, &self.csrf)
    }
}

/// The cookie's name: `__Host-` wherever the portal is on https, another on loopback http.
pub fn cookie_name(https: bool) -> &'static str {
    if https {
        "__Host-delt-session"
    } else {
        "delt-demo-session"
    }
}

/// `Set-Cookie` for a session that begins, or with no secret for one that ends.
pub fn set_cookie(https: bool, secret: Option<&Secret>) -> String {
    let name = cookie_name(https);
    let secure = if https { "; Secure" } else { "" };
    match secret {
        Some(secret) => format!(
            "{name}={}; Path=/; HttpOnly; SameSite=Strict{secure}",
            secret.expose()
        ),
        None => format!("{name}=; Path=/; HttpOnly; SameSite=Strict{secure}; Max-Age=0"),
    }
}

/// The language cookie: which words to show, nothing about anybody.
pub const LANGUAGE_COOKIE: &str = "delt-language";

/// `Set-Cookie` for a chosen language.
pub fn set_language_cookie(https: bool, language: Language) -> String {
    let secure = if https { "; Secure" } else { "" };
    format!(
        "{LANGUAGE_COOKIE}={}; Path=/; HttpOnly; SameSite=Strict{secure}; Max-Age=31536000",
        language.tag()
    )
}

/// The value of a cookie in a request; nothing when it is there twice with different values.
pub fn cookie<'a>(headers: &'a http::HeaderMap, name: &str) -> Option<&'a str> {
    let mut found = headers
        .get_all(http::header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(own, _)| *own == name)
        .map(|(_, value)| value);
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that fails is a test that panics"
    )]
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn ids() -> impl Fn() -> Uuid {
        let next = AtomicU64::new(1);
        move || Uuid::from_u64_pair(7, next.fetch_add(1, Ordering::Relaxed))
    }

    #[test]
    fn a_session_ends_when_idle_and_when_old() {
        let ids = ids();
        let sessions = Sessions::new(&ids);
        let secret = sessions.begin(Seat::Practitioner(0), 3, 0, &ids).unwrap();
        assert!(
            sessions
                .visitor(secret.expose(), IDLE_SECONDS, true)
                .is_some()
        );
        assert!(
            sessions
                .visitor(secret.expose(), 2 * IDLE_SECONDS + 1, true)
                .is_none()
        );

        // A page that asks by itself keeps nobody signed in.
        let secret = sessions.begin(Seat::Practitioner(0), 3, 0, &ids).unwrap();
        assert!(
            sessions
                .visitor(secret.expose(), IDLE_SECONDS, false)
                .is_some()
        );
        assert!(
            sessions
                .visitor(secret.expose(), IDLE_SECONDS + 1, true)
                .is_none()
        );

        let secret = sessions.begin(Seat::Practitioner(0), 3, 0, &ids).unwrap();
        let mut now = 0;
        while now + IDLE_SECONDS <= LIFE_SECONDS {
            now += IDLE_SECONDS;
            assert!(sessions.visitor(secret.expose(), now, true).is_some());
        }
        assert!(
            sessions
                .visitor(secret.expose(), LIFE_SECONDS + 1, true)
                .is_none()
        );
    }

    #[test]
    fn a_view_belongs_to_its_session() {
        let ids = ids();
        let sessions = Sessions::new(&ids);
        let (one, two) = (
            sessions.begin(Seat::Practitioner(0), 1, 0, &ids).unwrap(),
            sessions.begin(Seat::Citizen(1), 1, 0, &ids).unwrap(),
        );
        let view = View::Chosen(Chosen {
            number: "14835210260".into(),
            name: None,
            purpose: Purpose::Treat,
            reason: None,
            organisations: vec![],
            decision: "d".into(),
        });
        let id = sessions.open_view(one.expose(), view, &ids).unwrap();
        assert!(sessions.view(one.expose(), &id).is_some());
        assert!(sessions.view(two.expose(), &id).is_none());
        // A patient of a list keeps her address, and it is this session's alone.
        let list = || [("1".into(), None), ("2".into(), None)].into_iter();
        let rows = sessions.list(one.expose(), list(), &ids).unwrap();
        assert_eq!(sessions.list(one.expose(), list(), &ids).unwrap(), rows);
        assert_ne!(rows[0], rows[1]);
        assert!(sessions.view(one.expose(), &rows[1]).is_some());
        assert!(sessions.view(two.expose(), &rows[1]).is_none());
        sessions.end(one.expose());
        assert!(sessions.visitor(one.expose(), 0, true).is_none());
    }

    #[test]
    fn a_sign_in_form_is_ours_and_young_or_refused() {
        let ids = ids();
        let sessions = Sessions::new(&ids);
        let value = sessions.form_value(100);
        assert!(sessions.form_holds(&value, 100 + FORM_SECONDS));
        assert!(!sessions.form_holds(&value, 101 + FORM_SECONDS));
        assert!(!sessions.form_holds(&value, 99));
        assert!(!sessions.form_holds("", 100));
        assert!(!sessions.form_holds(&value.replace("100.", "101."), 101));
        assert!(!Sessions::new(&ids).form_holds(&value, 100));
    }

    #[test]
    fn a_cookie_twice_with_different_values_is_no_cookie() {
        let mut headers = http::HeaderMap::new();
        headers.append(
            http::header::COOKIE,
            "a=1; delt-demo-session=x".parse().unwrap(),
        );
        assert_eq!(cookie(&headers, "delt-demo-session"), Some("x"));
        headers.append(http::header::COOKIE, "delt-demo-session=y".parse().unwrap());
        assert_eq!(cookie(&headers, "delt-demo-session"), None);
    }
}
