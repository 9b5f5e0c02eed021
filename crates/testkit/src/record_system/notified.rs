//! A record system that is told by subscription (`docs/guide/subscriptions.md`): believes what a member's service has signed, knows
//! repeats by subscription and number, and keeps what is new before it answers. A file [`AWAY`] in its folder makes it answer
//! 503, for stories in which it has fallen.

use super::RecordSystem;
use axum::extract::{Request, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use wire::contract::sharing::{NOTIFICATION_SIGNATURE_HEADER, NOTIFICATION_TYP};

/// Name of the file that holds what it was told, one [`Noted`] a line.
pub const NOTIFIED: &str = "notified.ndjson";
/// Name of the file that makes it answer nothing.
pub const AWAY: &str = "away";
/// Where it is told.
pub(super) const PATH: &str = "/notified";
/// Largest notification.
const BYTES: usize = 256 * 1024;

/// What it was told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// The subscription's address.
    pub subscription: String,
    /// `handshake`, `heartbeat` or `event-notification`.
    pub kind: String,
    /// Organisation number of whose service signed it.
    pub by: String,
    /// The event's number; none for what is no event.
    pub number: Option<u64>,
    /// What it is about, by its address.
    pub focus: Option<String>,
}

/// The highest event of each subscription that is kept.
pub(super) fn remembered(data: &Path) -> std::io::Result<HashMap<String, u64>> {
    let text = match std::fs::read_to_string(data.join(NOTIFIED)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let mut told = HashMap::new();
    for one in text
        .lines()
        .filter_map(|line| serde_json::from_str::<Noted>(line).ok())
    {
        let highest: &mut u64 = told.entry(one.subscription).or_default();
        *highest = (*highest).max(one.number.unwrap_or(0));
    }
    Ok(told)
}

/// `POST {base}/notified`.
pub(super) async fn notified(
    State(system): State<Arc<RecordSystem>>,
    request: Request,
) -> StatusCode {
    if system.data.join(AWAY).exists() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    let signature = parts.headers.get(NOTIFICATION_SIGNATURE_HEADER);
    let signature = signature
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let Some(members) = system.members.current().await else {
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    let signed = members.signed_detached(signature, NOTIFICATION_TYP, &body);
    let Some(by) = signed.map(|member| member.sub.clone()) else {
        return StatusCode::FORBIDDEN;
    };
    let bundle = serde_json::from_slice::<Value>(&body);
    let Some((subscription, kind, events)) = bundle.ok().as_ref().and_then(read) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut told = system.told.lock().await;
    let highest = told.entry(subscription.clone()).or_default();
    let line = |number, focus| Noted {
        subscription: subscription.clone(),
        kind: kind.clone(),
        by: by.clone(),
        number,
        focus,
    };
    let mut fresh = Vec::new();
    if events.is_empty() {
        fresh.push(line(None, None));
    }
    let mut last = *highest;
    for (number, focus) in events {
        // What it has is a repeat.
        if number > last {
            last = number;
            fresh.push(line(Some(number), focus));
        }
    }
    match keep(&system.data.join(NOTIFIED), &fresh) {
        Ok(()) => {
            *highest = last;
            StatusCode::NO_CONTENT
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

type Event = (u64, Option<String>);

/// Subscription, kind and events of a notification.
fn read(bundle: &Value) -> Option<(String, String, Vec<Event>)> {
    let all = bundle["entry"][0]["resource"]["parameter"].as_array()?;
    let named = |all: &[Value], name: &str| all.iter().find(|one| one["name"] == name).cloned();
    let subscription = named(all, "subscription")?["valueReference"]["reference"]
        .as_str()?
        .to_owned();
    let kind = named(all, "type")?["valueCode"].as_str()?.to_owned();
    let events = all.iter().filter(|one| one["name"] == "notification-event");
    let event = |one: &Value| {
        let parts = one["part"].as_array()?;
        let number = named(parts, "event-number")?["valueString"]
            .as_str()?
            .parse()
            .ok()?;
        let focus = named(parts, "focus");
        let focus =
            focus.and_then(|one| Some(one["valueReference"]["reference"].as_str()?.to_owned()));
        Some((number, focus))
    };
    let events = events.map(event).collect::<Option<Vec<_>>>()?;
    Some((subscription, kind, events))
}

fn keep(path: &Path, fresh: &[Noted]) -> std::io::Result<()> {
    let mut lines = Vec::new();
    for one in fresh {
        serde_json::to_writer(&mut lines, one)?;
        lines.push(b'\n');
    }
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    file.write_all(&lines)?;
    file.sync_data()
}
