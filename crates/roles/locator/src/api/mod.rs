//! The locator's interactions, one file each.

pub mod compare;
pub mod locate;
pub mod openapi;
pub mod register;
pub mod repair;

use fhir::outcome::IssueCode;
use trust::{Category, Refusal};
use wire::contract::locator::{Announcement, MAX_CLOSINGS};
use wire::outcome::Problem;
use wire::visit::End;

use crate::State;
use crate::pointer::Seat;
use crate::reception::Guest;

/// The holder of this service id, if it is the caller's own.
fn own_seat<'a>(state: &'a State, guest: &Guest<'_>, holder: &str) -> Result<&'a Seat, End> {
    let own = guest.caller().organisation.map(|one| state.controller(one));
    let seat = state.roll.seat(holder);
    seat.filter(|seat| Some(state.controller(seat.orgnr)) == own)
        .ok_or(End::Refused(NOT_OWN))
}

/// Nobody's list of what is closed has no end.
fn bounded(entries: &[Announcement]) -> Result<(), Problem> {
    if entries.iter().any(|one| one.closed.len() > MAX_CLOSINGS) {
        let words = format!("more than {MAX_CLOSINGS} closings of one pointer");
        return Err(Problem::invalid(IssueCode::TooLong, "entries", words));
    }
    Ok(())
}

/// A refusal of the locator's own agreement.
const fn refusal(code: &'static str, message: &'static str) -> Refusal {
    Refusal {
        rule: "locator-agreement",
        category: Category::Forbidden,
        code,
        message,
    }
}

/// The caller's organisation is not bound by the agreement.
const NOT_A_MEMBER: Refusal = refusal(
    "not_a_member",
    "the caller's organisation is not bound by the locator's agreement",
);

/// The same words for a holder of somebody else and for one that nobody knows.
const NOT_OWN: Refusal = refusal(
    "not_own_holder",
    "the holder does not belong to the caller's organisation",
);
