//! The list of the organisation's own patients in words: one line a patient, in the order that the service gave. Nothing is judged here.

use fhir::measurement;
use fhir::plan::Zone;
use fhir::time::Instant;
use wire::contract::work_list::{Alert, Quiet, Row, Trend, WorkList};

use std::collections::HashMap;

use crate::State;
use crate::calendar::person_number;
use crate::text::Text;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// The list as the page shows it.
pub struct Shown {
    /// What it says, in short.
    pub tag: String,
    /// As of when, `08:30`.
    pub at: String,
    /// The same in milliseconds since 1970: ages are counted by the service's clock, not the browser's.
    pub now: i64,
    /// What the medical device says of itself.
    pub device: String,
    /// Patients in all.
    pub total: usize,
    /// That some could not be decided about and are not on it.
    pub undecided: Option<String>,
    /// Who has not been heard for longer than expected, a line each.
    pub quiet: Vec<String>,
    /// Place of the first line, counted from 1; 0 without lines.
    pub first: usize,
    /// Place of the last; 0 without lines.
    pub last: usize,
    /// Rows left out before the first.
    pub offset: usize,
    /// Where the page before begins.
    pub before: Option<usize>,
    /// Where the next begins.
    pub next: Option<usize>,
    /// Lines, in their order.
    pub places: Vec<Place>,
}

/// One line's place.
pub struct Place {
    /// What the line says, in short.
    pub tag: String,
    /// It; `None`: the page has it already.
    pub line: Option<Line>,
}

/// One patient.
pub struct Line {
    /// The session's address of her page.
    pub id: String,
    /// Name.
    pub name: String,
    /// The number, in groups.
    pub number: String,
    /// The gravest of zone and alerts, for the mark at the edge.
    pub gravity: &'static str,
    /// Zone: code and word.
    pub zone: Option<(&'static str, &'static str)>,
    /// How she is compared with the days before: code, sign and words.
    pub trend: (&'static str, &'static str, &'static str),
    /// The newest score.
    pub news2: Option<ScoreLine>,
    /// What has not come.
    pub missing: String,
    /// The newest reading: milliseconds since 1970, when, and how long ago.
    pub newest: Option<(i64, String, String)>,
    /// Whether she is admitted.
    pub admitted: bool,
    /// Why the plan expects nothing now.
    pub pause: Option<String>,
    /// Whether something of her could not be read.
    pub unread: bool,
    /// Open alerts.
    pub alerts: Vec<AlertLine>,
}

/// A score in words.
pub struct ScoreLine {
    /// Points.
    pub points: u8,
    /// What was not measured; empty where the score is whole.
    pub missing: String,
    /// When.
    pub at: String,
}

/// An open alert in words.
pub struct AlertLine {
    /// State.
    pub state: String,
    /// What it is about.
    pub topic: &'static str,
    /// Who has it.
    pub owner: Option<String>,
    /// By when, and whether that has passed.
    pub deadline: Option<(String, bool)>,
    /// How many deadlines have passed without the next step, in words, where one has.
    pub level: Option<String>,
    /// For whom it is since then, in words.
    pub escalated_to: Option<String>,
}

/// Code of a zone, and its word.
pub fn zone(zone: Zone, t: &Text) -> (&'static str, &'static str) {
    match zone {
        Zone::Red => ("red", t.of("zone.red")),
        Zone::Yellow => ("yellow", t.of("zone.yellow")),
        Zone::Green => ("green", t.of("zone.green")),
    }
}

/// The list in words; `addresses` are those of its rows.
pub fn shown(list: &WorkList, addresses: Vec<String>, state: &State, t: &Text) -> Shown {
    let words = Words {
        state,
        t,
        now: list.at,
    };
    let mut lines: HashMap<&str, Line> = list
        .rows
        .iter()
        .zip(addresses)
        .map(|(row, id)| (row.tag.as_str(), words.line(row, id)))
        .collect();
    let places: Vec<Place> = list
        .order
        .iter()
        .map(|tag| Place {
            line: lines.remove(tag.as_str()),
            tag: tag.clone(),
        })
        .collect();
    let end = list.offset + places.len();
    let size = crate::look_up::own::ROWS;
    Shown {
        tag: list.tag.clone(),
        at: state.calendar.clock(list.at.0 / 1000),
        now: list.at.0 / 1000,
        device: list.device.clone(),
        total: list.total,
        undecided: match list.undecided {
            0 => None,
            1 => Some(t.of("list.undecided_one").to_owned()),
            n => Some(t.count("list.undecided", n)),
        },
        quiet: list.quiet.iter().map(|one| words.quiet(one)).collect(),
        first: if places.is_empty() {
            0
        } else {
            list.offset + 1
        },
        last: if places.is_empty() { 0 } else { end },
        offset: list.offset,
        before: (list.offset > 0).then(|| list.offset.saturating_sub(size)),
        next: (end < list.total && !places.is_empty()).then_some(end),
        places,
    }
}

struct Words<'a> {
    state: &'a State,
    t: &'a Text,
    now: Instant,
}

impl Words<'_> {
    fn line(&self, row: &Row, id: String) -> Line {
        let t = self.t;
        let alerts = row.alerts.iter().filter_map(|alert| alert.zone);
        let gravest = alerts.chain(row.zone).max();
        let name = row.name.clone();
        let missing: Vec<_> = row.missing.iter().map(|id| self.measured(id)).collect();
        Line {
            id,
            name: name.unwrap_or_else(|| t.of("launch.no_name").to_owned()),
            number: person_number(row.patient.value().expose()),
            gravity: match gravest {
                Some(Zone::Green) if row.unread => "unknown",
                gravest => gravest.map_or("unknown", |one| zone(one, t).0),
            },
            zone: row.zone.map(|one| zone(one, t)),
            trend: match row.trend {
                Trend::Worse => ("worse", "↑", t.of("list.worse")),
                Trend::Same => ("same", "→", t.of("list.same")),
                Trend::Better => ("better", "↓", t.of("list.better")),
                Trend::Unknown => ("unknown", "–", t.of("list.no_trend")),
            },
            news2: row.news2.as_ref().map(|score| {
                let missing: Vec<_> = score.missing.iter().map(|id| self.measured(id)).collect();
                ScoreLine {
                    points: score.points,
                    missing: missing.join(", "),
                    at: self.when(score.at),
                }
            }),
            missing: missing.join(", "),
            newest: row
                .newest
                .map(|at| (at.0 / 1000, self.when(at), self.age(at))),
            admitted: row.admitted,
            pause: row.pause.clone(),
            unread: row.unread,
            alerts: row.alerts.iter().map(|alert| self.alert(alert)).collect(),
        }
    }

    fn alert(&self, alert: &Alert) -> AlertLine {
        let state = format!("alert.state_{}", alert.state.replace('-', "_"));
        AlertLine {
            state: self.t.find(&state).unwrap_or(&alert.state).to_owned(),
            topic: match alert.topic.as_str() {
                "alert-missing" => self.t.of("alert.about_missing"),
                _ => self.t.of("alert.about_readings"),
            },
            owner: alert.owner.clone(),
            deadline: alert.deadline.map(|end| (self.when(end), end <= self.now)),
            level: (alert.level > 0).then(|| self.t.count("list.level", alert.level)),
            escalated_to: alert
                .escalated_to
                .as_deref()
                .map(|role| self.t.fill("list.escalated_to", &[("role", role)])),
        }
    }

    /// That somebody has not been heard, in words that say what it means for the list.
    fn quiet(&self, one: &Quiet) -> String {
        let since = one.since.map(|at| self.when(at));
        let words = match (one.home_system, &since) {
            (false, Some(_)) => "list.quiet_feed",
            (false, None) => "list.quiet_feed_never",
            (true, Some(_)) => "list.quiet_home",
            (true, None) => "list.quiet_home_never",
        };
        let when = since.unwrap_or_default();
        let parts = [("name", one.name.as_str()), ("when", when.as_str())];
        self.t.fill(words, &parts)
    }

    /// What is measured: a kind, or a part of a score.
    fn measured(&self, id: &str) -> String {
        let own = self.t.find(&format!("measured.{}", id.replace('-', "_")));
        let named = own.or_else(|| measurement::by_id(id).map(|kind| kind.nb.as_str()));
        named.unwrap_or(id).to_owned()
    }

    /// `08:30` of the same day, else `20.11. 08:30`.
    fn when(&self, at: Instant) -> String {
        let calendar = &self.state.calendar;
        let (at, now) = (at.0 / 1000, self.now.0 / 1000);
        match calendar.date(at) == calendar.date(now) {
            true => calendar.clock(at),
            false => calendar.day_clock(at),
        }
    }

    fn age(&self, at: Instant) -> String {
        let age = (self.now.0 - at.0).max(0) / 1000;
        let (key, n) = match age {
            age if age < 2 * HOUR => ("list.minutes_ago", age / MINUTE),
            age if age < 48 * HOUR => ("list.hours_ago", age / HOUR),
            age => ("list.days_ago", age / (24 * HOUR)),
        };
        self.t.count(key, n)
    }
}
