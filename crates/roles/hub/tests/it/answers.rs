//! Answers to questionnaires by themselves, outside documents: taken alone and in bundles, once, and delivered to both receivers.

use crate::deliver::deliver;
use crate::house::*;
use crate::receiver::Receiver;
use http::StatusCode;
use serde_json::json;
use trust::ClientUse;

const PATH: &str = "/fhir/QuestionnaireResponse";

#[tokio::test]
async fn answers_are_taken_alone_and_in_bundles_once_and_go_to_both_receivers_in_order() {
    let (record_system, sharing) = (Receiver::listen(&[]).await, Receiver::listen(&[]).await);
    let hub = Hub::with(vec![receiver(
        FJELLVIK,
        Some(record_system.base()),
        Some(&sharing.url),
    )])
    .await;
    let home = hub.home(FJELLVIK);
    let one = answers(ragnhild(), "q-1");
    let text = one.to_string().replace("18.0", "18.00");
    let reply = hub.post_text(&home, PATH, text.clone()).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    let key = reply
        .header("location")
        .strip_prefix("QuestionnaireResponse/")
        .unwrap()
        .to_owned();
    let again = hub.post_text(&home, PATH, text.clone()).await;
    assert_eq!(
        (again.status, again.header("location")),
        (StatusCode::OK, reply.header("location"))
    );
    // Between readings of the same patient, whose order stays.
    let sent = [
        reading(ragnhild(), "r-1", 90),
        answers(ragnhild(), "q-2"),
        reading(ragnhild(), "r-2", 91),
    ];
    let reply = hub.post(&home, "/fhir", &bundle("batch", &sent)).await;
    assert_eq!(statuses(&reply), [201, 201, 201]);
    let place = |n: usize| {
        reply.json["entry"][n]["response"]["location"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(place(0).starts_with("Observation/") && place(1).starts_with("QuestionnaireResponse/"));
    let reply = hub.post(&home, "/fhir", &bundle("collection", &sent)).await;
    assert_eq!(statuses(&reply), [200, 200, 200]);
    deliver(&hub, async {
        for receiver in [&record_system, &sharing] {
            while receiver.got().len() < 4 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    for receiver in [&record_system, &sharing] {
        let got = receiver.got();
        assert!(got[0].text.contains(&text), "byte for byte");
        assert_eq!(
            got[0].bundle["entry"][0]["fullUrl"],
            format!("urn:uuid:{key}")
        );
        let kinds: Vec<_> = got
            .iter()
            .map(|one| {
                one.bundle["entry"][0]["request"]["url"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "QuestionnaireResponse",
                "Observation",
                "QuestionnaireResponse",
                "Observation"
            ]
        );
        assert!(
            got.iter()
                .all(|one| one.bundle["entry"].as_array().unwrap().len() == 1)
        );
    }
}

#[tokio::test]
async fn answers_in_doubt_are_told_so_with_their_place_and_kept_aside() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let place = |reply: &testkit::clients::Reply| {
        reply.json["issue"][0]["expression"][0]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        hub.post(&home, PATH, &answers(ragnhild(), "q-1"))
            .await
            .status,
        StatusCode::CREATED
    );
    let mut other = answers(ragnhild(), "q-1");
    other["item"][0]["answer"][0]["valueInteger"] = json!(4);
    let reply = hub.post(&home, PATH, &other).await;
    assert_eq!(
        (reply.status, place(&reply).as_str()),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            "QuestionnaireResponse.identifier"
        )
    );
    assert_eq!(
        hub.aside(&home).await,
        [(
            "conflict".to_owned(),
            Some("urn:example:answers|q-1".to_owned())
        )]
    );
    other["status"] = json!("amended");
    assert_eq!(
        hub.post(&home, PATH, &other).await.status,
        StatusCode::CREATED,
        "a correction"
    );
    for (member, value, expected) in [
        (
            "subject",
            json!({"reference": "Patient/1"}),
            "QuestionnaireResponse.subject",
        ),
        ("status", json!("done"), "QuestionnaireResponse.status"),
        (
            "item",
            json!([{"text": "without its id"}]),
            "QuestionnaireResponse.item[0].linkId",
        ),
    ] {
        let mut wrong = answers(ragnhild(), "q-wrong");
        wrong[member] = value;
        let reply = hub.post(&home, PATH, &wrong).await;
        assert_eq!(
            (reply.status, place(&reply).as_str()),
            (StatusCode::UNPROCESSABLE_ENTITY, expected),
            "{}",
            reply.json
        );
    }
    // At the other's address neither is taken.
    for (path, body) in [
        (PATH, reading(ragnhild(), "r-1", 91)),
        ("/fhir/Observation", answers(ragnhild(), "q-3")),
    ] {
        let reply = hub.post(&home, path, &body).await;
        assert!(
            reply.status.is_client_error() && place(&reply) == "resourceType",
            "{}",
            reply.json
        );
    }
}

#[tokio::test]
async fn a_token_for_readings_alone_brings_no_answers_and_a_token_for_answers_no_readings() {
    let hub = Hub::new().await;
    let only = |scope: &str| {
        hub.held(|jkt| {
            let mut claims = hub.claims("home", ClientUse::HomeSystem, FJELLVIK, jkt);
            claims.scope = scope.to_owned();
            claims
        })
    };
    let both = [reading(ragnhild(), "r-1", 91), answers(ragnhild(), "q-1")];
    for (scope, alone, in_bundle) in [
        ("system/Observation.c", [201, 403], [200, 403]),
        ("system/QuestionnaireResponse.c", [403, 201], [403, 200]),
    ] {
        let who = only(scope);
        for (n, path) in ["/fhir/Observation", PATH].iter().enumerate() {
            assert_eq!(
                hub.post(&who, path, &both[n]).await.status.as_u16(),
                alone[n],
                "{scope} {path}"
            );
        }
        assert_eq!(
            statuses(&hub.post(&who, "/fhir", &bundle("batch", &both)).await),
            in_bundle
        );
    }
}

#[tokio::test]
async fn what_a_token_lacks_is_not_kept_as_the_answer_to_its_key() {
    let hub = Hub::new().await;
    let only = |scope: &str| {
        hub.held(|jkt| {
            let mut claims = hub.claims("home", ClientUse::HomeSystem, FJELLVIK, jkt);
            claims.scope = scope.to_owned();
            claims
        })
    };
    let body = bundle("batch", &[answers(ragnhild(), "q-1")]).to_string();
    let mut told = Vec::new();
    for who in [
        only("system/Observation.c"),
        only("system/QuestionnaireResponse.c"),
    ] {
        let knock = hub.door.post("/fhir", body.clone());
        let knock = knock.header("idempotency-key", "k-1");
        told.extend(statuses(&knock.by(&who, hub.clock.now()).send().await));
    }
    assert_eq!(told, [403, 201]);
}
