//! Subscription: who subscribes to another organisation's patient does so in a relation of care that goes on.
//!
//! Source: pasientjournalloven § 16 and § 19 (no more than the care given needs); threats-and-faults sections 4 and 8. Example:
//! a GP treats Ragnhild (TREAT) and hears of new readings for the time she states; who broke the glass, or looked in acute care,
//! saw what was needed then, and is told nothing afterwards.

use super::{Answer, Question, Rule, deny};
use crate::attest::Purpose;
use crate::interaction::Interaction;

pub(super) const RULE: Rule = Rule {
    name: "subscription",
    version: 1,
    source: "pasientjournalloven §§ 16 and 19",
    check,
};

fn check(question: &Question<'_>) -> Answer {
    let Some(Some(attest)) = question.attest() else {
        return Answer::NotMine;
    };
    let goes_on = matches!(
        attest.purpose(),
        Some(Purpose::Treat | Purpose::Coordination)
    );
    if question.ask.interaction == Interaction::Subscribe && !goes_on {
        return deny(
            "subscription",
            "subscription_purpose",
            "a subscription is made for treatment or coordination, not in acute care or by break the glass",
        );
    }
    Answer::NotMine
}

#[cfg(test)]
mod tests {
    use crate::interaction::Interaction;
    use crate::rules::people::{Case, refused_by};

    #[test]
    fn care_that_goes_on_and_nothing_that_is_over_at_once() {
        let no = Some(("subscription", "subscription_purpose"));
        for (purpose, expected) in [("TREAT", None), ("COC", None), ("ETREAT", no), ("BTG", no)] {
            let mut case = Case::practitioner();
            case.caller.scopes =
                crate::scope::Scopes::parse("user/*.rs user/Subscription.crd").unwrap_or_default();
            case.purpose(purpose, Some("unconscious"));
            assert_eq!(refused_by(&case), None, "{purpose} looks");
            case.ask.interaction = Interaction::Subscribe;
            case.ask.resource = fhir::resource::ResourceType::SUBSCRIPTION;
            assert_eq!(refused_by(&case), expected, "{purpose}");
        }
    }
}
