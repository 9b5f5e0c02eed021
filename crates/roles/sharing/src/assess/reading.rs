//! One reading as an assessment sees it: what was measured, when, and in which version of which Observation, or of which answers to a
//! questionnaire that have a score.

use fhir::ids::LogicalId;
use fhir::index::Coding;
use fhir::json::Glance;
use fhir::measurement::{self, Decimal, Kind};
use fhir::resource::ResourceType;
use fhir::systems;
use fhir::time::Instant;

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
}

/// A reading's value, as far as it is judged.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number and its UCUM code.
    Number(Decimal, String),
    /// The systolic part of a blood pressure, in mm\[Hg\].
    Systolic(Decimal),
    /// Level of consciousness: alert, or anything else of ACVPU.
    Alert(bool),
}

impl Reading {
    /// Whose limits are its: pulse goes with heart rate.
    pub fn curve(&self) -> &'static str {
        measurement::by_id(self.kind).map_or(self.kind, Kind::curve)
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
        if kind.id == "blood-pressure" {
            return systolic(kind, body).map(Value::Systolic);
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

fn systolic(kind: &Kind, body: Glance<'_>) -> Option<Decimal> {
    body.get("component")?.items().find_map(|component| {
        let codings = codings(component.get("code")?);
        let pairs = pairs(&codings);
        if kind.component(pairs)?.id != "systolic" {
            return None;
        }
        match quantity(component.get("valueQuantity")?)? {
            (value, Some(unit)) if unit == "mm[Hg]" => Some(value),
            _ => None,
        }
    })
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
    fn of_a_blood_pressure_the_systolic_part() {
        let body = r#"{"component":[
            {"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"valueQuantity":{"value":82,"system":"http://unitsofmeasure.org","code":"mm[Hg]"}},
            {"code":{"coding":[{"system":"http://snomed.info/sct","code":"271649006"}]},"valueQuantity":{"value":138,"system":"http://unitsofmeasure.org","code":"mm[Hg]"}}]}"#;
        let systolic = value("blood-pressure", "final", body);
        assert_eq!(
            systolic,
            Some(Value::Systolic(Decimal::parse("138").unwrap()))
        );
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
