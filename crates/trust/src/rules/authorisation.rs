//! Authorisation: what the practitioner is authorised as decides what the work can need; personnel without HPR number is
//! no exception but a row.
//!
//! Source: helsepersonelloven §§ 25 and 45 (co-operating personnel, also those who are not authorised, get what their work
//! takes); Tillitsrammeverk data model v1.1 (`authorization`, code system 9060; `hpr_nr`, if it exists); pasientjournalloven
//! § 19. Which kinds each row opens is Delt's default, to be confirmed by each controller. Example: a physician's treatment
//! opens everything; the helsesekretær at the GP office opens medicines, plans and measurements, not documents and dialogue;
//! a follow-up centre's assistant without HPR number opens plans, measurements, who the patient is and where she lives. Neither
//! reads the notes of those who treat her, nor a narrative that may retell them. Somebody with an HPR number whose attest does not
//! say as what they work is given what every registered person's work takes, so that nobody sees more by saying less; a code
//! without any number opens nothing. That an authorisation is in force is our anchor's to know (decision 0040); what another issuer
//! copied from its client is left out before it comes here, unless the deployment believes it (`token::foreign`).

use super::{Answer, Parts, Question, Rule, deny};
use crate::attest::{Attestation, Purpose};
use crate::caller::Person;
use crate::detail::Detail;
use fhir::resource::InformationService;

pub(super) const RULE: Rule = Rule {
    name: "authorisation",
    version: 4,
    source: "helsepersonelloven §§ 25, 45; Tillitsrammeverk data model v1.1",
    check,
};

/// Code system 9060, authorisation of health personnel.
pub(crate) const SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.1.9060";

/// What kind of work an authorisation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Treats patients and decides on treatment.
    Treats,
    /// Helps to treat: carries out, measures, hands out, keeps appointments.
    Assists,
    /// Nothing here: the authorisation is for other than patients.
    Elsewhere,
}

/// Codes of 9060 and the work they are for.
pub(crate) const TABLE: &[(&str, Work)] = &[
    ("LE", Work::Treats),
    ("TL", Work::Treats),
    ("PS", Work::Treats),
    ("SP", Work::Treats),
    ("JO", Work::Treats),
    ("VP", Work::Treats),
    ("FT", Work::Treats),
    ("MT", Work::Treats),
    ("ET", Work::Treats),
    ("KI", Work::Treats),
    ("KE", Work::Treats),
    ("FA1", Work::Treats),
    ("AA", Work::Treats),
    ("PM", Work::Treats),
    ("NP", Work::Treats),
    ("OS", Work::Treats),
    ("HE", Work::Assists),
    ("HF", Work::Assists),
    ("HP", Work::Assists),
    ("OA", Work::Assists),
    ("TH", Work::Assists),
    ("TP", Work::Assists),
    ("FA2", Work::Assists),
    ("AT", Work::Assists),
    ("AU", Work::Assists),
    ("BI", Work::Assists),
    ("FO", Work::Assists),
    ("OI", Work::Assists),
    ("OP", Work::Assists),
    ("OR", Work::Assists),
    ("PE", Work::Assists),
    ("RA", Work::Assists),
    ("TT", Work::Assists),
    ("VE", Work::Elsewhere),
    ("FB", Work::Elsewhere),
    ("XX", Work::Elsewhere),
];

/// Kinds that assisting work needs: medicines, media, plans, appointments, demographics, measurements, procedures, aids.
const ASSISTING: &[u8] = &[3, 7, 8, 11, 12, 17, 19, 23];
/// Kinds that work without authorisation needs: plans, appointments, demographics, measurements, aids.
const UNAUTHORISED: &[u8] = &[8, 11, 12, 17, 23];

/// Details that assisting work does not need.
const NOT_ASSISTING: &[Detail] = &[Detail::Narrative, Detail::Notes];
/// Details that work without authorisation does not need.
const NOT_UNAUTHORISED: &[Detail] = &[Detail::Narrative, Detail::Notes, Detail::Background];

fn narrowed(numbers: &[u8], without: &'static [Detail]) -> Answer {
    let all = InformationService::ALL.into_iter();
    Answer::Allow(Parts {
        services: Some(all.filter(|one| numbers.contains(&one.number())).collect()),
        without,
        ..Parts::default()
    })
}

fn check(question: &Question<'_>) -> Answer {
    let Some(Some(attest)) = question.attest() else {
        return Answer::NotMine;
    };
    let Person::Practitioner { hpr, .. } = &question.caller.person else {
        return Answer::NotMine;
    };
    let attested = attest.practitioner.hpr_nr.as_ref();
    if let (Some(login), Some(attested)) = (hpr, attested)
        && login.as_str() != attested.id.trim_matches(' ')
    {
        return deny(
            "authorisation",
            "hpr_differs",
            "the attest names another HPR number than the login",
        );
    }
    match (
        &attest.practitioner.authorization,
        hpr.is_some() || attested.is_some(),
    ) {
        (Some(code), _) if code.system != SYSTEM => deny(
            "authorisation",
            "authorisation_unknown",
            "the authorisation is not of code system 9060",
        ),
        // Whoever is authorised has a number; a word that stands alone is nobody's but the client's.
        (Some(_), false) => deny(
            "authorisation",
            "authorisation_without_number",
            "an authorisation comes with an HPR number, and neither login nor attest has one",
        ),
        (Some(code), true) => match TABLE.iter().find(|(known, _)| *known == code.code) {
            Some((_, Work::Treats)) => Answer::NotMine,
            Some((_, Work::Assists)) => narrowed(ASSISTING, NOT_ASSISTING),
            Some((_, Work::Elsewhere)) | None => deny(
                "authorisation",
                "authorisation_unknown",
                "the authorisation is none that care of patients rests on",
            ),
        },
        // Registered health personnel; nobody says as what.
        (None, true) => narrowed(ASSISTING, NOT_ASSISTING),
        (None, false) => unauthorised(attest),
    }
}

/// Personnel without HPR number helps under somebody's direction: ordinary care and its coordination.
fn unauthorised(attest: &Attestation) -> Answer {
    match attest.purpose() {
        Some(Purpose::EmergencyTreat | Purpose::BreakTheGlass) => deny(
            "authorisation",
            "authorisation_missing",
            "emergency purposes are for authorised health personnel",
        ),
        _ => narrowed(UNAUTHORISED, NOT_UNAUTHORISED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attest::Code;
    use crate::rules::people::{Case, permit, refused_by, service};

    fn authorised(code: Option<&str>) -> Case {
        let mut case = Case::practitioner();
        case.agreement(&["IT03", "IT08", "IT09", "IT17"]);
        case.attest(|attest| {
            attest.practitioner.authorization = code.map(|code| Code {
                code: code.into(),
                text: None,
                system: SYSTEM.into(),
                assigner: None,
            });
        });
        case
    }

    fn without_hpr() -> Case {
        let mut case = authorised(None);
        case.attest(|attest| attest.practitioner.hpr_nr = None);
        if let Person::Practitioner { hpr, .. } = &mut case.caller.person {
            *hpr = None;
        }
        case
    }

    #[test]
    fn each_row_opens_what_its_work_takes() {
        for (code, opens) in [
            (Some("LE"), vec!["IT03", "IT08", "IT09", "IT17"]),
            (Some("SP"), vec!["IT03", "IT08", "IT09", "IT17"]),
            (Some("HE"), vec!["IT03", "IT08", "IT17"]),
            (Some("HF"), vec!["IT03", "IT08", "IT17"]),
            (None, vec!["IT03", "IT08", "IT17"]),
        ] {
            let opens: Vec<_> = opens.into_iter().map(service).collect();
            assert_eq!(permit(&authorised(code)).services(), opens, "{code:?}");
            let assists = matches!(code, Some("HE" | "HF") | None);
            let left_out = [("authorisation", NOT_ASSISTING.to_vec())];
            let expected = if assists { &left_out[..] } else { &[] };
            assert_eq!(permit(&authorised(code)).reduced(), expected, "{code:?}");
        }
        assert_eq!(
            permit(&without_hpr()).reduced(),
            [("authorisation", NOT_UNAUTHORISED.to_vec())]
        );
        assert_eq!(
            permit(&without_hpr()).services(),
            [service("IT08"), service("IT17")]
        );
    }

    #[test]
    fn what_is_not_for_patients_or_not_known_opens_nothing() {
        for code in ["VE", "FB", "XX", "le", ""] {
            assert_eq!(
                refused_by(&authorised(Some(code))),
                Some(("authorisation", "authorisation_unknown")),
                "{code}"
            );
        }
        let mut case = authorised(Some("LE"));
        case.attest(|attest| {
            if let Some(code) = &mut attest.practitioner.authorization {
                code.system = "urn:oid:1.2.3".into();
            }
        });
        assert_eq!(
            refused_by(&case),
            Some(("authorisation", "authorisation_unknown"))
        );
    }

    #[test]
    fn without_hpr_number_there_is_no_emergency_access() {
        for (purpose, expected) in [
            ("TREAT", None),
            ("COC", None),
            ("ETREAT", Some(("authorisation", "authorisation_missing"))),
            ("BTG", Some(("authorisation", "authorisation_missing"))),
        ] {
            let mut case = without_hpr();
            case.purpose(purpose, Some("unconscious"));
            assert_eq!(refused_by(&case), expected, "{purpose}");
        }
    }

    #[test]
    fn the_attests_number_is_the_logins() {
        let mut case = authorised(Some("LE"));
        case.attest(|attest| {
            if let Some(number) = &mut attest.practitioner.hpr_nr {
                number.id = "1234567".into();
            }
        });
        assert_eq!(refused_by(&case), Some(("authorisation", "hpr_differs")));
    }

    #[test]
    fn a_number_at_the_login_or_in_the_attest_is_enough() {
        let registered = ["IT03", "IT08", "IT17"].map(service);
        let mut case = authorised(None);
        case.attest(|attest| attest.practitioner.hpr_nr = None);
        assert_eq!(permit(&case).services(), registered);
        let mut case = authorised(None);
        if let Person::Practitioner { hpr, .. } = &mut case.caller.person {
            *hpr = None;
        }
        assert_eq!(permit(&case).services(), registered);
        // Registered is enough for an emergency; what its work takes stays the same.
        case.purpose("ETREAT", None);
        assert_eq!(permit(&case).services(), registered);
    }

    #[test]
    fn an_authorisation_without_a_number_opens_nothing() {
        let mut case = authorised(Some("LE"));
        case.attest(|attest| attest.practitioner.hpr_nr = None);
        if let Person::Practitioner { hpr, .. } = &mut case.caller.person {
            *hpr = None;
        }
        let refused = Some(("authorisation", "authorisation_without_number"));
        assert_eq!(refused_by(&case), refused);
        case.purpose("BTG", None);
        assert_eq!(refused_by(&case), refused);
    }

    /// Every code of 9060 (Volven), retired MT among them.
    const CODES: &str = "AA AT AU BI ET FA1 FA2 FB FO FT HE HF HP JO KE KI LE MT NP OA OI OP OR OS PE PM PS RA SP TH TL TP \
                         TT VE VP XX";

    #[test]
    fn every_code_of_the_system_has_a_row_and_no_other_has() {
        for code in CODES.split_whitespace() {
            assert!(TABLE.iter().any(|(row, _)| *row == code), "{code}");
        }
        assert_eq!(TABLE.len(), CODES.split_whitespace().count());
    }

    #[test]
    fn the_roles_of_the_target_architecture_see_what_their_work_takes() {
        const ALL: &[&str] = &["IT03", "IT08", "IT09", "IT17"];
        const SOME: &[&str] = &["IT03", "IT08", "IT17"];
        const LEAST: &[&str] = &["IT08", "IT17"];
        // Who; authorisation, none: without HPR number; purpose; what of medicines, plans, documents, measurements.
        for (who, code, purpose, opens) in [
            ("physician at the hospital", Some("LE"), "TREAT", ALL),
            ("nurse at the hospital", Some("SP"), "TREAT", ALL),
            ("physiotherapist", Some("FT"), "TREAT", ALL),
            ("GP", Some("LE"), "TREAT", ALL),
            ("helsesekretær at the GP office", Some("HE"), "TREAT", SOME),
            ("emergency clinic's physician", Some("LE"), "ETREAT", ALL),
            ("ambulance worker", Some("AA"), "ETREAT", ALL),
            ("nurse of the follow-up centre", Some("SP"), "TREAT", ALL),
            ("vernepleier of the home service", Some("VP"), "TREAT", ALL),
            (
                "helsefagarbeider of the home service",
                Some("HF"),
                "TREAT",
                SOME,
            ),
            ("occupational therapist", Some("ET"), "TREAT", ALL),
            ("pharmacist", Some("FA1"), "TREAT", ALL),
            ("assistant of the follow-up centre", None, "TREAT", LEAST),
        ] {
            let mut case = match code {
                Some(code) => authorised(Some(code)),
                None => without_hpr(),
            };
            case.purpose(purpose, None);
            let opens: Vec<_> = opens.iter().map(|one| service(one)).collect();
            assert_eq!(permit(&case).services(), opens, "{who}");
        }
        // The municipality's case handler coordinates: no more than that, whatever the purpose takes.
        let mut case = without_hpr();
        case.purpose("COC", None);
        let least = LEAST.iter().map(|one| service(one)).collect::<Vec<_>>();
        assert!(
            permit(&case)
                .services()
                .iter()
                .all(|one| least.contains(one))
        );
    }

    #[test]
    fn no_code_stands_twice() {
        for (at, (code, _)) in TABLE.iter().enumerate() {
            assert!(TABLE[..at].iter().all(|(other, _)| other != code), "{code}");
        }
    }
}
