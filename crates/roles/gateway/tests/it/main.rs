//! The gateway as a stranger sees it: real sockets on loopback, an anchor that signs real tokens, a catalogue, a locator
//! and sources that can be healthy, dead, silent, lying or refusing, and a clock that moves only when a test moves it.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

mod account;
mod addresses;
mod anchor;
mod changes;
mod circuit;
mod directory;
mod explain;
mod faults;
mod file;
mod filed;
mod lookup;
mod many;
mod may_look;
mod operations;
mod paging;
mod person;
mod purpose;
mod receipt;
mod refusals;
mod sources;
mod stale;
mod trail;
mod wishes;
mod world;
