//! The story's days, judged: yellow on day 1, a partial score on day 2, red and 6 on day 3, and the limits of each day.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::assess::news2::{Part, Scale};
use fhir::plan::{Criterion, Repeated, Scheduled, Standing as Stands, Zone as PlanZone};
use proptest::prelude::*;
use uuid::Uuid;

#[path = "judge_parts_tests.rs"]
mod parts;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

/// A blood pressure of these parts.
fn pressure(parts: &[(&'static str, &str)]) -> Value {
    let part = |(part, value): &(&'static str, &str)| (*part, decimal(value), "mm[Hg]".to_owned());
    Value::Parts(parts.iter().map(part).collect())
}

fn reading(n: u128, minutes: i64, kind: &'static str, value: &str) -> Reading {
    let value = match kind {
        "blood-pressure" => pressure(&[("systolic", value)]),
        "consciousness" => Value::Alert(value == "A"),
        _ => {
            let unit = match kind {
                "oxygen-saturation" => "%",
                "body-temperature" => "Cel",
                "oxygen-flow" => "L/min",
                "body-weight" => "kg",
                _ => "/min",
            };
            Value::Number(decimal(value), unit.into())
        }
    };
    Reading {
        resource: fhir::resource::ResourceType::OBSERVATION,
        id: LogicalId(Uuid::from_u128(n)),
        version: 1,
        at: Instant(minutes * MINUTE),
        kind,
        breathed: breathed_by(kind, &value),
        value,
    }
}

fn breathed_by(kind: &str, value: &Value) -> Option<Breathed> {
    let kind = measurement::by_id(kind)?;
    crate::assess::reading::breathed(kind, value, fhir::json::Glance::of(b"{}"))
}

fn band(zone: PlanZone, low: Option<&str>, high: Option<&str>) -> Criterion {
    Criterion {
        kind: "oxygen-saturation".into(),
        part: None,
        zone,
        low: low.map(decimal),
        high: high.map(decimal),
        unit: "%".into(),
        repeated: (zone == PlanZone::Yellow).then_some(Repeated {
            count: 2,
            within_minutes: 20,
        }),
        baseline: None,
    }
}

/// A plan of the story that holds from one minute to another, red from `red` down.
fn plan(n: u128, holds: (i64, i64), red: &str, yellow: &str) -> Plan {
    let limits = PlanLimits {
        status: "active".into(),
        criteria: vec![
            band(PlanZone::Green, Some("88"), None),
            band(PlanZone::Yellow, Some(yellow), Some("87")),
            band(PlanZone::Red, None, Some(red)),
        ],
        schedule: vec![Scheduled {
            kind: "oxygen-saturation".into(),
            days: vec![],
            times: vec!["08:30:00".into()],
            from: None,
            through: None,
        }],
        standing: vec![Stands {
            kind: "oxygen-flow".into(),
            value: Decimal::ZERO,
            unit: "L/min".into(),
            text: None,
        }],
        news2: Some(Scale::Two),
        ..PlanLimits::default()
    };
    Plan {
        id: LogicalId(Uuid::from_u128(n)),
        version: 1,
        limits,
        holds: Range {
            lo: holds.0 * MINUTE,
            hi: holds.1 * MINUTE,
        },
        readable: true,
    }
}

fn all() -> Range {
    Range {
        lo: i64::MIN / 2,
        hi: i64::MAX / 2,
    }
}

fn judged(found: &[Zoned<'_>]) -> Vec<(u128, PlanZone, Option<PlanZone>)> {
    let one = |zoned: &Zoned<'_>| {
        (
            zoned.reading.id.uuid().as_u128(),
            zoned.zone().unwrap(),
            zoned.waiting(),
        )
    };
    found.iter().map(one).collect()
}

#[test]
fn yellow_when_it_comes_twice_within_twenty_minutes_and_red_at_once() {
    let plans = [plan(1, (0, 10_000), "84", "85")];
    let readings = [
        reading(1, 508, "oxygen-saturation", "87"),
        reading(2, 525, "oxygen-saturation", "87"),
        reading(3, 2_000, "oxygen-saturation", "87"),
        reading(4, 3_000, "oxygen-saturation", "84"),
    ];
    let found = zones(&readings, &plans, all());
    use PlanZone::{Green, Red, Yellow};
    assert_eq!(
        judged(&found),
        [
            (1, Green, Some(Yellow)),
            (2, Yellow, None),
            (3, Green, Some(Yellow)),
            (4, Red, None)
        ]
    );
    let inputs: Vec<_> = found[1].inputs.iter().map(|one| one.id).collect();
    assert_eq!(inputs, [readings[0].id, readings[1].id]);
}

#[test]
fn each_reading_is_judged_by_the_plan_of_its_time() {
    let plans = [
        plan(1, (0, 1_000), "84", "85"),
        plan(2, (1_000, 10_000), "85", "86"),
    ];
    let readings = [
        reading(1, 999, "oxygen-saturation", "85"),
        reading(2, 1_000, "oxygen-saturation", "85"),
        reading(3, 20_000, "oxygen-saturation", "85"),
    ];
    let found = zones(&readings, &plans, all());
    let by: Vec<_> = found
        .iter()
        .map(|one| (one.plan.id.uuid().as_u128(), one.zone().unwrap()))
        .collect();
    // After the plan's end nothing is judged.
    assert_eq!(by, [(1, PlanZone::Green), (2, PlanZone::Red)]);
}

#[test]
fn a_plan_that_is_a_draft_or_ends_before_it_begins_judges_nothing() {
    let id = LogicalId(Uuid::from_u128(1));
    let zone = Zone::default();
    let of = |status: &str, start: Option<&str>, end: Option<&str>| {
        let limits = PlanLimits {
            status: status.into(),
            start: start.map(str::to_owned),
            end: end.map(str::to_owned),
            ..PlanLimits::default()
        };
        let written = fhir::time::parse_instant("2026-03-05T00:00:00+01:00").unwrap();
        Plan::of((id, 1, written), limits, &zone).map(|plan| (plan.holds.hi - plan.holds.lo) / HOUR)
    };
    assert_eq!(
        of("active", Some("2026-03-02"), Some("2026-03-02")),
        Some(24)
    );
    assert_eq!(
        of("completed", Some("2026-03-02"), Some("2026-03-03")),
        Some(48)
    );
    // Taken back on the fifth, without saying when it ended.
    for status in ["revoked", "on-hold", "completed"] {
        assert_eq!(of(status, Some("2026-03-02"), None), Some(72), "{status}");
    }
    for status in ["draft", "entered-in-error", "unknown"] {
        assert_eq!(of(status, Some("2026-03-02"), None), None, "{status}");
    }
    assert_eq!(of("active", Some("2026-03-03"), Some("2026-03-02")), None);
    assert_eq!(of("active", Some("soon"), None), None);
}

#[test]
fn a_score_of_single_readings_within_an_hour_says_what_is_missing() {
    let plans = [plan(1, (0, 100_000), "84", "85")];
    // Day 2 of the story, then day 3 at 08:26 and 09:00.
    let mut readings = vec![
        reading(1, 511, "oxygen-saturation", "86"),
        reading(2, 511, "heart-rate", "104"),
        reading(3, 511, "body-temperature", "37.6"),
    ];
    let found = scores(&readings, &plans, all(), HOUR);
    assert_eq!(found.len(), 1);
    let partial = &found[0];
    assert_eq!((partial.score.total(), partial.score.so_far()), (None, 2));
    assert_eq!(partial.standing, Standing::Taken);
    let missing: Vec<_> = partial.score.missing().collect();
    assert_eq!(
        missing,
        [Part::Respiration, Part::Systolic, Part::Consciousness]
    );
    readings.extend([
        reading(4, 1_946, "oxygen-saturation", "84"),
        reading(5, 1_946, "pulse", "118"),
        reading(6, 1_946, "blood-pressure", "138"),
        reading(7, 1_946, "body-temperature", "37.8"),
        reading(8, 1_980, "respiratory-rate", "24"),
        reading(9, 1_980, "consciousness", "A"),
        reading(10, 1_980, "oxygen-flow", "0"),
    ]);
    let found = scores(&readings, &plans, all(), HOUR);
    let totals: Vec<_> = found.iter().map(|one| one.score.total()).collect();
    assert_eq!(totals, [None, None, Some(6)]);
    assert_eq!(found[2].inputs.len(), 7);
    assert_eq!(found[2].standing, Standing::No, "measured, not standing");
    // An hour and a minute later the first are too old.
    readings.push(reading(11, 2_007, "respiratory-rate", "22"));
    let found = scores(&readings, &plans, all(), HOUR);
    let last = found.last().unwrap();
    assert_eq!(
        (last.at, last.score.total()),
        (Instant(2_007 * MINUTE), None)
    );
    assert_eq!(last.score.points(Part::Saturation), None);
    assert_eq!(last.score.points(Part::Consciousness), Some(0));
}

/// Oxygen was given at eight; the plan says that she breathes air. At half past nine nobody knows: it is not air.
#[test]
fn a_standing_value_gives_way_to_a_flow_of_the_last_day_that_says_otherwise() {
    let day = 24 * 60;
    let air = plan(1, (0, 100_000), "84", "85");
    let mut oxygen = air.clone();
    oxygen.limits.standing[0].value = decimal("2");
    let mut unsaid = air.clone();
    unsaid.limits.standing.clear();
    for (what, plan, flow, ago, standing, points) in [
        ("no flow", &air, None, 0, Standing::Taken, Some(0)),
        (
            "oxygen against air",
            &air,
            Some("2"),
            90,
            Standing::Contradicted,
            None,
        ),
        (
            "a day ago",
            &air,
            Some("2"),
            day,
            Standing::Contradicted,
            None,
        ),
        (
            "before that",
            &air,
            Some("2"),
            day + 1,
            Standing::Taken,
            Some(0),
        ),
        ("air and air", &air, Some("0"), 90, Standing::Taken, Some(0)),
        (
            "within the hour it is a part",
            &air,
            Some("2"),
            60,
            Standing::No,
            Some(2),
        ),
        (
            "air against oxygen",
            &oxygen,
            Some("0"),
            90,
            Standing::Contradicted,
            None,
        ),
        (
            "less oxygen than the plan's",
            &oxygen,
            Some("1"),
            90,
            Standing::Taken,
            Some(2),
        ),
        ("oxygen by plan", &oxygen, None, 0, Standing::Taken, Some(2)),
        (
            "the plan says nothing",
            &unsaid,
            Some("2"),
            90,
            Standing::No,
            None,
        ),
    ] {
        let at = 50_000;
        let mut readings = vec![reading(1, at, "oxygen-saturation", "94")];
        readings.extend(flow.map(|value| reading(2, at - ago, "oxygen-flow", value)));
        let plans = [plan.clone()];
        let now = Range {
            lo: at * MINUTE,
            hi: i64::MAX / 2,
        };
        let found = scores(&readings, &plans, now, HOUR);
        let last = found.last().unwrap();
        assert_eq!(last.standing, standing, "{what}");
        assert_eq!(last.score.points(Part::AirOrOxygen), points, "{what}");
        // What speaks against the plan is shown.
        let shown = last.inputs.iter().any(|one| one.kind == "oxygen-flow");
        assert_eq!(
            shown,
            standing == Standing::Contradicted || ago == 60,
            "{what}"
        );
        // By scale 2, 94 % is 0 on air, 1 on oxygen, and nothing where nobody knows.
        let saturation = points.map(|points| u8::from(points > 0));
        assert_eq!(last.score.points(Part::Saturation), saturation, "{what}");
    }
    // The newest flow of the day speaks, not an earlier one.
    let readings = [
        reading(1, 50_000, "oxygen-saturation", "94"),
        reading(2, 49_800, "oxygen-flow", "2"),
        reading(3, 49_900, "oxygen-flow", "0"),
    ];
    let plans = [air];
    let found = scores(&readings, &plans, all(), HOUR);
    assert_eq!(found.last().unwrap().standing, Standing::Taken);
}

#[test]
fn on_standing_oxygen_scale_2_counts_what_is_too_high() {
    let mut on_oxygen = plan(1, (0, 100_000), "84", "85");
    on_oxygen.limits.standing[0].value = decimal("2");
    let plans = [on_oxygen];
    for (value, points) in [("92", 0), ("93", 1), ("95", 2), ("97", 3)] {
        let readings = [reading(1, 500, "oxygen-saturation", value)];
        let found = scores(&readings, &plans, all(), HOUR);
        let score = &found[0].score;
        assert_eq!(score.points(Part::Saturation), Some(points), "{value}");
        assert_eq!(score.points(Part::AirOrOxygen), Some(2));
        assert_eq!(score.so_far(), points + 2);
    }
}

#[test]
fn what_the_plan_has_no_limits_for_in_its_unit_is_known_for_that() {
    let mut plan = plan(1, (0, 1_000), "84", "85");
    let warm = Criterion {
        kind: "body-temperature".into(),
        unit: "Cel".into(),
        ..band(PlanZone::Yellow, Some("38.1"), None)
    };
    plan.limits.criteria.push(warm);
    let plans = [plan];
    let celsius = reading(1, 500, "body-temperature", "39");
    let fahrenheit = Reading {
        value: Value::Number(decimal("100"), "[degF]".into()),
        ..celsius.clone()
    };
    let weight = reading(1, 500, "body-weight", "61");
    let before = reading(1, -1, "body-temperature", "39");
    for (reading, limited, another) in [
        (&celsius, true, false),
        (&fahrenheit, true, true),
        (&weight, false, false),
        (&before, false, false),
    ] {
        assert_eq!(is_limited(&plans, reading), limited, "{reading:?}");
        assert_eq!(escapes_limits(&plans, reading, &[]), another, "{reading:?}");
    }
    let [plan] = plans;
    assert!(is_limited(&[plan.unreadable()], &weight), "nobody knows");
}

#[test]
fn without_a_scale_in_the_plan_there_is_no_score_and_other_units_are_no_part() {
    let mut silent = plan(1, (0, 1_000), "84", "85");
    silent.limits.news2 = None;
    let readings = [reading(1, 500, "oxygen-saturation", "86")];
    assert!(scores(&readings, &[silent], all(), HOUR).is_empty());
    let mut fahrenheit = reading(1, 500, "body-temperature", "99.5");
    fahrenheit.value = Value::Number(decimal("99.5"), "[degF]".into());
    assert!(!is_part(&fahrenheit));
    let plans = [plan(1, (0, 1_000), "84", "85")];
    assert!(scores(&[fahrenheit], &plans, all(), HOUR).is_empty());
}

fn any_reading() -> impl Strategy<Value = Reading> {
    let kinds = prop::sample::select(vec![
        ("oxygen-saturation", 80, 100),
        ("heart-rate", 50, 140),
        ("pulse", 50, 140),
        ("body-temperature", 35, 40),
        ("respiratory-rate", 8, 30),
        ("body-weight", 50, 60),
    ]);
    (kinds, 0_i64..300, 0_i64..1_000).prop_map(|((kind, low, high), minutes, part)| {
        let value = low + part % (high - low + 1);
        reading(0, minutes, kind, &value.to_string())
    })
}

proptest! {
    /// Order of arrival does not matter, and a reading elsewhere in time changes nothing that was judged before it.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        mut readings in prop::collection::vec(any_reading(), 0..20),
        turn in 0_usize..20,
        late in any_reading(),
    ) {
        for (n, reading) in readings.iter_mut().enumerate() {
            reading.id = LogicalId(Uuid::from_u128(n as u128 + 1));
        }
        let plans = [plan(1, (0, 200), "84", "85"), plan(2, (200, 400), "85", "86")];
        let tell = |readings: &[Reading], until: i64| {
            let range = Range { lo: 0, hi: until };
            let mut zones: Vec<_> = judged(&zones(readings, &plans, range));
            zones.sort_unstable_by_key(|one| one.0);
            let scores: Vec<_> = scores(readings, &plans, range, HOUR)
                .iter()
                .map(|one| (one.at, one.score))
                .collect();
            (zones, scores)
        };
        let before = tell(&readings, i64::MAX);
        let mut other = readings.clone();
        let places = other.len().max(1);
        other.rotate_left(turn % places);
        other.reverse();
        prop_assert_eq!(&before, &tell(&other, i64::MAX));
        let early = tell(&readings, late.at.0);
        readings.push(Reading { id: LogicalId(Uuid::from_u128(99)), ..late.clone() });
        prop_assert_eq!(early, tell(&readings, late.at.0));
    }
}

#[test]
fn a_plan_that_cannot_be_read_is_not_taken_for_the_one_before_it() {
    let plans = [
        plan(1, (0, 1_000_000), "84", "87"),
        plan(2, (100, 200), "85", "87").unreadable(),
    ];
    let held = |minutes: i64| in_force(&plans, Instant(minutes * MINUTE)).map(|plan| plan.id);
    let first = Some(LogicalId(Uuid::from_u128(1)));
    assert_eq!([held(99), held(100), held(200)], [first, None, first]);
    let unread = |minutes: i64| is_unreadable(&plans, Instant(minutes * MINUTE));
    assert_eq!([unread(99), unread(100), unread(200)], [false, true, false]);
}
