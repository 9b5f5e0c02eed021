//! What a patient's readings of a week and what was made of them say to a list. Pure: the readings, the results and the moment are
//! arguments. Readings that are said to be measured after now are left out: a clock was wrong.

use crate::assess::{Held, Reading};
use fhir::ids::LogicalId;
use fhir::measurement;
use fhir::plan::{ZONES, Zone};
use fhir::resource::ResourceType;
use fhir::systems::ASSESSMENT;
use fhir::time::Instant;
use serde_json::Value;
use std::collections::BTreeMap;
use wire::contract::work_list::{Score, Trend};

const HOUR: i64 = 60 * 60_000_000;
/// What counts as now, up to the newest that was judged, in microseconds.
const NOW: i64 = 24 * HOUR;
/// What it is compared with: the three days before.
const BEFORE: i64 = 4 * 24 * HOUR;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The gravest zone among the newest reading of each kind.
    pub zone: Option<Zone>,
    /// The score that counts: [`score_that_counts`].
    pub news2: Option<Score>,
    /// The last day compared with the three before.
    pub trend: Trend,
    /// When the newest reading was measured.
    pub newest: Option<Instant>,
    /// Whether a result does not read, or the newest of a curve that her plan limits is not wholly judged (it waits, was given up, lacks
    /// a part, or is in a unit that the plan has no limits in): this is not all that her readings mean.
    pub unread: bool,
    /// The resources that it was taken from, each with its version.
    pub from: Vec<(ResourceType, LogicalId, u64)>,
}

/// A result that holds, read.
struct Outcome<'a> {
    held: &'a Held,
    json: Value,
}

fn code<'a>(concept: &'a Value, system: &str) -> Option<&'a str> {
    let codings = concept["coding"].as_array()?;
    let found = codings.iter().find(|one| one["system"] == system)?;
    found["code"].as_str()
}

impl Outcome<'_> {
    fn zone(&self) -> Option<Zone> {
        Zone::parse(code(&self.json["valueCodeableConcept"], ZONES)?)
    }

    /// Whether something that the plan limits was not measured.
    fn is_partial(&self) -> bool {
        let mut components = self.json["component"].as_array().into_iter().flatten();
        components.any(|one| !one["dataAbsentReason"].is_null())
    }

    fn is(&self, what: &str) -> bool {
        code(&self.json["code"], ASSESSMENT) == Some(what)
    }

    /// The points of a score and the parts that were not measured.
    fn score(&self) -> Option<Score> {
        let kind = measurement::by_id("news2")?;
        let (mut points, mut missing) = (0_u64, Vec::new());
        for component in self.json["component"].as_array()? {
            match component["valueQuantity"]["value"].as_u64() {
                Some(value) => points += value,
                None => {
                    let codings = component["code"]["coding"].as_array()?;
                    let pairs = codings
                        .iter()
                        .filter_map(|one| Some((one["system"].as_str()?, one["code"].as_str()?)));
                    missing.push(kind.component(pairs)?.id.clone());
                }
            }
        }
        Some(Score {
            points: u8::try_from(points).ok()?,
            missing,
            at: self.held.at,
        })
    }
}

/// The facts as of `now`. `limited`: whether her plan has limits for a reading's curve.
pub fn facts(
    readings: &[Reading],
    held: &[Held],
    limited: impl Fn(&Reading) -> bool,
    now: Instant,
) -> Facts {
    let mut results = Vec::with_capacity(held.len());
    let mut unread = false;
    for one in held.iter().filter(|one| one.at <= now) {
        match serde_json::from_slice::<Value>(&one.body) {
            Ok(json) if json["status"] == "entered-in-error" => {}
            Ok(json) => results.push(Outcome { held: one, json }),
            Err(_) => unread = true,
        }
    }
    let by_name: BTreeMap<&str, &Outcome<'_>> = results
        .iter()
        .map(|one| (one.held.name.as_str(), one))
        .collect();
    let mut curves: BTreeMap<&str, &Reading> = BTreeMap::new();
    for reading in readings.iter().filter(|one| one.at <= now) {
        let newest = curves.entry(reading.curve()).or_insert(reading);
        if (reading.at, reading.id) > (newest.at, newest.id) {
            *newest = reading;
        }
    }
    let outcome = |reading: &Reading| {
        let result = by_name.get(format!("zone/{}", reading.id).as_str())?;
        Some((result.zone()?, result.held, result.is_partial()))
    };
    let mut judged = Vec::new();
    for (curve, newest) in &curves {
        let found = outcome(newest);
        judged.extend(found);
        if limited(newest) && found.is_none_or(|(.., partial)| partial) {
            // What was known before still stands, and nobody has said that it is well.
            unread = true;
            let mut own: Vec<_> = readings
                .iter()
                .filter(|one| one.at <= now && one.curve() == *curve)
                .collect();
            own.sort_unstable_by_key(|one| (one.at, one.id));
            for outcome in own.into_iter().rev().filter_map(outcome) {
                judged.push(outcome);
                let (.., partial) = outcome;
                if !partial {
                    break;
                }
            }
        }
    }
    let score = score_that_counts(&results, now);
    let newest = curves.values().max_by_key(|one| (one.at, one.id));
    let mut from: Vec<_> = judged
        .iter()
        .map(|(_, held, _)| *held)
        .chain(score.iter().map(|(held, _)| *held))
        .map(|held| (ResourceType::OBSERVATION, held.id, held.version))
        .chain(newest.map(|one| (one.resource, one.id, one.version)))
        .collect();
    from.sort_unstable();
    from.dedup();
    Facts {
        zone: judged.iter().map(|(zone, ..)| *zone).max(),
        news2: score.map(|(_, score)| score),
        trend: trend(&results),
        newest: newest.map(|one| one.at),
        unread,
        from,
    }
}

/// Of the last day, the newest whole score, or a partial one since that has more points already: single readings after a whole
/// score must not hide it. Where there is none of the last day, the newest there is, which orders nothing.
fn score_that_counts<'a>(results: &'a [Outcome<'_>], now: Instant) -> Option<(&'a Held, Score)> {
    let scores = results.iter().filter(|one| one.is("news2"));
    let mut scores: Vec<_> = scores
        .filter_map(|one| Some((one.held, one.score()?)))
        .collect();
    scores.sort_by_key(|(held, _)| (held.at, held.id));
    let of_day = scores.iter().rev();
    let mut of_day = of_day
        .take_while(|(held, _)| orders(held.at, now))
        .peekable();
    let newest = of_day.peek().copied();
    let partial = newest.filter(|(_, score)| !score.missing.is_empty());
    let whole = of_day.find(|(_, score)| score.missing.is_empty());
    // Of two alike, the whole one says more.
    let counts = whole
        .into_iter()
        .chain(partial)
        .reduce(|a, b| if b.1.points > a.1.points { b } else { a });
    counts.or(newest).or(scores.last()).cloned()
}

/// Whether a score of this moment orders the list now: it is of the last day.
pub fn orders(at: Instant, now: Instant) -> bool {
    now.0.saturating_sub(at.0) < NOW
}

/// The gravest of the last day with results against the gravest of the three days before it: by zone, and between equal zones by whole
/// scores. Partial scores are not compared: they may lack other parts.
fn trend(results: &[Outcome<'_>]) -> Trend {
    let zones: Vec<_> = results
        .iter()
        .filter(|one| one.is("zone"))
        .filter_map(|one| Some((one.held.at, one.zone()?)))
        .collect();
    let Some(newest) = zones.iter().map(|(at, _)| *at).max() else {
        return Trend::Unknown;
    };
    let now = |at: Instant| newest.0 - at.0 < NOW;
    let before = |at: Instant| (NOW..BEFORE).contains(&(newest.0 - at.0));
    let zone = |when: &dyn Fn(Instant) -> bool| {
        let within = zones.iter().filter(|(at, _)| when(*at));
        within.map(|(_, zone)| *zone).max()
    };
    let points = |when: &dyn Fn(Instant) -> bool| {
        let within = results
            .iter()
            .filter(|one| one.is("news2") && when(one.held.at));
        let whole = within.filter_map(Outcome::score);
        whole
            .filter(|score| score.missing.is_empty())
            .map(|score| score.points)
            .max()
    };
    let (Some(today), Some(earlier)) = (zone(&now), zone(&before)) else {
        return Trend::Unknown;
    };
    let by_score = match (points(&now), points(&before)) {
        (Some(today), Some(earlier)) => today.cmp(&earlier),
        _ => std::cmp::Ordering::Equal,
    };
    match today.cmp(&earlier).then(by_score) {
        std::cmp::Ordering::Greater => Trend::Worse,
        std::cmp::Ordering::Equal => Trend::Same,
        std::cmp::Ordering::Less => Trend::Better,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::assess::Value as Measured;
    use fhir::measurement::Decimal;
    use serde_json::json;
    use uuid::Uuid;

    const AT: Instant = Instant(1_795_251_600_000_000);

    fn id(n: u128) -> LogicalId {
        LogicalId::from(Uuid::from_u128(n))
    }

    fn reading(n: u128, hours_ago: i64, kind: &'static str) -> Reading {
        Reading {
            resource: fhir::resource::ResourceType::OBSERVATION,
            id: id(n),
            version: 1,
            at: AT.plus_micros(-hours_ago * HOUR),
            kind,
            breathed: None,
            value: Measured::Number(Decimal::tenths(870), "%".into()),
        }
    }

    fn held(n: u128, hours_ago: i64, name: String, json: &Value) -> Held {
        Held {
            id: id(n),
            version: 2,
            name,
            at: AT.plus_micros(-hours_ago * HOUR),
            body: json.to_string().into(),
        }
    }

    fn zone(of: u128, hours_ago: i64, zone: &str) -> Held {
        let json = json!({
            "status": "final",
            "code": {"coding": [{"system": ASSESSMENT, "code": "zone"}]},
            "valueCodeableConcept": {"coding": [{"system": ZONES, "code": zone}]},
        });
        held(100 + of, hours_ago, format!("zone/{}", id(of)), &json)
    }

    fn score(n: u128, hours_ago: i64, parts: &[Option<u8>]) -> Held {
        let kind = measurement::by_id("news2").unwrap();
        let components = kind.components.iter().zip(parts).map(|(part, points)| {
            let (system, code) = part.codings().next().unwrap();
            let code = json!({"coding": [{"system": system, "code": code}]});
            match points {
                Some(points) => json!({"code": code, "valueQuantity": {"value": points}}),
                None => json!({"code": code, "dataAbsentReason": {"text": "Ikke målt"}}),
            }
        });
        let json = json!({
            "status": "final",
            "code": {"coding": [{"system": ASSESSMENT, "code": "news2"}]},
            "component": components.collect::<Vec<_>>(),
        });
        held(n, hours_ago, format!("news2/310001007/{n}"), &json)
    }

    /// Of a patient whose plan has no limits.
    fn unlimited(readings: &[Reading], held: &[Held]) -> Facts {
        facts(readings, held, |_| false, AT)
    }

    /// In line still, or given up, or in a unit that the plan knows nothing of.
    #[test]
    fn the_newest_that_is_not_judged_does_not_make_the_row_green() {
        let (spo2, pulse) = ("oxygen-saturation", "pulse");
        let readings = [
            reading(1, 30, spo2),
            reading(2, 9, spo2),
            reading(3, 2, spo2),
            reading(4, 1, pulse),
            reading(5, 0, "heart-rate"),
        ];
        let results = [zone(1, 30, "green"), zone(2, 9, "red"), zone(4, 1, "green")];
        let of_spo2 = |one: &Reading| one.kind == spo2;
        let found = facts(&readings, &results, of_spo2, AT);
        assert_eq!((found.zone, found.unread), (Some(Zone::Red), true));
        assert!(
            found
                .from
                .contains(&(ResourceType::OBSERVATION, id(102), 2)),
            "{:?}",
            found.from
        );
        // Judged, it says what it says; and what the plan does not limit is not waited for.
        let mut judged = results.to_vec();
        judged.push(zone(3, 2, "green"));
        let found = facts(&readings, &judged, of_spo2, AT);
        assert_eq!((found.zone, found.unread), (Some(Zone::Green), false));
        // Nothing of the curve was ever judged.
        let found = facts(&readings[..1], &[], of_spo2, AT);
        assert_eq!((found.zone, found.unread), (None, true));
    }

    #[test]
    fn single_readings_after_a_whole_score_do_not_hide_it_and_an_old_one_orders_nothing() {
        let whole = |n, hours, points| score(n, hours, &[Some(points)]);
        let partial = |n, hours, points| score(n, hours, &[Some(points), None]);
        for (what, results, expected) in [
            ("alone", vec![partial(1, 1, 2)], Some((2, 1))),
            (
                "pulse alone after 7",
                vec![whole(1, 2, 7), partial(2, 1, 2)],
                Some((7, 0)),
            ),
            (
                "more already",
                vec![whole(1, 2, 2), partial(2, 1, 5)],
                Some((5, 1)),
            ),
            (
                "as much",
                vec![whole(1, 2, 5), partial(2, 1, 5)],
                Some((5, 0)),
            ),
            (
                "a whole one since",
                vec![partial(1, 2, 5), whole(2, 1, 3)],
                Some((3, 0)),
            ),
            (
                "the newest whole one",
                vec![whole(1, 2, 7), whole(2, 1, 3)],
                Some((3, 0)),
            ),
            (
                "the newest partial one",
                vec![partial(1, 2, 7), partial(2, 1, 3)],
                Some((3, 1)),
            ),
            (
                "whole a day ago",
                vec![whole(1, 24, 7), partial(2, 1, 2)],
                Some((2, 1)),
            ),
            ("six days ago", vec![whole(1, 144, 7)], Some((7, 0))),
            ("none", vec![], None),
        ] {
            let found = unlimited(&[], &results).news2;
            let found = found.map(|one| (one.points, one.missing.len()));
            assert_eq!(found, expected, "{what}");
        }
        assert!(
            orders(AT.plus_micros(1 - 24 * HOUR), AT) && !orders(AT.plus_micros(-24 * HOUR), AT)
        );
    }

    #[test]
    fn the_gravest_of_the_newest_of_each_kind_counts() {
        let (spo2, pulse) = ("oxygen-saturation", "pulse");
        let readings = [
            reading(1, 30, spo2),
            reading(2, 2, spo2),
            reading(3, 20, pulse),
            reading(4, -1, pulse),
        ];
        let results = [
            zone(1, 30, "red"),
            zone(2, 2, "green"),
            zone(3, 20, "yellow"),
            zone(4, -1, "red"),
        ];
        let found = unlimited(&readings, &results);
        assert_eq!(
            found.zone,
            Some(Zone::Yellow),
            "the red one is not the newest"
        );
        assert_eq!(found.newest, Some(AT.plus_micros(-2 * HOUR)));
        let from = [(2, 1), (102, 2), (103, 2)];
        let from = from.map(|(n, version)| (ResourceType::OBSERVATION, id(n), version));
        assert_eq!(found.from, from);
        assert_eq!(unlimited(&readings, &[]).zone, None);
        let nothing = unlimited(&[], &[]);
        assert_eq!((nothing.newest, nothing.trend), (None, Trend::Unknown));
    }

    #[test]
    fn what_was_taken_back_says_nothing_and_what_does_not_read_is_told() {
        let mut gone = zone(1, 2, "red");
        let text = String::from_utf8(gone.body.to_vec()).unwrap();
        gone.body = text.replace("final", "entered-in-error").into();
        let readings = [reading(1, 2, "pulse")];
        assert_eq!(unlimited(&readings, &[gone.clone()]).zone, None);
        gone.body = "{".into();
        let found = unlimited(&readings, &[gone, zone(2, 1, "yellow")]);
        assert!(found.unread);
        assert_eq!(
            found.newest,
            Some(AT.plus_micros(-2 * HOUR)),
            "the rest is told"
        );
    }

    #[test]
    fn a_partial_score_has_points_so_far_and_names_what_is_missing() {
        let parts = [Some(3), None, Some(1), Some(0)];
        let found = unlimited(&[], &[score(1, 30, &[Some(9)]), score(2, 1, &parts)]);
        let score = found.news2.unwrap();
        let kind = measurement::by_id("news2").unwrap();
        assert_eq!(score.points, 4);
        assert_eq!(score.missing, [kind.components[1].id.clone()]);
    }

    #[test]
    fn the_last_day_against_the_three_before() {
        let day = 24;
        for (what, results, expected) in [
            ("nothing before", vec![zone(1, 0, "red")], Trend::Unknown),
            (
                "worse",
                vec![zone(1, 0, "yellow"), zone(2, day, "green")],
                Trend::Worse,
            ),
            (
                "the same day",
                vec![zone(1, 0, "yellow"), zone(2, day - 1, "green")],
                Trend::Unknown,
            ),
            (
                "three days and a bit before the last",
                vec![zone(1, 0, "yellow"), zone(2, 4 * day - 1, "green")],
                Trend::Worse,
            ),
            (
                "longer ago",
                vec![zone(1, 0, "yellow"), zone(2, 4 * day, "green")],
                Trend::Unknown,
            ),
            (
                "better, counted from the newest result",
                vec![zone(1, 60, "green"), zone(2, 60 + day, "red")],
                Trend::Better,
            ),
            (
                "the same",
                vec![zone(1, 0, "green"), zone(2, day, "green")],
                Trend::Same,
            ),
            (
                "the same zone, a higher score",
                vec![
                    zone(1, 0, "red"),
                    zone(2, day, "red"),
                    score(3, 0, &[Some(6)]),
                    score(4, day, &[Some(4)]),
                ],
                Trend::Worse,
            ),
            (
                "a partial score is not compared",
                vec![
                    zone(1, 0, "red"),
                    zone(2, day, "red"),
                    score(3, 0, &[Some(6), None]),
                    score(4, day, &[Some(4)]),
                ],
                Trend::Same,
            ),
        ] {
            let found = unlimited(&[], &results);
            assert_eq!(found.trend, expected, "{what}");
        }
    }
}
