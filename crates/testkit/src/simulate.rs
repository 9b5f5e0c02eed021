//! Simulated homes: who they are, what they measure on a day, and what they send when. Everything follows from a seed and the
//! date: a day can be asked for alone, and is the same each time.
//!
//! `habit` says what is measured, from `scenarios/homes.toml`; `trouble` what goes wrong on the way: days without measuring, days
//! without a connection, sendings that come twice, and devices whose clocks are wrong.

pub mod habit;
pub mod trouble;

use crate::answers::{answers, is_score};
use crate::bundle::{self, BundleKind};
use crate::calendar::{Calendar, moment};
use crate::dice::{Dice, named};
use crate::observation::{Author, Device, Reading, Responsible, identifier, observation};
use crate::people::{Directory, Patient, ScenarioError, new_number};
use crate::story::later;
use bytes::Bytes;
use fhir::systems;
use fhir::time::Instant;
use habit::{Condition, Habit, Measured};
use jiff::civil::{Date, Time};
use jiff::{Unit, Zoned};
use std::collections::HashSet;
use trouble::{ClockError, Troubles};

/// Seconds from a measurement until the phone has sent it on.
const ON_THE_WAY: i64 = 40;
/// When a home that had no connection sends what it kept.
const BACK: Time = Time::constant(9, 5, 0, 0);
/// Of so many readings of a backlog one comes twice, in a hundred.
const BACKLOG_TWICE: u32 = 30;

/// For whom homes send.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Organisation number of the responsible organisation.
    pub orgnr: String,
    /// Its name.
    pub name: String,
}

impl Sender {
    /// An organisation by its number, with its name where it is one of the demo's.
    pub fn of(orgnr: &str) -> Self {
        let mut known = Directory::demo().organisations.iter();
        let name = known.find(|one| one.orgnr == orgnr);
        let unknown = || format!("Organisasjon {orgnr} (syntetisk)");
        Self {
            orgnr: orgnr.to_owned(),
            name: name.map_or_else(unknown, |one| one.name.clone()),
        }
    }
}

/// One reading as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Sent {
    /// Names it for good.
    pub key: String,
    /// When it was measured in truth.
    pub taken: Instant,
    /// What is wrong with the clock of the device that measured it.
    pub clock: Option<ClockError>,
    /// What it is sent as: Observation, or QuestionnaireResponse of what is the score of a questionnaire.
    pub resource_type: &'static str,
    /// That as FHIR JSON.
    pub body: Bytes,
}

/// What one home sends at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Sending {
    /// When.
    pub at: Instant,
    /// Which home, counted from 0.
    pub home: usize,
    /// The readings in the order sent; in a backlog some stand twice.
    pub readings: Vec<Sent>,
    /// Sent once more, as by a phone that never saw the answer.
    pub again: bool,
}

impl Sending {
    /// The key under which it is posted: the same for the same content.
    pub fn key(&self) -> uuid::Uuid {
        let names: Vec<&str> = self.readings.iter().map(|one| one.key.as_str()).collect();
        named(&format!("{}/{}", self.at.0, names.join("+")))
    }

    /// As a Bundle of type batch.
    pub fn bundle(&self) -> Bytes {
        let name = |one: &Sent| identifier(&one.key).1;
        let entries = self.readings.iter();
        let entries = entries.map(|one| (name(one), one.resource_type, &one.body[..]));
        bundle::write_mixed(BundleKind::Batch, entries).into()
    }
}

/// Homes that belong together.
#[derive(Clone, Debug)]
pub struct Homes {
    homes: Vec<Home>,
    sender: Sender,
    troubles: Troubles,
    calendar: Calendar,
}

/// One home.
#[derive(Clone, Debug)]
struct Home {
    patient: Patient,
    condition: &'static Condition,
    habit: Habit,
    /// What everything of it is drawn from.
    name: String,
}

impl Homes {
    /// `people` homes; all of one condition if one is named, else by the conditions' shares.
    ///
    /// # Errors
    /// No such condition.
    pub fn new(
        seed: u64,
        people: usize,
        condition: Option<&str>,
        sender: Sender,
        troubles: Troubles,
    ) -> Result<Self, ScenarioError> {
        let all = Condition::all()?;
        let named = match condition {
            Some(name) => Some(Condition::named(name)?),
            None => None,
        };
        let known = Directory::demo().everyones_numbers();
        let mut taken: HashSet<String> = known.map(str::to_owned).collect();
        let mut dice = Dice::new(seed);
        let shares: i64 = all.iter().map(|one| one.share).sum();
        let home = |n: usize| {
            let number = new_number(&mut dice, &mut taken);
            let name = format!("simulate/{seed}/{}", n + 1);
            let mut at = Dice::named(&format!("{name}/condition")).between(1, shares);
            let drawn = all.iter().find(|one| {
                at -= one.share;
                at <= 0
            });
            let condition = named.or(drawn).unwrap_or(&all[0]);
            let patient = Patient {
                id: format!("simulated-{}", n + 1),
                number,
                name: format!("Syntetisk Hjemmeperson {:05}", n + 1),
                holders: Vec::new(),
            };
            Home {
                patient,
                condition,
                habit: condition.habit.clone(),
                name,
            }
        };
        Ok(Self {
            homes: (0..people).map(home).collect(),
            sender,
            troubles,
            calendar: Calendar::from_day0(EPOCH),
        })
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.homes.len()
    }

    /// A home's patient's number and condition.
    pub fn who(&self, home: usize) -> Option<(&str, &'static str)> {
        let home = self.homes.get(home)?;
        Some((&home.patient.number, &home.condition.id))
    }

    /// What all homes send on a day, in the order of time.
    ///
    /// # Errors
    /// Data of `scenarios/homes.toml` that is no data; none while this crate's tests pass.
    pub fn sent_on(&self, date: Date) -> Result<Vec<Sending>, ScenarioError> {
        let day = day_number(date);
        let mut all = Vec::new();
        for (n, home) in self.homes.iter().enumerate() {
            all.extend(self.home_sends(n, home, day)?);
        }
        all.sort_by_key(|one| (one.at, one.home));
        Ok(all)
    }

    fn home_sends(&self, n: usize, home: &Home, day: i32) -> Result<Vec<Sending>, ScenarioError> {
        let mut all = Vec::new();
        let ended = self.troubles.offline_until(&home.name, day - 1);
        if ended == Some(day) {
            let mut readings = Vec::new();
            let mut before = day - 1;
            while self.troubles.offline_until(&home.name, before) == ended {
                for sitting in self.measured(home, before)? {
                    readings.extend(sitting.1);
                }
                before -= 1;
            }
            let mut dice = Dice::named(&format!("{}/{day}/backlog", home.name));
            let twice: Vec<Sent> = readings
                .iter()
                .filter(|_| dice.chance(BACKLOG_TWICE))
                .cloned()
                .collect();
            readings.extend(twice);
            dice.shuffle(&mut readings);
            let at = moment(&self.calendar.at(day, BACK));
            let parts = readings.chunks(bundle::CHUNK);
            all.extend(parts.map(|part| Sending {
                at,
                home: n,
                readings: part.to_vec(),
                again: false,
            }));
        }
        if self.troubles.offline_until(&home.name, day).is_none() {
            for (at, readings) in self.measured(home, day)? {
                let mut dice = Dice::named(&format!("{}/{}/again", home.name, at.0));
                let again = dice.chance(self.troubles.doubled);
                all.push(Sending {
                    at,
                    home: n,
                    readings,
                    again,
                });
            }
        }
        Ok(all)
    }

    /// What a home measures on a day, sitting by sitting, with the moment at which each is on its way.
    fn measured(&self, home: &Home, day: i32) -> Result<Vec<(Instant, Vec<Sent>)>, ScenarioError> {
        if self.troubles.gap(&home.name, day) {
            return Ok(Vec::new());
        }
        let mut sittings: Vec<(Instant, Vec<Sent>)> = Vec::new();
        for one in home.habit.day(&home.name, &self.calendar, day)? {
            let at = moment(&later(&one.taken, ON_THE_WAY));
            let sent = self.sent(home, day, &one);
            match sittings.last_mut() {
                Some((last, readings)) if *last == at => readings.push(sent),
                _ => sittings.push((at, vec![sent])),
            }
        }
        Ok(sittings)
    }

    fn sent(&self, home: &Home, day: i32, one: &Measured) -> Sent {
        let word = one.kind.codes().word;
        let key = format!("{}/{day}/{}/{word}", home.name, one.sitting);
        let device = home
            .condition
            .devices
            .get(word)
            .map_or(word, String::as_str);
        let clock = self.troubles.clock(&home.name, device);
        let shown: Zoned = clock.map_or_else(|| one.taken.clone(), |wrong| wrong.shown(&one.taken));
        let device = Device {
            name: format!("Hjemmemåler {device} (syntetisk)"),
            serial: format!("SYNT-{}-{device}", home.name.replace('/', "-")),
            owner: String::new(),
        };
        let reading = Reading {
            key: &key,
            kind: one.kind,
            value: &one.value,
            taken: &shown,
            issued: &later(&one.taken, ON_THE_WAY),
            status: "final",
            patient: &home.patient,
            author: Author::Patient,
            responsible: Responsible {
                system: systems::ORGNR,
                value: &self.sender.orgnr,
                name: &self.sender.name,
            },
            device: Some(&device),
        };
        let (resource_type, body) = if is_score(one.kind) {
            ("QuestionnaireResponse", answers(&reading))
        } else {
            ("Observation", observation(&reading))
        };
        Sent {
            resource_type,
            taken: moment(&one.taken),
            clock,
            body: body.to_string().into(),
            key,
        }
    }
}

const EPOCH: Date = Date::constant(1970, 1, 1);

/// Days since 1970: what habits and troubles count in, so that a date is the same day in each run.
fn day_number(date: Date) -> i32 {
    date.since((Unit::Day, EPOCH))
        .map_or(0, |span| span.get_days())
}

#[cfg(test)]
mod tests;
