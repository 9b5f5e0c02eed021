//! Every family of profiles that home systems state (spec: measurements section 1): a right reading is taken under each of its
//! addresses, and one that breaks what its profile says is refused with its place.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};

/// A pulse as home systems send it.
fn pulse(key: &str, profile: &[&str]) -> Value {
    let mut body = reading(ragnhild(), key, 78);
    body["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "8867-4"}, {"system": "http://snomed.info/sct", "code": "364075005"}]});
    body["valueQuantity"] = json!({"value": 78, "unit": "slag/min", "system": "http://unitsofmeasure.org", "code": "/min"});
    body["category"] = json!([{"coding": [{"system": fhir::systems::OBSERVATION_CATEGORY, "code": "vital-signs"}]}]);
    if !profile.is_empty() {
        body["meta"] = json!({"profile": profile});
    }
    body
}

/// Taken as it is; refused as an oxygen saturation under the same profile, and without its patient.
async fn taken_and_refused(profile: &[&str], code_is_bound: bool) {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let send = async |body: &Value| {
        let reply = hub.post(&home, "/fhir/Observation", body).await;
        let place = reply.json["issue"][0]["expression"][0]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (reply.status, place, reply.json)
    };
    let (status, _, words) = send(&pulse("r-1", profile)).await;
    assert_eq!(status, StatusCode::CREATED, "{profile:?}: {words}");
    let mut other = pulse("r-2", profile);
    let saturation = reading(ragnhild(), "r-2", 91);
    (other["code"], other["valueQuantity"]) = (
        saturation["code"].clone(),
        saturation["valueQuantity"].clone(),
    );
    let (status, place, words) = send(&other).await;
    if code_is_bound {
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{profile:?}");
        assert!(place.starts_with("Observation.code"), "{words}");
    } else {
        assert_eq!(status, StatusCode::CREATED, "{words}");
    }
    let mut nobodys = pulse("r-3", profile);
    nobodys.as_object_mut().unwrap().remove("subject");
    let (status, place, words) = send(&nobodys).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{profile:?}");
    assert!(place.starts_with("Observation.subject"), "{words}");
}

#[tokio::test]
async fn plain_r4_without_any_profile() {
    taken_and_refused(&[], false).await;
}

#[tokio::test]
async fn vital_signs_of_hl7() {
    taken_and_refused(&["http://hl7.org/fhir/StructureDefinition/heartrate"], true).await;
}

#[tokio::test]
async fn vkp_observation_0_5() {
    taken_and_refused(
        &["http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation-Heartrate"],
        true,
    )
    .await;
    taken_and_refused(
        &["http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation-Heartrate|0.5.2"],
        true,
    )
    .await;
    taken_and_refused(
        &["http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation"],
        false,
    )
    .await;
}

#[tokio::test]
async fn the_older_canonicals_of_ehelse_no() {
    taken_and_refused(
        &["http://ehelse.no/fhir/StructureDefinition/vkp-Observation-Heartrate-v090"],
        true,
    )
    .await;
    taken_and_refused(
        &["http://ehelse.no/fhir/StructureDefinition/vkp-Observation-v090"],
        false,
    )
    .await;
}

#[tokio::test]
async fn vital_signs_of_no_domain() {
    let heart = "http://hl7.no/fhir/no-domain/vitalsigns/StructureDefinition/no-domain-VitalSigns-Observation-heartrate";
    taken_and_refused(&[heart], true).await;
}
