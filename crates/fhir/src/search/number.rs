//! Numbers and quantities: intervals by the digits written, units by UCUM.
//!
//! Standard: FHIR R4 search 3.1.1.4.6 (number), 3.1.1.4.12 (quantity); UCUM 2.1. All arithmetic is decimal.

use super::value::{Prefix, split, unescape};
use crate::json::Node;
use crate::measurement::Decimal;
use crate::systems;

/// A number to compare with, and the unit asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberParam {
    /// How.
    pub prefix: Prefix,
    /// The number.
    pub value: Decimal,
    /// What its digits (with `ap`: a tenth of it) leave open: from this on, …
    pub from: Decimal,
    /// … below this.
    pub until: Decimal,
    /// The unit; `None`: any.
    pub unit: Option<Unit>,
}

/// A unit as a quantity parameter names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The system; `None`: the code or the written unit, in any system.
    pub system: Option<String>,
    /// The code.
    pub code: String,
}

const FORM: &str = "expected a number written out (5.40), with a prefix eq, ne, gt, lt, ge, le, sa, eb or ap if wanted";

impl NumberParam {
    /// Reads `[prefix]number`, for quantities also `|system|code`.
    pub(super) fn parse(text: &str, quantity: bool) -> Result<Self, String> {
        let parts = split(text, '|');
        let (number, unit) = match parts.as_slice() {
            [number] => (*number, None),
            [number, system, code] if quantity && !code.is_empty() => {
                let system = Some(unescape(system)).filter(|system| !system.is_empty());
                let code = unescape(code);
                (*number, Some(Unit { system, code }))
            }
            _ if quantity => {
                return Err("expected number, number|system|code or number||code".to_owned());
            }
            _ => return Err(FORM.to_owned()),
        };
        let (prefix, digits) = Prefix::take(number)?;
        let mut range = around(digits).ok_or(FORM)?;
        if prefix == Prefix::Ap {
            range = tenth(range.1).ok_or(FORM)?;
        }
        Ok(Self {
            prefix,
            value: range.1,
            from: range.0,
            until: range.2,
            unit,
        })
    }

    /// Whether a value of a resource is meant: a number, a Quantity or a Range.
    pub(super) fn matches(&self, node: Node<'_>) -> bool {
        match Interval::read(node) {
            Some(interval) => self.factors(node).is_some_and(|(ours, its)| {
                let scaled = |own: Decimal| own.times(ours);
                let (Some(value), Some(from), Some(until)) =
                    (scaled(self.value), scaled(self.from), scaled(self.until))
                else {
                    return false;
                };
                interval
                    .scaled(its)
                    .is_some_and(|i| i.compare(self.prefix, value, from, until))
            }),
            None => false,
        }
    }

    /// What to multiply the parameter and the resource's value with before they are compared; `None`: other units.
    fn factors(&self, node: Node<'_>) -> Option<(Decimal, Decimal)> {
        let one = (Decimal::ONE, Decimal::ONE);
        let Some(unit) = &self.unit else {
            return Some(one);
        };
        // A Range has its unit in its ends.
        let node = node.get("low").or(node.get("high")).unwrap_or(node);
        let (system, code) = (node.text("system"), node.text("code"));
        match &unit.system {
            None => {
                let is = |text: &str| text == unit.code;
                (code.as_deref().is_some_and(is) || node.text("unit").as_deref().is_some_and(is))
                    .then_some(one)
            }
            Some(asked) => {
                if system.as_deref() != Some(asked) {
                    return None;
                }
                let code = code?;
                if *code == *unit.code {
                    return Some(one);
                }
                if asked != systems::UCUM {
                    return None;
                }
                let (ours, its) = (canonical(&unit.code)?, canonical(&code)?);
                (ours.0 == its.0).then_some((ours.1, its.1))
            }
        }
    }
}

/// A number's own value with what its digits leave open on both sides: half of the last digit's unit.
fn around(digits: &str) -> Option<(Decimal, Decimal, Decimal)> {
    if digits.contains(['e', 'E']) {
        return None;
    }
    let value = Decimal::parse(digits)?;
    let fraction = digits
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    let half = format!("0.{}5", "0".repeat(fraction));
    let up = Decimal::parse(&half)?;
    let down = Decimal::parse(&format!("-{half}"))?;
    Some((value.plus(down)?, value, value.plus(up)?))
}

/// A number with a tenth of it on both sides.
fn tenth(value: Decimal) -> Option<(Decimal, Decimal, Decimal)> {
    let (up, down) = (Decimal::parse("1.1")?, Decimal::parse("0.9")?);
    let (a, b) = (value.times(up)?, value.times(down)?);
    Some((a.min(b), value, a.max(b)))
}

/// What a number or quantity is sorted by: its size in the base unit where UCUM knows it, else its number; of a range the low end.
pub(super) fn canonical_size(node: Node<'_>) -> Option<Decimal> {
    let node = node.get("low").or(node.get("high")).unwrap_or(node);
    let number = node.number().or_else(|| node.get("value")?.number())?;
    let number = Decimal::parse(number)?;
    let known = (node.text("system").as_deref() == Some(systems::UCUM))
        .then(|| canonical(&node.text("code")?))
        .flatten();
    known.map_or(Some(number), |(_, factor)| number.times(factor))
}

/// What a resource says a value is: one number, or from one to another (both included), or without end.
struct Interval {
    low: Option<Decimal>,
    high: Option<Decimal>,
}

impl Interval {
    fn read(node: Node<'_>) -> Option<Self> {
        let number = |node: Node<'_>| Decimal::parse(node.number()?);
        if let Some(value) = number(node) {
            return Some(Self {
                low: Some(value),
                high: Some(value),
            });
        }
        if let Some(value) = node.get("value") {
            let value = Some(number(value)?);
            return Some(match node.text("comparator").as_deref() {
                Some("<" | "<=") => Self {
                    low: None,
                    high: value,
                },
                Some(">" | ">=") => Self {
                    low: value,
                    high: None,
                },
                _ => Self {
                    low: value,
                    high: value,
                },
            });
        }
        let end = |name: &str| node.path(&[name, "value"]).and_then(number);
        let (low, high) = (end("low"), end("high"));
        (low.is_some() || high.is_some()).then_some(Self { low, high })
    }

    fn scaled(self, factor: Decimal) -> Option<Self> {
        let scale = |end: Option<Decimal>| match end {
            None => Some(None),
            Some(end) => end.times(factor).map(Some),
        };
        Some(Self {
            low: scale(self.low)?,
            high: scale(self.high)?,
        })
    }

    /// Equality goes by the digits written, order by the exact number.
    fn compare(&self, prefix: Prefix, value: Decimal, from: Decimal, until: Decimal) -> bool {
        let equal = self.low.is_some_and(|low| low >= from) && self.high.is_some_and(|h| h < until);
        let above = self.high.is_none_or(|high| high > value);
        let below = self.low.is_none_or(|low| low < value);
        match prefix {
            Prefix::Eq => equal,
            Prefix::Ne => !equal,
            Prefix::Gt => above,
            Prefix::Lt => below,
            Prefix::Ge => above || self.high == Some(value),
            Prefix::Le => below || self.low == Some(value),
            Prefix::Sa => self.low.is_some_and(|low| low > value),
            Prefix::Eb => self.high.is_some_and(|high| high < value),
            Prefix::Ap => {
                self.low.is_none_or(|low| low <= until) && self.high.is_none_or(|h| h >= from)
            }
        }
    }
}

/// UCUM units that are compared across each other: code, base, how many of the base. What is not here is compared by its
/// own code alone; a temperature in another scale needs more than a factor.
const UNITS: &[(&str, &str, &str)] = &[
    ("ng", "g", "0.000000001"),
    ("ug", "g", "0.000001"),
    ("mg", "g", "0.001"),
    ("g", "g", "1"),
    ("kg", "g", "1000"),
    ("[oz_av]", "g", "28.349523125"),
    ("[lb_av]", "g", "453.59237"),
    ("mm", "m", "0.001"),
    ("cm", "m", "0.01"),
    ("m", "m", "1"),
    ("km", "m", "1000"),
    ("[in_i]", "m", "0.0254"),
    ("[ft_i]", "m", "0.3048"),
    ("uL", "L", "0.000001"),
    ("mL", "L", "0.001"),
    ("dL", "L", "0.1"),
    ("L", "L", "1"),
    ("L/min", "L/min", "1"),
    ("mL/min", "L/min", "0.001"),
    ("L/s", "L/min", "60"),
    ("ms", "s", "0.001"),
    ("s", "s", "1"),
    ("min", "s", "60"),
    ("h", "s", "3600"),
    ("d", "s", "86400"),
    ("wk", "s", "604800"),
    ("/min", "/min", "1"),
    ("/s", "/min", "60"),
    ("Hz", "/min", "60"),
    ("mo", "mo", "1"),
    ("a", "mo", "12"),
    ("Pa", "Pa", "1"),
    ("kPa", "Pa", "1000"),
    ("mm[Hg]", "Pa", "133.322"),
    ("cm[H2O]", "Pa", "98.0665"),
    ("nmol/L", "mol/L", "0.000000001"),
    ("umol/L", "mol/L", "0.000001"),
    ("mmol/L", "mol/L", "0.001"),
    ("mol/L", "mol/L", "1"),
    ("ug/L", "g/L", "0.000001"),
    ("mg/L", "g/L", "0.001"),
    ("ug/mL", "g/L", "0.001"),
    ("mg/dL", "g/L", "0.01"),
    ("g/L", "g/L", "1"),
    ("g/dL", "g/L", "10"),
    ("1", "1", "1"),
    ("%", "1", "0.01"),
    ("J", "J", "1"),
    ("kJ", "J", "1000"),
    ("cal", "J", "4.184"),
    ("kcal", "J", "4184"),
];

/// The base unit and factor of a UCUM code; what stands in braces says nothing.
fn canonical(code: &str) -> Option<(&'static str, Decimal)> {
    let mut bare = String::with_capacity(code.len());
    let mut depth = 0_u32;
    for c in code.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1)?,
            _ if depth == 0 => bare.push(c),
            _ => {}
        }
    }
    let bare = if bare.is_empty() { "1" } else { &bare };
    let (_, base, factor) = UNITS.iter().find(|(code, _, _)| *code == bare)?;
    Some((base, Decimal::parse(factor)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::json::{Json, Limits};

    fn found(param: &str, value: &str) -> bool {
        let json = Json::parse(value.as_bytes().to_vec(), Limits::RESOURCE).unwrap();
        NumberParam::parse(param, true)
            .unwrap()
            .matches(json.root())
    }

    #[test]
    fn digits_say_how_near() {
        for (param, value, expected) in [
            ("100", r#"{"value":99.5}"#, true),
            ("100", r#"{"value":99.49}"#, false),
            ("100", r#"{"value":100.4999}"#, true),
            ("100", r#"{"value":100.5}"#, false),
            ("100.00", r#"{"value":99.995}"#, true),
            ("100.00", r#"{"value":100.005}"#, false),
            ("5.4", r#"{"value":5.40}"#, true),
            ("-5", r#"{"value":-5.5}"#, true),
            ("-5", r#"{"value":-4.5}"#, false),
            ("ne100", r#"{"value":100.4}"#, false),
            ("ne100", r#"{"value":100.5}"#, true),
            ("gt100", r#"{"value":100.1}"#, true),
            ("ap100", r#"{"value":110.0}"#, true),
            ("ap100", r#"{"value":110.1}"#, false),
            ("ap100", r#"{"value":90}"#, true),
            ("ap100", r#"{"value":89.9}"#, false),
            ("ap-100", r#"{"value":-110}"#, true),
            ("ap-100", r#"{"value":-111}"#, false),
            ("ap100", r#"{"value":80,"comparator":">"}"#, true),
            (
                "ap100",
                r#"{"low":{"value":105},"high":{"value":200}}"#,
                true,
            ),
            ("gt100", r#"{"value":100}"#, false),
            ("ge100", r#"{"value":100}"#, true),
            ("ge100", r#"{"value":99.9}"#, false),
            ("lt100", r#"{"value":99.9}"#, true),
            ("lt100", r#"{"value":100}"#, false),
            ("le100", r#"{"value":100.0}"#, true),
            ("le100", r#"{"value":100.1}"#, false),
            ("sa100", r#"{"value":101}"#, true),
            ("eb100", r#"{"value":99}"#, true),
            ("eb100", r#"{"value":100}"#, false),
            ("lt5", r#"{"value":5,"comparator":"<"}"#, true),
            ("5", r#"{"value":5,"comparator":"<"}"#, false),
            ("gt7", r#"{"value":5,"comparator":">"}"#, true),
            ("gt5", r#"{"unit":"x"}"#, false),
            ("gt5", r#"{"low":{"value":3},"high":{"value":6}}"#, true),
            ("sa5", r#"{"low":{"value":3},"high":{"value":6}}"#, false),
        ] {
            assert_eq!(found(param, value), expected, "{param} {value}");
        }
    }

    #[test]
    fn units_meet_by_ucum() {
        let ucum = "http://unitsofmeasure.org";
        let quantity = |value: &str, code: &str| {
            format!(r#"{{"value":{value},"unit":"words","system":"{ucum}","code":"{code}"}}"#)
        };
        for (param, value, code, expected) in [
            ("5.4|S|kg", "5400", "g", true),
            ("5.4|S|kg", "5350", "g", true),
            ("5.4|S|kg", "5349", "g", false),
            ("5.4|S|kg", "5450", "g", false),
            ("gt1|S|h", "61", "min", true),
            ("gt1|S|h", "60", "min", false),
            ("60|S|/min", "60", "{beats}/min", true),
            ("gt1|S|kg", "5", "m", false),
            ("gt1|S|kg", "5", "[foo]", false),
            ("gt1|S|[foo]", "5", "[foo]", true),
            ("gt1||words", "5", "kg", true),
            ("gt1||kg", "5", "kg", true),
            ("gt1||g", "5", "kg", false),
            ("gt1|urn:x|kg", "5", "kg", false),
        ] {
            let param = param.replace('S', ucum);
            assert_eq!(
                found(&param, &quantity(value, code)),
                expected,
                "{param} {value} {code}"
            );
        }
        assert!(!found(
            &format!("gt1|{ucum}|kg"),
            r#"{"value":5,"unit":"kg"}"#
        ));
        for (code, _, factor) in UNITS {
            assert!(Decimal::parse(factor).is_some(), "{code}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in [
            "", "x", "1e2", "5,4", "ap", "xx5", "gt", "5|kg", "5|a|", "5|a|b|c", "--5", ".5", "5.",
            "05", " 5",
        ] {
            assert!(NumberParam::parse(bad, true).is_err(), "{bad}");
        }
        assert!(NumberParam::parse("5||kg", false).is_err());
    }
}
