//! What is registered at the agreement point by its operators: documents as they are written, signed and kept. A document is
//! JSON text; signatures are made over that text byte for byte, so it is never written anew.

use crate::contract::anchor::AgreementKind;
use serde::{Deserialize, Serialize};

/// Takes a signed [`RegisterOrder`](crate::contract::operate::RegisterOrder).
pub const REGISTER: &str = "/operate/register";
/// Everything registered by orders, as it stands: compact JWS of [`Entry`], `typ` [`ENTRY_TYP`].
pub const REGISTERED: &str = "/operate/registered";
/// JOSE `typ` of an [`Entry`].
pub const ENTRY_TYP: &str = "delt-entry+jwt";
/// JOSE `typ` of a party's detached signature over a document's text.
pub const DOCUMENT_TYP: &str = "delt-document+jws";
/// Longest document, in bytes.
pub const LONGEST_DOCUMENT: usize = 4 * 1024;
/// Signatures on one document at most.
pub const MOST_SIGNATURES: usize = 32;
/// Names the locator as what a collaboration is about.
pub const LOCATOR: &str = "locator";

/// A participant: the legal entity, its units, its keys for signing documents, whom to reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// Organisation number of the main unit.
    pub orgnr: String,
    /// Name.
    pub name: String,
    /// `municipality`, `gp-office`, `hospital`, `supplier`, `collaboration`.
    pub kind: String,
    /// Sub-units that resolve to it.
    #[serde(default)]
    pub units: Vec<Unit>,
    /// Public JWKs by which it signs documents.
    #[serde(default)]
    pub keys: Vec<serde_json::Value>,
    /// Functions to be reached, never a person's private number.
    #[serde(default)]
    pub contacts: Vec<Contact>,
}

/// A sub-unit by organisation number or RESH id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Organisation number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orgnr: Option<String>,
    /// RESH id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resh: Option<String>,
    /// Name.
    pub name: String,
}

/// Whom to reach for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// A function: `security`, `operations`, `agreements`.
    pub role: String,
    /// Telephone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telephone: Option<String>,
    /// E-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// A client, with its public keys alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Client id.
    pub client_id: String,
    /// Organisation it belongs to; for a home system, the one it sends for.
    pub orgnr: String,
    /// What for: `home-system`, `record-system`, `gateway`, `hub`, `service`, `portal`, `operator`.
    #[serde(rename = "use")]
    pub use_: String,
    /// Public JWKs.
    pub keys: Vec<serde_json::Value>,
    /// Scopes it may ask for, SMART's and identity scopes.
    pub scopes: Vec<String>,
    /// Audiences it may ask for.
    pub audiences: Vec<String>,
    /// Ways to a token, by their OAuth names; none: those of its use.
    #[serde(default)]
    pub grants: Vec<String>,
    /// Where codes may be sent.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where browsers may be sent after a sign-out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<String>,
}

/// Access to each other's data for health care.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Its id.
    pub id: String,
    /// Version of its terms.
    pub terms: String,
    /// Consuming organisation.
    pub consumer: String,
    /// Providing organisation.
    pub provider: String,
    /// Information services it covers (`IT17` …).
    pub services: Vec<String>,
    /// First day in force, `yyyy-mm-dd`.
    pub from: String,
    /// Last day in force; open-ended if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// One organisation lets another's clients act for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// Its id.
    pub id: String,
    /// Who delegates.
    pub from: String,
    /// Whose clients act.
    pub to: String,
    /// First day in force, `yyyy-mm-dd`.
    pub from_day: String,
    /// Last day in force; open-ended if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_day: Option<String>,
    /// The sharing service that the other runs under it, if that is what it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// Data processing agreement (databehandleravtale) for one sharing service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessingAgreement {
    /// Its id.
    pub id: String,
    /// Who is responsible.
    pub controller: String,
    /// The supplier.
    pub processor: String,
    /// The sharing service, by its id in the region's configuration.
    pub service: String,
    /// Day it was signed, from which it is in force, `yyyy-mm-dd`.
    pub date: String,
    /// Last day in force; open-ended if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A written collaboration under pasientjournalloven § 9.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collaboration {
    /// Its id.
    pub id: String,
    /// What it is about: a shared register's service id, or [`LOCATOR`].
    pub register: String,
    /// Day it was signed, `yyyy-mm-dd`.
    pub date: String,
    /// What it covers.
    pub scope: String,
    /// Who is controller for what.
    pub controller_arrangement: String,
    /// How patients' rights are met.
    pub patients_rights: String,
    /// What happens at exit.
    pub exit_terms: String,
    /// The organisations bound by it.
    pub members: Vec<String>,
    /// Last day in force; open-ended if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// By what somebody acts for a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepresentationGround {
    /// The patient gave it, and chose what it covers (fullmakt).
    Fullmakt,
    /// A parent, until the child turns 12.
    Parent,
}

/// Who may act for a patient: the one document about people. The list of changes names its id alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Representation {
    /// Its id; never a number of anybody's.
    pub id: String,
    /// By what.
    pub ground: RepresentationGround,
    /// Fødselsnummer or D-nummer of who acts.
    pub representative: String,
    /// What they are called, which the patient is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub representative_name: Option<String>,
    /// Fødselsnummer or D-nummer of the patient.
    pub patient: String,
    /// What she is called, for the choice at the sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_name: Option<String>,
    /// Information services it covers (`IT17` …).
    pub services: Vec<String>,
    /// Whether it covers the log of who looked.
    #[serde(default)]
    pub log: bool,
    /// Whether it covers the notes of those who treat the patient.
    #[serde(default)]
    pub notes: bool,
    /// First day in force, `yyyy-mm-dd`.
    pub from: String,
    /// Last day in force; open-ended if missing, but for a parent's, which ends when the child turns 12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The day a child was born, for a parent's; a number does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<String>,
}

impl std::fmt::Debug for Representation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Representation({})", self.id)
    }
}

impl Collaboration {
    /// As published documents name its kind.
    pub fn kind(&self) -> AgreementKind {
        match self.register == LOCATOR {
            true => AgreementKind::Locator,
            false => AgreementKind::SharedRegister,
        }
    }
}

/// What was registered by orders and counts: complete, signed by whom it binds, not ended. The law is asked about this
/// together with the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Participants.
    pub participants: Vec<Participant>,
    /// Clients.
    pub clients: Vec<Client>,
    /// Agreements.
    pub agreements: Vec<Agreement>,
    /// Delegations.
    pub delegations: Vec<Delegation>,
    /// Data processing agreements.
    pub processing_agreements: Vec<ProcessingAgreement>,
    /// Collaborations.
    pub collaborations: Vec<Collaboration>,
}

/// One thing that was registered by orders, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The anchor.
    pub iss: String,
    /// What it is.
    pub kind: super::operate::Kind,
    /// Which one.
    pub id: String,
    /// The number that the next order about it must expect.
    pub version: u64,
    /// Whether it counts, apart from signatures.
    pub state: super::operate::Standing,
    /// The document's text, as it was signed; empty for one about people, which is told to nobody.
    pub document: String,
    /// Detached signatures over it.
    pub signatures: Vec<String>,
    /// Organisations whose signature is still missing; until then it is not in force.
    pub unsigned_by: Vec<String>,
}
