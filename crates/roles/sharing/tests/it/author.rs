//! What a person says of an alert so that others look it up: signed by her, sealed by her organisation's service, and forged by nobody.

use http::StatusCode;
use wire::client::{Http, Party, Policy};
use wire::contract::anchor::Participant;
use wire::contract::operate::Standing;
use wire::members::MemberBook;
use wire::signed::{self, Worth};

use crate::alert::{alerts, kari, ola, own, step, yellow, yellow_at};
use crate::assess::assesses;
use crate::house::*;

#[tokio::test]
async fn a_persons_assessment_is_looked_up_by_others_where_she_shares_it_and_forged_by_nobody() {
    let seals = Service::subscribed(Vec::new(), assesses).await;
    let service = yellow_at(seals).await;
    let kari = kari();
    let task = alerts(&service).await.remove(0);
    step(&service, &kari, (&task, 1), "own", None).await;
    let held = own(&service, &kari);
    let id = task["id"].as_str().unwrap();
    let now = service.clock.now();
    let shared = async |version: u64, name: &str, form: &[(&str, &str)]| {
        let path = format!("/Task/{}/${name}", task["id"].as_str().unwrap());
        let knock = service.door.knock(http::Method::POST, &path);
        let knock = knock
            .header("if-match", &format!("W/\"{version}\""))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(wire::form::write(form.iter().copied()));
        knock.by(&held, service.clock.now()).send().await
    };
    // Not without words, nor in what is no answer, nor at a step that says nothing of her; nor unsigned, or signed by another, or
    // over another version, other words or long ago.
    let x = held.says((id, 2), "x", now).unwrap();
    let other = own(&service, &ola()).says((id, 2), "x", now).unwrap();
    let version = held.says((id, 3), "x", now).unwrap();
    let words = held.says((id, 2), "y", now).unwrap();
    let old = held.says((id, 2), "x", now.plus_seconds(-301)).unwrap();
    let signed = |signature| vec![("note", "x"), ("shared", "true"), ("signature", signature)];
    for (name, form) in [
        (
            "acknowledge",
            vec![("shared", "true"), ("signature", x.as_str())],
        ),
        (
            "note",
            vec![("note", "x"), ("shared", "yes"), ("signature", &x)],
        ),
        ("note", vec![("note", "x"), ("signature", &x)]),
        ("own", signed(&x)),
        ("note", vec![("note", "x"), ("shared", "true")]),
        ("note", [signed(&x), vec![("signature", &x)]].concat()),
        ("note", signed(&other)),
        ("note", signed(&version)),
        ("note", signed(&words)),
        ("note", signed(&old)),
        ("note", signed("x")),
    ] {
        let reply = shared(2, name, &form).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name}");
    }
    let silent = shared(2, "note", &[("note", "Bare for oss")]).await;
    assert!(silent.json.get("output").is_none(), "{}", silent.json);
    let words = "Mild forverring, ikke feber";
    let signature = held.says((id, 3), words, now).unwrap();
    let form = [
        ("note", words),
        ("shared", "true"),
        ("signature", &signature),
    ];
    let said = shared(3, "acknowledge", &form).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.json);
    let reference = said.json["output"][0]["valueReference"]["reference"]
        .as_str()
        .unwrap();

    // The hospital's physician finds it as she finds readings, with who said it, when, and about what.
    let physician = service.physician(ragnhild());
    let code = format!("{}|person", fhir::systems::ASSESSMENT);
    let form = [("code", code.as_str())];
    let reply = service.search(&physician, "Observation", &form).await;
    let all = reply.matches();
    let [found] = &all[..] else {
        panic!("one assessment: {}", reply.json)
    };
    assert_eq!(
        format!("Observation/{}", found["id"].as_str().unwrap()),
        reference
    );
    assert_eq!(found["note"][0]["text"], words);
    assert_eq!(
        found["performer"][0]["display"],
        "Kari Prøve, Fjellvik kommune"
    );
    assert_eq!(found["performer"][1]["identifier"]["value"], FJELLVIK);
    assert_eq!(found["focus"][0]["reference"], task["focus"]["reference"]);
    assert!(!found.to_string().contains(&physician_number()));

    // It is hers for whoever reads it, and nobody else's.
    let http = Http::new(Policy::loopback()).unwrap();
    let file = service.folder.path().join("client.json");
    let ids = testkit::surroundings::ids(1);
    let party = Party::from_file(&file, http.clone(), service.clock.clock(), ids).unwrap();
    let keys = party.public_keys()["keys"].as_array().unwrap().clone();
    let fjellvik = Participant {
        keys,
        ..crate::may_look::participant(&service, FJELLVIK, Standing::Active)
    };
    service.issuer.vouch(&[fjellvik], &[]).unwrap();
    let members = MemberBook::new(service.issuer.url(), http, service.clock.clock());
    let members = members.current().await.unwrap();
    assert_eq!(signed::worth(found, &members, now), Worth::Stands);
    let mut forged = (*found).clone();
    forged["performer"][0]["display"] = "En annen".into();
    assert_eq!(signed::worth(&forged, &members, now), Worth::Fails);

    // It is nobody's to write, change or take back, and nothing is judged by it.
    let owner = service.record_system(FJELLVIK);
    let mut forged = (*found).clone();
    let members = forged.as_object_mut().unwrap();
    members.remove("id");
    members.remove("meta");
    let reply = service.post(&owner, "/Observation", &forged).await;
    assert_eq!(
        reply.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        reply.json
    );
    let path = format!("/{reference}");
    let gone = service.delete(&owner, &path, Some("W/\"1\"")).await;
    assert!(gone.status.is_client_error(), "{}", gone.status);
    let changed = service.put(&owner, &path, Some("W/\"1\""), found).await;
    assert!(changed.status.is_client_error(), "{}", changed.status);
    let before = alerts(&service).await;
    assert_eq!(before.len(), 1);
    assert_eq!(before[0]["meta"]["versionId"], "4");
}

#[tokio::test]
async fn a_service_without_a_key_of_its_own_vouches_for_nobody() {
    let service = yellow().await;
    let kari = kari();
    let task = alerts(&service).await.remove(0);
    let held = own(&service, &kari);
    let id = task["id"].as_str().unwrap();
    let signature = held.says((id, 1), "x", service.clock.now()).unwrap();
    let form = [("note", "x"), ("shared", "true"), ("signature", &signature)];
    let knock = service
        .door
        .knock(http::Method::POST, &format!("/Task/{id}/$note"));
    let knock = knock
        .header("if-match", "W/\"1\"")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(wire::form::write(form));
    let reply = knock.by(&held, service.clock.now()).send().await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.json);
    assert!(reply.json.to_string().contains("no registered key"));
    assert_eq!(alerts(&service).await[0]["meta"]["versionId"], "1");
}

fn physician_number() -> String {
    physician().number.clone()
}
