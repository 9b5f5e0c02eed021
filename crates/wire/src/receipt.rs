//! The completeness receipt (CONTRACT section 7): an OperationOutcome that names every source of a look-up and what
//! became of it, covered by a detached JWS of the gateway (RFC 7515 appendix F) over the outcome's canonical bytes
//! (RFC 8785, which for the strings and whole numbers used here is: members sorted, no white space), without the
//! signature's own extension.

use serde_json::{Map, Value, json};
use trust::jws::{self, JwsError};
use trust::keys::{KeyError, KeySet, SigningKey};

use crate::contract::gateway::{SIGNATURE_EXTENSION, SOURCE_EXTENSION, SOURCE_STATE_SYSTEM};
use crate::contract::{ORGANISATION_NUMBER_SYSTEM, SERVICE_ID_SYSTEM};

/// JOSE `typ` of the signature.
pub const TYP: &str = "delt-receipt+jws";

/// What became of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceState {
    /// Everything asked for was given.
    Complete,
    /// It answered, and has nothing of it.
    Empty,
    /// It gave a part, for example up to a limit.
    Partial,
    /// It, or a rule, said no.
    Refused,
    /// No answer before the deadline.
    Late,
    /// It could not be reached or its answer could not be used.
    Failed,
    /// It answered, but may lack something newer: its copy is older than it promises, or the locator has not heard it out.
    Stale,
    /// It was named, but not asked.
    NotAsked,
}

impl SourceState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Complete,
        Self::Empty,
        Self::Partial,
        Self::Refused,
        Self::Late,
        Self::Failed,
        Self::Stale,
        Self::NotAsked,
    ];

    /// The code in [`SOURCE_STATE_SYSTEM`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Empty => "empty",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::NotAsked => "not-asked",
        }
    }

    /// From the code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == code)
    }

    /// Whether nothing is missing from this source.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Complete | Self::Empty)
    }

    /// FHIR issue type.
    fn issue_code(self) -> &'static str {
        match self {
            Self::Complete | Self::Empty => "informational",
            Self::Partial | Self::Stale | Self::NotAsked => "incomplete",
            Self::Refused => "forbidden",
            Self::Late => "timeout",
            Self::Failed => "transient",
        }
    }
}

/// One source and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReport {
    /// Organisation number of the responsible organisation; for a party that is none of them (the locator), its service id.
    pub organisation: String,
    /// Its name, for people.
    pub name: Option<String>,
    /// The FHIR base asked; none when the catalogue has none.
    pub endpoint: Option<String>,
    /// What became of it.
    pub state: SourceState,
    /// Resources it gave.
    pub count: u64,
    /// How long it took, in milliseconds; none when it was not asked.
    pub milliseconds: Option<u64>,
    /// To when its data is known to be current, RFC 3339 in UTC: as it says itself, else the newest that it gave or that
    /// the locator heard.
    pub as_of: Option<String>,
    /// Why, in words that hold nothing about a person.
    pub reason: Option<String>,
}

/// A receipt: one report a source, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// By which it is found again: the request id of the answer it came with.
    pub id: Option<String>,
    /// What is to be known besides, in words that hold nothing about a person: a common service is silent, say.
    pub notices: Vec<String>,
    /// The sources.
    pub sources: Vec<SourceReport>,
    /// The detached JWS, where there is one.
    pub signature: Option<String>,
}

/// Why a receipt is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not the OperationOutcome of the contract.
    #[error("not a completeness receipt: {0}")]
    Shape(&'static str),
    /// No signature.
    #[error("the receipt is not signed")]
    Unsigned,
    /// The signature does not stand.
    #[error("the receipt's signature: {0}")]
    Signature(#[from] JwsError),
}

impl Receipt {
    /// A receipt over these sources, not signed yet.
    pub fn new(sources: Vec<SourceReport>) -> Self {
        Self {
            sources,
            ..Self::default()
        }
    }

    /// The same under an id and with notices.
    #[must_use]
    pub fn with(self, id: String, notices: Vec<String>) -> Self {
        Self {
            id: Some(id),
            notices,
            ..self
        }
    }

    /// Whether nothing is missing anywhere.
    pub fn is_whole(&self) -> bool {
        self.sources.iter().all(|source| source.state.is_whole())
    }

    /// The OperationOutcome, with the signature if there is one.
    pub fn to_json(&self) -> Value {
        let mut outcome = json!({"resourceType": "OperationOutcome"});
        if let (Some(signature), Some(members)) = (&self.signature, outcome.as_object_mut()) {
            let extension = json!([{"url": SIGNATURE_EXTENSION, "valueString": signature}]);
            members.insert("extension".to_owned(), extension);
        }
        if let (Some(id), Some(members)) = (&self.id, outcome.as_object_mut()) {
            members.insert("id".to_owned(), Value::from(id.as_str()));
        }
        let mut issues: Vec<Value> = if self.sources.is_empty() {
            // FHIR demands one issue; a look-up without sources says so.
            vec![
                json!({"severity": "warning", "code": "incomplete", "diagnostics": "no source was named"}),
            ]
        } else {
            self.sources.iter().map(issue).collect()
        };
        issues.extend(self.notices.iter().map(|notice| {
            json!({"severity": "information", "code": "informational", "diagnostics": notice})
        }));
        outcome["issue"] = Value::from(issues);
        outcome
    }

    /// Signs the receipt with the gateway's registered key.
    ///
    /// # Errors
    /// [`KeyError`] when signing fails.
    pub fn sign(mut self, key: &SigningKey) -> Result<Self, KeyError> {
        self.signature = None;
        self.signature = Some(jws::sign_detached(TYP, &canonical(&self.to_json()), key)?);
        Ok(self)
    }

    /// Reads a receipt; the signature is kept, not checked.
    ///
    /// # Errors
    /// [`ReceiptError::Shape`].
    pub fn read(outcome: &Value) -> Result<Self, ReceiptError> {
        if outcome.get("resourceType").and_then(Value::as_str) != Some("OperationOutcome") {
            return Err(ReceiptError::Shape("not an OperationOutcome"));
        }
        let issues = outcome
            .get("issue")
            .and_then(Value::as_array)
            .ok_or(ReceiptError::Shape("no issue"))?;
        let sources = issues
            .iter()
            .filter(|issue| source_extension(issue).is_some())
            .map(report);
        let notices = issues.iter().filter(|issue| {
            source_extension(issue).is_none()
                && issue.get("code").and_then(Value::as_str) == Some("informational")
        });
        let words = |issue: &Value| Some(issue.get("diagnostics")?.as_str()?.to_owned());
        Ok(Self {
            id: outcome.get("id").and_then(Value::as_str).map(str::to_owned),
            notices: notices.filter_map(words).collect(),
            sources: sources.collect::<Result<_, _>>()?,
            signature: signature_of(outcome).map(str::to_owned),
        })
    }

    /// The same from the resource's JSON text, for example a node's `raw()`.
    ///
    /// # Errors
    /// [`ReceiptError::Shape`].
    pub fn parse(text: &str) -> Result<Self, ReceiptError> {
        let outcome: Value =
            serde_json::from_str(text).map_err(|_| ReceiptError::Shape("not JSON"))?;
        Self::read(&outcome)
    }

    /// Finds the receipt among a searchset's entries: the first outcome entry that names a source, or none.
    pub fn find(bundle: &Value) -> Option<Self> {
        let entries = bundle.get("entry")?.as_array()?;
        entries
            .iter()
            .filter(|entry| {
                entry.pointer("/search/mode").and_then(Value::as_str) == Some("outcome")
            })
            .filter_map(|entry| Self::read(entry.get("resource")?).ok())
            .find(|receipt| !receipt.sources.is_empty() || receipt.signature.is_some())
    }
}

/// The sources that an OperationOutcome of a searchset accounts for; none when it is another kind of outcome.
pub fn read(outcome: fhir::json::Node<'_>) -> Vec<SourceReport> {
    Receipt::parse(outcome.raw())
        .map(|receipt| receipt.sources)
        .unwrap_or_default()
}

/// Checks a receipt's signature over the outcome as it was received, members unknown to us included.
///
/// # Errors
/// [`ReceiptError::Unsigned`] or [`ReceiptError::Signature`].
pub fn verify(outcome: &Value, keys: &KeySet) -> Result<(), ReceiptError> {
    let signature = signature_of(outcome).ok_or(ReceiptError::Unsigned)?;
    let mut unsigned = outcome.clone();
    remove_extension(&mut unsigned, SIGNATURE_EXTENSION);
    Ok(jws::verify_detached(
        signature,
        TYP,
        &canonical(&unsigned),
        keys,
    )?)
}

/// Takes the extensions of a url out of a resource, and `extension` too where none is left.
pub(crate) fn remove_extension(resource: &mut Value, url: &str) {
    let Some(members) = resource.as_object_mut() else {
        return;
    };
    let all = members.get_mut("extension").and_then(Value::as_array_mut);
    let is_left = all.is_some_and(|all| {
        all.retain(|one| one["url"] != url);
        !all.is_empty()
    });
    if !is_left {
        members.remove("extension");
    }
}

fn signature_of(outcome: &Value) -> Option<&str> {
    outcome
        .get("extension")?
        .as_array()?
        .iter()
        .find_map(|extension| {
            (extension.get("url")?.as_str()? == SIGNATURE_EXTENSION)
                .then(|| extension.get("valueString").and_then(Value::as_str))
                .flatten()
        })
}

fn issue(source: &SourceReport) -> Value {
    let number = fhir::ids::OrganisationNumber::parse(&source.organisation).is_ok();
    let system = if number {
        ORGANISATION_NUMBER_SYSTEM
    } else {
        SERVICE_ID_SYSTEM
    };
    let mut parts = vec![json!({
        "url": "organisation",
        "valueIdentifier": {"system": system, "value": source.organisation},
    })];
    let mut add = |url: &str, name: &str, value: Option<Value>| {
        if let Some(value) = value {
            let part = Map::from_iter([
                ("url".to_owned(), Value::from(url)),
                (name.to_owned(), value),
            ]);
            parts.push(Value::from(part));
        }
    };
    add("name", "valueString", source.name.clone().map(Value::from));
    add(
        "endpoint",
        "valueUrl",
        source.endpoint.clone().map(Value::from),
    );
    add("count", "valueUnsignedInt", Some(Value::from(source.count)));
    add(
        "milliseconds",
        "valueUnsignedInt",
        source.milliseconds.map(Value::from),
    );
    add(
        "asOf",
        "valueInstant",
        source.as_of.clone().map(Value::from),
    );
    let mut issue = json!({
        "extension": [{"url": SOURCE_EXTENSION, "extension": parts}],
        "severity": if source.state.is_whole() { "information" } else { "warning" },
        "code": source.state.issue_code(),
        "details": {"coding": [{"system": SOURCE_STATE_SYSTEM, "code": source.state.as_str()}]},
    });
    if let Some(reason) = &source.reason {
        issue["diagnostics"] = Value::from(reason.as_str());
    }
    issue
}

fn source_extension(issue: &Value) -> Option<&Vec<Value>> {
    let extensions = issue.get("extension")?.as_array()?;
    let source = extensions
        .iter()
        .find(|one| one.get("url").and_then(Value::as_str) == Some(SOURCE_EXTENSION))?;
    source.get("extension")?.as_array()
}

fn report(issue: &Value) -> Result<SourceReport, ReceiptError> {
    let parts = source_extension(issue).ok_or(ReceiptError::Shape("an issue names no source"))?;
    let part = |url: &str| {
        parts
            .iter()
            .find(|one| one.get("url").and_then(Value::as_str) == Some(url))
    };
    let text = |url: &str, name: &str| part(url)?.get(name)?.as_str().map(str::to_owned);
    let number = |url: &str| part(url)?.get("valueUnsignedInt")?.as_u64();
    let state = issue
        .pointer("/details/coding")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find_map(|coding| {
            (coding.get("system")?.as_str()? == SOURCE_STATE_SYSTEM)
                .then(|| SourceState::parse(coding.get("code")?.as_str()?))?
        });
    Ok(SourceReport {
        organisation: part("organisation")
            .and_then(|one| one.pointer("/valueIdentifier/value")?.as_str())
            .ok_or(ReceiptError::Shape("a source has no organisation number"))?
            .to_owned(),
        name: text("name", "valueString"),
        endpoint: text("endpoint", "valueUrl"),
        state: state.ok_or(ReceiptError::Shape("a source has no known state"))?,
        count: number("count").unwrap_or(0),
        milliseconds: number("milliseconds"),
        as_of: text("asOf", "valueInstant"),
        reason: issue
            .get("diagnostics")
            .and_then(Value::as_str)
            .map(str::to_owned),
    })
}

/// Canonical bytes: members sorted at every level, no white space.
pub fn canonical(value: &Value) -> Vec<u8> {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let mut names: Vec<&String> = members.keys().collect();
                names.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
                Value::Object(
                    names
                        .into_iter()
                        .map(|name| (name.clone(), sorted(&members[name])))
                        .collect(),
                )
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    fn receipt() -> Receipt {
        let source = |organisation: &str, state, count| SourceReport {
            organisation: organisation.into(),
            name: Some("Fjellvik kommune (syntetisk)".into()),
            endpoint: Some("https://n.example/fjellvik/fhir".into()),
            state,
            count,
            milliseconds: Some(12),
            as_of: Some("2026-03-05T08:21:00Z".into()),
            reason: None,
        };
        let late = SourceReport {
            name: None,
            as_of: None,
            reason: Some("no answer within 3 s".into()),
            ..source("310001775", SourceState::Late, 0)
        };
        let not_asked = SourceReport {
            endpoint: None,
            milliseconds: None,
            ..source("310001708", SourceState::NotAsked, 0)
        };
        Receipt::new(vec![
            source("310001007", SourceState::Complete, 42),
            late,
            not_asked,
        ])
    }

    #[test]
    fn what_is_written_reads_back_signed_or_not() {
        assert_eq!(Receipt::read(&receipt().to_json()).unwrap(), receipt());
        let notice = vec!["the catalogue is silent".to_owned()];
        let noted = receipt().with("6a3e6c8e-0d36-4d0a-9c5b-7d3a5a1c0b11".into(), notice);
        assert_eq!(Receipt::read(&noted.to_json()).unwrap(), noted);
        let signed = receipt().sign(&SigningKey::generate().unwrap()).unwrap();
        assert_eq!(
            Receipt::parse(&signed.to_json().to_string()).unwrap(),
            signed
        );
        assert!(!signed.is_whole());
    }

    #[test]
    fn it_looks_as_the_contract_says() {
        insta::assert_json_snapshot!(receipt().to_json());
    }

    #[test]
    fn the_signature_stands_in_any_member_order_and_falls_with_any_change() {
        let key = SigningKey::generate().unwrap();
        let keys = KeySet::of(vec![key.public().clone()]).unwrap();
        let outcome = receipt().sign(&key).unwrap().to_json();
        verify(&outcome, &keys).unwrap();

        let mut turned = Map::new();
        for (name, value) in outcome.as_object().unwrap().iter().rev() {
            turned.insert(name.clone(), value.clone());
        }
        verify(&Value::from(turned), &keys).unwrap();

        let mut changed = outcome.clone();
        changed["issue"][1]["details"]["coding"][0]["code"] = "complete".into();
        assert!(matches!(
            verify(&changed, &keys),
            Err(ReceiptError::Signature(_))
        ));
        let mut fewer = outcome.clone();
        fewer["issue"].as_array_mut().unwrap().pop();
        assert!(matches!(
            verify(&fewer, &keys),
            Err(ReceiptError::Signature(_))
        ));
        let others = KeySet::of(vec![SigningKey::generate().unwrap().public().clone()]).unwrap();
        assert!(verify(&outcome, &others).is_err());
        assert_eq!(
            verify(&receipt().to_json(), &keys),
            Err(ReceiptError::Unsigned)
        );
    }

    #[test]
    fn it_is_found_in_a_searchset_and_a_broken_one_is_not_read() {
        let bundle = json!({"resourceType": "Bundle", "type": "searchset", "entry": [
            {"resource": {"resourceType": "Observation"}, "search": {"mode": "match"}},
            {"resource": receipt().to_json(), "search": {"mode": "outcome"}},
        ]});
        assert_eq!(Receipt::find(&bundle), Some(receipt()));
        let mut strange = receipt().to_json();
        strange["issue"][0]["details"]["coding"][0]["code"] = "perhaps".into();
        assert!(Receipt::read(&strange).is_err());
    }

    #[test]
    fn a_look_up_without_sources_says_so() {
        let outcome = Receipt::new(vec![]).to_json();
        assert_eq!(outcome["issue"][0]["diagnostics"], "no source was named");
        assert!(Receipt::read(&outcome).unwrap().sources.is_empty());
    }
}
