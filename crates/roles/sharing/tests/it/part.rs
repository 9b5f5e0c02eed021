//! Part of each resource: `_summary` and `_elements`, on a search, a read, a vread and a history.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};

const WHEN: &str = "2026-11-20T08:00:00+01:00";

/// A reading with something of everything.
fn full() -> Value {
    let mut body = reading(ragnhild(), "r-1", WHEN, "91");
    body["text"] = json!({ "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">91 %</div>" });
    body["note"] = json!([{ "text": "after a walk" }]);
    body["interpretation"] = json!([{ "text": "low" }]);
    body["device"] = json!({ "display": "oximeter" });
    body
}

/// The members of a resource, without the three that are always there.
fn members(of: &Value) -> Vec<&str> {
    let always = ["resourceType", "id", "meta"];
    let all = of.as_object().unwrap();
    assert!(always.iter().all(|name| all.contains_key(*name)), "{of}");
    let mut names: Vec<&str> = all.keys().map(String::as_str).collect();
    names.retain(|name| !always.contains(name));
    names.sort_unstable();
    names
}

fn subsetted(of: &Value) -> bool {
    let tags = of["meta"]["tag"].as_array();
    tags.into_iter()
        .flatten()
        .any(|tag| tag["code"] == "SUBSETTED" && tag["system"] == fhir::systems::OBSERVATION_VALUE)
}

/// What is asked, and the members that are left.
const CASES: &[(&str, &str, &[&str])] = &[
    (
        "_summary",
        "true",
        &[
            "code",
            "effectiveDateTime",
            "identifier",
            "status",
            "subject",
            "valueQuantity",
        ],
    ),
    ("_summary", "text", &["code", "status", "text"]),
    (
        "_summary",
        "data",
        &[
            "category",
            "code",
            "device",
            "effectiveDateTime",
            "identifier",
            "interpretation",
            "note",
            "status",
            "subject",
            "valueQuantity",
        ],
    ),
    ("_elements", "value", &["code", "status", "valueQuantity"]),
    (
        "_elements",
        "Observation.device,note,status",
        &["code", "device", "note", "status"],
    ),
];

#[tokio::test]
async fn the_part_that_is_asked_for_is_given_and_says_so() {
    let service = Service::fjellvik().await;
    let id = service.created(&full()).await;
    let who = service.physician(ragnhild());
    let owner = service.record_system(FJELLVIK);
    for (name, value, expected) in CASES {
        let shown = format!("{name}={value}");
        let reply = service.search(&who, "Observation", &[(name, value)]).await;
        let one = reply.matches()[0].clone();
        assert_eq!(members(&one), *expected, "{shown}");
        assert!(subsetted(&one), "{shown}");
        assert_eq!(reply.json["total"], 1);
        assert!(reply.link("self").unwrap().contains(name));
        for path in [
            format!("/Observation/{id}?{shown}"),
            format!("/Observation/{id}/_history/1?{shown}"),
        ] {
            let read = service.get(&owner, &path).await;
            assert_eq!(read.status, StatusCode::OK, "{path}: {}", read.json);
            assert_eq!(read.json, one, "{path}");
            assert_eq!(read.header("etag"), "W/\"1\"");
        }
        for path in [
            format!("/Observation/{id}/_history?{shown}"),
            format!("/Observation/_history?{shown}&_count=5"),
        ] {
            let past = service.get(&owner, &path).await;
            assert_eq!(past.json["entry"][0]["resource"], one, "{path}");
            assert!(past.link("self").unwrap().contains(name));
        }
        // A part is a disclosure as the whole is.
        assert_eq!(service.last_record().await.disclosed.len(), 1);
    }
    for (name, value) in [("_summary", "false"), ("_count", "1")] {
        let reply = service.search(&who, "Observation", &[(name, value)]).await;
        assert!(!subsetted(reply.matches()[0]));
    }
    let read = service
        .get(&who, &format!("/Observation/{id}?_summary=false"))
        .await;
    assert!(!subsetted(&read.json) && read.json["text"].is_object());
}

#[tokio::test]
async fn a_count_is_all_that_a_count_gives() {
    let service = Service::fjellvik().await;
    for key in ["r-1", "r-2", "r-3"] {
        service.created(&reading(ragnhild(), key, WHEN, "91")).await;
    }
    service.created(&reading(arne(), "a-1", WHEN, "95")).await;
    let her = service.physician(ragnhild());
    let owner = service.record_system(FJELLVIK);
    for form in [("_summary", "count"), ("_count", "0")] {
        for (who, expected) in [(&her, 3), (&owner, 4)] {
            let reply = service.search(who, "Observation", &[form]).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
            assert_eq!(reply.json["total"], expected);
            assert!(reply.json["entry"].is_null() && reply.next().is_none());
            assert!(service.last_record().await.disclosed.is_empty());
        }
    }
}

#[tokio::test]
async fn a_summary_is_of_what_comes_along_too_and_elements_are_of_the_matches() {
    let service = Service::fjellvik().await;
    service.created(&full()).await;
    let owner = service.record_system(FJELLVIK);
    let patients = service.search(&owner, "Patient", &[]).await;
    let mut patient = patients.matches()[0].clone();
    patient["maritalStatus"] = json!({ "text": "x" });
    let path = format!("/Patient/{}", patient["id"].as_str().unwrap());
    let put = service.put(&owner, &path, Some("W/\"1\""), &patient).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.json);
    let who = service.physician(ragnhild());
    for (name, value, whole) in [("_summary", "true", false), ("_elements", "value", true)] {
        let form = [(name, value), ("_include", "Observation:subject")];
        let reply = service.search(&who, "Observation", &form).await;
        let entries = reply.json["entry"].as_array().unwrap();
        assert!(subsetted(&entries[0]["resource"]));
        let patient = &entries[1]["resource"];
        assert_eq!(patient["maritalStatus"].is_object(), whole, "{name}");
        assert_eq!(subsetted(patient), !whole);
    }
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let service = Service::fjellvik().await;
    let id = service.created(&full()).await;
    let who = service.record_system(FJELLVIK);
    for form in [
        vec![("_summary", "yes")],
        vec![("_summary", "")],
        vec![("_summary", "true"), ("_summary", "data")],
        vec![("_summary", "true"), ("_elements", "code")],
        vec![("_summary:exact", "true")],
        vec![("_elements", "foo")],
        vec![("_elements", "Patient.name")],
        vec![("_elements", "code.coding")],
        vec![("_elements", "code,")],
    ] {
        let query = wire::form::write(form.iter().copied());
        let reply = service.search(&who, "Observation", &form).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{query}: {}",
            reply.json
        );
        for path in ["", "/_history", "/_history/1"] {
            let path = format!("/Observation/{id}{path}?{query}");
            let reply = service.get(&who, &path).await;
            assert_eq!(
                reply.status,
                StatusCode::BAD_REQUEST,
                "{path}: {}",
                reply.json
            );
        }
    }
    for query in [
        "_summary=count",
        "_summry=true",
        "code=x",
        "_count=1",
        "_include=*",
    ] {
        let reply = service
            .get(&who, &format!("/Observation/{id}?{query}"))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let form = [("_summary", "text"), ("_include", "Observation:subject")];
    let reply = service.search(&who, "Observation", &form).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}
