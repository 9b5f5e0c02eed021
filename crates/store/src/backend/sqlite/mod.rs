//! SQLite, one file per organisation: WAL, `synchronous = FULL`, one writer thread, a few readers.

pub(crate) mod dialect;
pub(crate) mod message;
mod migrate;
pub(crate) mod open;
pub(crate) mod reader;
pub(crate) mod writer;
