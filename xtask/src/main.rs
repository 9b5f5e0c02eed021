//! The front door of the project: `cargo xtask <command>`. It needs nothing but Rust, and Node for the pages.
//!
//! Each command does its own set-up and says what it is doing while it works.
#![allow(
    clippy::disallowed_methods,
    reason = "xtask stands outside the house: it times real work and waits for real processes"
)]

mod assure;
mod check;
mod demo;
mod fuzz;
mod ledger;
mod prepare;
mod publish;
mod setup;
mod shell;
mod stages;
mod tally;

use std::process::ExitCode;

/// One line of the help text for each command: what to type, and what it does.
const COMMANDS: &[(&str, &str)] = &[
    (
        "demo [ARGS]",
        "build what is missing and run `delt demo ARGS`: a whole region on this machine",
    ),
    (
        "build",
        "the pages and the release binary, left at target/release/delt",
    ),
    (
        "pages",
        "the portal's pages alone: npm packages when the lock changed, then the bundle",
    ),
    (
        "prepare",
        "the published FHIR definitions as tables under target/prepared (fetched through npm once)",
    ),
    (
        "test [STAGE…]",
        "everything that must hold, or the named stages; `test --list` names them",
    ),
    (
        "check",
        "the house rules: arrows between crates, module headers, sizes, unfinished work",
    ),
    (
        "story [NAME]",
        "the stories told to the real binary, or those whose name holds NAME",
    ),
    (
        "ledger",
        "kill hub and sharing service under load, `--kills N` times (200), and account for every reading; `--seed S`",
    ),
    (
        "interop",
        "third-party clients in Node and Python against a demo of their own; `--quick`: the first of each alone",
    ),
    (
        "fuzz [TARGET…]",
        "the fuzz targets under libFuzzer, one minute each or `--minutes N`; an input that fails joins the corpus",
    ),
    (
        "assure [FILE…]",
        "mutation testing of trust and of the audit trail: a change that no test notices needs a reason; `--quick`: the rules and the decision",
    ),
    (
        "package",
        "the FHIR package for measurements (IT17), into target/package/it17",
    ),
    (
        "conformance",
        "write docs/conformance.md anew: what is claimed, and the tests that show it",
    ),
    (
        "law-needs",
        "write docs/law-needs.md anew: what the law refuses, and what would change it",
    ),
    ("picture", "take docs/portal.png again from a running demo"),
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_str() {
        "demo" => demo::demo(&rest),
        "build" => stages::build(),
        "pages" => setup::node().and_then(|()| stages::pages()),
        "prepare" => prepare::run(),
        "test" => stages::test(&rest),
        "check" => check::run(),
        "story" => stages::story(&rest),
        "ledger" => ledger::ledger(&rest),
        "interop" => stages::interop_by_name(&rest),
        "fuzz" => fuzz::fuzz(&rest),
        "assure" => assure::assure(&rest),
        "package" => publish::package(),
        "conformance" => publish::conformance(),
        "law-needs" => publish::law_needs(),
        "picture" => stages::picture(),
        "" | "help" | "--help" | "-h" => {
            println!("cargo xtask <command>\n");
            for (name, what) in COMMANDS {
                println!("  {name:<14} {what}");
            }
            return ExitCode::SUCCESS;
        }
        other => Err(format!(
            "there is no `cargo xtask {other}`; `cargo xtask help` lists what there is"
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
