//! Work list: an organisation's own personnel is shown its list of patients under follow-up by a token that is bound to none of
//! them, for ordinary care alone. Each patient on it is decided about by herself besides, by all the other rules.
//!
//! Source: pasientjournalloven §§ 16 and 19 (no more than needed, for the care that is given); helsepersonelloven § 21 a;
//! decision 0053. Examples: Fjellvik's nurse asks Fjellvik's service with purpose TREAT and no patient in the statement of need, and has
//! the list; with a token for one patient she has that patient and no list. Emergencies and break the glass are about one patient, a
//! gateway asks about one patient, and in a register that several organisations share nobody's patients are another's to go through.

use super::{Answer, Question, Rule, deny};
use crate::attest::Purpose;
use crate::interaction::Interaction;

pub(super) const RULE: Rule = Rule {
    name: "work_list",
    version: 1,
    source: "pasientjournalloven §§ 16, 19; helsepersonelloven § 21 a",
    check,
};

fn check(question: &Question<'_>) -> Answer {
    let (caller, facts) = (question.caller, question.facts);
    if question.ask.interaction != Interaction::WorkList {
        return Answer::NotMine;
    }
    let attest = caller.person.attestation();
    if caller.patient.is_some() || attest.is_some_and(|attest| !attest.patients.is_empty()) {
        return deny(
            "work_list",
            "list_bound_to_patient",
            "a token that is bound to a patient opens that patient and no list",
        );
    }
    if attest.and_then(|attest| attest.purpose()) != Some(Purpose::Treat) {
        return deny(
            "work_list",
            "list_purpose",
            "a list of patients is for ordinary care (TREAT); every other purpose is about one patient",
        );
    }
    if caller.gateway.is_some() {
        return deny(
            "work_list",
            "list_through_gateway",
            "a list of patients is asked for at the organisation's own service, through no gateway",
        );
    }
    if !facts.members.is_empty() {
        return deny(
            "work_list",
            "list_shared_register",
            "a register that several organisations share has no joint list of patients",
        );
    }
    Answer::NotMine
}

#[cfg(test)]
pub(super) mod tests {
    use crate::decide::{PermitScope, may_list};
    use crate::interaction::Interaction;
    use crate::rules::people::{
        Case, FJELLVIK, OTHER, PATIENT, PHYSICIAN, PROVEHEIM, org, permit, person, refused_by,
    };
    use crate::scope::Scopes;
    use crate::wish::{Closed, Known, Named};
    use fhir::resource::ResourceType;
    use std::sync::Arc;

    const PERSONALLY: Option<(&str, &str)> = Some(("block", "practitioner_blocked"));

    /// Fjellvik's own nurse, whose token names nobody.
    pub(crate) fn nurse() -> Case {
        let mut case = Case::practitioner();
        case.from(FJELLVIK);
        case.attest(|attest| attest.patients.clear());
        case.caller.patient = None;
        case.caller.agreement = None;
        case.caller.scopes = Scopes::parse("user/Task.s").unwrap_or_default();
        case.ask = crate::Ask::of(Interaction::WorkList, ResourceType::TASK);
        case
    }

    fn listed_by(case: &Case) -> Option<(&'static str, &'static str)> {
        let refusal = may_list(&case.caller, &case.facts).err();
        refusal.map(|refusal| (refusal.rule, refusal.code))
    }

    type Row = (
        &'static str,
        fn(&mut Case),
        Option<(&'static str, &'static str)>,
    );

    #[test]
    fn who_may_and_every_way_in_which_she_may_not() {
        let rows: [Row; 13] = [
            ("own nurse", |_| {}, None),
            (
                "without HPR number",
                |case| {
                    case.attest(|one| {
                        (one.practitioner.hpr_nr, one.practitioner.authorization) = (None, None);
                    });
                    if let crate::Person::Practitioner { hpr, .. } = &mut case.caller.person {
                        *hpr = None;
                    }
                },
                None,
            ),
            (
                "of another organisation",
                |case| case.from(PROVEHEIM),
                Some(("role", "access_denied")),
            ),
            (
                "bound by the token",
                |case| case.caller.patient = Some(person(PATIENT)),
                Some(("work_list", "list_bound_to_patient")),
            ),
            (
                "bound by the statement",
                |case| {
                    let bound = Case::practitioner();
                    let bound = bound
                        .caller
                        .person
                        .attestation()
                        .map(|one| one.patients.clone());
                    case.attest(|one| one.patients = bound.unwrap_or_default());
                },
                Some(("work_list", "list_bound_to_patient")),
            ),
            (
                "emergency",
                |case| case.purpose("ETREAT", Some("x")),
                Some(("work_list", "list_purpose")),
            ),
            (
                "coordination",
                |case| case.purpose("COC", None),
                Some(("work_list", "list_purpose")),
            ),
            (
                "break the glass",
                |case| case.purpose("BTG", Some("unconscious")),
                Some(("work_list", "list_purpose")),
            ),
            (
                "no relation of care",
                |case| {
                    case.attest(|one| one.care_relationship.purpose_of_use_details = None);
                },
                Some(("care_relationship", "care_relationship_missing")),
            ),
            (
                "through a gateway",
                |case| case.caller.gateway = Some("gateway".into()),
                Some(("work_list", "list_through_gateway")),
            ),
            (
                "in a shared register",
                |case| case.facts.members = [org(FJELLVIK), org(OTHER)].into(),
                Some(("work_list", "list_shared_register")),
            ),
            (
                "without the scope",
                |case| case.caller.scopes = Scopes::parse("user/Task.ru").unwrap_or_default(),
                Some(("scope", "insufficient_scope")),
            ),
            (
                "while blocks made elsewhere are not known",
                |case| {
                    let known = Known::within(60, false, true);
                    known.renewed(case.facts.now.plus_seconds(-60));
                    case.facts.known = Arc::new(known);
                },
                Some(("block", "settings_unknown")),
            ),
        ];
        for (what, spoil, expected) in rows {
            let mut case = nurse();
            spoil(&mut case);
            assert_eq!(listed_by(&case), expected, "{what}");
            case.ask.patient = Some(person(PATIENT));
            assert_eq!(refused_by(&case), expected, "{what}, of a patient");
        }
        for mut case in [
            Case::citizen(),
            Case::system(crate::ClientUse::RecordSystem, FJELLVIK),
        ] {
            case.caller.patient = None;
            assert_eq!(listed_by(&case), Some(("role", "access_denied")));
        }
    }

    #[test]
    fn it_opens_the_patient_who_is_named_and_without_a_name_nobody() {
        let mut case = nurse();
        assert_eq!(refused_by(&case), Some(("role", "access_denied")));
        for number in [PATIENT, PHYSICIAN] {
            case.ask.patient = Some(person(number));
            let permit = permit(&case);
            assert_eq!(permit.patient(), &PermitScope::Patient(person(number)));
            assert!(permit.is_own() && permit.withheld().is_empty());
        }
    }

    #[test]
    fn whom_a_patient_has_shut_out_is_not_shown_her() {
        let closed = [
            (Closed::Everything, ("block", "blocked")),
            (
                Closed::Organisation {
                    organisation: org(FJELLVIK),
                },
                ("block", "blocked"),
            ),
        ];
        for (closed, expected) in closed {
            let mut case = nurse();
            case.ask.patient = Some(person(PATIENT));
            case.wish(closed);
            assert_eq!(refused_by(&case), Some(expected));
        }
        let mut case = nurse();
        case.ask.patient = Some(person(PATIENT));
        if let crate::Person::Practitioner { pseudonym, .. } = &mut case.caller.person {
            *pseudonym = Some("p-1".into());
        }
        case.wish(Closed::Practitioner {
            who: Named {
                pseudonym: Some("p-1".into()),
                ..Named::default()
            },
        });
        assert_eq!(refused_by(&case), PERSONALLY);
    }

    #[test]
    fn such_a_token_opens_nothing_else() {
        for interaction in Interaction::all() {
            let mut case = nurse();
            case.caller.scopes = Scopes::parse("user/*.cruds").unwrap_or_default();
            case.ask.interaction = interaction;
            for patient in [None, Some(person(PATIENT))] {
                let named = patient.is_some();
                case.ask.patient = patient;
                let expected = named && interaction == Interaction::WorkList;
                assert_eq!(refused_by(&case).is_none(), expected, "{interaction:?}");
            }
        }
    }
}
