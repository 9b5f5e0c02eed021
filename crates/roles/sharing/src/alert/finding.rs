//! Which results of an assessment raise an alert. Pure.
//!
//! A result raises one where it says more than was said of its reading before (yellow, red, a NEWS2 that is not low) and its
//! reading is the newest of its curve, also where it comes late: it is still the last that is known of her, and the work list
//! says so. A backlog behind a newer reading raises nothing, and neither does hearing of the same readings twice, nor what is
//! older than the work list reaches. What is said to be measured after now hides nothing and is hidden by nothing.

use super::task::Topic;
use crate::assess::{Reading, is_part};
use fhir::plan::{ZONES, Zone};
use fhir::systems::ASSESSMENT;
use fhir::time::Instant;
use serde_json::{Value, json};

/// How old a reading may be that raises an alert, in microseconds: what the work list looks at, a week.
pub const FRESH: i64 = crate::work_list::WEEK;

/// Something to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// How grave; `None` has no colour.
    pub zone: Option<Zone>,
    /// VKP's code of it.
    pub code: &'static str,
    /// What it rests on: references with version, or what was expected and is not here.
    pub evidence: Vec<Value>,
}

/// How grave a result is; `None` where it raises nothing: green, low, waiting for a further reading, taken back.
///
/// A NEWS2 of 5 or more is the threshold of an urgent response (Royal College of Physicians, NEWS2, 2017) and counts as red.
pub fn gravity(result: &Value) -> Option<Zone> {
    if result["status"] == "entered-in-error" {
        return None;
    }
    let code = |concept: &Value, system: &str| {
        let codings = concept["coding"].as_array()?;
        let found = codings.iter().find(|one| one["system"] == system)?;
        found["code"].as_str().map(str::to_owned)
    };
    match code(&result["code"], ASSESSMENT)?.as_str() {
        "zone" => Zone::parse(&code(&result["valueCodeableConcept"], ZONES)?)
            .filter(|zone| *zone > Zone::Green),
        "news2" => match code(&result["interpretation"][0], ASSESSMENT)?.as_str() {
            "low-medium" => Some(Zone::Yellow),
            "medium" | "high" => Some(Zone::Red),
            _ => None,
        },
        _ => None,
    }
}

/// A result that says more than was said before.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The result's name: `zone/{reading}`, `news2/{organisation}/{instant}`.
    pub name: String,
    /// The moment it is about.
    pub at: Instant,
    /// How grave.
    pub zone: Zone,
    /// The result with its version, then the readings it was made of.
    pub evidence: Vec<Value>,
}

impl Candidate {
    /// Of a result, which rests as `reference`.
    pub fn of(name: String, at: Instant, zone: Zone, reference: &str, result: &Value) -> Candidate {
        let own = json!({"reference": reference});
        let inputs = result["derivedFrom"].as_array();
        let evidence = std::iter::once(own).chain(inputs.into_iter().flatten().cloned());
        Candidate {
            name,
            at,
            zone,
            evidence: evidence.collect(),
        }
    }
}

/// Whether it is about the last week.
pub fn fresh(at: Instant, now: Instant) -> bool {
    at.0 >= now.0.saturating_sub(FRESH)
}

/// Those candidates that are about now, as findings. `recent` holds what was measured in the last week; where
/// that is too much, at least in the time after the oldest that may count: one whose reading is not in it raises nothing. Only what
/// `hides` says so of hides what is older: a reading that is not wholly judged hides nothing.
pub fn current(
    candidates: Vec<Candidate>,
    recent: &[Reading],
    hides: impl Fn(&Reading) -> bool,
    now: Instant,
) -> Vec<Finding> {
    let newest = |one: &Candidate| {
        let mut later = recent
            .iter()
            .filter(|other| other.at > one.at && other.at <= now && hides(other));
        match one.name.strip_prefix("zone/") {
            Some(id) => {
                let mut own = recent.iter().filter(|other| other.id.to_string() == id);
                let curve = own.next().map(Reading::curve);
                curve.is_some() && !later.any(|other| Some(other.curve()) == curve)
            }
            None => !later.any(is_part),
        }
    };
    let finding = |one: Candidate| Finding {
        topic: Topic::Readings,
        zone: Some(one.zone),
        code: if one.name.starts_with("zone/") {
            "5.2.1"
        } else {
            "5.1"
        },
        evidence: one.evidence,
    };
    candidates
        .into_iter()
        .filter(|one| fresh(one.at, now) && newest(one))
        .map(finding)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::assess::Value as Measured;
    use fhir::ids::LogicalId;
    use fhir::measurement::Decimal;
    use uuid::Uuid;

    const NOW: Instant = Instant(1_795_251_600_000_000);
    const MINUTE: i64 = 60_000_000;

    fn id(n: u128) -> LogicalId {
        LogicalId::from(Uuid::from_u128(n))
    }

    fn reading(n: u128, minutes_ago: i64, kind: &'static str) -> Reading {
        let unit = if kind == "oxygen-saturation" {
            "%"
        } else {
            "/min"
        };
        Reading {
            resource: fhir::resource::ResourceType::OBSERVATION,
            id: id(n),
            version: 1,
            at: NOW.plus_micros(-minutes_ago * MINUTE),
            kind,
            value: Measured::Number(Decimal::tenths(870), unit.into()),
            breathed: None,
        }
    }

    fn zone(n: u128, minutes_ago: i64) -> Candidate {
        Candidate {
            name: format!("zone/{}", id(n)),
            at: NOW.plus_micros(-minutes_ago * MINUTE),
            zone: Zone::Yellow,
            evidence: Vec::new(),
        }
    }

    fn score(minutes_ago: i64) -> Candidate {
        Candidate {
            name: "news2/310001007/x".into(),
            ..zone(0, minutes_ago)
        }
    }

    #[test]
    fn the_newest_of_its_curve_and_of_the_last_week() {
        let (spo2, pulse, weight) = ("oxygen-saturation", "pulse", "body-weight");
        let (day, week) = (24 * 60, 7 * 24 * 60);
        for (what, candidate, recent, expected) in [
            ("alone", zone(1, 10), vec![reading(1, 10, spo2)], true),
            ("a day old", zone(1, day), vec![reading(1, day, spo2)], true),
            // The phone was off, or the service: it is the last that is known of her.
            (
                "late, and still her newest",
                zone(1, day + 60),
                vec![reading(1, day + 60, spo2)],
                true,
            ),
            (
                "late, behind a newer one",
                zone(1, day + 60),
                vec![reading(1, day + 60, spo2), reading(2, 30, spo2)],
                false,
            ),
            (
                "a week old",
                zone(1, week),
                vec![reading(1, week, spo2)],
                true,
            ),
            (
                "older",
                zone(1, week + 1),
                vec![reading(1, week + 1, spo2)],
                false,
            ),
            (
                "a newer one",
                zone(1, 10),
                vec![reading(1, 10, spo2), reading(2, 9, spo2)],
                false,
            ),
            (
                "a newer one of another curve",
                zone(1, 10),
                vec![reading(1, 10, spo2), reading(2, 9, pulse)],
                true,
            ),
            (
                "pulse and heart rate are one curve",
                zone(1, 10),
                vec![reading(1, 10, pulse), reading(2, 9, "heart-rate")],
                false,
            ),
            (
                "one from the future hides nothing",
                zone(1, 10),
                vec![reading(1, 10, spo2), reading(2, -60, spo2)],
                true,
            ),
            (
                "and is not hidden",
                zone(2, -60),
                vec![reading(1, 10, spo2), reading(2, -60, spo2)],
                true,
            ),
            ("its reading is gone", zone(1, 10), vec![], false),
            ("a score", score(10), vec![reading(1, 10, spo2)], true),
            (
                "a late score, of her newest parts",
                score(day + 60),
                vec![reading(1, day + 60, spo2)],
                true,
            ),
            (
                "a score and a newer part",
                score(10),
                vec![reading(1, 10, spo2), reading(2, 9, pulse)],
                false,
            ),
            (
                "a score and what is no part of it",
                score(10),
                vec![reading(1, 10, spo2), reading(2, 9, weight)],
                true,
            ),
        ] {
            let found = current(vec![candidate], &recent, |_| true, NOW);
            assert_eq!(!found.is_empty(), expected, "{what}");
        }
    }

    #[test]
    fn what_each_result_weighs() {
        let zoned = |code: &str, status: &str| {
            json!({
                "status": status,
                "code": {"coding": [{"system": ASSESSMENT, "code": "zone"}]},
                "valueCodeableConcept": {"coding": [{"system": ZONES, "code": code}]},
                "component": [{"code": {"coding": [{"system": ASSESSMENT, "code": "waiting"}]},
                    "valueCodeableConcept": {"coding": [{"system": ZONES, "code": "red"}]}}],
            })
        };
        let scored = |band: &str| {
            json!({
                "status": "final",
                "code": {"coding": [{"system": "http://snomed.info/sct", "code": "1104051000000101"}, {"system": ASSESSMENT, "code": "news2"}]},
                "interpretation": [{"coding": [{"system": ASSESSMENT, "code": band}]}],
            })
        };
        for (result, expected) in [
            (zoned("green", "final"), None),
            (zoned("yellow", "final"), Some(Zone::Yellow)),
            (zoned("red", "amended"), Some(Zone::Red)),
            (zoned("red", "entered-in-error"), None),
            (scored("low"), None),
            (scored("low-medium"), Some(Zone::Yellow)),
            (scored("medium"), Some(Zone::Red)),
            (scored("high"), Some(Zone::Red)),
            (json!({"code": {"text": "x"}}), None),
        ] {
            assert_eq!(gravity(&result), expected, "{result}");
        }
    }
}
