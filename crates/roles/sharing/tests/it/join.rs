//! Chains, `_has`, orders, totals and pages as a client sees them, and nothing by what it could not read.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use testkit::people::Patient;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

fn encounter(of: &Patient, status: &str) -> Value {
    json!({
        "resourceType": "Encounter",
        "status": status,
        "class": { "system": "urn:x", "code": "x" },
        "subject": { "identifier": { "system": fhir::systems::FNR, "value": of.number } },
        "period": { "start": WHEN },
    })
}

/// A reading at an encounter.
fn met(of: &Patient, key: &str, value: &str, encounter: &str) -> Value {
    let mut body = reading(of, key, WHEN, value);
    body["encounter"] = json!({ "reference": format!("Encounter/{encounter}") });
    body
}

async fn ask(service: &Service, who: &Held, of: &str, form: &[(&str, &str)]) -> Reply {
    let reply = service.search(who, of, form).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    reply
}

const CHAIN: [(&str, &str); 1] = [("encounter:Encounter.status", "finished")];
const HAS: [(&str, &str); 1] = [("_has:Observation:encounter:value-quantity", "gt90")];

#[tokio::test]
async fn a_condition_on_what_is_referred_to_or_refers() {
    let service = Service::fjellvik().await;
    let done = service.created(&encounter(ragnhild(), "finished")).await;
    let open = service.created(&encounter(ragnhild(), "arrived")).await;
    let one = service.created(&met(ragnhild(), "r-1", "91", &done)).await;
    let two = service.created(&met(ragnhild(), "r-2", "88", &open)).await;
    for who in [
        service.physician(ragnhild()),
        service.citizen(ragnhild()),
        service.record_system(FJELLVIK),
    ] {
        let chained = ask(&service, &who, "Observation", &CHAIN).await;
        assert_eq!(found(&chained), std::slice::from_ref(&one));
        assert!(
            chained
                .link("self")
                .unwrap()
                .contains("encounter%3AEncounter.status=finished")
        );
        let other = [("encounter:Encounter.status:not", "finished")];
        let other = ask(&service, &who, "Observation", &other).await;
        assert_eq!(found(&other), std::slice::from_ref(&two));
        let had = ask(&service, &who, "Encounter", &HAS).await;
        assert_eq!(found(&had), std::slice::from_ref(&done));
        let deep = [(
            "_has:Observation:patient:encounter:Encounter.status",
            "arrived",
        )];
        assert_eq!(found(&ask(&service, &who, "Patient", &deep).await).len(), 1);
    }
}

#[tokio::test]
async fn what_could_not_be_read_alone_decides_nothing() {
    let service = Service::fjellvik().await;
    // His encounter, to which a reading of hers points, and one of hers.
    let his = service.created(&encounter(arne(), "finished")).await;
    service.created(&met(ragnhild(), "r-1", "91", &his)).await;
    let hers = service.created(&encounter(ragnhild(), "finished")).await;
    let at = service.created(&met(ragnhild(), "r-2", "92", &hers)).await;
    let owner = service.record_system(FJELLVIK);
    assert_eq!(
        found(&ask(&service, &owner, "Observation", &CHAIN).await).len(),
        2
    );
    let who = service.physician(ragnhild());
    assert_eq!(
        found(&ask(&service, &who, "Observation", &CHAIN).await),
        [at]
    );
    assert!(found(&ask(&service, &service.physician(arne()), "Encounter", &HAS).await).is_empty());
    // Neither scope nor agreement opens the encounters: they join nothing, and nothing is counted.
    let narrow = service.physician_but(ragnhild(), |claims| {
        claims.scope = "user/Observation.rs".into();
    });
    let agreed = service.physician_but(ragnhild(), |claims| {
        if let Some(agreement) = &mut claims.agreement {
            agreement.services = vec![fhir::resource::InformationService::MEASUREMENTS];
        }
    });
    for who in [narrow, agreed] {
        for total in ["none", "accurate"] {
            let form = [CHAIN[0], ("_total", total)];
            let reply = ask(&service, &who, "Observation", &form).await;
            assert!(found(&reply).is_empty());
            let expected = if total == "none" {
                Value::Null
            } else {
                0.into()
            };
            assert_eq!(reply.json["total"], expected);
        }
    }
}

#[tokio::test]
async fn any_order_and_the_number_of_all() {
    let service = Service::fjellvik().await;
    let mut ids = Vec::new();
    for (n, value) in ["91", "97", "85", "93"].iter().enumerate() {
        let body = reading(ragnhild(), &format!("r-{n}"), WHEN, value);
        ids.push(service.created(&body).await);
    }
    let who = service.physician(ragnhild());
    for (sort, order) in [
        ("value-quantity", [2, 0, 3, 1]),
        ("-value-quantity", [1, 3, 0, 2]),
    ] {
        let expected: Vec<_> = order.map(|at: usize| ids[at].clone()).to_vec();
        let form = [("_sort", sort), ("_count", "3"), ("_total", "accurate")];
        let first = ask(&service, &who, "Observation", &form).await;
        assert_eq!(first.json["total"], 4);
        let next = first.next().unwrap();
        // What comes and goes between two pages is not seen by the second.
        let late = reading(ragnhild(), &format!("late{sort}"), WHEN, "90");
        let late = format!("/Observation/{}", service.created(&late).await);
        let second = service.get(&who, next).await;
        assert_eq!([found(&first), found(&second)].concat(), expected, "{sort}");
        assert_eq!(second.json["total"], 4);
        let owner = service.record_system(FJELLVIK);
        let gone = service.delete(&owner, &late, None).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
    }
    for form in [[("_summary", "count")], [("_count", "0")]] {
        let reply = ask(&service, &who, "Observation", &form).await;
        assert_eq!((found(&reply).len(), &reply.json["total"]), (0, &json!(4)));
        assert!(reply.next().is_none());
    }
}
