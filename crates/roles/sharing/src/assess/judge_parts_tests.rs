//! What a reading has besides its number: the parts of a blood pressure, and what she breathed.

use super::*;

fn breathing(n: u128, minutes: i64, value: &str, breathed: Breathed) -> Reading {
    Reading {
        breathed: Some(breathed),
        ..reading(n, minutes, "oxygen-saturation", value)
    }
}

#[test]
fn oxygen_that_a_saturation_names_is_a_part_of_the_score_and_what_contradicts_itself_is_none() {
    use Breathed::{Air, Oxygen, Unclear};
    let mut silent = plan(1, (0, 10_000), "84", "85");
    silent.limits.standing.clear();
    let air = plan(1, (0, 10_000), "84", "85");
    let day = 24 * 60;
    for (what, plan, readings, points, standing, inputs) in [
        (
            "on oxygen",
            &silent,
            vec![breathing(1, 500, "86", Oxygen)],
            Some(2),
            Standing::No,
            1,
        ),
        (
            "on air",
            &silent,
            vec![breathing(1, 500, "86", Air)],
            Some(0),
            Standing::No,
            1,
        ),
        (
            "nothing is said",
            &silent,
            vec![reading(1, 500, "oxygen-saturation", "86")],
            None,
            Standing::No,
            1,
        ),
        (
            "by the plan",
            &air,
            vec![reading(1, 500, "oxygen-saturation", "86")],
            Some(0),
            Standing::Taken,
            1,
        ),
        (
            "against the plan",
            &air,
            vec![breathing(1, 500, "86", Oxygen)],
            Some(2),
            Standing::No,
            1,
        ),
        (
            "contradicts itself",
            &air,
            vec![breathing(1, 500, "86", Unclear)],
            None,
            Standing::Unclear,
            1,
        ),
        (
            "a newer word counts",
            &air,
            vec![
                breathing(1, 500, "86", Unclear),
                reading(2, 510, "oxygen-flow", "2"),
            ],
            Some(2),
            Standing::No,
            2,
        ),
        (
            "two words of one moment",
            &air,
            vec![
                breathing(1, 500, "86", Air),
                reading(2, 500, "oxygen-flow", "2"),
            ],
            None,
            Standing::Unclear,
            2,
        ),
        (
            "an old word speaks against the plan",
            &air,
            vec![
                breathing(1, 500, "86", Oxygen),
                reading(2, 600, "oxygen-saturation", "86"),
            ],
            None,
            Standing::Contradicted,
            2,
        ),
        (
            "for a day",
            &air,
            vec![
                breathing(1, 500, "86", Oxygen),
                reading(2, 501 + day, "oxygen-saturation", "86"),
            ],
            Some(0),
            Standing::Taken,
            1,
        ),
    ] {
        let plans = [plan.clone()];
        let found = scores(&readings, &plans, all(), HOUR);
        let last = found.last().unwrap();
        let air = last.score.points(Part::AirOrOxygen);
        assert_eq!((air, last.standing), (points, standing), "{what}");
        assert_eq!(last.inputs.len(), inputs, "{what}");
    }
}

#[test]
fn limits_for_room_air_call_nothing_well_that_was_measured_on_oxygen() {
    use Breathed::{Air, Oxygen, Unclear};
    let plans = [plan(1, (0, 10_000), "84", "85")];
    let mut silent = plans.clone();
    silent[0].limits.standing.clear();
    let flow = |minutes| reading(2, minutes, "oxygen-flow", "2");
    for (what, plans, readings, zone, known) in [
        (
            "on air",
            &plans,
            vec![breathing(1, 500, "92", Air)],
            Some(PlanZone::Green),
            true,
        ),
        (
            "on oxygen",
            &plans,
            vec![breathing(1, 500, "92", Oxygen)],
            None,
            false,
        ),
        (
            "nobody knows",
            &plans,
            vec![breathing(1, 500, "92", Unclear)],
            None,
            false,
        ),
        (
            "red is red",
            &plans,
            vec![breathing(1, 500, "84", Oxygen)],
            Some(PlanZone::Red),
            false,
        ),
        (
            "a flow of that day",
            &plans,
            vec![flow(100), reading(1, 500, "oxygen-saturation", "92")],
            None,
            false,
        ),
        (
            "a flow after it",
            &plans,
            vec![reading(1, 500, "oxygen-saturation", "92"), flow(501)],
            Some(PlanZone::Green),
            true,
        ),
        (
            "limits that are for nothing in particular",
            &silent,
            vec![breathing(1, 500, "92", Oxygen)],
            Some(PlanZone::Green),
            true,
        ),
    ] {
        let found = zones(&readings, plans, all());
        let [zoned] = &found[..] else {
            panic!("{what}: {found:?}")
        };
        assert_eq!(zoned.zone(), zone, "{what}");
        let by_time = ordered(readings.iter());
        let escapes = escapes_limits(plans, zoned.reading, &by_time);
        assert_eq!(escapes, !known, "{what}");
        assert_eq!(
            zoned.inputs.len(),
            1 + usize::from(zoned.reading.breathed.is_none() && !known),
            "{what}"
        );
    }
}

/// Systolic yellow from 160 when it comes twice within 20 minutes, red from 180; diastolic yellow from 100.
fn plan_of_pressure() -> Plan {
    let of = |part: &str, zone, low: &str| Criterion {
        kind: "blood-pressure".into(),
        part: Some(part.into()),
        unit: "mm[Hg]".into(),
        repeated: (part == "systolic" && zone == PlanZone::Yellow).then_some(Repeated {
            count: 2,
            within_minutes: 20,
        }),
        ..band(zone, Some(low), None)
    };
    let mut plan = plan(1, (0, 1_000), "84", "85");
    plan.limits.criteria.extend([
        of("systolic", PlanZone::Yellow, "160"),
        of("systolic", PlanZone::Red, "180"),
        of("diastolic", PlanZone::Yellow, "100"),
    ]);
    plan
}

#[test]
fn of_a_blood_pressure_the_gravest_part_counts_and_a_missing_part_is_never_well() {
    use PlanZone::{Green, Red, Yellow};
    let plans = [plan_of_pressure()];
    for (parts, zone, waiting, missing) in [
        (
            &[("systolic", "159"), ("diastolic", "99")][..],
            Some(Green),
            None,
            None,
        ),
        (
            &[("systolic", "159"), ("diastolic", "100")],
            Some(Yellow),
            None,
            None,
        ),
        (
            &[("systolic", "160"), ("diastolic", "99")],
            Some(Green),
            Some(Yellow),
            None,
        ),
        (
            &[("systolic", "160"), ("diastolic", "100")],
            Some(Yellow),
            None,
            None,
        ),
        (
            &[("systolic", "179"), ("diastolic", "99")],
            Some(Green),
            Some(Yellow),
            None,
        ),
        (
            &[("systolic", "180"), ("diastolic", "99")],
            Some(Red),
            None,
            None,
        ),
        (&[("systolic", "159")], None, None, Some("diastolic")),
        (
            &[("systolic", "160")],
            None,
            Some(Yellow),
            Some("diastolic"),
        ),
        (&[("systolic", "180")], Some(Red), None, Some("diastolic")),
        (&[("diastolic", "99")], None, None, Some("systolic")),
        (
            &[("diastolic", "100"), ("mean", "120")],
            Some(Yellow),
            None,
            Some("systolic"),
        ),
    ] {
        let readings = [Reading {
            value: pressure(parts),
            ..reading(1, 500, "blood-pressure", "0")
        }];
        let found = zones(&readings, &plans, all());
        let [zoned] = &found[..] else {
            panic!("{parts:?}: {found:?}")
        };
        assert_eq!(
            (zoned.zone(), zoned.waiting()),
            (zone, waiting),
            "{parts:?}"
        );
        let mut without = zoned.parts.iter().filter(|one| one.said.is_none());
        assert_eq!(
            without.next().and_then(|one| one.part),
            missing,
            "{parts:?}"
        );
        assert_eq!(
            escapes_limits(&plans, &readings[0], &[]),
            missing.is_some(),
            "{parts:?}"
        );
        assert!(is_limited(&plans, &readings[0]), "{parts:?}");
    }
    // Nothing of it is limited, and in a unit that the plan does not know.
    for value in [
        pressure(&[("mean", "120")]),
        Value::Parts(vec![("systolic", decimal("20"), "kPa".into())]),
    ] {
        let alone = [Reading {
            value,
            ..reading(1, 500, "blood-pressure", "0")
        }];
        assert!(zones(&alone, &plans, all()).is_empty());
        assert!(escapes_limits(&plans, &alone[0], &[]));
    }
}

#[test]
fn a_part_is_repeated_by_itself() {
    let plans = [plan_of_pressure()];
    let of = |n, minutes, systolic, diastolic| Reading {
        value: pressure(&[("systolic", systolic), ("diastolic", diastolic)]),
        ..reading(n, minutes, "blood-pressure", "0")
    };
    let readings = [
        of(1, 500, "165", "120"),
        of(2, 515, "150", "80"),
        of(3, 519, "165", "80"),
    ];
    let found = zones(&readings, &plans, all());
    // What was yellow by its other part does not count towards the systolic part; the first and the third do.
    assert_eq!(
        judged(&found),
        [
            (1, PlanZone::Yellow, None),
            (2, PlanZone::Green, None),
            (3, PlanZone::Yellow, None),
        ]
    );
    assert_eq!(found[2].inputs.len(), 3);
    let apart = [of(1, 500, "165", "120"), of(3, 521, "165", "80")];
    let found = zones(&apart, &plans, all());
    assert_eq!(
        judged(&found)[1],
        (3, PlanZone::Green, Some(PlanZone::Yellow))
    );
}
