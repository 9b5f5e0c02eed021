//! What comes with the matches: by reference and by number, forwards and backwards, and nothing that could not be read alone.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use store::{Published, Publishing, Share};
use testkit::clients::Reply;
use testkit::door::Held;
use testkit::people::Patient;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

fn subject(of: &Patient) -> Value {
    json!({ "identifier": { "system": fhir::systems::FNR, "value": of.number } })
}

fn encounter(of: &Patient, part_of: Option<&str>) -> Value {
    let mut body = json!({
        "resourceType": "Encounter",
        "status": "finished",
        "class": { "system": "urn:x", "code": "x" },
        "subject": subject(of),
        "period": { "start": WHEN },
    });
    if let Some(id) = part_of {
        body["partOf"] = json!({ "reference": format!("Encounter/{id}") });
    }
    body
}

/// A reading at an encounter.
fn met(of: &Patient, key: &str, encounter: &str) -> Value {
    let mut body = reading(of, key, WHEN, "91");
    body["encounter"] = json!({ "reference": format!("Encounter/{encounter}") });
    body
}

async fn patient_id(service: &Service, of: &Patient) -> String {
    let owner = service.record_system(FJELLVIK);
    let form = [("identifier", number(of))];
    let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
    found(&service.search(&owner, "Patient", &form).await).remove(0)
}

/// What came along, as `Type/id`, in order.
fn along(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let entries = reply.json["entry"].as_array();
    let included = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["search"]["mode"] == "include");
    included
        .map(|entry| {
            let of = &entry["resource"];
            let name = format!(
                "{}/{}",
                of["resourceType"].as_str().unwrap(),
                of["id"].as_str().unwrap()
            );
            assert!(entry["fullUrl"].as_str().unwrap().ends_with(&name));
            name
        })
        .collect()
}

async fn asked(service: &Service, who: &Held, of: &str, form: &[(&str, &str)]) -> Vec<String> {
    along(&service.search(who, of, form).await)
}

#[tokio::test]
async fn a_patient_named_by_number_or_by_id_comes_along_once_and_is_on_record() {
    let service = Service::fjellvik().await;
    let first = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let her = patient_id(&service, ragnhild()).await;
    let mut local = pulse(ragnhild(), "r-2", WHEN);
    local["subject"] = json!({ "reference": format!("Patient/{her}") });
    let second = service.created(&local).await;
    for who in [
        service.physician(ragnhild()),
        service.citizen(ragnhild()),
        service.record_system(FJELLVIK),
    ] {
        for include in [
            "Observation:subject",
            "Observation:patient",
            "Observation:subject:Patient",
            "Observation:*",
            "*",
        ] {
            let reply = service
                .search(&who, "Observation", &[("_include", include)])
                .await;
            assert_eq!(along(&reply), [format!("Patient/{her}")], "{include}");
            assert_eq!(found(&reply).len(), 2);
            assert_eq!(reply.json["total"], 2);
            assert!(reply.link("self").unwrap().contains("_include="));
            let record = service.last_record().await;
            let given: Vec<&str> = record.disclosed.iter().map(|d| d.id.as_str()).collect();
            assert_eq!(given.len(), 3);
            for id in [&first, &second, &her] {
                assert!(given.contains(&id.as_str()));
            }
        }
        // A page brings what its own matches refer to.
        let form = [("_include", "Observation:subject"), ("_count", "1")];
        let page = service.search(&who, "Observation", &form).await;
        assert_eq!((found(&page).len(), along(&page).len()), (1, 1));
        let rest = service.get(&who, page.next().unwrap()).await;
        assert_eq!((found(&rest).len(), along(&rest).len()), (1, 1));
        let got = service
            .get(&who, "/Observation?_include=Observation:subject")
            .await;
        assert_eq!(along(&got).len(), 1);
    }
}

#[tokio::test]
async fn what_refers_to_a_match_comes_along() {
    let service = Service::fjellvik().await;
    let visit = service.created(&encounter(ragnhild(), None)).await;
    let at = service.created(&met(ragnhild(), "r-1", &visit)).await;
    let other = service
        .created(&reading(ragnhild(), "r-2", WHEN, "92"))
        .await;
    service.created(&reading(arne(), "a-1", WHEN, "95")).await;
    let her = patient_id(&service, ragnhild()).await;
    let at = format!("Observation/{at}");
    for who in [
        service.physician(ragnhild()),
        service.record_system(FJELLVIK),
    ] {
        let form = [("_revinclude", "Observation:encounter")];
        assert_eq!(
            asked(&service, &who, "Encounter", &form).await,
            std::slice::from_ref(&at)
        );
        for reverse in ["Observation:subject", "Observation:patient:Patient"] {
            let form = [("_id", her.as_str()), ("_revinclude", reverse)];
            let mut all = asked(&service, &who, "Patient", &form).await;
            all.sort();
            let mut expected = vec![at.clone(), format!("Observation/{other}")];
            expected.sort();
            assert_eq!(all, expected);
        }
        // Of the matches alone: what an encounter brought is asked about only by :iterate.
        let form = [
            ("_revinclude", "Observation:encounter"),
            ("_include", "Encounter:subject"),
        ];
        assert_eq!(asked(&service, &who, "Encounter", &form).await.len(), 2);
        let form = [
            ("_include", "Encounter:subject"),
            ("_revinclude:iterate", "Observation:subject"),
        ];
        let all = asked(&service, &who, "Encounter", &form).await;
        assert_eq!(all.len(), 3, "{all:?}");
        assert_eq!(all[0], format!("Patient/{her}"));
    }
}

#[tokio::test]
async fn two_steps_are_followed_and_a_third_is_refused() {
    let service = Service::fjellvik().await;
    let stay = service.created(&encounter(ragnhild(), None)).await;
    let ward = service.created(&encounter(ragnhild(), Some(&stay))).await;
    service.created(&met(ragnhild(), "r-1", &ward)).await;
    let who = service.physician(ragnhild());
    let (near, far) = (format!("Encounter/{ward}"), format!("Encounter/{stay}"));
    let code = ("code", SPO2);
    let form = [code, ("_include", "Observation:encounter")];
    assert_eq!(
        asked(&service, &who, "Observation", &form).await,
        std::slice::from_ref(&near)
    );
    let form = [
        code,
        ("_include", "Observation:encounter"),
        ("_include:iterate", "Encounter:part-of"),
    ];
    let both = asked(&service, &who, "Observation", &form).await;
    assert_eq!(both, [near, far]);
    let bed = service.created(&encounter(ragnhild(), Some(&ward))).await;
    let form = [form[1], form[2]];
    let deep = service.created(&met(ragnhild(), "r-2", &bed)).await;
    // Both readings on one page: nothing is farther than two steps from a match.
    assert_eq!(asked(&service, &who, "Observation", &form).await.len(), 3);
    let form = [form[0], form[1], ("_id", deep.as_str())];
    let reply = service.search(&who, "Observation", &form).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(issues(&reply.json), ["too-costly @ _include"]);
}

#[tokio::test]
async fn what_could_not_be_read_alone_does_not_come_along() {
    let service = Service::fjellvik().await;
    // A reading of hers that points to an encounter of his.
    let his = service.created(&encounter(arne(), None)).await;
    service.created(&met(ragnhild(), "r-1", &his)).await;
    let owner = service.record_system(FJELLVIK);
    let form = [
        ("_include", "Observation:encounter"),
        ("_include", "Observation:subject"),
    ];
    let her = format!("Patient/{}", patient_id(&service, ragnhild()).await);
    let his = format!("Encounter/{his}");
    assert_eq!(
        asked(&service, &owner, "Observation", &form).await,
        [his, her.clone()]
    );
    let who = service.physician(ragnhild());
    assert_eq!(
        asked(&service, &who, "Observation", &form).await,
        std::slice::from_ref(&her)
    );
    // A token for readings alone brings readings alone.
    let narrow = service.physician_but(ragnhild(), |claims| {
        claims.scope = "user/Observation.rs".into();
    });
    let none: [String; 0] = [];
    assert_eq!(asked(&service, &narrow, "Observation", &form).await, none);
    // So does an agreement about readings alone.
    let agreed = service.physician_but(ragnhild(), |claims| {
        if let Some(agreement) = &mut claims.agreement {
            agreement.services = vec![fhir::resource::InformationService::MEASUREMENTS];
        }
    });
    assert_eq!(asked(&service, &agreed, "Observation", &form).await, none);
    // What is withdrawn does not come, to anybody.
    let visit = service.created(&encounter(ragnhild(), None)).await;
    service.created(&met(ragnhild(), "r-2", &visit)).await;
    let path = format!("/Encounter/{visit}");
    let gone = service.delete(&owner, &path, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(asked(&service, &who, "Observation", &form).await, [her]);
}

#[tokio::test]
async fn what_is_not_published_does_not_come_along() {
    let service = Service::with("fjellvik", FJELLVIK, &[], |config| {
        config.publish = Publishing {
            shares: vec![Share {
                kinds: vec![Published::parse("oxygen-saturation").unwrap()],
                back: None,
                status: Vec::new(),
            }],
        };
    })
    .await;
    let visit = service.created(&encounter(ragnhild(), None)).await;
    service.created(&met(ragnhild(), "r-1", &visit)).await;
    let mut hidden = pulse(ragnhild(), "p-1", WHEN);
    hidden["encounter"] = json!({ "reference": format!("Encounter/{visit}") });
    service.created(&hidden).await;
    let her = patient_id(&service, ragnhild()).await;
    let (who, owner) = (
        service.physician(ragnhild()),
        service.record_system(FJELLVIK),
    );
    let form = [("_include", "Observation:*"), ("code", SPO2)];
    let none = format!("Patient/{her}");
    assert_eq!(asked(&service, &who, "Observation", &form).await, [none]);
    assert_eq!(asked(&service, &owner, "Observation", &form).await.len(), 2);
    let form = [
        ("_id", her.as_str()),
        ("_revinclude", "Observation:subject"),
    ];
    assert_eq!(asked(&service, &who, "Patient", &form).await.len(), 1);
    assert_eq!(asked(&service, &owner, "Patient", &form).await.len(), 2);
}

#[tokio::test]
async fn an_answer_of_more_than_a_thousand_is_refused_and_never_cut_short() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let all: Vec<Value> = (0..1_000)
        .map(|n| reading(ragnhild(), &format!("r-{n}"), WHEN, "91"))
        .collect();
    for some in all.chunks(250) {
        let reply = service.post(&owner, "/", &bundle("collection", some)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    }
    let her = patient_id(&service, ragnhild()).await;
    let who = service.physician(ragnhild());
    let form = [
        ("_id", her.as_str()),
        ("_revinclude", "Observation:subject"),
    ];
    let reply = service.search(&who, "Patient", &form).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(issues(&reply.json), ["too-costly @ _include"]);
    let one = service
        .search(&owner, "Observation", &[("identifier", "r-7")])
        .await;
    let path = format!("/Observation/{}", found(&one)[0]);
    service.delete(&owner, &path, None).await;
    assert_eq!(asked(&service, &who, "Patient", &form).await.len(), 999);
}

#[tokio::test]
async fn nor_is_a_larger_answer_than_others_take() {
    let service = Service::fjellvik().await;
    let document = |n: usize| {
        json!({
            "resourceType": "DocumentReference",
            "identifier": [{ "system": "urn:d", "value": n.to_string() }],
            "status": "current",
            "subject": subject(ragnhild()),
            "content": [{ "attachment": { "contentType": "text/plain", "data": "A".repeat(1_960_000) } }],
        })
    };
    for n in 0..4 {
        service.created(&document(n)).await;
    }
    let who = service.physician(ragnhild());
    let form = [("_revinclude", "DocumentReference:subject")];
    assert_eq!(asked(&service, &who, "Patient", &form).await.len(), 4);
    service.created(&document(4)).await;
    let reply = service.search(&who, "Patient", &form).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(issues(&reply.json), ["too-costly @ _include"]);
}

#[tokio::test]
async fn an_include_that_means_nothing_is_refused() {
    let service = Service::fjellvik().await;
    let who = service.physician(ragnhild());
    for (name, value) in [
        ("_include", "Observation:code"),
        ("_include", "Observation:foo"),
        ("_include", "Foo:subject"),
        ("_include", "Observation"),
        ("_include", "subject"),
        ("_include", ""),
        ("_include", "Encounter:subject"),
        ("_include", "Observation:subject:Encounter"),
        ("_include", "Observation:subject:Patient:x"),
        ("_include:recurse", "Observation:subject"),
        ("_revinclude", "*"),
        ("_revinclude", "Observation:subject"),
        ("_revinclude", "Observation:*"),
        ("_includes", "Observation:subject"),
    ] {
        let reply = service.search(&who, "Observation", &[(name, value)]).await;
        let shown = format!("{name}={value}: {}", reply.json);
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{shown}");
    }
}

#[tokio::test]
async fn what_comes_along_with_a_later_page_is_of_the_first_pages_moment() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let who = service.physician(ragnhild());
    let mut encounters = Vec::new();
    for n in 0..3 {
        let mut one = encounter(ragnhild(), None);
        one["identifier"] = json!([{ "system": "urn:e", "value": n.to_string() }]);
        let at = service.created(&one).await;
        let mut body = met(ragnhild(), &format!("r-{n}"), &at);
        body["effectiveDateTime"] = format!("2026-11-0{}T08:00:00+01:00", 5 - n).into();
        service.created(&body).await;
        encounters.push(at);
    }
    let [first, second, third] = [&encounters[0], &encounters[1], &encounters[2]];
    let ahead = [("_count", "1"), ("_include", "Observation:encounter")];
    let back = [
        ("_count", "1"),
        ("_sort", "_id"),
        ("_revinclude", "Observation:encounter"),
    ];
    let forwards = service.search(&who, "Observation", &ahead).await;
    let backwards = service.search(&who, "Encounter", &back).await;
    assert_eq!(along(&forwards), [format!("Encounter/{first}")]);
    // Between the pages one encounter is changed, one withdrawn; and one more reading comes to each.
    let mut changed = encounter(ragnhild(), None);
    changed["id"] = second.as_str().into();
    changed["status"] = "cancelled".into();
    let path = format!("/Encounter/{second}");
    let put = service.put(&owner, &path, Some("W/\"1\""), &changed).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.json);
    let path = format!("/Encounter/{third}");
    service.delete(&owner, &path, None).await;
    for (n, at) in encounters.iter().enumerate() {
        service
            .created(&met(ragnhild(), &format!("late-{n}"), at))
            .await;
    }
    let statuses = |reply: &Reply| -> Vec<Value> {
        let entries = reply.json["entry"].as_array().unwrap();
        let included = entries.iter().filter(|e| e["search"]["mode"] == "include");
        included.map(|e| e["resource"]["status"].clone()).collect()
    };
    let next = service.get(&who, forwards.next().unwrap()).await;
    assert_eq!(along(&next), [format!("Encounter/{second}")]);
    assert_eq!(statuses(&next), [json!("finished")]);
    let last = service.get(&who, next.next().unwrap()).await;
    assert_eq!(along(&last), [format!("Encounter/{third}")]);
    let mut reply = backwards;
    let mut count = along(&reply).len();
    while let Some(next) = reply.next().map(str::to_owned) {
        reply = service.get(&who, &next).await;
        count += along(&reply).len();
    }
    assert_eq!(count, 3, "the late readings are of another moment");
}
