//! What is acknowledged, once, in order, and durably.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::HashSet;
use trust::Interaction;
use trust::audit::Outcome;

const SHARING: &str = "310001007/sharing";
const RECORD_SYSTEM: &str = "310001007/record-system";

#[tokio::test]
async fn a_single_reading_is_acknowledged_and_waits_for_both_receivers_as_it_was_sent() {
    let hub = Hub::new().await;
    // Spaces, order and decimals are the sender's.
    let number = &ragnhild().number;
    let text = format!(
        r#"{{ "valueQuantity":{{"value":91.0,"unit":"%","system":"http://unitsofmeasure.org","code":"%"}},"resourceType" : "Observation",
        "status":"final","code":{{"coding":[{{"code":"59408-5","system":"http://loinc.org"}}]}},"effectiveDateTime":"{WHEN}",
        "subject":{{"identifier":{{"value":"{number}","system":"urn:oid:2.16.578.1.12.4.1.4.1"}}}},"id":"own-7"}}"#
    );
    let home = hub.home(FJELLVIK);
    let reply = hub
        .post_text(&home, "/fhir/Observation", text.clone())
        .await;
    assert_eq!(
        (reply.status, reply.body.len()),
        (StatusCode::CREATED, 0),
        "{}",
        reply.json
    );
    let key = key_of(reply.header("location"));
    for receiver in [SHARING, RECORD_SYSTEM] {
        assert_eq!(
            hub.waiting(receiver).await,
            [(key.clone(), text.clone())],
            "{receiver}"
        );
    }
    let record = hub.audit().await.remove(0).record;
    assert_eq!(
        (record.interaction, &record.outcome),
        (Interaction::Create, &Outcome::Allowed)
    );
    assert_eq!(record.patient.unwrap().value().expose(), number);
    assert_eq!(record.request_id, reply.header("x-request-id"));
    // A resend, the same with other spaces too, is the same.
    for again in [text.clone(), text.replace(" : ", ":")] {
        let reply = hub.post_text(&home, "/fhir/Observation", again).await;
        assert_eq!(
            (reply.status, key_of(reply.header("location"))),
            (StatusCode::OK, key.clone())
        );
    }
    assert_eq!(hub.waiting(SHARING).await.len(), 1);
}

#[tokio::test]
async fn a_bundle_is_answered_entry_by_entry_in_order() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    for kind in ["collection", "batch"] {
        let name = |n: u32| format!("{kind}-{n}");
        let mut no_value = reading(ragnhild(), &name(2), 92);
        no_value.as_object_mut().unwrap().remove("valueQuantity");
        let sent = bundle(
            kind,
            &[
                reading(ragnhild(), &name(1), 91),
                no_value,
                reading(patient("arne"), &name(3), 93),
                reading(ragnhild(), &name(4), 94),
            ],
        );
        let reply = hub.post(&home, "/fhir", &sent).await;
        assert_eq!(statuses(&reply), [201, 422, 201, 201], "{}", reply.json);
        for (n, entry) in reply.json["entry"].as_array().unwrap().iter().enumerate() {
            assert_eq!(entry["fullUrl"], full_url(n));
            assert_eq!(
                entry["response"]["extension"],
                json!([{ "url": fhir::systems::PMD_ENTRY_ID, "valueUri": full_url(n) }])
            );
        }
        assert_eq!(
            issues(&reply.json["entry"][1]["response"]["outcome"]),
            ["required @ Bundle.entry[1].resource.value[x]"]
        );
        let acknowledged: HashSet<String> = keys(&reply).into_iter().collect();
        assert_eq!(acknowledged.len(), 3);
        let waiting: HashSet<String> = hub
            .waiting(SHARING)
            .await
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert!(
            acknowledged.is_subset(&waiting),
            "everything acknowledged is in the outbox"
        );
        assert!(
            !hub.waiting(SHARING)
                .await
                .iter()
                .any(|(_, body)| body.contains(&name(2)))
        );
    }
    assert_eq!(hub.waiting(SHARING).await.len(), 6);
    assert_eq!(hub.waiting(RECORD_SYSTEM).await.len(), 6);
    // Without fullUrl and request there is none in the answer either.
    let bare = json!({ "resourceType": "Bundle", "type": "collection", "entry": [{ "resource": reading(ragnhild(), "bare", 90) }] });
    let reply = hub.post(&home, "/fhir", &bare).await;
    assert_eq!(
        (statuses(&reply), reply.json["entry"][0].get("fullUrl")),
        (vec![201], None)
    );
    assert_eq!(reply.json["entry"][0]["response"].get("extension"), None);
}

#[tokio::test]
async fn a_resend_after_a_restart_gets_the_first_answer_again() {
    let hub = Hub::new().await;
    let sent = bundle(
        "batch",
        &[
            reading(ragnhild(), "r-1", 91),
            reading(ragnhild(), "r-2", 92),
            reading(patient("arne"), "a-1", 93),
        ],
    );
    let first = hub.post(&hub.home(FJELLVIK), "/fhir", &sent).await;
    assert_eq!(statuses(&first), [201, 201, 201]);
    let hub = hub.restarted().await;
    let again = hub.post(&hub.home(FJELLVIK), "/fhir", &sent).await;
    assert_eq!(
        (statuses(&again), keys(&again)),
        (vec![200, 200, 200], keys(&first))
    );
    let single = hub
        .post(
            &hub.home(FJELLVIK),
            "/fhir/Observation",
            &reading(ragnhild(), "r-2", 92),
        )
        .await;
    assert_eq!(
        (single.status, key_of(single.header("location"))),
        (StatusCode::OK, keys(&first)[1].clone())
    );
    assert_eq!(
        hub.waiting(SHARING).await.len(),
        3,
        "nothing is lost and nothing is there twice"
    );
    // A new one among old ones is new.
    let mixed = bundle(
        "batch",
        &[
            reading(ragnhild(), "r-1", 91),
            reading(ragnhild(), "r-3", 94),
        ],
    );
    assert_eq!(
        statuses(&hub.post(&hub.home(FJELLVIK), "/fhir", &mixed).await),
        [200, 201]
    );
}

#[tokio::test]
async fn the_same_reading_twice_in_one_bundle_is_one() {
    let hub = Hub::new().await;
    let body = reading(ragnhild(), "r-1", 91);
    let mut corrected = reading(ragnhild(), "r-1", 94);
    corrected["status"] = "corrected".into();
    let sent = bundle(
        "batch",
        &[
            body.clone(),
            body,
            reading(ragnhild(), "r-1", 19),
            corrected,
        ],
    );
    let reply = hub.post(&hub.home(FJELLVIK), "/fhir", &sent).await;
    assert_eq!(statuses(&reply), [201, 200, 422, 201], "{}", reply.json);
    assert_eq!(keys(&reply)[0], keys(&reply)[1]);
    let waiting = hub.waiting(SHARING).await;
    assert_eq!(
        waiting
            .iter()
            .map(|(key, _)| key.clone())
            .collect::<Vec<_>>(),
        [keys(&reply)[0].clone(), keys(&reply)[2].clone()],
        "in the order sent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn equal_bundles_at_the_same_time_make_one_of_each_reading() {
    let hub = std::sync::Arc::new(Hub::new().await);
    let readings: Vec<Value> = (0..20)
        .map(|n| {
            reading(
                if n % 2 == 0 {
                    ragnhild()
                } else {
                    patient("arne")
                },
                &format!("r-{n}"),
                91,
            )
        })
        .collect();
    let sent = bundle("batch", &readings).to_string();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (hub, sent) = (hub.clone(), sent.clone());
        senders.spawn(async move { hub.post_text(&hub.home(FJELLVIK), "/fhir", sent).await });
    }
    let replies = senders.join_all().await;
    let mut created = [0; 20];
    for reply in &replies {
        for (n, status) in statuses(reply).into_iter().enumerate() {
            assert!(matches!(status, 200 | 201), "{status}");
            created[n] += u32::from(status == 201);
        }
        assert_eq!(keys(reply), keys(&replies[0]));
    }
    assert_eq!(created, [1; 20], "one sender was first with each");
    assert_eq!(hub.waiting(SHARING).await.len(), 20);
    assert_eq!(hub.waiting(RECORD_SYSTEM).await.len(), 20);
}

#[tokio::test]
async fn other_content_is_kept_aside_unless_it_comes_as_a_correction() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let key = hub.sent(&reading(ragnhild(), "r-1", 91)).await;
    let mut other = reading(ragnhild(), "r-1", 19);
    for _ in 0..2 {
        let reply = hub.post(&home, "/fhir/Observation", &other).await;
        assert_eq!(
            (reply.status, &reply.json["issue"][0]["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("duplicate"))
        );
        assert_eq!(
            reply.json["issue"][0]["details"]["coding"][0]["code"],
            "conflict"
        );
    }
    assert_eq!(
        hub.aside(&home).await,
        [(
            "conflict".to_owned(),
            Some("urn:example:readings|r-1".to_owned())
        )],
        "once, though sent twice"
    );
    other["status"] = "corrected".into();
    let corrected = hub.post(&home, "/fhir/Observation", &other).await;
    assert_eq!(corrected.status, StatusCode::CREATED);
    let newer = key_of(corrected.header("location"));
    assert_ne!(newer, key);
    let keys: Vec<String> = hub
        .waiting(SHARING)
        .await
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys, [key, newer.clone()]);
    let again = hub.post(&home, "/fhir/Observation", &other).await;
    assert_eq!(
        (again.status, key_of(again.header("location"))),
        (StatusCode::OK, newer)
    );
}

#[tokio::test]
async fn a_reading_in_doubt_is_kept_aside_with_its_reason_and_nobody_elses() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let mut unknown = reading(ragnhild(), "unknown-code", 91);
    unknown["code"]["coding"][0]["code"] = "0000-0".into();
    let implausible = reading(ragnhild(), "too-high", 400);
    let mut future = reading(ragnhild(), "future", 91);
    future["effectiveDateTime"] = "2027-11-20T08:00:00+01:00".into();
    let mut unit = reading(ragnhild(), "unit", 91);
    unit["valueQuantity"]["code"] = "mm[Hg]".into();
    for (body, finding) in [
        (unknown, "unknown-code"),
        (implausible, "implausible-value"),
        (future, "implausible-time"),
        (unit, "wrong-unit"),
    ] {
        hub.clock.advance(1_000_000);
        let reply = hub
            .post(&hub.home(FJELLVIK), "/fhir", &bundle("batch", &[body]))
            .await;
        assert_eq!(statuses(&reply), [422], "{finding}");
        let issue = &reply.json["entry"][0]["response"]["outcome"]["issue"][0];
        assert_eq!(issue["details"]["coding"][0]["code"], finding);
    }
    let reply = hub.get(&home, "/quarantine").await;
    let entries = reply.json["entries"].as_array().unwrap();
    let names: Vec<&str> = entries
        .iter()
        .map(|e| {
            e["identifier"]
                .as_str()
                .unwrap()
                .rsplit('|')
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(
        names,
        ["unit", "future", "too-high", "unknown-code"],
        "newest first"
    );
    assert!(
        entries.iter().all(
            |e| e["reason"] == "in-doubt" && e["outcome"]["resourceType"] == "OperationOutcome"
        )
    );
    assert_eq!(entries[0]["received"], "2026-11-21T09:00:04Z");
    assert!(
        hub.audit()
            .await
            .iter()
            .any(|e| e.record.request_id == entries[0]["request_id"])
    );
    assert!(!String::from_utf8_lossy(&reply.body).contains(&ragnhild().number));
    for other in [
        hub.home(PROVEHEIM),
        hub.held(|jkt| {
            hub.claims(
                "another-home-system",
                trust::ClientUse::HomeSystem,
                FJELLVIK,
                jkt,
            )
        }),
    ] {
        assert_eq!(hub.aside(&other).await, [], "a sender reads its own alone");
    }
    // What the sender must change is refused and not kept.
    let mut wrong = reading(ragnhild(), "wrong", 91);
    wrong["status"] = "ferdig".into();
    assert_eq!(
        hub.post(&home, "/fhir/Observation", &wrong).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(hub.aside(&home).await.len(), 4);
    assert_eq!(hub.waiting(SHARING).await, []);
}

#[tokio::test]
async fn nothing_of_a_person_who_may_be_alive_is_kept_in_a_demo() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let mut body = reading(ragnhild(), "r-1", 91);
    // A number with right control digits and no synthetic mark, from the published examples of Skatteetaten's old series.
    body["subject"]["identifier"]["value"] = "13031353453".into();
    let reply = hub.post(&home, "/fhir/Observation", &body).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        issues(&reply.json)[0].split(" @ ").nth(1),
        Some("Observation.subject.identifier.value")
    );
    assert_eq!(hub.aside(&home).await, []);
    assert_eq!(hub.waiting(SHARING).await, []);
    let trail = hub.audit().await;
    assert!(trail.iter().all(|e| {
        !serde_json::to_string(&e.record)
            .unwrap()
            .contains("13031353453")
    }));
}

#[tokio::test]
async fn a_proof_sent_twice_takes_nothing_in() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let knock = |key: &str| {
        hub.door.post(
            "/fhir/Observation",
            reading(ragnhild(), key, 91).to_string(),
        )
    };
    let proof = knock("r-1").proof(&home, NOW);
    assert_eq!(
        knock("r-1").with(&home, &proof).send().await.status,
        StatusCode::CREATED
    );
    let replayed = knock("r-2").with(&home, &proof).send().await;
    assert_eq!(replayed.status, StatusCode::UNAUTHORIZED);
    assert!(
        replayed
            .header("www-authenticate")
            .contains("invalid_dpop_proof")
    );
    let record = hub.audit().await.remove(0).record;
    assert_eq!(
        record.outcome,
        Outcome::Unauthenticated {
            code: "invalid_dpop_proof".into()
        }
    );
    assert_eq!(hub.waiting(SHARING).await.len(), 1);
}

#[tokio::test]
async fn what_is_remarked_of_a_reading_is_told_by_its_place() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let mut claims = reading(ragnhild(), "r-2", 91);
    claims["meta"] = json!({"profile": ["https://example.org/StructureDefinition/not-here"]});
    let sent = bundle("collection", &[reading(ragnhild(), "r-1", 92), claims]);
    for status in ["201 Created", "200 OK"] {
        let reply = hub.post(&home, "/fhir", &sent).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        let response = |n: usize| &reply.json["entry"][n]["response"];
        assert_eq!(response(0)["status"], status);
        assert_eq!(response(0)["outcome"], Value::Null);
        assert_eq!(response(1)["status"], status);
        let issue = &response(1)["outcome"]["issue"][0];
        assert_eq!(issue["severity"], "information", "{}", reply.json);
        assert_eq!(
            issue["expression"],
            json!(["Bundle.entry[1].resource.meta.profile[0]"])
        );
    }
}
