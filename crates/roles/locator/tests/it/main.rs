//! The locator in process, with a real store and real tokens: what it learns, whom it tells, what never rests in it.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

mod compare;
mod locate;
mod opening;
mod register;
mod rest;
mod rotation;
mod world;
