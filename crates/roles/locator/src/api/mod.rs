//! The locator's interactions, one file each.

pub mod locate;
pub mod openapi;
pub mod register;

use trust::{Category, Refusal};

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
