//! Documents from home systems: an alert with the reading it is about, one unit in and one unit out.

use crate::deliver::deliver;
use crate::house::*;
use crate::receiver::{Answer, Receiver};
use fhir::resource::InformationService;
use fhir::systems;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::people::Patient;

const SHARING: &str = "310001007/sharing";
const RECORD_SYSTEM: &str = "310001007/record-system";

/// An alert: what happened, the reading, and the colour that the home system gave it.
pub fn alert(of: &Patient, key: &str) -> Value {
    let subject = json!({"identifier": {"system": systems::FNR, "value": of.number}});
    let mut measured = reading(of, &format!("{key}-reading"), 84);
    measured["note"] = json!([{"text": "syntetisk"}]);
    let entry = |n: usize, resource: Value| json!({"fullUrl": full_url(n), "resource": resource});
    json!({
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {"system": "urn:example:documents", "value": key},
        "timestamp": WHEN,
        "entry": [
            entry(0, json!({
                "resourceType": "Composition",
                "status": "final",
                "type": {"coding": [{"system": "http://ehelse.no/fhir/CodeSystem/vkp-alert-code-v090", "code": "5.2.1"}]},
                "subject": subject,
                "date": WHEN,
                "author": [{"display": "Hjemmesystem"}],
                "title": "Varsel",
                "section": [{"title": "Varsel", "entry": [{"reference": full_url(1)}, {"reference": full_url(2)}]}],
            })),
            entry(1, json!({
                "resourceType": "DetectedIssue",
                "status": "final",
                "code": {"coding": [{"system": "http://ehelse.no/fhir/CodeSystem/vkp-alert-code-v090", "code": "5.2.1"}]},
                "severity": "high",
                "patient": subject,
                "identifiedDateTime": WHEN,
                "implicated": [{"reference": full_url(2)}],
                "detail": "rød",
            })),
            entry(2, measured),
        ],
    })
}

async fn hub_with(record_system: &Receiver, sharing: &Receiver) -> Hub {
    let mut one = receiver(FJELLVIK, Some(record_system.base()), Some(&sharing.url));
    one.record_system_kinds = vec![
        InformationService::MEASUREMENTS,
        InformationService::DOCUMENTS,
    ];
    Hub::with(vec![one]).await
}

async fn send(hub: &Hub, document: &Value) -> testkit::clients::Reply {
    hub.post(&hub.home(FJELLVIK), "/fhir", document).await
}

/// The id of a document that was taken in.
fn taken(reply: &testkit::clients::Reply) -> String {
    let location = reply.headers["location"].to_str().unwrap();
    location.strip_prefix("Bundle/").expect(location).to_owned()
}

#[tokio::test]
async fn an_alert_goes_whole_to_the_record_system_and_findable_to_the_sharing_service() {
    let (record_system, sharing) = (Receiver::listen(&[]).await, Receiver::listen(&[]).await);
    let hub = hub_with(&record_system, &sharing).await;
    let document = alert(ragnhild(), "d-1");
    let reply = send(&hub, &document).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    let key = taken(&reply);
    // Sent again it is known, also beside readings that came between.
    let again = send(&hub, &document).await;
    assert_eq!((again.status, taken(&again)), (StatusCode::OK, key.clone()));
    hub.sent(&reading(ragnhild(), "r-after", 90)).await;
    for name in [RECORD_SYSTEM, SHARING] {
        assert_eq!(hub.waiting(name).await.len(), 2, "{name}");
    }
    deliver(&hub, async {
        for receiver in [&record_system, &sharing] {
            receiver.heard().await;
            while receiver.got().len() < 2 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    // As it was sent, and before what came later of the same patient.
    let got = record_system.got();
    assert_eq!(got[0].text, document.to_string());
    assert_eq!(got[1].bundle["type"], "batch");
    // One transaction, whose resources can each be known again.
    let got = sharing.got();
    assert_eq!(got[0].bundle["type"], "transaction");
    assert_eq!(got[0].bundle["meta"]["tag"][0]["code"], FJELLVIK);
    let entries = got[0].bundle["entry"].as_array().unwrap();
    let own = |value: &str| json!({"system": "urn:example:documents", "value": value});
    assert_eq!(entries[0]["resource"]["identifier"], own("d-1#0"));
    assert_eq!(entries[1]["resource"]["identifier"], json!([own("d-1#1")]));
    assert_eq!(
        entries[2]["resource"]["identifier"][0]["value"],
        "d-1-reading"
    );
    for (n, kind) in ["Composition", "DetectedIssue", "Observation"]
        .iter()
        .enumerate()
    {
        let request = json!({"method": "POST", "url": kind});
        assert_eq!(entries[n]["request"], request);
        assert_eq!(entries[n]["fullUrl"], full_url(n));
        // Everything else stands as sent: the home system's own assessment.
        let mut bare = entries[n]["resource"].clone();
        let sent = &document["entry"][n]["resource"];
        if sent.get("identifier").is_none() {
            bare.as_object_mut().unwrap().remove("identifier");
        }
        assert_eq!(&bare, sent);
    }
    let at = hub
        .get(&hub.home(FJELLVIK), &format!("/deliveries/{key}"))
        .await;
    assert_eq!(at.json["receivers"][0]["state"], "delivered", "{}", at.json);
}

#[tokio::test]
async fn a_document_is_taken_whole_or_its_faults_are_told_at_once_by_their_places() {
    let hub = Hub::new().await;
    type Spoil = fn(&mut Value);
    let cases: &[(&str, Spoil)] = &[
        ("Bundle.identifier", |d| {
            d["identifier"]["system"] = json!("")
        }),
        ("Bundle.identifier", |d| {
            d.as_object_mut().unwrap().remove("identifier");
        }),
        ("Bundle.timestamp", |d| {
            d.as_object_mut().unwrap().remove("timestamp");
        }),
        ("Bundle.entry[0].resource", |d| {
            d["entry"].as_array_mut().unwrap().swap(0, 1);
        }),
        ("Bundle.entry[1].fullUrl", |d| {
            d["entry"][1].as_object_mut().unwrap().remove("fullUrl");
        }),
        ("Bundle.entry[2].fullUrl", |d| {
            d["entry"][2]["fullUrl"] = json!(full_url(1))
        }),
        ("Bundle.entry[2].resource", |d| {
            d["entry"][2]["resource"] = json!({"resourceType": "Device"});
        }),
        ("Bundle.entry[2].resource", |d| {
            d["entry"][2].as_object_mut().unwrap().remove("resource");
        }),
        ("Bundle.entry[2].resource.valueQuantity.code", |d| {
            d["entry"][2]["resource"]["valueQuantity"]["code"] = json!("mmol/L");
        }),
        ("Bundle.entry[2].resource", |d| {
            let long = "x".repeat(2 << 20);
            d["entry"][2]["resource"]["note"] = json!([{"text": long}]);
        }),
        ("Bundle.entry[2].resource.identifier", |d| {
            d["entry"][2]["resource"]["identifier"] = json!([{"value": "alone"}]);
        }),
        ("Bundle.entry[1].resource", |d| {
            let other =
                json!({"identifier": {"system": systems::FNR, "value": patient("arne").number}});
            d["entry"][1]["resource"]["patient"] = other;
        }),
        ("Bundle.entry[1].resource.implicated[0].reference", |d| {
            d["entry"][1]["resource"]["implicated"][0]["reference"] =
                json!("Observation/elsewhere");
        }),
        ("Bundle.entry[1].resource", |d| {
            d["entry"][1]["resource"]["patient"] = json!({"reference": "Patient/1"});
        }),
    ];
    for (n, (place, spoil)) in cases.iter().enumerate() {
        let mut document = alert(ragnhild(), &format!("d-{n}"));
        spoil(&mut document);
        let reply = send(&hub, &document).await;
        assert_eq!(
            reply.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{n} {place}: {}",
            reply.json
        );
        let told = issues(&reply.json);
        assert!(
            told.iter().any(|one| one.contains(place)),
            "{n} {place}: {told:?}"
        );
    }
    for name in [RECORD_SYSTEM, SHARING] {
        assert!(
            hub.waiting(name).await.is_empty(),
            "{name}: nothing of any of them"
        );
    }
}

#[tokio::test]
async fn another_document_under_a_known_identifier_and_a_strangers_are_kept_aside_with_their_reason()
 {
    let hub = Hub::new().await;
    let document = alert(ragnhild(), "d-1");
    assert_eq!(send(&hub, &document).await.status, StatusCode::CREATED);
    let mut other = document.clone();
    other["entry"][1]["resource"]["detail"] = json!("gul");
    let reply = send(&hub, &other).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut foreign = alert(ragnhild(), "d-2");
    foreign["entry"][0]["resource"]["custodian"] =
        json!({"identifier": {"system": systems::ORGNR, "value": PROVEHEIM}});
    let reply = send(&hub, &foreign).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    // A reading that somebody else made is nobody's here, whoever keeps the document.
    let mut performed = alert(ragnhild(), "d-3");
    performed["entry"][0]["resource"]["custodian"] =
        json!({"identifier": {"system": systems::ORGNR, "value": FJELLVIK}});
    performed["entry"][2]["resource"]["performer"] = json!([{"type": "Organization", "identifier": {"system": systems::ORGNR, "value": PROVEHEIM}}]);
    let reply = send(&hub, &performed).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let told = issues(&reply.json);
    assert!(
        told.iter()
            .any(|one| one.contains("entry[2].resource.performer")),
        "{told:?}"
    );
    let mut aside = hub.aside(&hub.home(FJELLVIK)).await;
    aside.sort();
    let name = |value: &str| Some(format!("urn:example:documents|{value}"));
    assert_eq!(
        aside,
        [
            ("conflict".to_owned(), name("d-1")),
            ("organisation".to_owned(), name("d-2")),
            ("organisation".to_owned(), name("d-3")),
        ]
    );
    // The cause stands: a replay says so again, and takes nothing.
    let kept = hub.get(&hub.home(FJELLVIK), "/quarantine").await;
    for one in kept.json["entries"].as_array().unwrap() {
        let path = format!("/quarantine/{}/replay", one["id"].as_str().unwrap());
        let reply = hub.post_text(&hub.home(FJELLVIK), &path, "").await;
        assert_eq!(
            reply.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            reply.json
        );
    }
    assert_eq!(hub.waiting(SHARING).await.len(), 1);
}

#[tokio::test]
async fn what_a_receiver_refuses_is_a_dead_letter_and_holds_nobody_up() {
    let sharing = Receiver::listen(&[Answer::Whole(422)]).await;
    let hub = Hub::with(vec![receiver(FJELLVIK, None, Some(&sharing.url))]).await;
    let key = taken(&send(&hub, &alert(ragnhild(), "d-1")).await);
    hub.sent(&reading(ragnhild(), "r-1", 90)).await;
    deliver(&hub, async {
        while sharing.got().len() < 2 {
            tokio::task::yield_now().await;
        }
        sharing.heard().await;
    })
    .await;
    let at = hub
        .get(&hub.home(FJELLVIK), &format!("/deliveries/{key}"))
        .await;
    assert_eq!(at.json["receivers"][0]["state"], "dead", "{}", at.json);
    let letters = hub.get(&hub.home(FJELLVIK), "/dead-letters").await;
    assert_eq!(letters.json["entries"][0]["key"], key.as_str());
    assert!(hub.waiting(SHARING).await.is_empty());
}

/// A note about an alert, as the organisation's sharing service files it.
fn note(of: &Patient, key: &str) -> Value {
    let mut note = alert(of, key);
    note["entry"].as_array_mut().unwrap().truncate(2);
    note["entry"][0]["resource"]["section"][0]["entry"] = json!([{"reference": full_url(1)}]);
    note["entry"][0]["resource"]["custodian"] =
        json!({"identifier": {"system": systems::ORGNR, "value": FJELLVIK}});
    let issue = note["entry"][1]["resource"].as_object_mut().unwrap();
    issue.remove("implicated");
    note
}

#[tokio::test]
async fn what_a_sharing_service_files_goes_to_its_own_record_system_alone() {
    let (record_system, sharing) = (Receiver::listen(&[]).await, Receiver::listen(&[]).await);
    let hub = hub_with(&record_system, &sharing).await;
    let service = |orgnr: &str, scope: &str| {
        hub.held(|jkt| {
            let mut claims = hub.claims("deling", trust::ClientUse::Service, orgnr, jkt);
            claims.scope = scope.into();
            claims
        })
    };
    let own = service(FJELLVIK, wire::contract::hub::NOTE_SCOPE);
    let first = hub.post(&own, "/fhir", &note(ragnhild(), "n-1")).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.json);
    let again = hub.post(&own, "/fhir", &note(ragnhild(), "n-1")).await;
    assert_eq!(
        (again.status, taken(&again)),
        (StatusCode::OK, taken(&first))
    );
    assert_eq!(hub.waiting(RECORD_SYSTEM).await.len(), 1);
    assert!(hub.waiting(SHARING).await.is_empty());
    // It sends no readings, neither by itself nor in a bundle, and asks for nothing.
    let one = reading(ragnhild(), "r-1", 90);
    for (path, body) in [
        ("/fhir/Observation", one.clone()),
        ("/fhir", bundle("collection", std::slice::from_ref(&one))),
        ("/fhir", bundle("batch", &[one])),
    ] {
        let whole = service(FJELLVIK, "system/*.cruds");
        let reply = hub.post(&whole, path, &body).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path} {}", reply.json);
    }
    // Nor does it bring readings or answers in a document, or look into what others sent.
    let asks = service(FJELLVIK, "system/*.cruds");
    let mut answered = note(ragnhild(), "n-answers");
    let given = json!({"fullUrl": full_url(3), "resource": answers(ragnhild(), "a-1")});
    answered["entry"].as_array_mut().unwrap().push(given);
    for body in [alert(ragnhild(), "n-reading"), answered] {
        let reply = hub.post(&asks, "/fhir", &body).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
    }
    for path in ["/deliveries", "/quarantine", "/dead-letters"] {
        let status = hub.get(&asks, path).await.status;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    assert!(hub.waiting(SHARING).await.is_empty());
    // Another's service files nothing in Fjellvik's record, and one without a record system here is told so.
    let other = service("310001147", wire::contract::hub::NOTE_SCOPE);
    let strange = hub.post(&other, "/fhir", &note(ragnhild(), "n-2")).await;
    assert_eq!(
        strange.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        strange.json
    );
    let lone = Hub::with(vec![receiver(FJELLVIK, None, Some(&sharing.url))]).await;
    let held = lone.held(|jkt| {
        let mut claims = lone.claims("deling", trust::ClientUse::Service, FJELLVIK, jkt);
        claims.scope = wire::contract::hub::NOTE_SCOPE.into();
        claims
    });
    let nowhere = lone.post(&held, "/fhir", &note(ragnhild(), "n-3")).await;
    assert_eq!(
        nowhere.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        nowhere.json
    );
    assert!(lone.waiting(SHARING).await.is_empty());
}

#[tokio::test]
async fn a_sharing_service_hears_what_became_of_what_it_filed_and_nothing_is_kept_aside_for_it() {
    let (record_system, sharing) = (
        Receiver::listen(&[Answer::Whole(422)]).await,
        Receiver::listen(&[]).await,
    );
    let hub = hub_with(&record_system, &sharing).await;
    let service = |hub: &Hub, orgnr: &str| {
        hub.held(|jkt| {
            let mut claims = hub.claims("deling", trust::ClientUse::Service, orgnr, jkt);
            claims.scope = wire::contract::hub::NOTE_SCOPE.into();
            claims
        })
    };
    let own = service(&hub, FJELLVIK);
    let key = taken(&hub.post(&own, "/fhir", &note(ragnhild(), "n-1")).await);
    let path = format!("/deliveries/{key}");
    let waits = hub.get(&own, &path).await;
    assert_eq!(waits.json["receivers"][0]["state"], "pending");
    // What it files is its own record system's alone, and so is the answer; a reading's delivery is not its business.
    assert_eq!(waits.json["receivers"].as_array().unwrap().len(), 1);
    let strange = hub.get(&service(&hub, PROVEHEIM), &path).await;
    assert_eq!(strange.status, StatusCode::NOT_FOUND);
    let reading = hub.sent(&reading(ragnhild(), "r-1", 90)).await;
    let reply = hub.get(&own, &format!("/deliveries/{reading}")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.json);
    // Another under the same name is refused, and lies in no quarantine that nobody looks into.
    let mut other = note(ragnhild(), "n-1");
    other["entry"][1]["resource"]["detail"] = json!("gul");
    let reply = hub.post(&own, "/fhir", &other).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let same_client =
        hub.held(|jkt| hub.claims("deling", trust::ClientUse::HomeSystem, FJELLVIK, jkt));
    assert!(hub.aside(&same_client).await.is_empty());
    deliver(&hub, record_system.heard()).await;
    let dead = hub.get(&own, &path).await;
    assert_eq!(dead.json["receivers"][0]["state"], "dead", "{}", dead.json);
}

#[tokio::test]
async fn each_kind_of_resource_in_a_document_asks_its_own_scope() {
    let hub = Hub::new().await;
    let only = |scope: &str| {
        hub.held(|jkt| {
            let mut claims = hub.claims("home", trust::ClientUse::HomeSystem, FJELLVIK, jkt);
            claims.scope = scope.to_owned();
            claims
        })
    };
    let all = ["Composition", "DetectedIssue", "Observation"];
    let document = alert(ragnhild(), "d-1");
    let scopes = |kinds: &[&str]| {
        let each = kinds.iter().map(|kind| format!("system/{kind}.c"));
        each.collect::<Vec<_>>().join(" ")
    };
    let mut narrow: Vec<String> = (0..all.len())
        .map(|without| {
            let mut some = all.to_vec();
            some.remove(without);
            scopes(&some)
        })
        .collect();
    narrow.push("system/QuestionnaireResponse.c".into());
    narrow.push("system/*.rus".into());
    for scope in narrow {
        let reply = hub.post(&only(&scope), "/fhir", &document).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{scope}");
        assert!(hub.waiting(SHARING).await.is_empty(), "{scope}");
    }
    let reply = hub.post(&only(&scopes(&all)), "/fhir", &document).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
}

#[tokio::test]
async fn every_kind_of_document_that_a_home_system_sends_is_taken_by_its_code_and_arrives_whole() {
    let (record_system, sharing) = (Receiver::listen(&[]).await, Receiver::listen(&[]).await);
    let hub = hub_with(&record_system, &sharing).await;
    // VKP's codes of digital home follow-up, and what such a document carries besides the alert.
    let kinds = [
        ("5", None),
        ("5.1", None),
        ("5.2", None),
        ("5.2.1", Some("Observation")),
        ("5.2.2", Some("QuestionnaireResponse")),
        ("5.2.3", None),
        ("5.3", None),
        ("5.3.1", None),
        ("5.3.2", None),
    ];
    let mut sent = Vec::new();
    for (code, carries) in kinds {
        let mut document = match carries {
            None => note(ragnhild(), &format!("d-{code}")),
            Some(_) => alert(ragnhild(), &format!("d-{code}")),
        };
        if carries == Some("QuestionnaireResponse") {
            document["entry"][2]["resource"] = answers(ragnhild(), "a-1");
        }
        for (at, member) in [(0, "type"), (1, "code")] {
            document["entry"][at]["resource"][member]["coding"][0]["code"] = json!(code);
        }
        let reply = send(&hub, &document).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{code}: {}", reply.json);
        sent.push((code, carries, document));
    }
    deliver(&hub, async {
        for receiver in [&record_system, &sharing] {
            while receiver.got().len() < sent.len() {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    for (n, (code, carries, document)) in sent.iter().enumerate() {
        assert_eq!(record_system.got()[n].text, document.to_string(), "{code}");
        let told = &sharing.got()[n].bundle;
        assert_eq!(told["type"], "transaction");
        assert_eq!(
            told["entry"][1]["resource"]["code"]["coding"][0]["code"],
            *code
        );
        let third = told["entry"][2]["request"]["url"].as_str();
        assert_eq!(third, *carries, "{code}");
    }
}
