//! What the catalogue sees when it looks at the addresses it lists: do they answer, with a CapabilityStatement, for whom,
//! with the profiles that were promised, and how long does the certificate last. Shown in the entry, not hidden; it never
//! becomes part of a version, for it is not its owner's word.
//!
//! Bounded: one request an address and round, few at once, a short deadline, a small answer, through the outgoing client
//! and its rules; rounds are jittered, so that many catalogues do not knock together.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fhir::resource::ResourceType;
use fhir::systems;
use fhir::time::Instant;
use futures::StreamExt;
use serde_json::{Value, json};
use wire::Worker;
use wire::client::{Answer, PeerError, Request};
use wire::contract::statement::{PROBE, PROFILE};
use wire::contract::{INFORMATION_SERVICE_SYSTEM, METADATA};

use crate::State;
use crate::entry::Entry;

/// Between rounds, before jitter.
const ROUND: Duration = Duration::from_secs(10 * 60);
/// Before the first: parts of a region start together.
const FIRST: Duration = Duration::from_secs(20);
/// Addresses looked at together.
const AT_ONCE: usize = 4;
/// For one address.
const DEADLINE: Duration = Duration::from_secs(5);
/// Largest CapabilityStatement read.
const BYTES: usize = 2 * 1024 * 1024;
/// From so many days on a certificate is warned of (threats-and-faults section 12).
const WARN_DAYS: i64 = 30;

/// Whose CapabilityStatement answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The organisation whose entry it is.
    Same,
    /// Another: the address was taken over, or the entry is wrong. It is not to be used.
    Other,
    /// It does not say.
    Unsaid,
}

/// What was seen at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Why there was no answer with a CapabilityStatement; `None`: there was one.
    pub fault: Option<String>,
    /// Whether anything answered.
    pub reachable: bool,
    /// Its FHIR version.
    pub fhir_version: Option<String>,
    /// Whose it says it is.
    pub owner: Owner,
    /// Promised profiles that it does not claim.
    pub missing: usize,
    /// Kinds of information that the entry declares and of which it serves no type.
    pub unserved: usize,
    /// Whole days until the certificate ends; `None` without TLS.
    pub certificate_days: Option<i64>,
}

impl Seen {
    /// As an extension of the Endpoint.
    pub fn to_json(&self) -> Value {
        let owner = match self.owner {
            Owner::Same => "same",
            Owner::Other => "other",
            Owner::Unsaid => "unsaid",
        };
        let mut parts = vec![
            json!({"url": "at", "valueInstant": self.at}),
            json!({"url": "reachable", "valueBoolean": self.reachable}),
            json!({"url": "capability", "valueBoolean": self.fault.is_none()}),
            json!({"url": "owner", "valueCode": owner}),
            json!({"url": "missingProfiles", "valueUnsignedInt": self.missing}),
            json!({"url": "missingKinds", "valueUnsignedInt": self.unserved}),
        ];
        if let Some(version) = &self.fhir_version {
            parts.push(json!({"url": "fhirVersion", "valueString": version}));
        }
        if let Some(days) = self.certificate_days {
            parts.push(json!({"url": "certificateDays", "valueInteger": days}));
        }
        if let Some(fault) = &self.fault {
            parts.push(json!({"url": "fault", "valueString": fault}));
        }
        json!({"url": PROBE, "extension": parts})
    }
}

/// What was last seen, by the Endpoint's logical id and address: another address has not been looked at.
#[derive(Default)]
pub struct Sight(Mutex<HashMap<Looked, Seen>>);

type Looked = (String, String);

fn looked(entry: &Entry) -> Looked {
    let address = entry.kept.resource["address"].as_str();
    (entry.id.clone(), address.unwrap_or_default().to_owned())
}

impl Sight {
    /// What was seen at an entry's address.
    pub fn of(&self, entry: &Entry) -> Option<Seen> {
        if entry.resource_type != ResourceType::ENDPOINT {
            return None;
        }
        let sight = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sight.get(&looked(entry)).cloned()
    }

    fn replace(&self, seen: HashMap<Looked, Seen>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

/// The rounds.
pub fn worker(state: Arc<State>) -> Worker {
    Worker::new("probe", async move {
        let pause = state.house.pause.clone();
        let mut next = FIRST;
        loop {
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(next) => {}
            }
            state.probe().await;
            next = jittered(ROUND, (state.house.ids)().as_bytes()[0]);
        }
    })
}

/// A pause a fifth shorter or longer, as chance has it.
fn jittered(pause: Duration, chance: u8) -> Duration {
    pause * (205 + u32::from(chance) * 102 / 255) / 256
}

impl State {
    /// One round: looks at every address that is listed and counts now.
    pub async fn probe(&self) {
        let (shelf, now) = (self.shelf(), (self.house.clock)());
        let listed = shelf.of_type(ResourceType::ENDPOINT);
        let listed: Vec<Arc<Entry>> = listed.filter(|one| one.counts(now)).cloned().collect();
        let looks = listed.into_iter().map(|entry| async move {
            let seen = self.look(&entry).await;
            if seen.owner == Owner::Other {
                tracing::error!(
                    endpoint = entry.id,
                    "another organisation answers at a listed address; it is shown in error"
                );
            }
            if seen.certificate_days.is_some_and(|days| days <= WARN_DAYS) {
                tracing::warn!(
                    endpoint = entry.id,
                    days = seen.certificate_days,
                    "a certificate ends soon"
                );
            }
            (looked(&entry), seen)
        });
        let seen = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
        self.sight.replace(seen.collect().await);
    }

    async fn look(&self, entry: &Entry) -> Seen {
        let resource = &entry.kept.resource;
        let address = resource["address"].as_str().unwrap_or_default();
        let request = Request::get(format!("{address}{METADATA}"))
            .deadline(DEADLINE)
            .answer_bytes(BYTES)
            .header(
                http::header::ACCEPT,
                http::HeaderValue::from_static("application/fhir+json"),
            );
        let answered = self.house.http.send(&request).await;
        judge(entry, answered, (self.house.clock)())
    }
}

/// What an answer, or none, says of an entry.
fn judge(entry: &Entry, answered: Result<Answer, PeerError>, at: Instant) -> Seen {
    let mut seen = Seen {
        at,
        fault: None,
        reachable: true,
        fhir_version: None,
        owner: Owner::Unsaid,
        missing: 0,
        unserved: 0,
        certificate_days: None,
    };
    let answer = match answered {
        Ok(answer) => answer,
        Err(error) => {
            seen.reachable = matches!(error, PeerError::TooLong | PeerError::Unusable(_));
            seen.fault = Some(error.to_string());
            return seen;
        }
    };
    seen.certificate_days = answer
        .certificate
        .as_deref()
        .and_then(|der| days_left(der, at));
    // Read strictly: of two members with one name nobody knows which counts.
    let statement = trust::json::object(&answer.body).ok().map(Value::from);
    let statement = statement.filter(|one| one["resourceType"] == "CapabilityStatement");
    let Some(statement) = statement.filter(|_| answer.status.is_success()) else {
        seen.fault = Some(format!(
            "status {}, no CapabilityStatement",
            answer.status.as_u16()
        ));
        return seen;
    };
    seen.fhir_version = statement["fhirVersion"]
        .as_str()
        .map(|text| text.chars().take(20).collect());
    let custodian = &statement["implementation"]["custodian"]["identifier"];
    seen.owner = match (custodian["system"].as_str(), custodian["value"].as_str()) {
        (Some(system), Some(value)) if systems::canonical(system) == systems::ORGNR => {
            if value == entry.kept.owner.as_str() {
                Owner::Same
            } else {
                Owner::Other
            }
        }
        _ => Owner::Unsaid,
    };
    seen.missing = missing(&entry.kept.resource, &statement);
    seen.unserved = unserved(&entry.kept.resource, &statement);
    seen
}

/// How many of the declared kinds of information no served type belongs to.
fn unserved(resource: &Value, statement: &Value) -> usize {
    let served: BTreeSet<String> = list(&statement["rest"])
        .flat_map(|rest| list(&rest["resource"]))
        .filter_map(|one| ResourceType::parse(one["type"].as_str()?)?.information_service())
        .map(|kind| kind.to_string())
        .collect();
    let declared: BTreeSet<&str> = list(&resource["payloadType"])
        .flat_map(|one| list(&one["coding"]))
        .filter(|one| one["system"] == INFORMATION_SERVICE_SYSTEM)
        .filter_map(|one| one["code"].as_str())
        .collect();
    declared
        .iter()
        .filter(|one| !served.contains(**one))
        .count()
}

/// How many of the promised profiles are not claimed.
fn missing(resource: &Value, statement: &Value) -> usize {
    let claimed: Vec<&str> = list(&statement["rest"])
        .flat_map(|rest| list(&rest["resource"]))
        .flat_map(|one| list(&one["supportedProfile"]).chain(std::iter::once(&one["profile"])))
        .filter_map(Value::as_str)
        .collect();
    let promised = list(&resource["extension"]).filter(|one| one["url"] == PROFILE);
    let promised = promised.filter_map(|one| one["valueCanonical"].as_str());
    promised.filter(|one| !claimed.contains(one)).count()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whole days from `now` until a certificate (X.509, DER) ends; negative when it has.
fn days_left(der: &[u8], now: Instant) -> Option<i64> {
    use x509_cert::der::Decode;
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let end = certificate.tbs_certificate().validity().not_after;
    let end = i64::try_from(end.to_unix_duration().as_secs()).ok()?;
    Some(end.saturating_sub(now.seconds()).div_euclid(24 * 3600))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use crate::entry::Kept;
    use bytes::Bytes;
    use fhir::ids::OrganisationNumber;
    use http::{HeaderMap, StatusCode};

    fn entry() -> Entry {
        let kept = Kept {
            owner: OrganisationNumber::parse("310001007").unwrap(),
            resource: json!({
                "resourceType": "Endpoint", "id": "e", "address": "https://x.example/fhir",
                "payloadType": [
                    {"coding": [{"system": INFORMATION_SERVICE_SYSTEM, "code": "IT17"}]},
                    {"coding": [{"system": INFORMATION_SERVICE_SYSTEM, "code": "IT03"}]},
                ],
                "extension": [
                    {"url": PROFILE, "valueCanonical": "http://a/1"},
                    {"url": PROFILE, "valueCanonical": "http://a/2"},
                ],
            }),
            withdrawn: false,
            stated: None,
        };
        Entry::of(ResourceType::ENDPOINT, kept).unwrap()
    }

    fn seen(status: u16, body: &str) -> Seen {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            certificate: None,
        };
        judge(&entry(), Ok(answer), Instant(0))
    }

    fn statement(custodian: &str) -> String {
        json!({
            "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
            "implementation": {"custodian": {"identifier": {"system": systems::ORGNR, "value": custodian}}},
            "rest": [{"resource": [{"type": "Observation", "supportedProfile": ["http://a/2", "http://a/3"]}]}],
        })
        .to_string()
    }

    #[test]
    fn whose_statement_answers_and_what_it_claims() {
        let own = seen(200, &statement("310001007"));
        assert_eq!((own.owner, own.missing, own.fault), (Owner::Same, 1, None));
        assert_eq!(own.unserved, 1, "readings are served and medicines are not");
        assert_eq!(own.fhir_version.as_deref(), Some("4.0.1"));
        assert_eq!(seen(200, &statement("310001074")).owner, Owner::Other);
        let silent = r#"{"resourceType":"CapabilityStatement"}"#;
        let silent = seen(200, silent);
        assert_eq!(
            (silent.owner, silent.missing, silent.fault),
            (Owner::Unsaid, 2, None)
        );
    }

    #[test]
    fn what_is_no_statement_is_a_fault_and_says_which() {
        for (status, body) in [
            (200, "{}"),
            (200, "<html/>"),
            (200, r#"{"resourceType":"Patient"}"#),
            (
                200,
                r#"{"resourceType":"CapabilityStatement","resourceType":"x"}"#,
            ),
            (302, r#"{"resourceType":"CapabilityStatement"}"#),
            (500, r#"{"resourceType":"CapabilityStatement"}"#),
        ] {
            let seen = seen(status, body);
            assert!(seen.reachable && seen.fault.is_some(), "{status} {body}");
        }
        for (error, reachable) in [
            (PeerError::Connect, false),
            (PeerError::Late, false),
            (PeerError::Address("network not allowed"), false),
            (PeerError::TooLong, true),
        ] {
            let seen = judge(&entry(), Err(error.clone()), Instant(0));
            assert_eq!(
                (seen.reachable, seen.fault),
                (reachable, Some(error.to_string()))
            );
        }
    }

    #[test]
    fn the_pause_is_a_fifth_shorter_or_longer() {
        let pause = Duration::from_secs(256);
        assert_eq!(jittered(pause, 0), Duration::from_secs(205));
        assert_eq!(jittered(pause, 255), Duration::from_secs(307));
    }
}
