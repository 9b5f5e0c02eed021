//! Identity: whoever asks is logged in at a high level of assurance, citizens too; the practitioner who attests is the one who
//! is logged in.
//!
//! Source: Tillitsrammeverk ATT-9 (assurance level high), ATT-10 (FNR or DNR), ATT-11 (attest practitioner equals the
//! authenticated user); for citizens' insight Delt's own rule, as Helsenorge has it (level 4 for health data). Examples: a
//! nurse's token with a physician's attest is refused; a citizen who logged in at level 3 sees nothing.

use super::{Answer, Question, Rule, deny};
use crate::caller::Person;
use crate::interaction::Interaction;
use fhir::ids::PersonSystem;

pub(super) const RULE: Rule = Rule {
    name: "identity",
    version: 2,
    source: "Tillitsrammeverk ATT-9, ATT-10, ATT-11",
    check,
};

/// HelseID's level for "high".
const HIGH: u8 = 4;

fn check(question: &Question<'_>) -> Answer {
    let (level, login) = match &question.caller.person {
        Person::System => return Answer::NotMine,
        Person::Citizen { security_level, .. } => (*security_level, None),
        Person::Practitioner {
            identifier,
            security_level,
            attestation,
            ..
        } => (*security_level, Some((identifier, attestation))),
    };
    if question.ask.interaction == Interaction::Directory {
        return Answer::NotMine;
    }
    if level < HIGH {
        return deny(
            "identity",
            "assurance_too_low",
            "the login is not at a high level of assurance",
        );
    }
    let Some((identifier, Some(attest))) = login else {
        return Answer::NotMine;
    };
    let attested = attest.practitioner.identifier.person();
    if attested
        .as_ref()
        .is_none_or(|person| !matches!(person.series(), PersonSystem::Fnr | PersonSystem::Dnr))
    {
        return deny(
            "identity",
            "attestation_practitioner",
            "the attest's practitioner must be named by FNR or DNR",
        );
    }
    if attested.as_ref() != Some(identifier) {
        return deny(
            "identity",
            "attestation_practitioner",
            "the attest is made by another practitioner",
        );
    }
    Answer::NotMine
}

#[cfg(test)]
mod tests {
    use crate::caller::Person;
    use crate::rules::people::{Case, PATIENT, refused_by};
    use fhir::systems;

    const OTHER: Option<(&str, &str)> = Some(("identity", "attestation_practitioner"));

    #[test]
    fn only_the_one_who_is_logged_in() {
        let mut case = Case::practitioner();
        case.attest(|attest| attest.practitioner.identifier.id = PATIENT.into());
        assert_eq!(refused_by(&case), OTHER);
        let mut case = Case::practitioner();
        case.attest(|attest| attest.practitioner.identifier.system = systems::FHN.into());
        assert_eq!(refused_by(&case), OTHER);
        case.attest(|attest| attest.practitioner.identifier.system = systems::HPR.into());
        assert_eq!(refused_by(&case), OTHER);
    }

    #[test]
    fn the_level_must_be_high() {
        for (level, expected) in [
            (4, None),
            (3, Some(("identity", "assurance_too_low"))),
            (0, Some(("identity", "assurance_too_low"))),
        ] {
            for mut case in [Case::practitioner(), Case::citizen()] {
                match &mut case.caller.person {
                    Person::Practitioner { security_level, .. }
                    | Person::Citizen { security_level, .. } => *security_level = level,
                    Person::System => unreachable!("a person's case"),
                }
                assert_eq!(refused_by(&case), expected, "{level}");
            }
        }
    }
}
