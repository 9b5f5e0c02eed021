//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, guided by coverage (docs/decisions/0017).
//!
//! `cargo test` replays every corpus; this finds new inputs. One that fails is written into the target's corpus, where it
//! stays; one that only reaches new code goes under `target/fuzz/corpus` and is where the next run begins.

use crate::prepare;
use crate::shell::{Outcome, Show, command, keep_log, root, run, target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A test that is a fuzz target.
struct Target {
    package: &'static str,
    /// The test binary.
    binary: &'static str,
    /// The test in it.
    name: &'static str,
}

const fn of(package: &'static str, binary: &'static str, name: &'static str) -> Target {
    Target {
        package,
        binary,
        name,
    }
}

const TARGETS: &[Target] = &[
    of("fhir", "fuzz", "json::resource"),
    of("fhir", "fuzz", "search::query"),
    of("fhir", "fuzz", "date::range"),
    of("fhir", "fuzz", "number::quantity"),
    of("fhir", "fuzz", "patch::operations"),
    of("fhir", "fuzz", "bundle::entry"),
    of("trust", "fuzz", "jws::raw"),
    of("trust", "fuzz", "jws::header"),
    of("trust", "fuzz", "claims::token"),
    of("trust", "fuzz", "claims::proof"),
    of("trust", "fuzz", "id_token::answer"),
    of("wire", "it", "fuzz::a_form"),
    of("wire", "it", "fuzz::a_bundle"),
];

/// What instruments the code for libFuzzer: counters, the table of places, and what comparisons compare.
const FLAGS: &[&str] = &[
    "--cfg fuzzing --cfg fuzzing_libfuzzer -Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
];

/// The longest input, and how long one may take, in seconds.
const LONGEST: u32 = 4096;
const SLOWEST: u32 = 10;

/// Runs the targets whose name holds one of the words in `args` (all without words), each for `--minutes N` (1).
///
/// # Errors
/// No target has such a name, a target does not build, or an input failed; it is in the corpus then.
pub fn fuzz(args: &[String]) -> Outcome {
    let mut words = Vec::new();
    let mut minutes = 1_u32;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--minutes" {
            let number = args.next().and_then(|n| n.parse().ok());
            minutes = number.ok_or("--minutes takes a whole number")?;
        } else {
            words.push(arg.as_str());
        }
    }
    let meant = |one: &Target| {
        let name = format!("{}::{}", one.package, one.name);
        words.is_empty() || words.iter().any(|word| name.contains(word))
    };
    let chosen: Vec<&Target> = TARGETS.iter().filter(|one| meant(one)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = TARGETS.iter().map(|one| one.name).collect();
        return Err(format!(
            "no target has such a name; there are {}",
            names.join(", ")
        ));
    }
    prepare::run()?;
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for one in chosen {
        eprintln!("==> {}: {} for {minutes} min", one.package, one.name);
        let program = build(one)?;
        let (row, good) = explore(one, &program, minutes)?;
        rows.push(row);
        if !good {
            failed.push(one.name);
        }
    }
    println!("target                       inputs  a second  places reached");
    rows.iter().for_each(|row| println!("{row}"));
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{} failed; the input is in the corpus, and `cargo test` replays it",
            failed.join(", ")
        ))
    }
}

/// The instrumented test binary.
fn build(one: &Target) -> Result<PathBuf, String> {
    let mut build = command(
        "cargo",
        &[
            "test",
            "--locked",
            "--profile",
            "fuzz",
            "--no-run",
            "--message-format=json",
        ],
    );
    build
        .args([
            "--package",
            one.package,
            "--test",
            one.binary,
            "--target-dir",
        ])
        .arg(target().join("fuzz").join("build"))
        // With a target named, the flags do not reach build scripts and macros.
        .args(["--target", &host()?])
        .env("RUSTFLAGS", FLAGS.join(" "))
        // The flags are not stable, and nothing but fuzzing needs them.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("BOLERO_FUZZER", "libfuzzer");
    let lines = run(&format!("fuzz build {}", one.package), Show::Quiet, build)?;
    lines
        .iter()
        .filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next())
        .next_back()
        .map(PathBuf::from)
        .ok_or_else(|| format!("cargo named no test program of {}", one.package))
}

/// The triple that rustc builds for here.
fn host() -> Result<String, String> {
    let output = command("rustc", &["-vV"])
        .output()
        .map_err(|e| format!("cannot start rustc: {e}"))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc names no host".to_owned())
}

/// One target's run: a line of figures, and whether no input failed.
fn explore(one: &Target, program: &Path, minutes: u32) -> Result<(String, bool), String> {
    let room = one.name.replace("::", "__");
    let package = root().join("crates").join(one.package);
    let corpus = package
        .join("tests")
        .join(one.binary)
        .join("__fuzz__")
        .join(&room)
        .join("corpus");
    let found = target().join("fuzz").join("corpus").join(&room);
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    // The first folder is where libFuzzer writes what reaches new code.
    let args = format!(
        "{} {} -artifact_prefix={}/ -max_total_time={} -timeout={SLOWEST} -max_len={LONGEST} -print_final_stats=1",
        found.display(),
        corpus.display(),
        corpus.display(),
        minutes * 60
    );
    // cargo runs a package's tests in the package's folder, and so do we.
    let output = command(
        &program.to_string_lossy(),
        &[one.name, "--exact", "--nocapture", "--test-threads", "1"],
    )
    .current_dir(&package)
    .env("BOLERO_LIBFUZZER_ARGS", args)
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .output()
    .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    keep_log(&format!("fuzz {room}"), &lines);
    let good = output.status.success();
    if !good {
        let from = lines
            .iter()
            .position(|line| line.contains("panicked at"))
            .unwrap_or(0);
        lines
            .iter()
            .skip(from)
            .take(12)
            .for_each(|line| eprintln!("{line}"));
    }
    Ok((figures(one.name, &lines), good))
}

/// Inputs, inputs a second and places reached, from what libFuzzer wrote.
fn figures(name: &str, lines: &[String]) -> String {
    let after = |mark: &str| {
        let value = |line: &String| {
            Some(
                line.split_once(mark)?
                    .1
                    .split_whitespace()
                    .next()?
                    .to_owned(),
            )
        };
        lines
            .iter()
            .rev()
            .find_map(value)
            .unwrap_or_else(|| "?".to_owned())
    };
    format!(
        "{name:<24} {:>10} {:>9} {:>15}",
        after("stat::number_of_executed_units:"),
        after("stat::average_exec_per_sec:"),
        after(" cov: ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus_and_every_corpus_a_target() {
        for one in TARGETS {
            let tests = root()
                .join("crates")
                .join(one.package)
                .join("tests")
                .join(one.binary);
            let room = tests.join("__fuzz__").join(one.name.replace("::", "__"));
            assert!(room.join("corpus").is_dir(), "{} has no corpus", one.name);
            let rooms = fs::read_dir(tests.join("__fuzz__"))
                .map(Iterator::count)
                .unwrap_or(0);
            let targets = TARGETS
                .iter()
                .filter(|other| other.package == one.package)
                .count();
            assert_eq!(rooms, targets, "{}: rooms and targets", one.package);
        }
    }

    #[test]
    fn figures_are_the_last_that_were_said() {
        let lines = [
            "#2 INITED cov: 10 ft: 2 corp: 1/1b",
            "#9 NEW    cov: 12 ft: 3 corp: 2/2b",
            "stat::number_of_executed_units: 9",
            "stat::average_exec_per_sec:     3",
        ]
        .map(str::to_owned);
        let words: Vec<String> = figures("a::b", &lines)
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        assert_eq!(words, ["a::b", "9", "3", "12"]);
    }
}
