//! Scope: the token must give the right on the resource type, in the context of who asks.
//!
//! Source: SMART App Launch v2; RFC 6750 section 3.1 (`insufficient_scope`); threats-and-faults section 3.
//! Example: `user/Observation.rs` searches Observations, but reads no CarePlan.

use super::{Answer, Question, Rule, deny};
use crate::caller::Person;
use crate::interaction::Interaction;
use crate::scope::{Access, Context};

pub(super) const RULE: Rule = Rule {
    name: "scope",
    version: 1,
    source: "SMART App Launch v2; RFC 6750 section 3.1",
    check,
};

/// The resource name that scopes for the locator use.
const POINTER: &str = "Pointer";

fn check(question: &Question<'_>) -> Answer {
    let (ask, caller) = (question.ask, question.caller);
    let contexts: &[Context] = match caller.person {
        Person::System => &[Context::System],
        Person::Practitioner { .. } => &[Context::User],
        Person::Citizen { .. } => &[Context::Patient, Context::User],
    };
    let covered = |resource: &str, access: Access| {
        contexts
            .iter()
            .any(|context| caller.scopes.covers(*context, resource, access))
    };
    let enough = match (ask.interaction, ask.interaction.access()) {
        (_, None) => true,
        (Interaction::Register | Interaction::Locate, Some(access)) => covered(POINTER, access),
        // Each entry of a batch is asked on its own; the bundle itself needs some right to create.
        (Interaction::Batch, Some(access)) => caller
            .scopes
            .iter()
            .any(|scope| contexts.contains(&scope.context()) && scope.gives(access)),
        (_, Some(access)) => covered(ask.resource.as_str(), access),
    };
    if enough {
        Answer::NotMine
    } else {
        deny(
            "scope",
            "insufficient_scope",
            "the token's scope does not cover this",
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use crate::caller::ClientUse;
    use crate::interaction::Interaction;
    use crate::rules::people::{Case, FJELLVIK, refused_by};
    use crate::scope::Scopes;
    use fhir::resource::ResourceType;

    const NO: Option<(&str, &str)> = Some(("scope", "insufficient_scope"));

    #[test]
    fn right_type_and_context_must_all_fit() {
        let mut case = Case::practitioner();
        for (scope, interaction, resource, expected) in [
            (
                "user/Observation.rs",
                Interaction::Search,
                ResourceType::OBSERVATION,
                None,
            ),
            (
                "user/Observation.r",
                Interaction::Search,
                ResourceType::OBSERVATION,
                NO,
            ),
            (
                "user/Observation.rs",
                Interaction::Search,
                ResourceType::CARE_PLAN,
                NO,
            ),
            (
                "user/*.rs",
                Interaction::Read,
                ResourceType::CARE_PLAN,
                None,
            ),
            (
                "system/*.cruds",
                Interaction::Read,
                ResourceType::CARE_PLAN,
                NO,
            ),
            (
                "patient/*.rs",
                Interaction::Read,
                ResourceType::CARE_PLAN,
                NO,
            ),
            ("", Interaction::Read, ResourceType::OBSERVATION, NO),
        ] {
            case.caller.scopes = Scopes::parse(scope).unwrap();
            case.ask.interaction = interaction;
            case.ask.resource = resource;
            assert_eq!(refused_by(&case), expected, "{scope} {interaction:?}");
        }
    }

    #[test]
    fn a_batch_needs_some_right_to_create() {
        let mut case = Case::system(ClientUse::RecordSystem, FJELLVIK);
        case.ask.interaction = Interaction::Batch;
        case.ask.resource = ResourceType::BUNDLE;
        for (scope, expected) in [
            ("system/Observation.c", None),
            ("system/Observation.rs", NO),
            ("user/Observation.c", NO),
        ] {
            case.caller.scopes = Scopes::parse(scope).unwrap();
            assert_eq!(refused_by(&case), expected, "{scope}");
        }
    }
}
