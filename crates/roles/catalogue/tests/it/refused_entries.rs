//! What is no catalogue entry is refused with its place, and leaves nothing behind.

use http::StatusCode;
use serde_json::{Value, json};
use wire::contract::statement::STATEMENT_TYP;

use crate::statements::{ADDRESS, Region, sign, standing};
use crate::world::FJELLVIK;

#[tokio::test]
async fn what_is_not_an_entry_is_refused_with_its_place() {
    let region = Region::new().await;
    let change = |change: &dyn Fn(&mut Value)| {
        let mut endpoint = region.endpoint(ADDRESS);
        change(&mut endpoint);
        endpoint
    };
    let long = "x".repeat(1_001);
    let set = |name: &'static str, value: Value| change(&move |one| one[name] = value.clone());
    for (what, resource) in [
        ("a narrative", set("text", json!({"div": "<div/>"}))),
        ("meta", set("meta", json!({"versionId": "9"}))),
        ("contained", set("contained", json!([]))),
        ("a control character", set("name", "a\u{1b}[2J".into())),
        ("a turned direction", set("name", "a\u{202e}b".into())),
        ("an Arabic mark", set("name", "a\u{61c}b".into())),
        ("a line's end", set("name", "a\u{2028}b".into())),
        ("no text", set("name", " ".into())),
        ("a long text", set("name", long.into())),
        ("another id", set("id", "x".into())),
        ("another type", set("resourceType", "Organization".into())),
        ("no address", set("address", Value::Null)),
        (
            "another port's notation",
            set("address", "http://127.1:9/ny/fhir".into()),
        ),
        (
            "hexadecimal",
            set("address", "http://0x7f000001:9/ny/fhir".into()),
        ),
        (
            "user info",
            set("address", "http://a@127.0.0.1:9/ny/fhir".into()),
        ),
        (
            "a private address",
            set("address", "https://10.0.0.1/fhir".into()),
        ),
        (
            "the metadata service",
            set("address", "http://169.254.169.254/fhir".into()),
        ),
        (
            "mapped",
            set("address", "https://[::ffff:10.0.0.1]/fhir".into()),
        ),
        (
            "another scheme",
            set("address", "ftp://127.0.0.1/fhir".into()),
        ),
        ("a script", set("address", "javascript:alert(1)".into())),
        (
            "a query",
            set("address", "http://127.0.0.1:9/fhir?a=b".into()),
        ),
        (
            "a fragment",
            set("address", "http://127.0.0.1:9/fhir#a".into()),
        ),
        (
            "dots",
            set("address", "http://127.0.0.1:9/a/../fhir".into()),
        ),
        (
            "a slash",
            set("address", "http://127.0.0.1:9/ny/fhir/".into()),
        ),
        ("a strange status", set("status", "sometimes".into())),
        (
            "a strange kind",
            change(&|one| one["payloadType"][0]["coding"][0]["code"] = "IT99".into()),
        ),
        ("no kind", set("payloadType", json!([]))),
        (
            "another connection",
            set("connectionType", json!({"code": "dicom-wado-rs"})),
        ),
        ("a period of no date", set("period", json!({"end": "soon"}))),
        (
            "a foreign extension",
            set(
                "extension",
                json!([{"url": "https://x.example/e", "valueString": "x"}]),
            ),
        ),
        (
            "the catalogue's own extension",
            set(
                "extension",
                json!([{
                    "url": wire::contract::statement::STANDING, "valueCode": "stated",
                }]),
            ),
        ),
        (
            "a link that is a script",
            set(
                "extension",
                json!([{
                    "url": wire::contract::statement::TERMS, "valueUrl": "javascript:alert(1)",
                }]),
            ),
        ),
        (
            "a profile that is a script",
            set(
                "extension",
                json!([{
                    "url": wire::contract::statement::PROFILE, "valueCanonical": "javascript:alert(1)",
                }]),
            ),
        ),
        (
            "plain http",
            set(
                "extension",
                json!([{
                    "url": wire::contract::statement::TERMS, "valueUrl": "http://x.example/terms",
                }]),
            ),
        ),
        (
            "another service's id beside its own",
            change(&|one| {
                let more =
                    json!({"system": wire::contract::SERVICE_ID_SYSTEM, "value": "proveheim"});
                one["identifier"].as_array_mut().unwrap().push(more);
            }),
        ),
        (
            "another organisation beside its own number",
            change(&|one| one["managingOrganization"]["reference"] = "Organization/x".into()),
        ),
        ("no object", json!([])),
    ] {
        let mut statement = region.says(&region.endpoint(ADDRESS), 1);
        statement.resource = Some(resource);
        let reply = region.state(&statement).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{what}: {}",
            reply.json
        );
        assert_eq!(reply.json["resourceType"], "OperationOutcome", "{what}");
    }
    assert_eq!(standing(&region.fjellviks().await), "configured");
    // What is no statement at all.
    let good = sign(&region.fjellvik, &region.says(&region.endpoint(ADDRESS), 1));
    let claims = serde_json::to_value(region.says(&region.endpoint(ADDRESS), 1)).unwrap();
    let mut more = claims.clone();
    more["more"] = 1.into();
    let typed =
        |typ: &str, claims: &Value| trust::jws::sign(typ, claims, &region.fjellvik).unwrap();
    for text in [
        String::new(),
        "a.b.c".into(),
        format!("{good}x"),
        typed("at+jwt", &claims),
        typed(STATEMENT_TYP, &more),
        typed(STATEMENT_TYP, &json!({})),
        "x".repeat(20_000),
    ] {
        let reply = region.bring(FJELLVIK, &[text]).await;
        let refused = [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN].contains(&reply.status);
        assert!(refused, "{}", reply.status);
    }
    assert_eq!(
        region.bring(FJELLVIK, &[]).await.status,
        StatusCode::BAD_REQUEST
    );
    let many = vec![good.clone(); 101];
    assert_eq!(
        region.bring(FJELLVIK, &many).await.status,
        StatusCode::BAD_REQUEST
    );
    let twice = [good.clone(), good];
    assert_eq!(
        region.bring(FJELLVIK, &twice).await.status,
        StatusCode::BAD_REQUEST
    );
}
