//! Whatever a sender sends to the hub, it is answered: taken in, or refused in words that name the element; never 5xx,
//! never silence (issue 2, "Bad input").

use crate::kit::apart::Apart;
use crate::kit::process::Serving;
use crate::kit::reading::{Weight, collection};
use serde_json::Value;
use testkit::clients::Caller;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::client::{Answer, Party, Request};
use wire::contract::hub::{Quarantine, WRITE_SCOPE};

/// Synthetic, of STORY.md.
const PATIENT: &str = "14835210260";

struct Hub {
    region: Apart,
    home: Party,
    serving: Serving,
}

impl Hub {
    async fn open() -> Hub {
        let region = Apart::new(&[("all", &["anchor", "hub", "sharing"])], "").await;
        let serving = region.start("all").await;
        Hub {
            home: region.party("home"),
            region,
            serving,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.region.base("hub"))
    }

    async fn post(&self, path: &str, media_type: &'static str, body: Vec<u8>) -> Answer {
        let request = Request::post(self.url(path), media_type, body);
        self.home
            .send(&self.region.audience("hub"), WRITE_SCOPE, request)
            .await
            .expect("an answer")
    }

    async fn one(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.post("/fhir/Observation", wire::contract::FHIR_JSON, body.into())
            .await
    }

    async fn many(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.post("/fhir", wire::contract::FHIR_JSON, body.into())
            .await
    }

    /// It goes on as if nothing had happened.
    async fn close(self) {
        assert_eq!(self.one(Weight::of(PATIENT).json()).await.status, 201);
        assert!(
            !self.serving.said().contains("panic"),
            "{}",
            self.serving.said()
        );
        assert!(self.serving.stop().await.success());
    }
}

/// The issues of a refusal; each error has words.
fn issues(name: &str, outcome: &Value) -> Vec<(String, String)> {
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{name}");
    let issues = outcome["issue"]
        .as_array()
        .filter(|issues| !issues.is_empty())
        .expect("issues");
    let read = |issue: &Value| {
        let words = issue["diagnostics"].as_str().filter(|w| !w.is_empty());
        (
            issue["expression"][0]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            words.expect("words").to_owned(),
        )
    };
    issues.iter().map(read).collect()
}

fn refused(name: &str, answer: &Answer, status: u16, expression: &str) {
    assert_eq!(complaint(name, answer, status, expression), None);
}

/// What is wrong with a refusal, if anything.
fn complaint(name: &str, answer: &Answer, status: u16, expression: &str) -> Option<String> {
    let body = String::from_utf8_lossy(&answer.body);
    if answer.status.as_u16() != status {
        return Some(format!(
            "{name}: {} instead of {status}: {body}",
            answer.status
        ));
    }
    let Ok(outcome) = serde_json::from_str::<Value>(&body) else {
        return Some(format!("{name}: no JSON: {body}"));
    };
    let named = issues(name, &outcome)
        .iter()
        .any(|(at, _)| at.ends_with(expression));
    (!named).then(|| format!("{name}: {expression} is not named in {body}"))
}

/// A good reading with one thing replaced.
fn with(from: &str, to: &str) -> Vec<u8> {
    let good = Weight::of(PATIENT).json();
    assert!(good.contains(from), "a good reading does not hold {from}");
    good.replacen(from, to, 1).into_bytes()
}

/// The one category of a reading, as it stands there.
fn category(reading: &str) -> String {
    let (_, after) = reading.split_once(r#""category":["#).unwrap();
    after[..=after.find("}]}").unwrap() + 2].to_owned()
}

#[tokio::test]
async fn a_broken_observation_is_refused_with_the_element_at_fault() {
    let hub = Hub::open().await;
    let taken = Weight::of(PATIENT).taken.to_string();
    let deep = format!(
        r#"{{"resourceType":"Observation","x":{}{}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    let mut bad_text = with("vital-signs", "vital-signs");
    let at = bad_text
        .windows(11)
        .position(|w| w == b"vital-signs")
        .unwrap();
    bad_text[at] = 0xff;
    let listed = format!("[{}]", category(&Weight::of(PATIENT).json()));
    let rows: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("nothing", vec![], 400, ""),
        ("broken off", br#"{"resourceType":"#.to_vec(), 400, ""),
        (
            "two documents",
            [with("kg", "kg"), b"{}".to_vec()].concat(),
            400,
            "",
        ),
        ("bad UTF-8", bad_text, 400, ""),
        (
            "half a surrogate pair",
            with("vital-signs", "\\ud800"),
            400,
            "",
        ),
        (
            "a member that stands twice",
            with(r#""status":"#, r#""status":"final","status":"#),
            400,
            "status",
        ),
        ("too deep", deep.into_bytes(), 400, ""),
        ("a list", b"[]".to_vec(), 422, ""),
        ("null", b"null".to_vec(), 422, ""),
        ("no number", with("61.40", "61,40"), 400, ""),
        (
            "a number that begins with 0",
            with("61.40", "061.40"),
            400,
            "",
        ),
        (
            "a text for a number",
            with("61.40", r#""61.40""#),
            422,
            "valueQuantity.value",
        ),
        (
            "a number for a code",
            with(r#""status":"final""#, r#""status":1"#),
            422,
            "Observation.status",
        ),
        (
            "an object for a list",
            with(&listed, &listed[1..listed.len() - 1]),
            422,
            "Observation.category",
        ),
        (
            "an unknown status",
            with(r#""status":"final""#, r#""status":"perhaps""#),
            422,
            "Observation.status",
        ),
        (
            "no status",
            with(r#","status":"final""#, ""),
            422,
            "Observation.status",
        ),
        (
            "an unknown element",
            with(r#""status":"#, r#""colour":"blue","status":"#),
            422,
            "colour",
        ),
        (
            "an unknown category",
            with("vital-signs", "vital-sings"),
            422,
            "code",
        ),
        (
            "an impossible date",
            with(&taken, "2026-02-30T08:00:00Z"),
            422,
            "Observation.effectiveDateTime",
        ),
        (
            "a date far ahead",
            with(&taken, "2086-01-01T08:00:00Z"),
            422,
            "Observation.effectiveDateTime",
        ),
        (
            "two values",
            with(r#""status":"#, r#""valueInteger":61,"status":"#),
            422,
            "Observation.value[x]",
        ),
        (
            "a unit of something else",
            with(r#""code":"kg""#, r#""code":"mm[Hg]""#),
            422,
            "valueQuantity.code",
        ),
        (
            "codes that nobody knows",
            with(
                r#"[{"code":"29463-7","system":"http://loinc.org"},{"system":"http://snomed.info/sct","code":"27113001"}]"#,
                r#"[{"code":"99999-9","system":"http://loinc.org"}]"#,
            ),
            422,
            "Observation.code",
        ),
        (
            "no patient",
            with(r#""subject":"#, r#""focus":"#),
            422,
            "Observation.subject",
        ),
        (
            "a person number with a wrong control digit",
            with(PATIENT, "14835210261"),
            422,
            "subject.identifier.value",
        ),
        (
            "an organisation that the sender does not send for",
            with(
                r#""status":"#,
                r#""performer":[{"type":"Organization","identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.101","value":"310001074"}}],"status":"#,
            ),
            422,
            "Observation.performer",
        ),
        (
            "a resource type nobody knows",
            with(r#""Observation""#, r#""Observasjon""#),
            422,
            "resourceType",
        ),
        (
            "another resource type",
            with(r#""Observation""#, r#""Patient""#),
            422,
            "resourceType",
        ),
    ];
    let mut complaints = Vec::new();
    for (name, body, status, expression) in rows {
        complaints.extend(complaint(name, &hub.one(body).await, status, expression));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    hub.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_or_of_another_kind_is_refused() {
    let hub = Hub::open().await;
    let large = |bytes: usize| with("vital-signs", &"x".repeat(bytes));
    let (one, many) = (large(3 << 20), large(11 << 20));
    let stranger = Caller::new().unwrap();
    // Again and again: a sender in the middle of a large body must hear the refusal, not see a broken connection.
    for _ in 0..5 {
        refused("3 MiB as one reading", &hub.one(one.clone()).await, 413, "");
        refused("11 MiB as a Bundle", &hub.many(many.clone()).await, 413, "");
        let request = Request::post_fhir(hub.url("/fhir"), many.clone());
        assert_eq!(
            stranger.send_bare(request).await.expect("an answer").status,
            401
        );
        refused(
            "plain text",
            &hub.post("/fhir", "text/plain", many.clone()).await,
            415,
            "",
        );
    }
    refused(
        "XML",
        &hub.post("/fhir", "application/fhir+xml", b"<Bundle/>".to_vec())
            .await,
        415,
        "",
    );
    hub.close().await;
}

#[tokio::test]
async fn a_bundle_is_refused_whole_only_when_it_is_no_list_of_readings() {
    let hub = Hub::open().await;
    let bundle = |text: &str| format!(r#"{{"resourceType":"Bundle",{text}}}"#);
    let many: Vec<String> = (0..501).map(|_| Weight::of(PATIENT).json()).collect();
    for (name, body, expression) in [
        ("no type", bundle(r#""entry":[]"#), "Bundle.type"),
        (
            "a transaction, not there yet",
            bundle(r#""type":"transaction","entry":[]"#),
            "Bundle.type",
        ),
        (
            "a searchset",
            bundle(r#""type":"searchset","entry":[]"#),
            "Bundle.type",
        ),
        (
            "a type nobody knows",
            bundle(r#""type":"pile","entry":[]"#),
            "Bundle.type",
        ),
        ("501 entries", collection(&many), "Bundle.entry"),
    ] {
        refused(name, &hub.many(body).await, 400, expression);
    }
    hub.close().await;
}

#[tokio::test]
async fn each_entry_of_a_bundle_has_its_own_answer_and_the_others_go_on() {
    let hub = Hub::open().await;
    let good = || Weight::of(PATIENT).json();
    let foreign = Weight {
        organisation: Some("310001074"),
        ..Weight::of(PATIENT)
    };
    let entries = [
        good(),
        good().replace("final", "perhaps"),
        good(),
        r#"{"resourceType":"Patient"}"#.to_owned(),
        "7".to_owned(),
        foreign.json(),
        good(),
    ];
    let answer = hub.many(collection(&entries)).await;
    assert_eq!(answer.status, 200);
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    let statuses: Vec<&str> = json["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["response"]["status"].as_str().unwrap()[..3])
        .collect();
    assert_eq!(statuses, ["201", "422", "201", "422", "422", "422", "201"]);
    let at = |n: usize| {
        issues("an entry", &json["entry"][n]["response"]["outcome"])[0]
            .0
            .clone()
    };
    assert_eq!(at(1), "Bundle.entry[1].resource.status");
    assert!(at(5).starts_with("Bundle.entry[5]"), "{}", at(5));
    // What was held back, its sender can read about.
    let request = Request::get(hub.url("/quarantine"));
    let kept: Quarantine = hub
        .home
        .send(&hub.region.audience("hub"), WRITE_SCOPE, request)
        .await
        .unwrap()
        .json()
        .unwrap();
    let ours = format!("urn:ietf:rfc:3986|{}", foreign.identifier);
    let kept = kept
        .entries
        .iter()
        .find(|entry| entry.identifier.as_deref() == Some(&ours))
        .expect("the foreign reading");
    assert_eq!(kept.reason, "organisation");
    issues("the quarantine", &kept.outcome);
    hub.close().await;
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_ended_and_not_kept() {
    let hub = Hub::open().await;
    let origin = hub.region.base("hub");
    let address = origin
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap();
    for sent in [
        "",
        "NONSENSE\r\n\r\n",
        "POST /hub/fhir HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nContent-Type: application/fhir+json\r\n\r\n{\"resource",
        "POST /hub/fhir HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = Vec::new();
        // A reset is an end, too.
        let ended =
            tokio::time::timeout(crate::kit::wait::PATIENCE, stream.read_to_end(&mut said)).await;
        let _ = ended.unwrap_or_else(|_| panic!("the connection hangs after {sent:?}"));
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 4"),
            "{sent:?}: {said}"
        );
    }
    hub.close().await;
}
