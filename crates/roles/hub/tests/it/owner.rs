//! Whose reading is it (CONTRACT section 5): the sender's registration, and what the reading or its bundle says.

use crate::house::*;
use fhir::systems::{HPR, ORGNR, RESH};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::door::Held;
use trust::ClientUse;

async fn send(hub: &Hub, who: &Held, body: &Value) -> (StatusCode, Option<String>) {
    let reply = hub.post(who, "/fhir/Observation", body).await;
    let words = reply.json["issue"][0]["diagnostics"]
        .as_str()
        .map(str::to_owned);
    (reply.status, words)
}

#[tokio::test]
async fn the_organisation_named_must_be_the_one_registered_in_any_of_its_forms() {
    let hub = Hub::new().await;
    let (fjellvik, proveheim) = (hub.home(FJELLVIK), hub.home(PROVEHEIM));
    for (n, (who, system, value, taken)) in [
        (&fjellvik, ORGNR, FJELLVIK, true),
        (&fjellvik, ORGNR, FJELLVIK_UNIT, true),
        (&fjellvik, "urn:oid:2.16.578.1.12.4.1.4.101", FJELLVIK, true),
        (&proveheim, RESH, PROVEHEIM_RESH, true),
        (&proveheim, ORGNR, PROVEHEIM, true),
        (&fjellvik, ORGNR, PROVEHEIM, false),
        (&fjellvik, RESH, PROVEHEIM_RESH, false),
        (&fjellvik, ORGNR, "974760673", false),
        (&fjellvik, RESH, "1", false),
        (&fjellvik, ORGNR, "12", false),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("r-{n}");
        let (status, words) = send(&hub, who, &performed(ragnhild(), &name, system, value)).await;
        let expected = if taken {
            StatusCode::CREATED
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        };
        assert_eq!(status, expected, "{system} {value}: {words:?}");
        if !taken {
            assert!(
                words.unwrap().contains("organisation named"),
                "{system} {value}"
            );
            let aside = hub.aside(who).await;
            assert!(
                aside.contains(&(
                    "organisation".to_owned(),
                    Some(format!("urn:example:readings|{name}"))
                )),
                "{aside:?}"
            );
        }
    }
    // A practitioner's number is no organisation and decides nothing.
    assert_eq!(
        send(
            &hub,
            &fjellvik,
            &performed(ragnhild(), "hpr", HPR, "9999001")
        )
        .await
        .0,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn each_sender_s_readings_go_to_its_own_organisation() {
    let hub = Hub::new().await;
    for orgnr in [FJELLVIK, PROVEHEIM, SORLIA] {
        assert_eq!(
            send(&hub, &hub.home(orgnr), &reading(ragnhild(), "r-1", 91))
                .await
                .0,
            StatusCode::CREATED,
            "{orgnr}"
        );
    }
    // A sub-unit's home system sends for its controller.
    assert_eq!(
        send(
            &hub,
            &hub.home(FJELLVIK_UNIT),
            &reading(ragnhild(), "r-2", 91)
        )
        .await
        .0,
        StatusCode::CREATED
    );
    for (receiver, count) in [
        ("310001007/record-system", 2),
        ("310001007/sharing", 2),
        ("310001074/record-system", 1),
        ("310001074/sharing", 1),
        ("310001422/sharing", 1),
        ("310001422/record-system", 0),
    ] {
        assert_eq!(hub.waiting(receiver).await.len(), count, "{receiver}");
    }
}

#[tokio::test]
async fn the_first_that_is_named_decides() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let tagged = |key: &str, tags: Value, performer: Option<&str>| {
        let body = match performer {
            Some(orgnr) => performed(ragnhild(), key, ORGNR, orgnr),
            None => reading(ragnhild(), key, 91),
        };
        let mut sent = bundle("batch", &[body]);
        sent["meta"] = json!({ "tag": tags });
        sent
    };
    let tag = |code: &str| json!([{ "system": "urn:example:other", "code": "1" }, { "system": ORGNR, "code": code }]);
    for (name, sent, status) in [
        ("own tag", tagged("r-1", tag(FJELLVIK), None), 201),
        (
            "a sub-unit's tag",
            tagged("r-2", tag(FJELLVIK_UNIT), None),
            201,
        ),
        ("another's tag", tagged("r-3", tag(PROVEHEIM), None), 422),
        ("an unknown tag", tagged("r-4", tag("12"), None), 422),
        (
            "the performer decides before the tag",
            tagged("r-5", tag(PROVEHEIM), Some(FJELLVIK)),
            201,
        ),
        (
            "the performer is another's, the tag is not",
            tagged("r-6", tag(FJELLVIK), Some(PROVEHEIM)),
            422,
        ),
        (
            "a municipality's number is not compared",
            tagged(
                "r-7",
                json!([{ "system": fhir::systems::MUNICIPALITY, "code": "0301" }]),
                None,
            ),
            201,
        ),
    ] {
        assert_eq!(
            statuses(&hub.post(&home, "/fhir", &sent).await),
            [status],
            "{name}"
        );
    }
    // The first of several organisations among the performers; those without a number say nothing.
    let mut body = performed(ragnhild(), "r-8", ORGNR, FJELLVIK);
    let performers = body["performer"].as_array_mut().unwrap();
    performers.insert(0, json!({ "type": "Organization", "display": "Fjellvik" }));
    performers.push(
        json!({ "type": "Organization", "identifier": { "system": ORGNR, "value": PROVEHEIM } }),
    );
    assert_eq!(send(&hub, &home, &body).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn who_sends_for_nobody_here_is_told_so_and_loses_nothing_in_silence() {
    let hub = Hub::with(vec![
        receiver(FJELLVIK, Some("http://127.0.0.1:9/epj"), None),
        hub::Receiver {
            record_system_kinds: Vec::new(),
            record_system_rules: Vec::new(),
            ..receiver(PROVEHEIM, Some("http://127.0.0.1:9/epj2"), None)
        },
    ])
    .await;
    // Not served; unknown; served, but nobody there takes measurements.
    for orgnr in [PROVEBAKKEN, "974760673", PROVEHEIM] {
        let who = hub.home(orgnr);
        let (status, words) = send(&hub, &who, &reading(ragnhild(), "r-1", 91)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{orgnr}");
        assert!(words.unwrap().contains("not registered"), "{orgnr}");
        assert_eq!(hub.aside(&who).await.len(), 1, "{orgnr}");
    }
    assert_eq!(
        send(&hub, &hub.home(FJELLVIK), &reading(ragnhild(), "r-1", 91))
            .await
            .0,
        StatusCode::CREATED
    );
    assert_eq!(
        (
            hub.waiting("310001007/record-system").await.len(),
            hub.waiting("310001007/sharing").await.len()
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn only_home_systems_send() {
    let hub = Hub::new().await;
    for use_ in [
        ClientUse::RecordSystem,
        ClientUse::Gateway,
        ClientUse::Service,
        ClientUse::Hub,
        ClientUse::Test,
    ] {
        let who = hub.held(|jkt| hub.claims("x", use_, FJELLVIK, jkt));
        assert_eq!(
            send(&hub, &who, &reading(ragnhild(), "r-1", 91)).await.0,
            StatusCode::FORBIDDEN,
            "{use_:?}"
        );
    }
    let scope = hub.held(|jkt| trust::token::Claims {
        scope: "system/Observation.rs".into(),
        ..hub.claims("x", ClientUse::HomeSystem, FJELLVIK, jkt)
    });
    assert_eq!(
        send(&hub, &scope, &reading(ragnhild(), "r-1", 91)).await.0,
        StatusCode::FORBIDDEN
    );
    assert!(matches!(
        hub.audit().await[0].record.outcome,
        trust::audit::Outcome::Refused { .. }
    ));
}

#[tokio::test]
async fn what_is_kept_aside_of_a_bundle_is_on_record_with_its_patient_and_its_reason() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let (her, him) = (ragnhild(), patient("arne"));
    let mut implausible = reading(him, "r-3", 91);
    implausible["valueQuantity"]["value"] = json!(400);
    let sent = bundle(
        "batch",
        &[
            reading(her, "r-1", 91),
            performed(him, "r-2", ORGNR, PROVEHEIM),
            implausible,
            performed(her, "r-4", ORGNR, PROVEHEIM),
        ],
    );
    assert_eq!(
        statuses(&hub.post(&home, "/fhir", &sent).await),
        [201, 422, 422, 422]
    );
    let list = hub.get(&home, "/quarantine").await;
    let mut kept: Vec<(String, String)> = Vec::new();
    for one in list.json["entries"].as_array().unwrap() {
        let (id, reason) = (one["id"].as_str().unwrap(), one["reason"].as_str().unwrap());
        let whose = match one["identifier"].as_str().unwrap() {
            "urn:example:readings|r-4" => her,
            _ => him,
        };
        let words = format!("kept aside as {id}: {reason}");
        kept.push((whose.number.clone(), words));
    }
    let mut told = Vec::new();
    for one in hub.audit().await {
        let asked = &one.record.asked;
        if let Some(at) = asked.find("kept aside") {
            let patient = one.record.patient.as_ref().expect("whose it is");
            told.push((patient.value().expose().to_owned(), asked[at..].to_owned()));
            let failed = matches!(one.record.outcome, trust::audit::Outcome::Failed { .. });
            assert!(failed && !asked.contains(&her.number));
        }
    }
    kept.sort();
    told.sort();
    assert_eq!(told, kept, "one each");
    // One thing that is kept aside is told of by the request's own record.
    let before = hub.audit().await.len();
    send(&hub, &home, &performed(her, "r-5", ORGNR, PROVEHEIM)).await;
    let trail = hub.audit().await;
    assert_eq!(trail.len(), before + 1);
    let record = &trail[0].record;
    assert!(record.asked.ends_with(": organisation"), "{}", record.asked);
    assert_eq!(
        record.patient.as_ref().unwrap().value().expose(),
        her.number
    );
}
