//! The hub as its senders and receivers see it: its router in process, a real store in a folder of its own, real tokens and
//! proofs, receivers on the loopback, a clock that stands still and ids in a known order.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

mod access;
mod amount;
mod answers;
mod assignment;
mod bad_input;
mod canonicals;
mod day;
mod deliver;
mod document;
mod house;
mod idempotency;
mod limits;
mod owner;
mod receive;
mod receiver;
mod replay;
mod silence;
mod versions;
