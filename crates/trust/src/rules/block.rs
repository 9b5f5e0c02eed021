//! Block: what the patient has closed stays closed, and yields, if at all, to break the glass with a written reason.
//!
//! Source: pasientjournalloven § 17; pasient- og brukerrettighetsloven § 5-3; threats-and-faults section 4. A block of a
//! named practitioner never yields. A block of everything or of an organisation, and of a kind, yields to BTG with a reason;
//! ETREAT overrides none. A closed kind is left out in silence; the others are refused aloud, for whoever must break the
//! glass has to know that it is there. Where blocks are made elsewhere too, and what is held of them is too old, there may be
//! one that is not known: then it is as if the record were closed. Example: Ragnhild blocks a nurse at Prøveheim, a neighbour: refused, BTG too.

use super::{Answer, Parts, Question, Rule, deny, refusal};
use crate::caller::Person;
use crate::category::Category;
use crate::decide::{Party, Refusal};
use crate::wish::{Closed, Source};
use fhir::resource::InformationService;

pub(super) const RULE: Rule = Rule {
    name: "block",
    version: 3,
    source: "pasientjournalloven § 17; pasient- og brukerrettighetsloven § 5-3",
    check,
};

fn check(question: &Question<'_>) -> Answer {
    let (caller, facts) = (question.caller, question.facts);
    let practitioner = matches!(caller.person, Person::Practitioner { .. });
    if facts.party != Party::Sharing || !practitioner || question.only_why() {
        return Answer::NotMine;
    }
    if facts
        .wishes()
        .any(|wish| matches!(&wish.closed, Closed::Practitioner { who } if who.is(caller)))
    {
        return deny(
            "block",
            "practitioner_blocked",
            "the patient has closed the record to this practitioner",
        );
    }
    if !facts.known.blocks(facts.now) {
        return Answer::DenyUnlessBroken(Refusal {
            category: Category::Unavailable,
            ..refusal(
                "block",
                "settings_unknown",
                "what patients have closed elsewhere is not known to be up to date; nothing is given until it is",
            )
        });
    }
    let from = caller.organisation.map(|one| facts.register.main_unit(one));
    let whole = facts.wishes().filter(|wish| match &wish.closed {
        Closed::Everything => true,
        Closed::Organisation { organisation } => {
            from == Some(facts.register.main_unit(*organisation))
        }
        _ => false,
    });
    // One that was made here comes before one from elsewhere: it is the one that the patient can end here.
    let source = whole.map(|wish| wish.source).min();
    if source == Some(Source::Personvernkomponenten) {
        return Answer::DenyUnlessBroken(refusal(
            "block",
            "blocked_at_helsenorge",
            "the patient has closed the record at Helsenorge; break the glass with a written reason opens it, and is shown to the patient",
        ));
    }
    if source.is_some() {
        return Answer::DenyUnlessBroken(refusal(
            "block",
            "blocked",
            "the patient has closed the record; break the glass with a written reason opens it, and is shown to the patient",
        ));
    }
    let closed: Vec<InformationService> = facts
        .wishes()
        .filter_map(|wish| match &wish.closed {
            Closed::Services { services } => Some(services),
            _ => None,
        })
        .flatten()
        .copied()
        .collect();
    if closed.is_empty() {
        return Answer::NotMine;
    }
    let open = InformationService::ALL.into_iter();
    Answer::AllowMoreIfBroken(Parts {
        services: Some(open.filter(|one| !closed.contains(one)).collect()),
        ..Parts::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use crate::caller::{ClientUse, Person};
    use crate::category::Category;
    use crate::decide::decide;
    use crate::interaction::Interaction;
    use crate::rules::people::{
        Case, FJELLVIK, OTHER, PATIENT, PHYSICIAN, PROVEHEIM, org, permit, person, refused_by,
        service,
    };
    use crate::wish::{Closed, Named};

    const BLOCKED: Option<(&str, &str)> = Some(("block", "blocked"));
    const PERSONALLY: Option<(&str, &str)> = Some(("block", "practitioner_blocked"));

    fn nurse() -> Closed {
        Closed::Practitioner {
            who: Named {
                pseudonym: Some("p-1".into()),
                hpr: None,
                number: None,
            },
        }
    }

    #[test]
    fn a_named_practitioner_is_refused_by_break_the_glass_too() {
        for purpose in ["TREAT", "ETREAT", "COC", "BTG"] {
            let mut case = Case::practitioner();
            case.purpose(purpose, Some("unconscious"));
            case.wish(nurse());
            assert_eq!(refused_by(&case), None, "somebody else, {purpose}");
            if let Person::Practitioner { pseudonym, .. } = &mut case.caller.person {
                *pseudonym = Some("p-1".into());
            }
            assert_eq!(refused_by(&case), PERSONALLY, "{purpose}");
        }
        let mut case = Case::practitioner();
        let hpr = fhir::ids::HprNumber::parse("9144900").unwrap();
        case.wish(Closed::Practitioner {
            who: Named {
                pseudonym: None,
                hpr: Some(hpr),
                number: None,
            },
        });
        assert_eq!(refused_by(&case), PERSONALLY);
        // By another issuer's token the same person comes under another pseudonym and without a number from the register.
        if let Person::Practitioner { hpr, pseudonym, .. } = &mut case.caller.person {
            (*hpr, *pseudonym) = (None, Some("p-2".into()));
        }
        for (number, expected) in [(PHYSICIAN, PERSONALLY), (PATIENT, None)] {
            case.wish(Closed::Practitioner {
                who: Named {
                    number: Some(person(number)),
                    ..Named::default()
                },
            });
            assert_eq!(refused_by(&case), expected, "{number}");
        }
    }

    #[test]
    fn a_block_without_a_name_names_nobody() {
        let mut case = Case::practitioner();
        if let Person::Practitioner { hpr, pseudonym, .. } = &mut case.caller.person {
            (*hpr, *pseudonym) = (None, None);
        }
        case.wish(Closed::Practitioner {
            who: Named::default(),
        });
        assert_eq!(refused_by(&case), None);
    }

    #[test]
    fn everything_and_an_organisation_yield_to_a_reasoned_break_alone() {
        for closed in [
            Closed::Everything,
            Closed::Organisation {
                organisation: org(PROVEHEIM),
            },
        ] {
            for (purpose, reason, expected) in [
                ("TREAT", Some("unconscious"), BLOCKED),
                ("ETREAT", Some("unconscious"), BLOCKED),
                ("COC", None, BLOCKED),
                ("BTG", None, BLOCKED),
                ("BTG", Some("  "), BLOCKED),
                ("BTG", Some("\u{200b}"), BLOCKED),
                ("BTG", Some("unconscious"), None),
            ] {
                let mut case = Case::practitioner();
                case.wish(closed.clone());
                case.purpose(purpose, reason);
                assert_eq!(refused_by(&case), expected, "{purpose} {reason:?}");
                if expected.is_none() {
                    assert_eq!(permit(&case).broken(), ["block"]);
                }
            }
        }
        let mut case = Case::practitioner();
        case.wish(Closed::Organisation {
            organisation: org(OTHER),
        });
        assert_eq!(refused_by(&case), None, "another organisation is blocked");
        assert!(permit(&case).broken().is_empty());
    }

    #[test]
    fn a_block_from_helsenorge_says_so_and_one_made_here_comes_first() {
        let mut case = Case::practitioner();
        case.wish(Closed::Everything);
        case.elsewhere();
        assert_eq!(refused_by(&case), Some(("block", "blocked_at_helsenorge")));
        let theirs = case.facts.wishes[0].clone();
        let mut here = theirs.clone();
        here.source = crate::wish::Source::Here;
        case.facts.wishes = [theirs, here].into();
        assert_eq!(refused_by(&case), BLOCKED);
        case.elsewhere();
        case.purpose("BTG", Some("unconscious"));
        assert_eq!(permit(&case).broken(), ["block"]);
    }

    #[test]
    fn a_copy_that_is_too_old_is_as_if_closed_except_for_a_reasoned_break() {
        let known = |case: &Case, blocks: bool| {
            let known = crate::wish::Known::within(60, false, blocks);
            known.renewed(case.facts.now.plus_seconds(-60));
            std::sync::Arc::new(known)
        };
        let mut case = Case::practitioner();
        case.facts.known = known(&case, false);
        assert_eq!(refused_by(&case), None, "no block can be made elsewhere");
        case.facts.known = known(&case, true);
        assert_eq!(refused_by(&case), Some(("block", "settings_unknown")));
        let refusal = decide(&case.ask, &case.caller, &case.facts).permit();
        let category = refusal.unwrap_err().category;
        assert_eq!(category, Category::Unavailable, "not forbidden: ask again");
        case.from(FJELLVIK);
        assert_eq!(refused_by(&case), Some(("block", "settings_unknown")));
        case.purpose("BTG", Some("unconscious"));
        assert_eq!(refused_by(&case), None);
        let mut case = Case::citizen();
        case.facts.known = known(&case, true);
        assert_eq!(refused_by(&case), None, "the patient sees her own");
    }

    #[test]
    fn the_owners_own_personnel_is_blocked_as_well() {
        let mut case = Case::practitioner();
        case.from(FJELLVIK);
        case.wish(Closed::Everything);
        assert_eq!(refused_by(&case), BLOCKED);
    }

    #[test]
    fn a_closed_member_keeps_its_systems_feed_and_its_people_see_nothing() {
        let closed = || Closed::Organisation {
            organisation: org(PROVEHEIM),
        };
        let mut people = Case::practitioner();
        let mut system = Case::system(ClientUse::RecordSystem, PROVEHEIM);
        for case in [&mut people, &mut system] {
            case.facts.members = [org(PROVEHEIM), org(OTHER)].into();
            case.wish(closed());
        }
        assert_eq!(refused_by(&people), BLOCKED);
        for interaction in [
            Interaction::Create,
            Interaction::Update,
            Interaction::Read,
            Interaction::Search,
        ] {
            system.ask.interaction = interaction;
            assert_eq!(refused_by(&system), None, "{interaction:?}");
        }
    }

    #[test]
    fn a_closed_kind_is_left_out_in_silence() {
        let mut case = Case::practitioner();
        case.agreement(&["IT03", "IT08", "IT17"]);
        case.wish(Closed::Services {
            services: vec![service("IT03"), service("IT08")],
        });
        assert_eq!(permit(&case).services(), [service("IT17")]);
        assert!(permit(&case).broken().is_empty());
        case.purpose("ETREAT", Some("unconscious"));
        assert_eq!(permit(&case).services(), [service("IT17")]);
        case.purpose("BTG", Some("unconscious"));
        assert_eq!(
            permit(&case).services(),
            [service("IT03"), service("IT08"), service("IT17")]
        );
        assert_eq!(permit(&case).broken(), ["block"]);
    }

    #[test]
    fn wishes_end_and_bind_neither_the_patient_nor_the_records_own_system() {
        let mut case = Case::practitioner();
        case.wish(Closed::Everything);
        case.until(case.facts.now.plus_seconds(1));
        assert_eq!(refused_by(&case), BLOCKED);
        case.until(case.facts.now);
        assert_eq!(refused_by(&case), None);
        for mut case in [
            Case::citizen(),
            Case::system(ClientUse::RecordSystem, FJELLVIK),
        ] {
            case.wish(Closed::Everything);
            assert_eq!(refused_by(&case), None);
        }
    }
}
