//! Each service states itself in the catalogue, signed; a reader believes it by the anchor's documents alone; nobody states
//! another's; what was stated is there after a restart.

use crate::kit::apart::{Apart, FJELLVIK, NORDDRIFT, PROVEHEIM};
use crate::kit::wait::until;
use serde_json::{Value, json};
use std::sync::Arc;
use testkit::clients::now;
use wire::client::{Http, Party, Policy, Request};
use wire::contract::catalogue::READ_SCOPE;
use wire::contract::statement::{
    PROFILE, PUBLISH, PUBLISH_SCOPE, STANDING, STATEMENT_TYP, Said, Statement, carried, id_of,
};
use wire::members::MemberBook;

const PARTS: [(&str, &[&str]); 3] = [
    ("anchor", &["anchor"]),
    ("catalogue", &["catalogue"]),
    ("services", &["sharing"]),
];

/// The hospital's clinic.
const UNIT: &str = "310001929";

/// A service's Endpoint as the gateway's client reads it.
async fn endpoint(region: &Apart, gateway: &Party, service: &str) -> Option<Value> {
    entry(region, gateway, "Endpoint", service).await
}

/// An entry, by its type and key.
async fn entry(region: &Apart, gateway: &Party, kind: &str, key: &str) -> Option<Value> {
    let audience = region.audience("catalogue");
    let url = format!("{audience}/{kind}/{}", id_of(kind, key));
    let answer = gateway.send(&audience, READ_SCOPE, Request::get(url)).await;
    answer.ok()?.json().ok()
}

fn standing(entry: &Value) -> Option<&str> {
    let all = entry["extension"].as_array()?;
    let one = all.iter().find(|one| one["url"] == STANDING)?;
    one["valueCode"].as_str()
}

#[tokio::test]
async fn services_list_themselves_and_nobody_lists_another() {
    let region = Apart::new(&PARTS, "").await;
    // The services come first: parts start in any order.
    let services = region.start("services").await;
    let anchor = region.start("anchor").await;
    let catalogue = region.start("catalogue").await;
    let gateway = region.party("gateway");
    let stated = async |service: &str| {
        until("the service has stated itself", async || {
            let entry = endpoint(&region, &gateway, service).await?;
            (standing(&entry) == Some("stated")).then_some(entry)
        })
        .await
    };
    let (fjellvik, proveheim) = (stated("fjellvik").await, stated("proveheim").await);
    assert_eq!(fjellvik["address"], region.base("sharing:fjellvik"));

    let http = Http::new(Policy::loopback()).unwrap();
    let book = MemberBook::new(&region.base("anchor"), http, Arc::new(now));
    let members = book.current().await.unwrap();
    for (entry, owner) in [(&fjellvik, FJELLVIK), (&proveheim, PROVEHEIM)] {
        let believed = members.verify(carried(entry).unwrap(), now()).unwrap();
        assert_eq!(believed.statement.owner, owner);
        let said = believed.statement.resource.unwrap();
        assert_eq!(said["address"], entry["address"]);
    }

    // Who they are, their units, what they offer by what terms, and who runs it: said by themselves too.
    for (kind, key, owner) in [
        ("Organization", PROVEHEIM, PROVEHEIM),
        ("Organization", UNIT, PROVEHEIM),
        ("Organization", FJELLVIK, FJELLVIK),
        ("HealthcareService", "fjellvik", FJELLVIK),
        (
            "OrganizationAffiliation",
            &format!("fjellvik.{NORDDRIFT}.supplier"),
            FJELLVIK,
        ),
    ] {
        let entry = entry(&region, &gateway, kind, key).await.unwrap();
        assert_eq!(standing(&entry), Some("stated"), "{entry}");
        let believed = members.verify(carried(&entry).unwrap(), now()).unwrap();
        assert_eq!(believed.statement.owner, owner);
        let said = believed.statement.resource.unwrap();
        let identifiers = said["identifier"].as_array().unwrap().iter();
        let identifiers: Vec<&str> = identifiers
            .map(|one| one["value"].as_str().unwrap())
            .collect();
        match key {
            PROVEHEIM => assert_eq!(identifiers, [PROVEHEIM, "99001"]),
            UNIT => {
                assert_eq!(identifiers, [UNIT, "4990001"]);
                assert_eq!(said["partOf"]["identifier"]["value"], PROVEHEIM);
            }
            "fjellvik" => {
                assert_eq!(said["telecom"][0]["value"], "+47 00 00 00 01");
                let terms = said["extension"].as_array().unwrap();
                assert!(
                    terms
                        .iter()
                        .any(|one| one["valueUrl"] == "https://vilkar.example/fjellvik")
                );
                assert!(terms.iter().any(|one| one["url"] == PROFILE));
                let kinds = said["type"].as_array().unwrap().iter();
                assert!(
                    kinds
                        .map(|one| &one["coding"][0]["code"])
                        .any(|code| code == "IT17")
                );
            }
            _ => {}
        }
    }

    // The hospital's service would like to be where the municipality's is.
    let attacker = region.party("proveheim");
    let mut resource = members
        .verify(carried(&fjellvik).unwrap(), now())
        .unwrap()
        .statement
        .resource
        .unwrap();
    resource["address"] = region.base("sharing:proveheim").into();
    let seconds = now().seconds();
    let forged = |iss: &str, owner: &str| Statement {
        iss: iss.into(),
        owner: owner.into(),
        sub: format!("Endpoint/{}", id_of("Endpoint", "fjellvik")),
        version: u64::MAX,
        iat: seconds,
        exp: seconds + 3_600,
        said: Said::Listed,
        resource: Some(resource.clone()),
    };
    for (iss, owner) in [
        (PROVEHEIM, FJELLVIK),
        (FJELLVIK, FJELLVIK),
        (PROVEHEIM, PROVEHEIM),
    ] {
        let claims = serde_json::to_value(forged(iss, owner)).unwrap();
        let jws = attacker.sign(STATEMENT_TYP, &claims).unwrap();
        let url = format!("{}{PUBLISH}", region.base("catalogue"));
        let request = Request::post_json(url, &json!({ "statements": [jws] })).unwrap();
        let audience = region.audience("catalogue");
        let answer = attacker
            .send(&audience, PUBLISH_SCOPE, request)
            .await
            .unwrap();
        assert_eq!(answer.status, 403, "{iss} for {owner}");
    }
    assert_eq!(
        endpoint(&region, &gateway, "fjellvik").await.unwrap(),
        fjellvik
    );

    // The catalogue remembers.
    assert!(catalogue.stop().await.success());
    let catalogue = region.start("catalogue").await;
    let again = until("the catalogue is back", async || {
        endpoint(&region, &gateway, "fjellvik").await
    })
    .await;
    assert_eq!(again["meta"], fjellvik["meta"]);
    for serving in [catalogue, services, anchor] {
        assert!(!serving.said().contains("panic"), "{}", serving.said());
        assert!(serving.stop().await.success());
    }
}
