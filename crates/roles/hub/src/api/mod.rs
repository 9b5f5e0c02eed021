//! The hub's interactions.

pub mod assignments;
pub mod deliveries;
pub mod metadata;
pub mod receive;
pub mod replay;
