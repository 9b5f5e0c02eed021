//! Minimisation: which kinds of information, how far back, and which details a purpose needs.
//!
//! Source: pasientjournalloven §§ 15, 16 and 19 (no more than needed); personvernforordningen art. 5(1)(c). The table is
//! the default; an organisation's own narrower table comes with its publishing policy. Example: treatment (TREAT) opens
//! all kinds and the whole history, because trends over years are what a physician reads; coordination (COC) opens
//! demographics, plans, measurements, procedures and services of the last year, not medicines, documents or dialogue, and of
//! these no notes, no narrative, and of people no more than who they are.

use super::{Answer, Parts, Question, Rule};
use crate::attest::Purpose;
use crate::detail::Detail;
use fhir::resource::InformationService;
use fhir::time::{Instant, LATEST, Range};

pub(super) const RULE: Rule = Rule {
    name: "minimisation",
    version: 2,
    source: "pasientjournalloven §§ 15, 16, 19; GDPR art. 5(1)(c)",
    check,
};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Purpose; numbers of information services (`None`: all); how many days back (`None`: the whole history); details that are
/// left out. What a role leaves out besides stands in `authorisation`.
type Row = (
    Purpose,
    Option<&'static [u8]>,
    Option<i64>,
    &'static [Detail],
);

const TABLE: &[Row] = &[
    (Purpose::Treat, None, None, &[]),
    (Purpose::EmergencyTreat, None, None, &[]),
    (
        Purpose::Coordination,
        Some(&[8, 12, 17, 19, 23]),
        Some(365),
        &Detail::ALL,
    ),
    (Purpose::BreakTheGlass, None, None, &[]),
];

fn services(numbers: Option<&[u8]>) -> Vec<InformationService> {
    let all = InformationService::ALL.into_iter();
    all.filter(|service| numbers.is_none_or(|numbers| numbers.contains(&service.number())))
        .collect()
}

fn check(question: &Question<'_>) -> Answer {
    // Systems with their own store and citizens with their own data see all kinds and all time.
    let everything = || {
        Answer::Allow(Parts {
            services: Some(services(None)),
            ..Parts::default()
        })
    };
    let Some(attest) = question.attest() else {
        return everything();
    };
    // Without a stated purpose the rule `purpose` has refused already.
    let Some(purpose) = attest.and_then(|attest| attest.purpose()) else {
        return Answer::NotMine;
    };
    let Some((_, numbers, days, without)) = TABLE.iter().find(|row| row.0 == purpose) else {
        return Answer::NotMine;
    };
    Answer::Allow(Parts {
        scope: None,
        services: Some(services(*numbers)),
        period: days.map(|days| since(question.facts.now, days)),
        without,
    })
}

fn since(now: Instant, days: i64) -> Range {
    Range {
        lo: now.plus_seconds(-days * DAY_SECONDS).0,
        hi: LATEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::ClientUse;
    use crate::rules::people::{Case, FJELLVIK, permit, service};

    #[test]
    fn every_purpose_has_its_row() {
        for purpose in Purpose::ALL {
            assert_eq!(
                TABLE.iter().filter(|row| row.0 == purpose).count(),
                1,
                "{purpose:?}"
            );
        }
    }

    #[test]
    fn coordination_sees_less_than_treatment() {
        let mut case = Case::practitioner();
        case.agreement(&["IT03", "IT08", "IT17"]);
        assert_eq!(
            permit(&case).services(),
            [service("IT03"), service("IT08"), service("IT17")]
        );
        assert_eq!(permit(&case).period(), None);
        case.attest(|attest| {
            if let Some(purpose) = &mut attest.care_relationship.purpose_of_use {
                purpose.code = "COC".into();
            }
        });
        let permit = permit(&case);
        assert_eq!(permit.services(), [service("IT08"), service("IT17")]);
        let year = case.facts.now.0 - 365 * 86_400 * 1_000_000;
        assert_eq!(
            permit.period(),
            Some(Range {
                lo: year,
                hi: LATEST
            })
        );
        assert_eq!(permit.reduced(), [("minimisation", Detail::ALL.to_vec())]);
    }

    #[test]
    fn treatment_opens_every_detail() {
        for purpose in ["TREAT", "ETREAT", "BTG"] {
            let mut case = Case::practitioner();
            case.purpose(purpose, Some("unconscious"));
            assert_eq!(permit(&case).reduced(), [], "{purpose}");
            assert_eq!(permit(&case).withheld(), [], "{purpose}");
        }
    }

    #[test]
    fn own_systems_and_citizens_see_everything_of_theirs() {
        for case in [
            Case::citizen(),
            Case::system(ClientUse::RecordSystem, FJELLVIK),
        ] {
            assert_eq!(permit(&case).services(), InformationService::ALL);
            assert_eq!(permit(&case).period(), None);
            assert_eq!(permit(&case).withheld(), []);
        }
    }
}
