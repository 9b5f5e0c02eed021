//! From bytes to a put: what every write shares, whether it comes alone or in a bundle.

use crate::State;
use wire::visit::{End, Visit};
use fhir::ids::OrganisationNumber;
use fhir::json::{Json, Node};
use fhir::index::Subject;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::{Checked, ResourceType};
use store::PutOutcome;
use trust::{Ask, Interaction, Permit};
use wire::outcome::Problem;

/// Checks a resource by the rules and asks whether this caller may write it.
pub fn take(state: &State, visit: &Visit<'_>, interaction: Interaction, json: &Json, node: Node<'_>) -> Result<(Checked, Permit), End> {
    let checked = fhir::check::check(json, node, &state.rules()).map_err(Problem::unprocessable)?;
    let mut ask = Ask::of(interaction, checked.resource_type());
    if let Some(Subject::Person(person)) = &checked.index().subject {
        if state.config.synthetic_only && !person.value().is_synthetic() {
            return Err(Problem::unprocessable(vec![Issue::error(
                IssueCode::BusinessRule,
                format!("{}.subject.identifier.value", checked.resource_type().as_str()),
                "this is a demo: only numbers marked synthetic are taken in",
            )])
            .into());
        }
        ask.patient = Some(person.clone());
    }
    let permit = visit.permit(&ask)?;
    Ok((checked, permit))
}

/// The type in the path and in the body must be one.
pub fn same_type(expected: ResourceType, checked: &Checked) -> Result<(), Problem> {
    if checked.resource_type() == expected {
        return Ok(());
    }
    Err(Problem::invalid(
        IssueCode::Invalid,
        "resourceType",
        format!("the address takes {}, the body is {}", expected.as_str(), checked.resource_type().as_str()),
    ))
}

/// In a shared register every resource names the member that wrote it; elsewhere there is nothing to name.
pub fn written_by(state: &State, visit: &Visit<'_>) -> Option<OrganisationNumber> {
    if state.config.members.is_empty() {
        return None;
    }
    let organisation = visit.caller().organisation?;
    Some(state.config.register.controller(&organisation).unwrap_or(organisation))
}

/// `{type}/{id}/_history/{version}`.
pub fn location(put: &PutOutcome) -> String {
    format!("{}/{}/_history/{}", put.resource_type.as_str(), put.id, put.version)
}
