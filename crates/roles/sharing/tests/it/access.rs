//! Every route, every kind of caller and every purpose, printed as a matrix for review, with the order of the rules: what is the
//! same for several routes or callers stands once. A route without a case here fails the test.

use crate::house::*;
use http::Method;
use serde_json::Value;
use std::fmt::Write as _;
use testkit::clients::Reply;
use testkit::door::{Held, Knock};
use trust::ClientUse;
use trust::attest::Purpose;
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
        ("POST", "/$may-look") => call(door, "/$may-look", &[]),
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
        ("POST", "/Subscription") => {
            door.post("/Subscription", crate::subscription::asked(&patient[1..]))
        }
        ("GET", "/Subscription") => door.get("/Subscription"),
        ("PUT", "/Subscription/{id}") => door
            .put(
                &format!("/Subscription/{id}"),
                crate::subscription::asked(&patient[1..]),
            )
            // No version that there is.
            .header("if-match", "\"99\""),
        ("DELETE", "/Subscription/{id}") => {
            // Some other one: the row's own stays for the next caller.
            door.knock(
                Method::DELETE,
                "/Subscription/00000000-0000-4000-8000-000000000000",
            )
        }
        ("GET", path) if path.starts_with("/Subscription/{id}") => {
            door.get(&path.replace("{id}", id))
        }
        ("POST", path) if path.starts_with("/Subscription/{id}/$") => {
            door.knock(Method::POST, &path.replace("{id}", id))
        }
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
        ("POST", "/Task/$work-list") => call(door, "/Task/$work-list", &[]),
        ("POST", "/Task/$tell") => door.post("/Task/$tell", "{}".to_owned()),
        ("POST", path) if path.starts_with("/Task/{id}/$") => door
            .knock(Method::POST, &path.replace("{id}", id))
            // No version that there is: whoever may is told so, and the alert stays as it is for the next.
            .header("if-match", "\"9\""),
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

/// Health personnel by what they are authorised as and where they work: what purpose they state is told apart.
const PERSONNEL: [(&str, Option<&str>, &str); 4] = [
    ("physician", Some("LE"), PROVEHEIM),
    ("own nurse", Some("SP"), FJELLVIK),
    ("helsesekretær", Some("HE"), PROVEHEIM),
    ("no HPR number", None, PROVEHEIM),
];

fn personnel(service: &Service, code: Option<&str>, orgnr: &str, purpose: Purpose) -> Held {
    service.physician_but(ragnhild(), |claims| {
        claims.orgnr_parent = Some(org(orgnr));
        claims.scope = "user/*.rs user/Task.u user/Subscription.crd".into();
        let attest = claims.attest.as_mut().unwrap();
        let practitioner = &mut attest.practitioner;
        practitioner.legal_entity.as_mut().unwrap().id = orgnr.into();
        match code {
            Some(code) => practitioner.authorization.as_mut().unwrap().code = code.into(),
            None => {
                (practitioner.authorization, practitioner.hpr_nr) = (None, None);
                claims.hpr_number = None;
            }
        }
        let relation = &mut attest.care_relationship;
        relation.purpose_of_use.as_mut().unwrap().code = purpose.code().into();
        relation.reason = Some("unconscious".into());
    })
}

/// The kinds of caller, those who may change something last.
fn callers(service: &Service) -> Vec<(String, Option<Held>)> {
    let elsewhere = |change: &dyn Fn(&str) -> trust::token::Claims| {
        service.held(|jkt| {
            let mut claims = change(jkt);
            claims.aud = "http://proveheim.test/fhir".into();
            claims
        })
    };
    let readers = [
        ("nobody", None),
        (
            ELSEWHERE,
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
        (
            "own nurse, bound to no patient",
            Some(crate::work_list::without_patient(service, "user/*.cruds")),
        ),
        ("citizen, other", Some(service.citizen(arne()))),
        ("citizen", Some(service.citizen(ragnhild()))),
        (
            "citizen, about wishes",
            Some(crate::wishes::patient(service)),
        ),
        ("husband", Some(crate::reduced::husband(service, false))),
    ];
    let personnel = PERSONNEL.iter().flat_map(|(who, code, orgnr)| {
        Purpose::ALL.map(|purpose| {
            let held = personnel(service, *code, orgnr, purpose);
            (format!("{who} {}", purpose.code()), Some(held))
        })
    });
    let writers = [
        ("hub, delegated", Some(service.hub(FJELLVIK))),
        (
            "other's service",
            Some(service.system(ClientUse::Service, PROVEHEIM, "system/Task.c")),
        ),
        ("record system", Some(service.record_system(FJELLVIK))),
    ];
    let named = |(who, held): (&str, Option<Held>)| (who.to_owned(), held);
    let readers = readers.into_iter().map(named);
    readers
        .chain(personnel)
        .chain(writers.into_iter().map(named))
        .collect()
}

const ELSEWHERE: &str = "other audience";

/// What a caller gets, in a few words.
fn told(reply: &Reply) -> String {
    let mut text = reply.status.as_u16().to_string();
    if let Some(status) = reply.json["entry"][0]["response"]["status"].as_str() {
        let _ = write!(text, ", entry {}", &status[..3]);
    }
    if let Some(total) = reply.json["total"].as_u64() {
        let _ = write!(text, ", {total} found");
    }
    if reply.json.to_string().contains(fhir::subset::SUBSETTED) {
        text.push_str(", less of each");
    }
    text
}

/// Callers by what they get, each outcome a line; the purposes of one kind of personnel together.
fn row(outcomes: &[(String, String)]) -> String {
    let mut lines: Vec<(&str, Vec<(&str, String)>)> = Vec::new();
    for (who, outcome) in outcomes {
        let purpose = who
            .rsplit_once(' ')
            .filter(|(_, last)| Purpose::parse(last).is_some());
        let (kind, shown) = purpose.map_or((who.as_str(), ""), |(kind, last)| (kind, last));
        let at = lines.iter().position(|(known, _)| known == outcome);
        let at = at.unwrap_or_else(|| {
            lines.push((outcome, Vec::new()));
            lines.len() - 1
        });
        let callers = &mut lines[at].1;
        match callers.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, purposes)) => {
                let _ = write!(purposes, " {shown}");
            }
            None => callers.push((kind, shown.to_owned())),
        }
    }
    let line = |(outcome, callers): &(&str, Vec<(&str, String)>)| {
        let callers: Vec<String> = callers
            .iter()
            .map(|(kind, purposes)| format!("{kind} {purposes}").trim_end().to_owned())
            .collect();
        format!("  {outcome}: {}\n", callers.join("; "))
    };
    lines.iter().map(line).collect()
}

#[tokio::test]
async fn every_route_every_kind_of_caller_and_every_purpose() {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for route in sharing::ROUTES {
        let alert = route.path.starts_with("/Task/");
        let subscription = route.path.starts_with("/Subscription");
        let service = match (alert, subscription) {
            (true, _) => crate::assess::assessing().await,
            (_, true) => Service::subscribed(crate::subscription::subscribers(), |_| {}).await,
            _ => Service::fjellvik().await,
        };
        crate::may_look::vouch(&service, &[]);
        let mut id = service
            .created(&reading(ragnhild(), "r-1", WHEN, "91"))
            .await;
        if alert {
            id = crate::alert::raised(&service).await;
        }
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
        if subscription {
            // The physician's organisation follows her.
            let follower = personnel(&service, Some("LE"), PROVEHEIM, Purpose::Treat);
            let made = crate::subscription::asked(&patient[1..]);
            let knock = service.door.post("/Subscription", made);
            let made = knock.by(&follower, NOW).send().await;
            assert_eq!(made.status, 201, "{}", made.json);
            id = made.json["id"].as_str().unwrap().to_owned();
        }
        let physician = service.physician(ragnhild());
        let next = service
            .search(&physician, "Observation", &[("_count", "1")])
            .await
            .next()
            .unwrap()
            .to_owned();
        let mut outcomes = Vec::new();
        let mut callers = callers(&service);
        if subscription {
            let followers = service.record_system(PROVEHEIM);
            callers.push(("physician's record system".to_owned(), Some(followers)));
        }
        for (name, held) in callers {
            let knock = ask(&service, route.method, route.path, &id, &patient, &next);
            let place = format!("{} {}", route.method, route.path);
            let knock = knock.unwrap_or_else(|| panic!("{place} has no access case"));
            let reply = match &held {
                Some(held) => knock.by(held, NOW).send().await,
                None => knock.send().await,
            };
            match route.access {
                Access::Public => assert_eq!(reply.status, 200),
                _ if held.is_none() || name == ELSEWHERE => {
                    assert_eq!(reply.status, 401, "{place} {name}")
                }
                _ => {}
            }
            if name == ELSEWHERE && route.access != Access::Public {
                assert!(matches!(
                    service.last_record().await.outcome,
                    trust::audit::Outcome::Unauthenticated { .. }
                ));
            }
            outcomes.push((name, told(&reply)));
        }
        let (text, place) = (row(&outcomes), format!("{} {}", route.method, route.path));
        match rows.iter_mut().find(|(known, _)| *known == text) {
            Some((_, places)) => places.push(place),
            None => rows.push((text, vec![place])),
        }
    }
    let order: Vec<_> = trust::rules::LIST.iter().map(|rule| rule.name).collect();
    let mut matrix = format!("order: {}\n", order.join(" > "));
    for (row, places) in rows {
        let _ = write!(matrix, "\n{}\n{row}", places.join("\n"));
    }
    insta::assert_snapshot!("access", matrix);
}
