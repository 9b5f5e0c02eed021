//! Reservation: a patient who has reserved against sharing is not shared about, whatever the purpose.
//!
//! Source: pasient- og brukerrettighetsloven § 5-3; pasientjournalloven § 17; threats-and-faults section 4 (hard denials
//! always win). Example: Ragnhild reserves at Fjellvik; Fjellvik's own nurse still reads, the hospital's physician does
//! not, by break the glass neither.

use super::{Answer, Question, Rule, deny, refusal};
use crate::caller::Person;
use crate::category::Category;
use crate::decide::{Party, Refusal};
use crate::wish::{Closed, Source};

pub(super) const RULE: Rule = Rule {
    name: "reservation",
    version: 2,
    source: "pasient- og brukerrettighetsloven § 5-3; pasientjournalloven § 17",
    check,
};

fn check(question: &Question<'_>) -> Answer {
    let (caller, facts) = (question.caller, question.facts);
    let practitioner = matches!(caller.person, Person::Practitioner { .. });
    if facts.party != Party::Sharing
        || !practitioner
        || question.only_why()
        || caller
            .organisation
            .is_some_and(|organisation| facts.is_own(&organisation))
    {
        return Answer::NotMine;
    }
    if !facts.known.reservations(facts.now) {
        return Answer::Deny(Refusal {
            category: Category::Unavailable,
            ..refusal(
                "reservation",
                "settings_unknown",
                "whether the patient has reserved elsewhere is not known to be up to date; nothing is shared until it is",
            )
        });
    }
    let all = facts.wishes();
    let reserved = all.filter(|wish| matches!(wish.closed, Closed::Sharing));
    match reserved.map(|wish| wish.source).min() {
        None => Answer::NotMine,
        Some(Source::Here) => deny(
            "reservation",
            "reserved",
            "the patient has reserved against sharing with other organisations",
        ),
        Some(Source::Personvernkomponenten) => deny(
            "reservation",
            "reserved_at_helsenorge",
            "the patient has reserved against sharing with other organisations, at Helsenorge",
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::caller::ClientUse;
    use crate::category::Category;
    use crate::decide::decide;
    use crate::rules::people::{Case, FJELLVIK, org, refused_by};
    use crate::wish::Closed;

    #[test]
    fn it_closes_to_others_always_and_to_the_owner_never() {
        for purpose in ["TREAT", "ETREAT", "COC", "BTG"] {
            let mut case = Case::practitioner();
            case.wish(Closed::Sharing);
            case.purpose(purpose, Some("unconscious"));
            assert_eq!(
                refused_by(&case),
                Some(("reservation", "reserved")),
                "{purpose}"
            );
            case.from(FJELLVIK);
            assert_eq!(refused_by(&case), None, "{purpose}");
        }
        for mut case in [
            Case::citizen(),
            Case::system(ClientUse::RecordSystem, FJELLVIK),
        ] {
            case.wish(Closed::Sharing);
            assert_eq!(refused_by(&case), None);
        }
        assert_eq!(org(FJELLVIK).as_str(), FJELLVIK);
    }

    #[test]
    fn one_from_helsenorge_says_so_and_a_copy_that_is_too_old_shares_nothing() {
        let mut case = Case::practitioner();
        case.wish(Closed::Sharing);
        case.elsewhere();
        let there = Some(("reservation", "reserved_at_helsenorge"));
        assert_eq!(refused_by(&case), there);
        let unknown = Some(("reservation", "settings_unknown"));
        let mut case = Case::practitioner();
        let known = crate::wish::Known::within(60, true, false);
        known.renewed(case.facts.now.plus_seconds(-60));
        case.facts.known = std::sync::Arc::new(known);
        assert_eq!(refused_by(&case), unknown);
        let refusal = decide(&case.ask, &case.caller, &case.facts).permit().err();
        let category = refusal.map(|refusal| refusal.category);
        assert_eq!(category, Some(Category::Unavailable), "ask again");
        case.purpose("BTG", Some("unconscious"));
        assert_eq!(refused_by(&case), unknown, "a reservation never yields");
        case.facts.known.renewed(case.facts.now);
        assert_eq!(refused_by(&case), None);
    }
}
