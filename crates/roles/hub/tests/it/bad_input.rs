//! Bad input: 4xx with the place, or kept aside; never 5xx, never silence (issue 2, "Bad input").

use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use trust::audit::Outcome;

fn with(change: &dyn Fn(&mut Value)) -> Value {
    let mut body = reading(ragnhild(), "r-1", 91);
    change(&mut body);
    body
}

/// Resources that are refused.
fn resources() -> Vec<(&'static str, Value)> {
    vec![
        ("an empty object", json!({})),
        ("an unknown type", json!({ "resourceType": "Foo" })),
        ("another type", json!({ "resourceType": "Patient" })),
        ("a type that is no text", json!({ "resourceType": 7 })),
        (
            "no status",
            with(&|b| {
                b.as_object_mut().unwrap().remove("status");
            }),
        ),
        (
            "an unknown status",
            with(&|b| b["status"] = "ferdig".into()),
        ),
        (
            "a status that is a number",
            with(&|b| b["status"] = 1.into()),
        ),
        (
            "no code",
            with(&|b| {
                b.as_object_mut().unwrap().remove("code");
            }),
        ),
        ("a code that is text", with(&|b| b["code"] = "SpO2".into())),
        (
            "an unknown category",
            with(
                &|b| b["category"] = json!([{ "coding": [{ "system": fhir::systems::OBSERVATION_CATEGORY, "code": "vital" }] }]),
            ),
        ),
        (
            "no subject",
            with(&|b| {
                b.as_object_mut().unwrap().remove("subject");
            }),
        ),
        (
            "a subject nobody finds",
            with(&|b| b["subject"] = json!({ "display": "Ragnhild" })),
        ),
        (
            "a local subject",
            with(&|b| {
                b["subject"] =
                    json!({ "reference": "Patient/00000000-0000-4000-8000-000000000001" })
            }),
        ),
        (
            "a wrong control digit",
            with(&|b| b["subject"]["identifier"]["value"] = "14835210261".into()),
        ),
        (
            "no time",
            with(&|b| {
                b.as_object_mut().unwrap().remove("effectiveDateTime");
            }),
        ),
        (
            "an impossible date",
            with(&|b| b["effectiveDateTime"] = "2026-02-30".into()),
        ),
        (
            "an impossible hour",
            with(&|b| b["effectiveDateTime"] = "2026-02-20T25:00:00Z".into()),
        ),
        (
            "two times",
            with(&|b| b["effectiveInstant"] = "2026-02-20T08:00:00Z".into()),
        ),
        (
            "a value that is text",
            with(&|b| b["valueQuantity"]["value"] = "91".into()),
        ),
        ("two values", with(&|b| b["valueString"] = "91".into())),
        ("an unknown element", with(&|b| b["svar"] = 1.into())),
        (
            "a list where one is meant",
            with(&|b| b["status"] = json!(["final"])),
        ),
        ("null", with(&|b| b["status"] = Value::Null)),
        ("an empty list", with(&|b| b["note"] = json!([]))),
        ("an empty string", with(&|b| b["code"]["text"] = "".into())),
    ]
}

#[tokio::test]
async fn each_wrong_resource_is_refused_with_its_place_alone_and_in_a_bundle() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let mut table = String::new();
    for (name, body) in resources() {
        let alone = hub.post(&home, "/fhir/Observation", &body).await;
        assert_eq!(
            alone.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{name}: {}",
            alone.json
        );
        assert!(
            matches!(hub.audit().await[0].record.outcome, Outcome::Failed { .. }),
            "{name}"
        );
        let text = String::from_utf8_lossy(&alone.body).into_owned();
        assert!(
            !text.contains(&ragnhild().number) && !text.contains("Ragnhild"),
            "{name} repeats something about a person"
        );
        let first = issues(&alone.json).remove(0);
        let diagnostics = alone.json["issue"][0]["diagnostics"].as_str().unwrap();
        assert!(!diagnostics.is_empty());
        table.push_str(&format!("{name}: {first}\n"));
        let reply = hub
            .post(
                &home,
                "/fhir",
                &bundle("batch", &[reading(ragnhild(), "good", 90), body]),
            )
            .await;
        assert_eq!(statuses(&reply)[1], 422, "{name}");
        let placed = issues(&reply.json["entry"][1]["response"]["outcome"]).remove(0);
        assert!(
            placed.contains(" @ Bundle.entry[1].resource"),
            "{name}: {placed}"
        );
    }
    insta::assert_snapshot!(table);
    assert_eq!(hub.waiting("310001007/sharing").await.len(), 1);
    assert_eq!(
        hub.aside(&home).await,
        [],
        "what is wrong is refused, not kept"
    );
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_whole() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let good = reading(ragnhild(), "r-1", 91).to_string();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("nothing", Vec::new(), 400),
        ("no JSON", b"{".to_vec(), 400),
        ("rubbish after it", format!("{good}x").into_bytes(), 400),
        ("two documents", format!("{good}{good}").into_bytes(), 400),
        (
            "bad UTF-8",
            [
                good.trim_end_matches('}').as_bytes(),
                b",\"note\":[{\"text\":\"\xff\"}]}",
            ]
            .concat(),
            400,
        ),
        (
            "a byte order mark",
            [b"\xef\xbb\xbf", good.as_bytes()].concat(),
            400,
        ),
        (
            "a lone surrogate",
            good.replace("final", "\\ud800").into_bytes(),
            400,
        ),
        (
            "a duplicate key",
            good.replacen("{", "{\"status\":\"final\",", 1).into_bytes(),
            400,
        ),
        (
            "a duplicate key by another escape",
            good.replacen("{", "{\"st\\u0061tus\":\"final\",", 1)
                .into_bytes(),
            400,
        ),
        ("NaN", good.replace("91", "NaN").into_bytes(), 400),
        (
            "a number with a leading zero",
            good.replace("91", "091").into_bytes(),
            400,
        ),
        (
            "a number of a thousand digits",
            good.replace("91", &"9".repeat(1000)).into_bytes(),
            400,
        ),
        (
            "too deep",
            [b"[".repeat(1000), b"]".repeat(1000)].concat(),
            400,
        ),
        ("too large", vec![b' '; (2 << 20) + 1], 413),
    ];
    for (name, body, status) in cases {
        for path in ["/fhir/Observation", "/fhir"] {
            let large = name == "too large" && path == "/fhir";
            let reply = hub.post_text(&home, path, body.clone()).await;
            let expected = if large { 400 } else { status };
            assert_eq!(
                reply.status.as_u16(),
                expected,
                "{name} {path}: {}",
                reply.json
            );
            assert!(!issues(&reply.json).is_empty());
            assert!(
                matches!(hub.audit().await[0].record.outcome, Outcome::Failed { .. }),
                "{name}"
            );
        }
    }
    let larger = hub
        .post_text(&home, "/fhir", vec![b' '; (10 << 20) + 1])
        .await;
    assert_eq!(larger.status, StatusCode::PAYLOAD_TOO_LARGE);
    for (media_type, accept, status) in [
        ("application/fhir+xml", "*/*", 415),
        ("text/plain", "*/*", 415),
        ("application/fhir+json", "application/fhir+xml", 406),
    ] {
        let knock = hub
            .door
            .knock(http::Method::POST, "/fhir/Observation")
            .header("content-type", media_type)
            .header("accept", accept)
            .body(good.clone());
        assert_eq!(
            knock.by(&home, NOW).send().await.status.as_u16(),
            status,
            "{media_type}"
        );
    }
    assert_eq!(hub.waiting("310001007/sharing").await, []);
}

#[tokio::test]
async fn bundles_that_are_none_are_refused_in_words() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let one = |kind: &str| bundle(kind, &[reading(ragnhild(), "r-1", 91)]);
    let crowd = vec![json!({ "resourceType": "Observation" }); 501];
    for (body, issue) in [
        (one("transaction"), "not-supported @ Bundle.type"),
        (one("history"), "not-supported @ Bundle.type"),
        (one("bunch"), "code-invalid @ Bundle.type"),
        (
            json!({ "resourceType": "Bundle" }),
            "required @ Bundle.type",
        ),
        (
            json!({ "resourceType": "Bundle", "type": 7, "entry": [] }),
            "required @ Bundle.type",
        ),
        (json!({}), "structure @ resourceType"),
        (json!([]), "structure @ resourceType"),
        (json!("Bundle"), "structure @ resourceType"),
        (reading(ragnhild(), "r-1", 91), "structure @ resourceType"),
        (
            json!({ "resourceType": "Bundle", "type": "batch" }),
            "required @ Bundle.entry",
        ),
        (
            json!({ "resourceType": "Bundle", "type": "collection", "entry": [] }),
            "required @ Bundle.entry",
        ),
        (
            json!({ "resourceType": "Bundle", "type": "batch", "entry": { "resource": reading(ragnhild(), "r-1", 91) } }),
            "structure @ Bundle.entry",
        ),
        (bundle("batch", &crowd), "too-long @ Bundle.entry"),
    ] {
        let reply = hub.post(&home, "/fhir", &body).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{issue}: {}",
            reply.json
        );
        assert_eq!(issues(&reply.json), [issue]);
    }
    assert_eq!(
        statuses(
            &hub.post(&home, "/fhir", &bundle("batch", &crowd[..500]))
                .await
        ),
        [422; 500]
    );
    assert_eq!(hub.waiting("310001007/sharing").await, []);
}

#[tokio::test]
async fn strange_entries_cost_only_themselves() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let body = |n: u32| reading(ragnhild(), &format!("r-{n}"), 91);
    let request = |method: &str| json!({ "method": method, "url": "Observation" });
    let mut long = body(7);
    long["note"] = json!([{ "text": "x".repeat(2 << 20) }]);
    let entries = [
        (
            json!({ "fullUrl": "urn:x" }),
            422,
            "required @ Bundle.entry[0].resource",
        ),
        (json!(7), 422, "required @ Bundle.entry[1].resource"),
        (Value::Null, 422, "required @ Bundle.entry[2].resource"),
        (
            json!({ "resource": [] }),
            422,
            "required @ Bundle.entry[3].resource",
        ),
        (
            json!({ "resource": body(4), "request": request("DELETE") }),
            422,
            "not-supported @ Bundle.entry[4].request.method",
        ),
        (
            json!({ "resource": body(5), "request": {} }),
            422,
            "not-supported @ Bundle.entry[5].request.method",
        ),
        (
            json!({ "resource": body(6), "request": request("PUT") }),
            201,
            "",
        ),
        (
            json!({ "resource": long }),
            413,
            "too-long @ Bundle.entry[7].resource",
        ),
        (
            json!({ "resource": bundle("batch", &[body(8)]) }),
            422,
            "not-supported @ Bundle.entry[8].resource",
        ),
        (json!({ "resource": body(9), "fullUrl": 7 }), 201, ""),
    ];
    let sent = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries.iter().map(|e| e.0.clone()).collect::<Vec<_>>() });
    let reply = hub.post(&home, "/fhir", &sent).await;
    assert_eq!(
        statuses(&reply),
        entries.iter().map(|e| e.1).collect::<Vec<_>>(),
        "{}",
        reply.json
    );
    for (n, (_, _, issue)) in entries.iter().enumerate().filter(|(_, e)| !e.2.is_empty()) {
        assert_eq!(
            issues(&reply.json["entry"][n]["response"]["outcome"])[0],
            *issue
        );
    }
    assert_eq!(hub.waiting("310001007/sharing").await.len(), 2);
}
