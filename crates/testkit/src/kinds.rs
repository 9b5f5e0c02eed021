//! The measurement kinds that the scenarios speak of, with the codes and units of VkpObservation
//! (spec/measurements.md section 2). What is not in that table (oxygen flow, CAT) says where it is from.

/// A kind of reading in a scenario row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Oxygen saturation, %.
    Spo2,
    /// Pulse, /min.
    Pulse,
    /// Blood pressure, `mm[Hg]`, `systolic/diastolic`.
    BloodPressure,
    /// Body weight, kg.
    Weight,
    /// Body temperature, Cel.
    Temperature,
    /// Respiratory rate, /min.
    Respiration,
    /// Inhaled oxygen, L/min; 0 is room air.
    Oxygen,
    /// COPD Assessment Test, points.
    Cat,
    /// Level of consciousness (ACVPU); the one word scenarios use is `alert`.
    Alertness,
}

/// What a kind is in FHIR.
pub struct Codes {
    /// The word in scenario rows.
    pub word: &'static str,
    /// Norwegian name, `code.text`.
    pub text: &'static str,
    /// LOINC code and display.
    pub loinc: Option<(&'static str, &'static str)>,
    /// SNOMED CT code and display.
    pub snomed: Option<(&'static str, &'static str)>,
    /// Our own code where LOINC's says too little ([`fhir::measurement::LOCAL`]).
    pub local: Option<&'static str>,
    /// UCUM code of the value, and how it is written for people.
    pub unit: (&'static str, &'static str),
    /// Observation category.
    pub category: &'static str,
}

/// Every kind with its codes.
pub const KINDS: &[(Kind, Codes)] = &[
    (
        Kind::Spo2,
        Codes {
            word: "spo2",
            text: "Oksygenmetning",
            loinc: Some(("2708-6", "Oxygen saturation in Arterial blood")),
            snomed: Some(("431314004", "Peripheral oxygen saturation")),
            local: None,
            unit: ("%", "%"),
            category: "vital-signs",
        },
    ),
    (
        Kind::Pulse,
        Codes {
            word: "pulse",
            text: "Puls",
            loinc: Some(("8867-4", "Heart rate")),
            snomed: Some(("364075005", "Heart rate")),
            local: None,
            unit: ("/min", "slag/min"),
            category: "vital-signs",
        },
    ),
    (
        Kind::BloodPressure,
        Codes {
            word: "bp",
            text: "Blodtrykk",
            loinc: Some(("85354-9", "Blood pressure panel with all children optional")),
            snomed: Some(("75367002", "Blood pressure")),
            local: None,
            unit: ("mm[Hg]", "mmHg"),
            category: "vital-signs",
        },
    ),
    (
        Kind::Weight,
        Codes {
            word: "weight",
            text: "Kroppsvekt",
            loinc: Some(("29463-7", "Body weight")),
            snomed: Some(("27113001", "Body weight")),
            local: None,
            unit: ("kg", "kg"),
            category: "vital-signs",
        },
    ),
    (
        Kind::Temperature,
        Codes {
            word: "temp",
            text: "Kroppstemperatur",
            loinc: Some(("8310-5", "Body temperature")),
            snomed: Some(("276885007", "Core body temperature")),
            local: None,
            unit: ("Cel", "°C"),
            category: "vital-signs",
        },
    ),
    (
        Kind::Respiration,
        Codes {
            word: "resp",
            text: "Respirasjonsfrekvens",
            loinc: Some(("9279-1", "Respiratory rate")),
            snomed: Some(("86290005", "Respiratory rate")),
            local: None,
            unit: ("/min", "/min"),
            category: "vital-signs",
        },
    ),
    // LOINC; no Norwegian profile names oxygen use.
    (
        Kind::Oxygen,
        Codes {
            word: "oxygen",
            text: "Oksygentilførsel",
            loinc: Some(("3151-8", "Inhaled oxygen flow rate")),
            snomed: None,
            local: None,
            unit: ("L/min", "L/min"),
            category: "vital-signs",
        },
    ),
    // The questionnaire's total score; which questionnaire stands in `code.text` (spec/measurements.md section 7).
    (
        Kind::Cat,
        Codes {
            word: "cat",
            text: "CAT-skår (COPD Assessment Test)",
            loinc: Some(("74465-6", "Questionnaire response total score")),
            snomed: None,
            local: Some("cat-score"),
            unit: ("{score}", "poeng"),
            category: "survey",
        },
    ),
    (
        Kind::Alertness,
        Codes {
            word: "alertness",
            text: "Bevissthetsnivå (ACVPU)",
            loinc: None,
            snomed: Some(("1104441000000107", "Level of consciousness")),
            local: None,
            unit: ("", ""),
            category: "survey",
        },
    ),
];

impl Kind {
    /// The kind that a scenario row names.
    pub fn parse(word: &str) -> Option<Self> {
        KINDS
            .iter()
            .find(|(_, codes)| codes.word == word)
            .map(|(kind, _)| *kind)
    }

    /// Its codes.
    pub fn codes(self) -> &'static Codes {
        let found = KINDS.iter().find(|(kind, _)| *kind == self);
        found
            .map(|(_, codes)| codes)
            .expect("the table above has a row for each kind, which a test reads")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_row_and_its_word_leads_back() {
        use Kind::*;
        for kind in [
            Spo2,
            Pulse,
            BloodPressure,
            Weight,
            Temperature,
            Respiration,
            Oxygen,
            Cat,
            Alertness,
        ] {
            assert_eq!(Kind::parse(kind.codes().word), Some(kind));
        }
        assert_eq!(KINDS.len(), 9);
        assert_eq!(Kind::parse("SpO2"), None);
    }
}
