//! Entries of a batch: each is what it would be alone, reads, patches, conditions and preferences too, with a record of its
//! own.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use trust::audit::Outcome;
use trust::{ClientUse, Interaction};

const WHEN: &str = "2026-11-20T08:00:00+01:00";

pub fn batch(entries: &[Value]) -> Value {
    json!({ "resourceType": "Bundle", "type": "batch", "entry": entries })
}

pub fn asks(method: &str, url: &str) -> Value {
    json!({ "request": { "method": method, "url": url } })
}

pub fn with(mut entry: Value, member: &str, value: &str) -> Value {
    entry["request"][member] = value.into();
    entry
}

pub fn sending(method: &str, url: &str, resource: &Value) -> Value {
    json!({ "resource": resource, "request": { "method": method, "url": url } })
}

/// A patch as FHIR R4 has it in a bundle: a Binary.
pub fn patching(url: &str, operations: &Value) -> Value {
    let data = base64(operations.to_string().as_bytes());
    sending(
        "PATCH",
        url,
        &json!({ "resourceType": "Binary", "contentType": "application/json-patch+json", "data": data }),
    )
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let three = u32::from(chunk[0]) << 16
            | u32::from(*chunk.get(1).unwrap_or(&0)) << 8
            | u32::from(*chunk.get(2).unwrap_or(&0));
        for n in 0..4 {
            out.push(if n <= chunk.len() {
                char::from(LETTERS[(three >> (18 - 6 * n)) as usize & 63])
            } else {
                '='
            });
        }
    }
    out
}

/// The three digits of each entry's status.
pub fn told(reply: &Reply) -> Vec<&str> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let entries = reply.json["entry"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| &entry["response"]["status"].as_str().unwrap()[..3])
        .collect()
}

fn outcome(reply: &Reply, n: usize) -> Vec<String> {
    issues(&reply.json["entry"][n]["response"]["outcome"])
}

async fn send(service: &Service, who: &Held, entries: &[Value]) -> Reply {
    service.post(who, "/", &batch(entries)).await
}

async fn prefer(service: &Service, who: &Held, preference: &str, sent: &Value) -> Reply {
    let knock = service.door.post("/", sent.to_string());
    let knock = knock.header("prefer", preference);
    knock.by(who, service.clock.now()).send().await
}

#[tokio::test]
async fn a_batch_reads_as_alone_and_each_read_is_on_record() {
    let service = Service::fjellvik().await;
    let hers = service
        .created(&reading(ragnhild(), "r", WHEN, "91.0"))
        .await;
    let his = service.created(&reading(arne(), "a", WHEN, "95")).await;
    let url = format!("Observation/{hers}");
    let physician = service.physician(ragnhild());
    let before = service.audit().await.len();
    let entries = [
        asks("GET", &url),
        asks("GET", &format!("{url}/_history/1")),
        asks("GET", &format!("{url}/_history")),
        asks("GET", "Observation?code=59408-5"),
        asks("GET", &format!("Observation/{his}")),
        with(asks("GET", &url), "ifNoneMatch", "W/\"1\""),
        with(asks("GET", &url), "ifModifiedSince", "2026-11-21T09:00:00Z"),
        with(asks("GET", &url), "ifModifiedSince", "2026-11-20T09:00:00Z"),
        asks("GET", "Observation/_history"),
    ];
    let reply = send(&service, &physician, &entries).await;
    assert_eq!(
        told(&reply),
        [
            "200", "200", "200", "200", "404", "304", "304", "200", "200"
        ],
        "{}",
        reply.json
    );
    let alone = service.get(&physician, &format!("/{url}")).await;
    let entry = |n: usize| &reply.json["entry"][n];
    for n in [0, 1, 7] {
        assert_eq!(entry(n)["resource"], alone.json);
        assert_eq!(entry(n)["response"]["etag"], "W/\"1\"");
        assert_eq!(entry(n)["response"]["lastModified"], "2026-11-21T09:00:00Z");
    }
    assert_eq!(entry(5).get("resource"), None);
    assert_eq!(entry(2)["resource"]["type"], "history");
    assert_eq!(entry(3)["resource"]["type"], "searchset");
    assert_eq!(entry(3)["resource"]["entry"].as_array().unwrap().len(), 1);
    assert_eq!(
        outcome(&reply, 4),
        ["not-found @ Bundle.entry[4].request.url"]
    );
    // The bundle's record and one for each entry, with what it gave out.
    let records = service.audit().await;
    let records = &records[1..records.len() - before];
    assert_eq!(records.len(), entries.len() + 1);
    let of = |n: usize| {
        let place = format!("Bundle.entry[{n}] ");
        let found = records.iter().find(|e| e.record.asked.starts_with(&place));
        &found.unwrap().record
    };
    for n in [0, 1, 2, 3, 5, 6, 7, 8] {
        assert_eq!(of(n).disclosed.len(), 1, "{n}");
        assert_eq!(of(n).patient, Some(identifier(ragnhild())));
        assert_eq!(of(n).request_id, reply.header("x-request-id"));
    }
    assert!(matches!(of(4).outcome, Outcome::Failed { .. }));
    assert_eq!(of(3).interaction, Interaction::Search);
    assert_eq!(of(3).asked, "Bundle.entry[3] GET Observation code=59408-5");
    assert!(!String::from_utf8_lossy(&reply.body).contains(&his));
}

#[tokio::test]
async fn a_persons_number_in_an_entrys_url_is_refused_and_kept_nowhere() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    service.created(&reading(ragnhild(), "r", WHEN, "91")).await;
    let named = format!("Observation?patient.identifier={}", number(ragnhild()));
    let correction = reading(ragnhild(), "r", WHEN, "92");
    let patch = json!([{ "op": "replace", "path": "/status", "value": "amended" }]);
    let reply = send(
        &service,
        &owner,
        &[
            asks("GET", &named),
            asks("DELETE", &named),
            sending("PUT", &named, &correction),
            patching(&named, &patch),
            asks("GET", "Observation?colour=red"),
            asks("GET", "Practitioner/1"),
            asks("GET", "Observation/1"),
        ],
    )
    .await;
    assert_eq!(
        told(&reply),
        ["400", "400", "400", "400", "400", "422", "422"],
        "{}",
        reply.json
    );
    for n in 0..5 {
        assert!(
            outcome(&reply, n)[0].ends_with(&format!("@ Bundle.entry[{n}].request.url")),
            "{}",
            reply.json
        );
    }
    for entry in service.audit().await {
        assert!(!entry.record.asked.contains(&ragnhild().number));
    }
    // In a transaction the whole is refused.
    let mut whole = batch(&[asks("GET", &named), asks("DELETE", &named)]);
    whole["type"] = "transaction".into();
    let reply = service.post(&owner, "/", &whole).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        found(&service.search(&owner, "Observation", &[]).await).len(),
        1
    );
}

#[tokio::test]
async fn a_patch_in_a_batch_is_a_binary_and_does_what_it_does_alone() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service
        .created(&reading(ragnhild(), "r", WHEN, "91.0"))
        .await;
    let url = format!("Observation/{id}");
    let status = |to: &str| json!([{ "op": "replace", "path": "/status", "value": to }]);
    let put = |value| with(patching(&url, &status(value)), "ifMatch", "W/\"1\"");
    let mut form = put("amended");
    form["resource"]["contentType"] = "application/fhir+json".into();
    let mut garbled = put("amended");
    garbled["resource"]["data"] = "%".into();
    let mut bare = put("amended");
    bare.as_object_mut().unwrap().remove("resource");
    let nowhere = json!([{ "op": "remove", "path": "/nothing" }]);
    let reply = send(
        &service,
        &owner,
        &[
            put("amended"),
            put("corrected"),
            patching(&url, &status("corrected")),
            form,
            garbled,
            bare,
            with(patching(&url, &nowhere), "ifMatch", "W/\"2\""),
            with(patching(&url, &status("done")), "ifMatch", "W/\"2\""),
            with(
                patching(
                    "Observation?identifier=urn:example:readings|r",
                    &status("corrected"),
                ),
                "ifMatch",
                "W/\"2\"",
            ),
            patching("Observation?identifier=urn:x|none", &status("final")),
        ],
    )
    .await;
    assert_eq!(
        told(&reply),
        [
            "200", "412", "428", "422", "422", "422", "422", "422", "200", "404"
        ],
        "{}",
        reply.json
    );
    for (n, expected) in [
        (1, "conflict @ Bundle.entry[1].request.ifMatch"),
        (2, "required @ Bundle.entry[2].request.ifMatch"),
        (3, "not-supported @ Bundle.entry[3].resource.contentType"),
        (4, "value @ Bundle.entry[4].resource.data"),
        (5, "required @ Bundle.entry[5].resource"),
        (6, "processing @ Bundle.entry[6].resource"),
        (7, "code-invalid @ Bundle.entry[7].resource.status"),
        (9, "not-found @ Bundle.entry[9].request.url"),
    ] {
        assert_eq!(outcome(&reply, n), [expected]);
    }
    let read = service.get(&owner, &format!("/{url}")).await;
    assert_eq!(
        (&read.json["status"], read.header("etag")),
        (&json!("corrected"), "W/\"3\"")
    );
    assert!(String::from_utf8_lossy(&read.body).contains("91.0"));
}

#[tokio::test]
async fn conditions_in_a_batch_are_what_they_are_alone() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let id = service.created(&reading(ragnhild(), "r", WHEN, "91")).await;
    service.created(&pulse(ragnhild(), "p", WHEN)).await;
    let of_her = format!(
        "identifier=urn:example:readings|r&patient.identifier={}",
        number(ragnhild())
    );
    let mut corrected = reading(ragnhild(), "r", WHEN, "92");
    corrected["status"] = "corrected".into();
    let post = |condition: &str, body: &Value| {
        with(
            sending("POST", "Observation", body),
            "ifNoneExist",
            condition,
        )
    };
    let by = |key: &str| format!("Observation?identifier=urn:example:readings|{key}");
    let reply = send(
        &service,
        &owner,
        &[
            post(&of_her, &corrected),
            post(
                "identifier=urn:example:readings|new",
                &reading(ragnhild(), "new", WHEN, "93"),
            ),
            post("status=final", &corrected),
            post("", &corrected),
            sending("PUT", &by("r"), &corrected),
            with(sending("PUT", &by("r"), &corrected), "ifMatch", "W/\"1\""),
            sending(
                "PUT",
                &by("other"),
                &reading(ragnhild(), "other", WHEN, "94"),
            ),
            asks("DELETE", "Observation?status=final"),
            asks("DELETE", &by("p")),
            asks("DELETE", "Observation?_count=1"),
        ],
    )
    .await;
    assert_eq!(
        told(&reply),
        [
            "200", "201", "412", "422", "428", "200", "201", "412", "204", "422"
        ],
        "{}",
        reply.json
    );
    assert_eq!(
        reply.json["entry"][0]["response"]["location"],
        format!("Observation/{id}/_history/1")
    );
    assert_eq!(
        outcome(&reply, 2),
        ["multiple-matches @ Bundle.entry[2].request.ifNoneExist"]
    );
    assert_eq!(
        outcome(&reply, 7),
        ["multiple-matches @ Bundle.entry[7].request.url"]
    );
    let all = found(&service.search(&owner, "Observation", &[]).await);
    assert_eq!(all.len(), 3);
}

#[tokio::test]
async fn what_the_sender_prefers_is_in_each_entry() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    for kind in ["batch", "transaction"] {
        let id = service
            .created(&reading(ragnhild(), kind, WHEN, "91.0"))
            .await;
        let gone = service
            .created(&pulse(ragnhild(), &format!("{kind}-gone"), WHEN))
            .await;
        for (n, preference) in [
            "return=minimal",
            "return=representation",
            "return=OperationOutcome",
        ]
        .into_iter()
        .enumerate()
        {
            let mut update = reading(ragnhild(), kind, WHEN, &format!("9{n}"));
            update["id"] = id.clone().into();
            let mut sent = batch(&[
                sending(
                    "POST",
                    "Observation",
                    &reading(ragnhild(), &format!("{kind}-{n}"), WHEN, "90"),
                ),
                with(
                    sending("PUT", &format!("Observation/{id}"), &update),
                    "ifMatch",
                    &format!("W/\"{}\"", n + 1),
                ),
                with(
                    sending("POST", "Observation", &reading(ragnhild(), "x", WHEN, "90")),
                    "ifNoneExist",
                    &format!("identifier=urn:example:readings|{kind}-gone"),
                ),
                asks("GET", &format!("Observation/{gone}")),
            ]);
            sent["type"] = kind.into();
            let reply = prefer(&service, &owner, preference, &sent).await;
            assert_eq!(told(&reply), ["201", "200", "200", "200"], "{}", reply.json);
            let entries = reply.json["entry"].as_array().unwrap();
            for (at, entry) in entries[..3].iter().enumerate() {
                let location = entry["response"]["location"].as_str().unwrap();
                assert_eq!(
                    entry.get("resource").is_some(),
                    preference == "return=representation"
                );
                assert_eq!(
                    entry["response"].get("outcome").is_some(),
                    preference == "return=OperationOutcome"
                );
                if let Some(resource) = entry.get("resource") {
                    let rests = service.get(&owner, &format!("/{location}")).await;
                    assert_eq!(resource, &rests.json, "{at}");
                }
            }
            assert_eq!(entries[3]["resource"]["id"], gone);
        }
    }
}

/// What each kind of caller gets for each kind of entry. A change here is a change of who may do what.
#[tokio::test]
async fn every_kind_of_entry_and_every_kind_of_caller() {
    let service = Service::fjellvik().await;
    let id = service.created(&reading(ragnhild(), "r", WHEN, "91")).await;
    let url = format!("Observation/{id}");
    let status = json!([{ "op": "replace", "path": "/status", "value": "amended" }]);
    let mut update = reading(ragnhild(), "r", WHEN, "92");
    update["id"] = id.clone().into();
    // Each is refused, or says what it would take: none of them changes anything.
    let entries = [
        asks("GET", &url),
        asks("GET", &format!("{url}/_history/1")),
        asks("GET", &format!("{url}/_history")),
        asks("GET", "Observation"),
        with(
            sending("POST", "Observation", &reading(ragnhild(), "n", WHEN, "9")),
            "ifNoneExist",
            "identifier=urn:example:readings|r",
        ),
        with(sending("PUT", &url, &update), "ifMatch", "W/\"7\""),
        with(patching(&url, &status), "ifMatch", "W/\"7\""),
        with(asks("DELETE", &url), "ifMatch", "W/\"7\""),
        asks("DELETE", "Observation?identifier=urn:x|none"),
    ];
    let own = |scope: &str| service.system(ClientUse::RecordSystem, FJELLVIK, scope);
    let callers = [
        ("record system", own("system/*.cruds")),
        ("record system, create", own("system/Observation.c")),
        (
            "record system, create and search",
            own("system/Observation.cs"),
        ),
        (
            "record system, create and read",
            own("system/Observation.cr"),
        ),
        ("record system, update", own("system/Observation.cu")),
        ("record system, delete", own("system/Observation.cds")),
        ("record system, another type", own("system/CarePlan.cruds")),
        ("another organisation's", service.record_system(PROVEBAKKEN)),
        ("hub", service.hub(FJELLVIK)),
        ("physician", service.physician(ragnhild())),
        ("physician, another patient", service.physician(arne())),
        ("citizen", service.citizen(ragnhild())),
    ];
    let mut matrix =
        String::from("read version history search create? update patch delete delete?\n");
    for (name, who) in &callers {
        let mut row = Vec::new();
        for entry in &entries {
            let reply = send(&service, who, std::slice::from_ref(entry)).await;
            row.push(if reply.status == StatusCode::OK {
                let entry = &reply.json["entry"][0];
                match entry["resource"]["entry"].as_array() {
                    Some(found) => format!("{} of {}", told(&reply)[0], found.len()),
                    None if entry["resource"]["type"] == "searchset" => "200 of 0".to_owned(),
                    None => told(&reply)[0].to_owned(),
                }
            } else {
                format!("({})", reply.status.as_u16())
            });
        }
        matrix.push_str(&format!("{name}: {}\n", row.join(", ")));
    }
    insta::assert_snapshot!(matrix);
    let read = service
        .get(&service.record_system(FJELLVIK), &format!("/{url}"))
        .await;
    assert_eq!(read.header("etag"), "W/\"1\"");
}

#[tokio::test]
async fn the_reads_of_one_bundle_give_no_more_than_one_answer_may_hold() {
    let service = Service::fjellvik().await;
    let owner = service.record_system(FJELLVIK);
    let readings: Vec<Value> = (0..200)
        .map(|n| reading(ragnhild(), &format!("r-{n}"), WHEN, "91"))
        .collect();
    let sent = service
        .post(&owner, "/", &bundle("collection", &readings))
        .await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.json);
    let physician = service.physician(ragnhild());
    let entries: Vec<Value> = (0..7)
        .map(|_| asks("GET", "Observation?_count=200"))
        .collect();
    for kind in ["batch", "transaction"] {
        let mut sent = batch(&entries);
        sent["type"] = kind.into();
        let reply = service.post(&physician, "/", &sent).await;
        assert_eq!(
            told(&reply),
            ["200", "200", "200", "200", "200", "400", "400"]
        );
        assert_eq!(
            outcome(&reply, 6),
            ["too-costly @ Bundle.entry[6].request.url"]
        );
        let trail = service.audit().await;
        let failed = trail.iter().take(2).all(|entry| {
            matches!(entry.record.outcome, Outcome::Failed { .. })
                && entry.record.disclosed.is_empty()
        });
        assert!(failed, "each is on record");
    }
    // What only one of them asks for is given.
    let alone = send(&service, &physician, &entries[..1]).await;
    assert_eq!(told(&alone), ["200"]);
}
