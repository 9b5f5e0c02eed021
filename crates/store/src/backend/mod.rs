//! Storage engines. SQLite is the embedded default (DESIGN section 6).

pub(crate) mod sqlite;
