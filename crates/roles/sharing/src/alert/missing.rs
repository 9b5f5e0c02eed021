//! What the plan expects and is not here. Pure: plans, readings, the zone of the deployment and a moment are arguments.
//!
//! Only a plan that says when readings count as missing is looked at (`PlanLimits::missing`): so many daily readings in a row
//! that are not here by a time of the day, or one that is scheduled for certain days and is not here when its day ends. What
//! is expected follows the plan that was in force at that time, its schedule's bounds and its pauses. A reading answers what was
//! expected of its curve in its part of the day: a day with two times is divided in the middle between them.

use crate::assess::{Plan, Reading, in_force};
use fhir::day::Day;
use fhir::measurement::{self, Kind};
use fhir::plan::{Missing, Pause, PlanLimits, Scheduled};
use fhir::systems::LOINC;
use fhir::time::{Instant, Range, Zone, parse_date};
use serde_json::{Value, json};

/// Most days that are looked back over for daily readings in a row.
const LOOK_BACK: u32 = 31;
/// Extension on what is missing: the part of the day (Period) in which a reading would have been it.
const EXPECTED: &str = "https://delt.example/fhir/StructureDefinition/expected-reading";

/// A reading that a plan expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// When.
    pub at: Instant,
    /// When a reading counts as this one.
    pub window: Range,
    /// Of which kind.
    pub kind: &'static str,
}

impl Expected {
    /// Whether a reading is this one.
    pub fn is(&self, reading: &Reading) -> bool {
        let curve = measurement::by_id(self.kind).map(Kind::curve);
        curve == Some(reading.curve()) && (self.window.lo..self.window.hi).contains(&reading.at.0)
    }

    /// As an alert names it: the kind by its LOINC code, and when it was expected.
    pub fn named(&self) -> Value {
        let kind = measurement::by_id(self.kind);
        let code = kind.and_then(|kind| kind.codings().find(|(system, _)| *system == LOINC));
        let identifier = match code {
            Some((system, code)) => json!({"system": system, "value": code}),
            None => json!({"value": self.kind}),
        };
        let end = Instant(self.window.hi);
        json!({
            "extension": [{"url": EXPECTED, "valuePeriod": {
                "start": Instant(self.window.lo).to_string(),
                "end": end.plus_micros(-1).to_string(),
            }}],
            "identifier": identifier,
            "display": format!("{}, ventet {}", kind.map_or(self.kind, |kind| kind.nb.as_str()), self.at),
        })
    }
}

/// What a reference of an alert says was expected: its kind's codes, and the part of the day.
pub fn read(reference: &Value) -> Option<(&'static Kind, Range)> {
    let extensions = reference["extension"].as_array()?;
    let period = extensions.iter().find(|one| one["url"] == EXPECTED)?;
    let side = |name: &str| {
        let text = period["valuePeriod"][name].as_str()?;
        text.parse::<Instant>().ok()
    };
    let identifier = &reference["identifier"];
    let value = identifier["value"].as_str()?;
    let kind = match identifier["system"].as_str() {
        Some(system) => measurement::of(&[fhir::index::Coding {
            system: Some(system.to_owned()),
            code: value.to_owned(),
        }])?,
        None => measurement::by_id(value)?,
    };
    let window = Range {
        lo: side("start")?.0,
        hi: side("end")?.0.saturating_add(1),
    };
    Some((kind, window))
}

/// A plan that says when readings count as missing.
fn rule(plan: &Plan) -> Option<&Missing> {
    let rule = plan.limits.missing.as_ref().filter(|_| plan.readable);
    rule.filter(|_| !plan.limits.schedule.is_empty())
}

/// The next moment after `after` at which readings may turn out to be missing; `None`: no plan expects any.
pub fn next(plans: &[Plan], zone: &Zone, after: Instant) -> Option<Instant> {
    let moments = plans.iter().filter_map(|plan| {
        let rule = rule(plan)?;
        // A day of slack: the last day's end comes after the plan's.
        let first = Day::of(Instant(after.0.max(plan.holds.lo)), zone).before(1);
        let days = std::iter::successors(Some(first), |day| Some(day.next())).take(9);
        days.flat_map(|day| {
            let by = daily(plan).then(|| day.at(&rule.by, zone)).flatten();
            let expected = scheduled(plan).any(|one| one.days.iter().any(|d| d == day.weekday()));
            let end = expected.then(|| day.next().begins(zone));
            [by, end]
        })
        .flatten()
        .filter(|at| *at > after && at.0 > plan.holds.lo)
        .min()
        .filter(|at| Day::of(*at, zone).before(1).begins(zone).0 < plan.holds.hi)
    });
    moments.min()
}

fn daily(plan: &Plan) -> bool {
    plan.limits.schedule.iter().any(|one| one.days.is_empty())
}

fn scheduled(plan: &Plan) -> impl Iterator<Item = &Scheduled> {
    plan.limits
        .schedule
        .iter()
        .filter(|one| !one.days.is_empty())
}

/// What may be missing at a moment: each list is missing where none of it is here.
pub fn doubtful(plans: &[Plan], zone: &Zone, at: Instant) -> Vec<Vec<Expected>> {
    let mut found = ended(plans, zone, at);
    let today = Day::of(at, zone);
    // At midnight no plan's own time of the day is looked at: it has had its turn.
    let Some(rule) = in_force(plans, at).and_then(rule) else {
        return found;
    };
    if today.at(&rule.by, zone) != Some(at) {
        return found;
    }
    let before = today.before(1).at(&rule.by, zone).unwrap_or(at);
    let count = usize::try_from(rule.in_a_row).unwrap_or(usize::MAX).max(1);
    let mut days = vec![today];
    days.extend((1..=LOOK_BACK).map(|n| today.before(n)));
    let mut all: Vec<_> = days
        .iter()
        .flat_map(|day| of_day(plans, zone, *day, |one| one.days.is_empty()))
        .filter(|one| one.at <= at)
        .collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    let mut kinds: Vec<_> = all.iter().map(|one| one.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let own = all.iter().filter(|one| one.kind == kind).copied();
        let last: Vec<_> = own.take(count).collect();
        // What was there to be found before was found then.
        if last.len() == count && last.first().is_some_and(|one| one.at > before) {
            found.push(last);
        }
    }
    found
}

/// What was scheduled for a day that ends at this moment.
fn ended(plans: &[Plan], zone: &Zone, at: Instant) -> Vec<Vec<Expected>> {
    let today = Day::of(at, zone);
    if today.begins(zone) != at {
        return Vec::new();
    }
    let of_day = of_day(plans, zone, today.before(1), |one| !one.days.is_empty());
    of_day.into_iter().map(|one| vec![one]).collect()
}

/// What the plans expect on a day by those of their schedules that are meant, where they say when it counts as missing.
fn of_day(
    plans: &[Plan],
    zone: &Zone,
    day: Day,
    meant: impl Fn(&Scheduled) -> bool,
) -> Vec<Expected> {
    asked(plans, zone, day, |plan, one| {
        rule(plan).is_some() && meant(one)
    })
}

/// What the plans ask for on a day by those of their schedules that are meant.
pub fn asked(
    plans: &[Plan],
    zone: &Zone,
    day: Day,
    meant: impl Fn(&Plan, &Scheduled) -> bool,
) -> Vec<Expected> {
    let mut found = Vec::new();
    for plan in plans {
        for one in plan.limits.schedule.iter().filter(|one| meant(plan, one)) {
            let Some(kind) = measurement::by_id(&one.kind) else {
                continue;
            };
            if !one.days.is_empty() && !one.days.iter().any(|name| name == day.weekday()) {
                continue;
            }
            let mut times: Vec<_> = one.times.iter().filter_map(|t| day.at(t, zone)).collect();
            if times.is_empty() {
                // Some time that day.
                times.push(day.begins(zone));
            }
            times.sort_unstable();
            times.dedup();
            for (place, at) in times.iter().enumerate() {
                let middle =
                    |other: Option<&Instant>| other.map(|other| i64::midpoint(other.0, at.0));
                let before = place.checked_sub(1).and_then(|place| times.get(place));
                let window = Range {
                    lo: middle(before).unwrap_or(day.begins(zone).0),
                    hi: middle(times.get(place + 1)).unwrap_or(day.next().begins(zone).0),
                };
                if in_force(plans, *at).is_some_and(|held| held.id == plan.id)
                    && bounded(one, zone, *at)
                    && !paused(&plan.limits, zone, window, *at)
                {
                    found.push(Expected {
                        at: *at,
                        window,
                        kind: &kind.id,
                    });
                }
            }
        }
    }
    found
}

/// Whether a schedule reaches over this moment. A bound that cannot be read bounds nothing: rather ask in vain.
fn bounded(one: &Scheduled, zone: &Zone, at: Instant) -> bool {
    let side = |text: &Option<String>| text.as_ref().and_then(|text| parse_date(text, zone).ok());
    side(&one.from).is_none_or(|from| Day::of(Instant(from.lo), zone) <= Day::of(at, zone))
        && side(&one.through)
            .is_none_or(|through| Day::of(Instant(through.hi - 1), zone) >= Day::of(at, zone))
}

/// Whether nothing is expected then: in a pause, or nothing is left of its part of the day.
fn paused(limits: &PlanLimits, zone: &Zone, window: Range, at: Instant) -> bool {
    limits
        .pauses
        .iter()
        .filter_map(|one| lasts(one, zone))
        .any(|pause| pause.contains(&at.0) || (pause.start <= window.lo && window.hi <= pause.end))
}

/// The pause of a plan that a moment is in.
pub fn pause_at<'p>(limits: &'p PlanLimits, zone: &Zone, at: Instant) -> Option<&'p Pause> {
    let mut pauses = limits.pauses.iter();
    pauses.find(|pause| lasts(pause, zone).is_some_and(|time| time.contains(&at.0)))
}

/// When a pause lasts. One whose bound cannot be read is none.
fn lasts(pause: &Pause, zone: &Zone) -> Option<std::ops::Range<i64>> {
    let side = |text: &Option<String>, open: i64, pick: fn(Range) -> i64| match text {
        None => Some(open),
        Some(text) => parse_date(text, zone).ok().map(pick),
    };
    let from = side(&pause.from, i64::MIN, |range| range.lo)?;
    let until = side(&pause.until, i64::MAX, |range| range.hi)?;
    Some(from..until)
}

/// Of what may be missing, what is.
pub fn missing(doubtful: Vec<Vec<Expected>>, readings: &[Reading]) -> Vec<Expected> {
    let absent = |one: &Expected| !readings.iter().any(|reading| one.is(reading));
    let lists = doubtful.into_iter().filter(|list| list.iter().all(absent));
    let mut all: Vec<_> = lists.flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The time that readings are looked at in for these.
pub fn span(doubtful: &[Vec<Expected>]) -> Option<Range> {
    let windows = || doubtful.iter().flatten().map(|one| one.window);
    Some(Range {
        lo: windows().map(|one| one.lo).min()?,
        hi: windows().map(|one| one.hi).max()?,
    })
}

#[cfg(test)]
#[path = "missing_tests.rs"]
mod tests;
