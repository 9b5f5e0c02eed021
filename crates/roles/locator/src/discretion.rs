//! A holder whose name alone tells what somebody is ill with (one that treats a single illness) is told of to few: sensitive
//! relations are shown only to those entitled (threats-and-faults.md section 5). To everybody else the answer is that about somebody unknown.
//!
//! Entitled are the patient herself, the holder's own people, those of the organisations that the holder names, and who
//! breaks the glass with a written reason: purpose and reason stand in the gateway's record, which the patient sees. One who represents her is not: the answer is about her illness, not
//! about her plan and curves.
//!
//! The same gate stands before what a patient has closed (decision 0029): to those to whom it is closed she is not known there.

use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::time::Instant;
use trust::attest::Purpose;
use trust::{Caller, Person};
use wire::contract::locator::Closing;

/// Whether nothing of what a patient has closed by `now` is closed to `caller`. She closes to health personnel: she herself, and who
/// represents her, ask as before.
pub fn open(
    closed: &[Closing],
    now: Instant,
    caller: &Caller,
    same: impl Fn(OrganisationNumber, OrganisationNumber) -> bool,
) -> bool {
    if matches!(caller.person, Person::Citizen { .. }) {
        return true;
    }
    let stands = |closing: &&Closing| closing.until.is_none_or(|until| now < until);
    let to = |closing: &Closing| match (closing.to, caller.organisation) {
        (None, _) => true,
        (Some(closed), Some(own)) => same(closed, own),
        (Some(_), None) => false,
    };
    !closed.iter().filter(stands).any(to)
}

/// Whether `caller` may hear that `patient` is known to `holder`, which names the organisations `known_to`. `same`: whether two
/// organisations are one, as a unit and its controller.
pub fn told(
    known_to: &[OrganisationNumber],
    holder: OrganisationNumber,
    same: impl Fn(OrganisationNumber, OrganisationNumber) -> bool,
    caller: &Caller,
    patient: &PersonIdentifier,
) -> bool {
    match &caller.person {
        Person::System => false,
        Person::Citizen { identifier, .. } => identifier == patient,
        Person::Practitioner { attestation, .. } => {
            let breaks = attestation.as_ref().is_some_and(|attest| {
                attest.purpose() == Some(Purpose::BreakTheGlass)
                    && attest.care_relationship.written_reason().is_some()
            });
            let own = caller.organisation;
            let of = |named: &OrganisationNumber| own.is_some_and(|own| same(own, *named));
            breaks || of(&holder) || known_to.iter().any(of)
        }
    }
}
