//! Every route and every kind of caller, printed as a matrix. A route without a case here fails the test.

use crate::house::*;
use serde_json::json;
use std::fmt::Write;
use testkit::door::{Held, Knock};
use trust::ClientUse;
use trust::audit::Outcome;
use trust::token::Claims;
use wire::route::Access;

/// What a route is asked; `key` is an entry of Fjellvik's.
fn ask<'a>(hub: &'a Hub, method: &str, path: &str, key: &str) -> Option<Knock<'a>> {
    let door = &hub.door;
    let body = reading(ragnhild(), "matrix", 91);
    Some(match (method, path) {
        ("GET", "/fhir/metadata") => door.get(path),
        ("GET", "/openapi.json") => door.get(path),
        ("POST", "/fhir") => door.post(path, bundle("batch", &[body]).to_string()),
        ("POST", "/fhir/Observation") => door.post(path, body.to_string()),
        ("POST", "/fhir/QuestionnaireResponse") => {
            door.post(path, answers(ragnhild(), "matrix").to_string())
        }
        ("GET", "/assignments") => door.get(path),
        ("POST", "/assignments") => plain(door, path, &assignment("matrix", ragnhild(), WHEN)),
        ("POST", "/assignments/end") => plain(
            door,
            path,
            &json!({"device": device("none"), "until": WHEN}),
        ),
        ("GET", "/deliveries" | "/quarantine" | "/dead-letters") => door.get(path),
        ("POST", "/quarantine/{id}/replay") => {
            door.post(&format!("/quarantine/{}/replay", "0".repeat(32)), "")
        }
        ("POST", "/deliveries/{key}/replay") => door.post(&format!("/deliveries/{key}/replay"), ""),
        ("GET", "/deliveries/{key}") => door.get(&format!("/deliveries/{key}")),
        _ => return None,
    })
}

fn callers(hub: &Hub) -> Vec<(&'static str, Option<Held>)> {
    let home = |change: &dyn Fn(&mut Claims)| {
        Some(hub.held(|jkt| {
            let mut claims = hub.claims("home", ClientUse::HomeSystem, FJELLVIK, jkt);
            change(&mut claims);
            claims
        }))
    };
    let physician = || {
        let people = testkit::people::Directory::demo();
        hub.held(|jkt| {
            hub.issuer
                .practitioner_claims(
                    &people.practitioners[0],
                    PROVEHEIM,
                    ragnhild(),
                    &format!("{BASE}/fhir"),
                    jkt,
                    NOW,
                )
                .unwrap()
        })
    };
    vec![
        ("nobody", None),
        (
            "other audience",
            home(&|c| c.aud = "http://fjellvik.test/fhir".into()),
        ),
        ("the hub's base as audience", home(&|c| c.aud = BASE.into())),
        (
            "expired",
            home(&|c| (c.iat, c.nbf, c.exp) = (c.iat - 600, c.nbf - 600, c.exp - 600)),
        ),
        ("physician", Some(physician())),
        (
            "citizen",
            Some(hub.held(|jkt| {
                hub.issuer
                    .citizen_claims(ragnhild(), &format!("{BASE}/fhir"), jkt, NOW)
            })),
        ),
        (
            "record system",
            Some(hub.held(|jkt| hub.claims("epj", ClientUse::RecordSystem, FJELLVIK, jkt))),
        ),
        (
            "gateway itself",
            Some(hub.held(|jkt| hub.claims("gateway", ClientUse::Gateway, FJELLVIK, jkt))),
        ),
        ("home system, no scope", home(&|c| c.scope = String::new())),
        (
            "home system, read scope",
            home(&|c| c.scope = "system/Observation.rs".into()),
        ),
        ("home system of another", Some(hub.home(SORLIA))),
        ("home system", home(&|_| {})),
    ]
}

#[tokio::test]
async fn every_route_and_every_kind_of_caller() {
    let mut matrix = String::new();
    for row in hub::ROUTES {
        let hub = Hub::new().await;
        let key = hub.sent(&reading(ragnhild(), "r-1", 91)).await;
        writeln!(matrix, "{} {}", row.method, row.path).unwrap();
        for (name, held) in callers(&hub) {
            let knock = ask(&hub, row.method, row.path, &key);
            let knock =
                knock.unwrap_or_else(|| panic!("{} {} has no access case", row.method, row.path));
            let before = hub.audit().await.len();
            let reply = match &held {
                Some(held) => knock.by(held, NOW).send().await,
                None => knock.send().await,
            };
            let entry = reply.json["entry"][0]["response"]["status"]
                .as_str()
                .map(|s| format!(", entry {}", &s[..3]))
                .unwrap_or_default();
            writeln!(matrix, "  {name:<28}{}{entry}", reply.status.as_u16()).unwrap();
            let records = hub.audit().await;
            if row.access == Access::Public {
                assert_eq!((reply.status.as_u16(), records.len()), (200, before));
                continue;
            }
            assert_eq!(
                records.len(),
                before + usize::from(held.is_some()),
                "one record an interaction: {} {} {name}",
                row.method,
                row.path
            );
            match reply.status.as_u16() {
                401 if held.is_some() => assert!(matches!(
                    records[0].record.outcome,
                    Outcome::Unauthenticated { .. }
                )),
                403 => assert!(matches!(records[0].record.outcome, Outcome::Refused { .. })),
                _ => {}
            }
        }
    }
    insta::assert_snapshot!(matrix);
}

/// So nobody needs to ask for it afterwards (decision 0061).
#[tokio::test]
async fn a_refusal_says_in_its_answer_all_the_reason_that_is_on_record() {
    let mut codes = std::collections::BTreeSet::new();
    for row in hub::ROUTES {
        let hub = Hub::new().await;
        let key = hub.sent(&reading(ragnhild(), "r-1", 91)).await;
        for (name, held) in callers(&hub) {
            let Some(held) = held else { continue };
            let knock = ask(&hub, row.method, row.path, &key).unwrap();
            let reply = knock.by(&held, NOW).send().await;
            if reply.status.as_u16() != 403 {
                continue;
            }
            let record = hub.audit().await.remove(0).record;
            let Outcome::Refused { rule, code } = &record.outcome else {
                panic!("{name}: {:?}", record.outcome)
            };
            let issue = &reply.json["issue"][0];
            let details = &issue["details"];
            assert_eq!(details["coding"][0]["code"], code.as_str(), "{name}");
            assert_eq!(details["text"], rule.as_str(), "{name}");
            assert!(
                issue["diagnostics"]
                    .as_str()
                    .is_some_and(|words| words.len() > 20)
            );
            // The code has words of its own, and nothing was left out besides.
            let told = trust::explain::explain(&record, trust::explain::Told::Organisation);
            let [reason] = &told[..] else {
                panic!("{name}: {told:?}")
            };
            assert_eq!(reason.words.code, code.as_str());
            codes.insert(code.clone());
        }
    }
    assert!(codes.len() > 1, "{codes:?}");
}

#[tokio::test]
async fn what_the_hub_says_of_itself_is_so() {
    let hub = Hub::new().await;
    let statement = hub.door.get("/fhir/metadata").send().await;
    insta::assert_json_snapshot!("metadata", statement.json);
    let described = hub.door.get("/openapi.json").send().await;
    let mut paths: Vec<String> = described.json["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    paths.sort();
    let mut routes: Vec<String> = hub::ROUTES
        .iter()
        .map(|row| row.path.to_owned())
        .filter(|path| !path.starts_with("/fhir") && path != "/openapi.json")
        .collect();
    routes.sort();
    for route in routes {
        assert!(paths.contains(&route), "{route} is described: {paths:?}");
    }
    // What is not offered: reading, searching, other types, other methods.
    let home = hub.home(FJELLVIK);
    for (method, path, status) in [
        ("GET", "/fhir/Observation", 405),
        ("GET", "/fhir/Observation/1", 404),
        ("POST", "/fhir/Observation/_search", 404),
        ("POST", "/fhir/CarePlan", 404),
        ("DELETE", "/deliveries", 405),
        ("PUT", "/fhir", 405),
    ] {
        let reply = hub
            .door
            .knock(method.parse().unwrap(), path)
            .header("content-type", "application/fhir+json")
            .by(&home, NOW)
            .send()
            .await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}");
        assert_eq!(reply.json["resourceType"], "OperationOutcome");
        assert_eq!(reply.header("allow").is_empty(), status != 405);
    }
}
