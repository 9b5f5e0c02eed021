//! Where people sign in: the browser's session, the pages, and what stands around them (threats-and-faults section 10).

pub(crate) mod browser;
pub(crate) mod page;
pub(crate) mod session;
pub(crate) mod ticket;

/// How long a person may sit at the sign-in page, in seconds.
pub(crate) const PAGE_SECONDS: i64 = 600;
