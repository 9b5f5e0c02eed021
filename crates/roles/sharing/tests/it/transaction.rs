//! Transactions: all or nothing, references among entries written as what they mean, every fault told at once.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use trust::Interaction;
use trust::audit::Outcome;

const WHEN: &str = "2026-11-20T08:00:00+01:00";
const A: &str = "urn:uuid:00000000-0000-4000-8000-00000000000a";
const B: &str = "urn:uuid:00000000-0000-4000-8000-00000000000b";
const P: &str = "urn:uuid:00000000-0000-4000-8000-00000000000c";

fn transaction(entries: &[Value]) -> Value {
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })
}

fn entry(method: &str, url: &str, full_url: Option<&str>, resource: Option<Value>) -> Value {
    let mut entry = json!({ "request": { "method": method, "url": url } });
    if let Some(full_url) = full_url {
        entry["fullUrl"] = full_url.into();
    }
    if let Some(resource) = resource {
        entry["resource"] = resource;
    }
    entry
}

fn with(mut entry: Value, member: &str, value: &str) -> Value {
    entry["request"][member] = value.into();
    entry
}

fn answers(reply: &Reply) -> Vec<&str> {
    assert_eq!(
        (reply.status, &reply.json["type"]),
        (StatusCode::OK, &json!("transaction-response")),
        "{}",
        reply.json
    );
    let entries = reply.json["entry"].as_array().unwrap();
    entries
        .iter()
        .map(|e| e["response"]["status"].as_str().unwrap())
        .collect()
}

fn id_of(reply: &Reply, n: usize) -> String {
    let location = reply.json["entry"][n]["response"]["location"]
        .as_str()
        .unwrap();
    location.split('/').nth(1).unwrap().to_owned()
}

async fn everything(service: &Service) -> Vec<String> {
    let owner = service.record_system(FJELLVIK);
    let mut ids = found(&service.search(&owner, "Observation", &[]).await);
    ids.sort();
    ids
}

#[tokio::test]
async fn references_among_entries_become_what_they_mean_and_nothing_else_changes() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let person = json!({ "resourceType": "Patient", "identifier": [{ "system": fhir::systems::FNR, "value": ragnhild().number }] });
    let mut first = reading(ragnhild(), "r-1", WHEN, "91");
    first["derivedFrom"] = json!([{ "reference": B, "display": B }]);
    first["subject"] = json!({ "reference": P });
    let mut second = pulse(ragnhild(), "p-1", WHEN);
    second["subject"] = json!({ "reference": P });
    second["derivedFrom"] =
        json!([{ "reference": "Observation?identifier=urn:example:readings|known" }]);
    let known = service
        .created(&reading(ragnhild(), "known", WHEN, "90"))
        .await;
    // In an order that no reference follows; and digits that only a careful hand keeps.
    let sent = transaction(&[
        entry("POST", "Observation", Some(A), Some(first)),
        entry("POST", "Observation", Some(B), Some(second)),
        entry("POST", "Patient", Some(P), Some(person)),
    ])
    .to_string()
    .replace("\"value\":91,", "\"value\": 91.00 ,");
    let reply = service
        .door
        .post("/", sent.clone())
        .by(&owner, NOW)
        .send()
        .await;
    assert_eq!(answers(&reply), ["201 Created", "201 Created", "200 OK"]);
    assert_eq!(reply.json["entry"][0]["fullUrl"], A);
    let [a, b, p] = [0, 1, 2].map(|n| id_of(&reply, n));
    let first = service.get(&owner, &format!("/Observation/{a}")).await;
    assert_eq!(
        first.json["derivedFrom"],
        json!([{ "reference": format!("Observation/{b}"), "display": B }])
    );
    assert_eq!(
        first.json["subject"],
        json!({ "reference": format!("Patient/{p}") })
    );
    assert!(String::from_utf8_lossy(&first.body).contains("\"value\": 91.00 ,"));
    let second = service.get(&owner, &format!("/Observation/{b}")).await;
    assert_eq!(
        second.json["derivedFrom"][0]["reference"],
        format!("Observation/{known}")
    );
    let mut hers = found(
        &service
            .search(&service.physician(ragnhild()), "Observation", &[])
            .await,
    );
    let mut all = vec![a, b, known];
    hers.sort();
    all.sort();
    assert_eq!(hers, all);
    // Sent again, it is what it was.
    let again = service.door.post("/", sent).by(&owner, NOW).send().await;
    assert_eq!(answers(&again), ["200 OK", "200 OK", "200 OK"]);
    assert_eq!(id_of(&again, 0), id_of(&reply, 0));
    assert_eq!(everything(&service).await, all);
}

#[tokio::test]
async fn one_fault_leaves_everything_as_it_was_and_all_faults_are_told() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let before = everything(&service).await;
    let good = |key: &str| {
        entry(
            "POST",
            "Observation",
            None,
            Some(reading(ragnhild(), key, WHEN, "92")),
        )
    };
    let mut broken = reading(ragnhild(), "bad", WHEN, "92");
    broken["status"] = "done".into();
    broken["colour"] = "red".into();
    let mut lost = reading(ragnhild(), "lost", WHEN, "92");
    lost["derivedFrom"] = json!([{ "reference": A }]);
    let mut nowhere = reading(ragnhild(), "nowhere", WHEN, "92");
    nowhere["derivedFrom"] = json!([{ "reference": "Observation?identifier=urn:x|none" }]);
    let mut update = reading(ragnhild(), "r-1", WHEN, "93");
    update["id"] = id.clone().into();
    let url = format!("Observation/{id}");
    let put = || entry("PUT", &url, None, Some(update.clone()));
    for (entries, status, expected) in [
        (
            vec![good("g"), entry("POST", "Observation", None, Some(broken))],
            422,
            vec![
                "code-invalid @ Bundle.entry[1].resource.status",
                "structure @ Bundle.entry[1].resource.colour",
            ],
        ),
        (
            vec![good("g"), entry("POST", "Observation", None, Some(lost))],
            422,
            vec!["not-found @ Bundle.entry[1].resource.derivedFrom[0].reference"],
        ),
        (
            vec![good("g"), entry("POST", "Observation", None, Some(nowhere))],
            422,
            vec!["not-found @ Bundle.entry[1].resource.derivedFrom[0].reference"],
        ),
        (
            vec![good("g"), entry("POST", "Observation", None, None)],
            422,
            vec!["required @ Bundle.entry[1].resource"],
        ),
        (
            vec![good("g"), json!({ "resource": {} })],
            422,
            vec!["required @ Bundle.entry[1].request"],
        ),
        (
            vec![
                good("g"),
                entry("HEAD", "Observation", None, None),
                entry("POST", "Practitioner", None, None),
            ],
            422,
            vec![
                "not-supported @ Bundle.entry[1].request.method",
                "value @ Bundle.entry[2].request.url",
            ],
        ),
        (
            vec![good("g"), put()],
            422,
            vec!["required @ Bundle.entry[1].request.ifMatch"],
        ),
        (
            vec![good("g"), with(put(), "ifMatch", "7")],
            422,
            vec!["value @ Bundle.entry[1].request.ifMatch"],
        ),
        (
            vec![good("g"), with(put(), "ifMatch", "W/\"7\"")],
            412,
            vec!["conflict @ Bundle.entry[1].request.ifMatch"],
        ),
        (
            vec![
                with(put(), "ifMatch", "W/\"1\""),
                entry("DELETE", &url, None, None),
            ],
            422,
            vec!["duplicate @ Bundle.entry[1].request"],
        ),
        (
            vec![good("g"), good("g")],
            422,
            vec!["duplicate @ Bundle.entry[1].request"],
        ),
        (
            vec![
                good("g"),
                entry("DELETE", "Observation?identifier=urn:x|none", None, None),
            ],
            422,
            vec!["not-found @ Bundle.entry[1].request.url"],
        ),
        (
            vec![good("g"), entry("DELETE", "Observation", None, None)],
            422,
            vec!["value @ Bundle.entry[1].request.url"],
        ),
        (
            vec![
                good("g"),
                entry(
                    "DELETE",
                    "Observation/00000000-0000-4000-8000-000000000001",
                    None,
                    None,
                ),
            ],
            404,
            vec!["not-found @ Bundle.entry[1].request.url"],
        ),
    ] {
        let sent = transaction(&entries);
        let reply = service.post(&owner, "/", &sent).await;
        let mut told = issues(&reply.json);
        told.sort();
        assert_eq!(
            (reply.status.as_u16(), told),
            (status, expected.iter().map(|i| (*i).to_owned()).collect()),
            "{sent}: {}",
            reply.json
        );
        assert!(matches!(
            service.last_record().await.outcome,
            Outcome::Failed { .. }
        ));
        assert_eq!(everything(&service).await, before, "{sent}");
        assert_eq!(
            service.get(&owner, &format!("/{url}")).await.header("etag"),
            "W/\"1\""
        );
    }
}

#[tokio::test]
async fn delete_comes_first_then_post_then_put_and_the_answers_in_the_order_sent() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let gone = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let kept = service.created(&reading(arne(), "a-1", WHEN, "95")).await;
    let mut update = reading(arne(), "a-1", WHEN, "96");
    update["id"] = kept.clone().into();
    let before = service.audit().await.len();
    let none = with(
        entry(
            "POST",
            "Observation",
            None,
            Some(reading(arne(), "a-1", WHEN, "19")),
        ),
        "ifNoneExist",
        &format!(
            "identifier=urn:example:readings|a-1&patient.identifier={}",
            number(arne())
        ),
    );
    let reply = service
        .post(
            &owner,
            "/",
            &transaction(&[
                with(
                    entry("PUT", &format!("Observation/{kept}"), None, Some(update)),
                    "ifMatch",
                    "W/\"1\"",
                ),
                entry(
                    "PUT",
                    "Observation?identifier=urn:example:readings|new",
                    None,
                    Some(reading(arne(), "new", WHEN, "94")),
                ),
                entry(
                    "POST",
                    "Observation",
                    None,
                    Some(pulse(ragnhild(), "p-1", WHEN)),
                ),
                none,
                entry(
                    "DELETE",
                    "Observation?identifier=urn:example:readings|r-1",
                    None,
                    None,
                ),
            ]),
        )
        .await;
    assert_eq!(
        answers(&reply),
        [
            "200 OK",
            "201 Created",
            "201 Created",
            "200 OK",
            "204 No Content"
        ]
    );
    assert_eq!(
        (id_of(&reply, 0), id_of(&reply, 3)),
        (kept.clone(), kept.clone())
    );
    assert_eq!(reply.json["entry"][0]["response"]["etag"], "W/\"2\"");
    assert_eq!(
        service
            .get(&owner, &format!("/Observation/{gone}"))
            .await
            .status,
        StatusCode::GONE
    );
    assert_eq!(everything(&service).await.len(), 3);
    // Each patient finds it in a trail of her own.
    let records = service.audit().await;
    let of_it: Vec<_> = records[..records.len() - before]
        .iter()
        .filter(|e| e.record.interaction == Interaction::Batch)
        .collect();
    assert_eq!(of_it.len(), 2);
    for who in [ragnhild(), arne()] {
        assert!(
            of_it
                .iter()
                .any(|e| e.record.patient == Some(identifier(who)))
        );
    }
    assert_eq!(of_it[0].record.disclosed.len(), 4);
}

#[tokio::test]
async fn of_two_transactions_from_one_version_one_wins_whole() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let mut update = reading(ragnhild(), "r-1", WHEN, &n.to_string());
        update["id"] = id.clone().into();
        let sent = transaction(&[
            entry(
                "POST",
                "Observation",
                None,
                Some(pulse(ragnhild(), &format!("p-{n}"), WHEN)),
            ),
            with(
                entry("PUT", &format!("Observation/{id}"), None, Some(update)),
                "ifMatch",
                "W/\"1\"",
            ),
        ]);
        let (door, owner) = (service.door.clone(), owner.clone());
        writers.spawn(async move {
            door.post("/", sent.to_string())
                .by(&owner, NOW)
                .send()
                .await
                .status
        });
    }
    let mut statuses = writers.join_all().await;
    statuses.sort();
    assert_eq!(
        (statuses[0], statuses[1], statuses[7]),
        (
            StatusCode::OK,
            StatusCode::PRECONDITION_FAILED,
            StatusCode::PRECONDITION_FAILED
        )
    );
    assert_eq!(everything(&service).await.len(), 2);
}

#[tokio::test]
async fn who_may_not_write_gets_nothing_by_a_transaction() {
    let service = Service::fjellvik().await;
    let id = service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let sent = transaction(&[entry("DELETE", &format!("Observation/{id}"), None, None)]);
    for who in [
        service.physician(ragnhild()),
        service.citizen(ragnhild()),
        service.record_system(PROVEBAKKEN),
        // The hub may create, but neither withdraw nor search.
        service.hub(FJELLVIK),
    ] {
        let reply = service.post(&who, "/", &sent).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert!(matches!(
            service.last_record().await.outcome,
            Outcome::Refused { .. }
        ));
    }
    let hub = service.hub(FJELLVIK);
    let asks = with(
        entry(
            "POST",
            "Observation",
            None,
            Some(reading(ragnhild(), "r-2", WHEN, "91")),
        ),
        "ifNoneExist",
        "identifier=urn:example:readings|r-1",
    );
    assert_eq!(
        service.post(&hub, "/", &transaction(&[asks])).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(everything(&service).await, [id]);
}

#[tokio::test]
async fn each_patient_finds_the_transaction_however_they_are_named_in_it() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut entries = Vec::new();
    for (n, of) in [ragnhild(), arne()].into_iter().enumerate() {
        service
            .created(&reading(of, &format!("known-{n}"), WHEN, "91"))
            .await;
        let patients = service.search(&service.citizen(of), "Patient", &[]).await;
        let mut sent = reading(of, &format!("new-{n}"), WHEN, "92");
        sent["subject"] = json!({ "reference": format!("Patient/{}", found(&patients)[0]) });
        entries.push(entry("POST", "Observation", None, Some(sent)));
    }
    let reply = service.post(&owner, "/", &transaction(&entries)).await;
    assert_eq!(answers(&reply), ["201 Created", "201 Created"]);
    let trail = service.audit().await;
    for of in [ragnhild(), arne()] {
        let theirs = trail.iter().filter(|entry| {
            entry.record.interaction == Interaction::Batch
                && entry.record.patient == Some(identifier(of))
        });
        assert_eq!(theirs.count(), 1, "{}", of.id);
    }
}
