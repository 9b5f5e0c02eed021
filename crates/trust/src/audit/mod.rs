//! The audit trail's record: who asked whom for what, why, and what came of it (threats-and-faults section 11).
//!
//! One record an interaction, on each side, joined by the request id. The vocabulary is closed ([`Interaction`],
//! [`Outcome`]). The record is stored in its serde form; [`fhir`] renders it as an AuditEvent. It never holds a token, a
//! key, narrative or a reading. It does hold people's numbers, so Debug shows none of it.

pub mod fhir;

use crate::attest::{Code, DecisionRef, Id};
use crate::caller::{Caller, ClientUse, Person};
use crate::category::Category;
use crate::decide::{Facts, Permit, Refusal};
use crate::detail::Detail;
use crate::encoding::base64url;
use crate::interaction::Interaction;
use crate::rules;
use ::fhir::ids::{HprNumber, OrganisationNumber, PersonIdentifier};
use ::fhir::resource::InformationService;
use ::fhir::time::Instant;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Outcome {
    /// Data was given or taken.
    Allowed,
    /// The rules refused, or answered as if nothing were there.
    Refused {
        /// The rule.
        rule: String,
        /// Its code, such as `attestation_has_expired`.
        code: String,
    },
    /// Nobody proved who they are.
    Unauthenticated {
        /// The OAuth error code, such as `invalid_token`.
        code: String,
    },
    /// It was allowed, but something else was wrong (bad input, a conflict, a fault of ours).
    Failed {
        /// What kind of failure.
        category: Category,
    },
}

/// One resource that was given out or written, or a count of them by kind. Serialises as `Observation/{id}/{version}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disclosed {
    /// Resource type.
    pub resource: String,
    /// Logical id at the holder.
    pub id: String,
    /// Version.
    pub version: u64,
}

impl Serialize for Disclosed {
    fn serialize<S: serde::Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.collect_str(&format_args!(
            "{}/{}/{}",
            self.resource, self.id, self.version
        ))
    }
}

impl<'de> Deserialize<'de> for Disclosed {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = String::deserialize(reader)?;
        let mut parts = text.splitn(3, '/');
        let read = (|| {
            let (resource, id, version) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Disclosed {
                resource: resource.into(),
                id: id.into(),
                version: version.parse().ok()?,
            })
        })();
        read.ok_or_else(|| serde::de::Error::custom("not Type/id/version"))
    }
}

/// Resources that went into numbers only: what they are and how many, not which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Resource type.
    pub resource: String,
    /// What was counted, as `system|code`.
    pub what: String,
    /// How many.
    pub count: u64,
}

/// Another party's part in the same interaction: what a gateway or hub asked of a source and got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Organisation number of the party.
    pub organisation: String,
    /// Service id or audience.
    pub service: String,
    /// The state of CONTRACT section 7 (`complete`, `late`, …) or of a delivery.
    pub state: String,
    /// Resources that came or went.
    pub count: u64,
}

/// What was erased, on whose order; never what it said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Erasure {
    /// Why it may be erased: `deletion-decision`, `copy-withdrawn`, `end-of-processing`.
    pub ground: String,
    /// The controller's order, by its own reference.
    pub order: String,
    /// The decision behind it, by its own reference.
    pub decision: String,
    /// What was to be erased: `resource`, `patient`, `store`.
    pub scope: String,
    /// Resources erased, Patients among them.
    pub resources: u64,
    /// Versions erased, withdrawals among them.
    pub versions: u64,
    /// Patients erased.
    pub patients: u64,
    /// Things to send that were erased unsent, or as far as they were kept.
    pub parcels: u64,
}

/// The person who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Practitioner or citizen.
    pub practitioner: bool,
    /// National identity number; never shown to the patient.
    pub identifier: PersonIdentifier,
    /// Name; shown to the patient (ATT-8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// HPR number; never shown to the patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpr: Option<HprNumber>,
    /// Authorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Code>,
    /// The issuer's pseudonym for the person: what the patient may block somebody by without a staff number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudonym: Option<String>,
    /// A citizen who acts for the patient.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub represents: bool,
}

/// What a decision rested on besides what the record tells anyway, so that the controller can make it again. Told to the controller
/// alone: which wishes there are is nobody else's to know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inputs {
    /// The token's scopes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// The level of the person's login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_level: Option<u8>,
    /// The kinds that the agreement covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agreed: Vec<InformationService>,
    /// The patient's wishes that held, by their ids at the holder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wishes: Vec<String>,
    /// As of when the settings that patients made elsewhere were known, where there is such a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_as_of: Option<Instant>,
}

impl Inputs {
    /// Is there nothing to tell?
    pub fn is_empty(&self) -> bool {
        *self == Inputs::default()
    }
}

/// One record. Make it with [`Record::new`] and the steps below, in the order a request goes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub when: Instant,
    /// The request id that every party shares.
    pub request_id: String,
    /// The caller's own id, if it sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_request_id: Option<String>,
    /// The kind of request.
    pub interaction: Interaction,
    /// What came of it.
    pub outcome: Outcome,
    /// The client of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What that client is registered for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_use: Option<ClientUse>,
    /// The gateway that acted for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The consuming organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationNumber>,
    /// The person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Asker>,
    /// Main unit of the practitioner, as attested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_entity: Option<Id>,
    /// Where care is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_of_care: Option<Id>,
    /// Department.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<Id>,
    /// Kind of health service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcare_service: Option<Code>,
    /// Purpose of use, as attested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Code>,
    /// Finer grounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose_details: Option<Code>,
    /// Written reason (break the glass).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The decision at the consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_ref: Option<DecisionRef>,
    /// Time of attestation, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toa: Option<i64>,
    /// The patient the interaction is about (of the token; for a system, of the resource).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<PersonIdentifier>,
    /// What was asked, as received.
    pub asked: String,
    /// What was given out or written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disclosed: Vec<Disclosed>,
    /// What was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<Erasure>,
    /// What was given out as numbers only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<Counted>,
    /// Other parties' part in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
    /// The agreement that opened the data: id and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<(String, u32)>,
    /// The rules that break the glass overrode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
    /// The kinds of information that each rule left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub narrowed: Vec<(String, Vec<InformationService>)>,
    /// The details that each rule left out of every resource that was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reduced: Vec<(String, Vec<Detail>)>,
    /// The rules that were asked, as far as the one that refused: name and version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<(String, u32)>,
    /// What else the decision rested on.
    #[serde(default, skip_serializing_if = "Inputs::is_empty")]
    pub inputs: Inputs,
    /// SHA-256 of the token, base64url: leads back to the signed attest (ATT-2) without being it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<String>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Record({}, {:?}, {:?})",
            self.request_id, self.interaction, self.outcome
        )
    }
}

/// Code of the refusal as the patient finds it whom somebody asked about with access to another patient.
pub const OTHERS_ACCESS: &str = "others_access";

/// The longest `asked` that is kept, in bytes; longer text is cut and marked.
const LONGEST_ASKED: usize = 8 * 1024;

impl Record {
    /// A record of something that was asked; allowed until it is said otherwise.
    pub fn new(
        when: Instant,
        request_id: impl fmt::Display,
        interaction: Interaction,
        asked: &str,
    ) -> Record {
        let mut kept = asked.to_owned();
        if kept.len() > LONGEST_ASKED {
            let end = (0..=LONGEST_ASKED)
                .rev()
                .find(|at| kept.is_char_boundary(*at))
                .unwrap_or(0);
            kept.truncate(end);
            kept.push('…');
        }
        Record {
            when,
            request_id: request_id.to_string(),
            caller_request_id: None,
            interaction,
            outcome: Outcome::Allowed,
            client: None,
            client_use: None,
            gateway: None,
            organisation: None,
            person: None,
            legal_entity: None,
            point_of_care: None,
            department: None,
            healthcare_service: None,
            purpose: None,
            purpose_details: None,
            reason: None,
            decision_ref: None,
            toa: None,
            patient: None,
            asked: kept,
            disclosed: Vec::new(),
            counted: Vec::new(),
            erasure: None,
            peers: Vec::new(),
            agreement: None,
            broken: Vec::new(),
            narrowed: Vec::new(),
            reduced: Vec::new(),
            rules: Vec::new(),
            inputs: Inputs::default(),
            token_hash: None,
        }
    }

    /// With the caller's own request id.
    pub fn caller_request_id(mut self, id: Option<String>) -> Record {
        self.caller_request_id = id;
        self
    }

    /// With everything the verified token says about the caller and the need.
    pub fn by(mut self, caller: &Caller) -> Record {
        self.client = Some(caller.client_id.clone());
        self.client_use = Some(caller.use_);
        self.gateway = caller.gateway.clone();
        self.organisation = caller.organisation;
        self.patient = caller.patient.clone();
        self.agreement = caller
            .agreement
            .as_ref()
            .map(|one| (one.id.clone(), one.version));
        self.token_hash = Some(base64url(&caller.token_hash));
        self.inputs.scope = caller.scopes.to_string();
        self.inputs.agreed = caller
            .agreement
            .as_ref()
            .map(|one| one.services.clone())
            .unwrap_or_default();
        self.inputs.security_level = match &caller.person {
            Person::System => None,
            Person::Practitioner { security_level, .. }
            | Person::Citizen { security_level, .. } => Some(*security_level),
        };
        self.person = match &caller.person {
            Person::System => None,
            Person::Practitioner {
                identifier,
                name,
                hpr,
                pseudonym,
                attestation,
                ..
            } => Some(Asker {
                practitioner: true,
                identifier: identifier.clone(),
                name: name.clone(),
                hpr: hpr.clone(),
                authorization: attestation
                    .as_ref()
                    .and_then(|one| one.practitioner.authorization.clone()),
                pseudonym: pseudonym.clone(),
                represents: false,
            }),
            Person::Citizen {
                identifier,
                name,
                represents,
                ..
            } => Some(Asker {
                practitioner: false,
                identifier: identifier.clone(),
                name: name.clone(),
                hpr: None,
                authorization: None,
                pseudonym: None,
                represents: represents.is_some(),
            }),
        };
        if let Some(attest) = caller.person.attestation() {
            let relation = &attest.care_relationship;
            self.legal_entity = attest.practitioner.legal_entity.clone();
            self.point_of_care = attest.practitioner.point_of_care.clone();
            self.department = attest.practitioner.department.clone();
            self.healthcare_service = relation.healthcare_service.clone();
            self.purpose = relation.purpose_of_use.clone();
            self.purpose_details = relation.purpose_of_use_details.clone();
            self.reason = relation.reason.clone();
            self.decision_ref = relation.decision_ref.clone();
            self.toa = Some(attest.toa);
        }
        self
    }

    /// Is it about a request that this person made themselves while acting for the patient?
    pub fn is_asked_for_the_patient_by(&self, representative: &PersonIdentifier) -> bool {
        let asker = self.person.as_ref();
        asker.is_some_and(|asker| asker.represents && asker.identifier == *representative)
    }

    /// Decided with these facts: the patient's wishes that held, and how far her settings elsewhere were known.
    pub fn with_facts(mut self, facts: &Facts) -> Record {
        self.inputs.wishes = facts.wishes().map(|wish| wish.id.clone()).collect();
        self.inputs.settings_as_of = facts.known.as_of();
        self
    }

    /// Of a record that a token for one patient was refused another with: the record that the other finds, under her own number.
    /// It tells who asked, from where and when, and nothing that was said about the patient whom the token is for.
    pub fn attempted(&self, about: PersonIdentifier) -> Record {
        let mut other = self.clone();
        other.patient = Some(about);
        other.outcome = Outcome::Refused {
            rule: "patient".to_owned(),
            code: OTHERS_ACCESS.to_owned(),
        };
        if let Some(person) = &mut other.person {
            person.represents = false;
        }
        other.healthcare_service = None;
        other.purpose_details = None;
        other.reason = None;
        other.decision_ref = None;
        other.inputs.wishes.clear();
        other
    }

    /// About a patient that the token does not name (a system's interaction).
    pub fn about(mut self, patient: Option<PersonIdentifier>) -> Record {
        self.patient = self.patient.or(patient);
        self
    }

    /// Allowed by this permit.
    pub fn permitted(mut self, permit: &Permit) -> Record {
        self.outcome = Outcome::Allowed;
        self.broken = permit.broken().iter().map(|&one| one.into()).collect();
        self.narrowed = permit
            .narrowed()
            .iter()
            .map(|(rule, out)| ((*rule).to_owned(), out.clone()))
            .collect();
        self.reduced = permit
            .reduced()
            .iter()
            .map(|(rule, out)| ((*rule).to_owned(), out.clone()))
            .collect();
        self.rules = permit
            .rules()
            .iter()
            .map(|(name, version)| ((*name).to_owned(), *version))
            .collect();
        self
    }

    /// Refused by a rule (also where the answer is an empty one).
    pub fn refused(mut self, refusal: &Refusal) -> Record {
        self.outcome = Outcome::Refused {
            rule: refusal.rule.to_owned(),
            code: refusal.code.to_owned(),
        };
        if self.rules.is_empty() {
            self.rules = rules::until(refusal.rule)
                .map(|rule| (rule.name.to_owned(), rule.version))
                .collect();
        }
        self
    }

    /// Nobody proved who they are.
    pub fn unauthenticated(mut self, code: &str) -> Record {
        self.outcome = Outcome::Unauthenticated {
            code: code.to_owned(),
        };
        self
    }

    /// Allowed, but it failed.
    pub fn failed(mut self, category: Category) -> Record {
        self.outcome = Outcome::Failed { category };
        self.disclosed.clear();
        self.counted.clear();
        self
    }

    /// With what was given out or written.
    pub fn disclosing(mut self, disclosed: Vec<Disclosed>) -> Record {
        self.disclosed = disclosed;
        self
    }

    /// With what was given out as numbers only.
    pub fn counting(mut self, counted: Vec<Counted>) -> Record {
        self.counted = counted;
        self
    }

    /// With other parties' part in it.
    pub fn with_peers(mut self, peers: Vec<Peer>) -> Record {
        self.peers = peers;
        self
    }
}
