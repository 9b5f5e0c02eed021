//! The store's promises, each with a test: nothing lost, nothing doubled, nobody else's data, a trail that tells.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod age;
mod audit;
mod carried;
mod commit;
mod follow;
mod handle;
mod history;
mod join;
mod joint;
mod killed;
mod ledger;
mod listed;
mod open;
mod oracle;
mod outbox;
mod patients;
mod publish;
mod purge;
mod purge_killed;
mod reconcile;
mod review;
mod search;
mod series;
mod sift;
mod snapshot;
mod together;
mod world;
