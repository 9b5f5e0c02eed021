//! Searching: every parameter by itself, what is refused, and whose data an answer can depend on.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use trust::audit::Outcome;

/// Three SpO2 readings and a pulse of Ragnhild's, one SpO2 of Arne's.
async fn filled() -> Service {
    let service = Service::fjellvik().await;
    for (key, when, value) in [
        ("r-1", "2026-11-18T08:00:00+01:00", "93"),
        ("r-2", "2026-11-19T08:00:00+01:00", "92"),
        ("r-3", "2026-11-20T08:00:00+01:00", "91"),
    ] {
        service
            .created(&reading(ragnhild(), key, when, value))
            .await;
    }
    let mut preliminary = pulse(ragnhild(), "r-4", "2026-11-20T09:00:00+01:00");
    preliminary["status"] = "preliminary".into();
    preliminary["category"] = json!([{ "coding": [{ "system": fhir::systems::OBSERVATION_CATEGORY, "code": "survey" }] }]);
    service.created(&preliminary).await;
    service
        .created(&reading(arne(), "a-1", "2026-11-20T10:00:00+01:00", "97"))
        .await;
    service
}

/// The keys of what was found, in order.
async fn keys(service: &Service, who: &testkit::door::Held, form: &[(&str, &str)]) -> Vec<String> {
    let reply = service.search(who, "Observation", form).await;
    assert_eq!(reply.status, StatusCode::OK, "{form:?}: {}", reply.json);
    reply
        .matches()
        .iter()
        .map(|m| m["identifier"][0]["value"].as_str().unwrap().to_owned())
        .collect()
}

/// A form and the keys of what it finds.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[tokio::test]
async fn every_parameter_narrows() {
    let service = filled().await;
    let owner = service.record_system(FJELLVIK);
    let (ragnhilds, arnes) = (number(ragnhild()), number(arne()));
    let patient = service
        .search(&owner, "Patient", &[("identifier", &ragnhilds)])
        .await;
    let local = found(&patient).remove(0);
    let reference = format!("Patient/{local}");
    let first = service
        .search(&owner, "Observation", &[("_sort", "date"), ("_count", "1")])
        .await;
    let first = found(&first).remove(0);
    let all = ["a-1", "r-4", "r-3", "r-2", "r-1"];
    let hers = &all[1..];
    let spo2 = ["a-1", "r-3", "r-2", "r-1"];
    let cases: &[Case<'_>] = &[
        (&[], &all),
        (&[("patient.identifier", &ragnhilds)], hers),
        (&[("patient.identifier", &ragnhild().number)], hers),
        (&[("subject:identifier", &arnes)], &["a-1"]),
        (&[("patient", &reference)], hers),
        (&[("patient", &local)], hers),
        (&[("code", SPO2)], &spo2),
        (&[("code", "59408-5")], &spo2),
        (&[("code", "http://snomed.info/sct|431314004")], &spo2),
        (&[("code", "http://snomed.info/sct|59408-5")], &[]),
        (&[("code", "http://snomed.info/sct|")], &spo2),
        (
            &[(
                "code",
                "http://loinc.org|8867-4,http://snomed.info/sct|431314004",
            )],
            &all,
        ),
        (&[("code", "8867-4")], &["r-4"]),
        (&[("category", "survey")], &["r-4"]),
        (&[("category", "vital-signs,survey")], &all),
        (&[("date", "2026-11-20")], &["a-1", "r-4", "r-3"]),
        (&[("date", "eq2026-11-19")], &["r-2"]),
        (&[("date", "ne2026-11-20")], &["r-2", "r-1"]),
        (&[("date", "gt2026-11-19")], &["a-1", "r-4", "r-3"]),
        (&[("date", "ge2026-11-19")], &["a-1", "r-4", "r-3", "r-2"]),
        (&[("date", "lt2026-11-19")], &["r-1"]),
        (&[("date", "le2026-11-19")], &["r-2", "r-1"]),
        (
            &[("date", "sa2026-11-19T08:00:00+01:00")],
            &["a-1", "r-4", "r-3"],
        ),
        (&[("date", "eb2026-11-19T08:00:00+01:00")], &["r-1"]),
        (
            &[("date", "ge2026-11-19"), ("date", "lt2026-11-20")],
            &["r-2"],
        ),
        (&[("date", "2026-11")], &all),
        (&[("status", "preliminary")], &["r-4"]),
        (&[("status", "final,preliminary")], &all),
        (&[("status", "cancelled")], &[]),
        (&[("_id", &first)], &["r-1"]),
        (&[("code", SPO2), ("code", "8867-4")], &[]),
        (&[("code:not", SPO2)], &["r-4"]),
        (&[("date", "2026-11-18,2026-11-19")], &["r-2", "r-1"]),
        (&[("value-quantity", "lt93||%")], &["r-3", "r-2"]),
        (
            &[("value-quantity", "ge93"), ("code", SPO2)],
            &["a-1", "r-1"],
        ),
        (&[("subject", &reference)], hers),
        (&[("subject:Patient", &local)], hers),
        (&[("identifier", "r-2,a-1")], &["a-1", "r-2"]),
        (&[("_lastUpdated", "lt2020")], &[]),
        (
            &[("encounter:missing", "true"), ("_sort", "date")],
            &["r-1", "r-2", "r-3", "r-4", "a-1"],
        ),
        (&[("_sort", "date")], &["r-1", "r-2", "r-3", "r-4", "a-1"]),
        (&[("_sort", "-date")], &all),
        (
            &[
                ("patient.identifier", &ragnhilds),
                ("code", SPO2),
                ("date", "ge2026-11-19"),
                ("_sort", "date"),
            ],
            &["r-2", "r-3"],
        ),
    ];
    for (form, expected) in cases {
        assert_eq!(keys(&service, &owner, form).await, *expected, "{form:?}");
    }
}

#[tokio::test]
async fn a_page_is_as_long_as_was_asked_and_says_what_was_understood() {
    let service = filled().await;
    let who = service.physician(ragnhild());
    let reply = service
        .search(
            &who,
            "Observation",
            &[
                ("patient.identifier", &number(ragnhild())),
                ("code", SPO2),
                ("_count", "200"),
            ],
        )
        .await;
    assert_eq!(reply.json["total"], 3);
    let own = reply.link("self").unwrap();
    assert!(
        own.starts_with(&format!("{}/Observation?patient=Patient%2F", service.base)),
        "{own}"
    );
    assert!(
        own.ends_with("&code=http%3A%2F%2Floinc.org%7C59408-5&_count=200"),
        "{own}"
    );
    assert_eq!(reply.next(), None);
    for entry in reply.json["entry"].as_array().unwrap() {
        let id = entry["resource"]["id"].as_str().unwrap();
        assert_eq!(
            entry["fullUrl"],
            format!("{}/Observation/{id}", service.base)
        );
        assert_eq!(entry["search"]["mode"], "match");
    }
    let patient = service
        .search(&who, "Patient", &[("identifier", &number(ragnhild()))])
        .await;
    let id = found(&patient).remove(0);
    assert_eq!(
        patient.link("self").unwrap(),
        format!("{}/Patient?_id={id}", service.base)
    );
    assert!(
        !std::str::from_utf8(&reply.body)
            .unwrap()
            .split("\"resource\"")
            .next()
            .unwrap()
            .contains(&ragnhild().number)
    );
}

#[tokio::test]
async fn unknown_and_malformed_parameters_are_refused_by_name() {
    let service = filled().await;
    let who = service.physician(ragnhild());
    let many = ["x"; 51].join(",");
    let many = [("code", many.as_str())];
    let twenty_one: Vec<(&str, &str)> = vec![("date", "2026"); 21];
    let cases: Vec<(&[(&str, &str)], &str)> = vec![
        (&[("foo", "1")], "foo"),
        (&[("code:in", "x")], "code:in"),
        (&[("code:exact", "x")], "code:exact"),
        (&[("patient.foo", "Ragnhild")], "patient.foo"),
        (&[("_include", "Observation:code")], "_include"),
        (&[("_has", "x")], "_has"),
        (&[("_summary", "counted")], "_summary"),
        (&[("_lastUpdated", "ge20266")], "_lastUpdated"),
        (&[("code", "")], "code"),
        (&[("code", "a|b|c")], "code"),
        (&many, "code"),
        (&[("date", "yesterday")], "date"),
        (&[("date", "2026-02-30")], "date"),
        (&[("date", "xx2026-11-20")], "date"),
        (&[("_count", "201")], "_count"),
        (&[("_count", "-1")], "_count"),
        (&[("_count", "ten")], "_count"),
        (&[("_sort", "foo")], "_sort"),
        (&[("_id", "not an id")], "_id"),
        (&[("status", "a|b|c")], "status"),
        (&[("patient", "Patient/x")], "patient"),
        (
            &[("patient", "Device/00000000-0000-4000-8000-000000000001")],
            "patient",
        ),
        (
            &[("patient.identifier", "14835210261")],
            "patient.identifier",
        ),
        (
            &[("patient.identifier", "urn:x|14835210260")],
            "patient.identifier",
        ),
        (&twenty_one, "-"),
    ];
    for (form, name) in cases {
        let reply = service.search(&who, "Observation", form).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{form:?}: {}",
            reply.json
        );
        assert!(
            issues(&reply.json)[0].ends_with(&format!("@ {name}")),
            "{form:?}: {:?}",
            issues(&reply.json)
        );
        assert!(matches!(
            service.last_record().await.outcome,
            Outcome::Failed { .. }
        ));
    }
    // All at once.
    let reply = service
        .search(
            &who,
            "Observation",
            &[("foo", "1"), ("date", "x"), ("_count", "-1")],
        )
        .await;
    assert_eq!(issues(&reply.json).len(), 3);
    for body in ["code=%zz", "code=%ff", "code=%00"] {
        let knock = service
            .door
            .search("Observation", &[])
            .body(body)
            .by(&who, NOW);
        assert_eq!(knock.send().await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let json = service
        .door
        .post("/Observation/_search", "{}")
        .by(&who, NOW)
        .send()
        .await;
    assert_eq!(json.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        service.search(&who, "Practitioner", &[]).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_number_in_a_url_points_to_post_and_reaches_no_record() {
    let service = filled().await;
    let who = service.physician(ragnhild());
    let number = &ragnhild().number;
    for query in [
        format!("?patient.identifier={number}"),
        format!("?code=59408-5&subject:identifier={number}"),
        format!("?{number}=59408-5"),
    ] {
        let reply = service
            .door
            .get(&format!("/Observation{query}"))
            .by(&who, NOW)
            .send()
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        let record = service.last_record().await;
        assert_eq!(record.asked, "GET /Observation");
        assert!(!String::from_utf8_lossy(&reply.body).contains(number.as_str()));
    }
}

#[tokio::test]
async fn a_token_for_one_patient_shows_nothing_of_another() {
    let service = filled().await;
    let owner = service.record_system(FJELLVIK);
    let arnes = number(arne());
    let local = found(
        &service
            .search(&owner, "Patient", &[("identifier", &arnes)])
            .await,
    )
    .remove(0);
    let arnes_reading = found(
        &service
            .search(&owner, "Observation", &[("patient", &local)])
            .await,
    )
    .remove(0);
    let nobody = "00000000-0000-4000-8000-000000000009".to_owned();
    let unknown_here = number(patient("hilde"));
    for who in [service.physician(ragnhild()), service.citizen(ragnhild())] {
        let mut answers = Vec::new();
        for form in [
            vec![("patient.identifier", arnes.as_str())],
            vec![("subject:identifier", &unknown_here)],
            vec![("patient", &local)],
            vec![("patient", &nobody)],
            vec![("patient", &arnes_reading)],
        ] {
            let reply = service.search(&who, "Observation", &form).await;
            assert_eq!(
                (reply.status, &reply.json["total"]),
                (StatusCode::OK, &json!(0)),
                "{form:?}"
            );
            answers.push(reply.visible());
            let records = service.records_of(reply.header("x-request-id")).await;
            let refused = |code: &str| Outcome::Refused {
                rule: "patient".into(),
                code: code.into(),
            };
            assert_eq!(records[0].outcome, refused("other_patient"), "{form:?}");
            assert_eq!(records[0].patient, Some(identifier(ragnhild())));
            // Whom it was attempted about finds it too; an id that is nobody's is about nobody.
            match form[0].1 {
                id if [&arnes, &local, &arnes_reading].contains(&&id.to_owned()) => {
                    assert_eq!(records[1].outcome, refused("others_access"), "{form:?}");
                    assert_eq!(records[1].patient, Some(identifier(arne())));
                }
                id if id == unknown_here => {
                    assert_eq!(records[1].patient, Some(identifier(patient("hilde"))));
                }
                _ => assert_eq!(records.len(), 1, "{form:?}"),
            }
            assert!(records.len() < 3);
            assert!(records.iter().all(|record| record.disclosed.is_empty()));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "known, unknown and nobody look the same");
        // Whatever else is asked, only her own are there, and counts and ids tell nothing either.
        assert_eq!(
            keys(&service, &who, &[]).await,
            ["r-4", "r-3", "r-2", "r-1"]
        );
        assert_eq!(
            service.search(&who, "Observation", &[]).await.json["total"],
            4
        );
        assert_eq!(
            keys(&service, &who, &[("_id", &arnes_reading)]).await,
            Vec::<String>::new()
        );
        assert_eq!(
            found(&service.search(&who, "Patient", &[("_id", &local)]).await),
            Vec::<String>::new()
        );
        let first = service
            .search(&who, "Observation", &[("_count", "2")])
            .await;
        assert_eq!(first.json.get("total").and_then(Value::as_u64), None);
    }
    // Arne reads in plain words that he was asked about, by whom, and nothing of whom they came for.
    for (owner, words) in [
        (arne(), "gjaldt en annen pasient. Ingenting ble gitt ut"),
        (ragnhild(), "annen pasient enn den innloggingen gjaldt"),
    ] {
        let log = service
            .search(&service.citizen(owner), "AuditEvent", &[])
            .await;
        let events = log.json["entry"].as_array().unwrap();
        let told = |event: &&Value| {
            let why = event["resource"]["outcomeDesc"].as_str();
            why.is_some_and(|why| why.contains(words))
        };
        let found: Vec<&Value> = events.iter().filter(told).collect();
        assert!(found.len() >= 4, "{}", log.json);
        let text = serde_json::to_string(&found).unwrap();
        let other = [arne(), ragnhild()].map(|one| &one.number);
        let other = other.into_iter().find(|number| **number != owner.number);
        assert!(!text.contains(other.unwrap()), "{text}");
    }
}

#[tokio::test]
async fn an_unproven_need_is_refused_before_a_local_id_is_looked_at() {
    let service = filled().await;
    let owner = service.record_system(FJELLVIK);
    let local = found(
        &service
            .search(&owner, "Patient", &[("identifier", &number(arne()))])
            .await,
    )
    .remove(0);
    let nobody = "00000000-0000-4000-8000-000000000009";
    let who = service.physician_but(ragnhild(), |claims| claims.attest = None);
    for id in [local.as_str(), nobody] {
        let reply = service
            .search(&who, "Observation", &[("patient", id)])
            .await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{id}");
    }
    // To the store's own system an unknown id is a patient without data, and no refusal.
    let none = service
        .search(&owner, "Observation", &[("patient", nobody)])
        .await;
    assert_eq!(found(&none).len(), 0);
    assert_eq!(service.last_record().await.outcome, Outcome::Allowed);
}

#[tokio::test]
async fn coordination_sees_a_year_and_treatment_the_whole() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(
            ragnhild(),
            "old",
            "2024-01-01T08:00:00+01:00",
            "95",
        ))
        .await;
    service
        .created(&reading(
            ragnhild(),
            "new",
            "2026-11-01T08:00:00+01:00",
            "93",
        ))
        .await;
    assert_eq!(
        keys(&service, &service.physician(ragnhild()), &[]).await,
        ["new", "old"]
    );
    let coordinator = service.physician_but(ragnhild(), |claims| {
        let relation = &mut claims.attest.as_mut().unwrap().care_relationship;
        relation.purpose_of_use.as_mut().unwrap().code = "COC".into();
    });
    assert_eq!(keys(&service, &coordinator, &[]).await, ["new"]);
    assert_eq!(
        keys(&service, &coordinator, &[("date", "lt2025")]).await,
        Vec::<String>::new()
    );
}
