//! What the stories are told with: regions, processes, readings, waiting.

pub mod apart;
pub mod lookup;
pub mod physician;
pub mod process;
pub mod reading;
pub mod region;
pub mod side;
pub mod stores;
pub mod wait;
pub mod wide;
pub mod work_list;

/// The program under test.
pub const DELT: &str = env!("CARGO_BIN_EXE_delt");
