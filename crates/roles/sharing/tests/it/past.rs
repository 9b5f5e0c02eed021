//! Versions: read by number, listed as a history, and not sent again to who holds them.

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use trust::audit::{Disclosed, Outcome};

const WHEN: &str = "2026-11-20T08:00:00+01:00";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000001";

/// A reading in two versions, the second a minute later.
async fn corrected(service: &Service, of: &testkit::people::Patient, key: &str) -> String {
    let id = service.created(&reading(of, key, WHEN, "91")).await;
    service.clock.advance(60_000_000);
    let mut body = reading(of, key, WHEN, "92.50");
    body["id"] = id.clone().into();
    body["status"] = "corrected".into();
    let owner = service.record_system(FJELLVIK);
    let reply = service
        .put(
            &owner,
            &format!("/Observation/{id}"),
            Some("W/\"1\""),
            &body,
        )
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    id
}

async fn withdrawn(service: &Service, id: &str) {
    service.clock.advance(60_000_000);
    let owner = service.record_system(FJELLVIK);
    let reply = service
        .delete(&owner, &format!("/Observation/{id}"), None)
        .await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
}

/// A history's entries as `METHOD url status etag value`.
fn told(reply: &Reply) -> Vec<String> {
    assert_eq!(
        (reply.status, &reply.json["type"]),
        (StatusCode::OK, &json!("history")),
        "{}",
        reply.json
    );
    let none = Vec::new();
    let entries = reply.json["entry"].as_array().unwrap_or(&none);
    entries
        .iter()
        .map(|entry| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let (request, response) = (&entry["request"], &entry["response"]);
            let id = entry["fullUrl"]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap();
            format!(
                "{} {} {} {} {}",
                text(&request["method"]),
                text(&request["url"]).replace(id, "ID"),
                text(&response["status"]),
                text(&response["etag"]),
                entry["resource"]["valueQuantity"]["value"]
            )
        })
        .collect()
}

const WHOLE: [&str; 3] = [
    "DELETE Observation/ID 204 W/\"3\" null",
    "PUT Observation/ID 200 W/\"2\" 92.5",
    "POST Observation 201 W/\"1\" 91",
];

fn all(service: &Service) -> [Held; 3] {
    [
        service.physician(ragnhild()),
        service.citizen(ragnhild()),
        service.record_system(FJELLVIK),
    ]
}

#[tokio::test]
async fn each_version_is_read_by_its_number() {
    let service = Service::fjellvik().await;
    let id = corrected(&service, ragnhild(), "r-1").await;
    for who in all(&service) {
        for (version, value) in [("1", "\"value\":91,"), ("2", "\"value\":92.5,")] {
            let path = format!("/Observation/{id}/_history/{version}");
            let reply = service.get(&who, &path).await;
            assert_eq!(
                (reply.status, reply.header("etag")),
                (StatusCode::OK, format!("W/\"{version}\"").as_str())
            );
            assert_eq!(reply.json["meta"]["versionId"], version);
            let sent = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(sent.contains(value), "{sent}");
            let record = service.last_record().await;
            assert_eq!(
                (record.outcome, record.asked),
                (Outcome::Allowed, format!("GET {path}"))
            );
            let given = Disclosed {
                resource: "Observation".into(),
                id: id.clone(),
                version: version.parse().unwrap(),
            };
            assert_eq!(record.disclosed, [given]);
        }
    }
}

#[tokio::test]
async fn hidden_unknown_and_impossible_versions_look_the_same() {
    let service = Service::fjellvik().await;
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    let live = corrected(&service, arne(), "a-1").await;
    let gone = corrected(&service, arne(), "a-2").await;
    withdrawn(&service, &gone).await;
    let own = corrected(&service, ragnhild(), "r-2").await;
    for who in [service.physician(ragnhild()), service.citizen(ragnhild())] {
        let unknown = service
            .get(&who, &format!("/Observation/{UNKNOWN}/_history/1"))
            .await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        for path in [
            format!("/Observation/{live}/_history/1"),
            format!("/Observation/{gone}/_history/3"),
            format!("/Observation/{live}/_history"),
            format!("/Observation/{gone}/_history"),
            format!("/Observation/{UNKNOWN}/_history"),
            format!("/Observation/{live}/_history?_since=2026-01-01T00:00:00Z"),
            format!("/CarePlan/{own}/_history/1"),
            format!("/Observation/{own}/_history/0"),
            format!("/Observation/{own}/_history/01"),
            format!("/Observation/{own}/_history/3"),
            format!("/Observation/{own}/_history/-1"),
            "/AuditEvent/1/_history/1".to_owned(),
            "/AuditEvent/_history".to_owned(),
            "/Practitioner/_history".to_owned(),
        ] {
            let hidden = service.get(&who, &path).await;
            assert_eq!(hidden.visible(), unknown.visible(), "{path}");
            assert!(service.last_record().await.disclosed.is_empty());
        }
    }
}

#[tokio::test]
async fn what_was_withdrawn_is_gone_and_its_past_is_its_owners() {
    let service = Service::fjellvik().await;
    let id = corrected(&service, ragnhild(), "r-1").await;
    withdrawn(&service, &id).await;
    let [physician, citizen, owner] = all(&service);
    for who in [&physician, &citizen] {
        for version in 1..=3 {
            let path = format!("/Observation/{id}/_history/{version}");
            let reply = service.get(who, &path).await;
            assert_eq!(
                (reply.status, issues(&reply.json)),
                (StatusCode::GONE, vec!["deleted @ -".to_owned()])
            );
        }
        let history = service
            .get(who, &format!("/Observation/{id}/_history"))
            .await;
        assert_eq!(told(&history), WHOLE[..1]);
    }
    let path = format!("/Observation/{id}/_history");
    assert_eq!(
        service.get(&owner, &format!("{path}/2")).await.status,
        StatusCode::OK
    );
    assert_eq!(
        service.get(&owner, &format!("{path}/3")).await.status,
        StatusCode::GONE
    );
    assert_eq!(told(&service.get(&owner, &path).await), WHOLE);
    let record = service.last_record().await;
    assert_eq!(
        record.patient,
        Some(identifier(ragnhild())),
        "the patient finds it in her trail"
    );
    assert_eq!(record.disclosed.len(), 3);
}

#[tokio::test]
async fn a_types_history_is_the_patients_and_pages_to_its_end() {
    let service = Service::fjellvik().await;
    for key in ["r-1", "r-2", "r-3"] {
        corrected(&service, ragnhild(), key).await;
    }
    corrected(&service, arne(), "a-1").await;
    for (who, count) in [
        (service.physician(ragnhild()), 6),
        (service.citizen(arne()), 2),
        (service.record_system(FJELLVIK), 8),
    ] {
        let whole = service.get(&who, "/Observation/_history").await;
        assert_eq!(
            (told(&whole).len(), &whole.json["total"]),
            (count, &json!(count))
        );
        let mut page = service.get(&who, "/Observation/_history?_count=3").await;
        let mut paged = told(&page);
        while let Some(next) = page.next() {
            assert!(next.starts_with(&format!("{}/_page/", service.base)));
            page = service.get(&who, next).await;
            paged.extend(told(&page));
        }
        assert_eq!(paged, told(&whole));
    }
    let physician = service.physician(ragnhild());
    let first = service
        .get(&physician, "/Observation/_history?_count=2")
        .await;
    assert_eq!(
        first.link("self").unwrap(),
        format!("{}/Observation/_history?_count=2", service.base)
    );
    let next = first.next().unwrap().to_owned();
    for other in [service.physician(arne()), service.citizen(ragnhild())] {
        assert_eq!(
            service.get(&other, &next).await.status,
            StatusCode::NOT_FOUND
        );
    }
    let newest = whole_second(&first.json["entry"][0]["response"]["lastModified"]);
    let since = format!("/Observation/_history?_since={newest}");
    assert_eq!(told(&service.get(&physician, &since).await).len(), 1);
}

fn whole_second(instant: &Value) -> String {
    instant.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_history_takes_since_and_count_and_nothing_else() {
    let service = Service::fjellvik().await;
    let id = corrected(&service, ragnhild(), "r-1").await;
    let who = service.physician(ragnhild());
    for (query, issue) in [
        ("_since=2026", "value @ _since"),
        ("_since=", "value @ _since"),
        ("_count=0", "value @ _count"),
        ("_count=201", "value @ _count"),
        ("_count=%2B5", "value @ _count"),
        ("_count=5&_count=5", "value @ _count"),
        ("_at=2026", "not-supported @ -"),
        ("patient=x", "not-supported @ -"),
        ("_since=%zz", "invalid @ -"),
    ] {
        for path in [
            format!("/Observation/{id}/_history"),
            "/Observation/_history".into(),
        ] {
            let reply = service.get(&who, &format!("{path}?{query}")).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
            assert_eq!(issues(&reply.json), [issue], "{query}");
        }
    }
    let empty = service
        .get(
            &who,
            &format!("/Observation/{id}/_history?_since=2027-01-01T00:00:00Z"),
        )
        .await;
    assert_eq!((told(&empty).len(), &empty.json["total"]), (0, &json!(0)));
}

#[tokio::test]
async fn who_holds_the_version_is_not_sent_it_again() {
    let service = Service::fjellvik().await;
    let id = corrected(&service, ragnhild(), "r-1").await;
    let who = service.physician(ragnhild());
    let plain = service.get(&who, &format!("/Observation/{id}")).await;
    let modified = plain.header("last-modified").to_owned();
    for (name, value, status) in [
        ("if-none-match", "W/\"2\"", 304),
        ("if-none-match", "\"2\"", 304),
        ("if-none-match", "W/\"1\", W/\"2\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "W/\"1\"", 200),
        ("if-none-match", "2", 400),
        ("if-none-match", "*, W/\"2\"", 400),
        ("if-modified-since", modified.as_str(), 304),
        ("if-modified-since", "Sat, 21 Nov 2026 08:59:59 GMT", 200),
        ("if-modified-since", "Sun, 21 Nov 2032 09:00:00 GMT", 304),
        ("if-modified-since", "yesterday", 200),
    ] {
        for path in [
            format!("/Observation/{id}"),
            format!("/Observation/{id}/_history/2"),
        ] {
            let reply = service
                .door
                .get(&path)
                .header(name, value)
                .by(&who, service.clock.now())
                .send()
                .await;
            assert_eq!(reply.status.as_u16(), status, "{name}: {value}");
            if status == 304 {
                assert!(reply.body.is_empty());
                assert_eq!(
                    (
                        reply.header("etag"),
                        reply.header("last-modified"),
                        reply.header("content-type")
                    ),
                    ("W/\"2\"", modified.as_str(), "")
                );
                let record = service.last_record().await;
                assert_eq!(
                    (record.outcome, record.disclosed.len()),
                    (Outcome::Allowed, 1)
                );
            }
        }
    }
    // The entity tag decides where both are sent (RFC 9110 section 13.1.3).
    let both = service
        .door
        .get(&format!("/Observation/{id}"))
        .header("if-none-match", "W/\"1\"")
        .header("if-modified-since", &modified)
        .by(&who, service.clock.now())
        .send()
        .await;
    assert_eq!(both.status, StatusCode::OK);
    // Whether it is unchanged is not told to whom it is hidden.
    let other = service
        .door
        .get(&format!("/Observation/{id}"))
        .header("if-none-match", "*")
        .by(&service.physician(arne()), service.clock.now())
        .send()
        .await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}
