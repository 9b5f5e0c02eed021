//! The story of STORY.md as concrete events: `scenarios/kols/` shifted by whole days, up to a moment.
//!
//! Fjellvik's readings go through the hub, as home systems send them; plans and medicines, and everything of the
//! hospital and the GP office, come as feeds from their record systems.

use crate::calendar::{Calendar, moment};
use crate::care_plan::{self, Plan, Setting};
use crate::dice::Dice;
use crate::event::{Action, Event, Route, in_order};
use crate::kinds::Kind;
use crate::medicine::{self, Medicine};
use crate::observation::{Author, Device, Reading, Responsible, observation};
use crate::people::{Directory, OrganisationKind, Patient, ScenarioError, from_toml};
use crate::rows::{self, Change, DayTime, Sitting};
use fhir::systems;
use fhir::time::Instant;
use jiff::{ToSpan, Zoned};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What every scenario file says about its clinical values.
pub const TO_BE_CONFIRMED: &str = "values to be confirmed by a clinician";

/// The name under which the story's things are named.
const NAME: &str = "kols";
const STORY: &str = include_str!("../../../scenarios/kols/story.toml");
const HISTORY: &str = include_str!("../../../scenarios/kols/history.toml");
const READINGS: &str = include_str!("../../../scenarios/kols/readings.toml");
const PLANS: &str = include_str!("../../../scenarios/kols/plans.toml");
const MEDICINES: &str = include_str!("../../../scenarios/kols/medicines.toml");

/// A scenario as data, not yet tied to any date.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The patient's short id.
    pub patient: String,
    by: BTreeMap<String, String>,
    devices: BTreeMap<String, Device>,
    series: Vec<(Series, Vec<Sitting>)>,
    /// Versions of the plan, oldest first.
    pub plans: Vec<Plan>,
    /// Both medication lists.
    pub medicines: Vec<Medicine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoryFile {
    #[expect(dead_code, reason = "for those who read the data")]
    title: String,
    patient: String,
    clinical_values: String,
    by: BTreeMap<String, String>,
    device: BTreeMap<String, Device>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesFile {
    clinical_values: String,
    series: Vec<Series>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    clinical_values: String,
    plan: Vec<Plan>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MedicineFile {
    clinical_values: String,
    medicine: Vec<Medicine>,
}

/// Sittings that share source, author and devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    id: String,
    source: String,
    #[serde(default)]
    unit: Option<String>,
    by: String,
    #[serde(default)]
    doubled: bool,
    #[serde(default)]
    devices: BTreeMap<String, String>,
    rows: Vec<String>,
}

impl Scenario {
    /// The story that the demo shows, from the data compiled into the program.
    ///
    /// # Errors
    /// None while this crate's tests pass; the data is checked whole each time.
    pub fn kols() -> Result<Self, ScenarioError> {
        let story: StoryFile = from_toml("kols/story.toml", STORY)?;
        let history: SeriesFile = from_toml("kols/history.toml", HISTORY)?;
        let readings: SeriesFile = from_toml("kols/readings.toml", READINGS)?;
        let plans: PlanFile = from_toml("kols/plans.toml", PLANS)?;
        let medicines: MedicineFile = from_toml("kols/medicines.toml", MEDICINES)?;
        let said = [
            &story.clinical_values,
            &history.clinical_values,
            &readings.clinical_values,
            &plans.clinical_values,
            &medicines.clinical_values,
        ];
        if said.iter().any(|words| words.as_str() != TO_BE_CONFIRMED) {
            return Err(ScenarioError::Value(format!(
                "a file does not say: {TO_BE_CONFIRMED}"
            )));
        }
        let read = |series: Series| {
            let sittings = series
                .rows
                .iter()
                .map(|row| rows::parse(row))
                .collect::<Result<_, _>>()?;
            Ok::<_, ScenarioError>((series, sittings))
        };
        Ok(Self {
            patient: story.patient,
            by: story.by,
            devices: story.device,
            series: history
                .series
                .into_iter()
                .chain(readings.series)
                .map(read)
                .collect::<Result<_, _>>()?,
            plans: plans.plan,
            medicines: medicines.medicine,
        })
    }

    /// Everything that happens up to and including `until`, in the order in which it is sent.
    ///
    /// # Errors
    /// Data that points to nobody or nothing.
    pub fn events(
        &self,
        directory: &Directory,
        calendar: &Calendar,
        until: Instant,
    ) -> Result<Vec<Event>, ScenarioError> {
        let patient = directory
            .patient(&self.patient)
            .ok_or_else(|| unknown("patient", &self.patient))?;
        let telling = Telling {
            scenario: self,
            directory,
            calendar,
            patient,
        };
        let mut events = Vec::new();
        for (series, sittings) in &self.series {
            events.extend(telling.series(series, sittings)?);
        }
        for plan in &self.plans {
            events.extend(telling.plan(plan)?);
        }
        for medicine in &self.medicines {
            events.push(telling.medicine(medicine)?);
        }
        events.retain(|event| event.at <= until);
        Ok(in_order(events))
    }
}

/// The whole region's past up to and including `until`: the story and everybody's background, in the order in which it
/// is sent. What `delt demo` delivers before it is ready.
///
/// # Errors
/// Data that points to nobody or nothing.
pub fn region(
    directory: &Directory,
    calendar: &Calendar,
    until: Instant,
) -> Result<Vec<Event>, ScenarioError> {
    let mut events = Scenario::kols()?.events(directory, calendar, until)?;
    events.extend(crate::background::events(directory, calendar, until)?);
    Ok(in_order(events))
}

/// Whether this happens in the story, and not in somebody's background.
pub fn is_of_it(event: &Event) -> bool {
    let rest = event.key.strip_prefix(NAME);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

fn unknown(what: &str, which: &str) -> ScenarioError {
    ScenarioError::Value(format!("no such {what}: {which}"))
}

/// A scenario being told on given dates.
struct Telling<'a> {
    scenario: &'a Scenario,
    directory: &'a Directory,
    calendar: &'a Calendar,
    patient: &'a Patient,
}

impl<'a> Telling<'a> {
    fn at(&self, (day, time): DayTime) -> Zoned {
        self.calendar.at(day, time)
    }

    fn series(&self, series: &Series, sittings: &[Sitting]) -> Result<Vec<Event>, ScenarioError> {
        let mut events = Vec::new();
        for sitting in sittings {
            for (kind, value) in &sitting.values {
                let taken = self.at(sitting.taken);
                // Between reading and sending: what a phone, or a person at a keyboard, takes.
                let sent = match sitting.arrives {
                    Some(arrives) => self.at(arrives),
                    None => later(&taken, 40),
                };
                let reading = |value, status, issued| {
                    self.reading(series, *kind, value, status, &taken, issued)
                };
                let first = reading(value, "final", &sent)?;
                events.push(first.clone());
                match &sitting.change {
                    None => {}
                    Some(Change::Withdrawn(when)) => {
                        events.push(Event {
                            at: moment(&self.at(*when)),
                            action: Action::Withdraw,
                            ..first
                        });
                    }
                    Some(Change::Corrected(when, values)) => {
                        let corrected = values.iter().find(|(k, _)| k == kind);
                        let (_, value) =
                            corrected.ok_or_else(|| unknown("corrected value", &first.key))?;
                        let event = reading(value, "corrected", &self.at(*when))?;
                        events.push(Event {
                            action: Action::Correct,
                            ..event
                        });
                    }
                }
            }
        }
        if series.doubled {
            let mut twice = events.clone();
            events.append(&mut twice);
            Dice::named(&series.id).shuffle(&mut events);
            for (second, event) in (0_i64..).zip(&mut events) {
                event.at = Instant(event.at.0 + second * 1_000_000);
            }
        }
        Ok(events)
    }

    fn reading(
        &self,
        series: &Series,
        kind: Kind,
        value: &str,
        status: &str,
        taken: &Zoned,
        issued: &Zoned,
    ) -> Result<Event, ScenarioError> {
        let word = kind.codes().word;
        let key = format!(
            "{NAME}/{}/{}/{word}",
            series.id,
            place_in_time(self.calendar, taken)
        );
        let device = match series.devices.get(word) {
            Some(id) => Some(
                self.scenario
                    .devices
                    .get(id)
                    .ok_or_else(|| unknown("device", id))?,
            ),
            None => None,
        };
        let body = observation(&Reading {
            key: &key,
            kind,
            value,
            taken,
            issued,
            status,
            patient: self.patient,
            author: self.author(series)?,
            responsible: self.responsible(&series.source, series.unit.as_deref())?,
            device,
        });
        let hub = self.organisation_kind(&series.source)? == OrganisationKind::Municipality;
        self.event(
            key,
            &series.source,
            hub,
            moment(issued),
            "Observation",
            &body,
        )
    }

    fn plan(&self, plan: &Plan) -> Result<Vec<Event>, ScenarioError> {
        // An order of a hospital's own is made by nobody at home.
        let contributors = match plan.category {
            Some(_) => Vec::new(),
            None => self.contributors(),
        };
        let setting = Setting {
            calendar: self.calendar,
            patient: self.patient,
            responsible: self.responsible(&plan.source, None)?,
            contributors: &contributors,
        };
        let when = |text: &str| {
            rows::day_time(text)
                .map(|t| moment(&self.at(t)))
                .ok_or_else(|| unknown("time", text))
        };
        let key = care_plan::key(NAME, &plan.id);
        let body = care_plan::care_plan(plan, NAME, &setting, false)?;
        let mut events = vec![self.event(
            key.clone(),
            &plan.source,
            false,
            when(&plan.enters)?,
            "CarePlan",
            &body,
        )?];
        if let Some(ends) = &plan.ends {
            let body = care_plan::care_plan(plan, NAME, &setting, true)?;
            let ended = self.event(key, &plan.source, false, when(ends)?, "CarePlan", &body)?;
            events.push(Event {
                action: Action::Correct,
                ..ended
            });
        }
        Ok(events)
    }

    fn medicine(&self, medicine: &Medicine) -> Result<Event, ScenarioError> {
        let source = self.responsible(&medicine.source, None)?;
        let body = medicine::statement(medicine, NAME, self.calendar, self.patient, source)?;
        let at = moment(&medicine::entered(medicine, self.calendar)?);
        let key = medicine::key(NAME, &medicine.id);
        self.event(
            key,
            &medicine.source,
            false,
            at,
            "MedicationStatement",
            &body,
        )
    }

    fn event(
        &self,
        key: String,
        source: &str,
        hub: bool,
        at: Instant,
        resource_type: &'static str,
        body: &serde_json::Value,
    ) -> Result<Event, ScenarioError> {
        event(self.directory, key, source, hub, at, resource_type, body)
    }

    fn organisation_kind(&self, id: &str) -> Result<OrganisationKind, ScenarioError> {
        self.directory
            .organisation(id)
            .map(|o| o.kind)
            .ok_or_else(|| unknown("organisation", id))
    }

    fn author(&self, series: &Series) -> Result<Author<'a>, ScenarioError> {
        if series.by == "patient" {
            return Ok(Author::Patient);
        }
        let role = format!("{}.{}", series.source, series.by);
        let id = self
            .scenario
            .by
            .get(&role)
            .ok_or_else(|| unknown("author", &role))?;
        self.directory
            .practitioner(id)
            .map(Author::Practitioner)
            .ok_or_else(|| unknown("practitioner", id))
    }

    fn responsible(
        &self,
        source: &str,
        unit: Option<&str>,
    ) -> Result<Responsible<'a>, ScenarioError> {
        responsible(self.directory, source, unit)
    }

    /// Those who made the plan together: nurse, GP and husband.
    fn contributors(&self) -> Vec<(&'static str, String)> {
        let practitioner = |id: &str| {
            self.directory
                .practitioner(id)
                .map(|p| format!("{}, {} (syntetisk)", p.name, p.role))
        };
        let relatives = self
            .directory
            .relatives
            .iter()
            .filter(|r| r.of == self.patient.id);
        let relatives = relatives.map(|r| {
            (
                "RelatedPerson",
                format!("{}, ektefelle (syntetisk)", r.name),
            )
        });
        let staff = ["follow-up-nurse", "gp"]
            .into_iter()
            .filter_map(practitioner)
            .map(|name| ("Practitioner", name));
        staff.chain(relatives).collect()
    }
}

/// The responsible organisation of a source: its unit by RESH id if it has one, else by number, else the main unit.
pub(crate) fn responsible<'a>(
    directory: &'a Directory,
    source: &str,
    unit: Option<&str>,
) -> Result<Responsible<'a>, ScenarioError> {
    let organisation = directory
        .organisation(source)
        .ok_or_else(|| unknown("organisation", source))?;
    let Some(number) = unit else {
        return Ok(Responsible {
            system: systems::ORGNR,
            value: &organisation.orgnr,
            name: &organisation.name,
        });
    };
    let unit = organisation
        .units
        .iter()
        .find(|u| u.orgnr == number)
        .ok_or_else(|| unknown("unit", number))?;
    Ok(match &unit.resh {
        Some(resh) => Responsible {
            system: systems::RESH,
            value: resh,
            name: &unit.name,
        },
        None => Responsible {
            system: systems::ORGNR,
            value: &unit.orgnr,
            name: &unit.name,
        },
    })
}

/// An event of a source, by the hub or as a feed to the service where the source's data rests.
pub(crate) fn event(
    directory: &Directory,
    key: String,
    source: &str,
    hub: bool,
    at: Instant,
    resource_type: &'static str,
    body: &serde_json::Value,
) -> Result<Event, ScenarioError> {
    let service = directory
        .service_of(source)
        .ok_or_else(|| unknown("service of", source))?;
    let number = directory.orgnr(source).to_owned();
    let route = if hub {
        Route::Hub { sender: number }
    } else {
        Route::Feed {
            service: service.id.clone(),
            writer: number,
        }
    };
    let body = serde_json::to_vec(body).map_err(|e| ScenarioError::Value(e.to_string()))?;
    Ok(Event {
        at,
        key,
        route,
        owner: directory.orgnr(&service.organisation).to_owned(),
        service: service.id.clone(),
        action: Action::Create,
        resource_type,
        body: body.into(),
    })
}

/// The moment so many seconds later.
pub(crate) fn later(time: &Zoned, seconds: i64) -> Zoned {
    time.saturating_add(seconds.seconds())
}

/// `DAY/HH:MM` of a moment, for keys.
fn place_in_time(calendar: &Calendar, time: &Zoned) -> String {
    format!(
        "{}/{}",
        calendar.day_of(moment(time)),
        time.strftime("%H:%M")
    )
}

#[cfg(test)]
mod tests;
