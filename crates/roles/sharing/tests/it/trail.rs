//! What the audit trail holds, and how the patient reads it.

use crate::house::*;
use http::StatusCode;
use serde_json::Value;
use trust::Interaction;
use trust::audit::Outcome;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

#[tokio::test]
async fn a_look_up_is_on_record_with_who_why_and_what_before_it_is_answered() {
    let service = Service::fjellvik().await;
    let ids = [
        service
            .created(&reading(ragnhild(), "r-1", WHEN, "91"))
            .await,
        service
            .created(&reading(
                ragnhild(),
                "r-2",
                "2026-11-20T09:00:00+01:00",
                "92",
            ))
            .await,
    ];
    let who = service.physician(ragnhild());
    let request_id = "6f3c2f0e-7a30-4f3a-9f0e-0d1c5f3b2a19";
    let form = [
        ("patient.identifier", number(ragnhild())),
        ("code", SPO2.to_owned()),
    ];
    let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let reply = service
        .door
        .search("Observation", &form)
        .header("x-request-id", request_id)
        .by(&who, NOW)
        .send()
        .await;
    assert_eq!(found(&reply).len(), 2);
    assert_eq!(reply.header("x-request-id"), request_id);
    let record = service.last_record().await;
    assert_eq!(
        (
            record.request_id.as_str(),
            record.interaction,
            &record.outcome
        ),
        (request_id, Interaction::Search, &Outcome::Allowed)
    );
    assert_eq!(record.when, NOW);
    assert_eq!(record.organisation, Some(org(PROVEHEIM)));
    let person = record.person.as_ref().unwrap();
    assert_eq!(
        (person.name.as_deref(), person.identifier.value().expose()),
        (Some(physician().name.as_str()), physician().number.as_str())
    );
    assert_eq!(person.hpr.as_ref().unwrap().as_str(), physician().hpr);
    assert_eq!(record.point_of_care.as_ref().unwrap().id, PROVEHEIM);
    assert_eq!(record.purpose.as_ref().unwrap().code, "TREAT");
    assert_eq!(record.decision_ref.as_ref().unwrap().id, "decision-1");
    assert_eq!(
        (record.toa, record.agreement.clone()),
        (Some(NOW.seconds()), Some(("a-1".to_owned(), 1)))
    );
    assert_eq!(record.patient, Some(identifier(ragnhild())));
    assert!(
        record.asked.contains("patient.identifier=") && record.asked.contains(&ragnhild().number),
        "the query as received"
    );
    let mut disclosed: Vec<_> = record
        .disclosed
        .iter()
        .map(|d| (d.resource.clone(), d.id.clone(), d.version))
        .collect();
    disclosed.sort();
    let mut expected: Vec<_> = ids
        .iter()
        .map(|id| ("Observation".to_owned(), id.clone(), 1))
        .collect();
    expected.sort();
    assert_eq!(disclosed, expected);
    assert!(!record.rules.is_empty());
    // Never a token, a key or a reading.
    let kept = serde_json::to_string(&record).unwrap();
    assert!(!kept.contains(&who.jwt) && !kept.contains("valueQuantity"));
}

#[tokio::test]
async fn the_trail_outlives_a_restart_and_verifies() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    service
        .search(&service.physician(ragnhild()), "Observation", &[])
        .await;
    let head = service.state.store().audit_head().await.unwrap();
    let (folder, clock, issuer) = (
        service.folder.clone(),
        service.clock.clone(),
        service.issuer.clone(),
    );
    let config = config(folder.path(), &issuer, "fjellvik", FJELLVIK, &[]);
    drop(service);
    let again = Service::open(folder, clock, issuer, config).await;
    let report = again.state.store().verify_audit(Some(head)).await.unwrap();
    assert!(report.is_sound() && report.records == head.sequence);
}

#[tokio::test]
async fn writes_are_on_record_with_what_was_written_and_whose() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let record = service.last_record().await;
    assert_eq!(
        (record.interaction, &record.outcome),
        (Interaction::Create, &Outcome::Allowed)
    );
    assert_eq!(record.patient, Some(identifier(ragnhild())));
    let written: Vec<&str> = record
        .disclosed
        .iter()
        .map(|d| d.resource.as_str())
        .collect();
    assert_eq!(
        written,
        ["Patient", "Observation"],
        "the patient was enrolled by the same commit"
    );
    assert_eq!(record.disclosed[1].id, id);
    assert_eq!(record.client.as_deref(), Some("RecordSystem-310001007"));
}

#[tokio::test]
async fn the_patient_reads_who_looked_with_names_and_without_staff_numbers() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    service.created(&reading(arne(), "a-1", WHEN, "97")).await;
    service.clock.advance(1_000_000);
    let form = [("patient.identifier", number(ragnhild()))];
    let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
    service
        .search(&service.physician(ragnhild()), "Observation", &form)
        .await;
    service
        .search(&service.physician(arne()), "Observation", &[])
        .await;
    let refused = service.physician_but(ragnhild(), |claims| claims.agreement = None);
    service.search(&refused, "Observation", &[]).await;

    service.clock.advance(1_000_000);
    let citizen = service.citizen(ragnhild());
    let reply = service.search(&citizen, "AuditEvent", &form).await;
    assert_eq!(
        (reply.status, &reply.json["total"]),
        (StatusCode::OK, &serde_json::json!(3)),
        "{}",
        reply.json
    );
    let events = reply.matches();
    let outcomes: Vec<&str> = events
        .iter()
        .map(|e| e["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["4", "0", "0"],
        "newest first: refused, allowed, written"
    );
    let look = events[1];
    assert_eq!(look["agent"][0]["name"], physician().name);
    assert_eq!(look["purposeOfEvent"][0]["coding"][0]["code"], "TREAT");
    assert_eq!(look["recorded"], "2026-11-21T09:00:01Z");
    assert_eq!(look["entity"][0]["type"]["code"], "Observation");
    assert_eq!(look["entity"][0]["detail"][0]["valueString"], "1");
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(text.contains("Prøveheim Diakonale Sykehus"));
    for secret in [&physician().number, &physician().hpr, &arne().number] {
        assert!(
            !text.contains(secret.as_str()),
            "staff numbers and other patients stay out"
        );
    }
    assert!(!text.contains("decision-1"));
    insta::assert_snapshot!(
        "the_patients_view_of_a_look_up",
        serde_json::to_string_pretty(look).unwrap()
    );

    // Reading the trail is itself on record, and the patient sees that too.
    let record = service.last_record().await;
    assert_eq!(
        (record.interaction, record.disclosed.len()),
        (Interaction::AuditSearch, 3)
    );
    let again = service.search(&citizen, "AuditEvent", &form).await;
    assert_eq!(again.json["total"], 4);
}

#[tokio::test]
async fn the_trail_is_read_by_date_in_either_order_and_in_pages() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let who = service.physician(ragnhild());
    for _ in 0..5 {
        service.clock.advance(1_000_000);
        service.search(&who, "Observation", &[]).await;
    }
    service.clock.advance(1_000_000);
    let citizen = service.citizen(ragnhild());
    let times = |reply: &testkit::clients::Reply| -> Vec<String> {
        reply
            .matches()
            .iter()
            .map(|e| e["recorded"].as_str().unwrap()[17..19].to_owned())
            .collect()
    };
    let until = [("date", "lt2026-11-21T09:00:06Z")];
    let all = service.search(&citizen, "AuditEvent", &until).await;
    assert_eq!(times(&all), ["05", "04", "03", "02", "01", "00"]);
    let up = service
        .search(&citizen, "AuditEvent", &[until[0], ("_sort", "date")])
        .await;
    assert_eq!(times(&up), ["00", "01", "02", "03", "04", "05"]);
    let some = service
        .search(
            &citizen,
            "AuditEvent",
            &[
                ("date", "ge2026-11-21T09:00:02Z"),
                ("date", "le2026-11-21T09:00:03Z"),
            ],
        )
        .await;
    assert_eq!(times(&some), ["03", "02"]);
    for (sort, expected) in [
        ("-date", ["05", "04", "03", "02", "01", "00"]),
        ("date", ["00", "01", "02", "03", "04", "05"]),
    ] {
        let mut reply = service
            .search(
                &citizen,
                "AuditEvent",
                &[until[0], ("_sort", sort), ("_count", "4")],
            )
            .await;
        assert_eq!(reply.json.get("total"), None);
        let mut seen = times(&reply);
        let next = reply.next().unwrap().to_owned();
        assert_eq!(
            service.get(&service.citizen(arne()), &next).await.status,
            StatusCode::NOT_FOUND
        );
        reply = service.get(&citizen, &next).await;
        seen.extend(times(&reply));
        assert_eq!(
            (seen, reply.next()),
            (expected.map(str::to_owned).to_vec(), None)
        );
    }
}

#[tokio::test]
async fn nobody_reads_anothers_trail() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    service.created(&reading(arne(), "a-1", WHEN, "97")).await;
    let owner = service.record_system(FJELLVIK);
    let arnes = number(arne());
    let local = found(
        &service
            .search(&owner, "Patient", &[("identifier", &arnes)])
            .await,
    )
    .remove(0);
    let citizen = service.citizen(ragnhild());
    for form in [
        [("patient.identifier", arnes.as_str())],
        [("patient", local.as_str())],
        [("patient", "00000000-0000-4000-8000-000000000009")],
    ] {
        let reply = service.search(&citizen, "AuditEvent", &form).await;
        assert_eq!(
            (reply.status, &reply.json["total"], reply.json.get("entry")),
            (StatusCode::OK, &serde_json::json!(0), None::<&Value>),
            "{form:?}"
        );
        assert!(
            matches!(service.last_record().await.outcome, Outcome::Refused { .. }),
            "{form:?}"
        );
    }
    // Health personnel read it nowhere; the organisation's own system for one patient at a time.
    let physician = service
        .search(&service.physician(ragnhild()), "AuditEvent", &[])
        .await;
    assert_eq!(physician.status, StatusCode::FORBIDDEN);
    assert_eq!(
        service.search(&owner, "AuditEvent", &[]).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        found(
            &service
                .search(&owner, "AuditEvent", &[("patient.identifier", &arnes)])
                .await
        )
        .len(),
        3,
        "one of his own, and two that Ragnhild attempted about him"
    );
    assert_eq!(
        found(
            &service
                .search(
                    &owner,
                    "AuditEvent",
                    &[("patient", "00000000-0000-4000-8000-000000000009")]
                )
                .await
        )
        .len(),
        0
    );
}

#[tokio::test]
async fn a_batch_leaves_one_record_for_each_patient_that_tells_of_each_entry() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut broken = reading(ragnhild(), "r-x", WHEN, "91");
    broken.as_object_mut().unwrap().remove("status");
    let body = bundle(
        "batch",
        &[
            reading(ragnhild(), "r-1", "2026-11-20T08:00:00Z", "91"),
            reading(ragnhild(), "r-2", "2026-11-20T09:00:00Z", "92"),
            reading(arne(), "a-1", WHEN, "93"),
            broken,
            reading(ragnhild(), "r-3", "2026-11-20T10:00:00Z", "94"),
        ],
    );
    assert_eq!(
        service.post(&owner, "/", &body).await.status,
        StatusCode::OK
    );
    let trail = service.audit().await;
    let of = |asked: &str| {
        &trail
            .iter()
            .find(|e| e.record.asked == asked)
            .unwrap()
            .record
    };
    let written = |asked: &str| -> Vec<String> {
        let kind = |one: &trust::audit::Disclosed| format!("{}/{}", one.resource, one.version);
        of(asked).disclosed.iter().map(kind).collect()
    };
    let reading = "Observation/1";
    assert_eq!(
        written("Bundle.entry[0-1,4]"),
        ["Patient/1", reading, reading, reading]
    );
    assert_eq!(written("Bundle.entry[2]"), ["Patient/1", reading]);
    assert_eq!(
        of("Bundle.entry[0-1,4]").patient,
        Some(identifier(ragnhild()))
    );
    assert_eq!(of("Bundle.entry[2]").patient, Some(identifier(arne())));
    let failed = &of("Bundle.entry[3]").outcome;
    assert!(matches!(failed, Outcome::Failed { .. }));
    // The bundle itself, its two patients, and what failed.
    assert_eq!(trail.len(), 4);
    // Each patient reads of the own entries alone.
    for (who, count) in [(ragnhild(), "3"), (arne(), "1")] {
        let events = service
            .search(&service.citizen(who), "AuditEvent", &[])
            .await;
        assert_eq!(events.matches().len(), 1, "{}", events.json);
        let entities = events.matches()[0]["entity"].as_array().unwrap();
        let kinds = entities
            .iter()
            .filter(|e| e["type"]["code"] == "Observation");
        let counts: Vec<&Value> = kinds.map(|e| &e["detail"][0]["valueString"]).collect();
        assert_eq!(counts, [count]);
    }
}
