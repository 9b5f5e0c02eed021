//! Reservation: a patient who has reserved against sharing is not shared about, whatever the purpose.
//!
//! Source: pasient- og brukerrettighetsloven § 5-3; pasientjournalloven § 17; threats-and-faults section 4 (hard denials
//! always win). Example: Ragnhild reserves at Fjellvik; Fjellvik's own nurse still reads, the hospital's physician does
//! not, by break the glass neither.

use super::{Answer, Question, Rule, deny};
use crate::caller::Person;
use crate::decide::Party;
use crate::wish::Closed;

pub(super) const RULE: Rule = Rule {
    name: "reservation",
    version: 1,
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
    if facts
        .wishes()
        .any(|wish| matches!(wish.closed, Closed::Sharing))
    {
        return deny(
            "reservation",
            "reserved",
            "the patient has reserved against sharing with other organisations",
        );
    }
    Answer::NotMine
}

#[cfg(test)]
mod tests {
    use crate::caller::ClientUse;
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
}
