//! Representation: who acts for a patient sees what the representation covers.
//!
//! Source: pasient- og brukerrettighetsloven §§ 3-3, 3-4 and 5-1 (next of kin, children's parents, insight); vergemålsloven
//! and avtaleloven for powers of attorney (fullmakt), whose scope the patient chooses. Being next of kin alone opens
//! nothing: only a representation that the anchor knows, and put into the token, does. A parent's ends when the child turns
//! 12; the anchor's register keeps that day and asks it at each token (`anchor/src/register/representation.rs`). Example: Ragnhild's husband holds a power of attorney for plan (IT08) and curves (IT17):
//! her medicines are not there for him, nor the notes in what he sees, nor the log of who looked, and her blocks are hers
//! alone.

use super::{Answer, Parts, Question, Rule, deny};
use crate::caller::Person;
use crate::detail::Detail;
use crate::interaction::Interaction::{AuditSearch, MayLook, WishEnded, WishMade, WishesRead};

pub(super) const RULE: Rule = Rule {
    name: "representation",
    version: 3,
    source: "pasient- og brukerrettighetsloven §§ 3-3, 3-4, 5-1",
    check,
};

/// Details that a representation covers only where the patient chose so; the narrative may retell the notes.
const NOTES: &[Detail] = &[Detail::Narrative, Detail::Notes];

fn check(question: &Question<'_>) -> Answer {
    let Person::Citizen {
        represents: Some(representation),
        ..
    } = &question.caller.person
    else {
        return Answer::NotMine;
    };
    let outside = match question.ask.interaction {
        AuditSearch | MayLook => !representation.log,
        // Whom to shut out, the patient alone decides.
        WishMade | WishesRead | WishEnded => true,
        _ => false,
    };
    if outside {
        return deny(
            "representation",
            "outside_representation",
            "the representation does not cover this",
        );
    }
    Answer::Allow(Parts {
        services: Some(representation.services.clone()),
        without: if representation.notes { &[] } else { NOTES },
        ..Parts::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use crate::caller::{Person, Representation};
    use crate::interaction::Interaction;
    use crate::rules::people::{Case, PHYSICIAN, permit, person, refused_by, service};

    fn husband(log: bool) -> Case {
        let mut case = Case::citizen();
        if let Person::Citizen {
            identifier,
            represents,
            ..
        } = &mut case.caller.person
        {
            *identifier = person(PHYSICIAN);
            *represents = Some(Representation {
                id: "r-1".into(),
                services: vec![service("IT08"), service("IT17")],
                log,
                notes: false,
            });
        }
        case
    }

    #[test]
    fn it_opens_what_the_patient_chose() {
        assert_eq!(
            permit(&husband(false)).services(),
            [service("IT08"), service("IT17")]
        );
    }

    #[test]
    fn the_notes_are_a_choice_of_their_own() {
        let mut case = husband(false);
        assert_eq!(
            permit(&case).reduced(),
            [("representation", super::NOTES.to_vec())]
        );
        if let Person::Citizen {
            represents: Some(representation),
            ..
        } = &mut case.caller.person
        {
            representation.notes = true;
        }
        assert_eq!(permit(&case).reduced(), []);
    }

    #[test]
    fn the_log_is_a_choice_of_its_own() {
        for (log, expected) in [
            (true, None),
            (false, Some(("representation", "outside_representation"))),
        ] {
            for interaction in [Interaction::AuditSearch, Interaction::MayLook] {
                let mut case = husband(log);
                case.ask.interaction = interaction;
                assert_eq!(refused_by(&case), expected, "{interaction:?}");
            }
        }
    }

    #[test]
    fn whom_to_shut_out_the_patient_alone_decides() {
        for interaction in [
            Interaction::WishMade,
            Interaction::WishesRead,
            Interaction::WishEnded,
        ] {
            let mut case = husband(true);
            case.ask.interaction = interaction;
            case.ask.resource = fhir::resource::ResourceType::CONSENT;
            case.caller.scopes = crate::scope::Scopes::parse("patient/*.cruds").unwrap();
            assert_eq!(
                refused_by(&case),
                Some(("representation", "outside_representation"))
            );
            if let Person::Citizen {
                identifier,
                represents,
                ..
            } = &mut case.caller.person
            {
                (*identifier, *represents) = (person(crate::rules::people::PATIENT), None);
            }
            assert_eq!(refused_by(&case), None);
        }
    }

    #[test]
    fn kinship_alone_opens_nothing() {
        let mut case = husband(true);
        if let Person::Citizen { represents, .. } = &mut case.caller.person {
            *represents = None;
        }
        assert_eq!(refused_by(&case), Some(("patient", "not_own_data")));
    }
}
