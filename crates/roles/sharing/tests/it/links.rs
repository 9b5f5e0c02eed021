//! Transactions: what links mean, reads after the writes, faults that only the store finds, and the same one sent twice.

use crate::entries::{asks, patching, sending, told, with};
use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;

const WHEN: &str = "2026-11-20T08:00:00+01:00";
const A: &str = "urn:uuid:00000000-0000-4000-8000-00000000000a";
const B: &str = "urn:uuid:00000000-0000-4000-8000-00000000000b";

fn transaction(entries: &[Value]) -> Value {
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })
}

fn named(mut entry: Value, full_url: &str) -> Value {
    entry["fullUrl"] = full_url.into();
    entry
}

fn location(reply: &Reply, n: usize) -> String {
    let location = &reply.json["entry"][n]["response"]["location"];
    location.as_str().unwrap().to_owned()
}

fn address(reply: &Reply, n: usize) -> String {
    let location = location(reply, n);
    location.split("/_history").next().unwrap().to_owned()
}

fn as_version(reference: &str) -> Value {
    json!({
        "extension": [{ "url": "http://hl7.org/fhir/StructureDefinition/resolve-as-version-specific", "valueBoolean": true }],
        "reference": reference,
    })
}

#[tokio::test]
async fn every_kind_of_link_becomes_what_it_means_and_a_canonical_none() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut first = reading(ragnhild(), "a", WHEN, "91.0");
    first["text"] = json!({ "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"{B}\">b</a> {B}</div>") });
    first["meta"] = json!({ "profile": [B] });
    first["extension"] = json!([
        { "url": "urn:example:uri", "valueUri": B },
        { "url": "urn:example:fragment", "valueUrl": format!("{B}#x") },
        { "url": "urn:example:canonical", "valueCanonical": B },
        { "url": "urn:example:text", "valueString": B },
    ]);
    first["derivedFrom"] = json!([
        { "reference": B },
        { "reference": format!("{B}/_history/77") },
        as_version(B),
        { "reference": "Observation/c" },
    ]);
    let sent = transaction(&[
        named(
            sending("POST", "Observation", &first),
            "http://elsewhere.example/fhir/Observation/a",
        ),
        named(
            sending("POST", "Observation", &pulse(ragnhild(), "b", WHEN)),
            B,
        ),
        named(
            sending("POST", "Observation", &pulse(ragnhild(), "c", WHEN)),
            "http://elsewhere.example/fhir/Observation/c",
        ),
    ]);
    let reply = service.post(&owner, "/", &sent).await;
    assert_eq!(told(&reply), ["201", "201", "201"], "{}", reply.json);
    let (b, c) = (address(&reply, 1), address(&reply, 2));
    let kept = service
        .get(&owner, &format!("/{}", address(&reply, 0)))
        .await;
    let references: Vec<&str> = kept.json["derivedFrom"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["reference"].as_str().unwrap())
        .collect();
    let version = format!("{b}/_history/1");
    assert_eq!(references, [b.as_str(), &version, &version, &c]);
    let extension = &kept.json["extension"];
    assert_eq!(extension[0]["valueUri"], b);
    assert_eq!(extension[1]["valueUrl"], format!("{b}#x"));
    assert_eq!(extension[2]["valueCanonical"], B);
    assert_eq!(extension[3]["valueString"], B);
    assert_eq!(kept.json["meta"]["profile"], json!([B]));
    let div = kept.json["text"]["div"].as_str().unwrap();
    assert!(div.contains(&format!("<a href=\"{b}\">b</a> {B}")), "{div}");
}

#[tokio::test]
async fn a_reference_to_a_version_names_the_one_that_is_written() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service.created(&reading(ragnhild(), "r", WHEN, "91")).await;
    let url = format!("Observation/{id}");
    let mut update = reading(ragnhild(), "r", WHEN, "92");
    update["id"] = id.clone().into();
    let sent = |key: &str, version: &str, update: &Value| {
        let mut of_it = pulse(ragnhild(), key, WHEN);
        of_it["derivedFrom"] = json!([as_version(A)]);
        transaction(&[
            sending("POST", "Observation", &of_it),
            named(with(sending("PUT", &url, update), "ifMatch", version), A),
        ])
    };
    let reply = service
        .post(&owner, "/", &sent("p", "W/\"1\"", &update))
        .await;
    assert_eq!(told(&reply), ["201", "200"], "{}", reply.json);
    let kept = service
        .get(&owner, &format!("/{}", address(&reply, 0)))
        .await;
    assert_eq!(
        kept.json["derivedFrom"][0]["reference"],
        format!("{url}/_history/2")
    );
    // An update that changes nothing makes no version: the reference names the one that is there.
    let reply = service
        .post(&owner, "/", &sent("q", "W/\"2\"", &update))
        .await;
    assert_eq!(told(&reply), ["201", "200"], "{}", reply.json);
    let kept = service
        .get(&owner, &format!("/{}", address(&reply, 0)))
        .await;
    assert_eq!(
        kept.json["derivedFrom"][0]["reference"],
        format!("{url}/_history/2")
    );
}

#[tokio::test]
async fn a_conditional_reference_may_name_a_person_since_it_stands_in_a_body() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    service.created(&reading(ragnhild(), "r", WHEN, "91")).await;
    let mut body = pulse(ragnhild(), "p", WHEN);
    body["subject"] = json!({ "reference": format!("Patient?identifier={}", number(ragnhild())) });
    let sent = transaction(&[sending("POST", "Observation", &body)]);
    let reply = service.post(&owner, "/", &sent).await;
    assert_eq!(told(&reply), ["201"], "{}", reply.json);
    let kept = service
        .get(&owner, &format!("/{}", address(&reply, 0)))
        .await;
    let subject = kept.json["subject"]["reference"].as_str().unwrap();
    assert!(subject.starts_with("Patient/"), "{subject}");
    assert_eq!(
        found(
            &service
                .search(&owner, "Observation", &[("patient", subject)])
                .await
        )
        .len(),
        2
    );
    for entry in service.audit().await {
        assert!(!entry.record.asked.contains(&ragnhild().number));
    }
}

#[tokio::test]
async fn reads_see_what_the_transaction_wrote_and_one_that_cannot_be_read_stops_it() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service.created(&reading(ragnhild(), "r", WHEN, "91")).await;
    let url = format!("Observation/{id}");
    let status = json!([{ "op": "replace", "path": "/status", "value": "amended" }]);
    let change = |version: &str| with(patching(&url, &status), "ifMatch", version);
    let post = sending("POST", "Observation", &pulse(ragnhild(), "p", WHEN));
    let before = service.audit().await.len();
    let reply = service
        .post(
            &owner,
            "/",
            &transaction(&[
                asks("GET", &url),
                asks("GET", "Observation?status=amended"),
                change("W/\"1\""),
                post.clone(),
                asks("GET", &format!("{url}/_history")),
            ]),
        )
        .await;
    assert_eq!(
        told(&reply),
        ["200", "200", "200", "201", "200"],
        "{}",
        reply.json
    );
    let entry = |n: usize| &reply.json["entry"][n];
    assert_eq!(entry(0)["resource"]["status"], "amended");
    assert_eq!(entry(0)["response"]["etag"], "W/\"2\"");
    assert_eq!(entry(1)["resource"]["total"], 1);
    assert_eq!(entry(4)["resource"]["entry"].as_array().unwrap().len(), 2);
    // The change's record, and one for each read.
    assert_eq!(service.audit().await.len() - before, 4);
    let other = sending("POST", "Observation", &pulse(ragnhild(), "q", WHEN));
    for (asked, status, issue) in [
        (
            vec![asks(
                "GET",
                "Observation/00000000-0000-4000-8000-000000000001",
            )],
            422,
            "not-found @ Bundle.entry[1].request.url",
        ),
        (
            vec![asks("GET", "Observation?colour=red")],
            422,
            "not-supported @ Bundle.entry[1].request.url",
        ),
        (
            vec![asks("GET", &url), asks("DELETE", &url)],
            422,
            "not-found @ Bundle.entry[1].request.url",
        ),
    ] {
        let mut entries = vec![other.clone()];
        entries.extend(asked);
        let reply = service.post(&owner, "/", &transaction(&entries)).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.json);
        assert_eq!(issues(&reply.json), [issue]);
        let all = found(&service.search(&owner, "Observation", &[]).await);
        assert_eq!(all.len(), 2);
    }
}

#[tokio::test]
async fn what_only_the_store_can_find_is_told_by_entry_and_all_at_once() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service.created(&reading(ragnhild(), "r", WHEN, "91")).await;
    let gone = service.created(&pulse(ragnhild(), "gone", WHEN)).await;
    service
        .delete(&owner, &format!("/Observation/{gone}"), None)
        .await;
    let mut update = reading(ragnhild(), "r", WHEN, "92");
    update["id"] = id.clone().into();
    let sent = transaction(&[
        sending("POST", "Observation", &reading(arne(), "new", WHEN, "95")),
        with(
            sending("PUT", &format!("Observation/{id}"), &update),
            "ifMatch",
            "W/\"9\"",
        ),
        asks("DELETE", &format!("Observation/{gone}")),
        asks("DELETE", "Observation/00000000-0000-4000-8000-000000000001"),
    ]);
    let reply = service.post(&owner, "/", &sent).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut told = issues(&reply.json);
    told.sort();
    assert_eq!(
        told,
        [
            "conflict @ Bundle.entry[1].request.ifMatch",
            "deleted @ Bundle.entry[2].request.url",
            "not-found @ Bundle.entry[3].request.url",
        ]
    );
    // The reading that was there under other content.
    let mut other = reading(ragnhild(), "r", WHEN, "19");
    other["note"] = json!([{ "text": "x" }]);
    let sent = transaction(&[
        sending("POST", "Observation", &reading(arne(), "new", WHEN, "95")),
        sending("POST", "Observation", &other),
    ]);
    let reply = service.post(&owner, "/", &sent).await;
    assert_eq!(
        issues(&reply.json),
        ["duplicate @ Bundle.entry[1].resource"]
    );
    let left = found(&service.search(&owner, "Observation", &[]).await);
    assert_eq!(left, [id]);
}

#[tokio::test]
async fn the_same_transaction_sent_many_times_at_once_makes_one_set() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let mut first = reading(ragnhild(), "a", WHEN, "91");
    first["derivedFrom"] = json!([as_version(B)]);
    let sent = transaction(&[
        named(sending("POST", "Observation", &first), A),
        named(
            sending("POST", "Observation", &pulse(ragnhild(), "b", WHEN)),
            B,
        ),
    ])
    .to_string();
    let alone = pulse(ragnhild(), "b", WHEN).to_string();
    let mut senders = tokio::task::JoinSet::new();
    for n in 0..12 {
        let (door, owner) = (service.door.clone(), owner.clone());
        // One of them meanwhile alone, too: it may come between a look and a commit.
        let (path, body) = if n % 3 == 2 {
            ("/Observation", alone.clone())
        } else {
            ("/", sent.clone())
        };
        senders.spawn(async move { door.post(path, body).by(&owner, NOW).send().await.status });
    }
    let statuses = senders.join_all().await;
    assert!(statuses.iter().all(|one| one.is_success()), "{statuses:?}");
    let all = found(&service.search(&owner, "Observation", &[]).await);
    assert_eq!(all.len(), 2);
}
