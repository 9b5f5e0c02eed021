//! Readings for `delt bench`: seeded, about 1.1 kB each, spread over patients and the five kinds that home systems send
//! most (CONTRACT section 9).

use crate::calendar::Calendar;
use crate::dice::Dice;
use crate::kinds::Kind;
use crate::observation::{Author, Device, Reading, Responsible, observation};
use crate::people::{Patient, new_number};
use crate::simulate::habit::{Condition, Values};
use bytes::Bytes;
use jiff::civil::{Date, Time};
use std::collections::BTreeMap;

/// The five kinds, in turn.
pub const FIVE: [Kind; 5] = [
    Kind::Spo2,
    Kind::Pulse,
    Kind::BloodPressure,
    Kind::Temperature,
    Kind::Weight,
];

/// A load of readings. Reading `n` is always the same reading for the same seed.
#[derive(Clone, Debug)]
pub struct Load {
    patients: Vec<Patient>,
    seed: u64,
    organisation: (String, String),
    calendar: Calendar,
    days: u64,
    /// How the values of each kind fall, as in the first simulated homes that measure it.
    values: BTreeMap<Kind, Values>,
}

/// One reading of a load.
#[derive(Clone)]
pub struct LoadReading {
    /// The patient's national identity number (synthetic).
    pub patient: String,
    /// What was measured.
    pub kind: Kind,
    /// The Observation as FHIR JSON.
    pub body: Bytes,
}

impl Load {
    /// A load over `patients` people whose newest readings are of `last_day`, for one responsible organisation.
    pub fn new(seed: u64, patients: usize, last_day: Date, orgnr: &str, name: &str) -> Self {
        let mut dice = Dice::new(seed);
        let mut taken = std::collections::HashSet::new();
        let mut people = Vec::with_capacity(patients);
        for n in 1..=patients {
            people.push(Patient {
                id: format!("load-{n}"),
                number: new_number(&mut dice, &mut taken),
                name: format!("Syntetisk Lastperson {n:06}"),
                holders: Vec::new(),
            });
        }
        let organisation = (orgnr.to_owned(), name.to_owned());
        Self {
            patients: people,
            seed,
            organisation,
            calendar: Calendar::from_day0(last_day),
            days: 1000,
            values: values(),
        }
    }

    /// The people's numbers, in order.
    pub fn numbers(&self) -> impl Iterator<Item = &str> {
        self.patients.iter().map(|p| p.number.as_str())
    }

    /// Reading number `n`: patients first, then kinds, then back in time, so that neighbours in arrival are far apart in
    /// the store. `None` without patients.
    pub fn reading(&self, n: u64) -> Option<LoadReading> {
        let people = self.patients.len() as u64;
        let patient = self
            .patients
            .get(usize::try_from(n.checked_rem(people)?).ok()?)?;
        let round = n / people;
        let kind = FIVE[usize::try_from(round % 5).ok()?];
        let sitting = round / 5;
        let mut dice = Dice::new(self.seed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let value = self.values.get(&kind)?.draw(&mut dice, 0)?;
        let day = -i32::try_from(sitting % self.days).ok()?;
        let hour = i8::try_from(8 + (sitting / self.days) % 14).ok()?;
        let minute = i8::try_from(dice.between(0, 59)).ok()?;
        let second = i8::try_from(dice.between(0, 59)).ok()?;
        let taken = self
            .calendar
            .at(day, Time::new(hour, minute, second, 0).ok()?);
        let (orgnr, name) = &self.organisation;
        let word = kind.codes().word;
        let device = Device {
            name: format!("Lastmåler {word} (syntetisk)"),
            serial: format!("SYNT-LOAD-{}-{word}", patient.id),
            owner: String::new(),
        };
        let mut body = observation(&Reading {
            key: &format!("load/{}/{n}", self.seed),
            kind,
            value: &value,
            taken: &taken,
            issued: &taken,
            status: "final",
            patient,
            author: Author::Patient,
            responsible: Responsible {
                system: fhir::systems::ORGNR,
                value: orgnr,
                name,
            },
            device: Some(&device),
        });
        without_displays(&mut body);
        Some(LoadReading {
            patient: patient.number.clone(),
            kind,
            body: serde_json::to_vec(&body).ok()?.into(),
        })
    }
}

fn values() -> BTreeMap<Kind, Values> {
    let all = Condition::all().unwrap_or_default().iter();
    let sittings = all.flat_map(|one| &one.habit.sittings);
    let each = sittings.flat_map(|one| &one.values);
    let kinds = each.filter_map(|one| Some((Kind::parse(&one.kind)?, one)));
    let mut found = BTreeMap::new();
    for (kind, one) in kinds {
        found.entry(kind).or_insert_with(|| one.clone());
    }
    found
}

/// Takes the codes' displays out, which devices do not send.
fn without_displays(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            if members.contains_key("code") || members.contains_key("identifier") {
                members.shift_remove("display");
            }
            members.values_mut().for_each(without_displays);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_displays),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    #[test]
    fn readings_are_about_one_kilobyte_and_none_comes_twice() {
        let load = Load::new(
            1,
            10,
            "2026-11-20".parse().unwrap(),
            "310001007",
            "Fjellvik kommune",
        );
        let bodies: Vec<Bytes> = (0..2000).map(|n| load.reading(n).unwrap().body).collect();
        let unique: std::collections::HashSet<&Bytes> = bodies.iter().collect();
        assert_eq!(unique.len(), bodies.len());
        let mean = bodies.iter().map(Bytes::len).sum::<usize>() / bodies.len();
        assert!((1000..1300).contains(&mean), "{mean} bytes");
        assert_eq!(
            load.reading(77).unwrap().body,
            load.clone().reading(77).unwrap().body
        );
        assert!(
            Load::new(1, 0, "2026-11-20".parse().unwrap(), "310001007", "x")
                .reading(0)
                .is_none()
        );
    }

    #[test]
    fn people_and_kinds_share_evenly() {
        let load = Load::new(
            3,
            4,
            "2026-11-20".parse().unwrap(),
            "310001007",
            "Fjellvik kommune",
        );
        let mut seen = std::collections::HashMap::new();
        for n in 0..400 {
            let reading = load.reading(n).unwrap();
            *seen.entry((reading.patient, reading.kind)).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 20);
        assert!(seen.values().all(|count| *count == 20));
    }
}
