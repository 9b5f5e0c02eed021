//! What two sharing services tell each other of an alert that changes hands: one signed message a word, carried until it is
//! taken. The offer holds a FHIR Bundle with the Task and the DetectedIssue; readings are named, never carried.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Where a service hears another; relative to its FHIR base. Takes [`Told`].
pub const TELL: &str = "/Task/$tell";
/// Scope of a service that tells.
pub const TELL_SCOPE: &str = "system/Task.c";
/// JOSE `typ` of a message.
pub const MESSAGE_TYP: &str = "delt-alert+jwt";
/// Longest message, in bytes.
pub const MOST_BYTES: usize = 512 * 1024;
/// Longest age of a message when it is heard, in seconds: it is signed anew at each try.
pub const LONGEST_AGE: i64 = 300;

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// By who has it: will you take it?
    Offer,
    /// By who has it: no more.
    Recall,
    /// By whom it was offered to: yes; from then on it is theirs.
    Accept,
    /// By whom it was offered to: no.
    Decline,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Offer, Self::Recall, Self::Accept, Self::Decline];

    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Recall => "recall",
            Self::Accept => "accept",
            Self::Decline => "decline",
        }
    }
}

/// Claims of a message (`typ` [`MESSAGE_TYP`]), signed with a key that the anchor publishes for the organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Organisation number of who says so.
    pub iss: String,
    /// FHIR base of the service that is told.
    pub aud: String,
    /// Unix seconds of signing.
    pub iat: i64,
    /// The word.
    pub said: Word,
    /// Which offer it is about.
    pub offer: Uuid,
    /// The person who took the step: name and organisation.
    pub by: String,
    /// What she said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Of an offer: a Bundle of type `collection` with the Task and, where it is there still, the DetectedIssue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Value>,
}

/// `POST {service}/Task/$tell`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Compact JWS of a [`Message`].
    pub message: String,
}
