//! A whole series in the place of what is here.

use crate::house::*;
use fhir::systems;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::people::Patient;

/// Parameters of `$replace-series` for a patient's saturations.
pub fn series(of: &Patient, resources: &[Value]) -> Value {
    json!({"resourceType": "Parameters", "parameter": [
        {"name": "patient", "valueIdentifier": {"system": systems::FNR, "value": of.number}},
        {"name": "type", "valueCode": "Observation"},
        {"name": "code", "valueCoding": {"system": "http://loinc.org", "code": "59408-5"}},
        {"name": "series", "resource": bundle("collection", resources)},
    ]})
}

fn at(hour: usize) -> String {
    format!("2026-11-20T{hour:02}:00:00+01:00")
}

fn counts(json: &Value) -> Vec<u64> {
    let parameters = json["parameter"]
        .as_array()
        .unwrap_or_else(|| panic!("{json}"));
    parameters
        .iter()
        .map(|one| one["valueDecimal"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn afterwards_the_store_equals_the_source() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(
            service
                .created(&reading(ragnhild(), &format!("r-{n}"), &at(8 + n), "91"))
                .await,
        );
    }
    let pulse = service.created(&pulse(ragnhild(), "p", &at(8))).await;
    let others = service.created(&reading(arne(), "r-0", &at(8), "91")).await;
    // The source has the first as it is, the second with another value, not the third, and a fourth.
    let source = series(
        ragnhild(),
        &[
            reading(ragnhild(), "r-0", &at(8), "91"),
            reading(ragnhild(), "r-1", &at(9), "93"),
            reading(ragnhild(), "r-3", &at(11), "94"),
        ],
    );
    let reply = service.post(&owner, "/$replace-series", &source).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    assert_eq!(
        counts(&reply.json),
        [1, 1, 1, 1],
        "created, updated, unchanged, withdrawn"
    );
    let record = service.last_record().await;
    assert_eq!(
        (record.patient, record.disclosed.len()),
        (Some(identifier(ragnhild())), 4)
    );
    let physician = service.physician(ragnhild());
    let reply = service
        .search(
            &physician,
            "Observation",
            &[("code", SPO2), ("_sort", "date")],
        )
        .await;
    let values: Vec<f64> = reply
        .matches()
        .iter()
        .map(|one| one["valueQuantity"]["value"].as_f64().unwrap())
        .collect();
    assert_eq!(values, [91.0, 93.0, 94.0]);
    let versions: Vec<&str> = reply
        .matches()
        .iter()
        .map(|one| one["meta"]["versionId"].as_str().unwrap())
        .collect();
    assert_eq!(versions, ["1", "2", "1"]);
    assert_eq!(
        service
            .get(&owner, &format!("/Observation/{}", ids[2]))
            .await
            .status,
        StatusCode::GONE
    );
    for untouched in [pulse, others] {
        let reply = service
            .get(&owner, &format!("/Observation/{untouched}"))
            .await;
        assert_eq!(
            (reply.status, &reply.json["meta"]["versionId"]),
            (StatusCode::OK, &"1".into())
        );
    }
    // Once more: nothing to do. What was withdrawn may come back.
    let again = service.post(&owner, "/$replace-series", &source).await;
    assert_eq!(counts(&again.json), [0, 0, 3, 0]);
    let back = series(ragnhild(), &[reading(ragnhild(), "r-2", &at(10), "91")]);
    let reply = service.post(&owner, "/$replace-series", &back).await;
    assert_eq!(counts(&reply.json), [0, 1, 0, 3]);
    assert_eq!(
        service
            .get(&owner, &format!("/Observation/{}", ids[2]))
            .await
            .json["meta"]["versionId"],
        "3"
    );
    let reply = service
        .post(&owner, "/$replace-series", &series(ragnhild(), &[]))
        .await;
    assert_eq!(counts(&reply.json), [0, 0, 0, 1]);
}

#[tokio::test]
async fn it_is_all_or_nothing_and_of_one_series_only() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-0", &at(8), "91"))
        .await;
    let good = || reading(ragnhild(), "r-9", &at(9), "92");
    let mut wrong = good();
    wrong["status"] = "finale".into();
    for (bad, status) in [
        (reading(arne(), "r-1", &at(8), "91"), 422),
        (pulse(ragnhild(), "p", &at(8)), 422),
        (wrong, 422),
        // The source contradicts itself: one reading with two values.
        (reading(ragnhild(), "r-9", &at(9), "93"), 409),
    ] {
        let reply = service
            .post(
                &owner,
                "/$replace-series",
                &series(ragnhild(), &[good(), bad]),
            )
            .await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.json);
        assert_eq!(
            found(&service.search(&owner, "Observation", &[]).await),
            [id.as_str()]
        );
    }
    for gone in ["patient", "type", "series"] {
        let mut body = series(ragnhild(), &[good()]);
        body["parameter"]
            .as_array_mut()
            .unwrap()
            .retain(|one| one["name"] != gone);
        let reply = service.post(&owner, "/$replace-series", &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{gone}");
    }
    let register = Service::kystregionen().await;
    let reply = register
        .post(
            &register.record_system(SORLIA),
            "/$replace-series",
            &series(ragnhild(), &[good()]),
        )
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.json);
}
