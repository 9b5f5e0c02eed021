//! Builds one Observation as a home system or a record system sends it: VkpObservation's general profile
//! (spec/measurements.md section 3), which alone can name the patient as author and the responsible organisation.

use crate::calendar::fhir_time;
use crate::dice::named;
use crate::kinds::Kind;
use crate::people::{Patient, Practitioner};
use fhir::systems;
use jiff::Zoned;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The general VkpObservation profile.
pub const GENERAL_PROFILE: &str =
    "http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation";
/// System of invented device serial numbers.
pub const DEVICE_SYSTEM: &str = "https://delt.example/fhir/NamingSystem/synthetic-device";

/// A device of a scenario; everything about it is invented.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// What people call it.
    pub name: String,
    /// Serial number.
    pub serial: String,
    /// Id of the organisation that owns it.
    pub owner: String,
}

/// Who measured.
#[derive(Clone, Copy, Debug)]
pub enum Author<'a> {
    /// The patient at home.
    Patient,
    /// Health personnel, by name and role; their national identity number is not sent with readings.
    Practitioner(&'a Practitioner),
}

/// The responsible organisation (dataansvarlig), as main unit, sub-unit or RESH id.
#[derive(Clone, Copy, Debug)]
pub struct Responsible<'a> {
    /// [`systems::ORGNR`] or [`systems::RESH`].
    pub system: &'a str,
    /// Its number.
    pub value: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// One reading on its way to FHIR.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Names the reading for good: the business identifier is made from it, so a resend is the same reading.
    pub key: &'a str,
    /// What was measured.
    pub kind: Kind,
    /// The value as text, so that its decimals stay as they were; `systolic/diastolic` for blood pressure.
    pub value: &'a str,
    /// When it was measured.
    pub taken: &'a Zoned,
    /// When the sending system had it.
    pub issued: &'a Zoned,
    /// Observation status.
    pub status: &'a str,
    /// Whose it is.
    pub patient: &'a Patient,
    /// Who measured.
    pub author: Author<'a>,
    /// For whom.
    pub responsible: Responsible<'a>,
    /// With what.
    pub device: Option<&'a Device>,
}

/// The business identifier made from a key: `urn:ietf:rfc:3986` and a `urn:uuid:`.
pub fn identifier(key: &str) -> (&'static str, String) {
    (systems::URI, format!("urn:uuid:{}", named(key)))
}

/// A patient as a logical reference.
pub fn subject(patient: &Patient) -> Value {
    json!({
        "type": "Patient",
        "identifier": { "system": systems::FNR, "value": patient.number },
        "display": format!("{} (syntetisk)", patient.name),
    })
}

/// An organisation as a logical reference.
pub fn organisation(responsible: Responsible<'_>) -> Value {
    json!({
        "type": "Organization",
        "identifier": { "system": responsible.system, "value": responsible.value },
        "display": responsible.name,
    })
}

/// A decimal given as text, as a JSON number; `null` if it is none, which every check refuses.
pub fn decimal(text: &str) -> Value {
    serde_json::from_str::<serde_json::Number>(text).map_or(Value::Null, Value::Number)
}

/// A UCUM Quantity.
pub fn quantity(value: &str, kind: Kind) -> Value {
    let (code, unit) = kind.codes().unit;
    json!({ "value": decimal(value), "unit": unit, "system": systems::UCUM, "code": code })
}

/// A kind's codes as a CodeableConcept.
pub fn code(kind: Kind) -> Value {
    let codes = kind.codes();
    let named = |system: &str, (code, display): (&str, &str)| json!({ "system": system, "code": code, "display": display });
    let loinc = codes.loinc.map(|c| named(systems::LOINC, c));
    let snomed = codes.snomed.map(|c| named(systems::SNOMED, c));
    let local = codes
        .local
        .map(|code| json!({ "system": fhir::measurement::LOCAL, "code": code }));
    let codings: Vec<Value> = loinc.into_iter().chain(snomed).chain(local).collect();
    json!({ "coding": codings, "text": codes.text })
}

/// The reading as an Observation.
pub fn observation(reading: &Reading<'_>) -> Value {
    let codes = reading.kind.codes();
    let (system, value) = identifier(reading.key);
    let author = match reading.author {
        Author::Patient => subject(reading.patient),
        Author::Practitioner(p) => {
            json!({ "type": "Practitioner", "display": format!("{}, {} (syntetisk)", p.name, p.role) })
        }
    };
    let mut o = Map::new();
    let mut put = |name: &str, value: Value| o.insert(name.to_owned(), value);
    put("resourceType", json!("Observation"));
    put("meta", json!({ "profile": [GENERAL_PROFILE] }));
    put("identifier", json!([{ "system": system, "value": value }]));
    put("status", json!(reading.status));
    put(
        "category",
        json!([{ "coding": [{ "system": systems::OBSERVATION_CATEGORY, "code": codes.category }] }]),
    );
    put("code", code(reading.kind));
    put("subject", subject(reading.patient));
    put("effectiveDateTime", json!(fhir_time(reading.taken)));
    put("issued", json!(fhir_time(reading.issued)));
    put(
        "performer",
        json!([author, organisation(reading.responsible)]),
    );
    match reading.kind {
        Kind::BloodPressure => {
            let (systolic, diastolic) =
                reading.value.split_once('/').unwrap_or((reading.value, ""));
            put(
                "component",
                json!([
                    component(
                        "8480-6",
                        "Systolic blood pressure",
                        "271649006",
                        "Systolisk",
                        systolic
                    ),
                    component(
                        "8462-4",
                        "Diastolic blood pressure",
                        "271650006",
                        "Diastolisk",
                        diastolic
                    ),
                ]),
            );
        }
        Kind::Alertness => {
            // ACVPU's first letter.
            put(
                "valueCodeableConcept",
                json!({
                    "coding": [{ "system": systems::SNOMED, "code": "248234008", "display": "Mentally alert" }],
                    "text": "Våken",
                }),
            );
        }
        kind => {
            put("valueQuantity", quantity(reading.value, kind));
        }
    }
    if let Some(device) = reading.device {
        put(
            "device",
            json!({
                "type": "Device",
                "identifier": { "system": DEVICE_SYSTEM, "value": device.serial },
                "display": device.name,
            }),
        );
    }
    Value::Object(o)
}

fn component(loinc: &str, display: &str, snomed: &str, text: &str, value: &str) -> Value {
    json!({
        "code": {
            "coding": [
                { "system": systems::LOINC, "code": loinc, "display": display },
                { "system": systems::SNOMED, "code": snomed },
            ],
            "text": text,
        },
        "valueQuantity": quantity(value, Kind::BloodPressure),
    })
}
