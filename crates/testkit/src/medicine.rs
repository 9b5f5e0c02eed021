//! Builds one line of a medication list as a MedicationStatement with a contained Medication that carries FEST and ATC
//! (plans-medication-other.md section 3.1 and our minimal read of 3.3).

use crate::calendar::{Calendar, fhir_time};
use crate::observation::{self, Responsible};
use crate::people::{Patient, ScenarioError};
use crate::rows;
use fhir::systems;
use jiff::Zoned;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Canonical of no-basis-MedicationStatement.
pub const PROFILE: &str = "http://hl7.no/fhir/StructureDefinition/no-basis-MedicationStatement";

/// One medicine on one list, as data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Medicine {
    /// Short id.
    pub id: String,
    /// Id of the organisation whose list it stands on.
    pub source: String,
    /// `DAY HH:MM` when it was entered.
    pub enters: String,
    /// First day of use.
    pub from: i32,
    /// Last day of use, of a course that is over.
    #[serde(default)]
    pub through: Option<i32>,
    /// Last planned day of use, of a course that runs.
    #[serde(default)]
    pub stops: Option<i32>,
    /// ATC code.
    pub atc: String,
    /// The ATC code's name.
    pub atc_name: String,
    /// Invented FEST id.
    pub fest: String,
    /// Name with strength.
    pub name: String,
    /// Form in words; FEST's own form codes (OID 7448) are left to real data.
    pub form: String,
    /// Dosage in words.
    pub dosage: String,
    /// Times of day.
    #[serde(default)]
    pub times: Vec<String>,
    /// Taken when needed.
    #[serde(default)]
    pub as_needed: bool,
    /// One dose.
    #[serde(default)]
    pub dose: Option<Dose>,
}

/// An amount per dose.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dose {
    value: String,
    unit: String,
}

/// When it was entered.
///
/// # Errors
/// A time that cannot be read.
pub fn entered(medicine: &Medicine, calendar: &Calendar) -> Result<Zoned, ScenarioError> {
    let (day, time) = rows::day_time(&medicine.enters).ok_or_else(|| {
        ScenarioError::Value(format!("medicine {}: enters is not DAY HH:MM", medicine.id))
    })?;
    Ok(calendar.at(day, time))
}

/// The business identifier's key.
pub fn key(scenario: &str, medicine: &str) -> String {
    format!("{scenario}/medicine/{medicine}")
}

/// The medicine as a MedicationStatement.
///
/// # Errors
/// A time that cannot be read.
pub fn statement(
    medicine: &Medicine,
    scenario: &str,
    calendar: &Calendar,
    patient: &Patient,
    source: Responsible<'_>,
) -> Result<Value, ScenarioError> {
    let (system, value) = observation::identifier(&key(scenario, &medicine.id));
    let mut period = Map::from_iter([(
        "start".to_owned(),
        json!(calendar.date(medicine.from).to_string()),
    )]);
    if let Some(last) = medicine.through.or(medicine.stops) {
        period.insert("end".to_owned(), json!(calendar.date(last).to_string()));
    }
    let mut dosage = Map::from_iter([
        ("sequence".to_owned(), json!(1)),
        ("text".to_owned(), json!(medicine.dosage)),
    ]);
    if medicine.as_needed {
        dosage.insert("asNeededBoolean".to_owned(), json!(true));
    }
    if !medicine.times.is_empty() {
        let times: Vec<String> = medicine
            .times
            .iter()
            .map(|time| format!("{time}:00"))
            .collect();
        dosage.insert(
            "timing".to_owned(),
            json!({ "repeat": { "timeOfDay": times } }),
        );
    }
    if let Some(dose) = &medicine.dose {
        let quantity = json!({
            "value": observation::decimal(&dose.value), "unit": dose.unit, "system": systems::UCUM, "code": dose.unit,
        });
        dosage.insert(
            "doseAndRate".to_owned(),
            json!([{ "doseQuantity": quantity }]),
        );
    }
    Ok(json!({
        "resourceType": "MedicationStatement",
        "meta": { "profile": [PROFILE] },
        "contained": [{
            "resourceType": "Medication",
            "id": "medication",
            "code": {
                "coding": [
                    { "system": systems::FEST, "code": medicine.fest, "display": medicine.name },
                    { "system": systems::ATC, "code": medicine.atc, "display": medicine.atc_name },
                ],
                "text": medicine.name,
            },
            "form": { "text": medicine.form },
        }],
        "identifier": [{ "system": system, "value": value }],
        "status": if medicine.through.is_some() { "completed" } else { "active" },
        "medicationReference": { "reference": "#medication", "display": medicine.name },
        "subject": observation::subject(patient),
        "effectivePeriod": period,
        "dateAsserted": fhir_time(&entered(medicine, calendar)?),
        "informationSource": observation::organisation(source),
        "dosage": [dosage],
    }))
}
