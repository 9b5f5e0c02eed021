//! The outgoing client and the guard as a stranger sees them: real sockets on loopback, an anchor made with trust's own
//! keys, a real store, and a clock that moves only when a test moves it.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

mod anchor;
mod entries;
mod fuzz;
mod http;
mod other_issuer;
mod party;
mod protect;
mod region;
mod routes;
mod signed;
mod threats;
mod visit;
