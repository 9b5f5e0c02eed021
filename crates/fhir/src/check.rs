//! The check that turns received JSON into [`Checked`]: well-formed FHIR R4, and what Delt demands of each type.
//!
//! Standard: FHIR R4 (4.0.1) by the element rules of [`crate::definitions`]; VkpObservation and no-domain VitalSigns by
//! `spec/measurements`. All findings are given at once, each with the element's FHIRPath. A finding either refuses or,
//! where a well-formed reading is in doubt, quarantines: [`fate`] tells which.

#[cfg(test)]
mod fault_tables;
pub(crate) mod fhirpath;
mod findings;
mod invariants;
mod observation;
pub(crate) mod primitive;
pub mod profile;
#[cfg(test)]
mod tests;
mod walk;

pub use findings::{Doubt, FINDING, Fate, fate};

use crate::definitions::Definitions;
use crate::definitions::extract::{Found, Value, extract};
use crate::ids::PersonNumbers;
use crate::index;
use crate::json::{Json, Node};
use crate::outcome::{Issue, IssueCode, Severity};
use crate::plan::PlanLimits;
use crate::resource::{Checked, ResourceType};
use crate::subset;
use crate::time::{Instant, Zone};
use findings::Findings;
use walk::Walk;

/// What to do with an Observation none of whose codes names a known measurement kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownCodes {
    /// A finding, [`Doubt::UnknownCode`].
    #[default]
    Refuse,
    /// Take it as it is.
    Accept,
}

/// What a deployment demands.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// How strictly people's numbers are read.
    pub person_numbers: PersonNumbers,
    /// The zone in which a date without a time counts.
    pub zone: Zone,
    /// What becomes of codes that are not known.
    pub unknown_codes: UnknownCodes,
    /// Which profiles are demanded, and how firmly.
    pub profiles: profile::Demands,
    /// The present, to find readings from the future; `None`: not looked at.
    pub now: Option<Instant>,
}

/// Types whose `subject` must be a patient that Delt can find.
const ABOUT_A_PATIENT: [ResourceType; 3] = [
    ResourceType::OBSERVATION,
    ResourceType::CARE_PLAN,
    ResourceType::MEDICATION_STATEMENT,
];

/// Checks the resource at `node` (the root of `json`, or a Bundle entry's resource).
///
/// # Errors
/// Every finding (at most 100, then one that says so), severity error, then what is only remarked ([`Checked::remarks`]);
/// expressions from the resource's own type ([`Issue::within`] moves them into a Bundle). Ask [`fate`] whether they refuse
/// or quarantine.
pub fn check(json: &Json, node: Node<'_>, rules: &Rules) -> Result<Checked, Vec<Issue>> {
    let mut walk = Walk::new(node, rules);
    walk.resource(node, false);
    let mut findings = walk.findings;
    let Ok(resource_type) = ResourceType::of(node) else {
        return Err(findings.with(Vec::new()));
    };
    if resource_type == ResourceType::OBSERVATION {
        observation::check(&mut findings, node, rules);
    }
    if resource_type == ResourceType::QUESTIONNAIRE_RESPONSE {
        observation::authored(&mut findings, node, rules);
    }
    profile::check(&mut findings, node, resource_type, &rules.profiles);
    if let Some(mark) = subset::mark(node) {
        let words = "this resource is marked as a part of one (SUBSETTED): written back, what it lacks would be lost; the whole was expected";
        findings.at(mark, IssueCode::BusinessRule, words);
    }
    if findings.is_empty() {
        if resource_type == ResourceType::CARE_PLAN {
            plan_limits(&mut findings, node);
        }
        let mut checked =
            Checked::seal(json, node, resource_type, &rules.zone, rules.person_numbers)?;
        checked.remark(findings.into_remarks());
        return match unfindable(node, resource_type, checked.index()) {
            None => Ok(checked),
            Some(issue) => Err(vec![issue]),
        };
    }
    let more = match index::of(node, resource_type, &rules.zone, rules.person_numbers) {
        Err(issues) => issues,
        Ok(index) => unfindable(node, resource_type, &index)
            .into_iter()
            .collect(),
    };
    Err(findings.with(more))
}

/// Remarks what of a plan's limits does not read: the plan is taken as it was written, and its author hears what nobody will judge by.
fn plan_limits(findings: &mut Findings<'_>, node: Node<'_>) {
    for issue in PlanLimits::read(node).err().into_iter().flatten() {
        let words = format!(
            "{}: until it reads, nothing is judged by this plan",
            issue.diagnostics
        );
        findings.note(Issue {
            severity: Severity::Warning,
            diagnostics: words,
            ..issue
        });
    }
}

/// What the element tables alone say of the resource at `node`.
#[cfg(test)]
pub(crate) fn by_tables(node: Node<'_>) -> Vec<Issue> {
    let rules = Rules::default();
    let mut walk = Walk::new(node, &rules);
    walk.resource(node, false);
    walk.findings.with(Vec::new())
}

/// A finding when the resource is about a patient whom nobody could look up.
fn unfindable(node: Node<'_>, resource_type: ResourceType, index: &index::Index) -> Option<Issue> {
    if index.subject.is_some() {
        return None;
    }
    if resource_type == ResourceType::PATIENT {
        let words =
            "an identifier from fødselsnummer, D-nummer or felles hjelpenummer was expected";
        return Some(Issue::error(
            IssueCode::Required,
            "Patient.identifier",
            words,
        ));
    }
    // A missing subject has its own finding. Where another than a patient may stand, it is asked who stands there.
    let named = if ABOUT_A_PATIENT.contains(&resource_type) {
        node.get("subject").is_some().then_some("subject")
    } else {
        names_a_patient(node, resource_type)
    };
    named.map(|member| {
        let words = "an identifier from fødselsnummer, D-nummer or felles hjelpenummer, or a reference to a Patient of \
                     this store as Patient/UUID, was expected";
        Issue::error(IssueCode::Value, format!("{resource_type}.{member}"), words)
    })
}

/// The member in which a resource says that it is about a Patient, if it does: what would be stored for nobody.
fn names_a_patient(node: Node<'_>, resource_type: ResourceType) -> Option<&'static str> {
    let parameter = Definitions::get().search_parameter(resource_type, "patient")?;
    let Found::Values(values) = extract(node, parameter) else {
        return None;
    };
    let contained = |value: &Value<'_>| {
        value
            .node
            .text("reference")
            .is_some_and(|text| text.starts_with('#'))
    };
    if values.iter().all(contained) {
        return None;
    }
    parameter
        .paths
        .first()
        .and_then(|path| path.steps.first())
        .map(|step| step.member)
}
