//! The attest of the Norwegian trust framework: the signed statement of professional need (tjenstlig behov).
//!
//! NorskHelsenett/Tillitsrammeverk, information and data model v1.1 (2024-04-30), as the claim
//! `nhn:tillitsrammeverk:parameters`. Both names of the relation are read (`care_relation`, `care_relationship`); the
//! second is written. What a look-up requires of it is decided in `rules`, so that a missing part is a refusal that is
//! audited, not a parse error.

mod statement;

pub use statement::{StatedPractitioner, Statement, StatementError};

use fhir::ids::{PersonIdentifier, PersonNumbers};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Name of the claim, and of the `type` in `authorization_details`.
pub const CLAIM: &str = "nhn:tillitsrammeverk:parameters";

/// Oldest attest that is accepted, in seconds from `toa` (ATT-58: 60 minutes).
pub const LIFETIME_SECONDS: i64 = 60 * 60;

/// The framework's id object: a person, an organisation or a unit. Debug shows the system only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id {
    /// The number itself.
    pub id: String,
    /// The name people know it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// OID of the series, as `urn:oid:…`.
    pub system: String,
    /// Who keeps the series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.system)
    }
}

impl Id {
    /// As a person's identifier, if its system is one for people and the number is well formed.
    pub fn person(&self) -> Option<PersonIdentifier> {
        PersonIdentifier::parse(&self.system, &self.id, PersonNumbers::Lenient).ok()
    }
}

/// The framework's code object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The code.
    pub code: String,
    /// Its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its code system.
    pub system: String,
    /// Who assigned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigner: Option<String>,
}

/// Who attests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attester {
    /// FNR or DNR; must be the user who is logged in (ATT-10, ATT-11).
    pub identifier: Id,
    /// HPR number, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpr_nr: Option<Id>,
    /// Authorisation (code system 9060), if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Code>,
    /// Main unit (hovedenhet), organisation number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_entity: Option<Id>,
    /// Where care is given, organisation number of the sub-unit; may equal the legal entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_of_care: Option<Id>,
    /// RESH id or a local one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<Id>,
}

/// The decision at the consumer that the look-up rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRef {
    /// Unique at the consumer; the same in every party's log.
    pub id: String,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// True when the user chose it, false when the system derived it (ATT-48).
    pub user_selected: bool,
}

/// Why this practitioner needs this patient's data now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CareRelationship {
    /// Kind of health service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcare_service: Option<Code>,
    /// TREAT, ETREAT, COC or BTG (HL7 PurposeOfUse).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose_of_use: Option<Code>,
    /// Finer grounds, such as a decision template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose_of_use_details: Option<Code>,
    /// The decision behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_ref: Option<DecisionRef>,
    /// Written reason given with BTG (our addition; the patient sees it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl CareRelationship {
    /// The written reason, if somebody can read one: what has no letter and no digit is none, however long it is.
    pub fn written_reason(&self) -> Option<&str> {
        let reason = self.reason.as_deref();
        reason.filter(|reason| reason.chars().any(char::is_alphanumeric))
    }
}

/// One patient the attest is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestedPatient {
    /// FNR, DNR or FHN.
    pub identifier: Id,
    /// Where the patient is treated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_of_care: Option<Id>,
    /// By which department.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<Id>,
}

/// The attest as it stands in the token. Debug shows no number and no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// Time of attestation, Unix seconds.
    pub toa: i64,
    /// Who attests.
    pub practitioner: Attester,
    /// Why.
    #[serde(alias = "care_relation")]
    pub care_relationship: CareRelationship,
    /// About whom; may be empty, then it opens no patient's data.
    #[serde(default)]
    pub patients: Vec<AttestedPatient>,
}

/// The four purposes that open data (HL7 PurposeOfUse as the framework uses it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// Direct, non-acute care.
    #[serde(rename = "TREAT")]
    Treat,
    /// The acute chain, under ordinary rules.
    #[serde(rename = "ETREAT")]
    EmergencyTreat,
    /// Coordination, not direct care.
    #[serde(rename = "COC")]
    Coordination,
    /// Break the glass.
    #[serde(rename = "BTG")]
    BreakTheGlass,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Purpose; 4] = [
        Purpose::Treat,
        Purpose::EmergencyTreat,
        Purpose::Coordination,
        Purpose::BreakTheGlass,
    ];

    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Purpose::Treat => "TREAT",
            Purpose::EmergencyTreat => "ETREAT",
            Purpose::Coordination => "COC",
            Purpose::BreakTheGlass => "BTG",
        }
    }

    /// Display of the code in HL7 v3 ActReason.
    pub fn display(self) -> &'static str {
        match self {
            Purpose::Treat => "treatment",
            Purpose::EmergencyTreat => "Emergency Treatment",
            Purpose::Coordination => "coordination of care",
            Purpose::BreakTheGlass => "break the glass",
        }
    }

    /// Reads the code exactly.
    pub fn parse(code: &str) -> Option<Purpose> {
        Purpose::ALL.into_iter().find(|one| one.code() == code)
    }
}

impl Attestation {
    /// The purpose, if one of the four is stated.
    pub fn purpose(&self) -> Option<Purpose> {
        self.care_relationship
            .purpose_of_use
            .as_ref()
            .and_then(|code| Purpose::parse(&code.code))
    }

    /// The patient, if it is bound to exactly one.
    pub fn only_patient(&self) -> Option<PersonIdentifier> {
        match self.patients.as_slice() {
            [only] => only.identifier.person(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;

    const WIRE: &str = r#"{"toa":1700000000,
      "practitioner":{"identifier":{"id":"14835210260","system":"urn:oid:2.16.578.1.12.4.1.4.1","name":"Lege Test"},
        "legal_entity":{"id":"310001074","system":"urn:oid:2.16.578.1.12.4.1.4.101"}},
      "NAME":{"purpose_of_use":{"code":"TREAT","system":"urn:oid:2.16.840.1.113883.1.11.20448"},
        "decision_ref":{"id":"d-1","user_selected":false}},
      "patients":[{"identifier":{"id":"14835210260","system":"urn:oid:2.16.578.1.12.4.1.4.1"}}]}"#;

    #[test]
    fn both_names_are_read_and_one_is_written() {
        for name in ["care_relation", "care_relationship"] {
            let attest: Attestation = serde_json::from_str(&WIRE.replace("NAME", name)).unwrap();
            assert_eq!(attest.purpose(), Some(Purpose::Treat));
            assert!(attest.only_patient().is_some());
            let written = serde_json::to_string(&attest).unwrap();
            assert!(
                written.contains("\"care_relationship\"") && !written.contains("\"care_relation\"")
            );
        }
        let both = WIRE.replace("\"NAME\":", "\"care_relation\":{},\"care_relationship\":");
        assert!(serde_json::from_str::<Attestation>(&both).is_err());
    }

    #[test]
    fn a_reason_that_nobody_can_read_is_none() {
        for (reason, written) in [
            ("unconscious", true),
            ("1", true),
            ("", false),
            (" \t", false),
            // Zero width, no-break, soft hyphen, braille blank: nothing to see.
            ("\u{200b}\u{2060}", false),
            ("\u{a0}\u{ad}\u{2800}", false),
            ("...", false),
        ] {
            let relation = CareRelationship {
                reason: Some(reason.into()),
                ..CareRelationship::default()
            };
            assert_eq!(relation.written_reason().is_some(), written, "{reason:?}");
        }
        assert_eq!(CareRelationship::default().written_reason(), None);
    }

    #[test]
    fn an_unknown_purpose_is_none_and_debug_tells_nobody() {
        let text = WIRE
            .replace("NAME", "care_relationship")
            .replace("TREAT", "HMARKT");
        let attest: Attestation = serde_json::from_str(&text).unwrap();
        assert_eq!(attest.purpose(), None);
        let shown = format!("{attest:?}");
        assert!(!shown.contains("14835210260") && !shown.contains("Lege"));
    }
}
