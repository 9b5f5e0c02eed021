//! What a party tells the anchor of its audit trail, so that a later cut or rewriting shows: the trail's end by number and
//! hash, and nothing of what is in it (threats-and-faults section 11). Paths are relative to the issuer.
//!
//! A statement is a compact JWS under the client's registered key, with the media type [`JOSE`]; there is no token, so that
//! a process on its way down can still make it. Said again, it is answered again.

use serde::{Deserialize, Serialize};

/// Takes a [`HeadStatement`], answers with one [`WitnessedHead`].
pub const HEADS: &str = "/audit-heads";
/// Takes a [`HeadsQuestion`], answers with [`WitnessedHeads`].
pub const HEADS_LIST: &str = "/audit-heads/list";
/// Media type of a compact JWS (RFC 7515 section 9.2.1).
pub const JOSE: &str = "application/jose";
/// JOSE `typ` of a [`HeadStatement`].
pub const HEAD_TYP: &str = "delt-audit-head+jwt";
/// JOSE `typ` of a [`HeadsQuestion`].
pub const HEADS_QUESTION_TYP: &str = "delt-audit-heads+jwt";
/// JOSE `typ` of a [`WitnessedHead`].
pub const WITNESSED_TYP: &str = "delt-witnessed-head+jwt";
/// How old a statement may be when the anchor reads it, in seconds.
pub const FRESH_SECONDS: i64 = 60;
/// Heads in one answer at most.
pub const PAGE: usize = 500;
/// Longest name of a trail's owner, in bytes.
pub const LONGEST_OWNER: usize = 64;

/// The end of an audit trail as its owner signs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadStatement {
    /// The client that speaks; none for a common service that is no client, whose heads are kept and not witnessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The anchor.
    pub aud: String,
    /// Unix seconds.
    pub iat: i64,
    /// Whose trail: a service id, or a role's name.
    pub owner: String,
    /// Records so far.
    pub sequence: u64,
    /// base64url of the last record's hash.
    pub hash: String,
}

/// Asks for what the anchor knows of one's own trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadsQuestion {
    /// The client that asks.
    pub iss: String,
    /// The anchor.
    pub aud: String,
    /// Unix seconds.
    pub iat: i64,
    /// Which trail.
    pub owner: String,
    /// Leave out heads up to this sequence number.
    pub after: u64,
}

/// The anchor's word that it was told of a head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessedHead {
    /// The anchor.
    pub iss: String,
    /// The client that said so.
    pub sub: String,
    /// When it was told first, Unix seconds.
    pub iat: i64,
    /// As in [`HeadStatement::owner`].
    pub owner: String,
    /// As in [`HeadStatement::sequence`].
    pub sequence: u64,
    /// As in [`HeadStatement::hash`].
    pub hash: String,
}

/// The answer to a question: compact JWS documents, signed with the anchor's key of now, lowest sequence first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WitnessedHeads(pub Vec<String>);
