//! Agreement: another organisation's data is opened by an agreement in force, for the services it names.
//!
//! Source: pasientjournalloven § 19 with forskrift om tilgang til helseopplysninger mellom virksomheter (cooperation on
//! access across organisations); HITR 1231 (trust anchor). The anchor puts the agreement into the token.
//! Example: the hospital's physician reads Fjellvik's measurements (IT17) under the region's agreement; a token without
//! that claim is refused; the municipality's own nurse needs none.

use super::{Answer, Parts, Question, Rule, deny};
use crate::caller::Person;
use crate::decide::Party;

pub(super) const RULE: Rule = Rule {
    name: "agreement",
    version: 1,
    source: "pasientjournalloven § 19; HITR 1231",
    check,
};

fn check(question: &Question<'_>) -> Answer {
    let (caller, facts) = (question.caller, question.facts);
    let practitioner = matches!(caller.person, Person::Practitioner { .. });
    if facts.party != Party::Sharing || !practitioner || question.only_why() {
        return Answer::NotMine;
    }
    if caller
        .organisation
        .is_some_and(|organisation| facts.is_own(&organisation))
    {
        return Answer::NotMine;
    }
    match &caller.agreement {
        Some(agreement) if !agreement.services.is_empty() => Answer::Allow(Parts {
            services: Some(agreement.services.clone()),
            ..Parts::default()
        }),
        _ => deny(
            "agreement",
            "agreement_missing",
            "no agreement between the organisations is in force",
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::people::{Case, FJELLVIK, PROVEHEIM, org, permit, refused_by, service};

    const NONE: Option<(&str, &str)> = Some(("agreement", "agreement_missing"));

    #[test]
    fn others_need_one_and_it_narrows() {
        let mut case = Case::practitioner();
        case.agreement(&["IT17", "IT08"]);
        assert_eq!(permit(&case).services(), [service("IT17"), service("IT08")]);
        case.agreement(&[]);
        assert_eq!(refused_by(&case), NONE);
        case.caller.agreement = None;
        assert_eq!(refused_by(&case), NONE);
    }

    #[test]
    fn own_and_members_need_none() {
        let mut case = Case::practitioner();
        case.caller.agreement = None;
        let from = |case: &mut Case, number: &str| {
            case.caller.organisation = Some(org(number));
            case.attest(|attest| {
                if let Some(entity) = &mut attest.practitioner.legal_entity {
                    entity.id = number.into();
                }
            });
        };
        from(&mut case, FJELLVIK);
        assert_eq!(refused_by(&case), None);
        from(&mut case, PROVEHEIM);
        assert_eq!(refused_by(&case), NONE);
        case.facts.members = [org(PROVEHEIM)].into();
        assert_eq!(refused_by(&case), None);
    }
}
