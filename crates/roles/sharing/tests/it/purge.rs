//! Erasure on the controller's order, and who cannot order it.

use crate::house::*;
use fhir::systems;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use trust::ClientUse;
use trust::audit::Outcome;
use trust::caller::Delegation;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

fn order(scope: &str, what: Option<Value>) -> Value {
    let mut parameters = vec![
        json!({"name": "ground", "valueCode": "deletion-decision"}),
        json!({"name": "order", "valueString": "2026/117-3"}),
        json!({"name": "decision", "valueString": "vedtak 9"}),
        json!({"name": "scope", "valueCode": scope}),
    ];
    parameters.extend(what);
    json!({"resourceType": "Parameters", "parameter": parameters})
}

fn resource(id: &str) -> Value {
    json!({"name": "resource", "valueReference": {"reference": format!("Observation/{id}")}})
}

fn whom(number: &str) -> Value {
    json!({"name": "patient", "valueIdentifier": {"system": systems::FNR, "value": number}})
}

async fn purge(service: &Service, who: &Held, body: &Value) -> Reply {
    service.post(who, "/$purge", body).await
}

#[tokio::test]
async fn the_controllers_record_system_erases_one_reading_with_all_its_versions() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let kept = service.created(&pulse(ragnhild(), "p-1", WHEN)).await;
    let mut next = reading(ragnhild(), "r-1", WHEN, "92");
    next["id"] = id.as_str().into();
    next["status"] = "corrected".into();
    let put = service
        .put(
            &owner,
            &format!("/Observation/{id}"),
            Some("W/\"1\""),
            &next,
        )
        .await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.json);
    let reply = purge(&service, &owner, &order("resource", Some(resource(&id)))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    assert_eq!(
        reply.json["parameter"][0],
        json!({"name": "resources", "valueDecimal": 1})
    );
    assert_eq!(
        reply.json["parameter"][1],
        json!({"name": "versions", "valueDecimal": 2})
    );
    let record = service.last_record().await;
    let erasure = record.erasure.clone().unwrap();
    assert_eq!(
        (
            erasure.ground.as_str(),
            erasure.order.as_str(),
            erasure.decision.as_str(),
            erasure.versions
        ),
        ("deletion-decision", "2026/117-3", "vedtak 9", 2)
    );
    assert_eq!(record.patient, Some(identifier(ragnhild())));
    assert!(record.disclosed.is_empty());
    for who in [&owner, &service.physician(ragnhild())] {
        for path in [
            format!("/Observation/{id}"),
            format!("/Observation/{id}/_history/1"),
        ] {
            assert_eq!(service.get(who, &path).await.status, StatusCode::NOT_FOUND);
        }
        assert_eq!(
            found(&service.search(who, "Observation", &[]).await),
            [kept.as_str()]
        );
    }
    // Again: there is nothing of it.
    let again = purge(&service, &owner, &order("resource", Some(resource(&id)))).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    // Controller and patient read in the trail that it was done, and on whose order.
    let about = [("patient.identifier", number(ragnhild()))];
    let about: Vec<_> = about
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    for who in [&owner, &service.citizen(ragnhild())] {
        let trail = service.search(who, "AuditEvent", &about).await;
        let told = trail.matches().iter().any(|event| {
            event["outcomeDesc"] == "allowed; erased (resource): 1 resources, 2 versions, 0 patients; ground deletion-decision, order 2026/117-3, decision vedtak 9"
        });
        assert!(told, "{}", trail.json);
    }
}

#[tokio::test]
async fn a_patient_and_a_whole_store_go_with_everything() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    for who in [ragnhild(), arne()] {
        service.created(&reading(who, "r-1", WHEN, "91")).await;
        service.created(&pulse(who, "p-1", WHEN)).await;
    }
    let reply = purge(
        &service,
        &owner,
        &order("patient", Some(whom(&ragnhild().number))),
    )
    .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    assert_eq!(
        reply.json["parameter"][2],
        json!({"name": "patients", "valueDecimal": 1})
    );
    assert_eq!(
        found(&service.search(&owner, "Observation", &[]).await).len(),
        2
    );
    assert_eq!(
        found(&service.search(&owner, "Patient", &[]).await).len(),
        1
    );
    let reply = purge(&service, &owner, &order("store", None)).await;
    assert_eq!(
        reply.json["parameter"][0],
        json!({"name": "resources", "valueDecimal": 3})
    );
    assert!(found(&service.search(&owner, "Observation", &[]).await).is_empty());
    assert_eq!(
        service.last_record().await.interaction,
        trust::Interaction::Search
    );
}

#[tokio::test]
async fn nobody_else_can_start_it() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let supplier = service.held(|jkt| {
        let mut claims =
            service.system_claims(ClientUse::RecordSystem, NORDDRIFT, "system/*.cruds", jkt);
        claims.delegation = Some(Delegation {
            id: "d-1".into(),
            version: 1,
            from: org(FJELLVIK),
        });
        claims
    });
    let nobody = [
        supplier,
        service.hub(FJELLVIK),
        service.record_system(PROVEBAKKEN),
        service.system(ClientUse::Service, FJELLVIK, "system/*.cruds"),
        service.physician(ragnhild()),
        service.citizen(ragnhild()),
        service.system(ClientUse::RecordSystem, FJELLVIK, "system/*.crus"),
    ];
    for who in &nobody {
        for body in [
            order("resource", Some(resource(&id))),
            order("patient", Some(whom(&ragnhild().number))),
            order("store", None),
        ] {
            let reply = purge(&service, who, &body).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
            assert!(matches!(
                service.last_record().await.outcome,
                Outcome::Refused { .. }
            ));
        }
    }
    // A right to erase one type erases no patient.
    let narrow = service.system(
        ClientUse::RecordSystem,
        FJELLVIK,
        "system/Observation.cruds",
    );
    let reply = purge(
        &service,
        &narrow,
        &order("patient", Some(whom(&ragnhild().number))),
    )
    .await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let owner = service.record_system(FJELLVIK);
    assert_eq!(
        found(&service.search(&owner, "Observation", &[]).await),
        [id]
    );
}

#[tokio::test]
async fn in_a_shared_register_a_member_erases_its_own_alone() {
    let register = Service::kystregionen().await;
    let (sorlia, asdal) = (
        register.record_system(SORLIA),
        register.record_system(ASDAL),
    );
    let reply = register
        .post(
            &sorlia,
            "/Observation",
            &reading(ragnhild(), "r-1", WHEN, "91"),
        )
        .await;
    let id = reply.json["id"].as_str().unwrap().to_owned();
    for (who, body) in [
        (&asdal, order("resource", Some(resource(&id)))),
        (&sorlia, order("patient", Some(whom(&ragnhild().number)))),
        (&sorlia, order("store", None)),
    ] {
        assert_eq!(
            purge(&register, who, &body).await.status,
            StatusCode::FORBIDDEN
        );
    }
    let reply = purge(&register, &sorlia, &order("resource", Some(resource(&id)))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let controller = register.record_system(KYSTREGIONEN);
    let reply = purge(&register, &controller, &order("store", None)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
}

#[tokio::test]
async fn an_order_that_could_be_read_in_two_ways_is_none() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let patient = service
        .state
        .store()
        .patient_id(&identifier(ragnhild()))
        .await
        .unwrap()
        .unwrap();
    let of_patient =
        json!({"name": "resource", "valueReference": {"reference": format!("Patient/{patient}")}});
    let mut without_ground = order("resource", Some(resource(&id)));
    without_ground["parameter"]
        .as_array_mut()
        .unwrap()
        .remove(0);
    let mut with_number = order("resource", Some(resource(&id)));
    with_number["parameter"][1]["valueString"] = ragnhild().number.clone().into();
    for (body, expected) in [
        (
            order("store", Some(resource(&id))),
            vec!["invalid @ resource"],
        ),
        (order("patient", None), vec!["invalid @ patient"]),
        (
            order("resource", Some(of_patient)),
            vec!["value @ resource"],
        ),
        (
            order("patient", Some(whom("12345678901"))),
            vec!["value @ patient"],
        ),
        (order("everything", None), vec!["value @ scope"]),
        (without_ground, vec!["required @ ground"]),
        (with_number, vec!["value @ order"]),
    ] {
        let reply = purge(&service, &owner, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.json);
        assert_eq!(issues(&reply.json), expected);
        assert!(!reply.json.to_string().contains(&ragnhild().number));
    }
    assert_eq!(
        found(&service.search(&owner, "Observation", &[]).await),
        [id]
    );
}
