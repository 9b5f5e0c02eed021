//! A reading's life: corrected, and at last entered in error. Every version stays what it was; what is entered in error can
//! be read with its status by whoever might read it before, and is in no number and not among the newest.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;

/// A reading that was corrected by the source sending it again, and then entered in error; beside it a sound, older one.
async fn service() -> (Service, String, String) {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let sound = service
        .created(&reading(ragnhild(), "sound", "2026-11-19T08:00:00Z", "94"))
        .await;
    let body = reading(ragnhild(), "wrong", "2026-11-20T08:00:00Z", "19");
    let id = service.created(&body).await;
    let mut again = body.clone();
    again["status"] = "corrected".into();
    again["valueQuantity"]["value"] = 91.into();
    let corrected = service.post(&owner, "/Observation", &again).await;
    assert_eq!(corrected.json["id"], id.as_str());
    assert_eq!(corrected.json["meta"]["versionId"], "2");
    again["status"] = "entered-in-error".into();
    again["id"] = id.as_str().into();
    let path = format!("/Observation/{id}");
    let marked = service.put(&owner, &path, Some("W/\"2\""), &again).await;
    assert_eq!(marked.status, StatusCode::OK, "{}", marked.json);
    (service, id, sound)
}

/// Status and value of a reading.
fn told(reading: &Value) -> Value {
    json!([reading["status"], reading["valueQuantity"]["value"]])
}

async fn operation(
    service: &Service,
    who: &Held,
    name: &str,
    parameters: &[(&str, &str)],
) -> Reply {
    let parameter = |(name, value): &(&str, &str)| json!({"name": name, "valueString": value});
    let list: Vec<Value> = parameters.iter().map(parameter).collect();
    let body = json!({"resourceType": "Parameters", "parameter": list});
    let reply = service
        .post(who, &format!("/Observation/{name}"), &body)
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    reply
}

#[tokio::test]
async fn corrections_are_versions_and_each_stays_what_it_was() {
    let (service, id, _) = service().await;
    for who in [service.physician(ragnhild()), service.citizen(ragnhild())] {
        for (version, expected) in [
            ("1", json!(["final", 19])),
            ("2", json!(["corrected", 91])),
            ("3", json!(["entered-in-error", 91])),
        ] {
            let path = format!("/Observation/{id}/_history/{version}");
            let reply = service.get(&who, &path).await;
            assert_eq!(
                (reply.status, told(&reply.json)),
                (StatusCode::OK, expected)
            );
        }
        let past = service
            .get(&who, &format!("/Observation/{id}/_history"))
            .await;
        let statuses: Vec<&Value> = past.json["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| &entry["resource"]["status"])
            .collect();
        assert_eq!(statuses, ["entered-in-error", "corrected", "final"]);
    }
}

#[tokio::test]
async fn what_is_entered_in_error_is_read_and_found_with_its_status() {
    let (service, id, sound) = service().await;
    for who in [service.physician(ragnhild()), service.citizen(ragnhild())] {
        let read = service.get(&who, &format!("/Observation/{id}")).await;
        assert_eq!(told(&read.json), json!(["entered-in-error", 91]));
        // A search that does not ask for a status leaves none out (FHIR R4 search 3.1.1): the reader sees the status.
        let all = service.search(&who, "Observation", &[]).await;
        assert_eq!(found(&all), [id.as_str(), &sound]);
        assert_eq!(all.matches()[0]["status"], "entered-in-error");
        let of = async |status: &str| {
            found(
                &service
                    .search(&who, "Observation", &[("status", status)])
                    .await,
            )
        };
        assert_eq!(of("entered-in-error").await, [id.as_str()]);
        assert_eq!(of("final,corrected").await, [sound.as_str()]);
    }
}

#[tokio::test]
async fn what_is_entered_in_error_is_not_the_newest_and_in_no_number() {
    let (service, id, sound) = service().await;
    let who = service.physician(ragnhild());
    let newest = operation(&service, &who, "$lastn", &[("max", "3")]).await;
    assert_eq!(found(&newest), [sound.as_str()]);
    // Whoever asks for it by its status is not kept from it.
    let asked = operation(&service, &who, "$lastn", &[("status", "entered-in-error")]).await;
    assert_eq!(found(&asked), [id.as_str()]);
    let ask = [
        ("code", "59408-5"),
        ("statistic", "count"),
        ("statistic", "maximum"),
    ];
    let numbers = operation(&service, &who, "$stats", &ask).await;
    let resource = &numbers.json["parameter"][0]["resource"];
    assert_eq!(resource["component"][0]["valueInteger"], 1);
    assert_eq!(resource["component"][1]["valueQuantity"]["value"], 94);
    let outcome = &numbers.json["parameter"][1]["resource"]["issue"][0];
    assert_eq!(
        outcome["diagnostics"],
        "Oxygen saturation: 1 entered in error or cancelled are left out"
    );
}
