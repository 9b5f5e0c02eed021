//! What the plans say of readings, and the early warning score of each moment. No IO, no clock: the same readings and plans give
//! the same judgements, in whatever order they arrived.

use super::air::{is_oxygen, last_word, not_on_air, old_word, standing_air};
use super::news2::{Measured, Score};
use super::reading::{FLOW, Reading, Value};
use fhir::ids::LogicalId;
use fhir::measurement::{self, Breathed, Decimal, Kind};
use fhir::plan::{self, Criterion, Judgement, Measure, PlanLimits};
use fhir::time::{Instant, Range, Zone, parse_date};
use std::collections::BTreeSet;

/// A plan as it rests.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The CarePlan.
    pub id: LogicalId,
    /// Its version at the store.
    pub version: u64,
    /// What it says.
    pub limits: PlanLimits,
    /// When it holds.
    pub holds: Range,
    /// Whether its limits could be read. One whose limits could not still holds, and nothing is judged by it or by the one
    /// that it took over from.
    pub readable: bool,
}

/// Status codes of a CarePlan that was a plan at its time.
const PLANS: [&str; 4] = ["active", "completed", "on-hold", "revoked"];

impl Plan {
    /// A plan that may be judged by; `None` for a draft, or one whose period cannot be read. One that is no longer active and
    /// does not say when it ended, ended when that was written (`written`): nobody is judged by what a clinician took back.
    pub fn of(
        (id, version, written): (LogicalId, u64, Instant),
        limits: PlanLimits,
        zone: &Zone,
    ) -> Option<Plan> {
        if !PLANS.contains(&limits.status.as_str()) {
            return None;
        }
        let side = |text: &Option<String>, open: i64, pick: fn(Range) -> i64| match text {
            None => Some(open),
            Some(text) => parse_date(text, zone).ok().map(pick),
        };
        let lo = side(&limits.start, i64::MIN, |range| range.lo)?;
        let open = match limits.status.as_str() {
            "active" => fhir::time::LATEST,
            _ => written.0,
        };
        let hi = side(&limits.end, open, |range| range.hi)?;
        (lo < hi).then_some(Plan {
            id,
            version,
            limits,
            holds: Range { lo, hi },
            readable: true,
        })
    }

    /// The same, of which only the time could be read.
    pub fn unreadable(self) -> Plan {
        Plan {
            readable: false,
            ..self
        }
    }

    /// Whether it holds at this moment.
    pub fn holds_at(&self, at: Instant) -> bool {
        (self.holds.lo..self.holds.hi).contains(&at.0)
    }
}

/// The plan in force at a moment: of those that hold, the one that began last; `None` too where its limits cannot be read.
pub fn in_force(plans: &[Plan], at: Instant) -> Option<&Plan> {
    held_at(plans, at).filter(|plan| plan.readable)
}

/// Whether a plan is in force at a moment whose limits cannot be read.
pub fn is_unreadable(plans: &[Plan], at: Instant) -> bool {
    held_at(plans, at).is_some_and(|plan| !plan.readable)
}

fn held_at(plans: &[Plan], at: Instant) -> Option<&Plan> {
    let held = plans.iter().filter(|plan| plan.holds_at(at));
    held.max_by_key(|plan| (plan.holds.lo, plan.id))
}

/// Whether the plan of its time has limits for a reading's curve, so that its zone is to be told; in whichever unit they are. A plan that
/// does not read may.
pub fn is_limited(plans: &[Plan], reading: &Reading) -> bool {
    is_unreadable(plans, reading.at)
        || in_force(plans, reading.at)
            .is_some_and(|plan| of_curve(plan, reading.curve()).next().is_some())
}

/// Whether the plan of its time has limits for a reading's curve that nothing in the reading is held against: it lacks a part, or has it
/// in a unit that the plan has no limits in, since units are not converted, or the limits are for room air and she did not breathe that.
/// Nobody knows all that it means. What is not known hides nothing that is. `by_time` holds the readings of the day before it, too.
pub fn escapes_limits(plans: &[Plan], reading: &Reading, by_time: &[&Reading]) -> bool {
    in_force(plans, reading.at).is_some_and(|plan| {
        let mut parts = limited_parts(plan, reading);
        parts.any(|part| held_against(plan, reading, part).is_none())
            || not_on_air(plan, reading, by_time).is_some()
    })
}

/// The parts of a reading's curve that a plan has limits for, each once; a kind's own value is `None`.
fn limited_parts<'p>(plan: &'p Plan, reading: &Reading) -> impl Iterator<Item = Option<&'p str>> {
    let limits = of_curve(plan, reading.curve());
    let parts: BTreeSet<_> = limits.map(|one| one.part.as_deref()).collect();
    parts.into_iter()
}

/// What of a reading is held against a plan's limits of a part, and its number.
fn held_against<'a>(
    plan: &Plan,
    reading: &'a Reading,
    part: Option<&str>,
) -> Option<(Measure<'a>, Decimal)> {
    let mut numbers = reading.numbers();
    numbers.find(|(of, _)| of.part == part && plan.limits.bands(*of).next().is_some())
}

/// A plan's limits of a curve.
pub fn of_curve<'p>(plan: &'p Plan, curve: &'static str) -> impl Iterator<Item = &'p Criterion> {
    let criteria = plan.limits.criteria.iter();
    criteria.filter(move |one| measurement::by_id(&one.kind).map(Kind::curve) == Some(curve))
}

/// One reading judged by the plan of its time.
#[derive(Debug, Clone)]
pub struct Zoned<'a> {
    /// The reading.
    pub reading: &'a Reading,
    /// The plan.
    pub plan: &'a Plan,
    /// What the plan says of each thing that it limits.
    pub parts: Vec<Judged<'a>>,
    /// What she breathed, where the limits are for room air and that was not it, or may not have been.
    pub not_on_air: Option<Breathed>,
    /// The readings that went into it, this one among them, oldest first.
    pub inputs: Vec<&'a Reading>,
}

/// What the plan says of a reading's own value, or of a part of it.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The part; `None`: its own value.
    pub part: Option<&'a str>,
    /// What was held against the limits, and what the plan says of it; `None`: it is not in the reading, or not in a unit of the limits.
    pub said: Option<(Measure<'a>, Judgement)>,
}

impl Zoned<'_> {
    /// The gravest zone of any part. `None` where no part is worse than green and one is missing, or the limits are not for what she
    /// breathed: what was not measured is never taken to be well, and neither is what oxygen may have brought about.
    pub fn zone(&self) -> Option<plan::Zone> {
        let parts = self.parts.iter().all(|one| one.said.is_some());
        let whole = parts && self.not_on_air.is_none();
        self.gravest(|said| Some(said.zone))
            .filter(|zone| whole || *zone > plan::Zone::Green)
    }

    /// The graver zone that one more such reading would mean.
    pub fn waiting(&self) -> Option<plan::Zone> {
        let waiting = self.gravest(|said| said.waiting);
        waiting.filter(|zone| self.zone().is_none_or(|now| *zone > now))
    }

    fn gravest(&self, of: impl Fn(Judgement) -> Option<plan::Zone>) -> Option<plan::Zone> {
        let said = self.parts.iter().filter_map(|one| one.said);
        said.filter_map(|(_, judgement)| of(judgement)).max()
    }
}

/// The early warning score of one moment.
#[derive(Debug, Clone)]
pub struct Scored<'a> {
    /// When its newest part was measured.
    pub at: Instant,
    /// The plan that says the scale.
    pub plan: &'a Plan,
    /// Points.
    pub score: Score,
    /// The readings that went into it, oldest first.
    pub inputs: Vec<&'a Reading>,
    /// Whether air or oxygen is the plan's standing value, not a reading.
    pub standing: Standing,
}

/// What became of the plan's standing value of air or oxygen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is not used: it was measured, or the plan has none.
    No,
    /// It is used.
    Taken,
    /// The last that was said of a day says otherwise, and is too old to be used itself: nobody knows, and the part is missing.
    Contradicted,
    /// What was measured contradicts itself: nobody knows, and the part is missing.
    Unclear,
}

/// The plan's word on every reading in `range`. `readings` holds what is needed before it too, in any order.
pub fn zones<'a>(readings: &'a [Reading], plans: &'a [Plan], range: Range) -> Vec<Zoned<'a>> {
    let mut found = Vec::new();
    let by_time = ordered(readings.iter());
    for reading in within(readings, range) {
        let Some(plan) = in_force(plans, reading.at) else {
            continue;
        };
        let window = longest_repeat(plan, reading);
        let near = between(&by_time, reading.at, window).iter().copied();
        let near = near.filter(|other| {
            (other.id == reading.id || other.at < reading.at) && other.curve() == reading.curve()
        });
        let near: Vec<_> = near.collect();
        let judge = |part| {
            let (of, _) = held_against(plan, reading, part)?;
            let values = near.iter().filter_map(|one| {
                let value = one.number(of.part, of.unit)?;
                Some(plan::Reading { at: one.at, value })
            });
            let values: Vec<_> = values.collect();
            Some((of, plan.limits.judge(of, &values)?))
        };
        let parts = limited_parts(plan, reading).map(|part| Judged {
            part,
            said: judge(part),
        });
        let parts: Vec<_> = parts.collect();
        if parts.iter().all(|one| one.said.is_none()) {
            continue;
        }
        let goes_in = |other: &&Reading| {
            let mut said = parts.iter().filter_map(|one| one.said);
            said.any(|(of, _)| other.number(of.part, of.unit).is_some())
        };
        let (not_on_air, said_by) = not_on_air(plan, reading, &by_time).unzip();
        let inputs = near.into_iter().filter(goes_in);
        found.push(Zoned {
            reading,
            plan,
            not_on_air,
            inputs: once(inputs.chain(said_by.into_iter().flatten())),
            parts,
        });
    }
    found
}

/// The longest window of repetition that the plan has for this curve, in microseconds.
fn longest_repeat(plan: &Plan, reading: &Reading) -> i64 {
    of_curve(plan, reading.curve())
        .filter_map(|one| one.repeated)
        .map(|one| i64::from(one.within_minutes) * 60_000_000)
        .max()
        .unwrap_or(0)
}

/// The score at every moment in `range` when a part of it was measured, from single readings not older than `window`
/// microseconds. Only where the plan in force says by which scale. Of flows of oxygen, `readings` holds those of the day
/// before `range`, too.
pub fn scores<'a>(
    readings: &'a [Reading],
    plans: &'a [Plan],
    range: Range,
    window: i64,
) -> Vec<Scored<'a>> {
    let mut moments: Vec<_> = within(readings, range)
        .filter(|reading| is_part(reading))
        .map(|reading| reading.at)
        .collect();
    moments.sort_unstable();
    moments.dedup();
    let by_time = ordered(readings.iter());
    let score = |at: Instant| {
        let plan = in_force(plans, at)?;
        let scale = plan.limits.news2?;
        let fresh = between(&by_time, at, window);
        let newest = |fits: &dyn Fn(&Reading) -> bool| fresh.iter().copied().rfind(|one| fits(one));
        let number = |kinds: &'static [&str], unit: &'static str| {
            newest(&move |one| {
                kinds.contains(&one.kind)
                    && matches!(&one.value, Value::Number(_, theirs) if theirs.eq_ignore_ascii_case(unit))
            })
        };
        let respiration = number(&["respiratory-rate"], "/min");
        let saturation = number(&["oxygen-saturation"], "%");
        let air = last_word(fresh);
        let pulse = number(&["heart-rate", "pulse"], "/min");
        let temperature = number(&["body-temperature"], "Cel");
        let systolic = newest(&|one| systolic_of(one).is_some());
        let alert = newest(&|one| matches!(one.value, Value::Alert(_)));
        let mut measured = Measured {
            respiration: respiration.and_then(number_of),
            saturation: saturation.and_then(number_of),
            oxygen: air.as_ref().and_then(|(said, _)| is_oxygen(*said)),
            systolic: systolic.and_then(systolic_of),
            pulse: pulse.and_then(number_of),
            alert: alert.and_then(|one| match one.value {
                Value::Alert(alert) => Some(alert),
                _ => None,
            }),
            temperature: temperature.and_then(number_of),
        };
        let said = standing_air(plan);
        let mut against = None;
        let standing = match (&air, said) {
            (Some((Breathed::Unclear, _)), _) => Standing::Unclear,
            (Some(_), _) | (None, None) => Standing::No,
            (None, Some(said)) => {
                against = old_word(&by_time, at).filter(|(word, _)| *word != said);
                if against.is_none() {
                    measured.oxygen = is_oxygen(said);
                    Standing::Taken
                } else {
                    Standing::Contradicted
                }
            }
        };
        let of_air = air.or(against).map(|(_, readings)| readings);
        let parts = [respiration, saturation, systolic, pulse, alert, temperature];
        Some(Scored {
            at,
            plan,
            score: Score::of(&measured, scale),
            inputs: once(
                parts
                    .into_iter()
                    .flatten()
                    .chain(of_air.into_iter().flatten()),
            ),
            standing,
        })
    };
    moments.into_iter().filter_map(score).collect()
}

fn number_of(reading: &Reading) -> Option<Decimal> {
    match &reading.value {
        Value::Number(value, _) => Some(*value),
        Value::Parts(_) | Value::Alert(_) => None,
    }
}

fn systolic_of(reading: &Reading) -> Option<Decimal> {
    let pressure = Some(reading).filter(|one| one.kind == "blood-pressure")?;
    pressure.number(Some("systolic"), "mm[Hg]")
}

/// Whether a reading is a part of NEWS2.
pub fn is_part(reading: &Reading) -> bool {
    match &reading.value {
        Value::Alert(_) => true,
        Value::Parts(_) => systolic_of(reading).is_some(),
        Value::Number(..) if reading.kind == FLOW => true,
        Value::Number(_, unit) => matches!(
            (reading.kind, unit.as_str()),
            ("respiratory-rate" | "heart-rate" | "pulse", "/min")
                | ("oxygen-saturation", "%")
                | ("body-temperature", "Cel")
        ),
    }
}

/// Those of a time.
pub fn within(readings: &[Reading], range: Range) -> impl Iterator<Item = &Reading> {
    readings
        .iter()
        .filter(move |reading| (range.lo..range.hi).contains(&reading.at.0))
}

/// Of readings in their order, those of the last `window` microseconds before a moment, and of the moment.
pub fn between<'r, 'a>(by_time: &'r [&'a Reading], at: Instant, window: i64) -> &'r [&'a Reading] {
    let oldest = at.0.saturating_sub(window);
    let lo = by_time.partition_point(|one| one.at.0 < oldest);
    let hi = by_time.partition_point(|one| one.at <= at);
    by_time.get(lo..hi).unwrap_or_default()
}

/// In the order of their times.
pub fn ordered<'a>(readings: impl Iterator<Item = &'a Reading>) -> Vec<&'a Reading> {
    let mut readings: Vec<_> = readings.collect();
    readings.sort_by_key(|one| (one.at, one.id));
    readings
}

/// Each reading once, in order: one may be two parts.
fn once<'a>(readings: impl Iterator<Item = &'a Reading>) -> Vec<&'a Reading> {
    let mut readings = ordered(readings);
    readings.dedup_by_key(|one| one.id);
    readings
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
