//! Care relationship: the statement of need says in what relation the practitioner gives care to this patient, and a ground that
//! is none of care opens nothing here.
//!
//! Source: helsepersonelloven § 21 a (no looking without need for the care given); pasientjournalloven § 16;
//! Tillitsrammeverk data model v1.1 (`healthcare_service`, `purpose_of_use_details`: one of them, ATT-34, ATT-42). Example:
//! assessment of a referral (VURDHENV) is a relation of care; quality work, research and a request for insight (KVAL, FORSK,
//! INNSYN) have ways of their own in law, and a look-up for treatment that names them is refused.
//!
//! The relation is attested by the caller's organisation, and not confirmed by the data's own: no register says who treats whom. A false
//! statement is followed up afterwards, by the log on both sides that the patient reads too (helsepersonelloven § 21 a; ATT-8).

use super::{Answer, Question, Rule, deny};

pub(super) const RULE: Rule = Rule {
    name: "care_relationship",
    version: 1,
    source: "helsepersonelloven § 21 a; Tillitsrammeverk data model v1.1",
    check,
};

/// The hospitals' decision templates.
const TEMPLATES: &str = "https://terminology.dips.com/decisiontemplate";
/// Those of them that are other than care.
const OTHER_THAN_CARE: [&str; 3] = ["KVAL", "FORSK", "INNSYN"];

fn check(question: &Question<'_>) -> Answer {
    let Some(Some(attest)) = question.attest() else {
        return Answer::NotMine;
    };
    let relation = &attest.care_relationship;
    if relation.healthcare_service.is_none() && relation.purpose_of_use_details.is_none() {
        return deny(
            "care_relationship",
            "care_relationship_missing",
            "the attest states neither health service nor details of the purpose: no relation of care is told",
        );
    }
    let details = relation.purpose_of_use_details.as_ref();
    if details.is_some_and(|code| {
        code.system == TEMPLATES && OTHER_THAN_CARE.contains(&code.code.as_str())
    }) {
        return deny(
            "care_relationship",
            "care_relationship_other",
            "the stated ground is no relation of care",
        );
    }
    Answer::NotMine
}

#[cfg(test)]
mod tests {
    use super::TEMPLATES;
    use crate::rules::people::{Case, refused_by};

    #[test]
    fn a_relation_is_stated_by_service_or_by_details() {
        let mut case = Case::practitioner();
        case.attest(|attest| {
            let relation = &mut attest.care_relationship;
            relation.healthcare_service = relation.purpose_of_use_details.take();
        });
        assert_eq!(refused_by(&case), None);
        case.attest(|attest| attest.care_relationship.healthcare_service = None);
        assert_eq!(
            refused_by(&case),
            Some(("care_relationship", "care_relationship_missing"))
        );
    }

    #[test]
    fn what_is_no_care_opens_nothing_by_break_the_glass_neither() {
        for purpose in ["TREAT", "ETREAT", "COC", "BTG"] {
            for (code, expected) in [
                ("VURDHENV", None),
                ("POLBESOK", None),
                (
                    "KVAL",
                    Some(("care_relationship", "care_relationship_other")),
                ),
                (
                    "FORSK",
                    Some(("care_relationship", "care_relationship_other")),
                ),
                (
                    "INNSYN",
                    Some(("care_relationship", "care_relationship_other")),
                ),
            ] {
                let mut case = Case::practitioner();
                case.purpose(purpose, Some("unconscious"));
                case.attest(|attest| {
                    if let Some(details) = &mut attest.care_relationship.purpose_of_use_details {
                        (details.system, details.code) = (TEMPLATES.into(), code.into());
                    }
                });
                assert_eq!(refused_by(&case), expected, "{purpose} {code}");
            }
        }
    }
}
