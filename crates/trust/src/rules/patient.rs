//! Patient: a person's token opens the one patient it is bound to.
//!
//! Source: Tillitsrammeverk ATT-4 (an attest bound to a patient is not used for another); pasient- og
//! brukerrettighetsloven § 5-1 (a citizen's own data, or by representation); threats-and-faults section 4.
//! Example: a token for patient A with a search for patient B finds nothing, and the attempt is audited as refused.

use super::{Answer, Question, Rule, deny, refusal};
use crate::caller::Person;
use crate::interaction::Interaction;

pub(super) const RULE: Rule = Rule {
    name: "patient",
    version: 2,
    source: "Tillitsrammeverk ATT-4; pasient- og brukerrettighetsloven § 5-1",
    check,
};

fn check(question: &Question<'_>) -> Answer {
    let (ask, caller) = (question.ask, question.caller);
    // A list of patients has a rule of its own, `work_list`.
    let bound_to_none = matches!(
        ask.interaction,
        Interaction::Directory | Interaction::WorkList
    );
    if matches!(caller.person, Person::System) || bound_to_none {
        return Answer::NotMine;
    }
    let Some(bound) = &caller.patient else {
        return deny(
            "patient",
            "patient_binding_missing",
            "the token is not bound to a patient",
        );
    };
    if let Person::Citizen {
        identifier,
        represents,
        ..
    } = &caller.person
        && identifier != bound
        && represents.is_none()
    {
        return deny(
            "patient",
            "not_own_data",
            "a citizen reads own data, or a represented person's",
        );
    }
    if let Some(attest) = caller.person.attestation()
        && !attest
            .patients
            .iter()
            .any(|patient| patient.identifier.person().as_ref() == Some(bound))
    {
        return deny(
            "patient",
            "patient_binding_missing",
            "the attest is not bound to the token's patient",
        );
    }
    match &ask.patient {
        Some(asked) if asked != bound => Answer::Nothing(refusal(
            "patient",
            "other_patient",
            "the token is bound to another patient",
        )),
        _ => Answer::NotMine,
    }
}

#[cfg(test)]
mod tests {
    use crate::caller::{ClientUse, Person};
    use crate::decide::{Decision, PermitScope, decide};
    use crate::rules::people::{Case, FJELLVIK, PATIENT, PHYSICIAN, permit, person, refused_by};

    const UNBOUND: Option<(&str, &str)> = Some(("patient", "patient_binding_missing"));

    #[test]
    fn another_patient_is_nothing_not_an_error() {
        for mut case in [Case::practitioner(), Case::citizen()] {
            case.ask.patient = Some(person(PATIENT));
            assert_eq!(
                permit(&case).patient(),
                &PermitScope::Patient(person(PATIENT))
            );
            case.ask.patient = Some(person(PHYSICIAN));
            assert!(
                matches!(decide(&case.ask, &case.caller, &case.facts), Decision::Nothing(r) if r.code == "other_patient")
            );
            case.ask.patient = None;
            assert_eq!(
                permit(&case).patient(),
                &PermitScope::Patient(person(PATIENT))
            );
        }
    }

    #[test]
    fn no_binding_no_data() {
        let mut case = Case::practitioner();
        case.attest(|attest| attest.patients.clear());
        assert_eq!(refused_by(&case), UNBOUND);
        let mut case = Case::practitioner();
        case.caller.patient = None;
        assert_eq!(refused_by(&case), UNBOUND);
        let mut case = Case::practitioner();
        case.caller.patient = Some(person(PHYSICIAN));
        assert_eq!(refused_by(&case), UNBOUND);
    }

    #[test]
    fn a_citizen_reads_own_data_or_by_representation() {
        let mut case = Case::citizen();
        case.caller.patient = Some(person(PHYSICIAN));
        assert_eq!(refused_by(&case), Some(("patient", "not_own_data")));
        if let Person::Citizen { represents, .. } = &mut case.caller.person {
            *represents = Some(crate::caller::Representation {
                id: "r-1".into(),
                services: vec![crate::rules::people::service("IT17")],
                log: false,
                notes: false,
            });
        }
        assert_eq!(refused_by(&case), None);
    }

    #[test]
    fn a_record_system_is_bound_to_its_store_instead() {
        let mut case = Case::system(ClientUse::RecordSystem, FJELLVIK);
        case.ask.patient = Some(person(PATIENT));
        assert_eq!(refused_by(&case), None);
    }
}
