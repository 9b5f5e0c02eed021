//! The sharing service as a stranger sees it: its router in process, a real store in a folder of its own, real tokens and
//! proofs, a clock that stands still and ids in a known order.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

mod access;
mod alert;
mod announce;
mod assess;
mod bundle;
mod by_get;
mod compare;
mod conditional;
mod conformance;
mod copy;
mod entries;
mod error;
mod explain;
mod hand_over;
mod house;
mod include;
mod join;
mod links;
mod members;
mod metadata;
mod operation;
mod paging;
mod part;
mod past;
mod patch;
mod pmd;
mod profiles;
mod publish;
mod purge;
mod pvk;
mod read;
mod reconcile;
mod reduced;
mod refusals;
mod replace;
mod review;
mod search;
mod several;
mod smart;
mod trail;
mod transaction;
mod types;
mod wishes;
mod write;
