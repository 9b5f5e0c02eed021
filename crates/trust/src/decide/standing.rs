//! The standing right of a subscription: founded once, by the caller whom [`decide`](super::decide) let subscribe, and asked again
//! each time the subscriber is told something (threats-and-faults sections 4 and 8).
//!
//! What the rules said of the person and the need is taken as it was stated then, for the time that was stated. What may change
//! since is asked anew: agreement, reservation and blocks, in [`rules::STANDING`].

use super::{Ask, Facts, Permit, PermitScope, Refusal, left_out};
use crate::caller::{Agreement, Caller, ClientUse, Person};
use crate::category::Category;
use crate::interaction::Interaction;
use crate::rules::{self, Answer, Parts, Question};
use fhir::ids::{HprNumber, OrganisationNumber, PersonIdentifier};
use fhir::resource::{InformationService, ResourceType};
use fhir::time::{Instant, LATEST, Range};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The practitioner whose need a subscription rests on: enough to know her again in a block, and to tell the patient.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follower {
    /// Who logged in.
    pub identifier: PersonIdentifier,
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// HPR number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpr: Option<HprNumber>,
    /// The issuer's pseudonym for her.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudonym: Option<String>,
}

/// Whose right it is, to what, and for how long. Debug shows no person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The client that subscribed.
    pub client: String,
    /// What it is registered for.
    pub client_use: ClientUse,
    /// The subscribing organisation (main unit).
    pub organisation: OrganisationNumber,
    /// Whose need it rests on; none: the organisation's own record system, about its own store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follower: Option<Follower>,
    /// The agreement that opened the other organisation's data when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// The kinds of information that were opened then.
    pub services: Vec<InformationService>,
    /// From when on data was opened, UTC microseconds; none: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// When what was stated ends.
    pub until: Instant,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Standing({}, {})", self.client, self.organisation)
    }
}

impl Standing {
    /// What a caller founds by subscribing under `permit`, which must be for [`Interaction::Subscribe`]; `None` for a caller of no
    /// organisation.
    pub fn of(caller: &Caller, permit: &Permit, facts: &Facts, until: Instant) -> Option<Standing> {
        if permit.interaction != Interaction::Subscribe {
            return None;
        }
        let follower = match &caller.person {
            Person::Practitioner {
                identifier,
                name,
                hpr,
                pseudonym,
                ..
            } => Some(Follower {
                identifier: identifier.clone(),
                name: name.clone(),
                hpr: hpr.clone(),
                pseudonym: pseudonym.clone(),
            }),
            Person::System => None,
            Person::Citizen { .. } => return None,
        };
        Some(Standing {
            client: caller.client_id.clone(),
            client_use: caller.use_,
            organisation: facts.register.main_unit(caller.organisation?),
            follower,
            agreement: caller.agreement.clone(),
            services: permit.services.clone(),
            since: permit.period.map(|period| period.lo),
            until,
        })
    }

    /// The caller as the rules ask of one.
    fn caller(&self, patient: Option<&PersonIdentifier>, facts: &Facts) -> Caller {
        let person = match &self.follower {
            None => Person::System,
            Some(one) => Person::Practitioner {
                identifier: one.identifier.clone(),
                name: one.name.clone(),
                hpr: one.hpr.clone(),
                pseudonym: one.pseudonym.clone(),
                security_level: 4,
                attestation: None,
            },
        };
        Caller {
            client_id: self.client.clone(),
            use_: self.client_use,
            patient: patient.cloned(),
            agreement: self.agreement.clone(),
            ..Caller::without_token(person, self.organisation, facts)
        }
    }
}

const OVER: Refusal = Refusal {
    rule: "subscription",
    category: Category::Gone,
    code: "subscription_over",
    message: "the time that was stated is over",
};

const NOT_OWN: Refusal = Refusal {
    rule: "subscription",
    category: Category::Forbidden,
    code: "not_own_store",
    message: "only the organisation itself hears of its whole store",
};

/// What a subscription opens now, about `patient` (none: about everybody in the organisation's own store). `facts` hold the
/// patient's wishes; of the agreement, the caller has seen to it that it is in force.
///
/// # Errors
/// The refusal: it is told to nobody outside.
pub fn follow(
    standing: &Standing,
    patient: Option<&PersonIdentifier>,
    facts: &Facts,
) -> Result<Permit, Refusal> {
    if standing.until <= facts.now {
        return Err(OVER);
    }
    let own = facts.is_own(&standing.organisation);
    let scope = match (patient, &standing.follower) {
        (Some(patient), Some(_)) => PermitScope::Patient(patient.clone()),
        (Some(patient), None) if own => PermitScope::Patient(patient.clone()),
        (None, None) if own => PermitScope::OwnStore,
        _ => return Err(NOT_OWN),
    };
    let caller = standing.caller(patient, facts);
    let ask = Ask::of(Interaction::Notify, ResourceType::BUNDLE);
    let question = Question {
        ask: &ask,
        caller: &caller,
        facts,
    };
    let mut parts = Parts {
        services: Some(standing.services.clone()),
        period: standing.since.map(|lo| Range { lo, hi: LATEST }),
        ..Parts::default()
    };
    let mut narrowed = Vec::new();
    for rule in rules::STANDING {
        match (rule.check)(&question) {
            // Nobody is there who could break the glass.
            Answer::Deny(refusal)
            | Answer::DenyUnlessBroken(refusal)
            | Answer::Nothing(refusal) => {
                return Err(refusal);
            }
            Answer::Allow(allowed) | Answer::AllowMoreIfBroken(allowed) => {
                narrowed.extend(left_out(rule, &allowed));
                parts = parts.and(allowed);
            }
            Answer::NotMine => {}
        }
    }
    Ok(Permit {
        scope,
        interaction: Interaction::Notify,
        services: parts.services.unwrap_or_default(),
        period: parts.period,
        own,
        broken: Vec::new(),
        narrowed,
        reduced: Vec::new(),
        withheld: Vec::new(),
        rules: rules::STANDING
            .iter()
            .map(|rule| (rule.name, rule.version))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;
    use crate::decide::decide;
    use crate::rules::people::{Case, FJELLVIK, PATIENT, PROVEHEIM, org, person, service};
    use crate::scope::Scopes;
    use crate::wish::{Closed, Known, Named};
    use std::sync::Arc;

    /// Prøveheim's physician follows Fjellvik's patient until a day from now.
    fn case() -> (Case, Standing) {
        let mut case = Case::practitioner();
        case.agreement(&["IT08", "IT17"]);
        case.caller.scopes = Scopes::parse("user/*.rs user/Subscription.c").unwrap();
        case.ask.interaction = Interaction::Subscribe;
        case.ask.resource = ResourceType::SUBSCRIPTION;
        let permit = decide(&case.ask, &case.caller, &case.facts)
            .permit()
            .unwrap();
        let until = case.facts.now.plus_seconds(86_400);
        let standing = Standing::of(&case.caller, &permit, &case.facts, until).unwrap();
        (case, standing)
    }

    fn told(case: &Case, standing: &Standing) -> Result<Vec<InformationService>, &'static str> {
        follow(standing, Some(&person(PATIENT)), &case.facts)
            .map(|permit| {
                assert_eq!(permit.patient(), &PermitScope::Patient(person(PATIENT)));
                assert_eq!(permit.interaction(), Interaction::Notify);
                permit.services().to_vec()
            })
            .map_err(|refusal| refusal.code)
    }

    #[test]
    fn it_opens_what_was_agreed_until_the_time_that_was_stated() {
        let (mut case, standing) = case();
        let all = vec![service("IT08"), service("IT17")];
        assert_eq!(told(&case, &standing), Ok(all.clone()));
        case.facts.now = standing.until.plus_micros(-1);
        assert_eq!(told(&case, &standing), Ok(all));
        case.facts.now = standing.until;
        assert_eq!(told(&case, &standing), Err("subscription_over"));
        let mut less = standing;
        case.facts.now = less.until.plus_micros(-1);
        less.agreement.as_mut().unwrap().services = vec![service("IT17"), service("IT03")];
        assert_eq!(told(&case, &less), Ok(vec![service("IT17")]));
        less.agreement = None;
        assert_eq!(told(&case, &less), Err("agreement_missing"));
    }

    #[test]
    fn what_the_patient_closes_is_closed_from_then_on() {
        let nurse = |pseudonym: Option<&str>, number: Option<&str>| Closed::Practitioner {
            who: Named {
                pseudonym: pseudonym.map(str::to_owned),
                hpr: None,
                number: number.map(person),
            },
        };
        for (closed, expected) in [
            (Closed::Sharing, Err("reserved")),
            (Closed::Everything, Err("blocked")),
            (
                Closed::Organisation {
                    organisation: org(PROVEHEIM),
                },
                Err("blocked"),
            ),
            (
                Closed::Organisation {
                    organisation: org(FJELLVIK),
                },
                Ok(vec![service("IT08"), service("IT17")]),
            ),
            (
                Closed::Services {
                    services: vec![service("IT17")],
                },
                Ok(vec![service("IT08")]),
            ),
            (
                nurse(None, Some(crate::rules::people::PHYSICIAN)),
                Err("practitioner_blocked"),
            ),
            (
                nurse(Some("somebody-else"), None),
                Ok(vec![service("IT08"), service("IT17")]),
            ),
        ] {
            let (mut case, standing) = case();
            case.wish(closed);
            assert_eq!(told(&case, &standing), expected);
        }
    }

    #[test]
    fn nothing_older_is_told_than_what_was_opened_then() {
        let (case, mut standing) = case();
        let period = |standing: &Standing| {
            let permit = follow(standing, Some(&person(PATIENT)), &case.facts).unwrap();
            permit.period()
        };
        standing.since = None;
        assert_eq!(period(&standing), None);
        standing.since = Some(7);
        assert_eq!(period(&standing), Some(Range { lo: 7, hi: LATEST }));
    }

    #[test]
    fn the_rules_are_asked_about_who_subscribed() {
        let (case, standing) = case();
        let patient = person(PATIENT);
        let asked = standing.caller(Some(&patient), &case.facts);
        assert_eq!(asked.client_id, case.caller.client_id);
        assert_eq!(asked.use_, case.caller.use_);
        assert_eq!(asked.organisation, case.caller.organisation);
        assert_eq!(asked.agreement, case.caller.agreement);
        assert_eq!(asked.patient, Some(patient));
        assert_eq!(standing.caller(None, &case.facts).patient, None);
    }

    #[test]
    fn settings_that_are_not_known_open_nothing() {
        let (mut case, standing) = case();
        case.facts.known = Arc::new(Known::within(60, true, true));
        assert_eq!(told(&case, &standing), Err("settings_unknown"));
    }

    #[test]
    fn the_whole_store_is_its_own_organisations() {
        let mut case = Case::system(ClientUse::RecordSystem, FJELLVIK);
        case.ask.interaction = Interaction::Subscribe;
        case.ask.resource = ResourceType::SUBSCRIPTION;
        case.caller.scopes = Scopes::parse("system/*.cruds").unwrap();
        let permit = decide(&case.ask, &case.caller, &case.facts)
            .permit()
            .unwrap();
        let until = case.facts.now.plus_seconds(1);
        let mut standing = Standing::of(&case.caller, &permit, &case.facts, until).unwrap();
        case.wish(Closed::Everything);
        let permit = follow(&standing, None, &case.facts).unwrap();
        assert_eq!(permit.patient(), &PermitScope::OwnStore);
        assert!(permit.is_own());
        // And of each patient in it, whatever she has closed to health personnel.
        let patient = person(PATIENT);
        let permit = follow(&standing, Some(&patient), &case.facts).unwrap();
        assert_eq!(permit.patient(), &PermitScope::Patient(patient));
        assert!(permit.is_own());
        standing.organisation = org(PROVEHEIM);
        for patient in [None, Some(&person(PATIENT))] {
            let refusal = follow(&standing, patient, &case.facts).unwrap_err();
            assert_eq!(refusal.code, "not_own_store");
        }
        // Whoever may not subscribe founds nothing.
        case.ask.interaction = Interaction::Read;
        let read = decide(&case.ask, &case.caller, &case.facts)
            .permit()
            .unwrap();
        assert_eq!(Standing::of(&case.caller, &read, &case.facts, until), None);
    }

    #[test]
    fn it_reads_again_and_shows_nobody() {
        let (_, standing) = case();
        let text = serde_json::to_string(&standing).unwrap();
        assert_eq!(serde_json::from_str::<Standing>(&text).unwrap(), standing);
        let shown = format!("{standing:?}");
        let number = crate::rules::people::PHYSICIAN;
        assert!(text.contains(number) && !shown.contains(number));
    }
}
