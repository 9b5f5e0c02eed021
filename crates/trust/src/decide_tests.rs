//! What a permit and the facts say of themselves, each from both sides.

use super::*;
use crate::caller::ClientUse;
use crate::rules::people::{Case, FJELLVIK, PROVEHEIM, org, permit, service};
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
