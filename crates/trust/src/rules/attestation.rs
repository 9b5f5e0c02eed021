//! Attest: a practitioner who asks for patients' data brings one, complete and at most 60 minutes old.
//!
//! Source: Tillitsrammeverk business rules ATT-58 (age, the error's name) and the required parts of the data model v1.1
//! section 4.5. Example: an attest made at 09:00:00 opens data until 10:00:00; at 10:00:01 it is refused with
//! `attestation_has_expired`. A clock difference of 10 s is tolerated only for an attest from the future. An attest made
//! for the municipality does not open data under the hospital's agreement: the legal entity (or the main unit of a
//! sub-unit named there) must be the organisation that the token speaks for.

use super::{Answer, Question, Rule, deny};
use crate::LEEWAY_SECONDS;
use crate::attest::LIFETIME_SECONDS;
use fhir::ids::OrganisationNumber;
use fhir::systems;

pub(super) const RULE: Rule = Rule {
    name: "attestation",
    version: 2,
    source: "Tillitsrammeverk ATT-58; data model v1.1",
    check,
};

fn check(question: &Question<'_>) -> Answer {
    let Some(attest) = question.attest() else {
        return Answer::NotMine;
    };
    let Some(attest) = attest else {
        return deny(
            "attestation",
            "attestation_missing",
            "a practitioner needs an attest of professional need",
        );
    };
    let now = question.facts.now.seconds();
    if attest.toa.saturating_add(LIFETIME_SECONDS) < now {
        return deny(
            "attestation",
            "attestation_has_expired",
            "the attest is older than 60 minutes",
        );
    }
    if attest.toa > now.saturating_add(LEEWAY_SECONDS) {
        return deny(
            "attestation",
            "attestation_not_yet_valid",
            "the attest is from the future",
        );
    }
    let (Some(entity), Some(_)) = (
        &attest.practitioner.legal_entity,
        &attest.practitioner.point_of_care,
    ) else {
        return deny(
            "attestation",
            "attestation_incomplete",
            "the attest lacks legal entity or point of care",
        );
    };
    let register = &question.facts.register;
    let main = |number: OrganisationNumber| register.main_unit(number);
    let attested = match systems::canonical(&entity.system) {
        systems::ORGNR => OrganisationNumber::parse(&entity.id).ok().map(main),
        _ => None,
    };
    if attested.is_none() || attested != question.caller.organisation.map(main) {
        return deny(
            "attestation",
            "attestation_organisation",
            "the attest is made for another organisation than the token",
        );
    }
    Answer::NotMine
}

#[cfg(test)]
mod tests {
    use crate::caller::Person;
    use crate::rules::people::{Case, OTHER, PROVEHEIM, refused_by};
    use fhir::systems;

    #[test]
    fn the_age_border_is_sixty_minutes() {
        for (age, expected) in [
            (0, None),
            (3599, None),
            (3600, None),
            (3601, Some(("attestation", "attestation_has_expired"))),
            (
                i64::MAX / 2,
                Some(("attestation", "attestation_has_expired")),
            ),
            (-10, None),
            (-11, Some(("attestation", "attestation_not_yet_valid"))),
        ] {
            let mut case = Case::practitioner();
            let now = case.facts.now.seconds();
            case.attest(|attest| attest.toa = now - age);
            assert_eq!(refused_by(&case), expected, "{age}");
        }
    }

    #[test]
    fn an_attest_made_for_another_organisation_is_refused() {
        let other = Some(("attestation", "attestation_organisation"));
        let mut case = Case::practitioner();
        case.attest(|attest| {
            if let Some(entity) = &mut attest.practitioner.legal_entity {
                entity.id = OTHER.into();
            }
        });
        assert_eq!(refused_by(&case), other);
        // A number that nobody registered, or of another series, is no proof of belonging either.
        for (system, id) in [(systems::ORGNR, "x"), (systems::HPR, PROVEHEIM)] {
            case.attest(|attest| {
                if let Some(entity) = &mut attest.practitioner.legal_entity {
                    (entity.system, entity.id) = (system.into(), id.into());
                }
            });
            assert_eq!(refused_by(&case), other, "{system}");
        }
    }

    #[test]
    fn missing_and_incomplete_are_refused() {
        let mut case = Case::practitioner();
        case.attest(|attest| attest.practitioner.point_of_care = None);
        assert_eq!(
            refused_by(&case),
            Some(("attestation", "attestation_incomplete"))
        );
        if let Person::Practitioner { attestation, .. } = &mut case.caller.person {
            *attestation = None;
        }
        assert_eq!(
            refused_by(&case),
            Some(("attestation", "attestation_missing"))
        );
        assert_eq!(refused_by(&Case::citizen()), None);
    }
}
