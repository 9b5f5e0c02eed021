//! Who may look: by example, and against `decide` with a practitioner, a token and an attest made elsewhere.

#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
use super::*;
use crate::rules::authorisation;
use crate::rules::people::{Case, FJELLVIK, OTHER, PATIENT, PROVEHEIM, org, person, service};
use crate::wish::{Known, Named, Source};
use proptest::prelude::*;
use std::sync::Arc;

const TREAT: Way = (Work::Treats, Purpose::Treat);
const BTG: Way = (Work::Treats, Purpose::BreakTheGlass);

fn ask(case: &Case, number: &str) -> MayLook {
    let agreement = case.caller.agreement.as_ref();
    may_look(&person(PATIENT), org(number), agreement, &case.facts)
}

fn opening(found: &MayLook, way: Way) -> Option<&Opening> {
    found.openings.iter().find(|one| one.ways.contains(&way))
}

/// What is opened that way, or the refusal's code.
fn said(found: &MayLook, way: Way) -> Result<Vec<String>, &'static str> {
    if let Some(one) = opening(found, way) {
        return Ok(one.services.iter().map(ToString::to_string).collect());
    }
    let shut = found.shut.iter().find(|one| one.ways.contains(&way));
    Err(shut.unwrap().refusal.code)
}

#[test]
fn each_kind_of_work_has_a_word_that_reads_again() {
    for (work, word) in [
        (Work::Treats, "treats"),
        (Work::Assists, "assists"),
        (Work::Unauthorised, "unauthorised"),
    ] {
        assert_eq!(work.code(), word);
        assert_eq!(Work::parse(word), Some(work));
    }
    for other in ["", "Treats", "treats ", "physician"] {
        assert_eq!(Work::parse(other), None);
    }
}

#[test]
fn an_organisation_sees_by_agreement_what_its_people_need_and_is_shut_out_by_a_wish() {
    let mut case = Case::practitioner();
    case.agreement(&["IT08", "IT09", "IT17"]);
    let found = ask(&case, PROVEHEIM);
    assert!(found.is_open() && !found.own && found.shut.len() == 1);
    assert_eq!(said(&found, TREAT).unwrap(), ["IT08", "IT09", "IT17"]);
    let assists = opening(&found, (Work::Assists, Purpose::Treat)).unwrap();
    assert_eq!(assists.services, [service("IT08"), service("IT17")]);
    assert_eq!(assists.without, [Detail::Narrative, Detail::Notes]);
    let year = case.facts.now.plus_seconds(-365 * 86_400);
    let coordinates = opening(&found, (Work::Treats, Purpose::Coordination)).unwrap();
    assert_eq!(coordinates.since, Some(year));
    assert_eq!(
        said(&found, (Work::Unauthorised, Purpose::EmergencyTreat)),
        Err("authorisation_missing")
    );
    // Ways that see the same stand together: the page of a region says each thing once.
    assert_eq!(
        opening(&found, TREAT).unwrap().ways,
        [TREAT, (Work::Treats, Purpose::EmergencyTreat), BTG]
    );

    case.wish(Closed::Services {
        services: vec![service("IT08")],
    });
    let found = ask(&case, PROVEHEIM);
    assert_eq!(said(&found, TREAT).unwrap(), ["IT09", "IT17"]);
    assert_eq!(said(&found, BTG).unwrap(), ["IT08", "IT09", "IT17"]);
    assert!(opening(&found, BTG).unwrap().broken && !opening(&found, TREAT).unwrap().broken);

    case.wish(Closed::Organisation {
        organisation: org(PROVEHEIM),
    });
    let found = ask(&case, PROVEHEIM);
    assert_eq!(said(&found, TREAT), Err("blocked"));
    assert!(found.is_open(), "by break the glass");
    assert_eq!(said(&ask(&case, OTHER), TREAT).unwrap().len(), 3);

    case.wish(Closed::Sharing);
    let found = ask(&case, PROVEHEIM);
    assert!(!found.is_open() && found.openings.is_empty());
    assert_eq!(said(&found, BTG), Err("reserved"));
    assert!(ask(&case, FJELLVIK).own && ask(&case, FJELLVIK).is_open());
}

#[test]
fn nobody_without_an_agreement_is_listed_as_let_in() {
    let mut case = Case::practitioner();
    for services in [None, Some(vec![])] {
        case.agreement(&services.unwrap_or_default());
        let found = ask(&case, PROVEHEIM);
        assert!(!found.is_open());
        assert_eq!(said(&found, BTG), Err("agreement_missing"));
    }
    case.caller.agreement = None;
    assert_eq!(
        said(&ask(&case, PROVEHEIM), TREAT),
        Err("agreement_missing")
    );
    case.facts.members = [org(PROVEHEIM)].into();
    let found = ask(&case, PROVEHEIM);
    assert!(found.own, "a member of the shared register needs none");
    assert_eq!(
        said(&found, TREAT).unwrap().len(),
        InformationService::ALL.len()
    );
}

#[test]
fn somebody_named_shuts_out_that_one_alone() {
    let mut case = Case::practitioner();
    let open = ask(&case, PROVEHEIM);
    for who in [
        Named {
            number: Some(
                PersonIdentifier::parse(systems::FNR, NOBODY, PersonNumbers::Lenient).unwrap(),
            ),
            ..Named::default()
        },
        Named {
            pseudonym: Some(String::new()),
            ..Named::default()
        },
    ] {
        case.wish(Closed::Practitioner { who });
        assert_eq!(ask(&case, PROVEHEIM), open);
    }
}

/// The same practitioner with this authorisation.
fn authorised(case: &mut Case, code: Option<&str>) {
    case.attest(|attest| {
        attest.practitioner.authorization = code.map(|code| Code {
            code: code.into(),
            text: None,
            system: SYSTEM.into(),
            assigner: None,
        });
        if code.is_none() {
            attest.practitioner.hpr_nr = None;
        }
    });
    if let (Person::Practitioner { hpr, .. }, None) = (&mut case.caller.person, code) {
        *hpr = None;
    }
}

/// What `decide` gives a case, in the list's form.
fn decided(case: &Case, way: Way) -> MayLook {
    let mut found = MayLook {
        own: false,
        openings: Vec::new(),
        shut: Vec::new(),
    };
    found.add(way, decide(&case.ask, &case.caller, &case.facts).permit());
    found
}

/// What the list says of one way, alone.
fn listed(found: &MayLook, way: Way) -> MayLook {
    let openings = found.openings.iter().filter(|one| one.ways.contains(&way));
    let shut = found.shut.iter().filter(|one| one.ways.contains(&way));
    MayLook {
        own: false,
        openings: openings
            .map(|one| Opening {
                ways: vec![way],
                ..one.clone()
            })
            .collect(),
        shut: shut
            .map(|one| Shut {
                ways: vec![way],
                refusal: one.refusal,
            })
            .collect(),
    }
}

#[test]
fn every_authorisation_sees_what_its_kind_of_work_is_listed_with() {
    for (code, work) in authorisation::TABLE {
        let work = match work {
            authorisation::Work::Treats => Some(Work::Treats),
            authorisation::Work::Assists => Some(Work::Assists),
            authorisation::Work::Elsewhere => None,
        };
        for purpose in Purpose::ALL {
            let mut case = Case::practitioner();
            authorised(&mut case, Some(code));
            case.purpose(purpose.code(), Some("unconscious"));
            let Some(work) = work else {
                assert!(
                    decide(&case.ask, &case.caller, &case.facts)
                        .permit()
                        .is_err()
                );
                continue;
            };
            let way = (work, purpose);
            assert_eq!(
                listed(&ask(&case, PROVEHEIM), way),
                decided(&case, way),
                "{code}"
            );
        }
    }
}

fn services() -> impl Strategy<Value = Vec<InformationService>> {
    let all = InformationService::ALL.to_vec();
    let most = all.len();
    prop::sample::subsequence(all, 0..=most)
}

/// A wish as a failing case may print it.
#[derive(Debug, Clone)]
enum Said {
    Sharing,
    Everything,
    Services(Vec<InformationService>),
    Organisation(&'static str),
    Practitioner(&'static str),
}

impl Said {
    fn closed(&self) -> Closed {
        match self {
            Said::Sharing => Closed::Sharing,
            Said::Everything => Closed::Everything,
            Said::Services(services) => Closed::Services {
                services: services.clone(),
            },
            Said::Organisation(number) => Closed::Organisation {
                organisation: org(number),
            },
            Said::Practitioner(name) => Closed::Practitioner {
                who: Named {
                    pseudonym: Some((*name).to_owned()),
                    ..Named::default()
                },
            },
        }
    }
}

fn closed() -> impl Strategy<Value = Said> {
    let organisation = prop::sample::select(vec![FJELLVIK, PROVEHEIM, OTHER]);
    let pseudonym = prop::sample::select(vec!["the-neighbour", "somebody-else"]);
    prop_oneof![
        Just(Said::Sharing),
        Just(Said::Everything),
        services().prop_map(Said::Services),
        organisation.prop_map(Said::Organisation),
        pseudonym.prop_map(Said::Practitioner),
    ]
}

/// A wish, when it ends (seconds from now), and where it was made.
fn wish() -> impl Strategy<Value = (Said, Option<i64>, Source)> {
    let end = prop::option::of(prop::sample::select(vec![-1, 0, 1, 3600]));
    let source = prop::sample::select(vec![Source::Here, Source::Personvernkomponenten]);
    (closed(), end, source)
}

proptest! {
    /// Whoever is on the list is let in, by a proper token, to what the list says and no more; whoever is not is refused, for
    /// the reason that the list gives. Whoever is named in a wish never gets in.
    #[test]
    fn the_list_is_what_decide_decides(
        agreement in prop::option::of(services()),
        organisation in prop::sample::select(vec![FJELLVIK, PROVEHEIM, OTHER]),
        member in any::<bool>(),
        wishes in prop::collection::vec(wish(), 0..4),
        unknown in prop::option::of((any::<bool>(), any::<bool>())),
        work in prop::sample::select(Work::ALL.to_vec()),
        purpose in prop::sample::select(Purpose::ALL.to_vec()),
        neighbour in any::<bool>(),
    ) {
        let mut case = Case::practitioner();
        case.caller.agreement = agreement.map(|services| Agreement {
            id: "a-1".into(),
            version: 1,
            services,
        });
        case.from(organisation);
        authorised(&mut case, work.authorisation());
        case.purpose(purpose.code(), Some("unconscious"));
        if member {
            case.facts.members = [org(OTHER)].into();
        }
        if let Some((reservations, blocks)) = unknown {
            case.facts.known = Arc::new(Known::within(60, reservations, blocks));
        }
        let now = case.facts.now;
        let made = wishes.iter().enumerate().map(|(at, (closed, end, source))| Wish {
            id: format!("w-{at}"),
            closed: closed.closed(),
            since: now.plus_seconds(-3600),
            until: end.map(|seconds| now.plus_seconds(seconds)),
            source: *source,
        });
        case.facts.wishes = made.collect();
        if let Person::Practitioner { pseudonym, .. } = &mut case.caller.person {
            *pseudonym = Some(if neighbour { "the-neighbour" } else { "nobody" }.into());
        }
        let way = (work, purpose);
        let said = listed(&ask(&case, organisation), way);
        let is = decided(&case, way);
        let named = |one: &Wish| one.holds(now) && matches!(
            &one.closed,
            Closed::Practitioner { who } if who.pseudonym.as_deref() == Some("the-neighbour")
        );
        if neighbour && case.facts.wishes.iter().any(named) {
            prop_assert!(is.openings.is_empty());
        } else {
            prop_assert_eq!(said, is);
        }
    }
}
