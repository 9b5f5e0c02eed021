//! What an Observation must be for Delt, beyond being well-formed R4.
//!
//! Source: `spec/measurements.md` sections 2 to 6 (VkpObservation 0.5.x, no-domain VitalSigns 0.9.0, HL7 R4 vital
//! signs vs-1 to vs-3), the kinds in `spec/measurements/`. Where the Norwegian profiles differ among
//! themselves (performer), nothing is demanded here: what a profile demands is looked at in `profile`.

use super::findings::{Doubt, Findings};
use super::{Rules, UnknownCodes};
use crate::json::{Kind as Json, Node};
use crate::measurement::{self, Component, Decimal, Identified, Kind, Unit, ValueForm};
use crate::outcome::IssueCode;
use crate::systems;
use crate::time;
use std::borrow::Cow;

/// Codes of `observation-category` (R4).
const CATEGORIES: [&str; 9] = [
    "social-history",
    "vital-signs",
    "imaging",
    "laboratory",
    "procedure",
    "survey",
    "exam",
    "therapy",
    "activity",
];
/// How far in the future a reading may lie: clocks go wrong, zones are forgotten.
const AHEAD_MICROS: i64 = 24 * 3600 * 1_000_000;
/// 1900-01-01T00:00:00Z in seconds. Nothing that is shared was measured before.
const FIRST_SECOND: i64 = -2_208_988_800;

/// Checks an Observation; what is structurally wrong has been said already.
pub(super) fn check<'a>(findings: &mut Findings<'a>, node: Node<'a>, rules: &Rules) {
    categories(findings, node);
    effective(findings, node, rules);
    if node.get("subject").is_none() {
        let words = "subject is missing: the patient was expected, by identifier or as Patient/ID";
        findings.below(node, "subject", IssueCode::Required, words);
    }
    let Some(code) = node.get("code").filter(|c| c.kind() == Json::Object) else {
        return;
    };
    let codings = codings(code);
    if codings.is_empty() && code.get("text").is_none() {
        findings.at(
            code,
            IssueCode::Required,
            "a coding with a code, or a text, was expected",
        );
        return;
    }
    match measurement::identify(pairs(&codings)) {
        Identified::Kind(kind) => measured(findings, node, kind),
        Identified::Contradiction => {
            let words = "the codes name different kinds of measurement";
            findings.doubt(
                code,
                Doubt::ContradictoryCodes,
                IssueCode::CodeInvalid,
                words,
            );
        }
        Identified::Unknown => {
            if rules.unknown_codes == UnknownCodes::Refuse {
                let known: Vec<_> = measurement::all()
                    .iter()
                    .filter_map(|k| k.loinc.first())
                    .map(String::as_str)
                    .collect();
                let words = format!(
                    "none of the codes names a kind of measurement that is taken here; a LOINC code among {} or a SNOMED CT \
                     code of VkpObservation was expected",
                    known.join(", ")
                );
                findings.doubt(code, Doubt::UnknownCode, IssueCode::CodeInvalid, words);
            }
        }
    }
}

/// System and code of each coding that has both.
fn codings(concept: Node<'_>) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let coding = concept.get("coding").into_iter().flat_map(Node::items);
    coding
        .filter_map(|c| Some((c.text("system").unwrap_or_default(), c.text("code")?)))
        .collect()
}

fn pairs<'p>(
    codings: &'p [(Cow<'_, str>, Cow<'_, str>)],
) -> impl Iterator<Item = (&'p str, &'p str)> {
    codings
        .iter()
        .map(|(system, code)| (system.as_ref(), code.as_ref()))
}

fn categories<'a>(findings: &mut Findings<'a>, node: Node<'a>) {
    for category in node.get("category").into_iter().flat_map(Node::items) {
        for coding in category.get("coding").into_iter().flat_map(Node::items) {
            if coding
                .text("system")
                .is_none_or(|s| s != systems::OBSERVATION_CATEGORY)
            {
                continue;
            }
            match coding.get("code") {
                None => {
                    let words = "a category of observation-category needs its code";
                    findings.below(coding, "code", IssueCode::Required, words);
                }
                Some(code) if code.str().is_none_or(|c| !CATEGORIES.contains(&c.as_ref())) => {
                    let words = format!(
                        "no code of observation-category; expected one of {}",
                        CATEGORIES.join(", ")
                    );
                    findings.at(code, IssueCode::CodeInvalid, words);
                }
                Some(_) => {}
            }
        }
    }
}

fn effective<'a>(findings: &mut Findings<'a>, node: Node<'a>, rules: &Rules) {
    if let Some(at) = node
        .get("effectiveDateTime")
        .or_else(|| node.get("effectiveInstant"))
    {
        moment(findings, at, rules);
    } else if let Some(period) = node.get("effectivePeriod") {
        match period.get("start") {
            Some(start) => moment(findings, start, rules),
            None if period.kind() == Json::Object => {
                findings.below(
                    period,
                    "start",
                    IssueCode::Required,
                    "a measurement's period needs its start",
                );
            }
            None => {}
        }
        if let Some(end) = period.get("end") {
            moment(findings, end, rules);
        }
    } else if let Some(timing) = node.get("effectiveTiming") {
        let words = "a measurement is made at a time or in a period; a timing is not taken";
        findings.at(timing, IssueCode::NotSupported, words);
    } else {
        let words = "the time of the measurement is missing: effectiveDateTime, effectivePeriod or effectiveInstant was expected";
        findings.below(node, "effective[x]", IssueCode::Required, words);
    }
}

/// A time at least a day precise (vs-1), and one at which a measurement can have been made.
fn moment<'a>(findings: &mut Findings<'a>, at: Node<'a>, rules: &Rules) {
    let Some(text) = at.str() else { return };
    let Ok(range) = time::parse_date(&text, &rules.zone) else {
        return;
    };
    if text.len() < "2026-03-02".len() {
        findings.at(
            at,
            IssueCode::Invariant,
            "a time precise to at least the day was expected (vs-1)",
        );
    }
    plausible(findings, at, range, rules);
}

/// When answers to a questionnaire were given: as plausible as when something was measured, for a score among them is read as of then.
pub(super) fn authored<'a>(findings: &mut Findings<'a>, response: Node<'a>, rules: &Rules) {
    let Some(at) = response.get("authored") else {
        return;
    };
    let range = at
        .str()
        .and_then(|text| time::parse_date(&text, &rules.zone).ok());
    if let Some(range) = range {
        plausible(findings, at, range, rules);
    }
}

/// A time at which something can have been measured or answered.
fn plausible<'a>(findings: &mut Findings<'a>, at: Node<'a>, range: time::Range, rules: &Rules) {
    if range.lo < time::Instant::from_seconds(FIRST_SECOND).0 {
        let words = "the time lies before 1900";
        findings.doubt(at, Doubt::ImplausibleTime, IssueCode::Value, words);
    }
    if rules
        .now
        .is_some_and(|now| range.lo > now.plus_micros(AHEAD_MICROS).0)
    {
        let words = "the time lies more than 24 hours in the future";
        findings.doubt(at, Doubt::ImplausibleTime, IssueCode::Value, words);
    }
}

/// An Observation of a known kind.
fn measured<'a>(findings: &mut Findings<'a>, node: Node<'a>, kind: &'static Kind) {
    let has = |name: &str| node.get(name).is_some();
    let value = value_of(node);
    let owner = Owner {
        name: &kind.en,
        form: kind.quantity,
        units: &kind.units,
    };
    match value {
        Some((name, value)) => owner.check(findings, &name, value),
        None if kind.quantity == ValueForm::None => {}
        None if has("dataAbsentReason") || has("component") || has("hasMember") => {}
        None => {
            let words = "a value, or dataAbsentReason, component or hasMember, was expected (vs-2)";
            findings.below(node, "value[x]", IssueCode::Required, words);
        }
    }
    components(findings, node, kind);
}

fn components<'a>(findings: &mut Findings<'a>, node: Node<'a>, kind: &'static Kind) {
    let mut found: Vec<&str> = Vec::new();
    for part in node.get("component").into_iter().flat_map(Node::items) {
        let Some(code) = part.get("code") else {
            continue;
        };
        let codings = codings(code);
        let Some(component) = kind.component(pairs(&codings)) else {
            continue;
        };
        if found.contains(&component.id.as_str()) {
            let words = format!("the component {} is there twice", component.en);
            findings.at(part, IssueCode::Structure, words);
        }
        found.push(&component.id);
        let owner = Owner {
            name: &component.en,
            form: component.quantity,
            units: &component.units,
        };
        match value_of(part) {
            Some((name, value)) => owner.check(findings, &name, value),
            None if part.get("dataAbsentReason").is_some() => {}
            None => {
                let words = "a component needs a value or dataAbsentReason (vs-3)";
                findings.below(part, "value[x]", IssueCode::Required, words);
            }
        }
    }
    for component in kind
        .components
        .iter()
        .filter(|c| c.required && !found.contains(&c.id.as_str()))
    {
        let words = format!(
            "the component {} ({}) is missing",
            component.en,
            first_code(component)
        );
        findings.below(node, "component", IssueCode::Required, words);
    }
}

fn first_code(component: &Component) -> String {
    component
        .codings()
        .next()
        .map_or_else(String::new, |(system, code)| format!("{system} {code}"))
}

/// The member `value[x]` of an Observation or component, with its name.
fn value_of(node: Node<'_>) -> Option<(Cow<'_, str>, Node<'_>)> {
    node.members().find(|(name, _)| name.starts_with("value"))
}

/// The Observation or component whose value is looked at.
struct Owner {
    name: &'static str,
    form: ValueForm,
    units: &'static [Unit],
}

impl Owner {
    fn check<'a>(&self, findings: &mut Findings<'a>, name: &str, value: Node<'a>) {
        let name_of = self.name;
        match (self.form, name) {
            (ValueForm::None, _) => {
                let words =
                    format!("{name_of} has no value of its own; its components carry the values");
                findings.at(value, IssueCode::Structure, words);
            }
            (ValueForm::Concept, "valueCodeableConcept") => {
                if codings(value).is_empty() && value.get("text").is_none() {
                    findings.at(
                        value,
                        IssueCode::Required,
                        "a coding with a code, or a text, was expected",
                    );
                }
            }
            (ValueForm::Concept, _) => {
                findings.at(
                    value,
                    IssueCode::Structure,
                    format!("{name_of} is given as valueCodeableConcept"),
                );
            }
            (_, "valueQuantity") => self.quantity(findings, value),
            (ValueForm::Bare, "valueInteger") => {
                self.plausible(findings, value, self.units.first())
            }
            _ => findings.at(
                value,
                IssueCode::Structure,
                format!("{name_of} is given as valueQuantity"),
            ),
        }
    }

    fn quantity<'a>(&self, findings: &mut Findings<'a>, quantity: Node<'a>) {
        let demanded: &[&str] = match self.form {
            ValueForm::Full => &["value", "unit", "system", "code"],
            ValueForm::Coded => &["value", "system", "code"],
            _ => &["value"],
        };
        for name in demanded {
            if quantity.get(name).is_none() && quantity.kind() == Json::Object {
                let words = format!("{name} is missing in the quantity of {}", self.name);
                findings.below(quantity, name, IssueCode::Required, words);
            }
        }
        if let Some(system) = quantity
            .get("system")
            .filter(|s| s.str().is_some_and(|s| s != systems::UCUM))
        {
            let words = format!(
                "units of {} are UCUM's: {} was expected",
                self.name,
                systems::UCUM
            );
            findings.doubt(system, Doubt::WrongUnit, IssueCode::Value, words);
            return;
        }
        let unit = match quantity.get("code").and_then(|c| Some((c, c.str()?))) {
            None => self.units.first().filter(|_| self.form == ValueForm::Bare),
            Some((at, code)) => {
                let unit = self.units.iter().find(|u| u.code == code);
                if unit.is_none() {
                    let expected: Vec<_> = self.units.iter().map(|u| u.code.as_str()).collect();
                    let words = format!(
                        "the unit is not one of {}; expected {}",
                        self.name,
                        expected.join(" or ")
                    );
                    findings.doubt(at, Doubt::WrongUnit, IssueCode::CodeInvalid, words);
                }
                unit
            }
        };
        if let Some(value) = quantity.get("value") {
            self.plausible(findings, value, unit);
        }
    }

    fn plausible<'a>(&self, findings: &mut Findings<'a>, value: Node<'a>, unit: Option<&Unit>) {
        let Some((number, unit)) = value.number().and_then(Decimal::parse).zip(unit) else {
            return;
        };
        if !unit.is_plausible(number) {
            let words = format!(
                "outside what is technically plausible for {}: {}{} to {} {} was expected",
                self.name,
                if unit.whole { "a whole number, " } else { "" },
                unit.low,
                unit.high,
                unit.code
            );
            findings.doubt(value, Doubt::ImplausibleValue, IssueCode::Value, words);
        }
    }
}
