//! The catalogue in process, with a real store and real tokens: what it serves, what it refuses, what it keeps.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

mod access;
mod entries;
mod history;
mod probe;
mod refused_entries;
mod search;
mod statements;
mod world;
