//! How old the shared copy is: what each feed last wrote, up to when it says that everything of its source is here, and
//! whether that is newer than the service promises (`Config::copy`).
//!
//! Each write of a feed is a sign of life, kept in the write's own commit; a statement by `$copy-state` is one of its own.
//! A feed that has made a statement is taken at its word; a record system that never has is taken to be as far as its last
//! write. Others that write by delegation (the hub) count once they make statements: that they are silent tells nothing.
//!
//! A feed may also say that it is alive and nothing of how far it has come (decision 0060): that ends its silence, and it names those
//! home systems that it has not heard itself (`silences`).

use crate::State;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use fhir::time::Instant;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Expect, LedgerWrite, Store, StoreError};
use trust::{Caller, ClientUse};
use wire::Worker;
use wire::contract::sharing::{Alive, COPY_AS_OF_HEADER, COPY_STATE_HEADER, CopyAge, Silent};
use wire::contract::work_list::Quiet;
use wire::visit::Visit;

/// Ledger of feeds: key `w`|client for the last write, `s`|client for the last statement, `a`|client for the last sign of life.
const LEDGER: &str = "copy";
/// How often the age is looked at.
const LOOK: Duration = Duration::from_secs(15);
/// Most entries read at start.
const MOST: usize = 10_000;

/// What the service promises of its copy.
#[derive(Clone, Debug, Default)]
pub struct Promise {
    /// How old it may be, in seconds; none: nothing is promised, and nothing judged.
    pub max_lag_seconds: Option<i64>,
    /// Client ids of the feeds that must keep it; none: every record system that ever wrote, and who makes statements.
    pub feeds: Vec<String>,
    /// How long each of these may be silent before the alarm.
    pub expects: Vec<Expected>,
}

/// A feed that is expected to say something, be it that there is nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its client id.
    pub client: String,
    /// What people call it.
    pub name: String,
    /// How long it may be silent, in seconds.
    pub quiet_seconds: i64,
}

/// How somebody who is expected stands: a feed, or a home system of which a feed that is expected says that it is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Its client id.
    pub client: String,
    /// What people call it.
    pub name: String,
    /// The feed that says so of a home system; none: a feed itself.
    pub said_by: Option<String>,
    /// When it was last heard; none: never.
    pub heard: Option<Instant>,
    /// Whether that is too long ago.
    pub quiet: bool,
}

impl Silence {
    /// By what it is known among those of whom was told.
    fn key(&self) -> (Option<String>, String) {
        (self.said_by.clone(), self.client.clone())
    }
}

impl Promise {
    /// Whether a copy that is whole up to `as_of` is new enough.
    fn judges(&self, as_of: Option<Instant>, now: Instant) -> CopyAge {
        match (self.max_lag_seconds, as_of) {
            (None, _) => CopyAge::Unjudged,
            (Some(most), Some(as_of)) if lag(as_of, now) <= most => CopyAge::Ok,
            _ => CopyAge::Late,
        }
    }
}

/// What a line of the ledger tells of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Write,
    Statement,
    Life,
}

impl Told {
    const ALL: [Told; 3] = [Told::Write, Told::Statement, Told::Life];

    /// The first byte of its key.
    fn code(self) -> u8 {
        match self {
            Told::Write => b'w',
            Told::Statement => b's',
            Told::Life => b'a',
        }
    }
}

/// One line of the ledger.
#[derive(Clone)]
struct Line {
    client: String,
    organisation: Option<String>,
    record_system: bool,
    at: i64,
    /// Whom a sign of life names.
    silent: Vec<Silent>,
}

impl Line {
    fn read(bytes: &[u8]) -> Option<Line> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let silent = |one: &Value| {
            Some(Silent {
                sender: one["sender"].as_str()?.to_owned(),
                name: one["name"].as_str()?.to_owned(),
                since: one["since"].as_i64().map(Instant),
            })
        };
        let named = value["silent"].as_array();
        Some(Line {
            client: value["client"].as_str()?.to_owned(),
            organisation: value["organisation"].as_str().map(str::to_owned),
            record_system: value["record_system"].as_bool()?,
            at: value["at"].as_i64()?,
            silent: named
                .into_iter()
                .flatten()
                .map(silent)
                .collect::<Option<_>>()?,
        })
    }

    /// As it rests, under a key of this kind.
    fn written(&self, of: Told) -> LedgerWrite {
        let mut value = json!({
            "client": self.client,
            "organisation": self.organisation,
            "record_system": self.record_system,
            "at": self.at,
        });
        if !self.silent.is_empty() {
            let silent = self.silent.iter().map(|one| {
                let since = one.since.map(|at| at.0);
                json!({"sender": one.sender, "name": one.name, "since": since})
            });
            value["silent"] = silent.collect();
        }
        let mut key = vec![of.code()];
        key.extend_from_slice(self.client.as_bytes());
        LedgerWrite {
            ledger: LEDGER,
            key,
            value: Some(value.to_string().into_bytes()),
            expect: Expect::Any,
        }
    }
}

/// What is known of one feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Its client id.
    pub client: String,
    /// The client's organisation number.
    pub organisation: Option<String>,
    /// The organisation's own record system, or one that writes by delegation.
    pub record_system: bool,
    /// Its last write.
    pub last_write: Option<Instant>,
    /// Up to when it said that everything is here.
    pub stated: Option<Instant>,
    /// When it last said that it is alive.
    pub alive: Option<Instant>,
    /// Whom it has not heard itself, as it said then.
    pub silent: Vec<Silent>,
}

impl Feed {
    /// One of which nothing is known yet.
    fn new(client: &str, record_system: bool) -> Feed {
        Feed {
            client: client.to_owned(),
            organisation: None,
            record_system,
            last_write: None,
            stated: None,
            alive: None,
            silent: Vec::new(),
        }
    }

    /// When it was last heard, by a write, by what it stated or because it said that it is alive.
    pub fn heard(&self) -> Option<Instant> {
        self.last_write.max(self.stated).max(self.alive)
    }

    /// Up to when everything of it is known to be here.
    pub fn as_of(&self) -> Option<Instant> {
        self.stated
            .or(self.last_write.filter(|_| self.record_system))
    }
}

/// How the copy stands at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Up to when everything of every feed that counts is known to be here.
    pub as_of: Option<Instant>,
    /// Whether that is new enough.
    pub state: CopyAge,
    /// Every feed with its own state, by client id.
    pub feeds: Vec<(Feed, CopyAge)>,
}

/// The feeds of a service, as its ledger has them.
pub struct Book {
    feeds: Mutex<BTreeMap<String, Feed>>,
    /// The state that was last told of, for the alarm.
    told: Mutex<CopyAge>,
    /// Who was last told to be quiet.
    quiet: Mutex<BTreeMap<(Option<String>, String), Silence>>,
}

impl Book {
    /// Reads the ledger.
    ///
    /// # Errors
    /// The store's, and damage.
    pub async fn open(store: &Store) -> Result<Book, StoreError> {
        let book = Book {
            feeds: Mutex::default(),
            told: Mutex::new(CopyAge::Unjudged),
            quiet: Mutex::default(),
        };
        for entry in store.ledger_scan(LEDGER, b"", None, MOST).await? {
            let line = Line::read(&entry.value)
                .ok_or(StoreError::Damaged("a feed's entry has an unexpected form"))?;
            let of = |one: &Told| entry.key.first() == Some(&one.code());
            let told = Told::ALL.into_iter().find(of);
            let told = told.ok_or(StoreError::Damaged("a feed's entry has an unexpected key"))?;
            book.note(&line, told);
        }
        Ok(book)
    }

    fn note(&self, line: &Line, told: Told) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let known = feeds.entry(line.client.clone());
        let feed = known.or_insert_with(|| Feed::new(&line.client, line.record_system));
        feed.organisation.clone_from(&line.organisation);
        feed.record_system = line.record_system;
        let at = Some(Instant(line.at));
        match told {
            Told::Write => feed.last_write = at,
            Told::Statement => feed.stated = at,
            Told::Life => {
                feed.alive = at;
                feed.silent.clone_from(&line.silent);
            }
        }
    }

    /// Up to when everything of every feed that counts is here, and whether that is new enough: what every answer says, so
    /// nothing is copied for it. A feed that counts and never said anything: nobody knows how old the copy is.
    fn whole(&self, promise: &Promise, now: Instant) -> (Option<Instant>, CopyAge) {
        let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let as_of = if promise.feeds.is_empty() {
            feeds.values().filter_map(Feed::as_of).min()
        } else {
            let named = promise.feeds.iter().map(|client| feeds.get(client));
            named.map(|feed| feed?.as_of()).min().flatten()
        };
        (as_of, promise.judges(as_of, now))
    }

    /// How those stand that are expected to say something, each with the home systems that it has not heard. Who was never heard is quiet.
    fn silences(&self, promise: &Promise, now: Instant) -> Vec<Silence> {
        let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for one in &promise.expects {
            let feed = feeds.get(&one.client);
            let heard = feed.and_then(Feed::heard);
            all.push(Silence {
                client: one.client.clone(),
                name: one.name.clone(),
                said_by: None,
                heard,
                quiet: heard.is_none_or(|at| lag(at, now) > one.quiet_seconds),
            });
            let silent = feed.into_iter().flat_map(|feed| &feed.silent);
            all.extend(silent.map(|silent| Silence {
                client: silent.sender.clone(),
                name: silent.name.clone(),
                said_by: Some(one.client.clone()),
                heard: silent.since,
                quiet: true,
            }));
        }
        all
    }

    /// How the copy stands at `now`.
    fn at(&self, promise: &Promise, now: Instant) -> Copy {
        let (as_of, state) = self.whole(promise, now);
        let mut known = self
            .feeds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for client in &promise.feeds {
            let known = known.entry(client.clone());
            known.or_insert_with(|| Feed::new(client, false));
        }
        let counts = |feed: &Feed| {
            if promise.feeds.is_empty() {
                feed.as_of().is_some()
            } else {
                promise.feeds.contains(&feed.client)
            }
        };
        Copy {
            as_of,
            state,
            feeds: known
                .into_values()
                .map(|feed| {
                    let state = if counts(&feed) {
                        promise.judges(feed.as_of(), now)
                    } else {
                        CopyAge::Unjudged
                    };
                    (feed, state)
                })
                .collect(),
        }
    }
}

/// Whole seconds from `as_of` to `now`.
pub fn lag(as_of: Instant, now: Instant) -> i64 {
    now.0.saturating_sub(as_of.0).max(0) / 1_000_000
}

/// A feed's sign of life that stands in a change which is still to be committed.
#[must_use = "it counts once the change is durable"]
pub struct Signed(Line);

/// Notes in a write's own commit that its feed is alive.
pub fn sign(visit: &Visit<'_>, change: &mut Change) -> Signed {
    let line = line(visit.caller(), visit.now);
    change.ledger.push(line.written(Told::Write));
    Signed(line)
}

impl Signed {
    /// The change is durable: a feed whose writes fail is not as far as it tried to be.
    pub fn stands(&self, state: &State) {
        state.copy.note(&self.0, Told::Write);
    }
}

/// Makes a feed's statement durable with the record of its request.
///
/// # Errors
/// What the store said, as the way out it asks for.
pub async fn state_as_of(
    state: &State,
    visit: &Visit<'_>,
    mut change: Change,
    as_of: Instant,
) -> Result<(), wire::visit::End> {
    let line = line(visit.caller(), as_of);
    change.ledger.push(line.written(Told::Statement));
    visit.commit(change).await?;
    state.copy.note(&line, Told::Statement);
    Ok(())
}

/// Makes durable with the record of its request that a feed is alive, and whom it has not heard.
///
/// # Errors
/// What the store said, as the way out it asks for.
pub async fn is_alive(
    state: &State,
    visit: &Visit<'_>,
    mut change: Change,
    alive: Alive,
) -> Result<(), wire::visit::End> {
    let line = Line {
        silent: alive.silent,
        ..line(visit.caller(), visit.now)
    };
    change.ledger.push(line.written(Told::Life));
    visit.commit(change).await?;
    state.copy.note(&line, Told::Life);
    Ok(())
}

fn line(caller: &Caller, at: Instant) -> Line {
    Line {
        client: caller.client_id.clone(),
        organisation: caller.organisation.map(|number| number.to_string()),
        record_system: caller.use_ == ClientUse::RecordSystem,
        at: at.0,
        silent: Vec::new(),
    }
}

impl State {
    /// How old the copy is now, feed by feed: for operators.
    pub fn copy(&self) -> Copy {
        self.copy.at(&self.config.copy, self.now())
    }

    /// Its service id.
    pub fn id(&self) -> &str {
        &self.config.id
    }

    /// Its clock's time.
    pub fn now(&self) -> Instant {
        (self.house.clock)()
    }

    /// How those stand that are expected to say something: for operators.
    pub fn silences(&self) -> Vec<Silence> {
        self.copy.silences(&self.config.copy, self.now())
    }

    /// Who is silent at `now`, for those who work by what arrives.
    pub(crate) fn quiet(&self, now: Instant) -> Vec<Quiet> {
        let silences = self.copy.silences(&self.config.copy, now).into_iter();
        let quiet = silences.filter(|one| one.quiet).map(|one| Quiet {
            name: one.name,
            home_system: one.said_by.is_some(),
            since: one.heard,
        });
        quiet.collect()
    }

    /// Those that have gone quiet, or speak again, since this was last asked: what the alarm tells once.
    pub fn silences_turned(&self) -> Vec<Silence> {
        let now = self.silences();
        let mut told = self
            .copy
            .quiet
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let quiet = now.iter().filter(|one| one.quiet);
        let quiet: BTreeMap<_, _> = quiet.map(|one| (one.key(), one.clone())).collect();
        let before = std::mem::take(&mut *told);
        let gone_quiet = quiet.iter().filter(|(key, _)| !before.contains_key(*key));
        let mut turned: Vec<_> = gone_quiet.map(|(_, one)| one.clone()).collect();
        // Of a home system that is heard again its feed says nothing any more.
        let back = before
            .into_iter()
            .filter(|(key, _)| !quiet.contains_key(key));
        turned.extend(back.map(|(key, one)| {
            let stands = now.iter().find(|one| one.key() == key).cloned();
            stands.unwrap_or(Silence {
                quiet: false,
                ..one
            })
        }));
        *told = quiet;
        turned
    }

    /// The state, if it is another than when this was last asked: what the alarm tells once.
    pub fn copy_turned(&self) -> Option<Copy> {
        let copy = self.copy();
        let mut told = self
            .copy
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (std::mem::replace(&mut *told, copy.state) != copy.state).then_some(copy)
    }
}

/// The alarm: one line in the log each time the copy becomes too old, or new enough again, and each time a feed that is expected
/// goes quiet, or speaks again. None where nothing is promised or expected.
pub fn workers(state: Arc<State>) -> Option<Worker> {
    let promise = &state.config.copy;
    if promise.max_lag_seconds.is_none() && promise.expects.is_empty() {
        return None;
    }
    Some(Worker::new("copy", async move {
        let pause = state.house.pause.clone();
        loop {
            for one in state.silences_turned() {
                let (service, client) = (state.config.id.as_str(), one.client.as_str());
                let heard = one.heard.map(|at| at.to_string()).unwrap_or_default();
                match (one.quiet, one.said_by.as_deref()) {
                    (true, None) => {
                        tracing::error!(service, feed = client, heard, "a feed has gone quiet");
                    }
                    (false, None) => {
                        tracing::warn!(service, feed = client, heard, "a feed speaks again");
                    }
                    (true, Some(feed)) => {
                        let words = "a home system has gone quiet, says the feed";
                        tracing::error!(service, feed, sender = client, heard, "{words}");
                    }
                    (false, Some(feed)) => {
                        let words = "a home system is heard again, says the feed";
                        tracing::warn!(service, feed, sender = client, "{words}");
                    }
                }
            }
            if let Some(copy) = state.copy_turned() {
                let service = state.config.id.as_str();
                let max_lag_seconds = state.config.copy.max_lag_seconds.unwrap_or_default();
                let as_of = copy.as_of.map(|at| at.to_string()).unwrap_or_default();
                if copy.state == CopyAge::Late {
                    tracing::error!(
                        service,
                        as_of,
                        max_lag_seconds,
                        "the shared copy is too old"
                    );
                } else {
                    tracing::warn!(
                        service,
                        as_of,
                        max_lag_seconds,
                        "the shared copy is new enough"
                    );
                }
            }
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(LOOK) => {}
            }
        }
    }))
}

/// Says how old the copy is, for whoever asks from elsewhere: on every answer that gives something, and on every one that says that a thing is
/// not there, for in an old copy it may be so yet.
pub async fn told(
    axum::extract::State(state): axum::extract::State<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let absent = matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::GONE);
    if response.status().is_success() || absent {
        let (as_of, age) = state.copy.whole(&state.config.copy, state.now());
        let mut add = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        };
        if let Some(as_of) = as_of {
            add(COPY_AS_OF_HEADER, as_of.to_string());
        }
        if age != CopyAge::Unjudged {
            add(COPY_STATE_HEADER, age.as_str().to_owned());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(client: &str, record_system: bool, seconds: i64) -> Line {
        Line {
            client: client.to_owned(),
            organisation: None,
            record_system,
            at: seconds * 1_000_000,
            silent: Vec::new(),
        }
    }

    fn book(lines: &[(&str, bool, i64, bool)]) -> Book {
        let book = Book {
            feeds: Mutex::default(),
            told: Mutex::new(CopyAge::Unjudged),
            quiet: Mutex::default(),
        };
        for (client, record_system, seconds, statement) in lines {
            let told = [Told::Write, Told::Statement][usize::from(*statement)];
            book.note(&line(client, *record_system, *seconds), told);
        }
        book
    }

    fn state(book: &Book, feeds: &[&str], now: i64) -> (Option<i64>, &'static str) {
        let promise = Promise {
            max_lag_seconds: Some(60),
            feeds: feeds.iter().map(|f| (*f).to_owned()).collect(),
            expects: Vec::new(),
        };
        let copy = book.at(&promise, Instant(now * 1_000_000));
        (copy.as_of.map(|at| at.0 / 1_000_000), copy.state.as_str())
    }

    #[test]
    fn the_border_is_the_lag_itself() {
        let book = book(&[("epj", true, 100, false)]);
        assert_eq!(state(&book, &[], 160), (Some(100), "ok"));
        assert_eq!(state(&book, &[], 161), (Some(100), "late"));
        // A feed whose clock runs ahead is not late.
        assert_eq!(state(&book, &[], 90), (Some(100), "ok"));
    }

    #[test]
    fn a_statement_counts_before_a_write_and_the_oldest_feed_decides() {
        let book = book(&[
            ("epj", true, 100, true),
            ("epj", true, 150, false),
            ("lab", true, 120, false),
        ]);
        assert_eq!(state(&book, &[], 150), (Some(100), "ok"));
        assert_eq!(state(&book, &["lab"], 150), (Some(120), "ok"));
    }

    #[test]
    fn who_writes_by_delegation_counts_once_it_makes_statements() {
        let silent = book(&[("epj", true, 100, false), ("hub", false, 10, false)]);
        assert_eq!(state(&silent, &[], 120), (Some(100), "ok"));
        silent.note(&line("hub", false, 20), Told::Statement);
        assert_eq!(state(&silent, &[], 120), (Some(20), "late"));
    }

    #[test]
    fn a_feed_that_is_expected_is_quiet_after_its_time_or_if_never_heard() {
        let book = book(&[("hub", false, 100, false), ("epj", true, 100, false)]);
        let expected = |client: &str| Expected {
            client: client.into(),
            name: client.into(),
            quiet_seconds: 60,
        };
        let promise = Promise {
            expects: vec![expected("hub"), expected("lab")],
            ..Promise::default()
        };
        let quiet = |now: i64| -> Vec<(Option<i64>, bool)> {
            let all = book.silences(&promise, Instant(now * 1_000_000));
            all.into_iter()
                .map(|one| (one.heard.map(|at| at.0 / 1_000_000), one.quiet))
                .collect()
        };
        assert_eq!(quiet(160), [(Some(100), false), (None, true)]);
        assert_eq!(quiet(161), [(Some(100), true), (None, true)]);
        // A statement that there is nothing new is a sign of life too, and so is a sign that says no more than that.
        book.note(&line("hub", false, 161), Told::Statement);
        assert_eq!(quiet(200)[0], (Some(161), false));
        book.note(&line("hub", false, 240), Told::Life);
        assert_eq!(quiet(300)[0], (Some(240), false));
        assert_eq!(quiet(301)[0], (Some(240), true));
    }

    #[test]
    fn nobody_heard_is_late_and_without_a_promise_nothing_is_judged() {
        assert_eq!(state(&book(&[]), &[], 0), (None, "late"));
        let book = book(&[("epj", true, 100, false)]);
        assert_eq!(state(&book, &["epj", "other"], 100), (None, "late"));
        let copy = book.at(&Promise::default(), Instant(i64::MAX));
        assert_eq!(copy.state, CopyAge::Unjudged);
        assert_eq!(copy.feeds[0].1, CopyAge::Unjudged);
    }
}
