//! The plan in words, and its limits as bands and zones. A zone here is the plan's own limit laid over a reading; it is
//! no assessment (DESIGN section 8).

use fhir::measurement::Decimal;
use fhir::plan::{Criterion, Measure, PlanLimits, Scheduled, Zone};

use super::series::{SeriesKind, kind_name, part_word};
use super::sources::{Source, Sources};
use crate::calendar::{Calendar, decimal};
use crate::look_up::answer::{Amount, Reading};
use crate::look_up::plan::Plan;
use crate::text::Text;

/// The plan in force, and the others.
pub struct PlansView {
    /// In force now.
    pub current: Option<PlanView>,
    /// Others, newest first.
    pub earlier: Vec<PlanView>,
}

/// One plan in words.
pub struct PlanView {
    /// Title.
    pub title: String,
    /// Aim.
    pub description: Option<String>,
    /// `fra 12.03.2026`
    pub period: String,
    /// Whose.
    pub source: Option<Source>,
    /// One row a measurement.
    pub limits: Vec<LimitRow>,
    /// The limits are there but cannot be read.
    pub unreadable: bool,
    /// What to do, zone by zone: (class, word, words of the plan).
    pub actions: Vec<(&'static str, &'static str, String)>,
    /// What is measured when.
    pub schedule: Vec<String>,
    /// What holds without being measured.
    pub standing: Vec<String>,
    /// When readings count as missing.
    pub missing: Option<String>,
}

/// The limits of one measurement in words, unit included.
pub struct LimitRow {
    /// What is measured.
    pub what: String,
    /// Green.
    pub green: String,
    /// Yellow.
    pub yellow: String,
    /// Red.
    pub red: String,
}

/// The zone in words.
pub fn zone_word(zone: Zone, text: &Text) -> &'static str {
    text.of(match zone {
        Zone::Green => "zone.green",
        Zone::Yellow => "zone.yellow",
        Zone::Red => "zone.red",
    })
}

/// The zone of a reading by the limits of the plan that was in force at its time, in the reading's own unit.
pub fn zone_of(plans: &[Plan], kind: &SeriesKind, reading: &Reading, millis: i64) -> Option<Zone> {
    plans
        .iter()
        .filter(|plan| plan.in_force(millis))
        .find_map(|plan| match &reading.pressure {
            Some(parts) => gravest(&plan.says, kind, parts),
            None => {
                let amount = reading.value.as_ref()?;
                let of = Measure::whole(kind.kinds[0], &amount.unit);
                plan.says.zone_of(of, value(amount)?)
            }
        })
}

/// What can be compared with a limit: a bound (`< 84`) says nothing of where the value lies.
fn value(amount: &Amount) -> Option<Decimal> {
    match amount.comparator {
        None => Decimal::parse(&amount.digits),
        Some(_) => None,
    }
}

/// The gravest zone of any part; none where a part that is limited was not measured, or is none that is shown, and the others are well.
fn gravest(says: &PlanLimits, kind: &SeriesKind, parts: &[Option<Amount>]) -> Option<Zone> {
    let limited = says.criteria.iter();
    let limited =
        limited.filter(|limit| limit.part.is_some() && kind.kinds.contains(&&*limit.kind));
    let zones: Vec<_> = limited
        .map(|limit| {
            let mut shown = kind.measures().zip(parts);
            let (of, amount) = shown.find(|(of, _)| *of == limit.measure())?;
            let amount = amount.as_ref().filter(|amount| amount.unit == of.unit)?;
            says.zone_of(of, value(amount)?)
        })
        .collect();
    let whole = zones.iter().all(Option::is_some);
    let gravest = zones.into_iter().flatten().max();
    gravest.filter(|zone| whole || *zone > Zone::Green)
}

/// For drawing alone: what is compared stays a decimal.
fn drawn(value: Option<Decimal>) -> Option<f64> {
    value?.to_string().parse().ok()
}

/// A span of values in one colour, over the time its plan is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// Which.
    pub zone: Zone,
    /// Lower border; neighbours share a border half-way between their limits.
    pub low: Option<f64>,
    /// Upper border.
    pub high: Option<f64>,
    /// Milliseconds since 1970.
    pub from: i64,
    /// Milliseconds since 1970.
    pub to: Option<i64>,
    /// `gul ≤ 87`; none for green.
    pub label: Option<String>,
    /// The border that the label is about.
    pub line: Option<f64>,
}

/// The bands of one curve, plan by plan. A newer plan ends an older one. `plans` are newest first. Where two parts share a picture, the
/// limits of each are lines of no height: a field of one would seem to be the other's.
pub fn bands(plans: &[Plan], kind: &SeriesKind, text: &Text) -> Vec<Band> {
    let mut all = Vec::new();
    let mut newer: Option<i64> = None;
    for plan in plans
        .iter()
        .filter(|plan| plan.says.status != "entered-in-error")
    {
        let Some(from) = plan.from.map(|from| from.millis) else {
            continue;
        };
        if !kind.is_limited(&plan.says) || newer.is_some_and(|newer| newer <= from) {
            continue;
        }
        let own_end = plan.to.map(|to| to.millis);
        let to = match (own_end, newer) {
            (Some(own), Some(newer)) => Some(own.min(newer)),
            (own, newer) => own.or(newer),
        };
        newer = Some(from);
        for of in kind.measures() {
            let limits = plan.says.bands(of).collect();
            let of_measure = drawn_bands(limits, (from, to), text);
            all.extend(of_measure.into_iter().filter_map(|band| match of.part {
                None => Some(band),
                Some(part) => Some(Band {
                    low: Some(band.line?),
                    high: Some(band.line?),
                    label: band.label.map(|label| {
                        format!("{} {label}", part_word(of.kind, part, text).to_lowercase())
                    }),
                    ..band
                }),
            }));
        }
    }
    all
}

/// The bands of one measure as they are drawn.
fn drawn_bands(
    mut limits: Vec<&Criterion>,
    (from, to): (i64, Option<i64>),
    text: &Text,
) -> Vec<Band> {
    let mut all = Vec::new();
    limits.sort_by(|a, b| {
        let start = |limit: &Criterion| drawn(limit.low).unwrap_or(f64::NEG_INFINITY);
        start(a).total_cmp(&start(b))
    });
    for (i, limit) in limits.iter().enumerate() {
        let below = i.checked_sub(1).and_then(|at| limits.get(at));
        let above = limits.get(i + 1);
        let border = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(f64::midpoint(a, b)),
            (a, b) => a.or(b),
        };
        let low =
            drawn(limit.low).and_then(|low| border(below.and_then(|b| drawn(b.high)), Some(low)));
        let high =
            drawn(limit.high).and_then(|high| border(Some(high), above.and_then(|a| drawn(a.low))));
        let milder =
            |other: Option<&&Criterion>| other.is_some_and(|other| other.zone < limit.zone);
        let upward = milder(below) || (!milder(above) && limit.high.is_none());
        let (line, sign, border) = if upward {
            (low, "≥", limit.low)
        } else {
            (high, "≤", limit.high)
        };
        let label = border.filter(|_| limit.zone != Zone::Green).map(|border| {
            format!(
                "{} {sign} {}",
                zone_word(limit.zone, text),
                decimal(&border.to_string())
            )
        });
        all.push(Band {
            zone: limit.zone,
            low,
            high,
            from,
            to,
            line: label.as_ref().and(line),
            label,
        });
    }
    all
}

/// All plans in words.
pub fn view(
    plans: &[Plan],
    now: i64,
    sources: &Sources,
    calendar: &Calendar,
    text: &Text,
) -> PlansView {
    let current = plans
        .iter()
        .position(|plan| plan.says.status == "active" && plan.in_force(now));
    let words = |plan: &Plan| in_words(plan, sources, calendar, text);
    PlansView {
        current: current.and_then(|at| plans.get(at)).map(words),
        earlier: plans
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != current)
            .map(|(_, plan)| words(plan))
            .collect(),
    }
}

fn in_words(plan: &Plan, sources: &Sources, calendar: &Calendar, text: &Text) -> PlanView {
    let from = plan.from.map(|from| calendar.date(from.millis));
    let period = match (from, plan.to.map(|to| calendar.date(to.millis))) {
        (Some(from), Some(to)) => text.fill("plan.from_to", &[("from", &from), ("to", &to)]),
        (Some(from), None) => text.fill("plan.from", &[("from", &from)]),
        (None, Some(to)) => text.fill("plan.to", &[("to", &to)]),
        (None, None) => text.of("plan.no_period").to_owned(),
    };
    let says = &plan.says;
    let mut measures: Vec<Measure<'_>> = Vec::new();
    for limit in &says.criteria {
        if !measures.contains(&limit.measure()) {
            measures.push(limit.measure());
        }
    }
    let limits = measures
        .into_iter()
        .map(|of| {
            let zone = |zone: Zone| {
                let own = says
                    .criteria
                    .iter()
                    .filter(|l| l.measure() == of && l.zone == zone);
                let words: Vec<String> = own.map(|limit| span(limit, text)).collect();
                if words.is_empty() {
                    "–".to_owned()
                } else {
                    words.join(", ")
                }
            };
            let shown = of.unit_shown();
            let kind = kind_name(of.kind, text);
            let name = match of.part {
                None => kind,
                Some(part) => {
                    format!("{kind}, {}", part_word(of.kind, part, text).to_lowercase())
                }
            };
            LimitRow {
                what: if shown.is_empty() {
                    name
                } else {
                    format!("{name} ({shown})")
                },
                green: zone(Zone::Green),
                yellow: zone(Zone::Yellow),
                red: zone(Zone::Red),
            }
        })
        .collect();
    let standing = |own: &fhir::plan::Standing| {
        own.text.clone().unwrap_or_else(|| {
            format!(
                "{}: {} {}",
                kind_name(&own.kind, text),
                decimal(&own.value.to_string()),
                own.unit
            )
        })
    };
    PlanView {
        title: if says.title.is_empty() {
            text.of("plan.untitled").to_owned()
        } else {
            says.title.clone()
        },
        description: says.description.clone(),
        period,
        source: plan
            .organisation
            .as_ref()
            .map(|named| sources.of(named))
            .or_else(|| plan.routes.first().map(|number| sources.get(number))),
        limits,
        unreadable: plan.unreadable,
        actions: says
            .actions
            .iter()
            .map(|own| (own.zone.code(), zone_word(own.zone, text), own.text.clone()))
            .collect(),
        schedule: says.schedule.iter().map(|own| when(own, text)).collect(),
        standing: says.standing.iter().map(standing).collect(),
        missing: says.missing.as_ref().map(|own| own.text.clone()),
    }
}

/// `85–87`, `≥ 88`, `≤ 84`, with how often it must happen.
fn span(limit: &Criterion, text: &Text) -> String {
    let write = |value: Decimal| decimal(&value.to_string());
    let words = match (limit.low, limit.high) {
        (Some(low), Some(high)) => format!("{}–{}", write(low), write(high)),
        (Some(low), None) => format!("≥ {}", write(low)),
        (None, Some(high)) => format!("≤ {}", write(high)),
        (None, None) => "–".to_owned(),
    };
    match limit.repeated {
        Some(rule) => {
            let (times, minutes) = (rule.count.to_string(), rule.within_minutes.to_string());
            format!(
                "{words} ({})",
                text.fill("plan.repeated", &[("times", &times), ("minutes", &minutes)])
            )
        }
        None => words,
    }
}

/// `Puls: man, ons, fre kl. 08:30`
fn when(own: &Scheduled, text: &Text) -> String {
    let days: Vec<&str> = own
        .days
        .iter()
        .map(|day| text.find(&format!("day.{day}")).unwrap_or(day.as_str()))
        .collect();
    let days = if days.is_empty() || days.len() == 7 {
        text.of("plan.every_day").to_owned()
    } else {
        days.join(", ")
    };
    let times: Vec<&str> = own
        .times
        .iter()
        .map(|time| time.get(..5).unwrap_or(time))
        .collect();
    let at = if times.is_empty() {
        String::new()
    } else {
        format!(" {}", text.fill("plan.at", &[("times", &times.join(", "))]))
    };
    format!("{}: {days}{at}", kind_name(&own.kind, text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::calendar::Moment;
    use crate::clinician::series::SERIES;

    /// Systolic yellow from 160 and red from 180, diastolic yellow from 100.
    fn plan() -> Plan {
        let from = |part: &str, zone, low: &str| Criterion {
            kind: "blood-pressure".into(),
            part: Some(part.into()),
            zone,
            low: Decimal::parse(low),
            high: None,
            unit: "mm[Hg]".into(),
            repeated: None,
            baseline: None,
        };
        Plan {
            says: PlanLimits {
                status: "active".into(),
                criteria: vec![
                    from("systolic", Zone::Yellow, "160"),
                    from("systolic", Zone::Red, "180"),
                    from("diastolic", Zone::Yellow, "100"),
                ],
                ..PlanLimits::default()
            },
            unreadable: false,
            from: Some(Moment {
                millis: 0,
                exact: true,
            }),
            to: None,
            organisation: None,
            routes: Vec::new(),
        }
    }

    fn pressure(parts: [Option<&str>; 2]) -> Reading {
        let amount = |digits: &str| Amount {
            digits: digits.into(),
            number: digits.parse().unwrap(),
            unit: "mm[Hg]".into(),
            comparator: None,
        };
        Reading {
            kind: None,
            words: None,
            when: None,
            value: None,
            pressure: Some(parts.map(|part| part.map(amount))),
            said: None,
            oxygen: None,
            status: "final".into(),
            organisation: None,
            routes: Vec::new(),
            disagrees: false,
            interpretation: None,
            signature: None,
        }
    }

    #[test]
    fn a_blood_pressure_is_as_grave_as_its_gravest_part_and_never_well_with_one_missing() {
        let kind = SERIES.iter().find(|kind| kind.id == "pressure").unwrap();
        let plans = [plan()];
        for (parts, zone) in [
            ([Some("159"), Some("99")], Some(Zone::Green)),
            ([Some("159"), Some("100")], Some(Zone::Yellow)),
            ([Some("180"), Some("99")], Some(Zone::Red)),
            ([Some("159"), None], None),
            ([Some("180"), None], Some(Zone::Red)),
            ([None, Some("99")], None),
        ] {
            let found = zone_of(&plans, kind, &pressure(parts), 1);
            assert_eq!(found, zone, "{parts:?}");
        }
        // A mean pressure is not shown here: of a plan that limits it too nothing is called well.
        let mut wider = plan();
        let mean = Criterion {
            part: Some("mean".into()),
            ..wider.says.criteria[0].clone()
        };
        wider.says.criteria.push(mean);
        let wider = [wider];
        for (parts, zone) in [
            ([Some("159"), Some("99")], None),
            ([Some("159"), Some("100")], Some(Zone::Yellow)),
        ] {
            let found = zone_of(&wider, kind, &pressure(parts), 1);
            assert_eq!(found, zone, "{parts:?}");
        }
        let before = zone_of(&plans, kind, &pressure([Some("180"), Some("99")]), -1);
        assert_eq!(before, None, "before the plan");
    }

    #[test]
    fn a_bound_has_no_zone() {
        let kind = SERIES.iter().find(|kind| kind.id == "spo2").unwrap();
        let mut plan = plan();
        plan.says.criteria = vec![Criterion {
            kind: "oxygen-saturation".into(),
            part: None,
            unit: "%".into(),
            ..plan.says.criteria[0].clone()
        }];
        let plans = [plan];
        let amount = |comparator: Option<&str>| Amount {
            digits: "170".into(),
            number: 170.0,
            unit: "%".into(),
            comparator: comparator.map(str::to_owned),
        };
        for (comparator, zone) in [(None, Some(Zone::Yellow)), (Some("<"), None)] {
            let reading = Reading {
                value: Some(amount(comparator)),
                pressure: None,
                ..pressure([None, None])
            };
            let found = zone_of(&plans, kind, &reading, 1);
            assert_eq!(found, zone, "{comparator:?}");
        }
        // Nor has a part of a pressure.
        let kind = SERIES.iter().find(|kind| kind.id == "pressure").unwrap();
        let mut bound = pressure([Some("200"), Some("99")]);
        if let Some([Some(systolic), _]) = &mut bound.pressure {
            systolic.comparator = Some("<".into());
        }
        assert_eq!(zone_of(&[self::plan()], kind, &bound, 1), None);
    }

    #[test]
    fn limits_of_a_blood_pressure_are_lines_with_the_name_of_the_part() {
        let text = &Text {
            language: crate::text::Language::Nb,
        };
        let kind = SERIES.iter().find(|kind| kind.id == "pressure").unwrap();
        let found = bands(&[plan()], kind, text);
        let lines: Vec<_> = found
            .iter()
            .map(|band| (band.label.as_deref().unwrap(), band.low, band.high))
            .collect();
        assert_eq!(
            lines,
            [
                ("systolisk gul ≥ 160", Some(160.0), Some(160.0)),
                ("systolisk rød ≥ 180", Some(180.0), Some(180.0)),
                ("diastolisk gul ≥ 100", Some(100.0), Some(100.0)),
            ]
        );
    }
}
