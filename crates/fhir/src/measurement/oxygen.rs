//! What a reading itself says that the patient breathed: no-domain VitalSigns 0.9.0 has it as the extension `inspiredOxygen` of a saturation
//! (0..*) or a respiration (0..1), with flow, FiO2, per cent and "on air" in it; others send components (LOINC 3151-8 flow, 3150-6 per
//! cent). The published example of no-domain says air and six litres a minute at once; so all that is said must agree.

use super::Decimal;
use crate::json::Glance;
use crate::systems;

/// The extensions of no-domain VitalSigns begin so.
const NO_DOMAIN: &str =
    "http://hl7.no/fhir/no-domain/vitalsigns/StructureDefinition/NoDomainVitalSigns";
/// LOINC: inhaled oxygen flow rate.
const FLOW: &str = "3151-8";
/// LOINC: inhaled oxygen concentration, in per cent.
const PER_CENT: &str = "3150-6";

/// What was breathed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breathed {
    /// Room air.
    Air,
    /// Oxygen besides it, or under a higher part of it.
    Oxygen,
    /// The reading speaks of it, and contradicts itself or cannot be read: nobody knows.
    Unclear,
}

impl Breathed {
    /// What two statements come to.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Unclear }
    }
}

/// What an Observation says that was breathed; `None` where it says nothing of it.
#[must_use]
pub fn breathed(observation: Glance<'_>) -> Option<Breathed> {
    let extensions = members(observation, "extension");
    let inspired = extensions
        .filter(|one| is_of(*one, "InspiredOxygenExtension"))
        .map(|one| {
            let said = members(one, "extension").filter_map(part);
            // That oxygen was given by a mask, and not how much, is no word of air.
            said.reduce(Breathed::and).unwrap_or(Breathed::Unclear)
        });
    let components = members(observation, "component").filter_map(component);
    inspired.chain(components).reduce(Breathed::and)
}

/// A member of the extension; `None` for one that says nothing of what was breathed (the method).
fn part(extension: Glance<'_>) -> Option<Breathed> {
    let url = extension.get("url")?.str()?;
    let said = match url.strip_prefix(NO_DOMAIN)? {
        "FlowExtension" => extension.get("valueQuantity").and_then(flow),
        "FiO2Extension" | "PercentO2Extension" => extension.get("valueRatio").and_then(|ratio| {
            let side = |name| number(ratio.get(name)?);
            fraction(side("numerator")?, side("denominator")?)
        }),
        "OnAirExtension" => {
            let air = extension.get("valueBoolean").and_then(Glance::bool);
            air.map(|air| if air { Breathed::Air } else { Breathed::Oxygen })
        }
        _ => return None,
    };
    Some(said.unwrap_or(Breathed::Unclear))
}

fn component(component: Glance<'_>) -> Option<Breathed> {
    let is = |code: &str| {
        let codings = component.get("code")?.get("coding")?;
        let mut loinc = codings.items().filter(|one| {
            one.get("system").and_then(Glance::str).as_deref() == Some(systems::LOINC)
        });
        loinc.find(|one| one.get("code").and_then(Glance::str).as_deref() == Some(code))
    };
    let quantity = component.get("valueQuantity");
    let said = if is(FLOW).is_some() {
        flow(quantity?)
    } else {
        is(PER_CENT)?;
        fraction(number(quantity?)?, Decimal::parse("100")?)
    };
    Some(said.unwrap_or(Breathed::Unclear))
}

/// Nothing is air in whatever unit, and anything is oxygen.
fn flow(quantity: Glance<'_>) -> Option<Breathed> {
    let value = number(quantity)?;
    match value.cmp(&Decimal::ZERO) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(Breathed::Air),
        std::cmp::Ordering::Greater => Some(Breathed::Oxygen),
    }
}

/// Air is 20.9 per cent oxygen, and is said as 20 or 21.
fn fraction(part: Decimal, of: Decimal) -> Option<Breathed> {
    let per_cent = |n: &str| of.times(Decimal::parse(n)?);
    let hundredfold = part.times(Decimal::parse("100")?)?;
    let (least, air, all) = (per_cent("20")?, per_cent("21")?, per_cent("100")?);
    if of <= Decimal::ZERO || hundredfold < least || hundredfold > all {
        None
    } else if hundredfold <= air {
        Some(Breathed::Air)
    } else {
        Some(Breathed::Oxygen)
    }
}

/// A number that is exactly that.
fn number(quantity: Glance<'_>) -> Option<Decimal> {
    if quantity.get("comparator").is_some() {
        return None;
    }
    Decimal::parse(quantity.get("value")?.number()?)
}

fn is_of(extension: Glance<'_>, name: &str) -> bool {
    let url = extension.get("url").and_then(Glance::str);
    url.is_some_and(|url| url.strip_prefix(NO_DOMAIN) == Some(name))
}

fn members<'a>(of: Glance<'a>, name: &str) -> impl Iterator<Item = Glance<'a>> {
    of.get(name).into_iter().flat_map(Glance::items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(observation: &Value) -> Option<Breathed> {
        breathed(Glance::of(observation.to_string().as_bytes()))
    }

    fn part(name: &str, value: &Value) -> Value {
        let mut part = value.clone();
        part["url"] = json!(format!("{NO_DOMAIN}{name}Extension"));
        part
    }

    fn inspired(parts: &[Value]) -> Value {
        json!({"extension": [{"url": format!("{NO_DOMAIN}InspiredOxygenExtension"), "extension": parts}]})
    }

    fn flow(value: &Value) -> Value {
        part(
            "Flow",
            &json!({ "valueQuantity": { "value": value, "unit": "ml/min" } }),
        )
    }

    fn ratio(name: &str, of: &Value, all: &Value) -> Value {
        let ratio = json!({ "numerator": { "value": of }, "denominator": { "value": all } });
        part(name, &json!({ "valueRatio": ratio }))
    }

    fn on_air(value: bool) -> Value {
        part("OnAir", &json!({ "valueBoolean": value }))
    }

    #[test]
    fn the_published_example_contradicts_itself_and_is_not_taken_for_air() {
        let published = [
            flow(&json!(6100)),
            ratio("FiO2", &json!(21), &json!(100)),
            ratio("PercentO2", &json!(21), &json!(100)),
            on_air(true),
            part("MethodofOxygenDelivery", &json!({ "valueString": "Maske" })),
        ];
        assert_eq!(said(&inspired(&published)), Some(Breathed::Unclear));
        assert_eq!(said(&inspired(&published[1..])), Some(Breathed::Air));
        assert_eq!(said(&inspired(&published[..1])), Some(Breathed::Oxygen));
        assert_eq!(
            said(&inspired(&published[4..])),
            Some(Breathed::Unclear),
            "a mask"
        );
    }

    #[test]
    fn each_way_of_saying_it() {
        use Breathed::{Air, Oxygen, Unclear};
        let of = |of: &Value, all: &Value| ratio("FiO2", of, all);
        let bound = json!({ "valueQuantity": { "value": 2, "comparator": "<" } });
        for (one, expected) in [
            (flow(&json!(0)), Air),
            (flow(&json!(0.5)), Oxygen),
            (flow(&json!(-1)), Unclear),
            (flow(&json!("2")), Unclear),
            (part("Flow", &bound), Unclear),
            (of(&json!(0.21), &json!(1)), Air),
            (of(&json!(20.9), &json!(100)), Air),
            (of(&json!(20), &json!(100)), Air),
            (of(&json!(19.9), &json!(100)), Unclear),
            (of(&json!(21.1), &json!(100)), Oxygen),
            (of(&json!(100), &json!(100)), Oxygen),
            (of(&json!(101), &json!(100)), Unclear),
            (of(&json!(21), &json!(0)), Unclear),
            (on_air(true), Air),
            (on_air(false), Oxygen),
        ] {
            assert_eq!(
                said(&inspired(std::slice::from_ref(&one))),
                Some(expected),
                "{one}"
            );
        }
        let component = |code: &str, value: u32| {
            let code = json!({ "coding": [{ "system": systems::LOINC, "code": code }] });
            json!({ "component": [{ "code": code, "valueQuantity": { "value": value } }] })
        };
        for (code, value, expected) in [
            (FLOW, 2, Some(Oxygen)),
            (FLOW, 0, Some(Air)),
            (PER_CENT, 28, Some(Oxygen)),
            (PER_CENT, 21, Some(Air)),
            ("8480-6", 138, None),
        ] {
            assert_eq!(said(&component(code, value)), expected, "{code} {value}");
        }
        let mut both = component(FLOW, 2);
        both["extension"] = inspired(&[on_air(true)])["extension"].clone();
        assert_eq!(said(&both), Some(Unclear));
        assert_eq!(said(&json!({ "extension": [{ "url": "urn:x" }] })), None);
        assert_eq!(said(&json!({})), None);
    }
}
