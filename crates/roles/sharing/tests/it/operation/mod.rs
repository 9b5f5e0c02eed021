//! The operations, each in its own file.

mod validate;
