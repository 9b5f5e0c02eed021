//! The hub's interactions.

pub mod assignments;
pub mod deliveries;
pub mod metadata;
mod page;
pub mod receive;
pub mod replay;
