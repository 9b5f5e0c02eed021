//! Who may look at a patient's data here, as the rules stand now: what one organisation's people would be given, by the work
//! they do and the purpose they state.
//!
//! Source: pasient- og brukerrettighetsloven § 5-1 and pasientjournalloven § 18 (a patient's right to know of access to her record);
//! personvernforordningen art. 15(1)(c). No rule is written twice for it: [`decide`] itself is asked, in the name of a
//! practitioner whom nobody is, once for each kind of work and purpose. What comes out is told; the permits are dropped here.
//! Example: Prøveheim has an agreement about measurements and plans, and Ragnhild closed the plans: its physicians may see her
//! measurements, and her plans when they break the glass.

use crate::attest::{
    Attestation, AttestedPatient, Attester, CareRelationship, Code, DecisionRef, Id, Purpose,
};
use crate::caller::{Agreement, Caller, Person};
use crate::decide::{Ask, Facts, Permit, Refusal, decide};
use crate::detail::Detail;
use crate::interaction::Interaction;
use crate::rules::authorisation::SYSTEM;
use crate::scope::Scopes;
use crate::wish::{Closed, Wish};
use fhir::ids::{OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::resource::{InformationService, ResourceType};
use fhir::systems;
use fhir::time::Instant;

/// Kinds of work that are told apart (the rule `authorisation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// Treats patients and decides on treatment: physicians, nurses, physiotherapists.
    Treats,
    /// Helps to treat, with an authorisation.
    Assists,
    /// Has none.
    Unauthorised,
}

impl Work {
    /// All of them, in order.
    pub const ALL: [Work; 3] = [Work::Treats, Work::Assists, Work::Unauthorised];

    /// A word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Work::Treats => "treats",
            Work::Assists => "assists",
            Work::Unauthorised => "unauthorised",
        }
    }

    /// Reads the word exactly.
    pub fn parse(code: &str) -> Option<Work> {
        Work::ALL.into_iter().find(|one| one.code() == code)
    }

    /// An authorisation of code system 9060 that such work is done by.
    fn authorisation(self) -> Option<&'static str> {
        match self {
            Work::Treats => Some("LE"),
            Work::Assists => Some("HE"),
            Work::Unauthorised => None,
        }
    }
}

/// As what, and what for.
pub type Way = (Work, Purpose);

/// What is opened, the same for all these ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// For whom.
    pub ways: Vec<Way>,
    /// Kinds of information.
    pub services: Vec<InformationService>,
    /// Nothing older than this; `None`: the whole history.
    pub since: Option<Instant>,
    /// Details that are left out of it, in order.
    pub without: Vec<Detail>,
    /// Whether a block was broken for it.
    pub broken: bool,
}

/// Why nothing is opened, the same for all these ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shut {
    /// For whom.
    pub ways: Vec<Way>,
    /// Which rule says no.
    pub refusal: Refusal,
}

/// What the people of one organisation may look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MayLook {
    /// Whether it is their own: the responsible organisation, or a member of the shared register.
    pub own: bool,
    /// What they would be given, in the order of [`Work::ALL`] and [`Purpose::ALL`].
    pub openings: Vec<Opening>,
    /// What they would be refused.
    pub shut: Vec<Shut>,
}

impl MayLook {
    /// Is anything opened to anybody there?
    pub fn is_open(&self) -> bool {
        self.openings.iter().any(|one| !one.services.is_empty())
    }
}

/// Asks the rules for `organisation`, with the `agreement` that the anchor would put into its people's tokens, about `patient`.
/// `facts` hold the patient's wishes, whichever they are; a practitioner named in one is shut out besides, always.
pub fn may_look(
    patient: &PersonIdentifier,
    organisation: OrganisationNumber,
    agreement: Option<&Agreement>,
    facts: &Facts,
) -> MayLook {
    // Who is named in a wish is somebody; the practitioner who is asked for here is not.
    let wishes = facts.wishes.iter();
    let about_all = wishes.filter(|one| !matches!(one.closed, Closed::Practitioner { .. }));
    let facts = facts
        .clone()
        .with(about_all.cloned().collect::<Vec<Wish>>().into());
    let mut found = MayLook {
        own: facts.is_own(&organisation),
        openings: Vec::new(),
        shut: Vec::new(),
    };
    let ask = Ask::of(Interaction::Search, ResourceType::OBSERVATION);
    for work in Work::ALL {
        for purpose in Purpose::ALL {
            let caller = somebody(patient, organisation, agreement, (work, purpose), &facts);
            found.add((work, purpose), decide(&ask, &caller, &facts).permit());
        }
    }
    found
}

impl MayLook {
    fn add(&mut self, way: Way, decided: Result<Permit, Refusal>) {
        match decided {
            Ok(permit) => {
                let opening = Opening {
                    ways: vec![way],
                    services: permit.services().to_vec(),
                    since: permit.period().map(|period| Instant(period.lo)),
                    without: Detail::ALL
                        .into_iter()
                        .filter(|one| permit.reduced().iter().any(|(_, out)| out.contains(one)))
                        .collect(),
                    broken: !permit.broken().is_empty(),
                };
                let same = |one: &&mut Opening| {
                    (&one.services, one.since, &one.without, one.broken)
                        == (
                            &opening.services,
                            opening.since,
                            &opening.without,
                            opening.broken,
                        )
                };
                match self.openings.iter_mut().find(same) {
                    Some(one) => one.ways.push(way),
                    None => self.openings.push(opening),
                }
            }
            Err(refusal) => match self.shut.iter_mut().find(|one| one.refusal == refusal) {
                Some(one) => one.ways.push(way),
                None => self.shut.push(Shut {
                    ways: vec![way],
                    refusal,
                }),
            },
        }
    }
}

/// Somebody of the organisation, with a token and an attest as they should be. Nobody has this number.
fn somebody(
    patient: &PersonIdentifier,
    organisation: OrganisationNumber,
    agreement: Option<&Agreement>,
    (work, purpose): Way,
    facts: &Facts,
) -> Caller {
    let id = |system: &str, value: &str| Id {
        id: value.to_owned(),
        name: None,
        system: system.to_owned(),
        authority: None,
    };
    let code = |system: &str, code: &str| Code {
        code: code.to_owned(),
        text: None,
        system: system.to_owned(),
        assigner: None,
    };
    let place = || Some(id(systems::ORGNR, organisation.as_str()));
    let authorisation = work.authorisation();
    let attestation = Attestation {
        toa: facts.now.seconds(),
        practitioner: Attester {
            identifier: id(systems::FNR, NOBODY),
            hpr_nr: authorisation.map(|_| id(systems::HPR, NOBODY)),
            authorization: authorisation.map(|word| code(SYSTEM, word)),
            legal_entity: place(),
            point_of_care: place(),
            department: None,
        },
        care_relationship: CareRelationship {
            healthcare_service: Some(code("", "any")),
            purpose_of_use: Some(code(systems::PURPOSE_OF_USE, purpose.code())),
            purpose_of_use_details: None,
            decision_ref: Some(DecisionRef {
                id: "any".to_owned(),
                description: None,
                user_selected: false,
            }),
            reason: (purpose == Purpose::BreakTheGlass).then(|| "any".to_owned()),
        },
        patients: vec![AttestedPatient {
            identifier: id(patient.system(), patient.value().expose()),
            point_of_care: None,
            department: None,
        }],
    };
    let identifier = PersonIdentifier::parse(systems::FNR, NOBODY, PersonNumbers::Lenient);
    let person = Person::Practitioner {
        identifier: identifier.expect("a digit is a number to the lenient"),
        name: None,
        hpr: None,
        pseudonym: None,
        security_level: 4,
        attestation: Some(Box::new(attestation)),
    };
    Caller {
        scopes: Scopes::parse("user/*.rs").expect("a scope of SMART"),
        patient: Some(patient.clone()),
        agreement: agreement.cloned(),
        ..Caller::without_token(person, organisation, facts)
    }
}

/// A number that is nobody's, whole or not.
const NOBODY: &str = "0";

#[cfg(test)]
#[path = "may_look_tests.rs"]
mod tests;
