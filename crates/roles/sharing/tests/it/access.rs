//! Every route and every kind of caller, printed as a matrix. A route without a case here fails the test.

use crate::house::*;
use http::Method;
use serde_json::Value;
use std::fmt::Write;
use testkit::door::{Held, Knock};
use trust::ClientUse;
use wire::route::Access;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

/// An operation asked by a form.
fn call<'a>(door: &'a testkit::door::Door, path: &str, form: &[(&str, &str)]) -> Knock<'a> {
    door.knock(Method::POST, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(wire::form::write(form.iter().copied()))
}

/// What a route is asked, for a patient (`Patient/{id}`), her reading `id` and a link that was given to `physician`.
fn ask<'a>(
    service: &'a Service,
    method: &str,
    path: &str,
    id: &str,
    patient: &str,
    next: &str,
) -> Option<Knock<'a>> {
    let door = &service.door;
    let body = |id: Option<&str>| {
        let mut body = reading(ragnhild(), "matrix", WHEN, "90");
        if let Some(id) = id {
            body["id"] = id.into();
        }
        body.to_string()
    };
    let instance = format!("/Observation/{id}");
    Some(match (method, path) {
        ("GET", "/metadata") => door.get("/metadata"),
        ("GET", "/.well-known/smart-configuration") => door.get("/.well-known/smart-configuration"),
        ("POST", "/") => door.post(
            "/",
            bundle(
                "batch",
                &[serde_json::from_str::<Value>(&body(None)).unwrap()],
            )
            .to_string(),
        ),
        ("GET", "/") => door.get("/?_type=Observation,Patient"),
        ("POST", "/_search") => call(door, "/_search", &[("_type", "Observation,Patient")]),
        ("POST", "/$replace-series") => door.post(
            "/$replace-series",
            crate::replace::series(
                ragnhild(),
                &[serde_json::from_str::<Value>(&body(None)).unwrap()],
            )
            .to_string(),
        ),
        ("POST", "/$reconcile") => door.post(
            "/$reconcile",
            crate::reconcile::question(&[
                serde_json::json!({"name": "ending", "valueString": "0000"}),
            ])
            .to_string(),
        ),
        ("GET", "/$copy-state") => door.get("/$copy-state"),
        ("POST", "/$copy-state") => {
            call(door, "/$copy-state", &[("as_of", "2026-11-20T08:00:00Z")])
        }
        ("POST", "/$explain-access") => call(
            door,
            "/$explain-access",
            &[("request", "00000000-0000-4000-8000-000000000000")],
        ),
        ("GET", "/$reviews") => door.get("/$reviews"),
        ("POST", "/$reviews") => call(
            door,
            "/$reviews",
            &[
                ("request", "00000000-0000-4000-8000-000000000000"),
                ("outcome", "justified"),
                ("by", "x"),
            ],
        ),
        ("POST", "/Consent") => door.post(
            "/Consent",
            crate::wishes::consent(serde_json::json!({})).to_string(),
        ),
        ("POST", "/Consent/_search") => door.search("Consent", &[]),
        ("DELETE", "/Consent/{id}") => door.knock(http::Method::DELETE, &format!("/Consent/{id}")),
        ("POST", "/$purge") => call(
            door,
            "/$purge",
            &[
                ("ground", "deletion-decision"),
                ("order", "o"),
                ("decision", "d"),
                ("scope", "resource"),
                ("resource", &instance[1..]),
            ],
        ),
        ("POST", "/{type}") => door.post("/Observation", body(None)),
        ("GET", "/{type}") => door.get("/Observation"),
        ("POST", "/{type}/_search") => door.search("Observation", &[]),
        ("POST", "/{type}/$validate") => door.post("/Observation/$validate", body(None)),
        ("POST", "/{type}/{id}/$validate") => {
            door.post(&format!("{instance}/$validate"), body(Some(id)))
        }
        ("POST", "/Observation/$lastn") => call(
            door,
            "/Observation/$lastn",
            &[("patient.identifier", &ragnhild().number)],
        ),
        ("POST", "/Observation/$stats") => call(
            door,
            "/Observation/$stats",
            &[
                ("patient.identifier", &ragnhild().number),
                ("code", "59408-5"),
                ("statistic", "count"),
            ],
        ),
        ("POST", "/Patient/{id}/$everything") => call(door, &format!("{patient}/$everything"), &[]),
        ("GET", "/Patient/{id}/$everything") => door.get(&format!("{patient}/$everything")),
        ("POST", "/AuditEvent/_search") => {
            door.search("AuditEvent", &[("patient.identifier", &ragnhild().number)])
        }
        ("GET", "/_page/{sealed}") => door.get(next),
        ("GET", "/{type}/{id}") => door.get(&instance),
        ("GET", "/{type}/_history") => door.get("/Observation/_history"),
        ("GET", "/{type}/{id}/_history") => door.get(&format!("{instance}/_history")),
        ("GET", "/{type}/{id}/_history/{vid}") => door.get(&format!("{instance}/_history/1")),
        ("GET", "/{type}/{id}/{of}") => door.get(&format!("/Patient/{id}/Observation")),
        ("POST", "/{type}/{id}/{of}/_search") => {
            door.search(&format!("Patient/{id}/Observation"), &[])
        }
        ("PUT", "/{type}") => door.put(
            "/Observation?identifier=urn:example:readings|matrix",
            body(None),
        ),
        ("PATCH", "/{type}") => door
            .knock(
                Method::PATCH,
                "/Observation?identifier=urn:example:readings|r-1",
            )
            .header("content-type", "application/json-patch+json")
            .header("if-match", "\"1\"")
            .body(r#"[{"op":"replace","path":"/status","value":"amended"}]"#),
        ("DELETE", "/{type}") => door.knock(
            Method::DELETE,
            "/Observation?identifier=urn:example:readings|r-1",
        ),
        ("PUT", "/{type}/{id}") => door
            .put(&instance, body(Some(id)))
            .header("if-match", "\"1\""),
        ("PATCH", "/{type}/{id}") => door
            .knock(Method::PATCH, &instance)
            .header("content-type", "application/json-patch+json")
            .header("if-match", "\"1\"")
            .body(r#"[{"op":"replace","path":"/status","value":"amended"}]"#),
        ("DELETE", "/{type}/{id}") => door.knock(Method::DELETE, &instance),
        _ => return None,
    })
}

/// The kinds of caller, those who may change something last.
fn callers(service: &Service) -> Vec<(&'static str, Option<Held>)> {
    let elsewhere = |change: &dyn Fn(&str) -> trust::token::Claims| {
        service.held(|jkt| {
            let mut claims = change(jkt);
            claims.aud = "http://proveheim.test/fhir".into();
            claims
        })
    };
    vec![
        ("nobody", None),
        (
            "other audience",
            Some(elsewhere(&|jkt| {
                service.system_claims(ClientUse::RecordSystem, FJELLVIK, "system/*.cruds", jkt)
            })),
        ),
        (
            "home system",
            Some(service.system(ClientUse::HomeSystem, FJELLVIK, "system/*.cruds")),
        ),
        (
            "gateway itself",
            Some(service.system(ClientUse::Gateway, FJELLVIK, "system/*.cruds")),
        ),
        (
            "other's record system",
            Some(service.record_system(PROVEBAKKEN)),
        ),
        (
            "physician, no attest",
            Some(service.physician_but(ragnhild(), |c| c.attest = None)),
        ),
        (
            "physician, no agreement",
            Some(service.physician_but(ragnhild(), |c| c.agreement = None)),
        ),
        ("physician, other patient", Some(service.physician(arne()))),
        ("citizen, other", Some(service.citizen(arne()))),
        ("citizen", Some(service.citizen(ragnhild()))),
        (
            "citizen, about wishes",
            Some(crate::wishes::patient(service)),
        ),
        ("physician", Some(service.physician(ragnhild()))),
        ("hub, delegated", Some(service.hub(FJELLVIK))),
        ("record system", Some(service.record_system(FJELLVIK))),
    ]
}

#[tokio::test]
async fn every_route_and_every_kind_of_caller() {
    let mut matrix = String::new();
    for row in sharing::ROUTES {
        let service = Service::fjellvik().await;
        let id = service
            .created(&reading(ragnhild(), "r-1", WHEN, "91"))
            .await;
        service
            .created(&reading(
                ragnhild(),
                "r-2",
                "2026-11-19T08:00:00+01:00",
                "92",
            ))
            .await;
        let patient = service
            .state
            .store()
            .patient_id(&identifier(ragnhild()))
            .await
            .unwrap()
            .unwrap();
        let patient = format!("/Patient/{patient}");
        let physician = service.physician(ragnhild());
        let next = service
            .search(&physician, "Observation", &[("_count", "1")])
            .await
            .next()
            .unwrap()
            .to_owned();
        writeln!(matrix, "{} {}", row.method, row.path).unwrap();
        for (name, held) in callers(&service) {
            let knock = ask(&service, row.method, row.path, &id, &patient, &next);
            let knock =
                knock.unwrap_or_else(|| panic!("{} {} has no access case", row.method, row.path));
            let reply = match &held {
                Some(held) => knock.by(held, NOW).send().await,
                None => knock.send().await,
            };
            let entry = reply.json["entry"][0]["response"]["status"]
                .as_str()
                .map(|s| format!(", entry {}", &s[..3]))
                .unwrap_or_default();
            let total = reply.json["total"]
                .as_u64()
                .map(|n| format!(", {n} found"))
                .unwrap_or_default();
            writeln!(
                matrix,
                "  {name:<26}{}{entry}{total}",
                reply.status.as_u16()
            )
            .unwrap();
            match row.access {
                Access::Public => assert_eq!(reply.status, 200),
                _ if held.is_none() || name == "other audience" => {
                    assert_eq!(reply.status, 401, "{} {} {name}", row.method, row.path)
                }
                _ => {}
            }
            if name == "other audience" && row.access != Access::Public {
                assert!(matches!(
                    service.last_record().await.outcome,
                    trust::audit::Outcome::Unauthenticated { .. }
                ));
            }
        }
    }
    insta::assert_snapshot!(matrix);
}
