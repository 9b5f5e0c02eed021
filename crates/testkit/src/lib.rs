//! The test kit: synthetic people and organisations, the scenarios as events, peers that speak real HTTP (home system,
//! record system, callers), a harness for the real binary, and fakes for clock and ids. Depends on the four languages
//! alone; serves `tests/` folders and, in `server`, `delt demo`, `delt simulate` and `delt bench`.

pub mod answers;
pub mod background;
pub mod bench_load;
pub mod browser;
pub mod bundle;
pub mod calendar;
pub mod care_plan;
pub mod clients;
pub mod deliver;
pub mod dice;
pub mod door;
pub mod event;
pub mod feed;
pub mod health_personnel;
pub mod home_system;
pub mod issuer;
pub mod kinds;
pub mod liar;
pub mod medicine;
pub mod observation;
pub mod people;
pub mod privacy_component;
pub mod record_system;
pub mod region;
pub mod rows;
pub mod simulate;
pub mod story;
pub mod surroundings;
