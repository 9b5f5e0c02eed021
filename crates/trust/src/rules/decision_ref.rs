//! Decision reference: the decision at the consumer by which the same access is found in every party's log.
//!
//! Source: Tillitsrammeverk data model v1.1 (`decision_ref`, required), ATT-46, ATT-48. Example: an attest without it, or
//! with an empty id, is refused.

use super::{Answer, Question, Rule, deny};

pub(super) const RULE: Rule = Rule {
    name: "decision_ref",
    version: 1,
    source: "Tillitsrammeverk ATT-46, ATT-48",
    check,
};

fn check(question: &Question<'_>) -> Answer {
    let Some(Some(attest)) = question.attest() else {
        return Answer::NotMine;
    };
    match &attest.care_relationship.decision_ref {
        Some(decision) if !decision.id.trim().is_empty() => Answer::NotMine,
        _ => deny(
            "decision_ref",
            "decision_ref_missing",
            "the attest names no decision",
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::people::{Case, refused_by};

    #[test]
    fn missing_or_empty_is_refused() {
        let mut case = Case::practitioner();
        case.attest(|attest| {
            if let Some(decision) = &mut attest.care_relationship.decision_ref {
                decision.id = " ".into();
            }
        });
        assert_eq!(
            refused_by(&case),
            Some(("decision_ref", "decision_ref_missing"))
        );
        case.attest(|attest| attest.care_relationship.decision_ref = None);
        assert_eq!(
            refused_by(&case),
            Some(("decision_ref", "decision_ref_missing"))
        );
    }
}
