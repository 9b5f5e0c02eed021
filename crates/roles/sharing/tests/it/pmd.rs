//! The front door of Pasientens måledata on a service's own base: what a PMD client sends and asks is understood as it is.
//!
//! The bodies have the shape of PMD's published examples and VkpObservation's `pmd-Bundle-Observation`; they are ours.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};

const WHEN: &str = "2026-11-20T08:00:00+01:00";
const REQUEST: &str =
    "http://hl7.no/fhir/vkpobservation/StructureDefinition/pmd-Bundle-Observation";

const RESPONSE: &str = "http://hl7.no/fhir/vkpobservation/StructureDefinition/pmd-Bundle-Response";

/// An Observation with everything that PMD's example carries: status registered, author and organisation as performers, a
/// device named by identifier, an instant, a reference range with a type.
fn sent(key: &str, effective: (&str, &str)) -> Value {
    let mut body = reading(ragnhild(), key, WHEN, "93.0");
    body["status"] = "registered".into();
    body.as_object_mut().unwrap().remove("effectiveDateTime");
    body[effective.0] = effective.1.into();
    body["issued"] = "2026-11-20T08:00:05.123+01:00".into();
    body["performer"] = json!([
        { "type": "Patient", "identifier": { "system": fhir::systems::FNR, "value": ragnhild().number } },
        { "type": "Organization", "identifier": { "system": fhir::systems::ORGNR, "value": FJELLVIK }, "display": "Fjellvik kommune" },
    ]);
    body["device"] = json!({
        "identifier": { "system": "urn:example:devices", "value": "oximeter-7" },
        "type": "Device", "display": "Pulse oximeter",
    });
    body["referenceRange"] = json!([{
        "low": { "value": 92, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%" },
        "high": { "value": 100, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%" },
        "type": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/referencerange-meaning", "code": "normal" }] },
    }]);
    body
}

/// PMD's example: a collection with a municipality number as tag, an identifier and a timestamp, no requests.
fn collection(entries: &[Value]) -> Value {
    let mut sent = bundle("collection", entries);
    sent["meta"] = json!({ "tag": [{ "system": fhir::systems::MUNICIPALITY, "code": "9901", "display": "Fjellvik" }] });
    sent["identifier"] = json!({ "system": "urn:example:bundles", "value": "b-1" });
    sent["timestamp"] = "2026-11-20T08:01:00+01:00".into();
    sent
}

/// The profile's example: a batch that says what it is, with a request for each entry.
fn batch(entries: &[Value], method: &str, url: &str) -> Value {
    let mut sent = bundle("batch", entries);
    sent["meta"] = json!({ "profile": [REQUEST] });
    for entry in sent["entry"].as_array_mut().unwrap() {
        entry["request"] = json!({ "method": method, "url": url });
    }
    sent
}

/// Each entry of a `pmd-Bundle-Response` repeats the fullUrl, in the extension too, and has a status.
fn statuses(request: &Value, reply: &testkit::clients::Reply) -> Vec<String> {
    assert_eq!(
        (reply.status, &reply.json["type"]),
        (StatusCode::OK, &json!("batch-response")),
        "{}",
        reply.json
    );
    let entries = request["entry"].as_array().unwrap();
    let answers = reply.json["entry"].as_array().unwrap();
    assert_eq!(answers.len(), entries.len());
    entries
        .iter()
        .zip(answers)
        .map(|(entry, answer)| {
            assert_eq!(answer["fullUrl"], entry["fullUrl"]);
            assert_eq!(
                answer["response"]["extension"],
                json!([{ "url": fhir::systems::PMD_ENTRY_ID, "valueUri": entry["fullUrl"] }])
            );
            answer["response"]["status"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_collection_in_the_published_shape_is_taken_whole_and_kept_as_sent() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let request = collection(&[
        sent("instant", ("effectiveInstant", WHEN)),
        sent(
            "date-time",
            ("effectiveDateTime", "2026-11-20T08:05:00+01:00"),
        ),
    ]);
    let reply = service.post(&owner, "/", &request).await;
    assert_eq!(statuses(&request, &reply), ["201 Created", "201 Created"]);
    let form = [("patient.identifier", ragnhild().number.as_str())];
    let reply = service.search(&owner, "Observation", &form).await;
    let found = reply.matches();
    assert_eq!(found.len(), 2);
    for (of, kept) in request["entry"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .zip(&found)
    {
        for (name, value) in of["resource"].as_object().unwrap() {
            assert_eq!(&kept[name], value, "{name}");
        }
    }
}

#[tokio::test]
async fn a_batch_with_the_pmd_profile_is_answered_entry_by_entry_by_post_and_by_put() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    for (method, url) in [
        ("POST", "Observation"),
        ("PUT", "Observation"),
        ("PUT", "test.url"),
    ] {
        let key = |n: u32| format!("{method}-{url}-{n}");
        let mut bad = sent(&key(2), ("effectiveDateTime", WHEN));
        bad["status"] = "measured".into();
        let request = batch(
            &[sent(&key(1), ("effectiveDateTime", WHEN)), bad],
            method,
            url,
        );
        let reply = service.post(&owner, "/", &request).await;
        assert_eq!(
            statuses(&request, &reply),
            ["201 Created", "422 Unprocessable Entity"],
            "{method} {url}"
        );
        assert_eq!(
            issues(&reply.json["entry"][1]["response"]["outcome"]),
            ["code-invalid @ Bundle.entry[1].resource.status"]
        );
        // Sent again it is the same reading, and makes nothing new.
        let again = service.post(&owner, "/", &request).await;
        assert_eq!(statuses(&request, &again)[0], "200 OK");
    }
    // The profile takes readings alone, and an address of one resource is FHIR's update.
    let plan = json!({
        "resourceType": "CarePlan", "status": "active", "intent": "plan",
        "subject": { "identifier": { "system": fhir::systems::FNR, "value": ragnhild().number } },
    });
    let update = batch(
        &[sent("u", ("effectiveDateTime", WHEN))],
        "PUT",
        "Observation/00000000-0000-4000-8000-000000000001",
    );
    for (request, status) in [
        (
            batch(&[plan], "PUT", "test.url"),
            "422 Unprocessable Entity",
        ),
        (update, "428 Precondition Required"),
    ] {
        let reply = service.post(&owner, "/", &request).await;
        assert_eq!(statuses(&request, &reply), [status]);
    }
    // Without the profile a PUT means what FHIR says.
    let mut plain = batch(&[sent("x", ("effectiveDateTime", WHEN))], "PUT", "test.url");
    plain.as_object_mut().unwrap().remove("meta");
    let reply = service.post(&owner, "/", &plain).await;
    assert_eq!(statuses(&plain, &reply), ["422 Unprocessable Entity"]);
    assert_eq!(reply.json.get("meta"), None);
}

#[tokio::test]
async fn the_answer_names_the_profile_that_it_follows() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let request = batch(
        &[sent("a", ("effectiveDateTime", WHEN))],
        "POST",
        "Observation",
    );
    let reply = service.post(&owner, "/", &request).await;
    assert_eq!(statuses(&request, &reply), ["201 Created"]);
    assert_eq!(reply.json["meta"], json!({ "profile": [RESPONSE] }));
    // Without a fullUrl there is none to repeat, and the answer says nothing of a profile.
    let mut nameless = request;
    nameless["entry"][0]
        .as_object_mut()
        .unwrap()
        .remove("fullUrl");
    let reply = service.post(&owner, "/", &nameless).await;
    assert_eq!(reply.json["entry"][0]["response"]["status"], "200 OK");
    assert_eq!(reply.json.get("meta"), None);
}

#[tokio::test]
async fn a_search_by_a_bare_number_and_dates_as_pmd_and_vkp_ask() {
    let service = Service::fjellvik().await;
    for (key, when) in [("a", "2026-11-18T08:00:00+01:00"), ("b", WHEN)] {
        service
            .created(&sent(key, ("effectiveDateTime", when)))
            .await;
    }
    service
        .created(&reading(arne(), "another's", WHEN, "95"))
        .await;
    let number = ragnhild().number.as_str();
    for who in [
        service.record_system(FJELLVIK),
        service.physician(ragnhild()),
    ] {
        let all = service
            .search(&who, "Observation", &[("patient.identifier", number)])
            .await;
        assert_eq!(found(&all).len(), 2);
        for link in all.json["link"].as_array().unwrap() {
            assert!(!link["url"].as_str().unwrap().contains(number));
        }
        let within = [
            ("patient.identifier", number),
            ("date", "ge2026-11-17"),
            ("date", "le2026-11-18"),
        ];
        assert_eq!(
            found(&service.search(&who, "Observation", &within).await).len(),
            1
        );
    }
}
