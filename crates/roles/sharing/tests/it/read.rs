//! Reading one resource: hidden and not there look the same.

use crate::house::*;
use http::StatusCode;
use trust::audit::{Disclosed, Outcome};

const WHEN: &str = "2026-11-20T08:00:00+01:00";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000001";

#[tokio::test]
async fn the_patients_own_reading_is_read_and_its_disclosure_is_on_record() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    for who in [
        service.physician(ragnhild()),
        service.citizen(ragnhild()),
        service.record_system(FJELLVIK),
    ] {
        let reply = service.get(&who, &format!("/Observation/{id}")).await;
        assert_eq!(
            (reply.status, reply.header("etag")),
            (StatusCode::OK, "W/\"1\"")
        );
        assert_eq!(
            (reply.header("content-type"), reply.header("cache-control")),
            ("application/fhir+json;charset=utf-8", "no-store")
        );
        let record = service.last_record().await;
        assert_eq!(record.outcome, Outcome::Allowed);
        assert_eq!(
            record.disclosed,
            [Disclosed {
                resource: "Observation".into(),
                id: id.clone(),
                version: 1
            }]
        );
        assert_eq!(record.asked, format!("GET /Observation/{id}"));
        assert_eq!(record.request_id, reply.header("x-request-id"));
    }
}

#[tokio::test]
async fn another_patients_withdrawn_or_live_reading_looks_like_nothing() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let live = service.created(&reading(arne(), "a-1", WHEN, "95")).await;
    let gone = service.created(&reading(arne(), "a-2", WHEN, "95")).await;
    assert_eq!(
        service
            .delete(&owner, &format!("/Observation/{gone}"), None)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    let patient = service
        .search(&owner, "Patient", &[("identifier", &number(arne()))])
        .await;
    let patient = found(&patient).remove(0);
    for who in [service.physician(ragnhild()), service.citizen(ragnhild())] {
        let unknown = service.get(&who, &format!("/Observation/{UNKNOWN}")).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        for path in [
            format!("/Observation/{live}"),
            format!("/Observation/{gone}"),
            format!("/CarePlan/{live}"),
            format!("/Patient/{patient}"),
            "/Observation/not-an-id".to_owned(),
        ] {
            let hidden = service.get(&who, &path).await;
            assert_eq!(hidden.visible(), unknown.visible(), "{path}");
            assert!(service.last_record().await.disclosed.is_empty());
        }
    }
}

#[tokio::test]
async fn who_may_not_see_the_kind_does_not_see_that_it_is_there() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let plans_only = service.physician_but(ragnhild(), |claims| {
        claims.agreement.as_mut().unwrap().services =
            vec![fhir::resource::InformationService::parse("IT08").unwrap()];
    });
    let hidden = service
        .get(&plans_only, &format!("/Observation/{id}"))
        .await;
    let unknown = service
        .get(&plans_only, &format!("/Observation/{UNKNOWN}"))
        .await;
    assert_eq!(
        (hidden.status, hidden.visible()),
        (StatusCode::NOT_FOUND, unknown.visible())
    );
    let searched = service.search(&plans_only, "Observation", &[]).await;
    assert_eq!(
        (found(&searched).len(), &searched.json["total"]),
        (0, &serde_json::json!(0))
    );
}

#[tokio::test]
async fn what_is_not_offered_is_said() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let who = service.physician(ragnhild());
    for (path, status) in [
        ("/Practitioner/x".to_owned(), 404),
        ("/Observation/x/y/z".to_owned(), 404),
        ("/_history".to_owned(), 404),
    ] {
        let reply = service.get(&who, &path).await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
        assert_eq!(reply.json["resourceType"], "OperationOutcome", "{path}");
    }
    let patch = service
        .door
        .knock(http::Method::TRACE, &format!("/Observation/{id}"))
        .by(&who, NOW)
        .send()
        .await;
    assert_eq!(patch.status, StatusCode::METHOD_NOT_ALLOWED);
    let mut allowed: Vec<&str> = patch.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PATCH", "PUT"]);
    for path in ["/AuditEvent", "/AuditEvent/1"] {
        let owner = service.record_system(FJELLVIK);
        let reply = if path.ends_with('1') {
            service.delete(&owner, path, None).await
        } else {
            service
                .post(
                    &owner,
                    path,
                    &serde_json::json!({ "resourceType": "AuditEvent" }),
                )
                .await
        };
        assert_eq!(
            reply.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "nobody writes the trail: {path}"
        );
    }
}

#[tokio::test]
async fn a_format_named_in_the_url_is_json_or_not_acceptable() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let who = service.physician(ragnhild());
    for path in [format!("/Observation/{id}"), "/Observation".to_owned()] {
        for format in ["json", "application/fhir+json", "application%2Ffhir%2Bjson"] {
            let reply = service.get(&who, &format!("{path}?_format={format}")).await;
            assert_eq!(
                reply.status,
                StatusCode::OK,
                "{path} {format}: {}",
                reply.json
            );
        }
        let reply = service.get(&who, &format!("{path}?_format=xml")).await;
        assert_eq!(reply.status, StatusCode::NOT_ACCEPTABLE, "{path}");
    }
}
