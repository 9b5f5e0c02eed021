//! What the entries hold, that their ids and versions stay, and which configurations are refused at start.

use catalogue::OpenError;
use http::StatusCode;
use serde_json::Value;
use url::Url;
use wire::contract::catalogue::{
    Endpoint, HealthcareService, Organization, OrganizationAffiliation, matches,
};

use crate::world::{FJELLVIK, World, config, house};

async fn all(world: &World, resource: &str) -> Vec<Value> {
    let reply = world.get(&format!("/fhir/{resource}")).await;
    matches(&reply.json).unwrap().into_iter().cloned().collect()
}

#[tokio::test]
async fn every_entry_reads_by_the_contract_and_by_its_address() {
    let world = World::new().await;
    for (resource, count) in [
        ("Organization", 7),
        ("HealthcareService", 3),
        ("Endpoint", 3),
        ("OrganizationAffiliation", 3),
    ] {
        let entries = all(&world, resource).await;
        assert_eq!(entries.len(), count, "{resource}");
        for entry in entries {
            match resource {
                "Organization" => drop(Organization::from_json(&entry).unwrap()),
                "HealthcareService" => drop(HealthcareService::from_json(&entry).unwrap()),
                "Endpoint" => drop(Endpoint::from_json(&entry).unwrap()),
                _ => drop(OrganizationAffiliation::from_json(&entry).unwrap()),
            }
            let id = entry["id"].as_str().unwrap();
            let read = world.get(&format!("/fhir/{resource}/{id}")).await;
            assert_eq!((read.status, &read.json), (StatusCode::OK, &entry));
            assert_eq!(read.headers["etag"], "W/\"1\"");
            // The same id under another type is not there.
            let other = if resource == "Endpoint" {
                "Organization"
            } else {
                "Endpoint"
            };
            assert_eq!(
                world.get(&format!("/fhir/{other}/{id}")).await.status,
                StatusCode::NOT_FOUND
            );
        }
    }
}

#[tokio::test]
async fn one_endpoint_in_full() {
    let world = World::new().await;
    let reply = world.get("/fhir/Endpoint?identifier=fjellvik").await;
    insta::assert_snapshot!(serde_json::to_string_pretty(&reply.json).unwrap());
}

#[tokio::test]
async fn what_is_offered_says_of_which_kind_by_what_terms_and_whom_to_ring() {
    let world = World::new().await;
    let reply = world
        .get("/fhir/HealthcareService?identifier=fjellvik")
        .await;
    let resource = &reply.json["entry"][0]["resource"];
    let kinds = resource["type"].as_array().unwrap().iter();
    let kinds: Vec<&Value> = kinds.map(|one| &one["coding"][0]["code"]).collect();
    assert_eq!(kinds, ["IT17", "IT08"]);
    assert_eq!(resource["telecom"][0]["value"], "+47 00 00 00 00");
    assert_eq!(
        resource["extension"][0]["valueUrl"],
        "https://vilkar.example/fjellvik"
    );
}

#[tokio::test]
async fn names_are_text_and_nothing_else() {
    let world = World::new().await;
    let reply = world.get("/fhir/Organization?identifier=310001074").await;
    let resource = &reply.json["entry"][0]["resource"];
    assert_eq!(resource["name"], "Prøveheim <b>sykehus</b>");
    assert!(resource.get("text").is_none(), "no narrative");
    assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    assert_eq!(
        reply.headers["content-type"],
        "application/fhir+json;charset=utf-8"
    );
}

#[tokio::test]
async fn ids_stay_and_versions_count_only_what_changed() {
    let world = World::new().await;
    let before = all(&world, "Endpoint").await;
    let [first] = &world.settled().await[..] else {
        panic!("one start, one record");
    };
    assert_eq!(first.len(), 16);
    assert!(first.iter().all(|(_, version)| *version == 1));
    let (issuer, clock) = (world.issuer.clone(), world.clock.clone());
    let kept = world.close();
    clock.advance(3_600_000_000);
    let mut changed = config(issuer.url());
    changed.services[1].fhir = Url::parse("http://127.0.0.1:9/moved/fhir").unwrap();
    let state = catalogue::open(changed, house(kept.path(), &clock))
        .await
        .unwrap();
    let world = World::around(issuer, clock, state, kept);
    // What the configuration changes is on record as what an owner states is.
    let moved = vec![("Endpoint".to_owned(), 2)];
    assert_eq!(world.settled().await[1..], [moved]);
    let after = all(&world, "Endpoint").await;
    assert_eq!(before[0], after[0]);
    assert_eq!(before[2], after[2]);
    assert_eq!(before[1]["id"], after[1]["id"]);
    assert_eq!(before[1]["meta"]["versionId"], "1");
    assert_eq!(after[1]["meta"]["versionId"], "2");
    assert!(after[1]["meta"]["lastUpdated"].as_str() > before[1]["meta"]["lastUpdated"].as_str());
    assert_eq!(after[1]["address"], "http://127.0.0.1:9/moved/fhir");
}

#[tokio::test]
async fn a_configuration_that_contradicts_itself_is_refused_at_start() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let open = async |change: &dyn Fn(&mut catalogue::Config)| {
        let mut config = config(world.issuer.url());
        change(&mut config);
        catalogue::open(config, house(folder.path(), &world.clock))
            .await
            .map(|_| ())
    };
    assert!(open(&|_| {}).await.is_ok());
    assert!(matches!(
        open(&|c| c.organisations.clear()).await,
        Err(OpenError::Empty)
    ));
    let missing = open(&|c| c.organisations.retain(|o| o.orgnr.as_str() != FJELLVIK)).await;
    assert!(matches!(missing, Err(OpenError::Unknown { service, .. }) if service == "fjellvik"));
    assert!(matches!(
        open(&|c| c.services[2].id = "fjellvik".into()).await,
        Err(OpenError::Twice(_))
    ));
    assert!(matches!(
        open(&|c| c.services[0].name = "a\u{1b}[2J".into()).await,
        Err(OpenError::Text(_))
    ));
    assert!(matches!(
        open(&|c| c.organisations[0].name = " ".into()).await,
        Err(OpenError::Text(_))
    ));
    for address in [
        "http://user@127.0.0.1/x",
        "ftp://127.0.0.1/x",
        "http://127.0.0.1/x?a=b",
        "http://127.0.0.1/x#a",
    ] {
        let refused = open(&|c| c.services[0].fhir = Url::parse(address).unwrap()).await;
        assert!(matches!(refused, Err(OpenError::Address(_))), "{address}");
    }
}
