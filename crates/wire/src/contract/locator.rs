//! The locator's words (CONTRACT section 8): state announced per patient and kind, and the question where one patient's
//! data is. Never a value, never a name.

use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::resource::InformationService;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};

use super::Hidden;
use crate::drift::{Leaf, Node};

/// Path of announcements under the locator.
pub const REGISTER: &str = "/register";
/// Path of the question under the locator.
pub const LOCATE: &str = "/locate";
/// Path under the locator where a holder compares its own pointers with the locator's.
pub const COMPARE: &str = "/compare";
/// Path under the locator where a holder repairs what the comparison found.
pub const REPAIR: &str = "/repair";
/// Scope with which a provider announces its own pointers.
pub const REGISTER_SCOPE: &str = "system/Pointer.c";
/// Scope with which a gateway asks in the user's name.
pub const LOCATE_SCOPE: &str = "user/Pointer.r";
/// Outbox topic and receiver name of announcements in a sharing service's store.
pub const OUTBOX_TOPIC: &str = "announce";
/// Receiver name in the outbox.
pub const OUTBOX_RECEIVER: &str = "locator";
/// Most entries in one registration.
pub const MAX_ENTRIES: usize = 500;

/// Whether a holder has data of a kind about a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It has.
    Present,
    /// It no longer has.
    Absent,
}

/// Most of [`Announcement::closed`].
pub const MAX_CLOSINGS: usize = 200;

/// What a patient has closed of a pointer to health personnel: the locator tells of it to the holder's own people and to who breaks the
/// glass with a written reason, and to those to whom it is closed as if she were unknown there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// To this organisation and its sub-units alone; absent: to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<OrganisationNumber>,
    /// Until then, RFC 3339 in UTC; absent: until the holder announces otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
}

/// State of one pointer; also the body of an outbox entry of topic `announce`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// Whose data.
    pub patient: PersonIdentifier,
    /// Information service, `IT01` … `IT23`.
    pub kind: InformationService,
    /// Present or absent.
    pub state: Presence,
    /// The holder's own sequence number; the locator keeps the highest per pointer.
    pub sequence: u64,
    /// What the patient has closed of it, at most [`MAX_CLOSINGS`]: by no name of hers and for no reason of hers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<Closing>,
}

/// `POST {locator}/register`. Without entries it is a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Service id of the holder, for example `fjellvik`; it must belong to the token's organisation.
    pub holder: String,
    /// At most [`MAX_ENTRIES`].
    #[serde(default)]
    pub entries: Vec<Announcement>,
    /// The highest sequence number the holder has given out.
    pub high_water: u64,
    /// Set when the entries are told again to a locator that lacks some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
}

/// The entries are every turn that still stands with a number above `after` and up to `through`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatchUp {
    /// What the locator said that it has everything up to.
    pub after: u64,
    /// What it has everything up to when it has taken these.
    pub through: u64,
}

/// Answer to a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// How many entries were taken in (older ones are ignored but counted as accepted).
    pub accepted: u64,
    /// Up to which of the holder's numbers the locator has everything; lower than the holder's own, and the holder tells it
    /// again from there. Absent where a locator does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<u64>,
}

/// `POST {locator}/compare`: one branch of the tree over the holder's own pointers ([`crate::drift`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Service id of the holder; it must belong to the token's organisation.
    pub holder: String,
    /// Hexadecimal digits that the tags of the branch begin with; empty: the whole.
    #[serde(default)]
    pub prefix: String,
}

/// Answer to a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// The holder's own tag key, 32 bytes as base64url: the tag of a person is the first 16 bytes of
    /// `HMAC-SHA-256(key, len(system) | system | len(number) | number)`, lengths as 8 bytes big-endian.
    pub key: Hidden,
    /// Version of the pointer key that it comes from.
    pub version: u32,
    /// The branch.
    pub node: Node,
}

/// `POST {locator}/repair`: what the holder has is put in the place of what the locator had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// Service id of the holder.
    pub holder: String,
    /// State as it stands at the holder, whatever number the locator had; at most [`MAX_ENTRIES`].
    #[serde(default)]
    pub entries: Vec<Announcement>,
    /// Pointers that the holder knows nothing of; they go. At most [`MAX_ENTRIES`].
    #[serde(default)]
    pub strays: Vec<Leaf>,
}

/// Answer to a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Pointers that were written or went.
    pub changed: u64,
}

/// `POST {locator}/locate`; the patient comes from the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocateRequest {
    /// Information services asked for; at least one.
    pub kinds: Vec<InformationService>,
}

/// Answer to a question: who holds what, and who is bound by the locator's agreement at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocateAnswer {
    /// Services that hold something of the kinds asked for.
    pub holders: Vec<Holder>,
    /// Organisation numbers of the members; others are outside the locator.
    pub members: Vec<OrganisationNumber>,
}

/// One service that holds something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Service id.
    pub service: String,
    /// The responsible organisation's number.
    pub orgnr: OrganisationNumber,
    /// Kinds of those asked for that it holds.
    pub kinds: Vec<InformationService>,
    /// When the holder last announced or sent a heartbeat, RFC 3339 in UTC.
    pub as_of: Instant,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    #[test]
    fn an_announcement_is_what_the_store_writes_and_nothing_else() {
        let text = r#"{"patient":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"},"kind":"IT17","state":"present","sequence":7}"#;
        let announcement: Announcement = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&announcement).unwrap(), text);
        assert!(!format!("{announcement:?}").contains("14835210260"));
        for strange in [
            text.replace("IT17", "IT99"),
            text.replace("present", "maybe"),
            text.replace("\"sequence\":7", "\"sequence\":-1"),
            text.replace("\"sequence\":7", "\"sequence\":7,\"name\":\"x\""),
        ] {
            assert!(
                serde_json::from_str::<Announcement>(&strange).is_err(),
                "{strange}"
            );
        }
    }
}
