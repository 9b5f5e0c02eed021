//! The story's plan, both versions, with both neighbours of every border, and plans that must be refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::Zone::{Green, Red, Yellow};
use super::*;
use crate::check::{Rules, check};
use crate::ids::PersonNumbers;
use crate::json::{Json, Limits};
use crate::systems;
use proptest::prelude::*;
use serde_json::{Value, json};

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

fn band(kind: &str, zone: Zone, low: Option<&str>, high: Option<&str>, unit: &str) -> Criterion {
    Criterion {
        kind: kind.into(),
        part: None,
        zone,
        low: low.map(decimal),
        high: high.map(decimal),
        unit: unit.into(),
        repeated: None,
        baseline: None,
    }
}

fn scheduled(kind: &str, days: &[&str]) -> Scheduled {
    let days = days.iter().map(|d| (*d).to_owned()).collect();
    Scheduled {
        kind: kind.into(),
        days,
        times: vec!["08:30:00".into()],
        from: None,
        through: None,
    }
}

/// The story's plan (STORY.md): version 1, or version 2 with its higher limits for oxygen saturation.
fn story(version: u32) -> PlanLimits {
    let (yellow_from, red_to) = if version == 1 {
        ("85", "84")
    } else {
        ("86", "85")
    };
    let mut yellow = band(
        "oxygen-saturation",
        Yellow,
        Some(yellow_from),
        Some("87"),
        "%",
    );
    yellow.repeated = Some(Repeated {
        count: 2,
        within_minutes: 20,
    });
    let mut cat = band("cat-score", Yellow, Some("23"), None, "{score}");
    cat.baseline = Some(Baseline {
        value: decimal("18"),
        delta: Some(decimal("5")),
    });
    let three = ["mon", "wed", "fri"];
    PlanLimits {
        title: "Egenbehandlingsplan KOLS (syntetisk)".into(),
        description: Some("Gå tur hver dag".into()),
        version: Some(version.to_string()),
        status: "active".into(),
        identifier: Some((
            "https://fjellvik.example/planer".into(),
            format!("plan-{version}"),
        )),
        replaces: (version > 1)
            .then(|| ("https://fjellvik.example/planer".into(), "plan-1".into())),
        start: Some("2026-02-10".into()),
        end: None,
        patient: Some(PersonIdentifier::guess("14835210260", PersonNumbers::Strict).unwrap()),
        author: Some(Author {
            system: systems::ORGNR.into(),
            value: "310001007".into(),
            name: Some("Fjellvik kommune (syntetisk)".into()),
        }),
        criteria: vec![
            band("oxygen-saturation", Green, Some("88"), None, "%"),
            yellow,
            band("oxygen-saturation", Red, None, Some(red_to), "%"),
            band("heart-rate", Yellow, Some("100"), None, "/min"),
            band("heart-rate", Red, Some("120"), None, "/min"),
            band("body-temperature", Yellow, Some("38.1"), None, "Cel"),
            cat,
        ],
        actions: vec![
            Action {
                zone: Green,
                text: "Fortsett som vanlig".into(),
            },
            Action {
                zone: Yellow,
                text: "Ta inhalasjon, mål igjen etter 20 minutter".into(),
            },
            Action {
                zone: Red,
                text: "Ring oppfølgingssenteret nå".into(),
            },
        ],
        schedule: vec![
            scheduled("oxygen-saturation", &[]),
            scheduled("blood-pressure", &three),
            scheduled("body-weight", &three),
            scheduled("cat-score", &["mon"]),
        ],
        standing: vec![Standing {
            kind: "oxygen-flow".into(),
            value: decimal("0"),
            unit: "L/min".into(),
            text: Some("Puster romluft".into()),
        }],
        missing: Some(Missing {
            in_a_row: 2,
            by: "12:00:00".into(),
            text:
                "To daglige målinger på rad er ikke her kl. 12, eller en planlagt ved dagens slutt"
                    .into(),
        }),
        news2: Some(Scale::Two),
        pauses: Vec::new(),
    }
}

fn parse(bytes: impl Into<Vec<u8>>) -> Json {
    Json::parse(bytes.into(), Limits::RESOURCE).unwrap()
}

#[test]
fn both_versions_pass_the_check_and_come_back_as_they_were() {
    for version in [1, 2] {
        let plan = story(version);
        let json = parse(plan_to_json(&plan));
        let checked = check(&json, json.root(), &Rules::default());
        assert!(checked.is_ok(), "{:#?}", checked.err());
        assert_eq!(PlanLimits::read(json.root()), Ok(plan));
    }
}

#[test]
fn times_with_an_end_and_pauses_come_back_as_they_were() {
    let mut plan = story(2);
    plan.schedule.push(Scheduled {
        times: vec!["08:30:00".into(), "20:30:00".into()],
        from: Some("2026-03-12".into()),
        through: Some("2026-03-19".into()),
        ..scheduled("oxygen-saturation", &[])
    });
    plan.pauses.push(Pause {
        from: Some("2026-04-01".into()),
        until: None,
        text: "Reise".into(),
    });
    let json = parse(plan_to_json(&plan));
    let checked = check(&json, json.root(), &Rules::default());
    assert!(checked.is_ok(), "{:#?}", checked.err());
    assert_eq!(PlanLimits::read(json.root()), Ok(plan));
}

#[test]
fn a_scale_or_a_pause_that_cannot_be_read_is_refused_with_its_place() {
    let mut plan = story(1);
    plan.pauses.push(Pause {
        from: Some("2026-04-01".into()),
        until: Some("2026-04-08".into()),
        text: "Innlagt".into(),
    });
    let good: Value = serde_json::from_slice(&plan_to_json(&plan)).unwrap();
    for (pointer, new, place) in [
        (
            "/extension/2/valuePositiveInt",
            json!(3),
            "CarePlan.extension[2].valuePositiveInt",
        ),
        (
            "/extension/3/extension/0/valuePeriod",
            json!({}),
            "CarePlan.extension[3]",
        ),
        (
            "/extension/3/extension/1/url",
            json!("x"),
            "CarePlan.extension[3]",
        ),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = new;
        let issues = PlanLimits::read(parse(value.to_string()).root()).unwrap_err();
        assert!(
            issues.iter().any(|i| i.expression == [place]),
            "{pointer}: {issues:#?}"
        );
    }
}

#[test]
fn every_border_of_the_story() {
    // Kind, unit, value, zone in version 1, zone in version 2.
    for (kind, unit, value, one, two) in [
        ("oxygen-saturation", "%", "88", Green, Green),
        ("oxygen-saturation", "%", "87.5", Yellow, Yellow),
        ("oxygen-saturation", "%", "87", Yellow, Yellow),
        ("oxygen-saturation", "%", "86", Yellow, Yellow),
        ("oxygen-saturation", "%", "85.5", Yellow, Red),
        ("oxygen-saturation", "%", "85", Yellow, Red),
        ("oxygen-saturation", "%", "84.9", Red, Red),
        ("oxygen-saturation", "%", "84", Red, Red),
        ("oxygen-saturation", "%", "83", Red, Red),
        ("oxygen-saturation", "%", "100", Green, Green),
        ("oxygen-saturation", "%", "0", Red, Red),
        ("heart-rate", "/min", "90", Green, Green),
        ("heart-rate", "/min", "91", Green, Green),
        ("heart-rate", "/min", "99", Green, Green),
        ("heart-rate", "/min", "99.9", Green, Green),
        ("heart-rate", "/min", "100", Yellow, Yellow),
        ("heart-rate", "/min", "110", Yellow, Yellow),
        ("heart-rate", "/min", "111", Yellow, Yellow),
        ("heart-rate", "/min", "119", Yellow, Yellow),
        ("heart-rate", "/min", "120", Red, Red),
        ("heart-rate", "/min", "130", Red, Red),
        ("heart-rate", "/min", "131", Red, Red),
        ("body-temperature", "Cel", "38.0", Green, Green),
        ("body-temperature", "Cel", "38", Green, Green),
        ("body-temperature", "Cel", "38.1", Yellow, Yellow),
        ("body-temperature", "Cel", "38.10", Yellow, Yellow),
        ("cat-score", "{score}", "22", Green, Green),
        ("cat-score", "{score}", "23", Yellow, Yellow),
        ("cat-score", "{score}", "26", Yellow, Yellow),
    ] {
        for (version, expected) in [(1, one), (2, two)] {
            let zone = story(version).zone_of(Measure::whole(kind, unit), decimal(value));
            assert_eq!(zone, Some(expected), "version {version}: {kind} {value}");
        }
    }
    // Respiration (20/21, 24/25) is a border of NEWS2, not of this plan.
    assert_eq!(
        story(1).zone_of(Measure::whole("respiratory-rate", "/min"), decimal("25")),
        None
    );
}

#[test]
fn pulse_shares_the_limits_of_heart_rate_and_units_are_never_converted() {
    let plan = story(1);
    assert_eq!(
        plan.zone_of(Measure::whole("pulse", "/min"), decimal("120")),
        Some(Red)
    );
    assert_eq!(
        plan.zone_of(Measure::whole("body-temperature", "[degF]"), decimal("101")),
        None
    );
    assert_eq!(
        plan.zone_of(
            Measure::whole("questionnaire-score", "{score}"),
            decimal("26")
        ),
        None
    );
}

#[test]
fn blood_pressure_has_limits_for_each_of_its_parts() {
    let of = |part: &str, zone, low: &str| Criterion {
        part: Some(part.into()),
        ..band("blood-pressure", zone, Some(low), None, "mm[Hg]")
    };
    let mut plan = story(1);
    plan.criteria.extend([
        of("systolic", Yellow, "160"),
        of("systolic", Red, "180"),
        of("diastolic", Yellow, "100"),
    ]);
    let bytes = plan_to_json(&plan);
    let json = parse(bytes.clone());
    assert!(check(&json, json.root(), &Rules::default()).is_ok());
    assert_eq!(PlanLimits::read(json.root()), Ok(plan.clone()));
    let zone = |part, value: &str| {
        let of = Measure {
            part,
            ..Measure::whole("blood-pressure", "mm[Hg]")
        };
        plan.zone_of(of, decimal(value))
    };
    for (value, expected) in [
        ("159", Green),
        ("160", Yellow),
        ("179", Yellow),
        ("180", Red),
    ] {
        assert_eq!(zone(Some("systolic"), value), Some(expected), "{value}");
    }
    for (value, expected) in [("99", Green), ("100", Yellow), ("180", Yellow)] {
        assert_eq!(zone(Some("diastolic"), value), Some(expected), "{value}");
    }
    assert_eq!(zone(Some("mean"), "180"), None);
    assert_eq!(zone(None, "180"), None);

    let text = String::from_utf8(bytes).unwrap();
    let measured = |codes: Value| {
        let systolic = json!([
            {"system": systems::LOINC, "code": "8480-6"},
            {"system": systems::SNOMED, "code": "271649006"},
        ]);
        assert!(text.contains(&systolic.to_string()));
        PlanLimits::read(parse(text.replacen(&systolic.to_string(), &codes.to_string(), 1)).root())
    };
    let loinc = |code: &str| json!({"system": systems::LOINC, "code": code});
    assert!(measured(json!([loinc("85354-9"), loinc("8480-6")])).is_ok());
    for (codes, said) in [
        (json!([loinc("85354-9")]), "about one of its parts"),
        (json!([loinc("8480-6"), loinc("8462-4")]), "one known kind"),
        // Heart rate has no such unit.
        (json!([loinc("8867-4"), loinc("8480-6")]), "a unit in which"),
    ] {
        let issues = measured(codes).unwrap_err();
        assert_eq!(issues.len(), 1, "{issues:?}");
        assert!(issues[0].diagnostics.contains(said), "{issues:?}");
    }
}

#[test]
fn yellow_saturation_counts_when_it_comes_twice_within_twenty_minutes() {
    let plan = story(1);
    let minute = |m: i64| Instant(m * 60_000_000);
    let judge = |readings: &[(i64, &str)]| {
        let readings: Vec<_> = readings
            .iter()
            .map(|(m, v)| Reading {
                at: minute(*m),
                value: decimal(v),
            })
            .collect();
        plan.judge(Measure::whole("oxygen-saturation", "%"), &readings)
            .map(|j| (j.zone, j.waiting))
    };
    let waits = Some((Green, Some(Yellow)));
    assert_eq!(judge(&[]), None);
    assert_eq!(judge(&[(0, "87")]), waits);
    // Day 1 of the story: 08:28 and 08:45.
    assert_eq!(judge(&[(0, "87"), (17, "87")]), Some((Yellow, None)));
    assert_eq!(
        judge(&[(17, "87"), (0, "87")]),
        Some((Yellow, None)),
        "order of arrival does not matter"
    );
    assert_eq!(judge(&[(0, "87"), (20, "85")]), Some((Yellow, None)));
    assert_eq!(judge(&[(0, "87"), (21, "87")]), waits);
    assert_eq!(judge(&[(0, "88"), (17, "87")]), waits);
    assert_eq!(
        judge(&[(0, "84"), (17, "87")]),
        Some((Yellow, None)),
        "a worse reading counts as one of the two"
    );
    assert_eq!(judge(&[(0, "87"), (17, "88")]), Some((Green, None)));
    assert_eq!(
        judge(&[(0, "92"), (1, "84")]),
        Some((Red, None)),
        "red counts at once"
    );
}

/// The limit is the baseline and its delta: reckoned where it is not said, and refused where something else is said.
#[test]
fn a_limit_from_the_baseline_is_reckoned_and_never_contradicted() {
    let of = |baseline: Option<&str>, delta: Option<&str>, range: Value| {
        let quantity = |value: &str| {
            let value: serde_json::Number = value.parse().unwrap();
            json!({"value": value, "system": systems::UCUM, "code": "{score}"})
        };
        let mut target = json!({
            "extension": [{"url": ZONE, "valueCoding": {"system": ZONES, "code": "yellow"}}],
            "measure": {"coding": [{"system": measurement::LOCAL, "code": "cat-score"}]},
        });
        for (url, value) in [(BASELINE, baseline), (BASELINE_DELTA, delta)] {
            if let Some(value) = value {
                let one = json!({"url": url, "valueQuantity": quantity(value)});
                target["extension"].as_array_mut().unwrap().push(one);
            }
        }
        for side in ["low", "high"] {
            if let Some(value) = range[side].as_str() {
                target["detailRange"][side] = quantity(value);
            }
        }
        let goal = json!({"resourceType": "Goal", "id": "g", "target": [target]});
        let plan = json!({"resourceType": "CarePlan", "contained": [goal]});
        let read = PlanLimits::read(parse(plan.to_string()).root());
        read.map(|plan| (plan.criteria[0].low, plan.criteria[0].high))
            .map_err(|issues| issues[0].expression.concat())
    };
    let (low, high) = (
        |text| (Some(decimal(text)), None),
        |text| (None, Some(decimal(text))),
    );
    let place = |member: &str| Err(format!("CarePlan.contained[0].target[0]{member}"));
    let range = place(".detailRange");
    for (what, read, expected) in [
        ("above", of(Some("18"), Some("5"), json!({})), Ok(low("23"))),
        (
            "below",
            of(Some("18"), Some("-2.5"), json!({})),
            Ok(high("15.5")),
        ),
        (
            "said alike",
            of(Some("18"), Some("5"), json!({"low": "23.0"})),
            Ok(low("23")),
        ),
        (
            "said otherwise",
            of(Some("18"), Some("5"), json!({"low": "24"})),
            range.clone(),
        ),
        (
            "on the other side",
            of(Some("18"), Some("5"), json!({"high": "20"})),
            range.clone(),
        ),
        (
            "both sides",
            of(Some("18"), Some("5"), json!({"high": "30"})),
            Ok((Some(decimal("23")), Some(decimal("30")))),
        ),
        (
            "a remark",
            of(Some("18"), None, json!({"low": "24"})),
            Ok(low("24")),
        ),
        ("no limit at all", of(Some("18"), None, json!({})), range),
        (
            "of nothing",
            of(None, Some("5"), json!({"low": "23"})),
            place(""),
        ),
        (
            "by nothing",
            of(Some("18"), Some("0"), json!({"low": "18"})),
            place(""),
        ),
    ] {
        assert_eq!(read, expected, "{what}");
    }
}

/// Yellow at once, red only when it comes twice: the first red value is yellow, not green.
#[test]
fn where_the_graver_zone_waits_for_a_second_the_milder_one_counts() {
    let twice = |mut band: Criterion| {
        band.repeated = Some(Repeated {
            count: 2,
            within_minutes: 20,
        });
        band
    };
    let spo2 = |zone, low, high| band("oxygen-saturation", zone, low, high, "%");
    let pulse = |zone, low, high| band("heart-rate", zone, low, high, "/min");
    let plan = PlanLimits {
        criteria: vec![
            spo2(Green, Some("88"), None),
            spo2(Yellow, Some("85"), Some("87")),
            twice(spo2(Red, None, Some("84"))),
            twice(pulse(Red, None, Some("40"))),
            pulse(Green, Some("50"), Some("99")),
            pulse(Yellow, Some("100"), None),
            twice(pulse(Red, Some("120"), None)),
        ],
        ..PlanLimits::default()
    };
    let judge = |kind: &str, unit: &str, values: &[&str]| {
        let readings = values.iter().enumerate().map(|(minute, value)| Reading {
            at: Instant(i64::try_from(minute).unwrap() * 60_000_000),
            value: decimal(value),
        });
        let judged = plan.judge(Measure::whole(kind, unit), &readings.collect::<Vec<_>>());
        judged.map(|j| (j.zone, j.waiting)).unwrap()
    };
    let spo2 = |values: &[&str]| judge("oxygen-saturation", "%", values);
    assert_eq!(spo2(&["86"]), (Yellow, None));
    assert_eq!(spo2(&["84"]), (Yellow, Some(Red)));
    assert_eq!(spo2(&["84.5"]), (Yellow, Some(Red)), "in the gap");
    assert_eq!(spo2(&["60"]), (Yellow, Some(Red)));
    assert_eq!(spo2(&["86", "84"]), (Yellow, Some(Red)));
    assert_eq!(spo2(&["84", "83"]), (Red, None));
    assert_eq!(spo2(&["84", "88"]), (Green, None));
    let pulse = |values: &[&str]| judge("pulse", "/min", values);
    // Bands that lie over each other.
    assert_eq!(pulse(&["125"]), (Yellow, Some(Red)));
    assert_eq!(pulse(&["125", "121"]), (Red, None));
    // What is too low is not measured by what is too high: green lies between.
    assert_eq!(pulse(&["38"]), (Green, Some(Red)));
}

/// Bands on one side of green, each with a repetition or without.
fn ladder() -> impl Strategy<Value = PlanLimits> {
    let rule = || {
        prop::option::of(
            (2..4_u32, 1..30_u32).prop_map(|(count, within_minutes)| Repeated {
                count,
                within_minutes,
            }),
        )
    };
    let open = any::<bool>();
    let bands = (
        1..4_usize,
        1..4_usize,
        prop::collection::vec(rule(), 6),
        open,
    );
    bands.prop_map(|(yellow, red, rules, open)| {
        let zones = std::iter::repeat_n(Yellow, yellow).chain(std::iter::repeat_n(Red, red));
        let mut criteria = vec![band("oxygen-saturation", Green, Some("88"), None, "%")];
        for ((place, zone), repeated) in zones.enumerate().zip(rules) {
            // Three values each, with a gap of one above; or everything below.
            let high = 87 - 4 * i64::try_from(place).unwrap();
            criteria.push(Criterion {
                low: (!open).then(|| Decimal::tenths((high - 2) * 10)),
                high: Some(Decimal::tenths(high * 10)),
                repeated,
                ..band("oxygen-saturation", zone, None, None, "%")
            });
        }
        if let Some(last) = criteria.last_mut() {
            last.low = None;
        }
        PlanLimits {
            criteria,
            ..PlanLimits::default()
        }
    })
}

proptest! {
    #[test]
    fn a_worse_value_never_has_a_milder_zone(
        plan in ladder(),
        before in prop::collection::vec((0..60_i64, 600..1000_i64), 0..5),
        (value, worse) in (600..1000_i64, 0..200_i64).prop_map(|(value, less)| (value, value - less)),
    ) {
        let judged = |last: i64| {
            let readings = before.iter().copied().chain([(60, last)]);
            let readings: Vec<_> = readings
                .map(|(minute, tenths)| Reading {
                    at: Instant(minute * 60_000_000),
                    value: Decimal::tenths(tenths),
                })
                .collect();
            plan.judge(Measure::whole("oxygen-saturation", "%"), &readings).unwrap()
        };
        let (milder, graver) = (judged(value), judged(worse));
        prop_assert!(graver.zone >= milder.zone, "{milder:?} at {value}, {graver:?} at {worse}");
        prop_assert!(graver.waiting.is_none_or(|waiting| waiting > graver.zone));
    }
}

#[test]
fn a_limit_that_cannot_be_read_is_refused_with_its_place() {
    let good: Value = serde_json::from_slice(&plan_to_json(&story(1))).unwrap();
    let target = "/contained/0/target/1";
    for (pointer, new, place) in [
        ("/resourceType", json!("Goal"), "Goal"),
        (
            "/extension/0/valueCoding/code",
            json!("orange"),
            "CarePlan.contained[0].target[1].extension[0].valueCoding",
        ),
        (
            "/extension/1/extension/0/valuePositiveInt",
            json!(1),
            "CarePlan.contained[0].target[1].extension[1]",
        ),
        (
            "/extension/1/extension/1/valueDuration/code",
            json!("a"),
            "CarePlan.contained[0].target[1].extension[1]",
        ),
        (
            "/measure/coding",
            json!([{"system": "http://loinc.org", "code": "1"}]),
            "CarePlan.contained[0].target[1].measure",
        ),
        (
            "/detailRange",
            json!({}),
            "CarePlan.contained[0].target[1].detailRange",
        ),
        (
            "/detailRange/low/value",
            json!(88),
            "CarePlan.contained[0].target[1].detailRange",
        ),
        (
            "/detailRange/low/value",
            json!("85"),
            "CarePlan.contained[0].target[1].detailRange.low.value",
        ),
        (
            "/detailRange/high/code",
            json!("mm[Hg]"),
            "CarePlan.contained[0].target[1].detailRange.high.code",
        ),
    ] {
        let mut value = good.clone();
        let at = if pointer == "/resourceType" {
            pointer.to_owned()
        } else {
            format!("{target}{pointer}")
        };
        *value.pointer_mut(&at).unwrap() = new;
        let json = parse(value.to_string());
        let issues = PlanLimits::read(json.root()).unwrap_err();
        assert!(
            issues.iter().any(|i| i.expression == [place]),
            "{pointer}: {issues:#?}"
        );
    }
    // A goal that is no limit of ours is nobody's mistake.
    let mut value = good;
    value["contained"][0]["target"] =
        json!([{"measure": {"text": "tur"}, "detailString": "hver dag"}]);
    let plan = PlanLimits::read(parse(value.to_string()).root()).unwrap();
    assert!(plan.criteria.iter().all(|c| c.kind != "oxygen-saturation"));
}

/// What the guide for those who write plans says: its example, what its table says of it, and the words for what does not read.
#[test]
fn the_plan_of_the_guide_reads_and_says_what_the_guide_says() {
    let guide = include_str!("../../../../docs/guide/plan.md");
    let example = guide.split_once("```json\n").unwrap().1;
    let example = example.split_once("```").unwrap().0;
    let json = parse(example);
    let checked = check(&json, json.root(), &Rules::default()).unwrap();
    assert_eq!(checked.remarks(), []);
    let plan = PlanLimits::read(json.root()).unwrap();
    assert_eq!(
        (plan.standing.len(), plan.schedule.len(), plan.pauses.len()),
        (2, 2, 1)
    );
    assert_eq!(plan.news2, Some(Scale::Two));
    assert!(plan.missing.is_some() && plan.actions.len() == 1);

    let table = guide.split_once("| Kind | Part |").unwrap().1;
    let mut rows = 0;
    for row in table.lines().skip(2).take_while(|row| row.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [kind, part, readings, zone] = cells[..] else {
            panic!("{row}")
        };
        let of = plan.criteria.iter().map(Criterion::measure);
        let is = |of: &Measure<'_>| of.kind == kind && of.part.unwrap_or_default() == part;
        let of = of.clone().find(is).unwrap_or_else(|| panic!("{row}"));
        let readings: Vec<Reading> = readings
            .split(", ")
            .zip(0..)
            .map(|(value, n)| Reading {
                at: Instant(n * 600_000_000),
                value: decimal(value),
            })
            .collect();
        let judged = plan.judge(of, &readings).unwrap();
        assert_eq!(judged.zone.code(), zone, "{row}");
        rows += 1;
    }
    assert_eq!(rows, 11);

    let told = guide.split_once("| Wrong | Words |").unwrap().1;
    let words: Vec<&str> = told
        .lines()
        .skip(2)
        .map(|row| row.trim_matches('|').split_once('|').unwrap().1.trim())
        .collect();
    let spo2 = "/contained/0/target";
    let loinc = |code: &str| json!([{"system": systems::LOINC, "code": code}]);
    let wrong = [
        (format!("{spo2}/0/detailRange"), Value::Null),
        (
            "/contained/1/target/0/measure/coding".into(),
            loinc("85354-9"),
        ),
        (format!("{spo2}/0/detailRange/low/code"), json!("kPa")),
        (
            format!("{spo2}/0/extension/0/valueCoding/code"),
            json!("orange"),
        ),
        (
            format!("{spo2}/1/extension/1/extension/0/valuePositiveInt"),
            json!(1),
        ),
        (
            "/contained/2/target/0/detailRange".into(),
            json!({"low": {"value": 24, "system": systems::UCUM, "code": "{score}"}}),
        ),
        (format!("{spo2}/0/measure/coding"), loinc("1234-5")),
    ];
    assert_eq!(words.len(), wrong.len());
    for ((place, value), words) in wrong.iter().zip(words) {
        let mut bent: Value = serde_json::from_str(example).unwrap();
        let (owner, member) = place.rsplit_once('/').unwrap();
        match (bent.pointer_mut(owner).unwrap(), value) {
            (Value::Object(owner), Value::Null) => drop(owner.remove(member)),
            (owner, value) => owner[member] = value.clone(),
        }
        let bent = parse(bent.to_string());
        // The plan is taken, and its sender hears what does not read, where, and what follows.
        let checked = check(&bent, bent.root(), &Rules::default()).unwrap();
        let [remark] = checked.remarks() else {
            panic!("{place}: {:?}", checked.remarks())
        };
        assert_eq!(remark.severity, crate::outcome::Severity::Warning);
        assert!(remark.diagnostics.contains(words), "{words}: {remark:?}");
        assert!(
            remark
                .diagnostics
                .ends_with("until it reads, nothing is judged by this plan")
        );
        assert!(
            remark.expression[0].starts_with("CarePlan.contained["),
            "{remark:?}"
        );
    }
}
