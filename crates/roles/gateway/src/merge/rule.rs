//! Which copies are the same thing: one rule a kind of information.

use super::Given;
use fhir::resource::ResourceType;

/// How copies of one resource type are recognised as the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Readings: one reading is one thing wherever it was copied to.
    Reading,
    /// Plans: each organisation's own entry stands beside the others' and is never merged away; only the very same entry
    /// (same business identifier and content) found by two roads is shown once. One business identifier with two contents
    /// is one entry of which the copies disagree: both are shown and flagged.
    SideBySide,
    /// Medication lists: side by side as plans; lines of one substance at several organisations are told of each other, with
    /// whether their doses are the same ([`super::substance`]).
    Medicine,
    /// Answers: as readings, but answers to one version of a questionnaire are never taken for answers to another.
    Answers,
    /// Patients: each holder's own record of the person, one a holder.
    PerHolder,
    /// Audit records: each is an event of its own, even if two say the same of the same moment.
    Record,
}

impl Rule {
    /// The rule for a resource type.
    pub fn of(resource: ResourceType) -> Rule {
        match resource {
            ResourceType::OBSERVATION => Rule::Reading,
            ResourceType::PATIENT => Rule::PerHolder,
            ResourceType::AUDIT_EVENT => Rule::Record,
            ResourceType::MEDICATION_STATEMENT => Rule::Medicine,
            ResourceType::QUESTIONNAIRE_RESPONSE => Rule::Answers,
            _ => Rule::SideBySide,
        }
    }

    /// The key under which a part meets what it may be a part of.
    pub(super) fn meeting(self, copy: &Given) -> Vec<u8> {
        match self {
            Rule::Reading | Rule::Answers => self.key(copy),
            Rule::SideBySide | Rule::Medicine if copy.named => copy.identity.key.clone(),
            Rule::SideBySide | Rule::Medicine | Rule::PerHolder | Rule::Record => {
                [copy.route.orgnr.as_bytes(), b"\0", &copy.identity.key].concat()
            }
        }
    }

    /// The key under which equal things meet.
    pub(super) fn key(self, copy: &Given) -> Vec<u8> {
        match self {
            Rule::Reading => copy.identity.key.clone(),
            Rule::Record => copy.route.full_url.as_bytes().to_vec(),
            Rule::Answers => {
                let of = copy.questionnaire.as_deref().unwrap_or_default();
                [&copy.identity.key[..], b"\0", of.as_bytes()].concat()
            }
            Rule::SideBySide | Rule::Medicine if copy.named => copy.identity.key.clone(),
            // Two lists that hold the same words are still two lists.
            Rule::SideBySide | Rule::Medicine => {
                [copy.route.orgnr.as_bytes(), b"\0", &copy.identity.digest].concat()
            }
            Rule::PerHolder => [copy.route.orgnr.as_bytes(), b"\0", &copy.identity.key].concat(),
        }
    }
}
