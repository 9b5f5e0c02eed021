//! One reading as an assessment sees it: what was measured, when, and in which version of which Observation, or of which answers to a
//! questionnaire that have a score.

use fhir::ids::LogicalId;
use fhir::index::Coding;
use fhir::json::Glance;
use fhir::measurement::{self, Breathed, Decimal, Kind, ValueForm};
use fhir::plan::Measure;
use fhir::resource::ResourceType;
use fhir::systems;
use fhir::time::Instant;
use std::collections::BTreeMap;

/// Status codes of readings that are not judged: what was entered in error should not have existed, what was cancelled was
/// never measured, and of the unknown nobody knows (FHIR R4 observation-status).
pub const NOT_JUDGED: [&str; 3] = ["entered-in-error", "cancelled", "unknown"];

/// Status codes of answers that are judged: given, all of them (FHIR R4 questionnaire-answers-status).
const GIVEN: [&str; 2] = ["completed", "amended"];

/// A reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Observation or QuestionnaireResponse.
    pub resource: ResourceType,
    /// Its id.
    pub id: LogicalId,
    /// Its version.
    pub version: u64,
    /// When it was measured.
    pub at: Instant,
    /// What was measured.
    pub kind: &'static str,
    /// The value.
    pub value: Value,
    /// What it says that she breathed: a flow of oxygen always, a saturation or a respiration where it names it.
    pub breathed: Option<Breathed>,
}

/// The kind of a flow of oxygen.
pub const FLOW: &str = "oxygen-flow";

/// A reading's value, as far as it is judged.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number and its UCUM code.
    Number(Decimal, String),
    /// The numbers of a kind whose value is in its parts (blood pressure), each with the part's id and its UCUM code; one at least.
    Parts(Vec<(&'static str, Decimal, String)>),
    /// Level of consciousness: alert, or anything else of ACVPU.
    Alert(bool),
}

impl Reading {
    /// Whose limits are its: pulse goes with heart rate.
    pub fn curve(&self) -> &'static str {
        measurement::by_id(self.kind).map_or(self.kind, Kind::curve)
    }

    /// Its numbers, and what each is of.
    pub fn numbers(&self) -> impl Iterator<Item = (Measure<'_>, Decimal)> {
        let (whole, parts) = match &self.value {
            Value::Number(value, unit) => {
                (Some((Measure::whole(self.kind, unit), *value)), &[][..])
            }
            Value::Parts(parts) => (None, &parts[..]),
            Value::Alert(_) => (None, &[][..]),
        };
        let parts = parts.iter().map(|(part, value, unit)| {
            let of = Measure {
                part: Some(part),
                ..Measure::whole(self.kind, unit)
            };
            (of, *value)
        });
        whole.into_iter().chain(parts)
    }

    /// Its number of a part, or its own, in a unit.
    pub fn number(&self, part: Option<&str>, unit: &str) -> Option<Decimal> {
        let mut numbers = self.numbers();
        let found = numbers.find(|(of, _)| of.part == part && of.unit == unit);
        found.map(|(_, value)| value)
    }

    /// Where it is, in the version that was looked at.
    pub fn reference(&self) -> String {
        format!("{}/{}/_history/{}", self.resource, self.id, self.version)
    }

    /// Reads the score out of a stored QuestionnaireResponse; `None` for a questionnaire that is not known here, and where there is
    /// nothing to judge: unfinished, taken back, a score that is not the sum of its parts, or that cannot be one.
    pub fn score(status: &str, body: Glance<'_>) -> Option<(&'static Kind, Value)> {
        if !GIVEN.contains(&status) {
            return None;
        }
        let kind = kind(ResourceType::QUESTIONNAIRE_RESPONSE, body)?;
        let score = kind.questionnaire.as_ref()?.score(body)?;
        let unit = kind.units.first().filter(|unit| unit.is_plausible(score))?;
        Some((kind, Value::Number(score, unit.code.clone())))
    }

    /// Reads the value out of a stored Observation of a known kind; `None` where there is nothing to judge.
    pub fn value(kind: &'static Kind, status: &str, body: Glance<'_>) -> Option<Value> {
        if NOT_JUDGED.contains(&status) {
            return None;
        }
        if kind.quantity == ValueForm::None {
            let parts = parts(kind, body);
            return (!parts.is_empty()).then_some(Value::Parts(parts));
        }
        if kind.id == "consciousness" {
            return alert(kind, body.get("valueCodeableConcept")?).map(Value::Alert);
        }
        let (value, code) = quantity(body.get("valueQuantity")?)?;
        // A score may come without a unit, or with another name of the first of its kind.
        let first = &kind.units.first()?.code;
        let unit = match code {
            Some(code) if !is_same(kind, &code) => code,
            _ => first.clone(),
        };
        Some(Value::Number(value, unit))
    }
}

/// What an Observation of a kind, with this value, says that she breathed.
pub fn breathed(kind: &Kind, value: &Value, body: Glance<'_>) -> Option<Breathed> {
    match (kind.id.as_str(), value) {
        (FLOW, Value::Number(flow, _)) if *flow > Decimal::ZERO => Some(Breathed::Oxygen),
        (FLOW, _) => Some(Breathed::Air),
        ("oxygen-saturation" | "respiratory-rate", _) => measurement::breathed(body),
        _ => None,
    }
}

/// What a stored Observation measures, or answers to a questionnaire; `None` for a resource of another sort and what is not known here.
pub fn kind(resource: ResourceType, body: Glance<'_>) -> Option<&'static Kind> {
    if resource == ResourceType::QUESTIONNAIRE_RESPONSE {
        return measurement::of_questionnaire(&body.get("questionnaire")?.str()?);
    }
    let code = body
        .get("code")
        .filter(|_| resource == ResourceType::OBSERVATION)?;
    measurement::of(&codings(code))
}

/// Whether a unit is the first of a kind by another name (`1` for `{score}`).
fn is_same(kind: &Kind, code: &str) -> bool {
    let convert = kind.unit(code).and_then(|unit| unit.convert);
    convert.is_some_and(|by| {
        by.minus == Decimal::ZERO && by.times == Decimal::ONE && by.over == Decimal::ONE
    })
}

/// A number that is exactly that, with its UCUM code. A bound ("less than") is no number to judge by.
fn quantity(quantity: Glance<'_>) -> Option<(Decimal, Option<String>)> {
    let (mut value, mut code, mut ucum) = (None, None, true);
    for (name, held) in quantity.members() {
        match name.as_ref() {
            "comparator" => return None,
            "value" => value = held.number().and_then(Decimal::parse),
            "system" => ucum = held.str().is_some_and(|system| system == systems::UCUM),
            "code" => code = held.str(),
            _ => {}
        }
    }
    match (code, ucum) {
        (Some(_), false) => None,
        (code, _) => Some((value?, code.map(|code| code.into_owned()))),
    }
}

/// Each part once. One that is given twice with different numbers is not known.
fn parts(kind: &'static Kind, body: Glance<'_>) -> Vec<(&'static str, Decimal, String)> {
    let mut found: BTreeMap<&'static str, Vec<(Decimal, String)>> = BTreeMap::new();
    for component in body.get("component").into_iter().flat_map(Glance::items) {
        let codings = component.get("code").map(codings).unwrap_or_default();
        let Some(part) = kind.component(pairs(&codings)) else {
            continue;
        };
        if let Some((value, Some(unit))) = component.get("valueQuantity").and_then(quantity) {
            found.entry(&part.id).or_default().push((value, unit));
        }
    }
    let alike = |(part, mut given): (_, Vec<(Decimal, String)>)| {
        let (value, unit) = given.pop()?;
        let agreed = given.iter().all(|other| *other == (value, unit.clone()));
        agreed.then_some((part, value, unit))
    };
    found.into_iter().filter_map(alike).collect()
}

/// ACVPU by SNOMED CT code, or by its letter or Norwegian word as text; `None` for an answer that is neither.
fn alert(kind: &Kind, concept: Glance<'_>) -> Option<bool> {
    let known = codings(concept).into_iter().find_map(|coding| {
        let snomed = coding.system.as_deref() == Some(systems::SNOMED);
        let mut answers = kind.answers.iter();
        answers
            .find(|answer| snomed && answer.snomed == coding.code)
            .map(|answer| answer.id == "alert")
    });
    known.or_else(|| {
        let text = concept.get("text")?.str()?;
        let text = text.trim();
        if let [letter] = text.as_bytes() {
            return match letter.to_ascii_uppercase() {
                b'A' => Some(true),
                b'C' | b'V' | b'P' | b'U' => Some(false),
                _ => None,
            };
        }
        let mut answers = kind.answers.iter();
        let answer = answers.find(|answer| answer.nb.eq_ignore_ascii_case(text))?;
        Some(answer.id == "alert")
    })
}

fn codings(concept: Glance<'_>) -> Vec<Coding> {
    let coding = |one: Glance<'_>| {
        Some(Coding {
            system: one.get("system").and_then(|s| Some(s.str()?.into_owned())),
            code: one.get("code")?.str()?.into_owned(),
        })
    };
    let items = concept.get("coding").into_iter().flat_map(Glance::items);
    items.filter_map(coding).collect()
}

fn pairs(codings: &[Coding]) -> impl Iterator<Item = (&str, &str)> {
    codings
        .iter()
        .filter_map(|one| Some((one.system.as_deref()?, one.code.as_str())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn value(kind: &str, status: &str, body: &str) -> Option<Value> {
        Reading::value(
            measurement::by_id(kind).unwrap(),
            status,
            Glance::of(body.as_bytes()),
        )
    }

    fn number(text: &str, unit: &str) -> Option<Value> {
        Some(Value::Number(Decimal::parse(text).unwrap(), unit.into()))
    }

    #[test]
    fn a_number_counts_with_its_unit_and_a_bound_does_not() {
        let ucum = r#""system":"http://unitsofmeasure.org""#;
        let of = |quantity: &str| {
            value(
                "oxygen-saturation",
                "final",
                &format!(r#"{{"valueQuantity":{{{quantity}}}}}"#),
            )
        };
        assert_eq!(
            of(&format!(r#""value":87,{ucum},"code":"%""#)),
            number("87", "%")
        );
        assert_eq!(
            of(&format!(r#""value":87,"comparator":"<",{ucum},"code":"%""#)),
            None
        );
        assert_eq!(of(r#""value":87,"system":"urn:other","code":"%""#), None);
        assert_eq!(of(r#""unit":"%""#), None);
        let score = value("cat-score", "final", r#"{"valueQuantity":{"value":26}}"#);
        assert_eq!(score, number("26", "{score}"));
        let unity = format!(r#"{{"valueQuantity":{{"value":26,{ucum},"code":"1"}}}}"#);
        assert_eq!(value("cat-score", "final", &unity), score);
        let fahrenheit = format!(r#"{{"valueQuantity":{{"value":100,{ucum},"code":"[degF]"}}}}"#);
        let kept = value("body-temperature", "final", &fahrenheit);
        assert_eq!(kept, number("100", "[degF]"), "not converted");
        for status in NOT_JUDGED {
            let body = format!(r#"{{"valueQuantity":{{"value":87,{ucum},"code":"%"}}}}"#);
            assert_eq!(value("oxygen-saturation", status, &body), None, "{status}");
        }
    }

    #[test]
    fn answers_with_a_score_count_when_they_are_given() {
        let of = |status: &str, canonical: &str, score: &str| {
            let body = format!(
                r#"{{"questionnaire":"{canonical}","item":[{{"linkId":"score","answer":[{{"valueInteger":{score}}}]}}]}}"#
            );
            Reading::score(status, Glance::of(body.as_bytes()))
                .map(|(kind, value)| (kind.id.as_str(), Some(value)))
        };
        let cat = "https://delt.example/fhir/Questionnaire/cat";
        for status in GIVEN {
            assert_eq!(
                of(status, cat, "26"),
                Some(("cat-score", number("26", "{score}")))
            );
        }
        for status in ["in-progress", "stopped", "entered-in-error", ""] {
            assert_eq!(of(status, cat, "26"), None, "{status}");
        }
        assert_eq!(
            of(
                "completed",
                "https://delt.example/fhir/Questionnaire/other",
                "26"
            ),
            None
        );
        for border in ["0", "40"] {
            assert!(of("completed", cat, border).is_some(), "{border}");
        }
        for beyond in ["-1", "41"] {
            assert_eq!(of("completed", cat, beyond), None, "{beyond}");
        }
    }

    #[test]
    fn of_a_blood_pressure_each_part_that_is_a_number() {
        let part = |system: &str, code: &str, quantity: &str| {
            format!(
                r#"{{"code":{{"coding":[{{"system":"{system}","code":"{code}"}}]}},"valueQuantity":{{"system":"http://unitsofmeasure.org",{quantity}}}}}"#
            )
        };
        let of = |parts: &[String]| {
            let body = format!(r#"{{"component":[{}]}}"#, parts.join(","));
            value("blood-pressure", "final", &body)
        };
        let diastolic = part(
            "http://loinc.org",
            "8462-4",
            r#""value":82,"code":"mm[Hg]""#,
        );
        let systolic = |value: &str| {
            let quantity = format!(r#""value":{value},"code":"mm[Hg]""#);
            part("http://snomed.info/sct", "271649006", &quantity)
        };
        let known = |part, value| (part, Decimal::parse(value).unwrap(), "mm[Hg]".to_owned());
        let low = known("diastolic", "82");
        let whole = Some(Value::Parts(vec![low.clone(), known("systolic", "138")]));
        assert_eq!(of(&[systolic("138"), diastolic.clone()]), whole);
        let twice = [diastolic.clone(), systolic("138"), systolic("138.0")];
        assert_eq!(of(&twice), whole, "the same twice");
        let contradicted = [diastolic.clone(), systolic("138"), systolic("148")];
        let bound = [
            diastolic,
            part(
                "http://loinc.org",
                "8480-6",
                r#""value":138,"comparator":">","code":"mm[Hg]""#,
            ),
        ];
        for partial in [of(&contradicted), of(&bound)] {
            assert_eq!(partial, Some(Value::Parts(vec![low.clone()])));
        }
        assert_eq!(of(&[]), None);
        assert_eq!(value("blood-pressure", "final", "{}"), None);
    }

    #[test]
    fn consciousness_by_code_letter_or_word_and_nothing_guessed() {
        let of = |concept: &str| {
            value(
                "consciousness",
                "final",
                &format!(r#"{{"valueCodeableConcept":{concept}}}"#),
            )
        };
        let snomed = |code: &str| {
            format!(r#"{{"coding":[{{"system":"http://snomed.info/sct","code":"{code}"}}]}}"#)
        };
        let said = |alert| Some(Value::Alert(alert));
        assert_eq!(of(&snomed("248234008")), said(true));
        for other in ["130987000", "300202002", "450847001", "422768004"] {
            assert_eq!(of(&snomed(other)), said(false), "{other}");
        }
        assert_eq!(of(&snomed("1")), None);
        assert_eq!(of(r#"{"text":" a "}"#), said(true));
        for letter in ["C", "v", "P", "U"] {
            assert_eq!(of(&format!(r#"{{"text":"{letter}"}}"#)), said(false));
        }
        assert_eq!(of(r#"{"text":"Våken"}"#), said(true));
        assert_eq!(of(r#"{"text":"trøtt"}"#), None);
        assert_eq!(of(r#"{"text":"X"}"#), None);
    }
}
