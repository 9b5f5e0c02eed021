//! What a citizen's pages show, in words: the log of who looked, her wishes, and what each holder did with one.

use std::collections::BTreeMap;

use fhir::resource::InformationService;
use wire::explained::{Decision, Texts, Told};
use wire::receipt::{SourceReport, SourceState};

use crate::State;
use crate::look_up::mine::{Closing, Event, Wish};
use crate::text::Text;

/// A line of the log.
pub struct LogLine {
    /// `5. mars 2026 09:30`
    pub when: String,
    /// Who.
    pub name: String,
    /// As what that person works.
    pub role: Option<String>,
    /// Where that person works, and in which part of it.
    pub organisation: String,
    /// Who gave it, or refused it.
    pub holder: String,
    /// Why, and what was given.
    pub why: String,
    /// The reason in the person's own words.
    pub reason: Option<String>,
    /// What was given, or that nothing was.
    pub given: String,
    /// What of it was left out.
    pub without: Option<String>,
    /// Of a refusal: what the form sends to ask why.
    pub request: Option<String>,
    /// What the form sends to shut this person out.
    pub pseudonym: Option<String>,
}

/// A wish on the page.
pub struct WishLine {
    /// What the form sends to take it back.
    pub id: String,
    /// What it closes.
    pub what: String,
    /// Since when.
    pub since: Option<String>,
    /// By whom it is kept.
    pub keepers: String,
    /// Made elsewhere, and taken back there.
    pub elsewhere: bool,
}

/// What one holder did.
pub struct Done {
    /// Its name.
    pub name: String,
    /// In words.
    pub said: &'static str,
    /// Whether it is done there.
    pub done: bool,
}

/// The log in words.
pub fn log(events: &[Event], state: &State, t: &Text) -> Vec<LogLine> {
    let unknown = || t.of("log.unknown").to_owned();
    let line = |event: &Event| LogLine {
        when: when(state, &event.when),
        name: event.name.clone().unwrap_or_else(unknown),
        role: event.role.clone(),
        organisation: {
            let places = [&event.organisation, &event.department];
            let known: Vec<&str> = places.into_iter().flatten().map(String::as_str).collect();
            known.join(", ")
        },
        holder: event.holder.clone().unwrap_or_default(),
        why: event.purpose.as_deref().map_or_else(String::new, |code| {
            let key = format!("why.{code}");
            t.find(&key).map_or_else(|| code.to_owned(), str::to_owned)
        }),
        reason: event.reason.clone(),
        given: match (event.allowed, event.kinds.is_empty()) {
            (false, _) => t.of("log.refused").to_owned(),
            (true, true) => t.of("log.nothing").to_owned(),
            (true, false) if event.wrote => {
                t.fill("log.wrote", &[("kinds", &kinds(&event.kinds, t))])
            }
            (true, false) => kinds(&event.kinds, t),
        },
        without: (event.allowed && !event.without.is_empty()).then(|| {
            let known = |code: &String| t.find(&format!("detail.{code}"));
            let words: Vec<&str> = event.without.iter().filter_map(known).collect();
            t.fill("log.without", &[("details", &words.join(", "))])
        }),
        request: event.request.clone().filter(|_| !event.allowed),
        pseudonym: event.pseudonym.clone(),
    };
    events.iter().map(line).collect()
}

/// Why one party decided as it did.
pub struct Why {
    /// Its name.
    pub name: String,
    /// When, and in words why: each decision of that request.
    pub decisions: Vec<(String, Vec<String>)>,
}

/// Why, in her language.
pub fn why(told: &[Told], state: &State, t: &Text) -> Vec<Why> {
    let said = |words: &Texts| t.among(&words.nb, &words.nn, &words.en).clone();
    let decision = |one: &Decision| {
        let reasons = one.reasons.iter().map(|reason| said(&reason.words));
        (when(state, &one.when), reasons.collect::<Vec<_>>())
    };
    let party = |one: &Told| Why {
        name: state.name_of(one.organisation.as_str()).to_owned(),
        decisions: one
            .decisions
            .iter()
            .map(decision)
            .filter(|(_, reasons)| !reasons.is_empty())
            .collect(),
    };
    let all = told.iter().map(party);
    all.filter(|one| !one.decisions.is_empty()).collect()
}

/// Names of people in the log, by pseudonym: a wish holds no name.
pub fn names(events: &[Event]) -> BTreeMap<String, String> {
    let named = |event: &Event| Some((event.pseudonym.clone()?, event.name.clone()?));
    events.iter().filter_map(named).collect()
}

/// Her wishes in words.
pub fn wishes(
    wishes: &[Wish],
    names: &BTreeMap<String, String>,
    state: &State,
    t: &Text,
) -> Vec<WishLine> {
    let line = |wish: &Wish| WishLine {
        id: wish.id.clone(),
        what: wish.closing.as_ref().map_or_else(
            || t.of("block.strange").to_owned(),
            |closing| what(closing, names, state, t),
        ),
        since: wish.since.as_deref().map(|at| when(state, at)),
        keepers: wish
            .keepers
            .iter()
            .map(|number| state.name_of(number))
            .collect::<Vec<_>>()
            .join(", "),
        elsewhere: wish.elsewhere,
    };
    wishes.iter().map(line).collect()
}

/// What is closed.
pub fn what(
    closing: &Closing,
    names: &BTreeMap<String, String>,
    state: &State,
    t: &Text,
) -> String {
    match closing {
        Closing::All => t.of("block.all").to_owned(),
        Closing::Sharing => t.of("block.sharing").to_owned(),
        Closing::Kinds(codes) => t.fill("block.of_kind", &[("kinds", &kinds(codes, t))]),
        Closing::Organisation(number) => {
            t.fill("block.of_organisation", &[("name", state.name_of(number))])
        }
        Closing::Person(pseudonym) => match names.get(pseudonym) {
            Some(name) => t.fill("block.of_person", &[("name", name)]),
            None => t.of("block.of_somebody").to_owned(),
        },
    }
}

/// What each holder did with a wish.
pub fn done(sources: &[SourceReport], t: &Text) -> Vec<Done> {
    let one = |source: &SourceReport| Done {
        name: source
            .name
            .clone()
            .unwrap_or_else(|| source.organisation.clone()),
        said: match source.state {
            SourceState::Complete => t.of("sent.done"),
            SourceState::Empty => t.of("sent.nothing"),
            SourceState::Refused => t.of("sent.refused"),
            SourceState::NotAsked => t.of("sent.not_asked"),
            _ => t.of("sent.silent"),
        },
        done: source.state.is_whole(),
    };
    sources.iter().map(one).collect()
}

/// The kinds that a page has a name for: code and name.
pub fn known_kinds(t: &Text) -> Vec<(String, &'static str)> {
    let named = |kind: InformationService| {
        let code = kind.to_string();
        let name = t.find(&format!("kind.{code}"))?;
        Some((code, name))
    };
    InformationService::ALL
        .into_iter()
        .filter_map(named)
        .collect()
}

/// Kinds of information by name.
pub fn kinds(codes: &[String], t: &Text) -> String {
    let name = |code: &String| {
        let key = format!("kind.{code}");
        t.find(&key).map_or_else(|| code.clone(), str::to_owned)
    };
    codes.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn when(state: &State, at: &str) -> String {
    let moment = state.calendar.moment(at);
    moment.map_or_else(String::new, |at| state.calendar.moment_text(at))
}
