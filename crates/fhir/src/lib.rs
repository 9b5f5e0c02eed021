//! The language of health data that every party of Delt speaks: FHIR R4 values, resources, search
//! grammar, profile checks and outcomes.
//!
//! Standard: HL7 FHIR R4 (4.0.1) with the Norwegian base and domain profiles as far as `spec/` states them.
//! Nothing here does IO or reads a clock: bytes, zone and time are arguments. What comes from outside is
//! parsed or refused with an [`outcome::Issue`] that names the element; a value that got through is
//! [`resource::Checked`], which only [`check::check`] can make.

pub mod bundle;
pub mod check;
pub mod day;
pub mod definitions;
pub mod identity;
pub mod ids;
pub mod index;
pub mod json;
pub mod measurement;
pub mod narrative;
pub mod newest;
pub mod operation;
pub mod outcome;
pub mod package;
pub mod plan;
pub mod resource;
pub mod search;
pub mod statistics;
pub mod subset;
pub mod systems;
pub mod time;
