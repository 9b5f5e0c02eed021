//! One reading as a stranger's home system writes it: an unusual member order and decimals with a zero at the end, both of
//! which must come back as they were.

use fhir::time::Instant;
use serde_json::json;
use testkit::clients::now;
use wire::contract::demo::DemoPatient;

/// A weight in kilograms.
#[derive(Clone)]
pub struct Weight {
    /// National identity number.
    pub patient: String,
    /// Business identifier, new for each reading.
    pub identifier: String,
    /// The number as text.
    pub value: &'static str,
    /// When it was measured.
    pub taken: Instant,
    /// Observation status.
    pub status: &'static str,
    /// Organisation number in `performer`, if it names one.
    pub organisation: Option<&'static str>,
}

impl Weight {
    /// A weight measured five minutes ago.
    pub fn of(patient: &str) -> Weight {
        Weight {
            patient: patient.to_owned(),
            identifier: format!("urn:uuid:{}", uuid::Uuid::new_v4()),
            value: "61.40",
            taken: Instant(now().0 / 1_000_000 * 1_000_000 - 300_000_000),
            status: "final",
            organisation: None,
        }
    }

    /// The Observation.
    pub fn json(&self) -> String {
        let Weight {
            patient,
            identifier,
            value,
            taken,
            status,
            ..
        } = self;
        let organisation = self.organisation.map_or_else(String::new, |orgnr| {
            format!(r#","performer":[{{"type":"Organization","identifier":{{"system":"urn:oid:2.16.578.1.12.4.1.4.101","value":"{orgnr}"}}}}]"#)
        });
        format!(
            concat!(
                r#"{{"resourceType":"Observation","valueQuantity":{{"code":"kg","system":"http://unitsofmeasure.org","value":{value},"unit":"kg"}},"#,
                r#""effectiveDateTime":"{taken}","subject":{{"identifier":{{"value":"{patient}","system":"urn:oid:2.16.578.1.12.4.1.4.1"}}}},"#,
                r#""code":{{"coding":[{{"code":"29463-7","system":"http://loinc.org"}},{{"system":"http://snomed.info/sct","code":"27113001"}}]}},"#,
                r#""category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],"#,
                r#""identifier":[{{"value":"{identifier}","system":"urn:ietf:rfc:3986"}}],"status":"{status}"{organisation}}}"#
            ),
            value = value,
            taken = taken,
            patient = patient,
            identifier = identifier,
            status = status,
            organisation = organisation
        )
    }
}

/// A collection Bundle of resources, without `fullUrl` and `request` as CONTRACT section 6 allows.
pub fn collection(resources: &[String]) -> String {
    let entries: Vec<String> = resources
        .iter()
        .map(|resource| format!(r#"{{"resource":{resource}}}"#))
        .collect();
    format!(
        r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#,
        entries.join(",")
    )
}

/// Members of a JSON object's text in the order in which they stand.
pub fn member_order(json: &str) -> Vec<String> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
    object.keys().cloned().collect()
}

/// A saturation of 80 now, as a record system has it under its own `key`: red by any plan of the story.
pub fn red(patient: &DemoPatient, key: &str) -> String {
    let reading = json!({
        "resourceType": "Observation",
        "identifier": [{"system": "urn:example:epj", "value": key}],
        "status": "final",
        "category": [{"coding": [{"system": fhir::systems::OBSERVATION_CATEGORY, "code": "vital-signs"}]}],
        "code": {"coding": [{"system": fhir::systems::LOINC, "code": "59408-5"}]},
        "subject": {"identifier": {"system": fhir::systems::FNR, "value": patient.fnr.expose()}},
        "effectiveDateTime": now().to_string(),
        "valueQuantity": {"value": 80, "unit": "%", "system": fhir::systems::UCUM, "code": "%"},
    });
    reading.to_string()
}
