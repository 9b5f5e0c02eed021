//! Background readings of the other synthetic patients, from `scenarios/background.toml`: seeded, so the same data
//! gives the same region each time, with day rhythm, missed days and declines.

use crate::calendar::{Calendar, moment};
use crate::event::{Event, in_order};
use crate::observation::{Author, Device, Reading, observation};
use crate::people::{Directory, OrganisationKind, Patient, ScenarioError, from_toml};
use crate::simulate::habit::{Condition, Course, Habit, Rhythm, Sitting, Values};
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

/// What a patient of `--people N` sends from each holder: as a simulated home of one of these conditions, patient by patient.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generated {
    days: i32,
    conditions: Vec<String>,
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
    for stream in &file.stream {
        let patient = directory.patient(&stream.patient);
        let patient = patient
            .ok_or_else(|| ScenarioError::Value(format!("no such patient: {}", stream.patient)))?;
        events.extend(told(directory, calendar, &stream.telling()?, patient)?);
    }
    events.extend(generated(directory, calendar, &file)?);
    events.retain(|event| event.at <= until);
    Ok(in_order(events))
}

/// One stream a holder for each patient that no stream names.
fn generated(
    directory: &Directory,
    calendar: &Calendar,
    file: &File,
) -> Result<Vec<Event>, ScenarioError> {
    let named = |p: &Patient| file.stream.iter().any(|s| s.patient == p.id);
    let others = directory.patients.iter().skip(1).filter(|p| !named(p));
    let mut events = Vec::new();
    for (patient, condition) in others.zip(file.generated.conditions.iter().cycle()) {
        let condition = Condition::named(condition)?;
        for holder in &patient.holders {
            let service = directory.service(holder);
            let service = service
                .ok_or_else(|| ScenarioError::Value(format!("no such service: {holder}")))?;
            let telling = Telling {
                id: format!("{}-{holder}", patient.id),
                source: service.members.first().unwrap_or(&service.organisation),
                days: file.generated.days,
                habit: condition.habit.clone(),
            };
            events.extend(told(directory, calendar, &telling, patient)?);
        }
    }
    Ok(events)
}

/// What is measured somewhere, and for how long back.
struct Telling<'a> {
    id: String,
    source: &'a str,
    days: i32,
    habit: Habit,
}

impl Stream {
    fn telling(&self) -> Result<Telling<'_>, ScenarioError> {
        if self.every < 1 || self.days < 1 {
            let words = format!("stream {}: days and every are at least 1", self.id);
            return Err(ScenarioError::Value(words));
        }
        let sitting = |(id, hour, evening): (&str, i8, bool)| Sitting {
            id: id.to_owned(),
            at: Time::constant(hour, 30, 0, 0),
            spread: 25,
            rhythm: Rhythm::Every(self.every, LAST_DAY - self.days + 1),
            missed: self.missed,
            evening,
            only_worse: false,
            values: self.values.clone(),
        };
        let evening = self.evening.then_some(("evening", 20, true));
        let course = match self.worsens {
            0 => Course::Steady,
            days => Course::Toward {
                last: LAST_DAY,
                days,
            },
        };
        let sittings = [("morning", 8, false)]
            .into_iter()
            .chain(evening)
            .map(sitting)
            .collect();
        Ok(Telling {
            id: self.id.clone(),
            source: &self.source,
            days: self.days,
            habit: Habit { sittings, course },
        })
    }
}

fn told(
    directory: &Directory,
    calendar: &Calendar,
    stream: &Telling<'_>,
    patient: &Patient,
) -> Result<Vec<Event>, ScenarioError> {
    let wrong = |what: &str| ScenarioError::Value(format!("stream {}: {what}", stream.id));
    let organisation = directory
        .organisation(stream.source)
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
    let responsible = story::responsible(directory, stream.source, None)?;
    let mut events = Vec::new();
    for day in LAST_DAY - stream.days + 1..=LAST_DAY {
        for one in stream.habit.day(&stream.id, calendar, day)? {
            let issued = later(&one.taken, 40);
            let word = one.kind.codes().word;
            let key = format!("background/{}/{day}/{}/{word}", stream.id, one.sitting);
            let device = Device {
                name: format!("Prøvemåler {word} (syntetisk)"),
                serial: format!("SYNT-{}-{word}", stream.id),
                owner: stream.source.to_owned(),
            };
            let body = observation(&Reading {
                key: &key,
                kind: one.kind,
                value: &one.value,
                taken: &one.taken,
                issued: &issued,
                status: "final",
                patient,
                author,
                responsible,
                device: Some(&device),
            });
            let at = moment(&issued);
            let event = story::event(directory, key, stream.source, hub, at, "Observation", &body);
            events.push(event?);
        }
    }
    Ok(events)
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
}
