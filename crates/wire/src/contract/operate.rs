//! What the anchor's operators say to it: who or what is suspended, resumed or ended, and which key it signs with; and the
//! list of these changes, append-only. Paths are relative to the issuer.

use serde::{Deserialize, Serialize};

/// What the paths below start with; the issuer followed by it is the audience of an operator's token.
pub const OPERATE: &str = "/operate";
/// Takes an [`Order`]: no new token from the next request on.
pub const SUSPEND: &str = "/operate/suspend";
/// Takes an [`Order`]: access as before.
pub const RESUME: &str = "/operate/resume";
/// Takes an [`Order`] for an agreement or a delegation: ended for good, before its last day.
pub const END: &str = "/operate/end";
/// Takes a [`KeyOrder`]: a new signing key, published first and used when all services have it.
pub const ROTATE_KEY: &str = "/operate/rotate-key";
/// Takes a [`KeyOrder`] that names a key: it signs no more and is published no more, at once.
pub const REMOVE_KEY: &str = "/operate/remove-key";
/// JOSE `typ` of an order: every order is a compact JWS of a [`Signed`] under the operator's registered key, with the media
/// type [`JOSE`](super::witness::JOSE), and is kept with the change it made.
pub const ORDER_TYP: &str = "delt-order+jwt";
/// How old an order may be when the anchor reads it, in seconds.
pub const FRESH_SECONDS: i64 = 60;
/// What was done: [`Changes`]. `?after=N` leaves out the first N.
pub const CHANGES: &str = "/operate/changes";

/// Scope for changing.
pub const CHANGE_SCOPE: &str = "system/Change.c";
/// Scope for reading the list of changes.
pub const READ_SCOPE: &str = "system/Change.r";
/// JOSE `typ` of a change.
pub const CHANGE_TYP: &str = "delt-change+jwt";
/// Changes in one answer at most.
pub const PAGE: usize = 50;
/// Longest order, in bytes: a change repeats it, and must still be read as a compact JWS.
pub const LONGEST_ORDER: usize = 10_500;

/// Whether what is registered counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It counts.
    #[default]
    Active,
    /// It does not count until it is resumed.
    Suspended,
    /// It counts no more.
    Ended,
}

/// What can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An organisation, by its number, with all its clients, agreements and delegations.
    Participant,
    /// A client, by its id.
    Client,
    /// One key of a client, by the client's id and the key's `kid` or thumbprint.
    ClientKey,
    /// An agreement, by its id, in all versions.
    Agreement,
    /// A delegation, by its id, in all versions.
    Delegation,
    /// A key of the anchor's own, by its `kid`.
    SigningKey,
    /// A data processing agreement, by its id.
    ProcessingAgreement,
    /// A collaboration under § 9, by its id.
    Collaboration,
    /// Who may act for a patient, by the document's id; it names nobody.
    Representation,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Counts no more until it is resumed.
    Suspend,
    /// Counts again.
    Resume,
    /// Counts no more, for good.
    End,
    /// A new signing key was published.
    Publish,
    /// A signing key was taken away.
    Remove,
    /// A document was registered, or signatures on it.
    Register,
}

/// What is to be suspended, resumed or ended, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What it is.
    pub kind: Kind,
    /// Organisation number, client id, or id of the agreement or delegation.
    pub id: String,
    /// Which of the client's keys, for [`Kind::ClientKey`] alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Why, in words that stay in the list; 1 to 500 characters, never about a person.
    pub reason: String,
}

/// Which signing key is to go, if one is, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyOrder {
    /// The key to remove; absent when a new one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Why, as in [`Order::reason`].
    pub reason: String,
}

/// A document to be registered, in the place of its older self if there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterOrder {
    /// What it is.
    pub kind: Kind,
    /// The version that stands now, 0 for none: another one means that somebody else was there first (412).
    pub expect: u64,
    /// The document's text, as it is signed: JSON of [`super::register`].
    pub document: String,
    /// Detached signatures over the text by organisations it binds; those of an earlier order with the same text stay.
    #[serde(default)]
    pub signatures: Vec<String>,
    /// Why, as in [`Order::reason`].
    pub reason: String,
}

/// An order as its operator signs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<T> {
    /// The anchor.
    pub aud: String,
    /// Unix seconds.
    pub iat: i64,
    /// The path it is sent to: an order to resume is none to suspend.
    pub path: String,
    /// What is ordered.
    pub order: T,
}

/// Claims of one change (`typ` [`CHANGE_TYP`]). Signed anew when the anchor's key changes; the payload stays what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeDocument {
    /// The anchor.
    pub iss: String,
    /// Unix seconds.
    pub iat: i64,
    /// Counts 1, 2, … without gaps.
    pub sequence: u64,
    /// base64url SHA-256 of the payload before it; the first has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// What was done.
    pub action: Action,
    /// To what kind of thing.
    pub kind: Kind,
    /// Which one, as in [`Order::id`]; a signing key by its `kid`.
    pub id: String,
    /// As in [`Order::kid`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// From when, Unix seconds, where that is later than `iat`: a published key signs then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Organisations whose signatures on the registered document stand: those of this order, and of earlier ones with the
    /// same text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
    /// The order as its operator signed it, document and signatures included; changes of before orders were signed have none, nor
    /// has one about a representation, which names people and lies sealed with the anchor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Why.
    pub reason: String,
    /// Which operator's client asked.
    pub client_id: String,
    /// The request, as the audit trail knows it.
    pub request_id: String,
}

/// The answer to every order, and of the list: compact JWS documents, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Changes(pub Vec<String>);
