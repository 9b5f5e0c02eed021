//! The self-management plan (egenbehandlingsplan): a neutral model with limits that a program can use, and how it
//! is carried in a FHIR R4 CarePlan.
//!
//! No Norwegian profile has computable limits (`spec/plans-medication-other` section 2.2: HL7 Norway's
//! planer-hacking keeps thresholds as free text), so this form is ours. It uses R4 elements first and extensions
//! under `https://delt.example/fhir/StructureDefinition/` only where R4 has no place:
//!
//! | What | Where in the CarePlan |
//! |---|---|
//! | kind of plan | `category` = 2 of `vkp-careplan-category-v090` |
//! | title, aim, validity, author | `title`, `description`, `period`, `author` (organisation, logical reference) |
//! | version | extension `plan-version` (string); `replaces` names the earlier version by identifier |
//! | limits of one kind | a contained `Goal`, referred to from `goal`; one `target` per zone |
//! | one limit | `target.measure` (LOINC, SNOMED CT, local; of blood pressure the part: systolic, diastolic), `target.detailRange` (`low`, `high`, both inclusive; a missing side is open), extension `zone` (Coding of the planer-hacking zone system) |
//! | "twice within 20 minutes" | extension `repeated` on the target: `count` (positiveInt), `within` (Duration in min) |
//! | "+ 5 over baseline" | extensions `baseline` (Quantity) and `baseline-delta` (Quantity: above it, or below it with a minus) on the target; the limit is their sum, and `detailRange` says the same where it says anything |
//! | action of a zone | `activity.detail.description` with extension `zone` on the detail |
//! | measuring times | `activity.detail` with `code` and `scheduledTiming.repeat` (`dayOfWeek`, `timeOfDay`, `boundsPeriod`) |
//! | standing value ("breathes room air") | a contained Observation in `supportingInfo` |
//! | missing readings | extension `missing-readings`: `in-a-row` (positiveInt), `by` (time), `text` (string) |
//! | NEWS2 scale for SpO2 | extension `news2-scale` (positiveInt 1 or 2); without it no NEWS2 is reckoned |
//! | pause (travel, admission) | extension `pause`, one for each: `period` (Period), `text` (string) |
//!
//! The more severe zone wins where bands overlap. A value in the gap between two bands (87.5 between yellow to
//! 87 and green from 88) counts as the more severe neighbour. A value beyond the last band of a kind that has no band
//! there (temperature below "yellow from 38.1") is green. Limits are the clinician's; nothing here suggests any.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use write::{plan_to_json, quantity};

use crate::ids::PersonIdentifier;
use crate::measurement::{self, Decimal};
use crate::time::Instant;

/// Extension: the zone (Coding) of a limit or an action.
pub const ZONE: &str = "https://delt.example/fhir/StructureDefinition/zone";
/// Extension: how often within how long a limit must be met.
pub const REPEATED: &str = "https://delt.example/fhir/StructureDefinition/repeated";
/// Extension: the baseline (Quantity) that a limit was reckoned from.
pub const BASELINE: &str = "https://delt.example/fhir/StructureDefinition/baseline";
/// Extension: how far from the baseline (Quantity) the limit lies; below it with a minus.
pub const BASELINE_DELTA: &str = "https://delt.example/fhir/StructureDefinition/baseline-delta";
/// Extension: the plan's version (string).
pub const VERSION: &str = "https://delt.example/fhir/StructureDefinition/plan-version";
/// Extension: when readings count as missing.
pub const MISSING: &str = "https://delt.example/fhir/StructureDefinition/missing-readings";
/// Extension: the scale (1 or 2) by which NEWS2 counts oxygen saturation.
pub const NEWS2_SCALE: &str = "https://delt.example/fhir/StructureDefinition/news2-scale";
/// Extension: a time in which nothing is expected.
pub const PAUSE: &str = "https://delt.example/fhir/StructureDefinition/pause";
/// HL7 Norway's code system of zones (planer-hacking, draft).
pub const ZONES: &str =
    "http://hl7.no/fhir/ig/planer-hacking/CodeSystem/planer-hacking-observation-severity-zone-cs";
/// VKP's categories of CarePlan; code 2 is the self-management plan.
pub const CATEGORY: &str = "http://ehelse.no/fhir/CodeSystem/vkp-careplan-category-v090";

/// A zone of the plan; the later is the more severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// Expected range, usual follow-up.
    Green,
    /// Deviation, closer follow-up.
    Yellow,
    /// Critical, quick intervention.
    Red,
}

impl Zone {
    /// Every zone, the mildest first.
    pub const ALL: [Self; 3] = [Self::Green, Self::Yellow, Self::Red];

    /// The code in [`ZONES`].
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }

    /// The zone with this code of [`ZONES`].
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|zone| zone.code() == code)
    }
}

/// "Twice within 20 minutes".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated {
    /// How many readings, two or more.
    pub count: u32,
    /// In how many minutes, first to last, both counted in.
    pub within_minutes: u32,
}

/// What a band was reckoned from ("+ 5 over baseline").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Baseline {
    /// The patient's usual value.
    pub value: Decimal,
    /// How far above it the band begins, or with a minus, how far below it; `None`: it only stands there as a remark.
    pub delta: Option<Decimal>,
}

/// One band of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    /// Measurement kind, [`crate::measurement::Kind::id`].
    pub kind: String,
    /// The part of it that the band is about, [`crate::measurement::Component::id`]; `None`: its own value.
    pub part: Option<String>,
    /// The zone that a value in the band means.
    pub zone: Zone,
    /// Smallest value of the band, inclusive; `None`: open.
    pub low: Option<Decimal>,
    /// Largest value of the band, inclusive; `None`: open.
    pub high: Option<Decimal>,
    /// UCUM code of the unit of `low`, `high` and `baseline`.
    pub unit: String,
    /// How often it must be met before the zone counts; `None`: once.
    pub repeated: Option<Repeated>,
    /// What the band was reckoned from.
    pub baseline: Option<Baseline>,
}

/// What a band is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure<'a> {
    /// Measurement kind, [`crate::measurement::Kind::id`].
    pub kind: &'a str,
    /// A part of it, [`crate::measurement::Component::id`]; `None`: its own value.
    pub part: Option<&'a str>,
    /// UCUM code.
    pub unit: &'a str,
}

impl<'a> Measure<'a> {
    /// A kind's own value.
    #[must_use]
    pub const fn whole(kind: &'a str, unit: &'a str) -> Self {
        Self {
            kind,
            part: None,
            unit,
        }
    }

    /// The unit as it is shown.
    #[must_use]
    pub fn unit_shown(self) -> &'a str {
        let kind = measurement::by_id(self.kind);
        let known = kind.and_then(|kind| match self.part {
            None => kind.unit(self.unit),
            Some(part) => kind.part(part)?.unit(self.unit),
        });
        known.map_or(self.unit, |known| known.show.as_str())
    }
}

impl Criterion {
    /// What it is about.
    #[must_use]
    pub fn measure(&self) -> Measure<'_> {
        Measure {
            kind: &self.kind,
            part: self.part.as_deref(),
            unit: &self.unit,
        }
    }

    fn holds(&self, value: Decimal) -> bool {
        self.low.is_none_or(|low| low <= value) && self.high.is_none_or(|high| value <= high)
    }
}

/// What the patient or the follow-up does in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The zone.
    pub zone: Zone,
    /// What to do, in the plan's own words.
    pub text: String,
}

/// When a kind is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Measurement kind, [`crate::measurement::Kind::id`].
    pub kind: String,
    /// `mon` … `sun`; empty: every day.
    pub days: Vec<String>,
    /// `hh:mm:ss`; local time of the patient.
    pub times: Vec<String>,
    /// First day, as sent (FHIR dateTime); `None`: from the plan's start.
    pub from: Option<String>,
    /// Last day, counted in, as sent (FHIR dateTime); `None`: as long as the plan holds.
    pub through: Option<String>,
}

/// By which scale NEWS2 counts oxygen saturation. Scale 2 is for hypercapnic respiratory failure alone, and a clinician's
/// choice (Royal College of Physicians, NEWS2, 2017).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Scale 1, the usual one.
    One,
    /// Scale 2.
    Two,
}

impl Scale {
    /// The scale of this number.
    #[must_use]
    pub const fn numbered(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        }
    }

    /// 1 or 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// A time in which nothing is expected from the patient: travel, admission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// First moment, a FHIR dateTime as sent; `None`: from the plan's start.
    pub from: Option<String>,
    /// Last moment, counted in, a FHIR dateTime as sent; `None`: until further notice.
    pub until: Option<String>,
    /// Why, in words.
    pub text: String,
}

/// A value that holds until somebody says otherwise, so that it need not be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Measurement kind, [`crate::measurement::Kind::id`].
    pub kind: String,
    /// The value.
    pub value: Decimal,
    /// UCUM code.
    pub unit: String,
    /// In words ("Puster romluft").
    pub text: Option<String>,
}

/// When readings count as missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// So many daily readings in a row …
    pub in_a_row: u32,
    /// … not here by this local time, `hh:mm:ss`.
    pub by: String,
    /// The whole rule in words.
    pub text: String,
}

/// An organisation that a plan names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Identifier system.
    pub system: String,
    /// Identifier value.
    pub value: String,
    /// Its name, if given.
    pub name: Option<String>,
}

/// A self-management plan with computable limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanLimits {
    /// The plan's title.
    pub title: String,
    /// The plan's aim or other description.
    pub description: Option<String>,
    /// The plan's own version, for people ("1", "2").
    pub version: Option<String>,
    /// FHIR status (`active`, `completed`, …).
    pub status: String,
    /// Business identifier (system, value).
    pub identifier: Option<(String, String)>,
    /// Business identifier of the version that this one replaces.
    pub replaces: Option<(String, String)>,
    /// First moment of validity, a FHIR dateTime as sent.
    pub start: Option<String>,
    /// Last moment of validity, a FHIR dateTime as sent; `None`: until further notice.
    pub end: Option<String>,
    /// The patient, if named by number.
    pub patient: Option<PersonIdentifier>,
    /// The organisation whose plan it is.
    pub author: Option<Author>,
    /// The bands.
    pub criteria: Vec<Criterion>,
    /// What to do in each zone.
    pub actions: Vec<Action>,
    /// What is measured when.
    pub schedule: Vec<Scheduled>,
    /// Values that hold without being measured.
    pub standing: Vec<Standing>,
    /// When readings count as missing.
    pub missing: Option<Missing>,
    /// The scale of NEWS2; `None`: no NEWS2 is reckoned for this patient.
    pub news2: Option<Scale>,
    /// Times in which nothing is expected.
    pub pauses: Vec<Pause>,
}

/// A reading to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// When it was made.
    pub at: Instant,
    /// Its value, in the unit that the judgement names.
    pub value: Decimal,
}

/// What the plan says about the latest of some readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// The zone that counts now.
    pub zone: Zone,
    /// A more severe zone that a further such reading in time would mean.
    pub waiting: Option<Zone>,
}

impl PlanLimits {
    /// The bands of a measure, as they stand in the plan. Kinds that share a curve share their limits:
    /// what the plan says of heart rate holds for pulse.
    pub fn bands<'p>(&'p self, of: Measure<'p>) -> impl Iterator<Item = &'p Criterion> {
        let curve = |id: &'p str| measurement::by_id(id).map_or(id, |kind| kind.curve());
        self.criteria.iter().filter(move |c| {
            curve(&c.kind) == curve(of.kind) && c.part.as_deref() == of.part && c.unit == of.unit
        })
    }

    /// Judges the latest of `readings` (in any order) of one measure. Where its zone asks for a repetition that is not
    /// there, the gravest milder zone counts whose own rule is met: a value that is worse than yellow at once is never less than
    /// yellow. `None` when there is no reading or no limit.
    #[must_use]
    pub fn judge(&self, of: Measure<'_>, readings: &[Reading]) -> Option<Judgement> {
        let last = readings.iter().max_by_key(|r| r.at)?;
        let gravest = self.zone_of(of, last.value)?;
        let bands: Vec<_> = self.bands(of).collect();
        let met = |band: &Criterion| {
            band.repeated.is_none_or(|rule| {
                let since = last
                    .at
                    .plus_micros(-i64::from(rule.within_minutes) * 60_000_000);
                let times = readings.iter().filter(|r| {
                    let zone = self.zone_of(of, r.value);
                    r.at >= since && zone.is_some_and(|zone| zone >= band.zone)
                });
                u32::try_from(times.count()).unwrap_or(u32::MAX) >= rule.count
            })
        };
        let counts = bands
            .iter()
            .filter(|band| band.zone <= gravest && reaches(band, &bands, last.value) && met(band));
        let zone = counts.map(|band| band.zone).max().unwrap_or(Zone::Green);
        Some(Judgement {
            zone,
            waiting: (zone < gravest).then_some(gravest),
        })
    }

    /// The zone of one value, repetition not considered. `None` when the plan has no limit for this measure:
    /// units are never converted here.
    #[must_use]
    pub fn zone_of(&self, of: Measure<'_>, value: Decimal) -> Option<Zone> {
        let bands: Vec<_> = self.bands(of).collect();
        bands.first()?;
        let inside = bands.iter().filter(|c| c.holds(value));
        if let Some(zone) = inside.map(|c| c.zone).max() {
            return Some(zone);
        }
        // The nearest band on each side; with both, the value lies in a gap between them.
        let below = bands
            .iter()
            .filter(|c| c.high.is_some_and(|h| h < value))
            .max_by_key(|c| c.high);
        let above = bands
            .iter()
            .filter(|c| c.low.is_some_and(|l| l > value))
            .min_by_key(|c| c.low);
        let gap = below.zip(above).map(|(a, b)| a.zone.max(b.zone));
        Some(gap.unwrap_or(Zone::Green))
    }
}

/// Whether a band says something of a value: it holds it, or the value lies beyond it, with nothing milder between.
fn reaches(band: &Criterion, all: &[&Criterion], value: Decimal) -> bool {
    if band.holds(value) {
        return true;
    }
    let between = |low: Option<Decimal>, high: Option<Decimal>| {
        let within = |border: Option<Decimal>| {
            border.is_some_and(|border| {
                low.is_none_or(|low| low < border) && high.is_none_or(|high| border < high)
            })
        };
        all.iter()
            .any(|other| other.zone < band.zone && (within(other.low) || within(other.high)))
    };
    match (band.low, band.high) {
        (Some(low), _) if value < low => !between(Some(value), Some(low)),
        (_, Some(high)) if high < value => !between(Some(high), Some(value)),
        _ => false,
    }
}
