//! What one home or office measures: at which sittings, which values, and how they change when somebody gets worse. A pure function
//! from a name and a day to what is measured.

use crate::calendar::Calendar;
use crate::dice::Dice;
use crate::kinds::Kind;
use crate::people::{ScenarioError, from_toml};
use crate::rows::clock_time;
use crate::story::{TO_BE_CONFIRMED, later};
use jiff::Zoned;
use jiff::civil::{Time, Weekday};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

const HOMES: &str = include_str!("../../../../scenarios/homes.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    clinical_values: String,
    home: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    share: i64,
    episode: Option<Episode>,
    devices: BTreeMap<String, String>,
    sitting: Vec<SittingRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SittingRow {
    id: String,
    at: String,
    spread: i64,
    #[serde(default)]
    missed: u32,
    #[serde(default)]
    weekdays: Vec<String>,
    #[serde(default)]
    evening: bool,
    #[serde(default)]
    only_worse: bool,
    values: Vec<Values>,
}

/// Why somebody measures at home, and how (`scenarios/homes.toml`).
#[derive(Clone, Debug)]
pub struct Condition {
    /// `copd`, `heart-failure`, …
    pub id: String,
    /// How many of a hundred homes.
    pub share: i64,
    /// Which device measures a kind, by the kind's word.
    pub devices: BTreeMap<String, String>,
    /// What is measured.
    pub habit: Habit,
}

impl Condition {
    /// Every condition, from the data compiled into the program.
    ///
    /// # Errors
    /// None while this crate's tests pass.
    pub fn all() -> Result<&'static [Condition], ScenarioError> {
        static READ: OnceLock<Result<Vec<Condition>, String>> = OnceLock::new();
        match READ.get_or_init(|| read(HOMES).map_err(|error| error.to_string())) {
            Ok(all) => Ok(all),
            Err(words) => Err(ScenarioError::Value(words.clone())),
        }
    }

    /// One by its id.
    ///
    /// # Errors
    /// There is none of that name; the words say which there are.
    pub fn named(id: &str) -> Result<&'static Condition, ScenarioError> {
        let all = Self::all()?;
        let names = || {
            all.iter()
                .map(|one| one.id.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let found = all.iter().find(|one| one.id == id);
        found.ok_or_else(|| {
            ScenarioError::Value(format!("no such condition: {id}; there are {}", names()))
        })
    }
}

fn read(text: &str) -> Result<Vec<Condition>, ScenarioError> {
    let file: File = from_toml("homes.toml", text)?;
    let wrong = |what: String| ScenarioError::Value(format!("homes.toml: {what}"));
    if file.clinical_values != TO_BE_CONFIRMED || file.home.is_empty() {
        return Err(wrong(format!("does not say: {TO_BE_CONFIRMED}")));
    }
    let sitting = |row: SittingRow| {
        let days = row
            .weekdays
            .iter()
            .map(|word| weekday(word))
            .collect::<Option<Vec<_>>>();
        let kinds = row
            .values
            .iter()
            .all(|one| Kind::parse(&one.kind).is_some());
        let (Some(at), Some(days), true) = (clock_time(&row.at), days, kinds) else {
            return Err(wrong(format!("sitting {}: time, weekday or kind", row.id)));
        };
        Ok(Sitting {
            id: row.id,
            at,
            spread: row.spread,
            rhythm: if days.is_empty() {
                Rhythm::DAILY
            } else {
                Rhythm::Weekdays(days)
            },
            missed: row.missed,
            evening: row.evening,
            only_worse: row.only_worse,
            values: row.values,
        })
    };
    let condition = |row: Row| {
        Ok(Condition {
            id: row.id,
            share: row.share.max(1),
            devices: row.devices,
            habit: Habit {
                sittings: row
                    .sitting
                    .into_iter()
                    .map(sitting)
                    .collect::<Result<_, _>>()?,
                course: row.episode.map_or(Course::Steady, Course::Episodes),
            },
        })
    };
    file.home.into_iter().map(condition).collect()
}

fn weekday(word: &str) -> Option<Weekday> {
    const WORDS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let at = WORDS.iter().position(|one| *one == word)?;
    Weekday::from_monday_zero_offset(i8::try_from(at).ok()?).ok()
}

/// How one kind's values fall. All but `middle` count in the last decimal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// The kind's word.
    pub kind: String,
    /// Round what; `systolic/diastolic` for blood pressure.
    pub middle: String,
    /// How far one reading lies from it.
    pub spread: i64,
    /// How far one person's middle lies from another's.
    #[serde(default)]
    pub person: i64,
    /// What evening adds.
    #[serde(default)]
    pub evening: i64,
    /// What the worst day adds.
    #[serde(default)]
    pub worse: i64,
    /// Decimals.
    #[serde(default)]
    pub decimals: u32,
    /// Neither below nor above.
    #[serde(default)]
    pub range: Option<(i64, i64)>,
}

impl Values {
    /// One value round its middle, moved by `moved`: three throws, so that most lie near. `None` when the middle is no number.
    pub fn draw(&self, dice: &mut Dice, moved: i64) -> Option<String> {
        let mut one = |middle: &str| {
            let scale = 10_i64.pow(self.decimals);
            let (whole, part) = middle.split_once('.').unwrap_or((middle, ""));
            let part: i64 = if part.is_empty() {
                0
            } else {
                part.parse().ok()?
            };
            let throws: i64 = (0..3)
                .map(|_| dice.between(-self.spread, self.spread))
                .sum();
            let value = whole.parse::<i64>().ok()? * scale + part + throws / 2 + moved;
            let value = self
                .range
                .map_or(value, |(low, high)| value.clamp(low, high));
            Some(match self.decimals {
                0 => value.to_string(),
                _ => format!(
                    "{}.{:0width$}",
                    value / scale,
                    value % scale,
                    width = self.decimals as usize
                ),
            })
        };
        match self.middle.split_once('/') {
            Some((systolic, diastolic)) => Some(format!("{}/{}", one(systolic)?, one(diastolic)?)),
            None => one(&self.middle),
        }
    }
}

/// On which days something happens.
#[derive(Clone, Debug)]
pub enum Rhythm {
    /// Every so many days, counted from a day.
    Every(i32, i32),
    /// On these days of the week.
    Weekdays(Vec<Weekday>),
}

impl Rhythm {
    /// Each day.
    pub const DAILY: Rhythm = Rhythm::Every(1, 0);

    fn falls_on(&self, calendar: &Calendar, day: i32) -> bool {
        match self {
            Rhythm::Every(days, from) => (day - from).rem_euclid((*days).max(1)) == 0,
            Rhythm::Weekdays(days) => days.contains(&calendar.weekday(day)),
        }
    }
}

/// A time at which somebody sits down and measures.
#[derive(Clone, Debug)]
pub struct Sitting {
    /// Its name.
    pub id: String,
    /// The usual time.
    pub at: Time,
    /// Minutes to both sides.
    pub spread: i64,
    /// The days.
    pub rhythm: Rhythm,
    /// How many of a hundred do not happen.
    pub missed: u32,
    /// Whether evening adds something.
    pub evening: bool,
    /// Only while it is worse.
    pub only_worse: bool,
    /// What is measured.
    pub values: Vec<Values>,
}

/// Worse weeks that come and go: in `percent` of the spans of `every` days one, of so many `days` at least and at most.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    every: i32,
    percent: u32,
    days: (i32, i32),
}

/// How it goes.
#[derive(Clone, Debug)]
pub enum Course {
    /// As always.
    Steady,
    /// Worse day by day over as many `days` until `last`.
    Toward {
        /// The worst day.
        last: i32,
        /// Days that it takes.
        days: i32,
    },
    /// Worse weeks that come and go.
    Episodes(Episode),
}

impl Course {
    /// How much of the worst a day is, in thousandths.
    pub fn worse(&self, name: &str, day: i32) -> i64 {
        match self {
            Course::Steady => 0,
            Course::Toward { last, days } => {
                let into = i64::from(days - (last - day));
                if *days < 1 || into < 1 || day > *last {
                    0
                } else {
                    1000 * into / i64::from(*days)
                }
            }
            Course::Episodes(episode) => episode.worse(name, day),
        }
    }
}

impl Episode {
    /// Two fifths of an episode lead to its worst day, the rest away from it.
    fn worse(&self, name: &str, day: i32) -> i64 {
        let every = self.every.max(1);
        let span = day.div_euclid(every);
        let mut dice = Dice::named(&format!("{name}/episode/{span}"));
        if !dice.chance(self.percent) {
            return 0;
        }
        let (least, most) = self.days;
        let length = dice
            .between(i64::from(least), i64::from(most))
            .clamp(1, i64::from(every));
        let start = dice.between(0, i64::from(every) - length);
        let into = i64::from(day.rem_euclid(every)) - start;
        let rise = (length * 2 / 5).max(1);
        match into {
            into if into < 0 || into >= length => 0,
            into if into < rise => 1000 * (into + 1) / rise,
            into => 1000 * (length - into) / (length - rise + 1),
        }
    }
}

/// What somebody measures, day by day.
#[derive(Clone, Debug)]
pub struct Habit {
    /// The sittings of a day.
    pub sittings: Vec<Sitting>,
    /// How it goes.
    pub course: Course,
}

/// One thing measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The sitting's name.
    pub sitting: String,
    /// When.
    pub taken: Zoned,
    /// What.
    pub kind: Kind,
    /// The value as text.
    pub value: String,
}

impl Habit {
    /// What is measured on a day by whoever has this name; the same name and day tell the same.
    ///
    /// # Errors
    /// A kind or a middle that is none.
    pub fn day(
        &self,
        name: &str,
        calendar: &Calendar,
        day: i32,
    ) -> Result<Vec<Measured>, ScenarioError> {
        let worse = self.course.worse(name, day);
        let mut all = Vec::new();
        for sitting in &self.sittings {
            let mut dice = Dice::named(&format!("{name}/{day}/{}", sitting.id));
            let minutes = dice.between(-sitting.spread, sitting.spread);
            let happens = !dice.chance(sitting.missed)
                && sitting.rhythm.falls_on(calendar, day)
                && (worse > 0 || !sitting.only_worse);
            if !happens {
                continue;
            }
            let taken = later(&calendar.at(day, sitting.at), minutes * 60);
            for values in &sitting.values {
                let wrong = || {
                    ScenarioError::Value(format!("{name}: {} round {}", values.kind, values.middle))
                };
                let kind = Kind::parse(&values.kind).ok_or_else(wrong)?;
                let own = Dice::named(&format!("{name}/{}", values.kind))
                    .between(-values.person, values.person);
                let evening = if sitting.evening { values.evening } else { 0 };
                let moved = own + evening + values.worse * worse / 1000;
                let value = values.draw(&mut dice, moved).ok_or_else(wrong)?;
                all.push(Measured {
                    sitting: sitting.id.clone(),
                    taken: taken.clone(),
                    kind,
                    value,
                });
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    fn values(middle: &str, decimals: u32, range: Option<(i64, i64)>) -> Values {
        let kind = "weight".into();
        Values {
            kind,
            middle: middle.into(),
            spread: 0,
            person: 0,
            evening: 0,
            worse: 0,
            decimals,
            range,
        }
    }

    #[test]
    fn decimals_are_written_whole_and_a_range_is_kept() {
        let draw = |values: &Values, moved| values.draw(&mut Dice::new(1), moved);
        assert_eq!(draw(&values("84.0", 1, None), 0).unwrap(), "84.0");
        assert_eq!(draw(&values("84.0", 1, None), 5).unwrap(), "84.5");
        assert_eq!(draw(&values("91", 0, Some((74, 99))), -40).unwrap(), "74");
        assert_eq!(draw(&values("134/78", 0, None), 1).unwrap(), "135/79");
        assert_eq!(draw(&values("much", 0, None), 0), None);
    }

    #[test]
    fn an_episode_rises_to_its_worst_day_and_ends() {
        let episode = Episode {
            every: 60,
            percent: 100,
            days: (10, 10),
        };
        let course = Course::Episodes(episode);
        let days: Vec<i64> = (0..60).map(|day| course.worse("somebody", day)).collect();
        let worst = days.iter().position(|one| *one == 1000).unwrap();
        let span: Vec<i64> = days.iter().copied().filter(|one| *one > 0).collect();
        assert_eq!((span.len(), span.iter().max()), (10, Some(&1000)));
        assert!(days[..=worst].is_sorted() && days[worst..].is_sorted_by(|a, b| a >= b));
        let never = Course::Episodes(Episode {
            every: 60,
            percent: 0,
            days: (10, 10),
        });
        assert!((0..600).all(|day| never.worse("somebody", day) == 0));
    }

    #[test]
    fn data_that_says_nothing_is_refused() {
        let good = "clinical_values = \"values to be confirmed by a clinician\"\n[[home]]\nid = \"a\"\nshare = 1\ndevices = {}\n[[home.sitting]]\nid = \"m\"\nat = \"08:00\"\nspread = 1\nweekdays = [\"mon\"]\nvalues = [{ kind = \"pulse\", middle = \"70\", spread = 1 }]\n";
        assert_eq!(read(good).unwrap().len(), 1);
        for (from, to) in [
            ("values to be confirmed by a clinician", "checked"),
            ("08:00", "8"),
            ("mon", "monday"),
            ("\"pulse\"", "\"puls\""),
            ("share", "shares"),
        ] {
            assert!(read(&good.replace(from, to)).is_err(), "{to}");
        }
    }
}
