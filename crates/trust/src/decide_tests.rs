//! What a permit and the facts say of themselves, each from both sides.

use super::*;
use crate::caller::ClientUse;
use crate::rules::people::{
    Case, FJELLVIK, PHYSICIAN, PROVEHEIM, org, permit, person, refused_by, service,
};
use crate::wish::Closed;

#[test]
fn facts_move_in_time_and_take_wishes_and_keep_the_rest() {
    let mut case = Case::practitioner();
    case.wish(Closed::Everything);
    let wishes = case.facts.wishes.clone();
    case.facts.wishes = [].into();
    let later = case.facts.now.plus_seconds(60);
    let moved = case.facts.at(later).with(wishes.clone());
    assert_eq!(moved.now, later);
    assert_eq!(moved.wishes, wishes);
    assert_eq!(
        (moved.party, moved.owner, &moved.audience),
        (case.facts.party, case.facts.owner, &case.facts.audience)
    );
}

#[test]
fn own_is_who_works_there_and_its_own_system() {
    let mut nurse = Case::practitioner();
    assert!(!permit(&nurse).is_own(), "she works elsewhere");
    nurse.from(FJELLVIK);
    assert!(permit(&nurse).is_own());
    assert!(permit(&Case::system(ClientUse::RecordSystem, FJELLVIK)).is_own());
    let mut citizen = Case::citizen();
    citizen.caller.organisation = Some(org(FJELLVIK));
    assert!(
        !permit(&citizen).is_own(),
        "an employee who asks as a citizen"
    );
    assert!(case_of_member().is_own(), "a member of a shared register");
}

fn case_of_member() -> Permit {
    let mut case = Case::practitioner();
    case.facts.members = [org(PROVEHEIM)].into();
    permit(&case)
}

#[test]
fn a_permit_opens_what_it_lists_and_what_is_of_no_kind() {
    let mut case = Case::practitioner();
    case.agreement(&["IT17"]);
    let permit = permit(&case);
    assert!(permit.opens(Some(service("IT17"))));
    assert!(!permit.opens(Some(service("IT08"))));
    assert!(permit.opens(None));
}

#[test]
fn a_permit_says_what_it_was_given_for_and_which_rules_were_asked() {
    let permit = permit(&Case::practitioner());
    assert_eq!(permit.interaction(), Interaction::Search);
    let asked: Vec<_> = permit.rules().iter().map(|(name, _)| *name).collect();
    let all: Vec<_> = rules::LIST.iter().map(|rule| rule.name).collect();
    assert_eq!(asked, all);
}

#[test]
fn need_is_refused_for_the_persons_own_lacks_alone() {
    let said = |change: &dyn Fn(&mut Case)| {
        let mut case = Case::practitioner();
        change(&mut case);
        need(&case.caller, &case.facts)
            .err()
            .map(|refusal| refusal.rule)
    };
    assert_eq!(said(&|_| {}), None);
    // Whether the organisations have an agreement, and whose audience it is, the holder decides.
    assert_eq!(said(&|case| case.caller.agreement = None), None);
    assert_eq!(said(&|case| case.caller.audience.push('x')), None);
    assert_eq!(
        said(&|case| case.attest(|attest| attest.toa -= 3600)),
        Some("attestation")
    );
    assert_eq!(said(&|case| case.purpose("HMARKT", None)), Some("purpose"));
    assert_eq!(
        said(&|case| case.attest(|attest| attest.care_relationship.decision_ref = None)),
        Some("decision_ref")
    );
    assert_eq!(
        said(&|case| case.caller.patient = Some(person(PHYSICIAN))),
        Some("patient")
    );
}

#[test]
fn the_catalogue_asks_a_practitioner_for_no_attest() {
    let mut case = Case::practitioner();
    (case.facts.party, case.ask.interaction) = (Party::Catalogue, Interaction::Directory);
    if let Person::Practitioner { attestation, .. } = &mut case.caller.person {
        *attestation = None;
    }
    case.caller.patient = None;
    assert_eq!(refused_by(&case), None);
}

#[test]
fn whoever_was_refused_may_hear_why() {
    for closed in [None, Some(Closed::Everything), Some(Closed::Sharing)] {
        let mut case = Case::practitioner();
        match closed {
            None => case.caller.agreement = None,
            Some(closed) => case.wish(closed),
        }
        assert!(refused_by(&case).is_some());
        case.ask.interaction = Interaction::Explain;
        assert_eq!(refused_by(&case), None);
    }
}

#[test]
fn periods_that_do_not_meet_leave_a_point_without_data() {
    let of = |lo, hi| Parts {
        period: Some(Range { lo, hi }),
        ..Parts::default()
    };
    let meet = |ours: (i64, i64), theirs: (i64, i64)| {
        of(ours.0, ours.1)
            .and(of(theirs.0, theirs.1))
            .period
            .map(|period| (period.lo, period.hi))
    };
    assert_eq!(meet((0, 10), (5, 20)), Some((5, 10)));
    assert_eq!(meet((0, 10), (50, 60)), Some((50, 51)));
    assert_eq!(meet((50, 60), (0, 10)), Some((50, 51)));
}
