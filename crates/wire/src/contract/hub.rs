//! The hub's words: paths, and what a sender may ask about deliveries and quarantine (threats-and-faults.md section 9:
//! everything acknowledged is delivered or visible as undelivered).

use fhir::time::Instant;
use serde::{Deserialize, Serialize};

/// The FHIR base under the hub; its audience is `{hub}/fhir`.
pub const FHIR: &str = "/fhir";
/// Single Observations.
pub const OBSERVATION: &str = "/fhir/Observation";
/// Single QuestionnaireResponses.
pub const QUESTIONNAIRE_RESPONSE: &str = "/fhir/QuestionnaireResponse";
/// Delivery state per receiver, `Deliveries`.
pub const DELIVERIES: &str = "/deliveries";
/// Delivery state of one entry, `Delivery`; `{key}` is the entry's id as the hub answered it.
pub const DELIVERY: &str = "/deliveries/{key}";
/// What was held back of the caller's own sendings, `Quarantine`.
pub const QUARANTINE: &str = "/quarantine";
/// Header under which a post sent once more gets the first answer again.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Scope with which a home system writes.
pub const WRITE_SCOPE: &str = "system/Observation.c";
/// Scope with which a home system writes answers to questionnaires.
pub const ANSWER_SCOPE: &str = "system/QuestionnaireResponse.c";
/// Scopes with which a home system sends both in one Bundle.
pub const HOME_SCOPES: &str = "system/Observation.c system/QuestionnaireResponse.c";
/// Scope with which a home system writes documents: each kind of resource in one asks its own.
pub const DOCUMENT_SCOPE: &str = "system/Composition.c system/DetectedIssue.c system/Observation.c system/QuestionnaireResponse.c";
/// Scope with which an organisation's sharing service files what is said of an alert in its record system, and asks what became of it.
pub const NOTE_SCOPE: &str = "system/Composition.c system/DetectedIssue.c";

/// What kind of receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiverKind {
    /// The organisation's record system (EPJ).
    RecordSystem,
    /// The organisation's sharing service (datadelingstjeneste).
    Sharing,
}

/// `GET {hub}/deliveries`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// Receivers of the organisations that the caller sends for.
    pub receivers: Vec<ReceiverState>,
    /// Home systems that send for them and are expected to be heard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<SenderState>,
}

/// How a home system stands that is expected to be heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderState {
    /// Its client id.
    pub sender: String,
    /// What people call it.
    pub name: String,
    /// How long it may be silent, in minutes.
    pub quiet_minutes: u64,
    /// When something of it was last acknowledged, RFC 3339 in UTC; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Instant>,
    /// Whether it has been silent for longer than it may.
    pub quiet: bool,
}

/// What waits for one receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverState {
    /// The receiver's name in the hub's configuration.
    pub receiver: String,
    /// The organisation that it receives for.
    pub orgnr: String,
    /// What it is.
    pub kind: ReceiverKind,
    /// Entries not yet delivered.
    pub pending: u64,
    /// When the oldest of them was taken in, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Instant>,
    /// Entries that the receiver refused for good.
    pub dead: u64,
    /// Readings that wait until their calendar day is over, by its organisation's rules.
    #[serde(default)]
    pub held: u64,
    /// Readings that are known here and that its organisation's rules did not want it to get.
    #[serde(default)]
    pub left_out: u64,
}

/// `GET {hub}/deliveries/{key}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The entry's id.
    pub key: String,
    /// One a receiver.
    pub receivers: Vec<DeliveryState>,
}

/// How far one entry came with one receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryState {
    /// The receiver's name.
    pub receiver: String,
    /// What it is.
    pub kind: ReceiverKind,
    /// How far.
    pub state: Progress,
    /// Attempts made.
    #[serde(default)]
    pub attempts: u32,
    /// Why it is not delivered, in words that hold nothing about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far an entry came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Waiting, or to be tried again.
    Pending,
    /// The receiver acknowledged it.
    Delivered,
    /// The receiver refused it for good.
    Dead,
    /// Its calendar day decides what the receiver gets of it, when that is over, by its organisation's rules.
    Held,
    /// The receiver is not to get it, by its organisation's rules.
    LeftOut,
}

/// What a receiver refused for good, `DeadLetters`.
pub const DEAD_LETTERS: &str = "/dead-letters";

/// `GET {hub}/dead-letters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    /// Oldest first, one receiver after the other; at most 500 in a page.
    pub entries: Vec<DeadLetter>,
    /// How many there are in all.
    #[serde(default)]
    pub total: u64,
    /// Where the next page is, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One entry that one receiver refused for good. `POST {hub}/deliveries/{key}/replay` delivers it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The entry's id.
    pub key: String,
    /// The receiver's name.
    pub receiver: String,
    /// What it is.
    pub kind: ReceiverKind,
    /// Attempts made.
    pub attempts: u32,
    /// Since when, RFC 3339 in UTC.
    pub since: Instant,
    /// Why, in words that hold nothing about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `GET {hub}/quarantine`. `POST {hub}/quarantine/{id}/replay` takes an entry in as if it were sent now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Newest first; at most 500 in a page.
    pub entries: Vec<QuarantineEntry>,
    /// How many there are in all.
    #[serde(default)]
    pub total: u64,
    /// Where the next page is, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One entry that was held back, with the reason its sender can read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuarantineEntry {
    /// The id under which it is kept.
    pub id: String,
    /// When it was received, RFC 3339 in UTC.
    pub received: Instant,
    /// Why, as a code (`unknown-patient`, `organisation`, `conflict`, …).
    pub reason: String,
    /// The sender's own business identifier, `system|value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// The request in which it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The OperationOutcome that the sender got.
    pub outcome: serde_json::Value,
}

/// Which device measures whom: `POST` a [`NewAssignment`], `GET` the caller's [`Assignments`].
pub const ASSIGNMENTS: &str = "/assignments";
/// `POST` an [`AssignmentEnd`].
pub const ASSIGNMENTS_END: &str = "/assignments/end";
/// Scope with which a record system states them.
pub const ASSIGN_SCOPE: &str = "system/DeviceUseStatement.u";

/// A business identifier. It may be a person's number: it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The system.
    pub system: String,
    /// The value.
    pub value: String,
}

/// A device measures a patient for the caller's organisation, from a moment to a moment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAssignment {
    /// The device, as readings name it in `device.identifier`.
    pub device: Named,
    /// The patient, by national identity number.
    pub patient: Named,
    /// From when, RFC 3339.
    pub from: Instant,
    /// Until when, not included; without it, until it is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
}

/// The end of an assignment of the caller's organisation that runs at `until`, or began before it and has no end yet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssignmentEnd {
    /// The device.
    pub device: Named,
    /// Until when, not included.
    pub until: Instant,
}

/// `GET {hub}/assignments`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignments {
    /// The caller's organisation's own, device by device.
    pub assignments: Vec<Assigned>,
    /// Where the next page is, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One assignment. The hub does not know the patient's number again: who asks knows to whom it lent the device.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The device.
    pub device: Named,
    /// From when.
    pub from: Instant,
    /// Until when, not included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
}
