//! Create, resend, conflict, correction, update, withdraw.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use trust::audit::Outcome;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

#[tokio::test]
async fn a_reading_is_created_once_however_often_it_is_sent() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let body = reading(ragnhild(), "r-1", WHEN, "91");
    let first = service.post(&owner, "/Observation", &body).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.json);
    let id = first.json["id"].as_str().unwrap().to_owned();
    assert_eq!(
        first.header("location"),
        format!("{}/Observation/{id}/_history/1", service.base)
    );
    assert_eq!(first.header("etag"), "W/\"1\"");
    assert_eq!(
        first.header("last-modified"),
        "Sat, 21 Nov 2026 09:00:00 GMT"
    );
    assert_eq!(
        first.json["meta"],
        json!({ "versionId": "1", "lastUpdated": "2026-11-21T09:00:00Z" })
    );
    assert_eq!(first.json["valueQuantity"], body["valueQuantity"]);

    service.clock.advance(60_000_000);
    let again = service.post(&owner, "/Observation", &body).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.body, first.body);
    assert_eq!(
        (again.header("location"), again.header("etag")),
        (first.header("location"), "W/\"1\"")
    );
    let all = service.search(&owner, "Observation", &[]).await;
    assert_eq!(found(&all), [id]);
}

#[tokio::test]
async fn the_answer_to_a_resend_is_what_rests_here() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut body = reading(ragnhild(), "r-1", WHEN, "91");
    let first = service.post(&owner, "/Observation", &body).await;
    // Narrative is not content (fhir::identity): the same reading, and what was kept the first time is what is answered.
    body["text"] = json!({ "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">new words</div>" });
    let again = service.post(&owner, "/Observation", &body).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
}

#[tokio::test]
async fn the_same_reading_with_other_content_is_a_conflict_unless_it_is_a_correction() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let mut other = reading(ragnhild(), "r-1", WHEN, "19");
    let refused = service.post(&owner, "/Observation", &other).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.json["issue"][0]["code"], "duplicate");
    assert!(matches!(
        service.last_record().await.outcome,
        Outcome::Failed { .. }
    ));

    other["status"] = "corrected".into();
    let corrected = service.post(&owner, "/Observation", &other).await;
    assert_eq!(corrected.status, StatusCode::CREATED, "{}", corrected.json);
    assert_eq!(
        (
            corrected.json["id"].as_str().unwrap(),
            corrected.header("etag")
        ),
        (id.as_str(), "W/\"2\"")
    );
    let read = service.get(&owner, &format!("/Observation/{id}")).await;
    assert_eq!(
        (read.header("etag"), &read.json["valueQuantity"]["value"]),
        ("W/\"2\"", &json!(19))
    );
    // The first content sent late again changes nothing.
    let late = service
        .post(
            &owner,
            "/Observation",
            &reading(ragnhild(), "r-1", WHEN, "91"),
        )
        .await;
    assert_eq!(
        (late.status, late.header("etag")),
        (StatusCode::OK, "W/\"1\"")
    );
    assert_eq!(
        service
            .get(&owner, &format!("/Observation/{id}"))
            .await
            .json["status"],
        "corrected"
    );
}

#[tokio::test]
async fn an_update_names_the_version_it_was_made_from() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut body = reading(ragnhild(), "r-1", WHEN, "91");
    let id = service.created(&body).await;
    let path = format!("/Observation/{id}");
    body["id"] = id.as_str().into();
    body["status"] = "amended".into();
    body["meta"] = json!({ "versionId": "77", "lastUpdated": "1999-01-01T00:00:00Z", "profile": ["http://example.org/p"] });

    let without = service.put(&owner, &path, None, &body).await;
    assert_eq!(without.status, StatusCode::PRECONDITION_REQUIRED);
    for malformed in ["1", "*", "W/1", "\"x\"", "\"1\", \"2\""] {
        assert_eq!(
            service
                .put(&owner, &path, Some(malformed), &body)
                .await
                .status,
            StatusCode::BAD_REQUEST,
            "{malformed}"
        );
    }
    let stale = service.put(&owner, &path, Some("W/\"2\""), &body).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);

    let updated = service.put(&owner, &path, Some("W/\"1\""), &body).await;
    assert_eq!(
        (updated.status, updated.header("etag")),
        (StatusCode::OK, "W/\"2\""),
        "{}",
        updated.json
    );
    // What the server owns of meta it sets itself; what is the client's stays.
    let at = updated.json["meta"]["lastUpdated"].as_str().unwrap();
    assert!(at.starts_with("2026-11-21T09:00:00."), "{at}");
    assert_eq!(
        updated.json["meta"],
        json!({ "versionId": "2", "lastUpdated": at, "profile": ["http://example.org/p"] })
    );
    assert_eq!(
        service
            .put(&owner, &path, Some("W/\"1\""), &body)
            .await
            .status,
        StatusCode::PRECONDITION_FAILED
    );
    let same = service.put(&owner, &path, Some("W/\"2\""), &body).await;
    assert_eq!(
        (same.status, same.header("etag")),
        (StatusCode::OK, "W/\"2\"")
    );
}

#[tokio::test]
async fn an_update_changes_neither_id_nor_type_nor_patient_and_makes_nothing() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut body = reading(ragnhild(), "r-1", WHEN, "91");
    let id = service.created(&body).await;
    let path = format!("/Observation/{id}");
    let other_id = service.put(&owner, &path, Some("\"1\""), &body).await;
    assert_eq!(
        (other_id.status, issues(&other_id.json)),
        (
            StatusCode::BAD_REQUEST,
            vec!["invalid @ Observation.id".to_owned()]
        )
    );
    body["id"] = id.as_str().into();
    let other_type = service
        .put(&owner, &format!("/CarePlan/{id}"), Some("\"1\""), &body)
        .await;
    assert_eq!(other_type.status, StatusCode::BAD_REQUEST);
    let mut other_patient = body.clone();
    other_patient["subject"]["identifier"]["value"] = arne().number.as_str().into();
    service.created(&reading(arne(), "a-1", WHEN, "95")).await;
    let moved = service
        .put(&owner, &path, Some("\"1\""), &other_patient)
        .await;
    assert_eq!(
        moved.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        moved.json
    );
    let unknown = "00000000-0000-4000-8000-000000000001";
    body["id"] = unknown.into();
    assert_eq!(
        service
            .put(
                &owner,
                &format!("/Observation/{unknown}"),
                Some("\"1\""),
                &body
            )
            .await
            .status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn what_is_withdrawn_is_gone_for_everybody_and_stays_so() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let body = reading(ragnhild(), "r-1", WHEN, "91");
    let id = service.created(&body).await;
    let path = format!("/Observation/{id}");
    assert_eq!(
        service.delete(&owner, &path, Some("\"2\"")).await.status,
        StatusCode::PRECONDITION_FAILED
    );
    let gone = service.delete(&owner, &path, None).await;
    assert_eq!((gone.status, gone.body.len()), (StatusCode::NO_CONTENT, 0));
    let record = service.last_record().await;
    assert_eq!(record.outcome, Outcome::Allowed);
    assert_eq!(
        record.patient,
        Some(identifier(ragnhild())),
        "a withdrawal stands in the patient's own trail"
    );
    // Whoever did not hear the first answer gets it again.
    assert_eq!(
        service.delete(&owner, &path, None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(service.get(&owner, &path).await.status, StatusCode::GONE);
    assert!(found(&service.search(&owner, "Observation", &[]).await).is_empty());
    let looked = service
        .search(&service.physician(ragnhild()), "Observation", &[])
        .await;
    assert_eq!(
        (found(&looked).len(), &looked.json["total"]),
        (0, &json!(0))
    );
    // The reading sent once more by somebody who missed that is not taken up again.
    assert_eq!(
        service.post(&owner, "/Observation", &body).await.status,
        StatusCode::OK
    );
    assert!(found(&service.search(&owner, "Observation", &[]).await).is_empty());
    let unknown = "/Observation/00000000-0000-4000-8000-000000000001";
    assert_eq!(
        service.delete(&owner, unknown, None).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn decimals_and_member_order_come_back_as_they_were_sent() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let head = r#"{ "status":"final","resourceType" : "Observation""#;
    let rest = format!(
        r#","valueQuantity":{{"code":"Cel","system":"http://unitsofmeasure.org","unit":"°C","value":37.00}}, "effectiveDateTime":"{WHEN}",
  "code":{{"text":"m\u00e5lt \u2265 1 gang","coding":[{{"code":"8310-5","system":"http://loinc.org"}}]}},
  "subject":{{"identifier":{{"value":"{}","system":"urn:oid:2.16.578.1.12.4.1.4.1"}}}},"referenceRange":[{{"low":{{"value":3.60e1}}}}] }}"#,
        ragnhild().number
    );
    let sent = format!("{head}{rest}");
    let reply = service
        .door
        .post("/Observation", sent)
        .by(&owner, NOW)
        .send()
        .await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    let id = reply.json["id"].as_str().unwrap().to_owned();
    let kept = format!(
        r#"{head},"id":"{id}","meta":{{"versionId":"1","lastUpdated":"2026-11-21T09:00:00Z"}}{rest}"#
    );
    assert_eq!(std::str::from_utf8(&reply.body).unwrap(), kept);
    let read = service
        .get(
            &service.physician(ragnhild()),
            &format!("/Observation/{id}"),
        )
        .await;
    assert_eq!(std::str::from_utf8(&read.body).unwrap(), kept);
    let searched = service.search(&owner, "Observation", &[]).await;
    assert!(std::str::from_utf8(&searched.body).unwrap().contains(&kept));
}

#[tokio::test]
async fn prefer_minimal_leaves_the_body_out() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let body = reading(ragnhild(), "r-1", WHEN, "91").to_string();
    let reply = service
        .door
        .post("/Observation", body)
        .header("prefer", "return=minimal")
        .by(&owner, NOW)
        .send()
        .await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::CREATED, 0));
    assert!(reply.header("location").starts_with(&service.base));
}

#[tokio::test]
async fn the_plan_and_the_medicine_list_are_kept_like_readings() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let subject =
        json!({ "identifier": { "system": fhir::systems::FNR, "value": ragnhild().number } });
    let plan = json!({
        "resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": subject,
        "identifier": [{ "system": "urn:example:plans", "value": "p-1" }], "period": { "start": "2026-11-01" },
    });
    let medicine = json!({
        "resourceType": "MedicationStatement", "status": "active", "subject": subject,
        "identifier": [{ "system": "urn:example:medicines", "value": "m-1" }], "effectivePeriod": { "start": "2026-11-01" },
        "medicationCodeableConcept": { "coding": [{ "system": fhir::systems::ATC, "code": "R03BB04" }] },
    });
    for body in [plan, medicine] {
        let id = service.created(&body).await;
        let name = body["resourceType"].as_str().unwrap();
        let physician = service.physician(ragnhild());
        assert_eq!(
            found(
                &service
                    .search(&physician, name, &[("status", "active")])
                    .await
            ),
            [id.as_str()]
        );
        assert_eq!(
            service
                .get(&physician, &format!("/{name}/{id}"))
                .await
                .status,
            StatusCode::OK
        );
        assert_eq!(
            service
                .post(&owner, &format!("/{name}"), &body)
                .await
                .status,
            StatusCode::OK
        );
        assert_eq!(
            service
                .delete(&owner, &format!("/{name}/{id}"), None)
                .await
                .status,
            StatusCode::NO_CONTENT
        );
    }
}

#[tokio::test]
async fn an_unknown_patient_is_enrolled_with_a_number_and_no_name_or_not_at_all() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let patients = service
        .search(&owner, "Patient", &[("identifier", &number(ragnhild()))])
        .await;
    assert_eq!(found(&patients).len(), 1);
    let made = patients.matches()[0];
    assert_eq!(
        made["identifier"],
        json!([{ "system": fhir::systems::FNR, "value": ragnhild().number }])
    );
    assert_eq!(made.get("name"), None);

    let strict = Service::with("fjellvik", FJELLVIK, &[], |config| config.enrol = false).await;
    let owner = strict.record_system(FJELLVIK);
    let refused = strict
        .post(
            &owner,
            "/Observation",
            &reading(ragnhild(), "r-1", WHEN, "91"),
        )
        .await;
    assert_eq!(
        (refused.status, &refused.json["issue"][0]["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("business-rule"))
    );
    let person = json!({ "resourceType": "Patient", "identifier": [{ "system": fhir::systems::FNR, "value": ragnhild().number }], "name": [{ "text": "Ragnhild Testmo" }] });
    assert_eq!(
        strict.post(&owner, "/Patient", &person).await.status,
        StatusCode::CREATED
    );
    assert_eq!(
        strict
            .post(
                &owner,
                "/Observation",
                &reading(ragnhild(), "r-1", WHEN, "91")
            )
            .await
            .status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn bad_bodies_are_refused_with_the_place_and_a_record() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let good = reading(ragnhild(), "r-1", WHEN, "91");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        body.to_string().into_bytes()
    };
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let not_synthetic = with(&|b| b["subject"]["identifier"]["value"] = "13031353453".into());
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("no JSON", b"{".to_vec(), 400, "structure"),
        ("bad UTF-8", b"{\"resourceType\":\"\xff\"}".to_vec(), 400, "structure"),
        ("duplicate key", br#"{"resourceType":"Observation","status":"final","status":"final"}"#.to_vec(), 400, "structure"),
        ("too deep", deep.into_bytes(), 400, "too-costly"),
        ("too large", vec![b' '; (2 << 20) + 1], 413, "too-long"),
        ("an empty object", b"{}".to_vec(), 422, ""),
        ("a list", b"[]".to_vec(), 422, ""),
        ("an unknown type", br#"{"resourceType":"Foo"}"#.to_vec(), 422, ""),
        ("another type", br#"{"resourceType":"Patient","identifier":[{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}]}"#.to_vec(), 400, "resourceType"),
        ("an impossible date", with(&|b| b["effectiveDateTime"] = "2026-02-30".into()), 422, "Observation.effectiveDateTime"),
        ("a wrong type", with(&|b| b["valueQuantity"]["value"] = "91".into()), 422, "Observation.valueQuantity.value"),
        ("an unknown status", with(&|b| b["status"] = "ferdig".into()), 422, "Observation.status"),
        ("an unknown element", with(&|b| b["foo"] = 1.into()), 422, "Observation.foo"),
        ("a wrong number", with(&|b| b["subject"]["identifier"]["value"] = "14835210261".into()), 422, "Observation.subject.identifier.value"),
        ("a real person's number", not_synthetic, 422, "Observation.subject.identifier.value"),
    ];
    for (name, body, status, place) in cases {
        let reply = service
            .door
            .post("/Observation", body)
            .by(&owner, NOW)
            .send()
            .await;
        assert_eq!(reply.status.as_u16(), status, "{name}: {}", reply.json);
        let issue = &issues(&reply.json)[0];
        assert!(place.is_empty() || issue.contains(place), "{name}: {issue}");
        let record = service.last_record().await;
        assert!(matches!(record.outcome, Outcome::Failed { .. }), "{name}");
        assert!(
            !String::from_utf8_lossy(&reply.body).contains(&ragnhild().number),
            "{name} repeats a number"
        );
    }
    for (media_type, encoding) in [
        ("application/fhir+xml", ""),
        ("text/plain", ""),
        ("application/fhir+json", "gzip"),
    ] {
        let knock = service
            .door
            .knock(http::Method::POST, "/Observation")
            .header("content-type", media_type)
            .body("{}");
        let knock = if encoding.is_empty() {
            knock
        } else {
            knock.header("content-encoding", encoding)
        };
        assert_eq!(
            knock.by(&owner, NOW).send().await.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{media_type} {encoding}"
        );
    }
    let xml = service
        .door
        .get("/metadata")
        .header("accept", "application/fhir+xml")
        .send()
        .await;
    assert_eq!(xml.status, StatusCode::NOT_ACCEPTABLE);
    let conditional = service
        .door
        .post("/Observation", good.to_string())
        .header("if-none-exist", "_elements=id")
        .by(&owner, NOW)
        .send()
        .await;
    assert_eq!(conditional.status, StatusCode::BAD_REQUEST);
    assert!(found(&service.search(&owner, "Observation", &[]).await).is_empty());
}
