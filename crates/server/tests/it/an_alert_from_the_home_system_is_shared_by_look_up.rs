//! A home system raises an alert and sends it as a document: the alert, the reading it is about, and the home system's own words for how
//! grave it is. The municipality's record has the document; a hospital finds the alert by looking up. A second delivery, as after an
//! answer that was lost on the way, changes nothing.

use crate::kit::lookup::{Screen, WEIGHT, find};
use crate::kit::reading::Weight;
use crate::kit::region;
use crate::kit::wait::until;
use serde_json::{Value, json};
use testkit::record_system::DOCUMENTS;
use wire::client::Request;
use wire::contract::demo::ClientUse;
use wire::contract::hub::{DOCUMENT_SCOPE, Delivery, Progress};

const CODES: &str = "http://ehelse.no/fhir/CodeSystem/vkp-alert-code-v090";

fn link(n: usize) -> String {
    format!("urn:uuid:6f1c0f3e-0000-4000-8000-{n:012}")
}

/// The alert about a reading.
fn document(weight: &Weight, id: &str) -> Value {
    let reading: Value = serde_json::from_str(&weight.json()).unwrap();
    let (subject, when) = (&reading["subject"], &reading["effectiveDateTime"]);
    let code = json!({"coding": [{"system": CODES, "code": "5.2.1"}]});
    let composition = json!({
        "resourceType": "Composition", "status": "final", "type": code, "subject": subject, "date": when,
        "author": [{"display": "Hjemmesystem (syntetisk)"}], "title": "Varsel fra hjemmesystem",
        "section": [{"title": "Varsel", "entry": [{"reference": link(1)}, {"reference": link(2)}]}],
    });
    let issue = json!({
        "resourceType": "DetectedIssue", "status": "final", "code": code, "severity": "high", "patient": subject,
        "identifiedDateTime": when, "implicated": [{"reference": link(2)}], "detail": "rød (hjemmesystemets vurdering)",
    });
    let entry = |n: usize, resource: Value| json!({"fullUrl": link(n), "resource": resource});
    json!({
        "resourceType": "Bundle", "type": "document",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": id}, "timestamp": when,
        "entry": [entry(0, composition), entry(1, issue), entry(2, reading)],
    })
}

/// The document as the hub delivers it to a sharing service.
fn transaction(document: &Value) -> Value {
    let id = document["identifier"]["value"].as_str().unwrap();
    let mut entries = document["entry"].clone();
    for (n, entry) in entries.as_array_mut().unwrap().iter_mut().enumerate() {
        let kind = entry["resource"]["resourceType"].clone();
        let own = json!({"system": "urn:ietf:rfc:3986", "value": format!("{id}#{n}")});
        match kind.as_str().unwrap() {
            "Composition" => entry["resource"]["identifier"] = own,
            "DetectedIssue" => entry["resource"]["identifier"] = json!([own]),
            _ => {}
        }
        entry["request"] = json!({"method": "POST", "url": kind});
    }
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

#[tokio::test]
async fn an_alert_from_the_home_system_is_in_the_record_and_found_by_look_up() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let patient = region.story_patient().unwrap().clone();
    let home = region.party(ClientUse::HomeSystem, None).unwrap();
    let weight = Weight::of(patient.fnr.expose());
    let id = format!("urn:uuid:{}", uuid::Uuid::new_v4());
    let sent = document(&weight, &id);
    let request = Request::post_fhir(region.hub(), sent.to_string());
    let answer = home
        .send(&region.hub(), DOCUMENT_SCOPE, request)
        .await
        .unwrap();
    assert_eq!(
        answer.status,
        201,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let location = answer.headers["location"].to_str().unwrap();
    let key = location.strip_prefix("Bundle/").unwrap();
    let delivered = async || {
        let request = Request::get(format!("{}/deliveries/{key}", region.ready.hub));
        let answer = home
            .send(&region.hub(), DOCUMENT_SCOPE, request)
            .await
            .unwrap();
        let delivery: Delivery = answer.json().unwrap();
        let all = delivery.receivers;
        let done = |one: &wire::contract::hub::DeliveryState| one.state == Progress::Delivered;
        (all.len() == 2 && all.iter().all(done)).then_some(())
    };
    until(
        "record system and sharing service have the document",
        delivered,
    )
    .await;

    // Whole, in the record.
    let kept = region
        .data()
        .join("stores/record-systems/fjellvik")
        .join(DOCUMENTS);
    let text = std::fs::read_to_string(kept).unwrap();
    let in_record = text
        .lines()
        .any(|line| line.contains(&id) && line.contains("hjemmesystemets"));
    assert!(in_record);

    // Each part by itself, for who looks up: the alert leads to the reading that it is about.
    let screen = Screen::physician(region, &patient).await;
    let readings = screen
        .search_for(&patient, "Observation", &[("code", WEIGHT)])
        .await;
    let reading = find(&readings, &weight.identifier).expect("the reading");
    let reading: Value = serde_json::from_str(&reading.text).unwrap();
    let query = [(
        "code",
        "http://ehelse.no/fhir/CodeSystem/vkp-alert-code-v090|5.2.1",
    )];
    let alerts = screen.search_for(&patient, "DetectedIssue", &query).await;
    let ours: Vec<&Value> = matches(&alerts.json)
        .filter(|one| one["detail"] == "rød (hjemmesystemets vurdering)")
        .collect();
    let [alert] = ours.as_slice() else {
        panic!("one alert: {}", alerts.json);
    };
    let about = alert["implicated"][0]["reference"].as_str().unwrap();
    let meant = format!("Observation/{}", reading["id"].as_str().unwrap());
    assert!(about.ends_with(&meant), "{about} is not {meant}");

    // Delivered once more, as after an answer that was lost: everything is known.
    let record_system = region
        .party(ClientUse::RecordSystem, Some("310001007"))
        .unwrap();
    let service = &region.service("fjellvik").unwrap().fhir;
    let request = Request::post_fhir(service.clone(), transaction(&sent).to_string());
    let answer = record_system
        .send(service, "system/*.cruds", request)
        .await
        .unwrap();
    let told: Value = answer.json().unwrap();
    for entry in told["entry"].as_array().unwrap() {
        let status = entry["response"]["status"].as_str().unwrap();
        assert!(status.starts_with("200"), "{told}");
    }
}

fn matches(bundle: &Value) -> impl Iterator<Item = &Value> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    let found = entries.filter(|entry| entry["search"]["mode"] == "match");
    found.map(|entry| &entry["resource"])
}
