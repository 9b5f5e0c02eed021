//! Fuzz targets of the language of health data: whatever comes in, a promise holds that does not depend on what came.
//!
//! Each target is a test. `cargo test` replays its corpus (`__fuzz__/TARGET/corpus`) and some hundred random inputs;
//! `cargo xtask fuzz` runs it under libFuzzer, guided by coverage, and puts every input that failed into the corpus. An
//! input is spelt ([`spell`]): ASCII bytes stand for themselves, so a corpus file can be read and written by hand, and
//! every other byte stands for a word of the target's language, so that random bytes get past the first check.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod bundle;
mod date;
mod json;
mod number;
mod patch;
mod search;
mod spell;
