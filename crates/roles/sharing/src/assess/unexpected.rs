//! Readings that the plan's schedule did not ask for: of another kind, at another time, in a pause, or one more of the same. Pure. It is told
//! quietly: nobody is called, and what such a reading means is judged as of any other. A kind that the plan has limits for, or that is a
//! part of the score it asks for, is known to it and not a surprise; nor is a reading that its own rule of repetition asks for.

use super::judge::{Plan, in_force, is_limited, is_part, within};
use super::reading::Reading;
use crate::alert::{asked, pause_at};
use fhir::day::Day;
use fhir::measurement::{self, Kind};
use fhir::time::{Range, Zone};

/// Why a reading was not expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The plan knows nothing of its kind.
    Kind,
    /// Not that day, or not so early or late as the schedule reaches.
    Time,
    /// The plan pauses.
    Pause,
    /// What was asked for had come.
    Extra,
}

impl Why {
    /// Our code of it.
    pub fn code(self) -> &'static str {
        match self {
            Why::Kind => "unexpected-kind",
            Why::Time => "unexpected-time",
            Why::Pause => "unexpected-pause",
            Why::Extra => "unexpected-extra",
        }
    }

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Why::Kind => "Planen ber ikke om slike målinger",
            Why::Time => "Planen ber ikke om den på denne tiden",
            Why::Pause => "Planen har pause",
            Why::Extra => "Målingen som planen ba om, var her",
        }
    }
}

/// A reading that was not expected.
#[derive(Debug, Clone)]
pub struct Unexpected<'a> {
    /// The reading.
    pub reading: &'a Reading,
    /// The plan of its time.
    pub plan: &'a Plan,
    /// Why not.
    pub why: Why,
}

/// The readings in `range` that were not expected. `readings` holds those of the day before it, too.
pub fn unexpected<'a>(
    readings: &'a [Reading],
    plans: &'a [Plan],
    zone: &Zone,
    range: Range,
) -> Vec<Unexpected<'a>> {
    let judged = within(readings, range).filter_map(|reading| {
        let plan = in_force(plans, reading.at)?;
        let why = why(reading, readings, plan, plans, zone)?;
        Some(Unexpected { reading, plan, why })
    });
    judged.collect()
}

fn why(
    reading: &Reading,
    readings: &[Reading],
    plan: &Plan,
    plans: &[Plan],
    zone: &Zone,
) -> Option<Why> {
    let schedule = &plan.limits.schedule;
    if schedule.is_empty() {
        return None;
    }
    let curve = reading.curve();
    let is = |kind: &str| measurement::by_id(kind).map(Kind::curve) == Some(curve);
    if !schedule.iter().any(|one| is(&one.kind)) {
        let standing = plan.limits.standing.iter().any(|one| is(&one.kind));
        let part = plan.limits.news2.is_some() && is_part(reading);
        let known = standing || part || is_limited(plans, reading);
        return (!known).then_some(Why::Kind);
    }
    if pause_at(&plan.limits, zone, reading.at).is_some() {
        return Some(Why::Pause);
    }
    let of_day = asked(plans, zone, Day::of(reading.at, zone), |_, one| {
        is(&one.kind)
    });
    let Some(window) = of_day.into_iter().find(|one| one.is(reading)) else {
        return Some(Why::Time);
    };
    let before = readings
        .iter()
        .filter(|one| window.is(one) && (one.at, one.id) < (reading.at, reading.id));
    let last = before.map(|one| one.at).max()?;
    // What is measured again by a rule of repetition brings the rest of its device along.
    let rules = plan.limits.criteria.iter().filter_map(|one| one.repeated);
    let again = rules.map(|rule| rule.within_minutes).max().unwrap_or(0);
    (last.plus_micros(i64::from(again) * 60_000_000) < reading.at).then_some(Why::Extra)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::assess::reading::Value;
    use fhir::ids::LogicalId;
    use fhir::measurement::Decimal;
    use fhir::plan::{Criterion, Pause, PlanLimits, Repeated, Scheduled};
    use fhir::resource::ResourceType;
    use fhir::time::Instant;
    use uuid::Uuid;

    fn scheduled(kind: &str, days: &[&str], times: &[&str]) -> Scheduled {
        let all = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        Scheduled {
            kind: kind.into(),
            days: all(days),
            times: all(times),
            from: None,
            through: Some("2026-11-27".into()),
        }
    }

    /// Saturation twice a day and again within 20 minutes where it is yellow; weight on Mondays; limits for temperature; away on the 25th.
    fn plan() -> Plan {
        let limit = |kind: &str, unit: &str, repeated| Criterion {
            kind: kind.into(),
            part: None,
            zone: fhir::plan::Zone::Yellow,
            low: None,
            high: Some(Decimal::tenths(870)),
            unit: unit.into(),
            repeated,
            baseline: None,
        };
        let twice = Repeated {
            count: 2,
            within_minutes: 20,
        };
        let limits = PlanLimits {
            status: "active".into(),
            start: Some("2026-11-01".into()),
            criteria: vec![
                limit("oxygen-saturation", "%", Some(twice)),
                limit("body-temperature", "Cel", None),
            ],
            schedule: vec![
                scheduled("oxygen-saturation", &[], &["08:30:00", "20:30:00"]),
                scheduled("body-weight", &["mon"], &[]),
            ],
            pauses: vec![Pause {
                from: Some("2026-11-25".into()),
                until: Some("2026-11-25".into()),
                text: "Reise".into(),
            }],
            ..PlanLimits::default()
        };
        let id = (LogicalId(Uuid::from_u128(1)), 1, Instant(0));
        Plan::of(id, limits, &Zone::default()).unwrap()
    }

    fn reading(n: u128, kind: &'static str, when: &str) -> Reading {
        Reading {
            resource: ResourceType::OBSERVATION,
            id: LogicalId(Uuid::from_u128(n)),
            version: 1,
            at: format!("2026-11-{when}:00+01:00").parse().unwrap(),
            kind,
            value: Value::Number(Decimal::tenths(870), "%".into()),
            breathed: None,
        }
    }

    #[test]
    fn kind_day_bounds_pause_and_one_more_of_the_same() {
        let (spo2, weight) = ("oxygen-saturation", "body-weight");
        let all = Range {
            lo: i64::MIN,
            hi: i64::MAX,
        };
        // The last reading of each row is the one that is asked about. The 23rd is a Monday.
        for (what, of, expected) in [
            ("as asked", vec![(spo2, "23T08:31")], None),
            ("early", vec![(spo2, "23T00:00")], None),
            (
                "morning and evening",
                vec![(spo2, "23T08:31"), (spo2, "23T20:29")],
                None,
            ),
            (
                "again, as its rule asks",
                vec![(spo2, "23T08:28"), (spo2, "23T08:48")],
                None,
            ),
            (
                "again, later",
                vec![(spo2, "23T08:28"), (spo2, "23T08:49")],
                Some(Why::Extra),
            ),
            ("weight on its day", vec![(weight, "23T10:00")], None),
            (
                "twice",
                vec![(weight, "23T10:00"), (weight, "23T10:21")],
                Some(Why::Extra),
            ),
            (
                "weight on another day",
                vec![(weight, "24T10:00")],
                Some(Why::Time),
            ),
            ("on the last day", vec![(spo2, "27T08:30")], None),
            (
                "after the last day",
                vec![(spo2, "28T08:30")],
                Some(Why::Time),
            ),
            ("away", vec![(spo2, "25T08:30")], Some(Why::Pause)),
            (
                "a kind of no plan's",
                vec![("blood-glucose", "23T08:30")],
                Some(Why::Kind),
            ),
            (
                "of that kind, away",
                vec![("blood-glucose", "25T08:30")],
                Some(Why::Kind),
            ),
            (
                "limited, not scheduled",
                vec![("body-temperature", "23T08:30")],
                None,
            ),
        ] {
            let readings: Vec<_> = (1..)
                .zip(&of)
                .map(|(n, (kind, when))| reading(n, kind, when))
                .collect();
            let plans = [plan()];
            let found = unexpected(&readings, &plans, &Zone::default(), all);
            let last = readings.last().unwrap();
            let found: Vec<_> = found.iter().map(|one| (one.reading.id, one.why)).collect();
            let expected: Vec<_> = expected.map(|why| (last.id, why)).into_iter().collect();
            assert_eq!(found, expected, "{what}");
            // A part of the score that the plan asks for is no surprise.
            let mut scored = plan();
            scored.limits.news2 = Some(fhir::plan::Scale::One);
            scored.limits.schedule.remove(0);
            let found = unexpected(&readings, &[scored], &Zone::default(), all).len();
            assert!(found == 0 || last.kind != spo2, "{what}");
            // Where the plan asks for nothing, nothing is unexpected; nor where there is none.
            let mut silent = plan();
            silent.limits.schedule.clear();
            for plans in [vec![silent], Vec::new()] {
                let found = unexpected(&readings, &plans, &Zone::default(), all);
                assert!(found.is_empty(), "{what}");
            }
        }
    }
}
