//! Why somebody was refused, from every party that knows of the request: each holder as it told it, the gateway's own trail, and the
//! receipt that says who did not tell.

use crate::account::{account, line};
use crate::person::{Person, Reply};
use crate::sources::{Behaviour, explained};
use crate::world::{FJELLVIK, OTHER_PATIENT, PROVEBAKKEN, PROVEHEIM, World};
use fhir::systems;
use http::StatusCode;
use serde_json::json;
use trust::{Interaction, Representation};
use wire::client::Request;
use wire::explained::{Everywhere, Told};

async fn ask(person: &Person<'_>, world: &World, form: &[(&str, &str)]) -> Reply {
    let url = format!("{}/$explain-access", world.fhir());
    person
        .send(Request::post_form(url, form.iter().copied()))
        .await
}

fn told(reply: &Reply) -> Vec<Told> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    Everywhere::read(&reply.json).unwrap().holders
}

const REQUEST: &str = "0cba6c4c-b43d-480b-b40f-aa5257452d80";

#[tokio::test]
async fn every_party_that_knows_of_it_says_why_and_who_does_not_tell_is_said() {
    let world = World::new().await;
    world.locate(&["proveheim", "fjellvik", "provebakken"]);
    let one = json!({"resourceType": "Observation", "id": "1"});
    world.source("proveheim").holds.lock().unwrap().push(one);
    world.set("fjellvik", Behaviour::Status(503));
    let her = Person::citizen(&world);
    let reply = ask(&her, &world, &[("request", REQUEST)]).await;
    assert_eq!(
        told(&reply),
        [Told {
            organisation: PROVEHEIM.parse().unwrap(),
            decisions: vec![explained()],
        }]
    );
    let lines = account(&reply);
    assert_eq!(
        lines[..3],
        [
            line(FJELLVIK, "failed", 0, "it answered 503"),
            line(PROVEHEIM, "complete", 1, ""),
            line(PROVEBAKKEN, "empty", 0, ""),
        ]
    );
    assert_eq!(lines.len(), 4, "and the gateway itself");
    wire::receipt::verify(reply.receipt(), &world.receipt_keys()).unwrap();
    for source in ["proveheim", "fjellvik", "provebakken"] {
        let asked = world.source(source).asked.lock().unwrap();
        let form = &asked.last().unwrap().form;
        assert_eq!(
            form,
            &[("request".to_owned(), REQUEST.to_owned())],
            "{source}"
        );
    }
    let (entries, _) = world.records(None).await;
    assert_eq!(entries[0].record.interaction, Interaction::Explain);
    assert!(entries[0].record.asked.contains(REQUEST));
}

#[tokio::test]
async fn what_the_gateway_itself_refused_it_explains_to_the_patient_and_to_nobody_else() {
    let world = World::new().await;
    let person = Person::practitioner(&world, PROVEHEIM);
    let other = format!("{}|{OTHER_PATIENT}", systems::FNR);
    let refused = person
        .send(person.question("Observation", &[("patient.identifier", &other)]))
        .await;
    let request = refused.headers["x-request-id"].to_str().unwrap().to_owned();
    let her = Person::citizen(&world);
    let reply = ask(&her, &world, &[("request", &request)]).await;
    let told = told(&reply);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].organisation.as_str(), PROVEHEIM);
    let decision = &told[0].decisions[0];
    assert_eq!(decision.outcome, "refused");
    assert_eq!(
        decision.reasons[0].words,
        trust::explain::of("other_patient").into()
    );
    assert!(
        decision.rules.ends_with(|c: char| c.is_ascii_digit())
            && decision.rules.contains("patient/")
    );
    assert!(!reply.json.to_string().contains(OTHER_PATIENT));
    // Whom it was attempted about is told so too, by her own number.
    let mut attempted = Person::citizen(&world).about(OTHER_PATIENT);
    attempted.claims.pid = Some(OTHER_PATIENT.into());
    let reply = ask(&attempted, &world, &[("request", &request)]).await;
    let told_other = self::told(&reply);
    assert_eq!(
        told_other[0].decisions[0].reasons[0].words,
        trust::explain::of("others_access").into()
    );
    // Who acts for her hears of their own requests alone.
    let mut husband = Person::citizen(&world);
    husband.claims.pid = Some(OTHER_PATIENT.into());
    husband.claims.represents = Some(Representation {
        id: "r-1".into(),
        services: vec![],
        log: true,
        notes: false,
    });
    let reply = ask(&husband, &world, &[("request", &request)]).await;
    assert_eq!(self::told(&reply), []);
    // Health personnel asks the service that refused, not here; and one request is named.
    let reply = ask(&person, &world, &[("request", &request)]).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    for form in [
        vec![],
        vec![("request", "yesterday")],
        vec![("request", REQUEST), ("reason", "x")],
    ] {
        let reply = ask(&her, &world, &form).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{form:?}");
    }
}
