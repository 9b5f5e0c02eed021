//! The citizen's one place for her wishes: each holder gets it with a token of its own, the receipt says who took it, and the
//! same again repairs what did not reach everybody and makes nothing twice.

use crate::account::{account, line};
use crate::person::{Person, Reply};
use crate::sources::Behaviour;
use crate::world::{FJELLVIK, KYSTREGIONEN, OTHER_PATIENT, PATIENT, PROVEHEIM, World};
use fhir::systems;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use trust::audit::Outcome;
use trust::{Interaction, Representation};
use wire::client::Request;
use wire::contract::gateway::ROUTE_EXTENSION;

fn consent(number: &str, actor: &str) -> Value {
    json!({
        "resourceType": "Consent", "status": "active",
        "patient": {"identifier": {"system": systems::FNR, "value": number}},
        "provision": {"type": "deny", "actor": [{"reference": {"identifier": {"value": actor}}}]},
    })
}

/// The patient, who may write her wishes.
fn patient(world: &World) -> Person<'_> {
    let mut person = Person::citizen(world);
    person.claims.scope = "patient/*.rs patient/Consent.cruds".into();
    person
}

async fn make(world: &World, body: &Value, more: &str) -> Reply {
    let url = format!("{}/Consent{more}", world.fhir());
    patient(world)
        .send(Request::post_fhir(url, body.to_string()))
        .await
}

async fn list(world: &World) -> Reply {
    let url = format!("{}/Consent/_search", world.fhir());
    patient(world).send(Request::post_form(url, [])).await
}

/// The organisations that keep a listed wish.
fn roads(entry: &Value) -> Vec<&str> {
    let roads = entry["extension"].as_array().unwrap().iter();
    roads
        .map(|road| {
            assert_eq!(road["url"], ROUTE_EXTENSION);
            road["extension"][0]["valueIdentifier"]["value"]
                .as_str()
                .unwrap()
        })
        .collect()
}

#[tokio::test]
async fn a_wish_reaches_every_holder_and_is_one() {
    let world = World::new().await;
    world.locate(&["proveheim", "fjellvik"]);
    let wish = consent(PATIENT, "the-neighbour");
    let chosen = format!("?organization={KYSTREGIONEN}");
    let made = make(&world, &wish, &chosen).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let took = |orgnr| line(orgnr, "complete", 1, "");
    assert_eq!(
        account(&made),
        [took(FJELLVIK), took(PROVEHEIM), took(KYSTREGIONEN)]
    );
    wire::receipt::verify(made.receipt(), &world.receipt_keys()).unwrap();
    for source in ["proveheim", "fjellvik", "kystregionen"] {
        let source = world.source(source);
        assert_eq!(source.kept().len(), 1);
        assert_eq!(source.asked()[0].claims.scope, "user/Consent.c");
    }
    assert!(world.source("provebakken").asked().is_empty());

    // Again makes nothing twice, and it is listed once, under the id that it was made under.
    let again = make(&world, &wish, &chosen).await;
    assert_eq!(again.headers["location"], made.headers["location"]);
    assert_eq!(world.source("fjellvik").kept().len(), 1);
    let listed = list(&world).await;
    let [entry] = listed.matches()[..] else {
        panic!("{}", listed.json)
    };
    assert_eq!(roads(entry), [FJELLVIK, PROVEHEIM]);
    let place = made.headers["location"].to_str().unwrap();
    assert_eq!(entry["fullUrl"], place);
    assert!(place.ends_with(entry["resource"]["id"].as_str().unwrap()));

    // Taken back by that id, at each holder under its own; another wish stays.
    make(&world, &consent(PATIENT, "somebody else"), "").await;
    let request = Request::new(Method::DELETE, format!("{place}{chosen}"));
    let ended = patient(&world).send(request.clone()).await;
    assert_eq!(ended.status, StatusCode::OK);
    assert_eq!(
        account(&ended),
        [took(FJELLVIK), took(PROVEHEIM), took(KYSTREGIONEN)]
    );
    assert_eq!(world.source("fjellvik").kept().len(), 1);
    assert!(world.source("kystregionen").kept().is_empty());
    let nothing = patient(&world).send(request).await;
    assert_eq!(account(&nothing)[0], line(FJELLVIK, "empty", 0, ""));

    // Each of them is on record, with what each holder did.
    let (entries, receipts) = world.records(None).await;
    let what: Vec<Interaction> = entries.iter().map(|one| one.record.interaction).collect();
    use Interaction::{WishEnded, WishMade, WishesRead};
    assert_eq!(
        what,
        [
            WishEnded, WishEnded, WishMade, WishesRead, WishMade, WishMade
        ]
    );
    assert_eq!(receipts.len(), 6);
    assert_eq!(entries[5].record.peers.len(), 3);
}

#[tokio::test]
async fn who_did_not_take_it_is_said_and_the_same_again_repairs_it() {
    let world = World::new().await;
    world.locate(&["proveheim", "fjellvik"]);
    world.set("fjellvik", Behaviour::Status(500));
    let wish = consent(PATIENT, "the-neighbour");
    let made = make(&world, &wish, "").await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(
        account(&made),
        [
            line(FJELLVIK, "failed", 0, "it answered 500"),
            line(PROVEHEIM, "complete", 1, "")
        ]
    );
    let listed = list(&world).await;
    assert_eq!(roads(listed.matches()[0]), [PROVEHEIM]);
    assert_eq!(account(&listed)[0].1, "failed");
    world.set("fjellvik", Behaviour::Healthy);
    let again = make(&world, &wish, "").await;
    assert_eq!(account(&again)[0], line(FJELLVIK, "complete", 1, ""));
    for source in ["proveheim", "fjellvik"] {
        assert_eq!(world.source(source).kept().len(), 1);
    }
}

#[tokio::test]
async fn what_nobody_took_is_no_success() {
    for (behaviour, status, state) in [
        (Behaviour::Status(422), 422, "refused"),
        (Behaviour::Status(403), 422, "refused"),
        (Behaviour::Status(503), 502, "failed"),
        (Behaviour::Says("{}".into()), 502, "failed"),
        (
            Behaviour::Says(consent(OTHER_PATIENT, "x").to_string()),
            502,
            "failed",
        ),
    ] {
        let world = World::new().await;
        world.locate(&["fjellvik"]);
        world.set("fjellvik", behaviour);
        let made = make(&world, &consent(PATIENT, "x"), "").await;
        assert_eq!(made.status.as_u16(), status);
        assert_eq!(account(&made)[0].1, state);
        assert!(!made.headers.contains_key("location"));
        let (entries, _) = world.records(None).await;
        let outcome = &entries[0].record.outcome;
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    }
    // Nobody is known to hold anything: no door was shut.
    let world = World::new().await;
    let made = make(&world, &consent(PATIENT, "x"), "").await;
    assert_eq!(made.status, StatusCode::NOT_FOUND);
    assert_eq!(list(&world).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_no_wish_of_her_own_reaches_nobody() {
    let world = World::new().await;
    world.locate(&["fjellvik"]);
    let mut no_consent = consent(PATIENT, "x");
    no_consent["resourceType"] = json!("Observation");
    let mut local = consent(PATIENT, "x");
    local["patient"] = json!({"reference": "Patient/1"});
    for (body, more, status) in [
        (consent(OTHER_PATIENT, "x"), "", 422),
        (local, "", 422),
        (no_consent, "", 400),
        (consent(PATIENT, "x"), "?organization=1", 400),
        (consent(PATIENT, "x"), "?patient=1", 400),
    ] {
        let reply = make(&world, &body, more).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.json);
    }
    let mut reader = patient(&world);
    reader.claims.scope = "patient/*.rs".into();
    let mut husband = patient(&world);
    husband.claims.represents = Some(Representation {
        id: "r-1".into(),
        services: Vec::new(),
        log: true,
        notes: false,
    });
    let mut physician = Person::practitioner(&world, PROVEHEIM);
    physician.claims.scope = "user/*.cruds".into();
    for person in [reader, husband, physician] {
        let url = format!("{}/Consent", world.fhir());
        let body = consent(PATIENT, "x").to_string();
        let reply = person.send(Request::post_fhir(url, body)).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
    }
    assert!(world.asked().is_empty());
}
