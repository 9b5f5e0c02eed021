//! Background readings of the other synthetic patients, from `scenarios/background.toml`: seeded, so the same data
//! gives the same region each time, with day rhythm, missed days and declines.

use crate::calendar::{Calendar, moment};
use crate::dice::Dice;
use crate::event::{Event, in_order};
use crate::kinds::Kind;
use crate::observation::{Author, Device, Reading, observation};
use crate::people::{Directory, OrganisationKind, Patient, ScenarioError, from_toml};
use crate::story::{self, TO_BE_CONFIRMED, later};
use fhir::time::Instant;
use jiff::civil::Time;
use serde::Deserialize;

const BACKGROUND: &str = include_str!("../../../scenarios/background.toml");
/// The last story day on which anybody measures.
const LAST_DAY: i32 = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    clinical_values: String,
    stream: Vec<Stream>,
    generated: Generated,
}

/// What one home or office sends.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    id: String,
    patient: String,
    source: String,
    /// How many days back it begins.
    days: i32,
    /// Days between sittings.
    #[serde(default = "daily")]
    every: i32,
    /// Percentage of sittings that do not happen.
    #[serde(default)]
    missed: u32,
    /// Also measured in the evening.
    #[serde(default)]
    evening: bool,
    /// Over how many last days it gets worse.
    #[serde(default)]
    worsens: i32,
    values: Vec<Values>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generated {
    days: i32,
    missed: u32,
    values: Vec<Values>,
}

/// How one kind's values fall. `spread`, `evening` and `worse` count in the last decimal.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    kind: String,
    middle: String,
    spread: i64,
    #[serde(default)]
    evening: i64,
    #[serde(default)]
    worse: i64,
    #[serde(default)]
    decimals: u32,
}

fn daily() -> i32 {
    1
}

/// The background of everybody in the directory but the story's patient, up to and including `until`, in the order in
/// which it is sent.
///
/// # Errors
/// Data that points to nobody or nothing.
pub fn events(
    directory: &Directory,
    calendar: &Calendar,
    until: Instant,
) -> Result<Vec<Event>, ScenarioError> {
    let file: File = from_toml("background.toml", BACKGROUND)?;
    if file.clinical_values != TO_BE_CONFIRMED {
        return Err(ScenarioError::Value(format!(
            "background.toml does not say: {TO_BE_CONFIRMED}"
        )));
    }
    let mut events = Vec::new();
    for stream in file
        .stream
        .iter()
        .cloned()
        .chain(generated(directory, &file))
    {
        let patient = directory.patient(&stream.patient);
        let patient = patient
            .ok_or_else(|| ScenarioError::Value(format!("no such patient: {}", stream.patient)))?;
        events.extend(told(directory, calendar, &stream, patient)?);
    }
    events.retain(|event| event.at <= until);
    Ok(in_order(events))
}

/// One stream a holder for each patient that no stream names.
fn generated(directory: &Directory, file: &File) -> Vec<Stream> {
    let named = |p: &Patient| file.stream.iter().any(|s| s.patient == p.id);
    let others = directory.patients.iter().skip(1).filter(|p| !named(p));
    others
        .flat_map(|patient| {
            patient.holders.iter().filter_map(|holder| {
                let service = directory.service(holder)?;
                let source = service.members.first().unwrap_or(&service.organisation);
                Some(Stream {
                    id: format!("{}-{holder}", patient.id),
                    patient: patient.id.clone(),
                    source: source.clone(),
                    days: file.generated.days,
                    every: 1,
                    missed: file.generated.missed,
                    evening: false,
                    worsens: 0,
                    values: file.generated.values.clone(),
                })
            })
        })
        .collect()
}

fn told(
    directory: &Directory,
    calendar: &Calendar,
    stream: &Stream,
    patient: &Patient,
) -> Result<Vec<Event>, ScenarioError> {
    let wrong = |what: &str| ScenarioError::Value(format!("stream {}: {what}", stream.id));
    let organisation = directory
        .organisation(&stream.source)
        .ok_or_else(|| wrong("no such source"))?;
    // A municipality with a service of its own sends through the hub; a member of a register, a hospital and a GP feed.
    let alone = directory
        .services
        .iter()
        .any(|s| s.organisation == stream.source);
    let hub = organisation.kind == OrganisationKind::Municipality && alone;
    let author = match organisation.kind {
        OrganisationKind::Municipality | OrganisationKind::Region | OrganisationKind::Supplier => {
            Author::Patient
        }
        OrganisationKind::Hospital | OrganisationKind::Gp => directory
            .practitioners
            .iter()
            .find(|p| p.organisation == stream.source)
            .map(Author::Practitioner)
            .ok_or_else(|| wrong("nobody works there"))?,
    };
    let kinds: Vec<(Kind, &Values)> = stream
        .values
        .iter()
        .map(|v| Some((Kind::parse(&v.kind)?, v)))
        .collect::<Option<_>>()
        .ok_or_else(|| wrong("no such kind"))?;
    if stream.every < 1 || stream.days < 1 {
        return Err(wrong("days and every are at least 1"));
    }
    let responsible = story::responsible(directory, &stream.source, None)?;
    let mut dice = Dice::named(&stream.id);
    let mut events = Vec::new();
    let mut day = LAST_DAY - stream.days + 1;
    while day <= LAST_DAY {
        for (slot, hour) in [("morning", 8_i8), ("evening", 20)] {
            let minute = i8::try_from(dice.between(5, 55)).unwrap_or(0);
            let happens = !dice.chance(stream.missed) && (slot == "morning" || stream.evening);
            let taken = calendar.at(
                day,
                Time::new(hour, minute, 0, 0).unwrap_or(Time::midnight()),
            );
            let issued = later(&taken, 40);
            for (kind, values) in &kinds {
                let value = draw(
                    &mut dice,
                    values,
                    slot == "evening",
                    worse(stream, day, values),
                )
                .ok_or_else(|| wrong("a middle is no number"))?;
                if !happens {
                    continue;
                }
                let word = kind.codes().word;
                let key = format!("background/{}/{day}/{slot}/{word}", stream.id);
                let device = Device {
                    name: format!("Prøvemåler {word} (syntetisk)"),
                    serial: format!("SYNT-{}-{word}", stream.id),
                    owner: stream.source.clone(),
                };
                let body = observation(&Reading {
                    key: &key,
                    kind: *kind,
                    value: &value,
                    taken: &taken,
                    issued: &issued,
                    status: "final",
                    patient,
                    author,
                    responsible,
                    device: Some(&device),
                });
                events.push(story::event(
                    directory,
                    key,
                    &stream.source,
                    hub,
                    moment(&issued),
                    "Observation",
                    &body,
                )?);
            }
        }
        day += stream.every;
    }
    Ok(events)
}

/// What the decline adds on a day: nothing before it begins, all of it on the last day.
fn worse(stream: &Stream, day: i32, values: &Values) -> i64 {
    let into = stream.worsens - (LAST_DAY - day);
    if stream.worsens < 1 || into < 1 {
        0
    } else {
        values.worse * i64::from(into) / i64::from(stream.worsens)
    }
}

/// One value around its middle: three throws, so that most lie near; a pair for blood pressure.
fn draw(dice: &mut Dice, values: &Values, evening: bool, worse: i64) -> Option<String> {
    let mut one = |middle: &str| {
        let scale = 10_i64.pow(values.decimals);
        let (whole, part) = middle.split_once('.').unwrap_or((middle, ""));
        let middle = whole.parse::<i64>().ok()? * scale
            + if part.is_empty() {
                0
            } else {
                part.parse::<i64>().ok()?
            };
        let noise = (0..3)
            .map(|_| dice.between(-values.spread, values.spread))
            .sum::<i64>()
            / 2;
        let value = middle + noise + worse + if evening { values.evening } else { 0 };
        Some(match values.decimals {
            0 => value.to_string(),
            _ => format!(
                "{}.{:0width$}",
                value / scale,
                value % scale,
                width = values.decimals as usize
            ),
        })
    };
    match values.middle.split_once('/') {
        Some((systolic, diastolic)) => Some(format!("{}/{}", one(systolic)?, one(diastolic)?)),
        None => one(&values.middle),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use crate::event::Route;
    use std::collections::{BTreeMap, BTreeSet};

    fn calendar() -> Calendar {
        Calendar::from_day0("2026-11-16".parse().unwrap())
    }

    #[test]
    fn every_holder_of_every_patient_gets_something_and_nobody_else_does() {
        for directory in [Directory::demo().clone(), Directory::with_more_people(20)] {
            let events = events(&directory, &calendar(), Instant(i64::MAX)).unwrap();
            let mut holders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for event in &events {
                let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
                let number = body["subject"]["identifier"]["value"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                holders
                    .entry(number)
                    .or_default()
                    .insert(event.service.clone());
            }
            for patient in directory.patients.iter().skip(1) {
                let declared: BTreeSet<String> = patient.holders.iter().cloned().collect();
                assert_eq!(
                    holders.get(&patient.number),
                    Some(&declared),
                    "{}",
                    patient.id
                );
            }
            assert_eq!(holders.len(), directory.patients.len() - 1);
        }
    }

    #[test]
    fn the_same_seed_tells_the_same_and_no_key_comes_twice() {
        let directory = Directory::demo();
        let first = events(directory, &calendar(), Instant(i64::MAX)).unwrap();
        assert_eq!(
            first,
            events(directory, &calendar(), Instant(i64::MAX)).unwrap()
        );
        let keys: BTreeSet<&str> = first.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys.len(), first.len());
        assert!((1000..20_000).contains(&first.len()), "{}", first.len());
        assert!(first.windows(2).all(|w| w[0].at <= w[1].at));
    }

    #[test]
    fn days_are_missed_carl_gets_worse_and_members_write_themselves() {
        let directory = Directory::demo();
        let events = events(directory, &calendar(), Instant(i64::MAX)).unwrap();
        let weights: Vec<(i32, f64)> = events
            .iter()
            .filter(|e| {
                e.key.starts_with("background/carl-home/") && e.key.ends_with("/morning/weight")
            })
            .map(|e| {
                let body: serde_json::Value = serde_json::from_slice(&e.body).unwrap();
                let day = e.key.split('/').nth(2).unwrap().parse().unwrap();
                (day, body["valueQuantity"]["value"].as_f64().unwrap())
            })
            .collect();
        assert!(
            weights.len() < 60 && weights.len() > 40,
            "{}",
            weights.len()
        );
        let before: Vec<f64> = weights
            .iter()
            .filter(|(day, _)| *day <= -3)
            .map(|(_, w)| *w)
            .collect();
        let last = weights.last().unwrap().1;
        assert!(last > before.iter().sum::<f64>() / before.len() as f64 + 1.0);
        let havnes = events
            .iter()
            .find(|e| e.key.starts_with("background/carl-home/"))
            .unwrap();
        assert_eq!(
            havnes.route,
            Route::Feed {
                service: "fjordregionen".into(),
                writer: "310001635".into()
            }
        );
        assert_eq!(havnes.owner, "310001775");
    }

    #[test]
    fn decimals_are_written_whole() {
        let values = Values {
            kind: "weight".into(),
            middle: "84.0".into(),
            spread: 0,
            evening: 0,
            worse: 0,
            decimals: 1,
        };
        assert_eq!(draw(&mut Dice::new(1), &values, false, 0).unwrap(), "84.0");
        assert_eq!(draw(&mut Dice::new(1), &values, false, 5).unwrap(), "84.5");
    }
}
