//! Medication lists of several organisations, matched by substance: lines with one ATC code at several organisations are
//! told to belong together, and whether their doses are the same. Nothing is merged: which dose is right, people find out.

use super::Merged;
use fhir::json::{Json, Kind, Limits, Node};
use fhir::measurement::Decimal;
use fhir::systems;
use std::collections::{BTreeMap, BTreeSet};

/// Codes of lists that hold now; what was stopped or entered in error contradicts nobody.
const HOLDS: [&str; 4] = ["active", "intended", "on-hold", "unknown"];
/// Parts of a dosage that say how much, how and when.
const DOSE: [&str; 5] = ["timing", "asNeeded", "route", "doseAndRate", "maxDose"];

/// A line's substance and dose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substance {
    /// ATC code.
    pub atc: String,
    /// What is taken, in a form that can be compared; `None`: the line does not say.
    dose: Option<String>,
}

/// Lines of other organisations with the same substance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kin {
    /// ATC code.
    pub atc: String,
    /// How the doses stand to each other.
    pub dose: Dose,
    /// Addresses of the other lines, sorted.
    pub others: Vec<String>,
}

/// Whether two organisations have the same dose in their lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dose {
    /// They do.
    Same,
    /// They do not: to be cleared up.
    Differs,
    /// One of them does not say.
    Unknown,
}

impl Dose {
    /// The code in the answer.
    pub fn as_str(self) -> &'static str {
        match self {
            Dose::Same => "same",
            Dose::Differs => "differs",
            Dose::Unknown => "unknown",
        }
    }
}

/// The substance of a MedicationStatement that holds now, by its own code or its contained Medication's.
pub fn of(line: Node<'_>) -> Option<Substance> {
    let status = line.text("status")?;
    if !HOLDS.contains(&status.as_ref()) {
        return None;
    }
    let contained = line.path(&["medicationReference", "reference"]);
    let contained = contained.and_then(Node::str).and_then(|reference| {
        let id = reference.strip_prefix('#')?.to_owned();
        let all = line.all(&["contained"]);
        all.into_iter()
            .find(|one| one.text("id").is_some_and(|own| own == id))
    });
    let codes = line.get("medicationCodeableConcept");
    let codes = codes.or_else(|| contained.and_then(|medication| medication.get("code")));
    let atc = codes?.all(&["coding"]).into_iter().find_map(|coding| {
        let system = coding.text("system")?;
        (system == systems::ATC || system == systems::ATC_OID)
            .then(|| coding.text("code"))
            .flatten()
    })?;
    Some(Substance {
        atc: atc.into_owned(),
        dose: dose(line),
    })
}

/// The dosages, each as its parts that say how much, how and when; where there are none, as its words.
fn dose(line: Node<'_>) -> Option<String> {
    let mut all: Vec<String> = line
        .all(&["dosage"])
        .into_iter()
        .filter_map(|dosage| {
            let mut out = String::new();
            let parts = dosage
                .members()
                .filter(|(name, _)| DOSE.iter().any(|part| name.starts_with(part)));
            let parts: BTreeMap<String, Node<'_>> = parts
                .map(|(name, value)| (name.into_owned(), value))
                .collect();
            if parts.keys().any(|name| name == "doseAndRate") {
                for (name, value) in parts {
                    out.push_str(&name);
                    plain(value, &mut out);
                }
                return Some(out);
            }
            let words = dosage.text("text")?;
            let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
            Some(words.join(" "))
        })
        .collect();
    all.sort();
    (!all.is_empty()).then(|| all.join("\n"))
}

/// A value without what makes no difference: the order of members, zeroes at a number's end, how a unit is shown.
fn plain(value: Node<'_>, out: &mut String) {
    match value.kind() {
        Kind::Object => {
            let all: BTreeMap<_, _> = value
                .members()
                .map(|(name, value)| (name.into_owned(), value))
                .collect();
            let coded = all.contains_key("code");
            out.push('{');
            for (name, value) in all {
                if coded && matches!(name.as_str(), "unit" | "display") {
                    continue;
                }
                out.push_str(&name);
                plain(value, out);
            }
            out.push('}');
        }
        Kind::Array => {
            out.push('[');
            value.items().for_each(|item| plain(item, out));
            out.push(']');
        }
        Kind::Number => {
            let text = value.raw();
            let number = Decimal::parse(text).map(|number| number.to_string());
            let number = number.unwrap_or_else(|| text.to_owned());
            match number.contains('.') {
                true => out.push_str(number.trim_end_matches('0').trim_end_matches('.')),
                false => out.push_str(&number),
            }
            out.push(';');
        }
        _ => {
            out.push_str(value.raw());
            out.push(';');
        }
    }
}

/// Tells lines of one substance at several organisations of each other.
pub fn relate(lines: &mut [Merged]) {
    // Substance → organisation → doses, and the lines there.
    let mut lists: BTreeMap<String, BTreeMap<String, BTreeSet<Option<String>>>> = BTreeMap::new();
    let mut places: BTreeMap<String, Vec<(BTreeSet<String>, String)>> = BTreeMap::new();
    for line in lines.iter() {
        let (Some(substance), Some(first)) = (substance(line), line.routes.first()) else {
            continue;
        };
        let of: BTreeSet<String> = line
            .routes
            .iter()
            .map(|route| route.orgnr.clone())
            .collect();
        let organisations = lists.entry(substance.atc.clone()).or_default();
        for orgnr in &of {
            let doses = organisations.entry(orgnr.clone()).or_default();
            doses.insert(substance.dose.clone());
        }
        let place = (of, first.full_url.clone());
        places.entry(substance.atc).or_default().push(place);
    }
    for line in lines {
        let Some(substance) = substance(line) else {
            continue;
        };
        let own: BTreeSet<&str> = line
            .routes
            .iter()
            .map(|route| route.orgnr.as_str())
            .collect();
        let Some(organisations) = lists.get(&substance.atc).filter(|all| all.len() > 1) else {
            continue;
        };
        let known = organisations.values().all(|doses| !doses.contains(&None));
        let mut all = organisations.values();
        let first = all.next();
        let same = all.all(|doses| Some(doses) == first);
        let others = places.get(&substance.atc).into_iter().flatten();
        let mut others: Vec<String> = others
            .filter(|(of, _)| of.iter().any(|orgnr| !own.contains(orgnr.as_str())))
            .filter(|(_, place)| line.routes.iter().all(|route| route.full_url != *place))
            .map(|(_, place)| place.clone())
            .collect();
        others.sort();
        if others.is_empty() {
            continue;
        }
        line.kin = Some(Kin {
            atc: substance.atc,
            dose: match (known, same) {
                (false, _) => Dose::Unknown,
                (true, true) => Dose::Same,
                (true, false) => Dose::Differs,
            },
            others,
        });
    }
}

fn substance(line: &Merged) -> Option<Substance> {
    let json = Json::parse(line.body.clone(), Limits::BUNDLE).ok()?;
    of(json.root())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    fn line(rest: &str) -> Option<Substance> {
        let text = format!(
            r#"{{"resourceType":"MedicationStatement","medicationCodeableConcept":{{"coding":[{{"system":"{}","code":"H02AB06"}}]}},{rest}}}"#,
            systems::ATC
        );
        of(Json::parse(text, Limits::RESOURCE).unwrap().root())
    }

    fn dose_of(dosage: &str) -> Option<String> {
        line(&format!(r#""status":"active","dosage":[{dosage}]"#))
            .unwrap()
            .dose
    }

    #[test]
    fn a_dose_is_what_is_taken_not_how_it_is_written() {
        let thirty = dose_of(
            r#"{"text":"30 mg daglig","doseAndRate":[{"doseQuantity":{"value":30,"unit":"mg","code":"mg"}}]}"#,
        );
        for same in [
            r#"{"sequence":2,"doseAndRate":[{"doseQuantity":{"code":"mg","value":30.0}}]}"#,
            r#"{"text":"tretti","doseAndRate":[{"doseQuantity":{"value":30.00,"unit":"milligram","code":"mg"}}]}"#,
        ] {
            assert_eq!(dose_of(same), thirty, "{same}");
        }
        for other in [
            r#"{"doseAndRate":[{"doseQuantity":{"value":40,"code":"mg"}}]}"#,
            r#"{"doseAndRate":[{"doseQuantity":{"value":30,"code":"ug"}}]}"#,
            r#"{"timing":{"repeat":{"frequency":2}},"doseAndRate":[{"doseQuantity":{"value":30,"code":"mg"}}]}"#,
            r#"{"text":"30 mg daglig"}"#,
        ] {
            assert_ne!(dose_of(other), thirty, "{other}");
        }
        assert_eq!(
            dose_of(r#"{"text":"1  tablett\nDaglig"}"#),
            dose_of(r#"{"text":"1 tablett daglig"}"#)
        );
        assert_eq!(line(r#""status":"active""#).unwrap().dose, None);
        assert_eq!(line(r#""status":"stopped""#), None);
    }

    #[test]
    fn the_code_may_be_a_contained_medications() {
        let text = format!(
            r##"{{"status":"active","medicationReference":{{"reference":"#m"}},"contained":[{{"resourceType":"Medication","id":"m","code":{{"coding":[{{"system":"{}","code":"J01CA04"}}]}}}}]}}"##,
            systems::ATC_OID
        );
        let json = Json::parse(text, Limits::RESOURCE).unwrap();
        assert_eq!(of(json.root()).unwrap().atc, "J01CA04");
    }
}
