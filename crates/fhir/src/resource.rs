//! Resources and how far they are trusted: `Received` (strictly read JSON) becomes [`Checked`] (its rules hold).
//!
//! Standard: FHIR R4 resource list; information services from the target architecture for digital home
//! follow-up (`spec/plans-medication-other` section 1).

use crate::definitions::Definitions;
use crate::identity::{self, Identity};
use crate::ids::PersonNumbers;
use crate::index::{self, Index};
use crate::json::{Json, Node, Seams, ServerMeta};
use crate::outcome::{Issue, IssueCode};
use crate::time::Zone;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

mod types;

/// A FHIR R4 resource type: one of the names the standard has, and no other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceType(&'static str);

impl ResourceType {
    /// Observation.
    pub const OBSERVATION: Self = Self("Observation");
    /// Patient.
    pub const PATIENT: Self = Self("Patient");
    /// CarePlan.
    pub const CARE_PLAN: Self = Self("CarePlan");
    /// Goal.
    pub const GOAL: Self = Self("Goal");
    /// MedicationStatement.
    pub const MEDICATION_STATEMENT: Self = Self("MedicationStatement");
    /// DeviceUseStatement.
    pub const DEVICE_USE_STATEMENT: Self = Self("DeviceUseStatement");
    /// QuestionnaireResponse.
    pub const QUESTIONNAIRE_RESPONSE: Self = Self("QuestionnaireResponse");
    /// DetectedIssue: an alert.
    pub const DETECTED_ISSUE: Self = Self("DetectedIssue");
    /// Task.
    pub const TASK: Self = Self("Task");
    /// Bundle.
    pub const BUNDLE: Self = Self("Bundle");
    /// AuditEvent.
    pub const AUDIT_EVENT: Self = Self("AuditEvent");
    /// Consent: here, what a patient has closed.
    pub const CONSENT: Self = Self("Consent");
    /// Subscription: what a subscriber is told of.
    pub const SUBSCRIPTION: Self = Self("Subscription");
    /// OperationOutcome.
    pub const OPERATION_OUTCOME: Self = Self("OperationOutcome");
    /// CapabilityStatement.
    pub const CAPABILITY_STATEMENT: Self = Self("CapabilityStatement");
    /// Organization.
    pub const ORGANIZATION: Self = Self("Organization");
    /// HealthcareService.
    pub const HEALTHCARE_SERVICE: Self = Self("HealthcareService");
    /// Endpoint.
    pub const ENDPOINT: Self = Self("Endpoint");
    /// OrganizationAffiliation.
    pub const ORGANIZATION_AFFILIATION: Self = Self("OrganizationAffiliation");

    /// The type of this name, letter by letter; `None` if R4 has no such type.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        types::R4
            .binary_search(&name)
            .ok()
            .map(|at| Self(types::R4[at]))
    }

    /// The type that a resource says it is.
    ///
    /// # Errors
    /// An issue when `resourceType` is missing, no string, or no R4 type.
    pub fn of(resource: Node<'_>) -> Result<Self, Issue> {
        let Some(name) = resource.text("resourceType") else {
            let text = "resourceType is missing: a FHIR resource was expected";
            return Err(Issue::error(IssueCode::Structure, "resourceType", text));
        };
        Self::parse(&name).ok_or_else(|| {
            Issue::error(
                IssueCode::Structure,
                "resourceType",
                "resourceType is not a type of FHIR R4",
            )
        })
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The information service that resources of this type belong to; `None` for what is not information
    /// about a patient (Bundle, Organization, …).
    #[must_use]
    pub fn information_service(self) -> Option<InformationService> {
        Definitions::get().service_of(self)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for ResourceType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for ResourceType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| serde::de::Error::custom("not a resource type of FHIR R4"))
    }
}

/// An information service (informasjonstjeneste) of the target architecture: `IT17` is 17.
///
/// It is the kind of a pointer in the locator (CONTRACT section 8). `Display` and JSON: `IT01`, `IT17`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InformationService(u8);

impl InformationService {
    /// Examinations, measurements and findings.
    pub const MEASUREMENTS: Self = Self(17);
    /// Plans.
    pub const PLANS: Self = Self(8);
    /// Record documents (IT09).
    pub const DOCUMENTS: Self = Self(9);
    /// Medicines and vaccines.
    pub const MEDICATION: Self = Self(3);

    /// The numbers that the target architecture has.
    pub const ALL: [Self; 11] = [
        Self(1),
        Self(3),
        Self(7),
        Self(8),
        Self(9),
        Self(10),
        Self(11),
        Self(12),
        Self(17),
        Self(19),
        Self(23),
    ];

    /// Reads `IT01`, `IT17`; `None` for a service the target architecture does not have.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|service| service.to_string() == text)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl std::str::FromStr for InformationService {
    type Err = UnknownService;
    fn from_str(text: &str) -> Result<Self, UnknownService> {
        Self::parse(text).ok_or(UnknownService)
    }
}

/// The target architecture has no such information service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an information service: expected IT01, IT03, IT07 to IT12, IT17, IT19 or IT23")]
pub struct UnknownService;

impl fmt::Display for InformationService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IT{:02}", self.0)
    }
}

impl fmt::Debug for InformationService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for InformationService {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InformationService {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(UnknownService))
    }
}

/// What came in and was read strictly as JSON, no more.
pub type Received = Json;

/// A resource whose rules hold. Made by [`crate::check::check`] alone; what it holds is what was sent, byte for
/// byte, with what Delt finds it by.
#[derive(Clone)]
pub struct Checked {
    body: Bytes,
    resource_type: ResourceType,
    index: Index,
    identity: Identity,
    seams: Seams,
    remarks: Box<[Issue]>,
}

impl Checked {
    /// Seals a resource that has passed its rules. Finds index and identity; what these cannot read (a person's
    /// number, a date) is a finding, never left out in silence.
    pub(crate) fn seal(
        json: &Json,
        node: Node<'_>,
        resource_type: ResourceType,
        zone: &Zone,
        numbers: PersonNumbers,
    ) -> Result<Self, Vec<Issue>> {
        let index = index::of(node, resource_type, zone, numbers)?;
        let identity = identity::of(node, resource_type, &index);
        Ok(Self {
            body: json.slice(node),
            resource_type,
            index,
            identity,
            seams: Seams::of(node),
            remarks: Box::default(),
        })
    }

    /// Keeps what was remarked without refusing.
    pub(crate) fn remark(&mut self, remarks: Vec<Issue>) {
        self.remarks = remarks.into();
    }

    /// What was remarked and refuses nothing: warnings, and profiles that nobody here knows.
    #[must_use]
    pub fn remarks(&self) -> &[Issue] {
        &self.remarks
    }

    /// The bytes as sent.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The resource's type.
    #[must_use]
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// What it is found by.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What makes it the same as another.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The bytes with `id` and server-owned `meta` set, every other byte as sent. Does not parse again.
    #[must_use]
    pub fn with_server_fields(&self, id: &str, meta: &ServerMeta) -> Vec<u8> {
        self.seams.apply(&self.body, id, meta)
    }
}

/// Type and length only: no content.
impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Checked({}, {} bytes)",
            self.resource_type,
            self.body.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_holds_every_constant() {
        assert!(types::R4.is_sorted());
        assert_eq!(types::R4.len(), 146);
        for constant in [
            ResourceType::OBSERVATION,
            ResourceType::PATIENT,
            ResourceType::CARE_PLAN,
            ResourceType::MEDICATION_STATEMENT,
            ResourceType::BUNDLE,
            ResourceType::AUDIT_EVENT,
            ResourceType::OPERATION_OUTCOME,
            ResourceType::CAPABILITY_STATEMENT,
            ResourceType::ORGANIZATION,
            ResourceType::HEALTHCARE_SERVICE,
            ResourceType::ENDPOINT,
            ResourceType::ORGANIZATION_AFFILIATION,
        ] {
            assert_eq!(ResourceType::parse(constant.as_str()), Some(constant));
        }
        assert!(
            types::R4
                .iter()
                .copied()
                .eq(Definitions::get().resource_types())
        );
        assert_eq!(ResourceType::parse("observation"), None);
        assert_eq!(ResourceType::parse(""), None);
    }

    #[test]
    fn information_services() {
        assert_eq!(
            ResourceType::OBSERVATION.information_service(),
            Some(InformationService::MEASUREMENTS)
        );
        assert_eq!(InformationService::MEDICATION.to_string(), "IT03");
        assert_eq!(
            InformationService::parse("IT03"),
            Some(InformationService::MEDICATION)
        );
        for bad in ["IT3", "IT02", "it03", "IT24", ""] {
            assert_eq!(InformationService::parse(bad), None, "{bad}");
        }
        assert_eq!(ResourceType::BUNDLE.information_service(), None);
    }
}
