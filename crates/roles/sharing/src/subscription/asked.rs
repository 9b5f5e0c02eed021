//! A Subscription as it is asked for (profile `backport-subscription`), read strictly: what is not done is refused by name, so that
//! nobody waits for what never comes. Pure but for the address policy it is given.

use super::kept::{Content, Wanted};
use super::notification::canonical;
use super::topic::Topic;
use fhir::ids::LogicalId;
use fhir::json::Node;
use fhir::outcome::{Issue, IssueCode};
use fhir::time::{Instant, parse_instant};
use http::{HeaderName, HeaderValue};
use url::Url;

/// Most headers.
const MOST_HEADERS: usize = 5;
/// Longest header value, in bytes.
const LONGEST_HEADER: usize = 2_048;
/// Longest reason, in characters.
const LONGEST_REASON: usize = 500;
/// Longest endpoint, in bytes.
const LONGEST_ENDPOINT: usize = 2_048;
/// Seconds between heartbeats.
const HEARTBEATS: std::ops::RangeInclusive<u32> = 30..=86_400;
/// Seconds that an endpoint may take, and how many it may take by default.
const TIMEOUTS: std::ops::RangeInclusive<u32> = 1..=30;
const TIMEOUT: u32 = 10;
/// Events in one notification, and how many by default.
const COUNTS: std::ops::RangeInclusive<u32> = 1..=100;
const COUNT: u32 = 50;

/// Headers that are the connection's, or ours.
const CLOSED_HEADERS: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "dpop",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-request-id",
    wire::contract::sharing::NOTIFICATION_SIGNATURE_HEADER,
];

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// All that is kept in the clear.
    pub wanted: Wanted,
    /// Headers to send along: name and value.
    pub headers: Vec<(String, String)>,
    /// When it is to end.
    pub end: Option<Instant>,
}

/// Reads one that has passed the check of its elements. `endpoint` judges an address.
///
/// # Errors
/// All that is wrong, each at its place. Nothing of a header is in it.
pub fn read(
    root: Node<'_>,
    endpoint: impl Fn(&Url) -> Result<(), &'static str>,
) -> Result<Asked, Vec<Issue>> {
    let mut faults = Faults(Vec::new());
    if root.text("status").as_deref() != Some("requested") {
        faults.value(
            "status",
            "a subscription is sent with status requested; the server sets the others",
        );
    }
    let end = root.text("end").and_then(|text| parse_instant(&text).ok());
    let reason = root.text("reason").unwrap_or_default().into_owned();
    if reason.trim().is_empty() || reason.chars().count() > LONGEST_REASON {
        faults.value("reason", "say why in at most 500 characters");
    }
    let topic = root.text("criteria").and_then(|text| Topic::parse(&text));
    if topic.is_none() {
        faults.add(
            IssueCode::NotSupported,
            "criteria",
            "the canonical of a topic in the CapabilityStatement was expected",
        );
    }
    let filters = extensions(
        root.get("_criteria"),
        &mut faults,
        "criteria",
        &["backport-filter-criteria"],
    );
    let (mut patient, mut of_type) = (None, None);
    for (extension, topic) in filters.iter().filter_map(|(_, one)| Some((one, topic?))) {
        let text = extension.text("valueString");
        match text.and_then(|text| filter(&text, topic)) {
            Some((named, one)) if patient.is_none() => {
                patient = Some(one);
                of_type = named;
            }
            _ => faults.add(
                IssueCode::NotSupported,
                "criteria.extension",
                "one filter is taken: [Type?]patient=Patient/{id}, of a type that the topic is about",
            ),
        }
    }
    let channel = root.get("channel");
    let text = |name: &str| {
        channel
            .and_then(|one| one.text(name))
            .map(|text| text.into_owned())
    };
    if text("type").as_deref() != Some("rest-hook") {
        faults.add(
            IssueCode::NotSupported,
            "channel.type",
            "rest-hook is the only channel",
        );
    }
    if text("payload").is_some_and(|media| media != "application/fhir+json") {
        faults.add(
            IssueCode::NotSupported,
            "channel.payload",
            "application/fhir+json is the only form",
        );
    }
    let address = text("endpoint").unwrap_or_default();
    match Url::parse(&address) {
        Ok(url)
            if address.len() <= LONGEST_ENDPOINT
                && url.fragment().is_none()
                && url.query().is_none() =>
        {
            if let Err(words) = endpoint(&url) {
                faults.value("channel.endpoint", words);
            }
        }
        _ => faults.value(
            "channel.endpoint",
            "an absolute URL without query and fragment was expected",
        ),
    }
    let payload = channel.and_then(|one| one.get("_payload"));
    let contents = extensions(
        payload,
        &mut faults,
        "channel.payload",
        &["backport-payload-content"],
    );
    let mut content = Content::IdOnly;
    for (_, extension) in &contents {
        match extension.text("valueCode").as_deref().and_then(Content::parse) {
            Some(one) => content = one,
            None => faults.add(
                IssueCode::NotSupported,
                "channel.payload.extension",
                "empty and id-only are sent; what a resource says is read by the reader's own right (full-resource is not offered)",
            ),
        }
    }
    let known = [
        "backport-heartbeat-period",
        "backport-timeout",
        "backport-max-count",
    ];
    let (mut heartbeat, mut timeout, mut most) = (None, TIMEOUT, COUNT);
    for (name, extension) in extensions(channel, &mut faults, "channel", &known) {
        let number = ["valueUnsignedInt", "valuePositiveInt"]
            .into_iter()
            .find_map(|member| extension.get(member)?.number()?.parse::<u32>().ok());
        let (range, words) = match name {
            "backport-heartbeat-period" => (HEARTBEATS, "30 to 86400 seconds were expected"),
            "backport-timeout" => (TIMEOUTS, "1 to 30 seconds were expected"),
            _ => (COUNTS, "1 to 100 events were expected"),
        };
        let Some(number) = number.filter(|number| range.contains(number)) else {
            faults.value("channel.extension", words);
            continue;
        };
        match name {
            "backport-heartbeat-period" => heartbeat = Some(number),
            "backport-timeout" => timeout = number,
            _ => most = number,
        }
    }
    let lines = channel.and_then(|one| one.get("header"));
    let mut headers = Vec::new();
    for line in lines.into_iter().flat_map(|lines| lines.items()) {
        match line.str().as_deref().and_then(header) {
            Some(one) if headers.len() < MOST_HEADERS => headers.push(one),
            _ => faults.value(
                "channel.header",
                "at most five headers `Name: value` were expected, each in one line, without control characters, none of the connection's or ours",
            ),
        }
    }
    match (topic, faults.0.is_empty()) {
        (Some(topic), true) => Ok(Asked {
            wanted: Wanted {
                topic,
                of_type,
                patient,
                reason,
                endpoint: address,
                content,
                heartbeat,
                timeout,
                most,
            },
            headers,
            end,
        }),
        _ => Err(faults.0),
    }
}

struct Faults(Vec<Issue>);

impl Faults {
    fn add(&mut self, code: IssueCode, place: &str, words: &str) {
        self.0
            .push(Issue::error(code, format!("Subscription.{place}"), words));
    }

    fn value(&mut self, place: &str, words: &str) {
        self.add(IssueCode::Value, place, words);
    }
}

/// The extensions of an element by the name they have in the guide; any other is a wish that would not be met.
fn extensions<'a, 'n>(
    of: Option<Node<'a>>,
    faults: &mut Faults,
    place: &str,
    known: &[&'n str],
) -> Vec<(&'n str, Node<'a>)> {
    let list = of.and_then(|one| one.get("extension"));
    let mut found = Vec::new();
    for one in list.into_iter().flat_map(|list| list.items()) {
        let url = one.text("url").unwrap_or_default();
        match known.iter().find(|name| canonical(name) == url) {
            Some(name) => found.push((*name, one)),
            None => faults.add(
                IssueCode::NotSupported,
                &format!("{place}.extension"),
                "an extension that nothing is done about",
            ),
        }
    }
    found
}

/// The type of a filter, if it names one, and its patient.
fn filter(text: &str, topic: Topic) -> Option<(Option<String>, LogicalId)> {
    let (named, rest) = match text.split_once('?') {
        Some((name, rest)) => {
            topic.types().iter().find(|one| one.as_str() == name)?;
            (Some(name.to_owned()), rest)
        }
        None => (None, text),
    };
    let patient = LogicalId::parse(rest.strip_prefix("patient=Patient/")?).ok()?;
    Some((named, patient))
}

/// A header's name and value.
fn header(line: &str) -> Option<(String, String)> {
    if line.len() > LONGEST_HEADER {
        return None;
    }
    let (name, value) = line.split_once(':')?;
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let value = value.trim_matches([' ', '\t']);
    // Visible characters and spaces alone: what could end a line is none of them.
    HeaderValue::from_str(value).ok()?;
    let closed = CLOSED_HEADERS.contains(&name.as_str());
    (!closed && !value.is_empty()).then(|| (name.as_str().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;
    use fhir::json::{Json, Limits};
    use serde_json::{Value, json};

    const PATIENT: &str = "0b0c3f5e-3a35-4d7f-9c0a-0d5a8a3b9e11";

    fn asked() -> Value {
        json!({
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "Oppfølging",
            "criteria": Topic::NewReading.canonical(),
            "_criteria": {"extension": [{"url": canonical("backport-filter-criteria"), "valueString": format!("Observation?patient=Patient/{PATIENT}")}]},
            "channel": {
                "extension": [{"url": canonical("backport-heartbeat-period"), "valueUnsignedInt": 60}],
                "type": "rest-hook",
                "endpoint": "https://epj.example/hook",
                "payload": "application/fhir+json",
                "_payload": {"extension": [{"url": canonical("backport-payload-content"), "valueCode": "id-only"}]},
                "header": ["Authorization: Bearer secret-of-theirs"],
            },
        })
    }

    fn of(value: &Value) -> Result<Asked, Vec<String>> {
        let json = Json::parse(value.to_string().into_bytes(), Limits::RESOURCE).unwrap();
        let judge = |url: &Url| match url.host_str() {
            Some("epj.example") => Ok(()),
            _ => Err("not theirs"),
        };
        read(json.root(), judge).map_err(|issues| {
            let text = format!("{issues:?}");
            assert!(!text.contains("secret"), "{text}");
            issues.into_iter().flat_map(|one| one.expression).collect()
        })
    }

    #[test]
    fn what_is_asked_for_is_read_and_has_its_defaults() {
        let read = of(&asked()).unwrap();
        let wanted = read.wanted;
        assert_eq!(wanted.patient.unwrap().to_string(), PATIENT);
        assert_eq!(
            (wanted.heartbeat, wanted.timeout, wanted.most),
            (Some(60), 10, 50)
        );
        assert_eq!(wanted.content, Content::IdOnly);
        assert_eq!(
            read.headers,
            [(
                "authorization".to_owned(),
                "Bearer secret-of-theirs".to_owned()
            )]
        );
        let mut bare = asked();
        bare.as_object_mut().unwrap().remove("_criteria");
        let channel = bare["channel"].as_object_mut().unwrap();
        for name in ["extension", "_payload", "header"] {
            channel.remove(name);
        }
        let read = of(&bare).unwrap();
        assert_eq!((read.wanted.patient, read.wanted.heartbeat), (None, None));
        assert!(read.headers.is_empty());
    }

    #[test]
    fn what_is_not_done_is_refused_at_its_place() {
        for (pointer, value, place) in [
            ("/status", json!("active"), "Subscription.status"),
            ("/reason", json!(" "), "Subscription.reason"),
            (
                "/criteria",
                json!("Observation?patient=Patient/1"),
                "Subscription.criteria",
            ),
            (
                "/_criteria/extension/0/valueString",
                json!("Observation?code=1"),
                "Subscription.criteria.extension",
            ),
            (
                "/_criteria/extension/0/valueString",
                json!("patient=14835210260"),
                "Subscription.criteria.extension",
            ),
            (
                "/_criteria/extension/0/valueString",
                json!(format!("CarePlan?patient=Patient/{PATIENT}")),
                "Subscription.criteria.extension",
            ),
            (
                "/_criteria/extension/0/valueString",
                json!(format!("patient=Patient/{PATIENT}&code=1")),
                "Subscription.criteria.extension",
            ),
            (
                "/_criteria/extension/0/url",
                json!("urn:x"),
                "Subscription.criteria.extension",
            ),
            (
                "/channel/type",
                json!("websocket"),
                "Subscription.channel.type",
            ),
            (
                "/channel/payload",
                json!("application/fhir+xml"),
                "Subscription.channel.payload",
            ),
            (
                "/channel/_payload/extension/0/valueCode",
                json!("full-resource"),
                "Subscription.channel.payload.extension",
            ),
            (
                "/channel/endpoint",
                json!("https://other.example/hook"),
                "Subscription.channel.endpoint",
            ),
            (
                "/channel/endpoint",
                json!("/hook"),
                "Subscription.channel.endpoint",
            ),
            (
                "/channel/endpoint",
                json!("https://epj.example/hook?fnr=1"),
                "Subscription.channel.endpoint",
            ),
            (
                "/channel/extension/0/valueUnsignedInt",
                json!(29),
                "Subscription.channel.extension",
            ),
            (
                "/channel/extension/0/valueUnsignedInt",
                json!(86_401),
                "Subscription.channel.extension",
            ),
            (
                "/channel/extension/0/url",
                json!("urn:x"),
                "Subscription.channel.extension",
            ),
        ] {
            let mut value_of = asked();
            *value_of.pointer_mut(pointer).unwrap() = value.clone();
            assert_eq!(of(&value_of).unwrap_err(), [place], "{pointer} {value}");
        }
    }

    #[test]
    fn headers_hold_no_line_break_and_none_of_ours() {
        let long = format!("X-Key: {}", "a".repeat(LONGEST_HEADER));
        for line in [
            "Authorization: Bearer secret\r\nX-Other: 1",
            "Authorization: Bearer secret\nX-Other: 1",
            "Authorization: secret\u{0}",
            "Authorization secret",
            "X Key: secret",
            ": secret",
            "X-Key:",
            "Host: secret.example",
            "content-LENGTH: 1",
            "delt-signature: secret",
            "DPoP: secret",
            &long,
        ] {
            let mut value = asked();
            value["channel"]["header"] = json!([line]);
            assert_eq!(
                of(&value).unwrap_err(),
                ["Subscription.channel.header"],
                "{line:?}"
            );
        }
        let mut value = asked();
        value["channel"]["header"] = json!(["A: 1", "B: 1", "C: 1", "D: 1", "E: 1", "F: 1"]);
        assert_eq!(of(&value).unwrap_err(), ["Subscription.channel.header"]);
    }
}
