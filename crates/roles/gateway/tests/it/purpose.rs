//! What a need opens is the same on every way through the gateway: search, its pages and changes, a read by address, `$lastn`,
//! `$stats`, `$everything` and `$file`. What it does not open is asked of nobody, and each way says so in the same words; what it
//! leaves out of a resource leaves by none.

use crate::account::account;
use crate::person::{Person, Reply};
use crate::world::{PROVEHEIM, World, medicine, pulse};
use fhir::resource::ResourceType;
use http::StatusCode;
use serde_json::json;
use wire::contract::gateway::CHANGES_RELATION;
use wire::receipt::Receipt;

const WORDS: &str = "the purpose of the look-up does not open this kind of information";
const READING: &str = "6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11";
const LINE: &str = "7a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11";
const NOTE: &str = "hidden-from-some";

/// A reading with a note and two lines of a medication list at Fjellvik, which the locator names.
async fn world() -> World {
    let world = World::new().await;
    let mut reading = pulse(READING, "2026-11-01T08:00:00Z", 72, "r-1");
    reading["note"] = json!([{"text": NOTE}]);
    reading["valueQuantity"]["system"] = json!("http://unitsofmeasure.org");
    reading["valueQuantity"]["code"] = json!("/min");
    let others = ["2026-11-02T08:00:00Z", "2026-11-03T08:00:00Z"].map(|at| {
        let mut other = reading.clone();
        other["id"] = json!(uuid::Uuid::new_v4().to_string());
        other["identifier"][0]["value"] = json!(at);
        other["effectiveDateTime"] = json!(at);
        other
    });
    let lines = [LINE, "m2"].map(|id| medicine(id, "Ventoline", None));
    *world.source("fjellvik").past.lock().unwrap() = vec![Ok(reading.clone())];
    world.hold(
        "fjellvik",
        [vec![reading], others.to_vec(), lines.to_vec()].concat(),
    );
    world.locate(&["fjellvik"]);
    world
}

/// The patient herself, or somebody with a power of attorney for these kinds alone.
fn citizen<'a>(world: &'a World, services: Option<&[&str]>) -> Person<'a> {
    let mut person = Person::citizen(world);
    let covers = |services: &[&str]| json!({"id": "r-1", "services": services, "notes": true});
    person.claims.represents = services.map(|one| serde_json::from_value(covers(one)).unwrap());
    person
}

/// Health personnel with this purpose of use.
fn purpose<'a>(world: &'a World, code: &str) -> Person<'a> {
    let mut person = Person::practitioner(world, PROVEHEIM);
    let attest = person.claims.attest.as_mut().unwrap();
    let purpose = attest.care_relationship.purpose_of_use.as_mut().unwrap();
    purpose.code = code.into();
    person
}

/// Somebody who helps to treat: less of each resource.
pub fn secretary(world: &World) -> Person<'_> {
    let mut person = Person::practitioner(world, PROVEHEIM);
    let attest = person.claims.attest.as_mut().unwrap();
    attest.practitioner.authorization.as_mut().unwrap().code = "HE".into();
    person
}

fn fjellviks(world: &World, type_name: &str, id: &str) -> String {
    format!("{}/{type_name}/{id}", world.source("fjellvik").base)
}

/// Every source of the receipt, be it a part of a searchset, the answer itself, or a parameter.
fn sources(reply: &Reply) -> Vec<(String, String)> {
    let receipt = match reply.json["resourceType"].as_str().unwrap() {
        "Parameters" => {
            let parameters = reply.json["parameter"].as_array().unwrap();
            let receipt = parameters.iter().find(|one| one["name"] == "receipt");
            &receipt.expect("a receipt")["resource"]
        }
        _ => reply.receipt(),
    };
    let sources = Receipt::read(receipt).unwrap().sources.into_iter();
    let told = |one: wire::receipt::SourceReport| {
        (
            one.state.as_str().to_owned(),
            one.reason.unwrap_or_default(),
        )
    };
    sources.map(told).collect()
}

/// Sends on every way what leads to readings, and hears of each way what `told` makes of the answer.
async fn every_way(
    world: &World,
    before: &Person<'_>,
    after: &Person<'_>,
    mut told: impl FnMut(&str, &Reply),
) {
    let looked = before.search("Observation", &[("_count", "1")]).await;
    let links = ["next", CHANGES_RELATION].map(|one| looked.link(one).map(str::to_owned));
    let pages = before
        .post(
            "Patient/$everything",
            &[("_type", "Observation"), ("_count", "1")],
        )
        .await;
    let pages = pages.link("next").map(str::to_owned);
    world
        .sources
        .iter()
        .for_each(|one| one.asked.lock().unwrap().clear());
    let url = fjellviks(world, "Observation", READING);
    let read = [("url", url.as_str()), ("organization", "310001007")];
    let counted = [
        ("code", "8867-4"),
        ("statistic", "count"),
        ("include", "true"),
    ];
    let everything = [("_type", "Observation")];
    told("search", &after.search("Observation", &[]).await);
    told("page", &after.get(&links[0].clone().expect("a page")).await);
    told(
        "changes",
        &after.get(&links[1].clone().expect("changes")).await,
    );
    told("$lastn", &after.post("Observation/$lastn", &[]).await);
    told("$stats", &after.post("Observation/$stats", &counted).await);
    told(
        "$everything",
        &after.post("Patient/$everything", &everything).await,
    );
    told(
        "$everything, page",
        &after.get(&pages.expect("a page")).await,
    );
    told("$read", &after.post("$read", &read).await);
}

#[tokio::test]
async fn what_is_not_opened_is_asked_of_nobody_and_said_the_same_on_every_way() {
    let world = world().await;
    // What was opened when the links were given is not any more: the power of attorney covers plans alone.
    let before = citizen(&world, Some(&["IT08", "IT17"]));
    let mut after = before.clone();
    after.claims.represents = citizen(&world, Some(&["IT08"])).claims.represents;
    let mut ways = 0;
    every_way(&world, &before, &after, |way, reply| {
        ways += 1;
        assert_eq!(reply.status, StatusCode::OK, "{way}: {}", reply.json);
        let told = sources(reply);
        assert!(!told.is_empty(), "{way}");
        for (state, reason) in told {
            assert_eq!(
                (state.as_str(), reason.as_str()),
                ("refused", WORDS),
                "{way}"
            );
        }
        assert!(!reply.json.to_string().contains(NOTE), "{way}");
    })
    .await;
    assert_eq!(ways, 8);
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn medicines_are_refused_to_coordination_the_same_by_search_everything_read_and_file() {
    let world = world().await;
    let looked = purpose(&world, "TREAT").search("Observation", &[]).await;
    let receipt = looked.receipt()["id"].as_str().unwrap().to_owned();
    world
        .sources
        .iter()
        .for_each(|one| one.asked.lock().unwrap().clear());
    let person = purpose(&world, "COC");
    let url = fjellviks(&world, "MedicationStatement", LINE);
    let read = [("url", url.as_str()), ("organization", "310001007")];
    let file = [("receipt", receipt.as_str()), ("reading", url.as_str())];
    for (way, status, reply) in [
        (
            "search",
            200,
            person.search("MedicationStatement", &[]).await,
        ),
        (
            "$everything",
            200,
            person
                .post("Patient/$everything", &[("_type", "MedicationStatement")])
                .await,
        ),
        ("$read", 200, person.post("$read", &read).await),
        // Not all of it could be had, so nothing is filed.
        ("$file", 502, person.post("$file", &file).await),
    ] {
        assert_eq!(reply.status, status, "{way}: {}", reply.json);
        for (_, state, _, reason) in account(&reply) {
            assert_eq!((state, reason.as_str()), ("refused", WORDS), "{way}");
        }
        assert!(!reply.json.to_string().contains("Ventoline"), "{way}");
    }
    assert!(world.asked().is_empty());
    // Not asked for by name, it is left out, and what is opened is there.
    let reply = person.post("Patient/$everything", &[]).await;
    assert_eq!(reply.status, StatusCode::OK);
    let text = reply.json.to_string();
    assert!(
        text.contains(READING) && !text.contains("Ventoline"),
        "{text}"
    );
    // A type beyond the token's scope is a refusal, and no empty answer.
    let mut person = purpose(&world, "TREAT");
    person.claims.scope = "user/Patient.rs user/Observation.rs".into();
    let named = [("_type", "Observation,MedicationStatement")];
    let reply = person.post("Patient/$everything", &named).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
}

/// Until a search is offered that does, `Permit::may_ask` has nothing to refuse here; then it needs a test on every way.
#[test]
fn no_search_that_is_offered_asks_about_what_a_role_or_purpose_leaves_out() {
    let details = trust::Detail::ALL.into_iter();
    let left_out: Vec<_> = details.flat_map(|one| one.elements()).copied().collect();
    let mut parameters = 0;
    for name in wire::contract::gateway::TYPES {
        let resource = ResourceType::parse(name).unwrap();
        for one in fhir::search::supported(resource).unwrap().parameters {
            // What controls the answer and what is asked by another road (`patient.identifier`) is no published parameter.
            let published = fhir::definitions::Definitions::get();
            let Some(published) = published.search_parameter(resource, one.name) else {
                continue;
            };
            parameters += 1;
            let closed = fhir::subset::closes(&left_out, resource, published);
            assert!(!closed, "{name}?{}", one.name);
        }
    }
    assert!(parameters > 20);
}

#[tokio::test]
async fn what_a_role_leaves_out_leaves_by_no_way() {
    let world = world().await;
    let whole = Person::practitioner(&world, PROVEHEIM);
    every_way(&world, &whole, &whole, |way, reply| {
        assert_eq!(reply.status, StatusCode::OK, "{way}: {}", reply.json);
        assert!(reply.json.to_string().contains(NOTE), "{way}");
    })
    .await;
    let less = secretary(&world);
    every_way(&world, &less, &less, |way, reply| {
        assert_eq!(reply.status, StatusCode::OK, "{way}: {}", reply.json);
        let text = reply.json.to_string();
        assert!(text.contains("8867-4"), "{way}: {text}");
        assert!(!text.contains(NOTE), "{way}: {text}");
        assert!(text.contains(fhir::subset::SUBSETTED), "{way}: {text}");
    })
    .await;
}

#[tokio::test]
async fn a_document_holds_no_more_than_its_writer_may_read() {
    for hidden in [true, false] {
        let world = world().await;
        let person = match hidden {
            true => secretary(&world),
            false => Person::practitioner(&world, PROVEHEIM),
        };
        let url = fjellviks(&world, "Observation", READING);
        let looked = person.search("Observation", &[]).await;
        let receipt = looked.receipt()["id"].as_str().unwrap().to_owned();
        let form = [("receipt", receipt.as_str()), ("reading", url.as_str())];
        let reply = person.post("$file", &form).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.json);
        let document = crate::file::delivered(&world).await.to_string();
        assert!(document.contains(READING));
        assert_eq!(document.contains(NOTE), !hidden, "{document}");
    }
}

#[tokio::test]
async fn the_need_comes_before_the_form() {
    let world = World::new().await;
    for (path, form) in [
        ("$file", ("receipt", "x")),
        ("$file", ("nonsense", "x")),
        ("$read", ("url", "x")),
        ("Observation/$lastn", ("max", "0")),
        ("Observation/$stats", ("statistic", "x")),
        ("Patient/$everything", ("_count", "0")),
        ("Observation/_search", ("nonsense", "x")),
        ("AuditEvent/_search", ("nonsense", "x")),
    ] {
        let mut person = Person::practitioner(&world, PROVEHEIM);
        person.claims.scope = "user/Device.rs".into();
        let reply = person.post(path, &[form]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}: scope");
        let mut person = Person::practitioner(&world, PROVEHEIM);
        let attest = person.claims.attest.as_mut().unwrap();
        attest.care_relationship.decision_ref = None;
        let reply = person.post(path, &[form]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}: need");
        if path == "AuditEvent/_search" {
            // It is the patient's own.
            continue;
        }
        let reply = Person::practitioner(&world, PROVEHEIM)
            .post(path, &[form])
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}: form");
    }
}
