//! A total that somebody else submitted, held against its own parts: do the points add up, and do they fit the interval that
//! stands beside them? Found faults are told, nothing is corrected: the reading stays the sender's.

use super::news2::{Measured, Part, Scale, Score};
use fhir::json::{Json, Node};
use fhir::measurement::{self, Decimal};

/// A fault in a submitted score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inconsistency {
    /// The parts give another sum than the total: total, sum.
    Total(Decimal, u8),
    /// The parts that have points give no such total, whatever the others are: total, the least and the most that it can be.
    Beyond(Decimal, u8, u8),
    /// A part has points that the chart does not have for it.
    Points(Part),
    /// A part's points are not those of the interval that it names: stated, by the chart.
    Interval(Part, u8, u8),
}

/// The faults of a submitted NEWS2 Observation; empty where it is whole, or has no parts to be held against.
pub fn faults(observation: &Json) -> Vec<Inconsistency> {
    let root = observation.root();
    let mut faults = Vec::new();
    let mut points = [None; 7];
    let mut scale = Scale::One;
    let stated: Vec<_> = root
        .get("component")
        .into_iter()
        .flat_map(Node::items)
        .filter_map(|component| Some((part(component)?, component)))
        .collect();
    for ((part, by), component) in &stated {
        if *part == Part::Saturation {
            scale = *by;
        }
        let Some(value) = number(*component) else {
            continue;
        };
        let Some(given) = possible(*part, value) else {
            faults.push(Inconsistency::Points(*part));
            continue;
        };
        points[*part as usize] = Some(given);
        let texts = component.all(&["interpretation", "text"]);
        let interval = texts.first().and_then(|text| text.str());
        let chart = interval.and_then(|text| by_interval(*part, *by, &text));
        if let Some(chart) = chart.filter(|chart| *chart != given) {
            faults.push(Inconsistency::Interval(*part, given, chart));
        }
    }
    let score = Score::stated(scale, points);
    if let Some(total) = number(root) {
        let least = score.so_far();
        let rest = score.missing().filter_map(|part| chart(part).last());
        let most = rest.fold(least, |most, points| most + points);
        let is = |points: u8| Decimal::tenths(i64::from(points) * 10);
        match score.total() {
            Some(sum) if total != is(sum) => faults.push(Inconsistency::Total(total, sum)),
            None if total < is(least) || total > is(most) => {
                faults.push(Inconsistency::Beyond(total, least, most));
            }
            _ => {}
        }
    }
    faults
}

/// Which part a component is, and by which scale saturation is counted there.
fn part(component: Node<'_>) -> Option<(Part, Scale)> {
    let kind = measurement::by_id("news2")?;
    let codings = component.get("code")?.get("coding")?;
    codings.items().find_map(|coding| {
        let (system, code) = (coding.text("system")?, coding.text("code")?);
        let id = &kind
            .component(std::iter::once((system.as_ref(), code.as_ref())))?
            .id;
        [Scale::One, Scale::Two]
            .into_iter()
            .flat_map(|scale| Part::ALL.map(|part| (part, scale)))
            .find(|(part, scale)| part.component(*scale) == id)
    })
}

fn number(node: Node<'_>) -> Option<Decimal> {
    Decimal::parse(node.path(&["valueQuantity", "value"])?.number()?)
}

/// The points that the chart has for a part, the fewest first.
fn chart(part: Part) -> &'static [u8] {
    match part {
        Part::AirOrOxygen => &[0, 2],
        Part::Consciousness => &[0, 3],
        Part::Respiration | Part::Systolic | Part::Pulse | Part::Saturation | Part::Temperature => {
            &[0, 1, 2, 3]
        }
    }
}

/// The points as the chart has them for this part.
fn possible(part: Part, value: Decimal) -> Option<u8> {
    let same = |points: &&u8| Decimal::tenths(i64::from(**points) * 10) == value;
    chart(part).iter().find(same).copied()
}

/// The chart's points for an interval in words (`≥25`, `93–94 med oksygentilførsel`); `None` where it does not say enough.
fn by_interval(part: Part, scale: Scale, text: &str) -> Option<u8> {
    let lower = text.to_lowercase();
    let oxygen = lower.contains("oksygen") || lower.contains("oxygen");
    let air = lower.contains("luft") || lower.contains("air");
    let mut measured = Measured {
        oxygen: (oxygen || air).then_some(oxygen),
        ..Measured::default()
    };
    match part {
        Part::AirOrOxygen => {}
        Part::Consciousness => measured.alert = Some(alert(&lower)?),
        _ => {
            let value = Some(first_number(&lower)?);
            match part {
                Part::Respiration => measured.respiration = value,
                Part::Saturation => measured.saturation = value,
                Part::Systolic => measured.systolic = value,
                Part::Pulse => measured.pulse = value,
                _ => measured.temperature = value,
            }
        }
    }
    Score::of(&measured, scale).points(part)
}

fn alert(text: &str) -> Option<bool> {
    match text.trim() {
        "a" | "alert" | "våken" => Some(true),
        other if other.starts_with(['c', 'v', 'p', 'u']) => Some(false),
        _ => None,
    }
}

/// The first number of a text, with a point or a comma; both ends of an interval have the same points.
fn first_number(text: &str) -> Option<Decimal> {
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let rest = text.get(from..)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
        .unwrap_or(rest.len());
    let number = rest.get(..end)?.replace(',', ".");
    Decimal::parse(number.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use fhir::json::Limits;

    fn component(code: &str, points: &str, interval: &str) -> String {
        format!(
            r#"{{"code":{{"coding":[{{"system":"http://snomed.info/sct","code":"{code}"}}]}},"valueQuantity":{{"value":{points}}},"interpretation":[{{"text":"{interval}"}}]}}"#
        )
    }

    fn score(total: &str, components: &[(&str, &str, &str)]) -> Vec<Inconsistency> {
        let parts: Vec<_> = components
            .iter()
            .map(|(code, points, interval)| component(code, points, interval))
            .collect();
        let text = format!(
            r#"{{"resourceType":"Observation","valueQuantity":{{"value":{total}}},"component":[{}]}}"#,
            parts.join(",")
        );
        faults(&Json::parse(text.into_bytes(), Limits::RESOURCE).unwrap())
    }

    const RESPIRATION: &str = "1104301000000104";
    const SATURATION_2: &str = "1104321000000108";
    const OXYGEN: &str = "1104331000000105";
    const PULSE: &str = "1104351000000103";
    const SYSTOLIC: &str = "1104341000000101";
    const CONSCIOUSNESS: &str = "1104361000000100";
    const TEMPERATURE: &str = "1104371000000107";

    /// As VkpObservation's published example has it, in our words: scale 2 with 3 points beside an interval that gives 1.
    #[test]
    fn the_published_examples_inconsistency_is_found() {
        let parts = [
            (RESPIRATION, "3", "≥25"),
            (SATURATION_2, "3", "93–94 med oksygentilførsel"),
            (OXYGEN, "2", "Oksygen"),
            (PULSE, "3", "≤40"),
            (SYSTOLIC, "3", "≤90"),
            (CONSCIOUSNESS, "3", "C, V, P eller U"),
            (TEMPERATURE, "3", "≤35.0"),
        ];
        assert_eq!(
            score("20", &parts),
            [Inconsistency::Interval(Part::Saturation, 3, 1)]
        );
    }

    #[test]
    fn a_whole_score_has_no_fault_and_each_fault_is_named() {
        let whole = [
            (RESPIRATION, "2", "21–24"),
            (SATURATION_2, "2", "84–85"),
            (OXYGEN, "0", "Luft"),
            (PULSE, "2", "111–130"),
            (SYSTOLIC, "0", "111–219"),
            (CONSCIOUSNESS, "0", "Våken"),
            (TEMPERATURE, "0", "36,1–38,0"),
        ];
        assert_eq!(score("6", &whole), []);
        assert_eq!(score("6.0", &whole), []);
        let six = Decimal::tenths(70);
        assert_eq!(score("7", &whole), [Inconsistency::Total(six, 6)]);
        // Six parts give between 6 and 9: what is missing cannot take points away, nor add more than the chart has.
        for (total, faulty) in [
            ("2", true),
            ("5", true),
            ("6", false),
            ("9", false),
            ("10", true),
        ] {
            let found = score(total, &whole[..6]);
            let total = Decimal::parse(total).unwrap();
            let beyond = [Inconsistency::Beyond(total, 6, 9)];
            assert_eq!(found, &beyond[..usize::from(faulty)], "{total:?}");
        }
        // No chart gives more than 20.
        assert_eq!(score("20", &[]), []);
        let beyond = Inconsistency::Beyond(Decimal::tenths(210), 0, 20);
        assert_eq!(score("21", &[]), [beyond]);
        for (code, points, part) in [
            (PULSE, "4", Part::Pulse),
            (PULSE, "1.5", Part::Pulse),
            (OXYGEN, "1", Part::AirOrOxygen),
            (CONSCIOUSNESS, "2", Part::Consciousness),
        ] {
            assert_eq!(
                score("1", &[(code, points, "")]),
                [Inconsistency::Points(part)],
                "{code} {points}"
            );
        }
    }

    #[test]
    fn words_that_do_not_say_enough_are_not_held_against_anybody() {
        for (code, points, words) in [
            (SATURATION_2, "1", "93–94"),
            (PULSE, "1", "rask"),
            (CONSCIOUSNESS, "3", "sover"),
            (OXYGEN, "2", "maske"),
        ] {
            assert_eq!(score("3", &[(code, points, words)]), [], "{words}");
        }
    }
}
