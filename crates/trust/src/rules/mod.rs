//! The rules, one file each, and the order they are asked in.
//!
//! A rule answers *deny*, *deny unless the glass is broken*, *nothing* (as if it were not there), *allow these parts*, or *not
//! mine*. Deny wins; no answer means no. A new rule is a new file and one line in [`LIST`].

mod agreement;
mod attestation;
mod audience;
pub(crate) mod authorisation;
mod block;
mod care_relationship;
mod decision_ref;
mod identity;
mod minimisation;
mod patient;
mod purpose;
mod representation;
mod reservation;
mod role;
mod scope;
mod subscription;
mod work_list;

#[cfg(test)]
mod matrix;
#[cfg(test)]
pub(crate) mod people;

use crate::attest::{Attestation, Purpose};
use crate::caller::{Caller, Person};
use crate::category::Category;
use crate::decide::{Ask, Facts, PermitScope, Refusal};
use crate::detail::Detail;
use crate::interaction::Interaction;
use fhir::resource::InformationService;
use fhir::time::Range;

/// One question to all rules.
pub struct Question<'a> {
    /// What is asked for.
    pub ask: &'a Ask,
    /// By whom.
    pub caller: &'a Caller,
    /// Of whom.
    pub facts: &'a Facts,
}

impl Question<'_> {
    /// Where a practitioner asks for patients' data: the attest, or the lack of it. Outer `None`: no attest is needed.
    fn attest(&self) -> Option<Option<&Attestation>> {
        match &self.caller.person {
            Person::Practitioner { attestation, .. }
                if self.ask.interaction != Interaction::Directory =>
            {
                Some(attestation.as_deref())
            }
            _ => None,
        }
    }

    /// Is only the reason of an earlier answer asked for? Whoever was refused may hear why: nothing of the patient's is opened.
    pub(crate) fn only_why(&self) -> bool {
        self.ask.interaction == Interaction::Explain
    }

    /// Does a practitioner break the glass, with a written reason?
    pub(crate) fn breaks_the_glass(&self) -> bool {
        self.caller.person.attestation().is_some_and(|attest| {
            attest.purpose() == Some(Purpose::BreakTheGlass)
                && attest.care_relationship.written_reason().is_some()
        })
    }
}

/// A rule's answer.
pub enum Answer {
    /// No.
    Deny(Refusal),
    /// No, unless the glass is broken with a written reason.
    DenyUnlessBroken(Refusal),
    /// Yes, within these parts; without that limit if the glass is broken with a written reason.
    AllowMoreIfBroken(Parts),
    /// As if nothing were there.
    Nothing(Refusal),
    /// Yes, within these parts.
    Allow(Parts),
    /// Nothing to say.
    NotMine,
}

/// What a rule allows. `None` says nothing about that side.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Whose data; without any rule that says so, nobody's.
    pub scope: Option<PermitScope>,
    /// Which information services.
    pub services: Option<Vec<InformationService>>,
    /// Which time.
    pub period: Option<Range>,
    /// Which details of resources are left out.
    pub without: &'static [Detail],
}

impl Parts {
    /// Both: one patient wins over the whole store, services and periods are intersected. Details are not added up here:
    /// `decide` keeps them by rule.
    pub(crate) fn and(self, other: Parts) -> Parts {
        let scope = match (self.scope, other.scope) {
            (Some(PermitScope::OwnStore) | None, Some(scope)) | (Some(scope), _) => Some(scope),
            (None, None) => None,
        };
        let services = match (self.services, other.services) {
            (Some(ours), Some(theirs)) => Some(
                ours.into_iter()
                    .filter(|one| theirs.contains(one))
                    .collect(),
            ),
            (ours, theirs) => ours.or(theirs),
        };
        let period = match (self.period, other.period) {
            (Some(ours), Some(theirs)) => {
                let lo = ours.lo.max(theirs.lo);
                // An empty meeting keeps `hi` above `lo`, as a range must, at a point that holds no data.
                Some(Range {
                    lo,
                    hi: ours.hi.min(theirs.hi).max(lo + 1),
                })
            }
            (ours, theirs) => ours.or(theirs),
        };
        Parts {
            scope,
            services,
            period,
            without: &[],
        }
    }
}

/// A rule: its name and version (both go into the audit trail), its source, and the check.
pub struct Rule {
    /// Name, as in refusals.
    pub name: &'static str,
    /// Raised whenever the meaning changes.
    pub version: u32,
    /// Where it comes from.
    pub source: &'static str,
    /// The check.
    pub check: fn(&Question<'_>) -> Answer,
}

/// All rules, in the order they are asked. Hard denials first; what narrows comes last.
pub const LIST: &[Rule] = &[
    audience::RULE,
    role::RULE,
    scope::RULE,
    attestation::RULE,
    identity::RULE,
    authorisation::RULE,
    purpose::RULE,
    subscription::RULE,
    care_relationship::RULE,
    decision_ref::RULE,
    patient::RULE,
    work_list::RULE,
    representation::RULE,
    agreement::RULE,
    reservation::RULE,
    block::RULE,
    minimisation::RULE,
];

/// Those of [`LIST`] that ask about the person and the documented need, whatever the data.
pub const NEED: &[Rule] = &[
    attestation::RULE,
    identity::RULE,
    purpose::RULE,
    care_relationship::RULE,
    decision_ref::RULE,
    patient::RULE,
];

/// Those of [`LIST`] that are asked again each time a subscriber is told something: what may change after the need was stated.
pub const STANDING: &[Rule] = &[agreement::RULE, reservation::RULE, block::RULE];

/// Those of [`LIST`] that are asked before this one refuses, and it; none where it is no rule of the list.
pub(crate) fn until(name: &str) -> impl Iterator<Item = &'static Rule> {
    let place = LIST.iter().position(|rule| rule.name == name);
    LIST.iter().take(place.map_or(0, |place| place + 1))
}

fn deny(rule: &'static str, code: &'static str, message: &'static str) -> Answer {
    Answer::Deny(refusal(rule, code, message))
}

fn refusal(rule: &'static str, code: &'static str, message: &'static str) -> Refusal {
    Refusal {
        rule,
        category: Category::Forbidden,
        code,
        message,
    }
}
