//! What a subscriber is told, as resources: the status as Parameters and the Bundle around it, by HL7's backport of R5
//! subscriptions to R4 (`hl7.fhir.uv.subscriptions-backport.r4` 1.1.0). Pure.

use super::kept::{Content, Kept, Status, Wanted};
use fhir::ids::LogicalId;
use fhir::time::Instant;
use serde_json::{Value, json};
use uuid::Uuid;

/// Canonicals of the guide.
const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";

/// A canonical of the guide.
pub fn canonical(name: &str) -> String {
    format!("{BACKPORT}{name}")
}

/// Why a status is told (`subscription-notification-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Are you there, and do you want this?
    Handshake,
    /// Nothing happened, and all is well.
    Heartbeat,
    /// Something happened.
    Event,
    /// Asked for: how it stands.
    QueryStatus,
    /// Asked for: what happened.
    QueryEvent,
}

impl Kind {
    /// Its code.
    pub fn code(self) -> &'static str {
        match self {
            Kind::Handshake => "handshake",
            Kind::Heartbeat => "heartbeat",
            Kind::Event => "event-notification",
            Kind::QueryStatus => "query-status",
            Kind::QueryEvent => "query-event",
        }
    }
}

/// One event as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its number.
    pub number: u64,
    /// When it was committed.
    pub at: Instant,
    /// What it is about, where that is open now; what has been closed or erased since is not named.
    pub focus: Option<Focus>,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Focus {
    /// Its type.
    pub resource_type: String,
    /// Its id.
    pub id: LogicalId,
    /// The version that stands there now.
    pub version: u64,
    /// What became of it.
    pub now: Stands,
}

/// What became of what an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// It was new then.
    New,
    /// It was changed.
    Changed,
    /// It was withdrawn, and is.
    Withdrawn,
}

/// The status as Parameters (profile `backport-subscription-status-r4`).
pub fn parameters(
    base: &str,
    kept: &Kept,
    kind: Kind,
    content: Content,
    events: &[Shown],
) -> Value {
    let mut all = vec![
        json!({"name": "subscription", "valueReference": {"reference": format!("{base}/Subscription/{}", kept.id)}}),
        json!({"name": "topic", "valueCanonical": kept.wanted.topic.canonical()}),
        json!({"name": "status", "valueCode": kept.status.code()}),
        json!({"name": "type", "valueCode": kind.code()}),
        json!({"name": "events-since-subscription-start", "valueString": kept.told.to_string()}),
    ];
    for event in events {
        let mut part =
            vec![json!({"name": "event-number", "valueString": event.number.to_string()})];
        // When something happened is told of nothing that is not open.
        if event.focus.is_some() {
            part.push(json!({"name": "timestamp", "valueInstant": event.at.to_string()}));
        }
        if let Some(focus) = event.focus.as_ref().filter(|_| content == Content::IdOnly) {
            let reference = format!("{base}/{}/{}", focus.resource_type, focus.id);
            part.push(json!({"name": "focus", "valueReference": {"reference": reference}}));
        }
        all.push(json!({"name": "notification-event", "part": part}));
    }
    if let Some(why) = kept.why.as_ref().filter(|_| kept.status != Status::Active) {
        all.push(json!({"name": "error", "valueCodeableConcept": {"text": why}}));
    }
    json!({
        "resourceType": "Parameters",
        "meta": {"profile": [canonical("backport-subscription-status-r4")]},
        "parameter": all,
    })
}

/// A notification (profile `backport-subscription-notification-r4`): the status first, then an entry for whatever is named.
pub fn bundle(
    base: &str,
    kept: &Kept,
    kind: Kind,
    content: Content,
    events: &[Shown],
    (id, now): (Uuid, Instant),
) -> Value {
    let status = parameters(base, kept, kind, content, events);
    let mut entries = vec![json!({
        "fullUrl": format!("urn:uuid:{id}"),
        "resource": status,
        "request": {"method": "GET", "url": format!("{base}/Subscription/{}/$status", kept.id)},
        "response": {"status": "200"},
    })];
    let named = events.iter().filter_map(|event| event.focus.as_ref());
    let mut seen = std::collections::BTreeSet::new();
    for focus in named.filter(|_| content == Content::IdOnly) {
        // A resource stands once in a Bundle (bdl-7).
        if !seen.insert(focus.id) {
            continue;
        }
        let (name, id) = (&focus.resource_type, focus.id);
        let (method, url, status) = match focus.now {
            Stands::New => ("POST", name.clone(), "201"),
            Stands::Changed => ("PUT", format!("{name}/{id}"), "200"),
            Stands::Withdrawn => ("DELETE", format!("{name}/{id}"), "204"),
        };
        entries.push(json!({
            "fullUrl": format!("{base}/{name}/{id}"),
            "request": {"method": method, "url": url},
            "response": {"status": status},
        }));
    }
    json!({
        "resourceType": "Bundle",
        "meta": {"profile": [canonical("backport-subscription-notification-r4")]},
        "type": "history",
        "timestamp": now.to_string(),
        "entry": entries,
    })
}

/// The Subscription as its subscriber sees it. Headers are secrets, and are never shown again.
pub fn subscription(kept: &Kept) -> Value {
    let Wanted {
        topic,
        of_type,
        patient,
        reason,
        endpoint,
        content,
        heartbeat,
        timeout,
        most,
    } = &kept.wanted;
    let mut extensions = vec![
        json!({"url": canonical("backport-timeout"), "valueUnsignedInt": timeout}),
        json!({"url": canonical("backport-max-count"), "valuePositiveInt": most}),
    ];
    if let Some(seconds) = heartbeat {
        let url = canonical("backport-heartbeat-period");
        extensions.insert(0, json!({"url": url, "valueUnsignedInt": seconds}));
    }
    let mut told = json!({
        "resourceType": "Subscription",
        "id": kept.id.to_string(),
        "meta": {
            "versionId": kept.edition.to_string(),
            "lastUpdated": kept.updated.to_string(),
            "profile": [canonical("backport-subscription")],
        },
        "status": kept.status.code(),
        "end": kept.standing.until.to_string(),
        "reason": reason,
        "criteria": topic.canonical(),
        "channel": {
            "extension": extensions,
            "type": "rest-hook",
            "endpoint": endpoint,
            "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": canonical("backport-payload-content"), "valueCode": content.code()}]},
        },
    });
    if let Some(patient) = patient {
        let of_type = of_type.as_ref().map(|of_type| format!("{of_type}?"));
        let of_type = of_type.unwrap_or_default();
        let filter = format!("{of_type}patient=Patient/{patient}");
        told["_criteria"] = json!({"extension": [{"url": canonical("backport-filter-criteria"), "valueString": filter}]});
    }
    if let Some(why) = &kept.why {
        told["error"] = why.as_str().into();
    }
    told
}
