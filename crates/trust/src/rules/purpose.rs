//! Purpose: the attest states one of TREAT, ETREAT, COC, BTG.
//!
//! Source: Tillitsrammeverk data model v1.1 (`purpose_of_use`, required); HL7 PurposeOfUse. Example: `HMARKT`, or no purpose at all, is refused.

use super::{Answer, Question, Rule, deny};

pub(super) const RULE: Rule = Rule {
    name: "purpose",
    version: 1,
    source: "Tillitsrammeverk data model v1.1",
    check,
};

fn check(question: &Question<'_>) -> Answer {
    let Some(Some(attest)) = question.attest() else {
        return Answer::NotMine;
    };
    if attest.purpose().is_none() {
        return deny(
            "purpose",
            "purpose_missing",
            "the attest states no purpose of use that opens data",
        );
    }
    Answer::NotMine
}

#[cfg(test)]
mod tests {
    use crate::rules::people::{Case, refused_by};

    #[test]
    fn one_of_four_and_nothing_else() {
        for (code, expected) in [
            ("TREAT", None),
            ("ETREAT", None),
            ("COC", None),
            ("BTG", None),
            ("treat", Some(("purpose", "purpose_missing"))),
            ("HMARKT", Some(("purpose", "purpose_missing"))),
            ("", Some(("purpose", "purpose_missing"))),
        ] {
            let mut case = Case::practitioner();
            case.attest(|attest| {
                if let Some(purpose) = &mut attest.care_relationship.purpose_of_use {
                    purpose.code = code.into();
                }
            });
            assert_eq!(refused_by(&case), expected, "{code}");
        }
        let mut case = Case::practitioner();
        case.attest(|attest| attest.care_relationship.purpose_of_use = None);
        assert_eq!(refused_by(&case), Some(("purpose", "purpose_missing")));
    }
}
