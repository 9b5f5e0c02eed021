//! The story's days −9 to −6, and the borders of days, schedules, pauses and plans.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use crate::assess::Value as Measured;
use fhir::ids::LogicalId;
use fhir::measurement::Decimal;
use fhir::plan::Pause;
use uuid::Uuid;

const SPO2: &str = "oxygen-saturation";

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn scheduled(kind: &str, days: &[&str], times: &[&str]) -> Scheduled {
    let all = |texts: &[&str]| texts.iter().map(|one| (*one).to_owned()).collect();
    Scheduled {
        kind: kind.into(),
        days: all(days),
        times: all(times),
        from: None,
        through: None,
    }
}

/// The story's plan v1: daily at 08:30, blood pressure Monday, Wednesday and Friday; missing after two in a row by 12:00.
fn plan(start: &str, end: Option<&str>, change: impl FnOnce(&mut PlanLimits)) -> Plan {
    let mut limits = PlanLimits {
        status: "active".into(),
        start: Some(start.into()),
        end: end.map(str::to_owned),
        schedule: vec![
            scheduled(SPO2, &[], &["08:30:00"]),
            scheduled("blood-pressure", &["mon", "wed", "fri"], &["08:30:00"]),
        ],
        missing: Some(Missing {
            in_a_row: 2,
            by: "12:00:00".into(),
            text: "To på rad, eller en planlagt".into(),
        }),
        ..PlanLimits::default()
    };
    change(&mut limits);
    let id = LogicalId::from(Uuid::from_u128(u128::from(start.len() as u64) + 1));
    Plan::of((id, 1, Instant(0)), limits, &Zone::default()).unwrap()
}

fn reading(kind: &'static str, when: &str) -> Reading {
    Reading {
        resource: fhir::resource::ResourceType::OBSERVATION,
        id: LogicalId::from(Uuid::from_u128(7)),
        version: 1,
        at: at(when),
        kind,
        breathed: None,
        value: Measured::Number(Decimal::tenths(900), "%".into()),
    }
}

/// What turns out to be missing from one moment to another, each with the moment it is found, and when it was expected.
fn found(plans: &[Plan], readings: &[Reading], from: &str, until: &str) -> Vec<String> {
    let zone = Zone::default();
    let (mut now, mut told) = (at(from), Vec::new());
    while let Some(next) = next(plans, &zone, now).filter(|next| *next <= at(until)) {
        now = next;
        for one in missing(doubtful(plans, &zone, now), readings) {
            told.push(format!("{now}: {} {}", one.kind, one.at));
        }
    }
    told
}

/// Day 0 is Monday 16 November 2026: day −9 is Saturday the 7th.
#[test]
fn days_9_8_and_7_before() {
    let plan = [plan("2026-10-30", None, |_| {})];
    let before = [
        reading(SPO2, "2026-11-06T08:30:00+01:00"),
        reading("blood-pressure", "2026-11-06T08:32:00+01:00"),
    ];
    let silence = [
        "2026-11-08T11:00:00Z: oxygen-saturation 2026-11-07T07:30:00Z",
        "2026-11-08T11:00:00Z: oxygen-saturation 2026-11-08T07:30:00Z",
    ];
    let week = |readings: &[Reading], until: &str| {
        found(&plan, readings, "2026-11-06T12:00:00+01:00", until)
    };
    assert_eq!(week(&before, "2026-11-08T12:00:00+01:00"), silence);
    assert!(week(&before, "2026-11-08T11:59:59+01:00").is_empty());
    // The backlog: nothing is missing any more, and would not have been.
    let mut filled = before.to_vec();
    for day in ["07", "08", "09"] {
        filled.push(reading(SPO2, &format!("2026-11-{day}T08:31:00+01:00")));
    }
    filled.push(reading("blood-pressure", "2026-11-09T21:00:00+01:00"));
    assert!(week(&filled, "2026-11-10T11:59:59+01:00").is_empty());
    // A blood pressure that did not come on Monday is missing when Monday ends.
    filled.pop();
    assert_eq!(
        week(&filled, "2026-11-10T11:59:59+01:00"),
        ["2026-11-09T23:00:00Z: blood-pressure 2026-11-09T07:30:00Z"]
    );
}

#[test]
fn what_is_not_expected_is_not_missing() {
    let silent = |change: &dyn Fn(&mut PlanLimits)| {
        let plan = plan("2026-10-30", None, |limits| {
            limits.schedule.truncate(1);
            change(limits);
        });
        let told = found(
            &[plan],
            &[],
            "2026-11-10T00:00:00+01:00",
            "2026-11-12T23:00:00+01:00",
        );
        let times: Vec<_> = told.iter().map(|one| one[5..13].to_owned()).collect();
        times.join(" ")
    };
    // Each day from then on, until somebody measures: yesterday's and today's.
    let all = "11-10T11 11-10T11 11-11T11 11-11T11 11-12T11 11-12T11";
    assert_eq!(silent(&|_| {}), all);
    assert_eq!(silent(&|limits| limits.missing = None), "");
    let pause = |from: Option<&str>, until: Option<&str>| Pause {
        from: from.map(str::to_owned),
        until: until.map(str::to_owned),
        text: "Reise".into(),
    };
    for (what, from, until, expected) in [
        ("all of it", None, None, ""),
        ("from the day before on", Some("2026-11-09"), None, ""),
        // The two before and after the pause are in a row.
        (
            "one day",
            Some("2026-11-11"),
            Some("2026-11-11"),
            "11-10T11 11-10T11 11-12T11 11-12T11",
        ),
        (
            "until that morning",
            None,
            Some("2026-11-10T08:00:00+01:00"),
            "11-11T11 11-11T11 11-12T11 11-12T11",
        ),
        (
            "until just after",
            None,
            Some("2026-11-10T08:30:00+01:00"),
            "11-12T11 11-12T11",
        ),
        ("a bound that cannot be read", Some("i går"), None, all),
    ] {
        let silent = silent(&|limits| limits.pauses = vec![pause(from, until)]);
        assert_eq!(silent, expected, "{what}");
    }
    for (what, from, through, expected) in [
        ("begins", Some("2026-11-11"), None, "11-12T11 11-12T11"),
        ("has ended", None, Some("2026-11-09"), ""),
        ("last day", None, Some("2026-11-10"), "11-10T11 11-10T11"),
    ] {
        let silent = silent(&|limits| {
            limits.schedule[0].from = from.map(str::to_owned);
            limits.schedule[0].through = through.map(str::to_owned);
        });
        assert_eq!(silent, expected, "{what}");
    }
}

#[test]
fn the_plan_of_the_day_says_what_was_expected() {
    // From noon on the 11th another plan, twice a day.
    let first = plan("2026-10-30", Some("2026-11-11T11:59:59+01:00"), |limits| {
        limits.schedule.truncate(1);
    });
    let second = plan("2026-11-11T12:00:00+01:00", None, |limits| {
        limits.schedule = vec![scheduled(SPO2, &[], &["08:30:00", "20:30:00"])];
    });
    let plans = [first, second];
    let readings = [
        reading(SPO2, "2026-11-10T08:30:00+01:00"),
        reading(SPO2, "2026-11-11T08:30:00+01:00"),
        // Between the two times, nearer to the evening's.
        reading(SPO2, "2026-11-12T14:31:00+01:00"),
    ];
    let told = |readings: &[Reading]| {
        found(
            &plans,
            readings,
            "2026-11-11T10:00:00+01:00",
            "2026-11-13T12:00:00+01:00",
        )
    };
    assert_eq!(
        told(&readings),
        [
            "2026-11-12T11:00:00Z: oxygen-saturation 2026-11-11T19:30:00Z",
            "2026-11-12T11:00:00Z: oxygen-saturation 2026-11-12T07:30:00Z",
        ]
    );
    // A plan that says nothing of it, or whose limits cannot be read, expects nothing.
    let mut unread = plans.to_vec();
    unread[1] = unread[1].clone().unreadable();
    assert!(
        found(
            &unread,
            &readings,
            "2026-11-11T10:00:00+01:00",
            "2026-11-13T12:00:00+01:00"
        )
        .is_empty()
    );
    let over = [plan("2026-10-30", Some("2026-11-01"), |_| {})];
    assert_eq!(
        next(&over, &Zone::default(), at("2026-11-11T10:00:00Z")),
        None
    );
    let coming = [plan("2026-12-01", None, |_| {})];
    let first = next(&coming, &Zone::default(), at("2026-11-11T10:00:00Z"));
    assert_eq!(first, Some(at("2026-12-01T12:00:00+01:00")));
}

#[test]
fn what_is_missing_reads_again_and_is_answered_by_a_reading_of_its_part_of_the_day() {
    let zone = Zone::default();
    let plans = [plan("2026-10-30", None, |limits| {
        limits.schedule = vec![scheduled(SPO2, &[], &["08:30:00", "20:30:00"])];
    })];
    let lists = doubtful(&plans, &zone, at("2026-11-12T12:00:00+01:00"));
    let one = lists[0][0];
    let (kind, window) = read(&one.named()).unwrap();
    assert_eq!((kind.id.as_str(), window), (one.kind, one.window));
    for (when, expected) in [
        ("2026-11-12T00:00:00+01:00", true),
        ("2026-11-12T14:29:59+01:00", true),
        ("2026-11-12T14:30:00+01:00", false),
        ("2026-11-11T23:59:59+01:00", false),
    ] {
        assert_eq!(one.is(&reading(SPO2, when)), expected, "{when}");
    }
    assert!(!one.is(&reading("pulse", "2026-11-12T08:30:00+01:00")));
    assert!(read(&serde_json::json!({"reference": "Observation/x"})).is_none());
}
