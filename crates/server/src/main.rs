//! `delt`: one program, seven roles. Arguments in, exit code out; everything else is in the rooms it names.
//!
//! Exit codes: 0 done · 1 the work failed or a check did not pass · 2 the command line is wrong · 3 the configuration is
//! refused. Logs go to standard error, results to standard output.
#![allow(
    clippy::disallowed_methods,
    reason = "the one place where the wall clock and real waiting come from"
)]

mod anchor;
mod assets;
mod audit;
mod bench;
mod check;
mod client_key;
mod config;
mod demo;
mod faults;
mod hand_back;
mod heads;
mod listen;
mod metrics;
mod receipt;
mod roles;
mod serve;
mod simulate;
mod surroundings;
mod time;
mod unread;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Data sharing for digital home follow-up: the sharing service, hub, catalogue, trust anchor, locator, gateway and
/// portal, in the role you need.
#[derive(Parser)]
#[command(
    name = "delt",
    version,
    about,
    after_help = "Start with `delt demo`. The configuration manual is config.default.toml."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How much to log on standard error: error, warn, info, debug, or a tracing filter.
    #[arg(long, global = true, default_value = "warn")]
    log: String,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole region on loopback, with synthetic people and months of readings.
    Demo(demo::Arguments),
    /// Run the roles that a configuration file names.
    Serve {
        /// The configuration file; its manual is config.default.toml.
        #[arg(long)]
        config: PathBuf,
    },
    /// Say whether a configuration may run under today's law and our own safety rules, without starting.
    Check {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Say also what is allowed and would still be better otherwise.
        #[arg(long)]
        advise: bool,
    },
    /// Make a client's private key file (mode 0600) and print the public part to register at the anchor.
    ClientKey(client_key::Arguments),
    /// Suspend, resume and end at the trust anchor, change its signing key, and list who did what when.
    Anchor {
        #[command(subcommand)]
        command: anchor::Command,
    },
    /// Copy one organisation's whole store into a file that only the organisation can open; its service goes on.
    HandBack(hand_back::HandBack),
    /// Open such a file as the store of a service that goes on with it.
    TakeOver(hand_back::TakeOver),
    /// Read and prove the audit trail.
    Audit {
        #[command(subcommand)]
        command: audit::Command,
    },
    /// Verify a completeness receipt and say it in words.
    Receipt {
        #[command(subcommand)]
        command: receipt::Command,
    },
    /// Be the homes: people who measure day by day, with their devices, habits, worse weeks and troubles; written or sent to a hub.
    Simulate(simulate::Arguments),
    /// Measure: a region of its own with everything on, each answer checked, each figure with its conditions.
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::new(&arguments.log))
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("delt: cannot start: {e}");
            return ExitCode::from(1);
        }
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Demo(a) => demo::run(a).await,
            Command::Serve { config } => serve::run(&config).await,
            Command::Check { config, advise } => check_file(&config, advise),
            Command::ClientKey(a) => client_key::run(&a),
            Command::Anchor { command } => anchor::run(command).await,
            Command::HandBack(a) => hand_back::hand_back(a).await,
            Command::TakeOver(a) => hand_back::take_over(a).await,
            Command::Audit { command } => audit::run(command).await,
            Command::Receipt { command } => receipt::run(command),
            Command::Simulate(a) => simulate::run(a).await,
            Command::Bench(a) => bench::run(a).await,
        }
    });
    match done {
        Ok(code) => code,
        Err(e) => {
            eprintln!("delt: {e:#}");
            ExitCode::from(1)
        }
    }
}

/// Exit code for a configuration that is refused.
const REFUSED: u8 = 3;

fn check_file(path: &std::path::Path, advise: bool) -> anyhow::Result<ExitCode> {
    let config = config::Config::read(path)?;
    if advise {
        for one in check::advice(&config, &surroundings::today()) {
            println!("advice: {one}");
        }
    }
    Ok(if allowed(&config) {
        println!("{}: allowed", path.display());
        ExitCode::SUCCESS
    } else {
        ExitCode::from(REFUSED)
    })
}

/// Prints every refusal to standard error; whether there was none.
fn allowed(config: &config::Config) -> bool {
    let found = check::refusals(config, &surroundings::today());
    for refusal in &found {
        eprintln!("refused: {refusal}");
    }
    found.is_empty()
}
