//! Who may look, at every holder at once: each asked with a token of its own, what it told as it told it, and the receipt that says
//! who did not.

use crate::account::{account, line};
use crate::person::{Person, Reply};
use crate::sources::{Behaviour, may_look_at};
use crate::world::{FJELLVIK, KYSTREGIONEN, PROVEBAKKEN, PROVEHEIM, World};
use fhir::resource::InformationService;
use http::StatusCode;
use serde_json::json;
use trust::audit::Outcome;
use trust::{Interaction, Representation, RepresentedBy};
use wire::client::Request;
use wire::may_look::{Everywhere, Representative, Told};

async fn ask(person: &Person<'_>, world: &World, form: &[(&str, &str)]) -> Reply {
    let url = format!("{}/$may-look", world.fhir());
    person
        .send(Request::post_form(url, form.iter().copied()))
        .await
}

/// What each holder told.
fn told(reply: &Reply) -> Vec<Told> {
    Everywhere::read(&reply.json).unwrap().holders
}

/// Something is held there.
fn fill(world: &World, source: &str) {
    let one = json!({"resourceType": "Observation", "id": "1"});
    world.source(source).holds.lock().unwrap().push(one);
}

#[tokio::test]
async fn every_holder_tells_for_itself_and_who_does_not_is_said() {
    let world = World::new().await;
    world.locate(&["proveheim", "fjellvik", "provebakken"]);
    fill(&world, "proveheim");
    fill(&world, "kystregionen");
    world.set("fjellvik", Behaviour::Status(503));
    let mut her = Person::citizen(&world);
    her.claims.represented_by = vec![RepresentedBy {
        name: Some("Odd Testmo".into()),
        by: Representation {
            id: "r-1".into(),
            services: vec![InformationService::PLANS],
            log: false,
            notes: true,
        },
    }];
    let reply = ask(&her, &world, &[("organization", KYSTREGIONEN)]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    assert_eq!(
        account(&reply),
        [
            line(FJELLVIK, "failed", 0, "it answered 503"),
            line(PROVEHEIM, "complete", 1, ""),
            line(PROVEBAKKEN, "empty", 0, ""),
            line(KYSTREGIONEN, "complete", 1, ""),
        ]
    );
    wire::receipt::verify(reply.receipt(), &world.receipt_keys()).unwrap();
    let expected = [
        (PROVEHEIM, true),
        (PROVEBAKKEN, false),
        (KYSTREGIONEN, true),
    ];
    assert_eq!(
        told(&reply),
        expected.map(|(orgnr, holds)| may_look_at(orgnr, holds))
    );
    let husband = Representative {
        name: Some("Odd Testmo".into()),
        services: vec![InformationService::PLANS],
        log: false,
        notes: true,
    };
    let all = Everywhere::read(&reply.json).unwrap();
    assert_eq!(all.representatives, [husband]);
    for source in ["proveheim", "fjellvik", "provebakken", "kystregionen"] {
        let asked = world.source(source).asked();
        let [one] = &asked[..] else {
            panic!("{source}: {}", asked.len())
        };
        assert_eq!(one.claims.scope, "user/AuditEvent.s");
        assert!(one.form.is_empty(), "the token says about whom");
    }
    // It is on record as hers, with what each holder did.
    let (entries, receipts) = world.records(None).await;
    let [entry] = &entries[..] else { panic!() };
    assert_eq!(entry.record.interaction, Interaction::MayLook);
    assert!(matches!(entry.record.outcome, Outcome::Allowed));
    assert_eq!((entry.record.peers.len(), receipts.len()), (4, 1));
}

#[tokio::test]
async fn what_a_holder_cannot_have_said_is_left_out() {
    for said in [
        "{}".to_owned(),
        may_look_at(PROVEHEIM, true).to_json().to_string(),
        json!({"resourceType": "Parameters", "parameter": []}).to_string(),
    ] {
        let world = World::new().await;
        world.locate(&["fjellvik"]);
        world.set("fjellvik", Behaviour::Says(said));
        let reply = ask(&Person::citizen(&world), &world, &[]).await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
        assert_eq!(
            account(&reply),
            [line(FJELLVIK, "failed", 0, "its answer cannot be used")]
        );
        let (entries, _) = world.records(None).await;
        assert!(matches!(entries[0].record.outcome, Outcome::Failed { .. }));
    }
}

#[tokio::test]
async fn it_is_hers_to_ask_and_her_representatives_where_she_chose_so() {
    let world = World::new().await;
    world.locate(&["fjellvik"]);
    let husband = |log| {
        let mut husband = Person::citizen(&world);
        husband.claims.represents = Some(Representation {
            id: "r-1".into(),
            services: Vec::new(),
            log,
            notes: false,
        });
        husband
    };
    let physician = Person::practitioner(&world, PROVEHEIM);
    for person in [husband(false), physician] {
        assert_eq!(
            ask(&person, &world, &[]).await.status,
            StatusCode::FORBIDDEN
        );
    }
    let her = Person::citizen(&world);
    let asked = ask(&her, &world, &[("patient", "x")]).await;
    assert_eq!(asked.status, StatusCode::BAD_REQUEST);
    assert!(world.asked().is_empty());
    assert_eq!(
        ask(&husband(true), &world, &[]).await.status,
        StatusCode::OK
    );
    // Nobody is known to hold anything: nothing to look at, and that is an answer.
    let world = World::new().await;
    let reply = ask(&Person::citizen(&world), &world, &[]).await;
    assert_eq!((reply.status, told(&reply).len()), (StatusCode::OK, 0));
}
