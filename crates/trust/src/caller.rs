//! The caller of one request, as a verified token tells it. Made from claims by `token`; believed nowhere before.

use crate::attest::Attestation;
use crate::decide::Facts;
use crate::scope::Scopes;
use fhir::ids::{HprNumber, OrganisationNumber, PersonIdentifier};
use fhir::resource::InformationService;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a client is registered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientUse {
    /// Sends home measurements to the hub (DHO-system).
    HomeSystem,
    /// An organisation's own record system (EPJ).
    RecordSystem,
    /// Asks other organisations on behalf of users; may exchange tokens.
    Gateway,
    /// The hub, which delivers to owners under delegation.
    Hub,
    /// A sharing service, which announces to the locator.
    Service,
    /// Pages for people.
    Portal,
    /// Those who run the anchor: suspends, resumes, changes keys. Opens no patient's data anywhere.
    Operator,
    /// The demo's `delt-test` client.
    Test,
}

/// The agreement between consumer and provider that the anchor put into the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Its id at the anchor.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// The information services it opens.
    pub services: Vec<InformationService>,
}

/// The delegation by which a client acts for another organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// Its id at the anchor.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// The organisation that delegated.
    pub from: OrganisationNumber,
}

/// A representation that the anchor knows: a parent's, a guardian's, a power of attorney (fullmakt).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Representation {
    /// Its id at the anchor.
    pub id: String,
    /// The information services it covers, as the patient chose.
    pub services: Vec<InformationService>,
    /// Whether it covers the log of who looked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log: bool,
    /// Whether it covers the notes of those who treat the patient.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notes: bool,
}

/// Somebody who acts for the citizen who asks, as the anchor knows it: told to that citizen's own gateway, and to no holder.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepresentedBy {
    /// Name, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// By what, and what it covers.
    pub by: Representation,
}

impl fmt::Debug for RepresentedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepresentedBy({})", self.by.id)
    }
}

/// Whose need it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Person {
    /// Nobody: a system on its own.
    System,
    /// Health personnel.
    Practitioner {
        /// Who logged in (`pid`).
        identifier: PersonIdentifier,
        /// Name, for the patient's view of the log.
        name: Option<String>,
        /// HPR number, if there is one.
        hpr: Option<HprNumber>,
        /// The issuer's pseudonym for the person, the same at every party: what a patient blocks somebody by.
        pseudonym: Option<String>,
        /// Level of the login, 1 to 4; 4 is high (ATT-9).
        security_level: u8,
        /// The attest; its absence is a refusal in the rules.
        attestation: Option<Box<Attestation>>,
    },
    /// A patient, or somebody with a power of attorney for one.
    Citizen {
        /// Who logged in.
        identifier: PersonIdentifier,
        /// Name.
        name: Option<String>,
        /// Level of the login, 1 to 4; 4 is high.
        security_level: u8,
        /// The representation by which the citizen acts for the patient, as the anchor knows it.
        represents: Option<Representation>,
    },
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Person::System => "System",
            Person::Practitioner { .. } => "Practitioner",
            Person::Citizen { .. } => "Citizen",
        })
    }
}

impl Person {
    /// Who logged in, if a person did.
    pub fn identifier(&self) -> Option<&PersonIdentifier> {
        match self {
            Person::System => None,
            Person::Practitioner { identifier, .. } | Person::Citizen { identifier, .. } => {
                Some(identifier)
            }
        }
    }

    /// The attest, where there is one.
    pub fn attestation(&self) -> Option<&Attestation> {
        match self {
            Person::Practitioner { attestation, .. } => attestation.as_deref(),
            _ => None,
        }
    }
}

/// A verified caller. Debug shows no person's number or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The client the token was first issued to (with an exchanged token: the gateway, see `gateway`).
    pub client_id: String,
    /// What that client is registered for.
    pub use_: ClientUse,
    /// The organisation that consumes: the practitioner's legal entity, or the client's own. A citizen has none.
    pub organisation: Option<OrganisationNumber>,
    /// What the token allows.
    pub scopes: Scopes,
    /// Whose need it is.
    pub person: Person,
    /// The patient the token is bound to.
    pub patient: Option<PersonIdentifier>,
    /// The id by which an app that was launched knows that patient; nobody's number.
    pub patient_id: Option<String>,
    /// Who acts for the citizen.
    pub represented_by: Vec<RepresentedBy>,
    /// The gateway that asks for the user (`act`).
    pub gateway: Option<String>,
    /// The agreement that opens another organisation's data.
    pub agreement: Option<Agreement>,
    /// The delegation that lets a client write for another organisation.
    pub delegation: Option<Delegation>,
    /// The token's one audience.
    pub audience: String,
    /// The token's id.
    pub token_id: String,
    /// Thumbprint of the key the token is bound to.
    pub jkt: String,
    /// SHA-256 of the token as received.
    pub token_hash: [u8; 32],
    /// When it was issued.
    pub issued: Instant,
    /// When it ends.
    pub expires: Instant,
}

impl Caller {
    /// Somebody who is asked about and brought no token: no client, no scope, no patient, now, at the party of `facts`.
    pub(crate) fn without_token(
        person: Person,
        organisation: OrganisationNumber,
        facts: &Facts,
    ) -> Caller {
        Caller {
            client_id: String::new(),
            use_: ClientUse::Gateway,
            organisation: Some(organisation),
            scopes: Scopes::default(),
            person,
            patient: None,
            patient_id: None,
            represented_by: Vec::new(),
            gateway: None,
            agreement: None,
            delegation: None,
            audience: facts.audience.to_string(),
            token_id: String::new(),
            jkt: String::new(),
            token_hash: [0; 32],
            issued: facts.now,
            expires: facts.now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::people::{Case, FJELLVIK, PATIENT, PHYSICIAN};

    #[test]
    fn a_person_logged_in_and_a_practitioner_alone_attests() {
        let attests = |case: &Case| case.caller.person.attestation().is_some();
        let logged_in = |case: &Case| {
            let number = case.caller.person.identifier();
            number.map(|number| number.value().expose().to_owned())
        };
        let case = Case::practitioner();
        assert_eq!(logged_in(&case).as_deref(), Some(PHYSICIAN));
        assert!(attests(&case));
        let case = Case::citizen();
        assert_eq!(logged_in(&case).as_deref(), Some(PATIENT));
        assert!(!attests(&case));
        let case = Case::system(ClientUse::RecordSystem, FJELLVIK);
        assert_eq!(logged_in(&case), None);
        assert!(!attests(&case));
    }
}
