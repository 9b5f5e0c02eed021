//! A receipt is kept with the audit record and told again to whoever may have had it, as it was signed.

use crate::person::Person;
use crate::world::{FJELLVIK, PROVEHEIM, World, pulse};
use http::StatusCode;
use trust::Interaction;
use trust::audit::Outcome;

async fn world() -> World {
    let world = World::new().await;
    world.hold(
        "fjellvik",
        vec![pulse("f1", "2026-11-01T08:00:00+01:00", 72, "r-1")],
    );
    world.locate(&["fjellvik"]);
    world
}

fn place(world: &World, id: &str) -> String {
    format!("{}/OperationOutcome/{id}", world.fhir())
}

#[tokio::test]
async fn a_receipt_is_found_again_by_its_id_in_the_organisation_that_looked_up() {
    let world = world().await;
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    let id = reply.receipt()["id"].as_str().unwrap().to_owned();
    assert_eq!(id, reply.headers["x-request-id"].to_str().unwrap());
    // A colleague with a token about the same patient.
    let again = Person::practitioner(&world, PROVEHEIM)
        .get(&place(&world, &id))
        .await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(&again.json, reply.receipt());
    wire::receipt::verify(&again.json, &world.receipt_keys()).unwrap();
    let (entries, _) = world.records(Some(PROVEHEIM)).await;
    let record = &entries[0].record;
    assert_eq!(
        (record.interaction, &record.outcome),
        (Interaction::Read, &Outcome::Allowed)
    );
    assert_eq!(record.disclosed[0].id, id);
}

#[tokio::test]
async fn to_everybody_else_it_is_not_there() {
    let world = world().await;
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    let theirs = place(&world, reply.receipt()["id"].as_str().unwrap());
    let citizens = Person::citizen(&world).search("Observation", &[]).await;
    let hers = place(&world, citizens.receipt()["id"].as_str().unwrap());
    let other_patient = Person::practitioner(&world, PROVEHEIM).about(crate::world::OTHER_PATIENT);
    let unknown = place(&world, "6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11");
    for (person, url) in [
        (Person::practitioner(&world, FJELLVIK), &theirs),
        (Person::citizen(&world), &theirs),
        (Person::practitioner(&world, PROVEHEIM), &hers),
        (other_patient, &theirs),
        (Person::practitioner(&world, PROVEHEIM), &unknown),
        (Person::practitioner(&world, PROVEHEIM), &place(&world, "x")),
    ] {
        let reply = person.get(url).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{url}");
    }
    assert_eq!(
        Person::citizen(&world).get(&hers).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_key_that_signs_receipts_is_public_and_verifies_them() {
    let world = world().await;
    let reply = Person::practitioner(&world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    let url = format!("{}/gateway/jwks", world.address);
    let answer = world
        .house
        .http
        .send(&wire::client::Request::get(url))
        .await;
    let answer = answer.unwrap();
    let keys = trust::keys::KeySet::parse(&answer.body).unwrap();
    wire::receipt::verify(reply.receipt(), &keys).unwrap();
    assert!(!String::from_utf8_lossy(&answer.body).contains("\"d\""));
}
